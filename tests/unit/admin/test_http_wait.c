/* Requests whose owner first has to find out who asks: nothing is read until the answer is known.
 */
#include "admin/http_server.h"
#include "base/log.h"
#include "event/loop.h"

#include "tap.h"

#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 60000

struct test {
  struct loop *loop;
  struct http_server *http;
  struct http_request *waits; /* NULL: none */
  unsigned heads, requests, gone;
  char body[64];
  int client;
};

static void on_head(void *arg, struct http_request *r) {
  struct test *t = arg;
  t->heads++;
  t->waits = r;
  http_wait(r);
}

static void on_request(void *arg, struct http_request *r) {
  struct test *t = arg;
  size_t len;
  const char *body = http_request_body(r, &len);
  t->requests++;
  snprintf(t->body, sizeof t->body, "%.*s", (int)len, body);
  http_answer(r, 200, "text/plain", "", "done", 4);
}

static void on_gone(void *arg, struct http_request *r) {
  struct test *t = arg;
  t->gone++;
  if (t->waits == r) t->waits = NULL;
}

static void test_open(struct test *t) {
  int fds[2];
  struct http_events ev = {on_head, on_request, on_gone, t};
  *t = (struct test){.loop = loop_new(log_new(STDERR_FILENO))};
  t->http = http_server_new(t->loop, &http_limits_default, &ev);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds)) bail_out("no sockets");
  http_server_take(t->http, fds[1], "192.0.2.1:1", false);
  t->client = fds[0];
}

static void test_close(struct test *t) {
  struct log *log = loop_log(t->loop);
  close(t->client);
  http_server_free(t->http);
  loop_free(t->loop);
  log_free(log);
}

static void say(struct test *t, const char *text) {
  if (send(t->client, text, strlen(text), MSG_NOSIGNAL) < 0) bail_out("cannot send");
}

static void turns_until(struct test *t, const unsigned *count, unsigned n) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (*count < n && loop_clock_ms() < end) loop_turn(t->loop, 5);
  if (*count < n) bail_out("it does not come");
}

/* Until `want` has come, or the connection has ended. */
static bool hears(struct test *t, const char *want) {
  char text[2048];
  size_t len = 0;
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (len < sizeof text - 1 && loop_clock_ms() < end) {
    ssize_t n = recv(t->client, text + len, sizeof text - 1 - len, 0);
    if (!n) break;
    if (n > 0) len += (size_t)n;
    text[len] = 0;
    if (strstr(text, want)) return true;
    loop_turn(t->loop, 5);
  }
  return false;
}

#define POST "POST / HTTP/1.1\r\nHost: x\r\n"

static void granted(void) {
  struct test t;
  test_open(&t);
  say(&t, POST "Content-Length: 5\r\n\r\nhello");
  turns_until(&t, &t.heads, 1);
  for (int i = 0; i < 10; i++) loop_turn(t.loop, 1);
  is_int((int)t.requests, 0, "nothing happens while it waits");
  ok(http_accept(t.waits, 100), "it is let in");
  is_int((int)t.requests, 0, "not from within the call");
  turns_until(&t, &t.requests, 1);
  is_str(t.body, "hello", "with its body");
  ok(hears(&t, "done"), "and answered");
  say(&t, POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  turns_until(&t, &t.heads, 2);
  http_accept(t.waits, 100);
  ok(hears(&t, "100 Continue"), "the next one is told to go on when it is let in");
  say(&t, "3\r\nyes\r\n0\r\n\r\n");
  turns_until(&t, &t.requests, 2);
  is_str(t.body, "yes", "and its body comes");
  say(&t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  turns_until(&t, &t.heads, 3);
  http_accept(t.waits, 0);
  turns_until(&t, &t.requests, 3);
  ok(true, "one without a body as well");
  test_close(&t);
}

static void refused(void) {
  struct test t;
  test_open(&t);
  say(&t, POST "Content-Length: 500\r\n\r\nhel");
  turns_until(&t, &t.heads, 1);
  http_answer(t.waits, 401, "text/plain", "", "who?", 4);
  ok(hears(&t, "who?"), "it is refused later");
  ok(!hears(&t, "never"), "and the rest of its body is not taken for a request");
  is_int((int)t.requests, 0, "its handler did not run");
  test_close(&t);
  test_open(&t);
  say(&t, POST "Content-Length: 500\r\n\r\n");
  turns_until(&t, &t.heads, 1);
  ok(!http_accept(t.waits, 10), "one that is too large is not let in");
  ok(hears(&t, "413"), "and told so");
  test_close(&t);
}

static void ends(void) {
  struct test t;
  test_open(&t);
  say(&t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  turns_until(&t, &t.heads, 1);
  http_server_free(t.http);
  t.http = NULL;
  is_int((int)t.gone, 1, "the owner is told when the port closes while it waits");
  test_close(&t);
}

int main(void) {
  granted();
  refused();
  ends();
  return done_testing();
}
