/* Owns the writing of JSON without objects. */
#include "base/json_write.h"

#include "base/buf.h"

#include <string.h>

static void write_name(struct buf *b, const char *name) {
  size_t len = strlen(name);
  char *p = buf_reserve(b, len + 4);
  if (!p) return;
  if (b->len && b->data[b->len - 1] != '{') *p++ = ',';
  *p++ = '"';
  memcpy(p, name, len);
  p += len;
  *p++ = '"';
  *p++ = ':';
  b->len = (size_t)(p - b->data);
}

void json_write_begin(struct buf *b, const char *name) {
  if (name) write_name(b, name);
  buf_add(b, "{", 1);
}

void json_write_end(struct buf *b) {
  buf_add(b, "}", 1);
}

void json_write_text(struct buf *b, const char *name, const char *text) {
  write_name(b, name);
  if (!text) {
    buf_add(b, "null", 4);
    return;
  }
  buf_add(b, "\"", 1);
  buf_add_json(b, text, strlen(text));
  buf_add(b, "\"", 1);
}

void json_write_u64(struct buf *b, const char *name, uint64_t v) {
  write_name(b, name);
  buf_add_u64(b, v > INT64_MAX ? INT64_MAX : v);
}

void json_write_some(struct buf *b, const char *name, uint64_t v) {
  if (v)
    json_write_u64(b, name, v);
  else
    json_write_text(b, name, NULL);
}

void json_write_milli(struct buf *b, const char *name, double v) {
  uint64_t n = v < 0.001 ? 0 : v < 1e15 ? (uint64_t)(v * 1000 + 0.5) : (uint64_t)1e18;
  char part[4] = {'.', (char)('0' + n / 100 % 10), (char)('0' + n / 10 % 10), (char)('0' + n % 10)};
  size_t len = part[3] != '0' ? 4 : part[2] != '0' ? 3 : 2;
  write_name(b, name);
  buf_add_u64(b, n / 1000);
  buf_add(b, part, len);
}

void json_write_bool(struct buf *b, const char *name, bool v) {
  write_name(b, name);
  buf_add_text(b, v ? "true" : "false");
}
