/* Owns what plugins tell of themselves and of their workers: the list of plugins, pools with their
 * health, and the plugins' own figures as JSON and for Prometheus.
 */
#include "admin/private.h"

#include "daemon/broker.h"
#include "base/buf.h"
#include "transport/transport.h"

#include <stdlib.h>
#include <string.h>

#define POOLS_MAX 1024

static const char *const health_words[] = {
    [PB_HEALTH_OK] = "ok", [PB_HEALTH_DEGRADED] = "degraded", [PB_HEALTH_DOWN] = "down"};

static void set_health(json_t *o, int health, const char *text) {
  json_object_set_new(o, "health", json_string(health_words[health]));
  json_object_set_new(o, "health_text", json_cstr(text));
}

static json_t *figures_json(const struct pb_transport *d, uint32_t scope, const double *figures) {
  json_t *o = json_object();
  size_t n = figures ? transport_metrics(d) : 0;
  for (size_t i = 0; i < n; i++) {
    const struct pb_metric *m = transport_metric(d, i);
    if (m->scope == scope) json_object_set_new(o, m->name, json_real(figures[i]));
  }
  return o;
}

void admin_set_health(json_t *o, struct instance *in) {
  char text[512];
  int health = instance_health(in, text, sizeof text);
  set_health(o, health, text);
}

void admin_set_figures(json_t *o, struct instance *in) {
  json_object_set_new(o, "figures",
                      figures_json(instance_transport(in), PB_SCOPE_TOPIC, instance_figures(in)));
}

/* *hint: the one found last; they are asked for in about their own order, and may be thousands. */
static void set_pool_figures(json_t *o, struct transports *tr, const char *name,
                             struct pool_run **hint) {
  struct pool_run *p = *hint;
  while ((p = transports_pool(tr, p)) && strcmp(pool_run_name(p), name)) {
  }
  if (!p && *hint)
    while ((p = transports_pool(tr, p)) && strcmp(pool_run_name(p), name)) {
    }
  if (!p) return;
  *hint = p;
  char text[512];
  int health = pool_run_health(p, text, sizeof text);
  set_health(o, health, text);
  json_object_set_new(o, "figures",
                      figures_json(pool_run_transport(p), PB_SCOPE_POOL, pool_run_figures(p)));
}

/* All of them; *ret_n is 0 and NULL is returned without memory. */
static struct pool_status *pools_list(struct broker *b, size_t *ret_n) {
  struct pool_status *p = calloc(POOLS_MAX, sizeof *p);
  *ret_n = p ? dispatcher_pools(b->dispatcher, p, POOLS_MAX) : 0;
  return p;
}

static json_t *pool_json(struct broker *b, const struct pool_status *p, struct pool_run **hint) {
  json_t *o = json_object();
  json_object_set_new(o, "name", json_cstr(p->name));
  json_object_set_new(o, "run_type", json_cstr(p->run_type));
  json_object_set_new(o, "concurrency", json_string(p->automatic ? "auto" : "fixed"));
  json_object_set_new(o, "reserve", json_u64(p->reserve));
  json_object_set_new(o, "max", json_u64(p->max));
  json_object_set_new(o, "limit", json_u64(p->limit));
  json_object_set_new(o, "busy", json_u64(p->busy));
  json_object_set_new(o, "waiting_topics", json_u64(p->waiting_topics));
  set_pool_figures(o, dispatcher_transports(b->dispatcher), p->name, hint);
  return o;
}

json_t *admin_pools_json(struct broker *b) {
  size_t n;
  json_t *list = json_array();
  struct pool_status *p = pools_list(b, &n);
  struct pool_run *hint = NULL;
  for (size_t i = 0; i < n; i++) json_array_append_new(list, pool_json(b, &p[i], &hint));
  free(p);
  return list;
}

static json_t *known_json(int32_t n) {
  return n < 0 ? json_null() : json_integer(n);
}

static void pool_topic_add(json_t *list, const struct topic *t) {
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(t->set->path));
  json_object_set_new(o, "requests", json_u64(t->attempts));
  json_object_set_new(o, "waits", json_boolean(t->pool_prev));
  json_array_append_new(list, o);
}

static json_t *pool_topics_json(struct broker *b, const char *pool) {
  size_t n;
  json_t *list = json_array();
  struct topic *const *topics = registry_topics(b->registry, &n);
  const struct topic *own = registry_topic(b->registry, pool, strlen(pool));
  if (own && !own->set->pool) {
    pool_topic_add(list, own);
    return list;
  }
  for (size_t i = 0; i < n; i++)
    if (topics[i]->set->pool && !strcmp(topics[i]->set->pool->name, pool))
      pool_topic_add(list, topics[i]);
  return list;
}

static void set_pool_options(json_t *o, struct broker *b, const char *pool) {
  const struct settings *s = registry_settings(b->registry);
  const struct pool_settings *p = NULL;
  for (size_t i = 0; s && i < s->n_pools; i++)
    if (!strcmp(s->pools[i]->name, pool) && s->pools[i]->transport) p = s->pools[i];
  admin_set_options(o, "options", p ? p->transport->pool_options : NULL,
                    p ? p->transport->option_size : 0, p ? p->conf : NULL);
}

void admin_get_pools(struct call *c) {
  size_t n;
  json_t *list = json_array(), *o = json_object();
  struct pool_status *p = pools_list(c->b, &n);
  struct pool_run *hint = NULL;
  for (size_t i = 0; i < n; i++) {
    json_t *one = pool_json(c->b, &p[i], &hint), *circuit = json_object(), *workers = json_object();
    json_object_set_new(circuit, "open", json_boolean(p[i].open));
    json_object_set_new(circuit, "why", json_cstr(p[i].why));
    json_object_set_new(circuit, "probes", json_u64(p[i].probes));
    json_object_set_new(circuit, "resting", json_boolean(p[i].resting));
    json_object_set_new(one, "circuit", circuit);
    json_object_set_new(workers, "total", known_json(p[i].load.workers));
    json_object_set_new(workers, "idle", known_json(p[i].load.idle));
    json_object_set_new(workers, "queued", known_json(p[i].load.queued));
    json_object_set_new(workers, "age_ms", json_u64(p[i].load_age_ms));
    json_object_set_new(one, "workers", workers);
    json_object_set_new(one, "topics", pool_topics_json(c->b, p[i].name));
    set_pool_options(one, c->b, p[i].name);
    json_array_append_new(list, one);
  }
  free(p);
  json_object_set_new(o, "pools", list);
  call_json(c, 200, o);
}

json_t *admin_plugins_json(struct broker *b) {
  size_t n;
  char abi[32];
  json_t *list = json_array();
  const struct plugin_info *p = plugins_list(b->plugins, &n);
  for (size_t i = 0; i < n; i++) {
    json_t *o = json_object();
    snprintf(abi, sizeof abi, "%u.%u", p[i].abi_major, p[i].abi_minor);
    json_object_set_new(o, "file", json_cstr(p[i].file));
    json_object_set_new(o, "name", json_cstr(p[i].name));
    json_object_set_new(o, "version", json_cstr(p[i].version));
    json_object_set_new(o, "summary", json_cstr(p[i].summary));
    json_object_set_new(o, "run_type", json_cstr(p[i].run_type));
    json_object_set_new(o, "abi", json_string(abi));
    json_object_set_new(o, "loaded", json_boolean(p[i].transport));
    json_object_set_new(o, "why", json_cstr(p[i].why));
    json_array_append_new(list, o);
  }
  return list;
}

/* --- Prometheus --- */

static const struct pool_gauge {
  const char *name, *help;
  size_t offset; /* of a size_t in struct pool_status */
} pool_gauges[] = {
    {"pool_requests", "Requests with the workers.", offsetof(struct pool_status, busy)},
    {"pool_limit", "Requests at a time for now.", offsetof(struct pool_status, limit)},
    {"pool_max_connections", "Requests at a time at most.", offsetof(struct pool_status, max)},
    {"pool_waiting_topics", "Topics that want a slot.",
     offsetof(struct pool_status, waiting_topics)},
};

/* A topic without a pool has one of its own, named as it is: "queue/topic". */
static bool pool_shows(const char *name, bool topics) {
  return topics || !strchr(name, '/');
}

void admin_pool_metrics(struct broker *b, bool topics, struct buf *out) {
  size_t n, shown = 0;
  struct pool_status *p = pools_list(b, &n);
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
void admin_port_metrics(struct broker *b, struct buf *out) {
  static const char refused[] = "pepperbus_admin_refused_total{reason=\"%s\"} %llu\n";
  if (!b->admin) return;
  struct http_counters n = admin_counters(b->admin);
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

#define PIECE      (32u << 10)
#define PIECE_SUMS 2000

/* Each topic's, or their sum. True: all of them. */
static bool topic_figures(struct broker *b, const struct pb_transport *d, bool each,
                          struct metrics_cursor *c, const char *name, struct buf *out) {
  size_t n, end = c->at + PIECE_SUMS;
  struct topic *const *topics = registry_topics(b->registry, &n);
  for (; c->at < n && c->at < end && out->len < PIECE; c->at++) {
    const struct topic *t = topics[c->at];
    if (!t->inst || instance_transport(t->inst) != d) continue;
    double v = instance_figures(t->inst)[c->metric];
    c->sum += v;
    if (each)
      buf_printf(out, "%s{queue=\"%s\",topic=\"%s\"} %.15g\n", name, t->set->queue->name,
                 t->set->name, v);
  }
  if (c->at < n) return false;
  if (!each) buf_printf(out, "%s %.15g\n", name, c->sum);
  return true;
}

static void pool_figures(struct broker *b, const struct pb_transport *d, bool topics, size_t i,
                         const char *name, struct buf *out) {
  struct pool_run *p = NULL;
  while ((p = transports_pool(dispatcher_transports(b->dispatcher), p)))
    if (pool_run_transport(p) == d && pool_shows(pool_run_name(p), topics))
      buf_printf(out, "%s{pool=\"%s\"} %.15g\n", name, pool_run_name(p), pool_run_figures(p)[i]);
}

static bool metric_next(struct broker *b, const struct pb_transport *d, bool topics,
                        struct metrics_cursor *c, struct buf *out) {
  const struct pb_metric *m = transport_metric(d, c->metric);
  char name[256];
  metric_name(d, m, name, sizeof name);
  if (!c->headed)
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, m->help ? m->help : "", name,
               m->type == PB_METRIC_COUNTER ? "counter" : "gauge");
  c->headed = true;
  if (m->scope == PB_SCOPE_TOPIC) return topic_figures(b, d, topics, c, name, out);
  pool_figures(b, d, topics, c->metric, name, out);
  return true;
}

bool admin_plugin_metrics(struct broker *b, bool topics, struct metrics_cursor *c,
                          struct buf *out) {
  size_t n;
  const struct plugin_info *plugins = plugins_list(b->plugins, &n);
  if (c->plugin == n) return true;
  const struct pb_transport *d = plugins[c->plugin].transport;
  if (!d || c->metric == transport_metrics(d)) {
    *c = (struct metrics_cursor){.plugin = c->plugin + 1};
  } else if (metric_next(b, d, topics, c, out)) {
    c->metric++;
    c->at = 0;
    c->sum = 0;
    c->headed = false;
  }
  return c->plugin == n;
}
