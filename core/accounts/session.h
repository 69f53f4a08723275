/* Sessions: what a cookie stands for. The storage keeps the digest of the id alone, so that who
 * reads the storage gets no session by it. A session holds on every node of the cluster.
 */
#ifndef PB_CORE_ACCOUNTS_SESSION_H
#define PB_CORE_ACCOUNTS_SESSION_H

#include "accounts/identity.h"
#include "accounts/vault.h"
#include "config/settings.h"

#define SESSION_ID_SIZE   65                  /* 256 bits as hex, and the NUL */
#define SESSION_IDLE_MS   UINT64_C(43200000)  /* 12 h */
#define SESSION_MAX_MS    UINT64_C(604800000) /* 7 days */
#define SESSION_LDAP_MS   UINT64_C(43200000)  /* the directory does not tell who has left */
#define SESSION_TOUCH_MS  60000               /* so often it is noted that a session is in use */
#define SESSION_CACHE_MS  600000
#define SESSION_CACHE_MAX 1024
#define SESSIONS_A_USER   20

struct sessions;

/* `settings`: the snapshot that runs; looked at each time. */
struct sessions *sessions_new(struct vault *v, struct settings *const *settings);
void sessions_free(struct sessions *s);

/* rc: 0 with *id, whose `session` is the digest; -ENOSPC, -EAGAIN: none was made. `secret`: the id
 * for the cookie, valid during the call. */
typedef void (*session_made_fn)(void *arg, int rc, struct identity *id, const char *secret,
                                const char *why);
/* For who the identity says, with its rights as they are now. `login`: how it began. `print`: of
 * the user (users_print()); "" where the configuration has no such user. The oldest one of a user
 * who has too many ends. */
struct session_new {
  const struct identity *who;
  const char *login, *print, *client, *agent;
};
void session_make(struct sessions *s, const struct session_new *n, session_made_fn fn, void *arg);

/* rc: 0; -ENOENT: there is no such session, or it has ended (identity_claimed() or NULL); -EAGAIN:
 * it cannot be looked up now.
 */
typedef void (*session_fn)(void *arg, int rc, struct identity *id, const char *why);
/* By the id of the cookie. */
void session_find(struct sessions *s, const char *secret, session_fn fn, void *arg);
/* By the digest. It has ended when `fn` comes with 0 or -ENOENT. fn may be NULL. */
void session_end(struct sessions *s, const char *digest, vault_fn fn, void *arg);
/* All of a user but `keep` ("" or a digest). Nobody waits for it. */
void session_end_all(struct sessions *s, const char *user, const char *keep);
/* Another node ended it; "": nobody knows which ones. */
void session_ended(struct sessions *s, const char *digest);
/* Was this session, or API token, ended lately? */
bool session_is_ended(const struct sessions *s, const char *digest);
/* Is a session that was found earlier still good, as far as this node knows? For answers that take
 * hours. */
bool session_is_current(const struct sessions *s, const struct identity *id);

#endif
