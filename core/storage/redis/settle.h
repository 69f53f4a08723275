/* Outcomes until they are durable. */
#ifndef PB_CORE_STORAGE_REDIS_SETTLE_H
#define PB_CORE_STORAGE_REDIS_SETTLE_H

#include "event/loop.h"
#include "job/job.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_out; /* one outcome that is not durable yet */
struct store_topic;

struct store_settling {
  size_t n, bytes; /* outcomes that are not durable yet */
  struct deferred later;
  struct timer timer;
  struct store_topic *dirty; /* have outcomes to send */
  uint64_t late;             /* outcomes that were refused: another node had taken the jobs over */
};

struct out_list {
  struct store_out *head, **tail;
  size_t n;
};

struct topic_settling {
  /* What went well needs no more than the job; the others carry words. */
  struct job_list done, done_sent;
  struct out_list others, others_sent;
  unsigned answers; /* answers to the batch that are still to come */
  bool again;       /* the batch was sent before: parts of it may be stored */
  unsigned deaths;  /* of the node, when it was sent first */
  bool dirty;       /* on the store's list */
  size_t n, bytes;
  struct store_topic *dirty_next;
  struct timer resend;
};

void settle_start(struct store *s);
void settle_stop(struct store *s);
void settle_all(struct store *s); /* on READY: outcomes whose answer was lost */
void settle_topic_init(struct store_topic *t);
void settle_topic_done(struct store_topic *t); /* outcomes that are left stay in the storage */
void settle_abandon(struct store_topic *t);    /* the storage goes: forgets the rest */
void settle_odd(struct store_topic *t, uint64_t ms, uint64_t seq, uint64_t id, const char *message);

#endif
