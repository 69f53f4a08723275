/* The way to a clean stop: no new clients -> answers out -> nothing taken -> running jobs end ->
 * outcomes durable -> the node's name given up.
 */
#ifndef PB_CORE_SHUTDOWN_H
#define PB_CORE_SHUTDOWN_H

struct broker;
struct shutdown;

/* Begins; the loop is stopped when it is done, or [server] drain_timeout has passed. */
struct shutdown *shutdown_begin(struct broker *b);
/* At once: what runs is redelivered later. */
void shutdown_now(struct shutdown *s);
void shutdown_free(struct shutdown *s); /* NULL is fine */

#endif
