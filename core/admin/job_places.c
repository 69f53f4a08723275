/* Owns where jobs are: the jobs of a topic by their state, and one job in all queues.
 *
 * Must never happen: a content, or a queue, for who may not see it; a look that is cut short and
 * says that a job is nowhere.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 50
#define LIST_MAX     250 /* as store_list_jobs() gives at most */
#define PREVIEW_MAX  4096
#define ASKED_MAX    16   /* questions on the way for one request */
#define FIND_MS      5000 /* no further queue is asked then */

static json_t *ms_json(uint64_t ms) {
  return ms ? json_u64(ms) : json_null();
}

/* The members that a job has at every place. */
static json_t *place_json(enum store_place place, const char *node, uint64_t since_ms,
                          uint64_t due_ms, uint64_t times) {
  json_t *o = json_object();
  json_object_set_new(o, "state", json_string(store_places[place]));
  json_object_set_new(o, "node", json_cstr(node));
  json_object_set_new(o, "since_ms", ms_json(since_ms));
  json_object_set_new(o, "due_ms", ms_json(due_ms));
  json_object_set_new(o, "times", json_u64(times));
  return o;
}

/* --- the jobs of a topic in one state --- */

/* c->acc: the answer without its jobs. c->count: bytes shown of each content. */
static void list_answer(struct call *c, json_t *jobs, const char *cursor) {
  json_object_set_new(c->acc, "cursor", cursor && *cursor ? json_cstr(cursor) : json_null());
  json_object_set_new(c->acc, "jobs", jobs);
  call_json(c, 200, json_incref(c->acc));
}

static void on_listed(void *arg, enum store_rc rc, const struct store_job_at *jobs, size_t n,
                      const char *next, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
      const struct store_job_at *j = &jobs[i];
      json_t *o = place_json(j->place, j->node, j->since_ms, j->due_ms, j->times);
      json_object_set_new(o, "id", j->id ? json_id(j->id) : json_null());
      job_set_content(o, j->content, j->content_len, j->size, c->count);
      json_array_append_new(list, o);
    }
    list_answer(c, list, next);
  }
  call_unref(c);
}

static void on_scanned(void *arg, enum store_rc rc, const struct store_scanned *r,
                       const char *why) {
  struct call *c = arg;
  char cursor[STORE_SCAN_AT_MAX] = "";
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
      const struct store_record *j = &r->records[i];
      enum store_place place = j->quarantined ? STORE_JOB_QUARANTINE
                               : j->dead      ? STORE_JOB_DEAD
                               : j->claimed   ? STORE_JOB_RUNNING
                                              : STORE_JOB_RETRY;
      /* A claimed one's due time is its lease. */
      json_t *o = place_json(place, j->node, j->failed_ms,
                             place == STORE_JOB_RUNNING ? 0 : j->due_ms, j->failed);
      json_object_set_new(o, "id", json_id(j->id));
      json_object_set_new(o, "code", json_integer(j->code));
      json_object_set_new(o, "message",
                          call_message(c, j->message ? j->message : "", j->message_len));
      job_set_content(o, j->content, j->content_len, j->size, c->count);
      json_array_append_new(list, o);
    }
    if (!r->over) store_scan_at_format(&r->at, cursor);
    list_answer(c, list, cursor);
  }
  call_unref(c);
}

/* False: answered with 400. */
static bool state_read(struct call *c, enum store_place *ret) {
  char state[16] = "ready";
  call_query(c, "state", state, sizeof state);
  for (int i = 0; i < STORE_JOB_SETTLED; i++) {
    if (strcmp(store_places[i], state) != 0) continue;
    *ret = (enum store_place)i;
    return true;
  }
  call_error(c, 400, "state \"%.15s\" is not ready, delayed, running, retry, dead or quarantine",
             state);
  return false;
}

static void failed_list(struct call *c, struct topic *t, enum store_place place, uint64_t limit,
                        const char *from) {
  static const enum store_set sets[] = {[STORE_JOB_RETRY] = STORE_SET_RETRY,
                                        [STORE_JOB_DEAD] = STORE_SET_DEAD,
                                        [STORE_JOB_QUARANTINE] = STORE_SET_QUARANTINE};
  struct store_scan scan = {.kind = STORE_SCAN_RECORDS,
                            .filter.set = sets[place],
                            .want = limit,
                            .content_max = c->count};
  if (*from && !store_scan_at_parse(from, &scan.from)) {
    call_error(c, 400, "the cursor is not one of this list");
    return;
  }
  call_wait(c, ADMIN_WAIT_MS);
  store_scan(t->store, &scan, on_scanned, c);
}

void admin_get_topic_jobs(struct call *c) {
  static const char *const known[] = {"state", "limit", "cursor", "content", NULL};
  char from[STORE_LIST_FROM_MAX + 1] = "";
  enum store_place place;
  uint64_t limit, content;
  struct topic *t = call_stored_topic(c);
  if (!t || !call_query_known(c, known) || !state_read(c, &place) ||
      !call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &limit) ||
      !call_query_u64(c, "content", 0, 1, &content))
    return;
  call_query(c, "cursor", from, sizeof from);
  if (strlen(from) >= STORE_LIST_FROM_MAX || from[strspn(from, "0123456789-.:abcdefrx")]) {
    call_error(c, 400, "the cursor is not one of this list");
    return;
  }
  if (!limit) limit = 1;
  c->count = content && call_sees_contents(c) ? PREVIEW_MAX : 0;
  c->acc = json_object();
  json_object_set_new(c->acc, "topic", json_cstr(c->path));
  json_object_set_new(c->acc, "state", json_string(store_places[place]));
  if (place >= STORE_JOB_RETRY) {
    failed_list(c, t, place, limit, from);
    return;
  }
  call_wait(c, ADMIN_WAIT_MS);
  store_list_jobs(t->store, place, from, limit, c->count, on_listed, c);
}

/* --- one job in all queues --- */

struct search {
  struct call *c;
  uint64_t id, generation, until_ms;
  size_t queue, store; /* the next to be asked */
  size_t asked;        /* questions on the way */
  bool whole, ended;
};

struct question {
  struct search *search;
  char queue[NAME_LEN_MAX + 1], storage[NAME_LEN_MAX + 1];
};

static void search_answer(struct search *s) {
  struct call *c = s->c;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (s->whole && !json_array_size(c->acc)) {
    call_error(c, 404,
               "no queue that you may see has job %s: all topics are done with it, or it was "
               "never there",
               c->args[0]);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "id", json_id(s->id));
    json_object_set_new(o, "complete", json_boolean(s->whole));
    json_object_set_new(o, "why", json_cstr(c->why));
    json_object_set(o, "places", c->acc);
    call_json(c, 200, o);
  }
  call_unref(c);
  free(s);
}

static void not_whole(struct search *s, const char *why) {
  s->whole = false;
  if (!*s->c->why) snprintf(s->c->why, sizeof s->c->why, "%s", why);
}

static void search_go_on(struct search *s);

static void on_places(void *arg, enum store_rc rc, const struct store_job_at *places, size_t n,
                      bool whole, const char *why) {
  struct question *q = arg;
  struct search *s = q->search;
  char text[256];
  if (rc) {
    snprintf(text, sizeof text, "storage %s did not answer: %.100s", q->storage, why);
    not_whole(s, text);
  } else if (!whole) {
    snprintf(text, sizeof text, "the backlog of queue %s is too long to be looked through",
             q->queue);
    not_whole(s, text);
  }
  for (size_t i = 0; i < n; i++) {
    const struct store_job_at *j = &places[i];
    json_t *o = place_json(j->place, j->node, j->since_ms, j->due_ms, j->times);
    json_object_set_new(o, "queue", json_cstr(q->queue));
    json_object_set_new(o, "topic", *j->topic ? json_cstr(j->topic) : json_null());
    json_object_set_new(o, "storage", json_cstr(q->storage));
    json_array_append_new(s->c->acc, o);
  }
  free(q);
  s->asked--;
  search_go_on(s);
}

static void question_send(struct search *s, const struct queue *queue,
                          const struct queue_store *entry) {
  struct question *q = malloc(sizeof *q);
  if (!q) out_of_memory();
  q->search = s;
  snprintf(q->queue, sizeof q->queue, "%s", queue->name);
  snprintf(q->storage, sizeof q->storage, "%s", store_name(entry->store));
  s->asked++;
  store_find_job(entry->sq, s->id, on_places, q);
}

/* Why no more queues are asked; NULL: go on. */
static const char *search_stops(const struct search *s) {
  struct call *c = s->c;
  if (call_answered(c) || !c->admin) return "nobody waits for it";
  if (registry_generation(c->view->registry) != s->generation) return "a reload came between";
  if (loop_now_ms(c->view->loop) >= s->until_ms) return "there was no time for all queues";
  return NULL;
}

static void search_go_on(struct search *s) {
  const char *why = s->ended ? NULL : search_stops(s);
  size_t n;
  if (why) {
    not_whole(s, why);
    s->ended = true;
  }
  while (!s->ended && s->asked < ASKED_MAX) {
    struct queue *const *all = registry_queues(s->c->view->registry, &n);
    if (s->queue == n) {
      s->ended = true;
    } else if (s->store == all[s->queue]->n_stores || !call_sees_queue(s->c, all[s->queue]->name)) {
      s->queue++;
      s->store = 0;
    } else {
      const struct queue *q = all[s->queue];
      question_send(s, q, q->stores[s->store++]);
    }
  }
  if (s->ended && !s->asked) search_answer(s);
}

/* An id does not say which queue it is of. */
void admin_get_job(struct call *c) {
  static const char *const known[] = {NULL};
  uint64_t id;
  if (!call_query_known(c, known) || !failed_id(c, c->args[0], &id)) return;
  struct search *s = calloc(1, sizeof *s);
  if (!s) out_of_memory();
  *s = (struct search){.c = c,
                       .id = id,
                       .generation = registry_generation(c->view->registry),
                       .until_ms = loop_now_ms(c->view->loop) + FIND_MS,
                       .whole = true};
  c->acc = json_array();
  call_wait(c, ADMIN_WAIT_MS);
  search_go_on(s);
}
