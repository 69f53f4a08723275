/* Owns requests of producers between their command and the storages' answers.
 *
 * Must never happen: an answer of success before every storage of the queue's topics said that it
 * has every job, or two answers to one request.
 */
#include "intake/intake.h"

#include "dispatch/dispatcher.h"
#include "event/loop.h"
#include "registry/registry.h"
#include "transport/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_INLINE    8
#define REQUESTS_KEPT 256
/* Commands that wait for a storage's first connection. */
#define HELD_MAX     10000
#define HELD_BYTES   (64u << 20)
#define HELD_LOOK_MS 100
#define HELD_US      4000 /* of a turn, for going on with them */
/* Memory of all requests that are sent bit by bit ... */
#define FED_BYTES (256u << 20)
/* ... and of one that is sent in slices: jobs in a slice, and jobs on the way to a storage before
 * the next slice. Jobs of other requests go between the slices. */
#define SLICE_JOBS  256
#define SLICE_AHEAD 1024
#define SLICES_US   3000 /* of a turn, for all of them */

/* A request that cannot be sent in one go: jobs under a limit, which are all or none, and a token
 * that several storages are to know by one id. It goes to one storage after the other, in the order
 * of their names (all nodes have the same), and some jobs at a time.
 * And a request of very many jobs, which goes to all its storages in slices, one a turn or so:
 * there `at` counts the jobs that have been sent. */
struct feed {
  struct store_add a;
  size_t part, at, sent; /* the storage, its jobs that are stored, those on the way */
  size_t bytes;          /* that it takes */
  bool listed;           /* of one in slices: it may be sent */
  uint64_t
      token_ms; /* of the first storage; the others, whose ids do not count, know it less long */
  struct intake_job jobs[]; /* their contents and the token come behind them */
};

/* Of a request to several storages: the part of one storage. */
struct part {
  struct request *r;
  size_t stored;
  char name[NAME_LEN_MAX + 1]; /* the storage's name; a reload may remove the storage meanwhile */
};

struct request {
  struct request *next; /* spare, or the next whose slice may be sent */
  struct intake *in;
  struct queue *q;
  intake_fn fn;
  void *arg;
  size_t n, waiting; /* storage answers still to come */
  size_t stored, unknown;
  size_t bytes;
  struct feed *feed;  /* NULL: all was sent at once */
  struct part *parts; /* NULL: there is one storage only */
  size_t n_parts;
  uint64_t trace, due_ms;
  enum intake_rc rc;
  uint64_t *ids, ids_inline[IDS_INLINE];
  char error[512];
};

struct pop {
  struct intake *in;
  struct topic *t;
  intake_pop_fn fn;
  void *arg;
};

/* A command that waits for the first connection of a storage of its queue. */
struct held {
  struct held *next;
  struct queue *q;
  struct topic *t; /* NULL: it adds jobs */
  uint64_t until_ms;
  size_t bytes;
  intake_fn fn;
  intake_pop_fn pop;
  void *arg;
  struct intake_options o;
  size_t n;
  struct intake_job jobs[]; /* their contents and the token come behind them */
};

struct intake {
  struct loop *loop;
  struct registry *reg;
  struct dispatcher *dispatcher;
  struct gateway gateway;
  struct id_source ids;
  bool started;
  size_t pending;
  struct request *spare;
  size_t spare_n;
  struct held *held, **held_end; /* in the order they came */
  size_t held_n, held_bytes;
  struct timer held_timer;
  bool going_on;
  struct request *sliced, **sliced_end; /* a slice of each may be sent, in this order */
  struct timer slices;
  size_t fed_bytes;
};

static void held_tick(void *arg);
static void on_slices(void *arg);

struct intake *intake_new(struct loop *loop, struct registry *reg, struct dispatcher *d,
                          struct gateway g) {
  struct intake *in = calloc(1, sizeof *in);
  if (!in) return NULL;
  in->loop = loop;
  in->reg = reg;
  in->dispatcher = d;
  in->gateway = g;
  in->held_end = &in->held;
  in->sliced_end = &in->sliced;
  timer_init(&in->held_timer, loop, held_tick, in);
  timer_init(&in->slices, loop, on_slices, in);
  return in;
}

void intake_free(struct intake *in) {
  if (!in) return;
  intake_forget(in);
  timer_done(&in->held_timer);
  timer_done(&in->slices);
  while (in->spare) {
    struct request *r = in->spare;
    in->spare = r->next;
    free(r);
  }
  free(in);
}

/* Unix ms of the newest id's clock; 0: no id was given out. */
static uint64_t id_clock(const struct intake *in) {
  return in->started ? in->ids.ms + ID_EPOCH_MS : 0;
}

void intake_start_ids(struct intake *in, unsigned shard, uint64_t mark_ms) {
  uint64_t from = id_clock(in);
  if (in->started && in->ids.shard == shard && mark_ms <= from) return;
  if (mark_ms < from) mark_ms = from;
  uint64_t now = loop_wall_ms(in->loop);
  id_source_start(&in->ids, shard, mark_ms > now ? mark_ms : now);
  in->started = true;
}

uint64_t intake_last_id(const struct intake *in) {
  struct id_source next = in->ids;
  return in->started ? id_mint(&next, 0) - 1 : 0;
}

uint64_t intake_new_id(struct intake *in) {
  return in->started ? id_mint(&in->ids, loop_wall_ms(in->loop)) : 0;
}

size_t intake_pending(const struct intake *in) {
  return in->pending;
}

static void request_end(struct request *r) {
  struct intake *in = r->in;
  struct intake_result res = {.rc = r->rc,
                              .ids = r->ids,
                              .n = r->n,
                              .trace = r->trace,
                              .gateway = in->gateway,
                              .error = r->rc ? r->error : ""};
  struct queue *q = r->q;
  if (!r->rc) {
    q->counters.accepted += r->n;
    q->counters.accepted_bytes += r->bytes;
    if (r->due_ms)
      dispatcher_delayed(in->dispatcher, q, r->due_ms);
    else
      dispatcher_wake(in->dispatcher, q, true);
  } else if (r->rc == INTAKE_FULL || r->rc == INTAKE_TOO_LARGE) {
    q->counters.refused += r->n;
  } else {
    q->counters.failed += r->n;
    if (r->stored && r->due_ms) dispatcher_delayed(in->dispatcher, q, r->due_ms);
    if (r->stored && !r->due_ms) dispatcher_wake(in->dispatcher, q, true); /* that much will run */
  }
  in->pending--;
  r->fn(r->arg, &res);
  if (r->ids != r->ids_inline) free(r->ids);
  free(r->parts);
  if (r->feed) in->fed_bytes -= r->feed->bytes;
  free(r->feed);
  queue_unref(q);
  if (in->spare_n < REQUESTS_KEPT) {
    r->next = in->spare;
    in->spare = r;
    in->spare_n++;
  } else {
    free(r);
  }
}

/* Adds to the error how many jobs were stored all the same. */
static void tell_stored(struct request *r) {
  size_t len = strlen(r->error), size = sizeof r->error;
  if (!r->stored && !r->unknown) {
    if (r->n > 1) snprintf(r->error + len, size - len, "; nothing of this request was stored");
    return;
  }
  if (!r->parts && r->n > 1) {
    len += (size_t)snprintf(r->error + len, size - len,
                            "; %zu of %zu jobs of this request were stored", r->stored, r->n);
    if (r->unknown && len < size)
      snprintf(r->error + len, size - len, ", of %zu it is not known", r->unknown);
  }
  for (size_t k = 0; r->stored && k < r->n_parts && len < size; k++)
    len += (size_t)snprintf(r->error + len, size - len, "%s%zu of %zu in %s",
                            k ? ", " : "; stored: ", r->parts[k].stored, r->n, r->parts[k].name);
}

static void slice_list(struct request *r) {
  struct intake *in = r->in;
  r->feed->listed = true;
  r->next = NULL;
  *in->sliced_end = r;
  in->sliced_end = &r->next;
  if (!timer_pending(&in->slices)) timer_start(&in->slices, 0);
}

static void slice_unlist(struct request *r) {
  struct request **at = &r->in->sliced;
  if (!r->feed->listed) return;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  if (!r->next) r->in->sliced_end = at;
  r->feed->listed = false;
}

/* Drops the slices that were not sent: no answer to them will come. */
static void slices_drop(struct request *r) {
  struct feed *f = r->feed;
  slice_unlist(r);
  r->waiting -= (r->n - f->at) * (r->parts ? r->n_parts : 1);
  f->at = r->n;
}

static void slice_answered(struct request *r) {
  struct feed *f = r->feed;
  f->sent--;
  if (r->rc)
    slices_drop(r);
  else if (f->at < r->n && !f->listed && f->sent <= SLICE_AHEAD / 2)
    slice_list(r);
}

static void added(struct request *r, struct part *p, enum store_rc rc, uint64_t id,
                  const char *why) {
  if (rc == STORE_OK) {
    r->stored++;
    if (p) p->stored++;
    if (r->n == 1) r->ids[0] = id; /* another one when the token was known already */
  } else if (!r->rc) {
    r->rc = rc == STORE_FULL ? INTAKE_FULL : INTAKE_STORAGE;
    snprintf(r->error, sizeof r->error, "%s%s%s%s", p ? p->name : "", p ? ": " : "",
             rc == STORE_UNAVAILABLE ? "storage not available: " : "", why);
  }
  if (rc == STORE_UNKNOWN) r->unknown++;
  r->waiting--;
  if (r->feed) slice_answered(r);
  if (r->waiting) return;
  if (r->rc) tell_stored(r);
  request_end(r);
}

static void on_added(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  added(arg, NULL, rc, id, why);
}

static void on_part_added(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  struct part *p = arg;
  added(p->r, p, rc, id, why);
}

static struct request *request_new(struct intake *in, struct queue *q, size_t n, size_t n_stores,
                                   intake_fn fn, void *arg) {
  struct request *r = in->spare;
  if (r) {
    in->spare = r->next;
    in->spare_n--;
  } else if (!(r = malloc(sizeof *r))) {
    return NULL;
  }
  r->ids = n <= IDS_INLINE ? r->ids_inline : malloc(n * sizeof *r->ids);
  r->n_parts = n_stores > 1 ? n_stores : 0;
  r->parts = r->n_parts ? calloc(r->n_parts, sizeof *r->parts) : NULL;
  if (!r->ids || (r->n_parts && !r->parts)) {
    if (r->ids != r->ids_inline) free(r->ids);
    free(r->parts);
    free(r);
    return NULL;
  }
  r->in = in;
  r->q = q;
  r->fn = fn;
  r->arg = arg;
  r->n = n;
  r->waiting = r->stored = r->unknown = r->bytes = 0;
  r->feed = NULL;
  r->due_ms = 0;
  r->rc = INTAKE_OK;
  r->error[0] = 0;
  queue_ref(q);
  in->pending++;
  return r;
}

static void refuse(struct intake *in, intake_fn fn, void *arg, enum intake_rc rc,
                   const char *error) {
  struct intake_result res = {.rc = rc, .gateway = in->gateway, .error = error};
  res.trace = id_mint(&in->ids, loop_wall_ms(in->loop));
  fn(arg, &res);
}

/* --- commands that wait for the first connection of a storage --- */

/* Until when (monotonic) a command for the queue may wait: 0, nothing is to be waited for. */
static uint64_t queue_expects(const struct queue *q) {
  uint64_t until = 0;
  for (size_t k = 0; k < q->n_stores; k++) {
    uint64_t at = q->stores[k]->active ? store_expected(q->stores[k]->store) : 0;
    if (at > until) until = at;
  }
  return until;
}

/* 0: nothing to wait for, or no room. */
static uint64_t held_until(const struct intake *in, const struct queue *q) {
  if (in->started && !q->held && !queue_expects(q)) return 0; /* as it nearly always is */
  uint64_t until = queue_expects(q);
  return until || !q->held ? until : loop_now_ms(in->loop) + HELD_LOOK_MS; /* behind those */
}

static bool held_room(const struct intake *in, size_t bytes) {
  return in->held_n < HELD_MAX && bytes <= HELD_BYTES - in->held_bytes;
}

static void held_put(struct intake *in, struct held *h, struct queue *q, uint64_t until) {
  h->q = q;
  h->until_ms = until;
  queue_ref(q);
  q->held++;
  in->held_n++;
  in->held_bytes += h->bytes;
  in->pending++;
  h->next = NULL;
  *in->held_end = h;
  in->held_end = &h->next;
  if (!timer_pending(&in->held_timer)) timer_start(&in->held_timer, HELD_LOOK_MS);
}

/* False: there is no room for it. */
static bool held_add(struct intake *in, struct queue *q, uint64_t until,
                     const struct intake_job *jobs, size_t n, const struct intake_options *o,
                     intake_fn fn, void *arg) {
  size_t bytes = sizeof(struct held) + n * sizeof *jobs + (o ? o->token_len : 0);
  for (size_t i = 0; i < n; i++) bytes += jobs[i].len;
  struct held *h = held_room(in, bytes) ? malloc(bytes) : NULL;
  if (!h) return false;
  *h = (struct held){.bytes = bytes, .fn = fn, .arg = arg, .n = n};
  if (o) h->o = *o;
  char *p = (char *)(h->jobs + n);
  for (size_t i = 0; i < n; i++) {
    h->jobs[i] = (struct intake_job){.content = p, .len = jobs[i].len};
    if (jobs[i].len) memcpy(p, jobs[i].content, jobs[i].len);
    p += jobs[i].len;
  }
  if (h->o.token_len) {
    memcpy(p, h->o.token, h->o.token_len);
    h->o.token = p;
  }
  held_put(in, h, q, until);
  return true;
}

static void held_free(struct intake *in, struct held *h) {
  in->held_n--;
  in->held_bytes -= h->bytes;
  in->pending--;
  if (h->t) topic_call_ended(h->t);
  queue_unref(h->q);
  free(h);
}

static void add(struct intake *in, struct queue *q, const char *name, size_t name_len,
                const struct intake_job *jobs, size_t n, const struct intake_options *o,
                intake_fn fn, void *arg);
static void pop(struct intake *in, struct topic *t, intake_pop_fn fn, void *arg);

/* Each queue's in the order they came: all of a queue wait for the same. */
void intake_go_on(struct intake *in) {
  if (in->going_on) return;
  in->going_on = true;
  uint64_t began_us = loop_clock_us();
  for (struct held **at = &in->held; *at;) {
    struct held *h = *at;
    if (loop_clock_us() - began_us >= HELD_US) { /* the rest in the next turn */
      timer_start(&in->held_timer, 0);
      break;
    }
    if (!h->q->leaving && queue_expects(h->q) && loop_now_ms(in->loop) < h->until_ms) {
      at = &h->next;
      continue;
    }
    *at = h->next;
    if (!h->next) in->held_end = at;
    h->q->held--;
    if (h->t)
      pop(in, h->t, h->pop, h->arg);
    else
      add(in, h->q->leaving ? NULL : h->q, h->q->name, strlen(h->q->name), h->jobs, h->n, &h->o,
          h->fn, h->arg);
    held_free(in, h);
  }
  in->going_on = false;
}

static void held_tick(void *arg) {
  struct intake *in = arg;
  intake_go_on(in);
  if (in->held && !timer_pending(&in->held_timer)) timer_start(&in->held_timer, HELD_LOOK_MS);
}

void intake_forget(struct intake *in) {
  while (in->sliced) {
    struct request *r = in->sliced;
    slices_drop(r);
    r->rc = INTAKE_STORAGE;
    if (!r->waiting) request_end(r);
  }
  while (in->held) {
    struct held *h = in->held;
    in->held = h->next;
    h->q->held--;
    held_free(in, h);
  }
  in->held_end = &in->held;
}

/* --- requests that are sent bit by bit --- */

static void feed_next(struct request *r);

static void feed_fail(struct request *r, enum store_rc rc, const char *why) {
  const char *name = r->parts ? r->parts[r->feed->part].name : NULL;
  r->rc = rc == STORE_FULL ? INTAKE_FULL : INTAKE_STORAGE;
  snprintf(r->error, sizeof r->error, "%s%s%s%s", name ? name : "", name ? ": " : "",
           rc == STORE_UNAVAILABLE ? "storage not available: " : "", why);
  tell_stored(r);
  request_end(r);
}

static void feed_stored(struct request *r, size_t n) {
  r->stored += n;
  r->feed->at += n;
  if (r->parts) r->parts[r->feed->part].stored += n;
}

static void on_fed(void *arg, enum store_rc rc, uint64_t id, const char *why) {
  struct request *r = arg;
  struct feed *f = r->feed;
  if (r->n > 1) { /* it is a number of jobs, then */
    feed_stored(r, (size_t)id);
  } else if (!rc) {
    feed_stored(r, 1);
    /* The first storage gives the id of the job. All storages use this id. */
    if (!f->part) r->ids[0] = f->a.head.id = f->a.head.trace = id;
  }
  if (rc == STORE_UNKNOWN) r->unknown += f->sent;
  if (rc)
    feed_fail(r, rc, why);
  else
    feed_next(r);
}

/* A reload may have removed the storage meanwhile. */
static struct queue_store *part_store(const struct request *r, size_t part) {
  const struct queue *q = r->q;
  struct queue_store *found = NULL;
  for (size_t k = 0; k < q->n_stores; k++) {
    struct queue_store *qs = q->stores[k];
    if (r->parts && strcmp(store_name(qs->store), r->parts[part].name)) continue;
    if (!found || qs->active) found = qs;
  }
  return found;
}

static void feed_many(struct request *r, struct store_queue *sq) {
  struct feed *f = r->feed;
  struct store_job jobs[STORE_ADD_MAX];
  size_t n = r->n - f->at < STORE_ADD_MAX ? r->n - f->at : STORE_ADD_MAX;
  uint64_t more = 0;
  for (size_t i = 0; i < n; i++)
    jobs[i] =
        (struct store_job){r->ids[f->at + i], f->jobs[f->at + i].content, f->jobs[f->at + i].len};
  for (size_t i = f->at + n; i < r->n; i++) more += f->jobs[i].len;
  f->sent = n;
  store_add_many(sq, &f->a, jobs, n, r->n - f->at - n, more, on_fed, r);
}

static void feed_next(struct request *r) {
  struct feed *f = r->feed;
  if (f->at == r->n) {
    f->part++;
    f->at = 0;
    f->a.token_ms = f->token_ms / 10 * 9;
  }
  if (f->part == (r->parts ? r->n_parts : 1)) {
    request_end(r);
    return;
  }
  struct queue_store *qs = part_store(r, f->part);
  if (!qs) {
    feed_fail(r, STORE_UNAVAILABLE, "it is not configured any more");
    return;
  }
  f->sent = 1;
  if (r->n > 1)
    feed_many(r, qs->sq);
  else
    store_add(qs->sq, &f->a, on_fed, r);
}

static int part_compare(const void *a, const void *b) {
  return strcmp(((const struct part *)a)->name, ((const struct part *)b)->name);
}

/* NULL; or what there is too little of. */
static const char *feed_begin(struct request *r, const struct store_add *a,
                              const struct intake_job *jobs) {
  struct intake *in = r->in;
  size_t bytes = sizeof(struct feed) + r->n * sizeof *jobs + a->token_len;
  for (size_t i = 0; i < r->n; i++) bytes += jobs[i].len;
  if (in->fed_bytes && bytes > FED_BYTES - in->fed_bytes)
    return "too many large requests are on the way to the storages (256 MB); try again";
  struct feed *f = malloc(bytes);
  if (!f) return "out of memory";
  in->fed_bytes += bytes;
  char *p = (char *)(f->jobs + r->n);
  *f = (struct feed){
      .a = *a, .bytes = bytes, .token_ms = a->token_ms ? a->token_ms : STORE_TOKEN_MS};
  for (size_t i = 0; i < r->n; i++) {
    f->jobs[i] = (struct intake_job){p, jobs[i].len};
    if (jobs[i].len) memcpy(p, jobs[i].content, jobs[i].len);
    p += jobs[i].len;
  }
  if (a->token_len) memcpy(p, a->token, a->token_len);
  if (a->token) f->a.token = p;
  f->a.head.id = r->ids[0];
  f->a.head.trace = r->trace;
  f->a.content = f->jobs[0].content;
  f->a.content_len = f->jobs[0].len;
  r->feed = f;
  if (r->parts) qsort(r->parts, r->n_parts, sizeof *r->parts, part_compare);
  return NULL;
}

/* --- requests that are sent in slices --- */

/* Sends a slice to each of the request's storages. No answer comes before the end of the turn. */
static void slice_send(struct request *r) {
  struct feed *f = r->feed;
  size_t parts = r->parts ? r->n_parts : 1, end = f->at + SLICE_JOBS;
  if (end > r->n) end = r->n;
  for (size_t k = 0; k < parts; k++)
    if (!part_store(r, k)) {
      r->rc = INTAKE_STORAGE;
      snprintf(r->error, sizeof r->error,
               "%s%sstorage not available: it is not configured any more",
               r->parts ? r->parts[k].name : "", r->parts ? ": " : "");
      slices_drop(r);
      return;
    }
  for (size_t k = 0; k < parts; k++) {
    struct queue_store *qs = part_store(r, k);
    for (size_t i = f->at; i < end; i++) {
      f->a.head.id = r->ids[i];
      f->a.content = f->jobs[i].content;
      f->a.content_len = f->jobs[i].len;
      if (r->parts)
        store_add(qs->sq, &f->a, on_part_added, &r->parts[k]);
      else
        store_add(qs->sq, &f->a, on_added, r);
    }
  }
  f->sent += (end - f->at) * parts;
  f->at = end;
}

static void on_slices(void *arg) {
  struct intake *in = arg;
  uint64_t began_us = loop_clock_us();
  while (in->sliced && loop_clock_us() - began_us < SLICES_US) {
    struct request *r = in->sliced;
    slice_unlist(r);
    slice_send(r);
    if (!r->waiting) {
      tell_stored(r);
      request_end(r);
    } else if (r->feed->at < r->n && r->feed->sent <= SLICE_AHEAD) {
      slice_list(r);
    }
  }
  if (in->sliced && !timer_pending(&in->slices)) timer_start(&in->slices, 0);
}

/* --- adding --- */

/* A request of several jobs, or to several storages, begins only where it can be sent to its end.
 * NULL: it can. */
static const char *not_admitted(const struct queue *q, const struct intake_job *jobs, size_t n,
                                char *ret, size_t size) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += jobs[i].len;
  for (size_t k = 0; k < q->n_stores; k++) {
    const struct store *s = q->stores[k]->store;
    const char *why = q->stores[k]->active ? store_admits(s, n, bytes) : NULL;
    if (!why) continue;
    snprintf(ret, size, "%s%sstorage not available: %.300s; nothing of this request was stored",
             q->n_stores > 1 ? store_name(s) : "", q->n_stores > 1 ? ": " : "", why);
    return ret;
  }
  return NULL;
}

void intake_add(struct intake *in, const char *name, size_t name_len, const struct intake_job *jobs,
                size_t n, const struct intake_options *o, intake_fn fn, void *arg) {
  struct queue *q = registry_queue(in->reg, name, name_len);
  uint64_t until = q && n ? held_until(in, q) : 0;
  if (until && held_add(in, q, until, jobs, n, o, fn, arg)) return;
  add(in, q, name, name_len, jobs, n, o, fn, arg);
}

/* Is the job larger than max_job_size, or than the server of one of its storages takes? `error`
 * says which.
 */
static bool too_large(const struct intake *in, const struct queue *q, const struct intake_job *jobs,
                      size_t n, char *error, size_t size) {
  uint64_t max = registry_settings(in->reg)->server.max_job_size, largest = 0;
  for (size_t i = 0; i < n; i++)
    if (jobs[i].len > largest) largest = jobs[i].len;
  if (largest > max) {
    snprintf(error, size,
             "job too large: %llu bytes, max_job_size is %llu; nothing of this request was stored",
             (unsigned long long)largest, (unsigned long long)max);
    return true;
  }
  for (size_t k = 0; k < q->n_stores; k++) {
    const struct store *s = q->stores[k]->store;
    const char *bound;
    uint64_t most = q->stores[k]->active ? store_job_max(s, &bound) : UINT64_MAX;
    if (largest <= most) continue;
    snprintf(
        error, size,
        "job too large: %llu bytes, storage %.128s takes %llu (its server's %s); nothing of this "
        "request was stored",
        (unsigned long long)largest, store_name(s), (unsigned long long)most, bound);
    return true;
  }
  return false;
}

static void add_at_once(struct request *r, struct store_add *a, const struct intake_job *jobs) {
  struct queue *q = r->q;
  for (size_t i = 0; i < r->n; i++) {
    a->head.id = r->ids[i];
    a->head.trace = r->trace;
    a->content = jobs[i].content;
    a->content_len = jobs[i].len;
    for (size_t k = 0, at = 0; k < q->n_stores; k++) {
      if (!q->stores[k]->active) continue;
      if (r->parts)
        store_add(q->stores[k]->sq, a, on_part_added, &r->parts[at++]);
      else
        store_add(q->stores[k]->sq, a, on_added, r);
    }
  }
}

static void request_send(struct request *r, struct store_add *a, const struct intake_job *jobs) {
  bool limited = r->n > 1 && (a->max_length > 0 || a->max_bytes) && !a->delay_ms && !a->replicate;
  bool sliced = !limited && r->n > INTAKE_AT_ONCE;
  if (!limited && !sliced && !(r->parts && r->n == 1 && a->token_len)) {
    add_at_once(r, a, jobs);
    return;
  }
  const char *fault = feed_begin(r, a, jobs);
  if (fault) {
    r->rc = INTAKE_STORAGE;
    snprintf(r->error, sizeof r->error, "%s: nothing was stored", fault);
    request_end(r);
  } else if (sliced) {
    slice_list(r);
  } else {
    feed_next(r);
  }
}

static void add(struct intake *in, struct queue *q, const char *name, size_t name_len,
                const struct intake_job *jobs, size_t n, const struct intake_options *o,
                intake_fn fn, void *arg) {
  static const struct intake_options none; /* all zero: no options */
  char error[512];
  size_t active = 0;
  for (size_t k = 0; q && k < q->n_stores; k++) active += q->stores[k]->active;
  if (!active) {
    snprintf(error, sizeof error, "queue or Topic not exist %.*s%s",
             name_len > NAME_LEN_MAX ? NAME_LEN_MAX : (int)name_len, name,
             q ? ": the queue has no topic, so nobody would get the job; add a [topic] to it" : "");
    refuse(in, fn, arg, INTAKE_NO_QUEUE, error);
    return;
  }
  if (!n) {
    refuse(in, fn, arg, INTAKE_EMPTY, "empty jobs");
    return;
  }
  uint64_t now = loop_wall_ms(in->loop);
  if (too_large(in, q, jobs, n, error, sizeof error)) {
    q->counters.refused += n;
    refuse(in, fn, arg, INTAKE_TOO_LARGE, error);
    return;
  }
  if (!in->started) {
    q->counters.failed += n;
    refuse(in, fn, arg, INTAKE_STORAGE, "storage not ready yet: nothing was stored; try again");
    return;
  }
  if (n * active > 1 && not_admitted(q, jobs, n, error, sizeof error)) {
    q->counters.failed += n;
    refuse(in, fn, arg, INTAKE_STORAGE, error);
    return;
  }
  struct request *r = request_new(in, q, n, active, fn, arg);
  if (!r) {
    refuse(in, fn, arg, INTAKE_STORAGE, "out of memory: nothing was stored");
    return;
  }
  if (!o) o = &none;
  struct store_add a = {.delay_ms = o->delay_ms,
                        .token = o->token,
                        .token_len = o->token_len,
                        .token_ms = o->token_ms,
                        .replicate = o->replicate,
                        .replicate_ms = o->replicate_ms};
  a.max_length = q->set->max_length;
  if (o->max_length && (!a.max_length || o->max_length < a.max_length))
    a.max_length = o->max_length;
  a.max_bytes = q->set->max_bytes;
  if (o->delay_ms) r->due_ms = now + o->delay_ms;
  if (o->ttl_ms) a.head.expires_ms = now + o->ttl_ms;
  a.head.own_retry = o->own_retry;
  a.head.retry_ms = o->retry_ms;
  r->trace = n == 1 ? 0 : id_mint(&in->ids, now);
  r->waiting = active * n;
  a.admitted = r->waiting > 1;
  for (size_t k = 0, at = 0; r->parts && k < q->n_stores; k++) {
    if (!q->stores[k]->active) continue;
    r->parts[at].r = r;
    snprintf(r->parts[at++].name, sizeof r->parts->name, "%s", store_name(q->stores[k]->store));
  }
  for (size_t i = 0; i < n; i++) {
    r->ids[i] = id_mint(&in->ids, now);
    if (!r->trace) r->trace = r->ids[i]; /* one job: its request needs no trace id */
    r->bytes += jobs[i].len;
    q->job_bytes = (q->job_bytes * 15 + jobs[i].len) / 16;
  }
  request_send(r, &a, jobs);
}

static void on_popped(void *arg, enum store_rc rc, struct job *job, const char *why) {
  struct pop *p = arg;
  struct loop *loop = p->in->loop;
  if (rc) {
    p->fn(p->arg, INTAKE_STORAGE, NULL, 0, why);
  } else if (!job) {
    p->fn(p->arg, INTAKE_OK, NULL, 0, "");
  } else {
    struct buf json = {0};
    buf_add_text(&json, "{\"jobs\":[");
    batch_job_json(&json, job, false, loop_wall_ms(loop));
    buf_add_text(&json, "]}");
    if (json.failed)
      p->fn(p->arg, INTAKE_STORAGE, NULL, 0, "out of memory: the job is gone");
    else
      p->fn(p->arg, INTAKE_OK, json.data, json.len, "");
    buf_free(&json);
  }
  job_free(job);
  struct queue *q = p->t->queue;
  p->in->pending--;
  topic_call_ended(p->t);
  queue_unref(q);
  free(p);
}

void intake_pop(struct intake *in, struct topic *t, intake_pop_fn fn, void *arg) {
  uint64_t until =
      t->queue->held ? held_until(in, t->queue) : store_expected(t->store_entry->store);
  struct held *h = until && held_room(in, sizeof *h) ? calloc(1, sizeof *h) : NULL;
  if (!h) {
    pop(in, t, fn, arg);
    return;
  }
  *h = (struct held){.bytes = sizeof *h, .t = t, .pop = fn, .arg = arg};
  topic_call_began(t);
  held_put(in, h, t->queue, until);
}

static void pop(struct intake *in, struct topic *t, intake_pop_fn fn, void *arg) {
  struct pop *p = malloc(sizeof *p);
  if (!p) {
    fn(arg, INTAKE_STORAGE, NULL, 0, "out of memory");
    return;
  }
  *p = (struct pop){.in = in, .t = t, .fn = fn, .arg = arg};
  in->pending++;
  topic_call_began(t);
  queue_ref(t->queue);
  store_pop(t->store, on_popped, p);
}
