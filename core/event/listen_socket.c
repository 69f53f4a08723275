/* Owns how a listening socket is made.
 *
 * Must never happen: the socket file of a living process taken away.
 */
#include "event/listen_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int listen_socket_ip(const struct sockaddr *sa, socklen_t len, bool own_family) {
  int one = 1, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (own_family && sa->sa_family == AF_INET6)
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (bind(fd, sa, len) || listen(fd, LISTEN_BACKLOG)) {
    int rc = -errno;
    close(fd);
    return rc;
  }
  return fd;
}

/* The socket file of a killed process is in the way of bind() and is removed. If a process answers,
 * or if its backlog is full, the socket is in use. */
static int stale_remove(const struct sockaddr_un *sun) {
  struct stat st;
  if (lstat(sun->sun_path, &st)) return 0; /* no file; else bind() reports the problem */
  if (!S_ISSOCK(st.st_mode)) return -EEXIST;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int err = connect(fd, (const struct sockaddr *)sun, sizeof *sun) ? errno : 0;
  close(fd);
  if (err != ECONNREFUSED && err != ENOENT) return -EADDRINUSE;
  return unlink(sun->sun_path) && errno != ENOENT ? -errno : 0;
}

int listen_socket_unix(const char *path, mode_t mode, struct listen_file *ret) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  struct stat st;
  if (strlen(path) >= sizeof sun.sun_path) return -ENAMETOOLONG;
  strcpy(sun.sun_path, path);
  int rc = stale_remove(&sun);
  if (rc) return rc;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  mode_t before = umask(~mode & 0777);
  rc = bind(fd, (const struct sockaddr *)&sun, sizeof sun) ? -errno : 0;
  umask(before);
  if (!rc && (lstat(path, &st) || listen(fd, LISTEN_BACKLOG))) rc = -errno;
  if (rc) {
    close(fd);
    return rc;
  }
  *ret = (struct listen_file){.dev = st.st_dev, .ino = st.st_ino};
  return fd;
}

void listen_socket_remove(const char *path, const struct listen_file *file) {
  struct stat st;
  if (file->ino && !lstat(path, &st) && st.st_dev == file->dev && st.st_ino == file->ino)
    unlink(path);
}
