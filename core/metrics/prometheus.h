/* The counters in Prometheus' text form. */
#ifndef PB_CORE_PROMETHEUS_H
#define PB_CORE_PROMETHEUS_H

#include <stdbool.h>

struct buf;
struct metrics;

/* Prometheus' text format, names of doc/protocol.md, in pieces that take a ms at most. */
struct prometheus_form {
  bool topics; /* a line for each queue and topic; else their sums, without those labels */
  bool legacy; /* the predecessor's names too */
};
struct prometheus_text;
struct prometheus_text *prometheus_new(struct metrics *m,
                                       struct prometheus_form form); /* NULL: no memory */
/* Adds the next piece: 1; 0: it was whole; -EAGAIN: topics came or went, start again. */
int prometheus_more(struct prometheus_text *st, struct buf *out);
void prometheus_free(struct prometheus_text *st);

#endif
