/* The head of an HTTP/1 request, and bodies that come in chunks: pure parsers, no I/O.
 *
 * They are strict where two readers of one request might disagree on where it ends: bare line
 * feeds, folded lines, spaces before a colon, two lengths, a length beside chunks are all refused.
 */
#ifndef PB_CORE_HTTP_HEAD_H
#define PB_CORE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX   (16u << 10)
#define HTTP_TARGET_MAX 8192
#define HTTP_FIELDS_MAX 100

enum http_method {
  HTTP_GET,
  HTTP_HEAD,
  HTTP_POST,
  HTTP_PUT,
  HTTP_DELETE,
  HTTP_PATCH,
  HTTP_OPTIONS,
  HTTP_OTHER
};

/* All pointers lead into the text that was parsed, where each is ended by a NUL. */
struct http_field {
  const char *name, *value;
};

struct http_head {
  enum http_method method;
  const char *path;  /* begins with a slash; not decoded */
  const char *query; /* NULL: none */
  const char *host;  /* of an absolute target, or of the field Host; NULL: none (HTTP/1.0) */
  bool http10, keep; /* keep: the client wants the connection to stay */
  bool chunked;
  bool expects;    /* waits for "100 Continue" before it sends the body */
  uint64_t length; /* of the body; 0 where it is chunked */
  struct http_field fields[HTTP_FIELDS_MAX];
  size_t n_fields;
};

/* The length of the head that `data` begins with, its empty line included; 0: it has not come
 * whole. Empty lines in front of it are part of it. */
size_t http_head_length(const char *data, size_t len);
/* Could this still become a request? What speaks another protocol is not waited for. */
bool http_head_begins(const char *data, size_t len);
/* Parses a whole head of http_head_length() bytes and writes NULs into it. 0; or the status that
 * refuses it, with a sentence in *reterr_why. */
int http_head_parse(char *data, size_t len, struct http_head *ret, const char **reterr_why);
/* The value of the first field of that name; NULL: there is none. */
const char *http_head_field(const struct http_head *h, const char *name);

enum http_chunk_state {
  CHUNK_SIZE,       /* its size in hex, and extensions */
  CHUNK_SIZE_END,   /* the line feed behind it */
  CHUNK_DATA,       /* its bytes */
  CHUNK_DATA_CR,    /* the line end behind them ... */
  CHUNK_DATA_LF,    /* ... */
  CHUNK_TRAILER,    /* fields behind the last one, ignored */
  CHUNK_TRAILER_LF, /* the end of such a line */
  CHUNK_DONE
};
struct http_chunks { /* zeroed: at the beginning of a body */
  enum http_chunk_state state;
  uint64_t left; /* of the chunk, or its size so far */
  size_t line;   /* bytes of the line so far */
  bool last, digits, extension;
};

/* Takes what it can of `data`: returns how many bytes of it are used up, and where the next
 * bytes of the body are among them. -EINVAL: this is no body in chunks. Call it again with the
 * rest until that is empty or the state is CHUNK_DONE. */
long http_chunks_take(struct http_chunks *c, const char *data, size_t len, const char **ret_body,
                      size_t *ret_body_len);

#endif
