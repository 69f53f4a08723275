/* The HTTP transport against a server that misbehaves: its configuration, what is sent, and what of
 * the answer counts. Connections: test_http_conn.c; several addresses: test_http_addr.c; TLS,
 * HTTP/2, nginx and php-fpm: tests/e2e/test_http.py, test_http_tls.py and test_http2.py.
 */
#include "http_fixture.h"

#include <sys/stat.h>

/* --- the configuration --- */

static void test_refused_values(void) {
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
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct pb_err err;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *pair = option(bad[i].key, bad[i].value);
    int rc = bad[i].pool ? host_check(h, true, &err, pair, NULL)
                         : host_check(h, false, &err, "entry=http://h/w", pair, bad[i].more, NULL);

    is_int(rc, -EINVAL, "refuses %s", pair);
    like(err.text, bad[i].text, "says why");
    is_str(err.option, bad[i].key, "names the key");
  }
  host_free(h, "refused values");
}

static void test_taken_values(void) {
  static const char *const good[] = {"entry=https://app.example/worker?x=1",
                                     "entry=http://[::1]:8080/",
                                     "host=other.example:81",
                                     "header=X-Shop: 7,User-Agent: bus/1",
                                     "authorization=Bearer abc",
                                     "http_version=2-prior",
                                     "body=content"};
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct pb_err err;

  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    is_int(host_check(h, false, &err, "entry=http://h/w", good[i], NULL), 0, "takes %s", good[i]);
  is_int(host_check(h, true, &err,
                    "address=127.0.0.1:80,localhost:81,web.example:80,[::1]:80,unix:/run/w", NULL),
         0, "takes addresses of all forms");
  host_free(h, "taken values");
}

static void test_values_that_must_fit(void) {
  struct pb_topic_info info = {.size = sizeof info, .chunk = 4};
  struct http_topic_conf conf = {.body = HTTP_BODY_CONTENT};
  struct pb_err err;

  is_int(http.check_topic(&info, NULL, &conf, &err), -EINVAL, "body = content with a chunk");
  is_str(err.option, "chunk", "names the key");
  info.chunk = 1;
  conf = (struct http_topic_conf){
      .authorization_file = "", .ca_file = "", .client_cert = "", .client_key = ""};
  is_int(http.check_topic(&info, NULL, &conf, &err), 0, "and without");
  conf.client_cert = "/etc/passwd";
  is_int(http.check_topic(&info, NULL, &conf, &err), 0, "a file that is there");
  conf.client_key = "/etc/passwd/key.pem";
  is_int(http.check_topic(&info, NULL, &conf, &err), -ENOENT, "one that is not");
  is_str(err.option, "client_key", "names the key");
  like(err.text, "no file /etc/passwd/key.pem", "and the file");
}

static void test_files_of_a_topic(const struct fixture *f) {
  static const char secret_file[] = "Bearer of the file\nsecond line\n";
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, NULL);
  struct pb_err err;
  char path[160];
  FILE *out;

  snprintf(path, sizeof path, "%s/secret", f->dir);
  ok(!host_topic(p, "msg", "reply", &err, "entry=http://h/w", option("authorization_file", path),
                 NULL),
     "no topic without its authorization_file");
  like(err.text, "No such file", "says why");
  out = fopen(path, "w");
  fputs(secret_file, out);
  fclose(out);
  ok(host_topic(p, "msg", "reply", &err, "entry=http://h/w", option("authorization_file", path),
                NULL) != NULL,
     "with it");
  ok(!host_topic(p, "msg", "reply", &err, "entry=https://h/w", "ca_file=/nowhere/ca.pem", NULL),
     "no topic without its ca_file");
  like(err.text, "/nowhere/ca.pem", "names it");
  host_free(h, "files of a topic");
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
      {"nul", PB_GARBLED, 0, "", "cannot be used"},
      {"bad-status", PB_GARBLED, 0, "", "cannot be used"},
      {"bad-code", PB_GARBLED, 0, "", "Code \"yes\""},
      {"big-header", PB_GARBLED, 0, "", "max_header"},
      {"big", PB_GARBLED, 0, "", "max_response"},
      {"endless", PB_GARBLED, 0, "", "max_response"},
  };
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_at(h, address);
  struct host_inst *good = topic(p, address, "ok");

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct host_inst *in = topic_with(p, address, e->how, "max_response=1mb", NULL);
    unsigned before = served(f);

    for (int again = 0; again < 2; again++) {
      struct host_ticket *t = one(h, in);

      is_outcome(t, e->outcome, e->how);
      is_int(t->code, e->code, "%s: code", e->how);
      is_str(t->body, e->body, "%s: body", e->how);
      if (e->detail)
        like(t->detail, e->detail, "%s: detail", e->how);
      else
        is_str(t->detail, "", "%s: no detail", e->how);
      if (strcmp(e->how, "close-after") == 0) until_heard(p);
      if (e->outcome != PB_ANSWERED) like(t->detail, address, "%s: names the peer", e->how);
      is_str(one(h, good)->body, "fine", "the next request is not touched");
    }
    is_int(served(f) - before, 4, "%s: nothing was sent twice", e->how);
  }
  is_int((intmax_t)metric(h, METRIC_OVER_LIMIT), 6, "answers over a limit are counted");
  host_free(h, "answers");
}

static void test_wishes(const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_at(h, address);
  struct host_ticket *t = one(h, topic(p, address, "429"));

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
  host_free(h, "wishes");
}

/* --- what is sent --- */

static void test_head(const struct fixture *f, const char *address) {
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p;
  struct host_ticket *t;
  struct host_inst *in;
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

  host_sign(h, true);
  t = one(h, in);
  like(t->body, "\r\nX-Pepperbus-Signature: t=1,v1=host\r\n", "signed");
  host_sign(h, false);
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
  host_free(h, "head");

  h = tap_host(&http, HOST_REAL);
  p = pool_with(h, address, "keepalive=no");
  like(one(h, topic(p, address, "dump"))->body, "\r\nConnection: close\r\n", "keepalive = no");
  one(h, topic(p, address, "ok"));
  is_int(http_pool_connections(inside(p)), 0, "nothing is kept");
  host_free(h, "no keepalive");
}

static void test_bodies(const struct fixture *f, const char *address) {
  static const size_t sizes[] = {1, 1000, 16384, 65535, 65536, 65537, 1u << 20, 8u << 20};
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_inst *in = topic(pool_at(h, address), address, "echo");
  char *body = malloc(8u << 20), want[100];

  if (!body) bail_out("no memory");
  for (size_t i = 0; i < 8u << 20; i++) body[i] = (char)('a' + i * 7 % 26 + i / 65528 % 5);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct host_ticket *t = host_submit(in, body, sizes[i]);
    unsigned long sum = 0;

    for (size_t k = 0; k < sizes[i]; k++) sum = sum * 31 + (unsigned char)body[k];
    snprintf(want, sizeof want, "%zu %zu %lu", sizes[i], sizes[i], sum);
    ok(host_wait(h, t, WAIT), "%zu bytes: completed", sizes[i]);
    is_str(t->body, want, "%zu bytes arrive as they were", sizes[i]);
  }
  /* Refused before all of it was sent. libcurl that meets the reset while it sends reads no more
   * and calls it lost, which is true as well: to it the reset comes behind the answer. */
  for (int resets = 0; resets < 2; resets++) {
    struct host_ticket *t;

    open_gate(f, !by_libcurl);
    t = host_submit(topic(pool_at(h, address), address, resets ? "413-resets" : "413"), body,
                    8u << 20);
    ok(host_wait(h, t, WAIT), "413 in the middle of a large request: completed");
    open_gate(f, true);
    is_outcome(t, PB_ANSWERED, resets ? "413, then a reset" : "413");
    like(t->detail, "raise its limit", "its answer counts");
    is_outcome(one(h, in), PB_ANSWERED, "the next one");
  }
  /* Answered before all of it was sent: the rest follows, and the connection goes on. */
  in = topic(pool_at(h, address), address, "early");
  for (int again = 0; again < 2; again++) {
    unsigned whole = count_of(f, SERVER_WHOLE);
    struct host_ticket *t = host_submit(in, body, 8u << 20);

    ok(host_wait(h, t, WAIT), "answered in the middle of a large request: completed");
    is_outcome(t, PB_ANSWERED, "early");
    is_str(t->body, "fine", "its answer counts");
    ok(more_than(f, SERVER_WHOLE, whole), "all of the request has arrived");
  }
  free(body);
  host_free(h, "bodies");
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
      struct host *h = tap_host(&http, HOST_REAL);
      struct host_pool *p = pool_with(h, f->tcp_addr, keep ? "keepalive=yes" : "keepalive=no");
      char got[2][2000], url[300];

      for (int way = 0; way < 2; way++) {
        struct host_ticket *t;

        snprintf(url, sizeof url, "http://%s%s", f->tcp_addr, all[i][0]);
        by_libcurl = way;
        t = one(h, topic_at(p, option("entry", url), all[i][1], all[i][2]));
        is_outcome(t, PB_ANSWERED, all[i][0]);
        sorted(t->body, got[way], sizeof got[way]);
      }
      like(got[0], "Content-Length: 11\n", "a head");
      is_str(got[0], got[1], "%s: the head is libcurl's", all[i][0]);
      host_free(h, "same head");
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
      {"http://b\xc3\xbc"
       "cher.example/w",
       NULL},
      {"https://shop.example/w", NULL},
  };
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, NULL);

  by_libcurl = false;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct instance *in = host_plugin_inst(topic_at(p, option("entry", all[i].entry), NULL, NULL));

    if (all[i].head)
      ok(in->target.head && strncmp(in->target.head, all[i].head, strlen(all[i].head)) == 0,
         "%s: %.60s", all[i].entry, in->target.head ? in->target.head : "none");
    else
      ok(!in->target.head, "%s: by libcurl", all[i].entry);
    if (strchr(all[i].entry, '%'))
      is_str(in->target.peer, "http://[fe80::1%25eth0]:80", "connections by link");
  }
  ok(!((struct instance *)host_plugin_inst(
           topic_at(p, "entry=http://h/", "http_version=2-prior", NULL)))
          ->target.head,
     "HTTP/2: by libcurl");
  host_free(h, "hosts");
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
  struct host *h = tap_host(&http, HOST_REAL);
  struct host_pool *p = pool_at(h, address);
  struct host_inst *in =
      topic_with(p, address, "dump", "body=content", "content_type=application/json");
  struct host_ticket *t = host_submit(in, "{\"a\":1}", 7);
  unsigned before;

  ok(host_wait(h, t, WAIT), "completed");
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
  t = host_submit(in, "", 0);
  ok(host_wait(h, t, WAIT), "an empty job");
  like(t->body, "\r\nContent-Length: 0\r\n", "is an empty body");
  t = ping(h, topic_with(p, "127.0.0.1:1", "ok", "body=content", NULL));
  if (strncmp(address, "unix:", 5) != 0) {
    is_outcome(t, PB_UNREACHABLE, "a ping where nobody listens");
    t = ping(h, in);
    is_outcome(t, PB_ANSWERED, "once more");
  }
  host_free(h, "content");
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
  test_refused_values();
  test_taken_values();
  test_values_that_must_fit();
  test_files_of_a_topic(&f);
  test_same_head(&f);
  test_hosts();
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
  }
  fixture_end(&f);
  return done_testing();
}
