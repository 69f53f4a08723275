/* Acts alone: the core's acts/ between storages and a registry of the test's own, on a clock that
 * the test moves. A storage keeps the record of one act and answers after `takes_ms`.
 *
 *   struct store *s = storage_new("one");
 *   s->jobs = 35;                            an act moves them in slices of SLICE jobs
 *   s->rc[ASK_SLICE] = STORE_ERROR;          what it answers to that question
 *   is_int(asked(s, ASK_SLICE), 1, "...");   how often it was asked since the last time
 */
#ifndef PB_TESTS_FAKE_STORAGES_H
#define PB_TESTS_FAKE_STORAGES_H

#include "unit/fake_loop.h"

#include "registry/registry.h"
#include "storage/store.h"

#include "tap.h"

#define SLICE      10
#define ASKS_MAX   8
#define STORES_MAX 4
#define WAKES_MAX  64

static struct loop *loop;

enum question {
  ASK_ADD,
  ASK_CLAIM,
  ASK_NOTE,
  ASK_SLICE,
  ASK_MOVE,
  ASK_FIND,
  ASK_TIDY,
  ASK_TIDIED,
  QUESTIONS
};

struct ask { /* a question on the way */
  struct timer timer;
  struct store *s;
  enum question what;
  struct store_act act; /* as it was asked with */
  bool keep;
  union {
    store_act_fn act;
    store_noted_fn noted;
    store_slice_fn slice;
    store_move_fn move;
    store_done_fn done;
  } fn;
  void *arg;
};

struct store {
  const char *name;
  enum store_state state;
  uint64_t takes_ms;           /* between a question and its answer */
  enum store_rc rc[QUESTIONS]; /* of the answers */
  bool lost;                   /* slices are done, and their answers are lost */
  unsigned asked[QUESTIONS];
  /* The record: as it was added or noted last. */
  struct store_act record;
  bool leased, others;           /* others: it belongs to another node */
  const char *cancelled_by;      /* NULL: nobody cancelled it */
  uint64_t jobs, done;           /* of the act's topic; done in slices so far */
  uint64_t left, wait_ms;        /* of each slice */
  const struct store_act *other; /* an act that is undone; NULL: there is none */
  unsigned kept;                 /* slices of it until it is tidied up */
  bool tidied;
  uint64_t wakes[WAKES_MAX];    /* when (monotonic ms) ... */
  char woken[NAME_LEN_MAX + 1]; /* ... and the queue that was woken last */
  size_t n_wakes;
};

/* What store_move_step() was asked with last, and what it answers. */
static struct {
  struct store *from, *to;
  char id[STORE_ACT_ID_MAX], queue[NAME_LEN_MAX + 1], topic[NAME_LEN_MAX + 1];
  char to_queue[NAME_LEN_MAX + 1], to_topic[NAME_LEN_MAX + 1];
  struct store_move_plan plan; /* without its texts */
  enum store_move_state state;
  uint64_t n[4], running;
  unsigned objects; /* of store_move_new(), not freed */
} moves;

static struct ask *asks[ASKS_MAX];

/* --- the registry --- */

static struct {
  struct store *stores[STORES_MAX];
  size_t n;
  struct settings *settings;
  const char *leaves; /* a topic of this path still drains */
} configured;

struct store *const *registry_stores(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = configured.n;
  return configured.stores;
}
const struct settings *registry_settings(const struct registry *reg) {
  (void)reg;
  return configured.settings;
}
bool registry_leaves(const struct registry *reg, const char *path, const struct store *s) {
  (void)reg, (void)s;
  return configured.leaves && !strcmp(configured.leaves, path);
}

static struct store *storage_new(const char *name) {
  struct store *s = calloc(1, sizeof *s);
  if (!s || configured.n == STORES_MAX) bail_out("no room");
  s->name = name;
  s->state = STORE_READY;
  return configured.stores[configured.n++] = s;
}

/* --- questions --- */

static TAP_UNUSED unsigned asked(struct store *s, enum question what) {
  unsigned n = s->asked[what];
  s->asked[what] = 0;
  return n;
}

static void answer_slice(struct ask *a, enum store_rc rc) {
  struct store *s = a->s;
  uint64_t n = s->jobs - s->done < SLICE ? s->jobs - s->done : SLICE;
  if (!rc || s->lost) s->done += n;
  if (s->lost) rc = STORE_UNKNOWN;
  struct store_slice got = {0};
  if (!rc)
    got = (struct store_slice){.done = s->done,
                               .of = s->jobs,
                               .left = s->left,
                               .over = s->done == s->jobs,
                               .wait_ms = s->wait_ms};
  a->fn.slice(a->arg, rc, &got, rc ? "the storage failed" : "");
}

static void answer_tidy(struct ask *a, enum store_rc rc) {
  struct store_slice got = {0};
  if (!rc && a->s->kept) got.over = --a->s->kept == 0;
  a->fn.slice(a->arg, rc, &got, rc ? "the storage failed" : "");
}

static void answer_note(struct ask *a, enum store_rc rc) {
  struct store *s = a->s;
  if (!rc && !s->others) {
    s->record = a->act;
    s->leased = a->keep && a->act.state == STORE_ACT_RUNNING;
  }
  a->fn.noted(a->arg, rc, !rc && !s->others, !rc && s->cancelled_by ? s->cancelled_by : "",
              a->act.state == STORE_ACT_RUNNING ? 0 : 4711);
}

static void answer(struct ask *a, enum store_rc rc) {
  static const uint64_t none[4];
  struct store *s = a->s;
  const char *why = rc ? "the storage failed" : "";
  switch (a->what) {
  case ASK_ADD:
  case ASK_CLAIM:
    if (!rc && a->what == ASK_ADD) {
      s->record = a->act;
      snprintf(s->record.id, sizeof s->record.id, "a-1");
    }
    if (!rc && !s->others) s->leased = true;
    a->fn.act(a->arg, rc, rc || s->others ? NULL : &s->record, why);
    break;
  case ASK_NOTE:
    answer_note(a, rc);
    break;
  case ASK_SLICE:
    answer_slice(a, rc);
    break;
  case ASK_FIND:
    a->fn.act(a->arg, rc, rc ? NULL : s->other, why);
    break;
  case ASK_TIDY:
    answer_tidy(a, rc);
    break;
  case ASK_TIDIED:
    if (!rc) s->tidied = true;
    a->fn.done(a->arg, rc, 1, why);
    break;
  default:
    a->fn.move(a->arg, rc, rc ? STORE_MOVE_GOES_ON : moves.state, rc ? none : moves.n,
               moves.running, why);
  }
}

static void ask_end(struct ask *a, enum store_rc rc) {
  for (size_t i = 0; i < ASKS_MAX; i++)
    if (asks[i] == a) asks[i] = NULL;
  timer_done(&a->timer);
  answer(a, rc);
  free(a);
}

static void ask_due(void *arg) {
  struct ask *a = arg;
  ask_end(a, a->s->rc[a->what]);
}

static struct ask *ask(struct store *s, enum question what, const struct store_act *act,
                       void *arg) {
  struct ask *a = calloc(1, sizeof *a);
  size_t i = 0;
  while (i < ASKS_MAX && asks[i]) i++;
  if (!a || i == ASKS_MAX) bail_out("too many questions");
  *a = (struct ask){.s = s, .what = what, .arg = arg};
  if (act) a->act = *act;
  timer_init(&a->timer, loop, ask_due, a);
  timer_start(&a->timer, s->takes_ms);
  s->asked[what]++;
  return asks[i] = a;
}

/* As store_free() answers what is on the way. */
static TAP_UNUSED void storages_fail(void) {
  for (size_t i = 0; i < ASKS_MAX; i++)
    if (asks[i]) ask_end(asks[i], STORE_UNKNOWN);
}

/* --- the storage's contract --- */

const char *const store_act_kinds[] = {"replay", "purge", "move", "undo", NULL};
const char *const store_act_states[] = {"running", "done", "cancelled", "failed", NULL};

const char *store_name(const struct store *s) {
  return s->name;
}
enum store_state store_state(const struct store *s) {
  return s->state;
}
void store_act_add(struct store *s, const struct store_act *act, store_act_fn fn, void *arg) {
  ask(s, ASK_ADD, act, arg)->fn.act = fn;
}
void store_act_claim(struct store *s, const char *id, store_act_fn fn, void *arg) {
  (void)id;
  ask(s, ASK_CLAIM, NULL, arg)->fn.act = fn;
}
void store_act_note(struct store *s, const struct store_act *act, bool keep, store_noted_fn fn,
                    void *arg) {
  struct ask *a = ask(s, ASK_NOTE, act, arg);
  a->keep = keep;
  a->fn.noted = fn;
}
void store_act_slice(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg) {
  ask(s, ASK_SLICE, act, arg)->fn.slice = fn;
}
void store_act_find(struct store *s, const char *id, store_act_fn fn, void *arg) {
  (void)id;
  ask(s, ASK_FIND, NULL, arg)->fn.act = fn;
}
void store_act_tidy(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg) {
  ask(s, ASK_TIDY, act, arg)->fn.slice = fn;
}
void store_act_tidied(struct store *s, const char *id, store_done_fn fn, void *arg) {
  (void)id;
  ask(s, ASK_TIDIED, NULL, arg)->fn.done = fn;
}
void store_act_wake(struct store *s, const char *queue) {
  if (s->n_wakes == WAKES_MAX) bail_out("too many wake-ups");
  s->wakes[s->n_wakes++] = loop_now_ms(loop);
  snprintf(s->woken, sizeof s->woken, "%s", queue);
}

struct store_move {
  int unused;
};
struct store_move *store_move_new(void) {
  moves.objects++;
  return calloc(1, sizeof(struct store_move));
}
void store_move_free(struct store_move *m) {
  if (m) moves.objects--;
  free(m);
}
void store_move_step(struct store_move *m, struct store *from, struct store *to,
                     const struct store_move_plan *plan, store_move_fn fn, void *arg) {
  (void)m;
  moves.from = from;
  moves.to = to;
  moves.plan = *plan;
  snprintf(moves.id, sizeof moves.id, "%s", plan->id);
  snprintf(moves.queue, sizeof moves.queue, "%s", plan->queue);
  snprintf(moves.topic, sizeof moves.topic, "%s", plan->topic);
  snprintf(moves.to_queue, sizeof moves.to_queue, "%s", plan->to_queue);
  snprintf(moves.to_topic, sizeof moves.to_topic, "%s", plan->to_topic);
  ask(to, ASK_MOVE, NULL, arg)->fn.move = fn;
}

/* --- settings --- */

/* A reload: the snapshot before is gone. */
static TAP_UNUSED void configure(const char *text) {
  static const struct pb_transport test = {.option_size = sizeof(struct pb_option),
                                           .run_type = "test"};
  static const struct pb_transport *const all[] = {&test};
  const struct settings_types types = {.transports = all, .n = 1};
  struct settings *s = NULL;
  if (settings_parse("test.ini", text, strlen(text), &types, stderr, &s))
    bail_out("not a configuration");
  settings_unref(configured.settings);
  configured.settings = s;
}

static void storages_begin(void) {
  struct log *log = log_new(STDERR_FILENO);
  log_configure(log, getenv("STATION_LOG") ? PB_LOG_DEBUG : PB_LOG_ERROR, false);
  memset(&configured, 0, sizeof configured);
  memset(&moves, 0, sizeof moves);
  loop = loop_new(log);
}

/* What was tested is freed already. */
static void storages_end(void) {
  struct log *log = loop_log(loop);
  struct store *all[STORES_MAX];
  size_t n = configured.n;
  memcpy(all, configured.stores, sizeof all);
  for (size_t i = 0; i < n; i++) free(all[i]);
  settings_unref(configured.settings);
  is_int(loop->n_timers, 0, "no timer is left");
  is_int(moves.objects, 0, "and nothing of a move");
  loop_free(loop);
  log_free(log);
}

#endif
