/* Reads answers. Calls libc, and libcurl's reader of dates. */
#include "http_reply.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_CAP 1024
#define LONGEST_S 1000000000  /* of a Retry-After: as good as for ever; the caller has a limit */
#define KEPT_CAP  (64 * 1024) /* a buffer that grew over it is given back */

void http_reply_init(struct http_reply *r, size_t max_head, size_t max_body) {
  *r = (struct http_reply){.max_head = max_head, .max_body = max_body};
}

void http_reply_done(struct http_reply *r) {
  free(r->head);
  free(r->body);
  *r = (struct http_reply){0};
}

static void forget_head(struct http_reply *r) {
  r->head_len = 0;
  r->status = r->code = 0;
  r->error_code = r->topics = r->location = r->retry_after = 0;
  r->over = r->closes = false;
}

void http_reply_reset(struct http_reply *r) {
  if (r->head_cap > KEPT_CAP) {
    free(r->head);
    r->head = NULL;
    r->head_cap = 0;
  }
  if (r->body_cap > KEPT_CAP) {
    free(r->body);
    r->body = NULL;
    r->body_cap = 0;
  }
  forget_head(r);
  r->body_len = r->seen = 0;
  r->too_large = false;
  r->bad[0] = 0;
}

/* Room for `more` bytes and a NUL behind `len`. */
static int reserve(struct http_reply *r, char **buf, size_t *cap, size_t len, size_t more) {
  size_t want = *cap ? *cap : FIRST_CAP;
  char *grown;

  if (len + more + 1 <= *cap) return 0;
  while (want < len + more + 1) want *= 2;
  grown = realloc(*buf, want);
  if (!grown) {
    snprintf(r->bad, sizeof r->bad, "no memory for it");
    return -ENOMEM;
  }
  *buf = grown;
  *cap = want;
  return 0;
}

static int too_large(struct http_reply *r, const char *what, const char *limit, size_t max) {
  r->too_large = true;
  snprintf(r->bad, sizeof r->bad, "its %s is over %s (%zu bytes)", what, limit, max);
  return -EMSGSIZE;
}

/* Three digits from 100 on and nothing else, or -1. */
static int three_digits(const char *text, size_t len) {
  if (len != 3 || text[0] < '1' || text[0] > '9') return -1;
  for (int i = 1; i < 3; i++)
    if (text[i] < '0' || text[i] > '9') return -1;
  return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

static int status_line(struct http_reply *r, const char *line, size_t len) {
  const char *at = memchr(line, ' ', len), *end = line + len;
  size_t n = 0;

  forget_head(r); /* an interim answer (1xx) came before this one */
  if (at) {
    at++;
    while (at + n < end && at[n] != ' ') n++;
    r->status = three_digits(at, n);
  }
  if (at && r->status > 0) return 0;
  r->status = 0;
  snprintf(r->bad, sizeof r->bad, "its status line has no status of three digits");
  return -EBADMSG;
}

static int keep(struct http_reply *r, const char *value, size_t len, size_t *ret_at) {
  int rc = reserve(r, &r->head, &r->head_cap, r->head_len, len);

  if (rc < 0) return rc;
  if (len) memcpy(r->head + r->head_len, value, len);
  r->head[r->head_len + len] = 0;
  *ret_at = r->head_len + 1;
  r->head_len += len + 1;
  return 0;
}

static bool is(const char *name, size_t len, const char *want) {
  return len == strlen(want) && strncasecmp(name, want, len) == 0;
}

static int field(struct http_reply *r, const char *line, size_t len) {
  const char *colon = memchr(line, ':', len), *value, *end = line + len;
  size_t name_len, value_len;
  int n;

  if (!colon) return 0; /* the finder of the line has let it pass, and it means nothing here */
  name_len = (size_t)(colon - line);
  value = colon + 1;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  value_len = (size_t)(end - value);
  if (is(line, name_len, "Code")) {
    n = three_digits(value, value_len);
    if (n < 0) {
      snprintf(r->bad, sizeof r->bad, "its header Code \"%.*s\" is not a number of three digits",
               value_len > 40 ? 40 : (int)value_len, value);
      return -EBADMSG;
    }
    r->code = n;
    return 0;
  }
  if (is(line, name_len, "Connection")) {
    r->closes = r->closes || is(value, value_len, "close");
    return 0;
  }
  if (is(line, name_len, "Error-Code")) return keep(r, value, value_len, &r->error_code);
  if (is(line, name_len, "Consume-Topics")) return keep(r, value, value_len, &r->topics);
  if (is(line, name_len, "Location")) return keep(r, value, value_len, &r->location);
  if (is(line, name_len, "Retry-After")) return keep(r, value, value_len, &r->retry_after);
  return 0;
}

int http_reply_line(struct http_reply *r, const char *line, size_t len) {
  if (r->over) return 0; /* a trailer: the verdict is in the head */
  if (len > r->max_head || r->seen > r->max_head - len)
    return too_large(r, "header", "max_header", r->max_head);
  r->seen += len;
  while (len && (line[len - 1] == '\n' || line[len - 1] == '\r')) len--;
  if (!len) {
    r->over = r->status >= 200;
    return 0;
  }
  if (memchr(line, 0, len)) {
    snprintf(r->bad, sizeof r->bad, "its header has a NUL byte in it");
    return -EBADMSG;
  }
  return len >= 5 && memcmp(line, "HTTP/", 5) == 0 ? status_line(r, line, len)
                                                   : field(r, line, len);
}

int http_reply_body(struct http_reply *r, const char *data, size_t len) {
  int rc;

  if (len > r->max_body || r->body_len > r->max_body - len)
    return too_large(r, "body", "max_response", r->max_body);
  rc = reserve(r, &r->body, &r->body_cap, r->body_len, len);
  if (rc < 0) return rc;
  if (len) memcpy(r->body + r->body_len, data, len);
  r->body_len += len;
  r->body[r->body_len] = 0;
  return 0;
}

const char *http_reply_value(const struct http_reply *r, size_t at) {
  return at ? r->head + at - 1 : NULL;
}

uint64_t http_retry_after_ms(const char *value, int64_t now_unix) {
  size_t digits = strspn(value, "0123456789");
  int64_t seconds = 0;

  if (digits && !value[digits])
    seconds = digits > 9 ? LONGEST_S : (int64_t)strtoul(value, NULL, 10);
  else if (!digits && strlen(value) >= sizeof "Sun Nov  6 08:49:37 1994" - 1)
    seconds = (int64_t)curl_getdate(value, NULL) - now_unix;
  if (seconds <= 0) return 0;
  return (uint64_t)(seconds < LONGEST_S ? seconds : LONGEST_S) * 1000;
}
