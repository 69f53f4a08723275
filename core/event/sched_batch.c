/* Owns the scheduling policy of the loop's thread.
 *
 * A thread that sleeps most of the time preempts the running thread when it wakes up. With requests
 * of some 50 us on busy CPUs, each answer of one worker interrupts another worker in the middle of
 * its request. These two useless switches of a CPU cost more than all of the broker's own work on
 * the job. With SCHED_BATCH the kernel leaves the worker its CPU until its request is over, and
 * several answers are then handled at once. An idle CPU is used as before. So this thread has
 * SCHED_BATCH while it handles many short requests. For slow workers, and whenever little happens,
 * it has the usual policy: otherwise a worker that computes for long would keep this thread
 * waiting.
 *
 * Must never happen: a policy that an administrator gave the process is changed. Children that
 * start meanwhile inherit our policy; managed_server.c gives its child the usual one.
 */
#include "event/sched_batch.h"

#include <sched.h>

#define LOOK_MS       100 /* between two looks at how fast it is */
#define MANY_A_SECOND 2000
#define SHORT_MS      2 /* the average request takes less */

static void policy_set(struct sched_batch *p, bool yield) {
  static const struct sched_param none;
  if (sched_getscheduler(0) != (p->yields ? SCHED_BATCH : SCHED_OTHER)) return;
  if (!sched_setscheduler(0, yield ? SCHED_BATCH : SCHED_OTHER, &none)) p->yields = yield;
}

static void pace_look(struct sched_batch *p, uint64_t now_ms) {
  uint64_t elapsed = now_ms - p->since_ms;
  bool fast =
      elapsed && p->answers * 1000 / elapsed >= MANY_A_SECOND && p->took_ms < p->answers * SHORT_MS;
  p->since_ms = now_ms;
  p->answers = p->took_ms = 0;
  if (fast != p->yields) policy_set(p, fast);
  if (p->yields) timer_start(&p->timer, 2 * LOOK_MS);
}

/* No look for so long: hardly any answers come. */
static void pace_tick(void *arg) {
  struct sched_batch *p = arg;
  pace_look(p, loop_now_ms(p->loop));
}

void sched_batch_answer(struct sched_batch *p, uint64_t now_ms, uint64_t took_ms) {
  p->answers++;
  p->took_ms += took_ms;
  if (now_ms - p->since_ms >= LOOK_MS) pace_look(p, now_ms);
}

void sched_batch_init(struct sched_batch *p, struct loop *loop) {
  p->loop = loop;
  timer_init(&p->timer, loop, pace_tick, p);
}

void sched_batch_done(struct sched_batch *p) {
  timer_done(&p->timer);
  if (p->yields) policy_set(p, false);
}
