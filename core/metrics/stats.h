/* Counters of one process: plain numbers that their owners raise, rates that a one-second sample
 * makes of them, and one table that renders them as INFO, JSON and Prometheus text.
 */
#ifndef PB_CORE_STATS_H
#define PB_CORE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct loop;
struct registry;
struct stats;

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

struct stats *stats_new(struct loop *loop, struct registry *reg);
void stats_free(struct stats *s);
/* client_counters live here: listener and clients raise them. */
struct client_counters *stats_clients(struct stats *s);
/* Before rates are shown: they are no older than two seconds then. */
void stats_freshen(struct stats *s);
/* Redis-style INFO text; `section` NULL or "" : all (server, clients, memory, stats, storages,
 * keyspace-like topics). */
void stats_info(struct stats *s, const char *section, size_t section_len, struct buf *out);
/* Prometheus' text format, names of doc/protocol.md, in pieces that take a ms at most. */
struct stats_form {
  bool topics; /* a line for each queue and topic; else their sums, without those labels */
  bool legacy; /* the predecessor's names too */
};
struct stats_text;
struct stats_text *stats_text_new(struct stats *s, struct stats_form form); /* NULL: no memory */
/* Adds the next piece: 1; 0: it was whole; -EAGAIN: topics came or went, start again. */
int stats_text_more(struct stats_text *st, struct buf *out);
void stats_text_free(struct stats_text *st);

#endif
