/* Acts with a filter. */
#ifndef PB_CORE_STORAGE_REDIS_ACT_FILTERED_H
#define PB_CORE_STORAGE_REDIS_ACT_FILTERED_H

#include "storage/store.h"

/* As store_act_slice(). */
void act_filtered_slice(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg);

#endif
