/* Owns the refusals of a storage's server, and how often they are logged: missing rights, no
 * writes, jobs that are too large, and a server that is the wrong one to talk to. */
#include "storage/redis/private.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Is a right still missing? Since the last refusal, a new try would have shown that it was granted.
 */
static bool forbidden_now(const struct store *s) {
  return *s->refusals.forbidden &&
         loop_now_ms(s->loop) - s->refusals.forbidden_ms < 4 * STORE_FORBIDDEN_MS;
}

void refusals_right(struct store *s, const char *why) {
  bool now = forbidden_now(s), told = now && !strcmp(s->refusals.forbidden, why);
  if (!now) memset(s->refusals.forbidden_told, 0, sizeof s->refusals.forbidden_told);
  s->refusals.forbidden_ms = loop_now_ms(s->loop);
  snprintf(s->refusals.forbidden, sizeof s->refusals.forbidden, "%s", why);
  for (size_t i = 0; i < sizeof s->refusals.forbidden_told / sizeof *s->refusals.forbidden_told;
       i++) {
    char *said = s->refusals.forbidden_told[i];
    if (told || !strcmp(said, why)) return;
    if (*said) continue;
    snprintf(said, sizeof s->refusals.forbidden_told[i], "%s", why);
    log_error(loop_log(s->loop), s->subject,
              "%s; the broker tries again now and then; doc/store-layout.md says what it needs",
              why);
    return;
  }
}

const char *refusals_forbidden(const struct store *s) {
  return forbidden_now(s) ? s->refusals.forbidden : "";
}

const char *store_no_writes(const struct store *s) {
  return s->refusals.writes;
}

#define STILL_MS 60000 /* between two lines about a lasting refusal */

void refusals_writes(struct store *s, const char *why) {
  struct log *log = loop_log(s->loop);
  uint64_t now = loop_now_ms(s->loop);
  bool before = *s->refusals.writes;
  if (!*why) {
    s->refusals.writes[0] = 0;
    if (before)
      log_info(log, s->subject, "takes writes again; refused meanwhile: %" PRIu64,
               s->refusals.refused);
    return;
  }
  s->refusals.refused++;
  if (why != s->refusals.writes) snprintf(s->refusals.writes, sizeof s->refusals.writes, "%s", why);
  if (!before) {
    s->refusals.refused = 1;
    log_error(log, s->subject,
              "takes no writes: producers get an error, outcomes are kept until it does; %s", why);
  } else if (now - s->refusals.said_ms >= STILL_MS) {
    log_error(log, s->subject, "still takes no writes, refused so far: %" PRIu64 "; %s",
              s->refusals.refused, why);
  } else {
    return;
  }
  s->refusals.said_ms = now;
}

/* An error that many topics meet at once is logged for the first of them, and counted. */
void store_log_refusal(struct store *s, const char *subject, const char *what, const char *why) {
  struct log *log = loop_log(s->loop);
  uint64_t now = loop_now_ms(s->loop);
  const char *shared = strstr(why, " refuses: "); /* of the server, not about this topic */
  size_t len = shared ? strcspn(shared + 10, ":") + (size_t)(shared + 10 - why) : strlen(why);
  if (*s->refusals.writes || s->state != STORE_READY) return; /* told, and counted there */
  if (!strcmp(s->refusals.forbidden, why)) return;            /* the same */
  if (s->refusals.logged.said_ms && now - s->refusals.logged.said_ms < STILL_MS && shared &&
      !strncmp(s->refusals.logged.why, why, len)) {
    s->refusals.logged.more++;
    return;
  }
  if (s->refusals.logged.more)
    log_error(log, s->subject, "%" PRIu64 " more like this in the last minute: %s",
              s->refusals.logged.more, s->refusals.logged.why);
  snprintf(s->refusals.logged.why, sizeof s->refusals.logged.why, "%.*s", (int)len, why);
  s->refusals.logged.said_ms = now;
  s->refusals.logged.more = 0;
  log_error(log, subject, "%s: %s", what, why);
}

void refusals_place(struct store *s, const char *why) {
  char text[200];
  snprintf(text, sizeof text, "%s", why);
  if (s->link) link_drop(s->link, text);
  if (s->sub) link_drop(s->sub, text);
  if (s->replicas.link) link_drop(s->replicas.link, text);
}

uint64_t store_job_max(const struct store *s, const char **ret_why) {
  *ret_why = s->refusals.bulk_name;
  if (!s->refusals.bulk_max) return UINT64_MAX;
  return s->refusals.bulk_max > JOB_HEAD_MAX ? s->refusals.bulk_max - JOB_HEAD_MAX : 0;
}

static void bulk_set(struct store *s, uint64_t max, const char *name) {
  uint64_t job = s->server->max_job_size;
  if (s->refusals.bulk_max == max) return;
  s->refusals.bulk_max = max;
  s->refusals.bulk_name = name;
  if (max && max < job + JOB_HEAD_MAX)
    log_warning(loop_log(s->loop), s->subject,
                "its %s is %" PRIu64 " bytes and max_job_size is %" PRIu64
                ": larger jobs are refused; raise the one or lower the other",
                name, max, job);
}

void refusals_size(struct store *s, uint64_t bytes) {
  if (s->refusals.bulk_told || !bytes || (s->refusals.bulk_max && s->refusals.bulk_max < bytes))
    return;
  bulk_set(s, bytes - 1, "proto-max-bulk-len");
}

void refusals_size_told(struct store *s, uint64_t bytes, const char *name) {
  s->refusals.bulk_told = true;
  bulk_set(s, bytes, name);
}
