/* Owns the text of a pause, as it is stored and as people read it. */
#include "dispatch/pause.h"

#include <jansson.h>
#include <stdio.h>

void pause_parse(const char *text, struct topic_pause *ret) {
  json_t *o = *text == '{' ? json_loads(text, 0, NULL) : NULL;
  const char *by = json_string_value(json_object_get(o, "by"));
  const char *reason = json_string_value(json_object_get(o, "reason"));
  json_int_t since = json_integer_value(json_object_get(o, "since"));
  *ret = (struct topic_pause){.since_ms = since > 0 ? (uint64_t)since : 0};
  snprintf(ret->by, sizeof ret->by, "%s", by ? by : "");
  snprintf(ret->reason, sizeof ret->reason, "%s", reason ? reason : "");
  json_decref(o);
}

void pause_words(const struct topic_pause *p, char *ret, size_t size) {
  snprintf(ret, size, "paused by an operator%s%s%s%s%s", *p->by ? " (" : "", p->by,
           *p->by ? ")" : "", *p->reason ? ": " : "", p->reason);
}
