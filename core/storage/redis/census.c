/* Owns the census of a storage: which node has running jobs in which group, by the groups'
 * consumers and the claims, one group at a time. From it follow five things:
 *
 *  - a dead node that has nothing left goes out of the node registry;
 *  - a consumer without jobs, of a node that is dead or in no node registry, is deleted;
 *  - a node with jobs that is in no node registry enters it, and is dead if it does not renew its
 *    lease;
 *  - where more is counted as this node's than it has in memory, a recovery is asked for;
 *  - jobs whose retry set or set of dead ones was deleted get their place back (mend.c).
 *
 * Taken after each READY, whenever there are dead nodes, and slowly once a minute. No question
 * asks for more than one group, for a group may have thousands of consumers.
 */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "storage/redis/consumers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH_MS     60000
#define FIRST_MS    1000
#define PAUSE_MS    2000 /* between two groups, where there is no hurry */
#define REST_MIN_MS 2000

struct census_node {
  char *name;
  bool dead, jobs;
};

struct census {
  struct census_node *node; /* the node registry, by name */
  size_t n_nodes;
  char **queue, **group, **found; /* found: have jobs, and no node registry entry */
  size_t n_queues, n_groups, n_found;
  size_t at_queue, at_group;
  uint64_t own;    /* jobs of the present group that count as this node's */
  size_t held;     /* ... that this node had in memory when it was asked */
  bool *consumers; /* by group: has any */
  bool asking, hasty;
};

/* --- lists --- */

static char *copy(const char *text) {
  char *p = strdup(text);
  if (!p) out_of_memory();
  return p;
}

static void list_free(char **list, size_t n) {
  for (size_t i = 0; i < n; i++) free(list[i]);
  free(list);
}

static int node_compare(const void *a, const void *b) {
  return strcmp(((const struct census_node *)a)->name, ((const struct census_node *)b)->name);
}

static struct census_node *node_find(const struct census *c, const char *name) {
  struct census_node key = {.name = (char *)name};
  return c->n_nodes ? bsearch(&key, c->node, c->n_nodes, sizeof key, node_compare) : NULL;
}

static void found_add(struct census *c, const char *name) {
  if (!strncmp(name, STORE_ACT_CONSUMER, strlen(STORE_ACT_CONSUMER))) return;
  for (size_t i = 0; i < c->n_found; i++)
    if (!strcmp(c->found[i], name)) return;
  char **p = realloc(c->found, (c->n_found + 1) * sizeof *p);
  if (!p) out_of_memory();
  c->found = p;
  c->found[c->n_found++] = copy(name);
}

/* --- life --- */

static void census_free(struct store *s) {
  struct census *c = s->census.now;
  s->census.now = NULL;
  if (!c) return;
  for (size_t i = 0; i < c->n_nodes; i++) free(c->node[i].name);
  free(c->node);
  list_free(c->queue, c->n_queues);
  list_free(c->group, c->n_groups);
  list_free(c->found, c->n_found);
  free(c->consumers);
  free(c);
}

/* The connection is gone, or an answer has an unexpected form: the next census starts from the
 * beginning. */
static void census_fail(struct store *s) {
  census_free(s);
  if (s->state == STORE_READY && !s->freeing)
    timer_start(&s->census.timer, loop_jitter(s->loop, REST_MIN_MS));
}

static void on_nothing_left(struct query *query, enum store_rc rc, struct redis_reply *r,
                            const char *why) {
  (void)r;
  (void)why;
  if (!rc)
    log_info(loop_log(query->store->loop), query->store->subject,
             "node %s is gone and left no jobs", (const char *)query->ptr);
}

static void remove_node(struct store *s, const char *name) {
  struct query *query = query_new(s, NULL, NULL, on_nothing_left, NULL);
  query->own = true;
  query->ptr = copy(name);
  membership_put_nodes(s, name, false);
  query_send(query, SCRIPT_NODES);
}

static void enter_found(struct store *s) {
  struct census *c = s->census.now;
  if (!c->n_found) return;
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query->own = true;
  query_script(s, SCRIPT_NODES_FOUND, 2);
  cmd_text(&s->out, STORE_KEY_NODES);
  cmd_text(&s->out, STORE_KEY_BEATS);
  cmd_u64(&s->out, store_lease_ms(s));
  for (size_t i = 0; i < c->n_found; i++) {
    cmd_text(&s->out, c->found[i]);
    log_warning(
        loop_log(s->loop), s->subject,
        "node %s has running jobs and is not in the registry; they are taken over unless it "
        "renews its lease",
        c->found[i]);
  }
  query_send(query, SCRIPT_NODES_FOUND);
}

static void census_end(struct store *s) {
  struct census *c = s->census.now;
  bool left = false;
  enter_found(s);
  for (size_t i = 0; i < c->n_nodes; i++) {
    if (!c->node[i].dead) continue;
    if (c->node[i].jobs)
      left = true;
    else
      remove_node(s, c->node[i].name);
  }
  s->census.rest_ms *= 2;
  if (s->census.rest_ms < REST_MIN_MS) s->census.rest_ms = REST_MIN_MS;
  if (s->census.rest_ms > EACH_MS) s->census.rest_ms = EACH_MS;
  if (!left) s->census.rest_ms = 0;
  s->census.ended_ms = loop_now_ms(s->loop);
  census_free(s);
  timer_start(&s->census.timer, loop_jitter(s->loop, EACH_MS));
}

/* --- a group --- */

static struct query *census_ask(struct store *s, answer_fn answer) {
  struct query *query = query_new(s, NULL, NULL, answer, NULL);
  query->own = true;
  s->census.now->asking = true;
  return query;
}

static bool census_answered(struct store *s, enum store_rc rc) {
  if (!s->census.now) return false;
  s->census.now->asking = false;
  if (!rc && !s->freeing && s->state == STORE_READY) return true;
  census_fail(s);
  return false;
}

static void census_go_on(struct store *s);

/* Jobs of the group under way that this node has in memory; false: it has no such topic. */
static bool group_held(const struct store *s, size_t *ret) {
  const struct census *c = s->census.now;
  const char *queue = c->queue[c->at_queue], *group = c->group[c->at_group];
  bool here = false;
  *ret = 0;
  for (const struct store_queue *q = NULL; (q = queue_named(s, queue, q));)
    for (const struct store_topic *t = q->topics; t; t = t->next)
      if (!strcmp(t->name, group)) {
        here = true;
        *ret += t->held.n;
      }
  for (const struct store_topic *t = s->objects.lingering; t; t = t->next)
    if (!strcmp(t->name, group) && !strcmp(t->q->name, queue)) *ret += t->held.n;
  return here;
}

static void group_mend(struct store *s, const char *queue, const char *group) {
  for (const struct store_queue *q = NULL; (q = queue_named(s, queue, q));)
    for (struct store_topic *t = q->topics; t; t = t->next)
      if (!strcmp(t->name, group)) mend_topic(t);
}

/* Jobs that were settled or taken since the question was asked are not missing. */
static void group_end(struct store *s) {
  struct census *c = s->census.now;
  const char *queue = c->queue[c->at_queue], *group = c->group[c->at_group];
  size_t held;
  bool here = group_held(s, &held);
  if (held < c->held) held = c->held;
  if (here) group_mend(s, queue, group);
  if (here && c->own > held && s->ev.missing) s->ev.missing(s->ev.arg, s, queue, group);
  c->at_group++;
  if (c->hasty)
    census_go_on(s);
  else
    timer_start(&s->census.timer, PAUSE_MS);
}

static void count_jobs(struct store *s, const char *name, uint64_t n) {
  struct census_node *node = node_find(s->census.now, name);
  if (!strcmp(name, s->server->node))
    s->census.now->own += n;
  else if (!node)
    found_add(s->census.now, name);
  else
    node->jobs = true;
}

static void on_claims(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  (void)why;
  if (!census_answered(s, rc)) return;
  for (size_t i = 0; i < r->elements; i++) count_jobs(s, r->element[i]->str, 1);
  group_end(s);
}

static void claims_ask(struct store *s) {
  struct census *c = s->census.now;
  char key[2 * NAME_LEN_MAX + 16];
  struct query *query = census_ask(s, on_claims);
  snprintf(key, sizeof key, "pb:{%s}:c:%s", c->queue[c->at_queue], c->group[c->at_group]);
  cmd_begin(&s->out);
  cmd_text(&s->out, "HVALS");
  cmd_text(&s->out, key);
  query_send(query, SCRIPT_NONE);
}

static void stream_key(const struct census *c, char *ret, size_t cap) {
  snprintf(ret, cap, "pb:{%s}:s", c->queue[c->at_queue]);
}

/* "name", NAME, "pending", N, ... each */
static void on_consumers(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  struct store *s = query->store;
  char key[NAME_LEN_MAX + 16];
  (void)why;
  if (rc == STORE_ERROR) rc = STORE_OK; /* the group is gone */
  if (!census_answered(s, rc)) return;
  stream_key(s->census.now, key, sizeof key);
  struct consumers part = {.store = s, .stream = key};
  for (size_t i = 0; r->type == REPLY_ARRAY && i < r->elements; i++) {
    const struct redis_reply *e = r->element[i];
    if (e->elements < 4) continue;
    const char *name = e->element[1]->str;
    const struct census_node *node = node_find(s->census.now, name);
    if (e->element[3]->integer)
      count_jobs(s, name, (uint64_t)e->element[3]->integer);
    else if (strcmp(name, s->server->node) != 0 && (!node || node->dead))
      consumers_add(&part, s->census.now->group[s->census.now->at_group], name);
  }
  consumers_send(&part);
  claims_ask(s);
}

static void group_ask(struct store *s) {
  struct census *c = s->census.now;
  char key[NAME_LEN_MAX + 16];
  c->own = 0;
  (void)group_held(s, &c->held);
  if (!c->consumers[c->at_group]) {
    claims_ask(s);
    return;
  }
  struct query *query = census_ask(s, on_consumers);
  stream_key(c, key, sizeof key);
  cmd_begin(&s->out);
  cmd_text(&s->out, "XINFO");
  cmd_text(&s->out, "CONSUMERS");
  cmd_text(&s->out, key);
  cmd_text(&s->out, c->group[c->at_group]);
  query_send(query, SCRIPT_NONE);
}

/* --- a queue --- */

/* "name", NAME, "consumers", N, ... each */
static void on_groups(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  struct census *c = s->census.now;
  (void)why;
  if (rc == STORE_ERROR) rc = STORE_OK; /* no such key */
  if (!census_answered(s, rc)) return;
  size_t n = r->type == REPLY_ARRAY ? r->elements : 0;
  c->group = calloc(n + 1, sizeof *c->group);
  c->consumers = calloc(n + 1, sizeof *c->consumers);
  if (!c->group || !c->consumers) out_of_memory();
  for (size_t i = 0; i < n; i++) {
    const struct redis_reply *e = r->element[i];
    if (e->elements < 4) continue;
    c->consumers[c->n_groups] = e->element[3]->integer > 0;
    c->group[c->n_groups++] = copy(e->element[1]->str);
  }
  census_go_on(s);
}

static void queue_ask(struct store *s) {
  char key[NAME_LEN_MAX + 16];
  struct query *query = census_ask(s, on_groups);
  stream_key(s->census.now, key, sizeof key);
  cmd_begin(&s->out);
  cmd_text(&s->out, "XINFO");
  cmd_text(&s->out, "GROUPS");
  cmd_text(&s->out, key);
  query_send(query, SCRIPT_NONE);
}

static void census_go_on(struct store *s) {
  struct census *c = s->census.now;
  if (c->group && c->at_group < c->n_groups) {
    group_ask(s);
    return;
  }
  if (c->group) {
    list_free(c->group, c->n_groups);
    free(c->consumers);
    c->group = NULL;
    c->consumers = NULL;
    c->n_groups = c->at_group = 0;
    c->at_queue++;
  }
  if (c->at_queue < c->n_queues)
    queue_ask(s);
  else
    census_end(s);
}

/* --- all of it --- */

static void on_queues(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  struct census *c = s->census.now;
  (void)why;
  if (!census_answered(s, rc)) return;
  if (!(c->queue = calloc(r->elements + 1, sizeof *c->queue))) out_of_memory();
  for (; c->n_queues < r->elements; c->n_queues++)
    c->queue[c->n_queues] = copy(r->element[c->n_queues]->str);
  census_go_on(s);
}

/* name, entry, state of each */
static void on_known_nodes(struct query *query, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  struct store *s = query->store;
  struct census *c = s->census.now;
  (void)why;
  if (!census_answered(s, rc)) return;
  if (!(c->node = calloc(r->elements / 3 + 1, sizeof *c->node))) out_of_memory();
  for (size_t i = 0; i + 3 <= r->elements; i += 3)
    c->node[c->n_nodes++] = (struct census_node){.name = copy(r->element[i]->str),
                                                 .dead = r->element[i + 2]->integer < 0};
  qsort(c->node, c->n_nodes, sizeof *c->node, node_compare);
  /* A node may have died before it told the others about its retries. */
  if (membership_nodes_seen(s, r->element, r->elements)) wakeup_all(s);
  query = census_ask(s, on_queues);
  cmd_begin(&s->out);
  cmd_text(&s->out, "SMEMBERS");
  cmd_text(&s->out, STORE_KEY_QUEUES);
  query_send(query, SCRIPT_NONE);
}

static void census_begin(struct store *s, bool hasty) {
  if (!(s->census.now = calloc(1, sizeof *s->census.now))) out_of_memory();
  s->census.now->hasty = hasty;
  struct query *query = census_ask(s, on_known_nodes);
  membership_put_nodes(s, "", false);
  query_send(query, SCRIPT_NODES);
}

/* The pause before a group is over, or that before the next census. */
static void census_tick(void *arg) {
  struct store *s = arg;
  if (s->member.left || s->state != STORE_READY) return;
  if (!s->census.now)
    census_begin(s, !s->census.ended_ms);
  else if (!s->census.now->asking)
    census_go_on(s);
}

void census_dead(struct store *s) {
  struct census *c = s->census.now;
  if (s->member.left) return;
  if (c) {
    c->hasty = true;
    if (!c->asking) timer_start(&s->census.timer, 0);
  } else if (loop_now_ms(s->loop) - s->census.ended_ms >= s->census.rest_ms) {
    census_begin(s, true);
  }
}

void census_start(struct store *s) {
  s->census.ended_ms = 0; /* the first one with haste */
  timer_start(&s->census.timer, loop_jitter(s->loop, FIRST_MS));
}

void census_stop(struct store *s) {
  timer_stop(&s->census.timer);
  if (s->census.now && !s->census.now->asking) census_free(s);
}

void census_init(struct store *s) {
  timer_init(&s->census.timer, s->loop, census_tick, s);
}

void census_done(struct store *s) {
  timer_done(&s->census.timer);
  census_free(s);
}
