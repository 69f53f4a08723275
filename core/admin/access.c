/* Owns who may ask: by token, socket or account; from which page; with which right.
 *
 * Must never happen: a request by cookie that a foreign page made and that changes something; a
 * refusal that tells of a queue or system that its user may not see.
 */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const right_names[RIGHTS] = {
    [RIGHT_SELF] = "self",           [RIGHT_LOOK] = "look",       [RIGHT_CONTENTS] = "contents",
    [RIGHT_OPERATE] = "operate",     [RIGHT_ENTRIES] = "entries", [RIGHT_CLUSTER] = "cluster",
    [RIGHT_CONFIGURE] = "configure", [RIGHT_USERS] = "users",     [RIGHT_AUDIT] = "audit",
    [RIGHT_LINK] = "link",
};

/* A browser sends a cookie along with what any page asks of it. */
static bool browser_may(struct call *c) {
  bool ambient = c->identity ? identity_is_ambient(c->identity) : c->route->flags & ROUTE_LOGIN;
  return c->route->method == HTTP_GET || !ambient || call_origin_fits(c);
}

/* --- with which right --- */

const char *admin_system_of(const struct admin_view *v, const char *queue) {
  const struct queue_settings *q =
      v->settings->n_queues ? settings_queue(v->settings, queue, strlen(queue)) : NULL;
  return q && q->system ? q->system->name : "";
}

bool call_sees(const struct call *c, const char *system) {
  return c->identity && identity_may(c->identity, RIGHT_LOOK, system ? system : "");
}

bool call_sees_queue(const struct call *c, const char *queue) {
  return call_sees(c, admin_system_of(c->view, queue));
}

bool call_sees_topic(const struct call *c, const struct topic *t) {
  return call_sees(c, t->set->queue->system ? t->set->queue->system->name : "");
}

bool call_sees_contents(const struct call *c) {
  return c->identity && identity_may(c->identity, RIGHT_CONTENTS,
                                     c->args[0] ? admin_system_of(c->view, c->args[0]) : "");
}

#define OUTLINE_MAX 160

/* A worker's message may quote the job: what stands in quotes or has a digit is left out, and all
 * but its first line. */
static size_t outline(const char *text, size_t len, char ret[OUTLINE_MAX + 1]) {
  size_t n = 0;
  for (size_t i = 0; i < len && text[i] != '\n' && n + 4 < OUTLINE_MAX;) {
    size_t word = 0;
    bool digit = false;
    if (strchr("\"'`{[", text[i])) { /* the rest may be the job's */
      n += (size_t)sprintf(ret + n, "...");
      break;
    }
    while (i + word < len && !strchr(" \n\"'`{[", text[i + word]))
      digit |= strchr("0123456789@", text[i + word++]) != NULL;
    if (digit)
      ret[n++] = '*';
    else if (n + word + 4 < OUTLINE_MAX)
      memcpy(ret + n, text + i, word), n += word;
    i += word;
    if (i < len && text[i] == ' ') ret[n++] = text[i++];
  }
  return n;
}

json_t *call_message(const struct call *c, const char *message, size_t len) {
  char text[OUTLINE_MAX + 1];
  if (call_sees_contents(c)) return json_text(message, len);
  return json_text(text, outline(message, len, text));
}

static void refuse_right(struct call *c, enum right right, const char *where) {
  if (c->identity->must_change)
    call_error(c, 403, "the password has to be changed first");
  else if (c->identity->read_only && !rights_only_read(right))
    call_error(c, 503, "the storage of the sessions is away: nothing can be changed by a session");
  else
    call_error(c, 403, "this needs the right \"%s\"%s%.140s; %.100s is %s%s", right_names[right],
               *where ? " for " : "", where, c->identity->name, rights_role_name(c->identity->role),
               c->identity->every_system ? "" : " of some systems");
}

bool call_may(struct call *c, enum right right, const char *system) {
  if (c->identity && identity_may(c->identity, right, system)) return true;
  if (c->identity) refuse_right(c, right, system && *system ? system : "what belongs to no system");
  return false;
}

bool access_has_right(struct call *c) {
  const struct admin_route *r = c->route;
  const char *queue = r->on == ON_QUEUE && c->args[0] ? c->args[0] : "";
  const char *system = r->on == ON_QUEUE  ? admin_system_of(c->view, queue)
                       : r->on == ON_NONE ? ""
                                          : NULL;
  char where[160] = "";
  bool early = c->identity->must_change && !(r->flags & ROUTE_FIRST);
  if (!early && identity_may(c->identity, r->right, system)) return true;
  if (r->on == ON_QUEUE) snprintf(where, sizeof where, "queue \"%.128s\"", queue);
  if (r->on == ON_NONE) snprintf(where, sizeof where, "all systems");
  refuse_right(c, r->right, where);
  return false;
}

bool access_is_open(const struct call *c) {
  const struct admin_route *r = c->route;
  if (!r || !(r->flags & ROUTE_OPEN)) return false;
  return !(r->flags & ROUTE_ASKED) || !c->view->settings->server.metrics_auth;
}

void access_refuse(struct call *c) {
  if (http_head_field(http_request_head(c->req), "Authorization"))
    log_warning(c->view->log, "admin", "wrong token from %s; refused", http_request_peer(c->req));
  call_error(c, 401,
             "this request needs the header \"Authorization: Bearer TOKEN\"; the token is in "
             "admin.token under state_dir");
}

bool access_admits(struct call *c) {
  const struct http_head *h = http_request_head(c->req);
  /* A client without a login must not learn which paths exist. */
  if (!c->identity && !access_is_open(c)) {
    access_refuse(c);
  } else if (!c->route) {
    call_error(c, 404, "there is no such path; doc/api.md lists all paths");
  } else if (c->bare) {
    call_error(c, 405, "this path takes %s", c->allow);
  } else if (!c->identity && !(c->route->flags & ROUTE_LOGIN) && (h->length || h->chunked) &&
             !call_has_node_token(c)) {
    call_error(c, 413, "this path takes no body");
  } else {
    return browser_may(c) && (access_is_open(c) || access_has_right(c));
  }
  return false;
}
