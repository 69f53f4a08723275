/* Follows the head of the shared configuration: fetches it, verifies it, has it run, keeps the
 * copy.
 *
 * The configuration never becomes empty or older by itself. Where the storage has no head any more,
 * a lower one, or another one of the same number, this node keeps what it runs and says so; so it
 * does with a head that was not written with the cluster's key.
 */
#ifndef PB_CORE_CONTROL_FOLLOW_H
#define PB_CORE_CONTROL_FOLLOW_H

#include "control/text.h"
#include "storage/shared.h"

struct log;
struct loop;

enum follow_state {
  FOLLOW_UNKNOWN, /* the storage was not asked yet, or did not answer */
  FOLLOW_CURRENT, /* this node has the head (or there is none): it runs, or was refused here */
  FOLLOW_COMES,   /* a newer head is on its way here */
  FOLLOW_LOST,    /* the storage lost revisions, or its head is not the cluster's */
  FOLLOW_KEYLESS  /* there is a newer one that this node cannot verify */
};

struct follow_events {
  struct store *(*store)(void *arg);     /* the one that is asked; NULL: none is ready */
  const struct seal *(*seal)(void *arg); /* NULL: there is no key */
  const char *(*cluster)(void *arg);
  void (*run)(void *arg, struct control_text *t); /* -> follow_ran(), later */
  void (*changed)(void *arg);                     /* something that reports tell */
  void *arg;
};

struct follow {
  struct loop *loop;
  struct log *log;
  struct follow_events ev;
  struct copy *copy;
  struct control_text *good; /* runs here; NULL: none yet */
  struct control_text *next; /* verified and newer: about to run, or refused; or NULL */
  bool running;              /* `next` is being tried */
  bool refused;              /* `next` cannot run here: refused_why */
  char *refused_why;         /* lines */
  enum follow_state state;
  char why[512];
  uint64_t head; /* number of the storage's head; 0: none, or not known */
  char head_hash[REVISION_HASH_SIZE];
  char told_hash[REVISION_HASH_SIZE]; /* of the forged one that the log has told of */
  uint64_t forged;                    /* revisions that were not written with the key, so far */
  bool asking, again;
  struct control_text *fetched; /* verified, its ancestors are being looked at */
};

/* `copy`: what the node was started with, or NULL; a reference is taken. `refused`: why it could
 * not run then, or NULL. Nothing older is taken in either case. */
void follow_init(struct follow *f, struct loop *loop, struct log *log, const char *state_dir,
                 struct control_text *copy, const char *refused, const struct follow_events *ev);
void follow_done(struct follow *f); /* after the stores are freed and the loop has ended */
/* Something may be new. */
void follow_look(struct follow *f);
/* What run() asked for has ended; `why`: lines. */
void follow_ran(struct follow *f, struct control_text *t, int rc, const char *why);
/* The local configuration changed: what was refused may run now. */
void follow_retry(struct follow *f);
/* There is another key, or one at last: what runs is run again, with its secrets opened. */
void follow_rekey(struct follow *f);
/* The newest verified revision that this node has; NULL: none. */
struct control_text *follow_top(const struct follow *f);

#endif
