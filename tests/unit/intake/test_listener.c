/* Listening: the forms of an address, sockets of dead and living processes, no descriptors left,
 * a reload's addresses, the end.
 */
#include "intake/listener.c"
#include "unit/fake_bus.h"

#include <arpa/inet.h>
#include <sys/resource.h>

#define WAIT_MS 60000

struct ear {
  struct bench *b;
  struct listener *l;
  struct pb_err err;
  const char *names[4];
};

static struct listener *listen_on(struct ear *e, const char *a, const char *b) {
  e->names[0] = a;
  e->names[1] = b;
  e->names[2] = NULL;
  e->b->set->listen = e->names;
  e->l = listener_new(e->b->loop, e->b->set, e->b->reg, e->b->intake, e->b->metrics,
                      (struct gateway){0}, &e->err);
  return e->l;
}

static unsigned port_of(const struct listener *l) {
  struct sockaddr_in6 sin;
  socklen_t len = sizeof sin;
  if (getsockname(l->sockets->fd, (struct sockaddr *)&sin, &len)) return 0;
  return ntohs(sin.sin6_port); /* at the same place in both families */
}

static int connect_port(unsigned port) {
  struct sockaddr_in sin = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&sin, sizeof sin)) {
    close(fd);
    return -1;
  }
  return fd;
}

static int connect_path(const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
  if (connect(fd, (struct sockaddr *)&sun, sizeof sun)) {
    close(fd);
    return -1;
  }
  return fd;
}

static bool answers(struct bench *b, int fd) {
  static const char want[] = "-NOAUTH";
  uint64_t end = loop_clock_ms() + WAIT_MS;
  char text[64];
  size_t at = 0;
  if (fd < 0 || write(fd, "PING\r\n", 6) != 6) return false;
  while ((!at || text[at - 1] != '\n') && loop_clock_ms() < end) {
    loop_turn(b->loop, 2);
    ssize_t n = recv(fd, text + at, sizeof text - at, MSG_DONTWAIT);
    if (n > 0)
      at += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
      return false;
  }
  return at > sizeof want && !memcmp(text, want, sizeof want - 1);
}

static void tcp(struct ear *e) {
  ok(listen_on(e, "127.0.0.1:0", NULL), "a port");
  unsigned port = port_of(e->l);
  int fd = connect_port(port);
  ok(answers(e->b, fd), "it answers");
  char text[32];
  snprintf(text, sizeof text, "127.0.0.1:%u", port);
  struct ear other = {.b = e->b};
  ok(!listen_on(&other, text, NULL), "a port that is in use");
  like(other.err.text, "another process has that port", "the refusal says so");
  is_int((int)listener_clients(e->l), 1, "one client");
  listener_stop(e->l);
  ok(connect_port(port) < 0, "stopped: nobody is let in");
  listener_free(e->l);
  close(fd);

  if (listen_on(e, "[::1]:0", NULL))
    pass("IPv6");
  else
    skip(1, "no IPv6 here: %s", e->err.text);
  listener_free(e->l);
  ok(!listen_on(e, "192.0.2.1:1", NULL), "an address that is not ours");
  like(e->err.text, "cannot listen on 192.0.2.1:1: ", "the refusal names it");
}

static void paths(struct ear *e, const char *dir) {
  char path[100], address[108];
  snprintf(path, sizeof path, "%s/bus", dir);
  snprintf(address, sizeof address, "unix:%s", path);
  ok(listen_on(e, address, NULL), "a path");
  int fd = connect_path(path);
  ok(answers(e->b, fd), "it answers");
  close(fd);
  struct ear other = {.b = e->b};
  ok(!listen_on(&other, address, NULL), "another process listens there");
  like(other.err.text, "another process listens there", "the refusal says so");
  fd = connect_path(path);
  ok(fd >= 0, "which goes on");
  close(fd);
  listener_free(e->l);
  ok(access(path, F_OK), "its file goes with it");

  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
  if (bind(dead, (struct sockaddr *)&sun, sizeof sun) || listen(dead, 1)) bail_out("bind");
  close(dead);
  ok(!access(path, F_OK), "the socket of a dead process");
  ok(listen_on(e, address, NULL), "is replaced");
  fd = connect_path(path);
  ok(answers(e->b, fd), "by one that answers");
  close(fd);

  unlink(path);
  FILE *f = fopen(path, "w");
  if (f) fclose(f);
  listener_free(e->l);
  ok(!access(path, F_OK), "another file of that name is left alone");
  ok(!listen_on(e, address, NULL), "and not listened on");
  like(e->err.text, "a file that is not a socket is there", "the refusal says so");
  unlink(path);
}

static void reload(struct ear *e, const char *dir) {
  char one[200], two[200];
  snprintf(one, sizeof one, "unix:%s/one", dir);
  snprintf(two, sizeof two, "unix:%s/two", dir);
  listen_on(e, one, "127.0.0.1:0");
  int old = connect_path(one + 5);
  ok(answers(e->b, old), "before");
  struct server_settings to = *e->b->set;
  const char *const names[] = {two, "127.0.0.1:0", NULL}, *const bad[] = {one, "192.0.2.1:1", NULL};
  to.listen = bad;
  ok(listener_apply(e->l, &to, &e->err) < 0, "an address that cannot be had");
  int fd = connect_path(one + 5);
  ok(fd >= 0, "nothing has changed");
  close(fd);
  to.listen = names;
  is_int(listener_apply(e->l, &to, &e->err), 0, "another path");
  fd = connect_path(two + 5);
  ok(answers(e->b, fd), "is listened on");
  ok(connect_path(one + 5) < 0, "the old one is not");
  ok(answers(e->b, old), "who came by it stays");
  close(old);
  close(fd);
  listener_free(e->l);
}

static void no_descriptors(struct ear *e) {
  struct rlimit was, little;
  listen_on(e, "127.0.0.1:0", NULL);
  unsigned port = port_of(e->l);
  int fd[2] = {connect_port(port), connect_port(port)};
  int top = dup(0);
  getrlimit(RLIMIT_NOFILE, &was);
  little = was;
  little.rlim_cur = (rlim_t)top;
  close(top);
  setrlimit(RLIMIT_NOFILE, &little);
  int turns = 0;
  uint64_t end = loop_clock_ms() + 200;
  while (loop_clock_ms() < end) {
    loop_turn(e->b->loop, 50);
    turns++;
  }
  ok(turns < 20, "without descriptors it rests and does not spin (%d turns)", turns);
  is_int((int)listener_clients(e->l), 0, "nobody is in");
  setrlimit(RLIMIT_NOFILE, &was);
  end = loop_clock_ms() + WAIT_MS;
  while (listener_clients(e->l) < 2 && loop_clock_ms() < end) loop_turn(e->b->loop, 50);
  is_int((int)listener_clients(e->l), 2, "then who waited is let in");
  close(fd[0]);
  close(fd[1]);
  listener_free(e->l);
}

int main(void) {
  char dir[] = "/tmp/pbtest.XXXXXX";
  struct ear e = {.b = bench_new()};
  if (!mkdtemp(dir)) bail_out("mkdtemp");
  tcp(&e);
  paths(&e, dir);
  reload(&e, dir);
  no_descriptors(&e);
  listener_free(NULL);
  bench_free(e.b);
  rmdir(dir);
  return done_testing();
}
