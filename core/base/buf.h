/* A growing byte buffer. Zeroed is empty; appending cannot be forgotten to be checked: on lack
 * of memory `failed` is set, further appends do nothing, and the user asks once at the end. */
#ifndef PB_CORE_BUF_H
#define PB_CORE_BUF_H

#include <pepperbus/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
  char *data; /* not NUL-terminated; see buf_text() */
  size_t len, cap;
  bool failed;
};

/* Room for `n` more bytes at data+len, or NULL. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_text(struct buf *b, const char *text);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PB_PRINTF(2, 3);
/* Adds `n` bytes as the inside of a JSON string: quotes, backslashes and control characters
 * escaped, invalid UTF-8 replaced (use utf8_valid() first where bytes must survive). */
void buf_add_json(struct buf *b, const char *text, size_t n);
const char *buf_text(struct buf *b);    /* NUL-terminated; "" without memory */
void buf_drop(struct buf *b, size_t n); /* the first n bytes */
void buf_free(struct buf *b);           /* empties it; it may be used again */

#endif
