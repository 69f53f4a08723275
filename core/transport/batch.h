/* The content of one request: jobs, trace and deadline, and its texts for workers (the form and the
 * JSON of contract section 5). A text is built once, when a transport asks for it.
 */
#ifndef PB_CORE_BATCH_H
#define PB_CORE_BATCH_H

#include "base/buf.h"
#include "job/job.h"

#include <pepperbus/job.h>
#include <stdbool.h>

struct topic_settings;

/* The public name of struct pb_batch: plugins see only the accessors. */
struct pb_batch {
  enum pb_batch_type type;
  const struct topic_settings *topic; /* outlives the batch */
  struct job **jobs;                  /* of `cap`; owned by who filled it */
  size_t n, cap;
  uint64_t deadline_ms;          /* monotonic */
  uint64_t now_unix_ms;          /* of this attempt */
  uint64_t trace_id;             /* of this delivery */
  struct gateway gateway;        /* this node's */
  char trace[ID_TRACE_MAX];      /* both as text */
  char traceparent[56];          /* "": not built yet */
  struct buf form, json, bodies; /* len 0: not built yet */
  char (*ids)[ID_TEXT_MAX];      /* decimal ids, filled with the jobs */
};

/* Empty, with room for `cap` jobs. NULL: no memory. */
struct pb_batch *batch_new(size_t cap);
void batch_reset(struct pb_batch *b); /* keeps its memory, drops the jobs without freeing them */
void batch_free(struct pb_batch *b);
void batch_push(struct pb_batch *b, struct job *job);

const char *batch_form(const struct pb_batch *b, size_t *ret_len);
/* Whether `text` is what batch_form() gives of this batch (NULL: it is not). */
bool batch_is_form(const struct pb_batch *b, const void *text);
const char *batch_traceparent(const struct pb_batch *b);
const char *batch_json(const struct pb_batch *b, size_t *ret_len);
/* The bytes of job `n` as the producer gave them. A copy, as the texts are: a job is settled, and
 * gone, at its deadline, while its request may still be on its way. NULL: no memory. */
const void *batch_body(const struct pb_batch *b, size_t n, size_t *ret_len);
/* One job object as workers and pull workers see it. */
void batch_job_json(struct buf *out, const struct job *job, bool retries, uint64_t now_unix_ms);

#endif
