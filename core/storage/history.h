/* History in a storage: rows of minutes and hours of a topic or a node, kept signatures of
 * failures, and marks. A second part of the contract of store.h; the same rules hold. What a row
 * holds is opaque here: history/row.h.
 */
#ifndef PB_CORE_STORAGE_HISTORY_H
#define PB_CORE_STORAGE_HISTORY_H

#include "storage/store.h"

#define STORE_MINUTES_MS    UINT64_C(90000000)   /* 25 h of minute rows ... */
#define STORE_HOURS_MS      UINT64_C(2678400000) /* ... and 31 days of hour rows are kept */
#define STORE_HOUR_MS       UINT64_C(3600000)
#define STORE_SIGNATURES    200 /* of a topic */
#define STORE_SIGNATURE_MAX 200 /* bytes of a text */
#define STORE_MARKS_MAX     1000
#define STORE_MARK_TEXT_MAX 500
#define STORE_HISTORY_PAGE  5000 /* rows of one answer */

/* Whose rows: a topic's, or (queue NULL) a node's. */
struct store_history_of {
  const char *queue, *topic;
  const char *node; /* who writes, or whose rows are read */
};

struct store_signature {
  char id[17];
  int code;
  uint64_t count, job;        /* job: the last one */
  uint64_t first_ms, last_ms; /* Unix, of the server; to be added: so many ms ago */
  const char *text;
  size_t text_len;
};

/* To be written in one step. */
struct store_history {
  const void *row; /* NULL: signatures only */
  size_t row_len;
  uint64_t seq; /* of this node and topic: rises with each write */
  bool again;   /* the answer was lost, or an error: it may be written already */
  const struct store_signature *signatures;
  size_t n_signatures;
  uint64_t other; /* failures whose signature is not kept */
  /* An hour that was answered as due. 0: none. */
  uint64_t hour_ms;
  const void *hour; /* all its rows put together */
  size_t hour_len;
  const char *hour_gauges;
};
/* A row as it is stored. `gauges`: "ready running retry dead oldest-seconds" or "". */
struct store_history_row {
  uint64_t at_ms; /* Unix, of the server: of an hour its beginning, else when it was written */
  const char *node, *gauges;
  const void *row;
  size_t row_len;
};
/* `hour_ms` not 0: that hour is over, and this node is to put its `rows` together and to give them
 * with its next row. One node alone is asked to, for three minutes. */
typedef void (*store_history_fn)(void *arg, enum store_rc rc, uint64_t hour_ms,
                                 const struct store_history_row *rows, size_t n, const char *why);
void store_history_add(struct store *s, const struct store_history_of *of,
                       const struct store_history *h, store_history_fn fn, void *arg);
/* The rows at or after from_ms and before to_ms, the oldest first, at most STORE_HISTORY_PAGE. */
typedef void (*store_history_rows_fn)(void *arg, enum store_rc rc,
                                      const struct store_history_row *rows, size_t n,
                                      const char *why);
void store_history_read(struct store *s, const struct store_history_of *of, bool hours,
                        uint64_t from_ms, uint64_t to_ms, store_history_rows_fn fn, void *arg);
/* Of a topic, in no order. `other`: failures whose signatures were not kept. */
typedef void (*store_signatures_fn)(void *arg, enum store_rc rc, const struct store_signature *list,
                                    size_t n, uint64_t other, const char *why);
void store_signatures(struct store *s, const char *queue, const char *topic, store_signatures_fn fn,
                      void *arg);

struct store_mark {
  uint64_t at_ms; /* Unix, of the server */
  const char *kind, *text, *node;
};
void store_mark_add(struct store *s, const struct store_mark *mark, store_done_fn fn, void *arg);
typedef void (*store_marks_fn)(void *arg, enum store_rc rc, const struct store_mark *marks,
                               size_t n, const char *why);
/* The newest STORE_MARKS_MAX of that time, the oldest first. */
void store_marks_list(struct store *s, uint64_t from_ms, uint64_t to_ms, store_marks_fn fn,
                      void *arg);

#endif
