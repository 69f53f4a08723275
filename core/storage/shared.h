/* What the nodes of a storage share beside jobs: the revisions of one configuration, small
 * documents that expire, the audit log, letters from node to node, and the news of all that.
 *
 * The rules of store.h hold: each callback comes exactly once, never from within the call. The
 * store knows keys and bounds. All bytes are opaque: who signs, encrypts or reads them does so
 * above. Everything here is bounded, so a server whose memory is full takes it. What is too large
 * is STORE_ERROR, what has no room left is STORE_FULL.
 */
#ifndef PB_CORE_STORE_SHARED_H
#define PB_CORE_STORE_SHARED_H

#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- revisions of the shared configuration --- */

/* So many are kept. Where they have more than STORE_REVISIONS_BYTES together, fewer are, but
 * STORE_REVISIONS_LEAST in any case. */
#define STORE_REVISIONS_KEPT  500
#define STORE_REVISIONS_LEAST 20
#define STORE_REVISIONS_BYTES (64u << 20)
#define STORE_REVISION_MAX    (8u << 20) /* bytes of one */
#define STORE_HASH_MAX        64         /* of the hash of a revision, a text without spaces */

struct store_revision {
  uint64_t number;
  uint64_t at_ms; /* Unix ms, by the clock of the server: since when it is there */
  const char *hash;
  const void *data; /* NULL in store_revision_head() */
  size_t len;
};
/* NULL: there is none. */
typedef void (*store_revision_fn)(void *arg, enum store_rc rc, const struct store_revision *r,
                                  const char *why);
/* The head: the newest revision, which all nodes run. Without its data. */
void store_revision_head(struct store *s, store_revision_fn fn, void *arg);
void store_revision_get(struct store *s, uint64_t number, store_revision_fn fn, void *arg);
/* Those before `before` (0: from the head), the newest first. May be fewer than `count`, where they
 * are large: one at least, while there is one. total: of all that are kept. */
typedef void (*store_revisions_fn)(void *arg, enum store_rc rc, const struct store_revision *r,
                                   size_t n, uint64_t total, const char *why);
void store_revision_list(struct store *s, uint64_t before, size_t count, store_revisions_fn fn,
                         void *arg);
/* Where the head still is (base, base_hash), or there is none and they are 0 and "", base+1 becomes
 * the head, and all nodes hear of it. Else `conflict`. number and hash: of the head that is there.
 * Asked again with the same hash after a lost answer, it says that it is done, with the number and
 * hash of that revision, also when others have been added since. */
typedef void (*store_applied_fn)(void *arg, enum store_rc rc, bool conflict, uint64_t number,
                                 const char *hash, const char *why);
void store_revision_add(struct store *s, uint64_t base, const char *base_hash, const char *hash,
                        const void *data, size_t len, store_applied_fn fn, void *arg);
/* After a loss: makes it the head whatever is there, with its own number. `conflict`: that number
 * is not greater than the head's, which the callback has. Asked again it says that it is done. */
void store_revision_restore(struct store *s, uint64_t number, const char *hash, const void *data,
                            size_t len, store_applied_fn fn, void *arg);

/* --- small documents that expire --- */

enum store_doc_kind {
  STORE_DOC_SESSION, /* deleted: told to all nodes (STORE_SHARED_SESSION) */
  STORE_DOC_TOKEN,
  STORE_DOC_ONCE,
  STORE_DOC_USER, /* written or deleted: told to all nodes (STORE_SHARED_USER) */
  STORE_DOC_REPORT,
  STORE_DOC_REPLY, /* written: told to all nodes (STORE_SHARED_REPLY) */
  STORE_DOC_DONE,  /* ids of requests that were carried out */
  STORE_DOC_KEY,
  STORE_DOC_NAMES, /* of a node's local sections */
  STORE_DOC_DRAIN, /* of a node that runs no topic. Written or deleted: told (STORE_SHARED_DRAIN) */
  STORE_DOC_KINDS
};
#define STORE_DOCS_MAX   10000 /* of a kind; one more is STORE_FULL */
#define STORE_DOC_MAX    (1u << 20)
#define STORE_DOC_ID_MAX 200

struct store_doc {
  const char *id;
  const void *data;
  size_t len;
  uint64_t expires_ms; /* Unix ms, by the clock of the server; 0: never */
};
enum store_doc_when {
  STORE_DOC_ALWAYS,
  STORE_DOC_NEW,  /* only where there is none of this id: of several callers one alone gets a 1.
                     After a lost answer nobody knows who that was */
  STORE_DOC_THERE /* only where there is one: what was deleted meanwhile stays deleted */
};
/* ttl_ms 0: it stays. `count` of the callback: 1 written, 0 not. */
void store_doc_put(struct store *s, enum store_doc_kind kind, const char *id, const void *data,
                   size_t len, uint64_t ttl_ms, enum store_doc_when when, store_done_fn fn,
                   void *arg);
/* NULL: there is none, or it has expired. */
typedef void (*store_doc_fn)(void *arg, enum store_rc rc, const struct store_doc *d,
                             const char *why);
void store_doc_get(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                   void *arg);
/* Gets and deletes it in one step: one caller alone gets it. */
void store_doc_take(struct store *s, enum store_doc_kind kind, const char *id, store_doc_fn fn,
                    void *arg);
/* `count`: 1 it was there, 0 not. */
void store_doc_delete(struct store *s, enum store_doc_kind kind, const char *id, store_done_fn fn,
                      void *arg);
/* All of a kind, in no order. */
typedef void (*store_docs_fn)(void *arg, enum store_rc rc, const struct store_doc *d, size_t n,
                              const char *why);
void store_doc_list(struct store *s, enum store_doc_kind kind, store_docs_fn fn, void *arg);

/* --- the audit log --- */

#define STORE_AUDIT_ROWS 100000 /* and a few more */
#define STORE_AUDIT_DAYS 90
#define STORE_AUDIT_MAX  16384 /* bytes of a row */
#define STORE_AUDIT_PAGE 1000

struct store_audit_row {
  const char *id;
  uint64_t at_ms; /* Unix ms, by the clock of the server */
  const void *data;
  size_t len;
};
/* Added again after a lost answer the row may be there twice. */
void store_audit_add(struct store *s, const void *data, size_t len, store_done_fn fn, void *arg);
typedef void (*store_audit_fn)(void *arg, enum store_rc rc, const struct store_audit_row *rows,
                               size_t n, const char *why);
/* Before the row `before` ("": from the newest), the newest first; at most STORE_AUDIT_PAGE. */
void store_audit_list(struct store *s, const char *before, size_t count, store_audit_fn fn,
                      void *arg);

/* --- letters to nodes --- */

#define STORE_LETTERS_MAX   1000 /* that wait for one node; one more is STORE_FULL ... */
#define STORE_LETTERS_BYTES (1u << 20)
#define STORE_LETTER_MS     60000 /* by the clock of the server; then nobody gets it */

struct store_letter {
  uint64_t at_ms; /* Unix ms, by the clock of the server: sent */
  const void *data;
  size_t len;
};
/* The node hears of it. Sent again after a lost answer, it may come twice. */
void store_letter_send(struct store *s, const char *node, const void *data, size_t len,
                       store_done_fn fn, void *arg);
/* All that wait for this node, the oldest first. They are deleted in the same step: when the answer
 * is lost, nobody gets them. */
typedef void (*store_letters_fn)(void *arg, enum store_rc rc, const struct store_letter *letters,
                                 size_t n, const char *why);
void store_letter_take(struct store *s, store_letters_fn fn, void *arg);

/* --- alerts: state that all nodes share, and which of them watches --- */

struct store_alert_ask {
  const char *name;
  const char *share; /* a number that this node adds to what is watched; NULL: nothing */
  bool watches;      /* this node takes or keeps the claim, where no other node has it */
};
struct store_alert {
  bool mine;         /* this node has the claim, for `lease_ms` */
  const char *state; /* as written last; "" where nothing was */
  size_t state_len;
  const char *silence; /* the same */
  size_t silence_len;
  double sum; /* of the nodes' shares that are younger than `lease_ms` */
};
#define STORE_ALERTS_MAX 50   /* of one question */
#define STORE_ALERT_MAX  4096 /* bytes of a state or a silence */
/* In the order asked; none on failure. */
typedef void (*store_alerts_fn)(void *arg, enum store_rc rc, const struct store_alert *a, size_t n,
                                const char *why);
void store_alert_look(struct store *s, const struct store_alert_ask *asks, size_t n,
                      uint64_t lease_ms, store_alerts_fn fn, void *arg);
/* Where the claim is this node's. `count`: 1 written, 0 the claim is not this node's. */
void store_alert_put(struct store *s, const char *name, const void *state, size_t len,
                     store_done_fn fn, void *arg);
/* Whoever has the claim. len 0: it ends. */
void store_alert_silence(struct store *s, const char *name, const void *silence, size_t len,
                         store_done_fn fn, void *arg);

/* --- news --- */

enum store_shared_event {
  STORE_SHARED_REVISION, /* there is another head; id: its number */
  STORE_SHARED_LETTER,   /* letters wait for this node; id: its name */
  STORE_SHARED_REPLY,    /* id: of the document */
  STORE_SHARED_SESSION,
  STORE_SHARED_USER,
  STORE_SHARED_DRAIN, /* id: of a node */
  STORE_SHARED_EVENTS
};
/* `fn` hears what any node does, this one too, once each time as a rule. By the channel that wakes;
 * what was not heard so the sweep finds within 5 s. After READY, and after a loss of data, each
 * event comes with id "": everything may be new. */
void store_on_shared(struct store *s,
                     void (*fn)(void *arg, struct store *s, enum store_shared_event event,
                                const char *id),
                     void *arg);
/* Tells all nodes, this one too. */
void store_tell_shared(struct store *s, enum store_shared_event event, const char *id);
/* The clock of the server, Unix ms, as far as it is known; 0: not yet. */
uint64_t store_clock_ms(const struct store *s);

#endif
