/* What stands in Redis where a revision should be: anybody who writes there can put it there.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_revision.c -ljansson
 *   cc -DFUZZ_STANDALONE ...; fuzz_revision tests/fuzz/corpus/revision    runs the corpus
 */
#include "control/revision.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const unsigned char key[SEAL_KEY_LEN] = {1};
  struct revision r, again;
  struct pb_err err = {.text = ""};
  struct seal seal;
  if (seal_init(&seal, key)) abort();
  if (revision_read(data, size, &r, &err)) {
    if (!*err.text) __builtin_trap();
    return 0;
  }
  int rc = revision_verify(&r, &seal, r.cluster);
  if (rc && rc != -EBADMSG) __builtin_trap();
  /* What can be read can be written, and is then verified. */
  size_t len = 0;
  char *text = revision_write(&r, &seal, &len);
  if (!text || revision_read(text, len, &again, &err)) __builtin_trap();
  if (revision_verify(&again, &seal, r.cluster)) __builtin_trap();
  if (strcmp(again.text, r.text) || again.number != r.number) __builtin_trap();
  if (!rc && strcmp(again.mark, r.mark)) __builtin_trap();
  revision_done(&again);
  revision_done(&r);
  free(text);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
