/* Names of things, walked while a list of them is sent piece by piece. Names are copied first; each
 * thing is looked up again when its turn comes, since a reload may have freed it.
 */
#ifndef PB_CORE_ADMIN_NAMES_H
#define PB_CORE_ADMIN_NAMES_H

#include "base/buf.h"

#include <stddef.h>

#define NAMES_SLICE_US 1000 /* of a turn of the loop */
#define NAMES_PIECE    (32u << 10)

struct names {
  struct buf text; /* each ended by a NUL */
  size_t n, next, at;
};

void names_add(struct names *l, const char *name);
const char *names_peek(const struct names *l); /* NULL: that was the last */
void names_take(struct names *l);
void names_free(struct names *l);

#endif
