/* Owns the topics' figures on Prometheus' page: of each topic, or of all together. */
#include "base/buf.h"
#include "metrics/prometheus_private.h"

#include <stdio.h>
#include <string.h>

/* Upper bound of the bucket within which the q-th part of the answered requests lies. */
static double quantile_ms(const struct topic_counters *c, double q) {
  uint64_t seen = 0;
  for (size_t i = 0; i < RUN_BUCKETS - 1; i++)
    if ((double)(seen += c->run_bucket[i]) >= q * (double)c->run_count)
      return c->run_count ? run_bucket_ms[i] : 0;
  return run_bucket_ms[RUN_BUCKETS - 2];
}

struct family {
  const char *name, *type, *help; /* help NULL: as the one before, told apart by `more` */
  void (*lines)(struct buf *out, const struct family *f, const struct prometheus_view *v);
  const char *more;
  size_t at; /* of a counter, or of a number in struct store_depth */
  bool legacy;
};

static void lines_run_times(struct buf *out, const struct family *f,
                            const struct prometheus_view *v) {
  uint64_t seen = 0;
  (void)f;
  for (size_t i = 0; i < RUN_BUCKETS; i++) {
    char le[32] = "le=\"+Inf\"";
    seen += v->counters.run_bucket[i];
    if (i < RUN_BUCKETS - 1) snprintf(le, sizeof le, "le=\"%g\"", run_bucket_ms[i] / 1000.0);
    prometheus_line(out, "job_exec_seconds_bucket", v->labels, le, (double)seen);
  }
  prometheus_line(out, "job_exec_seconds_sum", v->labels, NULL,
                  (double)v->counters.run_ms_sum / 1000);
  prometheus_line(out, "job_exec_seconds_count", v->labels, NULL, (double)v->counters.run_count);
}

/* Every second bucket is enough for Prometheus, and half as many lines. */
static void lines_wait_times(struct buf *out, const struct family *f,
                             const struct prometheus_view *v) {
  const struct histogram *h = &v->counters.wait;
  uint64_t seen = 0;
  (void)f;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
    char le[40];
    seen += h->bucket[i];
    if (i % 2) continue;
    snprintf(le, sizeof le, "le=\"%.10g\"", (double)histogram_bound_ms(i) / 1000);
    prometheus_line(out, "job_wait_seconds_bucket", v->labels, le, (double)seen);
  }
  prometheus_line(out, "job_wait_seconds_bucket", v->labels, "le=\"+Inf\"", (double)h->count);
  prometheus_line(out, "job_wait_seconds_sum", v->labels, NULL, (double)h->sum_ms / 1000);
  prometheus_line(out, "job_wait_seconds_count", v->labels, NULL, (double)h->count);
}

static void lines_summary(struct buf *out, const struct family *f,
                          const struct prometheus_view *v) {
  const struct topic_counters *c = &v->counters;
  prometheus_line(out, f->name, v->labels, "quantile=\"0.5\"", quantile_ms(c, .5));
  prometheus_line(out, f->name, v->labels, "quantile=\"0.9\"", quantile_ms(c, .9));
  prometheus_line(out, f->name, v->labels, "quantile=\"0.99\"", quantile_ms(c, .99));
  prometheus_line(out, "job_consume_milliseconds_sum", v->labels, NULL, (double)c->run_ms_sum);
  prometheus_line(out, "job_consume_milliseconds_count", v->labels, NULL, (double)c->run_count);
}

static void lines_state(struct buf *out, const struct family *f, const struct prometheus_view *v) {
  for (size_t i = 0; i < TOPIC_STATES; i++) {
    char state[64];
    if (!v->states[i]) continue;
    snprintf(state, sizeof state, "state=\"%s\"", topic_state_names[i]);
    prometheus_line(out, f->name, v->labels, state, (double)v->states[i]);
  }
}

static void lines_number(struct buf *out, const struct family *f, const struct prometheus_view *v) {
  uint64_t n;
  memcpy(&n, (const char *)v + f->at, sizeof n);
  prometheus_line(out, f->name, v->labels, f->more, (double)n);
}

static void lines_depth(struct buf *out, const struct family *f, const struct prometheus_view *v) {
  if (v->seen) lines_number(out, f, v);
}

static void lines_oldest(struct buf *out, const struct family *f, const struct prometheus_view *v) {
  if (v->seen) prometheus_line(out, f->name, v->labels, NULL, v->oldest_s);
}

#define AT(field)    offsetof(struct prometheus_view, field)
#define DEPTH(field) offsetof(struct prometheus_view, depth.field)
static const struct family families[] = {
    {"topic_state", "gauge", "1, with the topic's state.", lines_state, NULL, 0, false},
    {"topic_inflight", "gauge", "Jobs that workers of this node have.", lines_number, NULL,
     AT(inflight), false},
    {"topic_concurrency_limit", "gauge", "Attempts at a time on this node.", lines_number, NULL,
     AT(limit), false},
    {"topic_paused", "gauge", "1: paused by an operator.", lines_number, NULL, AT(paused), false},
    {"topic_breaker_state", "gauge", "1: the worker cannot be reached.", lines_number, NULL,
     AT(closed), false},
    {"job_exec_seconds", "histogram", "Run time of answered requests.", lines_run_times, NULL, 0,
     false},
    {"job_wait_seconds", "histogram", "Time from the acceptance of a job to its first attempt.",
     lines_wait_times, NULL, 0, false},
    {"job_consume_milliseconds", "summary", "The same as a summary, since the start.",
     lines_summary, NULL, 0, true},
    {"topic_jobs", "gauge", "Jobs in the storage, over all nodes, at the last look.", lines_depth,
     "state=\"ready\"", DEPTH(ready), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"running\"", DEPTH(running), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"retry\"", DEPTH(retry), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"dead\"", DEPTH(dead), false},
    /* Figures of a queue, which all of its topics share: shown once for the queue. */
    {"topic_jobs", NULL, NULL, NULL, "state=\"delayed\"", 0, false},
    {"topic_length", "gauge", "Alias of topic_jobs, ready.", lines_depth, NULL, DEPTH(ready), true},
    {"topic_retry_length", "gauge", "Alias of topic_jobs, retry.", lines_depth, NULL, DEPTH(retry),
     true},
    {"topic_timeout_length", "gauge", "Alias of topic_jobs, dead.", lines_depth, NULL, DEPTH(dead),
     true},
    {"topic_oldest_ready_age_seconds", "gauge",
     "Age of the oldest job that is not done, dead or waiting for a retry.", lines_oldest, NULL, 0,
     false},
};
#undef AT
#undef DEPTH

static double oldest_age_s(struct metrics *m, const struct store_depth *d) {
  uint64_t now = loop_wall_ms(m->loop);
  return d->oldest_ms && d->oldest_ms < now ? (double)(now - d->oldest_ms) / 1000 : 0;
}

/* Adds a topic to the sum of all topics. Or, in a view of zeros: the topic alone. */
static void view_add(struct prometheus_view *v, struct metrics *m, const struct topic *t,
                     const struct seen *seen) {
  for (size_t i = 0; i < LENGTH(topic_table); i++) {
    uint64_t sum =
        counter_value(&v->counters, &topic_table[i]) + counter_value(&t->counters, &topic_table[i]);
    if (!counter_is_alias(&topic_table[i]))
      memcpy((char *)&v->counters + topic_table[i].at, &sum, sizeof sum);
  }
  for (size_t i = 0; i < RUN_BUCKETS; i++) v->counters.run_bucket[i] += t->counters.run_bucket[i];
  v->counters.run_ms_sum += t->counters.run_ms_sum;
  v->counters.run_count += t->counters.run_count;
  histogram_merge(&v->counters.wait, &t->counters.wait);
  v->inflight += t->requests.running;
  v->limit += (uint64_t)t->set->workers;
  v->paused += t->paused;
  v->closed += t->state == TOPIC_UNREACHABLE;
  v->states[t->state]++;
  if (!seen || !seen->at_ms) return;
  double oldest = oldest_age_s(m, &seen->depth);
  v->seen = true;
  v->depth.ready += seen->depth.ready;
  v->depth.running += seen->depth.running;
  v->depth.retry += seen->depth.retry;
  v->depth.dead += seen->depth.dead;
  if (t->queue->n_topics && t->queue->topics[0] == t) v->depth.delayed += seen->depth.delayed;
  if (oldest > v->oldest_s) v->oldest_s = oldest;
}

static void family_lines(struct buf *out, size_t family, const struct prometheus_view *v) {
  if (family < LENGTH(topic_table)) {
    const struct counter *c = &topic_table[family];
    prometheus_line(out, c->metric, v->labels, c->label, (double)counter_value(&v->counters, c));
    return;
  }
  const struct family *f = &families[family - LENGTH(topic_table)];
  if (f->lines)
    f->lines(out, f, v);
  else if (!*v->labels && v->seen) /* delayed, of all queues */
    prometheus_line(out, f->name, "", f->more, (double)v->depth.delayed);
}

static void family_head(struct buf *out, size_t family) {
  if (family < LENGTH(topic_table)) {
    prometheus_counter_head(out, &topic_table[family]);
    return;
  }
  const struct family *f = &families[family - LENGTH(topic_table)];
  if (f->help) prometheus_head(out, f->name, f->type, f->help);
}

static bool family_legacy(size_t family) {
  return family < LENGTH(topic_table) ? counter_is_alias(&topic_table[family])
                                      : families[family - LENGTH(topic_table)].legacy;
}

/* One family's lines of one topic. */
static void topic_lines(struct prometheus_text *st, struct buf *out, const struct topic *t,
                        const struct seen *seen) {
  const struct family *f =
      st->family < LENGTH(topic_table) ? NULL : &families[st->family - LENGTH(topic_table)];
  if (f && !f->lines) {
    char labels[NAME_LEN_MAX + 16];
    if (!seen || !seen->at_ms || !t->queue->n_topics || t->queue->topics[0] != t) return;
    snprintf(labels, sizeof labels, "queue=\"%s\"", t->set->queue->name);
    prometheus_line(out, f->name, labels, f->more, (double)seen->depth.delayed);
    return;
  }
  struct prometheus_view *v = &st->view;
  if (f) {
    memset(v, 0, offsetof(struct prometheus_view, labels));
    view_add(v, st->metrics, t, seen);
  } else { /* most lines: a counter */
    memcpy((char *)&v->counters + topic_table[st->family].at,
           (const char *)&t->counters + topic_table[st->family].at, sizeof(uint64_t));
  }
  snprintf(v->labels, sizeof v->labels, "queue=\"%s\",topic=\"%s\"", t->set->queue->name,
           t->set->name);
  family_lines(out, st->family, v);
}

/* All together: the topics are added up first, some at a time, then all families follow. */
static bool totals_next(struct prometheus_text *st, struct buf *out, struct topic *const *topics,
                        size_t n) {
  size_t end = n - st->at > 1000 ? st->at + 1000 : n;
  for (; st->at < end; st->at++)
    view_add(&st->view, st->metrics, topics[st->at], depths_seen(st->metrics->depths, st->at));
  if (st->at < n) return false;
  for (size_t k = 0; k < LENGTH(topic_table) + LENGTH(families); k++) {
    if (family_legacy(k) && !st->form.legacy) continue;
    family_head(out, k);
    family_lines(out, k, &st->view);
  }
  return true;
}

bool prometheus_topics(struct prometheus_text *st, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(st->metrics->reg, &n);
  if (!n) return true;
  if (!st->form.topics) return totals_next(st, out, topics, n);
  if (!family_legacy(st->family) || st->form.legacy) {
    if (!st->at) family_head(out, st->family);
    for (; st->at < n && out->len < PROMETHEUS_PIECE; st->at++)
      topic_lines(st, out, topics[st->at], depths_seen(st->metrics->depths, st->at));
    if (st->at < n) return false;
  }
  st->at = 0;
  return ++st->family == LENGTH(topic_table) + LENGTH(families);
}
