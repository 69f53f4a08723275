/* pepperbus-plugin-check: drives a transport plugin through its contract and reports its breaches.
 *
 * The plugin runs in a separate process, so that its crash or its endless loop is reported in words
 * like every other fault.
 */
#include "tools/plugin_check/check.h"

#include "base/log.h"
#include "transport/plugin_loader.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX         64
#define STUCK_MS          10000 /* a call that has not come back by then never will */
#define VALGRIND_STUCK_MS 120000
#define WAIT_MS           100
#define WAIT_MAX_MS       60000
/* The driven process ends with one of these codes. Other codes come from the plugin or from
 * valgrind. */
enum { KEEPS = 0, BREAKS = 1, USAGE = 2, VALGRIND_FOUND = 99 };

static void usage(FILE *out) {
  fputs("usage: pepperbus-plugin-check [options] FILE.so\n"
        "Drives a transport plugin through its contract and says in words what it breaks.\n\n"
        "  -p, --pool KEY=VALUE      a key of the plugin's [pool] section\n"
        "  -s, --set KEY=VALUE       a key of its [topic] section\n"
        "      {peer} in a value is the address of a worker that misbehaves (unix:/path;\n"
        "      {peer:path}, {peer:tcp} are its other forms); without it, the keys must lead\n"
        "      to a worker that answers\n"
        "  -r, --run-type NAME       which of its run types; default: the first\n"
        "  -t, --topic QUEUE/TOPIC   what the worker serves; default: check/topic\n"
        "  -w, --wait MS             real time that a worker gets to answer; default: 100\n"
        "  -g, --valgrind            under valgrind: leaks and wrong memory too\n"
        "  -v, --verbose             the plugin's log lines and outcomes\n"
        "  -h, --help\n"
        "  -V, --version\n\n"
        "exit status: 0 keeps the contract, 1 breaks it, 2 usage\n",
        out);
}

static PB_PRINTF(1, 2) int wrong(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("pepperbus-plugin-check: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
  return USAGE;
}

static uint64_t clock_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- arguments --- */

static int pair_add(struct pair *pairs, const char *text) {
  size_t n = 0;
  const char *eq = strchr(text, '=');
  while (pairs[n].key) n++;
  if (!eq || eq == text || n + 1 == PAIRS_MAX) return -EINVAL;
  pairs[n] = (struct pair){strndup(text, (size_t)(eq - text)), eq + 1};
  if (!pairs[n].key) abort();
  return 0;
}

static void pairs_free(struct pair *pairs) {
  for (; pairs->key; pairs++) free(pairs->key);
}

static int topic_set(struct args *a, const char *text) {
  const char *slash = strchr(text, '/');
  size_t len = slash ? (size_t)(slash - text) : 0;
  if (!len || len >= sizeof a->queue || !slash[1] || strlen(slash + 1) >= sizeof a->topic)
    return wrong("\"%s\" is not QUEUE/TOPIC", text);
  snprintf(a->queue, sizeof a->queue, "%.*s", (int)len, text);
  snprintf(a->topic, sizeof a->topic, "%s", slash + 1);
  return 0;
}

/* 0, USAGE, or -1: done, exit with 0. */
static int args_read(int argc, char **argv, struct args *a) {
  static const struct option options[] = {{"pool", required_argument, NULL, 'p'},
                                          {"set", required_argument, NULL, 's'},
                                          {"run-type", required_argument, NULL, 'r'},
                                          {"topic", required_argument, NULL, 't'},
                                          {"wait", required_argument, NULL, 'w'},
                                          {"valgrind", no_argument, NULL, 'g'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"under-valgrind", no_argument, NULL, 'u'},
                                          {NULL, 0, NULL, 0}};
  char *end;
  unsigned long ms;
  int c;
  while ((c = getopt_long(argc, argv, "p:s:r:t:w:gvhV", options, NULL)) != -1) switch (c) {
    case 'p':
    case 's':
      if (pair_add(c == 'p' ? a->pool : a->set, optarg))
        return wrong("\"%s\" is not KEY=VALUE", optarg);
      break;
    case 'r':
      a->run_type = optarg;
      break;
    case 't':
      if (topic_set(a, optarg)) return USAGE;
      break;
    case 'w':
      ms = strtoul(optarg, &end, 10);
      if (!*optarg || *end || !ms || ms > WAIT_MAX_MS)
        return wrong("--wait %s: a number of milliseconds is needed, from 1 to 60000", optarg);
      a->wait_ms = (unsigned)ms;
      break;
    case 'g':
      a->valgrind = true;
      break;
    case 'u':
      a->slow = true;
      break; /* not for people: what --valgrind starts */
    case 'v':
      a->verbose = true;
      break;
    case 'h':
      usage(stdout);
      return -1;
    case 'V':
      puts("pepperbus-plugin-check " PACKAGE_VERSION);
      return -1;
    default:
      usage(stderr);
      return USAGE;
    }
  if (optind + 1 != argc) {
    usage(stderr);
    return USAGE;
  }
  a->file = argv[optind];
  return 0;
}

/* The same command again under valgrind. Comes back only when that is not there. */
static int valgrind_exec(int argc, char **argv) {
  static char *const head[] = {"valgrind",
                               "-q",
                               "--error-exitcode=99",
                               "--leak-check=full",
                               "--errors-for-leak-kinds=definite",
                               "--show-leak-kinds=definite",
                               "--num-callers=20"};
  const size_t n = sizeof head / sizeof *head;
  char **args = calloc(n + (size_t)argc + 2, sizeof *args), self[4096];
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (!args || len <= 0) return wrong("%s", strerror(errno));
  self[len] = 0;
  memcpy(args, head, sizeof head);
  args[n] = self;
  args[n + 1] = "--under-valgrind";
  for (int i = 1; i < argc; i++) args[n + 1 + (size_t)i] = argv[i];
  execvp(args[0], args);
  free(args);
  return wrong("valgrind cannot be started: %s (apt-get install valgrind)", strerror(errno));
}

/* --- the driven process --- */

static const struct pb_transport *choose(const struct pb_transport *const *descs,
                                         const char *run_type) {
  for (; *descs; descs++)
    if (!run_type || !strcmp((*descs)->run_type, run_type)) return *descs;
  return NULL;
}

static int driven(const struct args *args, struct peers *peers, struct progress *progress) {
  struct report *r = report_new(stdout, args->verbose);
  struct log *log = log_new(STDERR_FILENO);
  log_configure(log, PB_LOG_ERROR, false);
  char *path = realpath(args->file, NULL); /* "x.so" would be looked for in system folders */
  struct plugins *ps = plugins_load_file(path ? path : args->file, NULL);
  const struct settings_types *types = plugins_types(ps);
  size_t n;
  const struct plugin_info *info = plugins_list(ps, &n);
  int rc = KEEPS;

  report_rule(r, "load", "");
  snprintf(progress->rule, sizeof progress->rule, "load");
  if (!types->n) report_broken(r, "cannot be loaded: %s", n ? info->why : "no such file");
  report_end(r);
  if (types->n) {
    const struct pb_transport **all = calloc(types->n + 1, sizeof *all);
    if (!all) abort();
    memcpy(all, types->transports, types->n * sizeof *all);
    const struct pb_transport *t = choose(all, args->run_type);
    rules_check(all, r);
    if (!t)
      rc = wrong("it has no run type %s", args->run_type);
    else if (!report_broken_rules(r) && drive(t, args, peers, r, progress) < 0)
      rc = USAGE;
    else if (!args->run_type && types->n > 1)
      report_note(r, "it has %zu run types; this was %s, --run-type chooses another", types->n,
                  t->run_type);
    free(all);
  }
  if (rc != USAGE) {
    const char *base = strrchr(args->file, '/');
    base = base ? base + 1 : args->file;
    if (report_broken_rules(r))
      printf("%s breaks %u of %u rules\n", base, report_broken_rules(r), report_rules(r));
    else
      printf("%s keeps the contract: %u rules\n", base, report_rules(r));
    rc = report_broken_rules(r) ? BREAKS : KEEPS;
  }
  fflush(stdout);
  report_free(r);
  log_free(log);
  plugins_free(ps);
  free(path);
  return rc;
}

/* --- the watching one --- */

/* The beginning is read before the clock: a call that begins between the two is no long one. */
static bool call_stuck(const struct progress *progress, uint64_t ms) {
  if (!progress->call[0]) return false;
  uint64_t began = progress->call_ms;
  return clock_ms() >= began + ms;
}

/* The end of the process, or of our patience with one call. */
static int watch(pid_t pid, int alive, const struct progress *progress, uint64_t stuck_ms) {
  struct pollfd fd = {.fd = alive, .events = POLLIN};
  int status = 0;
  while (poll(&fd, 1, 500) <= 0 || !(fd.revents & (POLLHUP | POLLIN))) {
    if (!call_stuck(progress, stuck_ms)) continue;
    printf("BROKEN  %s: does not come back from %s; it was ended after %llu s\n", progress->rule,
           progress->call, (unsigned long long)(stuck_ms / 1000));
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return BREAKS;
  }
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    printf("BROKEN  %s: crashes (%s)%s%s\n", progress->rule, strsignal(WTERMSIG(status)),
           progress->call[0] ? " in " : "", progress->call);
    return BREAKS;
  }
  if (WEXITSTATUS(status) == VALGRIND_FOUND) {
    printf("BROKEN  memory: leaks memory or uses it wrongly; what valgrind found stands above\n");
    return BREAKS;
  }
  if (WEXITSTATUS(status) > USAGE || progress->call[0]) { /* exit() in the plugin, a sanitizer */
    printf("BROKEN  %s: ends the process with exit status %d%s%s\n", progress->rule,
           WEXITSTATUS(status), progress->call[0] ? " in " : "", progress->call);
    return BREAKS;
  }
  return WEXITSTATUS(status);
}

static int check(const struct args *args) {
  struct progress *progress =
      mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct peers *peers = peers_start();
  int alive[2], rc;
  if (progress == MAP_FAILED || !peers || pipe(alive)) return wrong("%s", strerror(errno));
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return wrong("fork: %s", strerror(errno));
  if (!pid) {
    close(alive[0]);
    exit(driven(args, peers, progress));
  }
  close(alive[1]);
  rc = watch(pid, alive[0], progress, args->slow ? VALGRIND_STUCK_MS : STUCK_MS);
  close(alive[0]);
  peers_stop(peers);
  munmap(progress, sizeof *progress);
  return rc;
}

int main(int argc, char **argv) {
  struct pair pool[PAIRS_MAX] = {{0}}, set[PAIRS_MAX] = {{0}};
  struct args args = {
      .queue = "check", .topic = "topic", .pool = pool, .set = set, .wait_ms = WAIT_MS};
  int rc;
  signal(SIGPIPE, SIG_IGN); /* as in the broker */
  rc = args_read(argc, argv, &args);
  if (args.slow) args.wait_ms *= 10;
  if (!rc) rc = args.valgrind && !args.slow ? valgrind_exec(argc, argv) : check(&args);
  pairs_free(pool);
  pairs_free(set);
  return rc < 0 ? 0 : rc;
}
