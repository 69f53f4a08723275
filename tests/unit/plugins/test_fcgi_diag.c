/* What the kernel tells of the other side's sockets. */
#include "plugins/fastcgi/fcgi_diag.c"

#include "tap.h"

#include <arpa/inet.h>
#include <stdio.h>

static int listen_unix(const char *path, struct sockaddr_un *un) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);

  *un = (struct sockaddr_un){.sun_family = AF_UNIX};
  snprintf(un->sun_path, sizeof un->sun_path, "%s", path);
  unlink(path);
  if (bind(fd, (struct sockaddr *)un, sizeof *un) < 0 || listen(fd, 8) < 0) bail_out("listen");
  return fd;
}

static int connected(int family, const void *addr, socklen_t len) {
  int fd = socket(family, SOCK_STREAM, 0);

  if (connect(fd, addr, len) < 0) bail_out("connect: %s", strerror(errno));
  return fd;
}

/* What there is to tell once it is that, or after a minute: a segment may take a while to the other
 * end, also where both are of one process, and a list of all sockets may lack one while others come
 * and go. */
static int waiting(struct fcgi_diag *d, struct fcgi_listener *l, int want) {
  int n;
  for (int i = 0; (n = fcgi_diag_waiting(d, l)) != want && i < 6000; i++) usleep(10000);
  return n;
}

static int unread(struct fcgi_diag *d, int fd, int want) {
  int n;
  for (int i = 0; (n = fcgi_diag_unread(d, fd)) != want && i < 6000; i++) usleep(10000);
  return n;
}

static void test_unix(struct fcgi_diag *d, const char *dir) {
  char path[80], alias[100];
  struct sockaddr_un un, other = {.sun_family = AF_UNIX};
  struct fcgi_listener l, m;
  int fd, one, two, at;

  snprintf(path, sizeof path, "%s/s", dir);
  snprintf(alias, sizeof alias, "%s/../%s/s", dir, strrchr(dir, '/') + 1);
  fd = listen_unix(path, &un);
  fcgi_listener_init(&l, (struct sockaddr *)&un, sizeof un);
  snprintf(other.sun_path, sizeof other.sun_path, "%s", alias);
  fcgi_listener_init(&m, (struct sockaddr *)&other, sizeof other);
  is_int(waiting(d, &l, 0), 0, "unix: nobody waits");
  one = connected(AF_UNIX, &un, sizeof un);
  is_int(fcgi_diag_waiting(d, &l), 1, "unix: one waits");
  two = connected(AF_UNIX, &un, sizeof un);
  is_int(fcgi_diag_waiting(d, &l), 2, "unix: two wait");
  is_int(waiting(d, &m, 2), 2, "unix: by another path to the same file");
  at = accept(fd, NULL, NULL);
  is_int(fcgi_diag_waiting(d, &l), 1, "unix: one was accepted");
  close(fd);
  is_int(fcgi_diag_waiting(d, &l), -1, "unix: nobody listens: not known");
  fd = listen_unix(path, &un);
  for (int i = 0; i < FIND_AGAIN && fcgi_diag_waiting(d, &l) < 0; i++) {
  }
  is_int(waiting(d, &l, 0), 0, "unix: another socket at the same path is found");
  is_int(fcgi_diag_waiting(NULL, &l), -1, "without netlink nothing is known");
  close(one);
  close(two);
  close(at);
  close(fd);
  unlink(path);
}

static void test_tcp(struct fcgi_diag *d, int family) {
  struct sockaddr_storage addr = {.ss_family = (sa_family_t)family};
  socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  struct fcgi_listener l;
  char buf[8];
  int fd = socket(family, SOCK_STREAM, 0), c, at;

  if (family == AF_INET)
    ((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else
    ((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
  if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 8) < 0) {
    skip(1, "no loopback of that family");
    if (fd >= 0) close(fd);
    return;
  }
  getsockname(fd, (struct sockaddr *)&addr, &len);
  fcgi_listener_init(&l, (struct sockaddr *)&addr, len);
  ok(l.local, "tcp: a local address");
  is_int(fcgi_diag_waiting(d, &l), 0, "tcp: nobody waits");
  c = connected(family, &addr, len);
  is_int(waiting(d, &l, 1), 1, "tcp: one waits");
  at = accept(fd, NULL, NULL);
  is_int(fcgi_diag_waiting(d, &l), 0, "tcp: it was accepted");
  if (write(c, "hello", 5) != 5) fail("write");
  is_int(unread(d, c, 5), 5, "tcp: unread over there");
  if (read(at, buf, 2) != 2) fail("read");
  is_int(fcgi_diag_unread(d, c), 3, "tcp: a part was read");
  if (read(at, buf, sizeof buf) != 3) fail("read");
  is_int(fcgi_diag_unread(d, c), 0, "tcp: all was read");
  close(at);
  is_int(fcgi_diag_unread(d, c), -1, "tcp: the other end is closed: not known");
  is_int(fcgi_diag_unread(NULL, c), -1, "without netlink nothing is known");
  close(c);
  close(fd);
}

static void test_elsewhere(struct fcgi_diag *d) {
  struct sockaddr_in in = {.sin_family = AF_INET}, far = {.sin_family = AF_INET};
  socklen_t len = sizeof in;
  struct fcgi_listener l;
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  /* Listens at every address of this machine, which is no word of the same port elsewhere. */
  if (bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, 8) < 0) bail_out("listen");
  getsockname(fd, (struct sockaddr *)&in, &len);
  far.sin_port = in.sin_port;
  inet_pton(AF_INET, "192.0.2.1", &far.sin_addr);
  fcgi_listener_init(&l, (struct sockaddr *)&far, sizeof far);
  ok(!l.local, "an address of another machine");
  is_int(fcgi_diag_waiting(d, &l), -1, "of it nothing is known");
  close(fd);
}

int main(void) {
  char dir[] = "/tmp/pbdiag.XXXXXX";
  struct fcgi_diag *d = fcgi_diag_new();

  if (!d) skip_all("the kernel does not tell of sockets here");
  if (!mkdtemp(dir)) bail_out("mkdtemp");
  test_unix(d, dir);
  test_tcp(d, AF_INET);
  test_tcp(d, AF_INET6);
  test_elsewhere(d);
  rmdir(dir);
  fcgi_diag_free(d);
  return done_testing();
}
