/* core/alerts/course.c: what is told when, with a clock of our own. */
#include "tap.h"
#include "alerts/course.h"

#include <stdio.h>
#include <string.h>

#define MINUTE 60000
#define HOUR   (60 * MINUTE)
#define START  1000000000ull

struct scene {
  struct course c;
  struct alert_when when;
  uint64_t now, repeat;
  double value;
  bool unknown, silenced, deaf; /* deaf: whoever is told fails */
  unsigned incidents, fired, cleared, failed, given_up;
  char last[COURSE_INCIDENT_MAX];
};

static struct scene scene(uint64_t over, uint64_t for_ms) {
  return (struct scene){.when = {ALERT_READY, over, for_ms}, .now = START, .repeat = 4 * HOUR};
}

/* One look each 2 s, as the station has them. */
static void runs(struct scene *s, uint64_t ms, double value) {
  for (uint64_t end = s->now + ms; s->now < end; s->now += 2000) {
    char fresh[COURSE_INCIDENT_MAX];
    snprintf(fresh, sizeof fresh, "incident-%u", s->incidents + 1);
    struct course_look look = {.when = &s->when,
                               .repeat_ms = s->repeat,
                               .now_ms = s->now,
                               .known = !s->unknown,
                               .value = value,
                               .silenced = s->silenced,
                               .fresh = fresh};
    course_step(&s->c, &look);
    if (!strcmp(s->c.incident, fresh)) s->incidents++;
    if (!course_must_send(&s->c, s->now)) continue;
    enum course_notice due = s->c.due;
    snprintf(s->last, sizeof s->last, "%s", s->c.incident);
    s->given_up += course_sent(&s->c, s->now, s->deaf ? "it answered 500" : NULL);
    if (s->deaf)
      s->failed++;
    else if (due == NOTICE_FIRING)
      s->fired++;
    else
      s->cleared++;
  }
}

static void test_states(void) {
  struct scene s = scene(100, 2 * MINUTE);
  runs(&s, MINUTE, 100);
  is_int(s.c.state, COURSE_OK, "the threshold itself is well");
  runs(&s, MINUTE, 101);
  is_int(s.c.state, COURSE_PENDING, "over it: pending");
  runs(&s, 10000, 100);
  is_int(s.c.state, COURSE_OK, "not for long enough: ok");
  runs(&s, 2 * MINUTE + 4000, 101);
  is_int(s.c.state, COURSE_FIRING, "for the whole time: it fires");
  is_int(s.fired, 1, "and is told once");
  runs(&s, 10 * MINUTE, 81);
  is_int(s.c.state, COURSE_FIRING, "over 80 %% of the threshold it goes on");
  runs(&s, MINUTE, 80);
  runs(&s, 4000, 90);
  runs(&s, MINUTE, 80);
  is_int(s.c.state, COURSE_FIRING, "well, but not for the same time");
  runs(&s, MINUTE + 4000, 80);
  is_int(s.c.state, COURSE_OK, "for the same time: over");
  is_int(s.cleared, 1, "which is told once");
  is_str(s.last, "incident-1", "with the id of the incident");
  is_int(s.fired, 1, "and it was told once");
}

static void test_unknown(void) {
  struct scene s = scene(0, MINUTE);
  runs(&s, 30000, 1);
  s.unknown = true;
  runs(&s, 20000, 0);
  is_int(s.c.state, COURSE_PENDING, "without a value nothing changes");
  runs(&s, HOUR, 0);
  s.unknown = false;
  runs(&s, 30000, 1);
  is_int(s.c.state, COURSE_PENDING, "after a gap the time begins anew");
  runs(&s, 40000, 1);
  is_int(s.c.state, COURSE_FIRING, "and it fires at its end");
}

static void test_repeat(void) {
  struct scene s = scene(0, MINUTE);
  runs(&s, 13 * HOUR, 1);
  is_int(s.fired, 4, "while it lasts it is told again each 4 h");
  is_int(s.incidents, 1, "of one incident");
  s = scene(0, MINUTE);
  s.repeat = 0;
  runs(&s, 100 * HOUR, 1);
  is_int(s.fired, 1, "or never again");
}

/* An hour of coming and going. */
static void test_flapping(void) {
  struct scene s = scene(0, 10000);
  for (int i = 0; i < 120; i++) {
    runs(&s, 14000, 1);
    runs(&s, 16000, 0);
  }
  ok(s.fired <= 61 && s.cleared <= 60, "one notice a state and minute at most: %u and %u", s.fired,
     s.cleared);
  ok(s.fired >= 20, "but it is told");
  s = scene(0, 5 * MINUTE);
  for (int i = 0; i < 120; i++) {
    runs(&s, 14000, 1);
    runs(&s, 16000, 0);
  }
  is_int(s.fired + s.cleared, 0, "what never lasts is never told");
  s = scene(0, 10 * MINUTE);
  for (int i = 0; i < 3; i++) {
    runs(&s, 10 * MINUTE + 4000, 1);
    runs(&s, 10 * MINUTE - 4000, 0);
  }
  is_int(s.fired, 1, "what is never well for long enough is told once");
  is_int(s.cleared, 0, "and never over");
}

static void test_deaf(void) {
  struct scene s = scene(0, MINUTE);
  s.deaf = true;
  runs(&s, MINUTE + 2000, 1);
  is_int(s.failed, 1, "the first try");
  runs(&s, 14000, 1);
  is_int(s.failed, 2, "the second one after 10 s");
  runs(&s, 50000, 1);
  is_int(s.failed, 3, "the third one a minute after the first");
  runs(&s, 9 * MINUTE, 1);
  is_int(s.failed, 4, "the fourth one after 10 min");
  struct scene mended = s;
  mended.deaf = false;
  runs(&mended, HOUR, 1);
  is_int(mended.fired, 1, "a receiver that is back hears of it");
  is_str(mended.last, "incident-1", "with the same id");
  is_str(mended.c.error, "", "and the error is gone");
  runs(&s, 35 * MINUTE, 1);
  is_int(s.failed, 5, "the fifth one after 45 min");
  is_int(s.given_up, 1, "which was the last one");
  runs(&s, 2 * HOUR, 1);
  is_int(s.failed, 5, "there is no sixth one");
  is_int((long long)s.c.told_ms, 0, "nobody was told");
  s.deaf = false;
  runs(&s, 10 * MINUTE, 0);
  is_int(s.cleared, 1, "the end of it is told again");
}

/* What was over before anybody heard of it is told all the same, both ends of it. */
static void test_none_is_lost(void) {
  struct scene s = scene(0, 10000);
  s.deaf = true;
  runs(&s, 20000, 1);
  runs(&s, 30000, 0);
  is_int(s.c.state, COURSE_OK, "it is over");
  is_int(s.fired, 0, "and nobody has heard of it");
  s.deaf = false;
  runs(&s, 10 * MINUTE, 0);
  is_int(s.fired, 1, "it is told");
  is_int(s.cleared, 1, "and that it is over");
  is_int(s.incidents, 1, "as one incident");
}

static void test_silence(void) {
  struct scene s = scene(0, 10000);
  s.silenced = true;
  runs(&s, HOUR, 1);
  is_int(s.c.state, COURSE_FIRING, "a silenced one is watched on");
  is_int(s.fired, 0, "and not told");
  s.silenced = false;
  runs(&s, 4000, 1);
  is_int(s.fired, 1, "at the end of the silence it is told");
  s.silenced = true;
  runs(&s, HOUR, 0);
  is_int(s.cleared, 0, "its end is not told during a silence");
  s.silenced = false;
  runs(&s, 4000, 0);
  is_int(s.cleared, 1, "but afterwards");
}

static void test_stored(void) {
  struct scene s = scene(0, 10000);
  struct course back;
  s.deaf = true;
  runs(&s, 20000, 3);
  json_t *o = course_json(&s.c);
  ok(course_read(o, &back), "what is stored can be read");
  is_int(back.due, NOTICE_FIRING, "the notice under way");
  is_int(back.tries, s.c.tries, "its tries");
  is_int((long long)back.next_ms, (long long)s.c.next_ms, "and when it is tried again");
  is_str(back.incident, "incident-1", "the incident");
  is_int((long long)back.looked_ms, (long long)s.c.looked_ms, "the last look");
  json_object_set_new(o, "state", json_integer(7));
  ok(!course_read(o, &back), "a state that is none is refused");
  is_int(back.state, COURSE_OK, "and nothing is taken of it");
  json_decref(o);
  o = json_object();
  ok(!course_read(o, &back), "so is an empty one");
  json_decref(o);
}

int main(void) {
  test_states();
  test_unknown();
  test_repeat();
  test_flapping();
  test_deaf();
  test_none_is_lost();
  test_silence();
  test_stored();
  return done_testing();
}
