/* Owns the grammar of [alert] when: METRIC [> NUMBER or DURATION] for DURATION. */
#include "config/alert_when.h"

#include "base/arena.h"
#include "base/suggest.h"
#include "config/option.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 40
#define DAY_MS   INT64_C(86400000)

const char *const alert_metric_names[ALERT_METRICS] = {
    "ready",       "running",   "oldest",       "failed/min",     "dead",
    "unreachable", "node_away", "storage_down", "revision_behind"};

/* The next word, cut where it is too long to mean anything. ">" is a word of its own. */
static const char *word_take(const char *at, char *ret) {
  size_t n = 0;
  at += strspn(at, " \t");
  while (*at && !strchr(" \t", *at)) {
    if (n && (*at == '>' || ret[0] == '>')) break;
    if (n < WORD_MAX - 1) ret[n++] = *at;
    at++;
  }
  ret[n] = 0;
  return at;
}

static int metric_find(const char *name, enum alert_metric *ret, char *ret_why, size_t size) {
  struct suggest near = {.want = name};
  for (int i = 0; i < ALERT_METRICS; i++) {
    if (strcmp(alert_metric_names[i], name) == 0) {
      *ret = (enum alert_metric)i;
      return 0;
    }
    suggest_offer(&near, alert_metric_names[i]);
  }
  if (near.best)
    snprintf(ret_why, size, "there is no metric %s; did you mean %s?", name, near.best);
  else
    snprintf(ret_why, size,
             "a condition begins with ready, running, oldest, failed/min, dead, unreachable, "
             "node_away, storage_down or revision_behind; write ready > 10000 for 2m");
  return -EINVAL;
}

static int number_parse(const char *text, enum pb_option_type type, int64_t min, int64_t max,
                        uint64_t *ret, char *ret_why, size_t size) {
  struct pb_option o = {.name = "n", .type = type, .min = min, .max = max};
  struct arena *a = arena_new();
  int64_t value = 0;
  int rc = option_set(&o, &value, text, a, ret_why, size);
  arena_free(a);
  if (!rc) *ret = (uint64_t)value;
  return rc;
}

int alert_when_parse(const char *text, struct alert_when *ret, char *ret_why, size_t why_size) {
  char word[WORD_MAX];
  struct alert_when w = {0};
  const char *at = word_take(text, word);
  if (metric_find(word, &w.metric, ret_why, why_size)) return -EINVAL;
  at = word_take(at, word);
  if (strcmp(word, ">") == 0) {
    at = word_take(at, word);
    bool age = w.metric == ALERT_OLDEST;
    if (number_parse(word, age ? PB_OPT_DURATION : PB_OPT_INT, age ? 1 : 0,
                     age ? 3650 * DAY_MS : INT64_C(1000000000000), &w.over, ret_why, why_size))
      return -EINVAL;
    at = word_take(at, word);
  } else if (w.metric == ALERT_OLDEST) {
    snprintf(ret_why, why_size, "an age is missing; write oldest > 5m for 1m");
    return -EINVAL;
  }
  if (strcmp(word, "for") != 0) {
    snprintf(ret_why, why_size, "it ends with for DURATION; write %s%s for 2m",
             alert_metric_names[w.metric],
             w.metric == ALERT_OLDEST ? " > 5m"
             : w.over                 ? " > NUMBER"
                                      : "");
    return -EINVAL;
  }
  at = word_take(at, word);
  if (number_parse(word, PB_OPT_DURATION, 1000, 7 * DAY_MS, &w.for_ms, ret_why, why_size))
    return -EINVAL;
  word_take(at, word);
  if (*word) {
    snprintf(ret_why, why_size, "nothing may follow the duration; delete %s", word);
    return -EINVAL;
  }
  *ret = w;
  return 0;
}
