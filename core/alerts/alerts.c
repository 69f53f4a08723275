/* Owns the alerts of this node. See alerts.h. */
#include "alerts/alerts.h"

#include "alerts/course.h"
#include "alerts/lone_file.h"
#include "alerts/measure.h"
#include "alerts/notice.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "config/settings.h"
#include "control/control.h"
#include "event/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS     2000
#define LEASE_MS    10000 /* of a claim: another node goes on so long after this one died */
#define INCIDENT    8     /* random bytes of an id */
#define NOTICES_MAX 8     /* under way at a time: each has a thread */
#define SILENCE_MAX 160   /* bytes of its `by` and `reason` each */

struct silence {
  uint64_t until_ms; /* Unix, of the shared storage; 0: none */
  char by[SILENCE_MAX], reason[2 * SILENCE_MAX];
};

struct alert {
  struct alerts *alerts;
  char name[NAME_LEN_MAX + 1];
  const struct alert_settings *set; /* NULL: it is no more; it goes with its last answer */
  struct course course;             /* as stored, or (mine) as it will be */
  struct silence silence;
  double sum, share;
  struct failed_minute failed;
  bool mine, storing;
  struct course lone; /* of this node alone, while the shared storage is away */
  struct notice *notice;
  bool notice_lone; /* whose notice that is */
};

struct alerts {
  struct loop *loop;
  struct log *log;
  struct registry *reg;
  struct control *control;
  struct settings *settings; /* a reference */
  struct measure *measure;
  struct timer tick;
  struct alert **all;
  size_t n, notices;
  unsigned looks; /* questions on the way */
  bool stopped;
  bool lone_moved; /* a lone course is another than in the file */
  uint64_t changed;
  struct alerts_counters counters;
};

/* One question: the alerts may be others when its answer comes. */
struct look {
  struct alerts *a;
  size_t n;
  struct alert *asked[STORE_ALERTS_MAX];
};

/* --- which there are --- */

static struct alert *alert_of(const struct alerts *a, const char *name) {
  for (size_t i = 0; i < a->n; i++)
    if (strcmp(a->all[i]->name, name) == 0) return a->all[i];
  return NULL;
}

static bool is_watched(const struct alert *x) {
  return x->set && x->set->enabled && !x->set->broken;
}

/* A callback is still to come that holds it. */
static bool is_busy(const struct alert *x) {
  return x->storing || x->notice;
}

static void changed(struct alerts *a) {
  a->changed++;
}

/* Those that are no more, and that nothing holds. */
static void gone_free(struct alerts *a) {
  size_t kept = 0;
  if (a->looks) return;
  for (size_t i = 0; i < a->n; i++) {
    struct alert *x = a->all[i];
    if (x->set || is_busy(x))
      a->all[kept++] = x;
    else
      free(x);
  }
  a->n = kept;
}

static struct alert *alert_add(struct alerts *a, const char *name) {
  struct alert **more = realloc(a->all, (a->n + 1) * sizeof(struct alert *));
  struct alert *x = calloc(1, sizeof *x);
  if (!more || !x) out_of_memory();
  x->alerts = a;
  snprintf(x->name, sizeof x->name, "%s", name);
  a->all = more;
  a->all[a->n++] = x;
  return x;
}

static void tick(void *arg);

void alerts_apply(struct alerts *a, struct settings *settings) {
  struct settings *before = a->settings;
  a->settings = settings_ref(settings);
  for (size_t i = 0; i < a->n; i++) a->all[i]->set = NULL;
  for (size_t i = 0; i < settings->n_alerts; i++) {
    struct alert *x = alert_of(a, settings->alerts[i]->name);
    if (!x) x = alert_add(a, settings->alerts[i]->name);
    x->set = settings->alerts[i];
    if (!is_watched(x)) x->mine = false;
  }
  settings_unref(before);
  gone_free(a);
  changed(a);
  if (a->n && !timer_pending(&a->tick) && !a->stopped) timer_start(&a->tick, TICK_MS);
}

/* --- the value --- */

/* What this node can say of it. False: nothing. */
static bool value_here(struct alert *x, double *ret) {
  if (!measure_is_shared(x->set->when.metric))
    return measure_whole(x->alerts->measure, x->set, ret);
  *ret = x->share;
  return x->set->when.metric != ALERT_REVISION_BEHIND || control_store(x->alerts->control);
}

static bool value_of_all(struct alert *x, double *ret) {
  if (!measure_is_shared(x->set->when.metric))
    return measure_whole(x->alerts->measure, x->set, ret);
  *ret = x->sum;
  return true;
}

/* --- the notices --- */

static void course_store(struct alert *x);
static void lone_go_on(struct alert *x);

static uint64_t now_of(const struct alert *x, bool lone) {
  struct store *s = lone ? NULL : control_store(x->alerts->control);
  uint64_t there = s ? store_clock_ms(s) : 0;
  return there ? there : loop_wall_ms(x->alerts->loop);
}

static void told_log(struct alert *x, const struct course *c, const char *error, bool last) {
  struct alerts *a = x->alerts;
  if (error)
    log_warning(a->log, NULL, "alert %s: \"%s\" could not be told: %s; %s", x->name,
                course_notice_names[c->due], error,
                last ? "that was the last try" : "the node tries again");
  else
    log_info(a->log, NULL, "alert %s: \"%s\" was told (incident %s)", x->name,
             course_notice_names[c->due], c->incident);
}

static void on_told(void *arg, const char *error) {
  struct alert *x = arg;
  struct alerts *a = x->alerts;
  bool lone = x->notice_lone;
  struct course *c = lone ? &x->lone : &x->course;
  bool last = error && c->tries + 1 >= COURSE_TRIES;
  x->notice = NULL;
  a->notices--;
  told_log(x, c, error, last);
  if (error)
    a->counters.failed++;
  else
    a->counters.told++;
  course_sent(c, now_of(x, lone), error);
  a->lone_moved |= lone;
  changed(a);
  if (!x->set) {
    gone_free(a);
    return;
  }
  if (lone)
    lone_go_on(x);
  else
    course_store(x);
}

/* True: something was sent, or there is nobody to tell. */
static void notice_begin(struct alert *x, bool lone) {
  struct alerts *a = x->alerts;
  struct course *c = lone ? &x->lone : &x->course;
  uint64_t now = now_of(x, lone);
  if (x->notice || a->stopped || !course_must_send(c, now) || a->notices >= NOTICES_MAX) return;
  struct notice_facts facts = {.set = x->set,
                               .course = c,
                               .confirmed = !lone,
                               .cluster = a->settings->cluster.name,
                               .node = a->settings->server.node};
  x->notice_lone = lone;
  x->notice = notice_send(a->loop, &facts, on_told, x);
  if (x->notice) {
    a->notices++;
    return;
  }
  uint64_t told = c->told_ms;
  course_sent(c, now, NULL); /* nobody is to be told */
  c->told_ms = told;
  if (!lone) course_store(x);
}

/* --- one look --- */

static void state_log(const struct alert *x, enum course_state before, const struct course *c,
                      bool lone) {
  struct log *log = x->alerts->log;
  const char *alone = lone ? " (seen by this node alone)" : "";
  if (c->state == COURSE_FIRING && before != COURSE_FIRING)
    log_warning(log, NULL, "alert %s fires%s: %s; the value is %.0f", x->name, alone,
                x->set->when_text, c->value);
  if (c->state == COURSE_OK && before == COURSE_FIRING)
    log_info(log, NULL, "alert %s is over%s", x->name, alone);
}

/* True: there is something to be stored. */
static bool step(struct alert *x, struct course *c, bool known, double value, bool lone) {
  char fresh[COURSE_INCIDENT_MAX];
  uint64_t now = now_of(x, lone);
  struct course before = *c;
  if (secret_token(INCIDENT, fresh)) return false;
  struct course_look look = {.when = &x->set->when,
                             .repeat_ms = x->set->repeat_ms,
                             .now_ms = now,
                             .known = known,
                             .value = value,
                             .silenced = x->silence.until_ms > now,
                             .fresh = fresh};
  course_step(c, &look);
  state_log(x, before.state, c, lone);
  bool moved = before.state != c->state || before.due != c->due;
  if (moved) changed(x->alerts);
  if (moved && lone) x->alerts->lone_moved = true;
  return moved || c->state != COURSE_OK;
}

static void on_stored(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct alert *x = arg;
  (void)why;
  x->storing = false;
  if (!x->set) {
    gone_free(x->alerts);
    return;
  }
  if (!rc && !count) x->mine = false; /* another node has it, and goes on */
  if (!rc && count && is_watched(x)) notice_begin(x, false);
}

static void course_store(struct alert *x) {
  struct store *s = control_store(x->alerts->control);
  if (!s || x->storing || !x->set) return;
  json_t *o = course_json(&x->course);
  char *text = json_dumps(o, JSON_COMPACT);
  json_decref(o);
  if (!text) out_of_memory();
  x->storing = true;
  store_alert_put(s, x->name, text, strlen(text), on_stored, x);
  free(text);
}

static void shared_step(struct alert *x) {
  double value = 0;
  if (x->storing || (x->notice && !x->notice_lone)) return;
  bool known = value_of_all(x, &value);
  if (step(x, &x->course, known, value, false))
    course_store(x);
  else
    notice_begin(x, false);
}

/* --- alone --- */

static bool lone_rests(const struct course *c) {
  return c->state == COURSE_OK && !c->due && c->told != NOTICE_FIRING;
}

static void lone_forget(struct alert *x) {
  x->lone = (struct course){0};
  x->alerts->lone_moved = true;
}

static void lone_go_on(struct alert *x) {
  if (*x->lone.incident && lone_rests(&x->lone)) lone_forget(x);
}

/* What began while the storage was away goes on until it is over. */
static void lone_step(struct alert *x) {
  double value = 0;
  bool away = !control_store(x->alerts->control);
  if (x->notice && x->notice_lone) return;
  if (!away && lone_rests(&x->lone)) return;
  if (!away && x->lone.state == COURSE_PENDING && x->lone.told != NOTICE_FIRING) {
    lone_forget(x); /* the nodes see it together now */
    changed(x->alerts);
    return;
  }
  if (away && x->course.state == COURSE_FIRING && lone_rests(&x->lone)) return; /* was told */
  bool known = value_here(x, &value);
  step(x, &x->lone, known, value, true);
  notice_begin(x, true);
  if (!x->notice) lone_go_on(x);
}

static void lone_save(struct alerts *a) {
  json_t *o = json_object();
  for (size_t i = 0; i < a->n; i++) {
    const struct alert *x = a->all[i];
    if (x->set && !lone_rests(&x->lone)) json_object_set_new(o, x->name, course_json(&x->lone));
  }
  int rc = lone_file_write(a->settings->server.state_dir, o);
  if (rc)
    log_warning(a->log, NULL,
                "what this node tells alone of alerts cannot be kept in state_dir: %s; after a "
                "start it may be told again",
                strerror(-rc));
  json_decref(o);
  a->lone_moved = false;
}

static void lone_load(struct alerts *a) {
  json_t *o = lone_file_read(a->settings->server.state_dir);
  for (size_t i = 0; i < a->n; i++) {
    const json_t *one = json_object_get(o, a->all[i]->name);
    if (one) course_read(one, &a->all[i]->lone);
  }
  json_decref(o);
}

/* --- what the shared storage knows --- */

static void silence_read(struct alert *x, const void *text, size_t len) {
  struct silence s = {0};
  json_t *o = len ? json_loadb(text, len, 0, NULL) : NULL;
  const char *by = json_string_value(json_object_get(o, "by"));
  const char *reason = json_string_value(json_object_get(o, "reason"));
  json_int_t until = json_integer_value(json_object_get(o, "until_ms"));
  if (until > 0) s.until_ms = (uint64_t)until;
  if (s.until_ms <= now_of(x, false)) s.until_ms = 0;
  if (s.until_ms) snprintf(s.by, sizeof s.by, "%s", by ? by : "");
  if (s.until_ms) snprintf(s.reason, sizeof s.reason, "%s", reason ? reason : "");
  json_decref(o);
  if (s.until_ms != x->silence.until_ms) changed(x->alerts);
  x->silence = s;
}

static void state_read(struct alert *x, const void *text, size_t len) {
  struct course c = {0};
  json_t *o = len ? json_loadb(text, len, 0, NULL) : NULL;
  if (o) course_read(o, &c);
  json_decref(o);
  if (c.state != x->course.state || c.since_ms != x->course.since_ms ||
      c.told_ms != x->course.told_ms || strcmp(c.error, x->course.error) != 0)
    changed(x->alerts);
  x->course = c;
}

static void seen(struct alert *x, const struct store_alert *s) {
  bool own = x->mine && s->mine; /* this node knows best what it is about to store */
  x->sum = s->sum;
  silence_read(x, s->silence, s->silence_len);
  if (!own || !is_busy(x)) state_read(x, s->state, s->state_len);
  if (!s->mine) {
    x->mine = false;
    return;
  }
  x->mine = true;
  shared_step(x);
}

static void on_look(void *arg, enum store_rc rc, const struct store_alert *s, size_t n,
                    const char *why) {
  struct look *look = arg;
  struct alerts *a = look->a;
  (void)why;
  a->looks--;
  for (size_t i = 0; i < look->n && !a->stopped; i++) {
    struct alert *x = look->asked[i];
    if (!x->set) continue;
    if (rc || i >= n)
      x->mine = false;
    else if (is_watched(x))
      seen(x, &s[i]);
  }
  free(look);
  gone_free(a);
}

static void look_at(struct alerts *a, struct store *s, size_t from) {
  struct store_alert_ask asks[STORE_ALERTS_MAX];
  char shares[STORE_ALERTS_MAX][32];
  struct look *look = calloc(1, sizeof *look);
  if (!look) out_of_memory();
  look->a = a;
  for (size_t i = from; i < a->n && look->n < STORE_ALERTS_MAX; i++) {
    struct alert *x = a->all[i];
    bool shares_it = is_watched(x) && measure_is_shared(x->set->when.metric);
    snprintf(shares[look->n], sizeof *shares, "%.0f", x->share);
    asks[look->n] = (struct store_alert_ask){
        .name = x->name, .share = shares_it ? shares[look->n] : NULL, .watches = is_watched(x)};
    look->asked[look->n++] = x;
  }
  a->looks++;
  store_alert_look(s, asks, look->n, LEASE_MS, on_look, look);
}

static void tick(void *arg) {
  struct alerts *a = arg;
  struct store *s = control_store(a->control);
  gone_free(a);
  if (!a->n) return;
  timer_start(&a->tick, TICK_MS);
  measure_ask(a->measure);
  for (size_t i = 0; i < a->n; i++) {
    struct alert *x = a->all[i];
    if (!is_watched(x)) continue;
    if (measure_is_shared(x->set->when.metric))
      x->share = measure_share(a->measure, x->set, &x->failed);
    lone_step(x);
  }
  if (a->lone_moved) lone_save(a);
  for (size_t i = 0; s && !a->looks && i < a->n; i += STORE_ALERTS_MAX) look_at(a, s, i);
}

/* --- for people --- */

static void status_of(const struct alert *x, struct alert_status *ret) {
  const struct course *c = &x->course;
  bool lone = c->state != COURSE_FIRING && x->lone.state != COURSE_OK;
  if (lone) c = &x->lone;
  uint64_t until = x->silence.until_ms > now_of(x, false) ? x->silence.until_ms : 0;
  *ret = (struct alert_status){.set = x->set,
                               .state = course_state_names[c->state],
                               .fires = c->state == COURSE_FIRING,
                               .confirmed = !lone,
                               .since_ms = c->since_ms,
                               .value = c->value,
                               .incident = c->state == COURSE_FIRING ? c->incident : "",
                               .last_told_ms = c->told_ms,
                               .last_error = c->error,
                               .silent_until_ms = until,
                               .silent_by = until ? x->silence.by : "",
                               .silent_reason = until ? x->silence.reason : "",
                               .here = x->mine};
  if (until) ret->state = "silenced";
  if (is_watched(x)) return;
  ret->here = false;
  ret->fires = false;
  ret->state = x->set->broken ? "broken" : "disabled";
}

bool alerts_at(const struct alerts *a, size_t i, struct alert_status *ret) {
  for (size_t k = 0; k < a->n; k++) {
    if (!a->all[k]->set || i--) continue;
    status_of(a->all[k], ret);
    return true;
  }
  return false;
}

bool alerts_named(const struct alerts *a, const char *name, struct alert_status *ret) {
  const struct alert *x = alert_of(a, name);
  if (!x || !x->set) return false;
  status_of(x, ret);
  return true;
}

uint64_t alerts_changed(const struct alerts *a) {
  return a->changed;
}

size_t alerts_firing(const struct alerts *a) {
  size_t n = 0;
  struct alert_status s;
  for (size_t i = 0; alerts_at(a, i, &s); i++) n += s.fires && !s.silent_until_ms;
  return n;
}

struct alerts_counters alerts_counters(const struct alerts *a) {
  return a->counters;
}

/* --- silence --- */

struct silencing {
  struct alerts *a;
  char name[NAME_LEN_MAX + 1];
  uint64_t until_ms;
  json_t *o;
  struct deferred later;
  alerts_silence_fn fn;
  void *arg;
};

static void silencing_end(struct silencing *x, enum store_rc rc, const char *why) {
  struct alert *alert = rc ? NULL : alert_of(x->a, x->name);
  if (alert) {
    char *text = json_dumps(x->o, JSON_COMPACT);
    if (text && x->until_ms) silence_read(alert, text, strlen(text));
    if (!x->until_ms) silence_read(alert, "", 0);
    free(text);
  }
  x->fn(x->arg, rc, x->until_ms, why);
  json_decref(x->o);
  free(x);
}

static void on_silenced(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  (void)count;
  silencing_end(arg, rc, why);
}

static void silence_away(void *arg) {
  struct silencing *x = arg;
  silencing_end(x, STORE_UNAVAILABLE, control_why(x->a->control));
}

int alerts_silence(struct alerts *a, const char *name, uint64_t for_ms, const char *by,
                   const char *reason, alerts_silence_fn fn, void *arg) {
  struct store *s = control_store(a->control);
  struct alert *alert = alert_of(a, name);
  if (!alert || !alert->set) return -ENOENT;
  struct silencing *x = calloc(1, sizeof *x);
  if (!x) out_of_memory();
  *x = (struct silencing){.a = a, .fn = fn, .arg = arg};
  snprintf(x->name, sizeof x->name, "%s", name);
  x->until_ms = for_ms ? now_of(alert, false) + for_ms : 0;
  x->o = json_pack("{sI so so}", "until_ms", (json_int_t)x->until_ms, "by", json_cstr(by), "reason",
                   json_cstr(reason));
  char *text = for_ms ? json_dumps(x->o, JSON_COMPACT) : NULL;
  if (s)
    store_alert_silence(s, name, text ? text : "", text ? strlen(text) : 0, on_silenced, x);
  else
    loop_defer(a->loop, &x->later, silence_away, x);
  free(text);
  return 0;
}

/* --- life --- */

struct alerts *alerts_new(struct loop *loop, struct registry *reg, struct control *control,
                          struct settings *settings) {
  struct alerts *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  *a = (struct alerts){.loop = loop, .log = loop_log(loop), .reg = reg, .control = control};
  a->measure = measure_new(loop, reg, control);
  timer_init(&a->tick, loop, tick, a);
  alerts_apply(a, settings);
  lone_load(a);
  return a;
}

void alerts_stop(struct alerts *a) {
  a->stopped = true;
  timer_stop(&a->tick);
}

void alerts_free(struct alerts *a) {
  if (!a) return;
  timer_done(&a->tick);
  for (size_t i = 0; i < a->n; i++) {
    if (a->all[i]->notice) notice_cancel(a->all[i]->notice);
    free(a->all[i]);
  }
  free(a->all);
  measure_free(a->measure);
  settings_unref(a->settings);
  free(a);
}
