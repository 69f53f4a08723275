/* Owns what plugins tell of themselves and of their workers: the list of plugins, pools with their
 * health, and the plugins' own figures as JSON and for Prometheus.
 */
#include "admin_internal.h"

#include "broker.h"
#include "buf.h"
#include "transport.h"

#include <stdlib.h>
#include <string.h>

#define POOLS_MAX     1024

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

void admin_set_figures(json_t *o, struct instance *in) {
  char text[512];
  int health = instance_health(in, text, sizeof text);
  set_health(o, health, text);
  json_object_set_new(o, "figures", figures_json(instance_transport(in), PB_SCOPE_TOPIC,
                                                 instance_figures(in)));
}

static void set_pool_figures(json_t *o, struct transports *tr, const char *name) {
  struct pool_run *p = NULL;
  while ((p = transports_pool(tr, p)) && strcmp(pool_run_name(p), name)) {}
  if (!p) return;
  char text[512];
  int health = pool_run_health(p, text, sizeof text);
  set_health(o, health, text);
  json_object_set_new(o, "figures", figures_json(pool_run_transport(p), PB_SCOPE_POOL,
                                                 pool_run_figures(p)));
}

json_t *admin_pools_json(struct broker *b) {
  json_t *list = json_array();
  struct pool_status *p = calloc(POOLS_MAX, sizeof *p);
  size_t n = p ? dispatcher_pools(b->dispatcher, p, POOLS_MAX) : 0;
  for (size_t i = 0; i < n; i++) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_cstr(p[i].name));
    json_object_set_new(o, "run_type", json_cstr(p[i].run_type));
    json_object_set_new(o, "max", json_u64(p[i].max));
    json_object_set_new(o, "busy", json_u64(p[i].busy));
    json_object_set_new(o, "waiting_topics", json_u64(p[i].waiting_topics));
    set_pool_figures(o, dispatcher_transports(b->dispatcher), p[i].name);
    json_array_append_new(list, o);
  }
  free(p);
  return list;
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

/* A run type may have other characters than a metric's name. */
static void metric_name(const struct pb_transport *d, const struct pb_metric *m, char *ret,
                        size_t size) {
  snprintf(ret, size, "pepperbus_%s_%s", d->run_type, m->name);
  for (char *p = ret; *p; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'))) *p = '_';
}

static void topic_figures(struct broker *b, const struct pb_transport *d, size_t i,
                          const char *name, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(b->registry, &n);
  for (size_t k = 0; k < n; k++) {
    const struct topic *t = topics[k];
    if (!t->inst || instance_transport(t->inst) != d) continue;
    buf_printf(out, "%s{queue=\"%s\",topic=\"%s\"} %.15g\n", name, t->set->queue->name,
               t->set->name, instance_figures(t->inst)[i]);
  }
}

static void pool_figures(struct broker *b, const struct pb_transport *d, size_t i,
                         const char *name, struct buf *out) {
  struct pool_run *p = NULL;
  while ((p = transports_pool(dispatcher_transports(b->dispatcher), p)))
    if (pool_run_transport(p) == d)
      buf_printf(out, "%s{pool=\"%s\"} %.15g\n", name, pool_run_name(p), pool_run_figures(p)[i]);
}

void admin_plugin_metrics(struct broker *b, struct buf *out) {
  size_t n;
  const struct plugin_info *plugins = plugins_list(b->plugins, &n);
  for (size_t k = 0; k < n; k++) {
    const struct pb_transport *d = plugins[k].transport;
    size_t metrics = d ? transport_metrics(d) : 0;
    for (size_t i = 0; i < metrics; i++) {
      const struct pb_metric *m = transport_metric(d, i);
      char name[256];
      metric_name(d, m, name, sizeof name);
      buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, m->help ? m->help : "", name,
                 m->type == PB_METRIC_COUNTER ? "counter" : "gauge");
      (m->scope == PB_SCOPE_TOPIC ? topic_figures : pool_figures)(b, d, i, name, out);
    }
  }
}
