/* Owns how a browser comes in, and what its requests have to show: where they come from, and that a
 * page of ours sent them.
 *
 * Must never happen: a change by a cookie that a page of somebody else's has sent.
 */
#include "admin/private.h"

#include "accounts/accounts.h"
#include "accounts/identity_json.h"
#include "base/buf.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

/* --- from the head of a request --- */

/* All fields of that name, with commas between them; NULL: there is none. To be freed. */
static char *fields_joined(const struct http_head *h, const char *name) {
  struct buf b = {0};
  bool any = false;
  for (size_t i = 0; i < h->n_fields; i++) {
    if (strcasecmp(h->fields[i].name, name) != 0) continue;
    if (any) buf_add_text(&b, ",");
    buf_add_text(&b, h->fields[i].value);
    any = true;
  }
  char *text = any ? strdup(buf_text(&b)) : NULL;
  buf_free(&b);
  return text;
}

/* Texts of `ret` that are not the head's are in `own`; call_credentials_done() frees them. */
void call_credentials(struct call *c, struct call_credentials *ret) {
  const struct http_head *h = http_request_head(c->req);
  const char *header = c->view->settings->server.auth_header;
  *ret = (struct call_credentials){.own = {fields_joined(h, "Cookie"),
                                           fields_joined(h, "X-Forwarded-For"),
                                           fields_joined(h, "X-Forwarded-Proto"),
                                           header && *header ? fields_joined(h, header) : NULL}};
  ret->c = (struct credentials){.authorization = http_head_field(h, "Authorization"),
                                .cookie = ret->own[0],
                                .peer = http_request_peer(c->req),
                                .forwarded_for = ret->own[1],
                                .forwarded_proto = ret->own[2],
                                .remote_user = ret->own[3],
                                .agent = http_head_field(h, "User-Agent"),
                                .local = http_request_local(c->req),
                                .node_token = call_has_node_token(c)};
}

void call_credentials_done(struct call_credentials *k) {
  for (size_t i = 0; i < sizeof k->own / sizeof *k->own; i++) {
    if (k->own[i]) explicit_bzero(k->own[i], strlen(k->own[i]));
    free(k->own[i]);
  }
}

/* Both as "host" or "host:port", the usual port of `https` or not left out. */
static bool authorities_fit(const char *a, const char *b, bool https) {
  const char *port = https ? ":443" : ":80";
  size_t n = strlen(port), la = strlen(a), lb = strlen(b);
  if (la > n && !strcmp(a + la - n, port)) la -= n;
  if (lb > n && !strcmp(b + lb - n, port)) lb -= n;
  return la && la == lb && !strncasecmp(a, b, la);
}

/* Is the page with this Origin one of ours? */
static bool origin_is_ours(struct call *c, const char *origin, bool https) {
  const struct http_head *h = http_request_head(c->req);
  const char *scheme = https ? "https://" : "http://", *host = strstr(origin, "://");
  if (!host) return false; /* "null", too */
  host += 3;
  if (!strncasecmp(origin, scheme, strlen(scheme)) && h->host &&
      authorities_fit(host, h->host, https))
    return true;
  return admin_host_is_named(c->admin, host);
}

/* Types that a page of another site cannot send without asking first: a form of it has neither. */
static bool type_is_ours(const char *type) {
  static const char *const types[] = {"application/json", "application/x-ndjson"};
  for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
    if (!strncasecmp(type, types[i], strlen(types[i]))) return true;
  return false;
}

bool call_origin_fits(struct call *c) {
  const struct http_head *h = http_request_head(c->req);
  const char *origin = http_head_field(h, "Origin"), *site = http_head_field(h, "Sec-Fetch-Site");
  const char *type = http_head_field(h, "Content-Type");
  struct call_credentials k;
  bool bodied = h->length || h->chunked;
  if (bodied && !type_is_ours(type)) {
    call_error(c, 415, "the body has to be application/json");
    return false;
  }
  call_credentials(c, &k);
  bool https = accounts_is_https(c->view->accounts, &k.c);
  call_credentials_done(&k);
  if ((!site || !strcasecmp(site, "same-origin")) && (origin || site) &&
      (!origin || origin_is_ours(c, origin, https)))
    return true;
  call_error(c, 403,
             "this request does not come from a page of this broker; behind a proxy, name the host "
             "in [server] hosts and the proxy in trusted_proxies");
  return false;
}

/* --- sessions --- */

/* The zone of this machine: "Asia/Shanghai" where it has a name, else as it is now: "+08:00". */
static json_t *zone_json(void) {
  char path[PATH_MAX], text[16];
  ssize_t len = readlink("/etc/localtime", path, sizeof path - 1);
  if (len > 0 && !getenv("TZ")) {
    path[len] = 0;
    const char *name = strstr(path, "/zoneinfo/");
    if (name) return json_cstr(name + strlen("/zoneinfo/"));
  }
  time_t now = time(NULL);
  struct tm tm;
  localtime_r(&now, &tm);
  long minutes = labs(tm.tm_gmtoff) / 60;
  snprintf(text, sizeof text, "%c%02ld:%02ld", tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60 % 100,
           minutes % 60);
  return json_cstr(text);
}

static json_t *identity_json(struct call *c, const struct identity *id) {
  const struct cluster_settings *cl = &c->view->settings->cluster;
  json_t *o = json_object();
  json_object_set_new(o, "user", json_cstr(id->name));
  json_object_set_new(o, "role", json_cstr(rights_role_name(id->role)));
  json_object_set_new(o, "systems", identity_systems_json(id));
  json_object_set_new(o, "contents", json_boolean(id->contents));
  json_object_set_new(o, "entries", json_boolean(id->entries));
  json_object_set_new(o, "must_change", json_boolean(id->must_change));
  json_object_set_new(o, "read_only", json_boolean(id->read_only));
  json_object_set_new(o, "expires_ms", id->expires_ms ? json_u64(id->expires_ms) : json_null());
  json_object_set_new(o, "how", json_cstr(identity_how_name(id->how)));
  json_t *cluster = json_object();
  json_object_set_new(cluster, "name", json_cstr(cl->name));
  json_object_set_new(cluster, "title", json_cstr(cl->title));
  json_object_set_new(cluster, "colour", json_cstr(cl->colour));
  json_object_set_new(o, "cluster", cluster);
  json_object_set_new(o, "zone", zone_json());
  return o;
}

static void on_signed(void *arg, const struct accounts_signed *r) {
  struct call *c = arg;
  if (*r->cookie) call_set_field(c, "Set-Cookie", r->cookie);
  if (r->status == 429) {
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)(r->wait_ms + 999) / 1000);
    call_set_field(c, "Retry-After", seconds);
  }
  if (r->status != 200)
    call_error(c, r->status, "%s", r->why);
  else
    call_json(c, 200, r->id ? identity_json(c, r->id) : json_object());
  call_unref(c);
}

void admin_get_session(struct call *c) {
  call_json(c, 200, identity_json(c, c->identity));
}

/* The texts of the body that are asked for; false: answered with 400. */
static bool texts_get(struct call *c, json_t *o, const char *a, const char **ret_a, const char *b,
                      const char **ret_b) {
  *ret_a = json_string_value(json_object_get(o, a));
  *ret_b = b ? json_string_value(json_object_get(o, b)) : "";
  if (*ret_a && *ret_b) return true;
  call_error(c, 400, "the body has to be {\"%s\": \"...\"%s%s%s}", a, b ? ", \"" : "", b ? b : "",
             b ? "\": \"...\"" : "");
  return false;
}

/* Jansson keeps no second copy of a text: what it has is wiped before it is freed. */
static void body_done(json_t *o, const char *const *secrets) {
  for (; *secrets; secrets++) {
    char *text = (char *)json_string_value(json_object_get(o, *secrets));
    if (text) explicit_bzero(text, strlen(text));
  }
  json_decref(o);
}

void admin_post_session(struct call *c) {
  static const char *const secrets[] = {"password", NULL};
  const char *user, *password;
  struct call_credentials k;
  json_t *o = call_body_json(c);
  if (o && texts_get(c, o, "user", &user, "password", &password)) {
    call_credentials(c, &k);
    call_wait(c, ADMIN_WAIT_MS);
    accounts_login(c->view->accounts, user, password, &k.c, on_signed, c);
    call_credentials_done(&k);
  }
  if (o) body_done(o, secrets);
}

void admin_post_session_link(struct call *c) {
  static const char *const secrets[] = {"key", NULL};
  const char *key, *none;
  struct call_credentials k;
  json_t *o = call_body_json(c);
  if (o && texts_get(c, o, "key", &key, NULL, &none)) {
    call_credentials(c, &k);
    call_wait(c, ADMIN_WAIT_MS);
    accounts_login_link(c->view->accounts, key, &k.c, on_signed, c);
    call_credentials_done(&k);
  }
  if (o) body_done(o, secrets);
}

void admin_post_session_password(struct call *c) {
  static const char *const secrets[] = {"old", "new", NULL};
  const char *old, *fresh;
  struct call_credentials k;
  json_t *o = call_body_json(c);
  if (o && texts_get(c, o, "old", &old, "new", &fresh)) {
    call_credentials(c, &k);
    call_wait(c, ADMIN_WAIT_MS);
    accounts_change_password(c->view->accounts, c->identity, old, fresh, &k.c, on_signed, c);
    call_credentials_done(&k);
  }
  if (o) body_done(o, secrets);
}

void admin_delete_session(struct call *c) {
  struct call_credentials k;
  call_credentials(c, &k);
  call_wait(c, ADMIN_WAIT_MS);
  accounts_logout(c->view->accounts, c->identity, &k.c, on_signed, c);
  call_credentials_done(&k);
}
