/* Verbs that look at the broker as a whole: status, queues, nodes, plugins.
 */
#include "tools/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#define POOLS_SHOWN 10 /* on a terminal */

static void print_texts(json_t *list, const char *lead) {
  size_t i;
  json_t *v;
  json_array_foreach(list, i, v) {
    char *plain = text_plain(json_string_value(v) ? json_string_value(v) : "", false);
    printf("%s%s", i ? ", " : lead, plain);
    free(plain);
  }
}

static void print_head(struct ctl *x, json_t *o) {
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX];
  bool ready = get_bool(o, "ready");
  enum color color = ready ? GREEN : RED;
  printf("pepperbusd %s, node %s, pid %llu, up %s: %s%s%s\n", get_text(o, "version"),
         get_text(o, "node"), (unsigned long long)get_u64(o, "pid"),
         text_duration(get_u64(o, "uptime_ms"), a), color_on(x, color),
         get_bool(o, "stopping") ? "stopping"
         : ready                 ? "ready"
                                 : "not ready",
         color_off(x, color));
  size_t i;
  json_t *reason;
  json_array_foreach(get(o, "reasons"), i, reason) {
    char *plain = text_plain(json_string_value(reason), false);
    printf("  %s%s%s\n", color_on(x, RED), plain, color_off(x, RED));
    free(plain);
  }
  printf("  configuration  %s\n", get_text(o, "config_file"));
  print_texts(get(o, "listen"), "  producers      ");
  printf("; %s connected, %s commands\n", text_count(get_u64(o, "clients.open"), a),
         text_count(get_u64(o, "clients.commands"), b));
  printf("  topics         %s in %s %s:", text_count(get_u64(o, "topics"), a),
         text_count(get_u64(o, "queues"), b), get_u64(o, "queues") == 1 ? "queue" : "queues");
  const char *state, *comma = " ";
  json_t *n;
  json_object_foreach(get(o, "topic_states"), state, n) {
    if (json_integer_value(n) == 0) continue;
    enum color sc = state_color(state);
    printf("%s%s%lld %s%s", comma, color_on(x, sc), (long long)json_integer_value(n), state,
           color_off(x, sc));
    comma = ", ";
  }
  printf("\n  now            %s added, %s done, %s failed\n",
         text_rate(get_real(o, "totals.rates.accepted"), a),
         text_rate(get_real(o, "totals.rates.done"), b),
         text_rate(get_real(o, "totals.rates.failed"), c));
  printf("  since start    %s added, %s done, %s failed, %s dead\n",
         text_count(get_u64(o, "totals.intake.accepted"), a),
         text_count(get_u64(o, "totals.dispatch.done"), b),
         text_count(get_u64(o, "totals.dispatch.failed"), c),
         text_count(get_u64(o, "totals.dispatch.dead"), d));
}

static void print_storages(struct ctl *x, json_t *list) {
  static const struct column columns[] = {
      {"STORAGE", false},   {"STATE", false}, {"ADDRESS", false}, {"COMMANDS", true},
      {"RECONNECTS", true}, {"RTT", true},    {"WHY", false}};
  char a[TEXT_MAX];
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *s;
  json_array_foreach(list, i, s) {
    const char *state = get_text(s, "state");
    uint64_t us = get_u64(s, "rtt_us");
    table_add(t, PLAIN, get_text(s, "name"));
    table_add(t, state_color(state), state);
    table_add(t, PLAIN, get_bool(s, "managed") ? "(managed)" : get_text(s, "address"));
    table_count(t, PLAIN, get_u64(s, "commands"));
    table_count(t, YELLOW, get_u64(s, "reconnects"));
    if (us < 1000)
      table_addf(t, PLAIN, "%llu us", (unsigned long long)us);
    else
      table_add(t, PLAIN, text_duration(us / 1000, a));
    table_add(t, PLAIN, get_text(s, "why"));
  }
  putchar('\n');
  table_print(t, stdout, terminal_width(), 0);
}

/* The pool of a topic that has no pool of its own name: only the topic's. */
static bool pool_own(json_t *p) {
  return strchr(get_text(p, "name"), '/');
}

static bool pool_tight(json_t *p) {
  return get_u64(p, "waiting_topics") ||
         (get_u64(p, "busy") && get_u64(p, "busy") >= get_u64(p, "limit"));
}

/* The pools that topics share, and what else has no free slot: that first. */
static void print_pools(struct ctl *x, json_t *list) {
  static const struct column columns[] = {
      {"POOL", false}, {"TYPE", false}, {"BUSY", true}, {"LIMIT", true}, {"WAITING", true}};
  char a[TEXT_MAX];
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  size_t i, shown = 0, left = 0;
  json_t *p;
  for (int tight = 1; tight >= 0; tight--) json_array_foreach(list, i, p) {
      if (pool_tight(p) != tight || (!tight && pool_own(p))) continue;
      if (x->tty && shown == POOLS_SHOWN) {
        left++;
        continue;
      }
      shown++;
      table_add(t, PLAIN, get_text(p, "name"));
      table_add(t, PLAIN, get_text(p, "run_type"));
      table_count(t, tight ? YELLOW : PLAIN, get_u64(p, "busy"));
      table_add(t, PLAIN, pool_limit(p, a));
      table_count(t, YELLOW, get_u64(p, "waiting_topics"));
    }
  if (!shown) {
    table_free(t);
    return;
  }
  putchar('\n');
  table_print(t, stdout, terminal_width(), 0);
  if (left) printf("and %s more: pepperbusctl pool ls\n", text_count(left, a));
}

/* One line for the transports that are loaded; `plugin ls` has the table. */
static void print_transports(json_t *list) {
  size_t i;
  json_t *p;
  const char *comma = "  transports     ";
  json_array_foreach(list, i, p) {
    if (!get_bool(p, "loaded")) continue;
    char *name = text_plain(get_text(p, "name"), false);
    printf("%s%s (%s)", comma, name, get_text(p, "run_type"));
    comma = ", ";
    free(name);
  }
  puts(*comma == ',' ? ": loaded" : "  transports     none is loaded");
}

static void print_refused(struct ctl *x, json_t *list) {
  size_t i, n = 0;
  json_t *p;
  json_array_foreach(list, i, p) {
    if (get_bool(p, "loaded")) continue;
    char *why = text_plain(get_text(p, "why"), false),
         *file = text_plain(get_text(p, "file"), false);
    if (!n++) printf("\n%srefused transports%s\n", color_on(x, RED), color_off(x, RED));
    printf("  %s: %s\n", file, why);
    free(why);
    free(file);
  }
}

static void print_plugins(struct ctl *x, json_t *list) {
  static const struct column columns[] = {{"PLUGIN", false},   {"VERSION", false}, {"ABI", false},
                                          {"RUN TYPE", false}, {"STATE", false},   {"WHAT", false}};
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *p;
  json_array_foreach(list, i, p) {
    bool loaded = get_bool(p, "loaded");
    const char *file = get_text(p, "file"), *slash = strrchr(file, '/');
    table_add(t, PLAIN, *get_text(p, "name") ? get_text(p, "name") : slash ? slash + 1 : file);
    const char *abi = get_text(p, "abi"); /* "0.0": no descriptor was seen */
    table_add(t, PLAIN, *get_text(p, "version") ? get_text(p, "version") : "-");
    table_add(t, PLAIN, strcmp(abi, "0.0") ? abi : "-");
    table_add(t, PLAIN, *get_text(p, "run_type") ? get_text(p, "run_type") : "-");
    table_add(t, loaded ? GREEN : RED, loaded ? "loaded" : "refused");
    table_add(t, PLAIN, loaded ? get_text(p, "summary") : get_text(p, "why"));
  }
  table_print(t, stdout, terminal_width(), 0);
}

static void print_without(struct ctl *x, json_t *list) {
  size_t i;
  json_t *o;
  if (!json_array_size(list)) return;
  printf("\n%stopics without a transport%s\n", color_on(x, RED), color_off(x, RED));
  json_array_foreach(list, i, o) {
    char *why = text_plain(get_text(o, "why"), false);
    printf("  %s (run_type %s): %s\n", get_text(o, "topic"), get_text(o, "run_type"), why);
    free(why);
  }
}

static void print_paused(struct ctl *x, json_t *list) {
  size_t i;
  json_t *o;
  char a[TEXT_MAX];
  if (!json_array_size(list)) return;
  printf("\n%spaused topics%s\n", color_on(x, YELLOW), color_off(x, YELLOW));
  json_array_foreach(list, i, o) {
    char *by = text_plain(get_text(o, "by"), false),
         *why = text_plain(get_text(o, "reason"), false);
    printf("  %s since %s%s%s%s%s\n", get_text(o, "topic"), text_time(get_u64(o, "since_ms"), a),
           *by ? " by " : "", by, *why ? ": " : "", why);
    free(by);
    free(why);
  }
}

static void print_strays(struct ctl *x, json_t *list) {
  static const char *const counts[] = {"ready", "running", "retry", "dead", "delayed"};
  size_t i;
  json_t *o;
  char a[TEXT_MAX];
  if (!json_array_size(list)) return;
  printf("\n%sjobs of topics that are not configured for their storage%s\n", color_on(x, YELLOW),
         color_off(x, YELLOW));
  json_array_foreach(list, i, o) {
    printf("  %s/%s in storage %s:", get_text(o, "queue"), get_text(o, "topic"),
           get_text(o, "storage"));
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
      printf("%s %s %s", k ? "," : "", text_count(get_u64(o, counts[k]), a), counts[k]);
    putchar('\n');
  }
}

int verb_status(struct ctl *x) {
  json_t *o, *problems = NULL;
  int code = api_get(x, "/api/v1/status", &o);
  if (code) return code;
  code = problems_get(x, &problems);
  if (code) {
    json_decref(o);
    return code;
  }
  code = get_bool(o, "ready") ? CTL_OK : CTL_NO;
  if (x->args.json) {
    if (problems) json_object_set(o, "problems", get(problems, "problems"));
    json_decref(problems);
    return print_json(o, code);
  }
  if (problems) problems_print(x, problems);
  print_head(x, o);
  print_transports(get(o, "plugins"));
  print_storages(x, get(o, "storages"));
  print_pools(x, get(o, "pools"));
  print_refused(x, get(o, "plugins"));
  print_without(x, get(o, "topics_without_transport"));
  print_paused(x, get(o, "paused"));
  print_strays(x, get(o, "strays"));
  json_decref(problems);
  json_decref(o);
  return code;
}

int verb_plugin_ls(struct ctl *x) {
  json_t *o;
  int code = api_get(x, "/api/v1/status", &o);
  if (code) return code;
  if (x->args.json) {
    json_t *part = json_object();
    json_object_set(part, "plugins", get(o, "plugins"));
    json_object_set(part, "topics_without_transport", get(o, "topics_without_transport"));
    json_decref(o);
    return print_json(part, CTL_OK);
  }
  print_plugins(x, get(o, "plugins"));
  print_without(x, get(o, "topics_without_transport"));
  json_decref(o);
  return CTL_OK;
}

int verb_queue_ls(struct ctl *x) {
  static const struct column columns[] = {
      {"QUEUE", false},  {"SYSTEM", false}, {"NOW", true},   {"ADDED", true},    {"BYTES", true},
      {"REFUSED", true}, {"FAILED", true},  {"LIMIT", true}, {"STORAGE", false}, {"TOPICS", false}};
  json_t *o, *q, *v;
  size_t i, k;
  char a[TEXT_MAX], list[512];
  int code = api_get(x, "/api/v1/queues", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  json_array_foreach(get(o, "queues"), i, q) {
    static const char *const lists[] = {"storages", "topics"};
    uint64_t limit = get_u64(q, "max_length");
    table_add(t, PLAIN, get_text(q, "queue"));
    table_add(t, PLAIN, *get_text(q, "system") ? get_text(q, "system") : "-");
    table_add(t, PLAIN, text_rate(get_real(q, "accepted_rate"), a));
    table_count(t, PLAIN, get_u64(q, "counters.accepted"));
    table_add(t, PLAIN, text_bytes(get_u64(q, "counters.accepted_bytes"), a));
    table_count(t, YELLOW, get_u64(q, "counters.refused"));
    table_count(t, RED, get_u64(q, "counters.failed"));
    table_add(t, PLAIN, limit ? text_count(limit, a) : "-");
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
      size_t at = 0;
      list[0] = 0;
      json_array_foreach(get(q, lists[l]), k, v) {
        int n = snprintf(list + at, sizeof list - at, "%s%s", k ? ", " : "", json_string_value(v));
        if (n < 0 || (size_t)n >= sizeof list - at) break;
        at += (size_t)n;
      }
      table_add(t, PLAIN, list);
    }
  }
  table_print(t, stdout, terminal_width(), 0);
  json_decref(o);
  return CTL_OK;
}

int verb_node_ls(struct ctl *x) {
  static const struct column columns[] = {
      {"NODE", false}, {"STORAGE", false}, {"SHARD", true}, {"STATE", false}, {"SEEN", false}};
  json_t *o, *n;
  size_t i;
  char a[TEXT_MAX];
  int code = api_get(x, "/api/v1/nodes", &o);
  if (code) return code;
  if (*get_text(o, "error")) {
    ctl_error("%s; the list is incomplete", get_text(o, "error"));
    code = CTL_NO;
  }
  if (x->args.json) return print_json(o, code);
  struct table *t = table_new(x, columns, sizeof columns / sizeof *columns);
  uint64_t now = wall_ms();
  json_array_foreach(get(o, "nodes"), i, n) {
    bool alive = get_bool(n, "alive");
    uint64_t seen = get_u64(n, "seen_ms");
    table_addf(t, PLAIN, "%s%s", get_text(n, "node"), get_bool(n, "self") ? " (this one)" : "");
    table_add(t, PLAIN, get_text(n, "storage"));
    table_count(t, PLAIN, get_u64(n, "shard"));
    table_add(t, alive ? GREEN : RED, alive ? "alive" : "gone");
    table_addf(t, PLAIN, "%s ago", text_duration(now > seen ? now - seen : 0, a));
  }
  table_print(t, stdout, terminal_width(), 0);
  json_decref(o);
  return code;
}
