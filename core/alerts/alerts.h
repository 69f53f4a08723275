/* Alerts: what [alert NAME] watches, and who is told.
 *
 * Each alert has a state in the shared storage, and one node that watches it: the one with its
 * claim, which runs out when that node dies. That node alone changes the state, writes it, and
 * sends what follows from it, so that the next one goes on where it ended: a notice comes at least
 * once, with the id of its incident. A node that cannot reach the shared storage watches what it
 * sees itself, and marks what it tells as not confirmed.
 *
 * Must never happen: something here holds up a job; a secret in a state, a log line or a notice.
 */
#ifndef PB_CORE_ALERTS_ALERTS_H
#define PB_CORE_ALERTS_ALERTS_H

#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alert_settings;
struct alerts;
struct control;
struct loop;
struct registry;
struct settings;

struct alerts *alerts_new(struct loop *loop, struct registry *reg, struct control *control,
                          struct settings *settings);
/* Another snapshot runs. */
void alerts_apply(struct alerts *a, struct settings *settings);
void alerts_stop(struct alerts *a); /* nothing is asked or sent any more */
/* After the stores are freed, and after the loop's last turn. NULL is fine. */
void alerts_free(struct alerts *a);

/* --- for people --- */

struct alert_status {
  const struct alert_settings *set;
  const char *state; /* "ok", "pending", "firing", "silenced", "disabled", "broken" */
  bool fires;        /* also where it is silenced */
  bool confirmed;    /* by the shared state; else this node alone says so */
  uint64_t since_ms; /* Unix; 0: not known */
  double value;      /* as seen last */
  const char *incident;
  uint64_t last_told_ms;
  const char *last_error;
  uint64_t silent_until_ms; /* 0: it is not silenced */
  const char *silent_by, *silent_reason;
  bool here; /* this node watches it */
};
/* Valid until the next turn of the loop. False: there are not so many. */
bool alerts_at(const struct alerts *a, size_t i, struct alert_status *ret);
bool alerts_named(const struct alerts *a, const char *name, struct alert_status *ret);
/* Rises whenever something of it that people see has changed, but for the value. */
uint64_t alerts_changed(const struct alerts *a);
/* How many fire and are not silenced. */
size_t alerts_firing(const struct alerts *a);
struct alerts_counters {
  uint64_t told, failed; /* notices that this node sent; tries that failed */
};
struct alerts_counters alerts_counters(const struct alerts *a);

/* Nobody is told of it for so long; for_ms 0: the silence ends. fn(fn_arg, rc, until_ms, why) once,
 * never from within the call. -ENOENT in place of a call: there is no such alert. */
typedef void (*alerts_silence_fn)(void *arg, enum store_rc rc, uint64_t until_ms, const char *why);
int alerts_silence(struct alerts *a, const char *name, uint64_t for_ms, const char *by,
                   const char *reason, alerts_silence_fn fn, void *arg);

#endif
