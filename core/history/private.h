/* What the files of history/ share. Nobody else includes this. */
#ifndef PB_CORE_HISTORY_PRIVATE_H
#define PB_CORE_HISTORY_PRIVATE_H

#include "dispatch/failures.h"
#include "event/loop.h"
#include "history/history.h"
#include "registry/registry.h"

#define HISTORY_MINUTE_S    60
#define HISTORY_LOOK_MS     1000  /* each second has the topics whose turn it is */
#define HISTORY_NEWS_MS     2000  /* new signatures are looked for so often ... */
#define HISTORY_NEWS_REST   10000 /* ... and written at most so often of a topic */
#define HISTORY_SLICE       200   /* topics that are written in one turn, where all are */
#define HISTORY_BEHIND_MS   5000  /* a row that waits for so long is behind */
#define HISTORY_REFUSED_LOG 60    /* refused writes of a topic to one line in the log */

/* What is kept of one topic, or of this node. */
struct kept;

struct history {
  struct loop *loop;
  struct registry *reg;
  struct history_source source;
  struct timer tick;
  uint64_t ticked_s, looked_ms; /* monotonic: the last turn; the last look for news */
  uint64_t generation;          /* of the registry that `turn` is of */
  unsigned char *turn;          /* of each topic its second of the minute */
  struct kept *kept;            /* all of them */
  struct kept *node;
  struct history_row sum; /* of all topics, since the node's last row */
  uint64_t accepted;      /* of all queues, then */
  bool told_start;        /* a mark says that this node has started */
  bool hurries;           /* topics from `hurry` on are written now */
  size_t hurry;
  bool stopped;
  uint64_t rows, failed, dropped; /* history_figures() */
};

#endif
