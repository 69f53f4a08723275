/* Owns what plugins tell of themselves: their list, health, and their own figures. */
#include "admin/private.h"

#include "base/json_write.h"
#include "transport/plugin_loader.h"
#include "transport/transport.h"

#include <string.h>

static const char *const health_words[] = {
    [PB_HEALTH_OK] = "ok", [PB_HEALTH_DEGRADED] = "degraded", [PB_HEALTH_DOWN] = "down"};

void plugin_set_health(json_t *o, int health, const char *text) {
  json_object_set_new(o, "health", json_string(health_words[health]));
  json_object_set_new(o, "health_text", json_cstr(text));
}

json_t *plugin_figures_json(const struct pb_transport *d, uint32_t scope, const double *figures) {
  json_t *o = json_object();
  size_t n = figures ? transport_metrics(d) : 0;
  for (size_t i = 0; i < n; i++) {
    const struct pb_metric *m = transport_metric(d, i);
    if (m->scope == scope) json_object_set_new(o, m->name, json_real(figures[i]));
  }
  return o;
}

void plugin_write_health(struct buf *out, struct instance *in) {
  char text[512];
  int health = instance_health(in, text, sizeof text);
  json_write_text(out, "health", health_words[health]);
  json_write_text(out, "health_text", text);
}

void plugin_set_topic_figures(json_t *o, struct instance *in) {
  json_object_set_new(
      o, "figures",
      plugin_figures_json(instance_transport(in), PB_SCOPE_TOPIC, instance_figures(in)));
}

json_t *plugins_json(const struct admin_view *v) {
  size_t n;
  char abi[32];
  json_t *list = json_array();
  const struct plugin_info *p = plugins_list(v->plugins, &n);
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
