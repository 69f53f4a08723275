/* Owns what is shown of failed jobs one by one: errors, and the retry queue.
 *
 * Must never happen: a content in an answer for who may not see contents.
 */
#include "admin/failed_filter.h"
#include "admin/private.h"

#include <string.h>

#define LIST_MAX     1000
#define LIST_DEFAULT 50
#define PREVIEW_MAX  4096 /* of a job's content in a list; one job alone is shown whole */

/* --- errors --- */

static void on_errors(void *arg, enum store_rc rc, const struct store_error *e, size_t n,
                      const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < n; i++) {
      json_t *one = json_object();
      json_object_set_new(one, "ms", json_u64(e[i].ms));
      json_object_set_new(one, "id", e[i].id ? json_id(e[i].id) : json_null());
      json_object_set_new(one, "code", json_integer(e[i].code));
      json_object_set_new(one, "message", call_message(c, e[i].message, e[i].message_len));
      json_object_set_new(one, "node", json_cstr(e[i].node));
      json_array_append_new(list, one);
    }
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "errors", list);
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_errors(struct call *c) {
  uint64_t count;
  struct topic *t = call_stored_topic(c);
  if (!t || !call_query_u64(c, "count", LIST_DEFAULT, LIST_MAX, &count)) return;
  call_wait(c, ADMIN_WAIT_MS);
  store_errors(t->store, count, on_errors, c);
}

/* --- retry queue --- */

/* False: answered with 400. */
static bool set_of(struct call *c, const char *name, enum store_set *ret) {
  if (filter_set_named(name, ret) && *ret <= STORE_SET_BOTH) return true;
  call_error(c, 400, "set \"%.60s\" is not retry, dead or both", name);
  return false;
}

/* Where a text was cut within a character, that character is left out. */
static size_t whole_characters(const char *text, size_t len) {
  for (size_t k = 1; k <= 3 && k <= len; k++) {
    size_t at = len - k;
    unsigned char byte = (unsigned char)text[at];
    if ((byte & 0xc0) == 0x80) continue;
    size_t need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return need > k ? at : len;
  }
  return len;
}

void job_set_content(json_t *o, const char *content, size_t len, size_t size, size_t max) {
  if (len < size) len = whole_characters(content, len);
  if (max) json_set_content(o, content ? content : "", len, max);
  if (len < size || !max) json_object_set_new(o, "size", json_u64(size));
  if (len < size && max) json_object_set_new(o, "content_cut", json_true());
}

json_t *failed_record_json(const struct call *c, const struct store_record *r, size_t content_max) {
  json_t *o = json_object();
  json_object_set_new(o, "id", json_id(r->id));
  json_object_set_new(o, "state", json_string(r->dead ? "dead" : r->claimed ? "running" : "retry"));
  json_object_set_new(o, "failed", json_integer(r->failed));
  json_object_set_new(o, "crashes", json_integer(r->crashes));
  /* When it died, or when it is tried again; a claimed one's due time is its lease. */
  json_object_set_new(o, "due_ms", r->dead || r->claimed ? json_null() : json_u64(r->due_ms));
  json_object_set_new(o, "died_ms", r->dead ? json_u64(r->due_ms) : json_null());
  json_object_set_new(o, "first_failed_ms",
                      r->first_failed_ms ? json_u64(r->first_failed_ms) : json_null());
  json_object_set_new(o, "code", json_integer(r->code));
  json_object_set_new(o, "message", call_message(c, r->message ? r->message : "", r->message_len));
  json_object_set_new(o, "node", json_cstr(r->node));
  if (r->origin) json_object_set_new(o, "origin", json_id(r->origin));
  job_set_content(o, r->content, r->content_len, r->size, content_max);
  return o;
}

/* Lists hold contents only where they are asked for, but for the node's own token: what used the
 * port before there were accounts goes on. */
static size_t preview_of(struct call *c) {
  return c->count && call_sees_contents(c) ? PREVIEW_MAX : 0;
}

static void on_records(void *arg, enum store_rc rc, const struct store_record *r, size_t n,
                       uint64_t total, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < n; i++)
      json_array_append_new(list, failed_record_json(c, &r[i], preview_of(c)));
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "total", json_u64(total));
    json_object_set_new(o, "jobs", list);
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_retry(struct call *c) {
  char name[16] = "both";
  enum store_set set;
  uint64_t offset, count, content;
  struct topic *t = call_stored_topic(c);
  if (!t) return;
  call_query(c, "set", name, sizeof name);
  if (!set_of(c, name, &set) || !call_query_u64(c, "offset", 0, INT64_MAX, &offset) ||
      !call_query_u64(c, "count", LIST_DEFAULT, LIST_MAX, &count) ||
      !call_query_u64(c, "content", call_is_local(c), 1, &content))
    return;
  c->count = content;
  call_wait(c, ADMIN_WAIT_MS);
  store_list(t->store, set, offset, count, PREVIEW_MAX, on_records, c);
}

static void on_record(void *arg, enum store_rc rc, const struct store_record *r, size_t n,
                      uint64_t total, const char *why) {
  struct call *c = arg;
  (void)total;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else if (!r || !n) {
    call_error(c, 404, "job %s is not in the retry queue of %s", c->args[2], c->path);
  } else {
    struct store_record shown = *r;
    if (shown.content_len > c->count) shown.content_len = c->count;
    json_t *o = failed_record_json(c, &shown, call_sees_contents(c) ? SIZE_MAX : 0);
    json_object_set_new(o, "topic", json_cstr(c->path));
    call_json(c, 200, o);
  }
  call_unref(c);
}

bool failed_id(struct call *c, const char *text, uint64_t *ret) {
  if (text && id_parse(text, strlen(text), ret) && *ret) return true;
  call_error(c, 400, "\"%.60s\" is not a job id (20 digits, or D-...)", text ? text : "");
  return false;
}

void admin_get_retry_one(struct call *c) {
  static const char *const known[] = {"bytes", NULL};
  uint64_t id, bytes;
  struct topic *t = call_stored_topic(c);
  if (!t || !failed_id(c, c->args[2], &id) || !call_query_known(c, known) ||
      !call_query_u64(c, "bytes", SIZE_MAX, SIZE_MAX, &bytes))
    return;
  c->count = bytes;
  call_wait(c, ADMIN_WAIT_MS);
  store_find(t->store, id, on_record, c);
}

static void on_content(void *arg, enum store_rc rc, const struct store_record *r, size_t n,
                       uint64_t total, const char *why) {
  struct call *c = arg;
  (void)total;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else if (!r || !n) {
    call_error(c, 404, "job %s is not in the retry queue of %s", c->args[2], c->path);
  } else {
    call_text(c, 200, "application/octet-stream", r->content, r->content_len);
  }
  call_unref(c);
}

/* The content alone, byte for byte: a browser saves it, and need not hold it. */
void admin_get_retry_content(struct call *c) {
  static const char *const known[] = {NULL};
  uint64_t id;
  struct topic *t = call_stored_topic(c);
  if (!t || !failed_id(c, c->args[2], &id) || !call_query_known(c, known) ||
      !call_may(c, RIGHT_CONTENTS, admin_system_of(c->view, c->args[0])))
    return;
  call_wait(c, ADMIN_WAIT_MS);
  store_find(t->store, id, on_content, c);
}
