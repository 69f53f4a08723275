/* Owns the snapshot. A snapshot is only read once it is built, and freed with its last reference.
 * load.c makes a snapshot from files, print.c makes text from a snapshot.
 */
#include "config/settings.h"

#include "config/private.h"

#include <string.h>

const struct queue_settings *settings_queue(const struct settings *s, const char *name,
                                            size_t len) {
  return len <= NAME_LEN_MAX ? name_index_get(&s->priv->queues, name, len) : NULL;
}

const struct topic_settings *settings_topic(const struct settings *s, const char *path,
                                            size_t len) {
  return len <= 2 * NAME_LEN_MAX + 1 ? name_index_get(&s->priv->topics, path, len) : NULL;
}

void settings_each_section(const struct settings *s, settings_section_fn fn, void *arg) {
#define EACH(kind, member, named)                                                                  \
  for (size_t i = 0; i < s->n_##member; i++)                                                       \
  fn(arg, kind, s->member[i]->named, s->member[i]->place, s->member[i]->shared)
  EACH("system", systems, name);
  EACH("node", nodes, name);
  EACH("storage", storages, name);
  EACH("pool", pools, name);
  EACH("queue", queues, name);
  EACH("topic", topics, path);
  EACH("alert", alerts, name);
  EACH("user", users, name);
#undef EACH
}

/* References. */

struct settings *settings_ref(struct settings *s) {
  s->refs++;
  return s;
}

void settings_unref(struct settings *s) {
  if (!s || --s->refs) return;
  arena_free(s->priv->arena);
}

/* Comparing: the part of each struct that the table fills, then the references. */

static bool why_same(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Not titles and comments: nothing that runs is restarted for them. */
static bool kind_equal(enum kind_id id, const void *a, const void *b) {
  const struct kind *k = kind_get(id);
  for (const struct pb_option *o = NULL; (o = option_next(k->options, o));)
    if (o->offset < k->public_size && !((const struct core_option *)(const void *)o)->people_only &&
        !option_equal(o, a, b))
      return false;
  return true;
}

static bool system_same(const struct system_settings *a, const struct system_settings *b) {
  return a && b ? strcmp(a->name, b->name) == 0 : a == b;
}

static bool conf_equal(const struct pb_transport *t, enum kind_id id, const void *a,
                       const void *b) {
  if (!a || !b) return a == b;
  return options_equal(transport_options(t, id), a, b, SIZE_MAX);
}

bool settings_storage_equal(const struct storage_settings *a, const struct storage_settings *b) {
  return a == b || (strcmp(a->name, b->name) == 0 && kind_equal(STORAGE, a, b) &&
                    why_same(a->broken, b->broken) && system_same(a->system, b->system));
}

bool settings_pool_equal(const struct pool_settings *a, const struct pool_settings *b) {
  if (a == b) return true;
  return a && b && strcmp(a->name, b->name) == 0 && kind_equal(POOL, a, b) &&
         why_same(a->broken, b->broken) && a->transport == b->transport &&
         conf_equal(a->transport, POOL, a->conf, b->conf);
}

/* The password is left out: AUTH looks it up in the current snapshot, and nothing that runs depends
 * on it. */
static bool topic_values_equal(const struct topic_settings *a, const struct topic_settings *b) {
  struct options t = kind_get(TOPIC)->options;
  for (const struct pb_option *o = NULL; (o = option_next(t, o));)
    if (o->offset < sizeof *a && !(o->flags & PB_OPT_SECRET) && !option_equal(o, a, b))
      return false;
  return a->here == b->here && why_same(a->not_here, b->not_here) && why_same(a->broken, b->broken);
}

struct pb_topic_info settings_topic_info(const struct topic_settings *t) {
  return (struct pb_topic_info){.size = sizeof(struct pb_topic_info),
                                .queue = t->queue->name,
                                .topic = t->name,
                                .workers = (uint32_t)t->workers,
                                .chunk = (uint32_t)t->chunk,
                                .timeout_ms = t->timeout_ms,
                                .listen = t->listen};
}

static bool texts_equal(const char *const *a, const char *const *b) {
  for (; *a && *b; a++, b++)
    if (strcmp(*a, *b)) return false;
  return *a == *b;
}

bool settings_worker_equal(const struct topic_settings *a, const struct topic_settings *b) {
  bool pulls = a->transport && a->transport->caps & PB_CAP_PULL;
  return a->transport == b->transport && strcmp(a->signing_key, b->signing_key) == 0 &&
         a->signing_version == b->signing_version &&
         (!pulls || texts_equal(a->listen, b->listen)) &&
         conf_equal(a->transport, TOPIC, a->conf, b->conf) &&
         conf_equal(a->transport, POOL, a->pool_conf, b->pool_conf);
}

bool settings_topic_equal(const struct topic_settings *a, const struct topic_settings *b) {
  return a == b ||
         (strcmp(a->path, b->path) == 0 && topic_values_equal(a, b) &&
          settings_storage_equal(a->storage, b->storage) && settings_pool_equal(a->pool, b->pool) &&
          a->queue->retain_ms == b->queue->retain_ms &&
          system_same(a->queue->system, b->queue->system) && settings_worker_equal(a, b));
}
