/* Owns the running topics. A topic lives as long as its name and storage are configured; where the
 * storage changed the old one drains first and the new one starts when it is gone, or else it would
 * take over jobs that still run.
 */
#include "base/out_of_memory.h"
#include "dispatch/dispatcher.h"
#include "registry/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void topic_gone(void *arg, struct topic *t);

static void topic_start(struct registry *reg, struct queue *q, const struct topic_settings *set) {
  struct topic *t = calloc(1, sizeof *t);
  if (!t) out_of_memory();
  t->set = set;
  t->snapshot = settings_ref(reg->settings);
  t->queue = q;
  queue_ref(q);
  t->store_entry = queues_store(reg, q, set);
  t->store_entry->topics++;
  t->in_registry.store_snapshot = settings_ref(reg->settings);
  t->store = store_topic_new(t->store_entry->sq, set);
  if (!t->store) out_of_memory();
  t->since_ms = loop_wall_ms(reg->loop);
  reg->topics = array_grown(reg->topics, reg->n_topics, sizeof *reg->topics);
  reg->topics[reg->n_topics++] = t;
  q->topics = array_grown(q->topics, q->n_topics, sizeof *q->topics);
  q->topics[q->n_topics++] = t;
  lookup_add_topic(reg, t);
  dispatcher_add_topic(reg->dispatcher, t);
  if (store_state(t->store_entry->store) != STORE_READY) return;
  t->in_registry.store_ready = true;
  dispatcher_store_ready(reg->dispatcher, t, true);
}

static void topic_free(struct registry *reg, struct topic *t) {
  struct queue *q = t->queue;
  store_topic_free(t->store);
  t->store = NULL;
  t->store_entry->topics--;
  settings_unref(t->in_registry.store_snapshot);
  settings_unref(t->snapshot);
  loop_free_later(reg->loop, t);
  queue_unref(q);
}

bool registry_leaves(const struct registry *reg, const char *path, const struct store *store) {
  for (const struct topic *t = reg->leavers; t; t = t->in_registry.leave_next)
    if (!strcmp(t->set->path, path) && t->store_entry->store == store) return true;
  return false;
}

void topics_start(struct registry *reg, const struct topic_settings *set) {
  if (registry_topic(reg, set->path, strlen(set->path)) || lookup_leaver(reg, set->path)) return;
  struct queue *q = registry_queue(reg, set->queue->name, strlen(set->queue->name));
  if (q) topic_start(reg, q, set);
}

static void topic_gone(void *arg, struct topic *t) {
  struct registry *reg = arg;
  char path[2 * NAME_LEN_MAX + 2];
  *t->in_registry.leave_prev = t->in_registry.leave_next;
  if (t->in_registry.leave_next)
    t->in_registry.leave_next->in_registry.leave_prev = t->in_registry.leave_prev;
  lookup_gone(reg, t);
  snprintf(path, sizeof path, "%s", t->set->path);
  struct queue *q = t->queue;
  bool queue_stays = !q->leaving;
  if (reg->ev.gone) reg->ev.gone(reg->ev.arg, t);
  topic_free(reg, t);
  if (queue_stays) queues_trim(reg, q);
  const struct topic_settings *set = settings_topic(reg->settings, path, strlen(path));
  if (set) topics_start(reg, set); /* it was moved to another storage */
}

void topics_leave(struct registry *reg, size_t at) {
  struct topic *t = reg->topics[at];
  struct queue *q = t->queue;
  lookup_leave(reg, t);
  reg->topics[at] = reg->topics[--reg->n_topics];
  for (size_t i = 0; i < q->n_topics; i++)
    if (q->topics[i] == t) {
      memmove(q->topics + i, q->topics + i + 1, (--q->n_topics - i) * sizeof *q->topics);
      break;
    }
  t->in_registry.leave_next = reg->leavers;
  t->in_registry.leave_prev = &reg->leavers;
  if (t->in_registry.leave_next)
    t->in_registry.leave_next->in_registry.leave_prev = &t->in_registry.leave_next;
  t->in_registry.leave_due = true;
  reg->leavers = t;
}

bool topics_same_store(struct registry *reg, const struct topic *t,
                       const struct topic_settings *set) {
  const struct storage *s = storages_find(reg, set->storage->name);
  return s && t->store_entry->store == s->store &&
         t->store_entry->retain_ms == set->queue->retain_ms;
}

bool topics_drain_next(struct registry *reg) {
  struct topic *t = reg->leavers;
  while (t && !t->in_registry.leave_due) t = t->in_registry.leave_next;
  if (!t) return false;
  t->in_registry.leave_due = false;
  dispatcher_remove_topic(reg->dispatcher, t, topic_gone, reg);
  return true;
}

void topics_free(struct registry *reg) {
  while (reg->leavers) {
    struct topic *t = reg->leavers;
    reg->leavers = t->in_registry.leave_next;
    topic_free(reg, t);
  }
  while (reg->n_topics) topic_free(reg, reg->topics[--reg->n_topics]);
  free(reg->topics);
}
