/* Owns the questions about single jobs, wherever they are: where is one, which are ready, running
 * or delayed, and that one is not to run. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"
#include "storage/redis/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_HEAD    8          /* bytes of a stored form that are the job's id */
#define PLACE_PART 7          /* elements of job_find.lua's answer, each place */
#define LIST_PART  6          /* of job_list.lua's, each job */
#define LIST_MAX   250        /* jobs of one page ... */
#define LIST_BYTES (1u << 20) /* ... and bytes of their contents: a script of some milliseconds */
#define CLOCKS_MS  20         /* a job may have entered the stream before its id says */

const char *const store_places[] = {
    [STORE_JOB_DELAYED] = "delayed", [STORE_JOB_READY] = "ready",
    [STORE_JOB_RUNNING] = "running", [STORE_JOB_RETRY] = "retry",
    [STORE_JOB_DEAD] = "dead",       [STORE_JOB_QUARANTINE] = "quarantine",
    [STORE_JOB_SETTLED] = "settled", NULL};

/* The id, the first bytes of the stored form, and about when the job entered the stream. */
static void put_job(struct store *s, uint64_t id) {
  struct job_head head = {.id = id, .trace = id};
  unsigned char form[JOB_HEAD_MAX];
  struct id_parts parts;
  job_encode_head(&head, form);
  id_decode(id, &parts);
  uint64_t at = id >> 63 ? clock_there(s, parts.unix_ms) : 0;
  cmd_u64(&s->out, id);
  cmd_bytes(&s->out, form, ID_HEAD);
  cmd_u64(&s->out, at > CLOCKS_MS ? at - CLOCKS_MS : 0);
}

/* --- where a job is --- */

static enum store_place place_of(const struct store_queue *q, struct redis_reply *const *e) {
  uint64_t crashes = redis_reply_u64(e[6]), most;
  enum store_place place = STORE_JOB_SETTLED;
  for (int i = 0; store_places[i]; i++)
    if (!strcmp(store_places[i], e[1]->str)) place = (enum store_place)i;
  if (place == STORE_JOB_DEAD && (most = scan_crashes(q->store, q->name, e[0]->str)) &&
      crashes >= most)
    place = STORE_JOB_QUARANTINE;
  return place;
}

static void on_found(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_job_at *places = NULL;
  size_t n = 0;
  bool good = !rc && r->type == REPLY_ARRAY && r->elements;
  if (good && !(places = calloc(r->elements, sizeof *places))) out_of_memory();
  for (size_t i = 1; good && i + PLACE_PART <= r->elements; i += PLACE_PART) {
    struct redis_reply *const *e = r->element + i;
    places[n++] = (struct store_job_at){.topic = e[0]->str,
                                        .place = place_of(query->q, e),
                                        .node = e[2]->str,
                                        .since_ms = redis_reply_u64(e[3]),
                                        .times = (uint32_t)redis_reply_u64(e[4]),
                                        .due_ms = redis_reply_u64(e[5]),
                                        .id = query->n[0],
                                        .content = ""};
  }
  query->fn.places(query->arg, rc, places, n, good && r->element[0]->integer, why);
  free(places);
}

void store_find_job(struct store_queue *q, uint64_t id, store_places_fn fn, void *arg) {
  struct store *s = q->store;
  struct query *query = query_new(s, q, NULL, on_found, arg);
  query->n[0] = id;
  query->fn.places = fn;
  query_script(s, SCRIPT_JOB_FIND, 2);
  cmd_text(&s->out, q->stream);
  cmd_text(&s->out, q->delayed);
  put_job(s, id);
  query_send(query, SCRIPT_JOB_FIND);
}

/* --- lists --- */

static void listed_read(struct store_job_at *job, const struct query *query,
                        struct redis_reply *const *e) {
  struct job_head head;
  enum store_place place = (enum store_place)query->n[0];
  uint64_t at = redis_reply_u64(e[1]);
  *job = (struct store_job_at){.topic = place == STORE_JOB_DELAYED ? "" : query->t->name,
                               .place = place,
                               .node = e[2]->str,
                               .since_ms = place == STORE_JOB_DELAYED ? 0 : at,
                               .due_ms = place == STORE_JOB_DELAYED ? at : 0,
                               .times = (uint32_t)redis_reply_u64(e[3]),
                               .id = redis_reply_u64(e[0]),
                               .size = redis_reply_u64(e[4]),
                               .content = e[5]->str,
                               .content_len = e[5]->len};
  size_t begin = job_decode_head(e[5]->str, e[5]->len, &head);
  if (begin && head.id == job->id) {
    job->content += begin;
    job->content_len -= begin;
    job->size -= begin;
  }
  if (job->content_len > query->n[1]) job->content_len = query->n[1];
}

static void on_listed(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_job_at *jobs = NULL;
  size_t n = 0;
  bool good = !rc && r->type == REPLY_ARRAY && r->elements;
  if (good && !(jobs = calloc(r->elements, sizeof *jobs))) out_of_memory();
  for (size_t i = 1; good && i + LIST_PART <= r->elements; i += LIST_PART)
    listed_read(&jobs[n++], query, r->element + i);
  query->fn.listed(query->arg, rc, jobs, n, good ? r->element[0]->str : "", why);
  free(jobs);
}

void store_list_jobs(struct store_topic *t, enum store_place place, const char *from, size_t count,
                     size_t content_max, store_listed_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_listed, arg);
  query->n[0] = place;
  query->n[1] = content_max;
  query->fn.listed = fn;
  query_script(s, SCRIPT_JOB_LIST, 5);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->claims);
  cmd_text(out, t->bodies);
  cmd_text(out, t->q->delayed);
  cmd_text(out, t->q->delayed_jobs);
  cmd_text(out, store_places[place]);
  cmd_text(out, t->name);
  cmd_text(out, from);
  cmd_u64(out, count < LIST_MAX ? count : LIST_MAX);
  cmd_u64(out, LIST_BYTES);
  cmd_u64(out, content_max + JOB_HEAD_MAX);
  query_send(query, SCRIPT_JOB_LIST);
}

/* --- a job that is not to run --- */

static void on_cancelled(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  static const char *const words[] = {"none", "delayed", "ready", "retry", "running", "taken"};
  enum store_cancelled what = STORE_CANCEL_NONE;
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 3;
  for (size_t i = 0; good && i < sizeof words / sizeof *words; i++)
    if (!strcmp(words[i], r->element[0]->str)) what = (enum store_cancelled)i;
  query->fn.cancelled(query->arg, rc, what, good ? r->element[2]->str : "", why);
}

void store_cancel(struct store_queue *q, const char *topic, uint64_t id, const char *by,
                  store_cancelled_fn fn, void *arg) {
  struct store *s = q->store;
  struct cmd *out = &s->out;
  char message[STORE_ACT_TEXT_MAX + 32];
  struct query *query = query_new(s, q, NULL, on_cancelled, arg);
  query->fn.cancelled = fn;
  snprintf(message, sizeof message, "cancelled by %.*s", STORE_ACT_TEXT_MAX, by);
  query_script(s, SCRIPT_JOB_CANCEL, 3);
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  put_job(s, id);
  cmd_text(out, topic ? topic : "");
  cmd_u64(out, STORE_CANCEL_CODE);
  cmd_text(out, message);
  cmd_text(out, s->server->node);
  query_send(query, SCRIPT_JOB_CANCEL);
}
