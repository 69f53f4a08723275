/* Owns the process's counters that have no other owner, and the one-second sample that makes rates
 * of counters.
 */
#include "metrics/metrics.h"

#include "base/log.h"
#include "metrics/private.h"

#include <math.h>
#include <stdlib.h>

#define STALE_MS   5000
#define SMOOTH     0.181269 /* 1 - exp(-1/5): of a second's sample in a mean over about 5 s */
#define RATE_LEAST 0.005

/* A change longer ago than STALE_MS is no part of a rate, however large it was. */
static void sample(double *rate, uint64_t *last, uint64_t *moved_ms, uint64_t now, uint64_t at_ms,
                   uint64_t elapsed) {
  if (now == *last && *rate == 0) return;
  double seconds = (double)(elapsed ? elapsed : 1) / 1000;
  double weight = elapsed >= STALE_MS ? 1 : 1 - pow(1 - SMOOTH, seconds);
  *rate += weight * ((double)(now - *last) / seconds - *rate);
  if (now != *last) *moved_ms = at_ms;
  if (*rate < RATE_LEAST || at_ms - *moved_ms >= STALE_MS) *rate = 0;
  *last = now;
}

/* An idle topic costs the look at its counters; nothing is written. */
static void on_sample(void *arg) {
  struct metrics *m = arg;
  uint64_t now = loop_now_ms(m->loop), elapsed = now - m->sampled_ms;
  size_t n;
  struct queue *const *queues = registry_queues(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct rates *r = &queues[i]->rates;
    sample(&r->accepted, &r->last_accepted, &r->moved_ms[0], queues[i]->counters.accepted, now,
           elapsed);
  }
  struct topic *const *topics = registry_topics(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct rates *r = &topics[i]->rates;
    sample(&r->done, &r->last_done, &r->moved_ms[1], topics[i]->counters.done, now, elapsed);
    sample(&r->failed, &r->last_failed, &r->moved_ms[2], topics[i]->counters.failed, now, elapsed);
  }
  m->sampled_ms = now;
  log_flush(loop_log(m->loop));
  timer_start(&m->sample, SAMPLE_MS);
}

/* The process, or the machine, may have stood still since. */
void metrics_freshen(struct metrics *m) {
  if (loop_now_ms(m->loop) - m->sampled_ms >= 2 * SAMPLE_MS) on_sample(m);
}

struct metrics *metrics_new(struct loop *loop, struct registry *reg) {
  struct metrics *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->loop = loop;
  m->reg = reg;
  m->started_ms = m->sampled_ms = loop_now_ms(loop);
  timer_init(&m->sample, loop, on_sample, m);
  timer_start(&m->sample, SAMPLE_MS);
  return m;
}

void metrics_free(struct metrics *m) {
  if (!m) return;
  timer_done(&m->sample);
  depths_drop(m);
  free(m);
}

struct client_counters *metrics_clients(struct metrics *m) {
  return &m->clients;
}
