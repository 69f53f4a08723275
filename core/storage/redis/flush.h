/* The callbacks that wait until a storage is idle: store_flush(). */
#ifndef PB_CORE_STORAGE_REDIS_FLUSH_H
#define PB_CORE_STORAGE_REDIS_FLUSH_H

#include "event/loop.h"

struct store;
struct store_flush_wait;

struct store_flush {
  struct store_flush_wait *waits;
  struct deferred later;
};

/* Something was answered, or an outcome is durable: is that all? */
void flush_check(struct store *s);
void flush_done(struct store *s); /* calls them: the storage is not idle */

#endif
