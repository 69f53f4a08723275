/* The link against a server of the test's own, which says what no real one does: replies in
 * single bytes, nested, broken, unasked for, none at all; an end in the middle.
 */
#include "storage/redis/link.c"
#include "tap.h"

#define WAIT_MS 60000

struct asked {
  struct link_callback callback;
  unsigned answers, lost;
  char text[256];
};

struct fixture {
  struct loop *loop;
  struct link *link;
  int listener, peer;
  char address[64];
  unsigned ups, downs, messages;
  bool refused;
  char why[256], message[64];
};

/* The reply as text, with the type of each part, while it is valid. */
static void spell(struct redis_reply *r, char *out, size_t size) {
  size_t n = strlen(out);
  if (r->type == REPLY_INTEGER) {
    snprintf(out + n, size - n, ":%lld", r->integer);
  } else if (r->type == REPLY_NIL) {
    snprintf(out + n, size - n, "nil");
  } else if (r->type == REPLY_ARRAY) {
    snprintf(out + n, size - n, "[");
    for (size_t i = 0; i < r->elements; i++) {
      if (i) snprintf(out + strlen(out), size - strlen(out), " ");
      spell(r->element[i], out, size);
    }
    snprintf(out + strlen(out), size - strlen(out), "]");
  } else {
    const char *mark = r->type == REPLY_STATUS ? "+" : r->type == REPLY_ERROR ? "-" : "$";
    snprintf(out + n, size - n, "%s%.20s/%zu", mark, r->str, r->len);
  }
}

static void on_asked(struct link_callback *callback, struct redis_reply *r) {
  struct asked *a = (struct asked *)callback;
  a->answers++;
  if (!r) {
    a->lost++;
    return;
  }
  a->text[0] = 0;
  spell(r, a->text, sizeof a->text);
}

static void on_up(void *arg) {
  ((struct fixture *)arg)->ups++;
}

static void on_down(void *arg, bool refused, const char *why) {
  struct fixture *f = arg;
  f->downs++;
  f->refused = refused;
  snprintf(f->why, sizeof f->why, "%s", why);
}

static void on_text(void *arg, const char *text, size_t len) {
  struct fixture *f = arg;
  f->messages++;
  snprintf(f->message, sizeof f->message, "%.*s", (int)len, text);
}

#define UNTIL(f, what)                                                                             \
  do {                                                                                             \
    uint64_t end_ = loop_clock_ms() + WAIT_MS;                                                     \
    while (!(what) && loop_clock_ms() < end_) loop_turn((f)->loop, 20);                            \
  } while (0)

/* Reads what the link has written, until it ends with `tail`. */
static bool heard(struct fixture *f, const char *tail) {
  char in[65536];
  size_t n = 0, want = strlen(tail);
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (loop_clock_ms() < end) {
    ssize_t got = recv(f->peer, in + n, sizeof in - n, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got > 0) n += (size_t)got;
    if (n >= want && !memcmp(in + n - want, tail, want)) return true;
    if (n == sizeof in) n = 0;
    loop_turn(f->loop, 20);
  }
  return false;
}

static void tell(struct fixture *f, const char *text) {
  if (send(f->peer, text, strlen(text), MSG_NOSIGNAL) < 0) diag("send: %s", strerror(errno));
}

static void take_connection(struct fixture *f) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  f->peer = -1;
  while (f->peer < 0 && loop_clock_ms() < end) {
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (f->peer < 0) loop_turn(f->loop, 20);
  }
}

static void greet_back(struct fixture *f) {
  take_connection(f);
  ok(heard(f, "SETNAME\r\n$4\r\ntest\r\n"), "it greets");
  tell(f, "+OK\r\n+OK\r\n");
}

static void begin(struct fixture *f, const char *channel) {
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof sin;
  struct link_settings st = {.name = "storage test",
                             .address = f->address,
                             .client_name = "test",
                             .channel = channel,
                             .connect_timeout_ms = WAIT_MS};
  struct link_events ev = {.up = on_up, .down = on_down, .message = on_text, .arg = f};
  *f = (struct fixture){.loop = loop_new(NULL)};
  f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bind(f->listener, (struct sockaddr *)&sin, sizeof sin) || listen(f->listener, 8) ||
      getsockname(f->listener, (struct sockaddr *)&sin, &len))
    bail_out("no listener: %s", strerror(errno));
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", (unsigned)ntohs(sin.sin_port));
  f->link = link_new(f->loop, &st, &ev);
  greet_back(f);
}

static void end(struct fixture *f) {
  link_free(f->link);
  close(f->peer);
  close(f->listener);
  loop_free(f->loop);
}

static int ask(struct fixture *f, struct asked *a, const char *text, size_t n) {
  struct redis_piece piece = {text, n};
  a->callback.fn = on_asked;
  return link_send(f->link, &piece, 1, &a->callback);
}

static const char ping[] = "*1\r\n$4\r\nPING\r\n";

/* @case P1: replies are built through the public reader alone, whatever hiredis' release */
static void test_replies(void) {
  static const char nested[] = "*5\r\n*2\r\n:-7\r\n$2\r\nab\r\n$-1\r\n*-1\r\n*0\r\n"
                               "$40\r\n0123456789012345678901234567890123456789\r\n";
  static const char want[] = "[[:-7 $ab/2] nil nil [] $01234567890123456789/40]";
  struct fixture f;
  struct asked a[3] = {0};
  begin(&f, NULL);
  UNTIL(&f, f.ups);
  is_int(f.ups, 1, "and is up");
  is_int(fcntl(f.link->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC, "its socket is kept from children");
  for (int i = 0; i < 3; i++) ask(&f, &a[i], ping, sizeof ping - 1);
  ok(heard(&f, ping), "commands leave");
  tell(&f, "+PONG\r\n-ERR no\r\n");
  for (const char *p = nested; *p; p++) {
    char one[2] = {*p, 0};
    tell(&f, one);
    loop_turn(f.loop, 0);
  }
  UNTIL(&f, a[2].answers);
  is_str(a[0].text, "+PONG/4", "a status");
  is_str(a[1].text, "-ERR no/6", "an error");
  is_str(a[2].text, want, "an array of all kinds, byte by byte");
  end(&f);
}

static void test_resp3(void) {
#if HIREDIS_MAJOR >= 1
  struct fixture f;
  struct asked a = {0};
  begin(&f, NULL);
  UNTIL(&f, f.ups);
  ask(&f, &a, ping, sizeof ping - 1);
  heard(&f, ping);
  tell(&f, "*3\r\n,1.5\r\n#t\r\n_\r\n");
  UNTIL(&f, a.answers);
  is_str(a.text, "[$1.5/3 :1 nil]", "a double, a truth and nothing of RESP3");
  end(&f);
#endif
}

/* Every way a connection ends: each call is answered once, and the link comes back. */
static void test_ends(void) {
  static const struct {
    const char *name, *say, *why;
    bool refused;
  } way[] = {
      {"closed in the middle of a reply", "*2\r\n:1\r\n", "Server closed the connection", false},
      {"what is no reply", "HTTP/1.1 400 Bad Request\r\n", "Protocol error", false},
      {"more replies than commands", "+PONG\r\n+PONG\r\n+PONG\r\n", "a reply without", false},
      {"an error nobody asked for", "+PONG\r\n+PONG\r\n-ERR max number of clients\r\n",
       "ERR max number of clients", false},
  };
  for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
    struct fixture f;
    struct asked a[2] = {0};
    begin(&f, NULL);
    UNTIL(&f, f.ups);
    ask(&f, &a[0], ping, sizeof ping - 1);
    ask(&f, &a[1], ping, sizeof ping - 1);
    heard(&f, ping);
    tell(&f, way[i].say);
    if (!i) shutdown(f.peer, SHUT_WR);
    UNTIL(&f, f.downs);
    is_int(a[0].answers * 10 + a[1].answers, 11, "%s: each call is answered once", way[i].name);
    is_int(a[0].lost + a[1].lost, i < 2 ? 2 : 0, "%s: with what is known", way[i].name);
    ok(!strncmp(f.why, way[i].why, strlen(way[i].why)), "%s: why: %s", way[i].name, f.why);
    is_int(f.refused, way[i].refused, "%s: refused or not", way[i].name);
    is_int(ask(&f, &a[0], ping, sizeof ping - 1), -ENOTCONN, "nothing is sent while it is down");
    close(f.peer);
    greet_back(&f);
    UNTIL(&f, f.ups == 2);
    is_int(f.ups, 2, "%s: up again", way[i].name);
    end(&f);
  }
}

static void test_refusals(void) {
  struct fixture f;
  begin(&f, "news");
  ok(heard(&f, "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n"), "a channel is subscribed to");
  tell(&f, "-NOPERM no such channel for you\r\n");
  UNTIL(&f, f.downs);
  is_str(f.why, "NOPERM no such channel for you", "a refused channel says why");
  close(f.peer);
  greet_back(&f);
  heard(&f, "news\r\n");
  tell(&f, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
  tell(&f, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
  UNTIL(&f, f.messages);
  is_int(f.ups, 1, "up with the channel");
  is_str(f.message, "hello", "a message comes through");
  end(&f);
}

/* More than the socket takes, then more than the buffer takes: all of it arrives, in order. */
static void test_backlog(void) {
  enum { N = 40, BYTES = 200 * 1000 };
  static struct asked a[N];
  struct fixture f;
  char *big = malloc(BYTES), head[32], in[65536];
  size_t sum = 0, want = 0;
  bool same = true;
  begin(&f, NULL);
  UNTIL(&f, f.ups);
  for (int i = 0; i < N; i++) {
    memset(big, 'a' + i % 26, BYTES);
    is_int(ask(&f, &a[i], big, BYTES), 0, "command %d of %d bytes is taken", i, BYTES);
    want += BYTES;
  }
  ok(f.link->unsent_bytes > 0, "the buffer is full, the rest waits");
  for (uint64_t until = loop_clock_ms() + WAIT_MS; sum < want && loop_clock_ms() < until;) {
    ssize_t got = recv(f.peer, in, sizeof in, MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++) same &= in[i] == 'a' + (int)((sum + (size_t)i) / BYTES % 26);
    if (got > 0) sum += (size_t)got;
    loop_turn(f.loop, got > 0 ? 0 : 20);
  }
  is_int(sum, want, "all of it arrives");
  ok(same, "in order");
  is_int(f.link->unsent_bytes, 0, "nothing waits");
  for (int i = 0; i < N; i++) {
    snprintf(head, sizeof head, ":%d\r\n", i);
    tell(&f, head);
  }
  UNTIL(&f, a[N - 1].answers);
  for (int i = 0; i < N; i++) {
    snprintf(head, sizeof head, ":%d", i);
    same &= !strcmp(a[i].text, head);
  }
  ok(same, "each call has its own answer");
  free(big);
  end(&f);
}

/* @case R12: a server that moves on, by a byte at a time, is not given up; one that stands still is
 */
static void test_watch(void) {
  static const char reply[] = "$40\r\n0123456789012345678901234567890123456789\r\n";
  struct fixture f;
  struct asked a[3] = {0};
  begin(&f, NULL);
  UNTIL(&f, f.ups);
  f.link->st.command_timeout_ms = 8 * WAIT_MS; /* looked at by hand */
  for (int i = 0; i < 3; i++) ask(&f, &a[i], ping, sizeof ping - 1);
  heard(&f, "PING\r\n");
  for (size_t i = 0; i < sizeof reply - 1; i++) {
    uint64_t received = f.link->received;
    tell(&f, (char[]){reply[i], 0});
    UNTIL(&f, f.link->received > received);
    for (int k = 0; k < WATCH_TICKS; k++) link_watch(f.link);
  }
  loop_turn(f.loop, 0);
  ok(!f.downs && a[0].answers == 1, "a reply that comes byte by byte, long after its command");

  size_t large = 60 * 1000 * 1000, look = 4 * 1000 * 1000, next = look, sum = 0;
  char *big = calloc(1, large), in[65536];
  ask(&f, &a[0], big, large);
  tell(&f, "+PONG\r\n");
  UNTIL(&f, a[1].answers);
  link_watch(f.link);   /* a reply: what is on the way now may take its time */
  while (sum < large) { /* a slow link: some of it arrives between two looks */
    ssize_t got = recv(f.peer, in, sizeof in, MSG_DONTWAIT);
    if (got > 0) sum += (size_t)got;
    loop_turn(f.loop, got > 0 ? 0 : 20);
    if (sum >= next) {
      link_watch(f.link);
      next += look;
    }
    if (f.downs) break;
  }
  is_int(f.downs, 0, "a large command that is still arriving");
  free(big);

  link_watch(f.link); /* the last of it has moved */
  /* Commands of our own that the kernel takes, ours or over TCP the other side's, are no movement.
   */
  for (int i = 0; i < WATCH_TICKS; i++) {
    ask(&f, &a[0], ping, sizeof ping - 1);
    loop_turn(f.loop, 0);
    while (recv(f.peer, in, sizeof in, MSG_DONTWAIT) > 0) continue;
    UNTIL(&f, !link_queued(f.link));
    link_watch(f.link);
  }
  UNTIL(&f, f.downs);
  like(f.why, "no reply for", "given up when nothing moves");
  is_int(a[2].lost, 1, "and the end of a command is not known");
  end(&f);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  test_watch();
  test_replies();
  test_resp3();
  test_ends();
  test_refusals();
  test_backlog();
  return done_testing();
}
