/* Owns what operators do with a topic: pause, look at its failed jobs, replay, purge. What may be
 * large is done in pages, so that Redis is never held up for long. */
#include "store_private.h"

#include "log.h"

#include <pepperbus/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE        500
#define ERRORS_MAX  1000
#define MESSAGE_MAX 2000

/* What an operator did is told to the other nodes also where the last sweep saw none: the next one
 * may be seconds away, and the news is rare. */
static void wake_for_operator(struct store_queue *q) {
  if (q->freed) return;
  q->store->peers = true;
  store_wake_peers(q, true);
}

/* --- pause --- */

static void on_paused(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)r;
  if (!rc) {
    a->t->paused = a->n[0];
    wake_for_operator(a->q);
  }
  a->fn.done(a->arg, rc, rc ? 0 : 1, why);
}

void store_pause(struct store_topic *t, bool paused, store_done_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct ask *a = ask_new(s, t->q, t, on_paused, arg);
  a->fn.done = fn;
  a->n[0] = paused;
  cmd_begin(&s->out);
  cmd_text(&s->out, paused ? "HSET" : "HDEL");
  cmd_text(&s->out, t->q->paused);
  cmd_text(&s->out, t->name);
  if (paused) cmd_text(&s->out, "1");
  ask_send(a, SCRIPT_NONE);
}

/* --- lists --- */

/* "failed crashes first at code field# node#\n" field node message; see store_script.c. */
static void record_parse(const struct redis_reply *r, struct store_record *ret, char **node) {
  unsigned long long failed, crashes, first, at, field, name;
  int code, head = 0;
  const char *line = memchr(r->str ? r->str : "", '\n', r->len);
  ret->message = "";
  *node = NULL;
  if (!line ||
      sscanf(r->str, "%llu %llu %llu %llu %d %llu %llu%n", &failed, &crashes, &first, &at, &code,
             &field, &name, &head) != 7 ||
      r->str + head != line)
    return;
  size_t rest = r->len - (size_t)(line + 1 - r->str);
  if (field > rest || name > rest - field) return;
  ret->failed = (uint32_t)failed;
  ret->crashes = (uint32_t)crashes;
  ret->first_failed_ms = first;
  ret->code = code;
  *node = strndup(line + 1 + field, name);
  ret->message = line + 1 + field + name;
  ret->message_len = rest - field - name;
}

/* The content in a stored form; what cannot be decoded is shown as it is. */
static void body_parse(struct redis_reply *r, struct store_record *ret) {
  const unsigned char *p = (const unsigned char *)r->str;
  size_t head = 9;
  ret->content = r->str ? r->str : "";
  ret->content_len = r->len;
  if (r->len < 9) return;
  if (p[8] & 0x80) head = r->len > 9 ? 10u + p[9] : r->len + 1;
  uint64_t id = 0;
  for (int i = 0; i < 8; i++) id = id << 8 | p[i];
  if (head > r->len || id != ret->id) return;
  ret->content += head;
  ret->content_len -= head;
}

static void on_list(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_record *records = NULL;
  char **names = NULL;
  size_t n = 0;
  uint64_t total = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    total = redis_reply_u64(r->element[0]);
    records = calloc(r->elements / 6 + 1, sizeof *records);
    names = calloc(r->elements / 6 + 1, sizeof *names);
    if (!records || !names) abort();
    for (size_t i = 1; i + 6 <= r->elements; i += 6, n++) {
      struct redis_reply **e = r->element + i;
      struct store_record *d = &records[n];
      d->id = redis_reply_u64(e[0]);
      d->due_ms = redis_reply_u64(e[1]);
      d->dead = e[2]->integer;
      d->claimed = e[3]->integer;
      record_parse(e[4], d, &names[n]);
      d->node = names[n] ? names[n] : "";
      body_parse(e[5], d);
    }
  }
  a->fn.records(a->arg, rc, n ? records : NULL, n, total, why);
  for (size_t i = 0; i < n; i++) free(names[i]);
  free(names);
  free(records);
}

static void list_ask(struct store_topic *t, enum store_set set, uint64_t offset, size_t count,
                     uint64_t id, store_records_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, t->q, t, on_list, arg);
  a->fn.records = fn;
  ask_script(s, SCRIPT_LIST, 5);
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_u64(out, set);
  cmd_u64(out, offset);
  cmd_u64(out, count);
  if (id)
    cmd_u64(out, id);
  else
    cmd_text(out, "");
  ask_send(a, SCRIPT_LIST);
}

void store_list(struct store_topic *t, enum store_set set, uint64_t offset, size_t count,
                store_records_fn fn, void *arg) {
  list_ask(t, set, offset, count, 0, fn, arg);
}

void store_find(struct store_topic *t, uint64_t id, store_records_fn fn, void *arg) {
  list_ask(t, STORE_SET_BOTH, 0, 1, id, fn, arg);
}

/* --- replay and purge: page by page --- */

enum paged { PAGED_SET, PAGED_BEGAN, PAGED_LEFT, PAGED_SKIP, PAGED_COUNT };

struct paging {
  uint64_t id, moved; /* moved: by this pass over the set */
  bool limited;
};

static void page_put(struct ask *a, enum store_script script) {
  struct store_topic *t = a->t;
  struct redis_command *out = &a->store->out;
  const struct paging *p = a->ptr;
  uint64_t left = a->n[PAGED_LEFT];
  ask_script(a->store, script, script == SCRIPT_REPLAY ? 4 : 5);
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  if (script == SCRIPT_PURGE) cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_u64(out, a->n[PAGED_SET]);
  cmd_u64(out, a->n[PAGED_BEGAN]);
  cmd_u64(out, p->limited && left < PAGE ? left : PAGE);
  cmd_u64(out, a->n[PAGED_SKIP]);
  if (p->id)
    cmd_u64(out, p->id);
  else
    cmd_text(out, "");
}

static void on_page(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct paging *p = a->ptr;
  if (!rc && r->type == REPLY_ARRAY && r->elements == 3) {
    uint64_t n = redis_reply_u64(r->element[0]);
    bool more = r->element[2]->integer;
    a->n[PAGED_COUNT] += n;
    p->moved += n;
    a->n[PAGED_SKIP] = redis_reply_u64(r->element[1]);
    if (p->limited) a->n[PAGED_LEFT] -= n < a->n[PAGED_LEFT] ? n : a->n[PAGED_LEFT];
    bool enough = p->id || (p->limited && !a->n[PAGED_LEFT]);
    /* What others took away meanwhile shifts the pages: a pass that moved something is followed
     * by one more from the start, which finds only what is to be left alone. */
    if (!more && p->moved > PAGE) {
      more = true;
      p->moved = 0;
      a->n[PAGED_SKIP] = 0;
    }
    if (more && !enough) {
      page_put(a, a->script);
      ask_send_again(a, a->script);
      return;
    }
  }
  if (a->n[PAGED_COUNT]) wake_for_operator(a->q);
  a->fn.done(a->arg, rc, a->n[PAGED_COUNT], why);
}

static void page_ask(struct store_topic *t, enum store_script script, enum store_set set,
                     uint64_t id, uint64_t count, store_done_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct ask *a = ask_new(s, t->q, t, on_page, arg);
  struct paging *p = calloc(1, sizeof *p);
  if (!p) abort();
  p->id = id;
  p->limited = count > 0;
  a->ptr = p;
  a->fn.done = fn;
  a->n[PAGED_SET] = set;
  a->n[PAGED_BEGAN] = loop_wall_ms(s->loop);
  a->n[PAGED_LEFT] = count;
  page_put(a, script);
  ask_send(a, script);
}

void store_replay(struct store_topic *t, enum store_set set, uint64_t id, uint64_t count,
                  store_done_fn fn, void *arg) {
  page_ask(t, SCRIPT_REPLAY, set, id, count, fn, arg);
}

void store_purge(struct store_topic *t, enum store_set set, uint64_t id, store_done_fn fn,
                 void *arg) {
  page_ask(t, SCRIPT_PURGE, set, id, 0, fn, arg);
}

/* --- the error log --- */

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

static void on_errors(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_error *errors = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    errors = calloc(r->elements + 1, sizeof *errors);
    if (!errors) abort();
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
  a->fn.errors(a->arg, rc, errors, n, why);
  free(errors);
}

void store_errors(struct store_topic *t, size_t count, store_errors_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct ask *a = ask_new(s, t->q, t, on_errors, arg);
  a->fn.errors = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XREVRANGE");
  cmd_text(&s->out, t->errors);
  cmd_text(&s->out, "+");
  cmd_text(&s->out, "-");
  cmd_text(&s->out, "COUNT");
  cmd_u64(&s->out, count);
  ask_send(a, SCRIPT_NONE);
}

static void on_noted(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)r;
  if (rc == STORE_ERROR)
    log_warning(loop_log(a->store->loop), a->t->subject, "an error was not noted: %s", why);
}

void store_note_error(struct store_topic *t, uint64_t id, int code, const char *message,
                      size_t len) {
  struct store *s = t->q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, t->q, t, on_noted, NULL);
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
  ask_send(a, SCRIPT_NONE);
}
