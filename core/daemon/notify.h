/* Tells systemd (or who else has set $NOTIFY_SOCKET, see sd_notify(3)) that the broker runs, what
 * became of a reload, and how long a stop may take. Without $NOTIFY_SOCKET nothing is said. */
#ifndef PB_CORE_NOTIFY_H
#define PB_CORE_NOTIFY_H

#include <pepperbus/abi.h>

struct notify;

/* Takes $NOTIFY_SOCKET out of the environment, because children must not report. NULL: there is no
 * socket to report to. The other functions accept NULL. */
struct notify *notify_new(void);
/* Lines as sd_notify(3) names them, "READY=1". Never waits; who does not read misses it. */
void notify_tell(struct notify *n, const char *fmt, ...) PB_PRINTF(2, 3);
void notify_free(struct notify *n);

#endif
