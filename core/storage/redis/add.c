/* Adds jobs. The plain way is one XADD. Its prefix is made once, and it allocates no memory. A job
 * with a limit, a token or a delay is added by the script. Jobs that wait for replicas go to
 * add_replicated.c. */
#include "storage/redis/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 1024 /* a command up to this long is put together before it is handed on */

static void on_added(struct link_callback *callback, struct redis_reply *r) {
  struct add_call *c = CONTAINER_OF(callback, struct add_call, callback);
  const char *why = "";
  enum store_rc rc = r && r->type == REPLY_STRING ? STORE_OK : query_rc(c->q->store, r, &why);
  if (!rc && c->q->groups.failed) rc = add_ungrouped(c->q, &why);
  if (rc == STORE_ERROR) add_too_large(c->q->store, r, c->len);
  add_answer(c, rc, why);
}

static void add_plain(struct store_queue *q, const struct store_add *a, store_added_fn fn,
                      void *arg) {
  struct store *s = q->store;
  struct add_call *c = add_new(q, fn, arg, a->head.id);
  unsigned char head[JOB_HEAD_MAX];
  char small[SMALL];
  size_t head_len = add_head(s, a, head);
  char *p = small;
  c->callback.fn = on_added;
  c->len = head_len + a->content_len;
  int rc = -ENOTCONN;
  /* Prefix and content have their lengths checked; the rest is at most 32 bytes. */
  if (q->xadd_len + head_len + 32 > sizeof small) abort(); /* names have at most 128 bytes */
  memcpy(p, q->xadd, q->xadd_len);
  p += q->xadd_len;
  p += id_format(head_len + a->content_len, p);
  *p++ = '\r';
  *p++ = '\n';
  memcpy(p, head, head_len);
  p += head_len;
  size_t n = (size_t)(p - small);
  if (n + a->content_len + 2 <= sizeof small) {
    if (a->content_len) memcpy(p, a->content, a->content_len);
    p += a->content_len;
    *p++ = '\r';
    *p++ = '\n';
    struct redis_piece piece = {small, (size_t)(p - small)};
    if (s->state == STORE_READY) rc = link_send(s->link, &piece, 1, &c->callback);
  } else {
    struct redis_piece piece[] = {{small, n}, {a->content, a->content_len}, {"\r\n", 2}};
    if (s->state == STORE_READY) rc = link_send(s->link, piece, 3, &c->callback);
  }
  if (rc) add_refuse(c, rc == -EAGAIN ? ADD_TOO_MANY : ADD_NO_CONNECTION);
}

static void on_script_added(struct query *query, enum store_rc rc, struct redis_reply *r,
                            const char *why) {
  uint64_t id = query->n[0];
  if (!rc && (r->type != REPLY_ARRAY || r->elements < 2)) {
    rc = STORE_ERROR;
    why = "the storage gave an unexpected answer";
  } else if (!rc) {
    switch (r->element[0]->integer) {
    case 0:
      if (r->elements > 2) add_token_lost(query->q, r->element[2]->str);
      break;
    case 1:
      id = redis_reply_u64(r->element[1]);
      break;
    case 2:
      rc = STORE_FULL;
      why = "the queue is full: max_length is reached";
      break;
    default:
      rc = STORE_FULL;
      why = "the queue is full: max_bytes is reached";
    }
  }
  if (!rc && query->q->groups.failed) rc = add_ungrouped(query->q, &why);
  if (rc == STORE_ERROR) add_too_large(query->store, r, query->n[1]);
  query->fn.added(query->arg, rc, id, why);
}

/* --- several at a time --- */

static void on_many_added(struct query *query, enum store_rc rc, struct redis_reply *r,
                          const char *why) {
  uint64_t stored = rc ? 0 : query->n[0];
  if (!rc && (r->type != REPLY_ARRAY || r->elements < 2)) {
    rc = STORE_ERROR;
    stored = 0;
    why = "the storage gave an unexpected answer";
  } else if (!rc && r->element[0]->integer) {
    bool some = r->element[0]->integer == 4;
    rc = some ? STORE_ERROR : STORE_FULL;
    stored = some ? redis_reply_u64(r->element[1]) : 0;
    why = r->element[0]->integer == 2 ? "the queue is full: max_length is reached"
          : some && r->elements > 2   ? r->element[2]->str
                                      : "the queue is full: max_bytes is reached";
  }
  if (!rc && query->q->groups.failed) rc = add_ungrouped(query->q, &why);
  query->fn.added(query->arg, rc, stored, why);
}

void store_add_many(struct store_queue *q, const struct store_add *a, const struct store_job *jobs,
                    size_t n, size_t more, uint64_t more_bytes, store_added_fn fn, void *arg) {
  struct store *s = q->store;
  struct cmd *out = &s->out;
  struct store_add one = *a;
  struct query *query = query_new(s, q, NULL, on_many_added, arg);
  query->fn.added = fn;
  query->n[0] = n;
  query_script(s, SCRIPT_ADD, 3);
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  add_put_limits(q, a, 0, more, more_bytes);
  for (size_t i = 0; i < n; i++) {
    one.head.id = jobs[i].id;
    one.content = jobs[i].content;
    one.content_len = jobs[i].len;
    add_put_value(s, &one);
    cmd_u64(out, one.head.id);
  }
  query_send(query, SCRIPT_ADD);
  wakeup_peers(q, true);
}

const char *store_admits(const struct store *s, size_t n, size_t bytes) {
  if (s->state != STORE_READY || !s->link) return *s->why ? s->why : NO_CONNECTION;
  if ((s->st->max_inflight && s->adds.n >= (uint64_t)s->st->max_inflight) ||
      !link_has_room(s->link, bytes + n * (JOB_HEAD_MAX + 256)))
    return TOO_MANY;
  return NULL;
}

void store_add(struct store_queue *q, const struct store_add *a, store_added_fn fn, void *arg) {
  struct store *s = q->store;
  bool token = a->token && a->token_len;
  /* Only intake is held back: commands that settle jobs or keep them alive always get through. */
  if (!a->admitted && s->st->max_inflight && s->adds.n >= (uint64_t)s->st->max_inflight) {
    add_refuse(add_new(q, fn, arg, a->head.id), ADD_TOO_MANY);
    return;
  }
  if (a->replicate) {
    add_replicated_begin(q, a, fn, arg);
  } else if (!token && !a->delay_ms && a->max_length <= 0 && !a->max_bytes) {
    add_plain(q, a, fn, arg);
  } else {
    struct query *query = query_new(s, q, NULL, on_script_added, arg);
    query->fn.added = fn;
    query->n[0] = a->head.id;
    query->n[1] = a->content_len;
    add_put_script(q, a);
    query_send(query, SCRIPT_ADD);
  }
  wakeup_peers(q, !a->delay_ms);
}
