/* One row of the history: what a topic, or a node, did in a minute or in an hour. And its stored
 * form: a version byte, then numbers of 7 bits a byte, the lowest first. Each histogram is its sum,
 * a mask of the buckets that have any, and their numbers. No I/O. */
#ifndef PB_CORE_HISTORY_ROW_H
#define PB_CORE_HISTORY_ROW_H

#include "base/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_ROW_MAX 768 /* bytes of a stored form */

struct history_row {
  uint64_t seq;    /* tells two rows of one node apart */
  uint64_t span_s; /* the time that the counts are of */
  uint64_t accepted, done, failed, dead, retried;
  struct histogram run, wait;
};

/* What a storage had of a topic when the row was written. */
struct history_gauges {
  uint64_t ready, running, retry, dead, oldest_s;
};

size_t history_row_encode(const struct history_row *row, unsigned char ret[HISTORY_ROW_MAX]);
/* False: of no version that this release knows, or cut off. */
bool history_row_decode(const void *blob, size_t len, struct history_row *ret);
/* Counts are added up; of the time the longer one counts. */
void history_row_merge(struct history_row *to, const struct history_row *from);
/* "ready running retry dead oldest"; what cannot be read is 0. */
void history_gauges_parse(const char *text, struct history_gauges *ret);
/* The highest of each. */
void history_gauges_merge(struct history_gauges *to, const struct history_gauges *from);

#endif
