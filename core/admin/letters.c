/* Owns requests of this port that another node answers, on both sides: ?node=NAME sends a letter
 * (control/letters.h), and what comes by a letter is carried out as a request of this port.
 *
 * Must never happen: something that who asked may not do, by the rules of either node.
 */
#include "admin/private.h"

#include "accounts/users.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONTENT_MAX (256u << 10) /* of a job that is tested on another node */
#define ANSWER_MAX  (600u << 10) /* sealed and in base64 it is a document of at most 1 MB */
#define WAIT_MS     (LETTER_MS + 5000)

struct letter_route {
  enum letter_kind kind;
  struct admin_route route;
};

/* Kind, handler, right, and what the right is looked at for. */
#define LETTER(kind, fn, right, on)                                                                \
  {                                                                                                \
    LETTER_##kind, {                                                                               \
      HTTP_GET, "", RIGHT_##right, ON_##on, ROUTE_PLAIN, fn                                        \
    }                                                                                              \
  }
static const struct letter_route letter_routes[] = {
    LETTER(PING, admin_post_ping, OPERATE, QUEUE),
    LETTER(TEST, admin_post_test, OPERATE, QUEUE),
    LETTER(POOL, admin_get_pools, LOOK, ANY),
    LETTER(STATUS, admin_get_status, LOOK, ANY),
};
#define N_ROUTES (sizeof letter_routes / sizeof *letter_routes)

/* --- asking --- */

/* The rights of who asks. */
static json_t *identity_json(const struct identity *id) {
  json_t *systems = id->every_system ? json_null() : json_array();
  for (size_t i = 0; !id->every_system && i < id->n_systems; i++)
    json_array_append_new(systems, json_string(id->systems[i]));
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

static const struct letter_route *route_of(const struct call *c) {
  for (size_t i = 0; i < N_ROUTES; i++)
    if (letter_routes[i].route.fn == c->route->fn) return &letter_routes[i];
  return NULL;
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
    control_ask(c->view->control, node, route_of(c)->kind, c->identity->name,
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

bool call_passes(struct call *c) {
  char node[NAME_LEN_MAX + 2];
  size_t len;
  if (!call_query(c, "node", node, sizeof node) || !strcmp(node, c->view->settings->server.node) ||
      !route_of(c))
    return false;
  (void)call_body(c, &len);
  if (len > CONTENT_MAX) {
    call_error(c, 413, "a job of more than %u bytes is tested on the node itself", CONTENT_MAX);
  } else if (!control_store(c->view->control) || !control_seal(c->view->control)) {
    call_error(c, 503, "another node cannot be asked: %s", control_why(c->view->control));
  } else {
    c->acc = json_pack("{ss so}", "node", node, "body", letter_body(c));
    call_wait(c, WAIT_MS);
    control_nodes(c->view->control, on_nodes, c);
  }
  return true;
}

/* --- being asked --- */

struct carried {
  struct asked_here asked;
  struct control *control;
  char id[LETTER_ID_SIZE];
  json_t *body; /* of the letter */
  struct buf content;
};

static json_t *error_json(int status, const char *why) {
  return json_pack("{si s{ss si}}", "status", status, "body", "error", why, "status", status);
}

static void on_answer(struct asked_here *asked, int status, const void *text, size_t len) {
  struct carried *x = (struct carried *)asked;
  json_t *body = len <= ANSWER_MAX ? json_loadb(text, len, JSON_DECODE_ANY, NULL) : NULL;
  control_reply(x->control, x->id,
                body
                    ? json_pack("{si so}", "status", status, "body", body)
                    : error_json(500, "the answer is too large for a letter; ask the node itself"));
  json_decref(x->body);
  buf_free(&x->content);
  free(x);
}

/* Where this node knows the user, no more than that user may do here. NULL: the letter does not
 * tell who asks. */
static struct identity *identity_read(const struct call *c, const json_t *who) {
  const char *name = json_string_value(json_object_get(who, "name"));
  const char *role_name = json_string_value(json_object_get(who, "role"));
  json_int_t how = json_integer_value(json_object_get(who, "how"));
  const json_t *list = json_object_get(who, "systems");
  const char *systems[256];
  size_t n = 0;
  enum role role;
  if (!name || !role_name || !rights_role_named(role_name, &role) || how < IDENTITY_NODE ||
      how > IDENTITY_HEADER || (!json_is_null(list) && !json_is_array(list)))
    return NULL;
  for (; n < json_array_size(list) && n < sizeof systems / sizeof *systems; n++)
    if (!(systems[n] = json_string_value(json_array_get(list, n)))) return NULL;
  struct identity *id =
      identity_new((enum identity_how)how, name, role, json_is_null(list) ? NULL : systems, n);
  id->contents = json_is_true(json_object_get(who, "contents"));
  id->entries = json_is_true(json_object_get(who, "entries"));
  if (how == IDENTITY_NODE || how == IDENTITY_SOCKET) return id;
  const struct user_settings *u = users_find(c->view->settings, name);
  struct identity *here = u ? users_identity(u, (enum identity_how)how) : NULL;
  if (here) identity_limit(id, here);
  identity_unref(here);
  return id;
}

static bool args_read(struct call *c, const json_t *body) {
  const json_t *list = json_object_get(body, "args");
  for (size_t i = 0; i < json_array_size(list) && i < ADMIN_ARGS_MAX; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    if (!text || !(c->args[i] = strdup(text))) return false;
  }
  return true;
}

/* What the letter asks for; false: it is not complete. */
static bool letter_read(struct call *c, struct carried *x) {
  const char *content = json_string_value(json_object_get(x->body, "content"));
  const char *query = json_string_value(json_object_get(x->body, "query"));
  c->identity = identity_read(c, json_object_get(x->body, "who"));
  x->asked = (struct asked_here){.query = query ? query : "", .content = "", .answer = on_answer};
  if (!c->identity || !content || !args_read(c, x->body) ||
      (c->route->on == ON_QUEUE && !c->args[1]) ||
      !base64_decode(&x->content, content, strlen(content)))
    return false;
  x->asked.content_len = x->content.len;
  if (x->content.len) x->asked.content = x->content.data;
  return true;
}

json_t *admin_letter(struct admin *a, const struct letter *l) {
  const struct letter_route *r = NULL;
  for (size_t i = 0; i < N_ROUTES; i++)
    if (letter_routes[i].kind == l->kind) r = &letter_routes[i];
  struct call *c = a && r ? call_new(a, NULL) : NULL;
  struct carried *x = c ? calloc(1, sizeof *x) : NULL;
  if (!x) {
    if (c) call_unref(c);
    return error_json(503,
                      "this node cannot do that: it has no admin port, or is an older release");
  }
  memcpy(x->id, l->id, sizeof x->id);
  x->control = c->view->control;
  x->body = json_incref(l->body);
  c->route = &r->route;
  c->begun = true;
  log_info(c->view->log, "cluster", "%s of %s asks this node for: %s", l->user, l->from,
           letter_kind_names[l->kind]);
  bool complete = letter_read(c, x);
  c->asked_here = &x->asked;
  if (!complete)
    call_error(c, 400, "the request of the other node is not complete");
  else if (access_has_right(c))
    c->route->fn(c);
  call_unref(c);
  return NULL;
}
