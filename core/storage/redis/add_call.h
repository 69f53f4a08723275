/* A call of store_add(), from its beginning to its answer. */
#ifndef PB_CORE_STORAGE_REDIS_ADD_CALL_H
#define PB_CORE_STORAGE_REDIS_ADD_CALL_H

#include "event/loop.h"
#include "job/job.h"
#include "storage/redis/link.h"
#include "storage/redis/refusals.h"
#include "storage/store.h"
#include <stddef.h>
#include <stdint.h>

#define TOO_MANY      "too much is on the way to the storage (max_inflight jobs, or 256 MB); try again"
#define NO_CONNECTION "no connection to the storage"

struct store;
struct store_queue;

enum add_refusal { ADD_NO_CONNECTION, ADD_TOO_MANY, ADD_NO_REPLICAS, ADD_NO_LINK };

struct add_call {
  struct link_callback callback;
  size_t len; /* of the job's stored form */
  struct add_call *next;
  struct store_queue *q;
  store_added_fn fn;
  void *arg;
  uint64_t id;
  enum add_refusal refusal; /* of a call that was not sent */
};

struct store_adds {
  size_t n; /* on the way */
  struct add_call *pool;
  size_t pool_n;
  struct add_call *failed, **failed_end;
  struct deferred later;
  char words[STORE_WORDS]; /* of the answer being given */
};

void add_init(struct store *s);
void add_done(struct store *s);
struct add_call *add_new(struct store_queue *q, store_added_fn fn, void *arg, uint64_t id);
void add_answer(struct add_call *c, enum store_rc rc, const char *why);
void add_refuse(struct add_call *c, enum add_refusal refusal); /* answered at the end of the turn */
void add_answer_failed(struct store *s);                       /* those now */
/* Counts a call that waits for its answer elsewhere: for replicas. */
void add_counts(struct store *s);
void add_counts_not(struct store *s);
/* A topic has no group, so the job would not be for that topic: it is not acknowledged. Sets `why`.
 */
enum store_rc add_ungrouped(struct store_queue *q, const char **why);
/* The answer to a job that is too large for the server, which closes the connection with it. */
void add_too_large(struct store *s, const struct redis_reply *r, size_t len);
/* Stored, so it is acknowledged; adding it again with the token would store it once more. */
void add_token_lost(struct store_queue *q, const char *why);
/* The command, in s->out. */
size_t add_head(const struct store *s, const struct store_add *a, unsigned char ret[JOB_HEAD_MAX]);
void add_put_value(struct store *s, const struct store_add *a);
void add_put_limits(struct store_queue *q, const struct store_add *a, uint64_t due, size_t more,
                    uint64_t more_bytes);
void add_put_script(struct store_queue *q, const struct store_add *a);

#endif
