/* Owns the count of the jobs ahead of a group where Redis cannot tell it: after a restart or a
 * failover of a server that does not save entries-read (scripts/parts/near.lua).
 *
 * A script holds up every client. So a long stream is counted in slices, one group at a time, and
 * each pause is as long as the slice before it. Until the count is done, `ready` of the topic is an
 * upper bound, and nothing waits for the count. One count serves all nodes: the first node counts,
 * the others find it done.
 */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_TIMES  1 /* as long as the slice took, so often */
#define PAUSE_MAX_MS 1000
#define BUSY_MS      2000 /* another node counts this queue */
#define FAILED_MS    5000

struct store_counting {
  struct timer timer;
  struct store_queue *first; /* have topics to count */
  bool asking;
  uint64_t asked_ms;
  /* Of the group that is being counted. */
  char from[48];
  uint64_t n, added, slices;
};

static void fresh(struct store_counting *c) {
  c->from[0] = 0;
  c->n = c->added = c->slices = 0;
}

static void names_free(struct store_queue *q) {
  for (size_t i = 0; i < q->count.n; i++) free(q->count.names[i]);
  free(q->count.names);
  q->count.names = NULL;
  q->count.n = 0;
}

void count_forget(struct store_queue *q) {
  struct store_counting *c = q->store->counting;
  names_free(q);
  if (!q->count.listed || !c) return;
  struct store_queue **p = &c->first;
  if (*p == q) fresh(c);
  while (*p && *p != q) p = &(*p)->count.next;
  if (*p) *p = q->count.next;
  q->count.listed = false;
}

static void list(struct store_queue *q) {
  struct store_counting *c = q->store->counting;
  if (!q->count.listed) {
    if (c->first) fresh(c);
    q->count.listed = true;
    q->count.next = c->first;
    c->first = q;
  }
  if (!c->asking && !timer_pending(&c->timer)) timer_start(&c->timer, 0);
}

void count_add(struct store_queue *q, const char *topic) {
  if (q->freed || q->store->freeing) return;
  for (size_t i = 0; i < q->count.n; i++)
    if (!strcmp(q->count.names[i], topic)) return;
  char **p = realloc(q->count.names, (q->count.n + 1) * sizeof *p);
  if (!p) out_of_memory();
  q->count.names = p;
  /* Put in front: the last one is the present one. */
  memmove(p + 1, p, q->count.n * sizeof *p);
  if (!(p[0] = strdup(topic))) out_of_memory();
  q->count.n++;
  list(q);
}

/* The present topic is done. */
static void next_topic(struct store_counting *c, struct store_queue *q) {
  free(q->count.names[--q->count.n]);
  fresh(c);
}

/* Answers when to go on. */
static uint64_t slice_done(struct store *s, struct store_queue *q, const struct redis_reply *r) {
  struct store_counting *c = s->counting;
  uint64_t took = loop_clock_ms() - c->asked_ms, pause = took * PAUSE_TIMES + 1;
  bool sound = r && r->type == REPLY_ARRAY && r->elements;
  if (sound && r->element[0]->integer == 2) {
    fresh(c);
    return BUSY_MS;
  }
  if (sound && r->element[0]->integer == 1 && r->elements == 4) {
    snprintf(c->from, sizeof c->from, "%s", r->element[1]->str);
    c->n = redis_reply_u64(r->element[2]);
    c->added = redis_reply_u64(r->element[3]);
    c->slices++;
  } else {
    if (c->slices > 10)
      log_info(loop_log(s->loop), s->subject, "counted the ready jobs of %s/%s again", q->name,
               q->count.names[q->count.n - 1]);
    next_topic(c, q);
    if (!sound) return FAILED_MS;
  }
  return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

static void on_counted(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store *s = query->store;
  struct store_counting *c = s->counting;
  struct store_queue *q = query->q;
  uint64_t wait = 1;
  (void)why;
  if (s->freeing) return;
  c->asking = false;
  if (rc == STORE_UNAVAILABLE || rc == STORE_UNKNOWN) {
    fresh(c); /* a new connection asks for the groups again */
    wait = FAILED_MS;
  } else if (c->first == q && q->count.n && /* and no reload has changed the list meanwhile */
             !strcmp(q->count.names[q->count.n - 1], query->ptr)) {
    wait = slice_done(s, q, rc ? NULL : r);
  }
  timer_start(&c->timer, wait);
}

static void count_step(void *arg) {
  struct store *s = arg;
  struct store_counting *c = s->counting;
  struct cmd *out = &s->out;
  if (c->asking || s->state != STORE_READY) return;
  while (c->first && !c->first->count.n) count_forget(c->first);
  struct store_queue *q = c->first;
  if (!q) return;
  const char *topic = q->count.names[q->count.n - 1];
  struct query *query = query_new(s, q, NULL, on_counted, NULL);
  query->own = true;
  if (!(query->ptr = strdup(topic))) out_of_memory();
  query_script(s, SCRIPT_GROUP_COUNT, 2);
  cmd_text(out, q->stream);
  cmd_text(out, q->counted);
  cmd_text(out, s->hello.run);
  cmd_text(out, topic);
  cmd_text(out, s->server->node);
  cmd_text(out, c->from);
  cmd_u64(out, c->n);
  cmd_u64(out, c->added);
  c->asking = true;
  c->asked_ms = loop_clock_ms();
  query_send(query, SCRIPT_GROUP_COUNT);
}

int count_init(struct store *s) {
  if (!(s->counting = calloc(1, sizeof *s->counting))) return -1;
  timer_init(&s->counting->timer, s->loop, count_step, s);
  return 0;
}

void count_stop(struct store *s) {
  timer_stop(&s->counting->timer);
}

void count_done(struct store *s) {
  if (!s->counting) return;
  while (s->counting->first) count_forget(s->counting->first);
  timer_done(&s->counting->timer);
  free(s->counting);
  s->counting = NULL;
}
