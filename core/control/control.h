/* One configuration for all nodes: this node follows it, changes it, reports what it runs, and
 * answers what other nodes ask. Everything goes through the storage that [cluster] names.
 *
 * Must never happen: something here holds up a job, or keeps the broker from starting or running.
 */
#ifndef PB_CORE_CONTROL_CONTROL_H
#define PB_CORE_CONTROL_CONTROL_H

#include "base/seal.h"
#include "config/shared_text.h"
#include "control/letters.h"
#include "storage/shared.h"

#include <jansson.h>
#include <pepperbus/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct control_text; /* text.h */
struct log;
struct loop;
struct registry;
struct settings;

struct control_events {
  /* Brings the node to the local files and this text: control_ran() when that has ended. */
  void (*run)(void *arg, struct control_text *t);
  /* Reads the local files with this text and changes nothing: fn(fn_arg, 0 or -errno, lines). */
  void (*check)(void *arg, struct control_text *t,
                void (*fn)(void *fn_arg, int rc, const char *lines), void *fn_arg);
  /* control_is_drained() says something else: another reload is needed. */
  void (*drained)(void *arg);
  /* Compact figures of this node for its report; NULL: none. */
  json_t *(*figures)(void *arg);
  /* Carries out what another node asks: the reply, or NULL where it comes by control_reply(). May
   * be NULL. Never of the kind LETTER_COPY. */
  json_t *(*letter)(void *arg, const struct letter *l);
  void *arg;
};

/* `copy`: what the node was started with, or NULL; `refused`: why it is not running here, or NULL.
 * `types`: of the plugins, they live on. */
struct control *control_new(struct loop *loop, struct registry *registry,
                            const struct settings_types *types, struct settings *settings,
                            struct control_text *copy, const char *refused,
                            const struct control_events *ev);
/* Another snapshot runs. */
void control_apply(struct control *c, struct settings *settings);
void control_ran(struct control *c, struct control_text *t, int rc, const char *lines);
void control_stop(struct control *c); /* asks the storage for nothing any more */
/* After the stores are freed, and after the loop's last turn. NULL is fine. */
void control_free(struct control *c);
/* What a storage told: of all storages. */
void control_news(struct control *c, struct store *s, enum store_shared_event event,
                  const char *id);

/* The revision that runs here, for a reload of the local files; NULL: none. A borrowed reference.
 */
struct control_text *control_running(const struct control *c);

/* --- a drained node runs no topic (drain.c) --- */

bool control_is_drained(const struct control *c);
/* As this node knew it when it ended: before there is a control. */
bool control_drain_is_marked(const char *state_dir);

/* --- state (state.c) --- */

enum control_state {
  CONTROL_NONE, /* no storage is the cluster's */
  CONTROL_AWAY, /* it cannot be reached */
  CONTROL_READY,
  CONTROL_LOST,   /* it lost revisions: no changes until a restore */
  CONTROL_NO_KEY, /* changes need the cluster's key */
  CONTROL_WRONG_KEY
};
extern const char *const control_state_names[]; /* "none", "away", ... */

struct control_status {
  enum control_state state;
  const char *why;     /* a sentence, or "" */
  const char *storage; /* its name, or "" */
  const char *cluster;
  uint64_t head, runs, refused; /* numbers; 0: none */
  const char *hash;             /* of the head */
  const char *refused_why;      /* lines, or "" */
  const char *key_id, *key_state, *key_why;
  uint64_t forged; /* revisions and letters that were ignored */
};
/* Where sessions, tokens, audit and the rest live; NULL: nowhere, or it cannot be reached. */
struct store *control_store(struct control *c);
enum control_state control_state(struct control *c);
const char *control_why(struct control *c);
void control_status(struct control *c, struct control_status *ret);
/* Keys for sessions and the like; NULL: this node has no key. */
const struct seal *control_seal(struct control *c);
/* Where there is no key yet, makes it: before the first thing that needs one. fn(arg, 0 or -errno),
 * at once or later. */
void control_need_key(struct control *c, void (*fn)(void *arg, int rc), void *arg);
/* The newest verified revision that this node has: sections as stored (secrets hashed or sealed).
 * Both are 0 and "" where there is none. Valid until the next turn of the loop. */
const char *control_sections(struct control *c, uint64_t *ret_number);
const struct revision *control_revision(struct control *c); /* of these; NULL: none */

/* --- reports (report.c) --- */

/* All nodes that have been heard of: [{node, number, state, why, at_ms, alive, ...}]. */
typedef void (*control_nodes_fn)(void *arg, enum store_rc rc, json_t *nodes, const char *why);
void control_nodes(struct control *c, control_nodes_fn fn, void *arg);

/* --- requests to other nodes (letters.h) --- */

void control_ask(struct control *c, const char *node, enum letter_kind kind, const char *user,
                 const json_t *body, letter_reply_fn fn, void *arg);
void control_reply(struct control *c, const char *id, json_t *reply); /* takes it over */

/* --- changes (change.c) --- */

struct control_change {
  const char *text; /* sections; secrets in clear, hashed, sealed as in the base, or masked */
  size_t len;
  uint64_t base; /* the revision it was made from; 0: there was none */
  const char *by, *from, *comment;
  bool with_users; /* rollback and import: [user] sections, too */
  bool dry;        /* checked only */
  /* Judged by its difference, before anything is written: 0, or -EPERM with a sentence. May be
   * NULL. Called within control_change() or later, never after `fn`. */
  int (*judge)(void *arg, const struct shared_changes *changes, struct pb_err *err);
  void *judge_arg;
};
struct control_result {
  int status; /* of HTTP: 200, 400, 403, 404, 409, 422, 503 */
  uint64_t number;
  const char *why;          /* lines */
  json_t *changes, *theirs; /* borrowed; NULL: none */
};
typedef void (*control_result_fn)(void *arg, const struct control_result *r);
/* So many wait on this node that another one should be refused (503). */
bool control_is_busy(const struct control *c);
/* Once, never from within the call. */
void control_change(struct control *c, const struct control_change *change, control_result_fn fn,
                    void *arg);
/* The text of an older revision becomes a new one; `change` without text. */
void control_rollback(struct control *c, uint64_t number, const struct control_change *change,
                      control_result_fn fn, void *arg);
/* As control_change(), and [user] sections only with with_users. */
void control_import(struct control *c, const struct control_change *change, control_result_fn fn,
                    void *arg);
/* After a loss: the newest revision of this node becomes the head again; or, with `node`, that of
 * another one; or, with `number`, that one of the storage. */
void control_restore(struct control *c, uint64_t number, const char *node,
                     const struct control_change *change, control_result_fn fn, void *arg);
/* --- a thread for what takes longer than a turn of the loop may (work.c) --- */

/* One after the other: run(arg) on a thread, then done(arg, true), never from within the call.
 * done(arg, false): the broker stopped first. False: too many wait on this node, or it stops, and
 * neither is called. */
bool control_work(struct control *c, void (*run)(void *arg), void (*done)(void *arg, bool ran),
                  void *arg);

/* Differences as JSON: [{kind, name, what, keys, ...}]. */
json_t *control_changes_json(const struct shared_changes *changes);

#endif
