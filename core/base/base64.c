/* Owns how bytes become base64 and back. */
#include "base/base64.h"

#include "base/buf.h"

#include <stdint.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct buf *b, const void *data, size_t len) {
  const unsigned char *p = data;
  for (size_t i = 0; i < len; i += 3) {
    size_t left = len - i;
    unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                 (left > 2 ? p[i + 2] : 0u);
    buf_add(b,
            (char[]){letters[v >> 18], letters[v >> 12 & 63], left > 1 ? letters[v >> 6 & 63] : '=',
                     left > 2 ? letters[v & 63] : '='},
            4);
  }
}

static int value_of(char c) {
  const char *at = c ? strchr(letters, c) : NULL;
  return at ? (int)(at - letters) : -1;
}

/* Four letters; `last`: they may end with "=". Returns how many bytes, 0 where they are none. */
static size_t four_read(const char *in, bool last, unsigned char out[3]) {
  size_t pads = !last || in[3] != '=' ? 0 : in[2] == '=' ? 2 : 1;
  uint32_t v = 0;
  for (size_t i = 0; i < 4; i++) {
    int n = i < 4 - pads ? value_of(in[i]) : 0;
    if (n < 0) return 0;
    v = v << 6 | (uint32_t)n;
  }
  if (v & ((1u << 8 * pads) - 1)) return 0; /* bits that no byte has: another text for the same */
  out[0] = (unsigned char)(v >> 16);
  out[1] = (unsigned char)(v >> 8);
  out[2] = (unsigned char)v;
  return 3 - pads;
}

bool base64_decode(struct buf *b, const char *text, size_t len) {
  size_t was = b->len;
  bool good = len % 4 == 0;
  for (size_t i = 0; good && i < len; i += 4) {
    unsigned char out[3];
    size_t n = four_read(text + i, i + 4 == len, out);
    good = n > 0;
    buf_add(b, out, n);
  }
  if (!good) b->len = was;
  return good;
}
