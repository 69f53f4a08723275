/* The fake host. Calls epoll, the descriptor's functions, tap.h. Never the core. */
#include "harness.h"

#include "../tap.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FD_MAX 1024
#define POSTED_MAX 64

struct pb_owner {
  struct harness *h;
  bool inst; /* an instance's */
  char name[300];
};

struct pb_batch {
  enum pb_batch_type type;
  char *form, *json;
  size_t len;
  char trace[64];
  uint64_t deadline_ms;
};

struct pb_timer {
  struct pb_timer *next;
  struct harness *h;
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
  pid_t pid;
  pb_child_fn cb;
  void *arg;
};

struct harness_pool {
  struct harness_pool *next;
  struct harness *h;
  struct pb_owner owner;
  void *conf, *pool;
  char **strings;
  unsigned instances;
};

struct harness_inst {
  struct harness_inst *next;
  struct harness_pool *p;
  struct pb_owner owner;
  struct pb_topic_info info;
  void *conf, *inst;
  char **strings;
  unsigned open; /* tickets not completed */
  unsigned drained;
  bool draining, destroyed;
};

struct harness {
  const struct pb_transport *t;
  struct pb_host host;
  struct pb_owner owner;
  void *plugin;
  enum harness_clock clock;
  uint64_t now_ms, skipped_ms;
  int epoll_fd;
  struct watched fds[FD_MAX];
  unsigned serial, watching;
  struct pb_timer *timers;
  struct child *children;
  struct harness_pool *pools;
  struct harness_inst *insts;
  struct harness_ticket *tickets;
  struct harness_ticket **queue; /* completed in this turn */
  size_t queue_n, queue_cap;
  struct {
    pb_fn fn;
    void *arg;
  } posted[POSTED_MAX];
  size_t posted_n;
  pb_ticket last_id;
  int submit_error;
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
  if (level <= PB_LOG_WARNING) h->stats.warnings++;
  if (getenv("HARNESS_LOG")) diag("log %d %s: %s", level, o->name, h->last_log);
}

static uint64_t host_now_ms(struct pb_owner *o) {
  return o->h->now_ms;
}

static void host_io_del(struct pb_owner *o, int fd) {
  struct harness *h = o->h;

  if (fd < 0 || fd >= FD_MAX || !h->fds[fd].events) return;
  epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  h->fds[fd] = (struct watched){0};
  h->watching--;
}

static int host_io_set(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg) {
  struct harness *h = o->h;
  struct epoll_event ev = {0};
  int op;

  h->stats.io_sets++;
  if (!events) {
    host_io_del(o, fd);
    return 0;
  }
  if (fd < 0 || fd >= FD_MAX) return -EBADF;
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

  t->h = o->h;
  t->cb = cb;
  t->arg = arg;
  t->next = o->h->timers;
  o->h->timers = t;
  o->h->stats.timers++;
  return t;
}

static void host_timer_start(struct pb_timer *t, uint64_t after_ms) {
  t->due_ms = t->h->now_ms + after_ms;
  t->on = true;
}

static void host_timer_stop(struct pb_timer *t) {
  t->on = false;
}

static void host_timer_free(struct pb_timer *t) {
  struct pb_timer **at;

  if (!t) return;
  for (at = &t->h->timers; *at != t; at = &(*at)->next) {}
  *at = t->next;
  t->h->stats.timers--;
  free(t);
}

static int host_child_watch(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg) {
  struct child *c = must(calloc(1, sizeof *c));

  *c = (struct child){o->h->children, pid, cb, arg};
  o->h->children = c;
  return 0;
}

static void host_child_unwatch(struct pb_owner *o, pid_t pid) {
  for (struct child *c = o->h->children; c; c = c->next)
    if (c->pid == pid) c->cb = NULL; /* still reaped */
}

static const char *host_batch_traceparent(const struct pb_batch *b) {
  (void)b;
  return "00-40000000000000017f0000012ef10000-4000000000000002-01";
}

static size_t host_sign(struct pb_owner *o, const void *body, size_t len, char *ret) {
  (void)body, (void)len;
  *ret = 0;
  return o->h->signs ? (size_t)snprintf(ret, PB_SIGNATURE_MAX, "t=1,v1=harness") : 0;
}

static void host_metric(struct pb_owner *o, unsigned index, double value) {
  const struct pb_transport *t = o->h->t;
  unsigned n = 0;

  while (t->metrics && t->metrics[n].name) n++;
  if (index >= n || n > HARNESS_METRICS) bail_out("%s: no metric %u", o->name, index);
  if (t->metrics[index].scope != (o->inst ? PB_SCOPE_TOPIC : PB_SCOPE_POOL))
    bail_out("%s: metric %s is of the other scope", o->name, t->metrics[index].name);
  if (t->metrics[index].type == PB_METRIC_COUNTER && !(value >= 0))
    bail_out("%s: counter %s grows by %f", o->name, t->metrics[index].name, value);
  if (t->metrics[index].type == PB_METRIC_COUNTER)
    o->h->stats.metrics[index] += value;
  else
    o->h->stats.metrics[index] = value;
}

static void host_pool_load(struct pb_owner *o, const struct pb_pool_load *load) {
  o->h->stats.load = *load;
  o->h->stats.loads++;
}

/* Not for other threads here, unlike the real one: plugins under test have none. */
static void host_post(struct pb_owner *o, pb_fn fn, void *arg) {
  struct harness *h = o->h;

  if (h->posted_n == POSTED_MAX) bail_out("too much posted");
  h->posted[h->posted_n].fn = fn;
  h->posted[h->posted_n++].arg = arg;
}

static enum pb_batch_type host_batch_type(const struct pb_batch *b) {
  return b->type;
}

static size_t host_batch_count(const struct pb_batch *b) {
  return b->type == PB_BATCH_DATA;
}

static uint64_t host_batch_deadline_ms(const struct pb_batch *b) {
  return b->deadline_ms;
}

static const char *host_batch_trace(const struct pb_batch *b) {
  return b->trace;
}

static const char *host_batch_form(const struct pb_batch *b, size_t *ret_len) {
  *ret_len = b->len;
  return b->form;
}

static const char *host_batch_json(const struct pb_batch *b, size_t *ret_len) {
  *ret_len = strlen(b->json);
  return b->json;
}

static const char *host_job_id(const struct pb_batch *b, size_t n) {
  (void)b, (void)n;
  return "4611686018427387905";
}

static const void *host_job_body(const struct pb_batch *b, size_t n, size_t *ret_len) {
  (void)n;
  *ret_len = b->len;
  return b->form;
}

static unsigned host_job_attempt(const struct pb_batch *b, size_t n) {
  (void)b, (void)n;
  return 1;
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

static void host_complete(struct pb_owner *o, pb_ticket id, const struct pb_result *r) {
  struct harness *h = o->h;
  struct harness_ticket *t = h->tickets;

  h->stats.completions++;
  while (t && t->id != id) t = t->next;
  if (!t || t->completions || &t->inst->owner != o || t->inst->destroyed ||
      r->size != sizeof *r) {
    h->stats.stale++;
    if (t) t->completions++;
    return;
  }
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

static void host_ready(struct pb_owner *o) {
  (void)o;
}

static void host_drained(struct pb_owner *o) {
  for (struct harness_inst *in = o->h->insts; in; in = in->next)
    if (&in->owner == o) in->drained++;
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

static void set_option(const struct pb_option *o, void *conf, const char *value,
                       char ***strings) {
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

    while (o && o->name &&
           (strncmp(o->name, pair, (size_t)(eq - pair)) != 0 || o->name[eq - pair]))
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

struct harness *harness_new(const struct pb_transport *t, enum harness_clock clock) {
  struct harness *h = must(calloc(1, sizeof *h));
  struct pb_err err = {0};

  h->t = t;
  h->clock = clock;
  h->workers = 8;
  h->json = "[{\"id\":\"4611686018427387905\",\"content\":\"x\"}]";
  h->owner = (struct pb_owner){.h = h, .name = "plugin"};
  h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (h->epoll_fd < 0) bail_out("epoll_create1: %s", strerror(errno));
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
  if (t->magic != PB_MAGIC || t->size != sizeof *t || t->abi_major != PB_ABI_MAJOR)
    bail_out("not a transport descriptor of this version");
  if (t->load(&h->host, &h->owner, &h->plugin, &err) < 0) bail_out("load: %s", err.text);
  return h;
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

static void free_batch(struct harness_ticket *t) {
  if (!t->batch) return;
  free(t->batch->form);
  free(t->batch->json);
  free(t->batch);
  t->batch = NULL;
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

void harness_pool_close(struct harness_pool *p) {
  struct harness_pool **at;

  if (p->instances) bail_out("pool closed before its instances");
  for (at = &p->h->pools; *at != p; at = &(*at)->next) {}
  *at = p->next;
  p->h->t->pool_close(p->pool);
  free(p->conf);
  free_strings(p->strings);
  free(p);
}

void harness_free(struct harness *h, const char *what) {
  unsigned wrong = 0, open = 0;

  for (struct harness_inst *in = h->insts, *next; in; in = next) {
    next = in->next;
    if (!in->destroyed) harness_destroy(in);
  }
  while (h->pools) harness_pool_close(h->pools);
  h->t->unload(h->plugin);
  while (h->tickets) {
    struct harness_ticket *t = h->tickets;

    h->tickets = t->next;
    if (t->completions > 1) wrong++;
    if (!t->completions && !t->inst->destroyed) open++;
    free_ticket(t);
  }
  ok(!wrong && !open && !h->stats.stale && !h->watching && !h->timers,
     "%s: tickets completed once, no descriptor and no timer left", what);
  if (wrong || open || h->stats.stale || h->watching || h->timers)
    diag("completed twice %u, never %u, stale %u; descriptors %u, timers %u", wrong, open,
         h->stats.stale, h->watching, h->stats.timers);
  while (h->insts) {
    struct harness_inst *in = h->insts;

    h->insts = in->next;
    free(in->conf);
    free_strings(in->strings);
    free(in);
  }
  close(h->epoll_fd);
  free(h->queue);
  free(h);
}

struct harness_pool *harness_pool(struct harness *h, struct pb_err *err, ...) {
  struct harness_pool *p = must(calloc(1, sizeof *p));
  struct pb_err ignored;
  va_list ap;

  if (!err) err = &ignored;
  *err = (struct pb_err){0};
  p->h = h;
  p->owner = (struct pb_owner){.h = h, .name = "pool"};
  va_start(ap, err);
  p->conf = fill(h->t->pool_options, h->t->pool_conf_size, ap, &p->strings);
  va_end(ap);
  if (h->t->pool_open(h->plugin, &p->owner, p->conf, &p->pool, err) < 0) {
    free(p->conf);
    free_strings(p->strings);
    free(p);
    return NULL;
  }
  p->next = h->pools;
  h->pools = p;
  return p;
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
  in->owner.h = h;
  in->owner.inst = true;
  snprintf(in->owner.name, sizeof in->owner.name, "%s/%s", queue, topic);
  va_start(ap, err);
  in->conf = fill(h->t->topic_options, h->t->topic_conf_size, ap, &in->strings);
  va_end(ap);
  in->info = (struct pb_topic_info){.size = sizeof in->info,
                                    .queue = keep_string(&in->strings, queue, strlen(queue)),
                                    .topic = keep_string(&in->strings, topic, strlen(topic)),
                                    .workers = h->workers,
                                    .chunk = 1,
                                    .timeout_ms = 60000};
  if (h->t->create(p->pool, &in->owner, &in->info, in->conf, &in->inst, err) < 0) {
    free(in->conf);
    free_strings(in->strings);
    free(in);
    return NULL;
  }
  in->next = h->insts;
  h->insts = in;
  p->instances++;
  return in;
}

struct harness_ticket *harness_submit(struct harness_inst *in, const char *form, size_t len) {
  struct harness *h = in->p->h;
  struct harness_ticket *t = must(calloc(1, sizeof *t));
  struct pb_batch *b = must(calloc(1, sizeof *b));
  struct pb_err err = {0};

  if (in->draining || in->destroyed) bail_out("submit after drain");
  b->type = form ? PB_BATCH_DATA : PB_BATCH_PING;
  if (!form) {
    form = "IS_PEPPER_BUS_REQUEST=true&type=ping";
    len = strlen(form);
  }
  b->form = copy(form, len);
  b->json = copy_text(h->json);
  b->len = len;
  b->deadline_ms = h->now_ms + in->info.timeout_ms;
  t->id = ++h->last_id;
  snprintf(b->trace, sizeof b->trace, "%llu-2130706433-12017", (unsigned long long)t->id);
  t->inst = in;
  t->batch = b;
  t->next = h->tickets;
  h->tickets = t;
  in->open++;
  h->submit_error = h->t->submit(in->inst, b, t->id, &err);
  if (h->submit_error == 0) return t;
  in->open--;
  h->tickets = t->next;
  free_ticket(t);
  return NULL;
}

int harness_submit_error(const struct harness *h) {
  return h->submit_error;
}

void harness_cancel(struct harness_ticket *t) {
  t->inst->p->h->t->cancel(t->inst->inst, t->id);
}

void harness_drain(struct harness_inst *in) {
  in->draining = true;
  in->p->h->t->drain(in->inst);
}

bool harness_drained(const struct harness_inst *in) {
  return in->drained == 1 && !in->open;
}

void harness_destroy(struct harness_inst *in) {
  in->p->h->t->destroy(in->inst);
  in->destroyed = true;
  in->p->instances--;
}

/* --- time --- */

uint64_t harness_now_ms(const struct harness *h) {
  return h->now_ms;
}

void harness_skip(struct harness *h, uint64_t ms) {
  h->skipped_ms += ms;
  update_clock(h);
}

static void run_timers(struct harness *h) {
  for (;;) { /* from the start each time: a callback may free any of them */
    struct pb_timer *first = NULL;

    for (struct pb_timer *t = h->timers; t; t = t->next)
      if (t->on && t->due_ms <= h->now_ms && (!first || t->due_ms < first->due_ms)) first = t;
    if (!first) return;
    first->on = false;
    first->cb(first->arg);
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
    if (c->cb) c->cb(c->pid, status, c->arg);
    free(c);
    at = &h->children;
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

void harness_turn(struct harness *h, int max_wait_ms) {
  struct epoll_event evs[64];
  size_t posted = h->posted_n;
  int n;

  for (struct pb_timer *t = h->timers; t; t = t->next) {
    if (!t->on) continue;
    if (t->due_ms <= h->now_ms)
      max_wait_ms = 0;
    else if (h->clock == HARNESS_REAL && t->due_ms - h->now_ms < (uint64_t)max_wait_ms)
      max_wait_ms = (int)(t->due_ms - h->now_ms);
  }
  if (posted || h->queue_n) max_wait_ms = 0;
  if (h->children && max_wait_ms > 5) max_wait_ms = 5;
  n = epoll_wait(h->epoll_fd, evs, 64, max_wait_ms);
  update_clock(h);
  for (int i = 0; i < n; i++) {
    unsigned fd = (unsigned)evs[i].data.u64, serial = (unsigned)(evs[i].data.u64 >> 32);
    struct watched *w = &h->fds[fd];
    unsigned got = 0;

    if (!w->events || w->serial != serial) continue; /* replaced or removed in this turn */
    if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) got |= PB_IO_READ;
    if (evs[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) got |= PB_IO_WRITE;
    got &= w->events;
    if (got) w->cb((int)fd, got, w->arg);
  }
  for (size_t i = 0; i < posted; i++) h->posted[i].fn(h->posted[i].arg);
  memmove(h->posted, h->posted + posted, (h->posted_n - posted) * sizeof h->posted[0]);
  h->posted_n -= posted;
  run_timers(h);
  if (h->children) run_children(h);
  settle(h);
}

bool harness_until(struct harness *h, bool (*cond)(void *arg), void *arg, int ms) {
  uint64_t end = clock_ms() + (uint64_t)ms;

  while (!cond(arg)) {
    uint64_t now = clock_ms();

    if (now >= end) return false;
    harness_turn(h, end - now > 50 ? 50 : (int)(end - now));
  }
  return true;
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
