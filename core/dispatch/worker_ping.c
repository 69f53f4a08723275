/* Owns the topic's registration as far as it is known, and the time of the next ping. */
#include "dispatch/worker_ping.h"

#include "base/backoff.h"
#include "base/log.h"
#include "dispatch/request_answer.h"
#include "dispatch/topic.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <string.h>

#define PING_FIRST_MS    200   /* wait before an unregistered topic is pinged again ... */
#define PING_BUSY_MAX_MS 1500  /* ... at most, while jobs wait */
#define PING_IDLE_MAX_MS 30000 /* ... at most, while none do */
#define PULL_LOOK_MS     5000  /* between pings of open topics whose workers take jobs themselves */

/* An open topic whose workers take jobs themselves: no request would tell that they are gone. */
static bool is_looked_at(const struct topic *t) {
  return t->state == TOPIC_OPEN && topic_pulls(t) && t->inst;
}

static void tick(void *arg) {
  struct topic *t = arg;
  bool look = is_looked_at(t);
  if (t->state == TOPIC_UNREGISTERED || look) worker_ping_ask(t);
  if (look) timer_start(&t->ping.timer, PULL_LOOK_MS); /* whatever this ping answers */
}

void worker_ping_begin(struct topic *t) {
  timer_init(&t->ping.timer, t->loop, tick, t);
}

void worker_ping_end(struct topic *t) {
  timer_done(&t->ping.timer);
}

void worker_ping_forget(struct topic *t) {
  t->ping.registered = REGISTERED_UNKNOWN;
  t->ping.failures = 0;
  topic_touch(t);
}

void worker_ping_ask(struct topic *t) {
  if (t->ping.on_the_way) return;
  t->ping.due = true;
  topic_touch(t);
}

void worker_ping_hurry(struct topic *t) {
  if (t->state == TOPIC_UNREGISTERED && !t->ping.on_the_way)
    timer_start(&t->ping.timer, loop_jitter(t->loop, PING_FIRST_MS));
}

void worker_ping_told(struct topic *t, int code, const char *message) {
  topic_touch(t);
  if (code == WORKER_OK) {
    if (t->ping.registered == REGISTERED_NO)
      log_info(loop_log(t->loop), t->set->path, "the worker registers it again; going on");
    t->ping.registered = REGISTERED_YES;
    t->ping.failures = 0;
    t->ping.why[0] = 0;
    return;
  }
  char why[sizeof t->ping.why];
  pb_excerpt(why, sizeof why, message, strlen(message));
  if (t->ping.registered != REGISTERED_NO || strcmp(t->ping.why, why) != 0) {
    log_warning(loop_log(t->loop), t->set->path,
                "its worker does not accept the topic (%d): %s; jobs wait, and the broker asks "
                "again until it does",
                code, message);
    store_note_error(t->store, 0, code, message, strlen(message));
  }
  t->ping.registered = REGISTERED_NO;
  t->ping.failures++;
  strcpy(t->ping.why, why); /* of the same size */
}

static uint64_t again_ms(const struct topic *t) {
  uint64_t max = topic_has_work(t) ? PING_BUSY_MAX_MS : PING_IDLE_MAX_MS;
  return loop_jitter(t->loop, backoff_wait(PING_FIRST_MS, max, t->ping.failures));
}

void worker_ping_by_state(struct topic *t, bool changed) {
  if (t->state == TOPIC_PINGING) {
    t->ping.due = !t->ping.on_the_way && !t->requests.full;
  } else if (t->state == TOPIC_UNREGISTERED) {
    bool asked = t->ping.due || t->ping.on_the_way;
    if (!asked && (changed || !timer_pending(&t->ping.timer)))
      timer_start(&t->ping.timer, again_ms(t));
  } else if (is_looked_at(t)) {
    if (changed || !timer_pending(&t->ping.timer)) timer_start(&t->ping.timer, PULL_LOOK_MS);
  } else if (changed) {
    timer_stop(&t->ping.timer);
  }
}
