/* An HTTP/1.1 server that misbehaves on request: what it does is the last part of the path, so one
 * of them serves a whole test. `http_server ADDRESS` listens on unix:/path or on a port of
 * 127.0.0.1 until it is killed; with HTTP_SERVER_NO_MAIN it is included by a test, which forks and
 * calls server_serve() itself.
 *
 * One process for each connection, blocking: simple enough to be believed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVER_HEAD_MAX 65536

struct server {
  int fd;
  unsigned on_conn; /* requests begun on this connection */
  char head[SERVER_HEAD_MAX];
  size_t head_len;
  char how[64];
  size_t announced, body_len;
  unsigned long body_sum;
  unsigned *shared; /* enum server_shared, over all connections */
};

enum server_shared {
  SERVER_SERVED, /* requests whose head came */
  SERVER_STRAYS, /* late ones */
  SERVER_WHOLE,  /* requests that "early" has read to their end */
  SERVER_GATE,   /* while it is 0, "held" does not answer, nor "413-resets" reset */
  SERVER_TOLD,   /* what "told" does: an index of server_told */
  SERVER_SHARED
};
static const char *const server_told[] = {"ok", "wait", "503", "503-7", "503-late", "closes"};

static void server_sleep(unsigned ms) {
  struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

  nanosleep(&ts, NULL);
}

static void server_write(int fd, const void *buf, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = send(fd, (const char *)buf + at, len - at, MSG_NOSIGNAL);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(0); /* the other side hung up */
    at += (size_t)n;
  }
}

static void server_say(int fd, const char *text) {
  server_write(fd, text, strlen(text));
}

/* The head, a byte at a time. False at the end of the connection. */
static bool server_head(struct server *s) {
  const char *at;
  size_t n = 0;

  s->head_len = s->body_len = s->announced = 0;
  s->body_sum = 0;
  while (s->head_len < 4 || memcmp(s->head + s->head_len - 4, "\r\n\r\n", 4) != 0) {
    ssize_t got = s->head_len + 1 < sizeof s->head ? read(s->fd, s->head + s->head_len, 1) : 0;

    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    s->head_len++;
  }
  s->head[s->head_len] = 0;
  at = strchr(s->head, ' ');
  if (!at) _exit(3);
  n = strcspn(++at, " ?");
  while (n && at[n - 1] != '/') n--;
  at += n;
  n = strcspn(at, " ?");
  snprintf(s->how, sizeof s->how, "%.*s", (int)n, at);
  for (at = s->head; (at = strstr(at, "\r\n")) != NULL; at += 2)
    if (strncasecmp(at + 2, "Content-Length:", 15) == 0) s->announced = strtoul(at + 17, NULL, 10);
  return true;
}

static bool server_body(struct server *s) {
  unsigned char buf[65536];

  while (s->body_len < s->announced) {
    size_t want = s->announced - s->body_len;
    ssize_t n = read(s->fd, buf, want < sizeof buf ? want : sizeof buf);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    for (ssize_t i = 0; i < n; i++) s->body_sum = s->body_sum * 31 + buf[i];
    s->body_len += (size_t)n;
  }
  return true;
}

static void server_answer(int fd, const char *head, const char *body) {
  char text[SERVER_HEAD_MAX + 1024];

  snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body),
           body);
  server_say(fd, text);
}

static void server_fine(int fd) {
  server_answer(fd, "200 OK\r\nCode: 200", "fine");
}

static void server_reset(int fd) {
  struct linger now = {1, 0};

  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void server_hang(void) {
  for (;;) pause();
}

/* Whole answers, by name. */
static const struct {
  const char *how, *head, *body;
} server_answers[] = {
    {"ok", "200 OK\r\ncode:200", "fine"},
    {"list", "200 OK\r\nCode: 200\r\nConsume-Topics: msg/reply,msg/other", ""},
    {"207", "200 OK\r\nCode: 207", "[{\"id\":\"1\",\"code\":200}]"},
    {"no-code", "200 OK", "<html>Welcome</html>"},
    {"empty", "204 No Content", ""},
    {"code-404", "200 OK\r\nCode: 404", "not mine"},
    {"code-500", "500 Oops\r\nCode: 500\r\nError-Code: 17", "it broke"},
    {"bad-code", "200 OK\r\nCode: yes", ""},
    {"redirect", "302 Found\r\nLocation: http://127.0.0.1:1/elsewhere", ""},
    {"307", "307 Again\r\nLocation: /ok", ""},
    {"401", "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", ""},
    {"404", "404 Not Found", "no such page"},
    {"422", "422 Unprocessable", "no field \"a\""},
    {"500", "500 Internal Server Error", "PHP Fatal error"},
    {"502", "502 Bad Gateway", ""},
    {"504", "504 Gateway Time-out", ""},
    {"429", "429 Too Many Requests\r\nRetry-After: 7", ""},
    {"503", "503 Service Unavailable", "later"},
    {"503-7", "503 Service Unavailable\r\nRetry-After: 7", ""},
    {"503-late", "503 Service Unavailable\r\nRetry-After: 86400", ""},
    {"503-date", "503 Service Unavailable\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT", ""},
    {"503-odd", "503 Service Unavailable\r\nRetry-After: soon", ""},
    {"503-code", "503 Service Unavailable\r\nCode: 200", "done all the same"},
    {"cookie", "200 OK\r\nCode: 200\r\nSet-Cookie: a=b; Path=/", ""},
    {"bye", "200 OK\r\nCode: 200\r\nConnection: close", "fine"},
    {"bad-status", "2x0 Odd\r\nCode: 200", ""},
};

static void server_gate(const struct server *s) {
  while (!__atomic_load_n(s->shared + SERVER_GATE, __ATOMIC_SEQ_CST)) server_sleep(1);
}

/* What it is told at the time; "wait" is until it is told otherwise. */
static void server_as_told(struct server *s) {
  const char *how;

  do {
    how = server_told[__atomic_load_n(s->shared + SERVER_TOLD, __ATOMIC_SEQ_CST)];
    if (strcmp(how, "wait") == 0) server_sleep(2);
  } while (strcmp(how, "wait") == 0);
  snprintf(s->how, sizeof s->how, "%s", how);
}

/* One request. False: the connection is over. */
static bool server_request(struct server *s) {
  const char *how = s->how;
  int fd = s->fd;
  char text[200];

  if (!server_head(s)) return false;
  s->on_conn++;
  __atomic_add_fetch(s->shared + SERVER_SERVED, 1, __ATOMIC_SEQ_CST);

  /* Those that do not wait for the whole request. */
  if (strcmp(how, "413") == 0) {
    server_answer(fd, "413 Content Too Large\r\nConnection: close", "");
    server_body(s);
    return false;
  }
  if (strcmp(how, "413-resets") == 0) {
    server_answer(fd, "413 Content Too Large\r\nConnection: close", "");
    server_gate(s);
    return false; /* what is unread makes it a reset */
  }
  if (strcmp(how, "early") == 0) {
    server_fine(fd);
    server_sleep(20); /* the answer is read before there is room for the rest */
    if (!server_body(s)) return false;
    __atomic_add_fetch(s->shared + SERVER_WHOLE, 1, __ATOMIC_SEQ_CST);
    return true;
  }
  if (strcmp(how, "never-reads") == 0) server_hang();
  if (!server_body(s)) return false;
  if (strcmp(how, "told") == 0) server_as_told(s);

  for (size_t i = 0; i < sizeof server_answers / sizeof *server_answers; i++)
    if (strcmp(how, server_answers[i].how) == 0) {
      server_answer(fd, server_answers[i].head, server_answers[i].body);
      return strcmp(how, "bye") != 0;
    }
  if (strcmp(how, "dump") == 0) {
    server_answer(fd, "200 OK\r\nCode: 200", s->head);
  } else if (strcmp(how, "echo") == 0) {
    snprintf(text, sizeof text, "%zu %zu %lu", s->announced, s->body_len, s->body_sum);
    server_answer(fd, "200 OK\r\nCode: 200", text);
  } else if (strcmp(how, "chunked") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n");
    server_sleep(5);
    server_say(fd, "2\r\nne\r\n0\r\n\r\n");
  } else if (strcmp(how, "trailer") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nTransfer-Encoding: chunked\r\n"
                   "Trailer: Code\r\n\r\n4\r\nfine\r\n0\r\nCode: 500\r\n\r\n");
  } else if (strcmp(how, "interim") == 0) {
    server_say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nCode: 500\r\n"
                   "Link: </a>\r\n\r\n");
    server_sleep(5);
    server_fine(fd);
  } else if (strcmp(how, "http10") == 0) {
    server_say(fd, "HTTP/1.0 200 OK\r\nCode: 200\r\n\r\nfine");
    return false;
  } else if (strcmp(how, "trickle") == 0) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 4\r\n\r\nfine";

    for (size_t i = 0; i < sizeof answer - 1; i++) {
      server_write(fd, answer + i, 1);
      server_sleep(1);
    }
  } else if (strcmp(how, "half-header") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 2");
    return false;
  } else if (strcmp(how, "short") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 100\r\n\r\nfine");
    return false;
  } else if (strcmp(how, "cut-chunk") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nfine");
    return false;
  } else if (strcmp(how, "bad-chunk") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nfine");
    server_sleep(50);
    return false;
  } else if (strcmp(how, "long") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 4\r\n\r\nfine and more");
  } else if (strcmp(how, "twice") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 4\r\n\r\nfine"
                   "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 5\r\n\r\nstray");
  } else if (strcmp(how, "twice-late") == 0) {
    server_fine(fd);
    server_sleep(20);
    server_answer(fd, "200 OK\r\nCode: 200", "stray");
    __atomic_add_fetch(s->shared + SERVER_STRAYS, 1, __ATOMIC_SEQ_CST);
  } else if (strcmp(how, "closes") == 0) {
    return false;
  } else if (strcmp(how, "second-closes") == 0 || strcmp(how, "second-resets") == 0) {
    if (s->on_conn == 2) {
      if (how[7] == 'r') server_reset(fd);
      return false;
    }
    server_fine(fd);
  } else if (strcmp(how, "close-after") == 0) {
    server_fine(fd);
    return false;
  } else if (strcmp(how, "garbage") == 0) {
    server_say(fd, "SSH-2.0-OpenSSH_9.2\r\n");
    return false;
  } else if (strcmp(how, "nul") == 0) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nCode: 200\r\nX: a\0b\r\n\r\n";

    server_write(fd, answer, sizeof answer - 1);
    return false;
  } else if (strcmp(how, "big-header") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\n");
    for (int i = 0; i < 4000; i++) server_say(fd, "X-Padding: ----------------------------\r\n");
    server_say(fd, "Content-Length: 4\r\n\r\nfine");
  } else if (strcmp(how, "big") == 0 || strcmp(how, "endless") == 0) {
    static char block[60000];

    memset(block, 'x', sizeof block);
    server_say(fd, how[0] == 'b' ? "HTTP/1.1 200 OK\r\nCode: 200\r\nContent-Length: 3000000\r\n\r\n"
                                 : "HTTP/1.1 200 OK\r\nCode: 200\r\n\r\n");
    for (int i = 0; i < 50 || how[0] == 'e'; i++) server_write(fd, block, sizeof block);
  } else if (strcmp(how, "sleep") == 0) {
    server_sleep(300);
    server_fine(fd);
  } else if (strcmp(how, "held") == 0) {
    server_gate(s);
    server_fine(fd);
  } else if (strcmp(how, "hang") == 0) {
    server_hang();
  } else if (strcmp(how, "hang-header") == 0) {
    server_say(fd, "HTTP/1.1 200 OK\r\nCode: 200\r\n");
    server_hang();
  } else {
    server_answer(fd, "404 Not Found", "no such behaviour");
  }
  return true;
}

static int server_listen(const char *address, int backlog, int *ret_port) {
  struct sockaddr_in in = {.sin_family = AF_INET};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  socklen_t len = sizeof in;
  int fd, on = 1;

  if (strncmp(address, "unix:", 5) == 0) {
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || listen(fd, backlog) < 0)
      return -1;
    return fd;
  }
  in.sin_port = htons((uint16_t)strtoul(address, NULL, 10));
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, backlog) < 0)
    return -1;
  getsockname(fd, (struct sockaddr *)&in, &len);
  if (ret_port) *ret_port = ntohs(in.sin_port);
  return fd;
}

/* Serves for ever. */
static void server_serve(int listen_fd, unsigned *shared) {
  pid_t self = getpid();

  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    static struct server s;
    int fd = accept(listen_fd, NULL, NULL), on = 1;

    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket */
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != self) _exit(0); /* it was killed before that */
      close(listen_fd);
      s.fd = fd;
      s.shared = shared;
      while (server_request(&s)) {
      }
      _exit(0);
    }
    close(fd);
  }
}

#ifndef HTTP_SERVER_NO_MAIN
int main(int argc, char **argv) {
  static unsigned shared[SERVER_SHARED] = {[SERVER_GATE] = 1};
  int fd = argc == 2 ? server_listen(argv[1], 64, NULL) : -1;

  if (fd < 0) {
    fprintf(stderr, "usage: http_server unix:/path | PORT\n");
    return 2;
  }
  server_serve(fd, shared);
  return 0;
}
#endif
