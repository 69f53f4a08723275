/* Owns slots and the line of topics that wait for one. No timers of its own run here: the
 * dispatcher starts them and says when it is time.
 */
#include "pool.h"

#include "topic.h"

static bool has_room(const struct pool *p) { return !p->open && !p->resting && p->busy < p->limit; }

bool pool_acquire(struct pool *p, struct topic *t) {
  /* Whoever just freed a slot may not pass those that wait for one. */
  if (!has_room(p) || (p->waiting && p->waiting != t)) {
    pool_wait(p, t);
    return false;
  }
  pool_leave(p, t);
  p->busy++;
  return true;
}

struct topic *pool_first(struct pool *p) { return has_room(p) ? p->waiting : NULL; }

void pool_release(struct pool *p) {
  if (p->busy) p->busy--;
}

void pool_wait(struct pool *p, struct topic *t) {
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
  if (p->limit < p->max && ++p->answers >= p->limit) {
    p->limit++;
    p->answers = 0;
  }
}

void pool_lower(struct pool *p) {
  size_t half = p->busy / 2 ? p->busy / 2 : 1;
  if (half < p->limit) p->limit = half; /* cancelled requests may keep more busy than it allows */
  p->answers = 0;
}
