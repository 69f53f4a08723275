/* Owns what the forms of the console are made of: the keys of each kind of section, and the
 * sections that are there, shared and of this node's files.
 *
 * Must never happen: a secret in an answer; a section of a system that one does not see; a turn of
 * the loop that reads 10,000 sections (a thread does).
 */
#include "admin/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "config/option.h"
#include "control/control.h"
#include "transport/plugin_loader.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MAX     1000

/* --- keys --- */

static json_t *texts_json(const char *const *list) {
  json_t *a = json_array();
  for (; list && *list; list++) json_array_append_new(a, json_cstr(*list));
  return a;
}

static json_t *choices_json(const char *choices) {
  json_t *a = json_array();
  for (const char *p = choices; p && *p;) {
    size_t n = strcspn(p, ",");
    json_array_append_new(a, json_text(p, n));
    p += n + (p[n] == ',');
  }
  return a;
}

static void on_key(void *arg, const struct settings_key *k) {
  json_t *kinds = arg, *keys = json_object_get(kinds, k->kind), *o = json_object();
  const struct pb_option *opt = k->option;
  char range[OPTION_TEXT_MAX];
  if (!keys) json_object_set_new(kinds, k->kind, keys = json_array());
  option_range_text(opt, range, sizeof range);
  json_object_set_new(o, "name", json_string(opt->name));
  json_object_set_new(o, "run_type", json_cstr(k->run_type));
  json_object_set_new(o, "type", json_string(option_type_name(opt)));
  json_object_set_new(o, "range", json_cstr(opt->type == PB_OPT_CHOICE ? "" : range));
  json_object_set_new(o, "choices", choices_json(opt->type == PB_OPT_CHOICE ? opt->choices : ""));
  json_object_set_new(o, "default", json_cstr(opt->def ? opt->def : ""));
  json_object_set_new(o, "required", json_boolean(opt->flags & PB_OPT_REQUIRED));
  json_object_set_new(o, "secret", json_boolean(opt->flags & PB_OPT_SECRET));
  json_object_set_new(o, "local", json_boolean(opt->flags & PB_OPT_LOCAL));
  json_object_set_new(o, "deprecated", json_boolean(opt->flags & PB_OPT_DEPRECATED));
  json_object_set_new(o, "title", json_cstr(k->title));
  json_object_set_new(o, "help", json_cstr(opt->help));
  json_object_set_new(o, "help_zh", json_cstr(k->help_zh));
  json_array_append_new(keys, o);
}

void admin_get_options(struct call *c) {
  const struct settings_types *types = plugins_types(c->view->plugins);
  const struct server_settings *set = &c->view->settings->server;
  json_t *o = json_object(), *kinds = json_object(), *run_types = json_array();
  settings_each_key(types, on_key, kinds);
  for (size_t i = 0; types && i < types->n; i++)
    json_array_append_new(run_types, json_cstr(types->transports[i]->run_type));
  json_object_set_new(o, "kinds", kinds);
  json_object_set_new(o, "run_types", run_types);
  json_object_set_new(o, "shared_run_types", texts_json(set->shared_run_types));
  json_object_set_new(o, "entry_roots", texts_json(set->entry_roots));
  json_object_set_new(o, "http_hosts", texts_json(set->http_hosts));
  call_json(c, 200, o);
}

/* --- sections --- */

/* One question, from the loop to a thread and back. */
struct listing {
  struct call *c;
  struct settings *settings; /* of the moment of the question */
  const struct settings_types *types;
  char *text;                                /* the shared sections */
  char kind[32], name[2 * NAME_LEN_MAX + 2]; /* "": any */
  char q[NAME_LEN_MAX + 1];
  uint64_t limit, number, total;
  json_t *found, *used_by;
  bool one;
};

static struct shared_sections *sections_of(const char *text, size_t len) {
  struct shared_sections *s = NULL;
  char *lines = NULL;
  size_t n;
  FILE *errors = open_memstream(&lines, &n);
  if (!errors) out_of_memory();
  if (shared_read("text", text, len, &s, errors)) s = NULL;
  fclose(errors);
  free(lines);
  return s;
}

static bool matches(const struct listing *l, const char *kind, const char *name) {
  return (!*l->kind || !strcmp(l->kind, kind)) && (!*l->name || !strcmp(l->name, name)) &&
         (!*l->q || strcasestr(name, l->q));
}

/* "" where it belongs to none. */
static const char *system_of(const struct listing *l, const struct shared_sections *all,
                             const struct shared_section *s) {
  char queue[NAME_LEN_MAX + 1];
  if (!strcmp(s->kind, "system")) return s->name;
  const char *own = shared_value(s, "system");
  if (own || strcmp(s->kind, "topic") != 0) return own ? own : "";
  snprintf(queue, sizeof queue, "%.*s", (int)strcspn(s->name, "/"), s->name);
  const struct shared_section *q = shared_find(all, "queue", queue);
  if (q) return (own = shared_value(q, "system")) ? own : "";
  const struct queue_settings *local =
      l->settings->n_queues ? settings_queue(l->settings, queue, strlen(queue)) : NULL;
  return local && local->system ? local->system->name : "";
}

static json_t *keys_json(const struct listing *l, const struct shared_section *s, json_t *secrets) {
  json_t *keys = json_object();
  for (size_t i = 0; i < s->n_entries; i++) {
    bool secret = shared_key_is_secret(l->types, s->kind, s->entries[i].key);
    if (secret) json_array_append_new(secrets, json_cstr(s->entries[i].key));
    json_object_set_new(keys, s->entries[i].key,
                        secret ? json_string(SHARED_MASK) : json_cstr(s->entries[i].value));
  }
  return keys;
}

static void shared_add(struct listing *l, const struct shared_sections *all,
                       const struct shared_section *s) {
  const char *system = system_of(l, all, s);
  if (!matches(l, s->kind, s->name) || !strcmp(s->kind, "user") ||
      !identity_may(l->c->identity, RIGHT_LOOK, system))
    return;
  if (l->total++ >= l->limit) return;
  json_t *o = json_object(), *secrets = json_array();
  json_object_set_new(o, "kind", json_cstr(s->kind));
  json_object_set_new(o, "name", json_cstr(s->name));
  json_object_set_new(o, "system", *system ? json_cstr(system) : json_null());
  json_object_set_new(o, "place", json_string("shared"));
  json_object_set_new(o, "at", json_null());
  json_object_set_new(o, "keys", keys_json(l, s, secrets));
  json_object_set_new(o, "secrets", secrets);
  json_array_append_new(l->found, o);
}

/* Is it one of the list `text` ("a, b")? */
static bool lists(const char *text, const char *name) {
  size_t n = strlen(name);
  while (*text) {
    text += strspn(text, " ,");
    size_t len = strcspn(text, " ,");
    if (len == n && !strncmp(text, name, n)) return true;
    text += len;
  }
  return false;
}

static bool uses(const struct shared_section *s, const char *kind, const char *name) {
  size_t n = strlen(name);
  if (!strcmp(kind, "queue") && !strcmp(s->kind, "topic") && !strncmp(s->name, name, n) &&
      s->name[n] == '/')
    return true;
  for (size_t i = 0; i < s->n_entries; i++) {
    const char *key = s->entries[i].key;
    size_t len = strlen(kind);
    /* "storage" and "storages", "system" and "systems", "pool", "queue", "topic" */
    if (!strncmp(key, kind, len) && (!key[len] || !strcmp(key + len, "s")) &&
        lists(s->entries[i].value, name))
      return true;
  }
  return false;
}

static void users_add(struct listing *l, const struct shared_sections *all) {
  for (size_t i = 0; i < shared_n(all); i++) {
    const struct shared_section *s = shared_at(all, i);
    if (!uses(s, l->kind, l->name) || json_array_size(l->used_by) >= LIST_MAX) continue;
    json_array_append_new(l->used_by, json_pack("{s:s, s:s}", "kind", s->kind, "name", s->name));
  }
}

/* The effective values of a section of a file. */
static void effective_put(struct listing *l) {
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  settings_dump(l->settings, out);
  fclose(out);
  struct shared_sections *all = sections_of(text, len);
  const struct shared_section *s = all ? shared_find(all, l->kind, l->name) : NULL;
  json_t *o = json_array_get(l->found, 0);
  if (s) {
    json_t *secrets = json_array();
    json_object_set_new(o, "keys", keys_json(l, s, secrets));
    json_object_set_new(o, "secrets", secrets);
  }
  shared_free(all);
  free(text);
}

static void run(void *arg) {
  struct listing *l = arg;
  struct shared_sections *all = sections_of(l->text, strlen(l->text));
  size_t n = json_array_size(l->found);
  for (size_t i = 0; all && i < shared_n(all); i++) shared_add(l, all, shared_at(all, i));
  if (all && l->one) users_add(l, all);
  if (l->one && n) effective_put(l);
  shared_free(all);
}

static void listing_free(struct listing *l) {
  settings_unref(l->settings);
  json_decref(l->found);
  json_decref(l->used_by);
  explicit_bzero(l->text, strlen(l->text));
  free(l->text);
  free(l);
}

static void on_done(void *arg, bool ran) {
  struct listing *l = arg;
  struct call *c = l->c;
  if (call_answered(c)) {
    ;
  } else if (!ran) {
    call_error(c, 503, "the broker is stopping");
  } else if (l->one && !json_array_size(l->found)) {
    call_error(c, 404, "there is no [%s %s]", l->kind, l->name);
  } else if (l->one) {
    json_t *o = json_incref(json_array_get(l->found, 0));
    json_object_set_new(o, "number", json_u64(l->number));
    json_object_set(o, "used_by", l->used_by);
    call_json(c, 200, o);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "number", json_u64(l->number));
    json_object_set(o, "sections", l->found);
    json_object_set_new(o, "total", json_u64(l->total));
    call_json(c, 200, o);
  }
  listing_free(l);
  call_unref(c);
}

static void local_add(void *arg, const char *kind, const char *name, struct place at, bool shared) {
  struct listing *l = arg;
  const char *system = "";
  char queue[NAME_LEN_MAX + 1], place[512];
  if (shared || !matches(l, kind, name) || !strcmp(kind, "user")) return;
  snprintf(queue, sizeof queue, "%.*s", (int)strcspn(name, "/"), name);
  if (!strcmp(kind, "queue") || !strcmp(kind, "topic"))
    system = admin_system_of(l->c->view, queue);
  else if (!strcmp(kind, "system"))
    system = name;
  if (!identity_may(l->c->identity, RIGHT_LOOK, system ? system : "") || l->total++ >= l->limit)
    return;
  snprintf(place, sizeof place, "%s:%u", at.file, at.line);
  json_t *o = json_object();
  json_object_set_new(o, "kind", json_cstr(kind));
  json_object_set_new(o, "name", json_cstr(name));
  json_object_set_new(o, "system", system && *system ? json_cstr(system) : json_null());
  json_object_set_new(o, "place", json_string("local"));
  json_object_set_new(o, "at", json_cstr(place));
  json_object_set_new(o, "keys", json_object());
  json_object_set_new(o, "secrets", json_array());
  json_array_append_new(l->found, o);
}

static void list(struct call *c, struct listing *l) {
  const char *text = control_sections(c->view->control, &l->number);
  l->c = c;
  l->types = plugins_types(c->view->plugins);
  l->found = json_array();
  l->used_by = json_array();
  l->text = strdup(text ? text : "");
  if (!l->text) out_of_memory();
  settings_each_section(c->view->settings, local_add, l);
  l->settings = settings_ref((struct settings *)c->view->settings);
  call_wait(c, ADMIN_WAIT_MS);
  if (control_work(c->view->control, run, on_done, l)) return;
  call_error(c, 503, "too many texts are being read on this node; try again");
  listing_free(l);
  call_unref(c);
}

void admin_get_sections(struct call *c) {
  struct listing *l = calloc(1, sizeof *l);
  if (!l) out_of_memory();
  if (!call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &l->limit)) {
    free(l);
    return;
  }
  call_query(c, "kind", l->kind, sizeof l->kind);
  call_query(c, "q", l->q, sizeof l->q);
  list(c, l);
}

void admin_get_section(struct call *c) {
  struct listing *l = calloc(1, sizeof *l);
  if (!l) out_of_memory();
  l->one = true;
  l->limit = 1;
  snprintf(l->kind, sizeof l->kind, "%s", c->args[0]);
  snprintf(l->name, sizeof l->name, "%s", c->args[1]);
  list(c, l);
}
