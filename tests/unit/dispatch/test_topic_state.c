/* Which state a topic is in, by the facts: storage, configuration, operators, pings, the pool. */
#include "unit/dispatch/station.h"

static void test_from_waiting_to_open(void) {
  station_begin();
  workers.pings_wait = true;
  struct topic *t = topic_new(&usual);
  is_str(state_of(t), "waiting", "a topic waits until its storage is ready");
  is_str(why_of(t), "its storage is not ready", "and says so");
  is_int(asked(ASK_ATTACH), 0, "nothing is asked of a storage that is not ready");
  is_int(pings(t), 0, "nor of the worker");
  loop_advance(loop, 5000);
  dispatcher_store_ready(dispatcher, t, true);
  is_int(asked(ASK_ATTACH), 1, "the storage is ready: the topic attaches");
  loop_turn(loop, 0);
  is_str(state_of(t), "pinging", "then the worker is asked");
  is_int(pings(t), 1, "with one ping");
  is_int(asked(ASK_RECOVER), 1, "and the storage what this node was running before");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/other,q/t"});
  is_str(state_of(t), "open", "a worker that registers the topic opens it");
  is_str(why_of(t), "", "and there is nothing to say");
  is_int(t->since_ms, loop_wall_ms(loop), "since now");
  station_end();
}

static void test_configuration(void) {
  struct topic_settings off = usual, away = usual, no_plugin = usual, pulled = usual;
  off.enabled = 0;
  away.here = false;
  no_plugin.transport = NULL;
  pulled.transport = NULL;
  pulled.pulled = true;
  station_begin();
  struct topic *t = topic_open(&off);
  is_str(state_of(t), "disabled", "enabled = no");
  is_str(why_of(t), "enabled = no in the configuration", "says why");
  is_int(asked(ASK_ATTACH) + workers.opened, 0, "neither storage nor worker hears of it");
  t = topic_open(&away);
  is_str(state_of(t), "disabled", "another node's system");
  is_str(why_of(t), "this node does not run its system ([server] systems)", "says why");
  t = topic_open(&no_plugin);
  is_str(state_of(t), "broken", "no plugin has its run type");
  is_str(why_of(t), "no plugin provides run_type test", "says which");
  workers.no_workers = true;
  t = topic_open(&usual);
  is_str(state_of(t), "broken", "the transport cannot be had");
  is_str(why_of(t), "there is no such file", "says why");
  workers.no_workers = false;
  topic_update(t, &usual);
  is_str(state_of(t), "open", "the next reload tries again");
  jobs_add(t, 1);
  is_int(running(t), 1, "and its jobs run");
  worker_done(t);
  struct topic_settings lost = usual;
  lost.broken = "there is no [storage far]";
  lost.not_here = NULL;
  topic_update(t, &lost);
  is_str(state_of(t), "broken", "a shared topic that this node cannot run");
  is_str(why_of(t), "there is no [storage far]", "says why, although its worker could be had");
  lost.broken = "this node has not the key";
  topic_update(t, &lost);
  is_str(why_of(t), "this node has not the key", "another reason is told, too");
  topic_update(t, &usual);
  is_str(state_of(t), "open", "it runs as soon as it can");
  away.not_here = "this node is drained ([node a] drain = yes)";
  topic_update(t, &away);
  is_str(state_of(t), "disabled", "a drained node");
  is_str(why_of(t), "this node is drained ([node a] drain = yes)", "says what to change");
  size_t sent = workers.submitted;
  t = topic_open(&pulled);
  is_str(state_of(t), "open", "workers that come by themselves are not asked");
  jobs_add(t, 3);
  is_int(store_of(t)->taken, 0, "and nothing is taken for them");
  is_int(workers.submitted, sent, "nobody hears of it");
  station_end();
}

static void told_nobody(void *arg, int code, const char *message, size_t len, uint64_t took_ms) {
  (void)arg, (void)code, (void)message, (void)len, (void)took_ms;
}

static void test_not_registered(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  const uint64_t waits[] = {400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
  bool doubles = true;
  jobs_add(t, 1);
  worker_done(t);
  workers.ping_code = 404;
  operator_ping(t, told_nobody, NULL);
  loop_turn(loop, 0);
  workers.pings_wait = true;
  is_str(state_of(t), "unregistered", "404: it is not registered");
  is_str(why_of(t), "the worker does not register q/t: ", "as the worker said");
  is_int(store_of(t)->errors, 1, "which stands with the topic's errors");
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    loop_advance(loop, waits[i] - 1);
    doubles &= !pings(t);
    loop_advance(loop, 1);
    doubles &= pings(t) == 1;
    worker_says(t, true, (struct pb_result){.code = 404});
  }
  ok(doubles, "asked again after twice the time, at last every 30 s");
  is_int(store_of(t)->errors, 1, "the same answer is noted once");
  jobs_add(t, 1);
  loop_advance(loop, 199);
  is_int(pings(t), 0, "work comes: not at once");
  loop_advance(loop, 1);
  is_int(pings(t), 1, "but after 200 ms");
  worker_says(t, true, (struct pb_result){.code = 500, .body = "it threw"});
  is_str(state_of(t), "unregistered", "a worker that fails is as good as none");
  is_int(store_of(t)->errors, 2, "another answer is noted too");
  loop_advance(loop, 1499);
  is_int(pings(t), 0, "while jobs wait it is asked");
  loop_advance(loop, 1);
  is_int(pings(t), 1, "every 1.5 s");
  is_int(store_of(t)->taken, 1, "and none of them is taken");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/t"});
  is_str(state_of(t), "open", "until it registers it");
  is_int(running(t), 1, "then they run");
  station_end();
}

static void test_unreachable(void) {
  station_begin();
  struct topic *t = topic_open(&usual), *other;
  static struct pool_settings pool_set = {.name = "p", .max_connections = 4};
  struct topic_settings one = usual, two = usual;
  one.pool = two.pool = &pool_set;
  one.path = "q/one", two.path = "q/two";
  t = topic_open(&one);
  other = topic_open(&two);
  jobs_add(t, 1);
  workers.pings_wait = true;
  worker_outcome(t, PB_UNREACHABLE, "connection refused");
  is_str(state_of(t), "unreachable", "nobody listens: the way is closed");
  is_str(why_of(t), "connection refused", "as the transport said");
  is_str(state_of(other), "unreachable", "for all topics of the pool");
  is_int(store_of(t)->failed + store_of(t)->dead, 0, "no attempt is counted");
  loop_advance(loop, 99);
  is_int(pings(t) + pings(other), 0, "no probe yet");
  loop_advance(loop, 1);
  is_int(pings(t) + pings(other), 1, "a probe after 100 ms");
  is_int(pings(t), 1, "for the topic that has work");
  loop_advance(loop, 3000);
  is_int(pings(t) + pings(other), 1, "one at a time, however long it takes");
  worker_says(t, true, (struct pb_result){.outcome = PB_UNREACHABLE, .detail = "still nobody"});
  is_str(why_of(t), "still nobody", "the latest reason is told");
  loop_advance(loop, 1000);
  is_int(pings(t), 1, "the next probe within a second");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/one"});
  is_str(state_of(t), "open", "they are back");
  is_str(state_of(other), "open", "for all");
  is_int(running(t), 1, "the job that was sent back runs now");
  station_end();
}

static void test_pause(void) {
  station_begin();
  struct topic_settings narrow = usual;
  narrow.workers = 1;
  struct topic *t = topic_open(&narrow);
  jobs_add(t, 2);
  is_int(running(t), 1, "one job runs");
  store_of(t)->paused = true;
  snprintf(store_of(t)->pause, 256, "{\"since\":1234,\"by\":\"ann\",\"reason\":\"deploy\"}");
  dispatcher_wake(dispatcher, t->queue, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "paused", "another node's pause is seen with the next look");
  is_str(why_of(t), "paused by an operator (ann): deploy", "with who and why");
  is_int(t->since_ms, 1234, "since it was asked for");
  is_int(running(t), 1, "what runs goes on");
  worker_done(t);
  is_int(store_of(t)->done, 1, "to its end");
  is_int(running(t), 0, "and nothing new begins");
  jobs_add(t, 5);
  is_int(store_of(t)->taken, 1, "nor is anything taken");
  store_of(t)->paused = false;
  dispatcher_wake(dispatcher, t->queue, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "open", "resumed");
  is_int(running(t), 1, "jobs run again");
  station_end();
}

static void test_pause_gives_back(void) {
  station_begin();
  struct topic_settings fast = usual;
  fast.workers = 1;
  struct topic *t = topic_open(&fast);
  jobs_add(t, 1);
  loop_advance(loop, 100);
  worker_done(t);
  jobs_add(t, 20);
  size_t at_hand = store_of(t)->taken - store_of(t)->done - running(t);
  ok(at_hand > 0, "jobs are at hand here, beyond the one that runs");
  store_of(t)->paused = true;
  dispatcher_wake(dispatcher, t->queue, false);
  loop_turn(loop, 0);
  is_int(store_of(t)->released, at_hand, "a pause gives them back");
  worker_outcome(t, PB_BUSY, "full");
  is_int(store_of(t)->released, at_hand + 1, "and what comes back from the worker, too");
  station_end();
}

static void test_storage_lost(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  jobs_add(t, 1);
  asked(ASK_RECOVER);
  asked(ASK_ATTACH);
  dispatcher_store_ready(dispatcher, t, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "waiting", "its storage is lost");
  is_int(running(t), 1, "what runs goes on");
  worker_done(t);
  is_int(store_of(t)->done, 1, "and its outcome is given to the storage, which keeps it");
  dispatcher_store_ready(dispatcher, t, true);
  loop_turn(loop, 0);
  is_str(state_of(t), "open", "back: the worker need not be asked again");
  is_int(asked(ASK_ATTACH), 1, "attached again");
  is_int(asked(ASK_RECOVER), 1, "and what the connection swallowed is looked for");
  store.rc = STORE_ERROR;
  dispatcher_store_ready(dispatcher, t, false);
  dispatcher_store_ready(dispatcher, t, true);
  loop_turn(loop, 0);
  is_str(state_of(t), "waiting", "a storage that refuses to attach: it waits");
  asked(ASK_ATTACH);
  store.rc = STORE_OK;
  loop_advance(loop, 1000);
  is_int(asked(ASK_ATTACH), 1, "and asks again after a second");
  is_str(state_of(t), "open", "until it is taken");
  station_end();
}

/* Jobs that are at hand here before a closed gate. */
static void test_held_jobs(void) {
  station_begin();
  struct topic_settings narrow = usual;
  narrow.workers = 1;
  struct topic *t = topic_open(&narrow);
  jobs_add(t, 1);
  workers.pings_wait = true;
  worker_outcome(t, PB_UNREACHABLE, "nobody");
  loop_advance(loop, 4999);
  is_int(store_of(t)->released, 0, "a job waits here for the worker");
  loop_advance(loop, 1);
  is_int(store_of(t)->released, 1, "for 5 s, then other nodes may have it");
  workers.pings_wait = false;
  pings_answered(NULL);
  loop_advance(loop, 1000);
  is_str(state_of(t), "open", "the workers are back");
  is_int(running(t), 1, "and it is taken again");
  station_end();
}

static void test_draining(void) {
  station_begin();
  bool is_gone = false;
  struct topic *t = topic_open(&usual), *idle = topic_open(&usual);
  jobs_add(t, 1);
  topic_leave(idle, &is_gone);
  ok(is_gone, "a topic without jobs that is no longer configured goes at once");
  topic_leave(t, &is_gone);
  is_str(state_of(t), "draining", "one with running jobs drains");
  ok(!is_gone, "as long as they run");
  size_t closed = workers.closed;
  is_int(closed, 2, "its way to the worker is closed for new ones");
  jobs_add(t, 1);
  is_int(running(t), 1, "nothing new begins");
  worker_done(t);
  is_int(store_of(t)->done, 1, "the outcome is stored");
  ok(is_gone, "then it goes");
  station_end();
}

/* Of facts that hold at the same time the first of this order is the state. */
static void test_order(void) {
  station_begin();
  workers.pings_wait = true;
  struct topic_settings off = usual;
  off.enabled = 0;
  struct topic *t = topic_open(&usual);
  worker_says(t, true, (struct pb_result){.code = 404, .body = "no"});
  is_str(state_of(t), "unregistered", "not registered");
  loop_advance(loop, 400);
  worker_says(t, true, (struct pb_result){.outcome = PB_UNREACHABLE, .detail = "gone"});
  is_str(state_of(t), "unreachable", "cannot be reached comes before it");
  store_of(t)->paused = true;
  dispatcher_wake(dispatcher, t->queue, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "paused", "paused before that");
  store.rc = STORE_UNAVAILABLE;
  dispatcher_store_ready(dispatcher, t, false);
  loop_turn(loop, 0);
  is_str(state_of(t), "waiting", "no storage before that");
  workers.no_workers = true;
  struct topic_settings longer = usual;
  longer.timeout_ms++;
  topic_update(t, &longer);
  is_str(state_of(t), "broken", "no transport before that");
  topic_update(t, &off);
  is_str(state_of(t), "disabled", "disabled before that");
  bool is_gone = false;
  store.waits = true;
  topic_update(t, &usual); /* attaches: an answer is on the way */
  topic_leave(t, &is_gone);
  is_str(state_of(t), "draining", "draining before all");
  ok(!is_gone, "while an answer of the storage is still to come");
  store_answers();
  ok(is_gone, "and gone after it");
  station_end();
}

int main(void) {
  test_from_waiting_to_open();
  test_configuration();
  test_not_registered();
  test_unreachable();
  test_pause();
  test_pause_gives_back();
  test_storage_lost();
  test_held_jobs();
  test_draining();
  test_order();
  return done_testing();
}
