/* Requests to workers: with jobs, pings and tests. */
#ifndef PB_CORE_REQUEST_H
#define PB_CORE_REQUEST_H

#include "dispatch/operator.h"
#include "event/loop.h"

#include <pepperbus/transport.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct instance;
struct job;
struct pb_batch;
struct pool;
struct settings;
struct topic;

enum request_kind { REQUEST_JOBS, REQUEST_PING, REQUEST_TEST };

struct request {
  struct request *next, **prev; /* on its topic's list, or the dispatcher's spare one */
  struct topic *topic;
  struct pool *pool;
  struct instance *inst;
  enum request_kind kind;
  bool started, over; /* over: settled as timed out; only its slot is still taken */
  bool late;          /* its deadline was seen late, and put off once */
  bool own;           /* the dispatcher's own ping, not an operator's */
  bool waits;         /* on its topic's no_room, or in its line again: its deadline runs already */
  bool bypass;        /* sent without a slot, because the circuit is open: nothing to release */
  struct pb_batch *batch;
  pb_ticket ticket;
  struct timer deadline;
  uint64_t started_ms;
  struct settings *snapshot; /* that the batch's topic lives in; a reference */
  struct job *test_job;
  operator_answer_fn answer;
  void *answer_arg;
};

void request_begin(struct topic *t);
void request_end(struct topic *t);

bool request_may_start(const struct topic *t);
/* Starts as many requests as jobs at hand, workers and slots allow. Only where request_may_start().
 */
void request_start_jobs(struct topic *t);
/* Sends the ping that is due. */
void request_ping(struct topic *t);

struct request *request_new(struct topic *t, enum request_kind kind); /* NULL: no memory */
void request_free(struct dispatcher *d, struct request *r);
/* Puts a ping or test into the line for a slot. */
void request_wait(struct topic *t, struct request *r);
/* Sends the pings and tests in line, as far as there are slots. */
void request_serve(struct topic *t);
/* The transport has room again: pings and tests that it refused wait in line again. */
void request_room(struct topic *t);
/* Answers the waiting pings and tests with 502. */
void request_refuse(struct topic *t, const char *why);

/* Jobs, pings and tests whose end is waited for. */
size_t request_unsettled(const struct topic *t);
/* What runs is left to the storage's record of it. */
void request_abandon(struct topic *t);

#endif
