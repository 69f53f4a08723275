/* The groups of a queue's topics: each topic gets each job, whatever is lost. */
#include "store_fixture.h"

static void test_topics(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "fan"};
  struct topic_settings set[3] = {{.name = "a"}, {.name = "b"}, {.name = "late"}};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t[3];
  struct answer ans;
  struct job *job;
  for (int i = 0; i < 3; i++) {
    set[i].queue = &qs;
    set[i].timeout_ms = 1000;
    t[i] = store_topic_new(q, &set[i]);
  }
  attach(n, t[0]);
  attach(n, t[1]);
  for (int i = 0; i < 60; i++) add_to(n, q, "f", NULL, &ans);
  struct job_list held = {0};
  for (int i = 0; i < 30 && (job = take_one(n, t[0])); i++) job_list_push(&held, job);
  for (int i = 0; i < 60 && (job = take_one(n, t[1])); i++)
    settle(n, t[1], job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{fan}:s"), 60, "one of two topics had them: nothing is deleted");
  struct store_depth d = look(n, t[0]);
  ok(d.ready == 30 && d.running == 30, "30 ready, 30 running");
  attach(n, t[2]);
  d = look(n, t[2]);
  is_int(d.ready, 0, "a topic that comes late starts now");
  while ((job = job_list_pop(&held))) {
    struct store_outcome o = {.verdict = STORE_DONE};
    store_settle(t[0], job, &o);
  }
  until(n->loop, !store_unsettled(t[0]));
  is_int(redis_int(r, "XLEN pb:{fan}:s"), 30, "what both had is deleted");
  job = take_one(n, t[0]);
  settle(n, t[0], job, STORE_RETRY, 1, "x");
  is_int(redis_int(r, "XLEN pb:{fan}:s"), 29, "a retry holds its own copy");
  add_to(n, q, "g", NULL, &ans);
  is_int(look(n, t[2]).ready, 1, "the late topic gets the next one");
  ans = (struct answer){0};
  store_ask_depths(t, 3, on_depths, &ans);
  until(n->loop, ans.n);
  ok(ans.n == 1 && ans.count == 3 && !ans.rc, "three topics looked at in one question");
  for (int i = 0; i < 3; i++) {
    d = look(n, t[i]);
    d.next_due_ms = ans.depths[i].next_due_ms; /* "now", where it is due at once */
    ok(!memcmp(&d, &ans.depths[i], sizeof d), "topic %s: the same as alone (%d ready, %d waiting)",
       set[i].name, (int)d.ready, (int)d.retry);
  }
  store_topic_free(t[0]);
  ans = (struct answer){0};
  store_drop(n->store, q->name, "a", false, on_count, &ans);
  until(n->loop, ans.n);
  is_int(ans.count, 31, "dropped with 30 jobs and one retry");
  is_int(redis_int(r, "XLEN pb:{fan}:s"), 1, "what only it had not settled is deleted");
  redis_int(r, "XGROUP DESTROY pb:{fan}:s late");
  ans = (struct answer){0};
  store_ask_depths((struct store_topic *[]){t[1], t[2], t[2]}, 3, on_depths, &ans);
  until(n->loop, ans.n);
  ok(!ans.depths[0].no_group && ans.depths[1].no_group && !ans.depths[1].ready,
     "a group that is gone says nothing of its pause");
  store_topic_free(t[1]);
  store_topic_free(t[2]);
  store_queue_free(q);

  struct queue_settings kept = {.name = "kept", .retain_ms = 3600000};
  q = store_queue_new(n->store, &kept, (struct gateway){1, 2});
  t[0] = store_topic_new(q, &set[0]);
  attach(n, t[0]);
  add_to(n, q, "k", NULL, &ans);
  settle(n, t[0], take_one(n, t[0]), STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{kept}:s"), 1, "retain: nothing is deleted at once");
  struct store_add limit = {.max_length = 1};
  add_to(n, q, "k", &limit, &ans);
  is_int(ans.rc, STORE_OK, "and does not count for max_length");
  store_topic_free(t[0]);
  store_queue_free(q);
}

/* One job through topic a, asked until it comes; then what b, that was not there, gets of it. */
static void one_for_both(struct node *n, struct lossy *l, const char *what) {
  struct answer a;
  struct job *job = NULL;
  uint64_t id = add_to(n, l->q, "after", NULL, &a);
  is_int(a.rc, STORE_OK, "%s: a job is acknowledged", what);
  for (int i = 0; i < 10 && !job; i++) job = take_one(n, l->ta);
  ok(job && job->id == id, "%s: one topic runs it", what);
  if (job) settle(n, l->ta, job, STORE_DONE, 0, NULL);
  until(n->loop, !l->q->groups.asked);
  job = NULL;
  for (int i = 0; i < 10 && !job; i++) job = take_one(n, l->tb);
  ok(job && job->id == id, "%s: and it is there for the other", what);
  if (job) settle(n, l->tb, job, STORE_DONE, 0, NULL);
}

/* @case L1: a topic that is not enabled is a subscriber all the same.
 * @case R7: after the data was lost no acknowledged job passes a topic by. */
static void test_lost_groups(struct node *n, const struct server *r) {
  struct lossy l;
  struct answer a;
  char text[256];
  lossy_start(&l, n, "gone");
  one_for_both(n, &l, "a topic that is not enabled");
  a = (struct answer){0};
  store_pause(l.tb, true, "me", "why", on_count, &a);
  until(n->loop, a.n);
  redis(r, text, sizeof text, "XGROUP DESTROY pb:{gone}:s b");
  one_for_both(n, &l, "XGROUP DESTROY");
  redis(r, text, sizeof text, "DEL pb:{gone}:s");
  one_for_both(n, &l, "DEL of the stream");
  redis(r, text, sizeof text, "FLUSHALL");
  one_for_both(n, &l, "FLUSHALL");
  ok(look(n, l.tb).paused, "the pause is put back");
  is_int(redis_int(r, "HEXISTS pb:{gone}:p b"), 1, "in the storage too");
  redis(r, text, sizeof text, "FLUSHALL");
  add_to(n, l.q, "nobody takes", NULL, &a);
  until(n->loop, redis_int(r, "XLEN pb:{gone}:s") == 1 && look(n, l.ta).ready == 1);
  is_int(look(n, l.ta).ready, 1, "FLUSHALL: who looks sees that the group is gone");
  redis(r, text, sizeof text, "FLUSHALL");
  add_to(n, l.q, "nobody looks", NULL, &a);
  until(n->loop, redis_has(r, "XINFO GROUPS pb:{gone}:s", "$1\r\nb\r\n"));
  ok(redis_has(r, "XINFO GROUPS pb:{gone}:s", "$1\r\nb\r\n"), "and the sweep sees it by itself");
  ok(redis_has(r, "XINFO GROUPS pb:{gone}:s", "$1\r\n@\r\n"), "all jobs are kept for a while");
  l.q->groups.hold_until_ms = 1; /* which is over */
  until(n->loop, !redis_has(r, "XINFO GROUPS pb:{gone}:s", "$1\r\n@\r\n"));
  ok(!redis_has(r, "XINFO GROUPS pb:{gone}:s", "$1\r\n@\r\n"), "and then no longer");
  redis(r, text, sizeof text, "XGROUP CREATE pb:{gone}:s @ 0");
  redis(r, text, sizeof text, "ACL SETUSER default -xgroup|destroy");
  l.q->groups.hold_until_ms = 1;
  until(n->loop, l.q->groups.hold_until_ms > 1);
  ok(l.q->groups.hold_until_ms > 1, "where the storage refuses that, it is tried again");
  redis(r, text, sizeof text, "ACL SETUSER default +xgroup|destroy");
  lossy_end(&l);

  lossy_start(&l, n, "bare"); /* the node that knew of the groups is gone as well */
  redis(r, text, sizeof text, "DEL pb:{bare}:s");
  add_to(n, l.q, "early", NULL, &a);
  lossy_end(&l);
  redis(r, text, sizeof text, "XGROUP DESTROY pb:{bare}:s a");
  redis(r, text, sizeof text, "XGROUP DESTROY pb:{bare}:s b");
  a = (struct answer){0};
  store_drop(n->store, "bare", "stray", false, on_count, &a);
  until(n->loop, a.n);
  is_int(redis_int(r, "XLEN pb:{bare}:s"), 1,
         "a topic without a group is dropped: the jobs are not its own");
  ok(a.count == STORE_NOTHING, "there was nothing of it");
  lossy_start(&l, n, "bare");
  struct job *job = take_one(n, l.tb);
  ok(job && job->content_len == 5, "jobs and no group at all: they are for all topics");
  if (job) settle(n, l.tb, job, STORE_DONE, 0, NULL);
  lossy_end(&l);
}

/* @case L12: a topic that was dropped, or moved away, while this node still runs it begins where it
 * was dropped: nothing that it had runs again, and nothing that came since is left out. */
static void test_dropped_elsewhere(struct node *n, const struct server *r) {
  struct lossy l;
  struct answer a;
  struct job *job;
  lossy_start(&l, n, "drops");
  for (int i = 0; i < 3; i++) {
    add_to(n, l.q, "before", NULL, &a);
    settle(n, l.ta, take_one(n, l.ta), STORE_DONE, 0, NULL);
  }
  is_int(redis_int(r, "XLEN pb:{drops}:s"), 3, "kept for the other topic");
  a = (struct answer){0};
  store_drop(n->store, "drops", "a", false, on_count, &a);
  until(n->loop, a.n);
  uint64_t id = add_to(n, l.q, "since", NULL, &a);
  job = NULL;
  for (int i = 0; i < 10 && !job; i++) job = take_one(n, l.ta);
  ok(job && job->id == id, "it begins anew with what came since it was dropped");
  if (job) settle(n, l.ta, job, STORE_DONE, 0, NULL);
  ok(!take_one(n, l.ta), "and that is all");
  until(n->loop, !look(n, l.ta).ready_at_most);
  is_int(look(n, l.ta).ready, 0, "as its counts say");
  ok(!redis_has(r, "XINFO GROUPS pb:{drops}:s", "$1\r\n@\r\n"), "nobody takes it for lost data");
  lossy_end(&l);
}

/* @case L1: no job is acknowledged before the groups of all topics are there. */
static void test_groups_first(struct node *n, const struct server *r) {
  struct lossy l;
  struct answer a, b = {0};
  char text[256];
  redis(r, text, sizeof text, "ACL SETUSER default -xgroup");
  l = (struct lossy){.qs = {.name = "first"}, .st = {.name = "main"}};
  l.a = (struct topic_settings){.name = "a", .queue = &l.qs, .storage = &l.st, .enabled = 1};
  l.topics[0] = &l.a;
  l.qs.topics = l.topics;
  l.qs.n_topics = 1;
  l.q = store_queue_new(n->store, &l.qs, (struct gateway){1, 2});
  l.ta = store_topic_new(l.q, &l.a);
  add_to(n, l.q, "early", NULL, &a);
  is_int(a.rc, STORE_ERROR, "the group cannot be made: nothing is acknowledged (%s)", a.why);
  redis(r, text, sizeof text, "ACL SETUSER default +xgroup");
  until(n->loop, !l.q->groups.failed);
  add_to(n, l.q, "late", NULL, &a);
  is_int(a.rc, STORE_OK, "it is made as soon as it can be");
  store_topic_free(l.ta);
  store_queue_free(l.q);

  redis(r, text, sizeof text, "SCRIPT FLUSH");
  lossy_start(&l, n, "first2");
  redis(r, text, sizeof text, "SCRIPT FLUSH");
  struct topic_settings c = l.a;
  const struct topic_settings *three[3] = {&l.a, &l.b, &c};
  struct queue_settings more = l.qs;
  c.name = "c";
  more.topics = three;
  more.n_topics = 3;
  store_queue_update(l.q, &more);
  struct store_topic *tc = store_topic_new(l.q, &c);
  uint64_t id = add_to(n, l.q, "at once", NULL, &b);
  struct job *job = take_one(n, tc);
  ok(job && job->id == id, "a server that forgot its scripts: a new topic has its first job");
  if (job) settle(n, tc, job, STORE_DONE, 0, NULL);
  store_topic_free(tc);
  lossy_end(&l);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_topics(&b.n, &b.r);
  test_lost_groups(&b.n, &b.r);
  test_dropped_elsewhere(&b.n, &b.r);
  test_groups_first(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
