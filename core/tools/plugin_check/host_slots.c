/* Owns the table of functions that the plugin calls. Each of them looks whether it may be called.
 */
#include "tools/plugin_check/host_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Each slot begins with it. */
static void slot_called(struct pb_owner *o, const char *slot) {
  if (!pthread_equal(pthread_self(), o->h->thread))
    host_fault(o->h, "calls %s from a thread of its own; only post() may be called there", slot);
  if (o->gone) host_fault(o->h, "calls %s for %s, which is destroyed or closed", slot, o->name);
}

static void batch_used(const struct pb_batch *b, const char *slot) {
  if (b->over) host_fault(b->h, "asks %s of a batch whose ticket is completed", slot);
}

static PB_PRINTF(3, 4) void slot_log(struct pb_owner *o, enum pb_log_level level, const char *fmt,
                                     ...) {
  struct host *h = o->h;
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(h->last_log, sizeof h->last_log, fmt, ap);
  va_end(ap);
  slot_called(o, "log()");
  if (h->watch.log) h->watch.log(h->watch.arg, o->name, level, h->last_log);
  if (level <= PB_LOG_WARNING) h->stats.warnings++;
}

static uint64_t slot_now_ms(struct pb_owner *o) {
  return o->h->now_ms;
}

void host_unwatch(struct pb_owner *o, int fd) {
  struct host *h = o->h;

  if (fd < 0 || fd >= HOST_FD_MAX || !h->fds[fd].events) return;
  if (epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0)
    host_fault(
        h, "closes a descriptor before io_del(): the host may watch a stranger under its number");
  h->fds[fd] = (struct watched){0};
  h->watching--;
}

static int slot_io_set(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg) {
  struct host *h = o->h;
  struct epoll_event ev = {0};
  int op;

  h->stats.io_sets++;
  slot_called(o, "io_set()");
  if (!events) {
    host_unwatch(o, fd);
    return 0;
  }
  if (fd < 0 || fd >= HOST_FD_MAX) return -EBADF;
  if (!h->fds[fd].events) {
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && !(flags & FD_CLOEXEC))
      host_fault(
          h, "has a descriptor that is not close-on-exec: every child of the broker inherits it");
  }
  op = h->fds[fd].events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ev.events = (events & PB_IO_READ ? EPOLLIN : 0u) | (events & PB_IO_WRITE ? EPOLLOUT : 0u);
  ev.data.u64 = (uint64_t)++h->serial << 32 | (unsigned)fd;
  if (epoll_ctl(h->epoll_fd, op, fd, &ev) < 0) return -errno;
  if (op == EPOLL_CTL_ADD) h->watching++;
  h->fds[fd] = (struct watched){events, h->serial, cb, arg, o};
  return 0;
}

static struct pb_timer *slot_timer_new(struct pb_owner *o, pb_fn cb, void *arg) {
  struct pb_timer *t = host_must(calloc(1, sizeof *t));

  slot_called(o, "timer_new()");
  t->h = o->h;
  t->owner = o;
  t->cb = cb;
  t->arg = arg;
  t->next = o->h->timers;
  o->h->timers = t;
  o->h->stats.timers++;
  return t;
}

static void slot_timer_start(struct pb_timer *t, uint64_t after_ms) {
  slot_called(t->owner, "timer_start()");
  t->due_ms = t->h->now_ms + after_ms;
  t->on = true;
}

static void slot_timer_stop(struct pb_timer *t) {
  t->on = false;
}

void host_timer_free(struct pb_timer *t) {
  struct pb_timer **at;

  if (!t) return;
  for (at = &t->h->timers; *at != t; at = &(*at)->next) {
  }
  *at = t->next;
  t->h->stats.timers--;
  free(t);
}

static int slot_child_watch(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg) {
  struct child *c = host_must(calloc(1, sizeof *c));

  slot_called(o, "child_watch()");
  *c = (struct child){o->h->children, o, pid, cb, arg};
  o->h->children = c;
  return 0;
}

static void slot_child_unwatch(struct pb_owner *o, pid_t pid) {
  for (struct child *c = o->h->children; c; c = c->next)
    if (c->pid == pid) c->cb = NULL;
}

static void slot_post(struct pb_owner *o, pb_fn fn, void *arg) {
  struct host *h = o->h;
  struct posted *p = host_must(calloc(1, sizeof *p));
  uint64_t one = 1;

  p->fn = fn;
  p->arg = arg;
  pthread_mutex_lock(&h->posted_lock);
  *h->posted_end = p;
  h->posted_end = &p->next;
  pthread_mutex_unlock(&h->posted_lock);
  if (write(h->post_fd, &one, sizeof one) < 0) host_give_up("eventfd: %s", strerror(errno));
}

static enum pb_batch_type slot_batch_type(const struct pb_batch *b) {
  batch_used(b, "batch_type()");
  return b->type;
}

static size_t slot_batch_count(const struct pb_batch *b) {
  batch_used(b, "batch_count()");
  return b->n;
}

static uint64_t slot_batch_deadline_ms(const struct pb_batch *b) {
  batch_used(b, "batch_deadline_ms()");
  return b->deadline_ms;
}

static const char *slot_batch_trace(const struct pb_batch *b) {
  batch_used(b, "batch_trace()");
  return b->trace;
}

static const char *slot_batch_traceparent(const struct pb_batch *b) {
  batch_used(b, "batch_traceparent()");
  return b->traceparent;
}

static const char *slot_batch_form(const struct pb_batch *b, size_t *ret_len) {
  batch_used(b, "batch_form()");
  *ret_len = b->form_len;
  return b->form;
}

static const char *slot_batch_json(const struct pb_batch *b, size_t *ret_len) {
  batch_used(b, "batch_json()");
  *ret_len = b->json_len;
  return b->json;
}

static bool job_there(const struct pb_batch *b, size_t n, const char *slot) {
  batch_used(b, slot);
  if (n < b->n && !b->over) return true;
  if (!b->over) host_fault(b->h, "asks %s for job %zu of a batch of %zu", slot, n, b->n);
  return false;
}

static const char *slot_job_id(const struct pb_batch *b, size_t n) {
  return job_there(b, n, "job_id()") ? b->ids[n] : "0";
}

static const void *slot_job_body(const struct pb_batch *b, size_t n, size_t *ret_len) {
  *ret_len = 0;
  if (!job_there(b, n, "job_body()")) return "";
  *ret_len = b->len;
  return b->content;
}

static unsigned slot_job_attempt(const struct pb_batch *b, size_t n) {
  (void)job_there(b, n, "job_attempt()");
  return 1;
}

static size_t slot_sign(struct pb_owner *o, const void *body, size_t len, char *ret) {
  slot_called(o, "sign()");
  (void)body, (void)len;
  if (o->kind != OF_TOPIC) host_fault(o->h, "calls sign() for %s, which is no topic", o->name);
  *ret = 0;
  return o->h->signs ? (size_t)snprintf(ret, PB_SIGNATURE_MAX, "t=1,v1=host") : 0;
}

static void slot_metric(struct pb_owner *o, unsigned index, double value) {
  struct host *h = o->h;
  const struct pb_transport *t = h->t;
  const struct pb_metric *m = t->metrics;
  unsigned n = 0;

  slot_called(o, "metric()");
  while (m && n < index && m->name) {
    m = (const struct pb_metric *)(const void *)((const char *)m + t->metric_size);
    n++;
  }
  if (!m || !m->name) {
    host_fault(h, "calls metric() with number %u, its table has %u", index, n);
    return;
  }
  if (o->kind != (m->scope == PB_SCOPE_POOL ? OF_POOL : OF_TOPIC))
    host_fault(h, "calls metric() of %s for %s: it belongs to a %s", m->name, o->name,
               m->scope == PB_SCOPE_POOL ? "pool" : "topic");
  if (m->type == PB_METRIC_COUNTER && !(value >= 0))
    host_fault(h, "calls metric() of the counter %s with %g: it adds to it", m->name, value);
  if (index >= HOST_METRICS) return;
  if (m->type == PB_METRIC_COUNTER)
    h->stats.metrics[index] += value;
  else
    h->stats.metrics[index] = value;
}

static void slot_pool_load(struct pb_owner *o, const struct pb_pool_load *load) {
  slot_called(o, "pool_load()");
  if (o->kind != OF_POOL) host_fault(o->h, "calls pool_load() for %s, which is no pool", o->name);
  if (!load->size) host_fault(o->h, "calls pool_load() with size 0");
  o->h->stats.load = *load;
  o->h->stats.loads++;
}

/* True if the ticket is a running one of `in`. Otherwise the fault is reported. */
static bool completion_check(struct pb_owner *o, const struct host_ticket *t) {
  struct host *h = o->h;

  if (o->gone) return false; /* told already */
  if (!t)
    host_fault(h, "completes a ticket that is none: never given out, or refused by submit()");
  else if (t->completions)
    host_fault(h, "completes a request twice; the second is ignored");
  else if (t->inst->owner != o)
    host_fault(h, "completes a request of %s as one of %s: they must not meet",
               t->inst->owner->name, o->name);
  else
    return true;
  return false;
}

static void slot_complete(struct pb_owner *o, pb_ticket id, const struct pb_result *given) {
  struct host *h = o->h;
  struct pb_result whole = {0}, *r = &whole; /* its struct may be of another minor version */
  struct host_ticket *t = h->tickets;

  h->stats.completions++;
  slot_called(o, "complete()");
  while (t && t->id != id) t = t->next;
  if (!completion_check(o, t)) {
    h->stats.stale++;
    if (t) t->completions++;
    return;
  }
  if (given->size < offsetof(struct pb_result, code))
    host_fault(h, "completes a request with a result whose size is %u", given->size);
  memcpy(r, given, given->size < sizeof *r ? given->size : sizeof *r);
  if (r->outcome < PB_ANSWERED || r->outcome > PB_REFUSED)
    host_fault(h, "completes a request with outcome %u, which is none", r->outcome);
  t->completions = 1;
  t->inst->open--;
  t->outcome = r->outcome;
  t->code = r->code;
  t->error_code = host_copy_text(r->error_code);
  t->topics = host_copy_text(r->topics);
  t->body = host_copy(r->body, r->body ? r->body_len : 0);
  t->body_len = r->body ? r->body_len : 0;
  t->detail = host_copy(r->detail, r->detail ? r->detail_len : 0);
  t->retry_after_ms = r->retry_after_ms;
  if (h->queue_n == h->queue_cap) {
    h->queue_cap = h->queue_cap ? h->queue_cap * 2 : 64;
    h->queue = host_must(realloc(h->queue, h->queue_cap * sizeof *h->queue));
  }
  h->queue[h->queue_n++] = t;
}

static struct host_inst *inst_of(struct pb_owner *o, const char *slot) {
  slot_called(o, slot);
  for (struct host_inst *in = o->h->insts; in; in = in->next)
    if (in->owner == o && !in->destroyed) return in;
  if (!o->gone) host_fault(o->h, "calls %s for %s, which is no topic", slot, o->name);
  return NULL;
}

static void slot_ready(struct pb_owner *o) {
  struct host_inst *in = inst_of(o, "ready()");

  if (in) in->ready++;
}

static void slot_drained(struct pb_owner *o) {
  struct host_inst *in = inst_of(o, "drained()");

  if (!in) return;
  if (!in->draining) host_fault(o->h, "calls drained() without drain()");
  if (in->drained) host_fault(o->h, "calls drained() twice");
  if (in->open) host_fault(o->h, "calls drained() while %u of its requests run", in->open);
  in->drained++;
}

const struct pb_host host_slots = {.size = sizeof host_slots,
                                   .abi_major = PB_ABI_MAJOR,
                                   .abi_minor = PB_ABI_MINOR,
                                   .log = slot_log,
                                   .now_ms = slot_now_ms,
                                   .io_set = slot_io_set,
                                   .io_del = host_unwatch,
                                   .timer_new = slot_timer_new,
                                   .timer_start = slot_timer_start,
                                   .timer_stop = slot_timer_stop,
                                   .timer_free = host_timer_free,
                                   .child_watch = slot_child_watch,
                                   .post = slot_post,
                                   .batch_type = slot_batch_type,
                                   .batch_count = slot_batch_count,
                                   .batch_deadline_ms = slot_batch_deadline_ms,
                                   .batch_trace = slot_batch_trace,
                                   .batch_form = slot_batch_form,
                                   .batch_json = slot_batch_json,
                                   .job_id = slot_job_id,
                                   .job_body = slot_job_body,
                                   .job_attempt = slot_job_attempt,
                                   .complete = slot_complete,
                                   .ready = slot_ready,
                                   .drained = slot_drained,
                                   .batch_traceparent = slot_batch_traceparent,
                                   .sign = slot_sign,
                                   .metric = slot_metric,
                                   .pool_load = slot_pool_load,
                                   .child_unwatch = slot_child_unwatch};
