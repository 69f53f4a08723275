/* The steps of a move on a clock of the test's own: what is planned by the configuration, why there
 * can be no step, and what an answer of the storages means. */
#include "unit/acts/fake_storages.h"

#include "acts/move.h"

static struct act_move *move;
static struct store *from, *to;
static struct store_act act;

/* What the last step ended with. */
static struct {
  unsigned times;
  enum act_move_state state;
  char why[STORE_ACT_TEXT_MAX];
} told;

static void on_told(void *arg, enum act_move_state state, const char *why) {
  (void)arg;
  told.times++;
  told.state = state;
  snprintf(told.why, sizeof told.why, "%s", why);
}

#define STORAGES "[storage one]\naddress = 127.0.0.1:1\n[storage two]\naddress = 127.0.0.1:2\n"
#define QUEUE    "[queue q]\npassword = xyzzy-12345-67890\n"
#define OTHER    "[queue o]\npassword = xyzzy-54321-09876\n"
#define MOVED    "[topic q/t]\nrun_type = test\nstorage = two\n"
#define USUAL    STORAGES QUEUE MOVED

static void begin(const char *text, const char *path) {
  storages_begin();
  move = act_move_new(loop, NULL);
  from = storage_new("one");
  to = storage_new("two");
  configure(text);
  act = (struct store_act){
      .id = "a-1", .kind = STORE_ACT_MOVE, .queue = "q", .topic = "t", .from = "one", .epoch = 3};
  snprintf(act.to, sizeof act.to, "%s", path);
}

static void step(bool cancelled) {
  memset(&told, 0, sizeof told);
  act_move_step(move, to, &act, cancelled, on_told, NULL);
  if (told.times) fail("told from within");
  loop_turn(loop, 0);
  is_int(told.times, 1, "a step ends once");
}

static void end(void) {
  act_move_free(move);
  storages_end();
}

/* --- the plan --- */

static void test_plan(void) {
  begin(STORAGES QUEUE "[topic q/t]\nrun_type = test\nstorage = two\ntimeout = 30s\n"
                       "chunk_wait = 500ms\n",
        "q/t");
  step(false);
  ok(moves.from == from && moves.to == to, "a step goes from storage to storage");
  is_str(moves.id, "a-1", "with the act's id");
  is_str(moves.queue, "q", "from a queue");
  is_str(moves.topic, "t", "and topic");
  is_str(moves.to_queue, "q", "to a queue");
  is_str(moves.to_topic, "t", "and topic");
  is_int(moves.plan.epoch, 3, "by the owner of that number");
  is_int(moves.plan.hold_ms, 2 * 30000 + 500 + 60000, "nothing runs longer than timeouts allow");
  ok(!moves.plan.cancelled && !moves.plan.here, "no job of it can run here any more");
  ok(moves.plan.last, "and no other topic of the queue is left there");
  configured.leaves = "q/t";
  step(false);
  ok(moves.plan.here, "while the topic drains on this node its jobs may still run here");
  struct store *changed = storage_new("one");
  from->state = STORE_CONNECTING;
  step(false);
  ok(moves.from == changed,
     "of two storages of a name, as after a reload, it is the one that is ready");
  end();
}

static void test_delayed_jobs(void) {
  begin(USUAL, "q/t");
  step(false);
  is_int(moves.plan.delayed, STORE_MOVE_WHOLE, "the whole queue moves: so do its delayed jobs");
  end();
  begin(USUAL "[topic q/stays]\nrun_type = test\nstorage = one\n", "q/t");
  step(false);
  ok(!moves.plan.last, "another topic of the queue stays");
  is_int(moves.plan.delayed, STORE_MOVE_COPIED, "it needs the delayed jobs, too: they are copied");
  end();
  begin(STORAGES QUEUE OTHER "[topic o/new]\nrun_type = test\nstorage = two\n", "o/new");
  step(false);
  is_str(moves.to_queue, "o", "the target may be another queue");
  is_str(moves.to_topic, "new", "and topic");
  is_int(moves.plan.delayed, STORE_MOVE_COPIED, "delayed jobs are copied to it");
  end();
  begin(STORAGES QUEUE "[topic q/new]\nrun_type = test\nstorage = two\n", "q/new");
  snprintf(act.from, sizeof act.from, "two");
  step(false);
  ok(moves.from == to && moves.to == to, "a topic that is renamed stays in its storage");
  is_int(moves.plan.delayed, STORE_MOVE_STAYS,
         "delayed jobs of the queue come to it by themselves");
  end();
}

/* --- why there is no step --- */

static void waits(const char *why) {
  step(false);
  is_int(told.state, ACT_MOVE_WAITS, "it waits");
  is_str(told.why, why, "and says what for");
  is_int(asked(to, ASK_MOVE) + asked(from, ASK_MOVE), 0, "no job is touched");
}

static void test_waits(void) {
  begin(USUAL, "q/t");
  from->state = STORE_LOADING;
  waits("storage one is not ready on this node");
  from->state = STORE_READY;
  from->name = "old";
  waits("storage one is not configured on this node");
  from->name = "one";
  configure(STORAGES QUEUE OTHER "[topic o/t]\nrun_type = test\nstorage = two\n");
  waits("q/t is not configured for storage two on this node");
  configure(STORAGES QUEUE "[topic q/t]\nrun_type = test\nstorage = one\n");
  waits("q/t is not configured for storage two on this node");
  snprintf(act.to, sizeof act.to, "q/new");
  configure(USUAL "[topic q/new]\nrun_type = test\nstorage = two\n");
  step(false);
  is_int(told.state, ACT_MOVE_GOES_ON, "what is configured for both is moved");
  asked(to, ASK_MOVE);
  configure(STORAGES QUEUE "[topic q/t]\nrun_type = test\nstorage = one\n"
                           "[topic q/new]\nrun_type = test\nstorage = two\n");
  waits("q/t is configured for storage one on this node");
  end();
}

static void test_freed(void) {
  begin(USUAL, "q/t");
  from->state = STORE_LOADING;
  memset(&told, 0, sizeof told);
  act_move_step(move, to, &act, false, on_told, NULL);
  act_move_free(move);
  loop_turn(loop, 0);
  is_int(told.times, 0, "a move that was freed tells nothing");
  storages_end();
}

/* --- answers --- */

static void moved(uint64_t ready, uint64_t retry, uint64_t dead, uint64_t delayed) {
  const uint64_t n[] = {ready, retry, dead, delayed};
  memcpy(moves.n, n, sizeof n);
}

static void test_progress(void) {
  begin(USUAL, "q/t");
  act.of = 100;
  moved(10, 2, 3, 4);
  step(false);
  is_int(told.state, ACT_MOVE_GOES_ON, "a step after which there is more");
  is_str(told.why, "moved 10 ready, 2 to be retried, 3 dead, 4 delayed", "says what is moved");
  is_int(act.done, 19, "all kinds together are the act's number");
  is_int(act.of, 100, "of as many as there were");
  moved(0, 0, 0, 0);
  step(false);
  is_int(act.done, 19, "another process' first answer knows of none: the number does not fall");
  moved(120, 0, 0, 0);
  step(false);
  is_int(act.of, 120, "when there are more than were counted, of so many");
  moves.state = STORE_MOVE_WAITS;
  moves.running = 3;
  step(false);
  is_int(told.state, ACT_MOVE_WAITS, "jobs that run are left until they end");
  is_str(told.why, "waits until 3 running jobs end", "which it says");
  moves.state = STORE_MOVE_DONE;
  act.of = 500;
  step(false);
  is_int(told.state, ACT_MOVE_DONE, "when nothing is left it is done");
  is_str(told.why, "moved 120 ready, 0 to be retried, 0 dead, 0 delayed", "and says what it did");
  is_int(act.of, 120, "that was all");
  end();
}

static void test_storage_fails(void) {
  static const enum store_rc codes[] = {STORE_UNAVAILABLE, STORE_UNKNOWN, STORE_FULL, STORE_ERROR};
  begin(USUAL, "q/t");
  act.done = 5;
  act.of = 9;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    to->rc[ASK_MOVE] = codes[i];
    step(false);
    is_int(told.state, ACT_MOVE_WAITS, "a storage that fails is waited for");
    is_str(told.why, "trying again: the storage failed", "with its words");
  }
  ok(act.done == 5 && act.of == 9 && !to->n_wakes, "nothing else changes");
  end();
}

static void test_wakes(void) {
  begin(STORAGES QUEUE OTHER "[topic o/new]\nrun_type = test\nstorage = two\n", "o/new");
  moved(1, 0, 0, 0);
  step(false);
  is_int(to->n_wakes, 1, "the first jobs that arrive wake who runs them");
  is_str(to->woken, "o", "by the queue that they are in now");
  moved(2, 0, 0, 0);
  loop_advance(loop, 999);
  step(false);
  is_int(to->n_wakes, 1, "the next ones within a second do not");
  loop_advance(loop, 1);
  step(false);
  is_int(to->n_wakes, 1, "no news wake nobody");
  moved(3, 0, 0, 0);
  step(false);
  is_int(to->n_wakes, 2, "after a second they do");
  moves.state = STORE_MOVE_DONE;
  step(false);
  is_int(to->n_wakes, 3, "and at the end, at once");
  is_int(from->n_wakes, 0, "at the source there is nothing to run");
  end();
}

/* --- a reload in the middle of a step --- */

static void begin_step(void) {
  memset(&told, 0, sizeof told);
  to->takes_ms = 100;
  act_move_step(move, to, &act, false, on_told, NULL);
  loop_advance(loop, 50);
}

static bool there(struct store *s) {
  return moves.plan.is_there(moves.plan.is_there_arg, s);
}

static void test_reload_takes_storages(void) {
  begin(USUAL, "q/t");
  struct store *third = storage_new("three");
  moved(1, 0, 0, 0);
  begin_step();
  configure(STORAGES);
  ok(there(from) && there(to), "both storages are there");
  ok(!there(third), "a third one is none of the move's");
  configured.stores[1] = third;
  configured.n = 2;
  ok(there(from) && !there(to), "the target is not there any more");
  loop_advance(loop, 50);
  is_int(told.times, 1, "the step that was on the way ends");
  is_int(to->n_wakes, 0, "and a storage that is gone is not touched");
  configured.stores[1] = to;
  configured.stores[2] = third;
  configured.n = 3;
  end();
}

/* --- cancelled --- */

static void test_cancelled(void) {
  begin(USUAL, "q/t");
  configure(STORAGES QUEUE "[topic q/t]\nrun_type = test\nstorage = one\n");
  step(true);
  ok(moves.plan.cancelled, "what is in hand goes back, whatever is configured by now");
  is_int(told.state, ACT_MOVE_GOES_ON, "until all is back");
  moves.state = STORE_MOVE_BACK;
  step(true);
  is_int(told.state, ACT_MOVE_BACK, "then the move has nothing any more");
  is_int(from->n_wakes, 1, "and the source's jobs may run again: they are woken");
  is_str(from->woken, "q", "by their queue");
  asked(to, ASK_MOVE);
  from->state = STORE_CONNECTING;
  step(true);
  is_int(told.state, ACT_MOVE_WAITS, "a source that is away is waited for");
  is_str(told.why, "storage one is not ready on this node", "and named");
  from->name = "old";
  step(true);
  is_int(told.state, ACT_MOVE_BACK,
         "to one that this node does not know nothing can be given back");
  is_int(asked(to, ASK_MOVE), 0, "no storage is asked then");
  end();
}

int main(void) {
  test_plan();
  test_delayed_jobs();
  test_waits();
  test_freed();
  test_progress();
  test_storage_fails();
  test_wakes();
  test_reload_takes_storages();
  test_cancelled();
  return done_testing();
}
