/* Which node has running jobs in which group. */
#ifndef PB_CORE_STORAGE_REDIS_CENSUS_H
#define PB_CORE_STORAGE_REDIS_CENSUS_H

#include "event/loop.h"
#include <stdint.h>

struct census;
struct store;

struct store_census {
  struct timer timer;
  struct census *now; /* under way */
  uint64_t rest_ms;   /* between two of them while dead nodes have something left */
  uint64_t ended_ms;  /* monotonic */
};

void census_init(struct store *s);
void census_done(struct store *s);
void census_start(struct store *s); /* on READY */
void census_stop(struct store *s);
void census_dead(struct store *s); /* the node registry has dead nodes: looks what they have left */

#endif
