/* A pool's slots: who gets the next one, and how many there are. */
#include "pool.h"
#include "topic.h"

#include "../tap.h"

#define TOPICS 5

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
  ok(p.waiting_n == 0 && !p.waiting && !t[0].pool_prev, "the line is empty");
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
  while (pool_acquire(&p, &t[0])) {}
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
  ok(p.waiting == &t[0] && !t[0].pool_next, "an emptied line works again");
}

static void test_closed(void) {
  struct pool p = {.max = 2, .limit = 2, .resting = true};
  struct topic t[1] = {{0}};
  ok(!pool_acquire(&p, &t[0]) && !pool_first(&p), "nothing while it rests");
  p.resting = false;
  p.open = true;
  ok(!pool_acquire(&p, &t[0]) && !pool_first(&p), "nothing while the circuit is open");
  p.open = false;
  is_int(serve(&p, t, false), 0, "then it goes on");
}

static void test_limit(void) {
  struct pool p = {.max = 16, .limit = 16};
  struct topic t[1] = {{0}};
  while (pool_acquire(&p, &t[0])) {}
  is_int(p.busy, 16, "sixteen at a time");
  pool_lower(&p);
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
  pool_lower(&p);
  is_int(p.limit, 1, "never below one");
  p.busy = 0;
  pool_lower(&p);
  is_int(p.limit, 1, "also when nothing runs");
  p.busy = 12; /* requests that were cancelled but are still with the transport */
  pool_lower(&p);
  is_int(p.limit, 1, "lowering never raises");
  p.limit = 4;
  p.busy = 4;
  for (int i = 0; i < 3; i++) pool_answered(&p);
  pool_lower(&p);
  for (int i = 0; i < 1; i++) pool_answered(&p);
  is_int(p.limit, 2, "answers from before are not counted for the new limit");
}

int main(void) {
  test_slots();
  test_line();
  test_turns();
  test_greedy();
  test_leave();
  test_closed();
  test_limit();
  return done_testing();
}
