/* Requests from whole, cut and broken bytes; replies of both versions. */
#include "base/buf.c"
#include "intake/resp.c"
#include "tap.h"

static const struct resp_limits wide = {.max_args = 1000, .max_bulk = 1000, .max_request = 2000};
static const struct resp_limits narrow = {
    .max_args = 1000, .max_bulk = 1000, .max_request = 2000, .unauth = true};

/* What requests `text` holds, as "<arg|arg>" each; "!error" ends it, "..." is an incomplete rest.
 * `step` bytes come at a time. */
static char *read_all(const char *text, size_t len, size_t step, const struct resp_limits *l) {
  static char out[8192];
  char in[8192];
  size_t have = 0, n = 0;
  struct resp p = {0};
  out[0] = 0;
  for (size_t from = 0; from < len; from += step) {
    size_t piece = len - from < step ? len - from : step, at = 0;
    memcpy(in + have, text + from, piece);
    have += piece;
    while (at < have) {
      enum resp_rc rc = resp_parse(&p, in + at, have - at, l);
      if (rc == RESP_MORE) {
        have = at + p.keep;
        break;
      }
      if (rc == RESP_ERROR) {
        snprintf(out + n, sizeof out - n, "!%s", p.error);
        resp_free(&p);
        return out;
      }
      if (rc == RESP_REQUEST) {
        for (size_t i = 0; i < p.argc; i++) {
          n += (size_t)snprintf(out + n, sizeof out - n, "%c", i ? '|' : '<');
          if (p.args[i].text)
            n += (size_t)snprintf(out + n, sizeof out - n, "%.*s", (int)p.args[i].len,
                                  p.args[i].text);
          else
            n += (size_t)snprintf(out + n, sizeof out - n, "(%zu)", p.args[i].len);
        }
        n += (size_t)snprintf(out + n, sizeof out - n, ">");
      }
      at += p.at;
      resp_reset(&p);
    }
    memmove(in, in + at, have - at);
    have -= at;
  }
  if (have) snprintf(out + n, sizeof out - n, "...");
  resp_free(&p);
  return out;
}

static void reads_n(const char *text, size_t len, const struct resp_limits *l, const char *want,
                    const char *name) {
  is_str(read_all(text, len, len, l), want, "%s", name);
  for (size_t step = 1; step < 8; step++)
    if (strcmp(read_all(text, len, step, l), want)) {
      fail("%s, %zu bytes at a time: %s", name, step, read_all(text, len, step, l));
      return;
    }
  pass("%s, in pieces", name);
}
#define READS(text, limits, want, name) reads_n(text, sizeof(text) - 1, limits, want, name)

static void arrays(void) {
  READS("*1\r\n$4\r\nPING\r\n", &wide, "<PING>", "one argument");
  READS("*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$0\r\n\r\n", &wide, "<LPUSH|q|>", "an empty argument");
  READS("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n$1\r\n*1\r\n$4\r\nPING\r\n", &wide, "<ECHO|\r\n$1><PING>",
        "lines inside an argument; two requests");
  READS("*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n", &wide, "<PING>", "empty requests are passed over");
  READS("*2\r\n$4\r\nECHO\r\n$10\r\nabc", &wide, "...", "half of one");
  READS("*2\r\n", &wide, "...", "only announced");
}

static void inlines(void) {
  READS("PING\r\n", &wide, "<PING>", "an inline request");
  READS("ECHO  a\tb \nPING\n", &wide, "<ECHO|a|b><PING>", "blanks; line feed alone");
  READS("A \"b c\" 'd e' f\"g\"h\n", &wide, "!Protocol error: unbalanced quotes in request",
        "a quote ends a word");
  READS("A \"b c\" 'd e' \"\" x\"y z\"\r\n", &wide, "<A|b c|d e||xy z>", "quotes");
  READS("A \"\\x41\\n\\t\\\"\\\\\" 'it\\'s \\n'\r\n", &wide, "<A|A\n\t\"\\|it's \\n>", "escapes");
  READS("A \"b\r\n", &wide, "!Protocol error: unbalanced quotes in request", "quotes left open");
  READS("A 'b\\\r\n", &wide, "!Protocol error: unbalanced quotes in request", "open, escaped end");
}

static void errors(void) {
  READS("*x\r\n", &wide, "!Protocol error: invalid multibulk length", "count is no number");
  READS("*01\r\n", &wide, "!Protocol error: invalid multibulk length", "leading zero");
  READS("*1\r_", &wide, "!Protocol error: invalid multibulk length", "CR without LF");
  READS("*99999999999\r\n", &wide, "!Protocol error: invalid multibulk length", "count too large");
  READS("*1001\r\n", &wide, "!Protocol error: invalid multibulk length, more than max_arguments",
        "over max_arguments");
  READS("*1\r\nPING\r\n", &wide, "!Protocol error: expected '$', got 'P'", "no bulk");
  READS("*1\r\n$-1\r\n", &wide, "!Protocol error: invalid bulk length", "null bulk");
  READS("*1\r\n$x\r\n", &wide, "!Protocol error: invalid bulk length", "bulk length no number");
  READS("*1\r\n$536870913\r\n", &wide, "!Protocol error: invalid bulk length", "over 512 MB");
  READS("*1\r\n$3\r\nabcd\r\n", &wide, "!Protocol error: bulk string is not as long as announced",
        "longer than announced");
  READS("*1111111111111111111111111111111111111111111111111111111111111111111", &wide,
        "!Protocol error: too big mbulk count string", "an endless count");
  READS("*1\r\n$111111111111111111111111111111111111111111111111111111111111111111", &wide,
        "!Protocol error: too big bulk count string", "an endless length");
  READS("*11\r\n", &narrow, "!Protocol error: unauthenticated multibulk length",
        "11 arguments before AUTH");
  READS("*1\r\n$16385\r\n", &narrow, "!Protocol error: unauthenticated bulk length",
        "a long one before AUTH");
  READS("a b c d e f g h i j k\r\n", &narrow, "!Protocol error: unauthenticated multibulk length",
        "11 words before AUTH");

  char *line = malloc(70000);
  struct resp p = {0};
  memset(line, 'x', 70000);
  is_int(resp_parse(&p, line, 65536, &wide), RESP_MORE, "a line of 64 KiB may go on");
  is_int(resp_parse(&p, line, 65537, &wide), RESP_ERROR, "a longer one may not");
  is_str(p.error, "Protocol error: too big inline request", "and is told so");
  resp_reset(&p);
  is_int(resp_parse(&p, line, 16385, &narrow), RESP_ERROR, "16 KiB before AUTH");
  is_int(p.fault, RESP_FAULT_UNAUTH, "counted as such");
  resp_free(&p);
  free(line);
}

static void oversize(void) {
  char text[4000], want[64];
  int n = snprintf(text, sizeof text,
                   "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$1001\r\n%01001d\r\n*1\r\n$4\r\nPING\r\n", 0);
  reads_n(text, (size_t)n, &wide, "<LPUSH|q|(1001)><PING>", "too long an argument is skipped");
  n = snprintf(text, sizeof text,
               "*4\r\n$5\r\nLPUSH\r\n$1000\r\n%01000d\r\n$996\r\n%0996d\r\n$1\r\nx\r\nPING\r\n", 0,
               0);
  read_all(text, (size_t)n, 100, &wide);
  snprintf(want, sizeof want, "|(996)|(1)><PING>");
  like(read_all(text, (size_t)n, 100, &wide), want, "too much together: the rest is skipped");

  struct resp p = {0};
  n = snprintf(text, sizeof text, "*2\r\n$1\r\nA\r\n$500000000\r\n");
  memset(text + n, 'z', 1000);
  is_int(resp_parse(&p, text, (size_t)n + 1000, &wide), RESP_MORE, "half a gigabyte begins");
  is_int(p.keep, n, "and nothing of it is kept");
  ok(p.cap <= 16, "nothing is allocated for it");
  resp_free(&p);
}

static void announced(void) {
  struct resp p = {0};
  struct resp_limits all = {.max_args = 1 << 20, .max_bulk = 1 << 20, .max_request = 1 << 21};
  char text[] = "*1000000\r\n$1\r\na\r\n";
  is_int(resp_parse(&p, text, sizeof text - 1, &all), RESP_MORE, "a million arguments announced");
  ok(p.cap <= 16, "room for those that came");
  struct resp q = {0};
  ok(resp_move(&q, &p) && q.argc == 1 && q.missing == 999999 && !p.argc, "the state moves");
  resp_free(&p);
  resp_free(&q);
}

#define REPLY(call, want, name)                                                                    \
  do {                                                                                             \
    b.len = 0;                                                                                     \
    call;                                                                                          \
    is_str(buf_text(&b), want, name);                                                              \
  } while (0)

static void replies(void) {
  struct buf b = {0};
  REPLY(resp_status(&b, "OK"), "+OK\r\n", "status");
  REPLY(resp_integer(&b, -12), ":-12\r\n", "integer");
  REPLY(resp_integer(&b, INT64_MIN), ":-9223372036854775808\r\n", "the least integer");
  REPLY(resp_bulk_text(&b, "hello"), "$5\r\nhello\r\n", "bulk");
  REPLY(resp_bulk(&b, "", 0), "$0\r\n\r\n", "empty bulk");
  REPLY(resp_null(&b, 2), "$-1\r\n", "null");
  REPLY(resp_null(&b, 3), "_\r\n", "null of RESP3");
  REPLY(resp_array(&b, 10), "*10\r\n", "array");
  REPLY(resp_map(&b, 2, 3), "*6\r\n", "map");
  REPLY(resp_map(&b, 3, 3), "%3\r\n", "map of RESP3");
  REPLY(resp_set(&b, 3, 3), "~3\r\n", "set of RESP3");
  REPLY(resp_verbatim(&b, 2, "x", 1), "$1\r\nx\r\n", "text");
  REPLY(resp_verbatim(&b, 3, "x", 1), "=5\r\ntxt:x\r\n", "text of RESP3");
  REPLY(resp_error(&b, "ERR a\r\n+b"), "-ERR a  +b\r\n", "an error is one line");
  REPLY(resp_errorf(&b, "ERR %s", "c\nd"), "-ERR c d\r\n", "whatever is put into it");
  buf_free(&b);
}

int main(void) {
  arrays();
  inlines();
  errors();
  oversize();
  announced();
  replies();
  return done_testing();
}
