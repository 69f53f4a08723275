/* What a plugin may know of jobs: a batch is what one request carries.  The accessors are
 * slots of the host table (transport.h).
 */
#ifndef PEPPERBUS_JOB_H
#define PEPPERBUS_JOB_H

/* The core's; valid from submit() until the ticket's completion. */
struct pb_batch;

enum pb_batch_type {
  PB_BATCH_PING = 1, /* no jobs: asks whether the worker registers the topic */
  PB_BATCH_DATA = 2  /* one job or more */
};

#endif
