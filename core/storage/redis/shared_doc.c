/* Owns the small documents that expire: pb:{@}:doc:KIND:ID is one, with an expiry of its own;
 * pb:{@}:docs:KIND has the ids of a kind by the time of their expiry. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What expired before that is left out of a list at once: the clock is not known to the ms. */
#define SLACK_MS 60000
/* One script reads so many documents, or bytes of them. */
#define PAGE       250
#define PAGE_BYTES (1u << 20)

static const char *const kinds[STORE_DOC_KINDS] = {
    [STORE_DOC_SESSION] = "session", [STORE_DOC_TOKEN] = "token",   [STORE_DOC_ONCE] = "once",
    [STORE_DOC_USER] = "user",       [STORE_DOC_REPORT] = "report", [STORE_DOC_REPLY] = "reply",
    [STORE_DOC_DONE] = "done",       [STORE_DOC_KEY] = "key",       [STORE_DOC_NAMES] = "names",
    [STORE_DOC_DRAIN] = "drain"};

/* What the nodes hear when one is written, or deleted. */
static const char *word_written(enum store_doc_kind kind) {
  if (kind == STORE_DOC_DRAIN) return shared_event_word(STORE_SHARED_DRAIN);
  if (kind == STORE_DOC_REPLY) return shared_event_word(STORE_SHARED_REPLY);
  return kind == STORE_DOC_USER ? shared_event_word(STORE_SHARED_USER) : "";
}

static const char *word_deleted(enum store_doc_kind kind) {
  if (kind == STORE_DOC_DRAIN) return shared_event_word(STORE_SHARED_DRAIN);
  if (kind == STORE_DOC_SESSION || kind == STORE_DOC_TOKEN)
    return shared_event_word(STORE_SHARED_SESSION);
  return kind == STORE_DOC_USER ? shared_event_word(STORE_SHARED_USER) : "";
}

static void put_doc_key(struct store *s, enum store_doc_kind kind, const char *id) {
  char key[STORE_DOC_ID_MAX + 64];
  snprintf(key, sizeof key, "pb:{@}:doc:%s:%s", kinds[kind], id);
  cmd_text(&s->out, key);
}

static void put_index_key(struct store *s, enum store_doc_kind kind) {
  char key[64];
  snprintf(key, sizeof key, "pb:{@}:docs:%s", kinds[kind]);
  cmd_text(&s->out, key);
}

static bool id_fits(struct query *query, const char *id) {
  size_t len = strlen(id);
  return shared_fits(query, len, STORE_DOC_ID_MAX, "an id");
}

/* --- one --- */

static void on_put(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  char text[100];
  if (!rc && r->type == REPLY_INTEGER && r->integer < 0) {
    rc = STORE_FULL;
    snprintf(text, sizeof text, "there are %d documents of the kind %s", STORE_DOCS_MAX,
             kinds[query->n[0]]);
    why = text;
  }
  query->fn.done(query->arg, rc, rc ? 0 : redis_reply_u64(r), why);
}

void store_doc_put(struct store *s, enum store_doc_kind kind, const char *id, const void *data,
                   size_t len, uint64_t ttl_ms, enum store_doc_when when, store_done_fn fn,
                   void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_put, arg);
  query->fn.done = fn;
  query->n[0] = kind;
  if (!id_fits(query, id) || !shared_fits(query, len, STORE_DOC_MAX, "a document")) return;
  query_script(s, SCRIPT_DOC_PUT, 3);
  put_doc_key(s, kind, id);
  put_index_key(s, kind);
  cmd_text(out, STORE_KEY_TOLD);
  cmd_text(out, id);
  cmd_bytes(out, data, len);
  cmd_u64(out, ttl_ms);
  cmd_u64(out, when);
  cmd_text(out, s->node_instance);
  cmd_text(out, word_written(kind));
  cmd_u64(out, STORE_DOCS_MAX);
  query_send(query, SCRIPT_DOC_PUT);
}

/* One document of an answer that began with the time `now_ms`. */
static bool doc_parse(const char *id, uint64_t now_ms, const struct redis_reply *data,
                      const struct redis_reply *left, struct store_doc *d) {
  if (data->type != REPLY_STRING || left->type != REPLY_INTEGER || left->integer < -1) return false;
  *d = (struct store_doc){.id = id, .data = data->str, .len = data->len};
  if (left->integer >= 0) d->expires_ms = now_ms + (uint64_t)left->integer;
  return true;
}

static void on_doc(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_doc d;
  bool there =
      !rc && r->type == REPLY_ARRAY && r->elements == 3 &&
      doc_parse(query->ptr, redis_reply_u64(r->element[0]), r->element[1], r->element[2], &d);
  query->fn.doc(query->arg, rc, there ? &d : NULL, why);
}

static struct query *doc_query(struct store *s, const char *id, answer_fn answer, void *arg) {
  struct query *query = query_new(s, NULL, NULL, answer, arg);
  if (!(query->ptr = strdup(id))) out_of_memory();
  return query;
}

void store_doc_get(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                   void *arg) {
  struct query *query = doc_query(s, id, on_doc, arg);
  query->fn.doc = fn;
  if (!id_fits(query, id)) return;
  query_script(s, SCRIPT_DOC_GET, 1);
  put_doc_key(s, kind, "");
  cmd_u64(&s->out, PAGE_BYTES);
  cmd_text(&s->out, id);
  query_send(query, SCRIPT_DOC_GET);
}

static void take_send(struct query *query, enum store_doc_kind kind, const char *id) {
  struct store *s = query->store;
  if (!id_fits(query, id)) return;
  query_script(s, SCRIPT_DOC_TAKE, 3);
  put_doc_key(s, kind, id);
  put_index_key(s, kind);
  cmd_text(&s->out, STORE_KEY_TOLD);
  cmd_text(&s->out, id);
  cmd_text(&s->out, s->node_instance);
  cmd_text(&s->out, word_deleted(kind));
  query_send(query, SCRIPT_DOC_TAKE);
}

void store_doc_take(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                    void *arg) {
  struct query *query = doc_query(s, id, on_doc, arg);
  query->fn.doc = fn;
  take_send(query, kind, id);
}

static void on_deleted(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  bool was = !rc && r->type == REPLY_ARRAY && r->elements == 3 && r->element[2]->integer >= -1;
  query->fn.done(query->arg, rc, was, why);
}

void store_doc_delete(struct store *s, enum store_doc_kind kind, const char *id, store_done_fn fn,
                      void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_deleted, arg);
  query->fn.done = fn;
  take_send(query, kind, id);
}

/* --- all of a kind: their ids, then page after page --- */

struct doc_list {
  enum store_doc_kind kind;
  char **ids;
  size_t n_ids, asked; /* of them: have been read */
  struct store_doc *docs;
  size_t n;
};

static void list_free(struct doc_list *l) {
  for (size_t i = 0; i < l->n_ids; i++) free(l->ids[i]);
  for (size_t i = 0; i < l->n; i++) free((void *)l->docs[i].data);
  free(l->ids);
  free(l->docs);
  l->ids = NULL;
  l->docs = NULL;
  l->n_ids = l->n = 0;
}

static void list_ids(struct doc_list *l, const struct redis_reply *r) {
  l->ids = calloc(r->elements + 1, sizeof *l->ids);
  l->docs = calloc(r->elements + 1, sizeof *l->docs);
  if (!l->ids || !l->docs) out_of_memory();
  for (size_t i = 0; i < r->elements; i++)
    if (!(l->ids[l->n_ids++] = strdup(r->element[i]->str))) out_of_memory();
}

static void list_page(struct doc_list *l, struct redis_reply *r) {
  uint64_t now_ms = r->elements ? redis_reply_u64(r->element[0]) : 0;
  for (size_t i = 1; i + 2 <= r->elements && l->asked < l->n_ids; i += 2) {
    struct store_doc *d = &l->docs[l->n];
    if (!doc_parse(l->ids[l->asked++], now_ms, r->element[i], r->element[i + 1], d)) continue;
    if (!(d->data = redis_reply_take_text(r->element[i]))) out_of_memory();
    l->n++;
  }
}

static void on_doc_page(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why);

static void page_send(struct query *query) {
  struct store *s = query->store;
  struct doc_list *l = query->ptr;
  query->answer = on_doc_page;
  query_script(s, SCRIPT_DOC_GET, 1);
  put_doc_key(s, l->kind, "");
  cmd_u64(&s->out, PAGE_BYTES);
  for (size_t i = l->asked; i < l->n_ids && i < l->asked + PAGE; i++) cmd_text(&s->out, l->ids[i]);
  query_send_again(query, SCRIPT_DOC_GET);
}

static void list_over(struct query *query, enum store_rc rc, const char *why) {
  struct doc_list *l = query->ptr;
  query->fn.docs(query->arg, rc, rc ? NULL : l->docs, rc ? 0 : l->n, why);
  list_free(l);
}

static void on_doc_page(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why) {
  struct doc_list *l = query->ptr;
  size_t asked = l->asked;
  if (!rc && r->type == REPLY_ARRAY) list_page(l, r);
  if (!rc && l->asked > asked && l->asked < l->n_ids)
    page_send(query);
  else
    list_over(query, rc, why);
}

static void on_ids(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct doc_list *l = query->ptr;
  if (!rc && r->type == REPLY_ARRAY) list_ids(l, r);
  if (!rc && l->n_ids)
    page_send(query);
  else
    list_over(query, rc, why);
}

void store_doc_list(struct store *s, enum store_doc_kind kind, store_docs_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_ids, arg);
  struct doc_list *l = calloc(1, sizeof *l);
  if (!l) out_of_memory();
  l->kind = kind;
  query->ptr = l;
  query->fn.docs = fn;
  cmd_begin(&s->out);
  cmd_text(&s->out, "ZRANGEBYSCORE");
  put_index_key(s, kind);
  cmd_u64(&s->out, clock_now(s) - SLACK_MS);
  cmd_text(&s->out, "+inf");
  cmd_text(&s->out, "LIMIT");
  cmd_text(&s->out, "0");
  cmd_u64(&s->out, STORE_DOCS_MAX);
  query_send(query, SCRIPT_NONE);
}
