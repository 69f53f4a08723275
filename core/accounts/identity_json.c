/* Owns how rights are written into documents and read from them.
 *
 * Must never happen: a document without systems that counts as one of all systems.
 */
#include "accounts/identity_json.h"

#include "base/json_text.h"
#include "base/out_of_memory.h"

#include <stdlib.h>

json_t *identity_systems_json(const struct identity *id) {
  if (id->every_system) return json_null();
  json_t *all = json_array();
  for (size_t i = 0; i < id->n_systems; i++) json_array_append_new(all, json_cstr(id->systems[i]));
  return all;
}

struct identity *identity_read(const json_t *o, enum identity_how how, const char *name) {
  const char *role_name = json_string_value(json_object_get(o, "role"));
  const json_t *list = json_object_get(o, "systems");
  size_t n = json_array_size(list);
  enum role role;
  if (!role_name || !rights_role_named(role_name, &role) ||
      (!json_is_null(list) && !json_is_array(list)))
    return NULL;
  const char **systems = calloc(n + 1, sizeof *systems);
  if (!systems) out_of_memory();
  bool good = true;
  for (size_t i = 0; i < n; i++)
    good = (systems[i] = json_string_value(json_array_get(list, i))) && good;
  struct identity *id = NULL;
  if (good) {
    id = identity_new(how, name, role, json_is_null(list) ? NULL : systems, n);
    id->contents = json_is_true(json_object_get(o, "contents"));
    id->entries = json_is_true(json_object_get(o, "entries"));
  }
  free(systems);
  return id;
}
