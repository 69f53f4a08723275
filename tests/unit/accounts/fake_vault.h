/* Documents in memory instead of the storage, on a clock that the test moves. Answers come in the
 * next call of vault_turn(), as the real ones come in a later turn. */
#ifndef PB_TESTS_FAKE_VAULT_H
#define PB_TESTS_FAKE_VAULT_H

#include "accounts/vault.c"

#include "tap.h"

#define FAKE_DOCS    64
#define FAKE_ANSWERS 256

struct fake_doc {
  enum store_doc_kind kind;
  char id[STORE_DOC_ID_MAX + 1];
  char *data; /* NULL: free */
  uint64_t expires_ms;
};
struct fake_answer {
  store_doc_fn doc_fn;
  store_docs_fn docs_fn;
  store_done_fn done_fn;
  void *arg;
  enum store_doc_kind kind;
  uint64_t count;
  struct fake_doc found;
};

static struct {
  struct fake_doc docs[FAKE_DOCS];
  struct fake_answer answers[FAKE_ANSWERS];
  size_t n_answers;
  uint64_t now_ms;
  bool away;
} fake;
static struct seal fake_seal;

enum store_state store_state(const struct store *s) {
  (void)s;
  return fake.away ? STORE_CONNECTING : STORE_READY;
}
uint64_t store_clock_ms(const struct store *s) {
  (void)s;
  return fake.now_ms;
}

static struct fake_doc *fake_find(enum store_doc_kind kind, const char *id) {
  for (size_t i = 0; i < FAKE_DOCS; i++) {
    struct fake_doc *d = &fake.docs[i];
    if (!d->data || d->kind != kind || strcmp(d->id, id) != 0) continue;
    if (d->expires_ms && d->expires_ms <= fake.now_ms) {
      free(d->data);
      d->data = NULL;
      return NULL;
    }
    return d;
  }
  return NULL;
}

static struct fake_answer *fake_answer(void *arg) {
  if (fake.n_answers == FAKE_ANSWERS) bail_out("too many questions");
  struct fake_answer *a = &fake.answers[fake.n_answers++];
  *a = (struct fake_answer){.arg = arg};
  return a;
}

void store_doc_put(struct store *s, enum store_doc_kind kind, const char *id, const void *data,
                   size_t len, uint64_t ttl_ms, enum store_doc_when when, store_done_fn fn,
                   void *arg) {
  struct fake_doc *d = fake_find(kind, id);
  struct fake_answer *a = fake_answer(arg);
  (void)s;
  a->done_fn = fn;
  if ((when == STORE_DOC_NEW && d) || (when == STORE_DOC_THERE && !d)) return;
  for (size_t i = 0; !d && i < FAKE_DOCS; i++)
    if (!fake.docs[i].data) d = &fake.docs[i];
  if (!d) bail_out("too many documents");
  free(d->data);
  d->kind = kind;
  snprintf(d->id, sizeof d->id, "%s", id);
  d->data = strndup(data, len);
  d->expires_ms = ttl_ms ? fake.now_ms + ttl_ms : 0;
  a->count = 1;
}

static void fake_get(enum store_doc_kind kind, const char *id, store_doc_fn fn, void *arg,
                     bool take) {
  struct fake_doc *d = fake_find(kind, id);
  struct fake_answer *a = fake_answer(arg);
  a->doc_fn = fn;
  if (!d) return;
  a->found = *d;
  a->found.data = strdup(d->data);
  if (!take) return;
  free(d->data);
  d->data = NULL;
}
void store_doc_get(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                   void *arg) {
  (void)s;
  fake_get(kind, id, fn, arg, false);
}
void store_doc_take(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                    void *arg) {
  (void)s;
  fake_get(kind, id, fn, arg, true);
}
void store_doc_delete(struct store *s, enum store_doc_kind kind, const char *id, store_done_fn fn,
                      void *arg) {
  struct fake_doc *d = fake_find(kind, id);
  struct fake_answer *a = fake_answer(arg);
  (void)s;
  a->done_fn = fn;
  a->count = d != NULL;
  if (d) free(d->data);
  if (d) d->data = NULL;
}
void store_doc_list(struct store *s, enum store_doc_kind kind, store_docs_fn fn, void *arg) {
  struct fake_answer *a = fake_answer(arg);
  (void)s;
  a->docs_fn = fn;
  a->kind = kind;
}

static void fake_list(const struct fake_answer *a) {
  struct store_doc docs[FAKE_DOCS];
  size_t n = 0;
  for (size_t i = 0; i < FAKE_DOCS; i++) {
    const struct fake_doc *d = &fake.docs[i];
    if (d->data && d->kind == a->kind)
      docs[n++] = (struct store_doc){d->id, d->data, strlen(d->data), d->expires_ms};
  }
  a->docs_fn(a->arg, STORE_OK, docs, n, "");
}

/* Until nothing is on the way. */
static void vault_turn(void) {
  for (size_t i = 0; i < fake.n_answers; i++) {
    struct fake_answer a = fake.answers[i];
    struct store_doc d = {a.found.id, a.found.data, a.found.data ? strlen(a.found.data) : 0, 0};
    if (a.doc_fn) a.doc_fn(a.arg, STORE_OK, a.found.data ? &d : NULL, "");
    if (a.done_fn) a.done_fn(a.arg, STORE_OK, a.count, "");
    if (a.docs_fn) fake_list(&a);
    free(a.found.data);
  }
  fake.n_answers = 0;
}

/* Does any document hold this text? */
static bool fake_holds(const char *text) {
  for (size_t i = 0; i < FAKE_DOCS; i++)
    if (fake.docs[i].data && (strstr(fake.docs[i].data, text) || strstr(fake.docs[i].id, text)))
      return true;
  return false;
}

static struct store *fake_store(void *arg) {
  (void)arg;
  return (struct store *)&fake;
}
static const struct seal *fake_seal_of(void *arg) {
  (void)arg;
  return &fake_seal;
}

static void vault_begin(struct vault *v, struct loop *loop, struct log *log) {
  static const unsigned char key[SEAL_KEY_LEN] = "a key of 32 bytes for this test";
  if (seal_init(&fake_seal, key)) bail_out("no key");
  fake.now_ms = UINT64_C(1700000000000);
  *v = (struct vault){.loop = loop, .log = log, .store = fake_store, .seal = fake_seal_of};
}

static void vault_end(void) {
  vault_turn();
  for (size_t i = 0; i < FAKE_DOCS; i++) free(fake.docs[i].data);
  seal_done(&fake_seal);
}

#endif
