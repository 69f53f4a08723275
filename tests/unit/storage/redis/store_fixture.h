/* A real redis-server on a unix socket in a folder of its own, a node of it, and the calls of the
 * store waited for. For the tests of storage/redis/. */
#ifndef PB_TESTS_UNIT_STORAGE_REDIS_STORE_FIXTURE_H
#define PB_TESTS_UNIT_STORAGE_REDIS_STORE_FIXTURE_H

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

static inline int plain_connect(const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (strlen(path) >= sizeof sun.sun_path) bail_out("a path that is too long");
  strcpy(sun.sun_path, path);
  if (fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof sun)) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* The raw reply to one inline command. */
static inline const char *redis(const struct server *r, char *ret, size_t cap, const char *line) {
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

static inline long redis_int(const struct server *r, const char *line) {
  char text[4096];
  redis(r, text, sizeof text, line);
  return *text == ':' ? atol(text + 1) : -1;
}

static inline bool redis_has(const struct server *r, const char *command, const char *words) {
  char text[8192];
  redis(r, text, sizeof text, command);
  return strstr(text, words) != NULL;
}

static inline void server_start(struct server *r, const char *more) {
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

static inline void server_stop(struct server *r, int signo) {
  kill(r->pid, signo);
  waitpid(r->pid, NULL, 0);
  unlink(r->path);
}

/* From now on it reads nothing: the signal alone may come to it a little later. */
static inline void server_freeze(const struct server *r) {
  kill(r->pid, SIGSTOP);
  waitpid(r->pid, NULL, WUNTRACED);
}

static inline void remove_tree(const char *dir) {
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

static inline void on_state(void *arg, struct store *s, enum store_state state, const char *why) {
  struct node *n = arg;
  (void)s;
  n->state = state;
  snprintf(n->why, sizeof n->why, "%s", why);
  if (state == STORE_READY) n->ready++;
}

static inline void on_wake(void *arg, struct store *s, const char *queue) {
  (void)s;
  if (*queue) ((struct node *)arg)->woken++;
}

static inline void on_due_told(void *arg, struct store *s, const char *queue, const char *topic,
                               uint64_t due_ms) {
  struct node *n = arg;
  (void)s;
  snprintf(n->due_path, sizeof n->due_path, "%s/%s", queue, topic);
  n->due_ms = due_ms;
  n->due_told++;
}

static inline void on_name(void *arg, struct store *s, const char *why) {
  (void)s;
  (void)why;
  ((struct node *)arg)->name_taken++;
}

static inline void on_shard(void *arg, struct store *s, unsigned shard) {
  (void)s;
  (void)shard;
  ((struct node *)arg)->shard_taken++;
}

static inline void on_declared_dead(void *arg, struct store *s) {
  (void)s;
  ((struct node *)arg)->declared_dead++;
}

static inline void on_missing(void *arg, struct store *s, const char *queue, const char *topic) {
  (void)s;
  (void)queue;
  (void)topic;
  ((struct node *)arg)->missing++;
}

static inline void on_died(void *arg, struct store *s, const char *node) {
  struct node *n = arg;
  (void)s;
  snprintf(n->died, sizeof n->died, "%s", node);
}

static inline void node_start(struct node *n, struct loop *loop, const struct server *r,
                              const char *name, const char *instance, unsigned shard) {
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

static inline void run_for(struct loop *loop, uint64_t ms) {
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
  uint64_t total, left, undo_ms;
  char names[128];
};

static inline void said(struct answer *a, enum store_rc rc, const char *why) {
  a->n++;
  a->rc = rc;
  snprintf(a->why, sizeof a->why, "%s", why);
}

static inline void on_added(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->id = id;
}

static inline void on_depth(void *arg, enum store_rc rc, const struct store_depth *d,
                            const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->depth = *d;
  a->depth.pause = NULL; /* was valid during the call */
}

static inline void on_depths(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                             const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = n;
  if (n == 3) memcpy(a->depths, d, sizeof a->depths);
  for (size_t i = 0; i < 3; i++) a->depths[i].pause = NULL;
}

static inline void on_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                            const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->more = more;
  for (struct job *job; (job = job_list_pop(jobs));) job_list_push(&a->jobs, job);
}

static inline void on_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due,
                          const char *why) {
  struct answer *a = arg;
  on_taken(a, rc, jobs, false, why);
  a->next_due = next_due;
}

static inline void on_popped(void *arg, enum store_rc rc, struct job *job, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->job = job;
}

static inline void on_moved(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due) {
  struct answer *a = arg;
  said(a, rc, "");
  a->count = moved;
  a->next_due = next_due;
}

static inline void on_count(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = count;
}

static inline void on_records(void *arg, enum store_rc rc, const struct store_record *r, size_t n,
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

static inline void on_errors(void *arg, enum store_rc rc, const struct store_error *e, size_t n,
                             const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = n;
  if (n) snprintf(a->message, sizeof a->message, "%.*s", (int)e->message_len, e->message);
}

static inline void on_nodes(void *arg, enum store_rc rc, const struct store_node *nodes, size_t n) {
  struct answer *a = arg;
  said(a, rc, "");
  a->count = 0;
  for (size_t i = 0; i < n; i++) a->count += nodes[i].alive;
}

static inline void on_flushed(void *arg, bool idle) {
  struct answer *a = arg;
  a->n++;
  a->more = idle;
}

/* --- the calls, waited for --- */

static inline uint64_t add_to(struct node *n, struct store_queue *q, const char *content,
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

static inline struct job *take_one(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_take(t, 1, on_taken, &a);
  until(n->loop, a.n);
  return job_list_pop(&a.jobs);
}

static inline struct job *due_one(struct node *n, struct store_topic *t, uint64_t *next) {
  struct answer a = {0};
  store_take_due(t, 10, 1 << 30, on_due, &a);
  until(n->loop, a.n);
  if (next) *next = a.next_due;
  struct job *first = job_list_pop(&a.jobs);
  for (struct job *more; (more = job_list_pop(&a.jobs));) job_free(more);
  return first;
}

static inline struct store_depth look(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_ask_depth(t, on_depth, &a);
  until(n->loop, a.n);
  return a.depth;
}

static inline void attach(struct node *n, struct store_topic *t) {
  struct answer a = {0};
  store_attach(t, on_depth, &a);
  until(n->loop, a.n);
  if (a.rc) fail("attach: %s", a.why);
}

static inline void settle(struct node *n, struct store_topic *t, struct job *job,
                          enum store_verdict v, uint64_t due_ms, const char *message) {
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

static inline void on_slice(void *arg, enum store_rc rc, const struct store_slice *got,
                            const char *why) {
  struct answer *a = arg;
  said(a, rc, why);
  a->count = got->done;
  a->total = got->of;
  a->more = !got->over;
  a->next_due = got->wait_ms;
  a->left = got->left;
}

static inline void slice(struct node *n, const struct store_act *act, struct answer *a) {
  *a = (struct answer){0};
  store_act_slice(n->store, act, on_slice, a);
  until(n->loop, a->n);
}

static inline void many(struct node *n, const struct store_topic *t, enum store_act_kind kind,
                        enum store_set set, uint64_t count, struct answer *a) {
  struct store_act act = {.kind = kind, .set = set, .count = count};
  snprintf(act.id, sizeof act.id, "%" PRIx64, id_mint(&n->ids, loop_wall_ms(n->loop)));
  snprintf(act.queue, sizeof act.queue, "%s", t->q->name);
  snprintf(act.topic, sizeof act.topic, "%s", t->name);
  do slice(n, &act, a);
  while (!a->rc && a->more);
  store_act_wake(n->store, act.queue);
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

static inline void faulty_start(struct faulty *f, struct node *n, const struct server *r,
                                const char *queue) {
  *f = (struct faulty){.n = n, .r = r, .qs = {.name = queue}};
  f->ts = (struct topic_settings){.name = "t", .queue = &f->qs, .timeout_ms = 1000};
  f->q = store_queue_new(n->store, &f->qs, (struct gateway){1, 2});
  f->t = store_topic_new(f->q, &f->ts);
  attach(n, f->t);
}

static inline void faulty_end(struct faulty *f) {
  store_topic_free(f->t);
  store_queue_free(f->q);
}

static inline void say(const struct faulty *f, const char *line) {
  char text[256];
  redis(f->r, text, sizeof text, line);
  if (*text == '-') fail("%s: %s", line, text);
}

/* An outcome that is not durable before `line` is said. */
static inline void settle_after(struct faulty *f, struct job *job, enum store_verdict v,
                                uint64_t due_ms, const char *line, const char *what) {
  struct store_outcome o = {.verdict = v, .due_ms = due_ms, .message = "", .code = 500};
  char text[256];
  store_settle(f->t, job, &o);
  until(f->n->loop, !f->t->settle.dirty && !f->t->settle.answers); /* the first answer */
  ok(store_unsettled(f->t) == 1, "%s: it is kept and tried again", what);
  redis(f->r, text, sizeof text, line);
  until(f->n->loop, !store_unsettled(f->t));
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

static inline void lossy_start(struct lossy *l, struct node *n, const char *name) {
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

static inline void lossy_end(struct lossy *l) {
  store_topic_free(l->ta);
  store_topic_free(l->tb);
  store_queue_free(l->q);
}

/* --- a test program: one server, one node --- */

struct bench {
  struct server r;
  struct log *log;
  struct loop *loop;
  struct node n;
};

static inline void bench_start(struct bench *b) {
  signal(SIGPIPE, SIG_IGN);
  snprintf(b->r.dir, sizeof b->r.dir, "/tmp/pepperbus-test-XXXXXX");
  if (!mkdtemp(b->r.dir)) bail_out("mkdtemp");
  snprintf(b->r.path, sizeof b->r.path, "%s/r.sock", b->r.dir);
  snprintf(b->r.address, sizeof b->r.address, "unix:%s", b->r.path);
  server_start(&b->r, "");
  b->log = log_new(2);
  if (!getenv("VERBOSE")) log_configure(b->log, PB_LOG_ERROR, false);
  b->loop = loop_new(b->log);
  node_start(&b->n, b->loop, &b->r, "web1", "one", 5);
  until(b->loop, b->n.ready);
  is_int(b->n.state, STORE_READY, "ready");
}

/* The node leaves; the server stays. */
static inline void bench_leave(struct bench *b) {
  store_leave(b->n.store);
  until(b->loop, store_idle(b->n.store));
  store_free(b->n.store);
}

static inline int bench_end(struct bench *b) {
  if (b->r.pid) server_stop(&b->r, SIGTERM);
  loop_free(b->loop);
  log_free(b->log);
  remove_tree(b->r.dir);
  return done_testing();
}

#endif
