/* Owns the event base. The only file that calls libevent, beside listener and admin.
 *
 * Must never happen: a callback that frees the object it was called for at once. Such
 * objects go through loop_free_later().
 */
#include "event/loop.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_BUCKETS 256
#define TURN_LOOK_NS  1000000
#define SWEEP_MS      1000 /* at least, between two looks for children that somebody else reaped */

struct child {
  struct child *next; /* in the same bucket */
  struct loop *loop;
  struct deferred look; /* at the end of the turn: it had ended before it was known */
  pid_t pid;
  child_fn fn;
  void *arg;
};

struct posted {
  struct posted *next;
  loop_fn fn;
  void *arg;
};

struct sig {
  struct sig *next;
  struct event *ev;
  signal_fn fn;
  void *arg;
};

struct loop {
  struct event_base *base;
  struct log *log;
  uint64_t now_ms, wall_ms; /* 0: not asked for in this turn */
  uint64_t turn_ns, turn_cpu_ns,
      turn_max_ns; /* when CPU time was looked at last, and what it was */
  uint64_t turns;
  bool stop;
  struct deferred *deferred, **deferred_end;
  void **corpses;
  size_t corpse_n, corpse_cap;
  struct child *children[CHILD_BUCKETS];
  uint64_t swept_ms;
  struct sig *sigs;
  uint64_t rng;
  int post_fd;
  struct io post_io;
  pthread_mutex_t post_lock; /* guards posted, the only thing other threads touch */
  struct posted *posted, **posted_end;
};

static uint64_t clock_ms(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t loop_clock_us(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_turns(const struct loop *loop) {
  return loop->turns;
}

uint64_t loop_clock_ms(void) {
  return clock_ms(CLOCK_MONOTONIC);
}

/* Read at most once a turn, by the first who asks: the wait before the turn may be long. */
uint64_t loop_now_ms(struct loop *loop) {
  if (!loop->now_ms) loop->now_ms = clock_ms(CLOCK_MONOTONIC);
  return loop->now_ms;
}

uint64_t loop_wall_ms(struct loop *loop) {
  if (!loop->wall_ms) loop->wall_ms = clock_ms(CLOCK_REALTIME);
  return loop->wall_ms;
}

static void clock_forget(struct loop *loop) {
  loop->now_ms = loop->wall_ms = 0;
  loop->turns++;
}
struct log *loop_log(struct loop *loop) {
  return loop->log;
}
/* --- end of turn --- */

void loop_defer(struct loop *loop, struct deferred *d, loop_fn fn, void *arg) {
  if (d->prev) return;
  d->fn = fn;
  d->arg = arg;
  d->next = NULL;
  d->prev = loop->deferred_end;
  *loop->deferred_end = d;
  loop->deferred_end = &d->next;
}

void deferred_cancel(struct loop *loop, struct deferred *d) {
  if (!d->prev) return;
  *d->prev = d->next;
  if (d->next)
    d->next->prev = d->prev;
  else
    loop->deferred_end = d->prev;
  d->prev = NULL;
}

void loop_free_later(struct loop *loop, void *ptr) {
  if (!ptr) return;
  if (loop->corpse_n == loop->corpse_cap) {
    size_t cap = loop->corpse_cap ? loop->corpse_cap * 2 : 32;
    void **p = realloc(loop->corpses, cap * sizeof *p);
    if (!p) out_of_memory(); /* freeing at once would be a use after free */
    loop->corpses = p;
    loop->corpse_cap = cap;
  }
  loop->corpses[loop->corpse_n++] = ptr;
}

static void run_deferred(struct loop *loop) {
  while (loop->deferred) {
    struct deferred *d = loop->deferred;
    deferred_cancel(loop, d);
    d->fn(d->arg);
  }
  for (size_t i = 0; i < loop->corpse_n; i++) free(loop->corpses[i]);
  loop->corpse_n = 0;
}

/* --- descriptors --- */

static void io_ready(int fd, short what, void *arg) {
  struct io *io = arg;
  unsigned events = (what & EV_READ ? IO_READ : 0u) | (what & EV_WRITE ? IO_WRITE : 0u);
  io->fn(fd, events, io->arg);
}

void io_init(struct io *io, struct loop *loop, int fd, io_fn fn, void *arg) {
  memset(io, 0, sizeof *io);
  io->fn = fn;
  io->arg = arg;
  event_assign(&io->ev, loop->base, fd, EV_PERSIST, io_ready, io);
}

int io_want(struct io *io, unsigned events) {
  if (events == io->want) return 0;
  int fd = event_get_fd(&io->ev);
  if (io->want) event_del(&io->ev);
  io->want = 0;
  if (!events) return 0;
  short what = EV_PERSIST | (events & IO_READ ? EV_READ : 0) | (events & IO_WRITE ? EV_WRITE : 0);
  event_assign(&io->ev, event_get_base(&io->ev), fd, what, io_ready, io);
  if (event_add(&io->ev, NULL)) return errno ? -errno : -EINVAL;
  io->want = events;
  return 0;
}

int io_fd(const struct io *io) {
  return event_get_fd(&io->ev);
}

void io_done(struct io *io) {
  if (io->want) event_del(&io->ev);
  io->want = 0;
}

/* --- timers --- */

static void timer_ready(int fd, short what, void *arg) {
  struct timer *t = arg;
  (void)fd;
  (void)what;
  t->fn(t->arg);
}

void timer_init(struct timer *t, struct loop *loop, loop_fn fn, void *arg) {
  memset(t, 0, sizeof *t);
  t->loop = loop;
  t->fn = fn;
  t->arg = arg;
  event_assign(&t->ev, loop->base, -1, 0, timer_ready, t);
}

void timer_start(struct timer *t, uint64_t after_ms) {
  struct timeval tv = {.tv_sec = (time_t)(after_ms / 1000),
                       .tv_usec = (suseconds_t)(after_ms % 1000 * 1000)};
  event_add(&t->ev, &tv);
}

void timer_stop(struct timer *t) {
  if (t->loop) event_del(&t->ev);
}

bool timer_pending(const struct timer *t) {
  return t->loop && event_pending(&t->ev, EV_TIMEOUT, NULL);
}

void timer_done(struct timer *t) {
  timer_stop(t);
}

/* Not for secrets. */
static uint64_t loop_random(struct loop *loop) {
  loop->rng ^= loop->rng << 13;
  loop->rng ^= loop->rng >> 7;
  loop->rng ^= loop->rng << 17;
  return loop->rng;
}

uint64_t loop_jitter(struct loop *loop, uint64_t base_ms) {
  uint64_t quarter = base_ms / 4;
  return base_ms - quarter + (quarter ? loop_random(loop) % (2 * quarter + 1) : 0);
}

/* --- signals and children --- */

static void signal_ready(int signo, short what, void *arg) {
  struct sig *s = arg;
  (void)what;
  s->fn(signo, s->arg);
}

int loop_on_signal(struct loop *loop, int signo, signal_fn fn, void *arg) {
  struct sig *s = calloc(1, sizeof *s);
  if (!s) return -ENOMEM;
  s->fn = fn;
  s->arg = arg;
  s->ev = evsignal_new(loop->base, signo, signal_ready, s);
  if (!s->ev || event_add(s->ev, NULL)) {
    if (s->ev) event_free(s->ev);
    free(s);
    return -EINVAL;
  }
  s->next = loop->sigs;
  loop->sigs = s;
  return 0;
}

/* As waitpid() would have told it. */
static int wait_status(const siginfo_t *info) {
  if (info->si_code == CLD_EXITED) return (info->si_status & 0xff) << 8;
  return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

static struct child **bucket_of(struct loop *loop, pid_t pid) {
  return &loop->children[(unsigned)pid % CHILD_BUCKETS];
}

static struct child **child_find(struct loop *loop, pid_t pid) {
  struct child **at = bucket_of(loop, pid);
  while (*at && (*at)->pid != pid) at = &(*at)->next;
  return at;
}

/* Calls the callback of a child that has ended. The callback may change every list. The child is
 * reaped after the callback: until then no other process can get its number or its group's number.
 */
static bool child_reap(struct loop *loop, struct child **at) {
  struct child *c = *at;
  siginfo_t info = {0};
  int r = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  if ((r == 0 && !info.si_pid) || (r < 0 && errno == EINTR)) return false;
  /* When somebody else has reaped it, it is not known how it ended: no success, then. */
  int status = r < 0 ? 255 << 8 : wait_status(&info);
  child_fn fn = c->fn;
  void *arg = c->arg;
  pid_t pid = c->pid;
  *at = c->next;
  deferred_cancel(loop, &c->look);
  free(c);
  if (fn) fn(pid, status, arg);
  if (r == 0) (void)waitpid(pid, NULL, WNOHANG);
  return true;
}

static void reap_each(struct loop *loop) {
  loop->swept_ms = loop_now_ms(loop);
  for (size_t i = 0; i < CHILD_BUCKETS; i++)
    for (struct child **at = &loop->children[i]; *at;)
      at = child_reap(loop, at) ? &loop->children[i] : &(*at)->next;
}

/* Only known pids are reaped. A library's own children are not ours. Children that a transport's
 * thread has just made are not known yet. waitid() may show such a child and hide ours that ended
 * after it: then each of our children is asked.
 */
static void reap(int signo, void *arg) {
  struct loop *loop = arg;
  siginfo_t info = {0};
  (void)signo;
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
    struct child **at = child_find(loop, info.si_pid);
    if (!*at || !child_reap(loop, at)) {
      reap_each(loop);
      return;
    }
    info.si_pid = 0;
  }
  if (loop_now_ms(loop) - loop->swept_ms >= SWEEP_MS) reap_each(loop);
}

static void child_look(void *arg) {
  struct child *c = arg;
  struct child **at = bucket_of(c->loop, c->pid);
  while (*at != c) at = &(*at)->next;
  child_reap(c->loop, at);
}

int loop_on_child(struct loop *loop, pid_t pid, child_fn fn, void *arg) {
  struct child *c = calloc(1, sizeof *c), **bucket = bucket_of(loop, pid);
  if (!c) return -ENOMEM;
  *c = (struct child){.next = *bucket, .loop = loop, .pid = pid, .fn = fn, .arg = arg};
  *bucket = c;
  /* It may have ended, and its signal been handled, before it was known here. */
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid)
    loop_defer(loop, &c->look, child_look, c);
  return 0;
}

bool loop_knows_child(struct loop *loop, pid_t pid) {
  return *child_find(loop, pid);
}

void loop_forget_child(struct loop *loop, pid_t pid) {
  for (struct child *c = *bucket_of(loop, pid); c; c = c->next)
    if (c->pid == pid) c->fn = NULL;
}

/* --- other threads --- */

void loop_post(struct loop *loop, loop_fn fn, void *arg) {
  struct posted *p = malloc(sizeof *p);
  if (!p) out_of_memory();
  *p = (struct posted){.fn = fn, .arg = arg};
  pthread_mutex_lock(&loop->post_lock);
  *loop->posted_end = p;
  loop->posted_end = &p->next;
  pthread_mutex_unlock(&loop->post_lock);
  uint64_t one = 1;
  ssize_t n = write(loop->post_fd, &one, sizeof one);
  (void)n; /* EAGAIN: the counter is full, so the loop is awake already */
}

static void posted_ready(int fd, unsigned events, void *arg) {
  struct loop *loop = arg;
  uint64_t count;
  (void)events;
  ssize_t n = read(fd, &count, sizeof count);
  (void)n;
  pthread_mutex_lock(&loop->post_lock);
  struct posted *p = loop->posted;
  loop->posted = NULL;
  loop->posted_end = &loop->posted;
  pthread_mutex_unlock(&loop->post_lock);
  while (p) {
    struct posted *next = p->next;
    p->fn(p->arg);
    free(p);
    p = next;
  }
}

/* --- the loop --- */

struct loop *loop_new(struct log *log) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (!loop) return NULL;
  loop->log = log;
  loop->deferred_end = &loop->deferred;
  loop->posted_end = &loop->posted;
  pthread_mutex_init(&loop->post_lock, NULL);
  loop->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  loop->base = event_base_new();
  if (loop->post_fd < 0 || !loop->base) {
    loop_free(loop);
    return NULL;
  }
  if (getrandom(&loop->rng, sizeof loop->rng, 0) != (ssize_t)sizeof loop->rng)
    loop->rng = clock_ms(CLOCK_REALTIME);
  loop->rng |= 1;
  io_init(&loop->post_io, loop, loop->post_fd, posted_ready, loop);
  if (io_want(&loop->post_io, IO_READ) || loop_on_signal(loop, SIGCHLD, reap, loop)) {
    loop_free(loop);
    return NULL;
  }
  signal(SIGPIPE, SIG_IGN); /* hiredis and the transports write(2) to peers that go away */
  return loop;
}

static void drop_children(struct loop *loop) {
  for (size_t i = 0; i < CHILD_BUCKETS; i++)
    while (loop->children[i]) {
      struct child *c = loop->children[i];
      loop->children[i] = c->next;
      deferred_cancel(loop, &c->look);
      free(c);
    }
}

void loop_free(struct loop *loop) {
  if (!loop) return;
  drop_children(loop); /* first: their callbacks must not run */
  run_deferred(loop);
  free(loop->corpses);
  io_done(&loop->post_io);
  while (loop->sigs) {
    struct sig *s = loop->sigs;
    loop->sigs = s->next;
    event_free(s->ev);
    free(s);
  }
  while (loop->posted) {
    struct posted *p = loop->posted;
    loop->posted = p->next;
    free(p);
  }
  if (loop->base) event_base_free(loop->base);
  if (loop->post_fd >= 0) close(loop->post_fd);
  pthread_mutex_destroy(&loop->post_lock);
  free(loop);
}

static uint64_t clock_ns(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* CPU time costs a system call, time does not. So what ended within a ms of the last look is
 * counted to the turn after it; waiting takes no CPU time. */
static void turn_ended(struct loop *loop) {
  uint64_t now = clock_ns(CLOCK_MONOTONIC);
  if (now - loop->turn_ns < TURN_LOOK_NS) return;
  uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), used = cpu - loop->turn_cpu_ns;
  if (used > loop->turn_max_ns) loop->turn_max_ns = used;
  loop->turn_ns = now;
  loop->turn_cpu_ns = cpu;
}

uint64_t loop_turn_max_us(const struct loop *loop) {
  return loop->turn_max_ns / 1000;
}

static void wake(int fd, short what, void *arg) {
  (void)fd;
  (void)what;
  (void)arg;
}

void loop_turn(struct loop *loop, uint64_t max_wait_ms) {
  struct event ev;
  struct timeval tv = {.tv_sec = (time_t)(max_wait_ms / 1000),
                       .tv_usec = (suseconds_t)(max_wait_ms % 1000 * 1000)};
  event_assign(&ev, loop->base, -1, 0, wake, NULL);
  event_add(&ev, &tv);
  clock_forget(loop); /* the time was read before the wait, so it must not date what comes after */
  event_base_loop(loop->base, EVLOOP_ONCE);
  event_del(&ev);
  run_deferred(loop);
  clock_forget(loop);
}

void loop_run(struct loop *loop) {
  run_deferred(loop);
  clock_forget(loop);
  loop->turn_ns = clock_ns(CLOCK_MONOTONIC);
  loop->turn_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  while (!loop->stop) {
    event_base_loop(loop->base, EVLOOP_ONCE);
    run_deferred(loop);
    clock_forget(loop);
    turn_ended(loop);
  }
}

void loop_stop(struct loop *loop) {
  loop->stop = true;
}
