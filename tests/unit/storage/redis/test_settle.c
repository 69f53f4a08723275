/* Outcomes: what goes from the stream and when, whose they are, and commands that fail. */
#include "store_fixture.h"

#define LARGE ((size_t)64 << 10) /* of such jobs few may stay behind their time */

#define SPARE 15

static void take_all(struct node *n, struct store_topic *t, struct job_list *ret) {
  for (struct job *job; (job = take_one(n, t));) job_list_push(ret, job);
}

static void settle_each(struct node *n, struct store_topic *t, struct job_list *jobs) {
  for (struct job *job; (job = job_list_pop(jobs));) settle(n, t, job, STORE_DONE, 0, NULL);
}

static void nothing_stays_where_bytes_are_limited(struct node *n, const struct server *r) {
  struct answer a;
  struct job *front;
  struct job_list list = {0};
  /* Where bytes are limited nothing stays. */
  struct queue_settings tight = {.name = "tight", .max_bytes = 1 << 20};
  struct topic_settings ts = {.name = "a", .queue = &tight, .timeout_ms = 60000};
  struct store_queue *q = store_queue_new(n->store, &tight, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  attach(n, t);
  for (int i = 0; i < 4; i++) add_to(n, q, "x", NULL, &a);
  front = take_one(n, t);
  take_all(n, t, &list);
  settle_each(n, t, &list);
  is_int(redis_int(r, "XLEN pb:{tight}:s"), 1, "max_bytes: only what is not done is there");
  settle(n, t, front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{tight}:s"), 0, "and then nothing");
  store_topic_free(t);
  store_queue_free(q);
}

static void one_topic_whose_oldest_job_runs_long(struct node *n, struct server *r,
                                                 struct store_queue *q, struct store_topic **t,
                                                 const char *large) {
  struct answer a;
  struct job_list list = {0};
  /* One topic, whose oldest job runs long. */
  attach(n, t[0]);
  add_to(n, q, "front", NULL, &a);
  struct job *front = take_one(n, t[0]);
  for (int i = 0; i < 5; i++) add_to(n, q, "small", NULL, &a);
  take_all(n, t[0], &list);
  settle_each(n, t[0], &list);
  struct store_depth d = look(n, t[0]);
  ok(d.running == 1 && d.ready == 0, "jobs behind one that runs are done");
  struct store_add limit = {.max_length = 2};
  add_to(n, q, "small", &limit, &a);
  is_int(a.rc, STORE_OK, "what is done does not count for max_length");
  add_to(n, q, "small", &limit, &a);
  is_int(a.rc, STORE_FULL, "what is not done does");
  for (int i = 0; i < 40; i++) add_to(n, q, large, NULL, &a);
  take_all(n, t[0], &list);
  is_int(list.n, 41, "all of them are taken");
  settle_each(n, t[0], &list);
  long len = redis_int(r, "XLEN pb:{mark}:s");
  ok(len >= 1 && len <= 1 + SPARE, "behind a job that runs for long few large ones stay (%ld)",
     len);
  for (int i = 0; i < 3; i++) add_to(n, q, "new", NULL, &a);
  is_int(look(n, t[0]).ready, 3, "what is ready is known in spite of the gap");
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 3, "when it ends all go");
}

static void topics_that_come_in_the_middle(struct node *n, struct server *r,
                                           struct store_topic **t) {
  struct job_list list = {0}, other = {0};
  struct job *front;
  /* A second topic from the beginning, and a third from now, in the middle of a life. */
  front = take_one(n, t[0]);
  attach(n, t[2]);
  attach(n, t[1]);
  ok(look(n, t[2]).ready == 3 && look(n, t[1]).ready == 0, "two topics come in the middle");
  take_all(n, t[0], &list);
  settle_each(n, t[0], &list);
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 3, "nothing goes that the late one has not had");
  take_all(n, t[2], &other);
  is_int(other.n, 3, "it gets all that was there");
  settle_each(n, t[2], &other);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "then they go");
}

static void three_topics_that_hold_one_each(struct node *n, struct server *r, struct store_queue *q,
                                            struct store_topic **t, const char *large) {
  struct answer a;
  struct job_list list = {0}, other = {0};
  struct job *front = NULL;
  long len;
  /* Three topics; the first and the last entry are held by one each. */
  for (int i = 0; i < 40; i++) add_to(n, q, large, NULL, &a);
  for (int i = 0; i < 3; i++) {
    struct job *last = NULL;
    take_all(n, t[i], &list);
    is_int(list.n, 40, "each topic gets each job");
    if (i == 0) front = job_list_pop(&list);
    while (list.n > 1) settle(n, t[i], job_list_pop(&list), STORE_DONE, 0, NULL);
    last = job_list_pop(&list);
    if (i == 1)
      job_list_push(&other, last);
    else
      settle(n, t[i], last, STORE_DONE, 0, NULL);
  }
  len = redis_int(r, "XLEN pb:{mark}:s");
  ok(len >= 2 && len <= 2 + SPARE, "what all three had goes, however long the first takes (%ld)",
     len);
  settle(n, t[1], job_list_pop(&other), STORE_RETRY, 1, "held");
  settle(n, t[0], front, STORE_RETRY, 1, "held");
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "the rest goes with its last topic");
  for (int i = 0; i < 2; i++) {
    struct job *job = due_one(n, t[i], NULL);
    ok(job && job->content_len == LARGE, "what was held had its bytes to the end");
    settle(n, t[i], job, STORE_DONE, 0, NULL);
  }
}

static void the_same_count_after_a_restart(struct node *n, struct server *r, struct store_queue *q,
                                           struct store_topic **t) {
  struct answer a;
  struct job_list list = {0};
  struct job *front;
  /* The same count after a restart of the server. */
  for (int i = 0; i < 6; i++) add_to(n, q, "r", NULL, &a);
  front = take_one(n, t[0]);
  settle(n, t[0], take_one(n, t[0]), STORE_DONE, 0, NULL);
  for (int i = 1; i < 3; i++) {
    settle(n, t[i], take_one(n, t[i]), STORE_DONE, 0, NULL);
    settle(n, t[i], take_one(n, t[i]), STORE_DONE, 0, NULL);
  }
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 4, "two of six went");
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 3; i++) is_int(look(n, t[i]).ready, 4, "four are ready");
    unsigned ready = n->ready;
    if (round) break;
    server_stop(r, SIGTERM);
    until(n->loop, n->state != STORE_READY);
    server_start(r, "");
    until(n->loop, n->ready > ready);
  }
  for (int i = 0; i < 3; i++) {
    take_all(n, t[i], &list);
    is_int(list.n, 4, "and come after the restart");
    settle_each(n, t[i], &list);
  }
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "and go");
}

static void a_topic_that_was_set_back(struct node *n, struct server *r, struct store_queue *q,
                                      struct store_topic **t) {
  struct answer a;
  struct job_list list = {0}, other = {0};
  /* A topic that was set back by hand (XGROUP SETID), with a job that runs behind that point. */
  for (int i = 0; i < 4; i++) add_to(n, q, "back", NULL, &a);
  take_all(n, t[0], &list);
  take_all(n, t[1], &other);
  struct job *held = NULL;
  while (other.n > 1) settle(n, t[1], job_list_pop(&other), STORE_DONE, 0, NULL);
  held = job_list_pop(&other);
  char text[256];
  redis(r, text, sizeof text, "XGROUP SETID pb:{mark}:s b 0 ENTRIESREAD 0");
  take_all(n, t[2], &other);
  settle_each(n, t[2], &other);
  settle_each(n, t[0], &list);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 4, "what a topic was set back over stays");
  settle(n, t[1], held, STORE_DONE, 0, NULL);
  take_all(n, t[1], &list);
  is_int(list.n, 4, "and is taken again");
  settle_each(n, t[1], &list);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "and goes");
}

static void test_forget(struct node *n, struct server *r) {
  struct queue_settings qs = {.name = "mark"};
  struct topic_settings set[3] = {{.name = "a"}, {.name = "b"}, {.name = "all", .start_from = 1}};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t[3];
  char *large = calloc(1, LARGE + 1);
  memset(large, 'l', LARGE);
  for (int i = 0; i < 3; i++) {
    set[i].queue = &qs;
    set[i].timeout_ms = 60000;
    t[i] = store_topic_new(q, &set[i]);
  }

  one_topic_whose_oldest_job_runs_long(n, r, q, t, large);
  topics_that_come_in_the_middle(n, r, t);
  three_topics_that_hold_one_each(n, r, q, t, large);
  the_same_count_after_a_restart(n, r, q, t);
  a_topic_that_was_set_back(n, r, q, t);
  for (int i = 0; i < 3; i++) store_topic_free(t[i]);
  store_queue_free(q);

  nothing_stays_where_bytes_are_limited(n, r);
  free(large);
}

/* What a settled, retried or dead job of a node that lost it does: nothing. */
static void test_ownership(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "own"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  char text[256], line[256];
  attach(n, t);
  add_to(n, q, "mine", NULL, &a);
  struct job *job = take_one(n, t);
  snprintf(line, sizeof line, "XCLAIM pb:{own}:s t other 0 %llu-%llu",
           (unsigned long long)job->entry_ms, (unsigned long long)job->entry_seq);
  redis(r, text, sizeof text, line);
  settle(n, t, job, STORE_RETRY, 1, "late");
  struct store_depth d = look(n, t);
  ok(d.retry == 0 && d.running == 1, "a job that another node took over stays with it");
  store_topic_free(t);
  store_queue_free(q);
}

/* @case R6: an outcome that cannot be stored is kept, and what else fails keeps none. */
static void test_settle_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  uint64_t next;
  faulty_start(&f, n, r, "fls");
  add_to(n, f.q, "one", NULL, &a);
  say(&f, "SET pb:{fls}:e:t foreign");
  settle(n, f.t, take_one(n, f.t), STORE_RETRY, 1, "no luck");
  is_int(look(n, f.t).retry, 1, "an error log that cannot be written keeps no job");
  struct job *job = due_one(n, f.t, NULL);
  say(&f, "RENAME pb:{fls}:r:t kept");
  say(&f, "SET pb:{fls}:r:t foreign");
  job->failed++;
  settle_after(&f, job, STORE_RETRY, 1, "RENAME kept pb:{fls}:r:t", "the retry set is foreign");
  job = due_one(n, f.t, NULL);
  ok(job && job->failed == 2 && job->crashes == 0, "then it waits, its attempts counted");
  settle(n, f.t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "EXISTS pb:{fls}:h:t pb:{fls}:b:t pb:{fls}:c:t pb:{fls}:r:t"), 0,
         "and leaves nothing when it is done");

  add_to(n, f.q, "two", NULL, &a);
  job = take_one(n, f.t);
  job->failed++;
  say(&f, "SET pb:{fls}:b:t foreign");
  settle_after(&f, job, STORE_RETRY, 1, "DEL pb:{fls}:b:t", "the bytes' place is foreign");
  job = due_one(n, f.t, NULL);
  ok(job && job->content_len == 3, "then it waits with its bytes");
  settle(n, f.t, job, STORE_RETRY, 1, "x");

  say(&f, "ACL SETUSER default -zadd");
  a = (struct answer){0};
  store_take_due(f.t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +zadd");
  is_int(a.rc, STORE_ERROR, "ZADD forbidden: no retry is taken");
  is_int(redis_int(r, "HLEN pb:{fls}:c:t"), 0, "and none claimed");
  say(&f, "DEL pb:{fls}:h:t");
  job = due_one(n, f.t, &next);
  ok(job && job->crashes == 0 && job->content_len == 3, "a job whose record is gone runs");
  settle(n, f.t, job, STORE_RETRY, 1, "x");
  job = due_one(n, f.t, NULL);
  ok(job && job->failed == 1, "and is counted anew");
  say(&f, "DEL pb:{fls}:h:t");
  settle(n, f.t, job, STORE_RETRY, 1, "x");
  is_int(look(n, f.t).retry, 1, "also where the record goes while it runs");
  say(&f, "HSET pb:{fls}:h:t x y");
  job = due_one(n, f.t, NULL);
  settle(n, f.t, job, STORE_DONE, 0, NULL);

  add_to(n, f.q, "three", NULL, &a);
  say(&f, "ACL SETUSER default -xtrim");
  settle(n, f.t, take_one(n, f.t), STORE_DONE, 0, NULL);
  say(&f, "ACL SETUSER default +xtrim");
  is_int(look(n, f.t).running, 0, "what cannot be deleted is settled all the same");
  faulty_end(&f);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_forget(&b.n, &b.r);
  test_ownership(&b.n, &b.r);
  test_settle_faults(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
