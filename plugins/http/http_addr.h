/* The addresses of one [pool], and how each of them stands: which one a request is to go to.
 *
 * Hears how requests ended and remembers it; sends nothing itself. With a single address nothing
 * is passed over, and only whether it can be reached is remembered: the topic's state tells the
 * rest.
 */
#ifndef PB_HTTP_HTTP_ADDR_H
#define PB_HTTP_HTTP_ADDR_H

#include <curl/curl.h>
#include <pepperbus/transport.h>
#include <stdbool.h>

/* Why an address is passed over. Changed by addr_set() alone. */
enum http_addr_state {
  HTTP_ADDR_WELL,
  HTTP_ADDR_UNREACHABLE, /* no connection; until one comes about */
  HTTP_ADDR_BUSY,        /* answered 503; until its time is over and it answers otherwise */
  HTTP_ADDR_MUTE         /* takes requests and does not answer; until it answers one */
};

struct http_addr {
  char name[160];                /* for people; "" : wherever the URL points */
  struct curl_slist *connect_to; /* NULL: the URL's own host, or a unix socket */
  const char *unix_path;         /* or NULL */
  bool named;                    /* a host name that has to be resolved */

  enum http_addr_state state;
  uint64_t since_ms;   /* in this state */
  uint64_t until_ms;   /* passed over before, where there is another; well: in the past */
  uint64_t pause_ms;   /* of a mute one: how long it is passed over after a probe; 0: never was */
  bool asked;          /* busy: it said itself for how long */
  unsigned unanswered; /* requests in a row */
  unsigned running;    /* requests that are there, cancelled ones included */
  unsigned probes;     /* of those, that find out whether it is back */
  char why[200];
};

struct http_addrs {
  const struct pb_host *h;
  struct pb_owner *o;
  uint64_t connect_timeout_ms;
  struct http_addr *list; /* one without a name where the pool has none */
  size_t n, next;         /* next: whose turn it is among equals */
};

/* "HOST:PORT", "[v6]:PORT" or "unix:/path". 0 or -EINVAL with a sentence. No I/O. */
int http_addr_check(const char *text, struct pb_err *err);

/* `text` ends with NULL and stays the caller's, like `h` and `o`. 0, -EINVAL, -ENOMEM with `err`
 * filled; http_addrs_done() is right in all cases. */
int http_addrs_init(struct http_addrs *l, const struct pb_host *h, struct pb_owner *o,
                    const char *const *text, uint64_t connect_timeout_ms, struct pb_err *err);
void http_addrs_done(struct http_addrs *l); /* one of zeros is fine */

/* One request's place at an address. Zeros before the first; not moved while it is there. */
struct http_visit {
  struct http_addr *addr; /* where it is, or was last */
  uint64_t seen;          /* addresses it has been at, a bit each; beyond 64 some share one */
  bool probe;             /* it finds out whether addr is back */
};

/* Goes to the usable address with the fewest requests, in turn among equals, but to none that it
 * has been at. NULL: there is none; with `any`, another one. */
struct http_addr *http_visit_go(struct http_visit *v, struct http_addrs *l, bool any);
void http_visit_leave(struct http_visit *v); /* once after each go */

/* The result of a visit, before it ends. `why` is copied. */
void http_visit_connected(struct http_visit *v, struct http_addrs *l); /* and nothing was sent */
void http_visit_answered(struct http_visit *v, struct http_addrs *l);
void http_visit_unreachable(struct http_visit *v, struct http_addrs *l, const char *why);
/* 503: nothing for it in the next `pause_ms`; 0: it did not say. */
void http_visit_busy(struct http_visit *v, struct http_addrs *l, uint64_t pause_ms,
                     const char *why);
/* The request was sent, and no answer came, or none by the deadline. */
void http_visit_unanswered(struct http_visit *v, struct http_addrs *l, const char *why);

/* In how many ms the first address takes requests again. 0: one does, or may: it was busy and did
 * not say for how long. */
uint64_t http_addrs_wait_ms(const struct http_addrs *l);
/* How many are not well, and which; 0 leaves `ret` alone. */
size_t http_addrs_health(const struct http_addrs *l, char *ret, size_t size);

#endif
