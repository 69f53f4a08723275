/* The way of a job into this node's memory and back. */
#include "store_fixture.h"

static void failed_jobs_wait_and_die(struct node *n, const struct server *r, struct store_queue *q,
                                     struct store_topic *t) {
  struct answer a;
  struct job *job;
  uint64_t now, next, id;
  now = loop_wall_ms(n->loop);
  add_to(n, q, "fails", NULL, &a);
  job = take_one(n, t);
  id = job->id;
  settle(n, t, job, STORE_RETRY, now + 60000, "no luck");
  struct store_depth d = look(n, t);
  ok(d.retry == 1 && d.running == 0 && d.ready == 0, "a failed job waits");
  ok(d.next_due_ms == now + 60000, "until its time");
  ok(!due_one(n, t, &next) && next == now + 60000, "and is not due before");
  a = (struct answer){0};
  store_find(t, id, on_records, &a);
  until(n->loop, a.n);
  is_int(a.count, 1, "it is found by its id");
  is_str(a.message, "no luck", "with its message");
  is_str(a.content, "fails", "and content");
  is_str(a.node, "web1", "and node");
  ok(a.record.failed == 1 && a.record.code == 500 && a.record.first_failed_ms >= now - 1000 &&
         !a.record.dead,
     "and counts");
  a = (struct answer){0};
  many(n, t, STORE_ACT_REPLAY, STORE_SET_BOTH, 0, &a);
  until(n->loop, a.n);
  is_int(a.count, 1, "replay finds it");
  job = due_one(n, t, NULL);
  ok(job && job->id == id && job->failed == 0 && job->source == JOB_FROM_RETRY,
     "it is due at once, with its full attempts");
  ok(!due_one(n, t, NULL), "but for one only");
  is_int(look(n, t).running, 1, "a claimed retry counts as running");
  settle(n, t, job, STORE_DEAD, 0, "really no luck");
  d = look(n, t);
  ok(d.dead == 1 && d.retry == 0 && d.running == 0, "dead");
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 4096, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && a.total == 1 && a.record.dead, "and listed");
  a = (struct answer){0};
  store_errors(t, 10, on_errors, &a);
  until(n->loop, a.n);
  ok(a.count == 2 && !strcmp(a.message, "really no luck"), "the error log has both, newest first");
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_DEAD, 0, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && look(n, t).dead == 0, "purged");
  is_int(redis_int(r, "EXISTS pb:{life}:h:t pb:{life}:b:t pb:{life}:c:t pb:{life}:r:t"), 0,
         "nothing of it is left");
}

static void retries_are_released_and_counted(struct node *n, const struct server *r,
                                             struct store_queue *q, struct store_topic *t) {
  struct answer a;
  struct job *job;
  add_to(n, q, "later", NULL, &a);
  settle(n, t, take_one(n, t), STORE_RELEASE, 0, NULL);
  job = due_one(n, t, NULL);
  ok(job && job->failed == 0 && job->crashes == 0, "a released job comes back untouched");
  settle(n, t, job, STORE_RETRY, 1, "x");
  job = due_one(n, t, NULL);
  ok(job && job->failed == 1, "a failed retry counts on");
  settle(n, t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "EXISTS pb:{life}:h:t pb:{life}:b:t pb:{life}:c:t pb:{life}:r:t"), 0,
         "a retry that is done leaves nothing");
}

static void pull_workers_pop(struct node *n, const struct server *r, struct store_queue *q,
                             struct store_topic *t) {
  struct answer a;
  add_to(n, q, "popped", NULL, &a);
  a = (struct answer){0};
  store_pop(t, on_popped, &a);
  until(n->loop, a.n);
  ok(a.job && a.job->content_len == 6, "a pull worker pops it");
  job_free(a.job);
  is_int(redis_int(r, "XLEN pb:{life}:s"), 0, "for good");
  a = (struct answer){0};
  store_pop(t, on_popped, &a);
  until(n->loop, a.n);
  ok(!a.rc && !a.job, "and then there is none");
}

static void test_life(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "life"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){0x7f000001, 12017});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  attach(n, t);
  uint64_t id = add_to(n, q, "hello", NULL, &a);
  is_int(a.rc, STORE_OK, "a job is added");
  struct job *job = take_one(n, t);
  ok(job && job->crashes == 0, "and taken");
  job_free(job);
  store_topic_free(t); /* as after a configuration change: the pending list remembers */
  t = store_topic_new(q, &ts);
  attach(n, t);
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  job = job_list_pop(&a.jobs);
  ok(job && job->id == id, "what a topic had in its hands is recovered");
  if (!job) return;
  is_mem(job->content, job->content_len, "hello", 5, "with its content");
  is_int(job->crashes, 1, "and the crash counted");
  ok(job->gateway.port == 12017, "and its gateway");
  ok(a.more, "there may be more");
  do {
    a = (struct answer){0};
    store_recover(t, NULL, 10, on_taken, &a);
    until(n->loop, a.n);
  } while (a.more);
  ok(!a.jobs.n, "it is not handed out twice");
  settle(n, t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{life}:s"), 0, "done: the stream is empty");
  is_int(look(n, t).running, 0, "and nothing is pending");

  failed_jobs_wait_and_die(n, r, q, t);
  retries_are_released_and_counted(n, r, q, t);
  pull_workers_pop(n, r, q, t);
  store_topic_free(t);
  store_queue_free(q);
}

static void a_full_server_lets_jobs_finish(struct node *n, const struct server *r,
                                           struct store_queue *q, struct store_topic *t) {
  struct answer a;
  struct job *job;
  char text[512];
  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  add_to(n, q, "x", NULL, &a);
  is_int(a.rc, STORE_ERROR, "a full server is an error");
  like(a.why, "out of memory", "that says so");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
  add_to(n, q, "x", NULL, &a);
  job = take_one(n, t);
  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  settle(n, t, job, STORE_RETRY, 1, "y");
  job = due_one(n, t, NULL);
  ok(job != NULL, "outcomes and retries go on in a full server");
  settle(n, t, job, STORE_DONE, 0, NULL);
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
}

static void test_odd(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "odd"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  char text[512], line[128];
  attach(n, t);
  redis(r, text, sizeof text, "XADD pb:{odd}:s * data foreign");
  ok(!take_one(n, t), "what is no job of ours is not run");
  until(n->loop, !store_unsettled(t));
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 4096, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && !strcmp(a.content, "foreign"), "but kept with the dead jobs");
  like(a.message, "stored form", "with the reason");
  a = (struct answer){0};
  store_replay(t, STORE_SET_DEAD, a.record.id, on_count, &a);
  until(n->loop, a.n);
  ok(!due_one(n, t, NULL), "a replay does not run it either");
  until(n->loop, !store_unsettled(t));
  is_int(look(n, t).dead, 1, "it is dead again");

  redis(r, text, sizeof text, "SCRIPT FLUSH");
  is_int(look(n, t).dead, 1, "forgotten scripts are loaded again");
  redis(r, text, sizeof text, "XGROUP DESTROY pb:{odd}:s t");
  add_to(n, q, "x", NULL, &a);
  a = (struct answer){0};
  store_take(t, 5, on_taken, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.more && !a.jobs.n, "a lost group is made again");
  struct job *job = take_one(n, t);
  ok(job != NULL, "and loses nothing");
  settle(n, t, job, STORE_DONE, 0, NULL);

  add_to(n, q, "gone", NULL, &a);
  job = take_one(n, t);
  redis(r, text, sizeof text, "XTRIM pb:{odd}:s MAXLEN 0");
  job_free(job);
  store_topic_free(t);
  t = store_topic_new(q, &ts);
  attach(n, t);
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  ok(!a.jobs.n && look(n, t).running == 0, "an entry that is gone is acknowledged away");

  a = (struct answer){0};
  store_pause(t, true, "me", "why", on_count, &a);
  until(n->loop, a.n);
  ok(look(n, t).paused, "paused");
  store_pause(t, false, "", "", on_count, &a);
  until(n->loop, a.n > 1);
  ok(!look(n, t).paused, "resumed");

  /* How long a claimed retry is left to its node. */
  const struct {
    uint64_t timeout_ms, chunk_wait_ms;
    const char *name;
  } times[] = {{1000, 600000, "a claimed retry may wait for its chunk to fill"},
               {900000, 0, "and a reload that gives its topic more time counts"}};
  for (size_t i = 0; i < 2; i++) {
    ts.timeout_ms = times[i].timeout_ms;
    ts.chunk_wait_ms = times[i].chunk_wait_ms;
    store_topic_times(t, &ts);
    add_to(n, q, "held", NULL, &a);
    settle(n, t, take_one(n, t), STORE_RETRY, 1, "y");
    job = due_one(n, t, NULL);
    snprintf(line, sizeof line, "ZCOUNT pb:{odd}:r:t %" PRIu64 " +inf",
             loop_wall_ms(n->loop) + times[i].timeout_ms + times[i].chunk_wait_ms);
    is_int(redis_int(r, line), 1, "%s", times[i].name);
    settle(n, t, job, STORE_DONE, 0, NULL);
  }

  a_full_server_lets_jobs_finish(n, r, q, t);
  store_topic_free(t);
  store_queue_free(q);
}

/* @case R6: moving a delayed job neither loses it, nor adds it again and again. */
static void test_move_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  faulty_start(&f, n, r, "flm");
  struct store_add later = {.delay_ms = 1};
  add_to(n, f.q, "one", &later, &a);
  run_for(n->loop, 5);
  say(&f, "ACL SETUSER default -zrem");
  for (int i = 0; i < 3; i++) {
    a = (struct answer){0};
    store_move_due(f.q, on_moved, &a);
    until(n->loop, a.n);
  }
  say(&f, "ACL SETUSER default +zrem");
  is_int(a.rc, STORE_ERROR, "ZREM forbidden: an error");
  is_int(redis_int(r, "XLEN pb:{flm}:s"), 0, "and nothing in the stream");
  say(&f, "ZADD pb:{flm}:d 1 7");
  say(&f, "HSET pb:{flm}:j 7 what-is-this");
  say(&f, "ZADD pb:{flm}:d 1 8");
  a = (struct answer){0};
  store_move_due(f.q, on_moved, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.count == 2, "what is odd holds up nobody: %u moved", (unsigned)a.count);
  is_int(redis_int(r, "ZCARD pb:{flm}:d"), 0, "none is left");
  struct job *job = take_one(n, f.t);
  until(n->loop, look(n, f.t).dead == 1);
  ok(look(n, f.t).dead == 1, "the odd one is dead, to be seen");
  if (!job) job = take_one(n, f.t);
  ok(job && job->content_len == 3, "and the job is there");
  settle(n, f.t, job, STORE_DONE, 0, NULL);
  faulty_end(&f);
}

/* @case R6: RPOP gives the job, or leaves it where it is. */
static void test_pop_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  faulty_start(&f, n, r, "flp");
  add_to(n, f.q, "one", NULL, &a);
  settle(n, f.t, take_one(n, f.t), STORE_RETRY, 1, "x");
  say(&f, "ACL SETUSER default -zrem");
  a = (struct answer){0};
  store_pop(f.t, on_popped, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +zrem");
  ok(a.rc == STORE_ERROR && !a.job && look(n, f.t).retry == 1, "ZREM forbidden: it stays");
  say(&f, "ACL SETUSER default -hdel");
  a = (struct answer){0};
  store_pop(f.t, on_popped, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +hdel");
  ok(!a.rc && a.job && a.job->content_len == 3, "HDEL forbidden: it is given all the same");
  job_free(a.job);
  faulty_end(&f);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_life(&b.n, &b.r);
  test_odd(&b.n, &b.r);
  test_move_faults(&b.n, &b.r);
  test_pop_faults(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
