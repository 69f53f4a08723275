/* Owns what is known of all nodes: their reports, and which of them live by the storage's own
 * registry of nodes. What this node tells of itself needs no storage.
 *
 * Must never happen: an answer with a member that no report has, or with a wrong type.
 */
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/private.h"

#include <stdlib.h>
#include <string.h>

/* --- reports --- */

/* Whoever reaches the storage can write there: only what a report has is taken over. */
static bool row_is_sound(const json_t *row, bool clash) {
  return json_is_string(json_object_get(row, "kind")) &&
         json_is_string(json_object_get(row, "name")) &&
         json_is_string(json_object_get(row, clash ? "file" : "why")) &&
         (!clash || json_is_integer(json_object_get(row, "line"))) &&
         json_object_size(row) == (clash ? 4 : 3);
}

static bool rows_are_sound(const json_t *list, bool clash) {
  if (!json_is_array(list) || json_array_size(list) > REPORT_ROWS_MAX) return false;
  for (size_t i = 0; i < json_array_size(list); i++)
    if (!row_is_sound(json_array_get(list, i), clash)) return false;
  return true;
}

/* A new object; NULL: this is no report. */
static json_t *report_read(const struct store_doc *d) {
  static const char *const texts[] = {"node", "version", "hash",     "state",
                                      "why",  "key_id",  "key_state"};
  static const char *const numbers[] = {"number", "refused", "n_broken", "at_ms"};
  json_t *o = json_loadb(d->data, d->len, 0, NULL), *to = json_object();
  const char *node = json_string_value(json_object_get(o, "node"));
  json_t *figures = json_object_get(o, "figures");
  bool sound = node && !strcmp(node, d->id) &&
               rows_are_sound(json_object_get(o, "broken"), false) &&
               rows_are_sound(json_object_get(o, "clashes"), true);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    json_t *v = json_object_get(o, texts[i]);
    sound = sound && json_is_string(v);
    if (v) json_object_set(to, texts[i], v);
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    json_t *v = json_object_get(o, numbers[i]);
    sound = sound && json_is_integer(v) && json_integer_value(v) >= 0;
    if (v) json_object_set(to, numbers[i], v);
  }
  if (sound) {
    json_object_set(to, "broken", json_object_get(o, "broken"));
    json_object_set(to, "clashes", json_object_get(o, "clashes"));
    json_object_set_new(to, "drained", json_boolean(json_is_true(json_object_get(o, "drained"))));
    json_object_set_new(to, "figures",
                        json_is_object(figures) ? json_incref(figures) : json_null());
  }
  json_decref(o);
  if (sound) return to;
  json_decref(to);
  return NULL;
}

/* --- asking --- */

struct nodes_ask {
  struct control *c;
  control_nodes_fn fn;
  void *arg;
  json_t *nodes; /* by their names */
};

/* A node that has not reported yet. */
static json_t *node_silent(const char *name) {
  return json_pack("{ss ss sI ss ss sI ss s[] s[] sI ss ss sn sI}", "node", name, "version", "",
                   "number", (json_int_t)0, "hash", "", "state", "unknown", "refused",
                   (json_int_t)0, "why", "it has not told what it runs", "broken", "clashes",
                   "n_broken", (json_int_t)0, "key_id", "", "key_state", "", "figures", "at_ms",
                   (json_int_t)0);
}

/* This node knows best what it runs itself. */
static void own_set(struct nodes_ask *ask) {
  struct control *c = ask->c;
  struct store *s = control_store(c);
  uint64_t now = s ? store_clock_ms(s) : loop_wall_ms(c->loop);
  json_t *o = report_json(c);
  json_object_set_new(o, "at_ms", json_integer((json_int_t)now));
  json_object_set_new(o, "alive", json_true());
  json_object_set_new(ask->nodes, c->settings->server.node, o);
}

static void ask_end(struct nodes_ask *ask, enum store_rc rc, const char *why) {
  json_t *list = json_array(), *o;
  const char *name;
  if (!ask->c->stopped) own_set(ask);
  json_object_foreach(ask->nodes, name, o) {
    if (!json_object_get(o, "alive")) json_object_set_new(o, "alive", json_false());
    if (json_is_false(json_object_get(o, "alive")))
      json_object_set_new(o, "state", json_string("away"));
    json_array_append(list, o);
  }
  ask->fn(ask->arg, rc, list, why);
  json_decref(list);
  json_decref(ask->nodes);
  free(ask);
}

static void on_registry(void *arg, enum store_rc rc, const struct store_node *n, size_t count) {
  struct nodes_ask *ask = arg;
  for (size_t i = 0; !rc && i < count; i++) {
    json_t *o = json_object_get(ask->nodes, n[i].name);
    if (!o && json_object_set_new(ask->nodes, n[i].name, node_silent(n[i].name))) continue;
    if (!o) o = json_object_get(ask->nodes, n[i].name);
    if (json_integer_value(json_object_get(o, "at_ms")) < (json_int_t)n[i].seen_ms || n[i].alive)
      json_object_set_new(o, "at_ms", json_integer((json_int_t)n[i].seen_ms));
    json_object_set_new(o, "alive", json_boolean(n[i].alive));
  }
  ask_end(ask, rc, rc ? "the storage did not tell which nodes live" : "");
}

static void on_reports(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                       const char *why) {
  struct nodes_ask *ask = arg;
  struct store *s = control_store(ask->c);
  for (size_t i = 0; !rc && i < n; i++) {
    json_t *o = report_read(&d[i]);
    if (o) json_object_set_new(ask->nodes, d[i].id, o);
  }
  if (!rc && s)
    store_nodes(s, on_registry, ask);
  else
    ask_end(ask, rc ? rc : STORE_UNAVAILABLE, rc ? why : control_why(ask->c));
}

struct later { /* an answer that may not come from within the call */
  struct deferred d;
  struct nodes_ask *ask;
};

static void answer_away(void *arg) {
  struct later *later = arg;
  struct nodes_ask *ask = later->ask;
  free(later);
  ask_end(ask, STORE_UNAVAILABLE, control_why(ask->c));
}

void control_nodes(struct control *c, control_nodes_fn fn, void *arg) {
  struct store *s = control_store(c);
  struct nodes_ask *ask = malloc(sizeof *ask);
  if (!ask) out_of_memory();
  *ask = (struct nodes_ask){c, fn, arg, json_object()};
  if (s) {
    store_doc_list(s, STORE_DOC_REPORT, on_reports, ask);
    return;
  }
  struct later *later = calloc(1, sizeof *later);
  if (!later) out_of_memory();
  later->ask = ask;
  loop_defer(c->loop, &later->d, answer_away, later);
}
