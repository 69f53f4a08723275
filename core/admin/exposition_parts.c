/* Owns what the admin port adds to the page of metrics: pools, the port itself, the plugins'
 * figures. */
#include "admin/exposition.h"

#include "admin/private.h"
#include "alerts/alerts.h"
#include "history/history.h"
#include "base/buf.h"
#include "control/control.h"
#include "transport/plugin_loader.h"
#include "transport/transport.h"

#include <stdlib.h>
#include <string.h>

static const struct pool_gauge {
  const char *name, *help;
  size_t offset; /* of a size_t in struct pool_status */
} pool_gauges[] = {
    {"pool_requests", "Requests that the workers have now.", offsetof(struct pool_status, busy)},
    {"pool_limit", "Limit of requests at a time for now.", offsetof(struct pool_status, limit)},
    {"pool_max_connections", "Upper bound of requests at a time.",
     offsetof(struct pool_status, max)},
    {"pool_waiting_topics", "Topics that wait for a slot.",
     offsetof(struct pool_status, waiting_topics)},
};

/* A topic without a pool has one of its own, named as it is: "queue/topic". */
static bool pool_shows(const char *name, bool topics) {
  return topics || !strchr(name, '/');
}

void exposition_pools(const struct admin_view *v, bool topics, struct buf *out) {
  size_t n, shown = 0;
  struct pool_status *p = pools_list(v, &n);
  for (size_t i = 0; i < n; i++)
    if (pool_shows(p[i].name, topics)) p[shown++] = p[i];
  n = shown;
  for (size_t g = 0; n && g < sizeof pool_gauges / sizeof *pool_gauges; g++) {
    const struct pool_gauge *m = &pool_gauges[g];
    buf_printf(out, "# HELP pepperbus_%s %s\n# TYPE pepperbus_%s gauge\n", m->name, m->help,
               m->name);
    for (size_t i = 0; i < n; i++)
      buf_printf(out, "pepperbus_%s{pool=\"%s\"} %zu\n", m->name, p[i].name,
                 *(const size_t *)(const void *)((const char *)&p[i] + m->offset));
  }
  if (n)
    buf_printf(out, "# HELP pepperbus_pool_unreachable 1: its workers cannot be reached.\n"
                    "# TYPE pepperbus_pool_unreachable gauge\n");
  for (size_t i = 0; i < n; i++)
    buf_printf(out, "pepperbus_pool_unreachable{pool=\"%s\"} %d\n", p[i].name, p[i].open);
  free(p);
}

/* A run type may have other characters than a metric's name. */
static void metric_name(const struct pb_transport *d, const struct pb_metric *m, char *ret,
                        size_t size) {
  snprintf(ret, size, "pepperbus_%s_%s", d->run_type, m->name);
  for (char *p = ret; *p; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')))
      *p = '_';
}

/* The admin port itself. */
void exposition_port(const struct admin *a, struct buf *out) {
  static const char refused[] = "pepperbus_admin_refused_total{reason=\"%s\"} %llu\n";
  struct http_counters n = http_server_counters(a->http);
  buf_printf(out,
             "# HELP pepperbus_admin_connections Connections on the admin port.\n"
             "# TYPE pepperbus_admin_connections gauge\n"
             "pepperbus_admin_connections{token=\"no\"} %llu\n"
             "pepperbus_admin_connections{token=\"yes\"} %llu\n"
             "# HELP pepperbus_admin_requests_total Requests on the admin port.\n"
             "# TYPE pepperbus_admin_requests_total counter\n"
             "pepperbus_admin_requests_total %llu\n"
             "# HELP pepperbus_admin_refused_total What was cut off or refused there, by the limit "
             "that it met.\n"
             "# TYPE pepperbus_admin_refused_total counter\n",
             (unsigned long long)n.strangers, (unsigned long long)n.friends,
             (unsigned long long)n.requests);
  const struct {
    const char *reason;
    uint64_t n;
  } table[] = {{"connections", n.over_strangers + n.over_friends},
               {"bodies", n.over_bodies},
               {"late_head", n.late_heads},
               {"late_body", n.late_bodies},
               {"late_reader", n.late_readers},
               {"malformed", n.malformed}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    buf_printf(out, refused, table[i].reason, (unsigned long long)table[i].n);
}

/* The shared configuration. */
void exposition_cluster(const struct admin_view *v, struct buf *out) {
  struct control_status st;
  control_status(v->control, &st);
  if (st.state == CONTROL_NONE) return;
  buf_printf(out,
             "# HELP pepperbus_cluster_head Number of the newest revision of the shared "
             "configuration.\n"
             "# TYPE pepperbus_cluster_head gauge\n"
             "pepperbus_cluster_head %llu\n"
             "# HELP pepperbus_cluster_revision Number of the revision that this node runs.\n"
             "# TYPE pepperbus_cluster_revision gauge\n"
             "pepperbus_cluster_revision %llu\n"
             "# HELP pepperbus_cluster_ready 1 where this node can follow and make changes.\n"
             "# TYPE pepperbus_cluster_ready gauge\n"
             "pepperbus_cluster_ready %d\n"
             "# HELP pepperbus_cluster_forged_total Revisions and requests of nodes that were "
             "ignored: not written with the cluster's key, too old, or repeated.\n"
             "# TYPE pepperbus_cluster_forged_total counter\n"
             "pepperbus_cluster_forged_total %llu\n",
             (unsigned long long)st.head, (unsigned long long)st.runs,
             st.state == CONTROL_READY && !st.refused, (unsigned long long)st.forged);
}

/* Nothing where the configuration has no alert. */
void exposition_alerts(const struct admin_view *v, struct buf *out) {
  struct alert_status first;
  struct alerts_counters n = alerts_counters(v->alerts);
  if (!alerts_at(v->alerts, 0, &first)) return;
  buf_printf(
      out,
      "# HELP pepperbus_alerts_firing Alerts that fire and are not silenced.\n"
      "# TYPE pepperbus_alerts_firing gauge\n"
      "pepperbus_alerts_firing %zu\n"
      "# HELP pepperbus_alert_notices_total Notices of alerts that this node sent, and tries "
      "that failed.\n"
      "# TYPE pepperbus_alert_notices_total counter\n"
      "pepperbus_alert_notices_total{result=\"told\"} %llu\n"
      "pepperbus_alert_notices_total{result=\"failed\"} %llu\n",
      alerts_firing(v->alerts), (unsigned long long)n.told, (unsigned long long)n.failed);
}

void exposition_history(const struct admin_view *v, struct buf *out) {
  struct history_figures f = history_figures(v->history);
  buf_printf(out,
             "# HELP pepperbus_history_rows_total Rows of figures by the minute that this node "
             "wrote.\n"
             "# TYPE pepperbus_history_rows_total counter\n"
             "pepperbus_history_rows_total %llu\n"
             "# HELP pepperbus_history_failed_total Writes of history that failed; each is tried "
             "again.\n"
             "# TYPE pepperbus_history_failed_total counter\n"
             "pepperbus_history_failed_total %llu\n"
             "# HELP pepperbus_history_dropped_total Rows that are lost, because their topic went "
             "while its storage was away.\n"
             "# TYPE pepperbus_history_dropped_total counter\n"
             "pepperbus_history_dropped_total %llu\n"
             "# HELP pepperbus_history_behind_topics Topics whose figures wait to be written, for "
             "5 s at least.\n"
             "# TYPE pepperbus_history_behind_topics gauge\n"
             "pepperbus_history_behind_topics %zu\n"
             "# HELP pepperbus_history_behind_seconds How long the first of them has waited.\n"
             "# TYPE pepperbus_history_behind_seconds gauge\n"
             "pepperbus_history_behind_seconds %.3f\n",
             (unsigned long long)f.rows, (unsigned long long)f.failed,
             (unsigned long long)f.dropped, f.behind, (double)f.behind_ms / 1000);
}

#define PIECE      (32u << 10)
#define PIECE_SUMS 2000

/* Each topic's, or their sum. True: all of them. */
static bool topic_figures(const struct admin_view *v, const struct pb_transport *d, bool each,
                          struct exposition_cursor *c, const char *name, struct buf *out) {
  size_t n, end = c->at + PIECE_SUMS;
  struct topic *const *topics = registry_topics(v->registry, &n);
  for (; c->at < n && c->at < end && out->len < PIECE; c->at++) {
    const struct topic *t = topics[c->at];
    if (!t->inst || instance_transport(t->inst) != d) continue;
    double figure = instance_figures(t->inst)[c->metric];
    c->sum += figure;
    if (each)
      buf_printf(out, "%s{queue=\"%s\",topic=\"%s\"} %.15g\n", name, t->set->queue->name,
                 t->set->name, figure);
  }
  if (c->at < n) return false;
  if (!each) buf_printf(out, "%s %.15g\n", name, c->sum);
  return true;
}

static void pool_figures(const struct admin_view *v, const struct pb_transport *d, bool topics,
                         size_t i, const char *name, struct buf *out) {
  struct pool_run *p = NULL;
  while ((p = transports_pool(dispatcher_transports(v->dispatcher), p)))
    if (pool_run_transport(p) == d && pool_shows(pool_run_name(p), topics))
      buf_printf(out, "%s{pool=\"%s\"} %.15g\n", name, pool_run_name(p), pool_run_figures(p)[i]);
}

static bool metric_next(const struct admin_view *v, const struct pb_transport *d, bool topics,
                        struct exposition_cursor *c, struct buf *out) {
  const struct pb_metric *m = transport_metric(d, c->metric);
  char name[256];
  metric_name(d, m, name, sizeof name);
  if (!c->headed)
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, m->help ? m->help : "", name,
               m->type == PB_METRIC_COUNTER ? "counter" : "gauge");
  c->headed = true;
  if (m->scope == PB_SCOPE_TOPIC) return topic_figures(v, d, topics, c, name, out);
  pool_figures(v, d, topics, c->metric, name, out);
  return true;
}

bool exposition_plugins(const struct admin_view *v, bool topics, struct exposition_cursor *c,
                        struct buf *out) {
  size_t n;
  const struct plugin_info *plugins = plugins_list(v->plugins, &n);
  if (c->plugin == n) return true;
  const struct pb_transport *d = plugins[c->plugin].transport;
  if (!d || c->metric == transport_metrics(d)) {
    *c = (struct exposition_cursor){.plugin = c->plugin + 1};
  } else if (metric_next(v, d, topics, c, out)) {
    c->metric++;
    c->at = 0;
    c->sum = 0;
    c->headed = false;
  }
  return c->plugin == n;
}
