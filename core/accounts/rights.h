/* What each role may do: one table. */
#ifndef PB_CORE_RIGHTS_H
#define PB_CORE_RIGHTS_H

#include <stdbool.h>

/* In the order of the choices of `role` in [user]; the first may the most. */
enum role { ROLE_ADMIN, ROLE_OPERATOR, ROLE_VIEWER, ROLES };

enum right {
  RIGHT_SELF,      /* one's own session, password and API tokens */
  RIGHT_LOOK,      /* see figures, states, errors and settings (secrets are masked) */
  RIGHT_CONTENTS,  /* see contents of jobs, and what workers said about them */
  RIGHT_OPERATE,   /* pause, resume, test, replay, purge, cancel, add a job */
  RIGHT_CONFIGURE, /* change sections of a system */
  RIGHT_ENTRIES,   /* change what topics run: `entry` and `run_type` */
  RIGHT_CLUSTER,   /* change sections without a system; nodes, reload, rollback, import, restore */
  RIGHT_USERS,     /* users, and API tokens of others */
  RIGHT_AUDIT,     /* read the audit log */
  RIGHT_LINK,      /* make one-time links: only from the machine of a node */
  RIGHTS
};

enum rights_scope {
  SCOPE_NONE,   /* the role does not have the right */
  SCOPE_SYSTEM, /* in the systems of the user */
  SCOPE_ALL,    /* only a user of all systems has the right */
  SCOPE_SELF    /* everybody, whatever the systems */
};

/* Both are checked: out of range is SCOPE_NONE. */
enum rights_scope rights_of(enum role role, enum right right);
/* The right changes nothing. */
bool rights_only_read(enum right right);
const char *rights_role_name(enum role role); /* "admin" */
/* False: there is no such role. */
bool rights_role_named(const char *name, enum role *ret);
/* What a [user] section without `contents` and `entries` means. */
bool rights_default_contents(enum role role);
bool rights_default_entries(enum role role);

#endif
