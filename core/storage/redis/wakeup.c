/* Owns the wake-ups between nodes: those that this node sends, and those that it hears. */
#include "storage/redis/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_WOKEN     "pb:{@}:woken"
#define WAKE_SOON_MS  5     /* between two wake-ups of one queue */
#define WAKE_LAZY_MS  1000  /* the same, where only a delayed job is waiting */
#define WOKEN_BACK_MS 10000 /* a sweep may come so late */
#define WOKEN_MAX     1000

/* Before the first sweep it is not known whether other nodes live. */
static bool alone(const struct store *s) {
  return s->wakeups.peers_known && !s->wakeups.peers;
}

static void on_published(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  struct store *s = query->store;
  (void)r;
  (void)why;
  if (s->freeing) return;
  /* Nodes that hear no message read the notes (note_woken()). */
  if (rc == STORE_ERROR) s->wakeups.publish_ms = loop_now_ms(s->loop) + STORE_FORBIDDEN_MS;
  /* Whether the others heard is not known: say it again. */
  if (rc && rc != STORE_ERROR && query->q && !query->q->freed) wakeup_peers(query->q, false);
}

static void publish_text(struct store *s, struct store_queue *q, const char *text) {
  if (s->wakeups.publish_ms > loop_now_ms(s->loop)) return;
  struct query *query = query_new(s, q, NULL, on_published, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "PUBLISH");
  cmd_text(&s->out, STORE_CHANNEL);
  cmd_text(&s->out, text);
  query_send(query, SCRIPT_NONE);
}

static void publish(struct store *s, struct store_queue *q) {
  char text[NAME_LEN_MAX + 132];
  snprintf(text, sizeof text, "%s %s", s->node_instance, q ? q->name : "");
  publish_text(s, q, text);
}

/* Writes a note for the sweep of nodes that did not hear the message. */
static void note_woken(struct store *s, struct store_queue *q) {
  q->wake.noted_ms = loop_now_ms(s->loop);
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "ZADD");
  cmd_text(&s->out, KEY_WOKEN);
  cmd_u64(&s->out, clock_now(s));
  cmd_text(&s->out, q->name);
  query_send(query, SCRIPT_NONE);
}

static void wake_send(void *arg) {
  struct store *s = arg;
  uint64_t now = loop_now_ms(s->loop), next = UINT64_MAX;
  for (struct store_queue **p = &s->wakeups.first; *p;) {
    struct store_queue *q = *p;
    uint64_t at = q->wake.at_ms + (q->wake.soon ? WAKE_SOON_MS : WAKE_LAZY_MS);
    if (!alone(s) && s->state == STORE_READY && q->wake.at_ms && at > now) {
      if (at < next) next = at;
      p = &q->wake.next;
      continue;
    }
    *p = q->wake.next;
    q->wake.wanted = q->wake.soon = false;
    if (alone(s) || s->state != STORE_READY) continue; /* no other node; or READY wakes all */
    q->wake.at_ms = now;
    publish(s, q);
    note_woken(s, q);
  }
  if (next != UINT64_MAX) timer_start(&s->wakeups.timer, next - now);
}

void wakeup_peers(struct store_queue *q, bool soon) {
  struct store *s = q->store;
  if (alone(s) || q->freed) return;
  if (q->wake.wanted && (q->wake.soon || !soon)) return;
  q->wake.soon |= soon;
  if (!q->wake.wanted) {
    q->wake.wanted = true;
    q->wake.next = s->wakeups.first;
    s->wakeups.first = q;
  }
  loop_defer(s->loop, &s->wakeups.later, wake_send, s);
}

/* A node that knows the next retry time finds later ones when it looks then. So a retry is
 * announced only if it is earlier than every one announced so far. Pauses that grow or stay equal
 * cost one message per pause. The message is sent once the retry is durable: an earlier look would
 * not find it. */
void wakeup_due(struct store_topic *t, uint64_t due_ms) {
  struct store *s = t->q->store;
  uint64_t now = loop_wall_ms(s->loop);
  char text[2 * NAME_LEN_MAX + 160];
  if (alone(s) || s->state != STORE_READY || t->q->freed) return;
  if (t->told_due_ms > now && t->told_due_ms <= due_ms) return;
  t->told_due_ms = due_ms;
  snprintf(text, sizeof text, "%s %s %s %" PRIu64, s->node_instance, t->q->name, t->name,
           clock_there(s, due_ms));
  publish_text(s, t->q, text);
  uint64_t noted = t->q->wake.noted_ms;
  if (!noted || loop_now_ms(s->loop) - noted >= WAKE_LAZY_MS) note_woken(s, t->q);
}

void wakeup_forget(struct store_queue *q) {
  struct store_queue **p = &q->store->wakeups.first;
  while (*p && *p != q) p = &(*p)->wake.next;
  if (*p) *p = q->wake.next;
  q->wake.wanted = false;
}

void wakeup_all(struct store *s) {
  for (struct store_queue *q = s->objects.queues, *next; q; q = next) {
    next = q->next;
    s->ev.wake(s->ev.arg, s, q->name);
  }
}

void wakeup_heard(struct store *s, const char *text, size_t len) {
  size_t own = strlen(s->node_instance);
  const char *space = memchr(text, ' ', len);
  if (space && (size_t)(space - text) + 1 < len && space[1] == '@') {
    if (s->state == STORE_READY) shared_heard(s, space + 1, len - (size_t)(space + 1 - text));
    return;
  }
  if (!space || (own < len && text[own] == ' ' && !memcmp(text, s->node_instance, own))) return;
  s->wakeups.peers = true;
  if (s->state != STORE_READY || !space[1]) return;
  /* "queue", or "queue topic due" */
  char *copy = strndup(space + 1, len - (size_t)(space + 1 - text));
  if (!copy) return; /* the sweep finds it */
  char *topic = strchr(copy, ' '), *due = topic ? strchr(topic + 1, ' ') : NULL;
  if (!due) {
    s->ev.wake(s->ev.arg, s, copy);
  } else {
    *topic = *due = 0;
    s->ev.due(s->ev.arg, s, copy, topic + 1, clock_here(s, strtoull(due + 1, NULL, 10)));
  }
  free(copy);
}

void wakeup_subscribed(struct store *s) {
  if (s->state != STORE_READY) return;
  publish(s, NULL); /* the others learn that somebody listens */
  wakeup_all(s);
}

static void on_woken(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store *s = query->store;
  (void)why;
  if (rc || r->type != REPLY_ARRAY) return;
  for (size_t i = 0; i < r->elements; i++) s->ev.wake(s->ev.arg, s, r->element[i]->str);
}

void wakeup_missed(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, on_woken, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "ZRANGEBYSCORE");
  cmd_text(&s->out, KEY_WOKEN);
  cmd_u64(&s->out, clock_now(s) - WOKEN_BACK_MS);
  cmd_text(&s->out, "+inf");
  cmd_text(&s->out, "LIMIT");
  cmd_text(&s->out, "0");
  cmd_u64(&s->out, WOKEN_MAX);
  query_send(query, SCRIPT_NONE);
}

bool store_has_peers(const struct store *s) {
  return s->wakeups.peers;
}

void wakeup_peers_are(struct store *s, bool there) {
  s->wakeups.peers = there;
  s->wakeups.peers_known = true;
}

void wakeup_peer_likely(struct store *s) {
  s->wakeups.peers = true;
}

void wakeup_init(struct store *s) {
  timer_init(&s->wakeups.timer, s->loop, wake_send, s);
}

void wakeup_start(struct store *s) {
  s->wakeups.publish_ms = 0; /* another connection, perhaps with other rights */
  s->wakeups.peers_known = false;
  /* Sends the messages that were not sent when the connection was lost: until then their queues ask
   * for no other. */
  if (s->wakeups.first) loop_defer(s->loop, &s->wakeups.later, wake_send, s);
  publish(s, NULL); /* every topic looks at READY, so this node need not be woken */
}

void wakeup_stop(struct store *s) {
  timer_stop(&s->wakeups.timer);
}

void wakeup_done(struct store *s) {
  timer_done(&s->wakeups.timer);
  deferred_cancel(s->loop, &s->wakeups.later);
}
