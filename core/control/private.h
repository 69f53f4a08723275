/* What the files of this station share. */
#ifndef PB_CORE_CONTROL_PRIVATE_H
#define PB_CORE_CONTROL_PRIVATE_H

#include "control/control.h"
#include "control/follow.h"
#include "control/key.h"
#include "control/letters.h"
#include "control/text.h"
#include "control/work.h"
#include "event/loop.h"

#define CONTROL_TICK_MS 5000 /* between two looks at what this node may have to tell */
#define CONTROL_LOOKS   2
#define REPORT_ROWS_MAX 100 /* of what is broken or clashes */

struct change;

struct changes { /* asked for, in order; the first one is under way */
  struct change *first, **end;
  struct change *ended; /* answered; their differences are freed on a thread */
  size_t n;
};

struct rekey;
struct waiter;

struct drain { /* of this node; drain.c */
  bool on, asking, again;
};

struct report {               /* of this node; report.c */
  char *text;                 /* what was told last, without its time; NULL: it is to be told */
  uint64_t sent_ms, names_ms; /* by the loop's clock */
  bool sending, again, names_told;
  struct names_job *names; /* being written */
};

struct control {
  struct loop *loop;
  struct log *log;
  struct registry *registry;
  const struct settings_types *types;
  struct settings *settings; /* a reference */
  struct control_events ev;
  struct key key;
  struct follow follow;
  struct letters letters;
  struct changes changes;
  struct waiter *waiters; /* for a revision; await.c */
  struct works works;
  struct rekey *rekey; /* under way; NULL: none */
  struct timer tick;
  unsigned looks; /* ticks that look at the head: the first sweeps cannot tell of lost data yet */
  bool stopped;
  struct report report;
  struct drain drain;
  char why[640]; /* control_why() */
};

/* --- report.c --- */

/* What this node runs, without a time. */
json_t *report_json(struct control *c);
/* Tells it, and the names of its local files, where it is new and somebody is there to read it. */
void report_send(struct control *c);
/* The storage may have lost what it was told. */
void report_again(struct control *c);
void report_done(struct control *c); /* after the loop's last turn */
/* The section that a node has in a local file under a name that `changes` adds to the shared
 * configuration: fn(arg, rc, lines); "" where there is none. */
typedef void (*report_clash_fn)(void *arg, enum store_rc rc, const char *lines);
void report_clashes(struct control *c, const struct shared_changes *changes, report_clash_fn fn,
                    void *arg);

/* --- drain.c --- */

/* It may be another state. */
void drain_look(struct control *c);

/* --- change.c --- */

void changes_init(struct control *c);
void changes_free(struct control *c); /* answers those that have not ended */

#endif
