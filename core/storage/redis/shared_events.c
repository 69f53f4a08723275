/* Owns the news of what nodes share: what this node hears, by the channel or by the sweep.
 *
 * The script that writes tells: an entry of the stream pb:{@}:told, and a message with the id of
 * that entry. A sweep reads the stream from where it was, and leaves out what was heard. So an
 * event costs nobody a command, and an idle storage has none more.
 */
#include "storage/redis/private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_PAGE 1000  /* nodes.lua reads so many; more than that: everything may be new */
#define BACK_MS   10000 /* before READY: a node that was connected until then has told it itself */

static const char *const words[STORE_SHARED_EVENTS] = {
    [STORE_SHARED_REVISION] = "revision", [STORE_SHARED_LETTER] = "letter",
    [STORE_SHARED_REPLY] = "reply",       [STORE_SHARED_SESSION] = "session",
    [STORE_SHARED_USER] = "user",         [STORE_SHARED_DRAIN] = "drain"};

const char *shared_event_word(enum store_shared_event event) {
  return words[event];
}

static void shared_event(struct store *s, enum store_shared_event event, const char *id) {
  if (!s->shared.fn || s->freeing || s->member.left) return;
  if (event == STORE_SHARED_LETTER && *id && strcmp(id, s->server->node)) return;
  s->shared.fn(s->shared.arg, s, event, id);
}

static void word_told(struct store *s, const char *word, const char *id) {
  for (int i = 0; i < STORE_SHARED_EVENTS; i++)
    if (!strcmp(words[i], word)) shared_event(s, (enum store_shared_event)i, id);
}

void shared_all_new(struct store *s) {
  s->shared.swept = (struct shared_entry){0};
  for (int i = 0; i < STORE_SHARED_EVENTS; i++) shared_event(s, (enum store_shared_event)i, "");
}

/* --- by the channel --- */

static bool was_heard(const struct store *s, const struct shared_entry *e) {
  for (size_t i = 0; i < sizeof s->shared.heard / sizeof *s->shared.heard; i++)
    if (s->shared.heard[i].ms == e->ms && s->shared.heard[i].seq == e->seq) return true;
  return false;
}

void shared_heard(struct store *s, const char *text, size_t len) {
  struct shared_entry e;
  char *copy = strndup(text + 1, len - 1);
  char *at = copy ? strchr(copy, ' ') : NULL, *id = at ? strchr(at + 1, ' ') : NULL;
  if (id) { /* else a sweep finds it */
    *at++ = *id++ = 0;
    if (entry_parse(at, &e.ms, &e.seq) && e.ms)
      s->shared.heard[s->shared.heard_at++ % (sizeof s->shared.heard / sizeof e)] = e;
    word_told(s, copy, id);
  }
  free(copy);
}

/* --- by the sweep --- */

void shared_put_swept(struct store *s) {
  struct shared_entry *e = &s->shared.swept;
  if (!s->shared.fn) {
    cmd_text(&s->out, "");
    return;
  }
  if (!e->ms && s->clock.known) e->ms = clock_now(s) - BACK_MS;
  cmd_entry(&s->out, e->ms, e->seq);
}

void shared_swept(struct store *s, const struct redis_reply *r) {
  if (r->type != REPLY_ARRAY) return;
  bool gap = r->elements >= TOLD_PAGE; /* perhaps: the stream is not much longer */
  if (gap) shared_all_new(s);
  for (size_t i = 0; i < r->elements; i++) {
    const struct redis_reply *entry = r->element[i], *pair;
    struct shared_entry e;
    if (entry->type != REPLY_ARRAY || entry->elements != 2) continue;
    pair = entry->element[1];
    if (!entry_parse(entry->element[0]->str, &e.ms, &e.seq)) continue;
    s->shared.swept = e;
    if (gap || was_heard(s, &e) || pair->type != REPLY_ARRAY || pair->elements != 2) continue;
    word_told(s, pair->element[0]->str, pair->element[1]->str);
  }
}

/* --- what is offered --- */

void store_on_shared(struct store *s,
                     void (*fn)(void *arg, struct store *s, enum store_shared_event event,
                                const char *id),
                     void *arg) {
  s->shared.fn = fn;
  s->shared.arg = arg;
}

void store_tell_shared(struct store *s, enum store_shared_event event, const char *id) {
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query_script(s, SCRIPT_SHARED_TELL, 1);
  cmd_text(&s->out, STORE_KEY_TOLD);
  cmd_text(&s->out, s->node_instance);
  cmd_text(&s->out, words[event]);
  cmd_text(&s->out, id);
  query_send(query, SCRIPT_SHARED_TELL);
}

uint64_t store_clock_ms(const struct store *s) {
  return s->clock.known ? clock_there(s, loop_wall_ms(s->loop)) : 0;
}

/* --- bounds --- */

bool shared_fits(struct query *query, size_t len, size_t max, const char *what) {
  const char *name;
  uint64_t server = store_job_max(query->store, &name);
  char why[STORE_WORDS];
  if (len <= max && len <= server) return true;
  if (len > max)
    snprintf(why, sizeof why, "%s of %zu bytes is too large; at most %zu are possible", what, len,
             max);
  else
    snprintf(why, sizeof why, "%s of %zu bytes is larger than its %s", what, len, name);
  query_refuse(query, STORE_ERROR, why);
  return false;
}
