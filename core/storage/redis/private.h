/* The parts that the files of storage/redis/ share: the storage, its queues and topics, and the
 * questions to it (query.h). Other folders must not include this.
 *
 * Each file has its state in a struct of its header, and only that file writes it. store.c (a
 * storage) and objects.c (queues and topics) write the members outside such structs.
 */
#ifndef PB_CORE_STORAGE_REDIS_PRIVATE_H
#define PB_CORE_STORAGE_REDIS_PRIVATE_H

#include "event/loop.h"
#include "storage/redis/acts.h"
#include "storage/redis/add_call.h"
#include "storage/redis/add_replicated.h"
#include "storage/redis/census.h"
#include "storage/redis/clock.h"
#include "storage/redis/cmd.h"
#include "storage/redis/count.h"
#include "storage/redis/flush.h"
#include "storage/redis/groups.h"
#include "storage/redis/held_here.h"
#include "storage/redis/hello.h"
#include "storage/redis/link.h"
#include "storage/redis/membership.h"
#include "storage/redis/mend.h"
#include "storage/redis/move.h"
#include "storage/redis/objects.h"
#include "storage/redis/query.h"
#include "storage/redis/queue_names.h"
#include "storage/redis/refusals.h"
#include "storage/redis/script.h"
#include "storage/redis/server_info.h"
#include "storage/redis/settle.h"
#include "storage/redis/shared.h"
#include "storage/redis/sweep.h"
#include "storage/redis/unconfigured.h"
#include "storage/redis/wakeup.h"
#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_LAYOUT      1 /* doc/store-layout.md: what to do when this is raised */
#define STORE_KEY_QUEUES  "pb:{@}:queues"
#define STORE_KEY_VERSION "pb:version"
#define STORE_CHANNEL     "pb:wake"
#define LEASE_DEFAULT_MS  15000
#define STORE_GROUP_HOLD  "@" /* keeps what lies behind it; no topic is called so */

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct managed_server;

struct store {
  struct loop *loop;
  const struct storage_settings *st;
  const struct server_settings *server;
  struct store_events ev;
  char *node_instance, *subject; /* subject: "storage main", for the log */
  char *client_name, *address;
  uint64_t since_ms;      /* monotonic: it was made then */
  enum store_state state; /* state.c */
  char why[STORE_WORDS];
  bool freeing;
  struct link *link, *sub;        /* commands, wake-ups */
  struct managed_server *managed; /* NULL: not managed */
  struct cmd out;                 /* the command that is being built */
  /* The parts, by the file that writes them. */
  struct store_queries queries;
  struct store_refusals refusals;
  struct store_clock clock;
  struct store_hello hello;
  struct store_info info;
  struct store_adds adds;
  struct store_replicas replicas;
  struct store_groups groups;
  struct store_objects objects;
  struct store_names names;
  struct store_settling settling;
  struct store_flush flush;
  struct store_member member;
  struct store_wakeups wakeups;
  struct store_sweep sweep;
  struct store_census census;
  struct store_counting *counting;
  struct store_acts acts;
  struct store_marks marks;
  struct store_unconfigured unconfigured;
  struct store_shared shared;
};

struct store_queue {
  struct store *store;
  struct store_queue *next, **prev, *named_next; /* of all queues; of those with this hash */
  unsigned refs;
  void (*release)(struct store_queue *q); /* the last reference went */
  bool freed;                             /* by its owner; only answers on the way still need it */
  const struct queue_settings *set;       /* NULL once freed */
  char *name;
  bool retain;
  uint64_t retain_ms;
  char field[JOB_FIELD_MAX];
  char *stream, *delayed, *delayed_jobs, *paused, *counted; /* keys */
  char *xadd; /* the command up to the value's length */
  size_t xadd_len;
  struct store_topic *topics;
  bool attach_due;   /* objects.c: its groups are still to be made before READY */
  bool warned_token; /* add_call.c */
  struct queue_groups groups;
  struct queue_count count;
  struct queue_wakeup wake;
  struct queue_marks marks;
};

struct store_topic {
  struct store_queue *q;
  struct store_topic *next;
  unsigned refs;
  void (*release)(struct store_topic *t); /* the last reference went */
  bool freed;
  char *name;
  char *subject; /* "queue/topic" */
  bool from_beginning;
  uint64_t hold_ms; /* a claimed retry comes back after this long without word */
  char *retry, *records, *bodies, *dead, *claims, *errors, *mark; /* keys */
  bool attached;                                                  /* depth.c */
  bool paused;                                                    /* depth.c: at the last look */
  uint64_t told_due_ms; /* wakeup.c, Unix ms: other nodes know of a retry that is due then */
  struct held_here held;
  struct {
    bool over;        /* the pending jobs of this node's earlier life have been asked for */
    uint64_t ms, seq; /* how far the recovery of this node's own is */
  } recovery;         /* recover.c */
  struct topic_settling settle;
  struct topic_mending mend;
};

/* How long this node is taken for alive without a word from it. */
static inline uint64_t store_lease_ms(const struct store *s) {
  return s->st->lease_ms ? s->st->lease_ms : LEASE_DEFAULT_MS;
}

static inline void queue_unref(struct store_queue *q) {
  if (--q->refs == 0) q->release(q);
}

static inline void topic_unref(struct store_topic *t) {
  if (--t->refs == 0) t->release(t);
}

#endif
