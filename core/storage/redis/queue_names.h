/* The queues of a storage by their names. */
#ifndef PB_CORE_STORAGE_REDIS_QUEUE_NAMES_H
#define PB_CORE_STORAGE_REDIS_QUEUE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct store;
struct store_queue;

struct store_names {
  struct store_queue **slots; /* by hashes of their names, each a list */
  size_t n, n_slots;          /* n_slots: a power of two, or 0 */
};

bool queue_names_room(struct store *s); /* for one more; false: no memory */
void queue_names_add(struct store_queue *q);
void queue_names_remove(struct store_queue *q);
void queue_names_done(struct store *s);
/* The first queue of this name behind `after` (NULL: of all). There are two while a queue that a
 * reload has replaced ends. */
struct store_queue *queue_named(const struct store *s, const char *name,
                                const struct store_queue *after);

#endif
