/* Owns the way of a job from the storage into this node's memory: new jobs, due retries, jobs that
 * a pull worker takes for good, and delayed jobs that enter the stream. */
#include "storage/redis/take.h"

#include "base/log.h"
#include "storage/redis/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTER_PAGE  100
#define ENTER_BYTES (1u << 20)
/* One command or script must not hold Redis up for long; who wants more asks again. */
#define TAKE_MAX  1000
#define DUE_MAX   200
#define DUE_BYTES (2u << 20)

/* job_decode() of a script's answer: "!" before the field says that the TTL is waived. */
static struct job *store_job_decode(const struct store *s, const struct redis_reply *field,
                                    char *blob, size_t blob_len) {
  bool waived = field->len && *field->str == '!';
  struct job *job = job_decode(field->str + waived, field->len - waived, blob, blob_len);
  if (job) job->expires_ms = waived ? 0 : clock_here(s, job->expires_ms);
  return job;
}

/* Adds one job to the list. An entry that cannot be decoded goes to the dead jobs with a message.
 * `entry` NULL: a claimed retry. A job that is in this node's memory already is left out. */
void take_job(struct store_topic *t, struct job_list *list, const char *entry,
              struct redis_reply *id, uint64_t failed, uint64_t crashes, struct redis_reply *field,
              struct redis_reply *body) {
  struct log *log = loop_log(t->q->store->loop);
  uint64_t ms = 0, seq = UINT64_MAX;
  size_t blob_len = body->len;
  char *blob;
  if (entry && !entry_parse(entry, &ms, &seq)) return;
  if (!entry) ms = redis_reply_u64(id);
  int rc = ms ? held_here_add(&t->held, ms, seq) : -EINVAL;
  if (rc == -EEXIST) return;
  blob = redis_reply_take_text(body);
  if (rc || !blob) { /* stays in the pending list, or comes back with its claim */
    free(blob);
    if (!rc) held_here_remove(&t->held, ms, seq);
    log_error(log, t->subject, "out of memory: a job was left for a later recovery");
    return;
  }
  struct job *job = store_job_decode(t->q->store, field, blob, blob_len);
  if (!job) {
    free(blob);
    /* A made-up id without the version bit, so that operators can name it. */
    settle_odd(t, entry ? ms : 0, entry ? seq : 0,
               entry ? (ms << 14 | (seq & 0x3fff)) & ~(UINT64_C(1) << 63) : ms,
               "its stored form is not one that this version knows");
    return;
  }
  job->source = entry ? JOB_FROM_STREAM : JOB_FROM_RETRY;
  job->entry_ms = entry ? ms : 0;
  job->entry_seq = entry ? seq : 0;
  job->failed = (uint32_t)failed;
  job->crashes = (uint32_t)crashes;
  job_list_push(list, job);
}

/* --- new ones --- */

static void on_regrouped(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  struct job_list none = {0};
  rc = groups_told(query, rc, r);
  query->fn.taken(query->arg, rc, &none, true, why);
}

static void on_taken(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_topic *t = query->t;
  struct job_list list = {0};
  size_t asked = query->n[0], got = 0;
  if (rc == STORE_ERROR && r && !strncmp(r->str, "NOGROUP", 7)) {
    query->answer = on_regrouped;
    groups_ask(query, NULL, false, true);
    return;
  }
  if (!rc && r->type == REPLY_ARRAY && r->elements && r->element[0]->elements == 2) {
    struct redis_reply *entries = r->element[0]->element[1];
    got = entries->elements;
    for (size_t i = 0; i < got; i++) {
      struct redis_reply *e = entries->element[i];
      if (e->elements != 2 || e->element[1]->elements < 2) continue;
      take_job(t, &list, e->element[0]->str, NULL, 0, 0, e->element[1]->element[0],
               e->element[1]->element[1]);
    }
  }
  query->fn.taken(query->arg, rc, &list, got == asked, why);
}

void store_take(struct store_topic *t, size_t count, store_taken_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_taken, arg);
  if (count > TAKE_MAX) count = TAKE_MAX;
  query->fn.taken = fn;
  query->n[0] = count;
  cmd_begin(out);
  cmd_text(out, "XREADGROUP");
  cmd_text(out, "GROUP");
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_text(out, "COUNT");
  cmd_u64(out, count);
  cmd_text(out, "STREAMS");
  cmd_text(out, t->q->stream);
  cmd_text(out, ">");
  query_send(query, SCRIPT_NONE);
}

/* --- due retries --- */

static void on_due(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct job_list list = {0};
  uint64_t next = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements >= 2) {
    next = clock_here(query->store, redis_reply_u64(r->element[0]));
    if (r->element[1]->integer)
      log_error(loop_log(query->store->loop), query->t->subject,
                "%lld waiting retries had no record in the storage; removed",
                r->element[1]->integer);
    for (size_t i = 2; i + 5 <= r->elements; i += 5)
      take_job(query->t, &list, NULL, r->element[i], redis_reply_u64(r->element[i + 1]),
               redis_reply_u64(r->element[i + 2]), r->element[i + 3], r->element[i + 4]);
  }
  query->fn.due(query->arg, rc, &list, next, why);
}

void store_take_due(struct store_topic *t, size_t count, size_t bytes, store_due_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_due, arg);
  uint64_t now = clock_now(s);
  query->fn.due = fn;
  query_script(s, SCRIPT_TAKE_DUE, 4);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, s->server->node);
  cmd_u64(out, now);
  cmd_u64(out, now + t->hold_ms);
  cmd_u64(out, count < DUE_MAX ? count : DUE_MAX);
  cmd_u64(out, bytes < DUE_BYTES ? bytes : DUE_BYTES);
  query_send(query, SCRIPT_TAKE_DUE);
}

/* --- for good --- */

static void on_pop_regrouped(struct query *query, enum store_rc rc, struct redis_reply *r,
                             const char *why) {
  rc = groups_told(query, rc, r);
  query->fn.popped(query->arg, rc, NULL, why);
}

static void on_popped(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct job *job = NULL;
  if (rc == STORE_ERROR && r && strstr(r->str, "NOGROUP")) {
    query->answer = on_pop_regrouped;
    groups_ask(query, NULL, false, true);
    return;
  }
  if (!rc && r->type == REPLY_ARRAY && r->elements == 6)
    groups_untidy(query->q, r->element[5]->str);
  if (!rc && r->type == REPLY_ARRAY && r->elements >= 5) {
    struct redis_reply *field = r->element[3], *body = r->element[4];
    size_t len = body->len;
    char *blob = redis_reply_take_text(body);
    job = blob ? store_job_decode(query->store, field, blob, len) : NULL;
    if (!job) {
      free(blob);
      rc = STORE_ERROR;
      why = "the job's stored form is not one that this version knows";
      log_error(loop_log(query->store->loop), query->t->subject, "a pull worker's job was lost: %s",
                why);
    } else {
      job->source = JOB_FROM_TEST; /* the storage has nothing of it any more */
      job->failed = (uint32_t)redis_reply_u64(r->element[1]);
      job->crashes = (uint32_t)redis_reply_u64(r->element[2]);
    }
  }
  query->fn.popped(query->arg, rc, job, why);
}

void store_pop(struct store_topic *t, store_popped_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_popped, arg);
  query->fn.popped = fn;
  query_script(s, SCRIPT_POP, 5);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_u64(out, clock_now(s));
  cmd_text(out, t->q->retain ? "1" : "0");
  groups_put(t->q);
  query_send(query, SCRIPT_POP);
}

/* --- delayed --- */

static void on_moved(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  uint64_t moved = 0, next = 0;
  (void)why;
  if (!rc && r->type == REPLY_ARRAY && r->elements == 3) {
    if (r->element[2]->integer)
      log_error(loop_log(query->store->loop), query->q->name,
                "%lld delayed jobs had no bytes in the storage; removed", r->element[2]->integer);
    moved = redis_reply_u64(r->element[0]);
    next = clock_here(query->store, redis_reply_u64(r->element[1]));
    if (moved && !query->q->freed) wakeup_peers(query->q, true);
  }
  query->fn.moved(query->arg, rc, moved, next);
}

void store_move_due(struct store_queue *q, store_moved_fn fn, void *arg) {
  struct store *s = q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, q, NULL, on_moved, arg);
  query->fn.moved = fn;
  query_script(s, SCRIPT_DELAYED_ENTER, 3);
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  cmd_u64(out, clock_now(s));
  cmd_u64(out, ENTER_PAGE);
  cmd_u64(out, ENTER_BYTES);
  query_send(query, SCRIPT_DELAYED_ENTER);
}
