/* What accounts.c and sign_in.c share. */
#ifndef PB_CORE_ACCOUNTS_PRIVATE_H
#define PB_CORE_ACCOUNTS_PRIVATE_H

#include "accounts/accounts.h"
#include "accounts/passwords.h"
#include "accounts/proxy.h"
#include "accounts/session.h"
#include "accounts/vault.h"

#include <sys/queue.h>

struct login_limiter;

struct accounts {
  struct vault vault;
  struct accounts_source source;
  struct settings *settings; /* a reference */
  struct proxy *proxy;
  struct sessions *sessions;
  struct passwords *passwords;
  struct login_limiter *limiter;
  struct audit *audit;
  LIST_HEAD(sign_ins, sign_in) following; /* see sign_in.c */
  bool stopped;
};

/* --- sign_in.c --- */

/* Those whose new password this node runs now; `all`: the broker stops. */
void sign_ins_follow(struct accounts *a, bool all);

/* --- cookie.c --- */

/* The id of the session in a field Cookie; false: none. */
bool cookie_find(const struct accounts *a, const char *field, char ret[SESSION_ID_SIZE]);
/* The value of Set-Cookie. `secret` "": the browser forgets it. */
void cookie_print(const struct accounts *a, const char *secret, bool https,
                  char ret[ACCOUNTS_COOKIE_MAX]);

#endif
