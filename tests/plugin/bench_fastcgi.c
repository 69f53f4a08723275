/* How fast the FastCGI transport is, as a ratio: requests per second with 8 in flight through
 * the plugin under the harness, against the least that a client can do with 8 kept connections, on
 * one php-fpm of 8 children. Not a test; `bench_fastcgi [seconds]`. Built like test_fastcgi.c.
 */
#include "fastcgi_fixture.h"

#define BENCH_WINDOW 8

static const char bench_form[] =
    "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=4611686018427387905-2130706433-12017&"
    "queue=msg&topic=reply&jobs=%5B%7B%22id%22%3A%224611686018427387905%22%2C%22inTraceId%22%3A"
    "%224611686018427387905-2130706433-12017%22%2C%22content%22%3A%22xxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%22%7D%5D";

struct bench {
  struct harness_inst *in;
  unsigned long done, failed;
  bool stop;
  unsigned running;
};

static void bench_next(struct harness_ticket *t, void *arg) {
  struct bench *b = arg;

  b->running--;
  b->done++;
  if (t->outcome != PB_ANSWERED || t->code != 200) b->failed++;
  if (b->stop || !harness_submit(b->in, bench_form, sizeof bench_form - 1)) return;
  b->running++;
}

static bool bench_idle(void *arg) {
  return !((struct bench *)arg)->running;
}

static double bench_plugin(const char *address, const char *entry, unsigned seconds) {
  struct harness *h = harness_new(&fastcgi, HARNESS_REAL);
  struct harness_pool *p = harness_pool(h, NULL, option("address", address), NULL);
  struct bench b = {.in = topic(p, entry)};
  uint64_t began = clock_now_us(), end = began + seconds * 1000000ull, took;

  harness_forget_results(h, true);
  harness_on_complete(h, bench_next, &b);
  for (; b.running < BENCH_WINDOW; b.running++)
    harness_submit(b.in, bench_form, sizeof bench_form - 1);
  while (clock_now_us() < end) harness_turn(h, 100);
  took = clock_now_us() - began;
  b.stop = true;
  double rate = (double)b.done * 1e6 / (double)took;
  harness_until(h, bench_idle, &b, 5000);
  if (b.failed) diag("%lu of %lu failed", b.failed, b.done);
  harness_free(h, "bench");
  return rate;
}

/* The least that a client can do: the same bytes on 8 connections, END_REQUEST awaited. */
static double bench_bare(const char *address, const char *entry, unsigned seconds) {
  struct pb_topic_info info = {.queue = "msg", .topic = "reply"};
  struct instance in = {.topic = &info, .entry = entry};
  struct fcgi_conn request = {0};
  struct pb_err err;
  struct fcgi_addr addr;
  static uint8_t bytes[32768], got[65536];
  struct pollfd fds[BENCH_WINDOW];
  struct fcgi_reader readers[BENCH_WINDOW];
  unsigned long done = 0;
  size_t len = 0;
  uint64_t began, end;

  if (instance_head(&in, true, &err) < 0 || fcgi_addr_parse(&addr, address, &err) < 0)
    bail_out("%s", err.text);
  fcgi_conn_load(&request, &(struct fcgi_work){.head = in.head,
                                               .head_len = in.head_len,
                                               .body = bench_form,
                                               .body_len = sizeof bench_form - 1,
                                               .trace = "4611686018427387905-2130706433-12017"});
  struct gather g;
  conn_gather(&request, &g);
  for (int i = 0; i < g.n; i++) {
    memcpy(bytes + len, g.iov[i].iov_base, g.iov[i].iov_len);
    len += g.iov[i].iov_len;
  }
  free(in.head);
  for (int i = 0; i < BENCH_WINDOW; i++) {
    fds[i] = (struct pollfd){socket(addr.sa.ss_family, SOCK_STREAM, 0), POLLIN, 0};
    if (connect(fds[i].fd, (struct sockaddr *)&addr.sa, addr.len) < 0) bail_out("connect");
    responder_write(fds[i].fd, bytes, len);
    fcgi_reader_init(&readers[i]);
  }
  began = clock_now_us();
  end = began + seconds * 1000000ull;
  while (clock_now_us() < end) {
    if (poll(fds, BENCH_WINDOW, 100) <= 0) continue;
    for (int i = 0; i < BENCH_WINDOW; i++) {
      const uint8_t *p = got, *data;
      size_t data_len;
      ssize_t n;
      enum fcgi_event ev;

      if (!fds[i].revents) continue;
      n = recv(fds[i].fd, got, sizeof got, 0);
      if (n <= 0) bail_out("the bare client lost a connection");
      do
        ev = fcgi_reader_next(&readers[i], &p, got + n, &data, &data_len);
      while (ev == FCGI_OUT || ev == FCGI_ERR);
      if (ev != FCGI_END) continue;
      done++;
      fcgi_reader_init(&readers[i]);
      responder_write(fds[i].fd, bytes, len);
    }
  }
  end = clock_now_us();
  for (int i = 0; i < BENCH_WINDOW; i++) close(fds[i].fd);
  return (double)done * 1e6 / (double)(end - began);
}

/* Requests per second through the plugin, and through the least that a client can do. */
static void bench(const struct fixture *f, unsigned seconds) {
  struct fpm m;
  char entry[200];

  put_file(f, "bench.php", "<?php header('Code: 200');");
  snprintf(entry, sizeof entry, "%s/bench.php", f->dir);
  for (int tcp = 0; tcp < 2; tcp++) {
    double bare = 0, plugin = 0;

    fpm_start(&m, f, tcp, BENCH_WINDOW, NULL);
    bench_bare(m.address, entry, 1);
    for (int round = 0; round < 3; round++) {
      bare += bench_bare(m.address, entry, seconds) / 3;
      plugin += bench_plugin(m.address, entry, seconds) / 3;
    }
    diag("%s: bare client %.0f/s, plugin %.0f/s, ratio %.2f", tcp ? "tcp" : "unix", bare, plugin,
         plugin / bare);
    fpm_stop(&m);
  }
}

int main(int argc, char **argv) {
  struct fixture f;

  if (!fpm_find()) skip_all("no php-fpm found");
  fixture_begin(&f);
  bench(&f, argc > 1 ? (unsigned)atoi(argv[1]) : 3);
  fixture_end(&f);
  return done_testing();
}
