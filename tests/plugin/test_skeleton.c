/* The template for authors keeps its promises. Built from this file and harness.c alone. */
#include "plugins/skeleton/skeleton.c"

#include "../tap.h"
#include "harness.h"

int main(void) {
  struct harness *h = harness_new(skeleton_LTX_pb_transport(), HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, "delay=20ms", NULL);
  struct harness_inst *in = harness_topic(p, "msg", "reply", NULL, NULL);
  struct harness_inst *forced = harness_topic(p, "msg", "other", NULL, NULL);
  struct harness_ticket *a = harness_submit(in, "x", 1), *b = harness_submit(in, "y", 1), *c;

  harness_turn(h, 0);
  is_int(a->completions, 0, "not before its time");
  harness_cancel(b);
  harness_turn(h, 0);
  is_str(harness_outcome(b->outcome), "TIMEOUT", "cancelled");
  harness_skip(h, 20);
  harness_turn(h, 0);
  is_str(harness_outcome(a->outcome), "ANSWERED", "answered");
  is_int(a->code, 200, "with 200");
  is_str(a->body, "done", "and a message");
  harness_cancel(a); /* stale: no effect */

  a = harness_submit(in, NULL, 0);
  harness_drain(in);
  ok(!harness_drained(in), "not drained while a ping runs");
  harness_skip(h, 20);
  harness_turn(h, 0);
  is_int(a->code, 200, "a ping is answered");
  ok(harness_drained(in), "drained");
  harness_destroy(in);

  c = harness_submit(forced, "z", 1);
  harness_drain(forced);
  harness_destroy(forced);
  harness_skip(h, 100);
  harness_turn(h, 0);
  is_int(c->completions, 0, "nothing is called back after a forced destroy()");
  ok(harness_stats(h)->metrics[ANSWERED_TOTAL] == 2, "answers are counted, cancelled ones are not");
  char text[100];
  struct pool_conf slow = {.delay_ms = 20};
  struct pb_topic_info info = {.size = sizeof info, .queue = "q", .topic = "t", .timeout_ms = 20};
  struct pb_err err = {0};
  is_int(skeleton_pool_health(NULL, text, sizeof text), PB_HEALTH_OK, "health");
  ok(*text, "has words");
  ok(skeleton_check_topic(&info, &slow, NULL, &err) < 0,
     "a topic that always times out is refused");
  is_str(err.option, "timeout", "its key is named");
  is_int(skeleton_check_topic(&info, NULL, NULL, &err), 0, "one without a pool is not");
  info.timeout_ms = 21;
  is_int(skeleton_check_topic(&info, &slow, NULL, &err), 0, "nor one with time enough");
  harness_free(h, "skeleton");
  return done_testing();
}
