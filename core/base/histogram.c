/* Owns the arithmetic of histograms. No I/O. */
#include "base/histogram.h"

uint64_t histogram_bound_ms(size_t bucket) {
  return bucket + 1 < HISTOGRAM_BUCKETS ? UINT64_C(1) << bucket : UINT64_MAX;
}

void histogram_merge(struct histogram *to, const struct histogram *from) {
  to->count += from->count;
  to->sum_ms += from->sum_ms;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) to->bucket[i] += from->bucket[i];
}

void histogram_since(struct histogram *ret, const struct histogram *now,
                     const struct histogram *then) {
  ret->count = now->count - then->count;
  ret->sum_ms = now->sum_ms - then->sum_ms;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) ret->bucket[i] = now->bucket[i] - then->bucket[i];
}

uint64_t histogram_ms(const struct histogram *h, unsigned permille) {
  double want = (double)h->count * permille / 1000, seen = 0;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    double n = (double)h->bucket[i], from = i ? (double)(UINT64_C(1) << (i - 1)) : 0;
    if (!h->bucket[i]) continue;
    if (seen + n >= want)
      return (uint64_t)(from + ((double)(UINT64_C(1) << i) - from) * (want - seen) / n + 0.5);
    seen += n;
  }
  return 0;
}
