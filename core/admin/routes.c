/* Owns which method and path leads to which handler, and with which right.
 *
 * Must never happen: a handler of a closed route that runs without a login; a body that is read
 * before login, right and length were looked at.
 */
#include "admin/private.h"

#include "admin/console.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_PARTS_MAX    8
#define STRANGER_BODY_MAX 4096 /* of a login */

/* A row does not compile without the name of a right (accounts/rights.h). */
#define ROUTE(method, pattern, right, on, flags, fn)                                               \
  { HTTP_##method, pattern, RIGHT_##right, ON_##on, flags, fn }

/* `*` in a pattern is a name, kept in call->args. doc/openapi.yaml has each of them, with the same
 * right: tests/e2e/test_rights.py compares. */
static const struct admin_route routes[] = {
    ROUTE(GET, "/healthz", LOOK, ANY, ROUTE_OPEN | ROUTE_PROBE, admin_get_health),
    ROUTE(GET, "/readyz", LOOK, ANY, ROUTE_OPEN | ROUTE_PROBE, admin_get_ready),
    ROUTE(GET, "/metrics", LOOK, NONE, ROUTE_OPEN | ROUTE_ASKED, admin_get_metrics),
    ROUTE(GET, "/api/v1/session", SELF, SELF, ROUTE_FIRST, admin_get_session),
    ROUTE(POST, "/api/v1/session", SELF, SELF, ROUTE_OPEN | ROUTE_LOGIN | ROUTE_AUDITED,
          admin_post_session),
    ROUTE(DELETE, "/api/v1/session", SELF, SELF, ROUTE_AUDITED | ROUTE_FIRST, admin_delete_session),
    ROUTE(POST, "/api/v1/session/link", SELF, SELF, ROUTE_OPEN | ROUTE_LOGIN | ROUTE_AUDITED,
          admin_post_session_link),
    ROUTE(POST, "/api/v1/session/password", SELF, SELF, ROUTE_AUDITED | ROUTE_FIRST,
          admin_post_session_password),
    ROUTE(GET, "/api/v1/openapi.json", SELF, SELF, ROUTE_PLAIN, admin_get_openapi),
    ROUTE(GET, "/api/v1/events", LOOK, ANY, ROUTE_PLAIN, admin_get_events),
    ROUTE(GET, "/api/v1/status", LOOK, ANY, ROUTE_NODE, admin_get_status),
    ROUTE(GET, "/api/v1/nodes", LOOK, ANY, ROUTE_PLAIN, admin_get_nodes),
    ROUTE(GET, "/api/v1/pools", LOOK, ANY, ROUTE_NODE, admin_get_pools),
    ROUTE(GET, "/api/v1/problems", LOOK, ANY, ROUTE_PLAIN, admin_get_problems),
    ROUTE(GET, "/api/v1/clients", LOOK, ANY, ROUTE_NODE, admin_get_clients),
    ROUTE(DELETE, "/api/v1/clients/*", CLUSTER, NONE, ROUTE_NODE, admin_delete_client),
    ROUTE(GET, "/api/v1/config", LOOK, NONE, ROUTE_PLAIN, admin_get_config),
    ROUTE(GET, "/api/v1/config/shared", LOOK, NONE, ROUTE_PLAIN, admin_get_shared),
    ROUTE(POST, "/api/v1/config/check", CONFIGURE, ANY, ROUTE_READS, admin_post_config_check),
    ROUTE(POST, "/api/v1/config/apply", CONFIGURE, ANY, ROUTE_SECTIONS, admin_post_config_apply),
    ROUTE(POST, "/api/v1/config/import", CLUSTER, NONE, ROUTE_SECTIONS, admin_post_config_import),
    ROUTE(POST, "/api/v1/config/rollback", CLUSTER, NONE, ROUTE_SECTIONS,
          admin_post_config_rollback),
    ROUTE(POST, "/api/v1/config/restore", CLUSTER, NONE, ROUTE_SECTIONS, admin_post_config_restore),
    ROUTE(POST, "/api/v1/cluster/key", LINK, NONE, ROUTE_PLAIN, admin_post_cluster_key),
    ROUTE(POST, "/api/v1/reload", CLUSTER, NONE, ROUTE_PLAIN, admin_post_reload),
    ROUTE(GET, "/api/v1/config/revisions", LOOK, NONE, ROUTE_PLAIN, admin_get_revisions),
    ROUTE(GET, "/api/v1/config/revisions/*", LOOK, NONE, ROUTE_PLAIN, admin_get_revision),
    ROUTE(GET, "/api/v1/config/diff", LOOK, NONE, ROUTE_PLAIN, admin_get_diff),
    ROUTE(GET, "/api/v1/config/export", LOOK, NONE, ROUTE_PLAIN, admin_get_export),
    ROUTE(GET, "/api/v1/options", LOOK, ANY, ROUTE_PLAIN, admin_get_options),
    ROUTE(GET, "/api/v1/config/sections", LOOK, ANY, ROUTE_PLAIN, admin_get_sections),
    ROUTE(POST, "/api/v1/config/sections", CONFIGURE, ANY, ROUTE_SECTIONS, admin_post_sections),
    ROUTE(GET, "/api/v1/config/sections/*/*", LOOK, ANY, ROUTE_PLAIN, admin_get_section),
    ROUTE(POST, "/api/v1/config/sections/*/*/check", CONFIGURE, ANY, ROUTE_SECTIONS | ROUTE_READS,
          admin_post_section_check),
    ROUTE(PUT, "/api/v1/config/sections/*/*", CONFIGURE, ANY, ROUTE_SECTIONS, admin_put_section),
    ROUTE(DELETE, "/api/v1/config/sections/*/*", CONFIGURE, ANY, ROUTE_SECTIONS,
          admin_delete_section),
    ROUTE(GET, "/api/v1/users", USERS, NONE, ROUTE_PLAIN, admin_get_users),
    ROUTE(POST, "/api/v1/users", USERS, NONE, ROUTE_ADDS | ROUTE_SECTIONS, admin_post_user),
    ROUTE(PUT, "/api/v1/users/*", USERS, NONE, ROUTE_SECTIONS, admin_put_user),
    ROUTE(DELETE, "/api/v1/users/*", USERS, NONE, ROUTE_SECTIONS, admin_delete_user),
    ROUTE(POST, "/api/v1/users/*/password", USERS, NONE, ROUTE_SECTIONS, admin_post_user_password),
    ROUTE(GET, "/api/v1/tokens", SELF, SELF, ROUTE_PLAIN, admin_get_tokens),
    ROUTE(POST, "/api/v1/tokens", SELF, SELF, ROUTE_ADDS, admin_post_token),
    ROUTE(DELETE, "/api/v1/tokens/*", SELF, SELF, ROUTE_PLAIN, admin_delete_token),
    ROUTE(GET, "/api/v1/audit", AUDIT, NONE, ROUTE_PLAIN, admin_get_audit),
    ROUTE(POST, "/api/v1/links", LINK, NONE, ROUTE_ADDS, admin_post_link),
    ROUTE(GET, "/api/v1/cluster", LOOK, ANY, ROUTE_PLAIN, admin_get_cluster),
    ROUTE(POST, "/api/v1/nodes/*/drain", CLUSTER, NONE, ROUTE_SECTIONS, admin_post_drain),
    ROUTE(GET, "/api/v1/nodes/*/log", CLUSTER, NONE, ROUTE_PLAIN, admin_get_node_log),
    ROUTE(DELETE, "/api/v1/nodes/*", CLUSTER, NONE, ROUTE_PLAIN, admin_delete_node),
    ROUTE(GET, "/api/v1/nodes/*/history", LOOK, NONE, ROUTE_PLAIN, admin_get_node_history),
    ROUTE(GET, "/api/v1/history", LOOK, ANY, ROUTE_PLAIN, admin_get_history),
    ROUTE(POST, "/api/v1/marks", OPERATE, ANY, ROUTE_ADDS, admin_post_mark),
    ROUTE(GET, "/api/v1/ids/*", LOOK, ANY, ROUTE_PLAIN, admin_get_id),
    ROUTE(GET, "/api/v1/storages", LOOK, ANY, ROUTE_NODE, admin_get_storages),
    ROUTE(POST, "/api/v1/storages/check", CONFIGURE, ANY, ROUTE_READS, admin_post_storage_check),
    ROUTE(GET, "/api/v1/systems", LOOK, ANY, ROUTE_NODE, admin_get_systems),
    ROUTE(GET, "/api/v1/queues", LOOK, ANY, ROUTE_NODE, admin_get_queues),
    ROUTE(POST, "/api/v1/queues/*/jobs", OPERATE, QUEUE, ROUTE_CONTENT | ROUTE_ADDS,
          admin_post_job),
    ROUTE(GET, "/api/v1/queues/*/stray", LOOK, QUEUE, ROUTE_PLAIN, admin_get_stray),
    ROUTE(POST, "/api/v1/queues/*/drop", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_drop),
    ROUTE(GET, "/api/v1/topics", LOOK, ANY, ROUTE_NODE, admin_get_topics),
    ROUTE(GET, "/api/v1/topics/summary", LOOK, ANY, ROUTE_NODE, admin_get_summary),
    ROUTE(GET, "/api/v1/topics/lines", LOOK, ANY, ROUTE_PLAIN, admin_get_topic_lines),
    ROUTE(GET, "/api/v1/topics/*/*", LOOK, QUEUE, ROUTE_PLAIN, admin_get_topic),
    ROUTE(GET, "/api/v1/topics/*/*/history", LOOK, QUEUE, ROUTE_PLAIN, admin_get_topic_history),
    ROUTE(GET, "/api/v1/topics/*/*/nodes", LOOK, QUEUE, ROUTE_PLAIN, admin_get_topic_nodes),
    ROUTE(GET, "/api/v1/topics/*/*/signatures", LOOK, QUEUE, ROUTE_PLAIN, admin_get_signatures),
    ROUTE(POST, "/api/v1/topics/*/*/ping", OPERATE, QUEUE, ROUTE_NODE, admin_post_ping),
    ROUTE(POST, "/api/v1/topics/*/*/test", OPERATE, QUEUE, ROUTE_CONTENT | ROUTE_NODE,
          admin_post_test),
    ROUTE(POST, "/api/v1/topics/*/*/pause", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_pause),
    ROUTE(POST, "/api/v1/topics/*/*/resume", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_resume),
    ROUTE(GET, "/api/v1/topics/*/*/errors", LOOK, QUEUE, ROUTE_PLAIN, admin_get_errors),
    ROUTE(GET, "/api/v1/topics/*/*/retry", LOOK, QUEUE, ROUTE_PLAIN, admin_get_retry),
    ROUTE(GET, "/api/v1/topics/*/*/retry/*", LOOK, QUEUE, ROUTE_PLAIN, admin_get_retry_one),
    ROUTE(GET, "/api/v1/topics/*/*/retry/*/content", LOOK, QUEUE, ROUTE_PLAIN,
          admin_get_retry_content),
    ROUTE(POST, "/api/v1/topics/*/*/replay", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_replay),
    ROUTE(POST, "/api/v1/topics/*/*/purge", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_purge),
    ROUTE(GET, "/api/v1/topics/*/*/failed", LOOK, QUEUE, ROUTE_PLAIN, admin_get_failed),
    ROUTE(GET, "/api/v1/topics/*/*/failed/groups", LOOK, QUEUE, ROUTE_PLAIN,
          admin_get_failed_groups),
    ROUTE(GET, "/api/v1/topics/*/*/failed/export", LOOK, QUEUE, ROUTE_PLAIN,
          admin_get_failed_export),
    ROUTE(POST, "/api/v1/topics/*/*/failed/import", OPERATE, QUEUE, ROUTE_CONTENT | ROUTE_LINES,
          admin_post_failed_import),
    ROUTE(POST, "/api/v1/topics/*/*/failed/replay", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_replay),
    ROUTE(POST, "/api/v1/topics/*/*/failed/purge", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_purge),
    ROUTE(POST, "/api/v1/topics/*/*/failed/*/replay", OPERATE, QUEUE, ROUTE_PLAIN,
          admin_post_failed_one),
    ROUTE(GET, "/api/v1/topics/*/*/jobs", LOOK, QUEUE, ROUTE_PLAIN, admin_get_topic_jobs),
    ROUTE(GET, "/api/v1/jobs/*", LOOK, ANY, ROUTE_PLAIN, admin_get_job),
    ROUTE(POST, "/api/v1/jobs/*/cancel", OPERATE, ANY, ROUTE_PLAIN, admin_post_job_cancel),
    ROUTE(POST, "/api/v1/jobs/*/replay", OPERATE, ANY, ROUTE_PLAIN, admin_post_job_replay),
    ROUTE(POST, "/api/v1/topics/*/*/move", OPERATE, QUEUE, ROUTE_PLAIN, admin_post_move),
    ROUTE(GET, "/api/v1/alerts", LOOK, ANY, ROUTE_PLAIN, admin_get_alerts),
    ROUTE(POST, "/api/v1/alerts/*/silence", OPERATE, ANY, ROUTE_PLAIN, admin_post_silence),
    ROUTE(DELETE, "/api/v1/alerts/*/silence", OPERATE, ANY, ROUTE_PLAIN, admin_delete_silence),
    ROUTE(GET, "/api/v1/acts", LOOK, ANY, ROUTE_PLAIN, admin_get_acts),
    ROUTE(GET, "/api/v1/acts/*", LOOK, ANY, ROUTE_PLAIN, admin_get_act),
    ROUTE(POST, "/api/v1/acts/*/cancel", OPERATE, ANY, ROUTE_PLAIN, admin_post_act_cancel),
    ROUTE(POST, "/api/v1/acts/*/undo", OPERATE, ANY, ROUTE_PLAIN, admin_post_act_undo),
};

/* A file of the console. */
static const struct admin_route console_route =
    ROUTE(GET, "/", SELF, SELF, ROUTE_OPEN, admin_get_console);

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

static enum http_method method_of(const struct http_head *h) {
  return h->method == HTTP_HEAD ? HTTP_GET : h->method;
}

/* The row of path and method. Where there is none of that method: any row of the path, `bare`. */
static void route_find(struct call *c, const struct path *p) {
  static const char *const names[] = {
      [HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE"};
  const struct http_head *h = http_request_head(c->req);
  const struct admin_route *other = NULL;
  size_t len = 0;
  for (size_t i = 0; i < sizeof routes / sizeof *routes && !c->route; i++) {
    const struct admin_route *r = &routes[i];
    if (!route_matches(r, p) || (other && strcmp(other->pattern, r->pattern) != 0)) continue;
    other = r;
    len += (size_t)snprintf(c->allow + len, sizeof c->allow - len, "%s%s", len ? ", " : "",
                            names[r->method]);
    if (r->method == method_of(h)) c->route = r;
  }
  if (!c->route && !other && console_has(c->admin->console, c->below)) {
    c->route = other = &console_route;
    snprintf(c->allow, sizeof c->allow, "GET");
    c->bare = method_of(h) != HTTP_GET;
  } else if (!c->route) {
    c->route = other;
    c->bare = other != NULL;
  }
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
  for (size_t i = 0, n = 0; i < p->n && *at; i++) {
    bool name = at[1] == '*';
    at += 1 + strcspn(at + 1, "/");
    if (!name) continue;
    c->args[n++] = p->parts[i];
    p->parts[i] = NULL;
  }
}

/* The head is good: its body may come. False: it was answered. */
static bool call_admit(struct call *c) {
  bool known = c->identity || call_has_node_token(c);
  if (known && !http_befriend(c->req)) {
    c->req = NULL; /* it was answered */
    return false;
  }
  if (!access_admits(c)) return false;
  size_t max = c->route->flags & ROUTE_LINES     ? c->admin->lines_max
               : c->route->flags & ROUTE_CONTENT ? c->admin->body_max
                                                 : ADMIN_BODY_MAX;
  bool good = http_accept(c->req, c->identity ? max : STRANGER_BODY_MAX);
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
    if (id) snprintf(c->audit.claimed, sizeof c->audit.claimed, "%s", id->name);
    access_refuse(c);
  } else {
    call_error(c, status, "%s", why);
  }
  if (!good) call_disown(c);
  call_go_on(c);
}

static void call_begin(struct call *c) {
  struct call_credentials k;
  if (!host_fits(c)) {
    call_disown(c);
    return;
  }
  if (access_is_open(c)) {
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

/* The path below [server] base_path; NULL: it lies elsewhere. */
static const char *path_below(const struct call *c) {
  const char *path = http_request_head(c->req)->path;
  const char *base = c->view->settings->server.base_path;
  size_t len = strlen(base);
  if (!len || strncmp(path, base, len) != 0) return path; /* a proxy may have cut it off */
  return path[len] == '/' ? path + len : path[len] ? path : "/";
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
  c->below = path_below(c);
  if (path_split(c->below, &p)) route_find(c, &p);
  if (c->route) args_take(c, &p);
  path_free(&p);
  call_begin(c);
}

static void on_request(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  size_t len;
  c->begun = true;
  const char *body = call_body(c, &len);
  audit_request(c, body, len);
  if (!(c->route->flags & ROUTE_NODE) || !call_passes(c)) c->route->fn(c);
  if (c->req && !c->prev) call_error(c, 500, "the request was not answered");
  call_disown(c); /* a callback that answers later holds a reference of its own */
}

static void on_gone(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  if (c->begun) audit_answer(c, 0);
  c->req = NULL;
  if (!c->begun) call_disown(c); /* its body did not come */
}

struct http_events admin_events(struct admin *a) {
  return (struct http_events){.head = on_head, .request = on_request, .gone = on_gone, .arg = a};
}
