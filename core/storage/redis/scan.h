/* Looks through the failed jobs of a topic, whether it is configured or not. */
#ifndef PB_CORE_STORAGE_REDIS_SCAN_H
#define PB_CORE_STORAGE_REDIS_SCAN_H

#include "storage/store.h"

struct store;

/* As store_scan(). */
void scan_topic(struct store *s, const char *queue, const char *topic,
                const struct store_scan *scan, store_scanned_fn fn, void *arg);
/* The `crashes` of the topic as this node has it configured; 0: it knows no quarantine. */
uint64_t scan_crashes(const struct store *s, const char *queue, const char *topic);

#endif
