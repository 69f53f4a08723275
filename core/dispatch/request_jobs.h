/* Turns the end of a request into outcomes of its jobs. */
#ifndef PB_CORE_REQUEST_JOBS_H
#define PB_CORE_REQUEST_JOBS_H

#include <pepperbus/outcome.h>
#include <stddef.h>

struct request;

/* It ended as the transport tells. */
void request_jobs_ended(struct request *r, const struct pb_result *res);
/* For each of them it was a failed attempt. */
void request_jobs_failed(struct request *r, int code, const char *message, size_t len);
/* No job of the request was run: all are at hand again. */
void request_jobs_back(struct request *r);

#endif
