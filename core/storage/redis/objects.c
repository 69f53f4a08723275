/* Owns the queues and topics of a storage: their keys, made once, and their lives. */
#include "storage/redis/private.h"

#include "storage/redis/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTACH_SLICE_US 5000
#define ON_THE_WAY_MAX  400  /* questions: Redis works on them for some 20 ms */
#define NAMES_MAX       1000 /* of a command: Lua's unpack() takes some thousands */

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *text_of(const char *fmt, ...) {
  va_list ap;
  char *p;
  va_start(ap, fmt);
  if (vasprintf(&p, fmt, ap) < 0) p = NULL;
  va_end(ap);
  return p;
}

void objects_done(struct store *s) {
  timer_done(&s->objects.attach);
  queue_names_done(s);
}

/* --- queues --- */

static void queue_destroy(struct store_queue *q) {
  free(q->name);
  free(q->stream);
  free(q->delayed);
  free(q->delayed_jobs);
  free(q->paused);
  free(q->counted);
  free(q->xadd);
  groups_done(q);
  free(q);
}

/* Writes the names of all queues, for the walk over jobs that a dead node left. It uses the script
 * that gets through when memory is full: a backlog whose queue is not listed would be forgotten. */
static struct query *queues_note(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query->own = true;
  query_script(s, SCRIPT_WRITE, 1);
  cmd_text(&s->out, STORE_KEY_QUEUES);
  cmd_text(&s->out, "SADD");
  return query;
}

static void queue_attach(struct store_queue *q, bool loaded) {
  q->attach_due = false;
  groups_make(q, loaded);
  move_marks(q);
}

static void queues_note_all(struct store *s) {
  for (struct store_queue *q = s->objects.queues; q;) {
    struct query *query = queues_note(s);
    for (size_t n = 0; q && n < NAMES_MAX; q = q->next, n++) cmd_text(&s->out, q->name);
    query_send(query, SCRIPT_WRITE);
  }
}

void objects_attach(struct store *s) {
  for (struct store_queue *q = s->objects.queues; q; q = q->next) queue_attach(q, false);
  queues_note_all(s);
}

/* The state is READY only while the questions are sent: nobody may add jobs before the groups are
 * asked for. A queue that is new or changed meanwhile is due too. */
static void attach_slice(void *arg) {
  struct store *s = arg;
  uint64_t end = loop_clock_us() + ATTACH_SLICE_US;
  struct store_queue *q;
  struct link_stats st;
  if (s->member.left || s->freeing) return;
  link_stats(s->link, &st);
  uint64_t room = st.in_flight < ON_THE_WAY_MAX ? ON_THE_WAY_MAX - st.in_flight : 0;
  state_set_silently(s, STORE_READY);
  for (q = s->objects.queues; q && room && loop_clock_us() < end; q = q->next) {
    if (!q->attach_due) continue;
    queue_attach(q, true);
    room--;
  }
  if (!q) queues_note_all(s);
  state_set_silently(s, STORE_CONNECTING);
  if (q)
    timer_start(&s->objects.attach, room ? 0 : 1);
  else
    s->objects.attached(s);
}

void objects_attach_slowly(struct store *s) {
  for (struct store_queue *q = s->objects.queues; q; q = q->next) q->attach_due = true;
  attach_slice(s);
}

bool objects_attaches(const struct store *s) {
  return timer_pending(&s->objects.attach);
}

void objects_attach_stop(struct store *s) {
  timer_stop(&s->objects.attach);
}

void objects_init(struct store *s, void (*attached)(struct store *s)) {
  timer_init(&s->objects.attach, s->loop, attach_slice, s);
  s->objects.attached = attached;
}

struct store_queue *store_queue_new(struct store *s, const struct queue_settings *set,
                                    struct gateway g) {
  struct store_queue *q = calloc(1, sizeof *q);
  if (!q) return NULL;
  q->store = s;
  q->refs = 1;
  q->release = queue_destroy;
  groups_init(q);
  q->set = set;
  q->retain = set->retain_ms > 0;
  q->retain_ms = set->retain_ms;
  job_field(g, q->field);
  q->name = strdup(set->name);
  q->stream = text_of("pb:{%s}:s", set->name);
  q->delayed = text_of("pb:{%s}:d", set->name);
  q->delayed_jobs = text_of("pb:{%s}:j", set->name);
  q->paused = text_of("pb:{%s}:p", set->name);
  q->counted = text_of("pb:{%s}:n", set->name);
  if (q->stream)
    q->xadd = text_of("*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$%zu\r\n%s\r\n$",
                      strlen(q->stream), q->stream, strlen(q->field), q->field);
  if (!q->name || !q->stream || !q->delayed || !q->delayed_jobs || !q->paused || !q->counted ||
      !q->xadd) {
    queue_destroy(q);
    return NULL;
  }
  if (!queue_names_room(s)) {
    queue_destroy(q);
    return NULL;
  }
  q->xadd_len = strlen(q->xadd);
  q->next = s->objects.queues;
  q->prev = &s->objects.queues;
  if (q->next) q->next->prev = &q->next;
  s->objects.queues = q;
  q->attach_due = objects_attaches(s);
  queue_names_add(q);
  if (s->state == STORE_READY) {
    groups_make(q, false);
    struct query *query = queues_note(s);
    cmd_text(&s->out, q->name);
    query_send(query, SCRIPT_WRITE);
  }
  return q;
}

void store_queue_update(struct store_queue *q, const struct queue_settings *set) {
  q->set = set;
  groups_forget(q);
  q->attach_due = objects_attaches(q->store);
  if (q->store->state == STORE_READY) groups_make(q, false);
  move_marks(q);
}

void store_queue_free(struct store_queue *q) {
  if (!q) return;
  *q->prev = q->next;
  if (q->next) q->next->prev = q->prev;
  queue_names_remove(q);
  wakeup_forget(q);
  count_forget(q);
  unconfigured_wanted(q->store);
  q->freed = true;
  q->set = NULL;
  queue_unref(q);
}

/* --- topics --- */

static void topic_destroy(struct store_topic *t) {
  struct store_queue *q = t->q;
  struct store_topic **p = &q->store->objects.lingering;
  while (*p && *p != t) p = &(*p)->next;
  if (*p) *p = t->next;
  settle_topic_done(t);
  if (t->held.n) q->store->objects.leaves_jobs = true;
  held_here_done(&t->held);
  free(t->name);
  free(t->subject);
  free(t->retry);
  free(t->records);
  free(t->bodies);
  free(t->dead);
  free(t->claims);
  free(t->errors);
  free(t->mark);
  free(t);
  queue_unref(q);
}

void store_topic_times(struct store_topic *t, const struct topic_settings *set) {
  /* Only how far off its place in the retry set is: a claim ends with its outcome or its node.
   * Twice: a job may wait for a free worker first; and before that for its chunk to fill. */
  t->hold_ms = 2 * set->timeout_ms + set->chunk_wait_ms + t->q->store->st->lease_ms;
}

struct store_topic *store_topic_new(struct store_queue *q, const struct topic_settings *set) {
  struct store_topic *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->q = q;
  t->refs = 1;
  t->release = topic_destroy;
  q->refs++;
  t->from_beginning = set->start_from == 1;
  store_topic_times(t, set);
  settle_topic_init(t);
  t->name = strdup(set->name);
  t->subject = text_of("%s/%s", q->name, set->name);
  t->retry = text_of("pb:{%s}:r:%s", q->name, set->name);
  t->records = text_of("pb:{%s}:h:%s", q->name, set->name);
  t->bodies = text_of("pb:{%s}:b:%s", q->name, set->name);
  t->dead = text_of("pb:{%s}:x:%s", q->name, set->name);
  t->claims = text_of("pb:{%s}:c:%s", q->name, set->name);
  t->errors = text_of("pb:{%s}:e:%s", q->name, set->name);
  t->mark = text_of("pb:{%s}:m:%s", q->name, set->name);
  if (!t->name || !t->subject || !t->retry || !t->records || !t->bodies || !t->dead || !t->claims ||
      !t->errors || !t->mark) {
    topic_destroy(t);
    return NULL;
  }
  t->next = q->topics;
  q->topics = t;
  return t;
}

void store_topic_free(struct store_topic *t) {
  if (!t) return;
  struct store_topic **p = &t->q->topics;
  while (*p && *p != t) p = &(*p)->next;
  if (*p) *p = t->next;
  t->freed = true;
  unconfigured_wanted(t->q->store);
  if (t->settle.n) { /* unsettled outcomes hold a reference */
    t->next = t->q->store->objects.lingering;
    t->q->store->objects.lingering = t;
  }
  topic_unref(t);
}
