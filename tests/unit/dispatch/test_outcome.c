/* The rule of retries. The storage is a stub that remembers what it was told. */
#include "dispatch/outcome.h"
#include "base/log.h"

#include "tap.h"

#include <unistd.h>

static struct store_outcome told;
static struct job *told_job;
static unsigned told_n;

void store_settle(struct store_topic *t, struct job *job, const struct store_outcome *o) {
  (void)t;
  told = *o;
  told_job = job;
  told_n++;
}

static struct loop *loop;

/* How long the job waits after its attempt number `attempt` failed; UINT64_MAX: it is dead. */
static uint64_t wait_after(struct topic *t, unsigned attempt) {
  struct job job = {.failed = attempt - 1};
  uint64_t due = outcome_failed(t, loop, &job, 500, "no", 2);
  if (told_job != &job || job.failed != attempt) fail("the job was told, its attempt counted");
  if (!due) return UINT64_MAX;
  if (due != told.due_ms) fail("told the storage and the caller the same time");
  return due - loop_wall_ms(loop);
}

static void test_backoff(void) {
  struct topic_settings set = {.attempts = 100, .backoff = {1000, 600000}};
  struct topic t = {.set = &set};
  uint64_t base = 1000, sum_before = 0;
  bool in_range = true, near = true, grows = true, spread = true;
  for (unsigned attempt = 1; attempt <= 40; attempt++) {
    uint64_t least = UINT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < 200; i++) {
      uint64_t wait = wait_after(&t, attempt);
      if (wait < least) least = wait;
      if (wait > most) most = wait;
      sum += wait;
    }
    in_range &= least >= 1000 && most <= 600000;
    near &= least >= base - base / 4 && most <= base + base / 4;
    spread &= most > least; /* not all at once */
    grows &= attempt > 10 || sum > sum_before;
    sum_before = sum;
    base = base * 2 > 600000 ? 600000 : base * 2;
  }
  ok(in_range, "every wait is within the topic's backoff");
  ok(near, "it doubles, give or take a quarter");
  ok(grows, "each is longer than the one before, until the longest");
  ok(spread, "jobs that failed together do not come back together");

  set.backoff = (struct pb_range){5000, 5000};
  is_int(wait_after(&t, 1), 5000, "a fixed backoff: the first wait");
  is_int(wait_after(&t, 50), 5000, "and the fiftieth");
  set.backoff = (struct pb_range){0, 0};
  is_int(wait_after(&t, 3), 0, "no backoff, if somebody wants that");
  set.backoff = (struct pb_range){0, 600000};
  is_int(wait_after(&t, 1), 0, "from nothing: the first retry is at once");
  ok(wait_after(&t, 2) > 0, "the second is not");
  ok(wait_after(&t, 30) >= 450000, "and it grows up to the longest");
  set.backoff = (struct pb_range){1, UINT64_C(365) * 86400000};
  set.attempts = UINT32_MAX;
  ok(wait_after(&t, UINT32_MAX - 1) >= set.backoff.to_ms / 4 * 3,
     "billions of attempts do not wrap");
}

static void test_attempts(void) {
  struct topic_settings set = {.attempts = 3, .backoff = {1000, 2000}};
  struct topic t = {.set = &set};
  struct job job = {0};
  ok(outcome_failed(&t, loop, &job, 500, "one", 3) > 0, "the first of three failed: again");
  is_int(told.verdict, STORE_RETRY, "it goes to the retry set");
  is_int(told.code, 500, "with the code");
  is_mem(told.message, told.message_len, "one", 3, "and the message");
  ok(outcome_failed(&t, loop, &job, 0, "two", 3) > 0, "the second: again");
  is_int(outcome_failed(&t, loop, &job, 501, "three", 5), 0, "the third: not again");
  is_int(told.verdict, STORE_DEAD, "it is dead");
  is_int(told.code, 501, "with the last code");
  is_mem(told.message, told.message_len, "three", 5, "and the last message");
  is_int(job.failed, 3, "three failed attempts");
  ok(t.counters.failed == 3 && t.counters.retried == 2 && t.counters.dead == 1, "counted");
  is_int(outcome_failed(&t, loop, &job, 0, "", 0), 0, "a job past its attempts does not come back");

  set.attempts = 1;
  ok(wait_after(&t, 1) == UINT64_MAX, "one attempt: dead at the first failure");
  set.attempts = 2; /* lowered while the job waited */
  ok(wait_after(&t, 5) == UINT64_MAX, "attempts lowered meanwhile: dead at the next failure");
}

static void test_own_retry(void) {
  struct topic_settings set = {.attempts = 3, .backoff = {1000, 600000}};
  struct topic t = {.set = &set};
  struct job job = {.own_retry = true, .retry_ms = 7000};
  for (int i = 1; i < 3; i++)
    is_int(outcome_failed(&t, loop, &job, 500, "", 0), loop_wall_ms(loop) + 7000,
           "its own wait after failure %d", i);
  is_int(outcome_failed(&t, loop, &job, 500, "", 0), 0, "its attempts are the topic's");
  job = (struct job){.own_retry = true, .retry_ms = UINT64_MAX};
  is_int(outcome_failed(&t, loop, &job, 500, "", 0), 0, "RETRY 0: never by itself");
  is_int(told.verdict, STORE_DEAD, "so it is dead, not lost");
  job = (struct job){.own_retry = true, .retry_ms = 0};
  is_int(outcome_failed(&t, loop, &job, 500, "", 0), loop_wall_ms(loop),
         "its own wait may be none");
  is_int(told.verdict, STORE_RETRY, "and that is a retry");
  set.attempts = 1;
  job = (struct job){.own_retry = true, .retry_ms = 7000};
  is_int(outcome_failed(&t, loop, &job, 500, "", 0), 0, "one attempt is one attempt");
}

static void test_others(void) {
  struct topic_settings set = {.attempts = 3, .backoff = {1000, 600000}};
  struct topic t = {.set = &set};
  struct job job = {.failed = 1};
  unsigned before = told_n;
  outcome_done(&t, &job);
  ok(told.verdict == STORE_DONE && told_job == &job && job.failed == 1, "done");
  is_int(t.counters.done, 1, "counted");
  outcome_released(&t, loop, &job);
  ok(told.verdict == STORE_RELEASE && job.failed == 1, "released: no attempt is counted");
  is_int(told.due_ms, loop_wall_ms(loop), "and due at once");
  outcome_dead(&t, loop, &job, 7, "expired");
  ok(told.verdict == STORE_DEAD && told.code == 7 && job.failed == 1, "dead by decree");
  is_mem(told.message, told.message_len, "expired", 7, "with its reason");
  ok(t.counters.dead == 1 && t.counters.failed == 0 && t.counters.retried == 0,
     "counted as dead alone");
  is_int(told_n - before, 3, "each told the storage once");
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  loop = loop_new(log);
  if (!loop) bail_out("no loop");
  test_backoff();
  test_attempts();
  test_own_retry();
  test_others();
  loop_free(loop);
  log_free(log);
  return done_testing();
}
