/* The one table {name, arity, flags, function} of the producers' port. */
#ifndef PB_CORE_COMMAND_TABLE_H
#define PB_CORE_COMMAND_TABLE_H

#include <stdbool.h>

struct resp;
struct session;

/* Runs one request. False: no memory even to say so; the connection is to be closed. */
bool command_run(struct session *s, const struct resp *request);
/* Where `exec` is set: runs the next of the queued commands. No other command may run meanwhile.
 * False as above. */
bool command_run_queued(struct session *s);

#endif
