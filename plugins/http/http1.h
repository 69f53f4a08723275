/* HTTP/1.1 on the wire (RFC 9112): finds the lines of an answer's head and its body in the received
 * bytes, and hands them to an http_reply. Pure: no I/O. A fuzz target.
 *
 * With lines it is as lenient as libcurl: they may end with LF alone, and of a field line without
 * meaning here only the colon is checked. It is stricter about the end of an answer: an answer
 * without a certain end is refused.
 */
#ifndef PB_HTTP_HTTP1_H
#define PB_HTTP_HTTP1_H

#include "http_reply.h"

enum http1_state {
  HTTP1_STATUS, /* a status line is next: the first, or after an interim answer (1xx) */
  HTTP1_FIELD,
  HTTP1_BODY,   /* `left` bytes of it */
  HTTP1_TO_END, /* a body as long as the connection */
  HTTP1_CHUNK,  /* the size of a chunk is next */
  HTTP1_DATA,   /* `left` bytes of a chunk */
  HTTP1_BREAK,  /* the line end behind a chunk */
  HTTP1_TRAILER,
  HTTP1_DONE
};

/* One answer. Reused from answer to answer. */
struct http1 {
  struct http_reply *reply; /* the caller's */
  bool drop;                /* the caller's: the body is not wanted any more */
  bool began;               /* a byte came */
  enum http1_state state;
  int status, minor;                           /* of the last status line; HTTP/1.minor */
  uint64_t left, length;                       /* bytes; length: Content-Length */
  bool has_length, chunked, close, keep_alive; /* said by the head */
  size_t trailer;                              /* bytes of lines behind the head so far */
  char *line;                                  /* the part of a line that has come */
  size_t line_len, line_cap;
};

void http1_done(struct http1 *w); /* one of zeros is fine */
/* An answer is to come; its reply is reset already. */
void http1_begin(struct http1 *w, struct http_reply *reply);
/* Takes received bytes. 1: the answer is complete, and `*ret_used` bytes belonged to it. 0: more
 * must come. -EBADMSG, -EMSGSIZE, -ENOMEM: final, reply->bad says why. */
int http1_read(struct http1 *w, const char *data, size_t len, size_t *ret_used);
/* The connection has ended: is the answer whole by that? */
bool http1_ends(const struct http1 *w);
/* After a whole answer: may another request follow on the connection? */
bool http1_keeps(const struct http1 *w);

#endif
