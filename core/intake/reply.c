/* Owns reply slots and their order. */
#include "intake/reply.h"

#include <stdlib.h>

#define SPARE_MAX  1024 /* slots kept for reuse; a burst beyond is given back to the system */
#define SPARE_ROOM 1024 /* a spare slot keeps its buffer up to this size */

struct reply_pool {
  reply_ready_fn ready;
  struct reply *spare;
  size_t spare_n, used;
  bool closed; /* goes with the last slot */
};

struct reply_pool *reply_pool_new(reply_ready_fn ready) {
  struct reply_pool *pool = calloc(1, sizeof *pool);
  if (pool) pool->ready = ready;
  return pool;
}

static void slot_free(struct reply *r) {
  buf_free(&r->out);
  free(r);
}

void reply_pool_free(struct reply_pool *pool) {
  if (!pool) return;
  pool->closed = true;
  while (pool->spare) {
    struct reply *r = pool->spare;
    pool->spare = r->next;
    slot_free(r);
  }
  pool->spare_n = 0;
  if (!pool->used) free(pool);
}

static void give_back(struct reply *r) {
  struct reply_pool *pool = r->pool;
  pool->used--;
  if (pool->closed || pool->spare_n >= SPARE_MAX) {
    slot_free(r);
    if (pool->closed && !pool->used) free(pool);
    return;
  }
  if (r->out.cap > SPARE_ROOM || r->out.failed) buf_free(&r->out);
  r->out.len = 0;
  r->next = pool->spare;
  pool->spare = r;
  pool->spare_n++;
}

void replies_init(struct replies *rs, struct reply_pool *pool) {
  *rs = (struct replies){.pool = pool};
}

struct reply *reply_open(struct replies *rs) {
  struct reply_pool *pool = rs->pool;
  struct reply *r = pool->spare;
  if (r) {
    pool->spare = r->next;
    pool->spare_n--;
  } else if (!(r = calloc(1, sizeof *r))) {
    return NULL;
  }
  pool->used++;
  r->pool = pool;
  r->of = rs;
  r->done = false;
  r->next = rs->last ? rs->last->next : r;
  if (rs->last) rs->last->next = r;
  rs->last = r;
  rs->n++;
  return r;
}

void reply_done(struct reply *r) {
  struct replies *rs = r->of;
  if (!rs) {
    give_back(r);
    return;
  }
  r->done = true;
  rs->bytes += r->out.len;
  if (rs->last->next == r) rs->pool->ready(rs);
}

struct reply *replies_first(const struct replies *rs) {
  return rs->last && rs->last->next->done ? rs->last->next : NULL;
}

/* Takes the first off the line. */
static struct reply *first_off(struct replies *rs) {
  struct reply *r = rs->last->next;
  if (r == rs->last)
    rs->last = NULL;
  else
    rs->last->next = r->next;
  return r;
}

void replies_pop(struct replies *rs) {
  struct reply *r = first_off(rs);
  rs->n--;
  rs->bytes -= r->out.len;
  give_back(r);
}

void replies_drop(struct replies *rs) {
  while (rs->last) {
    struct reply *r = first_off(rs);
    r->of = NULL;
    if (r->done) give_back(r);
  }
  rs->n = rs->bytes = 0;
}
