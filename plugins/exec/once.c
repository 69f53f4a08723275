/* Owns the requests of a topic whose command runs once for each request. The jobs come on its
 * standard input, the exit code is the verdict, and its last output is the message. If the last
 * line is an answer to this very request, this line is the verdict instead: then the process' end
 * changes nothing.
 *
 * A request begins as an order to the spawner. It has a process when the spawner answers. It ends
 * when the process is reaped and its output has ended. A process that it left behind with the
 * output still open is waited for only a moment. A cancelled request ends when its process is dead.
 */
#include "child.h"
#include "common/fault.h"
#include "launch.h"
#include "mode.h"
#include "reply.h"
#include "spawner.h"
#include "tail.h"

#include <errno.h>
#include <pepperbus/text.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READS_MAX 16  /* pieces of output in a row: a process left behind may print for ever */
#define WATCH_MS  4   /* a process that ends before is read once, at its end: half of the work */
#define ROOM_MS   1   /* until the host hears that there may be room for another start */
#define LINGER_MS 250 /* for output of processes that a process left behind */
#define TEXT_MAX  1024

struct once;

struct request {
  struct request *next, **prev; /* the instance's running ones, or its spare ones (prev NULL) */
  struct once *in;
  pb_ticket ticket;
  const char *trace;   /* the batch's: valid until the ticket is completed */
  struct start *start; /* ordered, not answered yet; then NULL */
  pid_t pid;           /* 0: it has no process */
  int out_fd, err_fd;  /* -1: ended */
  struct tail out, err;
  struct pb_timer *timer; /* made when first needed: the next step of the end, or the lingering */
  bool ping, cancelled, killed, reaped;
  bool watched; /* its output is read as it comes */
  int wait_status;
};

struct once {
  struct instance base;
  struct request *running, *spare; /* running: also those that are only ordered */
  size_t process_n;
  bool draining;
  bool watching;          /* the timer `watch` runs */
  struct pb_timer *watch; /* for the output of requests that are not watched yet */
  struct pb_timer *room;  /* tells the host, after an -EAGAIN, that there may be room again */
  char last[200];         /* why the last one could not be run; "" it could */
};

static const struct pb_host *host(const struct once *in) {
  return in->base.plugin->h;
}

/* --- exit codes --- */

/* sysexits.h, as codes that the console and the log show. Any other code is 500. */
static int verdict(int code) {
  static const int sysexits[] = {400, 422, 422, 422, 502, 404, 500, 500,
                                 500, 507, 500, 503, 502, 403, 500};

  if (code == 0) return 200;
  if (code == 207) return 207;
  return code >= 64 && code <= 78 ? sysexits[code - 64] : 500;
}

static const char *hint(int code) {
  if (code == 127) return " (a command was not found)";
  if (code == 126) return " (a command cannot be executed)";
  if (code == 255) return " (PHP: a fatal error)";
  return "";
}

/* --- the end of a request --- */

static void request_free(struct request *r) {
  const struct pb_host *h = host(r->in);

  h->timer_free(r->timer);
  tail_done(&r->out);
  tail_done(&r->err);
  free(r);
}

static void request_close(struct request *r, int *fd) {
  if (*fd >= 0 && r->watched) host(r->in)->io_del(r->in->base.o, *fd);
  child_close(fd);
}

/* The one end of a ticket. `r` is a spare one afterwards. */
static void request_finish(struct request *r, const struct pb_result *res) {
  struct once *in = r->in;
  const struct pb_host *h = host(in);

  h->complete(in->base.o, r->ticket, res);
  request_close(r, &r->out_fd);
  request_close(r, &r->err_fd);
  if (r->timer) h->timer_stop(r->timer);
  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  if (r->pid) instance_count(&in->base, METRIC_PROCESSES, (double)--in->process_n);
  tail_clear(&r->out);
  tail_clear(&r->err);
  r->next = in->spare;
  r->prev = NULL;
  in->spare = r;
  /* Last: the host may destroy the instance from within. */
  if (in->draining && !in->running) h->drained(in->base.o);
}

static void result_of_exit(struct request *r, struct pb_result *res, char *text, size_t size) {
  const char *file = launch_file(r->in->base.launch);
  int code = WEXITSTATUS(r->wait_status);
  size_t err_len;
  const char *err = tail_text(&r->err, &err_len);

  res->outcome = PB_ANSWERED;
  res->code = verdict(code);
  res->body = tail_text(&r->out, &res->body_len);
  if (res->code == 200) {
    res->detail = err;
    res->detail_len = err_len;
    if (r->ping) res->topics = r->in->base.path;
    return;
  }
  if (res->code == 207 && r->out.cut) {
    res->code = 500;
    res->body_len = 0;
    res->detail_len = (size_t)snprintf(text, size,
                                       "%s printed a list (exit code 207) longer than "
                                       "max_output = %llu; the jobs' outcomes are lost",
                                       file, (unsigned long long)r->in->base.conf->max_output);
  } else if (res->code != 207) { /* the reason is its standard error, or else its standard output */
    size_t len = err_len ? err_len : res->body_len;
    const char *said = err_len ? err : res->body;
    int n;

    if (len > STDERR_MAX) said += len - STDERR_MAX, len = STDERR_MAX;
    while (len && pb_text_within(*said)) said++, len--;
    n = snprintf(text, size, "%s ended with exit code %d%s%s%.*s", file, code, hint(code),
                 len ? ": " : "", (int)len, said);
    res->detail_len = (size_t)n < size ? (size_t)n : size - 1;
    res->body_len = 0;
  }
}

/* The verdict line, where its last line is one. Shutdown functions and destructors, or a crash of
 * the interpreter at its end, come after it. */
static bool request_sealed(struct request *r, struct pb_result *res) {
  struct reply reply;
  size_t len;
  const char *line = tail_line(&r->out, &len);

  if (!len || *line != '{' || line[len - 1] != '}') return false;
  /* Reading a line undoes its escapes in place. A line without our trace is no verdict but a
   * message, and must stay as it is. */
  if (!memmem(line, len, r->trace, strlen(r->trace))) return false;
  if (reply_parse((char *)line, len, &reply) < 0 || !reply_is_of(&reply, r->trace)) return false;
  reply_result(&reply, r->in->base.path, res);
  if (res->code != 200) res->detail = tail_text(&r->err, &res->detail_len);
  return true;
}

static void request_end(struct request *r) {
  struct once *in = r->in;
  struct pb_result res = {.size = sizeof res};
  char text[TEXT_MAX + STDERR_MAX], why[200];
  size_t err_len;
  const char *err = tail_text(&r->err, &err_len);

  if (request_sealed(r, &res)) {
    in->last[0] = 0;
    request_finish(r, &res);
    return;
  }
  res.detail = text;
  child_describe(r->wait_status, why, sizeof why);
  if (r->cancelled) {
    res.outcome = PB_TIMEOUT;
    res.detail_len = (size_t)snprintf(text, sizeof text, "%s %s after its deadline",
                                      launch_file(in->base.launch), why);
  } else if (launch_failed(in->base.launch, r->wait_status, err, err_len)) {
    res.outcome = PB_UNREACHABLE;
    res.detail = err;
    res.detail_len = err_len;
    snprintf(in->last, sizeof in->last, "%.*s", (int)(err_len < 190 ? err_len : 190), err);
  } else if (WIFSIGNALED(r->wait_status)) {
    int n = snprintf(text, sizeof text, "%s %s; whether the job was done is not known%s%.*s",
                     launch_file(in->base.launch), why, err_len ? ": " : "", (int)err_len, err);

    res.outcome = PB_LOST;
    res.detail_len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
  } else {
    result_of_exit(r, &res, text, sizeof text);
    in->last[0] = 0;
  }
  request_finish(r, &res);
}

/* Reads output: one piece per turn while the process runs, so that a flood does not hold up the
 * loop. False at the end. */
static bool read_some(struct request *r, int fd, struct tail *t) {
  char *scratch = r->in->base.plugin->scratch;
  ssize_t n = 0;

  for (int i = 0; i < (r->reaped ? READS_MAX : 1); i++) {
    n = child_read(fd, scratch, SCRATCH_SIZE);
    if (n <= 0) break;
    tail_add(t, scratch, (size_t)n);
  }
  return n >= 0;
}

static void request_look(struct request *r) {
  if (r->reaped && ((r->out_fd < 0 && r->err_fd < 0) || r->cancelled)) request_end(r);
}

static void on_io(int fd, unsigned events, void *arg) {
  struct request *r = arg;
  bool out = fd == r->out_fd;

  (void)events;
  if (read_some(r, fd, out ? &r->out : &r->err)) return;
  request_close(r, out ? &r->out_fd : &r->err_fd);
  request_look(r);
}

/* False without memory. */
static bool request_watch(struct request *r) {
  const struct pb_host *h = host(r->in);
  struct pb_owner *o = r->in->base.o;

  r->watched = true;
  return (r->out_fd < 0 || h->io_set(o, r->out_fd, PB_IO_READ, on_io, r) == 0) &&
         (r->err_fd < 0 || h->io_set(o, r->err_fd, PB_IO_READ, on_io, r) == 0);
}

/* --- the end of a process --- */

static void request_kill(struct request *r, int signo) {
  child_kill(r->pid, signo);
  if (r->killed || signo != SIGKILL) return;
  r->killed = true;
  instance_count(&r->in->base, METRIC_KILLED, 1);
}

static void on_timer(void *arg) {
  struct request *r = arg;

  if (!r->reaped) {
    request_kill(r, SIGKILL);
    return;
  }
  request_close(r, &r->out_fd); /* somebody it left behind holds them: not waited for */
  request_close(r, &r->err_fd);
  request_end(r);
}

/* False without memory. */
static bool timer_start(struct request *r, uint64_t ms) {
  const struct pb_host *h = host(r->in);

  if (!r->timer) r->timer = h->timer_new(r->in->base.o, on_timer, r);
  if (!r->timer) return false;
  h->timer_start(r->timer, ms);
  return true;
}

static void child_ended(pid_t pid, int wait_status, void *arg) {
  struct request *r = arg;

  r->reaped = true;
  r->wait_status = wait_status;
  /* A cancelled one takes its group with it; until we return its number is ours. */
  if (r->cancelled) child_kill(pid, SIGKILL);
  if (r->out_fd >= 0 && !read_some(r, r->out_fd, &r->out)) request_close(r, &r->out_fd);
  if (r->err_fd >= 0 && !read_some(r, r->err_fd, &r->err)) request_close(r, &r->err_fd);
  if ((r->out_fd >= 0 || r->err_fd >= 0) && !r->cancelled && (r->watched || request_watch(r)) &&
      timer_start(r, LINGER_MS))
    return;
  request_end(r);
}

static void on_watch(void *arg) {
  struct once *in = arg;

  in->watching = false;
  for (struct request *r = in->running; r; r = r->next)
    if (r->pid && !r->watched && !request_watch(r)) request_kill(r, SIGKILL); /* no memory */
}

static void request_stop(struct request *r) {
  request_kill(r, SIGTERM);
  if (!timer_start(r, r->in->base.conf->kill_after_ms)) request_kill(r, SIGKILL);
}

static void request_cancel(struct request *r) {
  static const char why[] = "its process was not started before the deadline";
  struct pb_result res = {.size = sizeof res, .outcome = PB_TIMEOUT, .detail = why};

  r->cancelled = true;
  if (r->reaped) {
    request_end(r);
  } else if (r->pid) {
    request_stop(r);
  } else if (start_cancel(r->start)) {
    res.detail_len = sizeof why - 1;
    request_finish(r, &res);
  } /* else it starts just now: on_started() stops it */
}

static void once_cancel(struct instance *base, pb_ticket t) {
  for (struct request *r = ((struct once *)base)->running; r; r = r->next) {
    if (r->ticket != t) continue;
    request_cancel(r);
    return;
  }
}

/* --- the start --- */

static struct request *request_new(struct once *in, pb_ticket t, bool ping) {
  struct request *r = in->spare;

  if (r) {
    in->spare = r->next;
  } else {
    r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->in = in;
    tail_init(&r->out, (size_t)in->base.conf->max_output);
    tail_init(&r->err, STDERR_MAX);
  }
  r->ticket = t;
  r->ping = ping;
  r->cancelled = r->killed = r->reaped = r->watched = false;
  r->start = NULL;
  r->pid = 0;
  r->out_fd = r->err_fd = -1;
  r->next = in->running;
  r->prev = &in->running;
  if (r->next) r->next->prev = &r->next;
  in->running = r;
  return r;
}

/* The process cannot be started: no part of it has run. */
static void refusal(struct once *in, int rc, const char *why, struct pb_result *res, char *text,
                    size_t size) {
  bool full = rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;

  snprintf(in->last, sizeof in->last, "cannot be run: %.180s", why);
  *res = (struct pb_result){.size = sizeof *res, .detail = text};
  res->outcome = full ? PB_BUSY : PB_UNREACHABLE;
  res->detail_len = (size_t)snprintf(text, size, "the worker cannot be run: %.300s%s", why,
                                     rc == -ENOENT   ? " (is it there, with its interpreter?)"
                                     : rc == -EACCES ? " (may this user run it: chmod +x?)"
                                                     : "");
}

static void spawn_failed(struct request *r, int rc) {
  const struct launch *l = r->in->base.launch;
  struct pb_result res;
  char why[400], text[400];

  /* posix_spawn() does not say which is missing: program, interpreter or directory. */
  if (launch_look(l, why, sizeof why) == 0)
    snprintf(why, sizeof why, "%.250s: %s", launch_file(l), strerror(-rc));
  refusal(r->in, rc, why, &res, text, sizeof text);
  request_finish(r, &res);
}

static void on_started(void *arg, const struct started *s) {
  struct request *r = arg;
  struct once *in = r->in;
  const struct pb_host *h = host(in);

  r->start = NULL;
  if (s->rc < 0) {
    spawn_failed(r, s->rc);
    return;
  }
  r->pid = s->pid;
  r->out_fd = s->out;
  r->err_fd = s->err;
  instance_count(&in->base, METRIC_SPAWNED, 1);
  instance_count(&in->base, METRIC_PROCESSES, (double)++in->process_n);
  if (h->child_watch(in->base.o, r->pid, child_ended, r) < 0) {
    static const char why[] = "no memory to watch the process; it was killed";
    struct pb_result res = {.size = sizeof res, .outcome = PB_LOST, .detail = why};

    child_kill(r->pid, SIGKILL);
    res.detail_len = sizeof why - 1;
    request_finish(r, &res);
    return;
  }
  if (r->cancelled) request_stop(r);
  if (!in->watching) h->timer_start(in->watch, WATCH_MS);
  in->watching = true;
}

static int order(struct request *r, const struct pb_batch *b) {
  struct once *in = r->in;
  const struct pb_host *h = host(in);
  char trace[160], parent[96], type[32], count[32], id[64], attempt[48];
  const char *const extra[] = {trace, parent, type, count, id, attempt, "PEPPERBUS_VERDICT=line",
                               NULL};
  size_t n = h->batch_count(b), len = 0;
  const char *json = r->ping ? "" : h->batch_json(b, &len);
  int input = START_NULL;

  if (!json) return -ENOMEM;
  r->trace = h->batch_trace(b);
  snprintf(trace, sizeof trace, "PEPPERBUS_TRACE_ID=%s", h->batch_trace(b));
  snprintf(parent, sizeof parent, "TRACEPARENT=%s", h->batch_traceparent(b));
  snprintf(type, sizeof type, "PEPPERBUS_TYPE=%s", r->ping ? "ping" : "data");
  snprintf(count, sizeof count, "PEPPERBUS_JOBS=%zu", n);
  snprintf(id, sizeof id, "PEPPERBUS_JOB_ID=%s", n == 1 ? h->job_id(b, 0) : "");
  snprintf(attempt, sizeof attempt, "PEPPERBUS_ATTEMPT=%u", n == 1 ? h->job_attempt(b, 0) : 0);
  if (len) input = child_input(json, len);
  if (len && input < 0) return input;
  return spawner_start(in->base.plugin->spawner, in->base.launch, extra, input, on_started, r,
                       &r->start);
}

static void answer_ping(struct once *in, pb_ticket t) {
  struct pb_result res = {.size = sizeof res, .outcome = PB_ANSWERED, .code = 200};
  char why[400], text[400];
  int rc = launch_look(in->base.launch, why, sizeof why);

  if (rc < 0) {
    refusal(in, rc, why, &res, text, sizeof text);
  } else {
    in->last[0] = 0;
    res.topics = in->base.path;
  }
  host(in)->complete(in->base.o, t, &res);
}

static void on_room(void *arg) {
  struct once *in = arg;

  host(in)->ready(in->base.o);
}

static int once_submit(struct instance *base, const struct pb_batch *b, pb_ticket t,
                       struct pb_err *err) {
  struct once *in = (struct once *)base;
  bool ping = host(in)->batch_type(b) == PB_BATCH_PING;
  struct request *r;
  int rc;

  if (ping && !base->conf->ping) {
    answer_ping(in, t);
    return 0;
  }
  if (!ping && spawner_full(base->plugin->spawner)) {
    host(in)->timer_start(in->room, ROOM_MS);
    return -EAGAIN;
  }
  r = request_new(in, t, ping);
  if (!r) {
    snprintf(err->text, sizeof err->text, "no memory for the request");
    return -ENOMEM;
  }
  rc = order(r, b);
  if (rc < 0) spawn_failed(r, rc);
  return 0;
}

/* --- life --- */

static int once_start(struct instance *base, struct pb_err *err) {
  struct once *in = (struct once *)base;

  in->watch = host(in)->timer_new(base->o, on_watch, in);
  in->room = host(in)->timer_new(base->o, on_room, in);
  if (in->watch && in->room) return 0;
  return fault_memory(err);
}

static void once_drain(struct instance *base) {
  struct once *in = (struct once *)base;

  in->draining = true;
  if (!in->running) host(in)->drained(base->o);
}

static void once_destroy(struct instance *base) {
  struct once *in = (struct once *)base;

  while (in->running) {
    struct request *r = in->running;

    in->running = r->next;
    if (r->start) {
      start_drop(r->start);
    } else if (!r->reaped) {
      child_kill(r->pid, SIGKILL);
      host(in)->child_unwatch(base->o, r->pid);
    }
    request_close(r, &r->out_fd);
    request_close(r, &r->err_fd);
    request_free(r);
  }
  while (in->spare) {
    struct request *r = in->spare;

    in->spare = r->next;
    request_free(r);
  }
  host(in)->timer_free(in->watch);
  host(in)->timer_free(in->room);
}

static int once_health(struct instance *base, char *ret, size_t size) {
  const struct once *in = (const struct once *)base;

  if (*in->last) {
    snprintf(ret, size, "%s", in->last);
    return PB_HEALTH_DOWN;
  }
  snprintf(ret, size, "%zu process%s running", in->process_n, in->process_n == 1 ? "" : "es");
  return PB_HEALTH_OK;
}

const struct mode mode_once = {
    .size = sizeof(struct once),
    .start = once_start,
    .submit = once_submit,
    .cancel = once_cancel,
    .drain = once_drain,
    .destroy = once_destroy,
    .health = once_health,
};
