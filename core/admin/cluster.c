/* Owns the cluster as a whole: its name, its key, its nodes; and nodes that are taken out. */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

/* Names of topics that may belong to other systems are for those who may see them. */
static json_t *nodes_shown(const struct call *c, json_t *nodes) {
  json_t *list = json_array(), *node;
  size_t i;
  json_array_foreach(nodes, i, node) {
    json_t *o = json_copy(node);
    if (!call_sees(c, "")) {
      json_object_del(o, "broken");
      json_object_del(o, "clashes");
      json_object_del(o, "why");
      json_object_set_new(o, "figures", json_null());
    }
    json_array_append_new(list, o);
  }
  return list;
}

/* What forged reports could hold does not count. */
static double figure(const json_t *figures, const char *name) {
  double v = json_number_value(json_object_get(figures, name));
  return v > 0 && v < 1e15 ? v : 0;
}

/* Of all nodes that live, as they reported; null for who does not see all systems. */
static json_t *figures_sum(const struct call *c, const json_t *nodes) {
  static const char *const counts[] = {"taken", "attempts", "accepted", "done", "failed"};
  static const char *const rates[] = {"accepted", "done", "failed"};
  double count[5] = {0}, rate[3] = {0};
  json_t *o = json_object(), *per_second = json_object(), *node;
  size_t i;
  if (!call_sees(c, "")) {
    json_decref(o);
    json_decref(per_second);
    return json_null();
  }
  json_array_foreach(nodes, i, node) {
    const json_t *figures = json_object_get(node, "figures");
    if (!json_is_true(json_object_get(node, "alive"))) continue;
    for (int k = 0; k < 5; k++) count[k] += figure(figures, counts[k]);
    for (int k = 0; k < 3; k++) rate[k] += figure(json_object_get(figures, "rates"), rates[k]);
  }
  for (int k = 0; k < 5; k++) json_object_set_new(o, counts[k], json_u64((uint64_t)count[k]));
  for (int k = 0; k < 3; k++) json_object_set_new(per_second, rates[k], json_rate(rate[k]));
  json_object_set_new(o, "rates", per_second);
  return o;
}

static void on_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct call *c = arg;
  if (!call_answered(c)) {
    const struct cluster_settings *set = &c->view->settings->cluster;
    struct control_status st;
    json_t *o = json_object();
    control_status(c->view->control, &st);
    json_object_set_new(o, "name", json_cstr(st.cluster));
    json_object_set_new(o, "title", json_cstr(set->title));
    json_object_set_new(o, "colour", json_cstr(set->colour));
    shared_state_put(o, &st);
    json_object_set_new(o, "figures", figures_sum(c, nodes));
    json_object_set_new(o, "nodes", nodes_shown(c, nodes));
    if (rc) json_object_set_new(o, "error", json_cstr(why));
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_cluster(struct call *c) {
  call_wait(c, ADMIN_WAIT_MS);
  control_nodes(c->view->control, on_nodes, c);
}

/* --- what both changes of a node share --- */

/* The next step of a change. NULL: there is none, the call is answered and released. */
static struct store *next_store(struct call *c, enum store_rc rc, const char *why) {
  struct store *s = control_store(c->view->control);
  if (rc && !call_answered(c)) call_store_error(c, rc, why);
  if (!s && !call_answered(c)) call_error(c, 503, "the storage is away");
  if (!call_answered(c)) return s;
  call_unref(c);
  return NULL;
}

/* Of those that have been heard of; NULL: it is none of them. */
static const json_t *node_named(const json_t *nodes, const char *name) {
  json_t *node;
  size_t i;
  json_array_foreach(nodes, i, node) {
    const char *its = json_string_value(json_object_get(node, "node"));
    if (its && !strcmp(its, name)) return node;
  }
  return NULL;
}

static void not_heard_of(struct call *c) {
  call_error(c, 404, "node %.128s has not been heard of", c->args[0]);
}

/* --- a node is taken out --- */

static void on_drain_gone(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  (void)count;
  if (rc && !call_answered(c)) call_store_error(c, rc, why);
  if (!call_answered(c) && !c->count) {
    not_heard_of(c);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set_new(o, "node", json_cstr(c->args[0]));
    json_object_set_new(o, "removed", json_true());
    call_json(c, 200, o);
  }
  call_unref(c);
}

static void on_names_gone(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  struct store *s = next_store(c, rc, why);
  (void)count;
  if (s) store_doc_delete(s, STORE_DOC_DRAIN, c->args[0], on_drain_gone, c);
}

static void on_report_gone(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  c->count = count;
  struct store *s = next_store(c, rc, why);
  if (s) store_doc_delete(s, STORE_DOC_NAMES, c->args[0], on_names_gone, c);
}

static void on_known(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct call *c = arg;
  const json_t *node = node_named(nodes, c->args[0]);
  if (!rc && !call_answered(c) && json_is_true(json_object_get(node, "alive")))
    call_error(c, 409, "node %.128s is alive; stop it first, or drain it", c->args[0]);
  struct store *s = next_store(c, rc, why);
  if (s) store_doc_delete(s, STORE_DOC_REPORT, c->args[0], on_report_gone, c);
}

void admin_delete_node(struct call *c) {
  call_wait(c, ADMIN_WAIT_MS);
  control_nodes(c->view->control, on_known, c);
}

/* --- a node is drained: a state, no revision --- */

static void on_drained(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  (void)count;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "node", json_cstr(c->args[0]));
    json_object_set_new(o, "drain", json_boolean(c->status));
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* c->status: drained or not. */
static void drain_set(struct call *c, struct store *s) {
  const char *node = c->args[0];
  char by[STORE_ACT_TEXT_MAX];
  if (!c->status) {
    store_doc_delete(s, STORE_DOC_DRAIN, node, on_drained, c);
    return;
  }
  call_by(c, by, sizeof by);
  json_t *o =
      json_pack("{so sI}", "by", json_text(by, strlen(by)), "at_ms", (json_int_t)store_clock_ms(s));
  char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
  if (!text) out_of_memory();
  store_doc_put(s, STORE_DOC_DRAIN, node, text, strlen(text), 0, STORE_DOC_ALWAYS, on_drained, c);
  free(text);
  json_decref(o);
}

static void on_drain_known(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct call *c = arg;
  if (!rc && !call_answered(c) && !node_named(nodes, c->args[0])) not_heard_of(c);
  struct store *s = next_store(c, rc, why);
  if (s) drain_set(c, s);
}

/* A section that says drain = yes cannot be taken back by a state. */
static bool is_drained_by_section(const struct call *c) {
  const struct settings *set = c->view->settings;
  for (size_t i = 0; i < set->n_nodes; i++)
    if (!strcmp(set->nodes[i]->name, c->args[0])) return set->nodes[i]->drain;
  return false;
}

void admin_post_drain(struct call *c) {
  json_t *body = call_body_json(c), *drain = json_object_get(body, "drain");
  if (!body) return;
  if (!json_is_boolean(drain)) {
    call_error(c, 400, "say {\"drain\": true} or {\"drain\": false}");
  } else if (!json_is_true(drain) && is_drained_by_section(c)) {
    call_error(c, 409, "the configuration drains the node: [node %.128s] drain = yes", c->args[0]);
  } else {
    c->status = json_is_true(drain);
    call_wait(c, ADMIN_WAIT_MS);
    control_nodes(c->view->control, on_drain_known, c);
  }
  json_decref(body);
}
