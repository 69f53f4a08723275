/* Owns the thread for passwords, what waits for it, and what it has answered.
 *
 * Must never happen: a password in memory after its check; a queue that grows with the number of
 * guesses; an answer that comes sooner because there is no such user.
 */
#include "accounts/passwords.h"

#include "base/out_of_memory.h"
#include "base/secret.h"
#include "event/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The hash of a password that nobody knows, made by secret_hash_user(). */
#define NOBODY "$y$j9T$qSF/Pt9dP1nT6DdcAAWoT/$q/IEeovd0UCDIq5gxle.r2P6W/a0PH/DMDAlkZun0D2"

struct work {
  struct work *next;
  int (*run)(void *arg);
  void (*done)(void *arg, int rc);
  void *arg;
  int rc;
};

struct work_list {
  struct work *first, **end;
};

struct passwords {
  struct loop *loop;
  pthread_t thread;
  bool threaded;
  size_t waiting; /* not done yet; the loop's */
  atomic_bool stopping;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t more;
  struct work_list todo, finished;
  bool posted; /* the loop will look at `finished` */
};

/* --- lists --- */

static void list_init(struct work_list *l) {
  l->first = NULL;
  l->end = &l->first;
}

static void list_add(struct work_list *l, struct work *w) {
  w->next = NULL;
  *l->end = w;
  l->end = &w->next;
}

static struct work *list_take(struct work_list *l) {
  struct work *w = l->first;
  if (!w) return NULL;
  l->first = w->next;
  if (!l->first) l->end = &l->first;
  return w;
}

/* --- the loop's side --- */

static struct work *finished_take(struct passwords *p) {
  pthread_mutex_lock(&p->lock);
  struct work *w = list_take(&p->finished);
  if (!w) p->posted = false;
  pthread_mutex_unlock(&p->lock);
  return w;
}

static void work_end(struct passwords *p, struct work *w, int rc) {
  p->waiting--;
  w->done(w->arg, rc);
  free(w);
}

static void on_finished(void *arg) {
  struct passwords *p = arg;
  struct work *w;
  while ((w = finished_take(p))) work_end(p, w, w->rc);
}

/* --- the thread's side --- */

static struct work *todo_take(struct passwords *p) {
  pthread_mutex_lock(&p->lock);
  while (!p->todo.first && !atomic_load(&p->stopping)) pthread_cond_wait(&p->more, &p->lock);
  struct work *w = atomic_load(&p->stopping) ? NULL : list_take(&p->todo);
  pthread_mutex_unlock(&p->lock);
  return w;
}

static void *thread_run(void *arg) {
  struct passwords *p = arg;
  struct work *w;
  while ((w = todo_take(p))) {
    w->rc = w->run(w->arg);
    pthread_mutex_lock(&p->lock);
    list_add(&p->finished, w);
    bool post = !p->posted;
    p->posted = true;
    pthread_mutex_unlock(&p->lock);
    if (post) loop_post(p->loop, on_finished, p);
  }
  return NULL;
}

static int thread_start(struct passwords *p) {
  sigset_t all, before;
  if (p->threaded) return 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  int rc = pthread_create(&p->thread, NULL, thread_run, p);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  p->threaded = !rc;
  return -rc;
}

/* --- life --- */

struct passwords *passwords_new(struct loop *loop) {
  struct passwords *p = calloc(1, sizeof *p);
  if (!p) out_of_memory();
  p->loop = loop;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->more, NULL);
  list_init(&p->todo);
  list_init(&p->finished);
  return p;
}

void passwords_free(struct passwords *p) {
  struct work *w;
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->stopping, true);
  pthread_cond_signal(&p->more);
  pthread_mutex_unlock(&p->lock);
  if (p->threaded) pthread_join(p->thread, NULL);
  while ((w = list_take(&p->finished)) || (w = list_take(&p->todo))) work_end(p, w, -ECANCELED);
  pthread_cond_destroy(&p->more);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

bool passwords_stopping(const struct passwords *p) {
  return atomic_load(&p->stopping);
}

int passwords_run(struct passwords *p, int (*work)(void *arg), void (*done)(void *arg, int rc),
                  void *arg) {
  if (p->waiting >= PASSWORDS_WAITING) return -EBUSY;
  int rc = thread_start(p);
  if (rc) return rc;
  struct work *w = malloc(sizeof *w);
  if (!w) out_of_memory();
  *w = (struct work){.run = work, .done = done, .arg = arg};
  p->waiting++;
  pthread_mutex_lock(&p->lock);
  list_add(&p->todo, w);
  pthread_cond_signal(&p->more);
  pthread_mutex_unlock(&p->lock);
  return 0;
}

/* --- checks and hashes --- */

struct check {
  password_fn fn;
  void *arg;
  char *stored, *given; /* stored NULL: no such user */
  char hash[PASSWORD_HASH_MAX];
};

static void text_wipe(char *text) {
  if (text) explicit_bzero(text, strlen(text));
  free(text);
}

static void check_free(struct check *c) {
  text_wipe(c->stored);
  text_wipe(c->given);
  explicit_bzero(c, sizeof *c);
  free(c);
}

static void check_done(void *arg, int rc) {
  struct check *c = arg;
  c->fn(c->arg, rc, c->hash);
  check_free(c);
}

/* A password that does not stand there as yescrypt costs one yescrypt as well, so that the time
 * tells neither who exists nor in which form a password is kept. */
static int check_run(void *arg) {
  struct check *c = arg;
  size_t len = strlen(c->given);
  bool cheap = !c->stored || strncmp(c->stored, "$y$", 3) != 0;
  if (cheap) (void)secret_matches(NOBODY, c->given, len);
  return c->stored && len && secret_matches(c->stored, c->given, len) ? 0 : -EACCES;
}

static int hash_run(void *arg) {
  struct check *c = arg;
  return secret_hash_user(c->given, strlen(c->given), c->hash, sizeof c->hash);
}

static int check_start(struct passwords *p, int (*run)(void *arg), const char *stored,
                       const char *given, password_fn fn, void *arg) {
  struct check *c = calloc(1, sizeof *c);
  if (!c) out_of_memory();
  c->fn = fn;
  c->arg = arg;
  c->given = strdup(given);
  c->stored = stored ? strdup(stored) : NULL;
  if (!c->given || (stored && !c->stored)) out_of_memory();
  int rc = passwords_run(p, run, check_done, c);
  if (rc) check_free(c);
  return rc;
}

int passwords_check(struct passwords *p, const char *stored, const char *given, password_fn fn,
                    void *arg) {
  return check_start(p, check_run, stored, given, fn, arg);
}

int passwords_hash(struct passwords *p, const char *password, password_fn fn, void *arg) {
  return check_start(p, hash_run, NULL, password, fn, arg);
}
