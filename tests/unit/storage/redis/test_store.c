/* The store against a real redis-server on a unix socket in a folder of its own. */
#include "job/id.h"
#include "base/log.h"
#include "event/loop.h"
#include "storage/redis/private.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define WAIT_MS 60000
/* This process may be kept waiting for a while, and none of its nodes dies of it. */
#define LEASE_MS 60000

/* --- a server, and a plain connection to it that speaks in lines --- */

struct server {
  char dir[96], path[128], address[160];
  pid_t pid;
};

static int plain_connect(const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
  if (fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof sun)) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* The raw reply to one inline command. */
static const char *redis(const struct server *r, char *ret, size_t cap, const char *line) {
  int fd = plain_connect(r->path);
  size_t n = 0;
  ret[0] = 0;
  if (fd < 0) return ret;
  if (write(fd, line, strlen(line)) < 0 || write(fd, "\r\nQUIT\r\n", 8) < 0) bail_out("write");
  for (ssize_t k; n + 1 < cap && (k = read(fd, ret + n, cap - n - 1)) > 0;) n += (size_t)k;
  ret[n] = 0;
  close(fd);
  return ret;
}

static long redis_int(const struct server *r, const char *line) {
  char text[4096];
  redis(r, text, sizeof text, line);
  return *text == ':' ? atol(text + 1) : -1;
}

static bool redis_has(const struct server *r, const char *command, const char *words) {
  char text[8192];
  redis(r, text, sizeof text, command);
  return strstr(text, words) != NULL;
}

static void server_start(struct server *r, const char *more) {
  char *argv[24] = {"redis-server", "--port", "0", "--unixsocket", r->path,     "--dir",
                    r->dir,         "--save", "",  "--logfile",    "/dev/null", "--appendonly",
                    "yes"};
  char words[256];
  int n = 13;
  posix_spawn_file_actions_t fa;
  snprintf(words, sizeof words, "%s", more);
  for (char *save, *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
    argv[n++] = w;
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&fa, 1, 2);
  if (posix_spawnp(&r->pid, argv[0], &fa, NULL, argv, environ)) skip_all("no redis-server here");
  posix_spawn_file_actions_destroy(&fa);
  for (int i = 0; i < WAIT_MS / 10; i++) {
    int fd = plain_connect(r->path);
    if (fd >= 0) {
      close(fd);
      return;
    }
    if (waitpid(r->pid, NULL, WNOHANG) == r->pid) skip_all("redis-server does not run here");
    usleep(10000);
  }
  bail_out("redis-server does not answer");
}

static void server_stop(struct server *r, int signo) {
  kill(r->pid, signo);
  waitpid(r->pid, NULL, 0);
  unlink(r->path);
}

/* From now on it reads nothing: the signal alone may come to it a little later. */
static void server_freeze(const struct server *r) {
  kill(r->pid, SIGSTOP);
  waitpid(r->pid, NULL, WUNTRACED);
}

static void remove_tree(const char *dir) {
  char *argv[] = {"rm", "-rf", (char *)dir, NULL};
  pid_t pid;
  if (!posix_spawnp(&pid, "rm", NULL, NULL, argv, environ)) waitpid(pid, NULL, 0);
}

/* --- a node --- */

struct node {
  struct loop *loop;
  struct store *store;
  struct storage_settings st;
  struct server_settings server;
  enum store_state state;
  char why[512], died[64];
  unsigned ready, woken, name_taken, shard_taken, due_told, declared_dead, missing;
  char due_path[64];
  uint64_t due_ms; /* as told last */
  struct id_source ids;
};

static void on_state(void *arg, struct store *s, enum store_state state, const char *why) {
  struct node *n = arg;
  (void)s;
  n->state = state;
  snprintf(n->why, sizeof n->why, "%s", why);
  if (state == STORE_READY) n->ready++;
}
static void on_wake(void *arg, struct store *s, const char *queue) {
  (void)s;
  if (*queue) ((struct node *)arg)->woken++;
}
static void on_due_told(void *arg, struct store *s, const char *queue, const char *topic,
                        uint64_t due_ms) {
  struct node *n = arg;
  (void)s;
  snprintf(n->due_path, sizeof n->due_path, "%s/%s", queue, topic);
  n->due_ms = due_ms;
  n->due_told++;
}
static void on_name(void *arg, struct store *s, const char *why) {
  (void)s;
  (void)why;
  ((struct node *)arg)->name_taken++;
}
static void on_shard(void *arg, struct store *s, unsigned shard) {
  (void)s;
  (void)shard;
  ((struct node *)arg)->shard_taken++;
}
static void on_declared_dead(void *arg, struct store *s) {
  (void)s;
  ((struct node *)arg)->declared_dead++;
}
static void on_missing(void *arg, struct store *s, const char *queue, const char *topic) {
  (void)s;
  (void)queue;
  (void)topic;
  ((struct node *)arg)->missing++;
}
static void on_died(void *arg, struct store *s, const char *node) {
  struct node *n = arg;
  (void)s;
  snprintf(n->died, sizeof n->died, "%s", node);
}

static void node_start(struct node *n, struct loop *loop, const struct server *r, const char *name,
                       const char *instance, unsigned shard) {
  struct store_events ev = {.state = on_state,
                            .wake = on_wake,
                            .due = on_due_told,
                            .name_taken = on_name,
                            .shard_taken = on_shard,
                            .declared_dead = on_declared_dead,
                            .missing = on_missing,
                            .arg = n};
  struct storage_settings st = n->st;
  memset(n, 0, sizeof *n);
  n->loop = loop;
  n->st = st;
  n->st.name = "main";
  if (!n->st.address) n->st.address = r->address;
  if (!n->st.username) n->st.username = "";
  if (!n->st.password) n->st.password = "";
  if (!n->st.lease_ms) n->st.lease_ms = LEASE_MS;
  n->st.connect_timeout_ms = 5000;
  if (!n->st.command_timeout_ms) n->st.command_timeout_ms = 4000;
  n->server.node = name;
  n->server.state_dir = r->dir;
  id_source_start(&n->ids, shard, loop_wall_ms(loop));
  n->store = store_new(loop, &n->st, &n->server, instance, shard, &ev);
  store_on_node_death(n->store, on_died, n);
}

#define until(loop, cond)                                                                          \
  do {                                                                                             \
    uint64_t until_end = loop_clock_ms() + WAIT_MS;                                                \
    loop_turn(loop, 0);                                                                            \
    while (!(cond) && loop_clock_ms() < until_end) loop_turn(loop, 20);                            \
  } while (0)

static void run_for(struct loop *loop, uint64_t ms) {
  uint64_t end = loop_clock_ms() + ms;
  while (loop_clock_ms() < end) loop_turn(loop, 10);
}

/* --- answers --- */

struct answer {
  unsigned n;
  enum store_rc rc;
  uint64_t id, count, next_due;
  bool more;
  char why[512];
  struct store_depth depth, depths[3];
  struct job_list jobs;
  struct job *job;
  struct store_record record;
  char message[128], node[64], content[128];
  uint64_t total;
  char names[128];
};

static void said(struct answer *a, enum store_rc rc, const char *why) {
  a->n++;
  a->rc = rc;
  snprintf(a->why, sizeof a->why, "%s", why);
}
static void on_added(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->id = id;
}
static void on_depth(void *arg, enum store_rc rc, const struct store_depth *d, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->depth = *d;
  a->depth.pause = NULL; /* was valid during the call */
}
static void on_depths(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                      const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = n;
  if (n == 3) memcpy(a->depths, d, sizeof a->depths);
  for (size_t i = 0; i < 3; i++) a->depths[i].pause = NULL;
}
static void on_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                     const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->more = more;
  for (struct job *job; (job = job_list_pop(jobs));) job_list_push(&a->jobs, job);
}
static void on_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due,
                   const char *why) {
  struct answer *a = arg;
  on_taken(a, rc, jobs, false, why);
  a->next_due = next_due;
}
static void on_popped(void *arg, enum store_rc rc, struct job *job, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->job = job;
}
static void on_moved(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due) {
  struct answer *a = arg;
  said(a, rc, "");
  a->count = moved;
  a->next_due = next_due;
}
static void on_count(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = count;
}
static void on_records(void *arg, enum store_rc rc, const struct store_record *r, size_t n,
                       uint64_t total, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = n;
  a->total = total;
  if (!n) return;
  a->record = *r;
  snprintf(a->message, sizeof a->message, "%.*s", (int)r->message_len, r->message);
  snprintf(a->content, sizeof a->content, "%.*s", (int)r->content_len, r->content);
  snprintf(a->node, sizeof a->node, "%s", r->node);
}
static void on_errors(void *arg, enum store_rc rc, const struct store_error *e, size_t n,
                      const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = n;
  if (n) snprintf(a->message, sizeof a->message, "%.*s", (int)e->message_len, e->message);
}
static void on_nodes(void *arg, enum store_rc rc, const struct store_node *nodes, size_t n) {
  struct answer *a = arg;
  said(a, rc, "");
  a->count = 0;
  for (size_t i = 0; i < n; i++) a->count += nodes[i].alive;
}
static void on_flushed(void *arg, bool idle) {
  struct answer *a = arg;
  a->n++;
  a->more = idle;
}

/* --- the calls, waited for --- */

static uint64_t add_to(struct node *n, struct store_queue *q, const char *content,
                       struct store_add *a, struct answer *ret) {
  struct store_add plain = {0};
  if (!a) a = &plain;
  *ret = (struct answer){0};
  a->head.id = a->head.trace = id_mint(&n->ids, loop_wall_ms(n->loop));
  a->content = content;
  a->content_len = strlen(content);
  store_add(q, a, on_added, ret);
  if (ret->n) fail("an answer came from within the call");
  until(n->loop, ret->n);
  return ret->id;
}

static struct job *take_one(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_take(t, 1, on_taken, &a);
  until(n->loop, a.n);
  return job_list_pop(&a.jobs);
}

static struct job *due_one(struct node *n, struct store_topic *t, uint64_t *next) {
  struct answer a = {0};
  store_take_due(t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  if (next) *next = a.next_due;
  struct job *first = job_list_pop(&a.jobs);
  for (struct job *more; (more = job_list_pop(&a.jobs));) job_free(more);
  return first;
}

static struct store_depth look(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_look(t, on_depth, &a);
  until(n->loop, a.n);
  return a.depth;
}

static void attach(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_attach(t, on_depth, &a);
  until(n->loop, a.n);
  if (a.rc) fail("attach: %s", a.why);
}

static void settle(struct node *n, struct store_topic *t, struct job *job, enum store_verdict v,
                   uint64_t due_ms, const char *message) {
  struct store_outcome o = {.verdict = v,
                            .due_ms = due_ms,
                            .code = 500,
                            .message = message,
                            .message_len = message ? strlen(message) : 0};
  if (v == STORE_RETRY || v == STORE_DEAD) job->failed++;
  store_settle(t, job, &o);
  until(n->loop, !store_unsettled(t));
}

/* --- many jobs at once --- */

static void on_slice(void *arg, enum store_rc rc, uint64_t done, uint64_t of, bool over,
                     const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = done;
  a->total = of;
  a->more = !over;
}

static void slice(struct node *n, const struct store_act *act, struct answer *a) {
  *a = (struct answer){0};
  store_act_slice(n->store, act, on_slice, a);
  until(n->loop, a->n);
}

static void many(struct node *n, const struct store_topic *t, enum store_act_kind kind,
                 enum store_set set, uint64_t count, struct answer *a) {
  struct store_act act = {.kind = kind, .set = set, .count = count};
  snprintf(act.id, sizeof act.id, "%" PRIx64, id_mint(&n->ids, loop_wall_ms(n->loop)));
  snprintf(act.queue, sizeof act.queue, "%s", t->q->name);
  snprintf(act.topic, sizeof act.topic, "%s", t->name);
  do slice(n, &act, a);
  while (!a->rc && a->more);
  store_act_wake(n->store, act.queue);
}

/* --- one queue, one topic --- */

static void test_life(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "life"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){0x7f000001, 12017});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  uint64_t now, next;
  attach(n, t);
  uint64_t id = add_to(n, q, "hello", NULL, &a);
  is_int(a.rc, STORE_OK, "a job is added");
  struct job *job = take_one(n, t);
  ok(job && job->crashes == 0, "and taken");
  job_free(job);
  store_topic_free(t); /* as after a configuration change: the pending list remembers */
  t = store_topic_new(q, &ts);
  attach(n, t);
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  job = job_list_pop(&a.jobs);
  ok(job && job->id == id, "what a topic had in its hands is recovered");
  if (!job) return;
  is_mem(job->content, job->content_len, "hello", 5, "with its content");
  is_int(job->crashes, 1, "and the crash counted");
  ok(job->gateway.port == 12017, "and its gateway");
  ok(a.more, "there may be more");
  do {
    a = (struct answer){0};
    store_recover(t, NULL, 10, on_taken, &a);
    until(n->loop, a.n);
  } while (a.more);
  ok(!a.jobs.n, "it is not handed out twice");
  settle(n, t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{life}:s"), 0, "done: the stream is empty");
  is_int(look(n, t).running, 0, "and nothing is pending");

  now = loop_wall_ms(n->loop);
  add_to(n, q, "fails", NULL, &a);
  job = take_one(n, t);
  id = job->id;
  settle(n, t, job, STORE_RETRY, now + 60000, "no luck");
  struct store_depth d = look(n, t);
  ok(d.retry == 1 && d.running == 0 && d.ready == 0, "a failed job waits");
  ok(d.next_due_ms == now + 60000, "until its time");
  ok(!due_one(n, t, &next) && next == now + 60000, "and is not due before");
  a = (struct answer){0};
  store_find(t, id, on_records, &a);
  until(n->loop, a.n);
  is_int(a.count, 1, "it is found by its id");
  is_str(a.message, "no luck", "with its message");
  is_str(a.content, "fails", "and content");
  is_str(a.node, "web1", "and node");
  ok(a.record.failed == 1 && a.record.code == 500 && a.record.first_failed_ms >= now - 1000 &&
         !a.record.dead,
     "and counts");
  a = (struct answer){0};
  many(n, t, STORE_ACT_REPLAY, STORE_SET_BOTH, 0, &a);
  until(n->loop, a.n);
  is_int(a.count, 1, "replay finds it");
  job = due_one(n, t, NULL);
  ok(job && job->id == id && job->failed == 0 && job->source == JOB_FROM_RETRY,
     "it is due at once, with its full attempts");
  ok(!due_one(n, t, NULL), "but for one only");
  is_int(look(n, t).running, 1, "a claimed retry counts as running");
  settle(n, t, job, STORE_DEAD, 0, "really no luck");
  d = look(n, t);
  ok(d.dead == 1 && d.retry == 0 && d.running == 0, "dead");
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 4096, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && a.total == 1 && a.record.dead, "and listed");
  a = (struct answer){0};
  store_errors(t, 10, on_errors, &a);
  until(n->loop, a.n);
  ok(a.count == 2 && !strcmp(a.message, "really no luck"), "the error log has both, newest first");
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_DEAD, 0, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && look(n, t).dead == 0, "purged");
  is_int(redis_int(r, "EXISTS pb:{life}:h:t pb:{life}:b:t pb:{life}:c:t pb:{life}:r:t"), 0,
         "nothing of it is left");

  add_to(n, q, "later", NULL, &a);
  settle(n, t, take_one(n, t), STORE_RELEASE, 0, NULL);
  job = due_one(n, t, NULL);
  ok(job && job->failed == 0 && job->crashes == 0, "a released job comes back untouched");
  settle(n, t, job, STORE_RETRY, 1, "x");
  job = due_one(n, t, NULL);
  ok(job && job->failed == 1, "a failed retry counts on");
  settle(n, t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "EXISTS pb:{life}:h:t pb:{life}:b:t pb:{life}:c:t pb:{life}:r:t"), 0,
         "a retry that is done leaves nothing");

  add_to(n, q, "popped", NULL, &a);
  a = (struct answer){0};
  store_pop(t, on_popped, &a);
  until(n->loop, a.n);
  ok(a.job && a.job->content_len == 6, "a pull worker pops it");
  job_free(a.job);
  is_int(redis_int(r, "XLEN pb:{life}:s"), 0, "for good");
  a = (struct answer){0};
  store_pop(t, on_popped, &a);
  until(n->loop, a.n);
  ok(!a.rc && !a.job, "and then there is none");
  store_topic_free(t);
  store_queue_free(q);
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
  store_topic_free(t);
  store_queue_free(q);
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
  store_look_many(t, 3, on_depths, &ans);
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

/* --- what goes from the stream, and when --- */

#define LARGE ((size_t)64 << 10) /* of such jobs few may stay behind their time */
#define SPARE 15

static void take_all(struct node *n, struct store_topic *t, struct job_list *ret) {
  for (struct job *job; (job = take_one(n, t));) job_list_push(ret, job);
}

static void settle_each(struct node *n, struct store_topic *t, struct job_list *jobs) {
  for (struct job *job; (job = job_list_pop(jobs));) settle(n, t, job, STORE_DONE, 0, NULL);
}

static void test_forget(struct node *n, struct server *r) {
  struct queue_settings qs = {.name = "mark"};
  struct topic_settings set[3] = {{.name = "a"}, {.name = "b"}, {.name = "all", .start_from = 1}};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t[3];
  struct answer a;
  struct job_list list = {0}, other = {0};
  char *large = calloc(1, LARGE + 1);
  memset(large, 'l', LARGE);
  for (int i = 0; i < 3; i++) {
    set[i].queue = &qs;
    set[i].timeout_ms = 60000;
    t[i] = store_topic_new(q, &set[i]);
  }

  /* One topic, whose oldest job runs long. */
  attach(n, t[0]);
  add_to(n, q, "front", NULL, &a);
  struct job *front = take_one(n, t[0]);
  for (int i = 0; i < 5; i++) add_to(n, q, "small", NULL, &a);
  take_all(n, t[0], &list);
  settle_each(n, t[0], &list);
  struct store_depth d = look(n, t[0]);
  ok(d.running == 1 && d.ready == 0, "jobs behind one that runs are done");
  struct store_add limit = {.max_length = 2};
  add_to(n, q, "small", &limit, &a);
  is_int(a.rc, STORE_OK, "what is done does not count for max_length");
  add_to(n, q, "small", &limit, &a);
  is_int(a.rc, STORE_FULL, "what is not done does");
  for (int i = 0; i < 40; i++) add_to(n, q, large, NULL, &a);
  take_all(n, t[0], &list);
  is_int(list.n, 41, "all of them are taken");
  settle_each(n, t[0], &list);
  long len = redis_int(r, "XLEN pb:{mark}:s");
  ok(len >= 1 && len <= 1 + SPARE, "behind a job that runs for long few large ones stay (%ld)",
     len);
  for (int i = 0; i < 3; i++) add_to(n, q, "new", NULL, &a);
  is_int(look(n, t[0]).ready, 3, "what is ready is known in spite of the gap");
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 3, "when it ends all go");

  /* A second topic from the beginning, and a third from now, in the middle of a life. */
  front = take_one(n, t[0]);
  attach(n, t[2]);
  attach(n, t[1]);
  ok(look(n, t[2]).ready == 3 && look(n, t[1]).ready == 0, "two topics come in the middle");
  take_all(n, t[0], &list);
  settle_each(n, t[0], &list);
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 3, "nothing goes that the late one has not had");
  take_all(n, t[2], &other);
  is_int(other.n, 3, "it gets all that was there");
  settle_each(n, t[2], &other);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "then they go");

  /* Three topics; the first and the last entry are held by one each. */
  for (int i = 0; i < 40; i++) add_to(n, q, large, NULL, &a);
  for (int i = 0; i < 3; i++) {
    struct job *last = NULL;
    take_all(n, t[i], &list);
    is_int(list.n, 40, "each topic gets each job");
    if (i == 0) front = job_list_pop(&list);
    while (list.n > 1) settle(n, t[i], job_list_pop(&list), STORE_DONE, 0, NULL);
    last = job_list_pop(&list);
    if (i == 1)
      job_list_push(&other, last);
    else
      settle(n, t[i], last, STORE_DONE, 0, NULL);
  }
  len = redis_int(r, "XLEN pb:{mark}:s");
  ok(len >= 2 && len <= 2 + SPARE, "what all three had goes, however long the first takes (%ld)",
     len);
  settle(n, t[1], job_list_pop(&other), STORE_RETRY, 1, "held");
  settle(n, t[0], front, STORE_RETRY, 1, "held");
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "the rest goes with its last topic");
  for (int i = 0; i < 2; i++) {
    struct job *job = due_one(n, t[i], NULL);
    ok(job && job->content_len == LARGE, "what was held had its bytes to the end");
    settle(n, t[i], job, STORE_DONE, 0, NULL);
  }

  /* The same count after a restart of the server. */
  for (int i = 0; i < 6; i++) add_to(n, q, "r", NULL, &a);
  front = take_one(n, t[0]);
  settle(n, t[0], take_one(n, t[0]), STORE_DONE, 0, NULL);
  for (int i = 1; i < 3; i++) {
    settle(n, t[i], take_one(n, t[i]), STORE_DONE, 0, NULL);
    settle(n, t[i], take_one(n, t[i]), STORE_DONE, 0, NULL);
  }
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 4, "two of six went");
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 3; i++) is_int(look(n, t[i]).ready, 4, "four are ready");
    unsigned ready = n->ready;
    if (round) break;
    server_stop(r, SIGTERM);
    until(n->loop, n->state != STORE_READY);
    server_start(r, "");
    until(n->loop, n->ready > ready);
  }
  for (int i = 0; i < 3; i++) {
    take_all(n, t[i], &list);
    is_int(list.n, 4, "and come after the restart");
    settle_each(n, t[i], &list);
  }
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "and go");

  /* A topic that was set back by hand (XGROUP SETID), with a job that runs behind that point. */
  for (int i = 0; i < 4; i++) add_to(n, q, "back", NULL, &a);
  take_all(n, t[0], &list);
  take_all(n, t[1], &other);
  struct job *held = NULL;
  while (other.n > 1) settle(n, t[1], job_list_pop(&other), STORE_DONE, 0, NULL);
  held = job_list_pop(&other);
  char text[256];
  redis(r, text, sizeof text, "XGROUP SETID pb:{mark}:s b 0 ENTRIESREAD 0");
  take_all(n, t[2], &other);
  settle_each(n, t[2], &other);
  settle_each(n, t[0], &list);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 4, "what a topic was set back over stays");
  settle(n, t[1], held, STORE_DONE, 0, NULL);
  take_all(n, t[1], &list);
  is_int(list.n, 4, "and is taken again");
  settle_each(n, t[1], &list);
  is_int(redis_int(r, "XLEN pb:{mark}:s"), 0, "and goes");
  for (int i = 0; i < 3; i++) store_topic_free(t[i]);
  store_queue_free(q);

  /* Where bytes are limited nothing stays. */
  struct queue_settings tight = {.name = "tight", .max_bytes = 1 << 20};
  q = store_queue_new(n->store, &tight, (struct gateway){1, 2});
  t[0] = store_topic_new(q, &set[0]);
  attach(n, t[0]);
  for (int i = 0; i < 4; i++) add_to(n, q, "x", NULL, &a);
  front = take_one(n, t[0]);
  take_all(n, t[0], &list);
  settle_each(n, t[0], &list);
  is_int(redis_int(r, "XLEN pb:{tight}:s"), 1, "max_bytes: only what is not done is there");
  settle(n, t[0], front, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "XLEN pb:{tight}:s"), 0, "and then nothing");
  store_topic_free(t[0]);
  store_queue_free(q);
  free(large);
}

static void test_odd(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "odd"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  char text[512], line[128];
  attach(n, t);
  redis(r, text, sizeof text, "XADD pb:{odd}:s * data foreign");
  ok(!take_one(n, t), "what is no job of ours is not run");
  until(n->loop, !store_unsettled(t));
  a = (struct answer){0};
  store_list(t, STORE_SET_DEAD, 0, 10, 4096, on_records, &a);
  until(n->loop, a.n);
  ok(a.count == 1 && !strcmp(a.content, "foreign"), "but kept with the dead jobs");
  like(a.message, "stored form", "with the reason");
  a = (struct answer){0};
  store_replay(t, STORE_SET_DEAD, a.record.id, on_count, &a);
  until(n->loop, a.n);
  ok(!due_one(n, t, NULL), "a replay does not run it either");
  until(n->loop, !store_unsettled(t));
  is_int(look(n, t).dead, 1, "it is dead again");

  redis(r, text, sizeof text, "SCRIPT FLUSH");
  is_int(look(n, t).dead, 1, "forgotten scripts are loaded again");
  redis(r, text, sizeof text, "XGROUP DESTROY pb:{odd}:s t");
  add_to(n, q, "x", NULL, &a);
  a = (struct answer){0};
  store_take(t, 5, on_taken, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.more && !a.jobs.n, "a lost group is made again");
  struct job *job = take_one(n, t);
  ok(job != NULL, "and loses nothing");
  settle(n, t, job, STORE_DONE, 0, NULL);

  add_to(n, q, "gone", NULL, &a);
  job = take_one(n, t);
  redis(r, text, sizeof text, "XTRIM pb:{odd}:s MAXLEN 0");
  job_free(job);
  store_topic_free(t);
  t = store_topic_new(q, &ts);
  attach(n, t);
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  ok(!a.jobs.n && look(n, t).running == 0, "an entry that is gone is acknowledged away");

  a = (struct answer){0};
  store_pause(t, true, "me", "why", on_count, &a);
  until(n->loop, a.n);
  ok(look(n, t).paused, "paused");
  store_pause(t, false, "", "", on_count, &a);
  until(n->loop, a.n > 1);
  ok(!look(n, t).paused, "resumed");

  /* How long a claimed retry is left to its node. */
  const struct {
    uint64_t timeout_ms, chunk_wait_ms;
    const char *name;
  } times[] = {{1000, 600000, "a claimed retry may wait for its chunk to fill"},
               {900000, 0, "and a reload that gives its topic more time counts"}};
  for (size_t i = 0; i < 2; i++) {
    ts.timeout_ms = times[i].timeout_ms;
    ts.chunk_wait_ms = times[i].chunk_wait_ms;
    store_topic_times(t, &ts);
    add_to(n, q, "held", NULL, &a);
    settle(n, t, take_one(n, t), STORE_RETRY, 1, "y");
    job = due_one(n, t, NULL);
    snprintf(line, sizeof line, "ZCOUNT pb:{odd}:r:t %" PRIu64 " +inf",
             loop_wall_ms(n->loop) + times[i].timeout_ms + times[i].chunk_wait_ms);
    is_int(redis_int(r, line), 1, "%s", times[i].name);
    settle(n, t, job, STORE_DONE, 0, NULL);
  }

  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  add_to(n, q, "x", NULL, &a);
  is_int(a.rc, STORE_ERROR, "a full server is an error");
  like(a.why, "out of memory", "that says so");
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
  add_to(n, q, "x", NULL, &a);
  job = take_one(n, t);
  redis(r, text, sizeof text, "CONFIG SET maxmemory 1mb");
  settle(n, t, job, STORE_RETRY, 1, "y");
  job = due_one(n, t, NULL);
  ok(job != NULL, "outcomes and retries go on in a full server");
  settle(n, t, job, STORE_DONE, 0, NULL);
  redis(r, text, sizeof text, "CONFIG SET maxmemory 0");
  store_topic_free(t);
  store_queue_free(q);
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
  struct answer a, b;
  char text[4096], line[200];
  struct job *job;
  strcpy(act.queue, "acts");
  strcpy(act.topic, "t");
  attach(n, t);

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
  store_topic_free(t);
  store_queue_free(q);
}

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

/* --- losing the server --- */

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

/* @case R1: after a restart of Redis, whose lag counts jobs that were handled long ago, nothing
 * waits for the count, which is made in slices and comes out right */
static void test_counting(struct node *n, struct server *r) {
  struct queue_settings qs = {.name = "cnt"};
  struct topic_settings set[] = {{.name = "all", .start_from = 1}, {.name = "mid"}};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t[2];
  struct answer a;
  char text[4096];
  unsigned ready = n->ready;
  for (int i = 0; i < 2; i++) {
    set[i].queue = &qs;
    set[i].timeout_ms = 60000;
    t[i] = store_topic_new(q, &set[i]);
    attach(n, t[i]);
  }
  redis(r, text, sizeof text,
        "EVAL \"for i = 1, 9000 do redis.call('XADD', KEYS[1], '*', 'f', 'v') end\" 1 pb:{cnt}:s");
  redis(r, text, sizeof text, "XREADGROUP GROUP mid x COUNT 4000 STREAMS pb:{cnt}:s >");
  redis(r, text, sizeof text, "XGROUP DELCONSUMER pb:{cnt}:s mid x");
  is_int(look(n, t[1]).ready, 5000, "a group in the middle of a stream");
  server_stop(r, SIGTERM);
  until(n->loop, n->state != STORE_READY);
  server_start(r, "");
  until(n->loop, n->ready > ready);
  attach(n, t[1]);
  struct store_depth d = look(n, t[1]);
  ok(d.ready == 5000 || (d.ready_at_most && d.ready > 5000), "until it is counted, a bound");
  struct job *job = take_one(n, t[1]);
  ok(!job, "taking does not wait for it (what is taken is no job of ours)");
  until(n->loop, !look(n, t[1]).ready_at_most && !store_unsettled(t[1]));
  d = look(n, t[1]);
  is_int(d.ready, 4999, "then it is known");
  for (int i = 0; i < 7; i++) add_to(n, q, "new", NULL, &a);
  is_int(look(n, t[1]).ready, 5006, "and goes on being known");
  is_int(look(n, t[0]).ready, 9007, "of a group at the beginning as well");
  redis(r, text, sizeof text, "HGETALL pb:{cnt}:n");
  ok(strstr(text, "mid"), "the server remembers that it was counted");

  /* All but the first: the group at the front lets go of them at once, in parts. */
  redis(r, text, sizeof text,
        "EVAL \"for i = 1, 60000 do redis.call('XADD', KEYS[1], '*', 'f', 'v') end\" 1 pb:{cnt}:s");
  redis(r, text, sizeof text, "XGROUP SETID pb:{cnt}:s mid $ ENTRIESREAD 69008");
  redis(r, text, sizeof text, "XGROUP SETID pb:{cnt}:s all $ ENTRIESREAD 69008");
  groups_trim(q);
  until(n->loop, redis_int(r, "XLEN pb:{cnt}:s") < 10);
  ok(redis_int(r, "XLEN pb:{cnt}:s") < 10, "what is settled goes in parts, to its end");
  for (int i = 0; i < 2; i++) store_topic_free(t[i]);
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
}

/* --- several nodes --- */

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

static void test_nodes(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "nodes"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 60000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  struct job *job;
  int fd;
  attach(n, t);
  for (int round = 0; round < 2; round++) { /* one job in the retry set, one in the stream */
    add_to(n, q, "f", NULL, &a);
    if (round == 0) settle(n, t, take_one(n, t), STORE_RETRY, 1, "x");
  }
  pid_t pid = fork_node(r, "web2", "two", 6, &fd);
  is_int(fork_wait(fd), 'y', "another node takes both");
  struct node third = {0};
  node_start(&third, n->loop, r, "web2", "three", 9);
  until(n->loop, third.name_taken);
  is_int(third.name_taken, 1, "its living namesake is told to stop");
  is_int(third.state, STORE_REFUSED, "and refused");
  store_free(third.store);
  node_start(&third, n->loop, r, "web3", "three", 6);
  until(n->loop, third.shard_taken);
  is_int(third.shard_taken, 1, "a shard belongs to one living node");
  store_claim_shard(third.store, 11);
  until(n->loop, third.ready);
  is_int(third.state, STORE_READY, "with another it is fine");
  a = (struct answer){0};
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
  is_int(a.count, 3, "three nodes live");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  uint64_t began = loop_clock_ms();
  struct node again = {0};
  again.st.lease_ms = 60000;
  node_start(&again, n->loop, r, "web2", "four", 6);
  until(n->loop, again.ready);
  ok(again.state == STORE_READY && loop_clock_ms() - began < LEASE_MS / 2,
     "a killed node's successor of the same name takes over at once");
  ok(store_id_mark(again.store) > 0, "and knows which ids are used");
  struct store_queue *q2 = store_queue_new(again.store, &qs, (struct gateway){1, 2});
  struct store_topic *t2 = store_topic_new(q2, &ts);
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

  /* By the message: a sweep would tell both of them. */
  until(n->loop, redis_link_is_up(third.store->sub));
  timer_stop(&n->store->sweep.timer);
  timer_stop(&third.store->sweep.timer);
  look(n, t); /* behind it nothing of an earlier sweep is on the way */
  a = (struct answer){0};
  store_nodes(third.store, on_nodes, &a);
  until(n->loop, a.n);
  unsigned before = third.woken, own = n->woken;
  add_to(n, q, "w", NULL, &a);
  until(n->loop, third.woken > before);
  ok(third.woken > before, "another node is woken");
  look(n, t);
  is_int(n->woken, own, "this one is not");

  /* A wake-up that is still to be sent (not within a second of the last one) when the link breaks.
   */
  char text[64];
  unsigned ready = n->ready, thirds = third.ready;
  wakeup_peers(q, false);
  run_for(n->loop, 1);
  redis(r, text, sizeof text, "CLIENT KILL TYPE normal SKIPME yes");
  until(n->loop, n->ready > ready && third.ready > thirds);
  until(n->loop, !q->wake.wanted);
  ok(!q->wake.wanted, "it is sent when the link is back");
  timer_start(&n->store->sweep.timer, 1);
  timer_start(&third.store->sweep.timer, 1);

  /* Retries: the first is told when it is there, a later one not, an earlier one again. */
  uint64_t far = loop_wall_ms(n->loop) + 60000, told;
  const uint64_t dues[] = {far, far + 1, far - 30000};
  for (int i = 0; i < 3; i++) add_to(n, q, "d", NULL, &a);
  told = third.due_told;
  for (int i = 0; i < 3; i++) {
    settle(n, t, take_one(n, t), STORE_RETRY, dues[i], "x");
    if (i != 1) until(n->loop, third.due_ms == dues[i]);
  }
  is_int(third.due_ms, far - 30000, "another node hears when a retry is due");
  is_str(third.due_path, "nodes/t", "and of which topic");
  is_int(third.due_told - told, 2, "one that is due later is no news");
  is_int(n->due_told, 0, "this one hears nothing of its own");
  a = (struct answer){0};
  many(n, t, STORE_ACT_PURGE, STORE_SET_RETRY, 0, &a);
  until(n->loop, a.n);

  /* A node that has not looked at the registry yet knows of no other: it tells them all the same.
   */
  struct node young = {0};
  node_start(&young, n->loop, r, "web4", "five", 13);
  until(n->loop, young.ready);
  timer_stop(&young.store->sweep.timer);
  q2 = store_queue_new(young.store, &qs, (struct gateway){1, 2});
  t2 = store_topic_new(q2, &ts);
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
  timer_stop(&third.store->sweep.timer);
  timer_stop(&third.store->census.timer);
  redis_int(r, "DEL pb:{@}:woken");
  look(n, t); /* behind it nothing of an earlier sweep is on the way */
  n->died[0] = 0;
  own = n->woken;
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

/* The registry as this node sees it, and whether `name` is dead by it. The clock of leases is moved
 * by hand: `beats` is what lease_join.lua writes. */
static bool is_dead(struct node *n, const struct server *r, const char *name) {
  struct answer a = {0};
  char text[4096], line[128];
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
  snprintf(line, sizeof line, "HGET pb:{@}:beats %s", name);
  redis(r, text, sizeof text, line);
  return strstr(text, "dead") != NULL;
}

static long up_of(const struct server *r) {
  char text[256], *at;
  redis(r, text, sizeof text, "HGET pb:{@}:beats @up");
  at = strchr(text, '\n');
  return at ? atol(at + 1) : -1;
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
  struct answer a = {0}; /* behind it the renewal has been answered */
  store_nodes(n->store, on_nodes, &a);
  until(n->loop, a.n);
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
  timer_start(&n->store->census.timer, 0);
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

  redis(r, text, sizeof text, "XGROUP DELCONSUMER pb:{census}:s t act:1");
  /* An entry that was read for this node, with an answer that it never got. */
  add_to(n, q, "3", NULL, &a);
  snprintf(line, sizeof line, "XREADGROUP GROUP t %s COUNT 1 STREAMS pb:{census}:s >",
           n->server.node);
  redis(r, text, sizeof text, line);
  timer_start(&n->store->census.timer, 0);
  until(n->loop, n->missing);
  ok(n->missing > 0, "what it lacks is told");
  a = (struct answer){0};
  store_recover(t, NULL, 10, on_taken, &a);
  until(n->loop, a.n);
  is_int(a.jobs.n, 1, "and comes by a recovery");
  settle(n, t, job_list_pop(&a.jobs), STORE_DONE, 0, NULL);

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
    store_look(l.t, on_depth, &a);
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

/* What a settled, retried or dead job of a node that lost it does: nothing. */
static void test_ownership(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "own"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  struct answer a;
  char text[256], line[256];
  attach(n, t);
  add_to(n, q, "mine", NULL, &a);
  struct job *job = take_one(n, t);
  snprintf(line, sizeof line, "XCLAIM pb:{own}:s t other 0 %llu-%llu",
           (unsigned long long)job->entry_ms, (unsigned long long)job->entry_seq);
  redis(r, text, sizeof text, line);
  settle(n, t, job, STORE_RETRY, 1, "late");
  struct store_depth d = look(n, t);
  ok(d.retry == 0 && d.running == 1, "a job that another node took over stays with it");
  store_topic_free(t);
  store_queue_free(q);
}

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

/* --- a server of our own --- */

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

/* --- a command that fails in the middle of a script --- */

struct faulty {
  struct node *n;
  const struct server *r;
  struct queue_settings qs;
  struct topic_settings ts;
  struct store_queue *q;
  struct store_topic *t;
};

static void faulty_start(struct faulty *f, struct node *n, const struct server *r,
                         const char *queue) {
  *f = (struct faulty){.n = n, .r = r, .qs = {.name = queue}};
  f->ts = (struct topic_settings){.name = "t", .queue = &f->qs, .timeout_ms = 1000};
  f->q = store_queue_new(n->store, &f->qs, (struct gateway){1, 2});
  f->t = store_topic_new(f->q, &f->ts);
  attach(n, f->t);
}

static void faulty_end(struct faulty *f) {
  store_topic_free(f->t);
  store_queue_free(f->q);
}

static void say(const struct faulty *f, const char *line) {
  char text[256];
  redis(f->r, text, sizeof text, line);
  if (*text == '-') fail("%s: %s", line, text);
}

/* An outcome that is not durable before `line` is said. */
static void settle_after(struct faulty *f, struct job *job, enum store_verdict v, uint64_t due_ms,
                         const char *line, const char *what) {
  struct store_outcome o = {.verdict = v, .due_ms = due_ms, .message = "", .code = 500};
  char text[256];
  store_settle(f->t, job, &o);
  until(f->n->loop, !f->t->settle.dirty && !f->t->settle.answers); /* the first answer */
  ok(store_unsettled(f->t) == 1, "%s: it is kept and tried again", what);
  redis(f->r, text, sizeof text, line);
  until(f->n->loop, !store_unsettled(f->t));
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

/* @case R6: moving a delayed job neither loses it, nor adds it again and again. */
static void test_move_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  faulty_start(&f, n, r, "flm");
  struct store_add later = {.delay_ms = 1};
  add_to(n, f.q, "one", &later, &a);
  run_for(n->loop, 5);
  say(&f, "ACL SETUSER default -zrem");
  for (int i = 0; i < 3; i++) {
    a = (struct answer){0};
    store_move_due(f.q, on_moved, &a);
    until(n->loop, a.n);
  }
  say(&f, "ACL SETUSER default +zrem");
  is_int(a.rc, STORE_ERROR, "ZREM forbidden: an error");
  is_int(redis_int(r, "XLEN pb:{flm}:s"), 0, "and nothing in the stream");
  say(&f, "ZADD pb:{flm}:d 1 7");
  say(&f, "HSET pb:{flm}:j 7 what-is-this");
  say(&f, "ZADD pb:{flm}:d 1 8");
  a = (struct answer){0};
  store_move_due(f.q, on_moved, &a);
  until(n->loop, a.n);
  ok(!a.rc && a.count == 2, "what is odd holds up nobody: %u moved", (unsigned)a.count);
  is_int(redis_int(r, "ZCARD pb:{flm}:d"), 0, "none is left");
  struct job *job = take_one(n, f.t);
  until(n->loop, look(n, f.t).dead == 1);
  ok(look(n, f.t).dead == 1, "the odd one is dead, to be seen");
  if (!job) job = take_one(n, f.t);
  ok(job && job->content_len == 3, "and the job is there");
  settle(n, f.t, job, STORE_DONE, 0, NULL);
  faulty_end(&f);
}

/* @case R6: an outcome that cannot be stored is kept, and what else fails keeps none. */
static void test_settle_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  uint64_t next;
  faulty_start(&f, n, r, "fls");
  add_to(n, f.q, "one", NULL, &a);
  say(&f, "SET pb:{fls}:e:t foreign");
  settle(n, f.t, take_one(n, f.t), STORE_RETRY, 1, "no luck");
  is_int(look(n, f.t).retry, 1, "an error log that cannot be written keeps no job");
  struct job *job = due_one(n, f.t, NULL);
  say(&f, "RENAME pb:{fls}:r:t kept");
  say(&f, "SET pb:{fls}:r:t foreign");
  job->failed++;
  settle_after(&f, job, STORE_RETRY, 1, "RENAME kept pb:{fls}:r:t", "the retry set is foreign");
  job = due_one(n, f.t, NULL);
  ok(job && job->failed == 2 && job->crashes == 0, "then it waits, its attempts counted");
  settle(n, f.t, job, STORE_DONE, 0, NULL);
  is_int(redis_int(r, "EXISTS pb:{fls}:h:t pb:{fls}:b:t pb:{fls}:c:t pb:{fls}:r:t"), 0,
         "and leaves nothing when it is done");

  add_to(n, f.q, "two", NULL, &a);
  job = take_one(n, f.t);
  job->failed++;
  say(&f, "SET pb:{fls}:b:t foreign");
  settle_after(&f, job, STORE_RETRY, 1, "DEL pb:{fls}:b:t", "the bytes' place is foreign");
  job = due_one(n, f.t, NULL);
  ok(job && job->content_len == 3, "then it waits with its bytes");
  settle(n, f.t, job, STORE_RETRY, 1, "x");

  say(&f, "ACL SETUSER default -zadd");
  a = (struct answer){0};
  store_take_due(f.t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +zadd");
  is_int(a.rc, STORE_ERROR, "ZADD forbidden: no retry is taken");
  is_int(redis_int(r, "HLEN pb:{fls}:c:t"), 0, "and none claimed");
  say(&f, "DEL pb:{fls}:h:t");
  job = due_one(n, f.t, &next);
  ok(job && job->crashes == 0 && job->content_len == 3, "a job whose record is gone runs");
  settle(n, f.t, job, STORE_RETRY, 1, "x");
  job = due_one(n, f.t, NULL);
  ok(job && job->failed == 1, "and is counted anew");
  say(&f, "DEL pb:{fls}:h:t");
  settle(n, f.t, job, STORE_RETRY, 1, "x");
  is_int(look(n, f.t).retry, 1, "also where the record goes while it runs");
  say(&f, "HSET pb:{fls}:h:t x y");
  job = due_one(n, f.t, NULL);
  settle(n, f.t, job, STORE_DONE, 0, NULL);

  add_to(n, f.q, "three", NULL, &a);
  say(&f, "ACL SETUSER default -xtrim");
  settle(n, f.t, take_one(n, f.t), STORE_DONE, 0, NULL);
  say(&f, "ACL SETUSER default +xtrim");
  is_int(look(n, f.t).running, 0, "what cannot be deleted is settled all the same");
  faulty_end(&f);
}

/* @case R6: RPOP gives the job, or leaves it where it is. */
static void test_pop_faults(struct node *n, const struct server *r) {
  struct faulty f;
  struct answer a;
  faulty_start(&f, n, r, "flp");
  add_to(n, f.q, "one", NULL, &a);
  settle(n, f.t, take_one(n, f.t), STORE_RETRY, 1, "x");
  say(&f, "ACL SETUSER default -zrem");
  a = (struct answer){0};
  store_pop(f.t, on_popped, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +zrem");
  ok(a.rc == STORE_ERROR && !a.job && look(n, f.t).retry == 1, "ZREM forbidden: it stays");
  say(&f, "ACL SETUSER default -hdel");
  a = (struct answer){0};
  store_pop(f.t, on_popped, &a);
  until(n->loop, a.n);
  say(&f, "ACL SETUSER default +hdel");
  ok(!a.rc && a.job && a.job->content_len == 3, "HDEL forbidden: it is given all the same");
  job_free(a.job);
  faulty_end(&f);
}

/* --- data that is lost while everything runs --- */

struct lossy {
  struct queue_settings qs;
  struct topic_settings a, b;
  const struct topic_settings *topics[2];
  struct storage_settings st;
  struct store_queue *q;
  struct store_topic *ta, *tb;
};

static void lossy_start(struct lossy *l, struct node *n, const char *name) {
  *l = (struct lossy){.qs = {.name = name}, .st = {.name = "main"}};
  l->a = (struct topic_settings){
      .name = "a", .queue = &l->qs, .storage = &l->st, .timeout_ms = 1000, .enabled = 1};
  l->b = l->a;
  l->b.name = "b";
  l->b.enabled = 0; /* nobody attaches it */
  l->topics[0] = &l->a;
  l->topics[1] = &l->b;
  l->qs.topics = l->topics;
  l->qs.n_topics = 2;
  l->q = store_queue_new(n->store, &l->qs, (struct gateway){1, 2});
  l->ta = store_topic_new(l->q, &l->a);
  l->tb = store_topic_new(l->q, &l->b);
  attach(n, l->ta);
  until(n->loop, !l->q->groups.asked);
}

static void lossy_end(struct lossy *l) {
  store_topic_free(l->ta);
  store_topic_free(l->tb);
  store_queue_free(l->q);
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
  timer_start(&n->store->census.timer, 0);
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
  struct server r = {0};
  struct node n = {0};
  signal(SIGPIPE, SIG_IGN);
  snprintf(r.dir, sizeof r.dir, "/tmp/pepperbus-test-XXXXXX");
  if (!mkdtemp(r.dir)) bail_out("mkdtemp");
  snprintf(r.path, sizeof r.path, "%s/r.sock", r.dir);
  snprintf(r.address, sizeof r.address, "unix:%s", r.path);
  server_start(&r, "");
  struct log *log = log_new(2);
  if (!getenv("VERBOSE")) log_configure(log, PB_LOG_ERROR, false);
  struct loop *loop = loop_new(log);
  node_start(&n, loop, &r, "web1", "one", 5);
  until(loop, n.ready);
  is_int(n.state, STORE_READY, "ready");
  test_life(&n, &r);
  test_intake(&n, &r);
  test_topics(&n, &r);
  test_forget(&n, &r);
  test_odd(&n, &r);
  test_pages(&n, &r);
  test_acts(&n, &r);
  test_bounds(&n);
  test_ownership(&n, &r);
  test_broken(&n, &r);
  test_add_faults(&n, &r);
  test_move_faults(&n, &r);
  test_settle_faults(&n, &r);
  test_pop_faults(&n, &r);
  test_lost_groups(&n, &r);
  test_dropped_elsewhere(&n, &r);
  test_sets_deleted(&n, &r);
  test_groups_first(&n, &r);
  test_nodes(&n, &r);
  test_census(&n, &r);
  test_idle(&n, &r);
  test_restart(&n, &r);
  test_counting(&n, &r);
  test_loading(&n, &r);
  store_leave(n.store);
  until(loop, store_idle(n.store));
  store_free(n.store);
  test_held(loop, &r);
  test_held_bytes(loop, &r);
  test_refused(loop, &r);
  test_dead(loop, &r);
  server_stop(&r, SIGTERM);
  test_managed(loop, &r);
  loop_free(loop);
  log_free(log);
  remove_tree(r.dir);
  return done_testing();
}
