/* Owns moves: the jobs that a topic left in another storage, or under another name, go to its
 * present place. */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>

struct moving {
  struct call *c;
  struct store_act act; /* its `from` once one is found */
  char want[NAME_LEN_MAX + 1], target[NAME_LEN_MAX + 1];
  size_t pending, found;
  enum store_rc rc;
  char why[256];
};

struct moving_ask {
  struct moving *m;
  char storage[NAME_LEN_MAX + 1];
};

static void moving_begin(struct moving *m) {
  struct call *c = m->c;
  size_t n;
  struct store *to = NULL, *const *stores = registry_stores(c->view->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(store_name(stores[i]), m->target)) to = stores[i];
  if (m->rc)
    call_store_error(c, m->rc, m->why);
  else if (!m->found)
    call_error(c, 404, "%s%s has nothing of %s/%s that could be moved",
               *m->want ? "storage " : "no storage", m->want, m->act.queue, m->act.topic);
  else if (m->found > 1)
    call_error(c, 409, "several storages have something of %s/%s: name one with \"from\"",
               m->act.queue, m->act.topic);
  else if (!to)
    call_error(c, 503, "storage %s is no longer configured", m->target);
  else
    admin_act_begin(c, to, &m->act);
}

static void moving_unref(struct moving *m) {
  struct call *c = m->c;
  if (--m->pending) return;
  if (!call_answered(c)) moving_begin(m);
  free(m);
  call_unref(c);
}

static void on_holds(void *arg, enum store_rc rc, const struct store_holds *h, const char *why) {
  struct moving_ask *ask = arg;
  struct moving *m = ask->m;
  if (rc) {
    m->rc = rc;
    snprintf(m->why, sizeof m->why, "storage %s: %.100s", ask->storage, why);
  } else if (h->there) {
    m->found++;
    m->act.of = h->ready + h->running + h->retry + h->dead;
    snprintf(m->act.from, sizeof m->act.from, "%s", ask->storage);
  }
  free(ask);
  moving_unref(m);
}

/* The body: "from" (a storage), "topic" (the queue/topic that it was called). False: answered. */
static bool moving_read(struct call *c, const struct topic *t, json_t *body, struct moving *m) {
  const char *key, *text, *slash, *old = t->set->path;
  json_t *value;
  json_object_foreach(body, key, value) {
    text = json_string_value(value);
    if (!strcmp(key, "from") && text && strlen(text) <= NAME_LEN_MAX) {
      snprintf(m->want, sizeof m->want, "%s", text);
    } else if (!strcmp(key, "to") && text && !strcmp(text, m->target)) {
      continue;
    } else if (!strcmp(key, "to") && text) {
      call_error(
          c, 409,
          "%s is configured for storage %s, not for %.128s: change its `storage` and reload first",
          t->set->path, m->target, text);
      return false;
    } else if (!strcmp(key, "topic") && text && (slash = strchr(text, '/')) && slash != text &&
               slash[1] && !strchr(slash + 1, '/') && strlen(slash + 1) <= NAME_LEN_MAX &&
               slash - text <= NAME_LEN_MAX) {
      old = text;
    } else {
      call_error(c, 400, "\"%.60s\" is not known here, or its value is wrong", key);
      return false;
    }
  }
  size_t len = strcspn(old, "/");
  snprintf(m->act.queue, sizeof m->act.queue, "%.*s", (int)len, old);
  snprintf(m->act.topic, sizeof m->act.topic, "%s", old + len + 1);
  snprintf(m->act.to, sizeof m->act.to, "%s", t->set->path);
  return true;
}

/* A storage that the old name is still configured for is none to carry away from. */
static bool moving_may(const struct moving *m, const struct settings *s, const char *storage) {
  char path[2 * NAME_LEN_MAX + 2];
  snprintf(path, sizeof path, "%s/%s", m->act.queue, m->act.topic);
  const struct topic_settings *t = settings_topic(s, path, strlen(path));
  if (*m->want && strcmp(m->want, storage)) return false;
  return !t || strcmp(t->storage->name, storage) != 0;
}

void admin_post_move(struct call *c) {
  size_t n;
  struct topic *t = call_stored_topic(c);
  json_t *body = t ? call_body_json(c) : NULL;
  struct moving *m = body ? calloc(1, sizeof *m) : NULL;
  if (!m) {
    json_decref(body);
    return;
  }
  m->c = c;
  m->act = (struct store_act){.kind = STORE_ACT_MOVE, .set = STORE_SET_BOTH};
  snprintf(m->target, sizeof m->target, "%s", t->set->storage->name);
  bool good = moving_read(c, t, body, m);
  json_decref(body);
  if (!good) {
    free(m);
    return;
  }
  m->pending = 1;
  call_wait(c, ADMIN_WAIT_MS);
  struct store *const *stores = registry_stores(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) {
    if (!moving_may(m, c->view->settings, store_name(stores[i]))) continue;
    struct moving_ask *ask = malloc(sizeof *ask);
    if (!ask) continue;
    ask->m = m;
    snprintf(ask->storage, sizeof ask->storage, "%s", store_name(stores[i]));
    m->pending++;
    store_holds(stores[i], m->act.queue, m->act.topic, on_holds, ask);
  }
  moving_unref(m);
}
