/* Delayed jobs of a queue, which enter its streams when their time has come. */
#ifndef PB_CORE_DELAYED_H
#define PB_CORE_DELAYED_H

#include <stdint.h>

struct loop;
struct queue;

/* One is due at Unix ms. */
void delayed_at(struct queue *q, struct loop *loop, uint64_t due_ms);

#endif
