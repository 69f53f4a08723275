/* A plain connection's state machine. Calls the kernel, the host's io and timer slots, http1. */
#include "http_conn.h"

#include "common/list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_TURNS 16          /* buffers in a row: a peer that talks must not hold the loop */
#define IN_CAP        (64 * 1024) /* bytes */
#define WHERE_MAX     304         /* bytes; of a pool's address or a target's peer */

struct http_conn {
  struct http_conn *next, **prev; /* idle ones: the last used is the first */
  struct http_conns *set;
  struct http_exchange *x; /* NULL: idle */
  int fd;
  unsigned watching; /* enum pb_io_event that the host was asked for */
  size_t sent;       /* bytes of the request */
  int send_errno;    /* sending failed; bytes that arrived are still read */
  bool answered;     /* and the rest of the request is still to be sent */
  uint64_t made_ms, idle_since_ms;
  struct http1 answer;
  char where[WHERE_MAX];
};

struct http_conns {
  const struct pb_host *h;
  struct pb_owner *o;
  uint64_t idle_timeout_ms;
  void (*done)(struct http_exchange *x, enum http_conn_end end, const char *why);
  struct pb_timer *timer; /* of the first that is idle for too long */
  bool timer_on;
  struct http_conn *idle;
  unsigned count;
  char in[IN_CAP]; /* to receive into: its bytes are used up within the call */
};

static void conn_on_io(int fd, unsigned events, void *arg);
static void conns_on_timer(void *arg);

/* --- life --- */

static void idle_unlink(struct http_conn *c) {
  if (c->prev) LIST_REMOVE(c);
}

static void conn_close(struct http_conn *c) {
  idle_unlink(c);
  if (c->x) c->x->conn = NULL;
  if (c->watching) c->set->h->io_del(c->set->o, c->fd);
  close(c->fd);
  c->set->count--;
  http1_done(&c->answer);
  free(c);
}

int http_conns_new(const struct pb_host *h, struct pb_owner *o, uint64_t idle_timeout_ms,
                   void (*done)(struct http_exchange *x, enum http_conn_end end, const char *why),
                   struct http_conns **ret) {
  struct http_conns *s = malloc(sizeof *s); /* not zeroed: `in` is touched when it is needed */

  if (!s) return -ENOMEM;
  s->h = h;
  s->o = o;
  s->idle_timeout_ms = idle_timeout_ms ? idle_timeout_ms : 1; /* work may come in this very turn */
  s->done = done;
  s->timer = h->timer_new(o, conns_on_timer, s);
  s->timer_on = false;
  s->idle = NULL;
  s->count = 0;
  if (!s->timer) {
    free(s);
    return -ENOMEM;
  }
  *ret = s;
  return 0;
}

void http_conns_free(struct http_conns *s) {
  if (!s) return;
  while (s->idle) conn_close(s->idle);
  s->h->timer_free(s->timer);
  free(s);
}

unsigned http_conns_count(const struct http_conns *s) {
  return s->count;
}

static int conn_watch(struct http_conn *c, unsigned events) {
  int rc;

  if (c->watching == events) return 0;
  rc = c->set->h->io_set(c->set->o, c->fd, events, conn_on_io, c);
  if (rc == 0) c->watching = events;
  return rc;
}

/* --- the end of an exchange --- */

/* It goes on being watched: the next request then costs no call of the host, and an end or a stray
 * answer is seen when it comes. */
static void conn_rest(struct http_conn *c) {
  struct http_conns *s = c->set;

  c->x->conn = NULL;
  c->x = NULL;
  c->idle_since_ms = s->h->now_ms(s->o);
  LIST_PUSH(&s->idle, c);
  if (s->timer_on) return;
  s->h->timer_start(s->timer, s->idle_timeout_ms);
  s->timer_on = true;
}

static void conn_finish(struct http_conn *c, enum http_conn_end end, bool keep, const char *why) {
  struct http_conns *s = c->set;
  struct http_exchange *x = c->x;

  if (keep && x->keep && http1_keeps(&c->answer) && conn_watch(c, PB_IO_READ) == 0)
    conn_rest(c);
  else
    conn_close(c);
  s->done(x, end, why);
}

/* `err`: 0 for an orderly end. */
static void conn_broken(struct http_conn *c, size_t total, int err) {
  const struct http1 *a = &c->answer;
  char why[200];

  if (!err && http1_ends(a)) {
    conn_finish(c, HTTP_CONN_ANSWERED, false, NULL);
    return;
  }
  if (!a->began && c->x->reused)
    snprintf(why, sizeof why, "the kept connection was closed before any byte of the answer");
  else if (!a->began && c->sent < total)
    snprintf(why, sizeof why, "the connection broke while the request was sent (%s)",
             c->send_errno ? strerror(c->send_errno)
             : err         ? strerror(err)
                           : "closed");
  else if (!a->began && !err)
    snprintf(why, sizeof why, "the connection was closed without an answer");
  else if (err)
    snprintf(why, sizeof why, "the connection broke: %s", strerror(err));
  else if (a->state == HTTP1_STATUS || a->state == HTTP1_FIELD)
    snprintf(why, sizeof why, "the answer ended within its header");
  else if (a->state == HTTP1_BODY)
    snprintf(why, sizeof why, "the answer ended too early (%" PRIu64 " of %" PRIu64 " bytes came)",
             a->length - a->left, a->length);
  else
    snprintf(why, sizeof why, "the answer ended too early (before its last chunk)");
  conn_finish(c, HTTP_CONN_BROKEN, false, why);
}

/* --- one step --- */

static size_t exchange_total(const struct http_exchange *x) {
  size_t total = 0;

  for (int i = 0; i < HTTP_PARTS; i++) total += x->part[i].iov_len;
  return total;
}

/* Sends as much as the socket takes. 0 or -errno. */
static int conn_send(struct http_conn *c, size_t total) {
  while (c->sent < total) {
    struct iovec iov[HTTP_PARTS];
    struct msghdr msg = {.msg_iov = iov};
    size_t skip = c->sent;
    ssize_t n;

    for (int i = 0; i < HTTP_PARTS; i++) {
      const struct iovec *p = &c->x->part[i];
      size_t gone = skip < p->iov_len ? skip : p->iov_len;

      skip -= gone;
      if (gone < p->iov_len)
        iov[msg.msg_iovlen++] = (struct iovec){(char *)p->iov_base + gone, p->iov_len - gone};
    }
    n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
      c->sent += (size_t)n;
    else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
      return 0;
    else if (errno != EINTR)
      return -errno;
  }
  return 0;
}

/* A server that answers with success before it has read all may still want the rest: it gets the
 * rest, as with libcurl. After an error it does not. */
static bool conn_sends_on(struct http_conn *c, size_t total) {
  c->answered = c->sent < total && !c->send_errno && c->answer.status < 400 &&
                conn_watch(c, PB_IO_WRITE) == 0;
  return c->answered;
}

/* False: there is nothing more to receive; the exchange is over, and the connection with it
 * perhaps, unless the rest of the request is still to be sent. */
static bool conn_receive(struct http_conn *c, size_t total) {
  struct http_conns *s = c->set;

  for (int turns = 0; turns < RECEIVE_TURNS; turns++) {
    ssize_t n = recv(c->fd, s->in, sizeof s->in, MSG_DONTWAIT);
    size_t used = 0;
    int rc;

    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (!c->send_errno) return true;
      conn_broken(c, total, c->send_errno);
      return false;
    }
    if (n <= 0) {
      conn_broken(c, total, n < 0 ? errno : 0);
      return false;
    }
    rc = http1_read(&c->answer, s->in, (size_t)n, &used);
    if (rc != 0) {
      /* The answer came before all of the request was sent: the rest would be taken for the next
       * request. And bytes behind an answer belong to no request. */
      bool clean = c->sent == total && used == (size_t)n && !c->send_errno;

      if (rc > 0 && used == (size_t)n && conn_sends_on(c, total)) return false;
      conn_finish(c, rc < 0 ? HTTP_CONN_GARBLED : HTTP_CONN_ANSWERED, rc > 0 && clean, NULL);
      return false;
    }
    /* Less than there is room for: there is no more now, and the event will tell of more. */
    if ((size_t)n < sizeof s->in && !c->send_errno) return true;
  }
  return true;
}

static void conn_on_io(int fd, unsigned events, void *arg) {
  struct http_conn *c = arg;
  size_t total;
  int rc;

  (void)fd;
  if (!c->x) { /* an idle one has nothing to say: it has ended, or speaks unasked */
    conn_close(c);
    return;
  }
  total = exchange_total(c->x);
  if (c->sent < total && !c->send_errno) c->send_errno = -conn_send(c, total);
  if (c->answered) {
    if (c->sent == total || c->send_errno) conn_finish(c, HTTP_CONN_ANSWERED, !c->send_errno, NULL);
    return;
  }
  /* It may have answered before it closed (too large a body, for one): read first. */
  if (((events & PB_IO_READ) || c->send_errno) && !conn_receive(c, total)) return;
  if (c->sent < total && !c->send_errno) return;
  rc = conn_watch(c, PB_IO_READ);
  if (rc < 0) conn_broken(c, total, -rc); /* its answer could not be read */
}

/* --- the idle ones --- */

static void conns_on_timer(void *arg) {
  struct http_conns *s = arg;
  uint64_t now = s->h->now_ms(s->o), next = 0;

  s->timer_on = false;
  for (struct http_conn *c = s->idle, *after; c; c = after) {
    uint64_t due = c->idle_since_ms + s->idle_timeout_ms;

    after = c->next;
    if (due <= now)
      conn_close(c);
    else if (!next || due - now < next)
      next = due - now;
  }
  if (!next) return;
  s->h->timer_start(s->timer, next);
  s->timer_on = true;
}

/* Bytes that came in this very turn have not been reported yet. */
static bool conn_silent(const struct http_conn *c) {
  char byte;

  return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* --- functions for the owner --- */

/* 0 or -errno: nothing was sent. */
static int conn_begin(struct http_conn *c, struct http_exchange *x) {
  size_t total = exchange_total(x);
  int rc;

  c->x = x;
  c->sent = 0;
  c->send_errno = 0;
  c->answered = false;
  http1_begin(&c->answer, x->reply);
  rc = conn_send(c, total);
  if (rc < 0 && !c->sent) return rc;
  c->send_errno = -rc;
  /* A broken one is readable: its end is read then. */
  rc = conn_watch(c, c->sent < total && !c->send_errno ? PB_IO_READ | PB_IO_WRITE : PB_IO_READ);
  if (rc < 0 && !c->sent) return rc;
  x->conn = c;
  if (rc < 0) conn_broken(c, total, -rc);
  return 0;
}

bool http_conns_reuse(struct http_conns *s, const char *where, struct http_exchange *x) {
  for (struct http_conn *c = s->idle, *after; c; c = after) {
    after = c->next;
    if (strcmp(c->where, where) != 0) continue;
    bool old = x->max_age_ms && s->h->now_ms(s->o) - c->made_ms >= x->max_age_ms;

    if (!old && conn_silent(c)) {
      idle_unlink(c);
      x->reused = true;
      if (conn_begin(c, x) == 0) return true;
    }
    conn_close(c);
  }
  return false;
}

int http_conns_open(struct http_conns *s, int fd, const char *where, struct http_exchange *x) {
  struct http_conn *c = calloc(1, sizeof *c);
  int rc;

  if (!c) {
    close(fd);
    return -ENOMEM;
  }
  c->set = s;
  c->fd = fd;
  c->made_ms = s->h->now_ms(s->o);
  snprintf(c->where, sizeof c->where, "%s", where);
  s->count++;
  x->reused = false;
  rc = conn_begin(c, x);
  if (rc < 0) conn_close(c);
  return rc;
}

void http_exchange_drop(struct http_exchange *x) {
  if (x->conn) x->conn->answer.drop = true;
}

void http_exchange_hang_up(struct http_exchange *x) {
  if (x->conn) conn_close(x->conn);
}
