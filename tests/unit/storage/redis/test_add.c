/* Adding jobs: limits, tokens, delays, replicas, and commands that fail. */
#include "store_fixture.h"

static void replicas_are_waited_for(struct node *n, struct store_queue *q, struct store_topic *t) {
  struct answer a;
  struct store_add wait = {.replicate = 1, .replicate_ms = 50};
  struct answer waits[2];
  for (int i = 0; i < 2; i++) { /* the first one makes the connection, the second waits with it */
    wait.head.id = wait.head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
    wait.content = "r";
    wait.content_len = 1;
    waits[i] = (struct answer){0};
    store_add(q, &wait, on_added, &waits[i]);
  }
  until(n->loop, waits[0].n && waits[1].n);
  ok(waits[0].rc == STORE_ERROR && waits[1].rc == STORE_ERROR, "no replica has them in time");
  like(waits[0].why, "0 of 1", "and the answer says so");
  is_int(look(n, t).ready, 5, "though they are stored");
  add_to(n, q, "r", &wait, &a);
  is_int(a.rc, STORE_ERROR, "the connection is used again");
  n->st.max_connections = 2;
  add_to(n, q, "r", &wait, &a);
  is_int(a.rc, STORE_UNAVAILABLE, "max_connections = 2: no job waits for replicas");
  like(a.why, "max_connections", "and the answer says why");
  n->st.max_connections = 0;
}

static void max_inflight_bounds(struct node *n, struct store_queue *q) {
  struct answer a;
  struct store_add plain = {.content = "p", .content_len = 1};
  struct answer crowd[17] = {{0}};
  n->st.max_inflight = 16;
  for (int i = 0; i < 17; i++) {
    plain.head.id = plain.head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
    store_add(q, &plain, on_added, &crowd[i]);
  }
  size_t stored = 0;
  for (int i = 0; i < 17; i++) {
    until(n->loop, crowd[i].n);
    stored += crowd[i].rc == STORE_OK;
  }
  is_int(stored, 16, "max_inflight = 16: so many are stored");
  is_int(crowd[16].rc, STORE_UNAVAILABLE, "one more at the same time is not");
  like(crowd[16].why, "max_inflight", "and the answer says why");
  add_to(n, q, "p", NULL, &a);
  is_int(a.rc, STORE_OK, "later it is");
  n->st.max_inflight = 0;
}

static void large_jobs_come_back(struct node *n, struct store_queue *q, struct store_topic *t) {
  struct answer a;
  size_t big = 3 << 20;
  char *large = malloc(big + 1);
  memset(large, 'z', big);
  large[big] = 0;
  add_to(n, q, large, NULL, &a);
  is_int(a.rc, STORE_OK, "a job of 3 MB is added");
  struct job *job;
  size_t seen = 0;
  while ((job = take_one(n, t))) {
    if (job->content_len == big && !memcmp(job->content, large, big)) seen++;
    settle(n, t, job, STORE_DONE, 0, NULL);
  }
  is_int(seen, 1, "and comes back byte for byte");
  free(large);
}

static void test_intake(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "in"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a, b;
  attach(n, t);
  struct store_add token = {.token = "abc", .token_len = 3};
  uint64_t first = add_to(n, q, "one", &token, &a);
  uint64_t again = add_to(n, q, "one", &token, &b);
  ok(!a.rc && !b.rc && first == again, "a known token answers the first id");
  is_int(redis_int(r, "XLEN pb:{in}:s"), 1, "and stores once");
  struct store_add limit = {.max_length = 2};
  add_to(n, q, "two", &limit, &a);
  add_to(n, q, "three", &limit, &b);
  ok(a.rc == STORE_OK && b.rc == STORE_FULL, "max_length refuses the third");
  like(b.why, "full", "and says so");
  struct store_add bytes = {.max_bytes = 10};
  add_to(n, q, "x", &bytes, &a);
  is_int(a.rc, STORE_FULL, "max_bytes too");
  struct store_add late = {.delay_ms = 600000}, soon = {.delay_ms = 1};
  uint64_t from = loop_wall_ms(n->loop);
  add_to(n, q, "delayed", &late, &a);
  struct store_depth d = look(n, t);
  ok(d.ready == 2 && d.delayed == 1 && d.next_due_ms >= from + 600000 &&
         d.next_due_ms <= loop_wall_ms(n->loop) + 600000,
     "delayed");
  a = (struct answer){0};
  store_move_due(q, on_moved, &a);
  until(n->loop, a.n);
  ok(!a.count && a.next_due == d.next_due_ms, "not moved before its time");
  add_to(n, q, "delayed", &soon, &a);
  from = look(n, t).next_due_ms;
  while (loop_wall_ms(n->loop) < from) run_for(n->loop, 1);
  a = (struct answer){0};
  store_move_due(q, on_moved, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && a.next_due == d.next_due_ms && look(n, t).ready == 3,
     "one is moved at its time");
  is_int(redis_int(r, "DEL pb:{in}:d pb:{in}:j"), 2, "and the other still waits");
  replicas_are_waited_for(n, q, t);
  max_inflight_bounds(n, q);
  large_jobs_come_back(n, q, t);
  store_topic_free(t);
  store_queue_free(q);
}

/* @case R6: an id that is answered is that of a job that is stored, whatever fails. */
static void test_add_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  faulty_start(&f, n, r, "flt");
  struct store_add token = {.token = "tok", .token_len = 3};
  say(&f, "RENAME pb:{flt}:s kept");
  say(&f, "SET pb:{flt}:s foreign");
  add_to(n, f.q, "one", &token, &a);
  is_int(a.rc, STORE_ERROR, "a foreign key in the stream's place: not stored");
  say(&f, "RENAME kept pb:{flt}:s");
  uint64_t id = add_to(n, f.q, "one", &token, &a);
  is_int(a.rc, STORE_OK, "added again with its token");
  struct job *job = take_one(n, f.t);
  ok(job && job->id == id, "the id that is answered is that of a stored job");
  settle(n, f.t, job, STORE_DONE, 0, NULL);

  say(&f, "ACL SETUSER default -xadd");
  token.token = "to2";
  add_to(n, f.q, "two", &token, &a);
  is_int(a.rc, STORE_ERROR, "XADD forbidden: not stored");
  say(&f, "ACL SETUSER default +xadd");
  is_int(redis_int(r, "EXISTS pb:{flt}:t:to2"), 0, "and its token is not known");

  say(&f, "ACL SETUSER default -set");
  id = add_to(n, f.q, "three", &token, &a);
  say(&f, "ACL SETUSER default +set");
  is_int(a.rc, STORE_OK, "SET forbidden: stored all the same");
  job = take_one(n, f.t);
  ok(job && job->id == id, "under the id that is answered");
  settle(n, f.t, job, STORE_DONE, 0, NULL);

  struct store_add later = {.delay_ms = 3600000, .token = "to4", .token_len = 3};
  say(&f, "SET pb:{flt}:d foreign");
  add_to(n, f.q, "four", &later, &a);
  is_int(a.rc, STORE_ERROR, "a delayed one that cannot be stored is refused");
  is_int(redis_int(r, "EXISTS pb:{flt}:j pb:{flt}:t:to4"), 0, "and leaves nothing behind");
  say(&f, "DEL pb:{flt}:d");
  add_to(n, f.q, "four", &later, &a);
  ok(!a.rc && redis_int(r, "ZCARD pb:{flt}:d") == 1 && redis_int(r, "HLEN pb:{flt}:j") == 1,
     "then it is stored");
  add_to(n, f.q, "four", &later, &a);
  is_int(redis_int(r, "ZCARD pb:{flt}:d"), 1, "once");

  say(&f, "CONFIG SET maxmemory 1");
  token.token = "to5";
  add_to(n, f.q, "five", &token, &a);
  is_int(a.rc, STORE_ERROR, "a full server refuses it");
  say(&f, "CONFIG SET maxmemory 0");
  is_int(redis_int(r, "EXISTS pb:{flt}:t:to5"), 0, "and keeps no token of it");
  faulty_end(&f);
}

/* Two jobs that wait until the connection to wait for replicas on is made. */
static void hold_two(struct node *n, struct store_queue *q, struct answer *a) {
  struct store_add wait = {.replicate = 1, .replicate_ms = 50, .content = "r", .content_len = 1};
  for (int i = 0; i < 2; i++) {
    wait.head.id = wait.head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
    a[i] = (struct answer){0};
    store_add(q, &wait, on_added, &a[i]);
  }
}

static void test_held(struct loop *loop, const struct server *r) {
  struct node n = {0};
  struct queue_settings qs = {.name = "held"};
  struct answer a[2];
  char text[256];
  node_start(&n, loop, r, "webx", "ix", 70);
  until(loop, n.ready);
  struct store_queue *q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  redis(r, text, sizeof text, "CONFIG SET requirepass geheim"); /* for new connections */
  hold_two(&n, q, a);
  until(loop, a[0].n && a[1].n);
  ok(a[0].rc == STORE_UNAVAILABLE && a[1].rc == STORE_UNAVAILABLE,
     "it cannot be made: told to both");
  like(a[1].why, "no connection for jobs that wait for replicas", "in words");
  int fd = plain_connect(r->path);
  const char *reset = "AUTH geheim\r\nCONFIG SET requirepass \"\"\r\nQUIT\r\n";
  if (write(fd, reset, strlen(reset)) < 0) bail_out("write");
  while (read(fd, text, sizeof text) > 0) {
  }
  close(fd);
  store_queue_free(q);
  store_free(n.store);

  node_start(&n, loop, r, "webx", "ix", 70);
  n.ready = 0;
  until(loop, n.ready);
  q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  hold_two(&n, q, a);
  ok(!a[0].n && !a[1].n, "they wait");
  store_queue_free(q);
  store_free(n.store);
  ok(a[0].n == 1 && a[1].n == 1, "while they wait the storage goes: each is answered once");
  ok(a[0].rc == STORE_UNAVAILABLE && a[1].rc == STORE_UNAVAILABLE, "and was not stored");
}

/* What is held back while the connection that waits for replicas comes up, by an answer that does
 * not come: bounded like what waits for any other. */
static void test_held_bytes(struct loop *loop, const struct server *r) {
  enum { LARGE = 8 << 20, FIT = REDIS_UNSENT_MAX / LARGE, ALL = FIT + 3 };
  struct queue_settings qs = {.name = "held"};
  struct answer a[ALL] = {{0}};
  struct node n = {0};
  char *content = calloc(1, LARGE);
  struct store_add add = {
      .content = content, .content_len = LARGE, .replicate = 1, .replicate_ms = 50};
  unsigned many = 0;
  node_start(&n, loop, r, "held", "one", 77);
  until(loop, n.ready);
  struct store_queue *q = store_queue_new(n.store, &qs, (struct gateway){1, 2});
  for (int i = 0; i < ALL; i++) {
    add.head.id = add.head.trace = id_mint(&n.ids, loop_wall_ms(loop));
    store_add(q, &add, on_added, &a[i]);
  }
  store_queue_free(q);
  store_free(n.store);
  for (int i = 0; i < ALL; i++) {
    ok(a[i].n == 1 && a[i].rc == STORE_UNAVAILABLE, "answered");
    many += strstr(a[i].why, "too much is on the way") != NULL;
  }
  ok(many >= ALL - FIT && many <= ALL - FIT + 1, "what is more than may be held back is told so");
  free(content);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_intake(&b.n, &b.r);
  test_add_faults(&b.n, &b.r);
  bench_leave(&b);
  test_held(b.loop, &b.r);
  test_held_bytes(b.loop, &b.r);
  return bench_end(&b);
}
