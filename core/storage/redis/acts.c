/* Owns the records of acts in the storage.
 *
 * An act is a hash pb:{@}:act:ID; how far a replay or purge is stands beside the jobs, in
 * pb:{QUEUE}:act:ID, written by the script that moves them (act_slices.c).
 *
 * An older release takes a kind that it does not know for a replay, and knows no filter. So it must
 * not find such acts: the set of open acts that it looks at has moves only, and what it began
 * itself. It shows the others, and cannot cancel them; while no newer node lives they wait.
 */
#include "storage/redis/private.h"
#include "storage/redis/scan.h"

#include "base/out_of_memory.h"
#include "base/secret.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_ACTS  "pb:{@}:acts"
#define KEY_OPEN  STORE_KEY_ACTS_OPEN
#define KEY_BEGUN STORE_KEY_ACTS_BEGUN
#define KEY_ACT   "pb:{@}:act:"
#define LEASE_MS  10000
#define UNDO_OVER                                                                                  \
  1 /* `undo_ms` of an act that cannot be undone, and whose undo is to be deleted                  \
     */

const char *const store_act_kinds[] = {[STORE_ACT_REPLAY] = "replay",
                                       [STORE_ACT_PURGE] = "purge",
                                       [STORE_ACT_MOVE] = "move",
                                       [STORE_ACT_UNDO] = "undo",
                                       NULL};

const char *const store_act_states[] = {[STORE_ACT_RUNNING] = "running",
                                        [STORE_ACT_DONE] = "done",
                                        [STORE_ACT_CANCELLED] = "cancelled",
                                        [STORE_ACT_FAILED] = "failed",
                                        NULL};

/* --- records --- */

static int word_of(const char *const *words, const char *text) {
  for (int i = 0; words[i]; i++)
    if (!strcmp(words[i], text)) return i;
  return 0;
}

static void filter_field(struct store_filter *f, const char *name, const struct redis_reply *v) {
  uint64_t number = redis_reply_u64(v);
  if (!strcmp(name, "match")) snprintf(f->match, sizeof f->match, "%s", v->str);
  if (!strcmp(name, "body")) snprintf(f->body, sizeof f->body, "%s", v->str);
  if (!strcmp(name, "node")) snprintf(f->node, sizeof f->node, "%s", v->str);
  if (!strcmp(name, "signature")) f->signature = number;
  if (!strcmp(name, "since")) f->since_ms = number;
  if (!strcmp(name, "until")) f->until_ms = number;
  if (!strcmp(name, "least")) f->attempts_min = (uint32_t)number;
  if (!strcmp(name, "most")) f->attempts_max = (uint32_t)number;
  if (!strcmp(name, "crashes")) f->crashes = (uint32_t)number;
  if (!strcmp(name, "code") && v->len) {
    f->has_code = true;
    f->code = (int)strtol(v->str, NULL, 10);
  }
}

static void act_field(struct store_act *a, const char *name, const struct redis_reply *v) {
  const struct {
    const char *name;
    char *text;
    size_t size;
    uint64_t *number;
  } fields[] = {
      {"id", a->id, sizeof a->id, NULL},
      {"queue", a->queue, sizeof a->queue, NULL},
      {"topic", a->topic, sizeof a->topic, NULL},
      {"from", a->from, sizeof a->from, NULL},
      {"to", a->to, sizeof a->to, NULL},
      {"by", a->by, sizeof a->by, NULL},
      {"result", a->result, sizeof a->result, NULL},
      {"note", a->note, sizeof a->note, NULL},
      {"undone_by", a->undone_by, sizeof a->undone_by, NULL},
      {"undoes", a->undoes, sizeof a->undoes, NULL},
      {"count", NULL, 0, &a->count},
      {"done", NULL, 0, &a->done},
      {"of", NULL, 0, &a->of},
      {"epoch", NULL, 0, &a->epoch},
      {"started", NULL, 0, &a->started_ms},
      {"changed", NULL, 0, &a->changed_ms},
      {"ended", NULL, 0, &a->ended_ms},
      {"rate", NULL, 0, &a->rate},
      {"undo_ms", NULL, 0, &a->undo_ms},
      {"left", NULL, 0, &a->left},
  };
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strcmp(fields[i].name, name)) continue;
    if (fields[i].text)
      snprintf(fields[i].text, fields[i].size, "%s", v->str);
    else
      *fields[i].number = redis_reply_u64(v);
    return;
  }
  if (!strcmp(name, "kind")) a->kind = (enum store_act_kind)word_of(store_act_kinds, v->str);
  if (!strcmp(name, "state")) a->state = (enum store_act_state)word_of(store_act_states, v->str);
  if (!strcmp(name, "set")) a->set = (enum store_set)redis_reply_u64(v);
  if (!strncmp(name, "filter:", 7)) {
    a->filtered = true;
    filter_field(&a->filter, name + 7, v);
  }
  if (!strcmp(name, "now")) a->now = redis_reply_u64(v) != 0;
  if (!strcmp(name, "keeps")) a->keeps = redis_reply_u64(v) != 0;
  if (!strcmp(name, "cancel")) a->cancel = v->len > 0;
  if (!strcmp(name, "owner"))
    snprintf(a->owner, sizeof a->owner, "%.*s", (int)strcspn(v->str, " "), v->str);
}

/* Fields and values. False: there are none. */
static bool act_parse(struct store_act *a, const struct redis_reply *r) {
  *a = (struct store_act){.set = STORE_SET_BOTH};
  if (r->type != REPLY_ARRAY) return false;
  for (size_t i = 0; i + 2 <= r->elements; i += 2)
    act_field(a, r->element[i]->str, r->element[i + 1]);
  if (a->undo_ms == UNDO_OVER) a->undo_ms = 0;
  a->filter.set = a->set;
  return *a->id;
}

static void put_key(struct store *s, const char *id) {
  char key[sizeof KEY_ACT + STORE_ACT_ID_MAX];
  snprintf(key, sizeof key, KEY_ACT "%s", id);
  cmd_text(&s->out, key);
}

/* --- new ones --- */

static void on_act_added(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  struct store_act *act = query->ptr;
  char text[STORE_WORDS];
  if (!rc && r->type == REPLY_ARRAY && r->elements == 2 && r->element[0]->integer != 1) {
    rc = STORE_FULL;
    if (r->element[0]->integer == 2)
      snprintf(text, sizeof text, "1,000 acts are under way; wait, or cancel some");
    else if (r->element[0]->integer == 3)
      snprintf(text, sizeof text, "%s", r->element[1]->str);
    else
      snprintf(text, sizeof text, "act %s moves them already", r->element[1]->str);
    why = text;
  }
  act->keeps = !rc && r->type == REPLY_ARRAY && r->elements == 2 && redis_reply_u64(r->element[1]);
  snprintf(act->owner, sizeof act->owner, "%s", query->store->server->node);
  act->epoch = 1;
  act->started_ms = act->changed_ms = clock_now(query->store);
  query->fn.act(query->arg, rc, rc ? NULL : act, why);
}

/* What it takes to undo the act can be kept. */
static bool can_keep(const struct store_act *a) {
  return (a->kind == STORE_ACT_REPLAY || a->kind == STORE_ACT_PURGE) && a->set != STORE_SET_READY &&
         !a->now;
}

static void put_fields(struct cmd *out, const struct store_act *a) {
  const struct {
    const char *name, *text;
    uint64_t number;
  } fields[] = {
      {"queue", a->queue, 0}, {"topic", a->topic, 0},    {"from", a->from, 0},
      {"to", a->to, 0},       {"by", a->by, 0},          {"undoes", a->undoes, 0},
      {"set", NULL, a->set},  {"count", NULL, a->count}, {"rate", NULL, a->rate},
      {"now", NULL, a->now},
  };
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    cmd_text(out, fields[i].name);
    if (fields[i].text)
      cmd_text(out, fields[i].text);
    else
      cmd_u64(out, fields[i].number);
  }
}

static void put_filter(struct cmd *out, const struct store_filter *f) {
  const struct {
    const char *name, *text;
    uint64_t number;
  } fields[] = {
      {"filter:match", f->match, 0},
      {"filter:body", f->body, 0},
      {"filter:node", f->node, 0},
      {"filter:signature", NULL, f->signature},
      {"filter:since", NULL, f->since_ms},
      {"filter:until", NULL, f->until_ms},
      {"filter:least", NULL, f->attempts_min},
      {"filter:most", NULL, f->attempts_max},
      {"filter:crashes", NULL, f->crashes},
  };
  char code[16] = "";
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    cmd_text(out, fields[i].name);
    if (fields[i].text)
      cmd_text(out, fields[i].text);
    else
      cmd_u64(out, fields[i].number);
  }
  if (f->has_code) snprintf(code, sizeof code, "%d", f->code);
  cmd_text(out, "filter:code");
  cmd_text(out, code);
}

void store_act_add(struct store *s, const struct store_act *act, store_act_fn fn, void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_act_added, arg);
  struct store_act *copy = malloc(sizeof *copy);
  char random[9];
  if (!copy || secret_token(4, random)) abort();
  *copy = *act;
  snprintf(copy->id, sizeof copy->id, "%" PRIx64 "-%s", clock_now(s), random);
  if (copy->filtered) {
    copy->filter.set = copy->set;
    if (!copy->filter.crashes)
      copy->filter.crashes = (uint32_t)scan_crashes(s, copy->queue, copy->topic);
  }
  query->ptr = copy;
  query->fn.act = fn;
  query_script(s, SCRIPT_ACT_ADD, 4);
  put_key(s, copy->id);
  cmd_text(out, KEY_ACTS);
  cmd_text(out, KEY_OPEN);
  cmd_text(out, KEY_BEGUN);
  cmd_text(out, copy->id);
  cmd_text(out, s->acts.owner);
  cmd_u64(out, LEASE_MS);
  cmd_text(out, store_act_kinds[copy->kind]);
  cmd_text(out, can_keep(copy) ? "1" : "0");
  put_fields(out, copy);
  if (copy->filtered) put_filter(out, &copy->filter);
  query_send(query, SCRIPT_ACT_ADD);
}

/* --- looking --- */

static void on_act_told(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why) {
  struct store_act act;
  bool there = !rc && act_parse(&act, r);
  query->fn.act(query->arg, rc, there ? &act : NULL, why);
}

void store_act_find(struct store *s, const char *id, store_act_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_act_told, arg);
  query->fn.act = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "HGETALL");
  put_key(s, id);
  query_send(query, SCRIPT_NONE);
}

void store_act_claim(struct store *s, const char *id, store_act_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_act_told, arg);
  query->fn.act = fn;
  query_script(s, SCRIPT_ACT_CLAIM, 1);
  put_key(s, id);
  cmd_text(&s->out, s->acts.owner);
  cmd_text(&s->out, s->server->node);
  cmd_u64(&s->out, LEASE_MS);
  query_send(query, SCRIPT_ACT_CLAIM);
}

static void on_acts(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_act *acts = NULL;
  size_t n = 0;
  uint64_t total = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    total = redis_reply_u64(r->element[0]);
    if (!(acts = calloc(r->elements, sizeof *acts))) out_of_memory();
    for (size_t i = 1; i < r->elements; i++) n += act_parse(&acts[n], r->element[i]);
  }
  query->fn.acts(query->arg, rc, acts, n, total, why);
  free(acts);
}

void store_act_list(struct store *s, uint64_t offset, size_t count, store_acts_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_acts, arg);
  query->fn.acts = fn;
  query_script(s, SCRIPT_ACT_LIST, 1);
  cmd_text(&s->out, KEY_ACTS);
  cmd_u64(&s->out, offset);
  cmd_u64(&s->out, count);
  query_send(query, SCRIPT_ACT_LIST);
}

static void on_counted(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  query->fn.done(query->arg, rc, rc ? 0 : redis_reply_u64(r), why);
}

void store_act_cancel(struct store *s, const char *id, const char *by, store_done_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_counted, arg);
  query->fn.done = fn;
  query_script(s, SCRIPT_ACT_CANCEL, 3);
  put_key(s, id);
  cmd_text(&s->out, KEY_OPEN);
  cmd_text(&s->out, KEY_BEGUN);
  cmd_text(&s->out, id);
  cmd_text(&s->out, by);
  query_send(query, SCRIPT_ACT_CANCEL);
}

/* --- going on --- */

static void on_act_noted(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 3;
  (void)why;
  uint64_t undo_ms = good ? redis_reply_u64(r->element[2]) : 0;
  query->fn.noted(query->arg, rc, good && r->element[0]->integer, good ? r->element[1]->str : "",
                  undo_ms == UNDO_OVER ? 0 : undo_ms);
}

void store_act_note(struct store *s, const struct store_act *act, bool keep, store_noted_fn fn,
                    void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_act_noted, arg);
  query->fn.noted = fn;
  query_script(s, SCRIPT_ACT_NOTE, 4);
  put_key(s, act->id);
  cmd_text(out, KEY_ACTS);
  cmd_text(out, KEY_OPEN);
  cmd_text(out, KEY_BEGUN);
  cmd_text(out, act->id);
  cmd_text(out, s->acts.owner);
  cmd_u64(out, keep ? LEASE_MS : 0);
  cmd_u64(out, act->done);
  cmd_u64(out, act->of);
  cmd_text(out, store_act_states[act->state]);
  cmd_text(out, act->result);
  cmd_text(out, act->note);
  cmd_u64(out, act->left);
  query_send(query, SCRIPT_ACT_NOTE);
}

void store_act_tidied(struct store *s, const char *id, store_done_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_counted, arg);
  query->fn.done = fn;
  query_script(s, SCRIPT_ACT_TIDIED, 2);
  put_key(s, id);
  cmd_text(&s->out, KEY_BEGUN);
  cmd_text(&s->out, id);
  query_send(query, SCRIPT_ACT_TIDIED);
}

void store_act_wake(struct store *s, const char *queue) {
  for (struct store_queue *q = NULL; (q = queue_named(s, queue, q));) {
    wakeup_peer_likely(s);
    wakeup_peers(q, true);
  }
  s->ev.wake(s->ev.arg, s, queue);
}

/* --- acts whose node died --- */

void acts_told(struct store *s, struct redis_reply *const *id, size_t n) {
  if (s->member.left || s->freeing) return;
  for (size_t i = 0; i < n && s->acts.found; i++) s->acts.found(s->acts.found_arg, s, id[i]->str);
}

static void on_open(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = query->store;
  (void)why;
  if (rc || r->type != REPLY_ARRAY || !r->elements) return;
  clock_learn(s, redis_reply_u64(r->element[0]), loop_clock_ms() - query->n[0]);
  acts_told(s, r->element + 1, r->elements - 1);
}

void acts_find_open(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, on_open, NULL);
  query->own = true;
  query->n[0] = loop_clock_ms();
  query_script(s, SCRIPT_ACT_OPEN, 2);
  cmd_text(&s->out, KEY_OPEN);
  cmd_text(&s->out, KEY_BEGUN);
  cmd_text(&s->out, s->acts.owner);
  cmd_text(&s->out, s->server->node);
  query_send(query, SCRIPT_ACT_OPEN);
}

void store_on_act(struct store *s, void (*found)(void *arg, struct store *s, const char *id),
                  void *arg) {
  s->acts.found = found;
  s->acts.found_arg = arg;
}

int acts_init(struct store *s) {
  if (asprintf(&s->acts.owner, "%s %s", s->server->node, s->node_instance) >= 0) return 0;
  s->acts.owner = NULL;
  return -ENOMEM;
}

void acts_done(struct store *s) {
  free(s->acts.owner);
}
