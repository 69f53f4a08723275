/* The parts that the files of Prometheus' page share. Nobody else includes this. */
#ifndef PB_CORE_METRICS_PROMETHEUS_PRIVATE_H
#define PB_CORE_METRICS_PROMETHEUS_PRIVATE_H

#include "metrics/private.h"
#include "metrics/prometheus.h"

struct buf;

#define PROMETHEUS_PIECE (32u << 10) /* bytes: then a part goes on in the next piece */

/* The figures of one topic, or of all topics together. */
struct prometheus_view {
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
  struct prometheus_view view;
};

/* prometheus_line.c */
void prometheus_head(struct buf *out, const char *name, const char *type, const char *help);
void prometheus_counter_head(struct buf *out, const struct counter *c);
/* One line. `labels`: "" for none; `more`: a further label, or NULL. */
void prometheus_line(struct buf *out, const char *name, const char *labels, const char *more,
                     double v);

/* prometheus_topics.c: writes the next piece of the topics' figures; true: that was the last. */
bool prometheus_topics(struct prometheus_text *st, struct buf *out);

#endif
