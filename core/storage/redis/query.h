/* One question to the storage, from being asked to being answered. */
#ifndef PB_CORE_STORAGE_REDIS_QUERY_H
#define PB_CORE_STORAGE_REDIS_QUERY_H

#include "event/loop.h"
#include "storage/redis/link.h"
#include "storage/redis/refusals.h"
#include "storage/redis/script.h"
#include "storage/history.h"
#include "storage/shared.h"
#include "storage/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct query;
struct store;
struct store_queue;
struct store_topic;
typedef void (*answer_fn)(struct query *query, enum store_rc rc, struct redis_reply *r,
                          const char *why);

struct query {
  struct link_callback callback;
  struct query *next;
  struct store *store;
  struct store_queue *q; /* referenced while on the way; may be NULL */
  struct store_topic *t;
  answer_fn answer; /* called once; the query is freed after it, unless it was sent again */
  union {
    store_added_fn added;
    store_popped_fn popped;
    store_depth_fn depth;
    store_depths_fn depths;
    store_taken_fn taken;
    store_due_fn due;
    store_moved_fn moved;
    store_done_fn done;
    store_records_fn records;
    store_scanned_fn scanned;
    store_imported_fn imported;
    store_places_fn places;
    store_listed_fn listed;
    store_cancelled_fn cancelled;
    store_errors_fn errors;
    store_nodes_fn nodes;
    store_act_fn act;
    store_acts_fn acts;
    store_slice_fn slice;
    store_noted_fn noted;
    store_holds_fn holds;
    store_strays_fn strays;
    store_revision_fn revision;
    store_revisions_fn revisions;
    store_applied_fn applied;
    store_doc_fn doc;
    store_docs_fn docs;
    store_audit_fn audit;
    store_letters_fn letters;
    store_alerts_fn alerts;
    store_history_fn history;
    store_history_rows_fn history_rows;
    store_signatures_fn signatures;
    store_marks_fn marks;
  } fn;
  void *arg;
  uint64_t n[5];
  void *ptr; /* freed with it */
  bool own;  /* of the store itself: does not count for store_idle() */
  bool sent_again;
  enum store_script script;
  bool reloaded; /* its script was unknown once already */
  char *cmd;     /* of a script: to send it again */
  size_t cmd_len;
  enum store_rc rc; /* in the list of failed ones */
  char *refused;    /* why it is there, where it is not the connection */
};

struct store_queries {
  struct deferred later;
  struct query *failed, **failed_end; /* not sent; answered at the end of the turn */
  size_t n;                           /* of callers; the store's own are not counted */
  uint64_t unknown;                   /* sent, and the connection broke */
  char words[STORE_WORDS];            /* of the answer being given */
};

void query_init(struct store *s);
void query_done(struct store *s);
/* About a topic, a queue or (both NULL) the storage. */
struct query *query_new(struct store *s, struct store_queue *q, struct store_topic *t,
                        answer_fn answer, void *arg);
/* Begins s->out with EVALSHA and the number of keys. */
void query_script(struct store *s, enum store_script script, unsigned keys);
/* Sends what s->out holds; the answer always comes, and never at once. */
void query_send(struct query *query, enum store_script script);
/* From within `answer`: a second round with what s->out holds. */
void query_send_again(struct query *query, enum store_script script);
/* Sends nothing: the answer is `rc` and `why`, which is copied. */
void query_refuse(struct query *query, enum store_rc rc, const char *why);
/* An answer that changes nothing. */
void query_ignored(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why);
/* The meaning of a reply; *why is never NULL. STORE_ERROR for any error reply, except for errors
 * where the command has certainly done nothing and may be repeated later. */
enum store_rc query_rc(struct store *s, const struct redis_reply *r, const char **why);
void query_answer_failed(struct store *s); /* those that wait for the end of the turn */

uint64_t redis_reply_u64(const struct redis_reply *r); /* an integer, or a text of digits; else 0 */
bool entry_parse(const char *text, uint64_t *ms, uint64_t *seq);

#endif
