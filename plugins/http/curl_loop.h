/* libcurl's multi interface on the host's loop: its sockets become io_set(), its one timer a timer
 * of the host. Knows requests only as calls; what they say and mean is others' business.
 *
 * Three things of libcurl 7.88 are not left to it:
 *
 *   sending again    a kept connection that ends before the first byte of an answer makes libcurl
 *                    send the request once more on another one, without a word, up to five times. A
 *                    job might run twice. The call that comes before each sending stops the second,
 *                    but for a request that an HTTP/2 server has declined (GOAWAY, REFUSED_STREAM)
 *                    and that was not processed for certain: that one goes on.
 *   stray answers    what a server sends on a connection without being asked is taken for the
 *                    answer to the next request. Kept connections are watched, and looked at again
 *                    before a request goes out: one that is not silent is closed.
 *   idle ones        libcurl closes kept connections only when it is busy anyway. Those that have
 *                    been idle for long are closed here.
 */
#ifndef PB_HTTP_CURL_LOOP_H
#define PB_HTTP_CURL_LOOP_H

#include <curl/curl.h>
#include <pepperbus/transport.h>
#include <stdbool.h>

/* So often a request that is declined goes on; libcurl itself would give up after five times. */
#define CURL_DECLINED_MAX 4

/* How long the address of a name is remembered where connections are to be this old at most. */
#define CURL_NAME_AGE_MS(max_age_ms) ((max_age_ms) >= 20000 ? 5000 : 0)

struct curl_loop;
struct h2_conn;

/* One easy handle and what its way has come to. Part of whoever owns the request. */
struct curl_call {
  struct curl_loop *loop;
  CURL *easy;
  bool hand_over;       /* the caller's: it is only to connect, and the caller goes on */
  int fd;               /* ... on this descriptor, which is the caller's; -1: there is none */
  bool running;         /* libcurl has it */
  bool opened;          /* a socket was made for it */
  bool sent;            /* sending has begun: the worker may have seen a part of the request */
  bool again;           /* libcurl wanted to send it a second time, and was stopped */
  bool unknown;         /* ... because the worker may have processed it */
  int opened_fd;        /* the last one */
  bool traced;          /* see curl_call_trace() */
  uint32_t stream;      /* its number in HTTP/2; 0: none, or not known */
  struct h2_conn *conn; /* of the request that was sent; NULL: nothing is known */
  unsigned conn_serial; /* ... while it still is that one */
  unsigned declined;    /* so often the server would not have it, over HTTP/2 */
  const char *words;    /* the caller's: its CURLOPT_ERRORBUFFER */
  int connect_errno;    /* why there is no connection; 0: libcurl knows */
  bool unix_socket;     /* it was one of these */
  bool unwatched;       /* in the list of those that have a descriptor which cannot be watched */
  struct curl_call *next_unwatched;
};

/* `done` gets each call that curl_loop_add() took, unless it was removed; `rc` is libcurl's. It may
 * add and remove calls. 0 or -ENOMEM. */
int curl_loop_new(const struct pb_host *h, struct pb_owner *o, uint64_t idle_timeout_ms,
                  void (*done)(struct curl_call *c, CURLcode rc), struct curl_loop **ret);
void curl_loop_free(struct curl_loop *l); /* no call is running any more; NULL is fine */
/* Names have to be resolved from now on: libcurl makes a thread for each. */
void curl_loop_resolves(struct curl_loop *l);

/* An easy handle for `c`, with all options that belong to the loop. The caller cleans it up. */
CURL *curl_call_init(struct curl_call *c, struct curl_loop *l);
/* It may speak HTTP/2: what libcurl says of that is listened to. */
void curl_call_trace(struct curl_call *c);
/* Has the server for certain not processed what was sent, if libcurl has no words for its end? */
bool curl_call_declined(const struct curl_call *c);
/* Was it declined by a GOAWAY? */
bool curl_call_sent_away(const struct curl_call *c);
/* Lets libcurl begin; done() may come before this returns. 0 or -ENOMEM. */
int curl_loop_add(struct curl_loop *l, struct curl_call *c);
/* Takes a running one back; its connection is closed unless others use it too. */
void curl_loop_remove(struct curl_loop *l, struct curl_call *c);

/* Connections now, idle ones included. */
unsigned curl_loop_connections(const struct curl_loop *l);

#endif
