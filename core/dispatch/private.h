/* What the dispatcher's files share. Nobody else includes this.
 *
 * gate.c        may a topic's jobs run? States, pings, the circuit of a pool
 * take.c        jobs from the store to the topic's ready list
 * run.c         requests: ready list -> batch -> transport -> outcome
 * dispatcher.c  topics come and go, stop, operators
 *
 * Whatever may have made work possible calls topic_pump_later(); topic_pump() then does all
 * there is to do.
 */
#ifndef PB_CORE_DISPATCH_H
#define PB_CORE_DISPATCH_H

#include "transport/batch.h"
#include "dispatch/dispatcher.h"
#include "base/log.h"
#include "dispatch/outcome.h"
#include "event/sched_batch.h"
#include "dispatch/pool.h"
#include "dispatch/refusals.h"
#include "transport/transport.h"
#include "dispatch/worker_reply.h"

#include <pepperbus/text.h>
#include <stdlib.h>
#include <string.h>

#define STORE_AGAIN_MS  1000       /* after the store answered an error */
#define BATCH_BYTES_MAX (8u << 20) /* no further job joins a request that has this much */

enum run_kind { RUN_JOBS, RUN_PING, RUN_TEST };

/* One request to a worker. */
struct run {
  struct run *next, **prev; /* on its topic's runs, or the dispatcher's spare list */
  struct topic *topic;
  struct pool *pool;
  struct instance *inst;
  enum run_kind kind;
  bool started, over; /* over: settled as timed out; only its slot is still taken */
  bool late;          /* its deadline was seen late, and put off once */
  bool gate;          /* the gate's own ping */
  bool waits;         /* on its topic's no_room, or in its line again: its deadline runs already */
  bool bypass;        /* sent without a slot, because the circuit is open: nothing to release */
  struct pb_batch *batch;
  pb_ticket ticket;
  struct timer deadline;
  uint64_t started_ms;
  struct settings *snapshot; /* that the batch's topic lives in; a reference */
  struct job *test_job;
  dispatcher_answer_fn answer;
  void *answer_arg;
};

struct dispatcher {
  struct loop *loop;
  struct transports *transports;
  struct gateway gateway;
  struct id_source traces;
  struct pool *pools;
  struct topic *topics;
  struct run *spare;
  size_t spare_n;
  struct pace pace;
  struct timer drain_timer, drain_next;
  struct topic *drain_at; /* the next that is to begin to drain, while a stop begins */
  struct deferred drain_look;
  bool draining;
  void (*drained)(void *arg, size_t left);
  void *drained_arg;
};

/* Do its workers take their jobs themselves? Then it has none of its own to run. */
static inline bool topic_pulls(const struct topic *t) {
  return t->set->pulled || (t->set->transport && t->set->transport->caps & PB_CAP_PULL);
}

/* --- gate.c --- */

struct pool *gate_pool(struct dispatcher *d,
                       const struct topic_settings *set); /* NULL: no memory */
void gate_pool_drop(struct pool *p);                      /* when nobody uses it */
void gate_pool_wake(struct pool *p); /* a slot may be free: the first in line */
/* The way to the pool's workers is closed: no attempts until a probe comes through. */
void gate_unreachable(struct pool *p, const char *why, size_t len);
void gate_reachable(struct pool *p);
/* The workers are there but full, as `t` heard: slower from now on. `wish_ms`: their own wish, or
 * 0. */
void gate_busy(struct pool *p, struct topic *t, uint64_t wish_ms, const char *why, size_t len);
/* What a transport tells of its pool's workers (transports_load_fn). */
void gate_load(void *arg, const char *pool, const struct pb_pool_load *load);
/* Derives the topic's state from the facts, and acts on a change. */
void gate_update(struct topic *t);
/* What a ping, or a worker's 404, told of the topic. */
void gate_answer(struct topic *t, int code, const char *message);
void gate_ping_ended(struct run *r);
/* Work came to a topic whose worker did not register it: asked again soon. */
void gate_hurry(struct topic *t);
/* Jobs at hand before a closed gate are given back after a while, for other nodes to run. */
void gate_watch(struct topic *t);
void gate_give_back(struct topic *t);        /* at once */
bool gate_gives_back(const struct topic *t); /* in this state nothing is kept at hand */
void gate_tick(void *arg);                   /* the topic's gate_timer */
void gate_probe(void *arg);                  /* a pool's timer */

/* --- take.c --- */

bool topic_has_work(const struct topic *t); /* as far as this node knows */
void take_more(struct topic *t);
/* Jobs of any size may have gathered meanwhile: what was read before says nothing of them. */
void take_forget(struct topic *t);
/* A retry is due at Unix ms; 0: none. */
void take_due_at(struct topic *t, uint64_t due_ms);
void take_attach(struct topic *t);
/* What the storage says this node runs is compared with what it has in memory. */
void take_recover(struct topic *t);
void take_due_tick(void *arg);   /* the topic's due_timer */
void take_again_tick(void *arg); /* the topic's again_timer */

/* --- run.c --- */

void topic_pump(void *arg);
void topic_pump_later(struct topic *t);
struct run *run_new(struct topic *t, enum run_kind kind); /* NULL: no memory */
void run_free(struct dispatcher *d, struct run *r);
/* A ping or test stands in line for a slot; refused: answered with 502. */
/* Those that waited for room are in line again. */
void ask_room(struct topic *t);
void ask_later(struct topic *t, struct run *r);
void ask_refuse(struct topic *t, const char *why);

/* --- dispatcher.c --- */

void dispatcher_maybe_gone(struct topic *t);
void dispatcher_maybe_drained(struct dispatcher *d);

#endif
