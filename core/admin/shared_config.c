/* Owns the shared configuration as the port shows and changes it.
 *
 * Must never happen: a secret in an answer; a change that is reported as made and was not.
 */
#include "admin/private.h"

#include "control/control.h"
#include "control/revision.h"
#include "transport/plugin_loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- showing --- */

void shared_state_put(json_t *o, const struct control_status *st) {
  json_t *key = json_object();
  json_object_set_new(o, "storage", json_cstr(st->storage));
  json_object_set_new(o, "state", json_cstr(control_state_names[st->state]));
  json_object_set_new(o, "why", json_cstr(st->why));
  json_object_set_new(o, "head", json_u64(st->head));
  json_object_set_new(key, "id", json_cstr(st->key_id));
  json_object_set_new(key, "state", json_cstr(st->key_state));
  json_object_set_new(key, "why", json_cstr(st->key_why));
  json_object_set_new(o, "key", key);
}

/* All but the text. */
static json_t *shared_json(const struct admin_view *v) {
  struct control_status st;
  control_status(v->control, &st);
  const struct revision *r = control_revision(v->control);
  json_t *o = json_object();
  json_object_set_new(o, "cluster", json_cstr(st.cluster));
  shared_state_put(o, &st);
  json_object_set_new(o, "runs", json_u64(st.runs));
  json_object_set_new(o, "refused", json_u64(st.refused));
  json_object_set_new(o, "refused_why", json_cstr(st.refused_why));
  json_object_set_new(o, "forged", json_u64(st.forged));
  json_object_set_new(o, "number", json_u64(r ? r->number : 0));
  json_object_set_new(o, "at_ms", r ? json_u64(r->at_ms) : json_null());
  json_object_set_new(o, "by", json_cstr(r ? r->by : NULL));
  json_object_set_new(o, "from", json_cstr(r ? r->from : NULL));
  json_object_set_new(o, "comment", json_cstr(r ? r->comment : NULL));
  return o;
}

static void on_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct call *c = arg;
  if (!call_answered(c)) {
    json_t *o = shared_json(c->view);
    json_object_set(o, "nodes", nodes);
    if (rc) json_object_set_new(o, "error", json_cstr(why));
    const struct revision *r = control_revision(c->view->control);
    const char *text = r ? r->text : "";
    masked_answer(c, MASKED_SHARED, o, text, strlen(text));
  }
  call_unref(c);
}

void admin_get_shared(struct call *c) {
  call_wait(c, ADMIN_WAIT_MS);
  control_nodes(c->view->control, on_nodes, c);
}

/* --- changing --- */

json_t *shared_result_json(const struct control_result *r) {
  json_t *o = json_object();
  if (r->status == 200) {
    json_object_set_new(o, "number", json_u64(r->number));
    json_object_set_new(o, "warnings", json_cstr(r->why));
  } else {
    json_object_set_new(o, "error", json_cstr(r->why));
    json_object_set_new(o, "status", json_integer(r->status));
    if (r->number) json_object_set_new(o, "number", json_u64(r->number));
  }
  if (r->changes) json_object_set(o, r->status == 409 ? "yours" : "changes", r->changes);
  if (r->theirs) json_object_set(o, "theirs", r->theirs);
  return o;
}

void shared_answer(struct call *c, const struct control_result *r) {
  json_t *o = shared_result_json(r);
  c->audit.error = r->status == 200 ? NULL : r->why;
  call_json(c, r->status, o);
  c->audit.error = NULL;
}

static void on_result(void *arg, const struct control_result *r) {
  shared_answer(arg, r);
  call_unref(arg);
}

static bool number_get(struct call *c, const json_t *o, const char *name, uint64_t *ret) {
  const json_t *v = json_object_get(o, name);
  *ret = json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v) : 0;
  if (!v || (json_is_integer(v) && json_integer_value(v) >= 0)) return true;
  call_error(c, 400, "\"%s\" is the number of a revision", name);
  return false;
}

/* An apply is judged by its difference: each section needs rights on its system, before and after.
 */
static int judge_one(const struct identity *id, const struct shared_change *s, struct pb_err *err) {
  const char *const systems[] = {s->what == SHARED_ADDED ? s->system_after : s->system_before,
                                 s->what == SHARED_REMOVED ? s->system_before : s->system_after};
  bool users = !strcmp(s->kind, "user"),
       own = !strcmp(s->kind, "queue") || !strcmp(s->kind, "topic");
  for (size_t i = 0; i < 2; i++) {
    enum right right = users ? RIGHT_USERS : own || *systems[i] ? RIGHT_CONFIGURE : RIGHT_CLUSTER;
    if (!identity_may(id, right, systems[i])) {
      snprintf(err->text, sizeof err->text, "[%s %s]: %s has not the right to change it", s->kind,
               s->name, id->name);
      return -EPERM;
    }
    if (s->entry && !identity_may(id, RIGHT_ENTRIES, systems[i])) {
      snprintf(err->text, sizeof err->text,
               "[%s %s]: %s has not the right \"entries\": entry and run_type say what runs",
               s->kind, s->name, id->name);
      return -EPERM;
    }
  }
  return 0;
}

static int judge(void *arg, const struct shared_changes *changes, struct pb_err *err) {
  const struct call *c = arg;
  for (size_t i = 0; i < shared_changes_n(changes); i++) {
    int rc = judge_one(c->identity, shared_changes_at(changes, i), err);
    if (rc) return rc;
  }
  return 0;
}

/* Who asks, and what may be changed. */
static void change_begin(struct call *c, struct control_change *x, char *by, size_t size) {
  call_by(c, by, size);
  x->by = by;
  x->from = *c->identity->client ? c->identity->client : http_request_peer(c->req);
  x->judge = judge;
  x->judge_arg = c;
}

bool shared_change(struct call *c, struct control_change *x, control_result_fn fn, void *arg) {
  char by[STORE_ACT_TEXT_MAX];
  if (control_is_busy(c->view->control)) {
    call_error(c, 503, "too many changes wait on this node; try again");
    return false;
  }
  change_begin(c, x, by, sizeof by);
  call_wait(c, ADMIN_WAIT_MS);
  control_change(c->view->control, x, fn, arg);
  return true;
}

enum act { ACT_CHECK, ACT_APPLY, ACT_IMPORT, ACT_ROLLBACK, ACT_RESTORE };

static void ask(struct call *c, enum act act, const json_t *o, struct control_change *x,
                uint64_t number) {
  struct control *control = c->view->control;
  const json_t *text = json_object_get(o, "text");
  bool whole = act == ACT_CHECK || act == ACT_APPLY || act == ACT_IMPORT;
  if (whole && !json_is_string(text)) {
    call_error(c, 400, "\"text\" is missing: the sections as text");
    return;
  }
  if (control_is_busy(control)) {
    call_error(c, 503, "too many changes wait on this node; try again");
    return;
  }
  x->text = json_string_value(text);
  x->len = json_string_length(text);
  x->dry = act == ACT_CHECK;
  call_wait(c, ADMIN_WAIT_MS);
  if (act == ACT_ROLLBACK)
    control_rollback(control, number, x, on_result, c);
  else if (act == ACT_RESTORE)
    control_restore(control, number, json_string_value(json_object_get(o, "node")), x, on_result,
                    c);
  else if (act == ACT_IMPORT)
    control_import(control, x, on_result, c);
  else
    control_change(control, x, on_result, c);
}

static void change(struct call *c, enum act act) {
  char by[STORE_ACT_TEXT_MAX];
  struct control_change x = {.with_users = false};
  uint64_t number;
  json_t *o = call_body_json(c);
  if (!o) return;
  change_begin(c, &x, by, sizeof by);
  x.comment = json_string_value(json_object_get(o, "comment"));
  x.with_users = json_is_true(json_object_get(o, "with_users"));
  if (number_get(c, o, "base", &x.base) && number_get(c, o, "number", &number)) {
    call_audit(c, NULL, json_pack("{sI}", "number", (json_int_t)x.base),
               number ? json_pack("{sI}", "from", (json_int_t)number) : NULL);
    if (act == ACT_ROLLBACK && !number)
      call_error(c, 400, "\"number\" is missing: the revision to go back to");
    else if (act != ACT_IMPORT || import_lines(c, o))
      ask(c, act, o, &x, number);
  }
  json_decref(o);
}

void shared_check(struct call *c) {
  change(c, ACT_CHECK);
}

void admin_post_config_apply(struct call *c) {
  change(c, ACT_APPLY);
}

void admin_post_config_import(struct call *c) {
  change(c, ACT_IMPORT);
}

void admin_post_config_rollback(struct call *c) {
  change(c, ACT_ROLLBACK);
}

void admin_post_config_restore(struct call *c) {
  change(c, ACT_RESTORE);
}
