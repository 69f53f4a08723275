/* The course of one alert: it is well, it begins, it fires, and who was told what. Pure: the caller
 * has the clock and the values, stores the course, and sends its notices.
 *
 * ok      -> pending   the value is over the threshold
 * pending -> firing    it was so for the whole time of `when`
 * firing  -> ok        it was at 80 % of the threshold or below for the same time
 *
 * What the receiver was told follows the state at most once in that time, or in a minute where the
 * time is shorter: so an alert that comes and goes floods nobody.
 */
#ifndef PB_CORE_ALERTS_COURSE_H
#define PB_CORE_ALERTS_COURSE_H

#include "config/alert_when.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define COURSE_ERROR_MAX    160
#define COURSE_INCIDENT_MAX 33
#define COURSE_TRIES        5 /* to tell one notice, within an hour */
#define COURSE_CALM_MS      60000
#define COURSE_GAP_MS       30000 /* nobody looked for so long: what lasts begins anew */

enum course_state { COURSE_OK, COURSE_PENDING, COURSE_FIRING };
enum course_notice { NOTICE_NONE, NOTICE_FIRING, NOTICE_CLEARED };
extern const char *const course_state_names[];
extern const char *const course_notice_names[]; /* "", "firing", "cleared" */

/* All times are Unix ms by one clock. */
struct course {
  enum course_state state;
  uint64_t since_ms;                  /* of the state */
  uint64_t fired_ms;                  /* the incident began to last */
  uint64_t well_ms;                   /* firing: since then at 80 % or below; 0: it is not */
  uint64_t looked_ms;                 /* by the last course_step() with a value */
  double value;                       /* as seen last */
  char incident[COURSE_INCIDENT_MAX]; /* id of the present or last one; "" */

  enum course_notice told; /* what the receiver knows */
  uint64_t firing_told_ms, cleared_told_ms;
  uint64_t told_ms; /* anything, and with success */

  enum course_notice due; /* a notice under way */
  double due_value;
  unsigned tries;
  uint64_t next_ms;             /* the next try, not before */
  char error[COURSE_ERROR_MAX]; /* of the last try; "": it was taken */
};

struct course_look {
  const struct alert_when *when;
  uint64_t repeat_ms, now_ms;
  bool known; /* there is a value */
  double value;
  bool silenced;     /* nobody is told anything new */
  const char *fresh; /* the id of an incident that begins now */
};

void course_step(struct course *c, const struct course_look *look);
/* Is there a notice to be sent now? */
bool course_must_send(const struct course *c, uint64_t now_ms);
/* It was sent: `error` NULL, or why not. True: that was the last try, and nobody was told. */
bool course_sent(struct course *c, uint64_t now_ms, const char *error);
/* How it is stored. */
json_t *course_json(const struct course *c);
/* False: it is not one; `ret` is as new then. */
bool course_read(const json_t *o, struct course *ret);

#endif
