/* JSON written straight into a buffer, for lists of thousands of items: no object is made. Each
 * function adds one member. It puts a comma before it unless the member is the first one of its
 * object. Names are ours and need no escapes. */
#ifndef PB_CORE_JSON_WRITE_H
#define PB_CORE_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

void json_write_begin(struct buf *b, const char *name); /* an object; NULL: the outermost one */
void json_write_end(struct buf *b);
/* Bytes that are not UTF-8 become U+FFFD. NULL: null */
void json_write_text(struct buf *b, const char *name, const char *text);
void json_write_u64(struct buf *b, const char *name, uint64_t v);  /* INT64_MAX at most */
void json_write_some(struct buf *b, const char *name, uint64_t v); /* 0: null */
void json_write_milli(struct buf *b, const char *name, double v);  /* >= 0, in thousandths */
void json_write_bool(struct buf *b, const char *name, bool v);

#endif
