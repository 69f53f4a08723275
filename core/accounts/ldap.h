/* Accounts of the company: passwords are checked by its directory server. */
#ifndef PB_CORE_ACCOUNTS_LDAP_H
#define PB_CORE_ACCOUNTS_LDAP_H

#include "config/settings.h"

struct passwords;

enum ldap_group { LDAP_NO_GROUP, LDAP_OPERATOR, LDAP_ADMIN };

/* rc: 0; -EACCES: the directory refused user and password; -EAGAIN: it could not be asked, `why`
 * says why; -ECANCELED. */
typedef void (*ldap_login_fn)(void *arg, int rc, enum ldap_group group, const char *why);
/* On the thread for passwords. 0, or -errno (-EBUSY): then `fn` does not come. What it needs of the
 * settings and both texts are copied. */
int ldap_login(struct passwords *p, const struct ldap_settings *set, const char *user,
               const char *password, ldap_login_fn fn, void *arg);

#endif
