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

/* What a system has. */
struct system_has {
  struct topic_sums sums;
  size_t queues;
  json_t *storages, *pools; /* objects whose keys are the names */
};

static size_t system_at(const struct settings *set, const struct system_settings *system) {
  size_t i = 0;
  while (i < set->n_systems && strcmp(set->systems[i]->name, system_name(system)) != 0) i++;
  return i;
}

/* A storage or pool is listed where topics of the system use it, and where it is the system's own.
 * Each topic is looked at once: there may be 10,000 of them, and a hundred systems. */
static void has_fill(struct system_has *has, const struct settings *set) {
  for (size_t i = 0; i <= set->n_systems; i++) {
    has[i].storages = json_object();
    has[i].pools = json_object();
  }
  for (size_t i = 0; i < set->n_storages; i++)
    if (set->storages[i]->system)
      json_object_set_new(has[system_at(set, set->storages[i]->system)].storages,
                          set->storages[i]->name, json_true());
  for (size_t i = 0; i < set->n_queues; i++) {
    const struct queue_settings *q = set->queues[i];
    struct system_has *x = &has[system_at(set, q->system)];
    x->queues++;
    for (size_t k = 0; k < q->n_topics; k++) {
      const struct topic_settings *t = q->topics[k];
      if (t->storage) json_object_set_new(x->storages, t->storage->name, json_true());
      if (t->pool) json_object_set_new(x->pools, t->pool->name, json_true());
    }
  }
}

static void has_free(struct system_has *has, size_t n) {
  for (size_t i = 0; i < n; i++) {
    json_decref(has[i].storages);
    json_decref(has[i].pools);
  }
  free(has);
}

static json_t *keys_json(json_t *names) {
  json_t *list = json_array(), *value;
  const char *name;
  json_object_foreach(names, name, value) json_array_append_new(list, json_cstr(name));
  return list;
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
                           const struct system_has *has) {
  const struct settings *set = c->view->settings;
  json_t *o = json_object();
  json_object_set_new(o, "name", json_cstr(system_name(system)));
  json_object_set_new(o, "title", json_cstr(system && system->title ? system->title : ""));
  json_object_set_new(o, "comment", json_cstr(system && system->comment ? system->comment : ""));
  json_object_set_new(o, "place", json_string(system && system->shared ? "shared" : "local"));
  json_object_set_new(o, "topics", json_u64(has->sums.topics));
  json_object_set_new(o, "nodes", nodes_json(set, system));
  json_object_set_new(o, "queues", json_u64(has->queues));
  json_object_set_new(o, "storages", keys_json(has->storages));
  json_object_set_new(o, "pools", keys_json(has->pools));
  topic_sums_put(o, &has->sums);
  return o;
}

/* The last of `has` is of what has no system. */
static json_t *systems_json(const struct call *c, const struct system_has *has) {
  const struct settings *set = c->view->settings;
  json_t *o = json_object(), *list = json_array();
  for (size_t i = 0; i < set->n_systems; i++)
    if (call_sees(c, set->systems[i]->name))
      json_array_append_new(list, system_json(c, set->systems[i], &has[i]));
  if (has[set->n_systems].sums.topics || !set->n_systems)
    if (call_sees(c, "")) json_array_append_new(list, system_json(c, NULL, &has[set->n_systems]));
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
  struct system_has *has = calloc(set->n_systems + 1, sizeof *has);
  if (!has) {
    call_error(c, 500, "out of memory");
    return;
  }
  has_fill(has, set);
  const json_t *others = json_object_get(c->acc, "sums");
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    if (!i || t->set->queue->system != last) at = system_at(set, t->set->queue->system);
    last = t->set->queue->system;
    topic_sums_add(&has[at].sums, t, depths_seen(d, i),
                   others ? json_object_get(others, t->set->path) : NULL);
  }
  json_t *o = systems_json(c, has);
  has_free(has, set->n_systems + 1);
  call_json(c, 200, o);
}
