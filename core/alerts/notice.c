/* Owns what a notice says. See notice.h. */
#include "alerts/notice.h"

#include "alerts/shell.h"
#include "alerts/webhook.h"
#include "base/json_text.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "config/settings.h"
#include "event/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct notice {
  struct webhook *webhook; /* one of the two, or none of them where it could not begin */
  struct shell *shell;
  struct deferred later;
  struct loop *loop;
  char error[COURSE_ERROR_MAX]; /* of one that could not begin */
  notice_fn fn;
  void *arg;
};

/* --- what it says --- */

const char *notice_target(const struct alert_settings *set, char *ret, size_t size) {
  const char *kind = *set->topic    ? "topic"
                     : *set->queue  ? "queue"
                     : *set->system ? "system"
                                    : "all";
  snprintf(ret, size, "%s%s%s%s%s", kind, set->all ? "" : " ", set->topic, set->queue, set->system);
  return ret;
}

/* "12,345", "5 m 3 s": the threshold is in the file, the value is new. */
static void value_text(const struct alert_settings *set, double value, char *ret, size_t size) {
  if (set->when.metric != ALERT_OLDEST)
    snprintf(ret, size, "%.0f", value);
  else if (value < 60000)
    snprintf(ret, size, "%.0f s", value / 1000);
  else if (value < 3600000)
    snprintf(ret, size, "%.0f min", value / 60000);
  else
    snprintf(ret, size, "%.1f h", value / 3600000);
}

static void sentence(const struct notice_facts *f, char *ret, size_t size) {
  const struct alert_settings *set = f->set;
  char target[2 * NAME_LEN_MAX + 32], value[64];
  bool fires = f->course->due == NOTICE_FIRING;
  notice_target(set, target, sizeof target);
  value_text(set, f->course->due_value, value, sizeof value);
  snprintf(ret, size, "%s%s: %s of %s is %s (%s)%s", *set->title ? set->title : set->name,
           fires ? "" : " is over", alert_metric_names[set->when.metric], set->all ? "all" : target,
           value, set->when_text,
           f->confirmed ? "" : "; told by one node alone, since the shared storage is away");
}

static char *body_make(const struct notice_facts *f, size_t *ret_len) {
  char text[1200], target[2 * NAME_LEN_MAX + 32];
  const struct course *c = f->course;
  sentence(f, text, sizeof text);
  notice_target(f->set, target, sizeof target);
  json_t *o = json_pack("{ss ss ss sb ss ss ss so sf sI so}", "alert", f->set->name, "incident",
                        c->incident, "state", course_notice_names[c->due], "confirmed",
                        f->confirmed, "cluster", f->cluster, "node", f->node, "target", target,
                        "when", json_cstr(f->set->when_text), "value", c->due_value, "since_ms",
                        (json_int_t)c->fired_ms, "text", json_cstr(text));
  char *body =
      o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12)) : NULL;
  if (!body) out_of_memory();
  json_decref(o);
  *ret_len = strlen(body);
  return body;
}

/* --- its way --- */

static void notice_end(struct notice *n, const char *error) {
  notice_fn fn = n->fn;
  void *arg = n->arg;
  deferred_cancel(n->loop, &n->later);
  free(n);
  fn(arg, error);
}

static void on_sent(void *arg, const char *error) {
  notice_end(arg, error);
}

static void on_failed(void *arg) {
  struct notice *n = arg;
  char error[COURSE_ERROR_MAX];
  snprintf(error, sizeof error, "%s", n->error);
  notice_end(n, error);
}

static void webhook_begin(struct notice *n, const struct notice_facts *f, const char *body,
                          size_t len) {
  char signature[128] = "";
  const struct alert_settings *set = f->set;
  struct secret_signed about = {loop_wall_ms(n->loop) / 1000, "alert", set->name};
  if (*set->webhook_secret &&
      !secret_sign(set->webhook_secret, &about, body, len, signature, sizeof signature)) {
    snprintf(n->error, sizeof n->error, "the notice could not be signed");
    return;
  }
  struct webhook_request r = {.url = set->webhook,
                              .signature = signature,
                              .body = body,
                              .len = len,
                              .shared = set->shared,
                              .timeout_ms = NOTICE_TIMEOUT_MS};
  n->webhook = webhook_send(n->loop, &r, on_sent, n);
  if (!n->webhook) snprintf(n->error, sizeof n->error, "no thread could be started");
}

static void shell_begin(struct notice *n, const struct notice_facts *f, const char *body,
                        size_t len) {
  struct shell_request r = {.line = f->set->exec,
                            .alert = f->set->name,
                            .incident = f->course->incident,
                            .state = course_notice_names[f->course->due],
                            .body = body,
                            .len = len,
                            .timeout_ms = NOTICE_TIMEOUT_MS};
  int rc = shell_run(n->loop, &r, on_sent, n, &n->shell);
  if (rc)
    snprintf(n->error, sizeof n->error, "the command could not be started: %s", strerror(-rc));
}

struct notice *notice_send(struct loop *loop, const struct notice_facts *f, notice_fn fn,
                           void *arg) {
  size_t len;
  if (!*f->set->webhook && !*f->set->exec) return NULL;
  struct notice *n = calloc(1, sizeof *n);
  if (!n) out_of_memory();
  *n = (struct notice){.loop = loop, .fn = fn, .arg = arg};
  char *body = body_make(f, &len);
  if (*f->set->webhook)
    webhook_begin(n, f, body, len);
  else
    shell_begin(n, f, body, len);
  free(body);
  if (!n->webhook && !n->shell) loop_defer(loop, &n->later, on_failed, n);
  return n;
}

void notice_cancel(struct notice *n) {
  if (n->webhook) webhook_cancel(n->webhook);
  if (n->shell) shell_cancel(n->shell);
  deferred_cancel(n->loop, &n->later);
  free(n);
}
