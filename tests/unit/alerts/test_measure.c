/* core/alerts/measure.c: failed attempts of the last minute. */
#include "tap.h"
#include "alerts/measure.h"

static void test_failed_minute(void) {
  struct failed_minute f = {0};
  uint64_t now = 5000, total = 400;
  is_int((long long)failed_minute_add(&f, now, total), 0,
         "what failed before is not of this minute");
  for (int i = 0; i < 15; i++) failed_minute_add(&f, now += 2000, total += 1);
  is_int((long long)failed_minute_add(&f, now += 2000, total), 15, "half a minute of failures");
  for (int i = 0; i < 30; i++) failed_minute_add(&f, now += 2000, total += 1);
  ok(failed_minute_add(&f, now += 2000, total) <= 31, "no more than a minute of them");
  for (int i = 0; i < 32; i++) failed_minute_add(&f, now += 2000, total);
  is_int((long long)failed_minute_add(&f, now += 2000, total), 0, "a minute later there are none");
  is_int((long long)failed_minute_add(&f, now += 2000, 3), 0, "topics that went take nothing away");
  is_int((long long)failed_minute_add(&f, now += 2000, 8), 5, "and it counts on");
  for (int i = 0; i < 1000; i++) failed_minute_add(&f, now += 10, 8);
  is_int((long long)failed_minute_add(&f, now += 10, 9), 6, "many looks lose nothing");
}

int main(void) {
  ok(measure_is_shared(ALERT_FAILED) && !measure_is_shared(ALERT_READY),
     "whose parts are added up");
  test_failed_minute();
  return done_testing();
}
