/* Owns the topics' turns: topic_turn() reads the facts that the other files have noted, and acts.
 * Also owns how topics come, change and go, and the drain before a stop.
 */
#include "dispatch/dispatcher.h"

#include "base/log.h"
#include "dispatch/delayed.h"
#include "dispatch/fetch.h"
#include "dispatch/outcome.h"
#include "dispatch/private.h"
#include "dispatch/ready.h"
#include "dispatch/request.h"
#include "dispatch/takeover.h"
#include "dispatch/topic_state.h"
#include "dispatch/worker_ping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_MARGIN_MS 5000
#define DRAIN_SLICE     200 /* topics that begin to drain in one turn */

/* --- a topic's turn --- */

/* A second after the storage answered an error while its connection stayed up. */
static void turn_again(struct topic *t) {
  t->again.due = false;
  fetch_rested(t);
  if (t->draining || !t->set->enabled || !t->store || t->fetch.attached) return;
  if (store_state(t->store_entry->store) == STORE_READY) fetch_attach(t);
  /* not READY: that state attaches */
}

static void turn_state(struct topic *t) {
  bool changed = topic_state_update(t);
  if (changed && t->state == TOPIC_OPEN) fetch_forget(t);
  if (changed && t->state != TOPIC_OPEN) {
    pool_leave(t->pool, t);
    pool_wake(t->pool);
  }
  worker_ping_by_state(t, changed);
  ready_by_state(t);
}

static void maybe_gone(struct topic *t);
static void maybe_drained(struct dispatcher *d);

static void topic_turn(void *arg) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  deferred_cancel(d->loop, &t->touched);
  if (t->again.due) turn_again(t);
  turn_state(t);
  if (t->doubt && !timer_pending(&t->again.timer)) takeover_ask(t);
  if (t->fetch.delayed_ms) delayed_at(t->queue, d->loop, t->fetch.delayed_ms);
  t->fetch.delayed_ms = 0;
  if (t->ping.due) request_ping(t);
  request_serve(t);
  if (t->touched.prev) return; /* a ping was refused: what follows from that comes first */
  if (request_may_start(t)) {
    request_start_jobs(t);
    fetch_more(t);
  }
  if (t->draining) maybe_gone(t);
  if (d->draining) maybe_drained(d);
}

/* --- topics come, change and go --- */

static void on_ready(void *arg) {
  struct topic *t = arg;
  t->requests.full = false;
  request_room(t);
  topic_touch(t);
}

static void instance_start(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  struct pb_err err = {.text = ""};
  worker_ping_forget(t);
  t->requests.full = false;
  request_room(t);
  if (!t->set->enabled || !t->set->here || t->set->pulled) return;
  if (t->set->broken)
    snprintf(err.text, sizeof err.text, "%s", t->set->broken);
  else if (!t->set->transport)
    snprintf(err.text, sizeof err.text, "no plugin provides run_type %s", t->set->run_type);
  else
    t->inst = instance_open(d->transports, t->snapshot, t->set, on_ready, t, &err);
  if (t->inst) return;
  snprintf(t->broken, sizeof t->broken, "%.380s", err.text);
  log_error(loop_log(d->loop), t->set->path, "cannot run: %s; its jobs are kept", err.text);
}

static void instance_stop(struct topic *t) {
  if (t->inst) instance_close(t->inst, t->set->timeout_ms + CLOSE_MARGIN_MS);
  t->inst = NULL;
}

void dispatcher_add_topic(struct dispatcher *d, struct topic *t) {
  t->dispatcher = d;
  topic_begin(t, d->loop, topic_turn);
  topic_doubt(t);
  worker_ping_begin(t);
  ready_begin(t);
  fetch_begin(t);
  request_begin(t);
  pool_join(&d->pools, t);
  t->all_next = d->topics;
  t->all_prev = &d->topics;
  if (t->all_next) t->all_next->all_prev = &t->all_next;
  d->topics = t;
  instance_start(t);
  topic_turn(t);
}

/* Its timers end, and it has no turns any more. */
static void topic_rest(struct topic *t) {
  topic_end(t);
  worker_ping_end(t);
  ready_end(t);
  fetch_end(t);
  request_end(t);
  tally_free(t->tally);
  failures_free(t->failures);
  t->failures = NULL;
  t->tally = NULL;
}

/* Is the worker called in the same way, and told the same of the topic? */
static bool same_worker(const struct topic_settings *a, const struct topic_settings *b) {
  if (a->workers != b->workers || a->chunk != b->chunk || a->timeout_ms != b->timeout_ms)
    return false;
  if (!a->broken != !b->broken || (a->broken && strcmp(a->broken, b->broken))) return false;
  if (a->transport != b->transport || a->enabled != b->enabled || a->here != b->here) return false;
  if (!a->pool != !b->pool || (a->pool && !settings_pool_equal(a->pool, b->pool))) return false;
  return settings_worker_equal(a, b);
}

void dispatcher_update_topic(struct dispatcher *d, struct topic *t,
                             const struct topic_settings *was) {
  (void)d;
  if (t->state == TOPIC_BROKEN || !same_worker(was, t->set)) {
    request_refuse(t, "the topic's configuration changed; try again");
    instance_stop(t);
    pool_change(t);
    instance_start(t);
    if (t->set->enabled && !t->fetch.attached) fetch_attach(t);
  }
  topic_turn(t);
}

/* Nothing of it runs, and no answer is to come. */
static void maybe_gone(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  if (!t->gone || t->requests.all || t->calls) return;
  ready_give_back(t);
  void (*gone)(void *, struct topic *) = t->gone;
  t->gone = NULL;
  if (d->drain_at == t) d->drain_at = t->all_next;
  *t->all_prev = t->all_next;
  if (t->all_next) t->all_next->all_prev = t->all_prev;
  pool_quit(t);
  topic_rest(t);
  gone(t->gone_arg, t);
}

void dispatcher_remove_topic(struct dispatcher *d, struct topic *t,
                             void (*gone)(void *arg, struct topic *t), void *arg) {
  (void)d;
  t->draining = true;
  t->gone = gone;
  t->gone_arg = arg;
  request_refuse(t, "the topic is no longer configured");
  instance_stop(t);
  topic_turn(t);
}

/* --- news of a topic's storage --- */

void dispatcher_store_ready(struct dispatcher *d, struct topic *t, bool ready) {
  (void)d;
  if (ready && t->set->enabled) {
    fetch_attach(t);
  } else if (!ready && t->fetch.attached) {
    fetch_lost(t);
    topic_doubt(t); /* the storage may count jobs as this node's that the broken connection lost */
  }
}

void dispatcher_wake(struct dispatcher *d, struct queue *q, bool local) {
  (void)d;
  for (size_t i = 0; i < q->n_topics; i++) {
    struct topic *t = q->topics[i];
    if (local)
      fetch_new(t);
    else if (t->fetch.attached)
      takeover_ask(t); /* after an answer that never came, while the connection stayed */
  }
  if (!local) fetch_depths(q->topics, q->n_topics);
}

void dispatcher_due(struct dispatcher *d, struct topic *t, uint64_t due_ms) {
  (void)d;
  if (t->fetch.attached && !t->draining) fetch_due(t, due_ms ? due_ms : 1);
}

void dispatcher_delayed(struct dispatcher *d, struct queue *q, uint64_t due_ms) {
  delayed_at(q, d->loop, due_ms);
}

void dispatcher_node_died(struct dispatcher *d, struct store *s, const char *node) {
  for (struct topic *t = d->topics; t; t = t->all_next)
    if (t->store_entry->store == s) takeover_of(t, node);
}

/* Other nodes may have taken over jobs that have not begun here. So they go back: the storage takes
 * back the jobs that are still this node's.
 */
void dispatcher_declared_dead(struct dispatcher *d, struct store *s) {
  for (struct topic *t = d->topics; t; t = t->all_next)
    if (t->store && t->store_entry->store == s) ready_give_back(t);
}

void dispatcher_missing(struct dispatcher *d, struct topic *t) {
  (void)d;
  topic_doubt(t);
  takeover_ask(t);
}

/* --- stop --- */

static size_t jobs_running(const struct dispatcher *d) {
  size_t n = 0;
  for (struct topic *t = d->topics; t; t = t->all_next) n += request_unsettled(t);
  return n;
}

static void drain_end(struct dispatcher *d) {
  void (*fn)(void *, size_t) = d->drained;
  d->drained = NULL;
  timer_stop(&d->drain_timer);
  if (fn) fn(d->drained_arg, jobs_running(d));
}

/* Workers that a transport keeps are ended before the broker is; what only timed out is not waited
 * for. */
static void drain_look(void *arg) {
  struct dispatcher *d = arg;
  if (!d->drain_at && d->drained && !jobs_running(d) && !transports_ending(d->transports))
    drain_end(d);
}

/* Once a turn: thousands may end in one, and each look is at all that are left. */
static void maybe_drained(struct dispatcher *d) {
  if (d->drained) loop_defer(d->loop, &d->drain_look, drain_look, d);
}

static void instance_ended(void *arg) {
  struct dispatcher *d = arg;
  if (d->draining) maybe_drained(d);
}

/* Some of the topics: to close thousands takes more than a turn may. */
static void drain_next(void *arg) {
  struct dispatcher *d = arg;
  for (int i = 0; d->drain_at && i < DRAIN_SLICE; i++) {
    struct topic *t = d->drain_at;
    d->drain_at = t->all_next;
    request_refuse(t, "the broker is stopping");
    instance_stop(t);
    topic_turn(t);
  }
  if (d->drain_at)
    timer_start(&d->drain_next, 0);
  else
    maybe_drained(d);
}

static void drain_timeout(void *arg) {
  drain_end(arg);
}

void dispatcher_drain(struct dispatcher *d, uint64_t timeout_ms, void (*fn)(void *arg, size_t left),
                      void *arg) {
  d->draining = true;
  d->drained = fn;
  d->drained_arg = arg;
  for (struct topic *t = d->topics; t; t = t->all_next) t->draining = true;
  timer_start(&d->drain_timer, timeout_ms);
  d->drain_at = d->topics;
  drain_next(d);
}

/* --- looking --- */

struct transports *dispatcher_transports(struct dispatcher *d) {
  return d->transports;
}

size_t dispatcher_pools(struct dispatcher *d, struct pool_status *ret, size_t max) {
  const struct pb_pool_load unknown = {.workers = -1, .idle = -1, .queued = -1};
  uint64_t now = loop_now_ms(d->loop);
  size_t n = 0;
  for (struct pool *p = d->pools.first; p && n < max; p = p->next)
    ret[n++] = (struct pool_status){.name = p->name,
                                    .run_type = p->run_type,
                                    .max = p->max,
                                    .limit = p->limit,
                                    .busy = p->busy,
                                    .waiting_topics = p->waiting_n,
                                    .reserve = p->automatic ? p->learnt.reserve : 0,
                                    .topics = p->topics,
                                    .automatic = p->automatic,
                                    .resting = p->resting,
                                    .open = p->circuit_open,
                                    .why = p->circuit_open ? p->why : "",
                                    .probes = p->circuit_open ? p->failures : 0,
                                    .load = p->load_ms ? p->load : unknown,
                                    .load_age_ms = p->load_ms ? now - p->load_ms : 0};
  return n;
}

/* --- life --- */

struct dispatcher *dispatcher_new(struct loop *loop, struct gateway g) {
  struct dispatcher *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->loop = loop;
  d->gateway = g;
  d->pools.loop = loop;
  d->transports = transports_new(loop);
  if (!d->transports) {
    free(d);
    return NULL;
  }
  transports_on_load(d->transports, pools_load, &d->pools);
  transports_on_ended(d->transports, instance_ended, d);
  id_source_start(&d->traces, 0, loop_wall_ms(loop));
  sched_batch_init(&d->sched_batch, loop);
  timer_init(&d->drain_timer, loop, drain_timeout, d);
  timer_init(&d->drain_next, loop, drain_next, d);
  return d;
}

/* Topics that were not drained in time leave their running jobs to the storage's record of them;
 * the next start, or another node, takes them over. */
static void topic_abandon(struct topic *t) {
  t->draining = true;
  t->gone = NULL;
  t->doubt = false;
  topic_state_update(t);
  fetch_stop(t);
  ready_drop(t);
  request_refuse(t, "the broker is stopping");
  instance_stop(t);
  request_abandon(t);
  topic_rest(t);
}

void dispatcher_stop(struct dispatcher *d) {
  d->drained = NULL;
  d->drain_at = NULL;
  timer_stop(&d->drain_next);
  deferred_cancel(d->loop, &d->drain_look);
  for (struct topic *t = d->topics; t; t = t->all_next) topic_abandon(t);
  transports_free(d->transports); /* completes what still ran */
  d->transports = NULL;
}

void dispatcher_free(struct dispatcher *d) {
  if (!d) return;
  sched_batch_done(&d->sched_batch);
  transports_free(d->transports);
  pools_free(&d->pools);
  while (d->spare) {
    struct request *r = d->spare;
    d->spare = r->next;
    batch_free(r->batch);
    free(r);
  }
  timer_done(&d->drain_timer);
  timer_done(&d->drain_next);
  deferred_cancel(d->loop, &d->drain_look);
  free(d);
}
