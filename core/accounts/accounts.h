/* Who asks: identities of requests, sessions, passwords, tokens, the audit log. The one header of
 * this folder that admin/ needs beside identity.h, api_token.h and audit.h.
 *
 * Callbacks come on the loop, at once or later, each exactly once, also when the broker stops. Each
 * `why` is a sentence for people. Statuses are those of HTTP.
 */
#ifndef PB_CORE_ACCOUNTS_H
#define PB_CORE_ACCOUNTS_H

#include "accounts/api_token.h"
#include "accounts/audit.h"
#include "accounts/identity.h"
#include "accounts/once.h"
#include "config/settings.h"
#include "storage/shared.h"

#define ACCOUNTS_PASSWORD_MIN 10
#define ACCOUNTS_COOKIE_MAX   512

struct accounts;
struct log;
struct loop;
struct seal;

/* A password of the shared configuration that is to be `hash`. */
struct accounts_password {
  const char *user, *hash;
  bool create;      /* the first user: an admin of all systems */
  const char *from; /* the address of the client */
};
/* Where what all nodes share lives. */
struct accounts_source {
  struct store *(*store)(void *arg);     /* NULL: there is none now */
  const struct seal *(*seal)(void *arg); /* NULL: this node has not the key */
  /* Makes it a revision of the shared configuration. status: 200, or why not: 403, 409, 503. */
  void (*set_password)(void *arg, const struct accounts_password *p,
                       void (*fn)(void *fn_arg, int status, const char *why), void *fn_arg);
  void *arg;
};

/* No memory ends the process. */
struct accounts *accounts_new(struct loop *loop, struct log *log, const struct accounts_source *src,
                              struct settings *settings);
void accounts_apply(struct accounts *a, struct settings *settings); /* another snapshot runs */
/* After the loop's last turn, before the stores are freed. */
void accounts_stop(struct accounts *a);
/* After the stores are freed. NULL is fine. */
void accounts_free(struct accounts *a);
/* STORE_SHARED_SESSION of the shared storage. */
void accounts_news(struct accounts *a, enum store_shared_event event, const char *id);

/* --- who asks --- */

/* From the head of a request; NULL: there is no such field. Where a field came more than once, all
 * of them are in one text, with commas between them. */
struct credentials {
  const char *authorization, *cookie, *peer, *forwarded_for, *forwarded_proto, *agent;
  const char *remote_user; /* the field that [server] auth_header names */
  bool local;              /* by the unix socket */
  bool node_token;         /* `authorization` has the token of this node */
};
/* status: 200 with the identity, which the callee refs to keep it; 401, with identity_claimed()
 * where a name is known; 503: the storage is away. */
typedef void (*accounts_identity_fn)(void *arg, int status, struct identity *id, const char *why);
void accounts_identify(struct accounts *a, const struct credentials *c, accounts_identity_fn fn,
                       void *arg);
/* Is it still good, as far as this node knows? For streams that stay open. */
bool accounts_is_current(const struct accounts *a, const struct identity *id);
/* The address of the client behind the trusted proxies, without a port. */
void accounts_client(const struct accounts *a, const struct credentials *c, char *ret, size_t size);
/* Did the browser use TLS? */
bool accounts_is_https(const struct accounts *a, const struct credentials *c);

/* --- sessions --- */

/* status: 200, 400, 401, 403, 409, 429 (wait_ms says how long), 503. `cookie`: the value of
 * Set-Cookie, "" where nothing was made. */
struct accounts_signed {
  int status;
  struct identity *id;
  const char *cookie, *why;
  uint64_t wait_ms;
};
typedef void (*accounts_signed_fn)(void *arg, const struct accounts_signed *r);
void accounts_login(struct accounts *a, const char *user, const char *password,
                    const struct credentials *c, accounts_signed_fn fn, void *arg);
/* By a link of `pepperbusctl open`. */
void accounts_login_link(struct accounts *a, const char *key, const struct credentials *c,
                         accounts_signed_fn fn, void *arg);
/* Ends the session; the cookie of the answer takes it out of the browser. */
void accounts_logout(struct accounts *a, struct identity *id, const struct credentials *c,
                     accounts_signed_fn fn, void *arg);
/* Sets a user's own password. All sessions of the user end, and a new one begins. */
void accounts_change_password(struct accounts *a, struct identity *id, const char *old,
                              const char *fresh, const struct credentials *c, accounts_signed_fn fn,
                              void *arg);
/* yescrypt, for users that an admin makes. status: 200 with `hash`, 400, 503. */
typedef void (*accounts_hash_fn)(void *arg, int status, const char *hash, const char *why);
void accounts_hash(struct accounts *a, const char *user, const char *password, accounts_hash_fn fn,
                   void *arg);
/* From now on the user has to change the password after a login. status: 200, 503. */
typedef void (*accounts_done_fn)(void *arg, int status, const char *why);
void accounts_must_change(struct accounts *a, const char *user, bool must, accounts_done_fn fn,
                          void *arg);
/* The password of a user was set by somebody else, or the user is gone. */
void accounts_end_sessions(struct accounts *a, const char *user);

/* --- tokens, keys, audit: see api_token.h, once.h, audit.h --- */

void accounts_token_make(struct accounts *a, const struct api_token_new *n, api_token_made_fn fn,
                         void *arg);
void accounts_token_list(struct accounts *a, const char *user, vault_fn fn, void *arg);
void accounts_token_end(struct accounts *a, const char *id, const char *user, vault_fn fn,
                        void *arg);
void accounts_once_make(struct accounts *a, enum once_kind kind, const char *user, once_made_fn fn,
                        void *arg);
/* Adds user, how, client and agent of the request. */
void accounts_audit(struct accounts *a, const struct identity *id, const struct credentials *c,
                    const struct audit_row *row);
void accounts_audit_list(struct accounts *a, const struct audit_query *q, audit_fn fn, void *arg);

#endif
