/* How a request to a worker ended, as a transport tells it: what you know, not what shall be done.
 * What becomes of the jobs is the core's business; beside each outcome stands what that is.
 *
 *   struct pb_result r = {.size = sizeof r, .outcome = PB_ANSWERED, .code = 200};
 *   h->complete(o, ticket, &r);
 *
 * In doubt between PB_UNREACHABLE and PB_LOST say PB_LOST: an attempt too many is counted, but no
 * job runs twice unseen.
 */
#ifndef PEPPERBUS_OUTCOME_H
#define PEPPERBUS_OUTCOME_H

#include <stddef.h>
#include <stdint.h>

enum pb_outcome {
  /* The worker answered: `code` and `body` decide (200 done, 207 each job by the body,
   * 404 the job goes back and the topic is "not registered", else a failed attempt;
   * code 0 = the worker gave no verdict = a failed attempt). */
  PB_ANSWERED = 1,
  /* The worker cannot be reached and has seen nothing of the request: refused, no such
   * socket, connect timeout.  No attempt is counted, the job goes back, one probe at a time. */
  PB_UNREACHABLE = 2,
  /* The worker is there but full (EAGAIN on connect, 503 before work).  No attempt is
   * counted, the job goes back, the topic slows down (`retry_after_ms` if it said so). */
  PB_BUSY = 3,
  /* The connection ended after the request or a part of it was sent: whether the job ran is
   * unknown.  A failed attempt; never sent again at once. */
  PB_LOST = 4,
  /* The deadline passed, or the core cancelled it.  Unknown as well; a failed attempt. */
  PB_TIMEOUT = 5,
  /* The worker answered something that is not its protocol.  A failed attempt. */
  PB_GARBLED = 6,
  /* The transport cannot send this batch at all (too large for it).  A failed attempt. */
  PB_REFUSED = 7
};

/* All pointers are the plugin's and need to live only during the call of complete(). */
struct pb_result {
  uint32_t size;    /* sizeof(struct pb_result) as the plugin was compiled */
  uint32_t outcome; /* enum pb_outcome */
  int32_t code;     /* PB_ANSWERED: the worker's verdict (cgi, http: header `Code`), 0: none */
  const char *error_code; /* header `Error-Code` or "" / NULL */
  const char *topics;     /* ping: what it serves, "q/a,q/b" (header `Consume-Topics`) */
  const char *body;       /* the worker's message, or its 207 list, or its ping list */
  size_t body_len;
  /* For people, who see it as the job's error: what went wrong, with which peer, what the worker
   * wrote on STDERR. NULL only where nothing went wrong. */
  const char *detail;
  size_t detail_len;
  uint64_t retry_after_ms; /* PB_BUSY: the worker's own wish, 0: none */
};

#endif
