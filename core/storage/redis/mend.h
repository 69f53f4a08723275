/* Jobs whose retry set or set of dead ones was deleted. */
#ifndef PB_CORE_STORAGE_REDIS_MEND_H
#define PB_CORE_STORAGE_REDIS_MEND_H

#include <stdbool.h>
#include <stdint.h>

struct store_topic;

struct topic_mending {
  bool asked;
  uint64_t n;       /* by the pass under way */
  uint64_t surplus; /* records that no pass could put back */
};

void mend_topic(struct store_topic *t);

#endif
