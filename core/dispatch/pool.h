/* A pool's slots on this node: at most `max_connections` requests at a time over all its topics,
 * shared fairly among the topics that want more. Also the circuit that opens when its workers
 * cannot be reached, and the rest that they get when they are full.
 */
#ifndef PB_CORE_POOL_H
#define PB_CORE_POOL_H

#include "dispatch/auto_concurrency.h"
#include "event/loop.h"

#include <pepperbus/transport.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic;

/* All of a dispatcher's. */
struct pools {
  struct loop *loop;
  struct pool *first;
  struct pool **by_name; /* lists by the hash of the name; room for mask + 1, or NULL */
  size_t mask, n;
};

struct pool {
  struct pool *next, **prev;
  struct pool *same; /* the next one of its list in by_name */
  struct pools *all;
  char name[320], run_type[64];
  struct topic *members; /* the topics that use it ... */
  unsigned topics;       /* ... so many; freed with the last, when nothing is busy */
  size_t requests;       /* requests with the transport, probes without a slot included */
  size_t max, busy;      /* busy: requests with the transport, zombies included */
  size_t limit;          /* <= max: lowered by PB_BUSY, raised by answers; or learnt */
  size_t answers;        /* since the limit was last raised */
  bool automatic;        /* concurrency = auto: the limit is learnt */
  struct auto_concurrency learnt;
  struct pb_pool_load load; /* the last report of the transport ... */
  uint64_t load_ms;         /* ... then, monotonic; 0: never */

  bool circuit_open; /* its workers cannot be reached; one probe at a time */
  char why[400];
  unsigned failures; /* probes in a row */
  bool probing;
  struct timer timer;     /* next probe while open; end of the pause after PB_BUSY otherwise */
  struct timer tell;      /* goes on telling the topics of the circuit ... */
  struct topic *untold;   /* ... from this one; NULL: all know */
  bool resting;           /* after PB_BUSY: no new request until the timer */
  uint64_t rest_until_ms; /* monotonic, while resting */
  unsigned rests;         /* in a row */
  uint64_t busy_since_ms; /* Unix ms: nothing but "full" was answered since; 0: it is not so */
  char busy_why[240];
  bool busy_noted; /* ... for so long that it was logged */

  struct topic *waiting, **waiting_end; /* topics that have jobs but got no slot */
  size_t waiting_n;
};

/* `t` uses the pool that its settings name from now on; made where there is none yet. */
void pool_join(struct pools *all, struct topic *t);
void pool_quit(struct topic *t);   /* and leaves the line */
void pool_change(struct topic *t); /* its settings are others now */
void pool_drop(struct pool *p);    /* frees it when it is not used */
void pools_free(struct pools *all);

/* --- slots --- */

/* Sets the bounds of the pool if they changed. */
void pool_bounds(struct pool *p, size_t max, bool automatic, size_t reserve, uint64_t now_ms);
/* A slot for `t`, or false: `t` then waits in line and pool_first() will name it. */
bool pool_acquire(struct pool *p, struct topic *t);
/* The topic to wake because a slot may be free. NULL: no topic waits, or no slot is free. */
struct topic *pool_first(struct pool *p);
void pool_release(struct pool *p);
void pool_wait(struct pool *p, struct topic *t);  /* to the end of the line; no-op when in it */
void pool_leave(struct pool *p, struct topic *t); /* no-op when not in it */
/* A slot may be free: the next topic in line gets its turn. */
void pool_wake(struct pool *p);
/* An answer came: the limit grows again by one for each round of answers. */
void pool_answered(struct pool *p);
/* The workers are full: half as many requests at a time from now on. */
void pool_lower(struct pool *p, uint64_t now_ms);
/* For automatic ones: an answer took so long (`usual` is its topic's); the workers went away. */
void pool_took(struct pool *p, struct usual_time *usual, uint64_t took_ms, uint64_t now_ms);
void pool_gone(struct pool *p, uint64_t now_ms);
/* A report of the transport about the workers. */
void pool_told(struct pool *p, const struct pb_pool_load *load, uint64_t now_ms);
void pools_load(void *arg, const char *pool,
                const struct pb_pool_load *load); /* the same by name */

/* --- the circuit --- */

/* The workers cannot be reached: no attempts until a probe succeeds. */
void pool_unreachable(struct pool *p, const char *why, size_t len);
void pool_reachable(struct pool *p);
/* The workers answered a request of `t` that they are full. The pool sends fewer requests from now
 * on. No attempt is counted. `wish_ms`: the pause that the workers asked for, or 0. */
void pool_busy(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why, size_t len);
/* A ping that was sent while the circuit is open has ended. */
void pool_probed(struct pool *p);

#endif
