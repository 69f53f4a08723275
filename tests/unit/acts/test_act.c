/* Acts on a clock of the test's own: from the record to the end, cancelled, taken over, given up,
 * and what becomes of them when the storage fails at each step. */
#include "unit/acts/fake_storages.h"

#include "acts/act.h"

static struct acts *acts;
static struct store *s;

/* What whoever started the act was told. */
static struct {
  unsigned times;
  enum store_rc rc;
  bool act; /* there was one */
  struct store_act a;
  char why[64];
  uint64_t at_ms;
} told;

static void on_told(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  (void)arg;
  told.times++;
  told.rc = rc;
  told.act = a != NULL;
  if (a) told.a = *a;
  snprintf(told.why, sizeof told.why, "%s", why);
  told.at_ms = loop_now_ms(loop);
}

static void begin(void) {
  storages_begin();
  memset(&told, 0, sizeof told);
  acts = acts_new(loop, NULL);
  s = storage_new("one");
  s->jobs = 35;
}

static void end(void) {
  acts_stop(acts);
  storages_fail();
  acts_free(acts);
  storages_end();
}

static void act_on(enum store_act_kind kind, uint64_t patience_ms) {
  struct store_act a = {.kind = kind, .queue = "q", .topic = "t", .by = "anna"};
  a.set = STORE_SET_BOTH;
  acts_start(acts, s, &a, patience_ms, on_told, NULL);
}

/* Is there an act "a-1" here? One that is, is not claimed again. */
static bool is_here(void) {
  bool others = s->others;
  asked(s, ASK_CLAIM);
  s->others = true;
  acts_found(acts, s, "a-1");
  bool here = !s->asked[ASK_CLAIM];
  loop_advance(loop, here ? 0 : s->takes_ms);
  s->others = others;
  return here;
}

/* --- from the beginning to the end --- */

static void test_runs_to_its_end(void) {
  begin();
  act_on(STORE_ACT_PURGE, 2000);
  is_int(told.times, 0, "whoever starts an act is never told from within the call");
  loop_turn(loop, 0);
  is_int(asked(s, ASK_ADD), 1, "an act has one record");
  is_int(asked(s, ASK_SLICE), 4, "35 jobs in slices of 10");
  is_str(store_act_states[s->record.state], "done", "its record says that it is done");
  is_int(s->record.done, 35, "with all its jobs");
  is_int(s->record.of, 35, "of as many");
  ok(!s->leased, "nobody has a lease on it any more");
  ok(told.times == 1 && told.rc == STORE_OK && told.act, "whoever started it is told");
  is_str(told.a.id, "a-1", "which act it was");
  is_int(told.a.done, 35, "and what it has done");
  is_int(s->n_wakes, 0, "a purge wakes nobody");
  loop_advance(loop, 10000);
  is_int(told.times, 1, "an act that has ended is told of once, whatever the patience");
  ok(!is_here(), "and is here no longer");
  end();
}

static void test_nothing_to_do(void) {
  begin();
  s->jobs = 0;
  act_on(STORE_ACT_REPLAY, 2000);
  loop_turn(loop, 0);
  is_str(store_act_states[told.a.state], "done", "a replay of nothing is done");
  is_int(s->n_wakes, 0, "and wakes nobody");
  end();
}

static void test_record_follows(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 600);
  is_int(s->asked[ASK_NOTE], 1, "after half a second the record is due");
  is_int(asked(s, ASK_SLICE), 5, "and not sooner: until then jobs are worked off");
  loop_advance(loop, 100);
  is_int(s->record.done, 50, "the record says how far the act is");
  is_int(s->record.of, 1000, "of how many");
  ok(s->leased, "which renews the lease");
  asked(s, ASK_NOTE);
  loop_advance(loop, 6000);
  is_int(asked(s, ASK_NOTE), 10, "every half a second, and the time that the storage takes");
  is_int(s->record.done, 550, "the record's number follows");
  end();
}

static void test_one_question_at_a_time(void) {
  size_t most = 0;
  begin();
  s->jobs = 100;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 100);
  while (!told.times && loop_now_ms(loop) < 1100000) {
    size_t n = 0;
    acts_found(acts, s, "a-1");
    for (size_t i = 0; i < ASKS_MAX; i++) n += asks[i] != NULL;
    if (n > most) most = n;
    loop_advance(loop, 10);
  }
  is_str(store_act_states[told.a.state], "done", "a long act ends");
  is_int(most, 1, "and has one question on the way at a time");
  end();
}

static void test_replay_wakes(void) {
  begin();
  s->jobs = 285;
  s->takes_ms = 100;
  act_on(STORE_ACT_REPLAY, 60000);
  loop_advance(loop, 200);
  is_int(s->n_wakes, 1, "the first jobs that are replayed wake who runs them");
  is_str(s->woken, "q", "by their queue");
  loop_advance(loop, 30000);
  bool apart = true;
  for (size_t i = 1; i + 1 < s->n_wakes; i++) apart &= s->wakes[i] - s->wakes[i - 1] >= 1000;
  ok(s->n_wakes >= 3 && apart, "again while it goes on, a second apart at least");
  is_int(s->wakes[s->n_wakes - 1], told.at_ms - 100, "and for the last jobs at once");
  ok(s->wakes[s->n_wakes - 1] - s->wakes[s->n_wakes - 2] < 1000, "whenever that was before");
  end();
}

static void test_patience(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 300;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 1999);
  is_int(told.times, 0, "whoever started an act has patience");
  loop_advance(loop, 1);
  is_int(told.times, 1, "which ends");
  is_str(store_act_states[told.a.state], "running", "the act does not");
  ok(told.a.done > 0 && told.a.done < 1000, "it is on its way");
  loop_advance(loop, 100000);
  is_str(store_act_states[s->record.state], "done", "it goes on to its end");
  is_int(told.times, 1, "of which nobody is told twice");
  end();
}

static void test_patience_without_a_record(void) {
  begin();
  s->takes_ms = 3000;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 2999);
  is_int(told.times, 0, "before the storage has the record there is no act to tell of");
  loop_advance(loop, 1);
  is_int(told.times, 1, "then there is: the patience is over already");
  is_str(told.a.id, "a-1", "it has its id");
  is_str(store_act_states[told.a.state], "running", "and goes on");
  end();
  begin();
  s->takes_ms = 3000;
  s->rc[ASK_ADD] = STORE_UNKNOWN;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 3000);
  ok(told.times == 1 && told.rc == STORE_UNKNOWN, "one that did not begin is told of as such");
  end();
}

/* --- limits and errors --- */

static void test_does_not_begin(void) {
  static const enum store_rc codes[] = {STORE_FULL, STORE_UNAVAILABLE, STORE_UNKNOWN, STORE_ERROR};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    begin();
    s->rc[ASK_ADD] = codes[i];
    act_on(STORE_ACT_PURGE, 2000);
    loop_advance(loop, 10000);
    ok(told.times == 1 && told.rc == codes[i], "what the storage says to a new act is told once");
    is_str(told.why, "the storage failed", "in its words");
    ok(!told.act, "there is no act then");
    is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0, "and no job is touched");
    end();
  }
}

static void test_slice_fails(void) {
  begin();
  s->jobs = 35;
  s->takes_ms = 10;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 20);
  asked(s, ASK_SLICE);
  s->rc[ASK_SLICE] = STORE_ERROR;
  loop_advance(loop, 509);
  is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0,
         "a storage that fails is left alone for half a second");
  loop_advance(loop, 11);
  is_str(s->record.note, "trying again: the storage failed",
         "the record says why it takes so long");
  is_str(store_act_states[s->record.state], "running", "the act goes on");
  is_int(s->record.done, 10, "what was done stays");
  loop_advance(loop, 5000);
  ok(s->asked[ASK_SLICE] >= 8 && s->asked[ASK_SLICE] <= 10, "it is asked again every half second");
  s->rc[ASK_SLICE] = STORE_OK;
  loop_advance(loop, 1000);
  is_str(store_act_states[s->record.state], "done", "until it works");
  is_int(s->record.done, 35, "no job is left out");
  is_str(s->record.note, "", "and the complaint is gone");
  end();
}

static void test_answers_lost(void) {
  begin();
  act_on(STORE_ACT_PURGE, 60000);
  s->lost = true;
  loop_advance(loop, 700);
  is_int(s->done, 20, "two slices were done, and their answers lost");
  s->lost = false;
  loop_advance(loop, 1000);
  is_int(told.a.done, 35, "they are counted all the same, and once");
  end();
}

static void test_note_fails(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  s->rc[ASK_NOTE] = STORE_UNAVAILABLE;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 700);
  is_int(asked(s, ASK_NOTE), 1, "the record cannot be written");
  asked(s, ASK_SLICE);
  loop_advance(loop, 5000);
  is_int(asked(s, ASK_SLICE), 0, "without a lease that is renewed no job is touched");
  is_int(asked(s, ASK_NOTE), 8, "the record is tried again every half a second");
  s->rc[ASK_NOTE] = STORE_OK;
  loop_advance(loop, 700);
  is_int(s->record.done, 50, "until it is written");
  ok(asked(s, ASK_SLICE) > 0, "then the act goes on");
  end();
}

static void test_last_note_fails(void) {
  begin();
  s->rc[ASK_NOTE] = STORE_ERROR;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 3000);
  is_int(told.times, 0, "an act whose record does not say so has not ended");
  ok(is_here(), "it is kept");
  s->rc[ASK_NOTE] = STORE_OK;
  asked(s, ASK_SLICE);
  loop_advance(loop, 500);
  is_int(told.times, 1, "until the record says it");
  is_str(store_act_states[s->record.state], "done", "as it was");
  is_int(asked(s, ASK_SLICE), 0, "and nothing was done again");
  end();
}

static void test_storage_not_ready(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 2000);
  loop_advance(loop, 350);
  s->state = STORE_CONNECTING;
  loop_advance(loop, 50);
  asked(s, ASK_SLICE);
  loop_advance(loop, 5000);
  is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0, "a storage that is away is asked nothing");
  ok(is_here(), "the act waits for it");
  s->state = STORE_READY;
  loop_advance(loop, 700);
  ok(s->record.done > 0 && asked(s, ASK_SLICE) > 0, "and goes on when it is back");
  end();
}

static void test_storage_leaves(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 350);
  configured.n = 0;
  loop_advance(loop, 100);
  ok(told.times == 1 && told.rc == STORE_OK,
     "its storage is no longer configured here: that is all");
  is_str(store_act_states[told.a.state], "running", "that this node can say; the act runs");
  asked(s, ASK_SLICE);
  loop_advance(loop, 5000);
  is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0, "but not here");
  configured.n = 1;
  ok(!is_here(), "it is forgotten");
  end();
}

/* A reload has changed its address: for a while there are both. */
static void test_storage_changes(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 250);
  struct store *other = storage_new("one");
  *other = *s;
  s->state = STORE_CONNECTING;
  memset(other->asked, 0, sizeof other->asked);
  asked(s, ASK_SLICE);
  loop_advance(loop, 350);
  is_int(asked(s, ASK_SLICE), 0, "of two storages of its name an act goes on in the one");
  ok(asked(other, ASK_SLICE) > 0, "that is ready");
  end();
}

/* --- cancelled --- */

static void test_cancelled_here(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 350);
  acts_cancelled(acts, "a-2", "bert");
  loop_advance(loop, 100);
  is_int(asked(s, ASK_SLICE), 4, "another one that is cancelled changes nothing");
  acts_cancelled(acts, "a-1", "carl");
  loop_advance(loop, 200);
  is_int(asked(s, ASK_SLICE), 0, "a cancelled act takes no further slice");
  is_str(store_act_states[s->record.state], "cancelled", "its record says so");
  is_str(s->record.result, "cancelled by carl; 40 jobs purged, 2023-11-14 22:30:00 UTC",
         "and by whom, and what is done");
  is_int(s->record.done, 40, "what is done stays done");
  is_str(store_act_states[told.a.state], "cancelled", "whoever waits for it is told");
  ok(!is_here(), "it has ended");
  end();
}

static void test_cancelled_elsewhere(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_REPLAY, 60000);
  loop_advance(loop, 350);
  s->cancelled_by = "bert";
  loop_advance(loop, 700);
  is_str(store_act_states[s->record.state], "cancelled", "an act hears of it by its record");
  is_str(s->record.result, "cancelled by bert", "which says who it was");
  is_int(told.times, 1, "and ends");
  end();
}

static void test_cancelled_too_late(void) {
  begin();
  s->jobs = 5;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 150);
  acts_cancelled(acts, "a-1", "carl");
  loop_advance(loop, 200);
  is_str(store_act_states[s->record.state], "done", "an act that has done all is not cancelled");
  is_str(s->record.result, "5 jobs purged, 2023-11-14 22:30:00 UTC",
         "of a purge the number stays, and when");
  end();
}

/* --- an owner that died --- */

static void found_record(uint64_t done) {
  s->record = (struct store_act){.id = "a-1", .kind = STORE_ACT_PURGE, .queue = "q", .topic = "t"};
  s->record.done = s->done = done;
  s->record.of = s->jobs;
}

static void test_taken_over(void) {
  begin();
  found_record(20);
  s->takes_ms = 100;
  acts_found(acts, s, "a-1");
  acts_found(acts, s, "a-1");
  is_int(asked(s, ASK_CLAIM), 1, "an act without an owner is claimed, once");
  loop_advance(loop, 150);
  acts_found(acts, s, "a-1");
  is_int(s->asked[ASK_CLAIM], 0, "nor while it runs here");
  is_int(s->asked[ASK_NOTE], 1, "its record is asked first");
  is_int(s->asked[ASK_SLICE], 0, "before any job is touched");
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_SLICE), 2, "then it goes on where the other node was");
  is_int(s->record.done, 35, "to the end");
  is_int(told.times, 0, "of which nobody here is told");
  end();
}

static void test_taken_over_cancelled(void) {
  begin();
  found_record(20);
  s->cancelled_by = "bert";
  acts_found(acts, s, "a-1");
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_SLICE), 0, "what was cancelled while nobody had it is not gone on with");
  is_str(s->record.result, "cancelled by bert; 20 jobs purged, 2023-11-14 22:30:00 UTC", "it ends");
  is_int(s->record.done, 20, "where it was");
  end();
}

static void test_not_taken_over(void) {
  begin();
  found_record(20);
  s->others = true;
  acts_found(acts, s, "a-1");
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0, "another node was faster: it is left to it");
  s->others = false;
  s->rc[ASK_CLAIM] = STORE_ERROR;
  acts_found(acts, s, "a-1");
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_SLICE) + asked(s, ASK_NOTE), 0, "nor is one whose claim failed touched");
  s->rc[ASK_CLAIM] = STORE_OK;
  asked(s, ASK_CLAIM);
  acts_found(acts, s, "a-1");
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_CLAIM), 1, "the next time that it is found it is claimed again");
  is_int(s->record.done, 35, "and ends");
  end();
}

static void test_lost_to_another_node(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 350);
  s->others = true;
  loop_advance(loop, 400);
  asked(s, ASK_SLICE);
  loop_advance(loop, 5000);
  is_int(asked(s, ASK_SLICE), 0, "an act that another node took over does not go on here");
  ok(told.times == 1 && told.rc == STORE_OK, "whoever started it is told");
  is_str(store_act_states[told.a.state], "running", "that it runs");
  end();
}

/* --- the stop --- */

static void test_stop(void) {
  begin();
  s->jobs = 1000;
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 350);
  acts_stop(acts);
  is_int(told.times, 0, "the slice that is on the way is waited for");
  asked(s, ASK_SLICE);
  loop_advance(loop, 200);
  is_int(asked(s, ASK_SLICE), 0, "a stop begins no other");
  ok(!s->leased, "the lease is given up: another node need not wait for its end");
  is_str(store_act_states[s->record.state], "running", "the act has not ended");
  is_int(s->record.done, 30, "its record has all that was done");
  ok(told.times == 1 && told.a.state == STORE_ACT_RUNNING, "whoever waits is told");
  asked(s, ASK_CLAIM);
  acts_found(acts, s, "a-1");
  loop_advance(loop, 5000);
  is_int(asked(s, ASK_CLAIM) + asked(s, ASK_NOTE) - 1, 0, "and nothing is taken over again");
  end();
}

static void test_stop_while_it_waits(void) {
  begin();
  s->rc[ASK_SLICE] = STORE_ERROR;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 100);
  acts_stop(acts);
  loop_turn(loop, 0);
  ok(!s->leased && told.times == 1, "an act that waits to try again is given up at once");
  end();
}

static void test_stop_without_storage(void) {
  begin();
  s->rc[ASK_SLICE] = STORE_ERROR;
  act_on(STORE_ACT_PURGE, 60000);
  loop_turn(loop, 0);
  s->state = STORE_CONNECTING;
  asked(s, ASK_NOTE);
  acts_stop(acts);
  is_int(told.times, 1, "a stop does not wait for a storage that is away");
  is_int(asked(s, ASK_NOTE), 0, "and asks it nothing");
  end();
}

static void test_stop_whose_note_fails(void) {
  begin();
  s->takes_ms = 100;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 150);
  s->rc[ASK_NOTE] = STORE_UNKNOWN;
  acts_stop(acts);
  loop_advance(loop, 10000);
  is_int(asked(s, ASK_NOTE), 1, "a lease that could not be given up is tried once: it runs out");
  is_int(told.times, 1, "whoever waits is told");
  end();
}

static void test_freed(void) {
  begin();
  s->state = STORE_CONNECTING;
  act_on(STORE_ACT_PURGE, 60000);
  loop_advance(loop, 1000);
  acts_free(acts);
  acts = NULL;
  is_int(told.times, 0, "whoever waits for an act that is freed is not told: it is gone, too");
  storages_end();
}

/* --- a rate, undone --- */

static void test_rate(void) {
  begin();
  s->wait_ms = 200;
  act_on(STORE_ACT_REPLAY, 60000);
  loop_advance(loop, 199);
  is_int(asked(s, ASK_SLICE), 1, "an act with a rate asks for a slice");
  loop_advance(loop, 200);
  is_int(asked(s, ASK_SLICE), 1, "and for the next one when the storage allows it");
  s->wait_ms = 100000;
  asked(s, ASK_NOTE);
  loop_advance(loop, 3000);
  ok(asked(s, ASK_NOTE) > 0, "while it waits it keeps its lease");
  s->wait_ms = 0;
  loop_advance(loop, 1000);
  is_str(store_act_states[s->record.state], "done", "to the end");
  is_int(told.a.undo_ms, 4711, "whoever waits is told until when it can be undone");
  end();
}

static void test_undo(void) {
  struct store_act other = {.id = "a-0", .state = STORE_ACT_RUNNING};
  begin();
  s->other = &other;
  s->takes_ms = 10;
  act_on(STORE_ACT_UNDO, 60000);
  loop_advance(loop, 2000);
  is_int(asked(s, ASK_SLICE), 0, "an undo waits until the other act has ended");
  ok(strstr(s->record.note, "waits until act"), "and says so");
  other.state = STORE_ACT_CANCELLED;
  s->left = 3;
  s->n_wakes = 0;
  loop_advance(loop, 1000);
  is_int(asked(s, ASK_SLICE), 4, "then it puts back what that one did");
  is_str(store_act_states[s->record.state], "done", "to the end");
  is_int(s->record.left, 3, "some are not put back");
  is_int(s->record.of, 38, "of all that there were");
  ok(strstr(s->record.result, "3 jobs were not put back"), "which its result says");
  ok(s->n_wakes > 0, "who runs such jobs is woken");
  end();
  begin();
  act_on(STORE_ACT_UNDO, 60000);
  loop_advance(loop, 1000);
  is_str(store_act_states[s->record.state], "failed", "without the other act it has failed");
  is_int(asked(s, ASK_SLICE), 0, "and nothing is done");
  end();
}

static void test_tidied(void) {
  begin();
  s->takes_ms = 10;
  s->record = (struct store_act){.id = "a-1", .kind = STORE_ACT_PURGE, .state = STORE_ACT_DONE};
  s->kept = 3;
  acts_found(acts, s, "a-1");
  loop_advance(loop, 25);
  ok(is_here(), "an act that cannot be undone any more is tidied up");
  s->rc[ASK_TIDY] = STORE_UNKNOWN;
  loop_advance(loop, 100);
  s->rc[ASK_TIDY] = STORE_OK;
  s->rc[ASK_TIDIED] = STORE_UNKNOWN;
  loop_advance(loop, 1500);
  ok(!s->tidied, "whatever fails is tried again");
  s->kept = 1;
  s->rc[ASK_TIDIED] = STORE_OK;
  loop_advance(loop, 1500);
  ok(s->tidied, "to the end");
  is_int(asked(s, ASK_NOTE) + asked(s, ASK_SLICE), 0, "nothing else is asked");
  ok(!is_here(), "then it is gone");
  s->tidied = false;
  s->kept = 1000;
  s->record.state = STORE_ACT_CANCELLED;
  acts_found(acts, s, "a-1");
  loop_advance(loop, 100);
  acts_stop(acts);
  loop_advance(loop, 100);
  ok(!s->tidied, "a stop leaves it to others");
  end();
}

/* --- a move --- */

static struct store *target;

static void move_begin(void) {
  begin();
  target = storage_new("two");
  configure("[storage one]\naddress = 127.0.0.1:1\n[storage two]\naddress = 127.0.0.1:2\n"
            "[queue q]\npassword = xyzzy-12345-67890\n"
            "[topic q/new]\nrun_type = test\nstorage = two\n");
  struct store_act a = {.kind = STORE_ACT_MOVE, .queue = "q", .topic = "t", .by = "anna"};
  snprintf(a.from, sizeof a.from, "one");
  snprintf(a.to, sizeof a.to, "q/new");
  target->takes_ms = 100;
  acts_start(acts, target, &a, 60000, on_told, NULL);
  loop_advance(loop, 150);
}

static void test_move(void) {
  move_begin();
  is_int(asked(target, ASK_MOVE), 1, "a move has its record where the jobs go to");
  ok(moves.from == s && moves.to == target, "and asks its two storages");
  moves.state = STORE_MOVE_WAITS;
  moves.n[0] = 7;
  moves.running = 2;
  loop_advance(loop, 749);
  is_str(target->record.note, "waits until 2 running jobs end",
         "the record says what it waits for");
  is_int(target->record.done, 7, "and what is moved");
  asked(target, ASK_MOVE);
  loop_advance(loop, 700);
  is_int(asked(target, ASK_MOVE), 1, "while it waits it is asked again every half a second");
  moves.state = STORE_MOVE_DONE;
  loop_advance(loop, 1500);
  is_str(store_act_states[target->record.state], "done", "when nothing is left it is done");
  is_str(target->record.result, "moved 7 ready, 0 to be retried, 0 dead, 0 delayed",
         "its result says what was moved");
  is_str(target->record.note, "", "it waits for nothing");
  is_int(told.times, 1, "whoever started it is told");
  is_int(asked(target, ASK_SLICE), 0, "it is no matter of slices");
  end();
}

static void test_move_cancelled(void) {
  move_begin();
  acts_cancelled(acts, "a-1", "carl");
  loop_advance(loop, 300);
  ok(moves.plan.cancelled, "a move that is cancelled gives back what it has in hand");
  is_str(store_act_states[target->record.state], "running", "until then it runs");
  moves.state = STORE_MOVE_BACK;
  loop_advance(loop, 1000);
  is_str(store_act_states[target->record.state], "cancelled", "then it has ended");
  is_str(target->record.result, "cancelled by carl", "and says by whom");
  end();
}

static void test_move_fails(void) {
  move_begin();
  target->rc[ASK_MOVE] = STORE_ERROR;
  loop_advance(loop, 850);
  is_str(target->record.note, "trying again: the storage failed", "a step that failed is noted");
  ok(told.times == 0 && asked(target, ASK_MOVE) > 0, "and tried again");
  end();
}

int main(void) {
  test_runs_to_its_end();
  test_nothing_to_do();
  test_record_follows();
  test_one_question_at_a_time();
  test_replay_wakes();
  test_patience();
  test_patience_without_a_record();
  test_does_not_begin();
  test_slice_fails();
  test_answers_lost();
  test_note_fails();
  test_last_note_fails();
  test_storage_not_ready();
  test_storage_leaves();
  test_storage_changes();
  test_cancelled_here();
  test_cancelled_elsewhere();
  test_cancelled_too_late();
  test_taken_over();
  test_taken_over_cancelled();
  test_not_taken_over();
  test_lost_to_another_node();
  test_stop();
  test_stop_while_it_waits();
  test_stop_without_storage();
  test_stop_whose_note_fails();
  test_freed();
  test_rate();
  test_undo();
  test_tidied();
  test_move();
  test_move_cancelled();
  test_move_fails();
  return done_testing();
}
