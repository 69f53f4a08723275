/* Owns the admin port: where it listens, and when it ends. routes.c routes the requests.
 *
 * Must never happen: listeners that spin because the process has no descriptors left; a held
 * request that outlives the port.
 */
#include "admin/private.h"

#include "admin/console.h"
#include "admin/exposition.h"
#include "base/address.h"
#include "event/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TICK_MS 1000 /* watchdog of waiting requests; sockets that rest are tried again */
#define DEFER_S 1    /* the kernel reports a connection with its first bytes, or after this time */
#define REST_MS 5    /* a socket is looked at again after that while there is no room */
#define ACCEPTS 64   /* of one socket a turn */

/* One place where the port listens. */
struct listening {
  struct admin *admin; /* NULL: closed */
  struct io io;
  struct timer rest;
  int fd;
  bool local;
  char address[300];
  struct listen_file file; /* of a unix socket */
};

/* --- listening sockets --- */

static void peer_text(const struct sockaddr_storage *from, socklen_t len, char *ret, size_t size) {
  char host[INET6_ADDRSTRLEN + 32], port[16];
  if (from->ss_family == AF_UNIX ||
      getnameinfo((const struct sockaddr *)from, len, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV))
    snprintf(ret, size, "this machine");
  else
    snprintf(ret, size, from->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* A socket that finds no descriptor rests until the tick, or it would be tried again and again. */
static void listening_accept(int fd, unsigned events, void *arg) {
  struct listening *d = arg;
  (void)events;
  for (int i = 0; i < ACCEPTS; i++) {
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    char peer[64];
    int one = 1;
    if (!d->local &&
        !http_server_room(d->admin->http)) { /* the kernel's queue is where they wait */
      io_want(&d->io, 0);
      timer_start(&d->rest, REST_MS);
      return;
    }
    int client = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (client < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK) io_want(&d->io, 0);
      return;
    }
    if (!d->local) setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer_text(&from, len, peer, sizeof peer);
    http_server_take(d->admin->http, client, peer, d->local);
  }
}

static void listening_rested(void *arg) {
  struct listening *d = arg;
  io_want(&d->io, IO_READ);
}

/* Also from within a request: connections stay, only the socket goes. */
static void listening_close(struct listening *d) {
  if (!d) return;
  io_done(&d->io);
  timer_done(&d->rest);
  close(d->fd);
  if (d->local) listen_socket_remove(d->address, &d->file);
  loop_free_later(d->admin->view->loop, d);
}

/* Takes `fd`: a descriptor, or -errno. */
static int listening_new(struct admin *a, struct listening **ret, int fd, bool local) {
  int defer = DEFER_S;
  if (fd < 0) return fd;
  struct listening *d = calloc(1, sizeof *d);
  if (!d) {
    close(fd);
    return -ENOMEM;
  }
  d->admin = a;
  d->local = local;
  d->fd = fd;
  /* A client that sends its request at once is never without a request, so no newcomer takes its
   * place. */
  if (!local) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer);
  io_init(&d->io, a->view->loop, fd, listening_accept, d);
  timer_init(&d->rest, a->view->loop, listening_rested, d);
  int rc = io_want(&d->io, IO_READ);
  if (rc) {
    close(fd);
    free(d);
    return rc;
  }
  *ret = d;
  return 0;
}

static bool is_loopback(const struct sockaddr *sa) {
  if (sa->sa_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
  if (sa->sa_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
  return true;
}

/* "127.0.0.1:19840", "[::1]:19840", "localhost:19840". */
static int listening_open_tcp(struct admin *a, struct listening **ret, const char *address) {
  char host[256];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
  struct addrinfo *list = NULL;
  const char *port;
  if (!address_split(address, host, sizeof host, &port)) return -EINVAL;
  if (getaddrinfo(*host ? host : NULL, port, &hints, &list) != 0) return -EADDRNOTAVAIL;
  int rc = -EADDRNOTAVAIL;
  for (struct addrinfo *p = list; p && rc < 0; p = p->ai_next) {
    rc = listening_new(a, ret, listen_socket_ip(p->ai_addr, p->ai_addrlen, false), false);
    if (rc == 0 && !is_loopback(p->ai_addr))
      log_warning(a->view->log, "admin",
                  "%s can be reached from other machines and is not encrypted: anybody who can "
                  "read the traffic can read the token",
                  address);
  }
  freeaddrinfo(list);
  if (rc == 0) snprintf((*ret)->address, sizeof(*ret)->address, "%s", address);
  return rc;
}

static int listening_open_unix(struct admin *a, struct listening **ret, const char *path) {
  struct listen_file file;
  int rc = listening_new(a, ret, listen_socket_unix(path, 0600, &file), true);
  if (rc < 0) return rc;
  snprintf((*ret)->address, sizeof(*ret)->address, "%s", path);
  (*ret)->file = file;
  return 0;
}

static int listening_open(struct admin *a, struct listening **ret, const char *address) {
  if (strncmp(address, "unix:", 5) == 0) return listening_open_unix(a, ret, address + 5);
  return listening_open_tcp(a, ret, address);
}

/* For the tools of this machine; the port is enough where it cannot be had. */
static void listening_open_local(struct admin *a) {
  char path[sizeof a->local->address];
  int n = snprintf(path, sizeof path, "%s/admin.sock", a->view->settings->server.state_dir);
  int rc =
      n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : listening_open_unix(a, &a->local, path);
  if (rc < 0)
    log_info(a->view->log, "admin", "no unix socket %s (%s); pepperbusctl uses %s", path,
             strerror(-rc), a->tcp->address);
}

/* --- life --- */

static void set_limits(struct admin *a) {
  uint64_t max = a->view->settings->server.max_job_size;
  struct http_limits limits = http_limits_default;
  if (max < ADMIN_BODY_MAX) max = ADMIN_BODY_MAX;
  /* A bit more than the largest job, so that the handler itself can refuse a job that is slightly
   * too large. */
  a->body_max = max + max / 4 + (64u << 10);
  a->lines_max = a->body_max > ADMIN_LINES_MAX ? a->body_max : ADMIN_LINES_MAX;
  if (limits.bodies < 4 * a->body_max) limits.bodies = 4 * a->body_max;
  if (a->view->strangers < limits.strangers) limits.strangers = a->view->strangers;
  if (a->view->friends < limits.friends) limits.friends = a->view->friends;
  http_server_limit(a->http, &limits);
}

static void tick(void *arg) {
  struct admin *a = arg;
  if (a->tcp && !timer_pending(&a->tcp->rest)) io_want(&a->tcp->io, IO_READ);
  if (a->local) io_want(&a->local->io, IO_READ);
  calls_sweep(a, false);
  timer_start(&a->tick, TICK_MS);
}

int admin_new(const struct admin_view *view, struct admin **ret, struct pb_err *err) {
  const char *address = view->settings->server.admin;
  *ret = NULL;
  if (!*address) return 0;
  struct admin *a = calloc(1, sizeof *a);
  if (!a) return -ENOMEM;
  a->view = view;
  int rc = admin_token_get(a, err);
  if (rc < 0) goto fail;
  rc = -ENOMEM;
  struct http_events ev = admin_events(a);
  a->http = http_server_new(view->loop, &http_limits_default, &ev);
  a->exposition = exposition_new(a);
  a->console = console_new(view->settings->server.console_dir, view->log);
  a->events = events_new(view);
  if (!a->http || !a->exposition || !a->console || !a->events) goto fail;
  if (gethostname(a->host_name, sizeof a->host_name - 1)) a->host_name[0] = 0;
  set_limits(a);
  rc = listening_open(a, &a->tcp, address);
  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "admin");
    snprintf(err->text, sizeof err->text, "cannot listen on %s: %s", address,
             rc == -EADDRINUSE ? "another process has that port; stop it or name another one "
                                 "([server] admin)"
                               : strerror(-rc));
    goto fail;
  }
  listening_open_local(a);
  timer_init(&a->tick, view->loop, tick, a);
  timer_start(&a->tick, TICK_MS);
  log_info(view->log, "admin", "listening on %s", address);
  *ret = a;
  return 0;
fail:
  if (!*err->text) snprintf(err->text, sizeof err->text, "admin port: %s", strerror(-rc));
  admin_free(a);
  return rc;
}

/* Also from within a request (POST reload): connections stay, only the listener changes. */
void admin_apply(struct admin *a) {
  struct listening *fresh = NULL;
  const char *address = a->view->settings->server.admin;
  set_limits(a);
  if (strcmp(address, a->tcp->address) == 0) return;
  if (!*address) {
    log_warning(a->view->log, "admin",
                "still listening on %s: only a restart can switch the admin port off",
                a->tcp->address);
    return;
  }
  int rc = listening_open(a, &fresh, address);
  if (rc < 0) {
    log_error(a->view->log, "admin", "cannot listen on %s: %s; staying on %s", address,
              strerror(-rc), a->tcp->address);
    return;
  }
  log_info(a->view->log, "admin", "listening on %s, no longer on %s", address, a->tcp->address);
  listening_close(a->tcp);
  a->tcp = fresh;
}

void admin_free(struct admin *a) {
  if (!a) return;
  timer_done(&a->tick);
  listening_close(a->tcp);
  listening_close(a->local);
  calls_sweep(a, true);
  events_end(a->events);
  http_server_free(a->http);
  exposition_free(a->exposition);
  events_free(a->events);
  console_free(a->console);
  explicit_bzero(a->token, sizeof a->token);
  free(a);
}
