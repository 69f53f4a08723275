/* Owns failed jobs that are put into a topic: edited copies, and jobs from elsewhere. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"
#include "storage/redis/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_JOBS  50         /* of one script: less than a millisecond ... */
#define IMPORT_BYTES (1u << 20) /* ... but for large contents */

static void topic_keys(struct cmd *out, const struct store_topic *t) {
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
}

/* Another node may be the one that runs them. */
static void tell(struct store_queue *q) {
  if (q->freed) return;
  wakeup_peer_likely(q->store);
  wakeup_peers(q, true);
  q->store->ev.wake(q->store->ev.arg, q->store, q->name);
}

/* The stored form as one argument. */
static void put_body(struct cmd *out, const struct job_head *head, const void *content,
                     size_t len) {
  unsigned char *body = malloc(JOB_HEAD_MAX + len);
  if (!body) out_of_memory();
  size_t n = job_encode_head(head, body);
  if (len) memcpy(body + n, content, len);
  cmd_bytes(out, body, n + len);
  free(body);
}

/* --- an edited copy --- */

struct edit {
  enum store_set set;
  uint64_t id, new_id;
  size_t len;
  char content[];
};

static void on_edited(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  uint64_t n = rc ? 0 : redis_reply_u64(r);
  if (n) tell(query->q);
  query->fn.done(query->arg, rc, n, why);
}

/* What the job was: of its head, its own wait before a retry stays. */
static void on_original(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why) {
  const struct edit *e = query->ptr;
  struct cmd *out = &query->store->out;
  struct job_head was, head = {.id = e->new_id, .trace = e->new_id, .origin = e->id};
  if (rc) {
    query->fn.done(query->arg, rc, 0, why);
    return;
  }
  const struct redis_reply *body =
      r->type == REPLY_ARRAY && r->elements == 1 + RECORD_ANSWER ? r->element[7] : NULL;
  if (body && body->str && job_decode_head(body->str, body->len, &was) && was.id == e->id) {
    head.own_retry = was.own_retry;
    head.retry_ms = was.retry_ms;
  }
  query->answer = on_edited;
  query_script(query->store, SCRIPT_FAILED_EDIT, 5);
  topic_keys(out, query->t);
  cmd_u64(out, e->set);
  cmd_u64(out, e->id);
  cmd_u64(out, e->new_id);
  put_body(out, &head, e->content, e->len);
  query_send_again(query, SCRIPT_FAILED_EDIT);
}

void store_replay_edited(struct store_topic *t, enum store_set set, uint64_t id, uint64_t new_id,
                         const void *content, size_t len, store_done_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_original, arg);
  struct edit *e = malloc(sizeof *e + len);
  if (!e) out_of_memory();
  *e = (struct edit){.set = set, .id = id, .new_id = new_id, .len = len};
  if (len) memcpy(e->content, content, len);
  query->ptr = e;
  query->fn.done = fn;
  query_script(s, SCRIPT_FAILED_SOME, 5);
  topic_keys(&s->out, t);
  cmd_u64(&s->out, JOB_HEAD_MAX);
  cmd_u64(&s->out, 1);
  cmd_u64(&s->out, id);
  query_send(query, SCRIPT_FAILED_SOME);
}

/* --- jobs from elsewhere --- */

/* The parts of one call, each a script. */
struct import {
  size_t parts; /* not answered yet */
  size_t imported, there;
  enum store_rc rc; /* the first that is not OK */
  char why[STORE_WORDS];
  store_imported_fn fn;
  void *arg;
};

static void part_answered(struct query *query, enum store_rc rc, struct redis_reply *r,
                          const char *why) {
  struct import *all = query->arg;
  if (rc && !all->rc) {
    all->rc = rc;
    snprintf(all->why, sizeof all->why, "%s", why);
  }
  if (!rc && r->type == REPLY_ARRAY && r->elements == 2) {
    all->imported += redis_reply_u64(r->element[0]);
    all->there += redis_reply_u64(r->element[1]);
  }
  if (--all->parts) return;
  if (all->imported) tell(query->q);
  all->fn(all->arg, all->rc, all->imported, all->there, all->why);
  free(all);
}

static void put_import(struct cmd *out, const struct store_import *job) {
  struct job_head head = {.id = job->id, .trace = job->id, .origin = job->origin};
  char code[16];
  snprintf(code, sizeof code, "%d", job->code);
  cmd_text(out, job->dead ? "x" : "r");
  cmd_u64(out, job->id);
  cmd_u64(out, job->due_ms);
  cmd_u64(out, job->failed);
  cmd_u64(out, job->crashes);
  cmd_u64(out, job->first_failed_ms ? job->first_failed_ms : job->failed_ms);
  cmd_u64(out, job->failed_ms);
  cmd_text(out, code);
  cmd_text(out, job->node ? job->node : "");
  cmd_bytes(out, job->message ? job->message : "", job->message ? job->message_len : 0);
  put_body(out, &head, job->content, job->content_len);
}

/* As many jobs as fit into one script; at least one. */
static size_t part_size(const struct store_import *jobs, size_t n) {
  size_t k = 0;
  for (size_t bytes = 0; k < n && k < IMPORT_JOBS && bytes < IMPORT_BYTES; k++)
    bytes += jobs[k].content_len;
  return k;
}

void store_import(struct store_topic *t, const struct store_import *jobs, size_t n,
                  store_imported_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct import *all = calloc(1, sizeof *all);
  if (!all) out_of_memory();
  all->fn = fn;
  all->arg = arg;
  do {
    size_t part = part_size(jobs, n);
    struct query *query = query_new(s, t->q, t, part_answered, all);
    all->parts++;
    query_script(s, SCRIPT_FAILED_IMPORT, 5);
    topic_keys(&s->out, t);
    cmd_text(&s->out, t->q->field);
    for (size_t i = 0; i < part; i++) put_import(&s->out, &jobs[i]);
    query_send(query, SCRIPT_FAILED_IMPORT);
    jobs += part;
    n -= part;
  } while (n);
}
