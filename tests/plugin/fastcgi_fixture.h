/* What the tests and the measurement of the FastCGI transport share: the plugin and the
 * misbehaving responder themselves (included, so that a test can look into them), a scratch
 * directory, and a php-fpm of one's own.
 */
#ifndef PB_TESTS_FASTCGI_FIXTURE_H
#define PB_TESTS_FASTCGI_FIXTURE_H

#include "plugins/common/detail.c"
#include "plugins/common/fault.c"
#include "plugins/common/host_port.c"
#include "plugins/fastcgi/fcgi_proto.c"
#include "plugins/fastcgi/fcgi_diag.c"
#include "plugins/fastcgi/fcgi_conn.c"
#include "plugins/fastcgi/fcgi_status.c"
#include "plugins/fastcgi/fcgi_watch.c"
#include "plugins/fastcgi/fcgi_pool.c"
#include "plugins/fastcgi/fastcgi.c"
#define FCGI_RESPONDER_NO_MAIN
#include "fake/fcgi_responder.c"

#include "../tap.h"
#include "tap_host.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SHARED static __attribute__((unused))
#define WAIT   60000 /* ms, for what takes much less than a second on a machine at leisure */

/* What all tests need. */
struct fixture {
  char dir[64];
  unsigned *served; /* shared with the responder's processes, as is the gate behind it */
  pid_t responder;
  char unix_addr[120], tcp_addr[64];
};

SHARED void sleep_ms(unsigned ms) {
  responder_sleep(ms);
}

SHARED uint64_t clock_now_us(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

SHARED void fixture_begin(struct fixture *f) {
  int unix_fd, tcp_fd, port = 0;
  const char *tmp = getenv("TMPDIR");

  snprintf(f->dir, sizeof f->dir, "%.40s/pbfcgi.XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(f->dir)) bail_out("mkdtemp: %s", strerror(errno));
  chmod(f->dir, 0755);
  f->served =
      mmap(NULL, 2 * sizeof *f->served, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
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
      responder_serve(unix_fd, f->served, f->served + 1);
    }
    responder_serve(tcp_fd, f->served, f->served + 1);
  }
  close(unix_fd);
  close(tcp_fd);
}

SHARED void fixture_end(struct fixture *f) {
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

SHARED unsigned served(const struct fixture *f) {
  return __atomic_load_n(f->served, __ATOMIC_SEQ_CST);
}

/* Lets those of the script "held" go, or holds those that come from now on. */
SHARED void open_gate(const struct fixture *f, bool open) {
  __atomic_store_n(f->served + 1, open, __ATOMIC_SEQ_CST);
}

SHARED char *option(const char *name, const char *value) {
  static char text[8][400];
  static unsigned at;
  char *out = text[at++ % 8];

  snprintf(out, sizeof text[0], "%s=%s", name, value);
  return out;
}

SHARED struct host_inst *topic(struct host_pool *p, const char *script) {
  struct pb_err err;
  char entry[300];

  snprintf(entry, sizeof entry, "%s%s", script[0] == '/' ? "" : "/w/", script);
  struct host_inst *in = host_topic(p, "msg", "reply", &err, option("entry", entry), NULL);

  if (!in) bail_out("create: %s", err.text);
  return in;
}

/* The plugin is included, so a test may look into it. */
SHARED const struct fcgi_conn *idle_conn(const struct host_pool *p) {
  const struct pool *pool = host_plugin_pool(p);

  return pool->conns->idle;
}

/* --- requests --- */

/* One request to its end. */
SHARED struct host_ticket *one(struct host *h, struct host_inst *in) {
  struct host_ticket *t = host_submit(in, "jobs=%5B%5D", 11);

  if (!t) bail_out("submit refused");
  if (!host_wait(h, t, WAIT)) fail("no completion");
  return t;
}

/* Moves a clock that stands still, and does what is due then. */
SHARED void skip_ms(struct host *h, uint64_t ms) {
  host_skip(h, ms);
  for (int i = 0; i < 3; i++) host_turn(h, 0);
}

struct reach {
  const struct fixture *f;
  unsigned served;
};

SHARED bool has_served(void *arg) {
  const struct reach *r = arg;

  return served(r->f) >= r->served;
}

/* Until the responder has begun with `n` requests more than `before`. */
SHARED void until_begun(struct host *h, const struct fixture *f, unsigned before, unsigned n) {
  if (!host_until(h, has_served, &(struct reach){f, before + n}, WAIT))
    bail_out("%u of %u requests have begun", served(f) - before, n);
}

/* The other side ends a connection that is kept. Until that is here the next request crosses the
 * end, and nobody can tell what became of it. */
SHARED void until_ended(const struct host_pool *p) {
  const struct fcgi_conn *c = idle_conn(p);
  struct pollfd end = {.fd = c ? c->fd : -1, .events = POLLIN};

  if (c && poll(&end, 1, WAIT) != 1) fail("the connection does not end");
}

SHARED void is_outcome(const struct host_ticket *t, uint32_t want, const char *what) {
  if (!is_str(host_outcome(t->outcome), host_outcome(want), "%s: outcome", what))
    diag("code %d, detail: %s", t->code, t->detail);
}

/* What a request comes to, by what the other side does. */
struct expectation {
  const char *script;
  uint32_t outcome;
  int code;
  const char *body, *detail; /* detail: a part of it */
};

/* --- a real php-fpm --- */

struct fpm {
  pid_t pid;
  char address[210], conf[200];
};

SHARED void put_file(const struct fixture *f, const char *name, const char *text) {
  char path[200];
  FILE *out;

  snprintf(path, sizeof path, "%s/%s", f->dir, name);
  out = fopen(path, "w");
  if (!out || fputs(text, out) < 0 || fclose(out) != 0) bail_out("%s: %s", path, strerror(errno));
}

SHARED const char *fpm_find(void) {
  static const char *const where[] = {"/usr/sbin/php-fpm8.2", "/usr/sbin/php-fpm8.3",
                                      "/usr/sbin/php-fpm8.4", "/usr/sbin/php-fpm",
                                      "/usr/local/sbin/php-fpm"};
  const char *path = getenv("PHP_FPM");

  if (path) return path;
  for (size_t i = 0; i < sizeof where / sizeof *where; i++)
    if (access(where[i], X_OK) == 0) return where[i];
  return NULL;
}

/* Listens at a port below the range that connections get theirs from: none of those takes it when
 * nobody listens any more, and who tries to reach it then does not reach itself. */
SHARED int fixture_listen(int *ret_port) {
  for (;;) {
    int port = 10240 + (int)(clock_now_us() * 2654435761u % 21000), fd;
    char text[8];

    snprintf(text, sizeof text, "%d", port);
    fd = responder_listen(text, 511, ret_port);
    if (fd >= 0) return fd;
  }
}

/* How often one has said that it is ready: once at its start and once after each reload. */
SHARED int fpm_ready_count(const struct fixture *f) {
  char path[200], line[400];
  int n = 0;
  FILE *in;

  snprintf(path, sizeof path, "%s/fpm.log", f->dir);
  in = fopen(path, "r");
  while (in && fgets(line, sizeof line, in)) n += strstr(line, "ready to handle") != NULL;
  if (in) fclose(in);
  return n;
}

/* grace: php-fpm's process_control_timeout in seconds; its default is 0. */
SHARED void fpm_start_graceful(struct fpm *m, const struct fixture *f, bool tcp, int children,
                               int grace, const char *extra) {
  char text[1500], listen[200], inherited[240] = "";
  int port, fd, listen_fd = -1;
  uint64_t until = clock_now_us() + WAIT * 1000;
  int ready = fpm_ready_count(f);

  if (tcp) {
    listen_fd = fixture_listen(&port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    snprintf(inherited, sizeof inherited, "%s=%d", listen, listen_fd);
    snprintf(m->address, sizeof m->address, "%s", listen);
  } else {
    snprintf(listen, sizeof listen, "%s/fpm.sock", f->dir);
    snprintf(m->address, sizeof m->address, "unix:%s", listen);
  }
  snprintf(m->conf, sizeof m->conf, "%s/fpm.conf", f->dir);
  snprintf(text, sizeof text,
           "[global]\nerror_log = %s/fpm.log\ndaemonize = no\nprocess_control_timeout = %d\n"
           "[www]\n%slisten = %s\npm = static\npm.max_children = %d\n"
           "php_admin_value[error_log] =\nphp_admin_flag[log_errors] = on\n"
           "php_admin_flag[display_errors] = on\nphp_admin_flag[html_errors] = off\n"
           "php_admin_value[output_buffering] = 0\n%s\n",
           f->dir, grace, getuid() == 0 ? "user = root\ngroup = root\n" : "", listen, children,
           extra ? extra : "");
  put_file(f, "fpm.conf", text);
  m->pid = fork();
  if (m->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* As after a reload: the port is nobody else's at any time. */
    if (listen_fd >= 0) {
      fcntl(listen_fd, F_SETFD, 0);
      setenv("FPM_SOCKETS", inherited, 1);
    }
    fd = open("/dev/null", O_RDWR);
    dup2(fd, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(fpm_find(), fpm_find(), "-F", "-R", "-y", m->conf, (char *)NULL);
    _exit(127);
  }
  if (listen_fd >= 0) close(listen_fd);
  while (fpm_ready_count(f) == ready) {
    if (waitpid(m->pid, NULL, WNOHANG) == m->pid) bail_out("php-fpm does not run; see its log");
    if (clock_now_us() > until) bail_out("php-fpm is not ready; see its log");
    sleep_ms(10);
  }
}

SHARED void fpm_start(struct fpm *m, const struct fixture *f, bool tcp, int children,
                      const char *extra) {
  fpm_start_graceful(m, f, tcp, children, 0, extra);
}

SHARED void fpm_stop(struct fpm *m) {
  kill(m->pid, SIGTERM);
  waitpid(m->pid, NULL, 0);
}

#endif
