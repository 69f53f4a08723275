/* Requests with jobs: what each end of one makes of its jobs, its slot, its pool and its topic. */
#include "unit/dispatch/station.h"

static void test_done_and_failed(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  jobs_add(t, 2);
  is_int(requests(t), 2, "two jobs, two requests");
  worker_done(t);
  is_int(st->done, 1, "200: done");
  worker_code(t, 500, "it threw");
  is_int(st->failed, 1, "500: a failed attempt");
  is_int(st->code, 500, "with its code");
  is_str(st->message, "it threw", "and the worker's words");
  is_int(st->due_ms - loop_wall_ms(loop), 1000, "due after the topic's backoff");
  loop_advance(loop, 999);
  is_int(running(t), 0, "not before");
  loop_advance(loop, 1);
  is_int(running(t), 1, "then it runs again");
  worker_code(t, 500, "it threw");
  is_int(st->due_ms - loop_wall_ms(loop), 2000, "after the second failure twice as long");
  loop_advance(loop, 2000);
  worker_code(t, 500, "it threw");
  is_int(st->dead, 1, "the third was the last: dead");
  loop_advance(loop, 600000);
  is_int(running(t), 0, "and is not tried again");
  is_int(t->counters.attempts, 4, "attempts are counted");
  is_int(t->counters.failed, 3, "failed ones");
  is_int(t->counters.retried, 2, "retries");
  is_int(t->counters.dead, 1, "the dead");
  station_end();
}

static void test_doubtful(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  jobs_add(t, 3);
  worker_outcome(t, PB_LOST, "connection reset");
  is_int(st->failed, 1, "lost: a failed attempt");
  is_str(st->message, "connection reset", "as the transport said");
  is_int(st->code, 0, "without a code");
  is_int(t->counters.lost, 1, "counted as lost");
  worker_outcome(t, PB_TIMEOUT, "cancelled");
  is_int(t->counters.timeout, 1, "as timed out");
  worker_outcome(t, PB_GARBLED, "not FastCGI");
  is_int(st->failed, 3, "garbled: a failed attempt too");
  is_str(state_of(t), "open", "none of it closes the topic");
  station_end();
}

static void test_no_attempt(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  jobs_add(t, 1);
  worker_says(t, false,
              (struct pb_result){.outcome = PB_BUSY, .detail = "full", .retry_after_ms = 300});
  is_int(st->failed + st->dead + st->released, 0, "full: nothing is counted");
  is_int(running(t), 0, "and nothing sent");
  is_int(t->counters.busy, 1, "but counted as busy");
  loop_advance(loop, 299);
  is_int(running(t), 0, "for as long as it wished");
  loop_advance(loop, 1);
  is_int(running(t), 1, "then again");
  worker_outcome(t, PB_BUSY, "full");
  loop_advance(loop, 10);
  is_int(running(t), 0, "no wish of its own: a short rest");
  loop_advance(loop, 10);
  is_int(running(t), 1, "which grows with each in a row");
  workers.pings_wait = true;
  worker_code(t, 404, "not mine");
  is_int(st->failed + st->dead, 0, "404: no attempt is counted");
  is_int(t->counters.unregistered, 1, "the job went back");
  is_str(state_of(t), "unregistered", "and the topic is closed");
  is_str(why_of(t), "the worker does not register it: not mine", "as the worker said");
  loop_advance(loop, 400);
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/t"});
  is_int(running(t), 1, "it runs when pings pass");
  station_end();
}

/* A job that is answered "not registered" although pings pass must not go round for ever. */
static void test_refused_for_ever(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  jobs_add(t, 1);
  for (int i = 0; i < 2; i++) {
    worker_code(t, 404, "not mine");
    loop_advance(loop, 5000);
    is_int(running(t), 1, "refusal %d: it runs again", i + 1);
  }
  worker_code(t, 404, "not mine");
  is_int(st->failed, 1, "the third counts as a failed attempt");
  is_str(state_of(t), "open", "and closes nothing");
  station_end();
}

static void test_deadline(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  one.timeout_ms = 5000;
  station_begin();
  struct topic *t = topic_open(&one);
  struct store_topic *st = store_of(t);
  jobs_add(t, 2);
  loop_advance(loop, 4999);
  is_int(st->failed, 0, "before the deadline");
  loop_advance(loop, 1);
  is_int(st->failed, 1, "at the deadline the job is settled");
  is_str(st->message, "timed out: no answer within 5000 ms; whether it ran is not known", "why");
  is_int(workers.cancelled, 1, "and the request cancelled");
  is_int(t->counters.timeout, 1, "counted");
  loop_advance(loop, 900);
  is_int(requests(t), 1, "but its slot is taken as long as the worker has it");
  worker_done(t);
  is_int(st->done, 0, "the late answer changes nothing");
  is_int(running(t), 1, "and frees the slot: the next job runs");
  worker_done(t);
  is_int(st->done, 1, "and is done");
  loop_advance(loop, 100);
  is_int(running(t), 1, "then the first one again");
  station_end();
}

/* The process stood still: answers that came meanwhile are read before the deadline counts. */
static void test_late_deadline(void) {
  struct topic_settings one = usual;
  one.timeout_ms = 5000;
  station_begin();
  struct topic *t = topic_open(&one);
  jobs_add(t, 2);
  loop_stall(loop, 8000);
  loop_turn(loop, 0);
  is_int(store_of(t)->failed, 0, "a deadline that is seen late waits a little");
  worker_done(t);
  is_int(store_of(t)->done, 1, "for what has come meanwhile");
  loop_advance(loop, 50);
  is_int(store_of(t)->failed, 1, "and not longer");
  station_end();
}

static void test_no_room(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  workers.room = 2;
  jobs_add(t, 4);
  is_int(running(t), 2, "the transport has room for two");
  char why[200];
  is_str(topic_why(t, why, sizeof why), "its transport has no room for another request",
         "which is told");
  is_int(store_of(t)->failed + store_of(t)->released, 0, "the others wait here");
  loop_advance(loop, 10000);
  is_int(running(t), 2, "without being tried");
  worker_has_room(t);
  is_int(running(t), 4, "until it has room again");
  is_str(topic_why(t, why, sizeof why), "", "then nothing is told");
  station_end();
}

static void test_refused_by_the_transport(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  workers.refuses = -EMSGSIZE;
  jobs_add(t, 1);
  is_int(store_of(t)->failed, 1, "what cannot be sent at all is a failed attempt");
  is_str(store_of(t)->message, "it cannot be sent", "with the transport's words");
  workers.refuses = 0;
  loop_advance(loop, 1000);
  is_int(running(t), 1, "and tried again later");
  station_end();
}

static void test_expired(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store_of(t)->stream_expires_ms = loop_wall_ms(loop);
  jobs_add(t, 1);
  is_int(running(t), 0, "a job whose TTL is over is not run");
  is_int(store_of(t)->dead, 1, "but dead");
  is_str(store_of(t)->message, "it expired before it was run (TTL)", "why");
  station_end();
}

static void test_each_job(void) {
  struct topic_settings many = usual;
  many.chunk = 3;
  many.workers = 1;
  station_begin();
  struct topic *t = topic_open(&many);
  struct store_topic *st = store_of(t);
  char body[300];
  jobs_add(t, 3);
  while (requests(t) && workers.sent[0].n < 3) worker_done(t); /* the first read is of one */
  size_t done = st->done;
  if (!running(t)) jobs_add(t, 3);
  is_int(requests(t), 1, "three jobs");
  is_int(running(t), 3, "in one request");
  struct job **jobs = workers.sent[0].batch->jobs;
  snprintf(body, sizeof body,
           "[{\"id\":\"%llu\",\"code\":200},{\"id\":\"%llu\",\"code\":500,\"msg\":\"no\"},"
           "{\"id\":\"%llu\",\"code\":404}]",
           (unsigned long long)jobs[0]->id, (unsigned long long)jobs[1]->id,
           (unsigned long long)jobs[2]->id);
  worker_code(t, 207, body);
  is_int(st->done - done, 1, "207: one is done");
  is_int(st->failed, 1, "one failed");
  is_str(st->message, "no", "with its own words");
  is_int(running(t), 1, "one was not run, and is sent again at once");
  is_str(state_of(t), "open", "the topic goes on");
  station_end();
}

/* A job that ends the script must not take to the dead those that share its requests. */
static void test_last_attempt_alone(void) {
  struct topic_settings many = usual;
  many.chunk = 10;
  many.workers = 10;
  station_begin();
  struct topic *t = topic_open(&many);
  store_of(t)->stream_failed = 2; /* of three */
  jobs_add(t, 4);
  is_int(running(t), 4, "four jobs before their last attempt");
  is_int(requests(t), 4, "each has a request of its own");
  station_end();
}

/* With chunk_wait_ms a request that is not full waits for more jobs. */
static void test_chunk_wait(void) {
  struct topic_settings many = usual;
  many.chunk = 3;
  many.chunk_wait_ms = 500;
  station_begin();
  struct topic *t = topic_open(&many);
  jobs_add(t, 1);
  is_int(running(t), 0, "one job of three waits for others");
  loop_advance(loop, 400);
  jobs_add(t, 1);
  loop_advance(loop, 99);
  is_int(running(t), 0, "as does the second");
  loop_advance(loop, 1);
  is_int(running(t), 2, "500 ms after the first both go");
  jobs_add(t, 3);
  is_int(running(t), 5, "a full one goes at once");
  is_int(requests(t), 2, "as one");
  station_end();
}

/* Requests that run while the worker's address changes end on the old way. */
static void test_update_while_running(void) {
  struct topic_settings other = usual;
  other.timeout_ms = 1000;
  station_begin();
  struct topic *t = topic_open(&usual);
  jobs_add(t, 1);
  topic_update(t, &other);
  is_int(workers.opened, 2, "a new way is opened");
  is_int(workers.closed, 1, "the old one closed");
  jobs_add(t, 1);
  is_int(running(t), 2, "both are used");
  worker_code(t, 404, "an old script");
  is_str(state_of(t), "open", "what the old one says of the topic does not count");
  worker_done(t);
  is_int(store_of(t)->done, 1, "outcomes do");
  station_end();
}

int main(void) {
  test_done_and_failed();
  test_doubtful();
  test_no_attempt();
  test_refused_for_ever();
  test_deadline();
  test_late_deadline();
  test_no_room();
  test_refused_by_the_transport();
  test_expired();
  test_each_job();
  test_last_attempt_alone();
  test_chunk_wait();
  test_update_while_running();
  return done_testing();
}
