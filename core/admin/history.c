/* Owns the routes of figures that are kept: history of a topic, of a node and of all topics; kept
 * signatures; marks.
 *
 * Must never happen: a sum over topics that who asks may not see.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"
#include "history/history.h"

#include <stdlib.h>
#include <string.h>

#define STEP_LEAST_S  60
#define STEP_MOST_S   86400
#define DAY_MS        UINT64_C(86400000)
#define TOPICS_MAX    1000 /* of a sum over all topics */
#define READ_AT_ONCE  8
#define MINUTES_SHARE UINT64_C(10800000) /* of many topics minutes are shown for so long */
#define MINUTES_MANY  50                 /* so many topics are many */

/* One question: the rows of one object or more, then the marks of that time. */
struct asked_history {
  struct call *c;
  struct history_ask ask;
  const char *member; /* "topic", "node" or NULL */
  char **paths;       /* of topics that are still to be read, with NULL behind the last */
  size_t next, pending;
  struct history_point *points;
  size_t n;
  bool exact, failed;
};

static void asked_free(struct asked_history *h) {
  for (size_t i = 0; h->paths && h->paths[i]; i++) free(h->paths[i]);
  free(h->paths);
  free(h->points);
  free(h);
}

/* --- the answer --- */

static json_t *times_json(const struct histogram *h) {
  return json_pack("{sI sI sI sI}", "count", (json_int_t)h->count, "p50_ms",
                   (json_int_t)histogram_ms(h, 500), "p95_ms", (json_int_t)histogram_ms(h, 950),
                   "p99_ms", (json_int_t)histogram_ms(h, 990));
}

static json_t *point_json(const struct history_point *p, bool with_gauges) {
  const struct history_row *r = &p->row;
  const struct history_gauges *g = &p->gauges;
  json_t *o = json_pack("{sI sI sI sI sI sI}", "at_ms", (json_int_t)p->at_ms, "accepted",
                        (json_int_t)r->accepted, "done", (json_int_t)r->done, "failed",
                        (json_int_t)r->failed, "dead", (json_int_t)r->dead, "retried",
                        (json_int_t)r->retried);
  if (with_gauges) {
    json_object_set_new(o, "ready", json_u64(g->ready));
    json_object_set_new(o, "running", json_u64(g->running));
    json_object_set_new(o, "failed_jobs", json_u64(g->retry + g->dead));
    json_object_set_new(o, "oldest_s", json_u64(g->oldest_s));
  }
  json_object_set_new(o, "run", times_json(&r->run));
  json_object_set_new(o, "wait", times_json(&r->wait));
  return o;
}

static void on_marks(void *arg, enum store_rc rc, const struct store_mark *marks, size_t n,
                     const char *why) {
  struct asked_history *h = arg;
  struct call *c = h->c;
  json_t *o = json_object(), *rows = json_array(), *list = json_array();
  (void)why; /* figures are shown without marks rather than not at all */
  if (h->member) json_object_set_new(o, h->member, json_cstr(*c->path ? c->path : c->args[0]));
  if (!h->member) json_object_set_new(o, "exact", json_boolean(h->exact));
  json_object_set_new(o, "step_s", json_integer(h->ask.step_s));
  for (size_t i = 0; i < h->n; i++)
    json_array_append_new(rows, point_json(&h->points[i], !h->member || h->ask.of.queue));
  json_object_set_new(o, "rows", rows);
  for (size_t i = 0; !rc && i < n; i++)
    json_array_append_new(list, json_pack("{sI so so so}", "at_ms", (json_int_t)marks[i].at_ms,
                                          "kind", json_cstr(marks[i].kind), "text",
                                          json_text(marks[i].text, strlen(marks[i].text)), "node",
                                          json_cstr(marks[i].node)));
  json_object_set_new(o, "marks", list);
  if (call_answered(c))
    json_decref(o);
  else
    call_json(c, 200, o);
  asked_free(h);
  call_unref(c);
}

static void marks_ask(struct asked_history *h) {
  struct store *s = control_store(h->c->view->control);
  if (s)
    store_marks_list(s, h->ask.from_ms, h->ask.to_ms, on_marks, h);
  else
    on_marks(h, STORE_UNAVAILABLE, NULL, 0, "");
}

/* --- questions --- */

/* NULL: answered with 400. */
static struct asked_history *asked_new(struct call *c, uint64_t step_s) {
  static const char *const known[] = {"from", "to", "step", NULL};
  uint64_t now = loop_wall_ms(c->view->loop), from, to, step;
  if (!call_query_known(c, known) || !call_query_u64(c, "to", now + 1, INT64_MAX, &to) ||
      !call_query_u64(c, "from", to > DAY_MS ? to - DAY_MS : 0, INT64_MAX, &from) ||
      !call_query_u64(c, "step", step_s, STEP_MOST_S, &step))
    return NULL;
  bool whole = step < 3600 ? step >= STEP_LEAST_S && !(step % STEP_LEAST_S) && !(3600 % step)
                           : !(step % 3600);
  if (!whole) {
    call_error(
        c, 400,
        "\"step\" is a number of seconds: 60 or more of which an hour is a multiple, or whole "
        "hours");
    return NULL;
  }
  struct asked_history *h = calloc(1, sizeof *h);
  if (!h) out_of_memory();
  uint64_t most = step < 3600 ? STORE_MINUTES_MS : STORE_HOURS_MS;
  if (to > from && to - from > most) from = to - most;
  h->c = c;
  h->exact = true;
  h->ask = (struct history_ask){.from_ms = from, .to_ms = to, .step_s = (unsigned)step};
  return h;
}

static void on_points(void *arg, enum store_rc rc, const struct history_point *points, size_t n,
                      const char *why) {
  struct asked_history *h = arg;
  if (rc || call_answered(h->c)) {
    struct call *c = h->c;
    if (!call_answered(c)) call_store_error(c, rc, why);
    asked_free(h);
    call_unref(c);
    return;
  }
  if (!(h->points = calloc(n + 1, sizeof *points))) out_of_memory();
  if (n) memcpy(h->points, points, n * sizeof *points);
  h->n = n;
  marks_ask(h);
}

void admin_get_topic_history(struct call *c) {
  struct topic *t = call_stored_topic(c);
  struct asked_history *h = t ? asked_new(c, STEP_LEAST_S) : NULL;
  if (!h) return;
  h->member = "topic";
  h->ask.store = t->store_entry->store;
  h->ask.of = (struct store_history_of){.queue = c->args[0], .topic = c->args[1]};
  call_wait(c, ADMIN_WAIT_MS);
  history_read(&h->ask, on_points, h);
}

void admin_get_node_history(struct call *c) {
  struct store *s = control_store(c->view->control);
  if (!s) {
    call_error(c, 503, "the storage that keeps the history of nodes is away");
    return;
  }
  struct asked_history *h = asked_new(c, STEP_LEAST_S);
  if (!h) return;
  h->member = "node";
  h->ask.store = s;
  h->ask.of = (struct store_history_of){.node = c->args[0]};
  call_wait(c, ADMIN_WAIT_MS);
  history_read(&h->ask, on_points, h);
}

/* --- all topics --- */

static void points_merge(struct asked_history *h, const struct history_point *points, size_t n) {
  struct history_point *all = calloc(h->n + n + 1, sizeof *all);
  size_t i = 0, k = 0, m = 0;
  if (!all) out_of_memory();
  while (i < h->n || k < n) {
    bool own = k == n || (i < h->n && h->points[i].at_ms <= points[k].at_ms);
    bool both = own && k < n && h->points[i].at_ms == points[k].at_ms;
    all[m] = own ? h->points[i++] : points[k++];
    if (both) {
      const struct history_point *p = &points[k++];
      history_row_merge(&all[m].row, &p->row);
      all[m].gauges.ready += p->gauges.ready;
      all[m].gauges.running += p->gauges.running;
      all[m].gauges.retry += p->gauges.retry;
      all[m].gauges.dead += p->gauges.dead;
      if (p->gauges.oldest_s > all[m].gauges.oldest_s) all[m].gauges.oldest_s = p->gauges.oldest_s;
    }
    m++;
  }
  free(h->points);
  h->points = all;
  h->n = m;
}

static void topics_read(struct asked_history *h);

static void on_topic_points(void *arg, enum store_rc rc, const struct history_point *points,
                            size_t n, const char *why) {
  struct asked_history *h = arg;
  (void)why;
  h->pending--;
  if (rc) h->exact = false;
  if (!rc) points_merge(h, points, n);
  topics_read(h);
}

static void topics_read(struct asked_history *h) {
  struct registry *reg = h->c->view->registry;
  while (h->pending < READ_AT_ONCE && h->paths[h->next] && !call_answered(h->c)) {
    const char *path = h->paths[h->next++];
    struct topic *t = registry_topic(reg, path, strlen(path));
    if (!t || !t->store) continue;
    struct history_ask ask = h->ask;
    ask.store = t->store_entry->store;
    ask.of = (struct store_history_of){.queue = t->set->queue->name, .topic = t->set->name};
    h->pending++;
    history_read(&ask, on_topic_points, h);
  }
  if (!h->pending) marks_ask(h);
}

static uint64_t busy(const struct topic *t) {
  return t->counters.attempts + t->queue->counters.accepted;
}

static int by_work(const void *a, const void *b) {
  uint64_t x = busy(*(struct topic *const *)a), y = busy(*(struct topic *const *)b);
  return (x < y) - (x > y);
}

void admin_get_history(struct call *c) {
  struct asked_history *h = asked_new(c, 3600);
  size_t n, m = 0;
  if (!h) return;
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  struct topic **seen = malloc((n + 1) * sizeof *seen);
  if (!seen) out_of_memory();
  for (size_t i = 0; i < n; i++)
    if (call_sees_topic(c, topics[i])) seen[m++] = topics[i];
  if (m) qsort(seen, m, sizeof *seen, by_work);
  h->exact = m <= TOPICS_MAX;
  if (m > TOPICS_MAX) m = TOPICS_MAX;
  if (m > MINUTES_MANY && h->ask.step_s < 3600 && h->ask.to_ms - h->ask.from_ms > MINUTES_SHARE)
    h->ask.from_ms = h->ask.to_ms - MINUTES_SHARE;
  if (!(h->paths = calloc(m + 1, sizeof *h->paths))) out_of_memory();
  for (size_t i = 0; i < m; i++)
    if (!(h->paths[i] = strdup(seen[i]->set->path))) out_of_memory();
  free(seen);
  call_wait(c, ADMIN_WAIT_MS);
  topics_read(h);
}

/* --- signatures --- */

static void on_signatures(void *arg, enum store_rc rc, const struct store_signature *list, size_t n,
                          uint64_t other, const char *why) {
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
      const struct store_signature *s = &list[i];
      json_array_append_new(all, json_pack("{ss si so sI sI sI so}", "id", s->id, "code", s->code,
                                           "text", json_text(s->text, s->text_len), "count",
                                           (json_int_t)s->count, "first_ms",
                                           (json_int_t)s->first_ms, "last_ms",
                                           (json_int_t)s->last_ms, "last_job", json_id(s->job)));
    }
    call_json(c, 200,
              json_pack("{so so sI}", "topic", json_cstr(c->path), "signatures", all, "other",
                        (json_int_t)other));
  }
  call_unref(c);
}

void admin_get_signatures(struct call *c) {
  struct topic *t = call_stored_topic(c);
  if (!t) return;
  call_wait(c, ADMIN_WAIT_MS);
  store_signatures(t->store_entry->store, c->args[0], c->args[1], on_signatures, c);
}

/* --- marks --- */

static void on_marked(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  (void)count;
  if (!call_answered(c)) {
    if (rc)
      call_store_error(c, rc, why);
    else
      call_json(c, 200, json_pack("{sb}", "marked", 1));
  }
  call_unref(c);
}

void admin_post_mark(struct call *c) {
  json_t *body = call_body_json(c);
  const char *kind = json_string_value(json_object_get(body, "kind"));
  const char *text = json_string_value(json_object_get(body, "text"));
  if (!body) return;
  if (!kind || strcmp(kind, "deploy") != 0) {
    call_error(c, 400, "\"kind\" is \"deploy\"");
  } else if (!text || !*text || strlen(text) > STORE_MARK_TEXT_MAX) {
    call_error(c, 400, "\"text\" is missing, or has more than %d bytes", STORE_MARK_TEXT_MAX);
  } else {
    call_wait(c, ADMIN_WAIT_MS);
    if (!history_mark(c->view->history, kind, text, on_marked, c)) {
      call_error(c, 503, "the storage that keeps marks is away");
      call_unref(c);
    }
  }
  json_decref(body);
}
