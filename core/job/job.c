/* Owns the stored form of a job and its states. Pure: no I/O. */
#include "job/job.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_TRACE     0x7f /* mask of the distance between id and trace id */
#define META_TRACE_FAR 0x7f /* that distance is in the extension */
#define META_EXTENSION 0x80

static void put_u64(unsigned char *p, uint64_t v) {
  for (int i = 7; i >= 0; i--, v >>= 8) p[i] = (unsigned char)v;
}

static uint64_t get_u64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v = v << 8 | p[i];
  return v;
}

void job_field(struct gateway g, char ret[JOB_FIELD_MAX]) {
  snprintf(ret, JOB_FIELD_MAX, "%d:%" PRIu32 ":%" PRIu16, JOB_FORM, g.ipv4, g.port);
}

static size_t put_item(unsigned char *p, char tag, uint64_t v) {
  p[0] = (unsigned char)tag;
  put_u64(p + 1, v);
  return 9;
}

size_t job_encode_head(const struct job_head *h, unsigned char ret[JOB_HEAD_MAX]) {
  unsigned char ext[JOB_HEAD_MAX];
  size_t n = 0;
  uint64_t far = h->id - h->trace;
  put_u64(ret, h->id);
  ret[8] = far < META_TRACE_FAR ? (unsigned char)far : META_TRACE_FAR;
  if (ret[8] == META_TRACE_FAR) n += put_item(ext + n, 't', h->trace);
  if (h->expires_ms) n += put_item(ext + n, 'x', h->expires_ms);
  if (h->own_retry) n += put_item(ext + n, 'r', h->retry_ms + 1);
  if (h->origin) n += put_item(ext + n, 'o', h->origin);
  if (!n) return 9;
  ret[8] |= META_EXTENSION;
  ret[9] = (unsigned char)n;
  memcpy(ret + 10, ext, n);
  return 10 + n;
}

/* Digits up to `end`; false: there are none, or they make more than `max`. */
static bool take_number(const char **p, const char *end, uint64_t max, uint64_t *ret) {
  const char *start = *p;
  uint64_t n = 0;
  for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
    if ((n = n * 10 + (uint64_t)(**p - '0')) > max) return false;
  *ret = n;
  return *p > start;
}

static bool field_parse(const char *field, size_t len, struct gateway *g) {
  const char *p = field, *end = field + len;
  uint64_t form, ipv4, port;
  if (len >= JOB_FIELD_MAX || !take_number(&p, end, JOB_FORM, &form)) return false;
  if (form != JOB_FORM || p == end || *p++ != ':') return false;
  if (!take_number(&p, end, UINT32_MAX, &ipv4) || p == end || *p++ != ':') return false;
  if (!take_number(&p, end, UINT16_MAX, &port) || p != end) return false;
  g->ipv4 = (uint32_t)ipv4;
  g->port = (uint16_t)port;
  return true;
}

size_t job_decode_head(const void *blob, size_t len, struct job_head *ret) {
  const unsigned char *p = blob;
  if (len < 9) return 0;
  *ret = (struct job_head){.id = get_u64(p)};
  ret->trace = ret->id - (p[8] & META_TRACE);
  if (!(p[8] & META_EXTENSION)) return 9;
  if (len < 10 || len < 10u + p[9] || p[9] % 9) return 0;
  for (size_t i = 10; i < 10u + p[9]; i += 9) {
    uint64_t v = get_u64(p + i + 1);
    if (p[i] == 't') ret->trace = v;
    if (p[i] == 'x') ret->expires_ms = v;
    if (p[i] == 'o') ret->origin = v;
    if (p[i] == 'r') {
      ret->own_retry = true;
      ret->retry_ms = v - 1;
    }
  }
  return 10u + p[9];
}

struct job *job_decode(const char *field, size_t field_len, char *blob, size_t blob_len) {
  struct job_head h;
  struct gateway g;
  if (!field_parse(field, field_len, &g)) return NULL;
  size_t head = job_decode_head(blob, blob_len, &h);
  struct job *job = head ? calloc(1, sizeof *job) : NULL;
  if (!job) return NULL;
  job->gateway = g;
  job->id = h.id;
  job->trace = h.trace;
  job->expires_ms = h.expires_ms;
  job->own_retry = h.own_retry;
  job->retry_ms = h.retry_ms;
  job->blob = blob;
  job->blob_len = blob_len;
  job->content = blob + head;
  job->content_len = blob_len - head;
  return job;
}

void job_set_state(struct job *job, enum job_state to) {
  switch (to) {
  case JOB_TAKEN:
    assert(job->state == JOB_RUNNING || job->state == JOB_TAKEN);
    break;
  case JOB_RUNNING:
    assert(job->state == JOB_TAKEN);
    break;
  case JOB_SETTLING:
    assert(job->state == JOB_RUNNING || job->state == JOB_TAKEN);
    break;
  }
  job->state = to;
}

void job_free(struct job *job) {
  if (!job) return;
  free(job->blob);
  free(job);
}

void job_list_push(struct job_list *l, struct job *job) {
  if (!l->head) l->tail = &l->head;
  job->next = NULL;
  *l->tail = job;
  l->tail = &job->next;
  l->n++;
  l->bytes += job->content_len;
}

void job_list_push_front(struct job_list *l, struct job *job) {
  if (!l->head) {
    job_list_push(l, job);
    return;
  }
  job->next = l->head;
  l->head = job;
  l->n++;
  l->bytes += job->content_len;
}

struct job *job_list_pop(struct job_list *l) {
  struct job *job = l->head;
  if (!job) return NULL;
  l->head = job->next;
  job->next = NULL;
  l->n--;
  l->bytes -= job->content_len;
  return job;
}
