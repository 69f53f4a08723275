/* A pool's slots on this node: `max_connections` requests at a time over all topics that use it,
 * handed out so that those that want more have equally many, and the circuit that opens when its
 * workers cannot be reached.
 */
#ifndef PB_CORE_POOL_H
#define PB_CORE_POOL_H

#include "dispatch/limiter.h"
#include "event/loop.h"

#include <pepperbus/transport.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic;

struct pool {
  struct pool *next;
  struct dispatcher *dispatcher;
  char name[320], run_type[64];
  unsigned topics;  /* that use it; freed with the last, when nothing is busy */
  size_t runs;      /* requests with the transport, probes without a slot included */
  size_t max, busy; /* busy: requests with the transport, zombies included */
  size_t limit;     /* <= max: lowered by PB_BUSY, raised by answers; or the limiter's */
  size_t answers;   /* since the limit was last raised */
  bool automatic;   /* concurrency = auto: the limiter sets the limit */
  struct limiter limiter;
  struct pb_pool_load load; /* what the transport told last ... */
  uint64_t load_ms;         /* ... then, monotonic; 0: never */

  bool open; /* circuit: its workers cannot be reached; one probe at a time */
  char why[400];
  unsigned failures; /* probes in a row */
  bool probing;
  struct timer timer;     /* next probe while open; end of the pause after PB_BUSY otherwise */
  bool resting;           /* after PB_BUSY: no new request until the timer */
  uint64_t rest_until_ms; /* monotonic, while resting */
  unsigned rests;         /* in a row */
  uint64_t busy_since_ms; /* Unix ms: nothing but "full" was answered since; 0: it is not so */
  char busy_why[240];
  bool busy_noted; /* ... for so long that it was logged */

  struct topic *waiting, **waiting_end; /* topics that have jobs but got no slot */
  size_t waiting_n;
};

/* Sets its bounds, where they differ from those that it has. */
void pool_bounds(struct pool *p, size_t max, bool automatic, size_t reserve, uint64_t now_ms);
/* A slot for `t`, or false: `t` then waits in line and pool_first() will name it. */
bool pool_acquire(struct pool *p, struct topic *t);
/* Whose turn it is, to be woken because a slot may be free; NULL: nobody waits or nothing is. */
struct topic *pool_first(struct pool *p);
void pool_release(struct pool *p);
void pool_wait(struct pool *p, struct topic *t);  /* to the end of the line; no-op when in it */
void pool_leave(struct pool *p, struct topic *t); /* no-op when not in it */
/* An answer came: the limit grows again by one for each round of answers. */
void pool_answered(struct pool *p);
/* The workers are full: half as many requests at a time from now on. */
void pool_lower(struct pool *p, uint64_t now_ms);
/* For automatic ones: an answer took so long (`usual` is its topic's); the workers went away. */
void pool_took(struct pool *p, struct limiter_usual *usual, uint64_t took_ms, uint64_t now_ms);
void pool_gone(struct pool *p, uint64_t now_ms);
/* What the transport tells of the workers. */
void pool_told(struct pool *p, const struct pb_pool_load *load, uint64_t now_ms);

#endif
