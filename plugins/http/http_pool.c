/* The way of a request over the addresses. Calls http_addr, http_request, http_conn, curl_loop, the
 * host.
 */
#include "http_pool.h"

#include "common/fault.h"
#include "common/list.h"
#include "common/patience.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_pool {
  const struct pb_host *h;
  struct pb_owner *o;
  const struct http_pool_conf *conf;
  const struct http_pool_ops *ops;
  struct http_settings set;
  struct curl_loop *loop;
  struct http_conns *conns;
  struct http_addrs addrs;
  struct http_pool_counts counts;
};

static void pool_on_call(struct curl_call *c, CURLcode rc);
static void pool_on_exchange(struct http_exchange *x, enum http_conn_end end, const char *why);
static void pool_on_hangup(void *arg);

/* --- life --- */

int http_pool_new(const struct pb_host *h, struct pb_owner *o, const struct http_pool_conf *conf,
                  const struct http_pool_ops *ops, struct http_pool **ret, struct pb_err *err) {
  struct http_pool *p = calloc(1, sizeof *p);
  int rc = -ENOMEM;

  if (!p) goto out;
  p->h = h;
  p->o = o;
  p->conf = conf;
  p->ops = ops;
  rc = curl_loop_new(h, o, conf->idle_timeout_ms, pool_on_call, &p->loop);
  if (rc == 0) rc = http_conns_new(h, o, conf->idle_timeout_ms, pool_on_exchange, &p->conns);
  if (rc < 0) goto out;
  p->set = (struct http_settings){.h = h,
                                  .pool = p,
                                  .conns = p->conns,
                                  .keepalive = conf->keepalive,
                                  .max_age_ms = conf->max_age_ms};
  rc = http_addrs_init(&p->addrs, h, o, conf->address, conf->connect_timeout_ms, err);
  if (rc < 0) goto out;
  for (size_t i = 0; i < p->addrs.n; i++)
    if (p->addrs.list[i].named) curl_loop_resolves(p->loop);
  *ret = p;
  return 0;
out:
  if (rc == -ENOMEM) fault_memory(err);
  http_pool_free(p);
  return rc;
}

void http_pool_free(struct http_pool *p) {
  if (!p) return;
  http_conns_free(p->conns);
  curl_loop_free(p->loop);
  http_addrs_done(&p->addrs);
  free(p);
}

const struct http_pool_conf *http_pool_conf(const struct http_pool *p) {
  return p->conf;
}

void http_pool_resolves(struct http_pool *p) {
  if (!*p->addrs.list->name) curl_loop_resolves(p->loop);
}

unsigned http_pool_connections(const struct http_pool *p) {
  return curl_loop_connections(p->loop) + http_conns_count(p->conns);
}

struct http_pool_counts http_pool_take_counts(struct http_pool *p) {
  struct http_pool_counts c = p->counts;

  p->counts = (struct http_pool_counts){0};
  return c;
}

int http_pool_health(struct http_pool *p, char *ret, size_t size) {
  size_t bad = http_addrs_health(&p->addrs, ret, size);

  if (!bad) {
    unsigned n = http_pool_connections(p);
    snprintf(ret, size, "%u connection%s", n, n == 1 ? "" : "s");
  }
  if (bad == p->addrs.n) return PB_HEALTH_DOWN;
  return bad ? PB_HEALTH_DEGRADED : PB_HEALTH_OK;
}

/* --- the way of a request --- */

static void pool_finish(struct http_pool *p, struct http_request *r, enum http_end end) {
  void *inst = r->work.inst;

  if (r->hangup) p->h->timer_stop(r->hangup);
  LIST_REMOVE(r);
  p->ops->done(inst, r, end);
  LIST_PUSH(r->spare, r);
  p->ops->released(inst);
}

static void pool_count_call(struct http_pool *p, const struct http_request *r) {
  long opened = 0;

  curl_easy_getinfo(r->call.easy, CURLINFO_NUM_CONNECTS, &opened);
  if (opened > 0)
    p->counts.opened += (uint64_t)opened;
  else if (r->call.sent && !r->only_connects)
    p->counts.reused++;
}

static uint64_t pool_grants(const struct http_pool *p, const struct http_request *r) {
  return r->wish_ms < p->conf->max_retry_after_ms ? r->wish_ms : p->conf->max_retry_after_ms;
}

/* Applies the end of `r` to the address where it was. */
static void pool_mark(struct http_pool *p, struct http_request *r, enum http_end end) {
  switch (end) {
  case HTTP_ANSWERED:
    if (r->work.probe)
      http_visit_connected(&r->visit, &p->addrs);
    else
      http_visit_answered(&r->visit, &p->addrs);
    break;
  case HTTP_BUSY:
    if (r->reply.status == 503)
      http_visit_busy(&r->visit, &p->addrs, pool_grants(p, r), r->why);
    else
      http_visit_answered(&r->visit, &p->addrs);
    break;
  case HTTP_UNREACHABLE:
    http_visit_unreachable(&r->visit, &p->addrs, r->why);
    break;
  case HTTP_DECLINED:
  case HTTP_FULL:
    http_visit_connected(&r->visit, &p->addrs);
    break;
  case HTTP_LOST:
  case HTTP_GARBLED: /* of a cancelled one it is known already */
    if (!r->cancelled) http_visit_unanswered(&r->visit, &p->addrs, r->why);
    break;
  }
  http_visit_leave(&r->visit);
}

/* Sends it to the address where it is. */
static int pool_send(struct http_pool *p, struct http_request *r) {
  uint64_t now = p->h->now_ms(p->o);

  return http_request_send(r, now,
                           patience_ms(p->conf->connect_timeout_ms, r->work.deadline_ms, now));
}

/* Nothing was done on the way that came to `end`: takes another one, if there is one. */
static bool pool_go_on(struct http_pool *p, struct http_request *r, enum http_end end) {
  bool next = end == HTTP_UNREACHABLE || end == HTTP_FULL || end == HTTP_DECLINED ||
              (end == HTTP_BUSY && r->reply.status == 503); /* 429 is the service's own limit */

  if (r->cancelled || !next || !http_visit_go(&r->visit, &p->addrs, false)) return false;
  if (pool_send(p, r) == 0) return true;
  http_visit_leave(&r->visit);
  return false;
}

/* Every way says later: how much later, and why. */
static void pool_grant(struct http_pool *p, struct http_request *r) {
  bool several = p->addrs.n > 1 && r->reply.status == 503;
  size_t at = strlen(r->why);

  r->granted_ms = several ? http_addrs_wait_ms(&p->addrs) : pool_grants(p, r);
  if (r->wish_ms > pool_grants(p, r)) {
    snprintf(r->why + at, sizeof r->why - at, ", more than max_retry_after grants");
    at = strlen(r->why);
  }
  if (!several) return;
  snprintf(r->why + at, sizeof r->why - at, "; no other address takes the request");
  at = strlen(r->why);
  if (r->granted_ms)
    snprintf(r->why + at, sizeof r->why - at, ", the first may in %llu s",
             (unsigned long long)(r->granted_ms + 999) / 1000);
}

/* One way came to its end: goes on as long as nothing was done, else finishes the request. */
static void pool_ended(struct http_pool *p, struct http_request *r, enum http_end end) {
  if (r->reply.too_large) p->counts.over_limit++;
  if (end == HTTP_DECLINED && !r->fresh && !r->cancelled) {
    r->fresh = true;
    if (pool_send(p, r) == 0) return; /* to the same address */
  }
  pool_mark(p, r, end);
  if (pool_go_on(p, r, end)) return;
  if (end == HTTP_BUSY) pool_grant(p, r);
  pool_finish(p, r, end);
}

static void pool_on_call(struct curl_call *c, CURLcode rc) {
  struct http_request *r = (struct http_request *)c; /* its first member */
  struct http_pool *p = r->pool;
  enum http_end end;

  pool_count_call(p, r);
  if (http_request_called(r, rc, &end)) pool_ended(p, r, end);
}

static void pool_on_exchange(struct http_exchange *x, enum http_conn_end end, const char *why) {
  struct http_request *r =
      (struct http_request *)((char *)x - offsetof(struct http_request, exchange));
  struct http_pool *p = r->pool;

  if (x->reused) p->counts.reused++;
  pool_ended(p, r, http_request_exchanged(r, end, why));
}

int http_pool_submit(struct http_pool *p, struct http_request **spare,
                     struct http_request **running, const struct http_target *target,
                     const struct http_work *work) {
  struct http_request *r = *spare;
  int rc;

  if (r)
    LIST_REMOVE(r);
  else
    r = http_request_new(p->loop, target, &p->set);
  if (!r) return -ENOMEM;
  r->spare = spare;
  http_request_load(r, work);
  LIST_PUSH(running, r);
  http_visit_go(&r->visit, &p->addrs, true);
  rc = pool_send(p, r);
  if (rc == 0) return 0;
  http_visit_leave(&r->visit);
  LIST_REMOVE(r);
  LIST_PUSH(spare, r);
  return rc;
}

static void request_hang_up(struct http_pool *p, struct http_request *r, const char *why) {
  http_request_hang_up(r);
  http_visit_leave(&r->visit);
  snprintf(r->why, sizeof r->why, "%s", why);
  pool_finish(p, r, HTTP_LOST);
}

static void pool_on_hangup(void *arg) {
  struct http_request *r = arg;
  struct http_pool *p = r->pool;
  char why[120];

  snprintf(why, sizeof why, "no answer within hangup_after (%llu s) after the deadline; hung up",
           (unsigned long long)(p->conf->hangup_after_ms / 1000));
  request_hang_up(p, r, why);
}

void http_pool_cancel(struct http_pool *p, struct http_request **running, pb_ticket ticket) {
  struct http_request *r = *running;

  while (r && r->work.ticket != ticket) r = r->next;
  if (!r || r->cancelled) return;
  r->cancelled = true;
  if (!http_request_sent(r)) {
    request_hang_up(p, r, "cancelled before there was a connection");
    return;
  }
  http_visit_unanswered(&r->visit, &p->addrs, "no answer by the deadline");
  if (!r->hangup) r->hangup = p->h->timer_new(p->o, pool_on_hangup, r);
  if (!r->hangup) {
    request_hang_up(p, r, "cancelled; hung up");
    return;
  }
  http_request_drop_answer(r);
  p->h->timer_start(r->hangup, p->conf->hangup_after_ms);
}

void http_pool_drop(struct http_request **list) {
  while (*list) {
    struct http_request *r = *list;

    LIST_REMOVE(r);
    if (r->call.running || r->exchange.conn) http_visit_leave(&r->visit);
    http_request_hang_up(r);
    http_request_free(r);
  }
}
