/* Owns the check of a storage that is being written: can the broker use the server?
 *
 * Must never happen: the password of a storage sent to another address than its own.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "config/option.h"
#include "config/shared_text.h"
#include "transport/plugin_loader.h"

#include <stdlib.h>
#include <string.h>

struct check {
  struct call *c;
  struct settings *settings; /* one storage, as it is asked for */
  uint64_t begun_ms;
  char name[NAME_LEN_MAX + 1]; /* of the storage that is being changed, or "" */
};

static const char *key_of(const json_t *keys, const char *name) {
  const char *text = json_string_value(json_object_get(keys, name));
  return text ? text : "";
}

/* The storage that is being changed, if the answer may depend on its password. */
static const struct storage_settings *same_server(struct call *c, const json_t *body,
                                                  const json_t *keys) {
  const char *name = json_string_value(json_object_get(body, "name"));
  const struct storage_settings *set = name ? admin_storage_of(c->view, name) : NULL;
  return set && admin_sees_storage(c, set) && !strcmp(set->address, key_of(keys, "address")) &&
                 !strcmp(set->username ? set->username : "", key_of(keys, "username"))
             ? set
             : NULL;
}

static void line_add(FILE *out, const char *key, const char *value) {
  fprintf(out, "%s = ", key);
  option_print_text(value, out);
  fputc('\n', out);
}

/* The section as a file would have it. NULL: answered with 400. */
static char *section_text(struct call *c, const json_t *body, json_t *keys, size_t *ret_len) {
  static const char *const used[] = {"address", "username", "db", "managed"};
  const struct storage_settings *set = same_server(c, body, keys);
  const char *password = key_of(keys, "password");
  char *text = NULL;
  bool masked = !strcmp(password, SHARED_MASK);
  if (masked && !set) {
    call_error(c, 400, "give the password again: it is kept for another address or user name");
    return NULL;
  }
  if (masked) password = set->password;
  FILE *out = open_memstream(&text, ret_len);
  if (!out) out_of_memory();
  fputs("[storage check]\n", out);
  for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
    const json_t *value = json_object_get(keys, used[i]);
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    if (json_is_integer(value)) line_add(out, used[i], number);
    if (json_is_boolean(value)) line_add(out, used[i], json_is_true(value) ? "yes" : "no");
    if (json_is_string(value) && *json_string_value(value))
      line_add(out, used[i], json_string_value(value));
  }
  if (*password) line_add(out, "password", password);
  fclose(out);
  return text;
}

/* A value with a line end would be a key of its own. */
static bool keys_fit(struct call *c, const json_t *keys) {
  const char *name;
  json_t *value;
  if (!json_is_object(keys)) {
    call_error(c, 400, "\"keys\" is an object: the keys of the section");
    return false;
  }
  json_object_foreach((json_t *)keys, name, value) {
    const char *text = json_string_value(value);
    if (text && (strpbrk(text, "\r\n") || strlen(text) != json_string_length(value))) {
      call_error(c, 400, "%.60s: a value is one line", name);
      return false;
    }
  }
  return true;
}

static void tell(struct call *c, bool good, const char *found, const char *why, uint64_t ms,
                 const struct store_server *server) {
  json_t *o = json_object();
  json_object_set_new(o, "ok", json_boolean(good));
  json_object_set_new(o, "found", json_cstr(found));
  json_object_set_new(o, "why", json_cstr(why));
  json_object_set_new(o, "ms", json_u64(ms));
  json_object_set_new(o, "warnings", storage_warnings_json(server));
  json_object_set_new(o, "server", storage_server_json(c->view, server));
  call_json(c, 200, o);
}

/* The storage that is this very database, by the run id of the server; NULL: none. */
static const char *twin_of(const struct check *x, const struct store_server *server, int64_t db) {
  const struct admin_view *v = x->c->view;
  size_t n;
  struct store *const *stores = registry_stores(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_server *other = store_server(stores[i]);
    const struct storage_settings *set = admin_storage_of(v, store_name(stores[i]));
    if (other && set && strcmp(set->name, x->name) != 0 && *server->run &&
        !strcmp(other->run, server->run) && set->db == db)
      return store_name(stores[i]);
  }
  return NULL;
}

static void on_probed(void *arg, bool good, const struct store_server *server, const char *why) {
  struct check *x = arg;
  struct call *c = x->c;
  const struct storage_settings *st = x->settings->storages[0];
  char found[300] = "";
  if (server) {
    const char *twin = twin_of(x, server, st->db);
    snprintf(found, sizeof found, "%s %s, %s, %s, %llu keys in db %lld%s%.128s",
             server->valkey ? "Valkey" : "Redis", server->version, server->policy,
             server->aof ? "with an append-only file" : "without an append-only file",
             (unsigned long long)server->keys, (long long)st->db,
             twin ? "; this is the database of storage " : "", twin ? twin : "");
  }
  if (!call_answered(c))
    tell(c, good, found, why, loop_now_ms(c->view->loop) - x->begun_ms, server);
  settings_unref(x->settings);
  free(x);
  call_unref(c);
}

/* NULL: answered. */
static struct settings *section_read(struct call *c, const char *text, size_t len) {
  struct settings *s = NULL;
  char *faults = NULL;
  size_t n;
  FILE *errors = open_memstream(&faults, &n);
  if (!errors) out_of_memory();
  int rc = settings_parse("storage", text, len, plugins_types(c->view->plugins), errors, &s);
  fclose(errors);
  const char *why = strstr(faults, ": "); /* behind the place of the first */
  if (rc) {
    faults[strcspn(faults, "\n")] = 0;
    tell(c, false, "", why ? why + 2 : faults, 0, NULL);
    s = NULL;
  }
  free(faults);
  return s;
}

void admin_post_storage_check(struct call *c) {
  json_t *body = call_body_json(c), *keys = json_object_get(body, "keys");
  size_t len = 0;
  if (!body) return;
  const char *name = json_string_value(json_object_get(body, "name"));
  struct check *x = calloc(1, sizeof *x);
  if (!x) out_of_memory();
  snprintf(x->name, sizeof x->name, "%s", name ? name : "");
  bool may = keys_fit(c, keys) && call_may(c, RIGHT_CONFIGURE, key_of(keys, "system"));
  char *text = may ? section_text(c, body, keys, &len) : NULL;
  json_decref(body);
  struct settings *s = text ? section_read(c, text, len) : NULL;
  if (text) explicit_bzero(text, len);
  free(text);
  if (!s || s->storages[0]->managed) {
    if (s) tell(c, true, "the broker starts a server of its own for this storage", "", 0, NULL);
    settings_unref(s);
    free(x);
    return;
  }
  x->c = c;
  x->settings = s;
  x->begun_ms = loop_now_ms(c->view->loop);
  call_wait(c, ADMIN_WAIT_MS);
  store_probe(c->view->loop, s->storages[0], on_probed, x);
}
