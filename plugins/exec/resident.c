/* Owns the requests of a topic whose command stays: a line of JSON to a process' standard input, a
 * line of JSON from its standard output, one request at a time for each process.
 *
 * A process that has just started must answer a ping before it gets jobs. A process that dies ends
 * only its own request. A line on standard output that is no answer is noise: it is kept for the
 * message of a failure, counted, and logged within limits.
 */
#include "child.h"
#include "keeper.h"
#include "launch.h"
#include "reply.h"
#include "tail.h"

#include <errno.h>
#include <pepperbus/text.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define GREET_MS   10000 /* for the answer to a new process' first ping */
#define HEAD_MAX   1024
#define PARKED_MAX 16 /* pings that wait for a process; more are refused */
#define READS_MAX  16 /* pieces of output of a dead one: a child of it may go on */
#define TEXT_MAX   1024

enum task {
  TASK_NONE,     /* not running, or told to end; leaves by worker_up() */
  TASK_GREETING, /* has its first ping; leaves by the answer, or its death */
  TASK_IDLE,     /* on the instance's idle list; leaves by submit(), or its death */
  TASK_BUSY      /* has the request `ticket`; leaves by the answer, or its death */
};

struct worker {
  struct proc proc;
  enum task task;
  struct worker *next_idle;
  pb_ticket ticket;
  bool cancelled;
  int64_t served;
  char head[HEAD_MAX];  /* of the request's line, up to the jobs */
  struct iovec rest[3]; /* of the line, not written yet: head, jobs, end */
  size_t rest_at;       /* 3: all is written */
  const char *trace;    /* the request's; the host's until it is completed */
  char *line;           /* begun and not ended yet */
  size_t line_len, line_cap;
  struct tail said; /* on standard error, and noise, since the request began */
};

/* A ping that waits for a process to come up: the question is whether one does. */
struct parked {
  const struct pb_batch *b;
  pb_ticket ticket;
};

struct resident {
  struct instance base;
  struct keeper keeper;
  struct worker *idle;
  struct parked parked[PARKED_MAX];
  size_t parked_n;
  bool draining, waiting; /* waiting: the host got -EAGAIN */
};

static struct resident *resident_of(struct worker *w) {
  return (struct resident *)w->proc.keeper->in;
}

static const struct pb_host *host(const struct resident *in) {
  return in->base.plugin->h;
}

/* --- which process is free --- */

static void task_set(struct worker *w, enum task to) {
  struct resident *in = resident_of(w);

  if (w->task == TASK_IDLE) {
    struct worker **at = &in->idle;

    while (*at != w) at = &(*at)->next_idle;
    *at = w->next_idle;
  }
  w->task = to;
  if (to != TASK_IDLE) return;
  w->next_idle = in->idle; /* the last used first: it is warm */
  in->idle = w;
}

static void tell_ready(struct resident *in) {
  if (!in->waiting || in->draining) return;
  in->waiting = false;
  host(in)->ready(in->base.o);
}

static bool worker_ask(struct worker *w, const struct pb_batch *b, pb_ticket t);

static void parked_complete(struct resident *in, enum pb_outcome outcome, const char *why) {
  struct pb_result res = {.size = sizeof res, .outcome = outcome, .detail = why};

  res.detail_len = strlen(why);
  for (size_t i = 0; i < in->parked_n; i++)
    host(in)->complete(in->base.o, in->parked[i].ticket, &res);
  in->parked_n = 0;
}

/* It has nothing to do any more: the next request, or its end. */
static void worker_rest(struct worker *w) {
  struct resident *in = resident_of(w);
  int64_t max = in->base.conf->max_requests;

  task_set(w, TASK_NONE);
  if (w->proc.state != PROC_UP) return;
  if (in->draining || (max && w->served >= max)) {
    proc_end(&w->proc, STEP_EOF, true);
    return;
  }
  if (in->parked_n && worker_ask(w, in->parked[0].b, in->parked[0].ticket)) {
    memmove(in->parked, in->parked + 1, --in->parked_n * sizeof in->parked[0]);
    return;
  }
  if (w->proc.state != PROC_UP) return;
  task_set(w, TASK_IDLE);
  tell_ready(in);
}

/* --- the answer --- */

/* Reads without the scratch buffer: it may hold an answer just now. */
static void read_errors(struct worker *w) {
  char piece[STDERR_MAX];
  ssize_t n;

  if (w->proc.err < 0) return;
  n = child_read(w->proc.err, piece, sizeof piece);
  if (n > 0) {
    tail_add(&w->said, piece, (size_t)n);
    proc_print(&w->proc, piece, (size_t)n);
  }
  if (n < 0) proc_close_fd(&w->proc, &w->proc.err);
}

static void worker_complete(struct worker *w, struct pb_result *res) {
  struct resident *in = resident_of(w);

  res->size = sizeof *res;
  w->trace = NULL;
  w->rest_at = 3;
  if (w->proc.in >= 0) host(in)->io_del(in->base.o, w->proc.in);
  host(in)->complete(in->base.o, w->ticket, res);
}

static void take_answer(struct worker *w, struct reply *reply) {
  struct resident *in = resident_of(w);
  struct pb_result res = {0};

  reply_result(reply, in->base.path, &res);
  if (reply->code != 200) {
    /* Only here: the errors of a process that succeeds are not worth a look each time. */
    read_errors(w);
    res.detail = tail_text(&w->said, &res.detail_len);
  }
  w->served++;
  w->proc.useful = true;
  worker_complete(w, &res);
  worker_rest(w);
}

/* Its answers can no longer be matched to requests: it is restarted. */
static void worker_confused(struct worker *w, const char *why) {
  struct resident *in = resident_of(w);
  struct pb_result res = {.outcome = PB_GARBLED, .detail = why, .detail_len = strlen(why)};

  instance_log(&in->base, PB_LOG_WARNING, "process %d %s; restarting it", (int)w->proc.pid, why);
  keeper_note(&in->keeper, why, "", 0);
  w->proc.noted = true;
  w->proc.useful = false;
  if (w->task == TASK_BUSY && !w->cancelled) worker_complete(w, &res);
  task_set(w, TASK_NONE);
  proc_end(&w->proc, STEP_TERM, false);
}

static void take_noise(struct worker *w, const char *line, size_t len) {
  struct resident *in = resident_of(w);

  tail_add(&w->said, line, len);
  tail_add(&w->said, "\n", 1);
  instance_count(&in->base, METRIC_NOISE, 1);
  instance_log(&in->base, PB_LOG_INFO, "process %d printed what is no answer: %.*s",
               (int)w->proc.pid, (int)(len < 200 ? len : 200), line);
}

static void take_line(struct worker *w, char *line, size_t len) {
  struct reply reply;

  if (len && line[len - 1] == '\r') len--;
  if (!len) return;
  if (*line != '{' || reply_parse(line, len, &reply) < 0) {
    take_noise(w, line, len);
    return;
  }
  switch (w->task) {
  case TASK_GREETING:
    worker_rest(w);
    return;
  case TASK_BUSY:
    if (w->cancelled) return; /* its end has begun */
    if (w->rest_at < 3)
      worker_confused(w, "answered before it had read its request");
    else if (reply.trace.at && w->trace && !reply_is_of(&reply, w->trace))
      worker_confused(w, "answered another request (outTraceId) than the one it had");
    else
      take_answer(w, &reply);
    return;
  case TASK_IDLE:
    worker_confused(w, "answered though it was not asked");
    return;
  case TASK_NONE:
    return;
  }
}

static size_t line_max(const struct worker *w) {
  return (size_t)w->proc.keeper->in->conf->max_output;
}

/* Keeps the beginning of a line that has not ended. False when it cannot be kept. */
static bool line_keep(struct worker *w, const char *data, size_t len) {
  size_t want = w->line_len + len + 1;

  if (want > line_max(w)) return false;
  if (want > w->line_cap) {
    size_t cap = w->line_cap ? w->line_cap : 1024;
    char *line;

    while (cap < want) cap *= 2;
    line = realloc(w->line, cap);
    if (!line) return false;
    w->line = line;
    w->line_cap = cap;
  }
  memcpy(w->line + w->line_len, data, len);
  w->line_len += len;
  return true;
}

static void line_drop(struct worker *w) {
  w->line_len = 0;
  if (w->line_cap <= SCRATCH_SIZE) return;
  free(w->line);
  w->line = NULL;
  w->line_cap = 0;
}

static void take_output(struct worker *w, char *data, size_t len) {
  while (len) {
    char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) : len;

    if (end && !w->line_len && n < line_max(w)) { /* the way of nearly all answers: no copy */
      take_line(w, data, n);
    } else if (!line_keep(w, data, n)) {
      line_drop(w);
      if (w->proc.state == PROC_UP) worker_confused(w, "printed a line longer than max_output");
      return;
    } else if (end) {
      take_line(w, w->line, w->line_len);
      line_drop(w);
    }
    n += end != NULL;
    data += n;
    len -= n;
  }
}

static void worker_readable(struct proc *p, int fd) {
  struct worker *w = (struct worker *)p;
  char *scratch = p->keeper->in->plugin->scratch;
  unsigned left = READS_MAX;
  ssize_t n;

  if (fd == p->err) {
    read_errors(w);
    return;
  }
  do { /* the pipe of a dead process may still hold the answer */
    n = child_read(fd, scratch, SCRATCH_SIZE);
    if (n > 0) take_output(w, scratch, (size_t)n);
  } while (n > 0 && p->state == PROC_LEFT && w->task == TASK_BUSY && --left);
  if (n >= 0) return;
  proc_close_fd(p, &p->out);
  if (p->state == PROC_UP) { /* nothing can come from it any more */
    keeper_note(p->keeper, "closed its standard output", "", 0);
    proc_end(p, STEP_TERM, false);
  }
}

/* --- the request --- */

static void on_writable(int fd, unsigned events, void *arg);

/* Writes the rest. 0 (all, or more later) or -errno. */
static int worker_write(struct worker *w) {
  struct resident *in = resident_of(w);

  while (w->rest_at < 3) {
    ssize_t n = writev(w->proc.in, w->rest + w->rest_at, (int)(3 - w->rest_at));

    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN)
      return host(in)->io_set(in->base.o, w->proc.in, PB_IO_WRITE, on_writable, w);
    if (n < 0) return -errno;
    for (; w->rest_at < 3 && (size_t)n >= w->rest[w->rest_at].iov_len; w->rest_at++)
      n -= (ssize_t)w->rest[w->rest_at].iov_len;
    if (w->rest_at == 3) break;
    w->rest[w->rest_at].iov_base = (char *)w->rest[w->rest_at].iov_base + n;
    w->rest[w->rest_at].iov_len -= (size_t)n;
  }
  return 0;
}

static void on_writable(int fd, unsigned events, void *arg) {
  struct worker *w = arg;
  struct resident *in = resident_of(w);
  int rc;

  (void)events;
  rc = worker_write(w);
  if (rc == 0 && w->rest_at < 3) return;
  host(in)->io_del(in->base.o, fd);
  /* It has closed its input in the middle of a request: its end tells the rest. */
  if (rc < 0) proc_end(&w->proc, STEP_TERM, false);
}

static char *put(char *p, const char *text) {
  size_t n = strlen(text);

  memcpy(p, text, n);
  return p + n;
}

/* The names need no escapes: letters, digits and _ . : - are all that they have. */
static void worker_load(struct worker *w, const char *type, const char *trace, const char *parent,
                        const char *jobs, size_t len) {
  const struct pb_topic_info *t = resident_of(w)->base.topic;
  char *p = put(w->head, "{\"type\":\"");

  p = put(put(p, type), "\",\"queue\":\"");
  p = put(put(p, t->queue), "\",\"topic\":\"");
  p = put(put(p, t->topic), "\",\"outTraceId\":\"");
  p = put(put(p, trace), "\",\"traceparent\":\"");
  p = put(put(p, parent), jobs ? "\",\"jobs\":" : "\"");
  w->rest[0] = (struct iovec){w->head, (size_t)(p - w->head)};
  w->rest[1] = (struct iovec){(void *)(uintptr_t)(jobs ? jobs : ""), len};
  w->rest[2] = (struct iovec){(void *)(uintptr_t) "}\n", 2};
  w->rest_at = 0;
  w->trace = NULL;
  w->cancelled = false;
  tail_clear(&w->said);
}

/* False if the process has gone meanwhile and has not got the whole request. */
static bool worker_ask(struct worker *w, const struct pb_batch *b, pb_ticket t) {
  const struct pb_host *h = host(resident_of(w));
  bool ping = h->batch_type(b) == PB_BATCH_PING;
  size_t len = 0;
  const char *jobs = ping ? NULL : h->batch_json(b, &len);

  worker_load(w, ping ? "ping" : "data", h->batch_trace(b), h->batch_traceparent(b), jobs, len);
  if (worker_write(w) < 0) {
    task_set(w, TASK_NONE);
    proc_end(&w->proc, STEP_TERM, false);
    return false;
  }
  task_set(w, TASK_BUSY);
  w->ticket = t;
  w->trace = h->batch_trace(b);
  return true;
}

static int resident_submit(struct instance *base, const struct pb_batch *b, pb_ticket t,
                           struct pb_err *err) {
  struct resident *in = (struct resident *)base;
  const struct pb_host *h = host(in);
  struct pb_result res = {.size = sizeof res, .outcome = PB_UNREACHABLE};
  bool ping = h->batch_type(b) == PB_BATCH_PING;
  size_t len;

  if (!ping && !h->batch_json(b, &len)) {
    snprintf(err->text, sizeof err->text, "no memory for the request");
    return -ENOMEM;
  }
  while (in->idle)
    if (worker_ask(in->idle, b, t)) return 0;
  if (!keeper_failing(&in->keeper)) {
    if (ping && in->parked_n < PARKED_MAX) {
      in->parked[in->parked_n++] = (struct parked){b, t};
      return 0;
    }
    in->waiting = true;
    return -EAGAIN;
  }
  res.detail = in->keeper.last;
  res.detail_len = strlen(res.detail);
  h->complete(base->o, t, &res);
  return 0;
}

static void resident_cancel(struct instance *base, pb_ticket t) {
  struct resident *in = (struct resident *)base;

  for (size_t i = 0; i < in->parked_n; i++) {
    static const char why[] = "no process came up before the deadline";
    struct pb_result res = {.size = sizeof res, .outcome = PB_TIMEOUT, .detail = why};

    if (in->parked[i].ticket != t) continue;
    res.detail_len = sizeof why - 1;
    memmove(in->parked + i, in->parked + i + 1, (--in->parked_n - i) * sizeof in->parked[0]);
    host(in)->complete(base->o, t, &res);
    return;
  }
  for (size_t i = 0; i < in->keeper.n; i++) {
    struct worker *w = (struct worker *)in->keeper.procs[i];

    if (w->task != TASK_BUSY || w->ticket != t || w->cancelled) continue;
    w->cancelled = true;
    proc_end(&w->proc, STEP_TERM, true);
    return;
  }
}

/* --- processes come and go --- */

static void worker_up(struct proc *p) {
  struct worker *w = (struct worker *)p;
  struct resident *in = resident_of(w);

  w->served = 0;
  w->line_len = 0;
  if (!w->said.max) tail_init(&w->said, STDERR_MAX);
  worker_load(w, "ping", "", "", NULL, 0);
  task_set(w, TASK_GREETING);
  if (worker_write(w) < 0) { /* it is dead already; its end tells why */
    proc_end(p, STEP_TERM, false);
    return;
  }
  host(in)->timer_start(p->timer, GREET_MS);
}

static void worker_overdue(struct proc *p) {
  struct worker *w = (struct worker *)p;

  if (w->task == TASK_GREETING)
    worker_confused(w, "did not answer its first ping (a line of JSON on standard input)");
}

static void worker_down(struct proc *p, int wait_status, const char *why) {
  struct worker *w = (struct worker *)p;
  struct resident *in = resident_of(w);
  struct pb_result res = {.outcome = w->cancelled ? PB_TIMEOUT : PB_LOST};
  bool busy = w->task == TASK_BUSY;
  char text[TEXT_MAX + STDERR_MAX];
  size_t len;
  const char *said = tail_text(&w->said, &len);
  int n;

  task_set(w, TASK_NONE);
  if (!p->planned && (busy || !p->useful || wait_status)) {
    char brief[300];

    pb_excerpt(brief, sizeof brief, said, len);
    if (!p->noted) keeper_note(&in->keeper, why, said, len);
    instance_log(&in->base, PB_LOG_WARNING, "a process %s%s%s; it is started again", why,
                 len ? ": " : "", brief);
  }
  if (busy) {
    n = snprintf(text, sizeof text, "%s %s%s%s%.*s", launch_file(in->base.launch), why,
                 w->cancelled ? " after the deadline"
                              : " during the request; whether it was done is not known",
                 len ? ": " : "", (int)len, said);
    res.detail = text;
    res.detail_len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    worker_complete(w, &res);
  }
  if (!keeper_failing(&in->keeper)) return;
  parked_complete(in, PB_UNREACHABLE, in->keeper.last);
  tell_ready(in); /* the host then hears that no process is there */
}

static bool worker_busy(struct proc *p) {
  return ((struct worker *)p)->task == TASK_BUSY;
}

static void resident_stopped(struct instance *base) {
  struct resident *in = (struct resident *)base;

  host(in)->drained(base->o);
}

static const struct keeper_ops resident_ops = {
    .up = worker_up,
    .readable = worker_readable,
    .overdue = worker_overdue,
    .busy = worker_busy,
    .down = worker_down,
    .stopped = resident_stopped,
};

/* --- life --- */

static int resident_start(struct instance *base, struct pb_err *err) {
  struct resident *in = (struct resident *)base;

  return keeper_start(&in->keeper, base, &resident_ops, base->topic->workers, sizeof(struct worker),
                      true, err);
}

static void resident_drain(struct instance *base) {
  struct resident *in = (struct resident *)base;

  in->draining = true;
  parked_complete(in, PB_UNREACHABLE, "the topic was closed before a process came up");
  for (size_t i = 0; i < in->keeper.n; i++) {
    struct worker *w = (struct worker *)in->keeper.procs[i];

    if (w->task != TASK_BUSY) task_set(w, TASK_NONE);
  }
  keeper_stop(&in->keeper, STEP_EOF);
}

static void resident_destroy(struct instance *base) {
  struct resident *in = (struct resident *)base;

  for (size_t i = 0; i < in->keeper.n; i++) {
    struct worker *w = (struct worker *)in->keeper.procs[i];

    free(w->line);
    tail_done(&w->said);
  }
  keeper_destroy(&in->keeper);
}

static int resident_health(struct instance *base, char *ret, size_t size) {
  return keeper_health(&((struct resident *)base)->keeper, ret, size);
}

const struct mode mode_resident = {
    .size = sizeof(struct resident),
    .start = resident_start,
    .submit = resident_submit,
    .cancel = resident_cancel,
    .drain = resident_drain,
    .destroy = resident_destroy,
    .health = resident_health,
};
