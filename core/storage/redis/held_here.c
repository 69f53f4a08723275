/* Owns the set of a topic's jobs in this node's memory: open addressing, linear probing. */
#include "storage/redis/private.h"

#include <errno.h>
#include <stdlib.h>

static size_t held_here_at(const struct held_here *h, uint64_t a, uint64_t b) {
  uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) + b * UINT64_C(0xc2b2ae3d27d4eb4f);
  return (size_t)(x ^ x >> 29) & (h->cap - 1);
}

static size_t held_here_find(const struct held_here *h, uint64_t a, uint64_t b) {
  size_t i = held_here_at(h, a, b);
  while (h->slot[i].a && (h->slot[i].a != a || h->slot[i].b != b)) i = (i + 1) & (h->cap - 1);
  return i;
}

static int held_here_grow(struct held_here *h) {
  struct held_here bigger = {.cap = h->cap ? h->cap * 2 : 16};
  bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
  if (!bigger.slot) return -ENOMEM;
  for (size_t i = 0; i < h->cap; i++)
    if (h->slot[i].a) bigger.slot[held_here_find(&bigger, h->slot[i].a, h->slot[i].b)] = h->slot[i];
  bigger.n = h->n;
  free(h->slot);
  *h = bigger;
  return 0;
}

int held_here_add(struct held_here *h, uint64_t a, uint64_t b) {
  if ((h->n + 1) * 4 > h->cap * 3 && held_here_grow(h)) return -ENOMEM;
  size_t i = held_here_find(h, a, b);
  if (h->slot[i].a) return -EEXIST;
  h->slot[i] = (struct held_here_key){a, b};
  h->n++;
  return 0;
}

bool held_here_has(const struct held_here *h, uint64_t a, uint64_t b) {
  return h->n && h->slot[held_here_find(h, a, b)].a;
}

void held_here_remove(struct held_here *h, uint64_t a, uint64_t b) {
  if (!h->n) return;
  size_t i = held_here_find(h, a, b), mask = h->cap - 1;
  if (!h->slot[i].a) return;
  h->n--;
  /* Close the gap, so that each later key of this run can still be found. */
  for (size_t j = (i + 1) & mask; h->slot[j].a; j = (j + 1) & mask) {
    size_t home = held_here_at(h, h->slot[j].a, h->slot[j].b);
    if (((j - home) & mask) >= ((j - i) & mask)) {
      h->slot[i] = h->slot[j];
      i = j;
    }
  }
  h->slot[i].a = 0;
}

void held_here_done(struct held_here *h) {
  free(h->slot);
  *h = (struct held_here){0};
}
