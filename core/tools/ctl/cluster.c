/* Verbs about the nodes of a cluster: what each of them runs, and the key that they share.
 *
 * Must never happen: the key itself is printed.
 */
#include "tools/ctl/ctl.h"

#include "base/seal.h"
#include "base/suggest.h"
#include "config/settings.h"
#include "control/key_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EACH(table) (sizeof(table) / sizeof *(table))

/* --- status --- */

static enum color node_color(const char *state) {
  if (!strcmp(state, "runs")) return GREEN;
  return !strcmp(state, "broken") ? YELLOW : RED;
}

/* Why a node does not run the whole revision, on one line: the node's reason, then the broken
 * sections. */
static char *node_why(json_t *n) {
  json_t *list = json_array(), *b;
  size_t i;
  char line[512];
  if (*get_text(n, "why")) json_array_append(list, get(n, "why"));
  json_array_foreach(get(n, "broken"), i, b) {
    if (json_is_string(b)) {
      json_array_append(list, b);
      continue;
    }
    snprintf(line, sizeof line, "%s %s: %s", get_text(b, "kind"), get_text(b, "name"),
             get_text(b, "why"));
    json_array_append_new(list, json_string(line));
  }
  char *text = json_array_size(list) ? text_value(list) : strdup("");
  json_decref(list);
  return text;
}

static void nodes_print(struct ctl *x, json_t *nodes) {
  static const struct column columns[] = {
      {"NODE", false}, {"REVISION", true}, {"STATE", false}, {"HEARD", false}, {"WHY", false}};
  size_t i;
  json_t *n;
  char at[TEXT_MAX];
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(nodes, i, n) {
    const char *state = get_text(n, "state");
    uint64_t heard = get_u64(n, "at_ms"), now = wall_ms();
    char *why = node_why(n);
    table_add(t, PLAIN, get_text(n, "node"));
    table_addf(t, PLAIN, "%llu", (unsigned long long)get_u64(n, "number"));
    table_add(t, node_color(state), state);
    if (heard)
      table_addf(t, PLAIN, "%s ago", text_duration(now > heard ? now - heard : 0, at));
    else
      table_add(t, PLAIN, "-");
    table_add(t, PLAIN, why);
    free(why);
  }
  table_print(t, stdout, terminal_width(), 0);
}

static void cluster_print(struct ctl *x, json_t *o) {
  const char *state = get_text(o, "state"), *why = get_text(o, "why");
  enum color color = !strcmp(state, "ready") ? GREEN : RED;
  char *title = text_plain(get_text(o, "title"), false);
  printf("cluster %s%s%s%s: %s%s%s\n", get_text(o, "name"), *title ? " (" : "", title,
         *title ? ")" : "", color_on(x, color), state, color_off(x, color));
  free(title);
  if (*why) printf("  %s\n", why);
  printf("  storage        %s\n", *get_text(o, "storage") ? get_text(o, "storage") : "-");
  printf("  key            %s, %s\n", *get_text(o, "key.id") ? get_text(o, "key.id") : "none",
         get_text(o, "key.state"));
  if (get_u64(o, "head"))
    printf("  configuration  revision %llu\n\n", (unsigned long long)get_u64(o, "head"));
  else
    puts("  configuration  no revision yet\n");
}

int verb_cluster_status(struct ctl *x) {
  json_t *o, *n;
  size_t i, bad = 0;
  int code = api_get(x, "/api/v1/cluster", &o);
  if (code) return code;
  json_array_foreach(get(o, "nodes"), i, n) bad +=
      strcmp(get_text(n, "state"), "runs") != 0 || get_u64(n, "number") != get_u64(o, "head");
  code = bad || strcmp(get_text(o, "state"), "ready") != 0 ? CTL_NO : CTL_OK;
  if (x->args.json) return print_json(o, code);
  cluster_print(x, o);
  nodes_print(x, get(o, "nodes"));
  if (*get_text(o, "error")) ctl_error("%s; the list is incomplete", get_text(o, "error"));
  json_decref(o);
  return code;
}

/* --- key --- */

/* The key file that this node's configuration names, and the id of its key. */
static int key_show(struct ctl *x, const struct settings *s) {
  struct seal seal;
  struct pb_err err = {.text = ""};
  json_t *o = NULL;
  const char *path = s->cluster.key_file;
  int rc = key_file_read(path, &seal, &err);
  char id[SEAL_ID_SIZE] = "";
  if (!rc) strcpy(id, seal.id);
  if (!rc) seal_done(&seal);
  int code = api_get(x, "/api/v1/cluster", &o);
  if (x->args.json) {
    json_t *out = json_pack("{s:s, s:s, s:s}", "key_file", path, "id", id, "why", err.text);
    json_object_set(out, "cluster", o ? get(o, "key") : json_null());
    print_json(out, 0);
  } else {
    printf("key file      %s\n", path);
    printf("its key       %s\n", *id ? id : err.text);
    if (o) printf("this node     %s\n", get_text(o, "key.state"));
    if (o && *get_text(o, "key.why")) printf("              %s\n", get_text(o, "key.why"));
  }
  if (!code && (rc || strcmp(get_text(o, "key.state"), "ok") != 0)) code = CTL_NO;
  json_decref(o);
  return code;
}

/* Another key: rotate, or reset where nobody has the old one. */
static int key_change(struct ctl *x, const char *what) {
  json_t *o, *v;
  size_t i;
  bool reset = !strcmp(what, "reset");
  int code = reset ? confirm(x, "Reset the cluster's key? Secrets of the shared configuration that "
                                "it encrypted are deleted")
                   : CTL_OK;
  if (!code) code = api_post(x, "/api/v1/cluster/key", json_pack("{s:s}", "do", what), &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("the cluster's key is %s now, in %s\n", get_text(o, "id"), get_text(o, "key_file"));
  puts("copy this file to the other nodes, mode 0600; until then they run what they have");
  json_array_foreach(get(o, "lost"), i, v) {
    char *text = text_value(v);
    printf("%s  %s\n", i ? "" : "these secrets are to be given again:\n", text);
    free(text);
  }
  json_decref(o);
  return CTL_OK;
}

int verb_cluster_key(struct ctl *x) {
  struct settings *s;
  const char *what = x->args.rest[0], *env = getenv("PEPPERBUS_CONTEXT"),
             *url = getenv("PEPPERBUS_URL");
  bool show = !strcmp(what, "show");
  if (!show && strcmp(what, "rotate") != 0 && strcmp(what, "reset") != 0) {
    ctl_error("cluster key has no \"%s\"; it has show, rotate, reset", what);
    return CTL_USAGE;
  }
  if (x->args.host || x->args.context || (!x->args.config && ((env && *env) || (url && *url)))) {
    ctl_error("cluster key works on the key file of a node, so run it on the node's machine, "
              "without -H and without a context");
    return CTL_USAGE;
  }
  if (!show) return key_change(x, what);
  if (settings_peek(config_file(x), stderr, &s)) return CTL_USAGE;
  int code = key_show(x, s);
  settings_unref(s);
  return code;
}

/* --- nodes --- */

int verb_node_drain(struct ctl *x) {
  json_t *o;
  const char *node = x->args.rest[0];
  char *path = path_named("nodes", node, "/drain");
  int code = api_post(x, path, json_pack("{s:b}", "drain", !x->args.off), &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf(x->args.off ? "node %s runs topics again\n"
                     : "node %s takes no new jobs for its topics; --off ends it\n",
         node);
  json_decref(o);
  return CTL_OK;
}

int verb_node_log(struct ctl *x) {
  json_t *o, *line;
  size_t i;
  char *path = path_named("nodes", x->args.rest[0], "/log");
  path = path_query(path, "lines", x->args.lines);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  json_array_foreach(get(o, "lines"), i, line) {
    char *text = text_plain(json_string_value(line), false);
    puts(text);
    free(text);
  }
  json_decref(o);
  return CTL_OK;
}

int verb_node_rm(struct ctl *x) {
  json_t *o;
  char what[200];
  const char *node = x->args.rest[0];
  snprintf(what, sizeof what, "Forget node %.128s", node);
  int code = confirm(x, what);
  if (code) return code;
  char *path = path_named("nodes", node, "");
  code = api_send(x, "DELETE", path, NULL, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("node %s is forgotten\n", node);
  json_decref(o);
  return CTL_OK;
}
