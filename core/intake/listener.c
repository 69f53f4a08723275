/* Owns the listening sockets. An accepted connection belongs to client.c at once.
 *
 * Must never happen: an accept loop that spins because the process has no descriptors left, or a
 * unix socket of a living process taken away.
 */
#include "intake/listener.h"

#include "base/address.h"
#include "base/log.h"
#include "config/settings.h"
#include "event/listen_socket.h"
#include "event/loop.h"
#include "intake/client.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPTS     64   /* of one socket a turn, so that connected clients are not kept waiting */
#define NO_FILES_MS 1000 /* rest after accept() found no descriptor or memory */
#define KEEPIDLE_S  300  /* a peer that vanished is noticed after 300 + 3 * 60 s of silence */
#define KEEPINTVL_S 60
#define KEEPCNT     3

/* One address of `listen`. */
struct listening {
  struct listening *next;
  struct listener *listener;
  struct io io;
  int fd;
  bool local; /* a unix socket; `file` says which: not to remove another one of its name */
  struct listen_file file;
  char address[];
};

struct listener {
  struct loop *loop;
  struct clients *clients;
  struct listening *sockets;
  struct timer pause;
};

static int refuse(struct pb_err *e, int err, const char *fmt, ...) PB_PRINTF(3, 4);
static int refuse(struct pb_err *e, int err, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->text, sizeof e->text, fmt, ap);
  va_end(ap);
  snprintf(e->option, sizeof e->option, "listen");
  return err;
}

/* --- accept --- */

static void sockets_want(struct listener *l, unsigned events) {
  for (struct listening *d = l->sockets; d; d = d->next) io_want(&d->io, events);
}

static void on_pause_over(void *arg) {
  sockets_want(arg, IO_READ);
}

/* Meanwhile new connections wait in the kernel's queue. */
static void pause_accept(struct listener *l, int err) {
  log_warning(loop_log(l->loop), "listener",
              "cannot accept: %s; trying again in %d s. Raise LimitNOFILE (ulimit -n), or lower "
              "max_clients",
              strerror(err), NO_FILES_MS / 1000);
  sockets_want(l, 0);
  timer_start(&l->pause, NO_FILES_MS);
}

static struct peer peer_of(int fd, const struct sockaddr_storage *from) {
  struct peer p = {.kind = PEER_UNIX};
  struct sockaddr_in in4;
  struct sockaddr_in6 in6;
  struct ucred who;
  socklen_t len = sizeof who;
  switch (from->ss_family) {
  case AF_INET:
    memcpy(&in4, from, sizeof in4);
    p.kind = PEER_IPV4;
    p.port = ntohs(in4.sin_port);
    memcpy(p.address, &in4.sin_addr, sizeof in4.sin_addr);
    break;
  case AF_INET6:
    memcpy(&in6, from, sizeof in6);
    p.kind = PEER_IPV6;
    p.port = ntohs(in6.sin6_port);
    memcpy(p.address, &in6.sin6_addr, sizeof in6.sin6_addr);
    break;
  default:
    if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
      memcpy(p.address, &who.uid, sizeof who.uid);
  }
  return p;
}

static void set_option(int fd, int level, int name, int value) {
  (void)setsockopt(fd, level, name, &value, sizeof value); /* each is an improvement only */
}

static void on_connection(int fd, unsigned events, void *arg) {
  struct listening *d = arg;
  struct listener *l = d->listener;
  (void)events;
  for (int i = 0; i < ACCEPTS; i++) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int client = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        pause_accept(l, errno);
      return;
    }
    struct peer peer = peer_of(client, &from);
    if (peer.kind != PEER_UNIX) {
      set_option(client, IPPROTO_TCP, TCP_NODELAY, 1);
      set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1);
      set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, KEEPIDLE_S);
      set_option(client, IPPROTO_TCP, TCP_KEEPINTVL, KEEPINTVL_S);
      set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPCNT);
    }
    clients_accept(l->clients, client, &peer);
  }
}

/* --- open and close --- */

/* The socket that has this port at another address: 127.0.0.1:12017, and now 0.0.0.0:12017. */
static const struct listening *same_port(const struct listener *l, const char *address) {
  const char *port = strrchr(address, ':'), *colon;
  for (const struct listening *d = l->sockets; d; d = d->next)
    if (!d->local && (colon = strrchr(d->address, ':')) && !strcmp(colon, port)) return d;
  return NULL;
}

static int open_tcp(struct listener *l, struct listening *d, struct pb_err *e) {
  char host[256];
  const char *port;
  struct addrinfo hint = {.ai_family = AF_UNSPEC,
                          .ai_socktype = SOCK_STREAM,
                          .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                  *found;
  if (!address_split(d->address, host, sizeof host, &port))
    return refuse(e, -EINVAL, "cannot listen on %s: write HOST:PORT or unix:/path", d->address);
  int rc = getaddrinfo(*host && strcmp(host, "*") ? host : NULL, port, &hint, &found);
  if (rc) return refuse(e, -EINVAL, "cannot listen on %s: %s", d->address, gai_strerror(rc));
  /* [::]:PORT and 0.0.0.0:PORT can both be named. */
  d->fd = listen_socket_ip(found->ai_addr, found->ai_addrlen, true);
  rc = d->fd < 0 ? d->fd : 0;
  freeaddrinfo(found);
  const struct listening *ours = rc == -EADDRINUSE ? same_port(l, d->address) : NULL;
  if (ours)
    return refuse(
        e, rc, "cannot listen on %s while this broker listens on %s: this change needs a restart",
        d->address, ours->address);
  if (rc == -EADDRINUSE)
    return refuse(e, rc,
                  "cannot listen on %s: another process has that port; stop it or name "
                  "another one ([server] listen)",
                  d->address);
  if (rc) return refuse(e, rc, "cannot listen on %s: %s", d->address, strerror(-rc));
  return 0;
}

static int open_unix(struct listening *d, struct pb_err *e) {
  d->local = true;
  /* Any user of the machine may connect, as with a loopback port: the queue's password decides. */
  d->fd = listen_socket_unix(d->address + 5, 0666, &d->file);
  switch (d->fd < 0 ? -d->fd : 0) {
  case 0:
    return 0;
  case ENAMETOOLONG:
    return refuse(e, d->fd, "cannot listen on %s: the path is longer than %zu bytes", d->address,
                  sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
  case EEXIST:
    return refuse(
        e, d->fd,
        "cannot listen on %s: a file that is not a socket is there; remove it or name another "
        "path",
        d->address);
  case EADDRINUSE:
    return refuse(
        e, d->fd,
        "cannot listen on %s: another process listens there; stop it or name another path",
        d->address);
  default:
    return refuse(e, d->fd, "cannot listen on %s: %s", d->address, strerror(-d->fd));
  }
}

static void listening_free(struct listening *d) {
  io_done(&d->io);
  if (d->local) listen_socket_remove(d->address + 5, &d->file);
  if (d->fd >= 0) close(d->fd);
  free(d);
}

static void sockets_free(struct listening *d) {
  while (d) {
    struct listening *next = d->next;
    listening_free(d);
    d = next;
  }
}

static int listening_open(struct listener *l, const char *address, struct listening **ret,
                          struct pb_err *e) {
  struct listening *d = calloc(1, sizeof *d + strlen(address) + 1);
  if (!d) return refuse(e, -ENOMEM, "cannot listen on %s: out of memory", address);
  d->listener = l;
  d->fd = -1;
  strcpy(d->address, address);
  int rc = strncmp(address, "unix:", 5) ? open_tcp(l, d, e) : open_unix(d, e);
  if (rc) {
    listening_free(d);
    return rc;
  }
  io_init(&d->io, l->loop, d->fd, on_connection, d);
  *ret = d;
  return 0;
}

static bool is_named(const char *const *names, const char *address) {
  for (; *names; names++)
    if (!strcmp(*names, address)) return true;
  return false;
}

static bool is_open(const struct listening *d, const char *address) {
  for (; d; d = d->next)
    if (!strcmp(d->address, address)) return true;
  return false;
}

/* All of the new ones are opened before any old one is closed. */
static int sockets_apply(struct listener *l, const char *const *names, struct pb_err *e) {
  struct listening *fresh = NULL, **p;
  for (size_t i = 0; names[i]; i++) {
    struct listening *d = NULL;
    if (is_open(l->sockets, names[i]) || is_open(fresh, names[i])) continue;
    int rc = listening_open(l, names[i], &d, e);
    if (rc) {
      sockets_free(fresh);
      return rc;
    }
    d->next = fresh;
    fresh = d;
  }
  for (p = &l->sockets; *p;) {
    struct listening *d = *p;
    if (is_named(names, d->address)) {
      p = &d->next;
      continue;
    }
    *p = d->next;
    log_info(loop_log(l->loop), "listener", "no longer listening on %s", d->address);
    listening_free(d);
  }
  *p = fresh;
  if (!timer_pending(&l->pause)) sockets_want(l, IO_READ);
  return 0;
}

/* --- the listener --- */

struct listener *listener_new(struct loop *loop, const struct server_settings *set,
                              struct registry *reg, struct intake *intake, struct metrics *metrics,
                              struct gateway gateway, struct pb_err *reterr) {
  struct service sv = {.loop = loop,
                       .set = set,
                       .registry = reg,
                       .intake = intake,
                       .metrics = metrics,
                       .count = metrics_clients(metrics),
                       .gateway = gateway};
  struct listener *l = calloc(1, sizeof *l);
  if (l) {
    l->loop = loop;
    timer_init(&l->pause, loop, on_pause_over, l);
    l->clients = clients_new(&sv);
  }
  if (!l || !l->clients) {
    refuse(reterr, -ENOMEM, "cannot listen: out of memory");
    listener_free(l);
    return NULL;
  }
  if (sockets_apply(l, set->listen, reterr)) {
    listener_free(l);
    return NULL;
  }
  return l;
}

int listener_apply(struct listener *l, const struct server_settings *set, struct pb_err *reterr) {
  int rc = sockets_apply(l, set->listen, reterr);
  if (!rc) clients_apply(l->clients, set);
  return rc;
}

void listener_limit(struct listener *l, size_t max_clients) {
  clients_limit(l->clients, max_clients);
}

void listener_stop(struct listener *l) {
  timer_stop(&l->pause);
  sockets_free(l->sockets);
  l->sockets = NULL;
}

void listener_finish(struct listener *l) {
  clients_finish(l->clients);
}

size_t listener_clients(const struct listener *l) {
  return clients_count(l->clients);
}

struct clients *listener_connections(const struct listener *l) {
  return l->clients;
}

void listener_free(struct listener *l) {
  if (!l) return;
  listener_stop(l);
  timer_done(&l->pause);
  clients_free(l->clients);
  free(l);
}
