/* Owns the way from a worker's answer to the outcome of each job.
 *
 * "Cannot reach the worker" (pool_unreachable) and "the worker said no" (job_verdicts) share no
 * code.
 */
#include "dispatch/request_jobs.h"

#include "dispatch/outcome.h"
#include "dispatch/pool.h"
#include "dispatch/private.h"
#include "dispatch/ready.h"
#include "dispatch/refusals.h"
#include "dispatch/request.h"
#include "dispatch/request_answer.h"
#include "dispatch/topic.h"
#include "dispatch/worker_ping.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>

void request_jobs_back(struct request *r) {
  ready_back(r->topic, r->batch->jobs, r->batch->n);
  r->batch->n = 0;
}

/* The job was attempted: how long it waited for its first attempt. */
static void waited(const struct request *r, const struct job *job) {
  uint64_t now = r->batch->now_unix_ms;
  struct id_parts id;
  if (job->failed || job->crashes) return;
  id_decode(job->id, &id);
  histogram_add(&r->topic->counters.wait, now > id.unix_ms ? now - id.unix_ms : 0);
}

void request_jobs_failed(struct request *r, int code, const char *message, size_t len) {
  struct topic *t = r->topic;
  for (size_t i = 0; i < r->batch->n; i++) {
    waited(r, r->batch->jobs[i]);
    topic_due_at(t, outcome_failed(t, t->loop, r->batch->jobs[i], code, message, len));
  }
  r->batch->n = 0;
}

/* Those jobs of the request for which it was one "not registered" too many, though pings passed in
 * between, failed by it: else they would go round for ever. The others stay in the batch. */
static void jobs_refused(struct request *r, size_t first, const char *why) {
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
    if (i < first && refusals_add(&t->requests.refusals, job)) {
      topic_due_at(t, outcome_failed(t, t->loop, job, WORKER_UNREGISTERED, message, (size_t)n));
    } else {
      b->jobs[kept++] = job;
    }
  }
  b->n = kept;
  t->counters.unregistered += kept;
}

/* None of the request's jobs was run: the worker does not register the topic. */
static void jobs_unregistered(struct request *r, const char *why) {
  struct topic *t = r->topic;
  jobs_refused(r, r->batch->n, why);
  bool closes = r->batch->n > 0; /* else it was about these jobs, and the next may be welcome */
  request_jobs_back(r);
  if (closes && r->inst == t->inst) worker_ping_told(t, WORKER_UNREGISTERED, why);
}

/* The worker answered: applies its verdict to each job. A 404 for some jobs of a chunk means that
 * they were not run, because a job before them ended the script. These jobs go back, nothing is
 * counted, and the topic continues. A 404 for a job that no other job stands before has no such
 * excuse. A 404 for all jobs means that the topic is not registered. */
static void job_verdicts(struct request *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  struct pb_batch *b = r->batch;
  struct request_verdict one = {0}, *v = b->n == 1 ? &one : calloc(b->n, sizeof *v);
  if (!v) {
    request_jobs_failed(r, 0, "out of memory", 13);
    return;
  }
  request_answer_jobs(res, (const char(*)[ID_TEXT_MAX])b->ids, b->n, v);
  size_t n = b->n, back = 0, first = 0;
  for (size_t i = 0; i < n; i++) {
    struct job *job = b->jobs[i];
    if (v[i].code != WORKER_UNREGISTERED) waited(r, job);
    if (v[i].code == WORKER_OK) {
      outcome_done(t, job);
    } else if (v[i].code == WORKER_UNREGISTERED) {
      if (back == i) first++;
      b->jobs[back++] = job;
    } else {
      topic_due_at(t, outcome_failed(t, t->loop, job, v[i].code, v[i].message ? v[i].message : "",
                                     v[i].message_len));
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
  request_jobs_back(r);
}

void request_jobs_ended(struct request *r, const struct pb_result *res) {
  struct topic *t = r->topic;
  uint64_t now = loop_now_ms(t->loop), took = now - r->started_ms;
  size_t len;
  const char *why = request_answer_reason(res, &len);
  char message[400], shown[301];
  switch (res->outcome) {
  case PB_ANSWERED:
    counters_run_time(&t->counters, took);
    sched_batch_answer(&t->dispatcher->sched_batch, now, took);
    t->requests.run_avg_ms = t->requests.run_avg_ms < 0
                                 ? (double)took
                                 : t->requests.run_avg_ms * 0.9 + (double)took * 0.1;
    pool_reachable(r->pool);
    if (r->pool->automatic) pool_took(r->pool, &t->requests.usual, took, loop_now_ms(t->loop));
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
    request_jobs_back(r);
    pool_unreachable(r->pool, why, len);
    return;
  case PB_BUSY:
    t->counters.busy++;
    request_jobs_back(r);
    pool_busy(r->pool, t, res->retry_after_ms, why, len);
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
  request_jobs_failed(r, 0, why, len);
}
