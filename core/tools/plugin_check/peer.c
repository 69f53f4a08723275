/* Owns the sockets, their folder, and the process that serves them. Calls libc. */
#include "tools/plugin_check/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNS_MAX 512
#define READ_MAX  4096         /* of a request, by the kinds that read at all */
#define FLOOD_MAX (256u << 20) /* far above what any plugin should keep of an answer */

struct peers {
  char dir[64];
  int fds[PEER_KINDS][2]; /* listeners: unix, TCP */
  unsigned port[PEER_KINDS];
  int control; /* ours of the pair */
  pid_t pid;
};

struct conn {
  int fd;
  enum peer_kind kind;
  bool asked; /* has sent something */
  size_t sent;
};

static const char *const names[] = {"refuses", "closes", "hangs", "floods"};

const char *peers_words(enum peer_kind kind) {
  static const char *const words[] = {"nobody listens", "the worker closes early",
                                      "the worker hangs", "the worker answers garbage"};
  return words[kind];
}

static void socket_path(const struct peers *p, enum peer_kind kind, char *ret, size_t size) {
  snprintf(ret, size, "%s/%s", p->dir, names[kind]);
}

/* Binds both sockets of a kind. For PEER_REFUSES nobody listens, and the port stays ours. */
static int sockets_open(struct peers *p, enum peer_kind kind) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof in;
  int *fd = p->fds[kind], small = 4096;
  fd[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd[0] < 0 || fd[1] < 0) return -errno;
  socket_path(p, kind, un.sun_path, sizeof un.sun_path);
  /* Small buffers: a request fills them early, and the plugin must not wait for room. */
  setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (bind(fd[0], (struct sockaddr *)&un, sizeof un) ||
      bind(fd[1], (struct sockaddr *)&in, sizeof in) ||
      getsockname(fd[1], (struct sockaddr *)&in, &len))
    return -errno;
  p->port[kind] = ntohs(in.sin_port);
  if (kind == PEER_REFUSES) return 0;
  return listen(fd[0], 128) || listen(fd[1], 128) ? -errno : 0;
}

/* --- the process --- */

static void conn_close(struct conn *conns, size_t *n, size_t i) {
  close(conns[i].fd);
  conns[i] = conns[--*n];
}

/* False: the connection is to be closed. */
static bool conn_serve(struct conn *c, short events) {
  char bytes[16384];
  if (events & (POLLIN | POLLHUP | POLLERR) && !c->asked) {
    ssize_t got = read(c->fd, bytes, READ_MAX);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) return false;
    c->asked = true;
    if (c->kind == PEER_CLOSES) return false;
  }
  if (c->kind == PEER_FLOODS && events & POLLOUT) {
    uint32_t x = (uint32_t)c->sent * 2654435761u + 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
      x = x * 1664525u + 1013904223u;
      bytes[i] = (char)(x >> 24);
    }
    ssize_t put = send(c->fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (put > 0) c->sent += (size_t)put;
    return c->sent < FLOOD_MAX;
  }
  return c->kind != PEER_HANGS || !(events & (POLLHUP | POLLERR));
}

static void accept_all(int fd, enum peer_kind kind, struct conn *conns, size_t *n) {
  int got;
  while (*n < CONNS_MAX && (got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
    conns[(*n)++] = (struct conn){.fd = got, .kind = kind};
}

static void serve(const struct peers *p, int control) {
  struct conn *conns = calloc(CONNS_MAX, sizeof *conns);
  struct pollfd *fds = calloc(CONNS_MAX + 1 + 2 * PEER_KINDS, sizeof *fds);
  size_t n = 0;
  while (conns && fds) {
    size_t at = 0;
    fds[at++] = (struct pollfd){.fd = control, .events = POLLIN};
    for (int k = PEER_REFUSES + 1; k < PEER_KINDS; k++)
      for (int i = 0; i < 2; i++)
        fds[at++] = (struct pollfd){.fd = n < CONNS_MAX ? p->fds[k][i] : -1, .events = POLLIN};
    size_t first = at;
    for (size_t i = 0; i < n; i++)
      fds[at++] = (struct pollfd){.fd = conns[i].fd,
                                  .events = !conns[i].asked                ? POLLIN
                                            : conns[i].kind == PEER_FLOODS ? POLLOUT
                                                                           : 0};
    if (poll(fds, at, -1) < 0) continue;
    for (size_t i = n; i-- > 0;) /* from the end: closing moves the last one up */
      if (fds[first + i].revents && !conn_serve(&conns[i], fds[first + i].revents))
        conn_close(conns, &n, i);
    size_t listener = 1;
    for (int k = PEER_REFUSES + 1; k < PEER_KINDS; k++)
      for (int i = 0; i < 2; i++)
        if (fds[listener++].revents) accept_all(p->fds[k][i], (enum peer_kind)k, conns, &n);
    if (fds[0].revents) {
      char c;
      if (read(control, &c, 1) <= 0) break; /* who started us is gone */
      for (size_t i = n; i-- > 0;)
        if (conns[i].kind == PEER_HANGS) conn_close(conns, &n, i);
      if (write(control, &c, 1) < 0) break;
    }
  }
  _exit(0);
}

/* --- who started it --- */

struct peers *peers_start(void) {
  struct peers *p = calloc(1, sizeof *p);
  const char *tmp = getenv("TMPDIR");
  int pair[2] = {-1, -1}, rc = 0;
  if (!p) return NULL;
  for (int k = 0; k < PEER_KINDS; k++) p->fds[k][0] = p->fds[k][1] = -1;
  p->control = -1;
  /* A unix socket's path has 107 bytes. */
  if (!tmp || !*tmp || strlen(tmp) > 40) tmp = "/tmp";
  snprintf(p->dir, sizeof p->dir, "%.40s/pbcheck.XXXXXX", tmp);
  if (!mkdtemp(p->dir)) {
    p->dir[0] = 0;
    rc = -errno;
    goto out;
  }
  for (int k = 0; k < PEER_KINDS && !rc; k++) rc = sockets_open(p, (enum peer_kind)k);
  if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) rc = -errno;
  if (rc) goto out;
  p->pid = fork();
  if (p->pid < 0) rc = -errno;
  if (!p->pid) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(pair[0]);
    serve(p, pair[1]);
  }
  p->control = pair[0];
  /* The child has the listeners. Ours are closed, because they would be among the descriptors that
   * are counted. The socket at which nobody listens stays open, so that no other process gets its
   * port. */
  for (int k = PEER_REFUSES + 1; k < PEER_KINDS; k++)
    for (int i = 0; i < 2; i++) {
      close(p->fds[k][i]);
      p->fds[k][i] = -1;
    }
out:
  if (pair[1] >= 0) close(pair[1]);
  if (rc) {
    peers_stop(p);
    errno = -rc;
    return NULL;
  }
  return p;
}

void peers_release(struct peers *p) {
  char c = 'r';
  if (write(p->control, &c, 1) == 1 && read(p->control, &c, 1) < 0) return;
}

void peers_stop(struct peers *p) {
  char path[128];
  if (!p) return;
  if (p->control >= 0) close(p->control);
  if (p->pid > 0) {
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
    }
  }
  for (int k = 0; k < PEER_KINDS; k++) {
    for (int i = 0; i < 2; i++)
      if (p->fds[k][i] >= 0) close(p->fds[k][i]);
    if (!*p->dir) continue;
    socket_path(p, (enum peer_kind)k, path, sizeof path);
    unlink(path);
  }
  if (*p->dir) rmdir(p->dir);
  free(p);
}

bool peers_named(const char *value) {
  return strstr(value, "{peer}") || strstr(value, "{peer:path}") || strstr(value, "{peer:tcp}");
}

char *peers_put(const struct peers *p, enum peer_kind kind, const char *value) {
  char *text = NULL, path[128];
  size_t len;
  FILE *out = open_memstream(&text, &len);
  if (!out) abort();
  socket_path(p, kind, path, sizeof path);
  while (*value) {
    if (!strncmp(value, "{peer}", 6)) {
      fprintf(out, "unix:%s", path);
      value += 6;
    } else if (!strncmp(value, "{peer:path}", 11)) {
      fputs(path, out);
      value += 11;
    } else if (!strncmp(value, "{peer:tcp}", 10)) {
      fprintf(out, "127.0.0.1:%u", p->port[kind]);
      value += 10;
    } else {
      fputc(*value++, out);
    }
  }
  if (fclose(out)) abort();
  return text;
}
