/* Owns the connections of the admin port, from accept to close.
 *
 * Must never happen: a connection without a deadline, except while its handler works; a body in
 * memory before its head was checked; more than a few ms of handlers in one turn; a whole answer
 * kept in memory because the client does not read.
 */
#include "admin/http_server.h"

#include "base/buf.h"
#include "event/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_MS  250
#define BUDGET_US 3000        /* of handlers a turn */
#define READ_MAX  (64u << 10) /* of one connection a turn */
#define PIECE     (64u << 10) /* by which progress is measured */
#define LINGER_MS                                                                                  \
  5000 /* a client that still sends is read from for so long, to hear our answer                   \
        */
#define OUT_KEEP (16u << 10)
#define PEER_MAX 64

/* Only conn_to() changes it. Those marked * have a deadline. */
enum conn_state {
  CONN_HEAD,    /* * the head comes, or nothing yet; -> READY, LINGER */
  CONN_READY,   /* on server->ready: its head is to be looked at; -> ASKED, BODY, WHOLE, WRITE */
  CONN_ASKED,   /* its owner finds out who asks: http_wait(); -> GRANTED, WRITE */
  CONN_GRANTED, /* on server->ready: its body may come; -> BODY, WHOLE, WRITE */
  CONN_BODY,    /* * the body comes; -> WHOLE */
  CONN_WHOLE,   /* on server->ready: its handler is to be called; -> BUSY, WRITE */
  CONN_BUSY,    /* its handler has it; -> WRITE by http_answer() */
  CONN_WRITE,   /* * the answer goes out; -> HEAD, LINGER */
  CONN_LINGER,  /* * nothing more is sent; what still comes is thrown away; -> DEAD */
  CONN_DEAD     /* closed; freed at the end of the turn */
};

struct http_request { /* of a connection that has one */
  struct conn *c;
};

TAILQ_HEAD(conns, conn);

struct conn {
  TAILQ_ENTRY(conn) link;  /* of strangers or friends, the longest waiting first */
  TAILQ_ENTRY(conn) ready; /* of server->ready */
  bool in_ready;
  struct http_server *server;
  int fd;
  struct io io;
  enum conn_state state;
  bool friend, local, open; /* open: `gone` is owed to the request's owner */
  bool closes;              /* after this answer */
  bool eof;                 /* the client sends no more */
  uint64_t deadline_ms, progress;
  struct buf in, head_text, body, out;
  size_t out_at;
  struct http_request request;
  struct http_head *head;
  struct http_chunks chunks;
  uint64_t body_max, reserved;
  void *own;
  /* A stream. */
  http_stream_fn fn;
  void (*done)(void *arg);
  void *arg;
  uint64_t left; /* of its length; UINT64_MAX: in chunks, or until the end */
  bool chunked, waits;
  char peer[PEER_MAX];
};

struct http_server {
  struct loop *loop;
  struct http_limits limits;
  struct http_events ev;
  struct http_counters count;
  struct conns strangers, friends, ready;
  size_t bodies;
  bool working; /* in work() */
  struct timer sweep, again;
  struct deferred work;
};

const struct http_limits http_limits_default = {
    .strangers = 256,
    .friends = 1024,
    .bodies = 64u << 20,
    .head_ms = 10000,
    .body_ms = 20000,
    .read_ms = 30000,
    .idle_ms = 60000,
};

static const struct {
  int status;
  const char *reason;
} reasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Timeout"},
    {409, "Conflict"},
    {413, "Too Large"},
    {414, "Target Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable"},
    {429, "Too Many Requests"},
    {500, "Internal Error"},
    {501, "Not Implemented"},
    {503, "Unavailable"},
    {504, "Timeout"},
    {505, "HTTP Version Not Supported"},
};

/* "OK" of 200. */
static const char *http_reason(int status) {
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status) return reasons[i].reason;
  return "Error";
}

/* --- states --- */

static struct conns *list_of(struct conn *c) {
  return c->friend ? &c->server->friends : &c->server->strangers;
}

static void work(void *arg);

static void ready_add(struct conn *c) {
  struct http_server *s = c->server;
  if (c->in_ready) return;
  c->in_ready = true;
  TAILQ_INSERT_TAIL(&s->ready, c, ready);
  if (!s->working && !timer_pending(&s->again)) loop_defer(s->loop, &s->work, work, s);
}

static void ready_remove(struct conn *c) {
  if (c->in_ready) TAILQ_REMOVE(&c->server->ready, c, ready);
  c->in_ready = false;
}

static void conn_want(struct conn *c) {
  unsigned want = 0;
  switch (c->state) {
  case CONN_HEAD:
  case CONN_BODY:
  case CONN_LINGER:
    want = IO_READ;
    break;
  case CONN_WRITE:
    want = c->out.len > c->out_at ? IO_WRITE : 0;
    break;
  case CONN_READY:
  case CONN_ASKED:
  case CONN_GRANTED:
  case CONN_WHOLE:
  case CONN_BUSY:
  case CONN_DEAD:
    break;
  }
  io_want(&c->io, want);
}

static void conn_to(struct conn *c, enum conn_state to) {
  struct http_server *s = c->server;
  const struct http_limits *l = &s->limits;
  uint64_t now = loop_now_ms(s->loop);
  if (c->state == CONN_DEAD) return;
  c->state = to;
  c->deadline_ms = UINT64_MAX;
  if (to == CONN_HEAD) c->deadline_ms = now + (c->in.len ? l->head_ms : l->idle_ms);
  if (to == CONN_BODY) c->deadline_ms = now + l->body_ms;
  if (to == CONN_WRITE) c->deadline_ms = now + l->read_ms;
  if (to == CONN_LINGER) c->deadline_ms = now + LINGER_MS;
  c->progress = 0;
  if (to == CONN_READY || to == CONN_GRANTED || to == CONN_WHOLE)
    ready_add(c);
  else
    ready_remove(c);
  conn_want(c);
}

/* --- the end --- */

static void stream_end(struct conn *c) {
  void (*done)(void *) = c->done;
  void *arg = c->arg;
  c->fn = NULL;
  c->done = NULL;
  if (done) done(arg);
}

static void body_done(struct conn *c) {
  c->server->bodies -= c->reserved;
  c->reserved = 0;
  buf_free(&c->body);
}

static void conn_close(struct conn *c) {
  struct http_server *s = c->server;
  if (c->state == CONN_DEAD) return;
  conn_to(c, CONN_DEAD);
  TAILQ_REMOVE(list_of(c), c, link);
  if (c->friend)
    s->count.friends--;
  else
    s->count.strangers--;
  io_done(&c->io);
  close(c->fd);
  c->fd = -1;
  if (c->open) {
    c->open = false;
    s->ev.gone(s->ev.arg, &c->request);
  }
  stream_end(c);
  body_done(c);
  buf_free(&c->in);
  buf_free(&c->head_text);
  buf_free(&c->out);
  loop_free_later(s->loop, c->head);
  loop_free_later(s->loop, c);
}

void http_cut(struct http_request *r) {
  conn_close(r->c);
}

/* Nothing more is sent. If the client is still sending, closing now would send a reset, and the
 * reset would destroy the answer that the client has not read yet. So its bytes are read for a
 * while. */
static void conn_linger(struct conn *c) {
  if (c->eof || shutdown(c->fd, SHUT_WR)) {
    conn_close(c);
    return;
  }
  buf_free(&c->in);
  conn_to(c, CONN_LINGER);
}

/* Is there a head to parse, or input that can never become a head? After a body, `in` may hold more
 * of the next request than one read for a head takes. */
static bool head_is_due(const struct conn *c) {
  return http_head_length(c->in.data, c->in.len) || c->in.len >= HTTP_HEAD_MAX ||
         !http_head_begins(c->in.data, c->in.len);
}

/* --- writing --- */

static void conn_answered(struct conn *c) {
  body_done(c);
  buf_free(&c->head_text);
  c->out.len = c->out_at = 0;
  if (c->out.cap > OUT_KEEP) buf_free(&c->out);
  if (c->closes || c->eof) {
    conn_linger(c);
    return;
  }
  /* To the end of the list: this client has not kept us waiting. */
  TAILQ_REMOVE(list_of(c), c, link);
  TAILQ_INSERT_TAIL(list_of(c), c, link);
  conn_to(c, head_is_due(c) ? CONN_READY : CONN_HEAD);
}

/* False: the connection is gone. */
static bool out_send(struct conn *c) {
  while (c->out.len > c->out_at) {
    ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n < 0) {
      conn_close(c);
      return false;
    }
    c->out_at += (size_t)n;
    c->progress += (size_t)n;
    if (c->friend && c->progress >= PIECE) {
      c->progress = 0;
      c->deadline_ms = loop_now_ms(c->server->loop) + c->server->limits.read_ms;
    }
  }
  c->out.len = c->out_at = 0;
  return true;
}

static void conn_write(struct conn *c) {
  if (c->out.failed) {
    conn_close(c);
    return;
  }
  if (!out_send(c)) return;
  if (c->out.len > c->out_at) {
    conn_want(c);
  } else if (c->fn) {
    io_want(&c->io, 0);
    if (!c->waits) ready_add(c); /* the next piece when its turn comes */
  } else {
    conn_answered(c);
  }
}

/* One piece of a stream, in its frame. */
static void stream_piece(struct conn *c) {
  struct buf piece = {0};
  enum http_stream state = c->fn(c->arg, &piece);
  if (c->state == CONN_DEAD) { /* by http_cut() */
    buf_free(&piece);
    return;
  }
  bool over = c->left != UINT64_MAX && piece.len > c->left;
  if (piece.failed || over ||
      (state == HTTP_END && c->left && c->left != UINT64_MAX && piece.len < c->left))
    state = HTTP_CUT;
  if (state == HTTP_CUT) {
    buf_free(&piece);
    conn_close(c);
    return;
  }
  if (c->left != UINT64_MAX) c->left -= piece.len;
  if (c->chunked && piece.len) buf_printf(&c->out, "%zx\r\n", piece.len);
  buf_add(&c->out, piece.data, piece.len);
  if (c->chunked && piece.len) buf_add_text(&c->out, "\r\n");
  if (c->chunked && state == HTTP_END) buf_add_text(&c->out, "0\r\n\r\n");
  buf_free(&piece);
  c->waits = state == HTTP_WAIT;
  if (c->waits) c->deadline_ms = UINT64_MAX;
  if (state == HTTP_END) stream_end(c);
  conn_write(c);
}

void http_stream_wake(struct http_request *r) {
  struct conn *c = r->c;
  if (!c->waits) return;
  c->waits = false;
  if (c->state != CONN_WRITE || !c->fn) return;
  c->deadline_ms = loop_now_ms(c->server->loop) + c->server->limits.read_ms;
  if (c->out.len == c->out_at) ready_add(c);
}

void http_stream_now(struct http_request *r) {
  struct conn *c = r->c;
  if (c->state == CONN_WRITE && c->fn && c->out.len == c->out_at) stream_piece(c);
}

/* --- answering --- */

static void head_write(struct conn *c, int status, const char *type, const char *fields,
                       uint64_t length) {
  struct tm tm;
  char date[64] = "";
  time_t now = (time_t)(loop_wall_ms(c->server->loop) / 1000);
  if (gmtime_r(&now, &tm)) strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  buf_printf(&c->out,
             "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n%s"
             "X-Content-Type-Options: nosniff\r\n%s",
             status, http_reason(status), date, type,
             strstr(fields, "Cache-Control:") ? "" : "Cache-Control: no-store\r\n", fields);
  if (length != UINT64_MAX)
    buf_printf(&c->out, "Content-Length: %llu\r\n", (unsigned long long)length);
  else if (c->chunked)
    buf_add_text(&c->out, "Transfer-Encoding: chunked\r\n");
  if (c->closes)
    buf_add_text(&c->out, "Connection: close\r\n");
  else if (c->head->http10)
    buf_add_text(&c->out, "Connection: keep-alive\r\n");
  buf_add_text(&c->out, "\r\n");
}

static bool answer_begin(struct conn *c) {
  /* A body that was not read stands in the way of the next request. */
  bool early = c->state == CONN_READY || c->state == CONN_ASKED || c->state == CONN_GRANTED;
  bool unread = early && (c->head->length || c->head->chunked);
  if (!early && c->state != CONN_WHOLE && c->state != CONN_BUSY) return false;
  c->open = false;
  c->closes |= unread || !c->head->keep;
  conn_to(c, CONN_WRITE);
  return true;
}

void http_answer(struct http_request *r, int status, const char *type, const char *fields,
                 const void *body, size_t len) {
  struct conn *c = r->c;
  if (!answer_begin(c)) return;
  head_write(c, status, type, fields, len);
  if (c->head->method != HTTP_HEAD) buf_add(&c->out, body, len);
  conn_write(c);
}

void http_answer_stream(struct http_request *r, int status, const char *type, const char *fields,
                        uint64_t length, http_stream_fn fn, void (*done)(void *arg), void *arg) {
  struct conn *c = r->c;
  if (!answer_begin(c)) {
    done(arg);
    return;
  }
  c->chunked = length == UINT64_MAX && !c->head->http10;
  if (length == UINT64_MAX && c->head->http10) c->closes = true;
  head_write(c, status, type, fields, length);
  c->done = done;
  c->arg = arg;
  c->left = length;
  c->waits = false;
  if (c->head->method == HTTP_HEAD || !length)
    stream_end(c);
  else
    c->fn = fn;
  conn_write(c);
}

static void answer_plain(struct conn *c, int status, const char *why) {
  char text[256];
  int n = snprintf(text, sizeof text, "{\"error\":\"%s\",\"status\":%d}\n", why, status);
  http_answer(&c->request, status, "application/json", status == 503 ? "Retry-After: 1\r\n" : "",
              text, (size_t)n);
}

/* --- reading --- */

const struct http_head *http_request_head(const struct http_request *r) {
  return r->c->head;
}
const char *http_request_peer(const struct http_request *r) {
  return r->c->peer;
}
bool http_request_local(const struct http_request *r) {
  return r->c->local;
}
void http_request_keep(struct http_request *r, void *own) {
  r->c->own = own;
}
void *http_request_own(const struct http_request *r) {
  return r->c->own;
}

const char *http_request_body(const struct http_request *r, size_t *ret_len) {
  *ret_len = r->c->body.len;
  return r->c->body.len ? r->c->body.data : "";
}

bool http_befriend(struct http_request *r) {
  struct conn *c = r->c;
  struct http_server *s = c->server;
  if (c->friend) return true;
  if (s->count.friends >= s->limits.friends) {
    s->count.over_friends++;
    c->closes = true;
    answer_plain(c, 503, "too many connections; try again");
    return false;
  }
  TAILQ_REMOVE(&s->strangers, c, link);
  c->friend = true;
  TAILQ_INSERT_TAIL(&s->friends, c, link);
  s->count.strangers--;
  s->count.friends++;
  return true;
}

/* Room for so many bytes of this body. */
static bool body_reserve(struct conn *c, uint64_t len) {
  struct http_server *s = c->server;
  if (len > s->limits.bodies - (s->bodies < s->limits.bodies ? s->bodies : s->limits.bodies)) {
    s->count.over_bodies++;
    return false;
  }
  s->bodies += len;
  c->reserved += len;
  return true;
}

void http_wait(struct http_request *r) {
  if (r->c->state == CONN_READY) conn_to(r->c, CONN_ASKED);
}

bool http_accept(struct http_request *r, uint64_t max) {
  struct conn *c = r->c;
  if (c->state != CONN_READY && c->state != CONN_ASKED) return false;
  if (c->head->length > max) {
    char why[96];
    snprintf(why, sizeof why, "the body is larger than %llu bytes", (unsigned long long)max);
    answer_plain(c, 413, why);
    return false;
  }
  if (!body_reserve(c, c->head->length)) {
    answer_plain(c, 503, "too many bodies at a time; try again");
    return false;
  }
  c->body_max = max;
  if (c->state == CONN_ASKED) conn_to(c, CONN_GRANTED);
  return true;
}

/* A body that must not go on: its connection is of no more use. */
static void body_refuse(struct conn *c, int status, const char *why) {
  c->closes = true;
  conn_to(c, CONN_WHOLE); /* so that it may be answered */
  if (c->open) {
    c->open = false;
    c->server->ev.gone(c->server->ev.arg, &c->request);
  }
  answer_plain(c, status, why);
}

static void body_add(struct conn *c, const char *data, size_t len) {
  if (c->head->chunked && c->body.len + len > c->body_max) {
    body_refuse(c, 413, "the body is too large");
    return;
  }
  if (c->head->chunked && !body_reserve(c, len)) {
    body_refuse(c, 503, "too many bodies at a time; try again");
    return;
  }
  buf_add(&c->body, data, len);
  c->progress += len;
  if (c->progress >= PIECE) {
    c->progress = 0;
    c->deadline_ms = loop_now_ms(c->server->loop) + c->server->limits.body_ms;
  }
  if (c->body.failed) body_refuse(c, 500, "out of memory");
}

/* Moves what has come from `in` to the body. Many small chunks are dropped from `in` at once. */
static void body_take(struct conn *c) {
  size_t at = 0;
  while (c->state == CONN_BODY) {
    size_t used = 0, len = 0, have = c->in.len - at;
    const char *data = c->in.data + at, *body = data;
    if (c->head->chunked) {
      long n = http_chunks_take(&c->chunks, data, have, &body, &len);
      if (n < 0) {
        c->server->count.malformed++;
        body_refuse(c, 400, "the body breaks the rules of Transfer-Encoding: chunked");
        return;
      }
      used = (size_t)n;
    } else {
      uint64_t want = c->head->length - c->body.len;
      used = len = have < want ? have : (size_t)want;
    }
    if (len) body_add(c, body, len);
    if (c->state != CONN_BODY) return;
    at += used;
    bool whole = c->head->chunked ? c->chunks.state == CHUNK_DONE : c->body.len == c->head->length;
    if (!whole && used && at < c->in.len) continue;
    buf_drop(&c->in, at);
    if (whole) conn_to(c, CONN_WHOLE);
    return;
  }
}

/* The head was found good: now its body. */
static void body_begin(struct conn *c) {
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  if (!c->head->length && !c->head->chunked) {
    conn_to(c, CONN_WHOLE);
    return;
  }
  if (c->head->expects && !c->in.len)
    (void)!send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL); /* nothing else is on the way */
  conn_to(c, CONN_BODY);
  body_take(c);
}

static void head_refuse(struct conn *c, int status, const char *why) {
  c->server->count.malformed++;
  c->head->keep = false;
  c->closes = true;
  answer_plain(c, status, why);
}

/* In CONN_READY: parses the head and shows it to the owner of the requests. */
static void head_take(struct conn *c) {
  struct http_server *s = c->server;
  const char *why = "";
  size_t len = http_head_length(c->in.data, c->in.len);
  c->head_text.len = 0;
  c->chunks = (struct http_chunks){0};
  memset(c->head, 0, offsetof(struct http_head, fields));
  c->head->n_fields = 0;
  if (!len || len > HTTP_HEAD_MAX) { /* the head will not come, or not in time; see head_is_due() */
    head_refuse(c, 400,
                c->in.len >= HTTP_HEAD_MAX ? "the head of the request is larger than 16 kB"
                                           : "this is not an HTTP request");
    return;
  }
  buf_add(&c->head_text, c->in.data, len);
  buf_drop(&c->in, len);
  if (c->head_text.failed) {
    conn_close(c);
    return;
  }
  int rc = http_head_parse(c->head_text.data, len, c->head, &why);
  if (rc) {
    head_refuse(c, rc, why);
    return;
  }
  s->count.requests++;
  c->own = NULL;
  c->open = true;
  s->ev.head(s->ev.arg, &c->request);
  if (!c->open || c->state != CONN_READY)
    return; /* answered, perhaps at its next request; or it waits */
  body_begin(c);
}

/* In CONN_WHOLE. */
static void whole_take(struct conn *c) {
  struct http_server *s = c->server;
  conn_to(c, CONN_BUSY);
  s->ev.request(s->ev.arg, &c->request);
  body_done(c);
}

static void work_one(struct conn *c) {
  switch (c->state) {
  case CONN_READY:
    head_take(c);
    break;
  case CONN_GRANTED:
    body_begin(c);
    break;
  case CONN_WHOLE:
    whole_take(c);
    break;
  case CONN_WRITE:
    if (c->fn && !c->waits) stream_piece(c);
    break;
  case CONN_HEAD:
  case CONN_ASKED:
  case CONN_BODY:
  case CONN_BUSY:
  case CONN_LINGER:
  case CONN_DEAD:
    break;
  }
}

/* Each connection gets one piece of work per turn. The rest waits for the next turn. */
static void work(void *arg) {
  struct http_server *s = arg;
  uint64_t end = loop_clock_us() + BUDGET_US;
  s->working = true;
  struct conn *c, *last = TAILQ_LAST(&s->ready, conns);
  while ((c = TAILQ_FIRST(&s->ready))) {
    ready_remove(c);
    work_one(c); /* a `c` that died is freed later */
    if (c == last || loop_clock_us() >= end) break;
  }
  s->working = false;
  if (!TAILQ_EMPTY(&s->ready)) timer_start(&s->again, 0);
}

static void conn_eof(struct conn *c) {
  c->eof = true;
  conn_close(c); /* in HEAD, BODY and LINGER there is nothing left to do for it */
}

/* TCP throws it away without a copy; a unix socket knows no such way. */
static void linger_read(struct conn *c) {
  char some[READ_MAX];
  ssize_t n = recv(c->fd, some, sizeof some, c->local ? 0 : MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) conn_eof(c);
}

static void conn_read(struct conn *c) {
  char some[READ_MAX]; /* not in place: many connections with a byte each must not cost 16 kB */
  size_t room = c->state == CONN_HEAD ? HTTP_HEAD_MAX - c->in.len : sizeof some;
  bool fresh = !c->in.len;
  if (c->state == CONN_LINGER) {
    linger_read(c);
    return;
  }
  ssize_t n = recv(c->fd, some, room, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) {
    conn_eof(c);
    return;
  }
  buf_add(&c->in, some, (size_t)n);
  if (c->in.failed) {
    conn_close(c);
  } else if (c->state == CONN_BODY) {
    body_take(c);
  } else if (head_is_due(c)) {
    conn_to(c, CONN_READY);
  } else if (fresh && c->deadline_ms > loop_now_ms(c->server->loop) + c->server->limits.head_ms) {
    c->deadline_ms = loop_now_ms(c->server->loop) + c->server->limits.head_ms;
  }
}

static void conn_io(int fd, unsigned events, void *arg) {
  struct conn *c = arg;
  (void)fd;
  if (events & IO_READ)
    conn_read(c);
  else if (events & IO_WRITE)
    conn_write(c);
}

/* --- connections --- */

static void late(struct conn *c) {
  struct http_counters *n = &c->server->count;
  if (c->state == CONN_HEAD && c->in.len) n->late_heads++;
  if (c->state == CONN_BODY) n->late_bodies++;
  if (c->state == CONN_WRITE) n->late_readers++;
  conn_close(c);
}

static void sweep_list(struct conns *list, uint64_t now) {
  struct conn *next;
  for (struct conn *c = TAILQ_FIRST(list); c; c = next) {
    next = TAILQ_NEXT(c, link);
    if (now >= c->deadline_ms) late(c);
  }
}

static void sweep(void *arg) {
  struct http_server *s = arg;
  uint64_t now = loop_now_ms(s->loop);
  sweep_list(&s->strangers, now);
  sweep_list(&s->friends, now);
  if (s->count.strangers + s->count.friends) timer_start(&s->sweep, SWEEP_MS);
}

/* The stranger that has been busy longest. A stranger that keeps us waiting is chosen before one
 * whose request is being answered. NULL: the requests of all strangers wait for their turn. */
static struct conn *oldest_stranger(const struct http_server *s) {
  struct conn *busy = NULL;
  for (struct conn *c = TAILQ_FIRST(&s->strangers); c; c = TAILQ_NEXT(c, link)) {
    bool ours = c->state == CONN_BUSY || c->state == CONN_ASKED;
    bool in_line = c->state == CONN_WHOLE || c->state == CONN_READY || c->state == CONN_GRANTED;
    if (ours && !busy) busy = c;
    if (!ours && !in_line) return c;
  }
  return busy;
}

bool http_server_room(const struct http_server *s) {
  return s->count.strangers < s->limits.strangers || oldest_stranger(s);
}

static bool make_room(struct http_server *s) {
  if (s->count.strangers < s->limits.strangers) return true;
  struct conn *c = oldest_stranger(s);
  if (!c) return false;
  s->count.over_strangers++;
  conn_close(c);
  return true;
}

void http_server_take(struct http_server *s, int fd, const char *peer, bool local) {
  bool room = local ? s->count.friends < s->limits.friends : make_room(s);
  struct conn *c = room ? calloc(1, sizeof *c) : NULL;
  struct http_head *head = c ? malloc(sizeof *head) : NULL;
  if (!head) {
    static const char full[] = "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                               "Connection: close\r\n\r\n";
    (void)!send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    free(c);
    if (local) s->count.over_friends++;
    return;
  }
  c->server = s;
  c->request.c = c;
  c->head = head;
  c->fd = fd;
  c->local = c->friend = local;
  snprintf(c->peer, sizeof c->peer, "%s", peer);
  io_init(&c->io, s->loop, fd, conn_io, c);
  TAILQ_INSERT_TAIL(list_of(c), c, link);
  if (local)
    s->count.friends++;
  else
    s->count.strangers++;
  s->count.accepted++;
  conn_to(c, CONN_HEAD);
  c->deadline_ms = loop_now_ms(s->loop) + s->limits.head_ms;
  if (!timer_pending(&s->sweep)) timer_start(&s->sweep, SWEEP_MS);
  /* Read at once: a newcomer may take the place of this connection unless its head has arrived. */
  conn_read(c);
}

/* --- the server --- */

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    const struct http_events *ev) {
  struct http_server *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->loop = loop;
  s->limits = *limits;
  s->ev = *ev;
  TAILQ_INIT(&s->strangers);
  TAILQ_INIT(&s->friends);
  TAILQ_INIT(&s->ready);
  timer_init(&s->sweep, loop, sweep, s);
  timer_init(&s->again, loop, work, s);
  return s;
}

void http_server_limit(struct http_server *s, const struct http_limits *limits) {
  s->limits = *limits;
}

struct http_counters http_server_counters(const struct http_server *s) {
  return s->count;
}

void http_server_free(struct http_server *s) {
  if (!s) return;
  while (!TAILQ_EMPTY(&s->strangers)) conn_close(TAILQ_FIRST(&s->strangers));
  while (!TAILQ_EMPTY(&s->friends)) conn_close(TAILQ_FIRST(&s->friends));
  timer_done(&s->sweep);
  timer_done(&s->again);
  deferred_cancel(s->loop, &s->work);
  free(s);
}
