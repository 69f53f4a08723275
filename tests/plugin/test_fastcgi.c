/* The FastCGI transport against a responder that misbehaves. Against php-fpm: test_fastcgi_php.c.
 */
#include "fastcgi_fixture.h"
#include "full_listener.h"

/* --- the configuration --- */

static void test_check(void) {
  static const struct {
    bool pool;
    const char *pair, *text;
  } bad[] = {
      {true, "address=localhost", "no port"},
      {true, "address=php.example.com:9000", "not numeric"},
      {true, "address=127.0.0.1:0", "bad port"},
      {true, "address=127.0.0.1:70000", "bad port"},
      {true, "address=127.0.0.1:90x", "bad port"},
      {true, "address=/run/php.sock", "unix:"},
      {true, "address=unix:run/php.sock", "absolute"},
      {true, "address=[::1:9000", "not numeric"},
      {true, "address=[zz]:9000", "IPv6"},
      {true, "status=127.0.0.1", "no port"},
      {true, "status_path=status", "begin with /"},
      {false, "entry=worker.php", "relative"},
      {false, "entry=", "missing"},
      {false, "entry=/srv/app/", "directory"},
  };
  static const char *const good[] = {"address=127.0.0.1:9000", "address=localhost:9000",
                                     "address=[::1]:9000", "address=unix:/run/php/fpm.sock",
                                     "address=127.0.0.1:1,unix:/a"};
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct pb_err err;
  char longest[200];

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    is_int(host_check(h, bad[i].pool, &err, bad[i].pair, NULL), -EINVAL, "refuses %s", bad[i].pair);
    like(err.text, bad[i].text, "says why");
    is_int(strncmp(bad[i].pair, err.option, strlen(err.option)), 0, "names the key");
    is_int(bad[i].pair[strlen(err.option)], '=', "all of it");
  }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    is_int(host_check(h, true, &err, good[i], NULL), 0, "takes %s", good[i]);
  is_int(host_check(h, false, &err, "entry=/srv/app/W.php", NULL), 0, "takes an entry");
  memset(longest, 'x', sizeof longest);
  memcpy(longest, "address=unix:/", 14);
  longest[sizeof longest - 1] = 0;
  is_int(host_check(h, true, &err, longest, NULL), -EINVAL, "refuses a socket path too long");
  ok(!host_pool(h, &err, NULL), "no pool without an address");
  like(err.text, "needs a pool", "and says what to add");
  host_free(h, "check");
}

/* --- what the other side may do --- */

static void test_answers(const struct fixture *f, const char *address) {
  static const struct expectation all[] = {
      {"ok", PB_ANSWERED, 200, "fine", NULL},
      {"padding", PB_ANSWERED, 200, "fine", NULL},
      {"trickle", PB_ANSWERED, 200, "fine", NULL},
      {"stderr", PB_ANSWERED, 200, "fine", "PHP Warning: one thing"},
      {"stderr-flood", PB_ANSWERED, 200, "fine", "line 1999 of"},
      {"early-drain", PB_ANSWERED, 200, "fine", NULL},
      {"early", PB_ANSWERED, 200, "fine", NULL},
      {"extra", PB_ANSWERED, 200, "fine", NULL},
      {"close-after", PB_ANSWERED, 200, "fine", NULL},
      {"end-only", PB_ANSWERED, 0, "", "no Code header"},
      {"nowhere.php", PB_ANSWERED, 0, "File not found.\n", "has no script /w/nowhere.php"},
      {"overloaded", PB_BUSY, 0, "", "overloaded"},
      {"unknown-role", PB_GARBLED, 0, "", "protocol status 3"},
      {"half-header", PB_LOST, 0, "", "in the middle of the answer"},
      {"mid-record", PB_LOST, 0, "", "in the middle of the answer"},
      {"closes", PB_LOST, 0, "", "without an answer"},
      {"wrong-version", PB_GARBLED, 0, "", "version 9"},
      {"wrong-id", PB_GARBLED, 0, "", "request 77"},
      {"wrong-type", PB_GARBLED, 0, "", "type 200"},
      {"bad-end", PB_GARBLED, 0, "", "END_REQUEST of 4"},
      {"http", PB_GARBLED, 0, "", "not FastCGI"},
      {"long-header", PB_GARBLED, 0, "", "header over"},
      {"bad-code", PB_GARBLED, 0, "", "Code \"yes\""},
      {"no-blank", PB_GARBLED, 0, "", "within the header"},
      {"big", PB_GARBLED, 0, "", "max_response"},
  };
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct host_pool *p =
      host_pool(h, NULL, option("address", address), "max_response=1mb", "idle_timeout=2s", NULL);
  struct host_inst *good = topic(p, "ok");

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct host_inst *in = topic(p, e->script);
    unsigned before = served(f);

    for (int again = 0; again < 2; again++) {
      struct host_ticket *t = one(h, in);

      is_outcome(t, e->outcome, e->script);
      is_int(t->code, e->code, "%s: code", e->script);
      is_str(t->body, e->body, "%s: body", e->script);
      if (e->detail)
        like(t->detail, e->detail, "%s: detail", e->script);
      else
        is_str(t->detail, "", "%s: no detail", e->script);
      if (strcmp(e->script, "early") == 0 || strcmp(e->script, "close-after") == 0) until_ended(p);
      if (e->outcome != PB_ANSWERED) like(t->detail, address, "%s: names the peer", e->script);
      is_outcome(one(h, good), PB_ANSWERED, "the next request is not touched");
    }
    is_int(served(f) - before, 4, "%s: nothing was sent twice", e->script);
  }
  host_free(h, "answers");
}

/* How the body of `len` bytes looks to the responder. */
static void expect_echo(char *out, size_t cap, const char *body, size_t len) {
  unsigned long sum = 0;

  for (size_t i = 0; i < len; i++) sum = sum * 31 + (unsigned char)body[i];
  snprintf(out, cap, "%zu %zu %lu", len, len, sum);
}

static void test_bodies(const char *address) {
  static const size_t sizes[] = {1,      65527,  65528,  65529,    65535,  65536,
                                 131055, 131056, 131057, 1u << 20, 393168, 8u << 20};
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct host_pool *p = host_pool(h, NULL, option("address", address), "idle_timeout=2s", NULL);
  struct host_inst *in = topic(p, "echo");
  char *body = malloc(8u << 20), want[100];

  if (!body) bail_out("no memory");
  for (size_t i = 0; i < 8u << 20; i++) body[i] = (char)('a' + i * 7 % 26 + i / 65528 % 5);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct host_ticket *t = host_submit(in, body, sizes[i]);

    expect_echo(want, sizeof want, body, sizes[i]);
    ok(host_wait(h, t, WAIT), "%zu bytes: completed", sizes[i]);
    is_str(t->body, want, "%zu bytes arrive as they were", sizes[i]);
  }
  free(body);
  host_free(h, "bodies");
}

static void test_keeping(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, option("address", address), NULL);
  struct host_inst *in = topic(p, "ok");
  unsigned sets, before;

  one(h, in);
  sets = host_stats(h)->io_sets;
  for (int i = 0; i < 20; i++) one(h, in);
  is_int(host_stats(h)->io_sets - sets, 0, "a kept connection costs no io_set() per request");
  ok(idle_conn(p)->reused, "it is the same connection");
  host_skip(h, 4);
  host_turn(h, 0);
  ok(idle_conn(p) != NULL, "kept for idle_timeout");
  host_skip(h, 2);
  host_turn(h, 0);
  ok(!idle_conn(p), "then let go");
  is_outcome(one(h, in), PB_ANSWERED, "and a new one is made");

  /* pm.max_requests: the next request crosses the end of the connection. */
  in = topic(p, "max-requests-php");
  before = served(f);
  for (int i = 0; i < 6; i++) is_outcome(one(h, in), PB_ANSWERED, "crossing max_requests");
  is_int(served(f) - before, 6, "each was read once");

  /* The same from a server that does not say it is PHP: it may have read the request. */
  in = topic(p, "max-requests");
  host_skip(h, 10);
  host_turn(h, 0);
  before = served(f);
  is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
  is_outcome(one(h, in), PB_ANSWERED, "second on a connection");
  is_outcome(one(h, in), PB_LOST, "closed by an unknown server after a whole request");
  is_int(served(f) - before, 2, "it was not sent again");

  /* Killed while the second script runs: a reset, so nobody knows, so it is not sent again. */
  in = topic(p, "second-unread");
  host_skip(h, 10);
  host_turn(h, 0);
  before = served(f);
  is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
  is_outcome(one(h, in), PB_LOST, "reset after a whole request on a kept connection");
  is_int(served(f) - before, 2, "it was not sent again");
  host_free(h, "keeping");

  h = tap_host(&fastcgi, HOST_VIRTUAL);
  p = host_pool(h, NULL, option("address", address), "keepalive=no", NULL);
  in = topic(p, "ok");
  for (int i = 0; i < 3; i++) is_outcome(one(h, in), PB_ANSWERED, "without keepalive");
  ok(!idle_conn(p), "without keepalive nothing is kept");
  host_free(h, "no keepalive");
}

/* Of six requests: how many are not completed. */
static unsigned count_late(struct host_ticket *const t[6]) {
  unsigned late = 0;

  for (int i = 0; i < 6; i++) late += !t[i]->completions;
  return late;
}

static bool one_is_late(void *arg) {
  return count_late(arg) <= 1;
}

static void test_dead_addresses(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  char addr[300];
  struct host_pool *p = host_pool(h, NULL, "address=127.0.0.1:1", NULL);
  struct host_inst *in = topic(p, "ok");
  struct host_ticket *t = one(h, in);

  is_outcome(t, PB_UNREACHABLE, "refused");
  like(t->detail, "127.0.0.1:1: Connection refused", "names address and reason");
  ok(!strstr(t->detail, "msg/reply"), "not the topic: it is said of the whole pool");
  snprintf(addr, sizeof addr, "address=unix:%s/none.sock", f->dir);
  in = topic(host_pool(h, NULL, addr, NULL), "ok");
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "no such socket");
  like(t->detail, "No such file", "says so");

  /* Several addresses: the dead one does not hurt. */
  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s,unix:%s/none.sock", f->unix_addr, f->dir);
  in = topic(host_pool(h, NULL, addr, "keepalive=no", NULL), "ok");
  for (int i = 0; i < 6; i++) is_outcome(one(h, in), PB_ANSWERED, "one of three addresses lives");
  is_int(host_stats(h)->warnings, 2, "each dead address was named once");
  host_free(h, "dead addresses");
}

static void test_full_unix_queue(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct host_inst *in;
  struct host_ticket *full[8];
  char addr[300], path[200];
  int fd, n;

  snprintf(path, sizeof path, "unix:%s/full.sock", f->dir);
  fd = responder_listen(path, 1, NULL);
  snprintf(addr, sizeof addr, "address=%s", path);
  in = topic(host_pool(h, NULL, addr, NULL), "ok");
  for (n = 0; n < 8; n++) {
    full[n] = host_submit(in, "a", 1);
    host_turn(h, 0);
    if (full[n]->completions) break;
  }
  ok(n < 8, "the queue is full at some time");
  if (n < 8) {
    is_outcome(full[n], PB_BUSY, "full listen queue");
    like(full[n]->detail, "listen queue is full", "says so");
  }
  close(fd); /* the waiting ones are reset */
  while (n-- > 0) {
    ok(host_wait(h, full[n], WAIT), "reset in the queue: completed");
    is_outcome(full[n], PB_LOST, "reset in the queue");
  }
  host_free(h, "a full queue");
}

/* A TCP queue that is full does not answer at all. */
static void test_silent_address(void) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct host_inst *in;
  struct host_ticket *t;
  struct full_listener silent;
  char addr[300];

  full_listener_begin(&silent);
  snprintf(addr, sizeof addr, "address=127.0.0.1:%d", silent.port);
  in = topic(host_pool(h, NULL, addr, "connect_timeout=200ms", NULL), "ok");
  t = host_submit(in, "a", 1);
  skip_ms(h, 199);
  is_int(t->completions, 0, "no answer to connect(): that takes its time");
  skip_ms(h, 1);
  is_outcome(t, PB_UNREACHABLE, "connect timeout");
  like(t->detail, "within 200 ms", "says how long");
  t = host_submit(in, "a", 1);
  host_cancel(t);
  ok(host_wait(h, t, 100), "cancelled while connecting: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while connecting");
  /* At the deadline it would be a failed attempt, of a job that nobody has seen. */
  in = topic(host_pool(h, NULL, addr, "connect_timeout=10s", NULL), "ok");
  host_timeout(in, 400);
  t = host_submit(in, "a", 1);
  skip_ms(h, 200);
  is_outcome(t, PB_UNREACHABLE, "connect_timeout is longer than the topic's timeout");
  like(t->detail, "within 200 ms", "half of it, and so before the deadline");
  full_listener_end(&silent);
  host_free(h, "a silent address");
}

/* With another address beside it one request in a while finds out whether it is back. */
static void test_silent_beside_another(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct host_pool *p;
  struct host_inst *in;
  struct host_ticket *t;
  struct full_listener silent;
  char addr[300];

  full_listener_begin(&silent);
  snprintf(addr, sizeof addr, "address=127.0.0.1:%d,%s", silent.port, f->unix_addr);
  p = host_pool(h, NULL, addr, "connect_timeout=1s", "keepalive=no", NULL);
  in = topic(p, "ok");
  t = host_submit(in, "a", 1);
  skip_ms(h, 1000);
  ok(host_wait(h, t, WAIT), "the first one");
  is_outcome(t, PB_ANSWERED, "goes on to the other address");
  for (unsigned round = 0; round < 2; round++) {
    struct host_ticket *probes[6];

    if (round) skip_ms(h, 1050);
    for (int i = 0; i < 6; i++) probes[i] = host_submit(in, "a", 1);
    /* The others are answered while the probe has all the time it wants. */
    ok(host_until(h, one_is_late, probes, WAIT), "five are answered");
    for (int i = 0; i < 6 && !round; i++) host_wait(h, probes[i], WAIT);
    is_int(count_late(probes), round,
           round ? "after a second one is the probe" : "then it is passed over");
    skip_ms(h, 1000);
    for (int i = 0; i < 6; i++) {
      host_wait(h, probes[i], WAIT);
      is_outcome(probes[i], PB_ANSWERED, "and all are answered");
    }
  }
  full_listener_end(&silent);
  host_free(h, "a silent address beside another");
}

static void test_cancel(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&fastcgi, HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, option("address", address), NULL);
  struct host_inst *held = topic(p, "held"), *never = topic(p, "never"), *in;
  struct host_ticket *t, *u;
  unsigned before = served(f);
  const size_t much = 16u << 20; /* more than the kernel takes for one that does not read */
  char *big = calloc(1, much);

  if (!big) bail_out("no memory");
  open_gate(f, false);
  t = host_submit(held, "a", 1);
  until_begun(h, f, before, 1);
  host_cancel(t);
  host_cancel(t);
  for (int i = 0; i < 5; i++) host_turn(h, 5);
  is_int(t->completions, 0, "cancelled: the slot stays taken while the script runs");
  open_gate(f, true);
  ok(host_wait(h, t, WAIT), "and is free when it ends");
  is_outcome(t, PB_TIMEOUT, "cancelled");
  is_str(t->body, "", "its answer is dropped");
  is_outcome(one(h, held), PB_ANSWERED, "the connection is fit for the next");

  before = served(f);
  t = host_submit(never, "a", 1);
  until_begun(h, f, before, 1);
  host_cancel(t);
  host_skip(h, 299000);
  host_turn(h, 5);
  is_int(t->completions, 0, "a child that never answers: taken before hangup_after");
  host_skip(h, 2000);
  host_turn(h, 5);
  ok(host_wait(h, t, 100), "given up after hangup_after");
  is_outcome(t, PB_TIMEOUT, "hung up");
  like(t->detail, "hangup_after (300 s)", "says so");
  host_cancel(t); /* late and stale: no effect */

  in = topic(p, "never-reads");
  before = served(f);
  t = host_submit(in, big, much);
  until_begun(h, f, before, 1);
  host_cancel(t);
  ok(host_wait(h, t, 100), "cancelled while the request is sent: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while sending");

  /* drain() with one running and one cancelled; destroy() before they end. */
  open_gate(f, false);
  before = served(f);
  t = host_submit(held, "a", 1);
  u = host_submit(held, "b", 1);
  until_begun(h, f, before, 2);
  host_cancel(u);
  host_drain(held);
  ok(!host_drained(held), "not drained while requests run");
  open_gate(f, true);
  ok(host_wait(h, t, WAIT) && host_wait(h, u, WAIT), "they end");
  is_outcome(t, PB_ANSWERED, "running during drain");
  ok(host_drained(held), "drained then, once");
  host_destroy(held);

  before = served(f);
  t = host_submit(never, "a", 1);
  u = host_submit(never, "b", 1);
  until_begun(h, f, before, 2);
  host_cancel(u);
  host_drain(never);
  host_destroy(never); /* by force */
  for (int i = 0; i < 3; i++) host_turn(h, 5);
  ok(!t->completions && !u->completions, "nothing is called back after a forced destroy()");
  host_drain(in);
  ok(host_drained(in), "an idle instance is drained at once");
  free(big);
  host_free(h, "cancel");
}

int main(void) {
  struct fixture f;

  fixture_begin(&f);
  test_check();
  test_answers(&f, f.unix_addr);
  test_answers(&f, f.tcp_addr);
  test_bodies(f.unix_addr);
  test_bodies(f.tcp_addr);
  test_keeping(&f, f.unix_addr);
  test_keeping(&f, f.tcp_addr);
  test_dead_addresses(&f);
  test_full_unix_queue(&f);
  test_silent_address();
  test_silent_beside_another(&f);
  test_cancel(&f, f.unix_addr);
  test_cancel(&f, f.tcp_addr);
  fixture_end(&f);
  return done_testing();
}
