/* Intake: from a producer's command to "stored", and jobs for pull workers.
 *
 * Intake checks queue, size and count, gives ids, asks each storage of the queue's topics, and
 * answers once. The answer is success only when every storage has the job.
 */
#ifndef PB_CORE_INTAKE_H
#define PB_CORE_INTAKE_H

#include "job/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct intake;
struct loop;
struct queue;
struct registry;
struct topic;

/* `d` is woken when jobs were stored. NULL: no memory. */
struct intake *intake_new(struct loop *loop, struct registry *reg, struct dispatcher *d,
                          struct gateway g);
void intake_free(struct intake *in); /* nothing may be on the way */

/* The storages' shard for this node and the clock that ids start after: until this was called
 * adds are refused. */
void intake_start_ids(struct intake *in, unsigned shard, uint64_t mark_ms);
uint64_t intake_last_id(const struct intake *in); /* 0: none was given out */
/* For a job that does not come by intake_add(), from the same ids; 0: none can be given yet. */
uint64_t intake_new_id(struct intake *in);
/* A storage may have become ready: what waited for it goes on. After a start or a reload commands
 * wait for the first connection of their storages (store_expected()), bounded in number and bytes.
 */
void intake_go_on(struct intake *in);
/* Forgets all that waits, without an answer: the clients are gone. Before the registry is freed. */
void intake_forget(struct intake *in);
/* Requests whose answer is still owed. */
size_t intake_pending(const struct intake *in);

/* A request of more jobs than this is sent in slices. Jobs that are added meanwhile go between
 * them.
 */
#define INTAKE_AT_ONCE 512

struct intake_job {
  const void *content;
  size_t len;
};

/* Of ADDJOB; zeroed: none. */
struct intake_options {
  uint64_t delay_ms, ttl_ms;
  bool own_retry;     /* RETRY was given: retry_ms instead of the topic's backoff; */
  uint64_t retry_ms;  /* UINT64_MAX: no retry by itself */
  int64_t max_length; /* MAXLEN; 0: only the queue's own */
  const char *token;  /* ID: a producer's name for this very add, remembered for 10 minutes */
  size_t token_len;
  uint64_t token_ms; /* how long it is known; 0: ten minutes */
  unsigned replicate;
  uint64_t replicate_ms;
};

enum intake_rc {
  INTAKE_OK = 0,
  INTAKE_NO_QUEUE, /* "queue or Topic not exist <queue>" */
  INTAKE_EMPTY,    /* "empty jobs" */
  INTAKE_TOO_LARGE,
  INTAKE_FULL,
  INTAKE_STORAGE /* certain or unknown failure of a storage; the text says which */
};

struct intake_result {
  enum intake_rc rc;
  const uint64_t *ids; /* in the order of the jobs; INTAKE_OK only */
  size_t n;
  uint64_t trace; /* this request's; valid in every case */
  struct gateway gateway;
  const char *error; /* for the producer; "" when ok */
};
/* `r` is valid during the call. Called exactly once for each intake_add(); when the outcome is
 * known at once (bad queue, no storage), from within intake_add(). */
typedef void (*intake_fn)(void *arg, const struct intake_result *r);

/* The content is needed during the call only. `name` is that of the queue, without topic. */
void intake_add(struct intake *in, const char *name, size_t name_len, const struct intake_job *jobs,
                size_t n, const struct intake_options *o, intake_fn fn, void *arg);

/* One job for a pull worker, gone for this topic with this call (RPOP is at most once).
 * json: `{"jobs":[{...}]}`; NULL with rc INTAKE_OK: nothing there. Valid during the call. */
typedef void (*intake_pop_fn)(void *arg, enum intake_rc rc, const char *json, size_t len,
                              const char *error);
void intake_pop(struct intake *in, struct topic *t, intake_pop_fn fn, void *arg);

#endif
