/* Owns the sockets of producers and pull workers, from accept to close.
 *
 * A turn: a client that has sent bytes waits in a line, and the line is served in order. The bytes
 * are read into one buffer that all clients of the loop share. Requests run where they stand in
 * this buffer. Only an incomplete rest is copied to the client. Replies are sent at the end of the
 * turn, all replies of one client in one write. An idle client has its struct and no buffer.
 *
 * Fairness: a client is served for SLICE_US, then it goes to the end of the line. The line is
 * served for TURN_US, and goes on in the next turn where it stopped.
 *
 * Back-pressure: a client with max_inflight commands on the way, or half of max_output unsent, is
 * not read from until that has drained. Over max_output it is cut off. Before AUTH the limits are
 * far lower (UNAUTH_*), and all clients before AUTH share UNAUTH_TOTAL. Large requests that are
 * half sent share INPUT_TOTAL: above it they are read one after the other.
 *
 * Must never happen: a reply out of order, or a client used after client_close() beyond the turn.
 */
#include "intake/client.h"

#include "base/log.h"
#include "config/settings.h"
#include "event/loop.h"
#include "intake/command_table.h"
#include "intake/holdback.h"
#include "intake/resp.h"
#include "intake/strangers.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH 65536
/* A request may be this much longer than the longest job: names, options, many small jobs. */
#define REQUEST_SLACK (1u << 20)
#define LINGER_MS                                                                                  \
  2000 /* a client gets this long to read our last words: later bytes of it are answered by RST */
#define SWEEP_MS    25    /* the first look at a client; then by auth_timeout */
#define LAST_MS     10000 /* for a peer to take its last replies */
#define SLICE_US    1000
#define TURN_US     8000
#define FLUSH_US    4000       /* of a turn, for replies */
#define SEND_MOST   (1u << 20) /* bytes of replies sent to one client */
#define SLICE_LOOK  32         /* commands between two looks at the clock, where they are cheap */
#define SLICE_BYTES 16384      /* a command of more is not, */
#define SLICE_ARGS  64         /* a command with more arguments is not cheap either */
/* Of a client that has not authenticated: read at a time, replies that it has not taken. */
#define UNAUTH_READ    16384
#define UNAUTH_REPLIES 16
#define UNAUTH_OUTPUT  16384
/* Replies that wait for all clients together: from so many bytes on a client that has more than its
 * share of them unread is not read from. */
#define OUTPUT_TOTAL  (64u << 20)
#define OUTPUT_SHARE  65536
#define UNAUTH_TOTAL  (16u << 20) /* buffers of all of them; who then wants more ... */
#define UNAUTH_ALWAYS 4096        /* ... than this is cut off */

/* Half-sent requests of all clients that have authenticated; or four of the longest requests, where
 * that is more. Above this sum, requests of more than INPUT_ALWAYS stand in a line. The first in
 * line is read. The others wait for it. A client that stops sending meanwhile is cut off. */
#define INPUT_TOTAL   (64u << 20)
#define INPUT_ALWAYS  4096
#define INPUT_LOOK_MS 5000
#define INPUT_LEAST   (256u << 10) /* to be sent from look to look, or it is */
#define INPUT_STRIKES 3            /* so often in a row that it was not */

/* Each state is the list that the client is on. client_move() is the only one to change it. */
enum client_state {
  CLIENT_NEW,    /* has not authenticated; cut off after auth_timeout. -> OPEN */
  CLIENT_OPEN,   /* -> LAST, or NEW again by RESET */
  CLIENT_LAST,   /* read no more; closed when its replies are out */
  CLIENT_LINGER, /* all is said; what still comes is thrown away until it closes */
  CLIENT_DEAD    /* on no list, freed at the end of the turn */
};

/* Bytes between turns, and what is counted of them; most clients have none. */
struct traffic {
  struct buf in;      /* from the first byte of a request that has not been run */
  struct resp parse;  /* of it */
  struct buf out;     /* bytes that the socket did not take */
  size_t kept;        /* its part of clients' unauth_kept ... */
  size_t half;        /* ... and of input_kept, now ... */
  size_t half_looked; /* ... and at the last look */
  struct client *of;
  TAILQ_ENTRY(traffic) parked_link;
  uint8_t strikes;
};
TAILQ_HEAD(traffic_list, traffic);

/* An idle producer costs one of these. The order of members leaves no holes, and members that only
 * a busy client needs are in its traffic. */
struct client {
  struct io io;
  struct session session;
  TAILQ_ENTRY(client) link;
  TAILQ_ENTRY(client) flush_link; /* to be flushed at the end of this turn */
  TAILQ_ENTRY(client) serve_link; /* in the line of clients that have sent bytes */
  struct traffic *traffic;        /* NULL: none */
  uint64_t since_ms;              /* in this state; of LAST: since a byte was taken */
  uint64_t heard_ms;              /* bytes came last */
  size_t waits;                   /* its part of clients' output_waits */
  uint32_t served;                /* the number of the turn in which it was, the last 32 bits */
  uint8_t state;                  /* enum client_state */
  bool flushing : 1;              /* on the list of flush_link */
  bool waiting : 1;               /* in the line of serve_link */
  bool yielded : 1;               /* its slice was over: `in` may hold whole requests */
  bool stopped : 1;               /* back-pressure: `in` may hold whole requests */
  bool dear : 1;                  /* its last command may have taken long */
  bool parked : 1; /* not read from until there is room for its request, or it is its turn */
  bool polite : 1; /* linger at the end: it got an error and may still be sending */
};
TAILQ_HEAD(client_list, client);

struct clients {
  struct service sv;
  struct reply_pool *pool;
  struct client_list list[CLIENT_DEAD];
  struct client_list flush;
  struct deferred turn; /* flushes them */
  struct client_list line;
  struct deferred serve;
  struct timer go_on; /* there is a line left over for the next turn */
  uint32_t turn_number;
  uint64_t turn_began_us;
  size_t output_waits; /* bytes of replies that have not left */
  size_t unauth_kept;  /* bytes of clients before AUTH */
  size_t input_kept;   /* bytes of half-sent requests of clients after AUTH */
  struct traffic_list parked;
  struct client *favourite; /* the one that may send; NULL: none */
  struct timer input_look;
  bool turn_put_off;
  size_t n, limit;
  bool finishing;
  struct timer sweep;
  struct resp_limits limits[2]; /* before AUTH, after */
  struct resp parse;            /* of the request in `in` */
  char in[SCRATCH], out[SCRATCH];
};

static void client_feed(struct client *c, char *data, size_t len);
static void client_account(struct client *c);
static void on_serve(void *arg);
static void client_cut(struct client *c, const char *why);
static void update_interest(struct client *c);

static struct clients *all_of(const struct client *c) {
  return (struct clients *)((char *)c->session.sv - offsetof(struct clients, sv));
}

/* --- half-sent requests --- */

static size_t half_of(const struct client *c) {
  return c->traffic ? c->traffic->half : 0;
}

static bool input_full(const struct clients *cs) {
  size_t four = 4 * cs->limits[1].max_request;
  return cs->input_kept >= (four > INPUT_TOTAL ? four : INPUT_TOTAL);
}

static void unpark(struct client *c) {
  struct traffic *t = c->traffic;
  TAILQ_REMOVE(&all_of(c)->parked, t, parked_link);
  c->parked = false;
  t->half_looked = t->half;
  t->strikes = 0;
}

/* Each is looked at again before it is read from. */
static void input_go_on(struct clients *cs) {
  struct traffic *t;
  if (cs->favourite && (!input_full(cs) || half_of(cs->favourite) < INPUT_ALWAYS))
    cs->favourite = NULL;
  while ((t = TAILQ_FIRST(&cs->parked)) && (!input_full(cs) || !cs->favourite)) {
    struct client *c = t->of;
    unpark(c);
    if (input_full(cs)) cs->favourite = c;
    update_interest(c);
  }
}

static void input_leave(struct client *c) {
  struct clients *cs = all_of(c);
  if (!c->traffic) return; /* then it is neither parked nor the favourite */
  if (c->parked) unpark(c);
  if (cs->favourite == c) cs->favourite = NULL;
  cs->input_kept -= c->traffic->half;
  c->traffic->half = 0;
  input_go_on(cs);
}

/* May so many bytes be read from it? 0: not now. */
static size_t input_room(struct client *c) {
  struct clients *cs = all_of(c);
  if (c->state != CLIENT_OPEN) return c->state == CLIENT_NEW ? UNAUTH_READ : SCRATCH;
  if (c == cs->favourite || !input_full(cs)) return SCRATCH;
  if (half_of(c) < INPUT_ALWAYS) return INPUT_ALWAYS;
  c->parked = true;
  TAILQ_INSERT_TAIL(&cs->parked, c->traffic, parked_link);
  if (!timer_pending(&cs->input_look)) timer_start(&cs->input_look, INPUT_LOOK_MS);
  update_interest(c);
  input_go_on(cs);
  return 0;
}

/* Runs only while somebody waits. */
static void on_input_look(void *arg) {
  struct clients *cs = arg;
  struct client *c, *next;
  for (c = TAILQ_FIRST(&cs->list[CLIENT_OPEN]); c && !TAILQ_EMPTY(&cs->parked); c = next) {
    struct traffic *t = c->traffic;
    next = TAILQ_NEXT(c, link);
    if (!t) continue;
    bool ours = c->parked || c->stopped || c->yielded || c->waiting; /* it may not send */
    bool good = ours || t->half < INPUT_ALWAYS || t->half >= t->half_looked + INPUT_LEAST ||
                t->half < t->half_looked;
    t->half_looked = t->half;
    t->strikes = good ? 0 : t->strikes + 1;
    if (t->strikes < INPUT_STRIKES) continue;
    cs->sv.count->over_input++;
    client_cut(c, "it does not send the rest of its request, and half-sent requests take too much "
                  "memory together");
  }
  if (!TAILQ_EMPTY(&cs->parked)) timer_start(&cs->input_look, INPUT_LOOK_MS);
}

/* --- states --- */

static void client_move(struct client *c, enum client_state to) {
  struct clients *cs = all_of(c);
  TAILQ_REMOVE(&cs->list[c->state], c, link);
  c->state = to;
  if (to != CLIENT_OPEN) input_leave(c);
  if (to == CLIENT_DEAD) return;
  TAILQ_INSERT_TAIL(&cs->list[to], c, link);
  c->since_ms = loop_now_ms(cs->sv.loop);
  if (to != CLIENT_OPEN && !timer_pending(&cs->sweep)) timer_start(&cs->sweep, SWEEP_MS);
}

static void drop_traffic(struct client *c) {
  if (!c->traffic) return;
  input_leave(c);
  all_of(c)->unauth_kept -= c->traffic->kept;
  buf_free(&c->traffic->in);
  buf_free(&c->traffic->out);
  resp_free(&c->traffic->parse);
  free(c->traffic);
  c->traffic = NULL;
}

static struct traffic *need_traffic(struct client *c) {
  if (!c->traffic && (c->traffic = calloc(1, sizeof *c->traffic))) c->traffic->of = c;
  return c->traffic;
}

static void client_close(struct client *c) {
  struct clients *cs = all_of(c);
  if (c->state == CLIENT_DEAD) return;
  client_move(c, CLIENT_DEAD);
  io_done(&c->io);
  close(io_fd(&c->io));
  if (c->flushing) TAILQ_REMOVE(&cs->flush, c, flush_link);
  if (c->waiting) TAILQ_REMOVE(&cs->line, c, serve_link);
  c->waiting = false;
  cs->output_waits -= c->waits;
  c->waits = 0;
  session_done(&c->session);
  drop_traffic(c);
  cs->n--;
  cs->sv.count->open--;
  loop_free_later(cs->sv.loop, c);
}

/* Closes a client against its will, and says so. */
static void client_cut(struct client *c, const char *why) {
  char peer[PEER_TEXT_MAX];
  peer_format(&c->session.peer, peer);
  log_info(loop_log(all_of(c)->sv.loop), "clients", "%s is cut off: %s", peer, why);
  client_close(c);
}

static size_t unsent(const struct client *c) {
  return c->traffic ? c->traffic->out.len : 0;
}

static size_t unread(const struct client *c) {
  return c->traffic ? c->traffic->in.len : 0;
}

static void update_interest(struct client *c) {
  bool reads = c->state == CLIENT_LINGER || ((c->state == CLIENT_NEW || c->state == CLIENT_OPEN) &&
                                             !c->stopped && !c->yielded && !c->parked);
  if (c->state == CLIENT_DEAD) return;
  if (io_want(&c->io, (reads ? IO_READ : 0u) | (unsent(c) ? IO_WRITE : 0u)))
    client_cut(c, "out of memory for the connection");
}

static void on_turn_end(void *arg);
static void flush_later(struct client *c) {
  struct clients *cs = all_of(c);
  if (c->flushing || c->state == CLIENT_DEAD) return;
  c->flushing = true;
  TAILQ_INSERT_TAIL(&cs->flush, c, flush_link);
  loop_defer(cs->sv.loop, &cs->turn, on_turn_end, cs);
}

static void serve_later(struct client *c) {
  struct clients *cs = all_of(c);
  if (c->waiting || c->state == CLIENT_DEAD) return;
  c->waiting = true;
  TAILQ_INSERT_TAIL(&cs->line, c, serve_link);
  loop_defer(cs->sv.loop, &cs->serve, on_serve, cs);
}

/* No more is read; `drop`: whole requests that were read but not run are forgotten too. */
static void client_last(struct client *c, bool drop) {
  if (c->state == CLIENT_DEAD || c->state == CLIENT_LINGER) return;
  if (c->state != CLIENT_LAST) client_move(c, CLIENT_LAST);
  if (drop) c->yielded = false;
  if ((drop || !(c->stopped || c->yielded)) && c->traffic) {
    buf_free(&c->traffic->in);
    resp_free(&c->traffic->parse);
  }
  flush_later(c);
}

static struct client *client_of(struct replies *rs) {
  return (struct client *)((char *)rs - offsetof(struct client, session.replies));
}

static void on_reply(struct replies *rs) {
  flush_later(client_of(rs));
}

/* --- output --- */

/* Sends, and keeps the bytes that the socket does not take. The client may be dead afterwards. */
static void client_send(struct client *c, const char *data, size_t len) {
  while (len) {
    ssize_t n = send(io_fd(&c->io), data, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      client_close(c);
      return;
    }
    if (n < 0) break;
    all_of(c)->sv.count->bytes_out += (size_t)n;
    data += n;
    len -= (size_t)n;
  }
  if (!len) return;
  if (need_traffic(c)) buf_add(&c->traffic->out, data, len);
  if (!c->traffic || c->traffic->out.failed) client_cut(c, "out of memory for its replies");
}

/* Sends the bytes that did not leave earlier. */
static void send_rest(struct client *c) {
  struct buf *out = &c->traffic->out;
  size_t sent = 0;
  while (sent < out->len && sent < SEND_MOST) {
    size_t most = out->len - sent < SEND_MOST ? out->len - sent : SEND_MOST;
    ssize_t n = send(io_fd(&c->io), out->data + sent, most, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      client_close(c);
      return;
    }
    if (n < 0) break;
    sent += (size_t)n;
  }
  all_of(c)->sv.count->bytes_out += sent;
  if (sent) c->since_ms = c->state == CLIENT_LAST ? loop_now_ms(all_of(c)->sv.loop) : c->since_ms;
  if (sent == out->len)
    buf_free(out);
  else
    buf_drop(out, sent);
}

/* A long one is not copied; it leaves bit by bit. The client may be dead afterwards. */
static void send_long(struct client *c, struct reply *r) {
  struct replies *rs = &c->session.replies;
  if (!need_traffic(c)) {
    client_cut(c, "out of memory for its replies");
    return;
  }
  buf_free(&c->traffic->out); /* empty */
  c->traffic->out = r->out;
  rs->bytes -= r->out.len;
  r->out = (struct buf){0};
  replies_pop(rs);
  send_rest(c);
}

/* Replies that are done leave in as few writes as there can be. */
static void send_replies(struct client *c) {
  struct replies *rs = &c->session.replies;
  char *batch = all_of(c)->out;
  struct reply *r;
  size_t n = 0, taken = 0;
  while (!unsent(c) && (r = replies_first(rs))) {
    if (taken >= SEND_MOST) { /* when others have had their turn */
      flush_later(c);
      break;
    }
    if (r->out.failed) {
      client_cut(c, "out of memory for a reply");
      return;
    }
    if (r->out.len > SCRATCH - n && n) {
      client_send(c, batch, n);
      n = 0;
      if (c->state == CLIENT_DEAD) return;
      continue;
    }
    taken += r->out.len;
    if (r->out.len > SCRATCH) {
      send_long(c, r);
      if (c->state == CLIENT_DEAD) return;
      continue;
    }
    memcpy(batch + n, r->out.data, r->out.len);
    n += r->out.len;
    replies_pop(rs);
  }
  if (n) client_send(c, batch, n);
}

/* End of a client whose replies are all out. */
static void client_end(struct client *c) {
  if (!c->polite || shutdown(io_fd(&c->io), SHUT_WR)) {
    client_close(c);
    return;
  }
  client_move(c, CLIENT_LINGER);
}

static bool is_busy(const struct client *c) {
  const struct server_settings *set = all_of(c)->sv.set;
  const struct replies *rs = &c->session.replies;
  if (!auth_any(&c->session.auth) &&
      (rs->n >= UNAUTH_REPLIES || rs->bytes + unsent(c) > UNAUTH_OUTPUT))
    return true;
  size_t own = rs->bytes + unsent(c);
  if (own > OUTPUT_SHARE && all_of(c)->output_waits - c->waits + own > OUTPUT_TOTAL) return true;
  return (c->session.alone && rs->n) || rs->n >= (size_t)set->max_inflight ||
         own > set->max_output / 2;
}

static bool must_stop(const struct client *c) {
  return c->session.exec || is_busy(c);
}

static void after_command(struct client *c);

static bool slice_over(struct client *c, unsigned n, uint64_t began_us);

/* Runs the commands that were queued before EXEC, as far as there is room for answers and the
 * client's slice lasts. The client may be dead afterwards. */
static void run_queued(struct client *c) {
  uint64_t began_us = loop_clock_us();
  unsigned n = 0;
  while (c->state != CLIENT_DEAD && c->session.exec && !c->session.quit && !is_busy(c)) {
    if (n++ && slice_over(c, n, began_us)) {
      serve_later(c);
      return;
    }
    if (!command_run_queued(&c->session)) {
      client_cut(c, "out of memory for its request");
      return;
    }
    c->dear = c->session.dear;
    c->session.dear = false;
    if (c->state != CLIENT_DEAD) after_command(c);
  }
}

/* The end of a turn in which something was done for this client. */
static void client_flush(struct client *c) {
  struct clients *cs = all_of(c);
  struct replies *rs = &c->session.replies;
  if (c->state == CLIENT_LINGER) return;
  if (unsent(c)) send_rest(c);
  if (c->state != CLIENT_DEAD) send_replies(c);
  if (c->state == CLIENT_DEAD) return;
  /* One long reply may be on its way to a client that reads it; more behind it may not pile up. */
  if (rs->n && rs->bytes + unsent(c) > cs->sv.set->max_output) {
    cs->sv.count->over_output++;
    client_cut(c, "it does not read its replies, max_output is reached");
    return;
  }
  if (!rs->n) c->session.alone = false;
  if (c->session.exec && !is_busy(c)) serve_later(c);
  if (c->stopped && !must_stop(c)) {
    c->stopped = false;
    if (unread(c)) {
      c->yielded = true;
      serve_later(c);
    }
  }
  if (c->traffic && !unread(c) && !unsent(c) && !c->traffic->parse.at) drop_traffic(c);
  if (c->state == CLIENT_LAST && !rs->n && !unsent(c) && !unread(c) &&
      (!c->session.exec || c->session.quit))
    client_end(c);
  if (c->state != CLIENT_DEAD) client_account(c);
  update_interest(c);
}

/* What else was put off goes first: the storages get this turn's jobs and work on them while the
 * replies to many clients are written. */
static void on_turn_end(void *arg) {
  struct clients *cs = arg;
  struct client *c;
  if ((cs->turn_put_off = !cs->turn_put_off)) {
    loop_defer(cs->sv.loop, &cs->turn, on_turn_end, cs);
    return;
  }
  uint64_t began_us = loop_clock_us();
  while ((c = TAILQ_FIRST(&cs->flush)) && loop_clock_us() - began_us < FLUSH_US) {
    TAILQ_REMOVE(&cs->flush, c, flush_link);
    c->flushing = false;
    client_flush(c);
  }
  if (c) timer_start(&cs->go_on, 0); /* the other clients in the next turn */
}

/* --- input --- */

/* Keeps data[at, at+len), which stands in the shared buffer or in the client's own. */
static bool keep_input(struct client *c, char *data, size_t at, size_t len) {
  struct traffic *t = c->traffic;
  if (t && t->in.data == data) {
    t->in.len = at + len;
    buf_drop(&t->in, at);
    return true;
  }
  if (!len) return true;
  if (!(t = need_traffic(c))) return false;
  buf_add(&t->in, data + at, len);
  return !t->in.failed;
}

static void refuse_syntax(struct client *c, const struct resp *p) {
  struct client_counters *count = all_of(c)->sv.count;
  char peer[PEER_TEXT_MAX];
  count->protocol_errors++;
  if (p->fault == RESP_FAULT_ARGS) count->over_arguments++;
  if (p->fault == RESP_FAULT_UNAUTH) count->over_unauthenticated++;
  if (p->fault == RESP_FAULT_FOREIGN) {
    strangers_note(all_of(c)->sv.strangers, STRANGER_HTTP, &c->session.peer);
    c->polite = true;
    client_last(c, true);
    return;
  }
  peer_format(&c->session.peer, peer);
  log_info(loop_log(all_of(c)->sv.loop), "clients", "%s is closed: %s", peer, p->error);
  struct reply *r = reply_open(&c->session.replies);
  if (!r) {
    client_close(c);
    return;
  }
  resp_errorf(&r->out, "ERR %s", p->error);
  reply_done(r);
  c->polite = true;
  client_last(c, true);
}

/* Applies changes that a command may have made to its connection. */
static void after_command(struct client *c) {
  bool known = auth_any(&c->session.auth);
  c->polite = c->polite || c->session.put_out;
  if (c->session.quit)
    client_last(c, true);
  else if (c->state == CLIENT_NEW && known)
    client_move(c, CLIENT_OPEN);
  else if (c->state == CLIENT_OPEN && !known)
    client_move(c, CLIENT_NEW);
}

/* Has this client had its time? The clock is not asked for at each of many cheap commands. */
static bool slice_over(struct client *c, unsigned n, uint64_t began_us) {
  if (!c->dear && n % SLICE_LOOK) return false;
  return loop_clock_us() - began_us >= SLICE_US;
}

/* Clients before AUTH share the memory that they may use here. A client that wants more than is
 * left is cut off. The client may be dead afterwards. */
static void client_account(struct client *c) {
  struct clients *cs = all_of(c);
  struct traffic *t = c->traffic;
  size_t waits = c->session.replies.bytes + unsent(c);
  cs->output_waits += waits - c->waits;
  c->waits = waits;
  if (!t) return;
  size_t now = !auth_any(&c->session.auth) ? sizeof *t + t->in.cap + t->out.cap : 0;
  size_t half = c->state == CLIENT_OPEN ? t->in.len + t->parse.cap * sizeof *t->parse.args : 0;
  if (half != t->half) {
    cs->input_kept += half - t->half;
    t->half = half;
    if (cs->favourite || !TAILQ_EMPTY(&cs->parked)) input_go_on(cs);
    if (c->state == CLIENT_DEAD) return;
  }
  if (now == t->kept) return;
  cs->unauth_kept += now - t->kept;
  t->kept = now;
  if (cs->unauth_kept <= UNAUTH_TOTAL || now <= UNAUTH_ALWAYS) return;
  cs->sv.count->over_unauthenticated++;
  client_cut(c,
             "it has not authenticated, and unauthenticated clients take too much memory together");
}

/* Runs the requests in `data`, which is the shared buffer or the client's own `in`, and keeps the
 * rest. The client may be dead afterwards. */
static void client_feed(struct client *c, char *data, size_t len) {
  struct clients *cs = all_of(c);
  bool own = c->traffic && c->traffic->in.data == data;
  struct resp *p = own ? &c->traffic->parse : &cs->parse;
  uint64_t began_us = loop_clock_us();
  size_t at = 0;
  for (unsigned n = 1; at < len && !(c->stopped = must_stop(c)); n++) {
    if (n > 1 && slice_over(c, n, began_us)) {
      c->yielded = true;
      serve_later(c);
      break;
    }
    const struct resp_limits *limits = &cs->limits[auth_any(&c->session.auth)];
    enum resp_rc rc = resp_parse(p, data + at, len - at, limits);
    if (rc == RESP_MORE) {
      if (c->state == CLIENT_LAST) { /* the rest will never come */
        resp_reset(p);
        at = len;
        break;
      }
      size_t keep = p->keep;
      if (!own && (!need_traffic(c) || !resp_move(&c->traffic->parse, p))) {
        resp_reset(p);
        client_cut(c, "out of memory for its request");
        return;
      }
      if (!keep_input(c, data, at, keep)) client_cut(c, "out of memory for its request");
      return;
    }
    if (rc == RESP_ERROR) {
      refuse_syntax(c, p);
      resp_reset(&cs->parse); /* the client's own is gone with its input */
      return;
    }
    bool ran = rc == RESP_EMPTY || command_run(&c->session, p);
    if (c->state == CLIENT_DEAD) { /* the client's buffer and parser are gone */
      resp_reset(&cs->parse);
      return;
    }
    at += p->at;
    c->dear = p->at > SLICE_BYTES || p->argc > SLICE_ARGS || c->session.dear;
    c->session.dear = false;
    resp_reset(p);
    if (!ran) {
      client_cut(c, "out of memory for its request");
      return;
    }
    after_command(c);
    if (c->session.quit) return;
    if (c->session.exec) {
      run_queued(c);
      if (c->state == CLIENT_DEAD) { /* see above */
        resp_reset(&cs->parse);
        return;
      }
      if (c->session.quit) return;
    }
  }
  if (!keep_input(c, data, at, len - at)) client_cut(c, "out of memory for its request");
}

static void client_read(struct client *c) {
  struct clients *cs = all_of(c);
  size_t room = c->parked ? 0 : input_room(c);
  if (!room) return;
  ssize_t n = recv(io_fd(&c->io), cs->in, room, 0);
  if (n < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) client_close(c);
    return;
  }
  if (c->state == CLIENT_LINGER) {
    if (!n) client_close(c);
    return;
  }
  if (!n) { /* it may still want the answers to its requests */
    client_last(c, false);
    update_interest(c);
    return;
  }
  cs->sv.count->bytes_in += (size_t)n;
  c->heard_ms = loop_now_ms(cs->sv.loop);
  struct traffic *t = c->traffic;
  if (t && (t->in.len || t->parse.at)) {
    buf_add(&t->in, cs->in, (size_t)n);
    if (t->in.failed) {
      client_cut(c, "out of memory for its request");
      return;
    }
    client_feed(c, t->in.data, t->in.len);
  } else {
    client_feed(c, cs->in, (size_t)n);
  }
  if (c->state == CLIENT_DEAD) return;
  if (c->traffic && !unread(c)) {
    buf_free(&c->traffic->in);
    if (!unsent(c)) drop_traffic(c);
  }
  client_account(c);
  update_interest(c);
}

/* Its slice, and then to the end of the line where there is more of it. */
static void client_serve(struct client *c) {
  if (c->session.exec) {
    run_queued(c);
    if (c->state == CLIENT_DEAD) return;
    client_account(c);
    flush_later(c);
    if (c->state != CLIENT_DEAD) update_interest(c);
    return;
  }
  if (!c->yielded) {
    if (!c->stopped && c->state != CLIENT_LAST) client_read(c);
    return;
  }
  c->yielded = false;
  if (unread(c)) client_feed(c, c->traffic->in.data, c->traffic->in.len);
  if (c->state == CLIENT_DEAD) return;
  client_account(c);
  flush_later(c);
  update_interest(c);
}

static void on_serve(void *arg) {
  struct clients *cs = arg;
  struct client *c;
  uint32_t turn = (uint32_t)loop_turns(cs->sv.loop);
  if (cs->turn_number != turn) {
    cs->turn_number = turn;
    cs->turn_began_us = loop_clock_us();
  }
  /* A client that has had its slice comes again once it is known which other clients have sent
   * bytes. */
  while ((c = TAILQ_FIRST(&cs->line)) && c->served != cs->turn_number &&
         loop_clock_us() - cs->turn_began_us < TURN_US) {
    TAILQ_REMOVE(&cs->line, c, serve_link);
    c->waiting = false;
    c->served = cs->turn_number;
    client_serve(c);
  }
  if (!TAILQ_EMPTY(&cs->line) && !timer_pending(&cs->go_on)) timer_start(&cs->go_on, 0);
}

static void on_go_on(void *arg) {
  struct clients *cs = arg;
  loop_defer(cs->sv.loop, &cs->serve, on_serve, cs);
  if (!TAILQ_EMPTY(&cs->flush)) loop_defer(cs->sv.loop, &cs->turn, on_turn_end, cs);
}

static void on_io(int fd, unsigned events, void *arg) {
  struct client *c = arg;
  (void)fd;
  if (events & IO_WRITE) flush_later(c);
  if (events & IO_READ) serve_later(c);
}

/* --- limits of time --- */

/* Runs only while there are clients that may have to go. */
static void on_sweep(void *arg) {
  struct clients *cs = arg;
  uint64_t now = loop_now_ms(cs->sv.loop), auth_ms = cs->sv.set->auth_timeout_ms;
  struct client *c, *next;
  while ((c = TAILQ_FIRST(&cs->list[CLIENT_NEW])) && now - c->since_ms >= auth_ms) {
    cs->sv.count->over_auth_time++;
    client_cut(c, "it did not authenticate within auth_timeout");
  }
  for (c = TAILQ_FIRST(&cs->list[CLIENT_LAST]); c; c = next) {
    next = TAILQ_NEXT(c, link);
    if (unsent(c) && now - c->since_ms >= LAST_MS)
      client_cut(c, "it is being closed and does not read its last replies");
  }
  while ((c = TAILQ_FIRST(&cs->list[CLIENT_LINGER])) && now - c->since_ms >= LINGER_MS)
    client_close(c);
  if (TAILQ_EMPTY(&cs->list[CLIENT_NEW]) && TAILQ_EMPTY(&cs->list[CLIENT_LAST]) &&
      TAILQ_EMPTY(&cs->list[CLIENT_LINGER]))
    return;
  uint64_t step = auth_ms / 4;
  timer_start(&cs->sweep, step < SWEEP_MS ? SWEEP_MS : step > 1000 ? 1000 : step);
}

/* --- all of them --- */

struct clients *clients_new(const struct service *sv) {
  struct clients *cs = calloc(1, sizeof *cs);
  if (!cs) return NULL;
  cs->sv = *sv;
  for (int i = 0; i < CLIENT_DEAD; i++) TAILQ_INIT(&cs->list[i]);
  TAILQ_INIT(&cs->flush);
  TAILQ_INIT(&cs->line);
  TAILQ_INIT(&cs->parked);
  timer_init(&cs->input_look, sv->loop, on_input_look, cs);
  timer_init(&cs->go_on, sv->loop, on_go_on, cs);
  timer_init(&cs->sweep, sv->loop, on_sweep, cs);
  cs->pool = reply_pool_new(on_reply);
  cs->sv.limiter = auth_limiter_new();
  cs->sv.holdback = holdback_new(sv->loop);
  cs->sv.strangers = strangers_new(sv->loop);
  if (!cs->pool || !cs->sv.limiter || !cs->sv.holdback || !cs->sv.strangers) {
    clients_free(cs);
    return NULL;
  }
  clients_apply(cs, sv->set);
  return cs;
}

void clients_apply(struct clients *cs, const struct server_settings *set) {
  cs->sv.set = set;
  for (int i = 0; i < 2; i++)
    cs->limits[i] = (struct resp_limits){.max_args = (size_t)set->max_arguments,
                                         .max_bulk = set->max_job_size,
                                         .max_request = set->max_job_size + REQUEST_SLACK,
                                         .unauth = i == 0};
}

size_t clients_count(const struct clients *cs) {
  return cs->n;
}

/* --- for people --- */

static int by_id(const void *a, const void *b) {
  uint64_t x = (*(const struct client *const *)a)->session.id,
           y = (*(const struct client *const *)b)->session.id;
  return x < y ? -1 : x > y;
}

static void client_see(const struct client *c, uint64_t now, struct client_seen *ret) {
  const struct session *s = &c->session;
  *ret = (struct client_seen){.id = s->id,
                              .shown = auth_shown(&s->auth),
                              .name = s->name,
                              .age_ms = now - s->since_ms,
                              .idle_ms = now - c->heard_ms,
                              .commands = s->commands,
                              .in_flight = s->replies.n,
                              .out_bytes = s->replies.bytes + unsent(c),
                              .closing = c->state > CLIENT_OPEN};
  peer_format(&s->peer, ret->address);
}

int clients_each(struct clients *cs, uint64_t after,
                 bool (*fn)(void *arg, const struct client_seen *seen), void *arg) {
  struct client *c, **all = malloc((cs->n + 1) * sizeof(struct client *));
  uint64_t now = loop_now_ms(cs->sv.loop);
  size_t n = 0;
  if (!all) return -ENOMEM;
  for (int i = 0; i < CLIENT_DEAD; i++)
    TAILQ_FOREACH(c, &cs->list[i], link) if (c->session.id > after) all[n++] = c;
  qsort(all, n, sizeof(struct client *), by_id);
  struct client_seen seen;
  for (size_t i = 0; i < n; i++) {
    client_see(all[i], now, &seen);
    if (!fn(arg, &seen)) break;
  }
  free(all);
  return 0;
}

bool clients_kill(struct clients *cs, uint64_t id, const char *why) {
  struct client *c;
  for (int i = 0; i < CLIENT_DEAD; i++) TAILQ_FOREACH(c, &cs->list[i], link) {
      if (c->session.id != id) continue;
      client_cut(c, why);
      return true;
    }
  return false;
}

static void refuse_client(struct clients *cs, int fd, const struct peer *peer) {
  static const char full[] = "-ERR max number of clients reached\r\n";
  static const char stopping[] = "-ERR the broker is shutting down\r\n";
  char text[PEER_TEXT_MAX];
  const char *words = cs->finishing ? stopping : full;
  cs->sv.count->refused_clients++;
  peer_format(peer, text);
  if (!cs->finishing)
    log_warning(loop_log(cs->sv.loop), "clients", "%s is refused: max_clients is reached (%zu)",
                text, cs->n);
  ssize_t n = send(fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)n; /* it is closed either way */
  close(fd);
}

#define ROOM_LOOKS 64

/* All places are taken by clients before AUTH. One of them makes room for the newcomer: one that
 * has shown a wrong password and will send no more, or one of the oldest that has shown a wrong
 * password or for half of auth_timeout no right one. */
static void make_room(struct clients *cs) {
  uint64_t now = loop_now_ms(cs->sv.loop), old = cs->sv.set->auth_timeout_ms / 2;
  static const enum client_state where[] = {CLIENT_LAST, CLIENT_NEW};
  for (size_t k = 0; k < sizeof where / sizeof *where; k++) {
    struct client *c = TAILQ_FIRST(&cs->list[where[k]]);
    for (int i = 0; c && i < ROOM_LOOKS; i++, c = TAILQ_NEXT(c, link)) {
      bool wrong = c->session.wrong && !auth_any(&c->session.auth);
      if (!wrong && (where[k] == CLIENT_LAST || now - c->since_ms < old)) continue;
      cs->sv.count->over_auth_time++;
      client_cut(c, "max_clients is reached, and it has not authenticated");
      return;
    }
  }
}

void clients_accept(struct clients *cs, int fd, const struct peer *peer) {
  size_t max = (size_t)cs->sv.set->max_clients;
  if (cs->limit && cs->limit < max) max = cs->limit;
  if (cs->n >= max && !cs->finishing) make_room(cs);
  if (cs->finishing || cs->n >= max) {
    refuse_client(cs, fd, peer);
    return;
  }
  struct client *c = calloc(1, sizeof *c);
  if (!c) {
    refuse_client(cs, fd, peer);
    return;
  }
  session_init(&c->session, &cs->sv, cs->pool);
  c->session.peer = *peer;
  io_init(&c->io, cs->sv.loop, fd, on_io, c);
  c->state = CLIENT_NEW;
  c->since_ms = c->heard_ms = c->session.since_ms;
  TAILQ_INSERT_TAIL(&cs->list[CLIENT_NEW], c, link);
  if (!timer_pending(&cs->sweep)) timer_start(&cs->sweep, SWEEP_MS);
  cs->n++;
  cs->sv.count->open++;
  cs->sv.count->connections++;
  update_interest(c);
}

void clients_limit(struct clients *cs, size_t max) {
  cs->limit = max;
}

void clients_finish(struct clients *cs) {
  struct client *c, *next;
  cs->finishing = true;
  for (int i = CLIENT_NEW; i <= CLIENT_OPEN; i++)
    for (c = TAILQ_FIRST(&cs->list[i]); c; c = next) {
      next = TAILQ_NEXT(c, link);
      if (!c->stopped && !c->yielded) client_read(c); /* what came before we said that we stop */
      client_last(c, false);
      update_interest(c);
    }
}

void clients_free(struct clients *cs) {
  if (!cs) return;
  for (int i = 0; i < CLIENT_DEAD; i++)
    while (!TAILQ_EMPTY(&cs->list[i])) client_close(TAILQ_FIRST(&cs->list[i]));
  timer_done(&cs->sweep);
  timer_done(&cs->go_on);
  timer_done(&cs->input_look);
  deferred_cancel(cs->sv.loop, &cs->turn);
  deferred_cancel(cs->sv.loop, &cs->serve);
  holdback_free(cs->sv.holdback);
  strangers_free(cs->sv.strangers);
  reply_pool_free(cs->pool);
  auth_limiter_free(cs->sv.limiter);
  resp_free(&cs->parse);
  free(cs);
}
