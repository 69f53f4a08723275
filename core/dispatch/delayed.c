/* Owns a queue's timer for the first delayed job. */
#include "dispatch/delayed.h"

#include "dispatch/fetch.h"
#include "dispatch/private.h"
#include "dispatch/queue.h"
#include "dispatch/topic.h"

static void on_moved(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due_ms) {
  struct queue *q = arg;
  struct loop *loop = q->delayed.timer.loop;
  if (!q->leaving && q->n_topics) {
    for (size_t i = 0; moved && i < q->n_topics; i++) fetch_new(q->topics[i]);
    if (rc == STORE_OK && next_due_ms) delayed_at(q, loop, next_due_ms);
    if (rc) delayed_at(q, loop, loop_wall_ms(loop) + STORE_AGAIN_MS);
  }
  queue_unref(q);
}

static void due(void *arg) {
  struct queue *q = arg;
  q->delayed.next_ms = 0;
  if (q->leaving) return;
  for (size_t i = 0; i < q->n_stores; i++) {
    queue_ref(q);
    store_move_due(q->stores[i]->sq, on_moved, q);
  }
}

void delayed_at(struct queue *q, struct loop *loop, uint64_t due_ms) {
  if (q->leaving || (q->delayed.next_ms && q->delayed.next_ms <= due_ms)) return;
  uint64_t now = loop_wall_ms(loop);
  if (!q->delayed.timer.loop) timer_init(&q->delayed.timer, loop, due, q);
  q->delayed.next_ms = due_ms;
  timer_start(&q->delayed.timer, due_ms > now ? due_ms - now : 0);
}
