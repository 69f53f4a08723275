/* The dispatch station alone: the core's dispatch/ between a storage and workers of the test's own,
 * on a clock that the test moves. Whoever is asked something answers at the end of the same turn,
 * unless it is told to wait.
 *
 *   struct topic *t = topic_open(&set);      a topic whose storage is ready and whose worker
 * answers jobs_add(t, 3);                          three jobs in its stream is_int(running(t), 3,
 * "...");            are with the worker worker_done(t);                          who answers the
 * oldest request: 200 is_int(store_of(t)->done, 1, "...");
 */
#ifndef PB_TESTS_STATION_H
#define PB_TESTS_STATION_H

#include "unit/fake_loop.h"

#include "dispatch/dispatcher.h"
#include "dispatch/operator.h"
#include "dispatch/topic.h"
#include "transport/batch.h"
#include "transport/transport.h"

#include <errno.h>

#include "tap.h"

#define SLOTS 4096

static struct loop *loop;
static struct dispatcher *dispatcher;

/* --- the storage --- */

enum question {
  ASK_NONE,
  ASK_ATTACH,
  ASK_LOOK,
  ASK_LOOKS,
  ASK_TAKE,
  ASK_DUE,
  ASK_RECOVER,
  ASK_MOVE,
  ASK_PAUSE
};
#define QUESTIONS (ASK_PAUSE + 1)

#define ASK_TOPICS_MAX 8
struct ask {
  struct deferred deferred; /* its answer, at the end of the turn */
  enum question what;
  struct store_topic *t, *topics[ASK_TOPICS_MAX];
  size_t count;
  char node[32]; /* recover: whose jobs */
  bool paused;
  char by[64], reason[64];
  union {
    store_depth_fn depth;
    store_depths_fn depths;
    store_taken_fn taken;
    store_due_fn due;
    store_moved_fn moved;
    store_done_fn done;
  } fn;
  void *arg;
};

struct retry {
  struct job job;
  uint64_t due_ms;
};

struct store_topic {
  struct topic *t;
  size_t stream;              /* jobs that nobody has taken */
  uint32_t stream_failed;     /* their failed attempts so far */
  uint64_t stream_expires_ms; /* and their TTL */
  uint64_t next_id;
  struct retry retries[SLOTS];
  size_t n_retries;
  size_t mine, theirs; /* what it says this node runs, and a dead node: for recover */
  size_t page;         /* of recover, at most; 0: as asked for */
  uint32_t crashes;
  size_t taken, done, failed, released, dead; /* so far; failed: to be tried again */
  int code;                                   /* of the last failure ... */
  char message[256];                          /* ... and why */
  uint64_t due_ms;                            /* of the last retry or release */
  bool paused;
  char pause[256];
  size_t errors; /* noted */
  char error[256];
};

struct store {
  unsigned asked[QUESTIONS];
  size_t count; /* of the last question */
  char node[32];
  bool waits;       /* answers come with store_answers() */
  enum store_rc rc; /* of all answers */
  bool no_lease, behind;
  unsigned complaints;
  struct ask *held[SLOTS];
  size_t n_held;
};

static struct store store;
static struct store_topic *store_of(struct topic *t);

static struct job *job_new(uint64_t id) {
  struct job *job = calloc(1, sizeof *job);
  if (!job) bail_out("no memory");
  job->id = job->trace = id;
  job->content = "x";
  job->content_len = 1;
  return job;
}

static void take_now(struct ask *a, struct job_list *list, size_t n) {
  while (n--) {
    struct job *job = job_new(++a->t->next_id);
    job->failed = a->t->stream_failed;
    job->expires_ms = a->t->stream_expires_ms;
    if (a->what == ASK_RECOVER) job->crashes = a->t->crashes;
    a->t->taken++;
    job_list_push(list, job);
  }
}

static void due_now(struct ask *a, struct job_list *list, uint64_t *ret_next_ms) {
  struct store_topic *t = a->t;
  size_t kept = 0;
  for (size_t i = 0; i < t->n_retries; i++) {
    struct retry *r = &t->retries[i];
    if (r->due_ms <= loop_wall_ms(loop) && list->n < a->count) {
      struct job *job = job_new(r->job.id);
      job->failed = r->job.failed;
      job->refused = 0; /* it is not stored */
      job->source = JOB_FROM_RETRY;
      t->taken++;
      job_list_push(list, job);
      continue;
    }
    if (!*ret_next_ms || r->due_ms < *ret_next_ms) *ret_next_ms = r->due_ms;
    t->retries[kept++] = *r;
  }
  t->n_retries = kept;
}

static struct store_depth depth_now(const struct store_topic *t) {
  struct store_depth d = {.ready = t->stream, .retry = t->n_retries, .paused = t->paused};
  if (t->paused) d.pause = t->pause;
  for (size_t i = 0; i < t->n_retries; i++)
    if (!d.next_due_ms || t->retries[i].due_ms < d.next_due_ms)
      d.next_due_ms = t->retries[i].due_ms;
  return d;
}

static void answer_recover(struct ask *a) {
  struct job_list list = {0};
  size_t *have = *a->node ? &a->t->theirs : &a->t->mine;
  size_t page = a->t->page ? a->t->page : a->count, n = *have < page ? *have : page;
  if (!store.rc) {
    take_now(a, &list, n);
    *have -= n;
  }
  a->fn.taken(a->arg, store.rc, &list, !store.rc && *have, "the storage failed");
}

static void answer(void *arg) {
  struct ask *a = arg;
  struct job_list list = {0};
  struct store_depth d = {0};
  uint64_t next_ms = 0;
  switch (a->what) {
  case ASK_ATTACH:
  case ASK_LOOK:
    d = depth_now(a->t);
    a->fn.depth(a->arg, store.rc, &d, "the storage failed");
    break;
  case ASK_LOOKS: {
    struct store_depth some[ASK_TOPICS_MAX];
    for (size_t i = 0; i < a->count; i++) some[i] = depth_now(a->topics[i]);
    a->fn.depths(a->arg, store.rc, some, store.rc ? 0 : a->count, "the storage failed");
    break;
  }
  case ASK_TAKE: {
    size_t n = store.rc ? 0 : a->t->stream < a->count ? a->t->stream : a->count;
    take_now(a, &list, n);
    a->t->stream -= n;
    a->fn.taken(a->arg, store.rc, &list, a->t->stream, "the storage failed");
    break;
  }
  case ASK_DUE:
    if (!store.rc) due_now(a, &list, &next_ms);
    a->fn.due(a->arg, store.rc, &list, next_ms, "the storage failed");
    break;
  case ASK_RECOVER:
    answer_recover(a);
    break;
  case ASK_MOVE:
    a->fn.moved(a->arg, store.rc, 1, 0);
    break;
  default:
    if (!store.rc) a->t->paused = a->paused;
    snprintf(a->t->pause, sizeof a->t->pause, "{\"since\":%llu,\"by\":\"%s\",\"reason\":\"%s\"}",
             (unsigned long long)loop_wall_ms(loop), a->by, a->reason);
    a->fn.done(a->arg, store.rc, 1, "the storage failed");
  }
  loop_free_later(loop, a);
}

static struct ask *ask(enum question what, struct store_topic *t, size_t count, void *arg) {
  struct ask *a = calloc(1, sizeof *a);
  if (!a) bail_out("no memory");
  *a = (struct ask){.what = what, .t = t, .count = count, .arg = arg};
  store.asked[what]++;
  store.count = count;
  if (store.waits)
    store.held[store.n_held++] = a;
  else
    loop_defer(loop, &a->deferred, answer, a);
  return a;
}

/* All that wait are answered, those that are asked meanwhile at once. */
static TAP_UNUSED void store_answers(void) {
  store.waits = false;
  for (size_t i = 0; i < store.n_held; i++) answer(store.held[i]);
  store.n_held = 0;
  loop_turn(loop, 0);
}

/* How often it was asked that since the last time this was asked. */
static TAP_UNUSED unsigned asked(enum question what) {
  unsigned n = store.asked[what];
  store.asked[what] = 0;
  return n;
}

void store_attach(struct store_topic *t, store_depth_fn fn, void *arg) {
  ask(ASK_ATTACH, t, 0, arg)->fn.depth = fn;
}
void store_ask_depth(struct store_topic *t, store_depth_fn fn, void *arg) {
  ask(ASK_LOOK, t, 0, arg)->fn.depth = fn;
}
void store_ask_depths(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg) {
  struct ask *a = ask(ASK_LOOKS, NULL, n, arg);
  if (n > ASK_TOPICS_MAX) bail_out("so many topics are not asked for here");
  memcpy(a->topics, topics, n * sizeof(struct store_topic *));
  a->fn.depths = fn;
}
void store_seen_paused(struct store_topic *t, bool paused) {
  if (t->paused != paused) bail_out("what was told of the pause");
}
void store_take(struct store_topic *t, size_t count, store_taken_fn fn, void *arg) {
  ask(ASK_TAKE, t, count, arg)->fn.taken = fn;
}
void store_take_due(struct store_topic *t, size_t count, size_t bytes, store_due_fn fn, void *arg) {
  (void)bytes;
  ask(ASK_DUE, t, count, arg)->fn.due = fn;
}
void store_recover(struct store_topic *t, const char *node, size_t count, store_taken_fn fn,
                   void *arg) {
  struct ask *a = ask(ASK_RECOVER, t, count, arg);
  snprintf(a->node, sizeof a->node, "%s", node ? node : "");
  snprintf(store.node, sizeof store.node, "%s", a->node);
  a->fn.taken = fn;
}
void store_move_due(struct store_queue *q, store_moved_fn fn, void *arg) {
  (void)q;
  ask(ASK_MOVE, NULL, 0, arg)->fn.moved = fn;
}
void store_pause(struct store_topic *t, bool paused, const char *by, const char *reason,
                 store_done_fn fn, void *arg) {
  struct ask *a = ask(ASK_PAUSE, t, 0, arg);
  a->paused = paused;
  snprintf(a->by, sizeof a->by, "%s", by);
  snprintf(a->reason, sizeof a->reason, "%s", reason);
  a->fn.done = fn;
}

void store_settle(struct store_topic *t, struct job *job, const struct store_outcome *o) {
  if (o->verdict == STORE_DONE) {
    t->done++;
  } else {
    t->code = o->code;
    snprintf(t->message, sizeof t->message, "%.*s", (int)o->message_len,
             o->message ? o->message : "");
    t->failed += o->verdict == STORE_RETRY;
    t->dead += o->verdict == STORE_DEAD;
    t->released += o->verdict == STORE_RELEASE;
  }
  if (o->verdict == STORE_RETRY || o->verdict == STORE_RELEASE) {
    if (t->n_retries == SLOTS) bail_out("too many retries");
    t->due_ms = o->due_ms;
    t->retries[t->n_retries++] = (struct retry){.job = *job, .due_ms = o->due_ms};
  }
  job_free(job);
}

void store_note_error(struct store_topic *t, uint64_t id, int code, const char *message,
                      size_t len) {
  (void)id, (void)code;
  t->errors++;
  snprintf(t->error, sizeof t->error, "%.*s", (int)len, message);
}
void store_log_refusal(struct store *s, const char *subject, const char *what, const char *why) {
  (void)subject, (void)what, (void)why;
  s->complaints++;
}
size_t store_unsettled(const struct store_topic *t) {
  (void)t;
  return 0;
}
bool store_is_behind(const struct store_topic *t) {
  (void)t;
  return store.behind;
}
bool store_holds_lease(struct store *s) {
  return !s->no_lease;
}
enum store_state store_state(const struct store *s) {
  (void)s;
  return STORE_READY;
}

/* --- the transport --- */

struct instance {
  struct topic *t;
  void (*ready)(void *arg);
  void *arg;
  bool closed;
};

struct sent {
  struct instance *in;
  const struct pb_batch *batch;
  size_t n;
  bool ping, cancelled;
  instance_done_fn fn;
  void *arg;
};

static struct {
  bool no_workers; /* instances cannot be opened */
  int refuses;     /* what the next requests are refused with */
  size_t room;     /* requests at a time; 0: any number */
  size_t opened, closed, cancelled, submitted;
  bool pings_wait;  /* else they are answered at the end of the turn */
  int ping_code;    /* 0: 200 */
  int ping_outcome; /* 0: PB_ANSWERED */
  struct deferred pings;
  struct sent sent[SLOTS]; /* on the way, oldest first */
  size_t n_sent;
  transports_load_fn load;
  void *load_arg;
  void (*ended)(void *arg);
  void *ended_arg;
  bool ending;
} workers;

struct transports {
  int unused;
};

struct transports *transports_new(struct loop *l) {
  static struct transports tr;
  (void)l;
  return &tr;
}
static void worker_ends(size_t at, const struct pb_result *r);
void transports_free(struct transports *tr) {
  if (!tr) return;
  while (workers.n_sent)
    worker_ends(0, &(struct pb_result){.outcome = PB_LOST, .detail = "closed"});
  deferred_cancel(loop, &workers.pings);
}
void transports_on_load(struct transports *tr, transports_load_fn fn, void *arg) {
  (void)tr;
  workers.load = fn;
  workers.load_arg = arg;
}
void transports_on_ended(struct transports *tr, void (*fn)(void *arg), void *arg) {
  (void)tr;
  workers.ended = fn;
  workers.ended_arg = arg;
}
bool transports_ending(const struct transports *tr) {
  (void)tr;
  return workers.ending;
}

struct instance *instance_open(struct transports *tr, struct settings *snapshot,
                               const struct topic_settings *t, void (*ready)(void *arg), void *arg,
                               struct pb_err *err) {
  (void)tr, (void)snapshot, (void)t;
  if (workers.no_workers) {
    snprintf(err->text, sizeof err->text, "there is no such file");
    return NULL;
  }
  struct instance *in = calloc(1, sizeof *in);
  if (!in) bail_out("no memory");
  *in = (struct instance){.t = arg, .ready = ready, .arg = arg};
  workers.opened++;
  return in;
}

static bool instance_used(const struct instance *in) {
  for (size_t i = 0; i < workers.n_sent; i++)
    if (workers.sent[i].in == in) return true;
  return false;
}

void instance_close(struct instance *in, uint64_t patience_ms) {
  (void)patience_ms;
  in->closed = true;
  workers.closed++;
  if (!instance_used(in)) loop_free_later(loop, in);
}

static void pings_answered(void *arg);

int instance_submit(struct instance *in, const struct pb_batch *b, instance_done_fn fn, void *arg,
                    pb_ticket *ret, struct pb_err *err) {
  if (in->closed) bail_out("a request on a closed instance");
  if (workers.refuses) snprintf(err->text, sizeof err->text, "it cannot be sent");
  if (workers.refuses) return workers.refuses;
  if (workers.room && workers.n_sent >= workers.room) return -EAGAIN;
  if (workers.n_sent == SLOTS) bail_out("too many requests");
  *ret = ++workers.submitted;
  workers.sent[workers.n_sent++] = (struct sent){
      .in = in, .batch = b, .n = b->n, .ping = b->type == PB_BATCH_PING, .fn = fn, .arg = arg};
  if (b->type == PB_BATCH_PING && !workers.pings_wait)
    loop_defer(loop, &workers.pings, pings_answered, NULL);
  return 0;
}

void instance_cancel(struct instance *in, pb_ticket t) {
  (void)in, (void)t;
  workers.cancelled++;
}

int instance_health(struct instance *in, char *ret, size_t size) {
  (void)in;
  snprintf(ret, size, "all are busy");
  return 0;
}

/* Request `at` is over. The result is what the transport tells. */
static void worker_ends(size_t at, const struct pb_result *r) {
  struct sent s = workers.sent[at];
  struct pb_result own = *r;
  if (at >= workers.n_sent) bail_out("nothing is with the worker");
  own.size = sizeof own;
  if (!own.body) own.body = "";
  own.body_len = strlen(own.body);
  if (!own.detail) own.detail = "";
  own.detail_len = strlen(own.detail);
  workers.n_sent--;
  memmove(workers.sent + at, workers.sent + at + 1, (workers.n_sent - at) * sizeof s);
  s.fn(s.arg, &own);
  if (s.in->closed && !instance_used(s.in)) loop_free_later(loop, s.in);
}

/* The oldest request of `t`, a ping or one with jobs; SLOTS: there is none. */
static size_t sent_of(const struct topic *t, bool ping) {
  for (size_t i = 0; i < workers.n_sent; i++)
    if (workers.sent[i].in->t == t && workers.sent[i].ping == ping) return i;
  return SLOTS;
}

static void worker_says(struct topic *t, bool ping, struct pb_result r) {
  size_t at = sent_of(t, ping);
  if (at == SLOTS) bail_out("nothing of the topic is with the worker");
  if (!r.outcome) r.outcome = PB_ANSWERED;
  worker_ends(at, &r);
  loop_turn(loop, 0);
}

static void pings_answered(void *arg) {
  (void)arg;
  for (size_t i = 0; i < workers.n_sent; i++) {
    if (!workers.sent[i].ping) continue;
    const char *path = workers.sent[i].batch->topic->path;
    struct pb_result r = {.outcome = workers.ping_outcome ? (uint32_t)workers.ping_outcome
                                                          : (uint32_t)PB_ANSWERED,
                          .code = workers.ping_code ? workers.ping_code : 200,
                          .topics = workers.ping_code ? NULL : path,
                          .detail = workers.ping_outcome ? "nobody listens" : NULL};
    if (workers.ping_outcome) r.code = 0;
    worker_ends(i, &r);
    i = (size_t)-1;
  }
}

/* Answers to the oldest request with jobs. */
static TAP_UNUSED void worker_code(struct topic *t, int code, const char *body) {
  worker_says(t, false, (struct pb_result){.code = code, .body = body});
}
static TAP_UNUSED void worker_done(struct topic *t) {
  worker_code(t, 200, "");
}
static TAP_UNUSED void worker_outcome(struct topic *t, enum pb_outcome outcome, const char *why) {
  worker_says(t, false, (struct pb_result){.outcome = outcome, .detail = why});
}
/* Jobs of `t`, and pings, that are with the worker. */
static TAP_UNUSED size_t running(const struct topic *t) {
  size_t n = 0;
  for (size_t i = 0; i < workers.n_sent; i++)
    if (workers.sent[i].in->t == t && !workers.sent[i].ping) n += workers.sent[i].n;
  return n;
}
static TAP_UNUSED size_t requests(const struct topic *t) {
  size_t n = 0;
  for (size_t i = 0; i < workers.n_sent; i++)
    n += workers.sent[i].in->t == t && !workers.sent[i].ping;
  return n;
}
static TAP_UNUSED size_t pings(const struct topic *t) {
  size_t n = 0;
  for (size_t i = 0; i < workers.n_sent; i++)
    n += workers.sent[i].in->t == t && workers.sent[i].ping;
  return n;
}
static TAP_UNUSED void worker_has_room(struct topic *t) {
  workers.room = 0;
  for (size_t i = 0; i < workers.n_sent; i++)
    if (workers.sent[i].in->t == t) {
      workers.sent[i].in->ready(workers.sent[i].in->arg);
      break;
    }
  loop_turn(loop, 0);
}

/* --- settings, queues and topics --- */

static struct settings snapshot;
static const struct pb_transport chunks = {.name = "chunks", .caps = PB_CAP_CHUNK};
static struct queue_settings queue_set = {.name = "q"};
static const struct topic_settings usual = {.name = "t",
                                            .path = "q/t",
                                            .queue = &queue_set,
                                            .run_type = "test",
                                            .transport = &chunks,
                                            .workers = 4,
                                            .chunk = 1,
                                            .attempts = 3,
                                            .crashes = 3,
                                            .timeout_ms = 60000,
                                            .backoff = {1000, 60000},
                                            .enabled = true,
                                            .here = true};

#define TOPICS_MAX 32
static struct {
  struct queue queue;
  struct queue_store entry;
  struct topic *topics[TOPICS_MAX];
  struct topic *all[TOPICS_MAX];
  size_t n;
} world;

static TAP_UNUSED struct store_topic *store_of(struct topic *t) {
  return t->store;
}

static void queue_kept(struct queue *q) {
  q->refs = 1;
}

static void station_begin(void) {
  struct log *log = log_new(STDERR_FILENO);
  log_configure(log, getenv("STATION_LOG") ? PB_LOG_DEBUG : PB_LOG_ERROR, false);
  memset(&world, 0, sizeof world);
  memset(&workers, 0, sizeof workers);
  memset(&store, 0, sizeof store);
  snapshot = (struct settings){.refs = 1u << 30, .server = {.max_job_size = 1 << 20}};
  loop = loop_new(log);
  dispatcher = dispatcher_new(loop, (struct gateway){0});
  if (!dispatcher) bail_out("no memory");
  world.entry.store = &store;
  world.queue = (struct queue){
      .set = &queue_set, .name = "q", .topics = world.topics, .refs = 1, .gone = queue_kept};
}

/* A topic whose storage has not told anything yet. */
static struct topic *topic_new(const struct topic_settings *set) {
  struct topic *t = calloc(1, sizeof *t);
  struct store_topic *st = calloc(1, sizeof *st);
  if (!t || !st) bail_out("no memory");
  st->t = t;
  st->next_id = (world.n + 1) << 32;
  t->set = set;
  t->snapshot = &snapshot;
  t->queue = &world.queue;
  t->store = st;
  t->store_entry = &world.entry;
  world.all[world.n++] = t;
  world.topics[world.queue.n_topics++] = t;
  dispatcher_add_topic(dispatcher, t);
  loop_turn(loop, 0);
  return t;
}

static TAP_UNUSED struct topic *topic_open(const struct topic_settings *set) {
  struct topic *t = topic_new(set);
  dispatcher_store_ready(dispatcher, t, true);
  loop_turn(loop, 0);
  return t;
}

static TAP_UNUSED void jobs_add(struct topic *t, size_t n) {
  store_of(t)->stream += n;
  dispatcher_wake(dispatcher, t->queue, true);
  loop_turn(loop, 0);
}

/* New settings of a running topic. */
static TAP_UNUSED void topic_update(struct topic *t, const struct topic_settings *set) {
  const struct topic_settings *was = t->set;
  t->set = set;
  dispatcher_update_topic(dispatcher, t, was);
  loop_turn(loop, 0);
}

static void topic_gone(void *arg, struct topic *t) {
  (void)t;
  *(bool *)arg = true;
}

/* No longer configured, as the registry tells it; *ret_gone once nothing of it is left. */
static TAP_UNUSED void topic_leave(struct topic *t, bool *ret_gone) {
  size_t kept = 0;
  for (size_t i = 0; i < world.queue.n_topics; i++)
    if (world.topics[i] != t) world.topics[kept++] = world.topics[i];
  world.queue.n_topics = kept;
  *ret_gone = false;
  dispatcher_remove_topic(dispatcher, t, topic_gone, ret_gone);
  loop_turn(loop, 0);
}

static TAP_UNUSED const char *state_of(const struct topic *t) {
  return topic_state_names[t->state];
}
static TAP_UNUSED const char *why_of(const struct topic *t) {
  return t->why;
}

static void station_end(void) {
  struct log *log = loop_log(loop);
  store.waits = false;
  dispatcher_stop(dispatcher);
  for (size_t i = 0; i < store.n_held; i++) answer(store.held[i]);
  loop_turn(loop, 0);
  for (size_t i = 0; i < world.n; i++) {
    free(world.all[i]->store);
    free(world.all[i]);
  }
  dispatcher_free(dispatcher);
  timer_done(&world.queue.delayed.timer);
  is_int(loop->n_timers, 0, "no timer is left");
  loop_free(loop);
  log_free(log);
}

#endif
