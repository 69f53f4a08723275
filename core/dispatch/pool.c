/* Owns slots, the line of topics that wait for one, and whether the workers can be reached. The
 * pool's timer ends a rest, and sends the next probe while the circuit is open.
 */
#include "dispatch/pool.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "dispatch/request_answer.h"
#include "dispatch/topic.h"
#include "dispatch/worker_ping.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_FIRST_MS 100  /* wait before unreachable workers are probed again ... */
#define PROBE_MAX_MS   1000 /* ... at most: full speed within 2 s of their return */
#define REST_FIRST_MS  10   /* pause after the workers said that they are full ... */
#define REST_MAX_MS    1000
#define BUSY_NOTE_MS   5000 /* workers that are full for so long are worth a line */
#define TELL_SLICE     500  /* topics that hear of the circuit in one turn */

/* --- pools come and go --- */

static void pool_tick(void *arg);
static void members_tell(void *arg);

/* Each pull topic without a pool has one of its own, so there may be thousands. */
static struct pool **list_of(const struct pools *all, const char *name) {
  size_t h = 5381;
  while (*name) h = h * 33 ^ (unsigned char)*name++;
  return &all->by_name[h & all->mask];
}

static struct pool *pool_find(struct pools *all, const char *name) {
  struct pool *p = all->by_name ? *list_of(all, name) : NULL;
  while (p && strcmp(p->name, name)) p = p->same;
  return p;
}

static void list_enter(struct pool *p) {
  struct pool **list = list_of(p->all, p->name);
  p->same = *list;
  *list = p;
}

static void lists_grow(struct pools *all) {
  size_t room = all->by_name ? 2 * (all->mask + 1) : 64;
  struct pool **more = calloc(room, sizeof(struct pool *));
  if (!more) out_of_memory();
  free(all->by_name);
  all->by_name = more;
  all->mask = room - 1;
  for (struct pool *p = all->first; p; p = p->next) list_enter(p);
}

static void pool_enter(struct pools *all, struct pool *p) {
  if (!all->by_name || all->n > all->mask) lists_grow(all);
  all->n++;
  p->next = all->first;
  p->prev = &all->first;
  if (p->next) p->next->prev = &p->next;
  all->first = p;
  list_enter(p);
}

static void pool_take_out(struct pool *p) {
  struct pool **at = list_of(p->all, p->name);
  while (*at != p) at = &(*at)->same;
  *at = p->same;
  *p->prev = p->next;
  if (p->next) p->next->prev = p->prev;
  p->all->n--;
}

static struct pool *pool_new(struct pools *all, const char *name, const char *run_type) {
  struct pool *p = calloc(1, sizeof *p);
  if (!p) out_of_memory(); /* a few hundred bytes at start or reload */
  p->all = all;
  snprintf(p->name, sizeof p->name, "%s", name);
  snprintf(p->run_type, sizeof p->run_type, "%s", run_type);
  timer_init(&p->timer, all->loop, pool_tick, p);
  timer_init(&p->tell, all->loop, members_tell, p);
  pool_enter(all, p);
  return p;
}

void pool_join(struct pools *all, struct topic *t) {
  const struct pool_settings *ps = t->set->pool;
  const char *name = ps ? ps->name : t->set->path;
  size_t max = ps ? (size_t)ps->max_connections : (size_t)t->set->workers;
  struct pool *p = pool_find(all, name);
  if (!p) p = pool_new(all, name, t->set->run_type);
  pool_bounds(p, max, ps && ps->concurrency, ps ? (size_t)ps->reserve : 0, loop_now_ms(all->loop));
  p->topics++;
  t->pool = p;
  t->at_pool.member_next = p->members;
  t->at_pool.member_prev = &p->members;
  if (p->members) p->members->at_pool.member_prev = &t->at_pool.member_next;
  p->members = t;
}

void pool_quit(struct topic *t) {
  struct pool *p = t->pool;
  pool_leave(p, t);
  if (p->untold == t) p->untold = t->at_pool.member_next;
  *t->at_pool.member_prev = t->at_pool.member_next;
  if (t->at_pool.member_next) t->at_pool.member_next->at_pool.member_prev = t->at_pool.member_prev;
  p->topics--;
  pool_drop(p);
}

void pool_drop(struct pool *p) {
  if (p->topics || p->busy || p->requests) return;
  pool_take_out(p);
  timer_done(&p->timer);
  timer_done(&p->tell);
  loop_free_later(p->all->loop, p);
}

void pool_change(struct topic *t) {
  struct pool *old = t->pool;
  old->topics++; /* it lives on where it is the new one too */
  pool_quit(t);
  pool_join(old->all, t);
  old->topics--;
  pool_drop(old);
}

void pools_free(struct pools *all) {
  while (all->first) {
    struct pool *p = all->first;
    all->first = p->next;
    timer_done(&p->timer);
    timer_done(&p->tell);
    free(p);
  }
  free(all->by_name);
  all->by_name = NULL;
}

/* --- slots --- */

static bool has_room(const struct pool *p) {
  return !p->circuit_open && !p->resting && p->busy < p->limit;
}

void pool_bounds(struct pool *p, size_t max, bool automatic, size_t reserve, uint64_t now_ms) {
  if (p->max == max && p->automatic == automatic && p->learnt.reserve == reserve) return;
  p->max = p->limit = max;
  p->answers = 0;
  p->automatic = automatic;
  auto_concurrency_init(&p->learnt, max, reserve, now_ms);
  if (automatic) p->limit = p->learnt.limit;
}

/* Who waits and has the fewest slots; the first in the line of those. With turns alone a topic of
 * slow jobs would come to hold them all. Not longer than there are slots: the first that has none
 * ends the search. */
static struct topic *fairest(const struct pool *p) {
  struct topic *best = p->waiting;
  for (struct topic *t = best; t && best->requests.running; t = t->at_pool.line_next)
    if (t->requests.running < best->requests.running) best = t;
  return best;
}

bool pool_acquire(struct pool *p, struct topic *t) {
  /* The topic that just freed a slot may not pass the topics that wait for one. */
  if (p->waiting) pool_wait(p, t);
  if (!has_room(p) || (p->waiting && fairest(p) != t)) {
    pool_wait(p, t);
    return false;
  }
  pool_leave(p, t);
  p->busy++;
  return true;
}

struct topic *pool_first(struct pool *p) {
  return has_room(p) ? fairest(p) : NULL;
}

void pool_wake(struct pool *p) {
  struct topic *first = pool_first(p);
  if (first) topic_touch(first);
}

void pool_release(struct pool *p) {
  if (p->busy) p->busy--;
}

void pool_wait(struct pool *p, struct topic *t) {
  if (p->busy >= p->limit) auto_concurrency_want(&p->learnt);
  if (t->at_pool.line_prev) return;
  if (!p->waiting) p->waiting_end = &p->waiting;
  t->at_pool.line_next = NULL;
  t->at_pool.line_prev = p->waiting_end;
  *p->waiting_end = t;
  p->waiting_end = &t->at_pool.line_next;
  p->waiting_n++;
}

void pool_leave(struct pool *p, struct topic *t) {
  if (!t->at_pool.line_prev) return;
  *t->at_pool.line_prev = t->at_pool.line_next;
  if (t->at_pool.line_next)
    t->at_pool.line_next->at_pool.line_prev = t->at_pool.line_prev;
  else
    p->waiting_end = t->at_pool.line_prev;
  t->at_pool.line_prev = NULL;
  p->waiting_n--;
}

void pool_answered(struct pool *p) {
  p->rests = 0;
  if (!p->automatic && p->limit < p->max && ++p->answers >= p->limit) {
    p->limit++;
    p->answers = 0;
  }
}

void pool_lower(struct pool *p, uint64_t now_ms) {
  if (p->automatic) {
    auto_concurrency_refused(&p->learnt, p->busy, now_ms);
    p->limit = p->learnt.limit;
    return;
  }
  size_t half = p->busy / 2 ? p->busy / 2 : 1;
  if (half < p->limit) p->limit = half; /* cancelled requests may keep more busy than it allows */
  p->answers = 0;
}

void pool_took(struct pool *p, struct usual_time *usual, uint64_t took_ms, uint64_t now_ms) {
  auto_concurrency_answered(&p->learnt, usual, took_ms, now_ms);
  p->limit = p->learnt.limit;
}

void pool_gone(struct pool *p, uint64_t now_ms) {
  p->load_ms = 0;
  if (!p->automatic) return;
  auto_concurrency_gone(&p->learnt, now_ms);
  p->limit = p->learnt.limit;
}

void pool_told(struct pool *p, const struct pb_pool_load *load, uint64_t now_ms) {
  /* A look at the queue alone keeps the last report about the workers. */
  if (load->workers >= 0 || !p->load_ms) p->load.workers = load->workers;
  if (load->idle >= 0 || !p->load_ms) p->load.idle = load->idle;
  p->load.queued = load->queued;
  p->load_ms = now_ms;
  if (!p->automatic) return;
  auto_concurrency_load(&p->learnt, p->busy, load->idle, load->queued, now_ms);
  p->limit = p->learnt.limit;
}

void pools_load(void *arg, const char *pool, const struct pb_pool_load *load) {
  struct pools *all = arg;
  struct pool *p = pool_find(all, pool);
  if (!p) return;
  pool_told(p, load, loop_now_ms(all->loop));
  pool_wake(p);
}

/* --- the circuit --- */

/* A pool may have 10,000 topics. Who has not heard yet gets no slot, either. */
static void members_tell(void *arg) {
  struct pool *p = arg;
  for (int i = 0; p->untold && i < TELL_SLICE; i++) {
    topic_touch(p->untold);
    p->untold = p->untold->at_pool.member_next;
  }
  if (p->untold) timer_start(&p->tell, 0);
}

static void members_touch(struct pool *p) {
  p->untold = p->members;
  members_tell(p);
}

void pool_unreachable(struct pool *p, const char *why, size_t len) {
  struct loop *loop = p->all->loop;
  char was[sizeof p->why];
  bool news = !p->circuit_open;
  strcpy(was, p->why); /* of the same size */
  pb_excerpt(p->why, sizeof p->why, why, len);
  news |= strcmp(was, p->why) != 0;
  uint64_t wait = loop_jitter(loop, backoff_wait(PROBE_FIRST_MS, PROBE_MAX_MS, p->failures));
  if (!p->circuit_open) {
    p->circuit_open = true;
    p->failures = 0;
    p->resting = false;
    pool_gone(p, loop_now_ms(loop));
    log_warning(loop_log(loop), p->name,
                "its workers cannot be reached: %s; jobs wait, and the broker sends one probe at a "
                "time until they are back",
                p->why);
    wait = loop_jitter(loop, PROBE_FIRST_MS);
  }
  p->failures++;
  timer_start(&p->timer, wait);
  if (news) members_touch(p);
}

void pool_reachable(struct pool *p) {
  pool_answered(p);
  if (p->busy_noted) log_info(loop_log(p->all->loop), p->name, "its workers take requests again");
  p->busy_noted = false;
  p->busy_since_ms = 0;
  if (!p->circuit_open) return;
  p->circuit_open = false;
  p->failures = 0;
  timer_stop(&p->timer);
  log_info(loop_log(p->all->loop), p->name, "its workers are back; going on");
  members_touch(p);
}

/* A short moment of "full" is ignored. If it lasts, it is logged and noted with the topic's errors,
 * once. */
static void busy_note(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why,
                      size_t len) {
  struct loop *loop = p->all->loop;
  uint64_t now = loop_wall_ms(loop);
  if (!p->busy_since_ms) p->busy_since_ms = now;
  pb_excerpt(p->busy_why, sizeof p->busy_why, why, len);
  if (p->busy_noted || (wish_ms < BUSY_NOTE_MS && now - p->busy_since_ms < BUSY_NOTE_MS)) return;
  p->busy_noted = true;
  log_warning(loop_log(loop), p->name, "its workers take no jobs, no attempt is counted: %s",
              p->busy_why);
  store_note_error(t->store, 0, WORKER_BUSY, p->busy_why, strlen(p->busy_why));
}

void pool_busy(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why, size_t len) {
  struct loop *loop = p->all->loop;
  if (p->circuit_open) pool_reachable(p); /* a worker that says it is full can be reached */
  busy_note(p, t, wish_ms, why, len);
  uint64_t wait = loop_jitter(loop, backoff_wait(REST_FIRST_MS, REST_MAX_MS, p->rests));
  uint64_t now = loop_now_ms(loop), until = now + (wish_ms > wait ? wish_ms : wait);
  pool_lower(p, now);
  if (p->resting && until <= p->rest_until_ms) return; /* an earlier longer rest holds for all */
  if (!p->resting) p->rests++;
  p->resting = true;
  p->rest_until_ms = until;
  timer_start(&p->timer, until - now);
}

/* Picks the topic whose ping is the probe for all of the pool's topics: a topic with work, if there
 * is one. */
static void probe(struct pool *p) {
  struct topic *best = NULL;
  for (struct topic *t = p->members; t; t = t->at_pool.member_next) {
    if (t->state != TOPIC_UNREACHABLE) continue;
    if (t->requests.line) { /* its ping waits already */
      topic_touch(t);
      timer_start(&p->timer, PROBE_MAX_MS);
      return;
    }
    if (t->ping.on_the_way) continue;
    if (!best || (topic_has_work(t) && !topic_has_work(best))) best = t;
  }
  if (best)
    worker_ping_ask(best);
  else
    timer_start(&p->timer, PROBE_MAX_MS);
}

/* Time for a probe of an unreachable pool, or the end of its rest. */
static void pool_tick(void *arg) {
  struct pool *p = arg;
  if (p->circuit_open) {
    if (!p->probing) probe(p);
    return;
  }
  p->resting = false;
  pool_wake(p);
}

void pool_probed(struct pool *p) {
  p->probing = false;
  /* Whatever the answer was: there is a next probe while the circuit is open. */
  if (p->circuit_open && !timer_pending(&p->timer)) timer_start(&p->timer, PROBE_MAX_MS);
}
