/* Owns requests to workers: those with jobs from the ready list, and pings and tests, with the line
 * in which pings and tests wait for a slot. Only the completion of a request releases its slot,
 * never its deadline.
 */
#include "dispatch/request.h"

#include "dispatch/fetch.h"
#include "dispatch/outcome.h"
#include "dispatch/pool.h"
#include "dispatch/private.h"
#include "dispatch/refusals.h"
#include "dispatch/request_answer.h"
#include "dispatch/request_jobs.h"
#include "dispatch/topic.h"
#include "dispatch/worker_ping.h"

#include <pepperbus/text.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_TIMEOUT_MS 10000
#define REQUESTS_KEPT   64  /* finished ones kept for the next ones */
#define LATE_MS         100 /* a deadline that is seen so late: this process stood still */
#define LATE_GRACE_MS   50  /* ... and first reads the answers that have arrived */

static void request_done(void *arg, const struct pb_result *r);

/* --- requests --- */

static void deadline_over(void *arg);
static void line_overdue(struct request *r);
static void wait_for_room(struct request *r, uint64_t left_ms);

struct request *request_new(struct topic *t, enum request_kind kind) {
  struct dispatcher *d = t->dispatcher;
  size_t cap = kind == REQUEST_JOBS ? (size_t)t->set->chunk : 1;
  struct request *r = d->spare;
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
  timer_init(&r->deadline, t->loop, deadline_over, r);
  b->type = kind == REQUEST_PING ? PB_BATCH_PING : PB_BATCH_DATA;
  return r;
}

void request_free(struct dispatcher *d, struct request *r) {
  timer_done(&r->deadline);
  job_free(r->test_job);
  settings_unref(r->snapshot);
  r->test_job = NULL;
  r->snapshot = NULL;
  if (d->spare_n < REQUESTS_KEPT) {
    batch_reset(r->batch);
    r->next = d->spare;
    d->spare = r;
    d->spare_n++;
  } else {
    batch_free(r->batch);
    loop_free_later(d->loop, r);
  }
}

static void request_link(struct request *r) {
  struct topic *t = r->topic;
  r->next = t->requests.all;
  if (r->next) r->next->prev = &r->next;
  r->prev = &t->requests.all;
  t->requests.all = r;
  if (r->kind == REQUEST_JOBS) t->requests.running++;
}

static void request_unlink(struct request *r) {
  struct topic *t = r->topic;
  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  if (r->kind == REQUEST_JOBS) t->requests.running--;
}

static void request_answered(struct request *r, int code, const char *message, size_t len) {
  operator_answer_fn fn = r->answer;
  uint64_t took = r->started ? loop_now_ms(r->topic->loop) - r->started_ms : 0;
  r->answer = NULL;
  if (fn) fn(r->answer_arg, code, message, len, took);
}

/* The answer to a ping or a test, as one of the contract's four codes. */
static int answer_code(struct request *r, const struct pb_result *res, char *message, size_t size) {
  size_t len;
  const char *why = request_answer_reason(res, &len);
  if (res->outcome == PB_ANSWERED && r->kind == REQUEST_PING)
    return request_answer_ping(res, r->topic->set->path, message, size);
  if (res->outcome == PB_ANSWERED) {
    struct request_verdict v = {0};
    request_answer_jobs(res, (const char(*)[ID_TEXT_MAX])r->batch->ids, 1, &v);
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

static void question_done(struct request *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  char message[4096];
  int code = answer_code(r, res, message, sizeof message);
  if (res->outcome == PB_UNREACHABLE)
    pool_unreachable(r->pool, message, strlen(message));
  else if (res->outcome == PB_BUSY)
    pool_busy(r->pool, t, res->retry_after_ms, message, strlen(message));
  else
    pool_reachable(r->pool);
  if (r->kind == REQUEST_PING && r->inst == t->inst && code != 502)
    worker_ping_told(t, code, message);
  request_answered(r, code, message, strlen(message));
}

/* A ping of the dispatcher itself is over, with any result. */
static void own_ping_ended(struct request *r) {
  r->topic->ping.on_the_way = false;
  if (r->bypass) pool_probed(r->pool);
}

/* Asked between two turns as well: what closes a topic counts before its state does. */
bool request_may_start(const struct topic *t) {
  return t->state == TOPIC_OPEN && !t->draining && !t->paused && !t->pool->circuit_open &&
         !t->requests.full && !topic_pulls(t) &&
         store_holds_lease(t->store_entry->store); /* else woken when it does */
}

/* The ticket is completed. The slot is free, whatever happened to the jobs. */
static void request_done(void *arg, const struct pb_result *res) {
  struct request *r = arg;
  struct topic *t = r->topic;
  struct pool *p = r->pool;
  bool good =
      !r->over && r->kind == REQUEST_JOBS && res->outcome == PB_ANSWERED && res->code == 200;
  topic_touch(t); /* first, so that it asks the storage in the turn's first write */
  timer_stop(&r->deadline);
  request_unlink(r);
  p->requests--;
  if (!r->bypass) pool_release(p);
  if (r->own) own_ping_ended(r);
  if (!r->over) {
    if (r->kind == REQUEST_JOBS)
      request_jobs_ended(r, res);
    else
      question_done(r, res);
  }
  request_free(t->dispatcher, r);
  /* A worker that did its jobs gets its next request now. Otherwise it would be idle until the end
   * of the turn, while other answers are read. A topic that waits in line goes first. */
  if (good && !t->requests.line && !p->waiting && request_may_start(t)) {
    request_start_jobs(t);
    fetch_more(t);
  }
  pool_wake(p);
  pool_drop(p);
}

/* The deadline: the jobs are settled now; the slot stays taken until the worker is free again. */
static void deadline_over(void *arg) {
  struct request *r = arg;
  struct topic *t = r->topic;
  char why[200];
  if (r->waits) {
    line_overdue(r);
    return;
  }
  /* After a standstill (for example of a paused container), the loop may call timers before
   * descriptors. */
  if (!r->late && loop_now_ms(t->loop) > r->batch->deadline_ms + LATE_MS) {
    r->late = true;
    timer_start(&r->deadline, LATE_GRACE_MS);
    return;
  }
  r->over = true;
  snprintf(why, sizeof why, "timed out: no answer within %llu ms; whether it ran is not known",
           (unsigned long long)(r->batch->deadline_ms - r->started_ms));
  if (r->kind == REQUEST_JOBS) {
    t->counters.timeout += r->batch->n;
    request_jobs_failed(r, 0, why, strlen(why));
  } else {
    if (r->own) own_ping_ended(r);
    if (r->kind == REQUEST_PING && r->inst == t->inst) worker_ping_told(t, WORKER_FAILED, why);
    request_answered(r, WORKER_FAILED, why, strlen(why));
    r->own = false;
  }
  instance_cancel(r->inst, r->ticket);
  topic_touch(t);
}

/* Hands `r` to the transport; a slot was acquired unless r->bypass. Takes care of every failure. */
static void request_start(struct request *r) {
  struct topic *t = r->topic;
  struct dispatcher *d = t->dispatcher;
  struct pb_err err = {.text = ""};
  uint64_t now = loop_now_ms(t->loop);
  uint64_t limit = r->kind == REQUEST_PING && t->set->timeout_ms > PING_TIMEOUT_MS
                       ? PING_TIMEOUT_MS
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
    r->batch->now_unix_ms = loop_wall_ms(t->loop);
    r->batch->trace_id = id_mint(&d->traces, r->batch->now_unix_ms);
    r->batch->gateway = d->gateway;
    id_format_trace(r->batch->trace_id, d->gateway, r->batch->trace);
  }
  for (size_t i = 0; i < r->batch->n; i++) job_set_state(r->batch->jobs[i], JOB_RUNNING);
  r->pool->requests++;
  settings_unref(r->snapshot); /* of a start before that found no room */
  r->snapshot = settings_ref(t->snapshot);
  request_link(r);
  int rc = instance_submit(t->inst, r->batch, request_done, r, &r->ticket, &err);
  if (!rc) {
    r->waits = false;
    timer_start(&r->deadline, limit);
    if (r->kind == REQUEST_JOBS) {
      t->counters.requests++;
      t->counters.attempts += r->batch->n;
    }
    return;
  }
  request_unlink(r);
  if (!r->bypass) pool_release(r->pool);
  r->pool->requests--;
  if (r->own) own_ping_ended(r);
  pool_wake(r->pool);
  if (rc == -EAGAIN) {
    t->requests.full = true;
    if (r->kind == REQUEST_JOBS) {
      request_jobs_back(r);
    } else if (!r->own) { /* the dispatcher's next ping is sent when there is room */
      wait_for_room(r, limit);
      return;
    }
  } else {
    if (!*err.text) snprintf(err.text, sizeof err.text, "the transport refused: %s", strerror(-rc));
    if (r->kind == REQUEST_JOBS)
      request_jobs_failed(r, 0, err.text, strlen(err.text));
    else {
      if (r->kind == REQUEST_PING) worker_ping_told(t, WORKER_FAILED, err.text);
      request_answered(r, WORKER_FAILED, err.text, strlen(err.text));
    }
  }
  request_free(d, r);
}

/* --- pings and tests: the line before the slot, and before the transport's room --- */

/* Worker processes may be busy, or may just be starting: it waits, at most as long as it may take.
 */
static void wait_for_room(struct request *r, uint64_t left_ms) {
  struct topic *t = r->topic;
  if (!r->waits) timer_start(&r->deadline, left_ms);
  for (size_t i = 0; i < r->batch->n; i++) job_set_state(r->batch->jobs[i], JOB_TAKEN);
  r->waits = true;
  r->next = t->requests.no_room;
  t->requests.no_room = r;
}

void request_room(struct topic *t) {
  while (t->requests.no_room) {
    struct request *r = t->requests.no_room;
    t->requests.no_room = r->next;
    request_wait(t, r);
  }
}

static bool unlink_from(struct request **list, struct request ***end, struct request *r) {
  for (; *list; list = &(*list)->next) {
    if (*list != r) continue;
    *list = r->next;
    if (end && *end == &r->next) *end = list;
    return true;
  }
  return false;
}

static void line_overdue(struct request *r) {
  struct topic *t = r->topic;
  char health[300] = "", why[420];
  if (!unlink_from(&t->requests.no_room, NULL, r))
    unlink_from(&t->requests.line, &t->requests.line_end, r);
  if (t->inst) instance_health(t->inst, health, sizeof health);
  snprintf(why, sizeof why, "no worker took it within %llu ms%s%s",
           (unsigned long long)(r->batch->deadline_ms - r->started_ms), *health ? ": " : "",
           health);
  request_answered(r, 502, why, strlen(why));
  request_free(t->dispatcher, r);
  topic_touch(t);
}

void request_wait(struct topic *t, struct request *r) {
  if (!t->requests.line) t->requests.line_end = &t->requests.line;
  r->next = NULL;
  *t->requests.line_end = r;
  t->requests.line_end = &r->next;
  topic_touch(t);
}

void request_serve(struct topic *t) {
  while (t->requests.line && t->inst) {
    struct request *r = t->requests.line;
    bool bypass = t->pool->circuit_open;
    if (bypass && r->own && t->pool->probing) return; /* one probe at a time */
    if (!bypass && !pool_acquire(t->pool, t)) {
      pool_wake(t->pool); /* another topic may have its turn */
      return;
    }
    t->requests.line = r->next;
    r->bypass = bypass;
    if (r->own && bypass) t->pool->probing = true;
    request_start(r);
    pool_wake(t->pool);
  }
}

void request_ping(struct topic *t) {
  t->ping.due = false;
  struct request *r = t->inst && !t->ping.on_the_way ? request_new(t, REQUEST_PING) : NULL;
  if (!r) return;
  r->own = true;
  t->ping.on_the_way = true;
  request_wait(t, r);
}

void request_refuse(struct topic *t, const char *why) {
  request_room(t);
  while (t->requests.line) {
    struct request *r = t->requests.line;
    t->requests.line = r->next;
    if (r->own) t->ping.on_the_way = false;
    request_answered(r, 502, why, strlen(why));
    request_free(t->dispatcher, r);
  }
}

/* --- jobs --- */

/* A job runs alone at its last attempt: it may end the script or be too large for it, and must not
 * make the other jobs of its request dead. It also runs alone the last time before a "not
 * registered" counts. */
static bool runs_alone(const struct topic *t, const struct job *job) {
  if (job->refused + 1 >= REFUSALS_MAX) return true;
  return job->failed && job->failed + 1u >= (uint64_t)t->set->attempts;
}

/* The next batch of the ready list; expired jobs are put with the dead on the way. */
static void batch_fill(struct topic *t, struct request *r) {
  struct pb_batch *b = r->batch;
  size_t chunk = t->set->transport->caps & PB_CAP_CHUNK ? (size_t)t->set->chunk : 1, bytes = 0;
  uint64_t now = loop_wall_ms(t->loop);
  while (b->n < chunk && t->ready.head && (!b->n || bytes < BATCH_BYTES_MAX)) {
    if (runs_alone(t, t->ready.head)) {
      if (b->n) break;
      chunk = 1;
    }
    struct job *job = job_list_pop(&t->ready);
    if (job->expires_ms && job->expires_ms <= now) {
      outcome_dead(t, t->loop, job, 0, "it expired before it was run (TTL)");
      continue;
    }
    bytes += job->content_len;
    batch_push(b, job);
  }
}

/* How long the jobs at hand, fewer than a chunk, still wait for more jobs. The limit counts from
 * the first of them, whatever comes later. 0: a request may start. */
static uint64_t fill_left(const struct topic *t) {
  if (!t->ready.head || !t->set->chunk_wait_ms) return 0;
  if (t->ready.n >= (size_t)t->set->chunk || t->ready.bytes >= BATCH_BYTES_MAX) return 0;
  if (runs_alone(t, t->ready.head)) return 0;
  uint64_t until = t->ready.head->taken_ms + t->set->chunk_wait_ms;
  uint64_t now = loop_now_ms(t->loop);
  return until > now ? until - now : 0;
}

static bool can_start(const struct topic *t) {
  return t->ready.head && t->requests.running < (size_t)t->set->workers && !t->fetch.first_chunk &&
         !fill_left(t);
}

/* Starts one request. False: nothing was started, and nothing more can be now. */
static bool start_one(struct topic *t) {
  if (!pool_acquire(t->pool, t)) return false;
  struct request *r = request_new(t, REQUEST_JOBS);
  if (r) batch_fill(t, r);
  if (r && r->batch->n) {
    request_start(r);
    return true;
  }
  pool_release(t->pool);
  if (r) request_free(t->dispatcher, r);
  return false;
}

static void fill_timer_set(struct topic *t) {
  uint64_t left = fill_left(t);
  if (left)
    timer_start(&t->requests.fill_timer, left);
  else if (t->set->chunk_wait_ms)
    timer_stop(&t->requests.fill_timer);
}

void request_start_jobs(struct topic *t) {
  while (can_start(t) && !t->requests.full) {
    if (!start_one(t)) {
      pool_wake(t->pool);
      break;
    }
    if (t->requests.full || !t->pool->waiting) continue;
    /* Others wait: one slot, then the end of the line. */
    if (can_start(t)) pool_wait(t->pool, t);
    pool_wake(t->pool);
    break;
  }
  if (t->at_pool.line_prev && !t->requests.line && !can_start(t)) {
    pool_leave(t->pool, t);
    pool_wake(t->pool);
  }
  fill_timer_set(t);
}

/* --- life --- */

static void fill_over(void *arg) {
  topic_touch(arg);
}

void request_begin(struct topic *t) {
  t->requests.run_avg_ms = -1;
  timer_init(&t->requests.fill_timer, t->loop, fill_over, t);
}

void request_end(struct topic *t) {
  timer_done(&t->requests.fill_timer);
  refusals_free(t->requests.refusals);
  t->requests.refusals = NULL;
}

void request_abandon(struct topic *t) {
  for (struct request *r = t->requests.all; r; r = r->next) {
    for (size_t i = 0; r->kind == REQUEST_JOBS && i < r->batch->n; i++) job_free(r->batch->jobs[i]);
    r->batch->n = 0;
    r->over = true;
  }
}

size_t request_unsettled(const struct topic *t) {
  size_t n = 0;
  for (const struct request *r = t->requests.all; r; r = r->next)
    if (!r->over) n += r->batch->n + (r->kind != REQUEST_JOBS && r->answer);
  return n;
}
