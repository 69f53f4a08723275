/* The condition of an alert: "ready > 10000 for 2m". Pure. */
#ifndef PB_CORE_CONFIG_ALERT_WHEN_H
#define PB_CORE_CONFIG_ALERT_WHEN_H

#include <stddef.h>
#include <stdint.h>

/* Which jobs or parts of the target are counted. */
enum alert_metric {
  ALERT_READY,           /* jobs that wait */
  ALERT_RUNNING,         /* jobs that run */
  ALERT_OLDEST,          /* age of the oldest job that waits or runs, ms */
  ALERT_FAILED,          /* failed attempts of the last minute, over all nodes */
  ALERT_DEAD,            /* dead jobs */
  ALERT_UNREACHABLE,     /* topics whose worker a node cannot reach */
  ALERT_NODE_AWAY,       /* nodes that are known and away */
  ALERT_STORAGE_DOWN,    /* storages that a node cannot use */
  ALERT_REVISION_BEHIND, /* nodes that do not run the newest revision */
  ALERT_METRICS
};
extern const char *const alert_metric_names[ALERT_METRICS]; /* "failed/min" */

struct alert_when {
  enum alert_metric metric;
  uint64_t over; /* jobs, nodes, ...; of ALERT_OLDEST: ms */
  uint64_t for_ms;
};

/* 0, or -EINVAL and a sentence that follows "when = TEXT: ". */
int alert_when_parse(const char *text, struct alert_when *ret, char *ret_why, size_t why_size);

#endif
