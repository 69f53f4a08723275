/* Figures that are kept: of each topic and of this node a row a minute, which become rows of hours;
 * signatures of failures; marks. They live in the storages (storage/history.h).
 *
 * A topic that had anything in a minute writes one row, at a second of the minute that its name
 * chooses. An idle topic writes nothing. A new kind of failure is written within two seconds,
 * others with the row. What cannot be written now is written with a later row, so nothing is
 * counted twice and only a kill loses something: the last minute of that node.
 *
 * Must never happen: a command on the way of a job; a row that is counted twice.
 */
#ifndef PB_CORE_HISTORY_H
#define PB_CORE_HISTORY_H

#include "history/row.h"
#include "storage/history.h"

struct history;
struct loop;
struct registry;
struct topic;

struct history_source {
  /* Where rows of nodes and marks are kept; NULL: nowhere, or it is away. */
  struct store *(*home)(void *arg);
  void *arg;
};

struct history *history_new(struct loop *loop, struct registry *reg,
                            const struct history_source *source);
/* A reload: topics do not wait for their second of the minute. */
void history_hurry(struct history *h);
/* A stop: what is not written yet is sent now. */
void history_flush(struct history *h);
/* The topic's object ends, its storage is still there: what is not written of it is sent now. */
void history_topic_gone(struct history *h, struct topic *t);
void history_stop(struct history *h); /* asks the storages for nothing any more */
void history_free(struct history *h); /* after the stores; NULL is fine */

struct history_figures {
  uint64_t rows;      /* written by this node */
  uint64_t failed;    /* writes that failed; each is tried again */
  uint64_t dropped;   /* rows of topics that went while their storage was away */
  size_t behind;      /* topics, and the node, whose row has been waiting for some seconds ... */
  uint64_t behind_ms; /* ... the longest for so long */
};
struct history_figures history_figures(const struct history *h);

/* --- reading --- */

struct history_point {
  uint64_t at_ms; /* Unix: the step begins */
  struct history_row row;
  struct history_gauges gauges;
};
/* Steps that had anything, the oldest first. step_s is a multiple of 60. */
typedef void (*history_points_fn)(void *arg, enum store_rc rc, const struct history_point *points,
                                  size_t n, const char *why);
struct history_ask {
  struct store *store;
  struct store_history_of of;
  uint64_t from_ms, to_ms;
  unsigned step_s;
};
void history_read(const struct history_ask *ask, history_points_fn fn, void *arg);

/* --- marks --- */

/* A mark of this node; `kind`: "deploy", "revision", "start". `fn` may be NULL. False: the storage
 * for marks is away, and `fn` does not come. */
bool history_mark(struct history *h, const char *kind, const char *text, store_done_fn fn,
                  void *arg);

#endif
