/* Owns the thread that calls posix_spawn(), and the orders on their way to it and back.
 *
 * An order goes from the queue to the thread and comes back on the list `done`, of which an eventfd
 * tells the loop. (Not post(): what it was given cannot be taken back when the plugin is unloaded.)
 * The thread touches an order only between the two, and nothing of the host's ever.
 *
 * It lives until spawner_free(), when no process of ours is left to be missed: the signal that
 * pull workers asked for (PR_SET_PDEATHSIG) comes at the end of the thread that made them.
 */
#include "spawner.h"

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_MAX 64 /* orders that wait: some 25 ms of starts */

enum start_state {
  START_QUEUED, /* leaves by the thread, or by start_cancel(), which frees it */
  START_BEGUN   /* the thread's, then on the list `done`; leaves by its callback */
};

struct start {
  struct start *next;
  struct spawner *spawner;
  enum start_state state; /* under the lock */
  struct launch *launch;  /* one of our references */
  char **env;
  int input; /* one of our descriptors, or START_* */
  struct started result;
  start_fn fn; /* the loop's; NULL: dropped */
  void *arg;
};

struct starts {
  struct start *first, **end;
};

struct spawner {
  const struct pb_host *h;
  struct pb_owner *o;
  int done_fd; /* eventfd: `done` is not empty; -1: the thread has not been needed yet */
  pthread_t thread;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wanted;
  struct starts queue, done;
  size_t queue_n;
  bool over;
};

static void starts_init(struct starts *l) {
  l->first = NULL;
  l->end = &l->first;
}

static void starts_add(struct starts *l, struct start *st) {
  st->next = NULL;
  *l->end = st;
  l->end = &st->next;
}

static struct start *starts_take(struct starts *l) {
  struct start *st = l->first;

  if (!st) return NULL;
  l->first = st->next;
  if (!l->first) l->end = &l->first;
  return st;
}

static void starts_remove(struct starts *l, struct start *st) {
  struct start **at = &l->first;

  while (*at != st) at = &(*at)->next;
  *at = st->next;
  if (!*at) l->end = at;
}

static void start_free(struct start *st) {
  if (st->input >= 0) close(st->input);
  launch_unref(st->launch);
  free(st->env);
  free(st);
}

/* --- on the thread --- */

static int open_input(struct start *st, int *ret_theirs) {
  int in[2], rc;

  *ret_theirs = -1;
  if (st->input == START_PIPE) {
    rc = child_pipe(in, 1);
    if (rc < 0) return rc;
    st->result.in = in[1];
    *ret_theirs = in[0];
    return 0;
  }
  *ret_theirs = st->input == START_NULL ? open("/dev/null", O_RDONLY | O_CLOEXEC) : st->input;
  st->input = START_NULL;
  return *ret_theirs < 0 ? -errno : 0;
}

static void start_run(struct start *st) {
  struct started *s = &st->result;
  int out[2] = {-1, -1}, err[2] = {-1, -1}, input;

  *s = (struct started){.in = -1, .out = -1, .err = -1};
  s->rc = open_input(st, &input);
  if (s->rc == 0) s->rc = child_pipe(out, 0);
  if (s->rc == 0) s->rc = child_pipe(err, 0);
  if (s->rc == 0)
    s->rc = launch_run(st->launch, st->env, (const int[3]){input, out[1], err[1]}, &s->pid);
  child_close(&input);
  child_close(&out[1]);
  child_close(&err[1]);
  s->out = out[0];
  s->err = err[0];
  if (s->rc == 0) return;
  child_close(&s->in);
  child_close(&s->out);
  child_close(&s->err);
}

static void *spawner_main(void *arg) {
  struct spawner *s = arg;
  uint64_t one = 1;
  struct start *st;
  bool tell;
  ssize_t n;

  pthread_mutex_lock(&s->lock);
  while (!s->over) {
    st = starts_take(&s->queue);
    if (!st) {
      pthread_cond_wait(&s->wanted, &s->lock);
      continue;
    }
    s->queue_n--;
    st->state = START_BEGUN;
    pthread_mutex_unlock(&s->lock);
    start_run(st);
    pthread_mutex_lock(&s->lock);
    tell = !s->done.first;
    starts_add(&s->done, st);
    if (!tell) continue; /* the loop knows already, and has not looked yet */
    n = write(s->done_fd, &one, sizeof one);
    (void)n; /* it cannot be full: each is read before the list is emptied */
  }
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* --- on the loop --- */

static void nobody_waits(pid_t pid, int wait_status, void *arg) {
  (void)pid, (void)wait_status, (void)arg;
}

/* Its caller has gone, and it was made all the same. */
static void start_bury(struct start *st) {
  struct spawner *s = st->spawner;
  pid_t pid = st->result.pid;

  if (st->result.rc < 0) return;
  child_close(&st->result.in);
  child_close(&st->result.out);
  child_close(&st->result.err);
  child_kill(pid, SIGKILL);
  if (s->h->child_watch(s->o, pid, nobody_waits, NULL) == 0) s->h->child_unwatch(s->o, pid);
}

static void start_over(struct start *st) {
  if (st->fn)
    st->fn(st->arg, &st->result);
  else
    start_bury(st);
  start_free(st);
}

static void on_done(int fd, unsigned events, void *arg) {
  struct spawner *s = arg;
  struct starts done;
  struct start *st;
  uint64_t count;
  ssize_t n;

  (void)events;
  n = read(fd, &count, sizeof count);
  (void)n;
  pthread_mutex_lock(&s->lock);
  done = s->done;
  if (!done.first) done.end = &done.first;
  starts_init(&s->done);
  pthread_mutex_unlock(&s->lock);
  while ((st = starts_take(&done)) != NULL) start_over(st);
}

/* The thread blocks all signals. The processes that it starts unblock them. */
static int spawner_begin(struct spawner *s) {
  sigset_t all, before;
  int rc;

  s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (s->done_fd < 0) return -errno;
  rc = s->h->io_set(s->o, s->done_fd, PB_IO_READ, on_done, s);
  if (rc == 0) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = -pthread_create(&s->thread, NULL, spawner_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc < 0) s->h->io_del(s->o, s->done_fd);
  }
  if (rc == 0) return 0;
  child_close(&s->done_fd);
  return rc;
}

struct spawner *spawner_new(const struct pb_host *h, struct pb_owner *o) {
  struct spawner *s = calloc(1, sizeof *s);

  if (!s) return NULL;
  s->h = h;
  s->o = o;
  s->done_fd = -1;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->wanted, NULL);
  starts_init(&s->queue);
  starts_init(&s->done);
  return s;
}

void spawner_free(struct spawner *s) {
  struct start *st;

  if (!s) return;
  if (s->done_fd >= 0) {
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_cond_signal(&s->wanted);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->h->io_del(s->o, s->done_fd);
    child_close(&s->done_fd);
    while ((st = starts_take(&s->done)) != NULL) start_over(st); /* dropped, all of them */
  }
  pthread_cond_destroy(&s->wanted);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

int spawner_start(struct spawner *s, struct launch *l, const char *const extra[], int input,
                  start_fn fn, void *arg, struct start **ret) {
  struct start *st = calloc(1, sizeof *st);
  int rc = s->done_fd < 0 ? spawner_begin(s) : 0;

  if (st) st->env = launch_env(l, extra);
  if (rc == 0 && (!st || !st->env)) rc = -ENOMEM;
  if (rc < 0) {
    if (input >= 0) close(input);
    if (st) free(st->env);
    free(st);
    return rc;
  }
  st->spawner = s;
  st->launch = launch_ref(l);
  st->input = input;
  st->fn = fn;
  st->arg = arg;
  pthread_mutex_lock(&s->lock);
  starts_add(&s->queue, st);
  s->queue_n++;
  pthread_mutex_unlock(&s->lock);
  pthread_cond_signal(&s->wanted);
  *ret = st;
  return 0;
}

bool spawner_full(struct spawner *s) {
  bool full;

  pthread_mutex_lock(&s->lock);
  full = s->queue_n >= QUEUE_MAX;
  pthread_mutex_unlock(&s->lock);
  return full;
}

bool start_cancel(struct start *st) {
  struct spawner *s = st->spawner;
  bool queued;

  pthread_mutex_lock(&s->lock);
  queued = st->state == START_QUEUED;
  if (queued) {
    starts_remove(&s->queue, st);
    s->queue_n--;
  }
  pthread_mutex_unlock(&s->lock);
  if (queued) start_free(st);
  return queued;
}

void start_drop(struct start *st) {
  if (!start_cancel(st)) st->fn = NULL;
}
