/* Owns how text of any bytes becomes JSON. */
#include "base/json_text.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <string.h>

json_t *json_text(const void *text, size_t len) {
  struct buf b = {0};
  if (utf8_valid(text, len)) return json_stringn_nocheck(text, len);
  buf_add_text(&b, "\"");
  buf_add_json(&b, text, len);
  buf_add_text(&b, "\"");
  json_t *s = b.failed ? NULL : json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  buf_free(&b);
  return s;
}

json_t *json_cstr(const char *text) {
  return text ? json_text(text, strlen(text)) : json_null();
}
