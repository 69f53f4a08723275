/* What the tests of the core's side of the plugin interface share: a transport that lives in this
 * file and does what it is told, wrong things included, and an instance of it.
 */
#ifndef PB_TESTS_TRANSPORT_FIXTURE_H
#define PB_TESTS_TRANSPORT_FIXTURE_H

#include "base/log.h"
#include "event/loop.h"
#include "transport/batch.h"
#include "transport/transport.h"

#include <errno.h>
#include <unistd.h>

#include "tap.h"

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

static TAP_UNUSED struct pb_result result(uint32_t outcome, int code, const char *body) {
  return (struct pb_result){.size = sizeof(struct pb_result),
                            .outcome = outcome,
                            .code = code,
                            .body = body,
                            .body_len = body ? strlen(body) : 0};
}

static TAP_UNUSED void complete(pb_ticket t, uint32_t outcome, int code, const char *body) {
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

static FILE *said; /* the log */
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

static TAP_UNUSED void on_ready(void *arg) {
  ((struct done *)arg)->ready++;
}

static TAP_UNUSED pb_ticket submit_rc(int want, const char *name) {
  pb_ticket t = 0;
  err = (struct pb_err){0};
  submitting = true;
  int rc = instance_submit(inst, batch, on_done, &done, &t, &err);
  submitting = false;
  is_int(rc, want, "%s", name);
  return t;
}

static TAP_UNUSED void turns(int n) {
  while (n--) loop_turn(loop, 0);
}

static TAP_UNUSED void turn_until(const unsigned *counter, unsigned want) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (*counter < want && loop_clock_ms() < end) loop_turn(loop, 50);
}

/* How often the log says `text` since begin(); it holds back what it said often already. */
static TAP_UNUSED unsigned logged(const char *text) {
  char line[1024];
  unsigned n = 0;
  rewind(said);
  while (fgets(line, sizeof line, said)) n += strstr(line, text) != NULL;
  return n;
}
#define STALE "the transport completed a request that is not running; ignored"

static TAP_UNUSED void loop_begin(void) {
  if (!(said = tmpfile())) bail_out("tmpfile: %m");
  logger = log_new(fileno(said));
  loop = loop_new(logger);
  if (!loop) bail_out("no loop");
}

static TAP_UNUSED void loop_end(void) {
  loop_free(loop);
  log_free(logger);
  fclose(said);
}

static TAP_UNUSED void begin(void) {
  loop_begin();
  fake = (struct fake){.host = fake.host};
  done = (struct done){0};
  tr = transports_new(loop);
  inst = tr ? instance_open(tr, &snapshot, &topic, on_ready, &done, &err) : NULL;
  if (!inst) bail_out("no instance: %s", err.text);
}

/* Everything that was opened is closed, once. */
static TAP_UNUSED void end(const char *name) {
  transports_free(tr);
  turns(1);
  loop_end();
  ok(fake.destroyed == fake.created && fake.pools_closed == fake.pools &&
         fake.unloads == fake.loads && !snapshot.refs,
     "%s: all is closed once", name);
}

static void world_begin(void) {
  batch = batch_new(1);
  if (!batch) bail_out("no memory");
  batch->type = PB_BATCH_PING;
  batch->topic = &topic;
}

static int world_end(void) {
  batch_free(batch);
  return done_testing();
}

#endif
