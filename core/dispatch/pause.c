/* Owns what is known of a topic's pause: who asked for it, when and why.
 */
#include "dispatch/topic.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void topic_pause_parse(const char *text, struct topic_pause *ret) {
  json_t *o = *text == '{' ? json_loads(text, 0, NULL) : NULL;
  const char *by = json_string_value(json_object_get(o, "by"));
  const char *reason = json_string_value(json_object_get(o, "reason"));
  json_int_t since = json_integer_value(json_object_get(o, "since"));
  *ret = (struct topic_pause){.since_ms = since > 0 ? (uint64_t)since : 0};
  snprintf(ret->by, sizeof ret->by, "%s", by ? by : "");
  snprintf(ret->reason, sizeof ret->reason, "%s", reason ? reason : "");
  json_decref(o);
}

void topic_set_paused(struct topic *t, bool paused, const struct topic_pause *pause) {
  static const struct topic_pause none;
  t->paused = paused;
  t->pause = paused && pause ? *pause : none;
}

void topic_pause_words(const struct topic *t, char *ret, size_t size) {
  const struct topic_pause *p = &t->pause;
  snprintf(ret, size, "paused by an operator%s%s%s%s%s", *p->by ? " (" : "", p->by,
           *p->by ? ")" : "", *p->reason ? ": " : "", p->reason);
}
