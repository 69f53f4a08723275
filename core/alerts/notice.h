/* One notice of an alert: its body, its signature, and the way to who is told.
 *
 * Must never happen: a secret in the body, in an error or in the log; a notice that holds up the
 * loop.
 */
#ifndef PB_CORE_ALERTS_NOTICE_H
#define PB_CORE_ALERTS_NOTICE_H

#include "alerts/course.h"

#include <stdbool.h>
#include <stddef.h>

struct alert_settings;
struct loop;
struct notice;

#define NOTICE_TIMEOUT_MS 10000

struct notice_facts {
  const struct alert_settings *set;
  const struct course *course;
  bool confirmed; /* the nodes agree: the storage that they share was there */
  const char *cluster, *node;
};

/* Sends what course->due says. fn(fn_arg, error) once, never from within the call; `error` NULL: it
 * was taken. What `facts` points to need not live on. NULL: there is nobody to tell. */
typedef void (*notice_fn)(void *arg, const char *error);
struct notice *notice_send(struct loop *loop, const struct notice_facts *facts, notice_fn fn,
                           void *arg);
/* Before fn has come: it does not come any more. After the loop's last turn. */
void notice_cancel(struct notice *n);
/* For people: "topic msg/reply". */
const char *notice_target(const struct alert_settings *set, char *ret, size_t size);

#endif
