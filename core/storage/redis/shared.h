/* What the files shared_*.c have in common, and the news of what nodes share. */
#ifndef PB_CORE_STORAGE_REDIS_SHARED_H
#define PB_CORE_STORAGE_REDIS_SHARED_H

#include "storage/shared.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_TOLD "pb:{@}:told"

struct query;
struct redis_reply;
struct store;

struct store_shared {
  void (*fn)(void *arg, struct store *s, enum store_shared_event event, const char *id);
  void *arg;
  /* The entry of the stream that a sweep had last; 0: none since READY. */
  struct shared_entry {
    uint64_t ms, seq;
  } swept;
  struct shared_entry heard[256]; /* by the channel, a ring: a sweep leaves them out */
  size_t heard_at;
};

void shared_all_new(struct store *s); /* on READY, and when the data was lost */
/* "@event entry id", a message of the channel. */
void shared_heard(struct store *s, const char *text, size_t len);
/* Appends to s->out where the sweep goes on: "" while nobody listens. */
void shared_put_swept(struct store *s);
void shared_swept(struct store *s, const struct redis_reply *r); /* its answer: entries */
/* What a script tells of an event: its word. */
const char *shared_event_word(enum store_shared_event event);
/* False: so many bytes are more than `max`, or than the server takes; the query is answered so. */
bool shared_fits(struct query *query, size_t len, size_t max, const char *what);

#endif
