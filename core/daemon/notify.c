/* Owns one datagram socket. Calls nobody. */
#include "daemon/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
  int fd;
  socklen_t len;
  struct sockaddr_un to;
};

struct notify *notify_new(void) {
  const char *path = getenv("NOTIFY_SOCKET");
  size_t n = path ? strlen(path) : 0;
  struct notify *notify = NULL;
  /* '@': a name that is in no file system, with a NUL in its place. */
  if (n > 1 && n < sizeof notify->to.sun_path && (*path == '/' || *path == '@'))
    notify = calloc(1, sizeof *notify);
  if (notify) {
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    notify->to.sun_family = AF_UNIX;
    memcpy(notify->to.sun_path, path, n);
    if (*path == '@') notify->to.sun_path[0] = 0;
    notify->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  }
  unsetenv("NOTIFY_SOCKET");
  return notify;
}

void notify_tell(struct notify *n, const char *fmt, ...) {
  char text[512];
  va_list ap;
  if (!n || n->fd < 0) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  /* Lost when it cannot be sent: the service manager has a timeout for that. */
  (void)!sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&n->to, n->len);
}

void notify_free(struct notify *n) {
  if (!n) return;
  if (n->fd >= 0) close(n->fd);
  free(n);
}
