/* Owns the steps of a move as the configuration sees them: which storage is the source, which data
 * of the queue moves with the topic, which nodes may still run its jobs. storage/redis/move.c does
 * the work.
 */
#include "acts/move.h"

#include "base/out_of_memory.h"
#include "event/loop.h"
#include "registry/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAKE_MS 1000 /* between two wake-ups of the topics that receive the jobs */

struct act_move {
  struct loop *loop;
  struct registry *registry;
  struct store_move *move;
  struct store *to;
  struct store_act *act;
  char from[NAME_LEN_MAX + 1], target[NAME_LEN_MAX + 1]; /* the storages' names */
  char to_queue[NAME_LEN_MAX + 1], to_topic[NAME_LEN_MAX + 1];
  uint64_t woken_ms;
  act_move_fn fn;
  void *arg;
  struct deferred later; /* an answer that needs no question */
  char why[STORE_ACT_TEXT_MAX];
};

struct act_move *act_move_new(struct loop *loop, struct registry *registry) {
  struct act_move *m = calloc(1, sizeof *m);
  if (!m) out_of_memory();
  m->loop = loop;
  m->registry = registry;
  m->move = store_move_new();
  return m;
}

void act_move_free(struct act_move *m) {
  if (!m) return;
  deferred_cancel(m->loop, &m->later);
  store_move_free(m->move);
  free(m);
}

static void words(const uint64_t n[4], char *ret, size_t size) {
  static const char *const names[] = {"ready", "to be retried", "dead", "delayed"};
  size_t len = (size_t)snprintf(ret, size, "moved");
  for (size_t i = 0; i < 4 && len < size; i++)
    len +=
        (size_t)snprintf(ret + len, size - len, "%s %" PRIu64 " %s", i ? "," : "", n[i], names[i]);
}

static struct store *store_named(struct registry *reg, const char *name) {
  size_t n;
  struct store *found = NULL, *const *stores = registry_stores(reg, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(store_name(stores[i]), name) && (!found || store_state(stores[i]) == STORE_READY))
      found = stores[i];
  return found;
}

static bool is_there(void *arg, const struct store *s) {
  struct act_move *m = arg;
  size_t n;
  struct store *const *stores = registry_stores(m->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (stores[i] == s) return !strcmp(store_name(s), m->from) || !strcmp(store_name(s), m->target);
  return false;
}

static void on_step(void *arg, enum store_rc rc, enum store_move_state state, const uint64_t n[4],
                    uint64_t running, const char *why) {
  struct act_move *m = arg;
  char text[STORE_ACT_TEXT_MAX];
  uint64_t now = loop_now_ms(m->loop), done = n[0] + n[1] + n[2] + n[3];
  if (rc) {
    snprintf(text, sizeof text, "trying again: %.200s", why);
    m->fn(m->arg, ACT_MOVE_WAITS, text);
    return;
  }
  bool over = state == STORE_MOVE_DONE;
  struct store *from = store_named(m->registry, m->from);
  if (state == STORE_MOVE_BACK) {
    if (from) store_act_wake(from, m->act->queue);
    m->fn(m->arg, ACT_MOVE_BACK, "");
    return;
  }
  bool news = done > m->act->done && now - m->woken_ms >= WAKE_MS;
  if ((over || news) && is_there(m, m->to)) {
    m->woken_ms = now;
    store_act_wake(m->to, m->to_queue);
  }
  if (m->act->done < done) m->act->done = done; /* 0 until this process has moved something */
  if (m->act->of < done || over) m->act->of = done;
  words(n, text, sizeof text);
  if (state == STORE_MOVE_WAITS)
    snprintf(text, sizeof text, "waits until %" PRIu64 " running jobs end", running);
  m->fn(m->arg,
        over                        ? ACT_MOVE_DONE
        : state == STORE_MOVE_WAITS ? ACT_MOVE_WAITS
                                    : ACT_MOVE_GOES_ON,
        text);
}

static void tell_waits(void *arg) {
  struct act_move *m = arg;
  m->fn(m->arg, ACT_MOVE_WAITS, m->why);
}

/* Is a topic of `queue` still configured for that storage? */
static bool queue_stays(const struct settings *s, const char *queue, const char *storage) {
  const struct queue_settings *q = settings_queue(s, queue, strlen(queue));
  for (size_t i = 0; q && i < q->n_topics; i++)
    if (q->topics[i]->storage && !strcmp(q->topics[i]->storage->name, storage)) return true;
  return false;
}

static enum store_move_delayed delayed_of(const struct store_move_plan *plan, bool one_store) {
  if (strcmp(plan->queue, plan->to_queue)) return STORE_MOVE_COPIED;
  if (one_store) return STORE_MOVE_STAYS;
  return plan->last ? STORE_MOVE_WHOLE : STORE_MOVE_COPIED;
}

/* Why there can be no step now; "": there can. */
static void look_why(struct act_move *m, const char *path, struct store *from,
                     const struct topic_settings *set, const struct topic_settings *still) {
  const struct store_act *a = m->act;
  m->why[0] = 0;
  if (!from || store_state(from) != STORE_READY)
    snprintf(m->why, sizeof m->why, "storage %.100s is not %s on this node", a->from,
             from ? "ready" : "configured");
  else if (!set || strcmp(set->storage->name, m->target))
    snprintf(m->why, sizeof m->why, "%.120s is not configured for storage %.64s on this node",
             a->to, m->target);
  else if (still && !strcmp(still->storage->name, a->from))
    snprintf(m->why, sizeof m->why, "%.120s is configured for storage %.64s on this node", path,
             a->from);
}

/* Copies of names, for a reload may come before the step has ended. */
static void note_names(struct act_move *m, const struct store *to, const struct store_act *a) {
  size_t queue = strcspn(a->to, "/");
  snprintf(m->from, sizeof m->from, "%s", a->from);
  snprintf(m->target, sizeof m->target, "%s", store_name(to));
  snprintf(m->to_queue, sizeof m->to_queue, "%.*s", (int)queue, a->to);
  snprintf(m->to_topic, sizeof m->to_topic, "%s", a->to + queue + (a->to[queue] == '/'));
}

static void tell_back(void *arg) {
  struct act_move *m = arg;
  m->fn(m->arg, ACT_MOVE_BACK, "");
}

void act_move_step(struct act_move *m, struct store *to, struct store_act *a, bool cancelled,
                   act_move_fn fn, void *arg) {
  const struct settings *s = registry_settings(m->registry);
  struct store *from = store_named(m->registry, a->from);
  const struct topic_settings *set = settings_topic(s, a->to, strlen(a->to));
  char path[2 * NAME_LEN_MAX + 2];
  m->to = to;
  m->act = a;
  m->fn = fn;
  m->arg = arg;
  note_names(m, to, a);
  snprintf(path, sizeof path, "%s/%s", a->queue, a->topic);
  look_why(m, path, from, set, settings_topic(s, path, strlen(path)));
  if (cancelled ? !from || store_state(from) != STORE_READY : *m->why != 0) {
    /* This node cannot give back jobs in a storage that it does not know. */
    loop_defer(m->loop, &m->later, cancelled && !from ? tell_back : tell_waits, m);
    return;
  }
  struct store_move_plan plan = {.id = a->id, .queue = a->queue, .topic = a->topic};
  plan.to_queue = m->to_queue;
  plan.to_topic = m->to_topic;
  plan.epoch = a->epoch;
  plan.cancelled = cancelled;
  plan.is_there = is_there;
  plan.is_there_arg = m;
  if (!cancelled) {
    plan.hold_ms = 2 * set->timeout_ms + set->chunk_wait_ms + 60000;
    plan.here = registry_leaves(m->registry, path, from);
    plan.last = !queue_stays(s, a->queue, a->from);
    plan.delayed = delayed_of(&plan, from == to);
  }
  store_move_step(m->move, from, to, &plan, on_step, m);
}
