/* Keys that open the console once: the password that quickstart prints, the link of
 * `pepperbusctl open`. The storage keeps their digest alone.
 */
#ifndef PB_CORE_ACCOUNTS_ONCE_H
#define PB_CORE_ACCOUNTS_ONCE_H

#include "accounts/vault.h"

enum once_kind {
  ONCE_PASSWORD, /* 80 bits, 24 h; must be changed; only while there is no user */
  ONCE_LINK      /* 128 bits, 60 s */
};
#define ONCE_KEY_SIZE    33 /* hex, and the NUL */
#define ONCE_PASSWORD_MS UINT64_C(86400000)
#define ONCE_LINK_MS     60000

/* `key` is valid during the call. */
typedef void (*once_made_fn)(void *arg, int rc, const char *key, uint64_t expires_ms,
                             const char *why);
/* For `user`. */
void once_make(struct vault *v, enum once_kind kind, const char *user, once_made_fn fn, void *arg);
/* Could it be one? Spaces and hyphens within a password do not count. */
bool once_is(enum once_kind kind, const char *key);
/* rc 0: it was good and is used up. `o` has its "user". -ENOENT: it is not good, or was used. */
void once_take(struct vault *v, enum once_kind kind, const char *key, vault_fn fn, void *arg);

#endif
