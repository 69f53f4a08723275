/* Owns the row of the audit log that a changing request leaves, whatever became of the request.
 *
 * Must never happen: a request that changed something and left no row; a secret, or the content of
 * a job, in a row; a row for each read.
 */
#include "admin/private.h"

#include "config/shared_text.h"

#include <string.h>
#include <strings.h>

#define CHANGES_MAX 20    /* sections of one change in a row */
#define BODY_MAX    16384 /* of a longer one the row has the size alone */

/* --- the members of a row --- */

/* Values of these members are nobody's to read. */
static bool is_hidden(const char *member) {
  static const char *const words[] = {"password", "secret",  "token",   "key",
                                      "content",  "message", "payload", "body"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasestr(member, words[i])) return true;
  return false;
}

static json_t *masked(json_t *v, unsigned depth) {
  const char *member;
  json_t *item, *copy;
  size_t i;
  if (json_is_object(v) && depth) {
    copy = json_object();
    json_object_foreach(v, member, item) json_object_set_new(
        copy, member, is_hidden(member) ? json_string(SHARED_MASK) : masked(item, depth - 1));
    return copy;
  }
  if (json_is_array(v) && depth) {
    copy = json_array();
    json_array_foreach(v, i, item) json_array_append_new(copy, masked(item, depth - 1));
    return copy;
  }
  return json_is_object(v) || json_is_array(v) ? json_null() : json_incref(v);
}

static bool is_audited(const struct call *c) {
  const struct admin_route *r = c->route;
  return r && !c->bare && r->method != HTTP_GET && !(r->flags & ROUTE_READS) && c->view->accounts &&
         !c->audit.written;
}

void call_audit(struct call *c, const char *object, json_t *before, json_t *after) {
  if (object) snprintf(c->audit.object, sizeof c->audit.object, "%s", object);
  if (before) {
    json_decref(c->audit.before);
    c->audit.before = before;
  }
  if (after) {
    json_decref(c->audit.after);
    c->audit.after = after;
  }
}

void call_audit_done(struct call *c) {
  json_decref(c->audit.before);
  json_decref(c->audit.after);
  c->audit.before = c->audit.after = NULL;
}

static void body_told(struct call *c, const char *body, size_t len) {
  json_t *o = len <= BODY_MAX && !(c->route->flags & ROUTE_CONTENT)
                  ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL)
                  : NULL;
  if (json_is_object(o))
    call_audit(c, NULL, NULL, masked(o, 4));
  else
    call_audit(c, NULL, NULL, json_pack("{sI}", "bytes", (json_int_t)len));
  json_decref(o);
}

/* What is asked for. The handler of a section writes its row, for it knows the secret keys. */
void audit_request(struct call *c, const char *body, size_t len) {
  char node[NAME_LEN_MAX + 1];
  if (!is_audited(c) || c->route->flags & (ROUTE_AUDITED | ROUTE_SECTIONS)) return;
  bool elsewhere = c->route->flags & ROUTE_NODE && call_query(c, "node", node, sizeof node);
  if (!len && elsewhere) call_audit(c, NULL, NULL, json_object());
  if (len) body_told(c, body, len);
  if (elsewhere) json_object_set_new(c->audit.after, "node", json_text(node, strlen(node)));
}

/* A row is read by people: the first ones, and how many there are. */
static void changes_set(json_t *after, json_t *changes) {
  size_t n = json_array_size(changes);
  if (n <= CHANGES_MAX) {
    json_object_set(after, "changes", changes);
    return;
  }
  json_t *first = json_array();
  for (size_t i = 0; i < CHANGES_MAX; i++) json_array_append(first, json_array_get(changes, i));
  json_object_set_new(after, "changes", first);
  json_object_set_new(after, "changes_all", json_integer((json_int_t)n));
}

/* Of the answer: its numbers, and ids. Texts may be secrets that are shown once. */
void audit_result(struct call *c, json_t *answer) {
  const char *member;
  json_t *item, *act = json_object_get(json_object_get(answer, "act"), "id");
  if (!is_audited(c) || c->route->flags & ROUTE_AUDITED || !json_is_object(answer)) return;
  if (!c->audit.after) c->audit.after = json_object();
  json_object_foreach(answer, member, item) {
    if (!strcmp(member, "changes"))
      changes_set(c->audit.after, item);
    else if (json_is_number(item) || json_is_boolean(item) || !strcmp(member, "id"))
      json_object_set(c->audit.after, member, item);
  }
  if (act) json_object_set(c->audit.after, "act", act);
}

/* --- its row --- */

/* "POST /api/v1/topics/x/x/pause" is "topics.pause", "DELETE /api/v1/users/x" "users.remove". */
static void what_print(const struct admin_route *r, char *ret, size_t size) {
  size_t len = 0;
  *ret = 0;
  for (const char *at = r->pattern + strlen("/api/v1"); *at;) {
    size_t n = strcspn(++at, "/");
    if (*at != '*' && len + n + 2 < size)
      len += (size_t)snprintf(ret + len, size - len, "%s%.*s", len ? "." : "", (int)n, at);
    at += n;
  }
  snprintf(ret + len, size - len, "%s",
           r->method == HTTP_DELETE ? ".remove"
           : r->method == HTTP_PUT  ? ".change"
           : r->flags & ROUTE_ADDS  ? ".add"
                                    : "");
}

/* The names in the path, after the noun that they are names of: "topic msg/reply". */
static void object_print(const struct call *c, char *ret, size_t size) {
  const char *at = c->route->pattern, *star = strchr(at, '*'), *noun = star ? star - 1 : at;
  bool section = c->route->flags & ROUTE_SECTIONS && c->args[1];
  size_t len = 0;
  *ret = 0;
  while (noun > at && noun[-1] != '/') noun--;
  if (!c->args[0]) return;
  if (!section) /* "topics/": without its s */
    len = (size_t)snprintf(ret, size, "%.*s ", (int)strcspn(noun, "/") - 1, noun);
  for (size_t i = 0; i < ADMIN_ARGS_MAX && c->args[i] && len < size; i++)
    len += (size_t)snprintf(ret + len, size - len, "%s%s",
                            !i        ? ""
                            : section ? " "
                                      : "/",
                            c->args[i]);
}

static void result_print(const struct call *c, int status, char *ret, size_t size) {
  if (!status)
    snprintf(ret, size, "the client went before the answer; it may have been carried out");
  else if (status < 300)
    snprintf(ret, size, status == 202 ? "begun" : "done");
  else if (c->audit.error)
    snprintf(ret, size, "%d: %s", status, c->audit.error);
  else
    snprintf(ret, size, "%d", status);
}

void audit_answer(struct call *c, int status) {
  char what[64], object[3 * (NAME_LEN_MAX + 1) + 32], result[AUDIT_TEXT_MAX];
  if (!is_audited(c)) return;
  /* accounts/ has written the rows of these. A refused login gets its row here. */
  if (c->route->flags & ROUTE_AUDITED && c->begun) return;
  if (!c->identity && !*c->audit.claimed) return; /* nobody that has a name */
  c->audit.written = true;
  what_print(c->route, what, sizeof what);
  object_print(c, object, sizeof object);
  result_print(c, status, result, sizeof result);
  const struct identity *id = c->identity;
  struct credentials who = {.peer = id && *id->client ? id->client : http_request_peer(c->req),
                            .agent = http_head_field(http_request_head(c->req), "User-Agent")};
  struct audit_row row = {.user = c->audit.claimed,
                          .what = what,
                          .object = *c->audit.object ? c->audit.object : object,
                          .result = result,
                          .refused = status == 401 || status == 403 || status == 409,
                          .before = c->audit.before,
                          .after = c->audit.after};
  accounts_audit(c->view->accounts, id, &who, &row);
}
