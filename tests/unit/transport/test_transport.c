/* The core's side of the plugin interface, with a transport that lives in this file and does what
 * it is told, wrong things included. */
#include "transport/batch.h"
#include "base/log.h"
#include "event/loop.h"
#include "transport/transport.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

/* --- the settings around it: stubs, only counted --- */

static struct settings snapshot;

struct settings *settings_ref(struct settings *s) {
  s->refs++;
  return s;
}

void settings_unref(struct settings *s) {
  if (s) s->refs--;
}

struct pb_topic_info settings_topic_info(const struct topic_settings *t) {
  return (struct pb_topic_info){.size = sizeof(struct pb_topic_info),
                                .queue = t->queue->name,
                                .topic = t->name,
                                .workers = (uint32_t)t->workers,
                                .chunk = (uint32_t)t->chunk,
                                .timeout_ms = t->timeout_ms};
}

bool settings_pool_equal(const struct pool_settings *a, const struct pool_settings *b) {
  return a->max_connections == b->max_connections;
}

/* --- the transport --- */

enum submit_mode {
  TAKE,    /* 0, completed later by the test */
  AT_ONCE, /* completed within submit() */
  FULL,    /* -EAGAIN */
  NEVER,   /* -EMSGSIZE with a sentence */
  BOTH     /* wrong: completed and refused */
};

static struct fake {
  const struct pb_host *host;
  struct pb_owner *plugin, *pool, *inst;
  enum submit_mode mode;
  int load_rc, pool_rc, create_rc;
  bool drain_at_once, complete_in_destroy, drained_in_destroy;
  unsigned loads, unloads, pools, pools_closed, created, destroyed, drains, cancels;
  pb_ticket last, cancelled;
  const void *pool_conf, *conf;
  char *sign_form, *sign_copy; /* submit() writes two signatures there */
  struct pb_topic_info info;
} fake;

static struct pb_result result(uint32_t outcome, int code, const char *body) {
  return (struct pb_result){.size = sizeof(struct pb_result),
                            .outcome = outcome,
                            .code = code,
                            .body = body,
                            .body_len = body ? strlen(body) : 0};
}

static void complete(pb_ticket t, uint32_t outcome, int code, const char *body) {
  struct pb_result r = result(outcome, code, body);
  fake.host->complete(fake.inst, t, &r);
}

static int fake_load(const struct pb_host *h, struct pb_owner *o, void **ret, struct pb_err *err) {
  fake.loads++;
  fake.host = h;
  fake.plugin = o;
  *ret = &fake;
  if (fake.load_rc) snprintf(err->text, sizeof err->text, "cannot load");
  return fake.load_rc;
}

static void fake_unload(void *plugin) {
  if (plugin == &fake) fake.unloads++;
}

static int fake_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret,
                          struct pb_err *err) {
  fake.pools++;
  fake.pool = o;
  fake.pool_conf = conf;
  *ret = plugin;
  if (fake.pool_rc) snprintf(err->text, sizeof err->text, "cannot open");
  return fake.pool_rc;
}

static void fake_pool_close(void *pool) {
  if (pool == &fake) fake.pools_closed++;
}

static int fake_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret, struct pb_err *err) {
  fake.created++;
  fake.inst = o;
  fake.info = *topic;
  fake.conf = conf;
  *ret = pool;
  if (fake.create_rc) snprintf(err->text, sizeof err->text, "cannot create");
  return fake.create_rc;
}

static int fake_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  (void)inst;
  if (fake.sign_form) {
    size_t len;
    const char *form = fake.host->batch_form(b, &len);
    char *copy = strndup(form, len);
    fake.host->sign(fake.inst, form, len, fake.sign_form);
    fake.host->sign(fake.inst, copy, len, fake.sign_copy);
    free(copy);
  }
  fake.last = t;
  if (fake.mode == AT_ONCE || fake.mode == BOTH) {
    char body[8] = "inside"; /* gone when submit() returns */
    complete(t, PB_ANSWERED, 200, body);
    memset(body, '!', sizeof body);
  }
  if (fake.mode == FULL) return -EAGAIN;
  if (fake.mode == NEVER || fake.mode == BOTH) {
    snprintf(err->text, sizeof err->text, "too large for it");
    return -EMSGSIZE;
  }
  return 0;
}

static void fake_cancel(void *inst, pb_ticket t) {
  (void)inst;
  fake.cancels++;
  fake.cancelled = t;
}

static void fake_drain(void *inst) {
  (void)inst;
  fake.drains++;
  if (fake.drain_at_once) fake.host->drained(fake.inst);
}

static void fake_destroy(void *inst) {
  (void)inst;
  fake.destroyed++;
  if (fake.complete_in_destroy) complete(fake.last, PB_LOST, 0, NULL);
  if (fake.drained_in_destroy) {
    fake.host->ready(fake.inst);
    fake.host->drained(fake.inst);
  }
}

static int fake_health(void *inst, char *ret, size_t size) {
  (void)inst;
  snprintf(ret, size, "half of it");
  return PB_HEALTH_DEGRADED;
}

static int fake_pool_health(void *pool_, char *ret, size_t size) {
  (void)pool_;
  memset(ret, 'x', size); /* no NUL */
  return 77;
}

enum { JOBS_TOTAL, HEAT, CHILDREN };
static const struct pb_metric metrics[] = {
    [JOBS_TOTAL] = {"jobs_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC, "Jobs."},
    [HEAT] = {"heat_celsius", PB_METRIC_GAUGE, PB_SCOPE_TOPIC, "Heat."},
    [CHILDREN] = {"children", PB_METRIC_GAUGE, PB_SCOPE_POOL, "Children."},
    {0}};

static const struct pb_transport desc = {.magic = PB_MAGIC,
                                         .size = sizeof desc,
                                         .abi_major = PB_ABI_MAJOR,
                                         .abi_minor = PB_ABI_MINOR,
                                         .option_size = sizeof(struct pb_option),
                                         .run_type = "fake",
                                         .name = "fake",
                                         .load = fake_load,
                                         .unload = fake_unload,
                                         .pool_open = fake_pool_open,
                                         .pool_close = fake_pool_close,
                                         .create = fake_create,
                                         .submit = fake_submit,
                                         .cancel = fake_cancel,
                                         .drain = fake_drain,
                                         .destroy = fake_destroy,
                                         .metrics = metrics,
                                         .metric_size = sizeof *metrics,
                                         .health = fake_health,
                                         .pool_health = fake_pool_health};

/* --- the core's side --- */

static const struct queue_settings queue = {.name = "msg"};
static const struct pool_settings pool = {
    .name = "local", .run_type = "fake", .transport = &desc, .max_connections = 4};
static const int pool_conf, topic_conf;
static struct topic_settings topic = {.name = "reply",
                                      .path = "msg/reply",
                                      .queue = &queue,
                                      .pool = &pool,
                                      .run_type = "fake",
                                      .transport = &desc,
                                      .workers = 3,
                                      .chunk = 2,
                                      .attempts = 5,
                                      .timeout_ms = 4000,
                                      .conf = &topic_conf,
                                      .pool_conf = &pool_conf,
                                      .signing_key = ""};

static struct log *logger;
static struct loop *loop;
static struct transports *tr;
static struct instance *inst;
static struct pb_batch *batch;
static struct pb_err err;

static struct done {
  unsigned n, ready;
  uint32_t outcome;
  int code;
  size_t body_len, detail_len;
  char body[64], detail[128], topics[64], error_code[64];
  bool inside; /* called from within instance_submit() */
} done;
static bool submitting;

static void on_done(void *arg, const struct pb_result *r) {
  struct done *d = arg;
  d->n++;
  d->outcome = r->outcome;
  d->code = r->code;
  d->inside |= submitting;
  d->body_len = r->body_len;
  d->detail_len = r->detail_len;
  snprintf(d->body, sizeof d->body, "%.*s", (int)r->body_len, r->body ? r->body : "(none)");
  snprintf(d->detail, sizeof d->detail, "%.*s", (int)r->detail_len,
           r->detail ? r->detail : "(none)");
  snprintf(d->topics, sizeof d->topics, "%s", r->topics ? r->topics : "(none)");
  snprintf(d->error_code, sizeof d->error_code, "%s", r->error_code ? r->error_code : "(none)");
}

static void on_ready(void *arg) {
  ((struct done *)arg)->ready++;
}

static pb_ticket submit_rc(int want, const char *name) {
  pb_ticket t = 0;
  err = (struct pb_err){0};
  submitting = true;
  int rc = instance_submit(inst, batch, on_done, &done, &t, &err);
  submitting = false;
  is_int(rc, want, "%s", name);
  return t;
}

static void turns(int n) {
  while (n--) loop_turn(loop, 0);
}

static void turn_until(const unsigned *counter, unsigned want) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (*counter < want && loop_clock_ms() < end) loop_turn(loop, 50);
}

static void begin(void) {
  fake = (struct fake){.host = fake.host};
  done = (struct done){0};
  tr = transports_new(loop);
  inst = tr ? instance_open(tr, &snapshot, &topic, on_ready, &done, &err) : NULL;
  if (!inst) bail_out("no instance: %s", err.text);
}

/* Everything that was opened is closed, once. */
static void end(const char *name) {
  transports_free(tr);
  turns(1);
  ok(fake.destroyed == fake.created && fake.pools_closed == fake.pools &&
         fake.unloads == fake.loads && !snapshot.refs,
     "%s: all is closed once", name);
}

/* --- lifetimes --- */

static void test_life(void) {
  begin();
  ok(fake.loads == 1 && fake.pools == 1 && fake.created == 1, "loaded, its pool opened, created");
  ok(fake.pool_conf == &pool_conf && fake.conf == &topic_conf, "with their configurations");
  ok(!strcmp(fake.info.queue, "msg") && !strcmp(fake.info.topic, "reply") &&
         fake.info.workers == 3 && fake.info.chunk == 2 && fake.info.timeout_ms == 4000,
     "and what the topic is");
  ok(snapshot.refs > 0, "the snapshot is held");

  struct topic_settings second = topic, alone = topic;
  second.path = "msg/second";
  alone.path = "msg/alone";
  alone.pool = NULL;
  struct instance *b = instance_open(tr, &snapshot, &second, on_ready, &done, &err);
  ok(b && fake.pools == 1 && fake.loads == 1, "a topic of the same pool shares it");
  struct instance *c = instance_open(tr, &snapshot, &alone, on_ready, &done, &err);
  struct instance *d = instance_open(tr, &snapshot, &alone, on_ready, &done, &err);
  ok(c && d && fake.pools == 3, "one without a pool has its own");

  fake.drain_at_once = true;
  struct pb_owner *first_owner = fake.inst;
  instance_close(d, 1000); /* fake.inst is d's */
  is_int(fake.destroyed, 0, "closing does not destroy within the call");
  turns(1);
  ok(fake.destroyed == 1 && fake.pools_closed == 1, "drained: destroyed, and its pool closed");
  ok(first_owner == fake.inst, "the last one's owner");
  fake.drain_at_once = false;
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 2);
  is_int(fake.pools_closed, 1, "a pool that another topic uses stays open");
  instance_close(b, 0);
  turn_until(&fake.destroyed, 3);
  is_int(fake.pools_closed, 2, "with its last topic it goes");
  is_int(fake.unloads, 0, "the plugin stays loaded");
  instance_close(c, 100000);
  instance_close(c, 0);
  instance_close(NULL, 0);
  is_int(fake.drains, 4, "each was asked to drain once");
  end("an instance that was still draining");
}

static const void *created_in; /* by bare_create() */
static int bare_create(void *pool_, struct pb_owner *o, const struct pb_topic_info *info,
                       const void *conf, void **ret, struct pb_err *e) {
  created_in = pool_;
  return fake_create(pool_, o, info, conf, ret, e);
}

/* A plugin without pools still gets at what load() returned. */
static void test_no_pools(void) {
  struct pb_transport bare = desc;
  struct topic_settings own = topic;
  bare.pool_open = NULL;
  bare.pool_close = NULL;
  bare.create = bare_create;
  own.transport = &bare;
  own.pool = NULL;
  done = (struct done){0};
  fake = (struct fake){.drain_at_once = true};
  tr = transports_new(loop);
  inst = instance_open(tr, &snapshot, &own, on_ready, &done, &err);
  ok(inst && created_in == &fake, "without pool_open() create() is given what load() returned");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  transports_free(tr);
}

static void test_refusals(void) {
  done = (struct done){0};
  fake = (struct fake){.load_rc = -EIO};
  tr = transports_new(loop);
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "load() fails: no instance");
  is_str(err.text, "cannot load", "it says why");
  fake.load_rc = 0;
  fake.pool_rc = -EIO;
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "pool_open() fails: none");
  is_str(err.text, "cannot open", "it says why");
  ok(fake.loads == 2, "load() was tried again");
  fake.pool_rc = 0;
  fake.create_rc = -EIO;
  ok(!instance_open(tr, &snapshot, &topic, on_ready, &done, &err), "create() fails: none");
  is_str(err.text, "cannot create", "it says why");
  ok(fake.pools == 2 && fake.pools_closed == 1, "the pool opened for it is closed");
  fake.create_rc = 0;
  inst = instance_open(tr, &snapshot, &topic, on_ready, &done, &err);
  ok(inst != NULL, "then it works");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  transports_free(tr);
  turns(1);
  ok(fake.destroyed == 1 && fake.pools_closed == 2 && fake.unloads == 1 && !snapshot.refs,
     "what failed is not closed, what worked is");
}

/* --- completions --- */

static void test_complete(void) {
  begin();
  fake.mode = AT_ONCE;
  pb_ticket t = submit_rc(0, "taken, and completed within submit()");
  ok(t && t == fake.last, "the ticket is the one that the transport has");
  is_int(done.n, 0, "the completion is put off");
  turns(1);
  is_int(done.n, 1, "to the end of the turn");
  ok(!done.inside, "it never comes from within the call");
  ok(done.outcome == PB_ANSWERED && done.code == 200, "outcome and code");
  is_str(done.body, "inside", "its text was copied");
  turns(2);
  is_int(done.n, 1, "once");

  fake.mode = TAKE;
  pb_ticket second = submit_rc(0, "another is taken");
  ok(second != t && second, "its ticket is another");
  turns(2);
  is_int(done.n, 1, "nothing comes until it is completed");
  struct pb_result r = result(PB_ANSWERED, 500, "no");
  r.error_code = "E1";
  r.topics = "a/b,c/d";
  r.detail = "stderr\0more";
  r.detail_len = 11;
  fake.host->complete(fake.inst, second, &r);
  r = result(PB_ANSWERED, 200, "twice");
  fake.host->complete(fake.inst, second, &r);
  is_int(transports_counters(tr).stale_completions, 1, "completed again in one turn: counted");
  turns(1);
  is_int(done.n, 2, "and ignored");
  ok(done.code == 500 && !strcmp(done.body, "no"), "the first counts");
  ok(!strcmp(done.error_code, "E1") && !strcmp(done.topics, "a/b,c/d") &&
         !strcmp(done.detail, "stderr"),
     "all of its texts came");
  complete(second, PB_ANSWERED, 200, "late");
  turns(1);
  ok(done.n == 2 && transports_counters(tr).stale_completions == 2,
     "completed again a turn later: counted, ignored");

  pb_ticket third = submit_rc(0, "a third is taken");
  ok(third != second, "a ticket's number is not used again at once");
  complete(second, PB_ANSWERED, 200, "stale");
  complete(t, PB_ANSWERED, 200, "stale");
  complete(0, PB_ANSWERED, 200, "none");
  complete(UINT64_MAX, PB_ANSWERED, 200, "none");
  complete(third + (UINT64_C(1) << 32), PB_ANSWERED, 200, "none");
  turns(1);
  is_int(done.n, 2, "a stale ticket ends nobody else's request");
  is_int(transports_counters(tr).stale_completions, 7, "each is counted");

  struct {
    uint32_t size, outcome;
    int32_t code;
  } old = {sizeof old, PB_BUSY, 0}; /* as a plugin of a version with fewer members has it */
  struct pb_result bytes;
  memset(&bytes, 0xff, sizeof bytes);
  memcpy(&bytes, &old, sizeof old);
  fake.host->complete(fake.inst, third, &bytes);
  turns(1);
  ok(done.n == 3 && done.outcome == PB_BUSY, "a shorter result is taken");
  ok(!*done.body && !*done.detail && !strcmp(done.topics, "(none)"),
     "members that it lacks are empty");

  third = submit_rc(0, "one more");
  r = result(PB_ANSWERED, 200, NULL);
  r.body_len = 1000;
  r.detail_len = 1000;
  fake.host->complete(fake.inst, third, &r);
  turns(1);
  ok(done.n == 4 && !done.body_len && !done.detail_len, "lengths without texts are nothing");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("completions");
}

static void test_many(void) {
  enum { N = 500 };
  static pb_ticket tickets[N];
  begin();
  for (int i = 0; i < N; i++)
    if (instance_submit(inst, batch, on_done, &done, &tickets[i], &err)) fail("submit %d", i);
  bool differ = true;
  for (int i = 1; i < N; i++) differ &= tickets[i] != tickets[i - 1];
  ok(differ, "many at a time, each its own ticket");
  for (int i = N; i-- > 0;) complete(tickets[i], PB_ANSWERED, 200, "x");
  turns(1);
  is_int(done.n, N, "all are completed, in any order");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("many");
}

static pb_ticket again;

static void submit_again(void *arg, const struct pb_result *r) {
  on_done(arg, r);
  fake.mode = AT_ONCE;
  instance_submit(inst, batch, on_done, arg, &again, &err);
}

static void test_chain(void) {
  pb_ticket t;
  begin();
  fake.mode = AT_ONCE;
  instance_submit(inst, batch, submit_again, &done, &t, &err);
  turns(1);
  is_int(done.n, 2, "a completion may submit the next one, which completes in the same turn");
  ok(again != t, "with a ticket of its own");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("a chain");
}

/* --- full, refused, cancelled --- */

static void test_full(void) {
  begin();
  fake.mode = FULL;
  submit_rc(-EAGAIN, "full");
  fake.host->ready(fake.inst);
  fake.host->ready(fake.inst);
  is_int(done.ready, 0, "ready() is put off");
  turns(1);
  is_int(done.ready, 1, "and told once a turn");
  fake.mode = NEVER;
  submit_rc(-EMSGSIZE, "cannot be carried");
  is_str(err.text, "too large for it", "it says why");
  turns(1);
  is_int(done.n, 0, "what was not taken is not completed");
  complete(fake.last, PB_ANSWERED, 200, "x");
  turns(1);
  ok(done.n == 0 && transports_counters(tr).stale_completions == 1,
     "its ticket is stale: a completion is counted, ignored");

  fake.mode = BOTH;
  submit_rc(0, "completed and refused in one: the completion counts");
  turns(1);
  ok(done.n == 1 && done.code == 200, "and comes once");

  fake.host->ready(fake.inst);
  fake.drain_at_once = true;
  instance_close(inst, 1000);
  turns(2);
  is_int(done.ready, 1, "who closes is not told that there is room");
  fake.host->ready(fake.plugin);
  fake.host->drained(fake.plugin);
  turns(1);
  pass("ready() and drained() for a plugin's owner do nothing");
  end("full");
}

/* A text that cannot be kept spoils its own request, not the next one with that ticket's memory. */
static void test_no_memory(void) {
  begin();
  struct pb_result r = result(PB_ANSWERED, 200, "x");
  r.body_len = SIZE_MAX;
  fake.host->complete(fake.inst, submit_rc(0, "taken"), &r);
  turns(1);
  ok(done.n == 1 && done.outcome == PB_GARBLED, "an answer that does not fit into memory");
  complete(submit_rc(0, "taken"), PB_ANSWERED, 200, "fits");
  turns(1);
  ok(done.n == 2 && done.outcome == PB_ANSWERED, "the next one does");
  is_str(done.body, "fits", "with its text");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("no memory");
}

static void test_cancel(void) {
  begin();
  pb_ticket t = submit_rc(0, "taken");
  instance_cancel(inst, t);
  ok(fake.cancels == 1 && fake.cancelled == t, "the transport is asked to cancel");
  turns(1);
  is_int(done.n, 0, "the request ends when the transport says so");
  complete(t, PB_TIMEOUT, 0, NULL);
  instance_cancel(inst, t);
  is_int(fake.cancels, 1, "what is completed is not cancelled");
  turns(1);
  ok(done.n == 1 && done.outcome == PB_TIMEOUT, "the completion comes");
  instance_cancel(inst, t);
  instance_cancel(inst, 0);
  instance_cancel(inst, 12345);
  is_int(fake.cancels, 1, "nor is a stale ticket");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("cancel");
}

/* --- closing --- */

static void test_drain(void) {
  begin();
  pb_ticket t = submit_rc(0, "taken");
  instance_close(inst, 60000);
  is_int(fake.drains, 1, "the transport is asked to drain");
  turns(3);
  is_int(fake.destroyed, 0, "it is not destroyed while a request runs");
  complete(t, PB_ANSWERED, 200, "x");
  turns(1);
  ok(done.n == 1 && fake.destroyed == 0, "the request ends as usual; not yet drained");
  fake.host->drained(fake.inst);
  is_int(fake.destroyed, 0, "drained() is put off");
  turns(1);
  is_int(fake.destroyed, 1, "then it is destroyed");
  end("drained");

  begin(); /* says drained() and the completion in one */
  t = submit_rc(0, "taken");
  instance_close(inst, 60000);
  complete(t, PB_ANSWERED, 200, "x");
  fake.host->drained(fake.inst);
  turns(1);
  ok(done.n == 1 && fake.destroyed == 1, "the completion comes before the end");
  end("at once");

  begin(); /* wrong: drained() with a request on the way */
  t = submit_rc(0, "taken");
  fake.drain_at_once = true;
  instance_close(inst, 60000);
  turns(2);
  is_int(fake.destroyed, 0, "drained() too early: the request is waited for");
  complete(t, PB_ANSWERED, 200, "x");
  turns(2);
  ok(done.n == 1 && fake.destroyed == 1, "then it is destroyed");
  end("too early");
}

static void patience_case(const char *name) {
  begin();
  submit_rc(0, "taken");
  uint64_t start = loop_clock_ms();
  bool complete_in_destroy = !strcmp(name, "completes in destroy()");
  fake.complete_in_destroy = complete_in_destroy;
  fake.drained_in_destroy = !strcmp(name, "drained in destroy()");
  fake.drain_at_once = !strcmp(name, "drained too early");
  instance_close(inst, 60);
  turn_until(&fake.destroyed, 1);
  ok(loop_clock_ms() - start >= 50, "%s: not before its time", name);
  turns(3);
  is_int(fake.destroyed, 1, "%s: destroyed once, under a request that runs", name);
  is_int(done.n, 1, "%s: the request ends, once", name);
  is_int(done.outcome, PB_LOST, "%s: as unknown", name);
  if (!complete_in_destroy) like(done.detail, "closed", "%s: with a reason", name);
  end(name);
}

static void test_patience(void) {
  patience_case("hangs");
  patience_case("completes in destroy()");
  patience_case("drained in destroy()");
  patience_case("drained too early");

  begin(); /* the process stops: nothing is waited for */
  submit_rc(0, "taken");
  instance_close(inst, 60000);
  transports_free(tr);
  ok(done.n == 1 && done.outcome == PB_LOST, "freeing all ends what still runs, as unknown");
  turns(1);
  ok(fake.destroyed == 1 && fake.unloads == 1 && !snapshot.refs, "and closes what still drains");
}

/* --- the other slots of the host table --- */

static unsigned calls;
static int call_fd;
static unsigned call_events;

static void on_io(int fd, unsigned events, void *arg) {
  calls++;
  call_fd = fd;
  call_events = events;
  if (arg) fake.host->io_del(fake.inst, fd); /* from within its own callback */
}

static void on_fn(void *arg) {
  calls++;
  if (arg) fake.host->timer_free(*(struct pb_timer **)arg);
}

static void on_slow(void *arg) {
  struct timespec ts = {.tv_nsec = 70000000};
  (void)arg;
  nanosleep(&ts, NULL);
  calls++;
}

static int child_status;
static void on_child(pid_t pid, int status, void *arg) {
  (void)pid;
  (void)arg;
  child_status = status;
  calls++;
}

static void test_io(void) {
  const struct pb_host *h = fake.host;
  int fds[2];
  char bytes[2];
  if (pipe(fds)) bail_out("pipe");
  calls = 0;
  is_int(h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, NULL), 0, "a descriptor is watched");
  turns(2);
  is_int(calls, 0, "it is not ready");
  if (write(fds[1], "xy", 2) != 2) bail_out("write");
  turns(2);
  ok(calls == 2 && call_fd == fds[0] && call_events == PB_IO_READ,
     "ready: called until it is read");
  is_int(h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, fds), 0, "set again replaces it");
  turns(2);
  is_int(calls, 3, "a callback may end its own watch");
  is_int(h->io_set(fake.inst, fds[1], PB_IO_WRITE, on_io, NULL), 0, "for writing");
  turns(1);
  ok(calls == 4 && call_events == PB_IO_WRITE, "told as writing");
  is_int(h->io_set(fake.inst, fds[1], 0, NULL, NULL), 0, "no events: no watch");
  h->io_del(fake.inst, fds[1]);
  h->io_del(fake.inst, -1);
  h->io_del(fake.inst, 100000);
  turns(1);
  is_int(calls, 4, "ending it twice does nothing");
  is_int(h->io_set(fake.inst, -1, PB_IO_READ, on_io, NULL), -EBADF, "no descriptor");
  int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 500);
  is_int(h->io_set(fake.inst, high, PB_IO_READ, on_io, fds), 0, "a high descriptor");
  turns(1);
  ok(calls == 5 && call_fd == high, "is watched too");
  if (read(fds[0], bytes, 2) != 2) bail_out("read");
  h->io_set(fake.inst, fds[0], PB_IO_READ, on_io, NULL); /* left to transports_free() */
  close(high);
}

/* Two descriptors are ready in one turn; each callback completes a request. */
static unsigned done_before[2], io_n;
static pb_ticket io_ticket[2];
static void on_answer(int fd, unsigned events, void *arg) {
  char byte;
  (void)events;
  (void)arg;
  if (read(fd, &byte, 1) != 1) bail_out("read");
  done_before[io_n] = done.n;
  complete(io_ticket[io_n++], PB_ANSWERED, 200, "read");
  if (done.n != done_before[io_n - 1]) fail("a completion acted within the plugin's callback");
}

static void test_answers(void) {
  int fds[2][2];
  begin();
  fake.mode = TAKE;
  io_n = 0;
  for (int i = 0; i < 2; i++) {
    if (pipe(fds[i]) || write(fds[i][1], "x", 1) != 1) bail_out("pipe");
    io_ticket[i] = submit_rc(0, "a request is taken");
    fake.host->io_set(fake.inst, fds[i][0], PB_IO_READ, on_answer, NULL);
  }
  turns(1);
  is_int(done.n, 2, "two are answered in one turn");
  ok(io_n == 2 && done_before[0] == 0 && done_before[1] == 1,
     "the first is acted on before the second is read: its worker waits");
  for (int i = 0; i < 2; i++) {
    fake.host->io_del(fake.inst, fds[i][0]);
    close(fds[i][0]);
    close(fds[i][1]);
  }
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("answers");
}

static struct pb_pool_load load;
static char load_pool[64];
static void on_load(void *arg, const char *name, const struct pb_pool_load *l) {
  (void)arg;
  load = *l;
  snprintf(load_pool, sizeof load_pool, "%s", name);
}

static void test_figures(void) {
  begin();
  const struct pb_host *h = fake.host;
  char text[512];
  h->metric(fake.inst, JOBS_TOTAL, 2);
  h->metric(fake.inst, JOBS_TOTAL, 3);
  h->metric(fake.inst, HEAT, 21);
  h->metric(fake.inst, HEAT, -4);
  h->metric(fake.pool, CHILDREN, 8);
  ok(instance_figures(inst)[JOBS_TOTAL] == 5, "a counter grows");
  ok(instance_figures(inst)[HEAT] == -4, "a gauge is set");
  is_int(transport_metrics(instance_transport(inst)), 3, "as many as the table has");
  h->metric(fake.inst, JOBS_TOTAL, -1);
  h->metric(fake.inst, CHILDREN, 1);
  h->metric(fake.pool, HEAT, 1);
  h->metric(fake.inst, 3, 1);
  h->metric(fake.plugin, HEAT, 1);
  is_int(transports_counters(tr).stray_figures, 5, "what does not fit is counted");
  ok(instance_figures(inst)[JOBS_TOTAL] == 5 && instance_figures(inst)[HEAT] == -4,
     "and not taken");

  is_int(instance_health(inst, text, sizeof text), PB_HEALTH_DEGRADED, "a topic's health");
  is_str(text, "half of it", "in words");
  struct pool_run *p = transports_pool(tr, NULL);
  ok(p && !transports_pool(tr, p), "one pool is open");
  is_str(pool_run_name(p), "local", "its name");
  ok(pool_run_figures(p)[CHILDREN] == 8 && pool_run_transport(p) == &desc, "its figures");
  is_int(pool_run_health(p, text, sizeof text), PB_HEALTH_OK, "an unknown health is none");
  is_int(strlen(text), sizeof text - 1, "a text without end is ended");

  struct pb_owner *owner = fake.pool;
  struct pool_settings other = pool;
  struct topic_settings changed = topic;
  other.max_connections = 9;
  changed.pool = &other;
  struct instance *second = instance_open(tr, &snapshot, &changed, on_ready, &done, &err);
  ok(second && instance_figures(second)[JOBS_TOTAL] == 0, "a reload's instance begins anew");
  ok(transports_pool(tr, NULL) != p && !transports_pool(tr, transports_pool(tr, NULL)),
     "and the pool that it replaced is not shown");
  struct instance *third = instance_open(tr, &snapshot, &topic, on_ready, &done, &err);
  ok(third && transports_pool(tr, NULL) == p && !transports_pool(tr, p),
     "a reload that goes back to it shows it again, alone");
  transports_on_load(tr, on_load, NULL);
  struct pb_pool_load stale = {.size = sizeof stale, .workers = 1, .idle = 1, .queued = 1};
  h->pool_load(fake.pool, &stale);
  is_str(load_pool, "", "the workers of one that was replaced are not its workers");

  struct pb_pool_load l = {.size = sizeof l, .workers = 8, .idle = 0, .queued = 3};
  h->pool_load(fake.inst, &l);
  is_int(load.workers, 0, "only a pool has a load");
  h->pool_load(owner, &l);
  ok(load.workers == 8 && !load.idle && load.queued == 3, "which is told");
  is_str(load_pool, "local", "with its name");
  l.size = offsetof(struct pb_pool_load, queued);
  h->pool_load(owner, &l);
  is_int(load.queued, -1, "what an older plugin does not have is not known");
  fake.drain_at_once = true;
  instance_close(second, 1000);
  instance_close(third, 1000);
  fake.drain_at_once = false;
  instance_close(inst, 0);
  end("figures");
}

static void test_sign(void) {
  char text[PB_SIGNATURE_MAX] = "?";
  begin();
  is_int(fake.host->sign(fake.inst, "a", 1, text), 0, "without a key nothing is signed");
  is_str(text, "", "and the text is empty");
  instance_close(inst, 0);
  end("no sign");
  topic.signing_key = "0123456789abcdef";
  begin();
  size_t n = fake.host->sign(fake.inst, "a", 1, text);
  ok(n && n == strlen(text) && !strncmp(text, "t=", 2) && strstr(text, ",v2="), "with one it is");
  /* @case X4: bytes of a producer that look like a form are not signed as one */
  char form[PB_SIGNATURE_MAX], copy[PB_SIGNATURE_MAX];
  fake.sign_form = form, fake.sign_copy = copy;
  pb_ticket signed_one = submit_rc(0, "a request");
  fake.sign_form = fake.sign_copy = NULL;
  ok(strstr(form, ",v2=") && strcmp(form, copy) != 0, "a form is known by its address");
  complete(signed_one, PB_ANSWERED, 200, "");
  turns(1);
  topic.signing_version = SIGNING_V1;
  fake.host->sign(fake.inst, "a", 1, text);
  ok(strstr(text, ",v1=") != NULL, "the old form where the topic says so");
  topic.signing_version = SIGNING_V2;
  is_int(fake.host->sign(fake.pool, "a", 1, text), 0, "a pool has no key");
  instance_close(inst, 0);
  end("sign");
  topic.signing_key = "";
}

/* The parts of test_host(). */

static void table_is_whole(const struct pb_host *h) {
  ok(h->size == sizeof *h && h->abi_major == PB_ABI_MAJOR && h->abi_minor == PB_ABI_MINOR,
     "the table says what it is");
  ok(PB_HAS(h, child_unwatch), "and has its last slot");
  bool whole = true; /* no slot was forgotten */
  for (size_t at = offsetof(struct pb_host, log); at < sizeof *h; at += sizeof(void (*)(void))) {
    static const char none[sizeof(void (*)(void))];
    whole &= memcmp((const char *)h + at, none, sizeof none) != 0;
  }
  ok(whole, "every slot is filled");
}

static void timers(const struct pb_host *h) {
  calls = 0;
  struct pb_timer *t = h->timer_new(fake.inst, on_fn, &t),
                  *u = h->timer_new(fake.inst, on_fn, NULL);
  h->timer_start(t, 0);
  h->timer_start(u, 5);
  h->timer_stop(u);
  turn_until(&calls, 1);
  is_int(calls, 1, "a timer may be freed in its own callback; a stopped one is not called");
  h->timer_free(u);
  h->timer_free(NULL);
  turns(1);
}

static void posts_and_children(const struct pb_host *h) {
  calls = 0;
  h->post(fake.inst, on_fn, NULL);
  is_int(calls, 0, "post() does not call at once");
  turn_until(&calls, 1);
  is_int(calls, 1, "but later");

  pid_t pid = fork();
  if (!pid) _exit(9);
  is_int(h->child_watch(fake.inst, pid, on_child, NULL), 0, "a child is watched");
  turn_until(&calls, 2);
  is_int(WEXITSTATUS(child_status), 9, "its end is told");
  unsigned before = calls;
  pid = fork();
  if (!pid) _exit(9);
  is_int(h->child_watch(fake.inst, pid, on_child, NULL), 0, "another");
  h->child_unwatch(fake.inst, pid);
  uint64_t until = loop_clock_ms() + WAIT_MS;
  while (!kill(pid, 0) && loop_clock_ms() < until) loop_turn(loop, 20);
  ok(kill(pid, 0) && calls == before, "one that is not watched any more is reaped unheard");
}

static void slow_calls_and_time(const struct pb_host *h) {
  uint64_t slow = transports_counters(tr).slow_calls;
  calls = 0;
  struct pb_timer *t = h->timer_new(fake.inst, on_slow, NULL);
  h->timer_start(t, 0);
  turn_until(&calls, 1);
  ok(transports_counters(tr).slow_calls > slow, "a call that blocks is counted");
  h->timer_free(t);
  uint64_t now = loop_clock_ms();
  turns(1);
  ok(h->now_ms(fake.inst) >= now && h->now_ms(fake.inst) <= loop_clock_ms(), "the time");
  h->log(fake.inst, PB_LOG_INFO, "a line with %d in it", 7);
}

static void batches(const struct pb_host *h) {
  char content[] = "abc";
  struct job jobs[2] = {{.id = 42, .content = content, .content_len = 3, .failed = 2},
                        {.id = 43, .content = "\0", .content_len = 1}};
  struct pb_batch *b = batch_new(2);
  size_t len;
  b->type = PB_BATCH_DATA;
  b->topic = &topic;
  b->deadline_ms = 777;
  strcpy(b->trace, "1-2-3");
  batch_push(b, &jobs[0]);
  batch_push(b, &jobs[1]);
  is_int(h->batch_type(b), PB_BATCH_DATA, "a batch's type");
  is_int(h->batch_count(b), 2, "count");
  is_int(h->batch_deadline_ms(b), 777, "deadline");
  is_str(h->batch_trace(b), "1-2-3", "trace");
  is_str(h->job_id(b, 1), "43", "a job's id");
  const void *body = h->job_body(b, 0, &len);
  is_mem(body, len, "abc", 3, "its body");
  body = h->job_body(b, 1, &len);
  is_mem(body, len, "\0", 1, "and another's, byte for byte");
  ok(h->job_attempt(b, 0) == 3 && h->job_attempt(b, 1) == 1, "attempts count from 1");
  ok(h->batch_form(b, &len) && len && h->batch_json(b, &len) && len, "its texts");
  body = h->job_body(b, 0, &len);
  b->n = 0; /* its deadline: the jobs go, the request goes on */
  memset(content, 0, sizeof content);
  is_mem(body, len, "abc", 3, "a body outlives its job");
  h->job_body(b, 0, &len);
  is_int(len, 0, "which cannot be asked for any more");
  batch_reset(b);
  jobs[0].content = "";
  jobs[0].content_len = 0;
  batch_push(b, &jobs[0]);
  batch_push(b, &jobs[1]);
  body = h->job_body(b, 0, &len);
  is_mem(body, len, "", 0, "an empty body is empty, not missing");
  body = h->job_body(b, 1, &len);
  is_mem(body, len, "\0", 1, "and its neighbour's is its own");
  batch_free(b);
}

static void test_host(void) {
  begin();
  table_is_whole(fake.host);
  test_io();
  timers(fake.host);
  posts_and_children(fake.host);
  slow_calls_and_time(fake.host);
  batches(fake.host);
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("the host");
}

int main(void) {
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  logger = log_new(null);
  loop = loop_new(logger);
  batch = batch_new(1);
  if (!loop || !batch) bail_out("no loop");
  batch->type = PB_BATCH_PING;
  batch->topic = &topic;
  test_life();
  test_refusals();
  test_no_pools();
  test_complete();
  test_many();
  test_chain();
  test_full();
  test_no_memory();
  test_cancel();
  test_drain();
  test_patience();
  test_answers();
  test_figures();
  test_sign();
  test_host();
  batch_free(batch);
  loop_free(loop);
  log_free(logger);
  close(null);
  return done_testing();
}
