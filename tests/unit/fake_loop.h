/* The loop of event/loop.h on a clock that the test moves: no descriptor, no waiting. A program
 * that includes this has no other loop, since the linker takes these functions instead of the
 * core's.
 *
 *   loop_advance(loop, 250);   250 ms go by; each timer that is due has a turn of its own
 *   loop_turn(loop, 0);        what was deferred, and timers that are due now
 *   loop_stall(loop, 250);     250 ms go by, and no timer is seen to
 *   fake_clock_step_us = 500;  each look at the clock finds it so much later: work takes time
 */
#ifndef PB_TESTS_FAKE_LOOP_H
#define PB_TESTS_FAKE_LOOP_H

#include "base/log.h"
#include "event/loop.h"
#include "tap.h"

#include <unistd.h>

#define FAKE_TIMERS 4096
#define FAKE_WALL   UINT64_C(1700000000000) /* Unix ms, at the clock's beginning */

struct loop {
  struct log *log;
  uint64_t now_ms, turns;
  struct deferred *deferred, **deferred_end;
  struct {
    struct timer *timer;
    uint64_t due_ms, nth;
  } timers[FAKE_TIMERS];
  size_t n_timers;
  uint64_t started; /* timers so far: those of one time come in the order they were started in */
  void **corpses;
  size_t n_corpses;
};

struct loop *loop_new(struct log *log) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (!loop) bail_out("no memory");
  loop->log = log;
  loop->now_ms = 1000000;
  loop->deferred_end = &loop->deferred;
  return loop;
}

static void fake_run_deferred(struct loop *loop) {
  while (loop->deferred) {
    struct deferred *d = loop->deferred;
    deferred_cancel(loop, d);
    d->fn(d->arg);
  }
  for (size_t i = 0; i < loop->n_corpses; i++) free(loop->corpses[i]);
  loop->n_corpses = 0;
  loop->turns++;
}

void loop_free(struct loop *loop) {
  fake_run_deferred(loop);
  free(loop->corpses);
  free(loop);
}

struct log *loop_log(struct loop *loop) {
  return loop->log;
}
uint64_t loop_now_ms(struct loop *loop) {
  return loop->now_ms;
}
uint64_t loop_wall_ms(struct loop *loop) {
  return FAKE_WALL + loop->now_ms;
}
uint64_t loop_turns(const struct loop *loop) {
  return loop->turns;
}
/* Tests are about times, so nothing is left to chance. */
uint64_t loop_jitter(struct loop *loop, uint64_t base_ms) {
  (void)loop;
  return base_ms;
}

static uint64_t fake_clock_us, fake_clock_step_us;

uint64_t loop_clock_us(void) {
  return fake_clock_us += fake_clock_step_us;
}

void loop_defer(struct loop *loop, struct deferred *d, loop_fn fn, void *arg) {
  if (d->prev) return;
  *d = (struct deferred){.fn = fn, .arg = arg, .prev = loop->deferred_end};
  *loop->deferred_end = d;
  loop->deferred_end = &d->next;
}

void deferred_cancel(struct loop *loop, struct deferred *d) {
  if (!d->prev) return;
  *d->prev = d->next;
  if (d->next)
    d->next->prev = d->prev;
  else
    loop->deferred_end = d->prev;
  d->prev = NULL;
}

void loop_free_later(struct loop *loop, void *ptr) {
  loop->corpses = realloc(loop->corpses, (loop->n_corpses + 1) * sizeof *loop->corpses);
  if (!loop->corpses) bail_out("no memory");
  loop->corpses[loop->n_corpses++] = ptr;
}

void timer_init(struct timer *t, struct loop *loop, loop_fn fn, void *arg) {
  memset(t, 0, sizeof *t);
  t->loop = loop;
  t->fn = fn;
  t->arg = arg;
}

void timer_stop(struct timer *t) {
  struct loop *loop = t->loop;
  for (size_t i = 0; loop && i < loop->n_timers; i++) {
    if (loop->timers[i].timer != t) continue;
    loop->timers[i] = loop->timers[--loop->n_timers];
    return;
  }
}

void timer_start(struct timer *t, uint64_t after_ms) {
  struct loop *loop = t->loop;
  timer_stop(t);
  if (loop->n_timers == FAKE_TIMERS) bail_out("too many timers");
  loop->timers[loop->n_timers].timer = t;
  loop->timers[loop->n_timers].due_ms = loop->now_ms + after_ms;
  loop->timers[loop->n_timers++].nth = loop->started++;
}

bool timer_pending(const struct timer *t) {
  for (size_t i = 0; t->loop && i < t->loop->n_timers; i++)
    if (t->loop->timers[i].timer == t) return true;
  return false;
}

void timer_done(struct timer *t) {
  timer_stop(t);
}

/* The first timer that is due until `until_ms`; NULL: none is. */
static struct timer *fake_next(struct loop *loop, uint64_t until_ms, uint64_t *ret_due_ms) {
  size_t best = loop->n_timers;
  for (size_t i = 0; i < loop->n_timers; i++) {
    if (loop->timers[i].due_ms > until_ms) continue;
    if (best < loop->n_timers && (loop->timers[i].due_ms > loop->timers[best].due_ms ||
                                  (loop->timers[i].due_ms == loop->timers[best].due_ms &&
                                   loop->timers[i].nth > loop->timers[best].nth)))
      continue;
    best = i;
  }
  if (best == loop->n_timers) return NULL;
  *ret_due_ms = loop->timers[best].due_ms;
  return loop->timers[best].timer;
}

static TAP_UNUSED void loop_advance(struct loop *loop, uint64_t ms) {
  uint64_t until = loop->now_ms + ms, due;
  struct timer *t;
  fake_run_deferred(loop);
  for (int i = 0; (t = fake_next(loop, until, &due)); i++) {
    if (i == 1000000) bail_out("timers without end");
    if (due > loop->now_ms) loop->now_ms = due;
    timer_stop(t);
    t->fn(t->arg);
    fake_run_deferred(loop);
  }
  loop->now_ms = until;
}

static TAP_UNUSED void loop_stall(struct loop *loop, uint64_t ms) {
  loop->now_ms += ms;
}

void loop_turn(struct loop *loop, uint64_t max_wait_ms) {
  (void)max_wait_ms;
  loop_advance(loop, 0);
}

#endif
