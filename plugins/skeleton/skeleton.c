/* A transport to start from: run type "skeleton", which answers every batch with 200 by itself
 * after a short while. It is compiled and tested with the broker, and never installed.
 *
 * To make your own: copy this file as NAME.c, rename the run type and the module in the last
 * line, build it with
 *
 *   cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags pepperbus) -Wl,-z,defs
 *      -Wl,-z,now -o NAME.so NAME.c
 *
 * try it with `pepperbus-plugin-check NAME.so`, and put it into plugin_dir. doc/plugin-guide.md
 * walks through that; the rules stand in <pepperbus/transport.h>. The short form:
 * never block; complete each ticket that submit() took exactly once, also after cancel(); keep
 * all state behind the pointers that load(), pool_open() and create() return.
 */
#include <pepperbus/transport.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The keys of [pool] and [topic] sections, filled by the host before pool_open() and create(). */
struct pool_conf {
  uint64_t delay_ms;
};

struct topic_conf {
  const char *entry;
};

struct plugin {
  const struct pb_host *h;
  struct pb_owner *o;
};

struct pool {
  struct plugin *plugin;
  const struct pool_conf *conf; /* host-owned until pool_close() */
};

struct instance;

/* One batch that submit() took. */
struct request {
  struct request *next, **prev; /* the instance's list */
  struct instance *in;
  pb_ticket ticket;
  struct pb_timer *timer; /* stands for the answer of a worker */
};

struct instance {
  struct pool *pool;
  struct pb_owner *o; /* host-owned until destroy() */
  struct request *requests;
  bool draining;
  unsigned running;
  char path[260]; /* "queue/topic" */
};

static const struct pb_option pool_options[] = {{.name = "delay",
                                                 .type = PB_OPT_DURATION,
                                                 .offset = offsetof(struct pool_conf, delay_ms),
                                                 .max = 60000,
                                                 .def = "1ms",
                                                 .help = "How long the imaginary worker takes."},
                                                {0}};

static const struct pb_option topic_options[] = {{.name = "entry",
                                                  .type = PB_OPT_STRING,
                                                  .offset = offsetof(struct topic_conf, entry),
                                                  .help = "Not used."},
                                                 {0}};

/* The indexes are metric()'s. */
enum { ANSWERED_TOTAL };
static const struct pb_metric metrics[] = {
    [ANSWERED_TOTAL] = {"answered_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                        "Requests that the imaginary worker answered."},
    {0}};

/* --- requests --- */

static void request_free(struct request *r) {
  r->in->running--;
  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  r->in->pool->plugin->h->timer_free(r->timer);
  free(r);
}

/* The one place where a ticket ends. */
static void request_end(struct request *r, enum pb_outcome outcome) {
  struct instance *in = r->in;
  const struct pb_host *h = in->pool->plugin->h;
  struct pb_result result = {.size = sizeof result, .outcome = outcome};

  if (outcome == PB_ANSWERED) {
    result.code = 200;
    result.topics = in->path; /* a real worker says itself which topics it serves */
    result.body = "done";
    result.body_len = 4;
    h->metric(in->o, ANSWERED_TOTAL, 1);
  } else {
    result.detail = "cancelled";
    result.detail_len = 9;
  }
  h->complete(in->o, r->ticket, &result);
  request_free(r);
  if (in->draining && !in->requests) h->drained(in->o);
}

static void request_on_timer(void *arg) {
  request_end(arg, PB_ANSWERED);
}

static int skeleton_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  const struct pb_host *h = in->pool->plugin->h;
  struct request *r = calloc(1, sizeof *r);

  (void)b; /* a real one sends h->batch_form(b) or h->batch_json(b) to its worker here */
  if (r) r->timer = h->timer_new(in->o, request_on_timer, r);
  if (!r || !r->timer) {
    free(r);
    snprintf(err->text, sizeof err->text, "no memory for the request");
    return -ENOMEM;
  }
  r->in = in;
  r->ticket = t;
  r->next = in->requests;
  r->prev = &in->requests;
  if (r->next) r->next->prev = &r->next;
  in->requests = r;
  in->running++;
  h->timer_start(r->timer, in->pool->conf->delay_ms);
  return 0;
}

static void skeleton_cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;

  for (struct request *r = in->requests; r; r = r->next) {
    if (r->ticket != t) continue;
    /* This worker stops when told. One that goes on is completed when it is free again: until
     * then the host counts its slot as taken. */
    request_end(r, PB_TIMEOUT);
    return;
  }
}

/* --- instances, pools, the plugin --- */

static int skeleton_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                           const void *conf, void **ret_inst, struct pb_err *err) {
  struct instance *in = calloc(1, sizeof *in);

  (void)conf;
  if (!in) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  in->pool = pool;
  in->o = o;
  snprintf(in->path, sizeof in->path, "%s/%s", topic->queue, topic->topic);
  *ret_inst = in;
  return 0;
}

static void skeleton_drain(void *inst) {
  struct instance *in = inst;

  in->draining = true;
  if (!in->requests) in->pool->plugin->h->drained(in->o);
}

static void skeleton_destroy(void *inst) {
  struct instance *in = inst;

  while (in->requests) request_free(in->requests); /* by force: not a word about these */
  free(in);
}

/* One sentence, when somebody looks. */
static int skeleton_health(void *inst, char *ret, size_t size) {
  const struct instance *in = inst;

  snprintf(ret, size, "%u requests wait for the imaginary worker", in->running);
  return PB_HEALTH_OK;
}

static int skeleton_pool_health(void *pool, char *ret, size_t size) {
  (void)pool; /* a real one tells how many connections it has, or why it has none */
  snprintf(ret, size, "the imaginary worker is well");
  return PB_HEALTH_OK;
}

/* What no single key can say: here, that the worker is faster than the topic's timeout. */
static int skeleton_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                                const void *topic_conf, struct pb_err *err) {
  const struct pool_conf *pool = pool_conf;

  (void)topic_conf;
  if (!pool || pool->delay_ms < topic->timeout_ms) return 0;
  snprintf(err->option, sizeof err->option, "timeout");
  snprintf(err->text, sizeof err->text,
           "the pool's delay is %llu ms, so every request would time out; make timeout longer",
           (unsigned long long)pool->delay_ms);
  return -EINVAL;
}

static int skeleton_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                              struct pb_err *err) {
  struct pool *p = calloc(1, sizeof *p);

  (void)o;
  if (!p) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  p->plugin = plugin;
  p->conf = conf;
  *ret_pool = p;
  return 0;
}

static void skeleton_pool_close(void *pool) {
  free(pool);
}

static int skeleton_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                         struct pb_err *err) {
  struct plugin *pl = calloc(1, sizeof *pl);

  if (!pl) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  pl->h = h;
  pl->o = o;
  *ret_plugin = pl;
  return 0;
}

static void skeleton_unload(void *plugin) {
  free(plugin);
}

static const struct pb_transport transport = {
    .magic = PB_MAGIC,
    .size = sizeof(struct pb_transport),
    .abi_major = PB_ABI_MAJOR,
    .abi_minor = PB_ABI_MINOR,
    .option_size = sizeof(struct pb_option),
    .run_type = "skeleton",
    .name = "skeleton",
    .version = "1.0",
    .summary = "answers by itself; a template for authors of transports",
    .caps = PB_CAP_CHUNK,
    .pool_options = pool_options,
    .pool_conf_size = sizeof(struct pool_conf),
    .topic_options = topic_options,
    .topic_conf_size = sizeof(struct topic_conf),
    .load = skeleton_load,
    .unload = skeleton_unload,
    .pool_open = skeleton_pool_open,
    .pool_close = skeleton_pool_close,
    .create = skeleton_create,
    .submit = skeleton_submit,
    .cancel = skeleton_cancel,
    .drain = skeleton_drain,
    .destroy = skeleton_destroy,
    .metrics = metrics,
    .metric_size = sizeof(struct pb_metric),
    .check_topic = skeleton_check_topic,
    .health = skeleton_health,
    .pool_health = skeleton_pool_health,
};

PB_TRANSPORT(skeleton, transport)
