/* The transport of run types "exec" and "pull": workers are programs of this machine.
 *
 * This file has the two descriptors, their keys, and the common part of instances. once.c,
 * resident.c and pull.c have the modes.
 */
#include "command.h"
#include "common/fault.h"
#include "launch.h"
#include "mode.h"
#include "spawner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "1.0"
#endif

#define MAX_OUTPUT_MIN 1024

#define OF(member) offsetof(struct exec_conf, member)

/* --- keys --- */

#define COMMON_OPTIONS                                                                             \
  {.name = "directory",                                                                            \
   .type = PB_OPT_STRING,                                                                          \
   .flags = PB_OPT_LOCAL,                                                                          \
   .offset = OF(directory),                                                                        \
   .help = "Working directory, an absolute path. Default: the broker's."},                         \
      {.name = "env",                                                                              \
       .type = PB_OPT_LIST,                                                                        \
       .offset = OF(env),                                                                          \
       .help = "Environment variables as NAME=value, beside PATH, HOME, LANG and the broker's "    \
               "own; nothing else is inherited."},                                                 \
      {.name = "env_file",                                                                         \
       .type = PB_OPT_STRING,                                                                      \
       .flags = PB_OPT_LOCAL,                                                                      \
       .offset = OF(env_file),                                                                     \
       .help = "File with further variables, NAME=value lines, for secrets: an absolute path."},   \
      {.name = "user",                                                                             \
       .type = PB_OPT_STRING,                                                                      \
       .flags = PB_OPT_LOCAL,                                                                      \
       .offset = OF(user),                                                                         \
       .help = "User that the worker runs as, with the groups of that user. Only if the broker "   \
               "runs as root."},                                                                   \
      {.name = "group",                                                                            \
       .type = PB_OPT_STRING,                                                                      \
       .flags = PB_OPT_LOCAL,                                                                      \
       .offset = OF(group),                                                                        \
       .help = "Group that the worker runs as. Default: the group of the user."},                  \
      {.name = "umask",                                                                            \
       .type = PB_OPT_STRING,                                                                      \
       .offset = OF(umask),                                                                        \
       .help = "Umask in octal, such as 027. Default: the broker's."},                             \
      {.name = "nice",                                                                             \
       .type = PB_OPT_INT,                                                                         \
       .offset = OF(nice),                                                                         \
       .min = -20,                                                                                 \
       .max = 19,                                                                                  \
       .def = "0",                                                                                 \
       .help = "Niceness; 10 lets everything else on the machine go first."},                      \
      {.name = "limit_cpu",                                                                        \
       .type = PB_OPT_DURATION,                                                                    \
       .offset = OF(limit_cpu_ms),                                                                 \
       .def = "0",                                                                                 \
       .help = "CPU time of one process, in whole seconds; over it, it is killed. 0: no limit."},  \
      {.name = "limit_memory",                                                                     \
       .type = PB_OPT_SIZE,                                                                        \
       .offset = OF(limit_memory),                                                                 \
       .def = "0",                                                                                 \
       .help = "Address space of one process. 0: no limit."},                                      \
      {.name = "limit_file_size",                                                                  \
       .type = PB_OPT_SIZE,                                                                        \
       .offset = OF(limit_file_size),                                                              \
       .def = "0",                                                                                 \
       .help = "Size of any file that the worker writes. 0: no limit."},                           \
      {.name = "limit_open_files",                                                                 \
       .type = PB_OPT_INT,                                                                         \
       .offset = OF(limit_open_files),                                                             \
       .max = 1048576,                                                                             \
       .def = "0",                                                                                 \
       .help = "Descriptors of one process. 0: the broker's own limit."},                          \
      {.name = "limit_processes",                                                                  \
       .type = PB_OPT_INT,                                                                         \
       .offset = OF(limit_processes),                                                              \
       .max = 4194304,                                                                             \
       .def = "0",                                                                                 \
       .help = "Processes and threads of the worker's user, all of them counted. It does not "     \
               "bind root. 0: the broker's own limit."},                                           \
  {                                                                                                \
    .name = "kill_after", .type = PB_OPT_DURATION, .offset = OF(kill_after_ms), .min = 1,          \
    .max = 3600000, .def = "3s",                                                                   \
    .help = "Time from SIGTERM to SIGKILL. Both go to the whole process group."                    \
  }

#define RESTART_OPTION(who)                                                                        \
  {                                                                                                \
    .name = "restart_backoff", .type = PB_OPT_RANGE, .offset = OF(restart), .min = 1,              \
    .max = 3600000, .def = "100ms..30s",                                                           \
    .help = who " before a process that failed is started again, from..to: doubled each "          \
                "time until one is of use."                                                        \
  }

static const struct pb_option exec_options[] = {
    {.name = "entry",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_REQUIRED | PB_OPT_LOCAL,
     .offset = OF(entry),
     .help = "The worker: a command line, split into words with quotes and backslashes; no shell "
             "runs. The program's absolute path, or a name that is looked for in PATH."},
    {.name = "resident",
     .type = PB_OPT_BOOL,
     .offset = OF(resident),
     .def = "no",
     .help = "yes: `workers` processes stay, and get a line of JSON for each request. no: one "
             "process for each request."},
    {.name = "ping",
     .type = PB_OPT_BOOL,
     .offset = OF(ping),
     .def = "no",
     .help = "Not resident: yes runs the command with PEPPERBUS_TYPE=ping to ask whether it serves "
             "the topic; no only looks whether the program is there."},
    {.name = "max_requests",
     .type = PB_OPT_INT,
     .offset = OF(max_requests),
     .max = 1000000000,
     .def = "0",
     .help = "Resident: a process is replaced after so many requests. 0: never."},
    {.name = "max_output",
     .type = PB_OPT_SIZE,
     .offset = OF(max_output),
     .min = MAX_OUTPUT_MIN,
     .max = 1024 * 1024 * 1024,
     .def = "1mb",
     .help = "How much of the end of standard output is kept. Resident: the longest line."},
    RESTART_OPTION("Resident: pause"),
    COMMON_OPTIONS,
    {0}};

static const struct pb_option pull_options[] = {
    {.name = "entry",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = OF(entry),
     .help = "Empty: workers come by themselves, and the broker starts none. Else the worker: a "
             "command line as for exec. %q, %t, %h and %p stand for queue, topic, host and port, "
             "%% for a percent sign. %a is the password; every user of the machine can see it "
             "there. The environment has the password, too."},
    {.name = "connect",
     .type = PB_OPT_STRING,
     .offset = OF(connect),
     .help = "HOST:PORT of the broker. Empty: the first HOST:PORT of the server's `listen`."},
    {.name = "pull_password",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_SECRET,
     .offset = OF(pull_password),
     .help =
         "Password of the topic or queue, plain. The worker gets it in the environment variables "
         "PEPPERBUS_PASSWORD and REDISCLI_AUTH. PEPPERBUS_PASSWORD=... in env_file does the same."},
    RESTART_OPTION("Pause"),
    COMMON_OPTIONS,
    {0}};

static int exec_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  (void)pool_conf;
  return topic_conf ? launch_check(topic_conf, err) : 0;
}

static int pull_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct exec_conf *conf = topic_conf;
  char **words;
  int rc;

  (void)pool_conf;
  if (!conf) return 0;
  if (!conf->entry || !*conf->entry) /* the core serves these itself and does not ask */
    return fault(err, "entry", "the value is missing");
  rc = launch_check(conf, err);
  if (rc == 0) rc = command_split(conf->entry, &words, err);
  if (rc < 0) return rc;
  rc = command_fill(words, &(struct command_values){"q", "t", "h", "p", "a"}, err);
  command_free(words);
  if (rc < 0) snprintf(err->option, sizeof err->option, "entry");
  return rc;
}

static int exec_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                            const void *topic_conf, struct pb_err *err) {
  const struct exec_conf *conf = topic_conf;

  (void)topic, (void)pool_conf;
  if (conf->resident && conf->ping)
    return fault(err, "ping", "resident processes are always asked; leave ping out");
  if (!conf->resident && conf->max_requests)
    return fault(err, "max_requests",
                 "only resident processes serve more than one request; write resident = yes or "
                 "leave it out");
  return launch_check_names(conf, err);
}

static int pull_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                            const void *topic_conf, struct pb_err *err) {
  int rc = launch_check_address(topic_conf, topic, err);

  (void)pool_conf;
  return rc < 0 ? rc : launch_check_names(topic_conf, err);
}

static const struct pb_metric metrics[] = {
    [METRIC_SPAWNED] = {"spawned_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                        "Processes that were started."},
    [METRIC_RESTARTS] = {"restarts_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                         "Processes that were started in the place of one that had ended."},
    [METRIC_KILLED] = {"killed_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                       "Processes that did not end by themselves and were killed."},
    [METRIC_NOISE] = {"noise_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                      "Lines of resident processes that were no answer."},
    [METRIC_PROCESSES] = {"processes", PB_METRIC_GAUGE, PB_SCOPE_TOPIC, "Processes that run now."},
    {0}};

/* --- instances --- */

static void exec_destroy(void *inst) {
  struct instance *in = inst;

  if (!in) return;
  in->mode->destroy(in);
  launch_unref(in->launch);
  free(in);
}

static int instance_new(const struct mode *mode, unsigned flags, struct plugin *plugin,
                        struct pb_owner *o, const struct pb_topic_info *topic,
                        const struct exec_conf *conf, void **ret, struct pb_err *err) {
  struct instance *in = calloc(1, mode->size);
  int rc;

  if (!in) return fault_memory(err);
  *in = (struct instance){.mode = mode, .plugin = plugin, .o = o, .topic = topic, .conf = conf};
  snprintf(in->path, sizeof in->path, "%s/%s", topic->queue, topic->topic);
  rc = launch_new(topic, conf, flags, &in->launch, err);
  if (rc < 0) {
    free(in);
    return rc;
  }
  if (launch_exposed(in->launch))
    plugin->h->log(o, PB_LOG_WARNING, "everybody on this machine can read %s; chmod o-r it",
                   conf->env_file);
  rc = mode->start(in, err);
  if (rc < 0) {
    exec_destroy(in);
    return rc;
  }
  *ret = in;
  return 0;
}

static int exec_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret_inst, struct pb_err *err) {
  const struct exec_conf *c = conf;

  return instance_new(c->resident ? &mode_resident : &mode_once, 0, pool, o, topic, c, ret_inst,
                      err);
}

static int pull_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret_inst, struct pb_err *err) {
  const struct exec_conf *c = conf;
  struct plugin *plugin = pool;

  if (command_shows_password(c->entry))
    plugin->h->log(o, PB_LOG_WARNING,
                   "entry has %%a: every user of this machine can read the password on the command "
                   "line; the worker finds it in PEPPERBUS_PASSWORD too");
  if (!launch_listened(c, topic))
    plugin->h->log(o, PB_LOG_WARNING,
                   "connect = %s, and the broker listens at no such port; without connect the "
                   "workers go where it does",
                   c->connect);
  return instance_new(&mode_pull, LAUNCH_PULL, plugin, o, topic, c, ret_inst, err);
}

static int exec_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;

  return in->mode->submit(in, b, t, err);
}

static void exec_cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;

  in->mode->cancel(in, t);
}

static void exec_drain(void *inst) {
  struct instance *in = inst;

  in->mode->drain(in);
}

static int exec_health(void *inst, char *ret, size_t size) {
  struct instance *in = inst;

  return in->mode->health(in, ret, size);
}

/* --- pools, the plugin --- */

/* A pool has no state here: the core counts its max_connections. */
static int exec_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                          struct pb_err *err) {
  (void)o, (void)conf, (void)err;
  *ret_pool = plugin;
  return 0;
}

static void exec_pool_close(void *pool) {
  (void)pool;
}

static int exec_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                     struct pb_err *err) {
  struct plugin *p = calloc(1, sizeof *p);

  if (p) p->scratch = malloc(SCRATCH_SIZE);
  if (p) p->spawner = spawner_new(h, o);
  if (!p || !p->scratch || !p->spawner) {
    if (p) spawner_free(p->spawner);
    if (p) free(p->scratch);
    free(p);
    return fault_memory(err);
  }
  p->h = h;
  p->o = o;
  *ret_plugin = p;
  return 0;
}

static void exec_unload(void *plugin) {
  struct plugin *p = plugin;

  spawner_free(p->spawner);
  free(p->scratch);
  free(p);
}

#define COMMON_MEMBERS                                                                             \
  .magic = PB_MAGIC, .size = sizeof(struct pb_transport), .abi_major = PB_ABI_MAJOR,               \
  .abi_minor = PB_ABI_MINOR, .option_size = sizeof(struct pb_option), .version = PACKAGE_VERSION,  \
  .topic_conf_size = sizeof(struct exec_conf), .load = exec_load, .unload = exec_unload,           \
  .pool_open = exec_pool_open, .pool_close = exec_pool_close, .submit = exec_submit,               \
  .cancel = exec_cancel, .drain = exec_drain, .destroy = exec_destroy, .metrics = metrics,         \
  .metric_size = sizeof(struct pb_metric), .health = exec_health

static const struct pb_transport pull = {
    COMMON_MEMBERS,
    .run_type = "pull",
    .name = "pull",
    .summary = "keeps processes alive that take their jobs themselves (RPOP)",
    .caps = PB_CAP_PULL,
    .topic_options = pull_options,
    .check = pull_check,
    .check_topic = pull_check_topic,
    .create = pull_create,
};

static const struct pb_transport exec = {
    COMMON_MEMBERS,
    .run_type = "exec",
    .name = "exec",
    .summary = "runs commands: one process for each request, or processes that stay",
    .caps = PB_CAP_CHUNK,
    .topic_options = exec_options,
    .check = exec_check,
    .check_topic = exec_check_topic,
    .create = exec_create,
    .next = &pull,
};

PB_TRANSPORT(exec, exec)
