/* Things by their names: filled once, then only read. */
#ifndef PB_CORE_NAME_INDEX_H
#define PB_CORE_NAME_INDEX_H

#include <stddef.h>

struct arena;

/* Open addressing. The names belong to whoever put them there. */
struct name_index {
  struct name_slot *slots;
  size_t mask;
};
struct name_slot {
  const char *name;
  size_t len;
  const void *value;
};

/* Room for `n` of them, in the arena. */
void name_index_init(struct name_index *x, size_t n, struct arena *a);
/* Returns what stands under this name already, or NULL and puts `value` there. */
const void *name_index_put(struct name_index *x, const char *name, const void *value);
const void *name_index_get(const struct name_index *x, const char *name, size_t len);

#endif
