/* Delayed jobs of a queue: when its storages are asked to let them in, and what an answer means. */
#include "unit/fake_loop.h"

#include "dispatch/delayed.h"
#include "dispatch/fetch.h"
#include "dispatch/topic.h"

#include "tap.h"

static struct loop *loop;
static struct queue q;
static struct topic topics[2], *topic_list[] = {&topics[0], &topics[1]};
static struct queue_store stores[2], *entries[] = {&stores[0], &stores[1]};
static unsigned gone;

/* The storages' questions, oldest first. */
static struct {
  store_moved_fn fn[8];
  void *arg[8];
  size_t n, answered;
  unsigned fetched;
} asked;

void store_move_due(struct store_queue *sq, store_moved_fn fn, void *arg) {
  (void)sq;
  asked.fn[asked.n] = fn;
  asked.arg[asked.n++] = arg;
}
void fetch_new(struct topic *t) {
  asked.fetched += t == &topics[0] || t == &topics[1];
}

static void answer(enum store_rc rc, uint64_t moved, uint64_t next_ms) {
  size_t i = asked.answered++;
  if (i >= asked.n) bail_out("nothing was asked");
  asked.fn[i](asked.arg[i], rc, moved, next_ms);
  loop_turn(loop, 0);
}

static void on_gone(struct queue *queue) {
  gone += queue == &q;
}

static void begin(size_t n_stores) {
  loop = loop_new(NULL);
  memset(&asked, 0, sizeof asked);
  gone = 0;
  q = (struct queue){.refs = 1, .gone = on_gone, .topics = topic_list, .n_topics = 2};
  q.stores = entries;
  q.n_stores = n_stores;
}

static void end(void) {
  timer_done(&q.delayed.timer);
  is_int(loop->n_timers, 0, "no timer is left");
  loop_free(loop);
}

/* In so many ms. */
static uint64_t in(uint64_t ms) {
  return loop_wall_ms(loop) + ms;
}

static void test_first_one(void) {
  begin(2);
  delayed_at(&q, loop, in(2000));
  delayed_at(&q, loop, in(1000));
  delayed_at(&q, loop, in(3000));
  loop_advance(loop, 999);
  is_int(asked.n, 0, "nothing is asked before the first job's time");
  loop_advance(loop, 1);
  is_int(asked.n, 2, "then each storage of the queue is, once");
  is_int(q.refs, 3, "the queue stays for their answers");
  answer(STORE_OK, 5, 0);
  is_int(asked.fetched, 2, "what has entered the stream is fetched, by all topics");
  answer(STORE_OK, 0, 0);
  is_int(asked.fetched, 2, "where nothing has, no topic looks");
  is_int(q.refs, 1, "after the answers nobody holds the queue");
  loop_advance(loop, 60000);
  is_int(asked.n, 2, "none is waited for any more");
  delayed_at(&q, loop, in(0) - 5000);
  loop_turn(loop, 0);
  is_int(asked.n, 4, "one whose time is over is asked for at once");
  end();
}

static void test_next_one(void) {
  begin(1);
  delayed_at(&q, loop, in(1000));
  loop_advance(loop, 1000);
  answer(STORE_OK, 1, in(4000));
  loop_advance(loop, 3999);
  is_int(asked.n, 1, "the answer told of the next job");
  loop_advance(loop, 1);
  is_int(asked.n, 2, "which has its time");
  end();
}

static void test_error(void) {
  static const enum store_rc codes[] = {STORE_UNAVAILABLE, STORE_UNKNOWN, STORE_ERROR};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    begin(1);
    delayed_at(&q, loop, in(1000));
    loop_advance(loop, 1000);
    answer(codes[i], 0, in(90000));
    loop_advance(loop, 999);
    is_int(asked.n, 1, "a storage that fails is left alone for a second");
    loop_advance(loop, 1);
    is_int(asked.n, 2, "and asked again: no delayed job is forgotten");
    end();
  }
}

static void test_queue_leaves(void) {
  begin(1);
  delayed_at(&q, loop, in(1000));
  loop_advance(loop, 500);
  q.leaving = true;
  loop_advance(loop, 1000);
  is_int(asked.n, 0, "a queue that is not configured any more asks nothing");
  delayed_at(&q, loop, in(1000));
  is_int(loop->n_timers, 0, "nor does it begin to wait");
  end();
  begin(1);
  delayed_at(&q, loop, in(1000));
  loop_advance(loop, 1000);
  q.leaving = true;
  queue_unref(&q); /* the registry's */
  is_int(gone, 0, "one that leaves stays until its answer has come");
  answer(STORE_OK, 5, in(1000));
  is_int(gone, 1, "then it goes");
  is_int(asked.fetched, 0, "and no topic of it is touched");
  end();
  begin(1);
  delayed_at(&q, loop, in(1000));
  loop_advance(loop, 1000);
  q.n_topics = 0;
  answer(STORE_ERROR, 0, 0);
  is_int(loop->n_timers, 0, "without topics nobody waits for a job");
  end();
}

int main(void) {
  test_first_one();
  test_next_one();
  test_error();
  test_queue_leaves();
  return done_testing();
}
