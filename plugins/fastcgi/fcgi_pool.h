/* The connections of one [pool]: which address the next request goes to, which connection
 * carries it, how long one without work is kept.
 *
 * Never queues: how many requests run at a time is the dispatcher's business, so every request
 * that comes here goes out at once.
 */
#ifndef PB_FASTCGI_FCGI_POOL_H
#define PB_FASTCGI_FCGI_POOL_H

#include "fcgi_watch.h"

struct fcgi_pool;

/* The keys of a [pool] section, filled by the host. */
struct fcgi_pool_conf {
  const char *const *address;
  uint64_t connect_timeout_ms, idle_timeout_ms, hangup_after_ms;
  uint64_t max_response;
  int keepalive;
  struct fcgi_watch_conf watch;
};

/* The pool's callbacks; `inst` is that of the work. */
struct fcgi_pool_ops {
  /* Request over; `c` is only valid during the call. Not called for dropped ones. */
  void (*done)(void *inst, const struct fcgi_conn *c, enum fcgi_end end);
  /* Its connection is off the running list. The last thing of a turn: the instance and the
   * pool may be gone afterwards. */
  void (*released)(void *inst);
  struct fcgi_watch_ops watch; /* `arg`: of fcgi_pool_new() */
};

/* 0, -EINVAL (an address), -ENOMEM; `err` is filled. `conf` and `ops` stay the caller's and
 * outlive the pool. */
int fcgi_pool_new(const struct pb_host *h, struct pb_owner *o, const struct fcgi_pool_conf *conf,
                  const struct fcgi_pool_ops *ops, void *arg, struct fcgi_pool **ret,
                  struct pb_err *err);
void fcgi_pool_free(struct fcgi_pool *p); /* NULL is fine */
/* Should the connection of a request that comes now be kept? */
bool fcgi_pool_keeps(const struct fcgi_pool *p);

/* Starts `work`; its connection joins `running`, the instance's list. done() may come before
 * this returns. 0 or -ENOMEM. */
int fcgi_pool_submit(struct fcgi_pool *p, struct fcgi_conn **running, const struct fcgi_work *work);
/* Cancels one on `running`; done() comes at once or later. Unknown tickets are ignored. */
void fcgi_pool_cancel(struct fcgi_pool *p, struct fcgi_conn **running, pb_ticket ticket);
/* How it stands, for people; enum pb_health. */
int fcgi_pool_health(struct fcgi_pool *p, char *ret, size_t size);
/* Addresses that were not reached the last time. */
size_t fcgi_pool_failing(const struct fcgi_pool *p);
/* Connections made since the last time this was asked. */
unsigned fcgi_pool_opened(struct fcgi_pool *p);
/* Closes the connections of all `running` requests. No callback comes. */
void fcgi_pool_drop(struct fcgi_pool *p, struct fcgi_conn **running);

#endif
