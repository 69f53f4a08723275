/* Owns the replay of one failed job with another content.
 *
 * Must never happen: a content taken from who may not see contents; the original gone without its
 * copy (the storage does both at once).
 */
#include "admin/private.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

struct edited {
  struct call *c;
  uint64_t id, copy; /* copy 0: as it is */
};

/* --- the answer --- */

static void on_replayed(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct edited *x = arg;
  struct call *c = x->c;
  struct topic *t = call_topic_again(c);
  char by[STORE_ACT_TEXT_MAX];
  /* Also where the answer got lost: it may be due. */
  if (t && (count || rc)) dispatcher_wake(c->view->dispatcher, t->queue, false);
  if (!rc && count) {
    call_by(c, by, sizeof by);
    log_info(c->view->log, c->path, "replay%s by %s: job %s",
             x->copy ? " with an edited content" : "", by, c->args[2]);
  }
  if (rc) {
    call_store_error(c, rc, why);
  } else if (!count) {
    call_error(c, 404, "job %s is not waiting in the retry queue of %s", c->args[2], c->path);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "id", json_id(x->copy ? x->copy : x->id));
    json_object_set_new(o, "origin", x->copy ? json_id(x->id) : json_null());
    json_object_set_new(o, "replayed", json_u64(count));
    call_json(c, 200, o);
  }
  free(x);
  call_unref(c);
}

/* --- the request --- */

/* False: answered. */
static bool content_read(struct call *c, const json_t *body, struct buf *ret) {
  const json_t *v = json_object_get(body, "content");
  const char *coded = json_string_value(json_object_get(body, "encoding"));
  if (!call_may(c, RIGHT_CONTENTS, admin_system_of(c->view, c->args[0]))) return false;
  bool good = json_is_string(v) && (!coded || !strcmp(coded, "base64"));
  if (good && coded)
    good = base64_decode(ret, json_string_value(v), json_string_length(v));
  else if (good)
    buf_add(ret, json_string_value(v), json_string_length(v));
  if (ret->failed) out_of_memory();
  if (!good || !ret->len)
    call_error(c, 400,
               "\"content\" is a text, or base64 with \"encoding\": \"base64\", and is "
               "not empty");
  return good && ret->len;
}

/* False: answered. */
static bool content_fits(struct call *c, const struct topic *t, size_t len) {
  const char *bound = "";
  uint64_t most = c->view->settings->server.max_job_size;
  uint64_t there = store_job_max(t->store_entry->store, &bound);
  if (len <= most && len <= there) return true;
  call_error(c, 413, "the content has %zu bytes, %s is %llu", len,
             len > most ? "max_job_size" : bound, (unsigned long long)(len > most ? most : there));
  return false;
}

static bool members_known(struct call *c, json_t *body) {
  const char *key;
  json_t *v;
  json_object_foreach(body, key, v) {
    if (!strcmp(key, "content") || !strcmp(key, "encoding")) continue;
    call_error(c, 400, "\"%.60s\" is not known here", key);
    return false;
  }
  return true;
}

static void replay_begin(struct call *c, struct topic *t, uint64_t id, uint64_t copy,
                         const struct buf *content) {
  struct edited *x = malloc(sizeof *x);
  if (!x) out_of_memory();
  *x = (struct edited){c, id, copy};
  call_wait(c, ADMIN_WAIT_MS);
  if (copy)
    store_replay_edited(t->store, STORE_SET_BOTH, id, copy, content->data, content->len,
                        on_replayed, x);
  else
    store_replay(t->store, STORE_SET_BOTH, id, on_replayed, x);
}

void admin_post_failed_one(struct call *c) {
  struct topic *t = call_stored_topic(c);
  struct buf content = {0};
  uint64_t id, copy = 0;
  if (!t || !failed_id(c, c->args[2], &id)) return;
  json_t *body = call_body_json(c);
  bool good = body && members_known(c, body);
  if (good && json_object_size(body)) {
    good = content_read(c, body, &content) && content_fits(c, t, content.len);
    if (good && !(copy = intake_new_id(c->view->intake))) {
      call_error(c, 503, "nothing was done: no storage has told this node which ids are new");
      good = false;
    }
  }
  if (good) replay_begin(c, t, id, copy, &content);
  json_decref(body);
  buf_free(&content);
}
