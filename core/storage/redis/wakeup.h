/* Wake-ups between nodes. */
#ifndef PB_CORE_STORAGE_REDIS_WAKEUP_H
#define PB_CORE_STORAGE_REDIS_WAKEUP_H

#include "event/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_queue;
struct store_topic;

struct store_wakeups {
  struct timer timer;
  struct deferred later;
  struct store_queue *first; /* have a wake-up to publish */
  bool peers;                /* other nodes live on this storage ... */
  bool peers_known;          /* ... by a sweep, since the connection is there */
  uint64_t publish_ms;       /* monotonic: not before; it was refused */
};

struct queue_wakeup {
  struct store_queue *next;
  bool wanted, soon;
  uint64_t at_ms;    /* monotonic: when it was published last */
  uint64_t noted_ms; /* monotonic: when it was noted last for nodes that hear no message */
};

void wakeup_init(struct store *s);
void wakeup_start(struct store *s); /* on READY */
void wakeup_stop(struct store *s);
void wakeup_done(struct store *s);
void wakeup_peers_are(struct store *s, bool there); /* by the node registry */
void wakeup_peer_likely(struct store *s);           /* messages are sent in any case */
/* Other nodes should look at the queue; soon: within milliseconds, else within a second. */
void wakeup_peers(struct store_queue *q, bool soon);
void wakeup_due(struct store_topic *t, uint64_t due_ms); /* a retry is there, due then */
void wakeup_forget(struct store_queue *q);
void wakeup_all(struct store *s); /* this node looks at all queues */
void wakeup_heard(struct store *s, const char *text, size_t len);
void wakeup_subscribed(struct store *s);
void wakeup_missed(struct store *s); /* reads the notes that it did not hear */

#endif
