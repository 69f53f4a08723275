/* Waits until a revision runs on this node. */
#ifndef PB_CORE_CONTROL_AWAIT_H
#define PB_CORE_CONTROL_AWAIT_H

#include "control/control.h"

#include <stdbool.h>
#include <stdint.h>

#define AWAIT_MS 5000 /* at most */

typedef void (*await_fn)(void *arg, bool there);
/* fn(arg, true) once revision `number` or a newer one runs on this node; fn(arg, false) once it is
 * known that it cannot, or after AWAIT_MS. Later, never from within the call. */
void await_running(struct control *c, uint64_t number, await_fn fn, void *arg);
/* The revision that runs here may be another one. */
void await_look(struct control *c);
void await_end(struct control *c); /* after the loop's last turn: answers those that wait */

#endif
