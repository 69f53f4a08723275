/* Owns the questions for jobs that ran before, page after page. */
#include "dispatch/takeover.h"

#include "base/log.h"
#include "dispatch/fetch.h"
#include "dispatch/private.h"
#include "dispatch/ready.h"
#include "dispatch/topic.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 256

static bool may_ask(const struct topic *t) {
  return t->fetch.attached && !t->draining && t->set->enabled && t->set->here;
}

static void on_recovered(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                         const char *why) {
  struct topic *t = arg;
  if (rc) {
    topic_doubt(t);
    if (t->store) topic_again_after(t, STORE_AGAIN_MS);
    if (rc == STORE_ERROR)
      store_log_refusal(t->store_entry->store, t->set->path,
                        "cannot take over the jobs of this node's earlier run; trying again", why);
  }
  if (jobs->n) {
    t->counters.recovered += jobs->n;
    log_info(loop_log(t->loop), t->set->path, "took over %zu job%s that ran before", jobs->n,
             jobs->n == 1 ? "" : "s");
  }
  fetch_arrived(t, jobs);
  if (!rc && more && t->fetch.attached) {
    topic_call_began(t);
    store_recover(t->store, NULL, fetch_page(t, PAGE_MAX), on_recovered, t);
  }
  topic_touch(t);
  topic_call_ended(t);
}

void takeover_ask(struct topic *t) {
  if (!t->doubt || !may_ask(t)) return;
  t->doubt = false;
  topic_call_began(t);
  store_recover(t->store, NULL, fetch_page(t, PAGE_MAX), on_recovered, t);
}

/* --- a dead node's --- */

struct takeover {
  struct topic *t;
  char node[];
};

static void on_taken_over(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                          const char *why) {
  struct takeover *o = arg;
  struct topic *t = o->t;
  (void)why;
  if (!rc && jobs->n) {
    t->counters.recovered += jobs->n;
    log_warning(loop_log(t->loop), t->set->path, "took over %zu job%s of node %s, which died",
                jobs->n, jobs->n == 1 ? "" : "s", o->node);
  }
  fetch_arrived(t, jobs);
  if (!rc && more && t->fetch.attached && !t->draining) {
    topic_call_began(t);
    store_recover(t->store, o->node, fetch_page(t, PAGE_MAX), on_taken_over, o);
  } else {
    free(o);
  }
  topic_touch(t);
  topic_call_ended(t);
}

void takeover_of(struct topic *t, const char *node) {
  if (!may_ask(t)) return;
  struct takeover *o = malloc(sizeof *o + strlen(node) + 1);
  if (!o) return; /* the next sweep reports it again */
  o->t = t;
  strcpy(o->node, node);
  topic_call_began(t);
  store_recover(t->store, node, fetch_page(t, PAGE_MAX), on_taken_over, o);
}
