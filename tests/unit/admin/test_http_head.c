/* Heads of requests, whole, in pieces and crooked; bodies in chunks, a byte at a time. */
#include "admin/http_head.c"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

/* 0 and *ret, or the status. The text is kept for as long as *ret is looked at. */
static int parse(const char *text, struct http_head *ret) {
  static char kept[HTTP_HEAD_MAX * 2];
  const char *why = "";
  size_t len = http_head_length(text, strlen(text));
  memcpy(kept, text, len);
  int rc = len ? http_head_parse(kept, len, ret, &why) : -1;
  if (rc > 0) ok(*why, "a refusal says why");
  return rc;
}

/* @case X3: requests of which two readers could say that they end at different places are refused
 */
static void test_refusals(void) {
  static const struct {
    const char *text;
    int status;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
      {"GET / HTTP/1.0\r\n\r\n", 0},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
      {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
      {"GET / HTTP/11\r\nHost: x\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /\r\nHost: x\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {" / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"G\tT / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GETGETGETGETGETGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
      {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET http://y:80/a?b HTTP/1.1\r\nHost: x\r\n\r\n", 0},
      {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\x01y\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 0},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n", 0},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
       "Transfer-Encoding: chunked\r\n\r\n",
       400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 0},
      {"POST / HTTP/1.1\r\nHost: x\r\nExpect: the worst\r\n\r\n", 417},
  };
  struct http_head h;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    is_int(parse(cases[i].text, &h), cases[i].status, "%zu: %.*s", i,
           (int)strcspn(cases[i].text, "\r\n"), cases[i].text);
}

static void test_parts(void) {
  struct http_head h;
  char *text = NULL;
  parse("GET http://bus.example.com:80/a/b?c=d?e HTTP/1.1\r\nHost: x\r\nA:  v w \t\r\n\r\n", &h);
  is_str(h.host, "bus.example.com:80", "the host of an absolute target counts");
  is_str(h.path, "/a/b", "its path");
  is_str(h.query, "c=d?e", "its query");
  is_str(http_head_field(&h, "a"), "v w", "a field without the space around it");
  parse("GET http://y?q HTTP/1.1\r\nHost: x\r\n\r\n", &h);
  is_str(h.path, "/", "an absolute target without a path");
  ok(h.keep, "HTTP/1.1 keeps the connection");
  parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", &h);
  ok(!h.keep, "unless it says close");
  parse("GET / HTTP/1.0\r\n\r\n", &h);
  ok(!h.keep && !h.host, "HTTP/1.0 does not, and needs no Host");
  parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h);
  ok(h.keep, "unless it says keep-alive");
  if (asprintf(&text, "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_TARGET_MAX, 1) < 0) abort();
  is_int(parse(text, &h), 414, "a target that is too long");
  free(text);
  char many[HTTP_HEAD_MAX] = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < HTTP_FIELDS_MAX; i++) strcat(many, "A: b\r\n");
  strcat(many, "\r\n");
  is_int(parse(many, &h), 400, "more than a hundred fields");
}

static void test_begins(void) {
  static const char whole[] = "\r\nPOST /x HTTP/1.1\r\n";
  bool all = true;
  for (size_t i = 0; i < sizeof whole; i++) all &= http_head_begins(whole, i);
  ok(all, "every beginning of a request is waited for");
  ok(!http_head_begins("\x16\x03\x01\x02", 4), "TLS is not");
  ok(!http_head_begins("\r\n\r\n\r\n", 6), "nor are empty lines without end");
  ok(!http_head_begins("*1\r\n$4\r\nPING", 12), "nor is RESP");
  ok(!http_head_begins("AAAAAAAAAAAAAAAAAAAAAAAA", 24), "nor a method without end");
}

/* The body that `text` is the chunks of, taken `step` bytes at a time; NULL: refused, or not done.
 */
static const char *unchunk(const char *text, size_t step, char *ret) {
  struct http_chunks c = {0};
  size_t at = 0, len = strlen(text), got = 0;
  while (at < len && c.state != CHUNK_DONE) {
    const char *body;
    size_t n = len - at < step ? len - at : step, body_len;
    long used = http_chunks_take(&c, text + at, n, &body, &body_len);
    if (used < 0) return NULL;
    memcpy(ret + got, body, body_len);
    got += body_len;
    at += (size_t)used;
  }
  ret[got] = 0;
  return c.state == CHUNK_DONE && at == len ? ret : NULL;
}

static void test_chunks(void) {
  static const struct {
    const char *text, *body;
  } cases[] = {
      {"0\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"5;a=b\r\nhello\r\n00006 \r\n world\r\n0;x\r\nTrailer: y\r\n\r\n", "hello world"},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
      {"5\r\nhello0\r\n\r\n", NULL},
      {"5\nhello\r\n0\r\n\r\n", NULL},
      {"\r\n0\r\n\r\n", NULL},
      {"-1\r\n\r\n", NULL},
      {"0x5\r\nhello\r\n0\r\n\r\n", NULL},
      {"fffffffffffffffff\r\n", NULL},
      {"5\r\nhel", NULL},
      {"0\r\nTrailer\n\r\n", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (size_t step = 1; step < 40; step++) {
      char got[256];
      const char *body = unchunk(cases[i].text, step, got);
      bool same = body && cases[i].body ? !strcmp(body, cases[i].body) : body == cases[i].body;
      if (same && step < 39) continue;
      ok(same, "chunks %zu by up to %zu: %s", i, step, cases[i].body ? cases[i].body : "refused");
    }
  }
}

int main(void) {
  test_refusals();
  test_parts();
  test_begins();
  test_chunks();
  return done_testing();
}
