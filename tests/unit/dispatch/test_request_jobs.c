/* What the end of a request means for each of its jobs, and what is counted of it. */
#include "unit/dispatch/station.h"

/* A chunk of `n` jobs that is with the worker. */
static struct topic *chunk_of(size_t n, struct topic_settings *set) {
  *set = usual;
  set->workers = 1;
  set->chunk = (int64_t)n;
  set->chunk_wait_ms = 1000;
  station_begin();
  struct topic *t = topic_open(set);
  jobs_add(t, n);
  if (running(t) != n || requests(t) != 1) bail_out("no chunk");
  return t;
}

/* The worker answers the chunk's jobs with these codes. */
static void codes(struct topic *t, const int *code) {
  const struct pb_batch *b = workers.sent[sent_of(t, false)].batch;
  char body[1000] = "[";
  for (size_t i = 0; i < b->n; i++) {
    size_t len = strlen(body);
    snprintf(body + len, sizeof body - len, "%s{\"id\":\"%s\",\"code\":%d,\"msg\":\"no. %zu\"}",
             i ? "," : "", b->ids[i], code[i], i + 1);
  }
  strcat(body, "]");
  worker_code(t, 207, body);
}

static void test_each_its_own(void) {
  struct topic_settings set;
  struct topic *t = chunk_of(3, &set);
  struct store_topic *st = store_of(t);
  loop_advance(loop, 30);
  codes(t, (const int[]){200, 500, 200});
  is_int(st->done, 2, "of a chunk each job has its own outcome: two are done");
  is_int(st->failed, 1, "one failed");
  ok(st->code == 500 && !strcmp(st->message, "no. 2"), "with its own code and words");
  is_int(t->due_ms, st->due_ms, "its retry is waited for");
  ok(t->counters.run_count == 1 && t->counters.run_ms_sum == 30, "one request of 30 ms is counted");
  station_end();
}

/* A job before them ended the script. */
static void test_behind_others(void) {
  struct topic_settings set;
  struct topic *t = chunk_of(3, &set);
  struct store_topic *st = store_of(t);
  uint64_t last = 0;
  for (int i = 0; i < 5; i++) {
    size_t done = st->done;
    codes(t, (const int[]){200, 404, 404});
    if (st->done != done + 1) fail("%zu done", st->done - done);
    jobs_add(t, 1);
    const struct pb_batch *b = workers.sent[sent_of(t, false)].batch;
    if (b->n != 3 || b->jobs[0]->id <= last) fail("jobs are not in their order");
    last = b->jobs[0]->id;
  }
  is_int(st->done, 5, "404 behind a job that ran: those behind go on, in their order");
  is_int(st->failed, 0, "no attempt is counted");
  is_str(state_of(t), "open", "the topic stays open");
  station_end();
}

/* No other job stands before the first: that one has no such excuse. */
static void test_before_others(void) {
  struct topic_settings set;
  struct topic *t = chunk_of(3, &set);
  struct store_topic *st = store_of(t);
  for (int i = 0; i < 2; i++) {
    codes(t, (const int[]){404, 404, 200});
    is_int(st->failed, 0, "404 for the first of a chunk, time %d: it goes on", i + 1);
    jobs_add(t, 1);
  }
  is_int(running(t), 1, "before the third time each is sent alone");
  worker_code(t, 404, "not mine");
  worker_code(t, 404, "not mine");
  is_int(st->failed, 2, "which is a failed attempt: they do not go round for ever");
  is_int(st->code, 404, "with that code");
  like(st->message, "each time counts as a failed attempt", "and says so");
  is_str(state_of(t), "open", "the topic stays open: others are done");
  station_end();
}

static void test_all_unregistered(void) {
  struct topic_settings set;
  struct topic *t = chunk_of(3, &set);
  struct store_topic *st = store_of(t);
  workers.pings_wait = true;
  codes(t, (const int[]){404, 404, 404});
  is_str(state_of(t), "unregistered", "404 for all jobs of a chunk: the topic is not registered");
  is_str(why_of(t), "the worker does not register it (code 404 in its 207 list)", "and says so");
  is_int(t->counters.unregistered, 3, "three jobs went back");
  ok(!st->failed && t->ready.n == 3, "no attempt is counted, they are at hand");
  station_end();
}

/* What each end of a request does to its jobs and counters. */
static void test_ends(void) {
  static const struct {
    enum pb_outcome outcome;
    bool failed; /* else its jobs are at hand again */
    size_t counter, per_request;
    const char *name;
  } ends[] = {
      {PB_UNREACHABLE, false, offsetof(struct topic_counters, unreachable), 1, "unreachable"},
      {PB_BUSY, false, offsetof(struct topic_counters, busy), 1, "busy"},
      {PB_LOST, true, offsetof(struct topic_counters, lost), 0, "lost"},
      {PB_TIMEOUT, true, offsetof(struct topic_counters, timeout), 0, "timeout"},
      {PB_GARBLED, true, offsetof(struct topic_counters, failed), 0, "garbled"},
  };
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    struct topic_settings set;
    struct topic *t = chunk_of(2, &set);
    struct store_topic *st = store_of(t);
    workers.pings_wait = true;
    worker_outcome(t, ends[i].outcome, "because");
    is_int(st->failed, ends[i].failed ? 2 : 0, "%s: failed attempts", ends[i].name);
    is_int(t->ready.n, ends[i].failed ? 0 : 2, "%s: jobs at hand again", ends[i].name);
    if (ends[i].failed) is_str(st->message, "because", "%s: with the reason", ends[i].name);
    is_int(*(uint64_t *)(void *)((char *)&t->counters + ends[i].counter),
           ends[i].per_request ? 1 : 2, "%s: counted", ends[i].name);
    is_int(t->counters.run_count, 0, "%s: there is no run time", ends[i].name);
    station_end();
  }
}

static void test_reachable_again(void) {
  struct topic_settings set;
  char text[200];
  struct topic *t = chunk_of(1, &set);
  worker_outcome(t, PB_BUSY, "full");
  like(topic_why(t, text, sizeof text), "busy since", "a pool that is busy says so");
  loop_advance(loop, 1000);
  is_int(running(t), 1, "its jobs are tried again");
  worker_code(t, 500, "no");
  is_str(topic_why(t, text, sizeof text), "", "any answer of a worker ends that");
  station_end();
}

/* How far ahead jobs are taken goes by what requests take of late. */
static void test_average(void) {
  struct topic_settings set;
  struct topic *t = chunk_of(1, &set);
  loop_advance(loop, 100);
  worker_done(t);
  is_int(t->requests.run_avg_ms, 100, "the first request's time is the average");
  jobs_add(t, 1);
  loop_advance(loop, 200);
  worker_done(t);
  is_int(t->requests.run_avg_ms, 110, "each further one counts for a tenth");
  station_end();
}

int main(void) {
  test_each_its_own();
  test_behind_others();
  test_before_others();
  test_all_unregistered();
  test_ends();
  test_reachable_again();
  test_average();
  return done_testing();
}
