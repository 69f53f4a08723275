/* Owns what comes from the store: new jobs, due retries, jobs of an earlier life or of a dead node,
 * delayed jobs whose time has come; and the asking again after the store said an error.
 */
#include "dispatch/private.h"

#define AHEAD_BYTES_MAX                                                                            \
  (16u << 20)                         /* of jobs at hand beyond those that free slots take at once \
                                       */
#define PAGE_BYTES_MAX    (16u << 20) /* of one answer with retries, or with jobs to take over */
#define RECOVER_COUNT     256
#define BEHIND_LOOK_MS    20
#define UNSETTLED_LOOK_MS 200 /* after a look at the retry set while outcomes are on the way */

bool topic_has_work(const struct topic *t) {
  return t->ready.n || t->more || t->next_due_ms;
}

void take_due_at(struct topic *t, uint64_t due_ms) {
  struct loop *loop = t->dispatcher->loop;
  if (!due_ms || !t->store) return;
  if (!t->next_due_ms || due_ms < t->next_due_ms) t->next_due_ms = due_ms;
  uint64_t now = loop_wall_ms(loop);
  timer_start(&t->due_timer, t->next_due_ms > now ? t->next_due_ms - now : 0);
}

/* --- taking --- */

/* How many jobs beyond the running ones should be at hand: as many as finish while the store is
 * asked, more for fast workers, none for slow ones, for what waits here other nodes cannot run. */
static size_t ahead(const struct topic *t, size_t window) {
  if (t->run_avg_ms < 0) return 0;
  if (t->run_avg_ms < 2) return window < 128 ? window + 128 : 2 * window;
  if (t->run_avg_ms < 50) return window;
  if (t->run_avg_ms < 500) return window / 4 ? window / 4 : 1;
  return 0;
}

/* What one of the next jobs takes here, by what was read, and by what this node accepted lately and
 * may wait behind it. Before the first was read each may be of the largest. Averages, not the
 * largest seen: a large job now and then must not make the chunks of all others short. */
static size_t job_bytes(const struct topic *t) {
  if (!t->job_bytes) return (size_t)t->snapshot->server.max_job_size;
  return t->job_bytes > t->queue->job_bytes ? t->job_bytes : t->queue->job_bytes;
}

/* The average of what came, or half of what it was before: where small ones follow upon large ones,
 * each read is about twice as long as the one before it, until it is as long as it may be. */
static void job_bytes_seen(struct topic *t, const struct job_list *jobs) {
  if (!jobs->n) return;
  size_t now = jobs->bytes / jobs->n + sizeof(struct job);
  t->job_bytes = now > t->job_bytes / 2 ? now : t->job_bytes / 2;
}

void take_forget(struct topic *t) {
  t->taken_n = t->job_bytes = 0;
}

/* The stream is read by number, and its next jobs may be larger than any before: so what is ahead
 * fits by what was seen, and is not more than twice what the last read brought. An idle topic, or
 * one whose gate has just opened, begins with what its free slots take. */
static size_t ahead_fit(const struct topic *t, size_t n) {
  size_t fit = AHEAD_BYTES_MAX / job_bytes(t);
  if (fit > 2 * t->taken_n) fit = 2 * t->taken_n;
  return n < fit ? n : fit;
}

/* Jobs that fill a request which has `n` of so many `bytes`: by number and by bytes. */
static size_t chunk_fit(const struct topic *t, size_t n, size_t bytes) {
  size_t chunk = (size_t)t->set->chunk, one = job_bytes(t);
  if (n >= chunk || bytes >= BATCH_BYTES_MAX) return 0;
  size_t fit = (BATCH_BYTES_MAX - bytes + one - 1) / one;
  return fit < chunk - n ? fit : chunk - n;
}

/* A page of jobs to take over. */
static size_t recover_fit(const struct topic *t) {
  size_t fit = PAGE_BYTES_MAX / job_bytes(t);
  if (!fit) return 1;
  return fit < RECOVER_COUNT ? fit : RECOVER_COUNT;
}

/* When the store is down it says READY later and everything starts anew; else: again soon. */
static void store_failed(struct topic *t) {
  if (!t->store) return;
  t->more = t->resting = true;
  if (!t->next_due_ms) t->next_due_ms = loop_wall_ms(t->dispatcher->loop);
  if (!timer_pending(&t->again_timer)) timer_start(&t->again_timer, STORE_AGAIN_MS);
}

static void jobs_arrived(struct topic *t, struct job_list *jobs) {
  struct job *job;
  job_bytes_seen(t, jobs);
  if (!t->store) { /* the broker stops: the storage's record of them is what counts */
    while ((job = job_list_pop(jobs))) job_free(job);
    return;
  }
  while ((job = job_list_pop(jobs))) {
    if (job->crashes >= (uint64_t)t->set->crashes && job->crashes) {
      char why[160];
      snprintf(why, sizeof why,
               "it was running at the end of a node %u times; not tried again by "
               "itself (crashes = %lld)",
               job->crashes, (long long)t->set->crashes);
      outcome_dead(t, t->dispatcher->loop, job, 0, why);
    } else if (t->draining || t->paused || t->state == TOPIC_DISABLED || topic_pulls(t)) {
      outcome_released(t, t->dispatcher->loop, job);
      if (!t->next_due_ms) t->next_due_ms = loop_wall_ms(t->dispatcher->loop);
    } else {
      job->taken_ms = loop_now_ms(t->dispatcher->loop);
      if (t->refusals) refusals_recall(t->refusals, job);
      job_list_push(&t->ready, job);
    }
  }
  gate_watch(t);
  topic_pump_later(t);
}

static void on_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                     const char *why) {
  struct topic *t = arg;
  (void)why;
  bool first = !t->job_bytes;
  t->taking = t->first_chunk = false;
  if (rc == STORE_UNKNOWN) t->recover = true; /* they may be ours by the storage's record */
  if (rc) {
    store_failed(t);
  } else {
    t->more = more;
    t->taken_n = jobs->n;
  }
  jobs_arrived(t, jobs);
  if (first && t->more && t->set->chunk > 1 && t->state == TOPIC_OPEN) {
    take_more(t);
    t->first_chunk = t->taking;
  }
  dispatcher_call_ended(t);
}

static void on_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due_ms,
                   const char *why) {
  struct topic *t = arg;
  (void)why;
  t->taking_due = false;
  if (rc == STORE_UNKNOWN) t->recover = true;
  if (rc) {
    store_failed(t);
  } else if (t->store) {
    take_due_at(t, next_due_ms);
    /* Outcomes on their way may be due before that: look again when they are there. */
    if (store_unsettled(t->store))
      take_due_at(t, loop_wall_ms(t->dispatcher->loop) + UNSETTLED_LOOK_MS);
  }
  jobs_arrived(t, jobs);
  dispatcher_call_ended(t);
}

void take_due_tick(void *arg) {
  topic_pump(arg);
}

void take_more(struct topic *t) {
  struct loop *loop = t->dispatcher->loop;
  size_t workers = (size_t)t->set->workers, chunk = chunk_fit(t, 0, 0);
  size_t slots = t->pool->limit < workers ? t->pool->limit : workers;
  size_t free_slots = t->attempts < slots ? slots - t->attempts : 0;
  size_t pool_free = t->pool->busy < t->pool->limit ? t->pool->limit - t->pool->busy : 0;
  if (free_slots > pool_free) free_slots = pool_free;
  size_t far = ahead_fit(t, ahead(t, slots * chunk)), want = free_slots * chunk + far;
  bool due = t->next_due_ms && t->next_due_ms <= loop_wall_ms(loop);
  if (t->resting) return;
  /* The storage takes outcomes more slowly than they come: what is not taken waits there. */
  if (store_is_behind(t->store)) {
    t->resting = true;
    if (!timer_pending(&t->again_timer)) timer_start(&t->again_timer, BEHIND_LOOK_MS);
    return;
  }
  /* With the pool full and nothing at hand it still stands in line, to be woken for a slot. */
  if (!pool_free && t->attempts < workers && !t->ready.n && (t->more || due)) pool_wait(t->pool, t);
  /* A chunk that fills gets what there is, slot or no slot: it stands in no line that would wake
   * it, and its wait is short. Read after read: what is at hand may be smaller than was thought. */
  bool filling = timer_pending(&t->fill_timer);
  size_t room = filling ? chunk_fit(t, t->ready.n, t->ready.bytes) : 0;
  if (room && want < t->ready.n + room) want = t->ready.n + room;
  if (t->ready.n >= want || (!filling && t->ready.n && far && t->ready.n > far / 2)) return;
  size_t count = want - t->ready.n;
  if (due && !t->taking_due) {
    t->taking_due = true;
    t->next_due_ms = 0; /* what fails from now on is noted anew; the answer tells of the rest */
    timer_stop(&t->due_timer);
    t->calls++;
    store_take_due(t->store, count, PAGE_BYTES_MAX, on_due, t);
  }
  if (t->more && !t->taking) {
    t->taking = true;
    t->calls++;
    store_take(t->store, count, on_taken, t);
  }
}

/* --- the store's side --- */

/* A second after the store answered an error while its connection stayed up. */
void take_again_tick(void *arg) {
  struct topic *t = arg;
  t->resting = false;
  if (t->draining || !t->set->enabled || !t->store) return;
  if (!t->attached) {
    if (store_state(t->store_entry->store) == STORE_READY) take_attach(t);
    return; /* not READY: that state attaches */
  }
  take_recover(t);
  topic_pump_later(t);
}

static void again_later(struct topic *t) {
  if (t->store && !timer_pending(&t->again_timer)) timer_start(&t->again_timer, STORE_AGAIN_MS);
}

static void on_recovered(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                         const char *why) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  if (rc) {
    t->recover = true;
    again_later(t);
    if (rc == STORE_ERROR)
      store_complain(t->store_entry->store, t->set->path,
                     "cannot take over the jobs of its earlier run, trying again", why);
  }
  if (jobs->n) {
    t->counters.recovered += jobs->n;
    log_info(loop_log(d->loop), t->set->path, "took over %zu job%s that ran before", jobs->n,
             jobs->n == 1 ? "" : "s");
  }
  jobs_arrived(t, jobs);
  if (!rc && more && t->attached) {
    t->calls++;
    store_recover(t->store, NULL, recover_fit(t), on_recovered, t);
  }
  dispatcher_call_ended(t);
}

/* What the storage says this node runs is compared with what it has in memory. */
void take_recover(struct topic *t) {
  if (!t->recover || !t->attached || t->draining || !t->set->enabled || !t->set->here) return;
  t->recover = false;
  t->calls++;
  store_recover(t->store, NULL, recover_fit(t), on_recovered, t);
}

static void on_depth(struct topic *t, const struct store_depth *depth) {
  struct topic_pause pause = t->pause; /* NULL: as it was */
  if (depth->paused && depth->pause) topic_pause_parse(depth->pause, &pause);
  topic_set_paused(t, depth->paused, &pause);
  if (depth->ready) t->more = true;
  if (depth->next_due_ms) {
    take_due_at(t, depth->next_due_ms);
    dispatcher_delayed(t->dispatcher, t->queue, depth->next_due_ms);
  }
}

static void on_attached(void *arg, enum store_rc rc, const struct store_depth *depth,
                        const char *why) {
  struct topic *t = arg;
  if (!rc) {
    t->attached = true;
    t->more = true;
    on_depth(t, depth);
    take_recover(t);
  } else if (rc == STORE_ERROR) {
    again_later(t);
    store_complain(t->store_entry->store, t->set->path, "its storage does not take it", why);
  }
  gate_update(t);
  dispatcher_call_ended(t);
}

void take_attach(struct topic *t) {
  t->calls++;
  store_attach(t->store, on_attached, t);
}

void dispatcher_store_ready(struct dispatcher *d, struct topic *t, bool ready) {
  (void)d;
  if (ready && t->set->enabled) {
    take_attach(t);
  } else if (!ready && t->attached) {
    t->attached = false;
    t->recover = true; /* what the connection swallowed is this node's by the storage's record */
    gate_update(t);
  }
}

static void on_looked(void *arg, enum store_rc rc, const struct store_depth *depth,
                      const char *why) {
  struct topic *t = arg;
  (void)why;
  t->looking = false;
  if (!rc && t->store) {
    bool had = topic_has_work(t);
    on_depth(t, depth);
    gate_update(t);
    if (!had && topic_has_work(t)) gate_hurry(t);
    topic_pump_later(t);
  }
  if (t->look_again && t->attached) {
    t->look_again = false;
    t->looking = true;
    t->calls++;
    store_look(t->store, on_looked, t);
  }
  dispatcher_call_ended(t);
}

void dispatcher_wake(struct dispatcher *d, struct queue *q, bool local) {
  (void)d;
  for (size_t i = 0; i < q->n_topics; i++) {
    struct topic *t = q->topics[i];
    if (local) {
      if (!t->more) {
        t->more = true;
        gate_hurry(t);
        topic_pump_later(t);
      }
      continue;
    }
    if (!t->attached) continue;
    take_recover(t); /* after an answer that never came, while the connection stayed */
    t->look_again = t->looking;
    if (t->looking) continue;
    t->looking = true;
    t->calls++;
    store_look(t->store, on_looked, t);
  }
}

void dispatcher_due(struct dispatcher *d, struct topic *t, uint64_t due_ms) {
  (void)d;
  if (!t->attached || t->draining) return;
  bool had = topic_has_work(t);
  take_due_at(t, due_ms ? due_ms : 1);
  if (!had) gate_hurry(t);
}

static void on_moved(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due_ms) {
  struct queue *q = arg;
  q->moving = false;
  if (!q->leaving && q->n_topics) {
    struct dispatcher *d = q->topics[0]->dispatcher;
    if (moved) dispatcher_wake(d, q, true);
    if (rc == STORE_OK && next_due_ms) dispatcher_delayed(d, q, next_due_ms);
    if (rc) dispatcher_delayed(d, q, loop_wall_ms(d->loop) + STORE_AGAIN_MS);
  }
  queue_unref(q);
}

static void delayed_due(void *arg) {
  struct queue *q = arg;
  q->next_delayed_ms = 0;
  if (q->leaving) return;
  for (size_t i = 0; i < q->n_stores; i++) {
    queue_ref(q);
    q->moving = true;
    store_move_due(q->stores[i]->sq, on_moved, q);
  }
}

void dispatcher_delayed(struct dispatcher *d, struct queue *q, uint64_t due_ms) {
  if (q->leaving || (q->next_delayed_ms && q->next_delayed_ms <= due_ms)) return;
  uint64_t now = loop_wall_ms(d->loop);
  if (!q->delayed_timer.loop) timer_init(&q->delayed_timer, d->loop, delayed_due, q);
  q->next_delayed_ms = due_ms;
  timer_start(&q->delayed_timer, due_ms > now ? due_ms - now : 0);
}

/* A dead node's jobs, page after page. */
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
    log_warning(loop_log(t->dispatcher->loop), t->set->path,
                "took over %zu job%s of node %s, which died", jobs->n, jobs->n == 1 ? "" : "s",
                o->node);
  }
  jobs_arrived(t, jobs);
  if (!rc && more && t->attached && !t->draining) {
    t->calls++;
    store_recover(t->store, o->node, recover_fit(t), on_taken_over, o);
  } else {
    free(o);
  }
  dispatcher_call_ended(t);
}

void dispatcher_node_died(struct dispatcher *d, struct store *s, const char *node) {
  for (struct topic *t = d->topics; t; t = t->all_next) {
    if (!t->attached || t->draining || !t->set->enabled || !t->set->here) continue;
    if (t->store_entry->store != s) continue;
    struct takeover *o = malloc(sizeof *o + strlen(node) + 1);
    if (!o) return; /* the next sweep tells of it again */
    o->t = t;
    strcpy(o->node, node);
    t->calls++;
    store_recover(t->store, node, recover_fit(t), on_taken_over, o);
  }
}

/* Jobs that have not begun may be another node's by now: the storage takes back those that are not.
 */
void dispatcher_declared_dead(struct dispatcher *d, struct store *s) {
  for (struct topic *t = d->topics; t; t = t->all_next)
    if (t->store && t->store_entry->store == s) gate_give_back(t);
}

void dispatcher_missing(struct dispatcher *d, struct topic *t) {
  (void)d;
  t->recover = true;
  take_recover(t);
}
