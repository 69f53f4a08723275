/* Owns the stored form of rows, and how rows are put together. */
#include "history/row.h"

#include <stdlib.h>

#define ROW_VERSION 1

static unsigned char *number_put(unsigned char *at, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *at++ = (unsigned char)(v | 0x80);
  *at++ = (unsigned char)v;
  return at;
}

static bool number_get(const unsigned char **at, const unsigned char *end, uint64_t *ret) {
  *ret = 0;
  for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
    unsigned char c = *(*at)++;
    *ret |= (uint64_t)(c & 0x7f) << shift;
    if (!(c & 0x80)) return true;
  }
  return false;
}

static unsigned char *histogram_put(unsigned char *at, const struct histogram *h) {
  uint64_t mask = 0;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) mask |= (uint64_t)(h->bucket[i] != 0) << i;
  at = number_put(number_put(at, h->sum_ms), mask);
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
    if (h->bucket[i]) at = number_put(at, h->bucket[i]);
  return at;
}

static bool histogram_get(const unsigned char **at, const unsigned char *end,
                          struct histogram *ret) {
  uint64_t mask;
  *ret = (struct histogram){0};
  if (!number_get(at, end, &ret->sum_ms) || !number_get(at, end, &mask)) return false;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    if (!(mask >> i & 1)) continue;
    if (!number_get(at, end, &ret->bucket[i])) return false;
    ret->count += ret->bucket[i];
  }
  return true;
}

size_t history_row_encode(const struct history_row *row, unsigned char ret[HISTORY_ROW_MAX]) {
  const uint64_t numbers[] = {row->seq,    row->span_s, row->accepted, row->done,
                              row->failed, row->dead,   row->retried};
  unsigned char *at = ret;
  *at++ = ROW_VERSION;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) at = number_put(at, numbers[i]);
  at = histogram_put(histogram_put(at, &row->run), &row->wait);
  return (size_t)(at - ret);
}

bool history_row_decode(const void *blob, size_t len, struct history_row *ret) {
  const unsigned char *at = blob, *end = at + len;
  struct history_row row = {0};
  uint64_t *const numbers[] = {&row.seq,    &row.span_s, &row.accepted, &row.done,
                               &row.failed, &row.dead,   &row.retried};
  if (!len || *at++ != ROW_VERSION) return false;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!number_get(&at, end, numbers[i])) return false;
  if (!histogram_get(&at, end, &row.run) || !histogram_get(&at, end, &row.wait)) return false;
  *ret = row; /* what follows is of a later release */
  return true;
}

void history_row_merge(struct history_row *to, const struct history_row *from) {
  if (from->span_s > to->span_s) to->span_s = from->span_s;
  to->accepted += from->accepted;
  to->done += from->done;
  to->failed += from->failed;
  to->dead += from->dead;
  to->retried += from->retried;
  histogram_merge(&to->run, &from->run);
  histogram_merge(&to->wait, &from->wait);
}

void history_gauges_parse(const char *text, struct history_gauges *ret) {
  uint64_t *const numbers[] = {&ret->ready, &ret->running, &ret->retry, &ret->dead, &ret->oldest_s};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    char *end;
    *numbers[i] = strtoull(text, &end, 10);
    text = end;
  }
}

static void highest(uint64_t *to, uint64_t v) {
  if (v > *to) *to = v;
}

void history_gauges_merge(struct history_gauges *to, const struct history_gauges *from) {
  highest(&to->ready, from->ready);
  highest(&to->running, from->running);
  highest(&to->retry, from->retry);
  highest(&to->dead, from->dead);
  highest(&to->oldest_s, from->oldest_s);
}
