/* Jobs that a node had in its hands come back, page by page, and through broken connections. */
#include "store_fixture.h"

/* Twelve jobs in the hands of a topic, seven of the stream and five retries; then they are taken
 * over, page after page. */
static void test_bounds(struct node *n) {
  struct queue_settings qs = {.name = "bounds"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  struct job *job;
  attach(n, t);
  for (int i = 0; i < 5; i++) {
    add_to(n, q, "some bytes more", NULL, &a);
    settle(n, t, take_one(n, t), STORE_RETRY, 1, "no");
  }
  a = (struct answer){0};
  store_take_due(t, 10, 25, on_due, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 2, "due ones by bytes: none after those that have so many");
  is_int(a.next_due, 1, "the next is due already");
  while ((job = job_list_pop(&a.jobs))) job_free(job);
  a = (struct answer){0};
  store_take_due(t, 10, 1, on_due, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 1, "the first always comes");
  while ((job = job_list_pop(&a.jobs))) job_free(job);
  a = (struct answer){0};
  store_take_due(t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 2, "and then the others");
  while ((job = job_list_pop(&a.jobs))) job_free(job);
  for (int i = 0; i < 7; i++) {
    add_to(n, q, "x", NULL, &a);
    job_free(take_one(n, t));
  }

  store_topic_free(t);
  t = store_topic_new(q, &ts);
  attach(n, t);
  size_t largest = 0, got = 0;
  unsigned crashes = 0;
  struct job_list all = {0};
  do {
    a = (struct answer){0};
    store_recover(t, NULL, 3, on_taken, &a);
    until(n->loop, a.n);
    if (a.jobs.n > largest) largest = a.jobs.n;
    for (; (job = job_list_pop(&a.jobs)); got++) {
      crashes += job->crashes;
      job_list_push(&all, job);
    }
  } while (a.more);
  is_int(largest, 3, "taken over in pages of three");
  ok(got == 12 && crashes == 12, "all of them, each once (%zu, %u crashes)", got, crashes);
  while ((job = job_list_pop(&all))) settle(n, t, job, STORE_DONE, 0, NULL);
  struct store_depth d = look(n, t);
  ok(!d.running && !d.retry && !d.dead, "and done");
  store_topic_free(t);
  store_queue_free(q);
}

/* --- connections that break at any moment: what was acknowledged is handled --- */

struct ledger {
  struct node *n;
  struct store_topic *t;
  struct store_queue *q;
  unsigned char *state; /* by content: 1 acknowledged, 2 handled, 4 handled again */
  unsigned total, added, answered, handled, unknown;
  unsigned ready;
  bool taking, due, recovering;
};

enum { LEDGER_ACKED = 1, LEDGER_DONE = 2, LEDGER_TWICE = 4 };

struct ledger_add {
  struct ledger *l;
  unsigned at;
};

static void ledger_added(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  struct ledger_add *a = arg;
  (void)id;
  (void)why;
  a->l->answered++;
  if (rc == STORE_OK) a->l->state[a->at] |= LEDGER_ACKED;
  if (rc == STORE_UNKNOWN) a->l->unknown++;
  free(a);
}

static void ledger_run(struct ledger *l, struct job_list *jobs) {
  for (struct job *job; (job = job_list_pop(jobs));) {
    unsigned at = (unsigned)atoi(job->content);
    struct store_outcome o = {.verdict = STORE_DONE};
    if (at % 5 == 0 && job->failed < 2) {
      job->failed++;
      o = (struct store_outcome){
          .verdict = STORE_RETRY, .due_ms = 1, .message = "again", .message_len = 5};
    } else {
      if (l->state[at] & LEDGER_DONE)
        l->state[at] |= LEDGER_TWICE;
      else
        l->handled++;
      l->state[at] |= LEDGER_DONE;
    }
    store_settle(l->t, job, &o);
  }
}

static void ledger_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                         const char *why) {
  struct ledger *l = arg;
  (void)rc;
  (void)more;
  (void)why;
  l->taking = false;
  ledger_run(l, jobs);
}

static void ledger_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due,
                       const char *why) {
  struct ledger *l = arg;
  (void)rc;
  (void)next_due;
  (void)why;
  l->due = false;
  ledger_run(l, jobs);
}

static void ledger_recovered(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                             const char *why) {
  struct ledger *l = arg;
  (void)why;
  l->recovering = false;
  if (rc || more) l->ready = 0; /* ask again */
  ledger_run(l, jobs);
}

static void ledger_turn(struct ledger *l) {
  struct node *n = l->n;
  for (int i = 0; i < 20 && l->added < l->total && l->added - l->answered < 100; i++) {
    struct ledger_add *a = malloc(sizeof *a);
    char text[100];
    int len = snprintf(text, sizeof text, "%u ", l->added);
    struct store_add add = {.content = text, .content_len = (size_t)len + 1};
    *a = (struct ledger_add){l, l->added++};
    add.head.id = add.head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
    store_add(l->q, &add, ledger_added, a);
  }
  if (n->state == STORE_READY && l->ready != n->ready && !l->recovering) {
    l->ready = n->ready;
    l->recovering = true;
    store_recover(l->t, NULL, 50, ledger_recovered, l);
  }
  if (!l->taking) {
    l->taking = true;
    store_take(l->t, 30, ledger_taken, l);
  }
  if (!l->due) {
    l->due = true;
    store_take_due(l->t, 30, 1 << 30, ledger_due, l);
  }
  loop_turn(n->loop, 1);
}

static void test_broken(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "broken"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 60000};
  struct ledger l = {.n = n, .total = 20000};
  struct store_stats stats;
  char text[256];
  unsigned kills = 0, lost = 0, twice = 0, sent;
  l.q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  l.t = store_topic_new(l.q, &ts);
  l.state = calloc(l.total, 1);
  attach(n, l.t);
  uint64_t next = loop_clock_ms() + 20, end = loop_clock_ms() + WAIT_MS;
  const uint64_t enough = loop_clock_ms() + 15000;
  while ((l.answered < l.total || kills <= 3) && loop_clock_ms() < end) {
    if (loop_clock_ms() >= next && l.added > 0) {
      /* The first of the breaks meets adds that wait at the server, the others what they meet. */
      if (!kills) {
        redis(r, text, sizeof text, "CLIENT PAUSE 60000 WRITE");
        sent = l.added;
        while (l.added == sent && loop_clock_ms() < end) ledger_turn(&l);
      }
      redis(r, text, sizeof text, "CLIENT KILL TYPE normal SKIPME yes");
      if (!kills) redis(r, text, sizeof text, "CLIENT UNPAUSE");
      kills++;
      next = loop_clock_ms() + 30;
    }
    if (loop_clock_ms() >= enough) l.total = l.added; /* on a slow machine */
    ledger_turn(&l);
  }
  is_int(l.answered, l.total, "each add is answered");
  struct answer a;
  struct store_depth d;
  end = loop_clock_ms() + WAIT_MS;
  do {
    for (unsigned idle = 0; idle < 300 && loop_clock_ms() < end;) {
      unsigned before = l.handled;
      ledger_turn(&l);
      idle = before == l.handled && !store_unsettled(l.t) && n->state == STORE_READY ? idle + 1 : 0;
    }
    a = (struct answer){0};
    store_ask_depth(l.t, on_depth, &a);
    until(n->loop, a.n);
    d = a.depth;
  } while ((a.rc || d.ready || d.running || d.retry) && loop_clock_ms() < end);
  until(n->loop, !l.taking && !l.due && !l.recovering && !store_unsettled(l.t));
  for (unsigned i = 0; i < l.total; i++) {
    lost += (l.state[i] & (LEDGER_ACKED | LEDGER_DONE)) == LEDGER_ACKED;
    twice += (l.state[i] & LEDGER_TWICE) != 0;
  }
  store_stats(n->store, &stats);
  diag("%u jobs, %u breaks, %u unknown, %u twice, %llu reconnects", l.total, kills, l.unknown,
       twice, (unsigned long long)stats.reconnects);
  ok(kills > 3 && l.unknown > 0, "connections were broken with adds on the way");
  is_int(lost, 0, "no acknowledged job is lost");
  is_int(twice, 0, "and none is handled twice: this node knows what it holds");
  d = look(n, l.t);
  ok(!d.ready && !d.running && !d.retry && !d.dead, "nothing is left over (%llu %llu %llu %llu)",
     (unsigned long long)d.ready, (unsigned long long)d.running, (unsigned long long)d.retry,
     (unsigned long long)d.dead);
  is_int(redis_int(r, "XLEN pb:{broken}:s"), 0, "the stream is empty");
  free(l.state);
  store_topic_free(l.t);
  store_queue_free(l.q);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_bounds(&b.n);
  test_broken(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
