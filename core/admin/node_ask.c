/* Owns requests of this port that other nodes answer: ?node=NAME sends a letter (control/letters.h)
 * with the rights of who asks, and ?node=all sums what all of them tell.
 *
 * Must never happen: who asks waits a minute for a node that is known to be away.
 */
#include "admin/private.h"

#include "accounts/identity_json.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONTENT_MAX (256u << 10) /* of a job that is tested on another node */
#define WAIT_MS     (LETTER_MS + 5000)
#define PATIENCE_MS 3000 /* with nodes that live but do not answer, where all are asked */

/* Which letter a route is, by the end of its path. */
static enum letter_kind kind_of(const struct call *c) {
  static const struct {
    const char *end;
    enum letter_kind kind;
  } kinds[] = {
      {"/ping", LETTER_PING},       {"/test", LETTER_TEST},      {"/pools", LETTER_POOL},
      {"/status", LETTER_STATUS},   {"/topics", LETTER_FIGURES}, {"/summary", LETTER_FIGURES},
      {"/systems", LETTER_FIGURES}, {"/queues", LETTER_FIGURES}, {"/storages", LETTER_STORAGES},
      {"/clients", LETTER_CLIENTS}, {"/clients/*", LETTER_KILL}, {"/log", LETTER_LOG}};
  size_t len = strlen(c->route->pattern), n;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (len >= (n = strlen(kinds[i].end)) && !strcmp(c->route->pattern + len - n, kinds[i].end))
      return kinds[i].kind;
  return LETTER_KINDS;
}

/* The rights of who asks. */
static json_t *identity_json(const struct identity *id) {
  json_t *systems = identity_systems_json(id);
  return json_pack("{ss si ss so sb sb}", "name", id->name, "how", (int)id->how, "role",
                   rights_role_name(id->role), "systems", systems, "contents", id->contents,
                   "entries", id->entries);
}

/* {who, args, query, content}; the content in base64. */
static json_t *letter_body(struct call *c) {
  size_t len;
  struct buf text = {0};
  const char *content = call_body(c, &len), *query = http_request_head(c->req)->query;
  json_t *args = json_array();
  for (size_t i = 0; i < ADMIN_ARGS_MAX && c->args[i]; i++)
    json_array_append_new(args, json_string(c->args[i]));
  base64_add(&text, content, len);
  json_t *o = json_pack("{so so ss ss}", "who", identity_json(c->identity), "args", args, "query",
                        query ? query : "", "content", len ? buf_text(&text) : "");
  buf_free(&text);
  return o;
}

/* --- one node --- */

static void on_reply(void *arg, int status, json_t *reply, const char *why) {
  struct call *c = arg;
  json_t *body = json_object_get(reply, "body");
  json_int_t code = json_integer_value(json_object_get(reply, "status"));
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (status != 200) {
    call_error(c, status, "%s: %s", json_string_value(json_object_get(c->acc, "node")), why);
  } else if (body && code >= 200 && code < 600) {
    call_json(c, (int)code, json_incref(body));
  } else {
    call_error(c, 503, "%s cannot do that: its release may be an older one",
               json_string_value(json_object_get(c->acc, "node")));
  }
  call_unref(c);
}

static void away_tell(struct call *c, const char *node, const json_t *report) {
  char when[40] = "it was never heard of";
  time_t at = (time_t)(json_integer_value(json_object_get(report, "at_ms")) / 1000);
  struct tm tm;
  if (at && gmtime_r(&at, &tm)) strftime(when, sizeof when, "since %Y-%m-%dT%H:%M:%SZ", &tm);
  call_error(c, 504, "node %.128s is away %s", node, when);
}

/* Only a node that lives is asked: who waits a minute for one that is away learns nothing. */
static void on_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct call *c = arg;
  const char *node = json_string_value(json_object_get(c->acc, "node"));
  json_t *report, *found = NULL;
  size_t i;
  json_array_foreach(nodes, i, report) {
    const char *name = json_string_value(json_object_get(report, "node"));
    if (name && !strcmp(name, node)) found = report;
  }
  if (call_answered(c)) {
    call_unref(c);
    return;
  }
  if (!rc && found && json_is_true(json_object_get(found, "alive"))) {
    control_ask(c->view->control, node, kind_of(c), c->identity->name,
                json_object_get(c->acc, "body"), on_reply, c);
    return;
  }
  if (rc)
    call_store_error(c, rc, why);
  else if (found)
    away_tell(c, node, found);
  else
    call_error(c, 404, "node %.128s has not been heard of", node);
  call_unref(c);
}

/* --- all nodes: each that lives is asked --- */

struct gather {
  struct call *c; /* NULL: it goes on without those that have not answered */
  const struct gather_how *how;
  struct timer patience;
  unsigned refs, awaited;
};

struct gather_ask {
  struct gather *g;
  char node[NAME_LEN_MAX + 1];
};

static void gather_unref(struct gather *g) {
  if (--g->refs) return;
  timer_done(&g->patience);
  free(g);
}

static void gather_end(struct gather *g) {
  struct call *c = g->c;
  if (!c) return;
  g->c = NULL;
  timer_stop(&g->patience);
  call_return(c);
}

static void on_patience(void *arg) {
  struct gather *g = arg;
  g->refs++;
  gather_end(g);
  gather_unref(g);
}

static void on_told(void *arg, int status, json_t *reply, const char *why) {
  struct gather_ask *ask = arg;
  struct gather *g = ask->g;
  if (g->c) g->how->told(g->c, ask->node, status, reply, why);
  free(ask);
  if (!--g->awaited) gather_end(g);
  gather_unref(g);
}

static void gather_ask(struct gather *g, const char *node, const json_t *body) {
  struct call *c = g->c;
  struct gather_ask *ask = calloc(1, sizeof *ask);
  if (!ask) out_of_memory();
  ask->g = g;
  snprintf(ask->node, sizeof ask->node, "%s", node);
  g->refs++;
  g->awaited++;
  control_ask(c->view->control, node, g->how->kind, c->identity->name, body, on_told, ask);
}

static void on_all_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct gather *g = arg;
  struct call *c = g->c;
  const char *own = c->view->settings->server.node;
  json_t *report, *body = call_answered(c) ? NULL : letter_body(c);
  size_t i;
  if (rc) snprintf(c->why, sizeof c->why, "%s", why); /* then there is nobody to be asked */
  json_array_foreach(nodes, i, report) {
    const char *name = json_string_value(json_object_get(report, "node"));
    bool lives = json_is_true(json_object_get(report, "alive"));
    if (!body || !name || !strcmp(name, own) || strlen(name) > NAME_LEN_MAX) continue;
    g->how->node(c, name, lives, report);
    if (lives) gather_ask(g, name, body);
  }
  json_decref(body);
  if (g->awaited)
    timer_start(&g->patience, PATIENCE_MS);
  else
    gather_end(g);
  gather_unref(g);
}

void call_gather(struct call *c, const struct gather_how *how) {
  struct gather *g = calloc(1, sizeof *g);
  if (!g) out_of_memory();
  g->c = c;
  g->how = how;
  g->refs = 1;
  timer_init(&g->patience, c->view->loop, on_patience, g);
  call_wait(c, ADMIN_WAIT_MS);
  control_nodes(c->view->control, on_all_nodes, g);
}

/* --- what each of them tells of all topics is summed: {sums, nodes, missing} in c->acc --- */

/* [taken, attempts, accepted, done, failed]; the last three a second. */
static void sums_add(json_t *sums, const char *topic, const json_t *row) {
  json_t *sum = json_object_get(sums, topic);
  if (!sum) {
    json_object_set_new(sums, topic, json_array());
    sum = json_object_get(sums, topic);
  }
  for (size_t i = 0; i < FIGURES_ROW; i++) {
    double v = json_number_value(json_array_get(row, i)),
           had = json_number_value(json_array_get(sum, i));
    if (i < json_array_size(sum))
      json_array_set_new(sum, i, json_real(had + v));
    else
      json_array_append_new(sum, json_real(v));
  }
}

static void list_drop(json_t *list, const char *text) {
  for (size_t i = json_array_size(list); i--;)
    if (!strcmp(json_string_value(json_array_get(list, i)), text)) json_array_remove(list, i);
}

static void sums_node(struct call *c, const char *node, bool lives, const json_t *report) {
  (void)report;
  if (lives) json_array_append_new(json_object_get(c->acc, "missing"), json_string(node));
}

static void sums_told(struct call *c, const char *node, int status, const json_t *reply,
                      const char *why) {
  json_t *topics = json_object_get(json_object_get(reply, "body"), "figures"), *row;
  const char *topic;
  (void)why;
  if (status != 200 || !json_is_object(topics)) return;
  json_object_foreach(topics, topic, row) sums_add(json_object_get(c->acc, "sums"), topic, row);
  json_array_append_new(json_object_get(c->acc, "nodes"), json_string(node));
  list_drop(json_object_get(c->acc, "missing"), node);
}

static void sums_gather(struct call *c) {
  static const struct gather_how how = {LETTER_FIGURES, sums_node, sums_told};
  c->acc = json_pack("{s{} s[s] s[]}", "sums", "nodes", c->view->settings->server.node, "missing");
  call_gather(c, &how);
}

/* --- what a request says of the node --- */

static bool ask_is_possible(struct call *c) {
  struct control *control = c->view->control;
  if (control_store(control) && control_seal(control)) return true;
  call_error(c, 503, "another node cannot be asked: %s", control_why(control));
  return false;
}

static void pass_to(struct call *c, const char *node) {
  c->acc = json_pack("{ss so}", "node", node, "body", letter_body(c));
  call_wait(c, WAIT_MS);
  control_nodes(c->view->control, on_nodes, c);
}

bool call_passes_named(struct call *c) {
  const char *node = c->args[0];
  if (!strcmp(node, c->view->settings->server.node)) return false;
  if (c->asked_here || strlen(node) > NAME_LEN_MAX)
    call_error(c, 404, "there is no node %.100s here", node);
  else if (ask_is_possible(c))
    pass_to(c, node);
  return true;
}

bool call_passes(struct call *c) {
  char node[NAME_LEN_MAX + 2];
  size_t len;
  enum letter_kind kind = kind_of(c);
  if (!call_query(c, "node", node, sizeof node) || !strcmp(node, c->view->settings->server.node))
    return false;
  if (kind == LETTER_FIGURES && strcmp(node, "all")) {
    call_error(c, 400, "node=all sums the figures of all nodes; another node is asked itself");
    return true;
  }
  (void)call_body(c, &len);
  if (len > CONTENT_MAX) {
    call_error(c, 413, "a job of more than %u bytes is tested on the node itself", CONTENT_MAX);
  } else if (!ask_is_possible(c)) {
    return true;
  } else if (kind == LETTER_FIGURES) {
    sums_gather(c);
  } else {
    pass_to(c, node);
  }
  return true;
}
