/* Whatever a resident worker prints as a line.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_exec_reply.c
 *   cc -DFUZZ_STANDALONE ...; fuzz_exec_reply tests/fuzz/corpus/exec_reply    runs the corpus
 */
#include "plugins/exec/reply.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slice(const struct slice *s, const char *line, size_t len) {
  if (!s->at) {
    if (s->len) __builtin_trap();
    return;
  }
  /* Within the line, with a byte behind it: callers end texts there. */
  if (s->at < line || s->at + s->len >= line + len) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *line = malloc(size + !size);
  struct reply r;

  if (!line) abort();
  if (size) memcpy(line, data, size);
  if (reply_parse(line, size, &r) < 0) {
    if (size && memcmp(line, data, size) != 0) __builtin_trap(); /* noise is shown as it came */
  } else {
    check_slice(&r.msg, line, size);
    check_slice(&r.error_code, line, size);
    check_slice(&r.jobs, line, size);
    check_slice(&r.topics, line, size);
    check_slice(&r.trace, line, size);
    if (r.jobs.at && *r.jobs.at == '[' && r.jobs.at[r.jobs.len - 1] != ']') __builtin_trap();
  }
  free(line);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
