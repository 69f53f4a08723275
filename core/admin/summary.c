/* Owns what the first page tells of all topics together: sums, and the few that need people. */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>

#define WORST_MAX 20
#define OLD_MS    600000 /* a job that waits for so long is told of */
#define FAILING   0.05   /* attempts a second */

/* Why a topic is among the worst; the first reason counts most. */
enum reason { NOT_OPEN, FAILS, DEAD, OLD, REASONS };
static const char *const reasons[REASONS] = {"not_open", "failing", "dead", "old"};

struct bad {
  const struct topic *t;
  const struct seen *seen; /* NULL: its depth is not known */
  enum reason reason;
  double much; /* of two with the same reason the one with more is worse */
};

struct worst {
  struct bad list[WORST_MAX]; /* the worst first */
  size_t n;
};

static bool is_shut(const struct topic *t) {
  return t->state != TOPIC_OPEN && t->state != TOPIC_DISABLED && t->state != TOPIC_PAUSED &&
         t->state != TOPIC_PINGING && t->state != TOPIC_DRAINING;
}

/* False: nothing is wrong. */
static bool judge(const struct topic *t, const struct seen *seen, uint64_t now, struct bad *ret) {
  const struct store_depth *d = seen && seen->at_ms ? &seen->depth : NULL;
  *ret = (struct bad){.t = t, .seen = d ? seen : NULL};
  if (is_shut(t)) {
    ret->reason = NOT_OPEN;
    ret->much = d ? (double)(d->ready + d->retry) : 0;
  } else if (t->rates.failed >= FAILING) {
    ret->reason = FAILS;
    ret->much = t->rates.failed;
  } else if (d && d->dead) {
    ret->reason = DEAD;
    ret->much = (double)d->dead;
  } else if (d && d->oldest_ms && now > d->oldest_ms && now - d->oldest_ms >= OLD_MS) {
    ret->reason = OLD;
    ret->much = (double)(now - d->oldest_ms);
  } else {
    return false;
  }
  return true;
}

static bool is_worse(const struct bad *a, const struct bad *b) {
  return a->reason != b->reason ? a->reason < b->reason : a->much > b->much;
}

static void worst_add(struct worst *w, const struct bad *x) {
  size_t at = w->n;
  while (at && is_worse(x, &w->list[at - 1])) at--;
  if (at == WORST_MAX) return;
  if (w->n < WORST_MAX) w->n++;
  for (size_t i = w->n - 1; i > at; i--) w->list[i] = w->list[i - 1];
  w->list[at] = *x;
}

static json_t *some(uint64_t v) {
  return v ? json_u64(v) : json_null();
}

static json_t *bad_json(const struct bad *x) {
  const struct topic *t = x->t;
  const struct system_settings *system = t->set->queue->system;
  char why[400];
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(t->set->path));
  json_object_set_new(o, "system", json_cstr(system ? system->name : NULL));
  json_object_set_new(o, "state", json_string(topic_state_names[t->state]));
  json_object_set_new(o, "why", json_cstr(topic_why(t, why, sizeof why)));
  json_object_set_new(o, "reason", json_string(reasons[x->reason]));
  json_object_set_new(o, "ready", x->seen ? json_u64(x->seen->depth.ready) : json_null());
  json_object_set_new(o, "retry", x->seen ? json_u64(x->seen->depth.retry) : json_null());
  json_object_set_new(o, "dead", x->seen ? json_u64(x->seen->depth.dead) : json_null());
  json_object_set_new(o, "oldest_ms", some(x->seen ? x->seen->depth.oldest_ms : 0));
  json_object_set_new(o, "failed_rate", json_rate(t->rates.failed));
  return o;
}

static bool is_chosen(struct call *c, const struct topic *t, const char *queue,
                      const char *system) {
  const struct queue_settings *q = t->set->queue;
  if (queue && strcmp(q->name, queue) != 0) return false;
  if (system && strcmp(q->system ? q->system->name : "", system) != 0) return false;
  return call_sees_topic(c, t);
}

static json_t *summary_json(const struct call *c, const struct topic_sums *s,
                            const struct worst *w) {
  uint64_t now = loop_now_ms(c->view->loop), wall = loop_wall_ms(c->view->loop);
  json_t *o = json_object(), *list = json_array();
  json_object_set_new(o, "topics", json_u64(s->topics));
  topic_sums_put(o, s);
  json_object_set_new(o, "oldest_topic", json_cstr(s->oldest ? s->oldest->set->path : NULL));
  json_object_set_new(o, "asked_ms", some(s->asked_ms ? wall - (now - s->asked_ms) : 0));
  json_object_set_new(
      o, "node",
      json_pack("{sI sI}", "taken", (json_int_t)s->taken, "attempts", (json_int_t)s->attempts));
  for (size_t i = 0; i < w->n; i++) json_array_append_new(list, bad_json(&w->list[i]));
  json_object_set_new(o, "worst", list);
  if (c->acc) json_object_set(o, "nodes", json_object_get(c->acc, "nodes"));
  if (c->acc) json_object_set(o, "missing", json_object_get(c->acc, "missing"));
  return o;
}

/* ?queue= and ?system= choose. */
void admin_get_summary(struct call *c) {
  size_t n;
  char queue[NAME_LEN_MAX + 2] = "", system[NAME_LEN_MAX + 2] = "";
  bool by_queue = call_query(c, "queue", queue, sizeof queue);
  bool by_system = call_query(c, "system", system, sizeof system);
  uint64_t now = loop_wall_ms(c->view->loop);
  struct topic_sums sums = {0};
  struct worst worst = {.n = 0};
  struct bad bad;
  if (by_queue && !call_queue_named(c, queue)) return;
  const struct depths *d = depths_now(c->view->metrics);
  if (call_again(c, topic_depths_settled, DEPTHS_WAIT_MS)) return;
  metrics_freshen(c->view->metrics);
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  const json_t *others = json_object_get(c->acc, "sums");
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    if (!is_chosen(c, t, by_queue ? queue : NULL, by_system ? system : NULL)) continue;
    topic_sums_add(&sums, t, depths_seen(d, i),
                   others ? json_object_get(others, t->set->path) : NULL);
    if (judge(t, depths_seen(d, i), now, &bad)) worst_add(&worst, &bad);
  }
  call_json(c, 200, summary_json(c, &sums, &worst));
}
