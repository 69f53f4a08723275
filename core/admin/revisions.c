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
#define LIST_AT_ONCE 8

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

/* A list. Each revision is 4 MB at most: some are asked for at a time, and read on a thread. */
struct list {
  struct call *c;
  uint64_t left, last, total; /* still wanted; the last one's number; of all that are kept */
  struct revision_copy {
    struct store_revision r;
    char *data, hash[REVISION_HASH_SIZE];
  } rows[LIST_AT_ONCE];
  size_t n;
  json_t *list;
};

static void rows_free(struct list *l) {
  for (size_t i = 0; i < l->n; i++) free(l->rows[i].data);
  l->n = 0;
}

static void list_end(struct list *l) {
  rows_free(l);
  json_decref(l->list);
  call_unref(l->c);
  free(l);
}

static void list_answer(struct list *l) {
  json_t *o = json_object();
  bool more = l->last > 1 && json_array_size(l->list) < l->total;
  json_object_set(o, "revisions", l->list);
  json_object_set_new(o, "cursor",
                      more ? json_sprintf("%llu", (unsigned long long)l->last) : json_null());
  json_object_set_new(o, "total", json_u64(l->total));
  json_object_set_new(o, "exact", json_true());
  call_json(l->c, 200, o);
}

static void rows_read(void *arg) {
  struct list *l = arg;
  struct pb_err err = {.text = ""};
  for (size_t i = 0; i < l->n; i++) {
    struct revision in = {.number = 0};
    if (revision_read(l->rows[i].data, l->rows[i].r.len, &in, &err) == 0)
      json_array_append_new(l->list, revision_json(&l->rows[i].r, &in));
    revision_done(&in);
  }
}

static void list_ask(struct list *l);

static void on_rows_read(void *arg, bool ran) {
  struct list *l = arg;
  bool more = l->left && l->n == LIST_AT_ONCE && l->last > 1;
  rows_free(l);
  if (!call_answered(l->c) && ran && more && control_store(l->c->view->control)) {
    list_ask(l);
    return;
  }
  if (!call_answered(l->c) && ran)
    list_answer(l);
  else if (!call_answered(l->c))
    call_error(l->c, 503, "the broker is stopping");
  list_end(l);
}

/* The thread has as many texts to read as it may have. */
static void thread_busy(struct call *c) {
  if (!call_answered(c))
    call_error(c, 503, "too many texts are being read on this node; try again");
}

static void on_rows(void *arg, enum store_rc rc, const struct store_revision *r, size_t n,
                    uint64_t total, const char *why) {
  struct list *l = arg;
  if (rc || call_answered(l->c)) {
    if (!call_answered(l->c)) call_store_error(l->c, rc, why);
    list_end(l);
    return;
  }
  l->total = total;
  for (; l->n < n && l->n < LIST_AT_ONCE; l->n++) {
    struct revision_copy *to = &l->rows[l->n];
    to->r = r[l->n];
    snprintf(to->hash, sizeof to->hash, "%s", to->r.hash);
    to->r.hash = to->hash;
    if (!(to->data = malloc(to->r.len + 1))) out_of_memory();
    memcpy(to->data, to->r.data, to->r.len);
    l->last = to->r.number;
    l->left--;
  }
  if (control_work(l->c->view->control, rows_read, on_rows_read, l)) return;
  thread_busy(l->c);
  list_end(l);
}

static void list_ask(struct list *l) {
  store_revision_list(control_store(l->c->view->control), l->last,
                      l->left < LIST_AT_ONCE ? l->left : LIST_AT_ONCE, on_rows, l);
}

void admin_get_revisions(struct call *c) {
  uint64_t limit, before;
  struct store *s = shared_store(c);
  if (!s || !call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &limit) ||
      !call_query_u64(c, "cursor", 0, INT64_MAX, &before))
    return;
  struct list *l = calloc(1, sizeof *l);
  if (!l) out_of_memory();
  *l = (struct list){.c = c, .left = limit ? limit : 1, .last = before, .list = json_array()};
  call_wait(c, ADMIN_WAIT_MS);
  list_ask(l);
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
  size_t at; /* which is asked for, then which cannot be read */
  char *data[2];
  size_t len[2];
  json_t *o; /* NULL: one cannot be read */
};

static void diff_end(struct diff *d) {
  free(d->data[0]);
  free(d->data[1]);
  json_decref(d->o);
  call_unref(d->c);
  free(d);
}

static struct shared_sections *sections_of(const char *data, size_t size) {
  struct revision in = {.number = 0};
  struct pb_err err = {.text = ""};
  struct shared_sections *ret = NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  if (revision_read(data, size, &in, &err) == 0 &&
      shared_read("revision", in.text, strlen(in.text), &ret, errors))
    ret = NULL;
  fclose(errors);
  free(lines);
  revision_done(&in);
  return ret;
}

/* On the thread: two texts of 10,000 topics take 100 ms. */
static void diff_run(void *arg) {
  struct diff *d = arg;
  struct shared_sections *sections[2] = {NULL, NULL};
  for (d->at = 0; d->at < 2; d->at++)
    if (!(sections[d->at] = sections_of(d->data[d->at], d->len[d->at]))) break;
  if (d->at == 2) {
    struct shared_changes *changes = shared_compare(sections[0], sections[1]);
    d->o = json_object();
    json_object_set_new(d->o, "from", json_u64(d->numbers[0]));
    json_object_set_new(d->o, "to", json_u64(d->numbers[1]));
    json_object_set_new(d->o, "changes", control_changes_json(changes));
    shared_changes_free(changes);
  }
  shared_free(sections[0]);
  shared_free(sections[1]);
}

static void diff_missing(struct diff *d) {
  call_error(d->c, 404, "there is no revision %llu that can be read",
             (unsigned long long)d->numbers[d->at]);
}

static void diff_done(void *arg, bool ran) {
  struct diff *d = arg;
  if (call_answered(d->c)) {
    /* The client has gone. */
  } else if (!ran) {
    call_error(d->c, 503, "the broker is stopping");
  } else if (d->o) {
    call_json(d->c, 200, json_incref(d->o));
  } else {
    diff_missing(d);
  }
  diff_end(d);
}

static void on_diff(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct diff *d = arg;
  struct call *c = d->c;
  struct store *s = control_store(c->view->control);
  if (call_answered(c)) {
    diff_end(d);
  } else if (rc || !s) {
    if (rc)
      call_store_error(c, rc, why);
    else
      call_error(c, 503, "the storage is away");
    diff_end(d);
  } else if (!r) {
    diff_missing(d);
    diff_end(d);
  } else {
    if (!(d->data[d->at] = malloc(r->len + 1))) out_of_memory();
    memcpy(d->data[d->at], r->data, r->len);
    d->len[d->at] = r->len;
    if (++d->at < 2) {
      store_revision_get(s, d->numbers[d->at], on_diff, d);
    } else if (!control_work(c->view->control, diff_run, diff_done, d)) {
      thread_busy(c);
      diff_end(d);
    }
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
