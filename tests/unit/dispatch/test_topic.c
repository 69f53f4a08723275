/* The facts of one topic: who changes one gets the topic its turn. */
#include "unit/fake_loop.h"

#include "dispatch/topic.h"

#include "tap.h"

static struct loop *loop;
static struct topic t;
static struct topic_settings set;
static unsigned turns;

static void on_turn(void *arg) {
  if (arg != &t) fail("another topic's turn");
  turns++;
}

/* Turns that the topic has had since the last time, this loop's turn included. */
static unsigned had(void) {
  loop_turn(loop, 0);
  unsigned n = turns;
  turns = 0;
  return n;
}

static void begin(void) {
  loop = loop_new(NULL);
  turns = 0;
  set = (struct topic_settings){0};
  t = (struct topic){.set = &set};
  topic_touch(&t); /* nobody's yet */
  topic_begin(&t, loop, on_turn);
}

static void end(void) {
  topic_end(&t);
  is_int(loop->n_timers, 0, "no timer is left");
  loop_free(loop);
}

static void test_turns(void) {
  begin();
  is_int(had(), 0, "a topic whose facts did not change has no turn");
  topic_touch(&t);
  topic_touch(&t);
  is_int(turns, 0, "one that was touched has it at the end of the loop's turn");
  is_int(had(), 1, "once, however often it was touched");
  topic_call_began(&t);
  topic_call_ended(&t);
  is_int(had(), 0, "an answer alone changes nothing");
  t.draining = true;
  topic_call_began(&t);
  topic_call_began(&t);
  topic_call_ended(&t);
  is_int(t.calls, 1, "answers that are to come are counted");
  is_int(had(), 1, "a topic that drains looks after each whether it was the last");
  topic_touch(&t);
  topic_again_after(&t, 10);
  topic_end(&t);
  loop_advance(loop, 100);
  is_int(had(), 0, "one that has ended has no turn any more");
  topic_touch(&t);
  is_int(had(), 0, "whoever touches it");
  end();
}

static void test_again(void) {
  begin();
  topic_again_after(&t, 1000);
  loop_advance(loop, 500);
  topic_again_after(&t, 1000);
  loop_advance(loop, 499);
  ok(!t.again.due && !had(), "after an error a topic rests");
  loop_advance(loop, 1);
  ok(t.again.due && had() == 1, "a second error does not make it longer");
  end();
}

static void test_due(void) {
  begin();
  topic_due_at(&t, 0);
  ok(!t.due_ms && !had(), "no retry is due");
  topic_due_at(&t, 5000);
  ok(t.due_ms == 5000 && had() == 1, "the first one is noted");
  topic_due_at(&t, 6000);
  topic_due_at(&t, 5000);
  topic_due_at(&t, 0);
  ok(t.due_ms == 5000 && !had(), "none that is later");
  topic_due_at(&t, 4000);
  ok(t.due_ms == 4000 && had() == 1, "one that is earlier is");
  topic_doubt(&t);
  ok(t.doubt && had() == 1, "a doubt is looked into");
  end();
}

static void test_questions(void) {
  static const struct pb_transport pushes = {.caps = PB_CAP_CHUNK}, pulls = {.caps = PB_CAP_PULL};
  begin();
  ok(!topic_has_work(&t), "a topic without jobs has no work");
  t.due_ms = 1;
  ok(topic_has_work(&t), "a retry is work");
  t.due_ms = 0;
  t.fetch.more = true;
  ok(topic_has_work(&t), "so is what the stream has");
  t.fetch.more = false;
  t.ready.n = 1;
  ok(topic_has_work(&t), "and what is at hand");
  t.ready.n = 0;
  ok(!topic_pulls(&t), "without a transport nobody pulls");
  set.transport = &pushes;
  ok(!topic_pulls(&t), "nor with one that is sent its jobs");
  set.transport = &pulls;
  ok(topic_pulls(&t), "workers that a transport starts may pull");
  set.transport = NULL;
  set.pulled = true;
  ok(topic_pulls(&t), "and those that come by themselves do");
  end();
}

static void test_pause(void) {
  const struct topic_pause p = {.since_ms = 9, .by = "ann", .reason = "deploy"};
  begin();
  topic_set_paused(&t, true, &p);
  ok(t.paused && t.pause.since_ms == 9, "a pause and when it began");
  is_str(t.pause.by, "ann", "by whom");
  topic_set_paused(&t, false, &p);
  ok(!t.paused && !t.pause.since_ms && !*t.pause.by && !*t.pause.reason,
     "a topic that is not paused says nothing of a pause");
  topic_set_paused(&t, true, &p);
  topic_set_paused(&t, true, NULL);
  ok(t.paused && !t.pause.since_ms, "one of which nothing is known");
  end();
}

int main(void) {
  test_turns();
  test_again();
  test_due();
  test_questions();
  test_pause();
  return done_testing();
}
