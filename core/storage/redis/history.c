/* Owns the history in Redis: streams of minutes and hours, hashes of signatures, the stream of
 * marks. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"
#include "storage/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_TIMELINE "pb:{@}:timeline"
#define KEY_MAX      (2 * NAME_LEN_MAX + 32)

static void put_key(struct store *s, const struct store_history_of *of, const char *kind) {
  char key[KEY_MAX];
  if (of->queue)
    snprintf(key, sizeof key, "pb:{%s}:%s:%s", of->queue, kind, of->topic);
  else
    snprintf(key, sizeof key, "pb:{@}:%s:%s", kind, of->node);
  cmd_text(&s->out, key);
}

static void set_text(const struct redis_reply *r, const void **ret, size_t *ret_len) {
  bool text = r->type == REPLY_STRING;
  *ret = text ? r->str : "";
  *ret_len = text ? r->len : 0;
}

/* --- writing --- */

static void on_added(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_history_row *rows = NULL;
  uint64_t hour = 0;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    hour = redis_reply_u64(r->element[0]);
    if (!(rows = calloc(r->elements / 2 + 1, sizeof *rows))) out_of_memory();
    for (size_t i = 1; i + 1 < r->elements; i += 2, n++) {
      const void *gauges;
      size_t len;
      set_text(r->element[i], &gauges, &len);
      rows[n] = (struct store_history_row){.node = "", .gauges = gauges};
      set_text(r->element[i + 1], &rows[n].row, &rows[n].row_len);
    }
  }
  query->fn.history(query->arg, rc, hour, rows, n, why);
  free(rows);
}

static void put_signature(struct store *s, const struct store_signature *sig) {
  char code[16];
  cmd_text(&s->out, sig->id);
  cmd_u64(&s->out, sig->count);
  cmd_u64(&s->out, sig->first_ms);
  cmd_u64(&s->out, sig->last_ms);
  snprintf(code, sizeof code, "%d", sig->code);
  cmd_text(&s->out, code);
  cmd_u64(&s->out, sig->job);
  cmd_bytes(&s->out, sig->text, sig->text_len);
}

void store_history_add(struct store *s, const struct store_history_of *of,
                       const struct store_history *h, store_history_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_added, arg);
  struct cmd *out = &s->out;
  static const char *const kinds[] = {"hm", "hh", "sig"};
  char key[KEY_MAX];
  query->fn.history = fn;
  query_script(s, SCRIPT_HISTORY_ADD, of->queue ? 7 : 2);
  for (size_t i = 0; i < (of->queue ? 3 : 2); i++) put_key(s, of, kinds[i]);
  if (of->queue) {
    snprintf(key, sizeof key, "pb:{%s}:s", of->queue);
    cmd_text(out, key);
    put_key(s, of, "x");
    put_key(s, of, "r");
    put_key(s, of, "c");
  }
  cmd_text(out, of->node);
  cmd_u64(out, h->seq);
  cmd_text(out, h->again ? "1" : "0");
  cmd_bytes(out, h->row ? h->row : "", h->row ? h->row_len : 0);
  cmd_u64(out, h->hour_ms);
  cmd_bytes(out, h->hour_ms ? h->hour : "", h->hour_ms ? h->hour_len : 0);
  cmd_text(out, h->hour_ms ? h->hour_gauges : "");
  cmd_text(out, of->queue ? of->topic : "");
  cmd_u64(out, h->other);
  for (size_t i = 0; i < h->n_signatures; i++) put_signature(s, &h->signatures[i]);
  query_send(query, SCRIPT_HISTORY_ADD);
}

/* --- reading --- */

/* Of an entry of a stream; NULL: it is none. */
static const struct redis_reply *fields_of(const struct redis_reply *r) {
  if (r->type != REPLY_ARRAY || r->elements != 2 || r->element[1]->type != REPLY_ARRAY) return NULL;
  return r->element[1];
}

static bool row_parse(const struct redis_reply *r, struct store_history_row *row) {
  uint64_t seq;
  const struct redis_reply *f = fields_of(r);
  if (!f) return false;
  *row = (struct store_history_row){.node = "", .gauges = "", .row = ""};
  for (size_t i = 0; i + 1 < f->elements; i += 2) {
    const void *text;
    size_t len;
    set_text(f->element[i + 1], &text, &len);
    if (*f->element[i]->str == 'n') row->node = text;
    if (*f->element[i]->str == 'g') row->gauges = text;
    if (*f->element[i]->str != 'b') continue;
    row->row = text;
    row->row_len = len;
  }
  return entry_parse(r->element[0]->str, &row->at_ms, &seq);
}

static void on_rows(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_history_row *rows = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    if (!(rows = calloc(r->elements + 1, sizeof *rows))) out_of_memory();
    for (size_t i = 0; i < r->elements; i++) n += row_parse(r->element[i], &rows[n]);
  }
  query->fn.history_rows(query->arg, rc, rows, n, why);
  free(rows);
}

void store_history_read(struct store *s, const struct store_history_of *of, bool hours,
                        uint64_t from_ms, uint64_t to_ms, store_history_rows_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_rows, arg);
  query->fn.history_rows = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XRANGE");
  put_key(s, of, hours ? "hh" : "hm");
  cmd_u64(&s->out, from_ms);
  cmd_u64(&s->out, to_ms ? to_ms - 1 : 0);
  cmd_text(&s->out, "COUNT");
  cmd_u64(&s->out, STORE_HISTORY_PAGE);
  query_send(query, SCRIPT_NONE);
}

/* "count first last code job text" */
static bool signature_read(const struct redis_reply *id, const struct redis_reply *value,
                           struct store_signature *ret) {
  char *at = value->str;
  if (id->type != REPLY_STRING || value->type != REPLY_STRING || *id->str == '@') return false;
  if (id->len != sizeof ret->id - 1) return false;
  memcpy(ret->id, id->str, sizeof ret->id);
  ret->count = strtoull(at, &at, 10);
  ret->first_ms = strtoull(at, &at, 10);
  ret->last_ms = strtoull(at, &at, 10);
  ret->code = (int)strtol(at, &at, 10);
  ret->job = strtoull(at, &at, 10);
  ret->text = *at ? at + 1 : at;
  ret->text_len = value->len - (size_t)(ret->text - value->str);
  return true;
}

static void on_signatures(struct query *query, enum store_rc rc, struct redis_reply *r,
                          const char *why) {
  struct store_signature *list = NULL;
  uint64_t other = 0;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    if (!(list = calloc(r->elements / 2 + 1, sizeof *list))) out_of_memory();
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
      if (!strcmp(r->element[i]->str, "other")) other = redis_reply_u64(r->element[i + 1]);
      n += signature_read(r->element[i], r->element[i + 1], &list[n]);
    }
  }
  query->fn.signatures(query->arg, rc, list, n, other, why);
  free(list);
}

void store_signatures(struct store *s, const char *queue, const char *topic, store_signatures_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_signatures, arg);
  query->fn.signatures = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "HGETALL");
  put_key(s, &(struct store_history_of){.queue = queue, .topic = topic}, "sig");
  query_send(query, SCRIPT_NONE);
}

/* --- marks --- */

static void on_marked(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  (void)r;
  query->fn.done(query->arg, rc, !rc, why);
}

void store_mark_add(struct store *s, const struct store_mark *mark, store_done_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_marked, arg);
  query->fn.done = fn;
  query_script(s, SCRIPT_WRITE, 1); /* a server whose memory is full takes it, too */
  cmd_text(&s->out, KEY_TIMELINE);
  cmd_text(&s->out, "XADD");
  cmd_text(&s->out, "MAXLEN");
  cmd_text(&s->out, "~");
  cmd_u64(&s->out, STORE_MARKS_MAX);
  cmd_text(&s->out, "*");
  cmd_text(&s->out, "k");
  cmd_text(&s->out, mark->kind);
  cmd_text(&s->out, "t");
  cmd_bytes(&s->out, mark->text, strnlen(mark->text, STORE_MARK_TEXT_MAX));
  cmd_text(&s->out, "n");
  cmd_text(&s->out, mark->node);
  query_send(query, SCRIPT_WRITE);
}

static bool mark_parse(const struct redis_reply *r, struct store_mark *mark) {
  uint64_t seq;
  const struct redis_reply *f = fields_of(r);
  if (!f) return false;
  *mark = (struct store_mark){.kind = "", .text = "", .node = ""};
  for (size_t i = 0; i + 1 < f->elements; i += 2) {
    const char *value = f->element[i + 1]->type == REPLY_STRING ? f->element[i + 1]->str : "";
    if (*f->element[i]->str == 'k') mark->kind = value;
    if (*f->element[i]->str == 't') mark->text = value;
    if (*f->element[i]->str == 'n') mark->node = value;
  }
  return entry_parse(r->element[0]->str, &mark->at_ms, &seq);
}

static void on_marks(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_mark *marks = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    if (!(marks = calloc(r->elements + 1, sizeof *marks))) out_of_memory();
    for (size_t i = r->elements; i-- > 0;) n += mark_parse(r->element[i], &marks[n]);
  }
  query->fn.marks(query->arg, rc, marks, n, why);
  free(marks);
}

void store_marks_list(struct store *s, uint64_t from_ms, uint64_t to_ms, store_marks_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_marks, arg);
  query->fn.marks = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XREVRANGE");
  cmd_text(&s->out, KEY_TIMELINE);
  cmd_u64(&s->out, to_ms ? to_ms - 1 : 0);
  cmd_u64(&s->out, from_ms);
  cmd_text(&s->out, "COUNT");
  cmd_u64(&s->out, STORE_MARKS_MAX);
  query_send(query, SCRIPT_NONE);
}
