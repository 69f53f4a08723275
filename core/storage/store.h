/* The store contract: the questions that the broker asks of a storage, and when each answer comes.
 *
 * One `struct store` is one [storage]. All calls are made on the loop thread and return at once.
 * Each callback comes exactly once, and never from within the call that asked for it. It also comes
 * when the connection is lost or the store is freed (then with STORE_UNAVAILABLE or STORE_UNKNOWN).
 * Only storage/redis/ knows key names, commands and scripts.
 *
 * The order that loses nothing: a producer's reply waits for store_add's callback. A job is dropped
 * from memory only when the store says that its outcome is durable.
 */
#ifndef PB_CORE_STORE_H
#define PB_CORE_STORE_H

#include "job/id.h"
#include "job/job.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct store;       /* a storage */
struct store_queue; /* a queue on it: keys made once */
struct store_topic; /* a topic of that queue: its consumer group, retry set, claims */

enum store_rc {
  STORE_OK = 0,
  STORE_UNAVAILABLE, /* not sent: no connection, loading, refused at start, too much on the way.
                        Certain: nothing happened */
  STORE_UNKNOWN,     /* sent, and the connection broke or the time ran out: may have happened */
  STORE_FULL,        /* max_length or max_bytes of the queue is reached */
  STORE_ERROR /* the server refused: out of memory, read-only, disk full; `why` has its words */
};

enum store_state {
  STORE_CONNECTING, /* or waiting to reconnect; or its managed server is starting */
  STORE_LOADING,    /* the server reads its data back; asked again until it is done */
  STORE_READY,
  STORE_REFUSED /* it answers, but cannot be used: too old, evicting, wrong password, second
                   node of this name; asked again now and then, `why` says what to mend */
};

struct store_events {
  /* The state changed; `why` is a sentence for people or "". On READY every topic attached before
   * is attached again by the store itself (groups are made again when the server lost them). */
  void (*state)(void *arg, struct store *s, enum store_state state, const char *why);
  /* Queue `name` has, or may have, something new: jobs in the stream, a due retry, a changed
   * pause. From another node's message or the sweep; the local intake does not come here. */
  void (*wake)(void *arg, struct store *s, const char *queue);
  /* Another node stored a retry of `topic` that is due at due_ms (Unix), earlier than every one
   * that it announced before. */
  void (*due)(void *arg, struct store *s, const char *queue, const char *topic, uint64_t due_ms);
  /* Another living node runs under this node's name in this storage: stop. */
  void (*name_taken)(void *arg, struct store *s, const char *why);
  /* Another node owns `shard`; call store_claim_shard() with another one. */
  void (*shard_taken)(void *arg, struct store *s, unsigned shard);
  /* This node was taken for dead, so other nodes may have its jobs. Jobs that have not begun should
   * go back (STORE_RELEASE). May be NULL. */
  void (*declared_dead)(void *arg, struct store *s);
  /* The storage counts more jobs of the topic as this node's than it has: store_recover(NULL)
   * brings them. May be NULL. */
  void (*missing)(void *arg, struct store *s, const char *queue, const char *topic);
  void *arg;
  /* A connection was made: the name of another storage of this process that is the same database of
   * the same server (store_is_same()), or NULL. Then this one is refused. */
  const char *(*same)(void *arg, const struct store *s);
};

/* Starts connecting (and, where managed, the server: under state_dir/<name>/). `node_instance` is a
 * random text that names this process. NULL: no memory. Settings must outlive the store. */
struct store *store_new(struct loop *loop, const struct storage_settings *st,
                        const struct server_settings *server, const char *node_instance,
                        unsigned shard, const struct store_events *ev);
/* Answers all that is on the way with STORE_UNKNOWN, ends a managed server cleanly (waits for it,
 * at most 20 s), frees. Queues and topics of it must have been freed. Never from a callback of
 * this store: put it off with loop_defer(). */
void store_free(struct store *s);
enum store_state store_state(const struct store *s);
const char *store_why(const struct store *s); /* of the last state, or of what it refuses; or "" */
const char *store_no_writes(const struct store *s); /* why it takes no jobs though READY; or "" */
const char *store_name(const struct store *s);
/* The longest content of a job that its server takes in one piece, as far as it is known;
 * UINT64_MAX: not bounded. `ret_why`: the server's name of the bound. */
uint64_t store_job_max(const struct store *s, const char **ret_why);
/* Both are one database of one server, by its run id, as far as they have told it. */
bool store_is_same(const struct store *a, const struct store *b);
bool store_is_twin(const struct store *s); /* it is refused for that */
/* It makes its first connection, or the server reads its data back before it: until when (monotonic
 * ms) a command may wait for that. 0: it is ready, was once, is refused, or has had its time. */
uint64_t store_expected(const struct store *s);
/* Logs an error that this storage answered, `what` it was about and its words: once a minute where
 * it is the server's and not this topic's, for all topics meet it at once. */
void store_log_refusal(struct store *s, const char *subject, const char *what, const char *why);
/* Wall clock (Unix ms) after which this node's new ids are unused; known once READY. */
uint64_t store_id_mark(const struct store *s);
void store_claim_shard(struct store *s, unsigned shard);
/* False: this node has not renewed its lease for so long (it stood still, or its link did) that
 * other nodes may have its jobs. No job may begin. All queues are woken when the lease is renewed.
 */
bool store_holds_lease(struct store *s);
/* Nothing is on the way and every outcome given to store_settle() is durable. */
bool store_idle(const struct store *s);
/* Calls fn once when idle, or after timeout_ms; for a clean stop. */
void store_flush(struct store *s, uint64_t timeout_ms, void (*fn)(void *arg, bool idle), void *arg);
/* Gives up this node's name at once (a clean stop), so that other nodes need not wait for the
 * lease. They take over jobs that are still in this node's hands. Afterwards only calls that are on
 * the way are answered; wait with store_flush() before store_free(). */
void store_leave(struct store *s);

/* --- intake --- */

struct store_queue *store_queue_new(struct store *s, const struct queue_settings *q,
                                    struct gateway g);
/* A reload: `set` is the queue in the snapshot that runs now, and must outlive the next update. New
 * topics get their groups. Topics that are gone are unconfigured from now on. */
void store_queue_update(struct store_queue *q, const struct queue_settings *set);
void store_queue_free(struct store_queue *q);

#define STORE_TOKEN_MS 600000
struct store_add {
  struct job_head head;
  const void *content; /* needed during the call only */
  size_t content_len;
  uint64_t delay_ms;  /* 0: at once */
  int64_t max_length; /* refuses when the backlog has this many; 0: no limit */
  uint64_t max_bytes;
  const char *token; /* idempotency token, or NULL */
  size_t token_len;
  uint64_t token_ms;     /* it is known for so long; 0: STORE_TOKEN_MS */
  bool admitted;         /* store_admits() was asked for all of the request */
  unsigned replicate;    /* wait for this many replicas */
  uint64_t replicate_ms; /* at most this long; too few then: STORE_ERROR that says so */
};
/* `id` is that of the job stored: another than asked for when the token was known already. `why`
 * (never NULL) is for people and valid during the call. */
typedef void (*store_added_fn)(void *arg, enum store_rc rc, uint64_t id, const char *why);
void store_add(struct store_queue *q, const struct store_add *a, store_added_fn fn, void *arg);
/* May a request of several jobs begin, so that none of its jobs is refused because too many are on
 * the way? By this one request, more than max_inflight may then be on the way. NULL: yes; else the
 * reason. */
const char *store_admits(const struct store *s, size_t n, size_t bytes);
/* Several jobs of one request under the queue's limits, all or none. `more` jobs of the request,
 * with `more_bytes`, come afterwards, and there must be room for them too. `a` has no token, delay
 * or replicas. `id` of the callback: how many jobs are stored (the first ones, in spite of an
 * error). */
#define STORE_ADD_MAX 500
struct store_job {
  uint64_t id;
  const void *content;
  size_t len;
};
void store_add_many(struct store_queue *q, const struct store_add *a, const struct store_job *jobs,
                    size_t n, size_t more, uint64_t more_bytes, store_added_fn fn, void *arg);
/* Takes one job for a pull worker for good (at most once: acknowledged and, for this topic,
 * gone). job NULL with STORE_OK: none. The callee owns the job. */
struct store_topic;
typedef void (*store_popped_fn)(void *arg, enum store_rc rc, struct job *job, const char *why);
void store_pop(struct store_topic *t, store_popped_fn fn, void *arg);

/* --- topics --- */

/* What a topic has and waits for. Counts are the storage's, over all nodes. */
struct store_depth {
  uint64_t ready; /* in the stream, not yet taken by anyone */
  /* `ready` is an upper bound: it is being counted after a start of Redis, or a cancelled job lies
   * ahead. */
  bool ready_at_most;
  uint64_t running; /* taken (in the pending list, claimed retries included) */
  uint64_t retry, dead;
  uint64_t delayed;     /* of the queue */
  uint64_t bytes;       /* of the queue's stream, as Redis tells */
  uint64_t next_due_ms; /* Unix ms of the first waiting retry or delayed job; 0: none */
  uint64_t oldest_ms;   /* Unix ms at which the oldest ready or running job was added; 0: none */
  bool paused;
  bool no_group;     /* the group of one of several topics is gone: `paused` is not known */
  const char *pause; /* why, as stored: JSON since, by, reason, or "1"; during the callback */
};

struct store_topic *store_topic_new(struct store_queue *q, const struct topic_settings *t);
/* A reload changed how long its jobs may take. */
void store_topic_times(struct store_topic *t, const struct topic_settings *set);
void store_topic_free(struct store_topic *t); /* its unsettled jobs must be settled or dropped */

typedef void (*store_depth_fn)(void *arg, enum store_rc rc, const struct store_depth *d,
                               const char *why);
/* Makes the group when it is missing (start_from), and tells the depth. Call on READY before
 * taking. */
void store_attach(struct store_topic *t, store_depth_fn fn, void *arg);
void store_ask_depth(struct store_topic *t, store_depth_fn fn, void *arg);
/* The same for up to STORE_LOOK_MAX topics of one queue, in one question: a queue with a hundred
 * topics costs little more than one with two. `d` has n depths in the order asked; none on failure.
 */
#define STORE_LOOK_MAX 100
typedef void (*store_depths_fn)(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                                const char *why);
void store_ask_depths(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg);
/* What one depth of several said of its pause: a group that is made again begins as it says. */
void store_seen_paused(struct store_topic *t, bool paused);

/* Jobs for this node, at most `count`. The callee owns the jobs of the list. `more`: there may be
 * others waiting. */
typedef void (*store_taken_fn)(void *arg, enum store_rc rc, struct job_list *jobs, bool more,
                               const char *why);
/* New ones from the stream. STORE_UNKNOWN: the storage may count jobs as this node's that never
 * arrived; store_recover(t, NULL, ...) on the next READY brings them. */
void store_take(struct store_topic *t, size_t count, store_taken_fn fn, void *arg);
/* Due jobs of the retry set, claimed for this node: at most `count`, and no more once they have
 * `bytes` together. next_due_ms comes from store_ask_depth() or is the callback's `next_due_ms`
 * (Unix ms; 0: none).
 */
typedef void (*store_due_fn)(void *arg, enum store_rc rc, struct job_list *jobs,
                             uint64_t next_due_ms, const char *why);
void store_take_due(struct store_topic *t, size_t count, size_t bytes, store_due_fn fn, void *arg);
/* This node takes over the jobs that `node` was running (NULL: this node; else a node that `died`
 * named), and `crashes` of each job is counted up. Ask again while `more`. Call it with NULL on
 * each READY, once attached. The first time it brings the jobs that an earlier process of this node
 * left. Later it brings jobs that a broken connection lost (not counted as a crash then). Jobs that
 * this node holds already are never given again. */
void store_recover(struct store_topic *t, const char *node, size_t count, store_taken_fn fn,
                   void *arg);
/* Delayed jobs of the queue whose time has come enter the stream. `moved` many did;
 * next_due_ms of the next (Unix ms; 0: none). Any topic's or node's call serves all. */
typedef void (*store_moved_fn)(void *arg, enum store_rc rc, uint64_t moved, uint64_t next_due_ms);
void store_move_due(struct store_queue *q, store_moved_fn fn, void *arg);
/* `died` names a node of this storage whose lease ran out and which left topics behind. Each living
 * node calls store_recover() for its own topics. `died` comes again until the topics are empty. */
void store_on_node_death(struct store *s,
                         void (*died)(void *arg, struct store *s, const char *node), void *arg);

/* --- outcomes --- */

enum store_verdict {
  STORE_DONE,   /* forget it for this topic */
  STORE_RETRY,  /* to the retry set, due at `due_ms`; a failed attempt (job->failed counts it) */
  STORE_DEAD,   /* to the dead jobs */
  STORE_RELEASE /* back untouched: to the retry set, due at `due_ms` or at once, nothing counted */
};
struct store_outcome {
  enum store_verdict verdict;
  uint64_t due_ms; /* Unix ms */
  /* RETRY, DEAD: the error for the record and the topic's error log. Copied. */
  int code;
  const char *message;
  size_t message_len; /* of more than 2,000 bytes the store leaves out the middle */
};
/* The job becomes the store's, which batches outcomes (one script call a topic on the way at a
 * time), repeats them until they are durable, and frees the job. */
void store_settle(struct store_topic *t, struct job *job, const struct store_outcome *o);
size_t store_unsettled(const struct store_topic *t);
/* So much waits here to be settled, of this topic or of all, that no more should be begun. */
bool store_is_behind(const struct store_topic *t);

/* --- operators --- */

/* Pause is kept in the storage: it holds over restarts and for all nodes (they are woken). */
typedef void (*store_done_fn)(void *arg, enum store_rc rc, uint64_t count, const char *why);
void store_pause(struct store_topic *t, bool paused, const char *by, const char *reason,
                 store_done_fn fn, void *arg);

/* Quarantine: dead jobs whose node or worker died `crashes` times (of the topic) or more. Only a
 * filter tells them from the dead jobs; elsewhere STORE_SET_DEAD means both. */
enum store_set {
  STORE_SET_RETRY = 1,
  STORE_SET_DEAD = 2,
  STORE_SET_BOTH = 3,
  STORE_SET_QUARANTINE = 4,
  STORE_SET_ALL = 7,
  STORE_SET_READY = 8 /* of a purge: jobs of the stream that no node has taken */
};
/* One entry of a list; text is valid during the callback. */
struct store_record {
  uint64_t id;
  bool dead, claimed; /* claimed: running just now */
  bool quarantined;   /* only of store_scan(), like `signature` */
  uint32_t failed, crashes;
  uint64_t due_ms; /* retry: next attempt; dead: time of death. Unix ms of the server */
  uint64_t first_failed_ms, failed_ms; /* the first and the last failure */
  int code;
  uint64_t signature; /* job/signature.h */
  const char *message, *node;
  size_t message_len;
  const char *content;
  size_t content_len; /* the shown part of ... */
  size_t size;        /* ... so many bytes */
  uint64_t origin;    /* it is an edited copy of that job; known where a part of the content is */
};
typedef void (*store_records_fn)(void *arg, enum store_rc rc, const struct store_record *r,
                                 size_t n, uint64_t total, const char *why);
/* Of each content at most `content_max` bytes. */
void store_list(struct store_topic *t, enum store_set set, uint64_t offset, size_t count,
                size_t content_max, store_records_fn fn, void *arg);
/* One job of either set by id, whole, or NULL/0. */
void store_find(struct store_topic *t, uint64_t id, store_records_fn fn, void *arg);

/* Which failed jobs. A text "" and a number 0: all. */
#define STORE_FILTER_TEXT_MAX 256
struct store_filter {
  enum store_set set;                    /* or any sum of them */
  char match[STORE_FILTER_TEXT_MAX + 1]; /* part of the message; large and small ASCII letters are
                                            the same */
  char body[STORE_FILTER_TEXT_MAX + 1];  /* part of the content, byte for byte */
  bool has_code;
  int code;
  uint64_t signature;          /* job/signature.h */
  uint64_t since_ms, until_ms; /* of the last failure; both belong to it. Unix */
  char node[NAME_LEN_MAX + 1];
  uint32_t attempts_min, attempts_max; /* failed attempts */
  uint32_t crashes; /* so many make a quarantined job; 0: as many as the topic says */
};
/* A place between two jobs. All zero: the beginning. */
struct store_scan_at {
  char phase; /* 0, 'r' in the retry set, 'x' among the dead, 'e' the end */
  uint64_t score, id;
};
#define STORE_SCAN_AT_MAX 48
void store_scan_at_format(const struct store_scan_at *at, char ret[STORE_SCAN_AT_MAX]);
bool store_scan_at_parse(const char *text, struct store_scan_at *ret);

enum store_scan_kind { STORE_SCAN_RECORDS, STORE_SCAN_GROUPS };
struct store_scan {
  struct store_filter filter;
  struct store_scan_at from;
  enum store_scan_kind kind;
  bool newest; /* from the end; without: the retry set before the dead jobs, each by time */
  size_t want; /* records: until so many match; at most STORE_SCAN_MAX. Groups: not looked at */
  uint64_t look_max;  /* until so many jobs were looked at; 0: no such bound */
  uint64_t time_ms;   /* until so much time has passed; 0: STORE_SCAN_TIME_MS */
  size_t content_max; /* records: of each content at most so many bytes; 0: none is read */
  size_t bytes_max;   /* records: until their contents have so many bytes; 0: STORE_SCAN_BYTES */
};
#define STORE_SCAN_MAX        1000
#define STORE_SCAN_BYTES      (8u << 20)
#define STORE_SCAN_TIME_MS    250
#define STORE_SCAN_GROUPS_MAX 1000
/* Failures of one signature. */
struct store_group {
  uint64_t signature;
  int code;
  const char *text;
  uint64_t count, first_ms, last_ms; /* last failures: the earliest and the latest */
  uint64_t sample_id;                /* the job of the latest */
};
struct store_scanned {
  struct store_scan_at at; /* where to go on */
  bool over;               /* nothing is left to look at */
  uint64_t looked, matched;
  uint64_t total; /* jobs in the sets now; quarantined jobs are counted with the dead */
  const struct store_record *records;
  size_t n;
  const struct store_group *groups; /* the largest first */
  size_t n_groups;
  uint64_t others; /* matches whose group found no room any more */
};
/* `r` is never NULL; its lists are valid during the callback. */
typedef void (*store_scanned_fn)(void *arg, enum store_rc rc, const struct store_scanned *r,
                                 const char *why);
/* Looks through failed jobs, slice by slice: each is a short script, and a turn of the loop lies
 * between two. A job that comes or goes meanwhile may be met or not, all others once. */
void store_scan(struct store_topic *t, const struct store_scan *scan, store_scanned_fn fn,
                void *arg);
/* One job: due at once, with its full attempts again, and without its TTL. Answers how many. */
void store_replay(struct store_topic *t, enum store_set set, uint64_t id, store_done_fn fn,
                  void *arg);
/* Deletes one waiting retry or dead job, but never a running job. Many jobs at once are an act. */
void store_purge(struct store_topic *t, enum store_set set, uint64_t id, store_done_fn fn,
                 void *arg);
/* Puts an edited copy of a failed job in its place: `new_id`, with the content given (needed during
 * the call only), due at once, with its full attempts. The copy says which job it was. Answers 1,
 * or 0 where the job is gone or runs. May be repeated with the same new_id when its answer was
 * lost. */
void store_replay_edited(struct store_topic *t, enum store_set set, uint64_t id, uint64_t new_id,
                         const void *content, size_t len, store_done_fn fn, void *arg);
/* Failed jobs that come from elsewhere, under their own ids. */
#define STORE_IMPORT_MAX   500
#define STORE_IMPORT_BYTES (8u << 20)
struct store_import {
  uint64_t id;
  bool dead;
  uint32_t failed, crashes;
  uint64_t due_ms;                     /* of a waiting retry; Unix */
  uint64_t first_failed_ms, failed_ms; /* 0: now */
  int code;
  const char *message, *node;
  size_t message_len;
  const void *content;
  size_t content_len;
  uint64_t origin; /* or 0 */
};
/* `there`: so many ids were there already, as failed or running jobs of this topic. On an error as
 * many are stored as `imported` says; the call may be repeated. */
typedef void (*store_imported_fn)(void *arg, enum store_rc rc, size_t imported, size_t there,
                                  const char *why);
/* At most STORE_IMPORT_MAX jobs with STORE_IMPORT_BYTES of content; needed during the call only. */
void store_import(struct store_topic *t, const struct store_import *jobs, size_t n,
                  store_imported_fn fn, void *arg);

/* --- one job, wherever it is (jobs.c) --- */

enum store_place {
  STORE_JOB_DELAYED, /* in the queue, not in a topic */
  STORE_JOB_READY,
  STORE_JOB_RUNNING,
  STORE_JOB_RETRY,
  STORE_JOB_DEAD,
  STORE_JOB_QUARANTINE,
  STORE_JOB_SETTLED /* this topic is done with it; some other is not */
};
extern const char *const store_places[];
/* Where a job is, and what is known of it there. */
struct store_job_at {
  const char *topic; /* "": of the queue */
  enum store_place place;
  const char *node;    /* running; else "" */
  uint64_t since_ms;   /* ready: when it was added; running: since when. Unix; 0: not known */
  uint64_t due_ms;     /* delayed, retry; dead: when it died. Unix */
  uint32_t times;      /* running: so often it was given to a node; retry, dead: failed attempts */
  uint64_t id;         /* of a list; 0: nobody can read it */
  const char *content; /* of a list */
  size_t content_len;  /* the shown part of ... */
  size_t size;         /* ... so many bytes; the stored form's head with them where it is unknown */
};
/* One place for each topic that has it. None: all are done with it, or it was never here. `whole`
 * false: the stream was too long to be looked through, and it may be ready or running. */
typedef void (*store_places_fn)(void *arg, enum store_rc rc, const struct store_job_at *places,
                                size_t n, bool whole, const char *why);
void store_find_job(struct store_queue *q, uint64_t id, store_places_fn fn, void *arg);
/* A page of the jobs that are ready, running, or delayed (in the queue). `from`: "", or the `next`
 * of the page before, which is "" at the end. Texts are valid during the callback. */
#define STORE_LIST_FROM_MAX 64
typedef void (*store_listed_fn)(void *arg, enum store_rc rc, const struct store_job_at *jobs,
                                size_t n, const char *next, const char *why);
void store_list_jobs(struct store_topic *t, enum store_place place, const char *from, size_t count,
                     size_t content_max, store_listed_fn fn, void *arg);
enum store_cancelled {
  STORE_CANCEL_NONE,    /* it is not there */
  STORE_CANCEL_DELAYED, /* deleted */
  STORE_CANCEL_READY,   /* deleted, for all topics: none had taken it */
  STORE_CANCEL_RETRY,   /* it is a dead job now */
  STORE_CANCEL_RUNNING, /* refused: `node` runs it */
  STORE_CANCEL_TAKEN    /* refused: some topic is done with it, or has it among its dead jobs */
};
typedef void (*store_cancelled_fn)(void *arg, enum store_rc rc, enum store_cancelled what,
                                   const char *node, const char *why);
/* `topic`: NULL for all of the queue. A waiting retry becomes a dead job with STORE_CANCEL_CODE and
 * "cancelled by NAME". */
#define STORE_CANCEL_CODE 410
void store_cancel(struct store_queue *q, const char *topic, uint64_t id, const char *by,
                  store_cancelled_fn fn, void *arg);

/* Drops a topic that is no longer configured: its group, retry set, dead jobs, errors. Answers how
 * many jobs it had, STORE_NOTHING where there was not even a group. */
#define STORE_NOTHING UINT64_MAX
void store_drop(struct store *s, const char *queue, const char *topic, bool retain,
                store_done_fn fn, void *arg);
/* The jobs of a topic in a storage. */
struct store_stray {
  char queue[NAME_LEN_MAX + 1], topic[NAME_LEN_MAX + 1];
  uint64_t ready, running, retry, dead;
  uint64_t delayed; /* of the queue */
};
/* All groups of a queue, whether anybody configures them or not. */
typedef void (*store_strays_fn)(void *arg, enum store_rc rc, const struct store_stray *list,
                                size_t n, const char *why);
void store_groups(struct store *s, const char *queue, store_strays_fn fn, void *arg);
/* The topics that are not configured for this storage, as the last walk found them. A walk comes a
 * second after READY and after each change. At most 1,000. */
const struct store_stray *store_strays(const struct store *s, size_t *ret_n);
enum store_known { STORE_KNOWN_NOT, STORE_KNOWN_QUEUE, STORE_KNOWN_TOPIC }; /* for any storage */
void store_on_stray(struct store *s,
                    enum store_known (*known)(void *arg, const char *queue, const char *topic),
                    void *arg);

struct store_error {
  uint64_t ms; /* Unix */
  uint64_t id;
  int code;
  const char *message, *node;
  size_t message_len;
};
typedef void (*store_errors_fn)(void *arg, enum store_rc rc, const struct store_error *e, size_t n,
                                const char *why);
/* The newest `count` of the topic's error log, newest first. */
void store_errors(struct store_topic *t, size_t count, store_errors_fn fn, void *arg);
/* Adds an error to the error log that is not about one job (ping failed, not registered). */
void store_note_error(struct store_topic *t, uint64_t id, int code, const char *message,
                      size_t len);

/* The living nodes of this storage. */
struct store_node {
  const char *name;
  unsigned shard;
  uint64_t seen_ms; /* Unix */
  bool alive;       /* holds its lease */
  bool dead;        /* proved to be; one without a lease may only have been kept from renewing it */
};
typedef void (*store_nodes_fn)(void *arg, enum store_rc rc, const struct store_node *n,
                               size_t count);
void store_nodes(struct store *s, store_nodes_fn fn, void *arg);
/* Do other nodes live on this storage, as far as the last sweep told? */
bool store_has_peers(const struct store *s);

/* --- acts: work on many jobs, slice by slice. An act is kept in the storage until it is done, so
 * that another node continues it when this one dies (acts/act.c) --- */

#define STORE_ACT_ID_MAX   24
#define STORE_ACT_TEXT_MAX 256
enum store_act_kind { STORE_ACT_REPLAY, STORE_ACT_PURGE, STORE_ACT_MOVE, STORE_ACT_UNDO };
enum store_act_state {
  STORE_ACT_RUNNING, /* in slices; a node with a lease owns it, or for a moment none does */
  STORE_ACT_DONE,
  STORE_ACT_CANCELLED, /* the part that was done stays done */
  STORE_ACT_FAILED     /* `result` says why */
};
extern const char *const store_act_kinds[];
extern const char *const store_act_states[];

struct store_act {
  char id[STORE_ACT_ID_MAX];
  enum store_act_kind kind;
  enum store_act_state state;
  char queue[NAME_LEN_MAX + 1], topic[NAME_LEN_MAX + 1]; /* move: where the jobs come from ... */
  char from[NAME_LEN_MAX + 1];                           /* ... which storage, ... */
  char to[2 * NAME_LEN_MAX + 2];                         /* ... and the queue/topic they go to */
  enum store_set set;
  uint64_t count; /* replay: the oldest ones; 0: all that were there when it began */
  char by[STORE_ACT_TEXT_MAX];
  char owner[NAME_LEN_MAX + 1]; /* node */
  uint64_t done, of, epoch;
  uint64_t started_ms, changed_ms, ended_ms;                 /* Unix, of the server */
  char result[STORE_ACT_TEXT_MAX], note[STORE_ACT_TEXT_MAX]; /* note: the reason why it waits */
  bool cancel;                                               /* somebody wants it to end */
  bool filtered;              /* replay, purge: not all jobs of `set`, but what `filter` says */
  struct store_filter filter; /* its set is `set` */
  uint64_t rate;    /* replay, purge: jobs a second, by the server's clock; 0: as fast as it can */
  bool now;         /* purge: frees memory at once, and cannot be undone */
  bool keeps;       /* what it takes to undo it is kept; set by store_act_add() */
  uint64_t undo_ms; /* until when it can be undone (Unix ms of the server), or 0:
                       not, or not yet: it runs */
  char undone_by[STORE_ACT_ID_MAX]; /* the act that undoes it, or "" */
  char undoes[STORE_ACT_ID_MAX];    /* undo: the other act; queue, topic and set are that one's */
  uint64_t left;                    /* undo: jobs that could not be put back */
};

/* A new act, owned by this node. Its id is made here. STORE_FULL: `why` names the act in the way,
 * or says why the other act cannot be undone. Of an undo only `kind`, `undoes` and `by` are needed,
 * and the queue and topic of the other act. */
typedef void (*store_act_fn)(void *arg, enum store_rc rc, const struct store_act *a,
                             const char *why);
void store_act_add(struct store *s, const struct store_act *a, store_act_fn fn, void *arg);
/* NULL: there is none. */
void store_act_find(struct store *s, const char *id, store_act_fn fn, void *arg);
/* Takes over an act without an owner: one that runs, or one that has ended and is to be tidied up.
 * NULL: it has an owner by now. */
void store_act_claim(struct store *s, const char *id, store_act_fn fn, void *arg);
typedef void (*store_acts_fn)(void *arg, enum store_rc rc, const struct store_act *a, size_t n,
                              uint64_t total, const char *why);
void store_act_list(struct store *s, uint64_t offset, size_t count, store_acts_fn fn, void *arg);
/* Answers 1: it will end soon, 2: it had ended, 0: there is none. */
void store_act_cancel(struct store *s, const char *id, const char *by, store_done_fn fn, void *arg);
/* Writes done, of, left, state, result and note, and keeps the lease (`keep` false: gives it up).
 * `mine` false: it belongs to another node, which goes on. `undo_ms` is that of the act, once it
 * has ended. */
typedef void (*store_noted_fn)(void *arg, enum store_rc rc, bool mine, const char *cancelled_by,
                               uint64_t undo_ms);
void store_act_note(struct store *s, const struct store_act *a, bool keep, store_noted_fn fn,
                    void *arg);
struct store_slice {
  uint64_t done, of, left; /* so far, over all who worked at it */
  bool over;
  uint64_t wait_ms;              /* the rate allows no more before that */
  char note[STORE_ACT_TEXT_MAX]; /* what the act is doing, or "" */
};
/* Replay, purge, undo: the next slice. May be asked for again when its answer was lost. `got` is
 * never NULL. */
typedef void (*store_slice_fn)(void *arg, enum store_rc rc, const struct store_slice *got,
                               const char *why);
void store_act_slice(struct store *s, const struct store_act *a, store_slice_fn fn, void *arg);
/* An act that has ended and cannot be undone any more (store_act_claim() gave it): deletes the next
 * part of what was kept for that. When it is over, store_act_tidied() says so in the storage. */
void store_act_tidy(struct store *s, const struct store_act *a, store_slice_fn fn, void *arg);
void store_act_tidied(struct store *s, const char *id, store_done_fn fn, void *arg);
/* Wakes the topics that wait for jobs of `queue`, here and on other nodes. */
void store_act_wake(struct store *s, const char *queue);
/* --- moves: the jobs of a topic go to another place or name (acts/move.c) --- */

enum store_move_state {
  STORE_MOVE_GOES_ON,
  STORE_MOVE_WAITS,
  STORE_MOVE_DONE,
  STORE_MOVE_BACK /* cancelled, and nothing of the source is in the act's hands */
};
enum store_move_delayed {
  STORE_MOVE_STAYS, /* delayed jobs of the queue reach the target by themselves: the same stream */
  STORE_MOVE_WHOLE, /* they go to the target's queue: all of this queue moves there */
  STORE_MOVE_COPIED /* they stay for other topics, and are copied for this one */
};
struct store_move_plan {
  const char *id, *queue, *topic, *to_queue, *to_topic;
  uint64_t epoch;
  uint64_t hold_ms; /* nothing runs longer than this */
  bool here;        /* this node may still run jobs of the source */
  bool last;        /* no topic of the source's queue is configured for that storage any more */
  bool cancelled;   /* no job is moved any more; jobs that the act holds are given back */
  enum store_move_delayed delayed;
  /* Between two questions of a step a reload may have taken a storage away. */
  bool (*is_there)(void *arg, const struct store *s);
  void *is_there_arg;
};
struct store_move;
struct store_move *store_move_new(void);
void store_move_free(struct store_move *m); /* NULL is fine */
/* n: ready, retry, dead, delayed jobs moved so far, over all who worked at it. */
typedef void (*store_move_fn)(void *arg, enum store_rc rc, enum store_move_state state,
                              const uint64_t n[4], uint64_t running, const char *why);
void store_move_step(struct store_move *m, struct store *from, struct store *to,
                     const struct store_move_plan *plan, store_move_fn fn, void *arg);

/* The jobs of a topic that may or may not be configured. */
struct store_holds {
  bool there;
  uint64_t ready, running, retry, dead, delayed;
};
typedef void (*store_holds_fn)(void *arg, enum store_rc rc, const struct store_holds *h,
                               const char *why);
void store_holds(struct store *s, const char *queue, const char *topic, store_holds_fn fn,
                 void *arg);
/* Tells the last id that this node gave to a job; 0: none yet. */
void store_on_last_id(struct store *s, uint64_t (*last_id)(void *arg), void *arg);

/* `found` hears of acts whose node died; comes again until somebody took them over. */
void store_on_act(struct store *s, void (*found)(void *arg, struct store *s, const char *id),
                  void *arg);

/* Counters for /metrics and status. */
struct store_stats {
  uint64_t commands, reconnects, unknown, in_flight;
  uint64_t late;   /* outcomes refused, for other nodes had taken the jobs over */
  uint64_t rtt_us; /* of a recent command */
};
void store_stats(const struct store *s, struct store_stats *ret);

/* --- its server, for people --- */

struct store_server {
  uint64_t at_ms; /* monotonic: it told so then */
  bool valkey;
  char version[32], policy[32], run[64];
  uint64_t used_memory, max_memory; /* max_memory 0: no limit */
  uint64_t ops, clients, blocked, replicas, uptime_s, keys;
  uint64_t saved_ms;         /* Unix; its last snapshot */
  bool aof;                  /* it writes an append-only file */
  bool aof_good, saved_good; /* the last time it could */
  bool primary, link_up;     /* a replica's link to its primary */
};
/* As it told last, and asked again where that is older than STORE_SERVER_MS. NULL: it has not told
 * yet, or must not. */
#define STORE_SERVER_MS 5000
const struct store_server *store_server(struct store *s);
bool store_server_settled(const struct store *s); /* no question is on the way */
/* Could a storage be there? Called once, within STORE_PROBE_MS; `st` must live until then.
 * `server`: NULL where it told nothing. `why`: a sentence, "" where it is good. */
#define STORE_PROBE_MS 5000
typedef void (*store_probed_fn)(void *arg, bool good, const struct store_server *server,
                                const char *why);
void store_probe(struct loop *loop, const struct storage_settings *st, store_probed_fn fn,
                 void *arg);

#endif
