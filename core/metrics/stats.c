/* Owns the process's counters that have no other owner, the one-second sample that makes rates of
 * counters, and what INFO and /metrics say. Each counter stands in one table for both.
 *
 * Names, labels and meanings are listed in doc/protocol.md; the aliases are those that dashboards
 * of the predecessor read.
 */
#include "metrics/stats.h"

#include "base/buf.h"
#include "base/log.h"
#include "event/loop.h"
#include "event/memory.h"
#include "config/settings.h"
#include "storage/store.h"
#include "registry/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif
#define REDIS_VERSION "7.0.15" /* for clients that look for one; the commands are of that age */

#define SAMPLE_MS  1000
#define STALE_MS   5000
#define SMOOTH     0.181269 /* 1 - exp(-1/5): of a second's sample in a mean over about 5 s */
#define RATE_LEAST 0.005

struct depths;

struct stats {
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

/* --- counters --- */

struct counter {
  size_t at;
  const char *info;   /* name in INFO; NULL: not there */
  const char *metric; /* without "pepperbus_"; neighbours of one name are told apart by `label` */
  const char *label;  /* further label, or NULL */
  const char *help;
};

#define AT(field) offsetof(struct client_counters, field)
static const struct counter client_table[] = {
    {AT(connections), "total_connections_received", "connections_total", NULL,
     "Connections accepted on the producers' port."},
    {AT(commands), "total_commands_processed", "commands_total", NULL, "Commands run."},
    {AT(bytes_in), "total_net_input_bytes", "received_bytes_total", NULL, "Bytes from clients."},
    {AT(bytes_out), "total_net_output_bytes", "sent_bytes_total", NULL, "Bytes to clients."},
    {AT(refused_clients), "rejected_connections", "refused_total", "reason=\"max_clients\"",
     "What was refused or cut off, by the limit that it met."},
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
static const struct counter queue_table[] = {
    {AT(accepted), "accepted", "jobs_accepted_total", NULL,
     "Jobs that a producer was told are stored."},
    {AT(accepted), NULL, "queue_add_count", NULL, "Alias of jobs_accepted_total."},
    {AT(accepted_bytes), "accepted_bytes", "jobs_accepted_bytes_total", NULL, "Their contents."},
    {AT(refused), "refused", "jobs_refused_total", NULL, "Jobs refused: queue full, too large."},
    {AT(failed), "failed", "jobs_unstored_total", NULL,
     "Jobs whose producer was told of a storage failure."},
};
#undef AT

#define AT(field) offsetof(struct topic_counters, field)
static const struct counter topic_table[] = {
    {AT(attempts), "attempts", "jobs_attempts_total", NULL, "Jobs sent to a worker."},
    {AT(requests), "requests", "requests_total", NULL, "Requests to workers, each with its chunk."},
    {AT(done), "done", "jobs_completed_total", NULL, "Jobs that a worker has done."},
    {AT(done), NULL, "job_success_count", NULL, "Alias of jobs_completed_total."},
    {AT(failed), "failed", "jobs_failed_total", NULL, "Failed attempts, for whatever reason."},
    {AT(failed), NULL, "job_fail_count", NULL, "Alias of jobs_failed_total."},
    {AT(lost), "lost", "jobs_doubtful_total", "reason=\"lost\"",
     "Of the failed attempts: outcome unknown."},
    {AT(timeout), "timeout", "jobs_doubtful_total", "reason=\"timeout\"", NULL},
    {AT(retried), "retried", "jobs_retried_total", NULL, "Jobs put into the retry queue."},
    {AT(dead), "dead", "jobs_dead_total", NULL, "Jobs given up."},
    {AT(recovered), "recovered", "jobs_redelivered_total", NULL,
     "Jobs taken over after a crash or a restart."},
    {AT(unregistered), "unregistered", "jobs_released_total", "reason=\"unregistered\"",
     "Jobs or requests that went back without an attempt."},
    {AT(unreachable), "unreachable", "jobs_released_total", "reason=\"unreachable\"", NULL},
    {AT(busy), "busy", "jobs_released_total", "reason=\"busy\"", NULL},
};
#undef AT

#define LENGTH(table) (sizeof(table) / sizeof *(table))

static uint64_t value(const void *counters, const struct counter *c) {
  uint64_t v;
  memcpy(&v, (const char *)counters + c->at, sizeof v);
  return v;
}

/* --- rates --- */

/* What was longer ago than STALE_MS is no part of a rate, however much it was. */
static void sample(double *rate, uint64_t *last, uint64_t *moved_ms, uint64_t now, uint64_t at_ms,
                   uint64_t elapsed) {
  if (now == *last && *rate == 0) return;
  double seconds = (double)(elapsed ? elapsed : 1) / 1000;
  double weight = elapsed >= STALE_MS ? 1 : 1 - pow(1 - SMOOTH, seconds);
  *rate += weight * ((double)(now - *last) / seconds - *rate);
  if (now != *last) *moved_ms = at_ms;
  if (*rate < RATE_LEAST || at_ms - *moved_ms >= STALE_MS) *rate = 0;
  *last = now;
}

/* An idle topic costs the look at its counters; nothing is written. */
static void on_sample(void *arg) {
  struct stats *s = arg;
  uint64_t now = loop_now_ms(s->loop), elapsed = now - s->sampled_ms;
  size_t n;
  struct queue *const *queues = registry_queues(s->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct rates *r = &queues[i]->rates;
    sample(&r->accepted, &r->last_accepted, &r->moved_ms[0], queues[i]->counters.accepted, now,
           elapsed);
  }
  struct topic *const *topics = registry_topics(s->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct rates *r = &topics[i]->rates;
    sample(&r->done, &r->last_done, &r->moved_ms[1], topics[i]->counters.done, now, elapsed);
    sample(&r->failed, &r->last_failed, &r->moved_ms[2], topics[i]->counters.failed, now, elapsed);
  }
  s->sampled_ms = now;
  log_flush(loop_log(s->loop));
  timer_start(&s->sample, SAMPLE_MS);
}

/* The process, or the machine, may have stood still since. */
void stats_freshen(struct stats *s) {
  if (loop_now_ms(s->loop) - s->sampled_ms >= 2 * SAMPLE_MS) on_sample(s);
}

/* --- depths: what the storages hold --- */

/* A scrape must not wait for Redis, and scraping a thousand idle topics must not keep it busy. So
 * a scrape shows the last look at each topic and begins new ones: soon where something moves,
 * seldom where nothing does. */
#define LOOKS_AT_ONCE 16
#define LOOK_BUSY_MS  5000
#define LOOK_IDLE_MS  60000

struct seen {
  struct store_depth depth;
  uint64_t at_ms;   /* monotonic; 0: never */
  uint64_t counted; /* of the topic's and queue's counters then: has something moved? */
  bool asked;
};

/* Of one generation of the registry; lives until the last look has come back. */
struct depths {
  struct stats *stats; /* NULL: nobody waits any more */
  uint64_t generation;
  size_t n, next, on_the_way;
  unsigned refs;
  struct seen topics[];
};

/* At neighbours of one queue. */
struct look {
  struct depths *of;
  size_t n;
  size_t index[STORE_LOOK_MAX];
};

static void depths_unref(struct depths *d) {
  if (d && !--d->refs) free(d);
}

static uint64_t moved(const struct topic *t) {
  return t->queue->counters.accepted + t->counters.attempts + t->counters.done +
         t->counters.failed + t->counters.recovered;
}

static bool is_stale(const struct seen *seen, const struct topic *t, uint64_t now) {
  const struct store_depth *d = &seen->depth;
  if (seen->asked || !t->store) return false;
  if (!seen->at_ms) return true;
  bool idle =
      seen->counted == moved(t) && !(d->ready || d->running || d->retry || d->dead || d->delayed);
  return now - seen->at_ms >= (idle ? LOOK_IDLE_MS : LOOK_BUSY_MS);
}

static void looks_go_on(struct depths *d);

static void on_looked(void *arg, enum store_rc rc, const struct store_depth *depth, size_t n,
                      const char *why) {
  struct look *l = arg;
  struct depths *d = l->of;
  (void)why;
  for (size_t i = 0; i < l->n; i++) {
    struct seen *seen = &d->topics[l->index[i]];
    seen->asked = false;
    if (rc || i >= n || !d->stats) continue;
    seen->depth = depth[i];
    seen->at_ms = loop_now_ms(d->stats->loop);
  }
  free(l);
  d->on_the_way--;
  looks_go_on(d);
  depths_unref(d);
}

static void looks_go_on(struct depths *d) {
  size_t n;
  if (!d->stats || d->generation != registry_generation(d->stats->reg)) return;
  struct topic *const *topics = registry_topics(d->stats->reg, &n);
  uint64_t now = loop_now_ms(d->stats->loop);
  while (d->next < d->n && d->on_the_way < LOOKS_AT_ONCE) {
    struct store_topic *asked[STORE_LOOK_MAX];
    const struct topic *first = topics[d->next];
    struct look *l = is_stale(&d->topics[d->next], first, now) ? calloc(1, sizeof *l) : NULL;
    if (!l) {
      d->next++;
      continue;
    }
    l->of = d;
    for (; d->next < d->n && l->n < STORE_LOOK_MAX; d->next++) {
      struct topic *t = topics[d->next];
      struct seen *seen = &d->topics[d->next];
      if (!t->store || t->store_entry != first->store_entry) break;
      if (!is_stale(seen, t, now)) continue;
      seen->asked = true;
      seen->counted = moved(t);
      asked[l->n] = t->store;
      l->index[l->n++] = d->next;
    }
    d->on_the_way++;
    d->refs++;
    store_look_many(asked, l->n, on_looked, l);
  }
}

static void depths_drop(struct stats *s) {
  if (s->depths) s->depths->stats = NULL;
  depths_unref(s->depths);
  s->depths = NULL;
}

/* Those of the present topics, and the beginning of what is to be looked at again. NULL without
 * memory. */
static const struct depths *depths_now(struct stats *s) {
  size_t n;
  (void)registry_topics(s->reg, &n);
  if (s->depths && s->depths->generation != registry_generation(s->reg)) depths_drop(s);
  if (!s->depths) {
    struct depths *d = calloc(1, sizeof *d + n * sizeof *d->topics);
    if (!d) return NULL;
    d->stats = s;
    d->generation = registry_generation(s->reg);
    d->n = n;
    d->refs = 1;
    s->depths = d;
  }
  if (s->depths->next == s->depths->n) s->depths->next = 0;
  looks_go_on(s->depths);
  return s->depths;
}

struct stats *stats_new(struct loop *loop, struct registry *reg) {
  struct stats *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->loop = loop;
  s->reg = reg;
  s->started_ms = s->sampled_ms = loop_now_ms(loop);
  timer_init(&s->sample, loop, on_sample, s);
  timer_start(&s->sample, SAMPLE_MS);
  return s;
}

void stats_free(struct stats *s) {
  if (!s) return;
  timer_done(&s->sample);
  depths_drop(s);
  free(s);
}

struct client_counters *stats_clients(struct stats *s) {
  return &s->clients;
}

/* --- the process --- */

static uint64_t cpu_ms(void) {
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u)) return 0;
  return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
         (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* Percent of one core between this look and an earlier one. */
static double cpu_percent(struct stats *s) {
  uint64_t now = loop_now_ms(s->loop), used = cpu_ms();
  uint64_t since = s->cpu_at_ms ? s->cpu_at_ms : s->started_ms;
  if (now - since >= SAMPLE_MS) {
    s->cpu_percent = 100.0 * (double)(used - s->cpu_ms) / (double)(now - since);
    s->cpu_at_ms = now;
    s->cpu_ms = used;
  }
  return s->cpu_percent;
}

static double memory_percent(void) {
  long pages = sysconf(_SC_PHYS_PAGES);
  double all = (double)pages * (double)sysconf(_SC_PAGESIZE);
  return pages > 0 ? 100.0 * (double)memory_resident() / all : 0;
}

static double load_average(void) {
  double load[1] = {0};
  return getloadavg(load, 1) == 1 ? load[0] : 0;
}

static const char *store_state_word(const struct store *st) {
  switch (store_state(st)) {
  case STORE_CONNECTING:
    return "connecting";
  case STORE_LOADING:
    return "loading";
  case STORE_READY:
    return "ready";
  case STORE_REFUSED:
    return "refused";
  }
  return "unknown";
}

/* --- INFO --- */

static void info_server(struct stats *s, struct buf *out) {
  const struct settings *set = registry_settings(s->reg);
  struct utsname os;
  uint64_t up = (loop_now_ms(s->loop) - s->started_ms) / 1000;
  if (uname(&os)) os.sysname[0] = os.release[0] = os.machine[0] = 0;
  buf_printf(out,
             "redis_version:" REDIS_VERSION
             "\r\nredis_mode:standalone\r\npepperbus_version:" PACKAGE_VERSION
             "\r\npepperbus_node:%s\r\nos:%s %s %s\r\narch_bits:%zu\r\n"
             "process_id:%ld\r\nuptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n",
             set ? set->server.node : "", os.sysname, os.release, os.machine, sizeof(void *) * 8,
             (long)getpid(), up, up / 86400);
}

static void info_clients(struct stats *s, struct buf *out) {
  const struct settings *set = registry_settings(s->reg);
  buf_printf(out,
             "connected_clients:%" PRIu64 "\r\nmaxclients:%" PRId64 "\r\nblocked_clients:0\r\n",
             s->clients.open, set ? set->server.max_clients : 0);
}

static void info_memory(struct stats *s, struct buf *out) {
  uint64_t rss = memory_resident();
  (void)s;
  buf_printf(out, "used_memory:%" PRIu64 "\r\nused_memory_rss:%" PRIu64 "\r\n", rss, rss);
}

/* Clients wait until `loading` is 0. Here it is: jobs are refused with a reason while their storage
 * loads, and others may have theirs. */
static void info_persistence(struct stats *s, struct buf *out) {
  (void)s;
  buf_add_text(out, "loading:0\r\n");
}

static void info_replication(struct stats *s, struct buf *out) {
  (void)s;
  buf_add_text(out, "role:master\r\nconnected_slaves:0\r\n");
}

static void info_cpu(struct stats *s, struct buf *out) {
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u)) memset(&u, 0, sizeof u);
  buf_printf(out, "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\ncpu_percent:%.1f\r\n",
             (long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, (long)u.ru_utime.tv_sec,
             (long)u.ru_utime.tv_usec, cpu_percent(s));
}

static void info_stats(struct stats *s, struct buf *out) {
  for (size_t i = 0; i < LENGTH(client_table); i++)
    buf_printf(out, "%s:%" PRIu64 "\r\n", client_table[i].info,
               value(&s->clients, &client_table[i]));
}

static void info_storages(struct stats *s, struct buf *out) {
  size_t n;
  struct store *const *stores = registry_stores(s->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct store_stats st = {0};
    store_stats(stores[i], &st);
    buf_printf(out,
               "storage_%s:state=%s,commands=%" PRIu64 ",in_flight=%" PRIu64 ",reconnects=%" PRIu64
               ",unknown=%" PRIu64 ",rtt_us=%" PRIu64 "\r\n",
               store_name(stores[i]), store_state_word(stores[i]), st.commands, st.in_flight,
               st.reconnects, st.unknown, st.rtt_us);
  }
}

static void info_counters(struct buf *out, const struct counter *table, size_t n,
                          const void *counters) {
  for (size_t i = 0; i < n; i++)
    if (table[i].info) { /* no printf(): there may be thousands of topics */
      buf_add_text(out, table[i].info);
      buf_add(out, "=", 1);
      buf_add_u64(out, value(counters, &table[i]));
      buf_add(out, ",", 1);
    }
}

static void info_queues(struct stats *s, struct buf *out) {
  size_t n;
  struct queue *const *queues = registry_queues(s->reg, &n);
  for (size_t i = 0; i < n; i++) {
    buf_printf(out, "queue_%s:topics=%zu,", queues[i]->set->name, queues[i]->n_topics);
    info_counters(out, queue_table, LENGTH(queue_table), &queues[i]->counters);
    buf_printf(out, "accepted_per_s=%.1f\r\n", queues[i]->rates.accepted);
  }
}

static void info_topics(struct stats *s, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(s->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    buf_printf(out, "topic_%s:state=%s,running=%zu,", t->set->path, topic_state_names[t->state],
               t->requests.running);
    info_counters(out, topic_table, LENGTH(topic_table), &t->counters);
    buf_printf(out, "done_per_s=%.1f,failed_per_s=%.1f\r\n", t->rates.done, t->rates.failed);
  }
}

static const struct section {
  const char *name;
  void (*fn)(struct stats *s, struct buf *out);
} sections[] = {
    {"Server", info_server}, {"Clients", info_clients},
    {"Memory", info_memory}, {"Persistence", info_persistence},
    {"Stats", info_stats},   {"Replication", info_replication},
    {"CPU", info_cpu},       {"Storages", info_storages},
    {"Queues", info_queues}, {"Topics", info_topics},
};

static bool is_word(const char *text, size_t len, const char *word) {
  return len == strlen(word) && !strncasecmp(text, word, len);
}

void stats_info(struct stats *s, const char *section, size_t section_len, struct buf *out) {
  bool all = !section || !section_len || is_word(section, section_len, "all") ||
             is_word(section, section_len, "default") ||
             is_word(section, section_len, "everything");
  stats_freshen(s);
  for (size_t i = 0; i < LENGTH(sections); i++) {
    if (!all && !is_word(section, section_len, sections[i].name)) continue;
    buf_printf(out, "%s# %s\r\n", out->len ? "\r\n" : "", sections[i].name);
    sections[i].fn(s, out);
  }
}

/* --- Prometheus --- */

/* What the lines of one topic tell, or those of all together. */
struct view {
  struct topic_counters counters;
  uint64_t inflight, limit, paused, closed;
  uint64_t states[TOPIC_STATES];
  bool seen; /* the storage has told */
  struct store_depth depth;
  double oldest_s;
  char labels[2 * NAME_LEN_MAX + 32]; /* "" for all together */
};

struct stats_text {
  struct stats *stats;
  struct stats_form form;
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

/* Thousands of them in a scrape: no printf() for what is text. */
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

/* A name of the predecessor's. */
static bool is_alias(const struct counter *c) {
  return c->help && !strncmp(c->help, "Alias of ", 9);
}

static void counter_head(struct buf *out, const struct counter *c) {
  if (c->help) metric_head(out, c->metric, "counter", c->help);
}

/* Each part writes its next piece; true: that was the last. */

static bool part_process(struct stats_text *st, struct buf *out) {
  struct stats *s = st->stats;
  const struct settings *set = registry_settings(s->reg);
  metric_head(out, "build_info", "gauge", "1, with the version and the node's name.");
  buf_printf(out, "pepperbus_build_info{version=\"" PACKAGE_VERSION "\",node=\"");
  if (set) buf_add_json(out, set->server.node, strlen(set->server.node));
  buf_add_text(out, "\"} 1\n");
  gauge(out, "uptime_seconds", "Since the start.",
        (double)(loop_now_ms(s->loop) - s->started_ms) / 1000);
  gauge(out, "memory_bytes", "Resident memory of the broker.", (double)memory_resident());
  metric_head(out, "cpu_seconds_total", "counter", "CPU time of the broker.");
  buf_printf(out, "pepperbus_cpu_seconds_total %.3f\n", (double)cpu_ms() / 1000);
  metric_head(out, "log_dropped_total", "counter",
              "Log lines dropped since what the log is written to took no more.");
  buf_printf(out, "pepperbus_log_dropped_total %" PRIu64 "\n", log_dropped(loop_log(s->loop)));
  gauge(out, "loop_turn_cpu_seconds_max", "CPU time of the event loop's longest turn so far.",
        (double)loop_turn_max_us(s->loop) / 1e6);
  if (st->form.legacy) {
    gauge(out, "cpu_usage", "Percent of a core that the broker uses.", cpu_percent(s));
    gauge(out, "mem_usage", "Percent of the machine's memory that the broker uses.",
          memory_percent());
    gauge(out, "load_average", "Of the machine, over a minute.", load_average());
  }
  gauge(out, "clients", "Connections on the producers' port.", (double)s->clients.open);
  return true;
}

static bool part_clients(struct stats_text *st, struct buf *out) {
  for (size_t i = 0; i < LENGTH(client_table); i++) {
    const struct counter *c = &client_table[i];
    counter_head(out, c);
    line(out, c->metric, "", c->label, (double)value(&st->stats->clients, c));
  }
  return true;
}

static bool part_storages(struct stats_text *st, struct buf *out) {
  static const struct {
    const char *name, *type, *help;
  } table[] = {
      {"storage_up", "gauge", "1: jobs can be stored."},
      {"storage_commands_total", "counter", "Commands sent."},
      {"storage_in_flight", "gauge", "Commands on the way."},
      {"storage_reconnects_total", "counter", "Connections made anew."},
      {"storage_unknown_total", "counter", "Commands whose outcome was not learnt."},
      {"storage_late_total", "counter",
       "Outcomes refused because another node had taken the jobs over."},
      {"storage_rtt_seconds", "gauge", "Time of a recent command."},
  };
  size_t n;
  struct store *const *stores = registry_stores(st->stats->reg, &n);
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

static bool part_queues(struct stats_text *st, struct buf *out) {
  size_t n;
  struct queue *const *queues = registry_queues(st->stats->reg, &n);
  const struct counter *c = &queue_table[st->family];
  if (!n) return true;
  if (!is_alias(c) || st->form.legacy) {
    uint64_t all = 0;
    if (!st->at) counter_head(out, c);
    for (; st->at < n && out->len < PIECE; st->at++) {
      char labels[NAME_LEN_MAX + 16];
      uint64_t v = value(&queues[st->at]->counters, c);
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
    {"topic_breaker_state", "gauge", "1: the way to the worker is closed.", lines_number, NULL,
     AT(closed), false},
    {"job_exec_seconds", "histogram", "Run time of answered requests.", lines_run_times, NULL, 0,
     false},
    {"job_consume_milliseconds", "summary", "The same as a summary, since the start.",
     lines_summary, NULL, 0, true},
    {"topic_jobs", "gauge", "Jobs in the storage, over all nodes, as last looked at.", lines_depth,
     "state=\"ready\"", DEPTH(ready), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"running\"", DEPTH(running), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"retry\"", DEPTH(retry), false},
    {"topic_jobs", NULL, NULL, lines_depth, "state=\"dead\"", DEPTH(dead), false},
    /* Those of a queue, which all of its topics share: once for the queue. */
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

static double oldest_age_s(struct stats *s, const struct store_depth *d) {
  uint64_t now = loop_wall_ms(s->loop);
  return d->oldest_ms && d->oldest_ms < now ? (double)(now - d->oldest_ms) / 1000 : 0;
}

/* Adds a topic to what all together tell; or it alone, in a view that is zeroed. */
static void view_add(struct view *v, struct stats *s, const struct topic *t,
                     const struct seen *seen) {
  for (size_t i = 0; i < LENGTH(topic_table); i++) {
    uint64_t sum = value(&v->counters, &topic_table[i]) + value(&t->counters, &topic_table[i]);
    if (!is_alias(&topic_table[i]))
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
  double oldest = oldest_age_s(s, &seen->depth);
  v->seen = true;
  v->depth.ready += seen->depth.ready;
  v->depth.running += seen->depth.running;
  v->depth.retry += seen->depth.retry;
  v->depth.dead += seen->depth.dead;
  if (t->queue->n_topics && t->queue->topics[0] == t) v->depth.delayed += seen->depth.delayed;
  if (oldest > v->oldest_s) v->oldest_s = oldest;
}

static const struct seen *seen_of(const struct depths *d, size_t at) {
  return d && at < d->n ? &d->topics[at] : NULL;
}

static void family_lines(struct buf *out, size_t family, const struct view *v) {
  if (family < LENGTH(topic_table)) {
    const struct counter *c = &topic_table[family];
    line(out, c->metric, v->labels, c->label, (double)value(&v->counters, c));
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
  return family < LENGTH(topic_table) ? is_alias(&topic_table[family])
                                      : families[family - LENGTH(topic_table)].legacy;
}

/* One family's lines of one topic. */
static void topic_lines(struct stats_text *st, struct buf *out, const struct topic *t,
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
    view_add(v, st->stats, t, seen);
  } else { /* most lines: a counter */
    memcpy((char *)&v->counters + topic_table[st->family].at,
           (const char *)&t->counters + topic_table[st->family].at, sizeof(uint64_t));
  }
  snprintf(v->labels, sizeof v->labels, "queue=\"%s\",topic=\"%s\"", t->set->queue->name,
           t->set->name);
  family_lines(out, st->family, v);
}

/* All together: the topics are added up first, some at a time, then all families follow. */
static bool totals_next(struct stats_text *st, struct buf *out, struct topic *const *topics,
                        size_t n) {
  size_t end = n - st->at > 1000 ? st->at + 1000 : n;
  for (; st->at < end; st->at++)
    view_add(&st->view, st->stats, topics[st->at], seen_of(st->stats->depths, st->at));
  if (st->at < n) return false;
  for (size_t k = 0; k < LENGTH(topic_table) + LENGTH(families); k++) {
    if (family_legacy(k) && !st->form.legacy) continue;
    family_head(out, k);
    family_lines(out, k, &st->view);
  }
  return true;
}

static bool part_topics(struct stats_text *st, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(st->stats->reg, &n);
  if (!n) return true;
  if (!st->form.topics) return totals_next(st, out, topics, n);
  if (!family_legacy(st->family) || st->form.legacy) {
    if (!st->at) family_head(out, st->family);
    for (; st->at < n && out->len < PIECE; st->at++)
      topic_lines(st, out, topics[st->at], seen_of(st->stats->depths, st->at));
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

static bool part_strays(struct stats_text *st, struct buf *out) {
  size_t n, k, seen = 0;
  struct store *const *stores = registry_stores(st->stats->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_stray *strays = store_strays(stores[i], &k);
    for (size_t at = 0; at < k; at++, seen++) {
      if (seen < st->at) continue;
      if (!st->at)
        metric_head(
            out, "stray_jobs", "gauge",
            "Jobs of topics that are not configured for their storage, as last looked through.");
      if (stray_plain(&strays[at])) stray_lines(out, store_name(stores[i]), &strays[at]);
      st->at = seen + 1;
      if (out->len >= PIECE) return false;
    }
  }
  return true;
}

static bool (*const parts[])(struct stats_text *st, struct buf *out) = {
    part_process, part_clients, part_storages, part_queues, part_strays, part_topics};

struct stats_text *stats_text_new(struct stats *s, struct stats_form form) {
  struct stats_text *st = calloc(1, sizeof *st);
  if (!st) return NULL;
  st->stats = s;
  st->form = form;
  st->generation = registry_generation(s->reg);
  (void)depths_now(s);
  return st;
}

int stats_text_more(struct stats_text *st, struct buf *out) {
  if (st->generation != registry_generation(st->stats->reg)) return -EAGAIN;
  if (st->part == LENGTH(parts)) return 0;
  if (parts[st->part](st, out)) {
    st->part++;
    st->family = st->at = 0;
    memset(&st->view, 0, sizeof st->view);
  }
  return 1;
}

void stats_text_free(struct stats_text *st) {
  free(st);
}
