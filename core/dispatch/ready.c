/* Owns the list of jobs at hand. If the topic is not open, its jobs wait for a while. Then they go
 * back to the storage, for other nodes.
 */
#include "dispatch/ready.h"

#include "dispatch/outcome.h"
#include "dispatch/refusals.h"
#include "dispatch/topic.h"
#include "dispatch/topic_state.h"

#include <stdio.h>

#define HELD_MAX_MS 5000

static void give_back_due(void *arg) {
  struct topic *t = arg;
  t->giving_back = false;
  if (t->state != TOPIC_OPEN) ready_give_back(t);
}

void ready_begin(struct topic *t) {
  timer_init(&t->give_back_timer, t->loop, give_back_due, t);
}

void ready_end(struct topic *t) {
  timer_done(&t->give_back_timer);
}

static void crashed_too_often(struct topic *t, struct job *job) {
  char why[160];
  snprintf(why, sizeof why,
           "it was running when a node ended, %u times; it is not tried again by itself (crashes = "
           "%lld)",
           job->crashes, (long long)t->set->crashes);
  outcome_dead(t, t->loop, job, 0, why);
  if (!t->quarantine_ms) t->quarantine_ms = loop_wall_ms(t->loop);
}

static void released(struct topic *t, struct job *job) {
  outcome_released(t, t->loop, job);
  topic_due_at(t, loop_wall_ms(t->loop));
}

/* By the facts, for the state follows at the end of the turn. */
static bool may_keep(const struct topic *t) {
  return !t->draining && !t->paused && t->set->enabled && t->set->here && !topic_pulls(t);
}

void ready_arrived(struct topic *t, struct job_list *jobs) {
  struct job *job;
  if (jobs->n) topic_touch(t);
  if (!t->store) { /* the broker stops: only the storage's record of the jobs counts */
    while ((job = job_list_pop(jobs))) job_free(job);
    return;
  }
  while ((job = job_list_pop(jobs))) {
    if (job->crashes >= (uint64_t)t->set->crashes && job->crashes) {
      crashed_too_often(t, job);
    } else if (!may_keep(t)) {
      released(t, job);
    } else {
      job->taken_ms = loop_now_ms(t->loop);
      if (t->requests.refusals) refusals_recall(t->requests.refusals, job);
      job_list_push(&t->ready, job);
    }
  }
}

void ready_back(struct topic *t, struct job **jobs, size_t n) {
  while (n-- > 0) {
    job_set_state(jobs[n], JOB_TAKEN);
    job_list_push_front(&t->ready, jobs[n]);
  }
  topic_touch(t);
}

void ready_give_back(struct topic *t) {
  struct job *job;
  while ((job = job_list_pop(&t->ready))) released(t, job);
}

void ready_drop(struct topic *t) {
  struct job *job;
  while ((job = job_list_pop(&t->ready))) job_free(job);
}

void ready_by_state(struct topic *t) {
  bool waits = t->state != TOPIC_OPEN && t->ready.n;
  if (waits && topic_state_gives_back(t)) {
    ready_give_back(t);
    waits = false;
  }
  if (waits == t->giving_back) return;
  t->giving_back = waits;
  if (waits)
    timer_start(&t->give_back_timer, HELD_MAX_MS);
  else
    timer_stop(&t->give_back_timer);
}
