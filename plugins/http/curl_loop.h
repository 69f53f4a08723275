/* libcurl's multi interface on the host's loop: its sockets become io_set(), its one timer a timer
 * of the host. A request is only a call here: other files know its content and meaning.
 *
 * Three things are not left to libcurl 7.88:
 *
 *   sending again    When a kept connection ends before the first byte of an answer, libcurl sends
 *                    the request again on another one, up to five times, and does not say so. A job
 *                    might run twice. libcurl calls us before each sending, and we stop the second
 *                    one. The exception is a request that an HTTP/2 server has declined (GOAWAY,
 *                    REFUSED_STREAM) and has certainly not processed: it is sent again.
 *   stray answers    libcurl takes bytes that a server sends without being asked for the answer to
 *                    the next request. Kept connections are watched, and looked at again before a
 *                    request is sent. A connection that is not silent is closed.
 *   idle ones        libcurl closes kept connections only when it is busy anyway. Connections that
 *                    have been idle for long are closed here.
 */
#ifndef PB_HTTP_CURL_LOOP_H
#define PB_HTTP_CURL_LOOP_H

#include <curl/curl.h>
#include <pepperbus/transport.h>
#include <stdbool.h>

/* A declined request is sent again this often; libcurl itself would give up after five times. */
#define CURL_DECLINED_MAX 4

/* How long the address of a name is remembered if connections may be at most this old. */
#define CURL_NAME_AGE_MS(max_age_ms) ((max_age_ms) >= 20000 ? 5000 : 0)

struct curl_loop;
struct h2_conn;

/* One easy handle and the state of its call. Embedded in the request of the owner. */
struct curl_call {
  struct curl_loop *loop;
  CURL *easy;
  bool hand_over;       /* the caller's: it is only to connect, and the caller goes on */
  bool named;           /* the caller's: its host is a name; link-local addresses are refused */
  bool link_local;      /* one was refused */
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
  bool unix_socket;     /* its connection is a unix socket */
  bool unwatched;       /* in the list of calls with a descriptor that cannot be watched */
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
/* The call may speak HTTP/2: libcurl's texts about it are read. */
void curl_call_trace(struct curl_call *c);
/* Is it certain that the server has not processed the request, if libcurl says nothing about its
 * end? */
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
