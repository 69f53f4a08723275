/* The timer, the connections to the status pages, and what they said last. Calls fcgi_conn,
 * fcgi_diag, fcgi_status and the host's timers.
 *
 * php-fpm's own figure of its queue is 0 on unix sockets, so the kernel is asked.
 */
#include "fcgi_watch.h"

#include "common/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS        25   /* between two looks at the queues */
#define LINGER_MS      1000 /* watched on for so long after the last request */
#define PAGE_LATE_MS   5000 /* a page that has not come by then is given up */
#define PAGE_MAX       (4u << 20)
#define WATCH_HEAD_MAX 2048
#define WAITED_LOOKS   2 /* one look may meet a connection on its way to a free child */
/* Without kept connections there is always one on its way, so that the queue no longer tells
 * whether others want the children; after a while connections are kept again, to see. Where they
 * do, that costs them LOOK_MS or two of waiting, so it is tried less and less often. */
#define FAIR_FIRST_MS 500
#define FAIR_MAX_MS   30000
#define FAIR_AGAIN_MS 1000 /* kept for longer than this without a queue: it is another occasion */

struct page { /* one php-fpm's */
  struct fcgi_watch *watch;
  struct fcgi_addr addr;
  struct fcgi_conn *conn;
  bool asking, fresh;         /* fresh: read since the last time all were */
  uint64_t asked_ms, read_ms; /* read_ms 0: never */
  struct fcgi_page last;
  char why[300]; /* "": the last try went well */
};

struct fcgi_watch {
  struct fcgi_env env; /* of the status connections */
  const struct fcgi_watch_conf *conf;
  struct fcgi_addr *addrs;
  size_t addr_n;
  const size_t *running;
  const struct fcgi_watch_ops *ops;
  void *arg;
  struct page *pages;
  size_t page_n;
  uint8_t head[WATCH_HEAD_MAX];
  size_t head_len;
  struct pb_timer *timer;
  bool on;
  uint64_t work_ms;
  unsigned waited;           /* looks in a row that met a queue */
  bool fair;                 /* other clients wait: no connection is kept */
  uint64_t fair_ms, turn_ms; /* for how long; since when it is fair, or not */
  bool sampling;             /* until the pages are read */
};

static uint64_t watch_now(const struct fcgi_watch *w) {
  return w->env.h->now_ms(w->env.o);
}

/* --- the pages --- */

/* Connections are closed for pages that can be read. A page that could not be read is asked for all
 * the same.
 */
static void sample_end(struct fcgi_watch *w) {
  for (size_t i = 0; i < w->page_n; i++)
    if (w->pages[i].asking && !w->pages[i].why[0]) return;
  w->sampling = false;
}

static void page_failed(struct page *g, const char *why) {
  bool told = g->why[0];

  g->asking = false;
  snprintf(g->why, sizeof g->why, "php-fpm's status at %s cannot be read: %s", g->addr.name, why);
  if (!told) g->watch->env.h->log(g->watch->env.o, PB_LOG_WARNING, "%s; asked again", g->why);
  sample_end(g->watch);
}

static uint64_t since(uint64_t now, uint64_t was, bool restarted) {
  return restarted || now < was ? now : now - was;
}

static void page_read(struct page *g, const struct fcgi_page *now) {
  struct fcgi_watch *w = g->watch;
  bool first = !g->read_ms, restarted = !first && now->start_time != g->last.start_time;
  struct fcgi_page delta = *now;

  if (!first) {
    delta.max_children_reached =
        since(now->max_children_reached, g->last.max_children_reached, restarted);
    delta.slow_requests = since(now->slow_requests, g->last.slow_requests, restarted);
    delta.accepted = since(now->accepted, g->last.accepted, restarted);
  } else {
    delta.max_children_reached = delta.slow_requests = delta.accepted = 0;
  }
  g->last = *now;
  g->read_ms = watch_now(w);
  g->fresh = true;
  g->asking = false;
  g->why[0] = 0;
  sample_end(w);
  w->ops->page(w->arg, &delta, restarted);
}

static bool all_pages(const struct fcgi_watch *w, struct fcgi_page *ret, uint64_t *ret_ms) {
  *ret = (struct fcgi_page){.fixed = w->page_n >= w->addr_n};
  *ret_ms = UINT64_MAX;
  for (size_t i = 0; i < w->page_n; i++) {
    const struct page *g = &w->pages[i];

    if (!g->read_ms) return false;
    if (g->last.start_time > ret->start_time) ret->start_time = g->last.start_time;
    ret->accepted += g->last.accepted;
    ret->idle += g->last.idle;
    ret->active += g->last.active;
    ret->total += g->last.total;
    ret->queue += g->last.queue;
    ret->max_children_reached += g->last.max_children_reached;
    ret->slow_requests += g->last.slow_requests;
    ret->fixed = ret->fixed && g->last.fixed;
    if (g->read_ms < *ret_ms) *ret_ms = g->read_ms;
  }
  return w->page_n > 0;
}

static int watch_waiting(struct fcgi_watch *w) {
  int all = 0;

  for (size_t i = 0; i < w->addr_n; i++) {
    int one = fcgi_diag_waiting(w->env.diag, &w->addrs[i].listener);

    if (one < 0) return -1;
    all += one;
  }
  return all;
}

/* Once every page was read again, all are reported together, with the queues at this moment. */
static void tell_pages(struct fcgi_watch *w) {
  struct fcgi_page all;
  uint64_t ms;

  for (size_t i = 0; i < w->page_n; i++)
    if (!w->pages[i].fresh) return;
  for (size_t i = 0; i < w->page_n; i++) w->pages[i].fresh = false;
  if (all_pages(w, &all, &ms)) w->ops->load(w->arg, watch_waiting(w), &all);
}

static void page_end(struct page *g, enum fcgi_end end) {
  struct fcgi_conn *c = g->conn;
  const struct fcgi_reply *r = &c->reply;
  struct fcgi_page now;

  if (end != FCGI_ANSWERED) {
    page_failed(g, c->why);
  } else if (r->status == 404 || r->status == 403) {
    page_failed(g, "there is no such path; see pm.status_listen, pm.status_path and status_path");
  } else if (!r->body || fcgi_status_parse(r->buf + r->body, r->len - r->body, &now,
                                           g->watch->ops->process, g->watch->arg) < 0) {
    page_failed(g, "the page is not php-fpm's status page");
  } else {
    page_read(g, &now);
  }
  fcgi_conn_close(c);
  tell_pages(g->watch);
}

static void on_page_end(struct fcgi_conn *c, enum fcgi_end end) {
  struct fcgi_watch *w = c->env->arg;

  for (size_t i = 0; i < w->page_n; i++)
    if (w->pages[i].conn == c) page_end(&w->pages[i], end);
}

static void on_page_idle_closed(struct fcgi_conn *c) {
  (void)c; /* these are not kept */
}

static void page_ask(struct page *g) {
  struct fcgi_watch *w = g->watch;
  struct fcgi_work work = {.head = w->head, .head_len = w->head_len, .body = ""};
  enum fcgi_end end;

  if (!g->conn && !(g->conn = fcgi_conn_new(&w->env))) return;
  g->asking = true;
  g->asked_ms = watch_now(w);
  fcgi_conn_load(g->conn, &work);
  end = fcgi_conn_open(g->conn, &g->addr);
  if (end != FCGI_PENDING) page_end(g, end);
}

static void ask_pages(struct fcgi_watch *w) {
  uint64_t now = watch_now(w);

  for (size_t i = 0; i < w->page_n; i++) {
    struct page *g = &w->pages[i];

    if (g->asking && now - g->asked_ms >= PAGE_LATE_MS) {
      fcgi_conn_close(g->conn);
      page_failed(g, "no answer within 5 s; does the pool itself serve the page, and are all "
                     "children busy? pm.status_listen answers even then");
    }
    if (g->asking) continue;
    if (!g->asked_ms || now - g->asked_ms >= w->conf->interval_ms)
      page_ask(g);
    else if (!g->why[0] && now + LOOK_MS - g->asked_ms >= w->conf->interval_ms)
      w->sampling = true;
  }
}

/* --- the timer --- */

static void watch_fair(struct fcgi_watch *w, int n, uint64_t now) {
  uint64_t since = now - w->turn_ms;

  if (w->fair) {
    if (since < w->fair_ms) return;
    w->fair = false;
    w->turn_ms = now;
    w->waited = 0;
    return;
  }
  w->waited = n > 0 ? w->waited + 1 : 0;
  if (w->waited < WAITED_LOOKS) return;
  w->fair_ms = w->fair_ms && since < FAIR_AGAIN_MS ? w->fair_ms * 2 : FAIR_FIRST_MS;
  if (w->fair_ms > FAIR_MAX_MS) w->fair_ms = FAIR_MAX_MS;
  w->fair = true;
  w->turn_ms = now;
}

static void on_look(void *arg) {
  struct fcgi_watch *w = arg;
  uint64_t now = watch_now(w);
  int n;

  if (*w->running) w->work_ms = now;
  if (now - w->work_ms >= LINGER_MS) {
    w->on = false;
    w->waited = 0;
    w->fair = w->sampling = false;
    w->fair_ms = 0;
    return;
  }
  w->env.h->timer_start(w->timer, LOOK_MS);
  n = watch_waiting(w);
  watch_fair(w, n, now);
  w->ops->load(w->arg, n, NULL);
  ask_pages(w);
}

void fcgi_watch_start(struct fcgi_watch *w) {
  if (w->on) return;
  w->on = true;
  w->work_ms = watch_now(w);
  w->env.h->timer_start(w->timer, LOOK_MS);
}

bool fcgi_watch_contended(const struct fcgi_watch *w) {
  return w->fair;
}

bool fcgi_watch_lets_go(const struct fcgi_watch *w) {
  return w->sampling || fcgi_watch_contended(w);
}

bool fcgi_watch_status(struct fcgi_watch *w, struct fcgi_page *ret, uint64_t *ret_age_ms) {
  uint64_t read_ms;

  if (!w->on) ask_pages(w);
  if (!all_pages(w, ret, &read_ms)) return false;
  *ret_age_ms = watch_now(w) - read_ms;
  return true;
}

const char *fcgi_watch_why(const struct fcgi_watch *w) {
  for (size_t i = 0; i < w->page_n; i++)
    if (w->pages[i].why[0]) return w->pages[i].why;
  return NULL;
}

/* --- life --- */

static void watch_param(struct fcgi_params *p, const char *name, const char *value) {
  fcgi_params_add(p, name, value, strlen(value));
}

static int watch_head(struct fcgi_watch *w, struct pb_err *err) {
  const char *path = w->conf->path;
  struct fcgi_params p;
  int n;

  fcgi_put_begin(w->head, false);
  fcgi_params_init(&p, w->head + FCGI_BEGIN_LEN, WATCH_HEAD_MAX - FCGI_BEGIN_LEN);
  watch_param(&p, "SCRIPT_FILENAME", path);
  watch_param(&p, "SCRIPT_NAME", path);
  watch_param(&p, "REQUEST_URI", path);
  watch_param(&p, "QUERY_STRING", "json&full");
  watch_param(&p, "REQUEST_METHOD", "GET");
  watch_param(&p, "GATEWAY_INTERFACE", "CGI/1.1");
  watch_param(&p, "SERVER_PROTOCOL", "HTTP/1.1");
  n = fcgi_params_end(&p);
  if (n < 0) {
    fault(err, "status_path", "status_path is too long");
    return n;
  }
  w->head_len = FCGI_BEGIN_LEN + (size_t)n;
  return 0;
}

int fcgi_watch_new(const struct fcgi_env *env, const struct fcgi_watch_conf *conf,
                   struct fcgi_addr *addrs, size_t addr_n, const size_t *running,
                   const struct fcgi_watch_ops *ops, void *arg, struct fcgi_watch **ret,
                   struct pb_err *err) {
  struct fcgi_watch *w = calloc(1, sizeof *w);
  size_t n = 0;
  int rc = -ENOMEM;

  if (!w) goto out;
  w->env = *env;
  w->env.arg = w;
  w->env.on_end = on_page_end;
  w->env.on_idle_closed = on_page_idle_closed;
  w->env.max_response = PAGE_MAX;
  w->conf = conf;
  w->addrs = addrs;
  w->addr_n = addr_n;
  w->running = running;
  w->ops = ops;
  w->arg = arg;
  w->timer = env->h->timer_new(env->o, on_look, w);
  while (conf->status && conf->status[n]) n++;
  w->pages = calloc(n ? n : 1, sizeof *w->pages);
  if (!w->timer || !w->pages) goto out;
  rc = watch_head(w, err);
  for (; rc == 0 && w->page_n < n; w->page_n++) {
    struct page *g = &w->pages[w->page_n];

    g->watch = w;
    rc = fcgi_addr_parse(&g->addr, conf->status[w->page_n], err);
    if (rc < 0) snprintf(err->option, sizeof err->option, "status");
  }
  if (rc < 0) goto out;
  *ret = w;
  return 0;
out:
  if (rc == -ENOMEM) fault_memory(err);
  fcgi_watch_free(w);
  return rc;
}

void fcgi_watch_free(struct fcgi_watch *w) {
  if (!w) return;
  for (size_t i = 0; w->pages && i < w->page_n; i++) fcgi_conn_free(w->pages[i].conn);
  if (w->timer) w->env.h->timer_free(w->timer);
  free(w->pages);
  free(w);
}
