/* Owns the audit log: the stream pb:{@}:audit. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_AUDIT "pb:{@}:audit"
#define KEEP_MS   (STORE_AUDIT_DAYS * UINT64_C(86400000))

static void on_written(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  query->fn.done(query->arg, rc, rc ? 0 : redis_reply_u64(r), why);
}

void store_audit_add(struct store *s, const void *data, size_t len, store_done_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_written, arg);
  query->fn.done = fn;
  if (!shared_fits(query, len, STORE_AUDIT_MAX, "a row of the audit log")) return;
  query_script(s, SCRIPT_AUDIT_ADD, 1);
  cmd_text(&s->out, KEY_AUDIT);
  cmd_bytes(&s->out, data, len);
  cmd_u64(&s->out, STORE_AUDIT_ROWS);
  cmd_u64(&s->out, KEEP_MS);
  query_send(query, SCRIPT_AUDIT_ADD);
}

static bool row_parse(const struct redis_reply *r, struct store_audit_row *row) {
  uint64_t seq;
  if (r->type != REPLY_ARRAY || r->elements != 2 || r->element[1]->type != REPLY_ARRAY ||
      r->element[1]->elements != 2)
    return false;
  *row = (struct store_audit_row){.id = r->element[0]->str,
                                  .data = r->element[1]->element[1]->str,
                                  .len = r->element[1]->element[1]->len};
  return entry_parse(row->id, &row->at_ms, &seq);
}

static void on_rows(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_audit_row *rows = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    if (!(rows = calloc(r->elements + 1, sizeof *rows))) out_of_memory();
    for (size_t i = 0; i < r->elements; i++) n += row_parse(r->element[i], &rows[n]);
  }
  query->fn.audit(query->arg, rc, rows, n, why);
  free(rows);
}

/* What is too old is deleted with the next row only, and not shown until then. */
void store_audit_list(struct store *s, const char *before, size_t count, store_audit_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_rows, arg);
  uint64_t ms, seq;
  query->fn.audit = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XREVRANGE");
  cmd_text(&s->out, KEY_AUDIT);
  if (entry_parse(before, &ms, &seq)) {
    char text[64];
    snprintf(text, sizeof text, "(%.60s", before);
    cmd_text(&s->out, text);
  } else {
    cmd_text(&s->out, "+");
  }
  cmd_u64(&s->out, clock_now(s) - KEEP_MS);
  cmd_text(&s->out, "COUNT");
  cmd_u64(&s->out, count < STORE_AUDIT_PAGE ? count : STORE_AUDIT_PAGE);
  query_send(query, SCRIPT_NONE);
}
