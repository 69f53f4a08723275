/* Owns which path leads to which handler, and who may ask: name, token, method, body.
 *
 * Must never happen: a handler of a closed route that runs without the token; a body that is read
 * before the token and its length were looked at.
 */
#include "admin/private.h"

#include "admin/console.h"
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_PARTS_MAX 8

/* `*` in a pattern is a name, kept in call->args. doc/api.md has them in this order. */
static const struct admin_route routes[] = {
    {"/healthz", ROUTE_OPEN | ROUTE_PROBE, RIGHT_LOOK, admin_get_health},
    {"/readyz", ROUTE_OPEN | ROUTE_PROBE, RIGHT_LOOK, admin_get_ready},
    {"/metrics", ROUTE_OPEN | ROUTE_ASKED, RIGHT_LOOK, admin_get_metrics},
    {"/api/v1/session", 0, RIGHT_SELF, admin_get_session},
    {"/api/v1/session", ROUTE_OPEN | ROUTE_LOGIN | ROUTE_POST, RIGHT_SELF, admin_post_session},
    {"/api/v1/session", ROUTE_DELETE, RIGHT_SELF, admin_delete_session},
    {"/api/v1/session/link", ROUTE_OPEN | ROUTE_LOGIN | ROUTE_POST, RIGHT_SELF,
     admin_post_session_link},
    {"/api/v1/session/password", ROUTE_POST, RIGHT_SELF, admin_post_session_password},
    {"/api/v1/status", 0, RIGHT_LOOK, admin_get_status},
    {"/api/v1/nodes", 0, RIGHT_LOOK, admin_get_nodes},
    {"/api/v1/pools", 0, RIGHT_LOOK, admin_get_pools},
    {"/api/v1/config", 0, RIGHT_LOOK, admin_get_config},
    {"/api/v1/config/shared", 0, RIGHT_LOOK, admin_get_shared},
    {"/api/v1/config/check", ROUTE_POST, RIGHT_CLUSTER, admin_post_config_check},
    {"/api/v1/config/apply", ROUTE_POST, RIGHT_CLUSTER, admin_post_config_apply},
    {"/api/v1/config/import", ROUTE_POST, RIGHT_CLUSTER, admin_post_config_import},
    {"/api/v1/config/rollback", ROUTE_POST, RIGHT_CLUSTER, admin_post_config_rollback},
    {"/api/v1/config/restore", ROUTE_POST, RIGHT_CLUSTER, admin_post_config_restore},
    {"/api/v1/reload", ROUTE_POST, RIGHT_CLUSTER, admin_post_reload},
    {"/api/v1/ids/*", 0, RIGHT_LOOK, admin_get_id},
    {"/api/v1/queues", 0, RIGHT_LOOK, admin_get_queues},
    {"/api/v1/queues/*/jobs", ROUTE_POST | ROUTE_CONTENT, RIGHT_OPERATE, admin_post_job},
    {"/api/v1/queues/*/stray", 0, RIGHT_LOOK, admin_get_stray},
    {"/api/v1/queues/*/drop", ROUTE_POST, RIGHT_OPERATE, admin_post_drop},
    {"/api/v1/topics", 0, RIGHT_LOOK, admin_get_topics},
    {"/api/v1/topics/*/*", 0, RIGHT_LOOK, admin_get_topic},
    {"/api/v1/topics/*/*/ping", ROUTE_POST, RIGHT_OPERATE, admin_post_ping},
    {"/api/v1/topics/*/*/test", ROUTE_POST | ROUTE_CONTENT, RIGHT_OPERATE, admin_post_test},
    {"/api/v1/topics/*/*/pause", ROUTE_POST, RIGHT_OPERATE, admin_post_pause},
    {"/api/v1/topics/*/*/resume", ROUTE_POST, RIGHT_OPERATE, admin_post_resume},
    {"/api/v1/topics/*/*/errors", 0, RIGHT_CONTENTS, admin_get_errors},
    {"/api/v1/topics/*/*/retry", 0, RIGHT_CONTENTS, admin_get_retry},
    {"/api/v1/topics/*/*/retry/*", 0, RIGHT_CONTENTS, admin_get_retry_one},
    {"/api/v1/topics/*/*/replay", ROUTE_POST, RIGHT_OPERATE, admin_post_replay},
    {"/api/v1/topics/*/*/purge", ROUTE_POST, RIGHT_OPERATE, admin_post_purge},
    {"/api/v1/topics/*/*/move", ROUTE_POST, RIGHT_OPERATE, admin_post_move},
    {"/api/v1/acts", 0, RIGHT_LOOK, admin_get_acts},
    {"/api/v1/acts/*", 0, RIGHT_LOOK, admin_get_act},
    {"/api/v1/acts/*/cancel", ROUTE_POST, RIGHT_OPERATE, admin_post_act_cancel},
};

/* A file of the console. */
static const struct admin_route console_route = {"/", ROUTE_OPEN, RIGHT_LOOK, admin_get_console};

/* --- paths --- */

struct path {
  char *parts[PATH_PARTS_MAX]; /* decoded, malloc'd */
  size_t n;
};

static void path_free(struct path *p) {
  for (size_t i = 0; i < p->n; i++) free(p->parts[i]);
}

/* Split first, decoded then: a "%2F" is part of a name, not a separator. */
static bool path_split(const char *text, struct path *ret) {
  *ret = (struct path){.n = 0};
  if (!text || *text != '/') return false;
  for (const char *at = text + 1;; at++) {
    size_t len = strcspn(at, "/"), got = 0;
    if (!len && !at[len] && ret->n) return true; /* a slash at the end */
    char raw[3 * (NAME_LEN_MAX + 1) + 1];
    if (ret->n == PATH_PARTS_MAX || len >= sizeof raw) return false;
    memcpy(raw, at, len);
    raw[len] = 0;
    char *part = evhttp_uridecode(raw, 0, &got);
    if (!part) return false;
    ret->parts[ret->n++] = part;
    if (strlen(part) != got) return false; /* a NUL within */
    at += len;
    if (!*at) return true;
  }
}

static bool route_matches(const struct admin_route *r, const struct path *p) {
  const char *at = r->pattern;
  for (size_t i = 0; i < p->n; i++) {
    if (*at++ != '/') return false;
    size_t len = strcspn(at, "/");
    bool name = len == 1 && *at == '*';
    if (name ? !*p->parts[i] : strlen(p->parts[i]) != len || memcmp(p->parts[i], at, len) != 0)
      return false;
    at += len;
  }
  return !*at;
}

static void refuse_token(struct call *c) {
  if (http_head_field(http_request_head(c->req), "Authorization"))
    log_warning(c->view->log, "admin", "wrong token from %s; refused", http_request_peer(c->req));
  call_error(c, 401,
             "this request needs the header \"Authorization: Bearer TOKEN\"; the token is in "
             "admin.token under state_dir");
}

static bool method_fits(const struct admin_route *r, enum http_method method) {
  if (r->flags & ROUTE_POST) return method == HTTP_POST;
  if (r->flags & ROUTE_DELETE) return method == HTTP_DELETE;
  return method == HTTP_GET || method == HTTP_HEAD;
}

static bool is_open(const struct call *c) {
  const struct admin_route *r = c->route;
  if (!r || !(r->flags & ROUTE_OPEN)) return false;
  return !(r->flags & ROUTE_ASKED) || !c->view->settings->server.metrics_auth;
}

/* A browser page may reach this port by another name. Then Host has that name. */
static bool host_fits(struct call *c) {
  const char *host = http_request_head(c->req)->host;
  if (http_request_local(c->req) || (c->route && c->route->flags & ROUTE_PROBE)) return true;
  if (!host || admin_host_fits(c->admin, host)) return true;
  call_error(c, 403,
             "\"%.200s\" is not a name of this broker; if it is one, add it to [server] hosts",
             host);
  return false;
}

/* The names in the path. */
static void args_take(struct call *c, struct path *p) {
  const char *at = c->route->pattern;
  for (size_t i = 0, n = 0; i < p->n; i++) {
    bool name = at[1] == '*';
    at += 1 + strcspn(at + 1, "/");
    if (!name) continue;
    c->args[n++] = p->parts[i];
    p->parts[i] = NULL;
  }
}

/* The route of the path, the one of the method where there are several. */
static void route_find(struct call *c, const struct path *p) {
  const struct http_head *h = http_request_head(c->req);
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (!route_matches(&routes[i], p)) continue;
    if (!c->route || method_fits(&routes[i], h->method)) c->route = &routes[i];
    if (method_fits(c->route, h->method)) return;
  }
  if (!c->route && console_has(c->admin->console, h->path)) c->route = &console_route;
}

static const char *method_name(const struct admin_route *r) {
  return r->flags & ROUTE_POST ? "POST" : r->flags & ROUTE_DELETE ? "DELETE" : "GET";
}

/* Somebody who is known asks, or the route is open. False: it was answered. */
static bool route_fits(struct call *c) {
  const struct http_head *h = http_request_head(c->req);
  bool body = h->length || h->chunked;
  if (!c->route) {
    call_error(c, 404, "there is no such path; doc/api.md lists all paths");
  } else if (!method_fits(c->route, h->method)) {
    call_error(c, 405, "this path takes %s", method_name(c->route));
  } else if (!c->identity && !(c->route->flags & ROUTE_LOGIN)) {
    if (!body || call_has_node_token(c)) return true;
    call_error(c, 413, "this path takes no body");
  } else if ((c->route->flags & ROUTE_LOGIN) || !identity_is_ambient(c->identity) ||
             h->method == HTTP_GET || h->method == HTTP_HEAD) {
    return !(c->route->flags & ROUTE_LOGIN) || call_origin_fits(c);
  } else {
    return call_origin_fits(c);
  }
  return false;
}

/* So far a right holds for what belongs to no system, too, or it is refused: only routes that look
 * at the system of what they touch could allow more. */
static bool right_fits(struct call *c) {
  const struct identity *id = c->identity;
  if (!id || !c->route || identity_may(id, c->route->right, "")) return true;
  if (id->must_change)
    call_error(c, 403, "the password has to be changed first");
  else if (id->read_only && !rights_only_read(c->route->right))
    call_error(c, 503, "the storage of the sessions is away: nothing can be changed by a session");
  else
    call_error(c, 403, "the role %s of %s does not allow this", rights_role_name(id->role),
               id->name);
  return false;
}

/* The head is good: its body may come. False: it was answered. */
static bool call_admit(struct call *c) {
  bool known = c->identity || call_has_node_token(c);
  if (known && !http_befriend(c->req)) {
    c->req = NULL; /* it was answered */
    return false;
  }
  if (!route_fits(c) || !right_fits(c)) return false;
  size_t max = c->route->flags & ROUTE_CONTENT ? c->admin->body_max : ADMIN_BODY_MAX;
  bool good = http_accept(c->req, max);
  if (!good) c->req = NULL;
  return good;
}

/* The request has no use of the call any more. */
static void call_disown(struct call *c) {
  if (!c->owned) return;
  c->owned = false;
  call_unref(c);
}

static void on_identity(void *arg, int status, struct identity *id, const char *why) {
  struct call *c = arg;
  bool good = false;
  if (call_answered(c)) {
    /* The client has gone, or it took too long. */
  } else if (status == 200) {
    c->identity = identity_ref(id);
    good = call_admit(c);
  } else if (status == 401) {
    refuse_token(c);
  } else {
    call_error(c, status, "%s", why);
  }
  if (!good) call_disown(c);
  call_go_on(c);
}

static void call_begin(struct call *c, struct path *p) {
  struct call_credentials k;
  route_find(c, p);
  if (!host_fits(c)) {
    call_disown(c);
    return;
  }
  if (c->route) args_take(c, p);
  if (is_open(c)) {
    if (!call_admit(c)) call_disown(c);
    return;
  }
  /* A client that is not known must not learn which paths exist. */
  call_credentials(c, &k);
  call_wait(c, ADMIN_WAIT_MS);
  http_wait(c->req);
  accounts_identify(c->view->accounts, &k.c, on_identity, c);
  call_credentials_done(&k);
}

static void on_head(void *arg, struct http_request *req) {
  struct admin *a = arg;
  struct path p = {.n = 0};
  static const char lack[] = "{\"error\":\"out of memory\",\"status\":500}\n";
  struct call *c = call_new(a, req);
  if (!c) {
    http_answer(req, 500, "application/json", "", lack, sizeof lack - 1);
    return;
  }
  c->owned = true;
  http_request_keep(req, c);
  bool whole = path_split(http_request_head(req)->path, &p);
  call_begin(c, whole ? &p : &(struct path){.n = 0});
  path_free(&p);
}

static void on_request(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  c->begun = true;
  c->route->fn(c);
  if (c->req && !c->prev) call_error(c, 500, "the request was not answered");
  call_disown(c); /* a callback that answers later holds a reference of its own */
}

static void on_gone(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  c->req = NULL;
  if (!c->begun) call_disown(c); /* its body did not come */
}

struct http_events admin_events(struct admin *a) {
  return (struct http_events){.head = on_head, .request = on_request, .gone = on_gone, .arg = a};
}
