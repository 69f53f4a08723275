/* Owns the rule of retries: when a failed job is due again and when it is dead. */
#include "dispatch/outcome.h"

#include "base/backoff.h"

#include <stdio.h>
#include <string.h>

void outcome_done(struct topic *t, struct job *job) {
  t->counters.done++;
  store_settle(t->store, job, &(struct store_outcome){.verdict = STORE_DONE});
}

/* The wait after attempt `failed` has failed. Many jobs that failed together must not come back
 * together: the wait is up to a quarter shorter or longer by chance, but stays within the range. */
static uint64_t retry_wait_ms(const struct pb_range *range, uint32_t failed, struct loop *loop) {
  uint64_t wait = loop_jitter(loop, backoff_wait(range->from_ms, range->to_ms, failed - 1));
  return wait < range->from_ms ? range->from_ms : wait > range->to_ms ? range->to_ms : wait;
}

uint64_t outcome_failed(struct topic *t, struct loop *loop, struct job *job, int code,
                        const char *message, size_t len) {
  struct store_outcome o = {.code = code, .message = message, .message_len = len};
  job->failed++;
  t->counters.failed++;
  bool again = job->failed < (uint64_t)t->set->attempts;
  if (job->own_retry && job->retry_ms == UINT64_MAX) again = false;
  if (again) {
    uint64_t wait =
        job->own_retry ? job->retry_ms : retry_wait_ms(&t->set->backoff, job->failed, loop);
    o.verdict = STORE_RETRY;
    o.due_ms = loop_wall_ms(loop) + wait;
    t->counters.retried++;
  } else {
    o.verdict = STORE_DEAD;
    t->counters.dead++;
  }
  if (t->dispatcher) {
    tally_add(&t->tally, loop, t->set->path, again ? TALLY_RETRIED : TALLY_DEAD, job->id, code,
              message, len);
    failures_add(&t->failures, loop_now_ms(loop), job->id, code, message, len);
  }
  store_settle(t->store, job, &o);
  return o.due_ms;
}

void outcome_dead(struct topic *t, struct loop *loop, struct job *job, int code,
                  const char *message) {
  struct store_outcome o = {
      .verdict = STORE_DEAD, .code = code, .message = message, .message_len = strlen(message)};
  t->counters.dead++;
  if (t->dispatcher) {
    tally_add(&t->tally, loop, t->set->path, TALLY_EXPIRED, job->id, code, message, o.message_len);
    failures_add(&t->failures, loop_now_ms(loop), job->id, code, message, o.message_len);
  }
  store_settle(t->store, job, &o);
}

void outcome_released(struct topic *t, struct loop *loop, struct job *job) {
  struct store_outcome o = {.verdict = STORE_RELEASE, .due_ms = loop_wall_ms(loop)};
  store_settle(t->store, job, &o);
}
