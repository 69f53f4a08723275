/* The facts of one running topic. Each group of members names the file that writes them.
 *
 * A file that changes a fact calls topic_touch(). At the end of the loop's turn topic_turn() in
 * dispatcher.c reads the facts, derives the topic's state from them and acts: it pings the worker,
 * starts requests and fetches jobs.
 * Only a worker that has done its jobs is not kept waiting: request.c starts its next request at
 * once, where the topic is open.
 */
#ifndef PB_CORE_TOPIC_H
#define PB_CORE_TOPIC_H

#include "config/settings.h"
#include "dispatch/auto_concurrency.h"
#include "dispatch/counters.h"
#include "dispatch/failures.h"
#include "dispatch/pause.h"
#include "dispatch/queue.h"
#include "dispatch/tally.h"
#include "event/loop.h"
#include "job/job.h"
#include "storage/store.h"

struct dispatcher;
struct instance; /* transport.h: this topic's transport instance */
struct kept;     /* history/ */
struct pool;     /* pool.h */
struct refusals; /* refusals.h */
struct request;  /* request.h */

/* Why a topic is or is not handing out jobs. Only topic_state_update() changes it. */
enum topic_state {
  TOPIC_WAITING,      /* its storage is not ready, or the topic is not attached yet; -> PINGING */
  TOPIC_PINGING,      /* the worker was asked whether it registers the topic; -> OPEN or back */
  TOPIC_UNREGISTERED, /* it does not (404), or its ping failed: pinged again with backoff */
  TOPIC_UNREACHABLE,  /* the way to the worker is closed: one ping at a time until it is back */
  TOPIC_OPEN,         /* jobs run */
  TOPIC_PAUSED,       /* by an operator; jobs wait */
  TOPIC_DISABLED,     /* enabled = no, or its system is not one of this node's */
  TOPIC_BROKEN,       /* its transport cannot be had: `why` says what to mend */
  TOPIC_DRAINING      /* takes nothing new; waits for its running jobs (reload or stop) */
};
#define TOPIC_STATES (TOPIC_DRAINING + 1)
extern const char *const topic_state_names[TOPIC_STATES];

/* The result of the last ping of the worker. */
enum topic_registered { REGISTERED_UNKNOWN, REGISTERED_YES, REGISTERED_NO };

struct topic {
  const struct topic_settings *set;
  struct settings *snapshot; /* that `set` lives in; a reference */
  struct queue *queue;
  struct store_topic *store;
  struct queue_store *store_entry;

  struct {
    struct topic *leave_next, **leave_prev; /* of topics that drain */
    bool leave_due;                         /* on that list; the dispatcher must still drain it */
    bool store_ready;                       /* the storage's state as the dispatcher knows it */
    struct settings *store_snapshot;        /* that `store` was made from; a reference */
  } in_registry;                            /* registry/ */

  /* topic_state.c */
  enum topic_state state;
  char why[512];     /* of the state, for people; "" when OPEN */
  uint64_t since_ms; /* Unix ms of the last change of state */

  /* operator.c, and fetch.c where another node's operator did it */
  bool paused; /* as the storage has it */
  struct topic_pause pause;

  /* dispatcher.c */
  struct dispatcher *dispatcher;
  struct loop *loop;
  struct topic *all_next, **all_prev; /* of the dispatcher's topics */
  struct instance *inst;              /* NULL: BROKEN */
  char broken[400];                   /* why there is none */
  bool draining;
  void (*gone)(void *arg, struct topic *t);
  void *gone_arg;

  /* topic.c */
  struct deferred touched;
  void (*turn)(void *t); /* NULL: not the dispatcher's (yet, or any more) */
  uint64_t due_ms;       /* Unix ms of the first retry known of; 0: none, or it is being fetched */
  bool doubt;            /* the storage may count jobs as this node's that are not here */
  unsigned calls;        /* answers of the store that are still to come to this topic */
  struct {
    struct timer timer;
    bool due;
  } again; /* after the storage answered an error */

  /* pool.c */
  struct pool *pool;
  struct {
    struct topic *line_next, **line_prev;     /* of topics that wait for a slot */
    struct topic *member_next, **member_prev; /* of the pool's topics */
  } at_pool;

  struct {
    enum topic_registered registered;
    char why[400];      /* not registered */
    unsigned failures;  /* pings failed in a row: the backoff */
    bool due;           /* one is to be sent */
    bool on_the_way;    /* one is, or waits for a slot */
    struct timer timer; /* of the next */
  } ping;               /* worker_ping.c */

  /* ready.c */
  struct job_list ready; /* JOB_TAKEN, to be run here */
  bool giving_back; /* the topic is not open: they go back to the storage when the timer ends */
  struct timer give_back_timer;
  uint64_t quarantine_ms; /* Unix; since then jobs were running at too many deaths; 0: none was */

  struct {
    bool attached; /* the storage is ready and the group is there */
    bool resting;  /* the store answered an error: nothing is asked until again.timer */
    bool more;     /* the stream may have more than was taken */
    bool stored;   /* it has, by the last look at the storage or by what was stored here */
    bool taking, taking_due, depth_asked, depth_again; /* a question is on the way */
    bool first_chunk;    /* the read on the way is to fill it: the one before only told of sizes */
    size_t taken_n;      /* jobs that the last read of the stream brought */
    size_t job_bytes;    /* average size of one job in memory, by what was read; 0: no read yet */
    uint64_t delayed_ms; /* the queue has a job delayed to this time; the topic must note it */
    struct timer due_timer;
    uint64_t due_timer_ms; /* Unix ms; 0: it does not run */
  } fetch;                 /* fetch.c */

  struct {
    struct request *all;              /* with the transport, zombies included */
    size_t running;                   /* how many of them carry the store's jobs */
    struct request *line, **line_end; /* pings and tests that wait for a slot */
    struct request *no_room;          /* pings and tests that the transport had no room for */
    bool full;               /* the transport said -EAGAIN; it will call when there is room */
    struct timer fill_timer; /* chunk_wait of the first job at hand; only while a chunk fills */
    double run_avg_ms;       /* of answered ones, decides how far ahead jobs are taken; < 0: none */
    struct usual_time usual; /* their time when none waits, for `concurrency = auto` */
    struct refusals *refusals; /* jobs that were denied although pings pass */
  } requests;                  /* request.c */

  struct topic_counters counters;
  struct rates rates;
  struct tally *tally;       /* outcome.c: of failed jobs, for the log */
  struct kept *kept;         /* history/: what is written of it; NULL: nothing yet */
  struct failures *failures; /* outcome.c: for history/, which clears them */
};

/* From when the dispatcher has it until it is gone; its turns are `turn`. */
void topic_begin(struct topic *t, struct loop *loop, void (*turn)(void *t));
void topic_end(struct topic *t);
/* A fact has changed: the topic gets its turn at the end of this turn of the loop. */
void topic_touch(struct topic *t);
/* An answer of the store is on the way to a callback that holds the topic. The topic is kept until
 * the answer has come. */
void topic_call_began(struct topic *t);
void topic_call_ended(struct topic *t);
/* When the storage answered an error: another turn after so long, with again.due. */
void topic_again_after(struct topic *t, uint64_t ms);
/* `pause` may be NULL where `paused` is false. */
void topic_set_paused(struct topic *t, bool paused, const struct topic_pause *pause);
/* A retry is due at Unix ms; 0: none is. */
void topic_due_at(struct topic *t, uint64_t due_ms);
/* The storage may count jobs as this node's that are not here: to be looked for. */
void topic_doubt(struct topic *t);
/* Are there jobs for it, as far as this node knows? */
bool topic_has_work(const struct topic *t);
/* Do the topic's workers take their jobs by themselves? Then the broker runs no jobs of it. */
bool topic_pulls(const struct topic *t);
/* Why its jobs do not run, or run slowly, for people; "": they run. `ret` of `size` may be written.
 */
const char *topic_why(const struct topic *t, char *ret, size_t size);

#endif
