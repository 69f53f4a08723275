/* Owns changes of one section of the shared configuration, for forms.
 *
 * Must never happen: a secret that is lost because a form did not show it.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"
#include "transport/plugin_loader.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 256
#define TRIES    40 /* another change came between, or this node is behind */
#define AGAIN_MS 50

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

/* The keys of the section as it is to be. False: answered with 400. */
static bool draft_make(struct call *c, const struct section_edit *e,
                       const struct shared_section *before, struct draft *d) {
  const struct settings_types *types = plugins_types(c->view->plugins);
  const char *key;
  json_t *value;
  for (size_t i = 0; before && i < before->n_entries; i++) {
    const struct shared_entry *old = &before->entries[i];
    if (json_object_get(e->values, old->key)) continue;
    if (shared_key_is_secret(types, e->kind, old->key))
      draft_add(d, old->key, SHARED_MASK, NULL);
    else if (e->merge)
      draft_add(d, old->key, old->value, NULL);
  }
  json_object_foreach(e->values, key, value) {
    if (json_is_null(value)) continue;
    char *text = value_text(value);
    if (text && draft_add(d, key, text, text)) continue;
    call_error(c, 400, "the value of \"%.60s\" is not a text, a number, yes or no, or a list", key);
    return false;
  }
  return true;
}

/* For the audit log; NULL: there is none. */
static json_t *section_json(const struct call *c, const struct shared_section *s) {
  json_t *o = s ? json_object() : NULL;
  for (size_t i = 0; s && i < s->n_entries; i++) {
    const struct shared_entry *e = &s->entries[i];
    bool secret = shared_key_is_secret(plugins_types(c->view->plugins), s->kind, e->key);
    json_object_set_new(o, e->key, secret ? json_string(SHARED_MASK) : json_cstr(e->value));
  }
  return o;
}

/* False: answered. */
static bool sections_edit(struct call *c, const struct section_edit *e,
                          struct shared_sections *all) {
  const struct shared_section *before = shared_find(all, e->kind, e->name);
  struct draft d = {.n = 0};
  char *lines = NULL, object[2 * NAME_LEN_MAX + 32];
  size_t len;
  snprintf(object, sizeof object, "%.30s %.128s", e->kind, e->name);
  call_audit(c, object, section_json(c, before), NULL);
  if (before && e->fresh) {
    call_error(c, 409, "[%.30s %.128s] is there already", e->kind, e->name);
    return false;
  }
  if (!before && (!e->values || e->there)) {
    call_error(c, 404, "the shared configuration has no [%.30s %.128s]", e->kind, e->name);
    return false;
  }
  if (!e->values) return shared_remove(all, e->kind, e->name);
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  bool good = draft_make(c, e, before, &d);
  struct shared_section section = {
      .kind = e->kind, .name = e->name, .entries = d.entries, .n_entries = d.n};
  bool put = good && !shared_put(all, &section, errors);
  fclose(errors);
  if (good && !put) call_error(c, 400, "%s", lines);
  if (put) call_audit(c, NULL, NULL, section_json(c, shared_find(all, e->kind, e->name)));
  draft_done(&d);
  free(lines);
  return put;
}

static bool base_get(struct call *c, const json_t *base, uint64_t *ret) {
  if (!base || json_is_null(base)) return true;
  if (json_is_integer(base) && json_integer_value(base) >= 0) {
    *ret = (uint64_t)json_integer_value(base);
    return true;
  }
  call_error(c, 400, "\"base\" is the number of a revision");
  return false;
}

/* One change of a section on its way. */
struct editing {
  struct call *c;
  struct section_edit e; /* its texts and values are the call's or ours */
  char *kind, *name, *comment;
  control_result_fn fn;
  struct timer again;
  unsigned tries;
};

static void editing_free(struct editing *ed) {
  timer_done(&ed->again);
  json_decref(ed->e.values);
  json_decref((json_t *)ed->e.base);
  free(ed->kind);
  free(ed->name);
  free(ed->comment);
  loop_free_later(ed->c->view->loop, ed);
}

/* This node may not know the newest revision yet, even where it was made here. */
static void on_edited(void *arg, const struct control_result *r) {
  struct editing *ed = arg;
  struct call *c = ed->c;
  if (r->status == 409 && !ed->e.base && ed->tries++ < TRIES && !call_answered(c)) {
    timer_start(&ed->again, AGAIN_MS);
    return;
  }
  control_result_fn fn = ed->fn;
  editing_free(ed); /* before the call may go */
  if (fn) {
    fn(c, r);
  } else {
    shared_answer(c, r);
    call_unref(c);
  }
}

/* False: answered. */
static bool editing_try(struct editing *ed) {
  struct call *c = ed->c;
  struct control_change x = {.comment = ed->comment, .dry = ed->e.dry};
  struct shared_sections *all = NULL;
  const char *text = control_sections(c->view->control, &x.base);
  char *lines = NULL;
  bool begun = false;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  int rc = shared_read("shared configuration", text, strlen(text), &all, errors);
  fclose(errors);
  if (rc) {
    call_error(c, 500, "the shared configuration cannot be read: %.500s", lines);
  } else if (base_get(c, ed->e.base, &x.base) && sections_edit(c, &ed->e, all)) {
    char *fresh = shared_print(all, &x.len);
    x.text = fresh;
    begun = shared_change(c, &x, on_edited, ed);
    explicit_bzero(fresh, x.len);
    free(fresh);
  }
  free(lines);
  shared_free(all);
  return begun;
}

static void on_again(void *arg) {
  struct editing *ed = arg;
  struct call *c = ed->c;
  bool begun = !call_answered(c) && editing_try(ed);
  if (!begun) editing_free(ed);
  call_unref(c); /* the reference of the try before */
}

static char *text_copy(const char *text) {
  char *copy = text ? strdup(text) : NULL;
  if (text && !copy) out_of_memory();
  return copy;
}

void section_change(struct call *c, const struct section_edit *e, control_result_fn fn) {
  struct editing *ed = calloc(1, sizeof *ed);
  if (!ed) out_of_memory();
  ed->c = c;
  ed->e = *e;
  ed->e.kind = ed->kind = text_copy(e->kind);
  ed->e.name = ed->name = text_copy(e->name);
  ed->comment = text_copy(e->comment);
  json_incref(e->values);
  json_incref((json_t *)e->base);
  ed->fn = fn;
  timer_init(&ed->again, c->view->loop, on_again, ed);
  if (!editing_try(ed)) editing_free(ed);
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

void admin_delete_section(struct call *c) {
  uint64_t base;
  char text[32];
  if (!call_query_u64(c, "base", 0, INT64_MAX, &base)) return;
  json_t *given = call_query(c, "base", text, sizeof text) ? json_u64(base) : NULL;
  section_change(c, &(struct section_edit){.kind = c->args[0], .name = c->args[1], .base = given},
                 NULL);
  json_decref(given);
}
