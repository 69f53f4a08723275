/* What the host table gives to a plugin: descriptors, timers, children, figures, signatures,
 * batches. */
#include "unit/transport/transport_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static unsigned calls;
static int call_fd;
static unsigned call_events;

static void on_io(int fd, unsigned events, void *arg) {
  calls++;
  call_fd = fd;
  call_events = events;
  if (arg) fake.host->io_del(fake.inst, fd); /* from within its own callback */
}

static void on_fn(void *arg) {
  calls++;
  if (arg) fake.host->timer_free(*(struct pb_timer **)arg);
}

static void on_slow(void *arg) {
  struct timespec ts = {.tv_nsec = 70000000};
  (void)arg;
  nanosleep(&ts, NULL);
  calls++;
}

static int child_status;
static void on_child(pid_t pid, int status, void *arg) {
  (void)pid;
  (void)arg;
  child_status = status;
  calls++;
}

static void test_io(void) {
  const struct pb_host *h = fake.host;
  int fds[2];
  char bytes[2];
  if (pipe(fds)) bail_out("pipe");
  calls = 0;
  is_int(h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, NULL), 0, "a descriptor is watched");
  turns(2);
  is_int(calls, 0, "it is not ready");
  if (write(fds[1], "xy", 2) != 2) bail_out("write");
  turns(2);
  ok(calls == 2 && call_fd == fds[0] && call_events == PB_IO_READ,
     "ready: called until it is read");
  is_int(h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, fds), 0, "set again replaces it");
  turns(2);
  is_int(calls, 3, "a callback may end its own watch");
  is_int(h->io_set(fake.inst, fds[1], PB_IO_WRITE, on_io, NULL), 0, "for writing");
  turns(1);
  ok(calls == 4 && call_events == PB_IO_WRITE, "told as writing");
  is_int(h->io_set(fake.inst, fds[1], 0, NULL, NULL), 0, "no events: no watch");
  h->io_del(fake.inst, fds[1]);
  h->io_del(fake.inst, -1);
  h->io_del(fake.inst, 100000);
  turns(1);
  is_int(calls, 4, "ending it twice does nothing");
  is_int(h->io_set(fake.inst, -1, PB_IO_READ, on_io, NULL), -EBADF, "no descriptor");
  int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 500);
  is_int(h->io_set(fake.inst, high, PB_IO_READ, on_io, fds), 0, "a high descriptor");
  turns(1);
  ok(calls == 5 && call_fd == high, "is watched too");
  if (read(fds[0], bytes, 2) != 2) bail_out("read");
  h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, NULL); /* left to transports_free() */
  close(high);
}

static struct pb_pool_load load;
static char load_pool[64];
static void on_load(void *arg, const char *name, const struct pb_pool_load *l) {
  (void)arg;
  load = *l;
  snprintf(load_pool, sizeof load_pool, "%s", name);
}

static void test_figures(void) {
  begin();
  const struct pb_host *h = fake.host;
  char text[512];
  h->metric(fake.inst, JOBS_TOTAL, 2);
  h->metric(fake.inst, JOBS_TOTAL, 3);
  h->metric(fake.inst, HEAT, 21);
  h->metric(fake.inst, HEAT, -4);
  h->metric(fake.pool, CHILDREN, 8);
  ok(instance_figures(inst)[JOBS_TOTAL] == 5, "a counter grows");
  ok(instance_figures(inst)[HEAT] == -4, "a gauge is set");
  is_int(transport_metrics(instance_transport(inst)), 3, "as many as the table has");
  h->metric(fake.inst, JOBS_TOTAL, -1);
  h->metric(fake.inst, CHILDREN, 1);
  h->metric(fake.pool, HEAT, 1);
  h->metric(fake.inst, 3, 1);
  h->metric(fake.plugin, HEAT, 1);
  ok(instance_figures(inst)[JOBS_TOTAL] == 5 && instance_figures(inst)[HEAT] == -4,
     "what does not fit is not taken");

  is_int(instance_health(inst, text, sizeof text), PB_HEALTH_DEGRADED, "a topic's health");
  is_str(text, "half of it", "in words");
  struct pool_run *p = transports_pool(tr, NULL);
  ok(p && !transports_pool(tr, p), "one pool is open");
  is_str(pool_run_name(p), "local", "its name");
  ok(!instance_figures(inst)[CHILDREN] && !pool_run_figures(p)[HEAT],
     "a pool's figure is none of a topic's, nor the other way round");
  ok(pool_run_figures(p)[CHILDREN] == 8 && pool_run_transport(p) == &desc, "its figures");
  is_int(pool_run_health(p, text, sizeof text), PB_HEALTH_OK, "an unknown health is none");
  is_int(strlen(text), sizeof text - 1, "a text without end is ended");

  struct pb_owner *owner = fake.pool;
  struct pool_settings other = pool;
  struct topic_settings changed = topic;
  other.max_connections = 9;
  changed.pool = &other;
  struct instance *second = instance_open(tr, &snapshot, &changed, on_ready, &done, &err);
  ok(second && instance_figures(second)[JOBS_TOTAL] == 0, "a reload's instance begins anew");
  ok(transports_pool(tr, NULL) != p && !transports_pool(tr, transports_pool(tr, NULL)),
     "and the pool that it replaced is not shown");
  struct instance *third = instance_open(tr, &snapshot, &topic, on_ready, &done, &err);
  ok(third && transports_pool(tr, NULL) == p && !transports_pool(tr, p),
     "a reload that goes back to it shows it again, alone");
  transports_on_load(tr, on_load, NULL);
  struct pb_pool_load stale = {.size = sizeof stale, .workers = 1, .idle = 1, .queued = 1};
  h->pool_load(fake.pool, &stale);
  is_str(load_pool, "", "the workers of one that was replaced are not its workers");

  struct pb_pool_load l = {.size = sizeof l, .workers = 8, .idle = 0, .queued = 3};
  h->pool_load(fake.inst, &l);
  is_int(load.workers, 0, "only a pool has a load");
  h->pool_load(owner, &l);
  ok(load.workers == 8 && !load.idle && load.queued == 3, "which is told");
  is_str(load_pool, "local", "with its name");
  l.size = offsetof(struct pb_pool_load, queued);
  h->pool_load(owner, &l);
  is_int(load.queued, -1, "what an older plugin does not have is not known");
  fake.drain_at_once = true;
  instance_close(second, 1000);
  instance_close(third, 1000);
  fake.drain_at_once = false;
  instance_close(inst, 0);
  end("figures");
}

static void test_sign(void) {
  char text[PB_SIGNATURE_MAX] = "?";
  begin();
  is_int(fake.host->sign(fake.inst, "a", 1, text), 0, "without a key nothing is signed");
  is_str(text, "", "and the text is empty");
  instance_close(inst, 0);
  end("no sign");
  topic.signing_key = "0123456789abcdef";
  begin();
  size_t n = fake.host->sign(fake.inst, "a", 1, text);
  ok(n && n == strlen(text) && !strncmp(text, "t=", 2) && strstr(text, ",v2="), "with one it is");
  /* @case X4: bytes of a producer that look like a form are not signed as one */
  char form[PB_SIGNATURE_MAX], copy[PB_SIGNATURE_MAX];
  fake.sign_form = form, fake.sign_copy = copy;
  pb_ticket signed_one = submit_rc(0, "a request");
  fake.sign_form = fake.sign_copy = NULL;
  ok(strstr(form, ",v2=") && strcmp(form, copy) != 0, "a form is known by its address");
  complete(signed_one, PB_ANSWERED, 200, "");
  turns(1);
  topic.signing_version = SIGNING_V1;
  fake.host->sign(fake.inst, "a", 1, text);
  ok(strstr(text, ",v1=") != NULL, "the old form where the topic says so");
  topic.signing_version = SIGNING_V2;
  is_int(fake.host->sign(fake.pool, "a", 1, text), 0, "a pool has no key");
  instance_close(inst, 0);
  end("sign");
  topic.signing_key = "";
}

/* The parts of test_host(). */

static void table_is_whole(const struct pb_host *h) {
  ok(h->size == sizeof *h && h->abi_major == PB_ABI_MAJOR && h->abi_minor == PB_ABI_MINOR,
     "the table says what it is");
  ok(PB_HAS(h, child_unwatch), "and has its last slot");
  bool whole = true; /* no slot was forgotten */
  for (size_t at = offsetof(struct pb_host, log); at < sizeof *h; at += sizeof(void (*)(void))) {
    static const char none[sizeof(void (*)(void))];
    whole &= memcmp((const char *)h + at, none, sizeof none) != 0;
  }
  ok(whole, "every slot is filled");
}

static void timers(const struct pb_host *h) {
  calls = 0;
  struct pb_timer *t = h->timer_new(fake.inst, on_fn, &t),
                  *u = h->timer_new(fake.inst, on_fn, NULL);
  h->timer_start(t, 0);
  h->timer_start(u, 5);
  h->timer_stop(u);
  turn_until(&calls, 1);
  is_int(calls, 1, "a timer may be freed in its own callback; a stopped one is not called");
  h->timer_free(u);
  h->timer_free(NULL);
  turns(1);
}

static void posts_and_children(const struct pb_host *h) {
  calls = 0;
  h->post(fake.inst, on_fn, NULL);
  is_int(calls, 0, "post() does not call at once");
  turn_until(&calls, 1);
  is_int(calls, 1, "but later");

  pid_t pid = fork();
  if (!pid) _exit(9);
  is_int(h->child_watch(fake.inst, pid, on_child, NULL), 0, "a child is watched");
  turn_until(&calls, 2);
  is_int(WEXITSTATUS(child_status), 9, "its end is told");
  unsigned before = calls;
  pid = fork();
  if (!pid) _exit(9);
  is_int(h->child_watch(fake.inst, pid, on_child, NULL), 0, "another");
  h->child_unwatch(fake.inst, pid);
  uint64_t until = loop_clock_ms() + WAIT_MS;
  while (!kill(pid, 0) && loop_clock_ms() < until) loop_turn(loop, 20);
  ok(kill(pid, 0) && calls == before, "one that is not watched any more is reaped unheard");
}

static void slow_calls_and_time(const struct pb_host *h) {
  calls = 0;
  struct pb_timer *t = h->timer_new(fake.inst, on_slow, NULL);
  h->timer_start(t, 0);
  turn_until(&calls, 1);
  ok(logged("held up everything else; a transport must not block") > 0,
     "a call that blocks is logged");
  h->timer_free(t);
  uint64_t now = loop_clock_ms();
  turns(1);
  ok(h->now_ms(fake.inst) >= now && h->now_ms(fake.inst) <= loop_clock_ms(), "the time");
  h->log(fake.inst, PB_LOG_INFO, "a line with %d in it", 7);
}

static void batches(const struct pb_host *h) {
  char content[] = "abc";
  struct job jobs[2] = {{.id = 42, .content = content, .content_len = 3, .failed = 2},
                        {.id = 43, .content = "\0", .content_len = 1}};
  struct pb_batch *b = batch_new(2);
  size_t len;
  b->type = PB_BATCH_DATA;
  b->topic = &topic;
  b->deadline_ms = 777;
  strcpy(b->trace, "1-2-3");
  batch_push(b, &jobs[0]);
  batch_push(b, &jobs[1]);
  is_int(h->batch_type(b), PB_BATCH_DATA, "a batch's type");
  is_int(h->batch_count(b), 2, "count");
  is_int(h->batch_deadline_ms(b), 777, "deadline");
  is_str(h->batch_trace(b), "1-2-3", "trace");
  is_str(h->job_id(b, 1), "43", "a job's id");
  const void *body = h->job_body(b, 0, &len);
  is_mem(body, len, "abc", 3, "its body");
  body = h->job_body(b, 1, &len);
  is_mem(body, len, "\0", 1, "and another's, byte for byte");
  ok(h->job_attempt(b, 0) == 3 && h->job_attempt(b, 1) == 1, "attempts count from 1");
  ok(h->batch_form(b, &len) && len && h->batch_json(b, &len) && len, "its texts");
  body = h->job_body(b, 0, &len);
  b->n = 0; /* its deadline: the jobs go, the request goes on */
  memset(content, 0, sizeof content);
  is_mem(body, len, "abc", 3, "a body outlives its job");
  h->job_body(b, 0, &len);
  is_int(len, 0, "which cannot be asked for any more");
  batch_reset(b);
  jobs[0].content = "";
  jobs[0].content_len = 0;
  batch_push(b, &jobs[0]);
  batch_push(b, &jobs[1]);
  body = h->job_body(b, 0, &len);
  is_mem(body, len, "", 0, "an empty body is empty, not missing");
  body = h->job_body(b, 1, &len);
  is_mem(body, len, "\0", 1, "and its neighbour's is its own");
  batch_free(b);
}

static void test_host(void) {
  begin();
  table_is_whole(fake.host);
  test_io();
  timers(fake.host);
  posts_and_children(fake.host);
  slow_calls_and_time(fake.host);
  batches(fake.host);
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("the host");
}

int main(void) {
  world_begin();
  test_figures();
  test_sign();
  test_host();
  return world_end();
}
