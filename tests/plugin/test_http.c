/* The HTTP transport against a server that misbehaves. Built from this file and harness.c alone:
 * the plugin and the server are included. TLS, HTTP/2, nginx and php-fpm: tests/e2e/http.sh.
 */
#include "../../plugins/http/curl_loop.c"
#include "../../plugins/http/http_reply.c"
#include "../../plugins/http/http1.c"
#include "../../plugins/http/http_conn.c"
#include "../../plugins/http/http_target.c"
#include "../../plugins/http/http_addr.c"
#include "../../plugins/http/http_request.c"
#include "../../plugins/http/http_pool.c"
#include "../../plugins/http/http.c"
#define HTTP_SERVER_NO_MAIN
#include "../fake/http_server.c"

#include "../tap.h"
#include "harness.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* --- a name server that does not answer: libcurl's threads call this one --- */

static struct {
  unsigned asked, unblocked; /* threads that came, and those that would take our signals */
} resolver;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  sigset_t blocked;

  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!name || strcmp(name, "slow.test") != 0) return real(name, service, hints, ret);
  pthread_sigmask(SIG_BLOCK, NULL, &blocked);
  if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGCHLD))
    __atomic_add_fetch(&resolver.unblocked, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&resolver.asked, 1, __ATOMIC_SEQ_CST);
  server_sleep(1500);
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

/* Requests in the clear go through libcurl, like those over TLS and in HTTP/2. */
static bool by_libcurl;

/* What all tests need. */
struct fixture {
  char dir[64];
  unsigned *shared; /* with the server's processes */
  pid_t server;
  char unix_addr[120], tcp_addr[64];
};

static unsigned *server_memory(void) {
  unsigned *m = mmap(NULL, SERVER_SHARED * sizeof *m, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (m == MAP_FAILED) bail_out("mmap: %s", strerror(errno));
  return m;
}

static void fixture_begin(struct fixture *f) {
  int unix_fd, tcp_fd, port = 0;
  const char *tmp = getenv("TMPDIR");

  snprintf(f->dir, sizeof f->dir, "%.40s/pbhttp.XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(f->dir)) bail_out("mkdtemp: %s", strerror(errno));
  f->shared = server_memory();
  snprintf(f->unix_addr, sizeof f->unix_addr, "unix:%s/s.sock", f->dir);
  unix_fd = server_listen(f->unix_addr, 64, NULL);
  tcp_fd = server_listen("0", 64, &port);
  if (unix_fd < 0 || tcp_fd < 0) bail_out("listen: %s", strerror(errno));
  snprintf(f->tcp_addr, sizeof f->tcp_addr, "127.0.0.1:%d", port);
  f->server = fork();
  if (f->server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      server_serve(unix_fd, f->shared);
    }
    server_serve(tcp_fd, f->shared);
  }
  close(unix_fd);
  close(tcp_fd);
}

static void fixture_end(struct fixture *f) {
  char path[160];

  kill(f->server, SIGKILL);
  waitpid(f->server, NULL, 0);
  for (const char *const *name = (const char *const[]){"s.sock", "secret", NULL};
       *name; name++) {
    snprintf(path, sizeof path, "%s/%s", f->dir, *name);
    unlink(path);
  }
  rmdir(f->dir);
}

static unsigned count_of(const struct fixture *f, enum server_shared which) {
  return __atomic_load_n(f->shared + which, __ATOMIC_SEQ_CST);
}

static unsigned served(const struct fixture *f) {
  return count_of(f, SERVER_SERVED);
}

/* Late answers that nobody asked for, as of now. */
static unsigned strays(const struct fixture *f) {
  return count_of(f, SERVER_STRAYS);
}

/* Waits until there are more than that, without a turn of the loop. */
static bool more_than(const struct fixture *f, enum server_shared which, unsigned before) {
  for (int k = 0; k < 2000 && count_of(f, which) == before; k++) server_sleep(5);
  return count_of(f, which) > before;
}

static bool stray_after(const struct fixture *f, unsigned before) {
  return more_than(f, SERVER_STRAYS, before);
}

static char *option(const char *name, const char *value) {
  static char text[8][400];
  static unsigned at;
  char *out = text[at++ % 8];

  snprintf(out, sizeof text[0], "%s=%s", name, value);
  return out;
}

static char *entry_of(const char *address, const char *how) {
  char url[300];

  snprintf(url, sizeof url, "http://%s/w/%s",
           strncmp(address, "unix:", 5) == 0 ? "worker.example" : address, how);
  return option("entry", url);
}

static struct harness_inst *topic_at(struct harness_pool *p, const char *entry, const char *key,
                                     const char *key2) {
  struct pb_err err;
  struct harness_inst *in = harness_topic(p, "msg", "reply", &err, entry, key, key2, NULL);

  if (!in) bail_out("create: %s", err.text);
  if (by_libcurl) {
    struct instance *inside = harness_plugin_inst(in);

    free(inside->target.head);
    inside->target.head = NULL;
  }
  return in;
}

static struct harness_inst *topic_with(struct harness_pool *p, const char *address, const char *how,
                                       const char *key, const char *key2) {
  return topic_at(p, entry_of(address, how), key, key2);
}

static struct harness_inst *topic(struct harness_pool *p, const char *address, const char *how) {
  return topic_with(p, address, how, NULL, NULL);
}

static struct harness_pool *pool_at(struct harness *h, const char *address) {
  if (strncmp(address, "unix:", 5) == 0)
    return harness_pool(h, NULL, option("address", address), NULL);
  return harness_pool(h, NULL, NULL); /* the URL says where */
}

static struct harness_ticket *one(struct harness *h, struct harness_inst *in) {
  struct harness_ticket *t = harness_submit(in, "jobs=%5B%5D", 11);

  if (!t) bail_out("submit refused");
  if (!harness_wait(h, t, 8000)) fail("no completion within 8 s");
  return t;
}

static struct harness_ticket *ping(struct harness *h, struct harness_inst *in) {
  struct harness_ticket *t = harness_submit(in, NULL, 0);

  if (!t) bail_out("submit refused");
  if (!harness_wait(h, t, 8000)) fail("no completion within 8 s");
  return t;
}

static void is_outcome(const struct harness_ticket *t, uint32_t want, const char *what) {
  if (!is_str(harness_outcome(t->outcome), harness_outcome(want), "%s: outcome", what))
    diag("code %d, detail: %s", t->code, t->detail);
}

static double metric(const struct harness *h, enum metric which) {
  return harness_stats(h)->metrics[which];
}

/* The plugin is included, so a test may look into it. */
static struct http_pool *inside(const struct harness_pool *p) {
  const struct pool *pool = harness_plugin_pool(p);

  return pool->requests;
}

/* --- the configuration --- */

static void test_check(const struct fixture *f) {
  static const char secret_file[] = "Bearer of the file\nsecond line\n";
  static const struct {
    bool pool;
    const char *key, *value, *text, *more; /* more: another key, set as well */
  } bad[] = {
      {true, "address", "localhost", "no port", NULL},
      {true, "address", "127.0.0.1:0", "bad port", NULL},
      {true, "address", "127.0.0.1:70000", "bad port", NULL},
      {true, "address", "/run/s.sock", "unix:", NULL},
      {true, "address", "unix:s.sock", "absolute", NULL},
      {true, "address", "[::1:80", "IPv6", NULL},
      {true, "address", "[zz]:80", "IPv6", NULL},
      {true, "address", "http://h:80", "URL", NULL},
      {true, "address", "a b:80", "bad host", NULL},
      {false, "entry", "", "missing", NULL},
      {false, "entry", "/srv/app/W.php", "no URL", NULL},
      {false, "entry", "ftp://h/w", "no URL", NULL},
      {false, "entry", "http://", "entry", NULL},
      {false, "entry", "http://u:p@h/w", "authorization", NULL},
      {false, "entry", "http://h/w#top", "fragment", NULL},
      {false, "entry", "http://h/a b", "blank", NULL},
      {false, "entry", "http://h:99999/", "entry", NULL},
      {false, "host", "http://x/", "no host", NULL},
      {false, "header", "X-A", "Name: value", NULL},
      {false, "header", "X-A:", "no value", NULL},
      {false, "header", "X A: b", "Name: value", NULL},
      {false, "header", "X-A: b\r\nHost: c", "line break", NULL},
      {false, "header", "host: c", "host = ", NULL},
      {false, "header", "Authorization: x", "kept secret", NULL},
      {false, "header", "content-length: 3", "body", NULL},
      {false, "header", "Transfer-Encoding: chunked", "body", NULL},
      {false, "header", "Connection: close", "connection", NULL},
      {false, "header", "Upgrade: h2c", "http_version", NULL},
      {false, "header", "X-Pepperbus-Queue: q", "broker's own", NULL},
      {false, "header", "is-pepper-bus-request: true", "broker's requests", NULL},
      {false, "authorization", "a\nb", "control character", NULL},
      {false, "authorization_file", "secret", "relative", NULL},
      {false, "authorization_file", "/x", "both given", "authorization=a"},
      {false, "client_key", "/k.pem", "without client_cert", "entry=https://h/"},
      {false, "ca_file", "/ca.pem", "http://", NULL},
      {false, "ca_file", "ca.pem", "relative", "entry=https://h/"},
      {false, "http_version", "2", "2-prior", NULL},
      {false, "content_type", "", "media type", NULL},
  };
  static const char *const good[] = {"entry=https://app.example/worker?x=1",
                                     "entry=http://[::1]:8080/",
                                     "host=other.example:81",
                                     "header=X-Shop: 7,User-Agent: bus/1",
                                     "authorization=Bearer abc",
                                     "http_version=2-prior",
                                     "body=content"};
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, NULL);
  struct pb_topic_info info = {.size = sizeof info, .chunk = 4};
  struct http_topic_conf conf = {.body = HTTP_BODY_CONTENT};
  struct pb_err err;
  char path[160];
  FILE *out;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *pair = option(bad[i].key, bad[i].value);
    int rc = bad[i].pool
                 ? harness_check(h, true, &err, pair, NULL)
                 : harness_check(h, false, &err, "entry=http://h/w", pair, bad[i].more, NULL);

    is_int(rc, -EINVAL, "refuses %s", pair);
    like(err.text, bad[i].text, "says why");
    is_str(err.option, bad[i].key, "names the key");
  }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    is_int(harness_check(h, false, &err, "entry=http://h/w", good[i], NULL), 0, "takes %s",
           good[i]);
  is_int(harness_check(h, true, &err,
                       "address=127.0.0.1:80,localhost:81,web.example:80,[::1]:80,unix:/run/w",
                       NULL),
         0, "takes addresses of all forms");
  is_int(http.check_topic(&info, NULL, &conf, &err), -EINVAL, "body = content with a chunk");
  is_str(err.option, "chunk", "names the key");
  info.chunk = 1;
  conf = (struct http_topic_conf){.authorization_file = "", .ca_file = "", .client_cert = "",
                                  .client_key = ""};
  is_int(http.check_topic(&info, NULL, &conf, &err), 0, "and without");
  conf.client_cert = "/etc/passwd";
  is_int(http.check_topic(&info, NULL, &conf, &err), 0, "a file that is there");
  conf.client_key = "/etc/passwd/key.pem";
  is_int(http.check_topic(&info, NULL, &conf, &err), -ENOENT, "one that is not");
  is_str(err.option, "client_key", "names the key");
  like(err.text, "no file /etc/passwd/key.pem", "and the file");

  snprintf(path, sizeof path, "%s/secret", f->dir);
  ok(!harness_topic(p, "msg", "reply", &err, "entry=http://h/w", option("authorization_file", path),
                    NULL),
     "no topic without its authorization_file");
  like(err.text, "No such file", "says why");
  out = fopen(path, "w");
  fputs(secret_file, out);
  fclose(out);
  ok(harness_topic(p, "msg", "reply", &err, "entry=http://h/w", option("authorization_file", path),
                   NULL) != NULL,
     "with it");
  ok(!harness_topic(p, "msg", "reply", &err, "entry=https://h/w", "ca_file=/nowhere/ca.pem", NULL),
     "no topic without its ca_file");
  like(err.text, "/nowhere/ca.pem", "names it");
  harness_free(h, "check");
}

/* --- what the other side may do --- */

struct expectation {
  const char *how;
  uint32_t outcome;
  int code;
  const char *body, *detail; /* detail: a part of it */
};

static void test_answers(const struct fixture *f, const char *address) {
  static const struct expectation all[] = {
      {"ok", PB_ANSWERED, 200, "fine", NULL},
      {"chunked", PB_ANSWERED, 200, "fine", NULL},
      {"trailer", PB_ANSWERED, 200, "fine", NULL},
      {"interim", PB_ANSWERED, 200, "fine", NULL},
      {"http10", PB_ANSWERED, 200, "fine", NULL},
      {"trickle", PB_ANSWERED, 200, "fine", NULL},
      {"long", PB_ANSWERED, 200, "fine", NULL},
      {"twice", PB_ANSWERED, 200, "fine", NULL},
      {"bye", PB_ANSWERED, 200, "fine", NULL},
      {"close-after", PB_ANSWERED, 200, "fine", NULL},
      {"207", PB_ANSWERED, 207, "[{\"id\":\"1\",\"code\":200}]", NULL},
      {"code-404", PB_ANSWERED, 404, "not mine", NULL},
      {"code-500", PB_ANSWERED, 500, "it broke", NULL},
      {"503-code", PB_ANSWERED, 200, "done all the same", NULL},
      {"no-code", PB_ANSWERED, 0, "", "no Code header"},
      {"no-code", PB_ANSWERED, 0, "", "<html>Welcome</html>"},
      {"empty", PB_ANSWERED, 0, "", "status 204"},
      {"redirect", PB_ANSWERED, 0, "", "a redirect to http://127.0.0.1:1/elsewhere"},
      {"307", PB_ANSWERED, 0, "", "redirects are not followed"},
      {"401", PB_ANSWERED, 0, "", "authorization"},
      {"404", PB_ANSWERED, 0, "", "status 404 (there is nothing at this path): no such page"},
      {"413", PB_ANSWERED, 0, "", "raise its limit"},
      {"500", PB_ANSWERED, 0, "", "status 500: PHP Fatal error"},
      {"502", PB_ANSWERED, 0, "", "gateway"},
      {"504", PB_ANSWERED, 0, "", "gateway"},
      {"429", PB_BUSY, 0, "", "Retry-After 7 s"},
      {"503", PB_BUSY, 0, "", "status 503"},
      {"503-odd", PB_BUSY, 0, "", "status 503"},
      {"closes", PB_LOST, 0, "", "whether the job ran is unknown"},
      {"half-header", PB_LOST, 0, "", "unknown"},
      {"short", PB_LOST, 0, "", "ended too early"},
      {"cut-chunk", PB_LOST, 0, "", "unknown"},
      {"bad-chunk", PB_GARBLED, 0, "", "chunk"},
      {"garbage", PB_GARBLED, 0, "", "not HTTP"},
      {"nul", PB_GARBLED, 0, "", "not to be used"},
      {"bad-status", PB_GARBLED, 0, "", "not to be used"},
      {"bad-code", PB_GARBLED, 0, "", "Code \"yes\""},
      {"big-header", PB_GARBLED, 0, "", "max_header"},
      {"big", PB_GARBLED, 0, "", "max_response"},
      {"endless", PB_GARBLED, 0, "", "max_response"},
  };
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = pool_at(h, address);
  struct harness_inst *good = topic(p, address, "ok");

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct harness_inst *in = topic_with(p, address, e->how, "max_response=1mb", NULL);
    unsigned before = served(f);

    for (int again = 0; again < 2; again++) {
      unsigned closed = count_of(f, SERVER_CLOSED);
      struct harness_ticket *t = one(h, in);

      is_outcome(t, e->outcome, e->how);
      is_int(t->code, e->code, "%s: code", e->how);
      is_str(t->body, e->body, "%s: body", e->how);
      if (e->detail)
        like(t->detail, e->detail, "%s: detail", e->how);
      else
        is_str(t->detail, "", "%s: no detail", e->how);
      if (strcmp(e->how, "close-after") == 0)
        more_than(f, SERVER_CLOSED, closed); /* or the next one crosses the end: who can tell? */
      if (e->outcome != PB_ANSWERED) like(t->detail, address, "%s: names the peer", e->how);
      is_str(one(h, good)->body, "fine", "the next request is not touched");
    }
    is_int(served(f) - before, 4, "%s: nothing was sent twice", e->how);
  }
  is_int((intmax_t)metric(h, METRIC_OVER_LIMIT), 6, "answers over a limit are counted");
  harness_free(h, "answers");
}

static void test_wishes(const char *address) {
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = pool_at(h, address);
  struct harness_ticket *t = one(h, topic(p, address, "429"));

  is_int((intmax_t)t->retry_after_ms, 7000, "Retry-After in seconds");
  t = one(h, topic(p, address, "503"));
  is_int((intmax_t)t->retry_after_ms, 0, "none");
  t = one(h, topic(p, address, "503-late"));
  is_int((intmax_t)t->retry_after_ms, 300000, "max_retry_after");
  like(t->detail, "more than max_retry_after grants", "says so");
  t = one(h, topic(p, address, "503-date"));
  is_int((intmax_t)t->retry_after_ms, 300000, "Retry-After as a date");
  t = ping(h, topic(p, address, "list"));
  is_str(t->topics, "msg/reply,msg/other", "Consume-Topics");
  t = one(h, topic(p, address, "code-500"));
  is_str(t->error_code, "17", "Error-Code");
  harness_free(h, "wishes");
}

/* --- what is sent --- */

static void test_head(const struct fixture *f, const char *address) {
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p;
  struct harness_ticket *t;
  struct harness_inst *in;
  char path[160];

  setenv("http_proxy", "http://127.0.0.1:1", 1); /* not for us */
  setenv("all_proxy", "http://127.0.0.1:1", 1);
  p = pool_at(h, address);
  in = topic_with(p, address, "dump", "host=shop.example:81", "header=X-Shop: 7,X-Lang: de");
  t = one(h, in);
  is_outcome(t, PB_ANSWERED, "a proxy of the environment is not asked");
  like(t->body, "POST /w/dump HTTP/1.1\r\n", "request line");
  like(t->body, "\r\nHost: shop.example:81\r\n", "host");
  like(t->body, "\r\nX-Shop: 7\r\nX-Lang: de\r\n", "headers of the topic's own");
  like(t->body, "\r\nIS-PEPPER-BUS-REQUEST: true\r\n", "the predecessor's mark");
  like(t->body, "\r\nContent-Type: application/x-www-form-urlencoded\r\n", "the form's type");
  like(t->body, "\r\nContent-Length: 11\r\n", "length");
  like(t->body, "-2130706433-12017\r\n", "trace");
  like(t->body, "\r\nX-Pepperbus-Queue: msg\r\nX-Pepperbus-Topic: reply\r\n", "queue and topic");
  like(t->body, "\r\nX-Pepperbus-Timeout: 60000\r\n", "and the timeout, by which workers plan");
  like(t->body, "\r\ntraceparent: 00-40000000000000017f0000012ef10000-4000000000000002-01\r\n",
       "trace context");
  like(t->body, "\r\nIdempotency-Key: 4611686018427387905\r\n", "idempotency key");
  like(t->body, "\r\nUser-Agent: pepperbus/", "user agent");
  unlike(t->body, "Expect", "no Expect");
  unlike(t->body, "Signature", "no signature without a key");
  unlike(t->body, "X-Pepperbus-Job-Id", "no job id beside a form");
  unlike(t->body, "Authorization", "no authorization of its own accord");
  unlike(t->body, "Connection", "keep-alive is the default");

  harness_sign(h, true);
  t = one(h, in);
  like(t->body, "\r\nX-Pepperbus-Signature: t=1,v1=harness\r\n", "signed");
  harness_sign(h, false);
  unlike(one(h, in)->body, "Signature", "and not when there is no key any more");
  t = ping(h, in);
  unlike(t->body, "Idempotency-Key", "a ping has no idempotency key");

  snprintf(path, sizeof path, "%s/secret", f->dir);
  like(one(h, topic_with(p, address, "dump", option("authorization_file", path), NULL))->body,
       "\r\nAuthorization: Bearer of the file\r\n", "authorization_file");
  like(one(h, topic_with(p, address, "dump", "authorization=Basic abc", NULL))->body,
       "\r\nAuthorization: Basic abc\r\n", "authorization");
  one(h, topic(p, address, "cookie"));
  unlike(one(h, in)->body, "Cookie", "no cookies");
  unsetenv("http_proxy");
  unsetenv("all_proxy");
  harness_free(h, "head");

  h = harness_new(&http, HARNESS_REAL);
  p = strncmp(address, "unix:", 5) == 0
          ? harness_pool(h, NULL, option("address", address), "keepalive=no", NULL)
          : harness_pool(h, NULL, "keepalive=no", NULL);
  like(one(h, topic(p, address, "dump"))->body, "\r\nConnection: close\r\n", "keepalive = no");
  one(h, topic(p, address, "ok"));
  is_int(http_pool_connections(inside(p)), 0, "nothing is kept");
  harness_free(h, "no keepalive");
}

static void test_bodies(const struct fixture *f, const char *address) {
  static const size_t sizes[] = {1, 1000, 16384, 65535, 65536, 65537, 1u << 20, 8u << 20};
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_inst *in = topic(pool_at(h, address), address, "echo");
  char *body = malloc(8u << 20), want[100];

  if (!body) bail_out("no memory");
  for (size_t i = 0; i < 8u << 20; i++) body[i] = (char)('a' + i * 7 % 26 + i / 65528 % 5);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct harness_ticket *t = harness_submit(in, body, sizes[i]);
    unsigned long sum = 0;

    for (size_t k = 0; k < sizes[i]; k++) sum = sum * 31 + (unsigned char)body[k];
    snprintf(want, sizeof want, "%zu %zu %lu", sizes[i], sizes[i], sum);
    ok(harness_wait(h, t, 8000), "%zu bytes: completed", sizes[i]);
    is_str(t->body, want, "%zu bytes arrive as they were", sizes[i]);
  }
  /* Refused before all of it was sent. */
  for (int resets = 0; resets < 2; resets++) {
    struct harness_ticket *t = harness_submit(
        topic(pool_at(h, address), address, resets ? "413-resets" : "413"), body, 8u << 20);

    ok(harness_wait(h, t, 8000), "413 in the middle of a large request: completed");
    is_outcome(t, PB_ANSWERED, resets ? "413, then a reset" : "413");
    like(t->detail, "raise its limit", "its answer counts");
    is_outcome(one(h, in), PB_ANSWERED, "the next one");
  }
  /* Answered before all of it was sent: the rest follows, and the connection goes on. */
  in = topic(pool_at(h, address), address, "early");
  for (int again = 0; again < 2; again++) {
    unsigned whole = count_of(f, SERVER_WHOLE);
    struct harness_ticket *t = harness_submit(in, body, 8u << 20);

    ok(harness_wait(h, t, 8000), "answered in the middle of a large request: completed");
    is_outcome(t, PB_ANSWERED, "early");
    is_str(t->body, "fine", "its answer counts");
    ok(more_than(f, SERVER_WHOLE, whole), "all of the request has arrived");
  }
  free(body);
  harness_free(h, "bodies");
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a head in order, without those that are another job's each time. */
static void sorted(char *head, char *ret, size_t size) {
  char *line[64], *rest = NULL;
  size_t n = 0, at = 0;

  for (char *l = strtok_r(head, "\r\n", &rest); l && n < 64; l = strtok_r(NULL, "\r\n", &rest))
    if (!strstr(l, "race") && strncmp(l, "Idempotency", 11) != 0 && !strstr(l, "Job-Id"))
      line[n++] = l;
  qsort(line, n, sizeof *line, by_text);
  *ret = 0;
  for (size_t i = 0; i < n && at < size; i++)
    at += (size_t)snprintf(ret + at, size - at, "%s\n", line[i]);
}

/* Whoever writes it, a server gets the same. */
static void test_same_head(const struct fixture *f) {
  static const char *const all[][3] = {
      {"/w/dump", NULL, NULL},
      {"/w/dump?a=b&c=%20d?e", NULL, NULL},
      {"/w/dump?", NULL, NULL},
      {"/w/a/../b/./dump", NULL, NULL},
      {"/w/%7Ea;x=1/dump", NULL, NULL},
      {"/w/dump", "header=User-Agent: bus/1,Accept: text/plain,X-Empty: \"\"", NULL},
      {"/w/dump", "host=shop.example", "authorization=Bearer a b"},
      {"/w/dump", "body=content", "content_type=application/json"},
      {"/w/dump", "body=content", "header=accept: */*"},
      {"/w/dump", "http_version=1.1", NULL},
  };

  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (int keep = 0; keep < 2; keep++) {
      struct harness *h = harness_new(&http, HARNESS_REAL);
      struct harness_pool *p = harness_pool(h, NULL, keep ? "keepalive=yes" : "keepalive=no", NULL);
      char got[2][2000], url[300];

      for (int way = 0; way < 2; way++) {
        struct harness_ticket *t;

        snprintf(url, sizeof url, "http://%s%s", f->tcp_addr, all[i][0]);
        by_libcurl = way;
        t = one(h, topic_at(p, option("entry", url), all[i][1], all[i][2]));
        is_outcome(t, PB_ANSWERED, all[i][0]);
        sorted(t->body, got[way], sizeof got[way]);
      }
      like(got[0], "Content-Length: 11\n", "a head");
      is_str(got[0], got[1], "%s: the head is libcurl's", all[i][0]);
      harness_free(h, "same head");
    }
}

/* The hosts of URLs, and what becomes Host. */
static void test_hosts(void) {
  static const struct {
    const char *entry, *head; /* head: NULL, it is libcurl's */
  } all[] = {
      {"http://shop.example", "POST / HTTP/1.1\r\nHost: shop.example\r\n"},
      {"http://Shop.Example:80/W", "POST /W HTTP/1.1\r\nHost: Shop.Example\r\n"},
      {"http://shop.example:81?x", "POST /?x HTTP/1.1\r\nHost: shop.example:81\r\n"},
      {"http://[::1]/w", "POST /w HTTP/1.1\r\nHost: [::1]\r\n"},
      {"http://[::1]:8080/w", "POST /w HTTP/1.1\r\nHost: [::1]:8080\r\n"},
      {"http://[fe80::1%25eth0]/w", "POST /w HTTP/1.1\r\nHost: [fe80::1]\r\n"},
      {"http://b\xc3\xbc" "cher.example/w", NULL},
      {"https://shop.example/w", NULL},
  };
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, NULL);

  by_libcurl = false;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct instance *in =
        harness_plugin_inst(topic_at(p, option("entry", all[i].entry), NULL, NULL));

    if (all[i].head)
      ok(in->target.head && strncmp(in->target.head, all[i].head, strlen(all[i].head)) == 0,
         "%s: %.60s", all[i].entry, in->target.head ? in->target.head : "none");
    else
      ok(!in->target.head, "%s: by libcurl", all[i].entry);
    if (strchr(all[i].entry, '%'))
      is_str(in->target.peer, "http://[fe80::1%25eth0]:80", "connections by link");
  }
  ok(!((struct instance *)harness_plugin_inst(
           topic_at(p, "entry=http://h/", "http_version=2-prior", NULL)))
          ->target.head,
     "HTTP/2: by libcurl");
  harness_free(h, "hosts");
}

/* --- body = content --- */

static void test_content(const struct fixture *f, const char *address) {
  static const struct expectation all[] = {
      {"no-code", PB_ANSWERED, 200, "<html>Welcome</html>", NULL},
      {"empty", PB_ANSWERED, 200, "", NULL},
      {"bad-code", PB_GARBLED, 0, "", "Code"},
      {"code-500", PB_ANSWERED, 500, "", "status 500"},
      {"404", PB_ANSWERED, 0, "", "status 404"},
      {"422", PB_ANSWERED, 422, "", "no field \"a\""},
      {"302", PB_ANSWERED, 0, "", "status 404"},
      {"redirect", PB_ANSWERED, 302, "", "redirects are not followed"},
      {"429", PB_BUSY, 0, "", "Retry-After 7 s"},
      {"502", PB_ANSWERED, 502, "", "gateway"},
  };
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = pool_at(h, address);
  struct harness_inst *in =
      topic_with(p, address, "dump", "body=content", "content_type=application/json");
  struct harness_ticket *t = harness_submit(in, "{\"a\":1}", 7);
  unsigned before;

  ok(harness_wait(h, t, 5000), "completed");
  is_int(t->code, 200, "any 2xx is done");
  like(t->body, "\r\nContent-Length: 7\r\n", "the job's bytes are the body");
  like(t->body, "\r\nContent-Type: application/json\r\n", "content_type");
  like(t->body, "\r\nX-Pepperbus-Job-Id: 4611686018427387905\r\n", "id");
  like(t->body, "\r\nX-Pepperbus-Attempt: 1\r\n", "attempt");
  like(t->body, "\r\nX-Pepperbus-Trace: ", "trace");
  unlike(t->body, "IS-PEPPER-BUS", "nothing of the form");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    t = one(h, topic_with(p, address, all[i].how, "body=content", NULL));
    is_outcome(t, all[i].outcome, all[i].how);
    is_int(t->code, all[i].code, "%s: code", all[i].how);
    is_str(t->body, all[i].body, "%s: body", all[i].how);
    if (all[i].detail) like(t->detail, all[i].detail, "%s: detail", all[i].how);
  }
  before = served(f);
  t = ping(h, in);
  is_outcome(t, PB_ANSWERED, "a ping");
  is_int(t->code, 200, "passes when a connection comes about");
  is_str(t->topics, "msg/reply", "with the topic's path");
  is_int(served(f) - before, 0, "and nothing is sent");
  t = harness_submit(in, "", 0);
  ok(harness_wait(h, t, 5000), "an empty job");
  like(t->body, "\r\nContent-Length: 0\r\n", "is an empty body");
  t = ping(h, topic_with(p, "127.0.0.1:1", "ok", "body=content", NULL));
  if (strncmp(address, "unix:", 5) != 0) {
    is_outcome(t, PB_UNREACHABLE, "a ping where nobody listens");
    t = ping(h, in);
    is_outcome(t, PB_ANSWERED, "once more");
  }
  harness_free(h, "content");
}

/* --- connections --- */

static void test_keeping(const struct fixture *f, const char *address) {
  uint64_t inherited[4] = {0};

  for (int fd = 3; fd < 200; fd++)
    if (fcntl(fd, F_GETFD) >= 0) inherited[fd / 64] |= UINT64_C(1) << fd % 64;

  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p =
      strncmp(address, "unix:", 5) == 0
          ? harness_pool(h, NULL, option("address", address), "idle_timeout=100ms", NULL)
          : harness_pool(h, NULL, "idle_timeout=100ms", NULL);
  struct harness_inst *in = topic(p, address, "ok");
  struct harness_ticket *t;
  unsigned sets, before;
  double opened;
  uint64_t end;

  one(h, in);
  sets = harness_stats(h)->io_sets;
  for (int i = 0; i < 20; i++) one(h, in);
  /* Not one a request; a rare one, when sending did not go in one piece. */
  ok(harness_stats(h)->io_sets - sets <= 2, "a kept connection costs no io_set() per request");
  is_int((intmax_t)metric(h, METRIC_OPENED), 1, "one connection");
  is_int((intmax_t)metric(h, METRIC_REUSED), 20, "used again each time");
  is_int(http_pool_connections(inside(p)), 1, "kept");
  end = harness_now_ms(h) + 3000;
  while (http_pool_connections(inside(p)) && harness_now_ms(h) < end) harness_turn(h, 20);
  is_int(http_pool_connections(inside(p)), 0, "let go after idle_timeout");
  is_int((intmax_t)inside(p)->loop->own_n, 0, "and closed");
  is_outcome(one(h, in), PB_ANSWERED, "and a new one is made");
  for (int fd = 3; fd < 200; fd++) {
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && !(flags & FD_CLOEXEC) && !(inherited[fd / 64] >> fd % 64 & 1))
      fail("descriptor %d is not close-on-exec", fd);
  }

  /* The end of a kept connection crosses the next request: libcurl would send it again. */
  for (int reset = 0; reset < 2; reset++) {
    const char *how = reset ? "second-resets" : "second-closes";

    in = topic(p, address, how);
    end = harness_now_ms(h) + 3000;
    while (http_pool_connections(inside(p)) && harness_now_ms(h) < end) harness_turn(h, 20);
    before = served(f);
    is_outcome(one(h, in), PB_ANSWERED, "first on a connection");
    t = one(h, in);
    is_outcome(t, PB_LOST, how);
    like(t->detail, "whether the job ran is unknown", "says so");
    is_int(served(f) - before, 2, "%s: it was not sent again", how);
    is_outcome(one(h, in), PB_ANSWERED, "the next one is fine");
  }

  /* A stray answer on a kept connection is not taken for the next one's. */
  in = topic(p, address, "twice-late");
  for (int i = 0; i < 3; i++) {
    before = strays(f);
    is_str(one(h, in)->body, "fine", "an answer");
    ok(stray_after(f, before), "the stray one is there, but no turn has seen it");
  }
  opened = metric(h, METRIC_OPENED);
  before = strays(f);
  is_str(one(h, in)->body, "fine", "not the stray answer of the request before");
  is_int((intmax_t)(metric(h, METRIC_OPENED) - opened), 1, "on a new connection");
  stray_after(f, before);
  for (int i = 0; i < 10; i++) harness_turn(h, 10); /* a turn sees it */
  before = strays(f);
  is_str(one(h, in)->body, "fine", "nor then");
  stray_after(f, before);

  /* The answer is there before anybody waits for it: the new connection is watched all the same. */
  end = harness_now_ms(h) + 3000;
  while (http_pool_connections(inside(p)) && harness_now_ms(h) < end) harness_turn(h, 20);
  before = strays(f);
  answer_first_ms = 10;
  is_str(one(h, in)->body, "fine", "an answer that comes at once, on a new connection");
  answer_first_ms = 0;
  stray_after(f, before);
  is_str(one(h, in)->body, "fine", "not the stray answer of the request before");

  /* Closed while idle. */
  in = topic(p, address, "close-after");
  before = served(f);
  for (int i = 0; i < 5; i++) {
    unsigned closed = count_of(f, SERVER_CLOSED);

    is_outcome(one(h, in), PB_ANSWERED, "a server that closes after each answer");
    more_than(f, SERVER_CLOSED, closed);
  }
  is_int(served(f) - before, 5, "each was sent once");
  harness_free(h, "keeping");
}

static void test_many(const struct fixture *f, const char *address) {
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = pool_at(h, address);
  struct harness_inst *in = topic(p, address, "ok"), *slow = topic(p, address, "sleep");
  struct harness_ticket *t[40];
  unsigned before = served(f), wrong = 0;

  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 20; i++) t[i] = harness_submit(in, "a=b", 3);
    for (int i = 0; i < 20; i++) harness_wait(h, t[i], 5000);
    for (int i = 0; i < 20; i++) wrong += t[i]->outcome != PB_ANSWERED || t[i]->code != 200;
  }
  is_int(wrong, 0, "20 at a time: all answered");
  is_int(served(f) - before, 400, "each once");
  ok(metric(h, METRIC_OPENED) <= 20, "with 20 connections");
  for (int i = 0; i < 40; i++) t[i] = harness_submit(i % 2 ? slow : in, "a=b", 3);
  for (int i = 0; i < 40; i++) {
    harness_wait(h, t[i], 5000);
    wrong += t[i]->outcome != PB_ANSWERED;
  }
  is_int(wrong, 0, "fast and slow ones together");
  harness_free(h, "many");
}

static void test_unreachable(const struct fixture *f) {
  struct harness *h = harness_new(&http, HARNESS_REAL);
  char addr[400], path[200];
  struct pb_err err;
  struct harness_pool *p = harness_pool(h, NULL, NULL), *both;
  struct harness_ticket *t = one(h, topic(p, "127.0.0.1:1", "ok")), *full[8];
  struct harness_inst *in;
  int fd, n, port, fill[8];
  uint64_t began;
  char health[200];

  is_outcome(t, PB_UNREACHABLE, "refused");
  like(t->detail, "127.0.0.1:1", "names the address");
  like(t->detail, "onnection refused", "and the reason");
  ok(!strstr(t->detail, "msg/reply"), "not the topic: it is said of the whole pool");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  snprintf(addr, sizeof addr, "address=unix:%s/none.sock", f->dir);
  t = one(h, topic(harness_pool(h, NULL, addr, NULL), "unix:", "ok"));
  is_outcome(t, PB_UNREACHABLE, "no such socket");
  like(t->detail, "No such file", "says so");

  /* The name is resolved by a thread of libcurl's; .invalid never exists. */
  in = harness_topic(p, "msg", "reply", &err, "entry=http://nowhere.invalid/", NULL);
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "no such host");
  like(t->detail, "nowhere.invalid", "names it");

  /* Several addresses: the dead one does not hurt. */
  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s,unix:%s/none.sock", f->unix_addr, f->dir);
  p = harness_pool(h, NULL, addr, "keepalive=no", NULL);
  in = topic(p, "unix:", "dump");
  n = (int)harness_stats(h)->warnings;
  for (int i = 0; i < 6; i++) {
    t = one(h, in);
    is_outcome(t, PB_ANSWERED, "one of three addresses lives");
    like(t->body, "\r\nHost: worker.example\r\n", "Host is the URL's");
  }
  is_int(harness_stats(h)->warnings - (unsigned)n, 2, "each dead address was named once");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, "2 of 3 addresses", "says how many");
  snprintf(addr, sizeof addr, "address=127.0.0.1:1,%s", f->tcp_addr);
  in = topic(harness_pool(h, NULL, addr, NULL), "unix:", "dump");
  for (int i = 0; i < 4; i++)
    like(one(h, in)->body, "\r\nHost: worker.example\r\n", "over TCP, Host is the URL's");

  /* A full listen queue on a unix socket. */
  snprintf(path, sizeof path, "unix:%s/full.sock", f->dir);
  fd = server_listen(path, 1, NULL);
  in = topic(harness_pool(h, NULL, option("address", path), NULL), "unix:", "ok");
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
  unlink(path + strlen("unix:"));
  while (n-- > 0) {
    ok(harness_wait(h, full[n], 2000), "reset in the queue: completed");
    is_outcome(full[n], PB_LOST, "reset in the queue");
  }

  /* Out of descriptors: before the connection, and before it is taken over from libcurl. */
  for (rlim_t more = 0; more < 2; more++) {
    struct rlimit was, few;

    in = topic(harness_pool(h, NULL, option("address", f->unix_addr), NULL), "unix:", "ok");
    harness_turn(h, 0);
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

  /* A TCP queue that is full does not answer at all. */
  fd = server_listen("0", 0, &port);
  for (int i = 0; i < 8; i++) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)!connect(fill[i], (struct sockaddr *)&to, sizeof to);
  }
  server_sleep(20);
  snprintf(addr, sizeof addr, "127.0.0.1:%d", port);
  p = harness_pool(h, NULL, "connect_timeout=200ms", NULL);
  in = topic(p, addr, "ok");
  began = harness_now_ms(h);
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "connect timeout");
  like(t->detail, " ms: Timeout", "says so");
  ok(harness_now_ms(h) - began >= 190 && harness_now_ms(h) - began < 2000, "took as long");
  t = harness_submit(in, "a", 1);
  harness_cancel(t);
  ok(harness_wait(h, t, 100), "cancelled while connecting: at once");
  is_outcome(t, PB_TIMEOUT, "cancelled while connecting");
  /* At the deadline it would be a failed attempt, of a job that nobody has seen. */
  in = topic(harness_pool(h, NULL, "connect_timeout=10s", NULL), addr, "ok");
  harness_timeout(in, 400);
  began = harness_now_ms(h);
  is_outcome(one(h, in), PB_UNREACHABLE, "connect_timeout is longer than the topic's timeout");
  ok(harness_now_ms(h) - began < 400, "known before the deadline");

  /* Out of descriptors when a new one is to be watched, while another call of libcurl's goes on. */
  both = harness_pool(h, NULL, "connect_timeout=10s", NULL);
  t = harness_submit(topic(both, addr, "ok"), "a", 1);
  harness_turn(h, 0);
  in = topic(both, f->tcp_addr, "ok");
  for (int i = 0; i < 2; i++) {
    struct rlimit was, few;
    struct harness_ticket *short_of;
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
  harness_cancel(t);
  for (int i = 0; i < 8; i++) close(fill[i]);
  close(fd);

  /* One that accepts and never says a word of TLS has been sent nothing of the job. */
  fd = server_listen("0", 8, &port);
  snprintf(addr, sizeof addr, "entry=https://127.0.0.1:%d/", port);
  in = harness_topic(p, "msg", "reply", &err, addr, "verify=no", NULL);
  like(harness_last_log(h),
       "anybody between here and https://127.0.0.1:", "verify = no is warned of");
  began = harness_now_ms(h);
  t = one(h, in);
  is_outcome(t, PB_UNREACHABLE, "TLS that never comes about");
  ok(harness_now_ms(h) - began >= 190 && harness_now_ms(h) - began < 2000,
     "connect_timeout bounds it too");
  close(fd);
  harness_free(h, "unreachable");
}

/* --- several addresses --- */

/* Is at an address for a while. The name of where it went, "" : nowhere. */
static const char *goes(struct http_visit *v, struct http_addrs *l, bool any) {
  const struct http_addr *a = http_visit_go(v, l, any);

  return a ? a->name : "";
}

/* Goes to one that is to have this name. */
static void goes_to(struct http_visit *v, struct http_addrs *l, const char *name) {
  *v = (struct http_visit){0};
  is_str(goes(v, l, true), name, "goes to %s", name);
}

static void test_addrs(void) {
  static const unsigned pauses_s[] = {2, 4, 8, 16, 30, 30};
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p = harness_pool(h, NULL, "address=a:1,b:2,c:3", "connect_timeout=3s", NULL);
  struct http_addrs *l = &inside(p)->addrs;
  struct http_visit v[8], w;
  char health[512];

  /* Fewest running, by turns among equals. */
  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  http_visit_leave(&v[1]);
  goes_to(&v[1], l, "b:2");
  goes_to(&v[3], l, "c:3");
  goes_to(&v[4], l, "a:1");
  goes_to(&v[5], l, "b:2");
  http_visit_leave(&v[1]);
  http_visit_leave(&v[5]);
  for (int i = 0; i < 2; i++) goes_to(&v[1 + 4 * i], l, "b:2");
  is_str(goes(&v[1], l, false), "c:3", "one that goes on: not where it was");
  is_str(goes(&v[1], l, false), "a:1", "nor where it was before");
  is_str(goes(&v[1], l, false), "", "and nowhere when it has been everywhere");
  for (size_t i = 0; i < l->n; i++) l->list[i].running = 0; /* all leave */
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 0, "all are well");

  /* Not reached: for a second, then one finds out. */
  l->next = 0;
  goes_to(&v[0], l, "a:1");
  http_visit_unreachable(&v[0], l, "refused");
  like(harness_last_log(h),
       "cannot reach a:1: refused; trying it in 1 s, using the other addresses", "says so");
  http_visit_leave(&v[0]);
  for (int i = 0; i < 4; i++) goes_to(&v[i], l, i % 2 ? "c:3" : "b:2");
  harness_skip(h, 1000);
  goes_to(&v[4], l, "a:1");
  ok(v[4].probe, "the probe");
  goes_to(&v[5], l, "b:2");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 1, "one is not well");
  like(health,
       "1 of 3 addresses are passed over: a:1 cannot be reached for 1 s (refused), tried now;"
       " using the other addresses",
       "which, why, and what is done");
  http_visit_unanswered(&v[4], l, "reset"); /* but there was a connection */
  like(harness_last_log(h), "a:1 is reachable again", "is back");
  for (size_t i = 0; i < l->n; i++) l->list[i].running = l->list[i].probes = 0;

  /* Busy: as long as it says, and no longer. */
  l->next = 0;
  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  goes_to(&v[3], l, "a:1");
  goes_to(&v[4], l, "b:2");
  http_visit_busy(&v[0], l, 60000, "status 503");
  like(harness_last_log(h), "a:1 is busy: status 503; trying it in 60 s, using the other",
       "says so");
  http_visit_busy(&v[3], l, 7000, "status 503");
  http_visit_busy(&v[1], l, 0, "status 503");
  http_visit_answered(&v[4], l);
  is_int((intmax_t)http_addrs_wait_ms(l), 0, "one takes requests");
  http_visit_busy(&v[2], l, 7000, "status 503");
  like(harness_last_log(h),
       "c:3 is busy: status 503; trying it in 7 s, none of the others is well either",
       "the last one");
  is_int((intmax_t)http_addrs_wait_ms(l), 0, "one did not say: the topic's own pace");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 3, "none is well");
  for (size_t i = 0; i < 5; i++) http_visit_leave(&v[i]);
  w = (struct http_visit){0};
  is_str(goes(&w, l, false), "", "none is to be had");
  is_str(goes(&w, l, true), "c:3", "but for one that has to go somewhere");
  http_visit_leave(&w);
  harness_skip(h, 1000);
  for (int i = 0; i < 3; i++) goes_to(&v[i], l, "b:2"); /* not one at a time: it was never silent */
  for (int i = 0; i < 3; i++) http_visit_leave(&v[i]);
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 2, "its time is over");
  harness_skip(h, 6000);
  http_visit_answered(&v[0], l);
  like(harness_last_log(h), "b:2 takes requests again", "and it answers");
  goes_to(&v[0], l, "c:3");
  http_visit_answered(&v[0], l);
  http_visit_leave(&v[0]);
  harness_skip(h, 52999);
  for (int i = 0; i < 4; i++) goes_to(&v[i], l, i % 2 ? "c:3" : "b:2");
  harness_skip(h, 1);
  goes_to(&v[4], l, "a:1"); /* the longest of its wishes holds */
  http_visit_answered(&v[4], l);
  for (size_t i = 0; i < 5; i++) http_visit_leave(&v[i]);

  /* Silent three times in a row. */
  for (int i = 0; i < 3; i++) {
    l->next = 0;
    goes_to(&v[0], l, "a:1");
    if (i < 2)
      http_visit_unanswered(&v[0], l, "closed");
    else
      http_visit_answered(&v[0], l); /* all over again */
    http_visit_leave(&v[0]);
  }
  for (int i = 0; i < 3; i++) {
    is_int(l->list[0].state, HTTP_ADDR_WELL, "%d requests without an answer in a row", i);
    l->next = 0;
    goes_to(&v[i], l, "a:1");
    http_visit_unanswered(&v[i], l, "closed");
    if (i < 2) http_visit_leave(&v[i]);
  }
  like(harness_last_log(h),
       "a:1 does not answer: 3 requests in a row, the last: closed; trying it in 1"
       " s, using the other addresses",
       "says so");
  harness_skip(h, 999);
  goes_to(&v[3], l, "b:2");
  harness_skip(h, 1);
  for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
    goes_to(&v[4], l, "a:1");
    ok(v[4].probe, "the probe");
    harness_skip(h, 100000);
    w = (struct http_visit){0};
    ok(http_visit_go(&w, l, false) != &l->list[0], "alone, however long it takes");
    http_visit_leave(&w);
    http_visit_unanswered(&v[2], l, "one that was there before"); /* says nothing new */
    http_visit_unanswered(&v[4], l, "closed");
    http_visit_leave(&v[4]);
    is_int((intmax_t)(l->list[0].until_ms - harness_now_ms(h)), (intmax_t)pauses_s[i] * 1000,
           "the pause after probe %zu", i + 1);
    harness_skip(h, pauses_s[i] * 1000 - 1);
    w = (struct http_visit){0};
    ok(http_visit_go(&w, l, false) != &l->list[0], "passed over");
    http_visit_leave(&w);
    harness_skip(h, 1);
  }
  goes_to(&v[4], l, "a:1");
  http_visit_connected(&v[4], l);
  http_visit_leave(&v[4]);
  is_int(l->list[0].state, HTTP_ADDR_MUTE, "that it takes connections is no answer");
  http_visit_answered(&v[2], l); /* late */
  like(harness_last_log(h), "a:1 answers again", "a late answer is one");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 0, "all are well");

  /* None answers: requests go on. */
  for (size_t i = 0; i < l->n; i++) l->list[i].running = l->list[i].probes = 0;
  for (int i = 0; i < 9; i++) {
    w = (struct http_visit){0};
    http_visit_go(&w, l, true);
    http_visit_unanswered(&w, l, "closed");
    http_visit_leave(&w);
  }
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 3, "none answers");
  like(health, "3 of 3 addresses are passed over: a:1 does not answer for 0 s (", "says so");
  like(health,
       ", c:3 does not answer for 0 s (3 requests in a row, the last: closed), tried in 1 s; "
       "none of the others",
       "of each of them");
  l->next = 0;
  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  goes_to(&v[3], l, "a:1");
  harness_free(h, "addresses");
}

/* Two servers of which each does what it is told. */
struct pair {
  unsigned *shared[2];
  pid_t pid[2];
  char addr[2][64];
};

static void pair_begin(struct pair *d) {
  for (int i = 0; i < 2; i++) {
    int port = 0, fd = server_listen("0", 64, &port);

    if (fd < 0) bail_out("listen: %s", strerror(errno));
    snprintf(d->addr[i], sizeof d->addr[i], "127.0.0.1:%d", port);
    d->shared[i] = server_memory();
    d->pid[i] = fork();
    if (d->pid[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      server_serve(fd, d->shared[i]);
    }
    close(fd);
  }
}

static void pair_end(struct pair *d) {
  for (int i = 0; i < 2; i++) {
    kill(d->pid[i], SIGKILL);
    waitpid(d->pid[i], NULL, 0);
  }
}

static void tell(const struct pair *d, int which, const char *how) {
  unsigned at = 0;

  while (strcmp(server_told[at], how) != 0) at++;
  __atomic_store_n(d->shared[which] + SERVER_TOLD, at, __ATOMIC_SEQ_CST);
}

/* Requests that came to it since the last call. */
static unsigned came(const struct pair *d, int which) {
  return __atomic_exchange_n(d->shared[which] + SERVER_SERVED, 0, __ATOMIC_SEQ_CST);
}

static bool has_come(void *arg) {
  return __atomic_load_n((unsigned *)arg, __ATOMIC_SEQ_CST) > 0;
}

static void nobody_is_there(struct harness_pool *p) {
  const struct http_addrs *l = &inside(p)->addrs;

  for (size_t i = 0; i < l->n; i++)
    ok(!l->list[i].running && !l->list[i].probes, "%s: no request is there", l->list[i].name);
}

/* `n` jobs, one after the other. Returns how many of them were done. */
static unsigned jobs(struct harness *h, struct harness_inst *in, unsigned n) {
  unsigned done = 0;

  for (unsigned i = 0; i < n; i++) {
    struct harness_ticket *t = one(h, in);

    done += t->outcome == PB_ANSWERED && t->code == 200;
  }
  return done;
}

static struct harness_pool *pool_of(struct harness *h, const struct pair *d) {
  char both[140];

  snprintf(both, sizeof both, "%s,%s", d->addr[0], d->addr[1]);
  return harness_pool(h, NULL, option("address", both), NULL);
}

static void test_busy_address(void) {
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p;
  struct harness_inst *in;
  struct harness_ticket *t[8];
  struct pair d;
  char health[512];
  unsigned wrong = 0, a, b;

  pair_begin(&d);
  p = pool_of(h, &d);
  in = topic(p, "unix:", "told");
  is_int(jobs(h, in, 10), 10, "both are fine");
  is_int(came(&d, 0), 5, "half of the jobs here");
  is_int(came(&d, 1), 5, "half of them there");

  /* One of them says 503. */
  tell(&d, 0, "503");
  for (int i = 0; i < 8; i++) t[i] = harness_submit(in, "a", 1);
  for (int i = 0; i < 8; i++) {
    harness_wait(h, t[i], 5000);
    wrong += t[i]->outcome != PB_ANSWERED || t[i]->code != 200;
  }
  is_int(wrong, 0, "503 of one of two: the other one does the jobs");
  is_int(jobs(h, in, 20), 20, "and those that follow");
  a = came(&d, 0); /* fewer when its first answer came before all were sent */
  ok(a >= 1 && a <= 4, "the busy one had its half of the first, and no more (%u)", a);
  is_int(came(&d, 1), 28, "each job was done once");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, " is busy for 0 s (status 503), tried in 1 s; using the other addresses",
       "says why");
  like(health, d.addr[0], "names it");
  harness_skip(h, 1000);
  is_int(jobs(h, in, 10), 10, "tried again after a second, still busy");
  is_int(came(&d, 0), 1, "by one request");
  harness_skip(h, 1000);
  tell(&d, 0, "ok");
  came(&d, 1);
  is_int(jobs(h, in, 10), 10, "not busy any more");
  is_int(came(&d, 0), 5, "gets its half again");
  is_int(came(&d, 1), 5, "and the other one its own");
  like(harness_last_log(h), "takes requests again", "the log says so");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_OK, "ok");

  /* Both of them. */
  tell(&d, 0, "503-late");
  tell(&d, 1, "503-7");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "both say 503");
  is_int((intmax_t)t[0]->retry_after_ms, 7000, "the soonest Retry-After");
  like(t[0]->detail, "no other address takes the request, the first may in 7 s", "says so");
  a = came(&d, 0);
  b = came(&d, 1);
  ok(a == 1 && b == 1, "both were asked, once");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "and the next job");
  is_int(came(&d, 0) + came(&d, 1), 1, "asks one of them alone");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  harness_skip(h, 7000);
  tell(&d, 1, "ok");
  is_int(jobs(h, in, 10), 10, "one is back");
  is_int(came(&d, 1), 10, "and does them all");
  harness_skip(h, 292999);
  is_int(jobs(h, in, 4), 4, "for as long as max_retry_after grants the other one");
  is_int(came(&d, 0), 0, "it is left alone");
  harness_skip(h, 1);
  is_int(jobs(h, in, 4), 4, "then");
  is_int(came(&d, 0), 1, "it is tried");

  /* Without Retry-After the topic keeps its own pace, or it would rest for seconds whenever it
   * finds out how much the workers bear. */
  harness_skip(h, 300000);
  tell(&d, 0, "503");
  tell(&d, 1, "503");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "both say 503 and no more");
  is_int((intmax_t)t[0]->retry_after_ms, 0, "no Retry-After of theirs");
  like(t[0]->detail, "status 503; no other address takes the request", "says so");

  /* What is no matter of the address. */
  harness_skip(h, 300000);
  tell(&d, 1, "ok");
  tell(&d, 0, "ok");
  is_int(jobs(h, in, 4), 4, "both are fine");
  came(&d, 0), came(&d, 1);
  t[0] = one(h, topic(p, "unix:", "429"));
  is_outcome(t[0], PB_BUSY, "429");
  is_int((intmax_t)t[0]->retry_after_ms, 7000, "with its Retry-After");
  is_int(came(&d, 0) + came(&d, 1), 1, "is the service's: the other one is not asked");
  is_str(one(h, topic(p, "unix:", "503-code"))->body, "done all the same", "503 with a verdict");
  is_int(came(&d, 0) + came(&d, 1), 1, "is one");
  t[0] = one(h, topic_with(p, "unix:", "503-code", "body=content", NULL));
  is_outcome(t[0], PB_BUSY, "503 of a webhook");
  is_int(came(&d, 0) + came(&d, 1), 2, "both were asked");
  nobody_is_there(p);
  harness_free(h, "busy address");
  pair_end(&d);
}

static void test_mute_address(void) {
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p;
  struct harness_inst *in;
  struct harness_ticket *t[8], *probe;
  struct pair d;
  char health[512];
  unsigned done = 0, stuck = 0, n = 0;

  pair_begin(&d);
  p = pool_of(h, &d);
  in = topic(p, "unix:", "told");

  /* One of them hangs, with eight slots. */
  tell(&d, 0, "wait");
  for (int i = 0; i < 8; i++) t[i] = harness_submit(in, "a", 1);
  while (done < 200 && n++ < 4000) {
    harness_turn(h, 20);
    for (int i = 0; i < 8; i++)
      if (t[i]->completions) {
        done += t[i]->outcome == PB_ANSWERED;
        t[i] = harness_submit(in, "a", 1);
      }
  }
  ok(done >= 200, "one of two hangs: the other one goes on");
  is_int(came(&d, 0), 4, "the one that hangs has half of the slots, and no more");
  for (int i = 0; i < 8; i++) harness_wait(h, t[i], 200);
  for (int i = 0; i < 8; i++)
    if (!t[i]->completions) {
      t[stuck++] = t[i];
      harness_cancel(t[i]);
      if (stuck < 3) is_int(inside(p)->addrs.list[0].state, HTTP_ADDR_WELL, "deadline %u", stuck);
    }
  is_int(stuck, 4, "its four requests are at their deadline");
  like(harness_last_log(h),
       "does not answer: 3 requests in a row, the last: no answer by the deadline",
       "the log says so");
  like(harness_last_log(h), d.addr[0], "and names it");
  is_int(jobs(h, in, 20), 20, "now all slots go to the other one");
  is_int(came(&d, 0), 0, "and none to this one");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, " does not answer for 0 s (3 requests in a row, the last: no answer by", "says so");

  /* After a second, one request tries it; nothing follows while that one hangs. */
  harness_skip(h, 1000);
  for (int i = 4; i < 8; i++) t[i] = harness_submit(in, "a", 1);
  for (int i = 5; i < 8; i++) harness_wait(h, t[i], 5000);
  probe = t[4];
  harness_until(h, has_come, d.shared[0] + SERVER_SERVED, 5000);
  is_int(came(&d, 0), 1, "a second later one request tries it");
  is_int(probe->completions, 0, "and hangs");
  harness_cancel(probe);
  harness_skip(h, 5000);
  is_int(jobs(h, in, 10), 10, "as long as it is there");
  is_int(came(&d, 0), 0, "there is no second one");
  like(harness_last_log(h), "does not answer", "and nothing more in the log");
  harness_skip(h, 60000);
  for (int i = 0; i < 4; i++) ok(harness_wait(h, t[i], 1000), "hung up after hangup_after");
  ok(harness_wait(h, probe, 1000), "and so is the probe");
  is_outcome(probe, PB_TIMEOUT, "the probe");

  /* The next one is answered late. */
  probe = harness_submit(in, "a", 1);
  harness_until(h, has_come, d.shared[0] + SERVER_SERVED, 5000);
  is_int(came(&d, 0), 1, "tried once more");
  harness_cancel(probe);
  for (int i = 0; i < 4; i++) harness_turn(h, 10);
  is_int(probe->completions, 0, "past its deadline");
  tell(&d, 0, "ok");
  ok(harness_wait(h, probe, 3000), "answered late");
  like(probe->detail, "answered after the deadline", "says so");
  like(harness_last_log(h), "answers again", "a late answer is an answer");
  came(&d, 1);
  is_int(jobs(h, in, 10), 10, "both are well");
  is_int(came(&d, 0), 5, "it has its half again");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_OK, "ok");

  /* One breaks its connections. */
  tell(&d, 0, "closes");
  came(&d, 1);
  is_int(jobs(h, in, 30), 27, "three jobs are lost to one that closes connections");
  is_int(came(&d, 0), 3, "then it is passed over");
  harness_skip(h, 1000);
  is_int(jobs(h, in, 10), 9, "after a second it is tried again");
  harness_skip(h, 1999);
  is_int(jobs(h, in, 10), 10, "then left alone for longer");
  harness_skip(h, 1);
  tell(&d, 0, "ok");
  is_int(jobs(h, in, 10), 10, "and back with the first answer");
  is_int(came(&d, 0), 1 + 5, "with its half of the jobs");

  /* Both do: nobody else is left, so jobs go on by turns. */
  tell(&d, 0, "closes");
  tell(&d, 1, "closes");
  came(&d, 0), came(&d, 1);
  is_int(jobs(h, in, 20), 0, "both break connections");
  is_int(came(&d, 0), 10, "by turns");
  is_int(came(&d, 1), 10, "all the same");
  is_int(http.pool_health(harness_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  tell(&d, 1, "ok");
  jobs(h, in, 2);
  is_int(jobs(h, in, 10), 10, "one is back");

  /* A topic that is destroyed takes its requests along. */
  tell(&d, 0, "wait");
  tell(&d, 1, "wait");
  for (int i = 0; i < 4; i++) t[i] = harness_submit(in, "a", 1);
  harness_until(h, has_come, d.shared[0] + SERVER_SERVED, 5000);
  harness_cancel(t[0]);
  harness_drain(in);
  harness_destroy(in);
  nobody_is_there(p);
  harness_free(h, "mute address");
  pair_end(&d);
}

static bool resolver_asked(void *arg) {
  return __atomic_load_n(&resolver.asked, __ATOMIC_SEQ_CST) >= *(unsigned *)arg;
}

static uint64_t real_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Nothing may wait for the name server: not the timeout, not cancel(), not destroy(). */
static void test_resolver(void) {
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = harness_pool(h, NULL, "connect_timeout=300ms", NULL);
  struct harness_inst *in = topic(p, "slow.test", "ok");
  unsigned want = __atomic_load_n(&resolver.asked, __ATOMIC_SEQ_CST) + 1;
  struct harness_ticket *t = harness_submit(in, "a", 1);
  uint64_t began = real_ms();

  ok(harness_wait(h, t, 5000), "a name server that does not answer");
  ok(real_ms() - began < 1200, "is not waited for beyond connect_timeout");
  is_outcome(t, PB_UNREACHABLE, "connect_timeout");
  like(t->detail, "slow.test", "names the host");
  t = harness_submit(in, "a", 1);
  want++;
  ok(harness_until(h, resolver_asked, &want, 3000), "asked again");
  began = real_ms();
  harness_cancel(t);
  ok(harness_wait(h, t, 1000), "cancelled meanwhile");
  is_outcome(t, PB_TIMEOUT, "cancelled meanwhile");
  t = harness_submit(in, "a", 1);
  want++;
  ok(harness_until(h, resolver_asked, &want, 3000), "and again");
  harness_drain(in);
  harness_destroy(in);
  ok(real_ms() - began < 1200, "neither cancel() nor destroy() waits for it");
  is_int(resolver.unblocked, 0, "the threads have all signals blocked");
  harness_free(h, "resolver");
}

static void test_cancel(const char *address) {
  struct harness *h = harness_new(&http, HARNESS_VIRTUAL);
  struct harness_pool *p = pool_at(h, address);
  struct harness_inst *sleepy = topic(p, address, "sleep"), *never = topic(p, address, "hang"), *in;
  struct harness_ticket *t = harness_submit(sleepy, "a", 1), *u;
  char *big = calloc(1, 8u << 20);

  if (!big) bail_out("no memory");
  harness_turn(h, 20);
  harness_cancel(t);
  harness_cancel(t);
  for (int i = 0; i < 5; i++) harness_turn(h, 5);
  is_int(t->completions, 0, "cancelled: the slot stays taken while the worker runs");
  ok(harness_wait(h, t, 3000), "and is free when it ends");
  is_outcome(t, PB_TIMEOUT, "cancelled");
  is_str(t->body, "", "its answer is dropped");
  is_outcome(one(h, sleepy), PB_ANSWERED, "the connection is fit for the next");

  for (int header = 0; header < 2; header++) {
    in = header ? topic(p, address, "hang-header") : never;
    t = harness_submit(in, "a", 1);
    for (int i = 0; i < 5; i++) harness_turn(h, 10);
    harness_cancel(t);
    harness_skip(h, 59000);
    harness_turn(h, 5);
    is_int(t->completions, 0, "a worker that never answers: taken before hangup_after");
    harness_skip(h, 2000);
    harness_turn(h, 5);
    ok(harness_wait(h, t, 100), "given up after hangup_after");
    is_outcome(t, PB_TIMEOUT, "hung up");
    like(t->detail, "hangup_after (60 s)", "says so");
    harness_cancel(t); /* late and stale: no effect */
  }

  in = topic(p, address, "never-reads");
  t = harness_submit(in, big, 8u << 20);
  for (int i = 0; i < 5; i++) harness_turn(h, 5);
  harness_cancel(t);
  harness_skip(h, 61000);
  harness_turn(h, 5);
  ok(harness_wait(h, t, 100), "cancelled while the request is sent");
  is_outcome(t, PB_TIMEOUT, "cancelled while sending");

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
  struct harness *h = harness_new(&http, HARNESS_REAL);
  struct harness_pool *p = pool_at(h, address);
  struct http_conns *conns = inside(p)->conns;
  struct harness_inst *in = topic(p, address, "echo");
  struct pb_host host = *conns->h;
  char *big = calloc(1, 8u << 20);
  unsigned before;

  if (!big) bail_out("no memory");
  watching.real = conns->h;
  host.io_set = refusing_io_set;
  conns->h = &host;
  for (unsigned nth = 1; nth <= 2; nth++)
    for (int kept = 0; kept < 2; kept++) {
      struct harness_ticket *t;

      if (kept) is_outcome(one(h, in), PB_ANSWERED, "one that leaves a connection");
      before = served(f);
      watching.left = nth;
      t = harness_submit(in, big, 8u << 20);
      ok(harness_wait(h, t, 3000), "not watched, call %u, %s: completed", nth,
         kept ? "kept" : "new");
      /* A kept one whose peer reads as fast as it is written to needs no call, and the second call
       * is for the answer, which may be there before. */
      ok(t->outcome == PB_LOST || ((watching.left || nth == 2) && t->outcome == PB_ANSWERED),
         "a part was sent: %s", harness_outcome(t->outcome));
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
  harness_free(h, "unwatched");
}

/* --- what is read --- */

static void test_reply(void) {
  static const struct {
    const char *value;
    uint64_t ms;
  } after[] = {
      {"0", 0},
      {"1", 1000},
      {"120", 120000},
      {"soon", 0},
      {"", 0},
      {"-5", 0},
      {"3.5", 0},
      {"999999999", 999999999000},
      {"99999999999999999999999", 1000000000000},
      {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
      {"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
      {"Sun Nov  6 08:49:47 1994", 10000},
      {"Sun, 06 Nov 1994 08:49:27 GMT", 0},
  };
  struct http_reply r;

  for (size_t i = 0; i < sizeof after / sizeof *after; i++)
    is_int((intmax_t)http_retry_after_ms(after[i].value, 784111777), (intmax_t)after[i].ms,
           "Retry-After: %s", after[i].value);
  http_reply_init(&r, 100, 10);
  is_int(http_reply_line(&r, "HTTP/1.1 200 OK\r\n", 17), 0, "status line");
  is_int(http_reply_line(&r, "Code:200\r\n", 10), 0, "Code without a blank");
  is_int(http_reply_line(&r, "Error-Code: \r\n", 14), 0, "an empty value");
  is_str(http_reply_value(&r, r.error_code), "", "is one");
  is_int(r.code, 200, "code");
  is_int(http_reply_body(&r, "0123456789", 10), 0, "the body as large as it may be");
  is_int(http_reply_body(&r, "x", 1), -EMSGSIZE, "and a byte more");
  http_reply_reset(&r);
  is_int(http_reply_line(&r, "HTTP/2 200\r\n", 12), 0, "a status line of HTTP/2");
  for (int i = 0; i < 8; i++) http_reply_line(&r, "X: 45678\r\n", 10);
  is_int(http_reply_line(&r, "X: 45678\r\n", 10), -EMSGSIZE, "a head over its limit");
  http_reply_done(&r);
}

int main(void) {
  struct fixture f;

  fixture_begin(&f);
  test_reply();
  test_check(&f);
  test_addrs();
  test_same_head(&f);
  test_hosts();
  test_unwatched(&f, f.unix_addr);
  test_unwatched(&f, f.tcp_addr);
  for (int way = 0; way < 2; way++) {
    by_libcurl = way;
    diag("requests by %s", by_libcurl ? "libcurl" : "http_conn");
    test_answers(&f, f.unix_addr);
    test_answers(&f, f.tcp_addr);
    test_wishes(f.tcp_addr);
    test_head(&f, f.unix_addr);
    test_head(&f, f.tcp_addr);
    test_bodies(&f, f.unix_addr);
    test_bodies(&f, f.tcp_addr);
    test_content(&f, f.unix_addr);
    test_content(&f, f.tcp_addr);
    test_keeping(&f, f.unix_addr);
    test_keeping(&f, f.tcp_addr);
    test_many(&f, f.unix_addr);
    test_many(&f, f.tcp_addr);
    test_unreachable(&f);
    test_busy_address();
    test_mute_address();
    test_resolver();
    test_cancel(f.unix_addr);
    test_cancel(f.tcp_addr);
  }
  fixture_end(&f);
  return done_testing();
}
