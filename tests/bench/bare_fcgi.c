/* The least that a FastCGI client can do, as the measure for the broker's dispatch: some kept
 * connections, on each one request at a time that leaves in one write, its END_REQUEST awaited.
 * A request has the parameters and the form that the broker sends for one job of 64 bytes.
 *
 *   bare_fcgi ADDRESS ENTRY QUEUE TOPIC [SECONDS [CONNECTIONS]]
 *
 * ADDRESS is unix:/PATH or a port of 127.0.0.1. Prints requests per second and p50 and p99 of one
 * request in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEADER          8
#define CONNECTIONS_MAX 256
#define TRACE           "4611686018427387905-2130706433-12017"
#define SAMPLES         (1u << 20)

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

struct bytes {
  uint8_t at[16384];
  size_t len;
};

/* Where a connection is in the answer's records. */
struct conn {
  uint8_t header[HEADER];
  size_t have, skip; /* of the header; of the record's content and padding */
  size_t out;        /* bytes on STDOUT of this answer */
  uint64_t sent_ns;
};

static struct bytes request;
static struct pollfd fds[CONNECTIONS_MAX];
static struct conn conns[CONNECTIONS_MAX];
static uint32_t samples[SAMPLES];
static size_t sampled;

static void die(const char *what) {
  fprintf(stderr, "bare_fcgi: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void put(struct bytes *b, const void *p, size_t n) {
  if (n > sizeof b->at - b->len) {
    errno = E2BIG;
    die("the request");
  }
  memcpy(b->at + b->len, p, n);
  b->len += n;
}

static void put_record(struct bytes *b, int type, const void *p, size_t n) {
  put(b, (uint8_t[HEADER]){1, (uint8_t)type, 0, 1, (uint8_t)(n >> 8), (uint8_t)n}, HEADER);
  put(b, p, n);
}

static void put_length(struct bytes *b, size_t n) {
  if (n < 128)
    put(b, (uint8_t[]){(uint8_t)n}, 1);
  else
    put(b,
        (uint8_t[]){(uint8_t)(n >> 24 | 0x80), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n},
        4);
}

static void put_param(struct bytes *b, const char *name, const char *value) {
  put_length(b, strlen(name));
  put_length(b, strlen(value));
  put(b, name, strlen(name));
  put(b, value, strlen(value));
}

static void make_request(const char *entry, const char *queue, const char *topic) {
  static const char job[] =
      "%5B%7B%22id%22%3A%224611686018427387905%22%2C%22inTraceId%22%3A%22" TRACE
      "%22%2C%22content%22%3A%22xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "%22%2C%22retrying%22%3A0%2C%22RetryTimes%22%3A1%2C%22RetryTime%22%3A1767225600%2C"
      "%22IsRetry%22%3Atrue%2C%22BeginRetry%22%3Afalse%2C%22RetryResidueTime%22%3A0%7D%5D";
  static struct bytes params;
  const char *name = strrchr(entry, '/');
  char form[4096], len[32], root[4096];
  int n = snprintf(form, sizeof form,
                   "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=" TRACE
                   "&queue=%s&topic=%s&jobs=%s",
                   queue, topic, job);
  snprintf(len, sizeof len, "%d", n);
  snprintf(root, sizeof root, "%.*s", (int)(name - entry), entry);
  put_param(&params, "SCRIPT_FILENAME", entry);
  put_param(&params, "SCRIPT_NAME", name);
  put_param(&params, "DOCUMENT_ROOT", root);
  put_param(&params, "REQUEST_URI", name);
  put_param(&params, "REQUEST_METHOD", "POST");
  put_param(&params, "QUERY_STRING", "");
  put_param(&params, "CONTENT_TYPE", "application/x-www-form-urlencoded");
  put_param(&params, "GATEWAY_INTERFACE", "CGI/1.1");
  put_param(&params, "SERVER_PROTOCOL", "HTTP/1.1");
  put_param(&params, "SERVER_SOFTWARE", "pepperbus/1.0.0");
  put_param(&params, "SERVER_NAME", "pepperbus");
  put_param(&params, "REMOTE_ADDR", "127.0.0.1");
  put_param(&params, "HTTP_IS_PEPPER_BUS_REQUEST", "true");
  put_param(&params, "HTTP_X_PEPPERBUS_QUEUE", queue);
  put_param(&params, "HTTP_X_PEPPERBUS_TOPIC", topic);
  put_param(&params, "CONTENT_LENGTH", len);
  put_param(&params, "HTTP_X_PEPPERBUS_TRACE", TRACE);
  put_record(&request, BEGIN_REQUEST, (uint8_t[8]){0, 1, 1}, 8); /* responder, kept */
  put_record(&request, PARAMS, params.at, params.len);
  put_record(&request, PARAMS, "", 0);
  put_record(&request, STDIN, form, (size_t)n);
  put_record(&request, STDIN, "", 0);
}

static int dial(const char *address) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int local = strncmp(address, "unix:", 5) == 0, one = 1;
  int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (local) {
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    if (connect(fd, (struct sockaddr *)&un, sizeof un)) die(address);
  } else {
    in.sin_port = htons((uint16_t)atoi(address));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&in, sizeof in)) die(address);
  }
  return fd;
}

static void ask(int i) {
  ssize_t n = send(fds[i].fd, request.at, request.len, MSG_NOSIGNAL);
  if (n != (ssize_t)request.len) die("a request did not leave in one write");
  conns[i].sent_ns = now_ns();
  conns[i].out = 0;
}

/* True: the answer ended with what was read. */
static int take(struct conn *c, const uint8_t *p, size_t n) {
  int ended = 0;
  while (n) {
    size_t step;
    if (c->have < HEADER) {
      step = HEADER - c->have < n ? HEADER - c->have : n;
      memcpy(c->header + c->have, p, step);
      c->have += step;
      if (c->have == HEADER) {
        c->skip = (size_t)(c->header[4] << 8 | c->header[5]) + c->header[6];
        if (c->header[1] == STDOUT) c->out += c->skip;
      }
    } else {
      step = c->skip < n ? c->skip : n;
      c->skip -= step;
    }
    p += step;
    n -= step;
    if (c->have == HEADER && !c->skip) {
      c->have = 0;
      ended |= c->header[1] == END_REQUEST;
    }
  }
  return ended;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  static uint8_t got[65536];
  double seconds = argc > 5 ? atof(argv[5]) : 3;
  int n = argc > 6 ? atoi(argv[6]) : 8;
  unsigned long done = 0;

  if (argc < 5 || argv[2][0] != '/' || n < 1 || n > CONNECTIONS_MAX) {
    fprintf(stderr, "usage: bare_fcgi ADDRESS ENTRY QUEUE TOPIC [SECONDS [CONNECTIONS]]\n");
    return 2;
  }
  make_request(argv[2], argv[3], argv[4]);
  for (int i = 0; i < n; i++) {
    fds[i] = (struct pollfd){.fd = dial(argv[1]), .events = POLLIN};
    ask(i);
  }
  uint64_t began = now_ns(), end = began + (uint64_t)(seconds * 1e9), now;
  while ((now = now_ns()) < end) {
    if (poll(fds, (nfds_t)n, 100) < 0 && errno != EINTR) die("poll");
    for (int i = 0; i < n; i++) {
      if (!fds[i].revents) continue;
      ssize_t len = recv(fds[i].fd, got, sizeof got, 0);
      if (len <= 0) die("a connection ended");
      if (!take(&conns[i], got, (size_t)len)) continue;
      if (!conns[i].out) {
        errno = EPROTO;
        die("an answer without a word");
      }
      if (sampled < SAMPLES) samples[sampled++] = (uint32_t)((now_ns() - conns[i].sent_ns) / 1000);
      done++;
      ask(i);
    }
  }
  if (!done) {
    fprintf(stderr, "bare_fcgi: no answer in %s s\n", argc > 5 ? argv[5] : "3");
    return 1;
  }
  qsort(samples, sampled, sizeof *samples, compare);
  printf("%.0f %u %u\n", (double)done * 1e9 / (double)(now - began), samples[sampled / 2],
         samples[sampled * 99 / 100]);
  return 0;
}
