/* Owns the dispatcher's topics: how they come, change and go, the drain before a stop, and what
 * operators ask. The work itself is in gate.c, take.c and run.c; see dispatch.h.
 */
#include "dispatch/private.h"

#include <stdio.h>

#define CLOSE_MARGIN_MS 5000
#define DRAIN_SLICE     200 /* topics that begin to drain in one turn */

void dispatcher_call_ended(struct topic *t) {
  t->calls--;
  dispatcher_maybe_gone(t);
}

/* --- topics come, change and go --- */

static void on_ready(void *arg) {
  struct topic *t = arg;
  t->full = false;
  ask_room(t);
  gate_update(t);
  topic_pump_later(t);
}

static void instance_start(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  struct pb_err err = {.text = ""};
  t->registered = REGISTERED_UNKNOWN;
  t->gate_failures = 0;
  t->full = false;
  ask_room(t);
  if (!t->set->enabled || !t->set->here || t->set->pulled) return;
  if (!t->set->transport)
    snprintf(err.text, sizeof err.text, "no plugin provides run_type %s", t->set->run_type);
  else
    t->inst = instance_open(d->transports, t->snapshot, t->set, on_ready, t, &err);
  if (t->inst) return;
  snprintf(t->registered_why, sizeof t->registered_why, "%.380s", err.text);
  log_error(loop_log(d->loop), t->set->path, "cannot run: %s; its jobs are kept", err.text);
}

static void instance_stop(struct topic *t) {
  if (t->inst) instance_close(t->inst, t->set->timeout_ms + CLOSE_MARGIN_MS);
  t->inst = NULL;
}

void dispatcher_add_topic(struct dispatcher *d, struct topic *t) {
  t->dispatcher = d;
  t->run_avg_ms = -1;
  t->recover = true;
  timer_init(&t->gate_timer, d->loop, gate_tick, t);
  timer_init(&t->due_timer, d->loop, take_due_tick, t);
  timer_init(&t->again_timer, d->loop, take_again_tick, t);
  timer_init(&t->fill_timer, d->loop, topic_pump, t);
  t->pool = gate_pool(d, t->set);
  if (!t->pool) abort(); /* a few hundred bytes at start or reload */
  t->all_next = d->topics;
  t->all_prev = &d->topics;
  if (t->all_next) t->all_next->all_prev = &t->all_next;
  d->topics = t;
  instance_start(t);
  gate_update(t);
}

/* Is the worker called in the same way, and told the same of the topic? */
static bool same_worker(const struct topic_settings *a, const struct topic_settings *b) {
  if (a->workers != b->workers || a->chunk != b->chunk || a->timeout_ms != b->timeout_ms)
    return false;
  if (a->transport != b->transport || a->enabled != b->enabled || a->here != b->here) return false;
  if (!a->pool != !b->pool || (a->pool && !settings_pool_equal(a->pool, b->pool))) return false;
  return settings_worker_equal(a, b);
}

void dispatcher_update_topic(struct dispatcher *d, struct topic *t,
                             const struct topic_settings *was) {
  if (t->state == TOPIC_BROKEN || !same_worker(was, t->set)) {
    struct pool *old = t->pool;
    pool_leave(old, t);
    ask_refuse(t, "the topic's configuration changed; try again");
    instance_stop(t);
    t->pool = gate_pool(d, t->set);
    if (!t->pool) abort();
    old->topics--;
    gate_pool_drop(old);
    instance_start(t);
    if (t->set->enabled && !t->attached) take_attach(t);
  }
  take_recover(t);
  gate_update(t);
  topic_pump_later(t);
}

void dispatcher_maybe_gone(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  if (!t->draining || !t->gone || t->runs || t->calls) return;
  if (t->ready.n) gate_give_back(t);
  void (*gone)(void *, struct topic *) = t->gone;
  t->gone = NULL;
  if (d->drain_at == t) d->drain_at = t->all_next;
  *t->all_prev = t->all_next;
  if (t->all_next) t->all_next->all_prev = t->all_prev;
  pool_leave(t->pool, t);
  t->pool->topics--;
  gate_pool_drop(t->pool);
  timer_done(&t->gate_timer);
  timer_done(&t->due_timer);
  timer_done(&t->again_timer);
  timer_done(&t->fill_timer);
  tally_free(t->tally);
  t->tally = NULL;
  deferred_cancel(d->loop, &t->pump);
  refusals_free(t->refusals);
  t->refusals = NULL;
  gone(t->gone_arg, t);
}

void dispatcher_remove_topic(struct dispatcher *d, struct topic *t,
                             void (*gone)(void *arg, struct topic *t), void *arg) {
  (void)d;
  t->draining = true;
  t->gone = gone;
  t->gone_arg = arg;
  ask_refuse(t, "the topic is no longer configured");
  gate_update(t);
  instance_stop(t);
  dispatcher_maybe_gone(t);
}

/* --- stop --- */

static size_t jobs_running(const struct dispatcher *d) {
  size_t n = 0;
  for (struct topic *t = d->topics; t; t = t->all_next)
    for (struct run *r = t->runs; r; r = r->next)
      if (!r->over) n += r->batch->n + (r->kind != RUN_JOBS && r->answer);
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
void dispatcher_maybe_drained(struct dispatcher *d) {
  if (d->draining && d->drained) loop_defer(d->loop, &d->drain_look, drain_look, d);
}

static void instance_ended(void *arg) {
  dispatcher_maybe_drained(arg);
}

/* Some of the topics: to close thousands takes more than a turn may. */
static void drain_next(void *arg) {
  struct dispatcher *d = arg;
  for (int i = 0; d->drain_at && i < DRAIN_SLICE; i++) {
    struct topic *t = d->drain_at;
    d->drain_at = t->all_next;
    ask_refuse(t, "the broker is stopping");
    gate_update(t);
    instance_stop(t);
  }
  if (d->drain_at)
    timer_start(&d->drain_next, 0);
  else
    dispatcher_maybe_drained(d);
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

/* --- operators --- */

static const char *nobody_to_ask(const struct topic *t) {
  if (t->inst) return "out of memory";
  if (t->set->pulled && !*t->why) return "its workers come by themselves: there is nobody to ask";
  return t->why;
}

void dispatcher_ping(struct dispatcher *d, struct topic *t, dispatcher_answer_fn fn, void *arg) {
  (void)d;
  struct run *r = t->inst ? run_new(t, RUN_PING) : NULL;
  if (!r) {
    const char *why = nobody_to_ask(t);
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->answer = fn;
  r->answer_arg = arg;
  ask_later(t, r);
}

void dispatcher_test(struct dispatcher *d, struct topic *t, const void *content, size_t len,
                     dispatcher_answer_fn fn, void *arg) {
  struct run *r = t->inst ? run_new(t, RUN_TEST) : NULL;
  struct job_head head = {0};
  unsigned char bytes[JOB_HEAD_MAX];
  char field[JOB_FIELD_MAX];
  head.id = head.trace = id_mint(&d->traces, loop_wall_ms(d->loop));
  size_t head_len = job_encode_head(&head, bytes);
  char *blob = r ? malloc(head_len + len + 1) : NULL;
  if (blob) {
    memcpy(blob, bytes, head_len);
    memcpy(blob + head_len, content, len);
    job_field(d->gateway, field);
    r->test_job = job_decode(field, strlen(field), blob, head_len + len);
    if (!r->test_job) free(blob);
  }
  if (!r || !r->test_job) {
    const char *why = nobody_to_ask(t);
    if (r) run_free(d, r);
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->test_job->source = JOB_FROM_TEST;
  r->answer = fn;
  r->answer_arg = arg;
  batch_push(r->batch, r->test_job);
  ask_later(t, r);
}

struct pause_call {
  struct topic *t;
  bool paused;
  struct topic_pause pause;
  store_done_fn fn;
  void *arg;
};

static void on_paused(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct pause_call *c = arg;
  struct topic *t = c->t;
  if (!rc) {
    topic_set_paused(t, c->paused, &c->pause);
    gate_update(t);
  }
  c->fn(c->arg, rc, count, why);
  free(c);
  dispatcher_call_ended(t);
}

void dispatcher_pause(struct dispatcher *d, struct topic *t, bool paused, const char *by,
                      const char *reason, store_done_fn fn, void *arg) {
  struct pause_call *c = malloc(sizeof *c);
  if (!c) {
    fn(arg, STORE_ERROR, 0, "out of memory");
    return;
  }
  *c = (struct pause_call){.t = t, .paused = paused, .fn = fn, .arg = arg};
  c->pause.since_ms = loop_wall_ms(d->loop);
  snprintf(c->pause.by, sizeof c->pause.by, "%s", by);
  snprintf(c->pause.reason, sizeof c->pause.reason, "%s", reason);
  t->calls++;
  store_pause(t->store, paused, by, reason, on_paused, c);
}

struct transports *dispatcher_transports(struct dispatcher *d) {
  return d->transports;
}

size_t dispatcher_pools(struct dispatcher *d, struct pool_status *ret, size_t max) {
  const struct pb_pool_load unknown = {.workers = -1, .idle = -1, .queued = -1};
  uint64_t now = loop_now_ms(d->loop);
  size_t n = 0;
  for (struct pool *p = d->pools; p && n < max; p = p->next)
    ret[n++] = (struct pool_status){.name = p->name,
                                    .run_type = p->run_type,
                                    .max = p->max,
                                    .limit = p->limit,
                                    .busy = p->busy,
                                    .waiting_topics = p->waiting_n,
                                    .reserve = p->automatic ? p->limiter.reserve : 0,
                                    .topics = p->topics,
                                    .automatic = p->automatic,
                                    .resting = p->resting,
                                    .open = p->open,
                                    .why = p->open ? p->why : "",
                                    .probes = p->open ? p->failures : 0,
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
  d->transports = transports_new(loop);
  if (!d->transports) {
    free(d);
    return NULL;
  }
  transports_on_load(d->transports, gate_load, d);
  transports_on_ended(d->transports, instance_ended, d);
  id_source_start(&d->traces, 0, loop_wall_ms(loop));
  pace_init(&d->pace, loop);
  timer_init(&d->drain_timer, loop, drain_timeout, d);
  timer_init(&d->drain_next, loop, drain_next, d);
  return d;
}

/* Topics that were not drained in time leave their running jobs to the storage's record of them;
 * the next start, or another node, takes them over. */
static void topic_abandon(struct dispatcher *d, struct topic *t) {
  struct job *job;
  t->draining = true;
  t->state = TOPIC_DRAINING;
  t->gone = NULL;
  t->attached = t->look_again = t->recover = false;
  while ((job = job_list_pop(&t->ready))) job_free(job);
  ask_refuse(t, "the broker is stopping");
  instance_stop(t);
  for (struct run *r = t->runs; r; r = r->next) {
    for (size_t i = 0; r->kind == RUN_JOBS && i < r->batch->n; i++) job_free(r->batch->jobs[i]);
    r->batch->n = 0;
    r->over = true;
  }
  timer_done(&t->gate_timer);
  timer_done(&t->due_timer);
  timer_done(&t->again_timer);
  timer_done(&t->fill_timer);
  tally_free(t->tally);
  t->tally = NULL;
  deferred_cancel(d->loop, &t->pump);
  refusals_free(t->refusals);
  t->refusals = NULL;
}

void dispatcher_stop(struct dispatcher *d) {
  d->drained = NULL;
  d->drain_at = NULL;
  timer_stop(&d->drain_next);
  deferred_cancel(d->loop, &d->drain_look);
  for (struct topic *t = d->topics; t; t = t->all_next) topic_abandon(d, t);
  transports_free(d->transports); /* completes what still ran */
  d->transports = NULL;
  for (struct topic *t = d->topics; t; t = t->all_next) deferred_cancel(d->loop, &t->pump);
}

void dispatcher_free(struct dispatcher *d) {
  if (!d) return;
  pace_done(&d->pace);
  transports_free(d->transports);
  while (d->pools) {
    struct pool *p = d->pools;
    d->pools = p->next;
    timer_done(&p->timer);
    free(p);
  }
  while (d->spare) {
    struct run *r = d->spare;
    d->spare = r->next;
    batch_free(r->batch);
    free(r);
  }
  timer_done(&d->drain_timer);
  timer_done(&d->drain_next);
  deferred_cancel(d->loop, &d->drain_look);
  free(d);
}
