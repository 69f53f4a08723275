/* Owns how another key for the cluster is asked for: from the machine of a node only. The key
 * itself is in no request and in no answer: it stays in files of the node.
 */
#include "admin/private.h"

#include "control/control.h"
#include "control/rekey.h"

#include <string.h>

static void on_rekeyed(void *arg, const struct rekey_result *r) {
  struct call *c = arg;
  json_t *o = json_object();
  if (r->status == 200) {
    json_object_set_new(o, "id", json_cstr(r->id));
    json_object_set_new(o, "key_file", json_cstr(r->key_file));
    json_object_set_new(o, "number", json_u64(r->number));
    json_object_set(o, "lost", r->lost);
  } else {
    json_object_set_new(o, "error", json_cstr(r->why));
    json_object_set_new(o, "status", json_integer(r->status));
  }
  if (!call_answered(c))
    call_json(c, r->status, o);
  else
    json_decref(o);
  call_unref(c);
}

void admin_post_cluster_key(struct call *c) {
  char by[STORE_ACT_TEXT_MAX];
  json_t *o = call_body_json(c);
  if (!o) return;
  const char *what = json_string_value(json_object_get(o, "do"));
  bool reset = what && !strcmp(what, "reset");
  if (!reset && (!what || strcmp(what, "rotate") != 0)) {
    call_error(c, 400, "\"do\" is \"rotate\" or \"reset\"");
  } else if (control_rekeys(c->view->control)) {
    call_error(c, 503, "another key is being made on this node; try again");
  } else {
    call_by(c, by, sizeof by);
    call_wait(c, ADMIN_WAIT_MS);
    control_rekey(c->view->control, reset, by, http_request_peer(c->req), on_rekeyed, c);
  }
  json_decref(o);
}
