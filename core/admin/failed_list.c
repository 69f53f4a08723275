/* Owns the look through failed jobs: lists with a filter, and groups of equal failures.
 *
 * Must never happen: a content in a list for who may not see contents; an answer that does not say
 * how far it looked.
 */
#include "admin/failed_filter.h"
#include "admin/private.h"
#include "job/signature.h"

#include <string.h>

#define LIST_DEFAULT   50
#define GROUPS_DEFAULT 100
#define PREVIEW_MAX    4096
#define LOOK_MS        5000 /* groups: then the client goes on by the cursor */

static const char *const known[] = {"set",          "match",        "body",  "code",    "signature",
                                    "since",        "until",        "node",  "limit",   "cursor",
                                    "attempts_min", "attempts_max", "order", "content", NULL};

/* "n" or "o", and the place. */
static void cursor_print(const struct store_scan *scan, const struct store_scan_at *at,
                         char ret[STORE_SCAN_AT_MAX + 1]) {
  ret[0] = scan->newest ? 'n' : 'o';
  store_scan_at_format(at, ret + 1);
}

static bool cursor_read(struct call *c, struct store_scan *scan) {
  char text[STORE_SCAN_AT_MAX + 2];
  if (!call_query(c, "cursor", text, sizeof text)) return true;
  if (text[0] == (scan->newest ? 'n' : 'o') && store_scan_at_parse(text + 1, &scan->from))
    return true;
  call_error(c, 400, "the cursor is not one of this list in this order");
  return false;
}

bool failed_order(struct call *c, bool *ret_newest) {
  char order[16] = "oldest";
  call_query(c, "order", order, sizeof order);
  *ret_newest = !strcmp(order, "newest");
  if (*ret_newest || !strcmp(order, "oldest")) return true;
  call_error(c, 400, "order \"%.15s\" is not oldest or newest", order);
  return false;
}

static bool scan_read(struct call *c, const struct topic *t, uint64_t def, struct store_scan *ret) {
  uint64_t limit, content;
  if (!call_query_known(c, known) || !filter_of_query(c, t, STORE_SET_ALL, &ret->filter) ||
      !call_query_u64(c, "limit", def, STORE_SCAN_MAX, &limit) ||
      !call_query_u64(c, "content", 0, 1, &content))
    return false;
  if (!failed_order(c, &ret->newest)) return false;
  if (!cursor_read(c, ret)) return false;
  ret->want = limit ? limit : 1;
  ret->content_max = content && call_sees_contents(c) ? PREVIEW_MAX : 0;
  c->next_item = limit;
  c->count = ret->content_max;
  c->status = ret->newest;
  return true;
}

static json_t *looked_json(const struct call *c, const struct store_scanned *r) {
  struct store_scan scan = {.newest = c->status};
  char cursor[STORE_SCAN_AT_MAX + 1];
  json_t *o = json_object();
  cursor_print(&scan, &r->at, cursor);
  json_object_set_new(o, "topic", json_cstr(c->path));
  json_object_set_new(o, "looked", json_u64(r->looked));
  json_object_set_new(o, "total", json_u64(r->total));
  json_object_set_new(o, "complete", json_boolean(r->over));
  json_object_set_new(o, "cursor", r->over ? json_null() : json_string(cursor));
  return o;
}

json_t *failed_signature_json(uint64_t signature) {
  char text[SIGNATURE_ID_LEN + 1];
  signature_format(signature, text);
  return json_string(text);
}

json_t *failed_found_json(const struct call *c, const struct store_record *r, size_t content_max) {
  json_t *o = failed_record_json(c, r, content_max);
  json_object_set_new(o, "signature", failed_signature_json(r->signature));
  json_object_set_new(o, "failed_ms", json_u64(r->failed_ms));
  json_object_set_new(o, "quarantined", json_boolean(r->quarantined));
  return o;
}

static void on_listed(void *arg, enum store_rc rc, const struct store_scanned *r, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = looked_json(c, r), *list = json_array();
    for (size_t i = 0; i < r->n; i++)
      json_array_append_new(list, failed_found_json(c, &r->records[i], c->count));
    json_object_set_new(o, "jobs", list);
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_failed(struct call *c) {
  struct store_scan scan = {.kind = STORE_SCAN_RECORDS};
  struct topic *t = call_stored_topic(c);
  if (!t || !scan_read(c, t, LIST_DEFAULT, &scan)) return;
  call_wait(c, ADMIN_WAIT_MS);
  store_scan(t->store, &scan, on_listed, c);
}

json_t *failed_groups_json(const struct call *c, const struct store_scanned *r, size_t most) {
  json_t *list = json_array();
  for (size_t i = 0; i < r->n_groups && i < most; i++) {
    const struct store_group *g = &r->groups[i];
    json_t *one = json_object();
    json_object_set_new(one, "signature", failed_signature_json(g->signature));
    json_object_set_new(one, "code", json_integer(g->code));
    json_object_set_new(one, "text", call_message(c, g->text, strlen(g->text)));
    json_object_set_new(one, "count", json_u64(g->count));
    json_object_set_new(one, "first_ms", json_u64(g->first_ms));
    json_object_set_new(one, "last_ms", json_u64(g->last_ms));
    json_object_set_new(one, "sample_id", json_id(g->sample_id));
    json_array_append_new(list, one);
  }
  return list;
}

static void on_groups(void *arg, enum store_rc rc, const struct store_scanned *r, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = looked_json(c, r);
    uint64_t others = r->others;
    for (size_t i = c->next_item; i < r->n_groups; i++) others += r->groups[i].count;
    json_object_set_new(o, "groups", failed_groups_json(c, r, c->next_item));
    json_object_set_new(o, "others", json_u64(others));
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_get_failed_groups(struct call *c) {
  struct store_scan scan = {.kind = STORE_SCAN_GROUPS, .time_ms = LOOK_MS};
  struct topic *t = call_stored_topic(c);
  if (!t || !scan_read(c, t, GROUPS_DEFAULT, &scan)) return;
  call_wait(c, ADMIN_WAIT_MS);
  store_scan(t->store, &scan, on_groups, c);
}
