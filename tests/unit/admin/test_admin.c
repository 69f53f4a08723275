/* The admin port's routing and its held requests, with handlers and registry of the test: who may
 * ask, what a path means, and what becomes of answers that come late or find nobody. */
#include "admin/routes.c"

#include "base/buf.h"

#include "tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WAIT_MS 60000

/* The port, and the last call that a handler held. */
struct test {
  struct admin admin; /* first: a call knows it */
  struct admin_view view;
  struct settings settings;
  struct call *last;
  char seen[256]; /* what handlers were given */
  int listen_fd;
  struct io io;
  bool foreign_known; /* "bus.example.com" is a name of ours */
  struct loop *loop;
  int port;
};

static struct test *test_of(struct admin *a) {
  return (struct test *)(void *)a;
}

bool admin_host_fits(struct admin *a, const char *host) {
  return strcmp(host, "bus.example.com") || test_of(a)->foreign_known;
}

/* --- who asks --- */

void call_credentials(struct call *c, struct call_credentials *ret) {
  *ret = (struct call_credentials){
      .c = {.authorization = http_head_field(http_request_head(c->req), "Authorization"),
            .node_token = call_has_node_token(c)}};
}
void call_credentials_done(struct call_credentials *k) {
  (void)k;
}
bool call_origin_fits(struct call *c) {
  if (http_head_field(http_request_head(c->req), "Origin")) return true;
  call_error(c, 403, "no page of ours");
  return false;
}

void accounts_audit(struct accounts *a, const struct identity *id, const struct credentials *c,
                    const struct audit_row *row) {
  (void)a;
  (void)id;
  (void)c;
  (void)row;
}

/* "Bearer ROLE" is a session with that role. "Bearer later" and "Bearer never" wait for answer().
 */
static accounts_identity_fn waits_fn;
static void *waits_arg;

static void answer(int status, enum identity_how how, enum role role) {
  struct identity *id = identity_new(how, "ann", role, NULL, 0);
  accounts_identity_fn fn = waits_fn;
  waits_fn = NULL;
  fn(waits_arg, status, status == 200 ? id : NULL, "away");
  identity_unref(id);
}

void accounts_identify(struct accounts *a, const struct credentials *c, accounts_identity_fn fn,
                       void *arg) {
  enum role role = ROLE_ADMIN;
  const char *name = c->authorization ? c->authorization + strlen("Bearer ") : "";
  (void)a;
  waits_fn = fn;
  waits_arg = arg;
  if (!strcmp(name, "later")) return;
  bool known = c->node_token || rights_role_named(name, &role);
  answer(known ? 200 : 401, c->node_token ? IDENTITY_NODE : IDENTITY_SESSION, role);
}

/* --- the handlers --- */

static void see(struct call *c, const char *what) {
  snprintf(test_of(c->admin)->seen, sizeof test_of(c->admin)->seen, "%s(%s,%s,%s)", what,
           c->args[0] ? c->args[0] : "", c->args[1] ? c->args[1] : "",
           c->args[2] ? c->args[2] : "");
  call_json(c, 200, json_object());
}

static void hold(struct call *c) {
  test_of(c->admin)->last = c;
  call_wait(c, WAIT_MS);
}

#define SEES(name)                                                                                 \
  void name(struct call *c) {                                                                      \
    see(c, #name);                                                                                 \
  }
SEES(admin_get_openapi)
SEES(admin_get_events)
SEES(admin_delete_node)
SEES(admin_delete_section)
SEES(admin_delete_token)
SEES(admin_delete_user)
SEES(admin_get_audit)
SEES(admin_get_cluster)
SEES(admin_get_diff)
SEES(admin_get_export)
SEES(admin_get_revision)
SEES(admin_get_revisions)
SEES(admin_get_tokens)
SEES(admin_get_users)
SEES(admin_post_cluster_key)
SEES(admin_post_drain)
SEES(admin_post_link)
SEES(admin_post_token)
SEES(admin_post_user)
SEES(admin_post_user_password)
SEES(admin_get_options)
SEES(admin_get_section)
SEES(admin_get_sections)
SEES(admin_post_section_check)
SEES(admin_post_sections)
SEES(admin_put_section)
SEES(admin_put_user)
SEES(admin_get_health)
SEES(admin_get_ready)
SEES(admin_get_metrics)
SEES(admin_get_queues)
SEES(admin_get_topics)
SEES(admin_get_summary)
SEES(admin_get_systems)
SEES(admin_get_storages)
SEES(admin_post_storage_check)
SEES(admin_get_topic)
SEES(admin_get_topic_lines)
SEES(admin_get_topic_nodes)
SEES(admin_get_nodes)
SEES(admin_get_node_log)
SEES(admin_get_pools)
SEES(admin_post_pause)
SEES(admin_post_resume)
SEES(admin_get_errors)
SEES(admin_get_topic_history)
SEES(admin_get_node_history)
SEES(admin_get_history)
SEES(admin_get_signatures)
SEES(admin_post_mark)
SEES(admin_get_retry_one)
SEES(admin_get_retry_content)
SEES(admin_post_purge)
SEES(admin_get_stray)
SEES(admin_post_drop)
SEES(admin_get_id)
SEES(admin_post_reload)
SEES(admin_get_config)
SEES(admin_get_shared)
SEES(admin_post_config_check)
SEES(admin_post_config_apply)
SEES(admin_post_config_import)
SEES(admin_post_config_rollback)
SEES(admin_post_config_restore)
SEES(admin_get_session)
SEES(admin_post_session)
SEES(admin_post_session_link)
SEES(admin_post_session_password)
SEES(admin_delete_session)
SEES(admin_get_acts)
SEES(admin_get_act)
SEES(admin_post_move)
SEES(admin_post_act_cancel)
SEES(admin_get_clients)
SEES(admin_get_failed)
SEES(admin_get_failed_groups)
SEES(admin_get_failed_export)
SEES(admin_post_failed_import)
SEES(admin_post_act_undo)
SEES(admin_get_problems)
SEES(admin_post_failed_one)
SEES(admin_get_topic_jobs)
SEES(admin_get_job)
SEES(admin_post_job_cancel)
SEES(admin_post_job_replay)
SEES(admin_delete_client)
SEES(admin_get_alerts)
SEES(admin_post_silence)
SEES(admin_delete_silence)

void admin_get_status(struct call *c) {
  (void)c; /* forgets to answer */
}
void admin_post_ping(struct call *c) {
  hold(c);
}
void admin_post_test(struct call *c) {
  size_t len;
  const char *body = call_body(c, &len);
  call_text(c, 200, "application/octet-stream", body, len);
}
void admin_post_replay(struct call *c) {
  json_t *o = call_body_json(c);
  if (o) call_json(c, 200, o);
}
void admin_get_retry(struct call *c) {
  uint64_t n;
  char set[8] = "-";
  call_query(c, "set", set, sizeof set);
  if (!call_query_u64(c, "count", 7, 100, &n)) return;
  call_json(c, 200, json_pack("{s:I,s:s}", "count", (json_int_t)n, "set", set));
}
void admin_post_job(struct call *c) {
  hold(c);
  hold(c); /* two callbacks */
}

bool call_passes(struct call *c) {
  (void)c;
  return false;
}

/* --- a registry of nothing --- */

struct queue *registry_queue(struct registry *reg, const char *name, size_t len) {
  (void)reg, (void)name, (void)len;
  return NULL;
}
struct topic *registry_topic(struct registry *reg, const char *path, size_t len) {
  (void)reg, (void)path, (void)len;
  return NULL;
}
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
const char *const topic_state_names[TOPIC_STATES] = {"waiting"};

/* --- a client in the same thread --- */

static int client_open(struct test *a) {
  struct sockaddr_in sin = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)a->port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof sin) < 0) bail_out("no connection");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void turn(struct test *a);

static void client_send(int fd, const char *text, size_t len) {
  if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len) bail_out("cannot send");
}

/* What has come once `part` is in it (NULL: once the connection has ended); the loop runs
 * meanwhile. */
static const char *client_read(struct test *a, int fd, const char *part, char *ret, size_t size) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  uint64_t end = loop_clock_ms() + WAIT_MS;
  size_t at = 0;
  ret[0] = 0;
  while ((!part || !strstr(ret, part)) && loop_clock_ms() < end) {
    if (a->loop) turn(a);
    if (poll(&p, 1, a->loop ? 0 : 100) <= 0) continue;
    ssize_t n = recv(fd, ret + at, size - 1 - at, 0);
    if (n <= 0) break;
    at += (size_t)n;
    ret[at] = 0;
  }
  return ret;
}

/* Nothing comes in a few turns. */
static bool client_silent(struct test *a, int fd) {
  char c;
  for (int i = 0; i < 4; i++) {
    loop_turn(a->loop, 5);
    if (recv(fd, &c, 1, MSG_PEEK) >= 0) return false;
  }
  return true;
}

/* Sends a request that its handler holds, and waits for that. */
static void client_hold(struct test *a, int fd, const char *text, size_t len) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  a->last = NULL;
  client_send(fd, text, len);
  while (!a->last && loop_clock_ms() < end) loop_turn(a->loop, 5);
  if (!a->last) bail_out("the request did not come to its handler");
}

static const char *ask_raw(struct test *a, const char *text, size_t len, char *ret, size_t size) {
  int fd = client_open(a);
  a->seen[0] = 0;
  client_send(fd, text, len);
  client_read(a, fd, NULL, ret, size);
  close(fd);
  loop_turn(a->loop, 5);
  return ret;
}

/* One request with the token, on a connection that ends behind its answer. */
static const char *ask(struct test *a, const char *method, const char *path, const char *body,
                       char *ret, size_t size) {
  char text[4096];
  int len = snprintf(text, sizeof text,
                     "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " TOKEN
                     "\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, strlen(body), body);
  return ask_raw(a, text, (size_t)len, ret, size);
}

static void on_knock(int fd, unsigned events, void *arg) {
  struct test *a = arg;
  int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  (void)events;
  if (client >= 0) http_server_take(a->admin.http, client, "127.0.0.1:1", false);
}

/* As the port's sockets do. */
static void turn(struct test *a) {
  if (http_server_room(a->admin.http))
    io_want(&a->io, IO_READ);
  else
    io_want(&a->io, 0);
  loop_turn(a->loop, 5);
}

static void start(struct test *a) {
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof sin;
  memset(a, 0, sizeof *a);
  static const char *const none[] = {NULL};
  a->settings.server.node = "n";
  a->settings.server.auth_header = a->settings.server.base_path = "";
  a->settings.server.hosts = none;
  a->view.settings = &a->settings;
  a->view.log = log_new(open("/dev/null", O_WRONLY));
  a->loop = a->view.loop = loop_new(a->view.log);
  a->admin.view = &a->view;
  a->admin.body_max = 4096;
  strcpy(a->admin.token, TOKEN);
  struct http_events ev = admin_events(&a->admin);
  a->admin.http = http_server_new(a->loop, &http_limits_default, &ev);
  a->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(a->listen_fd, (struct sockaddr *)&sin, sizeof sin) || listen(a->listen_fd, 512) ||
      getsockname(a->listen_fd, (struct sockaddr *)&sin, &len) < 0)
    bail_out("cannot listen");
  io_init(&a->io, a->loop, a->listen_fd, on_knock, a);
  io_want(&a->io, IO_READ);
  a->port = ntohs(sin.sin_port);
}

static void end(struct test *a) {
  http_server_free(a->admin.http);
  io_done(&a->io);
  close(a->listen_fd);
  loop_turn(a->loop, 0);
  loop_free(a->loop);
  log_free(a->view.log);
}

/* --- tests --- */

static void test_token(struct test *a) {
  static const struct {
    const char *header, *status;
  } cases[] = {
      {"", "401"},
      {"Authorization: Bearer\r\n", "401"},
      {"Authorization: Bearer \r\n", "401"},
      {"Authorization: Bearer 0123456789abcdef\r\n", "401"},
      {"Authorization: Bearer " TOKEN "0\r\n", "401"},
      {"Authorization: Basic " TOKEN "\r\n", "401"},
      {"Authorization: " TOKEN "\r\n", "401"},
      {"Cookie: token=" TOKEN "\r\n", "401"},
      {"Authorization: Bearer " TOKEN "\r\n", "200"},
      {"authorization: bearer   " TOKEN "\r\n", "200"},
  };
  char text[1024], got[4096];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int len = snprintf(text, sizeof text,
                       "GET /api/v1/queues HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                       cases[i].header);
    ask_raw(a, text, (size_t)len, got, sizeof got);
    ok(!strncmp(got + 9, cases[i].status, 3), "\"%.30s\" opens or not", cases[i].header);
    is_int(*a->seen != 0, !strcmp(cases[i].status, "200"), "the handler ran only then");
  }
  static const char open[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  like(ask_raw(a, open, sizeof open - 1, got, sizeof got), " 200 ", "/healthz needs none");
}

static void test_routes(struct test *a) {
  static const struct {
    const char *method, *path, *status, *seen;
  } cases[] = {
      {"GET", "/api/v1/topics/q/t", "200", "admin_get_topic(q,t,)"},
      {"GET", "/api/v1/topics/q/t/", "200", "admin_get_topic(q,t,)"},
      {"HEAD", "/api/v1/topics/q/t", "200", "admin_get_topic(q,t,)"},
      {"GET", "/api/v1/topics/a%2Eb%3Ac/%2e%2e", "200", "admin_get_topic(a.b:c,..,)"},
      {"GET", "/api/v1/topics/a+b/%2B", "200", "admin_get_topic(a+b,+,)"},
      {"GET", "/api/v1/topics/a%2Fb/c", "200", "admin_get_topic(a/b,c,)"},
      {"GET", "/api/v1/topics/a%00b/c", "404", ""},
      {"GET", "/api/v1/topics//c", "404", ""},
      {"GET", "/api/v1/topics/q", "404", ""},
      {"GET", "/api/v1/topics/q/t/retry/17", "200", "admin_get_retry_one(q,t,17)"},
      {"GET", "/api/v1/topics/q/t/retry/17/content", "200", "admin_get_retry_content(q,t,17)"},
      {"GET", "/api/v1/topics/q/t/nothing", "404", ""},
      {"GET", "/api/v1/topics/q/t/errors/x", "404", ""},
      {"GET", "/api/v1/topicss", "404", ""},
      {"GET", "/api/v1/topic", "404", ""},
      {"GET", "/api/v1", "404", ""},
      {"GET", "/", "404", ""},
      {"GET", "/a/b/c/d/e/f/g/h/i/j/k", "404", ""},
      {"GET", "/api/v1/topics/q/t/purge", "405", ""},
      {"HEAD", "/api/v1/topics/q/t/purge", "405", ""},
      {"PUT", "/api/v1/topics/q/t/purge", "405", ""},
      {"POST", "/api/v1/topics/q/t/purge", "200", "admin_post_purge(q,t,)"},
      {"POST", "/api/v1/topics/q/t", "405", ""},
      {"DELETE", "/api/v1/topics/q/t", "405", ""},
      {"GET", "/api/v1/status", "500", ""},
  };
  char got[4096], path[1024] = "/api/v1/topics/";
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ask(a, cases[i].method, cases[i].path, "", got, sizeof got);
    ok(!strncmp(got + 9, cases[i].status, 3), "%s %s: %s", cases[i].method, cases[i].path,
       cases[i].status);
    is_str(a->seen, cases[i].seen, "  handler and names");
  }
  like(ask(a, "GET", "/api/v1/topics/q/t/purge", "", got, sizeof got), "Allow: POST",
       "405 says which method");
  memset(path + strlen(path), 'x', 500);
  like(ask(a, "GET", path, "", got, sizeof got), " 404 ", "a name of 500 bytes");
}

static void test_parts(struct test *a) {
  char got[8192];
  like(ask(a, "POST", "/api/v1/topics/q/t/test", "a body", got, sizeof got), "\r\n\r\na body",
       "the body arrives whole");
  like(ask(a, "GET", "/api/v1/topics/q/t/retry?set=dead&count=3", "", got, sizeof got),
       "{\"count\":3,\"set\":\"dead\"}", "query parameters");
  like(ask(a, "GET", "/api/v1/topics/q/t/retry", "", got, sizeof got),
       "{\"count\":7,\"set\":\"-\"}", "their defaults");
  static const char *const bad[] = {"x", "-1", "101", "3x", "", "99999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char path[100];
    snprintf(path, sizeof path, "/api/v1/topics/q/t/retry?count=%s", bad[i]);
    like(ask(a, "GET", path, "", got, sizeof got), " 400 ", "count=%s is refused", bad[i]);
  }
  static const char *const bodies[] = {"[]", "{", "{\"a\":1,\"a\":2}", "null", "{} x"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
    like(ask(a, "POST", "/api/v1/topics/q/t/replay", bodies[i], got, sizeof got), " 400 ",
         "the body %s is refused", bodies[i]);
  like(ask(a, "POST", "/api/v1/topics/q/t/replay", "{\"all\":true}", got, sizeof got),
       "{\"all\":true}", "a JSON body");
  like(ask(a, "POST", "/api/v1/topics/q/t/replay", "", got, sizeof got), "{}", "none is {}");
}

#define PING                                                                                       \
  "POST /api/v1/topics/q/t/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " TOKEN               \
  "\r\nContent-Length: 0\r\n\r\n"
#define LOOK "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

/* As somebody whom the stub above knows by this word. */
static const char *ask_as(struct test *a, const char *who, const char *head, const char *fields,
                          char *ret, size_t size) {
  char text[1024];
  int len = snprintf(text, sizeof text,
                     "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s"
                     "Connection: close\r\nContent-Length: 0\r\n\r\n",
                     head, who, fields);
  return ask_raw(a, text, (size_t)len, ret, size);
}

/* a route asks for a right, and a change by a session for a page of ours */
static void test_rights(struct test *a) {
  static const char origin[] = "Origin: http://x\r\n";
  char got[4096];
  like(ask_as(a, "viewer", "GET /api/v1/topics", "", got, sizeof got), " 200 ", "a viewer looks");
  like(ask_as(a, "viewer", "POST /api/v1/topics/q/t/pause", origin, got, sizeof got), " 403 ",
       "and does not pause");
  is_str(a->seen, "", "nothing was done");
  like(ask_as(a, "operator", "POST /api/v1/topics/q/t/pause", origin, got, sizeof got), " 200 ",
       "an operator does");
  like(ask_as(a, "operator", "POST /api/v1/reload", origin, got, sizeof got), " 403 ",
       "and does not reload");
  like(ask_as(a, "admin", "POST /api/v1/reload", origin, got, sizeof got), " 200 ",
       "an admin does");
  like(ask_as(a, "admin", "POST /api/v1/reload", "", got, sizeof got), " 403 ",
       "but not from a page of somebody else's");
  is_str(a->seen, "", "nothing was done then");
  like(ask_as(a, "nobody", "GET /api/v1/nothing", "", got, sizeof got), " 401 ",
       "who is not known learns of no path");
  like(ask_as(a, "viewer", "GET /api/v1/session", "", got, sizeof got), " 200 ", "one's session");
  is_str(a->seen, "admin_get_session(,,)", "  is shown");
  like(ask_as(a, "viewer", "DELETE /api/v1/session", origin, got, sizeof got), " 200 ",
       "and ended");
  is_str(a->seen, "admin_delete_session(,,)", "  by the same path");
  like(ask_as(a, "nobody", "POST /api/v1/session", origin, got, sizeof got), " 200 ",
       "a login needs nobody");
  like(ask_as(a, "nobody", "POST /api/v1/session", "", got, sizeof got), " 403 ",
       "but a page of ours");
  like(ask_as(a, "viewer", "PUT /api/v1/session", origin, got, sizeof got), " 405 ",
       "no other method");
}

static void test_identity_later(struct test *a) {
  static const char text[] = "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n"
                             "Authorization: Bearer later\r\nContent-Length: 2\r\n\r\n{}";
  char got[4096];
  const struct {
    int status;
    enum role role;
    const char *want;
  } cases[] = {{200, ROLE_ADMIN, " 200 "},
               {200, ROLE_VIEWER, " 403 "},
               {401, 0, " 401 "},
               {503, 0, " 503 "}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int fd = client_open(a);
    uint64_t end_ms = loop_clock_ms() + WAIT_MS;
    a->seen[0] = 0;
    client_send(fd, text, sizeof text - 1);
    while (!waits_fn && loop_clock_ms() < end_ms) turn(a);
    is_str(a->seen, "", "nothing is done while it is looked up who asks");
    answer(cases[i].status, IDENTITY_SESSION, cases[i].role);
    client_read(a, fd, "}\n", got, sizeof got);
    like(got, cases[i].want, "then %d", cases[i].status);
    close(fd);
    turn(a);
  }
  int fd = client_open(a);
  uint64_t end_ms = loop_clock_ms() + WAIT_MS;
  client_send(fd, text, sizeof text - 1);
  while (!waits_fn && loop_clock_ms() < end_ms) turn(a);
  a->admin.waiting->deadline_ms = 0;
  calls_sweep(&a->admin, false);
  client_read(a, fd, "}\n", got, sizeof got);
  like(got, " 504 ", "one that nobody finds is answered in time");
  answer(200, IDENTITY_SESSION, ROLE_ADMIN);
  ok(!a->admin.waiting, "and what comes later finds no one");
  close(fd);
}

static void test_held(struct test *a) {
  char got[4096];
  int fd = client_open(a);
  client_hold(a, fd, PING LOOK, sizeof PING LOOK - 1);
  ok(client_silent(a, fd), "a held request has no answer yet");
  ok(a->admin.waiting == a->last, "it is on the list");
  call_json(a->last, 200, json_pack("{s:s}", "late", "answer"));
  call_json(a->last, 200, json_pack("{s:s}", "second", "answer"));
  call_unref(a->last);
  client_read(a, fd, "\r\n\r\n{}\n", got, sizeof got);
  like(got, "{\"late\":\"answer\"}", "it is answered later");
  unlike(got, "second", "once");
  like(got, "\r\n\r\n{}\n", "the next one on the connection comes after it");
  ok(!a->admin.waiting, "and nothing is held any more");
  close(fd);
  loop_turn(a->loop, 5);
}

/* Nothing is read while a request is held: that its client is gone shows when the answer is
 * written. */
static void test_gone(struct test *a) {
  int fd = client_open(a);
  client_hold(a, fd, PING, sizeof PING - 1);
  struct linger hard = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(fd);
  for (int i = 0; i < 5; i++) loop_turn(a->loop, 2);
  call_json(a->last, 200, json_object());
  for (int i = 0; i < 5; i++) loop_turn(a->loop, 2);
  ok(call_answered(a->last), "a client that went away is as good as answered");
  call_error(a->last, 500, "late");
  call_unref(a->last);
  ok(!a->admin.waiting, "no call waits for it");
  /* The connection itself ends first: its request is gone with it. */
  fd = client_open(a);
  client_hold(a, fd, PING, sizeof PING - 1);
  http_cut(a->last->req);
  ok(call_answered(a->last), "so is one whose connection was freed");
  call_json(a->last, 200, json_object());
  call_unref(a->last);
  ok(!a->admin.waiting, "and it is forgotten");
  close(fd);
  loop_turn(a->loop, 5);
}

static void test_watchdog(struct test *a) {
  char got[4096];
  int fd = client_open(a);
  client_hold(a, fd, PING, sizeof PING - 1);
  calls_sweep(&a->admin, false);
  ok(client_silent(a, fd), "before its time the watchdog is quiet");
  a->last->deadline_ms = 0;
  calls_sweep(&a->admin, false);
  like(client_read(a, fd, "}\n", got, sizeof got), " 504 ", "then it answers");
  calls_sweep(&a->admin, false);
  ok(client_silent(a, fd), "once");
  ok(a->admin.waiting == a->last, "the callback is still to come");
  call_json(a->last, 200, json_object());
  call_unref(a->last);
  ok(!a->admin.waiting, "with it the call ends");
  close(fd);
}

/* Calls outlive the port: their callbacks come when the storages are freed. */
static void test_end(struct test *a) {
  static const char job[] = "POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: x\r\n"
                            "Authorization: Bearer " TOKEN "\r\nContent-Length: 0\r\n\r\n";
  char got[4096];
  int fd = client_open(a), other = client_open(a);
  client_hold(a, fd, PING, sizeof PING - 1);
  struct call *first = a->last;
  client_hold(a, other, job, sizeof job - 1);
  struct call *second = a->last;
  calls_sweep(&a->admin, true);
  http_server_free(a->admin.http);
  a->admin.http = NULL;
  struct loop *loop = a->loop;
  a->loop = NULL; /* nothing turns any more: the answers must be out */
  like(client_read(a, fd, NULL, got, sizeof got), "stopping", "held requests are answered");
  like(client_read(a, other, NULL, got, sizeof got), "stopping", "all of them");
  a->loop = loop;
  ok(!first->admin && !second->admin, "the calls know that the port is gone");
  ok(!call_topic_again(first), "and look nothing up");
  call_json(first, 200, json_object());
  call_unref(first);
  call_unref(second);
  call_unref(second);
  close(fd);
  close(other);
}

/* --- the server: limits, deadlines, names, bodies --- */

#define ASK(path, more) "GET " path " HTTP/1.1\r\nHost: x\r\n" more "\r\n"
#define WITH_TOKEN      "Authorization: Bearer " TOKEN "\r\n"

static const char *ask_text(struct test *a, const char *text, char *ret, size_t size) {
  int fd = client_open(a);
  a->seen[0] = 0;
  client_send(fd, text, strlen(text));
  client_read(a, fd, NULL, ret, size);
  close(fd);
  loop_turn(a->loop, 5);
  return ret;
}

/* @case X3: a foreign Host is refused, whatever is asked but health */
static void test_hosts(struct test *a) {
  static const char foreign[] = "Host: bus.example.com\r\nConnection: close\r\n";
  char got[4096], text[1024];
  snprintf(text, sizeof text, "GET /api/v1/queues HTTP/1.1\r\n%s" WITH_TOKEN "\r\n", foreign);
  like(ask_text(a, text, got, sizeof got), " 403 ", "a foreign Host is refused, token or not");
  is_str(a->seen, "", "and nothing is done");
  a->foreign_known = true;
  like(ask_text(a, text, got, sizeof got), " 200 ", "until it is one of ours");
  a->foreign_known = false;
  snprintf(text, sizeof text, "GET /metrics HTTP/1.1\r\n%s\r\n", foreign);
  like(ask_text(a, text, got, sizeof got), " 403 ", "/metrics too");
  snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\n%s\r\n", foreign);
  like(ask_text(a, text, got, sizeof got), " 200 ", "/healthz is for any");
  like(ask_text(a,
                "GET http://bus.example.com/metrics HTTP/1.1\r\nHost: x\r\n\r\n"
                "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                got, sizeof got),
       " 403 ", "the name in an absolute target counts");
}

/* @case X3: /metrics wants the token where metrics_auth says so */
static void test_metrics_auth(struct test *a) {
  char got[4096];
  static const char bare[] = ASK("/metrics", "Connection: close\r\n");
  like(ask_text(a, bare, got, sizeof got), " 200 ", "/metrics needs no token");
  a->settings.server.metrics_auth = 1;
  like(ask_text(a, bare, got, sizeof got), " 401 ", "with metrics_auth it does");
  like(ask_text(a, ASK("/metrics", "Connection: close\r\n" WITH_TOKEN), got, sizeof got), " 200 ",
       "and takes it");
  a->settings.server.metrics_auth = 0;
}

/* @case X3: a body is not read before the token and its declared length are looked at */
static void test_bodies(struct test *a) {
#define POST_TEST "POST /api/v1/topics/q/t/test HTTP/1.1\r\nHost: x\r\n"
  char got[8192];
  like(ask_text(a, POST_TEST "Content-Length: 1000000000\r\n\r\n", got, sizeof got), " 401 ",
       "without the token the answer does not wait for the body");
  like(got, "Connection: close", "and the connection ends");
  like(ask_text(a, POST_TEST WITH_TOKEN "Content-Length: 4097\r\n\r\n", got, sizeof got), " 413 ",
       "a body that is declared too large is not waited for");
  like(ask_text(a, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", got,
                sizeof got),
       " 413 ", "strangers have no bodies");
  like(ask_text(a,
                POST_TEST WITH_TOKEN "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                                     "6\r\nchunks\r\n0\r\n\r\n",
                got, sizeof got),
       "\r\n\r\nchunks", "a body in chunks");
  like(ask_text(a, POST_TEST WITH_TOKEN "Transfer-Encoding: chunked\r\n\r\n6\r\nchunks0\r\n", got,
                sizeof got),
       " 400 ", "chunks that are none");
  int fd = client_open(a);
  static const char expects[] =
      POST_TEST WITH_TOKEN "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  client_send(fd, expects, sizeof expects - 1);
  like(client_read(a, fd, "\r\n\r\n", got, sizeof got), "HTTP/1.1 100 ",
       "a client that asks first is told");
  client_send(fd, "body", 4);
  like(client_read(a, fd, "body", got, sizeof got), " 200 ", "and sends it");
  close(fd);
  static const char refused[] = POST_TEST "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  unlike(ask_text(a, refused, got, sizeof got), " 100 ", "but not without the token");
  struct http_limits few = http_limits_default;
  few.bodies = 5;
  http_server_limit(a->admin.http, &few);
  fd = client_open(a);
  static const char begun[] = POST_TEST WITH_TOKEN "Content-Length: 4\r\n\r\nb";
  client_send(fd, begun, sizeof begun - 1);
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (http_server_counters(a->admin.http).friends < 1 && loop_clock_ms() < end)
    loop_turn(a->loop, 5);
  like(ask_text(a, POST_TEST WITH_TOKEN "Content-Length: 4\r\n\r\n", got, sizeof got), " 503 ",
       "bodies have a bound over all connections");
  client_send(fd, "ody", 3);
  like(client_read(a, fd, "body", got, sizeof got), " 200 ",
       "the one that is coming is not touched");
  close(fd);
  http_server_limit(a->admin.http, &http_limits_default);
}

/* @case X3: slow strangers make room, whoever has the token is let in */
static void test_strangers(struct test *a) {
  enum { MANY = 12 };
  char got[4096];
  int fd[MANY];
  struct http_limits few = http_limits_default;
  few.strangers = 4;
  http_server_limit(a->admin.http, &few);
  uint64_t before = http_server_counters(a->admin.http).accepted, end = loop_clock_ms() + WAIT_MS;
  for (int i = 0; i < MANY; i++) {
    fd[i] = client_open(a);
    client_send(fd[i], "GET /hea", 8);
  }
  while (http_server_counters(a->admin.http).accepted < before + MANY && loop_clock_ms() < end)
    turn(a);
  is_int(http_server_counters(a->admin.http).strangers, 4, "so many strangers at a time");
  is_str(client_read(a, fd[0], NULL, got, sizeof got), "", "the one that waits longest has gone");
  client_send(fd[MANY - 1], "lthz HTTP/1.1\r\nHost: x\r\n\r\n", 26);
  like(client_read(a, fd[MANY - 1], "}\n", got, sizeof got), " 200 ", "the latest is served");
  like(ask_text(a, ASK("/api/v1/queues", WITH_TOKEN "Connection: close\r\n"), got, sizeof got),
       " 200 ", "whoever has the token is let in");
  for (int i = 0; i < MANY; i++) close(fd[i]);
  few.friends = 0;
  http_server_limit(a->admin.http, &few);
  like(ask_text(a, ASK("/api/v1/queues", WITH_TOKEN), got, sizeof got), " 503 ",
       "those with the token have their number too");
  http_server_limit(a->admin.http, &http_limits_default);
}

/* @case X3: heads, bodies and readers have their deadlines */
static void test_deadlines(struct test *a) {
  char got[4096];
  struct http_limits hasty = http_limits_default;
  hasty.head_ms = hasty.body_ms = hasty.idle_ms = 100;
  http_server_limit(a->admin.http, &hasty);
  struct http_counters was = http_server_counters(a->admin.http);
  is_str(ask_text(a, "GET /healthz HT", got, sizeof got), "", "a head that does not come whole");
  is_int(http_server_counters(a->admin.http).late_heads, was.late_heads + 1, "is counted");
  ask_text(a, POST_TEST WITH_TOKEN "Content-Length: 4\r\n\r\nb", got, sizeof got);
  is_int(http_server_counters(a->admin.http).late_bodies, was.late_bodies + 1, "so is a body");
  ask_text(a, "", got, sizeof got);
  like(ask_text(a, LOOK, got, sizeof got), " 200 ", "a kept connection ends after a while");
  http_server_limit(a->admin.http, &http_limits_default);
}

static void test_talk(struct test *a) {
  char got[8192];
  like(ask_text(a, "GET /healthz HTTP/1.0\r\n\r\n", got, sizeof got), "Connection: close",
       "HTTP/1.0 ends behind its answer");
  ask_text(a, ASK("/healthz", "") ASK("/readyz", "") ASK("/healthz", "Connection: close\r\n"), got,
           sizeof got);
  char *first = strstr(got, " 200 "), *second = first ? strstr(first + 1, " 200 ") : NULL;
  ok(second && strstr(second + 1, " 200 "), "three requests at once: three answers");
  unlike(ask_text(a, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", got,
                  sizeof got),
         "{}", "HEAD has no body");
  like(got, "Content-Length: 3", "but its length");
  like(ask_text(a, "\x16\x03\x01\x02", got, sizeof got), " 400 ", "TLS is told at once");
  char *large = calloc(1, 20000);
  memset(large, 'A', 19000);
  memcpy(large, "GET /healthz HTTP/1.1\r\nA: ", 26);
  like(ask_text(a, large, got, sizeof got), " 400 ", "a head over 16 kB");
  free(large);
}

/* --- an answer in pieces --- */

struct pieces {
  int left, waits, done;
  size_t size;
  struct http_request *req;
};

static enum http_stream on_pieces(void *arg, struct buf *out) {
  struct pieces *p = arg;
  if (p->waits) return HTTP_WAIT;
  char *to = buf_reserve(out, p->size);
  memset(to, 'a' + p->left % 26, p->size);
  out->len += p->size;
  return --p->left ? HTTP_MORE : HTTP_END;
}

static void on_pieces_done(void *arg) {
  ((struct pieces *)arg)->done++;
}

static void test_stream(struct test *a) {
  char got[4096];
  struct pieces p = {.left = 3, .size = 5, .waits = 1};
  int fd = client_open(a);
  client_hold(a, fd, PING, sizeof PING - 1);
  p.req = a->last->req;
  call_stream(a->last, "text/plain", UINT64_MAX, on_pieces, on_pieces_done, &p);
  like(client_read(a, fd, "\r\n\r\n", got, sizeof got), "Transfer-Encoding: chunked",
       "the head comes first");
  ok(client_silent(a, fd), "a stream may wait");
  p.waits = 0;
  http_stream_wake(p.req);
  is_str(client_read(a, fd, "0\r\n\r\n", got, sizeof got),
         "5\r\nddddd\r\n5\r\nccccc\r\n5\r\nbbbbb\r\n0\r\n\r\n", "its pieces in order");
  is_int(p.done, 1, "and its end is told");
  call_unref(a->last);
  /* Somebody who does not read costs a piece, not the whole. */
  p = (struct pieces){.left = 100000, .size = 60000};
  client_hold(a, fd, PING, sizeof PING - 1);
  call_stream(a->last, "text/plain", UINT64_MAX, on_pieces, on_pieces_done, &p);
  for (int i = 0; i < 500; i++) loop_turn(a->loop, 0);
  ok(p.left > 90000 && !p.done, "what is not read is not made: %d pieces left", p.left);
  call_unref(a->last);
  close(fd);
  for (int i = 0; i < 100 && !p.done; i++) loop_turn(a->loop, 5);
  is_int(p.done, 1, "a reader that goes away ends it");
}

static void is_json(json_t *v, const char *want, const char *name) {
  char *got = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  is_str(got ? got : "NULL", want, "%s", name);
  free(got);
  json_decref(v);
}

static void test_json(void) {
  is_json(json_text("plain \xc3\xa9", 8), "\"plain \xc3\xa9\"", "text");
  is_json(json_text("a\xff\xc3", 3), "\"a\xef\xbf\xbd\xef\xbf\xbd\"", "bad bytes are replaced");
  is_json(json_text("a\0b\xff", 4), "\"a\\u0000b\xef\xbf\xbd\"", "a NUL stays");
  is_json(json_cstr(NULL), "null", "no text");
  is_json(json_id(UINT64_MAX), "\"18446744073709551615\"", "ids are strings");
  is_json(json_u64(UINT64_MAX), "9223372036854775807", "a count beyond JSON's range stops there");
  static const struct {
    const char *content;
    size_t len, max;
    const char *want;
  } cases[] = {
      {"text", 4, 10, "{\"content\":\"text\",\"size\":4}"},
      {"", 0, 10, "{\"content\":\"\",\"size\":0}"},
      {"a\xc3\xa9z", 4, 2, "{\"content\":\"a\",\"size\":4,\"content_cut\":true}"},
      {"\xff", 1, 10, "{\"content\":\"/w==\",\"encoding\":\"base64\",\"size\":1}"},
      {"\xff\xfe", 2, 10, "{\"content\":\"//4=\",\"encoding\":\"base64\",\"size\":2}"},
      {"\xff\xfe\xfd", 3, 10, "{\"content\":\"//79\",\"encoding\":\"base64\",\"size\":3}"},
      {"\xff\xfe\xfd", 3, 1,
       "{\"content\":\"/w==\",\"encoding\":\"base64\",\"size\":3,\"content_cut\":true}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *o = json_object();
    json_set_content(o, cases[i].content, cases[i].len, cases[i].max);
    is_json(o, cases[i].want, "content");
  }
}

int main(void) {
  struct test a;
  start(&a);
  test_token(&a);
  test_routes(&a);
  test_parts(&a);
  test_rights(&a);
  test_identity_later(&a);
  test_held(&a);
  test_gone(&a);
  test_watchdog(&a);
  test_hosts(&a);
  test_metrics_auth(&a);
  test_bodies(&a);
  test_strangers(&a);
  test_deadlines(&a);
  test_talk(&a);
  test_stream(&a);
  test_end(&a);
  end(&a);
  test_json();
  return done_testing();
}
