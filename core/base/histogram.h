/* A histogram of times: how many took at most 1 ms, 2 ms, 4 ms, ... 2^22 ms (70 minutes), and how
 * many took longer. Plain numbers: an owner adds to it, others subtract two states of it or merge
 * it with others of its kind. */
#ifndef PB_CORE_HISTOGRAM_H
#define PB_CORE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 24 /* bucket i: at most 2^i ms; the last one: longer */

struct histogram {
  uint64_t count, sum_ms;
  uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* The bucket of a time. */
static inline unsigned histogram_bucket(uint64_t ms) {
  unsigned i = ms > 1 ? 64 - (unsigned)__builtin_clzll(ms - 1) : 0;
  return i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t ms) {
  h->count++;
  h->sum_ms += ms;
  h->bucket[histogram_bucket(ms)]++;
}

/* The upper bound of a bucket in ms; UINT64_MAX for the last one. */
uint64_t histogram_bound_ms(size_t bucket);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* What came between two states of one histogram. */
void histogram_since(struct histogram *ret, const struct histogram *now,
                     const struct histogram *then);
/* The time that `permille` of 1,000 did not exceed, within its bucket by proportion: 500 is the
 * median. 0 without any. Times of the last bucket count as 2^23 ms at most. */
uint64_t histogram_ms(const struct histogram *h, unsigned permille);

#endif
