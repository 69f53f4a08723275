/* "check": one line and an exit code for monitoring systems, as plugins of Nagios, Icinga and
 * others print them: OK, WARNING, CRITICAL, UNKNOWN, and figures behind a "|".
 *
 * Must never happen: OK where a figure that was asked for is not known.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum verdict { VERDICT_OK, VERDICT_WARNING, VERDICT_CRITICAL, VERDICT_UNKNOWN };

static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

/* "CRITICAL", or "WARNING,CRITICAL". What is above a limit is too much. */
struct limit {
  bool given, has_warning;
  double warning, critical;
};

struct check {
  struct ctl *x;
  struct limit age, dead, failed; /* seconds, jobs, attempts a minute */
  enum verdict verdict;
  json_t *faults; /* sentences */
  double oldest_s, dead_n, failed_min;
  char *oldest_topic;
  size_t topics;
};

int check_failed(int code) {
  enum verdict v = code == CTL_UNREACHABLE ? VERDICT_CRITICAL : VERDICT_UNKNOWN;
  printf("PEPPERBUS %s - %s\n", words[v],
         v == VERDICT_CRITICAL ? "the broker cannot be reached"
                               : "it could not be checked; standard error says why");
  return (int)v;
}

/* --- limits --- */

typedef bool (*number_fn)(const char *text, double *ret);

static bool seconds_read(const char *text, double *ret) {
  uint64_t ms;
  if (!duration_read(text, &ms)) return false;
  *ret = (double)ms / 1000;
  return true;
}

static bool number_read(const char *text, double *ret) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  *ret = (double)strtoull(text, &end, 10);
  return !errno && !*end;
}

/* "10/min" or "10". */
static bool rate_read(const char *text, double *ret) {
  char digits[32];
  size_t len = strcspn(text, "/");
  if (len >= sizeof digits || (text[len] && strcmp(text + len, "/min") != 0)) return false;
  snprintf(digits, sizeof digits, "%.*s", (int)len, text);
  return number_read(digits, ret);
}

static bool limit_read(const char *name, const char *text, number_fn read, const char *form,
                       struct limit *ret) {
  char one[64];
  const char *comma = text ? strchr(text, ',') : NULL;
  if (!text) return true;
  ret->given = true;
  ret->has_warning = comma;
  snprintf(one, sizeof one, "%.*s", comma ? (int)(comma - text) : 60, text);
  if (read(one, comma ? &ret->warning : &ret->critical) &&
      (!comma || read(comma + 1, &ret->critical)))
    return true;
  ctl_error("--%s %s is not a limit; say %s, or WARNING,CRITICAL", name, text, form);
  return false;
}

/* --- faults --- */

static void fault(struct check *c, enum verdict v, const char *fmt, ...) PB_PRINTF(3, 4);
static void fault(struct check *c, enum verdict v, const char *fmt, ...) {
  char *text;
  va_list ap;
  va_start(ap, fmt);
  if (vasprintf(&text, fmt, ap) < 0) out_of_memory();
  va_end(ap);
  for (char *p = text; *p; p++)
    if (*p == '|') *p = '/'; /* figures follow after it */
  /* Critical is worse than unknown: one bad figure is bad, whatever the others are. */
  if (c->verdict != VERDICT_CRITICAL && v > c->verdict) c->verdict = v;
  if (v == VERDICT_CRITICAL) c->verdict = v;
  json_array_append_new(c->faults, json_string(text));
  free(text);
}

static enum verdict judge(const struct limit *l, double value) {
  if (!l->given) return VERDICT_OK;
  if (value > l->critical) return VERDICT_CRITICAL;
  return l->has_warning && value > l->warning ? VERDICT_WARNING : VERDICT_OK;
}

static void look_broker(struct check *c, json_t *status) {
  size_t i;
  json_t *v;
  if (get_bool(status, "ready")) return;
  json_array_foreach(get(status, "reasons"), i, v)
      fault(c, VERDICT_CRITICAL, "the broker is not ready: %s", json_string_value(v));
  if (!i) fault(c, VERDICT_CRITICAL, "the broker is not ready");
}

static void look_topic(struct check *c, json_t *o) {
  static const char *const cannot[] = {"unreachable", "unregistered", "broken"};
  const char *topic = get_text(o, "topic"), *state = get_text(o, "state"), *why = topic_why(o);
  c->topics++;
  for (size_t i = 0; i < sizeof cannot / sizeof *cannot; i++)
    if (!strcmp(state, cannot[i]))
      fault(c, VERDICT_CRITICAL, "%s is %s%s%s", topic, state, *why ? ": " : "", why);
  if (!json_is_object(get(o, "counts"))) {
    fault(c, VERDICT_UNKNOWN, "the jobs of %s cannot be counted%s%s", topic, *why ? ": " : "", why);
    return;
  }
  c->dead_n += get_real(o, "counts.dead");
  c->failed_min += get_real(o, "rates.failed") * 60;
  /* A topic that is switched off keeps its jobs on purpose. */
  uint64_t oldest = get_u64(o, "counts.oldest_ms"), now = wall_ms();
  double age = oldest && oldest < now ? (double)(now - oldest) / 1000 : 0;
  if (!strcmp(state, "disabled") || age <= c->oldest_s) return;
  c->oldest_s = age;
  free(c->oldest_topic);
  if (!(c->oldest_topic = strdup(topic))) out_of_memory();
}

/* Nodes belong to no topic, queue or system. Its jobs run on other nodes, so it is a warning. An
 * older broker has no such list. */
static int look_nodes(struct check *c) {
  const struct ctl_args *a = &c->x->args;
  json_t *o, *p;
  size_t i;
  if (a->topic || a->queue || a->system) return CTL_OK;
  int code = problems_get(c->x, &o);
  if (code || !o) return code;
  json_array_foreach(get(o, "problems"), i, p) {
    if (!strcmp(get_text(p, "kind"), "node_away"))
      fault(c, VERDICT_WARNING, "the node %s is away", get_text(p, "subject"));
  }
  if (get(o, "exact") && !get_bool(o, "exact"))
    fault(c, VERDICT_UNKNOWN, "not all problems are known: %s", get_text(o, "error"));
  json_decref(o);
  return CTL_OK;
}

static void look_figures(struct check *c) {
  char a[TEXT_MAX];
  enum verdict v;
  if ((v = judge(&c->age, c->oldest_s)))
    fault(c, v, "a job of %s is not done after %s", c->oldest_topic,
          text_duration((uint64_t)(c->oldest_s * 1000), a));
  if ((v = judge(&c->dead, c->dead_n)))
    fault(c, v, "%s", text_many((uint64_t)c->dead_n, "dead job", a));
  if ((v = judge(&c->failed, c->failed_min)))
    fault(c, v, "%.0f attempts fail in a minute", c->failed_min);
}

/* --- which topics --- */

static int look_topics(struct check *c) {
  json_t *o, *t;
  size_t i;
  struct ctl *x = c->x;
  char *path = NULL;
  if (x->args.topic) {
    x->args.rest[0] = x->args.topic;
    path = path_topic(x, "");
    int code = path ? api_get(x, path, &o) : CTL_USAGE;
    free(path);
    if (code) return code;
    look_topic(c, o);
    json_decref(o);
    return CTL_OK;
  }
  path = path_query(strdup("/api/v1/topics"), "queue", x->args.queue);
  path = path_query(path, "system", x->args.system);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  json_array_foreach(get(o, "topics"), i, t) look_topic(c, t);
  json_decref(o);
  return CTL_OK;
}

/* --- the line --- */

/* "name=value;warning;critical;0", as monitoring systems read figures. */
static void figure(const char *name, double value, const char *unit, int digits,
                   const struct limit *l) {
  printf(" %s=%.*f%s;", name, digits, value, unit);
  if (l->given && l->has_warning) printf("%.15g", l->warning);
  putchar(';');
  if (l->given) printf("%.15g", l->critical);
  fputs(";0", stdout);
}

static int tell(struct check *c) {
  char a[TEXT_MAX], b[TEXT_MAX], d[TEXT_MAX];
  size_t i;
  json_t *v;
  if (c->x->args.json)
    return print_json(json_pack("{s:s,s:O,s:i,s:f,s:f,s:f}", "state", words[c->verdict], "faults",
                                c->faults, "topics", (int)c->topics, "oldest_s", c->oldest_s,
                                "dead", c->dead_n, "failed_per_min", c->failed_min),
                      (int)c->verdict);
  printf("PEPPERBUS %s - ", words[c->verdict]);
  json_array_foreach(c->faults, i, v) {
    if (i == 5) break;
    printf("%s%s", i ? "; " : "", json_string_value(v));
  }
  if (json_array_size(c->faults) > i)
    printf("; and %zu more, pepperbusctl status shows them", json_array_size(c->faults) - i);
  if (!i)
    printf("%s, oldest job %s, %s", text_many(c->topics, "topic", a),
           text_duration((uint64_t)(c->oldest_s * 1000), b),
           text_many((uint64_t)c->dead_n, "dead job", d));
  fputs(" |", stdout);
  figure("oldest", c->oldest_s, "s", 1, &c->age);
  figure("dead", c->dead_n, "", 0, &c->dead);
  figure("failed_per_min", c->failed_min, "", 1, &c->failed);
  putchar('\n');
  return (int)c->verdict;
}

int verb_check(struct ctl *x) {
  struct check c = {.x = x, .oldest_topic = NULL};
  json_t *status;
  if (!limit_read("max-age", x->args.max_age, seconds_read, "a time (90s, 5m)", &c.age) ||
      !limit_read("max-dead", x->args.max_dead, number_read, "a number", &c.dead) ||
      !limit_read("max-failed", x->args.max_failed, rate_read, "a number (10, 10/min)", &c.failed))
    return check_failed(CTL_USAGE);
  int code = api_get(x, "/api/v1/status", &status);
  if (code) return check_failed(code);
  c.faults = json_array();
  look_broker(&c, status);
  json_decref(status);
  code = look_nodes(&c);
  if (!code) code = look_topics(&c);
  if (!code) {
    look_figures(&c);
    code = tell(&c);
  } else {
    code = check_failed(code);
  }
  json_decref(c.faults);
  free(c.oldest_topic);
  return code;
}
