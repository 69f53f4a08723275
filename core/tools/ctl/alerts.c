/* Verbs about alerts: which fire, and silence for a while. */
#include "tools/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

static enum color alert_color(const char *state) {
  if (!strcmp(state, "ok")) return GREEN;
  return !strcmp(state, "firing") || !strcmp(state, "broken") ? RED : YELLOW;
}

static void alert_notes(json_t *a, char *ret, size_t size) {
  char until[TEXT_MAX];
  const char *error = get_text(a, "last_error"), *why = get_text(a, "why");
  *ret = 0;
  if (json_is_object(get(a, "silence")))
    snprintf(ret, size, "silent until %s by %s%s%s",
             text_time(get_u64(a, "silence.until_ms"), until), get_text(a, "silence.by"),
             *get_text(a, "silence.reason") ? ": " : "", get_text(a, "silence.reason"));
  else if (*why)
    snprintf(ret, size, "%s", why);
  else if (*error)
    snprintf(ret, size, "could not be told: %s", error);
  else if (!get_bool(a, "confirmed"))
    snprintf(ret, size, "seen by this node alone");
}

int verb_alert_ls(struct ctl *x) {
  static const struct column columns[] = {{"ALERT", false}, {"STATE", false}, {"SINCE", false},
                                          {"WHEN", false},  {"OF", false},    {"VALUE", true},
                                          {"TOLD", false},  {"NOTES", false}};
  json_t *o, *a;
  size_t i;
  char text[TEXT_MAX], notes[512];
  int code = api_get(x, "/api/v1/alerts", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  json_array_foreach(get(o, "alerts"), i, a) {
    const char *state = get_text(a, "state");
    uint64_t since = get_u64(a, "since_ms"), told = get_u64(a, "last_told_ms");
    bool age = !strncmp(get_text(a, "when"), "oldest", 6);
    double value = get_real(a, "value");
    alert_notes(a, notes, sizeof notes);
    table_add(t, PLAIN, get_text(a, "name"));
    table_add(t, alert_color(state), state);
    table_add(t, PLAIN, since ? text_time(since, text) : "-");
    table_add(t, PLAIN, get_text(a, "when"));
    table_add(t, PLAIN, get_text(a, "target"));
    table_add(t, PLAIN,
              age ? text_duration((uint64_t)value, text) : text_count((uint64_t)value, text));
    table_add(t, PLAIN, told ? text_time(told, text) : "-");
    table_add(t, PLAIN, notes);
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there are no alerts; a section [alert NAME] makes one");
  json_decref(o);
  return CTL_OK;
}

static int silence_send(struct ctl *x, const char *method, json_t *body) {
  json_t *o;
  char until[TEXT_MAX];
  char *path = path_named("alerts", x->args.rest[0], "/silence");
  int code = api_send(x, method, path, body, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  if (get_bool(o, "silenced"))
    printf("alert %s: nobody is told until %s\n", get_text(o, "name"),
           text_time(get_u64(o, "until_ms"), until));
  else
    printf("alert %s: told again\n", get_text(o, "name"));
  json_decref(o);
  return CTL_OK;
}

int verb_alert_silence(struct ctl *x) {
  uint64_t ms;
  if (!duration_read(x->args.rest[1], &ms) || ms < 1000) {
    ctl_error("\"%s\" is no time; write 30m, 2h or 1d", x->args.rest[1]);
    return CTL_USAGE;
  }
  json_t *body = json_pack("{sI}", "for_s", (json_int_t)(ms / 1000));
  if (x->args.reason) json_object_set_new(body, "reason", json_string(x->args.reason));
  return silence_send(x, "POST", body);
}

int verb_alert_unsilence(struct ctl *x) {
  return silence_send(x, "DELETE", NULL);
}
