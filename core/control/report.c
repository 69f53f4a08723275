/* Owns what this node tells the others of itself, and what it reads of theirs: which revision it
 * runs or why not, compact figures, and which names its local files take.
 *
 * Must never happen: a value of a section, or anything secret, in a report.
 */
#include "base/arena.h"
#include "base/log.h"
#include "base/name_index.h"
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

#define REPORT_TTL_MS   (7ull * 24 * 3600 * 1000) /* a node that is away is told of for so long */
#define REPORT_ALIVE_MS 15000
#define ROWS_MAX        100          /* of what is broken or clashes */
#define NAMES_MAX       (900u << 10) /* bytes of the names; what is beyond is left out */
#define CLASHES_MAX     20           /* that are told */

/* --- this node's --- */

static json_t *text_json(const char *text) {
  json_t *v = json_string(text);
  return v ? v : json_string("(not UTF-8)");
}

static json_t *broken_json(const struct settings *s) {
  json_t *list = json_array();
  for (size_t i = 0; i < s->n_broken && i < ROWS_MAX; i++)
    json_array_append_new(list, json_pack("{ss ss so}", "kind", s->broken[i].kind, "name",
                                          s->broken[i].name, "why", text_json(s->broken[i].why)));
  return list;
}

static json_t *clashes_json(const struct settings *s) {
  json_t *list = json_array();
  for (size_t i = 0; i < s->n_clashes && i < ROWS_MAX; i++) {
    const struct settings_clash *x = &s->clashes[i];
    json_array_append_new(list,
                          json_pack("{ss ss so sI}", "kind", x->kind, "name", x->name, "file",
                                    text_json(x->local.file), "line", (json_int_t)x->local.line));
  }
  return list;
}

static const char *state_word(const struct follow *f) {
  if (f->refused) return "refused";
  if (f->state == FOLLOW_LOST) return "lost";
  if (f->state == FOLLOW_KEYLESS) return "keyless";
  return "runs";
}

static json_t *report_json(struct control *c) {
  const struct follow *f = &c->follow;
  const char *why = f->refused ? (f->refused_why ? f->refused_why : "") : f->why;
  json_t *figures = c->ev.figures ? c->ev.figures(c->ev.arg) : NULL;
  json_t *o = json_pack(
      "{ss ss sI ss ss sI so so so sI ss ss so}", "node", c->settings->server.node, "version",
      PACKAGE_VERSION, "number", (json_int_t)(f->good ? f->good->rev.number : 0), "hash",
      f->good ? f->good->hash : "", "state", state_word(f), "refused",
      (json_int_t)(f->refused && f->next ? f->next->rev.number : 0), "why", text_json(why),
      "broken", broken_json(c->settings), "clashes", clashes_json(c->settings), "n_broken",
      (json_int_t)c->settings->n_broken, "key_id", c->key.has ? c->key.seal.id : "", "key_state",
      key_state_names[c->key.state], "figures", figures ? figures : json_null());
  struct store *s = control_store(c);
  if (s) json_object_set_new(o, "at_ms", json_integer((json_int_t)store_clock_ms(s)));
  return o;
}

struct names {
  json_t *list;
  size_t bytes;
};

static void name_add(void *arg, const char *kind, const char *name, struct place at, bool shared) {
  struct names *n = arg;
  n->bytes += strlen(kind) + strlen(name) + strlen(at.file) + 32;
  if (shared || n->bytes > NAMES_MAX) return;
  json_array_append_new(n->list,
                        json_pack("[s s o i]", kind, name, text_json(at.file), (int)at.line));
}

static void put(struct store *s, enum store_doc_kind kind, const char *id, json_t *doc,
                store_done_fn fn, void *arg) {
  char *text = json_dumps(doc, JSON_COMPACT);
  json_decref(doc);
  if (!text) out_of_memory();
  store_doc_put(s, kind, id, text, strlen(text), REPORT_TTL_MS, STORE_DOC_ALWAYS, fn, arg);
  free(text);
}

static void on_names(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct control *c = arg;
  (void)count;
  (void)why;
  if (rc) c->sections_sent = false;
}

static void on_reported(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct control *c = arg;
  (void)rc; /* the next one comes in some seconds */
  (void)count;
  (void)why;
  c->reporting = false;
  if (c->report_again) report_send(c);
}

void report_send(struct control *c) {
  struct store *s = control_store(c);
  c->report_again = c->reporting;
  if (!s || c->reporting) return;
  if (!c->sections_sent) {
    struct names names = {json_array(), 0};
    settings_each_section(c->settings, name_add, &names);
    c->sections_sent = true;
    put(s, STORE_DOC_NAMES, c->settings->server.node, names.list, on_names, c);
  }
  c->reporting = true;
  put(s, STORE_DOC_REPORT, c->settings->server.node, report_json(c), on_reported, c);
}

/* --- all nodes' --- */

struct nodes_ask {
  struct control *c;
  control_nodes_fn fn;
  void *arg;
};

/* Whoever reaches the storage can write there: only what a report has is taken over. */
static bool row_is_sound(const json_t *row, bool clash) {
  return json_is_string(json_object_get(row, "kind")) &&
         json_is_string(json_object_get(row, "name")) &&
         json_is_string(json_object_get(row, clash ? "file" : "why")) &&
         (!clash || json_is_integer(json_object_get(row, "line"))) &&
         json_object_size(row) == (clash ? 4 : 3);
}

static bool rows_are_sound(const json_t *list, bool clash) {
  if (!json_is_array(list) || json_array_size(list) > ROWS_MAX) return false;
  for (size_t i = 0; i < json_array_size(list); i++)
    if (!row_is_sound(json_array_get(list, i), clash)) return false;
  return true;
}

/* A new object; NULL: this is no report. */
static json_t *report_read(const struct store_doc *d) {
  static const char *const texts[] = {"node", "version", "hash",     "state",
                                      "why",  "key_id",  "key_state"};
  static const char *const numbers[] = {"number", "refused", "n_broken", "at_ms"};
  json_t *o = json_loadb(d->data, d->len, 0, NULL), *to = json_object();
  const char *node = json_string_value(json_object_get(o, "node"));
  json_t *figures = json_object_get(o, "figures");
  bool sound = node && !strcmp(node, d->id) &&
               rows_are_sound(json_object_get(o, "broken"), false) &&
               rows_are_sound(json_object_get(o, "clashes"), true);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    json_t *v = json_object_get(o, texts[i]);
    sound = sound && json_is_string(v);
    if (v) json_object_set(to, texts[i], v);
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    json_t *v = json_object_get(o, numbers[i]);
    sound = sound && json_is_integer(v) && json_integer_value(v) >= 0;
    if (v) json_object_set(to, numbers[i], v);
  }
  if (sound) {
    json_object_set(to, "broken", json_object_get(o, "broken"));
    json_object_set(to, "clashes", json_object_get(o, "clashes"));
    json_object_set_new(to, "figures",
                        json_is_object(figures) ? json_incref(figures) : json_null());
  }
  json_decref(o);
  if (sound) return to;
  json_decref(to);
  return NULL;
}

static void on_nodes(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                     const char *why) {
  struct nodes_ask *ask = arg;
  json_t *list = json_array();
  struct store *s = rc ? NULL : control_store(ask->c);
  json_int_t now = s ? (json_int_t)store_clock_ms(s) : 0;
  for (size_t i = 0; !rc && i < n; i++) {
    json_t *o = report_read(&d[i]);
    if (!o) continue;
    json_int_t age = now - json_integer_value(json_object_get(o, "at_ms"));
    bool alive = age < REPORT_ALIVE_MS && age > -REPORT_ALIVE_MS;
    json_object_set_new(o, "alive", json_boolean(alive));
    if (!alive) json_object_set_new(o, "state", json_string("away"));
    json_array_append_new(list, o);
  }
  ask->fn(ask->arg, rc, list, why);
  json_decref(list);
  free(ask);
}

struct later { /* an answer that may not come from within the call */
  struct deferred d;
  struct nodes_ask *ask;
};

static void answer_away(void *arg) {
  struct later *later = arg;
  struct nodes_ask *ask = later->ask;
  json_t *none = json_array();
  free(later);
  ask->fn(ask->arg, STORE_UNAVAILABLE, none, control_why(ask->c));
  json_decref(none);
  free(ask);
}

void control_nodes(struct control *c, control_nodes_fn fn, void *arg) {
  struct store *s = control_store(c);
  struct nodes_ask *ask = malloc(sizeof *ask);
  if (!ask) out_of_memory();
  *ask = (struct nodes_ask){c, fn, arg};
  if (s) {
    store_doc_list(s, STORE_DOC_REPORT, on_nodes, ask);
    return;
  }
  struct later *later = calloc(1, sizeof *later);
  if (!later) out_of_memory();
  later->ask = ask;
  loop_defer(c->loop, &later->d, answer_away, later);
}

/* --- names that are taken --- */

struct clash_ask {
  struct arena *arena;
  struct name_index added; /* "kind name" of each */
  report_clash_fn fn;
  void *arg;
};

static void added_fill(struct clash_ask *ask, const struct shared_changes *changes) {
  size_t n = shared_changes_n(changes);
  ask->arena = arena_new();
  name_index_init(&ask->added, n, ask->arena);
  for (size_t i = 0; i < n; i++) {
    const struct shared_change *x = shared_changes_at(changes, i);
    if (x->what == SHARED_ADDED)
      name_index_put(&ask->added, arena_printf(ask->arena, "%s %s", x->kind, x->name), x);
  }
}

static bool is_added(const struct clash_ask *ask, const char *kind, const char *name) {
  char title[1024];
  int len = kind && name ? snprintf(title, sizeof title, "%s %s", kind, name) : -1;
  return len > 0 && (size_t)len < sizeof title && name_index_get(&ask->added, title, (size_t)len);
}

static size_t clashes_tell(const struct clash_ask *ask, const struct store_doc *d, size_t told,
                           FILE *out) {
  json_t *list = json_loadb(d->data, d->len, 0, NULL), *row;
  size_t i;
  json_array_foreach(list, i, row) {
    const char *kind = json_string_value(json_array_get(row, 0));
    const char *name = json_string_value(json_array_get(row, 1));
    const char *file = json_string_value(json_array_get(row, 2));
    if (!is_added(ask, kind, name) || told++ >= CLASHES_MAX) continue;
    fprintf(out, "[%s %s]: node %s has a section of that name in a file of its own (%s:%d)\n", kind,
            name, d->id, file ? file : "", (int)json_integer_value(json_array_get(row, 3)));
  }
  json_decref(list);
  return told;
}

static void on_taken(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                     const char *why) {
  struct clash_ask *ask = arg;
  char *text = NULL;
  size_t len, told = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  for (size_t i = 0; !rc && i < n; i++) told = clashes_tell(ask, &d[i], told, out);
  fclose(out);
  ask->fn(ask->arg, rc, rc ? why : text);
  free(text);
  arena_free(ask->arena);
  free(ask);
}

void report_clashes(struct control *c, const struct shared_changes *changes, report_clash_fn fn,
                    void *arg) {
  struct store *s = control_store(c);
  struct clash_ask *ask = malloc(sizeof *ask);
  if (!ask) out_of_memory();
  *ask = (struct clash_ask){.fn = fn, .arg = arg};
  added_fill(ask, changes);
  store_doc_list(s, STORE_DOC_NAMES, on_taken, ask);
}
