/* What the storages hold of each topic, as they said when they were asked last. Nobody who looks
 * waits for a storage, and while nobody looks no storage is asked.
 */
#ifndef PB_CORE_METRICS_DEPTHS_H
#define PB_CORE_METRICS_DEPTHS_H

#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct depths;
struct metrics;

struct seen {
  struct store_depth depth;
  uint64_t at_ms;   /* monotonic; 0: never */
  uint64_t counted; /* of the topic's and queue's counters then: has something moved? */
  bool asked;
};

/* The last look at each present topic. Also begins the next looks. NULL without memory. */
const struct depths *depths_now(struct metrics *m);
void depths_drop(struct metrics *m);
/* Of topic `at` in registry_topics(); NULL: nothing. */
const struct seen *depths_seen(const struct depths *d, size_t at);
/* All looks that depths_now() began have been answered. */
bool depths_settled(const struct metrics *m);

#endif
