/* What becomes of a job after an attempt: one function for each outcome, all of which end in the
 * store. The job is the store's afterwards. */
#ifndef PB_CORE_OUTCOME_H
#define PB_CORE_OUTCOME_H

#include "dispatch/topic.h"

struct loop;

void outcome_done(struct topic *t, struct job *job);
/* A failed attempt: retried after backoff, or dead when the attempts are used up. Returns the Unix
 * ms at which it is due again, or 0 when it is dead. */
uint64_t outcome_failed(struct topic *t, struct loop *loop, struct job *job, int code,
                        const char *message, size_t len);
/* The job is dead: it is not run again by itself, even if it has attempts left. */
void outcome_dead(struct topic *t, struct loop *loop, struct job *job, int code,
                  const char *message);
/* Back untouched, for any node: due at once. */
void outcome_released(struct topic *t, struct loop *loop, struct job *job);

#endif
