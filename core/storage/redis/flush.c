/* Owns the callbacks that wait until a storage is idle: no call is on the way any more. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>

struct store_flush_wait {
  struct store_flush_wait *next;
  struct store *store;
  struct timer timer;
  void (*fn)(void *arg, bool idle);
  void *arg;
};

bool store_idle(const struct store *s) {
  return !s->queries.n && !s->adds.n && !s->settling.n;
}

static void flush_wait_end(struct store_flush_wait *w, bool idle) {
  struct store_flush_wait **p = &w->store->flush.waits;
  while (*p != w) p = &(*p)->next;
  *p = w->next;
  timer_done(&w->timer);
  w->fn(w->arg, idle);
  free(w);
}

static void flush_turn(void *arg) {
  struct store *s = arg;
  while (s->flush.waits && store_idle(s)) flush_wait_end(s->flush.waits, true);
}

void flush_check(struct store *s) {
  if (s->flush.waits && !s->freeing && store_idle(s))
    loop_defer(s->loop, &s->flush.later, flush_turn, s);
}

static void flush_timeout(void *arg) {
  struct store_flush_wait *w = arg;
  flush_wait_end(w, store_idle(w->store));
}

void store_flush(struct store *s, uint64_t timeout_ms, void (*fn)(void *arg, bool idle),
                 void *arg) {
  struct store_flush_wait *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  *w = (struct store_flush_wait){.next = s->flush.waits, .store = s, .fn = fn, .arg = arg};
  s->flush.waits = w;
  timer_init(&w->timer, s->loop, flush_timeout, w);
  timer_start(&w->timer, timeout_ms);
  flush_check(s);
}

void flush_done(struct store *s) {
  while (s->flush.waits) {
    struct store_flush_wait *w = s->flush.waits;
    s->flush.waits = w->next;
    timer_done(&w->timer);
    w->fn(w->arg, false);
    free(w);
  }
  deferred_cancel(s->loop, &s->flush.later);
}
