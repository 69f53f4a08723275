/* The queues and topics of a storage. */
#ifndef PB_CORE_STORAGE_REDIS_OBJECTS_H
#define PB_CORE_STORAGE_REDIS_OBJECTS_H

#include "event/loop.h"

#include <stdbool.h>

struct store;
struct store_queue;
struct store_topic;

struct store_objects {
  struct store_queue *queues;
  struct timer attach; /* pending: groups are being made before READY */
  void (*attached)(struct store *s);
  struct store_topic *lingering; /* freed by their owner, with outcomes still to store */
  bool leaves_jobs;              /* a topic was freed with jobs in this node's hands */
};

void objects_init(struct store *s, void (*attached)(struct store *s));
void objects_done(struct store *s);
/* Before READY, when the scripts have just been loaded: the groups of all queues are made, some
 * queues each turn of the loop. Then attached(s), from here or from a later turn. */
void objects_attach_slowly(struct store *s);
bool objects_attaches(const struct store *s);
void objects_attach_stop(struct store *s); /* the connection is gone */
/* The same at once, when the data was lost. */
void objects_attach(struct store *s);

#endif
