/* Owns the revisions of the shared configuration: pb:{@}:revisions has a record of each, and the
 * head; pb:{@}:revisions:data their bytes. A record: "number at length hash". */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_REVISIONS "pb:{@}:revisions"
#define KEY_DATA      "pb:{@}:revisions:data"
#define LIST_BYTES    (1u << 20)

/* `r->hash` is a part of the record. */
static bool record_parse(const struct redis_reply *record, struct store_revision *r) {
  int at = 0;
  *r = (struct store_revision){0};
  if (record->type != REPLY_STRING ||
      sscanf(record->str, "%" SCNu64 " %" SCNu64 " %zu %n", &r->number, &r->at_ms, &r->len, &at) !=
          3 ||
      !at)
    return false;
  r->hash = record->str + at;
  return true;
}

/* --- looking --- */

static void on_head(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_revision head;
  bool there = !rc && record_parse(r, &head);
  query->fn.revision(query->arg, rc, there ? &head : NULL, why);
}

void store_revision_head(struct store *s, store_revision_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_head, arg);
  query->fn.revision = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "HGET");
  cmd_text(&s->out, KEY_REVISIONS);
  cmd_text(&s->out, "head");
  query_send(query, SCRIPT_NONE);
}

static size_t list_parse(const struct redis_reply *r, struct store_revision *list) {
  size_t n = 0;
  for (size_t i = 1; i + 2 <= r->elements; i += 2) {
    const struct redis_reply *data = r->element[i + 1];
    if (data->type != REPLY_STRING || !record_parse(r->element[i], &list[n])) continue;
    list[n].data = data->str;
    list[n++].len = data->len;
  }
  return n;
}

static void list_send(struct query *query, uint64_t before, size_t count) {
  struct store *s = query->store;
  query_script(s, SCRIPT_REVISION_LIST, 2);
  cmd_text(&s->out, KEY_REVISIONS);
  cmd_text(&s->out, KEY_DATA);
  cmd_u64(&s->out, before);
  cmd_u64(&s->out, count);
  cmd_u64(&s->out, LIST_BYTES);
  query_send(query, SCRIPT_REVISION_LIST);
}

static void on_list(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_revision *list = NULL;
  size_t n = 0;
  uint64_t total = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    if (!(list = calloc(r->elements, sizeof *list))) out_of_memory();
    total = redis_reply_u64(r->element[0]);
    n = list_parse(r, list);
  }
  query->fn.revisions(query->arg, rc, list, n, total, why);
  free(list);
}

void store_revision_list(struct store *s, uint64_t before, size_t count, store_revisions_fn fn,
                         void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_list, arg);
  query->fn.revisions = fn;
  list_send(query, before, count);
}

static void on_got(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_revision one;
  bool there = !rc && r->type == REPLY_ARRAY && r->elements == 3 && list_parse(r, &one) &&
               one.number == query->n[0];
  query->fn.revision(query->arg, rc, there ? &one : NULL, why);
}

void store_revision_get(struct store *s, uint64_t number, store_revision_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_got, arg);
  query->fn.revision = fn;
  query->n[0] = number;
  list_send(query, number + 1, 1);
}

/* --- a new head --- */

static void on_applied(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 3;
  query->fn.applied(query->arg, rc, good && r->element[0]->integer,
                    good ? redis_reply_u64(r->element[1]) : 0, good ? r->element[2]->str : "", why);
}

/* base_hash NULL: whatever is there. */
static void head_set(struct store *s, uint64_t base, const char *base_hash, uint64_t number,
                     const char *hash, const struct redis_piece *data, store_applied_fn fn,
                     void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_applied, arg);
  query->fn.applied = fn;
  if (!shared_fits(query, data->n, STORE_REVISION_MAX, "a revision")) return;
  query_script(s, SCRIPT_REVISION_ADD, 3);
  cmd_text(out, KEY_REVISIONS);
  cmd_text(out, KEY_DATA);
  cmd_text(out, STORE_KEY_TOLD);
  if (base_hash)
    cmd_u64(out, base);
  else
    cmd_text(out, "");
  cmd_text(out, base_hash ? base_hash : "");
  cmd_u64(out, number);
  cmd_text(out, hash);
  cmd_bytes(out, data->p, data->n);
  cmd_text(out, s->node_instance);
  cmd_u64(out, STORE_REVISIONS_KEPT);
  cmd_u64(out, STORE_REVISIONS_LEAST);
  cmd_u64(out, STORE_REVISIONS_BYTES);
  query_send(query, SCRIPT_REVISION_ADD);
}

void store_revision_add(struct store *s, uint64_t base, const char *base_hash, const char *hash,
                        const void *data, size_t len, store_applied_fn fn, void *arg) {
  head_set(s, base, base_hash, base + 1, hash, &(struct redis_piece){data, len}, fn, arg);
}

void store_revision_restore(struct store *s, uint64_t number, const char *hash, const void *data,
                            size_t len, store_applied_fn fn, void *arg) {
  head_set(s, 0, NULL, number, hash, &(struct redis_piece){data, len}, fn, arg);
}
