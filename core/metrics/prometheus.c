/* Owns the text that Prometheus reads. One table has the names of each counter here and in INFO. */
#include "metrics/prometheus.h"

#include "base/buf.h"
#include "base/log.h"
#include "event/memory.h"
#include "metrics/private.h"
#include "metrics/prometheus_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void gauge(struct buf *out, const char *name, const char *help, double v) {
  prometheus_head(out, name, "gauge", help);
  prometheus_line(out, name, "", NULL, v);
}

/* Each part writes its next piece; true: that was the last. */

static bool part_process(struct prometheus_text *st, struct buf *out) {
  struct metrics *m = st->metrics;
  const struct settings *set = registry_settings(m->reg);
  prometheus_head(out, "build_info", "gauge", "1, with the version and the node's name.");
  buf_printf(out, "pepperbus_build_info{version=\"" PACKAGE_VERSION "\",node=\"");
  if (set) buf_add_json(out, set->server.node, strlen(set->server.node));
  buf_add_text(out, "\"} 1\n");
  gauge(out, "uptime_seconds", "Since the start.",
        (double)(loop_now_ms(m->loop) - m->started_ms) / 1000);
  gauge(out, "memory_bytes", "Resident memory of the broker.", (double)memory_resident());
  prometheus_head(out, "cpu_seconds_total", "counter", "CPU time of the broker.");
  buf_printf(out, "pepperbus_cpu_seconds_total %.3f\n", (double)process_cpu_ms() / 1000);
  prometheus_head(out, "log_dropped_total", "counter",
                  "Log lines dropped because the log could not be written.");
  buf_printf(out, "pepperbus_log_dropped_total %" PRIu64 "\n", log_dropped(loop_log(m->loop)));
  gauge(out, "loop_turn_cpu_seconds_max", "CPU time of the event loop's longest turn so far.",
        (double)loop_turn_max_us(m->loop) / 1e6);
  if (st->form.legacy) {
    gauge(out, "cpu_usage", "Percent of a core that the broker uses.", process_cpu_percent(m));
    gauge(out, "mem_usage", "Percent of the machine's memory that the broker uses.",
          process_memory_percent());
    gauge(out, "load_average", "Of the machine, over a minute.", process_load_average());
  }
  gauge(out, "clients", "Connections on the producers' port.", (double)m->clients.open);
  return true;
}

static bool part_clients(struct prometheus_text *st, struct buf *out) {
  for (size_t i = 0; i < LENGTH(client_table); i++) {
    const struct counter *c = &client_table[i];
    prometheus_counter_head(out, c);
    prometheus_line(out, c->metric, "", c->label, (double)counter_value(&st->metrics->clients, c));
  }
  return true;
}

static bool part_storages(struct prometheus_text *st, struct buf *out) {
  static const struct {
    const char *name, *type, *help;
  } table[] = {
      {"storage_up", "gauge", "1: jobs can be stored."},
      {"storage_commands_total", "counter", "Commands sent."},
      {"storage_in_flight", "gauge", "Commands on the way."},
      {"storage_reconnects_total", "counter", "Connections that were made again."},
      {"storage_unknown_total", "counter", "Commands whose outcome is not known."},
      {"storage_late_total", "counter",
       "Outcomes refused because another node had taken the jobs over."},
      {"storage_rtt_seconds", "gauge", "Time of a recent command."},
  };
  size_t n;
  struct store *const *stores = registry_stores(st->metrics->reg, &n);
  for (size_t k = 0; n && k < LENGTH(table); k++) {
    prometheus_head(out, table[k].name, table[k].type, table[k].help);
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

static bool part_queues(struct prometheus_text *st, struct buf *out) {
  size_t n;
  struct queue *const *queues = registry_queues(st->metrics->reg, &n);
  const struct counter *c = &queue_table[st->family];
  if (!n) return true;
  if (!counter_is_alias(c) || st->form.legacy) {
    uint64_t all = 0;
    if (!st->at) prometheus_counter_head(out, c);
    for (; st->at < n && out->len < PROMETHEUS_PIECE; st->at++) {
      char labels[NAME_LEN_MAX + 16];
      uint64_t v = counter_value(&queues[st->at]->counters, c);
      all += v;
      if (!st->form.topics) continue;
      snprintf(labels, sizeof labels, "queue=\"%s\"", queues[st->at]->set->name);
      prometheus_line(out, c->metric, labels, NULL, (double)v);
    }
    if (st->at < n) return false;
    if (!st->form.topics) prometheus_line(out, c->metric, "", NULL, (double)all);
  }
  st->at = 0;
  return ++st->family == LENGTH(queue_table);
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

static bool part_strays(struct prometheus_text *st, struct buf *out) {
  size_t n, k, seen = 0;
  struct store *const *stores = registry_stores(st->metrics->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_stray *strays = store_strays(stores[i], &k);
    for (size_t at = 0; at < k; at++, seen++) {
      if (seen < st->at) continue;
      if (!st->at)
        prometheus_head(
            out, "stray_jobs", "gauge",
            "Jobs of topics that are not configured for their storage, at the last look.");
      if (stray_plain(&strays[at])) stray_lines(out, store_name(stores[i]), &strays[at]);
      st->at = seen + 1;
      if (out->len >= PROMETHEUS_PIECE) return false;
    }
  }
  return true;
}

static bool (*const parts[])(struct prometheus_text *st, struct buf *out) = {
    part_process, part_clients, part_storages, part_queues, part_strays, prometheus_topics};

struct prometheus_text *prometheus_new(struct metrics *m, struct prometheus_form form) {
  struct prometheus_text *st = calloc(1, sizeof *st);
  if (!st) return NULL;
  st->metrics = m;
  st->form = form;
  st->generation = registry_generation(m->reg);
  (void)depths_now(m);
  return st;
}

int prometheus_more(struct prometheus_text *st, struct buf *out) {
  if (st->generation != registry_generation(st->metrics->reg)) return -EAGAIN;
  if (st->part == LENGTH(parts)) return 0;
  if (parts[st->part](st, out)) {
    st->part++;
    st->family = st->at = 0;
    memset(&st->view, 0, sizeof st->view);
  }
  return 1;
}

void prometheus_free(struct prometheus_text *st) {
  free(st);
}
