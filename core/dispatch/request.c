/* Owns requests to workers, from the ready list to the outcome of each job.
 *
 * "Cannot reach the worker" (gate_unreachable) and "the worker said no" (job_verdicts) share no
 * code. A request's slot is released by its completion alone, never by its deadline.
 */
#include "dispatch/private.h"

#include <errno.h>
#include <stdio.h>

#define PING_TIMEOUT_MS 10000
#define RUNS_KEPT       64  /* finished runs kept for the next ones */
#define LATE_MS         100 /* a deadline that is seen so late: this process stood still */
#define LATE_GRACE_MS   50  /* ... and reads first what has come meanwhile */

void topic_pump_later(struct topic *t) {
  loop_defer(t->dispatcher->loop, &t->pump, topic_pump, t);
}

static void run_done(void *arg, const struct pb_result *r);

/* --- runs --- */

static void deadline_over(void *arg);
static void ask_overdue(struct run *r);
static void ask_wait(struct run *r, uint64_t left_ms);

struct run *run_new(struct topic *t, enum run_kind kind) {
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

void run_free(struct dispatcher *d, struct run *r) {
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

static void jobs_back(struct run *r) {
  struct topic *t = r->topic;
  for (size_t i = r->batch->n; i-- > 0;) {
    struct job *job = r->batch->jobs[i];
    job_set_state(job, JOB_TAKEN);
    job_list_push_front(&t->ready, job);
  }
  r->batch->n = 0;
  if (gate_gives_back(t)) gate_give_back(t);
  gate_watch(t);
}

static void jobs_failed(struct run *r, int code, const char *message, size_t len) {
  struct topic *t = r->topic;
  for (size_t i = 0; i < r->batch->n; i++)
    take_due_at(t, outcome_failed(t, t->dispatcher->loop, r->batch->jobs[i], code, message, len));
  r->batch->n = 0;
}

/* Those jobs of the request for which it was one "not registered" too many, though pings passed in
 * between, failed by it: else they would go round for ever. The others stay in the batch. */
static void jobs_refused(struct run *r, size_t first, const char *why) {
  struct topic *t = r->topic;
  struct pb_batch *b = r->batch;
  char message[640];
  size_t kept = 0;
  int n = snprintf(message, sizeof message,
                   "%s; so often for this job, although pings pass, that "
                   "each time counts as a failed attempt",
                   why);
  for (size_t i = 0; i < b->n; i++) {
    struct job *job = b->jobs[i];
    if (i < first && refusals_add(&t->refusals, job)) {
      take_due_at(
          t, outcome_failed(t, t->dispatcher->loop, job, WORKER_UNREGISTERED, message, (size_t)n));
    } else {
      b->jobs[kept++] = job;
    }
  }
  b->n = kept;
  t->counters.unregistered += kept;
}

/* None of the request's jobs was run: the worker does not register the topic. */
static void jobs_unregistered(struct run *r, const char *why) {
  struct topic *t = r->topic;
  jobs_refused(r, r->batch->n, why);
  bool closes = r->batch->n > 0; /* else it was about these jobs, and the next may be welcome */
  jobs_back(r);
  if (closes && r->inst == t->inst) gate_answer(t, WORKER_UNREGISTERED, why);
}

/* The worker answered: what it says of each job. A 404 for some jobs of a chunk says that they were
 * not run (the one before them ended the script): they go back, with nothing counted, and the topic
 * goes on. Those that no other one stands before have no such excuse. A 404 for all says that it is
 * not registered. */
static void job_verdicts(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  struct pb_batch *b = r->batch;
  struct worker_verdict one = {0}, *v = b->n == 1 ? &one : calloc(b->n, sizeof *v);
  if (!v) {
    jobs_failed(r, 0, "out of memory", 13);
    return;
  }
  worker_reply_jobs(res, (const char(*)[ID_TEXT_MAX])b->ids, b->n, v);
  size_t n = b->n, back = 0, first = 0;
  for (size_t i = 0; i < n; i++) {
    struct job *job = b->jobs[i];
    if (v[i].code == WORKER_OK) {
      outcome_done(t, job);
    } else if (v[i].code == WORKER_UNREGISTERED) {
      if (back == i) first++;
      b->jobs[back++] = job;
    } else {
      take_due_at(t, outcome_failed(t, t->dispatcher->loop, job, v[i].code,
                                    v[i].message ? v[i].message : "", v[i].message_len));
    }
    free(v[i].message);
  }
  if (v != &one) free(v);
  static const char why[] = "the worker does not register it (code 404 in its 207 list)";
  b->n = back;
  if (back == n) {
    jobs_unregistered(r, why);
    return;
  }
  if (back) jobs_refused(r, first, why);
  jobs_back(r);
}

static void jobs_done(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  uint64_t now = loop_now_ms(t->dispatcher->loop), took = now - r->started_ms;
  size_t len;
  const char *why = worker_reply_reason(res, &len);
  char message[400], shown[301];
  switch (res->outcome) {
  case PB_ANSWERED:
    counters_run_time(&t->counters, took);
    pace_answer(&t->dispatcher->pace, now, took);
    t->run_avg_ms = t->run_avg_ms < 0 ? (double)took : t->run_avg_ms * 0.9 + (double)took * 0.1;
    gate_reachable(r->pool);
    if (r->pool->automatic)
      pool_took(r->pool, &t->run_usual, took, loop_now_ms(t->dispatcher->loop));
    if (res->code != WORKER_UNREGISTERED) {
      job_verdicts(r, res);
      return;
    }
    pb_excerpt(shown, sizeof shown, why, len);
    snprintf(message, sizeof message, "the worker does not register it: %s", shown);
    jobs_unregistered(r, message);
    return;
  case PB_UNREACHABLE:
    t->counters.unreachable++;
    jobs_back(r);
    gate_unreachable(r->pool, why, len);
    return;
  case PB_BUSY:
    t->counters.busy++;
    jobs_back(r);
    gate_busy(r->pool, t, res->retry_after_ms, why, len);
    return;
  case PB_LOST:
    t->counters.lost += r->batch->n;
    break;
  case PB_TIMEOUT:
    t->counters.timeout += r->batch->n;
    break;
  default:
    break;
  }
  jobs_failed(r, 0, why, len);
}

/* What a ping or a test is told, as the contract's four codes. */
static int answer_code(struct run *r, const struct pb_result *res, char *message, size_t size) {
  size_t len;
  const char *why = worker_reply_reason(res, &len);
  if (res->outcome == PB_ANSWERED && r->kind == RUN_PING)
    return worker_reply_ping(res, r->topic->set->path, message, size);
  if (res->outcome == PB_ANSWERED) {
    struct worker_verdict v = {0};
    worker_reply_jobs(res, (const char(*)[ID_TEXT_MAX])r->batch->ids, 1, &v);
    if (v.code == WORKER_OK && res->code == WORKER_OK)
      pb_excerpt(message, size, res->body, res->body_len);
    else
      pb_excerpt(message, size, v.message, v.message_len);
    int code = v.code == WORKER_OK || v.code == WORKER_UNREGISTERED ? v.code : WORKER_FAILED;
    free(v.message);
    return code;
  }
  pb_excerpt(message, size, why, len);
  return res->outcome == PB_UNREACHABLE || res->outcome == PB_BUSY ? 502 : WORKER_FAILED;
}

static void ask_done(struct run *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  char message[4096];
  int code = answer_code(r, res, message, sizeof message);
  if (res->outcome == PB_UNREACHABLE)
    gate_unreachable(r->pool, message, strlen(message));
  else if (res->outcome == PB_BUSY)
    gate_busy(r->pool, t, res->retry_after_ms, message, strlen(message));
  else
    gate_reachable(r->pool);
  if (r->kind == RUN_PING && r->inst == t->inst && code != 502) gate_answer(t, code, message);
  run_answer(r, code, message, strlen(message));
}

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
  if (t->state == TOPIC_UNREGISTERED || t->state == TOPIC_PINGING) gate_update(t);
  /* The worker that answered gets its next request now; those that stand in line go first. */
  if (p->waiting)
    topic_pump_later(t);
  else
    topic_pump(t);
  gate_pool_wake(p);
  gate_pool_drop(p);
  dispatcher_maybe_gone(t);
  dispatcher_maybe_drained(d);
}

/* The deadline: the jobs are settled now; the slot stays taken until the worker is free again. */
static void deadline_over(void *arg) {
  struct run *r = arg;
  struct topic *t = r->topic;
  char why[200];
  if (r->waits) {
    ask_overdue(r);
    return;
  }
  /* After a stop (a container that was paused, say) timers may be told before descriptors. */
  if (!r->late && loop_now_ms(t->dispatcher->loop) > r->batch->deadline_ms + LATE_MS) {
    r->late = true;
    timer_start(&r->deadline, LATE_GRACE_MS);
    return;
  }
  r->over = true;
  snprintf(why, sizeof why, "timed out: no answer within %llu ms; whether it ran is not known",
           (unsigned long long)(r->batch->deadline_ms - r->started_ms));
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
  dispatcher_maybe_drained(d);
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
  r->batch->topic = t->set;
  if (r->waits) {
    limit = r->batch->deadline_ms > now ? r->batch->deadline_ms - now : 0;
  } else {
    r->started_ms = now;
    r->batch->deadline_ms = now + limit;
    r->batch->now_unix_ms = loop_wall_ms(d->loop);
    r->batch->trace_id = id_mint(&d->traces, r->batch->now_unix_ms);
    r->batch->gateway = d->gateway;
    id_format_trace(r->batch->trace_id, d->gateway, r->batch->trace);
  }
  for (size_t i = 0; i < r->batch->n; i++) job_set_state(r->batch->jobs[i], JOB_RUNNING);
  r->pool->runs++;
  r->snapshot = settings_ref(t->snapshot);
  run_link(r);
  int rc = instance_submit(t->inst, r->batch, run_done, r, &r->ticket, &err);
  if (!rc) {
    r->waits = false;
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
  gate_pool_wake(r->pool);
  if (rc == -EAGAIN) {
    t->full = true;
    if (r->kind == RUN_JOBS) {
      jobs_back(r);
    } else if (!r->gate) { /* the gate sends a ping of its own again */
      ask_wait(r, limit);
      return;
    }
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

/* --- pings and tests: the line before the slot, and before the transport's room --- */

/* Worker processes may be busy, or may just be starting: it waits, at most as long as it may take.
 */
static void ask_wait(struct run *r, uint64_t left_ms) {
  struct topic *t = r->topic;
  if (!r->waits) timer_start(&r->deadline, left_ms);
  r->waits = true;
  r->next = t->no_room;
  t->no_room = r;
}

void ask_room(struct topic *t) {
  while (t->no_room) {
    struct run *r = t->no_room;
    t->no_room = r->next;
    ask_later(t, r);
  }
}

static bool unlink_from(struct run **list, struct run ***end, struct run *r) {
  for (; *list; list = &(*list)->next) {
    if (*list != r) continue;
    *list = r->next;
    if (end && *end == &r->next) *end = list;
    return true;
  }
  return false;
}

static void ask_overdue(struct run *r) {
  struct topic *t = r->topic;
  char health[300] = "", why[420];
  if (!unlink_from(&t->no_room, NULL, r)) unlink_from(&t->asks, &t->asks_end, r);
  if (t->inst) instance_health(t->inst, health, sizeof health);
  snprintf(why, sizeof why, "no worker took it within %llu ms%s%s",
           (unsigned long long)(r->batch->deadline_ms - r->started_ms), *health ? ": " : "",
           health);
  run_answer(r, 502, why, strlen(why));
  run_free(t->dispatcher, r);
  topic_pump_later(t);
}

void ask_later(struct topic *t, struct run *r) {
  if (!t->asks) t->asks_end = &t->asks;
  r->next = NULL;
  *t->asks_end = r;
  t->asks_end = &r->next;
  topic_pump_later(t);
}

static void ask_serve(struct topic *t) {
  while (t->asks && t->inst) {
    struct run *r = t->asks;
    bool bypass = t->pool->open;
    if (bypass && r->gate && t->pool->probing) return; /* one probe at a time */
    if (!bypass && !pool_acquire(t->pool, t)) {
      gate_pool_wake(t->pool); /* it may be another's turn */
      return;
    }
    t->asks = r->next;
    r->bypass = bypass;
    if (r->gate && bypass) t->pool->probing = true;
    run_start(r);
    gate_pool_wake(t->pool);
  }
}

void ask_refuse(struct topic *t, const char *why) {
  ask_room(t);
  while (t->asks) {
    struct run *r = t->asks;
    t->asks = r->next;
    if (r->gate) t->pinging = false;
    run_answer(r, 502, why, strlen(why));
    run_free(t->dispatcher, r);
  }
}

/* --- the pump --- */

/* Its last attempt is a request of its own: a job that ends the script, or is too large for it,
 * must not take to the dead those that share its requests. So is the last time before a "not
 * registered" counts. */
static bool runs_alone(const struct topic *t, const struct job *job) {
  if (job->refused + 1 >= REFUSALS_MAX) return true;
  return job->failed && job->failed + 1u >= (uint64_t)t->set->attempts;
}

/* The next batch of the ready list; expired jobs are put with the dead on the way. */
static void batch_fill(struct topic *t, struct run *r) {
  struct pb_batch *b = r->batch;
  size_t chunk = t->set->transport->caps & PB_CAP_CHUNK ? (size_t)t->set->chunk : 1, bytes = 0;
  uint64_t now = loop_wall_ms(t->dispatcher->loop);
  while (b->n < chunk && t->ready.head && (!b->n || bytes < BATCH_BYTES_MAX)) {
    if (runs_alone(t, t->ready.head)) {
      if (b->n) break;
      chunk = 1;
    }
    struct job *job = job_list_pop(&t->ready);
    if (job->expires_ms && job->expires_ms <= now) {
      outcome_dead(t, t->dispatcher->loop, job, 0,
                   "it expired before it was run (TTL of its producer)");
      continue;
    }
    bytes += job->content_len;
    batch_push(b, job);
  }
}

/* For how long the jobs at hand, fewer than a chunk, still wait for more. Bounded for the first of
 * them, whatever comes meanwhile; 0: a request may start. */
static uint64_t fill_left(const struct topic *t) {
  if (!t->ready.head || !t->set->chunk_wait_ms) return 0;
  if (t->ready.n >= (size_t)t->set->chunk || t->ready.bytes >= BATCH_BYTES_MAX) return 0;
  if (runs_alone(t, t->ready.head)) return 0;
  uint64_t until = t->ready.head->taken_ms + t->set->chunk_wait_ms;
  uint64_t now = loop_now_ms(t->dispatcher->loop);
  return until > now ? until - now : 0;
}

static bool can_start(const struct topic *t) {
  return t->ready.head && t->attempts < (size_t)t->set->workers && !t->first_chunk && !fill_left(t);
}

void topic_pump(void *arg) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  ask_serve(t);
  if (t->state != TOPIC_OPEN || t->full || topic_pulls(t)) return;
  if (!store_holds_lease(t->store_entry->store)) return; /* woken when it does */
  while (can_start(t)) {
    if (!pool_acquire(t->pool, t)) {
      gate_pool_wake(t->pool);
      break;
    }
    struct run *r = run_new(t, RUN_JOBS);
    if (r) batch_fill(t, r);
    if (!r || !r->batch->n) {
      pool_release(t->pool);
      if (r) run_free(d, r);
      gate_pool_wake(t->pool);
      break;
    }
    run_start(r);
    if (t->full || t->state != TOPIC_OPEN) break;
    if (t->pool->waiting) { /* others wait: one slot, then the end of the line */
      if (can_start(t)) pool_wait(t->pool, t);
      gate_pool_wake(t->pool);
      break;
    }
  }
  if (t->pool_prev && !t->asks && !can_start(t)) {
    pool_leave(t->pool, t);
    gate_pool_wake(t->pool);
  }
  if (t->state != TOPIC_OPEN) return;
  uint64_t left = fill_left(t);
  if (left)
    timer_start(&t->fill_timer, left);
  else if (t->set->chunk_wait_ms)
    timer_stop(&t->fill_timer);
  take_more(t);
  if (t->next_due_ms && !t->taking_due && !timer_pending(&t->due_timer)) {
    uint64_t now = loop_wall_ms(d->loop);
    if (t->next_due_ms > now) timer_start(&t->due_timer, t->next_due_ms - now);
  }
}
