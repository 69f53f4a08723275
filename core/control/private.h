/* What the files of this station share. */
#ifndef PB_CORE_CONTROL_PRIVATE_H
#define PB_CORE_CONTROL_PRIVATE_H

#include "control/control.h"
#include "control/follow.h"
#include "control/key.h"
#include "control/letters.h"
#include "control/text.h"
#include "event/loop.h"

#define CONTROL_TICK_MS 5000 /* between two reports of this node */
#define CONTROL_LOOKS   2

struct change;

struct changes { /* asked for, in order; the first one is under way */
  struct change *first, **end;
  struct change *ended; /* answered; their differences are freed on a thread */
  size_t n;
};

struct rekey;

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
  struct rekey *rekey; /* under way; NULL: none */
  struct timer tick;
  unsigned looks; /* ticks that look at the head: the first sweeps cannot tell of lost data yet */
  bool stopped;
  bool reporting, report_again, sections_sent;
  char why[640]; /* control_why() */
};

/* --- report.c --- */

/* Says now what this node runs. */
void report_send(struct control *c);
/* The section that a node has in a local file under a name that `changes` adds to the shared
 * configuration: fn(arg, rc, lines); "" where there is none. */
typedef void (*report_clash_fn)(void *arg, enum store_rc rc, const char *lines);
void report_clashes(struct control *c, const struct shared_changes *changes, report_clash_fn fn,
                    void *arg);

/* --- change.c --- */

void changes_init(struct control *c);
void changes_free(struct control *c); /* answers those that have not ended */

#endif
