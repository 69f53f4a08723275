/* An instance of the exec plugin: one topic, in one of its three modes.
 *
 * once.c        a process for each request
 * resident.c    processes that stay and are asked line by line
 * pull.c        processes that take their jobs themselves
 *
 * exec.c makes them by the topic's keys and hands the host's calls on.
 */
#ifndef PB_EXEC_MODE_H
#define PB_EXEC_MODE_H

#include "exec_conf.h"

#include <stdbool.h>

#define SCRATCH_SIZE (64 * 1024)
#define STDERR_MAX   (8 * 1024) /* of standard error, kept for an error's message */

/* Figures, in the order of exec.c's table. */
enum exec_metric { METRIC_SPAWNED, METRIC_RESTARTS, METRIC_KILLED, METRIC_NOISE, METRIC_PROCESSES };

struct plugin {
  const struct pb_host *h;
  struct pb_owner *o;
  char *scratch; /* SCRATCH_SIZE, for one read at a time */
  struct spawner *spawner;
};

struct mode;

/* Lines of workers in the log: so many a second, the rest is counted. */
struct log_budget {
  uint64_t window_ms;
  unsigned lines, left_out;
};

/* The first member of each mode's own struct. */
struct instance {
  const struct mode *mode;
  struct plugin *plugin;
  struct pb_owner *o;
  const struct pb_topic_info *topic;
  const struct exec_conf *conf;
  struct launch *launch; /* one of our references */
  struct log_budget budget;
  char path[260]; /* "queue/topic" */
};

struct mode {
  size_t size; /* the size of its struct */
  /* The common part is filled already. 0 or -errno with err. */
  int (*start)(struct instance *in, struct pb_err *err);
  int (*submit)(struct instance *in, const struct pb_batch *b, pb_ticket t, struct pb_err *err);
  void (*cancel)(struct instance *in, pb_ticket t);
  void (*drain)(struct instance *in);
  void (*destroy)(struct instance *in); /* all but the common part */
  int (*health)(struct instance *in, char *ret, size_t size);
};

extern const struct mode mode_once, mode_resident, mode_pull;

/* Logs a line about or of a worker, within the instance's budget. */
void instance_log(struct instance *in, enum pb_log_level level, const char *fmt, ...)
    PB_PRINTF(3, 4);

static inline void instance_count(struct instance *in, enum exec_metric m, double value) {
  in->plugin->h->metric(in->o, m, value);
}

#endif
