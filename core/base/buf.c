/* Owns growing buffers and the writing of text as JSON. */
#include "base/buf.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buf_reserve(struct buf *b, size_t n) {
  size_t need;
  if (b->failed || __builtin_add_overflow(b->len, n, &need)) {
    b->failed = true;
    return NULL;
  }
  if (need > b->cap) {
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *p = realloc(b->data, cap);
    if (!p) {
      b->failed = true;
      return NULL;
    }
    b->data = p;
    b->cap = cap;
  }
  return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t n) {
  char *p = buf_reserve(b, n);
  if (!p || !n) return;
  memcpy(p, data, n);
  b->len += n;
}

void buf_add_text(struct buf *b, const char *text) {
  buf_add(b, text, strlen(text));
}

void buf_add_u64(struct buf *b, uint64_t v) {
  char tmp[20], *p = tmp + sizeof tmp;
  do *--p = (char)('0' + v % 10);
  while (v /= 10);
  buf_add(b, p, (size_t)(tmp + sizeof tmp - p));
}

void buf_printf(struct buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *p = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
  if (!p) return;
  va_start(ap, fmt);
  vsnprintf(p, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
}

void buf_add_json(struct buf *b, const char *text, size_t n) {
  static const char short_escape[32] = {
      ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  const unsigned char *p = (const unsigned char *)text, *end = p + n, *plain = p;
  while (p < end) {
    size_t len = 1;
    if (*p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
      p++;
      continue;
    }
    if (*p >= 0x80 && (len = utf8_sequence(p, (size_t)(end - p)))) {
      p += len;
      continue;
    }
    buf_add(b, plain, (size_t)(p - plain));
    if (*p >= 0x80)
      buf_add(b, "\xef\xbf\xbd", 3);
    else if (*p == '"' || *p == '\\')
      buf_add(b, (char[]){'\\', (char)*p}, 2);
    else if (short_escape[*p])
      buf_add(b, (char[]){'\\', short_escape[*p]}, 2);
    else
      buf_printf(b, "\\u%04x", *p);
    plain = ++p;
  }
  buf_add(b, plain, (size_t)(p - plain));
}

const char *buf_text(struct buf *b) {
  char *p = buf_reserve(b, 1);
  if (!p) return "";
  *p = 0;
  return b->data;
}

void buf_drop(struct buf *b, size_t n) {
  if (n >= b->len) {
    b->len = 0;
    return;
  }
  memmove(b->data, b->data + n, b->len - n);
  b->len -= n;
}

void buf_free(struct buf *b) {
  free(b->data);
  *b = (struct buf){0};
}
