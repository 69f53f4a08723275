/* Who asks, and what they may do. An identity does not change once it is made. */
#ifndef PB_CORE_IDENTITY_H
#define PB_CORE_IDENTITY_H

#include "accounts/rights.h"

#include <stddef.h>
#include <stdint.h>

enum identity_how {
  IDENTITY_NODE,    /* the token of the node, from admin.token */
  IDENTITY_SOCKET,  /* the unix socket that only the broker's own user can open */
  IDENTITY_SESSION, /* a cookie */
  IDENTITY_TOKEN,   /* an API token of a user */
  IDENTITY_HEADER   /* the name that a trusted proxy gave */
};

struct identity {
  unsigned refs;
  enum identity_how how;
  char *name; /* of the user; of the node for IDENTITY_NODE and IDENTITY_SOCKET */
  enum role role;
  bool every_system; /* else only the `systems`, which may be none */
  char **systems;
  size_t n_systems;
  bool contents, entries;
  bool must_change;    /* the password first: nothing else is allowed */
  bool read_only;      /* the storage is away and the session was seen lately */
  char *session;       /* the id under which the session or API token is kept; "": none */
  char *login;         /* how the session began: password, ldap, once, link; "" */
  char *print;         /* of the user's password and rights when it was made: session.c; "" */
  char *client;        /* the address of the client, without its port */
  uint64_t expires_ms; /* Unix; 0: never */
};

/* With one reference; all of them end the process without memory. `systems` NULL: all. */
struct identity *identity_new(enum identity_how how, const char *name, enum role role,
                              const char *const *systems, size_t n);
/* Who somebody says to be that is not let in: a name without any right. */
struct identity *identity_claimed(enum identity_how how, const char *name);
/* With the same rights, that came in another way. */
struct identity *identity_copy(const struct identity *id, enum identity_how how);
struct identity *identity_ref(struct identity *id);
void identity_unref(struct identity *id); /* NULL is fine */
/* Replaces the text *at, which is one of the identity's. */
void identity_set(char **at, const char *text);
/* Takes away every right that `other` does not have: role, systems, contents, entries. */
void identity_limit(struct identity *id, const struct identity *other);

/* Does `other` have every role and system of the identity still? */
bool identity_within(const struct identity *id, const struct identity *other);

/* Does the identity have `right` ...
 *   system NULL   in any system at all? The handler still has to look at each thing it shows.
 *   ""            on what belongs to no system? Only users of all systems do.
 *   a name        in this system? */
bool identity_may(const struct identity *id, enum right right, const char *system);
/* Is `system` ("" or a name) one of the identity's? */
bool identity_has_system(const struct identity *id, const char *system);
/* The credentials come along with whatever a browser sends: the origin of a change is checked. */
bool identity_is_ambient(const struct identity *id);
const char *identity_how_name(enum identity_how how); /* "session" */

#endif
