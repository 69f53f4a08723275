/* When the loop's thread lets workers finish: its policy as the kernel tells it. */
#include "base/log.h"
#include "event/loop.h"

#include "event/sched_batch.c"
#include "tap.h"

static int policy(void) {
  return sched_getscheduler(0);
}

/* `n` answers spread over `ms`, each of which took so long. Returns the time after them. */
static uint64_t answers(struct sched_batch *p, uint64_t now, unsigned n, uint64_t ms,
                        uint64_t took) {
  for (unsigned i = 0; i < n; i++) sched_batch_answer(p, now + i * ms / n, took);
  return now + ms;
}

int main(void) {
  struct log *log = log_new(2);
  struct loop *loop = loop_new(log);
  struct sched_batch p = {0};
  static const struct sched_param none;
  if (policy() != SCHED_OTHER || sched_setscheduler(0, SCHED_BATCH, &none) ||
      sched_setscheduler(0, SCHED_OTHER, &none))
    skip_all("the scheduling policy may not be changed here");
  sched_batch_init(&p, loop);
  uint64_t now = loop_now_ms(loop);
  now = answers(&p, now, 500, 1000, 0);
  is_int(policy(), SCHED_OTHER, "500 answers a second: as usual");
  now = answers(&p, now, 4000, 1000, SHORT_MS);
  is_int(policy(), SCHED_OTHER, "many, but of requests that took long: as usual");
  now = answers(&p, now, 4000, 1000, 0);
  is_int(policy(), SCHED_BATCH, "many short ones: workers are left to finish");
  now = answers(&p, now, 4000, 1000, SHORT_MS + 1);
  is_int(policy(), SCHED_OTHER, "slow ones again: as usual");
  now = answers(&p, now, 4000, 1000, 0);
  is_int(policy(), SCHED_BATCH, "fast once more");
  p.since_ms = loop_clock_ms(); /* the timer goes by the real clock */
  uint64_t end = loop_clock_ms() + 60000;
  while (policy() == SCHED_BATCH && loop_clock_ms() < end) loop_turn(loop, 20);
  is_int(policy(), SCHED_OTHER, "no answers any more: as usual, by its timer");
  ok(!timer_pending(&p.timer), "which ends with it");

  now = answers(&p, loop_clock_ms(), 4000, 1000, 0);
  is_int(policy(), SCHED_BATCH, "fast");
  sched_batch_done(&p);
  is_int(policy(), SCHED_OTHER, "the end restores the policy");

  sched_setscheduler(0, SCHED_BATCH, &none); /* an administrator's */
  p = (struct sched_batch){0};
  sched_batch_init(&p, loop);
  now = answers(&p, loop_clock_ms(), 4000, 1000, 0);
  ok(!p.yields && policy() == SCHED_BATCH, "another's policy is left alone");
  answers(&p, now, 100, 1000, 9);
  sched_batch_done(&p);
  is_int(policy(), SCHED_BATCH, "also afterwards");
  loop_free(loop);
  log_free(log);
  return done_testing();
}
