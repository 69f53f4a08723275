/* Rows of a topic's history and the signatures of its failures, also when a write is sent again. */
#include "store_fixture.h"

#include "storage/history.h"

static const struct store_history_of of = {.queue = "kept", .topic = "t", .node = "n"};

static void on_row(void *arg, enum store_rc rc, uint64_t hour_ms,
                   const struct store_history_row *rows, size_t n, const char *why) {
  (void)hour_ms;
  (void)rows;
  (void)n;
  said(arg, rc, why);
}

static enum store_rc add(struct node *n, uint64_t seq, bool row, bool again) {
  struct answer a = {0};
  const struct store_signature sig = {
      .id = "00000000000000aa", .code = 500, .count = 2, .job = 9, .text = "no", .text_len = 2};
  char blob[24];
  struct store_history h = {.seq = seq, .again = again, .signatures = &sig, .n_signatures = 1};
  snprintf(blob, sizeof blob, "row %" PRIu64, seq);
  if (row) {
    h.row = blob;
    h.row_len = strlen(blob);
  }
  store_history_add(n->store, &of, &h, on_row, &a);
  if (a.n) fail("an answer came from within the call");
  until(n->loop, a.n);
  return a.rc;
}

#define ROWS   "XLEN pb:{kept}:hm:t"
#define COUNT  "HGET pb:{kept}:sig:t 00000000000000aa"
#define HAS(c) redis_has(r, COUNT, "\n" #c " ")

static void test_again(struct node *n, const struct server *r) {
  char text[64];
  ok(!add(n, 1, true, false) && redis_int(r, ROWS) == 1 && HAS(2), "a row and a signature");
  ok(!add(n, 1, true, true) && redis_int(r, ROWS) == 1 && HAS(2),
     "given again for its answer was lost, neither counts twice");
  ok(!add(n, 2, true, true) && redis_int(r, ROWS) == 2 && HAS(4),
     "what did not come through the first time is written the second time");
  ok(!add(n, 3, false, false) && redis_int(r, ROWS) == 2 && HAS(6), "a signature alone");
  ok(!add(n, 3, false, true) && HAS(6), "nor does that count twice");
  redis(r, text, sizeof text, "SET pb:{kept}:sig:t x");
  is_int(add(n, 4, true, false), STORE_ERROR, "a write that fails midway says so");
  is_int(redis_int(r, ROWS), 3, "its row is there");
  redis(r, text, sizeof text, "DEL pb:{kept}:sig:t");
  ok(!add(n, 4, true, true) && redis_int(r, ROWS) == 3, "and is not written again");
  ok(!add(n, 5, true, false) && redis_int(r, ROWS) == 4 && HAS(2), "the next one is");
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_again(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
