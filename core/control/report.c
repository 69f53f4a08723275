/* Owns what this node tells the others of itself: which revision it runs or why not, compact
 * figures, and which names its local files take. Nothing is sent while nobody reads it,
 * and nothing twice within REPORT_AGAIN_MS.
 *
 * Must never happen: a value of a section, or anything secret, in a report.
 */
#include "base/arena.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/name_index.h"
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/private.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

#define REPORT_TTL_MS                                                                              \
  (7ull * 24 * 3600 * 1000)   /* the report of a node that is away is kept for so long */
#define REPORT_AGAIN_MS 60000 /* where nothing has changed */
#define NAMES_AGAIN_MS  (24ull * 3600 * 1000)
#define NAMES_MAX       (900u << 10) /* bytes of the names; what is beyond is left out */
#define CLASHES_MAX     20           /* in a report */

/* --- this node's --- */

static json_t *broken_json(const struct settings *s) {
  json_t *list = json_array();
  for (size_t i = 0; i < s->n_broken && i < REPORT_ROWS_MAX; i++)
    json_array_append_new(list, json_pack("{ss ss so}", "kind", s->broken[i].kind, "name",
                                          s->broken[i].name, "why", json_cstr(s->broken[i].why)));
  return list;
}

static json_t *clashes_json(const struct settings *s) {
  json_t *list = json_array();
  for (size_t i = 0; i < s->n_clashes && i < REPORT_ROWS_MAX; i++) {
    const struct settings_clash *x = &s->clashes[i];
    json_array_append_new(list,
                          json_pack("{ss ss so sI}", "kind", x->kind, "name", x->name, "file",
                                    json_cstr(x->local.file), "line", (json_int_t)x->local.line));
  }
  return list;
}

static const char *state_word(const struct follow *f) {
  if (f->refused) return "refused";
  if (f->state == FOLLOW_LOST) return "lost";
  if (f->state == FOLLOW_KEYLESS) return "keyless";
  return "runs";
}

json_t *report_json(struct control *c) {
  const struct follow *f = &c->follow;
  const char *why = f->refused ? (f->refused_why ? f->refused_why : "") : f->why;
  json_t *figures = c->ev.figures ? c->ev.figures(c->ev.arg) : NULL;
  json_t *o = json_pack(
      "{ss ss sI ss ss sI so so so sI ss ss so}", "node", c->settings->server.node, "version",
      PACKAGE_VERSION, "number", (json_int_t)(f->good ? f->good->rev.number : 0), "hash",
      f->good ? f->good->hash : "", "state", state_word(f), "refused",
      (json_int_t)(f->refused && f->next ? f->next->rev.number : 0), "why", json_cstr(why),
      "broken", broken_json(c->settings), "clashes", clashes_json(c->settings), "n_broken",
      (json_int_t)c->settings->n_broken, "key_id", c->key.has ? c->key.seal.id : "", "key_state",
      key_state_names[c->key.state], "figures", figures ? figures : json_null());
  json_object_set_new(o, "drained", json_boolean(c->settings->drain));
  return o;
}

/* --- its names: thousands, so they are written on a thread --- */

struct names {
  json_t *list;
  size_t bytes;
};

struct names_job {
  struct control *c;
  struct settings *settings;
  pthread_t thread;
  bool threaded;
  char *text;
};

static void name_add(void *arg, const char *kind, const char *name, struct place at, bool shared) {
  struct names *n = arg;
  n->bytes += strlen(kind) + strlen(name) + strlen(at.file) + 32;
  if (shared || n->bytes > NAMES_MAX) return;
  json_array_append_new(n->list,
                        json_pack("[s s o i]", kind, name, json_cstr(at.file), (int)at.line));
}

static void put(struct store *s, enum store_doc_kind kind, const char *id, const char *text,
                store_done_fn fn, void *arg) {
  store_doc_put(s, kind, id, text, strlen(text), REPORT_TTL_MS, STORE_DOC_ALWAYS, fn, arg);
}

static void on_names(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct control *c = arg;
  (void)count;
  (void)why;
  if (rc) c->report.names_told = false;
}

static void names_free(struct control *c) {
  struct names_job *job = c->report.names;
  if (!job) return;
  if (job->threaded) pthread_join(job->thread, NULL);
  settings_unref(job->settings);
  free(job->text);
  free(job);
  c->report.names = NULL;
}

static void on_written(void *arg) {
  struct control *c = arg;
  struct store *s = control_store(c);
  bool current = c->report.names->settings == c->settings;
  if (s && current) {
    c->report.names_told = true;
    c->report.names_ms = loop_now_ms(c->loop);
    put(s, STORE_DOC_NAMES, c->settings->server.node, c->report.names->text, on_names, c);
  }
  names_free(c);
  if (!current) report_send(c);
}

static void *names_write(void *arg) {
  struct names_job *job = arg;
  struct names names = {json_array(), 0};
  settings_each_section(job->settings, name_add, &names);
  job->text = json_dumps(names.list, JSON_COMPACT);
  if (!job->text) out_of_memory();
  json_decref(names.list);
  loop_post(job->c->loop, on_written, job->c);
  return NULL;
}

static void names_send(struct control *c) {
  struct names_job *job;
  sigset_t all, before;
  bool old = loop_now_ms(c->loop) - c->report.names_ms >= NAMES_AGAIN_MS;
  if (c->report.names || (c->report.names_told && !old)) return;
  if (!(job = calloc(1, sizeof *job))) out_of_memory();
  c->report.names = job;
  job->c = c;
  job->settings = settings_ref(c->settings);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  job->threaded = !pthread_create(&job->thread, NULL, names_write, job);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!job->threaded) names_write(job);
}

/* --- telling --- */

void report_again(struct control *c) {
  c->report.names_told = false;
  free(c->report.text);
  c->report.text = NULL;
}

static void on_reported(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct control *c = arg;
  (void)count;
  (void)why;
  c->report.sending = false;
  if (rc) { /* with the next tick again */
    free(c->report.text);
    c->report.text = NULL;
  }
  if (c->report.again) report_send(c);
}

/* Is anybody there who would read it? */
static bool is_wanted(const struct control *c, const struct store *s) {
  return c->follow.head || follow_top(&c->follow) || store_has_peers(s);
}

void report_send(struct control *c) {
  struct store *s = control_store(c);
  uint64_t now = loop_now_ms(c->loop);
  c->report.again = c->report.sending;
  if (!s || c->report.sending) return;
  names_send(c);
  if (!is_wanted(c, s)) return;
  json_t *o = report_json(c);
  char *text = json_dumps(o, JSON_COMPACT);
  if (!text) out_of_memory();
  if (c->report.text && !strcmp(text, c->report.text) &&
      now - c->report.sent_ms < REPORT_AGAIN_MS) {
    free(text);
    json_decref(o);
    return;
  }
  free(c->report.text);
  c->report.text = text;
  c->report.sent_ms = now;
  c->report.sending = true;
  json_object_set_new(o, "at_ms", json_integer((json_int_t)store_clock_ms(s)));
  char *doc = json_dumps(o, JSON_COMPACT);
  if (!doc) out_of_memory();
  put(s, STORE_DOC_REPORT, c->settings->server.node, doc, on_reported, c);
  free(doc);
  json_decref(o);
}

void report_done(struct control *c) {
  names_free(c);
  free(c->report.text);
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
