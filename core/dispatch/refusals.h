/* How often a job was answered "not registered" although its topic is: such a job must not go round
 * for ever. The job itself knows while it is in memory; what is remembered here by its id outlives
 * that it was given back, or retried, and came again.
 */
#ifndef PB_CORE_REFUSALS_H
#define PB_CORE_REFUSALS_H

#include "job/job.h"

#define REFUSALS_MAX 3 /* from this one on they are failed attempts */

struct refusals; /* of one topic; NULL: there were none */

/* One more for `job`. True: it is a failed attempt. */
bool refusals_add(struct refusals **r, struct job *job);
/* `job` came from the store. */
void refusals_recall(const struct refusals *r, struct job *job);
void refusals_free(struct refusals *r); /* NULL is fine */

#endif
