/* Owns the multi handle, its sockets and its timer. Calls libcurl, the kernel, the host.
 *
 * Must never happen: libcurl called from within one of its own callbacks; a descriptor closed
 * while the host watches it.
 */
#include "curl_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX  100000L /* connections; how many there are is the dispatcher's business */
#define LOOKED_AT 64      /* idle connections looked at in one system call */

/* A descriptor of libcurl. Connections are made and closed here, so facts about one cannot be taken
 * for facts about another of the same number. The threaded resolver has descriptors of its own
 * making. */
struct curl_sock {
  bool ours;         /* made by on_open(): known until sock_forget() */
  bool proven;       /* ours, and libcurl has kept it after a call: it says before it closes it */
  bool idle;         /* a kept connection that no call uses */
  bool spent;        /* closed here: libcurl finds it dead when it looks at it */
  bool h2;           /* HTTP/2: the other side may speak without being asked */
  unsigned watching; /* enum pb_io_event that the host was asked for */
  uint64_t idle_since_ms;
  size_t at;            /* in `own` */
  struct h2_conn *conn; /* the facts about it as an HTTP/2 connection, if any; NULL: being made */
  int stand_in;         /* not proven: the duplicate that is watched for it; 0: none */
  int stands_for;       /* and the other way round */
};

/* The facts about the end of a connection that carried requests. It is found by its addresses, and
 * outlives its socket: it is asked later what happened to the requests. */
struct h2_conn {
  uint64_t key;          /* of both its addresses; 0: never used */
  unsigned serial;       /* another connection has come in its place when this is another one */
  uint32_t refused_from; /* GOAWAY: streams from this one on were not processed; 0: none was said */
  int fd;                /* -1: closed, or not known */
  bool ended;            /* the other side has ended it, as far as is known */
};

struct curl_loop {
  const struct pb_host *h;
  struct pb_owner *o;
  void (*done)(struct curl_call *c, CURLcode rc);
  CURLM *multi;
  CURLSH *share; /* TLS sessions: a new connection continues one of the pool */
  struct pb_timer *timer, *idle_timer;
  uint64_t idle_timeout_ms;
  bool idle_timer_on;
  bool resolves;
  unsigned depth;  /* within curl_multi_...() or what follows it */
  bool kick;       /* calls were added meanwhile */
  bool timer_told; /* libcurl has said timer_ms meanwhile */
  long timer_ms;
  size_t running;              /* calls that libcurl has */
  struct curl_call *unwatched; /* of those, with a descriptor that cannot be watched: to be ended */
  struct curl_sock *socks;     /* by descriptor */
  size_t sock_cap;
  int ended; /* a socket whose other side is closed */
  int *own;  /* the descriptors that are ours */
  size_t own_n, own_cap;
  struct h2_conn *conns; /* CONN_PLACES; NULL: no call asked for it */
  unsigned serial;
};

static void on_io(int fd, unsigned events, void *arg);
static void on_foreign_io(int fd, unsigned events, void *arg);
static void on_timer(void *arg);
static void on_idle_timer(void *arg);

/* --- descriptors --- */

static struct curl_sock *sock_get(struct curl_loop *l, int fd) {
  size_t cap = l->sock_cap ? l->sock_cap : 64;
  struct curl_sock *socks;

  if (fd < 0) return NULL;
  if ((size_t)fd < l->sock_cap) return &l->socks[fd];
  while (cap <= (size_t)fd) cap *= 2;
  socks = realloc(l->socks, cap * sizeof *socks);
  if (!socks) return NULL;
  memset(socks + l->sock_cap, 0, (cap - l->sock_cap) * sizeof *socks);
  l->socks = socks;
  l->sock_cap = cap;
  return &l->socks[fd];
}

static int sock_watch(struct curl_loop *l, int fd, unsigned events) {
  struct curl_sock *s = &l->socks[fd];
  int rc = 0;

  if (s->watching == events) return 0;
  if (events)
    rc = l->h->io_set(l->o, fd, events, on_io, l);
  else
    l->h->io_del(l->o, fd);
  if (rc == 0) s->watching = events;
  return rc;
}

/* --- descriptors that libcurl 7.88 closes by itself, and reports afterwards or never: the
 * resolver's, and those of connections that fail. The host watches a duplicate of each, so that it
 * never watches a foreign descriptor of the same number --- */

static bool foreign_same(int a, int b) {
  struct stat x, y;

  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void foreign_release(struct curl_loop *l, int fd) {
  int stand_in = l->socks[fd].stand_in;

  if (!stand_in) return;
  l->h->io_del(l->o, stand_in);
  close(stand_in);
  l->socks[stand_in].stands_for = 0;
  l->socks[fd].stand_in = 0;
  l->socks[fd].watching = 0;
}

static int foreign_watch(struct curl_loop *l, int fd, unsigned events) {
  int stand_in = l->socks[fd].stand_in;

  if (stand_in && (!events || !foreign_same(fd, stand_in))) foreign_release(l, fd);
  if (!events) return 0;
  if (!l->socks[fd].stand_in) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    stand_in = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (stand_in < 0) return -errno;
    if (!sock_get(l, stand_in)) {
      close(stand_in);
      return -ENOMEM;
    }
    l->socks[fd].stand_in = stand_in;
    l->socks[stand_in].stands_for = fd;
  }
  l->socks[fd].watching = events;
  return l->h->io_set(l->o, l->socks[fd].stand_in, events, on_foreign_io, l);
}

static void sock_forget(struct curl_loop *l, int fd) {
  struct curl_sock *s = &l->socks[fd];

  foreign_release(l, fd);
  if (s->ours) {
    l->own[s->at] = l->own[--l->own_n];
    l->socks[l->own[s->at]].at = s->at;
  }
  if (s->conn && s->conn->fd == fd) { /* how it ended was not seen */
    s->conn->fd = -1;
    s->conn->ended = true;
  }
  *s = (struct curl_sock){.stands_for = s->stands_for};
}

/* --- connections --- */

/* Ends an idle connection that libcurl holds: its descriptor is replaced by that of an ended
 * socket. shutdown() alone is not enough: bytes that have arrived could still be read. */
static void sock_spend(struct curl_loop *l, int fd) {
  sock_watch(l, fd, 0);
  if (dup3(l->ended, fd, O_CLOEXEC) < 0) shutdown(fd, SHUT_RDWR);
  l->socks[fd].spent = true;
}

static void sock_idle(struct curl_loop *l, int fd, CURL *easy) {
  struct curl_sock *s = &l->socks[fd];
  long version = 0;

  if (s->idle || s->spent) return;
  if (curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version) == CURLE_OK)
    s->h2 = version >= CURL_HTTP_VERSION_2_0;
  s->idle = true;
  s->idle_since_ms = l->h->now_ms(l->o);
  /* It goes on being watched: the next request then costs no call of the host, and an end or a
   * stray answer is seen when it comes. */
  if (sock_watch(l, fd, PB_IO_READ) < 0) sock_spend(l, fd);
  if (l->idle_timer_on) return;
  l->h->timer_start(l->idle_timer, l->idle_timeout_ms);
  l->idle_timer_on = true;
}

/* An idle connection has an event: its end, or bytes that nobody asked for. */
static void sock_spoke(struct curl_loop *l, int fd) {
  char byte;

  if (l->socks[fd].h2 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
    sock_watch(l, fd, 0); /* a frame of the connection's own; libcurl reads it with the next call */
  else
    sock_spend(l, fd);
}

/* Bytes that came in this very turn have not been reported yet. */
static void look_at_idle(struct curl_loop *l) {
  struct pollfd look[LOOKED_AT];
  nfds_t n = 0;

  for (size_t i = 0; i < l->own_n; i++) {
    const struct curl_sock *s = &l->socks[l->own[i]];

    if (s->idle && !s->spent && !s->h2)
      look[n++] = (struct pollfd){.fd = l->own[i], .events = POLLIN | POLLRDHUP};
    if (n == 0 || (n < LOOKED_AT && i + 1 < l->own_n)) continue;
    if (poll(look, n, 0) > 0)
      for (nfds_t k = 0; k < n; k++)
        if (look[k].revents) sock_spend(l, look[k].fd);
    n = 0;
  }
}

/* --- libcurl's callbacks --- */

/* A descriptor of the call cannot be watched. If libcurl were told this error, it would take no new
 * call until its last one is over. So finish_unwatched() ends the call. */
static int sock_unwatched(struct curl_loop *l, CURL *easy, int error) {
  struct curl_call *c = NULL;

  curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&c);
  if (!c || c->unwatched) return 0;
  c->connect_errno = error;
  c->unwatched = true;
  c->next_unwatched = l->unwatched;
  l->unwatched = c;
  return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused) {
  struct curl_loop *l = arg;
  struct curl_sock *s = sock_get(l, fd);
  unsigned events =
      (what & CURL_POLL_IN ? PB_IO_READ : 0u) | (what & CURL_POLL_OUT ? PB_IO_WRITE : 0u);
  int rc;

  (void)unused;
  if (!s) return sock_unwatched(l, easy, ENOMEM);
  if (!s->proven && events) {
    rc = foreign_watch(l, fd, events);
    return rc < 0 ? sock_unwatched(l, easy, -rc) : 0;
  }
  if (!s->proven) {
    bool kept = s->ours && s->stand_in && foreign_same(fd, s->stand_in);

    foreign_release(l, fd);
    if (!kept) {
      sock_forget(l, fd);
      return 0;
    }
    s->proven = true;
  }
  if (what != CURL_POLL_REMOVE) {
    s->idle = false;
    rc = sock_watch(l, fd, events);
    return rc < 0 ? sock_unwatched(l, easy, -rc) : 0;
  }
  sock_idle(l, fd, easy);
  return 0;
}

static int on_timer_wish(CURLM *multi, long ms, void *arg) {
  struct curl_loop *l = arg;

  (void)multi;
  l->timer_ms = ms;
  l->timer_told = true;
  return 0;
}

/* --- was it processed? --- */

#define CONN_PLACES 65536 /* places; only used ones take memory */

static bool sock_ended(int fd) {
  char byte;
  ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static struct h2_conn *conn_of(const struct curl_call *c) {
  struct h2_conn *conn = c->conn;

  return conn && conn->serial == c->conn_serial ? conn : NULL;
}

static uint64_t key_add(uint64_t key, const char *ip, int port) { /* FNV-1a */
  for (const char *p = ip; p && *p; p++) key = (key ^ (unsigned char)*p) * 1099511628211u;
  return (key ^ (unsigned)port) * 1099511628211u;
}

/* The call's request is about to go out over the connection with this key and own port. */
static void conn_find(struct curl_call *c, uint64_t key, int port) {
  struct curl_loop *l = c->loop;
  struct sockaddr_storage a;
  socklen_t len = sizeof a;
  struct h2_conn *conn;

  c->conn = NULL;
  if (port <= 0) return;
  if (!l->conns) l->conns = calloc(CONN_PLACES, sizeof *l->conns);
  if (!l->conns) return;
  conn = &l->conns[key % CONN_PLACES];
  if (c->opened) {
    *conn = (struct h2_conn){.key = key, .serial = ++l->serial, .fd = -1, .ended = true};
    if (getsockname(c->opened_fd, (struct sockaddr *)&a, &len) == 0 &&
        port == ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                              : ((struct sockaddr_in *)&a)->sin_port)) {
      conn->fd = c->opened_fd;
      conn->ended = false;
      l->socks[conn->fd].conn = conn;
    }
  } else if (conn->key != key || conn->fd < 0) {
    return; /* another one's place, or not followed */
  }
  c->conn = conn;
  c->conn_serial = conn->serial;
}

/* libcurl tells these facts only here, and 7.88 and 8 use different words. If it uses other words,
 * nothing is proven. The texts with request headers begin differently. */
static int on_text(CURL *easy, curl_infotype type, char *data, size_t len, void *arg) {
  static const char last[] = "last_stream=";
  struct curl_call *c = arg;
  struct h2_conn *conn;
  char text[128];
  const char *at;
  unsigned id;

  (void)easy;
  if (type != CURLINFO_TEXT || !c->sent) return 0;
  snprintf(text, sizeof text, "%.*s", len < sizeof text ? (int)len : (int)sizeof text - 1, data);
  if (sscanf(text, "Using Stream ID: %u", &id) == 1 ||
      (strstr(text, "] OPENED stream") && sscanf(text, "[HTTP/2] [%u]", &id) == 1))
    c->stream = id;
  conn = conn_of(c);
  if (!conn) return 0;
  if ((strncmp(text, "recveived GOAWAY, ", 18) == 0 ||
       strncmp(text, "received GOAWAY, ", 17) == 0) &&
      (at = strstr(text, last)) != NULL && sscanf(at + sizeof last - 1, "%u", &id) == 1 &&
      (!conn->refused_from || id + 1 < conn->refused_from))
    conn->refused_from = id + 1;
  if (strstr(text, "(IN)") && strstr(text, "alert")) conn->ended = true;
  return 0;
}

bool curl_call_sent_away(const struct curl_call *c) {
  const struct h2_conn *conn = conn_of(c);

  return c->sent && conn && conn->refused_from && c->stream >= conn->refused_from;
}

bool curl_call_declined(const struct curl_call *c) {
  const struct h2_conn *conn = conn_of(c);

  if (!c->sent || !conn || !c->stream) return false;
  if (conn->refused_from) return curl_call_sent_away(c);
  return !conn->ended && (conn->fd < 0 || !sock_ended(conn->fd));
}

/* libcurl begins with `c` once more. May it? It does so when a kept connection has ended, and when
 * an HTTP/2 server has declined the stream. In the first case the request may have been processed,
 * and libcurl may be silent in both: a stream that was reset, then the end of the connection in the
 * same read, is no error to it. So it goes on only where it was declined for certain: by a GOAWAY
 * with a lower number, or on a connection that lives, which leaves REFUSED_STREAM. */
static bool call_goes_on(struct curl_call *c) {
  bool declined = !*c->words && curl_call_declined(c);

  if (c->again) return false;
  c->declined += declined;
  c->again = !declined || c->declined > CURL_DECLINED_MAX;
  c->unknown = !declined;
  if (!c->again) c->sent = c->opened = false;
  return !c->again;
}

/* 169.254.0.0/16 and fe80::/10 serve the machine alone, for example with its credentials. */
static bool is_link_local(const struct sockaddr *a) {
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;

  if (a->sa_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 16 == 0xa9fe;
  if (a->sa_family != AF_INET6) return false;
  if (IN6_IS_ADDR_V4MAPPED(v6)) return v6->s6_addr[12] == 169 && v6->s6_addr[13] == 254;
  return IN6_IS_ADDR_LINKLOCAL(v6);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
  struct curl_call *c = arg;
  struct curl_loop *l = c->loop;
  struct curl_sock *s;
  unsigned watched;
  int fd;

  (void)purpose;
  if (c->sent) call_goes_on(c); /* if not, on_send() stops it */
  if (c->named && is_link_local(&a->addr)) {
    c->link_local = true;
    return CURL_SOCKET_BAD;
  }
  fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
  if (fd < 0) goto failed;
  s = sock_get(l, fd);
  if (!s || l->own_n == l->own_cap) { /* curl_loop_add() makes room for the latter */
    errno = ENOMEM;
    goto failed;
  }
  c->opened = true;
  c->opened_fd = fd;
  c->unix_socket = a->family == AF_UNIX;
  watched = s->watching; /* of one that was closed silently; libcurl takes it for this one */
  sock_forget(l, fd);
  *s = (struct curl_sock){.ours = true, .at = l->own_n};
  l->own[l->own_n++] = fd;
  if (watched && foreign_watch(l, fd, watched) < 0) {
    sock_forget(l, fd);
    errno = EMFILE;
    goto failed;
  }
  return fd;
failed:
  c->connect_errno = errno;
  if (fd >= 0) close(fd);
  return CURL_SOCKET_BAD;
}

static int on_close(void *arg, curl_socket_t fd) {
  struct curl_loop *l = arg;
  struct h2_conn *conn = l->socks[fd].conn;

  if (conn && conn->fd == fd) {
    conn->ended |= sock_ended(fd);
    conn->fd = -1;
  }
  if (l->socks[fd].proven) sock_watch(l, fd, 0);
  sock_forget(l, fd);
  return close(fd);
}

static int on_send(void *arg, char *ip, char *local_ip, int port, int local_port) {
  struct curl_call *c = arg;

  if (c->again || (c->sent && !call_goes_on(c))) return CURL_PREREQFUNC_ABORT;
  c->sent = true;
  c->stream = 0;
  if (c->traced)
    conn_find(c, key_add(key_add(14695981039346656037u, ip, port), local_ip, local_port),
              local_port);
  return CURL_PREREQFUNC_OK;
}

/* --- turning --- */

/* When the answer is there at once, libcurl never names a new connection's socket. If it has named
 * the socket (it has a stand-in), it will name it again: in HTTP/2 other calls may be on it. */
static void proven_by_answer(struct curl_loop *l, struct curl_call *c) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  struct curl_sock *s;

  if (!c->opened || curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK) return;
  s = sock_get(l, fd);
  if (!s || !s->ours || s->proven || s->stand_in) return;
  s->proven = true;
  sock_idle(l, fd, c->easy);
}

/* Hands over a duplicate: libcurl closes its own descriptor now or later. */
static void hand_over(struct curl_call *c) {
  curl_socket_t fd = CURL_SOCKET_BAD;

  curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd);
  c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (c->fd < 0) c->connect_errno = errno;
}

static void finish_done(struct curl_loop *l) {
  CURLMsg *msg;
  int left;

  while ((msg = curl_multi_info_read(l->multi, &left)) != NULL) {
    struct curl_call *c = NULL;
    CURL *easy = msg->easy_handle;
    CURLcode rc = msg->data.result; /* the message dies with the next call of libcurl */

    if (msg->msg != CURLMSG_DONE) continue;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&c);
    if (c->hand_over && rc == CURLE_OK)
      hand_over(c);
    else
      proven_by_answer(l, c);
    curl_loop_remove(l, c);
    l->done(c, rc);
  }
}

static void finish_unwatched(struct curl_loop *l) {
  struct curl_call *c;

  while ((c = l->unwatched) != NULL) {
    curl_loop_remove(l, c);
    l->done(c, CURLE_ABORTED_BY_CALLBACK);
  }
}

/* All ways into libcurl that can end calls lead through here. */
static void turn(struct curl_loop *l, curl_socket_t fd, int mask) {
  int running;
  sigset_t all, before;

  if (l->resolves) { /* its threads inherit the mask, and signals are the loop thread's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
  }
  l->depth++;
  curl_multi_socket_action(l->multi, fd, mask, &running);
  finish_done(l);
  finish_unwatched(l);
  while (l->kick) {
    l->kick = false;
    curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(l);
    finish_unwatched(l);
  }
  l->depth--;
  if (l->resolves) pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!l->timer_told) return;
  l->timer_told = false;
  if (l->timer_ms < 0)
    l->h->timer_stop(l->timer);
  else
    l->h->timer_start(l->timer, (uint64_t)l->timer_ms);
}

static void on_io(int fd, unsigned events, void *arg) {
  struct curl_loop *l = arg;

  if (l->socks[fd].idle) {
    sock_spoke(l, fd);
    return;
  }
  turn(l, fd,
       (events & PB_IO_READ ? CURL_CSELECT_IN : 0) | (events & PB_IO_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_foreign_io(int fd, unsigned events, void *arg) {
  struct curl_loop *l = arg;
  int original = l->socks[fd].stands_for;

  if (foreign_same(original, fd))
    turn(l, original, events & PB_IO_READ ? CURL_CSELECT_IN : CURL_CSELECT_OUT);
  else
    foreign_release(l, original);
}

static void on_timer(void *arg) {
  turn(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl 7.88 makes a pair of sockets for each multi handle, which children would inherit. They
 * get the lowest free numbers. */
static CURLM *multi_new(int any_fd) {
  int fds[2] = {fcntl(any_fd, F_DUPFD_CLOEXEC, 0), fcntl(any_fd, F_DUPFD_CLOEXEC, 0)};
  struct stat st;
  CURLM *m;

  for (int i = 0; i < 2; i++)
    if (fds[i] >= 0) close(fds[i]);
  m = curl_multi_init();
  for (int i = 0; i < 2; i++)
    if (fds[i] >= 0 && fstat(fds[i], &st) == 0 && S_ISSOCK(st.st_mode))
      fcntl(fds[i], F_SETFD, FD_CLOEXEC);
  return m;
}

static int multi_begin(struct curl_loop *l) {
  l->multi = multi_new(l->ended);
  if (!l->multi) return -ENOMEM;
  curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
  curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
  curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
  /* Its default is four times the calls that run, so kept ones would go while there is work. */
  curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
  return 0;
}

/* Closes connections that have been idle for long. If no call runs and all connections are such,
 * the multi handle is replaced by a new one, and all that libcurl has of them goes. */
static void on_idle_timer(void *arg) {
  struct curl_loop *l = arg;
  uint64_t now = l->h->now_ms(l->o), keep = l->idle_timeout_ms, next = 0;
  bool living = l->running > 0;
  CURLM *old = l->multi;

  l->idle_timer_on = false;
  for (size_t i = 0; i < l->own_n; i++) {
    const struct curl_sock *s = &l->socks[l->own[i]];
    uint64_t due = s->idle_since_ms + keep;

    if (!s->idle || s->spent) continue;
    if (due <= now) {
      sock_spend(l, l->own[i]);
      continue;
    }
    living = true;
    if (!next || due - now < next) next = due - now;
  }
  if (next) {
    l->h->timer_start(l->idle_timer, next);
    l->idle_timer_on = true;
  }
  if (living || !l->own_n) return;
  if (multi_begin(l) < 0) {
    l->multi = old; /* no memory: they are closed by the next call */
    return;
  }
  curl_multi_cleanup(old);
  l->timer_told = false;
  l->h->timer_stop(l->timer);
}

/* --- life --- */

int curl_loop_new(const struct pb_host *h, struct pb_owner *o, uint64_t idle_timeout_ms,
                  void (*done)(struct curl_call *c, CURLcode rc), struct curl_loop **ret) {
  struct curl_loop *l = calloc(1, sizeof *l);
  int pair[2];

  if (!l) return -ENOMEM;
  l->h = h;
  l->o = o;
  l->done = done;
  l->idle_timeout_ms = idle_timeout_ms ? idle_timeout_ms : 1; /* work may come in this very turn */
  l->ended = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
    l->ended = pair[0];
    close(pair[1]);
  }
  l->timer = h->timer_new(o, on_timer, l);
  l->idle_timer = h->timer_new(o, on_idle_timer, l);
  l->share = curl_share_init();
  if (l->share) curl_share_setopt(l->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  if (l->ended < 0 || !l->timer || !l->idle_timer || !l->share || multi_begin(l) < 0) {
    curl_loop_free(l);
    return -ENOMEM;
  }
  *ret = l;
  return 0;
}

void curl_loop_free(struct curl_loop *l) {
  if (!l) return;
  if (l->multi) curl_multi_cleanup(l->multi);
  curl_share_cleanup(l->share);
  for (size_t fd = 0; fd < l->sock_cap; fd++) foreign_release(l, (int)fd);
  l->h->timer_free(l->timer);
  l->h->timer_free(l->idle_timer);
  if (l->ended >= 0) close(l->ended);
  free(l->socks);
  free(l->own);
  free(l->conns);
  free(l);
}

void curl_loop_resolves(struct curl_loop *l) {
  l->resolves = true;
}

unsigned curl_loop_connections(const struct curl_loop *l) {
  unsigned n = 0;

  for (size_t i = 0; i < l->own_n; i++) n += !l->socks[l->own[i]].spent;
  return n;
}

CURL *curl_call_init(struct curl_call *c, struct curl_loop *l) {
  CURL *e = curl_easy_init();

  *c = (struct curl_call){.loop = l, .easy = e, .fd = -1};
  if (!e) return NULL;
  curl_easy_setopt(e, CURLOPT_PRIVATE, c);
  curl_easy_setopt(e, CURLOPT_SHARE, l->share);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
  curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, l); /* connections outlive the call */
  curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_send);
  curl_easy_setopt(e, CURLOPT_PREREQDATA, c);
  curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, 86400L); /* idle_timeout is kept here */
  /* A name server that does not answer: its thread is left alone. Else to give up would mean to
   * wait for it. */
  curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
  /* Nothing of the environment, of files, or of what servers ask for. */
  curl_easy_setopt(e, CURLOPT_PROXY, "");
  curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
  return e;
}

void curl_call_trace(struct curl_call *c) {
  c->traced = true;
  curl_easy_setopt(c->easy, CURLOPT_DEBUGFUNCTION, on_text);
  curl_easy_setopt(c->easy, CURLOPT_DEBUGDATA, c);
  curl_easy_setopt(c->easy, CURLOPT_VERBOSE, 1L);
}

int curl_loop_add(struct curl_loop *l, struct curl_call *c) {
  /* Room for as many connections as can come of it: names have two families of addresses. */
  if (l->own_cap < l->own_n + 2 * (l->running + 1)) {
    size_t cap = 2 * (l->own_n + 2 * (l->running + 1));
    int *own = realloc(l->own, cap * sizeof *own);

    if (!own) return -ENOMEM;
    l->own = own;
    l->own_cap = cap;
  }
  c->opened = c->sent = c->again = c->unknown = c->link_local = false;
  c->declined = 0;
  c->connect_errno = 0;
  c->fd = -1;
  c->unix_socket = false;
  look_at_idle(l);
  if (curl_multi_add_handle(l->multi, c->easy) != CURLM_OK) return -ENOMEM;
  c->running = true;
  l->running++;
  if (l->depth)
    l->kick = true;
  else
    turn(l, CURL_SOCKET_TIMEOUT, 0);
  return 0;
}

void curl_loop_remove(struct curl_loop *l, struct curl_call *c) {
  if (!c->running) return;
  c->running = false;
  l->running--;
  curl_multi_remove_handle(l->multi, c->easy);
  if (!c->unwatched) return;
  for (struct curl_call **at = &l->unwatched; *at; at = &(*at)->next_unwatched)
    if (*at == c) {
      *at = c->next_unwatched;
      break;
    }
  c->unwatched = false;
}
