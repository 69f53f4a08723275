/* Owns the processes of an instance that stay. A process changes its state in proc_set() alone.
 *
 * Must never happen: a start without a pause after a failure (a spin), a process that outlives its
 * instance, a signal to a number that is no longer ours.
 */
#include "keeper.h"

#include "child.h"
#include "launch.h"
#include "spawner.h"

#include <errno.h>
#include <pepperbus/text.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILING 2 /* failures in a row: the first may be a bad job's doing */

static const struct pb_host *host(const struct keeper *k) {
  return k->in->plugin->h;
}

static void proc_set(struct proc *p, enum proc_state to) {
  struct keeper *k = p->keeper;
  bool was_alive = p->state == PROC_UP || p->state == PROC_ENDING;
  bool alive = to == PROC_UP || to == PROC_ENDING;

  k->up += (size_t)(to == PROC_UP) - (size_t)(p->state == PROC_UP);
  k->alive += (size_t)alive - (size_t)was_alive;
  k->starting += (size_t)(to == PROC_STARTING) - (size_t)(p->state == PROC_STARTING);
  p->state = to;
  if (alive != was_alive) instance_count(k->in, METRIC_PROCESSES, (double)k->alive);
}

void proc_close_fd(struct proc *p, int *fd) {
  if (*fd >= 0) host(p->keeper)->io_del(p->keeper->in->o, *fd);
  child_close(fd);
}

static void proc_close(struct proc *p) {
  proc_close_fd(p, &p->in);
  proc_close_fd(p, &p->out);
  proc_close_fd(p, &p->err);
}

static void line_log(struct proc *p) {
  if (p->line_len)
    instance_log(p->keeper->in, PB_LOG_INFO, "process %d: %.*s", (int)p->pid, (int)p->line_len,
                 p->line);
  p->line_len = 0;
}

void proc_print(struct proc *p, const char *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (data[i] == '\n' || p->line_len == sizeof p->line) line_log(p);
    if (data[i] != '\n' && data[i] != '\r')
      p->line[p->line_len++] = (unsigned char)data[i] < ' ' ? ' ' : data[i];
  }
}

static void tell_stopped(struct keeper *k) {
  if (!k->stopping || k->alive || k->starting || k->told) return;
  k->told = true;
  k->ops->stopped(k->in);
}

/* --- the start --- */

static void start_later(struct proc *p) {
  const struct pb_range *pause = &p->keeper->in->conf->restart;
  uint64_t wait = 0;

  if (p->failures) {
    wait = pause->from_ms;
    for (unsigned i = 1; i < p->failures && wait < pause->to_ms; i++) wait *= 2;
    if (wait > pause->to_ms) wait = pause->to_ms;
  }
  host(p->keeper)->timer_start(p->timer, wait);
}

static void child_ended(pid_t pid, int wait_status, void *arg);

static void on_io(int fd, unsigned events, void *arg) {
  struct proc *p = arg;

  (void)events;
  p->keeper->ops->readable(p, fd);
}

/* 0, or -errno with nothing left of it. */
static int proc_watch(struct proc *p) {
  struct keeper *k = p->keeper;
  const struct pb_host *h = host(k);
  int rc = h->child_watch(k->in->o, p->pid, child_ended, p);

  if (rc == 0) rc = h->io_set(k->in->o, p->out, PB_IO_READ, on_io, p);
  if (rc == 0) rc = h->io_set(k->in->o, p->err, PB_IO_READ, on_io, p);
  if (rc == 0) return 0;
  child_kill(p->pid, SIGKILL); /* no memory: the host reaps it */
  h->child_unwatch(k->in->o, p->pid);
  p->pid = 0;
  proc_close(p);
  return rc;
}

static void start_failed(struct proc *p, int rc) {
  struct keeper *k = p->keeper;
  char why[300];

  p->failures++;
  snprintf(why, sizeof why, "%s cannot be run: %s", launch_file(k->in->launch), strerror(-rc));
  keeper_note(k, why, "", 0);
  if (p->failures == 1)
    host(k)->log(k->in->o, PB_LOG_ERROR, "%s; trying again after a pause that grows", why);
  proc_set(p, PROC_DOWN);
  if (!k->stopping) start_later(p);
  k->ops->down(p, 127 << 8, why);
  tell_stopped(k);
}

static void on_started(void *arg, const struct started *s) {
  struct proc *p = arg;
  struct keeper *k = p->keeper;
  int rc = s->rc;

  p->start = NULL;
  if (rc == 0) {
    p->pid = s->pid;
    p->in = s->in;
    p->out = s->out;
    p->err = s->err;
    rc = proc_watch(p);
  }
  if (rc < 0) {
    start_failed(p, rc);
    return;
  }
  p->planned = p->useful = p->noted = false;
  p->started_ms = host(k)->now_ms(k->in->o);
  instance_count(k->in, METRIC_SPAWNED, 1);
  if (p->started) instance_count(k->in, METRIC_RESTARTS, 1);
  p->started = true;
  proc_set(p, PROC_UP);
  if (k->stopping)
    proc_end(p, k->stop_step, true);
  else
    k->ops->up(p);
}

static void proc_start(struct proc *p) {
  static const char *const extra[] = {NULL};
  struct keeper *k = p->keeper;
  int rc = spawner_start(k->in->plugin->spawner, k->in->launch, extra,
                         k->takes_input ? START_PIPE : START_NULL, on_started, p, &p->start);

  if (rc < 0)
    start_failed(p, rc);
  else
    proc_set(p, PROC_STARTING);
}

/* --- the end --- */

static void take_step(struct proc *p, enum proc_step step) {
  const struct pb_host *h = host(p->keeper);

  p->step = step;
  if (step == STEP_EOF && p->in >= 0) {
    proc_close_fd(p, &p->in);
  } else if (step == STEP_KILL) {
    child_kill(p->pid, SIGKILL);
    instance_count(p->keeper->in, METRIC_KILLED, 1);
    return; /* there is nothing harder */
  } else {
    p->step = STEP_TERM;
    child_kill(p->pid, SIGTERM);
  }
  h->timer_start(p->timer, p->keeper->in->conf->kill_after_ms);
}

static void on_timer(void *arg) {
  struct proc *p = arg;

  if (p->state == PROC_ENDING)
    take_step(p, p->step == STEP_EOF ? STEP_TERM : STEP_KILL);
  else if (p->state == PROC_DOWN && !p->keeper->stopping)
    proc_start(p);
  else if (p->state == PROC_UP && p->keeper->ops->overdue)
    p->keeper->ops->overdue(p);
}

void proc_end(struct proc *p, enum proc_step from, bool planned) {
  if (p->state == PROC_ENDING) { /* harder than before, or nothing new */
    if (from > p->step) take_step(p, from);
    return;
  }
  if (p->state != PROC_UP) return;
  host(p->keeper)->timer_stop(p->timer);
  p->planned = planned;
  proc_set(p, PROC_ENDING);
  take_step(p, from);
}

static void child_ended(pid_t pid, int wait_status, void *arg) {
  struct proc *p = arg;
  struct keeper *k = p->keeper;
  char why[300];

  /* Processes that it left behind in its group end with it. Until we return, no other process gets
   * its number. */
  child_kill(pid, SIGKILL);
  host(k)->timer_stop(p->timer);
  proc_set(p, PROC_LEFT);
  child_describe(wait_status, why, sizeof why);
  if (k->stable_ms && host(k)->now_ms(k->in->o) - p->started_ms >= k->stable_ms) p->useful = true;
  if (p->out >= 0) k->ops->readable(p, p->out); /* its last output may still set `useful` */
  if (p->err >= 0) k->ops->readable(p, p->err);
  line_log(p);
  p->pid = 0;
  p->failures = p->planned || p->useful ? 0 : p->failures + 1;
  proc_set(p, PROC_DOWN);
  if (!k->stopping) start_later(p);
  k->ops->down(p, wait_status, why);
  proc_close(p);
  tell_stopped(k);
}

void keeper_note(struct keeper *k, const char *why, const char *said, size_t len) {
  int n = snprintf(k->last, sizeof k->last, "%.300s%s", why, len ? ": " : "");

  pb_excerpt(k->last + n, sizeof k->last - (size_t)n, said, len);
  for (char *c = k->last; *c; c++)
    if ((unsigned char)*c < ' ') *c = ' ';
}

/* --- life --- */

int keeper_start(struct keeper *k, struct instance *in, const struct keeper_ops *ops, size_t n,
                 size_t proc_size, bool takes_input, struct pb_err *err) {
  k->in = in;
  k->ops = ops;
  k->takes_input = takes_input;
  k->procs = calloc(n, sizeof *k->procs);
  for (; k->procs && k->n < n; k->n++) {
    struct proc *p = calloc(1, proc_size);

    if (!p) break;
    p->keeper = k;
    p->in = p->out = p->err = -1;
    p->timer = in->plugin->h->timer_new(in->o, on_timer, p);
    k->procs[k->n] = p;
    if (!p->timer) {
      k->n++;
      break;
    }
  }
  if (k->n < n || !k->procs[n - 1]->timer) {
    snprintf(err->text, sizeof err->text, "no memory for %zu processes", n);
    return -ENOMEM;
  }
  for (size_t i = 0; i < n; i++) start_later(k->procs[i]);
  return 0;
}

void keeper_stop(struct keeper *k, enum proc_step from) {
  k->stopping = true;
  k->stop_step = from;
  for (size_t i = 0; i < k->n; i++) {
    struct proc *p = k->procs[i];

    if (p->state == PROC_STARTING && start_cancel(p->start)) {
      p->start = NULL;
      proc_set(p, PROC_DOWN);
    }
    if (p->state == PROC_DOWN)
      host(k)->timer_stop(p->timer);
    else if (!k->ops->busy || !k->ops->busy(p))
      proc_end(p, from, true);
  }
  tell_stopped(k);
}

void keeper_destroy(struct keeper *k) {
  for (size_t i = 0; i < k->n; i++) {
    struct proc *p = k->procs[i];

    if (p->start) start_drop(p->start);
    if (p->pid) {
      child_kill(p->pid, SIGKILL);
      host(k)->child_unwatch(k->in->o, p->pid);
    }
    proc_close(p);
    host(k)->timer_free(p->timer);
    free(p);
  }
  free(k->procs);
  k->procs = NULL;
  k->n = 0;
}

bool keeper_failing(const struct keeper *k) {
  for (size_t i = 0; i < k->n; i++) {
    const struct proc *p = k->procs[i];

    if (p->failures < FAILING) return false;
    if (p->state == PROC_DOWN || p->state == PROC_STARTING) continue;
    if (host(k)->now_ms(k->in->o) - p->started_ms >= k->stable_ms) return false;
  }
  return true;
}

int keeper_health(const struct keeper *k, char *ret, size_t size) {
  snprintf(ret, size, "%zu of %zu processes up%s%s", k->up, k->n,
           *k->last ? "; last failure: " : "", k->last);
  if (k->up == k->n) return PB_HEALTH_OK;
  return k->up ? PB_HEALTH_DEGRADED : PB_HEALTH_DOWN;
}
