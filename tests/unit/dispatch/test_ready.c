/* Jobs at hand: which of those that arrive stay, in which order, and for how long while the topic
 * is not open. */
#include "unit/dispatch/station.h"

#include "dispatch/ready.h"
#include "dispatch/refusals.h"

static struct job_list list;

static void arrives(struct topic *t, uint64_t id, uint32_t crashes) {
  struct job *job = job_new(id);
  job->crashes = crashes;
  job_list_push(&list, job);
  ready_arrived(t, &list);
}

/* An open topic all of whose slots are taken: what arrives is at hand. */
static struct topic *busy(const struct topic_settings *set) {
  struct topic *t = topic_open(set);
  jobs_add(t, (size_t)set->workers);
  return t;
}

static void stays(struct topic *t, bool want, const char *name) {
  size_t at_hand = t->ready.n, released = store_of(t)->released;
  arrives(t, 1000, 0);
  is_int(t->ready.n - at_hand, want, "%s", name);
  is_int(store_of(t)->released - released, !want, "%s", want ? "not given back" : "given back");
}

static void test_runs(void) {
  station_begin();
  struct topic *t = topic_open(&usual);
  arrives(t, 1000, 0);
  is_int(running(t), 0, "a job that arrives at a topic with room waits for the turn's end");
  loop_turn(loop, 0);
  is_int(running(t), 1, "then it runs");
  station_end();
}

/* The facts count, not the state: that follows at the end of the turn. */
static void test_arrive(void) {
  static const struct pb_transport pulls = {.caps = PB_CAP_PULL};
  struct topic_settings set = usual;
  station_begin();
  struct topic *t = busy(&set);
  stays(t, true, "a job that arrives at an open topic is at hand");
  t->paused = true;
  stays(t, false, "at a topic that was paused meanwhile it is not");
  t->paused = false;
  t->draining = true;
  stays(t, false, "nor at one that drains");
  t->draining = false;
  set.enabled = false;
  stays(t, false, "that a reload disabled");
  set.enabled = true;
  set.here = false;
  stays(t, false, "that another node runs now");
  set.here = true;
  set.transport = &pulls;
  stays(t, false, "whose workers take their jobs themselves");
  set.transport = usual.transport;
  stays(t, true, "it is at one that is as before");
  struct store_topic *st = t->store;
  size_t at_hand = t->ready.n, released = st->released;
  t->store = NULL;
  arrives(t, 1001, 0);
  t->store = st;
  ok(t->ready.n == at_hand && st->released == released,
     "when the broker stops they are forgotten: the storage has them");
  station_end();
}

static void test_crashes(void) {
  struct topic_settings set = usual;
  station_begin();
  struct topic *t = busy(&set);
  arrives(t, 1, 2);
  is_int(store_of(t)->dead, 0,
         "a job that ran at the end of a node twice of three times is at hand");
  arrives(t, 2, 3);
  is_int(store_of(t)->dead, 1, "the third time it is dead");
  is_int(t->ready.n, 1, "and not at hand");
  set.crashes = 0;
  arrives(t, 3, 0);
  is_int(store_of(t)->dead, 1, "crashes = 0 lets a job run that never was found so");
  arrives(t, 4, 1);
  is_int(store_of(t)->dead, 2, "and none that was");
  station_end();
}

static void test_refused(void) {
  struct job refused = {.id = 7};
  station_begin();
  struct topic *t = busy(&usual);
  refusals_add(&t->requests.refusals, &refused);
  refusals_add(&t->requests.refusals, &refused);
  arrives(t, 7, 0);
  is_int(t->ready.head->refused, 2, "a job that comes again has the refusals that it had");
  station_end();
}

static void test_order(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  one.chunk = 3;
  station_begin();
  struct topic *t = topic_open(&one);
  workers.room = SLOTS;
  jobs_add(t, 3);
  is_int(running(t), 3, "three jobs run in one request");
  arrives(t, 1000, 0);
  worker_outcome(t, PB_BUSY, "full");
  uint64_t last = 0;
  bool rise = true;
  for (const struct job *job = t->ready.head; job; job = job->next) {
    rise &= job->id > last || job->id == 1000;
    last = job->id;
  }
  is_int(t->ready.n, 4, "jobs that were not run are at hand again");
  ok(rise && last == 1000, "in their order, before those that came after them");
  station_end();
}

static void test_held(void) {
  struct topic_settings one = usual;
  one.workers = 1;
  station_begin();
  struct topic *t = topic_open(&one);
  jobs_add(t, 1);
  worker_done(t);
  jobs_add(t, 20);
  workers.pings_wait = true;
  worker_code(t, 404, "not mine");
  is_str(state_of(t), "unregistered", "a topic closes with jobs at hand");
  size_t at_hand = t->ready.n;
  ok(at_hand > 1, "some");
  loop_advance(loop, 4000);
  is_int(t->ready.n, at_hand, "they wait for a while");
  worker_says(t, true, (struct pb_result){.code = 200, .topics = "q/t"});
  is_str(state_of(t), "open", "it opens again");
  loop_advance(loop, 4000);
  is_int(store_of(t)->released, 0, "none has gone back: the time is that of being closed");
  worker_code(t, 404, "not mine");
  loop_advance(loop, 4999);
  is_int(store_of(t)->released, 0, "closed again they wait anew");
  loop_advance(loop, 1);
  ok(store_of(t)->released >= at_hand, "then all go to other nodes");
  is_int(t->ready.n, 0, "none is left here");
  size_t released = store_of(t)->released;
  arrives(t, 1000, 0);
  loop_advance(loop, 4999);
  is_int(store_of(t)->released, released, "one that comes after them waits as long");
  loop_advance(loop, 1);
  is_int(store_of(t)->released, released + 1, "and goes, too");
  station_end();
}

int main(void) {
  test_runs();
  test_arrive();
  test_crashes();
  test_refused();
  test_order();
  test_held();
  return done_testing();
}
