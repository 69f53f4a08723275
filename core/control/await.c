/* Owns who waits until this node runs a revision: so that who made a change and then asks this node
 * again is not told of what was before.
 *
 * Must never happen: an answer from within the call that asked, or from within the follower; a wait
 * without an end.
 */
#include "control/await.h"

#include "base/out_of_memory.h"
#include "control/private.h"

#include <stdlib.h>

#define AGAIN_MS 20

struct waiter {
  struct waiter *next, **prev; /* of control->waiters */
  struct control *c;
  uint64_t number;
  await_fn fn;
  void *arg;
  uint64_t until_ms;
  struct timer timer;
};

static uint64_t number_of(const struct control_text *t) {
  return t ? t->rev.number : 0;
}

static bool waiter_there(const struct waiter *w) {
  return number_of(w->c->follow.good) >= w->number;
}

/* It will not come by waiting. */
static bool waiter_in_vain(const struct waiter *w) {
  const struct follow *f = &w->c->follow;
  return w->c->stopped || (f->refused && number_of(f->next) >= w->number);
}

/* `w` is gone behind it. */
static void waiter_end(struct waiter *w, bool there) {
  *w->prev = w->next;
  if (w->next) w->next->prev = w->prev;
  timer_done(&w->timer);
  w->fn(w->arg, there);
  loop_free_later(w->c->loop, w);
}

static void on_time(void *arg) {
  struct waiter *w = arg;
  bool there = waiter_there(w);
  if (there || waiter_in_vain(w) || loop_now_ms(w->c->loop) >= w->until_ms)
    waiter_end(w, there);
  else
    timer_start(&w->timer, AGAIN_MS);
}

void await_running(struct control *c, uint64_t number, await_fn fn, void *arg) {
  struct waiter *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  *w = (struct waiter){.c = c, .number = number, .fn = fn, .arg = arg, .next = c->waiters};
  w->until_ms = loop_now_ms(c->loop) + AWAIT_MS;
  w->prev = &c->waiters;
  if (w->next) w->next->prev = &w->next;
  c->waiters = w;
  timer_init(&w->timer, c->loop, on_time, w);
  timer_start(&w->timer, 0);
}

/* In a later turn: the follower is at work. */
void await_look(struct control *c) {
  for (struct waiter *w = c->waiters; w; w = w->next) timer_start(&w->timer, 0);
}

void await_end(struct control *c) {
  while (c->waiters) waiter_end(c->waiters, waiter_there(c->waiters));
}
