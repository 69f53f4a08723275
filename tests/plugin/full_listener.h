/* A TCP port of 127.0.0.1 whose queue is full: who connects to it hears nothing, not even a no. */
#ifndef PB_TESTS_FULL_LISTENER_H
#define PB_TESTS_FULL_LISTENER_H

#include "../tap.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct full_listener {
  int fd, port, fill[8];
};

/* Is there one more in the queue than it holds? A listener's figures stand in these two. */
static bool full_listener_is(const struct full_listener *l) {
  struct tcp_info info = {0};
  socklen_t len = sizeof info;

  if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
    bail_out("TCP_INFO: %s", strerror(errno));
  return info.tcpi_unacked > info.tcpi_sacked;
}

static void full_listener_begin(struct full_listener *l) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct timespec moment = {.tv_nsec = 1000000};
  socklen_t len = sizeof to;

  l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&to, sizeof to) < 0 || listen(l->fd, 0) < 0 ||
      getsockname(l->fd, (struct sockaddr *)&to, &len) < 0)
    bail_out("listen: %s", strerror(errno));
  l->port = ntohs(to.sin_port);
  for (size_t i = 0; i < sizeof l->fill / sizeof *l->fill; i++) {
    l->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)!connect(l->fill[i], (struct sockaddr *)&to, sizeof to);
  }
  /* The kernel may take its time even here. */
  for (int k = 0; !full_listener_is(l); k++) {
    if (k == 60000) bail_out("the queue does not fill");
    nanosleep(&moment, NULL);
  }
}

static void full_listener_end(struct full_listener *l) {
  for (size_t i = 0; i < sizeof l->fill / sizeof *l->fill; i++) close(l->fill[i]);
  close(l->fd);
}

#endif
