/* Owns what the admin port does with queues and the broker itself: adding a job, topics left
 * behind in a storage, ids, the configuration.
 *
 * Must never happen: a configured topic dropped, a secret in the shown configuration.
 */
#include "job/id_json.h"
#include "admin/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- adding a job --- */

static json_t *trace_json(uint64_t id, struct gateway g) {
  char text[ID_TRACE_MAX];
  size_t len = id_format_trace(id, g, text);
  return json_stringn(text, len);
}

static void on_added(void *arg, const struct intake_result *r) {
  static const int status[] = {
      [INTAKE_OK] = 200,        [INTAKE_NO_QUEUE] = 404, [INTAKE_EMPTY] = 400,
      [INTAKE_TOO_LARGE] = 413, [INTAKE_FULL] = 429,     [INTAKE_STORAGE] = 503,
  };
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (r->rc) {
    call_error(c, status[r->rc], "%s", r->error);
  } else {
    char disque[ID_DISQUE_LEN + 1];
    json_t *o = json_object();
    id_format_disque(r->ids[0], disque);
    json_object_set_new(o, "queue", json_cstr(c->args[0]));
    json_object_set_new(o, "id", json_id(r->ids[0]));
    json_object_set_new(o, "disque_id", json_string(disque));
    json_object_set_new(o, "trace", trace_json(r->trace, r->gateway));
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* "90s", "250ms", "5m", "2h", "1d"; a bare number is seconds, as in ADDJOB. */
static bool delay_parse(const char *text, uint64_t *ret_ms) {
  static const struct {
    const char *unit;
    uint64_t ms;
  } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  char *end;
  errno = 0;
  unsigned long long v = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || errno) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].unit) != 0) continue;
    return !__builtin_mul_overflow(v, units[i].ms, ret_ms) && *ret_ms < UINT64_C(1) << 52;
  }
  return false;
}

void admin_post_job(struct call *c) {
  char delay[32];
  struct intake_options o = {0};
  struct intake_job job;
  struct queue *q = call_queue(c);
  if (!q) return;
  if (call_query(c, "delay", delay, sizeof delay) && !delay_parse(delay, &o.delay_ms)) {
    call_error(c, 400, "delay=%s is not a duration like 90s, 5m, 2h", delay);
    return;
  }
  job.content = call_body(c, &job.len);
  call_hold(c, ADMIN_HOLD_MS);
  intake_add(c->b->intake, q->name, strlen(q->name), &job, 1, &o, on_added, c);
}

/* --- topics left behind in a storage --- */

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
  call_hold(c, ADMIN_HOLD_MS);
  return ask;
}

static void stray_end(struct call *c) {
  if (c->pending || call_answered(c)) return;
  if (*c->why) {
    call_error(c, c->status, "%s", c->why);
    return;
  }
  /* A queue that nobody configures and nobody has: as any wrong name. */
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
static bool is_configured(struct broker *b, const char *queue, const char *topic,
                          const char *storage) {
  const struct queue_settings *q = settings_queue(b->settings, queue, strlen(queue));
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
    snprintf(c->why, sizeof c->why, "storage %s did not tell its groups", ask->storage);
  }
  for (size_t i = 0; i < n; i++)
    if (!is_configured(c->b, c->args[0], list[i].topic, ask->storage))
      json_array_append_new(c->acc, stray_json(&list[i], ask->storage));
  free(ask);
  c->pending--;
  stray_end(c);
  call_unref(c);
}

/* All storages: one that the queue does not use any more may have jobs of it. */
void admin_get_stray(struct call *c) {
  size_t n;
  struct store *const *stores = registry_stores(c->b->registry, &n);
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
  } else if (count != STORE_NOTHING) { /* its group kept what came, jobs or none */
    c->status = 200;
    c->count += count;
    char by[STORE_ACT_TEXT_MAX];
    admin_by(c, by, sizeof by);
    log_info(c->b->log, c->path,
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
  struct store *const *stores = registry_stores(c->b->registry, &n);
  const struct queue_settings *q = settings_queue(c->b->settings, queue, strlen(queue));
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
    call_error(c, 400, "say which: {\"topic\": \"name without the queue\"}");
    json_decref(body);
    return;
  }
  snprintf(c->path, sizeof c->path, "%s/%s", queue, name);
  const struct topic_settings *t = settings_topic(c->b->settings, c->path, strlen(c->path));
  if (t)
    call_error(c, 409,
               "%s is configured at %s:%u; take it out there and reload before its jobs "
               "are dropped",
               c->path, t->place.file, t->place.line);
  else
    drop_all(c, queue, name);
  json_decref(body);
}

/* --- ids --- */

void admin_get_id(struct call *c) {
  json_t *o = id_json(c->args[0]);
  if (o)
    call_json(c, 200, o);
  else
    call_error(c, 400,
               "\"%.60s\" is neither a job id (20 digits, or D-...) nor a trace id (ID-IPV4-PORT)",
               c->args[0]);
}

/* --- configuration --- */

static void on_reloaded(void *arg, int rc, const char *text) {
  struct call *c = arg;
  json_t *o = json_object();
  if (rc) {
    log_warning(c->b->log, "admin",
                "the configuration was not reloaded: it has faults, the old one "
                "goes on");
    json_object_set_new(o, "error",
                        json_string("the configuration has faults; nothing was changed"));
    json_object_set_new(o, "status", json_integer(400));
    json_object_set_new(o, "faults", json_cstr(text));
  } else {
    log_info(c->b->log, "admin", "configuration reloaded from %s", c->b->config_file);
    json_object_set_new(o, "reloaded", json_true());
    json_object_set_new(o, "config_file", json_cstr(c->b->config_file));
    json_object_set_new(o, "changes", json_cstr(c->b->changes));
    json_object_set_new(o, "warnings", json_cstr(text));
  }
  call_json(c, rc ? 400 : 200, o);
  call_unref(c);
}

void admin_post_reload(struct call *c) {
  call_hold(c, ADMIN_HOLD_MS);
  broker_reload(c->b, on_reloaded, c);
}
