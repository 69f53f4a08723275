/* Owns how each node runs one topic: this node tells its own, and asks the others by letters. Nodes
 * that are away are in the list, too.
 *
 * Must never happen: a node that does not answer holds up the figures of the others for long.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

/* Why there are no figures of a node. */
enum missing { MISSING_AWAY, MISSING_SILENT, MISSING_UNCONFIGURED, MISSING_FAILED };
static const char *const missing_names[] = {"away", "silent", "unconfigured", "failed"};

static const char *const figures[] = {"state",   "why",   "since_ms", "pause",  "here",  "running",
                                      "workers", "taken", "rates",    "p50_ms", "p99_ms"};
#define N_FIGURES (sizeof figures / sizeof *figures)

/* The members of `figures`. */
static json_t *here_json(const struct topic *t) {
  const struct histogram *run = &t->counters.run;
  char why[400];
  json_t *o = json_object(), *rates = json_object();
  json_object_set_new(rates, "accepted", json_rate(t->queue->rates.accepted));
  json_object_set_new(rates, "done", json_rate(t->rates.done));
  json_object_set_new(rates, "failed", json_rate(t->rates.failed));
  json_object_set_new(o, "state", json_string(topic_state_names[t->state]));
  json_object_set_new(o, "why", json_cstr(topic_why(t, why, sizeof why)));
  json_object_set_new(o, "since_ms", json_u64(t->since_ms));
  json_object_set_new(o, "pause", topic_pause_json(t));
  json_object_set_new(o, "here", json_boolean(t->set->here));
  json_object_set_new(o, "running", json_u64(t->requests.running));
  json_object_set_new(o, "workers", json_u64(t->set->workers));
  json_object_set_new(o, "taken", json_u64(t->ready.n));
  json_object_set_new(o, "rates", rates);
  json_object_set_new(o, "p50_ms", run->count ? json_u64(histogram_ms(run, 500)) : json_null());
  json_object_set_new(o, "p99_ms", run->count ? json_u64(histogram_ms(run, 990)) : json_null());
  return o;
}

void admin_get_topic_here(struct call *c) {
  struct topic *t = call_topic(c);
  if (!t) return;
  metrics_freshen(c->view->metrics);
  call_json(c, 200, here_json(t));
}

/* --- rows: by the name of the node, in c->acc --- */

static void row_missing(json_t *row, enum missing m, const char *error) {
  json_object_set_new(row, "missing", json_string(missing_names[m]));
  json_object_set_new(row, "error", json_cstr(error));
}

static void row_fill(json_t *row, const json_t *told) {
  for (size_t i = 0; i < N_FIGURES; i++) {
    json_t *v = json_object_get(told, figures[i]);
    json_object_set(row, figures[i], v ? v : json_null());
  }
}

static json_t *row_new(const char *node, bool self, bool lives, json_t *heard_ms) {
  json_t *row = json_object();
  json_object_set_new(row, "node", json_cstr(node));
  json_object_set_new(row, "self", json_boolean(self));
  json_object_set_new(row, "alive", json_boolean(lives));
  json_object_set_new(row, "heard_ms", heard_ms);
  json_object_set_new(row, "missing", json_null());
  json_object_set_new(row, "error", json_null());
  row_fill(row, NULL);
  return row;
}

static void on_node(struct call *c, const char *node, bool lives, const json_t *report) {
  json_t *at = json_object_get(report, "at_ms");
  json_t *row = row_new(node, false, lives, json_is_integer(at) ? json_incref(at) : json_null());
  if (lives)
    row_missing(row, MISSING_SILENT, "the node has not answered in time");
  else
    row_missing(row, MISSING_AWAY, "the node is away");
  json_object_set_new(c->acc, node, row);
}

static void on_told(struct call *c, const char *node, int status, const json_t *reply,
                    const char *why) {
  json_t *row = json_object_get(c->acc, node), *body = json_object_get(reply, "body");
  json_int_t code = json_integer_value(json_object_get(reply, "status"));
  const char *error = json_string_value(json_object_get(body, "error"));
  if (!row) return;
  if (status != 200) {
    row_missing(row, status == 504 ? MISSING_SILENT : MISSING_FAILED, why);
  } else if (code != 200) {
    row_missing(row, code == 404 ? MISSING_UNCONFIGURED : MISSING_FAILED,
                error ? error : "the node cannot tell");
  } else {
    json_object_set_new(row, "missing", json_null());
    json_object_set_new(row, "error", json_null());
    row_fill(row, body);
  }
}

/* --- the answer --- */

static void own_add(struct call *c, const struct topic *t) {
  const char *own = c->view->settings->server.node;
  uint64_t now = loop_wall_ms(c->view->loop);
  json_t *row = row_new(own, true, true, json_u64(now)), *figures_here = here_json(t);
  row_fill(row, figures_here);
  json_decref(figures_here);
  json_object_set_new(c->acc, own, row);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *rows_sorted(const json_t *rows) {
  json_t *list = json_array(), *row;
  size_t n = 0;
  const char **names = calloc(json_object_size(rows) + 1, sizeof *names), *name;
  if (!names) out_of_memory();
  json_object_foreach((json_t *)rows, name, row) names[n++] = name;
  qsort(names, n, sizeof *names, by_name);
  for (size_t i = 0; i < n; i++) json_array_append(list, json_object_get(rows, names[i]));
  free(names);
  return list;
}

void admin_get_topic_nodes(struct call *c) {
  static const struct gather_how how = {LETTER_TOPIC, on_node, on_told};
  struct topic *t = call_topic(c);
  if (!t) return;
  if (!c->acc) {
    c->acc = json_object();
    call_gather(c, &how);
    return;
  }
  metrics_freshen(c->view->metrics);
  own_add(c, t);
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(t->set->path));
  json_object_set_new(o, "nodes", rows_sorted(c->acc));
  json_object_set_new(o, "error", *c->why ? json_cstr(c->why) : json_null());
  call_json(c, 200, o);
}
