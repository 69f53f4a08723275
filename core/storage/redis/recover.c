/* Owns the recovery of the jobs that a node was running: a page of its pending entries, its claims,
 * the takeover. */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "storage/redis/take.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_PAGE 100
#define CLAIMS_PAGE  500

enum recover_more { RECOVER_LAST, RECOVER_MORE };

static const char *recover_whose(const struct query *query) {
  return query->ptr;
}

static bool recover_own(const struct query *query) {
  return !strcmp(recover_whose(query), query->store->server->node);
}

static void recover_fail(struct query *query, enum store_rc rc, const char *why) {
  struct job_list none = {0};
  query->fn.taken(query->arg, rc, &none, false, why);
}

static void on_claimed(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_topic *t = query->t;
  struct job_list list = {0};
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    if (r->element[0]->integer)
      log_warning(loop_log(query->store->loop), t->subject,
                  "%lld jobs that %s was running are gone from the stream; acknowledged, since "
                  "there is nothing to run",
                  r->element[0]->integer, recover_whose(query));
    for (size_t i = 1; i + 6 <= r->elements; i += 6) {
      struct redis_reply **e = r->element + i;
      take_job(t, &list, e[0]->len ? e[0]->str : NULL, e[1], redis_reply_u64(e[2]),
               redis_reply_u64(e[3]), e[4], e[5]);
    }
  }
  if (recover_own(query) && (rc || query->n[1] == RECOVER_LAST)) {
    t->recovery.ms = t->recovery.seq = 0;
    if (!rc) t->recovery.over = true;
  }
  query->fn.taken(query->arg, rc, &list, !rc && query->n[1] == RECOVER_MORE, why);
}

static void put_claim(struct query *query) {
  struct store_topic *t = query->t;
  struct store *s = query->store;
  struct cmd *out = &s->out;
  query_script(s, SCRIPT_RECOVER, 5);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_text(out, recover_whose(query));
  cmd_u64(out, clock_now(s) + t->hold_ms);
  cmd_text(out, recover_own(query) && t->recovery.over ? "1" : "0");
  cmd_u64(out, clock_now(s));
  cmd_text(out, t->q->retain ? "1" : "0");
  groups_put(t->q);
}

static void ask_claims(struct query *query, const char *cursor);

static void on_claims(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_topic *t = query->t;
  size_t n = 0;
  if (rc || r->type != REPLY_ARRAY || r->elements != 2) {
    recover_fail(query, rc ? rc : STORE_ERROR, why);
    return;
  }
  const char *cursor = r->element[0]->str;
  const struct redis_reply *page = r->element[1];
  put_claim(query);
  cmd_text(&query->store->out, "0");
  for (size_t i = 0; i + 1 < page->elements && n < query->n[0]; i += 2) {
    const struct redis_reply *id = page->element[i], *owner = page->element[i + 1];
    if (strcmp(owner->str, recover_whose(query)) ||
        held_here_has(&t->held, redis_reply_u64(id), UINT64_MAX))
      continue;
    cmd_bytes(&query->store->out, id->str, id->len);
    n++;
  }
  bool last = !strcmp(cursor, "0");
  if (!n && !last) {
    ask_claims(query, cursor);
    return;
  }
  query->n[1] = last && n < query->n[0] ? RECOVER_LAST : RECOVER_MORE;
  query->answer = on_claimed;
  query_send_again(query, SCRIPT_RECOVER);
}

/* Page by page: there may be many claims, and some belong to other nodes. A claim that was taken
 * over is in this node's hands. It is passed over when the next question starts from the beginning.
 */
static void ask_claims(struct query *query, const char *cursor) {
  query->answer = on_claims;
  cmd_begin(&query->store->out);
  cmd_text(&query->store->out, "HSCAN");
  cmd_text(&query->store->out, query->t->claims);
  cmd_text(&query->store->out, cursor);
  cmd_text(&query->store->out, "COUNT");
  cmd_u64(&query->store->out, CLAIMS_PAGE);
  query_send_again(query, SCRIPT_NONE);
}

static void on_pending(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_topic *t = query->t;
  struct cmd *out = &query->store->out;
  uint64_t ms, seq;
  size_t n = 0;
  if (rc == STORE_ERROR && r && !strncmp(r->str, "NOGROUP", 7)) {
    ask_claims(query, "0");
    return;
  }
  if (rc || r->type != REPLY_ARRAY) {
    recover_fail(query, rc ? rc : STORE_ERROR, why);
    return;
  }
  if (!r->elements) {
    ask_claims(query, "0");
    return;
  }
  for (size_t i = 0; i < r->elements && n < query->n[0]; i++) {
    const char *entry = r->element[i]->element[0]->str;
    if (entry_parse(entry, &ms, &seq) && !held_here_has(&t->held, ms, seq)) n++;
  }
  /* Jobs that this node takes over from itself stay in its list, so the next page begins after this
   * one. Another node's list becomes shorter with each page, except for jobs that are in this
   * node's hands. */
  if (!n && !recover_own(query)) {
    ask_claims(query, "0");
    return;
  }
  put_claim(query);
  cmd_u64(out, n);
  size_t put = 0;
  for (size_t i = 0; i < r->elements && (put < n || !n); i++) {
    const char *entry = r->element[i]->element[0]->str;
    if (!entry_parse(entry, &ms, &seq)) continue;
    if (recover_own(query)) {
      t->recovery.ms = ms;
      t->recovery.seq = seq;
    }
    if (held_here_has(&t->held, ms, seq)) continue;
    cmd_text(out, entry);
    put++;
  }
  query->n[1] = RECOVER_MORE;
  query->answer = on_claimed;
  query_send_again(query, SCRIPT_RECOVER);
}

static void ask_pending(struct query *query) {
  struct store_topic *t = query->t;
  struct cmd *out = &query->store->out;
  char from[48];
  if (recover_own(query) && (t->recovery.ms || t->recovery.seq))
    snprintf(from, sizeof from, "(%llu-%llu", (unsigned long long)t->recovery.ms,
             (unsigned long long)t->recovery.seq);
  else
    snprintf(from, sizeof from, "-");
  query->answer = on_pending;
  cmd_begin(out);
  cmd_text(out, "XPENDING");
  cmd_text(out, t->q->stream);
  cmd_text(out, t->name);
  if (query->n[2]) { /* jobs taken after it was declared dead were taken by a node that is back */
    cmd_text(out, "IDLE");
    cmd_u64(out, store_lease_ms(query->store) / 2);
  }
  cmd_text(out, from);
  cmd_text(out, "+");
  cmd_u64(out, RECOVER_PAGE);
  cmd_text(out, recover_whose(query));
}

static void on_dead(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  bool dead = !rc && r->type == REPLY_STRING && !strcmp(r->str, "dead");
  if (rc) {
    recover_fail(query, rc, why);
  } else if (!dead && (r->type != REPLY_STRING || strcmp(r->str, "left") != 0)) {
    recover_fail(query, STORE_OK, ""); /* it is back, and sees to its jobs itself */
  } else {
    query->n[2] = dead;
    ask_pending(query);
    query_send_again(query, SCRIPT_NONE);
  }
}

void store_recover(struct store_topic *t, const char *node, size_t count, store_taken_fn fn,
                   void *arg) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_dead, arg);
  if (!node) node = s->server->node;
  query->fn.taken = fn;
  query->n[0] = count && count < RECOVER_PAGE ? count : RECOVER_PAGE;
  if (!(query->ptr = strdup(node))) out_of_memory();
  if (recover_own(query)) {
    ask_pending(query);
  } else {
    cmd_begin(&s->out);
    cmd_text(&s->out, "HGET");
    cmd_text(&s->out, STORE_KEY_BEATS);
    cmd_text(&s->out, node);
  }
  query_send(query, SCRIPT_NONE);
}
