/* Owns users, API tokens, one-time links and the audit log as the port shows and changes them.
 *
 * Must never happen: an API token that makes another one; a password in an answer.
 */
#include "admin/private.h"

#include "control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AUDIT_DEFAULT 100
#define AUDIT_MAX     1000

/* --- users --- */

void admin_get_users(struct call *c) {
  static const char *const roles[] = {"admin", "operator", "viewer"};
  const struct settings *set = c->view->settings;
  json_t *o = json_object(), *list = json_array();
  for (size_t i = 0; i < set->n_users; i++) {
    const struct user_settings *u = set->users[i];
    json_t *one = json_object(), *systems = json_array();
    for (size_t k = 0; k < u->n_systems; k++)
      json_array_append_new(systems, json_cstr(u->systems[k]->name));
    json_object_set_new(one, "name", json_cstr(u->name));
    json_object_set_new(one, "role", json_string(roles[u->role]));
    if (u->n_systems)
      json_object_set(one, "systems", systems);
    else
      json_object_set_new(one, "systems", json_null());
    json_decref(systems);
    json_object_set_new(one, "contents", json_boolean(u->contents));
    json_object_set_new(one, "entries", json_boolean(u->entries));
    json_object_set_new(one, "local", json_boolean(!u->shared));
    json_array_append_new(list, one);
  }
  json_object_set_new(o, "users", list);
  json_object_set_new(o, "total", json_u64(set->n_users));
  json_object_set_new(o, "exact", json_true());
  call_json(c, 200, o);
}

/* What a [user] section has of the body. False: answered with 400. */
static bool user_values(struct call *c, json_t *body, json_t *values) {
  static const char *const keys[] = {"role", "systems", "contents", "entries", "password"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    json_t *v = json_object_get(body, keys[i]);
    if (!v) continue;
    if (json_is_array(v) && !json_array_size(v)) {
      call_error(c, 400, "\"%s\" is a list of at least one name, or null for all", keys[i]);
      return false;
    }
    json_object_set(values, keys[i], v);
  }
  json_t *password = json_object_get(body, "password");
  if (!password ||
      (json_is_string(password) && json_string_length(password) >= ACCOUNTS_PASSWORD_MIN))
    return true;
  call_error(c, 400, "a password has at least %d characters", ACCOUNTS_PASSWORD_MIN);
  return false;
}

static void on_must(void *arg, int status, const char *why) {
  struct call *c = arg;
  json_t *o = json_incref(json_object_get(c->acc, "answer"));
  if (status != 200 && !call_answered(c)) json_object_set_new(o, "warnings", json_cstr(why));
  if (call_answered(c))
    json_decref(o);
  else
    call_json(c, 200, o);
  call_unref(c);
}

/* Somebody else has set it: the user has to set another one, and old sessions end. */
static void on_password(void *arg, const struct control_result *r) {
  struct call *c = arg;
  const char *user = json_string_value(json_object_get(c->acc, "user"));
  if (r->status != 200 || call_answered(c)) {
    shared_answer(c, r);
    call_unref(c);
    return;
  }
  json_object_set_new(
      c->acc, "answer",
      json_pack("{sI so}", "number", (json_int_t)r->number, "warnings", json_cstr(r->why)));
  accounts_end_sessions(c->view->accounts, user);
  accounts_must_change(c->view->accounts, user, true, on_must, c);
}

static void user_change(struct call *c, const char *name, json_t *body, const json_t *base,
                        bool fresh) {
  json_t *values = json_object();
  bool password = json_object_get(body, "password");
  if (user_values(c, body, values)) {
    c->acc = json_pack("{ss}", "user", name);
    section_change(c,
                   &(struct section_edit){.kind = "user",
                                          .name = name,
                                          .values = values,
                                          .base = base,
                                          .merge = true,
                                          .fresh = fresh,
                                          .there = !fresh},
                   password ? on_password : NULL);
  }
  json_decref(values);
}

void admin_post_user(struct call *c) {
  json_t *body = call_body_json(c);
  const char *name = json_string_value(json_object_get(body, "name"));
  if (!body) return;
  if (!name || !*name || !json_object_get(body, "password"))
    call_error(c, 400, "a user needs \"name\", \"role\" and \"password\"");
  else
    user_change(c, name, body, json_object_get(body, "base"), true);
  json_decref(body);
}

void admin_put_user(struct call *c) {
  json_t *body = call_body_json(c);
  if (!body) return;
  user_change(c, c->args[0], body, json_object_get(body, "base"), false);
  json_decref(body);
}

void admin_post_user_password(struct call *c) {
  json_t *body = call_body_json(c);
  json_t *password = json_object_get(body, "password");
  if (!body) return;
  json_t *only = json_object();
  if (password) json_object_set(only, "password", password);
  if (password)
    user_change(c, c->args[0], only, json_object_get(body, "base"), false);
  else
    call_error(c, 400, "\"password\" is missing");
  json_decref(only);
  json_decref(body);
}

static void on_removed(void *arg, const struct control_result *r) {
  struct call *c = arg;
  if (r->status == 200) accounts_end_sessions(c->view->accounts, c->args[0]);
  shared_answer(c, r);
  call_unref(c);
}

void admin_delete_user(struct call *c) {
  section_delete(c, "user", c->args[0], on_removed);
}

/* --- tokens --- */

static int status_of(int rc) {
  return rc == -ENOENT ? 404 : rc == -EINVAL ? 400 : rc == -ENOSPC ? 409 : 503;
}

/* Whose tokens: NULL: everybody's. */
static const char *owner_of(const struct call *c) {
  return identity_may(c->identity, RIGHT_USERS, "") ? NULL : c->identity->name;
}

static void on_tokens(void *arg, int rc, json_t *list, const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set(o, "tokens", list);
    json_object_set_new(o, "total", json_u64(json_array_size(list)));
    json_object_set_new(o, "exact", json_true());
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_tokens(struct call *c) {
  call_wait(c, ADMIN_WAIT_MS);
  accounts_token_list(c->view->accounts, owner_of(c), on_tokens, c);
}

static void on_token_made(void *arg, int rc, const char *token, const char *id, const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    char object[64];
    snprintf(object, sizeof object, "token %s", id);
    call_audit(c, object, NULL, NULL);
    json_object_set_new(o, "id", json_cstr(id));
    json_object_set_new(o, "token", json_cstr(token));
    json_object_set_new(o, "expires_ms", c->count ? json_u64(c->count) : json_null());
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* False: answered with 400. */
static bool token_read(struct call *c, json_t *body, struct api_token_new *n, const char **systems,
                       size_t max) {
  const char *role = json_string_value(json_object_get(body, "role"));
  json_t *list = json_object_get(body, "systems"), *item;
  json_t *expires = json_object_get(body, "expires_ms");
  size_t i;
  n->name = json_string_value(json_object_get(body, "name"));
  n->role = c->identity->role;
  /* What is not understood must not become "never", nor "all systems". */
  if (expires && !json_is_null(expires) &&
      (!json_is_integer(expires) || json_integer_value(expires) < 0)) {
    call_error(c, 400, "\"expires_ms\" is a time: ms since 1970 as a number; 0: never");
    return false;
  }
  n->expires_ms = (uint64_t)json_integer_value(expires);
  c->count = n->expires_ms;
  if (!n->name || !*n->name) {
    call_error(c, 400, "\"name\" is missing: what the token is for");
    return false;
  }
  bool named = !list || json_is_null(list) || json_array_size(list);
  json_array_foreach(list, i, item) named &= json_string_length(item) > 0;
  if ((json_object_get(body, "role") && !role) || (role && !rights_role_named(role, &n->role)) ||
      !named || json_array_size(list) > max) {
    call_error(c, 400,
               "\"role\" is admin, operator or viewer, \"systems\" a list of at least one name, or "
               "null for all");
    return false;
  }
  json_array_foreach(list, i, item) systems[n->n_systems++] = json_string_value(item);
  if (n->n_systems) n->systems = systems;
  return true;
}

void admin_post_token(struct call *c) {
  const char *systems[256], *user;
  struct api_token_new n = {.n_systems = 0};
  json_t *body = call_body_json(c);
  if (!body) return;
  user = json_string_value(json_object_get(body, "user"));
  n.user = user ? user : c->identity->name;
  if (json_object_get(body, "user") && !user)
    call_error(c, 400, "\"user\" is a name");
  else if (c->identity->how == IDENTITY_TOKEN)
    call_error(c, 403, "an API token cannot make another one: log in");
  else if (call_is_local(c) && !user)
    call_error(c, 400, "\"user\" is missing: whose token it is to be");
  else if (user && strcmp(user, c->identity->name) && !call_may(c, RIGHT_USERS, ""))
    ; /* answered */
  else if (token_read(c, body, &n, systems, sizeof systems / sizeof *systems)) {
    call_wait(c, ADMIN_WAIT_MS);
    accounts_token_make(c->view->accounts, &n, on_token_made, c);
  }
  json_decref(body);
}

static void on_token_ended(void *arg, int rc, json_t *o, const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *answer = json_object();
    call_audit(c, NULL, json_incref(o), NULL);
    json_object_set_new(answer, "id", json_cstr(c->args[0]));
    json_object_set_new(answer, "ended", json_true());
    call_json(c, 200, answer);
  }
  call_unref(c);
}

void admin_delete_token(struct call *c) {
  /* Who finds a token of small rights must not take all others from its user. */
  if (c->identity->how == IDENTITY_TOKEN && strcmp(c->args[0], c->identity->session) != 0 &&
      owner_of(c)) {
    call_error(c, 403, "an API token can end itself alone: log in");
    return;
  }
  call_wait(c, ADMIN_WAIT_MS);
  accounts_token_end(c->view->accounts, c->args[0], owner_of(c), on_token_ended, c);
}

/* --- links --- */

/* Where a browser finds this port: what listens everywhere is reached on this machine, too. */
static const char *place_of(const struct server_settings *set, char *ret, size_t size) {
  static const char *const any[] = {"0.0.0.0:", "[::]:", "*:", ":"};
  for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
    size_t n = strlen(any[i]);
    if (strncmp(set->admin, any[i], n)) continue;
    snprintf(ret, size, "%s:%s", set->hosts[0] ? set->hosts[0] : "127.0.0.1", set->admin + n);
    return ret;
  }
  return set->admin;
}

/* "http://127.0.0.1:19840/bus/" and what follows it; behind a proxy, which has TLS and the first
 * name of `hosts`, "https://bus.example.com/bus/". */
static json_t *console_url(const struct call *c, const char *prefix, const char *rest) {
  const struct server_settings *set = &c->view->settings->server;
  bool behind = set->trusted_proxies[0] && set->hosts[0];
  char place[512];
  return json_sprintf("%s://%s%s/%s%s", behind ? "https" : "http",
                      behind ? set->hosts[0] : place_of(set, place, sizeof place), set->base_path,
                      prefix, rest);
}

static void on_link(void *arg, int rc, const char *key, uint64_t expires_ms, const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set_new(o, "url", console_url(c, "#/open/", key));
    json_object_set_new(o, "expires_ms", json_u64(expires_ms));
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* Groups of four are easier to type. */
static json_t *in_groups(const char *digits) {
  char text[2 * ONCE_KEY_SIZE];
  size_t n = 0;
  for (size_t i = 0; digits[i]; i++) {
    if (i && i % 4 == 0) text[n++] = '-';
    text[n++] = digits[i];
  }
  text[n] = 0;
  json_t *ret = json_string(text);
  explicit_bzero(text, sizeof text);
  return ret;
}

static void on_first_password(void *arg, int rc, const char *key, uint64_t expires_ms,
                              const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set_new(o, "url", console_url(c, "", ""));
    json_object_set_new(o, "user", json_string("admin"));
    json_object_set_new(o, "password", in_groups(key));
    json_object_set_new(o, "expires_ms", json_u64(expires_ms));
    call_json(c, 200, o);
  }
  call_unref(c);
}

static void make_once(struct call *c, int rc, enum once_kind kind, once_made_fn fn) {
  if (rc == -ESHUTDOWN)
    fn(c, -EAGAIN, "", 0, "the broker is stopping");
  else
    accounts_once_make(c->view->accounts, kind, "admin", fn, c);
}

/* Without a key a link says why itself. */
static void on_link_key(void *arg, int rc) {
  make_once(arg, rc, ONCE_LINK, on_link);
}

static void on_first_key(void *arg, int rc) {
  make_once(arg, rc, ONCE_PASSWORD, on_first_password);
}

void admin_post_link(struct call *c) {
  json_t *body = call_body_json(c);
  if (!body) return;
  const json_t *kind = json_object_get(body, "kind");
  const char *name = kind ? json_string_value(kind) : "link";
  bool first = name && !strcmp(name, "password");
  if (!name || (!first && strcmp(name, "link") != 0)) {
    call_error(c, 400, "\"kind\" is \"link\" or \"password\"");
  } else if (first && c->view->settings->n_users) {
    call_error(c, 409,
               "there are users already: this password is for the first login of all. "
               "`pepperbusctl open` makes a link");
  } else {
    call_wait(c, ADMIN_WAIT_MS);
    /* It may be the first login of all. */
    control_need_key(c->view->control, first ? on_first_key : on_link_key, c);
  }
  json_decref(body);
}

/* --- audit --- */

static void on_audit(void *arg, int rc, json_t *rows, const char *cursor, const char *why) {
  struct call *c = arg;
  if (!call_answered(c) && rc) {
    call_error(c, status_of(rc), "%s", why);
  } else if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set(o, "rows", rows);
    json_object_set_new(o, "cursor", *cursor ? json_cstr(cursor) : json_null());
    json_object_set_new(o, "total", json_null());
    json_object_set_new(o, "exact", json_false());
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_audit(struct call *c) {
  char cursor[64] = "", user[NAME_LEN_MAX + 1] = "";
  struct audit_query q = {.before = cursor};
  uint64_t limit;
  if (!call_query_u64(c, "limit", AUDIT_DEFAULT, AUDIT_MAX, &limit) ||
      !call_query_u64(c, "since", 0, INT64_MAX, &q.since_ms) ||
      !call_query_u64(c, "until", 0, INT64_MAX, &q.until_ms))
    return;
  call_query(c, "cursor", cursor, sizeof cursor);
  if (call_query(c, "user", user, sizeof user)) q.user = user;
  q.limit = limit ? limit : 1;
  call_wait(c, ADMIN_WAIT_MS);
  accounts_audit_list(c->view->accounts, &q, on_audit, c);
}
