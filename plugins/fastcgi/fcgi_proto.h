/* The bytes on a FastCGI connection: records, parameters, and the CGI reply that STDOUT records
 * carry.
 *
 * Pure: no I/O. Every reader can be restarted at every byte, and copies only the bytes that it
 * must. All bytes of the other side are checked here and nowhere else.
 */
#ifndef PB_FASTCGI_FCGI_PROTO_H
#define PB_FASTCGI_FCGI_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fcgi_type {
  FCGI_BEGIN_REQUEST = 1,
  FCGI_ABORT_REQUEST = 2,
  FCGI_END_REQUEST = 3,
  FCGI_PARAMS = 4,
  FCGI_STDIN = 5,
  FCGI_STDOUT = 6,
  FCGI_STDERR = 7
};

enum fcgi_status { /* in END_REQUEST: the word of the FastCGI server, not of the script */
                   FCGI_REQUEST_COMPLETE = 0,
                   FCGI_CANT_MPX_CONN = 1,
                   FCGI_OVERLOADED = 2,
                   FCGI_UNKNOWN_ROLE = 3
};

#define FCGI_VERSION     1
#define FCGI_REQUEST_ID  1 /* php-fpm does not multiplex: there is one request at a time */
#define FCGI_HEADER_LEN  8
#define FCGI_BEGIN_LEN   16 /* the whole BEGIN_REQUEST record */
#define FCGI_CONTENT_MAX 65535
/* Content of one STDIN record of a body that needs several: the largest that keeps headers at
 * multiples of 8. php-fpm refuses content + padding over FCGI_CONTENT_MAX. */
#define FCGI_SLICE 65528

/* --- writing --- */

void fcgi_put_header(uint8_t out[FCGI_HEADER_LEN], enum fcgi_type type, size_t content_len);
void fcgi_put_begin(uint8_t out[FCGI_BEGIN_LEN], bool keep_conn);

/* A PARAMS record being built in `buf`. A pair must not be split over two records, because php-fpm
 * resets the connection then. So a pair that does not fit into one record is refused. */
struct fcgi_params {
  uint8_t *buf;
  size_t cap, len; /* len includes the record's header */
  bool overflow;
};
void fcgi_params_init(struct fcgi_params *p, uint8_t *buf, size_t cap);
void fcgi_params_add(struct fcgi_params *p, const char *name, const char *value, size_t value_len);
/* Fills in the header. Returns the record's length or -EMSGSIZE when something did not fit. */
int fcgi_params_end(struct fcgi_params *p);

/* --- reading records --- */

enum fcgi_event {
  FCGI_MORE = 0, /* all input is used up */
  FCGI_OUT,      /* `data` is a piece of STDOUT */
  FCGI_ERR,      /* `data` is a piece of STDERR */
  FCGI_END,      /* the request is over: app_status, status. What follows is not read */
  FCGI_BAD       /* not FastCGI: bad says what. Final */
};

struct fcgi_reader {
  enum { FCGI_IN_HEADER, FCGI_IN_CONTENT, FCGI_IN_END, FCGI_IN_PADDING, FCGI_IN_BAD } state;
  uint8_t have[FCGI_HEADER_LEN]; /* a header or an END_REQUEST body, as far as it came */
  uint8_t have_len;
  uint8_t type, padding;
  uint16_t content; /* content bytes still to come */
  uint8_t status;
  uint32_t app_status;
  bool began; /* any byte was read */
  char bad[120];
};

void fcgi_reader_init(struct fcgi_reader *r); /* before each request */
/* Reads from *data up to `end` and moves *data on. For OUT and ERR, *ret points into the input.
 * Call again until it says MORE, END or BAD. */
enum fcgi_event fcgi_reader_next(struct fcgi_reader *r, const uint8_t **data, const uint8_t *end,
                                 const uint8_t **ret, size_t *ret_len);

/* --- reading the reply --- */

#define FCGI_HEAD_MAX (64 * 1024) /* the CGI header, Consume-Topics included */

/* STDOUT of one request: CGI header, empty line, body. Reused from request to request, so that
 * an ordinary reply costs no malloc. */
struct fcgi_reply {
  char *buf; /* header lines NUL-terminated in place, then the body */
  size_t len, cap;
  size_t line;               /* where the header line that is being read starts */
  size_t body;               /* where the body starts; 0: still in the header */
  size_t max_body;           /* bytes */
  int status;                /* header Status; 200 when absent */
  int code;                  /* header Code; 0 when absent */
  bool php;                  /* header X-Powered-By says PHP */
  bool php_style;            /* Content-type stands there as only PHP spells it by itself */
  size_t error_code, topics; /* offsets of the values in buf; 0 when absent */
  char bad[160];             /* why fcgi_reply_feed() refused it */
};

void fcgi_reply_init(struct fcgi_reply *r, size_t max_body);
void fcgi_reply_reset(struct fcgi_reply *r); /* before each request; gives back a large buffer */
void fcgi_reply_done(struct fcgi_reply *r);
/* 0, -EBADMSG (header; r->bad), -EMSGSIZE (body over max_body; r->bad), -ENOMEM. Final. */
int fcgi_reply_feed(struct fcgi_reply *r, const uint8_t *data, size_t len);
/* After the last piece. -EBADMSG when STDOUT ended within the header; 0 when it was empty. */
int fcgi_reply_finish(struct fcgi_reply *r);

/* --- STDERR --- */

#define FCGI_STDERR_MAX (8 * 1024)

/* The last FCGI_STDERR_MAX bytes of it: PHP says the fatal error last. */
struct fcgi_tail {
  char *buf; /* allocated at the first byte; worker error text is the exception */
  size_t len;
  bool cut; /* older bytes were dropped */
};

void fcgi_tail_feed(struct fcgi_tail *t, const uint8_t *data, size_t len);
void fcgi_tail_reset(struct fcgi_tail *t);
void fcgi_tail_done(struct fcgi_tail *t);

#endif
