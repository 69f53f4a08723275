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
  char data[64];  /* its mark, by the last sweep since READY; another: it was lost */
  unsigned marks; /* made up by this node */
};

void sweep_init(struct store *s);
void sweep_start(struct store *s); /* on READY */
void sweep_stop(struct store *s);
void sweep_done(struct store *s);

#endif
