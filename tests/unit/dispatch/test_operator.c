/* What operators do to one topic: pause, and a test's job. Pings are in test_worker_ping.c. */
#include "unit/dispatch/station.h"

static struct {
  unsigned times;
  enum store_rc rc;
  uint64_t count;
  char why[64];
} told;

static void on_told(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  (void)arg;
  told.times++;
  told.rc = rc;
  told.count = count;
  snprintf(told.why, sizeof told.why, "%s", why);
}

static void pause_it(struct topic *t, bool paused) {
  memset(&told, 0, sizeof told);
  operator_pause(t, paused, "ann", "deploy", on_told, NULL);
}

static void test_pause(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store.waits = true;
  uint64_t asked_ms = loop_wall_ms(loop);
  pause_it(t, true);
  loop_advance(loop, 3000);
  is_int(told.times, 0, "a pause is told of when the storage has it");
  is_str(state_of(t), "open", "until then the topic runs");
  store_answers();
  ok(told.times == 1 && told.rc == STORE_OK, "then whoever asked is told");
  is_int(told.count, 1, "what the storage said");
  is_str(state_of(t), "paused", "and the topic is paused");
  is_str(why_of(t), "paused by an operator (ann): deploy", "which says by whom and why");
  is_int(t->pause.since_ms, asked_ms, "since it was asked for");
  jobs_add(t, 2);
  is_int(running(t), 0, "its jobs wait");
  pause_it(t, false);
  loop_turn(loop, 0);
  ok(told.times == 1 && told.rc == STORE_OK, "the end of a pause is told, too");
  is_str(state_of(t), "open", "it opens");
  is_int(running(t), 2, "and they run");
  ok(!t->pause.since_ms && !*t->pause.by, "nothing of the pause is left");
  station_end();
}

static void test_pause_fails(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store.rc = STORE_ERROR;
  pause_it(t, true);
  loop_turn(loop, 0);
  ok(told.times == 1 && told.rc == STORE_ERROR, "a storage that refuses a pause is told of");
  is_str(told.why, "the storage failed", "in its words");
  ok(!t->paused && !strcmp(state_of(t), "open"),
     "and the topic runs: other nodes know of no pause");
  store.rc = STORE_OK;
  pause_it(t, true);
  loop_turn(loop, 0);
  store.rc = STORE_UNKNOWN;
  pause_it(t, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "paused", "nor does a pause end that the storage still has");
  store.rc = STORE_OK;
  station_end();
}

/* The configuration changes while the storage is being asked. */
static void test_pause_of_one_that_leaves(void) {
  bool gone;
  station_begin();
  struct topic *t = topic_open(&usual);
  store.waits = true;
  pause_it(t, true);
  topic_leave(t, &gone);
  ok(!gone, "a topic stays until the answer to its operator has come");
  store_answers();
  is_int(told.times, 1, "who is told");
  ok(gone, "then it goes");
  station_end();
}

static void on_answer(void *arg, int code, const char *message, size_t len, uint64_t took_ms) {
  (void)message, (void)len, (void)took_ms;
  *(int *)arg = code;
}

static void test_test_job(void) {
  int code = 0;
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  char content[] = "a\0b";
  operator_test(t, content, 3, on_answer, &code);
  memset(content, 'x', 3);
  loop_turn(loop, 0);
  const struct job *job = workers.sent[0].batch->jobs[0];
  is_mem(job->content, job->content_len, "a\0b", 3, "a test sends a copy of the operator's bytes");
  is_int(job->source, JOB_FROM_TEST, "as a job that is not in the storage");
  ok(job->id && job->id == job->trace, "with an id of its own");
  is_int(running(t), 1, "to the worker");
  worker_code(t, 500, "no");
  is_int(code, 500, "the operator hears what it said");
  is_int(st->done + st->failed + st->dead + st->released, 0, "the storage hears nothing of it");
  is_int(t->counters.failed + t->counters.attempts, 0, "and it is not counted");
  station_end();
}

int main(void) {
  test_pause();
  test_pause_fails();
  test_pause_of_one_that_leaves();
  test_test_job();
  return done_testing();
}
