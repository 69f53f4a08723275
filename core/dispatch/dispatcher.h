/* Which topic runs next. The dispatcher owns the topics' turns: see topic.h.
 *
 * A job's way here: storage -> ready list -> request -> transport -> outcome -> storage. A topic
 * runs at most `workers` requests at a time, and all topics of a pool at most `max_connections`. An
 * idle topic has no timer and asks the storage nothing. It is woken by the local intake, by another
 * node's message, by a due time, or by the storage's sweep.
 */
#ifndef PB_CORE_DISPATCHER_H
#define PB_CORE_DISPATCHER_H

#include "dispatch/topic.h"

#include <pepperbus/transport.h>

struct dispatcher;

/* NULL: no memory. */
struct dispatcher *dispatcher_new(struct loop *loop, struct gateway g);
/* Closes the transports. What still runs is left to the storage's record of it: the next start, or
 * another node, takes it over. Then the registry is freed, then this. */
void dispatcher_stop(struct dispatcher *d);
void dispatcher_free(struct dispatcher *d);

/* The registry calls these as topics come and go. dispatcher_add_topic() opens the topic's
 * transport instance. dispatcher_remove_topic() drains the topic: running jobs finish or time out,
 * jobs at hand go back to the storage. Then it calls gone(arg, t). Between the two the facts in
 * struct topic are the dispatcher's. */
void dispatcher_add_topic(struct dispatcher *d, struct topic *t);
/* The topic's settings changed (not its storage): t->set and t->snapshot are the new ones,
 * `was` the old. A new transport instance is opened where the worker's address changed; requests
 * that run end on the old one. */
void dispatcher_update_topic(struct dispatcher *d, struct topic *t,
                             const struct topic_settings *was);
void dispatcher_remove_topic(struct dispatcher *d, struct topic *t,
                             void (*gone)(void *arg, struct topic *t), void *arg);
/* The topic's storage became ready, or stopped being it. */
void dispatcher_store_ready(struct dispatcher *d, struct topic *t, bool ready);
/* There may be something new for the queue's topics. `local`: this node stored it just now. */
void dispatcher_wake(struct dispatcher *d, struct queue *q, bool local);
/* Another node left a retry, due at Unix ms. */
void dispatcher_due(struct dispatcher *d, struct topic *t, uint64_t due_ms);
/* A job of the queue was stored with a delay: due at Unix ms. */
void dispatcher_delayed(struct dispatcher *d, struct queue *q, uint64_t due_ms);
/* `node` of this storage is dead: its running jobs of this node's topics are taken over. */
void dispatcher_node_died(struct dispatcher *d, struct store *s, const char *node);
/* This node was declared dead on that storage; the storage counts jobs of the topic that are not
 * here. */
void dispatcher_declared_dead(struct dispatcher *d, struct store *s);
void dispatcher_missing(struct dispatcher *d, struct topic *t);

/* Stop: nothing new is taken, taken ones are released, running ones finish. fn is called once when
 * nothing runs any more, or after timeout_ms. */
void dispatcher_drain(struct dispatcher *d, uint64_t timeout_ms, void (*fn)(void *arg, size_t left),
                      void *arg);

/* Pools, for status. */
struct pool_status {
  const char *name, *run_type;
  size_t max, limit, busy, waiting_topics, topics; /* limit: requests at a time for now */
  bool automatic;                                  /* concurrency = auto */
  size_t reserve;  /* workers left to others; 0 where not automatic */
  bool resting;    /* a pause, because its workers were full */
  bool open;       /* its workers cannot be reached: `why`; probed so often */
  const char *why; /* "" */
  unsigned probes;
  struct pb_pool_load load; /* -1: not known */
  uint64_t load_age_ms;
};
struct transports *dispatcher_transports(struct dispatcher *d);
size_t dispatcher_pools(struct dispatcher *d, struct pool_status *ret, size_t max);

#endif
