/* What the tests of the HTTP transport share: the plugin and the misbehaving server themselves
 * (included, so that a test can look into them), a scratch directory with a server at two
 * addresses, and requests by either of the two ways.
 */
#ifndef PB_TESTS_HTTP_FIXTURE_H
#define PB_TESTS_HTTP_FIXTURE_H

#include "plugins/common/detail.c"
#include "plugins/common/fault.c"
#include "plugins/common/host_port.c"
#include "plugins/http/curl_loop.c"
#include "plugins/http/http_reply.c"
#include "plugins/http/http1.c"
#include "plugins/http/http_conn.c"
#include "plugins/http/http_target.c"
#include "plugins/http/http_tls.c"
#include "plugins/http/http_addr.c"
#include "plugins/http/http_request.c"
#include "plugins/http/http_pool.c"
#include "plugins/http/http.c"
#define HTTP_SERVER_NO_MAIN
#include "fake/http_server.c"

#include "../tap.h"
#include "tap_host.h"

#include <poll.h>
#include <sys/mman.h>

#define SHARED static __attribute__((unused))
#define WAIT   60000 /* ms, for what takes much less than a second on a machine at leisure */
/* Of pools whose own timeouts are not what is tried: the machine may keep anybody waiting. */
#define PATIENT "connect_timeout=1m", "idle_timeout=1h"

/* Requests in the clear go through libcurl, like those over TLS and in HTTP/2. */
static bool by_libcurl;

/* What all tests need. */
struct fixture {
  char dir[64];
  unsigned *shared; /* with the server's processes */
  pid_t server;
  char unix_addr[120], tcp_addr[64];
};

SHARED unsigned *server_memory(void) {
  unsigned *m = mmap(NULL, SERVER_SHARED * sizeof *m, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (m == MAP_FAILED) bail_out("mmap: %s", strerror(errno));
  m[SERVER_GATE] = 1;
  return m;
}

SHARED void fixture_begin(struct fixture *f) {
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

SHARED void fixture_end(struct fixture *f) {
  char path[160];

  kill(f->server, SIGKILL);
  waitpid(f->server, NULL, 0);
  for (const char *const *name = (const char *const[]){"s.sock", "secret", NULL}; *name; name++) {
    snprintf(path, sizeof path, "%s/%s", f->dir, *name);
    unlink(path);
  }
  rmdir(f->dir);
}

SHARED unsigned count_of(const struct fixture *f, enum server_shared which) {
  return __atomic_load_n(f->shared + which, __ATOMIC_SEQ_CST);
}

SHARED unsigned served(const struct fixture *f) {
  return count_of(f, SERVER_SERVED);
}

/* Late answers that nobody asked for, as of now. */
SHARED unsigned strays(const struct fixture *f) {
  return count_of(f, SERVER_STRAYS);
}

/* Waits until there are more than that, without a turn of the loop. */
SHARED bool more_than(const struct fixture *f, enum server_shared which, unsigned before) {
  for (int k = 0; k < WAIT / 5 && count_of(f, which) == before; k++) server_sleep(5);
  return count_of(f, which) > before;
}

/* Lets those that are held go, or holds those that come from now on. */
SHARED void open_gate(const struct fixture *f, bool open) {
  __atomic_store_n(f->shared + SERVER_GATE, open, __ATOMIC_SEQ_CST);
}

struct reach {
  const unsigned *count;
  unsigned least;
};

SHARED bool has_reached(void *arg) {
  const struct reach *r = arg;

  return __atomic_load_n(r->count, __ATOMIC_SEQ_CST) >= r->least;
}

/* Until the server has begun with `n` requests more than `before`. */
SHARED void until_begun(struct host *h, const struct fixture *f, unsigned before, unsigned n) {
  if (!host_until(h, has_reached, &(struct reach){f->shared + SERVER_SERVED, before + n}, WAIT))
    bail_out("%u of %u requests have begun", served(f) - before, n);
}

SHARED bool stray_after(const struct fixture *f, unsigned before) {
  return more_than(f, SERVER_STRAYS, before);
}

SHARED char *option(const char *name, const char *value) {
  static char text[8][400];
  static unsigned at;
  char *out = text[at++ % 8];

  snprintf(out, sizeof text[0], "%s=%s", name, value);
  return out;
}

SHARED char *entry_of(const char *address, const char *how) {
  char url[300];

  snprintf(url, sizeof url, "http://%s/w/%s",
           strncmp(address, "unix:", 5) == 0 ? "worker.example" : address, how);
  return option("entry", url);
}

SHARED struct host_inst *topic_at(struct host_pool *p, const char *entry, const char *key,
                                  const char *key2) {
  struct pb_err err;
  struct host_inst *in = host_topic(p, "msg", "reply", &err, entry, key, key2, NULL);

  if (!in) bail_out("create: %s", err.text);
  if (by_libcurl) {
    struct instance *inside = host_plugin_inst(in);

    free(inside->target.head);
    inside->target.head = NULL;
  }
  return in;
}

SHARED struct host_inst *topic_with(struct host_pool *p, const char *address, const char *how,
                                    const char *key, const char *key2) {
  return topic_at(p, entry_of(address, how), key, key2);
}

SHARED struct host_inst *topic(struct host_pool *p, const char *address, const char *how) {
  return topic_with(p, address, how, NULL, NULL);
}

/* With one more key. */
SHARED struct host_pool *pool_with(struct host *h, const char *address, const char *pair) {
  bool named = strncmp(address, "unix:", 5) == 0; /* else the URL says where */

  return host_pool(h, NULL, PATIENT, pair, named ? option("address", address) : NULL, NULL);
}

SHARED struct host_pool *pool_at(struct host *h, const char *address) {
  return pool_with(h, address, "keepalive=yes");
}

SHARED struct host_ticket *one(struct host *h, struct host_inst *in) {
  struct host_ticket *t = host_submit(in, "jobs=%5B%5D", 11);

  if (!t) bail_out("submit refused");
  if (!host_wait(h, t, WAIT)) fail("no completion");
  return t;
}

SHARED struct host_ticket *ping(struct host *h, struct host_inst *in) {
  struct host_ticket *t = host_submit(in, NULL, 0);

  if (!t) bail_out("submit refused");
  if (!host_wait(h, t, WAIT)) fail("no completion");
  return t;
}

SHARED void is_outcome(const struct host_ticket *t, uint32_t want, const char *what) {
  if (!is_str(host_outcome(t->outcome), host_outcome(want), "%s: outcome", what))
    diag("code %d, detail: %s", t->code, t->detail);
}

SHARED double metric(const struct host *h, enum metric which) {
  return host_stats(h)->metrics[which];
}

/* The plugin is included, so a test may look into it. */
SHARED struct http_pool *inside(const struct host_pool *p) {
  const struct pool *pool = host_plugin_pool(p);

  return pool->requests;
}

/* The other side ends a kept connection, or says what nobody asked for. Until that is here, the
 * next request crosses it, and nobody can tell what became of it. No turn of the loop sees it. */
SHARED void until_heard(const struct host_pool *p) {
  const struct curl_loop *l = inside(p)->loop;
  struct pollfd kept[8];
  nfds_t n = 0;

  for (const struct http_conn *c = inside(p)->conns->idle; c && n < 8; c = c->next)
    kept[n++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
  for (size_t i = 0; i < l->own_n && n < 8; i++)
    if (l->socks[l->own[i]].idle && !l->socks[l->own[i]].spent)
      kept[n++] = (struct pollfd){.fd = l->own[i], .events = POLLIN};
  if (n && poll(kept, n, WAIT) < 1) fail("nothing is heard of the kept connection");
}

#endif
