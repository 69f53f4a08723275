/* What is ahead of a group is counted where Redis cannot tell it. */
#include "store_fixture.h"

/* @case R1: after a restart of Redis, whose lag counts jobs that were handled long ago, nothing
 * waits for the count, which is made in slices and comes out right */
static void test_counting(struct node *n, struct server *r) {
  struct queue_settings qs = {.name = "cnt"};
  struct topic_settings set[] = {{.name = "all", .start_from = 1}, {.name = "mid"}};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t[2];
  struct answer a;
  char text[4096];
  unsigned ready = n->ready;
  for (int i = 0; i < 2; i++) {
    set[i].queue = &qs;
    set[i].timeout_ms = 60000;
    t[i] = store_topic_new(q, &set[i]);
    attach(n, t[i]);
  }
  redis(r, text, sizeof text,
        "EVAL \"for i = 1, 9000 do redis.call('XADD', KEYS[1], '*', 'f', 'v') end\" 1 pb:{cnt}:s");
  redis(r, text, sizeof text, "XREADGROUP GROUP mid x COUNT 4000 STREAMS pb:{cnt}:s >");
  redis(r, text, sizeof text, "XGROUP DELCONSUMER pb:{cnt}:s mid x");
  is_int(look(n, t[1]).ready, 5000, "a group in the middle of a stream");
  server_stop(r, SIGTERM);
  until(n->loop, n->state != STORE_READY);
  server_start(r, "");
  until(n->loop, n->ready > ready);
  attach(n, t[1]);
  struct store_depth d = look(n, t[1]);
  ok(d.ready == 5000 || (d.ready_at_most && d.ready > 5000), "until it is counted, a bound");
  struct job *job = take_one(n, t[1]);
  ok(!job, "taking does not wait for it (what is taken is no job of ours)");
  until(n->loop, !look(n, t[1]).ready_at_most && !store_unsettled(t[1]));
  d = look(n, t[1]);
  is_int(d.ready, 4999, "then it is known");
  for (int i = 0; i < 7; i++) add_to(n, q, "new", NULL, &a);
  is_int(look(n, t[1]).ready, 5006, "and goes on being known");
  is_int(look(n, t[0]).ready, 9007, "of a group at the beginning as well");
  redis(r, text, sizeof text, "HGETALL pb:{cnt}:n");
  ok(strstr(text, "mid"), "the server remembers that it was counted");

  /* All but the first: the group at the front lets go of them at once, in parts. */
  redis(r, text, sizeof text,
        "EVAL \"for i = 1, 60000 do redis.call('XADD', KEYS[1], '*', 'f', 'v') end\" 1 pb:{cnt}:s");
  redis(r, text, sizeof text, "XGROUP SETID pb:{cnt}:s mid $ ENTRIESREAD 69008");
  redis(r, text, sizeof text, "XGROUP SETID pb:{cnt}:s all $ ENTRIESREAD 69008");
  groups_trim(q);
  until(n->loop, redis_int(r, "XLEN pb:{cnt}:s") < 10);
  ok(redis_int(r, "XLEN pb:{cnt}:s") < 10, "what is settled goes in parts, to its end");
  for (int i = 0; i < 2; i++) store_topic_free(t[i]);
  store_queue_free(q);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_counting(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
