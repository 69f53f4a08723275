/* Which node has jobs where: nodes and consumers that nobody knows; jobs without a place. */
#include "store_fixture.h"

/* A census of its own, with haste: one under way may have passed what the test looks at. */
static void census_again(struct node *n) {
  struct store_census *c = &n->store->census;
  until(n->loop, !c->now || (timer_start(&c->timer, 0), false));
  c->ended_ms = 0;
  timer_start(&c->timer, 0);
}

static void what_a_node_lacks_is_told(struct node *n, const struct server *r, struct store_queue *q,
                                      struct store_topic *t) {
  struct answer a;
  char text[8192], line[256];
  redis(r, text, sizeof text, "XGROUP DELCONSUMER pb:{census}:s t act:1");
  /* An entry that was read for this node, with an answer that it never got. */
  add_to(n, q, "3", NULL, &a);
  snprintf(line, sizeof line, "XREADGROUP GROUP t %s COUNT 1 STREAMS pb:{census}:s >",
           n->server.node);
  redis(r, text, sizeof text, line);
  census_again(n);
  until(n->loop, n->missing);
  ok(n->missing > 0, "what it lacks is told");
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 1, "and comes by a recovery");
  settle(n, t, job_list_pop(&a.jobs), STORE_DONE, 0, NULL);
}

static void a_claim_has_no_end(struct node *n, const struct server *r, struct store_queue *q,
                               struct store_topic *t) {
  struct answer a;
  struct job *job;
  char text[8192], line[256];
  /* @case T1: a claim has no end of its own. */
  add_to(n, q, "4", NULL, &a);
  settle(n, t, take_one(n, t), STORE_RETRY, 1, "x");
  job = due_one(n, t, NULL);
  snprintf(line, sizeof line, "ZADD pb:{census}:r:t 1 %" PRIu64, job->id);
  redis(r, text, sizeof text, line);
  a = (struct answer){0};
  store_take_due(t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  ok(!a.jobs.n && a.next_due > loop_wall_ms(n->loop), "a claim is left to its node, however old");
  settle(n, t, job, STORE_DONE, 0, NULL);
}

/* @case R3: jobs of a node that no registry knows are found. @case R11: consumers go. */
static void test_census(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "census"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 60000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  struct job *job;
  char text[8192], line[256];
  attach(n, t);
  add_to(n, q, "1", NULL, &a);
  add_to(n, q, "2", NULL, &a);
  redis(r, text, sizeof text, "XREADGROUP GROUP t ghost COUNT 1 STREAMS pb:{census}:s >");
  settle(n, t, take_one(n, t), STORE_RETRY, 1, "x");
  add_to(n, q, "0", NULL, &a);
  redis(r, text, sizeof text, "XREADGROUP GROUP t act:1 COUNT 1 STREAMS pb:{census}:s >");
  job = due_one(n, t, NULL);
  snprintf(line, sizeof line, "HSET pb:{census}:c:t %" PRIu64 " shade", job->id);
  redis(r, text, sizeof text, line);
  for (int i = 0; i < 250; i++) {
    snprintf(line, sizeof line, "XGROUP CREATECONSUMER pb:{census}:s t pod-%d", i);
    redis(r, text, sizeof text, line);
  }
  census_again(n);
  until(n->loop, redis_int(r, "HEXISTS pb:{@}:nodes ghost") == 1);
  is_int(redis_int(r, "HEXISTS pb:{@}:nodes ghost"), 1, "a consumer with jobs enters the registry");
  is_int(redis_int(r, "HEXISTS pb:{@}:nodes shade"), 1, "and so does the owner of a claim");
  is_int(redis_int(r, "HEXISTS pb:{@}:nodes act:1"), 0, "what an act reads is the act's");
  redis(r, text, sizeof text, "XINFO CONSUMERS pb:{census}:s t");
  unlike(text, "pod-", "consumers of nobody are deleted");
  like(text, "ghost", "but not with jobs");
  is_int(n->missing, 0, "what this node has it has");

  /* It is dead; its job is taken over, and what it says of it later is refused. */
  redis(r, text, sizeof text, "HSET pb:{@}:beats ghost left shade left");
  a = (struct answer){0};
  store_recover(t, "ghost", 10, on_taken, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 1, "its job is taken over");
  struct job *over = job_list_pop(&a.jobs);
  is_int(over->source, JOB_FROM_RETRY, "as a claim");
  is_int(over->crashes, 1, "one crash counted");
  is_int(redis_int(r, "XLEN pb:{census}:s"), 1, "its entry is gone, so nobody can settle it twice");
  is_int(look(n, t).running, 3, "both run");
  struct store_outcome o = {.verdict = STORE_DONE};
  struct store_stats was, st;
  store_stats(n->store, &was);
  store_settle(t, job, &o);
  until(n->loop, !store_unsettled(t));
  store_stats(n->store, &st);
  is_int(st.late - was.late, 1, "the outcome of a job that another node has is late");
  a = (struct answer){0};
  store_recover(t, "shade", 10, on_taken, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 1, "the claim is taken over, too");
  settle(n, t, job_list_pop(&a.jobs), STORE_DONE, 0, NULL);
  settle(n, t, over, STORE_DONE, 0, NULL);
  until(n->loop, redis_int(r, "HEXISTS pb:{@}:nodes ghost") == 0 &&
                     redis_int(r, "HEXISTS pb:{@}:nodes shade") == 0);
  redis(r, text, sizeof text, "HKEYS pb:{@}:nodes");
  unlike(text, "ghost|shade", "with nothing left they go");

  what_a_node_lacks_is_told(n, r, q, t);
  a_claim_has_no_end(n, r, q, t);
  store_topic_free(t);
  store_queue_free(q);
}

/* @case R7: a retry set or a set of dead jobs that was deleted by hand: their jobs get a place
 * again. */
static void test_sets_deleted(struct node *n, const struct server *r) {
  struct lossy l;
  struct answer a;
  struct job *job, *runs;
  char text[256];
  lossy_start(&l, n, "sets");
  l.a.attempts = 3;
  l.a.crashes = 2;
  for (int i = 0; i < 5; i++) {
    add_to(n, l.q, "waits", NULL, &a);
    settle(n, l.ta, take_one(n, l.ta), STORE_RETRY, 1, "no");
  }
  for (int i = 0; i < 2; i++) {
    add_to(n, l.q, "dead", NULL, &a);
    job = take_one(n, l.ta);
    job->failed = 2;
    settle(n, l.ta, job, STORE_DEAD, 0, "no");
  }
  a = (struct answer){0};
  store_take_due(l.ta, 1, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  runs = job_list_pop(&a.jobs);
  struct store_depth was = look(n, l.ta);
  ok(runs && was.retry == 4 && was.dead == 2 && was.running == 1,
     "one runs, four wait, two are dead");
  redis(r, text, sizeof text, "DEL pb:{sets}:r:a pb:{sets}:x:a");
  census_again(n);
  until(n->loop,
        redis_int(r, "ZCARD pb:{sets}:r:a") == 5 && redis_int(r, "ZCARD pb:{sets}:x:a") == 2);
  struct store_depth d = look(n, l.ta);
  ok(d.retry == 4 && d.dead == 2 && d.running == 1, "all are where they were");
  settle(n, l.ta, runs, STORE_DONE, 0, NULL);
  a = (struct answer){0};
  store_take_due(l.ta, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 4, "those that wait are due");
  while ((job = job_list_pop(&a.jobs))) settle(n, l.ta, job, STORE_DONE, 0, NULL);
  ok(redis_int(r, "HLEN pb:{sets}:b:a") == 2 && !due_one(n, l.ta, NULL), "each runs once");
  lossy_end(&l);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_census(&b.n, &b.r);
  test_sets_deleted(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
