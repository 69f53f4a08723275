/* Owns the ways in and out: password, directory, one-time keys, logout, a new password.
 *
 * Must never happen: an answer that tells whether a user exists; a session for somebody whose
 * password was not checked; a password that is kept, or logged.
 */
#include "accounts/private.h"

#include "accounts/ldap.h"
#include "accounts/login.h"
#include "accounts/users.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define USER_LEN_MAX 128
#define WRONG        "the user name or the password is wrong"
#define FOLLOW_MS    10000 /* a new password is a revision: so long this node may take to run it */

/* One try to get in, from the request to the cookie. */
struct sign_in {
  LIST_ENTRY(sign_in)
  following; /* on a->following: its password was set, and does not run here yet */
  struct timer patience;
  struct accounts *a;
  accounts_signed_fn fn;
  void *arg;
  char *user, *agent;
  char *old_session; /* of the browser; it ends when a new one begins */
  char *hash;        /* of a password that is being set */
  const char *login; /* how: "password", "ldap", "once", "link" */
  struct identity *who;
  char client[PROXY_CLIENT_MAX];
  bool https, counted; /* counted: login_end() is owed */
  bool shown;          /* `user` is somebody's name, not perhaps a password in the wrong field */
};

static char *text_new(const char *text) {
  char *copy = strdup(text ? text : "");
  if (!copy) out_of_memory();
  return copy;
}

static struct sign_in *sign_in_new(struct accounts *a, const char *user,
                                   const struct credentials *c, accounts_signed_fn fn, void *arg) {
  struct sign_in *s = calloc(1, sizeof *s);
  char secret[SESSION_ID_SIZE], digest[2 * SEAL_MARK_LEN + 1] = "";
  if (!s) out_of_memory();
  s->a = a;
  s->fn = fn;
  s->arg = arg;
  s->user = text_new(user);
  s->agent = text_new(c->agent);
  s->login = "password";
  s->https = proxy_is_https(a->proxy, c->peer, c->forwarded_proto);
  proxy_client(a->proxy, c->peer, c->forwarded_for, s->client);
  if (c->cookie && cookie_find(a, c->cookie, secret))
    (void)seal_digest(secret, strlen(secret), digest);
  explicit_bzero(secret, sizeof secret);
  s->old_session = text_new(digest);
  return s;
}

static void audit(struct sign_in *s, const char *what, const char *result, bool refused) {
  struct audit_row r = {.user = s->shown ? s->user : NULL,
                        .how = s->login,
                        .client = s->client,
                        .agent = s->agent,
                        .what = what,
                        .result = result,
                        .refused = refused,
                        .known = s->who != NULL};
  audit_add(s->a->audit, &r);
}

static void sign_in_end(struct sign_in *s, const struct accounts_signed *r) {
  s->fn(s->arg, r);
  identity_unref(s->who);
  if (s->hash) explicit_bzero(s->hash, strlen(s->hash));
  free(s->hash);
  explicit_bzero(s->user, strlen(s->user));
  free(s->user);
  free(s->agent);
  free(s->old_session);
  free(s);
}

static void counted_end(struct sign_in *s, enum login_result result) {
  if (s->counted)
    login_end(s->a->limiter, s->user, s->client, result, loop_now_ms(s->a->vault.loop));
  s->counted = false;
}

static void refuse(struct sign_in *s, int status, const char *why) {
  counted_end(s, LOGIN_UNKNOWN);
  sign_in_end(s, &(struct accounts_signed){.status = status, .cookie = "", .why = why});
}

static void refuse_wrong(struct sign_in *s) {
  counted_end(s, LOGIN_WRONG);
  log_warning(s->a->vault.log, "accounts", "refused a login from %s: " WRONG, s->client);
  audit(s, "login", WRONG, true);
  refuse(s, 401, WRONG);
}

/* --- a session for somebody who is known --- */

static void on_session(void *arg, int rc, struct identity *id, const char *secret,
                       const char *why) {
  struct sign_in *s = arg;
  char cookie[ACCOUNTS_COOKIE_MAX];
  if (rc) {
    refuse(s, rc == -EINVAL ? 400 : 503, rc == -ENOSPC ? "there are too many sessions" : why);
    return;
  }
  s->shown = true;
  audit(s, s->hash ? "password" : "login", "done", false);
  cookie_print(s->a, secret, s->https, cookie);
  sign_in_end(s, &(struct accounts_signed){.status = 200, .id = id, .cookie = cookie, .why = ""});
  explicit_bzero(cookie, sizeof cookie);
}

static void begin_session(struct sign_in *s) {
  const struct user_settings *u = users_find(s->a->settings, s->who->name);
  const struct seal *seal = s->a->source.seal(s->a->source.arg);
  char print[USERS_PRINT_SIZE] = "";
  if (u && seal && !strcmp(s->login, "password")) (void)users_print(seal, u, s->hash, print);
  if (*s->old_session) session_end(s->a->sessions, s->old_session, NULL, NULL);
  struct session_new n = {
      .who = s->who, .login = s->login, .print = print, .client = s->client, .agent = s->agent};
  session_make(s->a->sessions, &n, on_session, s);
}

static void on_user_state(void *arg, int rc, json_t *o, const char *why) {
  struct sign_in *s = arg;
  if (rc && rc != -ENOENT) {
    refuse(s, 503, why);
    return;
  }
  if (o && json_is_true(json_object_get(o, "must_change"))) s->who->must_change = true;
  begin_session(s);
}

/* The password was right: it belongs to a user of the configuration that runs now. */
static void enter_user(struct sign_in *s) {
  const struct user_settings *u = users_find(s->a->settings, s->user);
  if (!u) {
    refuse_wrong(s);
    return;
  }
  counted_end(s, LOGIN_RIGHT);
  s->who = users_identity(u, IDENTITY_SESSION);
  vault_get(&s->a->vault, STORE_DOC_USER, s->user, on_user_state, s);
}

/* --- passwords --- */

static void on_checked(void *arg, int rc, const char *hash) {
  struct sign_in *s = arg;
  (void)hash;
  if (rc == -ECANCELED)
    refuse(s, 503, "the broker is stopping");
  else if (rc)
    refuse_wrong(s);
  else
    enter_user(s);
}

static void on_directory(void *arg, int rc, enum ldap_group group, const char *why) {
  struct sign_in *s = arg;
  int role = group == LDAP_ADMIN      ? ROLE_ADMIN
             : group == LDAP_OPERATOR ? ROLE_OPERATOR
                                      : s->a->settings->server.auth_default_role;
  if (rc == -EAGAIN) log_warning(s->a->vault.log, "ldap", "%s", why);
  if (rc == -EAGAIN || rc == -ECANCELED) {
    refuse(s, 503, "the directory server cannot be asked now; the log of the broker says why");
  } else if (rc || role >= ROLES) {
    refuse_wrong(s);
  } else {
    counted_end(s, LOGIN_RIGHT);
    for (char *p = s->user; *p; p++) /* the directory takes both */
      if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 0x20);
    s->who = identity_new(IDENTITY_SESSION, s->user, (enum role)role, NULL, 0);
    begin_session(s);
  }
}

/* quickstart's password, while there is no user. */
static void on_once(void *arg, int rc, json_t *o, const char *why) {
  struct sign_in *s = arg;
  if (rc && rc != -ENOENT) {
    refuse(s, 503, why);
  } else if (rc || s->a->settings->n_users || strcmp(vault_text(o, "user"), s->user) != 0) {
    refuse_wrong(s);
  } else {
    counted_end(s, LOGIN_RIGHT);
    s->login = "once";
    s->who = identity_new(IDENTITY_SESSION, s->user, ROLE_ADMIN, NULL, 0);
    s->who->must_change = true;
    begin_session(s);
  }
}

static void check_started(struct sign_in *s, int rc) {
  if (rc) refuse(s, 503, "too many logins at a time; try again");
}

void accounts_login(struct accounts *a, const char *user, const char *password,
                    const struct credentials *c, accounts_signed_fn fn, void *arg) {
  struct sign_in *s = sign_in_new(a, user, c, fn, arg);
  const char *away = a->stopped ? "the broker is stopping" : vault_away(&a->vault);
  const struct user_settings *u = users_find(a->settings, user);
  s->shown = u != NULL;
  if (away) {
    refuse(s, 503, away);
    return;
  }
  uint64_t wait = login_begin(a->limiter, user, s->client, loop_now_ms(a->vault.loop));
  if (wait) {
    struct accounts_signed r = {
        .status = 429, .cookie = "", .why = "too many logins; wait a little", .wait_ms = wait};
    sign_in_end(s, &r);
    return;
  }
  s->counted = true;
  if (!u && !a->settings->n_users && once_is(ONCE_PASSWORD, password)) {
    once_take(&a->vault, ONCE_PASSWORD, password, on_once, s);
  } else if (!u && a->settings->ldap.place.line && *user && *password &&
             strlen(user) <= USER_LEN_MAX) {
    s->login = "ldap";
    check_started(s, ldap_login(a->passwords, &a->settings->ldap, user, password, on_directory, s));
  } else {
    check_started(s,
                  passwords_check(a->passwords, u ? u->password : NULL, password, on_checked, s));
  }
}

static void on_link(void *arg, int rc, json_t *o, const char *why) {
  struct sign_in *s = arg;
  if (rc && rc != -ENOENT) {
    refuse(s, 503, why);
  } else if (rc) {
    audit(s, "login", "the link is not good", true);
    refuse(s, 401,
           "this link was used or is older than a minute; make another one with "
           "`pepperbusctl open`");
  } else {
    s->who = identity_new(IDENTITY_SESSION, vault_text(o, "user"), ROLE_ADMIN, NULL, 0);
    free(s->user);
    s->user = text_new(s->who->name);
    begin_session(s);
  }
}

void accounts_login_link(struct accounts *a, const char *key, const struct credentials *c,
                         accounts_signed_fn fn, void *arg) {
  struct sign_in *s = sign_in_new(a, "", c, fn, arg);
  s->login = "link";
  once_take(&a->vault, ONCE_LINK, key, on_link, s);
}

/* --- out --- */

static void on_ended(void *arg, int rc, json_t *o, const char *why) {
  struct sign_in *s = arg;
  char cookie[ACCOUNTS_COOKIE_MAX];
  (void)o;
  if (rc && rc != -ENOENT) {
    refuse(s, 503, why);
    return;
  }
  audit(s, "logout", "done", false);
  cookie_print(s->a, "", s->https, cookie);
  sign_in_end(s, &(struct accounts_signed){.status = 200, .cookie = cookie, .why = ""});
}

void accounts_logout(struct accounts *a, struct identity *id, const struct credentials *c,
                     accounts_signed_fn fn, void *arg) {
  struct sign_in *s = sign_in_new(a, id->name, c, fn, arg);
  s->shown = true;
  if (id->how == IDENTITY_SESSION)
    session_end(a->sessions, id->session, on_ended, s);
  else
    on_ended(s, -ENOENT, NULL, "");
}

/* --- a new password --- */

/* False: this node does not run the new password yet. */
static bool new_password_runs(const struct sign_in *s) {
  const struct user_settings *u = users_find(s->a->settings, s->user);
  return u && strcmp(u->password, s->hash) == 0;
}

static void follow_end(struct sign_in *s) {
  LIST_REMOVE(s, following);
  timer_done(&s->patience);
  if (!new_password_runs(s)) {
    refuse(s, 503,
           "the password was changed; this node does not run the change yet: log in again "
           "in a moment");
    return;
  }
  identity_unref(s->who);
  s->who = users_identity(users_find(s->a->settings, s->user), IDENTITY_SESSION);
  s->login = "password";
  begin_session(s);
}

static void on_patience(void *arg) {
  follow_end(arg);
}

void sign_ins_follow(struct accounts *a, bool all) {
  struct sign_in *next;
  for (struct sign_in *s = LIST_FIRST(&a->following); s; s = next) {
    next = LIST_NEXT(s, following);
    if (all || new_password_runs(s)) follow_end(s);
  }
}

static void on_set(void *arg, int status, const char *why) {
  struct sign_in *s = arg;
  if (status != 200) {
    audit(s, "password", why, true);
    refuse(s, status, why);
    return;
  }
  accounts_must_change(s->a, s->user, false, NULL, NULL);
  session_end_all(s->a->sessions, s->user, "");
  LIST_INSERT_HEAD(&s->a->following, s, following);
  timer_init(&s->patience, s->a->vault.loop, on_patience, s);
  timer_start(&s->patience, FOLLOW_MS);
  if (s->a->stopped || new_password_runs(s)) follow_end(s);
}

static void on_fresh(void *arg, int rc, const char *hash) {
  struct sign_in *s = arg;
  if (rc) {
    refuse(s, rc == -EINVAL ? 400 : 503,
           rc == -EINVAL ? "this password cannot be kept" : "the broker is stopping");
    return;
  }
  s->hash = text_new(hash);
  struct accounts_password p = {.user = s->user,
                                .hash = s->hash,
                                .create = !users_find(s->a->settings, s->user),
                                .from = s->client};
  s->a->source.set_password(s->a->source.arg, &p, on_set, s);
}

/* The old password, while it is checked; then the new one is hashed. */
struct change {
  struct sign_in *s;
  char *fresh;
};

static void hash_fresh(struct sign_in *s, const char *fresh) {
  check_started(s, passwords_hash(s->a->passwords, fresh, on_fresh, s));
}

static void on_old(void *arg, int rc, const char *hash) {
  struct change *c = arg;
  (void)hash;
  if (rc == -ECANCELED) {
    refuse(c->s, 503, "the broker is stopping");
  } else if (rc) {
    counted_end(c->s, LOGIN_WRONG);
    audit(c->s, "password", "the old password is wrong", true);
    refuse(c->s, 403, "the old password is wrong");
  } else {
    counted_end(c->s, LOGIN_RIGHT);
    hash_fresh(c->s, c->fresh);
  }
  explicit_bzero(c->fresh, strlen(c->fresh));
  free(c->fresh);
  free(c);
}

static const char *fresh_fault(const char *user, const char *fresh) {
  if (strlen(fresh) < ACCOUNTS_PASSWORD_MIN) return "a password needs 10 characters at least";
  if (strlen(fresh) > PASSWORD_LEN_MAX) return "a password has 511 bytes at most";
  return strcmp(user, fresh) == 0 ? "the password must not be the user name" : NULL;
}

static void check_old(struct sign_in *s, const struct user_settings *u, const char *old,
                      const char *fresh) {
  struct accounts *a = s->a;
  uint64_t wait = login_begin(a->limiter, s->user, s->client, loop_now_ms(a->vault.loop));
  if (wait) {
    struct accounts_signed r = {
        .status = 429, .cookie = "", .why = "too many tries; wait a little", .wait_ms = wait};
    sign_in_end(s, &r);
    return;
  }
  s->counted = true;
  struct change *c = malloc(sizeof *c);
  if (!c) out_of_memory();
  *c = (struct change){s, text_new(fresh)};
  int rc = passwords_check(a->passwords, u->password, old, on_old, c);
  if (!rc) return;
  explicit_bzero(c->fresh, strlen(c->fresh));
  free(c->fresh);
  free(c);
  check_started(s, rc);
}

static void refuse_change(struct sign_in *s, int status, const char *why) {
  audit(s, "password", why, status == 409);
  refuse(s, status, why);
}

void accounts_change_password(struct accounts *a, struct identity *id, const char *old,
                              const char *fresh, const struct credentials *c, accounts_signed_fn fn,
                              void *arg) {
  bool once = strcmp(id->login, "once") == 0;
  struct sign_in *s = sign_in_new(a, id->name, c, fn, arg);
  const struct user_settings *u = users_find(a->settings, id->name);
  const char *fault = fresh_fault(id->name, fresh);
  const char *away = a->stopped ? "the broker is stopping" : vault_away(&a->vault);
  s->shown = true;
  s->who = u ? users_identity(u, IDENTITY_SESSION)
             : identity_new(IDENTITY_SESSION, id->name, id->role, NULL, 0);
  if (id->how != IDENTITY_SESSION || (!u && !once) || (once && a->settings->n_users))
    refuse_change(s, 409,
                  "this password is not kept by the broker: change it where the account is");
  else if (u && !u->shared)
    refuse_change(s, 409,
                  "this user stands in a file of the node; change the password there, with "
                  "`pepperbusctl passwd --user`");
  else if (away)
    refuse_change(s, 503, away);
  else if (fault)
    refuse_change(s, 400, fault);
  else if (once)
    hash_fresh(s, fresh);
  else if (strcmp(old, fresh) == 0)
    refuse_change(s, 400, "the new password is the old one");
  else
    check_old(s, u, old, fresh);
}

/* --- passwords of others --- */

struct hashing {
  accounts_hash_fn fn;
  void *arg;
};

static void on_hashed(void *arg, int rc, const char *hash) {
  struct hashing *h = arg;
  h->fn(h->arg,
        !rc             ? 200
        : rc == -EINVAL ? 400
                        : 503,
        hash,
        !rc             ? ""
        : rc == -EINVAL ? "this password cannot be kept"
                        : "the broker is stopping");
  free(h);
}

void accounts_hash(struct accounts *a, const char *user, const char *password, accounts_hash_fn fn,
                   void *arg) {
  const char *fault = fresh_fault(user, password);
  struct hashing *h = malloc(sizeof *h);
  if (!h) out_of_memory();
  *h = (struct hashing){fn, arg};
  if (!fault && !a->stopped && !passwords_hash(a->passwords, password, on_hashed, h)) return;
  fn(arg, fault ? 400 : 503, "", fault ? fault : "too many passwords at a time; try again");
  free(h);
}

struct marking {
  struct accounts *a;
  accounts_done_fn fn;
  void *arg;
  char *user;
  bool must;
};

static void on_marked(void *arg, int rc, json_t *o, const char *why) {
  struct marking *m = arg;
  (void)o;
  if (m->fn) m->fn(m->arg, rc ? 503 : 200, why);
  free(m->user);
  free(m);
}

static void on_mark(void *arg, int rc, json_t *o, const char *why) {
  struct marking *m = arg;
  if (rc && rc != -ENOENT) {
    on_marked(m, rc, NULL, why);
    return;
  }
  json_t *user = o ? json_incref(o) : json_object();
  json_object_set_new(user, "must_change", json_boolean(m->must));
  vault_put(&m->a->vault, STORE_DOC_USER, m->user, user, 0, STORE_DOC_ALWAYS, on_marked, m);
  json_decref(user);
}

void accounts_must_change(struct accounts *a, const char *user, bool must, accounts_done_fn fn,
                          void *arg) {
  struct marking *m = malloc(sizeof *m);
  if (!m) out_of_memory();
  *m = (struct marking){a, fn, arg, text_new(user), must};
  vault_get(&a->vault, STORE_DOC_USER, user, on_mark, m);
}

void accounts_end_sessions(struct accounts *a, const char *user) {
  session_end_all(a->sessions, user, "");
}
