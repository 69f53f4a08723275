/* One run of the command of an alert: /bin/sh -c LINE, the notice on its standard input, and in its
 * environment PEPPERBUS_ALERT, PEPPERBUS_INCIDENT and PEPPERBUS_STATE. Its output goes nowhere. */
#ifndef PB_CORE_ALERTS_SHELL_H
#define PB_CORE_ALERTS_SHELL_H

#include <stddef.h>
#include <stdint.h>

struct shell;
struct loop;

struct shell_request {
  const char *line, *alert, *incident, *state;
  const void *body; /* a few KB: a pipe takes it at once */
  size_t len;
  uint64_t timeout_ms; /* then it is killed, with its process group */
};

/* fn(arg, error) once, never from within the call; `error` NULL: exit 0. 0 or -errno. */
typedef void (*shell_fn)(void *arg, const char *error);
int shell_run(struct loop *loop, const struct shell_request *r, shell_fn fn, void *arg,
              struct shell **ret);
/* Kills it; fn does not come any more. After the loop's last turn. */
void shell_cancel(struct shell *c);

#endif
