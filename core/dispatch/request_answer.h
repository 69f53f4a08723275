/* The meaning of a worker's answer. Pure. A fuzz target, because a stranger wrote the bytes of the
 * answer. */
#ifndef PB_CORE_REQUEST_ANSWER_H
#define PB_CORE_REQUEST_ANSWER_H

#include <pepperbus/outcome.h>
#include <stddef.h>
#include <stdint.h>

/* Verdicts as the contract names them. */
enum {
  WORKER_OK = 200,
  WORKER_EACH = 207,
  WORKER_UNREGISTERED = 404,
  WORKER_FAILED = 500,
  WORKER_BUSY = 503
};

/* The answer to a ping for topic `path` ("queue/topic"): 200 it is registered, 404 it is not, 500
 * the worker failed. `ret_message` is for people, at most `size` bytes with its NUL. */
int request_answer_ping(const struct pb_result *r, const char *path, char *ret_message,
                        size_t size);

struct request_verdict {
  int code;      /* 200 done; else failed */
  char *message; /* malloc'd, or NULL */
  size_t message_len;
};
/* The verdict on each of the `n` jobs named `ids` (decimal). For code 207 by the body's list: a job
 * that it does not name failed. `verdicts` is the caller's, zeroed, of n; it frees the
 * messages. */
void request_answer_jobs(const struct pb_result *r, const char (*ids)[21], size_t n,
                         struct request_verdict *verdicts);
/* The text that says why an answer is no success: its body, or the words of the transport. */
const char *request_answer_reason(const struct pb_result *r, size_t *ret_len);

#endif
