/* Owns the running storages: made from a snapshot, asked to leave when no snapshot names them any
 * more, and freed when they are not used. It passes a storage's news on to the topics of that
 * storage.
 */
#include "base/log.h"
#include "base/out_of_memory.h"
#include "dispatch/dispatcher.h"
#include "registry/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS      5000 /* for the last answers of a storage that goes */
#define DEAD_AGAIN_MS 5000

static void stores_list(struct registry *reg) {
  size_t n = 0;
  free(reg->stores);
  reg->n_stores = 0;
  for (struct storage *s = reg->storages; s; s = s->next) n++;
  reg->stores = calloc(n + 1, sizeof *reg->stores);
  if (!reg->stores) out_of_memory();
  for (struct storage *s = reg->storages; s; s = s->next) reg->stores[reg->n_stores++] = s->store;
}

static struct storage *storage_of(struct registry *reg, const struct store *store) {
  for (struct storage *s = reg->storages; s; s = s->next)
    if (s->store == store) return s;
  return NULL;
}

static void tell_ready(void *arg) {
  struct storage *s = arg;
  struct registry *reg = s->reg;
  struct telling *tell = &s->telling;
  struct store_stats st;
  uint64_t end = loop_clock_us() + SLICE_US;
  if (tell->generation != reg->generation) tell->at = 0; /* the array has changed */
  tell->generation = reg->generation;
  /* People's questions use the same connection: they wait behind some of these at most. */
  store_stats(s->store, &st);
  uint64_t room = st.in_flight < ON_THE_WAY_MAX ? ON_THE_WAY_MAX - st.in_flight : 0;
  for (; tell->at < reg->n_topics && room && loop_clock_us() < end; tell->at++) {
    struct topic *t = reg->topics[tell->at];
    if (t->store_entry->store != s->store || t->in_registry.store_ready) continue;
    t->in_registry.store_ready = true;
    dispatcher_store_ready(reg->dispatcher, t, true);
    room--;
  }
  if (tell->at < reg->n_topics) timer_start(&tell->next, room ? 0 : 1);
}

/* At once: the storage may be back in a moment, and jobs that the broken connection lost must be
 * looked for then.
 */
static void tell_lost(struct registry *reg, const struct store *store) {
  for (size_t i = 0; i < reg->n_topics; i++) {
    struct topic *t = reg->topics[i];
    if (t->store_entry->store != store) continue;
    t->in_registry.store_ready = false;
    dispatcher_store_ready(reg->dispatcher, t, false);
  }
}

static void on_state(void *arg, struct store *store, enum store_state state, const char *why) {
  struct registry *reg = arg;
  struct storage *s = storage_of(reg, store);
  (void)why;
  if (s) timer_stop(&s->telling.next);
  if (state != STORE_READY) {
    tell_lost(reg, store);
    return;
  }
  if (s) {
    s->telling.at = 0;
    tell_ready(s);
  }
  if (reg->ev.ready) reg->ev.ready(reg->ev.arg);
}

static void on_wake(void *arg, struct store *store, const char *name) {
  struct registry *reg = arg;
  (void)store;
  struct queue *q = registry_queue(reg, name, strlen(name));
  if (q) dispatcher_wake(reg->dispatcher, q, false);
}

static struct topic *topic_of(struct registry *reg, const char *queue, const char *topic) {
  char path[2 * NAME_LEN_MAX + 2];
  int n = snprintf(path, sizeof path, "%s/%s", queue, topic);
  return n < (int)sizeof path ? registry_topic(reg, path, (size_t)n) : NULL;
}

static void on_due(void *arg, struct store *store, const char *queue, const char *topic,
                   uint64_t due_ms) {
  struct registry *reg = arg;
  struct topic *t = topic_of(reg, queue, topic);
  if (t && t->store_entry->store == store) dispatcher_due(reg->dispatcher, t, due_ms);
}

static void on_name_taken(void *arg, struct store *store, const char *why) {
  struct registry *reg = arg;
  (void)store;
  if (reg->ev.name_taken) reg->ev.name_taken(reg->ev.arg, why);
}

/* Ids must be unique over nodes in every storage, so all of them hold one number for this node. */
static void on_shard_taken(void *arg, struct store *store, unsigned shard) {
  struct registry *reg = arg;
  (void)store;
  if (shard != reg->shard) return; /* an older question */
  reg->shard = (reg->shard + 1) % ID_SHARDS;
  for (struct storage *s = reg->storages; s; s = s->next) store_claim_shard(s->store, reg->shard);
}

static void on_declared_dead(void *arg, struct store *store) {
  struct registry *reg = arg;
  dispatcher_declared_dead(reg->dispatcher, store);
}

static void on_missing(void *arg, struct store *store, const char *queue, const char *topic) {
  struct registry *reg = arg;
  struct topic *t = topic_of(reg, queue, topic);
  if (t && t->store_entry->store == store) dispatcher_missing(reg->dispatcher, t);
}

static void on_died(void *arg, struct store *store, const char *node) {
  struct registry *reg = arg;
  struct storage *s = storage_of(reg, store);
  uint64_t now = loop_now_ms(reg->loop);
  /* Told again at each sweep until nothing is left of it; it may come back, and die again. */
  bool news = s && (strcmp(s->dead, node) != 0 || now - s->dead_ms > DEAD_AGAIN_MS);
  if (s) s->dead_ms = now;
  if (news) {
    snprintf(s->dead, sizeof s->dead, "%s", node);
    log_warning(loop_log(reg->loop), store_name(store),
                "node %s is dead; taking over what it was running", node);
  }
  dispatcher_node_died(reg->dispatcher, store, node);
}

static void on_act(void *arg, struct store *store, const char *id) {
  struct registry *reg = arg;
  if (reg->ev.act) reg->ev.act(reg->ev.arg, store, id);
}

/* The storage that was there first stays. The refused one waits until the other has said hello:
 * after a restart of the server both come back, in any order. */
static const char *on_same(void *arg, const struct store *store) {
  struct registry *reg = arg;
  struct storage *me = storage_of(reg, store), *twin_of = me ? me->twin_of : NULL;
  if (!me || !me->configured) return NULL;
  me->twin_of = NULL;
  for (struct storage *s = reg->storages; s; s = s->next) {
    if (s == me || !s->configured || !strcmp(s->set->name, me->set->name)) continue;
    bool comes = s == twin_of && (store_state(s->store) == STORE_CONNECTING ||
                                  store_state(s->store) == STORE_LOADING);
    if (!comes && (store_is_twin(s->store) || !store_is_same(store, s->store))) continue;
    me->twin_of = s;
    return s->set->name;
  }
  return NULL;
}

static void on_shared(void *arg, struct store *store, enum store_shared_event event,
                      const char *id) {
  struct registry *reg = arg;
  reg->ev.shared(reg->ev.arg, store, event, id);
}

static uint64_t on_last_id(void *arg) {
  struct registry *reg = arg;
  return reg->ev.last_id ? reg->ev.last_id(reg->ev.arg) : 0;
}

static enum store_known on_known(void *arg, const char *queue, const char *topic) {
  struct registry *reg = arg;
  const struct queue_settings *q =
      reg->settings ? settings_queue(reg->settings, queue, strlen(queue)) : NULL;
  for (size_t i = 0; q && i < q->n_topics; i++)
    if (!strcmp(q->topics[i]->name, topic)) return STORE_KNOWN_TOPIC;
  return q ? STORE_KNOWN_QUEUE : STORE_KNOWN_NOT;
}

static struct storage *storage_new(struct registry *reg, struct settings *snapshot,
                                   const struct storage_settings *set) {
  struct storage *s = calloc(1, sizeof *s);
  if (!s) out_of_memory();
  struct store_events ev = {.state = on_state,
                            .wake = on_wake,
                            .due = on_due,
                            .name_taken = on_name_taken,
                            .shard_taken = on_shard_taken,
                            .declared_dead = on_declared_dead,
                            .missing = on_missing,
                            .same = on_same,
                            .arg = reg};
  s->reg = reg;
  s->snapshot = settings_ref(snapshot);
  s->set = set;
  s->store = store_new(reg->loop, set, &snapshot->server, reg->node_instance, reg->shard, &ev);
  if (!s->store) out_of_memory();
  store_on_node_death(s->store, on_died, reg);
  store_on_act(s->store, on_act, reg);
  if (reg->ev.shared) store_on_shared(s->store, on_shared, reg);
  store_on_last_id(s->store, on_last_id, reg);
  store_on_stray(s->store, on_known, reg);
  timer_init(&s->telling.next, reg->loop, tell_ready, s);
  s->next = reg->storages;
  reg->storages = s;
  return s;
}

static void storage_free(struct storage *s) {
  for (struct storage **at = &s->reg->storages; *at; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      break;
    }
  s->leaving = true;
  timer_done(&s->telling.next);
  store_free(s->store);
  settings_unref(s->snapshot);
  free(s);
}

static void sweep(void *arg);

static void on_flushed(void *arg, bool idle) {
  struct storage *s = arg;
  (void)idle; /* otherwise its time is over: it is not known how the calls on the way end */
  s->flushing = false;
  s->flushed = true;
  if (!s->leaving) loop_defer(s->reg->loop, &s->reg->sweep, sweep, s->reg);
}

/* Is it only changed? Then this node goes on there under the same name, perhaps in the same Redis.
 */
static bool storage_stays(const struct registry *reg, const struct storage *old) {
  for (const struct storage *s = reg->storages; s; s = s->next)
    if (s != old && !strcmp(s->set->name, old->set->name)) return true;
  return false;
}

/* Frees storages that are neither configured nor used any more. This happens at the end of a turn,
 * because a store may not be freed from within its own callback; and after the answers that
 * producers still wait for. */
void storages_sweep(struct registry *reg) {
  for (struct storage *s = reg->storages, *next; s; s = next) {
    next = s->next;
    if (s->configured || s->queues || s->flushing) continue;
    if ((s->flushed || store_idle(s->store)) && (s->left || storage_stays(reg, s))) {
      storage_free(s);
    } else if (s->flushed || store_idle(s->store)) {
      s->left = true; /* not silent until the others take this node for dead */
      s->flushed = false;
      s->flushing = true;
      store_leave(s->store);
      store_flush(s->store, FLUSH_MS, on_flushed, s);
    } else {
      s->flushing = true;
      store_flush(s->store, FLUSH_MS, on_flushed, s);
    }
  }
  stores_list(reg);
}

static void sweep(void *arg) {
  storages_sweep(arg);
}

struct storage *storages_find(struct registry *reg, const char *name) {
  for (struct storage *s = reg->storages; s; s = s->next)
    if (s->configured && !strcmp(s->set->name, name)) return s;
  return NULL;
}

void storages_unused(struct registry *reg, const struct store *store) {
  struct storage *s = storage_of(reg, store);
  if (!s) return;
  s->queues--;
  if (!s->configured && !s->queues) loop_defer(reg->loop, &reg->sweep, sweep, reg);
}

void storages_apply(struct registry *reg, struct settings *to) {
  for (struct storage *s = reg->storages; s; s = s->next) s->configured = false;
  for (size_t i = 0; i < to->n_storages; i++) {
    const struct storage_settings *set = to->storages[i];
    struct storage *s = reg->storages;
    while (s && (strcmp(s->set->name, set->name) || !settings_storage_equal(s->set, set)))
      s = s->next;
    if (!s) s = storage_new(reg, to, set);
    s->configured = true;
    s->flushed = false;
  }
  stores_list(reg);
}

void storages_free(struct registry *reg) {
  deferred_cancel(reg->loop, &reg->sweep);
  while (reg->storages) storage_free(reg->storages);
  free(reg->stores);
}
