/* Addresses by turns, and the way of a request over them. Calls http_request, curl_loop, the host.
 */
#include "http_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define FAILING_MS 1000 /* an address that failed is passed over this long, if there are others */

struct http_pool {
  const struct pb_host *h;
  struct pb_owner *o;
  const struct http_pool_conf *conf;
  const struct http_pool_ops *ops;
  struct http_settings set;
  struct curl_loop *loop;
  struct http_addr *addrs; /* one without a name where the pool has none */
  size_t addr_n, addr_next;
  struct http_pool_counts counts;
};

static void pool_on_done(struct curl_call *c, CURLcode rc);
static void pool_on_hangup(void *arg);

static void request_link(struct http_request **list, struct http_request *r) {
  r->next = *list;
  r->prev = list;
  if (r->next) r->next->prev = &r->next;
  *list = r;
}

static void request_unlink(struct http_request *r) {
  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  r->next = NULL;
  r->prev = NULL;
}

/* --- addresses --- */

static int addr_bad(struct pb_err *err, const char *text, const char *why) {
  snprintf(err->option, sizeof err->option, "address");
  snprintf(err->text, sizeof err->text,
           "\"%.100s\" %s; an address is HOST:PORT (127.0.0.1:8080, [::1]:8080), or unix:/path",
           text, why);
  return -EINVAL;
}

int http_addr_check(const char *text, struct pb_err *err) {
  const char *colon = strrchr(text, ':'), *digit;
  char host[128];
  struct in6_addr v6;
  unsigned long port = 0;
  size_t len;

  if (strncmp(text, "unix:", 5) == 0) {
    if (text[5] != '/') return addr_bad(err, text, "is not an absolute path");
    if (strlen(text + 5) >= sizeof((struct sockaddr_un *)0)->sun_path)
      return addr_bad(err, text, "is longer than the path of a socket can be");
    return 0;
  }
  if (text[0] == '/') return addr_bad(err, text, "lacks unix: before the path");
  if (strstr(text, "://")) return addr_bad(err, text, "is a URL: that is the topic's entry");
  if (!colon || !colon[1] || strchr(colon, ']')) return addr_bad(err, text, "has no port");
  for (digit = colon + 1; *digit >= '0' && *digit <= '9' && port <= 65535; digit++)
    port = port * 10 + (unsigned long)(*digit - '0');
  if (*digit || !port || port > 65535) return addr_bad(err, text, "has a bad port");
  len = (size_t)(colon - text);
  if (!len || len >= sizeof host) return addr_bad(err, text, "has a bad host");
  memcpy(host, text, len);
  host[len] = 0;
  if (host[0] == '[') {
    host[len - 1] = host[len - 1] == ']' ? 0 : 'x';
    return inet_pton(AF_INET6, host + 1, &v6) == 1 ? 0
                                                   : addr_bad(err, text, "has a bad IPv6 address");
  }
  if (host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")])
    return addr_bad(err, text, "has a bad host");
  return 0;
}

static bool addr_named(const char *text) {
  char host[128];
  struct in_addr v4;

  if (text[0] == '[' || strncmp(text, "unix:", 5) == 0) return false;
  snprintf(host, sizeof host, "%.*s", (int)strcspn(text, ":"), text);
  return strcasecmp(host, "localhost") != 0 && inet_pton(AF_INET, host, &v4) != 1;
}

static int addr_init(struct http_addr *a, const char *text, struct pb_err *err) {
  char line[sizeof a->name + 8];
  int rc = http_addr_check(text, err);

  if (rc < 0) return rc;
  snprintf(a->name, sizeof a->name, "%s", text);
  if (strncmp(text, "unix:", 5) == 0) {
    a->unix_path = text + 5;
    return 0;
  }
  snprintf(line, sizeof line, "::%s", text); /* whatever the URL's host and port: there */
  a->connect_to = curl_slist_append(NULL, line);
  return a->connect_to ? 0 : -ENOMEM;
}

/* The next address by turns that is not known to fail; with `any`, another one if all do. */
static struct http_addr *pool_pick(struct http_pool *p, bool any) {
  uint64_t now = p->h->now_ms(p->o);
  struct http_addr *a;

  for (size_t i = 0; i < p->addr_n; i++) {
    size_t at = (p->addr_next + i) % p->addr_n;

    a = &p->addrs[at];
    if (a->failing && now < a->failing_until_ms) continue;
    /* One request finds out whether it is back; the others go on passing it over. */
    if (a->failing) a->failing_until_ms = now + FAILING_MS + p->conf->connect_timeout_ms;
    p->addr_next = (at + 1) % p->addr_n;
    return a;
  }
  if (!any) return NULL;
  a = &p->addrs[p->addr_next];
  p->addr_next = (p->addr_next + 1) % p->addr_n;
  return a;
}

static void pool_mark(struct http_pool *p, struct http_addr *a, enum http_end end,
                      const char *why) {
  bool was = a->failing;

  a->failing = end == HTTP_UNREACHABLE;
  if (a->failing) a->failing_until_ms = p->h->now_ms(p->o) + FAILING_MS;
  if (p->addr_n < 2 || was == a->failing) return; /* with one address, the topic's state tells */
  if (a->failing)
    p->h->log(p->o, PB_LOG_WARNING, "cannot reach %s: %s; using the other addresses", a->name, why);
  else
    p->h->log(p->o, PB_LOG_INFO, "%s is reachable again", a->name);
}

int http_pool_health(struct http_pool *p, char *ret, size_t size) {
  size_t failing = 0;
  const char *which = "";

  for (size_t i = 0; i < p->addr_n; i++)
    if (p->addrs[i].failing) {
      failing++;
      which = p->addrs[i].name;
    }
  if (!failing) {
    snprintf(ret, size, "%u connections", http_pool_connections(p));
    return PB_HEALTH_OK;
  }
  if (p->addr_n == 1)
    snprintf(ret, size, "cannot be reached%s%s", *which ? ": " : "", which);
  else
    snprintf(ret, size, "%zu of %zu addresses cannot be reached, such as %s", failing, p->addr_n,
             which);
  return failing == p->addr_n ? PB_HEALTH_DOWN : PB_HEALTH_DEGRADED;
}

/* --- life --- */

int http_pool_new(const struct pb_host *h, struct pb_owner *o, const struct http_pool_conf *conf,
                  const struct http_pool_ops *ops, struct http_pool **ret, struct pb_err *err) {
  struct http_pool *p = calloc(1, sizeof *p);
  size_t n = 0;
  int rc = -ENOMEM;

  if (!p) goto out;
  p->h = h;
  p->o = o;
  p->conf = conf;
  p->ops = ops;
  p->set = (struct http_settings){.h = h,
                                  .pool = p,
                                  .connect_timeout_ms = conf->connect_timeout_ms,
                                  .keepalive = conf->keepalive};
  rc = curl_loop_new(h, o, conf->idle_timeout_ms, pool_on_done, &p->loop);
  if (rc < 0) goto out;
  while (conf->address[n]) n++;
  p->addrs = calloc(n ? n : 1, sizeof *p->addrs);
  rc = -ENOMEM;
  if (!p->addrs) goto out;
  for (size_t i = 0; i < n; i++) {
    rc = addr_init(&p->addrs[p->addr_n++], conf->address[i], err);
    if (rc < 0) goto out;
    if (addr_named(conf->address[i])) curl_loop_resolves(p->loop);
  }
  if (!n) p->addr_n = 1;
  *ret = p;
  return 0;
out:
  if (rc == -ENOMEM) snprintf(err->text, sizeof err->text, "no memory");
  http_pool_free(p);
  return rc;
}

void http_pool_free(struct http_pool *p) {
  if (!p) return;
  curl_loop_free(p->loop);
  for (size_t i = 0; i < p->addr_n; i++) curl_slist_free_all(p->addrs[i].connect_to);
  free(p->addrs);
  free(p);
}

const struct http_pool_conf *http_pool_conf(const struct http_pool *p) {
  return p->conf;
}

void http_pool_resolves(struct http_pool *p) {
  if (!*p->addrs->name) curl_loop_resolves(p->loop);
}

unsigned http_pool_connections(const struct http_pool *p) {
  return curl_loop_connections(p->loop);
}

struct http_pool_counts http_pool_take_counts(struct http_pool *p) {
  struct http_pool_counts c = p->counts;

  p->counts = (struct http_pool_counts){0};
  return c;
}

/* --- the way of a request --- */

static void pool_finish(struct http_pool *p, struct http_request *r, enum http_end end) {
  void *inst = r->work.inst;

  if (r->hangup) p->h->timer_stop(r->hangup);
  request_unlink(r);
  p->ops->done(inst, r, end);
  request_link(r->spare, r);
  p->ops->released(inst);
}

static void pool_count(struct http_pool *p, const struct http_request *r) {
  long opened = 0;

  curl_easy_getinfo(r->call.easy, CURLINFO_NUM_CONNECTS, &opened);
  if (opened > 0)
    p->counts.opened += (uint64_t)opened;
  else if (r->call.sent && !r->probing)
    p->counts.reused++;
  if (r->reply.too_large) p->counts.over_limit++;
}

/* One call of libcurl is over: goes on as long as nothing was sent, else finishes the request. */
static void pool_on_done(struct curl_call *c, CURLcode rc) {
  struct http_request *r = (struct http_request *)c; /* its first member */
  struct http_pool *p = r->pool;
  enum http_end end = http_request_end(r, rc);

  pool_count(p, r);
  pool_mark(p, r->addr, end, r->why);
  if (!r->cancelled && (end == HTTP_UNREACHABLE || end == HTTP_FULL) && ++r->tries < p->addr_n) {
    struct http_addr *other = pool_pick(p, false);

    if (other && http_request_send(r, other) == 0) return;
  }
  pool_finish(p, r, end);
}

int http_pool_submit(struct http_pool *p, struct http_request **spare,
                     struct http_request **running, const struct http_target *target,
                     const struct http_work *work) {
  struct http_request *r = *spare;
  int rc;

  if (r)
    request_unlink(r);
  else
    r = http_request_new(p->loop, target, &p->set);
  if (!r) return -ENOMEM;
  r->spare = spare;
  http_request_load(r, work);
  request_link(running, r);
  rc = http_request_send(r, pool_pick(p, true));
  if (rc == 0) return 0;
  request_unlink(r);
  request_link(spare, r);
  return rc;
}

static void request_hang_up(struct http_pool *p, struct http_request *r, const char *why) {
  curl_loop_remove(p->loop, &r->call);
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
  if (!r->call.sent || r->probing) {
    request_hang_up(p, r, "cancelled before there was a connection");
    return;
  }
  if (!r->hangup) r->hangup = p->h->timer_new(p->o, pool_on_hangup, r);
  if (!r->hangup) {
    request_hang_up(p, r, "cancelled; hung up");
    return;
  }
  http_reply_reset(&r->reply);
  p->h->timer_start(r->hangup, p->conf->hangup_after_ms);
}

void http_pool_drop(struct http_pool *p, struct http_request **list) {
  while (*list) {
    struct http_request *r = *list;

    request_unlink(r);
    curl_loop_remove(p->loop, &r->call);
    http_request_free(r);
  }
}
