/* Owns how older revisions of the shared configuration are shown, compared and exported.
 *
 * Must never happen: a secret in an answer.
 */
#include "admin/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/control.h"
#include "control/revision.h"
#include "transport/plugin_loader.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 50
#define LIST_MAX     500

/* NULL: answered with 503. */
static struct store *shared_store(struct call *c) {
  struct store *s = control_store(c->view->control);
  if (!s)
    call_error(c, 503, "there is no shared configuration now: %s", control_why(c->view->control));
  return s;
}

static json_t *stored_json(const struct store_revision *r) {
  json_t *o = json_object();
  json_object_set_new(o, "number", json_u64(r->number));
  json_object_set_new(o, "hash", json_cstr(r->hash));
  json_object_set_new(o, "at_ms", json_u64(r->at_ms));
  return o;
}

static json_t *revision_json(const struct store_revision *r, const struct revision *in) {
  json_t *o = stored_json(r);
  json_object_set_new(o, "by", json_cstr(in->by));
  json_object_set_new(o, "from", json_cstr(in->from));
  json_object_set_new(o, "comment", json_cstr(in->comment));
  return o;
}

static void on_list(void *arg, enum store_rc rc, const struct store_revision *r, size_t n,
                    uint64_t total, const char *why) {
  struct call *c = arg;
  json_t *o = json_object(), *list = json_array();
  struct pb_err err = {.text = ""};
  for (size_t i = 0; i < n && !rc; i++) {
    struct revision in = {.number = 0};
    if (revision_read(r[i].data, r[i].len, &in, &err) == 0)
      json_array_append_new(list, revision_json(&r[i], &in));
    revision_done(&in);
  }
  bool more = n && r[n - 1].number > 1 && n < total;
  json_object_set_new(o, "revisions", list);
  json_object_set_new(
      o, "cursor", more ? json_sprintf("%llu", (unsigned long long)r[n - 1].number) : json_null());
  json_object_set_new(o, "total", json_u64(total));
  json_object_set_new(o, "exact", json_true());
  if (rc) {
    json_decref(o);
    if (!call_answered(c)) call_store_error(c, rc, why);
  } else {
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_revisions(struct call *c) {
  uint64_t limit, before;
  struct store *s = shared_store(c);
  if (!s || !call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &limit) ||
      !call_query_u64(c, "cursor", 0, INT64_MAX, &before))
    return;
  call_wait(c, ADMIN_WAIT_MS);
  store_revision_list(s, before, limit ? limit : 1, on_list, c);
}

/* False: answered. */
static bool number_of(struct call *c, const char *text, uint64_t *ret) {
  char *end;
  *ret = strtoull(text, &end, 10);
  if (*text >= '0' && *text <= '9' && !*end && *ret && *ret < INT64_MAX) return true;
  call_error(c, 404, "\"%.30s\" is not the number of a revision", text);
  return false;
}

static void on_one(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else if (!r) {
    call_error(c, 404, "there is no revision %.30s; the last %d are kept", c->args[0],
               STORE_REVISIONS_KEPT);
  } else {
    masked_answer(c, MASKED_REVISION, stored_json(r), r->data, r->len);
  }
  call_unref(c);
}

void admin_get_revision(struct call *c) {
  uint64_t number;
  struct store *s = number_of(c, c->args[0], &number) ? shared_store(c) : NULL;
  if (!s) return;
  call_wait(c, ADMIN_WAIT_MS);
  store_revision_get(s, number, on_one, c);
}

/* --- differences --- */

struct diff {
  struct call *c;
  uint64_t numbers[2];
  size_t at; /* which is asked for */
  struct shared_sections *sections[2];
};

static void diff_end(struct diff *d) {
  shared_free(d->sections[0]);
  shared_free(d->sections[1]);
  call_unref(d->c);
  free(d);
}

static void diff_answer(struct diff *d) {
  struct shared_changes *changes = shared_compare(d->sections[0], d->sections[1]);
  json_t *o = json_object();
  json_object_set_new(o, "from", json_u64(d->numbers[0]));
  json_object_set_new(o, "to", json_u64(d->numbers[1]));
  json_object_set_new(o, "changes", control_changes_json(changes));
  shared_changes_free(changes);
  call_json(d->c, 200, o);
}

static struct shared_sections *sections_of(const struct store_revision *r) {
  struct revision in = {.number = 0};
  struct pb_err err = {.text = ""};
  struct shared_sections *ret = NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  if (r && revision_read(r->data, r->len, &in, &err) == 0 &&
      shared_read("revision", in.text, strlen(in.text), &ret, errors))
    ret = NULL;
  fclose(errors);
  free(lines);
  revision_done(&in);
  return ret;
}

static void on_diff(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct diff *d = arg;
  struct store *s = control_store(d->c->view->control);
  if (!call_answered(d->c) && rc) call_store_error(d->c, rc, why);
  if (!rc) d->sections[d->at] = sections_of(r);
  if (!call_answered(d->c) && !d->sections[d->at])
    call_error(d->c, 404, "there is no revision %llu that can be read",
               (unsigned long long)d->numbers[d->at]);
  if (!call_answered(d->c) && ++d->at == 2) diff_answer(d);
  if (call_answered(d->c) || !s) {
    if (!call_answered(d->c)) call_error(d->c, 503, "the storage is away");
    diff_end(d);
  } else {
    store_revision_get(s, d->numbers[d->at], on_diff, d);
  }
}

void admin_get_diff(struct call *c) {
  uint64_t from, to;
  struct store *s = shared_store(c);
  if (!s || !call_query_u64(c, "from", 0, INT64_MAX, &from) ||
      !call_query_u64(c, "to", 0, INT64_MAX, &to))
    return;
  if (!from || !to) {
    call_error(c, 400, "say which two revisions: ?from=N&to=N");
    return;
  }
  struct diff *d = calloc(1, sizeof *d);
  if (!d) out_of_memory();
  d->c = c;
  d->numbers[0] = from;
  d->numbers[1] = to;
  call_wait(c, ADMIN_WAIT_MS);
  store_revision_get(s, from, on_diff, d);
}

/* --- export --- */

void admin_get_export(struct call *c) {
  char format[16] = "ini";
  uint64_t number;
  const char *text = control_sections(c->view->control, &number);
  call_query(c, "format", format, sizeof format);
  if (!strcmp(format, "jsonl"))
    masked_answer(c, MASKED_LINES, NULL, text, strlen(text));
  else if (!strcmp(format, "ini"))
    masked_answer(c, MASKED_EXPORT, json_pack("{sI}", "number", (json_int_t)number), text,
                  strlen(text));
  else
    call_error(c, 400, "format is ini or jsonl");
}
