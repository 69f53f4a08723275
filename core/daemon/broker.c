/* Owns the assembly of the broker and its life from start to stop. The assembly reads like the way
 * of a job.
 */
#include "daemon/broker.h"

#include "acts/act.h"
#include "alerts/alerts.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "control/control.h"
#include "control/text.h"
#include "daemon/account_source.h"
#include "daemon/descriptors.h"
#include "daemon/gateway.h"
#include "daemon/notify.h"
#include "daemon/orphans.h"
#include "daemon/private.h"
#include "daemon/reload.h"
#include "daemon/shutdown.h"
#include "daemon/state_dir.h"
#include "dispatch/dispatcher.h"
#include "event/loop.h"
#include "event/memory.h"
#include "history/history.h"
#include "intake/intake.h"
#include "intake/listener.h"
#include "metrics/metrics.h"
#include "registry/registry.h"
#include "transport/plugin_loader.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

/* --- signals --- */

static void on_stop(int signo, void *arg) {
  struct broker *b = arg;
  (void)signo;
  if (b->view.stopping)
    shutdown_now(b->shutdown);
  else
    b->shutdown = shutdown_begin(b);
}

/* Each line of a text is one line of the log. A line that begins with "warning: " is logged as a
 * warning. */
static void log_lines(struct log *log, enum pb_log_level level, char *text) {
  static const char warning[] = "warning: ";
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    bool mild = !strncmp(line, warning, sizeof warning - 1);
    if (mild) line += sizeof warning - 1;
    log_write(log, mild ? PB_LOG_WARNING : level, NULL, "%s", line);
  }
}

static void on_reloaded(void *arg, int rc, const char *text) {
  struct broker *b = arg;
  char *lines = strdup(text);
  if (lines) log_lines(b->view.log, rc ? PB_LOG_ERROR : PB_LOG_WARNING, lines);
  free(lines);
  if (rc)
    log_error(b->view.log, NULL,
              "the configuration was not reloaded: the old one stays in effect; correct the faults "
              "above and send HUP again");
  else
    log_info(b->view.log, NULL, "configuration reloaded from %s", b->view.config_file);
  notify_tell(
      b->notify, "STATUS=%s",
      rc ? "the configuration was not reloaded, the old one stays in effect; the log says why"
         : "configuration reloaded");
}

static void on_reload(int signo, void *arg) {
  struct broker *b = arg;
  (void)signo;
  reload_ask(b->reload, on_reloaded, b);
}

/* --- storages --- */

static void on_storage_ready(void *arg) {
  struct broker *b = arg;
  size_t n;
  uint64_t mark = 0;
  struct store *const *stores = registry_stores(b->view.registry, &n);
  for (size_t i = 0; i < n; i++)
    if (store_id_mark(stores[i]) > mark) mark = store_id_mark(stores[i]);
  intake_start_ids(b->view.intake, registry_shard(b->view.registry), mark);
  intake_go_on(b->view.intake);
}

static void on_act(void *arg, struct store *s, const char *id) {
  struct broker *b = arg;
  acts_found(b->view.acts, s, id);
}

static void on_topic_gone(void *arg, struct topic *t) {
  struct broker *b = arg;
  if (b->view.history) history_topic_gone(b->view.history, t);
}

static void on_shared(void *arg, struct store *s, enum store_shared_event event, const char *id) {
  struct broker *b = arg;
  if (b->view.control) control_news(b->view.control, s, event, id);
  if (b->view.accounts && s == control_store(b->view.control))
    accounts_news(b->view.accounts, event, id);
}

static uint64_t on_last_id(void *arg) {
  struct broker *b = arg;
  return b->view.intake ? intake_last_id(b->view.intake) : 0;
}

static void on_name_taken(void *arg, const char *why) {
  struct broker *b = arg;
  log_error(b->view.log, NULL,
            "%s; stopping, since two nodes with one name would run each other's jobs", why);
  b->exit_code = BROKER_CANNOT_RUN;
  loop_stop(b->view.loop);
}

/* --- the shared configuration --- */

struct run { /* of a revision */
  struct broker *b;
  struct control_text *text;
};

/* Charts show it: what changed when. */
static void revision_mark(struct broker *b, uint64_t number) {
  char text[64];
  if (number == b->marked) return;
  b->marked = number;
  snprintf(text, sizeof text, "revision %" PRIu64, number);
  history_mark(b->view.history, "revision", text, NULL, NULL);
}

static void on_ran(void *arg, int rc, const char *lines) {
  struct run *run = arg;
  struct broker *b = run->b;
  control_ran(b->view.control, run->text, rc, lines);
  if (!rc) revision_mark(b, run->text->rev.number);
  control_text_unref(run->text);
  free(run);
}

static void on_control_run(void *arg, struct control_text *t) {
  struct broker *b = arg;
  struct run *run = malloc(sizeof *run);
  if (!run) out_of_memory();
  *run = (struct run){b, control_text_ref(t)};
  reload_run(b->reload, t, on_ran, run);
}

static void on_control_check(void *arg, struct control_text *t,
                             void (*fn)(void *fn_arg, int rc, const char *lines), void *fn_arg) {
  struct broker *b = arg;
  reload_check(b->reload, t, fn, fn_arg);
}

static void on_drain_reloaded(void *arg, int rc, const char *lines) {
  struct broker *b = arg;
  if (rc && rc != -ESHUTDOWN)
    log_error(b->view.log, "cluster",
              "the drain takes effect with the next reload, since the configuration cannot be "
              "read: %s",
              lines);
}

static void on_control_drained(void *arg) {
  struct broker *b = arg;
  reload_ask(b->reload, on_drain_reloaded, b);
}

static json_t *on_control_letter(void *arg, const struct letter *l) {
  const struct broker *b = arg;
  return admin_letter(b->admin, l);
}

static json_t *on_control_figures(void *arg) {
  const struct broker *b = arg;
  return admin_figures(&b->view);
}

/* Where the history of nodes and the marks are kept. */
static struct store *on_history_home(void *arg) {
  struct broker *b = arg;
  return b->view.control ? control_store(b->view.control) : NULL;
}

/* --- start and stop --- */

/* The node's number in ids to begin with; the storages' registries settle clashes. */
static unsigned first_shard(const char *node) {
  uint64_t h = 1469598103934665603u;
  for (; *node; node++) h = (h ^ (unsigned char)*node) * 1099511628211u;
  return (unsigned)(h ^ h >> 32) % ID_SHARDS;
}

/* All that needs no socket and no storage. */
static bool stations_new(struct broker *b) {
  struct admin_view *v = &b->view;
  b->orphans = orphans_new(v->loop);
  b->memory = memory_new(v->loop);
  v->started_ms = loop_wall_ms(v->loop);
  b->gateway = gateway_of(&v->settings->server);
  v->dispatcher = dispatcher_new(v->loop, b->gateway);
  v->registry = v->dispatcher ? registry_new(v->loop, v->dispatcher) : NULL;
  v->acts = v->registry ? acts_new(v->loop, v->registry) : NULL;
  v->intake = v->acts ? intake_new(v->loop, v->registry, v->dispatcher, b->gateway) : NULL;
  v->metrics = v->intake ? metrics_new(v->loop, v->registry) : NULL;
  struct history_source kept = {.home = on_history_home, .arg = b};
  v->history = v->metrics ? history_new(v->loop, v->registry, &kept) : NULL;
  struct control_events control = {.run = on_control_run,
                                   .check = on_control_check,
                                   .drained = on_control_drained,
                                   .figures = on_control_figures,
                                   .letter = on_control_letter,
                                   .arg = b};
  v->control = v->history ? control_new(v->loop, v->registry, plugins_types(v->plugins),
                                        v->settings, b->copy, b->copy_refused, &control)
                          : NULL;
  struct accounts_source source = account_source(b);
  v->accounts = v->control ? accounts_new(v->loop, v->log, &source, v->settings) : NULL;
  v->alerts = v->accounts ? alerts_new(v->loop, v->registry, v->control, v->settings) : NULL;
  b->reload = v->alerts ? reload_new(b) : NULL;
  return b->reload != NULL;
}

static int broker_start(struct broker *b) {
  struct admin_view *v = &b->view;
  const struct server_settings *server = &v->settings->server;
  struct pb_err err = {.text = ""};
  char node_instance[33];
  struct registry_events ev = {.ready = on_storage_ready,
                               .name_taken = on_name_taken,
                               .act = on_act,
                               .shared = on_shared,
                               .last_id = on_last_id,
                               .gone = on_topic_gone,
                               .arg = b};

  descriptors_share(b);
  if (state_dir_take(server->state_dir, v->log, &b->state_lock)) return -1;
  v->loop = loop_new(v->log);
  if (!v->loop || secret_token(16, node_instance)) {
    log_error(v->log, NULL, "cannot start: %s", strerror(errno));
    return -1;
  }
  if (!stations_new(b)) {
    log_error(v->log, NULL, "cannot start: out of memory");
    return -1;
  }
  v->reload = reload_ask;
  v->reload_arg = b->reload;
  registry_start(v->registry, node_instance, first_shard(server->node), b->gateway, &ev);
  registry_apply(v->registry, v->settings);
  b->view.listener =
      listener_new(v->loop, server, v->registry, v->intake, v->metrics, b->gateway, &err);
  if (!b->view.listener || admin_new(v, &b->admin, &err)) {
    log_error(v->log, NULL, "cannot start: %s", err.text);
    return -1;
  }
  descriptors_share(b);
  loop_on_signal(v->loop, SIGTERM, on_stop, b);
  loop_on_signal(v->loop, SIGINT, on_stop, b);
  loop_on_signal(v->loop, SIGHUP, on_reload, b);
  size_t queues = v->settings->n_queues, topics = v->settings->n_topics;
  log_info(v->log, NULL,
           "pepperbusd %s, node %s: %zu queue%s, %zu topic%s; producers at %s, admin at %s",
           PACKAGE_VERSION, server->node, queues, queues == 1 ? "" : "s", topics,
           topics == 1 ? "" : "s", server->listen[0] ? server->listen[0] : "-",
           *server->admin ? server->admin : "-");
  notify_tell(b->notify, "READY=1\nSTATUS=%zu queues, %zu topics", queues, topics);
  return 0;
}

static void broker_end(struct broker *b) {
  struct admin_view *v = &b->view;
  if (v->alerts) alerts_stop(v->alerts);
  accounts_stop(v->accounts);
  if (v->control) control_stop(v->control);
  reload_free(b->reload);
  admin_free(b->admin);
  listener_free(b->view.listener);
  if (v->dispatcher) dispatcher_stop(v->dispatcher);
  history_stop(v->history);
  metrics_free(v->metrics);
  if (v->acts) acts_stop(v->acts);
  if (v->intake) intake_forget(v->intake);
  registry_free(v->registry);
  acts_free(v->acts);
  alerts_free(v->alerts);
  history_free(v->history);
  accounts_free(v->accounts);
  control_free(v->control);
  free(v->changes);
  intake_free(v->intake);
  dispatcher_free(v->dispatcher);
  shutdown_free(b->shutdown);
  orphans_free(b->orphans);
  memory_free(b->memory);
  if (v->loop) loop_free(v->loop);
  if (b->state_lock >= 0) close(b->state_lock);
}

/* --- the configuration and what needs no loop --- */

static void broker_init(struct broker *b, const struct broker_options *o) {
  *b = (struct broker){.view.config_file = o->config_file, .state_lock = -1};
  b->view.log = log_new(STDERR_FILENO);
  b->notify = notify_new();
}

static void broker_done(struct broker *b) {
  control_text_unref(b->copy);
  free(b->copy_refused);
  settings_unref(b->view.settings);
  plugins_free(b->view.plugins);
  notify_free(b->notify);
  log_free(b->view.log);
}

/* The first look at the configuration: the plugins' keys are needed to check the rest. Faults are
 * reported by the second, full look. */
static void load_plugins(struct broker *b, const char *dir) {
  struct settings *first = NULL;
  if (!settings_peek(b->view.config_file, NULL, &first)) {
    log_configure(b->view.log, (enum pb_log_level)first->server.log_level,
                  first->server.log_format);
    if (!dir) dir = first->server.plugin_dir;
  }
  b->view.plugins = plugins_load(dir ? dir : PB_PLUGIN_DIR, b->view.log);
  settings_unref(first);
}

/* The revision that the node ran last, so that it starts with Redis away. */
static void copy_find(struct broker *b) {
  struct settings *first = NULL;
  struct pb_err err = {.text = ""};
  if (settings_peek(b->view.config_file, NULL, &first)) return;
  b->drained = control_drain_is_marked(first->server.state_dir);
  b->copy = control_text_of_copy(first->server.state_dir, first->cluster.key_file,
                                 first->cluster.name, &err);
  if (*err.text)
    log_warning(b->view.log, "cluster",
                "the copy of the shared configuration cannot be used: %s; the node takes it from "
                "the storage",
                err.text);
  settings_unref(first);
}

static int load_with(struct broker *b, const struct control_text *copy, bool starting,
                     char **ret_faults) {
  size_t len = 0;
  struct settings_types types = *plugins_types(b->view.plugins);
  types.starting = starting;
  types.drained = b->drained;
  types.shared = copy ? &copy->shared : NULL;
  FILE *faults = open_memstream(ret_faults, &len);
  if (!faults) out_of_memory();
  int rc = settings_load(b->view.config_file, &types, faults, &b->view.settings);
  fclose(faults);
  return rc;
}

/* *ret_faults: the faults and warnings, one per line; the caller frees it. */
static enum broker_exit load(struct broker *b, const struct broker_options *o, bool starting,
                             char **ret_faults) {
  char *alone = NULL;
  load_plugins(b, o->plugin_dir);
  copy_find(b);
  int rc = load_with(b, b->copy, starting, ret_faults);
  if (!rc || !b->copy) return rc ? BROKER_BAD_CONFIG : BROKER_STOPPED;
  /* A shared revision that this release cannot read stops no node. */
  rc = load_with(b, NULL, starting, &alone);
  free(alone);
  if (rc) return BROKER_BAD_CONFIG;
  b->copy_refused = strdup(*ret_faults ? *ret_faults : "");
  if (!b->copy_refused) out_of_memory();
  log_error(b->view.log, "cluster",
            "revision %" PRIu64 " of the shared configuration cannot run with the local files; the "
            "node starts with the local files alone",
            b->copy->rev.number);
  return BROKER_STOPPED;
}

enum broker_exit broker_run(const struct broker_options *o) {
  struct broker b;
  char *faults = NULL;
  broker_init(&b, o);
  log_never_wait(b.view.log);
  int rc = load(&b, o, true, &faults);
  if (faults) log_raw(b.view.log, faults); /* standard error may have no reader */
  free(faults);
  if (!rc) {
    if (broker_start(&b)) {
      b.exit_code = BROKER_CANNOT_RUN;
    } else {
      loop_run(b.view.loop);
      log_info(b.view.log, NULL,
               "stopped; the longest turn of the event loop took %.1f ms of CPU time",
               (double)loop_turn_max_us(b.view.loop) / 1000);
    }
    broker_end(&b);
    rc = b.exit_code;
  }
  broker_done(&b);
  return rc;
}

static enum broker_exit broker_look(const struct broker_options *o, bool dump) {
  struct broker b;
  char *faults = NULL;
  broker_init(&b, o);
  int rc = load(&b, o, dump, &faults);
  if (faults) fputs(faults, stderr);
  free(faults);
  if (!rc && dump) settings_dump(b.view.settings, stdout);
  if (!rc && !dump) printf("%s: the configuration is sound\n", o->config_file);
  broker_done(&b);
  return rc;
}

enum broker_exit broker_check(const struct broker_options *o) {
  return broker_look(o, false);
}

enum broker_exit broker_dump(const struct broker_options *o) {
  return broker_look(o, true);
}

enum broker_exit broker_print(const struct broker_options *o,
                              void (*print)(const struct settings_types *types, FILE *out)) {
  struct broker b;
  broker_init(&b, o);
  b.view.plugins = plugins_load(o->plugin_dir ? o->plugin_dir : PB_PLUGIN_DIR, b.view.log);
  print(plugins_types(b.view.plugins), stdout);
  broker_done(&b);
  return BROKER_STOPPED;
}
