/* Owns how the head of an HTTP/1 request is read, and where a body in chunks ends.
 *
 * Must never happen: a request of which two readers could say that it ends at different places.
 */
#include "admin/http_head.h"

#include "base/hex.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX     16
#define CHUNK_LINE_MAX 256
#define TRAILER_MAX    4096
#define EMPTY_MAX      4 /* bytes of empty lines in front of a head: two */

static bool is_token(unsigned char c) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c && strchr(others, c));
}

static size_t empty_lines(const char *data, size_t len) {
  size_t at = 0;
  while (at < EMPTY_MAX && len - at >= 2 && data[at] == '\r' && data[at + 1] == '\n') at += 2;
  return at;
}

size_t http_head_length(const char *data, size_t len) {
  size_t begin = empty_lines(data, len);
  const char *end = len > begin ? memmem(data + begin, len - begin, "\r\n\r\n", 4) : NULL;
  return end ? (size_t)(end - data) + 4 : 0;
}

bool http_head_begins(const char *data, size_t len) {
  size_t at = empty_lines(data, len), from = at;
  if (at < len && data[at] == '\r') return at + 1 == len && at < EMPTY_MAX;
  while (at < len && at - from < METHOD_MAX && is_token((unsigned char)data[at])) at++;
  return at == len || (at > from && data[at] == ' ');
}

static int refuse(int status, const char *why, const char **reterr_why) {
  *reterr_why = why;
  return status;
}

static enum http_method method_of(const char *text) {
  static const char *const names[] = {
      [HTTP_GET] = "GET",        [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
      [HTTP_PUT] = "PUT",        [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH",
      [HTTP_OPTIONS] = "OPTIONS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(text, names[i])) return (enum http_method)i;
  return HTTP_OTHER;
}

/* "/path?query", or "http://host/path?query". */
static int target_parse(char *text, struct http_head *h, const char **why) {
  if (strlen(text) > HTTP_TARGET_MAX)
    return refuse(414, "the request target is longer than 8192 bytes", why);
  for (const char *p = text; *p; p++)
    if (*p <= ' ' || *p >= 0x7f || *p == '#')
      return refuse(400, "the request target has a character that must be percent-encoded", why);
  if (!strncasecmp(text, "http://", 7)) {
    /* The host moves to the front, so that there is room for the NUL behind it. */
    size_t len = strcspn(text + 7, "/?");
    char *rest = text + 7 + len;
    memmove(text, text + 7, len);
    text[len] = 0;
    h->host = text;
    text = rest;
  }
  char *query = strchr(text, '?');
  if (query) {
    *query = 0;
    h->query = query + 1;
  }
  h->path = *text || !h->host ? text : "/";
  return *h->path == '/' ? 0 : refuse(400, "the request target does not begin with a slash", why);
}

static int line_parse(char *line, struct http_head *h, const char **why) {
  char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
  if (!version || target == line) return refuse(400, "this is not an HTTP request", why);
  *target++ = *version++ = 0;
  if (strlen(line) > METHOD_MAX) return refuse(400, "the method is longer than 16 letters", why);
  for (const char *p = line; *p; p++)
    if (!is_token((unsigned char)*p)) return refuse(400, "the method is not a word", why);
  h->method = method_of(line);
  if (strncmp(version, "HTTP/", 5) || strlen(version) != 8 || version[6] != '.')
    return refuse(400, "this is not an HTTP request", why);
  h->http10 = !strcmp(version + 5, "1.0");
  if (!h->http10 && strcmp(version + 5, "1.1"))
    return refuse(505, "this port speaks HTTP/1.1 and HTTP/1.0", why);
  return target_parse(target, h, why);
}

static int field_parse(char *line, struct http_head *h, const char **why) {
  char *p = line;
  if (h->n_fields == HTTP_FIELDS_MAX) return refuse(400, "more than 100 header fields", why);
  while (is_token((unsigned char)*p)) p++;
  if (p == line || *p != ':')
    return refuse(400, "a header field is not \"Name: value\" on one line", why);
  *p++ = 0;
  p += strspn(p, " \t");
  char *end = p + strlen(p);
  while (end > p && (end[-1] == ' ' || end[-1] == '\t')) *--end = 0;
  for (const char *v = p; *v; v++)
    if (((unsigned char)*v < ' ' && *v != '\t') || *v == 0x7f)
      return refuse(400, "a header field has a control character", why);
  h->fields[h->n_fields++] = (struct http_field){line, p};
  return 0;
}

const char *http_head_field(const struct http_head *h, const char *name) {
  for (size_t i = 0; i < h->n_fields; i++)
    if (!strcasecmp(h->fields[i].name, name)) return h->fields[i].value;
  return NULL;
}

static size_t fields_named(const struct http_head *h, const char *name) {
  size_t n = 0;
  for (size_t i = 0; i < h->n_fields; i++) n += !strcasecmp(h->fields[i].name, name);
  return n;
}

/* Is `word` among the comma separated ones of all fields of that name? */
static bool field_has(const struct http_head *h, const char *name, const char *word) {
  size_t want = strlen(word);
  for (size_t i = 0; i < h->n_fields; i++) {
    if (strcasecmp(h->fields[i].name, name)) continue;
    for (const char *p = h->fields[i].value; *p;) {
      p += strspn(p, " \t,");
      size_t len = strcspn(p, " \t,");
      if (len == want && !strncasecmp(p, word, len)) return true;
      p += len;
    }
  }
  return false;
}

/* Where the body ends. */
static int length_parse(struct http_head *h, const char **why) {
  const char *length = http_head_field(h, "Content-Length");
  const char *coding = http_head_field(h, "Transfer-Encoding");
  if (fields_named(h, "Content-Length") + fields_named(h, "Transfer-Encoding") > 1)
    return refuse(400, "more than one of Content-Length and Transfer-Encoding", why);
  if (coding && h->http10) return refuse(400, "HTTP/1.0 has no Transfer-Encoding", why);
  if (coding && strcasecmp(coding, "chunked"))
    return refuse(501, "the only Transfer-Encoding that is supported is chunked", why);
  h->chunked = coding != NULL;
  if (!length) return 0;
  size_t digits = strspn(length, "0123456789");
  if (!digits || length[digits] || digits > 18)
    return refuse(400, "Content-Length is not a number", why);
  for (; *length; length++) h->length = h->length * 10 + (uint64_t)(*length - '0');
  return 0;
}

static int meaning_parse(struct http_head *h, const char **why) {
  size_t hosts = fields_named(h, "Host");
  if (hosts > 1 || (!hosts && !h->http10))
    return refuse(400, "exactly one header field Host is needed", why);
  if (hosts && !h->host) h->host = http_head_field(h, "Host");
  int rc = length_parse(h, why);
  if (rc) return rc;
  const char *expect = http_head_field(h, "Expect");
  if (expect && strcasecmp(expect, "100-continue"))
    return refuse(417, "the only Expect that is supported is 100-continue", why);
  h->expects = expect && !h->http10 && (h->length || h->chunked);
  h->keep = !field_has(h, "Connection", "close") &&
            (!h->http10 || field_has(h, "Connection", "keep-alive"));
  return 0;
}

/* Ends the next line with a NUL, in the place of its line end. NULL: a line end of another form. */
static char *line_next(char **at, const char *end) {
  char *line = *at, *cr = memchr(line, '\r', (size_t)(end - line));
  if (!cr || cr + 1 >= end || cr[1] != '\n') return NULL;
  if (memchr(line, '\n', (size_t)(cr - line)) || memchr(line, 0, (size_t)(cr - line))) return NULL;
  *cr = 0;
  *at = cr + 2;
  return line;
}

int http_head_parse(char *data, size_t len, struct http_head *ret, const char **reterr_why) {
  static const char odd[] = "a line of the head has a NUL, or does not end with CR LF";
  char *at = data + empty_lines(data, len), *end = data + len, *line;
  memset(ret, 0, offsetof(struct http_head, fields));
  ret->n_fields = 0;
  if (!(line = line_next(&at, end))) return refuse(400, odd, reterr_why);
  int rc = line_parse(line, ret, reterr_why);
  while (!rc) {
    if (!(line = line_next(&at, end))) return refuse(400, odd, reterr_why);
    if (!*line) break;
    rc = field_parse(line, ret, reterr_why);
  }
  return rc ? rc : meaning_parse(ret, reterr_why);
}

/* --- chunks --- */

static bool size_take(struct http_chunks *c, char ch) {
  int digit = c->extension ? -1 : hex_value(ch);
  if (++c->line > CHUNK_LINE_MAX) return false;
  if (digit >= 0) {
    if (c->left >> 56) return false;
    c->left = c->left << 4 | (unsigned)digit;
    c->digits = true;
  } else if (ch == '\r' && c->digits) {
    c->state = CHUNK_SIZE_END;
  } else if (c->digits && (c->extension || ch == ';' || ch == ' ' || ch == '\t')) {
    if ((unsigned char)ch < ' ' && ch != '\t') return false;
    c->extension = true;
  } else {
    return false;
  }
  return true;
}

static void chunk_begin(struct http_chunks *c) {
  c->last = !c->left;
  c->line = 0;
  c->extension = c->digits = false;
  c->state = c->last ? CHUNK_TRAILER : CHUNK_DATA;
}

/* Every state but CHUNK_DATA takes one byte. */
static bool byte_take(struct http_chunks *c, char ch) {
  switch (c->state) {
  case CHUNK_SIZE:
    return size_take(c, ch);
  case CHUNK_SIZE_END:
    chunk_begin(c);
    return ch == '\n';
  case CHUNK_DATA_CR:
    c->state = CHUNK_DATA_LF;
    return ch == '\r';
  case CHUNK_DATA_LF:
    *c = (struct http_chunks){.state = CHUNK_SIZE};
    return ch == '\n';
  case CHUNK_TRAILER: /* `line` counts all of them, `digits`: this one is not empty */
    if (++c->line > TRAILER_MAX || ch == '\n') return false;
    if (ch == '\r')
      c->state = CHUNK_TRAILER_LF;
    else
      c->extension = true;
    return true;
  case CHUNK_TRAILER_LF:
    c->state = c->extension ? CHUNK_TRAILER : CHUNK_DONE;
    c->extension = false;
    return ch == '\n';
  case CHUNK_DATA:
  case CHUNK_DONE:
    break;
  }
  return false;
}

long http_chunks_take(struct http_chunks *c, const char *data, size_t len, const char **ret_body,
                      size_t *ret_body_len) {
  size_t at = 0;
  *ret_body = data;
  *ret_body_len = 0;
  while (at < len && c->state != CHUNK_DONE) {
    if (c->state == CHUNK_DATA) {
      size_t n = len - at < c->left ? len - at : (size_t)c->left;
      *ret_body = data + at;
      *ret_body_len = n;
      c->left -= n;
      if (!c->left) c->state = CHUNK_DATA_CR;
      return (long)(at + n);
    }
    if (!byte_take(c, data[at++])) return -EINVAL;
  }
  return (long)at;
}
