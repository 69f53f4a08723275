/* Owns the part of the admin port that handles acts: begins an act (replay or purge of many jobs),
 * shows it, cancels it, undoes it.
 *
 * Must never happen: one request that begins two acts; an answer "done" for an act that is still
 * running.
 */
#include "admin/failed_filter.h"
#include "admin/private.h"

#include "acts/act.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS  2000 /* an act that ends within this answers as if it were none */
#define LIST_DEFAULT 100
#define LIST_MAX     1000

static json_t *act_json(const struct store_act *a, const char *storage) {
  json_t *o = json_object(), *filter = a->filtered ? filter_json(&a->filter) : json_object();
  char topic[2 * NAME_LEN_MAX + 2];
  snprintf(topic, sizeof topic, "%s/%s", a->queue, a->topic);
  json_object_set_new(o, "id", json_cstr(a->id));
  json_object_set_new(o, "kind", json_string(store_act_kinds[a->kind]));
  json_object_set_new(o, "topic", json_cstr(topic));
  json_object_set_new(o, "storage", json_cstr(storage));
  if (a->kind == STORE_ACT_MOVE) {
    json_object_set_new(o, "from", json_cstr(a->from));
    json_object_set_new(o, "to", json_cstr(a->to));
  } else {
    if (!a->filtered) json_object_set_new(filter, "set", json_string(filter_set_name(a->set)));
    json_object_set_new(filter, "count", a->count ? json_u64(a->count) : json_null());
  }
  json_object_set_new(o, "filter", filter);
  json_object_set_new(o, "rate", a->rate ? json_u64(a->rate) : json_null());
  json_object_set_new(o, "now", json_boolean(a->now));
  json_object_set_new(o, "undo_until_ms", a->undo_ms ? json_u64(a->undo_ms) : json_null());
  json_object_set_new(o, "undone_by", *a->undone_by ? json_cstr(a->undone_by) : json_null());
  if (a->kind == STORE_ACT_UNDO) {
    json_object_set_new(o, "undoes", json_cstr(a->undoes));
    json_object_set_new(o, "left", json_u64(a->left));
  }
  json_object_set_new(o, "state", json_string(store_act_states[a->state]));
  json_object_set_new(o, "done", json_u64(a->done));
  json_object_set_new(o, "of", json_u64(a->of));
  json_object_set_new(o, "owner", json_cstr(a->owner));
  json_object_set_new(o, "by", json_cstr(a->by));
  json_object_set_new(o, "started_ms", json_u64(a->started_ms));
  json_object_set_new(o, "changed_ms", json_u64(a->changed_ms));
  json_object_set_new(o, "ended_ms", a->ended_ms ? json_u64(a->ended_ms) : json_null());
  json_object_set_new(o, "result", json_cstr(a->result));
  json_object_set_new(
      o, "note", json_cstr(a->cancel && !*a->note && !a->state ? "ends soon: cancelled" : a->note));
  return o;
}

/* --- beginning --- */

struct begun {
  struct call *c;
  char storage[NAME_LEN_MAX + 1];
};

static void on_begun(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  static const char *const members[] = {"replayed", "purged", "moved", "undone"};
  struct begun *begun = arg;
  struct call *c = begun->c;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc == STORE_FULL) {
    call_error(c, 409, "%s", why);
  } else if (rc) {
    call_store_error(c, rc, why);
  } else if (a->state == STORE_ACT_FAILED) {
    call_error(c, 409, "act %s failed: %s", a->id, a->result);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    if (a->state != STORE_ACT_RUNNING) json_object_set_new(o, members[a->kind], json_u64(a->done));
    json_object_set_new(o, "act", act_json(a, begun->storage));
    call_json(c, a->state == STORE_ACT_RUNNING ? 202 : 200, o);
  }
  free(begun);
  call_unref(c);
}

void admin_act_begin(struct call *c, struct store *s, struct store_act *a) {
  struct begun *begun = malloc(sizeof *begun);
  if (!begun) {
    call_error(c, 500, "out of memory");
    return;
  }
  begun->c = c;
  snprintf(begun->storage, sizeof begun->storage, "%s", store_name(s));
  call_by(c, a->by, sizeof a->by);
  call_wait(c, ADMIN_WAIT_MS);
  acts_start(c->view->acts, s, a, PATIENCE_MS, on_begun, begun);
}

/* --- showing: every storage is asked --- */

struct asked {
  struct call *c;
  char storage[NAME_LEN_MAX + 1];
};

typedef void (*ask_fn)(struct call *c, struct store *s, struct asked *arg);

static void ask_all(struct call *c, ask_fn fn, void (*end)(struct call *c)) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) {
    struct asked *asked = malloc(sizeof *asked);
    if (!asked) continue;
    asked->c = c;
    snprintf(asked->storage, sizeof asked->storage, "%s", store_name(stores[i]));
    c->pending++;
    call_wait(c, ADMIN_WAIT_MS);
    fn(c, stores[i], asked);
  }
  end(c);
}

static void asked_end(struct asked *asked, enum store_rc rc, const char *why,
                      void (*end)(struct call *c)) {
  struct call *c = asked->c;
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s: %.100s", asked->storage, why);
  }
  free(asked);
  c->pending--;
  end(c);
  call_unref(c);
}

static int newest_first(const void *a, const void *b) {
  json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "started_ms"));
  json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "started_ms"));
  return x < y ? 1 : x > y ? -1 : 0;
}

static void list_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  size_t n = json_array_size(c->acc), limit = c->next_item;
  json_t **all = calloc(n + 1, sizeof(json_t *)), *list = json_array(), *o = json_object();
  for (size_t i = 0; all && i < n; i++) all[i] = json_array_get(c->acc, i);
  if (all) qsort(all, n, sizeof(json_t *), newest_first);
  for (size_t i = 0; all && i < n && i < limit; i++) json_array_append(list, all[i]);
  free(all);
  json_object_set_new(o, "acts", list);
  json_object_set_new(o, "total", json_u64(c->count));
  json_object_set_new(o, "exact", json_boolean(!*c->why));
  if (*c->why) json_object_set_new(o, "error", json_cstr(c->why));
  call_json(c, 200, o);
}

static void on_list(void *arg, enum store_rc rc, const struct store_act *a, size_t n,
                    uint64_t total, const char *why) {
  struct asked *asked = arg;
  bool whole = call_sees(asked->c, "");
  size_t seen = 0;
  for (size_t i = 0; i < n && !call_answered(asked->c); i++) {
    if (!whole && !call_sees_queue(asked->c, a[i].queue)) continue;
    json_array_append_new(asked->c->acc, act_json(&a[i], asked->storage));
    seen++;
  }
  asked->c->count += whole ? total : seen;
  asked_end(asked, rc, why, list_end);
}

static void list_ask(struct call *c, struct store *s, struct asked *asked) {
  store_act_list(s, 0, c->next_item, on_list, asked);
}

void admin_get_acts(struct call *c) {
  uint64_t limit;
  if (!call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &limit)) return;
  c->acc = json_array();
  c->next_item = limit;
  ask_all(c, list_ask, list_end);
}

static void show_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  if (json_array_size(c->acc))
    call_json(c, 200, json_incref(json_array_get(c->acc, 0)));
  else if (*c->why)
    call_error(c, c->status, "%s", c->why);
  else
    call_error(c, 404, "there is no act \"%.60s\"; acts are kept for 7 days", c->args[0]);
}

static void on_shown(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  struct asked *asked = arg;
  if (a && !call_answered(asked->c) && call_sees_queue(asked->c, a->queue))
    json_array_append_new(asked->c->acc, act_json(a, asked->storage));
  asked_end(asked, rc, why, show_end);
}

static void show_ask(struct call *c, struct store *s, struct asked *asked) {
  store_act_find(s, c->args[0], on_shown, asked);
}

/* False: answered. */
static bool id_is_good(struct call *c) {
  size_t len = strlen(c->args[0]);
  if (len < STORE_ACT_ID_MAX && strspn(c->args[0], "0123456789abcdef-") == len) return true;
  call_error(c, 404, "there is no act \"%.60s\"; acts are kept for 7 days", c->args[0]);
  return false;
}

void admin_get_act(struct call *c) {
  if (!id_is_good(c)) return;
  c->acc = json_array();
  ask_all(c, show_ask, show_end);
}

/* --- cancelling --- */

static void cancel_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  if (c->count == 2) {
    call_error(c, 409, "act %s has ended", c->args[0]);
  } else if (c->count) {
    json_t *o = json_object();
    json_object_set_new(o, "id", json_cstr(c->args[0]));
    json_object_set_new(o, "cancelled", json_true());
    call_json(c, 200, o);
  } else {
    show_end(c);
  }
}

static void on_cancelled(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct asked *asked = arg;
  if (count) asked->c->count = count;
  asked_end(asked, rc, why, cancel_end);
}

static void cancel_ask(struct call *c, struct store *s, struct asked *asked) {
  char by[STORE_ACT_TEXT_MAX];
  call_by(c, by, sizeof by);
  store_act_cancel(s, c->args[0], by, on_cancelled, asked);
}

static void cancel(struct call *c) {
  char by[STORE_ACT_TEXT_MAX];
  call_by(c, by, sizeof by);
  ask_all(c, cancel_ask, cancel_end);
  acts_cancelled(c->view->acts, c->args[0], by);
}

/* Found: does it belong to a system of the one who asks? */
static void found_end(struct call *c) {
  json_t *act = json_array_get(c->acc, 0);
  if (c->pending || call_answered(c)) return;
  if (!act) {
    show_end(c);
    return;
  }
  char queue[NAME_LEN_MAX + 1];
  const char *topic = json_string_value(json_object_get(act, "topic"));
  snprintf(queue, sizeof queue, "%.*s", (int)strcspn(topic, "/"), topic);
  if (!call_may(c, RIGHT_OPERATE, admin_system_of(c->view, queue))) return;
  *c->why = 0;
  cancel(c);
}

static void on_found(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  struct asked *asked = arg;
  if (a && !call_answered(asked->c) && call_sees_queue(asked->c, a->queue))
    json_array_append_new(asked->c->acc, act_json(a, asked->storage));
  asked_end(asked, rc, why, found_end);
}

static void found_ask(struct call *c, struct store *s, struct asked *asked) {
  store_act_find(s, c->args[0], on_found, asked);
}

void admin_post_act_cancel(struct call *c) {
  if (!id_is_good(c)) return;
  c->acc = json_array();
  if (identity_may(c->identity, RIGHT_OPERATE, ""))
    cancel(c);
  else
    ask_all(c, found_ask, found_end);
}

/* --- undoing --- */

static struct store *store_named(struct call *c, const char *name) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(store_name(stores[i]), name)) return stores[i];
  return NULL;
}

/* Found: does it belong to a system of the one who asks? Then its undoing is an act as well. */
static void undo_end(struct call *c) {
  json_t *act = json_array_get(c->acc, 0);
  if (c->pending || call_answered(c)) return;
  if (!act) {
    show_end(c);
    return;
  }
  struct store_act a = {.kind = STORE_ACT_UNDO};
  const char *topic = json_string_value(json_object_get(act, "topic"));
  size_t len = strcspn(topic, "/");
  snprintf(c->path, sizeof c->path, "%s", topic);
  snprintf(a.queue, sizeof a.queue, "%.*s", (int)len, topic);
  snprintf(a.topic, sizeof a.topic, "%s", topic + len + (topic[len] == '/'));
  snprintf(a.undoes, sizeof a.undoes, "%s", c->args[0]);
  if (!call_may(c, RIGHT_OPERATE, admin_system_of(c->view, a.queue))) return;
  struct store *s = store_named(c, json_string_value(json_object_get(act, "storage")));
  if (s)
    admin_act_begin(c, s, &a);
  else
    call_error(c, 503, "the storage of act %s is not there any more", c->args[0]);
}

static void on_undo_found(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  struct asked *asked = arg;
  if (a && !call_answered(asked->c) && call_sees_queue(asked->c, a->queue))
    json_array_append_new(asked->c->acc, act_json(a, asked->storage));
  asked_end(asked, rc, why, undo_end);
}

static void undo_ask(struct call *c, struct store *s, struct asked *asked) {
  store_act_find(s, c->args[0], on_undo_found, asked);
}

void admin_post_act_undo(struct call *c) {
  if (!id_is_good(c)) return;
  c->acc = json_array();
  ask_all(c, undo_ask, undo_end);
}
