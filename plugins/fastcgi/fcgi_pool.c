/* Idle and busy connections of one pool. Calls fcgi_conn, the host's timers and log.
 *
 * A kept connection pins a php-fpm child even while it is idle, so idle ones go after a few
 * milliseconds; and none is ever opened before there is a request for it, because a child that
 * accepted a silent connection waits five seconds for its first byte.
 */
#include "fcgi_pool.h"

#include "common/fault.h"
#include "common/list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_CAP     (64 * 1024)
#define FAILING_MS 1000 /* an address that failed is passed over this long, if there are others */

struct fcgi_pool {
  struct fcgi_env env;
  const struct fcgi_pool_conf *conf;
  const struct fcgi_pool_ops *ops;
  struct fcgi_addr *addrs;
  size_t addr_n, addr_next;
  struct fcgi_conn *idle; /* the last used first: the others get a chance to be let go */
  struct fcgi_conn *closed;
  size_t running; /* requests, with the cancelled ones whose children still work */
  unsigned opened;
  struct fcgi_watch *watch;
  struct pb_timer *idle_timer;
  bool idle_timer_on;
};

static void pool_on_end(struct fcgi_conn *c, enum fcgi_end end);
static void pool_on_idle_closed(struct fcgi_conn *c);
static void pool_on_idle_timer(void *arg);

int fcgi_pool_new(const struct pb_host *h, struct pb_owner *o, const struct fcgi_pool_conf *conf,
                  const struct fcgi_pool_ops *ops, void *arg, struct fcgi_pool **ret,
                  struct pb_err *err) {
  struct fcgi_pool *p = calloc(1, sizeof *p);
  size_t n = 0;
  int rc = -ENOMEM;

  if (!p) goto out;
  p->conf = conf;
  p->ops = ops;
  p->env = (struct fcgi_env){
      .h = h,
      .o = o,
      .diag = fcgi_diag_new(),
      .in = malloc(IN_CAP),
      .in_cap = IN_CAP,
      .max_response = conf->max_response,
      .connect_timeout_ms = conf->connect_timeout_ms,
      .hangup_after_ms = conf->hangup_after_ms,
      .arg = p,
      .on_end = pool_on_end,
      .on_idle_closed = pool_on_idle_closed,
  };
  while (conf->address && conf->address[n]) n++;
  if (!n) {
    rc = fault(err, "address",
               "run_type cgi needs a pool with an address: add [pool NAME] with "
               "address = 127.0.0.1:9000 or unix:/path, and pool = NAME to the topic");
    goto out;
  }
  p->addrs = calloc(n, sizeof *p->addrs);
  p->idle_timer = h->timer_new(o, pool_on_idle_timer, p);
  if (!p->env.in || !p->addrs || !p->idle_timer) goto out;
  for (p->addr_n = 0; p->addr_n < n; p->addr_n++) {
    rc = fcgi_addr_parse(&p->addrs[p->addr_n], conf->address[p->addr_n], err);
    if (rc < 0) {
      snprintf(err->option, sizeof err->option, "address");
      goto out;
    }
    struct fcgi_addr *a = &p->addrs[p->addr_n];

    fcgi_listener_init(&a->listener, (struct sockaddr *)&a->sa, a->len);
  }
  rc = fcgi_watch_new(&p->env, &conf->watch, p->addrs, p->addr_n, &p->running, &ops->watch, arg,
                      &p->watch, err);
  if (rc < 0) goto out;
  *ret = p;
  return 0;
out:
  if (rc == -ENOMEM) fault_memory(err);
  fcgi_pool_free(p);
  return rc;
}

static void conn_free_list(struct fcgi_conn **list) {
  while (*list) {
    struct fcgi_conn *c = *list;

    LIST_REMOVE(c);
    fcgi_conn_free(c);
  }
}

void fcgi_pool_free(struct fcgi_pool *p) {
  if (!p) return;
  fcgi_watch_free(p->watch);
  conn_free_list(&p->idle);
  conn_free_list(&p->closed);
  if (p->idle_timer) p->env.h->timer_free(p->idle_timer);
  fcgi_diag_free(p->env.diag);
  free(p->addrs);
  free(p->env.in);
  free(p);
}

bool fcgi_pool_keeps(const struct fcgi_pool *p) {
  return p->conf->keepalive && !fcgi_watch_lets_go(p->watch);
}

/* --- addresses --- */

/* The next address in turn that is not known to fail; with `any`, another one if all do. */
static struct fcgi_addr *pool_pick(struct fcgi_pool *p, bool any) {
  uint64_t now = p->env.h->now_ms(p->env.o);
  struct fcgi_addr *a;

  for (size_t i = 0; i < p->addr_n; i++) {
    size_t at = (p->addr_next + i) % p->addr_n;

    a = &p->addrs[at];
    if (a->failing && now < a->failing_until_ms) continue;
    /* One request finds out whether it is back; the others go on passing it over. */
    if (a->failing) a->failing_until_ms = now + FAILING_MS + p->env.connect_timeout_ms;
    p->addr_next = (at + 1) % p->addr_n;
    return a;
  }
  if (!any) return NULL;
  a = &p->addrs[p->addr_next];
  p->addr_next = (p->addr_next + 1) % p->addr_n;
  return a;
}

static void pool_mark(struct fcgi_pool *p, struct fcgi_addr *a, enum fcgi_end end,
                      const char *why) {
  bool was = a->failing;

  a->failing = end == FCGI_UNREACHABLE;
  if (a->failing) {
    a->failing_until_ms = p->env.h->now_ms(p->env.o) + FAILING_MS;
    if (!was) a->failing_since_ms = a->failing_until_ms - FAILING_MS;
    snprintf(a->why, sizeof a->why, "%.150s", why);
  }
  if (p->addr_n < 2 || was == a->failing) return; /* with one address, the topic's state tells */
  if (a->failing)
    p->env.h->log(p->env.o, PB_LOG_WARNING, "cannot reach %s: %s; using the other addresses",
                  a->name, why);
  else
    p->env.h->log(p->env.o, PB_LOG_INFO, "%s is reachable again", a->name);
}

/* --- the way of a request --- */

static void pool_put_closed(struct fcgi_pool *p, struct fcgi_conn *c) {
  LIST_PUSH(&p->closed, c);
}

static void pool_put_idle(struct fcgi_pool *p, struct fcgi_conn *c) {
  LIST_PUSH(&p->idle, c);
  if (p->idle_timer_on) return;
  p->env.h->timer_start(p->idle_timer, p->conf->idle_timeout_ms);
  p->idle_timer_on = true;
}

static void pool_finish(struct fcgi_pool *p, struct fcgi_conn *c, enum fcgi_end end) {
  void *inst = c->work.inst;

  LIST_REMOVE(c);
  p->running--;
  p->ops->done(inst, c, end);
  /* Other clients wait for workers: a kept connection would hold its child against them. Our own
   * requests that wait with them would then wait until there is no more work. */
  if (end == FCGI_ANSWERED && !fcgi_watch_lets_go(p->watch) && fcgi_conn_rest(c)) {
    pool_put_idle(p, c);
  } else {
    fcgi_conn_close(c);
    pool_put_closed(p, c);
  }
  p->ops->released(inst);
}

static enum fcgi_end pool_open(struct fcgi_pool *p, struct fcgi_conn *c, struct fcgi_addr *a) {
  p->opened++;
  return fcgi_conn_open(c, a);
}

/* `c` came to `end`. If nothing was sent, it is tried again; otherwise it is finished. */
static void pool_advance(struct fcgi_pool *p, struct fcgi_conn *c, enum fcgi_end end) {
  while (end != FCGI_PENDING && !c->cancelled) {
    struct fcgi_addr *other;

    if (end == FCGI_UNSENT) {
      end = pool_open(p, c, pool_pick(p, true)); /* fresh: it cannot come here again */
      continue;
    }
    pool_mark(p, c->addr, end, c->why);
    if (end != FCGI_UNREACHABLE && end != FCGI_FULL) break;
    if (++c->tries >= p->addr_n || !(other = pool_pick(p, false))) break;
    end = pool_open(p, c, other);
  }
  if (end != FCGI_PENDING) pool_finish(p, c, end);
}

static void pool_on_end(struct fcgi_conn *c, enum fcgi_end end) {
  pool_advance(c->env->arg, c, end);
}

/* The kept connection for the next request: one whose child waits for a request, or else the first
 * whose child should be back any moment. Connections that have ended are closed on the way. */
static struct fcgi_conn *pool_kept(struct fcgi_pool *p, bool *ret_ready) {
  struct fcgi_conn *late = NULL;

  for (struct fcgi_conn *c = p->idle, *after; c; c = after) {
    after = c->next;
    switch (fcgi_conn_look(c)) {
    case FCGI_READY:
      *ret_ready = true;
      return c;
    case FCGI_NOT_YET:
      if (!late) late = c;
      break;
    case FCGI_GONE:
      LIST_REMOVE(c);
      fcgi_conn_close(c);
      pool_put_closed(p, c);
      break;
    }
  }
  return late;
}

int fcgi_pool_submit(struct fcgi_pool *p, struct fcgi_conn **running,
                     const struct fcgi_work *work) {
  bool ready = false;
  struct fcgi_conn *c = pool_kept(p, &ready);
  enum fcgi_end end;

  fcgi_watch_start(p->watch);
  if (c) {
    LIST_REMOVE(c);
    LIST_PUSH(running, c);
    p->running++;
    fcgi_conn_load(c, work);
    end = ready ? fcgi_conn_reuse(c) : fcgi_conn_wait(c);
    goto out;
  }
  c = p->closed;
  if (c)
    LIST_REMOVE(c);
  else
    c = fcgi_conn_new(&p->env);
  if (!c) return -ENOMEM;
  LIST_PUSH(running, c);
  p->running++;
  fcgi_conn_load(c, work);
  end = pool_open(p, c, pool_pick(p, true));
out:
  if (end != FCGI_PENDING) pool_advance(p, c, end);
  return 0;
}

void fcgi_pool_cancel(struct fcgi_pool *p, struct fcgi_conn **running, pb_ticket ticket) {
  enum fcgi_end end;

  for (struct fcgi_conn *c = *running; c; c = c->next) {
    if (c->work.ticket != ticket) continue;
    end = fcgi_conn_cancel(c);
    if (end != FCGI_PENDING) pool_finish(p, c, end);
    return;
  }
}

void fcgi_pool_drop(struct fcgi_pool *p, struct fcgi_conn **running) {
  while (*running) {
    struct fcgi_conn *c = *running;

    LIST_REMOVE(c);
    p->running--;
    fcgi_conn_close(c);
    pool_put_closed(p, c);
  }
}

/* --- how it stands --- */

size_t fcgi_pool_failing(const struct fcgi_pool *p) {
  size_t n = 0;

  for (size_t i = 0; i < p->addr_n; i++) n += p->addrs[i].failing;
  return n;
}

unsigned fcgi_pool_opened(struct fcgi_pool *p) {
  unsigned n = p->opened;

  p->opened = 0;
  return n;
}

struct text {
  char *at;
  size_t left;
};

static void text_add(struct text *t, const char *fmt, ...) PB_PRINTF(2, 3);
static void text_add(struct text *t, const char *fmt, ...) {
  va_list ap;
  int n;

  va_start(ap, fmt);
  n = vsnprintf(t->at, t->left, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  if ((size_t)n >= t->left) n = t->left ? (int)t->left - 1 : 0;
  t->at += n;
  t->left -= (size_t)n;
}

int fcgi_pool_health(struct fcgi_pool *p, char *ret, size_t size) {
  uint64_t now = p->env.h->now_ms(p->env.o), age;
  struct text t = {ret, size};
  struct fcgi_page st;
  size_t failing = fcgi_pool_failing(p);
  const char *why;

  for (size_t i = 0; i < p->addr_n; i++) {
    const struct fcgi_addr *a = &p->addrs[i];

    text_add(&t, "%s%s ", i ? ", " : "", a->name);
    if (a->failing)
      text_add(&t, "not reached for %" PRIu64 " s (%s)", (now - a->failing_since_ms) / 1000,
               a->why);
    else
      text_add(&t, "ok");
  }
  if (fcgi_watch_status(p->watch, &st, &age))
    text_add(&t, "; php-fpm: %" PRIu64 " of %" PRIu64 " children active, %" PRIu64 " s ago",
             st.active, st.total, age / 1000);
  if (fcgi_watch_contended(p->watch)) text_add(&t, "; requests wait for a child");
  why = fcgi_watch_why(p->watch);
  if (why) text_add(&t, "; %s", why);
  if (failing == p->addr_n) return PB_HEALTH_DOWN;
  return failing || why ? PB_HEALTH_DEGRADED : PB_HEALTH_OK;
}

/* --- letting go --- */

static void pool_on_idle_closed(struct fcgi_conn *c) {
  struct fcgi_pool *p = c->env->arg;

  LIST_REMOVE(c);
  pool_put_closed(p, c);
}

static void pool_on_idle_timer(void *arg) {
  struct fcgi_pool *p = arg;
  uint64_t now = p->env.h->now_ms(p->env.o), keep = p->conf->idle_timeout_ms, next = 0;

  if (!keep) keep = 1; /* what became idle in this very turn may get work at its end */
  p->idle_timer_on = false;
  for (struct fcgi_conn *c = p->idle, *after; c; c = after) {
    uint64_t due = c->idle_since_ms + keep;

    after = c->next;
    if (due <= now) {
      LIST_REMOVE(c);
      fcgi_conn_close(c);
      pool_put_closed(p, c);
    } else if (!next || due - now < next) {
      next = due - now;
    }
  }
  if (!next) return;
  p->env.h->timer_start(p->idle_timer, next);
  p->idle_timer_on = true;
}
