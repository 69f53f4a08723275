/* Owns the table role x right. What a single user may is in identity.c. */
#include "accounts/rights.h"

#include <stddef.h>
#include <string.h>

static const unsigned char scopes[RIGHTS][ROLES] = {
    /*                    admin         operator      viewer */
    [RIGHT_SELF] = {SCOPE_SELF, SCOPE_SELF, SCOPE_SELF},
    [RIGHT_LOOK] = {SCOPE_SYSTEM, SCOPE_SYSTEM, SCOPE_SYSTEM},
    [RIGHT_CONTENTS] = {SCOPE_SYSTEM, SCOPE_SYSTEM, SCOPE_SYSTEM},
    [RIGHT_OPERATE] = {SCOPE_SYSTEM, SCOPE_SYSTEM, SCOPE_NONE},
    [RIGHT_CONFIGURE] = {SCOPE_SYSTEM, SCOPE_SYSTEM, SCOPE_NONE},
    [RIGHT_ENTRIES] = {SCOPE_SYSTEM, SCOPE_SYSTEM, SCOPE_NONE},
    [RIGHT_CLUSTER] = {SCOPE_ALL, SCOPE_NONE, SCOPE_NONE},
    [RIGHT_USERS] = {SCOPE_ALL, SCOPE_NONE, SCOPE_NONE},
    [RIGHT_AUDIT] = {SCOPE_ALL, SCOPE_NONE, SCOPE_NONE},
    [RIGHT_LINK] = {SCOPE_ALL, SCOPE_NONE, SCOPE_NONE},
};
_Static_assert(sizeof scopes / sizeof *scopes == RIGHTS, "each right has a row");

static const char *const role_names[ROLES] = {"admin", "operator", "viewer"};

enum rights_scope rights_of(enum role role, enum right right) {
  if ((unsigned)role >= ROLES || (unsigned)right >= RIGHTS) return SCOPE_NONE;
  return (enum rights_scope)scopes[right][role];
}

bool rights_only_read(enum right right) {
  return right == RIGHT_LOOK || right == RIGHT_CONTENTS || right == RIGHT_AUDIT;
}

const char *rights_role_name(enum role role) {
  return (unsigned)role < ROLES ? role_names[role] : "none";
}

bool rights_role_named(const char *name, enum role *ret) {
  for (size_t i = 0; i < ROLES; i++) {
    if (strcmp(name, role_names[i]) != 0) continue;
    *ret = (enum role)i;
    return true;
  }
  return false;
}

bool rights_default_contents(enum role role) {
  return role == ROLE_ADMIN || role == ROLE_OPERATOR;
}

bool rights_default_entries(enum role role) {
  return role == ROLE_ADMIN;
}
