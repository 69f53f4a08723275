/* The counters of a queue and of a topic: plain numbers. Their owners raise them. Once a second
 * metrics/ makes rates of them.
 */
#ifndef PB_CORE_COUNTERS_H
#define PB_CORE_COUNTERS_H

#include "base/histogram.h"

#include <stdint.h>

struct queue_counters {
  uint64_t accepted, accepted_bytes; /* jobs whose producer was told that they are stored */
  uint64_t refused;                  /* full, too large */
  uint64_t failed;                   /* storage failures told to producers */
};

/* Upper bounds of the run time histogram in ms; the last bucket is "more". */
#define RUN_BUCKETS 12
extern const unsigned run_bucket_ms[RUN_BUCKETS - 1];

struct topic_counters {
  uint64_t attempts; /* jobs sent to a worker */
  uint64_t requests; /* batches sent */
  uint64_t done;
  uint64_t failed;        /* failed attempts, all reasons */
  uint64_t lost, timeout; /* of the failed: unknown outcomes */
  uint64_t retried, dead;
  uint64_t unreachable, busy;     /* batches that went back without an attempt */
  uint64_t unregistered;          /* jobs that went back because of a 404 */
  uint64_t recovered;             /* jobs taken over after a crash */
  uint64_t run_ms_sum, run_count; /* of answered requests */
  uint64_t run_bucket[RUN_BUCKETS];
  /* run: the same times. wait: of jobs that were attempted, from their id's time to their first
   * attempt. */
  struct histogram run, wait;
};

/* An answered request took so long. */
void counters_run_time(struct topic_counters *c, uint64_t ms);

/* Jobs a second over the last seconds: accepted of a queue, done and failed of a topic. */
struct rates {
  double accepted, done, failed; /* per second, exponentially smoothed over about 5 s */
  uint64_t last_accepted, last_done, last_failed;
  uint64_t moved_ms[3]; /* when each was seen to rise last; monotonic */
};

#endif
