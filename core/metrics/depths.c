/* Owns what was last asked of each topic: the numbers of jobs in the storages. */
#include "metrics/private.h"

#include <stdlib.h>

/* A scrape must not wait for Redis, and scrapes of a thousand idle topics must not keep Redis busy.
 * So a scrape shows the last answer for each topic and asks again: soon where jobs move, seldom
 * where none do. */
#define ASKED_AT_ONCE 16
#define FRESH_BUSY_MS 5000
#define FRESH_IDLE_MS 60000

/* Of one generation of the registry; lives until the last answer has come. */
struct depths {
  struct metrics *metrics; /* NULL: the metrics do not use it any more */
  uint64_t generation;
  size_t n, next, on_the_way;
  unsigned refs;
  struct seen topics[];
};

/* At neighbours of one queue. */
struct asked {
  struct depths *of;
  size_t n;
  size_t index[STORE_LOOK_MAX];
};

static void depths_unref(struct depths *d) {
  if (d && !--d->refs) free(d);
}

static uint64_t moved(const struct topic *t) {
  return t->queue->counters.accepted + t->counters.attempts + t->counters.done +
         t->counters.failed + t->counters.recovered;
}

static bool is_stale(const struct seen *seen, const struct topic *t, uint64_t now) {
  const struct store_depth *d = &seen->depth;
  if (seen->asked || !t->store) return false;
  if (!seen->at_ms) return true;
  bool idle =
      seen->counted == moved(t) && !(d->ready || d->running || d->retry || d->dead || d->delayed);
  return now - seen->at_ms >= (idle ? FRESH_IDLE_MS : FRESH_BUSY_MS);
}

static void ask_more(struct depths *d);

static void on_depths(void *arg, enum store_rc rc, const struct store_depth *depth, size_t n,
                      const char *why) {
  struct asked *l = arg;
  struct depths *d = l->of;
  (void)why;
  for (size_t i = 0; i < l->n; i++) {
    struct seen *seen = &d->topics[l->index[i]];
    seen->asked = false;
    if (rc || i >= n || !d->metrics) continue;
    seen->depth = depth[i];
    seen->at_ms = loop_now_ms(d->metrics->loop);
  }
  free(l);
  d->on_the_way--;
  ask_more(d);
  depths_unref(d);
}

static void ask_more(struct depths *d) {
  size_t n;
  if (!d->metrics || d->generation != registry_generation(d->metrics->reg)) return;
  struct topic *const *topics = registry_topics(d->metrics->reg, &n);
  uint64_t now = loop_now_ms(d->metrics->loop);
  while (d->next < d->n && d->on_the_way < ASKED_AT_ONCE) {
    struct store_topic *asked[STORE_LOOK_MAX];
    const struct topic *first = topics[d->next];
    struct asked *l = is_stale(&d->topics[d->next], first, now) ? calloc(1, sizeof *l) : NULL;
    if (!l) {
      d->next++;
      continue;
    }
    l->of = d;
    for (; d->next < d->n && l->n < STORE_LOOK_MAX; d->next++) {
      struct topic *t = topics[d->next];
      struct seen *seen = &d->topics[d->next];
      if (!t->store || t->store_entry != first->store_entry) break;
      if (!is_stale(seen, t, now)) continue;
      seen->asked = true;
      seen->counted = moved(t);
      asked[l->n] = t->store;
      l->index[l->n++] = d->next;
    }
    d->on_the_way++;
    d->refs++;
    store_ask_depths(asked, l->n, on_depths, l);
  }
}

void depths_drop(struct metrics *m) {
  if (m->depths) m->depths->metrics = NULL;
  depths_unref(m->depths);
  m->depths = NULL;
}

const struct depths *depths_now(struct metrics *m) {
  size_t n;
  (void)registry_topics(m->reg, &n);
  if (m->depths && m->depths->generation != registry_generation(m->reg)) depths_drop(m);
  if (!m->depths) {
    struct depths *d = calloc(1, sizeof *d + n * sizeof *d->topics);
    if (!d) return NULL;
    d->metrics = m;
    d->generation = registry_generation(m->reg);
    d->n = n;
    d->refs = 1;
    m->depths = d;
  }
  if (m->depths->next == m->depths->n) m->depths->next = 0;
  ask_more(m->depths);
  return m->depths;
}

const struct seen *depths_seen(const struct depths *d, size_t at) {
  return d && at < d->n ? &d->topics[at] : NULL;
}

bool depths_settled(const struct metrics *m) {
  const struct depths *d = m->depths;
  return !d || d->generation != registry_generation(m->reg) || (d->next == d->n && !d->on_the_way);
}
