/* What a topic of the API says of itself, as several verbs show it. */
#include "tools/ctl/ctl.h"

#include <string.h>

/* Jobs that this node has read ahead: the storage counts them as running, but no worker has them.
 */
static uint64_t topic_at_hand(json_t *o) {
  uint64_t taken = get_u64(o, "node.taken"), running = get_u64(o, "counts.running");
  return taken < running ? taken : running;
}

uint64_t topic_ready(json_t *o) {
  return get_u64(o, "counts.ready") + topic_at_hand(o);
}

uint64_t topic_running(json_t *o) {
  return get_u64(o, "counts.running") - topic_at_hand(o);
}

const char *topic_why(json_t *o) {
  const char *why = get_text(o, "why"), *health = get_text(o, "health");
  if (!*why) why = get_text(o, "counts_error");
  if (!*why && *health && strcmp(health, "ok")) why = get_text(o, "health_text");
  return why;
}
