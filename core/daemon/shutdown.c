/* Owns the order of a stop. Each step waits for the step before it. All steps together take at most
 * drain_timeout. Then the loop is stopped whatever is left: nothing is lost by that. */
#include "daemon/shutdown.h"

#include "acts/act.h"
#include "base/log.h"
#include "config/settings.h"
#include "daemon/notify.h"
#include "daemon/private.h"
#include "dispatch/dispatcher.h"
#include "event/loop.h"
#include "history/history.h"
#include "intake/intake.h"
#include "intake/listener.h"
#include "registry/registry.h"

#include <stdlib.h>

#define LOOK_AGAIN_MS 10
#define FLUSH_MS      5000
#define LEAVE_MS      2000
/* Besides drain_timeout: for a storage that takes outcomes late, or a managed Redis that writes its
 * data. */
#define END_MS 30000

struct shutdown {
  struct broker *b;
  struct timer look;
  uint64_t end_ms; /* monotonic */
  bool drained, leaving;
  size_t left, flushing;
};

static void flush(struct shutdown *s, uint64_t timeout_ms);

static void flushed(void *arg, bool idle) {
  struct shutdown *s = arg;
  if (!idle && !s->leaving)
    log_warning(s->b->view.log, NULL,
                "a storage did not store every outcome in time; the jobs that ran are redelivered "
                "at the next start");
  if (--s->flushing) return;
  if (s->leaving) {
    loop_stop(s->b->view.loop);
    return;
  }
  size_t n;
  struct store *const *stores = registry_stores(s->b->view.registry, &n);
  for (size_t i = 0; i < n; i++) store_leave(stores[i]);
  s->leaving = true;
  flush(s, LEAVE_MS);
}

static void flush(struct shutdown *s, uint64_t timeout_ms) {
  size_t n;
  struct store *const *stores = registry_stores(s->b->view.registry, &n);
  s->flushing = n + 1;
  for (size_t i = 0; i < n; i++) store_flush(stores[i], timeout_ms, flushed, s);
  flushed(s, true); /* also where there is no storage at all */
}

static void look(void *arg) {
  struct shutdown *s = arg;
  bool late = loop_now_ms(s->b->view.loop) >= s->end_ms;
  size_t clients = s->b->view.listener ? listener_clients(s->b->view.listener) : 0;
  /* The dispatcher gives up at about the same moment, and it logs what is left. */
  if (!s->drained || ((clients || intake_pending(s->b->view.intake)) && !late)) {
    timer_start(&s->look, LOOK_AGAIN_MS);
    return;
  }
  if (s->left)
    log_warning(s->b->view.log, NULL,
                "jobs that still run after drain_timeout: %zu; they are redelivered at the next "
                "start",
                s->left);
  history_flush(s->b->view.history);
  flush(s, FLUSH_MS);
}

static void drained(void *arg, size_t left) {
  struct shutdown *s = arg;
  s->drained = true;
  s->left = left;
}

struct shutdown *shutdown_begin(struct broker *b) {
  struct shutdown *s = calloc(1, sizeof *s);
  uint64_t patience = b->view.settings->server.drain_timeout_ms;
  if (!s) {
    loop_stop(b->view.loop);
    return NULL;
  }
  log_info(b->view.log, NULL, "stopping: no new clients or jobs; running jobs have %llu s to end",
           (unsigned long long)patience / 1000);
  /* The service manager's own limit does not know of drain_timeout. */
  notify_tell(b->notify,
              "STOPPING=1\nSTATUS=stopping: running jobs may end\nEXTEND_TIMEOUT_USEC=%llu",
              (unsigned long long)(patience + END_MS) * 1000);
  s->b = b;
  b->view.stopping = true;
  s->end_ms = loop_now_ms(b->view.loop) + patience;
  timer_init(&s->look, b->view.loop, look, s);
  if (b->view.listener) {
    listener_stop(b->view.listener);
    listener_finish(b->view.listener);
  }
  acts_stop(b->view.acts);
  registry_halt(b->view.registry);
  dispatcher_drain(b->view.dispatcher, patience, drained, s);
  timer_start(&s->look, 0);
  return s;
}

void shutdown_now(struct shutdown *s) {
  if (s)
    log_warning(s->b->view.log, NULL,
                "second signal: stopping now; running jobs are redelivered later");
  if (s) loop_stop(s->b->view.loop);
}

void shutdown_free(struct shutdown *s) {
  if (!s) return;
  timer_done(&s->look);
  free(s);
}
