/* Owns the list of what is wrong: made of what the broker knows at this moment, each with what to
 * do about it and its chapter of doc/runbook.md.
 *
 * Must never happen: a walk through whole storages; a list that waits for a storage that is away;
 * a problem of a system that the one who asks may not see.
 */
#include "admin/private.h"

#include "alerts/alerts.h"
#include "alerts/notice.h"
#include "base/out_of_memory.h"
#include "control/control.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX    1000 /* shown; `total` counts all */
#define PATIENCE_MS     2000 /* with the storage that knows the nodes */
#define PAUSED_LONG_MS  (10 * 60000u)
#define WAITS_LONG_MS   (5 * 60000u)
#define FAILS_SHARE     0.1
#define QUARANTINE_MAX  100    /* are counted; then there are "at least" so many */
#define QUARANTINE_LOOK 5000   /* jobs are looked at, the youngest first */
#define CLOCK_SLACK_MS  60000u /* between this node and Redis */
#define FAILS_LEAST     0.05   /* a second: one failure of a quiet topic is no problem */

/* In the order in which they are shown. */
enum problem_kind {
  PROBLEM_STORAGE_AWAY,
  PROBLEM_STORAGE_REFUSED,
  PROBLEM_STORAGE_NO_WRITES,
  PROBLEM_SHARED_LOST,
  PROBLEM_KEY,
  PROBLEM_NODE_AWAY,
  PROBLEM_REVISION_REFUSED,
  PROBLEM_REVISION_BEHIND,
  PROBLEM_BROKEN,
  PROBLEM_UNREACHABLE,
  PROBLEM_UNREGISTERED,
  PROBLEM_WAITING,
  PROBLEM_FAILING,
  PROBLEM_QUARANTINE,
  PROBLEM_ALERT,
  PROBLEM_PAUSED,
  PROBLEM_STRAY,
  PROBLEM_KINDS
};

/* Chapters are anchors of doc/runbook.md: tests/e2e/test_problems.py looks for each. */
static const struct {
  const char *name, *todo, *chapter;
} kinds[PROBLEM_KINDS] = {
    [PROBLEM_STORAGE_AWAY] = {"storage_away",
                              "Start Redis, or correct the address of the storage. Jobs wait; the "
                              "broker goes on by itself.",
                              "redis-is-away"},
    [PROBLEM_STORAGE_REFUSED] = {"storage_refused",
                                 "Correct what the reason names, then reload the configuration.",
                                 "a-storage-is-refused"},
    [PROBLEM_STORAGE_NO_WRITES] = {"storage_no_writes",
                                   "Free memory or raise maxmemory; of a replica, connect to the "
                                   "primary. No new jobs are taken until then.",
                                   "redis-is-full"},
    [PROBLEM_SHARED_LOST] = {"shared_lost",
                             "Restore it from a node: pepperbusctl config restore. Until then no "
                             "change is accepted.",
                             "the-shared-configuration-was-lost-or-went-back"},
    [PROBLEM_KEY] = {"key", "Give this node the key file of the cluster.",
                     "a-key-is-missing-or-wrong"},
    [PROBLEM_NODE_AWAY] = {"node_away",
                           "Start the broker on that machine, or take the node out: pepperbusctl "
                           "node rm. Other nodes have taken its jobs over.",
                           "a-node-died"},
    [PROBLEM_REVISION_REFUSED] =
        {"revision_refused",
         "Read why with pepperbusctl cluster status; upgrade that node, or "
         "change the configuration.",
         "a-node-refuses-a-revision"},
    [PROBLEM_REVISION_BEHIND] = {"revision_behind",
                                 "Look at the log of that node. A node follows within seconds.",
                                 "the-shared-configuration"},
    [PROBLEM_BROKEN] = {"broken", "Mend what the reason names on this node.",
                        "topics-are-broken-on-one-node"},
    [PROBLEM_UNREACHABLE] = {"unreachable",
                             "Start the workers, or correct the address of the pool. No attempt is "
                             "counted meanwhile.",
                             "a-topic-is-unreachable"},
    [PROBLEM_UNREGISTERED] = {"unregistered",
                              "Deploy the worker of that topic, or correct its entry. Its jobs "
                              "wait.",
                              "a-topic-is-unregistered"},
    [PROBLEM_WAITING] = {"waiting", "Look why nothing runs: pepperbusctl topic show, and pool ls.",
                         "jobs-wait-and-nothing-runs"},
    [PROBLEM_FAILING] = {"failing",
                         "Read the errors: pepperbusctl topic errors. Mend the worker, then replay "
                         "the dead jobs.",
                         "jobs-fail"},
    [PROBLEM_QUARANTINE] = {"quarantine",
                            "Look at one of them: pepperbusctl topic failed --set quarantine. Mend "
                            "what it kills before you replay it, or purge it.",
                            "jobs-in-quarantine"},
    [PROBLEM_ALERT] = {"alert",
                       "Read the chapter of its metric. To hear no more of it for a while: "
                       "pepperbusctl alert silence.",
                       "notices-of-alerts"},
    [PROBLEM_PAUSED] = {"paused",
                        "Resume it when the reason for the pause is gone: pepperbusctl topic "
                        "resume.",
                        "a-topic-is-paused-for-long"},
    [PROBLEM_STRAY] = {"stray",
                       "Configure the topic again, move its jobs, or drop them: pepperbusctl topic "
                       "stray.",
                       "stray-jobs"},
};

struct report {
  struct call *c; /* NULL: it has been answered */
  json_t *of[PROBLEM_KINDS];
  json_t *pools; /* name: the problem of its unreachable topics */
  struct timer patience;
  unsigned refs;
  unsigned pending; /* answers that are still to come */
  char error[500];  /* what could not be looked at */
};

/* One topic whose jobs in quarantine are looked for. */
struct quarantine {
  struct report *report;
  uint64_t since_ms;
  char path[2 * NAME_LEN_MAX + 2];
};

/* --- one --- */

/* `since_ms` 0: not known. Returns what was added; borrowed. */
static json_t *problem_add(struct report *r, enum problem_kind kind, const char *subject,
                           uint64_t since_ms, const char *fmt, ...) PB_PRINTF(5, 6);
static json_t *problem_add(struct report *r, enum problem_kind kind, const char *subject,
                           uint64_t since_ms, const char *fmt, ...) {
  char text[1200], id[3 * NAME_LEN_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  snprintf(id, sizeof id, "%s:%s", kinds[kind].name, subject);
  json_t *o = json_object();
  json_object_set_new(o, "id", json_cstr(id));
  json_object_set_new(o, "kind", json_string(kinds[kind].name));
  json_object_set_new(o, "subject", json_cstr(subject));
  json_object_set_new(o, "text", json_cstr(text));
  json_object_set_new(o, "since_ms", since_ms ? json_u64(since_ms) : json_null());
  json_object_set_new(o, "todo", json_string(kinds[kind].todo));
  json_object_set_new(o, "chapter", json_string(kinds[kind].chapter));
  json_object_set_new(o, "params", json_object());
  json_array_append_new(r->of[kind], o);
  return o;
}

/* What the sentence is made of, for those who say it in another language. */
static void param(json_t *problem, const char *name, json_t *value) {
  json_object_set_new(json_object_get(problem, "params"), name, value);
}

/* Sentences have their own full stop: Redis' errors may have one, too. */
static size_t why_len(const char *why) {
  size_t n = strlen(why);
  while (n && why[n - 1] == '.') n--;
  return n;
}

static void param_why(json_t *problem, const char *why) {
  if (why_len(why)) param(problem, "why", json_text(why, why_len(why)));
}

static const char *length_text(uint64_t ms, char ret[32]) {
  uint64_t s = ms / 1000;
  if (s < 120)
    snprintf(ret, 32, "%" PRIu64 " seconds", s);
  else if (s < 2 * 3600)
    snprintf(ret, 32, "%" PRIu64 " minutes", s / 60);
  else if (s < 2 * 86400)
    snprintf(ret, 32, "%" PRIu64 " hours", s / 3600);
  else
    snprintf(ret, 32, "%" PRIu64 " days", s / 86400);
  return ret;
}

/* ": WHY", or nothing. */
static const char *because(const char *why, char *ret, size_t size) {
  size_t n = why_len(why);
  snprintf(ret, size, "%s%.*s", n ? ": " : "", (int)n, why);
  return ret;
}

/* --- storages --- */

static const struct storage_settings *storage_of(const struct admin_view *v, const char *name) {
  for (size_t k = 0; k < v->settings->n_storages; k++)
    if (!strcmp(v->settings->storages[k]->name, name)) return v->settings->storages[k];
  return NULL;
}

static void storage_look(struct report *r, const struct store *s) {
  const struct storage_settings *set = storage_of(r->c->view, store_name(s));
  const char *name = store_name(s);
  char why[600];
  json_t *o = NULL;
  if (set && set->system && !call_sees(r->c, set->system->name)) return;
  switch (store_state(s)) {
  case STORE_CONNECTING:
    o = problem_add(r, PROBLEM_STORAGE_AWAY, name, 0, "The storage %s cannot be reached%s.", name,
                    because(store_why(s), why, sizeof why));
    break;
  case STORE_LOADING:
    o = problem_add(r, PROBLEM_STORAGE_AWAY, name, 0, "The storage %s is loading its data%s.", name,
                    because(store_why(s), why, sizeof why));
    param(o, "form", json_string("loading"));
    break;
  case STORE_REFUSED:
    o = problem_add(r, PROBLEM_STORAGE_REFUSED, name, 0, "The storage %s is refused%s.", name,
                    because(store_why(s), why, sizeof why));
    break;
  case STORE_READY:
    if (*store_no_writes(s))
      param_why(problem_add(r, PROBLEM_STORAGE_NO_WRITES, name, 0,
                            "The storage %s takes no new jobs%s.", name,
                            because(store_no_writes(s), why, sizeof why)),
                store_no_writes(s));
    break;
  }
  if (o) param_why(o, store_why(s));
}

static void strays_look(struct report *r, const struct store *s) {
  size_t n;
  const struct store_stray *one = store_strays(s, &n);
  for (; n; one++, n--) {
    char path[2 * NAME_LEN_MAX + 2];
    if (!call_sees_queue(r->c, one->queue)) continue;
    snprintf(path, sizeof path, "%s%s%s", one->queue, *one->topic ? "/" : "", one->topic);
    param(problem_add(r, PROBLEM_STRAY, path, 0,
                      "The storage %s holds jobs of %s, which is not configured there.",
                      store_name(s), path),
          "storage", json_cstr(store_name(s)));
  }
}

static void storages_look(struct report *r) {
  size_t n;
  struct store *const *stores = registry_stores(r->c->view->registry, &n);
  for (size_t i = 0; i < n; i++) {
    storage_look(r, stores[i]);
    strays_look(r, stores[i]);
  }
}

/* --- topics --- */

/* All topics of a pool are unreachable together: one problem. */
static void unreachable_look(struct report *r, const struct topic *t) {
  const struct pool_settings *pool = t->set->pool;
  json_t *has = pool ? json_object_get(r->pools, pool->name) : NULL;
  char why[520], text[900];
  if (!has) {
    has = problem_add(r, PROBLEM_UNREACHABLE, t->set->path, t->since_ms,
                      "The workers of %s cannot be reached%s.", t->set->path,
                      because(t->why, why, sizeof why));
    param_why(has, t->why);
    if (pool) json_object_set(r->pools, pool->name, has);
    return;
  }
  json_int_t topics = json_integer_value(json_object_get(has, "topics"));
  topics = topics ? topics + 1 : 2;
  json_object_set_new(has, "topics", json_integer(topics));
  param(has, "form", json_string("pool"));
  param(has, "topics", json_integer(topics));
  param_why(has, t->why);
  snprintf(text, sizeof text, "unreachable:%s", pool->name);
  json_object_set_new(has, "id", json_cstr(text));
  json_object_set_new(has, "subject", json_cstr(pool->name));
  snprintf(text, sizeof text,
           "The workers of the pool %s cannot be reached: %" JSON_INTEGER_FORMAT " topics wait%s.",
           pool->name, topics, because(t->why, why, sizeof why));
  json_object_set_new(has, "text", json_cstr(text));
}

/* When the first job at hand came into the stream; 0: there is none, or it is tried again. */
static uint64_t oldest_ms(const struct topic *t) {
  return t->ready.n ? t->ready.head->entry_ms : 0;
}

static void open_look(struct report *r, const struct topic *t, uint64_t now) {
  const char *path = t->set->path;
  double all = t->rates.done + t->rates.failed;
  uint64_t oldest = oldest_ms(t);
  char length[32], why[520], own[400];
  if (t->rates.failed >= FAILS_LEAST && t->rates.failed > FAILS_SHARE * all)
    param(problem_add(r, PROBLEM_FAILING, path, 0,
                      "%.0f %% of the attempts of %s fail at the moment.",
                      100 * t->rates.failed / all, path),
          "percent", json_integer((json_int_t)(100 * t->rates.failed / all + 0.5)));
  if (!oldest || now <= oldest + WAITS_LONG_MS || t->requests.running) return;
  json_t *o = problem_add(r, PROBLEM_WAITING, path, oldest,
                          "A job of %s has been waiting for %s, and none runs%s.", path,
                          length_text(now - oldest, length),
                          because(topic_why(t, own, sizeof own), why, sizeof why));
  param(o, "for_ms", json_u64(now - oldest));
  param_why(o, own);
}

static void topic_look(struct report *r, const struct topic *t, uint64_t now) {
  const char *path = t->set->path;
  char length[32], why[520];
  bool without = !t->set->transport && !t->set->pulled && t->set->here;
  if (t->state == TOPIC_BROKEN || (without && t->state != TOPIC_DISABLED))
    param_why(problem_add(r, PROBLEM_BROKEN, path, t->since_ms,
                          "The topic %s cannot run on this node%s.", path,
                          because(t->why, why, sizeof why)),
              t->why);
  else if (t->state == TOPIC_UNREACHABLE)
    unreachable_look(r, t);
  else if (t->state == TOPIC_UNREGISTERED)
    param_why(problem_add(r, PROBLEM_UNREGISTERED, path, t->since_ms,
                          "The worker does not take %s%s.", path, because(t->why, why, sizeof why)),
              t->why);
  else if (t->state == TOPIC_OPEN)
    open_look(r, t, now);
  if (!t->paused || !t->pause.since_ms || now <= t->pause.since_ms + PAUSED_LONG_MS) return;
  json_t *o = problem_add(r, PROBLEM_PAUSED, path, t->pause.since_ms,
                          "The topic %s has been paused for %s%s%s%s.", path,
                          length_text(now - t->pause.since_ms, length), *t->pause.by ? " by " : "",
                          t->pause.by, because(t->pause.reason, why, sizeof why));
  param(o, "for_ms", json_u64(now - t->pause.since_ms));
  if (*t->pause.by) param(o, "by", json_cstr(t->pause.by));
  if (*t->pause.by) param(o, "form", json_string("by"));
  param_why(o, t->pause.reason);
}

static void on_quarantined(void *arg, enum store_rc rc, const struct store_scanned *found,
                           const char *why);

/* What this process put there is looked up again: it may have been replayed or purged since. */
static void quarantine_look(struct report *r, const struct topic *t) {
  struct quarantine *q = malloc(sizeof *q);
  if (!q) out_of_memory();
  *q = (struct quarantine){.report = r, .since_ms = t->quarantine_ms};
  snprintf(q->path, sizeof q->path, "%s", t->set->path);
  struct store_scan scan = {
      .filter = {.set = STORE_SET_QUARANTINE, .since_ms = t->quarantine_ms - CLOCK_SLACK_MS},
      .newest = true,
      .want = QUARANTINE_MAX,
      .look_max = QUARANTINE_LOOK};
  r->refs++;
  r->pending++;
  store_scan(t->store, &scan, on_quarantined, q);
}

static void topics_look(struct report *r) {
  size_t n;
  uint64_t now = loop_wall_ms(r->c->view->loop);
  struct topic *const *topics = registry_topics(r->c->view->registry, &n);
  metrics_freshen(r->c->view->metrics);
  for (size_t i = 0; i < n; i++) {
    if (!call_sees_topic(r->c, topics[i])) continue;
    topic_look(r, topics[i], now);
    if (topics[i]->quarantine_ms && topics[i]->store) quarantine_look(r, topics[i]);
  }
}

/* --- alerts --- */

/* Who silenced it knows of it. */
static void alerts_look(struct report *r) {
  struct alert_status s;
  char target[2 * NAME_LEN_MAX + 32];
  for (size_t i = 0; alerts_at(r->c->view->alerts, i, &s); i++) {
    if (!s.fires || s.silent_until_ms || !call_sees(r->c, s.set->of)) continue;
    notice_target(s.set, target, sizeof target);
    json_t *o =
        problem_add(r, PROBLEM_ALERT, s.set->name, s.since_ms,
                    "The alert %s fires: %s, of %s; it is %.10g%s.", s.set->name, s.set->when_text,
                    target, s.value, s.confirmed ? "" : ", as this node alone sees it");
    param(o, "when", json_cstr(s.set->when_text));
    param(o, "target", json_cstr(target));
    param(o, "value", json_real(s.value));
    if (!s.confirmed) param(o, "form", json_string("alone"));
  }
}

/* --- the cluster --- */

static void shared_look(struct report *r) {
  struct control_status st;
  const char *node = r->c->view->settings->server.node;
  control_status(r->c->view->control, &st);
  if (st.state == CONTROL_LOST)
    param_why(problem_add(r, PROBLEM_SHARED_LOST, st.cluster, 0,
                          "The shared configuration was lost or went back: %s.", st.why),
              st.why);
  if (st.state == CONTROL_NO_KEY || st.state == CONTROL_WRONG_KEY)
    param_why(problem_add(r, PROBLEM_KEY, node, 0,
                          "The node %s cannot use the key of the cluster: %s.", node, st.why),
              st.why);
}

static uint64_t number(const json_t *o, const char *member) {
  json_int_t v = json_integer_value(json_object_get(o, member));
  return v > 0 ? (uint64_t)v : 0;
}

static void node_look(struct report *r, const json_t *node, uint64_t head) {
  const char *name = json_string_value(json_object_get(node, "node"));
  uint64_t runs = number(node, "number"), refused = number(node, "refused"),
           at = number(node, "at_ms");
  char why[600];
  const char *its = json_string_value(json_object_get(node, "why"));
  if (!name) return;
  if (!json_is_true(json_object_get(node, "alive"))) {
    problem_add(r, PROBLEM_NODE_AWAY, name, at, "The node %s is away.", name);
  } else if (refused && refused > runs) {
    json_t *o = problem_add(r, PROBLEM_REVISION_REFUSED, name, 0,
                            "The node %s refuses revision %" PRIu64 " and runs %" PRIu64 "%s.",
                            name, refused, runs, because(its ? its : "", why, sizeof why));
    param(o, "refused", json_u64(refused));
    param(o, "runs", json_u64(runs));
    param_why(o, its ? its : "");
  } else if (runs && runs < head) {
    json_t *o = problem_add(r, PROBLEM_REVISION_BEHIND, name, 0,
                            "The node %s runs revision %" PRIu64
                            " of the configuration; the newest is %" PRIu64 ".",
                            name, runs, head);
    param(o, "runs", json_u64(runs));
    param(o, "head", json_u64(head));
  }
}

/* --- the answer --- */

static void report_unref(struct report *r) {
  if (--r->refs) return;
  for (int i = 0; i < PROBLEM_KINDS; i++) json_decref(r->of[i]);
  json_decref(r->pools);
  timer_done(&r->patience);
  free(r);
}

static void report_answer(struct report *r, const char *error) {
  struct call *c = r->c;
  json_t *o = json_object(), *list = json_array(), *one;
  size_t total = 0, k;
  r->c = NULL;
  timer_stop(&r->patience);
  for (int i = 0; i < PROBLEM_KINDS; i++) json_array_foreach(r->of[i], k, one) {
      if (total++ < PROBLEMS_MAX) json_array_append(list, one);
    }
  json_object_set_new(o, "node", json_cstr(c->view->settings->server.node));
  json_object_set_new(o, "problems", list);
  json_object_set_new(o, "total", json_u64(total));
  json_object_set_new(o, "exact", json_boolean(!*error));
  if (*error) json_object_set_new(o, "error", json_cstr(error));
  call_json(c, 200, o);
  call_unref(c);
}

/* One of the answers that were to come is there. */
static void report_go_on(struct report *r) {
  r->pending--;
  if (!r->pending && r->c) report_answer(r, r->error);
  report_unref(r);
}

static void on_quarantined(void *arg, enum store_rc rc, const struct store_scanned *found,
                           const char *why) {
  struct quarantine *q = arg;
  struct report *r = q->report;
  bool open = r->c && !call_answered(r->c);
  if (open && rc) {
    snprintf(r->error, sizeof r->error, "the quarantine of %s could not be looked at: %.150s",
             q->path, why);
  } else if (open && found->n) {
    bool all = found->over && found->n < QUARANTINE_MAX;
    json_t *o = problem_add(r, PROBLEM_QUARANTINE, q->path, q->since_ms,
                            "%s%zu job%s of %s in quarantine: nodes died while they ran them.",
                            all ? "" : "At least ", found->n, found->n == 1 ? "" : "s", q->path);
    param(o, "jobs", json_u64(found->n));
    if (!all) param(o, "form", json_string("many"));
  } else if (open && found->over) {
    struct topic *t = registry_topic(r->c->view->registry, q->path, strlen(q->path));
    if (t && t->quarantine_ms == q->since_ms) t->quarantine_ms = 0;
  }
  free(q);
  report_go_on(r);
}

static void on_nodes(void *arg, enum store_rc rc, json_t *nodes, const char *why) {
  struct report *r = arg;
  if (r->c && !call_answered(r->c)) {
    struct control_status st;
    json_t *node;
    size_t i;
    control_status(r->c->view->control, &st);
    if (!rc) json_array_foreach(nodes, i, node) node_look(r, node, st.head);
  }
  if (rc) snprintf(r->error, sizeof r->error, "%s", why);
  report_go_on(r);
}

static void on_patience(void *arg) {
  struct report *r = arg;
  r->refs++;
  if (r->c) report_answer(r, "a storage did not tell in time of nodes, or of jobs in quarantine");
  report_unref(r);
}

void admin_get_problems(struct call *c) {
  static const char *const known[] = {NULL};
  if (!call_query_known(c, known)) return;
  struct report *r = calloc(1, sizeof *r);
  if (!r) out_of_memory();
  r->c = c;
  r->refs = r->pending = 1; /* of this call itself */
  for (int i = 0; i < PROBLEM_KINDS; i++) r->of[i] = json_array();
  r->pools = json_object();
  timer_init(&r->patience, c->view->loop, on_patience, r);
  call_wait(c, ADMIN_WAIT_MS);
  storages_look(r);
  topics_look(r);
  alerts_look(r);
  if (call_sees(c, "")) shared_look(r);
  if (call_sees(c, "") && control_store(c->view->control)) {
    r->refs++;
    r->pending++;
    control_nodes(c->view->control, on_nodes, r);
  }
  if (r->pending > 1) timer_start(&r->patience, PATIENCE_MS);
  report_go_on(r);
}
