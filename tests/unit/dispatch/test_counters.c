/* The histogram of run times. */
#include "dispatch/counters.h"

#include "tap.h"

int main(void) {
  struct topic_counters c = {0};
  uint64_t sum = 0, all = 0;
  bool own = true, next = true, rise = true;
  for (size_t i = 0; i < RUN_BUCKETS - 1; i++) {
    counters_run_time(&c, run_bucket_ms[i]);
    own &= c.run_bucket[i] == 1;
    sum += run_bucket_ms[i];
    if (i) rise &= run_bucket_ms[i] > run_bucket_ms[i - 1];
  }
  ok(rise, "the bounds rise");
  ok(own, "a time that is a bound belongs to that bucket");
  for (size_t i = 0; i < RUN_BUCKETS - 1; i++) {
    counters_run_time(&c, run_bucket_ms[i] + 1);
    next &= c.run_bucket[i + 1] == (i + 1 < RUN_BUCKETS - 1 ? 2 : 1);
    sum += run_bucket_ms[i] + 1;
  }
  ok(next, "one above a bound to the next, above the last to the bucket for more");
  counters_run_time(&c, 0);
  is_int(c.run_bucket[0], 2, "no time at all belongs to the first");
  counters_run_time(&c, UINT32_MAX);
  is_int(c.run_bucket[RUN_BUCKETS - 1], 2, "and any long one to the last");
  sum += UINT32_MAX;
  for (size_t i = 0; i < RUN_BUCKETS; i++) all += c.run_bucket[i];
  is_int(c.run_count, 2 * (RUN_BUCKETS - 1) + 2, "each is counted");
  is_int(all, c.run_count, "in one bucket");
  is_int(c.run_ms_sum, sum, "and added up");
  return done_testing();
}
