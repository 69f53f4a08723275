/* Verbs that act on failed jobs: replay and purge, of some, of all, or of those that a filter
 * finds.
 *
 * Must never happen: jobs deleted whose number was not shown first.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The body that says which jobs; NULL: told. */
static json_t *choice_json(struct ctl *x, bool may_count) {
  char *end = NULL;
  if ((x->args.id != NULL) + (x->args.count != NULL) + x->args.all != 1) {
    ctl_error("%s: say which jobs with one of --id ID, %s--all", x->verb,
              may_count ? "--count N, " : "");
    return NULL;
  }
  errno = 0;
  long long n = x->args.count ? strtoll(x->args.count, &end, 10) : 1;
  if (n <= 0 || errno || (end && *end)) {
    ctl_error("--count %s is not a number from 1 on", x->args.count);
    return NULL;
  }
  json_t *o = json_object();
  if (x->args.id) json_object_set_new(o, "id", json_string(x->args.id));
  if (x->args.count) json_object_set_new(o, "count", json_integer(n));
  if (x->args.all) json_object_set_new(o, "all", json_true());
  if (x->args.set) json_object_set_new(o, "set", json_string(x->args.set));
  return o;
}

/* Adds --rate and --now. False: told. */
static bool speed_add(struct ctl *x, json_t *body) {
  const char *rate = x->args.rate;
  char *end;
  errno = 0;
  long long n = rate ? strtoll(rate, &end, 10) : 0;
  if (rate && (n <= 0 || errno || (*end && strcmp(end, "/s") != 0))) {
    ctl_error("--rate %s is not a number of jobs a second, as 50/s", rate);
    return false;
  }
  if (rate) json_object_set_new(body, "rate", json_integer(n));
  if (x->args.now) json_object_set_new(body, "now", json_true());
  return true;
}

/* Jobs by a filter, whose route is another one than that of --id, --count and --all. */
static bool by_filter(const struct ctl *x) {
  const char *set = x->args.set;
  return filter_given(x) ||
         (set && !x->args.id && (!strcmp(set, "quarantine") || !strcmp(set, "all")));
}

/* The answer of a verb that begins an act, `member` says how many jobs it was. An act that takes
 * longer is followed to its end; then `*o` is as if it had ended at once. */
int many_follow(struct ctl *x, json_t **o, const char *member) {
  json_t *act = NULL, *answer = *o;
  if (get(answer, member) || !get(answer, "act")) return CTL_OK;
  if (!x->args.json)
    fprintf(stderr, "this takes longer: act %s; it goes on by itself, Ctrl-C only stops watching\n",
            get_text(answer, "act.id"));
  int code = act_follow(x, get_text(answer, "act.id"), &act);
  if (act) {
    json_object_set_new(answer, member, json_integer((json_int_t)get_u64(act, "done")));
    json_object_set(answer, "act", act);
    if (code && x->args.json)
      print_json(json_incref(answer), code);
    else if (code)
      ctl_error("act %s %s after %llu jobs: %s", get_text(act, "id"), get_text(act, "state"),
                (unsigned long long)get_u64(act, "done"), get_text(act, "result"));
    json_decref(act);
  }
  if (code) json_decref(answer);
  return code;
}

/* What was done, and how it can be undone. */
static int print_done(struct ctl *x, json_t *o, const char *member, const char *what) {
  char a[TEXT_MAX];
  if (x->args.json) return print_json(o, CTL_OK);
  uint64_t n = get_u64(o, member);
  printf("%s: %s %s %s\n", get_text(o, "topic"), text_count(n, a), n == 1 ? "job" : "jobs", what);
  act_print_undo(get(o, "act"));
  json_decref(o);
  return CTL_OK;
}

/* The end of both verbs. With a rate the act goes on by itself, unless --follow. */
static int act_end(struct ctl *x, json_t *o, const char *member, const char *what) {
  if (x->args.rate && !x->args.follow && !get(o, member) && get(o, "act")) {
    if (x->args.json) return print_json(o, CTL_OK);
    printf("act %s goes on at %s; pepperbusctl act show %s --follow\n", get_text(o, "act.id"),
           x->args.rate, get_text(o, "act.id"));
    json_decref(o);
    return CTL_OK;
  }
  int code = many_follow(x, &o, member);
  return code ? code : print_done(x, o, member, what);
}

/* --- by a filter --- */

static int too_old(void) {
  ctl_error("this broker is too old: it cannot act on failed jobs with a filter");
  return CTL_NO;
}

/* Sends it to the route of filters. */
static int filter_post(struct ctl *x, const char *tail, json_t *body, json_t **ret) {
  struct answer a;
  char *path = path_topic(x, tail);
  int code = path ? api_send_any(x, "POST", path, body, &a) : CTL_USAGE;
  if (!path) json_decref(body);
  free(path);
  if (code) return code;
  if (a.status < 300 && a.json)
    *ret = json_incref(a.json);
  else if (a.status == 404 && strstr(get_text(a.json, "error"), "no such path"))
    code = too_old();
  else
    code = api_refused(x, &a);
  answer_done(&a);
  return code;
}

/* Counts what the filter finds. */
static int dry_run(struct ctl *x, const char *tail, json_t *filter, json_t **ret) {
  json_t *body = json_pack("{s:O,s:b}", "filter", filter, "dry_run", 1);
  return filter_post(x, tail, body, ret);
}

static int print_dry(struct ctl *x, json_t *o, const char *verb) {
  char a[TEXT_MAX];
  if (x->args.json) return print_json(o, CTL_OK);
  if (json_array_size(get(o, "groups"))) groups_print(x, get(o, "groups"), "JOBS");
  printf("%s%s of %s match; nothing was done, %s without --dry-run does it\n",
         get_bool(o, "exact") ? "" : "at least ", text_many(get_u64(o, "count"), "job", a),
         x->args.rest[0], verb);
  json_decref(o);
  return CTL_OK;
}

/* "Delete 344 jobs of msg/reply that match"; the exit code. What was shown is what goes: with
 * another number the broker does nothing. */
static int ask_filter(struct ctl *x, const char *tail, json_t *filter, json_t *body) {
  json_t *o;
  char a[TEXT_MAX], what[400];
  if (x->args.yes) return CTL_OK;
  int code = dry_run(x, tail, filter, &o);
  if (code) return code;
  bool exact = get_bool(o, "exact");
  snprintf(what, sizeof what, "Delete %s%s of %s that match", exact ? "" : "at least ",
           text_many(get_u64(o, "count"), "job", a), x->args.rest[0]);
  code = confirm(x, what);
  if (!code && exact) json_object_set(body, "expect", get(o, "count"));
  json_decref(o);
  return code;
}

static int filter_act(struct ctl *x, const char *tail, const char *member, const char *what,
                      bool asks) {
  json_t *o = NULL, *filter, *body;
  if (x->args.id || x->args.count) {
    ctl_error("%s: a filter goes without --id and --count", x->verb);
    return CTL_USAGE;
  }
  if (!(filter = filter_json(x))) return CTL_USAGE;
  if (x->args.dry_run) {
    int code = dry_run(x, tail, filter, &o);
    json_decref(filter);
    return code ? code : print_dry(x, o, x->verb);
  }
  body = json_pack("{s:O}", "filter", filter);
  int code = speed_add(x, body) ? CTL_OK : CTL_USAGE;
  if (!code && asks) code = ask_filter(x, tail, filter, body);
  json_decref(filter);
  if (code)
    json_decref(body);
  else
    code = filter_post(x, tail, body, &o);
  return code ? code : act_end(x, o, member, what);
}

/* --- by --id, --count, --all --- */

/* "Delete 3 waiting retries and 12 dead jobs of msg/reply"; the exit code. */
static int ask_purge(struct ctl *x) {
  json_t *o;
  char a[TEXT_MAX], b[TEXT_MAX], what[300];
  if (x->args.yes) return CTL_OK;
  char *path = path_topic(x, "");
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  const char *set = x->args.set ? x->args.set : "both";
  text_count(get_u64(o, "counts.retry"), a);
  text_count(get_u64(o, "counts.dead"), b);
  if (!strcmp(set, "ready"))
    snprintf(what, sizeof what,
             "Delete all jobs of %s that are ready and were not tried yet (%s); this cannot be "
             "undone",
             get_text(o, "topic"), text_count(topic_ready(o), a));
  else if (!strcmp(set, "dead"))
    snprintf(what, sizeof what, "Delete all dead jobs of %s (%s)", get_text(o, "topic"), b);
  else if (!strcmp(set, "retry"))
    snprintf(what, sizeof what, "Delete all jobs of %s that wait for another attempt (%s)",
             get_text(o, "topic"), a);
  else
    snprintf(what, sizeof what,
             "Delete all jobs of %s that wait for another attempt (%s), and all dead ones (%s)",
             get_text(o, "topic"), a, b);
  json_decref(o);
  return confirm(x, what);
}

static int choice_act(struct ctl *x, const char *tail, const char *member, const char *what,
                      bool asks) {
  json_t *o, *body = choice_json(x, !asks);
  if (body && x->args.dry_run) json_object_set_new(body, "dry_run", json_true());
  char *path = body ? path_topic(x, tail) : NULL;
  int code = path && speed_add(x, body) ? CTL_OK : CTL_USAGE;
  if (!code && asks && x->args.all && !x->args.dry_run) code = ask_purge(x);
  if (!code)
    code = api_post(x, path, body, &o);
  else
    json_decref(body);
  free(path);
  if (!code && x->args.dry_run) return print_dry(x, o, x->verb);
  return code ? code : act_end(x, o, member, what);
}

int verb_topic_replay(struct ctl *x) {
  static const char what[] = "due at once, with all attempts again";
  if (by_filter(x)) return filter_act(x, "/failed/replay", "replayed", what, false);
  return choice_act(x, "/replay", "replayed", what, false);
}

int verb_topic_purge(struct ctl *x) {
  if (by_filter(x)) return filter_act(x, "/failed/purge", "purged", "deleted", true);
  return choice_act(x, "/purge", "purged", "deleted", true);
}
