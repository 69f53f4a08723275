/* Answers that are made and not sent yet: those to wrong passwords wait until their time. */
#ifndef PB_CORE_HOLDBACK_H
#define PB_CORE_HOLDBACK_H

#include <stdint.h>

struct holdback;
struct loop;
struct reply;

struct holdback *holdback_new(struct loop *loop); /* NULL: no memory */
/* What still waits is done at once. NULL is fine. */
void holdback_free(struct holdback *h);
/* Calls reply_done() for `r` after about `after_ms`, at most HOLDBACK_MAX_MS. Until then the
 * connection's *holder is `r`. A reply that was there before is done now. */
#define HOLDBACK_MAX_MS 2500
void holdback_add(struct holdback *h, struct reply *r, uint64_t after_ms, struct reply **holder);
/* reply_done() now: whom it was for is gone. */
void holdback_drop(struct reply *r);

#endif
