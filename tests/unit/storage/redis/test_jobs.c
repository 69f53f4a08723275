/* One job, wherever it is: found, listed, cancelled. */
#include "store_fixture.h"

struct seen {
  unsigned n;
  enum store_rc rc;
  size_t count;
  bool whole;
  char text[1024]; /* "topic place node" of each, or "content" of each */
  char next[STORE_LIST_FROM_MAX], node[64];
  struct store_job_at last;
  enum store_cancelled what;
};

struct setup {
  struct node *n;
  const struct server *r;
  struct queue_settings qs;
  struct topic_settings a, b;
  const struct topic_settings *topics[2];
  struct store_queue *q;
  struct store_topic *ta, *tb;
};

static void setup(struct setup *s, struct node *n, const struct server *r, const char *queue) {
  *s = (struct setup){.n = n, .r = r, .qs = {.name = queue}};
  s->a = (struct topic_settings){.name = "a", .queue = &s->qs, .timeout_ms = 1000, .crashes = 2};
  s->b = s->a;
  s->b.name = "b";
  s->topics[0] = &s->a;
  s->topics[1] = &s->b;
  s->qs.topics = s->topics;
  s->qs.n_topics = 2;
  s->q = store_queue_new(n->store, &s->qs, (struct gateway){1, 2});
  s->ta = store_topic_new(s->q, &s->a);
  s->tb = store_topic_new(s->q, &s->b);
  attach(n, s->ta);
  attach(n, s->tb);
}

static void setup_done(struct setup *s) {
  store_topic_free(s->ta);
  store_topic_free(s->tb);
  store_queue_free(s->q);
}

static void add_text(struct seen *s, const char *text) {
  size_t len = strlen(s->text);
  snprintf(s->text + len, sizeof s->text - len, "%s%s", len ? ", " : "", text);
}

static void on_places(void *arg, enum store_rc rc, const struct store_job_at *p, size_t n,
                      bool whole, const char *why) {
  struct seen *s = arg;
  (void)why;
  s->n++;
  s->rc = rc;
  s->count = n;
  s->whole = whole;
  for (size_t i = 0; i < n; i++) {
    char text[128];
    snprintf(text, sizeof text, "%s %s%s%s", *p[i].topic ? p[i].topic : "-",
             store_places[p[i].place], *p[i].node ? " " : "", p[i].node);
    add_text(s, text);
    s->last = p[i];
  }
}

static void on_listed_jobs(void *arg, enum store_rc rc, const struct store_job_at *jobs, size_t n,
                           const char *next, const char *why) {
  struct seen *s = arg;
  (void)why;
  s->n++;
  s->rc = rc;
  s->count += n;
  snprintf(s->next, sizeof s->next, "%s", next);
  for (size_t i = 0; i < n; i++) {
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)jobs[i].content_len, jobs[i].content);
    add_text(s, text);
    s->last = jobs[i];
    snprintf(s->node, sizeof s->node, "%s", jobs[i].node);
  }
}

static void on_cancel(void *arg, enum store_rc rc, enum store_cancelled what, const char *node,
                      const char *why) {
  struct seen *s = arg;
  (void)why;
  s->n++;
  s->rc = rc;
  s->what = what;
  snprintf(s->node, sizeof s->node, "%s", node);
}

static const char *where(struct setup *x, uint64_t id, struct seen *s) {
  *s = (struct seen){0};
  store_find_job(x->q, id, on_places, s);
  if (s->n) fail("an answer came from within the call");
  until(x->n->loop, s->n);
  return s->text;
}

static enum store_cancelled cancel(struct setup *x, const char *topic, uint64_t id,
                                   struct seen *s) {
  *s = (struct seen){0};
  store_cancel(x->q, topic, id, "mia", on_cancel, s);
  until(x->n->loop, s->n);
  if (s->rc) fail("cancel");
  return s->what;
}

/* Page after page, of `count` jobs each. */
static const char *list(struct setup *x, enum store_place place, size_t count, struct seen *s) {
  *s = (struct seen){0};
  for (int i = 0; i < 50; i++) {
    char from[STORE_LIST_FROM_MAX];
    snprintf(from, sizeof from, "%s", s->next);
    s->n = 0;
    store_list_jobs(x->ta, place, from, count, 8, on_listed_jobs, s);
    until(x->n->loop, s->n);
    if (s->rc) fail("list");
    if (!*s->next) return s->text;
  }
  fail("a list without an end");
  return s->text;
}

static void test_find(struct node *n, const struct server *r) {
  struct setup x;
  struct seen s;
  struct answer a;
  setup(&x, n, r, "find");
  uint64_t id = add_to(n, x.q, "one", NULL, &a);
  is_str(where(&x, id, &s), "a ready, b ready", "a new job is ready for both");
  ok(s.whole && s.last.since_ms > 1500000000000, "it tells since when");
  struct job *job = take_one(n, x.ta);
  is_str(where(&x, id, &s), "a running web1, b ready", "one topic runs it");
  settle(n, x.ta, job, STORE_DONE, 0, NULL);
  is_str(where(&x, id, &s), "a settled, b ready", "and is done with it");
  settle(n, x.tb, take_one(n, x.tb), STORE_RETRY, 5, "x");
  is_str(where(&x, id, &s), "b retry", "what all have had is gone from the stream");
  ok(s.last.due_ms == 5 && s.last.times == 1, "it is due, after one attempt");
  job = due_one(n, x.tb, NULL);
  is_str(where(&x, id, &s), "b running web1", "a retry runs");
  settle(n, x.tb, job, STORE_DEAD, 0, "x");
  is_str(where(&x, id, &s), "b dead", "it is dead");
  id = add_to(n, x.q, "two", NULL, &a);
  job_free(take_one(n, x.tb));
  job = take_one(n, x.ta);
  job->crashes = 2;
  settle(n, x.ta, job, STORE_DEAD, 0, "x");
  is_str(where(&x, id, &s), "a quarantine, b running web1", "it took two nodes with it");
  struct store_add later = {.delay_ms = 3600000};
  id = add_to(n, x.q, "later", &later, &a);
  is_str(where(&x, id, &s), "- delayed", "a delayed job");
  is_str(where(&x, id + 1, &s), "", "a job that nobody knows");
  ok(s.whole, "that is certain");
  setup_done(&x);
}

static void test_list(struct node *n, const struct server *r) {
  static const char *const texts[] = {"j1", "j2", "j3", "j4", "j5"};
  struct setup x;
  struct seen s;
  struct answer a;
  setup(&x, n, r, "list");
  for (size_t i = 0; i < 5; i++) add_to(n, x.q, texts[i], NULL, &a);
  for (size_t count = 1; count < 7; count += 2)
    is_str(list(&x, STORE_JOB_READY, count, &s), "j1, j2, j3, j4, j5", "ready jobs by %zu", count);
  ok(s.last.since_ms && s.last.size == 2 && s.last.id == a.id, "the facts of one");
  struct job *one = take_one(n, x.ta), *two = take_one(n, x.ta);
  is_str(list(&x, STORE_JOB_READY, 2, &s), "j3, j4, j5", "without those that run");
  settle(n, x.ta, one, STORE_RETRY, 1, "x");
  one = due_one(n, x.ta, NULL);
  for (size_t count = 1; count < 4; count++)
    is_str(list(&x, STORE_JOB_RUNNING, count, &s), "j2, j1", "running jobs by %zu", count);
  is_str(s.node, "web1", "on which node");
  settle(n, x.ta, one, STORE_DONE, 0, NULL);
  settle(n, x.ta, two, STORE_DONE, 0, NULL);
  is_str(list(&x, STORE_JOB_RUNNING, 5, &s), "", "nothing runs");
  for (size_t i = 0; i < 5; i++) {
    struct store_add later = {.delay_ms = 3600000 + 1000 * i};
    add_to(n, x.q, texts[i], &later, &a);
  }
  for (size_t count = 1; count < 7; count += 2)
    is_str(list(&x, STORE_JOB_DELAYED, count, &s), "j1, j2, j3, j4, j5", "delayed ones by %zu",
           count);
  ok(s.last.due_ms > loop_wall_ms(n->loop), "when it is due");
  add_to(n, x.q, "a long content", NULL, &a);
  list(&x, STORE_JOB_READY, 9, &s);
  ok(s.last.size == 14 && s.last.content_len == 8, "of a content so much as is asked for");
  setup_done(&x);
}

static void test_cancel(struct node *n, const struct server *r) {
  struct setup x;
  struct seen s;
  struct answer a;
  setup(&x, n, r, "cancel");
  struct store_add later = {.delay_ms = 3600000};
  uint64_t id = add_to(n, x.q, "later", &later, &a);
  is_int(cancel(&x, NULL, id, &s), STORE_CANCEL_DELAYED, "a delayed job is deleted");
  is_int(redis_int(r, "HLEN pb:{cancel}:j"), 0, "with its bytes");
  is_int(cancel(&x, NULL, id, &s), STORE_CANCEL_NONE, "once");
  add_to(n, x.q, "first", NULL, &a);
  id = add_to(n, x.q, "ready", NULL, &a);
  add_to(n, x.q, "last", NULL, &a);
  is_int(cancel(&x, NULL, id, &s), STORE_CANCEL_READY, "a job that nobody has taken is deleted");
  is_str(list(&x, STORE_JOB_READY, 9, &s), "first, last", "the others stay");
  is_int(look(n, x.ta).ready, 2, "and are counted right");
  struct job *job = take_one(n, x.ta);
  is_int(cancel(&x, NULL, job->id, &s), STORE_CANCEL_RUNNING, "a job that runs is not cancelled");
  is_str(s.node, "web1", "it says where it runs");
  id = job->id;
  settle(n, x.ta, job, STORE_RETRY, 1, "x");
  is_int(cancel(&x, "b", id, &s), STORE_CANCEL_TAKEN, "it waits for b, but a has it");
  job = due_one(n, x.ta, NULL);
  is_int(cancel(&x, "a", id, &s), STORE_CANCEL_RUNNING, "a retry that runs");
  settle(n, x.ta, job, STORE_RETRY, 1, "x");
  is_int(cancel(&x, "a", id, &s), STORE_CANCEL_RETRY, "a waiting retry");
  a = (struct answer){0};
  store_find(x.ta, id, on_records, &a);
  until(n->loop, a.n);
  ok(a.record.dead && a.record.failed == 2 && a.record.code == STORE_CANCEL_CODE,
     "it is dead, its attempts are counted");
  is_str(a.message, "cancelled by mia", "it says by whom");
  job = take_one(n, x.tb);
  ok(job && job->id == id, "the other topic runs it");
  settle(n, x.tb, job, STORE_DONE, 0, NULL);
  for (int i = 0; i < 2; i++)
    settle(n, i ? x.tb : x.ta, take_one(n, i ? x.tb : x.ta), STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{cancel}:s"), 0, "nothing is left in the stream");
  setup_done(&x);
}

static void take_many(struct setup *x, struct store_topic *t, size_t count) {
  struct answer a = {0};
  store_take(t, count, on_taken, &a);
  until(x->n->loop, a.n);
  for (struct job *job; (job = job_list_pop(&a.jobs));)
    store_settle(t, job, &(struct store_outcome){.verdict = STORE_DONE});
  until(x->n->loop, !store_unsettled(t));
}

/* Redis does not tell how many are ready while a deleted entry lies ahead. Counting them again and
 * again would not help. */
static void test_count(struct node *n, const struct server *r) {
  struct setup x;
  struct seen s;
  struct answer a;
  uint64_t id = 0;
  setup(&x, n, r, "holes");
  for (size_t i = 0; i < 400; i++) {
    uint64_t one = add_to(n, x.q, "x", NULL, &a);
    if (i == 250) id = one;
  }
  take_many(&x, x.ta, 120);
  is_int(cancel(&x, NULL, id, &s), STORE_CANCEL_READY, "a job in the middle is cancelled");
  struct store_depth d = look(n, x.ta);
  ok(d.ready_at_most && d.ready >= 279 && d.ready <= 399, "an upper bound is told");
  ok(!x.q->count.n, "nobody counts for nothing");
  take_many(&x, x.ta, 150);
  d = look(n, x.ta);
  until(n->loop, !look(n, x.ta).ready_at_most);
  is_int(look(n, x.ta).ready, 129, "behind it the count is right again");
  setup_done(&x);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_find(&b.n, &b.r);
  test_list(&b.n, &b.r);
  test_cancel(&b.n, &b.r);
  test_count(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
