/* Owns the counters' names, labels and meanings, which doc/protocol.md lists. The aliases are the
 * names that dashboards of the predecessor read.
 */
#include "metrics/private.h"

#include <string.h>

#define AT(field) offsetof(struct client_counters, field)
const struct counter client_table[CLIENT_COUNTERS] = {
    {AT(connections), "total_connections_received", "connections_total", NULL,
     "Connections accepted on the producers' port."},
    {AT(commands), "total_commands_processed", "commands_total", NULL, "Commands run."},
    {AT(bytes_in), "total_net_input_bytes", "received_bytes_total", NULL, "Bytes from clients."},
    {AT(bytes_out), "total_net_output_bytes", "sent_bytes_total", NULL, "Bytes to clients."},
    {AT(refused_clients), "rejected_connections", "refused_total", "reason=\"max_clients\"",
     "Connections and requests that were refused or cut off, by limit."},
    {AT(refused_auth), "refused_auth", "refused_total", "reason=\"password\"", NULL},
    {AT(refused_auth_rate), "refused_auth_rate", "refused_total", "reason=\"auth_attempts\"", NULL},
    {AT(protocol_errors), "protocol_errors", "refused_total", "reason=\"protocol\"", NULL},
    {AT(over_job_size), "over_job_size", "refused_total", "reason=\"max_job_size\"", NULL},
    {AT(over_arguments), "over_arguments", "refused_total", "reason=\"max_arguments\"", NULL},
    {AT(over_output), "over_output", "refused_total", "reason=\"max_output\"", NULL},
    {AT(over_unauthenticated), "over_unauthenticated", "refused_total",
     "reason=\"unauthenticated\"", NULL},
    {AT(over_auth_time), "over_auth_time", "refused_total", "reason=\"auth_timeout\"", NULL},
    {AT(over_input), "over_input", "refused_total", "reason=\"input\"", NULL},
};
#undef AT

#define AT(field) offsetof(struct queue_counters, field)
const struct counter queue_table[QUEUE_COUNTERS] = {
    {AT(accepted), "accepted", "jobs_accepted_total", NULL,
     "Jobs that were acknowledged to producers."},
    {AT(accepted), NULL, "queue_add_count", NULL, "Alias of jobs_accepted_total."},
    {AT(accepted_bytes), "accepted_bytes", "jobs_accepted_bytes_total", NULL,
     "Bytes of the accepted jobs."},
    {AT(refused), "refused", "jobs_refused_total", NULL, "Jobs refused: queue full, too large."},
    {AT(failed), "failed", "jobs_unstored_total", NULL,
     "Jobs that producers got an error for, because a storage failed."},
};
#undef AT

#define AT(field) offsetof(struct topic_counters, field)
const struct counter topic_table[TOPIC_COUNTERS] = {
    {AT(attempts), "attempts", "jobs_attempts_total", NULL, "Jobs sent to a worker."},
    {AT(requests), "requests", "requests_total", NULL,
     "Requests to workers; each has up to chunk jobs."},
    {AT(done), "done", "jobs_completed_total", NULL, "Jobs that were done."},
    {AT(done), NULL, "job_success_count", NULL, "Alias of jobs_completed_total."},
    {AT(failed), "failed", "jobs_failed_total", NULL, "Failed attempts, for whatever reason."},
    {AT(failed), NULL, "job_fail_count", NULL, "Alias of jobs_failed_total."},
    {AT(lost), "lost", "jobs_doubtful_total", "reason=\"lost\"",
     "Of the failed attempts: outcome unknown."},
    {AT(timeout), "timeout", "jobs_doubtful_total", "reason=\"timeout\"", NULL},
    {AT(retried), "retried", "jobs_retried_total", NULL, "Jobs put into the retry queue."},
    {AT(dead), "dead", "jobs_dead_total", NULL, "Jobs that became dead."},
    {AT(recovered), "recovered", "jobs_redelivered_total", NULL,
     "Jobs taken over after a crash or a restart."},
    {AT(unregistered), "unregistered", "jobs_released_total", "reason=\"unregistered\"",
     "Jobs or requests that went back without an attempt."},
    {AT(unreachable), "unreachable", "jobs_released_total", "reason=\"unreachable\"", NULL},
    {AT(busy), "busy", "jobs_released_total", "reason=\"busy\"", NULL},
};
#undef AT

uint64_t counter_value(const void *counters, const struct counter *c) {
  uint64_t v;
  memcpy(&v, (const char *)counters + c->at, sizeof v);
  return v;
}

bool counter_is_alias(const struct counter *c) {
  return c->help && !strncmp(c->help, "Alias of ", 9);
}
