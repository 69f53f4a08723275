/* Owns the assembly of accounts, and the way from the head of a request to an identity.
 *
 * Must never happen: the node's own token or its socket depend on the storage; a header field that
 * names a user is believed from anybody but a trusted proxy.
 */
#include "accounts/private.h"

#include "accounts/login.h"
#include "accounts/users.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- life --- */

struct accounts *accounts_new(struct loop *loop, struct log *log, const struct accounts_source *src,
                              struct settings *settings) {
  struct accounts *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  a->source = *src;
  a->vault = (struct vault){
      .loop = loop, .log = log, .store = src->store, .seal = src->seal, .arg = src->arg};
  a->settings = settings_ref(settings);
  a->proxy = proxy_new(settings->server.trusted_proxies);
  a->sessions = sessions_new(&a->vault, &a->settings);
  a->passwords = passwords_new(loop);
  a->limiter = login_limiter_new();
  a->audit = audit_new(&a->vault, &a->settings);
  return a;
}

/* What was kept for users who are gone: another one may get that name. Users of files may be gone
 * on this node alone. */
static void users_forget(struct accounts *a, const struct settings *before) {
  for (size_t i = 0; i < before->n_users; i++) {
    const struct user_settings *u = before->users[i];
    if (!u->shared || users_find(a->settings, u->name)) continue;
    api_token_end_all(&a->vault, u->name);
    session_end_all(a->sessions, u->name, "");
  }
}

void accounts_apply(struct accounts *a, struct settings *settings) {
  struct settings *before = a->settings;
  a->settings = settings_ref(settings);
  users_forget(a, before);
  settings_unref(before);
  proxy_free(a->proxy);
  a->proxy = proxy_new(settings->server.trusted_proxies);
  sign_ins_follow(a, false);
}

void accounts_stop(struct accounts *a) {
  if (!a || a->stopped) return;
  a->stopped = a->vault.stopped = true;
  audit_stop(a->audit);
  passwords_free(a->passwords);
  a->passwords = NULL;
  sign_ins_follow(a, true);
}

void accounts_free(struct accounts *a) {
  if (!a) return;
  accounts_stop(a);
  audit_free(a->audit);
  login_limiter_free(a->limiter);
  sessions_free(a->sessions);
  proxy_free(a->proxy);
  settings_unref(a->settings);
  free(a);
}

void accounts_news(struct accounts *a, enum store_shared_event event, const char *id) {
  if (event == STORE_SHARED_SESSION) session_ended(a->sessions, id);
}

/* --- who asks --- */

void accounts_client(const struct accounts *a, const struct credentials *c, char *ret,
                     size_t size) {
  char client[PROXY_CLIENT_MAX];
  proxy_client(a->proxy, c->peer, c->forwarded_for, client);
  snprintf(ret, size, "%s", client);
}

bool accounts_is_https(const struct accounts *a, const struct credentials *c) {
  return proxy_is_https(a->proxy, c->peer, c->forwarded_proto);
}

/* Of a name that a trusted proxy gave; NULL: it may not do anything. */
static struct identity *header_identity(const struct settings *set, const char *name) {
  const struct user_settings *u = users_find(set, name);
  if (u) return users_identity(u, IDENTITY_HEADER);
  if (set->server.auth_default_role >= ROLES) return NULL;
  return identity_new(IDENTITY_HEADER, name, (enum role)set->server.auth_default_role, NULL, 0);
}

/* What it had when it came, has its user that now? */
static bool user_has_rights(const struct accounts *a, const struct identity *id) {
  const struct user_settings *u = users_find(a->settings, id->name);
  struct identity *now = NULL;
  if (id->how == IDENTITY_HEADER)
    now = header_identity(a->settings, id->name);
  else if (u)
    now = users_identity(u, id->how);
  bool has = now && identity_within(id, now);
  identity_unref(now);
  return has;
}

bool accounts_is_current(const struct accounts *a, const struct identity *id) {
  switch (id->how) {
  case IDENTITY_SESSION:
    return session_is_current(a->sessions, id);
  case IDENTITY_TOKEN:
    return !session_is_ended(a->sessions, id->session) && user_has_rights(a, id) &&
           (!id->expires_ms || vault_now_ms(&a->vault) < id->expires_ms);
  case IDENTITY_HEADER:
    return user_has_rights(a, id);
  default:
    return true;
  }
}

struct asking {
  struct accounts *a;
  accounts_identity_fn fn;
  void *arg;
  char client[PROXY_CLIENT_MAX];
};

static void asking_end(struct asking *q, int status, struct identity *id, const char *why) {
  if (id) identity_set(&id->client, q->client);
  q->fn(q->arg, status, id, why);
  free(q);
}

static void on_identity(void *arg, int rc, struct identity *id, const char *why) {
  asking_end(arg, !rc ? 200 : rc == -ENOENT ? 401 : 503, id, why);
}

/* Whoever has the machine's files or its socket. */
static void ask_node(struct asking *q, enum identity_how how) {
  struct identity *id = identity_new(how, q->a->settings->server.node, ROLE_ADMIN, NULL, 0);
  asking_end(q, 200, id, "");
  identity_unref(id);
}

static bool name_fits(const char *name) {
  size_t len = strlen(name);
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == ',') return false;
  return len && len <= 128;
}

/* The name that a trusted proxy gave. */
static void ask_header(struct asking *q, const char *name) {
  if (!name_fits(name)) {
    asking_end(q, 401, NULL, "the proxy did not name one user");
    return;
  }
  struct identity *claimed = identity_claimed(IDENTITY_HEADER, name);
  struct identity *id = header_identity(q->a->settings, name);
  asking_end(q, id ? 200 : 401, id ? id : claimed,
             id ? "" : "the user whom the proxy named is not a user of this broker");
  identity_unref(claimed);
  identity_unref(id);
}

static const char *bearer(const char *authorization) {
  static const char scheme[] = "Bearer ";
  if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) return NULL;
  authorization += sizeof scheme - 1;
  return authorization + strspn(authorization, " ");
}

void accounts_identify(struct accounts *a, const struct credentials *c, accounts_identity_fn fn,
                       void *arg) {
  struct asking *q = malloc(sizeof *q);
  char secret[SESSION_ID_SIZE];
  if (!q) out_of_memory();
  *q = (struct asking){.a = a, .fn = fn, .arg = arg};
  proxy_client(a->proxy, c->peer, c->forwarded_for, q->client);
  const char *token = bearer(c->authorization);
  bool by_proxy =
      *a->settings->server.auth_header && c->remote_user && proxy_trusts(a->proxy, c->peer);
  if (c->node_token) {
    ask_node(q, IDENTITY_NODE);
  } else if (c->authorization) { /* cookies do not count beside it */
    if (token && api_token_is(token))
      api_token_find(&a->vault, &a->settings, token, on_identity, q);
    else
      asking_end(q, 401, NULL, "this is not a token of this broker");
  } else if (by_proxy) {
    ask_header(q, c->remote_user);
  } else if (c->cookie && cookie_find(a, c->cookie, secret)) {
    session_find(a->sessions, secret, on_identity, q);
    explicit_bzero(secret, sizeof secret);
  } else if (c->local) {
    ask_node(q, IDENTITY_SOCKET);
  } else {
    asking_end(q, 401, NULL, "log in, or send the header \"Authorization: Bearer TOKEN\"");
  }
}

/* --- what is passed on --- */

void accounts_token_make(struct accounts *a, const struct api_token_new *n, api_token_made_fn fn,
                         void *arg) {
  api_token_make(&a->vault, a->settings, n, fn, arg);
}

void accounts_token_list(struct accounts *a, const char *user, vault_fn fn, void *arg) {
  api_token_list(&a->vault, user, fn, arg);
}

void accounts_token_end(struct accounts *a, const char *id, const char *user, vault_fn fn,
                        void *arg) {
  api_token_end(&a->vault, id, user, fn, arg);
}

void accounts_once_make(struct accounts *a, enum once_kind kind, const char *user, once_made_fn fn,
                        void *arg) {
  once_make(&a->vault, kind, user, fn, arg);
}

void accounts_audit(struct accounts *a, const struct identity *id, const struct credentials *c,
                    const struct audit_row *row) {
  struct audit_row r = *row;
  char client[PROXY_CLIENT_MAX];
  accounts_client(a, c, client, sizeof client);
  if (id) r.user = id->name;
  if (id) r.how = identity_how_name(id->how);
  r.known = id != NULL;
  r.client = client;
  r.agent = c->agent;
  audit_add(a->audit, &r);
}

void accounts_audit_list(struct accounts *a, const struct audit_query *q, audit_fn fn, void *arg) {
  audit_list(a->audit, q, fn, arg);
}
