/* Owns the commands that carry jobs: LPUSH and RPUSH, ADDJOB, RPOP. Clients rely on their answers
 * byte for byte; doc/protocol.md has the text.
 */
#include "intake/command.h"

#include "config/settings.h"
#include "intake/intake.h"
#include "intake/resp.h"
#include "registry/registry.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_ON_STACK 32
#define SECONDS_MAX   INT64_C(3153600000) /* a hundred years */
#define TOKEN_MAX     64

/* The queue of "queue" or "queue/anything". False: not a name. */
static bool queue_name(const struct resp_arg *key, size_t *ret_len) {
  const char *slash = memchr(key->text, '/', key->len);
  size_t len = slash ? (size_t)(slash - key->text) : key->len;
  if (!len || len > NAME_LEN_MAX) return false;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)key->text[i];
    if (!isalnum(c) && c != '_' && c != '.' && c != ':' && c != '-') return false;
  }
  *ret_len = len;
  return true;
}

/* May this session add to the queue? A session that has shown any right password is let through for
 * a queue that does not exist: the intake then reports the missing queue. */
static bool may_add(const struct session *s, const char *name, size_t len) {
  if (auth_queue(&s->auth, name, len)) return true;
  return auth_any(&s->auth) && !registry_queue(s->sv->registry, name, len);
}

/* --- LPUSH, RPUSH --- */

#define JSON_HEAD 24 /* room for "$<length>\r\n" before the JSON */

/* Writes the length before the JSON that stands at data+len+JSON_HEAD, and closes the gap. By hand,
 * as all of this answer: it is made for every job. */
static void close_json(struct buf *b, size_t json_len) {
  char *p = b->data + b->len;
  size_t n = 1;
  *p = '$';
  n += id_format(json_len, p + n);
  p[n++] = '\r';
  p[n++] = '\n';
  memmove(p + n, p + JSON_HEAD, json_len);
  memcpy(p + n + json_len, "\r\n", 2);
  b->len += n + json_len + 2;
}

static char *put(char *p, const char *text, size_t len) {
  memcpy(p, text, len);
  return p + len;
}
#define PUT(p, text) put(p, text, sizeof(text) - 1)

/* The request of one job bears the job's own id, which stands there already as text. */
static size_t write_trace(const struct intake_result *r, const char *first, size_t first_len,
                          char *ret) {
  if (!r->n || r->trace != r->ids[0]) return id_format_trace(r->trace, r->gateway, ret);
  char *p = put(ret, first, first_len);
  *p++ = '-';
  p += id_format(r->gateway.ipv4, p);
  *p++ = '-';
  p += id_format(r->gateway.port, p);
  return (size_t)(p - ret);
}

static void write_pushed(struct buf *b, const struct intake_result *r) {
  char *json, *p;
  if (!buf_reserve(b, JSON_HEAD + ID_TRACE_MAX + 64 + r->n * (ID_TEXT_MAX + 3))) return;
  json = p = b->data + b->len + JSON_HEAD;
  p = PUT(p, "{\"jobs\":[");
  const char *first = p + 1;
  size_t first_len = 0;
  for (size_t i = 0; i < r->n; i++) {
    if (i) *p++ = ',';
    *p++ = '"';
    size_t len = id_format(r->ids[i], p);
    if (!i) first_len = len;
    p += len;
    *p++ = '"';
  }
  p = PUT(p, "],\"inTraceId\":\"");
  p += write_trace(r, first, first_len, p);
  p = PUT(p, "\",\"error\":\"\"}");
  close_json(b, (size_t)(p - json));
}

static void write_push_error(struct buf *b, const struct intake_result *r, const char *error) {
  struct buf json = {0};
  char trace[ID_TRACE_MAX];
  buf_add_text(&json, "{\"jobs\":null,\"inTraceId\":\"");
  buf_add(&json, trace, id_format_trace(r->trace, r->gateway, trace));
  buf_add_text(&json, "\",\"error\":\"");
  buf_add_json(&json, error, strlen(error));
  buf_add_text(&json, "\"}");
  if (json.failed)
    resp_error(b, "ERR out of memory");
  else
    resp_bulk(b, json.data, json.len);
  buf_free(&json);
}

static void pushed(void *arg, const struct intake_result *r) {
  struct reply *reply = arg;
  if (reply->of) {
    if (r->rc == INTAKE_OK)
      write_pushed(&reply->out, r);
    else
      write_push_error(&reply->out, r, r->error);
  }
  reply_done(reply);
}

struct refusal {
  struct reply *reply;
  const char *error;
};

static void refused(void *arg, const struct intake_result *r) {
  struct refusal *f = arg;
  write_push_error(&f->reply->out, r, f->error);
  reply_done(f->reply);
}

/* Every answer has a trace id, and only the intake makes those: it is asked to add nothing to no
 * queue, which it refuses at once. */
void command_push_error(struct command_call *c, const char *error) {
  static const struct intake_options none;
  struct refusal f = {.reply = c->reply, .error = error};
  intake_add(c->s->sv->intake, "", 0, NULL, 0, &none, refused, &f);
}

void command_push(struct command_call *c) {
  static const struct intake_options none;
  const struct resp_arg *key = &c->args[1];
  size_t len, n = c->argc - 2;
  if (!queue_name(key, &len)) {
    char error[256];
    snprintf(error, sizeof error, "ParseJob fail: invalid job meta info: %.*s",
             key->len < 160 ? (int)key->len : 160, key->text);
    command_push_error(c, error);
    return;
  }
  if (!may_add(c->s, key->text, len)) {
    command_push_error(c, COMMAND_NOT_AUTHENTICATED);
    return;
  }
  struct intake_job few[JOBS_ON_STACK], *jobs = few;
  if (n > JOBS_ON_STACK && !(jobs = malloc(n * sizeof *jobs))) {
    command_push_error(c, "out of memory");
    return;
  }
  for (size_t i = 0; i < n; i++)
    jobs[i] = (struct intake_job){.content = c->args[i + 2].text, .len = c->args[i + 2].len};
  /* It takes its time, and what this client adds after it is to be stored after it. */
  if (n > INTAKE_AT_ONCE) c->s->alone = true;
  intake_add(c->s->sv->intake, key->text, len, jobs, n, &none, pushed, c->reply);
  if (jobs != few) free(jobs);
}

/* --- ADDJOB --- */

/* The beginning of an error reply, by the kind of error. */
static const char *prefix(enum intake_rc rc) {
  switch (rc) {
  case INTAKE_NO_QUEUE:
    return "NOQUEUE";
  case INTAKE_TOO_LARGE:
    return "TOOLARGE";
  case INTAKE_FULL:
    return "FULL";
  case INTAKE_STORAGE:
    return "STORAGE";
  case INTAKE_OK:
  case INTAKE_EMPTY:
    break;
  }
  return "ERR";
}

static void added(void *arg, const struct intake_result *r) {
  struct reply *reply = arg;
  if (reply->of) {
    char id[ID_DISQUE_LEN + 1];
    if (r->rc == INTAKE_OK) {
      id_format_disque(r->ids[0], id);
      resp_bulk(&reply->out, id, ID_DISQUE_LEN);
    } else {
      resp_errorf(&reply->out, "%s %s", prefix(r->rc), r->error);
    }
  }
  reply_done(reply);
}

static bool is_token(const struct resp_arg *a) {
  if (!a->len || a->len > TOKEN_MAX) return false;
  for (size_t i = 0; i < a->len; i++) {
    unsigned char c = (unsigned char)a->text[i];
    if (!isalnum(c) && c != '_' && c != '.' && c != ':' && c != '-') return false;
  }
  return true;
}

/* NULL, or the fault in the options after the timeout. */
static const char *addjob_options(const struct command_call *c, struct intake_options *o) {
  int64_t v;
  for (size_t i = 4; i < c->argc; i++) {
    const struct resp_arg *name = &c->args[i], *value = i + 1 < c->argc ? &c->args[i + 1] : NULL;
    if (arg_is(name, "ASYNC")) continue; /* the answer waits for the storage all the same */
    if (!value) return "ERR syntax error";
    i++;
    if (arg_is(name, "DELAY")) {
      if (!arg_integer(value, 0, SECONDS_MAX, &v)) return "ERR DELAY must be a number >= 0";
      o->delay_ms = (uint64_t)v * 1000;
    } else if (arg_is(name, "RETRY")) {
      if (!arg_integer(value, 0, SECONDS_MAX, &v)) return "ERR RETRY must be a number >= 0";
      o->own_retry = true;
      o->retry_ms = v ? (uint64_t)v * 1000 : UINT64_MAX;
    } else if (arg_is(name, "TTL")) {
      if (!arg_integer(value, 1, SECONDS_MAX, &v)) return "ERR TTL must be a number > 0";
      o->ttl_ms = (uint64_t)v * 1000;
    } else if (arg_is(name, "MAXLEN")) {
      if (!arg_integer(value, 0, INT64_MAX, &o->max_length))
        return "ERR MAXLEN must be a number >= 0";
    } else if (arg_is(name, "REPLICATE")) {
      if (!arg_integer(value, 1, 1000, &v)) return "ERR REPLICATE must be between 1 and 1000";
      o->replicate = (unsigned)(v - 1); /* Disque counts the first copy too */
    } else if (arg_is(name, "ID")) {
      if (!is_token(value)) return "ERR ID must be 1 to 64 letters, digits, '_', '.', ':' or '-'";
      o->token = value->text;
      o->token_len = value->len;
    } else if (arg_is(name, "IDTTL")) {
      if (!arg_integer(value, 10, 86400, &v)) return "ERR IDTTL must be between 10 and 86400";
      o->token_ms = (uint64_t)v * 1000;
    } else {
      return "ERR syntax error";
    }
  }
  if (o->ttl_ms && o->delay_ms >= o->ttl_ms)
    return "ERR The specified DELAY is greater than TTL. Job refused since would never be "
           "delivered";
  return NULL;
}

void command_addjob(struct command_call *c) {
  struct intake_options o = {0};
  struct buf *out = &c->reply->out;
  const struct resp_arg *key = &c->args[1];
  const char *fault = NULL;
  int64_t timeout;
  size_t len;
  if (!queue_name(key, &len))
    fault = "ERR invalid queue name: 1 to 128 letters, digits, '_', '.', ':' or '-'";
  else if (!may_add(c->s, key->text, len))
    fault = COMMAND_NOT_AUTHENTICATED;
  else if (!arg_integer(&c->args[3], 0, INT64_MAX, &timeout))
    fault = "ERR timeout is not an integer or out of range";
  else
    fault = addjob_options(c, &o);
  if (fault) {
    resp_error(out, fault);
    reply_done(c->reply);
    return;
  }
  o.replicate_ms = (uint64_t)timeout;
  struct intake_job job = {.content = c->args[2].text, .len = c->args[2].len};
  intake_add(c->s->sv->intake, key->text, len, &job, 1, &o, added, c->reply);
}

/* --- RPOP --- */

static void popped(void *arg, enum intake_rc rc, const char *json, size_t len, const char *error) {
  struct reply *reply = arg;
  if (reply->of) {
    struct session *s = (struct session *)((char *)reply->of - offsetof(struct session, replies));
    if (rc != INTAKE_OK)
      resp_errorf(&reply->out, "%s %s", prefix(rc), error);
    else if (json)
      resp_bulk(&reply->out, json, len);
    else
      resp_null(&reply->out, s->version);
  }
  reply_done(reply);
}

void command_rpop(struct command_call *c) {
  const struct resp_arg *path = &c->args[1];
  struct buf *out = &c->reply->out;
  struct topic *t = NULL;
  if (c->argc > 2) {
    resp_error(out, "ERR RPOP takes one job at a time: a count is not supported");
  } else if (!memchr(path->text, '/', path->len)) {
    resp_error(out, "ERR RPOP takes <queue>/<topic>");
  } else if (!auth_topic(&c->s->auth, path->text, path->len)) {
    resp_error(out, COMMAND_NOT_AUTHENTICATED);
  } else if (!(t = registry_topic(c->s->sv->registry, path->text, path->len))) {
    resp_errorf(out, "NOQUEUE queue or Topic not exist %.*s",
                path->len < 300 ? (int)path->len : 300, path->text);
  }
  if (!t) {
    reply_done(c->reply);
    return;
  }
  /* A job taken here is gone from the storage. At most one such job may be on the way to a client
   * that might not read it. Its content must not pile up in our memory. */
  c->s->alone = true;
  intake_pop(c->s->sv->intake, t, popped, c->reply);
}
