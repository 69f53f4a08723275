/* What a service manager hears, and what it does not disturb. */
#include "daemon/notify.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  size_t n = strlen(path);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  memcpy(sun.sun_path, path, n);
  if (*path == '@') sun.sun_path[0] = 0;
  if (bind(fd, (struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)))
    bail_out("bind: %s", strerror(errno));
  return fd;
}

static const char *heard(int fd, char *text, size_t size) {
  ssize_t n = recv(fd, text, size - 1, MSG_DONTWAIT);
  text[n > 0 ? n : 0] = 0;
  return text;
}

/* @case P2: the service manager hears of it, by a path and by an abstract name */
static void test_heard(const char *path) {
  char text[600];
  int fd = listen_at(path);
  setenv("NOTIFY_SOCKET", path, 1);
  struct notify *n = notify_new();
  ok(!getenv("NOTIFY_SOCKET"), "%s: children do not inherit it", path);
  notify_tell(n, "READY=1\nSTATUS=%d topics", 7);
  is_str(heard(fd, text, sizeof text), "READY=1\nSTATUS=7 topics", "%s: heard", path);
  /* Nobody reads: the broker must not wait. */
  for (int i = 0; i < 5000; i++) notify_tell(n, "STATUS=%d", i);
  is_str(heard(fd, text, sizeof text), "STATUS=0", "%s: a full socket holds nobody up", path);
  close(fd);
  notify_tell(n, "STOPPING=1");
  notify_free(n);
  if (*path == '/') unlink(path);
}

int main(void) {
  static const char *const nobody[] = {"", "/", "relative/socket", "@"};
  char dir[] = "/tmp/pbnotify.XXXXXX", path[200], text[200];
  unsetenv("NOTIFY_SOCKET");
  ok(!notify_new(), "no service manager");
  notify_tell(NULL, "READY=1");
  notify_free(NULL);
  for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
    setenv("NOTIFY_SOCKET", nobody[i], 1);
    ok(!notify_new(), "\"%s\" is none", nobody[i]);
  }
  memset(text, 'x', sizeof text);
  text[0] = '/';
  text[199] = 0;
  setenv("NOTIFY_SOCKET", text, 1);
  ok(!notify_new(), "nor is a path that is too long");
  if (!mkdtemp(dir)) bail_out("mkdtemp: %s", strerror(errno));
  snprintf(path, sizeof path, "%s/notify", dir);
  test_heard(path);
  rmdir(dir);
  snprintf(path, sizeof path, "@pbnotify.%d", (int)getpid());
  test_heard(path);
  return done_testing();
}
