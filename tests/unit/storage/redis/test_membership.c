/* Several nodes of one storage: leases, who is dead, wake-ups, take-overs. */
#include "store_fixture.h"

/* A process that holds a node's name and one job, until it is killed. */
static pid_t fork_node(const struct server *r, const char *name, const char *instance,
                       unsigned shard, int *fd) {
  int fds[2];
  if (pipe(fds)) bail_out("pipe");
  pid_t pid = fork();
  if (pid) {
    close(fds[1]);
    *fd = fds[0];
    return pid;
  }
  struct log *log = log_new(2);
  struct loop *loop = loop_new(log);
  struct node n = {0};
  struct queue_settings qs = {.name = "nodes"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 60000};
  node_start(&n, loop, r, name, instance, shard);
  until(loop, n.ready);
  struct store_queue *q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  attach(&n, t);
  struct job *job = take_one(&n, t);
  struct job *retry = due_one(&n, t, NULL);
  char c = job && retry ? 'y' : 'n';
  if (write(fds[1], &c, 1) != 1) _exit(1);
  for (;;) loop_turn(loop, 1000);
}

static char fork_wait(int fd) {
  char c = 0;
  if (read(fd, &c, 1) != 1) c = 0;
  close(fd);
  return c;
}

static void names_and_shards_have_one_node(struct node *n, const struct server *r,
                                           struct node *third) {
  struct answer a;
  node_start(third, n->loop, r, "web2", "three", 9);
  until(n->loop, third->name_taken);
  is_int(third->name_taken, 1, "its living namesake is told to stop");
  is_int(third->state, STORE_REFUSED, "and refused");
  store_free(third->store);
  node_start(third, n->loop, r, "web3", "three", 6);
  until(n->loop, third->shard_taken);
  is_int(third->shard_taken, 1, "a shard belongs to one living node");
  store_claim_shard(third->store, 11);
  until(n->loop, third->ready);
  is_int(third->state, STORE_READY, "with another it is fine");
  a = (struct answer){0};
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
  is_int(a.count, 3, "three nodes live");
}

static void a_successor_takes_over(struct node *n, const struct server *r,
                                   struct topic_settings *ts, struct queue_settings *qs) {
  struct answer a;
  struct job *job;
  uint64_t began = loop_clock_ms(), mark = loop_wall_ms(n->loop) + 60000 * 3 / 4;
  struct node again = {0};
  char text[256], line[80];
  again.st.lease_ms = 60000;
  /* As its last renewal has left it, a moment before the end. */
  snprintf(line, sizeof line, "HSET pb:{@}:marks 6 %llu", (unsigned long long)mark);
  redis(r, text, sizeof text, line);
  node_start(&again, n->loop, r, "web2", "four", 6);
  until(n->loop, again.ready);
  ok(again.state == STORE_READY && loop_clock_ms() - began < LEASE_MS / 2,
     "a killed node's successor of the same name takes over at once");
  ok(store_id_mark(again.store) == mark, "and knows which ids are used");
  redis(r, text, sizeof text, "HGET pb:{@}:marks 6");
  ok(strchr(text, '\n') && strtoull(strchr(text, '\n') + 1, NULL, 10) > mark,
     "and the one after it will know which ids this one has used");
  struct store_queue *q2 = store_queue_new(again.store, qs, (struct gateway){1, 2});
  struct store_topic *t2 = store_topic_new(q2, ts);
  attach(&again, t2);
  unsigned crashes = 0, jobs = 0;
  do {
    a = (struct answer){0};
    store_recover(t2, NULL, 10, on_taken, &a);
    until(n->loop, a.n);
    for (; (job = job_list_pop(&a.jobs)); jobs++) {
      crashes += job->crashes;
      job_free(job);
    }
  } while (a.more);
  ok(jobs == 2 && crashes == 2, "with its pending job and its claimed retry, crashes counted");
  store_topic_free(t2);
  store_queue_free(q2);
  store_leave(again.store); /* with both still in its hands */
  until(n->loop, store_idle(again.store));
  store_free(again.store);
}

static void the_others_take_over(struct node *n, const struct server *r, struct store_topic *t) {
  struct answer a;
  struct job *job;
  unsigned jobs, crashes;
  n->died[0] = 0;
  until(n->loop, *n->died);
  is_str(n->died, "web2", "the others hear of a node that is gone");
  jobs = crashes = 0;
  struct job_list list = {0};
  do {
    a = (struct answer){0};
    store_recover(t, "web2", 10, on_taken, &a);
    until(n->loop, a.n);
    for (; (job = job_list_pop(&a.jobs)); jobs++) {
      crashes += job->crashes;
      job_list_push(&list, job);
    }
  } while (a.more);
  ok(jobs == 2 && crashes == 4, "and take its jobs over (%u jobs, %u crashes)", jobs, crashes);
  while ((job = job_list_pop(&list))) settle(n, t, job, STORE_DONE, 0, NULL);
  until(n->loop, redis_int(r, "HEXISTS pb:{@}:nodes web2") == 0);
  is_int(redis_int(r, "HEXISTS pb:{@}:nodes web2"), 0, "then it is forgotten");
}

static void another_node_is_woken(struct node *n, const struct server *r, struct store_queue *q,
                                  struct store_topic *t, struct node *third) {
  struct answer a;
  /* By the message: a sweep would tell both of them. */
  until(n->loop, link_is_up(third->store->sub));
  timer_stop(&n->store->sweep.timer);
  timer_stop(&third->store->sweep.timer);
  look(n, t); /* behind it nothing of an earlier sweep is on the way */
  a = (struct answer){0};
  store_nodes(third->store, on_nodes, &a);
  until(n->loop, a.n);
  unsigned before = third->woken, own = n->woken;
  add_to(n, q, "w", NULL, &a);
  until(n->loop, third->woken > before);
  ok(third->woken > before, "another node is woken");
  look(n, t);
  is_int(n->woken, own, "this one is not");

  /* A wake-up that is still to be sent (not within a second of the last one) when the link breaks.
   */
  char text[64];
  unsigned ready = n->ready, thirds = third->ready;
  wakeup_peers(q, false);
  run_for(n->loop, 1);
  redis(r, text, sizeof text, "CLIENT KILL TYPE normal SKIPME yes");
  until(n->loop, n->ready > ready && third->ready > thirds);
  until(n->loop, !q->wake.wanted);
  ok(!q->wake.wanted, "it is sent when the link is back");
  timer_start(&n->store->sweep.timer, 1);
  timer_start(&third->store->sweep.timer, 1);
}

static void another_node_hears_of_retries(struct node *n, struct store_queue *q,
                                          struct store_topic *t, struct node *third) {
  struct answer a;
  /* Retries: the first is told when it is there, a later one not, an earlier one again. */
  uint64_t far = loop_wall_ms(n->loop) + 60000, told;
  const uint64_t dues[] = {far, far + 1, far - 30000};
  for (int i = 0; i < 3; i++) add_to(n, q, "d", NULL, &a);
  told = third->due_told;
  for (int i = 0; i < 3; i++) {
    settle(n, t, take_one(n, t), STORE_RETRY, dues[i], "x");
    if (i != 1) until(n->loop, third->due_ms == dues[i]);
  }
  is_int(third->due_ms, far - 30000, "another node hears when a retry is due");
  is_str(third->due_path, "nodes/t", "and of which topic");
  is_int(third->due_told - told, 2, "one that is due later is no news");
  is_int(n->due_told, 0, "this one hears nothing of its own");
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_RETRY, 0, &a);
  until(n->loop, a.n);
}

static void a_young_node_tells_and_dies(struct node *n, const struct server *r,
                                        struct store_topic *t, struct topic_settings *ts,
                                        struct queue_settings *qs, struct node *third) {
  struct answer a;
  uint64_t far = loop_wall_ms(n->loop) + 60000;
  /* A node that has not looked at the registry yet knows of no other: it tells them all the same.
   */
  struct node young = {0};
  node_start(&young, n->loop, r, "web4", "five", 13);
  until(n->loop, young.ready);
  timer_stop(&young.store->sweep.timer);
  struct store_queue *q2 = store_queue_new(young.store, qs, (struct gateway){1, 2});
  struct store_topic *t2 = store_topic_new(q2, ts);
  attach(&young, t2);
  add_to(&young, q2, "y", NULL, &a);
  settle(&young, t2, take_one(&young, t2), STORE_RETRY, far, "x");
  until(n->loop, n->due_ms == far);
  ok(n->due_ms == far, "of a node's first moment as well");
  store_topic_free(t2);
  store_queue_free(q2);
  store_free(young.store);
  /* It dies; nobody could know of retries that it has not told of. Whose sweep is first clears up.
   */
  timer_stop(&third->store->sweep.timer);
  timer_stop(&third->store->census.timer);
  redis_int(r, "DEL pb:{@}:woken");
  look(n, t); /* behind it nothing of an earlier sweep is on the way */
  n->died[0] = 0;
  unsigned own = n->woken;
  redis_int(r, "DEL pb:{@}:node:web4");
  redis_int(r, "HSET pb:{@}:beats web4 dead");
  until(n->loop, *n->died);
  is_str(n->died, "web4", "it dies");
  until(n->loop, n->woken > own);
  ok(n->woken > own, "who hears of it looks at all queues");
  until(n->loop, redis_int(r, "HEXISTS pb:{@}:nodes web4") == 0);
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_RETRY, 0, &a);
  until(n->loop, a.n);
}

static void test_nodes(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "nodes"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 60000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  struct node third = {0};
  char text[64];
  int fd;
  attach(n, t);
  for (int round = 0; round < 2; round++) { /* one job in the retry set, one in the stream */
    add_to(n, q, "f", NULL, &a);
    if (round == 0) settle(n, t, take_one(n, t), STORE_RETRY, 1, "x");
  }
  pid_t pid = fork_node(r, "web2", "two", 6, &fd);
  is_int(fork_wait(fd), 'y', "another node takes both");
  names_and_shards_have_one_node(n, r, &third);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  a_successor_takes_over(n, r, &ts, &qs);
  the_others_take_over(n, r, t);
  another_node_is_woken(n, r, q, t, &third);
  another_node_hears_of_retries(n, q, t, &third);
  a_young_node_tells_and_dies(n, r, t, &ts, &qs, &third);
  redis(r, text, sizeof text, "SET pb:{@}:node:web3 rival PX 60000");
  timer_start(&third.store->member.timer, 1);
  until(n->loop, third.name_taken);
  is_int(third.name_taken, 1, "a node whose name another instance took is told to stop");
  store_free(third.store);
  redis(r, text, sizeof text, "DEL pb:{@}:node:web3");
  redis(r, text, sizeof text, "HDEL pb:{@}:nodes web3");
  store_topic_free(t);
  store_queue_free(q);
}

/* --- who is dead --- */

/* The registry as this node sees it, and whether `name` is dead by it, or gone: a dead node that
 * left nothing is soon forgotten. The clock of leases is moved by hand: `beats` is what
 * lease_join.lua writes. */
static bool is_dead(struct node *n, const struct server *r, const char *name) {
  struct answer a = {0};
  char text[4096], line[128];
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
  snprintf(line, sizeof line, "HGET pb:{@}:beats %s", name);
  redis(r, text, sizeof text, line);
  return strstr(text, "dead") || !strncmp(text, "$-1", 3) || strstr(text, "\n$-1");
}

static void look_at_nodes(struct node *n) {
  struct answer a = {0};
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
}

static long up_of(const struct server *r) {
  char text[256], *at;
  redis(r, text, sizeof text, "HGET pb:{@}:beats @up");
  at = strchr(text, '\n');
  return at ? atol(at + 1) : -1;
}

static uint64_t mark_of(const struct server *r, unsigned shard) {
  char text[256], line[64], *at;
  snprintf(line, sizeof line, "HGET pb:{@}:marks %u", shard);
  redis(r, text, sizeof text, line);
  at = strchr(text, '\n');
  return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* One renewal of the node's, `gap` milliseconds after the one before it. */
static void renew(struct node *n, const struct server *r, long gap) {
  char text[256], line[160];
  redis(r, text, sizeof text, "TIME");
  long long now = atoll(strchr(text, '$') ? strchr(strchr(text, '$'), '\n') + 1 : "0") * 1000;
  snprintf(line, sizeof line,
           "EVAL \"#!lua flags=allow-oom\\nredis.call('HSET','pb:{@}:beats','@at','%lld')\" 0",
           now - gap);
  redis(r, text, sizeof text, line);
  redis(r, text, sizeof text, "CONFIG RESETSTAT");
  timer_start(&n->store->member.timer, 0);
  until(n->loop, redis_has(r, "INFO commandstats", "cmdstat_hset:"));
  look_at_nodes(n); /* behind it the renewal has been answered */
}

/* @case T1: nobody is dead by an outage. @case R4: nor by refused renewals. @case R3: who died
 * meanwhile is found. */
static void test_dead(struct loop *loop, const struct server *r) {
  struct node n = {0};
  char text[256];
  n.st.lease_ms = 100000;
  node_start(&n, loop, r, "alive", "ia", 80);
  until(loop, n.ready);
  timer_stop(&n.store->sweep.timer);
  redis(r, text, sizeof text, "HSET pb:{@}:nodes other \"81 1 io b 1 2 3 host\"");
  ok(!is_dead(&n, r, "other"), "a node without a mark gets one");
  renew(&n, r, 25000);
  for (int i = 0; i < 5; i++) renew(&n, r, 20000);
  ok(!is_dead(&n, r, "other"), "125 s of a lease of 100 s: it may come back");
  renew(&n, r, 20000);
  renew(&n, r, 20000);
  ok(is_dead(&n, r, "other"), "165 s during which another node renewed: it is dead");

  redis(r, text, sizeof text, "HSET pb:{@}:nodes second \"82 1 io b 1 2 3 host\"");
  is_dead(&n, r, "second");
  for (int i = 0; i < 7; i++) renew(&n, r, 20000);
  long up = up_of(r);
  renew(&n, r, 3600000);
  ok(up_of(r) == up, "an hour in which nobody could renew proves nothing");
  for (int i = 0; i < 7; i++) renew(&n, r, 20000);
  ok(!is_dead(&n, r, "second"), "and after it everybody has a whole lease again");
  up = up_of(r);
  renew(&n, r, -3600000);
  ok(up_of(r) == up, "nor does a clock that was set back");
  renew(&n, r, 70000);
  ok(up_of(r) == up + 30000, "a shorter gap counts a little");
  for (int i = 0; i < 6; i++) renew(&n, r, 20000);
  ok(is_dead(&n, r, "second"), "then it is dead");

  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  redis(r, text, sizeof text, "HSET pb:{@}:beats third x"); /* refused: it is full */
  like(text, "OOM", "a full server");
  up = up_of(r);
  run_for(loop,
          20); /* the gap that renew() writes down is refused, too: so much is one of its own */
  renew(&n, r, 20000);
  ok(up_of(r) >= up + 20000, "renews leases");
  until(loop, *store_why(n.store));
  like(store_why(n.store), "out of memory", "while the broker says that it takes no jobs");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
  renew(&n, r, 20000);
  until(loop, !*store_why(n.store));
  is_str(store_why(n.store), "", "and later that it does again");
  store_free(n.store);
  redis(r, text, sizeof text, "DEL pb:{@}:nodes pb:{@}:beats pb:{@}:node:alive");
}

/* Ids of a life begin at the mark of the life before, so that mark only rises. */
static void test_marks(struct loop *loop, const struct server *r) {
  struct node n = {0};
  char text[256], line[80];
  uint64_t mark = loop_wall_ms(loop) + 3600000;
  n.st.lease_ms = 100000;
  snprintf(line, sizeof line, "HSET pb:{@}:marks 83 %llu", (unsigned long long)mark);
  redis(r, text, sizeof text, line);
  node_start(&n, loop, r, "back", "ib", 83);
  until(loop, n.ready);
  timer_stop(&n.store->sweep.timer);
  ok(store_id_mark(n.store) == mark, "a node whose clock was set back begins at its mark");
  ok(mark_of(r, 83) > mark, "and leaves a higher one");
  mark = mark_of(r, 83);
  n.store->member.mark_ms = 0;
  renew(&n, r, 20000);
  ok(mark_of(r, 83) == mark, "which no renewal lowers");

  redis(r, text, sizeof text, "HDEL pb:{@}:nodes back");
  redis(r, text, sizeof text, "HDEL pb:{@}:beats back");
  renew(&n, r, 20000);
  is_int(n.declared_dead, 1, "a node that the others forgot hears that it was dead");
  is_int(redis_int(r, "HEXISTS pb:{@}:nodes back"), 1, "and is in the registry again");

  redis(r, text, sizeof text, "FLUSHALL");
  timer_start(&n.store->member.timer, 0);
  until(loop, mark_of(r, 83));
  ok(mark_of(r, 83) > loop_wall_ms(loop), "where the data was lost it leaves a mark at once");
  store_free(n.store);
  redis(r, text, sizeof text, "FLUSHALL");
}

/* An act whose node died may be the purge that makes room. */
static void on_open_act(void *arg, struct store *s, const char *id) {
  (void)s;
  *(bool *)arg |= !strcmp(id, "orphan");
}

static void test_acts_when_full(struct loop *loop, const struct server *r) {
  struct node n = {0};
  char text[256];
  bool found = false;
  n.st.lease_ms = 100000;
  node_start(&n, loop, r, "busy", "ic", 84);
  store_on_act(n.store, on_open_act, &found);
  until(loop, n.ready);
  timer_stop(&n.store->sweep.timer);
  look_at_nodes(&n);
  redis(r, text, sizeof text, "SADD pb:{@}:acts:open orphan");
  redis(r, text, sizeof text, "HSET pb:{@}:act:orphan state running owner \"gone x\" until 1");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  timer_start(&n.store->member.timer, 0);
  until(loop, found);
  ok(found, "a full server: acts without an owner are found");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
  store_free(n.store);
  redis(r, text, sizeof text, "FLUSHALL");
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_nodes(&b.n, &b.r);
  bench_leave(&b);
  test_dead(b.loop, &b.r);
  test_marks(b.loop, &b.r);
  test_acts_when_full(b.loop, &b.r);
  return bench_end(&b);
}
