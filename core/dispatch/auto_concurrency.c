/* Owns the arithmetic; auto_concurrency.h says which signals it uses.
 *
 * Must never happen: a limit of 0, for then nothing would tell that the workers are better; or a
 * limit that stays low because it was low. So a higher limit is tried again and again.
 */
#include "dispatch/auto_concurrency.h"

#define START_LIMIT  4    /* to begin with; latency alone does not lower it below */
#define STEP_MS      100  /* between two raises, so that the last one shows */
#define HOLD_MS      2000 /* a limit that was too high is not tried again before */
#define TOLD_MS      3000 /* a signal that is older than this is not known any more */
#define QUEUED_TWICE 2    /* one look may meet a request on its way to a free worker */
#define ROUND_MS     200
#define ROUND_MIN    16  /* answers without which a round says nothing */
#define TOOK_LEAST   5.0 /* ms: a shorter time is mostly the clock and our own work */
#define SLOW_SHARE   0.6 /* usual time / time taken: below this requests wait somewhere ... */
#define WELL_SHARE   0.8 /* ... above this they do not */
#define FAST_SHARE   1.1 /* they take less than usual: the usual time is learnt again */
#define LOWER_BY     0.9 /* times what the latency says, so that requests stop waiting */
#define SETTLE_MS    500 /* then what waited has been served */
#define LEARN        64  /* answers over which a topic's usual time is learnt */

void auto_concurrency_init(struct auto_concurrency *l, size_t max, size_t reserve,
                           uint64_t now_ms) {
  *l = (struct auto_concurrency){.max = max ? max : 1,
                                 .reserve = reserve,
                                 .start = true,
                                 .step_ms = now_ms + STEP_MS,
                                 .round_ms = now_ms};
  l->limit = l->max < START_LIMIT ? l->max : START_LIMIT;
}

static bool told(uint64_t at_ms, uint64_t now_ms) {
  return at_ms && now_ms - at_ms < TOLD_MS;
}

static void lower(struct auto_concurrency *l, size_t to, uint64_t now_ms) {
  if (to < 1) to = 1;
  if (to < l->limit) l->limit = to;
  l->start = l->wanted = l->answered = false;
  l->ceiling = l->limit;
  l->ceiling_ms = now_ms + HOLD_MS;
  l->step_ms = now_ms + STEP_MS;
}

static void raise_by(struct auto_concurrency *l, size_t by, uint64_t now_ms) {
  size_t to = l->limit + by;
  if (to > l->max) to = l->max;
  if (now_ms < l->ceiling_ms && to > l->ceiling) to = l->ceiling;
  if (to > l->limit) l->limit = to;
  l->wanted = false;
  l->step_ms = now_ms + STEP_MS;
}

/* The workers are others than those for which something was too much. */
static void begin_again(struct auto_concurrency *l) {
  l->start = true;
  l->ceiling_ms = 0;
}

static size_t less(size_t n, size_t by, size_t least) {
  return n > by + least ? n - by : least;
}

static size_t step(const struct auto_concurrency *l) {
  if (l->start) return l->limit / 2 + 1;
  return l->limit / 8 ? l->limit / 8 : 1;
}

void auto_concurrency_load(struct auto_concurrency *l, size_t busy, int idle, int queued,
                           uint64_t now_ms) {
  size_t room = busy + (idle > 0 ? (size_t)idle : 0);
  size_t before = l->waiting, waiting = queued > 0 ? (size_t)queued : 0;
  if (queued >= 0) l->queue_ms = now_ms;
  if (idle >= 0) l->idle_ms = now_ms;
  l->waiting = waiting;
  l->queued = waiting ? l->queued + 1 : 0;
  /* While the workers restart, all requests wait and the queue does not shrink. That does not tell
   * how many requests the workers will take. So the limit is lowered at most by half, and again
   * only after an answer. When the workers are back, they take the waiting requests one after the
   * other. */
  l->still = busy && waiting >= busy && waiting >= before && !l->answered ? l->still + 1 : 0;
  if (l->still >= QUEUED_TWICE) begin_again(l);
  if (l->queued >= QUEUED_TWICE) {
    bool shrinks = waiting < before;
    size_t to = less(room, l->reserve + (shrinks ? waiting : before), l->limit / 2);
    if (to < l->limit && l->answered && !(l->start && shrinks)) lower(l, to, now_ms);
    l->queued = 0;
  } else if (idle >= 0 && (size_t)idle < l->reserve && less(room, l->reserve, 1) < l->limit) {
    lower(l, less(room, l->reserve, 1), now_ms);
  } else if (idle >= 0 && l->wanted && less(room, l->reserve + waiting, 1) > l->limit) {
    l->ceiling_ms = 0; /* workers that are seen to be idle are no guess */
    raise_by(l, less(room, l->reserve + waiting, 1) - l->limit, now_ms);
  } else if (!queued && l->wanted && now_ms >= l->step_ms && !told(l->idle_ms, now_ms)) {
    raise_by(l, step(l), now_ms);
  }
}

/* The usual time is learnt from the first answers, while few requests run at a time. Later it is
 * learnt only when no request can be waiting. If it were always learnt, it would follow a queue
 * that grows slowly. */
static double usual(struct usual_time *t, double took, bool learn) {
  if (t->n < LEARN) t->n++;
  if (t->n < LEARN || learn) t->ms += (took - t->ms) / t->n;
  return t->ms;
}

void auto_concurrency_answered(struct auto_concurrency *l, struct usual_time *topic,
                               uint64_t took_ms, uint64_t now_ms) {
  double took = took_ms < TOOK_LEAST ? TOOK_LEAST : (double)took_ms;
  l->answered = true;
  l->round_took += took;
  l->round_usual += usual(topic, took, l->learn);
  l->round_n++;
  if (now_ms - l->round_ms < ROUND_MS || l->round_n < ROUND_MIN || l->round_n < l->limit) return;
  double share = l->round_usual / l->round_took;
  l->round_ms = now_ms;
  l->round_took = l->round_usual = 0;
  l->round_n = 0;
  l->learn = share > FAST_SHARE || l->limit <= START_LIMIT ||
             (now_ms < l->ceiling_ms && l->ceiling_ms - now_ms < HOLD_MS - SETTLE_MS);
  if (told(l->queue_ms, now_ms) || told(l->idle_ms, now_ms)) return;
  if (share < WELL_SHARE) l->start = false;
  if (share < SLOW_SHARE && now_ms >= l->ceiling_ms) { /* once, for it must show */
    size_t to = (size_t)((double)l->limit * share * LOWER_BY);
    lower(l, to < START_LIMIT ? START_LIMIT : to, now_ms);
    l->start = true; /* it may have been the jobs themselves that became slower */
  } else if (share > WELL_SHARE && l->wanted && now_ms >= l->step_ms) {
    raise_by(l, step(l), now_ms);
  }
}

void auto_concurrency_refused(struct auto_concurrency *l, size_t busy, uint64_t now_ms) {
  lower(l, busy / 2, now_ms);
}

void auto_concurrency_gone(struct auto_concurrency *l, uint64_t now_ms) {
  lower(l, l->limit / 2, now_ms);
  begin_again(l);
  l->queue_ms = l->idle_ms = 0;
}
