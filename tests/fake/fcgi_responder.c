/* A FastCGI responder that misbehaves on request: what it does is the base name of
 * SCRIPT_FILENAME, so one of them serves a whole test. `fcgi_responder ADDRESS` listens on
 * unix:/path or on a port of 127.0.0.1 until it is killed; with FCGI_RESPONDER_NO_MAIN it is
 * included by a test, which forks and calls responder_serve() itself.
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESPONDER_PARAMS_MAX 70000

struct responder {
  int fd;
  unsigned on_conn; /* requests begun on this connection */
  bool keep;
  bool params_done, stdin_done;
  char script[512];
  size_t body_len;
  unsigned long body_sum;
  size_t announced; /* CONTENT_LENGTH */
  unsigned *served; /* requests whose PARAMS came, over all connections; shared */
  unsigned *gate;   /* shared too: while it is 0, "held" does not answer */
};

static void responder_sleep(unsigned ms) {
  struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

  nanosleep(&ts, NULL);
}

static bool responder_read(int fd, void *buf, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = read(fd, (char *)buf + at, len - at);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += (size_t)n;
  }
  return true;
}

static void responder_write(int fd, const void *buf, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = send(fd, (const char *)buf + at, len - at, MSG_NOSIGNAL);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(0); /* the other side hung up */
    at += (size_t)n;
  }
}

static void responder_header(unsigned char h[8], unsigned version, unsigned type, unsigned id,
                             size_t len, unsigned pad) {
  h[0] = (unsigned char)version;
  h[1] = (unsigned char)type;
  h[2] = (unsigned char)(id >> 8);
  h[3] = (unsigned char)id;
  h[4] = (unsigned char)(len >> 8);
  h[5] = (unsigned char)len;
  h[6] = (unsigned char)pad;
  h[7] = 0;
}

static void responder_record(int fd, unsigned version, unsigned type, unsigned id, const void *data,
                             size_t len, unsigned pad) {
  static unsigned char buf[8 + 65535 + 255];

  responder_header(buf, version, type, id, len, pad);
  if (len) memcpy(buf + 8, data, len);
  memset(buf + 8 + len, 0xAA, pad);
  responder_write(fd, buf, 8 + len + pad);
}

static void responder_say(int fd, unsigned type, const char *text) {
  responder_record(fd, 1, type, 1, text, strlen(text), 0);
}

static void responder_end(int fd, unsigned status, unsigned pad) {
  unsigned char body[8] = {0, 0, 0, 0, (unsigned char)status, 0, 0, 0};

  responder_record(fd, 1, 3, 1, body, 8, pad);
}

static size_t responder_length(const unsigned char **p, const unsigned char *end) {
  size_t n;

  if (*p >= end) return 0;
  if (**p < 128) return *(*p)++;
  if (end - *p < 4) return 0;
  n = (size_t)((*p)[0] & 0x7f) << 24 | (size_t)(*p)[1] << 16 | (size_t)(*p)[2] << 8 | (*p)[3];
  *p += 4;
  return n;
}

static void responder_params(struct responder *r, const unsigned char *p, size_t len) {
  const unsigned char *end = p + len;

  while (p < end) {
    size_t name = responder_length(&p, end), value = responder_length(&p, end);

    /* As strict as php-fpm: a pair that runs over its record resets the connection. */
    if (name + value > (size_t)(end - p)) _exit(3);
    if (name == 15 && memcmp(p, "SCRIPT_FILENAME", 15) == 0) {
      snprintf(r->script, sizeof r->script, "%.*s", (int)value, (const char *)p + name);
    } else if (name == 14 && memcmp(p, "CONTENT_LENGTH", 14) == 0) {
      char number[24];

      snprintf(number, sizeof number, "%.*s", (int)value, (const char *)p + name);
      r->announced = strtoul(number, NULL, 10);
    }
    p += name + value;
  }
}

/* One record. False at the end of the connection. */
static bool responder_step(struct responder *r) {
  static unsigned char buf[65535 + 255];
  unsigned char h[8];
  size_t len;

  if (!responder_read(r->fd, h, 8)) return false;
  if (h[0] != 1 || (h[2] << 8 | h[3]) != 1) _exit(3);
  len = (size_t)h[4] << 8 | h[5];
  if (!responder_read(r->fd, buf, len + h[6])) return false;
  switch (h[1]) {
  case 1:
    r->keep = buf[2] & 1;
    break;
  case 4:
    r->params_done = !len;
    if (len) responder_params(r, buf, len);
    break;
  case 5:
    r->stdin_done = !len;
    r->body_len += len;
    for (size_t i = 0; i < len; i++) r->body_sum = r->body_sum * 31 + buf[i];
    break;
  default:
    _exit(3);
  }
  return true;
}

static bool responder_until_params(struct responder *r) {
  while (!r->params_done)
    if (!responder_step(r)) return false;
  return true;
}

static bool responder_until_end(struct responder *r) {
  while (!r->stdin_done)
    if (!responder_step(r)) return false;
  return true;
}

/* What php-fpm does: reads CONTENT_LENGTH bytes, leaves the record that ends STDIN unread. */
static bool responder_until_body(struct responder *r) {
  while (r->body_len < r->announced)
    if (!responder_step(r)) return false;
  return true;
}

static void responder_drain(int fd) {
  char buf[4096];

  while (recv(fd, buf, sizeof buf, 0) > 0) {
  }
}

static void responder_fine(struct responder *r, unsigned pad) {
  static const char text[] = "Content-type: text/html\r\ncode: 200\r\n\r\nfine";

  responder_record(r->fd, 1, 6, 1, text, sizeof text - 1, pad);
  responder_end(r->fd, 0, pad);
}

static void responder_big(struct responder *r, size_t total) {
  static char block[60000];

  memset(block, 'x', sizeof block);
  responder_say(r->fd, 6, "Code: 200\r\n\r\n");
  while (total) {
    size_t n = total < sizeof block ? total : sizeof block;

    responder_record(r->fd, 1, 6, 1, block, n, 0);
    total -= n;
  }
  responder_end(r->fd, 0, 0);
}

/* One request. False: the connection is over. */
static bool responder_request(struct responder *r) {
  const char *how;
  unsigned char h[8];
  int fd = r->fd;

  r->params_done = r->stdin_done = false;
  r->body_len = r->body_sum = r->announced = 0;
  if (!responder_until_params(r)) return false;
  r->on_conn++;
  __atomic_add_fetch(r->served, 1, __ATOMIC_SEQ_CST);
  how = strrchr(r->script, '/') ? strrchr(r->script, '/') + 1 : r->script;

  /* Those that do not wait for the whole request. */
  if (strcmp(how, "early") == 0) { /* answers without reading the body */
    responder_fine(r, 0);
    return false;
  }
  if (strcmp(how, "early-drain") == 0) {
    responder_fine(r, 0);
    return responder_until_end(r);
  }
  if (strcmp(how, "second-unread") == 0 && r->on_conn == 2) {
    if (!responder_until_body(r)) return false;
    return false; /* like a worker killed while its script runs: a reset */
  }
  if (strcmp(how, "never-reads") == 0) {
    responder_sleep(20000);
    return false;
  }
  if (!responder_until_end(r)) return false;

  if (strcmp(how, "ok") == 0) {
    responder_fine(r, 0);
  } else if (strcmp(how, "echo") == 0) {
    char text[200];

    snprintf(text, sizeof text, "Code: 200\n\n%zu %zu %lu", r->announced, r->body_len, r->body_sum);
    responder_say(fd, 6, text);
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "padding") == 0) {
    responder_fine(r, 255);
  } else if (strcmp(how, "trickle") == 0) {
    static const char text[] = "Status: 200 OK: yes\r\nCode: 200\r\n\r\nfine";
    unsigned char all[8 + sizeof text + 16];
    size_t len = sizeof text - 1;

    responder_header(all, 1, 6, 1, len, 0);
    memcpy(all + 8, text, len);
    responder_header(all + 8 + len, 1, 3, 1, 8, 0);
    memset(all + 16 + len, 0, 8);
    for (size_t i = 0; i < len + 24; i++) {
      responder_write(fd, all + i, 1);
      responder_sleep(1);
    }
  } else if (strcmp(how, "half-header") == 0) {
    responder_header(h, 1, 6, 1, 100, 0);
    responder_write(fd, h, 4);
    return false;
  } else if (strcmp(how, "mid-record") == 0) {
    responder_header(h, 1, 6, 1, 100, 0);
    responder_write(fd, h, 8);
    responder_write(fd, "Code: 200\r\n", 11);
    return false;
  } else if (strcmp(how, "wrong-version") == 0) {
    responder_record(fd, 9, 6, 1, "Code: 200\r\n\r\n", 13, 0);
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "wrong-id") == 0) {
    responder_record(fd, 1, 6, 77, "Code: 200\r\n\r\n", 13, 0);
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "wrong-type") == 0) {
    responder_record(fd, 1, 200, 1, "abc", 3, 0);
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "bad-end") == 0) {
    responder_say(fd, 6, "Code: 200\r\n\r\n");
    responder_record(fd, 1, 3, 1, "\0\0\0\0", 4, 0);
  } else if (strcmp(how, "http") == 0) {
    responder_write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    return false;
  } else if (strcmp(how, "end-only") == 0) {
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "overloaded") == 0) {
    responder_end(fd, 2, 0);
  } else if (strcmp(how, "unknown-role") == 0) {
    responder_end(fd, 3, 0);
  } else if (strcmp(how, "stderr") == 0) {
    responder_say(fd, 7, "PHP message: PHP Warning: ");
    responder_say(fd, 6, "Code: 2");
    responder_say(fd, 7, "one thing\n");
    responder_say(fd, 6, "00\r\n\r\nfi");
    responder_record(fd, 1, 7, 1, "", 0, 0);
    responder_say(fd, 6, "ne");
    responder_record(fd, 1, 6, 1, "", 0, 0);
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "stderr-flood") == 0) {
    char line[100];

    for (int i = 0; i < 2000; i++) {
      snprintf(line, sizeof line, "line %d of a long complaint\n", i);
      responder_say(fd, 7, line);
    }
    responder_fine(r, 0);
  } else if (strcmp(how, "long-header") == 0) {
    static char line[60000];

    memset(line, 'h', sizeof line - 1);
    responder_say(fd, 6, "X-Long: ");
    responder_say(fd, 6, line);
    responder_say(fd, 6, line);
    responder_say(fd, 6, "\r\nCode: 200\r\n\r\n");
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "bad-code") == 0) {
    responder_say(fd, 6, "Code: yes\r\n\r\n");
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "no-blank") == 0) {
    responder_say(fd, 6, "Code: 200\r\nContent-type: text/html");
    responder_end(fd, 0, 0);
  } else if (strcmp(how, "big") == 0) {
    responder_big(r, 3u << 20);
  } else if (strcmp(how, "extra") == 0) {
    responder_say(fd, 6, "Code: 200\r\n\r\nfine");
    unsigned char all[16 + 8] = {0};

    responder_header(all, 1, 3, 1, 8, 0);
    responder_header(all + 16, 1, 6, 1, 0, 0);
    responder_write(fd, all, sizeof all);
  } else if (strcmp(how, "never") == 0) {
    responder_drain(fd);
    return false;
  } else if (strcmp(how, "held") == 0) {
    while (!__atomic_load_n(r->gate, __ATOMIC_SEQ_CST)) responder_sleep(1);
    responder_fine(r, 0);
  } else if (strcmp(how, "closes") == 0) {
    return false; /* all read, nothing said */
  } else if (strcmp(how, "max-requests") == 0 || strcmp(how, "max-requests-php") == 0) {
    /* Like php-fpm after pm.max_requests, but waits so that the next request crosses it. */
    if (how[12]) responder_say(fd, 6, "X-Powered-By: PHP/8.2.36\r\n");
    responder_fine(r, 0);
    if (r->on_conn == 2) {
      char byte;

      (void)!recv(fd, &byte, 1, MSG_PEEK);
      shutdown(fd, SHUT_WR);
      responder_drain(fd);
      return false;
    }
  } else if (strcmp(how, "second-unread") == 0) {
    responder_fine(r, 0);
  } else if (strcmp(how, "close-after") == 0) {
    responder_fine(r, 0);
    return false;
  } else {
    responder_say(fd, 6, "Status: 404 Not Found\r\n\r\nFile not found.\n");
    responder_say(fd, 7, "Primary script unknown");
    responder_end(fd, 0, 0);
  }
  return r->keep;
}

/* Serves `listen_fd` for ever. Both may be in shared memory: `served` for a test to look at, `gate`
 * for it to open. */
static void responder_serve(int listen_fd, unsigned *served, unsigned *gate) {
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int fd = accept(listen_fd, NULL, NULL);

    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      _exit(1);
    }
    if (fork() == 0) {
      struct responder r = {.fd = fd, .served = served, .gate = gate};

      int on = 1;

      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket */
      prctl(PR_SET_PDEATHSIG, SIGKILL);                         /* goes with the test */
      close(listen_fd);
      while (responder_request(&r)) {
      }
      /* The process ends without any shutdown(), as a killed one would. */
      _exit(0);
    }
    close(fd);
  }
}

/* "unix:/path", or a port of 127.0.0.1, 0 for any; *ret_port is told then. */
static int responder_listen(const char *address, int backlog, int *ret_port) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET};
  socklen_t len = sizeof in;
  int fd, on = 1;

  if (strncmp(address, "unix:", 5) == 0) {
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    unlink(un.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || listen(fd, backlog) < 0)
      return -errno;
    return fd;
  }
  in.sin_port = htons((uint16_t)strtoul(address, NULL, 10));
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, backlog) < 0) return -errno;
  if (ret_port) {
    if (getsockname(fd, (struct sockaddr *)&in, &len) < 0) return -errno;
    *ret_port = ntohs(in.sin_port);
  }
  return fd;
}

#ifndef FCGI_RESPONDER_NO_MAIN
int main(int argc, char **argv) {
  static unsigned served, gate = 1;
  int fd, port = 0;

  if (argc != 2) {
    fprintf(stderr, "usage: %s unix:/path|PORT\n", argv[0]);
    return 2;
  }
  fd = responder_listen(argv[1], 511, &port);
  if (fd < 0) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(-fd));
    return 1;
  }
  if (port) {
    printf("%d\n", port);
    fflush(stdout);
  }
  responder_serve(fd, &served, &gate);
}
#endif
