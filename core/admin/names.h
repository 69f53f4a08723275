/* Names of things, walked while a list of them is sent piece by piece. Names are copied first; each
 * thing is looked up again when its turn comes, since a reload may have freed it.
 */
#ifndef PB_CORE_ADMIN_NAMES_H
#define PB_CORE_ADMIN_NAMES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define NAMES_SLICE_US 1000 /* of a turn of the loop */
#define NAMES_PIECE    (32u << 10)

struct names {
  struct buf text; /* each ended by a NUL */
  size_t n, next, at;
  bool paged;     /* a page of a longer list: its end tells so */
  char *cursor;   /* of a page: the name of its last one; NULL: it is the last page */
  size_t total;   /* of all pages */
  bool by_offset; /* a page that begins at `offset` (picks.h) */
  size_t offset;
};

void names_add(struct names *l, const char *name);
const char *names_peek(const struct names *l); /* NULL: that was the last */
void names_take(struct names *l);
void names_free(struct names *l);
/* Of `all` (n, put into their order by it) those behind `after` ("": from the first), `limit` at
 * most. So a page is cut before anything is looked up of what it names. */
void names_add_page(struct names *l, const char **all, size_t n, const char *after, size_t limit);
/* Ends a JSON list and its object; of a page with cursor, total and exact. */
void names_end_list(const struct names *l, struct buf *out);

#endif
