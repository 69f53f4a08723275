/* Owns the admin port: where it listens, its token, and when it ends. What is asked of it is
 * routed by admin_http.c.
 *
 * Must never happen: the token in a log line or in an answer; a descriptor shortage that makes the
 * listeners spin; a held request that outlives the port.
 */
#include "admin/private.h"

#include "daemon/descriptors.h"
#include "admin/metrics_page.h"
#include "base/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TICK_MS   1000 /* watchdog of held requests; doors that rest are tried again */
#define BACKLOG   4096 /* the kernel takes no more than net.core.somaxconn of it */
#define DEFER_S   1    /* a connection is told of with its first bytes, or after so long */
#define REST_MS   5    /* a door behind which there is no room is tried again after that */
#define ACCEPTS   64   /* of one door a turn */
#define HOST_SIZE 256

/* One place where the port listens. */
struct door {
  struct admin *admin; /* NULL: closed */
  struct io io;
  struct timer rest;
  int fd;
  bool local;
  char address[300];
  dev_t dev; /* of a unix socket's file, so that only our own is removed */
  ino_t ino;
};

struct admin {
  struct broker *b;
  struct http_server *http;
  struct exposition *exposition;
  struct door *tcp, *local; /* NULL: not open */
  struct call *held;
  struct timer tick;
  uint64_t body_max;
  char host_name[HOST_SIZE];
  char token[2 * ADMIN_TOKEN_BYTES + 1];
};

struct broker *admin_broker(struct admin *a) {
  return a->b;
}
const char *admin_token(struct admin *a) {
  return a->token;
}
struct call **admin_held(struct admin *a) {
  return &a->held;
}
uint64_t admin_body_max(struct admin *a) {
  return a->body_max;
}
struct http_counters admin_counters(const struct admin *a) {
  return http_server_counters(a->http);
}
struct exposition *admin_exposition(struct admin *a) {
  return a->exposition;
}

/* --- names of this broker --- */

/* Is `host`, of which the first len bytes count, that name? A dot at its end says nothing. */
static bool host_is(const char *host, size_t len, const char *name) {
  size_t want = strlen(name);
  if (want && name[want - 1] == '.') want--;
  return len && len == want && !strncasecmp(host, name, len);
}

/* The length of the name in "name:port". */
static size_t host_length(const char *address) {
  const char *colon = strrchr(address, ':');
  return colon && !strchr(colon, ']') ? (size_t)(colon - address) : strlen(address);
}

static bool is_literal(const char *host, size_t len) {
  char text[INET6_ADDRSTRLEN + 2];
  struct in6_addr ip;
  bool six = len >= 2 && host[0] == '[' && host[len - 1] == ']';
  if (six) {
    host++;
    len -= 2;
  }
  if (!len || len >= sizeof text) return false;
  memcpy(text, host, len);
  text[len] = 0;
  return inet_pton(six ? AF_INET6 : AF_INET, text, &ip) == 1;
}

bool admin_host_fits(struct admin *a, const char *host) {
  const struct server_settings *set = &a->b->settings->server;
  size_t len = host_length(host);
  if (is_literal(host, len)) return true;
  if (len && host[len - 1] == '.') len--;
  if (host_is(host, len, "localhost") || host_is(host, len, a->host_name) ||
      host_is(host, len, set->node))
    return true;
  if (len && len == host_length(set->admin) && !strncasecmp(host, set->admin, len)) return true;
  for (size_t i = 0; set->hosts[i]; i++)
    if (host_is(host, len, set->hosts[i])) return true;
  return false;
}

/* --- the token --- */

static bool token_is_sound(const char *token, size_t len) {
  return len == 2 * ADMIN_TOKEN_BYTES && strspn(token, "0123456789abcdef") >= len;
}

/* Keeps the token of an earlier run, so that scripts that have it go on working. */
static int token_read(struct admin *a, const char *path) {
  char text[2 * ADMIN_TOKEN_BYTES + 8] = "";
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return -errno;
  int rc = -EINVAL;
  if (fstat(fd, &st) < 0) {
    rc = -errno;
  } else if (S_ISREG(st.st_mode) && !(st.st_mode & 077) && st.st_uid == geteuid()) {
    ssize_t n = read(fd, text, sizeof text - 1);
    size_t len = n > 0 ? strcspn(text, "\r\n") : 0;
    if (token_is_sound(text, len)) {
      memcpy(a->token, text, len);
      a->token[len] = 0;
      rc = 0;
    }
  } else {
    log_warning(a->b->log, "admin",
                "%s can be read or written by others; it is replaced by a new token", path);
  }
  close(fd);
  explicit_bzero(text, sizeof text);
  return rc;
}

static int token_write(struct admin *a, const char *path, const char *temp) {
  int rc = secret_token(ADMIN_TOKEN_BYTES, a->token);
  if (rc < 0) return rc;
  unlink(temp);
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  size_t len = strlen(a->token);
  a->token[len] = '\n';
  ssize_t n = write(fd, a->token, len + 1);
  a->token[len] = 0;
  if (n != (ssize_t)len + 1) rc = n < 0 ? -errno : -ENOSPC;
  if (!rc && fsync(fd) < 0) rc = -errno;
  if (close(fd) < 0 && !rc) rc = -errno;
  if (!rc && rename(temp, path) < 0) rc = -errno;
  if (rc) unlink(temp);
  return rc;
}

static int token_get(struct admin *a, struct pb_err *err) {
  const char *dir = a->b->settings->server.state_dir;
  char *path = NULL, *temp = NULL;
  int rc = -ENOMEM;
  if (asprintf(&path, "%s/admin.token", dir) < 0) path = NULL;
  if (asprintf(&temp, "%s/admin.token.new", dir) < 0) temp = NULL;
  if (path && temp) {
    rc = token_read(a, path);
    if (rc < 0) rc = token_write(a, path, temp);
  }
  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "state_dir");
    snprintf(err->text, sizeof err->text, "cannot keep the admin token in %s/admin.token: %s", dir,
             strerror(-rc));
  }
  free(path);
  free(temp);
  return rc;
}

/* --- doors --- */

static void peer_text(const struct sockaddr_storage *from, socklen_t len, char *ret, size_t size) {
  char host[INET6_ADDRSTRLEN + 32], port[16];
  if (from->ss_family == AF_UNIX ||
      getnameinfo((const struct sockaddr *)from, len, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV))
    snprintf(ret, size, "this machine");
  else
    snprintf(ret, size, from->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* A door that finds no descriptor rests until the tick, or it would be tried again and again. */
static void door_knock(int fd, unsigned events, void *arg) {
  struct door *d = arg;
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

static void door_rested(void *arg) {
  struct door *d = arg;
  io_want(&d->io, IO_READ);
}

/* Also from within a request: connections stay, only the door goes. */
static void door_close(struct door *d) {
  struct stat st;
  if (!d) return;
  io_done(&d->io);
  timer_done(&d->rest);
  close(d->fd);
  if (d->ino && stat(d->address, &st) == 0 && st.st_dev == d->dev && st.st_ino == d->ino)
    unlink(d->address);
  loop_free_later(d->admin->b->loop, d);
}

static int door_listen(struct admin *a, struct door **ret, const struct sockaddr *sa,
                       socklen_t len) {
  int one = 1, defer = DEFER_S, rc = 0;
  struct door *d = calloc(1, sizeof *d);
  if (!d) return -ENOMEM;
  d->admin = a;
  d->local = sa->sa_family == AF_UNIX;
  d->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (d->fd < 0) {
    rc = -errno;
    free(d);
    return rc;
  }
  if (!d->local) {
    setsockopt(d->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Whoever sends his request at once is never without it: nobody takes his place meanwhile. */
    setsockopt(d->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer);
  }
  if (bind(d->fd, sa, len) || listen(d->fd, BACKLOG)) rc = -errno;
  if (!rc) {
    io_init(&d->io, a->b->loop, d->fd, door_knock, d);
    timer_init(&d->rest, a->b->loop, door_rested, d);
    rc = io_want(&d->io, IO_READ);
  }
  if (rc) {
    close(d->fd);
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
static int door_open_tcp(struct admin *a, struct door **ret, const char *address) {
  char host[256];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
  struct addrinfo *list = NULL;
  const char *colon = strrchr(address, ':');
  if (!colon || (size_t)(colon - address) >= sizeof host) return -EINVAL;
  const char *begin = address;
  size_t len = (size_t)(colon - address);
  if (len >= 2 && begin[0] == '[' && begin[len - 1] == ']') {
    begin++;
    len -= 2;
  }
  memcpy(host, begin, len);
  host[len] = 0;
  if (getaddrinfo(len ? host : NULL, colon + 1, &hints, &list) != 0) return -EADDRNOTAVAIL;
  int rc = -EADDRNOTAVAIL;
  for (struct addrinfo *p = list; p && rc < 0; p = p->ai_next) {
    rc = door_listen(a, ret, p->ai_addr, p->ai_addrlen);
    if (rc == 0 && !is_loopback(p->ai_addr))
      log_warning(a->b->log, "admin",
                  "%s can be reached from other machines and is not encrypted: whoever can listen "
                  "on the way reads the token",
                  address);
  }
  freeaddrinfo(list);
  if (rc == 0) snprintf((*ret)->address, sizeof(*ret)->address, "%s", address);
  return rc;
}

/* A socket file of a broker that was killed is in the way of bind(); one that answers is not ours
 * to remove. */
static int stale_remove(const struct sockaddr_un *sun) {
  struct stat st;
  if (lstat(sun->sun_path, &st) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(st.st_mode)) return -EEXIST;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int rc = connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 ? -EADDRINUSE : -errno;
  close(fd);
  if (rc != -ECONNREFUSED) return rc == -EAGAIN ? -EADDRINUSE : rc;
  return unlink(sun->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int door_open_unix(struct admin *a, struct door **ret, const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  struct stat st;
  if (strlen(path) >= sizeof sun.sun_path) return -ENAMETOOLONG;
  strcpy(sun.sun_path, path);
  int rc = stale_remove(&sun);
  if (rc < 0) return rc;
  mode_t before = umask(0177); /* the socket is 0600 from its first moment */
  rc = door_listen(a, ret, (const struct sockaddr *)&sun, sizeof sun);
  umask(before);
  if (rc < 0) return rc;
  struct door *d = *ret;
  snprintf(d->address, sizeof d->address, "%s", path);
  if (stat(path, &st) == 0) {
    d->dev = st.st_dev;
    d->ino = st.st_ino;
  }
  return 0;
}

static int door_open(struct admin *a, struct door **ret, const char *address) {
  if (strncmp(address, "unix:", 5) == 0) return door_open_unix(a, ret, address + 5);
  return door_open_tcp(a, ret, address);
}

/* For the tools of this machine; the port is enough where it cannot be had. */
static void door_open_local(struct admin *a) {
  char path[sizeof a->local->address];
  int n = snprintf(path, sizeof path, "%s/admin.sock", a->b->settings->server.state_dir);
  int rc = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : door_open_unix(a, &a->local, path);
  if (rc < 0)
    log_info(a->b->log, "admin", "no unix socket %s (%s); pepperbusctl uses %s", path,
             strerror(-rc), a->tcp->address);
}

/* --- life --- */

static void set_limits(struct admin *a) {
  uint64_t max = a->b->settings->server.max_job_size;
  struct http_limits limits = http_limits_default;
  struct descriptors d;
  if (max < ADMIN_BODY_MAX) max = ADMIN_BODY_MAX;
  /* Somewhat more than a job may be, so that one just too large is told so by its handler. */
  a->body_max = max + max / 4 + (64u << 10);
  if (limits.bodies < 4 * a->body_max) limits.bodies = 4 * a->body_max;
  descriptors_share(a->b->settings, &d);
  if (d.strangers < limits.strangers) limits.strangers = d.strangers;
  if (d.friends < limits.friends) limits.friends = d.friends;
  http_server_limit(a->http, &limits);
}

static void tick(void *arg) {
  struct admin *a = arg;
  if (a->tcp && !timer_pending(&a->tcp->rest)) io_want(&a->tcp->io, IO_READ);
  if (a->local) io_want(&a->local->io, IO_READ);
  admin_sweep(a, false);
  timer_start(&a->tick, TICK_MS);
}

int admin_new(struct broker *b, struct admin **ret, struct pb_err *err) {
  const char *address = b->settings->server.admin;
  *ret = NULL;
  if (!*address) return 0;
  struct admin *a = calloc(1, sizeof *a);
  if (!a) return -ENOMEM;
  a->b = b;
  int rc = token_get(a, err);
  if (rc < 0) goto fail;
  rc = -ENOMEM;
  struct http_events ev = admin_events(a);
  a->http = http_server_new(b->loop, &http_limits_default, &ev);
  a->exposition = exposition_new(b);
  if (!a->http || !a->exposition) goto fail;
  if (gethostname(a->host_name, sizeof a->host_name - 1)) a->host_name[0] = 0;
  set_limits(a);
  rc = door_open(a, &a->tcp, address);
  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "admin");
    snprintf(err->text, sizeof err->text, "cannot listen on %s: %s", address,
             rc == -EADDRINUSE ? "another process has that port; stop it or name another one "
                                 "([server] admin)"
                               : strerror(-rc));
    goto fail;
  }
  door_open_local(a);
  timer_init(&a->tick, b->loop, tick, a);
  timer_start(&a->tick, TICK_MS);
  log_info(b->log, "admin", "listening on %s", address);
  *ret = a;
  return 0;
fail:
  if (!*err->text) snprintf(err->text, sizeof err->text, "admin port: %s", strerror(-rc));
  admin_free(a);
  return rc;
}

/* Also from within a request (POST reload): connections stay, only the listener changes. */
void admin_apply(struct admin *a) {
  struct door *fresh = NULL;
  const char *address = a->b->settings->server.admin;
  set_limits(a);
  if (strcmp(address, a->tcp->address) == 0) return;
  if (!*address) {
    log_warning(a->b->log, "admin",
                "still listening on %s: it can only be switched off by a "
                "restart",
                a->tcp->address);
    return;
  }
  int rc = door_open(a, &fresh, address);
  if (rc < 0) {
    log_error(a->b->log, "admin", "cannot listen on %s: %s; staying on %s", address, strerror(-rc),
              a->tcp->address);
    return;
  }
  log_info(a->b->log, "admin", "listening on %s, no longer on %s", address, a->tcp->address);
  door_close(a->tcp);
  a->tcp = fresh;
}

void admin_free(struct admin *a) {
  if (!a) return;
  timer_done(&a->tick);
  door_close(a->tcp);
  door_close(a->local);
  admin_sweep(a, true);
  http_server_free(a->http);
  exposition_free(a->exposition);
  explicit_bzero(a->token, sizeof a->token);
  free(a);
}
