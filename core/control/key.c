/* Owns what this node knows of the cluster's key. See key.h.
 *
 * Must never happen: a second key for one cluster; something is made with a key that is not the
 * cluster's.
 */
#include "control/key.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "control/key_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOC_ID "cluster"

const char *const key_state_names[] = {"none", "ok", "missing", "wrong", "unsafe"};

struct key_need {
  struct key_need *next;
  void (*fn)(void *arg, int rc);
  void *arg;
};

/* --- the state, derived from the file and what the storage says --- */

static enum key_state derive(struct key *k, char *why, size_t size) {
  *why = 0;
  if (k->has && (!*k->wanted || !strcmp(k->wanted, k->seal.id))) return KEY_OK;
  if (k->has) {
    snprintf(why, size,
             "%s holds the key %s, but the cluster uses the key %s; copy the file from a node that "
             "has it",
             k->path, k->seal.id, k->wanted);
    return KEY_WRONG;
  }
  if (k->file_rc != -ENOENT) {
    snprintf(why, size, "%s", k->file_why);
    return KEY_UNSAFE;
  }
  if (!*k->wanted) return KEY_NONE;
  snprintf(why, size,
           "%s does not exist; copy it from a node that has the cluster's key, which is %s",
           k->path, k->wanted);
  return KEY_MISSING;
}

static void why_tell(const struct key *k) {
  if (*k->why)
    log_warning(k->log, "cluster",
                "%s; until then this node opens no secrets of the shared "
                "configuration and follows no revision of it",
                k->why);
}

static void state_update(struct key *k) {
  char why[sizeof k->why];
  enum key_state was = k->state, is = derive(k, why, sizeof why);
  bool news = was != is || strcmp(why, k->why) != 0;
  k->state = is;
  memcpy(k->why, why, sizeof why);
  if (!news) return;
  why_tell(k);
  if (is == KEY_OK)
    log_info(k->log, "cluster", "the cluster's key is %s, from %s", k->seal.id, k->path);
  k->changed(k->arg);
}

static void file_read(struct key *k) {
  struct pb_err err = {.text = ""};
  if (k->has) seal_done(&k->seal);
  k->file_rc = key_file_read(k->path, &k->seal, &err);
  k->has = !k->file_rc;
  snprintf(k->file_why, sizeof k->file_why, "%s", err.text);
}

void key_init(struct key *k, struct log *log, const char *path, void (*changed)(void *arg),
              void *arg) {
  *k = (struct key){.log = log, .changed = changed, .arg = arg, .path = strdup(path)};
  if (!k->path) out_of_memory();
  file_read(k);
  k->state = derive(k, k->why, sizeof k->why);
  why_tell(k);
}

static void needs_tell(struct key *k, int rc) {
  struct key_need *list = k->needs;
  k->needs = NULL;
  while (list) {
    struct key_need *n = list;
    list = n->next;
    n->fn(n->arg, rc);
    free(n);
  }
}

void key_done(struct key *k) {
  needs_tell(k, -ESHUTDOWN);
  if (k->has) seal_done(&k->seal);
  free(k->path);
  *k = (struct key){.path = NULL};
}

void key_file_look(struct key *k, const char *path) {
  if (!strcmp(path, k->path) && k->state == KEY_OK) return;
  if (strcmp(path, k->path)) {
    free(k->path);
    k->path = strdup(path);
    if (!k->path) out_of_memory();
  }
  file_read(k);
  state_update(k);
}

const struct seal *key_seal(const struct key *k) {
  return k->state == KEY_OK ? &k->seal : NULL;
}

/* --- the storage --- */

static void wanted_set(struct key *k, const void *data, size_t len) {
  size_t n = data && len == SEAL_ID_SIZE - 1 ? len : 0;
  if (n) memcpy(k->wanted, data, n);
  k->wanted[n] = 0;
  state_update(k);
}

static void on_asked(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct key *k = arg;
  (void)why;
  k->asking = false;
  if (rc) return; /* asked again on the next READY */
  wanted_set(k, d ? d->data : NULL, d ? d->len : 0);
}

void key_ask(struct key *k, struct store *s) {
  if (k->asking) return;
  k->asking = true;
  store_doc_get(s, STORE_DOC_KEY, DOC_ID, on_asked, k);
}

/* Who has the cluster's key now? It may be another node's. */
static void on_settled(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct key *k = arg;
  if (rc) {
    snprintf(k->why, sizeof k->why, "%s", why);
    needs_tell(k, -EAGAIN);
    return;
  }
  wanted_set(k, d ? d->data : NULL, d ? d->len : 0);
  if (!d) snprintf(k->why, sizeof k->why, "the storage has lost the id of the cluster's key");
  needs_tell(k, d && k->state == KEY_OK ? 0 : -ENOKEY);
}

struct claim { /* on its way */
  struct key *k;
  struct store *s;
};

static void on_claimed(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct claim *claim = arg;
  struct key *k = claim->k;
  struct store *s = claim->s;
  free(claim);
  (void)count;
  if (rc) { /* also where it may have happened: asking again is safe */
    snprintf(k->why, sizeof k->why, "%s", why);
    needs_tell(k, -EAGAIN);
    return;
  }
  store_doc_get(s, STORE_DOC_KEY, DOC_ID, on_settled, k);
}

static void key_make(struct key *k) {
  struct pb_err err = {.text = ""};
  int rc = key_file_make(k->path, &k->seal, &err);
  k->has = !rc;
  if (rc == -EEXIST) {
    file_read(k);
  } else if (rc) {
    k->file_rc = rc;
    snprintf(k->file_why, sizeof k->file_why, "%s", err.text);
  }
  state_update(k);
}

/* The first question comes before the file is made: another node may have made the key. */
static void on_first(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct claim *claim = arg;
  struct key *k = claim->k;
  if (!rc) wanted_set(k, d ? d->data : NULL, d ? d->len : 0);
  if (!rc && k->state == KEY_NONE) key_make(k);
  if (!rc && k->state == KEY_OK && !*k->wanted) {
    store_doc_put(claim->s, STORE_DOC_KEY, DOC_ID, k->seal.id, SEAL_ID_SIZE - 1, 0, STORE_DOC_NEW,
                  on_claimed, claim);
    return;
  }
  free(claim);
  if (rc) snprintf(k->why, sizeof k->why, "%s", why);
  needs_tell(k, rc ? -EAGAIN : k->state == KEY_OK ? 0 : -ENOKEY);
}

void key_need(struct key *k, struct store *s, void (*fn)(void *arg, int rc), void *arg) {
  struct key_need *n = malloc(sizeof *n);
  bool first = !k->needs;
  if (!n) out_of_memory();
  *n = (struct key_need){.next = k->needs, .fn = fn, .arg = arg};
  k->needs = n;
  if (!first) return; /* it waits with the others */
  struct claim *claim = malloc(sizeof *claim);
  if (!claim) out_of_memory();
  *claim = (struct claim){k, s};
  store_doc_get(s, STORE_DOC_KEY, DOC_ID, on_first, claim);
}

void key_say_id(struct store *s, const char *id, store_done_fn fn, void *arg) {
  store_doc_put(s, STORE_DOC_KEY, DOC_ID, id, SEAL_ID_SIZE - 1, 0, STORE_DOC_ALWAYS, fn, arg);
}

void key_replaced(struct key *k, const char *id) {
  file_read(k);
  snprintf(k->wanted, sizeof k->wanted, "%s", id);
  state_update(k);
}
