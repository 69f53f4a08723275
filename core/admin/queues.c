/* Owns the list of queues, and the sums over the topics of each. */
#include "admin/private.h"

#include "admin/names.h"
#include "admin/picks.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

static json_t *queue_json(const struct queue *q) {
  json_t *one = json_object(), *topics = json_array(), *stores = json_array();
  for (size_t k = 0; k < q->set->n_topics; k++)
    json_array_append_new(topics, json_cstr(q->set->topics[k]->name));
  for (size_t k = 0; k < q->n_stores; k++)
    if (q->stores[k]->active)
      json_array_append_new(stores, json_cstr(store_name(q->stores[k]->store)));
  json_object_set_new(one, "queue", json_cstr(q->name));
  json_object_set_new(one, "system", json_cstr(q->set->system ? q->set->system->name : NULL));
  json_object_set_new(one, "topics", topics);
  json_object_set_new(one, "storages", stores);
  json_object_set_new(one, "max_length", json_integer(q->set->max_length));
  json_object_set_new(one, "max_bytes", json_u64(q->set->max_bytes));
  json_object_set_new(one, "retain_ms", json_u64(q->set->retain_ms));
  json_object_set_new(one, "accepted_rate", json_rate(q->rates.accepted));
  json_object_set_new(one, "counters", counters_queue_json(&q->counters));
  return one;
}

struct queue_list {
  const struct admin_view *view;
  struct names names;
  bool begun, first;
  struct topic_sums *sums; /* of a page by offset: of each name; NULL: another list */
};

static void wide_put(json_t *o, const struct queue *q, const struct topic_sums *sums) {
  const struct queue_settings *set = q->set;
  json_object_set_new(o, "title", json_cstr(set->title ? set->title : ""));
  json_object_set_new(o, "comment", json_cstr(set->comment ? set->comment : ""));
  json_object_set_new(o, "place", json_string(set->shared ? "shared" : "local"));
  topic_sums_put(o, sums);
}

static enum http_stream queues_more(void *arg, struct buf *out) {
  struct queue_list *l = arg;
  uint64_t end = loop_clock_us() + NAMES_SLICE_US;
  const char *name;
  if (!l->begun) buf_add_text(out, "{\"queues\":[");
  l->begun = true;
  while ((name = names_peek(&l->names)) && out->len < NAMES_PIECE && loop_clock_us() < end) {
    struct queue *q = registry_queue(l->view->registry, name, strlen(name));
    const struct topic_sums *sums = l->sums ? &l->sums[l->names.next] : NULL;
    names_take(&l->names);
    json_t *one = q ? queue_json(q) : NULL;
    if (one && sums) wide_put(one, q, sums);
    if (one) json_list_add(out, one, &l->first);
  }
  if (name) return HTTP_MORE;
  names_end_list(&l->names, out);
  return HTTP_END;
}

static void queues_done(void *arg) {
  struct queue_list *l = arg;
  names_free(&l->names);
  free(l->sums);
  free(l);
}

/* --- a page by offset --- */

static const char *const sorts[] = {"queue",   "system", "topics", "accepted", "done",
                                    "failed",  "ready",  "retry",  "dead",     "running",
                                    "delayed", "oldest", NULL};

struct spot {
  const struct queue *q;
  size_t at;
};

static int by_queue(const void *a, const void *b) {
  const struct spot *x = a, *y = b;
  return (x->q > y->q) - (x->q < y->q);
}

/* The sums of each of registry_queues(). */
static struct topic_sums *queues_sum(struct call *c, struct queue *const *queues, size_t n) {
  size_t n_topics;
  struct topic_sums *sums = calloc(n + 1, sizeof *sums);
  struct spot *places = calloc(n + 1, sizeof *places), *found = NULL;
  if (!sums || !places) out_of_memory();
  for (size_t i = 0; i < n; i++) places[i] = (struct spot){queues[i], i};
  qsort(places, n, sizeof *places, by_queue);
  struct topic *const *topics = registry_topics(c->view->registry, &n_topics);
  const struct depths *d = depths_now(c->view->metrics);
  const json_t *others = json_object_get(c->acc, "sums");
  for (size_t i = 0; i < n_topics; i++) {
    const struct topic *t = topics[i];
    struct spot want = {t->queue, 0};
    if (!found || found->q != t->queue) found = bsearch(&want, places, n, sizeof *places, by_queue);
    if (found)
      topic_sums_add(&sums[found->at], t, depths_seen(d, i),
                     others ? json_object_get(others, t->set->path) : NULL);
  }
  free(places);
  return sums;
}

static double number_of(const struct topic_sums *s, const char *sort, uint64_t now) {
  if (!strcmp(sort, "topics")) return (double)s->topics;
  if (!strcmp(sort, "accepted")) return s->accepted;
  if (!strcmp(sort, "done")) return s->done;
  if (!strcmp(sort, "failed")) return s->failed;
  if (!strcmp(sort, "ready")) return (double)s->depth.ready;
  if (!strcmp(sort, "retry")) return (double)s->depth.retry;
  if (!strcmp(sort, "dead")) return (double)s->depth.dead;
  if (!strcmp(sort, "running")) return (double)s->depth.running;
  if (!strcmp(sort, "delayed")) return (double)s->depth.delayed;
  return s->depth.oldest_ms && s->depth.oldest_ms < now ? (double)(now - s->depth.oldest_ms) : 0;
}

static bool queues_pick(struct call *c, struct queue_list *l) {
  size_t n, picked = 0;
  struct picking p;
  if (!picking_get(c, &p, sorts)) return false;
  struct queue *const *queues = registry_queues(c->view->registry, &n);
  struct topic_sums *sums = queues_sum(c, queues, n);
  struct pick *all = calloc(n + 1, sizeof *all);
  uint64_t now = loop_wall_ms(c->view->loop);
  if (!all) out_of_memory();
  for (size_t i = 0; i < n; i++) {
    const struct queue_settings *set = queues[i]->set;
    if (!picking_system(&p, set->system) || !picking_queue_storage(&p, set) ||
        !picking_has(&p, set->name, set->title) || !call_sees_queue(c, set->name))
      continue;
    struct pick *one = &all[picked++];
    *one = (struct pick){.name = queues[i]->name, .at = i};
    if (!strcmp(p.sort, "queue"))
      one->text = one->name;
    else if (!strcmp(p.sort, "system"))
      one->text = set->system ? set->system->name : "";
    else
      one->key = number_of(&sums[i], p.sort, now);
  }
  bool good = picks_add(c, &p, all, picked, &l->names);
  l->sums = calloc(l->names.n + 1, sizeof *l->sums);
  if (!l->sums) out_of_memory();
  for (size_t i = 0; i < l->names.n; i++) l->sums[i] = sums[all[l->names.offset + i].at];
  free(all);
  free(sums);
  return good;
}

static bool all_names(struct call *c, struct names *ret) {
  size_t n, chosen = 0;
  struct queue *const *queues = registry_queues(c->view->registry, &n);
  const char **all = calloc(n + 1, sizeof *all);
  if (!all) out_of_memory();
  for (size_t i = 0; i < n; i++)
    if (call_sees_queue(c, queues[i]->name)) all[chosen++] = queues[i]->name;
  bool good = call_names(c, ret, all, chosen);
  free(all);
  return good;
}

void admin_get_queues(struct call *c) {
  bool wide = picking_asked(c);
  if (wide) (void)depths_now(c->view->metrics);
  if (wide && call_again(c, topic_depths_settled, DEPTHS_WAIT_MS)) return;
  metrics_freshen(c->view->metrics);
  struct queue_list *l = calloc(1, sizeof *l);
  if (!l) {
    call_error(c, 500, "out of memory");
    return;
  }
  l->view = c->view;
  l->first = true;
  if (!(wide ? queues_pick(c, l) : all_names(c, &l->names))) {
    queues_done(l);
    return;
  }
  call_stream(c, "application/json", UINT64_MAX, queues_more, queues_done, l);
}
