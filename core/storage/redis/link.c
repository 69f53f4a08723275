/* Owns one socket to Redis: the bytes to be written, the callbacks whose replies are to come,
 * timers and replies. Calls loop, log and hiredis' reader of replies only.
 *
 * Must never happen: closing the socket inside a callback of a reply (so giving up always goes
 * through the deferred `reap`); a blocking name lookup (a thread does that); SUBSCRIBE on a link
 * that also sends commands.
 *
 * Only the reader of hiredis is used (redisReaderFeed() and redisReaderGetReply()), with objects of
 * our own. Replies are built in an arena that is reset with each reply, because there is never more
 * than one. The asynchronous contexts of hiredis are not used: async.c looks into the objects as if
 * they were its own, and their layout has changed from release to release.
 */
#include "storage/redis/link.h"

#include "base/address.h"
#include "base/backoff.h"
#include "base/buf.h"
#include "base/log.h"
#include "event/loop.h"
#include "storage/redis/cmd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 3000
#define REPLY_BLOCK      (16 * 1024)
#define TEXT_INLINE      32 /* longer texts have their own block, so that they can be taken */
#define OUTPUT_MAX       (512 * 1024) /* in the output buffer; beyond, commands wait in a list */
#define OUTPUT_KEEP      (64 * 1024) /* of an empty output buffer, and of the reader's input buffer */
#define ANSWER_US        4000
#define ANSWER_LOOK      64          /* replies between two looks at the clock */
#define INPUT_MAX        (16 * 1024) /* the reader moves the rest of it once per KB: not larger */
#define WATCH_TICKS      4           /* looks within one command_timeout */

/* --- replies --- */

struct block {
  struct block *next;
  max_align_t data[];
};

struct reply_arena {
  struct block *extra; /* beside `base`, which stays */
  char *at, *end;
  bool texts; /* a text has its own block */
  max_align_t base[REPLY_BLOCK / sizeof(max_align_t)];
};

struct node {
  struct redis_reply reply;
  struct reply_arena *arena;
};

/* hiredis counts elements in an int before 1.0.0, and in a size_t since. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void reply_reset(struct reply_arena *a) {
  while (a->extra) {
    struct block *c = a->extra;
    a->extra = c->next;
    free(c);
  }
  a->at = (char *)a->base;
  a->end = (char *)(a->base + sizeof a->base / sizeof *a->base);
  a->texts = false;
}

static void *reply_alloc(struct reply_arena *a, size_t n) {
  n = (n + 15) & ~(size_t)15;
  if (n > (size_t)(a->end - a->at)) {
    size_t cap = n > 4 * REPLY_BLOCK ? n : 4 * REPLY_BLOCK;
    struct block *c = malloc(sizeof *c + cap);
    if (!c) return NULL;
    c->next = a->extra;
    a->extra = c;
    a->at = (char *)c->data;
    a->end = a->at + cap;
  }
  void *p = a->at;
  a->at += n;
  return p;
}

static struct redis_reply *reply_new(const redisReadTask *task, int type) {
  struct reply_arena *a = task->privdata;
  struct node *node = reply_alloc(a, sizeof *node);
  if (!node) return NULL;
  memset(node, 0, sizeof *node);
  node->arena = a;
  node->reply.type = type;
  if (task->parent) ((struct redis_reply *)task->parent->obj)->element[task->idx] = &node->reply;
  return &node->reply;
}

static void *reply_string(const redisReadTask *task, char *text, size_t len) {
  struct redis_reply *r = reply_new(task, task->type);
  if (!r) return NULL;
  struct reply_arena *a = task->privdata;
  if (len > TEXT_INLINE) {
    r->str = malloc(len + 1);
    a->texts = true;
  } else {
    r->str = reply_alloc(a, len + 1);
  }
  if (!r->str) return NULL;
  memcpy(r->str, text, len);
  r->str[len] = 0;
  r->len = len;
  return r;
}

static void *reply_array(const redisReadTask *task, element_count n) {
  struct redis_reply *r = reply_new(task, REPLY_ARRAY);
  if (!r || n < 1) return r;
  r->element = reply_alloc(task->privdata, (size_t)n * sizeof *r->element);
  if (!r->element) return NULL;
  memset(r->element, 0, (size_t)n * sizeof *r->element);
  r->elements = (size_t)n;
  return r;
}

static void *reply_integer(const redisReadTask *task, long long v) {
  struct redis_reply *r = reply_new(task, REPLY_INTEGER);
  if (r) r->integer = v;
  return r;
}

static void *reply_nil(const redisReadTask *task) {
  return reply_new(task, REPLY_NIL);
}

#if HIREDIS_MAJOR >= 1
/* Types of RESP3, which we never ask for. Without these functions the reader would hand out numbers
 * as pointers. */
static void *reply_double(const redisReadTask *task, double v, char *text, size_t len) {
  (void)v;
  return reply_string(task, text, len);
}

static void *reply_bool(const redisReadTask *task, int v) {
  return reply_integer(task, v);
}
#endif

static void reply_free_texts(struct redis_reply *r) {
  if (!r) return;
  if (r->len > TEXT_INLINE) free(r->str);
  for (size_t i = 0; i < r->elements; i++) reply_free_texts(r->element[i]);
}

static void reply_free(void *obj) {
  struct node *node = obj;
  if (!node) return;
  struct reply_arena *a = node->arena;
  if (a->texts) reply_free_texts(&node->reply);
  reply_reset(a);
}

static const redisReplyObjectFunctions reply_functions = {
    .createString = reply_string,
    .createArray = reply_array,
    .createInteger = reply_integer,
    .createNil = reply_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = reply_double,
    .createBool = reply_bool,
#endif
    .freeObject = reply_free,
};

char *redis_reply_take_text(struct redis_reply *r) {
  char *p;
  if (r->len > TEXT_INLINE) {
    p = r->str;
    r->str = NULL;
    r->len = 0;
    return p;
  }
  p = malloc(r->len + 1);
  if (p) memcpy(p, r->str, r->len + 1);
  return p;
}

/* --- the link --- */

enum link_state {
  LINK_WAITING,    /* not connected; `timer` connects again */
  LINK_RESOLVING,  /* a thread looks the host name up; `timer` gives up */
  LINK_CONNECTING, /* connect(2) is on the way; `timer` gives up */
  LINK_GREETING,   /* connected; AUTH and SELECT are on the way; `timer` gives up */
  LINK_UP
};

/* A lookup outlives the link that asked for it: each side holds one reference. */
struct lookup {
  atomic_int refs;
  int write_fd; /* the thread's */
  char host[256], port[8];
  char ip[INET6_ADDRSTRLEN]; /* the answer, or "" and `error` */
  int error;
};

/* A command that found the output buffer full. */
struct unsent {
  struct unsent *next;
  size_t n;
  char bytes[];
};

/* The callbacks whose replies are to come, oldest first; a ring. */
struct callbacks {
  struct link_callback **at;
  size_t first, n, cap; /* cap: a power of two */
};

struct link {
  struct loop *loop;
  struct link_settings st;
  struct link_events ev;
  enum link_state state;
  int fd; /* -1: none */
  struct io io;
  redisReader *reader; /* there while fd is */
  struct buf out;      /* from out_at on not written yet */
  size_t out_at;
  struct callbacks callbacks;
  bool subscribed;    /* the bytes that come now are for no callback */
  bool greeted_badly; /* the server does not want us: wait longer before the next time */
  struct deferred flush, reap;
  struct timer timer, watch;
  struct timer more; /* replies wait in the reader */
  uint64_t backoff_ms;
  struct lookup *lookup;
  struct io lookup_io;
  int lookup_fd;
  unsigned greetings; /* replies still to come before the link is up */
  struct link_callback greeting;
  char why[256];
  struct unsent *unsent, **unsent_end;
  size_t unsent_bytes;
  uint64_t sent, done;        /* counted over all connections */
  uint64_t received, written; /* bytes; written: given to the kernel */
  uint64_t watch_received;
  int64_t watch_arrived; /* of the bytes that were written */
  int64_t watch_end;     /* all that had been sent when a reply last came */
  unsigned watch_n;      /* looks since anything moved */
  uint64_t reconnects;
  uint64_t probe, probe_us, rtt_us; /* one command at a time has its round trip measured */
  struct reply_arena arena;
};

static void link_connect(void *arg);

static void link_set_state(struct link *link, enum link_state state) {
  link->state = state;
}

bool link_has_room(const struct link *link, size_t bytes) {
  return link->unsent_bytes <= REDIS_UNSENT_MAX && bytes <= REDIS_UNSENT_MAX - link->unsent_bytes;
}

bool link_is_up(const struct link *link) {
  return link->state == LINK_UP;
}

/* --- loss and reconnection --- */

static void link_retry(struct link *link) {
  uint64_t wait = link->backoff_ms, max = link->st.reconnect_max_ms;
  if (!max || max > RECONNECT_MAX_MS) max = RECONNECT_MAX_MS;
  if (max < RECONNECT_MIN_MS) max = RECONNECT_MIN_MS;
  link->backoff_ms = backoff_next(wait, max);
  if (link->greeted_badly) wait = link->st.refused_ms ? link->st.refused_ms : max;
  link_set_state(link, LINK_WAITING);
  timer_init(&link->timer, link->loop, link_connect, link);
  timer_start(&link->timer, loop_jitter(link->loop, wait));
}

static int callbacks_add(struct callbacks *q, struct link_callback *callback) {
  if (q->n == q->cap) {
    size_t cap = q->cap ? 2 * q->cap : 64;
    struct link_callback **at = malloc(cap * sizeof(struct link_callback *));
    if (!at) return -EAGAIN;
    for (size_t i = 0; i < q->n; i++) at[i] = q->at[(q->first + i) & (q->cap - 1)];
    free(q->at);
    *q = (struct callbacks){.at = at, .n = q->n, .cap = cap};
  }
  q->at[(q->first + q->n++) & (q->cap - 1)] = callback;
  return 0;
}

/* Answers the oldest command. */
static void callbacks_answer(struct link *link, struct redis_reply *r) {
  struct callbacks *q = &link->callbacks;
  struct link_callback *callback = q->at[q->first];
  q->first = (q->first + 1) & (q->cap - 1);
  q->n--;
  if (++link->done == link->probe) {
    link->rtt_us = loop_clock_us() - link->probe_us;
    link->probe = 0;
  }
  callback->fn(callback, r);
}

/* Lets go of the socket and all that belongs to it; callbacks get NULL. */
static void link_close(struct link *link) {
  io_done(&link->io);
  if (link->fd >= 0) close(link->fd);
  link->fd = -1;
  timer_stop(&link->more);
  if (link->reader) redisReaderFree(link->reader);
  link->reader = NULL;
  link->subscribed = false;
  buf_free(&link->out);
  link->out_at = 0;
  while (link->unsent) {
    struct unsent *u = link->unsent;
    link->unsent = u->next;
    free(u);
  }
  link->unsent_end = &link->unsent;
  link->unsent_bytes = 0;
  for (size_t n = link->callbacks.n; n; n--) callbacks_answer(link, NULL);
}

static void link_lost(struct link *link) {
  bool refused = link->greeted_badly, was_up = link->state == LINK_UP;
  char why[sizeof link->why];
  timer_done(&link->timer);
  timer_stop(&link->watch);
  deferred_cancel(link->loop, &link->flush);
  deferred_cancel(link->loop, &link->reap);
  link_set_state(link, LINK_WAITING);
  link_close(link);
  snprintf(why, sizeof why, "%s", link->why[0] ? link->why : "connection closed by the server");
  link->why[0] = 0;
  if (was_up) link->reconnects++;
  link_retry(link);
  link->greeted_badly = false;
  link->ev.down(link->ev.arg, refused, why);
}

/* `why` is the reason unless there is one already. */
static void link_broke(struct link *link, const char *why) {
  if (!link->why[0]) snprintf(link->why, sizeof link->why, "%s", why);
  link_lost(link);
}

static void link_reap(void *arg) {
  struct link *link = arg;
  if (link->fd >= 0) link_lost(link);
}

void link_drop(struct link *link, const char *why) {
  if (link->fd < 0) return;
  if (!link->why[0]) snprintf(link->why, sizeof link->why, "%s", why);
  loop_defer(link->loop, &link->reap, link_reap, link);
}

/* Bytes of ours that the kernel has and the other side has not received. */
static int link_queued(const struct link *link) {
  int n = 0;
  return link->fd >= 0 && !ioctl(link->fd, SIOCOUTQ, &n) ? n : 0;
}

static int64_t link_position(const struct link *link) {
  return (int64_t)(link->written + (link->out.len - link->out_at) + link->unsent_bytes);
}

/* A server is given up when nothing at all has moved for command_timeout: no byte of a reply has
 * come, and no byte of the commands that were on the way at the last reply has arrived there. Later
 * commands do not count. We send one every now and then, and the kernel takes it (over TCP the
 * other side's kernel too). If they counted, a server that stands still would be waited for until
 * all buffers are full. The age of the oldest command says nothing: behind twenty large ones on a
 * slow link it must wait. */
static void link_watch(void *arg) {
  struct link *link = arg;
  int64_t arrived = (int64_t)link->written - link_queued(link);
  bool replied = link->received != link->watch_received;
  if (link->sent == link->done) return;
  if (replied) link->watch_end = link_position(link);
  if (arrived > link->watch_end) arrived = link->watch_end;
  if (replied || arrived > link->watch_arrived) link->watch_n = 0;
  link->watch_received = link->received;
  link->watch_arrived = arrived;
  if (link->watch_n++ == WATCH_TICKS) {
    char why[80];
    snprintf(why, sizeof why, "no reply for %.1f s", (double)link->st.command_timeout_ms / 1000);
    link_drop(link, why);
    return;
  }
  timer_start(&link->watch, link->st.command_timeout_ms / WATCH_TICKS + 1);
}

static void watch_start(struct link *link) {
  if (!link->st.command_timeout_ms) return;
  link->watch_n = 0;
  link->watch_received = link->received;
  link->watch_arrived = (int64_t)link->written;
  link->watch_end = link_position(link);
  timer_start(&link->watch, 1);
}

/* --- the socket --- */

static size_t output(const struct link *link) {
  return link->out.len - link->out_at;
}

/* Moves bytes from the list into the buffer when the buffer is empty. */
static void unsent_move(struct link *link) {
  while (link->unsent && output(link) < OUTPUT_MAX) {
    struct unsent *u = link->unsent;
    buf_add(&link->out, u->bytes, u->n);
    link->unsent = u->next;
    if (!link->unsent) link->unsent_end = &link->unsent;
    link->unsent_bytes -= u->n;
    free(u);
  }
}

static void link_flush(void *arg) {
  struct link *link = arg;
  /* Half a command in the buffer would poison the connection: then it goes. */
  if (link->out.failed) {
    link_broke(link, "out of memory");
    return;
  }
  ssize_t n = send(link->fd, link->out.data + link->out_at, output(link), MSG_NOSIGNAL);
  if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
    io_want(&link->io, IO_READ); /* it may have said why before it closed; then comes the end */
    return;
  }
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    link_broke(link, strerror(errno));
    return;
  }
  if (n > 0) {
    link->out_at += (size_t)n;
    link->written += (size_t)n;
  }
  if (!output(link)) {
    link->out.len = link->out_at = 0;
    if (link->out.cap > OUTPUT_KEEP) buf_free(&link->out);
    unsent_move(link);
  }
  io_want(&link->io, output(link) ? IO_READ | IO_WRITE : IO_READ);
}

/* With the other commands of this turn; behind a write that left something, which only the socket
 * knows the time for, with that. */
static void link_flush_soon(struct link *link) {
  if (!(link->io.want & IO_WRITE)) loop_defer(link->loop, &link->flush, link_flush, link);
}

static void on_message(struct link *link, struct redis_reply *r);

/* A reply that no callback waits for: a message of the channel, or the server says why it refuses
 * us (too many clients, no right to subscribe). */
static void link_unasked(struct link *link, struct redis_reply *r) {
  if (r->type == REPLY_ERROR) {
    link->greeted_badly = !strncmp(r->str, "NOPERM ", 7);
    link_drop(link, r->str);
  } else if (link->subscribed) {
    on_message(link, r);
  } else {
    link_drop(link, "a reply without a command");
  }
}

/* One read may bring a thousand small replies, and each may start other work. Replies that do not
 * fit into a slice of the turn wait in the reader for the next slice. */
static void link_answer(void *arg) {
  struct link *link = arg;
  redisReader *reader = link->reader;
  uint64_t end_us = loop_clock_us() + ANSWER_US;
  void *obj = NULL;
  int rc;
  for (unsigned n = 1; (rc = redisReaderGetReply(reader, &obj)) == REDIS_OK && obj; n++) {
    if (link->callbacks.n)
      callbacks_answer(link, obj);
    else
      link_unasked(link, obj);
    reply_free(obj);
    if (link->reader != reader) return;
    if (n % ANSWER_LOOK == 0 && loop_clock_us() >= end_us) {
      timer_start(&link->more, 0);
      return;
    }
  }
  if (rc != REDIS_OK)
    link_broke(link, reader->errstr);
  else if (link->sent == link->done)
    timer_stop(&link->watch);
}

static void link_read(struct link *link) {
  char in[INPUT_MAX];
  if (timer_pending(&link->more)) return;
  ssize_t n = recv(link->fd, in, sizeof in, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    link_broke(link, n ? strerror(errno) : "Server closed the connection");
    return;
  }
  link->received += (size_t)n;
  if (redisReaderFeed(link->reader, in, (size_t)n) == REDIS_OK)
    link_answer(link);
  else
    link_broke(link, link->reader->errstr);
}

static void link_greet(struct link *link);

static void link_ready(int fd, unsigned events, void *arg) {
  struct link *link = arg;
  if (link->state == LINK_CONNECTING) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len)) error = errno;
    if (error) {
      link_broke(link, strerror(error));
      return;
    }
    io_want(&link->io, IO_READ);
    link_greet(link);
    return;
  }
  if (events & IO_WRITE) link_flush(link);
  if (events & IO_READ && link->fd == fd) link_read(link);
}

/* --- commands --- */

static int unsent_add(struct link *link, const struct redis_piece *piece, size_t n) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++) len += piece[i].n;
  struct unsent *u = malloc(sizeof *u + len);
  if (!u) return -EAGAIN;
  *u = (struct unsent){.n = len};
  for (size_t i = 0, at = 0; i < n; at += piece[i++].n)
    memcpy(u->bytes + at, piece[i].p, piece[i].n);
  *link->unsent_end = u;
  link->unsent_end = &u->next;
  link->unsent_bytes += len;
  return 0;
}

/* Past the limits. */
static int link_queue(struct link *link, const struct redis_piece *piece, size_t n,
                      struct link_callback *callback) {
  int rc = callbacks_add(&link->callbacks, callback);
  if (!rc && (link->unsent || output(link) >= OUTPUT_MAX)) {
    rc = unsent_add(link, piece, n);
    if (rc) link->callbacks.n--;
  } else if (!rc) {
    for (size_t i = 0; i < n; i++) buf_add(&link->out, piece[i].p, piece[i].n);
    link_flush_soon(link);
  }
  if (rc) return rc;
  if (link->sent++ == link->done && !timer_pending(&link->watch)) watch_start(link);
  if (!link->probe) {
    link->probe = link->sent;
    link->probe_us = loop_clock_us();
  }
  return 0;
}

int link_send(struct link *link, const struct redis_piece *piece, size_t n,
              struct link_callback *callback) {
  if (link->state != LINK_UP || link->reap.prev) return -ENOTCONN;
  if (link->unsent_bytes > REDIS_UNSENT_MAX) return -EAGAIN;
  return link_queue(link, piece, n, callback);
}

void link_stats(const struct link *link, struct link_stats *ret) {
  ret->commands = link->sent;
  ret->reconnects = link->reconnects;
  ret->in_flight = link->sent - link->done;
  ret->rtt_us = link->rtt_us;
}

/* --- greeting --- */

static void on_message(struct link *link, struct redis_reply *r) {
  if (r->type != REPLY_ARRAY || r->elements != 3) return;
  if (r->element[2]->type == REPLY_STRING)
    link->ev.message(link->ev.arg, r->element[2]->str, r->element[2]->len);
  else { /* the answer to SUBSCRIBE */
    link->backoff_ms = RECONNECT_MIN_MS;
    link->ev.up(link->ev.arg);
  }
}

static void link_subscribe(struct link *link) {
  struct cmd cmd = {0};
  struct redis_piece piece;
  cmd_begin(&cmd);
  cmd_text(&cmd, "SUBSCRIBE");
  cmd_text(&cmd, link->st.channel);
  if (cmd_end(&cmd, &piece.p, &piece.n)) {
    buf_add(&link->out, piece.p, piece.n);
    link->subscribed = true;
    link_flush_soon(link);
  } else {
    link_drop(link, "out of memory");
  }
  cmd_done(&cmd);
}

static void link_came_up(struct link *link) {
  timer_stop(&link->timer);
  link_set_state(link, LINK_UP);
  if (link->st.channel) {
    link_subscribe(link);
  } else {
    link->backoff_ms = RECONNECT_MIN_MS;
    link->ev.up(link->ev.arg);
  }
}

static void on_greeting(struct link_callback *callback, struct redis_reply *r) {
  struct link *link = (struct link *)((char *)callback - offsetof(struct link, greeting));
  if (!r || link->state != LINK_GREETING || link->reap.prev) return;
  if (r->type == REPLY_ERROR && strncmp(r->str, "LOADING", 7)) {
    /* An unknown CLIENT command (renamed, or forbidden) is no reason to stay away. */
    if (link->greetings > 1) {
      /* A script of somebody's holds it up: it does want us. */
      link->greeted_badly = strncmp(r->str, "BUSY ", 5) != 0;
      link_drop(link, r->str);
      return;
    }
  }
  if (--link->greetings == 0) link_came_up(link);
}

static int greet(struct link *link, int argc, const char **argv) {
  struct cmd cmd = {0};
  struct redis_piece piece;
  cmd_begin(&cmd);
  for (int i = 0; i < argc; i++) cmd_text(&cmd, argv[i]);
  int rc =
      cmd_end(&cmd, &piece.p, &piece.n) ? link_queue(link, &piece, 1, &link->greeting) : -ENOMEM;
  cmd_done(&cmd);
  if (!rc) link->greetings++;
  return rc;
}

static void link_greet(struct link *link) {
  const struct link_settings *st = &link->st;
  char db[24];
  int rc = 0;
  link_set_state(link, LINK_GREETING);
  link->greetings = 0;
  snprintf(db, sizeof db, "%lld", (long long)st->db);
  if (st->password && *st->password) {
    const char *auth[] = {"AUTH", st->password};
    const char *auth2[] = {"AUTH", st->username, st->password};
    rc = st->username && *st->username ? greet(link, 3, auth2) : greet(link, 2, auth);
  }
  const char *select[] = {"SELECT", db};
  const char *name[] = {"CLIENT", "SETNAME", st->client_name};
  if (!rc) rc = greet(link, 2, select);
  if (!rc) rc = greet(link, 3, name); /* the last one: see on_greeting() */
  if (rc) link_drop(link, "out of memory");
}

/* --- connecting --- */

static void link_give_up(void *arg) {
  struct link *link = arg;
  static const char *const what[] = {[LINK_RESOLVING] = "host name not resolved in time",
                                     [LINK_CONNECTING] = "no connection in time",
                                     [LINK_GREETING] = "connected, but no answer in time"};
  const char *why = what[link->state];
  if (link->fd >= 0)
    link_drop(link, why);
  else if (link->state == LINK_RESOLVING) {
    snprintf(link->why, sizeof link->why, "%s", why);
    link_lost(link);
  }
}

static void link_failed(struct link *link, const char *why) {
  snprintf(link->why, sizeof link->why, "%s", why);
  link_lost(link);
}

/* A connect(2) to `to`, which is under way or has failed when this returns. */
static void link_begin(struct link *link, const struct sockaddr *to, socklen_t len) {
  static const int on = 1, idle = 15, interval = 5, count = 3;
  link->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  link->reader = redisReaderCreateWithFunctions((redisReplyObjectFunctions *)&reply_functions);
  if (link->fd < 0 || !link->reader) {
    link_failed(link, link->fd < 0 ? strerror(errno) : "out of memory");
    return;
  }
  link->reader->privdata = &link->arena;
  link->reader->maxbuf = OUTPUT_KEEP;
  reply_reset(&link->arena);
  if (to->sa_family != AF_UNIX) {
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(link->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  }
  if (connect(link->fd, to, len) && errno != EINPROGRESS) {
    link_failed(link, strerror(errno));
    return;
  }
  link_set_state(link, LINK_CONNECTING);
  io_init(&link->io, link->loop, link->fd, link_ready, link);
  io_want(&link->io, IO_WRITE); /* fails only without memory, and then `timer` gives up */
}

static bool endpoint_read(const char *address, char *host, size_t size, char port[8]) {
  const char *from;
  char *rest;
  if (!address_split(address, host, size, &from) || !*host) return false;
  long v = strtol(from, &rest, 10);
  if (*rest || v < 1 || v > 65535) return false;
  snprintf(port, 8, "%d", (int)v);
  return true;
}

static void link_connect_unix(struct link *link, const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof to.sun_path) {
    link->greeted_badly = true;
    link_failed(link, "the path of the unix socket is longer than 107 bytes; use a shorter one");
    return;
  }
  memcpy(to.sun_path, path, strlen(path));
  link_begin(link, (const struct sockaddr *)&to, sizeof to);
}

static void link_connect_ip(struct link *link, const char *ip, const char *port) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  int rc = getaddrinfo(ip, port, &hints, &found);
  if (rc) {
    link_failed(link, gai_strerror(rc));
    return;
  }
  link_begin(link, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
}

static void lookup_unref(struct lookup *l) {
  if (atomic_fetch_sub(&l->refs, 1) == 1) free(l);
}

static void lookup_forget(struct link *link) {
  if (!link->lookup) return;
  io_done(&link->lookup_io);
  close(link->lookup_fd);
  lookup_unref(link->lookup);
  link->lookup = NULL;
}

/* The thread touches nothing but its lookup: the link, even the loop, may be gone by then. */
static void *lookup_run(void *arg) {
  struct lookup *l = arg;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
  l->error = getaddrinfo(l->host, l->port, &hints, &found);
  if (!l->error)
    l->error = getnameinfo(found->ai_addr, found->ai_addrlen, l->ip, sizeof l->ip, NULL, 0,
                           NI_NUMERICHOST);
  if (found) freeaddrinfo(found);
  close(l->write_fd); /* the other end sees it as readable */
  lookup_unref(l);
  return NULL;
}

static void lookup_ready(int fd, unsigned events, void *arg) {
  struct link *link = arg;
  struct lookup *l = link->lookup;
  (void)fd;
  (void)events;
  atomic_fetch_add(&l->refs, 1);
  lookup_forget(link);
  if (l->error) {
    char why[sizeof link->why];
    snprintf(why, sizeof why, "cannot resolve %.150s: %.80s", l->host, gai_strerror(l->error));
    link_failed(link, why);
  } else {
    link_connect_ip(link, l->ip, l->port);
  }
  lookup_unref(l);
}

static int lookup_start(struct link *link, const char *host, const char *port) {
  int fds[2], rc;
  sigset_t all, old;
  pthread_t thread;
  pthread_attr_t attr;
  struct lookup *l = calloc(1, sizeof *l);
  if (!l) return -ENOMEM;
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK)) {
    free(l);
    return -errno;
  }
  atomic_init(&l->refs, 2);
  l->write_fd = fds[1];
  snprintf(l->host, sizeof l->host, "%s", host);
  snprintf(l->port, sizeof l->port, "%s", port);
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigfillset(&all); /* signals belong to the loop's thread */
  pthread_sigmask(SIG_SETMASK, &all, &old);
  rc = pthread_create(&thread, &attr, lookup_run, l);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  if (rc) {
    close(fds[0]);
    close(fds[1]);
    free(l);
    return -rc;
  }
  link->lookup = l;
  link->lookup_fd = fds[0];
  link_set_state(link, LINK_RESOLVING);
  io_init(&link->lookup_io, link->loop, fds[0], lookup_ready, link);
  return io_want(&link->lookup_io, IO_READ);
}

static void link_connect(void *arg) {
  struct link *link = arg;
  const char *address = link->st.address;
  char host[256], port[8];
  unsigned char ip[16];
  lookup_forget(link);
  link->why[0] = 0;
  timer_done(&link->timer);
  timer_init(&link->timer, link->loop, link_give_up, link);
  timer_start(&link->timer, link->st.connect_timeout_ms ? link->st.connect_timeout_ms : 5000);
  if (link->st.unusable) {
    link->greeted_badly = true;
    link_failed(link, link->st.unusable);
  } else if (!strncmp(address, "unix:", 5)) {
    link_connect_unix(link, address + 5);
  } else if (!endpoint_read(address, host, sizeof host, port)) {
    link->greeted_badly = true;
    link_failed(link, "the address is not HOST:PORT or unix:PATH");
  } else if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1) {
    link_connect_ip(link, host, port);
  } else if (lookup_start(link, host, port)) {
    link_failed(link, "cannot look up the host name: out of memory or threads");
  }
}

struct link *link_new(struct loop *loop, const struct link_settings *st,
                      const struct link_events *ev) {
  struct link *link = calloc(1, sizeof *link);
  if (!link) return NULL;
  link->loop = loop;
  link->st = *st;
  link->ev = *ev;
  link->fd = -1;
  link->backoff_ms = RECONNECT_MIN_MS;
  link->unsent_end = &link->unsent;
  link->greeting.fn = on_greeting;
  timer_init(&link->timer, loop, link_connect, link);
  timer_init(&link->watch, loop, link_watch, link);
  timer_init(&link->more, loop, link_answer, link);
  timer_start(&link->timer, 0);
  return link;
}

void link_free(struct link *link) {
  if (!link) return;
  lookup_forget(link);
  link_set_state(link, LINK_WAITING); /* nothing is sent from the callbacks */
  link_close(link);
  free(link->callbacks.at);
  timer_done(&link->timer);
  timer_done(&link->watch);
  timer_done(&link->more);
  deferred_cancel(link->loop, &link->flush);
  deferred_cancel(link->loop, &link->reap);
  loop_free_later(link->loop, link);
}
