/* How long a wrong password waits: by whose it is and from where, never by what exists. */
#include "intake/auth.c"

#include "tap.h"

#include <arpa/inet.h>

static struct queue_settings msg_settings = {.name = "msg", .password = "secret"};
static struct topic_settings own_settings = {
    .name = "own", .path = "msg/own", .queue = &msg_settings, .password = "mine"};
static struct queue msg = {.set = &msg_settings};
static struct topic own = {.set = &own_settings};

struct queue *registry_queue(struct registry *reg, const char *name, size_t len) {
  (void)reg;
  return len == 3 && !memcmp(name, "msg", 3) ? &msg : NULL;
}
struct topic *registry_topic(struct registry *reg, const char *path, size_t len) {
  (void)reg;
  return len == 7 && !memcmp(path, "msg/own", 7) ? &own : NULL;
}

struct guesser {
  struct auth_limiter *limiter;
  struct auth_peer peer;
  struct auth_attempt t;
};

static struct auth_peer peer(int family, const char *text) {
  unsigned char address[16] = {0};
  if (family != AF_UNIX && inet_pton(family, text, address) != 1) bail_out("%s", text);
  return auth_peer_of(family, address);
}

static void guesser_init(struct guesser *g, struct auth_limiter *l, struct auth_peer p) {
  g->limiter = l;
  g->peer = p;
  g->t = (struct auth_attempt){
      .limiter = l, .peer = &g->peer, .max_wrong = 10, .now_ms = UINT64_C(1000000)};
}

static uint64_t one(struct guesser *g, const char *text) {
  struct auth a = {0};
  uint64_t ms = 0;
  enum auth_rc rc = auth_one(&a, &g->t, text, strlen(text), &ms);
  auth_drop(&a);
  return rc == AUTH_WRONG ? ms : 0;
}

static uint64_t two(struct guesser *g, const char *user, const char *password) {
  struct auth a = {0};
  uint64_t ms = 0;
  enum auth_rc rc = auth_two(&a, &g->t, user, strlen(user), password, strlen(password), &ms);
  auth_drop(&a);
  return rc == AUTH_WRONG ? ms : 0;
}

/* @case X1: the delay grows to two seconds and fades; the right password never has one */
static void delays(void) {
  struct auth_limiter *l = auth_limiter_new();
  struct guesser g;
  guesser_init(&g, l, peer(AF_INET, "10.0.0.1"));
  uint64_t last = 0, ms = 0;
  bool grows = true;
  for (int i = 0; i < 10; i++) {
    ms = one(&g, "msg:guess");
    grows = grows && ms > last;
    last = ms;
  }
  ok(grows, "each wrong one waits longer than the one before");
  is_int((int)ms, DELAY_MAX_MS, "the tenth: two seconds");
  for (int i = 0; i < 1000; i++) ms = one(&g, "msg:guess");
  is_int((int)ms, DELAY_MAX_MS, "not more after a thousand");
  is_int((int)one(&g, "msg:secret"), 0, "the right one is granted");
  is_int((int)two(&g, "msg", "secret"), 0, "in two words as well");
  g.t.now_ms += 3 * WINDOW_MS;
  is_int((int)one(&g, "msg:guess"), DELAY_FIRST_MS, "after a quiet time it begins anew");
  auth_limiter_free(l);
}

/* @case X1: a name that there is not is counted as one that there is */
static void nothing_told(void) {
  static const char *const pairs[][2] = {
      {"msg", "nos"}, {"msg/own", "nos/own"}, {"msg/own", "msg/not"}, {"default", "default"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct auth_limiter *l = auth_limiter_new();
    struct guesser real, none;
    char text[64];
    bool same = true;
    guesser_init(&real, l, peer(AF_INET, "10.0.0.1"));
    guesser_init(&none, l, peer(AF_INET, "10.0.0.2"));
    for (int k = 0; k < 12; k++) {
      snprintf(text, sizeof text, "%s:guess%d", pairs[i][0], k);
      uint64_t a = k & 1 ? one(&real, text) : two(&real, pairs[i][0], text);
      snprintf(text, sizeof text, "%s:guess%d", pairs[i][1], k);
      uint64_t b = k & 1 ? one(&none, text) : two(&none, pairs[i][1], text);
      same = same && a == b;
    }
    ok(same, "%s and %s wait alike", pairs[i][0], pairs[i][1]);
    auth_limiter_free(l);
  }
}

/* @case X1: neither another topic, form, address of the same host nor a flood of names starts again
 */
static void no_way_round(void) {
  static const char *const ways[] = {"msg:x", "msg/own:x", "msg/a:x", "msg/b:x", "msg/a:b:c:x"};
  struct auth_limiter *l = auth_limiter_new();
  struct guesser g;
  guesser_init(&g, l, peer(AF_INET, "127.0.0.1"));
  for (int i = 0; i < 10; i++) one(&g, "msg:guess");
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    is_int((int)one(&g, ways[i]), DELAY_MAX_MS, "%s", ways[i]);
  is_int((int)two(&g, "msg", "x"), DELAY_MAX_MS, "two words");
  is_int((int)two(&g, "default", "msg:x"), DELAY_MAX_MS, "default");
  static const struct {
    int family;
    const char *a, *b;
    bool same;
  } addresses[] = {{AF_INET, "127.0.0.1", "127.200.3.4", true},
                   {AF_INET, "10.0.0.1", "10.0.0.2", false},
                   {AF_INET6, "2001:db8::1", "2001:db8::ffff:1", true},
                   {AF_INET6, "2001:db8::1", "2001:db8:0:1::1", false},
                   {AF_INET6, "::1", "::ffff:127.0.0.9", true},
                   {AF_UNIX, "", "", true}};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    struct auth_peer a = peer(addresses[i].family, addresses[i].a),
                     b = peer(addresses[i].family, addresses[i].b);
    is_int(!memcmp(&a, &b, sizeof a), addresses[i].same, "%s and %s", addresses[i].a,
           addresses[i].b);
  }
  struct auth_peer mapped = peer(AF_INET6, "::ffff:10.0.0.1"), plain = peer(AF_INET, "10.0.0.1");
  ok(!memcmp(&mapped, &plain, sizeof plain), "an IPv4 address in an IPv6 one");
  for (int i = 0; i < 100000; i++) {
    char name[32];
    snprintf(name, sizeof name, "n%d:x", i);
    one(&g, name);
  }
  is_int((int)one(&g, "msg:guess"), DELAY_MAX_MS, "100000 other names push nothing out");
  char *longest = calloc(1, 3 << 20);
  memset(longest, 'x', (3 << 20) - 1);
  ok(two(&g, "msg", longest) > 0, "a password of 3 MB is wrong");
  free(longest);
  auth_limiter_free(l);
}

/* The reference values of SipHash's authors: key 00..0f, message 00..0e. */
static void sip(void) {
  unsigned char text[15];
  uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
  for (unsigned char i = 0; i < 15; i++) text[i] = i;
  ok(sip_hash(key, text, 15) == UINT64_C(0xa129ca6149be45e5), "as in the paper");
  ok(sip_hash(key, text, 0) == UINT64_C(0x726fdb47dd0e0e31), "of nothing");
  ok(sip_hash(key, text, 8) == UINT64_C(0x93f5f5799a932462), "of a whole word");
}

/* The name is shown as a text; what was in its memory before must not follow it. */
static void shown_ends(void) {
  struct auth_limiter *l = auth_limiter_new();
  struct guesser g;
  struct auth a = {0};
  uint64_t ms = 0;
  guesser_init(&g, l, peer(AF_INET, "10.0.0.1"));
  char *before[8];
  for (size_t i = 0; i < 8; i++) { /* memory of the size of a grant, used before */
    if (!(before[i] = malloc(40))) bail_out("no memory");
    memset(before[i], 'x', 40);
    __asm__ volatile("" : : "r"(before[i]) : "memory"); /* otherwise nothing is written */
  }
  for (size_t i = 0; i < 8; i++) free(before[i]);
  is_int(auth_one(&a, &g.t, "msg/own:mine", 12, &ms), AUTH_OK, "the topic's password");
  is_str(auth_shown(&a), "msg/own", "its name, and nothing behind it");
  auth_drop(&a);
  auth_limiter_free(l);
}

int main(void) {
  shown_ends();
  sip();
  delays();
  nothing_told();
  no_way_round();
  return done_testing();
}
