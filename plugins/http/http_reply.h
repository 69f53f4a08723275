/* The answer to one request: the lines of its head that mean something here, and the body. Pure: no
 * I/O; libcurl or http1 hand over whole lines and pieces of the body. A fuzz target.
 */
#ifndef PB_HTTP_HTTP_REPLY_H
#define PB_HTTP_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reused from request to request, so that an ordinary answer costs no malloc. */
struct http_reply {
  char *head; /* values that are kept, each with a NUL */
  size_t head_len, head_cap;
  char *body; /* with a NUL that is not counted */
  size_t body_len, body_cap;
  size_t max_head, max_body; /* bytes */
  size_t seen;               /* bytes of the head so far, interim answers included */
  int status;                /* of the last status line; 0: none came */
  int code;                  /* header Code; 0 when absent */
  size_t error_code, topics, location, retry_after; /* in head, plus 1; 0 when absent */
  bool closes;                                      /* it says that the connection ends */
  bool over;                                        /* the head is; what follows are trailers */
  bool too_large;                                   /* refused because of a limit */
  char bad[160];                                    /* why it was refused; "" when it was not */
};

void http_reply_init(struct http_reply *r, size_t max_head, size_t max_body);
void http_reply_reset(struct http_reply *r); /* before each request; gives back large buffers */
void http_reply_done(struct http_reply *r);

/* One line of the head, with or without its end. 0; or, final and with r->bad: -EBADMSG, -EMSGSIZE
 * (over max_head), -ENOMEM. */
int http_reply_line(struct http_reply *r, const char *line, size_t len);
/* A piece of the body. 0; or, final and with r->bad: -EMSGSIZE (over max_body), -ENOMEM. */
int http_reply_body(struct http_reply *r, const char *data, size_t len);
/* The value that `at` (error_code, topics, ...) names, or NULL. */
const char *http_reply_value(const struct http_reply *r, size_t at);

/* Milliseconds that a Retry-After asks for: seconds, or a date as HTTP writes it. 0 when it says
 * neither, or a moment that is over. */
uint64_t http_retry_after_ms(const char *value, int64_t now_unix);

#endif
