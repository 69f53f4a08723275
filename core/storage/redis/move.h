/* From when on jobs of a queue are in two storages. */
#ifndef PB_CORE_STORAGE_REDIS_MOVE_H
#define PB_CORE_STORAGE_REDIS_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_ACT_CONSUMER "act:" /* then its id: an act that moves jobs reads under this name */

struct store;
struct store_queue;

struct store_marks {
  uint64_t (*last_id)(void *arg);
  void *last_id_arg;
};

struct queue_marks {
  bool foreign;      /* some of its topics are in another storage ... */
  bool sent;         /* ... which was noted */
  uint64_t since_id; /* since this job */
};

/* Notes from when on this node's jobs for the queue's topics elsewhere are there, too. */
void move_marks(struct store_queue *q);

#endif
