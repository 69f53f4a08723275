/* Owns the paths of alerts: what is watched, what fires, and who wants to hear nothing of it. */
#include "alerts/alerts.h"

#include "admin/private.h"
#include "alerts/notice.h"
#include "base/out_of_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SILENCE_MAX_S (30ull * 24 * 3600)
#define REASON_MAX    256

static bool sees(const struct call *c, const struct alert_settings *set) {
  return call_sees(c, set->of);
}

static json_t *alert_json(const struct alert_status *s) {
  char target[2 * NAME_LEN_MAX + 32];
  const struct alert_settings *set = s->set;
  json_t *o = json_object(), *silence = json_null();
  json_object_set_new(o, "name", json_cstr(set->name));
  json_object_set_new(o, "title", json_cstr(set->title));
  json_object_set_new(o, "when", json_cstr(set->when_text));
  json_object_set_new(o, "target", json_cstr(notice_target(set, target, sizeof target)));
  json_object_set_new(o, "state", json_string(s->state));
  json_object_set_new(o, "fires", json_boolean(s->fires));
  json_object_set_new(o, "confirmed", json_boolean(s->confirmed));
  json_object_set_new(o, "here", json_boolean(s->here));
  json_object_set_new(o, "since_ms", json_u64(s->since_ms));
  json_object_set_new(o, "value", json_real(s->value));
  json_object_set_new(o, "incident", json_cstr(s->incident));
  json_object_set_new(o, "last_told_ms", json_u64(s->last_told_ms));
  json_object_set_new(o, "last_error", json_cstr(s->last_error));
  json_object_set_new(o, "why", json_cstr(set->broken ? set->broken : ""));
  if (s->silent_until_ms) {
    silence = json_object();
    json_object_set_new(silence, "until_ms", json_u64(s->silent_until_ms));
    json_object_set_new(silence, "by", json_cstr(s->silent_by));
    json_object_set_new(silence, "reason", json_cstr(s->silent_reason));
  }
  json_object_set_new(o, "silence", silence);
  return o;
}

json_t *alerts_json(const struct call *c) {
  json_t *list = json_array();
  struct alert_status s;
  for (size_t i = 0; alerts_at(c->view->alerts, i, &s); i++)
    if (sees(c, s.set)) json_array_append_new(list, alert_json(&s));
  return list;
}

void admin_get_alerts(struct call *c) {
  json_t *o = json_object();
  json_object_set_new(o, "alerts", alerts_json(c));
  call_json(c, 200, o);
}

/* --- silence --- */

/* What another system has is not there. False: answered. */
static bool may_silence(struct call *c) {
  struct alert_status s;
  if (alerts_named(c->view->alerts, c->args[0], &s) && sees(c, s.set))
    return call_may(c, RIGHT_OPERATE, s.set->of);
  call_error(c, 404, "there is no alert \"%.128s\" on this node", c->args[0]);
  return false;
}

static void on_silenced(void *arg, enum store_rc rc, uint64_t until_ms, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_cstr(c->args[0]));
    json_object_set_new(o, "silenced", json_boolean(until_ms));
    json_object_set_new(o, "until_ms", json_u64(until_ms));
    call_json(c, 200, o);
  }
  call_unref(c);
}

static void silence(struct call *c, uint64_t for_ms, const char *reason) {
  char by[REASON_MAX];
  call_by(c, by, sizeof by);
  if (alerts_silence(c->view->alerts, c->args[0], for_ms, by, reason, on_silenced, c))
    call_error(c, 404, "there is no alert \"%.128s\" on this node", c->args[0]);
  else
    call_wait(c, ADMIN_WAIT_MS);
}

void admin_post_silence(struct call *c) {
  json_t *o = may_silence(c) ? call_body_json(c) : NULL;
  if (!o) return;
  const json_t *seconds = json_object_get(o, "for_s"), *why = json_object_get(o, "reason");
  json_int_t for_s = json_integer_value(seconds);
  if (!json_is_integer(seconds) || for_s < 1 || for_s > (json_int_t)SILENCE_MAX_S)
    call_error(c, 400, "\"for_s\" is the number of seconds, 1 to %llu", SILENCE_MAX_S);
  else if (why && (!json_is_string(why) || json_string_length(why) > REASON_MAX))
    call_error(c, 400, "\"reason\" is a text of at most %d bytes", REASON_MAX);
  else
    silence(c, (uint64_t)for_s * 1000, why ? json_string_value(why) : "");
  json_decref(o);
}

void admin_delete_silence(struct call *c) {
  if (may_silence(c)) silence(c, 0, "");
}
