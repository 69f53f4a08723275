/* The pings that ask a worker whether it registers a topic: when the next ping is due, and what the
 * last answers were. request.c sends the pings.
 */
#ifndef PB_CORE_WORKER_PING_H
#define PB_CORE_WORKER_PING_H

#include <stdbool.h>

struct topic;

void worker_ping_begin(struct topic *t);
void worker_ping_end(struct topic *t);
/* Another worker is asked from now on: nothing is known of it. */
void worker_ping_forget(struct topic *t);
/* One is due now; no-op while one is on the way. */
void worker_ping_ask(struct topic *t);
/* Work came to a topic whose worker did not register it: asked again soon. */
void worker_ping_hurry(struct topic *t);
/* The answer of a ping, or a worker's 404, about the topic: 200 or the reason why not. */
void worker_ping_told(struct topic *t, int code, const char *message);
/* Acts on the topic's state. `changed`: it was another state before. */
void worker_ping_by_state(struct topic *t, bool changed);

#endif
