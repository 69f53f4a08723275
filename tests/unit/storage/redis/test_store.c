/* The life of a storage: its server comes, goes, loads, refuses; what an idle one costs. */
#include "store_fixture.h"

static void test_idle(struct node *n, const struct server *r) {
  enum { N = 1000 };
  static struct queue_settings qs[N];
  static struct topic_settings ts[N];
  static char names[N][16];
  struct store_queue *q[N];
  struct store_topic *t[N];
  struct answer a = {0};
  char text[16384];
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "idle%d", i);
    qs[i] = (struct queue_settings){.name = names[i]};
    ts[i] = (struct topic_settings){.name = "t", .queue = &qs[i], .timeout_ms = 1000};
    q[i] = store_queue_new(n->store, &qs[i], (struct gateway){1, 2});
    t[i] = store_topic_new(q[i], &ts[i]);
    store_attach(t[i], on_depth, &a);
  }
  until(n->loop, a.n == N);
  ok(a.n == N && !a.rc, "%d topics attached", N);
  until(n->loop, !n->store->unconfigured.due && !n->store->unconfigured.walk); /* once a start */
  run_for(n->loop, 500);
  const char *key = "total_commands_processed:";
  redis(r, text, sizeof text, "INFO stats");
  long before = atol(strstr(text, key) + strlen(key));
  uint64_t began = loop_clock_ms();
  run_for(n->loop, 3000);
  redis(r, text, sizeof text, "INFO stats");
  long after = atol(strstr(text, key) + strlen(key));
  uint64_t took = loop_clock_ms() - began;
  diag("%ld commands in %llu ms", after - before, (unsigned long long)took);
  ok((uint64_t)(after - before) * 1000 <= 20 * took,
     "idle topics cost at most 20 commands a second in all");
  a = (struct answer){0};
  store_flush(n->store, 1000, on_flushed, &a);
  until(n->loop, a.n);
  ok(a.more, "and the store is idle");
  for (int i = 0; i < N; i++) {
    store_topic_free(t[i]);
    store_queue_free(q[i]);
  }
}

static void test_restart(struct node *n, struct server *r) {
  struct queue_settings qs = {.name = "down"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a, b = {0};
  unsigned ready = n->ready;
  attach(n, t);
  add_to(n, q, "one", NULL, &a);
  struct job *job = take_one(n, t);
  server_freeze(r);
  struct store_add add = {.head = {.id = 1, .trace = 1}, .content = "u", .content_len = 1};
  store_add(q, &add, on_added, &b);
  run_for(n->loop, 50);
  ok(!b.n, "a job on the way is not answered");
  server_stop(r, SIGKILL);
  until(n->loop, b.n);
  is_int(b.rc, STORE_UNKNOWN, "its outcome is unknown when the connection breaks");
  until(n->loop, n->state == STORE_CONNECTING);
  struct store_outcome o = {.verdict = STORE_DONE};
  store_settle(t, job, &o);
  add_to(n, q, "x", NULL, &a);
  is_int(a.rc, STORE_UNAVAILABLE, "without a connection nothing is sent");
  ok(*a.why, "and the reason given");
  run_for(n->loop, 50);
  is_int(store_unsettled(t), 1, "an outcome waits for the server");
  server_start(r, "");
  until(n->loop, n->ready > ready && !store_unsettled(t));
  is_int(store_unsettled(t), 0, "and is stored when it is back");
  ok(look(n, t).running == 0, "nothing is pending");

  ready = n->ready;
  server_stop(r, SIGKILL);
  remove_tree(r->dir);
  mkdir(r->dir, 0700);
  until(n->loop, n->state != STORE_READY);
  server_start(r, "");
  until(n->loop, n->ready > ready);
  add_to(n, q, "after", NULL, &a);
  job = take_one(n, t);
  ok(job && job->content_len == 5, "a server that lost its data gets its groups again");
  settle(n, t, job, STORE_DONE, 0, NULL);

  server_freeze(r);
  add.head.id = 2;
  b = (struct answer){0};
  ready = n->ready;
  store_add(q, &add, on_added, &b);
  until(n->loop, b.n);
  is_int(b.rc, STORE_UNKNOWN, "a server that does not answer is given up");
  kill(r->pid, SIGCONT);
  until(n->loop, n->ready > ready);
  is_int(n->state, STORE_READY, "and comes back");
  store_topic_free(t);
  store_queue_free(q);
}

/* The server answers, but reads its data back for a while. */
static void test_loading(struct node *n, struct server *r) {
  unsigned ready = n->ready;
  char text[8192], line[1200];
  bool seen = false;
  /* It looks at its connections after each KB of what it reads. */
  redis(r, text, sizeof text, "CONFIG SET rdbcompression no");
  for (int i = 0; i < 300; i++) {
    snprintf(line, sizeof line, "SET filler%d %01100d", i, i);
    redis(r, text, sizeof text, line);
  }
  redis(r, text, sizeof text, "BGREWRITEAOF"); /* only that form is read with the delay below */
  do {
    run_for(n->loop, 20);
    redis(r, text, sizeof text, "INFO persistence");
  } while (!strstr(text, "aof_rewrite_in_progress:0") || !strstr(text, "aof_rewrite_scheduled:0"));
  server_stop(r, SIGTERM);
  until(n->loop, n->state != STORE_READY);
  server_start(r, "--key-load-delay 100000 --loading-process-events-interval-bytes 1024");
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (n->ready == ready && loop_clock_ms() < end) {
    loop_turn(n->loop, 20);
    if (seen || n->state != STORE_LOADING) continue;
    seen = true;
    redis(r, text, sizeof text, "CONFIG SET key-load-delay 0");
  }
  ok(seen, "a server that loads is waited for");
  is_int(n->state, STORE_READY, "until it is done");
}

static void test_refused(struct loop *loop, const struct server *r) {
  struct node n = {0};
  char text[256];
  redis(r, text, sizeof text, "CONFIG SET maxmemory-policy allkeys-lru");
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  like(n.why, "noeviction", "an evicting server is refused with what to set");
  store_free(n.store);
  redis(r, text, sizeof text, "CONFIG SET maxmemory-policy noeviction");
  redis(r, text, sizeof text, "REPLICAOF 127.0.0.1 1");
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  like(n.why, "replica", "a replica is refused");
  store_free(n.store);
  redis(r, text, sizeof text, "REPLICAOF NO ONE");
  redis(r, text, sizeof text, "CONFIG SET requirepass geheim");
  n.st.password = "falsch";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  like(n.why, "WRONGPASS", "a wrong password is refused");
  unlike(n.why, "falsch", "and not shown");
  store_free(n.store);
  n.st.password = "";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  is_int(n.state, STORE_REFUSED, "no password is refused");
  store_free(n.store);
  n.st.password = "geheim";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.ready);
  is_int(n.state, STORE_READY, "the right one is not");
  store_free(n.store);
  int fd = plain_connect(r->path);
  const char *reset = "AUTH geheim\r\nCONFIG SET requirepass \"\"\r\nSET pb:version 2\r\nQUIT\r\n";
  if (write(fd, reset, strlen(reset)) < 0) bail_out("write");
  while (read(fd, text, sizeof text) > 0) {
  }
  close(fd);
  n.st.password = "";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  like(n.why, "layout 2", "data of a newer version is refused");
  store_free(n.store);
  redis(r, text, sizeof text, "SET pb:version 1");
  n.st.address = "unix:/tmp/0123456789012345678901234567890123456789012345678901234567890123456789"
                 "01234567890123456789012345678901234567890123456789";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.state == STORE_REFUSED);
  like(n.why, "107 bytes", "a path that is too long is refused");
  store_free(n.store);
  n.st.address = "localhost:1";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, *n.why);
  like(n.why, "onnect", "a host name is looked up, and its refusal told");
  store_free(n.store);
  n.st.address = r->path;
  n.st.broken = "there is no [storage far] on this node";
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, *n.why);
  like(n.why, "there is no [storage far] on this node",
       "one that this node lacks is not looked for");
  ok(n.state != STORE_READY, "and never ready");
  store_free(n.store);
  n.st.broken = NULL;
}

static void test_managed(struct loop *loop, const struct server *r) {
  struct server own = {0};
  struct node n = {0};
  struct answer a;
  struct queue_settings qs = {.name = "m"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  snprintf(own.dir, sizeof own.dir, "%s", r->dir);
  snprintf(own.path, sizeof own.path, "%s/main/redis.sock", r->dir);
  n.st.managed = 1;
  n.st.server_binary = "redis-server";
  n.st.address = "";
  node_start(&n, loop, &own, "web1", "i1", 1);
  until(loop, n.ready);
  is_int(n.state, STORE_READY, "a managed server starts");
  struct store_queue *q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  attach(&n, t);
  add_to(&n, q, "kept", NULL, &a);
  char text[8192];
  redis(&own, text, sizeof text, "INFO server");
  const char *at = strstr(text, "process_id:");
  pid_t pid = at ? (pid_t)atol(at + 11) : 0;
  ok(pid > 0 && getsid(pid) == pid, "in a session of its own");
  ok(redis_has(&own, "CONFIG GET appendonly", "$3\r\nyes") &&
         redis_has(&own, "CONFIG GET appendfsync", "everysec") &&
         redis_has(&own, "CONFIG GET maxmemory-policy", "noeviction"),
     "with its append-only file written every second, evicting nothing");
  /* While its disk is slow, Redis keeps back what it should write, for at most two seconds. */
  until(loop, redis_has(&own, "INFO persistence", "aof_buffer_length:0\r"));
  kill(pid, SIGKILL);
  unsigned ready = n.ready;
  until(loop, n.ready > ready);
  ok(n.ready > ready && look(&n, t).ready == 1, "killed, it is started again with its data");
  store_topic_free(t);
  store_queue_free(q);
  store_leave(n.store);
  until(loop, store_idle(n.store));
  store_free(n.store);
  ok(plain_connect(own.path) < 0, "a clean stop ends it");

  /* As after kill -9 of the broker: a server is there already. */
  struct server left = own;
  snprintf(left.dir, sizeof left.dir, "%.60s/main", r->dir);
  server_start(&left, "");
  n.st.address = "";
  node_start(&n, loop, &own, "web1", "i2", 1);
  until(loop, n.ready);
  redis(&own, text, sizeof text, "INFO server");
  at = strstr(text, "process_id:");
  is_int(at ? atol(at + 11) : 0, left.pid, "one that runs already is adopted");
  q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  t = store_topic_new(q, &ts);
  attach(&n, t);
  is_int(look(&n, t).ready, 1, "with what it holds");
  store_topic_free(t);
  store_queue_free(q);
  store_free(n.store);
  int status;
  ok(waitpid(left.pid, &status, 0) == left.pid && WIFEXITED(status), "and ended too");
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_idle(&b.n, &b.r);
  test_restart(&b.n, &b.r);
  test_loading(&b.n, &b.r);
  bench_leave(&b);
  test_refused(b.loop, &b.r);
  server_stop(&b.r, SIGTERM);
  b.r.pid = 0;
  test_managed(b.loop, &b.r);
  return bench_end(&b);
}
