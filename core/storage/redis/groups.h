/* The consumer groups of a queue's topics. */
#ifndef PB_CORE_STORAGE_REDIS_GROUPS_H
#define PB_CORE_STORAGE_REDIS_GROUPS_H

#include "storage/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct query;
struct redis_reply;
struct store;
struct store_queue;
struct store_topic;

struct store_groups {
  unsigned asked; /* questions on the way that make queues' groups */
};

/* A job is acknowledged only when it is there for every topic of the queue, so adds wait for the
 * groups. */
struct queue_groups {
  char **names; /* topics whose groups were there once in the life of this node */
  size_t n_names;
  unsigned asked; /* questions on the way that make them */
  bool failed;    /* the last one: nothing is acknowledged */
  char why[160];
  long long n;            /* groups of the stream at the last answer; -1: not known */
  uint64_t hold_until_ms; /* monotonic: group @ goes then, which keeps all jobs; 0: there is none */
  bool warned;            /* of what cannot be tidied up */
  bool trimming;          /* a question that trims is on the way */
};

/* Makes the groups that are missing. `loaded`: the scripts were loaded just now. */
void groups_make(struct store_queue *q, bool loaded);
void groups_again(struct store_queue *q); /* something told that one is missing */
void groups_sweep(struct store *s);       /* asks failed ones again, ends holds */
/* The same as a question of `only` (NULL: of all topics), which reads its answer with
 * groups_told(). `again`: from within its answer. */
void groups_ask(struct query *query, const struct store_topic *only, bool loaded, bool again);
enum store_rc groups_told(struct query *query, enum store_rc rc, struct redis_reply *r);
/* Topics that are not configured any more. */
void groups_forget(struct store_queue *q);
void groups_init(struct store_queue *q);
void groups_done(struct store_queue *q);
/* How many groups a script that deletes should find: see parts/forget.lua. */
void groups_put(struct store_queue *q);
/* Logs a script's words about data that it could not tidy up. */
void groups_untidy(struct store_queue *q, const char *said);
/* Deletes the entries that all groups of the queue have settled, or with `retain` those of them
 * that are old enough.
 */
void groups_trim(struct store_queue *q);

#endif
