/* Sends jobs to an idle broker, one at a time, each with the time of its send in it, and reads
 * from the worker's log when its first line ran.
 *
 *   latency send SOCKET QUEUE PASSWORD COUNT GAP_MS
 *     each job is 64 bytes: nanoseconds of CLOCK_MONOTONIC just before the send, padded. Waits
 *     GAP_MS to twice that between two. Prints p50 and p99 of the reply, in microseconds.
 *   latency read LOG COUNT
 *     lines of "FIRST_LINE_NS SENT_NS"; prints how many, p50, p99 and the longest, in microseconds.
 *   latency hold SOCKET QUEUE PASSWORD COUNT
 *     that many producers, each authenticated and with one job sent, until standard input ends;
 *     prints a line when all are there.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONTENT 64

static void die(const char *what) {
  fprintf(stderr, "latency: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say(int fd, const char *text, size_t n) {
  char reply[1024];
  if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n) die("send");
  ssize_t got = recv(fd, reply, sizeof reply - 1, 0);
  if (got <= 0) die("the broker closed the connection");
  if (reply[0] == '-') {
    fprintf(stderr, "latency: the broker says %.*s", (int)got, reply);
    exit(1);
  }
}

static int producer(const char *path, const char *queue, const char *password) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  char text[512];
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un)) die(path);
  int n = snprintf(text, sizeof text, "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                   strlen(queue), queue, strlen(password), password);
  say(fd, text, (size_t)n);
  return fd;
}

static void send_job(int fd, const char *queue) {
  char text[512];
  int n = snprintf(text, sizeof text, "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$%d\r\n%0*llu\r\n",
                   strlen(queue), queue, CONTENT, CONTENT, (unsigned long long)now_ns());
  say(fd, text, (size_t)n);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void print(double *us, size_t n) {
  if (!n) {
    fprintf(stderr, "latency: nothing measured\n");
    exit(1);
  }
  qsort(us, n, sizeof *us, compare);
  printf("%zu %.0f %.0f %.0f\n", n, us[n / 2], us[n * 99 / 100], us[n - 1]);
}

static int run_send(char **argv) {
  size_t count = strtoul(argv[3], NULL, 10);
  long gap = atol(argv[4]);
  int fd = producer(argv[0], argv[1], argv[2]);
  double *us = calloc(count + 1, sizeof *us);
  if (!us) die("memory");
  for (size_t i = 0; i < count; i++) {
    uint64_t began = now_ns();
    send_job(fd, argv[1]);
    us[i] = (double)(now_ns() - began) / 1000;
    usleep((useconds_t)(gap * 1000 + rand() % (gap * 1000 + 1)));
  }
  print(us, count);
  free(us);
  return 0;
}

static int run_read(char **argv) {
  size_t count = strtoul(argv[1], NULL, 10), n = 0;
  double *us = calloc(count + 1, sizeof *us);
  unsigned long long first, sent;
  FILE *f = fopen(argv[0], "r");
  if (!f || !us) die(argv[0]);
  while (n < count && fscanf(f, "%llu %llu", &first, &sent) == 2)
    us[n++] = (double)(int64_t)(first - sent) / 1000;
  fclose(f);
  print(us, n);
  free(us);
  return 0;
}

static int run_hold(char **argv) {
  long count = atol(argv[3]);
  struct rlimit lim;
  char end;
  if (!getrlimit(RLIMIT_NOFILE, &lim)) {
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
  }
  for (long i = 0; i < count; i++) send_job(producer(argv[0], argv[1], argv[2]), argv[1]);
  printf("%ld\n", count);
  fflush(stdout);
  while (read(STDIN_FILENO, &end, 1) > 0) continue;
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 7 && !strcmp(argv[1], "send") && atol(argv[6]) > 0) return run_send(argv + 2);
  if (argc == 4 && !strcmp(argv[1], "read")) return run_read(argv + 2);
  if (argc == 6 && !strcmp(argv[1], "hold")) return run_hold(argv + 2);
  fprintf(stderr, "usage: latency send SOCKET QUEUE PASSWORD COUNT GAP_MS\n"
                  "       latency read LOG COUNT\n"
                  "       latency hold SOCKET QUEUE PASSWORD COUNT\n");
  return 2;
}
