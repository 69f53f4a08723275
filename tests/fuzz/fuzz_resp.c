/* Requests: whatever the bytes, the parser stays inside them, and it reads the same from one piece
 * as from many. The first byte says how they are cut and which limits hold.
 *
 *   clang -fsanitize=fuzzer,address ... -dict=tests/fuzz/resp.dict tests/fuzz/corpus/resp
 *   cc -DFUZZ_STANDALONE ...; fuzz_resp tests/fuzz/corpus/resp    runs the corpus once
 */
#include "base/buf.c"
#include "intake/resp.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
  uint64_t hash;
  size_t requests, used;
  bool broken;
};

static void add(struct sum *s, const void *data, size_t n) {
  const unsigned char *p = data;
  while (n--) s->hash = (s->hash ^ *p++) * UINT64_C(0x100000001b3);
}

/* Feeds pieces of `step` bytes, as client.c does: what is incomplete is kept, in a buffer of
 * exactly its size so that a byte read too far is noticed. */
static struct sum run(const uint8_t *data, size_t size, size_t step, const struct resp_limits *l) {
  struct sum sum = {.hash = UINT64_C(0xcbf29ce484222325)};
  struct resp p = {0};
  size_t have = 0, peak = 0;
  char *in = NULL;
  for (size_t from = 0; from < size && !sum.broken; from += step) {
    size_t n = size - from < step ? size - from : step, at = 0;
    char *grown = malloc(have + n);
    if (have) memcpy(grown, in, have);
    memcpy(grown + have, data + from, n);
    free(in);
    in = grown;
    have += n;
    while (at < have && !sum.broken) {
      enum resp_rc rc = resp_parse(&p, in + at, have - at, l);
      if (rc == RESP_MORE) {
        if (p.keep > have - at) __builtin_trap();
        have = at + p.keep;
        break;
      }
      if (rc == RESP_ERROR) {
        if (strlen(p.error) < sizeof "Protocol error: " || p.fault == RESP_FAULT_NONE)
          __builtin_trap();
        add(&sum, p.error, strlen(p.error));
        sum.broken = true;
        break;
      }
      if (rc == RESP_REQUEST) {
        sum.requests++;
        if (!p.argc) __builtin_trap();
        for (size_t i = 0; i < p.argc; i++) {
          if (!p.args[i].text && !p.oversize) __builtin_trap();
          if (p.args[i].text) {
            if (p.args[i].text < in + at || p.args[i].text + p.args[i].len > in + at + p.at)
              __builtin_trap();
            add(&sum, p.args[i].text, p.args[i].len);
          }
          add(&sum, &p.args[i].len, sizeof p.args[i].len);
        }
      }
      if (!p.at || p.at > have - at) __builtin_trap();
      at += p.at;
      resp_reset(&p);
    }
    if (at > have) __builtin_trap();
    have -= at;
    memmove(in, in + at, have);
    peak = have > peak ? have : peak;
  }
  /* What is kept is bounded by the limits, not by what was announced. */
  if (!sum.broken && p.begun && peak > l->max_request + 64 * (l->max_args + 1) + step)
    __builtin_trap();
  if (p.cap > 2 * p.argc + 16 && p.cap > 1024) __builtin_trap();
  free(in);
  resp_free(&p);
  return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  struct resp_limits l = {
      .max_args = 40, .max_bulk = 300, .max_request = 500, .unauth = data[0] & 0x80};
  struct sum whole = run(data + 1, size - 1, size, &l);
  struct sum cut = run(data + 1, size - 1, (size_t)(data[0] & 0x7f) + 1, &l);
  if (whole.hash != cut.hash || whole.requests != cut.requests || whole.broken != cut.broken)
    __builtin_trap();
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
