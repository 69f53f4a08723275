/* Adds that wait for replicas. */
#ifndef PB_CORE_STORAGE_REDIS_ADD_REPLICATED_H
#define PB_CORE_STORAGE_REDIS_ADD_REPLICATED_H

#include "storage/store.h"
#include <stdbool.h>
#include <stddef.h>

struct link;
struct replicated;
struct store;
struct store_queue;

struct store_replicas {
  struct link *link;                         /* of adds that wait for replicas; NULL: none yet */
  bool opens;                                /* it is being made for the first time ... */
  struct replicated *to_send, **to_send_end; /* ... and these wait for that ... */
  size_t to_send_bytes;                      /* ... at most REDIS_UNSENT_MAX */
  struct replicated *to_wait, **to_wait_end; /* added; no WAIT covers them yet */
  struct replicated *waited;                 /* the WAIT on the way covers them */
};

void add_replicated_init(struct store *s);
void add_replicated_close(struct store *s); /* answers the adds that are on the way */
/* The link is there, or cannot be made; or groups are made: no reason to hold anything back. */
void add_replicated_go_on(struct store *s);
void add_replicated_begin(struct store_queue *q, const struct store_add *a, store_added_fn fn,
                          void *arg);

#endif
