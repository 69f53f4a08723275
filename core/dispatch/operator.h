/* What operators do to one topic. */
#ifndef PB_CORE_OPERATOR_H
#define PB_CORE_OPERATOR_H

#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topic;

/* The result of a ping or a test. code: 200 works, 404 the topic is not registered in that file,
 * 500 the worker failed (message says why), 502 the worker cannot be reached. message is valid
 * during the call. */
typedef void (*operator_answer_fn)(void *arg, int code, const char *message, size_t len,
                                   uint64_t took_ms);
/* Asks the worker whether it registers the topic; an answer of 200 opens the topic at once. */
void operator_ping(struct topic *t, operator_answer_fn fn, void *arg);
/* Sends one job with this content to the worker, outside of the store. */
void operator_test(struct topic *t, const void *content, size_t len, operator_answer_fn fn,
                   void *arg);
/* Stores the wish (all nodes follow) and acts on it. */
void operator_pause(struct topic *t, bool paused, const char *by, const char *reason,
                    store_done_fn fn, void *arg);

#endif
