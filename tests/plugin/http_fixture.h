/* What the tests of the HTTP transport share: the plugin and the misbehaving server themselves
 * (included, so that a test can look into them), a scratch directory with a server at two addresses,
 * and requests by either of the two ways.
 */
#ifndef PB_TESTS_HTTP_FIXTURE_H
#define PB_TESTS_HTTP_FIXTURE_H

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

#include <sys/mman.h>

#define SHARED static __attribute__((unused))

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
  for (const char *const *name = (const char *const[]){"s.sock", "secret", NULL};
       *name; name++) {
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
  for (int k = 0; k < 2000 && count_of(f, which) == before; k++) server_sleep(5);
  return count_of(f, which) > before;
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

SHARED struct harness_inst *topic_at(struct harness_pool *p, const char *entry, const char *key,
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

SHARED struct harness_inst *topic_with(struct harness_pool *p, const char *address, const char *how,
                                       const char *key, const char *key2) {
  return topic_at(p, entry_of(address, how), key, key2);
}

SHARED struct harness_inst *topic(struct harness_pool *p, const char *address, const char *how) {
  return topic_with(p, address, how, NULL, NULL);
}

SHARED struct harness_pool *pool_at(struct harness *h, const char *address) {
  if (strncmp(address, "unix:", 5) == 0)
    return harness_pool(h, NULL, option("address", address), NULL);
  return harness_pool(h, NULL, NULL); /* the URL says where */
}

SHARED struct harness_ticket *one(struct harness *h, struct harness_inst *in) {
  struct harness_ticket *t = harness_submit(in, "jobs=%5B%5D", 11);

  if (!t) bail_out("submit refused");
  if (!harness_wait(h, t, 8000)) fail("no completion within 8 s");
  return t;
}

SHARED struct harness_ticket *ping(struct harness *h, struct harness_inst *in) {
  struct harness_ticket *t = harness_submit(in, NULL, 0);

  if (!t) bail_out("submit refused");
  if (!harness_wait(h, t, 8000)) fail("no completion within 8 s");
  return t;
}

SHARED void is_outcome(const struct harness_ticket *t, uint32_t want, const char *what) {
  if (!is_str(harness_outcome(t->outcome), harness_outcome(want), "%s: outcome", what))
    diag("code %d, detail: %s", t->code, t->detail);
}

SHARED double metric(const struct harness *h, enum metric which) {
  return harness_stats(h)->metrics[which];
}

/* The plugin is included, so a test may look into it. */
SHARED struct http_pool *inside(const struct harness_pool *p) {
  const struct pool *pool = harness_plugin_pool(p);

  return pool->requests;
}

#endif
