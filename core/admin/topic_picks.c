/* Owns which topics a page of the list has: the order is made of what is known of all of them, and
 * only those of the page are looked up then.
 */
#include "admin/picks.h"
#include "admin/private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

static const char *const sorts[] = {"topic",    "state", "system",  "storage", "pool",
                                    "run_type", "since", "workers", "ready",   "running",
                                    "retry",    "dead",  "oldest",  "delayed", "taken",
                                    "accepted", "done",  "failed",  NULL};

static bool needs_depths(const char *sort) {
  static const char *const needing[] = {"ready",   "running", "retry", "dead",
                                        "delayed", "oldest",  NULL};
  size_t i = 0;
  while (needing[i] && strcmp(needing[i], sort)) i++;
  return needing[i];
}

static const char *text_of(const struct topic *t, const char *sort) {
  const struct topic_settings *set = t->set;
  if (!strcmp(sort, "topic")) return set->path;
  if (!strcmp(sort, "state")) return topic_state_names[t->state];
  if (!strcmp(sort, "system")) return set->queue->system ? set->queue->system->name : "";
  if (!strcmp(sort, "storage")) return set->storage ? set->storage->name : "";
  if (!strcmp(sort, "pool")) return set->pool ? set->pool->name : "";
  return !strcmp(sort, "run_type") ? set->run_type : NULL;
}

static double number_of(const struct topic *t, const char *sort, const json_t *others) {
  static const char *const summed[] = {"taken", "attempts", "accepted", "done", "failed"};
  const double own[] = {(double)t->ready.n, t->requests.running, t->queue->rates.accepted,
                        t->rates.done, t->rates.failed};
  for (size_t i = 0; i < sizeof summed / sizeof *summed; i++)
    if (!strcmp(sort, summed[i])) return own[i] + json_number_value(json_array_get(others, i));
  return !strcmp(sort, "workers") ? (double)t->set->workers : (double)t->since_ms;
}

/* Of a topic whose figures are not known: none. */
static double depth_of(const struct seen *seen, const char *sort, uint64_t now) {
  const struct store_depth *d = &seen->depth;
  if (!strcmp(sort, "ready")) return (double)d->ready;
  if (!strcmp(sort, "running")) return (double)d->running;
  if (!strcmp(sort, "retry")) return (double)d->retry;
  if (!strcmp(sort, "dead")) return (double)d->dead;
  if (!strcmp(sort, "delayed")) return (double)d->delayed;
  return d->oldest_ms && d->oldest_ms < now ? (double)(now - d->oldest_ms) : 0; /* its age */
}

bool topics_await(struct call *c) {
  char sort[41] = "";
  call_query(c, "sort", sort, sizeof sort);
  if (!needs_depths(*sort == '-' ? sort + 1 : sort)) return false;
  (void)depths_now(c->view->metrics);
  return call_again(c, topic_depths_settled, DEPTHS_WAIT_MS);
}

static bool is_picked(const struct call *c, const struct topic *t, const struct picking *p,
                      const char *queue) {
  const struct topic_settings *set = t->set;
  return (!*queue || !strcmp(set->queue->name, queue)) && picking_system(p, set->queue->system) &&
         picking_storage(p, set) && picking_state(p, topic_state_names[t->state]) &&
         picking_has(p, set->path, set->title) && call_sees_topic(c, t);
}

bool topics_pick(struct call *c, const char *queue, struct names *ret) {
  size_t n, picked = 0;
  struct picking p;
  if (!picking_get(c, &p, sorts)) return false;
  struct topic *const *topics = registry_topics(c->view->registry, &n);
  uint64_t now = loop_wall_ms(c->view->loop);
  bool by_depth = needs_depths(p.sort);
  const struct depths *d = by_depth ? depths_now(c->view->metrics) : NULL;
  const json_t *sums = json_object_get(c->acc, "sums");
  struct pick *all = calloc(n + 1, sizeof *all);
  if (!all) out_of_memory();
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    if (!is_picked(c, t, &p, queue)) continue;
    struct pick *one = &all[picked++];
    one->name = t->set->path;
    one->text = text_of(t, p.sort);
    const struct seen *seen = depths_seen(d, i);
    if (by_depth)
      one->key = seen && seen->at_ms ? depth_of(seen, p.sort, now) : 0;
    else if (!one->text)
      one->key = number_of(t, p.sort, sums ? json_object_get(sums, t->set->path) : NULL);
  }
  bool good = picks_add(c, &p, all, picked, ret);
  free(all);
  return good;
}
