/* How fast workers answer, and whether this process may push them off their CPU. */
#ifndef PB_CORE_SCHED_BATCH_H
#define PB_CORE_SCHED_BATCH_H

#include "event/loop.h"

/* Embedded; zeroed before sched_batch_init(). */
struct sched_batch {
  struct loop *loop;
  struct timer timer;
  uint64_t since_ms;         /* the count began */
  uint64_t answers, took_ms; /* since then */
  bool yields;               /* only policy_set() changes it */
};

void sched_batch_init(struct sched_batch *p, struct loop *loop);
void sched_batch_done(struct sched_batch *p); /* back to how it was; fine when zeroed */
/* A request of jobs was answered at now_ms (monotonic) after took_ms. */
void sched_batch_answer(struct sched_batch *p, uint64_t now_ms, uint64_t took_ms);

#endif
