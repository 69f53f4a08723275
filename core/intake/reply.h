/* Replies of one connection, in the order of its commands.
 *
 * A command opens its reply when it begins and fills it when it knows the answer, at once or many
 * turns later. A finished reply at the head of the line is ready to be sent. The slots come from a
 * pool that all connections of a loop share: so a busy connection allocates nothing, and an idle
 * one holds no memory.
 */
#ifndef PB_CORE_REPLY_H
#define PB_CORE_REPLY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct replies;
struct reply_pool;

struct reply {
  struct reply *next;
  struct reply_pool *pool;
  struct replies *of;     /* NULL: its connection is gone, the answer goes nowhere */
  struct buf out;         /* the bytes, once done */
  LIST_ENTRY(reply) held; /* holdback.c's, as is the next */
  struct reply **holder;
  bool done;
};

/* Embedded in a connection. */
struct replies {
  struct reply *last; /* its `next` is the first; NULL: none */
  struct reply_pool *pool;
  size_t n;     /* open or not yet sent */
  size_t bytes; /* bytes of finished replies */
};

typedef void (*reply_ready_fn)(struct replies *rs);

/* `ready` is called when the reply at the head of a line is done. NULL: no memory. */
struct reply_pool *reply_pool_new(reply_ready_fn ready);
/* Replies whose commands are still on the way keep the pool alive until they are done. */
void reply_pool_free(struct reply_pool *pool);

void replies_init(struct replies *rs, struct reply_pool *pool);
/* At the end of the line; NULL without memory. */
struct reply *reply_open(struct replies *rs);
/* `out` is complete. For a reply whose connection is gone this gives it back. */
void reply_done(struct reply *r);
/* The connection ends: finished replies are dropped, the others are let go. */
void replies_drop(struct replies *rs);
/* The first, when it is done, else NULL; and past it. */
struct reply *replies_first(const struct replies *rs);
void replies_pop(struct replies *rs);

#endif
