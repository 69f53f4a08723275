/* How many requests at a time a pool's workers can take: the controller behind
 * `concurrency = auto`. It learns the limit from what it sees of the workers.
 *
 * There are three signals, from the strongest to the weakest:
 *
 *   idle     so many workers are free: the limit goes there in one step, less the reserve
 *   queued   requests wait for a worker: the limit comes down by as many. While none waits the
 * limit is raised step by step, until one does latency  requests take longer than they used to.
 * Topics differ in run time, so each topic is compared with itself
 *
 * A weaker signal is used only when no stronger one is available. A refusal (listen queue full,
 * nobody listening) always lowers the limit.
 *
 * Pure: no I/O and no clock; the time is the caller's, in monotonic milliseconds.
 */
#ifndef PB_CORE_AUTO_CONCURRENCY_H
#define PB_CORE_AUTO_CONCURRENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What requests of one topic take while none waits; zeroed to begin with. */
struct usual_time {
  double ms;
  unsigned n; /* answers that it was learnt from, at most LEARN */
};

struct auto_concurrency {
  size_t max, reserve; /* workers that are left free for others */
  size_t limit;        /* 1..max */

  bool start;                 /* nothing was too much yet: it doubles */
  bool wanted;                /* the limit was reached since the last step */
  size_t ceiling;             /* a limit that was too high lately, less one step ... */
  uint64_t ceiling_ms;        /* ... until then; afterwards it is tried again */
  uint64_t step_ms;           /* when it may be raised next */
  unsigned queued;            /* times in a row that requests waited ... */
  size_t waiting;             /* ... and how many the last time */
  unsigned still;             /* times in a row that all waited, none was answered and none went */
  bool answered;              /* something was, since it was lowered */
  uint64_t queue_ms, idle_ms; /* when a queue, and idle workers, were last told; 0: never */

  bool learn;        /* no request waits now: the time that requests take is the time they need */
  uint64_t round_ms; /* when the round of answers began */
  double round_took, round_usual;
  size_t round_n;
};

void auto_concurrency_init(struct auto_concurrency *l, size_t max, size_t reserve, uint64_t now_ms);

/* More requests are wanted than the limit lets through. */
static inline void auto_concurrency_want(struct auto_concurrency *l) {
  l->wanted = true;
}
/* A report about the workers while `busy` of our requests are with them; -1: not known. */
void auto_concurrency_load(struct auto_concurrency *l, size_t busy, int idle, int queued,
                           uint64_t now_ms);
/* A request was answered after took_ms. */
void auto_concurrency_answered(struct auto_concurrency *l, struct usual_time *topic,
                               uint64_t took_ms, uint64_t now_ms);
/* The workers took no more while `busy` requests were with them. */
void auto_concurrency_refused(struct auto_concurrency *l, size_t busy, uint64_t now_ms);
/* They went away; when they come back they may be others. */
void auto_concurrency_gone(struct auto_concurrency *l, uint64_t now_ms);

#endif
