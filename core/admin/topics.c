/* Owns how topics are shown: one of them whole, and the list, with what the storages hold of them.
 */
#include "admin/private.h"

#include "admin/names.h"
#include "admin/picks.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define ASKED_AT_ONCE 160  /* topics: Redis works on them for some ms */
#define FIGURES_MAX   5000 /* topics in the figures for another node */
#define ROW_GUESS     1200 /* bytes of a row with what the storage says */
#define PAGE_MAX      25   /* topics in one question: to tell of them takes a ms */

_Static_assert(PAGE_MAX <= STORE_LOOK_MAX, "so many can be asked for at once");

/* --- one --- */

json_t *topic_pause_json(const struct topic *t) {
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

static void pause_write(struct buf *out, const struct topic *t) {
  if (!t->paused) {
    json_write_text(out, "pause", NULL);
    return;
  }
  json_write_begin(out, "pause");
  json_write_some(out, "since_ms", t->pause.since_ms);
  json_write_text(out, "by", t->pause.by);
  json_write_text(out, "reason", t->pause.reason);
  json_write_end(out);
}

static double other(const json_t *others, size_t i) {
  return json_number_value(json_array_get(others, i));
}

static void now_write(struct buf *out, const struct topic *t, const json_t *others) {
  json_write_begin(out, "node");
  json_write_u64(out, "taken", t->ready.n + (uint64_t)other(others, 0));
  json_write_u64(out, "attempts", t->requests.running + (uint64_t)other(others, 1));
  json_write_end(out);
  json_write_begin(out, "rates");
  json_write_milli(out, "accepted", t->queue->rates.accepted + other(others, 2));
  json_write_milli(out, "done", t->rates.done + other(others, 3));
  json_write_milli(out, "failed", t->rates.failed + other(others, 4));
  json_write_end(out);
}

static void brief_write(struct buf *out, const struct topic *t, const json_t *others) {
  char why[400];
  json_write_begin(out, NULL);
  json_write_text(out, "topic", t->set->path);
  json_write_text(out, "state", topic_state_names[t->state]);
  json_write_text(out, "why", topic_why(t, why, sizeof why));
  now_write(out, t, others);
  if (t->inst) plugin_write_health(out, t->inst);
}

void topic_write(struct buf *out, const struct topic *t, const json_t *others) {
  const struct topic_settings *set = t->set;
  char why[400];
  json_write_begin(out, NULL);
  json_write_text(out, "topic", set->path);
  json_write_text(out, "queue", set->queue->name);
  json_write_text(out, "name", set->name);
  json_write_text(out, "system", set->queue->system ? set->queue->system->name : NULL);
  json_write_text(out, "state", topic_state_names[t->state]);
  json_write_text(out, "why", topic_why(t, why, sizeof why));
  json_write_u64(out, "since_ms", t->since_ms);
  pause_write(out, t);
  json_write_text(out, "run_type", set->run_type);
  json_write_text(out, "storage", set->storage ? set->storage->name : NULL);
  json_write_text(out, "pool", set->pool ? set->pool->name : NULL);
  json_write_u64(out, "workers", set->workers);
  json_write_u64(out, "timeout_ms", set->timeout_ms);
  now_write(out, t, others);
  counters_topic_write(out, "counters", &t->counters);
  if (t->inst) plugin_write_health(out, t->inst);
}

/* An object of the members in `b`, which is closed and emptied. */
static json_t *written_json(struct buf *b) {
  json_write_end(b);
  json_t *o = b->failed ? NULL : json_loadb(b->data, b->len, 0, NULL);
  buf_free(b);
  if (!o) out_of_memory();
  return o;
}

/* One of them whole. */
static json_t *topic_json(const struct topic *t) {
  const struct topic_settings *set = t->set;
  struct buf row = {0};
  topic_write(&row, t, NULL);
  json_t *o = written_json(&row);
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
  options_set_json(o, "options", tr ? tr->topic_options : NULL, stride, set->conf);
  options_set_json(o, "pool_options", tr ? tr->pool_options : NULL, stride,
                   set->pool ? set->pool->conf : NULL);
  if (t->inst) plugin_set_topic_figures(o, t->inst);
  return o;
}

/* What the storage says of one topic; over all nodes. */
static void depth_write(struct buf *out, enum store_rc rc, const struct store_depth *d,
                        const char *why) {
  if (rc || !d) {
    json_write_text(out, "counts", NULL);
    json_write_text(out, "counts_error", why && *why ? why : "no answer");
    return;
  }
  json_write_begin(out, "counts");
  json_write_u64(out, "ready", d->ready);
  if (d->ready_at_most) json_write_bool(out, "ready_at_most", true);
  json_write_u64(out, "running", d->running);
  json_write_u64(out, "retry", d->retry);
  json_write_u64(out, "dead", d->dead);
  json_write_u64(out, "delayed", d->delayed);
  json_write_u64(out, "queue_bytes", d->bytes);
  json_write_some(out, "next_due_ms", d->next_due_ms);
  json_write_some(out, "oldest_ms", d->oldest_ms);
  json_write_end(out);
  json_write_bool(out, "paused", d->paused);
}

static void set_depth(json_t *o, enum store_rc rc, const struct store_depth *d, const char *why) {
  struct buf b = {0};
  json_write_begin(&b, NULL);
  depth_write(&b, rc, d, why);
  json_t *depth = written_json(&b);
  json_object_update(o, depth);
  json_decref(depth);
}

static void on_depths(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                      const char *why) {
  struct call *c = arg;
  set_depth(c->acc, rc, n ? d : NULL, why);
  call_json(c, 200, json_incref(c->acc));
  call_unref(c);
}

void admin_get_topic(struct call *c) {
  struct topic *t = call_topic(c);
  if (!t) return;
  metrics_freshen(c->view->metrics);
  c->acc = topic_json(t);
  if (!t->store) {
    set_depth(c->acc, STORE_UNAVAILABLE, NULL, "not on this node");
    call_json(c, 200, json_incref(c->acc));
    return;
  }
  struct store_topic *asked[] = {t->store};
  call_wait(c, ADMIN_WAIT_MS);
  store_ask_depths(asked, 1, on_depths, c);
}

/* --- of several nodes --- */

void admin_get_figures(struct call *c) {
  size_t n;
  json_t *o = json_object(), *figures = json_object();
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  metrics_freshen(c->view->metrics);
  for (size_t i = 0; i < n && json_object_size(figures) < FIGURES_MAX; i++) {
    const struct topic *t = topics[i];
    const struct rates *in = &t->queue->rates, *out = &t->rates;
    if (!t->ready.n && !t->requests.running && in->accepted <= 0 && out->done <= 0 &&
        out->failed <= 0)
      continue;
    if (!call_sees_topic(c, t)) continue;
    json_object_set_new(figures, t->set->path,
                        json_pack("[I I o o o]", (json_int_t)t->ready.n,
                                  (json_int_t)t->requests.running, json_rate(in->accepted),
                                  json_rate(out->done), json_rate(out->failed)));
  }
  json_object_set_new(o, "figures", figures);
  call_json(c, 200, o);
}

/* --- the list --- */

struct topic_list;

/* Neighbours, topics of one queue: one question to the storage. */
struct page {
  struct page *next;
  struct topic_list *list;
  size_t n;
  bool done;
  struct part {
    size_t from, to;
  } row[PAGE_MAX], depth[PAGE_MAX]; /* of `text` */
  double done_rate[PAGE_MAX];       /* jobs a second */
  struct buf text;
};

struct topic_list {
  const struct admin_view *view;
  struct http_request *req; /* NULL: its answer has ended */
  struct names names;
  struct page *head, **tail; /* in their order; the head is sent when it is done */
  size_t asked;              /* topics of pages that are not sent yet */
  unsigned refs;             /* the stream's, and one for each question on the way */
  bool begun, first;
  bool wide;      /* a page by offset: its rows have more */
  bool brief;     /* rows have what a table of a terminal shows */
  json_t *others; /* of ?node=all: {sums, nodes, missing}; NULL: of this node alone */
};

static void page_free(struct page *p) {
  buf_free(&p->text);
  free(p);
}

static void list_unref(struct topic_list *l) {
  if (--l->refs) return;
  while (l->head) {
    struct page *p = l->head;
    l->head = p->next;
    page_free(p);
  }
  names_free(&l->names);
  json_decref(l->others);
  free(l);
}

/* Upper bound of the bucket within which the q-th part of the answered requests lies. */
static uint64_t quantile_ms(const struct topic_counters *n, double q) {
  uint64_t seen = 0;
  for (size_t i = 0; i < RUN_BUCKETS - 1; i++)
    if ((double)(seen += n->run_bucket[i]) >= q * (double)n->run_count) return run_bucket_ms[i];
  return run_bucket_ms[RUN_BUCKETS - 2];
}

static void wide_write(struct buf *out, const struct topic *t) {
  const struct topic_settings *set = t->set;
  bool ran = t->counters.run_count;
  json_write_text(out, "title", set->title ? set->title : "");
  json_write_bool(out, "enabled", set->enabled);
  json_write_bool(out, "here", set->here);
  json_write_some(out, "p50_ms", ran ? quantile_ms(&t->counters, 0.5) : 0);
  json_write_some(out, "p99_ms", ran ? quantile_ms(&t->counters, 0.99) : 0);
}

/* How long the backlog takes, if things go on as they do. */
static void eta_write(struct buf *out, const struct store_depth *d, double done) {
  if (d && d->ready && done >= 0.05)
    json_write_u64(out, "eta_s", (uint64_t)((double)d->ready / done + 0.5));
  else
    json_write_text(out, "eta_s", NULL);
}

static void page_depth(struct page *p, size_t i, enum store_rc rc, const struct store_depth *d,
                       const char *why) {
  p->depth[i].from = p->text.len;
  depth_write(&p->text, rc, d, why);
  if (p->list->wide) eta_write(&p->text, rc ? NULL : d, p->done_rate[i]);
  json_write_end(&p->text);
  p->depth[i].to = p->text.len;
}

static void on_page(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                    const char *why) {
  struct page *p = arg;
  struct topic_list *l = p->list;
  for (size_t i = 0; i < p->n; i++) page_depth(p, i, rc, i < n ? &d[i] : NULL, why);
  p->done = true;
  if (l->req && p == l->head) http_stream_wake(l->req);
  list_unref(l);
}

static struct topic *next_topic(struct topic_list *l) {
  const char *path = names_peek(&l->names);
  return path ? registry_topic(l->view->registry, path, strlen(path)) : NULL;
}

static void page_row(struct topic_list *l, struct page *p, const struct topic *t) {
  const json_t *sums = json_object_get(l->others, "sums");
  buf_reserve(&p->text, ROW_GUESS);
  const json_t *others = sums ? json_object_get(sums, t->set->path) : NULL;
  p->row[p->n].from = p->text.len;
  p->done_rate[p->n] = t->rates.done + other(others, 3);
  if (l->brief)
    brief_write(&p->text, t, others);
  else
    topic_write(&p->text, t, others);
  if (l->wide) wide_write(&p->text, t);
  p->row[p->n++].to = p->text.len;
}

/* The next of the names and its neighbours. False: no memory. */
static bool page_ask(struct topic_list *l) {
  struct store_topic *asked[PAGE_MAX];
  struct topic *first = next_topic(l), *t = first;
  struct page *p = first ? calloc(1, sizeof *p) : NULL;
  if (!first) { /* no longer there */
    names_take(&l->names);
    return true;
  }
  if (!p) return false;
  p->list = l;
  *l->tail = p;
  l->tail = &p->next;
  do {
    asked[p->n] = t->store;
    l->asked++;
    page_row(l, p, t);
    names_take(&l->names);
    t = p->n < PAGE_MAX ? next_topic(l) : NULL;
  } while (first->store && t && t->store && t->store_entry == first->store_entry);
  if (!first->store) {
    page_depth(p, 0, STORE_UNAVAILABLE, NULL, "not on this node");
    p->done = true;
    return true;
  }
  l->refs++;
  store_ask_depths(asked, p->n, on_page, p);
  return true;
}

static void page_send(struct topic_list *l, struct buf *out) {
  struct page *p = l->head;
  l->head = p->next;
  if (!l->head) l->tail = &l->head;
  l->asked -= p->n;
  out->failed |= p->text.failed;
  for (size_t i = 0; i < p->n && !out->failed; i++) {
    const struct part *row = &p->row[i], *depth = &p->depth[i];
    if (!l->first) buf_add(out, ",", 1);
    l->first = false;
    buf_add(out, p->text.data + row->from, row->to - row->from);
    buf_add(out, p->text.data + depth->from, depth->to - depth->from);
  }
  page_free(p);
}

static void list_begin(struct topic_list *l, struct buf *out) {
  static const char *const lists[] = {"nodes", "missing"};
  buf_add_text(out, "{");
  for (size_t i = 0; l->others && i < 2; i++) {
    char *text = json_dumps(json_object_get(l->others, lists[i]), JSON_COMPACT);
    if (!text) out_of_memory();
    buf_printf(out, "\"%s\":%s,", lists[i], text);
    free(text);
  }
  buf_add_text(out, "\"topics\":[");
}

static enum http_stream topics_more(void *arg, struct buf *out) {
  struct topic_list *l = arg;
  uint64_t end = loop_clock_us() + NAMES_SLICE_US;
  if (!l->begun) list_begin(l, out);
  l->begun = true;
  while (loop_clock_us() < end && out->len < NAMES_PIECE) {
    if (l->head && l->head->done) {
      page_send(l, out);
    } else if (names_peek(&l->names) && l->asked < ASKED_AT_ONCE) {
      if (!page_ask(l)) return HTTP_CUT;
    } else if (l->head) {
      return HTTP_WAIT;
    } else {
      names_end_list(&l->names, out);
      return HTTP_END;
    }
  }
  return HTTP_MORE;
}

static void topics_done(void *arg) {
  struct topic_list *l = arg;
  l->req = NULL;
  list_unref(l);
}

/* ?queue= and ?system= choose, ?limit= and ?cursor= make pages. */
static bool all_names(struct call *c, struct names *ret, const char *queue) {
  size_t n, chosen = 0;
  char system[NAME_LEN_MAX + 2] = "";
  bool by_system = call_query(c, "system", system, sizeof system);
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  const char **paths = calloc(n + 1, sizeof *paths);
  if (!paths) out_of_memory();
  for (size_t i = 0; i < n; i++) {
    const struct queue_settings *q = topics[i]->set->queue;
    if (*queue && strcmp(q->name, queue) != 0) continue;
    if (by_system && strcmp(q->system ? q->system->name : "", system) != 0) continue;
    if (call_sees_topic(c, topics[i])) paths[chosen++] = topics[i]->set->path;
  }
  bool good = call_names(c, ret, paths, chosen);
  free(paths);
  return good;
}

void admin_get_topics(struct call *c) {
  char queue[NAME_LEN_MAX + 2] = "", brief[8];
  bool by_queue = call_query(c, "queue", queue, sizeof queue), wide = picking_asked(c);
  if (by_queue && !call_queue_named(c, queue)) return;
  if (wide && topics_await(c)) return;
  metrics_freshen(c->view->metrics);
  struct topic_list *l = calloc(1, sizeof *l);
  if (!l) {
    call_error(c, 500, "out of memory");
    return;
  }
  l->view = c->view;
  l->req = c->req;
  l->others = json_incref(c->acc);
  l->tail = &l->head;
  l->refs = 1;
  l->first = true;
  l->wide = wide;
  l->brief = !wide && call_query(c, "brief", brief, sizeof brief) && !strcmp(brief, "yes");
  if (!(wide ? topics_pick(c, queue, &l->names) : all_names(c, &l->names, queue))) {
    list_unref(l);
    return;
  }
  call_stream(c, "application/json", UINT64_MAX, topics_more, topics_done, l);
}
