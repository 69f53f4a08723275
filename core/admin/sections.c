/* Owns changes of sections of the shared configuration, for forms: of one, or of several at once.
 * A thread reads the text, changes it and prints it: with 10,000 topics that takes 26 ms.
 *
 * Must never happen: a secret that is lost because a form did not show it; a thread that touches
 * the call.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"
#include "transport/plugin_loader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 256
#define TRIES    40 /* another change came between, or this node is behind */
#define AGAIN_MS 50
#define TOLD_MAX 20 /* sections whose values the audit log has, of those changed at once */

struct draft {
  struct shared_entry entries[KEYS_MAX];
  char *own[KEYS_MAX]; /* texts that were made here */
  size_t n;
};

/* As a file has it: a list with commas. NULL: it has no such form. To be freed. */
static char *value_text(const json_t *v) {
  char *ret = NULL;
  size_t len, i;
  json_t *item;
  if (json_is_string(v)) return strdup(json_string_value(v));
  if (json_is_boolean(v)) return strdup(json_is_true(v) ? "yes" : "no");
  if (json_is_integer(v) || json_is_real(v)) return json_dumps(v, JSON_ENCODE_ANY);
  FILE *out = json_is_array(v) ? open_memstream(&ret, &len) : NULL;
  if (!out) return NULL;
  json_array_foreach((json_t *)v, i, item)
      fprintf(out, "%s%s", i ? ", " : "", json_is_string(item) ? json_string_value(item) : "");
  fclose(out);
  return ret;
}

static bool draft_add(struct draft *d, const char *key, const char *value, char *own) {
  if (d->n == KEYS_MAX) {
    free(own);
    return false;
  }
  d->own[d->n] = own;
  d->entries[d->n++] = (struct shared_entry){key, value};
  return true;
}

static void draft_done(struct draft *d) {
  for (size_t i = 0; i < d->n; i++) {
    if (d->own[i]) explicit_bzero(d->own[i], strlen(d->own[i]));
    free(d->own[i]);
  }
}

static char *text_copy(const char *text) {
  char *copy = text ? strdup(text) : NULL;
  if (text && !copy) out_of_memory();
  return copy;
}

/* A change of sections on its way. */
struct editing {
  struct call *c;             /* the loop's alone */
  struct section_edit *edits; /* n of them; their texts and values are ours */
  struct section_row *rows;   /* what became of them; NULL: it is a change of one */
  section_rows_fn told;       /* with rows */
  size_t n;
  bool dry, skip;
  json_t *base; /* NULL: whatever is there */
  char *comment;
  control_result_fn fn;
  struct timer again;
  unsigned tries;
  /* the thread's, between editing_try() and on_made() */
  const struct settings_types *types;
  char *from; /* the text that is there */
  uint64_t number;
  char *text; /* the text that is to be; NULL: refused */
  size_t len;
  int status; /* why it was refused */
  char *why;
  char object[2 * NAME_LEN_MAX + 32]; /* for the audit log, and what is below */
  json_t *before, *after;
};

static void text_forget(char **text) {
  if (*text) explicit_bzero(*text, strlen(*text));
  free(*text);
  *text = NULL;
}

static void editing_forget(struct editing *ed) {
  text_forget(&ed->from);
  text_forget(&ed->text);
  text_forget(&ed->why);
  json_decref(ed->before);
  json_decref(ed->after);
  ed->before = ed->after = NULL;
  ed->status = 0;
}

/* --- on the thread --- */

__attribute__((format(printf, 3, 4))) static bool refuse(struct editing *ed, int status,
                                                         const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  if (vasprintf(&ed->why, fmt, ap) < 0) out_of_memory();
  va_end(ap);
  ed->status = status;
  return false;
}

/* The keys of the section as it is to be. */
static bool draft_make(struct editing *ed, const struct section_edit *e,
                       const struct shared_section *before, struct draft *d) {
  const char *key;
  json_t *value;
  for (size_t i = 0; before && i < before->n_entries; i++) {
    const struct shared_entry *old = &before->entries[i];
    if (json_object_get(e->values, old->key)) continue;
    if (shared_key_is_secret(ed->types, e->kind, old->key))
      draft_add(d, old->key, SHARED_MASK, NULL);
    else if (e->merge)
      draft_add(d, old->key, old->value, NULL);
  }
  json_object_foreach(e->values, key, value) {
    if (json_is_null(value)) continue;
    char *text = value_text(value);
    if (!text || !draft_add(d, key, text, text))
      return refuse(ed, 400, "the value of \"%.60s\" is not a text, a number, yes or no, or a list",
                    key);
  }
  return true;
}

/* For the audit log; NULL: there is none. */
static json_t *section_json(const struct editing *ed, const struct shared_section *s) {
  json_t *o = s ? json_object() : NULL;
  for (size_t i = 0; s && i < s->n_entries; i++) {
    const struct shared_entry *e = &s->entries[i];
    bool secret = shared_key_is_secret(ed->types, s->kind, e->key);
    json_object_set_new(o, e->key, secret ? json_string(SHARED_MASK) : json_cstr(e->value));
  }
  return o;
}

/* *ret_before and *ret_after are new, or NULL. */
static bool section_edit(struct editing *ed, const struct section_edit *e,
                         struct shared_sections *all, json_t **ret_before, json_t **ret_after) {
  const struct shared_section *before = shared_find(all, e->kind, e->name);
  struct draft d = {.n = 0};
  char *lines = NULL;
  size_t len;
  *ret_before = section_json(ed, before);
  *ret_after = NULL;
  if (before && e->fresh)
    return refuse(ed, 409, "[%.30s %.128s] is there already", e->kind, e->name);
  if (!before && (!e->values || e->there))
    return refuse(ed, 404, "the shared configuration has no [%.30s %.128s]", e->kind, e->name);
  if (!e->values) return shared_remove(all, e->kind, e->name);
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  bool good = draft_make(ed, e, before, &d);
  struct shared_section section = {
      .kind = e->kind, .name = e->name, .entries = d.entries, .n_entries = d.n};
  bool put = good && !shared_put(all, &section, errors);
  fclose(errors);
  if (good && !put) refuse(ed, 400, "%s", lines);
  if (put) *ret_after = section_json(ed, shared_find(all, e->kind, e->name));
  draft_done(&d);
  free(lines);
  return put;
}

/* Adds the values of one section to those of all. */
static void audit_gather(struct editing *ed, const struct section_edit *e, json_t *before,
                         json_t *after) {
  char object[2 * NAME_LEN_MAX + 32];
  snprintf(object, sizeof object, "%.30s %.128s", e->kind, e->name);
  if (json_object_size(ed->before) + json_object_size(ed->after) < TOLD_MAX) {
    if (before) json_object_set(ed->before, object, before);
    if (after) json_object_set(ed->after, object, after);
  }
  json_decref(before);
  json_decref(after);
}

static bool edit_one(struct editing *ed, struct shared_sections *all) {
  const struct section_edit *e = ed->edits;
  snprintf(ed->object, sizeof ed->object, "%.30s %.128s", e->kind, e->name);
  return section_edit(ed, e, all, &ed->before, &ed->after);
}

static bool edit_rows(struct editing *ed, struct shared_sections *all) {
  ed->before = json_object();
  ed->after = json_object();
  snprintf(ed->object, sizeof ed->object, "%zu section%s", ed->n, ed->n == 1 ? "" : "s");
  for (size_t i = 0; i < ed->n; i++) {
    const struct section_edit *e = &ed->edits[i];
    json_t *before, *after;
    bool there = shared_find(all, e->kind, e->name);
    ed->rows[i] = (struct section_row){e->kind, e->name, SECTION_ADDED};
    if (there) ed->rows[i].result = e->values ? SECTION_CHANGED : SECTION_REMOVED;
    if (there && ed->skip) {
      ed->rows[i].result = SECTION_THERE;
      continue;
    }
    bool good = section_edit(ed, e, all, &before, &after);
    audit_gather(ed, e, before, after);
    if (!good) return false;
  }
  return true;
}

static void run(void *arg) {
  struct editing *ed = arg;
  struct shared_sections *all = NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  int rc = shared_read("shared configuration", ed->from, strlen(ed->from), &all, errors);
  fclose(errors);
  if (rc)
    refuse(ed, 500, "the shared configuration cannot be read: %.500s", lines);
  else if (ed->rows ? edit_rows(ed, all) : edit_one(ed, all))
    ed->text = shared_print(all, &ed->len);
  free(lines);
  shared_free(all);
}

/* --- on the loop --- */

static bool base_get(struct call *c, const json_t *base, uint64_t *ret) {
  if (!base || json_is_null(base)) return true;
  if (json_is_integer(base) && json_integer_value(base) >= 0) {
    *ret = (uint64_t)json_integer_value(base);
    return true;
  }
  call_error(c, 400, "\"base\" is the number of a revision");
  return false;
}

static void editing_free(struct editing *ed) {
  timer_done(&ed->again);
  for (size_t i = 0; i < ed->n; i++) {
    json_decref(ed->edits[i].values);
    free((char *)ed->edits[i].kind);
    free((char *)ed->edits[i].name);
  }
  editing_forget(ed);
  json_decref(ed->base);
  free(ed->edits);
  free(ed->rows);
  free(ed->comment);
  loop_free_later(ed->c->view->loop, ed);
}

/* This node may not know the newest revision yet, even where it was made here. */
static void on_edited(void *arg, const struct control_result *r) {
  struct editing *ed = arg;
  struct call *c = ed->c;
  if (r->status == 409 && !ed->base && ed->tries++ < TRIES && !call_answered(c)) {
    timer_start(&ed->again, AGAIN_MS);
    return;
  }
  control_result_fn fn = ed->fn;
  if (ed->rows && !call_answered(c)) ed->told(c, r, ed->rows, ed->n, ed->text);
  editing_free(ed); /* before the call may go */
  if (fn) {
    fn(c, r);
    return;
  }
  if (!call_answered(c)) shared_answer(c, r);
  call_unref(c);
}

/* A refused one is audited with what was there. */
static void on_made(void *arg, bool ran) {
  struct editing *ed = arg;
  struct call *c = ed->c;
  bool begun = false;
  if (!call_answered(c) && !ran) {
    call_error(c, 503, "the broker is stopping");
  } else if (!call_answered(c)) {
    struct control_change x = {.comment = ed->comment,
                               .dry = ed->dry,
                               .base = ed->number,
                               .text = ed->text,
                               .len = ed->len};
    call_audit(c, ed->object, ed->before, ed->after);
    ed->before = ed->after = NULL;
    if (ed->status)
      call_error(c, ed->status, "%s", ed->why);
    else
      begun = shared_change(c, &x, on_edited, ed);
  }
  if (!begun) editing_free(ed);
  call_unref(c); /* the thread's reference */
}

/* Answers, or goes on in on_made(). */
static void editing_try(struct editing *ed) {
  struct call *c = ed->c;
  editing_forget(ed);
  const char *from = control_sections(c->view->control, &ed->number);
  if (!base_get(c, ed->base, &ed->number)) {
    editing_free(ed);
    return;
  }
  ed->from = text_copy(from);
  ed->types = plugins_types(c->view->plugins);
  call_wait(c, ADMIN_WAIT_MS);
  if (control_work(c->view->control, run, on_made, ed)) return;
  call_error(c, 503, "too many changes wait on this node; try again");
  editing_free(ed);
  call_unref(c);
}

static void on_again(void *arg) {
  struct editing *ed = arg;
  struct call *c = ed->c;
  if (call_answered(c))
    editing_free(ed);
  else
    editing_try(ed);
  call_unref(c); /* the reference of the try before */
}

static struct editing *editing_new(struct call *c, const struct section_edit *edits, size_t n) {
  struct editing *ed = calloc(1, sizeof *ed);
  if (!ed || !(ed->edits = calloc(n + 1, sizeof *edits))) out_of_memory();
  ed->c = c;
  ed->n = n;
  for (size_t i = 0; i < n; i++) {
    ed->edits[i] = edits[i];
    ed->edits[i].kind = text_copy(edits[i].kind);
    ed->edits[i].name = text_copy(edits[i].name);
    ed->edits[i].values = json_deep_copy(edits[i].values); /* a thread reads them */
  }
  timer_init(&ed->again, c->view->loop, on_again, ed);
  return ed;
}

void section_change(struct call *c, const struct section_edit *e, control_result_fn fn) {
  struct editing *ed = editing_new(c, e, 1);
  ed->dry = e->dry;
  ed->base = json_incref((json_t *)e->base);
  ed->comment = text_copy(e->comment);
  ed->fn = fn;
  editing_try(ed);
}

void sections_change(struct call *c, const struct section_edit *edits, size_t n,
                     const json_t *asked, bool dry, section_rows_fn told) {
  struct editing *ed = editing_new(c, edits, n);
  ed->told = told;
  if (!(ed->rows = calloc(n + 1, sizeof *ed->rows))) out_of_memory();
  ed->dry = dry;
  ed->skip = json_is_true(json_object_get(asked, "skip_existing"));
  ed->base = json_incref(json_object_get(asked, "base"));
  ed->comment = text_copy(json_string_value(json_object_get(asked, "comment")));
  editing_try(ed);
}

static void put_section(struct call *c, bool dry) {
  json_t *body = call_body_json(c), *values = json_object_get(body, "values");
  if (!body) return;
  if (json_is_object(values))
    section_change(
        c,
        &(struct section_edit){.kind = c->args[0],
                               .name = c->args[1],
                               .values = values,
                               .base = json_object_get(body, "base"),
                               .comment = json_string_value(json_object_get(body, "comment")),
                               .fresh = json_is_true(json_object_get(body, "fresh")),
                               .dry = dry},
        NULL);
  else
    call_error(c, 400, "\"values\" is missing: an object of keys and their values");
  json_decref(body);
}

void admin_put_section(struct call *c) {
  put_section(c, false);
}

void admin_post_section_check(struct call *c) {
  put_section(c, true);
}

void section_delete(struct call *c, const char *kind, const char *name, control_result_fn fn) {
  uint64_t base;
  char text[32];
  if (!call_query_u64(c, "base", 0, INT64_MAX, &base)) return;
  json_t *given = call_query(c, "base", text, sizeof text) ? json_u64(base) : NULL;
  section_change(c, &(struct section_edit){.kind = kind, .name = name, .base = given}, fn);
  json_decref(given);
}

void admin_delete_section(struct call *c) {
  section_delete(c, c->args[0], c->args[1], NULL);
}
