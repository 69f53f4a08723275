/* Owns what the admin port does with queues and the broker itself: adding a job, topics left
 * behind in a storage, ids, the configuration.
 *
 * Must never happen: a configured topic dropped, a secret in the shown configuration.
 */
#include "admin_id.h"
#include "admin_internal.h"

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

static struct stray_ask *stray_ask_new(struct call *c, const struct queue_store *qs) {
  struct stray_ask *ask = malloc(sizeof *ask);
  if (!ask) return NULL;
  ask->c = c;
  snprintf(ask->storage, sizeof ask->storage, "%s", store_name(qs->store));
  c->pending++;
  call_hold(c, ADMIN_HOLD_MS);
  return ask;
}

static void stray_end(struct call *c) {
  if (c->pending) return;
  if (*c->why) {
    call_error(c, c->status, "%s", c->why);
    return;
  }
  json_t *o = json_object();
  json_object_set_new(o, "queue", json_cstr(c->args[0]));
  json_object_set(o, "stray", c->acc);
  call_json(c, 200, o);
}

static void on_stray(void *arg, enum store_rc rc, const char *const *names, size_t n) {
  struct stray_ask *ask = arg;
  struct call *c = ask->c;
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s did not tell its groups", ask->storage);
  }
  for (size_t i = 0; !rc && i < n; i++) {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(names[i]));
    json_object_set_new(o, "storage", json_cstr(ask->storage));
    json_array_append_new(c->acc, o);
  }
  free(ask);
  c->pending--;
  stray_end(c);
  call_unref(c);
}

void admin_get_stray(struct call *c) {
  struct queue *q = call_queue(c);
  if (!q) return;
  c->acc = json_array();
  for (size_t i = 0; i < q->n_stores; i++) {
    struct stray_ask *ask = stray_ask_new(c, q->stores[i]);
    if (ask) store_stray_topics(q->stores[i]->sq, on_stray, ask);
  }
  stray_end(c);
}

static void drop_end(struct call *c) {
  if (c->pending) return;
  if (*c->why) {
    call_error(c, c->status, "%s", c->why);
  } else if (!c->count) {
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
  } else if (count) {
    c->count += count;
    log_info(c->b->log, c->path,
             "dropped from storage %s by an operator: its group, retries, dead jobs and errors",
             ask->storage);
  }
  free(ask);
  c->pending--;
  drop_end(c);
  call_unref(c);
}

void admin_post_drop(struct call *c) {
  struct queue *q = call_queue(c);
  json_t *body = q ? call_body_json(c) : NULL;
  if (!body) return;
  const char *name = json_string_value(json_object_get(body, "topic"));
  if (!name || !*name || strlen(name) > NAME_LEN_MAX || strchr(name, '/')) {
    call_error(c, 400, "say which: {\"topic\": \"name without the queue\"}");
    json_decref(body);
    return;
  }
  snprintf(c->path, sizeof c->path, "%s/%s", q->name, name);
  for (size_t i = 0; i < q->set->n_topics; i++) {
    if (strcmp(q->set->topics[i]->name, name) != 0) continue;
    call_error(c, 409,
               "%s is configured at %s:%u; take it out there and reload before its jobs "
               "are dropped",
               c->path, q->set->topics[i]->place.file, q->set->topics[i]->place.line);
    json_decref(body);
    return;
  }
  for (size_t i = 0; i < q->n_stores; i++) {
    struct stray_ask *ask = stray_ask_new(c, q->stores[i]);
    if (ask) store_drop(q->stores[i]->sq, name, on_dropped, ask);
  }
  json_decref(body);
  drop_end(c);
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

void admin_post_reload(struct call *c) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out) {
    call_error(c, 500, "out of memory");
    return;
  }
  int rc = broker_reload(c->b, out);
  fclose(out);
  json_t *o = json_object();
  if (rc) {
    log_warning(c->b->log, "admin",
                "the configuration was not reloaded: it has faults, the old one "
                "goes on");
    json_object_set_new(o, "error",
                        json_string("the configuration has faults; nothing was changed"));
    json_object_set_new(o, "status", json_integer(400));
    json_object_set_new(o, "faults", json_text(text, len));
  } else {
    log_info(c->b->log, "admin", "configuration reloaded from %s", c->b->config_file);
    json_object_set_new(o, "reloaded", json_true());
    json_object_set_new(o, "config_file", json_cstr(c->b->config_file));
    json_object_set_new(o, "warnings", json_text(text, len));
  }
  free(text);
  call_json(c, rc ? 400 : 200, o);
}

void admin_get_config(struct call *c) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out) {
    call_error(c, 500, "out of memory");
    return;
  }
  settings_dump(c->b->settings, out);
  fclose(out);
  json_t *o = json_object();
  json_object_set_new(o, "config_file", json_cstr(c->b->config_file));
  json_object_set_new(o, "config", json_text(text, len));
  free(text);
  call_json(c, 200, o);
}
