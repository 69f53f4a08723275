/* What the tests of the exec transport share: a scratch directory, workers that are shell scripts,
 * and a gate before each process that is started.
 */
#ifndef PB_TESTS_EXEC_FIXTURE_H
#define PB_TESTS_EXEC_FIXTURE_H

#include "plugins/exec/exec_conf.h"
#include "../tap.h"
#include "tap_host.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHARED static __attribute__((unused))

const struct pb_transport *exec_LTX_pb_transport(void);

/* Figures in the order of the descriptor's table. */
enum { SPAWNED, RESTARTS, KILLED, NOISE, PROCESSES };

#define WAIT 60000 /* ms; nothing here takes more than a second of the processor's time */

static char dir[64];

SHARED const char *path(const char *name) {
  static char texts[4][200];
  static unsigned next;
  char *text = texts[next++ % 4];

  snprintf(text, sizeof texts[0], "%s/%s", dir, name);
  return text;
}

SHARED bool there(const char *name) {
  return access(path(name), F_OK) == 0;
}

SHARED void write_file(const char *name, const char *text, mode_t mode) {
  FILE *f = fopen(path(name), "w");

  if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path(name), mode) < 0)
    bail_out("%s: %s", path(name), strerror(errno));
}

/* A number that a worker has written, or 0. */
SHARED long read_number(const char *name) {
  FILE *f = fopen(path(name), "r");
  long n = 0;

  if (f && fscanf(f, "%ld", &n) != 1) n = 0;
  if (f) fclose(f);
  return n;
}

SHARED bool file_there(void *name) {
  return read_number(name) > 0;
}

/* Have pull workers written their line? It is put into `arg`, 300 bytes. */
SHARED bool has_line(void *arg) {
  FILE *f = fopen(path("words"), "r");
  char *line = arg;

  if (!f || !fgets(line, 300, f) || !strchr(line, '\n')) *line = 0;
  if (f) fclose(f);
  return *line;
}

SHARED bool restarted(void *arg) {
  return host_stats(arg)->metrics[RESTARTS] >= 1;
}

/* Is no process left in that group, but dead ones that nobody has reaped yet? */
SHARED bool group_gone(void *arg) {
  DIR *proc = opendir("/proc");
  struct dirent *e;
  bool gone = true;

  while (proc && (e = readdir(proc)) != NULL) {
    char name[300], state = 0;
    long pgid = 0;
    FILE *f;

    snprintf(name, sizeof name, "/proc/%s/stat", e->d_name);
    f = fopen(name, "r");
    if (!f) continue;
    if (fscanf(f, "%*d (%*[^)]) %c %*d %ld", &state, &pgid) == 2 && pgid == (long)arg &&
        state != 'Z')
      gone = false;
    fclose(f);
  }
  if (proc) closedir(proc);
  return gone;
}

struct figure {
  const double *at;
  double least;
};

SHARED bool reached(void *arg) {
  const struct figure *f = arg;

  return *f->at >= f->least;
}

/* Waits for a figure: processes come in their own time. */
SHARED bool comes_to(struct host *h, unsigned metric, double least) {
  return host_until(h, reached, &(struct figure){&host_stats(h)->metrics[metric], least}, WAIT);
}

static char entry[2000], told_dir[200];

/* The keys of a topic that runs this shell script; $D is the scratch directory. */
SHARED struct host_inst *shell(struct host_pool *p, const char *topic, const char *key,
                               const char *script) {
  struct pb_err err;
  struct host_inst *in;

  snprintf(entry, sizeof entry, "entry=/bin/sh -c '%s'", script);
  snprintf(told_dir, sizeof told_dir, "env=D=%s", dir);
  in = host_topic(p, "msg", topic, &err, entry, told_dir, "kill_after=200ms",
                  key ? key : "directory=/", NULL);
  if (!in) bail_out("topic %s: %s", topic, err.text);
  return in;
}

SHARED struct host_ticket *ask(struct host *h, struct host_inst *in, bool ping) {
  struct host_ticket *t = host_submit(in, ping ? NULL : "x", ping ? 0 : 1);

  for (int i = 0; !t && host_submit_error(h) == -EAGAIN && i < 2000; i++) {
    host_turn(h, 10);
    t = host_submit(in, ping ? NULL : "x", ping ? 0 : 1);
  }
  if (!t) bail_out("submit: %d", host_submit_error(h));
  return t;
}

SHARED struct host_ticket *run(struct host *h, struct host_inst *in, bool ping) {
  struct host_ticket *t = ask(h, in, ping);

  if (!host_wait(h, t, WAIT)) bail_out("not completed: %s", entry);
  return t;
}

SHARED bool is_drained(void *in) {
  return host_drained(in);
}

SHARED void end(struct host *h, struct host_inst *in, const char *what) {
  host_drain(in);
  ok(host_until(h, is_drained, in, WAIT), "%s: drained", what);
  host_destroy(in);
}

/* --- many starts at once: one after the other, on the spawner's thread --- */

#define MANY 64

/* The spawner's thread calls this one, and is held before a process: whoever gives it orders is
 * seldom, but may be, slower than it is. */
static struct {
  int left;  /* processes until it is held; below 0: it is not */
  bool held; /* just now */
} gate = {.left = -1};

int posix_spawn(pid_t *ret_pid, const char *file, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attr, char *const argv[], char *const envp[]) {
  int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
              char *const[], char *const[]);
  const struct timespec moment = {.tv_nsec = 1000000};

  *(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
  while (__atomic_load_n(&gate.left, __ATOMIC_SEQ_CST) == 0) {
    __atomic_store_n(&gate.held, true, __ATOMIC_SEQ_CST);
    nanosleep(&moment, NULL);
  }
  __atomic_store_n(&gate.held, false, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&gate.left, __ATOMIC_SEQ_CST) > 0)
    __atomic_sub_fetch(&gate.left, 1, __ATOMIC_SEQ_CST);
  return real(ret_pid, file, actions, attr, argv, envp);
}

SHARED void gate_set(int left) {
  __atomic_store_n(&gate.left, left, __ATOMIC_SEQ_CST);
}

SHARED bool gate_holds(void *arg) {
  (void)arg;
  return __atomic_load_n(&gate.held, __ATOMIC_SEQ_CST);
}

/* Has every child of ours ended, and been reaped? */
SHARED bool no_child(void *arg) {
  siginfo_t info = {0};

  (void)arg;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

SHARED bool none_open(void *in) {
  return !host_open(in);
}

SHARED void submit_many(struct host *h, struct host_inst *in, struct host_ticket **t) {
  for (int i = 0; i < MANY; i++) {
    t[i] = host_submit(in, "x", 1);
    if (!t[i]) bail_out("submit %d: %d", i, host_submit_error(h));
  }
}

/* How many were cancelled before their process was begun. */
SHARED void unload_many(bool resident) {
  for (int turns = 0; turns < 3; turns++) {
    struct host *h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
    struct host_pool *p = host_pool(h, NULL, NULL);
    struct host_inst *in;
    struct host_ticket *t[MANY];
    uint64_t until = host_now_ms(h) + WAIT;

    host_workers(h, MANY);
    in = shell(p, "u", resident ? "resident=yes" : NULL, "exec sleep 100");
    if (!resident) submit_many(h, in, t);
    for (int i = 0; i < turns; i++) host_turn(h, 1);
    host_free(h, "unloaded amid starts");
    /* The host is gone: those that were killed are ours to reap. */
    h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
    while (!no_child(NULL) && host_now_ms(h) < until) {
      while (waitpid(-1, NULL, WNOHANG) > 0) {
      }
      host_turn(h, 1);
    }
    ok(no_child(NULL), "nobody is left");
    host_free(h, "a plugin that starts nothing");
  }
}

SHARED void fixture_begin(void) {
  signal(SIGPIPE, SIG_IGN);
  snprintf(dir, sizeof dir, "%.40s/pbexec.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(dir)) bail_out("mkdtemp: %s", strerror(errno));
  if (chmod(dir, 0777) < 0) bail_out("chmod: %s", strerror(errno));
}

SHARED void fixture_end(void) {
  char command[100];

  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command) != 0) diag("%s is left", dir);
}

#endif
