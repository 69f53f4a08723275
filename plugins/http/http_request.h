/* One request: an easy handle that is set up for one topic, the header lines that change from
 * request to request, and the reply. The object outlives its requests, so that an ordinary request
 * sets few options and allocates nothing here.
 *
 * libcurl makes all connections. Over TLS and in HTTP/2 it carries the requests too. HTTP/1.1
 * without TLS, where each request's CPU time counts, goes over http_conn: libcurl connects and
 * hands over.
 *
 * It says how a request ended. http.c decides what that means for the jobs.
 */
#ifndef PB_HTTP_HTTP_REQUEST_H
#define PB_HTTP_HTTP_REQUEST_H

#include "curl_loop.h"
#include "http_addr.h"
#include "http_conn.h"
#include "http_reply.h"
#include "http_target.h"
#include "http_tls.h"

/* How a request ended. */
enum http_end {
  HTTP_ANSWERED,    /* reply holds the answer, or nothing for a probe */
  HTTP_BUSY,        /* ... which is 429 or 503 and no verdict: nothing was done, later please */
  HTTP_DECLINED,    /* the connection was about to end and did not take it: not processed */
  HTTP_UNREACHABLE, /* no connection, or TLS refused one; the worker has seen nothing */
  HTTP_FULL,        /* the listen queue is full, or we are out of descriptors; nothing was sent */
  HTTP_LOST,        /* the connection ended; whether the job ran is unknown */
  HTTP_GARBLED      /* the answer is not HTTP, or over a limit */
};

/* All of it is the caller's and stays until the request has ended. */
struct http_work {
  void *inst; /* whose it is */
  pb_ticket ticket;
  uint64_t deadline_ms; /* by the host's clock */
  const char *body;
  size_t body_len;
  const char *trace, *parent; /* or NULL */
  const char *job_id;         /* or NULL: several jobs, or none */
  unsigned attempt;
  const char *signature; /* copied; "" : none */
  bool probe;            /* a connection is all that is wanted */
};

enum http_node {
  HTTP_NODE_TRACE, /* always the first: libcurl gets the list once */
  HTTP_NODE_PARENT,
  HTTP_NODE_SIGNATURE,
  HTTP_NODE_KEY,
  HTTP_NODE_JOB,
  HTTP_NODE_ATTEMPT,
  HTTP_NODES
};
#define HTTP_LINE_MAX  320
#define HTTP_LINES_MAX (HTTP_NODES * HTTP_LINE_MAX + 64) /* and a Content-Length */

struct http_request {
  struct curl_call call;             /* the first: libcurl's end of a call is the request's */
  struct http_request *next, **prev; /* its instance's running or spare list */
  struct http_request **spare;       /* the latter */
  const struct http_target *target;
  struct http_visit visit;         /* the pool's */
  struct http_exchange exchange;   /* over http_conn */
  struct http_conns *conns;        /* the pool's */
  uint64_t max_age_ms;             /* the pool's */
  const struct http_addr *applied; /* that the handle is set up for */
  bool only_connects;              /* the handle is set up for that, */
  bool fresh_connect;              /* ... or to use no kept connection, */
  uint64_t connect_ms;             /* and for this long to connect, */
  struct http_tls_state tls;       /* and with the files of TLS as they were then */
  bool fresh;                      /* it was declined, and goes on over a new connection */
  bool cancelled;          /* the answer is not wanted any more; the worker still works on it */
  uint64_t wish_ms;        /* BUSY: its Retry-After; 0: none */
  uint64_t granted_ms;     /* BUSY: the pool's, how long to wait; 0: it does not say */
  struct pb_timer *hangup; /* made when first needed */
  const struct pb_host *h;
  void *pool;
  struct http_work work;
  struct http_reply reply;
  struct curl_slist nodes[HTTP_NODES]; /* for libcurl: they point into `lines` */
  char lines[HTTP_LINES_MAX];          /* those that change; each ends with NUL, else with CR LF */
  size_t lines_len;
  char error[CURL_ERROR_SIZE];
  char why[CURL_ERROR_SIZE + 256]; /* for every end but ANSWERED: what happened, for people */
};

/* The data that all requests of a pool share. */
struct http_settings {
  const struct pb_host *h;
  void *pool; /* whose they are */
  struct http_conns *conns;
  bool keepalive;
  uint64_t max_age_ms; /* of a connection to a name; 0: any */
};

struct http_request *http_request_new(struct curl_loop *l, const struct http_target *target,
                                      const struct http_settings *set); /* NULL: no memory */
void http_request_free(struct http_request *r); /* not running; NULL is fine */

/* Puts `work` on it. */
void http_request_load(struct http_request *r, const struct http_work *work);
/* Sends it by way of the address where it is, `now_ms`; after `connect_ms` without a connection
 * that one is UNREACHABLE. done() of the loop or of the connections will come, perhaps before this
 * returns. 0 or -ENOMEM. */
int http_request_send(struct http_request *r, uint64_t now_ms, uint64_t connect_ms);
/* libcurl's call is over. True: so is the request, `*ret_end` and `why` say how. False: there is a
 * connection now, and it was sent on that; done() of the connections will come, or came. */
bool http_request_called(struct http_request *r, CURLcode rc, enum http_end *ret_end);
/* The exchange is over: how the request ended. Fills `why`. */
enum http_end http_request_exchanged(struct http_request *r, enum http_conn_end end,
                                     const char *why);
/* Has sending begun, so that the worker may have seen a part of it? */
bool http_request_sent(const struct http_request *r);
/* Nobody wants the answer any more; it is waited for. */
void http_request_drop_answer(struct http_request *r);
/* Takes the request back. Bytes that were sent stay sent. No done() comes. */
void http_request_hang_up(struct http_request *r);
/* The other side, for people: the pool's address, or host and port of the URL. */
const char *http_request_peer(const struct http_request *r);

#endif
