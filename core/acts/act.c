/* Owns the acts that this node works on. For each act one question at a time is with the storage: a
 * slice of the jobs, or a change of the act's record. See act.h.
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

static void on_noted(void *arg, enum store_rc rc, bool mine, const char *cancelled_by) {
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
  if (act->a.kind != STORE_ACT_REPLAY || (!last && now - act->woken_ms < WAKE_MS)) return;
  act->woken_ms = now;
  store_act_wake(s, act->a.queue);
}

static void on_slice(void *arg, enum store_rc rc, uint64_t done, uint64_t of, bool over,
                     const char *why) {
  struct act *act = arg;
  struct store *s = store_named(act->acts, act->storage);
  act->asked = false;
  if (rc) {
    snprintf(act->a.note, sizeof act->a.note, "trying again: %.200s", why);
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  bool news = done > act->a.done;
  act->a.note[0] = 0;
  act->a.done = done;
  act->a.of = over ? done : of;
  if (over) act->a.state = STORE_ACT_DONE;
  if (s && (news || over) && done) act_wake(act, s, over);
  act_step(act);
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
  if (store_state(s) != STORE_READY) {
    timer_start(&act->again, AGAIN_MS);
    return;
  }
  if (*act->cancelled_by && act->a.state == STORE_ACT_RUNNING &&
      (act->given_back || act->a.kind != STORE_ACT_MOVE)) {
    act->a.state = STORE_ACT_CANCELLED;
    snprintf(act->a.result, sizeof act->a.result, "cancelled by %.200s", act->cancelled_by);
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
  return a->set == STORE_SET_DEAD    ? ": dead jobs"
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
