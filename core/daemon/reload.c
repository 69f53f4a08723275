/* Owns the way from a changed file to the snapshot that runs.
 *
 * Must never happen: two reloads at a time; a reload that applies half of a file; a reload that
 * ends without an answer.
 */
#include "daemon/reload.h"

#include "accounts/accounts.h"

#include "admin/admin.h"
#include "alerts/alerts.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/control.h"
#include "control/text.h"
#include "daemon/descriptors.h"
#include "daemon/private.h"
#include "event/loop.h"
#include "history/history.h"
#include "intake/listener.h"
#include "registry/registry.h"
#include "transport/plugin_loader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ERRANDS_US     2000 /* of a turn of the loop, for calls into plugins */
#define ERRAND_WAIT_US 200  /* for the next one: the thread has little to do between two */

struct waiter { /* a caller that asked for a reload */
  struct waiter *next;
  reload_fn fn;
  void *arg;
  struct control_text *text; /* with this shared text; NULL: with the one that runs */
  bool check;                /* nothing is to be changed */
};

/* What the thread has the loop do, for plugins are called on the loop's thread alone. */
struct errands {
  pthread_mutex_t lock;
  pthread_cond_t asked, done;
  void (*fn)(void *arg); /* asked for, not begun */
  void *arg;
  bool finished;
  bool served; /* errands_serve() is posted, or at it */
  bool closed; /* the loop has ended: nothing is done any more */
};

struct reload {
  struct broker *b;
  struct errands errands;
  struct waiter *waiters;    /* for the reload that runs: all ask for the same */
  struct waiter *later;      /* asked since: the file may have changed after it was read */
  struct control_text *text; /* of the reload that runs; NULL: there is none */
  bool runs, threaded;
  pthread_t thread;
  struct settings_types types;
  struct settings *loaded, *from;
  int rc;
  FILE *errors;
  char *lines, *notes, *changes;
  size_t len;
};

static void reload_begin(struct reload *r);

static void waiters_tell(struct waiter *list, int rc, const char *text) {
  while (list) {
    struct waiter *w = list;
    list = w->next;
    w->fn(w->arg, rc, text);
    control_text_unref(w->text);
    free(w);
  }
}

static void reload_end(struct reload *r, int rc) {
  struct waiter *list = r->waiters;
  fclose(r->errors);
  char *lines = r->lines;
  r->errors = NULL;
  r->lines = NULL;
  settings_unref(r->from);
  r->from = NULL;
  free(r->notes);
  free(r->changes);
  r->notes = r->changes = NULL;
  control_text_unref(r->text);
  r->text = NULL;
  r->waiters = NULL;
  r->runs = false;
  waiters_tell(list, rc, lines ? lines : "");
  free(lines);
  if (r->later && !r->runs) reload_begin(r);
}

/* Whose jobs stay where they are. */
static void stays_tell(const struct settings *from, const struct settings *to, FILE *out) {
  for (size_t i = 0; i < from->n_topics; i++) {
    const struct topic_settings *was = from->topics[i];
    const struct topic_settings *is = settings_topic(to, was->path, strlen(was->path));
    if (!was->storage || (is && !is->storage)) continue;
    if (is && strcmp(is->storage->name, was->storage->name))
      fprintf(out,
              "warning: %s uses storage %s now; its jobs in storage %s stay there until "
              "`pepperbusctl topic move %s` (topic stray %s shows how many)\n",
              was->path, is->storage->name, was->storage->name, was->path, was->queue->name);
    else if (!is)
      fprintf(out,
              "warning: %s is not configured any more; its jobs stay in storage %s until topic "
              "rename or "
              "topic drop (topic stray %s shows how many)\n",
              was->path, was->storage->name, was->queue->name);
  }
}

/* Also on the thread: prepares the text about the changes, in case they are applied. */
static void compare(struct reload *r) {
  const struct settings *from = r->from;
  struct settings *to = r->loaded;
  size_t len;
  FILE *notes = open_memstream(&r->notes, &len);
  if (!notes) return;
  if (strcmp(from->server.plugin_dir, to->server.plugin_dir) ||
      strcmp(from->server.state_dir, to->server.state_dir) ||
      strcmp(from->server.node, to->server.node))
    fputs("warning: [server] node, state_dir and plugin_dir take effect at the next start\n",
          notes);
  settings_keep_start(to, from);
  stays_tell(from, to, notes);
  fclose(notes);
  FILE *changes = open_memstream(&r->changes, &len);
  if (!changes) return;
  settings_changes(from, to, changes);
  fclose(changes);
}

static void changes_tell(struct reload *r) {
  struct broker *b = r->b;
  free(b->view.changes);
  b->view.changes = r->changes;
  r->changes = NULL;
  for (const char *p = b->view.changes; p && *p;) {
    size_t n = strcspn(p, "\n");
    log_info(b->view.log, NULL, "configuration: %.*s", (int)(n > 900 ? 900 : n), p);
    p += n + (p[n] == '\n');
  }
}

static void on_applied(void *arg) {
  struct reload *r = arg;
  if (r->b->admin) admin_apply(r->b->admin);
  control_apply(r->b->view.control, r->b->view.settings);
  reload_end(r, 0);
}

static void apply(struct reload *r) {
  struct broker *b = r->b;
  struct settings *to = r->loaded;
  struct pb_err err = {.text = ""};
  r->loaded = NULL;
  /* First of all: pull workers get these addresses, and connect to them with their passwords. */
  int rc = listener_apply(b->view.listener, &to->server, &err);
  if (rc) {
    fprintf(r->errors, "%s\n", err.text);
    settings_unref(to);
    reload_end(r, rc);
    return;
  }
  if (r->notes) fputs(r->notes, r->errors);
  changes_tell(r);
  settings_unref(b->view.settings);
  b->view.settings = to;
  accounts_apply(b->view.accounts, to);
  alerts_apply(b->view.alerts, to);
  descriptors_share(b);
  log_configure(b->view.log, (enum pb_log_level)to->server.log_level, to->server.log_format);
  history_hurry(b->view.history);
  registry_apply_slowly(b->view.registry, to, on_applied, r);
}

static void thread_join(struct reload *r) {
  if (r->threaded) pthread_join(r->thread, NULL);
  r->threaded = false;
}

static void on_loaded(void *arg) {
  struct reload *r = arg;
  thread_join(r);
  if (r->rc) {
    reload_end(r, r->rc);
  } else if (r->b->view.stopping) {
    settings_unref(r->loaded);
    r->loaded = NULL;
    fputs("the broker is stopping; nothing was changed\n", r->errors);
    reload_end(r, -ESHUTDOWN);
  } else if (r->waiters && r->waiters->check) {
    settings_unref(r->loaded);
    r->loaded = NULL;
    reload_end(r, 0);
  } else {
    apply(r);
  }
}

/* --- errands --- */

/* On the loop. It stays for the next one while they come at once. */
static void errands_serve(void *arg) {
  struct reload *r = arg;
  struct errands *e = &r->errands;
  uint64_t end_us = loop_clock_us() + ERRANDS_US;
  pthread_mutex_lock(&e->lock);
  for (;;) {
    if (e->fn) {
      void (*fn)(void *) = e->fn;
      e->fn = NULL;
      pthread_mutex_unlock(&e->lock);
      fn(e->arg);
      pthread_mutex_lock(&e->lock);
      e->finished = true;
      pthread_cond_signal(&e->done);
    }
    if (loop_clock_us() >= end_us) break;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ERRAND_WAIT_US * 1000L;
    if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
    if (!e->fn && pthread_cond_timedwait(&e->asked, &e->lock, &until)) break;
  }
  e->served = e->fn != NULL;
  pthread_mutex_unlock(&e->lock);
  if (e->served) loop_post(r->b->view.loop, errands_serve, r);
}

/* On the thread. */
static void errand_call(void *arg, void (*fn)(void *arg), void *fn_arg) {
  struct reload *r = arg;
  struct errands *e = &r->errands;
  bool post;
  pthread_mutex_lock(&e->lock);
  e->fn = fn;
  e->arg = fn_arg;
  e->finished = false;
  post = !e->served && !e->closed;
  e->served = true;
  pthread_cond_signal(&e->asked);
  pthread_mutex_unlock(&e->lock);
  if (post) loop_post(r->b->view.loop, errands_serve, r);
  pthread_mutex_lock(&e->lock);
  while (!e->finished && !e->closed) pthread_cond_wait(&e->done, &e->lock);
  e->fn = NULL;
  pthread_mutex_unlock(&e->lock);
}

/* The loop is over: a thread that waits for it goes on. */
static void errands_close(struct errands *e) {
  pthread_mutex_lock(&e->lock);
  e->closed = true;
  pthread_cond_signal(&e->done);
  pthread_mutex_unlock(&e->lock);
}

/* --- reading --- */

/* Runs on the thread. It touches only two things of the loop, and both do not change: the types,
 * and the snapshot that runs. */
static void *load(void *arg) {
  struct reload *r = arg;
  r->rc = settings_load(r->b->view.config_file, &r->types, r->errors, &r->loaded);
  if (!r->rc) compare(r);
  loop_post(r->b->view.loop, on_loaded, r);
  return NULL;
}

/* The first that wait, as far as they ask for the same. */
static void waiters_take(struct reload *r) {
  struct waiter **end = &r->waiters;
  while (r->later) {
    struct waiter *w = r->later;
    const struct waiter *first = r->waiters;
    if (first && (w->text != first->text || w->check || first->check)) break;
    r->later = w->next;
    w->next = NULL;
    *end = w;
    end = &w->next;
  }
}

static void reload_begin(struct reload *r) {
  sigset_t all, before;
  waiters_take(r);
  r->runs = true;
  r->errors = open_memstream(&r->lines, &r->len);
  if (!r->errors) out_of_memory();
  r->types = *plugins_types(r->b->view.plugins);
  r->types.drained = control_is_drained(r->b->view.control);
  r->types.call = errand_call;
  r->types.call_arg = r;
  r->text = control_text_ref(r->waiters && r->waiters->text ? r->waiters->text
                                                            : control_running(r->b->view.control));
  r->types.shared = r->text ? &r->text->shared : NULL;
  r->from = settings_ref(r->b->view.settings);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  int rc = pthread_create(&r->thread, NULL, load, r);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  r->threaded = !rc;
  if (rc) { /* then here */
    r->types.call = NULL;
    load(r);
  }
}

static void ask(struct reload *r, struct control_text *text, bool check, reload_fn fn, void *arg) {
  struct waiter *w = r->b->view.stopping ? NULL : malloc(sizeof *w);
  if (!w) {
    fn(arg, -ESHUTDOWN, "the broker is stopping; nothing was changed\n");
    return;
  }
  struct waiter **at = &r->later;
  while (*at) at = &(*at)->next;
  *w = (struct waiter){.fn = fn, .arg = arg, .text = control_text_ref(text), .check = check};
  *at = w;
  if (!r->runs) reload_begin(r);
}

void reload_ask(void *reload, reload_fn fn, void *arg) {
  ask(reload, NULL, false, fn, arg);
}

void reload_run(struct reload *r, struct control_text *text, reload_fn fn, void *arg) {
  ask(r, text, false, fn, arg);
}

void reload_check(struct reload *r, struct control_text *text, reload_fn fn, void *arg) {
  ask(r, text, true, fn, arg);
}

struct reload *reload_new(struct broker *b) {
  struct reload *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->b = b;
  pthread_mutex_init(&r->errands.lock, NULL);
  pthread_cond_init(&r->errands.asked, NULL);
  pthread_cond_init(&r->errands.done, NULL);
  return r;
}

void reload_free(struct reload *r) {
  if (!r) return;
  errands_close(&r->errands);
  thread_join(r);
  pthread_mutex_destroy(&r->errands.lock);
  pthread_cond_destroy(&r->errands.asked);
  pthread_cond_destroy(&r->errands.done);
  settings_unref(r->loaded);
  settings_unref(r->from);
  waiters_tell(r->waiters, -ESHUTDOWN, "the broker stopped meanwhile\n");
  waiters_tell(r->later, -ESHUTDOWN, "the broker stopped meanwhile\n");
  if (r->errors) fclose(r->errors);
  control_text_unref(r->text);
  free(r->lines);
  free(r->notes);
  free(r->changes);
  free(r);
}
