/* Owns the streams of GET /api/v1/events: what has changed is sent once a second at most.
 *
 * Streams whose users have the same rights are a group: the JSON of a change is made once for each
 * group and shared. A topic has changed when its digest has; a turn takes some topics, the others
 * follow in the next seconds.
 *
 * Must never happen: a stream that goes on when its login has ended; memory that grows because a
 * client does not read; a topic of another system in a stream.
 */
#include "admin/private.h"

#include "acts/act.h"
#include "alerts/alerts.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TICK_MS      1000
#define COMMENT_MS   15000
#define UNREAD_MAX   (256u << 10)
#define STREAMS_EACH 8   /* of one session or token: one more ends the oldest */
#define TOPICS_MAX   100 /* told of in one message */

struct message {
  unsigned refs;
  size_t len;
  char text[];
};

/* A message on its way to one stream. */
struct unread {
  STAILQ_ENTRY(unread) link;
  struct message *m;
};

struct group {
  LIST_ENTRY(group) link;
  char *rights;
  unsigned streams;
  struct message *figures; /* as sent last; NULL: none */
  struct message *alerts;  /* the same */
  struct message *acts;    /* the same; NULL: there was none */
};

struct stream {
  TAILQ_ENTRY(stream) link; /* of events->streams, the oldest first */
  struct events *events;
  struct call *c;
  struct http_request *req;
  struct group *group;
  STAILQ_HEAD(, unread) queue;
  size_t unread;
  uint64_t sent_ms;
  bool over; /* it ends as soon as it can */
  bool cut;  /* its client does not read: its connection ends in the next turn */
};

/* A topic whose news is sent in this turn. */
struct changed {
  const struct topic *t;
  struct buf row;
};

struct events {
  const struct admin_view *view;
  struct timer tick;
  TAILQ_HEAD(, stream) streams;
  LIST_HEAD(, group) groups;
  uint64_t *digests; /* of the topics, in the order of the registry */
  size_t n_digests, from;
  struct message *revision;
  uint64_t alerts_changed; /* as told last */
};

/* --- messages --- */

static void message_unref(struct message *m) {
  if (m && !--m->refs) free(m);
}

static struct message *message_new(const char *event, const char *data, size_t len) {
  struct message *m = malloc(sizeof *m + strlen(event) + len + 32);
  if (!m) out_of_memory();
  m->refs = 1;
  m->len = (size_t)sprintf(m->text, "event: %s\ndata: ", event);
  memcpy(m->text + m->len, data, len);
  memcpy(m->text + m->len + len, "\n\n", 2);
  m->len += len + 2;
  return m;
}

static struct message *message_json(const char *event, json_t *o) {
  char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
  json_decref(o);
  if (!text) out_of_memory();
  struct message *m = message_new(event, text, strlen(text));
  free(text);
  return m;
}

static void stream_end(struct stream *s) {
  s->over = true;
  http_stream_wake(s->req);
}

static void stream_clear(struct stream *s) {
  struct unread *u;
  while ((u = STAILQ_FIRST(&s->queue))) {
    STAILQ_REMOVE_HEAD(&s->queue, link);
    message_unref(u->m);
    free(u);
  }
  s->unread = 0;
}

static void stream_add(struct stream *s, struct message *m) {
  if (s->over) return;
  if (s->unread + m->len > UNREAD_MAX) { /* the client can come again, when it reads */
    s->over = s->cut = true;
    stream_clear(s);
    return;
  }
  struct unread *u = malloc(sizeof *u);
  if (!u) out_of_memory();
  u->m = m;
  m->refs++;
  s->unread += m->len;
  STAILQ_INSERT_TAIL(&s->queue, u, link);
  s->sent_ms = loop_now_ms(s->events->view->loop);
  http_stream_wake(s->req);
}

static enum http_stream stream_more(void *arg, struct buf *out) {
  struct stream *s = arg;
  struct unread *u;
  if (!s->over) STAILQ_FOREACH(u, &s->queue, link) buf_add(out, u->m->text, u->m->len);
  stream_clear(s);
  return s->over ? HTTP_END : HTTP_WAIT;
}

/* --- groups --- */

/* Two with the same text see the same. */
static char *rights_text(const struct identity *id) {
  struct buf b = {0};
  buf_add_text(&b, id->every_system ? "*" : "");
  for (size_t i = 0; i < id->n_systems; i++) {
    buf_add_text(&b, id->systems[i]);
    buf_add_text(&b, "\n");
  }
  char *text = strdup(buf_text(&b));
  buf_free(&b);
  if (!text) out_of_memory();
  return text;
}

static struct group *group_of(struct events *e, const struct identity *id) {
  char *rights = rights_text(id);
  struct group *g;
  LIST_FOREACH(g, &e->groups, link)
  if (!strcmp(g->rights, rights)) break;
  if (g) {
    free(rights);
  } else {
    g = calloc(1, sizeof *g);
    if (!g) out_of_memory();
    g->rights = rights;
    LIST_INSERT_HEAD(&e->groups, g, link);
  }
  g->streams++;
  return g;
}

static void group_unref(struct group *g) {
  if (--g->streams) return;
  LIST_REMOVE(g, link);
  message_unref(g->figures);
  message_unref(g->alerts);
  message_unref(g->acts);
  free(g->rights);
  free(g);
}

static void group_send(struct events *e, const struct group *g, struct message *m) {
  struct stream *s;
  TAILQ_FOREACH(s, &e->streams, link)
  if (s->group == g) stream_add(s, m);
}

/* --- what has changed --- */

static uint64_t mix(uint64_t digest, uint64_t value) {
  digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
  return digest ^ digest >> 29;
}

static uint64_t digest_of(const struct topic *t) {
  uint64_t d = mix((uintptr_t)t, t->state);
  d = mix(d, t->since_ms);
  d = mix(d, t->paused);
  d = mix(d, t->counters.attempts);
  d = mix(d, t->counters.done);
  d = mix(d, t->counters.failed);
  d = mix(d, t->counters.retried + t->counters.dead + t->counters.unreachable + t->counters.busy);
  d = mix(d, t->ready.n);
  d = mix(d, t->requests.running);
  return mix(d, (uint64_t)(t->rates.done * 10 + t->rates.failed * 1000));
}

/* The topics of a first stream: all as they are now. */
static void digests_fill(struct events *e) {
  size_t n;
  struct topic *const *topics = registry_topics(e->view->registry, &n);
  uint64_t *fresh = realloc(e->digests, (n + 1) * sizeof *fresh);
  if (!fresh) out_of_memory();
  e->digests = fresh;
  for (size_t i = e->n_digests; i < n; i++) e->digests[i] = 0;
  if (!e->n_digests)
    for (size_t i = 0; i < n; i++) e->digests[i] = digest_of(topics[i]);
  e->n_digests = n;
}

static size_t changed_take(struct events *e, struct changed *ret) {
  size_t n, found = 0;
  struct topic *const *topics = registry_topics(e->view->registry, &n);
  if (n != e->n_digests) digests_fill(e);
  for (size_t k = 0, first = n ? e->from % n : 0; k < n && found < TOPICS_MAX; k++) {
    size_t i = (first + k) % n;
    uint64_t digest = digest_of(topics[i]);
    e->from = i + 1;
    if (digest == e->digests[i]) continue;
    e->digests[i] = digest;
    struct buf row = {0};
    topic_write(&row, topics[i], NULL);
    json_write_end(&row);
    ret[found++] = (struct changed){topics[i], row};
  }
  return found;
}

/* NULL: nothing that they may see. */
static struct message *topics_message(const struct call *c, const struct changed *all, size_t n) {
  struct buf b = {0};
  struct message *m = NULL;
  bool any = false;
  buf_add_text(&b, "{\"topics\":[");
  for (size_t i = 0; i < n; i++) {
    if (all[i].row.failed || !call_sees_topic(c, all[i].t)) continue;
    if (any) buf_add_text(&b, ",");
    buf_add(&b, all[i].row.data, all[i].row.len);
    any = true;
  }
  buf_add_text(&b, "]}");
  if (any && !b.failed) m = message_new("topics", b.data, b.len);
  buf_free(&b);
  return m;
}

static bool message_is_new(struct message **last, struct message *m) {
  bool same = *last && (*last)->len == m->len && !memcmp((*last)->text, m->text, m->len);
  if (same) {
    message_unref(m);
    return false;
  }
  message_unref(*last);
  *last = m;
  return true;
}

static struct message *alerts_message(const struct call *c) {
  json_t *o = json_object();
  json_object_set_new(o, "alerts", alerts_json(c));
  return message_json("alert", o);
}

struct acts_list {
  const struct call *c;
  json_t *list;
};

static void act_add(void *arg, const struct store_act *a) {
  struct acts_list *l = arg;
  if (!call_sees(l->c, "") && !call_sees_queue(l->c, a->queue)) return;
  json_array_append_new(
      l->list, json_pack("{ss ss ss ss ss sI sI}", "id", a->id, "kind", store_act_kinds[a->kind],
                         "state", store_act_states[a->state], "queue", a->queue, "topic", a->topic,
                         "done", (json_int_t)a->done, "of", (json_int_t)a->of));
}

/* Those that run on this node. NULL: there is none, and none was told of. */
static struct message *acts_message(const struct call *c, const struct message *last) {
  struct acts_list l = {c, json_array()};
  acts_each(c->view->acts, act_add, &l);
  if (json_array_size(l.list) || last)
    return message_json("act", json_pack("{so}", "acts", l.list));
  json_decref(l.list);
  return NULL;
}

static struct message *revision_message(const struct admin_view *v) {
  struct control_status st;
  json_t *o = json_object();
  control_status(v->control, &st);
  json_object_set_new(o, "state", json_cstr(control_state_names[st.state]));
  json_object_set_new(o, "head", json_u64(st.head));
  json_object_set_new(o, "runs", json_u64(st.runs));
  json_object_set_new(o, "refused", json_u64(st.refused));
  return message_json("revision", o);
}

/* --- once a second --- */

static void streams_check(struct events *e) {
  struct stream *s, *next;
  for (s = TAILQ_FIRST(&e->streams); s; s = next) {
    next = TAILQ_NEXT(s, link);
    if (s->cut) {
      http_cut(s->req);
    } else if (!accounts_is_current(e->view->accounts, s->c->identity)) {
      stream_end(s);
    }
  }
}

/* Pages do not see comments: the figures come once more, and are known to be good still. */
static void streams_comment(struct events *e) {
  static const char comment[] = ": still here\n\n";
  uint64_t now = loop_now_ms(e->view->loop);
  struct stream *s;
  TAILQ_FOREACH(s, &e->streams, link) {
    if (now - s->sent_ms < COMMENT_MS) continue;
    struct message *m = message_new("", "", 0);
    m->len = sizeof comment - 1;
    memcpy(m->text, comment, m->len);
    stream_add(s, m);
    stream_add(s, s->group->figures);
    message_unref(m);
  }
}

static const struct call *call_of(const struct events *e, const struct group *g) {
  struct stream *s;
  TAILQ_FOREACH(s, &e->streams, link)
  if (s->group == g) return s->c;
  return NULL;
}

static void tick(void *arg) {
  struct events *e = arg;
  struct changed changed[TOPICS_MAX];
  struct group *g;
  streams_check(e);
  if (TAILQ_EMPTY(&e->streams)) return;
  metrics_freshen(e->view->metrics);
  size_t n = changed_take(e, changed);
  bool alerts = e->alerts_changed != alerts_changed(e->view->alerts);
  e->alerts_changed = alerts_changed(e->view->alerts);
  bool revision = message_is_new(&e->revision, revision_message(e->view));
  LIST_FOREACH(g, &e->groups, link) {
    const struct call *c = call_of(e, g);
    if (message_is_new(&g->figures, message_json("figures", status_figures_json(c))))
      group_send(e, g, g->figures);
    struct message *m = topics_message(c, changed, n);
    if (m) group_send(e, g, m);
    message_unref(m);
    if (alerts && message_is_new(&g->alerts, alerts_message(c))) group_send(e, g, g->alerts);
    if (revision) group_send(e, g, e->revision);
    struct message *acts = acts_message(c, g->acts);
    if (acts && message_is_new(&g->acts, acts)) group_send(e, g, g->acts);
  }
  for (size_t i = 0; i < n; i++) buf_free(&changed[i].row);
  streams_comment(e);
  timer_start(&e->tick, TICK_MS);
}

/* --- streams come and go --- */

static void stream_done(void *arg) {
  struct stream *s = arg;
  struct events *e = s->events;
  TAILQ_REMOVE(&e->streams, s, link);
  stream_clear(s);
  group_unref(s->group);
  free(s);
  if (TAILQ_EMPTY(&e->streams)) { /* what was sent last will be old when the next one comes */
    timer_stop(&e->tick);
    e->n_digests = 0;
    message_unref(e->revision);
    e->revision = NULL;
  }
}

static bool same_login(const struct identity *a, const struct identity *b) {
  return a->how == b->how && !strcmp(a->name, b->name) && !strcmp(a->session, b->session);
}

static void oldest_end(struct events *e, const struct identity *id) {
  size_t n = 0;
  struct stream *s, *oldest = NULL;
  TAILQ_FOREACH(s, &e->streams, link) {
    if (s->over || !same_login(s->c->identity, id)) continue;
    if (!n++) oldest = s;
  }
  if (n >= STREAMS_EACH) stream_end(oldest);
}

void admin_get_events(struct call *c) {
  struct events *e = c->admin->events;
  struct stream *s = calloc(1, sizeof *s);
  if (!s) {
    call_error(c, 500, "out of memory");
    return;
  }
  oldest_end(e, c->identity);
  if (TAILQ_EMPTY(&e->streams)) {
    digests_fill(e);
    timer_start(&e->tick, TICK_MS);
  }
  s->events = e;
  s->c = c;
  s->req = c->req;
  s->group = group_of(e, c->identity);
  STAILQ_INIT(&s->queue);
  TAILQ_INSERT_TAIL(&e->streams, s, link);
  if (!s->group->figures) s->group->figures = message_json("figures", status_figures_json(c));
  if (!s->group->alerts) s->group->alerts = alerts_message(c);
  if (!e->revision) e->revision = revision_message(e->view);
  stream_add(s, s->group->figures); /* how things are now comes first, then what changes */
  stream_add(s, e->revision);
  stream_add(s, s->group->alerts);
  if (s->group->acts) stream_add(s, s->group->acts);
  call_stream_fields(c, "text/event-stream", "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n",
                     UINT64_MAX, stream_more, stream_done, s);
}

struct events *events_new(const struct admin_view *view) {
  struct events *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  e->view = view;
  TAILQ_INIT(&e->streams);
  LIST_INIT(&e->groups);
  timer_init(&e->tick, view->loop, tick, e);
  return e;
}

void events_end(struct events *e) {
  struct stream *s, *next;
  for (s = e ? TAILQ_FIRST(&e->streams) : NULL; s; s = next) {
    next = TAILQ_NEXT(s, link);
    s->over = true;
    http_stream_now(s->req);
  }
}

void events_free(struct events *e) {
  if (!e) return;
  timer_done(&e->tick);
  message_unref(e->revision);
  free(e->digests);
  free(e);
}
