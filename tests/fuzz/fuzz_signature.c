/* The message of a failure, which a worker writes. */
#include "job/signature.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct signature s, again;
  uint64_t id;
  char text[SIGNATURE_ID_LEN + 1];
  signature_of((int)size, (const char *)data, size, &s);
  if (s.len > SIGNATURE_TEXT_MAX || s.text[s.len] || strlen(s.text) != s.len) __builtin_trap();
  if (!utf8_valid(s.text, s.len)) __builtin_trap();
  for (size_t i = 0; i < s.len; i++)
    if (is_digit(s.text[i]) || (unsigned char)s.text[i] < ' ') __builtin_trap();
  signature_format(s.id, text);
  if (!signature_parse(text, &id) || id != s.id) __builtin_trap();
  /* Who has the first bytes only gets the same. */
  signature_of(s.code, (const char *)data, size < SIGNATURE_LOOK ? size : SIGNATURE_LOOK, &again);
  if (again.id != s.id || strcmp(again.text, s.text) != 0) __builtin_trap();
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
