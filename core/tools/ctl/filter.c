/* Which failed jobs a verb is about: the options as members of the API's filter. */
#include "tools/ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool filter_given(const struct ctl *x) {
  const struct ctl_args *a = &x->args;
  return a->match || a->body || a->code || a->signature || a->since || a->until || a->node ||
         a->attempts;
}

static bool number_read(const char *text, size_t len, json_int_t *ret) {
  char digits[20], *end;
  if (!len || len >= sizeof digits) return false;
  memcpy(digits, text, len);
  digits[len] = 0;
  errno = 0;
  *ret = strtoll(digits, &end, 10);
  return !errno && !*end && *digits != ' ' && *digits != '+';
}

/* "3", "2..5", "2..", "..5" */
static bool attempts_add(const char *text, json_t *to) {
  const char *dots = strstr(text, "..");
  size_t len = dots ? (size_t)(dots - text) : strlen(text);
  const char *upper = dots ? dots + 2 : text;
  json_int_t min = 0, max = 0;
  bool has_min = len != 0, has_max = *upper;
  if ((has_min && !number_read(text, len, &min)) || min < 0) return false;
  if ((has_max && !number_read(upper, strlen(upper), &max)) || max < 0) return false;
  if (has_min) json_object_set_new(to, "attempts_min", json_integer(min));
  if (has_max) json_object_set_new(to, "attempts_max", json_integer(max));
  return has_min || has_max;
}

static bool text_add(const char *name, const char *text, json_t *to) {
  if (!text || !json_object_set_new(to, name, json_string(text))) return true;
  ctl_error("--%s is not UTF-8 text", name);
  return false;
}

static bool moment_add(const char *option, const char *text, json_t *to) {
  uint64_t ms;
  if (!text) return true;
  if (!moment_read(text, option, &ms)) return false;
  json_object_set_new(to, option + 2, json_integer((json_int_t)ms));
  return true;
}

json_t *filter_json(struct ctl *x) {
  const struct ctl_args *a = &x->args;
  json_t *to = json_object();
  json_int_t code;
  bool sound = text_add("set", a->set, to) && text_add("match", a->match, to) &&
               text_add("body", a->body, to) && text_add("signature", a->signature, to) &&
               text_add("node", a->node, to) && moment_add("--since", a->since, to) &&
               moment_add("--until", a->until, to);
  if (sound && a->code && !(sound = number_read(a->code, strlen(a->code), &code)))
    ctl_error("--code %s is not a number", a->code);
  if (sound && a->code) json_object_set_new(to, "code", json_integer(code));
  if (sound && a->attempts && !(sound = attempts_add(a->attempts, to)))
    ctl_error("--attempts %s is not N, N..M, N.. or ..M", a->attempts);
  if (sound) return to;
  json_decref(to);
  return NULL;
}

char *filter_query(char *path, json_t *filter) {
  const char *key;
  json_t *value;
  json_object_foreach(filter, key, value) {
    char *text = text_value(value);
    path = path_query(path, key, text);
    free(text);
  }
  return path;
}
