/* The parts that the dispatcher's files share. Other folders must not include this. */
#ifndef PB_CORE_DISPATCH_PRIVATE_H
#define PB_CORE_DISPATCH_PRIVATE_H

#include "dispatch/pool.h"
#include "event/sched_batch.h"
#include "transport/batch.h"
#include "transport/transport.h"

#define STORE_AGAIN_MS  1000        /* after the storage answered an error */
#define BATCH_BYTES_MAX (8u << 20)  /* no further job joins a request that has this much */
#define PAGE_BYTES_MAX  (16u << 20) /* of one answer with retries, or with jobs to take over */

struct request;
struct topic;

struct dispatcher {
  struct loop *loop;
  struct transports *transports;
  struct gateway gateway;
  struct id_source traces;
  struct pools pools;
  struct topic *topics;
  struct request *spare; /* request.c */
  size_t spare_n;
  struct sched_batch sched_batch;
  struct timer drain_timer, drain_next;
  struct topic *drain_at; /* the next that is to begin to drain, while a stop begins */
  struct deferred drain_look;
  bool draining;
  void (*drained)(void *arg, size_t left);
  void *drained_arg;
};

#endif
