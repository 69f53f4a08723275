/* Owns the import of failed jobs from a file of JSON lines, as the export writes it: some lines a
 * turn, each of them answered by the storage before the next ones are read.
 *
 * Must never happen: a line that is neither imported, nor there already, nor counted as wrong; a
 * job that is imported twice; a turn of the loop as long as the file.
 */
#include "admin/private.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_JOBS  50         /* a script of the storage ... */
#define BATCH_BYTES (1u << 20) /* ... and of their contents, but for the last one */
#define BATCH_LINES 500        /* also wrong ones */
#define FAULTS_TOLD 100
#define MESSAGE_MAX 2000 /* as of a failure */
#define TIME_MAX    (UINT64_C(1) << 52)
/* A retry waits for so long at least: who sends an import again, because it broke off, finds its
 * jobs there, not run and gone. */
#define HOLD_MS 60000

struct import {
  struct call *c;
  char *text;
  size_t len, at;
  bool all_dead;
  uint64_t lines, imported, there, wrong;
  json_t *faults;
  /* What is on its way to the storage, and what it points into. */
  size_t n, bytes;
  struct store_import jobs[BATCH_JOBS];
  json_t *rows[BATCH_JOBS];
  struct buf decoded[BATCH_JOBS];
};

static void batch_clear(struct import *m) {
  for (size_t i = 0; i < m->n; i++) {
    json_decref(m->rows[i]);
    buf_free(&m->decoded[i]);
  }
  m->n = m->bytes = 0;
}

static void import_free(struct import *m) {
  batch_clear(m);
  json_decref(m->faults);
  free(m->text);
  free(m);
}

/* --- answers --- */

static json_t *result_json(const struct import *m) {
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(m->c->path));
  json_object_set_new(o, "lines", json_u64(m->lines));
  json_object_set_new(o, "imported", json_u64(m->imported));
  json_object_set_new(o, "there", json_u64(m->there));
  json_object_set_new(o, "wrong", json_u64(m->wrong));
  json_object_set(o, "faults", m->faults);
  return o;
}

/* Ends it. `why` NULL: it is whole. */
static void import_end(struct import *m, int status, const char *why) {
  struct call *c = m->c;
  char by[STORE_ACT_TEXT_MAX], text[800];
  call_by(c, by, sizeof by);
  if (m->imported)
    log_info(c->view->log, c->path, "import by %s: %llu failed jobs%s", by,
             (unsigned long long)m->imported, why ? "; it broke off" : "");
  if (!call_answered(c)) {
    json_t *o = result_json(m);
    if (why) {
      snprintf(text, sizeof text, "the import broke off, send it again: %s", why);
      json_object_set_new(o, "error", json_cstr(text));
      json_object_set_new(o, "status", json_integer(status));
      c->audit.error = text;
    }
    call_json(c, status, o);
    c->audit.error = NULL;
  }
  import_free(m);
  call_unref(c);
}

/* --- a line --- */

static void fault(struct import *m, const char *why) {
  m->wrong++;
  if (json_array_size(m->faults) < FAULTS_TOLD)
    json_array_append_new(
        m->faults, json_pack("{sI so}", "line", (json_int_t)m->lines, "why", json_cstr(why)));
}

/* A whole number from 0 to `max`; null and no member are `def`. */
static bool number_of(const json_t *o, const char *name, uint64_t def, uint64_t max,
                      uint64_t *ret) {
  const json_t *v = json_object_get(o, name);
  *ret = def;
  if (!v || json_is_null(v)) return true;
  *ret = (uint64_t)json_integer_value(v);
  return json_is_integer(v) && json_integer_value(v) >= 0 && *ret <= max;
}

static bool numbers_read(const json_t *o, struct store_import *ret) {
  uint64_t failed, crashes, died;
  const json_t *code = json_object_get(o, "code");
  json_int_t v = json_integer_value(code);
  if (!number_of(o, "failed", 1, INT32_MAX, &failed) ||
      !number_of(o, "crashes", 0, INT32_MAX, &crashes) ||
      !number_of(o, "due_ms", 0, TIME_MAX, &ret->due_ms) ||
      !number_of(o, "died_ms", 0, TIME_MAX, &died) ||
      !number_of(o, "first_failed_ms", 0, TIME_MAX, &ret->first_failed_ms) ||
      !number_of(o, "failed_ms", died, TIME_MAX, &ret->failed_ms) ||
      (code && (!json_is_integer(code) || v < INT32_MIN || v > INT32_MAX)))
    return false;
  ret->failed = (uint32_t)failed;
  ret->crashes = (uint32_t)crashes;
  ret->code = (int)v;
  return true;
}

static bool id_of(const json_t *v, uint64_t *ret) {
  return json_is_string(v) && id_parse(json_string_value(v), json_string_length(v), ret) && *ret;
}

/* NULL, or what is wrong. */
static const char *content_read(const json_t *o, struct buf *decoded, struct store_import *ret) {
  const json_t *v = json_object_get(o, "content"), *coded = json_object_get(o, "encoding");
  if (!v) return "it has no content: a file without contents cannot be imported";
  if (json_is_true(json_object_get(o, "content_cut"))) return "its content is not whole";
  if (!json_is_string(v) || !json_string_length(v)) return "\"content\" is not a text, or is empty";
  ret->content = json_string_value(v);
  ret->content_len = json_string_length(v);
  if (!coded) return NULL;
  if (!json_is_string(coded) || strcmp(json_string_value(coded), "base64") != 0 ||
      !base64_decode(decoded, ret->content, ret->content_len) || !decoded->len)
    return "\"encoding\" is not base64, or the content is not written so";
  if (decoded->failed) out_of_memory();
  ret->content = decoded->data;
  ret->content_len = decoded->len;
  return NULL;
}

static const char *size_check(const struct import *m, const struct topic *t, size_t len) {
  const char *bound = "";
  if (len > m->c->view->settings->server.max_job_size) return "its content is over max_job_size";
  return len > store_job_max(t->store_entry->store, &bound) ? "its content is too large for Redis"
                                                            : NULL;
}

static bool state_read(const struct import *m, const json_t *o, struct store_import *ret) {
  const char *state = json_string_value(json_object_get(o, "state"));
  if (!state) return false;
  ret->dead = m->all_dead || !strcmp(state, "dead");
  return ret->dead || !strcmp(state, "retry") || !strcmp(state, "running");
}

/* NULL, or what is wrong. */
static const char *row_read(struct import *m, const struct topic *t, const json_t *o) {
  struct store_import *job = &m->jobs[m->n];
  const json_t *message = json_object_get(o, "message"), *origin = json_object_get(o, "origin");
  const json_t *node = json_object_get(o, "node");
  *job = (struct store_import){.dead = false};
  if (!json_is_object(o)) return "it is no JSON object";
  if (!id_of(json_object_get(o, "id"), &job->id)) return "\"id\" is not a job id";
  if (!state_read(m, o, job)) return "\"state\" is not retry, running or dead";
  if (!numbers_read(o, job)) return "a number is not whole, or too large";
  if (origin && !json_is_null(origin) && !id_of(origin, &job->origin))
    return "\"origin\" is not a job id";
  if ((message && !json_is_string(message)) || (node && !json_is_string(node)) ||
      json_string_length(node) > NAME_LEN_MAX)
    return "\"message\" or \"node\" is not a text, or too long";
  job->message = json_string_value(message);
  job->message_len = json_string_length(message);
  if (job->message_len > MESSAGE_MAX) job->message_len = MESSAGE_MAX;
  job->node = json_string_value(node);
  uint64_t soonest = store_clock_ms(t->store_entry->store) + HOLD_MS;
  if (job->due_ms < soonest) job->due_ms = soonest;
  const char *why = content_read(o, &m->decoded[m->n], job);
  return why ? why : size_check(m, t, job->content_len);
}

static void line_read(struct import *m, const struct topic *t, const char *line, size_t len) {
  json_error_t e;
  char text[sizeof e.text + 40];
  while (len && strchr(" \t\r", line[len - 1])) len--;
  if (!len) return;
  json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
  if (!o) snprintf(text, sizeof text, "it is no JSON: %s", e.text);
  const char *why = o ? row_read(m, t, o) : text;
  if (why) {
    fault(m, why);
    buf_free(&m->decoded[m->n]);
    json_decref(o);
    return;
  }
  m->bytes += m->jobs[m->n].content_len;
  m->rows[m->n++] = o;
}

/* --- batches --- */

static void batch_read(struct import *m, const struct topic *t) {
  for (size_t n = 0; n < BATCH_LINES && m->n < BATCH_JOBS && m->bytes < BATCH_BYTES; n++) {
    if (m->at >= m->len) return;
    const char *line = m->text + m->at, *end = memchr(line, '\n', m->len - m->at);
    size_t len = end ? (size_t)(end - line) : m->len - m->at;
    m->lines++;
    m->at += len + (end != NULL);
    line_read(m, t, line, len);
  }
}

static void on_imported(void *arg, enum store_rc rc, size_t imported, size_t there,
                        const char *why);

/* Lines that are all wrong ask the storage as well: so a turn of the loop lies between any two
 * batches. */
static void batch_send(struct import *m, struct topic *t) {
  batch_read(m, t);
  store_import(t->store, m->jobs, m->n, on_imported, m);
}

static void on_imported(void *arg, enum store_rc rc, size_t imported, size_t there,
                        const char *why) {
  struct import *m = arg;
  m->imported += imported;
  m->there += there;
  batch_clear(m);
  struct topic *t = call_topic_again(m->c);
  if (rc)
    import_end(m, call_store_status(rc), why);
  else if (m->at >= m->len)
    import_end(m, 200, NULL);
  else if (call_answered(m->c))
    import_end(m, 504, "the client went, or it took too long");
  else if (!t || !t->store)
    import_end(m, 503, "the topic has no storage on this node any more");
  else
    batch_send(m, t);
}

/* --- the request --- */

/* False: answered. */
static bool state_asked(struct call *c, bool *ret_all_dead) {
  static const char *const known[] = {"state", NULL};
  char state[16] = "kept";
  if (!call_query_known(c, known)) return false;
  call_query(c, "state", state, sizeof state);
  *ret_all_dead = !strcmp(state, "dead");
  if (*ret_all_dead || !strcmp(state, "kept")) return true;
  call_error(c, 400, "state \"%.15s\" is not kept or dead", state);
  return false;
}

void admin_post_failed_import(struct call *c) {
  size_t len;
  bool all_dead;
  const char *body = call_body(c, &len);
  struct topic *t = call_stored_topic(c);
  if (!t || !state_asked(c, &all_dead)) return;
  struct import *m = calloc(1, sizeof *m);
  if (!m) out_of_memory();
  if (!(m->text = malloc(len + 1))) {
    free(m);
    call_error(c, 503, "nothing was done: there is no memory for so large a file now");
    return;
  }
  memcpy(m->text, body, len);
  m->len = len;
  m->all_dead = all_dead;
  m->faults = json_array();
  m->c = c;
  call_wait(c, ADMIN_WAIT_MS);
  batch_send(m, t);
}
