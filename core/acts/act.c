/* Owns the acts that this node works on. For each act one question at a time is with the storage: a
 * slice of the jobs, or a change of the act's record. See act.h.
 *
 * An act that has ended may keep what it takes to undo it (store.h). When the time for that is
 * over, the storage tells of it as of an act without an owner, and whoever takes it deletes what
 * was kept.
 *
 * Must never happen: an act that continues here after another node took it over; two answers to the
 * client that started an act.
 */
#include "acts/act.h"

#include "acts/move.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "event/loop.h"
#include "registry/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOTE_MS  500  /* between two writes to the record: they show progress and renew the lease */
#define AGAIN_MS 500  /* after an error of the storage, or while there is nothing to do */
#define WAKE_MS  1000 /* between two wake-ups of the topics whose jobs were replayed */

struct act {
  struct act *next;
  struct acts *acts;
  struct store_act a;
  char storage[NAME_LEN_MAX + 1], subject[2 * NAME_LEN_MAX + 2];
  bool asked; /* a question is on the way */
  bool claimed;
  bool given_back;             /* a cancelled move has given back the jobs that it held */
  bool tidies;                 /* it has ended; what was kept to undo it is deleted */
  bool other_ended;            /* an undo: the act that it undoes does nothing any more */
  uint64_t noted_ms, woken_ms; /* monotonic */
  char cancelled_by[STORE_ACT_TEXT_MAX];
  struct timer again, patience;
  struct act_move *move; /* of a move */
  act_fn fn;             /* called when the act has ended */
  void *arg;
};

struct acts {
  struct loop *loop;
  struct registry *registry;
  struct act *list;
  bool stopping;
};

static void act_step(void *arg);

static struct store *store_named(struct acts *acts, const char *name) {
  size_t n;
  struct store *found = NULL, *const *stores = registry_stores(acts->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(store_name(stores[i]), name) && (!found || store_state(stores[i]) == STORE_READY))
      found = stores[i];
  return found;
}

static void act_tell(struct act *act, enum store_rc rc, const char *why) {
  act_fn fn = act->fn;
  act->fn = NULL;
  timer_stop(&act->patience);
  if (fn) fn(act->arg, rc, rc ? NULL : &act->a, why);
}

static void act_free(struct act *act) {
  for (struct act **at = &act->acts->list; *at; at = &(*at)->next)
    if (*at == act) {
      *at = act->next;
      break;
    }
  timer_done(&act->again);
  timer_done(&act->patience);
  act_move_free(act->move);
  free(act);
}

/* Before there is a record there is nothing to tell of: on_added() looks whether it is over. */
static void act_impatient(void *arg) {
  struct act *act = arg;
  if (act->claimed) act_tell(act, STORE_OK, "");
}

static struct act *act_new(struct acts *acts, const char *storage) {
  struct act *act = calloc(1, sizeof *act);
  if (!act) out_of_memory();
  act->acts = acts;
  snprintf(act->storage, sizeof act->storage, "%s", storage);
  timer_init(&act->again, acts->loop, act_step, act);
  timer_init(&act->patience, acts->loop, act_impatient, act);
  act->next = acts->list;
  acts->list = act;
  return act;
}

/* --- words to the record --- */

static void act_ended(struct act *act) {
  struct log *log = loop_log(act->acts->loop);
  const struct store_act *a = &act->a;
  log_info(log, act->subject, "%s %s by %s: %s, %" PRIu64 " of %" PRIu64 " jobs%s%s",
           store_act_kinds[a->kind], a->id, a->by, store_act_states[a->state], a->done, a->of,
           *a->result ? ": " : "", a->result);
  act_tell(act, STORE_OK, "");
  act_free(act);
}

static void on_noted(void *arg, enum store_rc rc, bool mine, const char *cancelled_by,
                     uint64_t undo_ms) {
  struct act *act = arg;
  act->asked = false;
  if (rc && !act->acts->stopping) {
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  if (!rc && !mine)
    log_info(loop_log(act->acts->loop), act->subject, "another node continues act %s", act->a.id);
  if (act->acts->stopping || !mine) {
    act_tell(act, STORE_OK, "");
    act_free(act);
    return;
  }
  act->noted_ms = loop_now_ms(act->acts->loop);
  if (act->a.state != STORE_ACT_RUNNING) {
    act->a.undo_ms = undo_ms;
    act_ended(act);
    return;
  }
  if (*cancelled_by) snprintf(act->cancelled_by, sizeof act->cancelled_by, "%s", cancelled_by);
  act_step(act);
}

static void act_note(struct act *act, struct store *s) {
  act->asked = true;
  store_act_note(s, &act->a, !act->acts->stopping, on_noted, act);
}

/* --- steps --- */

static void act_wake(struct act *act, struct store *s, bool last) {
  uint64_t now = loop_now_ms(act->acts->loop);
  bool brings = act->a.kind == STORE_ACT_REPLAY || act->a.kind == STORE_ACT_UNDO;
  if (!brings || (!last && now - act->woken_ms < WAKE_MS)) return;
  act->woken_ms = now;
  store_act_wake(s, act->a.queue);
}

/* What is left of the jobs but their number: that, and when. */
static void result_of_purge(struct act *act) {
  char when[32] = "";
  time_t now = (time_t)(loop_wall_ms(act->acts->loop) / 1000);
  struct tm tm;
  if (gmtime_r(&now, &tm)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
  size_t len = strlen(act->a.result);
  snprintf(act->a.result + len, sizeof act->a.result - len, "%s%" PRIu64 " jobs purged, %s",
           len ? "; " : "", act->a.done, when);
}

static void act_over(struct act *act, enum store_act_state state) {
  struct store_act *a = &act->a;
  a->state = state;
  if (a->kind == STORE_ACT_PURGE) result_of_purge(act);
  if (a->kind == STORE_ACT_UNDO && state == STORE_ACT_DONE && a->left)
    snprintf(a->result, sizeof a->result,
             "%" PRIu64 " jobs were not put back: they have begun, or are here again, or are gone",
             a->left);
}

static void on_slice(void *arg, enum store_rc rc, const struct store_slice *got, const char *why) {
  struct act *act = arg;
  struct store *s = store_named(act->acts, act->storage);
  act->asked = false;
  if (rc) {
    snprintf(act->a.note, sizeof act->a.note, "trying again: %.200s", why);
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  bool news = got->done > act->a.done;
  snprintf(act->a.note, sizeof act->a.note, "%s", got->note);
  act->a.done = got->done;
  act->a.left = got->left;
  act->a.of = got->over ? got->done + got->left : got->of;
  if (got->over) act_over(act, STORE_ACT_DONE);
  if (s && (news || got->over) && got->done) act_wake(act, s, got->over);
  if (!got->over && got->wait_ms) {
    timer_start(&act->again, got->wait_ms < NOTE_MS ? got->wait_ms : NOTE_MS);
    return;
  }
  act_step(act);
}

/* --- an undo --- */

/* The act that is undone was told to end, if it still ran. Its node hears of that, or another one
 * takes it over. */
static void on_other(void *arg, enum store_rc rc, const struct store_act *other, const char *why) {
  struct act *act = arg;
  struct store_act *a = &act->a;
  act->asked = false;
  if (rc) {
    snprintf(a->note, sizeof a->note, "trying again: %.200s", why);
  } else if (!other) {
    a->state = STORE_ACT_FAILED;
    snprintf(a->result, sizeof a->result, "there is no act %s any more", a->undoes);
  } else if (other->state == STORE_ACT_RUNNING) {
    snprintf(a->note, sizeof a->note, "waits until act %s has ended", a->undoes);
  } else {
    act->other_ended = true;
  }
  if (act->other_ended || a->state != STORE_ACT_RUNNING)
    act_step(act);
  else
    timer_start(&act->again, AGAIN_MS);
}

/* --- tidying up --- */

static void act_retries(struct act *act) {
  if (act->acts->stopping)
    act_free(act); /* the next sweep of any node finds it */
  else
    timer_start(&act->again, AGAIN_MS);
}

static void on_tidied(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct act *act = arg;
  (void)count, (void)why;
  act->asked = false;
  if (rc)
    act_retries(act);
  else
    act_free(act);
}

static void on_tidy(void *arg, enum store_rc rc, const struct store_slice *got, const char *why) {
  struct act *act = arg;
  struct store *s = store_named(act->acts, act->storage);
  (void)why;
  act->asked = false;
  if (rc || !s || act->acts->stopping) {
    act_retries(act);
    return;
  }
  act->asked = true;
  if (got->over)
    store_act_tidied(s, act->a.id, on_tidied, act);
  else
    store_act_tidy(s, &act->a, on_tidy, act);
}

static void on_move_step(void *arg, enum act_move_state state, const char *why) {
  struct act *act = arg;
  act->asked = false;
  act->a.note[0] = 0;
  act->given_back = state == ACT_MOVE_BACK;
  if (state == ACT_MOVE_DONE || state == ACT_MOVE_FAILED) {
    act->a.state = state == ACT_MOVE_DONE ? STORE_ACT_DONE : STORE_ACT_FAILED;
    snprintf(act->a.result, sizeof act->a.result, "%s", why);
  } else if (state == ACT_MOVE_WAITS) {
    snprintf(act->a.note, sizeof act->a.note, "%s", why);
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  act_step(act);
}

static void act_work(struct act *act, struct store *s) {
  act->asked = true;
  if (act->tidies) {
    store_act_tidy(s, &act->a, on_tidy, act);
    return;
  }
  if (act->a.kind == STORE_ACT_UNDO && !act->other_ended) {
    store_act_find(s, act->a.undoes, on_other, act);
    return;
  }
  if (act->a.kind != STORE_ACT_MOVE) {
    store_act_slice(s, &act->a, on_slice, act);
    return;
  }
  if (!act->move) act->move = act_move_new(act->acts->loop, act->acts->registry);
  act_move_step(act->move, s, &act->a, *act->cancelled_by != 0, on_move_step, act);
}

static void act_step(void *arg) {
  struct act *act = arg;
  struct acts *acts = act->acts;
  if (act->asked) return;
  struct store *s = store_named(acts, act->storage);
  if (!s || (acts->stopping && store_state(s) != STORE_READY)) {
    act_tell(act, STORE_OK, ""); /* the node that has the storage continues */
    act_free(act);
    return;
  }
  if (act->tidies && acts->stopping) {
    act_free(act);
    return;
  }
  if (store_state(s) != STORE_READY) {
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  if (act->tidies) {
    act_work(act, s);
    return;
  }
  if (*act->cancelled_by && act->a.state == STORE_ACT_RUNNING &&
      (act->given_back || act->a.kind != STORE_ACT_MOVE)) {
    snprintf(act->a.result, sizeof act->a.result, "cancelled by %.200s", act->cancelled_by);
    act_over(act, STORE_ACT_CANCELLED);
  }
  bool quiet = act->claimed && loop_now_ms(acts->loop) - act->noted_ms < NOTE_MS;
  if (acts->stopping || act->a.state != STORE_ACT_RUNNING || !quiet)
    act_note(act, s);
  else
    act_work(act, s);
}

/* --- beginning --- */

static void act_begin(struct act *act, const struct store_act *a) {
  act->a = *a;
  act->claimed = true;
  act->noted_ms = loop_now_ms(act->acts->loop);
  snprintf(act->subject, sizeof act->subject, "%s/%s", a->queue, a->topic);
}

/* Which jobs, where the kind alone does not say it. */
static const char *act_of(const struct store_act *a) {
  if (a->kind != STORE_ACT_REPLAY && a->kind != STORE_ACT_PURGE) return "";
  return a->set == STORE_SET_READY   ? ": ready jobs"
         : a->set == STORE_SET_DEAD  ? ": dead jobs"
         : a->set == STORE_SET_RETRY ? ": waiting retries"
                                     : ": waiting retries and dead jobs";
}

static void on_added(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  struct act *act = arg;
  act->asked = false;
  if (rc) {
    act_tell(act, rc, why);
    act_free(act);
    return;
  }
  act_begin(act, a);
  log_info(loop_log(act->acts->loop), act->subject, "%s %s begins, asked for by %s%s",
           store_act_kinds[a->kind], a->id, a->by, act_of(a));
  if (!timer_pending(&act->patience)) act_impatient(act);
  act_step(act);
}

void acts_start(struct acts *acts, struct store *s, const struct store_act *a, uint64_t patience_ms,
                act_fn fn, void *arg) {
  struct act *act = act_new(acts, store_name(s));
  act->a = *a;
  act->fn = fn;
  act->arg = arg;
  act->asked = true;
  timer_start(&act->patience, patience_ms);
  store_act_add(s, a, on_added, act);
}

static void on_claimed(void *arg, enum store_rc rc, const struct store_act *a, const char *why) {
  struct act *act = arg;
  (void)why;
  act->asked = false;
  if (rc || !a) {
    act_free(act);
    return;
  }
  act_begin(act, a);
  act->tidies = a->state != STORE_ACT_RUNNING;
  if (act->tidies) {
    act_step(act);
    return;
  }
  act->noted_ms = 0; /* it may have been cancelled: its record is asked first */
  log_info(loop_log(act->acts->loop), act->subject, "continuing %s %s, which another process began",
           store_act_kinds[a->kind], a->id);
  act_step(act);
}

void acts_found(struct acts *acts, struct store *s, const char *id) {
  if (acts->stopping) return;
  for (struct act *act = acts->list; act; act = act->next)
    if (!strcmp(act->a.id, id)) return;
  struct act *act = act_new(acts, store_name(s));
  snprintf(act->a.id, sizeof act->a.id, "%s", id);
  act->asked = true;
  store_act_claim(s, id, on_claimed, act);
}

void acts_cancelled(struct acts *acts, const char *id, const char *by) {
  for (struct act *act = acts->list; act; act = act->next)
    if (!strcmp(act->a.id, id)) snprintf(act->cancelled_by, sizeof act->cancelled_by, "%s", by);
}

/* --- life --- */

struct acts *acts_new(struct loop *loop, struct registry *registry) {
  struct acts *acts = calloc(1, sizeof *acts);
  if (!acts) return NULL;
  acts->loop = loop;
  acts->registry = registry;
  return acts;
}

void acts_stop(struct acts *acts) {
  acts->stopping = true;
  for (struct act *act = acts->list, *next; act; act = next) {
    next = act->next;
    timer_stop(&act->again);
    act_step(act);
  }
}

void acts_free(struct acts *acts) {
  if (!acts) return;
  while (acts->list) {
    acts->list->fn = NULL;
    act_free(acts->list);
  }
  free(acts);
}

void acts_each(const struct acts *acts, acts_each_fn fn, void *arg) {
  for (const struct act *act = acts->list; act; act = act->next)
    if (act->claimed && !act->tidies) fn(arg, &act->a);
}
