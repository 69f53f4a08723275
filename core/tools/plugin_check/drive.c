/* The contract of <pepperbus/transport.h>, rule by rule. A rule opens pools and topics, lets
 * requests run, and takes all down again. Meanwhile the host (host.h) reports breaches.
 *
 * The clock follows real time while the worker has time to answer. When nothing moves any more, the
 * clock jumps to the next timer or deadline. So an hour's patience takes no time, and a request
 * that is never completed is found.
 */
#include "tools/plugin_check/check.h"

#include "tools/plugin_check/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_MS    50   /* as the broker's: longer calls are in its log */
#define SLOW_ONCE   10   /* a call that takes this many times as long is reported at once */
#define LOAD_MS     2000 /* load() and unload() happen once, before anything runs */
#define HORIZON_MS  (25 * 3600 * UINT64_C(1000)) /* how far the clock goes for one wait */
#define REAL_MAX_MS 60000                        /* and how long that takes at most */
/* Real time without a movement, then there will be none: for less, a busy machine may keep a worker
 * waiting, or the thread that starts it, or its end. */
#define STILL_MS    10000
#define TICKETS_MAX 256
#define MANY        40
#define LARGE       (4u << 20)
#define CHUNK       5
#define FD_MAX      4096
#define HEALTH_SIZE 160

struct run { /* a request */
  struct host_ticket *t;
  uint64_t deadline_ms; /* at which the core cancels it */
  bool cancelled, given_up;
};

struct drive {
  const struct pb_transport *t;
  const struct args *args;
  struct peers *peers;
  struct report *r;
  struct progress *progress;
  struct host *h;
  bool peer; /* its worker is one of those in peer.h */
  enum peer_kind kind;
  struct arena *arena; /* of the configurations */
  const void *pool_conf, *topic_conf;
  struct run runs[TICKETS_MAX];
  size_t n;
  uint64_t still_ms; /* STILL_MS, until it was in vain: then it is known to be broken */
  bool alone;        /* its requests run one at a time: the worker's act was for this one */
  int schedstat;
  char slow_call[64];               /* the last that took too long */
  uint64_t call_us, call_queued_us; /* when the call began; time spent waiting for a CPU by then */
  bool fds[FD_MAX];                 /* open before the plugin was loaded */
  const char *fd_rule[FD_MAX];      /* since which rule */
};

/* --- time --- */

static uint64_t real_us(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t real_ms(void) {
  return real_us() / 1000;
}

/* How long this thread could have run and was not let: a busy machine is not the plugin's fault. */
static uint64_t queued_us(const struct drive *d) {
  char text[128];
  unsigned long long ran, queued = 0;
  ssize_t n = d->schedstat < 0 ? -1 : pread(d->schedstat, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = 0;
  return sscanf(text, "%llu %llu", &ran, &queued) == 2 ? queued / 1000 : 0;
}

/* --- reports of the host --- */

static void on_fault(void *arg, const char *sentence) {
  struct drive *d = arg;
  report_broken(d->r, "%s", sentence);
}

static void on_enter(void *arg, const char *what) {
  struct drive *d = arg;
  d->call_queued_us = queued_us(d);
  d->call_us = real_us();
  d->progress->call_ms = d->call_us / 1000; /* before the other sees that there is a call */
  snprintf(d->progress->call, sizeof d->progress->call, "%s", what);
}

static void on_leave(void *arg, const char *what) {
  struct drive *d = arg;
  uint64_t took = real_us() - d->call_us, limit = BLOCK_MS;
  d->progress->call[0] = 0;
  if (!strcmp(what, "load()") || !strcmp(what, "unload()")) limit = LOAD_MS;
  if (d->args->slow || took < limit * 1000) return;
  uint64_t queued = queued_us(d) - d->call_queued_us;
  took -= queued < took ? queued : took;
  if (took < limit * 1000) return;
  /* Once may be the machine: a page that had to be read, a child that was not let run. */
  bool again = !strcmp(d->slow_call, what);
  snprintf(d->slow_call, sizeof d->slow_call, "%s", what);
  if (again || took >= limit * 1000 * SLOW_ONCE)
    report_broken(d->r, "blocks in %s, for more than %llu ms: the whole broker stands still", what,
                  (unsigned long long)limit);
}

/* A text that people will see. */
static void secrets_check(struct drive *d, const char *where, const char *text) {
  const struct pair *lists[] = {d->args->pool, d->args->set};
  struct options all[] = {rules_pool_options(d->t), rules_topic_options(d->t)};
  for (int i = 0; i < 2; i++)
    for (const struct pair *p = lists[i]; p->key; p++) {
      const struct pb_option *o = option_find(all[i], p->key);
      if (o && o->flags & PB_OPT_SECRET && strlen(p->value) >= 6 && strstr(text, p->value))
        report_broken(d->r, "shows the secret %s in %s", p->key, where);
    }
}

static void on_log(void *arg, const char *owner, enum pb_log_level level, const char *text) {
  struct drive *d = arg;
  static const char *const names[] = {"error", "warning", "info", "debug"};
  report_verbose(d->r, "%s: %s: %s", names[level < 3 ? level : 3], owner, text);
  secrets_check(d, "a log line", text);
}

/* --- requests --- */

static bool settled(const struct host_ticket *t) {
  return t->completions && !t->batch;
}

static struct host_ticket *follow(struct drive *d, struct host_ticket *t) {
  if (t && d->n < TICKETS_MAX)
    d->runs[d->n++] = (struct run){.t = t, .deadline_ms = host_now_ms(d->h) + 60000};
  return t;
}

static struct host_ticket *ping(struct drive *d, struct host_inst *in) {
  return follow(d, host_submit(in, NULL, 0));
}

static struct host_ticket *job(struct drive *d, struct host_inst *in) {
  return follow(d, host_submit_jobs(in, 1, "hello", 5));
}

static void cancel(struct drive *d, struct host_ticket *t) {
  for (size_t i = 0; i < d->n; i++)
    if (d->runs[i].t == t) d->runs[i].cancelled = true;
  host_cancel(t);
}

/* Does at deadlines as the core does. Returns the time of the next deadline, or UINT64_MAX. */
static uint64_t deadlines(struct drive *d) {
  uint64_t next = UINT64_MAX, now = host_now_ms(d->h);
  for (size_t i = 0; i < d->n; i++) {
    struct run *run = &d->runs[i];
    if (run->t->completions || run->cancelled || run->given_up) continue;
    if (run->deadline_ms > now) {
      if (run->deadline_ms < next) next = run->deadline_ms;
      continue;
    }
    run->cancelled = true;
    host_cancel(run->t);
  }
  return next;
}

static size_t running(const struct drive *d) {
  size_t n = 0;
  for (size_t i = 0; i < d->n; i++) n += !settled(d->runs[i].t) && !d->runs[i].given_up;
  return n;
}

/* Turns the loop and moves the clock until `done` says so. False: nothing more will happen. */
static bool wait_for(struct drive *d, bool (*done)(struct drive *d, void *arg), void *arg) {
  struct host *h = d->h;
  uint64_t start = real_ms(), horizon = host_now_ms(h) + HORIZON_MS;
  uint64_t quiet_until = start + d->args->wait_ms, moved = start;
  unsigned graces = 100; /* turns after a timer in which a worker is given a moment */
  bool released = !d->peer;
  for (;;) {
    uint64_t deadline = deadlines(d), now = real_ms(), timer;
    if (done(d, arg)) return true;
    unsigned io = host_stats(h)->io_sets;
    int wait = quiet_until > now ? (int)(quiet_until - now) : 0;
    unsigned calls = host_turn(h, wait < 10 ? wait : 10);
    uint64_t before = now;
    now = real_ms();
    host_skip(h, now > before ? now - before : 1); /* every turn takes some time */
    if (now - start > REAL_MAX_MS) return done(d, arg);
    if (calls || host_stats(h)->io_sets != io) {
      moved = now;
      uint64_t more = host_stats(h)->io_sets != io ? d->args->wait_ms : graces ? 8 : 0;
      if (host_stats(h)->io_sets == io && graces) graces--;
      if (now + more > quiet_until) quiet_until = now + more;
    }
    if (now < quiet_until || done(d, arg)) continue;
    uint64_t next = host_next_timer(h, &timer) ? host_now_ms(h) + timer : UINT64_MAX;
    if (deadline < next) next = deadline;
    if (next <= horizon) {
      moved = now;
      host_skip(h, next - host_now_ms(h));
    } else if (!released) {
      released = true;
      peers_release(d->peers);
      moved = real_ms();
      quiet_until = moved + 2 * d->args->wait_ms;
    } else if (now - moved >= d->still_ms) {
      d->still_ms = 0;
      return false;
    } else {
      quiet_until = now + 10;
    }
  }
}

static bool none_runs(struct drive *d, void *arg) {
  (void)arg;
  return !running(d);
}

/* Waits until all requests are over. A request that is never completed is reported. */
static void wait_all(struct drive *d) {
  if (wait_for(d, none_runs, NULL)) return;
  unsigned pings = 0, jobs = 0;
  bool cancelled = false;
  for (size_t i = 0; i < d->n; i++) {
    struct run *run = &d->runs[i];
    if (settled(run->t) || run->given_up) continue;
    run->given_up = true;
    cancelled |= run->cancelled;
    *(run->t->was_ping ? &pings : &jobs) += 1;
  }
  report_broken(d->r,
                "never completes a request%s%s; each ticket that submit() takes is owed complete()",
                pings && !jobs ? " (a ping)" : "",
                cancelled ? ", not even after cancel() and when its worker is gone" : "");
}

/* --- allowed outcomes, by the worker's behaviour --- */

static bool topic_listed(const struct drive *d, const struct host_ticket *t) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", d->args->queue, d->args->topic);
  return strstr(t->topics, path) || (t->body_len && strstr(t->body, path));
}

static void outcome_check(struct drive *d, const struct run *run) {
  const struct host_ticket *t = run->t;
  const char *name = host_outcome(t->outcome);
  if (!settled(t)) return;
  secrets_check(d, "the detail of an outcome", t->detail);
  report_verbose(d->r, "%s %d: %.200s", name, t->code, t->detail);
  if (run->cancelled) return; /* the outcome of such a request does not matter */
  bool unseen = t->outcome == PB_UNREACHABLE || t->outcome == PB_BUSY;
  if (t->outcome != PB_ANSWERED && t->outcome != PB_BUSY && !*t->detail)
    report_broken(d->r, "completes a request as %s and leaves `detail` empty: nobody learns why",
                  name);
  if (!d->peer) {
    if (t->outcome != PB_ANSWERED)
      report_broken(d->r, "does not get an answer from the worker that was given: %s, %.200s", name,
                    t->detail);
    else if (t->was_ping && t->code == 200 && !topic_listed(d, t))
      report_broken(d->r,
                    "answers a ping with 200 but with the topic %s/%s neither in `topics` "
                    "nor in `body`: no job will be sent",
                    d->args->queue, d->args->topic);
    return;
  }
  if (d->kind == PEER_REFUSES && !unseen)
    report_broken(d->r,
                  "says %s of a worker at whose address nobody listens; that is "
                  "PB_UNREACHABLE, which costs no attempt",
                  name);
  if (d->kind != PEER_REFUSES && d->alone && unseen && !t->was_ping)
    report_broken(d->r,
                  "says %s of a worker that had read a part of the request; the job may have "
                  "run, that is PB_LOST",
                  name);
  if (d->kind != PEER_REFUSES && t->outcome == PB_ANSWERED && t->code == 200)
    report_broken(d->r, "calls a job done (200) though its worker never said so");
}

static void outcomes_check(struct drive *d) {
  for (size_t i = 0; i < d->n; i++) outcome_check(d, &d->runs[i]);
}

/* --- pools and topics of a rule --- */

static struct host_pool *pool_open(struct drive *d) {
  struct pb_err err = {0};
  struct host_pool *p = host_pool_with(d->h, d->pool_conf, &err);
  if (!p) report_broken(d->r, "refuses the pool: %s", *err.text ? err.text : "it does not say why");
  return p;
}

static struct host_inst *topic_open(struct drive *d, struct host_pool *p, const char *topic) {
  struct pb_err err = {0};
  unsigned chunk = d->t->caps & PB_CAP_CHUNK ? CHUNK : 1;
  struct host_inst *in =
      p ? host_topic_with(p, d->args->queue, topic, chunk, d->topic_conf, &err) : NULL;
  if (p && !in)
    report_broken(d->r, "refuses the topic: %s", *err.text ? err.text : "it does not say why");
  return in;
}

static bool is_drained(struct drive *d, void *arg) {
  (void)d;
  return host_drained(arg);
}

/* The end of a topic as the broker does it. */
static void topic_close(struct drive *d, struct host_inst *in) {
  if (!in) return;
  host_drain(in);
  wait_all(d);
  if (!wait_for(d, is_drained, in) && !host_open(in))
    report_broken(d->r, "never calls drained() after drain(), though no request runs");
  host_destroy(in);
}

static void pool_shut(struct host_pool *p) {
  if (p) host_pool_close(p);
}

/* --- the rules --- */

struct room {
  struct host_inst *in;
  unsigned ready; /* so often before */
};

static bool has_room(struct drive *d, void *arg) {
  const struct room *room = arg;
  (void)d;
  return host_ready(room->in) > room->ready;
}

/* A job or a ping, with nothing running. -EAGAIN is fine as long as ready() follows, and then there
 * is room. NULL: refused, or told. */
static struct host_ticket *submit_after(struct drive *d, struct host_inst *in, bool is_ping,
                                        const char *when) {
  for (int tries = 0; tries < 10; tries++) {
    struct room room = {in, host_ready(in)};
    struct host_ticket *t = is_ping ? ping(d, in) : job(d, in);
    if (t || host_submit_error(d->h) != -EAGAIN) return t;
    if (!wait_for(d, has_room, &room)) {
      report_broken(d->r, "has no room %s, and never calls ready(): the topic stands still", when);
      return NULL;
    }
  }
  report_broken(d->r, "calls ready() again and again %s, and has no room", when);
  return NULL;
}

static void rule_requests(struct drive *d) {
  d->alone = true;
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  if (in) {
    struct host_ticket *t = submit_after(d, in, true, "for a ping, with nothing running");
    if (!t && !d->peer && host_submit_error(d->h) != -EAGAIN)
      report_broken(d->r, "refuses a ping: %s", host_submit_why(d->h));
    wait_all(d);
    if (!d->peer && t && settled(t) && t->outcome == PB_ANSWERED && t->code != 200)
      report_note(d->r, "the worker answers a ping with %d", t->code);
    submit_after(d, in, false, "for a job, with nothing running");
    wait_all(d);
    outcomes_check(d);
    topic_close(d, in);
  }
  pool_shut(p);
}

static void rule_many(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  bool full = false;
  if (in) {
    for (int i = 0; i < MANY && !full; i++)
      full = !job(d, in) && host_submit_error(d->h) == -EAGAIN;
    struct room room = {in, 0};
    bool some = d->n;
    wait_all(d);
    outcomes_check(d);
    if (full && some && !wait_for(d, has_room, &room))
      report_broken(d->r, "said -EAGAIN and never calls ready(): the topic stands still for ever");
    submit_after(d, in, false, "when every request is over");
    wait_all(d);
    topic_close(d, in);
  }
  pool_shut(p);
}

static void rule_chunk(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  if (in) {
    struct host_ticket *t = follow(d, host_submit_jobs(in, CHUNK, "hello", 5));
    wait_all(d);
    outcomes_check(d);
    if (t && settled(t) && t->outcome == PB_ANSWERED && t->code == 207 &&
        !strstr(t->body, "4611686018427387909"))
      report_broken(d->r, "answers 207 for %d jobs with a body that does not name each of them",
                    CHUNK);
    topic_close(d, in);
  }
  pool_shut(p);
}

/* The request fills the buffers of every socket. A plugin that waits for room is found by the time
 * it takes. */
static void rule_large(struct drive *d) {
  d->alone = true;
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  char *content = malloc(LARGE);
  if (!content) abort();
  memset(content, 'x', LARGE);
  if (in) {
    follow(d, host_submit_jobs(in, 1, content, LARGE));
    wait_all(d);
    if (d->peer) outcomes_check(d); /* a real worker may have a limit */
    topic_close(d, in);
  }
  free(content);
  pool_shut(p);
}

static void rule_cancel(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  if (in) {
    struct host_ticket *over = job(d, in), *at_once, *later, *twice;
    wait_all(d);
    if (over) host_cancel(over);    /* its ticket is over */
    host_cancel_id(in, UINT64_MAX); /* never was one */
    host_cancel_id(in, 0);
    if ((at_once = job(d, in))) cancel(d, at_once);
    if ((later = job(d, in))) {
      host_turn(d->h, 10);
      if (!later->completions) cancel(d, later);
    }
    if ((twice = ping(d, in))) {
      host_turn(d->h, 1);
      if (!twice->completions) cancel(d, twice);
      if (!twice->completions) cancel(d, twice);
    }
    wait_all(d);
    submit_after(d, in, false, "after requests were cancelled");
    wait_all(d);
    topic_close(d, in);
  }
  pool_shut(p);
}

static void rule_drain(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *idle = topic_open(d, p, "idle");
  struct host_inst *busy = topic_open(d, p, d->args->topic);
  topic_close(d, idle);
  if (busy) {
    job(d, busy);
    ping(d, busy);
    host_turn(d->h, 1);
    topic_close(d, busy);
  }
  pool_shut(p);
}

/* By force: the host has lost patience. */
static void rule_destroy(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *fresh = topic_open(d, p, "fresh"), *in = topic_open(d, p, d->args->topic);
  if (fresh) {
    job(d, fresh);
    host_destroy(fresh); /* nothing was sent yet */
  }
  if (in) {
    job(d, in);
    job(d, in);
    ping(d, in);
    for (int i = 0; i < 3; i++) host_turn(d->h, 5);
    host_drain(in);
    host_destroy(in);
  }
  d->n = 0;
  /* Events that it left behind would come now. */
  for (int i = 0; i < 5; i++) host_turn(d->h, 5);
  host_skip(d->h, 3600 * 1000);
  for (int i = 0; i < 5; i++) host_turn(d->h, 1);
  pool_shut(p);
  host_skip(d->h, 3600 * 1000);
  for (int i = 0; i < 3; i++) host_turn(d->h, 1);
}

/* A reload: the new instance of a topic, and its new pool, work while the old ones drain. */
static void rule_reload(struct drive *d) {
  struct host_pool *old_pool = pool_open(d), *new_pool;
  struct host_inst *old = topic_open(d, old_pool, d->args->topic), *new;
  if (old) {
    job(d, old);
    host_turn(d->h, 1);
    new_pool = pool_open(d);
    new = topic_open(d, new_pool, d->args->topic);
    host_drain(old);
    if (new) job(d, new);
    wait_all(d);
    outcomes_check(d);
    if (!wait_for(d, is_drained, old) && !host_open(old))
      report_broken(d->r, "never calls drained() for an instance that a reload has replaced");
    host_destroy(old);
    host_pool_close(old_pool);
    old_pool = NULL;
    if (new) {
      job(d, new);
      wait_all(d);
      outcomes_check(d);
      topic_close(d, new);
    }
    pool_shut(new_pool);
  }
  pool_shut(old_pool);
}

/* One topic's end is nothing to another, in its pool or in another one. */
static void rule_apart(struct drive *d) {
  struct host_pool *a = pool_open(d), *b = pool_open(d);
  struct host_inst *one = topic_open(d, a, d->args->topic), *two = topic_open(d, a, "two"),
                   *three = topic_open(d, b, d->args->topic);
  if (one && two && three) {
    host_submit_jobs(two, 1, "hello", 5); /* not followed: it dies with its topic */
    job(d, one);
    job(d, three);
    host_turn(d->h, 1);
    host_destroy(two);
    wait_all(d);
    outcomes_check(d);
  } else if (two) {
    host_destroy(two);
  }
  topic_close(d, three);
  pool_shut(b);
  topic_close(d, one);
  pool_shut(a);
}

static void health_ask(struct drive *d, const char *what, void *object,
                       int (*fn)(void *object, char *ret, size_t size)) {
  char text[HEALTH_SIZE + 16];
  if (!fn) return;
  memset(text, 0x55, sizeof text);
  on_enter(d, what);
  int health = fn(object, text, HEALTH_SIZE);
  on_leave(d, what);
  if (health < PB_HEALTH_OK || health > PB_HEALTH_DOWN)
    report_broken(d->r, "returns %d from %s, which is no enum pb_health", health, what);
  for (size_t i = HEALTH_SIZE; i < sizeof text; i++)
    if (text[i] != 0x55) report_broken(d->r, "writes behind the buffer that %s is given", what);
  if (!memchr(text, 0, HEALTH_SIZE)) {
    report_broken(d->r, "leaves the text of %s without a NUL", what);
    return;
  }
  report_verbose(d->r, "%s: %d %s", what, health, text);
  if (!*text) report_broken(d->r, "says nothing in %s", what);
  if (strpbrk(text, "\n\t")) report_broken(d->r, "has a line break in the text of %s", what);
  secrets_check(d, what, text);
  /* Somebody else's buffer may be short. */
  char small[8];
  memset(small, 0x55, sizeof small);
  fn(object, small, 4);
  if (!memchr(small, 0, 4) || small[4] != 0x55)
    report_broken(d->r, "does not keep to the size in %s when that is small", what);
}

static void rule_health(struct drive *d) {
  struct host_pool *p = pool_open(d);
  struct host_inst *in = topic_open(d, p, d->args->topic);
  if (in) {
    for (int i = 0; i < 3; i++) {
      health_ask(d, "pool_health()", host_plugin_pool(p), d->t->pool_health);
      health_ask(d, "health()", host_plugin_inst(in), d->t->health);
      if (i == 0) {
        job(d, in);
        host_turn(d->h, 1);
      } else if (i == 1) {
        wait_all(d);
      }
    }
    topic_close(d, in);
  }
  pool_shut(p);
}

static const struct rule {
  const char *name;
  void (*run)(struct drive *d);
  uint64_t caps; /* the plugin needs these for it */
} rules[] = {
    {"requests are completed once", rule_requests, 0},
    {"many at a time", rule_many, 0},
    {"chunks", rule_chunk, PB_CAP_CHUNK},
    {"a large job", rule_large, 0},
    {"cancel", rule_cancel, 0},
    {"drain", rule_drain, 0},
    {"destroy with requests running", rule_destroy, 0},
    {"reload", rule_reload, 0},
    {"topics and pools do not meet", rule_apart, 0},
    {"health", rule_health, 0},
};

/* --- descriptors --- */

/* Descriptors that are open now and were not open before belong to `rule`. */
static void fds_scan(struct drive *d, const char *rule) {
  bool seen[FD_MAX] = {false};
  DIR *dir = opendir("/proc/self/fd");
  for (struct dirent *e; dir && (e = readdir(dir));) {
    int fd = atoi(e->d_name);
    if (*e->d_name == '.' || fd == dirfd(dir) || fd >= FD_MAX) continue;
    seen[fd] = true;
    if (!rule)
      d->fds[fd] = true;
    else if (!d->fds[fd] && !d->fd_rule[fd])
      d->fd_rule[fd] = rule;
  }
  if (dir) closedir(dir);
  for (int fd = 0; fd < FD_MAX; fd++)
    if (!seen[fd]) d->fd_rule[fd] = NULL;
}

/* At the end: which are still open, after all was closed and unloaded. */
static void fds_check(struct drive *d) {
  unsigned n = 0, first = 0;
  char path[64], target[128] = "";
  fds_scan(d, "unload");
  for (unsigned fd = FD_MAX; fd-- > 0;)
    if (d->fd_rule[fd]) n++, first = fd;
  if (!n) return;
  snprintf(path, sizeof path, "/proc/self/fd/%u", first);
  ssize_t len = readlink(path, target, sizeof target - 1);
  target[len > 0 ? len : 0] = 0;
  report_broken(d->r,
                "leaves %u descriptor%s open that it never closes, the first (%s) since \"%s\"", n,
                n > 1 ? "s" : "", target, d->fd_rule[first]);
}

/* --- configurations --- */

static int conf_fill(struct drive *d, const char *section, struct options all, size_t size,
                     const struct pair *pairs, const void **ret) {
  void *conf = arena_alloc(d->arena, size);
  char why[OPTION_TEXT_MAX];
  options_default(all, conf, d->arena);
  for (const struct pair *p = pairs; p->key; p++) {
    const struct pb_option *o = option_find(all, p->key);
    if (!o) {
      fprintf(stderr, "pepperbus-plugin-check: run type %s has no key %s in [%s]\n", d->t->run_type,
              p->key, section);
      return -EINVAL;
    }
    char *value = peers_put(d->peers, d->kind, p->value);
    int rc = option_set(o, conf, value, d->arena, why, sizeof why);
    free(value);
    if (rc < 0) {
      fprintf(stderr, "pepperbus-plugin-check: [%s] %s = %s: %s\n", section, p->key, p->value, why);
      return rc;
    }
  }
  for (const struct pb_option *o = NULL; (o = option_next(all, o));) {
    const struct pair *p = pairs;
    while (p->key && strcmp(p->key, o->name) != 0) p++;
    if (p->key || !(o->flags & PB_OPT_REQUIRED)) continue;
    fprintf(stderr, "pepperbus-plugin-check: run type %s requires [%s] %s: --%s %s=VALUE\n",
            d->t->run_type, section, o->name, strcmp(section, "pool") ? "set" : "pool", o->name);
    return -EINVAL;
  }
  *ret = conf;
  return 0;
}

static int conf_check(struct drive *d, const char *section, const void *pool, const void *topic) {
  struct pb_err err = {0};
  int rc = 0;
  if (!d->t->check) return 0;
  on_enter(d, "check()");
  rc = d->t->check(pool, topic, &err);
  on_leave(d, "check()");
  if (rc < 0)
    fprintf(stderr, "pepperbus-plugin-check: the plugin refuses [%s]%s%s: %s\n", section,
            *err.option ? " " : "", err.option, err.text);
  return rc;
}

/* As the core does it: each part, then both together. */
static int confs_make(struct drive *d) {
  const struct pb_transport *t = d->t;
  static const char *const listen[] = {"127.0.0.1:12017", NULL};
  struct pb_err err = {0};
  struct pb_topic_info info = {.size = sizeof info,
                               .queue = d->args->queue,
                               .topic = d->args->topic,
                               .workers = 8,
                               .chunk = 1,
                               .timeout_ms = 60000,
                               .listen = listen};
  int rc =
      conf_fill(d, "pool", rules_pool_options(t), t->pool_conf_size, d->args->pool, &d->pool_conf);
  if (!rc)
    rc = conf_fill(d, "topic", rules_topic_options(t), t->topic_conf_size, d->args->set,
                   &d->topic_conf);
  if (!rc) rc = conf_check(d, "pool", d->pool_conf, NULL);
  if (!rc) rc = conf_check(d, "topic", NULL, d->topic_conf);
  if (rc || !t->check_topic) return rc;
  on_enter(d, "check_topic()");
  rc = t->check_topic(&info, d->pool_conf, d->topic_conf, &err);
  on_leave(d, "check_topic()");
  if (rc < 0)
    fprintf(stderr, "pepperbus-plugin-check: the plugin refuses the topic%s%s: %s\n",
            *err.option ? ", " : "", err.option, err.text);
  return rc;
}

static bool args_name_peer(const struct args *args) {
  for (const struct pair *p = args->pool; p->key; p++)
    if (peers_named(p->value)) return true;
  for (const struct pair *p = args->set; p->key; p++)
    if (peers_named(p->value)) return true;
  return false;
}

static bool rule_applies(const struct pb_transport *t, const struct rule *rule) {
  if (rule->run == rule_health && !t->health && !t->pool_health) return false;
  return (t->caps & rule->caps) == rule->caps;
}

static void rule_run(struct drive *d, const struct rule *rule) {
  const char *worker = d->peer ? peers_words(d->kind) : "";
  report_rule(d->r, rule->name, worker);
  snprintf(d->progress->rule, sizeof d->progress->rule, "%s%s%s", rule->name, *worker ? ", " : "",
           worker);
  d->n = 0;
  d->alone = false;
  rule->run(d);
  if (d->peer) peers_release(d->peers);
  for (int i = 0; i < 3; i++) host_turn(d->h, 1);
  fds_scan(d, rule->name);
}

int drive(const struct pb_transport *t, const struct args *args, struct peers *peers,
          struct report *r, struct progress *progress) {
  struct drive *d = calloc(1, sizeof *d);
  struct pb_err err = {0};
  int rc = 0;
  if (!d) abort();
  *d = (struct drive){.t = t, .args = args, .peers = peers, .r = r, .progress = progress};
  d->still_ms = STILL_MS;
  d->arena = arena_new();
  d->peer = args_name_peer(args);
  d->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  fds_scan(d, NULL);
  report_rule(r, "load and check", "");
  snprintf(progress->rule, sizeof progress->rule, "load and check");
  rc = confs_make(d); /* before load(), as pepperbusd -t does */
  if (rc) goto out;
  const struct host_watch watch = {
      .fault = on_fault, .enter = on_enter, .leave = on_leave, .log = on_log, .arg = d};
  d->h = host_new(t, HOST_VIRTUAL, &watch, &err);
  if (!d->h) {
    report_broken(r, "refuses to be loaded: %s", *err.text ? err.text : "it does not say why");
    goto out;
  }
  fds_scan(d, "load");
  for (int kind = 0; kind < (d->peer ? PEER_KINDS : 1); kind++) {
    d->kind = (enum peer_kind)kind;
    if (confs_make(d) < 0) break; /* it did not fail before, for another address */
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
      if (rule_applies(t, &rules[i])) rule_run(d, &rules[i]);
  }
  report_rule(r, "unload, nothing left behind", "");
  snprintf(progress->rule, sizeof progress->rule, "unload");
  host_free(d->h, t->name);
  fds_check(d);
out:
  if (!rc) report_end(r);
  if (d->schedstat >= 0) close(d->schedstat);
  arena_free(d->arena);
  free(d);
  return rc;
}
