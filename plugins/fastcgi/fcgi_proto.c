/* The bytes of FastCGI 1.0 and of the CGI reply within. Calls nothing but libc's memory.
 *
 * Must never happen: reading past the input, a length from the wire that is believed before it
 * is checked, a buffer that grows because the other side announced something.
 */
#include "fcgi_proto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REPLY_FIRST 4096         /* first buffer: an ordinary reply fits */
#define REPLY_KEEP  (128 * 1024) /* larger buffers are not kept between requests */

/* --- writing --- */

void fcgi_put_header(uint8_t out[FCGI_HEADER_LEN], enum fcgi_type type, size_t content_len) {
  out[0] = FCGI_VERSION;
  out[1] = (uint8_t)type;
  out[2] = FCGI_REQUEST_ID >> 8;
  out[3] = FCGI_REQUEST_ID & 0xff;
  out[4] = (uint8_t)(content_len >> 8);
  out[5] = (uint8_t)content_len;
  out[6] = 0; /* padding: optional, and php-fpm does not profit from it */
  out[7] = 0;
}

void fcgi_put_begin(uint8_t out[FCGI_BEGIN_LEN], bool keep_conn) {
  fcgi_put_header(out, FCGI_BEGIN_REQUEST, 8);
  memset(out + FCGI_HEADER_LEN, 0, 8);
  out[FCGI_HEADER_LEN + 1] = 1; /* role: responder */
  out[FCGI_HEADER_LEN + 2] = keep_conn ? 1 : 0;
}

void fcgi_params_init(struct fcgi_params *p, uint8_t *buf, size_t cap) {
  *p = (struct fcgi_params){.buf = buf, .cap = cap, .len = FCGI_HEADER_LEN};
  p->overflow = cap < FCGI_HEADER_LEN;
}

static uint8_t *put_length(uint8_t *at, size_t n) {
  if (n < 128) {
    *at++ = (uint8_t)n;
    return at;
  }
  *at++ = (uint8_t)(n >> 24) | 0x80;
  *at++ = (uint8_t)(n >> 16);
  *at++ = (uint8_t)(n >> 8);
  *at++ = (uint8_t)n;
  return at;
}

void fcgi_params_add(struct fcgi_params *p, const char *name, const char *value, size_t value_len) {
  size_t name_len = strlen(name), lengths = (name_len < 128 ? 1 : 4) + (value_len < 128 ? 1 : 4);
  uint8_t *at;

  if (p->overflow) return;
  if (name_len > FCGI_CONTENT_MAX || value_len > FCGI_CONTENT_MAX ||
      lengths + name_len + value_len > p->cap - p->len ||
      p->len - FCGI_HEADER_LEN + lengths + name_len + value_len > FCGI_CONTENT_MAX) {
    p->overflow = true;
    return;
  }
  at = put_length(p->buf + p->len, name_len);
  at = put_length(at, value_len);
  memcpy(at, name, name_len);
  if (value_len) memcpy(at + name_len, value, value_len);
  p->len = (size_t)(at - p->buf) + name_len + value_len;
}

int fcgi_params_end(struct fcgi_params *p) {
  if (p->overflow) return -EMSGSIZE;
  fcgi_put_header(p->buf, FCGI_PARAMS, p->len - FCGI_HEADER_LEN);
  return (int)p->len;
}

/* --- reading records --- */

void fcgi_reader_init(struct fcgi_reader *r) {
  memset(r, 0, offsetof(struct fcgi_reader, bad));
  r->bad[0] = 0;
}

static enum fcgi_event reader_bad(struct fcgi_reader *r) {
  r->state = FCGI_IN_BAD;
  return FCGI_BAD;
}

/* A whole header is in r->have. */
static bool reader_header(struct fcgi_reader *r) {
  const uint8_t *h = r->have;
  unsigned id = (unsigned)h[2] << 8 | h[3];

  r->type = h[1];
  r->content = (uint16_t)(h[4] << 8 | h[5]);
  r->padding = h[6];
  r->have_len = 0;
  if (h[0] != FCGI_VERSION) {
    snprintf(r->bad, sizeof r->bad, "record of version %u, not 1: this is not FastCGI", h[0]);
    return false;
  }
  if (r->type != FCGI_STDOUT && r->type != FCGI_STDERR && r->type != FCGI_END_REQUEST) {
    snprintf(r->bad, sizeof r->bad, "record of type %u, which a responder does not send", h[1]);
    return false;
  }
  if (id != FCGI_REQUEST_ID) {
    snprintf(r->bad, sizeof r->bad, "record for request %u, but only request %u was sent", id,
             FCGI_REQUEST_ID);
    return false;
  }
  if (r->type == FCGI_END_REQUEST) {
    if (r->content != 8) {
      snprintf(r->bad, sizeof r->bad, "END_REQUEST of %u bytes, not 8", r->content);
      return false;
    }
    r->state = FCGI_IN_END;
  } else {
    r->state = r->content ? FCGI_IN_CONTENT : r->padding ? FCGI_IN_PADDING : FCGI_IN_HEADER;
  }
  return true;
}

enum fcgi_event fcgi_reader_next(struct fcgi_reader *r, const uint8_t **data, const uint8_t *end,
                                 const uint8_t **ret, size_t *ret_len) {
  const uint8_t *p = *data;
  enum fcgi_event ev = FCGI_MORE;

  while (p < end && ev == FCGI_MORE) {
    size_t left = (size_t)(end - p), n;

    r->began = true;
    switch (r->state) {
    case FCGI_IN_HEADER:
    case FCGI_IN_END:
      n = FCGI_HEADER_LEN - r->have_len; /* END_REQUEST's body is 8 bytes as well */
      if (n > left) n = left;
      memcpy(r->have + r->have_len, p, n);
      r->have_len = (uint8_t)(r->have_len + n);
      p += n;
      if (r->have_len < FCGI_HEADER_LEN) break;
      if (r->state == FCGI_IN_HEADER) {
        if (!reader_header(r)) ev = reader_bad(r);
        break;
      }
      r->app_status = (uint32_t)r->have[0] << 24 | (uint32_t)r->have[1] << 16 |
                      (uint32_t)r->have[2] << 8 | r->have[3];
      r->status = r->have[4];
      r->have_len = 0;
      r->content = 0;
      /* Its padding belongs to the record: without reading it the next reply would begin with
       * it, so END is only said after the last byte. */
      if (r->padding) {
        r->state = FCGI_IN_PADDING;
      } else {
        r->state = FCGI_IN_HEADER;
        ev = FCGI_END;
      }
      break;
    case FCGI_IN_CONTENT:
      n = r->content < left ? r->content : left;
      *ret = p;
      *ret_len = n;
      p += n;
      r->content = (uint16_t)(r->content - n);
      if (!r->content) r->state = r->padding ? FCGI_IN_PADDING : FCGI_IN_HEADER;
      ev = r->type == FCGI_STDOUT ? FCGI_OUT : FCGI_ERR;
      break;
    case FCGI_IN_PADDING:
      n = r->padding < left ? r->padding : left;
      p += n;
      r->padding = (uint8_t)(r->padding - n);
      if (r->padding) break;
      r->state = FCGI_IN_HEADER;
      if (r->type == FCGI_END_REQUEST) ev = FCGI_END;
      break;
    case FCGI_IN_BAD:
      ev = FCGI_BAD;
      break;
    }
  }
  *data = p;
  return ev;
}

/* --- reading the reply --- */

void fcgi_reply_init(struct fcgi_reply *r, size_t max_body) {
  *r = (struct fcgi_reply){.max_body = max_body, .status = 200};
}

void fcgi_reply_reset(struct fcgi_reply *r) {
  if (r->cap > REPLY_KEEP) {
    free(r->buf);
    r->buf = NULL;
    r->cap = 0;
  }
  r->len = r->line = r->body = 0;
  r->status = 200;
  r->code = 0;
  r->php = r->php_style = false;
  r->error_code = r->topics = 0;
  r->bad[0] = 0;
}

void fcgi_reply_done(struct fcgi_reply *r) {
  free(r->buf);
  r->buf = NULL;
  r->cap = r->len = 0;
}

/* A number of three digits at the start of `text`, nothing but a blank after it; or -1. */
static int parse_code(const char *text) {
  int n = 0;

  for (int i = 0; i < 3; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    n = n * 10 + (text[i] - '0');
  }
  return n >= 100 && (text[3] == 0 || text[3] == ' ' || text[3] == '\t') ? n : -1;
}

/* One header line, NUL-terminated, at offset `at`. */
static int reply_line(struct fcgi_reply *r, size_t at) {
  char *name = r->buf + at, *value = strchr(name, ':'), *end;
  size_t name_len;
  int n;

  /* PHP sends any text that a script passes to header(). A line that is no header is the script's
   * fault, and no reason to distrust the verdict beside it. */
  if (!value) return 0;
  name_len = (size_t)(value - name);
  if (strncmp(name, "Content-type: text/html; charset=", 33) == 0) r->php_style = true;
  for (value++; *value == ' ' || *value == '\t';) value++;
  for (end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t');) end--;
  *end = 0;
  if (name_len == 6 && strncasecmp(name, "Status", 6) == 0) {
    n = parse_code(value);
    if (n < 0) {
      snprintf(r->bad, sizeof r->bad, "header Status \"%.40s\" is not a number of three digits",
               value);
      return -EBADMSG;
    }
    r->status = n;
  } else if (name_len == 4 && strncasecmp(name, "Code", 4) == 0) {
    n = parse_code(value);
    if (n < 0 || value[3]) {
      snprintf(r->bad, sizeof r->bad, "header Code \"%.40s\" is not a number of three digits",
               value);
      return -EBADMSG;
    }
    r->code = n;
  } else if (name_len == 10 && strncasecmp(name, "Error-Code", 10) == 0) {
    r->error_code = (size_t)(value - r->buf);
  } else if (name_len == 14 && strncasecmp(name, "Consume-Topics", 14) == 0) {
    r->topics = (size_t)(value - r->buf);
  } else if (name_len == 12 && strncasecmp(name, "X-Powered-By", 12) == 0) {
    r->php = r->php || strncmp(value, "PHP", 3) == 0;
  }
  return 0;
}

/* Reads header lines as far as they are complete, until the empty one. */
static int reply_head(struct fcgi_reply *r) {
  char *nl;
  int rc;

  while (!r->body && r->line < r->len &&
         (nl = memchr(r->buf + r->line, '\n', r->len - r->line)) != NULL) {
    size_t at = r->line, stop = (size_t)(nl - r->buf);

    r->line = stop + 1;
    if (stop > at && r->buf[stop - 1] == '\r') stop--;
    if (stop == at) {
      r->body = r->line;
      break;
    }
    if (memchr(r->buf + at, 0, stop - at)) {
      snprintf(r->bad, sizeof r->bad, "NUL byte in its header");
      return -EBADMSG;
    }
    r->buf[stop] = 0;
    rc = reply_line(r, at);
    if (rc < 0) return rc;
  }
  /* The limit counts only the header, not the body that came with its last piece. */
  if ((r->body ? r->body : r->len) > FCGI_HEAD_MAX) {
    snprintf(r->bad, sizeof r->bad, "header over %d bytes", FCGI_HEAD_MAX);
    return -EBADMSG;
  }
  return 0;
}

int fcgi_reply_feed(struct fcgi_reply *r, const uint8_t *data, size_t len) {
  size_t limit = r->max_body + FCGI_HEAD_MAX + FCGI_CONTENT_MAX, need = r->len + len + 1;
  int rc;

  if (need < len || need > limit) goto too_long;
  if (need > r->cap) {
    size_t cap = r->cap ? r->cap : REPLY_FIRST;
    char *buf;

    while (cap < need) cap *= 2;
    buf = realloc(r->buf, cap);
    if (!buf) return -ENOMEM;
    r->buf = buf;
    r->cap = cap;
  }
  if (len) memcpy(r->buf + r->len, data, len);
  r->len += len;
  r->buf[r->len] = 0; /* the body ends with a NUL that is not counted */
  if (!r->body) {
    rc = reply_head(r);
    if (rc < 0) return rc;
  }
  if (!r->body || r->len - r->body <= r->max_body) return 0;
too_long:
  snprintf(r->bad, sizeof r->bad, "output over max_response (%zu bytes)", r->max_body);
  return -EMSGSIZE;
}

int fcgi_reply_finish(struct fcgi_reply *r) {
  if (!r->len || r->body) return 0;
  snprintf(r->bad, sizeof r->bad, "its output ended within the header");
  return -EBADMSG;
}

/* --- STDERR --- */

void fcgi_tail_feed(struct fcgi_tail *t, const uint8_t *data, size_t len) {
  if (!len) return;
  if (!t->buf && !(t->buf = malloc(FCGI_STDERR_MAX))) return; /* only text for people is lost */
  if (len >= FCGI_STDERR_MAX) {
    t->cut = t->cut || t->len || len > FCGI_STDERR_MAX;
    memcpy(t->buf, data + (len - FCGI_STDERR_MAX), FCGI_STDERR_MAX);
    t->len = FCGI_STDERR_MAX;
    return;
  }
  if (t->len + len > FCGI_STDERR_MAX) {
    size_t keep = FCGI_STDERR_MAX - len;

    memmove(t->buf, t->buf + (t->len - keep), keep);
    t->len = keep;
    t->cut = true;
  }
  memcpy(t->buf + t->len, data, len);
  t->len += len;
}

void fcgi_tail_reset(struct fcgi_tail *t) {
  t->len = 0;
  t->cut = false;
}

void fcgi_tail_done(struct fcgi_tail *t) {
  free(t->buf);
  *t = (struct fcgi_tail){0};
}
