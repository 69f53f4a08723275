/* Texts for people that are too long to be kept whole. No function of the host: it is compiled
 * into whoever includes it.
 */
#ifndef PEPPERBUS_TEXT_H
#define PEPPERBUS_TEXT_H

#include <stddef.h>
#include <string.h>

#define PB_EXCERPT_MIN 64 /* the smallest `size` that has room for a beginning and an end */

/* Is this a byte within a UTF-8 character, and not its first? */
static inline int pb_text_within(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

/* Copies `text` to `ret` (`size` bytes, a NUL included) and returns its length there. What does not
 * fit loses its middle: a fatal error of PHP names itself in the first line, a traceback of Python
 * in the last. No UTF-8 character is cut in two. `size` is at least PB_EXCERPT_MIN. */
static inline size_t pb_excerpt(char *ret, size_t size, const char *text, size_t len) {
  static const char gap[] = " [...] ";
  const size_t gap_len = sizeof gap - 1, room = size - 1;
  size_t head, tail;
  int step;

  if (len <= room) {
    if (len) memcpy(ret, text, len);
    ret[len] = 0;
    return len;
  }
  head = (room - gap_len) * 2 / 5;
  tail = room - gap_len - head;
  /* A character has three bytes behind its first at most; more of them are no UTF-8. */
  for (step = 0; step < 3 && head && pb_text_within(text[head]); step++) head--;
  for (step = 0; step < 3 && tail && pb_text_within(text[len - tail]); step++) tail--;
  memcpy(ret, text, head);
  memcpy(ret + head, gap, gap_len);
  memcpy(ret + head + gap_len, text + len - tail, tail);
  ret[head + gap_len + tail] = 0;
  return head + gap_len + tail;
}

#endif
