/* Owns the host table, tickets, and the lifetimes of plugins' objects (plugin, pool, instance).
 *
 * Must never happen: a plugin's completion acting inside the plugin's own call (it is queued and
 * acted on when the call is over), or one ticket completed twice (the second is counted and
 * ignored).
 */
#include "transport/transport.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/secret.h"
#include "event/loop.h"
#include "transport/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOW_CALL_MS 50

struct pb_owner {
  struct transports *tr;
  struct instance *inst; /* NULL: a plugin's or a pool's */
  struct pool_run *pool; /* NULL: a plugin's or an instance's */
  const struct pb_transport *desc;
  double *figures; /* one for each of desc->metrics; NULL: it has none */
  char label[320];
};

struct pb_timer {
  struct timer timer;
  struct pb_owner *owner;
  pb_fn cb;
  void *arg;
};

struct watch { /* one descriptor of a plugin */
  struct io io;
  struct pb_owner *owner;
  pb_io_fn cb;
  void *arg;
};

struct ticket {
  uint32_t index, generation; /* generation is odd while it is in use */
  struct instance *inst;
  const struct pb_batch *batch;
  instance_done_fn fn;
  void *arg;
  bool completed; /* its result waits for the end of the turn */
  struct ticket *next_done, *next_free;
  struct pb_result result;
  struct buf text;                                     /* what the result points into */
  size_t error_code_at, topics_at, body_at, detail_at; /* offsets in text */
};

struct plugin_run { /* a plugin that is loaded */
  struct plugin_run *next;
  const struct pb_transport *desc;
  void *plugin;
  struct pb_owner owner;
};

struct pool_run { /* an open pool of a plugin */
  struct pool_run *next;
  struct plugin_run *plugin;
  const struct pool_settings *set; /* NULL: of one topic alone, with default configuration */
  const char *name;                /* the snapshot's: of the section, or of that topic */
  struct settings *snapshot;
  void *pool;
  unsigned instances;
  bool replaced; /* a reload opened another of its name; its last requests end here */
  struct pb_owner owner;
};

struct instance {
  struct transports *tr;
  struct pool_run *pool;
  struct settings *snapshot;
  const struct topic_settings *set;
  struct pb_topic_info info;
  void *inst;
  struct pb_owner owner;
  void (*ready)(void *arg);
  void *arg;
  const struct pb_batch *submitting; /* during submit(), else NULL */
  unsigned tickets;                  /* taken and not completed yet */
  bool closing, drained;
  struct timer patience;
  struct deferred destroy, tell_ready;
  struct instance *next_closing, **prev_closing;
};

struct transports {
  struct loop *loop;
  struct pb_host host;
  struct plugin_run *plugins;
  struct pool_run *pools;
  struct instance *closing;
  struct watch **watches; /* by descriptor */
  size_t watch_cap;
  struct ticket **tickets;
  size_t ticket_n, ticket_cap;
  struct ticket *free_tickets;
  struct ticket *done, **done_end;
  struct deferred deliver;
  struct transport_counters counters;
  transports_load_fn on_load;
  void *on_load_arg;
  void (*on_ended)(void *arg);
  void *on_ended_arg;
};

/* --- slow calls --- */

static uint64_t call_begin(void) {
  return loop_clock_ms();
}

static void call_end(struct pb_owner *o, uint64_t begin, const char *what) {
  uint64_t now = loop_clock_ms(), took = now > begin ? now - begin : 0;
  if (took < SLOW_CALL_MS) return;
  o->tr->counters.slow_calls++;
  log_warning(loop_log(o->tr->loop), o->label,
              "%s took %llu ms and held up everything else; a transport must not block", what,
              (unsigned long long)took);
}

/* --- host table: log, time, descriptors, timers --- */

static void host_log(struct pb_owner *o, enum pb_log_level level, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(loop_log(o->tr->loop), level, o->label, fmt, ap);
  va_end(ap);
}

static void deliver(void *arg);

static uint64_t host_now_ms(struct pb_owner *o) {
  return loop_now_ms(o->tr->loop);
}

static void watch_ready(int fd, unsigned events, void *arg) {
  struct watch *w = arg;
  struct pb_owner *o = w->owner;
  struct transports *tr = o->tr;
  uint64_t begin = call_begin();
  w->cb(fd, (events & IO_READ ? PB_IO_READ : 0u) | (events & IO_WRITE ? PB_IO_WRITE : 0u), w->arg);
  call_end(o, begin, "a descriptor's callback");
  /* At once, not at the end of the turn: the worker that answered waits for its next job, and our
   * reading woke it. A request that comes while it wakes up costs no second wake-up. */
  if (tr->done) {
    deferred_cancel(tr->loop, &tr->deliver);
    deliver(tr);
  }
}

static void host_io_del(struct pb_owner *o, int fd) {
  struct transports *tr = o->tr;
  if (fd < 0 || (size_t)fd >= tr->watch_cap || !tr->watches[fd]) return;
  io_done(&tr->watches[fd]->io);
  loop_free_later(tr->loop, tr->watches[fd]);
  tr->watches[fd] = NULL;
}

static int host_io_set(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg) {
  struct transports *tr = o->tr;
  if (fd < 0) return -EBADF;
  if (!events) {
    host_io_del(o, fd);
    return 0;
  }
  if ((size_t)fd >= tr->watch_cap) {
    size_t cap = tr->watch_cap ? tr->watch_cap : 64;
    while (cap <= (size_t)fd) cap *= 2;
    struct watch **p = realloc(tr->watches, cap * sizeof *p);
    if (!p) return -ENOMEM;
    memset(p + tr->watch_cap, 0, (cap - tr->watch_cap) * sizeof *p);
    tr->watches = p;
    tr->watch_cap = cap;
  }
  struct watch *w = tr->watches[fd];
  if (!w) {
    w = calloc(1, sizeof *w);
    if (!w) return -ENOMEM;
    io_init(&w->io, tr->loop, fd, watch_ready, w);
    tr->watches[fd] = w;
  }
  w->owner = o;
  w->cb = cb;
  w->arg = arg;
  return io_want(&w->io,
                 (events & PB_IO_READ ? IO_READ : 0u) | (events & PB_IO_WRITE ? IO_WRITE : 0u));
}

static void host_timer_ready(void *arg) {
  struct pb_timer *t = arg;
  struct pb_owner *o = t->owner;
  uint64_t begin = call_begin();
  t->cb(t->arg);
  call_end(o, begin, "a timer's callback");
}

static struct pb_timer *host_timer_new(struct pb_owner *o, pb_fn cb, void *arg) {
  struct pb_timer *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->owner = o;
  t->cb = cb;
  t->arg = arg;
  timer_init(&t->timer, o->tr->loop, host_timer_ready, t);
  return t;
}

static void host_timer_start(struct pb_timer *t, uint64_t after_ms) {
  timer_start(&t->timer, after_ms);
}
static void host_timer_stop(struct pb_timer *t) {
  timer_stop(&t->timer);
}

static void host_timer_free(struct pb_timer *t) {
  if (!t) return;
  timer_done(&t->timer);
  loop_free_later(t->owner->tr->loop, t);
}

static int host_child_watch(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg) {
  return loop_on_child(o->tr->loop, pid, cb, arg);
}

static void host_post(struct pb_owner *o, pb_fn fn, void *arg) {
  loop_post(o->tr->loop, fn, arg);
}

static void host_child_unwatch(struct pb_owner *o, pid_t pid) {
  loop_forget_child(o->tr->loop, pid);
}

/* --- host table: figures, load, signature --- */

static const struct pb_metric *metric_at(const struct pb_transport *d, size_t i) {
  if (!d->metrics || d->metric_size < sizeof(struct pb_metric)) return NULL;
  return (const struct pb_metric *)(const void *)((const char *)d->metrics + i * d->metric_size);
}

size_t transport_metrics(const struct pb_transport *d) {
  const struct pb_metric *m;
  size_t n = 0;
  while ((m = metric_at(d, n)) && m->name) n++;
  return n;
}

const struct pb_metric *transport_metric(const struct pb_transport *d, size_t i) {
  return metric_at(d, i);
}

/* False: no memory. */
static bool owner_init(struct pb_owner *o, struct transports *tr, const struct pb_transport *d) {
  size_t n = transport_metrics(d);
  o->tr = tr;
  o->desc = d;
  o->figures = n ? calloc(n, sizeof *o->figures) : NULL;
  return o->figures || !n;
}

static void host_metric(struct pb_owner *o, unsigned index, double value) {
  const struct pb_metric *m =
      o->figures && index < transport_metrics(o->desc) ? metric_at(o->desc, index) : NULL;
  if (!m ||
      m->scope != (o->inst   ? PB_SCOPE_TOPIC
                   : o->pool ? PB_SCOPE_POOL
                             : 0u) ||
      (m->type == PB_METRIC_COUNTER && !(value >= 0))) {
    o->tr->counters.stray_figures++;
    return;
  }
  if (m->type == PB_METRIC_COUNTER)
    o->figures[index] += value;
  else
    o->figures[index] = value;
}

static void host_pool_load(struct pb_owner *o, const struct pb_pool_load *load) {
  struct pb_pool_load own = {.workers = -1, .idle = -1, .queued = -1};
  if (!o->pool || o->pool->replaced || !o->tr->on_load) return;
  memcpy(&own, load, load->size < sizeof own ? load->size : sizeof own);
  o->tr->on_load(o->tr->on_load_arg, o->pool->name, &own);
}

static size_t host_sign(struct pb_owner *o, const void *body, size_t len, char *ret) {
  *ret = 0;
  if (!o->inst || !*o->inst->set->signing_key) return 0;
  const struct topic_settings *set = o->inst->set;
  struct secret_signed what = {.unix_s = loop_wall_ms(o->tr->loop) / 1000, .path = set->path};
  /* A form is known by its address, for a producer can write bytes that look like one. */
  if (set->signing_version != SIGNING_V1)
    what.kind = batch_is_form(o->inst->submitting, body) ? "form" : "content";
  return secret_sign(set->signing_key, &what, body, len, ret, PB_SIGNATURE_MAX);
}

/* --- host table: batches --- */

static enum pb_batch_type host_batch_type(const struct pb_batch *b) {
  return b->type;
}
static size_t host_batch_count(const struct pb_batch *b) {
  return b->n;
}
static uint64_t host_batch_deadline_ms(const struct pb_batch *b) {
  return b->deadline_ms;
}
static const char *host_batch_trace(const struct pb_batch *b) {
  return b->trace;
}
static const char *host_job_id(const struct pb_batch *b, size_t n) {
  return b->ids[n];
}
static const void *host_job_body(const struct pb_batch *b, size_t n, size_t *ret_len) {
  if (n >= b->n) { /* settled at its deadline, while the request goes on */
    *ret_len = 0;
    return "";
  }
  return batch_body(b, n, ret_len);
}
static unsigned host_job_attempt(const struct pb_batch *b, size_t n) {
  return n < b->n ? b->jobs[n]->failed + 1 : 1;
}

/* --- tickets --- */

static struct ticket *ticket_new(struct transports *tr) {
  struct ticket *t = tr->free_tickets;
  if (t) {
    tr->free_tickets = t->next_free;
    t->generation++;
    return t;
  }
  if (tr->ticket_n == tr->ticket_cap) {
    size_t cap = tr->ticket_cap ? tr->ticket_cap * 2 : 64;
    struct ticket **p = realloc(tr->tickets, cap * sizeof *p);
    if (!p) return NULL;
    tr->tickets = p;
    tr->ticket_cap = cap;
  }
  t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->generation = 1;
  t->index = (uint32_t)tr->ticket_n + 1; /* 0 is never a ticket */
  tr->tickets[tr->ticket_n++] = t;
  return t;
}

static pb_ticket ticket_id(const struct ticket *t) {
  return (uint64_t)t->index << 32 | t->generation;
}

static struct ticket *ticket_find(struct transports *tr, pb_ticket id) {
  size_t index = (size_t)(id >> 32);
  if (!index || index > tr->ticket_n) return NULL;
  struct ticket *t = tr->tickets[index - 1];
  return t->generation == (uint32_t)id && t->generation & 1 ? t : NULL;
}

static void ticket_free(struct transports *tr, struct ticket *t) {
  t->generation++;
  t->inst = NULL;
  t->completed = false;
  t->text.len = 0;
  if (t->text.failed || t->text.cap > 64 * 1024) buf_free(&t->text);
  t->next_free = tr->free_tickets;
  tr->free_tickets = t;
}

static size_t keep(struct buf *text, const char *data, size_t len) {
  size_t at = text->len;
  if (len) buf_add(text, data, len);
  buf_add(text, "", 1);
  return at;
}

static void ticket_complete(struct ticket *t, const struct pb_result *r) {
  struct transports *tr = t->inst->tr;
  struct pb_result *own = &t->result;
  memset(own, 0, sizeof *own);
  memcpy(own, r, r->size && r->size < sizeof *own ? r->size : sizeof *own);
  if (!own->body) own->body_len = 0;
  if (!own->detail) own->detail_len = 0;
  t->error_code_at = keep(&t->text, own->error_code, own->error_code ? strlen(own->error_code) : 0);
  t->topics_at = keep(&t->text, own->topics, own->topics ? strlen(own->topics) : 0);
  t->body_at = keep(&t->text, own->body, own->body_len);
  t->detail_at = keep(&t->text, own->detail, own->detail_len);
  t->completed = true;
  t->next_done = NULL;
  *tr->done_end = t;
  tr->done_end = &t->next_done;
  loop_defer(tr->loop, &tr->deliver, deliver, tr);
}

static void instance_idle(struct instance *in);

static void deliver(void *arg) {
  struct transports *tr = arg;
  struct ticket *t = tr->done;
  tr->done = NULL;
  tr->done_end = &tr->done;
  while (t) {
    struct ticket *next = t->next_done;
    struct instance *in = t->inst;
    struct pb_result *r = &t->result;
    if (t->text.failed) {
      *r = (struct pb_result){.outcome = PB_GARBLED, .detail = "no memory for the worker's answer"};
      r->detail_len = strlen(r->detail);
    } else {
      r->error_code = t->text.data + t->error_code_at;
      if (r->topics) r->topics = t->text.data + t->topics_at;
      r->body = t->text.data + t->body_at;
      r->detail = t->text.data + t->detail_at;
    }
    in->tickets--;
    t->fn(t->arg, r);
    ticket_free(tr, t);
    instance_idle(in);
    t = next;
  }
}

static void host_complete(struct pb_owner *o, pb_ticket id, const struct pb_result *r) {
  struct ticket *t = ticket_find(o->tr, id);
  if (!t || t->completed) {
    o->tr->counters.stale_completions++;
    log_warning(loop_log(o->tr->loop), o->label,
                "the transport completed a request that is not running; ignored");
    return;
  }
  ticket_complete(t, r);
}

static void tell_ready(void *arg) {
  struct instance *in = arg;
  if (!in->closing) in->ready(in->arg);
}

static void host_ready(struct pb_owner *o) {
  if (o->inst) loop_defer(o->tr->loop, &o->inst->tell_ready, tell_ready, o->inst);
}

static void host_drained(struct pb_owner *o) {
  if (!o->inst) return;
  o->inst->drained = true;
  instance_idle(o->inst);
}

/* --- plugins and pools --- */

static struct plugin_run *plugin_get(struct transports *tr, const struct pb_transport *desc,
                                     struct pb_err *err) {
  for (struct plugin_run *p = tr->plugins; p; p = p->next)
    if (p->desc == desc) return p;
  struct plugin_run *p = calloc(1, sizeof *p);
  if (!p) {
    snprintf(err->text, sizeof err->text, "out of memory");
    return NULL;
  }
  p->desc = desc;
  p->owner.tr = tr;
  p->owner.desc = desc;
  snprintf(p->owner.label, sizeof p->owner.label, "transport %s", desc->name);
  int rc = desc->load ? desc->load(&tr->host, &p->owner, &p->plugin, err) : 0;
  if (rc) {
    free(p);
    return NULL;
  }
  p->next = tr->plugins;
  tr->plugins = p;
  return p;
}

/* Of those with its name it is the one that is told of. */
static void pool_replaces(struct transports *tr, struct pool_run *p) {
  for (struct pool_run *q = tr->pools; q; q = q->next)
    if (!strcmp(q->name, p->name)) q->replaced = q != p;
}

static struct pool_run *pool_get(struct transports *tr, struct settings *snapshot,
                                 const struct topic_settings *t, struct pb_err *err) {
  struct plugin_run *plugin = plugin_get(tr, t->transport, err);
  if (!plugin) return NULL;
  if (t->pool)
    for (struct pool_run *p = tr->pools; p; p = p->next)
      if (p->set && !strcmp(p->set->name, t->pool->name) && settings_pool_equal(p->set, t->pool)) {
        pool_replaces(tr, p); /* after a reload back to it */
        return p;
      }
  struct pool_run *p = calloc(1, sizeof *p);
  if (!p || !owner_init(&p->owner, tr, plugin->desc)) {
    free(p);
    snprintf(err->text, sizeof err->text, "out of memory");
    return NULL;
  }
  p->owner.pool = p;
  p->plugin = plugin;
  p->set = t->pool;
  p->snapshot = settings_ref(snapshot);
  p->name = t->pool ? t->pool->name : t->path;
  snprintf(p->owner.label, sizeof p->owner.label, t->pool ? "pool %s" : "%s", p->name);
  const void *conf = t->pool_conf;
  p->pool = plugin->plugin; /* where there is no pool_open(): how else would create() get at it? */
  int rc = plugin->desc->pool_open
               ? plugin->desc->pool_open(plugin->plugin, &p->owner, conf, &p->pool, err)
               : 0;
  if (rc) {
    settings_unref(p->snapshot);
    free(p->owner.figures);
    free(p);
    return NULL;
  }
  p->next = tr->pools;
  tr->pools = p;
  pool_replaces(tr, p);
  return p;
}

static void pool_release(struct pool_run *p) {
  struct transports *tr = p->owner.tr;
  if (--p->instances) return;
  for (struct pool_run **at = &tr->pools; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  if (p->plugin->desc->pool_close) p->plugin->desc->pool_close(p->pool);
  settings_unref(p->snapshot);
  free(p->owner.figures);
  loop_free_later(tr->loop, p);
}

/* --- instances --- */

struct instance *instance_open(struct transports *tr, struct settings *snapshot,
                               const struct topic_settings *t, void (*ready)(void *arg), void *arg,
                               struct pb_err *err) {
  struct pool_run *pool = pool_get(tr, snapshot, t, err);
  struct instance *in = pool ? calloc(1, sizeof *in) : NULL;
  if (pool) pool->instances++;
  if (!in || !owner_init(&in->owner, tr, t->transport)) {
    free(in);
    if (pool) {
      snprintf(err->text, sizeof err->text, "out of memory");
      pool_release(pool);
    }
    return NULL;
  }
  in->tr = tr;
  in->pool = pool;
  in->snapshot = settings_ref(snapshot);
  in->set = t;
  in->ready = ready;
  in->arg = arg;
  in->owner.inst = in;
  snprintf(in->owner.label, sizeof in->owner.label, "%s", t->path);
  in->info = settings_topic_info(t);
  int rc = t->transport->create(pool->pool, &in->owner, &in->info, t->conf, &in->inst, err);
  if (rc) {
    settings_unref(in->snapshot);
    free(in->owner.figures);
    free(in);
    pool_release(pool);
    return NULL;
  }
  return in;
}

static void instance_destroy(void *arg) {
  struct instance *in = arg;
  struct transports *tr = in->tr;
  *in->prev_closing = in->next_closing;
  if (in->next_closing) in->next_closing->prev_closing = in->prev_closing;
  timer_done(&in->patience);
  deferred_cancel(tr->loop, &in->destroy);
  deferred_cancel(tr->loop, &in->tell_ready);
  in->pool->plugin->desc->destroy(in->inst);
  /* What the plugin still owed is over: its jobs' outcome is not known. */
  if (in->tickets)
    for (size_t i = 0; i < tr->ticket_n; i++) {
      struct ticket *t = tr->tickets[i];
      if (t->inst != in || t->completed) continue;
      struct pb_result r = {.size = sizeof r,
                            .outcome = PB_LOST,
                            .detail = "the transport was closed while the request ran"};
      r.detail_len = strlen(r.detail);
      ticket_complete(t, &r);
    }
  if (tr->done) deliver(tr); /* while the tickets' instance is still there */
  deferred_cancel(tr->loop, &in->destroy);
  pool_release(in->pool);
  settings_unref(in->snapshot);
  free(in->owner.figures);
  loop_free_later(tr->loop, in);
  if (tr->on_ended) tr->on_ended(tr->on_ended_arg);
}

bool transports_ending(const struct transports *tr) {
  for (const struct instance *in = tr->closing; in; in = in->next_closing)
    if (!in->tickets) return true;
  return false;
}

void transports_on_ended(struct transports *tr, void (*fn)(void *arg), void *arg) {
  tr->on_ended = fn;
  tr->on_ended_arg = arg;
}

/* A closing instance goes when the plugin says that it is drained, and no completion is owed. */
static void instance_idle(struct instance *in) {
  if (in->closing && in->drained && !in->tickets)
    loop_defer(in->tr->loop, &in->destroy, instance_destroy, in);
}

static void patience_over(void *arg) {
  struct instance *in = arg;
  if (in->tickets)
    log_warning(
        loop_log(in->tr->loop), in->owner.label,
        "requests that still run after their deadline: %u; closing the transport all the same",
        in->tickets);
  loop_defer(in->tr->loop, &in->destroy, instance_destroy, in);
}

void instance_close(struct instance *in, uint64_t patience_ms) {
  if (!in || in->closing) return;
  in->closing = true;
  in->next_closing = in->tr->closing;
  in->prev_closing = &in->tr->closing;
  if (in->next_closing) in->next_closing->prev_closing = &in->next_closing;
  in->tr->closing = in;
  timer_init(&in->patience, in->tr->loop, patience_over, in);
  timer_start(&in->patience, patience_ms);
  in->pool->plugin->desc->drain(in->inst);
}

int instance_submit(struct instance *in, const struct pb_batch *b, instance_done_fn fn, void *arg,
                    pb_ticket *ret, struct pb_err *err) {
  struct transports *tr = in->tr;
  struct ticket *t = ticket_new(tr);
  if (!t) {
    snprintf(err->text, sizeof err->text, "out of memory");
    return -ENOMEM;
  }
  t->inst = in;
  t->batch = b;
  t->fn = fn;
  t->arg = arg;
  in->tickets++;
  *ret = ticket_id(t);
  uint64_t begin = call_begin();
  in->submitting = b;
  int rc = in->pool->plugin->desc->submit(in->inst, b, *ret, err);
  in->submitting = NULL;
  /* The texts that it asked for are made meanwhile, 64 KB in a ms at the least. That is the core's
   * time, and with jobs of megabytes most of it. */
  begin += (b->form.len + b->json.len + b->bodies.len) >> 16;
  call_end(&in->owner, begin, "submit()");
  if (rc && t->completed) { /* it has a result by now: that one counts, the job may have run */
    log_warning(loop_log(tr->loop), in->owner.label,
                "the transport completed a request within submit() and refused it as well");
    return 0;
  }
  if (rc) {
    in->tickets--;
    ticket_free(tr, t);
  }
  return rc;
}

void instance_cancel(struct instance *in, pb_ticket id) {
  struct ticket *t = ticket_find(in->tr, id);
  if (t && !t->completed) in->pool->plugin->desc->cancel(in->inst, id);
}

/* --- looking --- */

static int health(int (*fn)(void *of, char *ret, size_t size), void *of, struct pb_owner *o,
                  char *ret, size_t size) {
  *ret = 0;
  if (!fn) return PB_HEALTH_OK;
  uint64_t begin = call_begin();
  int state = fn(of, ret, size);
  call_end(o, begin, "health()");
  ret[size - 1] = 0;
  return state == PB_HEALTH_DEGRADED || state == PB_HEALTH_DOWN ? state : PB_HEALTH_OK;
}

int instance_health(struct instance *in, char *ret, size_t size) {
  return health(in->pool->plugin->desc->health, in->inst, &in->owner, ret, size);
}

const struct pb_transport *instance_transport(const struct instance *in) {
  return in->owner.desc;
}
const double *instance_figures(const struct instance *in) {
  return in->owner.figures;
}

struct pool_run *transports_pool(struct transports *tr, struct pool_run *after) {
  struct pool_run *p = after ? after->next : tr->pools;
  while (p && p->replaced) p = p->next;
  return p;
}

const char *pool_run_name(const struct pool_run *p) {
  return p->name;
}
const struct pb_transport *pool_run_transport(const struct pool_run *p) {
  return p->plugin->desc;
}
const double *pool_run_figures(const struct pool_run *p) {
  return p->owner.figures;
}

int pool_run_health(struct pool_run *p, char *ret, size_t size) {
  return health(p->plugin->desc->pool_health, p->pool, &p->owner, ret, size);
}

void transports_on_load(struct transports *tr, transports_load_fn fn, void *arg) {
  tr->on_load = fn;
  tr->on_load_arg = arg;
}

/* --- the lot --- */

struct transports *transports_new(struct loop *loop) {
  struct transports *tr = calloc(1, sizeof *tr);
  if (!tr) return NULL;
  tr->loop = loop;
  tr->done_end = &tr->done;
  tr->host = (struct pb_host){.size = sizeof tr->host,
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
                              .batch_form = batch_form,
                              .batch_json = batch_json,
                              .job_id = host_job_id,
                              .job_body = host_job_body,
                              .job_attempt = host_job_attempt,
                              .complete = host_complete,
                              .ready = host_ready,
                              .drained = host_drained,
                              .batch_traceparent = batch_traceparent,
                              .sign = host_sign,
                              .metric = host_metric,
                              .pool_load = host_pool_load,
                              .child_unwatch = host_child_unwatch};
  return tr;
}

void transports_free(struct transports *tr) {
  if (!tr) return;
  tr->on_ended = NULL;
  while (tr->closing) instance_destroy(tr->closing);
  deferred_cancel(tr->loop, &tr->deliver);
  while (tr->plugins) {
    struct plugin_run *p = tr->plugins;
    tr->plugins = p->next;
    if (p->desc->unload) p->desc->unload(p->plugin);
    free(p);
  }
  for (size_t i = 0; i < tr->watch_cap; i++)
    if (tr->watches[i]) {
      io_done(&tr->watches[i]->io);
      free(tr->watches[i]);
    }
  for (size_t i = 0; i < tr->ticket_n; i++) {
    buf_free(&tr->tickets[i]->text);
    free(tr->tickets[i]);
  }
  free(tr->watches);
  free(tr->tickets);
  free(tr);
}

struct transport_counters transports_counters(const struct transports *tr) {
  return tr->counters;
}
