/* Owns what one user may do, by role, systems and own rights.
 *
 * Must never happen: an identity without systems that counts as one of all systems.
 */
#include "accounts/identity.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

static char *text_new(const char *text) {
  char *copy = strdup(text);
  if (!copy) out_of_memory();
  return copy;
}

static void systems_free(struct identity *id) {
  for (size_t i = 0; i < id->n_systems; i++) free(id->systems[i]);
  free(id->systems);
  id->systems = NULL;
  id->n_systems = 0;
}

struct identity *identity_new(enum identity_how how, const char *name, enum role role,
                              const char *const *systems, size_t n) {
  struct identity *id = calloc(1, sizeof *id);
  if (!id) out_of_memory();
  id->refs = 1;
  id->how = how;
  id->role = role;
  id->name = text_new(name);
  id->session = text_new("");
  id->login = text_new("");
  id->print = text_new("");
  id->client = text_new("");
  id->every_system = !systems;
  id->contents = rights_default_contents(role);
  id->entries = rights_default_entries(role);
  if (!systems || !n) return id;
  id->systems = calloc(n, sizeof *id->systems);
  if (!id->systems) out_of_memory();
  for (; id->n_systems < n; id->n_systems++)
    id->systems[id->n_systems] = text_new(systems[id->n_systems]);
  return id;
}

struct identity *identity_claimed(enum identity_how how, const char *name) {
  static const char *const none[] = {NULL};
  struct identity *id = identity_new(how, name, ROLE_VIEWER, none, 0);
  id->contents = id->entries = false;
  id->must_change = true; /* so that it may do nothing, whoever takes it for a real one */
  return id;
}

void identity_set(char **at, const char *text) {
  char *copy = text_new(text);
  free(*at);
  *at = copy;
}

struct identity *identity_copy(const struct identity *id, enum identity_how how) {
  struct identity *copy =
      identity_new(how, id->name, id->role, (const char *const *)id->systems, id->n_systems);
  copy->every_system = id->every_system;
  copy->contents = id->contents;
  copy->entries = id->entries;
  copy->must_change = id->must_change;
  copy->read_only = id->read_only;
  copy->expires_ms = id->expires_ms;
  identity_set(&copy->session, id->session);
  identity_set(&copy->login, id->login);
  identity_set(&copy->print, id->print);
  identity_set(&copy->client, id->client);
  return copy;
}

struct identity *identity_ref(struct identity *id) {
  id->refs++;
  return id;
}

void identity_unref(struct identity *id) {
  if (!id || --id->refs) return;
  systems_free(id);
  free(id->name);
  free(id->session);
  free(id->login);
  free(id->print);
  free(id->client);
  free(id);
}

bool identity_has_system(const struct identity *id, const char *system) {
  if (id->every_system) return true;
  for (size_t i = 0; i < id->n_systems; i++)
    if (*system && strcmp(id->systems[i], system) == 0) return true;
  return false;
}

static void systems_keep(struct identity *id, const struct identity *other) {
  size_t kept = 0;
  for (size_t i = 0; i < id->n_systems; i++) {
    if (identity_has_system(other, id->systems[i]))
      id->systems[kept++] = id->systems[i];
    else
      free(id->systems[i]);
  }
  id->n_systems = kept;
}

static void systems_copy(struct identity *id, const struct identity *other) {
  systems_free(id);
  id->systems = calloc(other->n_systems + 1, sizeof *id->systems);
  if (!id->systems) out_of_memory();
  for (size_t i = 0; i < other->n_systems; i++) id->systems[i] = text_new(other->systems[i]);
  id->n_systems = other->n_systems;
  id->every_system = false;
}

void identity_limit(struct identity *id, const struct identity *other) {
  if (other->role > id->role) id->role = other->role;
  if (id->every_system && !other->every_system)
    systems_copy(id, other);
  else if (!id->every_system)
    systems_keep(id, other);
  id->contents &= other->contents;
  id->entries &= other->entries;
}

bool identity_within(const struct identity *id, const struct identity *other) {
  if (other->role > id->role || (id->every_system && !other->every_system)) return false;
  for (size_t i = 0; i < id->n_systems; i++)
    if (!identity_has_system(other, id->systems[i])) return false;
  return true;
}

bool identity_may(const struct identity *id, enum right right, const char *system) {
  enum rights_scope scope = rights_of(id->role, right);
  bool here = id->how == IDENTITY_NODE || id->how == IDENTITY_SOCKET;
  if (scope == SCOPE_SELF) return true;
  if (id->must_change || (id->read_only && !rights_only_read(right))) return false;
  if (right == RIGHT_CONTENTS && !id->contents) return false;
  if (right == RIGHT_ENTRIES && !id->entries) return false;
  if (right == RIGHT_LINK && !here) return false;
  if (scope == SCOPE_ALL) return id->every_system;
  if (scope != SCOPE_SYSTEM) return false;
  return system ? identity_has_system(id, system) : id->every_system || id->n_systems;
}

bool identity_is_ambient(const struct identity *id) {
  return id->how == IDENTITY_SESSION || id->how == IDENTITY_HEADER;
}

const char *identity_how_name(enum identity_how how) {
  static const char *const names[] = {"node", "socket", "session", "token", "header"};
  return (unsigned)how < sizeof names / sizeof *names ? names[how] : "unknown";
}
