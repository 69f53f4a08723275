/* Owns the text form of jobs for workers. It is on the way of every job: each byte is written once,
 * straight in its final encoding.
 */
#include "transport/batch.h"

#include "base/utf8.h"
#include "config/settings.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same JSON goes out plain (exec) or percent-encoded (forms). */
enum encoding { PLAIN, FORM };

struct pb_batch *batch_new(size_t cap) {
  struct pb_batch *b = calloc(1, sizeof *b);
  if (!b) return NULL;
  b->cap = cap;
  b->jobs = calloc(cap ? cap : 1, sizeof *b->jobs);
  b->ids = calloc(cap ? cap : 1, sizeof *b->ids);
  if (!b->jobs || !b->ids) {
    batch_free(b);
    return NULL;
  }
  return b;
}

void batch_reset(struct pb_batch *b) {
  /* A rare large job must not keep its memory for ever. */
  if (b->form.cap > 256 * 1024) buf_free(&b->form);
  if (b->json.cap > 256 * 1024) buf_free(&b->json);
  if (b->bodies.cap > 256 * 1024) buf_free(&b->bodies);
  b->form.len = b->json.len = b->bodies.len = 0;
  b->form.failed = b->json.failed = b->bodies.failed = false;
  b->n = 0;
  b->traceparent[0] = 0;
}

void batch_free(struct pb_batch *b) {
  if (!b) return;
  buf_free(&b->form);
  buf_free(&b->json);
  buf_free(&b->bodies);
  free(b->jobs);
  free(b->ids);
  free(b);
}

void batch_push(struct pb_batch *b, struct job *job) {
  id_format(job->id, b->ids[b->n]);
  b->jobs[b->n++] = job;
}

static inline bool form_plain(unsigned char c) {
  static const bool plain[256] = {['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
                                  ['-'] = true,         ['_'] = true,         ['.'] = true};
  return plain[c];
}

static char *put_percent(char *p, unsigned char c) {
  static const char hex[] = "0123456789ABCDEF";
  p[0] = '%';
  p[1] = hex[c >> 4];
  p[2] = hex[c & 15];
  return p + 3;
}

static char *put_form(char *p, unsigned char c) {
  if (form_plain(c)) {
    *p = (char)c;
    return p + 1;
  }
  if (c == ' ') {
    *p = '+';
    return p + 1;
  }
  return put_percent(p, c);
}

/* `text` as it stands, in the encoding. */
static void add_raw(struct buf *b, enum encoding e, const char *text, size_t n) {
  if (e == PLAIN) {
    buf_add(b, text, n);
    return;
  }
  char *start = buf_reserve(b, n * 3), *p = start;
  if (!p) return;
  for (size_t i = 0; i < n; i++) p = put_form(p, (unsigned char)text[i]);
  b->len += (size_t)(p - start);
}

/* The constant parts of the JSON, encoded by the compiler; Q C M are quote, colon and comma. */
#define Q "%22"
#define C "%3A"
#define M "%2C"
#define ADD_LITERAL(b, e, plain, form)                                                             \
  ((e) == PLAIN ? buf_add(b, plain, sizeof(plain) - 1) : buf_add(b, form, sizeof(form) - 1))

/* Valid UTF-8 as the inside of a JSON string, in the encoding. One pass; room is made a piece at a
 * time, for the longest escape in either encoding is 8 bytes ("%5Cu001F"). */
static void add_string(struct buf *b, enum encoding e, const char *text, size_t n) {
  static const char escapes[32] = {
      ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  static const char hex[] = "0123456789abcdef";
  while (n) {
    size_t piece = n < 4096 ? n : 4096;
    char *start = buf_reserve(b, piece * 8), *p = start;
    if (!p) return;
    for (size_t i = 0; i < piece; i++) {
      unsigned char c = (unsigned char)text[i];
      if (c >= 0x20 && c != '"' && c != '\\') {
        if (e == PLAIN)
          *p++ = (char)c;
        else
          p = put_form(p, c);
        continue;
      }
      if (e == PLAIN)
        *p++ = '\\';
      else
        p = put_percent(p, '\\');
      if (c == '\\' || c == '"') {
        if (e == PLAIN)
          *p++ = (char)c;
        else
          p = put_percent(p, c);
      } else if (escapes[c]) {
        *p++ = escapes[c];
      } else {
        memcpy(p, "u00", 3);
        p[3] = hex[c >> 4];
        p[4] = hex[c & 15];
        p += 5;
      }
    }
    b->len += (size_t)(p - start);
    text += piece;
    n -= piece;
  }
}

static void add_base64(struct buf *b, enum encoding e, const char *data, size_t n) {
  unsigned char piece[4 * 1024 + 1];
  while (n) {
    int take = n < 3 * 1024 ? (int)n : 3 * 1024;
    int len = EVP_EncodeBlock(piece, (const unsigned char *)data, take);
    add_raw(b, e, (const char *)piece, (size_t)len);
    data += take;
    n -= (size_t)take;
  }
}

static void add_number(struct buf *b, uint64_t v) {
  buf_add_u64(b, v);
} /* same in both */

static void add_job(struct buf *b, enum encoding e, const struct job *job, const char *id,
                    bool retries, uint64_t now_unix_ms) {
  char trace[ID_TRACE_MAX];
  size_t trace_len = id_format_trace(job->trace, job->gateway, trace);
  bool text = utf8_valid(job->content, job->content_len);

  ADD_LITERAL(b, e, "{\"id\":\"", "%7B" Q "id" Q C Q);
  buf_add(b, id, strlen(id)); /* digits and dashes: the same in both */
  ADD_LITERAL(b, e, "\",\"inTraceId\":\"", Q M Q "inTraceId" Q C Q);
  buf_add(b, trace, trace_len);
  ADD_LITERAL(b, e, "\",\"content\":\"", Q M Q "content" Q C Q);
  if (text)
    add_string(b, e, job->content, job->content_len);
  else
    add_base64(b, e, job->content, job->content_len);
  ADD_LITERAL(b, e, "\",\"retrying\":", Q M Q "retrying" Q C);
  add_number(b, job->failed);
  ADD_LITERAL(b, e, ",\"RetryTimes\":", M Q "RetryTimes" Q C);
  add_number(b, (uint64_t)job->failed + 1);
  ADD_LITERAL(b, e, ",\"RetryTime\":", M Q "RetryTime" Q C);
  add_number(b, now_unix_ms / 1000);
  if (retries)
    ADD_LITERAL(b, e,
                ",\"IsRetry\":true,\"BeginRetry\":", M Q "IsRetry" Q C "true" M Q "BeginRetry" Q C);
  else
    ADD_LITERAL(
        b, e, ",\"IsRetry\":false,\"BeginRetry\":", M Q "IsRetry" Q C "false" M Q "BeginRetry" Q C);
  if (job->failed)
    ADD_LITERAL(b, e, "true,\"RetryResidueTime\":", "true" M Q "RetryResidueTime" Q C);
  else
    ADD_LITERAL(b, e, "false,\"RetryResidueTime\":", "false" M Q "RetryResidueTime" Q C);
  add_number(b, job->expires_ms > now_unix_ms ? (job->expires_ms - now_unix_ms) / 1000 : 0);
  if (text)
    ADD_LITERAL(b, e, "}", "%7D");
  else
    ADD_LITERAL(b, e, ",\"encoding\":\"base64\"}", M Q "encoding" Q C Q "base64" Q "%7D");
}

void batch_job_json(struct buf *out, const struct job *job, bool retries, uint64_t now_unix_ms) {
  char id[ID_TEXT_MAX];
  id_format(job->id, id);
  add_job(out, PLAIN, job, id, retries, now_unix_ms);
}

static void add_jobs(struct buf *b, enum encoding e, const struct pb_batch *batch) {
  ADD_LITERAL(b, e, "[", "%5B");
  for (size_t i = 0; i < batch->n; i++) {
    if (i) ADD_LITERAL(b, e, ",", M);
    add_job(b, e, batch->jobs[i], batch->ids[i], batch->topic->attempts > 1, batch->now_unix_ms);
  }
  ADD_LITERAL(b, e, "]", "%5D");
}

const char *batch_json(const struct pb_batch *batch, size_t *ret_len) {
  struct buf *b = &((struct pb_batch *)(uintptr_t)batch)->json; /* built at the first call */
  if (!b->len) add_jobs(b, PLAIN, batch);
  *ret_len = b->len;
  return b->failed ? NULL : b->data;
}

const void *batch_body(const struct pb_batch *batch, size_t n, size_t *ret_len) {
  struct buf *b = &((struct pb_batch *)(uintptr_t)batch)->bodies; /* built at the first call */
  size_t at = 0;
  if (!b->len)
    for (size_t i = 0; i < batch->n; i++)
      buf_add(b, batch->jobs[i]->content, batch->jobs[i]->content_len);
  for (size_t i = 0; i < n; i++) at += batch->jobs[i]->content_len;
  *ret_len = b->failed ? 0 : batch->jobs[n]->content_len;
  if (b->failed) return NULL;
  return *ret_len ? b->data + at : "";
}

const char *batch_form(const struct pb_batch *batch, size_t *ret_len) {
  struct buf *b = &((struct pb_batch *)(uintptr_t)batch)->form; /* built at the first call */
  if (!b->len) {
    const struct topic_settings *t = batch->topic;
    const char *path = t->path, *slash = strchr(path, '/');
    buf_add_text(b, batch->type == PB_BATCH_PING ? "IS_PEPPER_BUS_REQUEST=true&type=ping"
                                                 : "IS_PEPPER_BUS_REQUEST=true&type=data");
    buf_add_text(b, "&outTraceId=");
    add_raw(b, FORM, batch->trace, strlen(batch->trace));
    buf_add_text(b, "&queue=");
    add_raw(b, FORM, path, slash ? (size_t)(slash - path) : strlen(path));
    buf_add_text(b, "&topic=");
    add_raw(b, FORM, t->name, strlen(t->name));
    if (batch->type == PB_BATCH_DATA) {
      buf_add_text(b, "&jobs=");
      add_jobs(b, FORM, batch);
    }
  }
  *ret_len = b->len;
  return b->failed ? NULL : b->data;
}

bool batch_is_form(const struct pb_batch *b, const void *text) {
  return b && b->form.len && text == b->form.data;
}

/* The trace of a job is the same at each of its topics and attempts: intake id, gateway and port of
 * its inTraceId. A ping has no job and gets a new trace. */
const char *batch_traceparent(const struct pb_batch *batch) {
  struct pb_batch *b = (struct pb_batch *)(uintptr_t)batch;
  if (!*b->traceparent) {
    uint64_t trace = b->n ? b->jobs[0]->trace : b->trace_id;
    struct gateway g = b->n ? b->jobs[0]->gateway : b->gateway;
    snprintf(b->traceparent, sizeof b->traceparent, "00-%016llx%08x%04x0000-%016llx-01",
             (unsigned long long)trace, (unsigned)g.ipv4, (unsigned)g.port,
             (unsigned long long)b->trace_id);
  }
  return b->traceparent;
}
