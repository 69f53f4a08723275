/* A pool's slots: who gets the next one, and how many there are. */
#include "base/log.h"
#include "config/settings.h"
#include "dispatch/pool.h"
#include "dispatch/topic.h"

#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>

#define TOPICS 5
#define CROWD  1200

/* As the dispatcher does it: the head of the line is woken, asks, and goes to the end of the line
 * when it has more to do. Returns the number of the topic that got the slot, or -1. */
static int serve(struct pool *p, struct topic *topics, bool again) {
  struct topic *t = pool_first(p);
  if (!t || !pool_acquire(p, t)) return -1;
  if (again) pool_wait(p, t);
  return (int)(t - topics);
}

static void test_slots(void) {
  struct pool p = {.max = 2, .limit = 2};
  struct topic t[3] = {{0}};
  ok(pool_acquire(&p, &t[0]) && pool_acquire(&p, &t[0]), "an idle pool's slots are had at once");
  is_int(p.busy, 2, "two are busy");
  ok(!pool_acquire(&p, &t[0]), "there is no third");
  is_int(p.waiting_n, 1, "who asked stands in the line");
  ok(!pool_first(&p), "nobody is named while all are busy");
  pool_release(&p);
  ok(pool_first(&p) == &t[0], "a slot is free: the line's head is named");
  ok(pool_first(&p) == &t[0], "naming takes nothing");
  ok(pool_acquire(&p, &t[0]), "and gets it");
  ok(p.waiting_n == 0 && !p.waiting && !t[0].at_pool.line_prev, "the line is empty");
  pool_release(&p);
  pool_release(&p);
  pool_release(&p);
  is_int(p.busy, 0, "one release too many does not make slots");
}

static void test_line(void) {
  struct pool p = {.max = 1, .limit = 1};
  struct topic t[TOPICS] = {{0}};
  ok(pool_acquire(&p, &t[0]), "the first runs");
  for (int i = 1; i < TOPICS; i++) pool_acquire(&p, &t[i]);
  is_int(p.waiting_n, TOPICS - 1, "the others wait");
  ok(!pool_acquire(&p, &t[1]) && p.waiting_n == TOPICS - 1, "asking twice is standing once");
  pool_release(&p);
  ok(!pool_acquire(&p, &t[0]), "whoever frees a slot does not pass the line");
  ok(!pool_acquire(&p, &t[3]), "nor does one from the middle of it");
  ok(p.busy == 0, "the slot stays for the head");
  for (int i = 1; i < TOPICS; i++) {
    is_int(serve(&p, t, false), i, "number %d in its turn", i);
    pool_release(&p);
  }
  is_int(serve(&p, t, false), 0, "then the one that wanted to pass");
}

static void test_turns(void) {
  struct pool p = {.max = 3, .limit = 3};
  struct topic t[TOPICS] = {{0}};
  unsigned got[TOPICS] = {0};
  for (int i = 0; i < TOPICS; i++) pool_wait(&p, &t[i]);
  bool in_turn = true;
  for (int n = 0; n < 1000; n++) {
    int who = serve(&p, t, true);
    in_turn &= who == n % TOPICS;
    if (who >= 0) got[who]++;
    if (p.busy == p.limit) pool_release(&p);
  }
  ok(in_turn, "all that have work are served turn by turn");
  for (int i = 0; i < TOPICS; i++) is_int(got[i], 1000 / TOPICS, "topic %d has its share", i);
}

/* A topic with a backlog and one that has a job now and then: the second waits at most a turn. */
static void test_greedy(void) {
  struct pool p = {.max = 4, .limit = 4};
  struct topic t[2] = {{0}};
  while (pool_acquire(&p, &t[0])) {
  }
  ok(!pool_acquire(&p, &t[1]), "no slot for the modest one yet");
  pool_release(&p);
  is_int(serve(&p, t, true), 0, "the greedy one was there first");
  pool_release(&p);
  is_int(serve(&p, t, false), 1, "the next free slot is the other's");
}

static void test_leave(void) {
  struct pool p = {.max = 1, .limit = 1};
  struct topic t[4] = {{0}};
  pool_leave(&p, &t[0]);
  is_int(p.waiting_n, 0, "who does not stand in the line can leave it");
  for (int i = 0; i < 4; i++) pool_wait(&p, &t[i]);
  pool_leave(&p, &t[1]); /* from the middle, the end and the front */
  pool_leave(&p, &t[3]);
  pool_wait(&p, &t[1]);
  pool_leave(&p, &t[0]);
  is_int(p.waiting_n, 2, "two are left");
  is_int(serve(&p, t, false), 2, "in their order");
  pool_release(&p);
  is_int(serve(&p, t, false), 1, "who left and came back stands behind");
  ok(!p.waiting && p.waiting_n == 0, "the line is empty");
  pool_wait(&p, &t[3]);
  pool_leave(&p, &t[3]);
  pool_wait(&p, &t[0]);
  ok(p.waiting == &t[0] && !t[0].at_pool.line_next, "an emptied line works again");
}

/* Both topics always want more: one has jobs of a second, the other jobs (or chunks) of a
 * millisecond. Turns alone would leave the fast one a slot now and then. */
static void test_shares(void) {
  struct pool p = {.max = 4, .limit = 4};
  struct topic t[2] = {{0}};
  uint64_t ends[4] = {0}, held[2] = {0};
  int whose[4];
  unsigned done[2] = {0};
  for (uint64_t now = 0; now < 20000; now++) {
    for (int i = 0; i < 4; i++) {
      if (!ends[i] || ends[i] > now) continue;
      t[whose[i]].requests.running--;
      done[whose[i]]++;
      ends[i] = 0;
      pool_release(&p);
    }
    for (int i = 0; i < 2; i++) pool_wait(&p, &t[i]);
    for (int i = 0; i < 4; i++) {
      if (ends[i]) continue;
      struct topic *next = pool_first(&p);
      if (!next || !pool_acquire(&p, next)) break;
      next->requests.running++;
      whose[i] = (int)(next - t);
      ends[i] = now + (whose[i] ? 1 : 1000);
      pool_wait(&p, next);
    }
    if (now < 1000) continue;
    held[0] += t[0].requests.running;
    held[1] += t[1].requests.running;
  }
  ok(held[0] == 2 * 19000 && held[1] == 2 * 19000, "slow and fast jobs: two of four slots each");
  ok(done[1] > 35000, "the fast ones get on (%u done)", done[1]);
}

static void test_newcomer(void) {
  struct pool p = {.max = 3, .limit = 3};
  struct topic t[3] = {{0}};
  while (pool_acquire(&p, &t[0])) t[0].requests.running++;
  t[1].requests.running = 1; /* on its way out, of a pool that was larger */
  pool_wait(&p, &t[1]);
  ok(!pool_acquire(&p, &t[2]), "all are taken");
  pool_release(&p);
  t[0].requests.running--;
  ok(pool_first(&p) == &t[2], "who has none comes before who came first");
  ok(!pool_acquire(&p, &t[1]), "and is not passed");
  ok(pool_acquire(&p, &t[2]), "it gets the slot");
  pool_release(&p);
  ok(pool_first(&p) == &t[1], "then who has one, before who has two");
}

static void test_automatic(void) {
  struct pool p = {0};
  struct topic t[1] = {{0}};
  struct usual_time usual = {0};
  struct pb_pool_load load = {.workers = 8, .idle = 6, .queued = 0};
  pool_bounds(&p, 32, true, 1, 1000);
  is_int(p.limit, 4, "automatic: a few to begin with");
  while (pool_acquire(&p, &t[0])) {
  }
  is_int(p.busy, 4, "so many are handed out");
  pool_told(&p, &load, 1100);
  is_int(p.limit, 9, "six are idle: raised by as many, less the reserve");
  load = (struct pb_pool_load){.workers = -1, .idle = -1, .queued = 0};
  pool_told(&p, &load, 1150);
  ok(p.load.workers == 8 && p.load.idle == 6 && p.load.queued == 0,
     "a look at the queue alone leaves what was told of the workers");
  pool_lower(&p, 1200);
  is_int(p.limit, 2, "full: half of what runs");
  for (int i = 0; i < 100; i++) pool_answered(&p);
  is_int(p.limit, 2, "answers alone do not raise it");
  pool_took(&p, &usual, 10, 1300);
  is_int(usual.n, 1, "what a topic takes is learnt");
  pool_bounds(&p, 32, true, 1, 1400);
  is_int(p.limit, 2, "the same bounds change nothing");
  pool_gone(&p, 1500);
  is_int(p.load_ms, 0, "gone: what was told of them is forgotten");
  pool_bounds(&p, 16, false, 1, 1600);
  is_int(p.limit, 16, "fixed: all of them");
}

static void test_closed(void) {
  struct pool p = {.max = 2, .limit = 2, .resting = true};
  struct topic t[1] = {{0}};
  ok(!pool_acquire(&p, &t[0]) && !pool_first(&p), "nothing while it rests");
  p.resting = false;
  p.circuit_open = true;
  ok(!pool_acquire(&p, &t[0]) && !pool_first(&p), "nothing while the circuit is open");
  p.circuit_open = false;
  is_int(serve(&p, t, false), 0, "then it goes on");
}

static void test_limit(void) {
  struct pool p = {.max = 16, .limit = 16};
  struct topic t[1] = {{0}};
  while (pool_acquire(&p, &t[0])) {
  }
  is_int(p.busy, 16, "sixteen at a time");
  pool_lower(&p, 0);
  is_int(p.limit, 8, "the workers are full: half as many");
  for (int i = 0; i < 8; i++) pool_release(&p);
  ok(!pool_first(&p), "no slot until fewer run than that");
  pool_release(&p);
  ok(pool_first(&p), "then there is one");

  size_t answers = 0, last = p.limit, step = 0;
  bool rounds = true;
  p.rests = 3;
  while (p.limit < p.max && answers < 1000) {
    pool_answered(&p);
    answers++;
    step++;
    if (p.limit != last) {
      rounds &= p.limit == last + 1 && step == last;
      last = p.limit;
      step = 0;
    }
  }
  ok(rounds, "it grows by one for each round of answers");
  is_int(p.limit, 16, "up to what it was");
  is_int(answers, (8 + 15) * 8 / 2, "after as many answers as that takes");
  is_int(p.rests, 0, "an answer ends the row of rests");
  pool_answered(&p);
  is_int(p.limit, 16, "never above its maximum");

  p.busy = 1;
  pool_lower(&p, 0);
  is_int(p.limit, 1, "never below one");
  p.busy = 0;
  pool_lower(&p, 0);
  is_int(p.limit, 1, "also when nothing runs");
  p.busy = 12; /* requests that were cancelled but are still with the transport */
  pool_lower(&p, 0);
  is_int(p.limit, 1, "lowering never raises");
  p.limit = 4;
  p.busy = 4;
  for (int i = 0; i < 3; i++) pool_answered(&p);
  pool_lower(&p, 0);
  for (int i = 0; i < 1; i++) pool_answered(&p);
  is_int(p.limit, 2, "answers from before are not counted for the new limit");
}

static void count(void *arg) {
  struct topic *t = arg;
  t->calls++;
}

static unsigned told(const struct topic *t, size_t n) {
  unsigned sum = 0;
  for (size_t i = 0; i < n; i++) sum += t[i].calls;
  return sum;
}

/* A pool of 10,000 topics must not hold up the loop, whoever of them finds the workers gone. */
static void test_circuit_tells_in_slices(void) {
  struct log *log = log_new(open("/dev/null", O_WRONLY));
  struct loop *loop = loop_new(log);
  struct pools all = {.loop = loop};
  struct pool_settings ps = {.name = "p", .max_connections = 2};
  struct topic_settings set = {.path = "q/t", .run_type = "cgi", .pool = &ps};
  struct topic *t = calloc(CROWD, sizeof *t);
  for (size_t i = 0; i < CROWD; i++) {
    t[i].set = &set;
    topic_begin(&t[i], loop, count);
    pool_join(&all, &t[i]);
  }
  struct pool *p = t[0].pool;
  pool_unreachable(p, "gone", 4);
  ok(p->untold && told(t, CROWD) == 0, "not all are told at once");
  pool_quit(&t[p->untold - t]);
  loop_turn(loop, 0);
  ok(told(t, CROWD) && told(t, CROWD) < CROWD, "in the turn some hear of it");
  while (p->untold) loop_turn(loop, 10);
  loop_turn(loop, 0);
  is_int(told(t, CROWD), CROWD - 1, "in the end each has, but the one that left");
  for (int i = 0; i < 100; i++) pool_unreachable(p, "gone", 4);
  loop_turn(loop, 0);
  is_int(told(t, CROWD), CROWD - 1, "hearing the same again tells nobody");
  pool_unreachable(p, "far gone", 8);
  while (p->untold) loop_turn(loop, 10);
  loop_turn(loop, 0);
  is_int(told(t, CROWD), 2 * (CROWD - 1), "another reason does");
  pool_reachable(p);
  while (p->untold) loop_turn(loop, 10);
  loop_turn(loop, 0);
  is_int(told(t, CROWD), 3 * (CROWD - 1), "and so does the end of it");
  for (size_t i = 0; i < CROWD; i++) topic_end(&t[i]);
  pools_free(&all);
  loop_free(loop);
  log_free(log);
  free(t);
}

int main(void) {
  test_slots();
  test_line();
  test_turns();
  test_greedy();
  test_leave();
  test_shares();
  test_newcomer();
  test_automatic();
  test_closed();
  test_limit();
  test_circuit_tells_in_slices();
  return done_testing();
}
