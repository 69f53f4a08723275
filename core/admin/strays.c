/* Owns topics left behind in a storage: showing and dropping them.
 *
 * Must never happen: a configured topic dropped.
 */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>

struct stray_ask {
  struct call *c;
  char storage[NAME_LEN_MAX + 1];
};

/* A question to one storage; call_unref() and c->pending-- end it. */
static struct stray_ask *stray_ask_new(struct call *c, const struct store *s) {
  struct stray_ask *ask = malloc(sizeof *ask);
  if (!ask) return NULL;
  ask->c = c;
  snprintf(ask->storage, sizeof ask->storage, "%s", store_name(s));
  c->pending++;
  call_wait(c, ADMIN_WAIT_MS);
  return ask;
}

static void stray_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  if (*c->why) {
    call_error(c, c->status, "%s", c->why);
    return;
  }
  /* The queue is neither configured nor in a storage: the same answer as for any wrong name. */
  if (!json_array_size(c->acc) && !call_queue(c)) return;
  json_t *o = json_object();
  json_object_set_new(o, "queue", json_cstr(c->args[0]));
  json_object_set(o, "stray", c->acc);
  call_json(c, 200, o);
}

json_t *stray_json(const struct store_stray *s, const char *storage) {
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(s->topic));
  json_object_set_new(o, "storage", json_cstr(storage));
  json_object_set_new(o, "ready", json_u64(s->ready));
  json_object_set_new(o, "running", json_u64(s->running));
  json_object_set_new(o, "retry", json_u64(s->retry));
  json_object_set_new(o, "dead", json_u64(s->dead));
  json_object_set_new(o, "delayed", json_u64(s->delayed));
  return o;
}

/* Is the topic configured for that storage? */
static bool is_configured(const struct admin_view *v, const char *queue, const char *topic,
                          const char *storage) {
  const struct queue_settings *q = settings_queue(v->settings, queue, strlen(queue));
  for (size_t i = 0; q && i < q->n_topics; i++)
    if (!strcmp(q->topics[i]->name, topic))
      return q->topics[i]->storage && !strcmp(q->topics[i]->storage->name, storage);
  return false;
}

static void on_stray(void *arg, enum store_rc rc, const struct store_stray *list, size_t n,
                     const char *why) {
  struct stray_ask *ask = arg;
  struct call *c = ask->c;
  (void)why;
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s did not list its groups", ask->storage);
  }
  for (size_t i = 0; i < n; i++)
    if (!is_configured(c->view, c->args[0], list[i].topic, ask->storage))
      json_array_append_new(c->acc, stray_json(&list[i], ask->storage));
  free(ask);
  c->pending--;
  stray_end(c);
  call_unref(c);
}

/* All storages are asked: a storage that the queue no longer uses may still hold its jobs. */
void admin_get_stray(struct call *c) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  c->acc = json_array();
  for (size_t i = 0; i < n; i++) {
    struct stray_ask *ask = stray_ask_new(c, stores[i]);
    if (ask) store_groups(stores[i], c->args[0], on_stray, ask);
  }
  stray_end(c);
}

static void drop_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  if (*c->why) {
    call_error(c, c->status, "%s", c->why);
  } else if (!c->status) {
    call_error(c, 404, "the storages have nothing of %s", c->path);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, "dropped", json_u64(c->count));
    call_json(c, 200, o);
  }
}

static void on_dropped(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct stray_ask *ask = arg;
  struct call *c = ask->c;
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s: %.100s", ask->storage, why);
  } else if (count != STORE_NOTHING) { /* the group kept whatever came, with or without jobs */
    c->status = 200;
    c->count += count;
    char by[STORE_ACT_TEXT_MAX];
    call_by(c, by, sizeof by);
    log_info(c->view->log, c->path,
             "dropped from storage %s by %s: its group, retries, dead jobs and errors",
             ask->storage, by);
  }
  free(ask);
  c->pending--;
  drop_end(c);
  call_unref(c);
}

static void drop_all(struct call *c, const char *queue, const char *topic) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  const struct queue_settings *q = settings_queue(c->view->settings, queue, strlen(queue));
  for (size_t i = 0; i < n; i++) {
    struct stray_ask *ask = stray_ask_new(c, stores[i]);
    if (ask) store_drop(stores[i], queue, topic, q && q->retain_ms > 0, on_dropped, ask);
  }
  drop_end(c);
}

void admin_post_drop(struct call *c) {
  json_t *body =
      strlen(c->args[0]) > NAME_LEN_MAX || strchr(c->args[0], '/') ? NULL : call_body_json(c);
  const char *queue = c->args[0];
  if (!body) {
    if (!call_answered(c)) call_queue(c);
    return;
  }
  const char *name = json_string_value(json_object_get(body, "topic"));
  if (!name || !*name || strlen(name) > NAME_LEN_MAX || strchr(name, '/')) {
    call_error(c, 400, "name the topic: {\"topic\": \"name without the queue\"}");
    json_decref(body);
    return;
  }
  snprintf(c->path, sizeof c->path, "%s/%s", queue, name);
  const struct topic_settings *t = settings_topic(c->view->settings, c->path, strlen(c->path));
  if (t)
    call_error(c, 409,
               "%s is configured at %s:%u; take it out there and reload before its jobs "
               "are dropped",
               c->path, t->place.file, t->place.line);
  else
    drop_all(c, queue, name);
  json_decref(body);
}
