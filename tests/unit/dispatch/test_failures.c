/* core/dispatch/failures.h: failures are counted by signature, and a new one is news. */
#include "dispatch/failures.h"

#include "tap.h"

#include <stdio.h>
#include <string.h>

static struct failures *f;

static void add(uint64_t now_ms, uint64_t job, const char *message) {
  failures_add(&f, now_ms, job, 500, message, strlen(message));
}

static void test_counts(void) {
  add(1000, 1, "user 17 has no mail");
  ok(f && f->n == 1 && f->news, "the first failure is news");
  add(2000, 2, "user 18 has no mail");
  is_int(f->n, 1, "another number is the same signature");
  is_int(f->list[0].count, 2, "it is counted");
  is_int(f->list[0].first_ms, 1000, "with its first time");
  is_int(f->list[0].last_ms, 2000, "its last time");
  is_int(f->list[0].job, 2, "and its last job");
  failures_add(&f, 2000, 3, 501, "user 18 has no mail", 19);
  is_int(f->n, 2, "another code is another signature");
  failures_add(&f, 2000, 3, 0, NULL, 0);
  is_int(f->n, 3, "so is no message at all");
}

static void test_news(void) {
  failures_clear(f);
  ok(!f->n && !f->news, "once read there is nothing");
  add(3000, 4, "user 19 has no mail");
  ok(f->n == 1 && f->list[0].count == 1 && !f->news, "a known signature is no news, and counted");
  add(3000, 5, "out of paper");
  ok(f->news, "an unknown one is");
}

static void test_bound(void) {
  char text[8] = "x";
  failures_clear(f);
  for (int i = 0; i < FAILURES_MAX + 5; i++) {
    for (int k = 0; k < 7; k++) text[k] = i >> k & 1 ? 'y' : 'x';
    text[7] = 0;
    add(4000, 6, text);
  }
  is_int(f->n, FAILURES_MAX, "so many signatures are kept");
  is_int(f->other, 5, "failures with others are counted together");
  failures_clear(f);
  is_int(f->other, 0, "and read with the rest");
}

int main(void) {
  test_counts();
  test_news();
  test_bound();
  failures_free(f);
  failures_free(NULL);
  return done_testing();
}
