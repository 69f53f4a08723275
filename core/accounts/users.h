/* The users of the configuration, as identities. */
#ifndef PB_CORE_USERS_H
#define PB_CORE_USERS_H

#include "accounts/identity.h"
#include "base/seal.h"
#include "config/settings.h"

#define USERS_PRINT_SIZE (2 * SEAL_MARK_LEN + 1)

const struct user_settings *users_find(const struct settings *set, const char *name);
struct identity *users_identity(const struct user_settings *u, enum identity_how how);
/* Names everything of a user that a session stands on: password, role, systems, rights. Any of them
 * changed makes another print. `hash`: instead of the user's password; NULL: that. Without the key
 * nobody finds the password by the print. 0 or -errno. */
int users_print(const struct seal *seal, const struct user_settings *u, const char *hash,
                char ret[USERS_PRINT_SIZE]);

#endif
