/* Verbs that look at failed jobs: one, a list, groups by cause. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EACH(table) (sizeof(table) / sizeof *(table))
#define PAGE_MAX    1000
#define LIMIT       50

/* A broker of an older release knows no path of these verbs; neither it does of a topic that is not
 * there. */
static int answer_get(struct ctl *x, const char *path, json_t **ret, bool *ret_unknown) {
  struct answer a;
  int code = api_call(x, &(struct request){.method = "GET", .path = path}, &a);
  *ret = NULL;
  *ret_unknown = false;
  if (code) return code;
  if (a.status == 200 && a.json)
    *ret = json_incref(a.json);
  else if (a.status == 404 && strstr(get_text(a.json, "error"), "no such path"))
    *ret_unknown = true;
  else
    code = api_refused(x, &a);
  answer_done(&a);
  return code;
}

static int too_old(void) {
  ctl_error("this broker is too old: it cannot look through failed jobs with a filter");
  return CTL_NO;
}

/* One slice of a look with the filter. */
static int slice_get(struct ctl *x, const char *tail, json_t *filter, const char *cursor,
                     size_t limit, json_t **ret, bool *ret_unknown) {
  char number[24];
  snprintf(number, sizeof number, "%zu", limit);
  char *path = filter_query(path_topic(x, tail), filter);
  path = path_query(path_query(path, "limit", number), "cursor", *cursor ? cursor : NULL);
  if (!path) return CTL_USAGE;
  int code = answer_get(x, path, ret, ret_unknown);
  free(path);
  return code;
}

static void looked_add(json_t *all, json_t *slice) {
  json_object_set_new(
      all, "looked", json_integer((json_int_t)(get_u64(all, "looked") + get_u64(slice, "looked"))));
  json_object_set(all, "total", get(slice, "total"));
  json_object_set(all, "complete", get(slice, "complete"));
  json_object_set(all, "cursor", get(slice, "cursor"));
}

static void look_progress(struct ctl *x, json_t *all, bool last) {
  char a[TEXT_MAX], b[TEXT_MAX];
  if (x->args.json || !isatty(STDERR_FILENO)) return;
  fprintf(stderr, last ? "\r\033[K" : "\r\033[Klooked at %s of %s",
          text_count(get_u64(all, "looked"), a), text_count(get_u64(all, "total"), b));
}

/* "; looked at 20,000 of 1,000,000" where not all was looked at. */
static void print_looked(json_t *all) {
  char a[TEXT_MAX], b[TEXT_MAX];
  if (!get_bool(all, "complete"))
    printf("; looked at %s of %s failed jobs", text_count(get_u64(all, "looked"), a),
           text_count(get_u64(all, "total"), b));
  else
    printf(" of %s", text_many(get_u64(all, "total"), "failed job", a));
}

/* --- a list --- */

static void print_jobs(struct ctl *x, json_t *jobs) {
  static const struct column columns[] = {{"JOB", false},  {"STATE", false},  {"TRIES", true},
                                          {"WHEN", false}, {"CODE", true},    {"NODE", false},
                                          {"SIZE", true},  {"MESSAGE", false}};
  struct table *t = table_new(x, columns, EACH(columns));
  size_t i;
  json_t *r;
  char a[TEXT_MAX];
  json_array_foreach(jobs, i, r) {
    const char *state = get_bool(r, "quarantined") ? "quarantine" : get_text(r, "state");
    uint64_t when = get_u64(r, "died_ms") ? get_u64(r, "died_ms") : get_u64(r, "due_ms");
    table_add(t, PLAIN, get_text(r, "id"));
    table_add(t, state_color(state), state);
    table_addf(t, PLAIN, "%llu", (unsigned long long)get_u64(r, "failed"));
    table_add(t, PLAIN, text_time(when, a));
    table_addf(t, PLAIN, "%lld", (long long)json_integer_value(get(r, "code")));
    table_add(t, PLAIN, get_text(r, "node"));
    table_add(t, PLAIN, text_bytes(get_u64(r, "size"), a));
    table_add(t, PLAIN, get_text(r, "message"));
  }
  table_print(t, stdout, terminal_width(), 0);
}

/* --- one job, and a list by place --- */

static int print_record(struct ctl *x, json_t *o) {
  char a[TEXT_MAX];
  const char *state = get_text(o, "state");
  if (x->args.json) return print_json(o, CTL_OK);
  char *message = text_plain(get_text(o, "message"), true);
  char *content = text_plain(get_text(o, "content"), true);
  printf("job %s of %s: %s%s%s\n", get_text(o, "id"), get_text(o, "topic"),
         color_on(x, state_color(state)), state, color_off(x, state_color(state)));
  printf("  attempts       %llu failed, the first at %s\n",
         (unsigned long long)get_u64(o, "failed"), text_time(get_u64(o, "first_failed_ms"), a));
  if (get_u64(o, "crashes"))
    printf("  crashes        found running at %llu deaths of a node\n",
           (unsigned long long)get_u64(o, "crashes"));
  if (get_u64(o, "due_ms")) printf("  next attempt   %s\n", text_time(get_u64(o, "due_ms"), a));
  if (get_u64(o, "died_ms")) printf("  dead since     %s\n", text_time(get_u64(o, "died_ms"), a));
  printf("  last error     %lld on node %s: %s\n", (long long)json_integer_value(get(o, "code")),
         get_text(o, "node"), message);
  printf("  content        %s%s\n%s\n", text_bytes(get_u64(o, "size"), a),
         *get_text(o, "encoding") ? ", shown as base64" : "", content);
  free(message);
  free(content);
  json_decref(o);
  return CTL_OK;
}

static int failed_one(struct ctl *x) {
  json_t *o;
  char *tail = NULL;
  /* The id needs no encoding beyond what decides whether it can be one. */
  if (strspn(x->args.id, "0123456789abcdefghijklmnopqrstuvwxyzDABCEF-") != strlen(x->args.id) ||
      !*x->args.id) {
    ctl_error("\"%s\" is not a job id", x->args.id);
    return CTL_USAGE;
  }
  if (asprintf(&tail, "/retry/%s", x->args.id) < 0) out_of_memory();
  char *path = path_topic(x, tail);
  int code = path ? api_get(x, path, &o) : CTL_USAGE;
  free(tail);
  free(path);
  return code ? code : print_record(x, o);
}

/* The list as older brokers have it, too. */
static int retry_list(struct ctl *x) {
  json_t *o;
  char a[TEXT_MAX], b[TEXT_MAX];
  if (x->args.id) return failed_one(x);
  char *path = path_query(path_topic(x, "/retry"), "set", x->args.set);
  path = path_query(path, "count", x->args.count ? x->args.count : x->args.limit);
  path = path_query(path, "offset", x->args.offset);
  if (!path) return CTL_USAGE;
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  size_t n = json_array_size(get(o, "jobs"));
  print_jobs(x, get(o, "jobs"));
  printf("%s%s of %s\n", n ? "" : "nothing failed is waiting; ", text_count(n, a),
         text_count(get_u64(o, "total"), b));
  json_decref(o);
  return CTL_OK;
}

/* --- a list with a filter --- */

/* Slices until there are `want` jobs or all was looked at. */
static int jobs_get(struct ctl *x, json_t *filter, size_t want, json_t **ret, bool *ret_unknown) {
  json_t *all = json_pack("{s:[],s:i}", "jobs", "looked", 0), *slice;
  char cursor[512] = "";
  int code;
  do {
    size_t left = want - json_array_size(get(all, "jobs"));
    code = slice_get(x, "/failed", filter, cursor, left < PAGE_MAX ? left : PAGE_MAX, &slice,
                     ret_unknown);
    if (code || *ret_unknown) break;
    json_array_extend(get(all, "jobs"), get(slice, "jobs"));
    json_object_set(all, "topic", get(slice, "topic"));
    looked_add(all, slice);
    snprintf(cursor, sizeof cursor, "%s", get_text(slice, "cursor"));
    json_decref(slice);
    look_progress(x, all, false);
  } while (*cursor && json_array_size(get(all, "jobs")) < want);
  look_progress(x, all, true);
  if (code || *ret_unknown)
    json_decref(all);
  else
    *ret = all;
  return code;
}

static int failed_list(struct ctl *x) {
  json_t *o = NULL, *filter;
  bool unknown = false;
  char a[TEXT_MAX];
  unsigned long want = x->args.limit ? strtoul(x->args.limit, NULL, 10) : LIMIT;
  if (!want) {
    ctl_error("--limit %s is not a number from 1 on", x->args.limit);
    return CTL_USAGE;
  }
  if (!(filter = filter_json(x))) return CTL_USAGE;
  int code = jobs_get(x, filter, want, &o, &unknown);
  json_decref(filter);
  if (code) return code;
  if (unknown) return filter_given(x) ? too_old() : retry_list(x);
  if (x->args.json) return print_json(o, CTL_OK);
  size_t n = json_array_size(get(o, "jobs"));
  print_jobs(x, get(o, "jobs"));
  fputs(text_many(n, "job", a), stdout);
  print_looked(o);
  puts(n == want && *get_text(o, "cursor") ? "; --limit N shows more" : "");
  json_decref(o);
  return CTL_OK;
}

/* --- groups --- */

/* Adds the groups of one slice to those of the slices before. */
static void groups_add(json_t *all, json_t *groups) {
  size_t i, k;
  json_t *g, *old = NULL;
  json_array_foreach(groups, i, g) {
    json_array_foreach(
        all, k, old) if (!strcmp(get_text(old, "signature"), get_text(g, "signature"))) break;
    if (k == json_array_size(all)) {
      json_array_append(all, g);
      continue;
    }
    json_object_set_new(old, "count",
                        json_integer((json_int_t)(get_u64(old, "count") + get_u64(g, "count"))));
    if (get_u64(g, "first_ms") < get_u64(old, "first_ms"))
      json_object_set(old, "first_ms", get(g, "first_ms"));
    if (get_u64(g, "last_ms") > get_u64(old, "last_ms"))
      json_object_set(old, "last_ms", get(g, "last_ms"));
  }
}

static int failed_groups(struct ctl *x) {
  json_t *filter = filter_json(x), *all = json_pack("{s:[],s:i}", "groups", "looked", 0), *slice;
  char cursor[512] = "", a[TEXT_MAX], b[TEXT_MAX];
  bool unknown = false;
  int code = filter ? CTL_OK : CTL_USAGE;
  while (!code) {
    code = slice_get(x, "/failed/groups", filter, cursor, PAGE_MAX, &slice, &unknown);
    if (code || unknown) break;
    groups_add(get(all, "groups"), get(slice, "groups"));
    json_object_set_new(
        all, "others",
        json_integer((json_int_t)(get_u64(all, "others") + get_u64(slice, "others"))));
    json_object_set(all, "topic", get(slice, "topic"));
    looked_add(all, slice);
    snprintf(cursor, sizeof cursor, "%s", get_text(slice, "cursor"));
    json_decref(slice);
    look_progress(x, all, false);
    if (!*cursor) break;
  }
  look_progress(x, all, true);
  json_decref(filter);
  if (!code && unknown) code = too_old();
  if (!code && x->args.json) return print_json(all, CTL_OK);
  if (!code) {
    uint64_t n = groups_print(x, get(all, "groups"), "JOBS");
    printf("%s in %s", text_many(json_array_size(get(all, "groups")), "cause", a),
           text_many(n, "job", b));
    if (get_u64(all, "others"))
      printf(", and %s of rarer causes", text_many(get_u64(all, "others"), "job", a));
    print_looked(all);
    putchar('\n');
  }
  json_decref(all);
  return code;
}

int verb_topic_failed(struct ctl *x) {
  /* What `topic retry` was before it became another name. */
  bool by_place = x->args.id || x->args.count || x->args.offset || !strcmp(x->verb, "topic retry");
  if (x->args.group) return failed_groups(x);
  if (x->args.id || (by_place && !filter_given(x) && !x->args.limit)) return retry_list(x);
  if (x->args.count || x->args.offset) {
    ctl_error("%s: --count and --offset go without a filter; say --limit", x->verb);
    return CTL_USAGE;
  }
  return failed_list(x);
}
