/* Edited copies of failed jobs, and failed jobs that come from elsewhere. */
#include "store_fixture.h"

static void fresh(struct answer *a) {
  *a = (struct answer){0};
}

static void find(struct node *n, struct store_topic *t, uint64_t id, struct answer *a) {
  fresh(a);
  store_find(t, id, on_records, a);
  until(n->loop, a->n);
}

static void edit(struct node *n, struct store_topic *t, enum store_set set, uint64_t id,
                 uint64_t to, const char *content, struct answer *a) {
  fresh(a);
  store_replay_edited(t, set, id, to, content, strlen(content), on_count, a);
  if (a->n) fail("an answer came from within the call");
  until(n->loop, a->n);
}

static void test_edit(struct node *n, const struct server *r, struct store_queue *q,
                      struct store_topic *t) {
  struct answer a;
  struct store_add own = {.head = {.own_retry = true, .retry_ms = 777}};
  uint64_t id = add_to(n, q, "misspelt", &own, &a);
  settle(n, t, take_one(n, t), STORE_DEAD, 0, "cannot read that");
  uint64_t to = id_mint(&n->ids, loop_wall_ms(n->loop));
  edit(n, t, STORE_SET_RETRY, id, to, "spelt", &a);
  is_int(a.count, 0, "a dead job is not among the retries");
  edit(n, t, STORE_SET_BOTH, id, to, "spelt", &a);
  ok(!a.rc && a.count == 1, "an edited copy takes its place");
  edit(n, t, STORE_SET_BOTH, id, to, "spelt", &a);
  ok(!a.rc && a.count == 1, "also when the answer was lost, once");
  find(n, t, id, &a);
  is_int(a.count, 0, "the job itself is gone");
  find(n, t, to, &a);
  ok(a.count == 1 && !a.record.dead && !a.record.failed && a.record.origin == id,
     "the copy waits, and says which job it was");
  is_str(a.message, "cannot read that", "and why that one failed");
  is_int(redis_int(r, "HLEN pb:{put}:b:t"), 1, "nothing else is left");
  struct job *job = due_one(n, t, NULL);
  ok(job && job->id == to && job->content_len == 5 && !memcmp(job->content, "spelt", 5) &&
         job->own_retry && job->retry_ms == 777,
     "it runs with the new content");
  edit(n, t, STORE_SET_BOTH, to, to + 1, "again", &a);
  is_int(a.count, 0, "a job that runs is not edited");
  job->failed++;
  struct store_outcome o = {.verdict = STORE_DEAD, .code = 500, .message = "x", .message_len = 1};
  store_settle(t, job, &o);
  until(n->loop, !store_unsettled(t));
  find(n, t, to, &a);
  ok(a.record.dead && a.record.origin == id, "its origin stays when it fails again");
  fresh(&a);
  store_purge(t, STORE_SET_DEAD, to, on_count, &a);
  until(n->loop, a.n);
}

static void on_imported(void *arg, enum store_rc rc, size_t imported, size_t there,
                        const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = imported;
  a->total = there;
}

static void import(struct node *n, struct store_topic *t, const struct store_import *jobs,
                   size_t count, struct answer *a) {
  fresh(a);
  store_import(t, jobs, count, on_imported, a);
  if (a->n) fail("an answer came from within the call");
  until(n->loop, a->n);
}

static void test_import(struct node *n, const struct server *r, struct store_topic *t) {
  struct answer a;
  uint64_t now = loop_wall_ms(n->loop);
  const struct store_import jobs[] = {
      {.id = 5,
       .dead = true,
       .failed = 3,
       .crashes = 1,
       .first_failed_ms = 1000,
       .failed_ms = 2000,
       .code = -7,
       .message = "broke",
       .message_len = 5,
       .node = "old",
       .content = "a\0b",
       .content_len = 3,
       .origin = 4},
      {.id = 6,
       .failed = 1,
       .due_ms = now + 3600000,
       .failed_ms = now + 9999999,
       .content = "",
       .node = ""},
  };
  import(n, t, jobs, 2, &a);
  ok(!a.rc && a.count == 2 && a.total == 0, "two are imported");
  import(n, t, jobs, 2, &a);
  ok(!a.rc && a.count == 0 && a.total == 2, "once");
  find(n, t, 5, &a);
  ok(a.record.dead && a.record.failed == 3 && a.record.crashes == 1 && a.record.code == -7 &&
         a.record.first_failed_ms == 1000 && a.record.failed_ms == 2000 &&
         a.record.due_ms == 2000 && a.record.size == 3 && a.record.origin == 4,
     "a dead job lies where it died");
  ok(!strcmp(a.message, "broke") && !strcmp(a.node, "old"), "its texts");
  find(n, t, 6, &a);
  ok(!a.record.dead && a.record.due_ms == now + 3600000 && a.record.failed_ms < now + 3600000,
     "a retry waits; its failure does not lie ahead");
  enum { N = STORE_IMPORT_MAX };
  struct store_import *many_jobs = calloc(N, sizeof *many_jobs);
  for (size_t i = 0; i < N; i++)
    many_jobs[i] = (struct store_import){
        .id = 1000 + i, .dead = true, .failed_ms = 1, .content = "c", .content_len = 1};
  import(n, t, many_jobs, N, &a);
  ok(!a.rc && a.count == N, "as many as one call takes");
  is_int(look(n, t).dead, N + 1, "all are there");
  import(n, t, many_jobs, 0, &a);
  ok(!a.rc && a.n == 1 && !a.count, "none at all");
  free(many_jobs);
  fresh(&a);
  store_replay(t, STORE_SET_DEAD, 5, on_count, &a);
  until(n->loop, a.n);
  struct job *job = due_one(n, t, NULL);
  ok(job && job->id == 5 && job->content_len == 3 && !memcmp(job->content, "a\0b", 3),
     "an imported job can run");
  import(n, t, jobs, 1, &a);
  is_int(a.total, 1, "a job that runs is there");
  job_free(job);
  char text[64];
  redis(r, text, sizeof text, "CONFIG SET maxmemory 1");
  const struct store_import one = {.id = 9, .content = ""};
  import(n, t, &one, 1, &a);
  ok(a.rc == STORE_ERROR && !a.count && *a.why, "a full storage says so");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  struct queue_settings qs = {.name = "put"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(b.n.store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  attach(&b.n, t);
  test_edit(&b.n, &b.r, q, t);
  test_import(&b.n, &b.r, t);
  store_topic_free(t);
  store_queue_free(q);
  bench_leave(&b);
  return bench_end(&b);
}
