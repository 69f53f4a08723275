/* The FastCGI transport against a responder that misbehaves, and against a real php-fpm.
 * Built from this file and harness.c alone: the plugin and the responder are included.
 *
 * With an argument, `test_fastcgi bench [seconds]` measures instead (see bench()).
 */
#include "../../plugins/fastcgi/fcgi_proto.c"
#include "../../plugins/fastcgi/fcgi_conn.c"
#include "../../plugins/fastcgi/fcgi_pool.c"
#include "../../plugins/fastcgi/fastcgi.c"
#define FCGI_RESPONDER_NO_MAIN
#include "../fake/fcgi_responder.c"

#include "../tap.h"
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What all tests need. */
struct fixture {
  char dir[64];
  unsigned *served; /* shared with the responder's processes */
  pid_t responder;
  char unix_addr[120], tcp_addr[64];
};

static void sleep_ms(unsigned ms) {
  responder_sleep(ms);
}

static uint64_t clock_now_us(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void fixture_begin(struct fixture *f) {
  int unix_fd, tcp_fd, port = 0;
  const char *tmp = getenv("TMPDIR");

  snprintf(f->dir, sizeof f->dir, "%.40s/pbfcgi.XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(f->dir)) bail_out("mkdtemp: %s", strerror(errno));
  chmod(f->dir, 0755);
  f->served = mmap(NULL, sizeof *f->served, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
  if (f->served == MAP_FAILED) bail_out("mmap: %s", strerror(errno));
  snprintf(f->unix_addr, sizeof f->unix_addr, "unix:%s/r.sock", f->dir);
  unix_fd = responder_listen(f->unix_addr, 64, NULL);
  tcp_fd = responder_listen("0", 64, &port);
  if (unix_fd < 0 || tcp_fd < 0) bail_out("listen: %s", strerror(errno));
  snprintf(f->tcp_addr, sizeof f->tcp_addr, "127.0.0.1:%d", port);
  f->responder = fork();
  if (f->responder == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      responder_serve(unix_fd, f->served);
    }
    responder_serve(tcp_fd, f->served);
  }
  close(unix_fd);
  close(tcp_fd);
}

static void fixture_end(struct fixture *f) {
  DIR *d = opendir(f->dir);
  struct dirent *e;
  char path[400];

  kill(f->responder, SIGKILL);
  waitpid(f->responder, NULL, 0);
  while (d && (e = readdir(d)) != NULL) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
    unlink(path);
  }
  if (d) closedir(d);
  rmdir(f->dir);
}

static unsigned served(const struct fixture *f) {
  return __atomic_load_n(f->served, __ATOMIC_SEQ_CST);
}

static char *option(const char *name, const char *value) {
  static char text[8][400];
  static unsigned at;
  char *out = text[at++ % 8];

  snprintf(out, sizeof text[0], "%s=%s", name, value);
  return out;
}

static struct harness_inst *topic(struct harness_pool *p, const char *script) {
  struct pb_err err;
  char entry[300];

  snprintf(entry, sizeof entry, "%s%s", script[0] == '/' ? "" : "/w/", script);
  struct harness_inst *in = harness_topic(p, "msg", "reply", &err, option("entry", entry), NULL);

  if (!in) bail_out("create: %s", err.text);
  return in;
}

/* One request to its end. */
static struct harness_ticket *one(struct harness *h, struct harness_inst *in) {
  struct harness_ticket *t = harness_submit(in, "jobs=%5B%5D", 11);

  if (!t) bail_out("submit refused");
  if (!harness_wait(h, t, 8000)) fail("no completion within 8 s");
  return t;
}

static void is_outcome(const struct harness_ticket *t, uint32_t want, const char *what) {
  if (!is_str(harness_outcome(t->outcome), harness_outcome(want), "%s: outcome", what))
    diag("code %d, detail: %s", t->code, t->detail);
}

/* The plugin is included, so a test may look into it. */
static const struct fcgi_conn *idle_conn(const struct harness_pool *p) {
  const struct pool *pool = harness_plugin_pool(p);

  return pool->conns->idle;
}

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
      {false, "entry=worker.php", "relative"},
      {false, "entry=", "missing"},
      {false, "entry=/srv/app/", "directory"},
  };
  static const char *const good[] = {"address=127.0.0.1:9000", "address=localhost:9000",
                                     "address=[::1]:9000", "address=unix:/run/php/fpm.sock",
                                     "address=127.0.0.1:1,unix:/a"};
  struct harness *h = harness_new(&fastcgi, HARNESS_VIRTUAL);
  struct pb_err err;
  char longest[200];

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    is_int(harness_check(h, bad[i].pool, &err, bad[i].pair, NULL), -EINVAL, "refuses %s",
           bad[i].pair);
    like(err.text, bad[i].text, "says why");
    is_str(err.option, bad[i].pool ? "address" : "entry", "names the key");
  }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    is_int(harness_check(h, true, &err, good[i], NULL), 0, "takes %s", good[i]);
  is_int(harness_check(h, false, &err, "entry=/srv/app/W.php", NULL), 0, "takes an entry");
  memset(longest, 'x', sizeof longest);
  memcpy(longest, "address=unix:/", 14);
  longest[sizeof longest - 1] = 0;
  is_int(harness_check(h, true, &err, longest, NULL), -EINVAL, "refuses a socket path too long");
  ok(!harness_pool(h, &err, NULL), "no pool without an address");
  like(err.text, "needs a pool", "and says what to add");
  harness_free(h, "check");
}

/* --- what the other side may do --- */

struct expectation {
  const char *script;
  uint32_t outcome;
  int code;
  const char *body, *detail; /* detail: a part of it */
};

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
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), "max_response=1mb",
                                        "idle_timeout=2s", NULL);
  struct harness_inst *good = topic(p, "ok");

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct harness_inst *in = topic(p, e->script);
    unsigned before = served(f);

    for (int again = 0; again < 2; again++) {
      struct harness_ticket *t = one(h, in);

      is_outcome(t, e->outcome, e->script);
      is_int(t->code, e->code, "%s: code", e->script);
      is_str(t->body, e->body, "%s: body", e->script);
      if (e->detail)
        like(t->detail, e->detail, "%s: detail", e->script);
      else
        is_str(t->detail, "", "%s: no detail", e->script);
      if (strcmp(e->script, "early") == 0 || strcmp(e->script, "close-after") == 0)
        sleep_ms(10); /* or the next request crosses the reset, and nobody can tell */
      if (e->outcome != PB_ANSWERED) like(t->detail, address, "%s: names the peer", e->script);
      is_outcome(one(h, good), PB_ANSWERED, "the next request is not touched");
    }
    is_int(served(f) - before, 4, "%s: nothing was sent twice", e->script);
  }
  harness_free(h, "answers");
}

/* How the body of `len` bytes looks to the responder. */
static void expect_echo(char *out, size_t cap, const char *body, size_t len) {
  unsigned long sum = 0;

  for (size_t i = 0; i < len; i++) sum = sum * 31 + (unsigned char)body[i];
  snprintf(out, cap, "%zu %zu %lu", len, len, sum);
}

static void test_bodies(const char *address) {
  static const size_t sizes[] = {1,      65527,  65528,  65529,   65535,
                                 65536,  131055, 131056, 131057,  1u << 20,
                                 393168, 8u << 20};
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), "idle_timeout=2s",
                                        NULL);
  struct harness_inst *in = topic(p, "echo");
  char *body = malloc(8u << 20), want[100];

  if (!body) bail_out("no memory");
  for (size_t i = 0; i < 8u << 20; i++) body[i] = (char)('a' + i * 7 % 26 + i / 65528 % 5);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct harness_ticket *t = harness_submit(in, body, sizes[i]);

    expect_echo(want, sizeof want, body, sizes[i]);
    ok(harness_wait(h, t, 8000), "%zu bytes: completed", sizes[i]);
    is_str(t->body, want, "%zu bytes arrive as they were", sizes[i]);
  }
  free(body);
  harness_free(h, "bodies");
}

static void test_keeping(const struct fixture *f, const char *address) {
  struct harness *h = harness_new(&fastcgi, HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), NULL);
  struct harness_inst *in = topic(p, "ok");
  unsigned sets, before;

  one(h, in);
  sets = harness_stats(h)->io_sets;
  for (int i = 0; i < 20; i++) one(h, in);
  is_int(harness_stats(h)->io_sets - sets, 0, "a kept connection costs no io_set() per request");
  ok(idle_conn(p)->reused, "it is the same connection");
  harness_skip(h, 4);
  harness_turn(h, 0);
  ok(idle_conn(p) != NULL, "kept for idle_timeout");
  harness_skip(h, 2);
  harness_turn(h, 0);
  ok(!idle_conn(p), "then let go");
  is_outcome(one(h, in), PB_ANSWERED, "and a new one is made");

  /* pm.max_requests: the next request crosses the end of the connection. */
  in = topic(p, "max-requests-php");
  before = served(f);
  for (int i = 0; i < 6; i++) is_outcome(one(h, in), PB_ANSWERED, "crossing max_requests");
  is_int(served(f) - before, 6, "each was read once");

  /* The same from a server that does not say it is PHP: it may have read the request. */
  in = topic(p, "max-requests");
  harness_skip(h, 10);
  harness_turn(h, 0);
  before = served(f);
  is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
  is_outcome(one(h, in), PB_ANSWERED, "second on a connection");
  is_outcome(one(h, in), PB_LOST, "closed by an unknown server after a whole request");
  is_int(served(f) - before, 2, "it was not sent again");

  /* Killed while the second script runs: a reset, so nobody knows, so it is not sent again. */
  in = topic(p, "second-unread");
  harness_skip(h, 10);
  harness_turn(h, 0);
  before = served(f);
  is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
  is_outcome(one(h, in), PB_LOST, "reset after a whole request on a kept connection");
  is_int(served(f) - before, 2, "it was not sent again");
  harness_free(h, "keeping");

  h = harness_new(&fastcgi, HARNESS_VIRTUAL);
  p = harness_pool(h, NULL, option("address", address), "keepalive=no", NULL);
  in = topic(p, "ok");
  for (int i = 0; i < 3; i++) is_outcome(one(h, in), PB_ANSWERED, "without keepalive");
  ok(!idle_conn(p), "without keepalive nothing is kept");
  harness_free(h, "no keepalive");
}

static void test_unreachable(const struct fixture *f) {
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  char addr[300], path[200];
  struct harness_pool *p = harness_pool(h, NULL, "address=127.0.0.1:1", NULL);
  struct harness_inst *in = topic(p, "ok");
  struct harness_ticket *t = one(h, in), *full[8];
  int fd, port, n = 0, fill[8];
  uint64_t began;

  is_outcome(t, PB_UNREACHABLE, "refused");
  like(t->detail, "127.0.0.1:1: Connection refused", "names address and reason");
  like(t->detail, "msg/reply", "names the topic");
  snprintf(addr, sizeof addr, "address=unix:%s/none.sock", f->dir);
  in = topic(harness_pool(h, NULL, addr, NULL), "ok");
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "no such socket");
  like(t->detail, "No such file", "says so");

  /* Several addresses: the dead one does not hurt. */
  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s,unix:%s/none.sock", f->unix_addr, f->dir);
  in = topic(harness_pool(h, NULL, addr, "keepalive=no", NULL), "ok");
  for (int i = 0; i < 6; i++) is_outcome(one(h, in), PB_ANSWERED, "one of three addresses lives");
  is_int(harness_stats(h)->warnings, 2, "each dead address was named once");

  /* A full listen queue on a unix socket. */
  snprintf(path, sizeof path, "unix:%s/full.sock", f->dir);
  fd = responder_listen(path, 1, NULL);
  snprintf(addr, sizeof addr, "address=%s", path);
  in = topic(harness_pool(h, NULL, addr, NULL), "ok");
  for (n = 0; n < 8; n++) {
    full[n] = harness_submit(in, "a", 1);
    harness_turn(h, 0);
    if (full[n]->completions) break;
  }
  ok(n < 8, "the queue is full at some time");
  if (n < 8) {
    is_outcome(full[n], PB_BUSY, "full listen queue");
    like(full[n]->detail, "listen queue is full", "says so");
  }
  close(fd); /* the waiting ones are reset */
  while (n-- > 0) {
    ok(harness_wait(h, full[n], 2000), "reset in the queue: completed");
    is_outcome(full[n], PB_LOST, "reset in the queue");
  }

  /* A TCP queue that is full does not answer at all. */
  fd = responder_listen("0", 0, &port);
  for (int i = 0; i < 8; i++) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)!connect(fill[i], (struct sockaddr *)&to, sizeof to);
  }
  sleep_ms(20);
  snprintf(addr, sizeof addr, "address=127.0.0.1:%d", port);
  in = topic(harness_pool(h, NULL, addr, "connect_timeout=200ms", NULL), "ok");
  began = harness_now_ms(h);
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "connect timeout");
  like(t->detail, "within 200 ms", "says how long");
  ok(harness_now_ms(h) - began >= 190 && harness_now_ms(h) - began < 1500, "took as long");
  t = harness_submit(in, "a", 1);
  harness_cancel(t);
  ok(harness_wait(h, t, 100), "cancelled while connecting: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while connecting");
  for (int i = 0; i < 8; i++) close(fill[i]);
  close(fd);
  harness_free(h, "unreachable");
}

static void test_cancel(const char *address) {
  struct harness *h = harness_new(&fastcgi, HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), NULL);
  struct harness_inst *sleepy = topic(p, "sleep"), *never = topic(p, "never"), *in;
  struct harness_ticket *t = harness_submit(sleepy, "a", 1), *u;
  char *big = calloc(1, 4u << 20);

  if (!big) bail_out("no memory");
  harness_turn(h, 20);
  harness_cancel(t);
  harness_cancel(t);
  for (int i = 0; i < 5; i++) harness_turn(h, 5);
  is_int(t->completions, 0, "cancelled: the slot stays taken while the script runs");
  ok(harness_wait(h, t, 2000), "and is free when it ends");
  is_outcome(t, PB_TIMEOUT, "cancelled");
  is_str(t->body, "", "its answer is dropped");
  is_outcome(one(h, sleepy), PB_ANSWERED, "the connection is fit for the next");

  t = harness_submit(never, "a", 1);
  harness_turn(h, 20);
  harness_cancel(t);
  harness_skip(h, 299000);
  harness_turn(h, 5);
  is_int(t->completions, 0, "a child that never answers: taken before hangup_after");
  harness_skip(h, 2000);
  harness_turn(h, 5);
  ok(harness_wait(h, t, 100), "given up after hangup_after");
  is_outcome(t, PB_TIMEOUT, "hung up");
  like(t->detail, "hangup_after (300 s)", "says so");
  harness_cancel(t); /* late and stale: no effect */

  in = topic(p, "never-reads");
  t = harness_submit(in, big, 4u << 20);
  harness_turn(h, 20);
  harness_cancel(t);
  ok(harness_wait(h, t, 100), "cancelled while the request is sent: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while sending");

  /* drain() with one running and one cancelled; destroy() before they end. */
  t = harness_submit(sleepy, "a", 1);
  u = harness_submit(sleepy, "b", 1);
  harness_turn(h, 5);
  harness_cancel(u);
  harness_drain(sleepy);
  ok(!harness_drained(sleepy), "not drained while requests run");
  ok(harness_wait(h, t, 3000) && harness_wait(h, u, 3000), "they end");
  is_outcome(t, PB_ANSWERED, "running during drain");
  ok(harness_drained(sleepy), "drained then, once");
  harness_destroy(sleepy);

  t = harness_submit(never, "a", 1);
  u = harness_submit(never, "b", 1);
  harness_turn(h, 5);
  harness_cancel(u);
  harness_drain(never);
  harness_destroy(never); /* by force */
  for (int i = 0; i < 3; i++) harness_turn(h, 5);
  ok(!t->completions && !u->completions, "nothing is called back after a forced destroy()");
  harness_drain(in);
  ok(harness_drained(in), "an idle instance is drained at once");
  free(big);
  harness_free(h, "cancel");
}

/* --- a real php-fpm --- */

struct fpm {
  const struct fixture *f;
  pid_t pid;
  char address[210], conf[200];
};

static void put_file(const struct fixture *f, const char *name, const char *text) {
  char path[200];
  FILE *out;

  snprintf(path, sizeof path, "%s/%s", f->dir, name);
  out = fopen(path, "w");
  if (!out || fputs(text, out) < 0 || fclose(out) != 0) bail_out("%s: %s", path, strerror(errno));
}

static const char *fpm_find(void) {
  static const char *const where[] = {"/usr/sbin/php-fpm8.2", "/usr/sbin/php-fpm8.3",
                                      "/usr/sbin/php-fpm8.4", "/usr/sbin/php-fpm",
                                      "/usr/local/sbin/php-fpm"};
  const char *path = getenv("PHP_FPM");

  if (path) return path;
  for (size_t i = 0; i < sizeof where / sizeof *where; i++)
    if (access(where[i], X_OK) == 0) return where[i];
  return NULL;
}

static bool fpm_listens(const char *address) {
  struct pb_err err;
  struct fcgi_addr a;
  int fd, rc;

  if (fcgi_addr_parse(&a, address, &err) < 0) return false;
  fd = socket(a.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rc = connect(fd, (struct sockaddr *)&a.sa, a.len);
  close(fd);
  return rc == 0;
}

static void fpm_start(struct fpm *m, const struct fixture *f, bool tcp, int children,
                      const char *extra) {
  char text[1500], listen[200];
  int port, fd, waited = 0;

  m->f = f;
  if (tcp) {
    fd = responder_listen("0", 1, &port); /* a free port */
    close(fd);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    snprintf(m->address, sizeof m->address, "%s", listen);
  } else {
    snprintf(listen, sizeof listen, "%s/fpm.sock", f->dir);
    snprintf(m->address, sizeof m->address, "unix:%s", listen);
  }
  snprintf(m->conf, sizeof m->conf, "%s/fpm.conf", f->dir);
  snprintf(text, sizeof text,
           "[global]\nerror_log = %s/fpm.log\ndaemonize = no\n"
           "[www]\n%slisten = %s\npm = static\npm.max_children = %d\n"
           "php_admin_value[error_log] =\nphp_admin_flag[log_errors] = on\n"
           "php_admin_flag[display_errors] = on\nphp_admin_flag[html_errors] = off\n"
           "php_admin_value[output_buffering] = 0\n%s\n",
           f->dir, getuid() == 0 ? "user = root\ngroup = root\n" : "", listen, children,
           extra ? extra : "");
  put_file(f, "fpm.conf", text);
  m->pid = fork();
  if (m->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = open("/dev/null", O_RDWR);
    dup2(fd, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(fpm_find(), fpm_find(), "-F", "-R", "-y", m->conf, (char *)NULL);
    _exit(127);
  }
  while (!fpm_listens(m->address)) {
    if (++waited > 500) bail_out("php-fpm does not listen; see its log");
    sleep_ms(10);
  }
}

static void fpm_stop(struct fpm *m) {
  kill(m->pid, SIGTERM);
  waitpid(m->pid, NULL, 0);
}

static struct harness_inst *php(struct harness_pool *p, const struct fixture *f,
                                const char *script) {
  char entry[200];

  snprintf(entry, sizeof entry, "%s/%s", f->dir, script);
  return topic(p, entry);
}

static void put_scripts(const struct fixture *f) {
  char text[600];

  put_file(f, "ok.php", "<?php header('Code: 200'); echo 'fine';");
  put_file(f, "ping.php",
           "<?php header('Code: 200'); header('Consume-Topics: a/b,msg/reply');"
           "header('Error-Code: 42'); echo $_POST['type'], ' ', "
           "$_SERVER['HTTP_X_PEPPERBUS_TRACE'] ?? '?', ' ', "
           "$_SERVER['HTTP_IS_PEPPER_BUS_REQUEST'] ?? '?';");
  put_file(f, "fatal.php", "<?php call_me_not();");
  put_file(f, "exit.php", "<?php exit(3);");
  put_file(f, "before.php", "<?php echo 'too soon'; flush(); header('Code: 200');");
  put_file(f, "warn.php", "<?php header('Code: 200'); echo $undefined; echo 'fine';");
  put_file(f, "stderr.php", "<?php error_log('some trouble'); header('Code: 200');");
  put_file(f, "kill.php", "<?php posix_kill(getmypid(), 9); sleep(1);");
  put_file(f, "sleep.php", "<?php usleep(400000); header('Code: 200'); echo 'slept';");
  put_file(f, "size.php", "<?php header('Code: 200'); echo strlen($_POST['jobs'] ?? '');");
  snprintf(text, sizeof text,
           "<?php file_put_contents('%s/ledger', $_POST['id'] . ' ' . getmypid() . \"\\n\", "
           "FILE_APPEND); usleep(rand(0, 3000)); header('Code: 200'); echo $_POST['id'];",
           f->dir);
  put_file(f, "ledger.php", text);
}

static void test_php(const struct fixture *f, bool tcp) {
  static const struct expectation all[] = {
      {"ok.php", PB_ANSWERED, 200, "fine", NULL},
      {"none.php", PB_ANSWERED, 0, "File not found.\n", "has no script"},
      {"fatal.php", PB_ANSWERED, 0, NULL, "undefined function call_me_not"},
      {"exit.php", PB_ANSWERED, 0, "", "no Code header"},
      {"before.php", PB_ANSWERED, 0, NULL, "Its output begins: too soon"},
      {"stderr.php", PB_ANSWERED, 200, "", "some trouble"},
      {"kill.php", PB_LOST, 0, "", "was the worker killed"},
  };
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct fpm m;
  struct harness_pool *p;
  struct harness_inst *good;
  struct harness_ticket *t;
  char *big = malloc(7u << 20);

  if (!big) bail_out("no memory");
  fpm_start(&m, f, tcp, 2, NULL);
  p = harness_pool(h, NULL, option("address", m.address), NULL);
  good = php(p, f, "ok.php");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct harness_inst *in = php(p, f, e->script);

    for (int again = 0; again < 2; again++) {
      t = one(h, in);
      is_outcome(t, e->outcome, e->script);
      is_int(t->code, e->code, "%s: code", e->script);
      if (e->body) is_str(t->body, e->body, "%s: body", e->script);
      if (e->detail) like(t->detail, e->detail, "%s: detail", e->script);
      is_outcome(one(h, good), PB_ANSWERED, "the next request is not touched");
    }
  }
  t = one(h, php(p, f, "warn.php"));
  is_int(t->code, 200, "a warning in the body does not hide the verdict");
  like(t->body, "Undefined variable", "the warning is in the body");
  t = harness_submit(php(p, f, "ping.php"), NULL, 0);
  ok(harness_wait(h, t, 5000), "ping");
  is_str(t->topics, "a/b,msg/reply", "Consume-Topics");
  is_str(t->error_code, "42", "Error-Code");
  like(t->body, "ping ", "the form arrives");
  like(t->body, "-2130706433-12017 true", "trace and marker arrive as headers");
  memset(big, 'j', 7u << 20);
  memcpy(big, "jobs=", 5);
  t = harness_submit(php(p, f, "size.php"), big, 7u << 20);
  ok(harness_wait(h, t, 8000), "7 MB body");
  is_str(t->body, "7340027", "7 MB arrive");
  free(big);
  harness_free(h, "php-fpm");
  fpm_stop(&m);
}

/* Keeps `window` requests of ledger.php running and notes how each ended. */
struct load {
  struct harness_inst *in;
  unsigned next, total, running, ended;
  unsigned by_outcome[PB_REFUSED + 1];
  uint8_t outcome[20000];
  unsigned window;
};

static void load_submit(struct load *l) {
  char form[40];
  int n = snprintf(form, sizeof form, "type=data&id=%u", l->next);

  if (!harness_submit(l->in, form, (size_t)n)) bail_out("submit refused");
  l->next++;
  l->running++;
}

static void load_ended(struct harness_ticket *t, void *arg) {
  struct load *l = arg;
  /* Ticket ids count from the first one of this harness, which made nothing before. */
  unsigned id = (unsigned)t->id - 1;

  l->running--;
  l->ended++;
  l->by_outcome[t->outcome]++;
  if (t->outcome == PB_ANSWERED && t->code == 200 && (unsigned)atoi(t->body) != id)
    fail("request %u got the answer of %s", id, t->body);
  if (t->outcome == PB_ANSWERED && t->code != 200) diag("%u: %s", id, t->detail);
  l->outcome[id] = (uint8_t)t->outcome;
  /* A worker that is away: the core would slow down; here the next turn tries again. */
  if (l->next < l->total) load_submit(l);
}

static bool load_is_over(void *arg) {
  const struct load *l = arg;

  return l->ended == l->total;
}

static void load_begin(struct load *l, struct harness *h, struct harness_inst *in,
                       unsigned window, unsigned total) {
  *l = (struct load){.in = in, .window = window, .total = total};
  harness_on_complete(h, load_ended, l);
  for (unsigned i = 0; i < window; i++) load_submit(l);
}

/* Compares the notes of both sides: nothing run twice, nothing answered that did not run. */
static void load_compare(const struct load *l, const struct fixture *f, const char *what) {
  unsigned id, pid, runs[sizeof l->outcome] = {0}, twice = 0, never = 0, ghosts = 0;
  char path[200];
  FILE *in;

  snprintf(path, sizeof path, "%s/ledger", f->dir);
  in = fopen(path, "r");
  while (in && fscanf(in, "%u %u", &id, &pid) == 2)
    if (id < l->total) runs[id]++;
  if (in) fclose(in);
  unlink(path);
  for (unsigned i = 0; i < l->total; i++) {
    if (runs[i] > 1) twice++;
    if (l->outcome[i] == PB_ANSWERED && !runs[i]) never++;
    if ((l->outcome[i] == PB_UNREACHABLE || l->outcome[i] == PB_BUSY) && runs[i]) ghosts++;
  }
  is_int(twice, 0, "%s: no job ran twice", what);
  is_int(never, 0, "%s: what was answered ran", what);
  is_int(ghosts, 0, "%s: what never reached a worker did not run", what);
  diag("%s: %u answered, %u lost, %u unreachable, %u busy", what, l->by_outcome[PB_ANSWERED],
       l->by_outcome[PB_LOST], l->by_outcome[PB_UNREACHABLE], l->by_outcome[PB_BUSY]);
}

static void test_php_max_requests(const struct fixture *f, bool tcp) {
  static struct load l;
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct fpm m;

  fpm_start(&m, f, tcp, 2, "pm.max_requests = 3\n");
  load_begin(&l, h,
             php(harness_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 2,
             50);
  ok(harness_until(h, load_is_over, &l, 15000), "50 requests with pm.max_requests = 3 end");
  is_int(l.by_outcome[PB_ANSWERED], 50, "all are answered");
  load_compare(&l, f, "pm.max_requests");
  harness_free(h, "pm.max_requests");
  fpm_stop(&m);
}

static void test_php_reload(const struct fixture *f, bool tcp) {
  static struct load l;
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct fpm m;

  fpm_start(&m, f, tcp, 4, "pm.max_requests = 50\n");
  load_begin(&l, h,
             php(harness_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 4,
             1200);
  for (int i = 0; i < 3; i++) {
    uint64_t until = harness_now_ms(h) + 200;

    while (harness_now_ms(h) < until && l.ended < l.total) harness_turn(h, 10);
    kill(m.pid, SIGUSR2);
  }
  ok(harness_until(h, load_is_over, &l, 15000), "reload under load: everything ends");
  ok(l.by_outcome[PB_ANSWERED] > 1100, "nearly everything is answered");
  load_compare(&l, f, "reload");
  harness_free(h, "reload");
  fpm_stop(&m);
}

static void test_php_killed(const struct fixture *f, bool tcp) {
  static struct load l;
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  unsigned id, pid, kills = 0;
  char path[200];
  struct fpm m;

  snprintf(path, sizeof path, "%s/ledger", f->dir);
  fpm_start(&m, f, tcp, 3, NULL);
  load_begin(&l, h,
             php(harness_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 3,
             800);
  while (l.ended < l.total && kills < 15) {
    uint64_t until = harness_now_ms(h) + 20;
    FILE *in;

    while (harness_now_ms(h) < until && l.ended < l.total) harness_turn(h, 5);
    in = fopen(path, "r");
    if (!in) continue;
    fseek(in, -20, SEEK_END); /* the child of the last line */
    for (pid = 0; fscanf(in, "%*[^\n]") == 0 && fscanf(in, "%u %u", &id, &pid) == 2;) {}
    fclose(in);
    if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0) kills++;
  }
  ok(harness_until(h, load_is_over, &l, 15000), "children killed: everything ends");
  ok(l.by_outcome[PB_LOST] <= kills, "at most one request lost for each of %u kills", kills);
  load_compare(&l, f, "children killed");
  harness_free(h, "children killed");
  fpm_stop(&m);
}

static void test_php_slots(const struct fixture *f) {
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct fpm m;
  struct harness_pool *p;
  struct harness_inst *in;
  struct harness_ticket *t, *all[12];
  unsigned busy = 0, answered = 0;
  uint64_t began;

  fpm_start(&m, f, false, 1, "listen.backlog = 1\n");
  p = harness_pool(h, NULL, option("address", m.address), NULL);
  in = php(p, f, "sleep.php");
  t = harness_submit(in, "a=b", 3);
  began = harness_now_ms(h);
  harness_turn(h, 50);
  harness_cancel(t);
  ok(harness_wait(h, t, 3000), "cancelled script: the slot comes back");
  ok(harness_now_ms(h) - began >= 350, "when the script ends, not before");
  is_outcome(t, PB_TIMEOUT, "cancelled script");
  is_outcome(one(h, php(p, f, "ok.php")), PB_ANSWERED, "its child takes the next");
  for (int i = 0; i < 12; i++) all[i] = harness_submit(in, "a=b", 3);
  for (int i = 0; i < 12; i++) {
    if (!harness_wait(h, all[i], 8000)) fail("no completion");
    if (all[i]->outcome == PB_BUSY) busy++;
    if (all[i]->outcome == PB_ANSWERED) answered++;
  }
  ok(busy > 0 && busy + answered == 12, "full backlog: %u busy, the others answered", busy);
  fpm_stop(&m);
  is_outcome(one(h, in), PB_UNREACHABLE, "php-fpm stopped");
  harness_free(h, "slots");
}

/* --- how fast --- */

#define BENCH_WINDOW 8

static const char bench_form[] =
    "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=4611686018427387905-2130706433-12017&"
    "queue=msg&topic=reply&jobs=%5B%7B%22id%22%3A%224611686018427387905%22%2C%22inTraceId%22%3A"
    "%224611686018427387905-2130706433-12017%22%2C%22content%22%3A%22xxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%22%7D%5D";

struct bench {
  struct harness_inst *in;
  unsigned long done, failed;
  bool stop;
  unsigned running;
};

static void bench_next(struct harness_ticket *t, void *arg) {
  struct bench *b = arg;

  b->running--;
  b->done++;
  if (t->outcome != PB_ANSWERED || t->code != 200) b->failed++;
  if (b->stop || !harness_submit(b->in, bench_form, sizeof bench_form - 1)) return;
  b->running++;
}

static bool bench_idle(void *arg) {
  return !((struct bench *)arg)->running;
}

static double bench_plugin(const char *address, const char *entry, unsigned seconds) {
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), NULL);
  struct bench b = {.in = topic(p, entry)};
  uint64_t began = clock_now_us(), end = began + seconds * 1000000ull, took;

  harness_forget_results(h, true);
  harness_on_complete(h, bench_next, &b);
  for (; b.running < BENCH_WINDOW; b.running++)
    harness_submit(b.in, bench_form, sizeof bench_form - 1);
  while (clock_now_us() < end) harness_turn(h, 100);
  took = clock_now_us() - began;
  b.stop = true;
  double rate = (double)b.done * 1e6 / (double)took;
  harness_until(h, bench_idle, &b, 5000);
  if (b.failed) diag("%lu of %lu failed", b.failed, b.done);
  harness_free(h, "bench");
  return rate;
}

/* The least that a client can do: the same bytes on 8 connections, END_REQUEST awaited. */
static double bench_bare(const char *address, const char *entry, unsigned seconds) {
  struct pb_topic_info info = {.queue = "msg", .topic = "reply"};
  struct instance in = {.topic = &info, .entry = entry};
  struct fcgi_conn request = {0};
  struct pb_err err;
  struct fcgi_addr addr;
  static uint8_t bytes[32768], got[65536];
  struct pollfd fds[BENCH_WINDOW];
  struct fcgi_reader readers[BENCH_WINDOW];
  unsigned long done = 0;
  size_t len = 0;
  uint64_t began, end;

  if (instance_head(&in, true, &err) < 0 || fcgi_addr_parse(&addr, address, &err) < 0)
    bail_out("%s", err.text);
  fcgi_conn_load(&request, &(struct fcgi_work){.head = in.head,
                                               .head_len = in.head_len,
                                               .body = bench_form,
                                               .body_len = sizeof bench_form - 1,
                                               .trace = "4611686018427387905-2130706433-12017"});
  struct gather g;
  conn_gather(&request, &g);
  for (int i = 0; i < g.n; i++) {
    memcpy(bytes + len, g.iov[i].iov_base, g.iov[i].iov_len);
    len += g.iov[i].iov_len;
  }
  free(in.head);
  for (int i = 0; i < BENCH_WINDOW; i++) {
    fds[i] = (struct pollfd){socket(addr.sa.ss_family, SOCK_STREAM, 0), POLLIN, 0};
    if (connect(fds[i].fd, (struct sockaddr *)&addr.sa, addr.len) < 0) bail_out("connect");
    responder_write(fds[i].fd, bytes, len);
    fcgi_reader_init(&readers[i]);
  }
  began = clock_now_us();
  end = began + seconds * 1000000ull;
  while (clock_now_us() < end) {
    if (poll(fds, BENCH_WINDOW, 100) <= 0) continue;
    for (int i = 0; i < BENCH_WINDOW; i++) {
      const uint8_t *p = got, *data;
      size_t data_len;
      ssize_t n;
      enum fcgi_event ev;

      if (!fds[i].revents) continue;
      n = recv(fds[i].fd, got, sizeof got, 0);
      if (n <= 0) bail_out("the bare client lost a connection");
      do
        ev = fcgi_reader_next(&readers[i], &p, got + n, &data, &data_len);
      while (ev == FCGI_OUT || ev == FCGI_ERR);
      if (ev != FCGI_END) continue;
      done++;
      fcgi_reader_init(&readers[i]);
      responder_write(fds[i].fd, bytes, len);
    }
  }
  end = clock_now_us();
  for (int i = 0; i < BENCH_WINDOW; i++) close(fds[i].fd);
  return (double)done * 1e6 / (double)(end - began);
}

/* Requests per second through the plugin, and through the least that a client can do. */
static void bench(struct fixture *f, unsigned seconds) {
  struct fpm m;
  char entry[200];

  put_file(f, "bench.php", "<?php header('Code: 200');");
  snprintf(entry, sizeof entry, "%s/bench.php", f->dir);
  for (int tcp = 0; tcp < 2; tcp++) {
    double bare = 0, plugin = 0;

    fpm_start(&m, f, tcp, BENCH_WINDOW, NULL);
    bench_bare(m.address, entry, 1);
    for (int round = 0; round < 3; round++) {
      bare += bench_bare(m.address, entry, seconds) / 3;
      plugin += bench_plugin(m.address, entry, seconds) / 3;
    }
    diag("%s: bare client %.0f/s, plugin %.0f/s, ratio %.2f", tcp ? "tcp" : "unix", bare, plugin,
         plugin / bare);
    fpm_stop(&m);
  }
}

int main(int argc, char **argv) {
  struct fixture f;

  fixture_begin(&f);
  if (argc > 1 && strcmp(argv[1], "bench") == 0) {
    if (fpm_find()) bench(&f, argc > 2 ? (unsigned)atoi(argv[2]) : 3);
    fixture_end(&f);
    return done_testing();
  }
  test_check();
  test_answers(&f, f.unix_addr);
  test_answers(&f, f.tcp_addr);
  test_bodies(f.unix_addr);
  test_bodies(f.tcp_addr);
  test_keeping(&f, f.unix_addr);
  test_keeping(&f, f.tcp_addr);
  test_unreachable(&f);
  test_cancel(f.unix_addr);
  test_cancel(f.tcp_addr);
  if (fpm_find()) {
    put_scripts(&f);
    for (int tcp = 0; tcp < 2; tcp++) {
      test_php(&f, tcp);
      test_php_max_requests(&f, tcp);
      test_php_reload(&f, tcp);
      test_php_killed(&f, tcp);
    }
    test_php_slots(&f);
  } else {
    skip(1, "no php-fpm found");
  }
  fixture_end(&f);
  return done_testing();
}
