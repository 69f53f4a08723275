/* The Redis protocol: bytes in, arguments out; values in, bytes out. No I/O.
 *
 * Reading: requests as clients send them, arrays of bulk strings or inline lines. When more bytes
 * have arrived, the caller hands over all bytes of the request, from its first one on. The parser
 * goes on where it stopped, so it looks at no byte twice. An announced length allocates nothing.
 * Arguments stay where they stand in the input.
 */
#ifndef PB_CORE_RESP_H
#define PB_CORE_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* --- requests --- */

#define RESP_BULK_MAX   (512u << 20) /* announced length of one argument that is at all believed */
#define RESP_INLINE_MAX 65536        /* an inline request's line */

/* Before AUTH a client gets little room: RESP_UNAUTH_*. The caller chooses by `unauth`. */
#define RESP_UNAUTH_ARGS 10
#define RESP_UNAUTH_BULK 16384

struct resp_limits {
  size_t max_args;    /* more: a protocol error */
  size_t max_bulk;    /* a longer argument is skipped as it arrives: see `oversize` */
  size_t max_request; /* the same for all arguments together */
  bool unauth;        /* RESP_UNAUTH_* hold, beyond them is a protocol error */
};

struct resp_arg {
  union {
    const char *text; /* of a complete request; NULL: skipped, `len` is its length */
    size_t at;        /* while it is incomplete: offset */
  };
  size_t len;
};

enum resp_rc {
  RESP_MORE,    /* keep the first `keep` bytes, and call again with more behind them */
  RESP_REQUEST, /* args[0..argc) are valid while the input is; it took `at` bytes */
  RESP_EMPTY,   /* an empty line or array: `at` bytes to be passed over without a reply */
  RESP_ERROR    /* `error` is to be answered, then the connection closed */
};

enum resp_fault {
  RESP_FAULT_NONE,
  RESP_FAULT_SYNTAX,
  RESP_FAULT_ARGS,
  RESP_FAULT_UNAUTH,
  RESP_FAULT_FOREIGN, /* TLS or the like, by its first byte: closed without an answer */
  RESP_FAULT_MEMORY
};

/* Zeroed is ready. */
struct resp {
  size_t at; /* parsed so far of this request */
  size_t keep;
  size_t missing; /* arguments still to come */
  size_t bulk;    /* length of the argument that is being read */
  size_t skip;    /* bytes of a skipped one still to come */
  size_t total;   /* of all arguments */
  struct resp_arg *args;
  size_t argc, cap;
  bool begun, in_bulk, oversize;
  enum resp_fault fault;
  char error[96]; /* without "-ERR " */
};

/* `data` may be changed in place: quotes of inline requests are taken off. */
enum resp_rc resp_parse(struct resp *p, char *data, size_t len, const struct resp_limits *limits);
/* Ready for the next request; room for arguments is kept when it is small. */
void resp_reset(struct resp *p);
/* Copies the state of a half-read request to an unused parser, and resets the first. False
 * without memory. */
bool resp_move(struct resp *to, struct resp *from);
void resp_free(struct resp *p);

/* --- replies --- */

void resp_status(struct buf *b, const char *text);           /* +text */
void resp_integer(struct buf *b, int64_t v);                 /* :v */
void resp_bulk(struct buf *b, const char *text, size_t len); /* $len text */
void resp_bulk_text(struct buf *b, const char *text);
void resp_null(struct buf *b, unsigned version);              /* $-1, in RESP3 _ */
void resp_array(struct buf *b, size_t n);                     /* *n */
void resp_map(struct buf *b, unsigned version, size_t pairs); /* RESP3 %pairs, else *2n */
void resp_set(struct buf *b, unsigned version, size_t n);     /* RESP3 ~n, else *n */
/* Text for people; in RESP3 a verbatim string. */
void resp_verbatim(struct buf *b, unsigned version, const char *text, size_t len);
/* -text: line breaks in it become spaces. */
void resp_error(struct buf *b, const char *text);
void resp_errorf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
