/* Owns the answer to "may this topic's jobs run now", and why not. Nothing else decides it. */
#include "dispatch/topic_state.h"

#include "base/log.h"
#include "dispatch/pool.h"
#include "dispatch/topic.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const topic_state_names[TOPIC_STATES] = {"waiting",     "pinging", "unregistered",
                                                     "unreachable", "open",    "paused",
                                                     "disabled",    "broken",  "draining"};

static bool state_set(struct topic *t, enum topic_state to, const char *why) {
  if (strcmp(t->why, why) != 0) snprintf(t->why, sizeof t->why, "%s", why);
  if (t->state == to) return false;
  log_debug(loop_log(t->loop), t->set->path, "%s -> %s%s%s", topic_state_names[t->state],
            topic_state_names[to], *why ? ": " : "", why);
  t->state = to;
  t->since_ms = loop_wall_ms(t->loop);
  return true;
}

/* Of the facts that hold the first one counts. `words` of `size` may be written. */
static enum topic_state derive(const struct topic *t, char *words, size_t size,
                               const char **ret_why) {
  *ret_why = "";
  if (t->draining) return TOPIC_DRAINING;
  if (!t->set->enabled || !t->set->here) {
    *ret_why = !t->set->enabled   ? "enabled = no in the configuration"
               : t->set->not_here ? t->set->not_here
                                  : "this node does not run its system ([server] systems)";
    return TOPIC_DISABLED;
  }
  if (!t->inst && !t->set->pulled) {
    *ret_why = t->broken;
    return TOPIC_BROKEN;
  }
  if (!t->fetch.attached) {
    *ret_why = "its storage is not ready";
    return TOPIC_WAITING;
  }
  if (t->paused) {
    pause_words(&t->pause, words, size);
    *ret_why = words;
    return TOPIC_PAUSED;
  }
  if (t->pool->circuit_open) {
    *ret_why = t->pool->why;
    return TOPIC_UNREACHABLE;
  }
  if (t->set->pulled || t->ping.registered == REGISTERED_YES) return TOPIC_OPEN;
  if (t->ping.registered == REGISTERED_NO) {
    *ret_why = t->ping.why;
    return TOPIC_UNREGISTERED;
  }
  *ret_why = "the worker is asked whether it registers the topic";
  return TOPIC_PINGING;
}

bool topic_state_update(struct topic *t) {
  char words[sizeof t->why];
  const char *why;
  enum topic_state to = derive(t, words, sizeof words, &why);
  bool changed = state_set(t, to, why);
  if (to == TOPIC_PAUSED && t->pause.since_ms) t->since_ms = t->pause.since_ms;
  return changed;
}

bool topic_state_gives_back(const struct topic *t) {
  return t->state == TOPIC_PAUSED || t->state == TOPIC_DRAINING || t->state == TOPIC_DISABLED;
}

const char *topic_why(const struct topic *t, char *ret, size_t size) {
  const struct pool *p = t->pool;
  char since[16];
  if (t->state != TOPIC_OPEN || *t->why) return t->why;
  if (p->busy_since_ms) {
    time_t at = (time_t)(p->busy_since_ms / 1000);
    struct tm tm;
    strftime(since, sizeof since, "%H:%M:%S", gmtime_r(&at, &tm));
    snprintf(ret, size, "busy since %s UTC: %s", since, p->busy_why);
  } else {
    snprintf(ret, size, "%s",
             t->requests.full ? "its transport has no room for another request" : "");
  }
  return ret;
}
