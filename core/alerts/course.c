/* Owns the states of an alert and the rule of what is told when. See course.h. */
#include "alerts/course.h"

#include <stdio.h>
#include <string.h>

#define CLEAR_SHARE 0.8

const char *const course_state_names[] = {"ok", "pending", "firing"};
const char *const course_notice_names[] = {"", "firing", "cleared"};

/* From one try to the next: after 10 s, 1 min, 10 min and 45 min. */
static const uint64_t pauses_ms[COURSE_TRIES - 1] = {10000, 50000, 540000, 2100000};

static void state_set(struct course *c, enum course_state state, uint64_t now) {
  c->state = state;
  c->since_ms = now;
  c->well_ms = 0;
}

/* Where nobody has looked for a while nobody knows how it was. */
static void gap_forget(struct course *c, uint64_t now) {
  if (now - c->looked_ms < COURSE_GAP_MS && now >= c->looked_ms) return;
  if (c->state == COURSE_PENDING) c->since_ms = now;
  c->well_ms = 0;
}

static void incident_begin(struct course *c, const struct course_look *look) {
  c->fired_ms = c->since_ms;
  state_set(c, COURSE_FIRING, look->now_ms);
  /* The receiver still has the last one: it goes on. */
  if (c->told == NOTICE_FIRING || c->due) return;
  snprintf(c->incident, sizeof c->incident, "%s", look->fresh);
}

static void value_take(struct course *c, const struct course_look *look) {
  uint64_t now = look->now_ms, lasts = look->when->for_ms;
  double over = (double)look->when->over;
  bool bad = look->value > over, well = look->value <= CLEAR_SHARE * over;
  gap_forget(c, now);
  c->looked_ms = now;
  c->value = look->value;
  if (c->state == COURSE_OK && bad) state_set(c, COURSE_PENDING, now);
  if (c->state == COURSE_PENDING && !bad) state_set(c, COURSE_OK, now);
  if (c->state == COURSE_PENDING && now - c->since_ms >= lasts) incident_begin(c, look);
  if (c->state != COURSE_FIRING) return;
  if (!well) c->well_ms = 0;
  if (well && !c->well_ms) c->well_ms = now;
  if (well && now - c->well_ms >= lasts) state_set(c, COURSE_OK, now);
}

/* What the receiver should be told next; NOTICE_NONE: nothing. */
static enum course_notice notice_next(const struct course *c, const struct course_look *look) {
  uint64_t now = look->now_ms;
  uint64_t calm = look->when->for_ms > COURSE_CALM_MS ? look->when->for_ms : COURSE_CALM_MS;
  bool fires = c->state == COURSE_FIRING;
  if (fires && c->told == NOTICE_FIRING)
    return look->repeat_ms && now - c->firing_told_ms >= look->repeat_ms ? NOTICE_FIRING
                                                                         : NOTICE_NONE;
  if (fires)
    return !c->firing_told_ms || now - c->firing_told_ms >= calm ? NOTICE_FIRING : NOTICE_NONE;
  if (c->told != NOTICE_FIRING) return NOTICE_NONE;
  return !c->cleared_told_ms || now - c->cleared_told_ms >= calm ? NOTICE_CLEARED : NOTICE_NONE;
}

void course_step(struct course *c, const struct course_look *look) {
  if (look->known) value_take(c, look);
  /* It has come back before anybody heard that it had gone. */
  if (c->due == NOTICE_CLEARED && c->state == COURSE_FIRING) c->due = NOTICE_NONE;
  if (look->silenced) {
    c->due = NOTICE_NONE;
    return;
  }
  if (c->due || !(c->due = notice_next(c, look))) return;
  c->due_value = c->value;
  c->tries = 0;
  c->next_ms = look->now_ms;
}

bool course_must_send(const struct course *c, uint64_t now_ms) {
  return c->due && now_ms >= c->next_ms;
}

bool course_sent(struct course *c, uint64_t now_ms, const char *error) {
  snprintf(c->error, sizeof c->error, "%s", error ? error : "");
  if (error && ++c->tries < COURSE_TRIES) {
    c->next_ms = now_ms + pauses_ms[c->tries - 1];
    return false;
  }
  /* Also after the last try: whoever cannot be told is asked again with the next change. */
  if (c->due == NOTICE_FIRING) c->firing_told_ms = now_ms;
  if (c->due == NOTICE_CLEARED) c->cleared_told_ms = now_ms;
  if (!error) c->told_ms = now_ms;
  c->told = c->due;
  c->due = NOTICE_NONE;
  c->tries = 0;
  return error != NULL;
}

/* --- how it is stored --- */

json_t *course_json(const struct course *c) {
  return json_pack("{si sI sI sI sI sf ss si sI sI sI si sf si sI ss}", "state", (int)c->state,
                   "since_ms", (json_int_t)c->since_ms, "fired_ms", (json_int_t)c->fired_ms,
                   "well_ms", (json_int_t)c->well_ms, "looked_ms", (json_int_t)c->looked_ms,
                   "value", c->value, "incident", c->incident, "told", (int)c->told,
                   "firing_told_ms", (json_int_t)c->firing_told_ms, "cleared_told_ms",
                   (json_int_t)c->cleared_told_ms, "told_ms", (json_int_t)c->told_ms, "due",
                   (int)c->due, "due_value", c->due_value, "tries", (int)c->tries, "next_ms",
                   (json_int_t)c->next_ms, "error", c->error);
}

bool course_read(const json_t *o, struct course *ret) {
  struct course c = {0};
  int state, told, due, tries;
  json_int_t since, fired, well, looked, firing, cleared, any, next;
  const char *incident, *error;
  *ret = c;
  if (json_unpack((json_t *)(uintptr_t)o, "{si sI sI sI sI sF ss si sI sI sI si sF si sI ss}",
                  "state", &state, "since_ms", &since, "fired_ms", &fired, "well_ms", &well,
                  "looked_ms", &looked, "value", &c.value, "incident", &incident, "told", &told,
                  "firing_told_ms", &firing, "cleared_told_ms", &cleared, "told_ms", &any, "due",
                  &due, "due_value", &c.due_value, "tries", &tries, "next_ms", &next, "error",
                  &error))
    return false;
  if (state < COURSE_OK || state > COURSE_FIRING || told < NOTICE_NONE || told > NOTICE_CLEARED ||
      due < NOTICE_NONE || due > NOTICE_CLEARED || tries < 0 || tries >= COURSE_TRIES)
    return false;
  c.state = (enum course_state)state;
  c.told = (enum course_notice)told;
  c.due = (enum course_notice)due;
  c.tries = (unsigned)tries;
  c.since_ms = (uint64_t)since;
  c.fired_ms = (uint64_t)fired;
  c.well_ms = (uint64_t)well;
  c.looked_ms = (uint64_t)looked;
  c.firing_told_ms = (uint64_t)firing;
  c.cleared_told_ms = (uint64_t)cleared;
  c.told_ms = (uint64_t)any;
  c.next_ms = (uint64_t)next;
  snprintf(c.incident, sizeof c.incident, "%s", incident);
  snprintf(c.error, sizeof c.error, "%s", error);
  *ret = c;
  return true;
}
