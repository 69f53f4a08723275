/* Owns the answers of health and of the broker as a whole. */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

const char *const admin_store_states[] = {
    [STORE_CONNECTING] = "connecting",
    [STORE_LOADING] = "loading",
    [STORE_READY] = "ready",
    [STORE_REFUSED] = "refused",
};

/* --- health --- */

void admin_get_health(struct call *c) {
  json_t *o = json_object();
  json_object_set_new(o, "alive", json_true());
  json_object_set_new(o, "version", json_string(PACKAGE_VERSION));
  call_json(c, 200, o);
}

static void add_reason(json_t *list, const char *what, const char *state, const char *why) {
  char text[800];
  snprintf(text, sizeof text, "%s%s%s%s", what, state, *why ? ": " : "", why);
  json_array_append_new(list, json_cstr(text));
}

/* One that this node cannot use by its configuration keeps only its own topics. */
static bool is_broken(const struct admin_view *v, const char *storage) {
  for (size_t i = 0; i < v->settings->n_storages; i++)
    if (strcmp(v->settings->storages[i]->name, storage) == 0)
      return v->settings->storages[i]->broken;
  return false;
}

/* Why producers cannot be served; empty: they can. */
static json_t *reasons_not_ready(const struct admin_view *v) {
  size_t n;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    char what[NAME_LEN_MAX + 32];
    enum store_state state = store_state(stores[i]);
    snprintf(what, sizeof what, "storage %s is ", store_name(stores[i]));
    if (is_broken(v, store_name(stores[i]))) continue;
    if (state != STORE_READY)
      add_reason(list, what, admin_store_states[state], store_why(stores[i]));
    else if (*store_no_writes(stores[i]))
      add_reason(list, store_no_writes(stores[i]), "", "");
  }
  if (v->stopping) add_reason(list, "the broker is stopping", "", "");
  return list;
}

void admin_get_ready(struct call *c) {
  json_t *o = json_object(), *reasons = reasons_not_ready(c->view);
  bool ready = json_array_size(reasons) == 0;
  json_object_set_new(o, "ready", json_boolean(ready));
  json_object_set_new(o, "reasons", reasons);
  call_json(c, ready ? 200 : 503, o);
}

/* --- status --- */

/* A storage of another system is not shown. */
bool admin_sees_storage(const struct call *c, const struct storage_settings *set) {
  return !set || !set->system || call_sees(c, set->system->name);
}

const struct storage_settings *admin_storage_of(const struct admin_view *v, const char *name) {
  for (size_t k = 0; k < v->settings->n_storages; k++)
    if (!strcmp(v->settings->storages[k]->name, name)) return v->settings->storages[k];
  return NULL;
}

static json_t *storages_json(const struct call *c) {
  const struct admin_view *v = c->view;
  size_t n;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    struct store_stats st = {0};
    const struct storage_settings *set = admin_storage_of(v, store_name(stores[i]));
    if (!admin_sees_storage(c, set)) continue;
    json_t *o = json_object();
    store_stats(stores[i], &st);
    json_object_set_new(o, "name", json_cstr(store_name(stores[i])));
    json_object_set_new(o, "state", json_string(admin_store_states[store_state(stores[i])]));
    json_object_set_new(o, "why", json_cstr(store_why(stores[i])));
    if (set) {
      json_object_set_new(o, "address", json_cstr(set->address));
      json_object_set_new(o, "managed", json_boolean(set->managed));
      json_object_set_new(o, "system", json_cstr(set->system ? set->system->name : NULL));
    }
    json_object_set_new(o, "commands", json_u64(st.commands));
    json_object_set_new(o, "reconnects", json_u64(st.reconnects));
    json_object_set_new(o, "unknown", json_u64(st.unknown));
    json_object_set_new(o, "late", json_u64(st.late));
    json_object_set_new(o, "in_flight", json_u64(st.in_flight));
    json_object_set_new(o, "rtt_us", json_u64(st.rtt_us));
    json_array_append_new(list, o);
  }
  return list;
}

/* `left_without`: gets the topics that cannot run here; NULL: nobody asks for them. */
static json_t *states_json(const struct call *c, json_t *left_without) {
  const struct admin_view *v = c->view;
  size_t n, count[TOPIC_STATES] = {0};
  json_t *o = json_object();
  struct topic *const *topics = registry_topics(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    struct topic *t = topics[i];
    if (!call_sees_topic(c, t)) continue;
    count[t->state]++;
    if (!left_without) continue;
    if (t->state != TOPIC_BROKEN && (t->set->transport || t->set->pulled || !t->set->here))
      continue;
    json_t *broken = json_object();
    json_object_set_new(broken, "topic", json_cstr(t->set->path));
    json_object_set_new(broken, "run_type", json_cstr(t->set->run_type));
    json_object_set_new(broken, "why", json_cstr(t->why));
    json_array_append_new(left_without, broken);
  }
  for (size_t i = 0; i < TOPIC_STATES; i++)
    json_object_set_new(o, topic_state_names[i], json_u64(count[i]));
  return o;
}

#define PAUSED_MAX 100 /* of them are named */

/* The topics that the storages hold but that are not configured, as the last walk found them. */
static json_t *strays_json(const struct call *c) {
  const struct admin_view *v = c->view;
  size_t n, k;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_stray *s = store_strays(stores[i], &k);
    for (; k && json_array_size(list) < PAUSED_MAX; s++, k--) {
      if (!call_sees_queue(c, s->queue)) continue;
      json_t *o = stray_json(s, store_name(stores[i]));
      json_object_set_new(o, "queue", json_cstr(s->queue));
      json_array_append_new(list, o);
    }
  }
  return list;
}

static json_t *paused_json(const struct call *c) {
  const struct admin_view *v = c->view;
  size_t n;
  json_t *list = json_array();
  struct topic *const *topics = registry_topics(v->registry, &n);
  for (size_t i = 0; i < n && json_array_size(list) < PAUSED_MAX; i++) {
    if (!topics[i]->paused || !call_sees_topic(c, topics[i])) continue;
    json_t *o = topic_pause_json(topics[i]);
    json_object_set_new(o, "topic", json_cstr(topics[i]->set->path));
    json_array_append_new(list, o);
  }
  return list;
}

static json_t *totals_json(const struct call *c) {
  const struct admin_view *v = c->view;
  size_t n;
  struct queue_counters in = {0};
  struct topic_counters out = {0};
  struct rates rates = {0};
  struct queue *const *queues = registry_queues(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    if (!call_sees_queue(c, queues[i]->name)) continue;
    counters_queue_add(&in, &queues[i]->counters);
    rates.accepted += queues[i]->rates.accepted;
  }
  struct topic *const *topics = registry_topics(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    if (!call_sees_topic(c, topics[i])) continue;
    counters_topic_add(&out, &topics[i]->counters);
    rates.done += topics[i]->rates.done;
    rates.failed += topics[i]->rates.failed;
  }
  json_t *o = json_object(), *per_second = json_object();
  json_object_set_new(o, "intake", counters_queue_json(&in));
  json_object_set_new(o, "dispatch", counters_topic_json(&out));
  json_object_set_new(per_second, "accepted", json_rate(rates.accepted));
  json_object_set_new(per_second, "done", json_rate(rates.done));
  json_object_set_new(per_second, "failed", json_rate(rates.failed));
  json_object_set_new(o, "rates", per_second);
  return o;
}

json_t *admin_figures(const struct admin_view *v) {
  size_t n;
  uint64_t accepted = 0, taken = 0, attempts = 0;
  struct topic_counters out = {0};
  struct rates rates = {0};
  struct queue *const *queues = registry_queues(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    accepted += queues[i]->counters.accepted;
    rates.accepted += queues[i]->rates.accepted;
  }
  struct topic *const *topics = registry_topics(v->registry, &n);
  for (size_t i = 0; i < n; i++) {
    taken += topics[i]->ready.n;
    attempts += topics[i]->requests.running;
    counters_topic_add(&out, &topics[i]->counters);
    rates.done += topics[i]->rates.done;
    rates.failed += topics[i]->rates.failed;
  }
  return json_pack("{sI sI sI sI sI s{so so so}}", "taken", (json_int_t)taken, "attempts",
                   (json_int_t)attempts, "accepted", (json_int_t)accepted, "done",
                   (json_int_t)out.done, "failed", (json_int_t)out.failed, "rates", "accepted",
                   json_rate(rates.accepted), "done", json_rate(rates.done), "failed",
                   json_rate(rates.failed));
}

static size_t queues_seen(const struct call *c) {
  const struct settings *set = c->view->settings;
  size_t seen = 0;
  for (size_t i = 0; i < set->n_queues; i++) seen += call_sees_queue(c, set->queues[i]->name);
  return seen;
}

static size_t topics_seen(const struct call *c) {
  const struct settings *set = c->view->settings;
  size_t seen = 0;
  for (size_t i = 0; i < set->n_topics; i++) {
    const struct system_settings *system = set->topics[i]->queue->system;
    seen += call_sees(c, system ? system->name : "");
  }
  return seen;
}

json_t *status_figures_json(const struct call *c) {
  json_t *o = json_object(), *reasons = reasons_not_ready(c->view);
  json_object_set_new(o, "node", json_cstr(c->view->settings->server.node));
  json_object_set_new(o, "ready", json_boolean(json_array_size(reasons) == 0));
  json_object_set_new(o, "reasons", reasons);
  json_object_set_new(o, "stopping", json_boolean(c->view->stopping));
  json_object_set_new(o, "totals", totals_json(c));
  json_object_set_new(o, "topic_states", states_json(c, NULL));
  return o;
}

void admin_get_status(struct call *c) {
  const struct admin_view *v = c->view;
  uint64_t now = loop_wall_ms(v->loop);
  json_t *o = json_object(), *reasons = reasons_not_ready(v), *without = json_array();
  metrics_freshen(v->metrics);
  json_t *listen = json_array();
  json_object_set_new(o, "version", json_string(PACKAGE_VERSION));
  json_object_set_new(o, "node", json_cstr(v->settings->server.node));
  json_object_set_new(o, "pid", json_integer(getpid()));
  json_object_set_new(o, "started_ms", json_u64(v->started_ms));
  json_object_set_new(o, "uptime_ms", json_u64(now > v->started_ms ? now - v->started_ms : 0));
  json_object_set_new(o, "config_file", json_cstr(v->config_file));
  for (size_t i = 0; v->settings->server.listen[i]; i++)
    json_array_append_new(listen, json_cstr(v->settings->server.listen[i]));
  json_object_set_new(o, "listen", listen);
  json_object_set_new(o, "ready", json_boolean(json_array_size(reasons) == 0));
  json_object_set_new(o, "reasons", reasons);
  json_object_set_new(o, "stopping", json_boolean(v->stopping));
  json_object_set_new(o, "storages", storages_json(c));
  json_object_set_new(o, "clients", counters_client_json(metrics_clients(v->metrics)));
  json_object_set_new(o, "totals", totals_json(c));
  json_object_set_new(o, "queues", json_u64(queues_seen(c)));
  json_object_set_new(o, "topics", json_u64(topics_seen(c)));
  json_object_set_new(o, "topic_states", states_json(c, without));
  json_object_set_new(o, "paused", paused_json(c));
  json_object_set_new(o, "strays", strays_json(c));
  json_object_set_new(o, "pools", pools_json(c));
  json_object_set_new(o, "plugins", plugins_json(v));
  json_object_set_new(o, "topics_without_transport", without);
  call_json(c, 200, o);
}
