/* The last known depth of a topic. */
#ifndef PB_CORE_STORAGE_REDIS_DEPTH_H
#define PB_CORE_STORAGE_REDIS_DEPTH_H

#include <stdbool.h>

struct store_topic;

void depth_paused(struct store_topic *t, bool paused);

#endif
