/* Owns the numbers between two lines, and the timer of the next one. */
#include "dispatch/tally.h"

#include "base/log.h"

#include <inttypes.h>
#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TALLY_MS 10000

struct tally {
  struct timer timer;
  uint64_t failed, retried, dead; /* attempts, and jobs, since the last line */
  uint64_t id;                    /* of the latest ... */
  int code;
  char reason[240]; /* ... and why */
  char subject[];
};

static void tally_say(struct tally *t) {
  char dead[64] = "", retried[64] = "";
  if (t->retried) snprintf(retried, sizeof retried, ", %" PRIu64 " to be tried again", t->retried);
  if (t->dead)
    snprintf(dead, sizeof dead, ", %" PRIu64 " job%s dead", t->dead, t->dead == 1 ? "" : "s");
  log_warning(loop_log(t->timer.loop), t->subject,
              "%" PRIu64 " attempt%s failed%s%s; the latest, job %" PRIu64 " (code %d): %s",
              t->failed, t->failed == 1 ? "" : "s", retried, dead, t->id, t->code, t->reason);
  t->failed = t->retried = t->dead = 0;
}

static void tally_tick(void *arg) {
  struct tally *t = arg;
  if (!t->failed && !t->dead) return;
  tally_say(t);
  timer_start(&t->timer, TALLY_MS);
}

static struct tally *tally_new(struct loop *loop, const char *subject) {
  struct tally *t = calloc(1, sizeof *t + strlen(subject) + 1);
  if (!t) return NULL;
  strcpy(t->subject, subject);
  timer_init(&t->timer, loop, tally_tick, t);
  return t;
}

void tally_add(struct tally **at, struct loop *loop, const char *subject, enum tally_kind kind,
               uint64_t id, int code, const char *message, size_t len) {
  struct tally *t = *at ? *at : (*at = tally_new(loop, subject));
  if (!t) return;
  t->failed += kind != TALLY_EXPIRED;
  t->retried += kind == TALLY_RETRIED;
  t->dead += kind != TALLY_RETRIED;
  t->id = id;
  t->code = code;
  pb_excerpt(t->reason, sizeof t->reason, message ? message : "", message ? len : 0);
  if (timer_pending(&t->timer)) return;
  tally_say(t);
  timer_start(&t->timer, TALLY_MS);
}

void tally_free(struct tally *t) {
  if (!t) return;
  if (t->failed || t->dead) tally_say(t);
  timer_done(&t->timer);
  free(t);
}
