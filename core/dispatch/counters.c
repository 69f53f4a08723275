/* Owns the histogram of run times. */
#include "dispatch/counters.h"

#include <stddef.h>

const unsigned run_bucket_ms[RUN_BUCKETS - 1] = {5,   10,   25,   50,    100,   250,
                                                 500, 1000, 5000, 30000, 120000};

void counters_run_time(struct topic_counters *c, uint64_t ms) {
  size_t i = 0;
  while (i < RUN_BUCKETS - 1 && ms > run_bucket_ms[i]) i++;
  c->run_bucket[i]++;
  c->run_ms_sum += ms;
  c->run_count++;
  histogram_add(&c->run, ms);
}
