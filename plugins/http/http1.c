/* Reads answers off the wire. Calls libc, http_reply. */
#include "http1.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_LINE_MAX 1024        /* bytes; a size and extensions, which no server sends */
#define LINE_FIRST_CAP 512         /* bytes */
#define LINE_KEPT_CAP  (16 * 1024) /* a buffer that grew over it is given back */
#define LENGTH_DIGITS  18          /* so that no sum overflows */
#define QUOTED_MAX     24          /* bytes of an answer that is not HTTP */

void http1_done(struct http1 *w) {
  free(w->line);
  *w = (struct http1){0};
}

static void forget_framing(struct http1 *w) {
  w->status = w->minor = 0;
  w->length = 0;
  w->has_length = w->chunked = w->close = w->keep_alive = false;
}

void http1_begin(struct http1 *w, struct http_reply *reply) {
  w->reply = reply;
  w->drop = w->began = false;
  w->state = HTTP1_STATUS;
  w->left = 0;
  w->trailer = w->line_len = 0;
  forget_framing(w);
  if (w->line_cap <= LINE_KEPT_CAP) return;
  free(w->line);
  w->line = NULL;
  w->line_cap = 0;
}

static int bad(struct http1 *w, const char *why) {
  snprintf(w->reply->bad, sizeof w->reply->bad, "%s", why);
  return -EBADMSG;
}

/* --- lines --- */

static int keep_part(struct http1 *w, const char *data, size_t len) {
  size_t cap = w->line_cap ? w->line_cap : LINE_FIRST_CAP;
  char *grown;

  while (cap < w->line_len + len) cap *= 2;
  if (cap > w->line_cap) {
    grown = realloc(w->line, cap);
    if (!grown) {
      snprintf(w->reply->bad, sizeof w->reply->bad, "no memory for it");
      return -ENOMEM;
    }
    w->line = grown;
    w->line_cap = cap;
  }
  memcpy(w->line + w->line_len, data, len);
  w->line_len += len;
  return 0;
}

/* The next line with its end, where it lies or put together. 1: there it is. 0: only a part has
 * come, and `*ret_line` is that part. Or -ENOMEM. */
static int next_line(struct http1 *w, const char **at, const char *end, const char **ret_line,
                     size_t *ret_len) {
  const char *nl = memchr(*at, '\n', (size_t)(end - *at)), *line = *at;
  size_t len = nl ? (size_t)(nl + 1 - *at) : (size_t)(end - *at);
  int rc;

  *at += len;
  if (nl && !w->line_len) {
    *ret_line = line;
    *ret_len = len;
    return 1;
  }
  rc = keep_part(w, line, len);
  if (rc < 0) return rc;
  *ret_line = w->line;
  *ret_len = w->line_len;
  if (!nl) return 0;
  w->line_len = 0; /* its bytes stay until the next part comes */
  return 1;
}

/* How long it is without its end. */
static size_t bare(const char *line, size_t len) {
  if (len && line[len - 1] == '\n') len--;
  if (len && line[len - 1] == '\r') len--;
  return len;
}

/* --- the head --- */

static int not_http(struct http1 *w, const char *line, size_t len) {
  char quote[QUOTED_MAX + 1];
  size_t n = bare(line, len) < QUOTED_MAX ? bare(line, len) : QUOTED_MAX;

  if (len >= 2 && line[0] == 0x15 && line[1] == 0x03)
    return bad(w, "it is not HTTP but TLS: https://?");
  for (size_t i = 0; i < n; i++) quote[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '.';
  quote[n] = 0;
  snprintf(w->reply->bad, sizeof w->reply->bad, "it is not HTTP/1.1: it begins with \"%s\"", quote);
  return -EBADMSG;
}

/* Also checks a part of a line: a server that speaks another protocol and waits must not be waited
 * for. */
static bool may_be_http(const char *line, size_t len) {
  static const char version[] = "HTTP/1.";
  size_t n = len < sizeof version - 1 ? len : sizeof version - 1;

  return memcmp(line, version, n) == 0;
}

static int take_status(struct http1 *w, const char *line, size_t len) {
  int rc;

  if (len < 9 || line[7] < '0' || line[7] > '9' || line[8] != ' ') return not_http(w, line, len);
  forget_framing(w);
  rc = http_reply_line(w->reply, line, len);
  if (rc < 0) return rc;
  w->status = w->reply->status;
  w->minor = line[7] - '0';
  w->state = HTTP1_FIELD;
  return 0;
}

static bool is_name(const char *line, size_t len, const char *want) {
  return len == strlen(want) && strncasecmp(line, want, len) == 0;
}

/* The next of a list "a, b"; false at its end. */
static bool next_token(const char **at, const char *end, const char **ret, size_t *ret_len) {
  const char *stop;

  while (*at < end && (**at == ' ' || **at == '\t' || **at == ',')) ++*at;
  if (*at == end) return false;
  stop = memchr(*at, ',', (size_t)(end - *at));
  if (!stop) stop = end;
  *ret = *at;
  *at = stop;
  while (stop > *ret && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
  *ret_len = (size_t)(stop - *ret);
  return true;
}

static int content_length(struct http1 *w, const char *value, const char *end) {
  uint64_t n = 0;

  if (end == value || end - value > LENGTH_DIGITS)
    return bad(w, "its Content-Length is not a number of bytes");
  for (const char *p = value; p < end; p++) {
    if (*p < '0' || *p > '9') return bad(w, "its Content-Length is not a number of bytes");
    n = n * 10 + (uint64_t)(*p - '0');
  }
  if (w->has_length && n != w->length) return bad(w, "it has two Content-Lengths that differ");
  w->has_length = true;
  w->length = n;
  return 0;
}

static int transfer_encoding(struct http1 *w, const char *value, const char *end) {
  const char *token;
  size_t len;

  while (next_token(&value, end, &token, &len)) {
    if (is_name(token, len, "identity")) continue;
    if (w->chunked || !is_name(token, len, "chunked"))
      return bad(w, "its Transfer-Encoding is not \"chunked\", and nothing else was asked for");
    w->chunked = true;
  }
  return 0;
}

static void connection(struct http1 *w, const char *value, const char *end) {
  const char *token;
  size_t len;

  while (next_token(&value, end, &token, &len)) {
    if (is_name(token, len, "close")) w->close = true;
    if (is_name(token, len, "keep-alive")) w->keep_alive = true;
  }
}

/* Reads a field that tells where the answer ends. */
static int framing(struct http1 *w, const char *line, size_t len) {
  const char *colon, *value, *end = line + bare(line, len);
  size_t name;

  /* Few begin like that. */
  if (line[0] != 'C' && line[0] != 'c' && line[0] != 'T' && line[0] != 't') return 0;
  colon = memchr(line, ':', len);
  if (!colon) return 0;
  name = (size_t)(colon - line);
  value = colon + 1;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  if (is_name(line, name, "Content-Length")) return content_length(w, value, end);
  if (is_name(line, name, "Transfer-Encoding")) return transfer_encoding(w, value, end);
  if (is_name(line, name, "Connection")) connection(w, value, end);
  return 0;
}

/* The blank line. */
static int head_over(struct http1 *w) {
  if (w->status == 101) return bad(w, "it changes the protocol (status 101), unasked");
  if (w->status < 200) {
    w->state = HTTP1_STATUS;
    return 0;
  }
  if (w->status == 204 || w->status == 304) {
    w->state = HTTP1_DONE;
  } else if (w->chunked) {
    w->state = HTTP1_CHUNK;
  } else if (w->has_length) {
    w->left = w->length;
    w->state = w->left ? HTTP1_BODY : HTTP1_DONE;
  } else {
    w->state = HTTP1_TO_END;
  }
  return 0;
}

/* What http_reply takes for a status line, or for the blank one, must be that here too: else it
 * believes the head to be over while it is read, and max_header does not hold. */
static int take_field(struct http1 *w, const char *line, size_t len) {
  bool blank = !bare(line, len), folded = line[0] == ' ' || line[0] == '\t';
  int rc;

  if (!blank && !folded && (!memchr(line, ':', len) || (len >= 5 && memcmp(line, "HTTP/", 5) == 0)))
    return bad(w, "its header has a line that is no \"Name: value\"");
  rc = http_reply_line(w->reply, line, len);
  if (rc < 0) return rc;
  return blank ? head_over(w) : framing(w, line, len);
}

/* --- the body --- */

static int take_body(struct http1 *w, const char **at, const char *end) {
  size_t len = (size_t)(end - *at);
  int rc;

  if (w->state != HTTP1_TO_END && len > w->left) len = (size_t)w->left;
  if (!w->drop) {
    rc = http_reply_body(w->reply, *at, len);
    if (rc < 0) return rc;
  }
  *at += len;
  if (w->state == HTTP1_TO_END) return 0;
  w->left -= len;
  if (!w->left) w->state = w->state == HTTP1_DATA ? HTTP1_BREAK : HTTP1_DONE;
  return 0;
}

static int take_chunk_size(struct http1 *w, const char *line, size_t len) {
  uint64_t n = 0;
  size_t i = 0;

  if (len > CHUNK_LINE_MAX) return bad(w, "the size of one of its chunks has no end");
  len = bare(line, len);
  for (; i < len && i < 15; i++) {
    char c = line[i] | 0x20;

    if (line[i] >= '0' && line[i] <= '9')
      n = n * 16 + (uint64_t)(line[i] - '0');
    else if (c >= 'a' && c <= 'f')
      n = n * 16 + (uint64_t)(c - 'a' + 10);
    else
      break;
  }
  if (!i || (i < len && line[i] != ';' && line[i] != ' ' && line[i] != '\t'))
    return bad(w, "the size of one of its chunks is no number");
  w->left = n;
  w->state = n ? HTTP1_DATA : HTTP1_TRAILER;
  return 0;
}

/* The verdict is in the head. A trailer is only skipped, and must have an end. */
static int take_trailer(struct http1 *w, const char *line, size_t len) {
  w->trailer += len;
  if (w->trailer > w->reply->max_head) {
    w->reply->too_large = true;
    snprintf(w->reply->bad, sizeof w->reply->bad, "its trailer is over max_header (%zu bytes)",
             w->reply->max_head);
    return -EMSGSIZE;
  }
  if (!bare(line, len)) w->state = HTTP1_DONE;
  return 0;
}

/* --- all of it --- */

static int whole_line(struct http1 *w, const char *line, size_t len) {
  switch (w->state) {
  case HTTP1_STATUS:
    return may_be_http(line, len) ? take_status(w, line, len) : not_http(w, line, len);
  case HTTP1_FIELD:
    return take_field(w, line, len);
  case HTTP1_CHUNK:
    return take_chunk_size(w, line, len);
  case HTTP1_BREAK:
    if (bare(line, len)) return bad(w, "one of its chunks is longer than it says");
    w->state = HTTP1_CHUNK;
    return 0;
  default:
    return take_trailer(w, line, len);
  }
}

/* May the rest of this line still make it right? */
static int part_of_line(struct http1 *w, const char *line, size_t len) {
  switch (w->state) {
  case HTTP1_STATUS:
    if (!may_be_http(line, len)) return not_http(w, line, len);
    return len > w->reply->max_head ? http_reply_line(w->reply, line, len) : 0;
  case HTTP1_FIELD:
    return len > w->reply->max_head ? http_reply_line(w->reply, line, len) : 0;
  case HTTP1_CHUNK:
    return len > CHUNK_LINE_MAX ? take_chunk_size(w, line, len) : 0;
  case HTTP1_BREAK:
    return len > 1 ? bad(w, "one of its chunks is longer than it says") : 0;
  default:
    return len > w->reply->max_head ? take_trailer(w, line, len) : 0;
  }
}

int http1_read(struct http1 *w, const char *data, size_t len, size_t *ret_used) {
  const char *at = data, *end = data + len, *line = NULL;
  size_t line_len = 0;
  int rc = 0;

  if (len) w->began = true;
  while (rc >= 0 && at < end && w->state != HTTP1_DONE) {
    if (w->state == HTTP1_BODY || w->state == HTTP1_TO_END || w->state == HTTP1_DATA) {
      rc = take_body(w, &at, end);
      continue;
    }
    rc = next_line(w, &at, end, &line, &line_len);
    if (rc == 1)
      rc = whole_line(w, line, line_len);
    else if (rc == 0)
      rc = part_of_line(w, line, line_len);
  }
  *ret_used = (size_t)(at - data);
  return rc < 0 ? rc : w->state == HTTP1_DONE;
}

bool http1_ends(const struct http1 *w) {
  return w->state == HTTP1_TO_END;
}

bool http1_keeps(const struct http1 *w) {
  /* Two words about its length: another reader on the way may have believed the other one. */
  if (w->state != HTTP1_DONE || w->close || (w->chunked && w->has_length)) return false;
  return w->minor > 0 || (w->keep_alive && !w->chunked);
}
