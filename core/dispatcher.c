/* Owns the flow of a topic's jobs on this node: taking, batching, deadlines, the ping gate.
 *
 * A topic's state is derived from facts in one function, state_update(); nothing else decides it.
 * Whatever may have made work possible defers topic_pump(), which does all there is to do now.
 * "Cannot reach the worker" (pool_unreachable) and "the worker said no" (job_verdicts) share no
 * code.
 */
#include "dispatcher.h"

#include "batch.h"
#include "log.h"
#include "outcome.h"
#include "pool.h"
#include "transport.h"
#include "worker_reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES_MAX (8u << 20) /* no further job joins a batch that has this much */
#define PING_TIMEOUT_MS 10000
#define GATE_FIRST_MS 200       /* wait before an unregistered topic is pinged again ... */
#define GATE_BUSY_MAX_MS 1500   /* ... at most, while jobs wait */
#define GATE_IDLE_MAX_MS 30000  /* ... at most, while none do */
#define PROBE_FIRST_MS 100      /* wait before unreachable workers are probed again ... */
#define PROBE_MAX_MS 1000       /* ... at most: full speed within 2 s of their return */
#define REST_FIRST_MS 10        /* pause after the workers said that they are full ... */
#define REST_MAX_MS 1000
#define HELD_MAX_MS 5000        /* jobs before a closed gate are then given to other nodes */
#define RECOVER_COUNT 256
#define STORE_AGAIN_MS 1000     /* after the store answered an error */
#define UNSETTLED_LOOK_MS 200 /* after a look at the retry set while outcomes are on the way */
#define RUNS_KEPT 64            /* finished runs kept for the next ones */
#define CLOSE_MARGIN_MS 5000

enum run_kind { RUN_JOBS, RUN_PING, RUN_TEST };

/* One request to a worker. */
struct run {
  struct run *next, **prev; /* on its topic's runs, or the dispatcher's spare list */
  struct topic *topic;
  struct pool *pool;
  struct instance *inst;
  enum run_kind kind;
  bool started, over; /* over: settled as timed out; only its slot is still taken */
  bool gate;          /* the gate's own ping */
  bool bypass;        /* sent without a slot, because the circuit is open: nothing to release */
  struct pb_batch *batch;
  pb_ticket ticket;
  struct timer deadline;
  uint64_t started_ms;
  struct settings *snapshot; /* that the batch's topic lives in; a reference */
  struct job *test_job;
  dispatcher_answer_fn answer;
  void *answer_arg;
};

struct dispatcher {
  struct loop *loop;
  struct transports *transports;
  struct gateway gateway;
  struct id_source traces;
  struct pool *pools;
  struct topic *topics;
  struct run *spare;
  size_t spare_n;
  struct timer drain_timer;
  bool draining;
  void (*drained)(void *arg, size_t left);
  void *drained_arg;
};

static void topic_pump(void *arg);
static void state_update(struct topic *t);
static void probe_pool(void *arg);
static void run_done(void *arg, const struct pb_result *r);

static void pump_later(struct topic *t) {
  loop_defer(t->dispatcher->loop, &t->pump, topic_pump, t);
}

static uint64_t backoff(uint64_t first, uint64_t max, unsigned failures) {
  uint64_t wait = first;
  for (unsigned i = 0; i < failures && wait < max; i++) wait *= 2;
  return wait > max ? max : wait;
}

/* --- pools --- */

static struct pool *pool_get(struct dispatcher *d, const struct topic_settings *set) {
  char name[320];
  snprintf(name, sizeof name, "%s", set->pool ? set->pool->name : set->path);
  size_t max = set->pool ? (size_t)set->pool->max_connections : (size_t)set->workers;
  struct pool *p = d->pools;
  while (p && strcmp(p->name, name)) p = p->next;
  if (!p) {
    p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->dispatcher = d;
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->run_type, sizeof p->run_type, "%s", set->run_type);
    timer_init(&p->timer, d->loop, probe_pool, p);
    p->next = d->pools;
    d->pools = p;
  }
  if (p->max != max) {
    p->max = p->limit = max;
    p->answers = 0;
  }
  p->topics++;
  return p;
}

static void pool_drop_if_unused(struct pool *p) {
  struct dispatcher *d = p->dispatcher;
  if (p->topics || p->busy || p->runs) return;
  for (struct pool **at = &d->pools; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  timer_done(&p->timer);
  loop_free_later(d->loop, p);
}

static void pool_wake(struct pool *p) {
  struct topic *first = pool_first(p);
  if (first) pump_later(first);
}

static void pool_states(struct pool *p) {
  for (struct topic *t = p->dispatcher->topics; t; t = t->all_next)
    if (t->pool == p) state_update(t);
}

/* The way to the pool's workers is closed: no attempts until a probe comes through. */
static void pool_unreachable(struct pool *p, const char *why, size_t len) {
  struct dispatcher *d = p->dispatcher;
  snprintf(p->why, sizeof p->why, "%.*s", len > 380 ? 380 : (int)len, why);
  uint64_t wait = loop_jitter(d->loop, backoff(PROBE_FIRST_MS, PROBE_MAX_MS, p->failures));
  if (!p->open) {
    p->open = true;
    p->failures = 0;
    p->resting = false;
    log_warning(loop_log(d->loop), p->name,
                "its workers cannot be reached: %s; jobs wait, one probe at a time until they are "
                "back", p->why);
    wait = loop_jitter(d->loop, PROBE_FIRST_MS);
  }
  p->failures++;
  timer_start(&p->timer, wait);
  pool_states(p);
}

static void pool_reachable(struct pool *p) {
  pool_answered(p);
  if (!p->open) return;
  p->open = false;
  p->failures = 0;
  timer_stop(&p->timer);
  log_info(loop_log(p->dispatcher->loop), p->name, "its workers are back; going on");
  pool_states(p);
}

/* The workers are there but full: slower from now on, no attempt is counted. */
static void pool_busy(struct pool *p, uint64_t wish_ms) {
  struct dispatcher *d = p->dispatcher;
  if (p->open) {
    pool_reachable(p); /* whoever says that it is full can be reached */
  }
  uint64_t wait = loop_jitter(d->loop, backoff(REST_FIRST_MS, REST_MAX_MS, p->rests));
  pool_lower(p);
  if (!p->resting) p->rests++;
  p->resting = true;
  timer_start(&p->timer, wish_ms > wait ? wish_ms : wait);
}

/* --- states --- */

static bool work_waits(const struct topic *t) { return t->ready.n || t->more || t->next_due_ms; }

static void release_ready(struct topic *t) {
  struct job *job;
  uint64_t now = loop_wall_ms(t->dispatcher->loop);
  if (!t->ready.n) return;
  while ((job = job_list_pop(&t->ready))) outcome_released(t, t->dispatcher->loop, job);
  if (!t->next_due_ms || t->next_due_ms > now) t->next_due_ms = now;
}

/* Jobs at hand before a closed gate are given back after a while, for other nodes to run. */
static void held_watch(struct topic *t) {
  if (!t->ready.n || t->state == TOPIC_OPEN) return;
  if (!t->closed_at_ms) t->closed_at_ms = loop_now_ms(t->dispatcher->loop);
  if (!t->pinging && !timer_pending(&t->gate_timer)) timer_start(&t->gate_timer, HELD_MAX_MS);
}

static struct run *run_new(struct topic *t, enum run_kind kind);
static void ask_later(struct topic *t, struct run *r);

static void gate_ping(struct topic *t) {
  if (t->pinging) return;
  struct run *r = run_new(t, RUN_PING);
  if (!r) return;
  r->gate = true;
  t->pinging = true;
  ask_later(t, r);
}

static void gate_timer(void *arg) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  if (t->state == TOPIC_UNREGISTERED) gate_ping(t);
  if (t->closed_at_ms && t->state != TOPIC_OPEN &&
      loop_now_ms(d->loop) - t->closed_at_ms >= HELD_MAX_MS)
    release_ready(t);
  if (t->ready.n && t->state != TOPIC_UNREGISTERED) timer_start(&t->gate_timer, HELD_MAX_MS);
}

static void state_update(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  enum topic_state to;
  const char *why = "";
  if (t->draining) {
    to = TOPIC_DRAINING;
  } else if (!t->set->enabled || !t->set->here) {
    to = TOPIC_DISABLED;
    why = t->set->enabled ? "its system is not one of this node's (server: systems)"
                          : "enabled = no in the configuration";
  } else if (!t->inst) {
    to = TOPIC_BROKEN;
    why = t->registered_why;
  } else if (!t->attached) {
    to = TOPIC_WAITING;
    why = "its storage is not ready";
  } else if (t->paused) {
    to = TOPIC_PAUSED;
    why = "paused by an operator";
  } else if (t->pool->open) {
    to = TOPIC_UNREACHABLE;
    why = t->pool->why;
  } else if (t->registered == REGISTERED_YES) {
    to = TOPIC_OPEN;
  } else if (t->registered == REGISTERED_NO) {
    to = TOPIC_UNREGISTERED;
    why = t->registered_why;
  } else {
    to = TOPIC_PINGING;
    why = "the worker is asked whether it registers the topic";
  }
  enum topic_state was = t->state;
  bool changed = topic_set_state(t, d->loop, to, why);
  if (to == TOPIC_OPEN) {
    t->closed_at_ms = 0;
    timer_stop(&t->gate_timer);
  } else if (changed) {
    pool_leave(t->pool, t);
    pool_wake(t->pool);
    if (to == TOPIC_PAUSED || to == TOPIC_DISABLED || to == TOPIC_DRAINING) {
      release_ready(t);
    } else if (was == TOPIC_OPEN || !t->closed_at_ms) {
      t->closed_at_ms = loop_now_ms(d->loop);
      timer_start(&t->gate_timer, HELD_MAX_MS);
    }
  }
  if (to == TOPIC_PINGING) gate_ping(t);
  if (to == TOPIC_UNREGISTERED && !t->pinging && (changed || !timer_pending(&t->gate_timer))) {
    uint64_t max = work_waits(t) ? GATE_BUSY_MAX_MS : GATE_IDLE_MAX_MS;
    timer_start(&t->gate_timer, loop_jitter(d->loop, backoff(GATE_FIRST_MS, max, t->gate_failures)));
  }
  if (changed || to == TOPIC_OPEN) pump_later(t);
}

static void gate_answer(struct topic *t, int code, const char *message) {
  if (code == WORKER_OK) {
    if (t->registered == REGISTERED_NO)
      log_info(loop_log(t->dispatcher->loop), t->set->path, "the worker registers it again; going on");
    t->registered = REGISTERED_YES;
    t->gate_failures = 0;
    t->registered_why[0] = 0;
  } else {
    if (t->registered != REGISTERED_NO || strcmp(t->registered_why, message)) {
      log_warning(loop_log(t->dispatcher->loop), t->set->path,
                  "its worker does not take it (%d): %s; jobs wait, asked again until it does", code,
                  message);
      store_note_error(t->store, 0, code, message, strlen(message));
    }
    t->registered = REGISTERED_NO;
    t->gate_failures++;
    if (message != t->registered_why)
      snprintf(t->registered_why, sizeof t->registered_why, "%s", message);
  }
  state_update(t);
}

/* --- runs --- */

static void deadline_over(void *arg);

static struct run *run_new(struct topic *t, enum run_kind kind) {
  struct dispatcher *d = t->dispatcher;
  size_t cap = kind == RUN_JOBS ? (size_t)t->set->chunk : 1;
  struct run *r = d->spare;
  if (r) {
    d->spare = r->next;
    d->spare_n--;
  } else if (!(r = calloc(1, sizeof *r))) {
    return NULL;
  }
  struct pb_batch *b = r->batch;
  if (b && b->cap < cap) {
    batch_free(b);
    b = NULL;
  }
  if (!b && !(b = batch_new(cap))) {
    free(r);
    return NULL;
  }
  memset(r, 0, sizeof *r);
  r->batch = b;
  r->topic = t;
  r->kind = kind;
  timer_init(&r->deadline, d->loop, deadline_over, r);
  b->type = kind == RUN_PING ? PB_BATCH_PING : PB_BATCH_DATA;
  return r;
}

static void run_free(struct dispatcher *d, struct run *r) {
  timer_done(&r->deadline);
  job_free(r->test_job);
  settings_unref(r->snapshot);
  r->test_job = NULL;
  r->snapshot = NULL;
  if (d->spare_n < RUNS_KEPT) {
    batch_reset(r->batch);
    r->next = d->spare;
    d->spare = r;
    d->spare_n++;
  } else {
    batch_free(r->batch);
    loop_free_later(d->loop, r);
  }
}

static void run_link(struct run *r) {
  struct topic *t = r->topic;
  r->next = t->runs;
  if (r->next) r->next->prev = &r->next;
  r->prev = &t->runs;
  t->runs = r;
  if (r->kind == RUN_JOBS) t->attempts++;
}

static void maybe_gone(struct topic *t);
static void maybe_drained(struct dispatcher *d);

static void run_unlink(struct run *r) {
  struct topic *t = r->topic;
  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  if (r->kind == RUN_JOBS) t->attempts--;
}

static void run_answer(struct run *r, int code, const char *message, size_t len) {
  dispatcher_answer_fn fn = r->answer;
  uint64_t took = r->started ? loop_now_ms(r->topic->dispatcher->loop) - r->started_ms : 0;
  r->answer = NULL;
  if (fn) fn(r->answer_arg, code, message, len, took);
}

static bool state_gives_back(const struct topic *t) {
  return t->state == TOPIC_PAUSED || t->state == TOPIC_DRAINING || t->state == TOPIC_DISABLED;
}

static void jobs_back(struct run *r) {
  struct topic *t = r->topic;
  for (size_t i = r->batch->n; i-- > 0;) {
    struct job *job = r->batch->jobs[i];
    job_set_state(job, JOB_TAKEN);
    job_list_push_front(&t->ready, job);
  }
  r->batch->n = 0;
  if (state_gives_back(t)) release_ready(t);
  held_watch(t);
}

static void due_at(struct topic *t, uint64_t due_ms) {
  struct loop *loop = t->dispatcher->loop;
  if (!due_ms || !t->store) return;
  if (!t->next_due_ms || due_ms < t->next_due_ms) t->next_due_ms = due_ms;
  uint64_t now = loop_wall_ms(loop);
  timer_start(&t->due_timer, t->next_due_ms > now ? t->next_due_ms - now : 0);
}

static void jobs_failed(struct run *r, int code, const char *message, size_t len) {
  struct topic *t = r->topic;
  for (size_t i = 0; i < r->batch->n; i++)
    due_at(t, outcome_failed(t, t->dispatcher->loop, r->batch->jobs[i], code, message, len));
  r->batch->n = 0;
}

/* The worker answered: what it says of each job. A 404 for one job of a chunk says that it was not
 * run; like a 404 for all, it goes back with nothing counted. */
static void job_verdicts(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  struct pb_batch *b = r->batch;
  struct worker_verdict one = {0}, *v = b->n == 1 ? &one : calloc(b->n, sizeof *v);
  if (!v) {
    jobs_failed(r, 0, "out of memory", 13);
    return;
  }
  worker_reply_jobs(res, (const char (*)[ID_TEXT_MAX])b->ids, b->n, v);
  struct job_list back = {0};
  for (size_t i = 0; i < b->n; i++) {
    struct job *job = b->jobs[i];
    if (v[i].code == WORKER_OK) {
      outcome_done(t, job);
    } else if (v[i].code == WORKER_UNREGISTERED) {
      job_set_state(job, JOB_TAKEN);
      job_list_push(&back, job);
    } else {
      due_at(t, outcome_failed(t, t->dispatcher->loop, job, v[i].code,
                               v[i].message ? v[i].message : "", v[i].message_len));
    }
    free(v[i].message);
  }
  b->n = 0;
  if (v != &one) free(v);
  struct job *job;
  size_t unregistered = back.n;
  while ((job = job_list_pop(&back))) job_list_push_front(&t->ready, job);
  if (unregistered && r->inst == t->inst) {
    t->counters.unregistered += unregistered;
    gate_answer(t, WORKER_UNREGISTERED, "the worker does not register it (code 404 in its 207 list)");
  }
  if (state_gives_back(t)) release_ready(t);
  held_watch(t);
}

static void jobs_done(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  uint64_t took = loop_now_ms(t->dispatcher->loop) - r->started_ms;
  size_t len;
  const char *why = worker_reply_reason(res, &len);
  switch (res->outcome) {
  case PB_ANSWERED:
    stats_run_time(&t->counters, took);
    t->run_avg_ms = t->run_avg_ms < 0 ? (double)took : t->run_avg_ms * 0.9 + (double)took * 0.1;
    pool_reachable(r->pool);
    if (res->code == WORKER_UNREGISTERED) {
      t->counters.unregistered += r->batch->n;
      jobs_back(r);
      char message[400];
      snprintf(message, sizeof message, "the worker does not register it: %.*s",
               len > 300 ? 300 : (int)len, why);
      if (r->inst == t->inst) gate_answer(t, WORKER_UNREGISTERED, message);
    } else {
      job_verdicts(r, res);
    }
    return;
  case PB_UNREACHABLE:
    t->counters.unreachable++;
    jobs_back(r);
    pool_unreachable(r->pool, why, len);
    return;
  case PB_BUSY:
    t->counters.busy++;
    jobs_back(r);
    pool_busy(r->pool, res->retry_after_ms);
    return;
  case PB_LOST: t->counters.lost += r->batch->n; break;
  case PB_TIMEOUT: t->counters.timeout += r->batch->n; break;
  default: break;
  }
  jobs_failed(r, 0, why, len);
}

/* What a ping or a test is told, as the contract's four codes. */
static int answer_code(struct run *r, const struct pb_result *res, char *message, size_t size) {
  size_t len;
  const char *why = worker_reply_reason(res, &len);
  int shown = len > 3000 ? 3000 : (int)len;
  if (res->outcome == PB_ANSWERED && r->kind == RUN_PING)
    return worker_reply_ping(res, r->topic->set->path, message, size);
  if (res->outcome == PB_ANSWERED) {
    struct worker_verdict v = {0};
    worker_reply_jobs(res, (const char (*)[ID_TEXT_MAX])r->batch->ids, 1, &v);
    if (v.code == WORKER_OK && res->code == WORKER_OK)
      snprintf(message, size, "%.*s", res->body_len > 3000 ? 3000 : (int)res->body_len,
               res->body_len ? res->body : "");
    else
      snprintf(message, size, "%.*s", v.message_len > 3000 ? 3000 : (int)v.message_len,
               v.message ? v.message : "");
    int code = v.code == WORKER_OK || v.code == WORKER_UNREGISTERED ? v.code : WORKER_FAILED;
    free(v.message);
    return code;
  }
  snprintf(message, size, "%.*s", shown, why);
  return res->outcome == PB_UNREACHABLE || res->outcome == PB_BUSY ? 502 : WORKER_FAILED;
}

static void ask_done(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  char message[4096];
  int code = answer_code(r, res, message, sizeof message);
  if (res->outcome == PB_UNREACHABLE)
    pool_unreachable(r->pool, message, strlen(message));
  else if (res->outcome == PB_BUSY)
    pool_busy(r->pool, res->retry_after_ms);
  else
    pool_reachable(r->pool);
  if (r->kind == RUN_PING && r->inst == t->inst && code != 502) gate_answer(t, code, message);
  run_answer(r, code, message, strlen(message));
}

static void gate_ping_ended(struct run *r);

/* The ticket is completed: the slot is free, whatever became of the jobs. */
static void run_done(void *arg, const struct pb_result *res) {
  struct run *r = arg;
  struct topic *t = r->topic;
  struct dispatcher *d = t->dispatcher;
  struct pool *p = r->pool;
  timer_stop(&r->deadline);
  run_unlink(r);
  p->runs--;
  if (!r->bypass) pool_release(p);
  if (r->gate) gate_ping_ended(r);
  if (!r->over) {
    if (r->kind == RUN_JOBS)
      jobs_done(r, res);
    else
      ask_done(r, res);
  }
  run_free(d, r);
  if (t->state == TOPIC_UNREGISTERED || t->state == TOPIC_PINGING) state_update(t);
  pump_later(t);
  pool_wake(p);
  pool_drop_if_unused(p);
  maybe_gone(t);
  maybe_drained(d);
}

/* The deadline: the jobs are settled now; the slot stays taken until the worker is free again. */
static void gate_ping_ended(struct run *r) {
  r->topic->pinging = false;
  if (!r->bypass) return;
  r->pool->probing = false;
  /* Whatever it told, there is a next probe while the circuit is open. */
  if (r->pool->open && !timer_pending(&r->pool->timer)) timer_start(&r->pool->timer, PROBE_MAX_MS);
}

static void deadline_over(void *arg) {
  struct run *r = arg;
  struct topic *t = r->topic;
  char why[200];
  r->over = true;
  uint64_t took = loop_now_ms(t->dispatcher->loop) - r->started_ms;
  snprintf(why, sizeof why, "no answer within %llu ms; whether it ran is not known",
           (unsigned long long)took);
  if (r->kind == RUN_JOBS) {
    t->counters.timeout += r->batch->n;
    jobs_failed(r, 0, why, strlen(why));
  } else {
    if (r->gate) gate_ping_ended(r);
    if (r->kind == RUN_PING && r->inst == t->inst) gate_answer(t, WORKER_FAILED, why);
    run_answer(r, WORKER_FAILED, why, strlen(why));
    r->gate = false;
  }
  struct dispatcher *d = t->dispatcher;
  instance_cancel(r->inst, r->ticket);
  maybe_drained(d);
}

/* Hands `r` to the transport; a slot was acquired unless r->bypass. Takes care of every failure. */
static void run_start(struct run *r) {
  struct topic *t = r->topic;
  struct dispatcher *d = t->dispatcher;
  struct pb_err err = {.text = ""};
  uint64_t now = loop_now_ms(d->loop);
  uint64_t limit = r->kind == RUN_PING && t->set->timeout_ms > PING_TIMEOUT_MS ? PING_TIMEOUT_MS
                                                                               : t->set->timeout_ms;
  r->pool = t->pool;
  r->inst = t->inst;
  r->started = true;
  r->started_ms = now;
  r->batch->topic = t->set;
  r->batch->deadline_ms = now + limit;
  r->batch->now_unix_ms = loop_wall_ms(d->loop);
  id_format_trace(id_mint(&d->traces, r->batch->now_unix_ms), d->gateway, r->batch->trace);
  for (size_t i = 0; i < r->batch->n; i++) job_set_state(r->batch->jobs[i], JOB_RUNNING);
  r->pool->runs++;
  r->snapshot = settings_ref(t->snapshot);
  run_link(r);
  int rc = instance_submit(t->inst, r->batch, run_done, r, &r->ticket, &err);
  if (!rc) {
    timer_start(&r->deadline, limit);
    if (r->kind == RUN_JOBS) {
      t->counters.requests++;
      t->counters.attempts += r->batch->n;
    }
    return;
  }
  run_unlink(r);
  if (!r->bypass) pool_release(r->pool);
  r->pool->runs--;
  if (r->gate) gate_ping_ended(r);
  pool_wake(r->pool);
  if (rc == -EAGAIN) {
    t->full = true;
    if (r->kind == RUN_JOBS)
      jobs_back(r);
    else
      run_answer(r, 502, "the transport has no room; try again", 36);
  } else {
    if (!*err.text) snprintf(err.text, sizeof err.text, "the transport refused: %s", strerror(-rc));
    if (r->kind == RUN_JOBS)
      jobs_failed(r, 0, err.text, strlen(err.text));
    else {
      if (r->kind == RUN_PING) gate_answer(t, WORKER_FAILED, err.text);
      run_answer(r, WORKER_FAILED, err.text, strlen(err.text));
    }
  }
  run_free(d, r);
}

/* --- pings and tests: the line before the slot --- */

static void ask_later(struct topic *t, struct run *r) {
  if (!t->asks) t->asks_end = &t->asks;
  r->next = NULL;
  *t->asks_end = r;
  t->asks_end = &r->next;
  pump_later(t);
}

static void asks_serve(struct topic *t) {
  while (t->asks && t->inst) {
    struct run *r = t->asks;
    bool bypass = t->pool->open;
    if (bypass && r->gate && t->pool->probing) return; /* one probe at a time */
    if (!bypass && !pool_acquire(t->pool, t)) return;
    t->asks = r->next;
    r->bypass = bypass;
    if (r->gate && bypass) t->pool->probing = true;
    run_start(r);
    pool_wake(t->pool);
  }
}

static void asks_refuse(struct topic *t, const char *why) {
  while (t->asks) {
    struct run *r = t->asks;
    t->asks = r->next;
    if (r->gate) t->pinging = false;
    run_answer(r, 502, why, strlen(why));
    run_free(t->dispatcher, r);
  }
}

/* Probe of an unreachable pool, or the end of its rest. */
static void probe_pool(void *arg) {
  struct pool *p = arg;
  struct topic *best = NULL;
  if (!p->open) {
    p->resting = false;
    pool_wake(p);
    return;
  }
  if (p->probing) return;
  for (struct topic *t = p->dispatcher->topics; t; t = t->all_next) {
    if (t->pool != p || t->state != TOPIC_UNREACHABLE) continue;
    if (t->asks) { /* its ping waits already */
      pump_later(t);
      timer_start(&p->timer, PROBE_MAX_MS);
      return;
    }
    if (t->pinging) continue;
    if (!best || (work_waits(t) && !work_waits(best))) best = t;
  }
  if (best)
    gate_ping(best);
  else
    timer_start(&p->timer, PROBE_MAX_MS);
}

/* --- taking --- */

/* How many jobs beyond the running ones should be at hand: as many as finish while the store is
 * asked, more for fast workers, none for slow ones, for what waits here other nodes cannot run. */
static size_t ahead(const struct topic *t, size_t window) {
  if (t->run_avg_ms < 0) return 0;
  if (t->run_avg_ms < 2) return window < 32 ? window + 32 : 2 * window;
  if (t->run_avg_ms < 50) return window;
  if (t->run_avg_ms < 500) return window / 4 ? window / 4 : 1;
  return 0;
}

/* When the store is down it says READY later and everything starts anew; else: again soon. */
static void store_failed(struct topic *t) {
  if (!t->store) return;
  t->more = t->resting = true;
  if (!t->next_due_ms) t->next_due_ms = loop_wall_ms(t->dispatcher->loop);
  if (!timer_pending(&t->again_timer)) timer_start(&t->again_timer, STORE_AGAIN_MS);
}

static void jobs_arrived(struct topic *t, struct job_list *jobs) {
  struct job *job;
  if (!t->store) { /* the broker stops: the storage's record of them is what counts */
    while ((job = job_list_pop(jobs))) job_free(job);
    return;
  }
  while ((job = job_list_pop(jobs))) {
    if (job->crashes >= (uint64_t)t->set->crashes && job->crashes) {
      char why[160];
      snprintf(why, sizeof why, "it was running at the death of a node %u times; not tried again by "
                                "itself (crashes = %lld)", job->crashes, (long long)t->set->crashes);
      outcome_dead(t, job, 0, why);
    } else if (t->draining || t->paused || t->state == TOPIC_DISABLED) {
      outcome_released(t, t->dispatcher->loop, job);
      if (!t->next_due_ms) t->next_due_ms = loop_wall_ms(t->dispatcher->loop);
    } else {
      job_list_push(&t->ready, job);
    }
  }
  held_watch(t);
  pump_later(t);
}

static void call_ended(struct topic *t) {
  t->calls--;
  maybe_gone(t);
}

void dispatcher_call_ended(struct topic *t) { call_ended(t); }

static void on_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more, const char *why) {
  struct topic *t = arg;
  (void)why;
  t->taking = false;
  if (rc == STORE_UNKNOWN) t->recover = true; /* they may be ours by the storage's record */
  if (rc)
    store_failed(t);
  else
    t->more = more;
  jobs_arrived(t, jobs);
  call_ended(t);
}

static void on_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due_ms,
                   const char *why) {
  struct topic *t = arg;
  (void)why;
  t->taking_due = false;
  if (rc == STORE_UNKNOWN) t->recover = true;
  if (rc) {
    store_failed(t);
  } else if (t->store) {
    due_at(t, next_due_ms);
    /* Outcomes on their way may be due before that: look again when they are there. */
    if (store_unsettled(t->store)) due_at(t, loop_wall_ms(t->dispatcher->loop) + UNSETTLED_LOOK_MS);
  }
  jobs_arrived(t, jobs);
  call_ended(t);
}

static void due_timer(void *arg) { topic_pump(arg); }

static void take(struct topic *t) {
  struct loop *loop = t->dispatcher->loop;
  size_t workers = (size_t)t->set->workers, chunk = (size_t)t->set->chunk;
  size_t slots = t->pool->limit < workers ? t->pool->limit : workers;
  size_t free_slots = t->attempts < slots ? slots - t->attempts : 0;
  size_t pool_free = t->pool->busy < t->pool->limit ? t->pool->limit - t->pool->busy : 0;
  if (free_slots > pool_free) free_slots = pool_free;
  size_t far = ahead(t, slots * chunk), want = free_slots * chunk + far;
  bool due = t->next_due_ms && t->next_due_ms <= loop_wall_ms(loop);
  if (t->resting) return;
  /* With the pool full and nothing at hand it still stands in line, to be woken for a slot. */
  if (!pool_free && t->attempts < workers && !t->ready.n && (t->more || due))
    pool_wait(t->pool, t);
  if (t->ready.n >= want || (t->ready.n && far && t->ready.n > far / 2)) return;
  size_t count = want - t->ready.n;
  if (due && !t->taking_due) {
    t->taking_due = true;
    t->next_due_ms = 0; /* what fails from now on is noted anew; the answer tells of the rest */
    timer_stop(&t->due_timer);
    t->calls++;
    store_take_due(t->store, count, on_due, t);
  }
  if (t->more && !t->taking) {
    t->taking = true;
    t->calls++;
    store_take(t->store, count, on_taken, t);
  }
}

/* The next batch of the ready list; expired jobs are put with the dead on the way. */
static void batch_fill(struct topic *t, struct run *r) {
  struct pb_batch *b = r->batch;
  size_t chunk = t->set->transport->caps & PB_CAP_CHUNK ? (size_t)t->set->chunk : 1, bytes = 0;
  uint64_t now = loop_wall_ms(t->dispatcher->loop);
  while (b->n < chunk && t->ready.head && (!b->n || bytes < BATCH_BYTES_MAX)) {
    struct job *job = job_list_pop(&t->ready);
    if (job->expires_ms && job->expires_ms <= now) {
      outcome_dead(t, job, 0, "it expired before it was run (TTL of its producer)");
      continue;
    }
    bytes += job->content_len;
    batch_push(b, job);
  }
}

static void topic_pump(void *arg) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  asks_serve(t);
  if (t->state != TOPIC_OPEN || t->full) return;
  while (t->ready.head && t->attempts < (size_t)t->set->workers) {
    if (!pool_acquire(t->pool, t)) break;
    struct run *r = run_new(t, RUN_JOBS);
    if (r) batch_fill(t, r);
    if (!r || !r->batch->n) {
      pool_release(t->pool);
      if (r) run_free(d, r);
      pool_wake(t->pool);
      break;
    }
    run_start(r);
    if (t->full || t->state != TOPIC_OPEN) break;
    if (t->pool->waiting) { /* others wait: one slot, then the end of the line */
      if (t->ready.head && t->attempts < (size_t)t->set->workers) pool_wait(t->pool, t);
      pool_wake(t->pool);
      break;
    }
  }
  if (t->pool_prev && !t->asks && (!t->ready.head || t->attempts >= (size_t)t->set->workers)) {
    pool_leave(t->pool, t);
    pool_wake(t->pool);
  }
  if (t->state != TOPIC_OPEN) return;
  take(t);
  if (t->next_due_ms && !t->taking_due && !timer_pending(&t->due_timer)) {
    uint64_t now = loop_wall_ms(d->loop);
    if (t->next_due_ms > now) timer_start(&t->due_timer, t->next_due_ms - now);
  }
}

/* --- the store's side --- */

static void attach(struct topic *t);
static void recover(struct topic *t);

/* A second after the store answered an error while its connection stayed up. */
static void again_timer(void *arg) {
  struct topic *t = arg;
  t->resting = false;
  if (t->draining || !t->set->enabled || !t->store) return;
  if (!t->attached) {
    if (store_state(t->store_entry->store) == STORE_READY) attach(t);
    return; /* not READY: that state attaches */
  }
  recover(t);
  pump_later(t);
}

static void again_later(struct topic *t) {
  if (t->store && !timer_pending(&t->again_timer)) timer_start(&t->again_timer, STORE_AGAIN_MS);
}

static void on_recovered(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                         const char *why) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  if (rc) {
    t->recover = true;
    again_later(t);
    if (rc == STORE_ERROR)
      log_error(loop_log(d->loop), t->set->path,
                "cannot take over the jobs of its earlier run: %s; trying again", why);
  }
  if (jobs->n) {
    t->counters.recovered += jobs->n;
    log_info(loop_log(d->loop), t->set->path, "took over %zu jobs that were running before", jobs->n);
  }
  jobs_arrived(t, jobs);
  if (!rc && more && t->attached) {
    t->calls++;
    store_recover(t->store, NULL, RECOVER_COUNT, on_recovered, t);
  }
  call_ended(t);
}

/* What the storage says this node runs is compared with what it has in memory. */
static void recover(struct topic *t) {
  if (!t->recover || !t->attached || t->draining || !t->set->enabled || !t->set->here) return;
  t->recover = false;
  t->calls++;
  store_recover(t->store, NULL, RECOVER_COUNT, on_recovered, t);
}

static void on_depth(struct topic *t, const struct store_depth *depth) {
  t->paused = depth->paused;
  if (depth->ready) t->more = true;
  if (depth->next_due_ms) {
    due_at(t, depth->next_due_ms);
    dispatcher_delayed(t->dispatcher, t->queue, depth->next_due_ms);
  }
}

static void on_attached(void *arg, enum store_rc rc, const struct store_depth *depth,
                        const char *why) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  if (!rc) {
    t->attached = true;
    t->more = true;
    on_depth(t, depth);
    recover(t);
  } else if (rc == STORE_ERROR) {
    again_later(t);
    log_error(loop_log(d->loop), t->set->path, "its storage does not take it: %s", why);
  }
  state_update(t);
  call_ended(t);
}

static void attach(struct topic *t) {
  t->calls++;
  store_attach(t->store, on_attached, t);
}

void dispatcher_store_ready(struct dispatcher *d, struct topic *t, bool ready) {
  (void)d;
  if (ready && t->set->enabled) {
    attach(t);
  } else if (!ready && t->attached) {
    t->attached = false;
    t->recover = true; /* what the connection swallowed is this node's by the storage's record */
    state_update(t);
  }
}

/* Work came to a topic whose worker did not register it: asked again soon, however rarely it was
 * asked while there was none. */
static void gate_hurry(struct topic *t) {
  if (t->state == TOPIC_UNREGISTERED && !t->pinging)
    timer_start(&t->gate_timer, loop_jitter(t->dispatcher->loop, GATE_FIRST_MS));
}

static void on_looked(void *arg, enum store_rc rc, const struct store_depth *depth, const char *why) {
  struct topic *t = arg;
  (void)why;
  t->looking = false;
  if (!rc && t->store) {
    bool had = work_waits(t);
    on_depth(t, depth);
    state_update(t);
    if (!had && work_waits(t)) gate_hurry(t);
    pump_later(t);
  }
  if (t->look_again && t->attached) {
    t->look_again = false;
    t->looking = true;
    t->calls++;
    store_look(t->store, on_looked, t);
  }
  call_ended(t);
}

void dispatcher_wake(struct dispatcher *d, struct queue *q, bool local) {
  (void)d;
  for (size_t i = 0; i < q->n_topics; i++) {
    struct topic *t = q->topics[i];
    if (local) {
      if (!t->more) {
        t->more = true;
        gate_hurry(t);
        pump_later(t);
      }
      continue;
    }
    if (!t->attached) continue;
    recover(t); /* after an answer that never came, while the connection stayed */
    t->look_again = t->looking;
    if (t->looking) continue;
    t->looking = true;
    t->calls++;
    store_look(t->store, on_looked, t);
  }
}

static void on_moved(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due_ms) {
  struct queue *q = arg;
  q->moving = false;
  if (!q->leaving && q->n_topics) {
    struct dispatcher *d = q->topics[0]->dispatcher;
    if (moved) dispatcher_wake(d, q, true);
    if (rc == STORE_OK && next_due_ms) dispatcher_delayed(d, q, next_due_ms);
    if (rc) dispatcher_delayed(d, q, loop_wall_ms(d->loop) + STORE_AGAIN_MS);
  }
  queue_unref(q);
}

static void delayed_due(void *arg) {
  struct queue *q = arg;
  q->next_delayed_ms = 0;
  if (q->leaving) return;
  for (size_t i = 0; i < q->n_stores; i++) {
    queue_ref(q);
    q->moving = true;
    store_move_due(q->stores[i]->sq, on_moved, q);
  }
}

void dispatcher_delayed(struct dispatcher *d, struct queue *q, uint64_t due_ms) {
  if (q->leaving || (q->next_delayed_ms && q->next_delayed_ms <= due_ms)) return;
  uint64_t now = loop_wall_ms(d->loop);
  if (!q->delayed_timer.loop) timer_init(&q->delayed_timer, d->loop, delayed_due, q);
  q->next_delayed_ms = due_ms;
  timer_start(&q->delayed_timer, due_ms > now ? due_ms - now : 0);
}

/* A dead node's jobs, page after page; the store says `died` again while there are more. */
static void on_taken_over(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                          const char *why) {
  struct topic *t = arg;
  (void)more;
  (void)why;
  if (!rc && jobs->n) {
    t->counters.recovered += jobs->n;
    log_warning(loop_log(t->dispatcher->loop), t->set->path,
                "took over %zu jobs of a node that died", jobs->n);
  }
  jobs_arrived(t, jobs);
  call_ended(t);
}

void dispatcher_node_died(struct dispatcher *d, struct store *s, const char *node) {
  for (struct topic *t = d->topics; t; t = t->all_next) {
    if (!t->attached || t->draining || !t->set->enabled || !t->set->here) continue;
    if (t->store_entry->store != s) continue;
    t->calls++;
    store_recover(t->store, node, RECOVER_COUNT, on_taken_over, t);
  }
}

/* --- topics come, change and go --- */

static void on_ready(void *arg) {
  struct topic *t = arg;
  t->full = false;
  state_update(t);
  pump_later(t);
}

static void instance_start(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  struct pb_err err = {.text = ""};
  t->registered = REGISTERED_UNKNOWN;
  t->gate_failures = 0;
  t->full = false;
  if (!t->set->enabled || !t->set->here) return;
  if (!t->set->transport)
    snprintf(err.text, sizeof err.text, "no plugin provides run_type %s", t->set->run_type);
  else
    t->inst = instance_open(d->transports, t->snapshot, t->set, on_ready, t, &err);
  if (t->inst) return;
  snprintf(t->registered_why, sizeof t->registered_why, "%.380s", err.text);
  log_error(loop_log(d->loop), t->set->path, "cannot run: %s; its jobs are kept", err.text);
}

static void instance_stop(struct topic *t) {
  if (t->inst) instance_close(t->inst, t->set->timeout_ms + CLOSE_MARGIN_MS);
  t->inst = NULL;
}

void dispatcher_add_topic(struct dispatcher *d, struct topic *t) {
  t->dispatcher = d;
  t->run_avg_ms = -1;
  t->recover = true;
  timer_init(&t->gate_timer, d->loop, gate_timer, t);
  timer_init(&t->due_timer, d->loop, due_timer, t);
  timer_init(&t->again_timer, d->loop, again_timer, t);
  t->pool = pool_get(d, t->set);
  if (!t->pool) abort(); /* a few hundred bytes at start or reload */
  t->all_next = d->topics;
  d->topics = t;
  instance_start(t);
  state_update(t);
}

/* Is the worker called in the same way, and told the same of the topic? */
static bool same_worker(const struct topic_settings *a, const struct topic_settings *b) {
  if (a->workers != b->workers || a->chunk != b->chunk || a->timeout_ms != b->timeout_ms) return false;
  if (a->transport != b->transport || a->enabled != b->enabled || a->here != b->here) return false;
  if (!a->pool != !b->pool || (a->pool && !settings_pool_equal(a->pool, b->pool))) return false;
  return settings_worker_equal(a, b);
}

void dispatcher_update_topic(struct dispatcher *d, struct topic *t, const struct topic_settings *was) {
  if (!same_worker(was, t->set)) {
    struct pool *old = t->pool;
    pool_leave(old, t);
    asks_refuse(t, "the topic's configuration changed; try again");
    instance_stop(t);
    t->pool = pool_get(d, t->set);
    if (!t->pool) abort();
    old->topics--;
    pool_drop_if_unused(old);
    instance_start(t);
    if (t->set->enabled && !t->attached) attach(t);
  }
  recover(t);
  state_update(t);
  pump_later(t);
}

static void maybe_gone(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  if (!t->draining || !t->gone || t->runs || t->calls) return;
  if (t->ready.n) release_ready(t);
  void (*gone)(void *, struct topic *) = t->gone;
  t->gone = NULL;
  for (struct topic **at = &d->topics; *at; at = &(*at)->all_next)
    if (*at == t) {
      *at = t->all_next;
      break;
    }
  pool_leave(t->pool, t);
  t->pool->topics--;
  pool_drop_if_unused(t->pool);
  timer_done(&t->gate_timer);
  timer_done(&t->due_timer);
  timer_done(&t->again_timer);
  deferred_cancel(d->loop, &t->pump);
  gone(t->gone_arg, t);
}

void dispatcher_remove_topic(struct dispatcher *d, struct topic *t,
                             void (*gone)(void *arg, struct topic *t), void *arg) {
  (void)d;
  t->draining = true;
  t->gone = gone;
  t->gone_arg = arg;
  asks_refuse(t, "the topic is no longer configured");
  state_update(t);
  instance_stop(t);
  maybe_gone(t);
}

/* --- stop --- */

static size_t jobs_running(const struct dispatcher *d) {
  size_t n = 0;
  for (struct topic *t = d->topics; t; t = t->all_next)
    for (struct run *r = t->runs; r; r = r->next)
      if (!r->over) n += r->batch->n + (r->kind != RUN_JOBS && r->answer);
  return n;
}

static void drain_end(struct dispatcher *d) {
  void (*fn)(void *, size_t) = d->drained;
  d->drained = NULL;
  timer_stop(&d->drain_timer);
  if (fn) fn(d->drained_arg, jobs_running(d));
}

static void maybe_drained(struct dispatcher *d) {
  if (d->draining && d->drained && !jobs_running(d)) drain_end(d);
}

static void drain_timeout(void *arg) { drain_end(arg); }

void dispatcher_drain(struct dispatcher *d, uint64_t timeout_ms, void (*fn)(void *arg, size_t left),
                      void *arg) {
  d->draining = true;
  d->drained = fn;
  d->drained_arg = arg;
  for (struct topic *t = d->topics; t; t = t->all_next) {
    t->draining = true;
    asks_refuse(t, "the broker is stopping");
    state_update(t);
  }
  timer_start(&d->drain_timer, timeout_ms);
  maybe_drained(d);
}

/* --- operators --- */

void dispatcher_ping(struct dispatcher *d, struct topic *t, dispatcher_answer_fn fn, void *arg) {
  (void)d;
  struct run *r = t->inst ? run_new(t, RUN_PING) : NULL;
  if (!r) {
    const char *why = t->inst ? "out of memory" : t->why;
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->answer = fn;
  r->answer_arg = arg;
  ask_later(t, r);
}

void dispatcher_test(struct dispatcher *d, struct topic *t, const void *content, size_t len,
                     dispatcher_answer_fn fn, void *arg) {
  struct run *r = t->inst ? run_new(t, RUN_TEST) : NULL;
  struct job_head head = {0};
  unsigned char bytes[JOB_HEAD_MAX];
  char field[JOB_FIELD_MAX];
  head.id = head.trace = id_mint(&d->traces, loop_wall_ms(d->loop));
  size_t head_len = job_encode_head(&head, bytes);
  char *blob = r ? malloc(head_len + len + 1) : NULL;
  if (blob) {
    memcpy(blob, bytes, head_len);
    memcpy(blob + head_len, content, len);
    job_field(d->gateway, field);
    r->test_job = job_decode(field, strlen(field), blob, head_len + len);
    if (!r->test_job) free(blob);
  }
  if (!r || !r->test_job) {
    const char *why = t->inst ? "out of memory" : t->why;
    if (r) run_free(d, r);
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->test_job->source = JOB_FROM_TEST;
  r->answer = fn;
  r->answer_arg = arg;
  batch_push(r->batch, r->test_job);
  ask_later(t, r);
}

struct pause_call {
  struct topic *t;
  bool paused;
  store_done_fn fn;
  void *arg;
};

static void on_paused(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct pause_call *c = arg;
  struct topic *t = c->t;
  if (!rc) {
    t->paused = c->paused;
    state_update(t);
  }
  c->fn(c->arg, rc, count, why);
  free(c);
  call_ended(t);
}

void dispatcher_pause(struct dispatcher *d, struct topic *t, bool paused, store_done_fn fn,
                      void *arg) {
  (void)d;
  struct pause_call *c = malloc(sizeof *c);
  if (!c) {
    fn(arg, STORE_ERROR, 0, "out of memory");
    return;
  }
  *c = (struct pause_call){.t = t, .paused = paused, .fn = fn, .arg = arg};
  t->calls++;
  store_pause(t->store, paused, on_paused, c);
}

size_t dispatcher_pools(struct dispatcher *d, struct pool_status *ret, size_t max) {
  size_t n = 0;
  for (struct pool *p = d->pools; p && n < max; p = p->next)
    ret[n++] = (struct pool_status){.name = p->name, .run_type = p->run_type, .max = p->max,
                                    .busy = p->busy, .waiting_topics = p->waiting_n};
  return n;
}

/* --- life --- */

struct dispatcher *dispatcher_new(struct loop *loop, struct gateway g) {
  struct dispatcher *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->loop = loop;
  d->gateway = g;
  d->transports = transports_new(loop);
  if (!d->transports) {
    free(d);
    return NULL;
  }
  id_source_start(&d->traces, 0, loop_wall_ms(loop));
  timer_init(&d->drain_timer, loop, drain_timeout, d);
  return d;
}

/* Topics that were not drained in time leave their running jobs to the storage's record of them;
 * the next start, or another node, takes them over. */
static void topic_abandon(struct dispatcher *d, struct topic *t) {
  struct job *job;
  t->draining = true;
  t->state = TOPIC_DRAINING;
  t->gone = NULL;
  t->attached = t->look_again = t->recover = false;
  while ((job = job_list_pop(&t->ready))) job_free(job);
  asks_refuse(t, "the broker is stopping");
  instance_stop(t);
  for (struct run *r = t->runs; r; r = r->next) {
    for (size_t i = 0; r->kind == RUN_JOBS && i < r->batch->n; i++) job_free(r->batch->jobs[i]);
    r->batch->n = 0;
    r->over = true;
  }
  timer_done(&t->gate_timer);
  timer_done(&t->due_timer);
  timer_done(&t->again_timer);
  deferred_cancel(d->loop, &t->pump);
}

void dispatcher_stop(struct dispatcher *d) {
  d->drained = NULL;
  for (struct topic *t = d->topics; t; t = t->all_next) topic_abandon(d, t);
  transports_free(d->transports); /* completes what still ran */
  d->transports = NULL;
  for (struct topic *t = d->topics; t; t = t->all_next) deferred_cancel(d->loop, &t->pump);
}

void dispatcher_free(struct dispatcher *d) {
  if (!d) return;
  transports_free(d->transports);
  while (d->pools) {
    struct pool *p = d->pools;
    d->pools = p->next;
    timer_done(&p->timer);
    free(p);
  }
  while (d->spare) {
    struct run *r = d->spare;
    d->spare = r->next;
    batch_free(r->batch);
    free(r);
  }
  timer_done(&d->drain_timer);
  free(d);
}
