/* Owns the queues of a storage by their names: a look through 10,000 queues for each of 10,000
 * names took seconds. */
#include "storage/redis/queue_names.h"

#include "base/hash.h"
#include "storage/redis/private.h"

#include <stdlib.h>
#include <string.h>

static struct store_queue **slot_of(const struct store *s, const char *name) {
  return &s->names.slots[hash_bytes(HASH_BEGIN, name, strlen(name)) & (s->names.n_slots - 1)];
}

static bool grow(struct store *s) {
  size_t n = s->names.n_slots ? 2 * s->names.n_slots : 16;
  struct store_queue **slots = calloc(n, sizeof *slots);
  if (!slots) return false;
  free(s->names.slots);
  s->names.slots = slots;
  s->names.n_slots = n;
  for (struct store_queue *q = s->objects.queues; q; q = q->next) {
    struct store_queue **p = slot_of(s, q->name);
    q->named_next = *p;
    *p = q;
  }
  return true;
}

void queue_names_add(struct store_queue *q) {
  q->store->names.n++;
  struct store_queue **p = slot_of(q->store, q->name);
  q->named_next = *p;
  *p = q;
}

void queue_names_remove(struct store_queue *q) {
  q->store->names.n--;
  struct store_queue **p = slot_of(q->store, q->name);
  while (*p != q) p = &(*p)->named_next;
  *p = q->named_next;
}

struct store_queue *queue_named(const struct store *s, const char *name,
                                const struct store_queue *after) {
  struct store_queue *q = after ? after->named_next : s->names.n_slots ? *slot_of(s, name) : NULL;
  while (q && strcmp(q->name, name) != 0) q = q->named_next;
  return q;
}

bool queue_names_room(struct store *s) {
  return s->names.n < s->names.n_slots || grow(s);
}

void queue_names_done(struct store *s) {
  free(s->names.slots);
}
