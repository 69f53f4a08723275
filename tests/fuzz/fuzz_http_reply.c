/* Whatever comes from an HTTP server, as libcurl hands it over: lines of a head and pieces of a
 * body; the value of a Retry-After among them.
 *
 * The input is cut at line ends until the head is over, then into pieces whose size the first byte
 * chooses. The body in one piece and in pieces must come to the same end.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_http_reply.c -lcurl
 *   cc -DFUZZ_STANDALONE ...; fuzz_http_reply tests/fuzz/corpus/http_reply    runs the corpus once
 */
#include "plugins/http/http_reply.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_MAX 600
#define BODY_MAX 5000

struct end {
  int rc, code, status;
  size_t body_len, head_len;
};

static void check(const struct http_reply *r, int rc) {
  const size_t values[] = {r->error_code, r->topics, r->location, r->retry_after};

  if (!rc != !r->bad[0]) __builtin_trap();
  if (r->head_len > r->head_cap || r->body_len > r->max_body) __builtin_trap();
  if (r->code && (r->code < 100 || r->code > 999)) __builtin_trap();
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    const char *value = http_reply_value(r, values[i]);

    if (value && value + strlen(value) >= r->head + r->head_len) __builtin_trap();
    if (value && http_retry_after_ms(value, 784111777) > UINT64_C(1000000000000)) __builtin_trap();
  }
  if (r->body_len && r->body[r->body_len]) __builtin_trap();
}

static struct end run(struct http_reply *r, const char *p, size_t size, size_t step) {
  const char *end = p + size;
  int rc = 0;

  http_reply_reset(r);
  while (!rc && p < end && !r->over) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    size_t len = nl ? (size_t)(nl + 1 - p) : (size_t)(end - p);

    rc = http_reply_line(r, p, len);
    check(r, rc);
    p += len;
  }
  while (!rc && p < end) {
    size_t len = (size_t)(end - p) < step ? (size_t)(end - p) : step;

    rc = http_reply_body(r, p, len);
    check(r, rc);
    p += len;
  }
  return (struct end){rc, r->code, r->status, rc ? 0 : r->body_len, r->head_len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct http_reply r;
  struct end whole, cut;

  if (!size) return 0;
  http_reply_init(&r, HEAD_MAX, BODY_MAX);
  whole = run(&r, (const char *)data + 1, size - 1, size);
  cut = run(&r, (const char *)data + 1, size - 1, (size_t)data[0] + 1);
  if (whole.rc != cut.rc || whole.code != cut.code || whole.status != cut.status ||
      whole.body_len != cut.body_len || whole.head_len != cut.head_len)
    __builtin_trap();
  http_reply_done(&r);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
