/* Owns what operators do with a topic: ping, test, pause, resume.
 *
 * Must never happen: a test or ping that stores or counts a job.
 */
#include "admin/private.h"

#include <string.h>

#define REASON_MAX 400

/* --- ping and test --- */

static void on_answer(void *arg, int code, const char *message, size_t len, uint64_t took_ms) {
  struct call *c = arg;
  if (!call_answered(c)) {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "code", json_integer(code));
    json_object_set_new(o, "message", call_message(c, message, len));
    json_object_set_new(o, "took_ms", json_u64(took_ms));
    call_json(c, 200, o);
  }
  call_unref(c);
}

void admin_post_ping(struct call *c) {
  struct topic *t = call_topic(c);
  if (!t) return;
  call_wait(c, t->set->timeout_ms + ADMIN_GRACE_MS);
  operator_ping(t, on_answer, c);
}

/* The job waits for a slot of the pool like any other, and has the topic's whole timeout. */
void admin_post_test(struct call *c) {
  size_t len;
  struct topic *t = call_topic(c);
  if (!t) return;
  const char *content = call_body(c, &len);
  uint64_t max = c->view->settings->server.max_job_size;
  if (len > max) {
    call_error(c, 413, "the content has %zu bytes, max_job_size is %llu", len,
               (unsigned long long)max);
    return;
  }
  call_wait(c, t->set->timeout_ms + ADMIN_GRACE_MS);
  operator_test(t, content, len, on_answer, c);
}

/* --- pause --- */

/* Who asked and why: the call keeps it until the storage has answered. */
static void pause_log(struct call *c) {
  const char *by = json_string_value(json_object_get(c->acc, "by"));
  const char *reason = json_string_value(json_object_get(c->acc, "reason"));
  log_info(c->view->log, c->path, "%s by %s%s%s", c->status ? "paused" : "resumed", by ? by : "?",
           reason && *reason ? ": " : "", reason ? reason : "");
}

static void on_paused(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  (void)count;
  if (!rc && c->admin) pause_log(c);
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "paused", json_boolean(c->status));
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* The body's "reason", or "". False: answered with 400. */
static bool reason_read(struct call *c, char *ret, size_t size) {
  json_t *body = call_body_json(c), *reason = json_object_get(body, "reason");
  const char *text = json_string_value(reason);
  *ret = 0;
  if (!body) return false;
  bool good = !reason || json_is_null(reason) || (text && strlen(text) < size);
  if (!good) call_error(c, 400, "\"reason\" is a text of at most %zu bytes", size - 1);
  if (good && text) snprintf(ret, size, "%s", text);
  json_decref(body);
  return good;
}

static void pause_to(struct call *c, bool paused) {
  char by[STORE_ACT_TEXT_MAX], reason[REASON_MAX + 1];
  struct topic *t = call_stored_topic(c);
  if (!t || !reason_read(c, reason, sizeof reason)) return;
  c->status = paused;
  call_by(c, by, sizeof by);
  c->acc = json_object();
  json_object_set_new(c->acc, "by", json_cstr(by));
  json_object_set_new(c->acc, "reason", json_text(reason, strlen(reason)));
  call_audit(c, NULL, json_pack("{so}", "pause", topic_pause_json(t)),
             json_pack("{ss sO}", "by", by, "reason", json_object_get(c->acc, "reason")));
  call_wait(c, ADMIN_WAIT_MS);
  operator_pause(t, paused, by, reason, on_paused, c);
}

void admin_post_pause(struct call *c) {
  pause_to(c, true);
}

void admin_post_resume(struct call *c) {
  pause_to(c, false);
}
