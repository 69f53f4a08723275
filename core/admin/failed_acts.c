/* Owns replay and purge of failed jobs: of one job, of all of a set, and of those that a filter
 * names.
 *
 * Must never happen: a purge or replay of more than was named, a topic touched after a reload took
 * it away (call_topic_again()).
 */
#include "admin/failed_filter.h"
#include "admin/private.h"

#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MS     5000 /* for a count before an act */
#define GROUPS_SHOWN 20
#define RATE_MAX     1000000
#define FILTERS_TEXT "\"filter\": {...}"

/* Exactly one of id, count, all and filter says which; what is left out of the body is never "all".
 */
struct choice {
  struct call *c;
  enum store_act_kind kind;
  enum store_set set;
  uint64_t id, count; /* both 0, and not filtered: all */
  bool by_id, by_count, by_all, filtered, dry_run, has_expect, now;
  struct store_filter filter;
  uint64_t rate, expect;
};

/* --- what is asked for --- */

static bool number_read(const json_t *v, uint64_t least, uint64_t most, uint64_t *ret) {
  json_int_t n = json_integer_value(v);
  if (!json_is_integer(v) || n < 0 || (uint64_t)n < least || (uint64_t)n > most) return false;
  *ret = (uint64_t)n;
  return true;
}

static bool flag_read(const json_t *v, bool *ret) {
  *ret = json_is_true(v);
  return json_is_boolean(v);
}

static bool set_read(struct choice *x, const json_t *v) {
  const char *name = json_string_value(v);
  bool good = name && filter_set_named(name, &x->set);
  if (good && x->set == STORE_SET_READY) good = x->kind == STORE_ACT_PURGE;
  if (!good)
    call_error(x->c, 400, "set \"%.60s\" is not retry, dead, quarantine, both or all%s",
               name ? name : "?", x->kind == STORE_ACT_PURGE ? ", nor ready" : "");
  return good;
}

/* False: answered. */
static bool member_read(struct choice *x, const struct topic *t, const char *key, json_t *v) {
  struct call *c = x->c;
  bool purge = x->kind == STORE_ACT_PURGE, good = false;
  if (!strcmp(key, "set")) return set_read(x, v);
  if (!strcmp(key, "id")) {
    x->by_id = true;
    return failed_id(c, json_string_value(v), &x->id);
  }
  if (!strcmp(key, "filter") && json_is_object(v)) {
    x->filtered = true;
    return filter_of_json(c, t, v, STORE_SET_BOTH, &x->filter);
  }
  if (!strcmp(key, "all")) good = flag_read(v, &x->by_all);
  if (!strcmp(key, "count") && !purge) good = x->by_count = number_read(v, 1, INT64_MAX, &x->count);
  if (!strcmp(key, "rate")) good = number_read(v, 0, RATE_MAX, &x->rate);
  if (!strcmp(key, "now") && purge) good = flag_read(v, &x->now);
  if (!strcmp(key, "dry_run")) good = flag_read(v, &x->dry_run);
  if (!strcmp(key, "expect")) good = x->has_expect = number_read(v, 0, INT64_MAX, &x->expect);
  if (!good) call_error(c, 400, "\"%.60s\" is not known here, or its value is wrong", key);
  return good;
}

/* Older scripts know retry, dead and both, where dead are the quarantined, too: what they do not
 * know is a filter. */
static bool choice_settle(struct choice *x, bool set_named) {
  struct call *c = x->c;
  if (x->by_id + x->by_count + x->by_all + x->filtered != 1) {
    call_error(c, 400, "say which jobs: exactly one of \"id\", %s\"all\": true and " FILTERS_TEXT,
               x->kind == STORE_ACT_REPLAY ? "\"count\", " : "");
    return false;
  }
  if (x->filtered && set_named) {
    call_error(c, 400, "\"set\" of a filter is a member of it");
    return false;
  }
  if ((x->by_id || x->set == STORE_SET_READY) &&
      (x->rate || x->has_expect || x->dry_run || (x->by_id && x->now))) {
    call_error(c, 400,
               "\"rate\", \"now\", \"expect\" and \"dry_run\" are for acts on many failed jobs");
    return false;
  }
  if ((x->by_id || x->by_count) && x->set > STORE_SET_BOTH) {
    call_error(c, 400, "set \"%s\" goes with \"all\" or in a filter", filter_set_name(x->set));
    return false;
  }
  if (x->by_all && x->set > STORE_SET_BOTH && x->set != STORE_SET_READY) {
    x->filtered = x->set != STORE_SET_ALL;
    x->filter.set = x->set;
    if (!x->filtered) x->set = STORE_SET_BOTH;
  }
  if (x->filtered) x->set = x->filter.set;
  return true;
}

static bool choice_read(struct choice *x, const struct topic *t) {
  const char *key;
  json_t *value, *body = call_body_json(x->c);
  bool good = body;
  json_object_foreach(body, key, value) good = good && member_read(x, t, key, value);
  good = good && choice_settle(x, json_object_get(body, "set"));
  json_decref(body);
  return good;
}

/* --- one job --- */

static void one_answer(struct call *c, enum store_rc rc, uint64_t count, const char *what,
                       const char *why) {
  if (rc) {
    call_store_error(c, rc, why);
  } else if (!count) {
    call_error(c, 404, "job %s is not waiting in the retry queue of %s", c->why, c->path);
  } else {
    json_t *o = json_object();
    json_object_set_new(o, "topic", json_cstr(c->path));
    json_object_set_new(o, what, json_u64(count));
    call_json(c, 200, o);
  }
}

/* Of one job; of many the act tells. */
static void one_log(struct call *c, const char *what) {
  char by[STORE_ACT_TEXT_MAX];
  call_by(c, by, sizeof by);
  log_info(c->view->log, c->path, "%s by %s: job %s", what, by, c->why);
}

static void on_replayed(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  struct topic *t = call_topic_again(c);
  /* Also where the answer got lost: they may be due. */
  if (t && (count || rc)) dispatcher_wake(c->view->dispatcher, t->queue, false);
  if (!rc && count) one_log(c, "replay");
  one_answer(c, rc, count, "replayed", why);
  call_unref(c);
}

static void on_purged(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct call *c = arg;
  if (!rc && count) one_log(c, "purge");
  one_answer(c, rc, count, "purged", why);
  call_unref(c);
}

static void one_begin(const struct choice *x, struct topic *t) {
  id_format(x->id, x->c->why);
  call_wait(x->c, ADMIN_WAIT_MS);
  if (x->kind == STORE_ACT_REPLAY)
    store_replay(t->store, x->set, x->id, on_replayed, x->c);
  else
    store_purge(t->store, x->set, x->id, on_purged, x->c);
}

/* --- many: an act, which goes on whatever becomes of this request or of this node --- */

static void many_begin(const struct choice *x, const struct topic *t) {
  struct store_act a = {.kind = x->kind,
                        .set = x->set,
                        .count = x->count,
                        .filtered = x->filtered,
                        .filter = x->filter,
                        .rate = x->rate,
                        .now = x->now};
  snprintf(a.queue, sizeof a.queue, "%s", t->queue->name);
  snprintf(a.topic, sizeof a.topic, "%s", t->set->name);
  admin_act_begin(x->c, t->store_entry->store, &a);
}

/* --- a count before it --- */

static void dry_answer(struct choice *x, const struct store_scanned *r, uint64_t count) {
  struct call *c = x->c;
  json_t *o = json_object();
  json_object_set_new(o, "topic", json_cstr(c->path));
  json_object_set_new(o, "count", json_u64(count));
  json_object_set_new(o, "exact", json_boolean(r->over));
  json_object_set_new(o, "looked", json_u64(r->looked));
  json_object_set_new(o, "total", json_u64(r->total));
  json_object_set_new(o, "groups", failed_groups_json(c, r, GROUPS_SHOWN));
  call_json(c, 200, o);
}

static void on_counted(void *arg, enum store_rc rc, const struct store_scanned *r,
                       const char *why) {
  struct choice *x = arg;
  struct call *c = x->c;
  struct topic *t = call_topic_again(c);
  uint64_t count = r->matched;
  if (x->count && count > x->count) count = x->count;
  if (call_answered(c)) {
    /* The client has gone: nothing begins. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else if (x->dry_run) {
    dry_answer(x, r, count);
  } else if (!r->over) {
    call_error(c, 409,
               "nothing was done: only %" PRIu64 " of %" PRIu64
               " jobs could be looked at in time, so it is not known whether %" PRIu64 " match",
               r->looked, r->total, x->expect);
  } else if (count != x->expect) {
    call_error(c, 409, "nothing was done: %" PRIu64 " jobs match by now, not %" PRIu64, count,
               x->expect);
  } else if (!t || !t->store) {
    call_error(c, 503, "the topic %s is not there any more", c->path);
  } else {
    many_begin(x, t);
  }
  free(x);
  call_unref(c);
}

static void count_begin(const struct choice *x, const struct topic *t) {
  struct store_scan scan = {.filter = x->filter, .kind = STORE_SCAN_GROUPS, .time_ms = COUNT_MS};
  struct choice *copy = malloc(sizeof *copy);
  if (!copy) out_of_memory();
  *copy = *x;
  if (!x->filtered) scan.filter.set = x->set | (x->set & STORE_SET_DEAD ? STORE_SET_QUARANTINE : 0);
  call_wait(x->c, ADMIN_WAIT_MS);
  store_scan(t->store, &scan, on_counted, copy);
}

static void act_post(struct call *c, enum store_act_kind kind) {
  struct choice x = {.c = c, .kind = kind, .set = STORE_SET_BOTH};
  struct topic *t = call_stored_topic(c);
  if (!t || !choice_read(&x, t)) return;
  if (x.id)
    one_begin(&x, t);
  else if (x.dry_run || x.has_expect)
    count_begin(&x, t);
  else
    many_begin(&x, t);
}

void admin_post_replay(struct call *c) {
  act_post(c, STORE_ACT_REPLAY);
}

void admin_post_purge(struct call *c) {
  act_post(c, STORE_ACT_PURGE);
}
