/* Owns what was last asked of each watched topic. See counts.h.
 *
 * Must never happen: ten thousand topics that are asked for every two seconds.
 */
#include "alerts/counts.h"

#include "base/out_of_memory.h"
#include "event/loop.h"
#include "registry/registry.h"

#include <stdlib.h>

#define EACH_MS 2 /* a round for so many ms and topic */
#define OLD_MS                                                                                     \
  60000 /* a count that is older, besides the time of a round, is not known any more               \
         */

struct seen {
  const struct topic *topic; /* in the order of their addresses */
  size_t at;                 /* in the registry's array */
  uint64_t told_ms;          /* monotonic; 0: not yet */
  bool wanted;
  struct count count;
};

/* Of one generation of the registry; lives until the last answer has come. */
struct table {
  struct counts *counts; /* NULL: it is not used any more */
  unsigned refs;
  size_t n;
  struct seen topics[];
};

struct counts {
  struct loop *loop;
  struct registry *reg;
  struct table *table; /* NULL: none yet */
  uint64_t generation, round_ms, pause_ms;
  size_t on_the_way;
};

struct asked {
  struct table *of;
  size_t n;
  size_t index[STORE_LOOK_MAX];
};

/* --- the table --- */

static void table_unref(struct table *t) {
  if (t && !--t->refs) free(t);
}

static int by_address(const void *a, const void *b) {
  uintptr_t x = (uintptr_t)((const struct seen *)a)->topic,
            y = (uintptr_t)((const struct seen *)b)->topic;
  return (x > y) - (x < y);
}

static void table_drop(struct counts *c) {
  if (c->table) c->table->counts = NULL;
  table_unref(c->table);
  c->table = NULL;
  c->on_the_way = 0;
}

static struct table *table_now(struct counts *c) {
  size_t n;
  if (c->table && c->generation == registry_generation(c->reg)) return c->table;
  table_drop(c);
  struct topic *const *topics = registry_topics(c->reg, &n);
  struct table *t = calloc(1, sizeof *t + n * sizeof *t->topics);
  if (!t) out_of_memory();
  t->counts = c;
  t->refs = 1;
  t->n = n;
  for (size_t i = 0; i < n; i++) t->topics[i] = (struct seen){.topic = topics[i], .at = i};
  qsort(t->topics, n, sizeof *t->topics, by_address);
  c->table = t;
  c->generation = registry_generation(c->reg);
  c->round_ms = 0;
  return t;
}

static struct seen *seen_of(struct table *t, const struct topic *topic) {
  struct seen key = {.topic = topic};
  return bsearch(&key, t->topics, t->n, sizeof *t->topics, by_address);
}

const struct count *counts_of(struct counts *c, const struct topic *t) {
  struct seen *s = seen_of(table_now(c), t);
  if (!s) return NULL;
  s->wanted = true;
  bool old = loop_now_ms(c->loop) - s->told_ms > OLD_MS + 2 * c->pause_ms;
  return s->told_ms && !old ? &s->count : NULL;
}

/* --- asking --- */

static void on_depths(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                      const char *why) {
  struct asked *a = arg;
  struct table *t = a->of;
  (void)why;
  for (size_t i = 0; i < a->n && t->counts && !rc && i < n; i++) {
    struct seen *s = &t->topics[a->index[i]];
    s->told_ms = loop_now_ms(t->counts->loop);
    s->count = (struct count){d[i].ready, d[i].running, d[i].dead, d[i].oldest_ms};
  }
  if (t->counts) t->counts->on_the_way--;
  table_unref(t);
  free(a);
}

/* Those of one queue and storage, which are neighbours in the registry, in one question. */
static size_t ask_some(struct counts *c, struct seen *const *wanted, size_t n) {
  struct store_topic *stores[STORE_LOOK_MAX];
  struct asked *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  a->of = c->table;
  while (a->n < n && a->n < STORE_LOOK_MAX &&
         wanted[a->n]->topic->store_entry == wanted[0]->topic->store_entry) {
    stores[a->n] = wanted[a->n]->topic->store;
    a->index[a->n] = (size_t)(wanted[a->n] - c->table->topics);
    a->n++;
  }
  size_t taken = a->n;
  c->table->refs++;
  c->on_the_way++;
  store_ask_depths(stores, a->n, on_depths, a);
  return taken;
}

static int by_place(const void *a, const void *b) {
  size_t x = (*(struct seen *const *)a)->at, y = (*(struct seen *const *)b)->at;
  return (x > y) - (x < y);
}

void counts_round(struct counts *c) {
  struct table *t = table_now(c);
  uint64_t now = loop_now_ms(c->loop);
  size_t n = 0;
  if (c->on_the_way || (c->round_ms && now - c->round_ms < c->pause_ms)) return;
  struct seen **wanted = calloc(t->n + 1, sizeof *wanted);
  if (!wanted) out_of_memory();
  for (size_t i = 0; i < t->n; i++) {
    if (t->topics[i].wanted && t->topics[i].topic->store) wanted[n++] = &t->topics[i];
    t->topics[i].wanted = false;
  }
  qsort(wanted, n, sizeof *wanted, by_place);
  c->round_ms = now;
  c->pause_ms = n * EACH_MS;
  for (size_t i = 0; i < n;) i += ask_some(c, wanted + i, n - i);
  free(wanted);
}

struct counts *counts_new(struct loop *loop, struct registry *reg) {
  struct counts *c = calloc(1, sizeof *c);
  if (!c) out_of_memory();
  *c = (struct counts){.loop = loop, .reg = reg};
  return c;
}

void counts_free(struct counts *c) {
  if (!c) return;
  table_drop(c);
  free(c);
}
