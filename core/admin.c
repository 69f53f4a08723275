/* Owns the admin port: where it listens, its token, and when it ends. What is asked of it is
 * routed by admin_http.c.
 *
 * Must never happen: the token in a log line or in an answer; a descriptor shortage that makes the
 * listeners spin; a held request that outlives the port.
 */
#include "admin_internal.h"

#include "secret.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TICK_MS 1000 /* watchdog of held requests; listeners that paused are tried again */
#define BACKLOG 64

/* One place where the port listens. */
struct door {
  struct evconnlistener *listener; /* owned by `bound` */
  struct evhttp_bound_socket *bound;
  char address[300];
  dev_t dev; /* of a unix socket's file, so that only our own is removed */
  ino_t ino;
};

struct admin {
  struct broker *b;
  struct evhttp *http;
  struct door tcp, local;
  struct call *held;
  struct timer tick;
  uint64_t body_max;
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

/* libevent would call accept() again and again while there is no descriptor to be had; the tick
 * opens the door again. */
static void door_error(struct evconnlistener *l, void *arg) {
  (void)arg;
  evconnlistener_disable(l);
}

static void door_close(struct admin *a, struct door *d) {
  struct stat st;
  if (!d->bound) return;
  evhttp_del_accept_socket(a->http, d->bound);
  if (d->ino && stat(d->address, &st) == 0 && st.st_dev == d->dev && st.st_ino == d->ino)
    unlink(d->address);
  memset(d, 0, sizeof *d);
}

static int door_listen(struct admin *a, struct door *d, const struct sockaddr *sa, socklen_t len) {
  struct evconnlistener *l = evconnlistener_new_bind(
      loop_base(a->b->loop), NULL, NULL,
      LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, sa, (int)len);
  if (!l) return errno ? -errno : -EINVAL;
  struct evhttp_bound_socket *bound = evhttp_bind_listener(a->http, l);
  if (!bound) {
    evconnlistener_free(l);
    return -ENOMEM;
  }
  evconnlistener_set_error_cb(l, door_error);
  d->listener = l;
  d->bound = bound;
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
static int door_open_tcp(struct admin *a, struct door *d, const char *address) {
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
    rc = door_listen(a, d, p->ai_addr, p->ai_addrlen);
    if (rc == 0 && !is_loopback(p->ai_addr))
      log_warning(a->b->log, "admin",
                  "%s can be reached from other machines and is not encrypted: whoever can listen "
                  "on the way reads the token",
                  address);
  }
  freeaddrinfo(list);
  if (rc == 0) snprintf(d->address, sizeof d->address, "%s", address);
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

static int door_open_unix(struct admin *a, struct door *d, const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  struct stat st;
  if (strlen(path) >= sizeof sun.sun_path) return -ENAMETOOLONG;
  strcpy(sun.sun_path, path);
  int rc = stale_remove(&sun);
  if (rc < 0) return rc;
  mode_t before = umask(0177); /* the socket is 0600 from its first moment */
  rc = door_listen(a, d, (const struct sockaddr *)&sun, sizeof sun);
  umask(before);
  if (rc < 0) return rc;
  snprintf(d->address, sizeof d->address, "%s", path);
  if (stat(path, &st) == 0) {
    d->dev = st.st_dev;
    d->ino = st.st_ino;
  }
  return 0;
}

static int door_open(struct admin *a, struct door *d, const char *address) {
  if (strncmp(address, "unix:", 5) == 0) return door_open_unix(a, d, address + 5);
  return door_open_tcp(a, d, address);
}

/* For the tools of this machine; the port is enough where it cannot be had. */
static void door_open_local(struct admin *a) {
  char path[sizeof a->local.address];
  int n = snprintf(path, sizeof path, "%s/admin.sock", a->b->settings->server.state_dir);
  int rc = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : door_open_unix(a, &a->local, path);
  if (rc < 0)
    log_info(a->b->log, "admin", "no unix socket %s (%s); pepperbusctl uses %s", path,
             strerror(-rc), a->tcp.address);
}

/* --- life --- */

static void set_limits(struct admin *a) {
  uint64_t max = a->b->settings->server.max_job_size;
  if (max < ADMIN_BODY_MAX) max = ADMIN_BODY_MAX;
  /* Somewhat more than a job may be, so that one just too large is answered and not cut off. */
  a->body_max = max + max / 4 + (64u << 10);
  if (a->body_max > SSIZE_MAX) a->body_max = SSIZE_MAX;
  evhttp_set_max_body_size(a->http, (ev_ssize_t)a->body_max);
}

static void tick(void *arg) {
  struct admin *a = arg;
  if (a->tcp.listener) evconnlistener_enable(a->tcp.listener);
  if (a->local.listener) evconnlistener_enable(a->local.listener);
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
  a->http = evhttp_new(loop_base(b->loop));
  if (!a->http) goto fail;
  evhttp_set_max_headers_size(a->http, ADMIN_HEADERS_MAX);
  evhttp_set_timeout(a->http, ADMIN_IDLE_S);
  evhttp_set_default_content_type(a->http, NULL);
  /* All methods reach the router, which answers 405 where one does not fit. */
  evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                          EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH |
                                          EVHTTP_REQ_OPTIONS);
  set_limits(a);
  admin_route(a, a->http);
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
  struct door fresh = {0};
  const char *address = a->b->settings->server.admin;
  set_limits(a);
  if (strcmp(address, a->tcp.address) == 0) return;
  if (!*address) {
    log_warning(a->b->log, "admin",
                "still listening on %s: it can only be switched off by a "
                "restart",
                a->tcp.address);
    return;
  }
  int rc = door_open(a, &fresh, address);
  if (rc < 0) {
    log_error(a->b->log, "admin", "cannot listen on %s: %s; staying on %s", address, strerror(-rc),
              a->tcp.address);
    return;
  }
  log_info(a->b->log, "admin", "listening on %s, no longer on %s", address, a->tcp.address);
  door_close(a, &a->tcp);
  a->tcp = fresh;
}

void admin_free(struct admin *a) {
  if (!a) return;
  timer_done(&a->tick);
  if (a->http) {
    door_close(a, &a->tcp);
    door_close(a, &a->local);
    admin_sweep(a, true);
    evhttp_free(a->http);
  }
  explicit_bzero(a->token, sizeof a->token);
  free(a);
}
