/* Owns slots and the line of topics that wait for one. No timers of its own run here: the
 * dispatcher starts them and says when it is time.
 */
#include "dispatch/pool.h"

#include "dispatch/topic.h"

static bool has_room(const struct pool *p) {
  return !p->open && !p->resting && p->busy < p->limit;
}

void pool_bounds(struct pool *p, size_t max, bool automatic, size_t reserve, uint64_t now_ms) {
  if (p->max == max && p->automatic == automatic && p->limiter.reserve == reserve) return;
  p->max = p->limit = max;
  p->answers = 0;
  p->automatic = automatic;
  limiter_init(&p->limiter, max, reserve, now_ms);
  if (automatic) p->limit = p->limiter.limit;
}

/* Who waits and has the fewest slots; the first in the line of those. With turns alone a topic of
 * slow jobs would come to hold them all. Not longer than there are slots: the first that has none
 * ends the search. */
static struct topic *fairest(const struct pool *p) {
  struct topic *best = p->waiting;
  for (struct topic *t = best; t && best->attempts; t = t->pool_next)
    if (t->attempts < best->attempts) best = t;
  return best;
}

bool pool_acquire(struct pool *p, struct topic *t) {
  /* Whoever just freed a slot may not pass those that wait for one. */
  if (p->waiting) pool_wait(p, t);
  if (!has_room(p) || (p->waiting && fairest(p) != t)) {
    pool_wait(p, t);
    return false;
  }
  pool_leave(p, t);
  p->busy++;
  return true;
}

struct topic *pool_first(struct pool *p) {
  return has_room(p) ? fairest(p) : NULL;
}

void pool_release(struct pool *p) {
  if (p->busy) p->busy--;
}

void pool_wait(struct pool *p, struct topic *t) {
  if (p->busy >= p->limit) limiter_want(&p->limiter);
  if (t->pool_prev) return;
  if (!p->waiting) p->waiting_end = &p->waiting;
  t->pool_next = NULL;
  t->pool_prev = p->waiting_end;
  *p->waiting_end = t;
  p->waiting_end = &t->pool_next;
  p->waiting_n++;
}

void pool_leave(struct pool *p, struct topic *t) {
  if (!t->pool_prev) return;
  *t->pool_prev = t->pool_next;
  if (t->pool_next)
    t->pool_next->pool_prev = t->pool_prev;
  else
    p->waiting_end = t->pool_prev;
  t->pool_prev = NULL;
  p->waiting_n--;
}

void pool_answered(struct pool *p) {
  p->rests = 0;
  if (!p->automatic && p->limit < p->max && ++p->answers >= p->limit) {
    p->limit++;
    p->answers = 0;
  }
}

void pool_lower(struct pool *p, uint64_t now_ms) {
  if (p->automatic) {
    limiter_refused(&p->limiter, p->busy, now_ms);
    p->limit = p->limiter.limit;
    return;
  }
  size_t half = p->busy / 2 ? p->busy / 2 : 1;
  if (half < p->limit) p->limit = half; /* cancelled requests may keep more busy than it allows */
  p->answers = 0;
}

void pool_took(struct pool *p, struct limiter_usual *usual, uint64_t took_ms, uint64_t now_ms) {
  limiter_answered(&p->limiter, usual, took_ms, now_ms);
  p->limit = p->limiter.limit;
}

void pool_gone(struct pool *p, uint64_t now_ms) {
  p->load_ms = 0;
  if (!p->automatic) return;
  limiter_gone(&p->limiter, now_ms);
  p->limit = p->limiter.limit;
}

void pool_told(struct pool *p, const struct pb_pool_load *load, uint64_t now_ms) {
  /* A look at the queue alone leaves what was told of the workers. */
  if (load->workers >= 0 || !p->load_ms) p->load.workers = load->workers;
  if (load->idle >= 0 || !p->load_ms) p->load.idle = load->idle;
  p->load.queued = load->queued;
  p->load_ms = now_ms;
  if (!p->automatic) return;
  limiter_load(&p->limiter, p->busy, load->idle, load->queued, now_ms);
  p->limit = p->limiter.limit;
}
