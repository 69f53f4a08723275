/* What operators do with failed jobs: one, or many at once. */
#include "store_fixture.h"

#include "job/signature.h"

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

static void on_noted(void *arg, enum store_rc rc, bool mine, const char *by, uint64_t undo_ms) {
  struct answer *a = arg;
  said(a, rc, by);
  a->more = mine;
  a->undo_ms = undo_ms;
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

/* --- undo --- */

static void on_whole_act(void *arg, enum store_rc rc, const struct store_act *act,
                         const char *why) {
  (void)why;
  if (!rc && act) *(struct store_act *)arg = *act;
}

static void act_new(struct node *n, struct store_act *act, enum store_act_kind kind,
                    const char *undoes, struct answer *a) {
  act->kind = kind;
  snprintf(act->undoes, sizeof act->undoes, "%s", undoes);
  *a = (struct answer){0};
  store_act_add(n->store, act, on_act, a);
  until(n->loop, a->n);
  snprintf(act->id, sizeof act->id, "%.23s", a->names);
  act->keeps = kind != STORE_ACT_UNDO && !act->now;
}

static uint64_t act_ends(struct node *n, struct store_act *act, const struct answer *last) {
  struct answer a = {0};
  act->done = last->count;
  act->state = STORE_ACT_DONE;
  store_act_note(n->store, act, true, on_noted, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.more, "it has ended");
  act->state = STORE_ACT_RUNNING;
  return a.undo_ms;
}

static void act_whole(struct node *n, struct store_act *act, struct answer *a) {
  do slice(n, act, a);
  while (!a->rc && a->more);
  is_int(a->rc, STORE_OK, "its slices");
}

/* The lines that a server answers for the sets and the records of q/t. */
static void picture(const struct server *r, char *ret, size_t cap) {
  static const char *const lines[] = {"ZRANGE pb:{undo}:r:t 0 -1 WITHSCORES",
                                      "ZRANGE pb:{undo}:x:t 0 -1 WITHSCORES", "HLEN pb:{undo}:h:t",
                                      "HLEN pb:{undo}:b:t"};
  *ret = 0;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    size_t len = strlen(ret);
    redis(r, ret + len, cap - len, lines[i]);
  }
}

static void tidy(struct node *n, const struct server *r, struct store_act *act) {
  char text[4096], line[200];
  struct answer a = {0};
  store_act_claim(n->store, act->id, on_act, &a);
  until(n->loop, a.n);
  ok(!a.rc && !a.count, "while it can be undone nobody tidies it up");
  snprintf(line, sizeof line, "HSET pb:{@}:act:%s undo_ms 1 until 1", act->id);
  redis(r, text, sizeof text, line);
  a = (struct answer){0};
  store_act_claim(n->store, act->id, on_act, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.count, "then somebody does");
  do {
    a = (struct answer){0};
    store_act_tidy(n->store, act, on_slice, &a);
    until(n->loop, a.n);
  } while (!a.rc && a.more);
  a = (struct answer){0};
  store_act_tidied(n->store, act->id, on_count, &a);
  until(n->loop, a.n);
  is_int(redis_int(r, "SCARD pb:{@}:acts:begun"), 0, "nothing is kept any more");
  snprintf(line, sizeof line, "EXISTS pb:{undo}:undo:%s", act->id);
  is_int(redis_int(r, line), 0, "but the record");
}

static void a_purge_is_undone(struct node *n, const struct server *r, struct store_topic *t,
                              struct store_act act) {
  static char before[65536], after[65536];
  struct answer a;
  picture(r, before, sizeof before);
  act_new(n, &act, STORE_ACT_PURGE, "", &a);
  act_whole(n, &act, &a);
  is_int(a.count, 140, "all are purged");
  struct store_depth d = look(n, t);
  is_int(d.dead + d.retry, 0, "nothing is left in the sets");
  is_int(redis_int(r, "HLEN pb:{undo}:h:t"), 0, "nor a record that would be given a place again");
  is_int(redis_int(r, "HLEN pb:{undo}:b:t"), 140, "the bytes are kept");
  ok(act_ends(n, &act, &a) > 1, "it can be undone");
  struct store_act undo = act, again = act;
  act_new(n, &undo, STORE_ACT_UNDO, act.id, &a);
  is_int(a.rc, STORE_OK, "and is");
  act_new(n, &again, STORE_ACT_UNDO, act.id, &a);
  ok(a.rc == STORE_FULL && strstr(a.why, undo.id), "once: %s", a.why);
  act_whole(n, &undo, &a);
  ok(a.count == 140 && a.left == 0, "all are put back");
  slice(n, &undo, &a);
  ok(a.count == 140 && !a.more, "once");
  slice(n, &act, &a);
  ok(a.count == 140 && !a.more, "a slice that comes late does nothing");
  act_ends(n, &undo, &a);
  picture(r, after, sizeof after);
  is_str(after, before, "as they were");
  tidy(n, r, &act);
}

static void a_purge_is_final(struct node *n, const struct server *r, struct store_topic *t,
                             struct store_act act) {
  struct answer a;
  char text[4096], line[200];
  act.now = false;
  act_new(n, &act, STORE_ACT_PURGE, "", &a);
  act_whole(n, &act, &a);
  act_ends(n, &act, &a);
  tidy(n, r, &act);
  is_int(redis_int(r, "HLEN pb:{undo}:b:t"), 0, "the bytes are gone");
  struct store_act undo = act;
  snprintf(line, sizeof line, "HSET pb:{@}:act:%s undo_ms 1", act.id);
  redis(r, text, sizeof text, line);
  act_new(n, &undo, STORE_ACT_UNDO, act.id, &a);
  ok(a.rc == STORE_FULL && strstr(a.why, "any more"), "it cannot be undone: %s", a.why);
  act_new(n, &undo, STORE_ACT_UNDO, "1-2", &a);
  ok(a.rc == STORE_FULL && strstr(a.why, "no act"), "nor one that is not there: %s", a.why);
  is_int(look(n, t).dead, 0, "nothing is back");
}

static struct job *take_retry(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_take_due(t, 1, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  if (a.jobs.n != 1) bail_out("no job is due");
  return job_list_pop(&a.jobs);
}

static void a_replay_is_undone(struct node *n, const struct server *r, struct store_topic *t,
                               struct store_act act) {
  static char before[65536], after[65536];
  struct answer a;
  picture(r, before, sizeof before);
  act_new(n, &act, STORE_ACT_REPLAY, "", &a);
  act_whole(n, &act, &a);
  is_int(look(n, t).dead, 0, "all are replayed");
  act_ends(n, &act, &a);
  struct store_act undo = act;
  act_new(n, &undo, STORE_ACT_UNDO, act.id, &a);
  act_whole(n, &undo, &a);
  ok(a.count == 140 && a.left == 0, "and back");
  act_ends(n, &undo, &a);
  picture(r, after, sizeof after);
  is_str(after, before, "as they were");
  tidy(n, r, &act);
  /* One of them runs, one has failed since, one is done. */
  act_new(n, &act, STORE_ACT_REPLAY, "", &a);
  act_whole(n, &act, &a);
  act_ends(n, &act, &a);
  struct job *runs = take_retry(n, t), *fails = take_retry(n, t);
  settle(n, t, fails, STORE_RETRY, 1, "again");
  settle(n, t, take_retry(n, t), STORE_DONE, 0, NULL);
  act_new(n, &undo, STORE_ACT_UNDO, act.id, &a);
  act_whole(n, &undo, &a);
  ok(a.count == 137 && a.left == 3, "what has begun is left alone: %d, %d", (int)a.count,
     (int)a.left);
  act_ends(n, &undo, &a);
  settle(n, t, runs, STORE_DONE, 0, NULL);
  settle(n, t, take_retry(n, t), STORE_DONE, 0, NULL);
  tidy(n, r, &act);
}

/* @case V5: what was done to many jobs by mistake is undone */
static void test_undo(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "undo"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct store_act act = {.kind = STORE_ACT_PURGE, .set = STORE_SET_BOTH};
  struct answer a;
  char text[4096];
  strcpy(act.queue, "undo");
  strcpy(act.topic, "t");
  redis(r, text, sizeof text, "DEL pb:{@}:acts:begun");
  attach(n, t);
  for (int i = 0; i < 120; i++) dead_one(n, q, t, "dead", NULL);
  for (int i = 0; i < 20; i++) {
    add_to(n, q, "waits", NULL, &a);
    settle(n, t, take_one(n, t), STORE_RETRY, loop_wall_ms(n->loop) + 3600000, "x");
  }
  a_purge_is_undone(n, r, t, act);
  a_replay_is_undone(n, r, t, act);
  a_purge_is_final(n, r, t, act);
  store_topic_free(t);
  store_queue_free(q);
}

/* --- a filter --- */

static void dies(struct node *n, struct store_queue *q, struct store_topic *t, const char *text,
                 int code, const char *message, unsigned crashes) {
  struct answer a;
  add_to(n, q, text, NULL, &a);
  struct job *job = take_one(n, t);
  struct store_outcome o = {.verdict = STORE_DEAD, .code = code, .message = message};
  o.message_len = strlen(message);
  job->failed++;
  job->crashes = crashes;
  store_settle(t, job, &o);
  until(n->loop, !store_unsettled(t));
}

static uint64_t signature_id(int code, const char *message) {
  struct signature sig;
  signature_of(code, message, strlen(message), &sig);
  return sig.id;
}

/* Answers how many the act took. */
static uint64_t filtered(struct node *n, struct store_act *act, enum store_act_kind kind,
                         const struct store_filter *filter) {
  struct answer a;
  act->filtered = true;
  act->filter = *filter;
  act->set = filter->set;
  act_new(n, act, kind, "", &a);
  struct store_act *read = calloc(1, sizeof *read);
  store_act_find(n->store, act->id, on_whole_act, read);
  until(n->loop, *read->id);
  *act = *read;
  free(read);
  act_whole(n, act, &a);
  return a.count;
}

static void filters_take(struct node *n, struct store_topic *t, struct store_act act) {
  const struct {
    struct store_filter filter;
    uint64_t want;
    const char *name;
  } rows[] = {
      {{.set = STORE_SET_DEAD, .match = "TIMED out"}, 40, "part of the message"},
      {{.set = STORE_SET_DEAD, .has_code = true, .code = 503}, 60, "a code"},
      {{.set = STORE_SET_DEAD, .signature = signature_id(500, "order 17 timed out")},
       40,
       "a signature"},
      {{.set = STORE_SET_DEAD, .body = "two"}, 60, "part of the content"},
      {{.set = STORE_SET_QUARANTINE}, 7, "quarantine"},
      {{.set = STORE_SET_DEAD}, 100, "the dead ones are not in quarantine"},
      {{.set = STORE_SET_BOTH, .node = "nobody"}, 0, "a node"},
      {{.set = STORE_SET_BOTH, .attempts_min = 2}, 0, "attempts"},
      {{.set = STORE_SET_BOTH, .until_ms = 1}, 0, "time"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct answer a;
    struct store_act one = act, undo;
    uint64_t took = filtered(n, &one, i % 2 ? STORE_ACT_PURGE : STORE_ACT_REPLAY, &rows[i].filter);
    is_int(took, rows[i].want, "%s", rows[i].name);
    is_int(look(n, t).dead, 107 - rows[i].want, "no other job");
    slice(n, &one, &a);
    ok(a.count == rows[i].want && !a.more, "once");
    act_ends(n, &one, &a);
    undo = act;
    act_new(n, &undo, STORE_ACT_UNDO, one.id, &a);
    act_whole(n, &undo, &a);
    is_int(a.count, rows[i].want, "and undone");
    act_ends(n, &undo, &a);
    is_int(look(n, t).dead, 107, "they are back");
  }
}

/* A slice whose answer is lost, and a node from which the act was taken. */
static void a_late_look_acts_on_nothing(struct node *n, const struct server *r,
                                        struct store_topic *t, struct store_act act) {
  struct store_filter filter = {.set = STORE_SET_DEAD, .has_code = true, .code = 503};
  struct answer a, b = {0}, c = {0};
  char text[4096], line[200];
  act.filtered = true;
  act.filter = filter;
  act.set = STORE_SET_DEAD;
  act_new(n, &act, STORE_ACT_REPLAY, "", &a);
  store_act_slice(n->store, &act, on_slice, &b);
  store_act_slice(n->store, &act, on_slice, &c);
  until(n->loop, b.n && c.n);
  ok(b.count == 50 && c.count == 50, "two owners at a time take each job once: %d, %d",
     (int)b.count, (int)c.count);
  snprintf(line, sizeof line, "HSET pb:{some}:act:%s at \"\" phase s", act.id);
  redis(r, text, sizeof text, line);
  act_whole(n, &act, &a);
  is_int(a.count, 60, "all, and none twice when the look begins again");
  is_int(look(n, t).retry, 60, "none is lost");
  act_ends(n, &act, &a);
}

/* @case V5: a filter says which failed jobs an act takes */
static void test_filter(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "some"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000, .crashes = 3};
  const struct topic_settings *topics[] = {&ts};
  qs.topics = topics;
  qs.n_topics = 1;
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct store_act act = {.kind = STORE_ACT_REPLAY};
  strcpy(act.queue, "some");
  strcpy(act.topic, "t");
  attach(n, t);
  for (int i = 0; i < 40; i++) {
    char message[64];
    snprintf(message, sizeof message, "order %d timed out", i);
    dies(n, q, t, "one", 500, message, 0);
  }
  for (int i = 0; i < 60; i++) dies(n, q, t, "two", 503, "no database", 0);
  for (int i = 0; i < 7; i++) dies(n, q, t, "three", 500, "worker died", 3);
  filters_take(n, t, act);
  a_late_look_acts_on_nothing(n, r, t, act);
  store_topic_free(t);
  store_queue_free(q);
}

/* --- rate --- */

static uint64_t server_ms(const struct server *r) {
  char text[256];
  unsigned long long s = 0, us = 0;
  redis(r, text, sizeof text, "TIME");
  if (sscanf(text, "*2\r\n$%*d\r\n%llu\r\n$%*d\r\n%llu", &s, &us) != 2) bail_out("TIME");
  return s * 1000 + us / 1000;
}

static void test_rate(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "rate"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct store_act act = {.id = "rr", .kind = STORE_ACT_REPLAY, .set = STORE_SET_DEAD, .rate = 20};
  struct answer a;
  char text[4096], line[200];
  strcpy(act.queue, "rate");
  strcpy(act.topic, "t");
  attach(n, t);
  for (int i = 0; i < 100; i++) dead_one(n, q, t, "dead", NULL);
  uint64_t began = server_ms(r);
  slice(n, &act, &a);
  ok(a.count == 1 && a.more && a.next_due > 0 && a.next_due <= 100,
     "an act with a rate begins with one job: %d, %d", (int)a.count, (int)a.next_due);
  for (int i = 0; i < 10; i++) slice(n, &act, &a);
  uint64_t took = server_ms(r) - began;
  ok(a.count <= 1 + took * 20 / 1000 + 1, "asked again and again it gives no more: %d",
     (int)a.count);
  /* Nobody asked for ten seconds. */
  uint64_t before = a.count;
  snprintf(line, sizeof line, "HSET pb:{rate}:act:rr granted %" PRIu64, server_ms(r) - 10000);
  redis(r, text, sizeof text, line);
  slice(n, &act, &a);
  ok(a.count == before + 20, "what was not used is saved for one second: %d",
     (int)(a.count - before));
  before = a.count;
  snprintf(line, sizeof line, "HSET pb:{rate}:act:rr granted %" PRIu64, server_ms(r) + 100000);
  redis(r, text, sizeof text, line);
  slice(n, &act, &a);
  ok(a.count == before && a.next_due <= 1000, "a clock that goes back stops it for no longer: %d",
     (int)a.next_due);
  store_topic_free(t);
  store_queue_free(q);
}

/* --- ready jobs --- */

static void test_ready(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "rdy"};
  struct topic_settings one = {.name = "one", .queue = &qs, .timeout_ms = 1000};
  struct topic_settings two = {.name = "two", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &one), *other = store_topic_new(q, &two);
  struct store_act act = {.id = "re", .kind = STORE_ACT_PURGE, .set = STORE_SET_READY, .count = 0};
  struct answer a, b;
  strcpy(act.queue, "rdy");
  strcpy(act.topic, "one");
  attach(n, t);
  attach(n, other);
  add_to(n, q, "runs", NULL, &a);
  struct job *runs = take_one(n, t);
  for (int i = 0; i < 450; i++) add_to(n, q, "ready", NULL, &a);
  slice(n, &act, &a);
  ok(a.more && a.count > 0 && a.total == 450, "the first slice: %d of %d", (int)a.count,
     (int)a.total);
  add_to(n, q, "late", NULL, &b);
  do slice(n, &act, &a);
  while (a.more);
  is_int(a.count, 450, "what was ready when it began is gone");
  struct store_depth d = look(n, t);
  ok(d.ready == 1 && d.running == 1, "what runs and what came later is not");
  is_int(look(n, other).ready, 452, "the other topic has all of its jobs");
  slice(n, &act, &b);
  ok(b.count == 450 && !b.more, "a slice that is asked for again does nothing");
  settle(n, t, runs, STORE_DONE, 0, NULL);
  struct job *late = take_one(n, t);
  ok(late != NULL, "the later one is taken");
  settle(n, t, late, STORE_DONE, 0, NULL);
  (void)r;
  store_topic_free(other);
  store_topic_free(t);
  store_queue_free(q);
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
  test_undo(&b.n, &b.r);
  test_filter(&b.n, &b.r);
  test_rate(&b.n, &b.r);
  test_ready(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
