/* Owns the reading of answer lines. No I/O, no allocation: results point into the line.
 *
 * Only the top level is understood. Within a value, brackets and quotes must match. The core reads
 * the list of a 207, as it does for every transport.
 */
#include "reply.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 64 /* brackets within brackets: a bit each */

struct cursor {
  char *p, *end;
};

static void skip_blanks(struct cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n')) c->p++;
}

static bool take(struct cursor *c, char want) {
  skip_blanks(c);
  if (c->p == c->end || *c->p != want) return false;
  c->p++;
  return true;
}

/* A string's inside; the cursor goes behind its last quote. */
static bool take_string(struct cursor *c, struct slice *ret) {
  if (!take(c, '"')) return false;
  ret->at = c->p;
  for (; c->p < c->end; c->p++) {
    if (*c->p == '"') {
      ret->len = (size_t)(c->p++ - ret->at);
      return true;
    }
    if (*c->p == '\\' && ++c->p == c->end) return false;
  }
  return false;
}

/* Brackets must match; what stands between them is not looked at. */
static bool take_nested(struct cursor *c) {
  uint64_t objects = 0;
  unsigned depth = 0;

  do {
    struct slice ignored;

    switch (*c->p) {
    case '"':
      if (!take_string(c, &ignored)) return false;
      continue;
    case '{':
    case '[':
      if (depth == DEPTH_MAX) return false;
      objects = objects << 1 | (*c->p == '{');
      depth++;
      break;
    case '}':
    case ']':
      if ((objects & 1) != (*c->p == '}')) return false;
      objects >>= 1;
      depth--;
      break;
    default:
      break;
    }
    c->p++;
  } while (depth && c->p < c->end);
  return !depth;
}

static bool take_value(struct cursor *c, struct slice *ret, bool *ret_string) {
  skip_blanks(c);
  if (c->p == c->end) return false;
  *ret_string = *c->p == '"';
  if (*ret_string) return take_string(c, ret);
  ret->at = c->p;
  if (*c->p == '{' || *c->p == '[') {
    if (!take_nested(c)) return false;
  } else { /* a number, true, false, null */
    while (c->p < c->end && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *c->p) && *c->p)
      c->p++;
  }
  ret->len = (size_t)(c->p - ret->at);
  return ret->len > 0;
}

static bool whole_number(const struct slice *s, int32_t *ret) {
  bool minus = s->len && s->at[0] == '-';
  int64_t n = 0;

  if (s->len == minus || s->len > 10) return false;
  for (size_t i = minus; i < s->len; i++) {
    if (s->at[i] < '0' || s->at[i] > '9') return false;
    n = n * 10 + (s->at[i] - '0');
  }
  if (n > INT32_MAX) return false;
  *ret = (int32_t)(minus ? -n : n);
  return true;
}

/* --- escapes --- */

static int hex4(const char *p, const char *end) {
  int n = 0;

  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;

    if (digit < 0) return -1;
    n = n << 4 | digit;
  }
  return n;
}

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
  } else if (c < 0x800) {
    *out++ = (char)(0xc0 | c >> 6);
    *out++ = (char)(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    *out++ = (char)(0xe0 | c >> 12);
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
  } else {
    *out++ = (char)(0xf0 | c >> 18);
    *out++ = (char)(0x80 | (c >> 12 & 0x3f));
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
  }
  return out;
}

/* The character of \uXXXX at `p` (behind the u), with its second half; U+FFFD if there is none. The
 * character is never longer than its escape. */
static const char *take_unicode(const char *p, const char *end, uint32_t *ret) {
  int high = hex4(p, end), low;

  *ret = 0xfffd;
  if (high < 0) return p;
  p += 4;
  if (high < 0xd800 || high > 0xdfff) {
    *ret = (uint32_t)high;
  } else if (high < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
    low = hex4(p + 2, end);
    if (low >= 0xdc00 && low <= 0xdfff) {
      *ret = 0x10000 + (uint32_t)(high - 0xd800) * 0x400 + (uint32_t)(low - 0xdc00);
      p += 6;
    }
  }
  return p;
}

static void unescape(struct slice *s) {
  static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
  char *out = s->at ? memchr(s->at, '\\', s->len) : NULL;
  const char *p = out, *end;

  if (!out) return;
  end = s->at + s->len;
  while (p < end) {
    const char *letter;
    uint32_t c;

    if (*p != '\\') {
      *out++ = *p++;
      continue;
    }
    p++; /* there is one behind it: take_string() saw to that */
    letter = *p ? strchr(from, *p) : NULL;
    if (letter) {
      *out++ = to[letter - from];
      p++;
    } else if (*p == 'u') {
      if (hex4(p + 1, end) < 0) { /* no escape: "\u" would grow as U+FFFD */
        *out++ = '?';
        p++;
        continue;
      }
      p = take_unicode(p + 1, end, &c);
      out = put_utf8(out, c);
    } else {
      *out++ = *p++;
    }
  }
  s->len = (size_t)(out - s->at);
}

/* --- the object --- */

static bool named(const struct slice *name, const char *want) {
  return name->len == strlen(want) && memcmp(name->at, want, name->len) == 0;
}

int reply_parse(char *line, size_t len, struct reply *ret) {
  struct cursor c = {line, line + len};
  struct reply r = {0};
  bool coded = false, msg_string = false, error_string = false;

  if (!take(&c, '{')) return -ENOMSG;
  skip_blanks(&c);
  if (c.p == c.end || *c.p == '}') return -ENOMSG;
  do {
    struct slice name, value;
    bool string;

    if (!take_string(&c, &name) || !take(&c, ':') || !take_value(&c, &value, &string))
      return -ENOMSG;
    if (named(&name, "code")) {
      if (string || !whole_number(&value, &r.code)) return -ENOMSG;
      coded = true;
    } else if (named(&name, "msg")) {
      r.msg = value;
      msg_string = string;
    } else if (named(&name, "error_code")) {
      r.error_code = value;
      error_string = string;
    } else if (named(&name, "jobs") && !string) {
      r.jobs = value;
    } else if (named(&name, "topics")) {
      r.topics = value;
    } else if (named(&name, "outTraceId") && string) {
      r.trace = value;
    }
  } while (take(&c, ','));
  if (!take(&c, '}')) return -ENOMSG;
  skip_blanks(&c);
  if (c.p != c.end || !coded) return -ENOMSG;
  if (msg_string) unescape(&r.msg);
  if (error_string) unescape(&r.error_code);
  *ret = r;
  return 0;
}

bool reply_is_of(const struct reply *r, const char *trace) {
  return r->trace.at && r->trace.len == strlen(trace) && !memcmp(r->trace.at, trace, r->trace.len);
}

static char *terminated(struct slice *s) {
  if (s->at) s->at[s->len] = 0; /* on its bracket or quote: the line has been read */
  return s->at;
}

void reply_result(struct reply *r, const char *path, struct pb_result *res) {
  const struct slice *body = r->code == 207 && r->jobs.at ? &r->jobs : &r->msg;

  res->outcome = PB_ANSWERED;
  res->code = r->code;
  res->body = body->at;
  res->body_len = body->len;
  res->topics = r->topics.at ? terminated(&r->topics) : path;
  res->error_code = terminated(&r->error_code);
}
