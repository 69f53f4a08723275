/* What operators do with failed jobs: one, or many at once. */
#include "store_fixture.h"

/* One dead job is purged by its id, one that runs is not. */
static void test_one_job(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "one"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  attach(n, t);
  uint64_t dead = add_to(n, q, "dead", NULL, &a);
  settle(n, t, take_one(n, t), STORE_DEAD, 0, "no luck");
  add_to(n, q, "runs", NULL, &a);
  settle(n, t, take_one(n, t), STORE_RETRY, 1, "x");
  struct job *runs = due_one(n, t, NULL);
  const struct {
    enum store_set set;
    uint64_t id, want;
    const char *name;
  } rows[] = {{STORE_SET_RETRY, dead, 0, "a dead job is not among the retries"},
              {STORE_SET_DEAD, dead, 1, "it is purged by its id"},
              {STORE_SET_BOTH, dead, 0, "once"},
              {STORE_SET_BOTH, runs->id, 0, "a job that runs is not purged"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    a = (struct answer){0};
    store_purge(t, rows[i].set, rows[i].id, on_count, &a);
    until(n->loop, a.n);
    is_int(a.count, rows[i].want, "%s", rows[i].name);
  }
  is_int(redis_int(r, "HLEN pb:{one}:b:t"), 1, "nothing but the running one is left");
  settle(n, t, runs, STORE_DONE, 0, NULL);
  store_topic_free(t);
  store_queue_free(q);
}

static void dead_one(struct node *n, struct store_queue *q, struct store_topic *t, const char *text,
                     struct store_add *add) {
  struct answer a;
  add_to(n, q, text, add, &a);
  settle(n, t, take_one(n, t), STORE_DEAD, 0, "no luck");
}

static void on_act(void *arg, enum store_rc rc, const struct store_act *act, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = act != NULL;
  if (act) snprintf(a->names, sizeof a->names, "%s", act->id);
  if (act) a->total = act->epoch;
}

static void on_noted(void *arg, enum store_rc rc, bool mine, const char *by) {
  struct answer *a = arg;
  said(a, rc, by);
  a->more = mine;
}

static void test_pages(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "many"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a = {0};
  enum { N = 1700 };
  attach(n, t);
  for (int i = 0; i < N; i++) {
    struct store_add add = {.content = "p", .content_len = 1};
    add.head.id = add.head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
    store_add(q, &add, on_added, &a);
  }
  until(n->loop, a.n == N);
  size_t got = 0;
  while (got < N) {
    struct answer b = {0};
    store_take(t, 300, on_taken, &b);
    until(n->loop, b.n);
    if (!b.jobs.n) break;
    for (struct job *job; (job = job_list_pop(&b.jobs)); got++) {
      struct store_outcome o = {.verdict = got % 2 ? STORE_DEAD : STORE_RETRY,
                                .due_ms = loop_wall_ms(n->loop) + 100000 + got};
      job->failed++;
      store_settle(t, job, &o);
    }
  }
  until(n->loop, !store_unsettled(t));
  struct store_depth d = look(n, t);
  ok(got == N && d.dead == N / 2 && d.retry == N / 2, "%d jobs failed", N);
  a = (struct answer){0};
  store_list(t, STORE_SET_BOTH, N / 2 - 5, 20, 4096, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 20 && a.total == N, "a page over both sets");
  run_for(n->loop, 5);
  a = (struct answer){0};
  many(n, t, STORE_ACT_REPLAY, STORE_SET_BOTH, 3, &a);
  until(n->loop, a.n);
  is_int(a.count, 3, "three are replayed");
  a = (struct answer){0};
  many(n, t, STORE_ACT_REPLAY, STORE_SET_BOTH, 0, &a);
  until(n->loop, a.n);
  d = look(n, t);
  ok(d.dead == 0 && d.retry == N, "the rest is replayed");
  is_int(a.count, N - 3, "each once");
  a = (struct answer){0};
  store_take_due(t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 10, "ten are running");
  for (struct job *job; (job = job_list_pop(&a.jobs));) job_free(job);
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_BOTH, 0, &a);
  until(n->loop, a.n);
  is_int(a.count, N - 10, "purge leaves what is running");
  is_int(redis_int(r, "HLEN pb:{many}:b:t"), 10, "and its records");
  store_topic_free(t);
  store_queue_free(q);
}

static void a_replay_takes_what_died_ahead(struct node *n, const struct server *r,
                                           struct store_queue *q, struct store_topic *t,
                                           struct store_act act) {
  struct answer a;
  struct job *job;
  char text[4096], line[200];
  /* Died an hour ahead of everybody's clock, as an older release may have written it. */
  uint64_t ahead = loop_wall_ms(n->loop) + 3600000;
  for (int i = 0; i < 3; i++) dead_one(n, q, t, "x", NULL);
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 4096, on_records, &a);
  until(n->loop, a.n);
  snprintf(line, sizeof line, "ZADD pb:{acts}:x:t %" PRIu64 " %" PRIu64, ahead, a.record.id);
  redis(r, text, sizeof text, line);
  slice(n, &act, &a);
  ok(a.count == 3 && !a.more, "replay of all takes what died by a clock that is ahead");
  is_int(look(n, t).dead, 0, "nothing is left out");
  /* One of them fails again while the act goes on: its answer was lost, it is asked for again. */
  job = due_one(n, t, NULL);
  ok(job != NULL, "they are due");
  struct answer rest = {0};
  store_take_due(t, 10, 1 << 30, on_due, &rest);
  settle(n, t, job, STORE_DEAD, 0, "again");
  until(n->loop, rest.n);
  slice(n, &act, &a);
  ok(a.count == 3 && !a.more && look(n, t).dead == 1,
     "a slice that is asked for again does nothing");
  for (struct job *j; (j = job_list_pop(&rest.jobs));) settle(n, t, j, STORE_DONE, 0, NULL);
  while ((job = due_one(n, t, NULL))) settle(n, t, job, STORE_DONE, 0, NULL);
}

static void an_act_leaves_alone_what_fails_later(struct node *n, struct store_queue *q,
                                                 struct store_topic *t, struct store_act act) {
  struct answer a, b;
  struct job *job;
  /* What fails after the first slice is not replayed by the same act, whatever the clocks. */
  for (int i = 0; i < 250; i++) dead_one(n, q, t, "y", NULL);
  strcpy(act.id, "bb");
  slice(n, &act, &a);
  ok(a.more && a.count > 0 && a.count <= 100 && a.total == 251,
     "an act goes on in slices: %d of %d", (int)a.count, (int)a.total);
  job = due_one(n, t, NULL);
  settle(n, t, job, STORE_DEAD, 0, "once more");
  dead_one(n, q, t, "z", NULL);
  do slice(n, &act, &b);
  while (b.more);
  is_int(b.count, 251, "to its end");
  is_int(look(n, t).dead, 2, "and leaves alone what died since it began");
  many(n, t, STORE_ACT_PURGE, STORE_SET_BOTH, 0, &a);
  is_int(look(n, t).retry, 0, "purged");
}

static void a_replay_waives_the_ttl(struct node *n, struct store_queue *q, struct store_topic *t) {
  struct answer a;
  struct job *job;
  struct store_add add = {.head.expires_ms = loop_wall_ms(n->loop) + 1};
  while (loop_clock_ms() % 10) run_for(n->loop, 1);
  dead_one(n, q, t, "expires", &add);
  a = (struct answer){0};
  store_find(t, add.head.id, on_records, &a);
  until(n->loop, a.n);
  is_int(a.count, 1, "a job with a TTL is dead");
  many(n, t, STORE_ACT_REPLAY, STORE_SET_DEAD, 0, &a);
  job = due_one(n, t, NULL);
  ok(job && !job->expires_ms, "replayed: its TTL is waived");
  settle(n, t, job, STORE_RETRY, 1, "fails");
  job = due_one(n, t, NULL);
  ok(job && !job->expires_ms && job->failed == 1, "for all of its attempts");
  settle(n, t, job, STORE_DEAD, 0, "dead");
  a = (struct answer){0};
  store_replay(t, STORE_SET_BOTH, add.head.id, on_count, &a);
  until(n->loop, a.n);
  job = due_one(n, t, NULL);
  ok(a.count == 1 && job && !job->expires_ms, "also when it is replayed by its id");
  settle(n, t, job, STORE_DONE, 0, NULL);
}

static void a_list_has_the_heads_of_large_jobs(struct node *n, struct store_queue *q,
                                               struct store_topic *t) {
  struct answer a;
  size_t large = 3 << 20;
  char *body = malloc(large + 1);
  memset(body, 'b', large);
  body[large] = 0;
  for (int i = 0; i < 5; i++) dead_one(n, q, t, body, NULL);
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 100, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 5 && a.record.size == large && a.record.content_len < 200,
     "a list has the heads of large jobs, and their sizes");
  free(body);
  many(n, t, STORE_ACT_PURGE, STORE_SET_BOTH, 0, &a);
  is_int(a.count, 5, "large ones are purged");
}

static void an_act_has_one_owner(struct node *n, const struct server *r, struct store_act act) {
  struct answer a, b;
  char text[4096], line[200];
  /* The record: one owner, who keeps it by its lease. */
  a = (struct answer){0};
  store_act_add(n->store, &act, on_act, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.count, "an act is noted");
  snprintf(act.id, sizeof act.id, "%.20s", a.names);
  b = (struct answer){0};
  store_act_claim(n->store, act.id, on_act, &b);
  until(n->loop, b.n);
  ok(!b.rc && !b.count, "nobody takes over what has an owner");
  snprintf(line, sizeof line, "HSET pb:{@}:act:%s until 1 owner gone", act.id);
  redis(r, text, sizeof text, line);
  b = (struct answer){0};
  store_act_note(n->store, &act, true, on_noted, &b);
  until(n->loop, b.n);
  ok(!b.rc && !b.more, "who lost it is told");
  b = (struct answer){0};
  store_act_claim(n->store, act.id, on_act, &b);
  until(n->loop, b.n);
  ok(!b.rc && b.count && b.total == 2, "another one takes over when the lease has run out");
  /* The answer to a claim (or to the act itself) may be lost: this process has it and does not
   * know. */
  b = (struct answer){0};
  store_act_claim(n->store, act.id, on_act, &b);
  until(n->loop, b.n);
  ok(!b.rc && !b.count, "not what this process has and works at");
  snprintf(line, sizeof line, "HSET pb:{@}:act:%s until 1", act.id);
  redis(r, text, sizeof text, line);
  b = (struct answer){0};
  store_act_claim(n->store, act.id, on_act, &b);
  until(n->loop, b.n);
  ok(!b.rc && b.count && b.total == 3,
     "but what it has and does not work at, as its lease ran out");
  b = (struct answer){0};
  store_act_cancel(n->store, act.id, "me", on_count, &b);
  until(n->loop, b.n);
  is_int(b.count, 1, "it can be cancelled");
  b = (struct answer){0};
  store_act_note(n->store, &act, true, on_noted, &b);
  until(n->loop, b.n);
  ok(b.more && !strcmp(b.why, "me"), "its owner hears of it");
  act.state = STORE_ACT_CANCELLED;
  store_act_note(n->store, &act, true, on_noted, &b);
  until(n->loop, b.n == 2);
  b = (struct answer){0};
  store_act_cancel(n->store, act.id, "me", on_count, &b);
  until(n->loop, b.n);
  is_int(b.count, 2, "once");
}

/* @case R8: a replay takes what was there, whatever the clock of the node that wrote it
 * @case L10: a replay waives the TTL
 * @case R15: of a large body only its head is read
 * @case T2: an act is worked off slice by slice, each job once */
static void test_acts(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "acts"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct store_act act = {.id = "aa", .kind = STORE_ACT_REPLAY, .set = STORE_SET_BOTH};
  strcpy(act.queue, "acts");
  strcpy(act.topic, "t");
  attach(n, t);

  a_replay_takes_what_died_ahead(n, r, q, t, act);
  an_act_leaves_alone_what_fails_later(n, q, t, act);
  a_replay_waives_the_ttl(n, q, t);
  a_list_has_the_heads_of_large_jobs(n, q, t);
  an_act_has_one_owner(n, r, act);
  store_topic_free(t);
  store_queue_free(q);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_one_job(&b.n, &b.r);
  test_pages(&b.n, &b.r);
  test_acts(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
