/* Owns the sums over topics: their states, and what the storages hold of them. */
#include "admin/private.h"

bool topic_depths_settled(const struct admin_view *v) {
  return depths_settled(v->metrics);
}

bool topic_is_failing(const struct topic *t) {
  return t->state == TOPIC_UNREGISTERED || t->state == TOPIC_UNREACHABLE ||
         t->state == TOPIC_BROKEN || t->rates.failed >= 0.05;
}

static bool is_not_open(const struct topic *t) {
  return t->state != TOPIC_OPEN && t->state != TOPIC_DISABLED;
}

static bool is_first_of_queue(const struct topic *t) {
  return t->queue->n_topics && t->queue->topics[0] == t;
}

static double other(const json_t *others, size_t i) {
  return json_number_value(json_array_get(others, i));
}

static void depth_add(struct topic_sums *s, const struct topic *t, const struct seen *seen) {
  const struct store_depth *d = &seen->depth;
  s->known++;
  s->depth.ready += d->ready;
  s->depth.running += d->running;
  s->depth.retry += d->retry;
  s->depth.dead += d->dead;
  if (is_first_of_queue(t)) s->depth.delayed += d->delayed;
  if (d->oldest_ms && (!s->depth.oldest_ms || d->oldest_ms < s->depth.oldest_ms)) {
    s->depth.oldest_ms = d->oldest_ms;
    s->oldest = t;
  }
  if (!s->asked_ms || seen->at_ms < s->asked_ms) s->asked_ms = seen->at_ms;
}

void topic_sums_add(struct topic_sums *s, const struct topic *t, const struct seen *seen,
                    const json_t *others) {
  s->topics++;
  s->states[t->state]++;
  s->failing += topic_is_failing(t);
  s->not_open += is_not_open(t);
  s->taken += t->ready.n + (uint64_t)other(others, 0);
  s->attempts += t->requests.running + (uint64_t)other(others, 1);
  if (is_first_of_queue(t)) s->accepted += t->queue->rates.accepted + other(others, 2);
  s->done += t->rates.done + other(others, 3);
  s->failed += t->rates.failed + other(others, 4);
  if (seen && seen->at_ms) depth_add(s, t, seen);
}

void topic_sums_put(json_t *o, const struct topic_sums *s) {
  json_t *states = json_object(), *counts = json_object(), *rates = json_object();
  for (size_t i = 0; i < TOPIC_STATES; i++)
    json_object_set_new(states, topic_state_names[i], json_u64(s->states[i]));
  json_object_set_new(counts, "ready", json_u64(s->depth.ready));
  json_object_set_new(counts, "running", json_u64(s->depth.running));
  json_object_set_new(counts, "retry", json_u64(s->depth.retry));
  json_object_set_new(counts, "dead", json_u64(s->depth.dead));
  json_object_set_new(counts, "delayed", json_u64(s->depth.delayed));
  json_object_set_new(rates, "accepted", json_rate(s->accepted));
  json_object_set_new(rates, "done", json_rate(s->done));
  json_object_set_new(rates, "failed", json_rate(s->failed));
  json_object_set_new(o, "states", states);
  json_object_set_new(o, "counts", counts);
  json_object_set_new(o, "known", json_u64(s->known));
  json_object_set_new(o, "failing", json_u64(s->failing));
  json_object_set_new(o, "not_open", json_u64(s->not_open));
  json_object_set_new(o, "oldest_ms",
                      s->depth.oldest_ms ? json_u64(s->depth.oldest_ms) : json_null());
  json_object_set_new(o, "rates", rates);
}
