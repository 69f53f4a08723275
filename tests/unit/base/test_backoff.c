/* core/base/backoff.h: each wait is twice the one before, up to the longest. */
#include "tap.h"
#include "base/backoff.h"

static void test_next(void) {
  is_int(backoff_next(200, 5000), 400, "the next wait is twice the last one");
  is_int(backoff_next(3000, 5000), 5000, "it is never longer than the longest");
  is_int(backoff_next(5000, 5000), 5000, "and stays there");
  is_int(backoff_next(5000, 300), 300, "also when the longest has become shorter");
  is_int(backoff_next(0, 5000), 1000, "after a wait of 0 comes one second");
  is_int(backoff_next(0, 400), 400, "or the longest, if that is less");
}

static void test_wait(void) {
  is_int(backoff_wait(200, 5000, 0), 200, "the first wait");
  is_int(backoff_wait(200, 5000, 1), 400, "doubled once");
  is_int(backoff_wait(200, 5000, 4), 3200, "doubled four times");
  is_int(backoff_wait(200, 5000, 5), 5000, "never longer than the longest");
  is_int(backoff_wait(200, 5000, UINT64_MAX), 5000, "however often it failed");
  is_int(backoff_wait(200, 100, 0), 100, "the longest holds for the first wait too");
  is_int(backoff_wait(0, 5000, 0), 0, "a first wait of 0 is none");
  is_int(backoff_wait(0, 5000, 2), 2000, "from 0: one second, then two");
  is_int(backoff_wait(0, 0, 3), 0, "a longest wait of 0: never any");
}

int main(void) {
  test_next();
  test_wait();
  return done_testing();
}
