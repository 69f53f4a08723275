/* What a plugin may know of jobs. A batch is what one request carries: a ping, or one job or more
 * of one topic. Ask the host table (transport.h) about it:
 *
 *   if (h->batch_type(b) == PB_BATCH_PING) ...
 *   for (size_t n = 0; n < h->batch_count(b); n++) {
 *     size_t len;
 *     const void *body = h->job_body(b, n, &len);
 *     ...
 *   }
 *
 * or take all of it as one text, which is quicker: batch_json(), batch_form().
 */
#ifndef PEPPERBUS_JOB_H
#define PEPPERBUS_JOB_H

/* The core's; valid from submit() until complete() is called for its ticket. At the deadline, when
 * cancel() comes, its jobs are settled: batch_count() is 0 from then on. Texts that you have got by
 * then stay valid. */
struct pb_batch;

enum pb_batch_type {
  /* No jobs: asks whether the worker serves the topic. It passes with PB_ANSWERED, code 200, and
   * the topic's path "queue/topic" in the result's `topics` or `body`. Before, no job is sent. */
  PB_BATCH_PING = 1,
  PB_BATCH_DATA = 2 /* one job or more; never more than one without PB_CAP_CHUNK */
};

#endif
