/* Whatever comes from an HTTP/1.1 server, as it comes: answers in one piece and in pieces must come
 * to the same end, and what is left over must be the same bytes.
 *
 * The first byte chooses the size of the pieces; its top bit says that nobody wants the body.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_http1.c -lcurl
 *   cc -DFUZZ_STANDALONE ...; fuzz_http1 tests/fuzz/corpus/http1    runs the corpus once
 */
#include "plugins/http/http_reply.c"
#include "plugins/http/http1.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_MAX 600
#define BODY_MAX 5000

struct end {
  int rc, code, status;
  size_t body_len, used;
  bool keeps, ends;
};

static struct end run(struct http1 *w, struct http_reply *r, const char *p, size_t size,
                      size_t step, bool drop) {
  struct end e = {0};

  http_reply_reset(r);
  http1_begin(w, r);
  w->drop = drop;
  while (!e.rc && e.used < size) {
    size_t len = size - e.used < step ? size - e.used : step, used = 0;
    /* A copy of its own, so that a byte too many is noticed. */
    char *piece = malloc(len);

    if (!piece) __builtin_trap();
    memcpy(piece, p + e.used, len);
    e.rc = http1_read(w, piece, len, &used);
    free(piece);
    if (used > len || (!e.rc && used != len)) __builtin_trap();
    if ((e.rc < 0) != !!r->bad[0]) __builtin_trap();
    if (r->body_len > r->max_body || (drop && r->body_len)) __builtin_trap();
    if (w->line_len > w->line_cap) __builtin_trap();
    if (!e.rc && w->line_len > HEAD_MAX && w->line_len > CHUNK_LINE_MAX) __builtin_trap();
    e.used += used;
  }
  e.code = r->code;
  e.status = w->status;
  e.body_len = r->body_len;
  e.keeps = http1_keeps(w);
  e.ends = http1_ends(w);
  if (e.keeps && e.rc != 1) __builtin_trap();
  if (e.rc == 1 && (e.status < 200 || e.ends)) __builtin_trap();
  return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct http_reply r;
  struct http1 w = {0};
  struct end whole, cut;
  bool drop;

  if (!size) return 0;
  drop = data[0] & 0x80;
  http_reply_init(&r, HEAD_MAX, BODY_MAX);
  whole = run(&w, &r, (const char *)data + 1, size - 1, size, drop);
  cut = run(&w, &r, (const char *)data + 1, size - 1, (size_t)(data[0] & 0x7f) + 1, drop);
  /* What is seen first of all that is wrong depends on the pieces. */
  if (whole.rc != cut.rc && (whole.rc >= 0 || cut.rc >= 0)) __builtin_trap();
  if (whole.rc >= 0 &&
      (whole.code != cut.code || whole.status != cut.status || whole.body_len != cut.body_len ||
       whole.used != cut.used || whole.keeps != cut.keeps || whole.ends != cut.ends))
    __builtin_trap();
  http1_done(&w);
  http_reply_done(&r);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
