/* A request header of a topic's own, as a configuration has it: what passes is one line, of a name
 * that is the topic's to set.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_http_header.c -lcurl
 *   cc -DFUZZ_STANDALONE ...; fuzz_http_header tests/fuzz/corpus/http_header    runs the corpus
 * once
 */
#include "plugins/common/fault.c"
#include "plugins/http/http_target.c"
#include "plugins/http/http_tls.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *line = malloc(size + 1), why[160] = "";

  if (!line) return 0;
  memcpy(line, data, size);
  line[size] = 0;
  if (http_header_ok(line, why, sizeof why)) {
    if (strpbrk(line, "\r\n") || !strchr(line, ':') || strncasecmp(line, "Host:", 5) == 0 ||
        strncasecmp(line, "Content-Length:", 15) == 0 || strncasecmp(line, "X-Pepperbus-", 12) == 0)
      __builtin_trap();
  } else if (!why[0]) {
    __builtin_trap();
  }
  free(line);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
