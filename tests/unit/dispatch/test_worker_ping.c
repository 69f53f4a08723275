/* Pings and tests: those that operators ask for, and how a ping opens a topic. */
#include "unit/dispatch/station.h"

struct told {
  unsigned times;
  int code;
  char message[400];
  uint64_t took_ms;
};

static void tell(void *arg, int code, const char *message, size_t len, uint64_t took_ms) {
  struct told *o = arg;
  o->times++;
  o->code = code;
  o->took_ms = took_ms;
  snprintf(o->message, sizeof o->message, "%.*s", (int)len, message);
}

static struct told ping(struct topic *t) {
  struct told told = {0};
  operator_ping(t, tell, &told);
  loop_turn(loop, 0);
  return told;
}

static void test_ping(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct told told = ping(t);
  is_int(told.times, 1, "an operator's ping is answered once");
  is_int(told.code, 200, "200: the worker registers the topic");
  is_str(told.message, "q/t is registered", "and says so");
  workers.ping_code = 404;
  is_int(ping(t).code, 404, "404: it does not");
  is_str(state_of(t), "unregistered", "which closes the topic");
  workers.ping_code = 0;
  is_int(ping(t).code, 200, "it does again");
  is_str(state_of(t), "open", "which opens it at once");
  workers.ping_code = 500;
  is_int(ping(t).code, 500, "500: it failed");
  workers.ping_code = 0;
  ping(t);
  workers.ping_outcome = PB_BUSY;
  told = ping(t);
  is_int(told.code, 502, "502: it is too busy to be asked");
  is_str(told.message, "nobody listens", "as the transport said");
  is_str(state_of(t), "open", "which closes nothing");
  workers.ping_outcome = 0;
  loop_advance(loop, 1000);
  workers.ping_outcome = PB_UNREACHABLE;
  told = ping(t);
  is_int(told.code, 502, "502: it cannot be reached");
  is_str(state_of(t), "unreachable", "which closes it");
  workers.ping_outcome = 0;
  told = ping(t);
  is_int(told.code, 200, "an operator's ping need not wait for a probe");
  is_str(state_of(t), "open", "and opens it");
  station_end();
}

static void test_nobody_to_ask(void) {
  struct topic_settings pulled = usual;
  pulled.pulled = true;
  pulled.transport = NULL;
  station_begin();
  workers.no_workers = true;
  struct topic *t = topic_open(&usual);
  struct told told = ping(t);
  is_int(told.code, 500, "a broken topic cannot be pinged");
  is_str(told.message, "there is no such file", "it says what to mend");
  t = topic_open(&pulled);
  told = ping(t);
  is_str(told.message, "its workers come by themselves: there is nobody to ask",
         "nor one whose workers come by themselves");
  station_end();
}

static void test_ping_deadline(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct told told = {0};
  workers.pings_wait = true;
  operator_ping(t, tell, &told);
  loop_advance(loop, 9999);
  is_int(told.times, 0, "a ping may take its time");
  loop_advance(loop, 1);
  is_int(told.code, 500, "but 10 s at most");
  is_str(told.message, "timed out: no answer within 10000 ms; whether it ran is not known", "then");
  is_int(told.took_ms, 10000, "so long");
  is_int(workers.cancelled, 1, "it is cancelled");
  is_str(state_of(t), "unregistered", "the worker does not answer: closed");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/t"});
  is_int(told.times, 1, "its late answer is told to nobody");
  is_str(state_of(t), "unregistered", "and opens nothing");
  station_end();
}

static void test_a_test_job(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct told told = {0};
  operator_test(t, "hello", 5, tell, &told);
  loop_turn(loop, 0);
  is_int(running(t), 1, "a test is a job for the worker");
  const struct job *job = workers.sent[0].batch->jobs[0];
  ok(job->content_len == 5 && !memcmp(job->content, "hello", 5), "with the content given");
  loop_advance(loop, 30);
  worker_code(t, 200, "fine");
  is_int(told.code, 200, "its answer is told");
  is_str(told.message, "fine", "with the worker's words");
  is_int(told.took_ms, 30, "and how long it took");
  is_int(store_of(t)->done + store_of(t)->taken, 0, "the storage knows nothing of it");
  operator_test(t, "hello", 5, tell, &told);
  loop_turn(loop, 0);
  worker_code(t, 500, "it threw");
  is_int(told.code, 500, "one that fails");
  is_str(told.message, "it threw", "says why");
  is_int(store_of(t)->failed + store_of(t)->dead, 0, "and is no failed attempt");
  is_str(state_of(t), "open", "a test closes nothing");
  station_end();
}

/* All workers are busy: it waits for a slot, and for room in the transport. */
static void test_waits_for_room(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  station_begin();
  struct topic *t = topic_open(&one);
  struct told told = {0};
  jobs_add(t, 1);
  operator_ping(t, tell, &told);
  loop_turn(loop, 0);
  is_int(pings(t), 0, "the only slot is taken");
  workers.pings_wait = true;
  worker_done(t);
  is_int(pings(t), 1, "the ping is next");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/t"});
  is_int(told.code, 200, "and answered");

  jobs_add(t, 1);
  workers.room = 1;
  topic_update(t, &usual); /* more slots than the transport has room */
  told = (struct told){0};
  operator_test(t, "x", 1, tell, &told);
  loop_turn(loop, 0);
  is_int(told.times, 0, "no room in the transport: it waits");
  loop_advance(loop, 59999);
  is_int(told.times, 0, "as long as a job may take");
  loop_advance(loop, 1);
  is_int(told.code, 502, "then no worker took it");
  is_str(told.message, "no worker took it within 60000 ms: all are busy", "and why");

  told = (struct told){0};
  unsigned refs = snapshot.refs;
  operator_test(t, "x", 1, tell, &told);
  loop_turn(loop, 0);
  workers.sent[0].in->ready(workers.sent[0].in->arg); /* somebody else took the room */
  loop_turn(loop, 0);
  is_int(told.times, 0, "a test that finds no room twice still waits");
  is_int(snapshot.refs - refs, 1, "and keeps one reference to its settings");
  worker_has_room(t);
  size_t tests = 0;
  for (size_t i = 0; i < workers.n_sent; i++)
    tests += workers.sent[i].batch->n && workers.sent[i].batch->jobs[0]->source == JOB_FROM_TEST;
  is_int(tests, 1, "then it is sent");
  station_end();
}

static void test_refused_when_it_changes(void) {
  struct topic_settings one = usual, other = usual;
  one.workers = 1;
  other.timeout_ms = 1000;
  bool is_gone;
  station_begin();
  struct topic *t = topic_open(&one);
  struct told told = {0};
  jobs_add(t, 1);
  operator_ping(t, tell, &told);
  loop_turn(loop, 0);
  topic_update(t, &other);
  is_int(told.code, 502, "a ping that waits while the configuration changes is refused");
  is_str(told.message, "the topic's configuration changed; try again", "and told so");
  topic_update(t, &one);
  told = (struct told){0};
  jobs_add(t, 1);
  operator_ping(t, tell, &told);
  loop_turn(loop, 0);
  is_int(told.times, 0, "another one waits for the slot");
  topic_leave(t, &is_gone);
  is_str(told.message, "the topic is no longer configured", "and goes with its topic");
  station_end();
}

/* Workers that take jobs by themselves are asked now and then whether they are still there. */
static void test_pull_is_looked_at(void) {
  static const struct pb_transport pull = {.name = "pull", .caps = PB_CAP_PULL};
  struct topic_settings set = usual;
  set.transport = &pull;
  station_begin();
  struct topic *t = topic_open(&set);
  is_str(state_of(t), "open", "asked once, it is open");
  size_t before = workers.submitted;
  loop_advance(loop, 4999);
  is_int(workers.submitted - before, 0, "then not for a while");
  loop_advance(loop, 15001);
  is_int(workers.submitted - before, 4, "and every 5 s");
  workers.ping_code = 404;
  loop_advance(loop, 5000);
  is_str(state_of(t), "unregistered", "until one says no");
  station_end();
}

int main(void) {
  test_ping();
  test_nobody_to_ask();
  test_ping_deadline();
  test_a_test_job();
  test_waits_for_room();
  test_refused_when_it_changes();
  test_pull_is_looked_at();
  return done_testing();
}
