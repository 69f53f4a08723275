/* Addresses in turn, without those that fail. Calls the host's clock and log. */
#include "http_addr.h"

#include "common/fault.h"
#include "common/host_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define FAILING_MS     1000  /* passed over this long: not reached, or busy without a time */
#define UNANSWERED_MAX 3     /* requests in a row, then the address is passed over */
#define MUTE_FIRST_MS  1000  /* ... this long at first; doubled by each probe that fails, */
#define MUTE_LAST_MS   30000 /* up to this */

/* --- the form --- */

static int addr_bad(struct pb_err *err, const char *text, const char *why) {
  return fault(err, "address",
               "\"%.100s\" %s; an address is HOST:PORT (127.0.0.1:8080, [::1]:8080), or unix:/path",
               text, why);
}

int http_addr_check(const char *text, struct pb_err *err) {
  const char *why;
  char host[128];
  struct in6_addr v6;
  uint16_t port;
  size_t len;

  if (strncmp(text, "unix:", 5) == 0) {
    if (text[5] != '/') return addr_bad(err, text, "is not an absolute path");
    if (strlen(text + 5) >= sizeof((struct sockaddr_un *)0)->sun_path)
      return addr_bad(err, text, "is longer than the path of a socket can be");
    return 0;
  }
  if (text[0] == '/') return addr_bad(err, text, "lacks unix: before the path");
  if (strstr(text, "://")) return addr_bad(err, text, "is a URL: that is the topic's entry");
  why = host_port_split(text, host, sizeof host, &port);
  if (why) return addr_bad(err, text, why);
  if (host[0] == '[') {
    len = strlen(host);
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
  a->named = addr_named(text);
  if (strncmp(text, "unix:", 5) == 0) {
    a->unix_path = text + 5;
    return 0;
  }
  snprintf(line, sizeof line, "::%s", text); /* any host and port of the URL: there */
  a->connect_to = curl_slist_append(NULL, line);
  return a->connect_to ? 0 : -ENOMEM;
}

/* --- life --- */

int http_addrs_init(struct http_addrs *l, const struct pb_host *h, struct pb_owner *o,
                    const char *const *text, uint64_t connect_timeout_ms, struct pb_err *err) {
  size_t n = 0;
  int rc = 0;

  *l = (struct http_addrs){.h = h, .o = o, .connect_timeout_ms = connect_timeout_ms};
  while (text[n]) n++;
  l->list = calloc(n ? n : 1, sizeof *l->list);
  if (!l->list) rc = -ENOMEM;
  while (rc == 0 && l->n < n) {
    rc = addr_init(&l->list[l->n], text[l->n], err);
    l->n++;
  }
  if (!n) l->n = 1;
  if (rc == -ENOMEM) fault_memory(err);
  return rc;
}

void http_addrs_done(struct http_addrs *l) {
  for (size_t i = 0; l->list && i < l->n; i++) curl_slist_free_all(l->list[i].connect_to);
  free(l->list);
  *l = (struct http_addrs){0};
}

/* --- how one stands --- */

static const struct {
  const char *before, *after; /* of the name, when it becomes so */
  const char *is, *again;     /* behind the name: while it is so, and when it is over */
} addr_words[] = {
    [HTTP_ADDR_UNREACHABLE] = {"cannot reach ", "", "cannot be reached", "is reachable again"},
    [HTTP_ADDR_BUSY] = {"", " is busy", "is busy", "takes requests again"},
    [HTTP_ADDR_MUTE] = {"", " does not answer", "does not answer", "answers again"},
};

static uint64_t addrs_now_ms(const struct http_addrs *l) {
  return l->h->now_ms(l->o);
}

static uint64_t whole_seconds(uint64_t ms) {
  return (ms + 999) / 1000;
}

static bool addr_well(const struct http_addr *a, uint64_t now) {
  return a->state == HTTP_ADDR_WELL || (a->state == HTTP_ADDR_BUSY && now >= a->until_ms);
}

/* Ready for a request, as far as is known. A mute one would hold every request that it gets: there
 * is one at a time, until it is really over. */
static bool addr_usable(const struct http_addr *a, uint64_t now) {
  return now >= a->until_ms && !(a->state == HTTP_ADDR_MUTE && a->probes);
}

/* What the pool does about an address that is not well. */
static const char *instead(const struct http_addrs *l) {
  for (size_t i = 0; i < l->n; i++)
    if (addr_well(&l->list[i], addrs_now_ms(l))) return "using the other addresses";
  return "none of the others is well either, taking them in turn";
}

static void addr_set(struct http_addrs *l, struct http_addr *a, enum http_addr_state state,
                     uint64_t pause_ms, const char *why) {
  enum http_addr_state was = a->state;

  a->state = state;
  a->until_ms = addrs_now_ms(l) + pause_ms;
  snprintf(a->why, sizeof a->why, "%.190s", why);
  if (was == state) return;
  a->since_ms = addrs_now_ms(l);
  if (l->n < 2) return; /* the topic's state tells */
  if (state == HTTP_ADDR_WELL)
    l->h->log(l->o, PB_LOG_INFO, "%s %s", a->name, addr_words[was].again);
  else
    l->h->log(l->o, PB_LOG_WARNING, "%s%s%s: %s; trying it in %" PRIu64 " s, %s",
              addr_words[state].before, a->name, addr_words[state].after, why,
              whole_seconds(pause_ms), instead(l));
}

/* --- visits --- */

struct http_addr *http_visit_go(struct http_visit *v, struct http_addrs *l, bool any) {
  uint64_t now = addrs_now_ms(l);
  struct http_addr *best = NULL;

  for (int all = 0; !best && all <= any; all++)
    for (size_t i = 0; i < l->n; i++) {
      struct http_addr *a = &l->list[(l->next + i) % l->n];

      if (!all && (!addr_usable(a, now) || v->seen >> (a - l->list) % 64 & 1)) continue;
      if (!best || a->running < best->running) best = a;
      if (!all && !addr_well(a, now)) { /* it is time to find out */
        best = a;
        break;
      }
    }
  if (!best) return NULL;
  l->next = ((size_t)(best - l->list) + 1) % l->n;
  v->addr = best;
  v->seen |= UINT64_C(1) << (best - l->list) % 64;
  v->probe = !addr_well(best, now) && addr_usable(best, now);
  best->running++;
  best->probes += v->probe;
  /* One request finds out whether it is back; the others go on passing it over. */
  if (v->probe) best->until_ms = now + FAILING_MS + l->connect_timeout_ms;
  return best;
}

void http_visit_leave(struct http_visit *v) {
  v->addr->running--;
  v->addr->probes -= v->probe;
  v->probe = false;
}

void http_visit_connected(struct http_visit *v, struct http_addrs *l) {
  if (v->addr->state == HTTP_ADDR_UNREACHABLE) addr_set(l, v->addr, HTTP_ADDR_WELL, 0, "");
}

void http_visit_answered(struct http_visit *v, struct http_addrs *l) {
  struct http_addr *a = v->addr;

  a->unanswered = 0;
  a->pause_ms = 0;
  if (a->state == HTTP_ADDR_WELL) return;
  /* The request was sent before the address said that it is busy. */
  if (a->state == HTTP_ADDR_BUSY && addrs_now_ms(l) < a->until_ms) return;
  addr_set(l, a, HTTP_ADDR_WELL, 0, "");
}

void http_visit_unreachable(struct http_visit *v, struct http_addrs *l, const char *why) {
  addr_set(l, v->addr, HTTP_ADDR_UNREACHABLE, FAILING_MS, why);
}

void http_visit_busy(struct http_visit *v, struct http_addrs *l, uint64_t pause_ms,
                     const char *why) {
  struct http_addr *a = v->addr;
  uint64_t now = addrs_now_ms(l), pause = pause_ms ? pause_ms : FAILING_MS;

  if (l->n < 2) {
    http_visit_answered(v, l);
    return;
  }
  a->unanswered = 0;
  a->pause_ms = 0;
  /* Of several that were there at the same time, the longest pause holds. */
  if (a->state == HTTP_ADDR_BUSY && a->until_ms > now + pause) return;
  addr_set(l, a, HTTP_ADDR_BUSY, pause, why);
  a->asked = pause_ms > 0;
}

void http_visit_unanswered(struct http_visit *v, struct http_addrs *l, const char *why) {
  struct http_addr *a = v->addr;
  char text[200];

  a->unanswered++;
  if (l->n < 2 || a->unanswered < UNANSWERED_MAX) {
    http_visit_connected(v, l);
    return;
  }
  /* Requests that were there already when the address became mute are no news. */
  if (a->state == HTTP_ADDR_MUTE && !v->probe) return;
  if (!a->pause_ms)
    a->pause_ms = MUTE_FIRST_MS;
  else if (v->probe)
    a->pause_ms = a->pause_ms < MUTE_LAST_MS / 2 ? a->pause_ms * 2 : MUTE_LAST_MS;
  snprintf(text, sizeof text, "%u requests in a row, the last: %.140s", a->unanswered, why);
  addr_set(l, a, HTTP_ADDR_MUTE, a->pause_ms, text);
}

/* --- the lot --- */

uint64_t http_addrs_wait_ms(const struct http_addrs *l) {
  uint64_t now = addrs_now_ms(l), wait = UINT64_MAX;

  for (size_t i = 0; i < l->n; i++) {
    const struct http_addr *a = &l->list[i];

    if (addr_usable(a, now) || (a->state == HTTP_ADDR_BUSY && !a->asked)) return 0;
    if (a->until_ms > now && a->until_ms - now < wait) wait = a->until_ms - now;
  }
  return wait == UINT64_MAX ? 0 : wait;
}

size_t http_addrs_health(const struct http_addrs *l, char *ret, size_t size) {
  uint64_t now = addrs_now_ms(l);
  const char *sep = ":";
  size_t bad = 0, at;

  for (size_t i = 0; i < l->n; i++) bad += !addr_well(&l->list[i], now);
  if (!bad) return 0;
  if (l->n == 1) {
    snprintf(ret, size, "cannot be reached%s%s", *l->list->name ? ": " : "", l->list->name);
    return bad;
  }
  snprintf(ret, size, "%zu of %zu addresses are passed over", bad, l->n);
  for (size_t i = 0; i < l->n; i++) {
    const struct http_addr *a = &l->list[i];

    if (addr_well(a, now)) continue;
    at = strlen(ret);
    snprintf(ret + at, size - at, "%s %s %s for %" PRIu64 " s (%.100s)", sep, a->name,
             addr_words[a->state].is, (now - a->since_ms) / 1000, a->why);
    sep = ",";
    at = strlen(ret);
    if (a->probes)
      snprintf(ret + at, size - at, ", tried now");
    else if (a->until_ms > now)
      snprintf(ret + at, size - at, ", tried in %" PRIu64 " s", whole_seconds(a->until_ms - now));
  }
  at = strlen(ret);
  snprintf(ret + at, size - at, "; %s", instead(l));
  return bad;
}
