/* Owns outcomes from store_settle() until they are durable. For each topic one batch is on the way
 * at a time. Outcomes that come meanwhile are the next batch. A batch whose answer was lost is sent
 * again: its scripts check whether this node still owns the jobs. */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE_BATCH     1000 /* Lua's unpack() takes some thousands */
#define OTHER_BATCH    200
#define OTHER_BYTES    (2u << 20) /* of jobs that move to another place; none after so many */
#define DONE_GROUPS    10000 /* jobs of a batch, times groups of the queue that are looked at */
#define SETTLE_WAIT_MS 5     /* outcomes wait this long for others to go with them ... */
#define SETTLE_MANY    256   /* ... unless there are so many of a topic */
/* Deleting an entry by id is slow. So settled entries behind an unsettled one stay in the stream,
 * up to this many jobs and, for large jobs, this many bytes. They are trimmed together later. */
#define SPARE_JOBS  1000
#define SPARE_BYTES (1u << 20)
#define MESSAGE_MAX 2000
/* Outcomes that wait here, with their messages: from so many bytes on no further jobs are taken. */
#define BEHIND_TOPIC (8u << 20)
#define BEHIND_STORE (32u << 20)
#define RESEND_MS    1000

struct store_out {
  struct store_out *next;
  struct job *job; /* NULL: a stored form that could not be decoded */
  bool retried;    /* its record is in the retry set, not in the stream */
  char kind;       /* as the script names them: d r x l */
  uint64_t entry_ms, entry_seq, id, due_ms;
  uint32_t failed, crashes;
  int code;
  size_t message_len;
  char message[];
};

static void out_push(struct out_list *l, struct store_out *o) {
  if (!l->head) l->tail = &l->head;
  o->next = NULL;
  *l->tail = o;
  l->tail = &o->next;
  l->n++;
}

static struct store_out *out_pop(struct out_list *l) {
  struct store_out *o = l->head;
  if (!o) return NULL;
  l->head = o->next;
  l->n--;
  return o;
}

static void out_free(struct store_topic *t, struct store_out *o) {
  if (o->retried)
    held_here_remove(&t->held, o->id, UINT64_MAX);
  else
    held_here_remove(&t->held, o->entry_ms, o->entry_seq);
  job_free(o->job);
  free(o);
}

static void job_forget(struct store_topic *t, struct job *job) {
  held_here_remove(&t->held, job->entry_ms, job->entry_seq);
  job_free(job);
}

static size_t out_bytes(const struct store_out *o) {
  return sizeof *o + o->message_len + (o->job ? sizeof *o->job : 0);
}

/* The first unsettled outcome keeps the topic alive, the last lets it go. */
static void unsettled_add(struct store_topic *t, size_t bytes) {
  if (!t->settle.n) t->refs++;
  t->settle.n++;
  t->q->store->settling.n++;
  t->settle.bytes += bytes;
  t->q->store->settling.bytes += bytes;
}

static void unsettled_sub(struct store_topic *t, size_t n, size_t bytes) {
  struct store *s = t->q->store;
  if (!n) return;
  s->settling.n -= n;
  t->settle.n -= n;
  s->settling.bytes -= bytes;
  t->settle.bytes -= bytes;
  if (t->settle.n) return;
  topic_unref(t);
  flush_check(s);
}

size_t store_unsettled(const struct store_topic *t) {
  return t->settle.n;
}

bool store_is_behind(const struct store_topic *t) {
  return t->settle.bytes >= BEHIND_TOPIC || t->q->store->settling.bytes >= BEHIND_STORE;
}

/* --- sending --- */

static void settle_send(struct store_topic *t);

static void settle_turn(void *arg) {
  struct store *s = arg;
  while (s->settling.dirty) {
    struct store_topic *t = s->settling.dirty;
    s->settling.dirty = t->settle.dirty_next;
    t->settle.dirty = false;
    settle_send(t);
  }
}

/* Outcomes wait a moment so that several go together. No client waits for them, and a script call
 * for one job costs the storage as much as one for ten. */
static void settle_mark(struct store_topic *t) {
  struct store *s = t->q->store;
  if (t->settle.done.n + t->settle.others.n >= SETTLE_MANY)
    loop_defer(s->loop, &s->settling.later, settle_turn, s);
  if (t->settle.dirty) return;
  t->settle.dirty = true;
  t->settle.dirty_next = s->settling.dirty;
  s->settling.dirty = t;
  if (!timer_pending(&s->settling.timer)) timer_start(&s->settling.timer, SETTLE_WAIT_MS);
}

void settle_start(struct store *s) {
  timer_init(&s->settling.timer, s->loop, settle_turn, s);
}

void settle_stop(struct store *s) {
  deferred_cancel(s->loop, &s->settling.later);
  timer_done(&s->settling.timer);
}

static void settle_again(void *arg) {
  settle_mark(arg);
}

/* A command of the batch was answered. */
static void settle_answered(struct query *query, enum store_rc rc, const char *why) {
  struct store_topic *t = query->t;
  struct store *s = query->store;
  t->settle.answers--;
  if (rc && !s->freeing) {
    if (rc == STORE_ERROR)
      store_log_refusal(s, t->subject,
                        "outcomes could not be stored; they are kept, and tried again every second",
                        why);
    if (!timer_pending(&t->settle.resend))
      timer_start(&t->settle.resend, loop_jitter(s->loop, RESEND_MS));
  }
  if (!t->settle.answers && !t->settle.done_sent.n && !t->settle.others_sent.n &&
      (t->settle.done.n || t->settle.others.n))
    settle_mark(t);
}

/* Counts outcomes that were refused because another node had taken the jobs over. If the batch was
 * sent before, a refused outcome was probably stored the first time, unless this node was declared
 * dead in between. */
static void settle_late(struct store_topic *t, size_t n) {
  struct store *s = t->q->store;
  if (!n || (t->settle.again && t->settle.deaths == s->member.deaths)) return;
  s->settling.late += n;
  log_warning(loop_log(s->loop), t->subject,
              "%zu outcome%s came too late and %s refused: another node has taken the job%s over",
              n, n == 1 ? "" : "s", n == 1 ? "was" : "were", n == 1 ? "" : "s");
}

static void on_done(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_topic *t = query->t;
  size_t n = t->settle.done_sent.n;
  struct redis_reply *acked = r;
  if (!rc && r->type == REPLY_ARRAY && r->elements == 2) {
    groups_untidy(t->q, r->element[1]->str);
    acked = r->element[0];
  }
  if (!rc && acked->type == REPLY_INTEGER && acked->integer >= 0 && (size_t)acked->integer < n)
    settle_late(t, n - (size_t)acked->integer);
  if (!rc)
    for (struct job *job; (job = job_list_pop(&t->settle.done_sent));) job_forget(t, job);
  settle_answered(query, rc, why);
  if (!rc) unsettled_sub(t, n, n * sizeof(struct job));
}

static void on_others(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_topic *t = query->t;
  size_t n = t->settle.others_sent.n, bytes = 0;
  struct store *s = query->store;
  uint64_t due = UINT64_MAX;
  if (!rc && r->type == REPLY_ARRAY && r->elements >= 2)
    settle_late(t, (size_t)redis_reply_u64(r->element[1]));
  if (!rc && r->type == REPLY_ARRAY && r->elements == 3) groups_untidy(t->q, r->element[2]->str);
  if (!rc)
    for (struct store_out *o; (o = out_pop(&t->settle.others_sent)); out_free(t, o)) {
      bytes += out_bytes(o);
      if ((o->kind == 'r' || o->kind == 'l') && o->due_ms < due) due = o->due_ms;
    }
  if (due != UINT64_MAX && !s->freeing) wakeup_due(t, due);
  settle_answered(query, rc, why);
  if (!rc) unsettled_sub(t, n, bytes);
}

/* How many settled entries the stream may keep. None where its bytes are limited: they count. */
static size_t spare(const struct store_topic *t) {
  size_t longest = 1, n;
  if (t->q->set && t->q->set->max_bytes) return 0;
  for (const struct job *job = t->settle.done_sent.head; job; job = job->next)
    if (job->blob_len > longest) longest = job->blob_len;
  n = SPARE_BYTES / longest;
  return n < SPARE_JOBS ? n : SPARE_JOBS;
}

static void send_done(struct store_topic *t) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_done, NULL);
  if (t->q->retain) {
    cmd_begin(&s->out);
    cmd_text(&s->out, "XACK");
  } else {
    query_script(s, SCRIPT_SETTLE_DONE, 1);
  }
  cmd_text(&s->out, t->q->stream);
  if (!t->q->retain) {
    cmd_u64(&s->out, spare(t));
    groups_put(t->q);
  }
  cmd_text(&s->out, t->name);
  for (const struct job *job = t->settle.done_sent.head; job; job = job->next)
    cmd_entry(&s->out, job->entry_ms, job->entry_seq);
  query->own = true;
  t->settle.answers++;
  query_send(query, t->q->retain ? SCRIPT_NONE : SCRIPT_SETTLE_DONE);
}

static void send_others(struct store_topic *t) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_others, NULL);
  query_script(s, SCRIPT_SETTLE_OTHERS, 8);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->dead);
  cmd_text(out, t->claims);
  cmd_text(out, t->errors);
  cmd_text(out, t->mark);
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_text(out, t->q->retain ? "1" : "0");
  groups_put(t->q);
  for (const struct store_out *o = t->settle.others_sent.head; o; o = o->next) {
    char code[16];
    snprintf(code, sizeof code, "%d", o->code);
    cmd_bytes(out, &o->kind, 1);
    if (o->retried)
      cmd_text(out, "");
    else
      cmd_entry(out, o->entry_ms, o->entry_seq);
    cmd_u64(out, o->id);
    cmd_u64(out, clock_there(s, o->due_ms));
    cmd_u64(out, o->failed);
    cmd_u64(out, o->crashes);
    cmd_text(out, code);
    cmd_bytes(out, o->message, o->message_len);
  }
  query->own = true;
  t->settle.answers++;
  query_send(query, SCRIPT_SETTLE_OTHERS);
}

/* Where settled entries are deleted by id, each group of the queue is asked about each of them. */
static size_t done_batch(const struct store_queue *q) {
  size_t groups = q->set && q->set->n_topics ? q->set->n_topics : 1, n = DONE_GROUPS / groups;
  return n > DONE_BATCH ? DONE_BATCH : n < 50 ? 50 : n;
}

static void settle_send(struct store_topic *t) {
  struct store *s = t->q->store;
  if (t->settle.answers) return; /* the answer comes back here */
  if (s->state != STORE_READY) {
    if (!timer_pending(&t->settle.resend))
      timer_start(&t->settle.resend, loop_jitter(s->loop, RESEND_MS));
    return;
  }
  timer_stop(&t->settle.resend);
  t->settle.again = t->settle.done_sent.n || t->settle.others_sent.n;
  if (!t->settle.again) {
    t->settle.deaths = s->member.deaths;
    size_t bytes = 0, most = done_batch(t->q);
    while (t->settle.done.n && t->settle.done_sent.n < most)
      job_list_push(&t->settle.done_sent, job_list_pop(&t->settle.done));
    while (t->settle.others.n && t->settle.others_sent.n < OTHER_BATCH && bytes < OTHER_BYTES) {
      struct store_out *o = out_pop(&t->settle.others);
      if (o->job) bytes += o->job->blob_len;
      out_push(&t->settle.others_sent, o);
    }
  }
  if (t->settle.done_sent.n) send_done(t);
  if (t->settle.others_sent.n) send_others(t);
}

void settle_all(struct store *s) {
  for (struct store_queue *q = s->objects.queues; q; q = q->next)
    for (struct store_topic *t = q->topics; t; t = t->next)
      if (t->settle.n) settle_mark(t);
  for (struct store_topic *t = s->objects.lingering; t; t = t->next) settle_mark(t);
}

/* --- the contract --- */

static size_t settle_other(struct store_topic *t, struct job *job, char kind,
                           const struct store_outcome *o) {
  size_t len = o->message ? o->message_len : 0;
  size_t room = len < MESSAGE_MAX ? len : MESSAGE_MAX;
  struct store_out *out = calloc(1, sizeof *out + room + 1);
  if (!out) out_of_memory(); /* an outcome must not be forgotten */
  out->job = job;
  out->kind = kind;
  out->retried = job->source == JOB_FROM_RETRY;
  out->entry_ms = job->entry_ms;
  out->entry_seq = job->entry_seq;
  out->id = job->id;
  out->due_ms = o->due_ms ? o->due_ms : loop_wall_ms(t->q->store->loop);
  out->failed = job->failed;
  out->crashes = job->crashes;
  out->code = o->code;
  out->message_len = pb_excerpt(out->message, room + 1, o->message, len);
  out_push(&t->settle.others, out);
  return out_bytes(out);
}

void store_settle(struct store_topic *t, struct job *job, const struct store_outcome *o) {
  static const char kinds[] = {
      [STORE_DONE] = 'd', [STORE_RETRY] = 'r', [STORE_DEAD] = 'x', [STORE_RELEASE] = 'l'};
  job_set_state(job, JOB_SETTLING);
  if (job->source == JOB_FROM_TEST) {
    job_free(job);
    return;
  }
  /* Its content moves within the storage: here only its length is still of use. */
  free(job->blob);
  job->blob = NULL;
  job->content = NULL;
  size_t bytes = sizeof *job;
  if (o->verdict == STORE_DONE && job->source == JOB_FROM_STREAM)
    job_list_push(&t->settle.done, job);
  else
    bytes = settle_other(t, job, kinds[o->verdict], o);
  unsettled_add(t, bytes);
  settle_mark(t);
}

/* What cannot be run goes to the dead jobs, with its bytes as they are. ms 0: it is a claimed
 * retry. */
void settle_odd(struct store_topic *t, uint64_t ms, uint64_t seq, uint64_t id,
                const char *message) {
  size_t len = strlen(message);
  struct store_out *out = calloc(1, sizeof *out + len);
  if (!out) out_of_memory();
  log_error(loop_log(t->q->store->loop), t->subject, "job %llu goes to the dead jobs: %s",
            (unsigned long long)id, message);
  out->kind = 'x';
  out->retried = !ms;
  out->entry_ms = ms;
  out->entry_seq = seq;
  out->id = id;
  out->code = 500;
  out->message_len = len;
  memcpy(out->message, message, len);
  unsettled_add(t, out_bytes(out));
  out_push(&t->settle.others, out);
  settle_mark(t);
}

void settle_topic_init(struct store_topic *t) {
  timer_init(&t->settle.resend, t->q->store->loop, settle_again, t);
}

void settle_topic_done(struct store_topic *t) {
  timer_done(&t->settle.resend);
  for (struct job *job;
       (job = job_list_pop(&t->settle.done)) || (job = job_list_pop(&t->settle.done_sent));)
    job_free(job);
  for (struct store_out *o;
       (o = out_pop(&t->settle.others)) || (o = out_pop(&t->settle.others_sent));) {
    job_free(o->job);
    free(o);
  }
  if (!t->settle.dirty) return;
  t->settle.dirty = false;
  struct store_topic **p = &t->q->store->settling.dirty;
  while (*p && *p != t) p = &(*p)->settle.dirty_next;
  if (*p) *p = t->settle.dirty_next;
}

void settle_abandon(struct store_topic *t) {
  settle_topic_done(t);
  unsettled_sub(t, t->settle.n, t->settle.bytes);
}
