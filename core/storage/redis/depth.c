/* Owns the depth of a topic as this node asks for it, and the first question of a topic: attach. */
#include "storage/redis/depth.h"

#include "base/out_of_memory.h"
#include "storage/redis/private.h"

#include <stdlib.h>

#define DEPTH_NUMBERS 11

void depth_paused(struct store_topic *t, bool paused) {
  t->paused = paused;
}

void store_seen_paused(struct store_topic *t, bool paused) {
  depth_paused(t, paused);
}

static void on_depths(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  size_t n = query->n[0];
  struct store_depth none = {0}, *d = &none;
  if (!rc && (r->type != REPLY_ARRAY || r->elements != DEPTH_NUMBERS * n)) {
    rc = STORE_ERROR;
    why = "the storage gave an unexpected answer";
  }
  if (!rc && n > 1 && !(d = calloc(n, sizeof *d))) out_of_memory();
  for (size_t i = 0; !rc && i < n; i++) {
    struct redis_reply **e = r->element + DEPTH_NUMBERS * i;
    uint64_t *to[] = {&d[i].ready,   &d[i].running, &d[i].retry,       &d[i].dead,
                      &d[i].delayed, &d[i].bytes,   &d[i].next_due_ms, &d[i].oldest_ms};
    for (size_t k = 0; k < sizeof to / sizeof *to; k++) *to[k] = redis_reply_u64(e[k]);
    d[i].ready_at_most = e[9]->integer;
    if (e[10]->len) count_add(query->q, e[10]->str);
    /* A replayed job is due at once: its score is no time. */
    d[i].next_due_ms = d[i].next_due_ms == 1 ? loop_wall_ms(query->store->loop)
                                             : clock_here(query->store, d[i].next_due_ms);
    d[i].oldest_ms = clock_here(query->store, d[i].oldest_ms);
    const struct redis_reply *pause = e[8];
    d[i].paused = pause->type != REPLY_INTEGER && pause->len > 0;
    d[i].pause = d[i].paused ? pause->str : NULL;
    if (pause->type == REPLY_INTEGER) { /* its group is gone: the last answer stays */
      if (query->t) d[i].paused = query->t->paused;
      d[i].no_group = !query->t;
      groups_again(query->q);
    } else if (query->t) {
      depth_paused(query->t, d[i].paused);
    }
  }
  if (query->n[1])
    query->fn.depths(query->arg, rc, rc ? NULL : d, rc ? 0 : n, why);
  else
    query->fn.depth(query->arg, rc, d, why);
  if (d != &none) free(d);
}

static void depth_ask(struct query *query, struct store_topic *const *topics, size_t n) {
  struct store *s = query->store;
  const struct store_queue *q = topics[0]->q;
  struct cmd *out = &s->out;
  query->n[0] = n;
  query_script(s, SCRIPT_DEPTH, (unsigned)(4 + 3 * n));
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->paused);
  cmd_text(out, q->counted);
  for (size_t i = 0; i < n; i++) {
    cmd_text(out, topics[i]->retry);
    cmd_text(out, topics[i]->dead);
    cmd_text(out, topics[i]->claims);
  }
  cmd_text(out, s->hello.run);
  for (size_t i = 0; i < n; i++) cmd_text(out, topics[i]->name);
  query_send(query, SCRIPT_DEPTH);
}

void store_ask_depth(struct store_topic *t, store_depth_fn fn, void *arg) {
  struct query *query = query_new(t->q->store, t->q, t, on_depths, arg);
  query->fn.depth = fn;
  depth_ask(query, &t, 1);
}

void store_ask_depths(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg) {
  struct query *query = query_new(topics[0]->q->store, topics[0]->q, NULL, on_depths, arg);
  query->fn.depths = fn;
  query->n[1] = 1;
  depth_ask(query, topics, n);
}

static void on_attached(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why) {
  struct store_depth d = {0};
  rc = groups_told(query, rc, r);
  if (rc) {
    query->fn.depth(query->arg, rc, &d, why);
    return;
  }
  query->t->attached = true;
  store_ask_depth(query->t, query->fn.depth, query->arg);
}

void store_attach(struct store_topic *t, store_depth_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_attached, arg);
  query->fn.depth = fn;
  groups_ask(query, t, false, false);
}
