/* A small HTTP/1 server on the loop, for the admin port: connections, their limits and deadlines,
 * one request after the other, answers whole or piece by piece.
 *
 * A client that has not shown a right token is a stranger. The number of strangers is limited. One
 * stranger too many takes the place of the stranger that has kept us waiting longest. So a client
 * with a right token always gets in, however many strangers there are. `head` checks a head before
 * its body is read.
 *
 * Handlers run for a few ms per turn, the connections one after the other.
 */
#ifndef PB_CORE_HTTP_SERVER_H
#define PB_CORE_HTTP_SERVER_H

#include "admin/http_head.h"

#include <pepperbus/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct http_server;
struct http_request; /* valid until it is answered, or `gone` */
struct loop;

struct http_limits {
  size_t strangers, friends; /* connections */
  size_t bodies;             /* bytes of bodies at a time, over all connections */
  uint64_t head_ms;          /* for a head, from its first byte or the connection's beginning */
  uint64_t body_ms;          /* for each 64 kB of a body */
  uint64_t read_ms;          /* to read an answer: all of it (a stranger), each 64 kB (others) */
  uint64_t idle_ms;          /* a kept connection without a request */
};
extern const struct http_limits http_limits_default;

struct http_counters {
  uint64_t strangers, friends; /* now */
  uint64_t accepted, requests; /* ever */
  uint64_t over_strangers;     /* strangers that lost their place to a newcomer */
  uint64_t over_friends, over_bodies;
  uint64_t late_heads, late_bodies, late_readers;
  uint64_t malformed;
};

struct http_events {
  /* A head is there, its body is not. Answers it, or has its body read: http_accept(). Or lets it
   * wait for either: http_wait(). */
  void (*head)(void *arg, struct http_request *r);
  /* It is there whole. Answers it now or later. */
  void (*request)(void *arg, struct http_request *r);
  /* Its client has gone, or was cut off: it can be answered no more. */
  void (*gone)(void *arg, struct http_request *r);
  void *arg;
};

/* NULL: no memory. What `limits` and `ev` hold is copied. */
struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    const struct http_events *ev);
/* Closes all connections. NULL is fine. */
void http_server_free(struct http_server *s);
void http_server_limit(struct http_server *s, const struct http_limits *limits);
struct http_counters http_server_counters(const struct http_server *s);
/* May another stranger be accepted now? False: the requests of all strangers wait for their turn,
 * so nobody may be accepted. */
bool http_server_room(const struct http_server *s);
/* Takes over a connection. `peer`: for the log. `local`: the connection came over a unix socket
 * that only our own user can open, so the client is no stranger from the start. */
void http_server_take(struct http_server *s, int fd, const char *peer, bool local);

/* --- a request --- */

const struct http_head *http_request_head(const struct http_request *r);
const char *http_request_peer(const struct http_request *r);
bool http_request_local(const struct http_request *r);
void http_request_keep(struct http_request *r, void *own); /* the owner's data of this request */
void *http_request_own(const struct http_request *r);
/* It has shown a right token. False: there are too many of those; answered with 503. */
bool http_befriend(struct http_request *r);
/* From `head`: the request waits for http_accept() or http_answer(), and nothing more of it is
 * read. The owner sees to it that it does not wait for ever. */
void http_wait(struct http_request *r);
/* From `head`, or while it waits: the body is read, up to `max` bytes. False: it is too large, or
 * there are too many bodies at a time; answered. */
bool http_accept(struct http_request *r, uint64_t max);
/* While `request` runs. */
const char *http_request_body(const struct http_request *r, size_t *ret_len);

/* `fields`: further header lines, each with its line end, or "". */
void http_answer(struct http_request *r, int status, const char *type, const char *fields,
                 const void *body, size_t len);

enum http_stream { HTTP_MORE, HTTP_WAIT, HTTP_END, HTTP_CUT };
/* Adds the next piece to `out`, some 64 kB at most, within a ms or two. HTTP_MORE: there is more;
 * HTTP_WAIT: not before http_stream_wake(); HTTP_CUT: something failed, the client shall see that
 * its answer is not whole. */
typedef enum http_stream (*http_stream_fn)(void *arg, struct buf *out);
/* An answer in pieces. `length`: of all of them, where it is known, else UINT64_MAX. `fn` is called
 * in later turns, as the client reads; done(arg) once when it is called no more. Not for HEAD
 * requests: then done() comes without fn(). The request stays valid until done(). */
void http_answer_stream(struct http_request *r, int status, const char *type, const char *fields,
                        uint64_t length, http_stream_fn fn, void (*done)(void *arg), void *arg);
void http_stream_wake(struct http_request *r);
/* The same, where the client has read all so far: `fn` is called now. */
void http_stream_now(struct http_request *r);
/* Ends the connection of a request, whatever its state. */
void http_cut(struct http_request *r);

#endif
