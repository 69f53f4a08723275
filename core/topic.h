/* The running queues and topics: one registry a process, brought from one settings snapshot to
 * the next by registry_apply(). What is equal in both is not touched.
 */
#ifndef PB_CORE_TOPIC_H
#define PB_CORE_TOPIC_H

#include "job.h"
#include "loop.h"
#include "settings.h"
#include "stats.h"
#include "store.h"

struct dispatcher;
struct instance; /* transport.h: this topic's transport instance */
struct pool;     /* dispatcher.h */
struct registry;

/* Why a topic is or is not handing out jobs. Only topic_set_state() changes it. */
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

struct topic {
  const struct topic_settings *set;
  struct queue *queue;
  struct store_topic *store;
  struct pool *pool;
  struct instance *inst;
  enum topic_state state;
  char why[512];      /* of the state, for people; "" when OPEN */
  uint64_t since_ms;  /* Unix ms of the last change of state */

  /* The dispatcher's. */
  struct job_list ready; /* JOB_TAKEN, to be run here */
  size_t running;        /* jobs in batches */
  size_t batches;        /* batches with the transport, zombies included */
  bool taking, take_due_on_way;  /* a store call is on the way */
  bool more;             /* the stream may have more than was taken */
  bool paused;           /* the operator's wish, as the storage has it */
  bool recovering, attached;
  uint64_t next_due_ms;  /* Unix ms of the first retry known of; 0: none */
  unsigned gate_failures; /* pings failed in a row: the backoff */
  struct timer gate_timer, due_timer;
  struct deferred pump;
  struct topic *pool_next; /* on the pool's list of topics that wait for a slot */
  bool pool_waiting;
  size_t probes;         /* pings or single probes on the way */

  struct topic_counters counters;
  struct rates rates;
};

struct queue_store {
  struct store *store;
  struct store_queue *sq;
};

struct queue {
  const struct queue_settings *set;
  struct queue_store *stores; /* distinct storages of its topics */
  size_t n_stores;
  struct topic **topics;
  size_t n_topics;
  uint64_t next_delayed_ms; /* Unix ms of the first delayed job known of; 0: none */
  struct timer delayed_timer;
  bool moving; /* store_move_due() is on the way */
  struct queue_counters counters;
  struct rates rates;
};

void topic_set_state(struct topic *t, struct loop *loop, enum topic_state to, const char *why);

/* By name; NULL when there is none. Valid until the next registry_apply(). */
struct queue *registry_queue(struct registry *reg, const char *name, size_t len);
struct topic *registry_topic(struct registry *reg, const char *path, size_t len);
/* Walk all; the arrays are valid until the next registry_apply(). */
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n);
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n);
struct store *const *registry_stores(struct registry *reg, size_t *ret_n);
/* The snapshot that runs. */
const struct settings *registry_settings(const struct registry *reg);
/* Rises with each apply: what was looked up by name before must be looked up again. */
uint64_t registry_generation(const struct registry *reg);

#endif
