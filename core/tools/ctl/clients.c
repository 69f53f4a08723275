/* Verbs about the connections of producers and pull workers to one node. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define EACH(table) (sizeof(table) / sizeof *(table))

static const char *or_dash(const char *text) {
  return *text ? text : "-";
}

int verb_client_ls(struct ctl *x) {
  static const struct column columns[] = {{"CLIENT", true},  {"ADDRESS", false}, {"QUEUE", false},
                                          {"SINCE", false},  {"IDLE", true},     {"COMMANDS", true},
                                          {"RUNNING", true}, {"UNREAD", true},   {"NAME", false}};
  json_t *o, *k;
  size_t i;
  char a[TEXT_MAX], b[TEXT_MAX];
  char *path = path_query(strdup("/api/v1/clients"), "limit", x->args.limit);
  path = path_query(path, "node", x->args.node);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "clients"), i, k) {
    table_addf(t, PLAIN, "%llu", (unsigned long long)get_u64(k, "id"));
    table_add(t, PLAIN, get_text(k, "address"));
    table_add(t, PLAIN, or_dash(get_text(k, "queue")));
    table_add(t, PLAIN, text_time(get_u64(k, "since_ms"), a));
    table_add(t, PLAIN, text_duration(get_u64(k, "idle_ms"), a));
    table_count(t, PLAIN, get_u64(k, "commands"));
    table_count(t, PLAIN, get_u64(k, "in_flight"));
    table_add(t, PLAIN, text_bytes(get_u64(k, "out_bytes"), a));
    table_addf(t, PLAIN, "%s%s", get_text(k, "name"), get_bool(k, "closing") ? " (is ending)" : "");
  }
  table_print(t, stdout, terminal_width(), 0);
  uint64_t total = get_u64(o, "total");
  printf("%s of %s on node %s%s\n", text_count(i, a), text_many(total, "client", b),
         get_text(o, "node"), total > i ? "; --limit N shows more" : "");
  json_decref(o);
  return CTL_OK;
}

int verb_client_kill(struct ctl *x) {
  json_t *o;
  char what[200], tail[64];
  const char *id = x->args.rest[0];
  if (!*id || strspn(id, "0123456789") != strlen(id) || strlen(id) > 20) {
    ctl_error("\"%s\" is not the number of a client; pepperbusctl client ls shows them", id);
    return CTL_USAGE;
  }
  snprintf(what, sizeof what, "End the connection of client %s", id);
  int code = confirm(x, what);
  if (code) return code;
  snprintf(tail, sizeof tail, "/api/v1/clients/%s", id);
  char *path = path_query(strdup(tail), "node", x->args.node);
  code = api_send(x, "DELETE", path, NULL, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("client %s: its connection ends\n", id);
  json_decref(o);
  return CTL_OK;
}
