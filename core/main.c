/* pepperbusd: arguments, wiring, exit codes. The wiring reads like the way of a job.
 *
 * Exit codes: 0 clean stop (or -t, -V), 1 it could not run (a port in use, no memory), 2 bad
 * configuration or arguments.
 */
#include "acts/act.h"
#include "admin/admin.h"
#include "daemon/broker.h"
#include "daemon/descriptors.h"
#include "intake/listener.h"
#include "base/log.h"
#include "event/loop.h"
#include "event/memory.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "daemon/orphans.h"
#include "base/secret.h"
#include "daemon/shutdown.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif
#ifndef PB_SYSCONF_DIR
#define PB_SYSCONF_DIR "/etc"
#endif

enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };

struct process { /* what main() owns besides the broker */
  struct broker broker;
  struct shutdown *shutdown;
  struct orphans *orphans;
  struct memory *memory;
  int exit_code;
  int state_lock; /* open as long as we run; -1: none */
};

static void usage(FILE *out) {
  fputs(
      "usage: pepperbusd [-c FILE] [-t | --dump-config | -V]\n"
      "  -c FILE        configuration (default " PB_SYSCONF_DIR "/pepperbus/pepperbus.ini)\n"
      "  -t             check the configuration and exit (0: sound, 2: not)\n"
      "  --dump-config  print the effective configuration, secrets masked, and exit\n"
      "  --sample       print a commented sample configuration with every option\n"
      "  --reference    print the reference of all options as Markdown\n"
      "  --manual       print the SECTIONS of pepperbus.ini(5), as Markdown\n"
      "  -p DIR         look for transports in DIR instead of plugin_dir\n"
      "  -V             print the version and exit\n"
      "Runs in the foreground and logs to standard error. TERM and INT drain and stop, HUP reads\n"
      "the configuration again.\n",
      out);
}

/* --- signals --- */

static void on_stop(int signo, void *arg) {
  struct process *p = arg;
  (void)signo;
  if (p->broker.stopping)
    shutdown_now(p->shutdown);
  else
    p->shutdown = shutdown_begin(&p->broker);
}

/* Each line of a text goes to the log by itself; one that says that it is a warning as that. */
static void log_lines(struct log *log, enum pb_log_level level, char *text) {
  static const char warning[] = "warning: ";
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    bool mild = !strncmp(line, warning, sizeof warning - 1);
    if (mild) line += sizeof warning - 1;
    log_write(log, mild ? PB_LOG_WARNING : level, NULL, "%s", line);
  }
}

static void on_reloaded(void *arg, int rc, const char *text) {
  struct process *p = arg;
  char *lines = strdup(text);
  if (lines) log_lines(p->broker.log, rc ? PB_LOG_ERROR : PB_LOG_WARNING, lines);
  free(lines);
  if (rc)
    log_error(p->broker.log, NULL,
              "the configuration was not reloaded: the old one goes on; mend the "
              "above and send HUP again");
  else
    log_info(p->broker.log, NULL, "configuration reloaded from %s", p->broker.config_file);
  notify_tell(p->broker.notify, "STATUS=%s",
              rc ? "the configuration was not reloaded, the old one goes on; the log says why"
                 : "configuration reloaded");
}

static void on_reload(int signo, void *arg) {
  struct process *p = arg;
  (void)signo;
  broker_reload(&p->broker, on_reloaded, p);
}

/* --- storages --- */

static void on_storage_ready(void *arg) {
  struct process *p = arg;
  size_t n;
  uint64_t mark = 0;
  struct store *const *stores = registry_stores(p->broker.registry, &n);
  for (size_t i = 0; i < n; i++)
    if (store_id_mark(stores[i]) > mark) mark = store_id_mark(stores[i]);
  intake_start_ids(p->broker.intake, registry_shard(p->broker.registry), mark);
  intake_go_on(p->broker.intake);
}

static void on_act(void *arg, struct store *s, const char *id) {
  struct process *p = arg;
  acts_found(p->broker.acts, s, id);
}

static uint64_t on_last_id(void *arg) {
  struct process *p = arg;
  return p->broker.intake ? intake_last_id(p->broker.intake) : 0;
}

static void on_name_taken(void *arg, const char *why) {
  struct process *p = arg;
  log_error(p->broker.log, NULL,
            "%s; stopping, for two nodes of one name would run each other's jobs", why);
  p->exit_code = EXIT_CANNOT_RUN;
  loop_stop(p->broker.loop);
}

/* --- start --- */

/* The node's number in ids to begin with; the storages' registries settle clashes. */
static unsigned first_shard(const char *node) {
  uint64_t h = 1469598103934665603u;
  for (; *node; node++) h = (h ^ (unsigned char)*node) * 1099511628211u;
  return (unsigned)(h ^ h >> 32) % ID_SHARDS;
}

static uint32_t own_ipv4(void) {
  struct ifaddrs *all, *i;
  uint32_t found = INADDR_LOOPBACK;
  if (getifaddrs(&all)) return found;
  for (i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
    struct sockaddr_in sin;
    memcpy(&sin, i->ifa_addr, sizeof sin);
    uint32_t ip = ntohl(sin.sin_addr.s_addr);
    if (ip >> 24 == 127) continue;
    found = ip;
    break;
  }
  freeifaddrs(all);
  return found;
}

/* Trace ids name the address that producers use: the first TCP one of `listen`. */
static struct gateway gateway_of(const struct server_settings *s) {
  struct gateway g = {.ipv4 = INADDR_LOOPBACK};
  for (size_t i = 0; s->listen[i]; i++) {
    char host[64];
    const char *colon = strrchr(s->listen[i], ':');
    struct in_addr ip;
    if (!strncmp(s->listen[i], "unix:", 5) || !colon) continue;
    snprintf(host, sizeof host, "%.*s", (int)(colon - s->listen[i]), s->listen[i]);
    g.port = (uint16_t)atoi(colon + 1);
    g.ipv4 = inet_pton(AF_INET, host, &ip) == 1 && ip.s_addr ? ntohl(ip.s_addr) : own_ipv4();
    if (!strcmp(host, "localhost")) g.ipv4 = INADDR_LOOPBACK;
    break;
  }
  return g;
}

/* As many as are wanted, or as we may have; those are shared out. */
void broker_limits(struct broker *b) {
  struct rlimit limit;
  struct descriptors d;
  descriptors_share(b->settings, &d);
  rlim_t want = (rlim_t)d.wanted;
  if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < want) {
    limit.rlim_cur =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= want ? want : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    descriptors_share(b->settings, &d);
  }
  if (b->listener) listener_limit(b->listener, d.clients);
  if (d.limit >= d.wanted || b->listener) return; /* told at the start */
  log_warning(
      b->log, NULL,
      "the limit of open files is %zu, %zu are wanted: %zu are kept for storages and workers, "
      "of max_clients = %lld no more than %zu are let in. Raise LimitNOFILE or ulimit -n, or "
      "lower max_clients, max_connections and workers",
      d.limit, d.wanted, d.kept, (long long)b->settings->server.max_clients, d.clients);
}

static int make_dirs(const char *path, struct log *log) {
  char part[4096];
  for (size_t i = 1; i < sizeof part && (i == 1 || path[i - 1]); i++) {
    if (path[i] && path[i] != '/') continue;
    snprintf(part, sizeof part, "%.*s", (int)i, path);
    if (mkdir(part, 0750) && errno != EEXIST) {
      log_error(log, NULL, "state_dir %s cannot be made: %s", part, strerror(errno));
      return -errno;
    }
  }
  if (access(path, W_OK | X_OK)) {
    log_error(log, NULL, "state_dir %s: %s; this user must be able to write there", path,
              strerror(errno));
    return -errno;
  }
  return 0;
}

/* One that was killed a moment ago may still be about to let go: some tries, 50 ms apart. */
enum { STATE_LOCK_TRIES = 40 };

/* Two brokers in one state_dir would share its redis-server, and the first to stop would end it.
 * The kernel gives the lock back however we end. */
static int state_dir_lock(const char *dir, struct log *log, int *ret_fd) {
  char path[4096], pid[24] = "";
  snprintf(path, sizeof path, "%s/pepperbusd.lock", dir);
  struct stat st;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
    log_error(log, NULL, "cannot start: %s is not a regular file; remove it", path);
    close(fd);
    return -EINVAL;
  }
  if (fd < 0) {
    log_error(log, NULL, "cannot open %s: %s; this user must be able to write there", path,
              strerror(errno));
    return -errno;
  }
  int rc = flock(fd, LOCK_EX | LOCK_NB);
  for (int i = 0; rc && errno == EWOULDBLOCK && i < STATE_LOCK_TRIES; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    rc = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (!rc) {
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
      log_warning(log, NULL, "cannot write our pid into %s: %s; going on", path, strerror(errno));
    *ret_fd = fd;
    return 0;
  }
  if (errno != EWOULDBLOCK) { /* a file system without locks */
    log_warning(log, NULL,
                "cannot lock %s: %s; going on: see to it that no other pepperbusd has this "
                "state_dir",
                path, strerror(errno));
    *ret_fd = fd;
    return 0;
  }
  if (pread(fd, pid, sizeof pid - 1, 0) < 0) pid[0] = 0;
  pid[strcspn(pid, "\n")] = 0;
  close(fd);
  log_error(log, NULL,
            "cannot start: another pepperbusd (pid %s) runs in state_dir %s; stop it, or give "
            "this one a state_dir, node, listen and admin of its own",
            *pid ? pid : "unknown", dir);
  return -EWOULDBLOCK;
}

static int broker_start(struct process *p) {
  struct broker *b = &p->broker;
  const struct server_settings *server = &b->settings->server;
  struct pb_err err = {.text = ""};
  char instance[33];
  struct registry_events ev = {.ready = on_storage_ready,
                               .name_taken = on_name_taken,
                               .act = on_act,
                               .last_id = on_last_id,
                               .arg = p};

  broker_limits(b);
  if (*server->state_dir && (make_dirs(server->state_dir, b->log) ||
                             state_dir_lock(server->state_dir, b->log, &p->state_lock)))
    return -1;
  b->loop = loop_new(b->log);
  if (!b->loop || secret_token(16, instance)) {
    log_error(b->log, NULL, "cannot start: %s", strerror(errno));
    return -1;
  }
  p->orphans = orphans_new(b->loop);
  p->memory = memory_new(b->loop);
  b->started_ms = loop_wall_ms(b->loop);
  b->gateway = gateway_of(server);
  b->dispatcher = dispatcher_new(b->loop, b->gateway);
  b->registry = b->dispatcher ? registry_new(b->loop, b->dispatcher) : NULL;
  b->acts = b->registry ? acts_new(b->loop, b->registry) : NULL;
  b->intake = b->acts ? intake_new(b->loop, b->registry, b->dispatcher, b->gateway) : NULL;
  b->stats = b->intake ? stats_new(b->loop, b->registry) : NULL;
  b->reload = b->stats ? reload_new(b) : NULL;
  if (!b->reload) {
    log_error(b->log, NULL, "cannot start: out of memory");
    return -1;
  }
  registry_start(b->registry, instance, first_shard(server->node), b->gateway, &ev);
  registry_apply(b->registry, b->settings);
  b->listener = listener_new(b->loop, server, b->registry, b->intake, b->stats, b->gateway, &err);
  if (!b->listener || admin_new(b, &b->admin, &err)) {
    log_error(b->log, NULL, "cannot start: %s", err.text);
    return -1;
  }
  broker_limits(b);
  loop_on_signal(b->loop, SIGTERM, on_stop, p);
  loop_on_signal(b->loop, SIGINT, on_stop, p);
  loop_on_signal(b->loop, SIGHUP, on_reload, p);
  size_t queues = b->settings->n_queues, topics = b->settings->n_topics;
  log_info(b->log, NULL,
           "pepperbusd %s, node %s: %zu queue%s, %zu topic%s; producers at %s, admin at %s",
           PACKAGE_VERSION, server->node, queues, queues == 1 ? "" : "s", topics,
           topics == 1 ? "" : "s", server->listen[0] ? server->listen[0] : "-",
           *server->admin ? server->admin : "-");
  notify_tell(b->notify, "READY=1\nSTATUS=%zu queues, %zu topics", queues, topics);
  return 0;
}

static void broker_end(struct process *p) {
  struct broker *b = &p->broker;
  reload_free(b->reload);
  admin_free(b->admin);
  listener_free(b->listener);
  if (b->dispatcher) dispatcher_stop(b->dispatcher);
  stats_free(b->stats);
  if (b->acts) acts_stop(b->acts);
  if (b->intake) intake_forget(b->intake);
  registry_free(b->registry);
  acts_free(b->acts);
  free(b->changes);
  intake_free(b->intake);
  dispatcher_free(b->dispatcher);
  shutdown_free(p->shutdown);
  orphans_free(p->orphans);
  memory_free(p->memory);
  if (b->loop) loop_free(b->loop);
  if (p->state_lock >= 0) close(p->state_lock);
}

/* A reload finds it wherever the process was started. Its links are followed at each reload. The
 * text is `path` itself, or in `ret`. */
static const char *file_absolute(const char *path, char ret[PATH_MAX]) {
  if (*path == '/' || !getcwd(ret, PATH_MAX)) return path;
  size_t n = strlen(ret);
  if ((size_t)snprintf(ret + n, PATH_MAX - n, "/%s", path) >= PATH_MAX - n) return path;
  return ret;
}

enum mode { RUN, CHECK, DUMP, SAMPLE, REFERENCE, MANUAL };

static int with_settings(struct process *p, enum mode mode) {
  struct broker *b = &p->broker;
  struct settings_types types = *plugins_types(b->plugins);
  types.starting = mode != CHECK;
  char *text = NULL;
  size_t len = 0;
  FILE *faults = open_memstream(&text, &len);
  if (!faults) return EXIT_CANNOT_RUN;
  int rc = settings_load(b->config_file, &types, faults, &b->settings);
  fclose(faults);
  if (mode == RUN) /* nobody may be reading */
    log_raw(b->log, text);
  else
    fputs(text, stderr);
  free(text);
  if (rc) return EXIT_BAD_CONFIG;
  if (mode == CHECK) printf("%s: the configuration is sound\n", b->config_file);
  if (mode == DUMP) settings_dump(b->settings, stdout);
  if (mode != RUN) return 0;
  if (broker_start(p)) {
    p->exit_code = EXIT_CANNOT_RUN;
  } else {
    loop_run(b->loop);
    log_info(b->log, NULL, "stopped; the longest turn of its loop took %.1f ms of CPU time",
             (double)loop_turn_max_us(b->loop) / 1000);
  }
  broker_end(p);
  return p->exit_code;
}

/* Whoever started us may have closed the standard descriptors: then the next file that is opened
 * would get their numbers, and log lines be written into it. And he may have blocked signals, or
 * ignored SIGCHLD, which is inherited. */
static void process_setup(void) {
  sigset_t none;
  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    while (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) >= 0) continue;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGCHLD, SIG_DFL);
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"dump-config", no_argument, NULL, 'd'},
                                          {"sample", no_argument, NULL, 's'},
                                          {"reference", no_argument, NULL, 'r'},
                                          {"manual", no_argument, NULL, 'm'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
  struct process p = {.broker = {.config_file = PB_SYSCONF_DIR "/pepperbus/pepperbus.ini"},
                      .state_lock = -1};
  struct broker *b = &p.broker;
  enum mode mode = RUN;
  const char *plugin_dir = NULL;
  char config_path[PATH_MAX];
  int c, rc;
  process_setup();
  memory_setup();
  while ((c = getopt_long(argc, argv, "c:tVhp:", options, NULL)) != -1) switch (c) {
    case 'c':
      b->config_file = file_absolute(optarg, config_path);
      break;
    case 'p':
      plugin_dir = optarg;
      break; /* for --sample and such at build time */
    case 't':
      mode = CHECK;
      break;
    case 'd':
      mode = DUMP;
      break;
    case 's':
      mode = SAMPLE;
      break;
    case 'r':
      mode = REFERENCE;
      break;
    case 'm':
      mode = MANUAL;
      break;
    case 'V':
      puts("pepperbusd " PACKAGE_VERSION);
      return 0;
    case 'h':
      usage(stdout);
      return 0;
    default:
      usage(stderr);
      return EXIT_BAD_CONFIG;
    }
  if (optind < argc) {
    fprintf(stderr, "pepperbusd: \"%s\" is not an option\n", argv[optind]);
    usage(stderr);
    return EXIT_BAD_CONFIG;
  }
  b->log = log_new(STDERR_FILENO);
  b->notify = notify_new();
  if (mode == RUN) log_never_wait(b->log);
  if (mode == SAMPLE || mode == REFERENCE || mode == MANUAL) {
    b->plugins = plugins_load(plugin_dir ? plugin_dir : PB_PLUGIN_DIR, b->log);
    (mode == SAMPLE      ? settings_sample
     : mode == REFERENCE ? settings_reference
                         : settings_manual)(plugins_types(b->plugins), stdout);
    rc = 0;
  } else {
    /* The plugins' keys are needed to check the rest; what is wrong is all said by the second,
     * full look. */
    struct settings *first = NULL;
    if (!settings_peek(b->config_file, NULL, &first)) {
      log_configure(b->log, (enum pb_log_level)first->server.log_level, first->server.log_format);
      if (!plugin_dir) plugin_dir = first->server.plugin_dir;
    }
    b->plugins = plugins_load(plugin_dir ? plugin_dir : PB_PLUGIN_DIR, b->log);
    settings_unref(first);
    rc = with_settings(&p, mode);
    settings_unref(b->settings);
  }
  plugins_free(b->plugins);
  notify_free(b->notify);
  log_free(b->log);
  return rc;
}
