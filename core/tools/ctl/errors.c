/* "topic errors": why attempts failed: the latest ones, by signature, or as they come. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"
#include "job/signature.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EACH(table) (sizeof(table) / sizeof *(table))
#define FOLLOW_MS   1000
#define ERRORS_MOST "1000" /* that the API gives */

static int errors_get(struct ctl *x, const char *count, json_t **ret) {
  char *path = path_query(path_topic(x, "/errors"), "count", count);
  if (!path) return CTL_USAGE;
  int code = api_get(x, path, ret);
  free(path);
  return code;
}

static int errors_list(struct ctl *x) {
  static const struct column columns[] = {
      {"TIME", false}, {"JOB", false}, {"CODE", true}, {"NODE", false}, {"MESSAGE", false}};
  json_t *o, *e;
  size_t i;
  char a[TEXT_MAX];
  int code = errors_get(x, x->args.count, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "errors"), i, e) {
    table_add(t, PLAIN, text_time(get_u64(e, "ms"), a));
    table_add(t, PLAIN, *get_text(e, "id") ? get_text(e, "id") : "-");
    table_addf(t, PLAIN, "%lld", (long long)json_integer_value(get(e, "code")));
    table_add(t, PLAIN, get_text(e, "node"));
    table_add(t, PLAIN, get_text(e, "message"));
  }
  if (i)
    table_print(t, stdout, terminal_width(), 0);
  else
    table_print(t, stdout, 0, 0), puts("no errors are kept");
  json_decref(o);
  return CTL_OK;
}

/* --- by signature --- */

/* The kept signatures; or, of a broker that keeps none, those of the latest errors. *ret_kept says
 * which. */
static int signatures_get(struct ctl *x, json_t **ret, bool *ret_kept) {
  struct answer a;
  char *path = path_topic(x, "/signatures");
  if (!path) return CTL_USAGE;
  int code = api_call(x, &(struct request){.method = "GET", .path = path}, &a);
  free(path);
  if (code) return code;
  *ret_kept = a.status == 200 && a.json;
  if (*ret_kept)
    *ret = json_incref(a.json);
  else if (a.status != 404)
    code = api_refused(x, &a);
  else
    code = errors_get(x, ERRORS_MOST, ret); /* which says whether the topic is there */
  answer_done(&a);
  return code;
}

/* Adds one error to the groups. Errors come newest first. */
static void group_add(json_t *groups, json_t *e) {
  struct signature s;
  char id[SIGNATURE_ID_LEN + 1];
  const char *message = get_text(e, "message");
  json_t *g = NULL;
  size_t i;
  if (!*get_text(e, "id")) return; /* not about a job */
  signature_of((int)json_integer_value(get(e, "code")), message, strlen(message), &s);
  signature_format(s.id, id);
  json_array_foreach(groups, i, g) if (!strcmp(get_text(g, "id"), id)) break;
  if (i == json_array_size(groups)) {
    g = json_pack("{s:s,s:i,s:s%,s:i,s:O,s:O,s:O}", "id", id, "code", s.code, "text", s.text, s.len,
                  "count", 0, "first_ms", get(e, "ms"), "last_ms", get(e, "ms"), "last_job",
                  get(e, "id"));
    if (!g) out_of_memory();
    json_array_append_new(groups, g);
  }
  json_object_set(g, "first_ms", get(e, "ms"));
  json_object_set_new(g, "count", json_integer((json_int_t)get_u64(g, "count") + 1));
}

static json_t *groups_of(json_t *answer) {
  json_t *groups = json_array(), *e;
  size_t i;
  json_array_foreach(get(answer, "errors"), i, e) group_add(groups, e);
  return groups;
}

static int by_count(const void *pa, const void *pb) {
  uint64_t a = get_u64(*(json_t *const *)pa, "count"), b = get_u64(*(json_t *const *)pb, "count");
  return a < b ? 1 : -(a > b);
}

uint64_t groups_print(struct ctl *x, json_t *groups, const char *title) {
  const struct column columns[] = {{title, true},     {"SHARE", true}, {"CODE", true},
                                   {"FIRST", false},  {"LAST", false}, {"SIGNATURE", false},
                                   {"MESSAGE", false}};
  size_t n = json_array_size(groups), i;
  uint64_t all = 0;
  char a[TEXT_MAX];
  json_t *g, **sorted = calloc(n + 1, sizeof(json_t *));
  if (!sorted) out_of_memory();
  json_array_foreach(groups, i, g) {
    sorted[i] = g;
    all += get_u64(g, "count");
  }
  qsort(sorted, n, sizeof *sorted, by_count);
  struct table *t = table_new(x, columns, EACH(columns));
  for (i = 0; i < n; i++) {
    g = sorted[i];
    table_count(t, PLAIN, get_u64(g, "count"));
    table_addf(t, PLAIN, "%.0f %%", all ? 100 * get_real(g, "count") / (double)all : 0);
    table_addf(t, PLAIN, "%lld", (long long)json_integer_value(get(g, "code")));
    table_add(t, PLAIN, text_when(get_u64(g, "first_ms"), a));
    table_add(t, PLAIN, text_when(get_u64(g, "last_ms"), a));
    table_add(t, PLAIN, *get_text(g, "id") ? get_text(g, "id") : get_text(g, "signature"));
    table_add(t, PLAIN, get_text(g, "text"));
  }
  table_print(t, stdout, terminal_width(), 0);
  free(sorted);
  return all;
}

static int errors_group(struct ctl *x) {
  json_t *o, *groups;
  bool kept;
  char a[TEXT_MAX], b[TEXT_MAX];
  int code = signatures_get(x, &o, &kept);
  if (code) return code;
  groups = kept ? json_incref(get(o, "signatures")) : groups_of(o);
  size_t n = json_array_size(groups), looked = json_array_size(get(o, "errors"));
  if (x->args.json) {
    if (!kept) json_object_del(o, "errors");
    json_object_set(o, "signatures", groups);
    json_decref(groups);
    return print_json(o, CTL_OK);
  }
  uint64_t all = groups_print(x, groups, "FAILURES");
  if (!n)
    puts("no failures are kept");
  else if (kept)
    printf("%s of %s\n", text_many(n, "cause", a), text_many(all, "failure", b));
  else
    printf("%s of the latest %s; what failed before is not in this list\n",
           text_many(n, "cause", a), text_many(looked, "failure", b));
  if (kept && get_u64(o, "other"))
    printf("and %s of signatures that are not kept any more\n",
           text_many(get_u64(o, "other"), "failure", a));
  json_decref(groups);
  json_decref(o);
  return CTL_OK;
}

/* --- as they come --- */

static void error_print(struct ctl *x, json_t *e) {
  char a[TEXT_MAX];
  if (x->args.json) {
    json_dumpf(e, stdout, JSON_COMPACT);
    putchar('\n');
    return;
  }
  char *message = text_plain(get_text(e, "message"), false);
  char *node = text_plain(get_text(e, "node"), false);
  printf("%s %s %s%lld%s %s: %s\n", text_time(get_u64(e, "ms"), a),
         *get_text(e, "id") ? get_text(e, "id") : "-", color_on(x, RED),
         (long long)json_integer_value(get(e, "code")), color_off(x, RED), node, message);
  free(message);
  free(node);
}

/* Prints what stands before `last` in the list, the oldest first. What was newest becomes `*last`.
 */
static void errors_new(struct ctl *x, json_t *list, json_t **last, bool first) {
  size_t n = 0, size = json_array_size(list);
  while (n < size && !(*last && json_equal(json_array_get(list, n), *last))) n++;
  if (n == size && size && *last && !x->args.json)
    puts("... more failures came than the list holds; some are not shown");
  if (first && n > 10) n = 10;
  for (size_t i = n; i--;) error_print(x, json_array_get(list, i));
  if (!size) return;
  json_decref(*last);
  *last = json_incref(json_array_get(list, 0));
}

static int errors_follow(struct ctl *x) {
  json_t *last = NULL;
  for (bool first = true;; first = false) {
    json_t *o;
    int code = errors_get(x, ERRORS_MOST, &o);
    if (code) {
      json_decref(last);
      return code;
    }
    errors_new(x, get(o, "errors"), &last, first);
    fflush(stdout);
    json_decref(o);
    if (ferror(stdout)) break;
    nanosleep(&(struct timespec){.tv_sec = FOLLOW_MS / 1000}, NULL);
  }
  json_decref(last);
  return CTL_NO;
}

int verb_topic_errors(struct ctl *x) {
  if (x->args.group && x->args.follow) {
    ctl_error("topic errors shows groups or follows, not both");
    return CTL_USAGE;
  }
  return x->args.group ? errors_group(x) : x->args.follow ? errors_follow(x) : errors_list(x);
}
