/* Owns the text that Prometheus reads. One table has the names of each counter here and in INFO. */
#include "metrics/prometheus.h"

#include "base/buf.h"
#include "base/log.h"
#include "event/memory.h"
#include "metrics/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The figures of one topic, or of all topics together. */
struct view {
  struct topic_counters counters;
  uint64_t inflight, limit, paused, closed;
  uint64_t states[TOPIC_STATES];
  bool seen; /* the storage has told */
  struct store_depth depth;
  double oldest_s;
  char labels[2 * NAME_LEN_MAX + 32]; /* "" for all together */
};

struct prometheus_text {
  struct metrics *metrics;
  struct prometheus_form form;
  uint64_t generation;
  size_t part, family, at;
  struct view view;
};

#define PIECE (32u << 10)

static void metric_head(struct buf *out, const char *name, const char *type, const char *help) {
  buf_printf(out, "# HELP pepperbus_%s %s\n# TYPE pepperbus_%s %s\n", name, help, name, type);
}

static void number(struct buf *out, double v) {
  if (v >= 0 && v < 9e15 && v == (double)(uint64_t)v)
    buf_add_u64(out, (uint64_t)v);
  else
    buf_printf(out, "%.15g", v);
}

/* A scrape has thousands of lines: no printf() for plain text. */
static void line(struct buf *out, const char *name, const char *labels, const char *more,
                 double v) {
  buf_add_text(out, "pepperbus_");
  buf_add_text(out, name);
  if (*labels || more) {
    buf_add(out, "{", 1);
    buf_add_text(out, labels);
    if (*labels && more) buf_add(out, ",", 1);
    if (more) buf_add_text(out, more);
    buf_add(out, "}", 1);
  }
  buf_add(out, " ", 1);
  number(out, v);
  buf_add(out, "\n", 1);
}

static void gauge(struct buf *out, const char *name, const char *help, double v) {
  metric_head(out, name, "gauge", help);
  line(out, name, "", NULL, v);
}

static void counter_head(struct buf *out, const struct counter *c) {
  if (c->help) metric_head(out, c->metric, "counter", c->help);
}

/* Each part writes its next piece; true: that was the last. */

static bool part_process(struct prometheus_text *st, struct buf *out) {
  struct metrics *m = st->metrics;
  const struct settings *set = registry_settings(m->reg);
  metric_head(out, "build_info", "gauge", "1, with the version and the node's name.");
  buf_printf(out, "pepperbus_build_info{version=\"" PACKAGE_VERSION "\",node=\"");
  if (set) buf_add_json(out, set->server.node, strlen(set->server.node));
  buf_add_text(out, "\"} 1\n");
  gauge(out, "uptime_seconds", "Since the start.",
        (double)(loop_now_ms(m->loop) - m->started_ms) / 1000);
  gauge(out, "memory_bytes", "Resident memory of the broker.", (double)memory_resident());
  metric_head(out, "cpu_seconds_total", "counter", "CPU time of the broker.");
  buf_printf(out, "pepperbus_cpu_seconds_total %.3f\n", (double)process_cpu_ms() / 1000);
  metric_head(out, "log_dropped_total", "counter",
              "Log lines dropped because the log could not be written.");
  buf_printf(out, "pepperbus_log_dropped_total %" PRIu64 "\n", log_dropped(loop_log(m->loop)));
  gauge(out, "loop_turn_cpu_seconds_max", "CPU time of the event loop's longest turn so far.",
        (double)loop_turn_max_us(m->loop) / 1e6);
  if (st->form.legacy) {
    gauge(out, "cpu_usage", "Percent of a core that the broker uses.", process_cpu_percent(m));
    gauge(out, "mem_usage", "Percent of the machine's memory that the broker uses.",
          process_memory_percent());
    gauge(out, "load_average", "Of the machine, over a minute.", process_load_average());
  }
  gauge(out, "clients", "Connections on the producers' port.", (double)m->clients.open);
  return true;
}

static bool part_clients(struct prometheus_text *st, struct buf *out) {
  for (size_t i = 0; i < LENGTH(client_table); i++) {
    const struct counter *c = &client_table[i];
    counter_head(out, c);
    line(out, c->metric, "", c->label, (double)counter_value(&st->metrics->clients, c));
  }
  return true;
}

static bool part_storages(struct prometheus_text *st, struct buf *out) {
  static const struct {
    const char *name, *type, *help;
  } table[] = {
      {"storage_up", "gauge", "1: jobs can be stored."},
      {"storage_commands_total", "counter", "Commands sent."},
      {"storage_in_flight", "gauge", "Commands on the way."},
      {"storage_reconnects_total", "counter", "Connections that were made again."},
      {"storage_unknown_total", "counter", "Commands whose outcome is not known."},
      {"storage_late_total", "counter",
       "Outcomes refused because another node had taken the jobs over."},
      {"storage_rtt_seconds", "gauge", "Time of a recent command."},
  };
  size_t n;
  struct store *const *stores = registry_stores(st->metrics->reg, &n);
  for (size_t k = 0; n && k < LENGTH(table); k++) {
    metric_head(out, table[k].name, table[k].type, table[k].help);
    for (size_t i = 0; i < n; i++) {
      struct store_stats now = {0};
      store_stats(stores[i], &now);
      const double values[LENGTH(table)] = {store_state(stores[i]) == STORE_READY,
                                            (double)now.commands,
                                            (double)now.in_flight,
                                            (double)now.reconnects,
                                            (double)now.unknown,
                                            (double)now.late,
                                            (double)now.rtt_us / 1e6};
      buf_printf(out, "pepperbus_%s{storage=\"%s\"} %.10g\n", table[k].name, store_name(stores[i]),
                 values[k]);
    }
  }
  return true;
}

static bool part_queues(struct prometheus_text *st, struct buf *out) {
  size_t n;
  struct queue *const *queues = registry_queues(st->metrics->reg, &n);
  const struct counter *c = &queue_table[st->family];
  if (!n) return true;
  if (!counter_is_alias(c) || st->form.legacy) {
    uint64_t all = 0;
    if (!st->at) counter_head(out, c);
    for (; st->at < n && out->len < PIECE; st->at++) {
      char labels[NAME_LEN_MAX + 16];
      uint64_t v = counter_value(&queues[st->at]->counters, c);
      all += v;
      if (!st->form.topics) continue;
      snprintf(labels, sizeof labels, "queue=\"%s\"", queues[st->at]->set->name);
      line(out, c->metric, labels, NULL, (double)v);
    }
    if (st->at < n) return false;
    if (!st->form.topics) line(out, c->metric, "", NULL, (double)all);
  }
  st->at = 0;
  return ++st->family == LENGTH(queue_table);
}

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
  void (*lines)(struct buf *out, const struct family *f, const struct view *v);
  const char *more;
  size_t at; /* of a counter, or of a number in struct store_depth */
  bool legacy;
};

static void lines_run_times(struct buf *out, const struct family *f, const struct view *v) {
  uint64_t seen = 0;
  (void)f;
  for (size_t i = 0; i < RUN_BUCKETS; i++) {
    char le[32] = "le=\"+Inf\"";
    seen += v->counters.run_bucket[i];
    if (i < RUN_BUCKETS - 1) snprintf(le, sizeof le, "le=\"%g\"", run_bucket_ms[i] / 1000.0);
    line(out, "job_exec_seconds_bucket", v->labels, le, (double)seen);
  }
  line(out, "job_exec_seconds_sum", v->labels, NULL, (double)v->counters.run_ms_sum / 1000);
  line(out, "job_exec_seconds_count", v->labels, NULL, (double)v->counters.run_count);
}

static void lines_summary(struct buf *out, const struct family *f, const struct view *v) {
  const struct topic_counters *c = &v->counters;
  line(out, f->name, v->labels, "quantile=\"0.5\"", quantile_ms(c, .5));
  line(out, f->name, v->labels, "quantile=\"0.9\"", quantile_ms(c, .9));
  line(out, f->name, v->labels, "quantile=\"0.99\"", quantile_ms(c, .99));
  line(out, "job_consume_milliseconds_sum", v->labels, NULL, (double)c->run_ms_sum);
  line(out, "job_consume_milliseconds_count", v->labels, NULL, (double)c->run_count);
}

static void lines_state(struct buf *out, const struct family *f, const struct view *v) {
  for (size_t i = 0; i < TOPIC_STATES; i++) {
    char state[64];
    if (!v->states[i]) continue;
    snprintf(state, sizeof state, "state=\"%s\"", topic_state_names[i]);
    line(out, f->name, v->labels, state, (double)v->states[i]);
  }
}

static void lines_number(struct buf *out, const struct family *f, const struct view *v) {
  uint64_t n;
  memcpy(&n, (const char *)v + f->at, sizeof n);
  line(out, f->name, v->labels, f->more, (double)n);
}

static void lines_depth(struct buf *out, const struct family *f, const struct view *v) {
  if (v->seen) lines_number(out, f, v);
}

static void lines_oldest(struct buf *out, const struct family *f, const struct view *v) {
  if (v->seen) line(out, f->name, v->labels, NULL, v->oldest_s);
}

#define AT(field)    offsetof(struct view, field)
#define DEPTH(field) offsetof(struct view, depth.field)
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
static void view_add(struct view *v, struct metrics *m, const struct topic *t,
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

static void family_lines(struct buf *out, size_t family, const struct view *v) {
  if (family < LENGTH(topic_table)) {
    const struct counter *c = &topic_table[family];
    line(out, c->metric, v->labels, c->label, (double)counter_value(&v->counters, c));
    return;
  }
  const struct family *f = &families[family - LENGTH(topic_table)];
  if (f->lines)
    f->lines(out, f, v);
  else if (!*v->labels && v->seen) /* delayed, of all queues */
    line(out, f->name, "", f->more, (double)v->depth.delayed);
}

static void family_head(struct buf *out, size_t family) {
  if (family < LENGTH(topic_table)) {
    counter_head(out, &topic_table[family]);
    return;
  }
  const struct family *f = &families[family - LENGTH(topic_table)];
  if (f->help) metric_head(out, f->name, f->type, f->help);
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
    line(out, f->name, labels, f->more, (double)seen->depth.delayed);
    return;
  }
  struct view *v = &st->view;
  if (f) {
    memset(v, 0, offsetof(struct view, labels));
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

static bool part_topics(struct prometheus_text *st, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(st->metrics->reg, &n);
  if (!n) return true;
  if (!st->form.topics) return totals_next(st, out, topics, n);
  if (!family_legacy(st->family) || st->form.legacy) {
    if (!st->at) family_head(out, st->family);
    for (; st->at < n && out->len < PIECE; st->at++)
      topic_lines(st, out, topics[st->at], depths_seen(st->metrics->depths, st->at));
    if (st->at < n) return false;
  }
  st->at = 0;
  return ++st->family == LENGTH(topic_table) + LENGTH(families);
}

static void stray_lines(struct buf *out, const char *storage, const struct store_stray *s) {
  const struct {
    const char *place;
    uint64_t n;
  } places[] = {
      {"ready", s->ready}, {"running", s->running}, {"retry", s->retry}, {"dead", s->dead}};
  for (size_t i = 0; i < LENGTH(places); i++)
    buf_printf(
        out,
        "pepperbus_stray_jobs{storage=\"%s\",queue=\"%s\",topic=\"%s\",place=\"%s\"} %" PRIu64 "\n",
        storage, s->queue, s->topic, places[i].place, places[i].n);
}

/* Names come from a storage; what could not be a configured one is left out. */
static bool stray_plain(const struct store_stray *s) {
  return !strpbrk(s->queue, "\"\\\n") && !strpbrk(s->topic, "\"\\\n");
}

static bool part_strays(struct prometheus_text *st, struct buf *out) {
  size_t n, k, seen = 0;
  struct store *const *stores = registry_stores(st->metrics->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_stray *strays = store_strays(stores[i], &k);
    for (size_t at = 0; at < k; at++, seen++) {
      if (seen < st->at) continue;
      if (!st->at)
        metric_head(out, "stray_jobs", "gauge",
                    "Jobs of topics that are not configured for their storage, at the last look.");
      if (stray_plain(&strays[at])) stray_lines(out, store_name(stores[i]), &strays[at]);
      st->at = seen + 1;
      if (out->len >= PIECE) return false;
    }
  }
  return true;
}

static bool (*const parts[])(struct prometheus_text *st, struct buf *out) = {
    part_process, part_clients, part_storages, part_queues, part_strays, part_topics};

struct prometheus_text *prometheus_new(struct metrics *m, struct prometheus_form form) {
  struct prometheus_text *st = calloc(1, sizeof *st);
  if (!st) return NULL;
  st->metrics = m;
  st->form = form;
  st->generation = registry_generation(m->reg);
  (void)depths_now(m);
  return st;
}

int prometheus_more(struct prometheus_text *st, struct buf *out) {
  if (st->generation != registry_generation(st->metrics->reg)) return -EAGAIN;
  if (st->part == LENGTH(parts)) return 0;
  if (parts[st->part](st, out)) {
    st->part++;
    st->family = st->at = 0;
    memset(&st->view, 0, sizeof st->view);
  }
  return 1;
}

void prometheus_free(struct prometheus_text *st) {
  free(st);
}
