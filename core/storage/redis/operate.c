/* Owns the operators' work on a topic: pause, list failed jobs, replay, purge. Large work is done
 * in pages, so that Redis is never held up for long. */
#include "storage/redis/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "storage/redis/depth.h"
#include "storage/redis/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tells the other nodes what an operator did, even if the last sweep saw no other node: the next
 * sweep may be seconds away, and such news is rare. */
static void wake_for_operator(struct store_queue *q) {
  if (q->freed) return;
  wakeup_peer_likely(q->store);
  wakeup_peers(q, true);
}

/* --- pause --- */

static void on_paused(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  (void)r;
  if (!rc) {
    depth_paused(query->t, query->n[0]);
    wake_for_operator(query->q);
  }
  query->fn.done(query->arg, rc, rc ? 0 : 1, why);
}

/* {"since":ms,"by":"...","reason":"..."}; older releases wrote 1, and look only whether it is
 * there. */
static void put_pause(struct store *s, const char *by, const char *reason) {
  struct buf b = {0};
  char head[64];
  snprintf(head, sizeof head, "{\"since\":%llu,\"by\":\"", (unsigned long long)clock_now(s));
  buf_add_text(&b, head);
  buf_add_json(&b, by, strlen(by));
  buf_add_text(&b, "\",\"reason\":\"");
  buf_add_json(&b, reason, strlen(reason));
  buf_add_text(&b, "\"}");
  if (b.failed)
    cmd_text(&s->out, "1");
  else
    cmd_bytes(&s->out, b.data, b.len);
  buf_free(&b);
}

void store_pause(struct store_topic *t, bool paused, const char *by, const char *reason,
                 store_done_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_paused, arg);
  query->fn.done = fn;
  query->n[0] = paused;
  query_script(s, SCRIPT_WRITE, 1); /* a server whose memory is full takes it, too */
  cmd_text(&s->out, t->q->paused);
  cmd_text(&s->out, paused ? "HSET" : "HDEL");
  cmd_text(&s->out, t->name);
  if (paused) put_pause(s, by, reason);
  query_send(query, SCRIPT_WRITE);
}

/* --- lists --- */

/* A list is asked for in pages, so that neither Lua nor this process holds many bodies at once. */
#define LIST_PAGE  250
#define LIST_BYTES (4u << 20)

struct listing {
  struct store_record *records;
  size_t n, want;
  uint64_t total, offset, id;
  size_t head; /* bytes of a body that are shown */
  enum store_set set;
};

/* The listing itself goes with its question. */
static void listing_done(struct listing *l) {
  for (size_t i = 0; i < l->n; i++) record_done(&l->records[i]);
  free(l->records);
}

static void list_send(struct query *query, bool again) {
  struct listing *l = query->ptr;
  struct store_topic *t = query->t;
  struct cmd *out = &query->store->out;
  size_t left = l->want - l->n;
  query_script(query->store, SCRIPT_FAILED_LIST, 5);
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_u64(out, l->set);
  cmd_u64(out, l->offset + l->n);
  cmd_u64(out, left < LIST_PAGE ? left : LIST_PAGE);
  if (l->id)
    cmd_u64(out, l->id);
  else
    cmd_text(out, "");
  cmd_u64(out, l->head);
  cmd_u64(out, LIST_BYTES);
  if (again)
    query_send_again(query, SCRIPT_FAILED_LIST);
  else
    query_send(query, SCRIPT_FAILED_LIST);
}

static void on_list(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct listing *l = query->ptr;
  size_t got = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    l->total = redis_reply_u64(r->element[0]);
    for (size_t i = 1; i + RECORD_ANSWER <= r->elements && l->n < l->want;
         i += RECORD_ANSWER, got++)
      record_read(&l->records[l->n++], r->element + i);
    if (got && !l->id && l->n < l->want && l->offset + l->n < l->total) {
      list_send(query, true);
      return;
    }
  }
  query->fn.records(query->arg, rc, !rc && l->n ? l->records : NULL, rc ? 0 : l->n, l->total, why);
  listing_done(l);
}

static void list_ask(struct store_topic *t, enum store_set set, uint64_t offset, size_t count,
                     uint64_t id, size_t head, store_records_fn fn, void *arg) {
  struct query *query = query_new(t->q->store, t->q, t, on_list, arg);
  struct listing *l = calloc(1, sizeof *l);
  if (!l || !(l->records = calloc(count + 1, sizeof *l->records))) out_of_memory();
  l->want = count;
  l->offset = offset;
  l->id = id;
  l->set = set;
  l->head = head;
  query->ptr = l;
  query->fn.records = fn;
  list_send(query, false);
}

void store_list(struct store_topic *t, enum store_set set, uint64_t offset, size_t count,
                size_t content_max, store_records_fn fn, void *arg) {
  list_ask(t, set, offset, count, 0, content_max + JOB_HEAD_MAX, fn, arg);
}

void store_find(struct store_topic *t, uint64_t id, store_records_fn fn, void *arg) {
  list_ask(t, STORE_SET_BOTH, 0, 1, id, SIZE_MAX >> 12, fn, arg);
}

/* --- replay and purge of one job; many are acts --- */

static void on_one(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  uint64_t n = rc ? 0 : redis_reply_u64(r);
  if (n) wake_for_operator(query->q);
  query->fn.done(query->arg, rc, n, why);
}

static void one_ask(struct store_topic *t, enum store_script script, enum store_set set,
                    uint64_t id, store_done_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_one, arg);
  query->fn.done = fn;
  query_script(s, script, script == SCRIPT_FAILED_REPLAY ? 4 : 5);
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  if (script == SCRIPT_FAILED_PURGE) cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_u64(out, set);
  cmd_u64(out, id);
  query_send(query, script);
}

void store_replay(struct store_topic *t, enum store_set set, uint64_t id, store_done_fn fn,
                  void *arg) {
  one_ask(t, SCRIPT_FAILED_REPLAY, set, id, fn, arg);
}

void store_purge(struct store_topic *t, enum store_set set, uint64_t id, store_done_fn fn,
                 void *arg) {
  one_ask(t, SCRIPT_FAILED_PURGE, set, id, fn, arg);
}
