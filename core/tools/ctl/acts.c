/* Verbs about acts: list the acts on many jobs, and follow one to its end. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EACH(table) (sizeof(table) / sizeof *(table))
#define FOLLOW_MS   500

static enum color act_color(const char *state) {
  if (!strcmp(state, "done")) return GREEN;
  return !strcmp(state, "failed") ? RED : YELLOW;
}

static char *path_act(const char *id, const char *tail) {
  char *path = NULL;
  if (asprintf(&path, "/api/v1/acts/%s%s", id, tail) < 0) out_of_memory();
  return path;
}

/* False: the fault was printed. Also keeps a text that is no id out of the path. */
static bool id_sound(const char *id) {
  if (*id && strspn(id, "0123456789abcdef-") == strlen(id)) return true;
  ctl_error("\"%s\" is not the id of an act; pepperbusctl act ls shows them", id);
  return false;
}

int verb_act_ls(struct ctl *x) {
  static const struct column columns[] = {{"ACT", false},     {"KIND", false}, {"TOPIC", false},
                                          {"STATE", false},   {"DONE", true},  {"OF", true},
                                          {"STARTED", false}, {"BY", false},   {"RESULT", false}};
  json_t *o, *a;
  size_t i;
  char text[TEXT_MAX];
  char *path = path_query(strdup("/api/v1/acts"), "limit", x->args.count);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "acts"), i, a) {
    const char *state = get_text(a, "state"), *result = get_text(a, "result");
    table_add(t, PLAIN, get_text(a, "id"));
    table_add(t, PLAIN, get_text(a, "kind"));
    table_add(t, PLAIN, get_text(a, "topic"));
    table_add(t, act_color(state), state);
    table_count(t, PLAIN, get_u64(a, "done"));
    table_count(t, PLAIN, get_u64(a, "of"));
    table_add(t, PLAIN, text_time(get_u64(a, "started_ms"), text));
    table_add(t, PLAIN, get_text(a, "by"));
    table_add(t, PLAIN, *result ? result : get_text(a, "note"));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there were no acts in the last 7 days");
  if (*get_text(o, "error")) ctl_error("%s; the list is incomplete", get_text(o, "error"));
  code = *get_text(o, "error") ? CTL_NO : CTL_OK;
  json_decref(o);
  return code;
}

/* "purge dead of msg/reply where match = smtp" */
static void print_what(json_t *a) {
  const char *key, *word = "where";
  json_t *value;
  printf("  what           %s %s of %s", get_text(a, "kind"), get_text(a, "filter.set"),
         get_text(a, "topic"));
  json_object_foreach(get(a, "filter"), key, value) {
    if (!strcmp(key, "set") || json_is_null(value)) continue;
    char *text = text_value(value);
    printf(" %s %s = %s", word, key, text);
    word = "and";
    free(text);
  }
  if (get_u64(a, "rate")) printf(", %llu/s", (unsigned long long)get_u64(a, "rate"));
  putchar('\n');
}

static void print_act(struct ctl *x, json_t *a) {
  char b[TEXT_MAX], c[TEXT_MAX];
  const char *state = get_text(a, "state");
  printf("act %s: %s%s%s\n", get_text(a, "id"), color_on(x, act_color(state)), state,
         color_off(x, act_color(state)));
  if (!strcmp(get_text(a, "kind"), "move"))
    printf("  what           move %s from storage %s to %s in storage %s\n", get_text(a, "topic"),
           get_text(a, "from"), get_text(a, "to"), get_text(a, "storage"));
  else
    print_what(a);
  printf("  jobs           %s done of %s\n", text_count(get_u64(a, "done"), b),
         text_count(get_u64(a, "of"), c));
  printf("  asked for by   %s\n", get_text(a, "by"));
  printf("  begun          %s", text_time(get_u64(a, "started_ms"), b));
  if (get_u64(a, "ended_ms")) printf(", ended %s", text_time(get_u64(a, "ended_ms"), c));
  printf("\n  node           %s\n", get_text(a, "owner"));
  if (*get_text(a, "note")) printf("  waits          %s\n", get_text(a, "note"));
  if (*get_text(a, "result")) printf("  result         %s\n", get_text(a, "result"));
}

static int act_get(struct ctl *x, const char *id, json_t **ret) {
  char *path = path_act(id, "");
  int code = api_get(x, path, ret);
  free(path);
  return code;
}

static void progress(struct ctl *x, json_t *a, bool last) {
  char b[TEXT_MAX], c[TEXT_MAX];
  bool tty = isatty(STDERR_FILENO);
  if (x->args.json || (last && !tty)) return;
  fprintf(stderr, "%s%s %s: %s of %s%s%s%s", tty ? "\r\033[K" : "", get_text(a, "kind"),
          get_text(a, "topic"), text_count(get_u64(a, "done"), b), text_count(get_u64(a, "of"), c),
          *get_text(a, "note") ? "; " : "", get_text(a, "note"), tty && !last ? "" : "\n");
}

int act_follow(struct ctl *x, const char *id, json_t **ret) {
  uint64_t told = UINT64_MAX;
  for (;;) {
    json_t *a;
    int code = act_get(x, id, &a);
    if (code) return code;
    bool over = strcmp(get_text(a, "state"), "running") != 0;
    if (isatty(STDERR_FILENO) || get_u64(a, "done") != told) progress(x, a, over);
    told = get_u64(a, "done");
    if (over) {
      *ret = a;
      return strcmp(get_text(a, "state"), "done") ? CTL_NO : CTL_OK;
    }
    json_decref(a);
    nanosleep(&(struct timespec){.tv_nsec = FOLLOW_MS * 1000000L}, NULL);
  }
}

int verb_act_show(struct ctl *x) {
  json_t *a = NULL;
  if (!id_sound(x->args.rest[0])) return CTL_USAGE;
  int code = x->args.follow ? act_follow(x, x->args.rest[0], &a) : act_get(x, x->args.rest[0], &a);
  if (!a) return code;
  if (x->args.json) return print_json(a, code);
  print_act(x, a);
  json_decref(a);
  return code;
}

int verb_act_cancel(struct ctl *x) {
  json_t *o;
  if (!id_sound(x->args.rest[0])) return CTL_USAGE;
  char *path = path_act(x->args.rest[0], "/cancel");
  int code = api_post(x, path, NULL, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("act %s ends; what it did so far stays done\n", get_text(o, "id"));
  json_decref(o);
  return CTL_OK;
}

/* "act 17-a can be undone until 18:01:05: ..." */
void act_print_undo(json_t *a) {
  char b[TEXT_MAX];
  uint64_t until = get_u64(a, "undo_until_ms");
  if (until > wall_ms())
    printf("until %s: pepperbusctl act undo %s\n", text_when(until, b), get_text(a, "id"));
}

int verb_act_undo(struct ctl *x) {
  json_t *o, *a = NULL;
  char b[TEXT_MAX];
  if (!id_sound(x->args.rest[0])) return CTL_USAGE;
  char *path = path_act(x->args.rest[0], "/undo");
  int code = api_post(x, path, NULL, &o);
  free(path);
  if (code) return code;
  json_t *act = get(o, "act") ? get(o, "act") : o;
  code = act_follow(x, get_text(act, "id"), &a);
  json_decref(o);
  if (!a) return code;
  if (x->args.json) return print_json(a, code);
  if (code)
    ctl_error("act %s %s: %s", get_text(a, "id"), get_text(a, "state"), get_text(a, "result"));
  else
    printf("%s: %s put back%s%s\n", get_text(a, "topic"), text_many(get_u64(a, "done"), "job", b),
           *get_text(a, "result") ? "; " : "", get_text(a, "result"));
  json_decref(a);
  return code;
}
