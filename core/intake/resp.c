/* Owns the grammar of the Redis protocol. Pure: no I/O, no clock, no state but the caller's.
 *
 * Must never happen: a length from the wire that sizes an allocation, or an offset past `len`.
 */
#include "intake/resp.h"

#include "base/buf.h"
#include "base/hex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 64   /* "*<n>\r\n" and "$<n>\r\n"; the longest sound one has 22 bytes */
#define ARGS_KEPT  1024 /* a parser keeps room for this many between requests */

static enum resp_rc fail(struct resp *p, enum resp_fault fault, const char *text) {
  p->fault = fault;
  snprintf(p->error, sizeof p->error, "Protocol error: %s", text);
  return RESP_ERROR;
}

static enum resp_rc more(struct resp *p, size_t keep) {
  p->keep = keep;
  return RESP_MORE;
}

/* Decimal as Redis reads it: no leading zeros, no plus, no blanks. False when it is not a
 * number of at most 18 digits. */
static bool number(const char *text, size_t len, int64_t *ret) {
  bool minus = len && *text == '-';
  if (minus) {
    text++;
    len--;
  }
  if (!len || len > 18 || (*text == '0' && (len > 1 || minus))) return false;
  int64_t v = 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    v = v * 10 + (text[i] - '0');
  }
  *ret = minus ? -v : v;
  return true;
}

/* The line "Xnumber\r\n" at p->at. 1: *ret_v is set and p->at is behind it; 0: incomplete;
 * -1: longer than any number; -2: not a number. */
static int header(struct resp *p, const char *data, size_t len, int64_t *ret_v) {
  const char *line = data + p->at;
  size_t room = len - p->at, look = room < HEADER_MAX ? room : HEADER_MAX;
  const char *end = memchr(line, '\r', look);
  if (!end) return room >= HEADER_MAX ? -1 : 0;
  size_t n = (size_t)(end - line);
  if (n + 1 >= room) return 0;
  if (line[n + 1] != '\n' || !number(line + 1, n - 1, ret_v)) return -2;
  p->at += n + 2;
  return 1;
}

/* Room grows with the bytes that have arrived, never with an announced length. */
static bool add_arg(struct resp *p, size_t at, size_t len) {
  if (p->argc == p->cap) {
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct resp_arg *args = realloc(p->args, cap * sizeof *args);
    if (!args) return false;
    p->args = args;
    p->cap = cap;
  }
  p->args[p->argc++] = (struct resp_arg){.at = at, .len = len};
  return true;
}

#define SKIPPED SIZE_MAX /* as offset: the argument is not in the input */

static enum resp_rc complete(struct resp *p, const char *data) {
  for (size_t i = 0; i < p->argc; i++)
    p->args[i].text = p->args[i].at == SKIPPED ? NULL : data + p->args[i].at;
  return p->argc ? RESP_REQUEST : RESP_EMPTY;
}

/* --- inline requests --- */

static bool blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0;
}

/* Takes one word of data[*at, end) apart in place: the decoded word is never longer than the
 * written one. False: quotes that do not close, or a character right behind them. */
static bool inline_word(char *data, size_t *at, size_t end, size_t *ret_len) {
  size_t r = *at, w = *at;
  while (r < end && !blank(data[r])) {
    char quote = data[r];
    if (quote != '"' && quote != '\'') {
      data[w++] = data[r++];
      continue;
    }
    for (r++;; r++) {
      if (r >= end) return false;
      if (data[r] == quote) break;
      if (data[r] != '\\' || r + 1 >= end) {
        data[w++] = data[r];
      } else if (quote == '\'') {
        if (data[r + 1] == '\'') r++;
        data[w++] = data[r];
      } else if (data[r + 1] == 'x' && r + 3 < end && hex_value(data[r + 2]) >= 0 &&
                 hex_value(data[r + 3]) >= 0) {
        data[w++] = (char)(hex_value(data[r + 2]) << 4 | hex_value(data[r + 3]));
        r += 3;
      } else {
        static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
        const char *e = memchr(from, data[++r], sizeof from - 1);
        data[w++] = e ? to[e - from] : data[r];
      }
    }
    r++;
    if (r < end && !blank(data[r])) return false;
  }
  *ret_len = w - *at;
  *at = r;
  return true;
}

/* No command of anybody's begins so, but a TLS hello does, and a line end in one would make a
 * command of what follows it. */
static bool foreign(char c) {
  return !blank(c) && ((unsigned char)c < ' ' || (unsigned char)c >= 0x7f);
}

static enum resp_rc parse_inline(struct resp *p, char *data, size_t len,
                                 const struct resp_limits *limits) {
  if (foreign(data[0])) return fail(p, RESP_FAULT_FOREIGN, "no Redis protocol");
  size_t max = limits->unauth ? RESP_UNAUTH_BULK : RESP_INLINE_MAX;
  char *end = memchr(data + p->at, '\n', len - p->at);
  size_t line = end ? (size_t)(end - data) : len;
  if (line > max)
    return fail(p, limits->unauth ? RESP_FAULT_UNAUTH : RESP_FAULT_SYNTAX,
                limits->unauth ? "unauthenticated inline request too long"
                               : "too big inline request");
  if (!end) {
    p->at = len; /* looked through for the end of the line */
    return more(p, len);
  }
  p->at = line + 1;
  for (size_t at = 0; at < line;) {
    if (blank(data[at])) {
      at++;
      continue;
    }
    size_t begin = at, n;
    if (!p->argc && foreign(data[at])) return fail(p, RESP_FAULT_FOREIGN, "no Redis protocol");
    if (!inline_word(data, &at, line, &n))
      return fail(p, RESP_FAULT_SYNTAX, "unbalanced quotes in request");
    if (limits->unauth ? p->argc >= RESP_UNAUTH_ARGS : p->argc >= limits->max_args)
      return fail(p, limits->unauth ? RESP_FAULT_UNAUTH : RESP_FAULT_ARGS,
                  limits->unauth ? "unauthenticated multibulk length"
                                 : "invalid multibulk length, more than max_arguments");
    if (!add_arg(p, begin, n)) return fail(p, RESP_FAULT_MEMORY, "out of memory");
  }
  return complete(p, data);
}

/* --- arrays of bulk strings --- */

/* Goes past the skipped argument. False: it has not come to its end. */
static bool skip_bulk(struct resp *p, size_t len) {
  size_t n = len - p->at < p->skip ? len - p->at : p->skip;
  p->skip -= n;
  if (!p->skip) p->at += n; /* its tail stays among the bytes, unused */
  return !p->skip;
}

static enum resp_rc parse_array_head(struct resp *p, const char *data, size_t len,
                                     const struct resp_limits *limits) {
  int64_t n;
  switch (header(p, data, len, &n)) {
  case 0:
    return more(p, len);
  case -1:
    return fail(p, RESP_FAULT_SYNTAX, "too big mbulk count string");
  case -2:
    return fail(p, RESP_FAULT_SYNTAX, "invalid multibulk length");
  }
  if (n > INT32_MAX) return fail(p, RESP_FAULT_SYNTAX, "invalid multibulk length");
  if (limits->unauth && n > RESP_UNAUTH_ARGS)
    return fail(p, RESP_FAULT_UNAUTH, "unauthenticated multibulk length");
  if (n > 0 && (uint64_t)n > limits->max_args)
    return fail(p, RESP_FAULT_ARGS, "invalid multibulk length, more than max_arguments");
  p->begun = true;
  p->missing = n > 0 ? (size_t)n : 0;
  return RESP_REQUEST;
}

static enum resp_rc parse_bulk_head(struct resp *p, const char *data, size_t len,
                                    const struct resp_limits *limits) {
  int64_t n;
  if (p->at >= len) return more(p, len);
  if (data[p->at] != '$') {
    char text[32], c = data[p->at];
    snprintf(text, sizeof text, "expected '$', got '%c'", c > ' ' && c < 0x7f ? c : '?');
    return fail(p, RESP_FAULT_SYNTAX, text);
  }
  switch (header(p, data, len, &n)) {
  case 0:
    return more(p, len);
  case -1:
    return fail(p, RESP_FAULT_SYNTAX, "too big bulk count string");
  case -2:
    return fail(p, RESP_FAULT_SYNTAX, "invalid bulk length");
  }
  if (n < 0 || n > (int64_t)RESP_BULK_MAX) return fail(p, RESP_FAULT_SYNTAX, "invalid bulk length");
  if (limits->unauth && n > RESP_UNAUTH_BULK)
    return fail(p, RESP_FAULT_UNAUTH, "unauthenticated bulk length");
  p->bulk = (size_t)n;
  p->in_bulk = true;
  /* Once one is skipped the request is refused; what follows need not be kept either. */
  if (p->oversize || p->bulk > limits->max_bulk || p->total + p->bulk > limits->max_request) {
    p->oversize = true;
    p->skip = p->bulk + 2;
    return add_arg(p, SKIPPED, p->bulk) ? RESP_REQUEST
                                        : fail(p, RESP_FAULT_MEMORY, "out of memory");
  }
  p->total += p->bulk;
  return RESP_REQUEST;
}

enum resp_rc resp_parse(struct resp *p, char *data, size_t len, const struct resp_limits *limits) {
  if (p->at >= len && !p->skip) return more(p, len);
  if (!p->begun) {
    if (data[0] != '*') return parse_inline(p, data, len, limits);
    enum resp_rc rc = parse_array_head(p, data, len, limits);
    if (rc != RESP_REQUEST) return rc;
  }
  for (; p->missing; p->missing--) {
    if (!p->in_bulk) {
      enum resp_rc rc = parse_bulk_head(p, data, len, limits);
      if (rc != RESP_REQUEST) return rc;
    }
    if (p->skip) {
      if (!skip_bulk(p, len)) return more(p, p->at);
    } else {
      if (len - p->at < p->bulk + 2) return more(p, len);
      const char *end = data + p->at + p->bulk;
      /* Redis does not look. A client that counts characters for bytes would have a job cut off
       * stored, and the rest of it run as commands. */
      if (end[0] != '\r' || end[1] != '\n')
        return fail(p, RESP_FAULT_SYNTAX, "bulk string is not as long as announced");
      if (!add_arg(p, p->at, p->bulk)) return fail(p, RESP_FAULT_MEMORY, "out of memory");
      p->at += p->bulk + 2;
    }
    p->in_bulk = false;
  }
  return complete(p, data);
}

void resp_reset(struct resp *p) {
  if (p->cap > ARGS_KEPT) {
    free(p->args);
    p->args = NULL;
    p->cap = 0;
  }
  p->at = p->keep = p->missing = p->bulk = p->skip = p->total = p->argc = 0;
  p->begun = p->in_bulk = p->oversize = false;
  p->fault = RESP_FAULT_NONE;
}

/* The first parser's room may be large after many requests. The copy gets only the room that it
 * needs. */
bool resp_move(struct resp *to, struct resp *from) {
  struct resp_arg *args = NULL;
  if (from->argc) {
    args = malloc(from->argc * sizeof *args);
    if (!args) return false;
    memcpy(args, from->args, from->argc * sizeof *args);
  }
  free(to->args);
  *to = *from;
  to->args = args;
  to->cap = to->argc;
  resp_reset(from);
  return true;
}

void resp_free(struct resp *p) {
  free(p->args);
  *p = (struct resp){0};
}

/* --- replies --- */

/* "<mark><number>\r\n" in one step: it stands before nearly everything. */
static void head(struct buf *b, char mark, uint64_t v) {
  char tmp[24], *p = tmp + sizeof tmp;
  *--p = '\n';
  *--p = '\r';
  do *--p = (char)('0' + v % 10);
  while (v /= 10);
  *--p = mark;
  buf_add(b, p, (size_t)(tmp + sizeof tmp - p));
}

void resp_status(struct buf *b, const char *text) {
  buf_add(b, "+", 1);
  buf_add_text(b, text);
  buf_add(b, "\r\n", 2);
}

void resp_integer(struct buf *b, int64_t v) {
  if (v >= 0) {
    head(b, ':', (uint64_t)v);
    return;
  }
  buf_add(b, ":-", 2);
  buf_add_u64(b, -(uint64_t)v);
  buf_add(b, "\r\n", 2);
}

void resp_bulk(struct buf *b, const char *text, size_t len) {
  head(b, '$', len);
  buf_add(b, text, len);
  buf_add(b, "\r\n", 2);
}

void resp_bulk_text(struct buf *b, const char *text) {
  resp_bulk(b, text, strlen(text));
}

void resp_null(struct buf *b, unsigned version) {
  buf_add_text(b, version >= 3 ? "_\r\n" : "$-1\r\n");
}

void resp_array(struct buf *b, size_t n) {
  head(b, '*', n);
}

void resp_map(struct buf *b, unsigned version, size_t pairs) {
  head(b, version >= 3 ? '%' : '*', version >= 3 ? pairs : pairs * 2);
}

void resp_set(struct buf *b, unsigned version, size_t n) {
  head(b, version >= 3 ? '~' : '*', n);
}

void resp_verbatim(struct buf *b, unsigned version, const char *text, size_t len) {
  if (version < 3) {
    resp_bulk(b, text, len);
    return;
  }
  head(b, '=', len + 4);
  buf_add(b, "txt:", 4);
  buf_add(b, text, len);
  buf_add(b, "\r\n", 2);
}

/* From `at` on, which is a line being written: no second line may begin in it. */
static void end_line(struct buf *b, size_t at) {
  if (!b->failed)
    for (size_t i = at; i < b->len; i++)
      if (b->data[i] == '\r' || b->data[i] == '\n') b->data[i] = ' ';
  buf_add(b, "\r\n", 2);
}

void resp_error(struct buf *b, const char *text) {
  size_t at = b->len;
  buf_add(b, "-", 1);
  buf_add_text(b, text);
  end_line(b, at);
}

void resp_errorf(struct buf *b, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  resp_error(b, text);
}
