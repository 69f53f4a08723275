/* API tokens: made by a user for a program, shown once, kept as a hash. A token never has more
 * rights than its user has now, and ends with the user's section.
 */
#ifndef PB_CORE_ACCOUNTS_API_TOKEN_H
#define PB_CORE_ACCOUNTS_API_TOKEN_H

#include "accounts/identity.h"
#include "accounts/vault.h"
#include "config/settings.h"

#define API_TOKEN_PREFIX   "pbt_"
#define API_TOKEN_SIZE     96 /* pbt_ID_SECRET: 64 and 256 bits as hex */
#define API_TOKEN_NAME_MAX 128
#define API_TOKEN_TOUCH_MS 60000 /* so often its last use is noted */
#define API_TOKENS_A_USER  100

struct api_token_new {
  const char *user, *name; /* name: what it is for, UTF-8 */
  enum role role;
  const char *const *systems; /* NULL: all */
  size_t n_systems;
  uint64_t expires_ms; /* Unix; 0: never */
};
/* rc: 0 with the token and its id; -ENOENT: the configuration has no such user; -EINVAL, -EAGAIN,
 * -ENOSPC. `token` is valid during the call and nobody can show it again. */
typedef void (*api_token_made_fn)(void *arg, int rc, const char *token, const char *id,
                                  const char *why);
void api_token_make(struct vault *v, const struct settings *set, const struct api_token_new *n,
                    api_token_made_fn fn, void *arg);

/* Does it look like one? */
bool api_token_is(const char *text);
/* rc: 0 with the identity, to be unref'd by the caller when the call is over; -ENOENT: there is no
 * such token, or it has ended (with identity_claimed(), where its user is known); -EAGAIN.
 * `settings`: the snapshot that runs when the answer comes.
 */
typedef void (*api_token_fn)(void *arg, int rc, struct identity *id, const char *why);
void api_token_find(struct vault *v, struct settings *const *settings, const char *token,
                    api_token_fn fn, void *arg);
/* Those of `user` (NULL: of all) as a JSON array: id, user, name, role, systems, created_ms,
 * expires_ms, last_ms. No secret. */
void api_token_list(struct vault *v, const char *user, vault_fn fn, void *arg);
/* Only where the token is `user`'s (NULL: anybody's); else -ENOENT. fn gets what it was, as in a
 * list. */
void api_token_end(struct vault *v, const char *id, const char *user, vault_fn fn, void *arg);
/* The user is gone: whoever gets that name later does not get the tokens. */
void api_token_end_all(struct vault *v, const char *user);

#endif
