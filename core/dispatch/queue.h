/* The facts of one running queue. The registry makes and frees it; intake and the queue's topics
 * use it.
 */
#ifndef PB_CORE_QUEUE_H
#define PB_CORE_QUEUE_H

#include "config/settings.h"
#include "dispatch/counters.h"
#include "event/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;
struct store;
struct store_queue;
struct topic;

/* A queue in one storage. A queue may be in several. */
struct queue_store {
  struct store *store;
  struct store_queue *sq;
  struct settings *snapshot; /* that sq was made from; a reference */
  uint64_t retain_ms;
  bool active;     /* topics of the present snapshot read it: intake writes to it */
  unsigned topics; /* running ones, leaving ones included */
};

struct queue {
  const struct queue_settings *set; /* of the snapshot that runs now */
  char name[NAME_LEN_MAX + 1];
  struct registry *registry;
  struct queue_store **stores;
  size_t n_stores;
  struct topic **topics; /* of the present snapshot */
  size_t n_topics;
  unsigned refs; /* the registry's, and one for each answer on the way that will use it */
  void (*gone)(struct queue *q); /* the last reference is gone: frees it */
  bool leaving;                  /* no longer configured */
  size_t held; /* commands that wait for a storage's first connection, see intake.c */
  struct {
    uint64_t next_ms; /* Unix ms of the first delayed job known of; 0: none */
    struct timer timer;
  } delayed;        /* delayed.c */
  size_t job_bytes; /* an average of what this node accepted, the latest first */
  struct queue_counters counters;
  struct rates rates;
};

/* A caller that waits for an answer about the queue holds a reference. */
void queue_ref(struct queue *q);
void queue_unref(struct queue *q);

#endif
