/* Owns the table of functions that plugins call, and the descriptors and timers that plugins have
 * in the loop.
 */
#include "transport/private.h"

#include "base/log.h"
#include "base/secret.h"
#include "transport/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* --- log, time, descriptors, timers --- */

static void host_log(struct pb_owner *o, enum pb_log_level level, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(loop_log(o->tr->loop), level, o->label, fmt, ap);
  va_end(ap);
}

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
    tickets_deliver(tr);
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

/* --- figures, load, signature --- */

static void host_metric(struct pb_owner *o, unsigned index, double value) {
  const struct pb_metric *m =
      o->figures && index < transport_metrics(o->desc) ? transport_metric(o->desc, index) : NULL;
  if (!m ||
      m->scope != (o->inst   ? PB_SCOPE_TOPIC
                   : o->pool ? PB_SCOPE_POOL
                             : 0u) ||
      (m->type == PB_METRIC_COUNTER && !(value >= 0)))
    return;
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

/* --- batches --- */

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

/* --- what becomes of a request --- */

static void host_complete(struct pb_owner *o, pb_ticket id, const struct pb_result *r) {
  struct ticket *t = ticket_find(o->tr, id);
  if (!t || t->completed) {
    log_warning(loop_log(o->tr->loop), o->label,
                "the transport completed a request that is not running; ignored");
    return;
  }
  ticket_complete(t, r);
}

static void host_ready(struct pb_owner *o) {
  if (o->inst) loop_defer(o->tr->loop, &o->inst->tell_ready, instance_tell_ready, o->inst);
}

static void host_drained(struct pb_owner *o) {
  if (!o->inst) return;
  o->inst->drained = true;
  instance_idle(o->inst);
}

/* --- the table --- */

void host_init(struct pb_host *host) {
  *host = (struct pb_host){.size = sizeof *host,
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
}

void host_done(struct transports *tr) {
  for (size_t i = 0; i < tr->watch_cap; i++)
    if (tr->watches[i]) {
      io_done(&tr->watches[i]->io);
      free(tr->watches[i]);
    }
  free(tr->watches);
}
