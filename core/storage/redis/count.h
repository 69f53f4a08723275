/* The number of jobs ahead of a group where Redis cannot tell it. They are counted in slices, while
 * all other work goes on.
 */
#ifndef PB_CORE_STORAGE_REDIS_COUNT_H
#define PB_CORE_STORAGE_REDIS_COUNT_H

#include <stdbool.h>
#include <stddef.h>

struct store;
struct store_counting;
struct store_queue;

struct queue_count {
  char **names; /* topics whose backlog is to be counted ... */
  size_t n;
  struct store_queue *next; /* ... and the next queue that has some */
  bool listed;
};

void count_add(struct store_queue *q, const char *topic);
void count_forget(struct store_queue *q);
int count_init(struct store *s);
void count_stop(struct store *s);
void count_done(struct store *s);

#endif
