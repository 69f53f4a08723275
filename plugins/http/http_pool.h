/* The requests of one [pool] on their way over its addresses. Decides what happens to a request
 * that did not get through.
 *
 * Never queues: the dispatcher decides how many requests run at a time, so every request that comes
 * here goes out at once.
 */
#ifndef PB_HTTP_HTTP_POOL_H
#define PB_HTTP_HTTP_POOL_H

#include "http_request.h"

struct http_pool;

/* The keys of a [pool] section, filled by the host. */
struct http_pool_conf {
  const char *const *address;
  uint64_t connect_timeout_ms, idle_timeout_ms, max_age_ms, hangup_after_ms, max_retry_after_ms;
  int keepalive;
};

/* The pool's callbacks; `inst` is that of the work. */
struct http_pool_ops {
  /* Request over; `r` is only valid during the call. Not called for dropped ones. */
  void (*done)(void *inst, const struct http_request *r, enum http_end end);
  /* It is off the running list. The last thing of a turn: the instance and the pool may be gone
   * afterwards. */
  void (*released)(void *inst);
};

struct http_pool_counts {
  uint64_t opened, reused, over_limit;
};

/* 0, -EINVAL (an address), -ENOMEM; `err` is filled. `conf` and `ops` stay the caller's and
 * outlive the pool. */
int http_pool_new(const struct pb_host *h, struct pb_owner *o, const struct http_pool_conf *conf,
                  const struct http_pool_ops *ops, struct http_pool **ret, struct pb_err *err);
void http_pool_free(struct http_pool *p); /* its requests are freed already; NULL is fine */
const struct http_pool_conf *http_pool_conf(const struct http_pool *p);
/* The URL of a target that uses the pool has a host name. */
void http_pool_resolves(struct http_pool *p);

/* Starts `work` with a request of `spare`, or a new one for `target`; it joins `running`. Both
 * lists are the instance's. done() may come before this returns. 0 or -ENOMEM. */
int http_pool_submit(struct http_pool *p, struct http_request **spare,
                     struct http_request **running, const struct http_target *target,
                     const struct http_work *work);
/* Cancels one on `running`; done() comes at once or later. Unknown tickets are ignored. */
void http_pool_cancel(struct http_pool *p, struct http_request **running, pb_ticket ticket);
/* Frees all requests of a list. Connections of running ones are closed, and no callback comes. */
void http_pool_drop(struct http_request **list);

unsigned http_pool_connections(const struct http_pool *p);
/* Since the last call. */
struct http_pool_counts http_pool_take_counts(struct http_pool *p);
/* A sentence about the addresses; enum pb_health. */
int http_pool_health(struct http_pool *p, char *ret, size_t size);

#endif
