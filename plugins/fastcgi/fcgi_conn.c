/* A connection's state machine. Calls the kernel, the host's io and timer slots, fcgi_proto,
 * fcgi_diag.
 *
 * When the connection breaks before the answer, did the job run? Three answers are possible: yes,
 * perhaps, certainly not. Only "certainly not" allows sending the job again at once. The cases,
 * tried with php-fpm 8.2 over unix sockets and TCP, and read in php-src main/fastcgi.c:
 *
 *   child killed while the script runs     ECONNRESET, never a plain end of file. The child
 *                                          reads CONTENT_LENGTH bytes and leaves the closing
 *                                          empty STDIN record unread until the script is over;
 *                                          a socket closed with unread data resets its peer
 *   request_terminate_timeout, reload      the same ECONNRESET, script running
 *   child killed with the request unread   ECONNRESET as well: cannot be told from the first
 *   pm.max_requests, after its last answer  END_REQUEST, then shutdown(SHUT_WR) and a loop that
 *                                          reads and drops what still comes: a request that
 *                                          crossed it meets a plain end of file
 *   child killed or reloaded while idle    plain end of file; sending afterwards fails with
 *                                          EPIPE (unix) or brings a reset later (TCP)
 *
 * So a reset is never a reason to send again, unless a part of the body had not even left: php
 * parses a form only when all of it is there, and the jobs stand at its end.
 *
 * A plain end of file on a connection that had answered before is a reason to send again in
 * two cases. The first: the peer's kernel had not taken all of the body. The second: it had
 * taken the whole request, and the server is known to be PHP. If the script had been running,
 * the closing record would have been unread, and that would have been a reset. (Another server
 * may read the closing record first, and die without a reset.) On TCP, bytes can be on their
 * way, so our kernel is asked how much was acknowledged. After a reset it does not know,
 * because it ignores the acknowledgement that a reset carries. Every other end is FCGI_LOST,
 * and so is every break of a fresh connection.
 *
 * A reload need not lead to a break. php-fpm asks its children to end by a signal. Each child
 * finishes its script, then looks whether it shall end, and only then reads on: first the
 * record that closed the last STDIN. After that it serves the next request, whatever comes. So
 * the read of this record is the child's promise. While the record is unread, a request on the
 * connection may meet a child that goes away without reading it, and that looks like a killed
 * script. Once the record is read, the child waits for a request and will serve it, reload or
 * not. So a kept connection is used only when nothing is unread at its other end
 * (fcgi_conn_look). Over TCP to another machine this cannot be known, so there no connection
 * is kept.
 *
 * How PHP is recognized (fcgi_conn.php): by its X-Powered-By, which Debian turns off. On a
 * unix socket the kernel tells that the closing record is still unread when the answer is
 * there: only PHP does that. On TCP the default Content-type must do, which other servers
 * write differently.
 */
#include "fcgi_conn.h"

#include "common/host_port.h"
#include "common/patience.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define IOV_BATCH     32 /* 15 slices of the body, near 1 MB, in one call */
#define RECEIVE_TURNS 16
#define VALUE_MAX     192 /* of a parameter that changes from request to request */
#define WAIT_STEP_MS  1   /* a child that is not back yet is looked for again ... */
#define WAIT_MAX_MS   20  /* ... this long: one that ends has ended, another has more to do */

static void conn_on_io(int fd, unsigned events, void *arg);
static void conn_on_timer(void *arg);
static enum fcgi_end conn_look_again(struct fcgi_conn *c);

static const uint8_t full_header[FCGI_HEADER_LEN] = {
    FCGI_VERSION, FCGI_STDIN, 0, FCGI_REQUEST_ID, FCGI_SLICE >> 8, FCGI_SLICE & 0xff, 0, 0};
static const uint8_t end_of_stdin[FCGI_HEADER_LEN] = {
    FCGI_VERSION, FCGI_STDIN, 0, FCGI_REQUEST_ID, 0, 0, 0, 0};

struct fcgi_conn *fcgi_conn_new(struct fcgi_env *env) {
  struct fcgi_conn *c = calloc(1, sizeof *c);

  if (!c) return NULL;
  c->env = env;
  c->fd = -1;
  fcgi_reply_init(&c->reply, env->max_response);
  c->timer = env->h->timer_new(env->o, conn_on_timer, c);
  if (!c->timer) {
    free(c);
    return NULL;
  }
  return c;
}

void fcgi_conn_free(struct fcgi_conn *c) {
  if (!c) return;
  fcgi_conn_close(c);
  c->env->h->timer_free(c->timer);
  fcgi_reply_done(&c->reply);
  fcgi_tail_done(&c->tail);
  free(c);
}

void fcgi_conn_close(struct fcgi_conn *c) {
  if (c->fd >= 0) {
    if (c->watching) c->env->h->io_del(c->env->o, c->fd);
    close(c->fd);
  }
  c->fd = -1;
  c->watching = 0;
  c->state = FCGI_CONN_CLOSED;
  c->env->h->timer_stop(c->timer);
}

static int conn_watch(struct fcgi_conn *c, unsigned events) {
  int rc;

  if (c->watching == events) return 0;
  rc = c->env->h->io_set(c->env->o, c->fd, events, conn_on_io, c);
  if (rc == 0) c->watching = events;
  return rc;
}

static enum fcgi_end conn_fail(struct fcgi_conn *c, enum fcgi_end end, const char *fmt, ...)
    PB_PRINTF(3, 4);
static enum fcgi_end conn_fail(struct fcgi_conn *c, enum fcgi_end end, const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(c->why, sizeof c->why, fmt, ap);
  va_end(ap);
  fcgi_conn_close(c);
  return end;
}

/* --- the request --- */

static void conn_param(struct fcgi_params *p, const char *name, const char *value) {
  size_t len = value ? strlen(value) : 0;

  if (len && len <= VALUE_MAX) fcgi_params_add(p, name, value, len);
}

void fcgi_conn_load(struct fcgi_conn *c, const struct fcgi_work *w) {
  struct fcgi_params params;
  size_t slices = (w->body_len + FCGI_SLICE - 1) / FCGI_SLICE;
  size_t last = w->body_len - (slices ? (slices - 1) * FCGI_SLICE : 0);
  char length[24];
  int n, length_len = snprintf(length, sizeof length, "%zu", w->body_len);

  c->work = *w;
  c->cancelled = false;
  c->tries = 0;
  fcgi_params_init(&params, c->variable, sizeof c->variable - FCGI_HEADER_LEN);
  fcgi_params_add(&params, "CONTENT_LENGTH", length, (size_t)length_len);
  conn_param(&params, "HTTP_X_PEPPERBUS_TRACE", w->trace);
  conn_param(&params, "HTTP_TRACEPARENT", w->traceparent);
  conn_param(&params, "HTTP_X_PEPPERBUS_SIGNATURE", w->signature);
  n = fcgi_params_end(&params); /* fits: three times VALUE_MAX and under 150 more */
  c->variable_len = (size_t)n;
  fcgi_put_header(c->variable + c->variable_len, FCGI_PARAMS, 0);
  c->variable_len += FCGI_HEADER_LEN;
  fcgi_put_header(c->last_header, FCGI_STDIN, last);
  c->total =
      w->head_len + c->variable_len + slices * FCGI_HEADER_LEN + w->body_len + sizeof end_of_stdin;
}

static void conn_rewind(struct fcgi_conn *c) {
  c->sent = 0;
  c->send_errno = 0;
  c->spoiled = false;
  c->why[0] = 0;
  fcgi_reader_init(&c->reader);
  fcgi_reply_reset(&c->reply);
  fcgi_tail_reset(&c->tail);
}

struct gather {
  struct iovec iov[IOV_BATCH];
  int n;
  size_t skip; /* bytes that have been sent already */
};

static void gather_add(struct gather *g, const void *data, size_t len) {
  if (g->skip >= len) {
    g->skip -= len;
    return;
  }
  if (g->n == IOV_BATCH) return;
  g->iov[g->n++] = (struct iovec){(uint8_t *)data + g->skip, len - g->skip};
  g->skip = 0;
}

/* Collects as many of the unsent bytes as fit: head, PARAMS, the body cut into STDIN records where
 * it lies, the end of STDIN. */
static void conn_gather(const struct fcgi_conn *c, struct gather *g) {
  const struct fcgi_work *w = &c->work;
  size_t at = 0;

  g->n = 0;
  g->skip = c->sent;
  gather_add(g, w->head, w->head_len);
  gather_add(g, c->variable, c->variable_len);
  if (g->skip) { /* whole records at a time */
    size_t records = g->skip / (FCGI_HEADER_LEN + FCGI_SLICE);

    at = records * FCGI_SLICE;
    if (at > w->body_len) at = w->body_len / FCGI_SLICE * FCGI_SLICE;
    g->skip -= at / FCGI_SLICE * (FCGI_HEADER_LEN + FCGI_SLICE);
  }
  while (at < w->body_len && g->n < IOV_BATCH) {
    size_t len = w->body_len - at;

    if (len > FCGI_SLICE) len = FCGI_SLICE;
    gather_add(g, at + len == w->body_len ? c->last_header : full_header, FCGI_HEADER_LEN);
    gather_add(g, w->body + at, len);
    at += len;
  }
  if (at >= w->body_len) gather_add(g, end_of_stdin, sizeof end_of_stdin);
}

/* May the request of a connection that broke before any answer be sent once more? See above. */
static bool conn_cannot_have_run(const struct fcgi_conn *c, bool orderly) {
  size_t taken = c->sent;
  int waiting = 0;

  if (!c->reused || c->reader.began) return false;
  if (orderly && c->addr->sa.ss_family != AF_UNIX && c->sent) {
    if (ioctl(c->fd, SIOCOUTQ, &waiting) < 0 || waiting < 0) return false;
    taken = (size_t)waiting < c->sent ? c->sent - (size_t)waiting : 0;
  }
  if (taken < c->total - sizeof end_of_stdin) return true;
  return orderly && c->php && taken == c->total;
}

/* --- one step --- */

static enum fcgi_end conn_broken(struct fcgi_conn *c, int err) {
  uint64_t ms = c->env->h->now_ms(c->env->o) - c->sent_ms;

  if (conn_cannot_have_run(c, err == 0))
    return conn_fail(c, FCGI_UNSENT, "the kept connection was closed before it took the request");
  if (c->sent < c->total)
    return conn_fail(c, FCGI_LOST, "the connection broke while the request was sent (%s)",
                     strerror(c->send_errno ? c->send_errno
                              : err         ? err
                                            : EPIPE));
  return conn_fail(c, FCGI_LOST,
                   "the connection was %s %s after %" PRIu64 ".%03u s: was the worker killed, the "
                   "server reloaded, or its request_terminate_timeout reached? Whether the job "
                   "ran is unknown",
                   err ? "reset" : "closed",
                   c->reader.began ? "in the middle of the answer" : "without an answer", ms / 1000,
                   (unsigned)(ms % 1000));
}

static enum fcgi_end conn_garbled(struct fcgi_conn *c, const char *what) {
  return conn_fail(c, FCGI_GARBLED, "%s", what);
}

static enum fcgi_end conn_send(struct fcgi_conn *c) {
  while (c->sent < c->total) {
    struct gather g;
    struct msghdr msg = {0};
    ssize_t n;

    conn_gather(c, &g);
    msg.msg_iov = g.iov;
    msg.msg_iovlen = (size_t)g.n;
    n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      if (c->state == FCGI_CONN_CONNECTING) {
        c->state = FCGI_CONN_BUSY;
        c->env->h->timer_stop(c->timer);
      }
      c->sent += (size_t)n;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return FCGI_PENDING;
    if (c->state == FCGI_CONN_CONNECTING)
      return conn_fail(c, FCGI_UNREACHABLE, "%s", strerror(errno));
    /* It may have answered before it closed (too large a body, for one): read first. */
    c->send_errno = errno;
    return FCGI_PENDING;
  }
  return FCGI_PENDING;
}

/* After a whole answer. */
static bool conn_shows_php(const struct fcgi_conn *c) {
  int unread = 0;

  if (c->reply.php) return true;
  if (!c->reply.code || c->sent < c->total) return false;
  if (c->addr->sa.ss_family == AF_UNIX) return ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > 0;
  return c->reply.php_style;
}

/* One piece of input. PENDING: go on. */
static enum fcgi_end conn_feed(struct fcgi_conn *c, const uint8_t *p, const uint8_t *end) {
  const uint8_t *data = NULL;
  size_t len = 0;
  int rc = 0;

  for (;;) {
    switch (fcgi_reader_next(&c->reader, &p, end, &data, &len)) {
    case FCGI_MORE:
      return FCGI_PENDING;
    case FCGI_OUT:
      if (c->cancelled) break;
      rc = fcgi_reply_feed(&c->reply, data, len);
      if (rc == -ENOMEM) return conn_garbled(c, "no memory for its answer");
      if (rc < 0) return conn_garbled(c, c->reply.bad);
      break;
    case FCGI_ERR:
      if (!c->cancelled) fcgi_tail_feed(&c->tail, data, len);
      break;
    case FCGI_END:
      c->spoiled = p < end; /* the answer is complete; bytes after it belong to no request */
      if (c->cancelled) return FCGI_ANSWERED;
      if (!c->php) c->php = conn_shows_php(c);
      rc = fcgi_reply_finish(&c->reply);
      if (rc < 0) return conn_garbled(c, c->reply.bad);
      return FCGI_ANSWERED;
    case FCGI_BAD:
      return conn_garbled(c, c->reader.bad);
    }
  }
}

static enum fcgi_end conn_receive(struct fcgi_conn *c) {
  /* Bounded: a peer that talks without end must not hold the loop. */
  for (int turns = 0; turns < RECEIVE_TURNS; turns++) {
    ssize_t n = recv(c->fd, c->env->in, c->env->in_cap, MSG_DONTWAIT);
    enum fcgi_end end;

    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (!c->send_errno) return FCGI_PENDING;
      return conn_broken(c, c->send_errno);
    }
    /* Only recv() tells whether the end was orderly: on TCP an end of file stays one even when the
     * reset that our own bytes caused came behind it. */
    if (n <= 0) return conn_broken(c, n < 0 ? errno : 0);
    end = conn_feed(c, c->env->in, c->env->in + n);
    if (end != FCGI_PENDING) return end;
    /* Less than we asked for: there is no more now, and the event will tell of more. */
    if ((size_t)n < c->env->in_cap && !c->send_errno) break;
  }
  return FCGI_PENDING;
}

/* Goes on as far as the socket allows. */
static enum fcgi_end conn_step(struct fcgi_conn *c, unsigned events) {
  enum fcgi_end end = FCGI_PENDING;
  unsigned want = PB_IO_READ;
  int rc;

  if (c->sent < c->total && !c->send_errno) end = conn_send(c);
  if (end == FCGI_PENDING && c->state == FCGI_CONN_BUSY && (c->send_errno || (events & PB_IO_READ)))
    end = conn_receive(c);
  if (end != FCGI_PENDING) return end;
  if (c->sent < c->total && !c->send_errno) want |= PB_IO_WRITE;
  rc = conn_watch(c, want);
  if (rc < 0) {
    enum fcgi_end how = c->sent ? FCGI_LOST : FCGI_FULL;

    return conn_fail(c, how, "cannot watch the connection: %s", strerror(-rc));
  }
  return FCGI_PENDING;
}

static void conn_on_io(int fd, unsigned events, void *arg) {
  struct fcgi_conn *c = arg;
  enum fcgi_end end;

  (void)fd;
  if (c->state == FCGI_CONN_IDLE) {
    /* php-fpm has nothing to say now: it closed, or it talks out of turn. */
    fcgi_conn_close(c);
    c->env->on_idle_closed(c);
    return;
  }
  end = c->state == FCGI_CONN_WAITING ? conn_look_again(c) : conn_step(c, events);
  if (end != FCGI_PENDING) c->env->on_end(c, end); /* may have freed the connection */
}

static void conn_on_timer(void *arg) {
  struct fcgi_conn *c = arg;
  enum fcgi_end end;

  if (c->state == FCGI_CONN_CONNECTING)
    end = conn_fail(c, FCGI_UNREACHABLE, "no connection within %" PRIu64 " ms", c->connect_ms);
  else if (c->state == FCGI_CONN_WAITING)
    end = conn_look_again(c);
  else if (c->cancelled)
    end = conn_fail(c, FCGI_HUNG_UP,
                    "no answer within hangup_after (%" PRIu64 " s) after the job timed out: the "
                    "script may still be running",
                    c->env->hangup_after_ms / 1000);
  else
    return;
  if (end != FCGI_PENDING) c->env->on_end(c, end);
}

/* --- functions for the pool --- */

enum fcgi_look fcgi_conn_look(struct fcgi_conn *c) {
  int unread = 0;
  char byte;
  ssize_t n;

  if (c->addr->sa.ss_family != AF_UNIX)
    unread = fcgi_diag_unread(c->env->diag, c->fd);
  else if (ioctl(c->fd, SIOCOUTQ, &unread) < 0)
    return FCGI_GONE;
  if (unread < 0) return FCGI_GONE;
  /* In this order: a child that ends after its last answer says so before it reads the rest. */
  n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return FCGI_GONE;
  return unread ? FCGI_NOT_YET : FCGI_READY;
}

enum fcgi_end fcgi_conn_reuse(struct fcgi_conn *c) {
  conn_rewind(c);
  c->reused = true;
  c->state = FCGI_CONN_BUSY;
  c->sent_ms = c->env->h->now_ms(c->env->o);
  return conn_step(c, 0);
}

enum fcgi_end fcgi_conn_wait(struct fcgi_conn *c) {
  c->state = FCGI_CONN_WAITING;
  c->sent_ms = c->env->h->now_ms(c->env->o);
  c->env->h->timer_start(c->timer, WAIT_STEP_MS);
  return FCGI_PENDING;
}

static enum fcgi_end conn_look_again(struct fcgi_conn *c) {
  enum fcgi_look look = fcgi_conn_look(c);

  if (look == FCGI_READY) {
    c->env->h->timer_stop(c->timer);
    return fcgi_conn_reuse(c);
  }
  if (look == FCGI_GONE || c->env->h->now_ms(c->env->o) - c->sent_ms >= WAIT_MAX_MS)
    return conn_fail(c, FCGI_UNSENT, "the child of the kept connection did not come back");
  c->env->h->timer_start(c->timer, WAIT_STEP_MS);
  return FCGI_PENDING;
}

enum fcgi_end fcgi_conn_open(struct fcgi_conn *c, struct fcgi_addr *addr) {
  int family = addr->sa.ss_family, on = 1;

  conn_rewind(c);
  c->reused = c->php = false;
  c->addr = addr;
  c->sent_ms = c->env->h->now_ms(c->env->o);
  c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0) return conn_fail(c, FCGI_FULL, "cannot make a socket: %s", strerror(errno));
  if (family != AF_UNIX) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->state = FCGI_CONN_CONNECTING;
  if (connect(c->fd, (struct sockaddr *)&addr->sa, addr->len) < 0 && errno != EINPROGRESS &&
      errno != EINTR) {
    if (errno == EAGAIN && family == AF_UNIX)
      return conn_fail(c, FCGI_FULL,
                       "its listen queue is full: all workers are busy and none is free soon");
    return conn_fail(c, FCGI_UNREACHABLE, "%s", strerror(errno));
  }
  /* A TCP handshake on this machine is over by now; else this stays CONNECTING. */
  c->connect_ms = patience_ms(c->env->connect_timeout_ms, c->work.deadline_ms, c->sent_ms);
  c->env->h->timer_start(c->timer, c->connect_ms);
  return conn_step(c, 0);
}

enum fcgi_end fcgi_conn_cancel(struct fcgi_conn *c) {
  if (c->cancelled) return FCGI_PENDING;
  c->cancelled = true;
  if (c->state == FCGI_CONN_CONNECTING || c->state == FCGI_CONN_WAITING)
    return conn_fail(c, FCGI_HUNG_UP, "cancelled before there was a connection for it");
  /* The jobs stand at the end of the body. A script that got less of the body has no jobs to run,
   * and its child is free as soon as it reads the end of file. */
  if (c->sent < c->total - sizeof end_of_stdin)
    return conn_fail(c, FCGI_HUNG_UP, "cancelled before the request was sent");
  fcgi_reply_reset(&c->reply);
  fcgi_tail_reset(&c->tail);
  c->env->h->timer_start(c->timer, c->env->hangup_after_ms);
  return FCGI_PENDING;
}

/* Can the kernel tell whether the child at the other end is back? See above. */
static bool conn_can_look(const struct fcgi_conn *c) {
  return c->addr->sa.ss_family == AF_UNIX || (c->env->diag && c->addr->listener.local);
}

bool fcgi_conn_rest(struct fcgi_conn *c) {
  /* Answered before it was all sent: the rest would be taken for the next request. */
  if (c->fd < 0 || !c->work.keep || c->sent < c->total || c->spoiled || !conn_can_look(c) ||
      conn_watch(c, PB_IO_READ) < 0) {
    fcgi_conn_close(c);
    return false;
  }
  c->env->h->timer_stop(c->timer);
  c->state = FCGI_CONN_IDLE;
  c->idle_since_ms = c->env->h->now_ms(c->env->o);
  return true;
}

/* --- addresses --- */

static int addr_bad(struct pb_err *err, const char *text, const char *why) {
  snprintf(err->text, sizeof err->text,
           "\"%.100s\" %s; an address is HOST:PORT with a numeric host or localhost "
           "(127.0.0.1:9000, [::1]:9000), or unix:/path",
           text, why);
  return -EINVAL;
}

static int addr_parse_unix(struct fcgi_addr *a, const char *text, struct pb_err *err) {
  struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
  const char *path = text + strlen("unix:");

  if (path[0] != '/') return addr_bad(err, text, "is not an absolute path");
  if (strlen(path) >= sizeof un->sun_path) {
    snprintf(err->text, sizeof err->text,
             "\"%.200s\" is too long: the system allows %zu bytes for a socket's path", path,
             sizeof un->sun_path - 1);
    return -EINVAL;
  }
  un->sun_family = AF_UNIX;
  strcpy(un->sun_path, path); /* the length was checked */
  a->len = sizeof *un;
  return 0;
}

int fcgi_addr_parse(struct fcgi_addr *ret, const char *text, struct pb_err *err) {
  struct fcgi_addr a = {0};
  struct sockaddr_in *in4 = (struct sockaddr_in *)&a.sa;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.sa;
  const char *why;
  char host[64];
  uint16_t port;
  size_t host_len;
  int rc;

  if (strncmp(text, "unix:", 5) == 0) {
    rc = addr_parse_unix(&a, text, err);
    if (rc < 0) return rc;
    goto out;
  }
  if (text[0] == '/') return addr_bad(err, text, "lacks unix: before the path");
  why = host_port_split(text, host, sizeof host, &port);
  if (why) return addr_bad(err, text, why);
  host_len = strlen(host);
  if (host[0] == '[' && host[host_len - 1] == ']') {
    host[host_len - 1] = 0;
    if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
      return addr_bad(err, text, "has a bad IPv6 address");
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    a.len = sizeof *in6;
    goto out;
  }
  /* Resolving a name would block the loop; this one needs no asking. */
  if (strcmp(host, "localhost") == 0) strcpy(host, "127.0.0.1");
  if (inet_pton(AF_INET, host, &in4->sin_addr) != 1)
    return addr_bad(err, text, "has a host that is not numeric");
  in4->sin_family = AF_INET;
  in4->sin_port = htons(port);
  a.len = sizeof *in4;
out:
  snprintf(a.name, sizeof a.name, "%s", text);
  *ret = a;
  return 0;
}
