/* Verbs about figures that are kept: the history of a topic, and marks in it. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EACH(table) (sizeof(table) / sizeof *(table))
#define MINUTES_MS  UINT64_C(10800000) /* a longer time is shown in hours */

static char *path_number(char *path, const char *name, uint64_t v) {
  char text[24];
  snprintf(text, sizeof text, "%" PRIu64, v);
  return path_query(path, name, text);
}

/* "p50 / p95" of times; "-" without any. */
static void times_add(struct table *t, json_t *row, const char *which) {
  char path[32], a[TEXT_MAX], b[TEXT_MAX];
  snprintf(path, sizeof path, "%s.count", which);
  if (!get_u64(row, path)) {
    table_add(t, DIM, "-");
    return;
  }
  snprintf(path, sizeof path, "%s.p50_ms", which);
  text_duration(get_u64(row, path), a);
  snprintf(path, sizeof path, "%s.p95_ms", which);
  table_addf(t, PLAIN, "%s / %s", a, text_duration(get_u64(row, path), b));
}

static void mark_print(json_t *mark) {
  char text[TEXT_MAX];
  char *what = text_plain(get_text(mark, "text"), false);
  printf("%s  %s: %s (node %s)\n", text_time(get_u64(mark, "at_ms"), text), get_text(mark, "kind"),
         what, get_text(mark, "node"));
  free(what);
}

static void history_print(const struct ctl *x, json_t *o) {
  static const struct column columns[] = {
      {"TIME", false},  {"ACCEPTED", true},     {"DONE", true},
      {"FAILED", true}, {"DEAD", true},         {"READY", true},
      {"OLDEST", true}, {"RUN p50/p95", false}, {"WAIT p50/p95", false}};
  json_t *rows = get(o, "rows"), *marks = get(o, "marks"), *r, *m;
  char text[TEXT_MAX];
  size_t i;
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(rows, i, r) {
    table_add(t, PLAIN, text_time(get_u64(r, "at_ms"), text));
    table_count(t, PLAIN, get_u64(r, "accepted"));
    table_count(t, PLAIN, get_u64(r, "done"));
    table_count(t, YELLOW, get_u64(r, "failed"));
    table_count(t, RED, get_u64(r, "dead"));
    table_count(t, PLAIN, get_u64(r, "ready"));
    table_add(t, PLAIN, text_duration(get_u64(r, "oldest_s") * 1000, text));
    times_add(t, r, "run");
    times_add(t, r, "wait");
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!json_array_size(rows)) puts("nothing happened in this time");
  if (json_array_size(marks)) puts("\nmarks:");
  json_array_foreach(marks, i, m) mark_print(m);
}

/* False: the fault was printed. */
static bool time_read(const char *text, const char *option, uint64_t *ret_ms) {
  if (!text || duration_read(text, ret_ms)) return true;
  ctl_error("%s %s: a time is a number with s, m, h or d: 30m, 24h, 7d", option, text);
  return false;
}

int verb_topic_history(struct ctl *x) {
  uint64_t since_ms = MINUTES_MS, step_ms = 0, until_ms = 0, now = wall_ms();
  json_t *o;
  if (!time_read(x->args.since, "--since", &since_ms) ||
      !time_read(x->args.until, "--until", &until_ms) ||
      !time_read(x->args.step, "--step", &step_ms))
    return CTL_USAGE;
  if (!step_ms) step_ms = since_ms > MINUTES_MS ? 3600000 : 60000;
  char *path = path_topic(x, "/history");
  if (!path) return CTL_USAGE;
  path = path_number(path, "from", now > since_ms ? now - since_ms : 0);
  if (x->args.until) path = path_number(path, "to", now > until_ms ? now - until_ms : 0);
  path = path_number(path, "step", step_ms / 1000);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  history_print(x, o);
  json_decref(o);
  return CTL_OK;
}

int verb_mark(struct ctl *x) {
  json_t *o, *body = json_object();
  json_object_set_new(body, "kind", json_string("deploy"));
  json_object_set_new(body, "text", json_string(x->args.rest[0]));
  int code = api_post(x, "/api/v1/marks", body, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  puts("marked; charts and topic history show it");
  json_decref(o);
  return CTL_OK;
}
