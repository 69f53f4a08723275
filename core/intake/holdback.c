/* Owns the answers that wait, in a wheel of short steps. One timer serves all, and runs only while
 * an answer waits. All answers of a step leave together, so that the time that an answer took to
 * make does not show.
 *
 * Must never happen: an answer that is not sent, or sent twice.
 */
#include "intake/holdback.h"

#include "event/loop.h"
#include "intake/reply.h"

#include <stdlib.h>
#include <sys/queue.h>

#define STEP_MS 20
#define STEPS   (HOLDBACK_MAX_MS / STEP_MS + 1)

LIST_HEAD(held_list, reply);

struct holdback {
  struct loop *loop;
  struct timer timer;
  uint64_t step; /* all up to this one have been sent */
  struct held_list wheel[STEPS];
};

void holdback_drop(struct reply *r) {
  LIST_REMOVE(r, held);
  *r->holder = NULL;
  reply_done(r);
}

/* Starts the timer for the first step that has something in it. */
static void wait_for_next(struct holdback *h) {
  for (uint64_t i = 1; i <= STEPS; i++)
    if (!LIST_EMPTY(&h->wheel[(h->step + i) % STEPS])) {
      uint64_t at = (h->step + i) * STEP_MS, now = loop_now_ms(h->loop);
      timer_start(&h->timer, at > now ? at - now : 0);
      return;
    }
}

static void on_timer(void *arg) {
  struct holdback *h = arg;
  uint64_t now = loop_now_ms(h->loop) / STEP_MS;
  struct reply *r;
  for (int i = 0; i < STEPS && h->step < now; i++) {
    h->step++;
    while ((r = LIST_FIRST(&h->wheel[h->step % STEPS]))) holdback_drop(r);
  }
  h->step = now;
  wait_for_next(h);
}

struct holdback *holdback_new(struct loop *loop) {
  struct holdback *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  h->loop = loop;
  timer_init(&h->timer, loop, on_timer, h);
  return h;
}

void holdback_free(struct holdback *h) {
  struct reply *r;
  if (!h) return;
  timer_done(&h->timer);
  for (int i = 0; i < STEPS; i++)
    while ((r = LIST_FIRST(&h->wheel[i]))) holdback_drop(r);
  free(h);
}

void holdback_add(struct holdback *h, struct reply *r, uint64_t after_ms, struct reply **holder) {
  if (*holder) holdback_drop(*holder);
  *holder = r;
  r->holder = holder;
  uint64_t now = loop_now_ms(h->loop), steps = (after_ms + STEP_MS - 1) / STEP_MS;
  if (!timer_pending(&h->timer)) h->step = now / STEP_MS;
  uint64_t at = now / STEP_MS + (steps ? steps : 1);
  if (at > h->step + STEPS - 1) at = h->step + STEPS - 1;
  LIST_INSERT_HEAD(&h->wheel[at % STEPS], r, held);
  wait_for_next(h);
}
