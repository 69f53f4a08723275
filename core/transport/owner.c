/* Owns the core's data about each object of a plugin: its label in the log, its figures, its slow
 * calls.
 */
#include "transport/private.h"

#include "base/log.h"

#include <stdlib.h>

void owner_slow_call(struct pb_owner *o, uint64_t took_ms, const char *what) {
  log_warning(loop_log(o->tr->loop), o->label,
              "%s took %llu ms and held up everything else; a transport must not block", what,
              (unsigned long long)took_ms);
}

/* --- figures --- */

static const struct pb_metric *metric_at(const struct pb_transport *d, size_t i) {
  if (!d->metrics || d->metric_size < sizeof(struct pb_metric)) return NULL;
  return (const struct pb_metric *)(const void *)((const char *)d->metrics + i * d->metric_size);
}

size_t transport_metrics(const struct pb_transport *d) {
  const struct pb_metric *m;
  size_t n = 0;
  while ((m = metric_at(d, n)) && m->name) n++;
  return n;
}

const struct pb_metric *transport_metric(const struct pb_transport *d, size_t i) {
  return metric_at(d, i);
}

bool owner_init(struct pb_owner *o, struct transports *tr, const struct pb_transport *d) {
  size_t n = transport_metrics(d);
  o->tr = tr;
  o->desc = d;
  o->figures = n ? calloc(n, sizeof *o->figures) : NULL;
  return o->figures || !n;
}
