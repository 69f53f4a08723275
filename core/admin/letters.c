/* Owns what another node asks of this one by a letter (control/letters.h): it is carried out as a
 * request of this port.
 *
 * Must never happen: something that who asked may not do by the rules of this node.
 */
#include "admin/private.h"

#include "accounts/identity_json.h"
#include "accounts/users.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (600u << 10) /* sealed and in base64 it is a document of at most 1 MB */

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
    LETTER(FIGURES, admin_get_figures, LOOK, ANY),
    LETTER(CLIENTS, admin_get_clients, LOOK, ANY),
    LETTER(KILL, admin_delete_client, CLUSTER, NONE),
    LETTER(STORAGES, admin_get_storages, LOOK, ANY),
    LETTER(TOPIC, admin_get_topic_here, LOOK, QUEUE),
    LETTER(LOG, admin_get_node_log, CLUSTER, NONE),
};
#define N_ROUTES (sizeof letter_routes / sizeof *letter_routes)

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
static struct identity *asker_read(const struct call *c, const json_t *who) {
  const char *name = json_string_value(json_object_get(who, "name"));
  json_int_t how = json_integer_value(json_object_get(who, "how"));
  if (!name || how < IDENTITY_NODE || how > IDENTITY_HEADER) return NULL;
  struct identity *id = identity_read(who, (enum identity_how)how, name);
  if (!id) return NULL;
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
  c->identity = asker_read(c, json_object_get(x->body, "who"));
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
