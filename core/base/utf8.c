/* Owns what is well-formed UTF-8, and which characters must not be shown. A leaf. */
#include "base/utf8.h"

#include <string.h>

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
