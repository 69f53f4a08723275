/* Owns the state of a storage: which one, since when, and which callbacks hear of it. */
#include "storage/redis/state.h"

#include "base/log.h"
#include "storage/redis/private.h"

#include <stdio.h>
#include <string.h>

#define LEASE_MORE_MS 2000 /* after a lease has ended its node's name is asked for again */

void state_set(struct store *s, enum store_state state, const char *why) {
  struct log *log = loop_log(s->loop);
  if (s->state == state && !strcmp(s->why, why)) return;
  s->state = state;
  snprintf(s->why, sizeof s->why, "%s", why);
  switch (state) {
  case STORE_READY:
    log_info(log, s->subject, "ready");
    break;
  case STORE_LOADING:
    log_info(log, s->subject, "%s", why);
    break;
  case STORE_CONNECTING:
    if (*why) log_warning(log, s->subject, "%s", why);
    break;
  case STORE_REFUSED:
    log_error(log, s->subject, "%s", why);
    break;
  }
  if (!s->freeing) s->ev.state(s->ev.arg, s, state, s->why);
}

void state_set_silently(struct store *s, enum store_state state) {
  s->state = state;
  if (state == STORE_READY) s->why[0] = 0;
}

enum store_state store_state(const struct store *s) {
  return s->state;
}

const char *store_why(const struct store *s) {
  if (s->state != STORE_READY) return s->why;
  if (*s->refusals.writes) return s->refusals.writes;
  const char *forbidden = refusals_forbidden(s);
  return *forbidden ? forbidden : s->why;
}

uint64_t store_expected(const struct store *s) {
  if (s->hello.was_ready || s->member.left || s->freeing) return 0;
  uint64_t now = loop_now_ms(s->loop), patience = s->st->command_timeout_ms;
  if (s->state == STORE_LOADING) return now + patience;
  if (s->state != STORE_CONNECTING) return 0;
  if (patience < s->st->connect_timeout_ms) patience = s->st->connect_timeout_ms;
  /* The name of a node that was killed in another place is free when its lease has ended. */
  if (*s->member.rival && patience < store_lease_ms(s) + LEASE_MORE_MS)
    patience = store_lease_ms(s) + LEASE_MORE_MS;
  return now < s->since_ms + patience ? s->since_ms + patience : 0;
}
