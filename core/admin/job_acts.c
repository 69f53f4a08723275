/* Owns what is done to one job wherever it is: that it is not to run, or to run again.
 *
 * Must never happen: a job touched of a queue that its user may not operate; an answer that tells
 * of a queue that its user may not see.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

struct target {
  struct queue *queue;
  const struct topic *topic; /* NULL: all of the queue */
  uint64_t id;
};

/* A question to one storage. */
struct job_ask {
  struct call *c;
  char storage[NAME_LEN_MAX + 1], queue[NAME_LEN_MAX + 1];
};

static struct job_ask *job_ask_new(struct call *c, const struct queue *q, const char *storage) {
  struct job_ask *ask = malloc(sizeof *ask);
  if (!ask) out_of_memory();
  ask->c = c;
  snprintf(ask->storage, sizeof ask->storage, "%s", storage);
  snprintf(ask->queue, sizeof ask->queue, "%s", q->name);
  c->pending++;
  call_wait(c, ADMIN_WAIT_MS);
  return ask;
}

/* --- which job --- */

static const struct topic *topic_of(const struct queue *q, const char *name) {
  for (size_t i = 0; i < q->n_topics; i++)
    if (!strcmp(q->topics[i]->set->name, name)) return q->topics[i];
  return NULL;
}

static bool target_find(struct call *c, const char *queue, const char *topic, struct target *ret) {
  size_t len = strlen(queue);
  ret->queue = registry_queue(c->view->registry, queue, len);
  if (!ret->queue || !call_sees_queue(c, queue)) {
    call_error(c, 404, "there is no queue \"%.128s\"", queue);
    return false;
  }
  if (!call_may(c, RIGHT_OPERATE, admin_system_of(c->view, queue))) return false;
  ret->topic = topic ? topic_of(ret->queue, topic) : NULL;
  if (!topic || ret->topic) return true;
  call_error(c, 404, "there is no topic \"%.128s\" in queue %s", topic, queue);
  return false;
}

/* False: answered. */
static bool target_read(struct call *c, struct target *ret) {
  json_t *value, *body = failed_id(c, c->args[0], &ret->id) ? call_body_json(c) : NULL;
  const char *key, *queue = NULL, *topic = NULL;
  bool good = body;
  json_object_foreach(body, key, value) {
    if (!strcmp(key, "queue") && json_is_string(value)) {
      queue = json_string_value(value);
    } else if (!strcmp(key, "topic") && json_is_string(value)) {
      topic = json_string_value(value);
    } else if (good) {
      call_error(c, 400, "\"%.60s\" is not known here, or its value is wrong", key);
      good = false;
    }
  }
  if (good && !queue) {
    call_error(c, 400,
               "name the queue: {\"queue\": \"name\"}, and the topic where only that "
               "one is meant");
    good = false;
  }
  good = good && target_find(c, queue, topic, ret);
  json_decref(body);
  return good;
}

static json_t *target_json(const struct call *c, const char *queue) {
  uint64_t id = 0;
  json_t *o = json_object();
  id_parse(c->args[0], strlen(c->args[0]), &id);
  json_object_set_new(o, "queue", json_cstr(queue));
  json_object_set_new(o, "id", json_id(id));
  return o;
}

static void job_log(struct call *c, const char *queue, const char *what) {
  char by[STORE_ACT_TEXT_MAX];
  call_by(c, by, sizeof by);
  log_info(c->view->log, queue, "%s by %s: job %s", what, by, c->args[0]);
}

/* --- it is not to run --- */

static const char *refusal(enum store_cancelled what) {
  return what == STORE_CANCEL_RUNNING ? "it runs"
         : what == STORE_CANCEL_TAKEN ? "a topic is done with it, or has it among its dead jobs"
                                      : "";
}

/* c->acc: what was cancelled. c->status and c->why: why the rest was not. */
static void cancel_end(struct call *c, const char *queue) {
  if (c->pending || call_answered(c)) return;
  if (!json_array_size(c->acc)) {
    if (c->status)
      call_error(c, c->status, "%s", c->why);
    else
      call_error(c, 404, "job %s does not wait in queue %s", c->args[0], queue);
    return;
  }
  json_t *o = target_json(c, queue);
  json_object_set(o, "cancelled", c->acc);
  json_object_set_new(o, "why", json_cstr(c->why));
  call_json(c, 200, o);
}

static void on_cancelled(void *arg, enum store_rc rc, enum store_cancelled what, const char *node,
                         const char *why) {
  static const char *const was[] = {[STORE_CANCEL_DELAYED] = "delayed",
                                    [STORE_CANCEL_READY] = "ready",
                                    [STORE_CANCEL_RETRY] = "retry"};
  struct job_ask *ask = arg;
  struct call *c = ask->c;
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s did not answer: %.90s", ask->storage, why);
  } else if (what == STORE_CANCEL_RUNNING || what == STORE_CANCEL_TAKEN) {
    if (!c->status) c->status = 409;
    snprintf(c->why, sizeof c->why, "%s: %s%s%.60s", ask->storage, refusal(what),
             *node ? ", on node " : "", node);
  } else if (what) {
    json_t *o = json_object();
    json_object_set_new(o, "storage", json_cstr(ask->storage));
    json_object_set_new(o, "was", json_string(was[what]));
    json_array_append_new(c->acc, o);
    job_log(c, ask->queue, "cancelled");
  }
  c->pending--;
  cancel_end(c, ask->queue);
  free(ask);
  call_unref(c);
}

void admin_post_job_cancel(struct call *c) {
  struct target x = {0};
  char by[STORE_ACT_TEXT_MAX];
  if (!target_read(c, &x)) return;
  call_by(c, by, sizeof by);
  c->acc = json_array();
  for (size_t i = 0; i < x.queue->n_stores; i++) {
    const struct queue_store *entry = x.queue->stores[i];
    if (x.topic && x.topic->store_entry != entry) continue;
    store_cancel(entry->sq, x.topic ? x.topic->set->name : NULL, x.id, by, on_cancelled,
                 job_ask_new(c, x.queue, store_name(entry->store)));
  }
  cancel_end(c, x.queue->name);
}

/* --- it is to run again --- */

static void replay_end(struct call *c, const char *queue) {
  if (c->pending || call_answered(c)) return;
  if (!c->count && c->status) {
    call_error(c, c->status, "%s", c->why);
  } else if (!c->count) {
    call_error(c, 404, "job %s is not waiting in the retry queues of queue %s", c->args[0], queue);
  } else {
    json_t *o = target_json(c, queue);
    json_object_set_new(o, "replayed", json_u64(c->count));
    json_object_set_new(o, "why", json_cstr(c->why));
    call_json(c, 200, o);
  }
}

static void on_replayed(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct job_ask *ask = arg;
  struct call *c = ask->c;
  struct queue *q =
      c->admin ? registry_queue(c->view->registry, ask->queue, strlen(ask->queue)) : NULL;
  /* Also where the answer got lost: it may be due. */
  if (q && (count || rc)) dispatcher_wake(c->view->dispatcher, q, false);
  if (rc) {
    c->status = call_store_status(rc);
    snprintf(c->why, sizeof c->why, "storage %s did not answer: %.90s", ask->storage, why);
  } else if (count) {
    c->count += count;
    job_log(c, ask->queue, "replay");
  }
  c->pending--;
  replay_end(c, ask->queue);
  free(ask);
  call_unref(c);
}

void admin_post_job_replay(struct call *c) {
  struct target x = {0};
  if (!target_read(c, &x)) return;
  for (size_t i = 0; i < x.queue->n_topics; i++) {
    struct topic *t = x.queue->topics[i];
    if (!t->store || (x.topic && x.topic != t)) continue;
    store_replay(t->store, STORE_SET_BOTH, x.id, on_replayed,
                 job_ask_new(c, x.queue, store_name(t->store_entry->store)));
  }
  replay_end(c, x.queue->name);
}
