/* How often a job was answered "not registered" although its topic is registered. Such a job must
 * not go round for ever. The job itself has the count while it is in memory. This table keeps the
 * count by job id after the job was given back or retried, until it comes again.
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
