/* core/history/row.h: rows come back from their stored form as they were, and nothing else does. */
#include "history/row.h"

#include "tap.h"

#include <string.h>

static struct history_row example(void) {
  struct history_row r = {.seq = 1u << 30,
                          .span_s = 60,
                          .accepted = 12345,
                          .done = 12000,
                          .failed = 300,
                          .dead = 7,
                          .retried = 293};
  for (unsigned i = 0; i < 1000; i++) histogram_add(&r.run, i * i);
  histogram_add(&r.wait, 5);
  return r;
}

static void test_form(void) {
  unsigned char blob[HISTORY_ROW_MAX];
  struct history_row r = example(), back, none = {0};
  size_t len = history_row_encode(&r, blob);
  ok(history_row_decode(blob, len, &back) && !memcmp(&r, &back, sizeof r), "a row comes back");
  blob[len] = 77;
  ok(history_row_decode(blob, len + 1, &back) && !memcmp(&r, &back, sizeof r),
     "also when a later release added something");
  bool cut = true;
  for (size_t i = 0; i < len; i++) cut &= !history_row_decode(blob, i, &back);
  ok(cut, "no part of it is a row");
  blob[0]++;
  ok(!history_row_decode(blob, len, &back), "nor is a form of another version");
  len = history_row_encode(&none, blob);
  is_int(len, 12, "a row of nothing has 12 bytes");
  ok(history_row_decode(blob, len, &back) && !memcmp(&none, &back, sizeof none), "and comes back");
  memset(&r, 0xff, sizeof r);
  len = history_row_encode(&r, blob);
  ok(len <= HISTORY_ROW_MAX, "the largest numbers have room");
  ok(history_row_decode(blob, len, &back) && back.done == UINT64_MAX, "and come back too");
}

static void test_merge(void) {
  struct history_row a = example(), b = example();
  struct history_gauges g = {1, 2, 3, 4, 5}, h;
  b.span_s = 120;
  history_row_merge(&a, &b);
  is_int(a.done, 24000, "counts are added up");
  is_int(a.run.count, 2000, "so are times");
  is_int(a.span_s, 120, "of the spans the longer one counts");
  history_gauges_parse("9 0 7 0 12", &h);
  history_gauges_merge(&g, &h);
  ok(g.ready == 9 && g.running == 2 && g.retry == 7 && g.dead == 4 && g.oldest_s == 12,
     "of what a storage had the highest counts");
  history_gauges_parse("junk", &h);
  ok(!h.ready && !h.oldest_s, "what is no number is 0");
}

int main(void) {
  test_form();
  test_merge();
  return done_testing();
}
