/* Owns which revision this node runs, and why not the newest one. See follow.h.
 *
 * Must never happen: an older or an empty configuration without an order; a revision that was not
 * written with the cluster's key runs; a refused one ends the one that runs.
 */
#include "control/follow.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "control/copy.h"
#include "event/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct control_text *follow_top(const struct follow *f) {
  return f->next ? f->next : f->good;
}

static uint64_t number_of(const struct control_text *t) {
  return t ? t->rev.number : 0;
}

/* --- the state --- */

static void state_set(struct follow *f, enum follow_state to, const char *fmt, ...) PB_PRINTF(3, 4);
static void state_set(struct follow *f, enum follow_state to, const char *fmt, ...) {
  char why[sizeof f->why];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(why, sizeof why, fmt, ap);
  va_end(ap);
  bool news = to != f->state || strcmp(why, f->why) != 0;
  f->state = to;
  memcpy(f->why, why, sizeof why);
  if (!news) return;
  if (to == FOLLOW_LOST)
    log_error(f->log, "cluster",
              "%s; this node keeps the configuration that it runs, and takes no changes until "
              "`pepperbusctl config restore`",
              why);
  f->ev.changed(f->ev.arg);
}

static void asked_end(struct follow *f) {
  control_text_unref(f->fetched);
  f->fetched = NULL;
  f->asking = false;
  if (f->again) follow_look(f);
}

/* --- running --- */

static void next_run(struct follow *f) {
  f->running = true;
  f->refused = false;
  free(f->refused_why);
  f->refused_why = NULL;
  f->ev.run(f->ev.arg, f->next);
}

static void next_set(struct follow *f, struct control_text *t) {
  control_text_unref(f->next);
  f->next = control_text_ref(t);
  state_set(f, FOLLOW_CURRENT, "%s", "");
  if (!f->running) next_run(f);
}

static void ran_well(struct follow *f, struct control_text *t) {
  bool older = number_of(f->good) > t->rev.number;
  if (!older) {
    control_text_unref(f->good);
    f->good = control_text_ref(t);
    copy_save(f->copy, t->data, t->len);
  }
  log_info(f->log, "cluster", "revision %" PRIu64 " of the shared configuration runs%s%s",
           t->rev.number, *t->rev.by ? ", made by " : "", t->rev.by);
  if (f->next == t) {
    control_text_unref(f->next);
    f->next = NULL;
  }
}

void follow_ran(struct follow *f, struct control_text *t, int rc, const char *why) {
  f->running = false;
  if (!rc) {
    ran_well(f, t);
  } else if (rc != -ESHUTDOWN && f->next == t) {
    f->refused = true;
    free(f->refused_why);
    f->refused_why = strdup(why);
    log_error(f->log, "cluster",
              "revision %" PRIu64 " of the shared configuration cannot run here; revision %" PRIu64
              " goes on: %s",
              t->rev.number, number_of(f->good), why);
  }
  f->ev.changed(f->ev.arg);
  if (f->next && f->next != t) next_run(f); /* came meanwhile */
}

void follow_retry(struct follow *f) {
  if (f->next && f->refused && !f->running) next_run(f);
}

void follow_rekey(struct follow *f) {
  const struct seal *seal = f->ev.seal(f->ev.arg);
  struct pb_err err = {.text = ""};
  f->told_hash[0] = 0; /* perhaps it was not forged */
  if (!seal || !f->good || f->next || !strcmp(f->good->seal.id, seal->id)) return;
  struct control_text *t =
      control_text_new(f->good->data, f->good->len, seal, f->ev.cluster(f->ev.arg), &err);
  if (t && revision_verify(&t->rev, seal, f->ev.cluster(f->ev.arg))) {
    control_text_unref(t); /* its secrets are another key's; the revision of this key comes */
    return;
  }
  if (!t) return;
  f->next = t;
  next_run(f);
}

/* --- verifying --- */

/* A revision that is not the cluster's: no node runs it, and the log says so once. */
static void forged(struct follow *f, const char *what) {
  if (strcmp(f->told_hash, f->head_hash)) f->forged++;
  memcpy(f->told_hash, f->head_hash, sizeof f->told_hash);
  state_set(f, FOLLOW_LOST, "revision %" PRIu64 " in the storage is ignored: %s", f->head, what);
}

/* Its ancestors are ours, as far as they are still known. */
static void head_take(struct follow *f) {
  next_set(f, f->fetched);
  asked_end(f);
}

static void diverged(struct follow *f) {
  state_set(f, FOLLOW_LOST,
            "the shared configuration was lost or went back: revision %" PRIu64
            " in the storage does not come from revision %" PRIu64 " that this node has",
            f->head, number_of(follow_top(f)));
  asked_end(f);
}

static void on_ancestor(void *arg, enum store_rc rc, const struct store_revision *r,
                        const char *why) {
  struct follow *f = arg;
  const struct control_text *top = follow_top(f);
  (void)why;
  if (rc)
    asked_end(f);
  else if (r && strcmp(r->hash, top->hash))
    diverged(f);
  else
    head_take(f);
}

static void ancestors_check(struct follow *f) {
  const struct control_text *top = follow_top(f);
  const struct revision *r = &f->fetched->rev;
  struct store *s = f->ev.store(f->ev.arg);
  if (!top || r->restored > top->rev.number)
    head_take(f);
  else if (r->number == top->rev.number + 1 && strcmp(r->base_hash, top->hash))
    diverged(f);
  else if (r->number == top->rev.number + 1)
    head_take(f);
  else if (s)
    store_revision_get(s, top->rev.number, on_ancestor, f);
  else
    asked_end(f);
}

static const char *unsound(struct follow *f, const struct control_text *t) {
  const struct seal *seal = f->ev.seal(f->ev.arg);
  if (t->rev.number != f->head) return "it is of another number";
  switch (seal ? revision_verify(&t->rev, seal, f->ev.cluster(f->ev.arg)) : -EBADMSG) {
  case 0:
    return NULL;
  case -EXDEV:
    return "it is of another cluster";
  default:
    return "it was not written with the cluster's key";
  }
}

static void got(struct follow *f, const struct store_revision *r, const struct seal *seal) {
  struct pb_err err = {.text = ""};
  f->fetched = control_text_new(r->data, r->len, seal, f->ev.cluster(f->ev.arg), &err);
  const char *bad = f->fetched ? unsound(f, f->fetched) : err.text;
  if (!bad && strcmp(f->fetched->hash, r->hash)) bad = "its bytes are not those of its hash";
  if (bad) {
    forged(f, bad);
    asked_end(f);
    return;
  }
  ancestors_check(f);
}

static void on_got(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct follow *f = arg;
  const struct seal *seal = f->ev.seal(f->ev.arg);
  if (rc) {
    state_set(f, FOLLOW_UNKNOWN, "%s", why);
  } else if (!r) {
    state_set(f, FOLLOW_LOST, "the storage has no bytes of its revision %" PRIu64, f->head);
  } else if (r->number != f->head || strcmp(r->hash, f->head_hash)) {
    f->again = true; /* the head has changed meanwhile */
  } else if (!seal) {
    state_set(f, FOLLOW_KEYLESS, "the cluster's key went away");
  } else {
    got(f, r, seal);
    return;
  }
  asked_end(f);
}
/* --- the head --- */

static void newer(struct follow *f) {
  struct store *s = f->ev.store(f->ev.arg);
  if (!f->ev.seal(f->ev.arg)) {
    state_set(f, FOLLOW_KEYLESS,
              "revision %" PRIu64 " waits: without the cluster's key this node cannot verify it",
              f->head);
    asked_end(f);
  } else if (!s || (f->state == FOLLOW_LOST && !strcmp(f->told_hash, f->head_hash))) {
    asked_end(f); /* nobody to ask, or a forged one that was looked at */
  } else {
    if (f->state != FOLLOW_LOST) state_set(f, FOLLOW_COMES, "%s", "");
    store_revision_get(s, f->head, on_got, f);
  }
}

static void on_head(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct follow *f = arg;
  const struct control_text *top = follow_top(f);
  if (rc) {
    state_set(f, FOLLOW_UNKNOWN, "%s", why);
    asked_end(f);
    return;
  }
  f->head = r ? r->number : 0;
  snprintf(f->head_hash, sizeof f->head_hash, "%s", r ? r->hash : "");
  if (f->head > number_of(top)) {
    newer(f);
    return;
  }
  if (f->head == number_of(top) && (!top || !strcmp(top->hash, f->head_hash)))
    state_set(f, FOLLOW_CURRENT, "%s", "");
  else if (!r)
    state_set(f, FOLLOW_LOST,
              "the shared configuration was lost or went back: the storage has none, this node has "
              "revision %" PRIu64,
              number_of(top));
  else if (f->head < number_of(top))
    state_set(f, FOLLOW_LOST,
              "the shared configuration was lost or went back: the storage has revision %" PRIu64
              ", this node has revision %" PRIu64,
              f->head, number_of(top));
  else
    state_set(f, FOLLOW_LOST,
              "the shared configuration was lost or went back: the storage has another revision "
              "%" PRIu64 " than this node",
              f->head);
  asked_end(f);
}

void follow_look(struct follow *f) {
  struct store *s = f->ev.store(f->ev.arg);
  if (f->asking) {
    f->again = true;
    return;
  }
  f->again = false;
  if (!s) return;
  f->asking = true;
  store_revision_head(s, on_head, f);
}

/* --- life --- */

static void on_saved(void *arg, int rc) {
  struct follow *f = arg;
  if (rc)
    log_error(f->log, "cluster",
              "the copy of the shared configuration in state_dir could not be written: %s; this "
              "node needs Redis at its next start",
              strerror(-rc));
}

void follow_init(struct follow *f, struct loop *loop, struct log *log, const char *state_dir,
                 struct control_text *copy, const char *refused, const struct follow_events *ev) {
  *f = (struct follow){.loop = loop, .log = log, .ev = *ev};
  f->refused = copy && refused;
  if (f->refused && !(f->refused_why = strdup(refused))) out_of_memory();
  *(f->refused ? &f->next : &f->good) = control_text_ref(copy);
  f->copy = copy_new(loop, state_dir, on_saved, f);
  if (!f->copy) out_of_memory();
}

void follow_done(struct follow *f) {
  copy_free(f->copy);
  control_text_unref(f->good);
  control_text_unref(f->next);
  control_text_unref(f->fetched);
  free(f->refused_why);
  *f = (struct follow){.good = NULL};
}
