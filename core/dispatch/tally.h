/* Says in the log what became of a topic's failed jobs: the first at once, then a line in ten
 * seconds with numbers and the latest reason, as long as there are any. Jobs that are done cost
 * nothing here.
 */
#ifndef PB_CORE_TALLY_H
#define PB_CORE_TALLY_H

#include "event/loop.h"

#include <stddef.h>
#include <stdint.h>

struct tally; /* of one topic; NULL: nothing failed yet */

enum tally_kind { TALLY_RETRIED, TALLY_DEAD, TALLY_EXPIRED /* dead without an attempt */ };

/* Without memory the log says nothing. */
void tally_add(struct tally **at, struct loop *loop, const char *subject, enum tally_kind kind,
               uint64_t id, int code, const char *message, size_t len);
void tally_free(struct tally *t); /* says the rest; NULL is fine */

#endif
