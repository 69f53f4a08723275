/* Owns the way from one snapshot to the next, a few ms of it in each turn of the loop. */
#include "dispatch/dispatcher.h"
#include "registry/private.h"

#include <string.h>

/* False, where there is no such one any more: so do all of these. */
static bool apply_queue(struct registry *reg, struct settings *to) {
  if (reg->apply.at == to->n_queues) return false;
  const struct queue_settings *set = to->queues[reg->apply.at++];
  struct queue *q = registry_queue(reg, set->name, strlen(set->name));
  if (!q) q = queues_start(reg, set);
  q->set = set;
  for (size_t k = 0; k < q->n_stores; k++) {
    struct queue_store *qs = q->stores[k];
    struct settings *was = qs->snapshot;
    qs->active = false;
    qs->snapshot = settings_ref(to);
    store_queue_update(qs->sq, set);
    settings_unref(was);
  }
  /* Intake writes to every storage of the snapshot. */
  for (size_t i = 0; i < set->n_topics; i++) queues_store(reg, q, set->topics[i])->active = true;
  return true;
}

static bool apply_topic(struct registry *reg, struct settings *to) {
  if (reg->apply.at >= reg->n_topics) return false;
  struct topic *t = reg->topics[reg->apply.at];
  const struct topic_settings *was = t->set;
  const struct topic_settings *set = settings_topic(to, was->path, strlen(was->path));
  if (!set || !topics_same_store(reg, t, set)) {
    topics_leave(reg, reg->apply.at); /* the last one has its place now */
    return true;
  }
  reg->apply.at++;
  if (settings_topic_equal(was, set) && t->state != TOPIC_BROKEN && /* mended now? */
      (!was->pool || settings_pool_equal(was->pool, set->pool)))
    return true;
  struct settings *old = t->snapshot;
  t->set = set;
  t->snapshot = settings_ref(to);
  store_topic_times(t->store, set);
  dispatcher_update_topic(reg->dispatcher, t, was);
  settings_unref(old);
  return true;
}

static bool apply_start(struct registry *reg, struct settings *to) {
  if (reg->apply.at == to->n_topics) return false;
  topics_start(reg, to->topics[reg->apply.at++]);
  return true;
}

static bool apply_remove(struct registry *reg, struct settings *to) {
  (void)to;
  return topics_drain_next(reg);
}

static bool apply_trim(struct registry *reg, struct settings *to) {
  if (reg->apply.at >= reg->n_queues) return false;
  struct queue *q = reg->queues[reg->apply.at];
  if (settings_queue(to, q->name, strlen(q->name))) {
    queues_trim(reg, q);
    reg->apply.at++;
  } else {
    queues_leave(reg, reg->apply.at);
  }
  return true;
}

static void apply_begin(struct registry *reg, struct settings *to) {
  reg->apply.from = reg->settings;
  reg->settings = settings_ref(to);
  reg->apply.phase = APPLY_QUEUES;
  reg->apply.at = 0;
  storages_apply(reg, to);
}

/* Until `end`; true: there is more. */
static bool apply_until(struct registry *reg, uint64_t end_us) {
  static bool (*const steps[])(struct registry * reg,
                               struct settings * to) = {[APPLY_QUEUES] = apply_queue,
                                                        [APPLY_TOPICS] = apply_topic,
                                                        [APPLY_START] = apply_start,
                                                        [APPLY_REMOVE] = apply_remove,
                                                        [APPLY_TRIM] = apply_trim};
  while (reg->apply.phase < APPLY_NONE) {
    while (steps[reg->apply.phase](reg, reg->settings))
      if (end_us && loop_clock_us() >= end_us) return true;
    reg->apply.phase++;
    reg->apply.at = 0;
  }
  storages_sweep(reg);
  settings_unref(reg->apply.from);
  reg->apply.from = NULL;
  reg->generation++;
  return false;
}

static void apply_next(void *arg) {
  struct registry *reg = arg;
  if (apply_until(reg, loop_clock_us() + SLICE_US)) {
    timer_start(&reg->apply.next, 0);
    return;
  }
  void (*done)(void *) = reg->apply.done;
  reg->apply.done = NULL;
  if (done) done(reg->apply.arg);
}

bool registry_applies(const struct registry *reg) {
  return reg->apply.phase != APPLY_NONE;
}

void registry_halt(struct registry *reg) {
  timer_stop(&reg->apply.next);
}

void registry_apply(struct registry *reg, struct settings *to) {
  if (registry_applies(reg)) apply_until(reg, 0); /* the one before */
  apply_begin(reg, to);
  apply_until(reg, 0);
}

void registry_apply_slowly(struct registry *reg, struct settings *to, void (*done)(void *arg),
                           void *arg) {
  apply_begin(reg, to);
  reg->apply.done = done;
  reg->apply.arg = arg;
  timer_start(&reg->apply.next, 0);
}

void apply_init(struct registry *reg) {
  reg->apply.phase = APPLY_NONE;
  timer_init(&reg->apply.next, reg->loop, apply_next, reg);
}

void apply_done(struct registry *reg) {
  timer_done(&reg->apply.next);
  settings_unref(reg->apply.from);
}
