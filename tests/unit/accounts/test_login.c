/* Delays after wrong passwords, on a clock of the test. */
#include "accounts/login.h"

#include "tap.h"

static uint64_t now = 1000000;

static uint64_t wrong(struct login_limiter *l, const char *user, const char *address) {
  uint64_t wait = login_begin(l, user, address, now);
  if (!wait) login_end(l, user, address, LOGIN_WRONG, now);
  return wait;
}

/* 1 s doubling to 30 s, for this user from this address */
static void delays(void) {
  static const uint64_t want[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
  struct login_limiter *l = login_limiter_new();
  is_int((int)wrong(l, "ann", "192.0.2.1"), 0, "the first try is checked at once");
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    is_int((int)wrong(l, "ann", "192.0.2.1"), (int)want[i], "after %zu wrong ones", i + 1);
    now += want[i] - 1;
    is_int((int)wrong(l, "ANN", "192.0.2.1"), 1, "not a ms before");
    now++;
    is_int((int)wrong(l, "ann", "192.0.2.1"), 0, "then it is checked");
  }
  is_int((int)wrong(l, "ann", "192.0.2.2"), 0, "from another address at once: no lock by user");
  is_int((int)wrong(l, "bob", "192.0.2.1"), 0, "another user of this address as well");
  now += LOGIN_FORGET_MS;
  is_int((int)wrong(l, "ann", "192.0.2.1"), 0, "later it is forgotten");
  is_int((int)wrong(l, "ann", "192.0.2.1"), 1000, "and begins again");
  login_limiter_free(l);
}

static void right(void) {
  struct login_limiter *l = login_limiter_new();
  for (int i = 0; i < 3; i++) {
    now += 30000;
    wrong(l, "ann", "192.0.2.1");
  }
  now += 30000;
  is_int((int)login_begin(l, "ann", "192.0.2.1", now), 0, "the right one is checked");
  login_end(l, "ann", "192.0.2.1", LOGIN_RIGHT, now);
  is_int((int)wrong(l, "ann", "192.0.2.1"), 0, "what was wrong before is forgotten");
  is_int((int)wrong(l, "ann", "192.0.2.1"), 1000, "and counts from the beginning");
  login_limiter_free(l);
}

static void at_once(void) {
  struct login_limiter *l = login_limiter_new();
  static const char *const names[] = {"a", "b", "c", "d", "e"};
  is_int((int)login_begin(l, "a", "192.0.2.1", now), 0, "one is being checked");
  ok(login_begin(l, "a", "192.0.2.1", now) > 0, "a second one of the same user has to wait");
  for (int i = 1; i < LOGIN_AT_ONCE; i++)
    is_int((int)login_begin(l, names[i], "192.0.2.1", now), 0, "other users up to %d", i + 1);
  ok(login_begin(l, "e", "192.0.2.1", now) > 0, "one address does not fill the queue");
  is_int((int)login_begin(l, "e", "192.0.2.9", now), 0, "others are not kept waiting");
  login_end(l, "a", "192.0.2.1", LOGIN_UNKNOWN, now);
  is_int((int)login_begin(l, "a", "192.0.2.1", now), 0, "what could not be checked costs nothing");
  login_limiter_free(l);
}

static void addresses(void) {
  struct login_limiter *l = login_limiter_new();
  wrong(l, "ann", "2001:db8::1");
  is_int((int)wrong(l, "ann", "2001:db8::ffff:1"), 1000, "a network of IPv6 is one household");
  is_int((int)wrong(l, "ann", "2001:db8:0:1::1"), 0, "its neighbour is another");
  wrong(l, "bob", "192.0.2.1");
  is_int((int)wrong(l, "bob", "::ffff:192.0.2.1"), 1000, "both forms of IPv4 are one");
  is_int((int)wrong(l, "bob", "192.0.2.2"), 0, "each address of IPv4 is its own");
  is_int((int)wrong(l, "bob", "this machine"), 0, "what is no address counts as it is written");
  is_int((int)wrong(l, "bob", "this machine"), 1000, "as well");
  login_limiter_free(l);
}

static void room(void) {
  struct login_limiter *l = login_limiter_new();
  char name[32];
  login_begin(l, "busy", "192.0.2.7", now);
  for (int i = 0; i < 3 * LOGIN_PAIRS; i++) {
    snprintf(name, sizeof name, "user%d", i);
    wrong(l, name, "192.0.2.1");
  }
  is_int((int)wrong(l, name, "192.0.2.1"), 1000, "the newest of many are remembered");
  is_int((int)wrong(l, "user0", "192.0.2.1"), 0, "the oldest are not");
  ok(login_begin(l, "busy", "192.0.2.7", now) > 0, "who is being checked does not give way");
  login_limiter_free(l);
}

int main(void) {
  delays();
  right();
  at_once();
  addresses();
  room();
  return done_testing();
}
