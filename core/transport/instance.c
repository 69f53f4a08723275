/* Owns the lifetimes of plugins' objects: a topic's instance, the pool it is in, the plugin of
 * both.
 *
 * Must never happen: a call into an instance after its destroy().
 */
#include "transport/private.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- plugins and pools --- */

static struct plugin_run *plugin_get(struct transports *tr, const struct pb_transport *desc,
                                     struct pb_err *err) {
  for (struct plugin_run *p = tr->plugins; p; p = p->next)
    if (p->desc == desc) return p;
  struct plugin_run *p = calloc(1, sizeof *p);
  if (!p) {
    snprintf(err->text, sizeof err->text, "out of memory");
    return NULL;
  }
  p->desc = desc;
  p->owner.tr = tr;
  p->owner.desc = desc;
  snprintf(p->owner.label, sizeof p->owner.label, "transport %s", desc->name);
  int rc = desc->load ? desc->load(&tr->host, &p->owner, &p->plugin, err) : 0;
  if (rc) {
    free(p);
    return NULL;
  }
  p->next = tr->plugins;
  tr->plugins = p;
  return p;
}

void plugins_unload(struct transports *tr) {
  while (tr->plugins) {
    struct plugin_run *p = tr->plugins;
    tr->plugins = p->next;
    if (p->desc->unload) p->desc->unload(p->plugin);
    free(p);
  }
}

/* From now on `p` is the pool that is reported under its name. */
static void pool_replaces(struct transports *tr, struct pool_run *p) {
  for (struct pool_run *q = tr->pools; q; q = q->next)
    if (!strcmp(q->name, p->name)) q->replaced = q != p;
}

static struct pool_run *pool_get(struct transports *tr, struct settings *snapshot,
                                 const struct topic_settings *t, struct pb_err *err) {
  struct plugin_run *plugin = plugin_get(tr, t->transport, err);
  if (!plugin) return NULL;
  if (t->pool)
    for (struct pool_run *p = tr->pools; p; p = p->next)
      if (p->set && !strcmp(p->set->name, t->pool->name) && settings_pool_equal(p->set, t->pool)) {
        pool_replaces(tr, p); /* after a reload back to it */
        return p;
      }
  struct pool_run *p = calloc(1, sizeof *p);
  if (!p || !owner_init(&p->owner, tr, plugin->desc)) {
    free(p);
    snprintf(err->text, sizeof err->text, "out of memory");
    return NULL;
  }
  p->owner.pool = p;
  p->plugin = plugin;
  p->set = t->pool;
  p->snapshot = settings_ref(snapshot);
  p->name = t->pool ? t->pool->name : t->path;
  snprintf(p->owner.label, sizeof p->owner.label, t->pool ? "pool %s" : "%s", p->name);
  const void *conf = t->pool_conf;
  p->pool = plugin->plugin; /* where there is no pool_open(): how else would create() get at it? */
  int rc = plugin->desc->pool_open
               ? plugin->desc->pool_open(plugin->plugin, &p->owner, conf, &p->pool, err)
               : 0;
  if (rc) {
    settings_unref(p->snapshot);
    free(p->owner.figures);
    free(p);
    return NULL;
  }
  p->next = tr->pools;
  tr->pools = p;
  pool_replaces(tr, p);
  return p;
}

static void pool_release(struct pool_run *p) {
  struct transports *tr = p->owner.tr;
  if (--p->instances) return;
  for (struct pool_run **at = &tr->pools; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  if (p->plugin->desc->pool_close) p->plugin->desc->pool_close(p->pool);
  settings_unref(p->snapshot);
  free(p->owner.figures);
  loop_free_later(tr->loop, p);
}

/* --- instances --- */

struct instance *instance_open(struct transports *tr, struct settings *snapshot,
                               const struct topic_settings *t, void (*ready)(void *arg), void *arg,
                               struct pb_err *err) {
  struct pool_run *pool = pool_get(tr, snapshot, t, err);
  struct instance *in = pool ? calloc(1, sizeof *in) : NULL;
  if (pool) pool->instances++;
  if (!in || !owner_init(&in->owner, tr, t->transport)) {
    free(in);
    if (pool) {
      snprintf(err->text, sizeof err->text, "out of memory");
      pool_release(pool);
    }
    return NULL;
  }
  in->tr = tr;
  in->pool = pool;
  in->snapshot = settings_ref(snapshot);
  in->set = t;
  in->ready = ready;
  in->arg = arg;
  in->gone = instance_destroy;
  in->owner.inst = in;
  snprintf(in->owner.label, sizeof in->owner.label, "%s", t->path);
  in->info = settings_topic_info(t);
  int rc = t->transport->create(pool->pool, &in->owner, &in->info, t->conf, &in->inst, err);
  if (rc) {
    settings_unref(in->snapshot);
    free(in->owner.figures);
    free(in);
    pool_release(pool);
    return NULL;
  }
  return in;
}

void instance_tell_ready(void *arg) {
  struct instance *in = arg;
  if (!in->closing) in->ready(in->arg);
}

void instance_destroy(void *arg) {
  struct instance *in = arg;
  struct transports *tr = in->tr;
  *in->prev_closing = in->next_closing;
  if (in->next_closing) in->next_closing->prev_closing = in->prev_closing;
  timer_done(&in->patience);
  deferred_cancel(tr->loop, &in->destroy);
  deferred_cancel(tr->loop, &in->tell_ready);
  in->pool->plugin->desc->destroy(in->inst);
  tickets_lose(tr, in);
  if (tr->done) tickets_deliver(tr); /* while the tickets' instance is still there */
  deferred_cancel(tr->loop, &in->destroy);
  pool_release(in->pool);
  settings_unref(in->snapshot);
  free(in->owner.figures);
  loop_free_later(tr->loop, in);
  if (tr->on_ended) tr->on_ended(tr->on_ended_arg);
}

static void patience_over(void *arg) {
  struct instance *in = arg;
  if (in->tickets)
    log_warning(
        loop_log(in->tr->loop), in->owner.label,
        "requests that still run after their deadline: %u; closing the transport all the same",
        in->tickets);
  loop_defer(in->tr->loop, &in->destroy, instance_destroy, in);
}

void instance_close(struct instance *in, uint64_t patience_ms) {
  if (!in || in->closing) return;
  in->closing = true;
  in->next_closing = in->tr->closing;
  in->prev_closing = &in->tr->closing;
  if (in->next_closing) in->next_closing->prev_closing = &in->next_closing;
  in->tr->closing = in;
  timer_init(&in->patience, in->tr->loop, patience_over, in);
  timer_start(&in->patience, patience_ms);
  in->pool->plugin->desc->drain(in->inst);
}

/* --- looking --- */

static int health(int (*fn)(void *of, char *ret, size_t size), void *of, struct pb_owner *o,
                  char *ret, size_t size) {
  *ret = 0;
  if (!fn) return PB_HEALTH_OK;
  uint64_t begin = call_begin();
  int state = fn(of, ret, size);
  call_end(o, begin, "health()");
  ret[size - 1] = 0;
  return state == PB_HEALTH_DEGRADED || state == PB_HEALTH_DOWN ? state : PB_HEALTH_OK;
}

int instance_health(struct instance *in, char *ret, size_t size) {
  return health(in->pool->plugin->desc->health, in->inst, &in->owner, ret, size);
}

const struct pb_transport *instance_transport(const struct instance *in) {
  return in->owner.desc;
}
const double *instance_figures(const struct instance *in) {
  return in->owner.figures;
}

struct pool_run *transports_pool(struct transports *tr, struct pool_run *after) {
  struct pool_run *p = after ? after->next : tr->pools;
  while (p && p->replaced) p = p->next;
  return p;
}

const char *pool_run_name(const struct pool_run *p) {
  return p->name;
}
const struct pb_transport *pool_run_transport(const struct pool_run *p) {
  return p->plugin->desc;
}
const double *pool_run_figures(const struct pool_run *p) {
  return p->owner.figures;
}

int pool_run_health(struct pool_run *p, char *ret, size_t size) {
  return health(p->plugin->desc->pool_health, p->pool, &p->owner, ret, size);
}
