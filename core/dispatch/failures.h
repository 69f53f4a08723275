/* What failed in a topic, by signature (job/signature.h), since history/ looked last. Jobs that are
 * done cost nothing here. At most FAILURES_MAX signatures; failures with another one are counted
 * together.
 */
#ifndef PB_CORE_FAILURES_H
#define PB_CORE_FAILURES_H

#include "job/signature.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAILURES_MAX  64
#define FAILURES_SEEN 256 /* signatures that are remembered as no news */

struct failure {
  struct signature signature;
  uint64_t count, job;        /* job: the last one */
  uint64_t first_ms, last_ms; /* monotonic */
};

struct failures {
  struct failure *list; /* malloc'd, of `room` */
  size_t n, room;
  uint64_t other;
  bool news; /* one of them was not seen before */
  uint64_t seen[FAILURES_SEEN];
};

/* *at NULL: nothing failed yet. Without memory it is counted nowhere. */
void failures_add(struct failures **at, uint64_t now_ms, uint64_t job, int code,
                  const char *message, size_t len);
/* They have been read: begins again from nothing. */
void failures_clear(struct failures *f);
void failures_free(struct failures *f); /* NULL is fine */

#endif
