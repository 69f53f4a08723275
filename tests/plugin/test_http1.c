/* Answers of HTTP/1.1 as they come off the wire, in one piece and byte by byte. */
#include "plugins/http/http_reply.c"
#include "plugins/http/http1.c"

#include "../tap.h"

#define OK  "HTTP/1.1 200 OK\r\n"
#define TE  "Transfer-Encoding: chunked\r\n"
#define LEN "Content-Length: 4\r\n"

enum { KEEPS = 1, ENDS = 2 };

static const struct answer {
  const char *text;
  int rc;            /* 1: whole; 0: more is to come */
  unsigned flags;    /* whole: KEEPS; not whole: ENDS with the connection */
  const char *body;  /* not of what is refused */
  const char *left;  /* whole: what is not the answer's any more */
  const char *words; /* refused: a part of the sentence */
} answers[] = {
    /* how long it is */
    {OK LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},
    {OK LEN "\r\nfine and more", 1, KEEPS, "fine", " and more", NULL},
    {OK LEN "\r\nfin", 0, 0, "fin", "", NULL},
    {OK "content-length:4\r\n\r\nfine", 1, KEEPS, "fine", "", NULL},
    {OK "Content-Length: \t 4 \t\r\n\r\nfine", 1, KEEPS, "fine", "", NULL},
    {OK LEN LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},
    {OK "Content-Length: 0\r\n\r\n", 1, KEEPS, "", "", NULL},
    {OK "\r\nfine", 0, ENDS, "fine", "", NULL},
    {OK "\r\n", 0, ENDS, "", "", NULL},
    {"HTTP/1.1 204 No Content\r\n\r\n", 1, KEEPS, "", "", NULL},
    {"HTTP/1.1 204 No Content\r\n" LEN "\r\nfine", 1, KEEPS, "", "fine", NULL},
    {"HTTP/1.1 304 Not Modified\r\n" LEN "\r\n", 1, KEEPS, "", "", NULL},
    {OK "Content-Length: four\r\n\r\n", -EBADMSG, 0, NULL, NULL, "Content-Length is not a number"},
    {OK "Content-Length: -4\r\n\r\n", -EBADMSG, 0, NULL, NULL, "Content-Length is not a number"},
    {OK "Content-Length: 4, 4\r\n\r\n", -EBADMSG, 0, NULL, NULL, "Content-Length is not a number"},
    {OK "Content-Length:\r\n\r\n", -EBADMSG, 0, NULL, NULL, "Content-Length is not a number"},
    {OK "Content-Length: 1000000000000000000\r\n\r\n", -EBADMSG, 0, NULL, NULL, "not a number"},
    {OK LEN "Content-Length: 5\r\n\r\n", -EBADMSG, 0, NULL, NULL, "that differ"},
    {OK "Content-Length: 31\r\n\r\n0123456789012345678901234567890", -EMSGSIZE, 0, NULL, NULL,
     "max_response"},

    /* chunks */
    {OK TE "\r\n4\r\nfine\r\n0\r\n\r\n", 1, KEEPS, "fine", "", NULL},
    {OK TE "\r\n2\r\nfi\r\n2;a=\"b\"\r\nne\r\n000\r\n\r\nmore", 1, KEEPS, "fine", "more", NULL},
    {OK TE "\r\nA \r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 1, KEEPS, "01234567890123456789",
     "", NULL},
    {OK TE "\r\n4\nfine\n0\n\n", 1, KEEPS, "fine", "", NULL},
    {OK TE "\r\n4\r\nfine\r\n0\r\nCode: 500\r\nX: y\r\n\r\n", 1, KEEPS, "fine", "", NULL},
    {OK TE "\r\n4\r\nfine\r\n0\r\nX: y\r\n", 0, 0, "fine", "", NULL},
    {OK "Transfer-Encoding: identity, Chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n", 1, KEEPS, "fine", "",
     NULL},
    {OK LEN TE "\r\n6\r\nfine!!\r\n0\r\n\r\n", 1, 0, "fine!!", "", NULL},
    {OK TE "\r\nzz\r\nfine", -EBADMSG, 0, NULL, NULL, "no number"},
    {OK TE "\r\n\r\nfine", -EBADMSG, 0, NULL, NULL, "no number"},
    {OK TE "\r\n-4\r\nfine", -EBADMSG, 0, NULL, NULL, "no number"},
    {OK TE "\r\n0x4\r\nfine", -EBADMSG, 0, NULL, NULL, "no number"},
    {OK TE "\r\nfffffffffffffffff\r\nfine", -EBADMSG, 0, NULL, NULL, "no number"},
    {OK TE "\r\n4\r\nfine!\r\n0\r\n\r\n", -EBADMSG, 0, NULL, NULL, "longer than it says"},
    {OK TE "\r\n1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n", -EMSGSIZE, 0, NULL, NULL,
     "max_response"},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", -EBADMSG, 0, NULL, NULL, "Transfer-Encoding"},
    {OK TE TE "\r\n", -EBADMSG, 0, NULL, NULL, "Transfer-Encoding"},

    /* the connection */
    {OK "Connection: close\r\n" LEN "\r\nfine", 1, 0, "fine", "", NULL},
    {OK "connection: Keep-Alive , CLOSE\r\n" LEN "\r\nfine", 1, 0, "fine", "", NULL},
    {OK "Connection: keep-alive\r\n" LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},
    {OK "Connection: closed\r\n" LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},
    {"HTTP/1.0 200 OK\r\n" LEN "\r\nfine", 1, 0, "fine", "", NULL},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" TE "\r\n0\r\n\r\n", 1, 0, "", "", NULL},
    {"HTTP/1.9 200 OK\r\n" LEN "\r\nfine", 1, KEEPS, "fine", "", NULL},

    /* the head */
    {"HTTP/1.1 200\n" LEN "\nfine", 1, KEEPS, "fine", "", NULL},
    {"HTTP/1.1 200 \nContent-Length: 4\n\nfine", 1, KEEPS, "fine", "", NULL},
    {OK ": no name\r\n Content-Length: 9\r\n\tfolded\r\nTE: x\r\n" LEN "\r\nfine", 1, KEEPS, "fine",
     "", NULL},
    {OK "no colon\r\n" LEN "\r\nfine", -EBADMSG, 0, NULL, NULL, "Name: value"},
    {OK "\r\r\n" LEN "\r\nfine", -EBADMSG, 0, NULL, NULL, "Name: value"},
    {"HTTP/1.1 100 Continue\r\n" OK "\r\n" OK, -EBADMSG, 0, NULL, NULL, "Name: value"},
    {OK "HTTP/1.1 500 a:b\r\n" LEN "\r\nfine", -EBADMSG, 0, NULL, NULL, "Name: value"},
    {OK "HTTP/2 100 a:b\r\n" LEN "\r\nfine", -EBADMSG, 0, NULL, NULL, "Name: value"},
    {"HTTP/1.1 100 Continue\r\n" LEN "\r\nHTTP/1.1 103 Early\r\nConnection: close\r\n\r\n" OK LEN
     "\r\nfine",
     1, KEEPS, "fine", "", NULL},
    {"HTTP/1.1 100 Continue\r\n\r\n", 0, 0, "", "", NULL},
    {OK "Code: 20", 0, 0, "", "", NULL},
    {"HT", 0, 0, "", "", NULL},
    {"", 0, 0, "", "", NULL},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", -EBADMSG, 0, NULL, NULL, "changes the protocol"},
    {OK "Code: x\r\n\r\n", -EBADMSG, 0, NULL, NULL, "header Code \"x\""},
    {"HTTP/2 200\r\n", -EBADMSG, 0, NULL, NULL, "not HTTP/1.1: it begins with \"HTTP/2"},
    {"HTTP/1.11 200\r\n", -EBADMSG, 0, NULL, NULL, "not HTTP/1.1"},
    {"http/1.1 200 OK\r\n", -EBADMSG, 0, NULL, NULL, "not HTTP/1.1"},
    {"\r\nHTTP/1.1 200 OK\r\n", -EBADMSG, 0, NULL, NULL, "not HTTP/1.1"},
    {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", -EBADMSG, 0, NULL, NULL, "it begins with \"S"},
    {"\x15\x03\x01", -EBADMSG, 0, NULL, NULL, "it is not HTTP"},
};

static void test_answer(const struct answer *a, size_t step) {
  struct http_reply r;
  struct http1 w = {0};
  size_t len = strlen(a->text), at = 0, used = 0;
  int rc = 0;

  http_reply_init(&r, 200, 30);
  http1_begin(&w, &r);
  while (rc == 0 && at < len) {
    rc = http1_read(&w, a->text + at, len - at < step ? len - at : step, &used);
    at += used;
  }
  if (!is_int(rc, a->rc, "%.60s... in steps of %zu", a->text, step)) diag("%s", r.bad);
  if (rc < 0) {
    like(r.bad, a->words ? a->words : "", "says why");
  } else {
    is_str(r.body ? r.body : "", a->body, "the body");
    is_int(http1_keeps(&w), rc == 1 && (a->flags & KEEPS), "is the connection kept");
    is_int(http1_ends(&w), rc == 0 && (a->flags & ENDS), "does the connection's end end it");
    if (rc == 1) is_str(a->text + at, a->left, "what is left");
    is_int(w.began, len > 0, "has it begun");
  }
  http1_done(&w);
  http_reply_done(&r);
}

/* What has no end is not waited for. */
static void test_limits(void) {
  static const struct {
    const char *begin, *on, *words;
  } all[] = {
      {"HTTP/1.1 200 ", "x", "max_header"},
      {OK "X: ", "x", "max_header"},
      {OK, "X: y\r\n", "max_header"},
      {"", "HTTP/1.1 100 Continue\r\n\r\n", "max_header"},
      {"HTTP/1.1 100 Continue\r\n" OK "\r\n" OK "X: ", "x", "Name: value"},
      {OK "\r\r\nX: ", "x", "Name: value"},
      {OK TE "\r\n4;a=", "b", "no end"},
      {OK TE "\r\n0\r\nX: ", "x", "trailer is over max_header"},
      {OK TE "\r\n0\r\n", "X: y\r\n", "trailer is over max_header"},
  };

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct http_reply r;
    struct http1 w = {0};
    size_t used, fed = 0;
    int rc;

    http_reply_init(&r, 200, 30);
    http1_begin(&w, &r);
    rc = http1_read(&w, all[i].begin, strlen(all[i].begin), &used);
    for (; rc == 0 && fed < 4000; fed += used)
      rc = http1_read(&w, all[i].on, strlen(all[i].on), &used);
    ok(rc < 0 && fed < 1100, "\"%s\" without end: refused after %zu bytes", all[i].on, fed);
    like(r.bad, all[i].words, "says why");
    http1_done(&w);
    http_reply_done(&r);
  }
}

/* One object reads one answer after the other; a dropped body is passed over, whatever its size. */
static void test_again(void) {
  static const char first[] = OK TE "\r\n4\r\nfi", second[] = OK LEN "\r\nfine",
                    big[] = OK "Content-Length: 40\r\n\r\n0123456789012345678901234567890123456789";
  struct http_reply r;
  struct http1 w = {0};
  size_t used;

  http_reply_init(&r, 200, 30);
  http1_begin(&w, &r);
  is_int(http1_read(&w, first, sizeof first - 1, &used), 0, "an answer that is given up");
  http_reply_reset(&r);
  http1_begin(&w, &r);
  is_int(http1_read(&w, second, sizeof second - 1, &used), 1, "the next one");
  is_str(r.body, "fine", "has nothing of it");
  http_reply_reset(&r);
  http1_begin(&w, &r);
  w.drop = true;
  is_int(http1_read(&w, big, 30, &used), 0, "one that nobody wants");
  http_reply_reset(&r); /* as when it is cancelled half way */
  is_int(http1_read(&w, big + 30, sizeof big - 1 - 30, &used), 1, "is read to its end");
  is_int((intmax_t)r.body_len, 0, "and not kept");
  ok(http1_keeps(&w), "the connection is");
  http1_done(&w);
  http_reply_done(&r);
}

int main(void) {
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    test_answer(&answers[i], SIZE_MAX);
    test_answer(&answers[i], 1);
    test_answer(&answers[i], 3);
  }
  test_limits();
  test_again();
  return done_testing();
}
