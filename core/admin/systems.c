/* Owns the list of systems: what each of them has, and how its topics do. */
#include "admin/private.h"

#include "control/control.h"

#include <stdlib.h>
#include <string.h>

/* Neither the name nor the section of a system that is not configured: what has none. */
static const char *system_name(const struct system_settings *system) {
  return system ? system->name : "";
}

static void set_add(json_t *names, const char *name) {
  size_t i;
  json_t *one;
  json_array_foreach(names, i, one) if (!strcmp(json_string_value(one), name)) return;
  json_array_append_new(names, json_cstr(name));
}

/* A storage or pool is listed where topics of the system use it, and where it is the system's own.
 */
static void put_used(json_t *o, const struct settings *set, const struct system_settings *system) {
  json_t *storages = json_array(), *pools = json_array();
  size_t queues = 0;
  for (size_t i = 0; i < set->n_queues; i++) queues += set->queues[i]->system == system;
  for (size_t i = 0; system && i < set->n_storages; i++)
    if (set->storages[i]->system == system) set_add(storages, set->storages[i]->name);
  for (size_t i = 0; i < set->n_topics; i++) {
    const struct topic_settings *t = set->topics[i];
    if (t->queue->system != system) continue;
    if (t->storage) set_add(storages, t->storage->name);
    if (t->pool) set_add(pools, t->pool->name);
  }
  json_object_set_new(o, "queues", json_u64(queues));
  json_object_set_new(o, "storages", storages);
  json_object_set_new(o, "pools", pools);
}

static bool words_have(const char *const *words, const char *word) {
  if (!words || !*words) return true; /* all of them */
  while (*words && strcmp(*words, word)) words++;
  return *words;
}

/* The systems that a node runs: by its [node] section, or by the [server] of this node. */
static bool node_runs(const struct settings *set, const char *node,
                      const struct system_settings *system) {
  for (size_t i = 0; i < set->n_nodes; i++) {
    const struct node_settings *n = set->nodes[i];
    if (strcmp(n->name, node) != 0) continue;
    if (n->drain) return false;
    for (size_t k = 0; k < n->n_systems; k++)
      if (n->systems[k] == system) return true;
    if (n->n_systems) return false;
  }
  return strcmp(node, set->server.node) || words_have(set->server.systems, system_name(system));
}

static json_t *nodes_json(const struct settings *set, const struct system_settings *system) {
  json_t *list = json_array();
  if (node_runs(set, set->server.node, system)) set_add(list, set->server.node);
  for (size_t i = 0; i < set->n_nodes; i++)
    if (node_runs(set, set->nodes[i]->name, system)) set_add(list, set->nodes[i]->name);
  return list;
}

static json_t *system_json(const struct call *c, const struct system_settings *system,
                           const struct topic_sums *sums) {
  const struct settings *set = c->view->settings;
  json_t *o = json_object();
  json_object_set_new(o, "name", json_cstr(system_name(system)));
  json_object_set_new(o, "title", json_cstr(system && system->title ? system->title : ""));
  json_object_set_new(o, "comment", json_cstr(system && system->comment ? system->comment : ""));
  json_object_set_new(o, "place", json_string(system && system->shared ? "shared" : "local"));
  json_object_set_new(o, "topics", json_u64(sums->topics));
  json_object_set_new(o, "nodes", nodes_json(set, system));
  put_used(o, set, system);
  topic_sums_put(o, sums);
  return o;
}

/* The last of `sums` is of topics without a system. */
static size_t system_at(const struct settings *set, const struct system_settings *system) {
  size_t i = 0;
  while (i < set->n_systems && strcmp(set->systems[i]->name, system_name(system)) != 0) i++;
  return i;
}

static json_t *systems_json(const struct call *c, const struct topic_sums *sums) {
  const struct settings *set = c->view->settings;
  json_t *o = json_object(), *list = json_array();
  for (size_t i = 0; i < set->n_systems; i++)
    if (call_sees(c, set->systems[i]->name))
      json_array_append_new(list, system_json(c, set->systems[i], &sums[i]));
  if (sums[set->n_systems].topics || !set->n_systems)
    if (call_sees(c, "")) json_array_append_new(list, system_json(c, NULL, &sums[set->n_systems]));
  json_object_set_new(o, "systems", list);
  if (c->acc) json_object_set(o, "nodes", json_object_get(c->acc, "nodes"));
  if (c->acc) json_object_set(o, "missing", json_object_get(c->acc, "missing"));
  return o;
}

void admin_get_systems(struct call *c) {
  size_t n, at = 0;
  const struct system_settings *last = NULL;
  const struct settings *set = c->view->settings;
  const struct depths *d = depths_now(c->view->metrics);
  if (call_again(c, topic_depths_settled, DEPTHS_WAIT_MS)) return;
  metrics_freshen(c->view->metrics);
  struct topic_sums *sums = calloc(set->n_systems + 1, sizeof *sums);
  if (!sums) {
    call_error(c, 500, "out of memory");
    return;
  }
  const json_t *others = json_object_get(c->acc, "sums");
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    if (!i || t->set->queue->system != last) at = system_at(set, t->set->queue->system);
    last = t->set->queue->system;
    topic_sums_add(&sums[at], t, depths_seen(d, i),
                   others ? json_object_get(others, t->set->path) : NULL);
  }
  json_t *o = systems_json(c, sums);
  free(sums);
  call_json(c, 200, o);
}
