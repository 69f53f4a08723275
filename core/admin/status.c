/* Owns the answers that only look: health, metrics, status, queues, topics, nodes.
 *
 * Must never happen: a secret in an answer (values of options marked so are masked).
 */
#include "admin/private.h"

#include "base/buf.h"
#include "config/option.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

static const char *const store_states[] = {
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

/* Why producers cannot be served; empty: they can. */
static json_t *reasons_not_ready(struct broker *b) {
  size_t n;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    char what[NAME_LEN_MAX + 32];
    enum store_state state = store_state(stores[i]);
    snprintf(what, sizeof what, "storage %s is ", store_name(stores[i]));
    if (state != STORE_READY)
      add_reason(list, what, store_states[state], store_why(stores[i]));
    else if (*store_no_writes(stores[i]))
      add_reason(list, store_no_writes(stores[i]), "", "");
  }
  if (b->stopping) add_reason(list, "the broker is stopping", "", "");
  if (!b->listener) add_reason(list, "no listener for producers", "", "");
  return list;
}

void admin_get_ready(struct call *c) {
  json_t *o = json_object(), *reasons = reasons_not_ready(c->b);
  bool ready = json_array_size(reasons) == 0;
  json_object_set_new(o, "ready", json_boolean(ready));
  json_object_set_new(o, "reasons", reasons);
  call_json(c, ready ? 200 : 503, o);
}

/* --- counters: tables, so that a new one is one line --- */

struct counter {
  const char *name;
  size_t offset;
};

#define QUEUE_COUNTER(x)                                                                           \
  { #x, offsetof(struct queue_counters, x) }
static const struct counter queue_counter[] = {
    QUEUE_COUNTER(accepted),
    QUEUE_COUNTER(accepted_bytes),
    QUEUE_COUNTER(refused),
    QUEUE_COUNTER(failed),
};
#define TOPIC_COUNTER(x)                                                                           \
  { #x, offsetof(struct topic_counters, x) }
static const struct counter topic_counter[] = {
    TOPIC_COUNTER(attempts),   TOPIC_COUNTER(requests),     TOPIC_COUNTER(done),
    TOPIC_COUNTER(failed),     TOPIC_COUNTER(lost),         TOPIC_COUNTER(timeout),
    TOPIC_COUNTER(retried),    TOPIC_COUNTER(dead),         TOPIC_COUNTER(unreachable),
    TOPIC_COUNTER(busy),       TOPIC_COUNTER(unregistered), TOPIC_COUNTER(recovered),
    TOPIC_COUNTER(run_ms_sum), TOPIC_COUNTER(run_count),
};
#define CLIENT_COUNTER(x)                                                                          \
  { #x, offsetof(struct client_counters, x) }
static const struct counter client_counter[] = {
    CLIENT_COUNTER(open),
    CLIENT_COUNTER(connections),
    CLIENT_COUNTER(commands),
    CLIENT_COUNTER(bytes_in),
    CLIENT_COUNTER(bytes_out),
    CLIENT_COUNTER(refused_clients),
    CLIENT_COUNTER(refused_auth),
    CLIENT_COUNTER(refused_auth_rate),
    CLIENT_COUNTER(protocol_errors),
    CLIENT_COUNTER(over_job_size),
    CLIENT_COUNTER(over_arguments),
    CLIENT_COUNTER(over_output),
    CLIENT_COUNTER(over_unauthenticated),
    CLIENT_COUNTER(over_input),
    CLIENT_COUNTER(over_auth_time),
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static uint64_t counter_get(const void *base, const struct counter *c) {
  uint64_t v;
  memcpy(&v, (const char *)base + c->offset, sizeof v);
  return v;
}

static json_t *counters_json(const void *base, const struct counter *table, size_t n) {
  json_t *o = json_object();
  for (size_t i = 0; i < n; i++)
    json_object_set_new(o, table[i].name, json_u64(counter_get(base, &table[i])));
  return o;
}

static void counters_sum(void *to, const void *from, const struct counter *table, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t v = counter_get(to, &table[i]) + counter_get(from, &table[i]);
    memcpy((char *)to + table[i].offset, &v, sizeof v);
  }
}

static json_t *rate_json(double v) {
  return json_real(v < 0.001 ? 0 : (double)(uint64_t)(v * 1000 + 0.5) / 1000);
}

/* --- status --- */

static json_t *storages_json(struct broker *b) {
  size_t n;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    struct store_stats st = {0};
    json_t *o = json_object();
    store_stats(stores[i], &st);
    json_object_set_new(o, "name", json_cstr(store_name(stores[i])));
    json_object_set_new(o, "state", json_string(store_states[store_state(stores[i])]));
    json_object_set_new(o, "why", json_cstr(store_why(stores[i])));
    for (size_t k = 0; k < b->settings->n_storages; k++) {
      const struct storage_settings *set = b->settings->storages[k];
      if (strcmp(set->name, store_name(stores[i])) != 0) continue;
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

static json_t *states_json(struct broker *b, json_t *left_without) {
  size_t n, count[TOPIC_STATES] = {0};
  json_t *o = json_object();
  struct topic *const *topics = registry_topics(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    struct topic *t = topics[i];
    count[t->state]++;
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

static json_t *pause_json(const struct topic *t) {
  json_t *o = json_object();
  if (!t->paused) {
    json_decref(o);
    return json_null();
  }
  json_object_set_new(o, "since_ms", t->pause.since_ms ? json_u64(t->pause.since_ms) : json_null());
  json_object_set_new(o, "by", json_cstr(t->pause.by));
  json_object_set_new(o, "reason", json_cstr(t->pause.reason));
  return o;
}

#define PAUSED_MAX 100 /* of them are named */

/* What the storages have of topics that are not configured for them, as they were last looked
 * through. */
static json_t *strays_json(struct broker *b) {
  size_t n, k;
  json_t *list = json_array();
  struct store *const *stores = registry_stores(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    const struct store_stray *s = store_strays(stores[i], &k);
    for (; k && json_array_size(list) < PAUSED_MAX; s++, k--) {
      json_t *o = stray_json(s, store_name(stores[i]));
      json_object_set_new(o, "queue", json_cstr(s->queue));
      json_array_append_new(list, o);
    }
  }
  return list;
}

static json_t *paused_json(struct broker *b) {
  size_t n;
  json_t *list = json_array();
  struct topic *const *topics = registry_topics(b->registry, &n);
  for (size_t i = 0; i < n && json_array_size(list) < PAUSED_MAX; i++) {
    if (!topics[i]->paused) continue;
    json_t *o = pause_json(topics[i]);
    json_object_set_new(o, "topic", json_cstr(topics[i]->set->path));
    json_array_append_new(list, o);
  }
  return list;
}

static json_t *totals_json(struct broker *b) {
  size_t n;
  struct queue_counters in = {0};
  struct topic_counters out = {0};
  struct rates rates = {0};
  struct queue *const *queues = registry_queues(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    counters_sum(&in, &queues[i]->counters, queue_counter, COUNT(queue_counter));
    rates.accepted += queues[i]->rates.accepted;
  }
  struct topic *const *topics = registry_topics(b->registry, &n);
  for (size_t i = 0; i < n; i++) {
    counters_sum(&out, &topics[i]->counters, topic_counter, COUNT(topic_counter));
    rates.done += topics[i]->rates.done;
    rates.failed += topics[i]->rates.failed;
  }
  json_t *o = json_object(), *per_second = json_object();
  json_object_set_new(o, "intake", counters_json(&in, queue_counter, COUNT(queue_counter)));
  json_object_set_new(o, "dispatch", counters_json(&out, topic_counter, COUNT(topic_counter)));
  json_object_set_new(per_second, "accepted", rate_json(rates.accepted));
  json_object_set_new(per_second, "done", rate_json(rates.done));
  json_object_set_new(per_second, "failed", rate_json(rates.failed));
  json_object_set_new(o, "rates", per_second);
  return o;
}

void admin_get_status(struct call *c) {
  struct broker *b = c->b;
  uint64_t now = loop_wall_ms(b->loop);
  json_t *o = json_object(), *reasons = reasons_not_ready(b), *without = json_array();
  stats_freshen(b->stats);
  json_t *listen = json_array();
  json_object_set_new(o, "version", json_string(PACKAGE_VERSION));
  json_object_set_new(o, "node", json_cstr(b->settings->server.node));
  json_object_set_new(o, "pid", json_integer(getpid()));
  json_object_set_new(o, "started_ms", json_u64(b->started_ms));
  json_object_set_new(o, "uptime_ms", json_u64(now > b->started_ms ? now - b->started_ms : 0));
  json_object_set_new(o, "config_file", json_cstr(b->config_file));
  for (size_t i = 0; b->settings->server.listen[i]; i++)
    json_array_append_new(listen, json_cstr(b->settings->server.listen[i]));
  json_object_set_new(o, "listen", listen);
  json_object_set_new(o, "ready", json_boolean(json_array_size(reasons) == 0));
  json_object_set_new(o, "reasons", reasons);
  json_object_set_new(o, "stopping", json_boolean(b->stopping));
  json_object_set_new(o, "storages", storages_json(b));
  json_object_set_new(
      o, "clients", counters_json(stats_clients(b->stats), client_counter, COUNT(client_counter)));
  json_object_set_new(o, "totals", totals_json(b));
  json_object_set_new(o, "queues", json_u64(b->settings->n_queues));
  json_object_set_new(o, "topics", json_u64(b->settings->n_topics));
  json_object_set_new(o, "topic_states", states_json(b, without));
  json_object_set_new(o, "paused", paused_json(b));
  json_object_set_new(o, "strays", strays_json(b));
  json_object_set_new(o, "pools", admin_pools_json(b));
  json_object_set_new(o, "plugins", admin_plugins_json(b));
  json_object_set_new(o, "topics_without_transport", without);
  call_json(c, 200, o);
}

/* --- queues --- */

json_t *admin_queue_json(const struct queue *q) {
  json_t *one = json_object(), *topics = json_array(), *stores = json_array();
  for (size_t k = 0; k < q->set->n_topics; k++)
    json_array_append_new(topics, json_cstr(q->set->topics[k]->name));
  for (size_t k = 0; k < q->n_stores; k++)
    if (q->stores[k]->active)
      json_array_append_new(stores, json_cstr(store_name(q->stores[k]->store)));
  json_object_set_new(one, "queue", json_cstr(q->name));
  json_object_set_new(one, "system", json_cstr(q->set->system ? q->set->system->name : NULL));
  json_object_set_new(one, "topics", topics);
  json_object_set_new(one, "storages", stores);
  json_object_set_new(one, "max_length", json_integer(q->set->max_length));
  json_object_set_new(one, "max_bytes", json_u64(q->set->max_bytes));
  json_object_set_new(one, "retain_ms", json_u64(q->set->retain_ms));
  json_object_set_new(one, "accepted_rate", rate_json(q->rates.accepted));
  json_object_set_new(one, "counters",
                      counters_json(&q->counters, queue_counter, COUNT(queue_counter)));
  return one;
}

/* --- topics --- */

static json_t *option_text(const struct pb_option *opt, const void *conf) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out) return json_null();
  option_print(opt, conf, out);
  fclose(out);
  json_t *ret = json_cstr(text);
  free(text);
  return ret;
}

/* A value of a transport's own configuration, as its option table says. */
static json_t *option_json(const struct pb_option *opt, const void *conf) {
  const char *at = (const char *)conf + opt->offset;
  if (opt->flags & PB_OPT_SECRET) return option_text(opt, conf); /* masked */
  switch ((enum pb_option_type)opt->type) {
  case PB_OPT_STRING:
    return json_cstr(*(const char *const *)at);
  case PB_OPT_BOOL:
    return json_boolean(*(const int *)at);
  case PB_OPT_INT:
    return json_integer(*(const int64_t *)at);
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    return json_u64(*(const uint64_t *)at);
  case PB_OPT_CHOICE: {
    const char *p = opt->choices;
    for (int i = *(const int *)at; i > 0 && *p; i--) p += strcspn(p, ",") + 1;
    return json_text(p, strcspn(p, ","));
  }
  case PB_OPT_LIST: {
    json_t *list = json_array();
    for (const char *const *p = *(const char *const *const *)at; p && *p; p++)
      json_array_append_new(list, json_cstr(*p));
    return list;
  }
  case PB_OPT_RANGE: {
    const struct pb_range *r = (const struct pb_range *)at;
    return json_pack("[I,I]", (json_int_t)r->from_ms, (json_int_t)r->to_ms);
  }
  }
  return json_null();
}

void admin_set_options(json_t *o, const char *member, const struct pb_option *table, size_t stride,
                       const void *conf) {
  struct options t = {table, stride};
  json_t *values = json_object(), *texts = json_object();
  char name[64];
  snprintf(name, sizeof name, "%s_text", member);
  for (const struct pb_option *opt = NULL; conf && (opt = option_next(t, opt));) {
    json_object_set_new(values, opt->name, option_json(opt, conf));
    json_object_set_new(texts, opt->name, option_text(opt, conf));
  }
  json_object_set_new(o, member, values);
  json_object_set_new(o, name, texts);
}

static json_t *topic_json(const struct topic *t, bool whole) {
  const struct topic_settings *set = t->set;
  json_t *o = json_object(), *rates = json_object(), *node = json_object();
  char why[400];
  json_object_set_new(o, "topic", json_cstr(set->path));
  json_object_set_new(o, "queue", json_cstr(set->queue->name));
  json_object_set_new(o, "name", json_cstr(set->name));
  json_object_set_new(o, "system", json_cstr(set->queue->system ? set->queue->system->name : NULL));
  json_object_set_new(o, "state", json_string(topic_state_names[t->state]));
  json_object_set_new(o, "why", json_cstr(dispatcher_why(t, why, sizeof why)));
  json_object_set_new(o, "since_ms", json_u64(t->since_ms));
  json_object_set_new(o, "pause", pause_json(t));
  json_object_set_new(o, "run_type", json_cstr(set->run_type));
  json_object_set_new(o, "storage", json_cstr(set->storage ? set->storage->name : NULL));
  json_object_set_new(o, "pool", json_cstr(set->pool ? set->pool->name : NULL));
  json_object_set_new(o, "workers", json_integer(set->workers));
  json_object_set_new(o, "timeout_ms", json_u64(set->timeout_ms));
  json_object_set_new(node, "taken", json_u64(t->ready.n));
  json_object_set_new(node, "attempts", json_u64(t->attempts));
  json_object_set_new(o, "node", node);
  json_object_set_new(rates, "accepted", rate_json(t->queue->rates.accepted));
  json_object_set_new(rates, "done", rate_json(t->rates.done));
  json_object_set_new(rates, "failed", rate_json(t->rates.failed));
  json_object_set_new(o, "rates", rates);
  json_object_set_new(o, "counters",
                      counters_json(&t->counters, topic_counter, COUNT(topic_counter)));
  if (t->inst) admin_set_health(o, t->inst);
  if (!whole) return o;
  json_t *buckets = json_array();
  for (size_t i = 0; i < RUN_BUCKETS; i++) {
    json_t *le = i < RUN_BUCKETS - 1 ? json_integer(run_bucket_ms[i]) : json_null();
    json_array_append_new(buckets, json_pack("{s:o,s:o}", "to_ms", le, "requests",
                                             json_u64(t->counters.run_bucket[i])));
  }
  json_object_set_new(o, "run_times", buckets);
  json_object_set_new(o, "enabled", json_boolean(set->enabled));
  json_object_set_new(o, "here", json_boolean(set->here));
  json_object_set_new(o, "chunk", json_integer(set->chunk));
  json_object_set_new(o, "chunk_wait_ms", json_u64(set->chunk_wait_ms));
  json_object_set_new(o, "attempts", json_integer(set->attempts));
  json_object_set_new(o, "crashes", json_integer(set->crashes));
  json_object_set_new(
      o, "backoff_ms",
      json_pack("[I,I]", (json_int_t)set->backoff.from_ms, (json_int_t)set->backoff.to_ms));
  json_object_set_new(o, "start_from", json_string(set->start_from ? "beginning" : "now"));
  json_object_set_new(
      o, "configured_at",
      json_sprintf("%s:%u", set->place.file ? set->place.file : "", set->place.line));
  const struct pb_transport *tr = set->transport;
  size_t stride = tr ? tr->option_size : 0;
  admin_set_options(o, "options", tr ? tr->topic_options : NULL, stride, set->conf);
  admin_set_options(o, "pool_options", tr ? tr->pool_options : NULL, stride,
                    set->pool ? set->pool->conf : NULL);
  if (t->inst) admin_set_figures(o, t->inst);
  return o;
}

/* What the storage says of one topic; over all nodes. */
void admin_set_depth(json_t *o, enum store_rc rc, const struct store_depth *d, const char *why) {
  if (rc || !d) {
    json_object_set_new(o, "counts", json_null());
    json_object_set_new(o, "counts_error", json_cstr(why && *why ? why : "no answer"));
    return;
  }
  json_t *jobs = json_object();
  json_object_set_new(jobs, "ready", json_u64(d->ready));
  if (d->ready_at_most) json_object_set_new(jobs, "ready_at_most", json_true());
  json_object_set_new(jobs, "running", json_u64(d->running));
  json_object_set_new(jobs, "retry", json_u64(d->retry));
  json_object_set_new(jobs, "dead", json_u64(d->dead));
  json_object_set_new(jobs, "delayed", json_u64(d->delayed));
  json_object_set_new(jobs, "queue_bytes", json_u64(d->bytes));
  json_object_set_new(jobs, "next_due_ms", d->next_due_ms ? json_u64(d->next_due_ms) : json_null());
  json_object_set_new(jobs, "oldest_ms", d->oldest_ms ? json_u64(d->oldest_ms) : json_null());
  json_object_set_new(o, "counts", jobs);
  json_object_set_new(o, "paused", json_boolean(d->paused));
}

json_t *admin_topic_json(const struct topic *t) {
  return topic_json(t, false);
}

static void on_look(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                    const char *why) {
  struct call *c = arg;
  admin_set_depth(c->acc, rc, n ? d : NULL, why);
  call_json(c, 200, json_incref(c->acc));
  call_unref(c);
}

void admin_get_topic(struct call *c) {
  struct topic *t = call_topic(c);
  if (!t) return;
  stats_freshen(c->b->stats);
  c->acc = topic_json(t, true);
  if (!t->store) {
    admin_set_depth(c->acc, STORE_UNAVAILABLE, NULL, "not on this node");
    call_json(c, 200, json_incref(c->acc));
    return;
  }
  struct store_topic *asked[] = {t->store};
  call_hold(c, ADMIN_HOLD_MS);
  store_look_many(asked, 1, on_look, c);
}

/* --- nodes --- */

struct nodes_ask {
  struct call *c;
  char storage[NAME_LEN_MAX + 1];
};

static void nodes_end(struct call *c) {
  if (c->pending) return;
  json_t *o = json_object();
  json_object_set(o, "nodes", c->acc);
  if (*c->why) json_object_set_new(o, "error", json_cstr(c->why));
  call_json(c, 200, o);
}

static void on_nodes(void *arg, enum store_rc rc, const struct store_node *n, size_t count) {
  struct nodes_ask *ask = arg;
  struct call *c = ask->c;
  if (rc) snprintf(c->why, sizeof c->why, "storage %s did not tell its nodes", ask->storage);
  for (size_t i = 0; !rc && i < count && !call_answered(c); i++) {
    json_t *o = json_object();
    json_object_set_new(o, "node", json_cstr(n[i].name));
    json_object_set_new(o, "storage", json_cstr(ask->storage));
    json_object_set_new(o, "shard", json_integer(n[i].shard));
    json_object_set_new(o, "seen_ms", json_u64(n[i].seen_ms));
    json_object_set_new(o, "alive", json_boolean(n[i].alive));
    json_object_set_new(o, "self", json_boolean(!strcmp(n[i].name, c->b->settings->server.node)));
    json_array_append_new(c->acc, o);
  }
  free(ask);
  c->pending--;
  nodes_end(c);
  call_unref(c);
}

void admin_get_nodes(struct call *c) {
  size_t n;
  struct store *const *stores = registry_stores(c->b->registry, &n);
  c->acc = json_array();
  for (size_t i = 0; i < n; i++) {
    struct nodes_ask *ask = malloc(sizeof *ask);
    if (!ask) continue;
    ask->c = c;
    snprintf(ask->storage, sizeof ask->storage, "%s", store_name(stores[i]));
    c->pending++;
    call_hold(c, ADMIN_HOLD_MS);
    store_nodes(stores[i], on_nodes, ask);
  }
  nodes_end(c);
}
