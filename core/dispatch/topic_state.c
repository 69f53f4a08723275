/* Owns the answer to "may this topic's jobs run now": its state, the pings that ask the worker
 * whether it registers the topic, and the circuit that opens when a pool cannot be reached.
 *
 * A topic's state is derived from facts in one function, gate_update(); nothing else decides it.
 */
#include "dispatch/private.h"

#include <stdio.h>
#include <time.h>

#define GATE_FIRST_MS    200   /* wait before an unregistered topic is pinged again ... */
#define GATE_BUSY_MAX_MS 1500  /* ... at most, while jobs wait */
#define GATE_IDLE_MAX_MS 30000 /* ... at most, while none do */
#define PROBE_FIRST_MS   100   /* wait before unreachable workers are probed again ... */
#define PROBE_MAX_MS     1000  /* ... at most: full speed within 2 s of their return */
#define REST_FIRST_MS    10    /* pause after the workers said that they are full ... */
#define REST_MAX_MS      1000
#define BUSY_NOTE_MS     5000 /* workers that are full for so long are worth a line */
#define PULL_LOOK_MS     5000 /* between pings of open topics whose workers take jobs themselves */
#define HELD_MAX_MS      5000 /* jobs before a closed gate are then given to other nodes */

const char *const topic_state_names[TOPIC_STATES] = {"waiting",     "pinging", "unregistered",
                                                     "unreachable", "open",    "paused",
                                                     "disabled",    "broken",  "draining"};

static uint64_t gate_backoff(uint64_t first, uint64_t max, unsigned failures) {
  uint64_t wait = first;
  for (unsigned i = 0; i < failures && wait < max; i++) wait *= 2;
  return wait > max ? max : wait;
}

/* --- pools --- */

struct pool *gate_pool(struct dispatcher *d, const struct topic_settings *set) {
  char name[320];
  snprintf(name, sizeof name, "%s", set->pool ? set->pool->name : set->path);
  const struct pool_settings *ps = set->pool;
  size_t max = ps ? (size_t)ps->max_connections : (size_t)set->workers;
  struct pool *p = d->pools;
  while (p && strcmp(p->name, name)) p = p->next;
  if (!p) {
    p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->dispatcher = d;
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->run_type, sizeof p->run_type, "%s", set->run_type);
    timer_init(&p->timer, d->loop, gate_probe, p);
    p->next = d->pools;
    d->pools = p;
  }
  pool_bounds(p, max, ps && ps->concurrency, ps ? (size_t)ps->reserve : 0, loop_now_ms(d->loop));
  p->topics++;
  return p;
}

void gate_pool_drop(struct pool *p) {
  struct dispatcher *d = p->dispatcher;
  if (p->topics || p->busy || p->runs) return;
  for (struct pool **at = &d->pools; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  timer_done(&p->timer);
  loop_free_later(d->loop, p);
}

void gate_pool_wake(struct pool *p) {
  struct topic *first = pool_first(p);
  if (first) topic_pump_later(first);
}

static void pool_states(struct pool *p) {
  for (struct topic *t = p->dispatcher->topics; t; t = t->all_next)
    if (t->pool == p) gate_update(t);
}

/* The way to the pool's workers is closed: no attempts until a probe comes through. */
void gate_unreachable(struct pool *p, const char *why, size_t len) {
  struct dispatcher *d = p->dispatcher;
  pb_excerpt(p->why, sizeof p->why, why, len);
  uint64_t wait = loop_jitter(d->loop, gate_backoff(PROBE_FIRST_MS, PROBE_MAX_MS, p->failures));
  if (!p->open) {
    p->open = true;
    p->failures = 0;
    p->resting = false;
    pool_gone(p, loop_now_ms(d->loop));
    log_warning(loop_log(d->loop), p->name,
                "its workers cannot be reached: %s; jobs wait, one probe at a time until they are "
                "back",
                p->why);
    wait = loop_jitter(d->loop, PROBE_FIRST_MS);
  }
  p->failures++;
  timer_start(&p->timer, wait);
  pool_states(p);
}

void gate_reachable(struct pool *p) {
  pool_answered(p);
  if (p->busy_noted)
    log_info(loop_log(p->dispatcher->loop), p->name, "its workers take requests again");
  p->busy_noted = false;
  p->busy_since_ms = 0;
  if (!p->open) return;
  p->open = false;
  p->failures = 0;
  timer_stop(&p->timer);
  log_info(loop_log(p->dispatcher->loop), p->name, "its workers are back; going on");
  pool_states(p);
}

/* A moment of it is nothing; what lasts is logged, and noted with the topic's errors, once. */
static void busy_note(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why,
                      size_t len) {
  struct loop *loop = p->dispatcher->loop;
  uint64_t now = loop_wall_ms(loop);
  if (!p->busy_since_ms) p->busy_since_ms = now;
  pb_excerpt(p->busy_why, sizeof p->busy_why, why, len);
  if (p->busy_noted || (wish_ms < BUSY_NOTE_MS && now - p->busy_since_ms < BUSY_NOTE_MS)) return;
  p->busy_noted = true;
  log_warning(loop_log(loop), p->name, "its workers take no jobs, no attempt is counted: %s",
              p->busy_why);
  store_note_error(t->store, 0, WORKER_BUSY, p->busy_why, strlen(p->busy_why));
}

/* The workers are there but full: slower from now on, no attempt is counted. */
void gate_busy(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why, size_t len) {
  struct dispatcher *d = p->dispatcher;
  if (p->open) {
    gate_reachable(p); /* whoever says that it is full can be reached */
  }
  busy_note(p, t, wish_ms, why, len);
  uint64_t wait = loop_jitter(d->loop, gate_backoff(REST_FIRST_MS, REST_MAX_MS, p->rests));
  uint64_t now = loop_now_ms(d->loop), until = now + (wish_ms > wait ? wish_ms : wait);
  pool_lower(p, now);
  if (p->resting && until <= p->rest_until_ms) return; /* what another was told holds for all */
  if (!p->resting) p->rests++;
  p->resting = true;
  p->rest_until_ms = until;
  timer_start(&p->timer, until - now);
}

void gate_load(void *arg, const char *pool, const struct pb_pool_load *load) {
  struct dispatcher *d = arg;
  struct pool *p = d->pools;
  while (p && strcmp(p->name, pool)) p = p->next;
  if (!p) return;
  pool_told(p, load, loop_now_ms(d->loop));
  gate_pool_wake(p);
}

const char *dispatcher_why(const struct topic *t, char *ret, size_t size) {
  const struct pool *p = t->pool;
  char since[16];
  if (t->state != TOPIC_OPEN || *t->why) return t->why;
  if (p->busy_since_ms) {
    time_t at = (time_t)(p->busy_since_ms / 1000);
    struct tm tm;
    strftime(since, sizeof since, "%H:%M:%S", gmtime_r(&at, &tm));
    snprintf(ret, size, "busy since %s UTC: %s", since, p->busy_why);
  } else {
    snprintf(ret, size, "%s", t->full ? "its transport has no room for another request" : "");
  }
  return ret;
}

/* --- states --- */

void gate_give_back(struct topic *t) {
  struct job *job;
  uint64_t now = loop_wall_ms(t->dispatcher->loop);
  if (!t->ready.n) return;
  while ((job = job_list_pop(&t->ready))) outcome_released(t, t->dispatcher->loop, job);
  if (!t->next_due_ms || t->next_due_ms > now) t->next_due_ms = now;
}

/* Jobs at hand before a closed gate are given back after a while, for other nodes to run. */
void gate_watch(struct topic *t) {
  if (!t->ready.n || t->state == TOPIC_OPEN) return;
  if (!t->closed_at_ms) t->closed_at_ms = loop_now_ms(t->dispatcher->loop);
  if (!t->pinging && !timer_pending(&t->gate_timer)) timer_start(&t->gate_timer, HELD_MAX_MS);
}

static void gate_ping(struct topic *t) {
  if (t->pinging) return;
  struct run *r = run_new(t, RUN_PING);
  if (!r) return;
  r->gate = true;
  t->pinging = true;
  ask_later(t, r);
}

void gate_tick(void *arg) {
  struct topic *t = arg;
  struct dispatcher *d = t->dispatcher;
  bool look = t->state == TOPIC_OPEN && topic_pulls(t) && t->inst;
  if (t->state == TOPIC_UNREGISTERED || look) gate_ping(t);
  if (look) timer_start(&t->gate_timer, PULL_LOOK_MS); /* whatever becomes of this ping */
  if (t->closed_at_ms && t->state != TOPIC_OPEN &&
      loop_now_ms(d->loop) - t->closed_at_ms >= HELD_MAX_MS)
    gate_give_back(t);
  if (t->ready.n && t->state != TOPIC_UNREGISTERED) timer_start(&t->gate_timer, HELD_MAX_MS);
}

static bool topic_set_state(struct topic *t, struct loop *loop, enum topic_state to,
                            const char *why) {
  if (t->state == to && !strcmp(t->why, why)) return false;
  bool changed = t->state != to;
  snprintf(t->why, sizeof t->why, "%s", why);
  if (!changed) return false;
  log_debug(loop_log(loop), t->set->path, "%s -> %s%s%s", topic_state_names[t->state],
            topic_state_names[to], *why ? ": " : "", why);
  t->state = to;
  t->since_ms = loop_wall_ms(loop);
  return true;
}

void gate_update(struct topic *t) {
  struct dispatcher *d = t->dispatcher;
  enum topic_state to;
  const char *why = "";
  char words[sizeof t->why];
  if (t->draining) {
    to = TOPIC_DRAINING;
  } else if (!t->set->enabled || !t->set->here) {
    to = TOPIC_DISABLED;
    why = t->set->enabled ? "its system is not one of this node's (server: systems)"
                          : "enabled = no in the configuration";
  } else if (!t->inst && !t->set->pulled) {
    to = TOPIC_BROKEN;
    why = t->registered_why;
  } else if (!t->attached) {
    to = TOPIC_WAITING;
    why = "its storage is not ready";
  } else if (t->paused) {
    to = TOPIC_PAUSED;
    topic_pause_words(t, words, sizeof words);
    why = words;
  } else if (t->pool->open) {
    to = TOPIC_UNREACHABLE;
    why = t->pool->why;
  } else if (t->set->pulled || t->registered == REGISTERED_YES) {
    to = TOPIC_OPEN;
  } else if (t->registered == REGISTERED_NO) {
    to = TOPIC_UNREGISTERED;
    why = t->registered_why;
  } else {
    to = TOPIC_PINGING;
    why = "the worker is asked whether it registers the topic";
  }
  enum topic_state was = t->state;
  bool changed = topic_set_state(t, d->loop, to, why);
  if (to == TOPIC_PAUSED && t->pause.since_ms) t->since_ms = t->pause.since_ms;
  if (to == TOPIC_OPEN) {
    if (changed) take_forget(t);
    t->closed_at_ms = 0;
    if (!topic_pulls(t) || !t->inst)
      timer_stop(&t->gate_timer);
    else if (changed || !timer_pending(&t->gate_timer))
      timer_start(&t->gate_timer, PULL_LOOK_MS);
  } else if (changed) {
    pool_leave(t->pool, t);
    gate_pool_wake(t->pool);
    if (to == TOPIC_PAUSED || to == TOPIC_DISABLED || to == TOPIC_DRAINING) {
      gate_give_back(t);
    } else if (was == TOPIC_OPEN || !t->closed_at_ms) {
      t->closed_at_ms = loop_now_ms(d->loop);
      timer_start(&t->gate_timer, HELD_MAX_MS);
    }
  }
  if (to == TOPIC_PINGING) gate_ping(t);
  if (to == TOPIC_UNREGISTERED && !t->pinging && (changed || !timer_pending(&t->gate_timer))) {
    uint64_t max = topic_has_work(t) ? GATE_BUSY_MAX_MS : GATE_IDLE_MAX_MS;
    timer_start(&t->gate_timer,
                loop_jitter(d->loop, gate_backoff(GATE_FIRST_MS, max, t->gate_failures)));
  }
  if (changed || to == TOPIC_OPEN) topic_pump_later(t);
}

void gate_answer(struct topic *t, int code, const char *message) {
  if (!message) message = "";
  if (code == WORKER_OK) {
    if (t->registered == REGISTERED_NO)
      log_info(loop_log(t->dispatcher->loop), t->set->path,
               "the worker registers it again; going on");
    t->registered = REGISTERED_YES;
    t->gate_failures = 0;
    t->registered_why[0] = 0;
  } else {
    char why[sizeof t->registered_why];
    pb_excerpt(why, sizeof why, message, strlen(message));
    bool news = strcmp(t->registered_why, why);
    if (t->registered != REGISTERED_NO || news) {
      log_warning(loop_log(t->dispatcher->loop), t->set->path,
                  "its worker does not take it (%d): %s; jobs wait, asked again until it does",
                  code, message);
      store_note_error(t->store, 0, code, message, strlen(message));
    }
    t->registered = REGISTERED_NO;
    t->gate_failures++;
    strcpy(t->registered_why, why); /* of the same size */
  }
  gate_update(t);
}

void gate_ping_ended(struct run *r) {
  r->topic->pinging = false;
  if (!r->bypass) return;
  r->pool->probing = false;
  /* Whatever it told, there is a next probe while the circuit is open. */
  if (r->pool->open && !timer_pending(&r->pool->timer)) timer_start(&r->pool->timer, PROBE_MAX_MS);
}

/* Probe of an unreachable pool, or the end of its rest. */
void gate_probe(void *arg) {
  struct pool *p = arg;
  struct topic *best = NULL;
  if (!p->open) {
    p->resting = false;
    gate_pool_wake(p);
    return;
  }
  if (p->probing) return;
  for (struct topic *t = p->dispatcher->topics; t; t = t->all_next) {
    if (t->pool != p || t->state != TOPIC_UNREACHABLE) continue;
    if (t->asks) { /* its ping waits already */
      topic_pump_later(t);
      timer_start(&p->timer, PROBE_MAX_MS);
      return;
    }
    if (t->pinging) continue;
    if (!best || (topic_has_work(t) && !topic_has_work(best))) best = t;
  }
  if (best)
    gate_ping(best);
  else
    timer_start(&p->timer, PROBE_MAX_MS);
}

/* Work came to a topic whose worker did not register it: asked again soon, however rarely it was
 * asked while there was none. */
void gate_hurry(struct topic *t) {
  if (t->state == TOPIC_UNREGISTERED && !t->pinging)
    timer_start(&t->gate_timer, loop_jitter(t->dispatcher->loop, GATE_FIRST_MS));
}

bool gate_gives_back(const struct topic *t) {
  return t->state == TOPIC_PAUSED || t->state == TOPIC_DRAINING || t->state == TOPIC_DISABLED;
}
