/* The FastCGI bytes: whole, one byte at a time, and wrong. */
#include "plugins/fastcgi/fcgi_proto.c"

#include "tap.h"

#include <errno.h>

struct bytes {
  uint8_t data[400000];
  size_t len;
};

static void put_record(struct bytes *b, unsigned version, unsigned type, unsigned id,
                       const void *data, size_t len, unsigned pad) {
  uint8_t h[8] = {(uint8_t)version,    (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id,
                  (uint8_t)(len >> 8), (uint8_t)len,  (uint8_t)pad,       0};

  memcpy(b->data + b->len, h, 8);
  memcpy(b->data + b->len + 8, data, len);
  memset(b->data + b->len + 8 + len, 0xEE, pad);
  b->len += 8 + len + pad;
}

/* Everything that came out, in order. */
struct heard {
  char out[200000], err[1000];
  size_t out_len, err_len, used;
  enum fcgi_event last;
};

static void hear(struct fcgi_reader *r, struct heard *to, const struct bytes *b, size_t step) {
  memset(to, 0, sizeof *to);
  fcgi_reader_init(r);
  for (size_t at = 0; at < b->len && to->last == FCGI_MORE; at += step) {
    size_t n = b->len - at < step ? b->len - at : step;
    /* A copy of just these bytes, so that the sanitizer sees any read beyond. */
    uint8_t *piece = malloc(n);
    const uint8_t *p = piece, *data = NULL;
    size_t len = 0;
    enum fcgi_event ev;

    memcpy(piece, b->data + at, n);
    while ((ev = fcgi_reader_next(r, &p, piece + n, &data, &len)) == FCGI_OUT || ev == FCGI_ERR) {
      char *where = ev == FCGI_OUT ? to->out + to->out_len : to->err + to->err_len;

      memcpy(where, data, len);
      *(ev == FCGI_OUT ? &to->out_len : &to->err_len) += len;
    }
    to->last = ev;
    to->used = at + (size_t)(p - piece);
    free(piece);
  }
}

static const uint8_t end_body[8] = {0x01, 0x02, 0x03, 0x04, 0, 0, 0, 0};

static void test_reader(void) {
  static const size_t steps[] = {1, 2, 3, 7, 8, 9, 64, 400000};
  static struct bytes b;
  static struct heard to;
  static char big[65535];
  struct fcgi_reader r;

  memset(big, 'B', sizeof big);
  put_record(&b, 1, FCGI_STDOUT, 1, "one ", 4, 0);
  put_record(&b, 1, FCGI_STDERR, 1, "oops", 4, 4);
  put_record(&b, 1, FCGI_STDOUT, 1, "two", 3, 255);
  put_record(&b, 1, FCGI_STDOUT, 1, "", 0, 0);
  put_record(&b, 1, FCGI_STDERR, 1, "", 0, 9);
  put_record(&b, 1, FCGI_STDOUT, 1, big, sizeof big, 255);
  put_record(&b, 1, FCGI_END_REQUEST, 1, end_body, 8, 5);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    hear(&r, &to, &b, steps[i]);
    is_int(to.last, FCGI_END, "by %zu: the end is seen", steps[i]);
    is_int(to.used, b.len, "by %zu: with the last byte of its padding, not before", steps[i]);
    is_mem(to.out, 7, "one two", 7, "by %zu: STDOUT", steps[i]);
    is_int(to.out_len, 7 + sizeof big, "by %zu: all of it", steps[i]);
    is_mem(to.err, to.err_len, "oops", 4, "by %zu: STDERR apart", steps[i]);
    is_int(r.app_status, 0x01020304, "by %zu: application status", steps[i]);
    is_int(r.status, FCGI_REQUEST_COMPLETE, "by %zu: protocol status", steps[i]);
  }

  /* What follows END is left for who asked. */
  b.len = 0;
  put_record(&b, 1, FCGI_END_REQUEST, 1, end_body, 8, 0);
  put_record(&b, 1, FCGI_STDOUT, 1, "next", 4, 0);
  hear(&r, &to, &b, b.len);
  is_int(to.last, FCGI_END, "END");
  is_int(to.used, 16, "stops behind it");
  fcgi_reader_init(&r);
  ok(!r.began, "nothing read yet");
}

static void test_reader_bad(void) {
  static const struct {
    unsigned version, type, id, len;
    const char *text;
  } bad[] = {
      {0, FCGI_STDOUT, 1, 4, "version 0"},
      {2, FCGI_STDOUT, 1, 4, "version 2"},
      {'H', 'T', 'T' << 8 | 'P', 0, "version"},
      {1, FCGI_STDOUT, 0, 4, "request 0"},
      {1, FCGI_STDERR, 2, 4, "request 2"},
      {1, FCGI_STDIN, 1, 4, "type 5"},
      {1, FCGI_BEGIN_REQUEST, 1, 8, "type 1"},
      {1, 0, 1, 0, "type 0"},
      {1, 11, 0, 8, "type 11"},
      {1, 255, 1, 0, "type 255"},
      {1, FCGI_END_REQUEST, 1, 7, "7, not 8"},
      {1, FCGI_END_REQUEST, 1, 9, "9, not 8"},
      {1, FCGI_END_REQUEST, 1, 0, "0, not 8"},
      {1, FCGI_END_REQUEST, 3, 8, "request 3"},
  };
  static struct bytes b;
  static struct heard to;
  struct fcgi_reader r;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    for (size_t step = 1; step <= 64; step += 63) {
      const char *part = strstr(bad[i].text, ", not 8");

      b.len = 0;
      put_record(&b, 1, FCGI_STDOUT, 1, "good", 4, 0);
      put_record(&b, bad[i].version, bad[i].type, bad[i].id, "xxxxxxxxx", bad[i].len, 0);
      hear(&r, &to, &b, step);
      is_int(to.last, FCGI_BAD, "version %u type %u id %u length %u is refused", bad[i].version,
             bad[i].type, bad[i].id, bad[i].len);
      like(r.bad, part ? "END_REQUEST of" : bad[i].text, "and says why");
      is_mem(to.out, to.out_len, "good", 4, "what came before stands");
      const uint8_t more[8] = {1, FCGI_STDOUT, 0, 1, 0, 0, 0, 0}, *p = more, *data = NULL;
      size_t len;
      is_int(fcgi_reader_next(&r, &p, more + 8, &data, &len), FCGI_BAD, "for good");
    }
  }
}

static void test_writing(void) {
  static uint8_t buf[FCGI_HEADER_LEN + FCGI_CONTENT_MAX + 100];
  static char value[FCGI_CONTENT_MAX + 1];
  struct fcgi_params p;
  uint8_t begin[FCGI_BEGIN_LEN];
  static const uint8_t want_begin[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0};
  static const uint8_t want[] = {1, 4, 0, 1, 0, 9, 0, 0, 1, 2, 'a', 'b', 'c', 2, 0, 'd', 'e'};

  fcgi_put_begin(begin, true);
  is_mem(begin, sizeof begin, want_begin, sizeof want_begin, "BEGIN_REQUEST, keep");
  fcgi_put_begin(begin, false);
  is_int(begin[10], 0, "BEGIN_REQUEST, close");
  fcgi_params_init(&p, buf, sizeof buf);
  fcgi_params_add(&p, "a", "bc", 2);
  fcgi_params_add(&p, "de", "", 0);
  is_int(fcgi_params_end(&p), sizeof want, "PARAMS: length");
  is_mem(buf, p.len, want, sizeof want, "PARAMS: bytes");

  memset(value, 'v', sizeof value);
  fcgi_params_init(&p, buf, sizeof buf);
  fcgi_params_add(&p, "n", value, 127);
  is_int(buf[9], 127, "length 127 is one byte");
  fcgi_params_add(&p, "n", value, 128);
  is_mem(buf + 8 + 2 + 128 + 1, 4, "\x80\0\0\x80", 4, "length 128 is four");
  /* To the last byte that fits into one record, and one more. */
  fcgi_params_init(&p, buf, sizeof buf);
  fcgi_params_add(&p, "n", value, FCGI_CONTENT_MAX - 6);
  is_int(fcgi_params_end(&p), FCGI_HEADER_LEN + FCGI_CONTENT_MAX, "a record full to the brim");
  is_mem(buf + 4, 2, "\xff\xff", 2, "says its length");
  fcgi_params_add(&p, "", "", 0);
  is_int(fcgi_params_end(&p), -EMSGSIZE, "a pair beyond it is refused");
  fcgi_params_init(&p, buf, sizeof buf);
  fcgi_params_add(&p, "n", value, FCGI_CONTENT_MAX - 5);
  is_int(fcgi_params_end(&p), -EMSGSIZE, "a pair one byte too long is refused");
  fcgi_params_init(&p, buf, 20);
  fcgi_params_add(&p, "name", "0123456", 7);
  is_int(fcgi_params_end(&p), -EMSGSIZE, "so is one that the buffer does not hold");
  fcgi_params_init(&p, buf, 4);
  is_int(fcgi_params_end(&p), -EMSGSIZE, "and a buffer without room for the header");
}

static int feed(struct fcgi_reply *r, const char *text, size_t len, size_t step) {
  int rc = 0;

  fcgi_reply_reset(r);
  for (size_t at = 0; at < len && rc == 0; at += step)
    rc = fcgi_reply_feed(r, (const uint8_t *)text + at, len - at < step ? len - at : step);
  return rc ? rc : fcgi_reply_finish(r);
}

static void test_reply(void) {
  static const struct {
    const char *text;
    int rc, status, code;
    const char *error_code, *topics, *body;
  } all[] = {
      {"Code: 200\r\n\r\nfine", 0, 200, 200, NULL, NULL, "fine"},
      {"Code: 200\n\nfine", 0, 200, 200, NULL, NULL, "fine"},
      {"code:404\r\nCONSUME-TOPICS:  a/b, c/d \r\n\r\n", 0, 200, 404, NULL, "a/b, c/d", ""},
      {"Status: 500 Internal: Server: Error\r\nContent-type: x\r\n\r\nbody", 0, 500, 0, NULL, NULL,
       "body"},
      {"Status: 404\n\n", 0, 404, 0, NULL, NULL, ""},
      {"Error-Code: E 17\t\r\nCode: 500\r\n\r\n\r\n\n", 0, 200, 500, "E 17", NULL, "\r\n\n"},
      {"no header at all\r\nCode: 207\r\n\r\n[]", 0, 200, 207, NULL, NULL, "[]"},
      {"\r\nonly a body", 0, 200, 0, NULL, NULL, "only a body"},
      {"Code: 200\r\nCode: 500\r\n\r\n", 0, 200, 500, NULL, NULL, ""},
      {"Codes: 200\r\nXCode: 200\r\n\r\n", 0, 200, 0, NULL, NULL, ""},
      {": 200\r\n:\r\n\r\n", 0, 200, 0, NULL, NULL, ""},
      {"Error-Code:\r\nConsume-Topics:\r\n\r\n", 0, 200, 0, "", "", ""},
      {"", 0, 200, 0, NULL, NULL, NULL},
      {"Code: 200", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code: 200\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code: 20\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code: 2000\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code: -200\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code: 200 OK\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Code:\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Status: OK\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
      {"Status: 99999999999999999999\r\n\r\n", -EBADMSG, 0, 0, NULL, NULL, NULL},
  };
  struct fcgi_reply r;

  fcgi_reply_init(&r, 1000);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    for (size_t step = 1; step < 60; step = step * 2 + 1) {
      int rc = feed(&r, all[i].text, strlen(all[i].text), step);

      is_int(rc, all[i].rc, "reply %zu by %zu", i, step);
      if (rc < 0) {
        ok(r.bad[0], "reply %zu: says why", i);
        continue;
      }
      is_int(r.status, all[i].status, "reply %zu: status", i);
      is_int(r.code, all[i].code, "reply %zu: code", i);
      is_str(r.error_code ? r.buf + r.error_code : NULL, all[i].error_code, "error code");
      is_str(r.topics ? r.buf + r.topics : NULL, all[i].topics, "topics");
      is_str(r.body ? r.buf + r.body : NULL, all[i].body, "reply %zu: body", i);
    }
  }
  fcgi_reply_done(&r);
}

static void test_reply_limits(void) {
  static const char nul[] = "Code: 2\00000\r\n\r\n";
  static char big[FCGI_HEAD_MAX + 100];
  struct fcgi_reply r;

  fcgi_reply_init(&r, 1000);
  is_int(feed(&r, nul, sizeof nul - 1, 99), -EBADMSG, "NUL in the header");

  memset(big, 'x', sizeof big);
  is_int(feed(&r, big, FCGI_HEAD_MAX, 4096), -EBADMSG, "a header without end: cut off");
  is_int(feed(&r, big, FCGI_HEAD_MAX + 1, 4096), -EBADMSG, "a header too long");
  like(r.bad, "header over", "says so");
  memcpy(big, "Code: 200\r\n\r\n", 13);
  is_int(feed(&r, big, 13 + 1000, 77), 0, "a body of max_body");
  is_int(feed(&r, big, 13 + 1001, 77), -EMSGSIZE, "a byte more");
  is_int(feed(&r, big, sizeof big, sizeof big), -EMSGSIZE, "much more, in one piece");
  like(r.bad, "max_response (1000", "names the key");
  is_int(feed(&r, "X-Powered-By: PHP/8\r\n\r\n", 23, 5) || !r.php, 0, "PHP says who it is");
  is_int(feed(&r, "Content-type: text/html; charset=UTF-8\r\n\r\n", 42, 5) || r.php || !r.php_style,
         0, "or shows it");
  fcgi_reply_done(&r);
}

/* The buffer of a large answer is not kept. */
static void test_reply_memory(void) {
  static char big[60000];
  struct fcgi_reply r;

  memset(big, 'x', sizeof big);
  memcpy(big, "Code: 200\r\n\r\n", 13);
  fcgi_reply_init(&r, 1 << 20);
  for (int i = 0; i < 5; i++) fcgi_reply_feed(&r, (uint8_t *)big, 60000);
  fcgi_reply_reset(&r);
  fcgi_reply_feed(&r, (const uint8_t *)"Code: 200\n\n", 11);
  for (int i = 0; i < 5; i++) is_int(fcgi_reply_feed(&r, (uint8_t *)big, 60000), 0, "large");
  ok(r.cap > REPLY_KEEP, "a large buffer");
  fcgi_reply_reset(&r);
  is_int(r.cap, 0, "is given back");
  fcgi_reply_done(&r);
}

static void test_tail(void) {
  static char big[FCGI_STDERR_MAX + 5];
  struct fcgi_tail t = {0};

  memset(big, 'x', sizeof big);
  for (int i = 0; i < 5000; i++) fcgi_tail_feed(&t, (const uint8_t *)"0123456789", 10);
  is_int(t.len, FCGI_STDERR_MAX, "STDERR is capped");
  is_mem(t.buf + t.len - 12, 12, "890123456789", 12, "its end is kept");
  ok(t.cut, "and marked as cut");
  fcgi_tail_reset(&t);
  fcgi_tail_feed(&t, (uint8_t *)big, FCGI_STDERR_MAX + 5);
  is_int(t.len, FCGI_STDERR_MAX, "one piece larger than the cap");
  fcgi_tail_done(&t);
}

int main(void) {
  test_reader();
  test_reader_bad();
  test_writing();
  test_reply();
  test_reply_limits();
  test_reply_memory();
  test_tail();
  return done_testing();
}
