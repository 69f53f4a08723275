/* Owns the list of queues. */
#include "admin/private.h"

#include "admin/names.h"

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
};

static enum http_stream queues_more(void *arg, struct buf *out) {
  struct queue_list *l = arg;
  uint64_t end = loop_clock_us() + NAMES_SLICE_US;
  const char *name;
  if (!l->begun) buf_add_text(out, "{\"queues\":[");
  l->begun = true;
  while ((name = names_peek(&l->names)) && out->len < NAMES_PIECE && loop_clock_us() < end) {
    struct queue *q = registry_queue(l->view->registry, name, strlen(name));
    names_take(&l->names);
    if (q) json_list_add(out, queue_json(q), &l->first);
  }
  if (name) return HTTP_MORE;
  names_end_list(&l->names, out);
  return HTTP_END;
}

static void queues_done(void *arg) {
  struct queue_list *l = arg;
  names_free(&l->names);
  free(l);
}

void admin_get_queues(struct call *c) {
  size_t n;
  struct queue *const *queues = registry_queues(c->view->registry, &n);
  struct queue_list *l = calloc(1, sizeof *l);
  metrics_freshen(c->view->metrics);
  const char **all = calloc(n + 1, sizeof *all);
  if (!l || !all) {
    free(l);
    free(all);
    call_error(c, 500, "out of memory");
    return;
  }
  l->view = c->view;
  l->first = true;
  size_t chosen = 0;
  for (size_t i = 0; i < n; i++)
    if (call_sees_queue(c, queues[i]->name)) all[chosen++] = queues[i]->name;
  bool good = call_names(c, &l->names, all, chosen);
  free(all);
  if (!good) {
    queues_done(l);
    return;
  }
  call_stream(c, "application/json", UINT64_MAX, queues_more, queues_done, l);
}
