/* What nodes share: the calls of storage/shared.h waited for. */
#ifndef PB_TESTS_UNIT_STORAGE_REDIS_SHARED_FIXTURE_H
#define PB_TESTS_UNIT_STORAGE_REDIS_SHARED_FIXTURE_H

#include "store_fixture.h"
#include "storage/shared.h"

/* --- answers --- */

struct got {
  unsigned n; /* answers */
  enum store_rc rc;
  bool there, conflict;
  uint64_t number, count, total, expires_ms, at_ms;
  char hash[128], data[256], first[64], last[64], id[64], why[512];
  size_t len;
};

static inline void got_data(struct got *g, const void *data, size_t len) {
  g->len = len;
  if (data && len < sizeof g->data) memcpy(g->data, data, len);
}

static inline void got_rc(struct got *g, enum store_rc rc, const char *why) {
  g->n++;
  g->rc = rc;
  snprintf(g->why, sizeof g->why, "%s", why);
}

static inline void on_revision(void *arg, enum store_rc rc, const struct store_revision *r,
                               const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->there = r != NULL;
  if (!r) return;
  g->number = r->number;
  g->at_ms = r->at_ms;
  snprintf(g->hash, sizeof g->hash, "%s", r->hash);
  got_data(g, r->data, r->len);
}

static inline void on_revisions(void *arg, enum store_rc rc, const struct store_revision *r,
                                size_t n, uint64_t total, const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->count = n;
  g->total = total;
  if (n) g->number = r[0].number;
  if (n) got_data(g, r[n - 1].data, r[n - 1].len);
}

static inline void on_applied(void *arg, enum store_rc rc, bool conflict, uint64_t number,
                              const char *hash, const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->conflict = conflict;
  g->number = number;
  snprintf(g->hash, sizeof g->hash, "%s", hash);
}

static inline void on_did(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->count = count;
}

static inline void on_doc(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->there = d != NULL;
  if (!d) return;
  snprintf(g->id, sizeof g->id, "%s", d->id);
  g->expires_ms = d->expires_ms;
  got_data(g, d->data, d->len);
}

static inline void on_docs(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                           const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->count = n;
  for (size_t i = 0; i < n; i++) {
    g->total += d[i].len;
    if (!d[i].expires_ms) snprintf(g->id, sizeof g->id, "%s", d[i].id);
  }
}

static inline void on_audit(void *arg, enum store_rc rc, const struct store_audit_row *rows,
                            size_t n, const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->count = n;
  if (!n) return;
  snprintf(g->first, sizeof g->first, "%.*s", (int)rows[0].len, (const char *)rows[0].data);
  snprintf(g->last, sizeof g->last, "%.*s", (int)rows[n - 1].len, (const char *)rows[n - 1].data);
  snprintf(g->id, sizeof g->id, "%s", rows[n - 1].id);
  g->at_ms = rows[0].at_ms;
}

static inline void on_letters(void *arg, enum store_rc rc, const struct store_letter *l, size_t n,
                              const char *why) {
  struct got *g = arg;
  got_rc(g, rc, why);
  g->count = n;
  g->total = 0;
  for (size_t i = 0; i < n; i++) g->total += l[i].len;
  if (!n) return;
  snprintf(g->first, sizeof g->first, "%.*s", (int)l[0].len, (const char *)l[0].data);
  snprintf(g->last, sizeof g->last, "%.*s", (int)l[n - 1].len, (const char *)l[n - 1].data);
}

/* One call, waited for; its answer never comes from within. */
#define ask(node, g, call)                                                                         \
  do {                                                                                             \
    *(g) = (struct got){0};                                                                        \
    call;                                                                                          \
    if ((g)->n) fail("an answer came from within the call");                                       \
    until((node)->loop, (g)->n);                                                                   \
  } while (0)

static inline struct got add(struct node *n, uint64_t base, const char *base_hash, const char *hash,
                             const char *data) {
  struct got g;
  ask(n, &g,
      store_revision_add(n->store, base, base_hash, hash, data, strlen(data), on_applied, &g));
  return g;
}

static inline struct got restore(struct node *n, uint64_t number, const char *hash,
                                 const char *data) {
  struct got g;
  ask(n, &g, store_revision_restore(n->store, number, hash, data, strlen(data), on_applied, &g));
  return g;
}

static inline struct got head(struct node *n) {
  struct got g;
  ask(n, &g, store_revision_head(n->store, on_revision, &g));
  return g;
}

static inline struct got revision(struct node *n, uint64_t number) {
  struct got g;
  ask(n, &g, store_revision_get(n->store, number, on_revision, &g));
  return g;
}

static inline struct got revisions(struct node *n, uint64_t before, size_t count) {
  struct got g;
  ask(n, &g, store_revision_list(n->store, before, count, on_revisions, &g));
  return g;
}

static inline struct got put(struct node *n, enum store_doc_kind kind, const char *id,
                             const char *data, uint64_t ttl_ms, enum store_doc_when when) {
  struct got g;
  ask(n, &g, store_doc_put(n->store, kind, id, data, strlen(data), ttl_ms, when, on_did, &g));
  return g;
}

static inline struct got get(struct node *n, enum store_doc_kind kind, const char *id) {
  struct got g;
  ask(n, &g, store_doc_get(n->store, kind, id, on_doc, &g));
  return g;
}

static inline struct got take(struct node *n, enum store_doc_kind kind, const char *id) {
  struct got g;
  ask(n, &g, store_doc_take(n->store, kind, id, on_doc, &g));
  return g;
}

static inline struct got drop(struct node *n, enum store_doc_kind kind, const char *id) {
  struct got g;
  ask(n, &g, store_doc_delete(n->store, kind, id, on_did, &g));
  return g;
}

static inline struct got docs(struct node *n, enum store_doc_kind kind) {
  struct got g;
  ask(n, &g, store_doc_list(n->store, kind, on_docs, &g));
  return g;
}

static inline void tell_redis(const struct server *r, const char *line) {
  char text[512];
  redis(r, text, sizeof text, line);
  if (*text == '-') fail("%s: %s", line, text);
}

#endif
