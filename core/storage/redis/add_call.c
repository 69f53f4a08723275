/* Owns a call of store_add() from its beginning to its answer, and the command of calls that need
 * the script: a limit, a token, a delay, replicas. */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDS_KEPT 4096

void add_init(struct store *s) {
  s->adds.failed_end = &s->adds.failed;
}

void add_counts(struct store *s) {
  s->adds.n++;
}

void add_counts_not(struct store *s) {
  s->adds.n--;
}

struct add_call *add_new(struct store_queue *q, store_added_fn fn, void *arg, uint64_t id) {
  struct store *s = q->store;
  struct add_call *c = s->adds.pool;
  if (c) {
    s->adds.pool = c->next;
    s->adds.pool_n--;
  } else if (!(c = malloc(sizeof *c))) {
    out_of_memory();
  }
  c->q = q;
  c->fn = fn;
  c->arg = arg;
  c->id = id;
  c->len = 0;
  q->refs++;
  s->adds.n++;
  return c;
}

void add_answer(struct add_call *c, enum store_rc rc, const char *why) {
  struct store_queue *q = c->q;
  struct store *s = q->store;
  store_added_fn fn = c->fn;
  void *arg = c->arg;
  uint64_t id = c->id;
  if (s->adds.pool_n < ADDS_KEPT) {
    c->next = s->adds.pool;
    s->adds.pool = c;
    s->adds.pool_n++;
  } else {
    free(c); /* between the contents of a storm's jobs they would keep its memory */
  }
  s->adds.n--;
  fn(arg, rc, id, why);
  queue_unref(q);
  if (!s->adds.n) flush_check(s);
}

enum store_rc add_ungrouped(struct store_queue *q, const char **why) {
  struct store *s = q->store;
  snprintf(
      s->adds.words, sizeof s->adds.words,
      "the job is stored, but not for all topics of the queue, whose groups cannot be made: %s",
      q->groups.why);
  *why = s->adds.words;
  return STORE_ERROR;
}

void add_too_large(struct store *s, const struct redis_reply *r, size_t len) {
  if (r && r->type == REPLY_ERROR && strstr(r->str, "invalid bulk length")) refusals_size(s, len);
}

static void answer_turn(void *arg) {
  add_answer_failed(arg);
}

void add_refuse(struct add_call *c, enum add_refusal refusal) {
  struct store *s = c->q->store;
  c->refusal = refusal;
  c->next = NULL;
  *s->adds.failed_end = c;
  s->adds.failed_end = &c->next;
  loop_defer(s->loop, &s->adds.later, answer_turn, s);
}

void add_answer_failed(struct store *s) {
  while (s->adds.failed) {
    struct add_call *c = s->adds.failed;
    s->adds.failed = c->next;
    if (!s->adds.failed) s->adds.failed_end = &s->adds.failed;
    const char *why = c->refusal == ADD_TOO_MANY ? TOO_MANY
                      : c->refusal == ADD_NO_REPLICAS
                          ? "no connection for jobs that wait for replicas; try again"
                      : c->refusal == ADD_NO_LINK
                          ? "max_connections = 2 of the storage leaves no connection for jobs that "
                            "wait for replicas; 3 would"
                      : *s->why ? s->why
                                : NO_CONNECTION;
    add_answer(c, STORE_UNAVAILABLE, why);
  }
}

void add_done(struct store *s) {
  deferred_cancel(s->loop, &s->adds.later);
  while (s->adds.pool) {
    struct add_call *c = s->adds.pool;
    s->adds.pool = c->next;
    free(c);
  }
}

/* An expiry is kept by the server's clock, for other nodes will compare it. */
size_t add_head(const struct store *s, const struct store_add *a, unsigned char ret[JOB_HEAD_MAX]) {
  if (!a->head.expires_ms) return job_encode_head(&a->head, ret);
  struct job_head head = a->head;
  head.expires_ms = clock_there(s, head.expires_ms);
  return job_encode_head(&head, ret);
}

void add_token_lost(struct store_queue *q, const char *why) {
  if (!q->warned_token)
    log_error(loop_log(q->store->loop), q->name,
              "the storage stores jobs but not their tokens (ADDJOB ... ID): %.300s; a job that is "
              "added again is stored twice",
              why);
  q->warned_token = true;
}

/* The value of the job in the buffer of the command. */
void add_put_value(struct store *s, const struct store_add *a) {
  struct cmd *out = &s->out;
  unsigned char head[JOB_HEAD_MAX];
  size_t head_len = add_head(s, a, head);
  char *value = malloc(head_len + a->content_len + 1);
  if (!value) out_of_memory();
  memcpy(value, head, head_len);
  if (a->content_len) memcpy(value + head_len, a->content, a->content_len);
  cmd_bytes(out, value, head_len + a->content_len);
  free(value);
}

void add_put_limits(struct store_queue *q, const struct store_add *a, uint64_t due, size_t more,
                    uint64_t more_bytes) {
  struct cmd *out = &q->store->out;
  cmd_text(out, q->field);
  cmd_u64(out, due);
  cmd_u64(out, a->max_length > 0 ? (uint64_t)a->max_length : 0);
  cmd_u64(out, a->max_bytes);
  cmd_u64(out, more);
  cmd_u64(out, more_bytes);
  cmd_u64(out, a->token_ms ? a->token_ms : STORE_TOKEN_MS);
}

void add_put_script(struct store_queue *q, const struct store_add *a) {
  struct store *s = q->store;
  struct cmd *out = &s->out;
  uint64_t due = a->delay_ms ? clock_now(s) + a->delay_ms : 0;
  bool token = a->token && a->token_len;
  query_script(s, SCRIPT_ADD, token ? 4 : 3);
  if (a->replicate) { /* this link does not load the script again when it is missing */
    cmd_begin(out);
    cmd_text(out, "EVAL");
    cmd_text(out, store_script_text(SCRIPT_ADD));
    cmd_u64(out, token ? 4 : 3);
  }
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  if (token) {
    size_t n = strlen(q->name) + a->token_len + 16;
    char *key = malloc(n);
    if (!key) out_of_memory();
    char *p = stpcpy(stpcpy(stpcpy(key, "pb:{"), q->name), "}:t:");
    memcpy(p, a->token, a->token_len);
    cmd_bytes(out, key, (size_t)(p - key) + a->token_len);
    free(key);
  }
  add_put_limits(q, a, due, 0, 0);
  add_put_value(s, a);
  cmd_u64(out, a->head.id);
}
