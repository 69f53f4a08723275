/* Owns the way of one admin request: name and token, route, handler, answer; and those that wait.
 *
 * Must never happen: an answer to a client that has gone (its request is freed memory), two answers
 * to one request, a handler of a closed route that runs without the token, a request that waits
 * for ever.
 */
#include "admin/private.h"

#include "base/buf.h"
#include "base/suggest.h"
#include "base/secret.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_PARTS_MAX 8
#define QUERY_MAX      4096

enum route_flag {
  ROUTE_OPEN = 1 << 0,   /* answers without the token ... */
  ROUTE_PROBE = 1 << 1,  /* ... by whatever name it is asked */
  ROUTE_ASKED = 1 << 2,  /* ... unless [server] metrics_auth */
  ROUTE_POST = 1 << 3,   /* changes something; the others are GET (and HEAD) */
  ROUTE_CONTENT = 1 << 4 /* the body is a job's content */
};

/* `*` in a pattern is a name, kept in call->args. doc/api.md has them in this order. */
static const struct admin_route {
  const char *pattern;
  unsigned flags;
  call_fn fn;
} routes[] = {
    {"/healthz", ROUTE_OPEN | ROUTE_PROBE, admin_get_health},
    {"/readyz", ROUTE_OPEN | ROUTE_PROBE, admin_get_ready},
    {"/metrics", ROUTE_OPEN | ROUTE_ASKED, admin_get_metrics},
    {"/api/v1/status", 0, admin_get_status},
    {"/api/v1/nodes", 0, admin_get_nodes},
    {"/api/v1/pools", 0, admin_get_pools},
    {"/api/v1/config", 0, admin_get_config},
    {"/api/v1/reload", ROUTE_POST, admin_post_reload},
    {"/api/v1/ids/*", 0, admin_get_id},
    {"/api/v1/queues", 0, admin_get_queues},
    {"/api/v1/queues/*/jobs", ROUTE_POST | ROUTE_CONTENT, admin_post_job},
    {"/api/v1/queues/*/stray", 0, admin_get_stray},
    {"/api/v1/queues/*/drop", ROUTE_POST, admin_post_drop},
    {"/api/v1/topics", 0, admin_get_topics},
    {"/api/v1/topics/*/*", 0, admin_get_topic},
    {"/api/v1/topics/*/*/ping", ROUTE_POST, admin_post_ping},
    {"/api/v1/topics/*/*/test", ROUTE_POST | ROUTE_CONTENT, admin_post_test},
    {"/api/v1/topics/*/*/pause", ROUTE_POST, admin_post_pause},
    {"/api/v1/topics/*/*/resume", ROUTE_POST, admin_post_resume},
    {"/api/v1/topics/*/*/errors", 0, admin_get_errors},
    {"/api/v1/topics/*/*/retry", 0, admin_get_retry},
    {"/api/v1/topics/*/*/retry/*", 0, admin_get_retry_one},
    {"/api/v1/topics/*/*/replay", ROUTE_POST, admin_post_replay},
    {"/api/v1/topics/*/*/purge", ROUTE_POST, admin_post_purge},
    {"/api/v1/topics/*/*/move", ROUTE_POST, admin_post_move},
    {"/api/v1/acts", 0, admin_get_acts},
    {"/api/v1/acts/*", 0, admin_get_act},
    {"/api/v1/acts/*/cancel", ROUTE_POST, admin_post_act_cancel},
};

/* --- the call --- */

static struct call *call_new(struct admin *a, struct http_request *req) {
  struct call *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->admin = a;
  c->b = admin_broker(a);
  c->req = req;
  c->refs = 1;
  return c;
}

struct call *call_ref(struct call *c) {
  c->refs++;
  return c;
}

static void held_remove(struct call *c) {
  if (!c->prev) return;
  *c->prev = c->next;
  if (c->next) c->next->prev = c->prev;
  c->prev = NULL;
}

void call_unref(struct call *c) {
  if (--c->refs) return;
  if (c->req && c->begun) call_error(c, 500, "the request was not answered");
  held_remove(c);
  for (size_t i = 0; i < ADMIN_ARGS_MAX; i++) free(c->args[i]);
  json_decref(c->acc);
  free(c);
}

void call_hold(struct call *c, uint64_t max_ms) {
  call_ref(c);
  if (!c->req || c->prev) return;
  struct call **head = admin_held(c->admin);
  c->deadline_ms = loop_now_ms(c->b->loop) + max_ms;
  c->next = *head;
  c->prev = head;
  if (c->next) c->next->prev = &c->next;
  *head = c;
}

bool call_answered(const struct call *c) {
  return !c->req;
}

/* What goes beside the usual fields. */
static void fields_of(const struct call *c, int status, char *ret, size_t size) {
  *ret = 0;
  if (status == 401) snprintf(ret, size, "WWW-Authenticate: Bearer realm=\"pepperbus\"\r\n");
  if (status == 405 && c->route)
    snprintf(ret, size, "Allow: %s\r\n", c->route->flags & ROUTE_POST ? "POST" : "GET");
  if (status == 503) snprintf(ret, size, "Retry-After: 1\r\n");
}

/* The request is taken from the call: it is answered. */
static struct http_request *req_take(struct call *c) {
  struct http_request *req = c->req;
  c->req = NULL;
  return req;
}

void call_text(struct call *c, int status, const char *type, const void *text, size_t len) {
  char fields[128];
  struct http_request *req = req_take(c);
  if (!req) return;
  fields_of(c, status, fields, sizeof fields);
  http_answer(req, status, type, fields, text, len);
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

void call_stream(struct call *c, const char *type, uint64_t length, http_stream_fn fn,
                 void (*done)(void *arg), void *arg) {
  struct streamed *st = c->req ? malloc(sizeof *st) : NULL;
  if (!st) {
    call_error(c, 500, "out of memory");
    done(arg);
    return;
  }
  *st = (struct streamed){call_ref(c), fn, done, arg};
  http_answer_stream(req_take(c), 200, type, "", length, on_piece, on_stream_done, st);
}

void call_json(struct call *c, int status, json_t *json) {
  if (c->req) {
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
  call_json(c, status, o);
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
               "the storage did not answer: %s; it may have happened, look before you do it "
               "again",
               why);
  else if (rc == STORE_UNAVAILABLE)
    call_error(c, 503, "nothing was done, the storage is not available: %s", why);
  else
    call_error(c, call_store_status(rc), "the storage refused: %s", why);
}

/* --- what is held --- */

void admin_sweep(struct admin *a, bool all) {
  uint64_t now = loop_now_ms(admin_broker(a)->loop);
  struct call *next;
  for (struct call *c = *admin_held(a); c; c = next) {
    next = c->next;
    if (all) { /* written at once: the port is closed behind it */
      held_remove(c);
      c->admin = NULL;
      call_error(c, 503, "the broker is stopping");
    } else if (c->req && now >= c->deadline_ms) {
      /* A callback is still to come; it finds the call answered. */
      call_error(c, 504, "no answer in time; what was asked for may still happen");
    }
  }
}

/* --- parts of the request --- */

const char *call_body(struct call *c, size_t *ret_len) {
  *ret_len = 0;
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

bool call_query(struct call *c, const char *name, char *ret, size_t size) {
  struct evkeyvalq q;
  const char *text = c->req ? http_request_head(c->req)->query : NULL;
  if (!text || strlen(text) > QUERY_MAX || evhttp_parse_query_str(text, &q) < 0) return false;
  const char *value = evhttp_find_header(&q, name);
  if (value) snprintf(ret, size, "%s", value);
  evhttp_clear_headers(&q);
  return value != NULL;
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

/* --- names --- */

struct queue *call_queue_named(struct call *c, const char *name) {
  size_t n;
  struct queue *q = registry_queue(c->b->registry, name, strlen(name));
  if (q) return q;
  struct nearest near = {.want = name};
  struct queue *const *all = registry_queues(c->b->registry, &n);
  for (size_t i = 0; i < n; i++) nearest_offer(&near, all[i]->name);
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
    t = registry_topic(c->b->registry, c->path, (size_t)len);
  if (t) return t;
  struct nearest near = {.want = c->path};
  struct topic *const *all = registry_topics(c->b->registry, &n);
  for (size_t i = 0; i < n; i++) nearest_offer(&near, all[i]->set->path);
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
  return c->admin ? registry_topic(c->b->registry, c->path, strlen(c->path)) : NULL;
}

/* --- routing --- */

struct path {
  char *parts[PATH_PARTS_MAX]; /* decoded, malloc'd */
  size_t n;
};

static void path_free(struct path *p) {
  for (size_t i = 0; i < p->n; i++) free(p->parts[i]);
}

/* Split first, decoded then: a "%2F" is part of a name, not a separator. */
static bool path_split(const char *text, struct path *ret) {
  *ret = (struct path){.n = 0};
  if (!text || *text != '/') return false;
  for (const char *at = text + 1;; at++) {
    size_t len = strcspn(at, "/"), got = 0;
    if (!len && !at[len] && ret->n) return true; /* a slash at the end */
    char raw[3 * (NAME_LEN_MAX + 1) + 1];
    if (ret->n == PATH_PARTS_MAX || len >= sizeof raw) return false;
    memcpy(raw, at, len);
    raw[len] = 0;
    char *part = evhttp_uridecode(raw, 0, &got);
    if (!part) return false;
    ret->parts[ret->n++] = part;
    if (strlen(part) != got) return false; /* a NUL within */
    at += len;
    if (!*at) return true;
  }
}

static bool route_matches(const struct admin_route *r, const struct path *p) {
  const char *at = r->pattern;
  for (size_t i = 0; i < p->n; i++) {
    if (*at++ != '/') return false;
    size_t len = strcspn(at, "/");
    bool name = len == 1 && *at == '*';
    if (name ? !*p->parts[i] : strlen(p->parts[i]) != len || memcmp(p->parts[i], at, len) != 0)
      return false;
    at += len;
  }
  return !*at;
}

static bool token_given(struct call *c) {
  static const char scheme[] = "Bearer ";
  const char *h = http_head_field(http_request_head(c->req), "Authorization");
  if (!h || strncasecmp(h, scheme, sizeof scheme - 1) != 0) return false;
  h += sizeof scheme - 1;
  h += strspn(h, " ");
  return secret_matches(admin_token(c->admin), h, strlen(h));
}

static void refuse_token(struct call *c) {
  if (http_head_field(http_request_head(c->req), "Authorization"))
    log_warning(c->b->log, "admin", "wrong token from %s; refused", http_request_peer(c->req));
  call_error(c, 401,
             "this needs the header \"Authorization: Bearer TOKEN\"; the token is in "
             "admin.token under state_dir");
}

static bool method_fits(const struct admin_route *r, enum http_method method) {
  if (r->flags & ROUTE_POST) return method == HTTP_POST;
  return method == HTTP_GET || method == HTTP_HEAD;
}

static bool is_open(const struct call *c) {
  const struct admin_route *r = c->route;
  if (!r || !(r->flags & ROUTE_OPEN)) return false;
  return !(r->flags & ROUTE_ASKED) || !c->b->settings->server.metrics_auth;
}

/* A page that a browser shows may ask by a name of its own that leads here: then Host is that. */
static bool host_fits(struct call *c) {
  const char *host = http_request_head(c->req)->host;
  if (http_request_local(c->req) || (c->route && c->route->flags & ROUTE_PROBE)) return true;
  if (!host || admin_host_fits(c->admin, host)) return true;
  call_error(c, 403,
             "\"%.200s\" is not a name of this broker; if it is one, add it to [server] hosts",
             host);
  return false;
}

/* The names in the path. */
static void args_take(struct call *c, struct path *p) {
  const char *at = c->route->pattern;
  for (size_t i = 0, n = 0; i < p->n; i++) {
    bool name = at[1] == '*';
    at += 1 + strcspn(at + 1, "/");
    if (!name) continue;
    c->args[n++] = p->parts[i];
    p->parts[i] = NULL;
  }
}

/* Everything but the body is known: may it be read, and is there anybody to read it? */
static bool call_admitted(struct call *c, struct path *p) {
  const struct http_head *h = http_request_head(c->req);
  for (size_t i = 0; i < sizeof routes / sizeof *routes && !c->route; i++)
    if (route_matches(&routes[i], p)) c->route = &routes[i];
  if (!host_fits(c)) return false;
  bool known = token_given(c);
  if (known && !http_befriend(c->req)) {
    c->req = NULL; /* it was answered */
    return false;
  }
  /* Without the token nobody learns which paths there are. */
  if (!known && !is_open(c)) {
    refuse_token(c);
  } else if (!c->route) {
    call_error(c, 404, "there is no such path; doc/api.md has them all");
  } else if (!method_fits(c->route, h->method)) {
    call_error(c, 405, "this path wants %s", c->route->flags & ROUTE_POST ? "POST" : "GET");
  } else if (!known && (h->length || h->chunked)) {
    call_error(c, 413, "no body is wanted here");
  } else {
    args_take(c, p);
    return true;
  }
  return false;
}

static void on_head(void *arg, struct http_request *req) {
  struct admin *a = arg;
  struct path p = {.n = 0};
  static const char lack[] = "{\"error\":\"out of memory\",\"status\":500}\n";
  struct call *c = call_new(a, req);
  if (!c) {
    http_answer(req, 500, "application/json", "", lack, sizeof lack - 1);
    return;
  }
  bool whole = path_split(http_request_head(req)->path, &p);
  bool good = call_admitted(c, whole ? &p : &(struct path){.n = 0});
  path_free(&p);
  if (good) {
    bool content = c->route->flags & ROUTE_CONTENT;
    http_request_keep(req, c);
    good = http_accept(req, content ? admin_body_max(a) : ADMIN_BODY_MAX);
    if (!good) c->req = NULL;
  }
  if (!good) call_unref(c);
}

static void on_request(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  c->begun = true;
  c->route->fn(c);
  if (c->req && !c->prev) call_error(c, 500, "the request was not answered");
  call_unref(c); /* the request's: whoever answers later has one of his own */
}

static void on_gone(void *arg, struct http_request *req) {
  struct call *c = http_request_own(req);
  (void)arg;
  c->req = NULL;
  if (!c->begun) call_unref(c); /* its body did not come */
}

struct http_events admin_events(struct admin *a) {
  return (struct http_events){.head = on_head, .request = on_request, .gone = on_gone, .arg = a};
}

/* --- JSON --- */

json_t *json_text(const void *text, size_t len) {
  struct buf b = {0};
  if (utf8_valid(text, len)) return json_stringn_nocheck(text, len);
  buf_add_text(&b, "\"");
  buf_add_json(&b, text, len);
  buf_add_text(&b, "\"");
  json_t *s = b.failed ? NULL : json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  buf_free(&b);
  return s;
}

json_t *json_cstr(const char *text) {
  return text ? json_text(text, strlen(text)) : json_null();
}

json_t *json_u64(uint64_t v) {
  return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

json_t *json_id(uint64_t id) {
  char text[ID_TEXT_MAX];
  return json_stringn_nocheck(text, id_format(id, text));
}

static json_t *json_base64(const unsigned char *p, size_t len) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  struct buf b = {0};
  for (size_t i = 0; i < len; i += 3) {
    size_t left = len - i;
    unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                 (left > 2 ? p[i + 2] : 0u);
    buf_add(&b,
            (char[]){letters[v >> 18], letters[v >> 12 & 63], left > 1 ? letters[v >> 6 & 63] : '=',
                     left > 2 ? letters[v & 63] : '='},
            4);
  }
  json_t *s = b.failed ? NULL : json_stringn_nocheck(b.data ? b.data : "", b.len);
  buf_free(&b);
  return s;
}

void json_set_content(json_t *o, const char *content, size_t len, size_t max) {
  size_t show = len;
  bool text = utf8_valid(content, len);
  if (show > max) {
    show = max;
    while (text && show && ((unsigned char)content[show] & 0xc0) == 0x80) show--;
  }
  json_object_set_new(o, "content",
                      text ? json_stringn_nocheck(content, show)
                           : json_base64((const unsigned char *)content, show));
  if (!text) json_object_set_new(o, "encoding", json_string("base64"));
  json_object_set_new(o, "size", json_u64(len));
  if (show < len) json_object_set_new(o, "content_cut", json_true());
}
