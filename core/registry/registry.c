/* Owns the running queues, topics and storages, and the way from one snapshot to the next.
 *
 * A queue object lives as long as its name is configured, so producers never meet a gap. A topic
 * object lives as long as its name and storage are; where the storage changed the old one drains
 * first and the new one starts when it is gone, or else it would take over jobs that still run.
 */
#include "registry/registry.h"

#include "dispatch/dispatcher.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_US      4000 /* of what concerns thousands of topics, in one turn */
#define FLUSH_MS      5000 /* for the last answers of a storage that goes */
#define DEAD_AGAIN_MS 5000

/* A storage's topics are told that it is ready, or not any more. */
struct telling {
  struct timer next;
  uint64_t generation;
  size_t at;
};

struct storage { /* a running storage */
  struct storage *next;
  struct registry *reg;
  struct store *store;
  struct settings *snapshot; /* that it was made from; a reference */
  const struct storage_settings *set;
  unsigned queues; /* entries of queues that use it */
  struct storage
      *twin_of;     /* it was refused as the same database as this one; to be compared only */
  char dead[256];   /* the node whose death was logged last */
  uint64_t dead_ms; /* monotonic: when it was told of last */
  bool left;        /* this node has given up its name there */
  bool configured;
  bool flushing, flushed; /* not configured: waits for its last answers; has them */
  bool leaving;           /* being freed */
  struct telling telling;
};

struct index { /* open addressing by name */
  void **slot;
  size_t mask, n;
};

/* The way from one snapshot to the next, a few ms of it in each turn. What waits for its part runs
 * as before; reg->settings is the new one from the beginning. */
enum apply_phase {
  APPLY_QUEUES, /* queues that are new, and what is new of others */
  APPLY_TOPICS, /* topics that run: changed, or to leave */
  APPLY_START,  /* topics that are new */
  APPLY_REMOVE, /* topics that leave begin to drain: after the new ones, so that their pools live on
                 */
  APPLY_TRIM,   /* queues that are no longer named */
  APPLY_NONE    /* nothing is being applied */
};

struct apply {
  enum apply_phase phase;
  struct settings *from;
  size_t at;
  struct timer next;
  void (*done)(void *arg);
  void *arg;
};

struct registry {
  struct loop *loop;
  struct dispatcher *dispatcher;
  struct settings *settings;
  struct registry_events ev;
  struct gateway gateway;
  char instance[40];
  unsigned shard;
  struct storage *storages;
  struct store **stores; /* of the present snapshot, for walkers */
  size_t n_stores;
  struct queue **queues;
  struct topic **topics;
  size_t n_queues, n_topics;
  struct topic *leavers; /* topics that drain */
  struct index by_queue, by_topic, by_leaver;
  struct apply apply;
  uint64_t generation;
  struct deferred sweep;
};

/* --- lookup --- */

static uint64_t hash(const char *name, size_t len) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)name[i]) * 1099511628211u;
  return h;
}

/* The place of `key`, or of the object that stands there (NULL: any of that name). */
static size_t index_place(const struct index *ix, const char *key, const void *object,
                          const char *(*name)(const void *)) {
  size_t at = hash(key, strlen(key)) & ix->mask;
  while (ix->slot[at] && (object ? ix->slot[at] != object : strcmp(name(ix->slot[at]), key) != 0))
    at = (at + 1) & ix->mask;
  return at;
}

static void index_put(struct index *ix, void *object, const char *(*name)(const void *)) {
  const char *key = name(object);
  size_t at = hash(key, strlen(key)) & ix->mask;
  while (ix->slot[at]) at = (at + 1) & ix->mask;
  ix->slot[at] = object;
}

static void index_add(struct index *ix, void *object, const char *(*name)(const void *)) {
  if (!ix->slot || (ix->n + 1) * 2 > ix->mask + 1) {
    struct index old = *ix;
    size_t cap = ix->slot ? (ix->mask + 1) * 2 : 16;
    ix->slot = calloc(cap, sizeof *ix->slot);
    if (!ix->slot) abort();
    ix->mask = cap - 1;
    for (size_t i = 0; old.slot && i <= old.mask; i++)
      if (old.slot[i]) index_put(ix, old.slot[i], name);
    free(old.slot);
  }
  index_put(ix, object, name);
  ix->n++;
}

/* Those behind it that stand further back than they would have to move up. */
static void index_remove(struct index *ix, const void *object, const char *(*name)(const void *)) {
  if (!ix->slot) return;
  size_t hole = index_place(ix, name(object), object, name);
  if (!ix->slot[hole]) return;
  ix->n--;
  for (size_t at = (hole + 1) & ix->mask; ix->slot[at]; at = (at + 1) & ix->mask) {
    const char *key = name(ix->slot[at]);
    size_t home = hash(key, strlen(key)) & ix->mask;
    if (((at - home) & ix->mask) < ((at - hole) & ix->mask)) continue;
    ix->slot[hole] = ix->slot[at];
    hole = at;
  }
  ix->slot[hole] = NULL;
}

static void *index_find(const struct index *ix, const char *key, size_t len,
                        const char *(*name)(const void *)) {
  if (!ix->slot) return NULL;
  for (size_t at = hash(key, len) & ix->mask; ix->slot[at]; at = (at + 1) & ix->mask) {
    const char *other = name(ix->slot[at]);
    if (!strncmp(other, key, len) && !other[len]) return ix->slot[at];
  }
  return NULL;
}

static const char *queue_name(const void *q) {
  return ((const struct queue *)q)->name;
}
static const char *topic_path(const void *t) {
  return ((const struct topic *)t)->set->path;
}

struct queue *registry_queue(struct registry *reg, const char *name, size_t len) {
  return index_find(&reg->by_queue, name, len, queue_name);
}
struct topic *registry_topic(struct registry *reg, const char *path, size_t len) {
  return index_find(&reg->by_topic, path, len, topic_path);
}
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_queues;
  return reg->queues;
}
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_topics;
  return reg->topics;
}
struct store *const *registry_stores(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_stores;
  return reg->stores;
}
const struct settings *registry_settings(const struct registry *reg) {
  return reg->settings;
}
uint64_t registry_generation(const struct registry *reg) {
  return reg->generation;
}
unsigned registry_shard(const struct registry *reg) {
  return reg->shard;
}

static void stores_list(struct registry *reg) {
  size_t n = 0;
  free(reg->stores);
  reg->n_stores = 0;
  for (struct storage *s = reg->storages; s; s = s->next) n++;
  reg->stores = calloc(n + 1, sizeof *reg->stores);
  if (!reg->stores) abort();
  for (struct storage *s = reg->storages; s; s = s->next) reg->stores[reg->n_stores++] = s->store;
}

/* Room for one more: the array grows by halves. */
static void *grown(void *array, size_t n, size_t size) {
  if (n && (n & (n - 1))) return array; /* it has room up to the next power of two */
  void *p = realloc(array, (n ? n * 2 : 1) * size);
  if (!p) abort();
  return p;
}

/* --- storages --- */

static struct storage *storage_of(struct registry *reg, const struct store *store) {
  for (struct storage *s = reg->storages; s; s = s->next)
    if (s->store == store) return s;
  return NULL;
}

static void tell_ready(void *arg) {
  struct storage *s = arg;
  struct registry *reg = s->reg;
  struct telling *tell = &s->telling;
  uint64_t end = loop_clock_us() + SLICE_US;
  if (tell->generation != reg->generation) tell->at = 0; /* the array has changed */
  tell->generation = reg->generation;
  for (; tell->at < reg->n_topics && loop_clock_us() < end; tell->at++) {
    struct topic *t = reg->topics[tell->at];
    if (t->store_entry->store != s->store || t->known.store_ready) continue;
    t->known.store_ready = true;
    dispatcher_store_ready(reg->dispatcher, t, true);
  }
  if (tell->at < reg->n_topics) timer_start(&tell->next, 0);
}

/* At once: it may be back in a moment, and what the connection swallowed must be looked for then.
 */
static void tell_lost(struct registry *reg, const struct store *store) {
  for (size_t i = 0; i < reg->n_topics; i++) {
    struct topic *t = reg->topics[i];
    if (t->store_entry->store != store) continue;
    t->known.store_ready = false;
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

/* Whoever was there first stays. One that was refused waits for the other to say hello, as both
 * come back from a restart of the server, in any order. */
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
  if (!s) abort();
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
  s->store = store_new(reg->loop, set, &snapshot->server, reg->instance, reg->shard, &ev);
  if (!s->store) abort();
  store_on_node_death(s->store, on_died, reg);
  store_on_act(s->store, on_act, reg);
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

static void storages_sweep(void *arg);

static void on_flushed(void *arg, bool idle) {
  struct storage *s = arg;
  (void)idle; /* else it had its time: what is on the way has an unknown end */
  s->flushing = false;
  s->flushed = true;
  if (!s->leaving) loop_defer(s->reg->loop, &s->reg->sweep, storages_sweep, s->reg);
}

/* Is it only changed? Then this node goes on there under the same name, perhaps in the same Redis.
 */
static bool storage_stays(const struct registry *reg, const struct storage *old) {
  for (const struct storage *s = reg->storages; s; s = s->next)
    if (s != old && !strcmp(s->set->name, old->set->name)) return true;
  return false;
}

/* Storages that are neither configured nor used any more: at the end of a turn, for a store may not
 * be freed from within its own callback; and after the answers that producers still wait for. */
static void storages_sweep(void *arg) {
  struct registry *reg = arg;
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

static struct storage *storage_get(struct registry *reg, const struct storage_settings *set) {
  for (struct storage *s = reg->storages; s; s = s->next)
    if (s->configured && !strcmp(s->set->name, set->name)) return s;
  return NULL;
}

/* --- queues --- */

static void queue_store_free(struct registry *reg, struct queue_store *qs) {
  struct storage *s = storage_of(reg, qs->store);
  store_queue_free(qs->sq);
  settings_unref(qs->snapshot);
  free(qs);
  if (!s) return;
  s->queues--;
  if (!s->configured && !s->queues) loop_defer(reg->loop, &reg->sweep, storages_sweep, reg);
}

/* Nobody refers to it any more. */
static void queue_free(struct queue *q) {
  if (q->delayed.timer.loop) timer_done(&q->delayed.timer);
  for (size_t i = 0; i < q->n_stores; i++) queue_store_free(q->registry, q->stores[i]);
  free(q->stores);
  free(q->topics);
  free(q);
}

static struct queue_store *queue_store_get(struct registry *reg, struct queue *q,
                                           const struct topic_settings *t) {
  struct storage *s = storage_get(reg, t->storage);
  for (size_t i = 0; i < q->n_stores; i++)
    if (q->stores[i]->store == s->store && q->stores[i]->retain_ms == t->queue->retain_ms)
      return q->stores[i];
  struct queue_store **p = realloc(q->stores, (q->n_stores + 1) * sizeof *p);
  struct queue_store *qs = calloc(1, sizeof *qs);
  if (!p || !qs) abort();
  q->stores = p;
  qs->store = s->store;
  qs->retain_ms = t->queue->retain_ms;
  qs->snapshot = settings_ref(reg->settings);
  qs->sq = store_queue_new(s->store, t->queue, reg->gateway);
  if (!qs->sq) abort();
  s->queues++;
  q->stores[q->n_stores++] = qs;
  return qs;
}

/* Entries of storages that no topic of the queue uses any more. */
static void queue_stores_trim(struct registry *reg, struct queue *q) {
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

/* --- topics --- */

static void topic_gone(void *arg, struct topic *t);

static void topic_start(struct registry *reg, struct queue *q, const struct topic_settings *set) {
  struct topic *t = calloc(1, sizeof *t);
  if (!t) abort();
  t->set = set;
  t->snapshot = settings_ref(reg->settings);
  t->queue = q;
  queue_ref(q);
  t->store_entry = queue_store_get(reg, q, set);
  t->store_entry->topics++;
  t->known.store_snapshot = settings_ref(reg->settings);
  t->store = store_topic_new(t->store_entry->sq, set);
  if (!t->store) abort();
  t->since_ms = loop_wall_ms(reg->loop);
  reg->topics = grown(reg->topics, reg->n_topics, sizeof *reg->topics);
  reg->topics[reg->n_topics++] = t;
  q->topics = grown(q->topics, q->n_topics, sizeof *q->topics);
  q->topics[q->n_topics++] = t;
  index_add(&reg->by_topic, t, topic_path);
  reg->generation++;
  dispatcher_add_topic(reg->dispatcher, t);
  if (store_state(t->store_entry->store) != STORE_READY) return;
  t->known.store_ready = true;
  dispatcher_store_ready(reg->dispatcher, t, true);
}

static void topic_free(struct registry *reg, struct topic *t) {
  struct queue *q = t->queue;
  store_topic_free(t->store);
  t->store = NULL;
  t->store_entry->topics--;
  settings_unref(t->known.store_snapshot);
  settings_unref(t->snapshot);
  loop_free_later(reg->loop, t);
  queue_unref(q);
}

bool registry_leaves(const struct registry *reg, const char *path, const struct store *store) {
  for (const struct topic *t = reg->leavers; t; t = t->known.leave_next)
    if (!strcmp(t->set->path, path) && t->store_entry->store == store) return true;
  return false;
}

/* It is named, and neither runs nor drains. */
static void topic_start_missing(struct registry *reg, const struct topic_settings *set) {
  size_t len = strlen(set->path);
  if (registry_topic(reg, set->path, len) ||
      index_find(&reg->by_leaver, set->path, len, topic_path))
    return;
  struct queue *q = registry_queue(reg, set->queue->name, strlen(set->queue->name));
  if (q) topic_start(reg, q, set);
}

static void topic_gone(void *arg, struct topic *t) {
  struct registry *reg = arg;
  char path[2 * NAME_LEN_MAX + 2];
  *t->known.leave_prev = t->known.leave_next;
  if (t->known.leave_next) t->known.leave_next->known.leave_prev = t->known.leave_prev;
  index_remove(&reg->by_leaver, t, topic_path);
  snprintf(path, sizeof path, "%s", t->set->path);
  struct queue *q = t->queue;
  bool queue_stays = !q->leaving;
  topic_free(reg, t);
  if (queue_stays) queue_stores_trim(reg, q);
  const struct topic_settings *set = settings_topic(reg->settings, path, strlen(path));
  if (set) topic_start_missing(reg, set); /* it was moved to another storage */
}

static void topic_leave(struct registry *reg, size_t at) {
  struct topic *t = reg->topics[at];
  struct queue *q = t->queue;
  index_remove(&reg->by_topic, t, topic_path);
  index_add(&reg->by_leaver, t, topic_path);
  reg->topics[at] = reg->topics[--reg->n_topics];
  for (size_t i = 0; i < q->n_topics; i++)
    if (q->topics[i] == t) {
      memmove(q->topics + i, q->topics + i + 1, (--q->n_topics - i) * sizeof *q->topics);
      break;
    }
  t->known.leave_next = reg->leavers;
  t->known.leave_prev = &reg->leavers;
  if (t->known.leave_next) t->known.leave_next->known.leave_prev = &t->known.leave_next;
  t->known.leave_due = true;
  reg->leavers = t;
  reg->generation++;
}

static bool same_store(struct registry *reg, const struct topic *t,
                       const struct topic_settings *set) {
  const struct storage *s = storage_get(reg, set->storage);
  return s && t->store_entry->store == s->store &&
         t->store_entry->retain_ms == set->queue->retain_ms;
}

/* --- from one snapshot to the next --- */

static void apply_storages(struct registry *reg, struct settings *to) {
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
}

static void queue_leave(struct registry *reg, size_t at) {
  struct queue *q = reg->queues[at];
  index_remove(&reg->by_queue, q, queue_name);
  reg->queues[at] = reg->queues[--reg->n_queues];
  q->leaving = true;
  reg->generation++;
  if (q->delayed.timer.loop) timer_stop(&q->delayed.timer);
  queue_unref(q);
}

static struct queue *queue_start(struct registry *reg, const struct queue_settings *set) {
  struct queue *q = calloc(1, sizeof *q);
  if (!q) abort();
  q->registry = reg;
  q->refs = 1;
  q->gone = queue_free;
  snprintf(q->name, sizeof q->name, "%s", set->name);
  reg->queues = grown(reg->queues, reg->n_queues, sizeof *reg->queues);
  reg->queues[reg->n_queues++] = q;
  index_add(&reg->by_queue, q, queue_name);
  reg->generation++;
  return q;
}

/* False, where there is no such one any more: so do all of these. */
static bool apply_queue(struct registry *reg, struct settings *to) {
  if (reg->apply.at == to->n_queues) return false;
  const struct queue_settings *set = to->queues[reg->apply.at++];
  struct queue *q = registry_queue(reg, set->name, strlen(set->name));
  if (!q) q = queue_start(reg, set);
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
  for (size_t i = 0; i < set->n_topics; i++) queue_store_get(reg, q, set->topics[i])->active = true;
  return true;
}

static bool apply_topic(struct registry *reg, struct settings *to) {
  if (reg->apply.at >= reg->n_topics) return false;
  struct topic *t = reg->topics[reg->apply.at];
  const struct topic_settings *was = t->set;
  const struct topic_settings *set = settings_topic(to, was->path, strlen(was->path));
  if (!set || !same_store(reg, t, set)) {
    topic_leave(reg, reg->apply.at); /* the last one has its place now */
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
  topic_start_missing(reg, to->topics[reg->apply.at++]);
  return true;
}

static bool apply_remove(struct registry *reg, struct settings *to) {
  struct topic *t = reg->leavers;
  (void)to;
  while (t && !t->known.leave_due) t = t->known.leave_next;
  if (!t) return false;
  t->known.leave_due = false;
  dispatcher_remove_topic(reg->dispatcher, t, topic_gone, reg);
  return true;
}

static bool apply_trim(struct registry *reg, struct settings *to) {
  if (reg->apply.at >= reg->n_queues) return false;
  struct queue *q = reg->queues[reg->apply.at];
  if (settings_queue(to, q->name, strlen(q->name))) {
    queue_stores_trim(reg, q);
    reg->apply.at++;
  } else {
    queue_leave(reg, reg->apply.at);
  }
  return true;
}

static void apply_begin(struct registry *reg, struct settings *to) {
  reg->apply.from = reg->settings;
  reg->settings = settings_ref(to);
  reg->apply.phase = APPLY_QUEUES;
  reg->apply.at = 0;
  apply_storages(reg, to);
  stores_list(reg);
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

/* --- life --- */

struct registry *registry_new(struct loop *loop, struct dispatcher *d) {
  struct registry *reg = calloc(1, sizeof *reg);
  if (!reg) return NULL;
  reg->loop = loop;
  reg->dispatcher = d;
  reg->apply.phase = APPLY_NONE;
  timer_init(&reg->apply.next, loop, apply_next, reg);
  return reg;
}

void registry_start(struct registry *reg, const char *instance, unsigned shard, struct gateway g,
                    const struct registry_events *ev) {
  snprintf(reg->instance, sizeof reg->instance, "%s", instance);
  reg->shard = shard % ID_SHARDS;
  reg->gateway = g;
  reg->ev = *ev;
}

void registry_free(struct registry *reg) {
  if (!reg) return;
  timer_done(&reg->apply.next);
  for (size_t i = 0; i < reg->n_queues; i++) {
    reg->queues[i]->leaving = true;
    reg->queues[i]->n_topics = 0;
  }
  while (reg->leavers) {
    struct topic *t = reg->leavers;
    reg->leavers = t->known.leave_next;
    topic_free(reg, t);
  }
  while (reg->n_topics) topic_free(reg, reg->topics[--reg->n_topics]);
  while (reg->n_queues) {
    queue_unref(reg->queues[--reg->n_queues]);
  }
  deferred_cancel(reg->loop, &reg->sweep);
  while (reg->storages) storage_free(reg->storages);
  settings_unref(reg->settings);
  settings_unref(reg->apply.from);
  free(reg->queues);
  free(reg->topics);
  free(reg->stores);
  free(reg->by_queue.slot);
  free(reg->by_topic.slot);
  free(reg->by_leaver.slot);
  free(reg);
}
