/* The queues and topics of a storage. */
#ifndef PB_CORE_STORAGE_REDIS_OBJECTS_H
#define PB_CORE_STORAGE_REDIS_OBJECTS_H

#include <stdbool.h>

struct store;
struct store_queue;
struct store_topic;

struct store_objects {
  struct store_queue *queues;
  struct store_topic *lingering; /* freed by their owner, with outcomes still to store */
  bool leaves_jobs;              /* a topic was freed with jobs in this node's hands */
};

/* On READY, before anything else (the scripts have just been loaded), and when the data was lost.
 */
void objects_attach(struct store *s, bool loaded);

#endif
