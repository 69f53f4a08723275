/* Verbs about the shared configuration, which all nodes of a cluster run: show, check, compare,
 * change, its history.
 *
 * Must never happen: a change over somebody else's without a word.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EACH(table) (sizeof(table) / sizeof *(table))
#define STAMP       "; revision " /* the first line of an export names what it was made from */

/* --- the text of a person --- */

struct draft {
  const char *name; /* of the file, for messages */
  char *text;
};

static void draft_done(struct draft *d) {
  if (d->text) explicit_bzero(d->text, strlen(d->text)); /* passwords stand in it */
  free(d->text);
}

static int draft_read(struct ctl *x, struct draft *d) {
  const char *file = x->args.n_rest ? x->args.rest[0] : "-";
  bool pipe = !strcmp(file, "-");
  size_t len;
  char *at = NULL;
  if (!pipe && asprintf(&at, "@%s", file) < 0) out_of_memory();
  char *data = content_read(pipe ? NULL : at, &len);
  free(at);
  *d = (struct draft){.name = pipe ? "standard input" : file};
  if (!data) return CTL_USAGE;
  if (memchr(data, 0, len)) {
    ctl_error("%s holds a NUL; it is no configuration", d->name);
    explicit_bzero(data, len);
    free(data);
    return CTL_USAGE;
  }
  d->text = strndup(data, len);
  if (!d->text) out_of_memory();
  explicit_bzero(data, len);
  free(data);
  return CTL_OK;
}

/* Numbers of revisions are decimal. */
static bool number_read(const char *text, uint64_t *ret) {
  if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18) return false;
  *ret = strtoull(text, NULL, 10);
  return true;
}

static int head_ask(struct ctl *x, uint64_t *ret) {
  json_t *o;
  int code = api_get(x, "/api/v1/config/shared", &o);
  if (code) return code;
  *ret = get_u64(o, "number");
  json_decref(o);
  return CTL_OK;
}

/* The revision that a text was made from: --base, its first line, or the newest one. *ret_said: one
 * of the first two. */
static int base_find(struct ctl *x, const struct draft *d, uint64_t *ret, bool *ret_said) {
  const char *base = x->args.base;
  char digits[20] = "";
  *ret_said = true;
  if (base && strcmp(base, "head") != 0) {
    if (number_read(base, ret)) return CTL_OK;
    ctl_error("--base is the number of a revision, or \"head\", not \"%s\"", base);
    return CTL_USAGE;
  }
  if (!base && d && !strncmp(d->text, STAMP, strlen(STAMP))) {
    const char *p = d->text + strlen(STAMP);
    snprintf(digits, sizeof digits, "%.*s", (int)strspn(p, "0123456789"), p);
    if (number_read(digits, ret)) return CTL_OK;
  }
  *ret_said = base;
  return head_ask(x, ret);
}

/* Prints faults and warnings, a line each. "text:12: ..." and "shared configuration:12: ..." get
 * the name of the person's file. `d` may be NULL. */
static void lines_print(const struct draft *d, const char *lines, FILE *out) {
  static const char *const names[] = {"text:", "shared configuration"};
  char *plain = text_plain(lines, true), *line = plain;
  while (*line) {
    size_t len = strcspn(line, "\n"), skip = 0;
    const char *warning = strncmp(line, "warning: ", 9) ? "" : "warning: ";
    const char *at = line + strlen(warning);
    for (size_t i = 0; i < EACH(names) && d; i++)
      if (!strncmp(at, names[i], strlen(names[i]))) skip = strcspn(at, ":");
    if (skip >= len) skip = 0;
    fprintf(out, "%s%s%.*s\n", warning, skip ? d->name : "", (int)(line + len - at - skip),
            at + skip);
    line += len + (line[len] == '\n');
  }
  free(plain);
}

/* --- differences --- */

static enum color what_color(const char *what) {
  return !strcmp(what, "added") ? GREEN : !strcmp(what, "removed") ? RED : YELLOW;
}

/* "changed: queue q (max_length, password)", a line each. */
static void changes_print(struct ctl *x, json_t *list, const char *indent, FILE *out) {
  size_t i;
  json_t *c;
  json_array_foreach(list, i, c) {
    char *keys = text_value(get(c, "keys"));
    const char *what = get_text(c, "what"), *name = get_text(c, "name");
    enum color color = out == stdout ? what_color(what) : PLAIN;
    bool some = !strcmp(what, "changed") && json_array_size(get(c, "keys"));
    fprintf(out, "%s%s%s%s: %s%s%s%s%s%s\n", indent, color_on(x, color), what, color_off(x, color),
            get_text(c, "kind"), *name ? " " : "", name, some ? " (" : "", some ? keys : "",
            some ? ")" : "");
    free(keys);
  }
}

/* Both differences and what to do; or, where nobody changed anything, what else is in the way. */
static void conflict_print(struct ctl *x, json_t *o, const struct draft *d) {
  json_t *shared = NULL;
  if (!get(o, "theirs")) {
    bool lost =
        !api_get(x, "/api/v1/config/shared", &shared) && !strcmp(get_text(shared, "state"), "lost");
    if (lost)
      fputs("  pepperbusctl config restore makes the newest revision of this node the newest "
            "again;\n  --from NODE takes the one of another node, --from N a number that the "
            "storage has\n",
            stderr);
    json_decref(shared);
    return;
  }
  fprintf(stderr, "  theirs, since the revision that yours was made from:\n");
  changes_print(x, get(o, "theirs"), "    ", stderr);
  fprintf(stderr, "  yours:\n");
  changes_print(x, get(o, "yours"), "    ", stderr);
  if (d)
    fputs("  make your change in a new export (pepperbusctl config export), and apply that; or "
          "put yours\n  over theirs with --base and their number\n",
          stderr);
  else
    fputs("  look at it (pepperbusctl config history), and say it again with --base N\n", stderr);
}

/* Members of {errors [{line, text}]}, as the API's check answers. */
static void errors_print(const struct draft *d, json_t *errors) {
  size_t i;
  json_t *e;
  json_array_foreach(errors, i, e) {
    char *plain = text_plain(get_text(e, "text"), false);
    if (get_u64(e, "line"))
      fprintf(stderr, "%s:%llu: %s\n", d->name, (unsigned long long)get_u64(e, "line"), plain);
    else
      lines_print(d, plain, stderr);
    free(plain);
  }
}

/* What the broker has against a change; the exit code. */
static int change_refused(struct ctl *x, struct answer *a, const struct draft *d) {
  size_t i;
  json_t *key, *o = a->json;
  const char *why = get_text(o, "error");
  bool lines = (a->status == 400 || a->status == 422) && d && *why;
  if (lines && !json_array_size(get(o, "errors"))) {
    if (a->status == 422)
      ctl_error("an address changed, so its secrets must be given again, not as ********:");
    lines_print(d, why, stderr);
    json_array_foreach(get(o, "keys"), i, key) {
      char *text = text_value(key);
      fprintf(stderr, "  %s\n", text);
      free(text);
    }
  } else if (lines) {
    errors_print(d, get(o, "errors"));
  }
  if (lines) {
    if (x->args.json) print_json(json_incref(o), 0);
    return a->status == 400 ? CTL_USAGE : CTL_NO;
  }
  int code = api_refused(x, a);
  if (a->status == 409) conflict_print(x, o, d);
  return code;
}

static void warnings_print(const struct draft *d, json_t *o) {
  size_t i;
  json_t *v, *warnings = get(o, "warnings");
  const char *text = json_string_value(warnings);
  if (text) lines_print(d, text, stderr);
  json_array_foreach(warnings, i, v) {
    const char *line = json_is_string(v) ? json_string_value(v) : get_text(v, "text");
    lines_print(d, line, stderr);
  }
}

/* Asks for a change and prints what came of it. `body` is taken over. */
static int change_ask(struct ctl *x, const char *path, json_t *body, const struct draft *d) {
  struct answer a;
  if (x->args.comment) json_object_set_new(body, "comment", json_string(x->args.comment));
  int code = api_send_any(x, "POST", path, body, &a);
  if (code) return code;
  if (a.status != 200) {
    code = change_refused(x, &a, d);
  } else if (x->args.json) {
    print_json(json_incref(a.json), 0);
  } else {
    uint64_t number = get_u64(a.json, "number");
    warnings_print(d, a.json);
    if (json_array_size(get(a.json, "changes")) || !json_is_array(get(a.json, "changes")))
      printf("revision %llu is the newest\n", (unsigned long long)number);
    else
      printf("nothing changed; revision %llu stays the newest\n", (unsigned long long)number);
    changes_print(x, get(a.json, "changes"), "  ", stdout);
  }
  answer_done(&a);
  return code;
}

/* --- check, diff --- */

/* Asks what a text would change. */
static int check_ask(struct ctl *x, const struct draft *d, uint64_t base, struct answer *ret) {
  json_t *body = json_pack("{s:s, s:I}", "text", d->text, "base", (json_int_t)base);
  if (!body) {
    ctl_error("%s is not UTF-8", d->name);
    return CTL_USAGE;
  }
  int code = api_send_any(x, "POST", "/api/v1/config/check", body, ret);
  if (code) return code;
  if (ret->status == 200 && !json_array_size(get(ret->json, "errors"))) return CTL_OK;
  if (ret->status == 200) {
    errors_print(d, get(ret->json, "errors"));
    if (x->args.json) print_json(json_incref(ret->json), 0);
    code = CTL_USAGE;
  } else {
    code = change_refused(x, ret, d);
  }
  answer_done(ret);
  return code;
}

/* Reads a text and asks what it would change. Not CTL_OK: draft and answer are empty. */
static int draft_check(struct ctl *x, struct draft *d, uint64_t *ret_base, struct answer *ret) {
  bool said;
  int code = draft_read(x, d);
  if (!code) code = base_find(x, d, ret_base, &said);
  if (!code) code = check_ask(x, d, *ret_base, ret);
  if (code) draft_done(d);
  return code;
}

int shared_check(struct ctl *x) {
  struct draft d;
  struct answer a;
  uint64_t base;
  int code = draft_check(x, &d, &base, &a);
  if (code) return code;
  if (x->args.json) {
    print_json(json_incref(a.json), 0);
  } else {
    size_t n = json_array_size(get(a.json, "changes"));
    warnings_print(&d, a.json);
    printf(n ? "%s is sound; to revision %llu it would be\n"
             : "%s is sound; it is what revision %llu has\n",
           d.name, (unsigned long long)base);
    changes_print(x, get(a.json, "changes"), "  ", stdout);
  }
  answer_done(&a);
  draft_done(&d);
  return CTL_OK;
}

/* Prints {changes}, and ends `o`. 1 where there are some, as diff(1). */
static int diff_print(struct ctl *x, json_t *o) {
  int code = json_array_size(get(o, "changes")) ? CTL_NO : CTL_OK;
  if (x->args.json) return print_json(o, code);
  changes_print(x, get(o, "changes"), "", stdout);
  json_decref(o);
  return code;
}

static int diff_text(struct ctl *x) {
  struct draft d;
  struct answer a;
  uint64_t base;
  int code = draft_check(x, &d, &base, &a);
  if (code) return code;
  code = diff_print(x, json_incref(a.json));
  answer_done(&a);
  draft_done(&d);
  return code;
}

int verb_config_diff(struct ctl *x) {
  uint64_t from, to;
  char a[24], b[24];
  json_t *o;
  int code = CTL_OK;
  if (!x->args.n_rest || !number_read(x->args.rest[0], &from)) {
    if (x->args.n_rest < 2) return diff_text(x);
    ctl_error("config diff needs numbers of revisions, or one file");
    return CTL_USAGE;
  }
  if (x->args.n_rest > 1 && !number_read(x->args.rest[1], &to)) {
    ctl_error("\"%s\" is not the number of a revision", x->args.rest[1]);
    return CTL_USAGE;
  }
  if (x->args.n_rest < 2) code = head_ask(x, &to);
  if (code) return code;
  snprintf(a, sizeof a, "%llu", (unsigned long long)from);
  snprintf(b, sizeof b, "%llu", (unsigned long long)to);
  char *path = path_query(path_query(strdup("/api/v1/config/diff"), "from", a), "to", b);
  code = api_get(x, path, &o);
  free(path);
  return code ? code : diff_print(x, o);
}

/* --- apply, import, rollback, restore --- */

/* A person at a terminal who did not say what the text was made from sees what it would change. */
static int apply_sure(struct ctl *x, const struct draft *d, uint64_t base) {
  struct answer a;
  char question[64];
  if (x->args.yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return CTL_OK;
  int code = check_ask(x, d, base, &a);
  if (code) return code;
  bool some = json_array_size(get(a.json, "changes"));
  changes_print(x, get(a.json, "changes"), "", stderr);
  answer_done(&a);
  snprintf(question, sizeof question, "Change revision %llu so?", (unsigned long long)base);
  if (!some || yes_ask(question)) return CTL_OK;
  fputs("nothing was changed\n", stderr);
  return CTL_NO;
}

static int text_apply(struct ctl *x, const char *path, bool import) {
  struct draft d;
  uint64_t base;
  bool said;
  int code = draft_read(x, &d);
  if (!code) code = base_find(x, &d, &base, &said);
  if (!code && !said && !import) code = apply_sure(x, &d, base);
  if (!code) {
    bool lines = import && d.text[strspn(d.text, " \t\r\n")] == '{';
    json_t *body =
        json_pack("{s:s, s:I}", lines ? "jsonl" : "text", d.text, "base", (json_int_t)base);
    if (body && import) json_object_set_new(body, "with_users", json_boolean(x->args.with_users));
    if (body) {
      code = change_ask(x, path, body, &d);
    } else {
      ctl_error("%s is not UTF-8", d.name);
      code = CTL_USAGE;
    }
  }
  draft_done(&d);
  return code;
}

int verb_config_apply(struct ctl *x) {
  return text_apply(x, "/api/v1/config/apply", false);
}

int verb_config_import(struct ctl *x) {
  return text_apply(x, "/api/v1/config/import", true);
}

int verb_config_rollback(struct ctl *x) {
  uint64_t number, base;
  bool said;
  if (!number_read(x->args.rest[0], &number) || !number) {
    ctl_error("\"%s\" is not the number of a revision; pepperbusctl config history shows them",
              x->args.rest[0]);
    return CTL_USAGE;
  }
  int code = base_find(x, NULL, &base, &said);
  if (code) return code;
  json_t *body = json_pack("{s:I, s:I, s:b}", "number", (json_int_t)number, "base",
                           (json_int_t)base, "with_users", (int)x->args.with_users);
  return change_ask(x, "/api/v1/config/rollback", body, NULL);
}

int verb_config_restore(struct ctl *x) {
  uint64_t number;
  json_t *body = json_object();
  if (x->args.from && number_read(x->args.from, &number))
    json_object_set_new(body, "number", json_integer((json_int_t)number));
  else if (x->args.from)
    json_object_set_new(body, "node", json_string(x->args.from));
  return change_ask(x, "/api/v1/config/restore", body, NULL);
}

/* --- shared, show N, history, export --- */

static void revision_head(struct ctl *x, json_t *o, FILE *out) {
  char at[TEXT_MAX];
  char *by = text_plain(get_text(o, "by"), false);
  char *comment = text_plain(get_text(o, "comment"), false);
  fprintf(out, "%srevision %llu, %s by %s%s%s%s\n", color_on(x, BOLD),
          (unsigned long long)get_u64(o, "number"), text_time(get_u64(o, "at_ms"), at),
          *by ? by : "-", *comment ? ": " : "", comment, color_off(x, BOLD));
  free(by);
  free(comment);
}

/* Who made it on standard error, the text itself on standard output. */
static int revision_print(struct ctl *x, json_t *o) {
  if (x->args.json) return print_json(o, CTL_OK);
  if (get_u64(o, "number")) revision_head(x, o, stderr);
  text_print(get_text(o, "text"), stdout);
  json_decref(o);
  return CTL_OK;
}

int verb_config_shared(struct ctl *x) {
  json_t *o;
  int code = api_get(x, "/api/v1/config/shared", &o);
  if (code) return code;
  if (!x->args.json && *get_text(o, "why"))
    ctl_error("%s: %s", get_text(o, "state"), get_text(o, "why"));
  if (!x->args.json && !get_u64(o, "number")) fputs("there is no revision yet\n", stderr);
  return revision_print(x, o);
}

int shared_show(struct ctl *x, const char *number) {
  uint64_t n;
  json_t *o;
  if (!number_read(number, &n)) {
    ctl_error("\"%s\" is not the number of a revision; pepperbusctl config history shows them",
              number);
    return CTL_USAGE;
  }
  char *path = path_named("config/revisions", number, "");
  int code = api_get(x, path, &o);
  free(path);
  return code ? code : revision_print(x, o);
}

int verb_config_history(struct ctl *x) {
  static const struct column columns[] = {
      {"REVISION", true}, {"MADE", false}, {"BY", false}, {"FROM", false}, {"COMMENT", false}};
  json_t *o, *r;
  size_t i;
  char at[TEXT_MAX];
  char *path =
      path_query(strdup("/api/v1/config/revisions"), "limit", x->args.limit ? x->args.limit : "50");
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "revisions"), i, r) {
    table_addf(t, PLAIN, "%llu", (unsigned long long)get_u64(r, "number"));
    table_add(t, PLAIN, text_time(get_u64(r, "at_ms"), at));
    table_add(t, PLAIN, get_text(r, "by"));
    table_add(t, PLAIN, get_text(r, "from"));
    table_add(t, PLAIN, get_text(r, "comment"));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there is no revision yet");
  json_decref(o);
  return CTL_OK;
}

int verb_config_export(struct ctl *x) {
  struct answer a;
  const char *format = x->args.format ? x->args.format : "ini";
  char *path = path_query(strdup("/api/v1/config/export"), "format", format);
  int code = api_call(x, &(struct request){.method = "GET", .path = path}, &a);
  free(path);
  if (code) return code;
  const char *text = json_is_object(a.json) ? json_string_value(get(a.json, "text")) : NULL;
  if (a.status != 200) {
    code = api_refused(x, &a);
  } else if (x->args.json && a.json) {
    print_json(json_incref(a.json), 0);
  } else {
    if (!text) text = a.data ? a.data : "";
    if (get_u64(a.json, "number") && !strcmp(format, "ini") && strncmp(text, STAMP, strlen(STAMP)))
      printf(STAMP "%llu of the shared configuration\n",
             (unsigned long long)get_u64(a.json, "number"));
    fputs(text, stdout);
  }
  answer_done(&a);
  return code;
}
