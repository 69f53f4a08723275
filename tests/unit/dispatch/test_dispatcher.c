/* The pump: who runs next, what is fetched, jobs that are taken over, leases, and the stop. */
#include "unit/dispatch/station.h"

static struct pool_settings pool_set = {.name = "p", .max_connections = 4};

static struct topic_settings in_pool(const char *path, int64_t workers_n) {
  struct topic_settings set = usual;
  set.path = path;
  set.pool = &pool_set;
  set.workers = workers_n;
  return set;
}

static void test_window(void) {
  struct topic_settings two = usual;
  two.workers = 2;
  station_begin();
  struct topic *t = topic_open(&two);
  jobs_add(t, 10);
  is_int(running(t), 2, "as many at a time as the topic has workers");
  size_t most = 0;
  while (running(t)) {
    if (running(t) > most) most = running(t);
    worker_done(t);
  }
  is_int(most, 2, "never more");
  is_int(store_of(t)->done, 10, "until all are done");
  asked(ASK_TAKE);
  loop_advance(loop, 60000);
  is_int(asked(ASK_TAKE) + asked(ASK_DUE) + asked(ASK_LOOK), 0, "an idle topic asks nothing");
  station_end();
}

static void test_fair_shares(void) {
  struct topic_settings a_set = in_pool("q/a", 4), b_set = in_pool("q/b", 4);
  station_begin();
  struct topic *a = topic_open(&a_set), *b = topic_open(&b_set);
  store_of(a)->stream = 100;
  store_of(b)->stream = 100;
  dispatcher_wake(dispatcher, a->queue, true);
  loop_turn(loop, 0);
  is_int(running(a) + running(b), 4, "the pool's slots");
  for (int i = 0; i < 40; i++) worker_done(running(a) > running(b) ? a : b);
  is_int(running(a), 2, "two topics with work have half");
  is_int(running(b), 2, "each");
  for (int i = 0; i < 40; i++) {
    worker_done(a); /* its jobs are short, the other's take long */
    if (running(b) != 2) break;
  }
  is_int(running(b), 2, "whose jobs are short gets no more at a time");
  is_int(running(a), 2, "but all that are its own");
  station_end();
}

static void test_newcomer(void) {
  struct topic_settings a_set = in_pool("q/a", 4), b_set = in_pool("q/b", 4);
  station_begin();
  struct topic *a = topic_open(&a_set), *b = topic_open(&b_set);
  jobs_add(a, 100);
  is_int(running(a), 4, "one topic alone has all slots");
  jobs_add(b, 1);
  is_int(running(b), 0, "there is none for the other");
  worker_done(a);
  is_int(running(a) + running(b), 4, "the first free slot lets it fetch its job, and is used");
  worker_done(a);
  is_int(running(b), 1, "the second is the newcomer's");
  is_int(running(a), 3, "not that of who freed it");
  station_end();
}

/* One topic's request ends, and what it frees is another one's. */
static void test_closed_topics_keep_no_slot(void) {
  struct topic_settings a_set = in_pool("q/a", 4), b_set = in_pool("q/b", 4);
  station_begin();
  struct topic *a = topic_open(&a_set), *b = topic_open(&b_set);
  jobs_add(a, 4);
  jobs_add(b, 4);
  store_of(b)->paused = true;
  dispatcher_wake(dispatcher, b->queue, false);
  loop_turn(loop, 0);
  jobs_add(a, 4);
  worker_done(a);
  is_int(running(a), 4, "a paused topic in line is passed");
  is_int(running(b), 0, "and gets nothing");
  station_end();
}

/* A queue with many topics asks few questions; a wake meanwhile is another one. */
static void test_a_wake_asks_for_all_topics_at_once(void) {
  struct topic_settings a_set = in_pool("q/a", 4), b_set = in_pool("q/b", 4);
  station_begin();
  struct topic *a = topic_open(&a_set), *b = topic_open(&b_set);
  asked(ASK_LOOK);
  store_of(a)->stream = store_of(b)->stream = 1;
  store.waits = true;
  dispatcher_wake(dispatcher, a->queue, false);
  dispatcher_wake(dispatcher, a->queue, false);
  is_int(asked(ASK_LOOKS), 1, "one question");
  is_int(asked(ASK_LOOK), 0, "and none for each");
  store_of(b)->paused = true;
  store_answers();
  is_int(running(a), 1, "what it tells is acted on");
  ok(b->paused && !running(b), "of each topic");
  is_int(asked(ASK_LOOK), 2, "what woke them meanwhile is asked for");
  store_of(b)->paused = false;
  store.rc = STORE_ERROR;
  dispatcher_wake(dispatcher, a->queue, false);
  loop_turn(loop, 0);
  ok(b->paused, "an error changes nothing");
  store.rc = STORE_OK;
  dispatcher_wake(dispatcher, a->queue, false);
  loop_turn(loop, 0);
  is_int(running(b), 1, "and is none for long");
  station_end();
}

static void test_storage_error(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store.rc = STORE_ERROR;
  asked(ASK_TAKE);
  jobs_add(t, 2);
  is_int(asked(ASK_TAKE), 1, "the storage answers an error");
  loop_advance(loop, 999);
  jobs_add(t, 1);
  is_int(asked(ASK_TAKE), 0, "it is left alone for a second");
  store.rc = STORE_OK;
  loop_advance(loop, 1);
  is_int(running(t), 3, "then asked again");
  store.rc = STORE_UNKNOWN;
  jobs_add(t, 1);
  store.rc = STORE_OK;
  store_of(t)->mine = 1;
  store_of(t)->stream = 0;
  asked(ASK_RECOVER);
  loop_advance(loop, 1000);
  is_int(asked(ASK_RECOVER), 1, "after an answer that never came it says what is this node's");
  is_int(running(t), 4, "and that runs");
  station_end();
}

static void test_behind(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store.behind = true;
  jobs_add(t, 1);
  loop_advance(loop, 500);
  is_int(running(t), 0, "while outcomes wait to be stored nothing is taken");
  store.behind = false;
  loop_advance(loop, 20);
  is_int(running(t), 1, "and soon after it is");
  station_end();
}

static void test_lease(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  store.no_lease = true;
  jobs_add(t, 1);
  is_int(running(t), 0, "no job begins without the lease: others may have it");
  store.no_lease = false;
  dispatcher_wake(dispatcher, t->queue, false);
  loop_turn(loop, 0);
  is_int(running(t), 1, "it runs when the lease is renewed");
  station_end();
}

static void test_retries_of_others(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  st->retries[st->n_retries++] =
      (struct retry){.job = {.id = 77, .failed = 1}, .due_ms = loop_wall_ms(loop) + 3000};
  dispatcher_due(dispatcher, t, loop_wall_ms(loop) + 3000);
  asked(ASK_DUE);
  loop_advance(loop, 2999);
  is_int(asked(ASK_DUE), 0, "a retry that another node left waits for its time");
  loop_advance(loop, 1);
  is_int(asked(ASK_DUE), 1, "then it is fetched");
  is_int(running(t), 1, "and runs");
  station_end();
}

static void test_delayed(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  asked(ASK_MOVE);
  dispatcher_delayed(dispatcher, t->queue, loop_wall_ms(loop) + 2000);
  dispatcher_delayed(dispatcher, t->queue, loop_wall_ms(loop) + 1000);
  dispatcher_delayed(dispatcher, t->queue, loop_wall_ms(loop) + 3000);
  static struct queue_store *entries[1];
  entries[0] = &world.entry;
  world.queue.stores = entries;
  world.queue.n_stores = 1;
  loop_advance(loop, 999);
  is_int(asked(ASK_MOVE), 0, "delayed jobs wait for the first one's time");
  store_of(t)->stream = 1;
  loop_advance(loop, 1);
  is_int(asked(ASK_MOVE), 1, "then enter the stream");
  is_int(running(t), 1, "and run");
  station_end();
}

static void test_takeover(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  struct store_topic *st = store_of(t);
  st->theirs = 3;
  st->page = 2;
  asked(ASK_RECOVER);
  dispatcher_node_died(dispatcher, &store, "node-b");
  loop_turn(loop, 0);
  is_int(asked(ASK_RECOVER), 2, "a dead node's jobs are taken over, page after page");
  is_str(store.node, "node-b", "by its name");
  is_int(running(t), 3, "and run here");
  is_int(t->counters.recovered, 3, "counted");
  while (running(t)) worker_done(t);
  st->theirs = 1;
  st->crashes = 3;
  dispatcher_node_died(dispatcher, &store, "node-c");
  loop_turn(loop, 0);
  is_int(running(t), 0, "one that was found running so often");
  is_int(st->dead, 1, "is dead");
  is_str(st->message,
         "it was running when a node ended, 3 times; it is not tried again by itself (crashes = 3)",
         "and says why");
  st->mine = 2;
  st->crashes = 0;
  st->page = 0;
  dispatcher_missing(dispatcher, t);
  loop_turn(loop, 0);
  is_int(running(t), 2, "what the storage counts as this node's and is not here is fetched");
  station_end();
}

static void test_declared_dead(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  station_begin();
  struct topic *t = topic_open(&one);
  jobs_add(t, 1);
  worker_done(t);
  jobs_add(t, 20);
  size_t at_hand = store_of(t)->taken - store_of(t)->done - running(t);
  ok(at_hand > 0, "jobs are at hand");
  store.no_lease = true;
  dispatcher_declared_dead(dispatcher, &store);
  is_int(store_of(t)->released, at_hand, "this node was taken for dead: they go back");
  is_int(running(t), 1, "what runs goes on");
  store.no_lease = false;
  station_end();
}

/* --- the stop --- */

static struct {
  unsigned times;
  size_t left;
} drained;

static void on_drained(void *arg, size_t left) {
  (void)arg;
  drained.times++;
  drained.left = left;
}

static void test_drain(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  memset(&drained, 0, sizeof drained);
  station_begin();
  struct topic *t = topic_open(&one);
  jobs_add(t, 1);
  worker_done(t);
  jobs_add(t, 20);
  size_t at_hand = store_of(t)->taken - store_of(t)->done - running(t);
  dispatcher_drain(dispatcher, 10000, on_drained, NULL);
  loop_turn(loop, 0);
  is_str(state_of(t), "draining", "a stop: every topic drains");
  is_int(store_of(t)->released, at_hand, "what is at hand goes back");
  is_int(drained.times, 0, "what runs is waited for");
  worker_done(t);
  is_int(drained.times, 1, "until it ends");
  is_int(drained.left, 0, "nothing is left");
  is_int(store_of(t)->done, 2, "and its outcome given to the storage");
  loop_advance(loop, 20000);
  is_int(drained.times, 1, "told once");
  station_end();
}

static void test_drain_timeout(void) {
  memset(&drained, 0, sizeof drained);
  station_begin();
  struct topic *t = topic_open(&usual);
  jobs_add(t, 2);
  dispatcher_drain(dispatcher, 10000, on_drained, NULL);
  loop_advance(loop, 9999);
  is_int(drained.times, 0, "a stop has its time");
  loop_advance(loop, 1);
  is_int(drained.times, 1, "and no more");
  is_int(drained.left, 2, "two jobs are left");
  station_end();
}

static void test_drain_of_many(void) {
  struct topic_settings sets[TOPICS_MAX];
  memset(&drained, 0, sizeof drained);
  station_begin();
  for (int i = 0; i < TOPICS_MAX; i++) {
    sets[i] = usual;
    topic_open(&sets[i]);
  }
  workers.ending = true;
  dispatcher_drain(dispatcher, 10000, on_drained, NULL);
  loop_advance(loop, 100);
  is_int(workers.closed, TOPICS_MAX, "all ways are closed");
  is_int(drained.times, 0, "workers that a transport keeps are waited for");
  workers.ending = false;
  workers.ended(workers.ended_arg);
  loop_turn(loop, 0);
  is_int(drained.times, 1, "until they have ended");
  station_end();
}

/* What timed out is settled: a stop does not wait for the worker that still has it. */
static void test_drain_with_a_zombie(void) {
  struct topic_settings one = usual;
  one.timeout_ms = 1000;
  memset(&drained, 0, sizeof drained);
  station_begin();
  struct topic *t = topic_open(&one);
  jobs_add(t, 1);
  dispatcher_drain(dispatcher, 10000, on_drained, NULL);
  loop_advance(loop, 1000);
  is_int(store_of(t)->failed, 1, "its time is over");
  is_int(drained.times, 1, "that is all that is waited for");
  is_int(drained.left, 0, "nothing is left");
  station_end();
}

int main(void) {
  test_window();
  test_fair_shares();
  test_newcomer();
  test_closed_topics_keep_no_slot();
  test_a_wake_asks_for_all_topics_at_once();
  test_storage_error();
  test_behind();
  test_lease();
  test_retries_of_others();
  test_delayed();
  test_takeover();
  test_declared_dead();
  test_drain();
  test_drain_timeout();
  test_drain_of_many();
  test_drain_with_a_zombie();
  return done_testing();
}
