/* Owns how accounts are kept in the storage.
 *
 * Must never happen: a document that counts though its mark is wrong, or though it was made for
 * another id; a secret in one, other than as a hash.
 */
#include "accounts/vault.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARK_HEX (2 * SEAL_MARK_LEN)

static const char *const kind_names[STORE_DOC_KINDS + 1] = {
    [STORE_DOC_SESSION] = "session",   [STORE_DOC_TOKEN] = "token",
    [STORE_DOC_ONCE] = "one-time key", [STORE_DOC_USER] = "user",
    [STORE_DOC_REPORT] = "report",     [STORE_DOC_REPLY] = "reply",
    [STORE_DOC_DONE] = "request",      [STORE_DOC_KEY] = "key",
    [STORE_DOC_NAMES] = "names",       [STORE_DOC_KINDS] = "audit row",
};

/* --- form --- */

char *vault_close(const struct seal *seal, enum store_doc_kind kind, const char *id, json_t *o) {
  char mark[MARK_HEX + 1], *whole = NULL;
  char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
  if (!text) return NULL;
  struct seal_part parts[] = {SEAL_TEXT(kind_names[kind]), SEAL_TEXT(id), SEAL_TEXT(text)};
  if (seal_mark(seal, SEAL_SESSIONS, parts, 3, mark) || asprintf(&whole, "%s\n%s", mark, text) < 0)
    whole = NULL;
  free(text);
  return whole;
}

json_t *vault_open(const struct seal *seal, enum store_doc_kind kind, const char *id,
                   const void *data, size_t len) {
  const char *text = data;
  if (len <= MARK_HEX || text[MARK_HEX] != '\n') return NULL;
  struct seal_part parts[] = {
      SEAL_TEXT(kind_names[kind]), SEAL_TEXT(id), {text + MARK_HEX + 1, len - MARK_HEX - 1}};
  if (!seal_is_mark(seal, SEAL_SESSIONS, parts, 3, text, MARK_HEX)) return NULL;
  json_t *o = json_loadb(parts[2].data, parts[2].len, JSON_REJECT_DUPLICATES, NULL);
  if (json_is_object(o)) return o;
  json_decref(o);
  return NULL;
}

const char *vault_text(const json_t *o, const char *member) {
  const char *text = json_string_value(json_object_get(o, member));
  return text ? text : "";
}

uint64_t vault_u64(const json_t *o, const char *member) {
  json_int_t v = json_integer_value(json_object_get(o, member));
  return v > 0 ? (uint64_t)v : 0;
}

/* --- questions --- */

struct question {
  struct vault *vault;
  enum store_doc_kind kind;
  vault_fn fn;
  void *arg;
};

const char *vault_away(const struct vault *v) {
  if (v->stopped) return "the broker is stopping";
  struct store *s = v->store(v->arg);
  if (!s) return "there is no storage for what the nodes share; [cluster] storage names it";
  if (store_state(s) != STORE_READY) return "the storage for what the nodes share is away";
  if (!v->seal(v->arg)) return "this node does not have the key of the cluster";
  return NULL;
}

uint64_t vault_now_ms(const struct vault *v) {
  struct store *s = v->stopped ? NULL : v->store(v->arg);
  uint64_t ms = s ? store_clock_ms(s) : 0;
  return ms ? ms : loop_wall_ms(v->loop);
}

static int rc_of(enum store_rc rc) {
  if (rc == STORE_OK) return 0;
  if (rc == STORE_FULL) return -ENOSPC;
  return rc == STORE_ERROR ? -EIO : -EAGAIN;
}

/* NULL: nothing can be asked; fn has been told. */
static struct question *question_new(struct vault *v, enum store_doc_kind kind, vault_fn fn,
                                     void *arg) {
  const char *why = vault_away(v);
  if (why) {
    if (fn) fn(arg, -EAGAIN, NULL, why);
    return NULL;
  }
  struct question *q = malloc(sizeof *q);
  if (!q) out_of_memory();
  *q = (struct question){v, kind, fn, arg};
  return q;
}

static void question_end(struct question *q, int rc, json_t *o, const char *why) {
  if (q->fn) q->fn(q->arg, rc, o, why);
  json_decref(o);
  free(q);
}

static json_t *doc_open(struct vault *v, enum store_doc_kind kind, const struct store_doc *d) {
  const struct seal *seal = v->seal(v->arg);
  json_t *o = seal ? vault_open(seal, kind, d->id, d->data, d->len) : NULL;
  if (o || !seal) return o;
  v->forged++;
  log_warning(v->log, "accounts",
              "ignored a document (%s) in the shared storage: the key of this cluster did not mark "
              "it; somebody else wrote it, or the key was changed",
              kind_names[kind]);
  return NULL;
}

static void on_doc(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct question *q = arg;
  json_t *o = rc == STORE_OK && d ? doc_open(q->vault, q->kind, d) : NULL;
  question_end(q, rc == STORE_OK && !o ? -ENOENT : rc_of(rc), o, why);
}

void vault_get(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn, void *arg) {
  struct question *q = question_new(v, kind, fn, arg);
  if (q) store_doc_get(v->store(v->arg), kind, id, on_doc, q);
}

void vault_take(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn, void *arg) {
  struct question *q = question_new(v, kind, fn, arg);
  if (q) store_doc_take(v->store(v->arg), kind, id, on_doc, q);
}

static void on_docs(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                    const char *why) {
  struct question *q = arg;
  json_t *all = json_array();
  for (size_t i = 0; rc == STORE_OK && i < n; i++) {
    json_t *o = doc_open(q->vault, q->kind, &d[i]);
    if (!o) continue;
    json_object_set_new(o, "id", json_string(d[i].id));
    json_array_append_new(all, o);
  }
  question_end(q, rc_of(rc), all, why);
}

void vault_list(struct vault *v, enum store_doc_kind kind, vault_fn fn, void *arg) {
  struct question *q = question_new(v, kind, fn, arg);
  if (q) store_doc_list(v->store(v->arg), kind, on_docs, q);
}

static void on_count(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  question_end(arg, rc == STORE_OK && !count ? -ENOENT : rc_of(rc), NULL, why);
}

void vault_put(struct vault *v, enum store_doc_kind kind, const char *id, json_t *o,
               uint64_t ttl_ms, enum store_doc_when when, vault_fn fn, void *arg) {
  struct question *q = question_new(v, kind, fn, arg);
  if (!q) return;
  char *text = vault_close(v->seal(v->arg), kind, id, o);
  if (!text) out_of_memory();
  store_doc_put(v->store(v->arg), kind, id, text, strlen(text), ttl_ms, when, on_count, q);
  explicit_bzero(text, strlen(text));
  free(text);
}

void vault_delete(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn,
                  void *arg) {
  struct question *q = question_new(v, kind, fn, arg);
  if (q) store_doc_delete(v->store(v->arg), kind, id, on_count, q);
}
