/* Owns what the metrics of alerts mean. See measure.h. */
#include "alerts/measure.h"

#include "alerts/counts.h"
#include "base/out_of_memory.h"
#include "control/control.h"
#include "event/loop.h"
#include "registry/registry.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS 60000
#define NODES_MS  5000 /* which nodes live is asked for so often */

struct measure {
  struct loop *loop;
  struct registry *reg;
  struct control *control;
  struct counts *counts;
  /* Nodes that are away, while somebody wants to know. */
  bool nodes_wanted, nodes_asked, nodes_known;
  uint64_t nodes_ms; /* monotonic */
  size_t nodes_away;
};

/* --- the topics of a target --- */

typedef void (*topic_fn)(void *arg, const struct topic *t);

static bool is_of_system(const struct queue_settings *q, const char *system) {
  return q->system && strcmp(q->system->name, system) == 0;
}

static void each_topic(struct measure *m, const struct alert_settings *set, topic_fn fn,
                       void *arg) {
  size_t n;
  const struct settings *s = registry_settings(m->reg);
  if (*set->topic) {
    const struct topic *t = registry_topic(m->reg, set->topic, strlen(set->topic));
    if (t) fn(arg, t);
    return;
  }
  if (*set->queue) {
    const struct queue_settings *q = s ? settings_queue(s, set->queue, strlen(set->queue)) : NULL;
    for (size_t i = 0; q && i < q->n_topics; i++) {
      const struct topic *t =
          registry_topic(m->reg, q->topics[i]->path, strlen(q->topics[i]->path));
      if (t) fn(arg, t);
    }
    return;
  }
  struct topic *const *all = registry_topics(m->reg, &n);
  for (size_t i = 0; i < n; i++)
    if (set->all || is_of_system(all[i]->set->queue, set->system)) fn(arg, all[i]);
}

/* --- parts of a node --- */

bool measure_is_shared(enum alert_metric metric) {
  return metric == ALERT_FAILED || metric == ALERT_UNREACHABLE || metric == ALERT_STORAGE_DOWN ||
         metric == ALERT_REVISION_BEHIND;
}

static void failed_add(void *arg, const struct topic *t) {
  uint64_t *sum = arg;
  *sum += t->counters.failed;
}

static void unreachable_add(void *arg, const struct topic *t) {
  uint64_t *sum = arg;
  *sum += t->state == TOPIC_UNREACHABLE;
}

uint64_t failed_minute_add(struct failed_minute *f, uint64_t now_ms, uint64_t total) {
  size_t last = (f->first + f->n - 1) % FAILED_LOOKS;
  if (f->n && total < f->looks[last].total) f->n = 0; /* topics have gone, or are others now */
  while (f->n > 1 && now_ms - f->looks[f->first].at_ms > MINUTE_MS) {
    f->first = (f->first + 1) % FAILED_LOOKS;
    f->n--;
  }
  if (f->n == FAILED_LOOKS) { /* many looks within a minute: one of them is enough */
    f->n--;
    last = (f->first + f->n - 1) % FAILED_LOOKS;
  }
  size_t at = (f->first + f->n) % FAILED_LOOKS;
  f->looks[at].at_ms = now_ms;
  f->looks[at].total = total;
  f->n++;
  return total - f->looks[f->first].total;
}

static const struct storage_settings *storage_of(const struct settings *s, const char *name) {
  for (size_t i = 0; s && i < s->n_storages; i++)
    if (strcmp(s->storages[i]->name, name) == 0) return s->storages[i];
  return NULL;
}

/* A storage that no system owns serves all of them. */
static size_t storages_down(const struct measure *m, const struct alert_settings *set) {
  size_t n, down = 0;
  struct store *const *stores = registry_stores(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct storage_settings *st =
        storage_of(registry_settings(m->reg), store_name(stores[i]));
    if (!st || st->broken) continue;
    if (!set->all && st->system && strcmp(st->system->name, set->system) != 0) continue;
    down += store_state(stores[i]) != STORE_READY || *store_no_writes(stores[i]);
  }
  return down;
}

static bool revision_is_behind(const struct measure *m) {
  struct control_status st;
  control_status(m->control, &st);
  return st.head && (st.runs < st.head || st.refused);
}

double measure_share(struct measure *m, const struct alert_settings *set, struct failed_minute *f) {
  uint64_t sum = 0;
  if (set->when.metric == ALERT_FAILED) {
    each_topic(m, set, failed_add, &sum);
    sum = failed_minute_add(f, loop_now_ms(m->loop), sum);
  } else if (set->when.metric == ALERT_UNREACHABLE) {
    each_topic(m, set, unreachable_add, &sum);
  } else if (set->when.metric == ALERT_STORAGE_DOWN) {
    sum = storages_down(m, set);
  } else {
    sum = revision_is_behind(m);
  }
  return (double)sum;
}

/* --- what the storages know --- */

struct jobs {
  struct measure *m;
  enum alert_metric metric;
  uint64_t now_ms; /* Unix */
  uint64_t value;
  size_t known;
};

static void jobs_add(void *arg, const struct topic *t) {
  struct jobs *j = arg;
  const struct count *c = counts_of(j->m->counts, t);
  if (!c) return;
  j->known++;
  uint64_t age = c->oldest_ms && j->now_ms > c->oldest_ms ? j->now_ms - c->oldest_ms : 0;
  if (j->metric == ALERT_READY) j->value += c->ready;
  if (j->metric == ALERT_RUNNING) j->value += c->running;
  if (j->metric == ALERT_DEAD) j->value += c->dead;
  if (j->metric == ALERT_OLDEST && age > j->value) j->value = age;
}

static void on_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct measure *m = arg;
  size_t i, away = 0;
  json_t *o;
  (void)why;
  json_array_foreach(nodes, i, o) away += !json_is_true(json_object_get(o, "alive"));
  m->nodes_asked = false;
  m->nodes_known = !rc;
  m->nodes_away = away;
}

bool measure_whole(struct measure *m, const struct alert_settings *set, double *ret) {
  if (set->when.metric == ALERT_NODE_AWAY) {
    m->nodes_wanted = true;
    *ret = (double)m->nodes_away;
    return m->nodes_known;
  }
  struct jobs j = {.m = m, .metric = set->when.metric, .now_ms = loop_wall_ms(m->loop)};
  each_topic(m, set, jobs_add, &j);
  *ret = (double)j.value;
  return j.known > 0;
}

void measure_ask(struct measure *m) {
  uint64_t now = loop_now_ms(m->loop);
  counts_round(m->counts);
  if (!m->nodes_wanted) m->nodes_known = false;
  if (!m->nodes_wanted || m->nodes_asked) return;
  m->nodes_wanted = false;
  if (m->nodes_known && now - m->nodes_ms < NODES_MS) return;
  m->nodes_asked = true;
  m->nodes_ms = now;
  control_nodes(m->control, on_nodes, m);
}

struct measure *measure_new(struct loop *loop, struct registry *reg, struct control *control) {
  struct measure *m = calloc(1, sizeof *m);
  if (!m) out_of_memory();
  *m = (struct measure){.loop = loop, .reg = reg, .control = control};
  m->counts = counts_new(loop, reg);
  return m;
}

void measure_free(struct measure *m) {
  if (!m) return;
  counts_free(m->counts);
  free(m);
}
