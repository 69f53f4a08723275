/* Counters of one process: plain numbers that their owners raise, and rates that a one-second
 * sample makes of them. info.h and prometheus.h show them.
 */
#ifndef PB_CORE_METRICS_H
#define PB_CORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct registry;
struct metrics;

struct client_counters {
  uint64_t connections; /* accepted ever */
  uint64_t open;        /* now */
  uint64_t commands;
  uint64_t bytes_in, bytes_out;
  uint64_t refused_clients;   /* over max_clients */
  uint64_t refused_auth;      /* wrong password */
  uint64_t refused_auth_rate; /* too many attempts */
  uint64_t protocol_errors;
  uint64_t over_job_size, over_arguments, over_output, over_unauthenticated, over_auth_time;
  uint64_t over_input; /* half-sent requests held too much together */
};

struct metrics *metrics_new(struct loop *loop, struct registry *reg);
void metrics_free(struct metrics *m);
/* client_counters live here: listener and clients raise them. */
struct client_counters *metrics_clients(struct metrics *m);
/* Before rates are shown: they are no older than two seconds then. */
void metrics_freshen(struct metrics *m);

#endif
