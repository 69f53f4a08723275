/* The transport of run type "null": says 200 to every batch within submit(). So what a drain
 * through it costs is the broker, Redis and the plugin interface, and no worker. For measurement
 * alone.
 */
#include <pepperbus/transport.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct plugin {
  const struct pb_host *h;
};

struct instance {
  const struct pb_host *h;
  struct pb_owner *o;
  char path[260]; /* "queue/topic" */
};

static int null_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                     struct pb_err *err) {
  struct plugin *p = malloc(sizeof *p);

  (void)o;
  if (!p) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  p->h = h;
  *ret_plugin = p;
  return 0;
}

static int null_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                          struct pb_err *err) {
  (void)o, (void)conf, (void)err;
  *ret_pool = plugin;
  return 0;
}

static void null_pool_close(void *pool) {
  (void)pool;
}

static int null_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret_inst, struct pb_err *err) {
  struct instance *in = malloc(sizeof *in);

  (void)conf;
  if (!in) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  in->h = ((struct plugin *)pool)->h;
  in->o = o;
  snprintf(in->path, sizeof in->path, "%s/%s", topic->queue, topic->topic);
  *ret_inst = in;
  return 0;
}

static int null_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  struct pb_result r = {.size = sizeof r, .outcome = PB_ANSWERED, .code = 200, .topics = in->path};

  (void)b, (void)err;
  in->h->complete(in->o, t, &r);
  return 0;
}

static void null_cancel(void *inst, pb_ticket t) {
  (void)inst, (void)t; /* every ticket is completed already */
}

static void null_drain(void *inst) {
  struct instance *in = inst;

  in->h->drained(in->o);
}

static const struct pb_transport null_transport = {.magic = PB_MAGIC,
                                                   .size = sizeof(struct pb_transport),
                                                   .abi_major = PB_ABI_MAJOR,
                                                   .abi_minor = PB_ABI_MINOR,
                                                   .option_size = sizeof(struct pb_option),
                                                   .run_type = "null",
                                                   .name = "null",
                                                   .version = "1",
                                                   .summary = "no worker at all, for measurement",
                                                   .caps = PB_CAP_CHUNK,
                                                   .load = null_load,
                                                   .unload = free,
                                                   .pool_open = null_pool_open,
                                                   .pool_close = null_pool_close,
                                                   .create = null_create,
                                                   .submit = null_submit,
                                                   .cancel = null_cancel,
                                                   .drain = null_drain,
                                                   .destroy = free};

PB_TRANSPORT(null, null_transport)
