/* Topics that have jobs in a storage but are not configured. */
#ifndef PB_CORE_STORAGE_REDIS_UNCONFIGURED_H
#define PB_CORE_STORAGE_REDIS_UNCONFIGURED_H

#include "event/loop.h"
#include "storage/store.h"
#include <stdbool.h>
#include <stddef.h>

struct names;
struct store;
struct store_stray;
struct stray_walk;

struct store_unconfigured {
  struct timer timer;
  bool due;                 /* a walk should begin */
  struct stray_walk *walk;  /* under way */
  struct store_stray *list; /* topics that the last walk found */
  size_t n;
  enum store_known (*known)(void *arg, const char *queue, const char *topic);
  void *known_arg;
  struct names *said; /* by the last walk; not told again */
};

int unconfigured_init(struct store *s);
void unconfigured_done(struct store *s);
void unconfigured_start(struct store *s);  /* on READY */
void unconfigured_wanted(struct store *s); /* topics or queues went */

#endif
