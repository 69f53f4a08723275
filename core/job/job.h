/* A job on this node, and its stored form.
 *
 * Stored form, version 1 (`JOB_FORM`): the stream entry has one field. The field's name is
 * "1:<ipv4>:<port>", the version and the gateway that accepted the job (Redis keeps the names
 * of equal fields of neighbouring entries once, so they cost nothing). The value is
 *
 *   id        8 bytes, big-endian
 *   meta      1 byte: low 7 bits = id minus trace id (0..126; 127: in the extension),
 *             high bit = an extension follows
 *   extension (if so) 1 byte length of what follows of it, then items: 1 byte tag, 8 bytes value
 *             big-endian. Tags: 't' trace id, 'x' expiry in Unix ms, 'r' the job's own wait
 *             before a retry in ms + 1 (0 + 1: not retried by itself), 'o' id of the job of which
 *             this one is an edited copy. A reader skips tags that it does not know
 *   content   the rest, byte for byte the producer's
 *
 * To change it: raise JOB_FORM, teach job_decode() the new name beside the old one, keep
 * reading the old one for as long as a queue may hold it (doc/store-layout.md has the steps).
 */
#ifndef PB_CORE_JOB_H
#define PB_CORE_JOB_H

#include "job/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_FORM      1
#define JOB_FIELD_MAX 24 /* "1:4294967295:65535" and NUL */
#define JOB_HEAD_MAX  64 /* bytes before the content */

/* Where a job is. Only job_set_state() changes it. */
enum job_state {
  JOB_TAKEN,   /* read from the store, on its topic's ready list; moved on by the dispatcher */
  JOB_RUNNING, /* in a batch with a transport; moved on by its completion or deadline */
  JOB_SETTLING /* its outcome is known, the store is writing it; freed when that is durable */
};

enum job_source {
  JOB_FROM_STREAM, /* its record is the pending list of the topic's group */
  JOB_FROM_RETRY,  /* its record is in the topic's retry set, claimed by this node */
  JOB_FROM_TEST    /* an operator's test: not in the store at all */
};

struct job {
  struct job *next; /* on the one list that its state names */
  enum job_state state;
  enum job_source source;
  uint64_t id, trace;
  struct gateway gateway;
  uint64_t entry_ms, entry_seq; /* its stream entry's id; 0 when source is not the stream */
  uint32_t failed;              /* failed attempts so far */
  uint32_t crashes;             /* deaths of a node that found it running */
  uint64_t expires_ms;          /* Unix ms; 0: never */
  uint64_t taken_ms;            /* monotonic: since then it is at hand here */
  bool own_retry;               /* retry_ms overrides the topic's backoff */
  uint8_t refused;              /* answered "not registered", though its topic is: see refusals.h */
  uint64_t retry_ms;            /* own wait before a retry; UINT64_MAX: never by itself */
  char *blob;                   /* malloc'd stored form, owned; content points into it */
  size_t blob_len;
  const char *content;
  size_t content_len;
};

/* The facts about a job that are stored beside its content. */
struct job_head {
  uint64_t id, trace;
  uint64_t expires_ms;
  bool own_retry;
  uint64_t retry_ms;
  uint64_t origin; /* this job is an edited copy of that one; 0: it is not */
};

void job_field(struct gateway g, char ret[JOB_FIELD_MAX]);
/* Writes the stored form up to the content; returns its length, at most JOB_HEAD_MAX. */
size_t job_encode_head(const struct job_head *h, unsigned char ret[JOB_HEAD_MAX]);
/* Reads what job_encode_head() wrote: `len` bytes, the whole form or the beginning of it. Returns
 * where the content begins; 0: that is no stored form, or too little of it. */
size_t job_decode_head(const void *blob, size_t len, struct job_head *ret);
/* A job from its stored form. On success it takes over `blob` (malloc'd). NULL: no memory, or this
 * version does not know the form; then the caller keeps the blob. */
struct job *job_decode(const char *field, size_t field_len, char *blob, size_t blob_len);
void job_set_state(struct job *job, enum job_state to);
void job_free(struct job *job); /* NULL is fine */

/* A queue of jobs, by `next`. */
struct job_list {
  struct job *head, **tail; /* tail NULL: never used yet */
  size_t n;
  size_t bytes; /* of their contents */
};
void job_list_push(struct job_list *l, struct job *job);
void job_list_push_front(struct job_list *l, struct job *job);
struct job *job_list_pop(struct job_list *l);

#endif
