/* Owns the running queues. A queue lives as long as its name is configured, so producers never meet
 * a gap.
 */
#include "registry/private.h"

#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>

static void queue_store_free(struct registry *reg, struct queue_store *qs) {
  const struct store *store = qs->store;
  store_queue_free(qs->sq);
  settings_unref(qs->snapshot);
  free(qs);
  storages_unused(reg, store);
}

/* Nobody refers to it any more. */
static void queue_free(struct queue *q) {
  if (q->delayed.timer.loop) timer_done(&q->delayed.timer);
  for (size_t i = 0; i < q->n_stores; i++) queue_store_free(q->registry, q->stores[i]);
  free(q->stores);
  free(q->topics);
  free(q);
}

struct queue_store *queues_store(struct registry *reg, struct queue *q,
                                 const struct topic_settings *t) {
  struct storage *s = storages_find(reg, t->storage->name);
  for (size_t i = 0; i < q->n_stores; i++)
    if (q->stores[i]->store == s->store && q->stores[i]->retain_ms == t->queue->retain_ms)
      return q->stores[i];
  struct queue_store **p = realloc(q->stores, (q->n_stores + 1) * sizeof *p);
  struct queue_store *qs = calloc(1, sizeof *qs);
  if (!p || !qs) out_of_memory();
  q->stores = p;
  qs->store = s->store;
  qs->retain_ms = t->queue->retain_ms;
  qs->snapshot = settings_ref(reg->settings);
  qs->sq = store_queue_new(s->store, t->queue, reg->gateway);
  if (!qs->sq) out_of_memory();
  s->queues++;
  q->stores[q->n_stores++] = qs;
  return qs;
}

void queues_trim(struct registry *reg, struct queue *q) {
  for (size_t i = 0; i < q->n_stores;) {
    struct queue_store *qs = q->stores[i];
    if (qs->active || qs->topics) {
      i++;
      continue;
    }
    queue_store_free(reg, qs);
    q->stores[i] = q->stores[--q->n_stores];
  }
}

void queues_leave(struct registry *reg, size_t at) {
  struct queue *q = reg->queues[at];
  lookup_remove_queue(reg, q);
  reg->queues[at] = reg->queues[--reg->n_queues];
  q->leaving = true;
  if (q->delayed.timer.loop) timer_stop(&q->delayed.timer);
  queue_unref(q);
}

struct queue *queues_start(struct registry *reg, const struct queue_settings *set) {
  struct queue *q = calloc(1, sizeof *q);
  if (!q) out_of_memory();
  q->registry = reg;
  q->refs = 1;
  q->gone = queue_free;
  snprintf(q->name, sizeof q->name, "%s", set->name);
  reg->queues = array_grown(reg->queues, reg->n_queues, sizeof *reg->queues);
  reg->queues[reg->n_queues++] = q;
  lookup_add_queue(reg, q);
  return q;
}
