/* Owns what the storages know of nodes. */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>

struct nodes_ask {
  struct call *c;
  char storage[NAME_LEN_MAX + 1];
};

static void nodes_end(struct call *c) {
  if (c->pending) return;
  json_t *o = json_object();
  json_object_set(o, "nodes", c->acc);
  if (*c->why) json_object_set_new(o, "error", json_cstr(c->why));
  call_json(c, 200, o);
}

static void on_nodes(void *arg, enum store_rc rc, const struct store_node *n, size_t count) {
  struct nodes_ask *ask = arg;
  struct call *c = ask->c;
  if (rc) snprintf(c->why, sizeof c->why, "storage %s did not list its nodes", ask->storage);
  for (size_t i = 0; !rc && i < count && !call_answered(c); i++) {
    json_t *o = json_object();
    json_object_set_new(o, "node", json_cstr(n[i].name));
    json_object_set_new(o, "storage", json_cstr(ask->storage));
    json_object_set_new(o, "shard", json_integer(n[i].shard));
    json_object_set_new(o, "seen_ms", json_u64(n[i].seen_ms));
    json_object_set_new(o, "alive", json_boolean(n[i].alive));
    json_object_set_new(o, "self",
                        json_boolean(!strcmp(n[i].name, c->view->settings->server.node)));
    json_array_append_new(c->acc, o);
  }
  free(ask);
  c->pending--;
  nodes_end(c);
  call_unref(c);
}

/* --- the log of one --- */

#define LINES_DEFAULT 100
#define LINES_MAX     1000

void admin_get_node_log(struct call *c) {
  uint64_t lines;
  if (!call_query_u64(c, "lines", LINES_DEFAULT, LINES_MAX, &lines) || call_passes_named(c)) return;
  char *text = log_tail(c->view->log, lines);
  json_t *o = json_object(), *list = json_array();
  for (char *p = text, *end; p && (end = strchr(p, '\n')); p = end + 1)
    json_array_append_new(list, json_text(p, (size_t)(end - p)));
  free(text);
  json_object_set_new(o, "node", json_cstr(c->view->settings->server.node));
  json_object_set_new(o, "lines", list);
  call_json(c, 200, o);
}

/* --- all of them --- */

void admin_get_nodes(struct call *c) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  c->acc = json_array();
  for (size_t i = 0; i < n; i++) {
    struct nodes_ask *ask = malloc(sizeof *ask);
    if (!ask) continue;
    ask->c = c;
    snprintf(ask->storage, sizeof ask->storage, "%s", store_name(stores[i]));
    c->pending++;
    call_wait(c, ADMIN_WAIT_MS);
    store_nodes(stores[i], on_nodes, ask);
  }
  nodes_end(c);
}
