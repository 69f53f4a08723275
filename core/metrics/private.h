/* What the files of metrics/ share. Nobody else includes this.
 *
 * metrics.c          the counters that have no other owner, and the rates
 * info.c             INFO
 * prometheus.c       Prometheus' text
 * counter_tables.c   each counter's names, once for both
 * depths.c           what the storages hold
 * process.c          CPU time, memory and load
 */
#ifndef PB_CORE_METRICS_PRIVATE_H
#define PB_CORE_METRICS_PRIVATE_H

#include "dispatch/counters.h"
#include "event/loop.h"
#include "metrics/depths.h"
#include "metrics/metrics.h"
#include "registry/registry.h"
#include "storage/store.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

#define SAMPLE_MS     1000
#define LENGTH(table) (sizeof(table) / sizeof *(table))

struct metrics {
  struct loop *loop;
  struct registry *reg;
  struct depths *depths;
  struct client_counters clients;
  struct timer sample;
  uint64_t started_ms, sampled_ms; /* monotonic */
  /* CPU use between two looks at least a second apart. */
  uint64_t cpu_ms, cpu_at_ms;
  double cpu_percent;
};

/* --- counter_tables.c --- */

struct counter {
  size_t at;
  const char *info;   /* name in INFO; NULL: not there */
  const char *metric; /* without "pepperbus_"; neighbours with the same name differ in `label` */
  const char *label;  /* further label, or NULL */
  const char *help;
};

#define CLIENT_COUNTERS 14
#define QUEUE_COUNTERS  5
#define TOPIC_COUNTERS  14
extern const struct counter client_table[CLIENT_COUNTERS]; /* of struct client_counters */
extern const struct counter queue_table[QUEUE_COUNTERS];   /* of struct queue_counters */
extern const struct counter topic_table[TOPIC_COUNTERS];   /* of struct topic_counters */
uint64_t counter_value(const void *counters, const struct counter *c);
bool counter_is_alias(const struct counter *c); /* a name of the predecessor's */

/* --- process.c --- */

uint64_t process_cpu_ms(void);
double process_cpu_percent(struct metrics *m); /* of one core, between two looks */
double process_memory_percent(void);
double process_load_average(void);

#endif
