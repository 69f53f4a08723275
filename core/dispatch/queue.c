/* Owns the references to a queue. */
#include "dispatch/queue.h"

void queue_ref(struct queue *q) {
  q->refs++;
}

void queue_unref(struct queue *q) {
  if (!--q->refs) q->gone(q);
}
