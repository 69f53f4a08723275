/* Connections that carry HTTP/1.1 in the clear, one request at a time: sends, receives, keeps them
 * while they are idle. They are made by others (libcurl connects), and taken over.
 *
 * A request is never sent twice: a kept connection is looked at before, and what ends after a byte
 * has left is the request's end. One on which the other side speaks unasked is closed.
 */
#ifndef PB_HTTP_HTTP_CONN_H
#define PB_HTTP_HTTP_CONN_H

#include "http1.h"

#include <pepperbus/transport.h>
#include <sys/uio.h>

struct http_conn;
struct http_conns; /* those of a pool */

/* How an exchange ended. */
enum http_conn_end {
  HTTP_CONN_ANSWERED,
  HTTP_CONN_GARBLED, /* the answer is not HTTP, or over a limit: reply->bad */
  HTTP_CONN_BROKEN   /* the connection ended; whether the job ran is unknown */
};

#define HTTP_PARTS 3

/* One request and its answer. Embedded in the request of the owner. The objects that it points at
 * stay until it has ended. */
struct http_exchange {
  struct iovec part[HTTP_PARTS]; /* the request */
  struct http_reply *reply;      /* reset */
  bool keep;                     /* the request asks for the connection to be kept */
  uint64_t max_age_ms;           /* a kept one may be this old; 0: any */
  /* Ours: */
  struct http_conn *conn; /* NULL: not under way */
  bool reused;            /* it went out on a kept connection */
};

/* `done` gets each exchange that was sent, unless it was hung up on; `why`, for people, is only
 * valid during the call, and said of BROKEN. It may come before http_conns_reuse() and
 * http_conns_open() return. 0 or -ENOMEM. */
int http_conns_new(const struct pb_host *h, struct pb_owner *o, uint64_t idle_timeout_ms,
                   void (*done)(struct http_exchange *x, enum http_conn_end end, const char *why),
                   struct http_conns **ret);
void http_conns_free(struct http_conns *s);            /* no exchange is under way; NULL is fine */
unsigned http_conns_count(const struct http_conns *s); /* idle ones included */

/* Sends on a kept connection to `where`. False: there is none, and nothing was sent. */
bool http_conns_reuse(struct http_conns *s, const char *where, struct http_exchange *x);
/* Sends on `fd`, a new connection to `where` (copied), which is taken over in any case. 0; -ENOMEM,
 * or -errno of the connection: nothing was sent. */
int http_conns_open(struct http_conns *s, int fd, const char *where, struct http_exchange *x);
/* Nobody wants the answer: it is received and dropped. */
void http_exchange_drop(struct http_exchange *x);
/* Closes its connection; done() does not come. Not under way is fine. */
void http_exchange_hang_up(struct http_exchange *x);

#endif
