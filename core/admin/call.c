/* Owns one admin request from its first line to its answer, and the requests that wait until
 * their answer is known.
 *
 * Must never happen: an answer to a client that has gone (its request is freed memory), two answers
 * to one request, a request that waits for ever.
 */
#include "admin/private.h"

#include "admin/names.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "base/suggest.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- the call --- */

struct call *call_new(struct admin *a, struct http_request *req) {
  struct call *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->admin = a;
  c->view = a->view;
  c->req = req;
  c->refs = 1;
  return c;
}

static struct call *call_ref(struct call *c) {
  c->refs++;
  return c;
}

static void waiting_remove(struct call *c) {
  if (!c->prev) return;
  *c->prev = c->next;
  if (c->next) c->next->prev = c->prev;
  c->prev = NULL;
}

void call_unref(struct call *c) {
  if (--c->refs) return;
  if (!call_answered(c) && c->begun) call_error(c, 500, "the request was not answered");
  waiting_remove(c);
  for (size_t i = 0; i < ADMIN_ARGS_MAX; i++) free(c->args[i]);
  json_decref(c->acc);
  call_audit_done(c);
  identity_unref(c->identity);
  explicit_bzero(c->fields, sizeof c->fields);
  free(c);
}

void call_wait(struct call *c, uint64_t max_ms) {
  call_ref(c);
  if (call_answered(c) || c->prev) return;
  struct call **head = &c->admin->waiting;
  c->deadline_ms = loop_now_ms(c->view->loop) + max_ms;
  c->next = *head;
  c->prev = head;
  if (c->next) c->next->prev = &c->next;
  *head = c;
}

void call_go_on(struct call *c) {
  waiting_remove(c);
  call_unref(c);
}

void call_return(struct call *c) {
  waiting_remove(c);
  if (!call_answered(c)) c->route->fn(c);
  call_unref(c);
}

/* --- a handler that is called twice --- */

#define AGAIN_MS 10

struct again {
  struct call *c;
  bool (*there)(const struct admin_view *v);
  uint64_t until_ms;
  struct timer timer;
};

static void on_again(void *arg) {
  struct again *a = arg;
  struct call *c = a->c;
  if (!call_answered(c) && !a->there(c->view) && loop_now_ms(c->view->loop) < a->until_ms) {
    timer_start(&a->timer, AGAIN_MS);
    return;
  }
  timer_done(&a->timer);
  free(a);
  c->again = true;
  call_return(c);
}

bool call_again(struct call *c, bool (*there)(const struct admin_view *v), uint64_t max_ms) {
  if (c->again || there(c->view)) return false;
  struct again *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  a->c = c;
  a->there = there;
  a->until_ms = loop_now_ms(c->view->loop) + max_ms;
  call_wait(c, ADMIN_WAIT_MS);
  timer_init(&a->timer, c->view->loop, on_again, a);
  timer_start(&a->timer, AGAIN_MS);
  return true;
}

void call_set_field(struct call *c, const char *name, const char *value) {
  size_t len = strlen(c->fields);
  int n = snprintf(c->fields + len, sizeof c->fields - len, "%s: %s\r\n", name, value);
  if (n < 0 || (size_t)n >= sizeof c->fields - len) c->fields[len] = 0;
}

bool call_answered(const struct call *c) {
  return !c->req && !c->asked_here;
}

/* What goes beside the usual fields. */
static void fields_of(const struct call *c, int status, char *ret, size_t size) {
  snprintf(ret, size, "%s", c->fields);
  ret += strlen(ret);
  size -= strlen(c->fields);
  if (status == 401) snprintf(ret, size, "WWW-Authenticate: Bearer realm=\"pepperbus\"\r\n");
  if (status == 405) snprintf(ret, size, "Allow: %s\r\n", c->allow);
  if (status == 503) snprintf(ret, size, "Retry-After: 1\r\n");
}

/* The request is taken from the call: it is answered. */
static struct http_request *req_take(struct call *c) {
  struct http_request *req = c->req;
  c->req = NULL;
  return req;
}

void call_fields(struct call *c, int status, const char *type, const char *fields, const void *text,
                 size_t len) {
  if (c->asked_here) {
    struct asked_here *asked = c->asked_here;
    c->asked_here = NULL;
    asked->answer(asked, status, text, len);
    return;
  }
  if (c->req) audit_answer(c, status);
  struct http_request *req = req_take(c);
  if (req) http_answer(req, status, type, fields, text, len);
}

void call_text(struct call *c, int status, const char *type, const void *text, size_t len) {
  char fields[sizeof c->fields + 128];
  fields_of(c, status, fields, sizeof fields);
  call_fields(c, status, type, fields, text, len);
}

struct streamed {
  struct call *c;
  http_stream_fn fn;
  void (*done)(void *arg);
  void *arg;
};

static enum http_stream on_piece(void *arg, struct buf *out) {
  struct streamed *st = arg;
  return st->fn(st->arg, out);
}

static void on_stream_done(void *arg) {
  struct streamed *st = arg;
  st->done(st->arg);
  call_unref(st->c);
  free(st);
}

void call_stream_fields(struct call *c, const char *type, const char *fields, uint64_t length,
                        http_stream_fn fn, void (*done)(void *arg), void *arg) {
  struct streamed *st = c->req ? malloc(sizeof *st) : NULL;
  if (!st) {
    call_error(c, 500, "out of memory");
    done(arg);
    return;
  }
  *st = (struct streamed){call_ref(c), fn, done, arg};
  http_answer_stream(req_take(c), 200, type, fields, length, on_piece, on_stream_done, st);
}

void call_stream(struct call *c, const char *type, uint64_t length, http_stream_fn fn,
                 void (*done)(void *arg), void *arg) {
  call_stream_fields(c, type, "", length, fn, done, arg);
}

void call_json(struct call *c, int status, json_t *json) {
  if (!call_answered(c)) {
    if (c->req && status < 300) audit_result(c, json);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) {
      size_t len = strlen(text);
      text[len] = '\n'; /* for terminals; the length is what counts */
      call_text(c, status, "application/json", text, len + 1);
    } else {
      static const char lack[] = "{\"error\":\"out of memory\",\"status\":500}\n";
      call_text(c, 500, "application/json", lack, sizeof lack - 1);
    }
    free(text);
  }
  json_decref(json);
}

void call_error(struct call *c, int status, const char *fmt, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  json_t *o = json_object();
  json_object_set_new(o, "error", json_cstr(text));
  json_object_set_new(o, "status", json_integer(status));
  c->audit.error = text;
  call_json(c, status, o);
  c->audit.error = NULL;
}

int call_store_status(enum store_rc rc) {
  switch (rc) {
  case STORE_OK:
    return 200;
  case STORE_UNAVAILABLE:
    return 503;
  case STORE_UNKNOWN:
    return 504;
  case STORE_FULL:
    return 429;
  case STORE_ERROR:
    break;
  }
  return 500;
}

void call_store_error(struct call *c, enum store_rc rc, const char *why) {
  if (rc == STORE_UNKNOWN)
    call_error(c, 504,
               "the storage did not answer: %s; the request may have been carried out, so look "
               "before you repeat it",
               why);
  else if (rc == STORE_UNAVAILABLE)
    call_error(c, 503, "nothing was done, the storage is not available: %s", why);
  else
    call_error(c, call_store_status(rc), "the storage refused: %s", why);
}

/* --- calls that wait --- */

void calls_sweep(struct admin *a, bool all) {
  uint64_t now = loop_now_ms(a->view->loop);
  struct call *next;
  for (struct call *c = a->waiting; c; c = next) {
    next = c->next;
    if (all) { /* written at once: the port is closed behind it */
      waiting_remove(c);
      c->admin = NULL;
      call_error(c, 503, "the broker is stopping");
    } else if (!call_answered(c) && now >= c->deadline_ms) {
      /* A callback is still to come; it finds the call answered. */
      call_error(c, 504, "no answer in time; the request may still be carried out");
    }
  }
}

/* --- parts of the request --- */

const char *call_body(struct call *c, size_t *ret_len) {
  *ret_len = 0;
  if (c->asked_here) {
    *ret_len = c->asked_here->content_len;
    return c->asked_here->content;
  }
  return c->req ? http_request_body(c->req, ret_len) : "";
}

json_t *call_body_json(struct call *c) {
  json_error_t err;
  size_t len;
  const char *body = call_body(c, &len);
  if (!len) return json_object();
  if (len > ADMIN_BODY_MAX) {
    call_error(c, 413, "the body is larger than %u bytes", ADMIN_BODY_MAX);
    return NULL;
  }
  json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, &err);
  if (json_is_object(o)) return o;
  json_decref(o);
  call_error(c, 400, "the body is not a JSON object%s%s", o ? "" : ": ", o ? "" : err.text);
  return NULL;
}

bool call_query_known(struct call *c, const char *const *names) {
  char name[64];
  if (!call_query_stranger(c, names, name, sizeof name)) return true;
  if (*name)
    call_error(c, 400, "parameter \"%.60s\" is not known here", name);
  else
    call_error(c, 400, "what stands behind the question mark cannot be read, or is too long");
  return false;
}

bool call_query_u64(struct call *c, const char *name, uint64_t def, uint64_t max, uint64_t *ret) {
  char text[32], *end;
  *ret = def;
  if (!call_query(c, name, text, sizeof text)) return true;
  errno = 0;
  unsigned long long v = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end || errno || v > max) {
    call_error(c, 400, "%s=%s is not a number from 0 to %llu", name, text, (unsigned long long)max);
    return false;
  }
  *ret = v;
  return true;
}

#define PAGE_LIMIT_MAX 1000

bool call_names(struct call *c, struct names *l, const char **all, size_t n) {
  char cursor[2 * NAME_LEN_MAX + 2] = "";
  uint64_t limit;
  if (!call_query_u64(c, "limit", 0, PAGE_LIMIT_MAX, &limit)) return false;
  call_query(c, "cursor", cursor, sizeof cursor);
  if (limit || *cursor) {
    names_add_page(l, all, n, cursor, limit ? limit : PAGE_LIMIT_MAX);
    return true;
  }
  for (size_t i = 0; i < n; i++) names_add(l, all[i]);
  return true;
}

bool call_is_local(const struct call *c) {
  const struct identity *id = c->identity;
  return id && (id->how == IDENTITY_NODE || id->how == IDENTITY_SOCKET);
}

void call_by(struct call *c, char *ret, size_t size) {
  if (c->identity && !call_is_local(c))
    snprintf(ret, size, "%s", c->identity->name);
  else
    snprintf(ret, size, "token at %s", c->view->settings->server.node);
}

/* --- names --- */

struct queue *call_queue_named(struct call *c, const char *name) {
  size_t n;
  struct queue *q = registry_queue(c->view->registry, name, strlen(name));
  if (q) return q;
  struct suggest near = {.want = name};
  struct queue *const *all = registry_queues(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) suggest_offer(&near, all[i]->name);
  call_error(c, 404, "there is no queue \"%.128s\"%s%s%s", name,
             near.best ? "; did you mean \"" : "", near.best ? near.best : "",
             near.best ? "\"?" : "");
  return NULL;
}

struct queue *call_queue(struct call *c) {
  return call_queue_named(c, c->args[0]);
}

struct topic *call_topic(struct call *c) {
  size_t n;
  int len = snprintf(c->path, sizeof c->path, "%s/%s", c->args[0], c->args[1]);
  struct topic *t = NULL;
  if (len > 0 && (size_t)len < sizeof c->path && !strchr(c->args[0], '/') &&
      !strchr(c->args[1], '/'))
    t = registry_topic(c->view->registry, c->path, (size_t)len);
  if (t) return t;
  struct suggest near = {.want = c->path};
  struct topic *const *all = registry_topics(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) suggest_offer(&near, all[i]->set->path);
  call_error(c, 404, "there is no topic \"%s\"%s%s%s", c->path,
             near.best ? "; did you mean \"" : "", near.best ? near.best : "",
             near.best ? "\"?" : "");
  return NULL;
}

struct topic *call_stored_topic(struct call *c) {
  struct topic *t = call_topic(c);
  if (!t || t->store) return t;
  call_error(c, 503, "%s has no storage on this node: it is %s%s%s", c->path,
             topic_state_names[t->state], *t->why ? ", " : "", t->why);
  return NULL;
}

struct topic *call_topic_again(struct call *c) {
  return c->admin ? registry_topic(c->view->registry, c->path, strlen(c->path)) : NULL;
}
