/* core/base/histogram.h: in which bucket a time is, and what a histogram tells of its times. */
#include "base/histogram.h"

#include "tap.h"

#include <string.h>

static void test_buckets(void) {
  bool at = true, over = true, rise = true;
  is_int(histogram_bucket(0), 0, "no time at all is in the first bucket");
  is_int(histogram_bucket(1), 0, "so is one millisecond");
  for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
    at &= histogram_bucket(histogram_bound_ms(i)) == i;
    over &= histogram_bucket(histogram_bound_ms(i) + 1) == i + 1;
    rise &= histogram_bound_ms(i) < histogram_bound_ms(i + 1);
  }
  ok(rise, "the bounds rise");
  ok(at, "a time that is a bound is in that bucket");
  ok(over, "one millisecond more is in the next one");
  is_int(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1, "the longest time is in the last");
  ok(histogram_bound_ms(HISTOGRAM_BUCKETS - 1) == UINT64_MAX, "which has no bound");
}

static void test_sums(void) {
  struct histogram a = {0}, then, d, b = {0};
  histogram_add(&a, 3);
  histogram_add(&a, 100);
  then = a;
  histogram_add(&a, 7);
  histogram_add(&a, 100);
  is_int(a.count, 4, "each is counted");
  is_int(a.sum_ms, 210, "and added up");
  histogram_since(&d, &a, &then);
  is_int(d.count, 2, "the difference of two states has what came between them");
  is_int(d.sum_ms, 107, "with its sum");
  is_int(d.bucket[3], 1, "7 ms among it");
  is_int(d.bucket[2], 0, "3 ms not");
  histogram_merge(&b, &then);
  histogram_merge(&b, &d);
  ok(!memcmp(&a, &b, sizeof a), "both together are the whole again");
}

static void test_times(void) {
  struct histogram h = {0};
  is_int(histogram_ms(&h, 500), 0, "without times there is no median");
  for (int i = 0; i < 90; i++) histogram_add(&h, 10);
  for (int i = 0; i < 10; i++) histogram_add(&h, 1000);
  ok(histogram_ms(&h, 500) > 8 && histogram_ms(&h, 500) <= 16, "the median lies in its bucket");
  ok(histogram_ms(&h, 950) > 512 && histogram_ms(&h, 950) <= 1024, "so does what 95 %% stay below");
  ok(histogram_ms(&h, 990) >= histogram_ms(&h, 950), "the higher part is never less");
  is_int(histogram_ms(&h, 1000), 1024, "the whole is the bound of the last bucket with times");
  histogram_add(&h, UINT64_MAX >> 1);
  is_int(histogram_ms(&h, 1000), 1 << 23, "a time without bound counts as 2^23 ms");
}

int main(void) {
  test_buckets();
  test_sums();
  test_times();
  return done_testing();
}
