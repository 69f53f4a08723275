/* Owns the error log of a topic: a stream of at most a thousand entries. */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>

#define ERRORS_MAX  1000
#define MESSAGE_MAX 2000

static void error_field(struct store_error *e, const struct redis_reply *name,
                        const struct redis_reply *value) {
  switch (*name->str) {
  case 'i':
    e->id = redis_reply_u64(value);
    break;
  case 'c':
    e->code = atoi(value->str);
    break;
  case 'n':
    e->node = value->str;
    break;
  case 'm':
    e->message = value->str;
    e->message_len = value->len;
    break;
  default:
    break;
  }
}

static void on_errors(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_error *errors = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    errors = calloc(r->elements + 1, sizeof *errors);
    if (!errors) out_of_memory();
    for (size_t i = 0; i < r->elements; i++) {
      const struct redis_reply *entry = r->element[i];
      uint64_t seq;
      if (entry->elements != 2) continue;
      struct store_error *e = &errors[n];
      *e = (struct store_error){.message = "", .node = ""};
      if (!entry_parse(entry->element[0]->str, &e->ms, &seq)) continue;
      const struct redis_reply *f = entry->element[1];
      for (size_t k = 0; k + 2 <= f->elements; k += 2)
        error_field(e, f->element[k], f->element[k + 1]);
      n++;
    }
  }
  query->fn.errors(query->arg, rc, errors, n, why);
  free(errors);
}

void store_errors(struct store_topic *t, size_t count, store_errors_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct query *query = query_new(s, t->q, t, on_errors, arg);
  query->fn.errors = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XREVRANGE");
  cmd_text(&s->out, t->errors);
  cmd_text(&s->out, "+");
  cmd_text(&s->out, "-");
  cmd_text(&s->out, "COUNT");
  cmd_u64(&s->out, count);
  query_send(query, SCRIPT_NONE);
}

static void on_noted(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  (void)r;
  if (rc == STORE_ERROR)
    log_warning(loop_log(query->store->loop), query->t->subject, "an error was not noted: %s", why);
}

void store_note_error(struct store_topic *t, uint64_t id, int code, const char *message,
                      size_t len) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_noted, NULL);
  char text[16], shown[MESSAGE_MAX + 1];
  snprintf(text, sizeof text, "%d", code);
  len = pb_excerpt(shown, sizeof shown, message, len);
  cmd_begin(out);
  cmd_text(out, "XADD");
  cmd_text(out, t->errors);
  cmd_text(out, "MAXLEN");
  cmd_text(out, "~");
  cmd_u64(out, ERRORS_MAX);
  cmd_text(out, "*");
  cmd_text(out, "i");
  cmd_u64(out, id);
  cmd_text(out, "c");
  cmd_text(out, text);
  cmd_text(out, "n");
  cmd_text(out, s->server->node);
  cmd_text(out, "m");
  cmd_bytes(out, shown, len);
  query_send(query, SCRIPT_NONE);
}
