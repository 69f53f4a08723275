/* Owns growing buffers and the two texts-to-JSON primitives. A leaf. */
#include "base/buf.h"

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

size_t utf8_sequence(const unsigned char *p, size_t n) {
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xc2) return 0;
  if (p[0] < 0xe0) return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
  if (p[0] < 0xf0) {
    if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogate */
    return 3;
  }
  if (p[0] > 0xf4 || n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
      (p[3] & 0xc0) != 0x80)
    return 0;
  if (p[0] == 0xf0 && p[1] < 0x90) return 0;
  if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
  return 4;
}

bool utf8_valid(const char *text, size_t n) {
  const unsigned char *p = (const unsigned char *)text, *end = p + n;
  while (p < end) {
    uint64_t word;
    if (end - p >= 8) {
      memcpy(&word, p, 8);
      if (!(word & UINT64_C(0x8080808080808080))) {
        p += 8;
        continue;
      }
    }
    size_t len = utf8_sequence(p, (size_t)(end - p));
    if (!len) return false;
    p += len;
  }
  return true;
}

static uint32_t utf8_code(const unsigned char *p, size_t len) {
  if (len == 1) return p[0];
  uint32_t c = p[0] & (0xffu >> (len + 1));
  for (size_t i = 1; i < len; i++) c = c << 6 | (p[i] & 0x3f);
  return c;
}

size_t utf8_unshown(const unsigned char *p, size_t n, uint32_t *ret_code) {
  static const uint32_t ranges[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},
                                       {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200b},
                                       {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
                                       {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
  if (*p >= ' ' && *p < 0x7f) return 0;
  size_t len = utf8_sequence(p, n);
  if (!len) {
    *ret_code = UTF8_BYTE | *p;
    return 1;
  }
  uint32_t c = utf8_code(p, len);
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (c >= ranges[i][0] && c <= ranges[i][1]) {
      *ret_code = c;
      return len;
    }
  return 0;
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
