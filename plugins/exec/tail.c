/* Owns the memory of a process' output. Without memory the oldest part is lost, no more. */
#include "tail.h"

#include <stdlib.h>
#include <string.h>

#define SMALL 16384

void tail_init(struct tail *t, size_t max) {
  *t = (struct tail){.max = max};
}

void tail_done(struct tail *t) {
  free(t->buf);
  *t = (struct tail){.max = t->max};
}

void tail_clear(struct tail *t) {
  if (t->cap > SMALL)
    tail_done(t);
  else
    t->len = 0, t->cut = false;
}

/* The buffer has room for twice the kept bytes, so that each byte is moved at most once. */
static bool make_room(struct tail *t, size_t n) {
  size_t want = t->len + n, cap = t->cap ? t->cap : 256;
  char *buf;

  if (want <= t->cap) return true;
  while (cap < want) cap *= 2;
  if (cap > 2 * t->max) cap = 2 * t->max;
  buf = cap > t->cap ? realloc(t->buf, cap) : t->buf;
  if (!buf) {
    t->cut = true;
    t->len = 0;
    return n <= t->cap;
  }
  t->buf = buf;
  t->cap = cap;
  if (want > cap) {
    memmove(t->buf, t->buf + t->len - t->max, t->max);
    t->len = t->max;
    t->cut = true;
  }
  return true;
}

void tail_add(struct tail *t, const char *data, size_t len) {
  if (len > t->max) {
    data += len - t->max;
    len = t->max;
    t->len = 0;
    t->cut = true;
  }
  if (!len || !make_room(t, len)) return;
  memcpy(t->buf + t->len, data, len);
  t->len += len;
}

static bool white(char c) {
  return (unsigned char)c <= ' ';
}

const char *tail_text(const struct tail *t, size_t *ret_len) {
  size_t from = t->len > t->max ? t->len - t->max : 0, to = t->len;

  if (from || t->cut)
    while (from < to && ((unsigned char)t->buf[from] & 0xc0) == 0x80) from++;
  while (to > from && white(t->buf[to - 1])) to--;
  while (from < to && white(t->buf[from])) from++;
  *ret_len = to - from;
  return to > from ? t->buf + from : "";
}

const char *tail_line(const struct tail *t, size_t *ret_len) {
  size_t len;
  const char *text = tail_text(t, &len), *nl = memrchr(text, '\n', len);

  *ret_len = nl ? len - (size_t)(nl + 1 - text) : len;
  return nl ? nl + 1 : text;
}
