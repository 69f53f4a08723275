/* Starts processes on a thread, one after the other, so that the loop does not stand still
 * meanwhile. There is one spawner for each loaded plugin. Its thread begins with the first order.
 */
#ifndef PB_EXEC_SPAWNER_H
#define PB_EXEC_SPAWNER_H

#include "launch.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawner;
struct start; /* one order: the spawner's, valid until its callback or the end of the two below */

/* Standard input, where it is no descriptor of the caller's. */
enum { START_NULL = -1, START_PIPE = -2 };

struct started {
  int rc;           /* 0, or -errno: nothing of the program has run, and the rest means nothing */
  pid_t pid;        /* not watched yet: child_watch() in this callback. It may have ended already */
  int in, out, err; /* our ends, not blocking, the callback's to close; `in` -1 without a pipe */
};

/* On the loop's thread, in a later turn than the order. */
typedef void (*start_fn)(void *arg, const struct started *s);

/* `o`: the plugin's, as load() got it. NULL without memory. */
struct spawner *spawner_new(const struct pb_host *h, struct pb_owner *o);
/* Waits for a start that runs just now. Every order is over or dropped before. NULL is fine. */
void spawner_free(struct spawner *s);

/* Orders a process of `l` with these variables in addition to those of `l` ("NAME=value", then
 * NULL; copied). `input` is START_NULL, START_PIPE or a descriptor, which is closed also when this
 * fails. Returns 0 or -errno. */
int spawner_start(struct spawner *s, struct launch *l, const char *const extra[], int input,
                  start_fn fn, void *arg, struct start **ret);
/* Do so many orders wait that a request had better wait where it is? Its time runs from its order.
 */
bool spawner_full(struct spawner *s);
/* Takes an order back, with nothing run and no callback to come. False: it has begun, and the
 * callback comes. */
bool start_cancel(struct start *st);
/* The caller goes: no callback comes. A process that has started is killed with its group, and
 * reaped. */
void start_drop(struct start *st);

#endif
