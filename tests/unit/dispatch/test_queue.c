/* A queue lives as long as anybody holds a reference to it. */
#include "dispatch/queue.h"

#include "tap.h"

static unsigned gone;
static struct queue *gone_queue;

static void on_gone(struct queue *q) {
  gone++;
  gone_queue = q;
}

int main(void) {
  struct queue q = {.refs = 1, .gone = on_gone};
  queue_ref(&q);
  queue_ref(&q);
  queue_unref(&q);
  queue_unref(&q);
  is_int(gone, 0, "a queue that somebody holds stays");
  queue_unref(&q);
  is_int(gone, 1, "with the last reference it goes, once");
  ok(gone_queue == &q, "and its owner is told which");
  return done_testing();
}
