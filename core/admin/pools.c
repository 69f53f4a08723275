/* Owns how pools are shown: their slots, circuit, topics, and the figures that their transport
 * reports. */
#include "admin/private.h"

#include "transport/transport.h"

#include <stdlib.h>
#include <string.h>

#define POOLS_MAX       1024
#define POOL_TOPICS_MAX 500 /* that are told of one pool */

/* *hint: the pool that was found last. Pools are asked for nearly in this order, and there may be
 * thousands. */
static void set_pool_figures(json_t *o, struct transports *tr, const char *name,
                             struct pool_run **hint) {
  struct pool_run *p = *hint;
  while ((p = transports_pool(tr, p)) && strcmp(pool_run_name(p), name)) {
  }
  if (!p && *hint)
    while ((p = transports_pool(tr, p)) && strcmp(pool_run_name(p), name)) {
    }
  if (!p) return;
  *hint = p;
  char text[512];
  int health = pool_run_health(p, text, sizeof text);
  plugin_set_health(o, health, text);
  json_object_set_new(
      o, "figures", plugin_figures_json(pool_run_transport(p), PB_SCOPE_POOL, pool_run_figures(p)));
}

struct pool_status *pools_list(const struct admin_view *v, size_t *ret_n) {
  struct pool_status *p = calloc(POOLS_MAX, sizeof *p);
  *ret_n = p ? dispatcher_pools(v->dispatcher, p, POOLS_MAX) : 0;
  return p;
}

static json_t *pool_json(const struct admin_view *v, const struct pool_status *p,
                         struct pool_run **hint) {
  json_t *o = json_object();
  json_object_set_new(o, "name", json_cstr(p->name));
  json_object_set_new(o, "run_type", json_cstr(p->run_type));
  json_object_set_new(o, "concurrency", json_string(p->automatic ? "auto" : "fixed"));
  json_object_set_new(o, "reserve", json_u64(p->reserve));
  json_object_set_new(o, "max", json_u64(p->max));
  json_object_set_new(o, "limit", json_u64(p->limit));
  json_object_set_new(o, "busy", json_u64(p->busy));
  json_object_set_new(o, "waiting_topics", json_u64(p->waiting_topics));
  set_pool_figures(o, dispatcher_transports(v->dispatcher), p->name, hint);
  return o;
}

/* Does a topic use the pool that the one who asks may see? */
static bool sees_pool(const struct call *c, const char *pool) {
  size_t n;
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  if (call_sees(c, "")) return true;
  for (size_t i = 0; i < n; i++) {
    const struct topic_settings *set = topics[i]->set;
    if (!strcmp(set->pool ? set->pool->name : set->path, pool) &&
        call_sees_queue(c, set->queue->name))
      return true;
  }
  return false;
}

json_t *pools_json(const struct call *c) {
  size_t n;
  json_t *list = json_array();
  struct pool_status *p = pools_list(c->view, &n);
  struct pool_run *hint = NULL;
  for (size_t i = 0; i < n; i++)
    if (sees_pool(c, p[i].name)) json_array_append_new(list, pool_json(c->view, &p[i], &hint));
  free(p);
  return list;
}

static json_t *known_json(int32_t n) {
  return n < 0 ? json_null() : json_integer(n);
}

static void pool_topic_add(json_t *list, const struct topic *t) {
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(t->set->path));
  json_object_set_new(o, "requests", json_u64(t->requests.running));
  json_object_set_new(o, "waits", json_boolean(t->at_pool.line_prev));
  json_array_append_new(list, o);
}

static bool uses_pool(const struct call *c, const struct topic *t, const char *pool) {
  return t->set->pool && !strcmp(t->set->pool->name, pool) && call_sees_queue(c, t->queue->name);
}

static bool topic_works(const struct topic *t) {
  return t->requests.running || t->at_pool.line_prev;
}

/* Of very many topics, those that work or wait come first: rows of 10,000 took a turn of 33 ms. */
static void pool_set_topics(json_t *o, const struct call *c, const char *pool) {
  const struct admin_view *v = c->view;
  size_t n, all = 0, rows = 0;
  json_t *list = json_array();
  struct topic *const *topics = registry_topics(v->registry, &n);
  const struct topic *own = registry_topic(v->registry, pool, strlen(pool));
  if (own && !own->set->pool) {
    all = 1;
    pool_topic_add(list, own);
  } else {
    for (size_t i = 0; i < n; i++) all += uses_pool(c, topics[i], pool);
    for (int idle = 0; idle < 2; idle++)
      for (size_t i = 0; i < n && rows < POOL_TOPICS_MAX; i++)
        if ((all <= POOL_TOPICS_MAX ? !idle : topic_works(topics[i]) != idle) &&
            uses_pool(c, topics[i], pool)) {
          pool_topic_add(list, topics[i]);
          rows++;
        }
  }
  json_object_set_new(o, "topics", list);
  json_object_set_new(o, "topics_all", json_u64(all));
}

static void set_pool_options(json_t *o, const struct admin_view *v, const char *pool) {
  const struct settings *s = registry_settings(v->registry);
  const struct pool_settings *p = NULL;
  for (size_t i = 0; s && i < s->n_pools; i++)
    if (!strcmp(s->pools[i]->name, pool) && s->pools[i]->transport) p = s->pools[i];
  options_set_json(o, "options", p ? p->transport->pool_options : NULL,
                   p ? p->transport->option_size : 0, p ? p->conf : NULL);
}

void admin_get_pools(struct call *c) {
  size_t n;
  json_t *list = json_array(), *o = json_object();
  struct pool_status *p = pools_list(c->view, &n);
  struct pool_run *hint = NULL;
  for (size_t i = 0; i < n; i++) {
    if (!sees_pool(c, p[i].name)) continue;
    json_t *one = pool_json(c->view, &p[i], &hint), *circuit = json_object(),
           *workers = json_object();
    json_object_set_new(circuit, "open", json_boolean(p[i].open));
    json_object_set_new(circuit, "why", json_cstr(p[i].why));
    json_object_set_new(circuit, "probes", json_u64(p[i].probes));
    json_object_set_new(circuit, "resting", json_boolean(p[i].resting));
    json_object_set_new(one, "circuit", circuit);
    json_object_set_new(workers, "total", known_json(p[i].load.workers));
    json_object_set_new(workers, "idle", known_json(p[i].load.idle));
    json_object_set_new(workers, "queued", known_json(p[i].load.queued));
    json_object_set_new(workers, "age_ms", json_u64(p[i].load_age_ms));
    json_object_set_new(one, "workers", workers);
    pool_set_topics(one, c, p[i].name);
    set_pool_options(one, c->view, p[i].name);
    json_array_append_new(list, one);
  }
  free(p);
  json_object_set_new(o, "pools", list);
  call_json(c, 200, o);
}
