/* Owns the records of acts in the storage.
 *
 * An act is a hash pb:{@}:act:ID; how far a replay or purge is stands beside the jobs, in
 * pb:{QUEUE}:act:ID, written by the script that moves them.
 */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"
#include "base/secret.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_ACTS    "pb:{@}:acts"
#define KEY_OPEN    STORE_KEY_ACTS_OPEN
#define KEY_ACT     "pb:{@}:act:"
#define LEASE_MS    10000
#define SLICE_JOBS  50          /* a script of less than a millisecond */
#define SLICE_BYTES (16u << 20) /* of contents that are deleted */

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
      {"count", NULL, 0, &a->count},
      {"done", NULL, 0, &a->done},
      {"of", NULL, 0, &a->of},
      {"epoch", NULL, 0, &a->epoch},
      {"started", NULL, 0, &a->started_ms},
      {"changed", NULL, 0, &a->changed_ms},
      {"ended", NULL, 0, &a->ended_ms},
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
  return *a->id;
}

static void put_key(struct store *s, const char *id) {
  char key[sizeof KEY_ACT + STORE_ACT_ID_MAX];
  snprintf(key, sizeof key, KEY_ACT "%s", id);
  cmd_text(&s->out, key);
}

static void put_topic_key(struct store *s, const char *queue, const char *kind, const char *name) {
  char key[2 * NAME_LEN_MAX + 32];
  snprintf(key, sizeof key, "pb:{%s}:%s:%s", queue, kind, name);
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
    else
      snprintf(text, sizeof text, "act %s moves them already", r->element[1]->str);
    why = text;
  }
  snprintf(act->owner, sizeof act->owner, "%s", query->store->server->node);
  act->epoch = 1;
  act->started_ms = act->changed_ms = clock_now(query->store);
  query->fn.act(query->arg, rc, rc ? NULL : act, why);
}

void store_act_add(struct store *s, const struct store_act *act, store_act_fn fn, void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_act_added, arg);
  struct store_act *copy = malloc(sizeof *copy);
  char random[9];
  if (!copy || secret_token(4, random)) abort();
  *copy = *act;
  snprintf(copy->id, sizeof copy->id, "%" PRIx64 "-%s", clock_now(s), random);
  query->ptr = copy;
  query->fn.act = fn;
  query_script(s, SCRIPT_ACT_ADD, 3);
  put_key(s, copy->id);
  cmd_text(out, KEY_ACTS);
  cmd_text(out, KEY_OPEN);
  cmd_text(out, copy->id);
  cmd_text(out, s->acts.owner);
  cmd_u64(out, LEASE_MS);
  cmd_text(out, store_act_kinds[copy->kind]);
  const char *const texts[] = {"queue",    copy->queue, "topic",  copy->topic, "from",
                               copy->from, "to",        copy->to, "by",        copy->by};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cmd_text(out, texts[i]);
  cmd_text(out, "set");
  cmd_u64(out, copy->set);
  cmd_text(out, "count");
  cmd_u64(out, copy->count);
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

static void on_cancelled(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  query->fn.done(query->arg, rc, rc ? 0 : redis_reply_u64(r), why);
}

void store_act_cancel(struct store *s, const char *id, const char *by, store_done_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_cancelled, arg);
  query->fn.done = fn;
  query_script(s, SCRIPT_ACT_CANCEL, 2);
  put_key(s, id);
  cmd_text(&s->out, KEY_OPEN);
  cmd_text(&s->out, id);
  cmd_text(&s->out, by);
  query_send(query, SCRIPT_ACT_CANCEL);
}

/* --- going on --- */

static void on_act_noted(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 2;
  (void)why;
  query->fn.noted(query->arg, rc, good && r->element[0]->integer, good ? r->element[1]->str : "");
}

void store_act_note(struct store *s, const struct store_act *act, bool keep, store_noted_fn fn,
                    void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_act_noted, arg);
  query->fn.noted = fn;
  query_script(s, SCRIPT_ACT_NOTE, 3);
  put_key(s, act->id);
  cmd_text(out, KEY_ACTS);
  cmd_text(out, KEY_OPEN);
  cmd_text(out, act->id);
  cmd_text(out, s->acts.owner);
  cmd_u64(out, keep ? LEASE_MS : 0);
  cmd_u64(out, act->done);
  cmd_u64(out, act->of);
  cmd_text(out, store_act_states[act->state]);
  cmd_text(out, act->result);
  cmd_text(out, act->note);
  query_send(query, SCRIPT_ACT_NOTE);
}

static void on_slice(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 3;
  query->fn.slice(query->arg, rc, good ? redis_reply_u64(r->element[0]) : 0,
                  good ? redis_reply_u64(r->element[1]) : 0, good && r->element[2]->integer, why);
}

void store_act_slice(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg) {
  enum store_script script = act->kind == STORE_ACT_PURGE ? SCRIPT_ACT_PURGE : SCRIPT_ACT_REPLAY;
  struct query *query = query_new(s, NULL, NULL, on_slice, arg);
  query->fn.slice = fn;
  query_script(s, script, 7);
  for (const char *kind = "rxhbcm"; *kind; kind++)
    put_topic_key(s, act->queue, (char[]){*kind, 0}, act->topic);
  put_topic_key(s, act->queue, "act", act->id);
  cmd_u64(&s->out, act->set);
  cmd_u64(&s->out, act->count);
  cmd_u64(&s->out, SLICE_JOBS);
  cmd_u64(&s->out, SLICE_BYTES);
  query_send(query, script);
}

void store_act_wake(struct store *s, const char *queue) {
  for (struct store_queue *q = s->objects.queues; q; q = q->next)
    if (!strcmp(q->name, queue)) {
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
  query_script(s, SCRIPT_ACT_OPEN, 1);
  cmd_text(&s->out, KEY_OPEN);
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
