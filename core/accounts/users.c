/* Owns how a [user] section becomes an identity. */
#include "accounts/users.h"

#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

const struct user_settings *users_find(const struct settings *set, const char *name) {
  for (size_t i = 0; i < set->n_users; i++)
    if (strcmp(set->users[i]->name, name) == 0) return set->users[i];
  return NULL;
}

struct identity *users_identity(const struct user_settings *u, enum identity_how how) {
  const char **names = calloc(u->n_systems + 1, sizeof *names);
  if (!names) out_of_memory();
  for (size_t i = 0; i < u->n_systems; i++) names[i] = u->systems[i]->name;
  struct identity *id =
      identity_new(how, u->name, (enum role)u->role, u->n_systems ? names : NULL, u->n_systems);
  id->contents = u->contents;
  id->entries = u->entries;
  free(names);
  return id;
}

int users_print(const struct seal *seal, const struct user_settings *u, const char *hash,
                char ret[USERS_PRINT_SIZE]) {
  struct buf systems = {0};
  char rights[64];
  snprintf(rights, sizeof rights, "%d %d %d", u->role, !!u->contents, !!u->entries);
  for (size_t i = 0; i < u->n_systems; i++) buf_printf(&systems, "%s,", u->systems[i]->name);
  if (systems.failed) out_of_memory();
  struct seal_part parts[] = {SEAL_TEXT("print of a user"),
                              SEAL_TEXT(u->name),
                              SEAL_TEXT(rights),
                              {systems.data, systems.len},
                              SEAL_TEXT(hash ? hash : u->password)};
  int rc = seal_mark(seal, SEAL_SESSIONS, parts, sizeof parts / sizeof *parts, ret);
  buf_free(&systems);
  return rc;
}
