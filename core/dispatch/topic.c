/* Owns the note that a topic's facts have changed, and the count of answers that are to come to it.
 */
#include "dispatch/topic.h"

static void again_tick(void *arg) {
  struct topic *t = arg;
  t->again.due = true;
  topic_touch(t);
}

void topic_begin(struct topic *t, struct loop *loop, void (*turn)(void *t)) {
  t->loop = loop;
  t->turn = turn;
  timer_init(&t->again.timer, loop, again_tick, t);
}

void topic_end(struct topic *t) {
  t->turn = NULL;
  timer_done(&t->again.timer);
  deferred_cancel(t->loop, &t->touched);
}

void topic_touch(struct topic *t) {
  if (t->turn) loop_defer(t->loop, &t->touched, t->turn, t);
}

void topic_call_began(struct topic *t) {
  t->calls++;
}

void topic_call_ended(struct topic *t) {
  t->calls--;
  if (t->draining) topic_touch(t);
}

void topic_again_after(struct topic *t, uint64_t ms) {
  if (!timer_pending(&t->again.timer)) timer_start(&t->again.timer, ms);
}

void topic_set_paused(struct topic *t, bool paused, const struct topic_pause *pause) {
  static const struct topic_pause none;
  t->paused = paused;
  t->pause = paused && pause ? *pause : none;
}

void topic_due_at(struct topic *t, uint64_t due_ms) {
  if (!due_ms || (t->due_ms && t->due_ms <= due_ms)) return;
  t->due_ms = due_ms;
  topic_touch(t);
}

void topic_doubt(struct topic *t) {
  t->doubt = true;
  topic_touch(t);
}

bool topic_has_work(const struct topic *t) {
  return t->ready.n || t->fetch.more || t->due_ms;
}

bool topic_pulls(const struct topic *t) {
  return t->set->pulled || (t->set->transport && t->set->transport->caps & PB_CAP_PULL);
}
