/* Jobs that ran before: when the storage is asked for them, page after page, and again after an
 * error. What becomes of the jobs is in test_dispatcher.c. */
#include "unit/dispatch/station.h"

#include "dispatch/fetch.h"
#include "dispatch/takeover.h"

/* An open topic with nothing to do. */
static struct topic *idle(struct topic_settings *set) {
  *set = usual;
  station_begin();
  struct topic *t = topic_open(set);
  asked(ASK_RECOVER);
  return t;
}

static void test_own(void) {
  struct topic_settings set;
  struct topic *t = idle(&set);
  struct store_topic *st = store_of(t);
  takeover_ask(t);
  loop_turn(loop, 0);
  is_int(asked(ASK_RECOVER), 0, "without a doubt nothing is asked");
  st->mine = 5;
  st->page = 2;
  topic_doubt(t);
  loop_turn(loop, 0);
  is_int(asked(ASK_RECOVER), 3, "with one it is, page after page");
  is_str(store.node, "", "for what is this node's");
  is_int(store.count, fetch_page(t, 256), "of as many as fit");
  is_int(t->counters.recovered, 5, "what comes is counted");
  is_int(running(t), 4, "and runs");
  is_int(t->calls, 0, "no answer is still to come");
  loop_advance(loop, 60000);
  is_int(asked(ASK_RECOVER), 0, "then the doubt is gone");
  station_end();
}

static void test_own_fails(void) {
  static const enum store_rc codes[] = {STORE_UNAVAILABLE, STORE_UNKNOWN, STORE_ERROR};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    struct topic_settings set;
    struct topic *t = idle(&set);
    store_of(t)->mine = 2;
    store.waits = true;
    topic_doubt(t);
    loop_turn(loop, 0);
    is_int(asked(ASK_RECOVER), 1, "a question is on the way");
    store.rc = codes[i];
    store_answers();
    store.rc = STORE_OK;
    is_int(store.complaints, codes[i] == STORE_ERROR, "what the server refuses is complained of");
    loop_advance(loop, 999);
    is_int(running(t), 0, "a storage that fails is left alone for a second");
    loop_advance(loop, 1);
    is_int(running(t), 2, "the doubt stays: it is asked again");
    station_end();
  }
}

/* When may it be asked at all? */
static void test_may_ask(void) {
  struct topic_settings set;
  struct topic *t = idle(&set);
  t->doubt = true;
  t->draining = true;
  takeover_ask(t);
  takeover_of(t, "node-b");
  is_int(asked(ASK_RECOVER), 0, "a topic that drains takes nothing over");
  t->draining = false;
  set.enabled = false;
  takeover_ask(t);
  takeover_of(t, "node-b");
  is_int(asked(ASK_RECOVER), 0, "nor does a disabled one");
  set.enabled = true;
  set.here = false;
  takeover_ask(t);
  takeover_of(t, "node-b");
  is_int(asked(ASK_RECOVER), 0, "nor one of another node's system");
  set.here = true;
  t->fetch.attached = false;
  takeover_ask(t);
  takeover_of(t, "node-b");
  is_int(asked(ASK_RECOVER), 0, "nor one whose storage is not ready");
  ok(t->doubt, "the doubt waits for it");
  t->fetch.attached = true;
  takeover_ask(t);
  takeover_of(t, "node-b");
  is_int(asked(ASK_RECOVER), 2, "an open one asks for both");
  loop_turn(loop, 0);
  station_end();
}

static void test_storage_lost_between_pages(void) {
  struct topic_settings set;
  struct topic *t = idle(&set);
  store_of(t)->mine = store_of(t)->theirs = 5;
  store_of(t)->page = 2;
  store.waits = true;
  topic_doubt(t);
  takeover_of(t, "node-b");
  loop_turn(loop, 0);
  asked(ASK_RECOVER);
  dispatcher_store_ready(dispatcher, t, false);
  store_answers();
  is_int(asked(ASK_RECOVER), 0, "of a storage that was lost no further page is asked");
  is_int(t->counters.recovered, 4, "what has come is this node's");
  station_end();
}

/* Other nodes go on with what a dead one left. */
static void test_stop_between_pages(void) {
  struct topic_settings set;
  bool gone;
  struct topic *t = idle(&set);
  struct store_topic *st = store_of(t);
  st->theirs = 5;
  st->page = 2;
  store.waits = true;
  takeover_of(t, "node-b");
  asked(ASK_RECOVER);
  topic_leave(t, &gone);
  ok(!gone, "a topic that leaves waits for the answer");
  store_answers();
  is_int(asked(ASK_RECOVER), 0, "and asks for no further page");
  is_int(st->released, 2, "what has come goes back");
  ok(gone, "then it goes");
  station_end();
}

static void test_dead_fails(void) {
  struct topic_settings set;
  struct topic *t = idle(&set);
  store_of(t)->theirs = 5;
  store.rc = STORE_ERROR;
  takeover_of(t, "node-b");
  loop_turn(loop, 0);
  store.rc = STORE_OK;
  loop_advance(loop, 60000);
  is_int(asked(ASK_RECOVER), 1,
         "an error is left to the next sweep, which tells of the node again");
  is_int(t->calls, 0, "nobody waits for it");
  station_end();
}

int main(void) {
  test_own();
  test_own_fails();
  test_may_ask();
  test_storage_lost_between_pages();
  test_stop_between_pages();
  test_dead_fails();
  return done_testing();
}
