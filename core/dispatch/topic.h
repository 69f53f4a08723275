/* The running queues and topics: one registry a process, brought from one settings snapshot to
 * the next by registry_apply(). What is equal in both is not touched.
 */
#ifndef PB_CORE_TOPIC_H
#define PB_CORE_TOPIC_H

#include "job/job.h"
#include "dispatch/limiter.h"
#include "event/loop.h"
#include "config/settings.h"
#include "dispatch/counters.h"
#include "storage/store.h"
#include "dispatch/tally.h"

struct dispatcher;
struct instance; /* transport.h: this topic's transport instance */
struct pool;     /* pool.h */
struct queue_store;
struct refusals; /* refusals.h */
struct run;      /* dispatcher.c */
struct registry;

/* Why a topic is or is not handing out jobs. Only topic_set_state() in topic_state.c changes it. */
enum topic_state {
  TOPIC_WAITING,      /* its storage is not ready, or it is not attached yet; -> PINGING */
  TOPIC_PINGING,      /* the worker was asked whether it registers the topic; -> OPEN or back */
  TOPIC_UNREGISTERED, /* it does not (404), or its ping failed: pinged again with backoff */
  TOPIC_UNREACHABLE,  /* the way to the worker is closed: one ping at a time until it is back */
  TOPIC_OPEN,         /* jobs run */
  TOPIC_PAUSED,       /* by an operator; jobs wait */
  TOPIC_DISABLED,     /* enabled = no, or not one of this node's systems */
  TOPIC_BROKEN,       /* its transport cannot be had: `why` says what to mend */
  TOPIC_DRAINING      /* takes nothing new; waits for its running jobs (reload or stop) */
};
#define TOPIC_STATES (TOPIC_DRAINING + 1)
extern const char *const topic_state_names[TOPIC_STATES];

/* Who paused it, when and why; since_ms 0 and "": an older release did. */
struct topic_pause {
  uint64_t since_ms; /* Unix */
  char by[128], reason[401];
};

/* What the last ping of the worker told. */
enum topic_registered { REGISTERED_UNKNOWN, REGISTERED_YES, REGISTERED_NO };

struct topic {
  const struct topic_settings *set;
  struct settings *snapshot; /* that `set` lives in; a reference */
  struct queue *queue;
  struct store_topic *store;
  struct queue_store *store_entry;
  struct topic *leave_next, **leave_prev; /* the registry's, of topics that drain */
  bool leave_due;                         /* on that list, and still to be told to drain */
  bool store_ready;                       /* what the dispatcher was told of its storage last */
  struct settings *store_snapshot;        /* that `store` was made from; a reference */
  enum topic_state state;
  char why[512];     /* of the state, for people; "" when OPEN */
  uint64_t since_ms; /* Unix ms of the last change of state */

  /* The dispatcher's: facts, from which it derives the state. */
  struct dispatcher *dispatcher;
  struct pool *pool;
  struct instance *inst; /* NULL: BROKEN */
  bool attached;         /* the storage is ready and the group is there */
  bool paused;           /* the operator's wish, as the storage has it */
  struct topic_pause pause;
  bool draining;
  enum topic_registered registered;
  char registered_why[400];
  struct refusals *refusals; /* jobs that were denied although pings pass */
  unsigned gate_failures;    /* pings failed in a row: the backoff */
  uint64_t closed_at_ms; /* monotonic; since when jobs wait before a closed gate; 0: they do not */
  struct timer gate_timer; /* next ping, or release of waiting jobs */

  /* The dispatcher's: work. */
  struct job_list ready;        /* JOB_TAKEN, to be run here */
  struct run *runs;             /* with the transport, zombies included */
  size_t attempts;              /* how many of them carry the store's jobs */
  struct run *asks, **asks_end; /* pings and tests that wait for a slot */
  struct run *no_room;          /* those that the transport had no room for: until it has */
  bool pinging;                 /* the gate's ping is on its way, or waits for a slot */
  bool full;                    /* the transport said -EAGAIN; it will call when there is room */
  bool more;                    /* the stream may have more than was taken */
  bool taking, taking_due, looking, look_again; /* a store call is on the way */
  bool recover;         /* what the storage says this node runs must be compared with memory */
  size_t taken_n;       /* jobs that the last read of the stream brought */
  size_t job_bytes;     /* about what one takes here, by what was read; 0: nothing was */
  bool first_chunk;     /* the read on the way is to fill it: the one before only told of sizes */
  unsigned calls;       /* answers of the store that are still to come to this topic */
  uint64_t next_due_ms; /* Unix ms of the first retry known of; 0: none */
  struct timer due_timer;
  struct timer fill_timer; /* chunk_wait of the first job at hand; only while a chunk fills */
  bool resting;            /* the store answered an error: nothing is asked until again_timer */
  struct timer again_timer;
  struct limiter_usual run_usual; /* what they take while none waits, for the pool's limiter */
  double run_avg_ms; /* of answered requests, decides how far ahead jobs are taken; < 0: none */
  struct deferred pump;
  struct topic *pool_next, **pool_prev; /* on the pool's list of topics that wait for a slot */
  struct topic *all_next, **all_prev;   /* of the dispatcher's topics */
  void (*gone)(void *arg, struct topic *t);
  void *gone_arg;

  struct topic_counters counters;
  struct rates rates;
  struct tally *tally; /* of failed jobs, for the log */
};

struct queue_store {
  struct store *store;
  struct store_queue *sq;
  struct settings *snapshot; /* that sq was made from; a reference */
  uint64_t retain_ms;
  bool active;     /* topics of the present snapshot read it: intake writes to it */
  unsigned topics; /* running ones, leaving ones included */
};

struct queue {
  const struct queue_settings *set; /* of the snapshot that runs now */
  char name[NAME_LEN_MAX + 1];
  struct registry *registry;
  struct queue_store **stores;
  size_t n_stores;
  struct topic **topics; /* of the present snapshot */
  size_t n_topics;
  unsigned refs; /* the registry's, and one for each answer on the way that will use it */
  void (*gone)(struct queue *q); /* the last reference is gone: frees it */
  bool leaving;                  /* no longer configured */
  size_t held;              /* commands that wait for a storage's first connection, see intake.c */
  uint64_t next_delayed_ms; /* Unix ms of the first delayed job known of; 0: none */
  struct timer delayed_timer;
  bool moving;      /* store_move_due() is on the way */
  size_t job_bytes; /* an average of what this node accepted, the latest first */
  struct queue_counters counters;
  struct rates rates;
};

/* Whoever waits for an answer that will touch the queue holds a reference. */
void queue_ref(struct queue *q);
void queue_unref(struct queue *q);

/* `pause` may be NULL where `paused` is false. */
void topic_set_paused(struct topic *t, bool paused, const struct topic_pause *pause);
/* From the text that the storage has: JSON, or what older releases wrote. */
void topic_pause_parse(const char *text, struct topic_pause *ret);
/* "paused by an operator (who): why". */
void topic_pause_words(const struct topic *t, char *ret, size_t size);

/* Starts empty; registry_apply() brings the first snapshot in. */
struct registry *registry_new(struct loop *loop, struct dispatcher *d);
/* The node's identity in the storages, before the first apply. `shard_taken` is called when a
 * storage's registry gives this node's shard to another: a free one must be chosen. */
struct registry_events {
  void (*name_taken)(void *arg, const char *why);
  void (*ready)(void *arg);                                /* a storage became ready */
  void (*act)(void *arg, struct store *s, const char *id); /* it has no owner */
  uint64_t (*last_id)(void *arg); /* given to a job by this node; 0: none yet */
  void *arg;
};
void registry_start(struct registry *reg, const char *instance, unsigned shard, struct gateway g,
                    const struct registry_events *ev);
unsigned registry_shard(const struct registry *reg);
/* Brings everything from the snapshot that runs to `s` (a reference is taken). */
void registry_apply(struct registry *reg, struct settings *s);
/* The same, a few ms of it in each turn; done(arg) when it is through. What has not been come to
 * runs as before. Not while registry_applies(). */
void registry_apply_slowly(struct registry *reg, struct settings *s, void (*done)(void *arg),
                           void *arg);
bool registry_applies(const struct registry *reg);
void registry_halt(struct registry *reg); /* a stop: what is not applied yet never is */
/* Frees queues and topics (the dispatcher is drained), then the storages. */
void registry_free(struct registry *reg);

/* By name; NULL when there is none. Valid until the next registry_apply(). */
struct queue *registry_queue(struct registry *reg, const char *name, size_t len);
struct topic *registry_topic(struct registry *reg, const char *path, size_t len);
/* Walk all; the arrays are valid until the next registry_apply(). */
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n);
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n);
struct store *const *registry_stores(struct registry *reg, size_t *ret_n);
/* Does a topic of that path still drain here, with its jobs in that storage? */
bool registry_leaves(const struct registry *reg, const char *path, const struct store *store);
/* The snapshot that runs. */
const struct settings *registry_settings(const struct registry *reg);
/* Rises whenever queues or topics come or go: what was looked up by name, or by its place in an
 * array, must be looked up again. */
uint64_t registry_generation(const struct registry *reg);

#endif
