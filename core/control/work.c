/* Owns the thread that reads and prints the large texts that somebody asks for: 10,000 topics take
 * 50 ms.
 *
 * Must never happen: two of them at once, so that who asks often takes all cores.
 */
#include "control/work.h"

#include "base/out_of_memory.h"
#include "control/private.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define WAITING_MAX 32

struct work {
  struct work *next;
  struct control *c;
  void (*run)(void *arg);
  void (*done)(void *arg, bool ran);
  void *arg;
  pthread_t thread;
  bool threaded;
};

static void on_done(void *arg);

static void *work_run(void *arg) {
  struct work *w = arg;
  w->run(w->arg);
  loop_post(w->c->loop, on_done, w);
  return NULL;
}

static void work_begin(struct work *w) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  w->threaded = !pthread_create(&w->thread, NULL, work_run, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!w->threaded) work_run(w);
}

static void work_join(struct work *w) {
  if (w->threaded) pthread_join(w->thread, NULL);
  w->threaded = false;
}

static struct work *work_take(struct control *c) {
  struct work *w = c->works.first;
  c->works.first = w->next;
  if (!w->next) c->works.end = &c->works.first;
  c->works.n--;
  return w;
}

static void on_done(void *arg) {
  struct work *w = arg;
  struct control *c = w->c;
  work_join(w);
  work_take(c);
  if (c->works.first) work_begin(c->works.first);
  w->done(w->arg, true);
  free(w);
}

bool control_work(struct control *c, void (*run)(void *arg), void (*done)(void *arg, bool ran),
                  void *arg) {
  if (c->works.n >= WAITING_MAX || c->stopped) return false;
  struct work *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  *w = (struct work){.c = c, .run = run, .done = done, .arg = arg};
  *c->works.end = w;
  c->works.end = &w->next;
  if (!c->works.n++) work_begin(w);
  return true;
}

void works_init(struct control *c) {
  c->works = (struct works){.end = &c->works.first};
}

void works_free(struct control *c) {
  while (c->works.first) {
    struct work *w = work_take(c);
    bool ran = w->threaded;
    work_join(w);
    w->done(w->arg, ran);
    free(w);
  }
}
