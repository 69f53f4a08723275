/* The fake host. Calls epoll, the descriptor's functions, tap.h. Never the core. */
#include "harness.h"

#include "../tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FD_MAX 1024
#define JOB_ID 4611686018427387905u /* of a batch's first job */

/* Whose words and handles these are. Kept until harness_free(), so that a call for an object that
 * is gone is seen as that. */
struct pb_owner {
  struct harness *h;
  enum { OF_PLUGIN, OF_POOL, OF_TOPIC } kind;
  bool gone;
  char name[300];
};

struct pb_batch {
  struct harness *h;
  struct pb_batch *next_over;
  enum pb_batch_type type;
  size_t n;
  char *form, *json, *content;
  size_t form_len, json_len, len;
  char trace[64], traceparent[64], (*ids)[24];
  uint64_t deadline_ms;
  bool over; /* completed: only this struct is still there, to see who asks */
};

struct pb_timer {
  struct pb_timer *next;
  struct harness *h;
  struct pb_owner *owner;
  pb_fn cb;
  void *arg;
  uint64_t due_ms;
  bool on;
};

struct watched {
  unsigned events, serial; /* serial: of the io_set() that made it, against stale events */
  pb_io_fn cb;
  void *arg;
  struct pb_owner *o;
};

struct child {
  struct child *next;
  struct pb_owner *owner;
  pid_t pid;
  pb_child_fn cb; /* NULL: taken back, but to be reaped */
  void *arg;
};

struct posted {
  struct posted *next;
  pb_fn fn;
  void *arg;
};

struct harness_pool {
  struct harness_pool *next;
  struct harness *h;
  struct pb_owner *owner;
  const void *conf;
  void *own_conf, *pool;
  char **strings;
  unsigned instances;
};

struct harness_inst {
  struct harness_inst *next;
  struct harness_pool *p;
  struct pb_owner *owner;
  struct pb_topic_info info;
  const void *conf;
  void *own_conf, *inst;
  char **strings;
  unsigned open; /* tickets not completed */
  unsigned drained, ready;
  bool draining, destroyed;
};

struct harness {
  const struct pb_transport *t;
  struct pb_host host;
  struct harness_watch watch;
  bool watched;
  pthread_t thread;
  struct pb_owner **owners;
  size_t owner_n;
  struct pb_owner *owner;
  void *plugin;
  enum harness_clock clock;
  uint64_t now_ms, skipped_ms;
  int epoll_fd, post_fd;
  struct watched fds[FD_MAX];
  unsigned serial, watching;
  struct pb_timer *timers;
  struct child *children;
  struct harness_pool *pools;
  struct harness_inst *insts;
  struct harness_ticket *tickets;
  struct harness_ticket **queue; /* completed in this turn */
  size_t queue_n, queue_cap;
  pthread_mutex_t posted_lock; /* of the two below: any thread posts */
  struct posted *posted, **posted_end;
  struct pb_batch *over; /* batches that are completed */
  pb_ticket last_id;
  int submit_error;
  struct pb_err submit_why;
  unsigned calls; /* of the plugin's callbacks, in this turn */
  bool forget, signs;
  unsigned workers;
  const char *json;
  void (*on_complete)(struct harness_ticket *t, void *arg);
  void *on_complete_arg;
  struct harness_stats stats;
  char last_log[2048];
};

static uint64_t clock_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *must(void *p) {
  if (!p) bail_out("no memory");
  return p;
}

static struct pb_owner *owner_new(struct harness *h, int kind, const char *name) {
  struct pb_owner *o = must(calloc(1, sizeof *o));

  o->h = h;
  o->kind = kind;
  snprintf(o->name, sizeof o->name, "%s", name);
  h->owners = must(realloc(h->owners, (h->owner_n + 1) * sizeof *h->owners));
  h->owners[h->owner_n++] = o;
  return o;
}

/* --- what the plugin breaks --- */

static PB_PRINTF(2, 3) void fault(struct harness *h, const char *fmt, ...) {
  char text[512];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  h->stats.faults++;
  if (h->watch.fault)
    h->watch.fault(h->watch.arg, text);
  else
    diag("it %s", text);
}

/* Each slot begins with it. */
static void called(struct pb_owner *o, const char *slot) {
  if (!pthread_equal(pthread_self(), o->h->thread))
    fault(o->h, "calls %s from a thread of its own; only post() may be called there", slot);
  if (o->gone) fault(o->h, "calls %s for %s, which is destroyed or closed", slot, o->name);
}

static void batch_used(const struct pb_batch *b, const char *slot) {
  if (b->over) fault(b->h, "asks %s of a batch whose ticket is completed", slot);
}

static void enter(struct harness *h, const char *what) {
  if (h->watch.enter) h->watch.enter(h->watch.arg, what);
}

static void leave(struct harness *h, const char *what) {
  if (h->watch.leave) h->watch.leave(h->watch.arg, what);
}

/* The plugin is called: `call` between the two. */
#define CALL(h, what, call)                                                                        \
  do {                                                                                             \
    enter(h, what);                                                                                \
    call;                                                                                          \
    leave(h, what);                                                                                \
  } while (0)

static void update_clock(struct harness *h) {
  h->now_ms = (h->clock == HARNESS_REAL ? clock_ms() : 1000000) + h->skipped_ms;
}

/* --- the host table --- */

static PB_PRINTF(3, 4) void host_log(struct pb_owner *o, enum pb_log_level level, const char *fmt,
                                     ...) {
  struct harness *h = o->h;
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(h->last_log, sizeof h->last_log, fmt, ap);
  va_end(ap);
  called(o, "log()");
  if (h->watch.log) h->watch.log(h->watch.arg, o->name, level, h->last_log);
  if (level <= PB_LOG_WARNING) h->stats.warnings++;
  if (getenv("HARNESS_LOG")) diag("log %d %s: %s", level, o->name, h->last_log);
}

static uint64_t host_now_ms(struct pb_owner *o) {
  return o->h->now_ms;
}

static void host_io_del(struct pb_owner *o, int fd) {
  struct harness *h = o->h;

  if (fd < 0 || fd >= FD_MAX || !h->fds[fd].events) return;
  if (epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0)
    fault(h, "closes a descriptor before io_del(): the host may watch a stranger under its number");
  h->fds[fd] = (struct watched){0};
  h->watching--;
}

static int host_io_set(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg) {
  struct harness *h = o->h;
  struct epoll_event ev = {0};
  int op;

  h->stats.io_sets++;
  called(o, "io_set()");
  if (!events) {
    host_io_del(o, fd);
    return 0;
  }
  if (fd < 0 || fd >= FD_MAX) return -EBADF;
  if (!h->fds[fd].events) {
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && !(flags & FD_CLOEXEC))
      fault(h, "has a descriptor that is not close-on-exec: every child of the broker inherits it");
  }
  op = h->fds[fd].events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ev.events = (events & PB_IO_READ ? EPOLLIN : 0u) | (events & PB_IO_WRITE ? EPOLLOUT : 0u);
  ev.data.u64 = (uint64_t)++h->serial << 32 | (unsigned)fd;
  if (epoll_ctl(h->epoll_fd, op, fd, &ev) < 0) return -errno;
  if (op == EPOLL_CTL_ADD) h->watching++;
  h->fds[fd] = (struct watched){events, h->serial, cb, arg, o};
  return 0;
}

static struct pb_timer *host_timer_new(struct pb_owner *o, pb_fn cb, void *arg) {
  struct pb_timer *t = must(calloc(1, sizeof *t));

  called(o, "timer_new()");
  t->h = o->h;
  t->owner = o;
  t->cb = cb;
  t->arg = arg;
  t->next = o->h->timers;
  o->h->timers = t;
  o->h->stats.timers++;
  return t;
}

static void host_timer_start(struct pb_timer *t, uint64_t after_ms) {
  called(t->owner, "timer_start()");
  t->due_ms = t->h->now_ms + after_ms;
  t->on = true;
}

static void host_timer_stop(struct pb_timer *t) {
  t->on = false;
}

static void host_timer_free(struct pb_timer *t) {
  struct pb_timer **at;

  if (!t) return;
  for (at = &t->h->timers; *at != t; at = &(*at)->next) {
  }
  *at = t->next;
  t->h->stats.timers--;
  free(t);
}

static int host_child_watch(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg) {
  struct child *c = must(calloc(1, sizeof *c));

  called(o, "child_watch()");
  *c = (struct child){o->h->children, o, pid, cb, arg};
  o->h->children = c;
  return 0;
}

static void host_child_unwatch(struct pb_owner *o, pid_t pid) {
  for (struct child *c = o->h->children; c; c = c->next)
    if (c->pid == pid) c->cb = NULL;
}

static void host_post(struct pb_owner *o, pb_fn fn, void *arg) {
  struct harness *h = o->h;
  struct posted *p = must(calloc(1, sizeof *p));
  uint64_t one = 1;

  p->fn = fn;
  p->arg = arg;
  pthread_mutex_lock(&h->posted_lock);
  *h->posted_end = p;
  h->posted_end = &p->next;
  pthread_mutex_unlock(&h->posted_lock);
  if (write(h->post_fd, &one, sizeof one) < 0) bail_out("eventfd: %s", strerror(errno));
}

static enum pb_batch_type host_batch_type(const struct pb_batch *b) {
  batch_used(b, "batch_type()");
  return b->type;
}

static size_t host_batch_count(const struct pb_batch *b) {
  batch_used(b, "batch_count()");
  return b->n;
}

static uint64_t host_batch_deadline_ms(const struct pb_batch *b) {
  batch_used(b, "batch_deadline_ms()");
  return b->deadline_ms;
}

static const char *host_batch_trace(const struct pb_batch *b) {
  batch_used(b, "batch_trace()");
  return b->trace;
}

static const char *host_batch_traceparent(const struct pb_batch *b) {
  batch_used(b, "batch_traceparent()");
  return b->traceparent;
}

static const char *host_batch_form(const struct pb_batch *b, size_t *ret_len) {
  batch_used(b, "batch_form()");
  *ret_len = b->form_len;
  return b->form;
}

static const char *host_batch_json(const struct pb_batch *b, size_t *ret_len) {
  batch_used(b, "batch_json()");
  *ret_len = b->json_len;
  return b->json;
}

static bool job_there(const struct pb_batch *b, size_t n, const char *slot) {
  batch_used(b, slot);
  if (n < b->n && !b->over) return true;
  if (!b->over) fault(b->h, "asks %s for job %zu of a batch of %zu", slot, n, b->n);
  return false;
}

static const char *host_job_id(const struct pb_batch *b, size_t n) {
  return job_there(b, n, "job_id()") ? b->ids[n] : "0";
}

static const void *host_job_body(const struct pb_batch *b, size_t n, size_t *ret_len) {
  *ret_len = 0;
  if (!job_there(b, n, "job_body()")) return "";
  *ret_len = b->len;
  return b->content;
}

static unsigned host_job_attempt(const struct pb_batch *b, size_t n) {
  (void)job_there(b, n, "job_attempt()");
  return 1;
}

static size_t host_sign(struct pb_owner *o, const void *body, size_t len, char *ret) {
  called(o, "sign()");
  (void)body, (void)len;
  if (o->kind != OF_TOPIC) fault(o->h, "calls sign() for %s, which is no topic", o->name);
  *ret = 0;
  return o->h->signs ? (size_t)snprintf(ret, PB_SIGNATURE_MAX, "t=1,v1=harness") : 0;
}

static void host_metric(struct pb_owner *o, unsigned index, double value) {
  struct harness *h = o->h;
  const struct pb_transport *t = h->t;
  const struct pb_metric *m = t->metrics;
  unsigned n = 0;

  called(o, "metric()");
  while (m && n < index && m->name) {
    m = (const struct pb_metric *)(const void *)((const char *)m + t->metric_size);
    n++;
  }
  if (!m || !m->name) {
    fault(h, "calls metric() with number %u, its table has %u", index, n);
    return;
  }
  if (o->kind != (m->scope == PB_SCOPE_POOL ? OF_POOL : OF_TOPIC))
    fault(h, "calls metric() of %s for %s: it belongs to a %s", m->name, o->name,
          m->scope == PB_SCOPE_POOL ? "pool" : "topic");
  if (m->type == PB_METRIC_COUNTER && !(value >= 0))
    fault(h, "calls metric() of the counter %s with %g: it adds to it", m->name, value);
  if (index >= HARNESS_METRICS) return;
  if (m->type == PB_METRIC_COUNTER)
    h->stats.metrics[index] += value;
  else
    h->stats.metrics[index] = value;
}

static void host_pool_load(struct pb_owner *o, const struct pb_pool_load *load) {
  called(o, "pool_load()");
  if (o->kind != OF_POOL) fault(o->h, "calls pool_load() for %s, which is no pool", o->name);
  if (!load->size) fault(o->h, "calls pool_load() with size 0");
  o->h->stats.load = *load;
  o->h->stats.loads++;
}

/* NULL copies as zeros. */
static char *copy(const char *text, size_t len) {
  char *p = must(calloc(1, len + 1));

  if (text && len) memcpy(p, text, len);
  return p;
}

static char *copy_text(const char *text) {
  return copy(text ? text : "", text ? strlen(text) : 0);
}

/* True where it is one of `in`'s that runs. Otherwise what is wrong with it is told. */
static bool completion_check(struct pb_owner *o, const struct harness_ticket *t) {
  struct harness *h = o->h;

  if (o->gone) return false; /* told already */
  if (!t)
    fault(h, "completes a ticket that is none: never given out, or refused by submit()");
  else if (t->completions)
    fault(h, "completes a request twice; the second is ignored");
  else if (t->inst->owner != o)
    fault(h, "completes a request of %s as one of %s: they must not meet", t->inst->owner->name,
          o->name);
  else
    return true;
  return false;
}

static void host_complete(struct pb_owner *o, pb_ticket id, const struct pb_result *given) {
  struct harness *h = o->h;
  struct pb_result whole = {0}, *r = &whole; /* its own may be of another minor version */
  struct harness_ticket *t = h->tickets;

  h->stats.completions++;
  called(o, "complete()");
  while (t && t->id != id) t = t->next;
  if (!completion_check(o, t)) {
    h->stats.stale++;
    if (t) t->completions++;
    return;
  }
  if (given->size < offsetof(struct pb_result, code))
    fault(h, "completes a request with a result whose size is %u", given->size);
  memcpy(r, given, given->size < sizeof *r ? given->size : sizeof *r);
  if (r->outcome < PB_ANSWERED || r->outcome > PB_REFUSED)
    fault(h, "completes a request with outcome %u, which is none", r->outcome);
  t->completions = 1;
  t->inst->open--;
  t->outcome = r->outcome;
  t->code = r->code;
  t->error_code = copy_text(r->error_code);
  t->topics = copy_text(r->topics);
  t->body = copy(r->body, r->body ? r->body_len : 0);
  t->body_len = r->body ? r->body_len : 0;
  t->detail = copy(r->detail, r->detail ? r->detail_len : 0);
  t->retry_after_ms = r->retry_after_ms;
  if (h->queue_n == h->queue_cap) {
    h->queue_cap = h->queue_cap ? h->queue_cap * 2 : 64;
    h->queue = must(realloc(h->queue, h->queue_cap * sizeof *h->queue));
  }
  h->queue[h->queue_n++] = t;
}

static struct harness_inst *inst_of(struct pb_owner *o, const char *slot) {
  called(o, slot);
  for (struct harness_inst *in = o->h->insts; in; in = in->next)
    if (in->owner == o && !in->destroyed) return in;
  if (!o->gone) fault(o->h, "calls %s for %s, which is no topic", slot, o->name);
  return NULL;
}

static void host_ready(struct pb_owner *o) {
  struct harness_inst *in = inst_of(o, "ready()");

  if (in) in->ready++;
}

static void host_drained(struct pb_owner *o) {
  struct harness_inst *in = inst_of(o, "drained()");

  if (!in) return;
  if (!in->draining) fault(o->h, "calls drained() without drain()");
  if (in->drained) fault(o->h, "calls drained() twice");
  if (in->open) fault(o->h, "calls drained() while %u of its requests run", in->open);
  in->drained++;
}

/* --- options, as the core fills them --- */

static char *keep_string(char ***strings, const char *text, size_t len) {
  size_t n = 0;

  while (*strings && (*strings)[n]) n++;
  *strings = must(realloc(*strings, (n + 2) * sizeof **strings));
  (*strings)[n] = copy(text, len);
  (*strings)[n + 1] = NULL;
  return (*strings)[n];
}

static uint64_t number(const char *text, bool size) {
  char *unit;
  uint64_t n = strtoull(text, &unit, 10);

  if (strcmp(unit, "s") == 0) return n * 1000;
  if (strcmp(unit, "m") == 0) return n * 60000;
  if (strcmp(unit, "h") == 0) return n * 3600000;
  if (strcmp(unit, "kb") == 0) return n << 10;
  if (strcmp(unit, "mb") == 0) return n << 20;
  if (*unit && (size || strcmp(unit, "ms") != 0)) bail_out("option value %s", text);
  return n;
}

static void set_option(const struct pb_option *o, void *conf, const char *value, char ***strings) {
  char *at = (char *)conf + o->offset;

  switch (o->type) {
  case PB_OPT_STRING:
    *(const char **)at = keep_string(strings, value, strlen(value));
    break;
  case PB_OPT_BOOL:
    *(int *)at = strcmp(value, "yes") == 0;
    break;
  case PB_OPT_INT:
    *(int64_t *)at = strtoll(value, NULL, 10);
    break;
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    *(uint64_t *)at = number(value, o->type == PB_OPT_SIZE);
    break;
  case PB_OPT_CHOICE: {
    const char *at_choice = o->choices;
    int n = 0;

    while (*at_choice && (strncmp(at_choice, value, strlen(value)) != 0 ||
                          (at_choice[strlen(value)] && at_choice[strlen(value)] != ','))) {
      at_choice += strcspn(at_choice, ",");
      at_choice += *at_choice == ',';
      n++;
    }
    if (!*at_choice) bail_out("%s has no choice %s", o->name, value);
    *(int *)at = n;
    break;
  }
  case PB_OPT_RANGE: {
    char from[32];
    const char *dots = strstr(value, "..");

    snprintf(from, sizeof from, "%.*s", dots ? (int)(dots - value) : 31, value);
    ((struct pb_range *)(void *)at)->from_ms = number(from, false);
    ((struct pb_range *)(void *)at)->to_ms = number(dots ? dots + 2 : value, false);
    break;
  }
  case PB_OPT_LIST: {
    size_t n = 0, cap = 1;
    const char **list;

    for (const char *p = value; *p; p++) cap += *p == ',';
    /* The list itself lives where strings do. */
    list = (const char **)(void *)keep_string(strings, NULL, (cap + 1) * sizeof *list);
    for (const char *p = value; *p;) {
      size_t len = strcspn(p, ",");

      list[n++] = keep_string(strings, p, len);
      p += len + (p[len] == ',');
    }
    list[n] = NULL;
    *(const char *const **)at = list;
    break;
  }
  default:
    bail_out("option type %u", o->type);
  }
}

static void *fill(const struct pb_option *options, size_t size, va_list ap, char ***strings) {
  void *conf = must(calloc(1, size ? size : 1));
  const char *pair;

  for (const struct pb_option *o = options; o && o->name; o++)
    set_option(o, conf, o->def ? o->def : "", strings);
  while ((pair = va_arg(ap, const char *)) != NULL) {
    const char *eq = strchr(pair, '=');
    const struct pb_option *o = options;

    while (o && o->name && (strncmp(o->name, pair, (size_t)(eq - pair)) != 0 || o->name[eq - pair]))
      o++;
    if (!o || !o->name) bail_out("no option for %s", pair);
    set_option(o, conf, eq + 1, strings);
  }
  return conf;
}

static void free_strings(char **strings) {
  for (char **s = strings; s && *s; s++) free(*s);
  free(strings);
}

int harness_check(struct harness *h, bool pool, struct pb_err *err, ...) {
  char **strings = NULL;
  void *conf;
  va_list ap;
  int rc;

  *err = (struct pb_err){0};
  va_start(ap, err);
  conf = fill(pool ? h->t->pool_options : h->t->topic_options,
              pool ? h->t->pool_conf_size : h->t->topic_conf_size, ap, &strings);
  va_end(ap);
  rc = h->t->check ? h->t->check(pool ? conf : NULL, pool ? NULL : conf, err) : 0;
  free(conf);
  free_strings(strings);
  return rc;
}

/* --- life --- */

static struct harness *make(const struct pb_transport *t, enum harness_clock clock,
                            const struct harness_watch *w, struct pb_err *err) {
  struct harness *h = must(calloc(1, sizeof *h));
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = FD_MAX};
  int rc = 0;

  h->t = t;
  h->clock = clock;
  h->workers = 8;
  h->json = "[{\"id\":\"4611686018427387905\",\"content\":\"x\"}]";
  h->thread = pthread_self();
  if (w) h->watch = *w;
  h->watched = w;
  pthread_mutex_init(&h->posted_lock, NULL);
  h->posted_end = &h->posted;
  h->owner = owner_new(h, OF_PLUGIN, "the plugin");
  h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  h->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (h->epoll_fd < 0 || h->post_fd < 0 ||
      epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->post_fd, &ev) < 0)
    bail_out("epoll: %s", strerror(errno));
  h->host = (struct pb_host){.size = sizeof h->host,
                             .abi_major = PB_ABI_MAJOR,
                             .abi_minor = PB_ABI_MINOR,
                             .log = host_log,
                             .now_ms = host_now_ms,
                             .io_set = host_io_set,
                             .io_del = host_io_del,
                             .timer_new = host_timer_new,
                             .timer_start = host_timer_start,
                             .timer_stop = host_timer_stop,
                             .timer_free = host_timer_free,
                             .child_watch = host_child_watch,
                             .post = host_post,
                             .batch_type = host_batch_type,
                             .batch_count = host_batch_count,
                             .batch_deadline_ms = host_batch_deadline_ms,
                             .batch_trace = host_batch_trace,
                             .batch_form = host_batch_form,
                             .batch_json = host_batch_json,
                             .job_id = host_job_id,
                             .job_body = host_job_body,
                             .job_attempt = host_job_attempt,
                             .complete = host_complete,
                             .ready = host_ready,
                             .drained = host_drained,
                             .batch_traceparent = host_batch_traceparent,
                             .sign = host_sign,
                             .metric = host_metric,
                             .pool_load = host_pool_load,
                             .child_unwatch = host_child_unwatch};
  update_clock(h);
  if (t->load) CALL(h, "load()", rc = t->load(&h->host, h->owner, &h->plugin, err));
  if (rc >= 0) return h;
  harness_free(h, NULL);
  return NULL;
}

struct harness *harness_new(const struct pb_transport *t, enum harness_clock clock) {
  struct pb_err err = {0};
  struct harness *h;

  if (t->magic != PB_MAGIC || t->size != sizeof *t || t->abi_major != PB_ABI_MAJOR)
    bail_out("not a transport descriptor of this version");
  h = make(t, clock, NULL, &err);
  if (!h) bail_out("load: %s", err.text);
  return h;
}

struct harness *harness_new_watched(const struct pb_transport *t, enum harness_clock clock,
                                    const struct harness_watch *w, struct pb_err *err) {
  return make(t, clock, w, err);
}

const struct harness_stats *harness_stats(const struct harness *h) {
  return &h->stats;
}

const char *harness_last_log(const struct harness *h) {
  return h->last_log;
}

void harness_sign(struct harness *h, bool yes) {
  h->signs = yes;
}

void harness_workers(struct harness *h, unsigned n) {
  h->workers = n;
}

void harness_json(struct harness *h, const char *json) {
  h->json = json;
}

void harness_forget_results(struct harness *h, bool yes) {
  h->forget = yes;
}

static void batch_free(struct pb_batch *b) {
  free(b->form);
  free(b->json);
  free(b->content);
  free(b->ids);
  b->form = b->json = b->content = NULL;
  b->ids = NULL;
}

/* Its texts go; the struct itself stays where somebody listens, so that a late question is heard
 * instead of answered by a stray pointer. */
static void free_batch(struct harness_ticket *t) {
  struct pb_batch *b = t->batch;

  t->batch = NULL;
  if (!b) return;
  batch_free(b);
  if (!b->h->watched) {
    free(b);
    return;
  }
  b->over = true;
  b->next_over = b->h->over;
  b->h->over = b;
}

static void free_ticket(struct harness_ticket *t) {
  free_batch(t);
  free(t->error_code);
  free(t->topics);
  free(t->body);
  free(t->detail);
  free(t);
}

void *harness_plugin_pool(const struct harness_pool *p) {
  return p->pool;
}

void *harness_plugin_inst(const struct harness_inst *in) {
  return in->inst;
}

/* What is left of an object that is gone is taken away, so that nothing of it can come back. */
static void owner_gone(struct pb_owner *o, const char *call) {
  struct harness *h = o->h;

  o->gone = true;
  for (struct pb_timer *t = h->timers; t; t = t->next)
    if (t->owner == o && t->on) {
      fault(h, "leaves a timer running after %s", call);
      t->on = false;
    }
  for (int fd = 0; fd < FD_MAX; fd++)
    if (h->fds[fd].events && h->fds[fd].o == o) {
      fault(h, "leaves a descriptor watched after %s", call);
      host_io_del(o, fd);
    }
  for (struct child *c = h->children; c; c = c->next)
    if (c->owner == o && c->cb) {
      fault(h, "leaves a child watched after %s: child_unwatch() takes it back", call);
      c->cb = NULL;
    }
}

void harness_pool_close(struct harness_pool *p) {
  struct harness *h = p->h;
  struct harness_pool **at;

  if (p->instances) bail_out("pool closed before its instances");
  for (at = &h->pools; *at != p; at = &(*at)->next) {
  }
  *at = p->next;
  if (h->t->pool_close) CALL(h, "pool_close()", h->t->pool_close(p->pool));
  owner_gone(p->owner, "pool_close()");
  free(p->own_conf);
  free_strings(p->strings);
  free(p);
}

/* After unload(). */
static void check_rest(struct harness *h, const char *what) {
  unsigned wrong = 0, open = 0;

  for (struct harness_ticket *t = h->tickets; t; t = t->next) {
    if (t->completions > 1) wrong++;
    if (!t->completions && !t->inst->destroyed) open++;
  }
  if (h->watched) {
    if (h->stats.timers) fault(h, "has %u timers that it never freed", h->stats.timers);
    return;
  }
  ok(!wrong && !open && !h->stats.faults && !h->watching && !h->timers,
     "%s: tickets completed once, no descriptor and no timer left", what);
  if (wrong || open || h->stats.faults || h->watching || h->timers)
    diag("completed twice %u, never %u, stale %u; faults %u; descriptors %u, timers %u", wrong,
         open, h->stats.stale, h->stats.faults, h->watching, h->stats.timers);
}

void harness_free(struct harness *h, const char *what) {
  for (struct harness_inst *in = h->insts, *next; in; in = next) {
    next = in->next;
    if (!in->destroyed) harness_destroy(in);
  }
  while (h->pools) harness_pool_close(h->pools);
  if (what) { /* else load() failed */
    if (h->t->unload) CALL(h, "unload()", h->t->unload(h->plugin));
    owner_gone(h->owner, "unload()");
    check_rest(h, what);
  }
  while (h->tickets) {
    struct harness_ticket *t = h->tickets;

    h->tickets = t->next;
    free_ticket(t);
  }
  while (h->over) {
    struct pb_batch *b = h->over;

    h->over = b->next_over;
    free(b);
  }
  while (h->insts) {
    struct harness_inst *in = h->insts;

    h->insts = in->next;
    free(in->own_conf);
    free_strings(in->strings);
    free(in);
  }
  while (h->timers) host_timer_free(h->timers);
  while (h->children) {
    struct child *c = h->children;

    h->children = c->next;
    free(c);
  }
  while (h->posted) {
    struct posted *p = h->posted;

    h->posted = p->next;
    free(p);
  }
  for (size_t i = 0; i < h->owner_n; i++) free(h->owners[i]);
  free(h->owners);
  close(h->epoll_fd);
  close(h->post_fd);
  pthread_mutex_destroy(&h->posted_lock);
  free(h->queue);
  free(h);
}

static struct harness_pool *pool_open(struct harness_pool *p, struct pb_err *err) {
  struct harness *h = p->h;
  int rc = 0;

  p->owner = owner_new(h, OF_POOL, "a pool");
  p->pool = h->plugin;
  if (h->t->pool_open)
    CALL(h, "pool_open()", rc = h->t->pool_open(h->plugin, p->owner, p->conf, &p->pool, err));
  if (rc < 0) {
    owner_gone(p->owner, "a pool_open() that failed");
    free(p->own_conf);
    free_strings(p->strings);
    free(p);
    return NULL;
  }
  p->next = h->pools;
  h->pools = p;
  return p;
}

struct harness_pool *harness_pool(struct harness *h, struct pb_err *err, ...) {
  struct harness_pool *p = must(calloc(1, sizeof *p));
  struct pb_err ignored;
  va_list ap;

  if (!err) err = &ignored;
  *err = (struct pb_err){0};
  p->h = h;
  va_start(ap, err);
  p->conf = p->own_conf = fill(h->t->pool_options, h->t->pool_conf_size, ap, &p->strings);
  va_end(ap);
  return pool_open(p, err);
}

struct harness_pool *harness_pool_with(struct harness *h, const void *conf, struct pb_err *err) {
  struct harness_pool *p = must(calloc(1, sizeof *p));

  *err = (struct pb_err){0};
  p->h = h;
  p->conf = conf;
  return pool_open(p, err);
}

static struct harness_inst *create(struct harness_inst *in, const char *queue, const char *topic,
                                   unsigned chunk, struct pb_err *err) {
  static const char *const listen[] = {"127.0.0.1:12017", NULL};
  struct harness *h = in->p->h;
  char name[300];
  int rc;

  snprintf(name, sizeof name, "%s/%s", queue, topic);
  in->owner = owner_new(h, OF_TOPIC, name);
  in->info = (struct pb_topic_info){.size = sizeof in->info,
                                    .queue = keep_string(&in->strings, queue, strlen(queue)),
                                    .topic = keep_string(&in->strings, topic, strlen(topic)),
                                    .workers = in->p->h->workers,
                                    .chunk = chunk,
                                    .timeout_ms = 60000,
                                    .listen = listen};
  CALL(h, "create()",
       rc = h->t->create(in->p->pool, in->owner, &in->info, in->conf, &in->inst, err));
  if (rc < 0) {
    owner_gone(in->owner, "a create() that failed");
    free(in->own_conf);
    free_strings(in->strings);
    free(in);
    return NULL;
  }
  in->next = h->insts;
  h->insts = in;
  in->p->instances++;
  return in;
}

struct harness_inst *harness_topic(struct harness_pool *p, const char *queue, const char *topic,
                                   struct pb_err *err, ...) {
  struct harness *h = p->h;
  struct harness_inst *in = must(calloc(1, sizeof *in));
  struct pb_err ignored;
  va_list ap;

  if (!err) err = &ignored;
  *err = (struct pb_err){0};
  in->p = p;
  va_start(ap, err);
  in->conf = in->own_conf = fill(h->t->topic_options, h->t->topic_conf_size, ap, &in->strings);
  va_end(ap);
  return create(in, queue, topic, 1, err);
}

struct harness_inst *harness_topic_with(struct harness_pool *p, const char *queue,
                                        const char *topic, unsigned chunk, const void *conf,
                                        struct pb_err *err) {
  struct harness_inst *in = must(calloc(1, sizeof *in));

  *err = (struct pb_err){0};
  in->p = p;
  in->conf = conf;
  return create(in, queue, topic, chunk, err);
}

void harness_timeout(struct harness_inst *in, uint64_t ms) {
  in->info.timeout_ms = ms;
}

static struct pb_batch *batch_new(struct harness_inst *in, size_t n) {
  struct harness *h = in->p->h;
  struct pb_batch *b = must(calloc(1, sizeof *b));
  pb_ticket id = h->last_id + 1;

  b->h = h;
  b->type = n ? PB_BATCH_DATA : PB_BATCH_PING;
  b->n = n;
  b->ids = must(calloc(n + 1, sizeof *b->ids));
  for (size_t i = 0; i < n; i++)
    snprintf(b->ids[i], sizeof b->ids[i], "%ju", (uintmax_t)JOB_ID + i);
  b->deadline_ms = h->now_ms + in->info.timeout_ms;
  snprintf(b->trace, sizeof b->trace, "%llu-2130706433-12017", (unsigned long long)id);
  snprintf(b->traceparent, sizeof b->traceparent,
           "00-40000000000000017f0000012ef10000-4000000000000002-01");
  return b;
}

static struct harness_ticket *submit(struct harness_inst *in, struct pb_batch *b) {
  struct harness *h = in->p->h;
  struct harness_ticket *t = must(calloc(1, sizeof *t));

  if (in->draining || in->destroyed) bail_out("submit after drain");
  t->id = ++h->last_id;
  t->inst = in;
  t->batch = b;
  t->was_ping = b->type == PB_BATCH_PING;
  t->next = h->tickets;
  h->tickets = t;
  in->open++;
  h->submit_why = (struct pb_err){0};
  CALL(h, "submit()", h->submit_error = h->t->submit(in->inst, b, t->id, &h->submit_why));
  if (h->submit_error > 0)
    fault(h, "returns %d from submit(): it is 0, or a negative errno", h->submit_error);
  if (h->submit_error == 0) return t;
  if (t->completions)
    fault(h, "completes a request within submit() and refuses it as well");
  else
    in->open--;
  if (h->submit_error != -EAGAIN && !h->submit_why.text[0])
    fault(h, "refuses a batch in submit() (%s) and leaves err->text empty",
          strerror(-h->submit_error));
  for (size_t i = 0; i < h->queue_n; i++)
    if (h->queue[i] == t) h->queue[i] = h->queue[--h->queue_n];
  for (struct harness_ticket **at = &h->tickets; *at; at = &(*at)->next)
    if (*at == t) {
      *at = t->next;
      break;
    }
  free_ticket(t);
  return NULL;
}

struct harness_ticket *harness_submit(struct harness_inst *in, const char *form, size_t len) {
  struct pb_batch *b = batch_new(in, form ? 1 : 0);

  if (!form) {
    form = "IS_PEPPER_BUS_REQUEST=true&type=ping";
    len = strlen(form);
  }
  b->form = copy(form, len);
  b->content = copy(form, len);
  b->form_len = b->len = len;
  b->json = copy_text(b->n ? in->p->h->json : "[]");
  b->json_len = strlen(b->json);
  return submit(in, b);
}

/* The same JSON plain and as a form's value. */
static void put_json(FILE *json, FILE *form, const char *text, size_t len) {
  fwrite(text, 1, len, json);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];

    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      fputc(c, form);
    else
      fprintf(form, "%%%02X", c);
  }
}

struct harness_ticket *harness_submit_jobs(struct harness_inst *in, size_t n, const char *content,
                                           size_t len) {
  struct pb_batch *b = batch_new(in, n);
  FILE *json = must(open_memstream(&b->json, &b->json_len));
  FILE *form = must(open_memstream(&b->form, &b->form_len));

  fprintf(form,
          "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=%s&queue=%s&topic=%s&jobs=", b->trace,
          in->info.queue, in->info.topic);
  put_json(json, form, "[", 1);
  for (size_t i = 0; i < n; i++) {
    static const char tail[] = "\",\"retrying\":0,\"RetryTimes\":1}";
    char head[160];
    int head_len =
        snprintf(head, sizeof head, "%s{\"id\":\"%s\",\"inTraceId\":\"%s\",\"content\":\"",
                 i ? "," : "", b->ids[i], b->trace);

    put_json(json, form, head, (size_t)head_len);
    put_json(json, form, content, len);
    put_json(json, form, tail, sizeof tail - 1);
  }
  put_json(json, form, "]", 1);
  if (fclose(json) || fclose(form)) bail_out("no memory");
  b->content = copy(content, len);
  b->len = len;
  return submit(in, b);
}

int harness_submit_error(const struct harness *h) {
  return h->submit_error;
}

const char *harness_submit_why(const struct harness *h) {
  return h->submit_why.text;
}

unsigned harness_ready(const struct harness_inst *in) {
  return in->ready;
}

void harness_cancel_id(struct harness_inst *in, pb_ticket id) {
  CALL(in->p->h, "cancel()", in->p->h->t->cancel(in->inst, id));
}

void harness_cancel(struct harness_ticket *t) {
  harness_cancel_id(t->inst, t->id);
}

void harness_drain(struct harness_inst *in) {
  in->draining = true;
  CALL(in->p->h, "drain()", in->p->h->t->drain(in->inst));
}

bool harness_drained(const struct harness_inst *in) {
  return in->drained == 1 && !in->open;
}

unsigned harness_open(const struct harness_inst *in) {
  return in->open;
}

void harness_destroy(struct harness_inst *in) {
  CALL(in->p->h, "destroy()", in->p->h->t->destroy(in->inst));
  in->destroyed = true;
  in->p->instances--;
  owner_gone(in->owner, "destroy()");
}

/* --- time --- */

uint64_t harness_now_ms(const struct harness *h) {
  return h->now_ms;
}

void harness_skip(struct harness *h, uint64_t ms) {
  h->skipped_ms += ms;
  update_clock(h);
}

bool harness_next_timer(const struct harness *h, uint64_t *ret_ms) {
  const struct pb_timer *first = NULL;

  for (const struct pb_timer *t = h->timers; t; t = t->next)
    if (t->on && (!first || t->due_ms < first->due_ms)) first = t;
  if (!first) return false;
  *ret_ms = first->due_ms > h->now_ms ? first->due_ms - h->now_ms : 0;
  return true;
}

static void run_timers(struct harness *h) {
  for (;;) { /* from the start each time: a callback may free any of them */
    struct pb_timer *first = NULL;

    for (struct pb_timer *t = h->timers; t; t = t->next)
      if (t->on && t->due_ms <= h->now_ms && (!first || t->due_ms < first->due_ms)) first = t;
    if (!first) return;
    first->on = false;
    h->calls++;
    CALL(h, "a timer's callback", first->cb(first->arg));
  }
}

static void run_children(struct harness *h) {
  for (struct child **at = &h->children; *at;) {
    struct child *c = *at;
    int status;

    if (waitpid(c->pid, &status, WNOHANG) != c->pid) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    h->calls++;
    if (c->cb) CALL(h, "a child's callback", c->cb(c->pid, status, c->arg));
    free(c);
    at = &h->children;
  }
}

/* Those that are there now; what they post comes in the next turn. */
static void run_posted(struct harness *h) {
  uint64_t n;
  struct posted *first;

  if (read(h->post_fd, &n, sizeof n) < 0) return;
  pthread_mutex_lock(&h->posted_lock);
  first = h->posted;
  h->posted = NULL;
  h->posted_end = &h->posted;
  pthread_mutex_unlock(&h->posted_lock);
  while (first) {
    struct posted *p = first;

    first = p->next;
    h->calls++;
    CALL(h, "a posted function", p->fn(p->arg));
    free(p);
  }
}

/* What the core does at the end of a turn. */
static void settle(struct harness *h) {
  for (size_t i = 0; i < h->queue_n; i++) {
    struct harness_ticket *t = h->queue[i];

    free_batch(t);
    if (h->forget) { /* it is near the head of the list: only running ones are on it */
      struct harness_ticket **at = &h->tickets;

      while (*at != t) at = &(*at)->next;
      *at = t->next;
    }
    if (h->on_complete) h->on_complete(t, h->on_complete_arg);
    if (h->forget) free_ticket(t);
  }
  h->queue_n = 0;
}

unsigned harness_turn(struct harness *h, int max_wait_ms) {
  struct epoll_event evs[64];
  int n;

  for (struct pb_timer *t = h->timers; t; t = t->next) {
    if (!t->on) continue;
    if (t->due_ms <= h->now_ms)
      max_wait_ms = 0;
    else if (h->clock == HARNESS_REAL && t->due_ms - h->now_ms < (uint64_t)max_wait_ms)
      max_wait_ms = (int)(t->due_ms - h->now_ms);
  }
  if (h->queue_n) max_wait_ms = 0;
  if (h->children && max_wait_ms > 5) max_wait_ms = 5;
  n = epoll_wait(h->epoll_fd, evs, 64, max_wait_ms);
  update_clock(h);
  h->calls = 0;
  for (int i = 0; i < n; i++) {
    unsigned fd = (unsigned)evs[i].data.u64, serial = (unsigned)(evs[i].data.u64 >> 32);
    struct watched *w = &h->fds[fd % FD_MAX];
    unsigned got = 0;

    if (fd == FD_MAX || !w->events || w->serial != serial) continue; /* gone in this turn */
    if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) got |= PB_IO_READ;
    if (evs[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) got |= PB_IO_WRITE;
    got &= w->events;
    h->calls++;
    if (got) CALL(h, "a descriptor's callback", w->cb((int)fd, got, w->arg));
  }
  run_posted(h);
  run_timers(h);
  if (h->children) run_children(h);
  settle(h);
  return h->calls;
}

bool harness_until(struct harness *h, bool (*cond)(void *arg), void *arg, int ms) {
  uint64_t end = clock_ms() + (uint64_t)ms, now;

  if (cond(arg)) return true;
  do { /* once at least: we may not have had the processor in all that time */
    now = clock_ms();
    harness_turn(h, now >= end ? 0 : end - now > 50 ? 50 : (int)(end - now));
    if (cond(arg)) return true;
  } while (now < end);
  return false;
}

static bool is_settled(void *arg) {
  const struct harness_ticket *t = arg;

  return t->completions && !t->batch;
}

bool harness_wait(struct harness *h, const struct harness_ticket *t, int ms) {
  return harness_until(h, is_settled, (void *)t, ms);
}

void harness_on_complete(struct harness *h, void (*fn)(struct harness_ticket *t, void *arg),
                         void *arg) {
  h->on_complete = fn;
  h->on_complete_arg = arg;
}

const char *harness_outcome(uint32_t outcome) {
  static const char *const names[] = {"?",    "ANSWERED", "UNREACHABLE", "BUSY",
                                      "LOST", "TIMEOUT",  "GARBLED",     "REFUSED"};

  return outcome < sizeof names / sizeof *names ? names[outcome] : "?";
}
