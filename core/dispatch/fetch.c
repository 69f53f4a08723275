/* Owns all that comes from the storage: new jobs, due retries, and the answers about the jobs of a
 * topic.
 */
#include "dispatch/fetch.h"

#include "base/out_of_memory.h"

#include "dispatch/pool.h"
#include "dispatch/private.h"
#include "dispatch/ready.h"
#include "dispatch/topic.h"
#include "dispatch/worker_ping.h"

#include <stdlib.h>

/* Of jobs at hand beyond those that get a slot at once. */
#define AHEAD_BYTES_MAX   (16u << 20)
#define BEHIND_LOOK_MS    20
#define UNSETTLED_LOOK_MS 200 /* after a look at the retry set while outcomes are on the way */

static void due_tick(void *arg) {
  struct topic *t = arg;
  t->fetch.due_timer_ms = 0;
  topic_touch(t);
}

void fetch_begin(struct topic *t) {
  timer_init(&t->fetch.due_timer, t->loop, due_tick, t);
}

void fetch_end(struct topic *t) {
  timer_done(&t->fetch.due_timer);
}

static void due_timer_set(struct topic *t, uint64_t due_ms) {
  if (t->fetch.due_timer_ms == due_ms) return;
  t->fetch.due_timer_ms = due_ms;
  if (due_ms)
    timer_start(&t->fetch.due_timer, due_ms - loop_wall_ms(t->loop));
  else
    timer_stop(&t->fetch.due_timer);
}

/* --- how many --- */

/* How many jobs to prefetch beyond the running ones: as many as finish during one question to the
 * store, more for fast workers, none for slow workers. Other nodes cannot run jobs that wait here.
 */
static size_t ahead(const struct topic *t, size_t window) {
  if (t->requests.run_avg_ms < 0) return 0;
  if (t->requests.run_avg_ms < 2) return window < 128 ? window + 128 : 2 * window;
  if (t->requests.run_avg_ms < 50) return window;
  if (t->requests.run_avg_ms < 500) return window / 4 ? window / 4 : 1;
  return 0;
}

/* The expected size in memory of one of the next jobs. It is the larger of two averages: jobs that
 * were read, and jobs that this node accepted lately. Before the first read, a job counts as the
 * largest allowed. It is an average, not the largest size seen: one large job must not make the
 * chunks of all others short. */
static size_t job_bytes(const struct topic *t) {
  if (!t->fetch.job_bytes) return (size_t)t->snapshot->server.max_job_size;
  return t->fetch.job_bytes > t->queue->job_bytes ? t->fetch.job_bytes : t->queue->job_bytes;
}

/* The average of this read, but at least half of the former value. When small jobs follow large
 * ones, each read is about twice as long as the last one, until it has its full length. */
static void job_bytes_seen(struct topic *t, const struct job_list *jobs) {
  if (!jobs->n) return;
  size_t now = jobs->bytes / jobs->n + sizeof(struct job);
  t->fetch.job_bytes = now > t->fetch.job_bytes / 2 ? now : t->fetch.job_bytes / 2;
}

void fetch_forget(struct topic *t) {
  t->fetch.taken_n = t->fetch.job_bytes = 0;
}

/* The stream is read by number of jobs, and its next jobs may be larger than any before. So the
 * jobs ahead must fit by the sizes seen, and they are at most twice as many as the last read
 * brought. An idle topic, or one that has just opened, begins with the jobs for its free slots. */
static size_t ahead_fit(const struct topic *t, size_t n) {
  size_t fit = AHEAD_BYTES_MAX / job_bytes(t);
  if (fit > 2 * t->fetch.taken_n) fit = 2 * t->fetch.taken_n;
  return n < fit ? n : fit;
}

/* Jobs that fill a request which has `n` of so many `bytes`: by number and by bytes. */
static size_t chunk_fit(const struct topic *t, size_t n, size_t bytes) {
  size_t chunk = (size_t)t->set->chunk, one = job_bytes(t);
  if (n >= chunk || bytes >= BATCH_BYTES_MAX) return 0;
  size_t fit = (BATCH_BYTES_MAX - bytes + one - 1) / one;
  return fit < chunk - n ? fit : chunk - n;
}

size_t fetch_page(const struct topic *t, size_t max) {
  size_t fit = PAGE_BYTES_MAX / job_bytes(t);
  if (!fit) return 1;
  return fit < max ? fit : max;
}

/* --- fetching --- */

/* When the storage is down it says READY later and everything starts again; else: after a moment.
 */
static void storage_failed(struct topic *t, enum store_rc rc) {
  if (rc == STORE_UNKNOWN) topic_doubt(t);
  if (!t->store) return;
  t->fetch.more = t->fetch.resting = true;
  if (!t->due_ms) topic_due_at(t, loop_wall_ms(t->loop));
  topic_again_after(t, STORE_AGAIN_MS);
}

void fetch_arrived(struct topic *t, struct job_list *jobs) {
  job_bytes_seen(t, jobs);
  ready_arrived(t, jobs);
}

static void on_taken(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                     const char *why) {
  struct topic *t = arg;
  (void)why;
  bool first = !t->fetch.job_bytes;
  t->fetch.taking = t->fetch.first_chunk = false;
  if (rc) {
    storage_failed(t, rc);
  } else {
    t->fetch.more = t->fetch.stored = more;
    t->fetch.taken_n = jobs->n;
  }
  fetch_arrived(t, jobs);
  if (first && t->fetch.more && t->set->chunk > 1 && t->state == TOPIC_OPEN) {
    fetch_more(t);
    t->fetch.first_chunk = t->fetch.taking;
  }
  topic_touch(t);
  topic_call_ended(t);
}

static void on_due(void *arg, enum store_rc rc, struct job_list *jobs, uint64_t next_due_ms,
                   const char *why) {
  struct topic *t = arg;
  (void)why;
  t->fetch.taking_due = false;
  if (rc) {
    storage_failed(t, rc);
  } else if (t->store) {
    topic_due_at(t, next_due_ms);
    /* Outcomes on their way may be due before that: look again when they are there. */
    if (store_unsettled(t->store)) topic_due_at(t, loop_wall_ms(t->loop) + UNSETTLED_LOOK_MS);
  }
  fetch_arrived(t, jobs);
  topic_touch(t);
  topic_call_ended(t);
}

static void take(struct topic *t, size_t count) {
  if (!t->fetch.more || t->fetch.taking) return;
  t->fetch.taking = true;
  topic_call_began(t);
  store_take(t->store, count, on_taken, t);
}

static void take_due(struct topic *t, size_t count, uint64_t now) {
  if (!t->due_ms || t->due_ms > now || t->fetch.taking_due) return;
  t->fetch.taking_due = true;
  t->due_ms = 0; /* a job that fails from now on is noted again; the answer tells the rest */
  topic_call_began(t);
  store_take_due(t->store, count, PAGE_BYTES_MAX, on_due, t);
}

static size_t pool_room(const struct pool *p) {
  return p->busy < p->limit ? p->limit - p->busy : 0;
}

/* How many jobs should be at hand: those that start at once, and those ahead of them. */
static size_t wanted(const struct topic *t, size_t *ret_ahead) {
  size_t workers = (size_t)t->set->workers, chunk = chunk_fit(t, 0, 0);
  size_t slots = t->pool->limit < workers ? t->pool->limit : workers;
  size_t start = t->requests.running < slots ? slots - t->requests.running : 0;
  size_t room = pool_room(t->pool);
  *ret_ahead = ahead_fit(t, ahead(t, slots * chunk));
  return (start < room ? start : room) * chunk + *ret_ahead;
}

/* The pool is full, no job is at hand, and there are jobs to fetch: the topic waits in line, so
 * that a free slot wakes it. */
static void wait_for_slot(struct topic *t, bool due) {
  if (!t->fetch.more && !due) return;
  if (t->requests.running < (size_t)t->set->workers && !t->ready.n && !pool_room(t->pool))
    pool_wait(t->pool, t);
}

void fetch_more(struct topic *t) {
  if (t->fetch.resting) return;
  /* The storage takes outcomes more slowly than they come. Jobs that are not fetched wait in the
   * storage. */
  if (store_is_behind(t->store)) {
    t->fetch.resting = true;
    topic_again_after(t, BEHIND_LOOK_MS);
    return;
  }
  uint64_t now = loop_wall_ms(t->loop);
  size_t far, want = wanted(t, &far);
  wait_for_slot(t, t->due_ms && t->due_ms <= now);
  /* A chunk that fills gets all jobs there are, with or without a free slot: the topic waits in no
   * line that would wake it, and the wait is short. It may read several times: jobs may be smaller
   * than expected. */
  bool filling = timer_pending(&t->requests.fill_timer);
  size_t room = filling ? chunk_fit(t, t->ready.n, t->ready.bytes) : 0;
  if (room && want < t->ready.n + room) want = t->ready.n + room;
  bool enough = t->ready.n >= want || (!filling && t->ready.n && far && t->ready.n > far / 2);
  if (!enough) {
    take_due(t, want - t->ready.n, now);
    take(t, want - t->ready.n);
  }
  due_timer_set(t, t->due_ms > now ? t->due_ms : 0);
}

void fetch_new(struct topic *t) {
  t->fetch.stored = true;
  if (t->fetch.more) return;
  t->fetch.more = true;
  worker_ping_hurry(t);
  topic_touch(t);
}

void fetch_due(struct topic *t, uint64_t due_ms) {
  bool had = topic_has_work(t);
  topic_due_at(t, due_ms);
  if (!had) worker_ping_hurry(t);
}

void fetch_rested(struct topic *t) {
  t->fetch.resting = false;
}

/* --- the storage's news of the topic --- */

static void told(struct topic *t, const struct store_depth *depth) {
  struct topic_pause pause = t->pause; /* NULL: as it was */
  if (depth->paused && depth->pause) pause_parse(depth->pause, &pause);
  if (!depth->no_group) topic_set_paused(t, depth->paused, &pause);
  t->fetch.stored = depth->ready > 0;
  if (depth->ready) t->fetch.more = true;
  topic_due_at(t, depth->next_due_ms);
  t->fetch.delayed_ms = depth->next_due_ms;
}

static void on_attached(void *arg, enum store_rc rc, const struct store_depth *depth,
                        const char *why) {
  struct topic *t = arg;
  if (!rc) {
    t->fetch.attached = true;
    t->fetch.more = true;
    told(t, depth);
  } else if (rc == STORE_ERROR) {
    if (t->store) topic_again_after(t, STORE_AGAIN_MS);
    store_log_refusal(t->store_entry->store, t->set->path, "its storage does not take it", why);
  }
  topic_touch(t);
  topic_call_ended(t);
}

void fetch_attach(struct topic *t) {
  topic_call_began(t);
  store_attach(t->store, on_attached, t);
}

void fetch_lost(struct topic *t) {
  t->fetch.attached = false;
  topic_touch(t);
}

void fetch_stop(struct topic *t) {
  t->fetch.attached = t->fetch.depth_again = false;
}

/* `depth` NULL: the storage did not tell. */
static void depth_answered(struct topic *t, const struct store_depth *depth) {
  t->fetch.depth_asked = false;
  if (depth && t->store) {
    bool had = topic_has_work(t);
    told(t, depth);
    if (!had && topic_has_work(t)) worker_ping_hurry(t);
  }
  if (t->fetch.depth_again && t->fetch.attached) {
    t->fetch.depth_again = false;
    fetch_depth(t);
  }
  topic_touch(t);
  topic_call_ended(t);
}

static void on_depth(void *arg, enum store_rc rc, const struct store_depth *depth,
                     const char *why) {
  (void)why;
  depth_answered(arg, rc ? NULL : depth);
}

/* False: a question is on the way, and another one follows it. */
static bool depth_begins(struct topic *t) {
  t->fetch.depth_again = t->fetch.depth_asked;
  if (t->fetch.depth_asked) return false;
  t->fetch.depth_asked = true;
  topic_call_began(t);
  return true;
}

void fetch_depth(struct topic *t) {
  if (depth_begins(t)) store_ask_depth(t->store, on_depth, t);
}

/* Topics of one queue in one storage. */
struct looks {
  size_t n;
  struct topic *of[STORE_LOOK_MAX];
};

static void on_looks(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                     const char *why) {
  struct looks *l = arg;
  (void)why;
  for (size_t i = 0; i < l->n; i++) {
    struct topic *t = l->of[i];
    bool is_told = !rc && i < n;
    if (is_told && t->store && !d[i].no_group) store_seen_paused(t->store, d[i].paused);
    depth_answered(t, is_told ? &d[i] : NULL);
  }
  free(l);
}

static void looks_send(struct looks *l) {
  struct store_topic *stores[STORE_LOOK_MAX];
  for (size_t i = 0; i < l->n; i++) stores[i] = l->of[i]->store;
  if (l->n > 1) {
    store_ask_depths(stores, l->n, on_looks, l);
    return;
  }
  store_ask_depth(stores[0], on_depth, l->of[0]);
  free(l);
}

void fetch_depths(struct topic *const *topics, size_t n) {
  struct looks *l = NULL;
  for (size_t i = 0; i < n; i++) {
    struct topic *t = topics[i];
    if (!t->fetch.attached || !depth_begins(t)) continue;
    if (l && (l->n == STORE_LOOK_MAX || l->of[0]->store_entry != t->store_entry)) {
      looks_send(l);
      l = NULL;
    }
    if (!l && !(l = calloc(1, sizeof *l))) out_of_memory();
    l->of[l->n++] = t;
  }
  if (l) looks_send(l);
}
