/* Verbs that look at pools: how many requests their workers bear, and how they stand.
 */
#include "tools/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

/* ok, unreachable, resting, degraded ... in one word. */
static const char *pool_state(json_t *p, enum color *ret) {
  const char *health = get_text(p, "health");
  *ret = YELLOW;
  if (get_bool(p, "circuit.open")) {
    *ret = RED;
    return "unreachable";
  }
  if (get_bool(p, "circuit.resting")) return "resting";
  if (!strcmp(health, "down")) *ret = RED;
  if (!*health || !strcmp(health, "ok")) *ret = GREEN;
  return *health ? health : "ok";
}

const char *pool_limit(json_t *p, char *ret) {
  char max[TEXT_MAX];
  size_t len = strlen(text_count(get_u64(p, "limit"), ret));
  if (!strcmp(get_text(p, "concurrency"), "auto"))
    snprintf(ret + len, TEXT_MAX - len, " of %.20s", text_count(get_u64(p, "max"), max));
  return ret;
}

static const char *known(json_t *p, const char *path, char *ret) {
  json_t *n = get(p, path);
  if (json_is_integer(n)) return text_count((uint64_t)json_integer_value(n), ret);
  return "-";
}

int verb_pool_ls(struct ctl *x) {
  static const struct column columns[] = {{"POOL", false}, {"TYPE", false},  {"STATE", false},
                                          {"BUSY", true},  {"LIMIT", true},  {"WORKERS", true},
                                          {"IDLE", true},  {"QUEUED", true}, {"WAITING", true}};
  json_t *o, *p;
  size_t i;
  char a[TEXT_MAX];
  int code = api_get(x, "/api/v1/pools", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  json_array_foreach(get(o, "pools"), i, p) {
    enum color color;
    const char *state = pool_state(p, &color);
    bool full = get_u64(p, "busy") >= get_u64(p, "limit");
    table_add(t, PLAIN, get_text(p, "name"));
    table_add(t, PLAIN, get_text(p, "run_type"));
    table_add(t, color, state);
    table_count(t, full ? YELLOW : PLAIN, get_u64(p, "busy"));
    table_add(t, PLAIN, pool_limit(p, a));
    table_add(t, PLAIN, known(p, "workers.total", a));
    table_add(t, PLAIN, known(p, "workers.idle", a));
    table_add(t, PLAIN, known(p, "workers.queued", a));
    table_count(t, YELLOW, get_u64(p, "waiting_topics"));
  }
  table_print(t, stdout, terminal_width(), 0);
  json_decref(o);
  return CTL_OK;
}

static void show_values(const char *title, json_t *o) {
  const char *name;
  json_t *v;
  if (!json_object_size(o)) return;
  printf("%s\n", title);
  json_object_foreach(o, name, v) {
    char *text = text_value(v);
    if (*text) printf("  %-28s %s\n", name, text);
    free(text);
  }
}

static void show(struct ctl *x, json_t *p) {
  enum color color;
  const char *state = pool_state(p, &color);
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
  uint64_t reserve = get_u64(p, "reserve");
  size_t i;
  json_t *t;
  char *why = text_plain(get_text(p, "circuit.why"), false);
  char *health = text_plain(get_text(p, "health_text"), false);
  printf("pool %s (%s): %s%s%s\n", get_text(p, "name"), get_text(p, "run_type"), color_on(x, color),
         state, color_off(x, color));
  if (*why) printf("  %s; probed %s\n", why, text_many(get_u64(p, "circuit.probes"), "time", a));
  if (*health) printf("  %s\n", health);
  printf("  requests       %s now, %s at a time for now, %s at most; concurrency = %s\n",
         text_count(get_u64(p, "busy"), a), text_count(get_u64(p, "limit"), b),
         text_count(get_u64(p, "max"), c), get_text(p, "concurrency"));
  if (json_is_integer(get(p, "workers.total")))
    printf("  workers        %s, %s idle; waiting for one: %s\n", known(p, "workers.total", a),
           known(p, "workers.idle", b), known(p, "workers.queued", c));
  else if (json_is_integer(get(p, "workers.queued")))
    printf("  workers        number not known; waiting for one: %s\n",
           known(p, "workers.queued", a));
  if (reserve && json_is_integer(get(p, "workers.total")) && reserve >= get_u64(p, "workers.total"))
    printf("  reserve        %s%s of %s workers are to stay free, so requests go one at a time; "
           "lower reserve, or give the pool more workers%s\n",
           color_on(x, YELLOW), text_count(reserve, a), known(p, "workers.total", b),
           color_off(x, YELLOW));
  puts("topics");
  json_array_foreach(get(p, "topics"), i, t) printf(
      "  %-28s %s%s\n", get_text(t, "topic"), text_many(get_u64(t, "requests"), "request", a),
      get_bool(t, "waits") ? ", waits for a slot" : "");
  show_values("figures", get(p, "figures"));
  show_values("options", get(p, "options_text"));
  free(why);
  free(health);
}

int verb_pool_show(struct ctl *x) {
  json_t *o, *p;
  size_t i;
  int code = api_get(x, "/api/v1/pools", &o);
  if (code) return code;
  json_array_foreach(get(o, "pools"), i, p) {
    if (strcmp(get_text(p, "name"), x->args.rest[0]) != 0) continue;
    code = get_bool(p, "circuit.open") ? CTL_NO : CTL_OK;
    if (x->args.json) {
      json_incref(p);
      json_decref(o);
      return print_json(p, code);
    }
    show(x, p);
    json_decref(o);
    return code;
  }
  json_decref(o);
  ctl_error("there is no pool \"%s\" in use; pepperbusctl pool ls shows them", x->args.rest[0]);
  return CTL_NOT_FOUND;
}
