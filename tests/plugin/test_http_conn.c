/* The HTTP transport's connections: kept, refused, cancelled, not to be watched. The server
 * misbehaves; names are resolved and bytes sent as the test wishes.
 */
#include "full_listener.h"
#include "http_fixture.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/resource.h>

/* --- a name server that does not answer: libcurl's threads call this one --- */

static struct {
  unsigned asked, unblocked; /* threads that came, and those that would take our signals */
  unsigned gone;             /* threads that did not have to wait any more */
  bool answers;
  unsigned moves; /* questions for the name that may lead elsewhere the next time */
} resolver;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  sigset_t blocked;

  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (name && strcmp(name, "nowhere.invalid") == 0) return EAI_NONAME; /* not the network's word */
  if (name && strcmp(name, "moves.test") == 0) {
    __atomic_add_fetch(&resolver.moves, 1, __ATOMIC_SEQ_CST);
    return real("127.0.0.1", service, hints, ret);
  }
  if (!name || strcmp(name, "slow.test") != 0) return real(name, service, hints, ret);
  pthread_sigmask(SIG_BLOCK, NULL, &blocked);
  if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGCHLD))
    __atomic_add_fetch(&resolver.unblocked, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&resolver.asked, 1, __ATOMIC_SEQ_CST);
  for (int k = 0; k < WAIT && !__atomic_load_n(&resolver.answers, __ATOMIC_SEQ_CST); k++)
    server_sleep(1);
  __atomic_add_fetch(&resolver.gone, 1, __ATOMIC_SEQ_CST);
  return EAI_AGAIN;
}

/* --- an answer that is there when sending returns: libcurl calls this one --- */

static unsigned answer_first_ms; /* so long for the server; 0: as usual */

ssize_t send(int fd, const void *buf, size_t len, int flags) {
  ssize_t (*real)(int, const void *, size_t, int), n;

  *(void **)&real = dlsym(RTLD_NEXT, "send");
  n = real(fd, buf, len, flags);
  if (answer_first_ms) server_sleep(answer_first_ms);
  return n;
}

/* --- connections --- */

/* Until none is kept any more. */
static void until_let_go(struct host *h, struct host_pool *p) {
  uint64_t end = host_now_ms(h) + WAIT;

  while (http_pool_connections(inside(p)) && host_now_ms(h) < end) host_turn(h, 20);
}

static void test_keeping(const char *address) {
  uint64_t inherited[4] = {0};

  for (int fd = 3; fd < 200; fd++)
    if (fcntl(fd, F_GETFD) >= 0) inherited[fd / 64] |= UINT64_C(1) << fd % 64;

  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_with(h, address, "idle_timeout=100ms");
  struct host_inst *in = topic(p, address, "ok");
  unsigned sets;

  one(h, in);
  sets = host_stats(h)->io_sets;
  for (int i = 0; i < 20; i++) one(h, in);
  /* Not one a request; a rare one, when sending did not go in one piece. */
  ok(host_stats(h)->io_sets - sets <= 2, "a kept connection costs no io_set() per request");
  is_int((intmax_t)metric(h, METRIC_OPENED), 1, "one connection");
  is_int((intmax_t)metric(h, METRIC_REUSED), 20, "used again each time");
  is_int(http_pool_connections(inside(p)), 1, "kept");
  until_let_go(h, p);
  is_int(http_pool_connections(inside(p)), 0, "let go after idle_timeout");
  is_int((intmax_t)inside(p)->loop->own_n, 0, "and closed");
  is_outcome(one(h, in), PB_ANSWERED, "and a new one is made");
  for (int fd = 3; fd < 200; fd++) {
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && !(flags & FD_CLOEXEC) && !(inherited[fd / 64] >> fd % 64 & 1))
      fail("descriptor %d is not close-on-exec", fd);
  }
  host_free(h, "keeping");
}

/* The end of a kept connection crosses the next request: libcurl would send it again. */
static void test_crossing_end(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_with(h, address, "idle_timeout=100ms");

  for (int reset = 0; reset < 2; reset++) {
    const char *how = reset ? "second-resets" : "second-closes";

    struct host_inst *in = topic(p, address, how);
    struct host_ticket *t;
    unsigned before;

    until_let_go(h, p);
    before = served(f);
    is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
    t = one(h, in);
    is_outcome(t, PB_LOST, how);
    like(t->detail, "whether the job ran is unknown", "says so");
    is_int(served(f) - before, 2, "%s: it was not sent again", how);
    is_outcome(one(h, in), PB_ANSWERED, "the next one is fine");
  }
  host_free(h, "crossing end");
}

/* A stray answer on a kept connection is not taken for the next one's. */
static void test_stray_answer(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_with(h, address, "idle_timeout=100ms");
  struct host_inst *in = topic(p, address, "twice-late");
  unsigned before;
  double opened;

  for (int i = 0; i < 3; i++) {
    before = strays(f);
    is_str(one(h, in)->body, "fine", "an answer");
    ok(stray_after(f, before), "the stray one is there, but no turn has seen it");
    until_heard(p);
  }
  opened = metric(h, METRIC_OPENED);
  before = strays(f);
  is_str(one(h, in)->body, "fine", "not the stray answer of the request before");
  is_int((intmax_t)(metric(h, METRIC_OPENED) - opened), 1, "on a new connection");
  stray_after(f, before);
  until_heard(p);
  for (int i = 0; i < 10; i++) host_turn(h, 10); /* a turn sees it */
  before = strays(f);
  is_str(one(h, in)->body, "fine", "nor then");
  stray_after(f, before);
  until_heard(p);
  host_free(h, "stray answer");
}

/* The answer is there before anybody waits for it: the new connection is watched all the same. */
static void test_answer_at_once(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_with(h, address, "idle_timeout=100ms");
  struct host_inst *in = topic(p, address, "twice-late");
  unsigned before;

  before = strays(f);
  answer_first_ms = 10;
  is_str(one(h, in)->body, "fine", "an answer that comes at once, on a new connection");
  answer_first_ms = 0;
  stray_after(f, before);
  until_heard(p);
  before = strays(f);
  is_str(one(h, in)->body, "fine", "not the stray answer of the request before");
  stray_after(f, before);
  until_heard(p);
  host_free(h, "answer at once");
}

static void test_closed_while_idle(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_with(h, address, "idle_timeout=100ms");
  struct host_inst *in = topic(p, address, "close-after");
  unsigned before = served(f);

  for (int i = 0; i < 5; i++) {
    is_outcome(one(h, in), PB_ANSWERED, "a server that closes after each answer");
    until_heard(p);
  }
  is_int(served(f) - before, 5, "each was sent once");
  host_free(h, "closed while idle");
}

static void test_many(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_at(h, address);
  struct host_inst *in = topic(p, address, "ok"), *slow = topic(p, address, "sleep");
  struct host_ticket *t[40];
  unsigned before = served(f), wrong = 0;

  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 20; i++) t[i] = host_submit(in, "a=b", 3);
    for (int i = 0; i < 20; i++) host_wait(h, t[i], WAIT);
    for (int i = 0; i < 20; i++) wrong += t[i]->outcome != PB_ANSWERED || t[i]->code != 200;
  }
  is_int(wrong, 0, "20 at a time: all answered");
  is_int(served(f) - before, 400, "each once");
  ok(metric(h, METRIC_OPENED) <= 20, "with 20 connections");
  for (int i = 0; i < 40; i++) t[i] = host_submit(i % 2 ? slow : in, "a=b", 3);
  for (int i = 0; i < 40; i++) {
    host_wait(h, t[i], WAIT);
    wrong += t[i]->outcome != PB_ANSWERED;
  }
  is_int(wrong, 0, "fast and slow ones together");
  host_free(h, "many");
}

static uint64_t real_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Without connect_timeout it would be half of the topic's timeout of a minute. */
#define UNTIMED 25000

/* How long libcurl may take for the connection of the one that runs. */
static uint64_t given_ms(const struct host_inst *in) {
  const struct instance *own = host_plugin_inst(in);

  return own->running ? own->running->connect_ms : 0;
}

static void test_nobody_there(const struct fixture *f) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = host_pool(h, NULL, NULL);
  struct host_ticket *t = one(h, topic(p, "127.0.0.1:1", "ok"));
  struct host_inst *in;
  struct pb_err err;
  char addr[400], health[200];

  is_outcome(t, PB_UNREACHABLE, "refused");
  like(t->detail, "127.0.0.1:1", "names the address");
  like(t->detail, "onnection refused", "and the reason");
  ok(!strstr(t->detail, "msg/reply"), "not the topic: it is said of the whole pool");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  snprintf(addr, sizeof addr, "address=unix:%s/none.sock", f->dir);
  t = one(h, topic(host_pool(h, NULL, addr, NULL), "unix:", "ok"));
  is_outcome(t, PB_UNREACHABLE, "no such socket");
  like(t->detail, "No such file", "says so");

  /* The name is resolved by a thread of libcurl's; .invalid never exists. */
  in = host_topic(p, "msg", "reply", &err, "entry=http://nowhere.invalid/", NULL);
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "no such host");
  like(t->detail, "nowhere.invalid", "names it");
  host_free(h, "nobody there");
}

/* Several addresses: the dead one does not hurt. */
static void test_dead_addresses(const struct fixture *f) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p;
  struct host_ticket *t;
  struct host_inst *in;
  char addr[400], health[200];
  unsigned before;

  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s,unix:%s/none.sock", f->unix_addr, f->dir);
  p = host_pool(h, NULL, addr, "keepalive=no", NULL);
  in = topic(p, "unix:", "dump");
  before = host_stats(h)->warnings;
  for (int i = 0; i < 6; i++) {
    t = one(h, in);
    is_outcome(t, PB_ANSWERED, "one of three addresses lives");
    like(t->body, "\r\nHost: worker.example\r\n", "Host is the URL's");
  }
  is_int(host_stats(h)->warnings - before, 2, "each dead address was named once");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, "2 of 3 addresses", "says how many");
  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s", f->tcp_addr);
  in = topic(host_pool(h, NULL, addr, NULL), "unix:", "dump");
  for (int i = 0; i < 4; i++)
    like(one(h, in)->body, "\r\nHost: worker.example\r\n", "over TCP, Host is the URL's");
  host_free(h, "dead addresses");
}

/* A full listen queue on a unix socket. */
static void test_full_unix_queue(const struct fixture *f) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_ticket *full[8];
  struct host_inst *in;
  char path[200];
  int fd, n;

  snprintf(path, sizeof path, "unix:%s/full.sock", f->dir);
  fd = server_listen(path, 1, NULL);
  in = topic(host_pool(h, NULL, option("address", path), NULL), "unix:", "ok");
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
  unlink(path + strlen("unix:"));
  while (n-- > 0) {
    ok(host_wait(h, full[n], WAIT), "reset in the queue: completed");
    is_outcome(full[n], PB_LOST, "reset in the queue");
  }
  host_free(h, "a full queue");
}

/* Out of descriptors: before the connection, and before it is taken over from libcurl. */
static void test_no_descriptors(const struct fixture *f) {
  struct host *h = tap_host(&http, HOST_REAL);

  for (rlim_t more = 0; more < 2; more++) {
    struct rlimit was, few;
    struct host_ticket *t;
    struct host_inst *in;
    int fd;

    in = topic(host_pool(h, NULL, option("address", f->unix_addr), NULL), "unix:", "ok");
    host_turn(h, 0);
    fd = fcntl(0, F_DUPFD_CLOEXEC, 0); /* the lowest that is free */
    close(fd);
    getrlimit(RLIMIT_NOFILE, &was);
    few = (struct rlimit){(rlim_t)fd + more, was.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    t = one(h, in);
    setrlimit(RLIMIT_NOFILE, &was);
    is_outcome(t, PB_BUSY, "out of descriptors");
    like(t->detail, "Too many open files", "says so");
    is_outcome(one(h, in), PB_ANSWERED, "and goes on when there are some");
    if (by_libcurl) break;
  }
  host_free(h, "no descriptors");
}

/* A TCP queue that is full does not answer at all. */
static void test_silent_address(void) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p;
  struct host_inst *in;
  struct host_ticket *t;
  struct full_listener silent;
  uint64_t began;
  char addr[400];

  full_listener_begin(&silent);
  snprintf(addr, sizeof addr, "127.0.0.1:%d", silent.port);
  p = host_pool(h, NULL, "connect_timeout=200ms", NULL);
  in = topic(p, addr, "ok");
  began = real_ms();
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "connect timeout");
  /* "Timeout was reached", of newer libcurls "Connection timed out after 200 milliseconds". */
  ok(strstr(t->detail, " ms: Timeout") || strstr(t->detail, "timed out after "), "says so: %s",
     t->detail);
  ok(real_ms() - began >= 190 && real_ms() - began < UNTIMED, "took as long");
  t = host_submit(in, "a", 1);
  host_cancel(t);
  ok(host_wait(h, t, 100), "cancelled while connecting: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while connecting");
  /* At the deadline it would be a failed attempt, of a job that nobody has seen. */
  in = topic(host_pool(h, NULL, "connect_timeout=10s", NULL), addr, "ok");
  host_timeout(in, 400);
  t = host_submit(in, "a", 1);
  is_int((intmax_t)given_ms(in), 200, "known before the deadline");
  if (!host_wait(h, t, WAIT)) fail("no completion");
  is_outcome(t, PB_UNREACHABLE, "connect_timeout is longer than the topic's timeout");
  full_listener_end(&silent);
  host_free(h, "a silent address");
}

/* Out of descriptors when a new one is to be watched, while another call of libcurl's goes on. */
static void test_no_descriptor_to_watch(const struct fixture *f) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *both;
  struct host_inst *in;
  struct host_ticket *t;
  struct full_listener silent;
  char addr[400];

  full_listener_begin(&silent);
  snprintf(addr, sizeof addr, "127.0.0.1:%d", silent.port);
  both = host_pool(h, NULL, PATIENT, NULL);
  t = host_submit(topic(both, addr, "ok"), "a", 1);
  host_turn(h, 0);
  in = topic(both, f->tcp_addr, "ok");
  for (int i = 0; i < 2; i++) {
    struct rlimit was, few;
    struct host_ticket *short_of;
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);

    close(lowest);
    getrlimit(RLIMIT_NOFILE, &was);
    few = (struct rlimit){(rlim_t)lowest + 1, was.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    short_of = one(h, in);
    setrlimit(RLIMIT_NOFILE, &was);
    is_outcome(short_of, PB_BUSY, "no descriptor to watch");
    like(short_of->detail, "Too many open files", "says so");
  }
  is_outcome(one(h, in), PB_ANSWERED, "the next one is taken at once");
  ok(!t->completions, "the other one goes on");
  host_cancel(t);
  full_listener_end(&silent);
  host_free(h, "no descriptor to watch");
}

/* One that accepts and never says a word of TLS has been sent nothing of the job. */
static void test_silent_tls(void) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = host_pool(h, NULL, "connect_timeout=200ms", NULL);
  struct host_inst *in;
  struct host_ticket *t;
  struct pb_err err;
  uint64_t began;
  char addr[400];
  int fd, port;

  fd = server_listen("0", 8, &port);
  snprintf(addr, sizeof addr, "entry=https://127.0.0.1:%d/", port);
  in = host_topic(p, "msg", "reply", &err, addr, "verify=no", NULL);
  like(host_last_log(h), "anybody between here and https://127.0.0.1:", "verify = no is warned of");
  began = real_ms();
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "TLS that never comes about");
  ok(real_ms() - began >= 190 && real_ms() - began < UNTIMED, "connect_timeout bounds it too");
  close(fd);
  host_free(h, "silent TLS");
}

static bool resolver_asked(void *arg) {
  return __atomic_load_n(&resolver.asked, __ATOMIC_SEQ_CST) >= *(unsigned *)arg;
}

static bool resolver_is_empty(void *arg) {
  (void)arg;
  return __atomic_load_n(&resolver.gone, __ATOMIC_SEQ_CST) ==
         __atomic_load_n(&resolver.asked, __ATOMIC_SEQ_CST);
}

/* @case L13: connections to a name do not outlive connection_max_age, others stay */
static void test_age(const char *address) {
  char named[64];
  const char *at[] = {named, address};

  snprintf(named, sizeof named, "moves.test%s", strchr(address, ':'));
  for (int numeric = 0; numeric < 2; numeric++) {
    struct host *h = tap_host(&http, HOST_VIRTUAL);
    char *address_key = option("address", at[numeric]);
    struct host_pool *p = host_pool(h, NULL, PATIENT, address_key, "idle_timeout=10m",
                                    "connection_max_age=10s", NULL);
    struct host_inst *in = topic(p, address, "ok");
    unsigned before = __atomic_load_n(&resolver.moves, __ATOMIC_SEQ_CST);

    for (int i = 0; i < 3; i++) is_outcome(one(h, in), PB_ANSWERED, "young");
    is_int((intmax_t)metric(h, METRIC_OPENED), 1, "one connection");
    host_skip(h, 11000);
    for (int i = 0; i < 3; i++) is_outcome(one(h, in), PB_ANSWERED, "later");
    is_int((intmax_t)metric(h, METRIC_OPENED), numeric ? 1 : 2, "%s",
           numeric ? "numeric: the connection stays" : "named: there is a new one");
    is_int(__atomic_load_n(&resolver.moves, __ATOMIC_SEQ_CST) - before, numeric ? 0 : 2,
           "and the name was looked up once more, if there is one");
    host_free(h, "age");
  }
}

/* Nothing may wait for the name server: not the timeout, not cancel(), not destroy(). */
static void test_resolver(void) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_inst *in =
      topic(host_pool(h, NULL, "connect_timeout=300ms", NULL), "slow.test", "ok");
  unsigned want = __atomic_load_n(&resolver.asked, __ATOMIC_SEQ_CST) + 1, gone;
  struct host_ticket *t;

  __atomic_store_n(&resolver.answers, false, __ATOMIC_SEQ_CST);
  gone = __atomic_load_n(&resolver.gone, __ATOMIC_SEQ_CST);
  t = host_submit(in, "a", 1);
  ok(host_wait(h, t, WAIT), "a name server that does not answer");
  is_int(__atomic_load_n(&resolver.gone, __ATOMIC_SEQ_CST), gone,
         "is not waited for beyond connect_timeout");
  is_outcome(t, PB_UNREACHABLE, "connect_timeout");
  like(t->detail, "slow.test", "names the host");
  ok(host_until(h, resolver_asked, &want, WAIT), "it was asked");
  in = topic(host_pool(h, NULL, PATIENT, NULL), "slow.test", "ok");
  t = host_submit(in, "a", 1);
  want++;
  ok(host_until(h, resolver_asked, &want, WAIT), "asked again");
  host_cancel(t);
  ok(host_wait(h, t, WAIT), "cancelled meanwhile");
  is_outcome(t, PB_TIMEOUT, "cancelled meanwhile");
  t = host_submit(in, "a", 1);
  want++;
  ok(host_until(h, resolver_asked, &want, WAIT), "and again");
  host_drain(in);
  host_destroy(in);
  is_int(__atomic_load_n(&resolver.gone, __ATOMIC_SEQ_CST), gone,
         "neither cancel() nor destroy() waits for it");
  is_int(resolver.unblocked, 0, "the threads have all signals blocked");
  __atomic_store_n(&resolver.answers, true, __ATOMIC_SEQ_CST);
  /* Or they would close descriptors in the middle of what follows. */
  ok(host_until(h, resolver_is_empty, NULL, WAIT), "they end when they can");
  host_free(h, "resolver");
}

static void test_cancel(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p = pool_at(h, address);
  struct host_inst *held = topic(p, address, "held"), *never = topic(p, address, "hang"), *in;
  struct host_ticket *t, *u;
  unsigned before = served(f);
  char *big = calloc(1, 8u << 20);

  if (!big) bail_out("no memory");
  open_gate(f, false);
  t = host_submit(held, "a", 1);
  until_begun(h, f, before, 1);
  host_cancel(t);
  host_cancel(t);
  for (int i = 0; i < 5; i++) host_turn(h, 5);
  is_int(t->completions, 0, "cancelled: the slot stays taken while the worker runs");
  open_gate(f, true);
  ok(host_wait(h, t, WAIT), "and is free when it ends");
  is_outcome(t, PB_TIMEOUT, "cancelled");
  is_str(t->body, "", "its answer is dropped");
  is_outcome(one(h, held), PB_ANSWERED, "the connection is fit for the next");

  for (int header = 0; header < 2; header++) {
    in = header ? topic(p, address, "hang-header") : never;
    before = served(f);
    t = host_submit(in, "a", 1);
    until_begun(h, f, before, 1);
    for (int i = 0; i < 5; i++) host_turn(h, 10);
    host_cancel(t);
    host_skip(h, 59000);
    host_turn(h, 5);
    is_int(t->completions, 0, "a worker that never answers: taken before hangup_after");
    host_skip(h, 2000);
    host_turn(h, 5);
    ok(host_wait(h, t, 100), "given up after hangup_after");
    is_outcome(t, PB_TIMEOUT, "hung up");
    like(t->detail, "hangup_after (60 s)", "says so");
    host_cancel(t); /* late and stale: no effect */
  }

  in = topic(p, address, "never-reads");
  before = served(f);
  t = host_submit(in, big, 8u << 20);
  until_begun(h, f, before, 1);
  host_cancel(t);
  host_skip(h, 61000);
  host_turn(h, 5);
  ok(host_wait(h, t, 100), "cancelled while the request is sent");
  is_outcome(t, PB_TIMEOUT, "cancelled while sending");

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

/* --- a host that does not watch --- */

static struct {
  const struct pb_host *real;
  unsigned left; /* calls until one is refused; 0: none is */
} watching;

static int refusing_io_set(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg) {
  if (watching.left && --watching.left == 0) {
    watching.real->io_del(o, fd);
    return -ENOMEM;
  }
  return watching.real->io_set(o, fd, events, cb, arg);
}

/* What was sent, if only in part, is lost; nothing waits for ever. */
static void test_unwatched(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_at(h, address);
  struct http_conns *conns = inside(p)->conns;
  struct host_inst *in = topic(p, address, "echo");
  struct pb_host host = *conns->h;
  char *big = calloc(1, 8u << 20);
  unsigned before;

  if (!big) bail_out("no memory");
  watching.real = conns->h;
  host.io_set = refusing_io_set;
  conns->h = &host;
  for (unsigned nth = 1; nth <= 2; nth++)
    for (int kept = 0; kept < 2; kept++) {
      struct host_ticket *t;

      if (kept) is_outcome(one(h, in), PB_ANSWERED, "one that leaves a connection");
      before = served(f);
      watching.left = nth;
      t = host_submit(in, big, 8u << 20);
      ok(host_wait(h, t, WAIT), "not watched, call %u, %s: completed", nth, kept ? "kept" : "new");
      /* A kept one whose peer reads as fast as it is written to needs no call, and the second call
       * is for the answer, which may be there before. */
      ok(t->outcome == PB_LOST || ((watching.left || nth == 2) && t->outcome == PB_ANSWERED),
         "a part was sent: %s", host_outcome(t->outcome));
      more_than(f, SERVER_SERVED, before);
      is_int(served(f) - before, 1, "and not sent again");
      watching.left = 0;
      is_outcome(one(h, in), PB_ANSWERED, "the next one");
    }
  watching.left = 1;
  is_outcome(one(h, topic(p, address, "bye")), PB_ANSWERED, "needs no call: it is watched already");
  before = served(f);
  watching.left = 1;
  is_outcome(one(h, topic(p, address, "ok")), PB_LOST, "a small one on a new connection");
  more_than(f, SERVER_SERVED, before);
  watching.left = 0;
  free(big);
  host_free(h, "unwatched");
}

int main(void) {
  struct fixture f;

  fixture_begin(&f);
  test_unwatched(&f, f.unix_addr);
  test_unwatched(&f, f.tcp_addr);
  for (int way = 0; way < 2; way++) {
    by_libcurl = way;
    diag("requests by %s", by_libcurl ? "libcurl" : "http_conn");
    for (int tcp = 0; tcp < 2; tcp++) {
      const char *address = tcp ? f.tcp_addr : f.unix_addr;

      test_keeping(address);
      test_crossing_end(&f, address);
      test_stray_answer(&f, address);
      test_answer_at_once(&f, address);
      test_closed_while_idle(&f, address);
      test_many(&f, address);
    }
    test_nobody_there(&f);
    test_dead_addresses(&f);
    test_full_unix_queue(&f);
    test_no_descriptors(&f);
    test_silent_address();
    test_no_descriptor_to_watch(&f);
    test_silent_tls();
    test_resolver();
    if (!by_libcurl) test_age(f.tcp_addr);
    test_cancel(&f, f.unix_addr);
    test_cancel(&f, f.tcp_addr);
  }
  fixture_end(&f);
  return done_testing();
}
