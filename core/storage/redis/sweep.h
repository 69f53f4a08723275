/* The sweep of a storage, every two seconds. */
#ifndef PB_CORE_STORAGE_REDIS_SWEEP_H
#define PB_CORE_STORAGE_REDIS_SWEEP_H

#include "event/loop.h"
#include <stddef.h>

struct store;

struct store_sweep {
  struct timer timer;
  unsigned n;     /* since READY */
  size_t trim_at; /* which queue lets go next */
};

void sweep_init(struct store *s);
void sweep_start(struct store *s);     /* on READY */
void sweep_data_lost(struct store *s); /* or exchanged */
void sweep_stop(struct store *s);
void sweep_done(struct store *s);

#endif
