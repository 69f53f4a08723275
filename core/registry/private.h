/* What the registry's files share. Nobody else includes this.
 *
 * registry.c   the whole: made, started, freed
 * apply.c      from one snapshot to the next
 * topics.c     running topics come and go
 * queues.c     running queues, and the storages of each
 * storages.c   running storages, and what they tell
 * lookup.c     by name
 */
#ifndef PB_CORE_REGISTRY_PRIVATE_H
#define PB_CORE_REGISTRY_PRIVATE_H

#include "event/loop.h"
#include "registry/registry.h"

#define ON_THE_WAY_MAX 400  /* questions to one storage: it works on them for some 20 ms */
#define SLICE_US       4000 /* of what concerns thousands of topics, in one turn */

/* Tells a storage's topics that it is ready, or not ready any more. */
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
  uint64_t dead_ms; /* monotonic: the time of that log line */
  bool left;        /* this node has given up its name there */
  bool configured;
  bool flushing, flushed; /* not configured: waits for its last answers; has them */
  bool leaving;           /* being freed */
  struct telling telling;
};

struct name_table { /* open addressing by name */
  void **slot;
  size_t mask, n;
};

/* The way from one snapshot to the next, a few ms of it in each turn. Parts that still wait run as
 * before. reg->settings is the new snapshot from the beginning. */
enum apply_phase {
  APPLY_QUEUES, /* new queues, and the changes of others */
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
  char node_instance[40];
  unsigned shard;
  struct storage *storages;
  struct store **stores; /* of the present snapshot, for walkers */
  size_t n_stores;
  struct queue **queues;
  struct topic **topics;
  size_t n_queues, n_topics;
  struct topic *leavers; /* topics that drain */
  struct name_table by_queue, by_topic, by_leaver;
  struct apply apply;
  uint64_t generation;
  struct deferred sweep;
};

/* --- lookup.c --- */

void lookup_add_queue(struct registry *reg, struct queue *q);
void lookup_remove_queue(struct registry *reg, struct queue *q);
void lookup_add_topic(struct registry *reg, struct topic *t);
/* It drains: found by lookup_leaver() from now on, until lookup_gone(). */
void lookup_leave(struct registry *reg, struct topic *t);
void lookup_gone(struct registry *reg, struct topic *t);
struct topic *lookup_leaver(const struct registry *reg, const char *path);
void lookup_free(struct registry *reg);
/* Room for one more in an array of `n`. */
void *array_grown(void *array, size_t n, size_t size);

/* --- storages.c --- */

/* That which is configured by this name; NULL: none is. */
struct storage *storages_find(struct registry *reg, const char *name);
/* Runs the storages of the snapshot `to`. Others are no longer configured. */
void storages_apply(struct registry *reg, struct settings *to);
/* Frees the storages that are neither configured nor used any more. */
void storages_sweep(struct registry *reg);
/* One queue less uses it. */
void storages_unused(struct registry *reg, const struct store *store);
void storages_free(struct registry *reg);

/* --- queues.c --- */

struct queue *queues_start(struct registry *reg, const struct queue_settings *set);
void queues_leave(struct registry *reg, size_t at);
/* The queue in the storage of its topic `t`. It is made if missing. */
struct queue_store *queues_store(struct registry *reg, struct queue *q,
                                 const struct topic_settings *t);
/* Entries of storages that no topic of the queue uses any more. */
void queues_trim(struct registry *reg, struct queue *q);

/* --- topics.c --- */

/* It is named; started unless it runs or drains. */
void topics_start(struct registry *reg, const struct topic_settings *set);
/* Topic `at` is not of the present snapshot any more; the last one has its place now. */
void topics_leave(struct registry *reg, size_t at);
/* Tells the dispatcher to drain the next topic that has left. False: there is none. */
bool topics_drain_next(struct registry *reg);
bool topics_same_store(struct registry *reg, const struct topic *t,
                       const struct topic_settings *set);
void topics_free(struct registry *reg);

/* --- apply.c --- */

void apply_init(struct registry *reg);
void apply_done(struct registry *reg);

#endif
