/* Base64 of RFC 4648, with padding and without line breaks. */
#ifndef PB_CORE_BASE64_H
#define PB_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

void base64_add(struct buf *b, const void *data, size_t len);
/* Appends the bytes that `text` stands for. False: `text` is not exactly what base64_add() writes
 * for some bytes; then `b` is as it was. */
bool base64_decode(struct buf *b, const char *text, size_t len);

#endif
