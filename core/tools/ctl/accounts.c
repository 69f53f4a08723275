/* Verbs about who may use console and API: users, API tokens, the audit log.
 *
 * Must never happen: a password or a token on a command line; a password printed that was not made
 * here.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EACH(table)   (sizeof(table) / sizeof *(table))
#define FOLLOW_S      2
#define EXPIRES_USUAL "90d"

/* "all", or "a, b". */
static char *systems_text(json_t *o) {
  json_t *list = get(o, "systems");
  char *text = json_array_size(list) ? text_value(list) : strdup("all");
  if (!text) out_of_memory();
  return text;
}

static void add_systems(struct table *t, json_t *o) {
  char *text = systems_text(o);
  table_add(t, PLAIN, text);
  free(text);
}

static const char *first_of(json_t *o, const char *one, const char *other) {
  return *get_text(o, one) ? get_text(o, one) : get_text(o, other);
}

/* --- the options about rights --- */

static bool bool_add(json_t *body, const char *name, const char *text) {
  if (!text) return true;
  bool yes = !strcmp(text, "yes");
  if (yes || !strcmp(text, "no")) {
    json_object_set_new(body, name, json_boolean(yes));
    return true;
  }
  ctl_error("--%s is yes or no, not \"%s\"", name, text);
  return false;
}

static json_t *systems_json(const char *text) {
  json_t *list = json_array();
  for (const char *p = text; *p;) {
    size_t len = strcspn(p, ", ");
    if (len) json_array_append_new(list, json_stringn(p, len));
    p += len;
    p += strspn(p, ", ");
  }
  return list;
}

/* Only the options that were given. False: the fault was printed. */
static bool rights_add(struct ctl *x, json_t *body) {
  const struct ctl_args *a = &x->args;
  if (a->role) json_object_set_new(body, "role", json_string(a->role));
  if (a->systems) json_object_set_new(body, "systems", systems_json(a->systems));
  return bool_add(body, "contents", a->contents) && bool_add(body, "entries", a->entries);
}

/* --- users --- */

int verb_user_ls(struct ctl *x) {
  static const struct column columns[] = {{"USER", false},    {"ROLE", false},
                                          {"SYSTEMS", false}, {"CONTENTS", false},
                                          {"ENTRIES", false}, {"WHERE", false}};
  json_t *o, *u;
  size_t i;
  int code = api_get(x, "/api/v1/users", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "users"), i, u) {
    table_add(t, PLAIN, first_of(u, "name", "user"));
    table_add(t, PLAIN, get_text(u, "role"));
    add_systems(t, u);
    table_add(t, PLAIN, get_bool(u, "contents") ? "yes" : "no");
    table_add(t, PLAIN, get_bool(u, "entries") ? "yes" : "no");
    table_addf(t, PLAIN, "%s%s", get_bool(u, "local") ? "file of the node" : "shared",
               get_bool(u, "must_change") ? "; must change the password" : "");
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there are no users; pepperbusctl user add makes one");
  json_decref(o);
  return CTL_OK;
}

/* Adds "password" to the body: made here, or asked for. *ret_made: to be printed and wiped. */
static bool password_add(struct ctl *x, json_t *body, char *ret_made) {
  char password[PASSWORD_MAX + 1];
  size_t len;
  bool good =
      x->args.generate ? password_generate(password, &len) : password_ask_new(password, &len);
  json_t *text = good ? json_stringn(password, len) : NULL;
  if (good && !text) ctl_error("the password is not UTF-8");
  if (text) json_object_set_new(body, "password", text);
  if (text && x->args.generate) memcpy(ret_made, password, len + 1);
  explicit_bzero(password, sizeof password);
  return text;
}

/* Sends a user with a password, and says what was done. `body` is taken over. */
static int user_send(struct ctl *x, const char *path, json_t *body, const char *done) {
  json_t *o;
  char made[PASSWORD_MAX + 1] = "";
  if (!password_add(x, body, made)) {
    json_decref(body);
    return CTL_USAGE;
  }
  int code = api_post(x, path, body, &o);
  if (!code && x->args.json) {
    if (*made) json_object_set_new(o, "generated", json_string(made));
    print_json(o, 0);
  } else if (!code) {
    if (*made) printf("%s\n", made);
    fprintf(*made ? stderr : stdout, "user %s: %s\n", x->args.rest[0], done);
    json_decref(o);
  }
  explicit_bzero(made, sizeof made);
  return code;
}

int verb_user_add(struct ctl *x) {
  json_t *body = json_pack("{s:s, s:s}", "name", x->args.rest[0], "role",
                           x->args.role ? x->args.role : "viewer");
  if (body && rights_add(x, body)) return user_send(x, "/api/v1/users", body, "added");
  json_decref(body);
  return CTL_USAGE;
}

int verb_user_passwd(struct ctl *x) {
  char *path = path_named("users", x->args.rest[0], "/password");
  int code = user_send(x, path, json_object(), "has a new password; the old sessions have ended");
  free(path);
  return code;
}

/* Prints that it was done. `o` is taken over. */
static int told(struct ctl *x, int code, json_t *o, const char *noun, const char *done) {
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("%s %s: %s\n", noun, x->args.rest[0], done);
  json_decref(o);
  return CTL_OK;
}

int verb_user_set(struct ctl *x) {
  json_t *o = NULL, *body = json_object();
  if (!rights_add(x, body) || !json_object_size(body)) {
    if (!json_object_size(body))
      ctl_error("user set needs --role, --systems, --contents or --entries");
    json_decref(body);
    return CTL_USAGE;
  }
  char *path = path_named("users", x->args.rest[0], "");
  int code = api_send(x, "PUT", path, body, &o);
  free(path);
  return told(x, code, o, "user", "changed");
}

int verb_user_rm(struct ctl *x) {
  json_t *o = NULL;
  char what[200];
  snprintf(what, sizeof what, "Delete user %.128s", x->args.rest[0]);
  int code = confirm(x, what);
  if (code) return code;
  char *path = path_named("users", x->args.rest[0], "");
  code = api_send(x, "DELETE", path, NULL, &o);
  free(path);
  return told(x, code, o, "user", "deleted; its sessions and tokens have ended");
}

/* --- tokens --- */

static void add_time(struct table *t, uint64_t ms, const char *none) {
  char text[TEXT_MAX];
  table_add(t, PLAIN, ms ? text_time(ms, text) : none);
}

int verb_token_ls(struct ctl *x) {
  static const struct column columns[] = {{"ID", false},   {"USER", false},     {"ROLE", false},
                                          {"ENDS", false}, {"LAST USE", false}, {"SYSTEMS", false},
                                          {"NAME", false}};
  json_t *o, *v;
  size_t i;
  int code = api_get(x, "/api/v1/tokens", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "tokens"), i, v) {
    table_add(t, PLAIN, get_text(v, "id"));
    table_add(t, PLAIN, get_text(v, "user"));
    table_add(t, PLAIN, get_text(v, "role"));
    add_time(t, get_u64(v, "expires_ms"), "never");
    add_time(t, get_u64(v, "last_ms"), "-");
    add_systems(t, v);
    table_add(t, PLAIN, get_text(v, "name"));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there are no tokens; pepperbusctl token add makes one");
  json_decref(o);
  return CTL_OK;
}

bool expires_add(struct ctl *x, json_t *body) {
  const char *text = x->args.expires ? x->args.expires : EXPIRES_USUAL;
  uint64_t ms;
  if (!strcmp(text, "never")) return true;
  if (!duration_read(text, &ms) || !ms) {
    ctl_error("--expires is a time such as 12h or 90d, or never, not \"%s\"", text);
    return false;
  }
  json_object_set_new(body, "expires_ms", json_integer((json_int_t)(wall_ms() + ms)));
  return true;
}

int verb_token_add(struct ctl *x) {
  json_t *o, *body = json_pack("{s:s}", "name", x->args.rest[0]);
  char end[TEXT_MAX];
  if (!body || !rights_add(x, body) || !expires_add(x, body)) {
    json_decref(body);
    return CTL_USAGE;
  }
  if (x->args.who) json_object_set_new(body, "user", json_string(x->args.who));
  int code = api_post(x, "/api/v1/tokens", body, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  uint64_t ms = get_u64(o, "expires_ms");
  puts(get_text(o, "token"));
  fprintf(stderr, "token %s, until %s; keep it, nobody can show it again\n", get_text(o, "id"),
          ms ? text_time(ms, end) : "it is taken back");
  json_decref(o);
  return CTL_OK;
}

int verb_token_rm(struct ctl *x) {
  json_t *o = NULL;
  char *path = path_named("tokens", x->args.rest[0], "");
  int code = api_send(x, "DELETE", path, NULL, &o);
  free(path);
  return told(x, code, o, "token", "taken back");
}

/* --- audit --- */

static char *query_number(char *path, const char *name, uint64_t n) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
  return path_query(path, name, n ? digits : NULL);
}

static int audit_get(struct ctl *x, uint64_t since, uint64_t until, const char *limit,
                     json_t **ret) {
  char *path = path_query(strdup("/api/v1/audit"), "limit", limit);
  path = path_query(path, "user", x->args.who);
  path = query_number(query_number(path, "since", since), "until", until);
  int code = api_get(x, path, ret);
  free(path);
  return code;
}

/* One row, as a line for people. */
static void row_print(json_t *r) {
  char at[TEXT_MAX];
  char *user = text_plain(get_text(r, "user"), false),
       *what = text_plain(get_text(r, "what"), false);
  char *object = text_plain(get_text(r, "object"), false);
  char *result = text_plain(get_text(r, "result"), false);
  printf("%s %s %s%s%s: %s (%s, node %s)\n", text_time(get_u64(r, "at_ms"), at), *user ? user : "-",
         what, *object ? " " : "", object, *result ? result : "-",
         *get_text(r, "client") ? get_text(r, "client") : "-", get_text(r, "node"));
  free(user);
  free(what);
  free(object);
  free(result);
}

static void rows_table(struct ctl *x, json_t *rows) {
  static const struct column columns[] = {{"TIME", false},  {"USER", false}, {"FROM", false},
                                          {"NODE", false},  {"WHAT", false}, {"OBJECT", false},
                                          {"RESULT", false}};
  static const char *const members[] = {"user", "client", "node", "what", "object"};
  size_t i;
  json_t *r;
  char at[TEXT_MAX];
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(rows, i, r) {
    table_add(t, PLAIN, text_time(get_u64(r, "at_ms"), at));
    for (size_t k = 0; k < EACH(members); k++) {
      const char *text = get_text(r, members[k]);
      table_add(t, PLAIN, *text ? text : "-");
    }
    table_add(t, get_bool(r, "refused") ? RED : PLAIN, get_text(r, "result"));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("nothing was noted");
}

/* Prints rows, the oldest first, that are newer than `last`; *last is the newest then. */
static void rows_new(struct ctl *x, json_t *rows, char **last, uint64_t *ret_since) {
  size_t n = json_array_size(rows), fresh = 0;
  while (fresh < n && (!*last || strcmp(get_text(json_array_get(rows, fresh), "id"), *last) != 0))
    fresh++;
  for (size_t i = fresh; i-- > 0;) {
    json_t *r = json_array_get(rows, i);
    if (x->args.json)
      json_dumpf(r, stdout, JSON_COMPACT), putchar('\n');
    else
      row_print(r);
  }
  if (fresh) {
    json_t *newest = json_array_get(rows, 0);
    free(*last);
    *last = strdup(get_text(newest, "id"));
    *ret_since = get_u64(newest, "at_ms");
  }
  fflush(stdout);
}

static int audit_follow(struct ctl *x, uint64_t since) {
  char *last = NULL;
  const char *limit = x->args.limit ? x->args.limit : "20";
  for (;;) {
    json_t *o;
    int code = audit_get(x, since, 0, limit, &o);
    if (code) {
      free(last);
      return code;
    }
    rows_new(x, get(o, "rows"), &last, &since);
    json_decref(o);
    limit = "1000";
    nanosleep(&(struct timespec){.tv_sec = FOLLOW_S}, NULL);
  }
}

int verb_audit(struct ctl *x) {
  uint64_t since = 0, until = 0;
  json_t *o;
  if (x->args.since && !moment_read(x->args.since, "--since", &since)) return CTL_USAGE;
  if (x->args.until && !moment_read(x->args.until, "--until", &until)) return CTL_USAGE;
  if (x->args.follow) return audit_follow(x, since);
  int code = audit_get(x, since, until, x->args.limit ? x->args.limit : "50", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  rows_table(x, get(o, "rows"));
  json_decref(o);
  return CTL_OK;
}
