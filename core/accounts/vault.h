/* The documents of accounts in the shared storage: JSON with a mark of the cluster's key, so that
 * what somebody wrote there without the key is ignored, counted and told.
 */
#ifndef PB_CORE_VAULT_H
#define PB_CORE_VAULT_H

#include "base/seal.h"
#include "storage/shared.h"

#include <jansson.h>

struct log;
struct loop;

struct vault {
  struct loop *loop;
  struct log *log;
  struct store *(*store)(void *arg);     /* NULL: there is none now */
  const struct seal *(*seal)(void *arg); /* NULL: this node has not the key */
  void *arg;
  bool stopped;    /* nothing is asked any more */
  uint64_t forged; /* documents with a wrong mark, ever */
};

/* Why nothing can be kept now; NULL: it can. */
const char *vault_away(const struct vault *v);
/* Unix ms by the clock of the storage, or this machine's while that is not known. */
uint64_t vault_now_ms(const struct vault *v);

/* rc: 0; -ENOENT: there is none, or none of ours; -EAGAIN: the storage or the key is away; -ENOSPC:
 * there are too many of them; else -errno. `o` is valid during the call. May come from within the
 * call that asked, where nothing can be kept now. */
typedef void (*vault_fn)(void *arg, int rc, json_t *o, const char *why);
void vault_get(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn, void *arg);
/* One caller alone gets it. */
void vault_take(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn, void *arg);
/* Each one has its "id". */
void vault_list(struct vault *v, enum store_doc_kind kind, vault_fn fn, void *arg);
/* `o` is not taken over. rc of `fn`: -ENOENT where `when` did not hold; its `o` is NULL. fn NULL:
 * nobody waits for it. */
void vault_put(struct vault *v, enum store_doc_kind kind, const char *id, json_t *o,
               uint64_t ttl_ms, enum store_doc_when when, vault_fn fn, void *arg);
void vault_delete(struct vault *v, enum store_doc_kind kind, const char *id, vault_fn fn,
                  void *arg);

/* "" or a text of `o`; 0 or a number. */
const char *vault_text(const json_t *o, const char *member);
uint64_t vault_u64(const json_t *o, const char *member);

/* The form in which a document stands in the storage: "MARK\nJSON", to be freed; NULL: it cannot be
 * made. Bound to its kind and id. The kind STORE_DOC_KINDS is a row of the audit log. */
char *vault_close(const struct seal *seal, enum store_doc_kind kind, const char *id, json_t *o);
/* NULL: it is none of ours. */
json_t *vault_open(const struct seal *seal, enum store_doc_kind kind, const char *id,
                   const void *data, size_t len);

#endif
