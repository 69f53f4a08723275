/* Owns the slots of a name index. */
#include "base/name_index.h"

#include "base/arena.h"
#include "base/hash.h"

#include <string.h>

static uint64_t name_hash(const char *name, size_t len) {
  uint64_t h = hash_bytes(HASH_BEGIN, name, len);
  return h ^ h >> 32;
}

void name_index_init(struct name_index *x, size_t n, struct arena *a) {
  size_t slots = 4;
  while (slots < 2 * n) slots *= 2; /* half empty: short walks, and always an end */
  x->slots = arena_alloc(a, slots * sizeof *x->slots);
  x->mask = slots - 1;
}

static struct name_slot *slot_find(const struct name_index *x, const char *name, size_t len) {
  for (size_t i = name_hash(name, len) & x->mask;; i = (i + 1) & x->mask) {
    struct name_slot *s = &x->slots[i];
    if (!s->name || (s->len == len && memcmp(s->name, name, len) == 0)) return s;
  }
}

const void *name_index_put(struct name_index *x, const char *name, const void *value) {
  size_t len = strlen(name);
  struct name_slot *s = slot_find(x, name, len);
  if (s->name) return s->value;
  *s = (struct name_slot){name, len, value};
  return NULL;
}

const void *name_index_get(const struct name_index *x, const char *name, size_t len) {
  return slot_find(x, name, len)->value;
}
