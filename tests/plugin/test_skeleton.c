/* The template for authors keeps its promises. Built from this file and the host alone. */
#include "plugins/skeleton/skeleton.c"

#include "../tap.h"
#include "tap_host.h"

int main(void) {
  struct host *h = tap_host(skeleton_LTX_pb_transport(), HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, "delay=20ms", NULL);
  struct host_inst *in = host_topic(p, "msg", "reply", NULL, NULL);
  struct host_inst *forced = host_topic(p, "msg", "other", NULL, NULL);
  struct host_ticket *a = host_submit(in, "x", 1), *b = host_submit(in, "y", 1), *c;

  host_turn(h, 0);
  is_int(a->completions, 0, "not before its time");
  host_cancel(b);
  host_turn(h, 0);
  is_str(host_outcome(b->outcome), "TIMEOUT", "cancelled");
  host_skip(h, 20);
  host_turn(h, 0);
  is_str(host_outcome(a->outcome), "ANSWERED", "answered");
  is_int(a->code, 200, "with 200");
  is_str(a->body, "done", "and a message");
  host_cancel(a); /* stale: no effect */

  a = host_submit(in, NULL, 0);
  host_drain(in);
  ok(!host_drained(in), "not drained while a ping runs");
  host_skip(h, 20);
  host_turn(h, 0);
  is_int(a->code, 200, "a ping is answered");
  ok(host_drained(in), "drained");
  host_destroy(in);

  c = host_submit(forced, "z", 1);
  host_drain(forced);
  host_destroy(forced);
  host_skip(h, 100);
  host_turn(h, 0);
  is_int(c->completions, 0, "nothing is called back after a forced destroy()");
  ok(host_stats(h)->metrics[ANSWERED_TOTAL] == 2, "answers are counted, cancelled ones are not");
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
  host_free(h, "skeleton");
  return done_testing();
}
