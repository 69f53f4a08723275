/* The exec transport with real processes: one for each request, those that stay, pull workers. */
#include "plugins/exec/exec_conf.h"
#include "../tap.h"
#include "tap_host.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct pb_transport *exec_LTX_pb_transport(void);

/* Figures in the order of the descriptor's table. */
enum { SPAWNED, RESTARTS, KILLED, NOISE, PROCESSES };

#define WAIT 60000 /* ms; nothing here takes more than a second of the processor's time */

static char dir[64];

static const char *path(const char *name) {
  static char texts[4][200];
  static unsigned next;
  char *text = texts[next++ % 4];

  snprintf(text, sizeof texts[0], "%s/%s", dir, name);
  return text;
}

static bool there(const char *name) {
  return access(path(name), F_OK) == 0;
}

static void write_file(const char *name, const char *text, mode_t mode) {
  FILE *f = fopen(path(name), "w");

  if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path(name), mode) < 0)
    bail_out("%s: %s", path(name), strerror(errno));
}

/* A number that a worker has written, or 0. */
static long read_number(const char *name) {
  FILE *f = fopen(path(name), "r");
  long n = 0;

  if (f && fscanf(f, "%ld", &n) != 1) n = 0;
  if (f) fclose(f);
  return n;
}

static bool file_there(void *name) {
  return read_number(name) > 0;
}

/* Have pull workers written their line? It is put into `arg`, 300 bytes. */
static bool has_line(void *arg) {
  FILE *f = fopen(path("words"), "r");
  char *line = arg;

  if (!f || !fgets(line, 300, f) || !strchr(line, '\n')) *line = 0;
  if (f) fclose(f);
  return *line;
}

static bool restarted(void *arg) {
  return host_stats(arg)->metrics[RESTARTS] >= 1;
}

/* Is no process left in that group, but dead ones that nobody has reaped yet? */
static bool group_gone(void *arg) {
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

static bool reached(void *arg) {
  const struct figure *f = arg;

  return *f->at >= f->least;
}

/* Waits for a figure: processes come in their own time. */
static bool comes_to(struct host *h, unsigned metric, double least) {
  return host_until(h, reached, &(struct figure){&host_stats(h)->metrics[metric], least}, WAIT);
}

static char entry[2000], told_dir[200];

/* The keys of a topic that runs this shell script; $D is the scratch directory. */
static struct host_inst *shell(struct host_pool *p, const char *topic, const char *key,
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

static struct host_ticket *ask(struct host *h, struct host_inst *in, bool ping) {
  struct host_ticket *t = host_submit(in, ping ? NULL : "x", ping ? 0 : 1);

  for (int i = 0; !t && host_submit_error(h) == -EAGAIN && i < 2000; i++) {
    host_turn(h, 10);
    t = host_submit(in, ping ? NULL : "x", ping ? 0 : 1);
  }
  if (!t) bail_out("submit: %d", host_submit_error(h));
  return t;
}

static struct host_ticket *run(struct host *h, struct host_inst *in, bool ping) {
  struct host_ticket *t = ask(h, in, ping);

  if (!host_wait(h, t, WAIT)) bail_out("not completed: %s", entry);
  return t;
}

static bool is_drained(void *in) {
  return host_drained(in);
}

static void end(struct host *h, struct host_inst *in, const char *what) {
  host_drain(in);
  ok(host_until(h, is_drained, in, WAIT), "%s: drained", what);
  host_destroy(in);
}

/* --- one process for each request --- */

static void once_verdicts(struct host *h, struct host_pool *p) {
  static const struct {
    const char *script, *outcome;
    int code;
    const char *body, *detail;
  } rows[] = {
      {"cat", "ANSWERED", 200, "[{\"id\":\"4611686018427387905\",\"content\":\"x\"}]", ""},
      {"echo done; echo note >&2", "ANSWERED", 200, "done", "note"},
      {"echo out; echo why >&2; exit 1", "ANSWERED", 500, "", "exit code 1: why"},
      {"echo only out; exit 3", "ANSWERED", 500, "", "exit code 3: only out"},
      {"exit 64", "ANSWERED", 400, "", "exit code 64"},
      {"exit 69", "ANSWERED", 404, "", "exit code 69"},
      {"exit 75", "ANSWERED", 503, "", "exit code 75"},
      {"exit 78", "ANSWERED", 500, "", "exit code 78"},
      {"exit 255", "ANSWERED", 500, "", "255 (PHP: a fatal error)"},
      {"nosuchcommand", "ANSWERED", 500, "", "127 (a command was not found)"},
      {"echo [1]; exit 207", "ANSWERED", 207, "[1]", ""},
      {"echo dying >&2; kill -9 $$", "LOST", 0, "",
       "signal 9 (Killed); whether the job was done is not known: dying"},
      {"kill -TERM $$", "LOST", 0, "", "signal 15"},
      {"exec 0<&- ; echo not read", "ANSWERED", 200, "not read", ""},
      {"exec 1>&- 2>&-; exit 0", "ANSWERED", 200, "", ""},
      {"echo $PEPPERBUS_QUEUE/$PEPPERBUS_TOPIC $PEPPERBUS_TYPE $PEPPERBUS_JOBS $PEPPERBUS_JOB_ID "
       "$PEPPERBUS_ATTEMPT $TRACEPARENT",
       "ANSWERED", 200,
       "msg/v data 1 4611686018427387905 1 00-40000000000000017f0000012ef10000-4000000000000002-01",
       ""},
      {"test -n \"$PEPPERBUS_TRACE_ID\" && env | cut -d= -f1 | LC_ALL=C sort | tr \"\\n\" \" \"",
       "ANSWERED", 200,
       "D HOME LANG PATH PEPPERBUS_ATTEMPT PEPPERBUS_JOBS PEPPERBUS_JOB_ID PEPPERBUS_QUEUE "
       "PEPPERBUS_TIMEOUT PEPPERBUS_TOPIC PEPPERBUS_TRACE_ID PEPPERBUS_TYPE PEPPERBUS_VERDICT PWD "
       "TRACEPARENT",
       ""},
      {"ls /proc/self/fd | tr \"\\n\" \" \"", "ANSWERED", 200, "0 1 2 3",
       ""}, /* 3: the folder itself */
      /* What looks like a verdict and answers another request, or none, is a message. */
      {"echo \"{\\\"code\\\":500,\\\"msg\\\":\\\"caf\\u00e9\\\"}\"", "ANSWERED", 200,
       "{\"code\":500,\"msg\":\"caf\\u00e9\"}", ""},
      {"echo "
       "\"{\\\"code\\\":422,\\\"msg\\\":\\\"caf\\u00e9\\\",\\\"outTraceId\\\":\\\"$PEPPERBUS_TRACE_"
       "ID\\\"}\"",
       "ANSWERED", 422, "caf\xc3\xa9", ""},
      {"pwd", "ANSWERED", 200, "/", ""},
      {"grep -E \"^Sig(Blk|Ign)\" /proc/self/status | grep -o .......$ | tr \"\\n\" \" \"",
       "ANSWERED", 200, "0000000 0000000", ""}, /* 32 and 33 are the C library's own */
  };

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct host_inst *in = shell(p, "v", NULL, rows[i].script);
    struct host_ticket *t = run(h, in, false);

    is_str(host_outcome(t->outcome), rows[i].outcome, "outcome of: %s", rows[i].script);
    is_int(t->code, rows[i].code, "its code");
    is_str(t->body, rows[i].body, "its message");
    like(t->detail, rows[i].detail, "its reason");
    end(h, in, "it");
  }
}

/* The codes of sysexits.h, as doc/exec.md has them. */
static void once_exit_codes(struct host *h, struct host_pool *p) {
  static const int codes[] = {400, 422, 422, 422, 502, 404, 500, 500,
                              500, 507, 500, 503, 502, 403, 500};
  char script[20];

  for (int i = 0; i < 15; i++) {
    snprintf(script, sizeof script, "exit %d", 64 + i);
    struct host_inst *in = shell(p, "x", NULL, script);
    is_int(run(h, in, false)->code, codes[i], "exit code %d", 64 + i);
    end(h, in, "it");
  }
}

/* The broker's thread is SCHED_BATCH while it is busy; a worker is not, whenever it started, though
 * the thread that starts it may have begun just then. */
static void once_scheduler(void) {
  static const struct sched_param none;
  struct host *h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
  struct host_pool *p = host_pool(h, NULL, NULL);
  struct host_inst *in = shell(p, "v", NULL, "set -- $(cat /proc/self/stat); echo ${41}");

  ok(sched_setscheduler(0, SCHED_BATCH, &none) == 0, "SCHED_BATCH");
  is_str(run(h, in, false)->body, "0", "a worker gets the usual scheduler");
  sched_setscheduler(0, SCHED_OTHER, &none);
  is_str(run(h, in, false)->body, "0", "and so do those after it");
  end(h, in, "scheduler");
  host_free(h, "scheduler");
}

static void once_ping(struct host *h, struct host_pool *p) {
  struct host_inst *in = shell(p, "p", NULL, "exit 1");
  struct host_ticket *t = run(h, in, true);

  is_int(t->code, 200, "a ping without ping = yes: the program is there");
  is_str(t->topics, "msg/p", "and answers for it");
  end(h, in, "ping = no");
  in = shell(p, "p", "ping=yes", "test $PEPPERBUS_TYPE = ping && test -z \"$(cat)\"");
  t = run(h, in, true);
  is_int(t->code, 200, "ping = yes: the command says so itself");
  is_str(t->topics, "msg/p", "by its exit code");
  end(h, in, "ping = yes");
  in = shell(p, "p", "ping=yes", "exit 69");
  is_int(run(h, in, true)->code, 404, "exit code 69: not registered");
  end(h, in, "69");

  /* A program that goes away is no failed attempt. */
  write_file("gone", "#!/bin/sh\nexit 0\n", 0755);
  snprintf(entry, sizeof entry, "entry=%s", path("gone"));
  in = host_topic(p, "msg", "gone", NULL, entry, NULL);
  is_int(run(h, in, false)->code, 200, "a script runs");
  unlink(path("gone"));
  t = run(h, in, false);
  is_str(host_outcome(t->outcome), "UNREACHABLE", "removed: unreachable");
  like(t->detail, "No such file", "and why");
  is_str(host_outcome(run(h, in, true)->outcome), "UNREACHABLE", "the ping says it too");
  write_file("gone", "#!/nosuch/interpreter\n", 0755);
  is_str(host_outcome(run(h, in, false)->outcome), "UNREACHABLE", "without its interpreter");
  write_file("gone", "#!/bin/sh\nexit 0\n", 0644);
  is_str(host_outcome(run(h, in, false)->outcome), "UNREACHABLE", "not executable");
  write_file("gone", "#!/bin/sh\nexit 0\n", 0755);
  is_int(run(h, in, true)->code, 200, "back again");
  end(h, in, "gone");
}

static void once_output(struct host *h, struct host_pool *p) {
  struct host_inst *in = shell(p, "o", "max_output=4kb",
                               "yes 0123456789abcdef | head -c 5000000; yes err | head -c "
                               "300000 >&2; echo; echo end; exit 1");
  struct host_ticket *t = run(h, in, false);

  ok(strlen(t->detail) < 10000 && strstr(t->detail, "err\nerr"), "a flood: its end is kept");
  end(h, in, "flood");
  in = shell(p, "o", "max_output=1kb", "yes x | head -c 3000; exit 207");
  t = run(h, in, false);
  is_int(t->code, 500, "a list that was cut is no list");
  like(t->detail, "max_output = 1024", "and the message names the key");
  end(h, in, "cut list");

  /* Somebody it left behind holds the output: a moment, no longer; and it may live on. */
  in = shell(p, "o", NULL, "sleep 60 & echo $! >$D/left; echo started");
  t = run(h, in, false);
  is_int(t->code, 200, "a process left behind with the output is not waited for");
  is_str(t->body, "started", "what was said is there");
  long left = read_number("left");
  ok(kill((pid_t)left, 0) == 0, "and it lives on");
  kill((pid_t)left, SIGKILL);
  end(h, in, "left behind");
}

static void once_cancel(struct host *h, struct host_pool *p) {
  double killed = host_stats(h)->metrics[KILLED];
  struct host_inst *in =
      shell(p, "c", "kill_after=20s",
            "trap \"echo bye; exit 0\" TERM; echo $$ >$D/pid; while :; do sleep 0.01; done");
  struct host_ticket *t;

  unlink(path("pid"));
  t = ask(h, in, false);
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid", WAIT), "it runs");
  host_cancel(t);
  is_int(t->completions, 0, "cancelled: not completed before it is dead");
  ok(host_wait(h, t, WAIT), "it is");
  is_str(host_outcome(t->outcome), "TIMEOUT", "as timed out");
  ok(host_stats(h)->metrics[KILLED] == killed, "TERM was enough");
  end(h, in, "TERM");

  /* A family that does not care for TERM. */
  unlink(path("pid"));
  in = shell(p, "c", NULL, "trap \"\" TERM; sleep 100 & sleep 100 & echo $$ >$D/pid; wait; wait");
  t = ask(h, in, false);
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid", WAIT), "a family runs");
  long pgid = read_number("pid");
  host_cancel(t);
  host_cancel(t);
  ok(host_wait(h, t, WAIT), "killed");
  ok(host_until(h, group_gone, (void *)pgid, WAIT), "with all of its group");
  ok(host_stats(h)->metrics[KILLED] == killed + 1, "which is counted");
  end(h, in, "KILL");

  /* destroy() by force. */
  unlink(path("pid"));
  in = shell(p, "c", NULL, "trap \"\" TERM; sleep 100 & echo $$ >$D/pid; wait");
  ask(h, in, false);
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid", WAIT), "another family runs");
  pgid = read_number("pid");
  host_drain(in);
  host_destroy(in);
  ok(host_until(h, group_gone, (void *)pgid, WAIT), "destroyed by force: nobody is left");
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

static void gate_set(int left) {
  __atomic_store_n(&gate.left, left, __ATOMIC_SEQ_CST);
}

static bool gate_holds(void *arg) {
  (void)arg;
  return __atomic_load_n(&gate.held, __ATOMIC_SEQ_CST);
}

/* Has every child of ours ended, and been reaped? */
static bool no_child(void *arg) {
  siginfo_t info = {0};

  (void)arg;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static bool none_open(void *in) {
  return !host_open(in);
}

static void submit_many(struct host *h, struct host_inst *in, struct host_ticket **t) {
  for (int i = 0; i < MANY; i++) {
    t[i] = host_submit(in, "x", 1);
    if (!t[i]) bail_out("submit %d: %d", i, host_submit_error(h));
  }
}

/* How many were cancelled before their process was begun. */
static int count_queued(struct host_ticket **t) {
  int n = 0;

  for (int i = 0; i < MANY; i++)
    if (strstr(t[i]->detail, "not started before the deadline")) n++;
  return n;
}

static void once_many(struct host *h, struct host_pool *p) {
  const double *metrics = host_stats(h)->metrics;
  struct host_ticket *t[MANY];
  struct host_inst *in;
  double spawned = metrics[SPAWNED];
  int done = 0, queued = 0, timeouts = 0;

  in = shell(p, "m", NULL, "echo $PEPPERBUS_JOB_ID");
  submit_many(h, in, t);
  ok(host_until(h, none_open, in, WAIT), "many at once");
  for (int i = 0; i < MANY; i++) done += t[i]->code == 200 && t[i]->completions == 1;
  is_int(done, MANY, "each is done once");
  is_int((long)(metrics[SPAWNED] - spawned), MANY, "by a process of its own");
  end(h, in, "many");

  /* Three are begun, a fourth is just now, the others wait; the last ones are cancelled first. */
  gate_set(3);
  in = shell(p, "m", NULL, "exec sleep 100");
  spawned = metrics[SPAWNED];
  submit_many(h, in, t);
  ok(host_until(h, gate_holds, NULL, WAIT), "some are begun");
  for (int i = MANY; i--;) host_cancel(t[i]);
  for (int i = MANY; i--;) host_cancel(t[i]);
  gate_set(-1);
  ok(host_until(h, none_open, in, WAIT), "many, cancelled at once");
  for (int i = 0; i < MANY; i++) timeouts += t[i]->outcome == PB_TIMEOUT && t[i]->completions == 1;
  queued = count_queued(t);
  is_int(timeouts, MANY, "each is timed out once");
  is_int((long)(metrics[SPAWNED] - spawned), MANY - queued, "no process but for those begun");
  ok(metrics[PROCESSES] == 0, "none runs");
  end(h, in, "cancelled");
  ok(host_until(h, no_child, NULL, WAIT), "all are reaped");
  is_int(queued, MANY - 4, "%d before their process was begun", queued);

  /* drain() waits for those that are begun and those that wait. */
  in = shell(p, "m", NULL, "exit 0");
  submit_many(h, in, t);
  host_drain(in);
  ok(!host_drained(in), "drain: not before its processes have ended");
  ok(host_until(h, is_drained, in, WAIT), "then it is drained");
  for (done = 0; done < MANY && t[done]->code == 200;) done++;
  is_int(done, MANY, "with all of them done");
  host_destroy(in);

  /* destroy() by force, with some that wait, one that starts just now, and some that run. */
  for (int turns = 0; turns < 12; turns += 4) {
    in = shell(p, "m", NULL, "exec sleep 100");
    submit_many(h, in, t);
    for (int i = 0; i < turns; i++) host_turn(h, 5);
    host_drain(in);
    host_destroy(in);
    ok(host_until(h, no_child, NULL, WAIT), "destroyed after %d turns: killed and reaped", turns);
  }
  in = shell(p, "m", NULL, "echo still here");
  is_str(run(h, in, false)->body, "still here", "and the next are started");

  /* A program that is not there, behind many that are. */
  write_file("gone", "#!/bin/sh\nexit 0\n", 0755);
  snprintf(entry, sizeof entry, "entry=%s", path("gone"));
  struct host_inst *gone = host_topic(p, "msg", "gone", NULL, entry, NULL);
  unlink(path("gone"));
  submit_many(h, in, t);
  struct host_ticket *late = ask(h, gone, false);
  host_drain(gone);
  ok(host_until(h, is_drained, gone, WAIT), "one that cannot be started is drained too");
  is_str(host_outcome(late->outcome), "UNREACHABLE", "and tells why it was not");
  host_destroy(gone);
  ok(host_until(h, none_open, in, WAIT), "the others are served");
  end(h, in, "still here");
}

struct ready {
  const struct host_inst *in;
  unsigned calls;
};

static bool is_ready(void *arg) {
  const struct ready *r = arg;

  return host_ready(r->in) > r->calls;
}

/* No more than so many wait; the others are refused, and each refusal is followed by ready(). */
static void once_full(struct host *h, struct host_pool *p) {
  enum { STARTS = 400 };
  struct host_inst *in = host_topic(p, "msg", "n", NULL, "entry=/bin/true", NULL);
  struct host_ticket *t[STARTS];
  unsigned n = 0, refused = 0, silent = 0, wrong = 0;

  gate_set(0); /* until the queue is full for the first time */
  while (n < STARTS) {
    unsigned ready = host_ready(in);

    t[n] = host_submit(in, "x", 1);
    if (t[n]) {
      n++;
      continue;
    }
    if (host_submit_error(h) != -EAGAIN) bail_out("%s", host_submit_why(h));
    refused++;
    gate_set(-1);
    silent += !host_until(h, is_ready, &(struct ready){in, ready}, WAIT);
  }
  gate_set(-1);
  ok(refused > 0, "400 starts do not wait in one queue (%u refused)", refused);
  is_int(silent, 0, "and ready() follows each refusal");
  for (unsigned i = 0; i < STARTS; i++)
    wrong += !host_wait(h, t[i], WAIT) || t[i]->completions != 1 || t[i]->code != 200;
  is_int(wrong, 0, "each is done, and told once");
  end(h, in, "many");
}

/* The plugin goes while orders wait and run. */
static void unload_many(bool resident) {
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

/* --- limits, user, secrets --- */

static bool limited(struct host *h, struct host_pool *p, const char *key, const char *script,
                    const char *want) {
  struct host_inst *in = shell(p, "l", key, script);
  struct host_ticket *t = run(h, in, false);
  bool same = strcmp(t->body, want) == 0;

  ok(same, "%s", key);
  if (!same) diag("got: %s | %s", t->body, t->detail);
  end(h, in, key);
  return same;
}

static void limits(struct host *h, struct host_pool *p) {
  char key[300], text[4000];
  struct pb_err err;
  struct host_inst *in;
  struct host_ticket *t;

  limited(h, p, "umask=027", "umask; ulimit -c", "0027\n0");
  limited(h, p, "nice=7", "nice", "7");
  limited(h, p, "limit_open_files=37", "ulimit -n", "37");
  limited(h, p, "limit_memory=512mb", "ulimit -v", "524288");
  limited(h, p, "limit_cpu=5s", "ulimit -t", "5");
  limited(h, p, "limit_file_size=4kb", "head -c 9000 /dev/zero >$D/big; wc -c <$D/big", "4096");
  limited(h, p, "limit_processes=50", "ulimit -p 2>/dev/null || ulimit -u", "50");

  in = shell(p, "l", "limit_cpu=1s", "while :; do :; done");
  t = run(h, in, false);
  is_str(host_outcome(t->outcome), "LOST", "over its CPU time: killed");
  end(h, in, "limit_cpu");

  /* Variables that loaders obey: the worker's does, the helper's, which may be root, does not. */
  in = host_topic(p, "msg", "l", &err, "entry=/bin/sh -c 'echo $LD_PRELOAD'", "nice=1",
                  "env=LD_PRELOAD=/nosuch/library.so", NULL);
  t = run(h, in, false);
  is_str(t->body, "/nosuch/library.so", "LD_PRELOAD reaches the worker");
  const char *told = strstr(t->detail, "/nosuch/library.so");
  ok(told && !strstr(told + 1, "/nosuch/library.so"), "and its loader alone looks for it");
  end(h, in, "LD_PRELOAD");

  /* The helper's own failure is not the program's. */
  write_file("prog", "#!/bin/sh\nexit 127\n", 0755);
  snprintf(entry, sizeof entry, "entry=%s", path("prog"));
  in = host_topic(p, "msg", "l", NULL, entry, "nice=1", NULL);
  is_int(run(h, in, false)->code, 500, "127 of the program is a failed attempt");
  unlink(path("prog"));
  t = run(h, in, false);
  is_str(host_outcome(t->outcome), "UNREACHABLE", "127 of the helper is not");
  like(t->detail, "cannot run", "and says why");
  end(h, in, "helper");

  snprintf(key, sizeof key, "env_file=%s", path("secrets"));
  write_file("secrets", "# comment\n\nTOKEN=s3cr3t word\nD=other\n", 0600);
  in = shell(p, "l", key, "echo $TOKEN; tr \"\\0\" \" \" </proc/$$/cmdline");
  t = run(h, in, false);
  ok(strncmp(t->body, "s3cr3t word\n", 12) == 0, "env_file: in the environment");
  unlike(t->body + 12, "s3cr3t", "and on no command line");
  end(h, in, "env_file");
  write_file("secrets", "TOKEN s3cr3t\n", 0600);
  ok(!host_topic(p, "msg", "l", &err, "entry=/bin/true", key, NULL), "a bad line is refused");
  snprintf(text, sizeof text, "%s:1", path("secrets"));
  like(err.text, text, "with its place");
  unlike(err.text, "s3cr3t", "without its text");

  if (geteuid() != 0) {
    ok(!host_topic(p, "msg", "l", &err, "entry=/bin/true", "user=daemon", NULL),
       "another user is refused where the broker is not root");
    like(err.text, "only a broker that runs as root", "and why");
    skip(3, "users can be tried as root only");
    return;
  }
  limited(h, p, "user=daemon", "id -un; id -gn; echo $HOME $USER",
          "daemon\ndaemon\n/usr/sbin daemon");
  limited(h, p, "group=daemon", "id -gn; id -Gn", "daemon\ndaemon");
  in = host_topic(p, "msg", "l", &err,
                  "entry=/bin/sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait'",
                  "user=games", "limit_processes=4", "kill_after=200ms", NULL);
  if (!in) bail_out("%s", err.text);
  t = run(h, in, false);
  like(t->detail, "fork", "a fork bomb ends at its limit");
  end(h, in, "limit_processes");
}

static void refusals(struct host *h, struct host_pool *p) {
  struct pb_err err;

  is_int(host_check(h, false, &err, "entry=a 'b", NULL), -EINVAL, "an open quote");
  is_str(err.option, "entry", "names its key");
  is_int(host_check(h, false, &err, "entry=bin/x", NULL), -EINVAL, "a relative path");
  is_int(host_check(h, false, &err, "entry=x", "directory=y", NULL), -EINVAL, "directory");
  is_int(host_check(h, false, &err, "entry=x", "umask=8", NULL), -EINVAL, "umask");
  is_int(host_check(h, false, &err, "entry=x", "env=A", NULL), -EINVAL, "env without =");
  is_int(host_check(h, false, &err, "entry=x", "env=PEPPERBUS_QUEUE=1", NULL), -EINVAL, "ours");
  is_int(host_check(h, false, &err, "entry=x", "env=A=1,B2=x y", NULL), 0, "what is right");
  ok(!host_topic(p, "msg", "r", &err, "entry=nosuchprogram -x", NULL), "not in PATH");
  like(err.text, "no program nosuchprogram in PATH", "which is said");
  ok(!host_topic(p, "msg", "r", &err, "entry=true", "user=nosuchuser", NULL), "no such user");
  like(err.text, "no user nosuchuser", "which is said");
}

/* What the keys name and what is not there, and where pull workers find the broker. */
static void names(void) {
  static const char *const nowhere[] = {"unix:/run/b.sock", "127.0.0.1:0", NULL};
  static const char *const somewhere[] = {"unix:/run/b.sock", "0.0.0.0:17", NULL};
  const struct pb_transport *exec = exec_LTX_pb_transport(), *pull = exec->next;
  struct pb_topic_info info = {.size = sizeof info, .listen = nowhere};
  struct exec_conf conf = {.user = "root", .group = "root", .env_file = "/etc/passwd"};
  struct pb_err err = {0};

  is_int(exec->check_topic(&info, NULL, &conf, &err), 0, "user, group and file are there");
  conf.connect = "";
  is_int(pull->check_topic(&info, NULL, &conf, &err), -EINVAL, "pull: no address with a port");
  like(err.text, "connect is missing", "says what is missing");
  conf.connect = "10.0.0.1:7";
  is_int(pull->check_topic(&info, NULL, &conf, &err), 0, "with connect");
  conf.connect = "";
  info.listen = somewhere;
  is_int(pull->check_topic(&info, NULL, &conf, &err), 0, "with such an address");
  conf.env_file = "/etc/passwd/env";
  is_int(pull->check_topic(&info, NULL, &conf, &err), -ENOENT, "no such file");
  is_str(err.option, "env_file", "names its key");
  conf.group = "nosuchgroup";
  is_int(exec->check_topic(&info, NULL, &conf, &err), -ENOENT, "no such group");
  is_str(err.option, "group", "names its key");
  conf.user = "nosuchuser";
  is_int(exec->check_topic(&info, NULL, &conf, &err), -ENOENT, "no such user");
  like(err.text, "no user nosuchuser", "says which");
}

/* --- processes that stay --- */

#define LOOP(body)                                                                                 \
  "while read -r l; do case $l in *ping*) echo \"{\\\"code\\\":200}\";; *) " body ";; esac; done"

static void resident_answers(struct host *h, struct host_pool *p) {
  struct host_inst *in;
  struct host_ticket *t;

  host_workers(h, 2);
  in = shell(p, "a", "resident=yes",
             LOOP("echo \"PHP Notice\"; echo; printf \"%s\\n\" \"$l\" >$D/line; echo "
                  "\"{\\\"code\\\":200,\\\"msg\\\":\\\"a \\\\u00e4\\\"}\""));
  t = host_submit(in, NULL, 0);
  ok(t != NULL, "a ping before a process is up is taken");
  if (!t || !host_wait(h, t, WAIT)) bail_out("not answered");
  is_int(t->code, 200, "a ping");
  is_str(t->topics, "msg/a", "a plain 200 answers for the topic");
  t = run(h, in, false);
  is_int(t->code, 200, "a request");
  is_str(t->body, "a ä", "its message");
  ok(host_stats(h)->metrics[NOISE] == 1, "noise is counted");
  ok(comes_to(h, PROCESSES, 2) && host_stats(h)->metrics[SPAWNED] == 2,
     "two processes, not one for each request");
  char line[600] = "", want[600];
  FILE *f = fopen(path("line"), "r");
  if (!f || !fgets(line, sizeof line, f)) bail_out("no line");
  fclose(f);
  snprintf(want, sizeof want,
           "{\"type\":\"data\",\"queue\":\"msg\",\"topic\":\"a\",\"outTraceId\":\"%llu-2130706433-"
           "12017\","
           "\"traceparent\":\"00-40000000000000017f0000012ef10000-4000000000000002-01\","
           "\"jobs\":[{\"id\":\"4611686018427387905\",\"content\":\"x\"}]}\n",
           (unsigned long long)t->id);
  is_str(line, want, "the request's line");
  end(h, in, "answers");
  ok(host_stats(h)->metrics[PROCESSES] == 0, "none is left");

  in = shell(
      p, "b", "resident=yes",
      LOOP("echo trouble >&2; echo \"{\\\"code\\\":207,\\\"jobs\\\":[{\\\"id\\\":\\\"1\\\"}]}\""));
  t = run(h, in, false);
  is_int(t->code, 207, "207");
  is_str(t->body, "[{\"id\":\"1\"}]", "with its list");
  is_str(t->detail, "trouble", "and what was said on standard error");
  end(h, in, "207");

  in = shell(p, "c", "resident=yes",
             LOOP("echo \"{\\\"code\\\":404,\\\"topics\\\":[\\\"x/y\\\"]}\""));
  t = run(h, in, false);
  is_int(t->code, 404, "404");
  is_str(t->topics, "[\"x/y\"]", "topics as the worker says");
  end(h, in, "404");
}

/* How often a process is started within that time when each pause is twice the one before. */
static unsigned starts_within(uint64_t ms, uint64_t pause) {
  unsigned n = 1;

  for (uint64_t due = pause; due <= ms; due += pause) {
    pause *= 2;
    n++;
  }
  return n;
}

static void resident_deaths(struct host *h, struct host_pool *p) {
  struct host_inst *in;
  struct host_ticket *t, *u;
  char health[300];

  host_workers(h, 2);
  unlink(path("pid"));
  in = shell(
      p, "d", "resident=yes",
      LOOP("case $l in *die*) echo oops >&2; exit 3;; *) echo \"{\\\"code\\\":200}\";; esac"));
  t = run(h, in, false);
  is_int(t->code, 200, "before");
  host_json(h, "[\"die\"]");
  t = ask(h, in, false);
  host_json(h, "[\"live\"]");
  u = ask(h, in, false);
  ok(host_wait(h, t, WAIT) && host_wait(h, u, WAIT), "one of two dies");
  is_str(host_outcome(t->outcome), "LOST", "its request is lost");
  like(t->detail, "exit code 3 during the request; whether it was done is not known: oops",
       "and says how");
  is_int(u->code, 200, "the other's is not");
  for (int i = 0; i < 3; i++) is_int(run(h, in, false)->code, 200, "and it goes on");
  ok(host_until(h, restarted, h, WAIT), "started again");
  end(h, in, "deaths");

  /* One that cannot start: not reachable, with its words, and no spin. */
  host_workers(h, 2);
  double spawned = host_stats(h)->metrics[SPAWNED];
  uint64_t began = host_now_ms(h);
  in = host_topic(p, "msg", "e", NULL, "resident=yes", "restart_backoff=50ms..10s",
                  "entry=/bin/sh -c 'echo Parse error >&2; exit 255'", NULL);
  t = run(h, in, true);
  is_str(host_outcome(t->outcome), "UNREACHABLE", "a worker that cannot start");
  like(t->detail, "exit code 255: Parse error", "in its own words");
  ok(host_stats(h)->metrics[SPAWNED] - spawned <= 2 * starts_within(host_now_ms(h) - began, 50),
     "without a spin");
  end(h, in, "cannot start");

  /* Answers that cannot be trusted. */
  host_workers(h, 1);
  static const struct {
    const char *script, *outcome, *why;
  } rows[] = {
      {"echo \"{\\\"code\\\":200,\\\"outTraceId\\\":\\\"1\\\"}\"", "GARBLED", "another request"},
      {"yes xxxxxxxxxxxxxxxx | tr -d \"\\n\" | head -c 5000; echo", "GARBLED",
       "longer than max_output"},
      {"exec 1>&-; sleep 60", "LOST", ""},
      {"kill -9 $$", "LOST", "signal 9"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char script[600];

    snprintf(script, sizeof script, LOOP("%s"), rows[i].script);
    snprintf(entry, sizeof entry, "entry=/bin/sh -c '%s'", script);
    in = host_topic(p, "msg", "f", NULL, entry, "resident=yes", "max_output=4kb",
                    "kill_after=100ms", NULL);
    t = run(h, in, false);
    is_str(host_outcome(t->outcome), rows[i].outcome, "%s", rows[i].script);
    like(t->detail, rows[i].why, "and why");
    is_int(run(h, in, true)->code, 200, "the next process answers");
    end(h, in, "trust");
  }
  in = shell(p, "g", "resident=yes", LOOP("printf \"{\\\"code\\\":200}\\n{\\\"code\\\":500}\\n\""));
  is_int(run(h, in, false)->code, 200, "one that answers twice");
  is_int(run(h, in, false)->code, 200, "has its second answer taken for no other request");
  exec_LTX_pb_transport()->health(host_plugin_inst(in), health, sizeof health);
  like(health, "answered though it was not asked", "health tells of it");
  end(h, in, "twice");

  /* What has left its group goes on printing when it is dead. */
  in = shell(p, "y", "resident=yes", LOOP("setsid yes & sleep 0.1; kill -9 $$"));
  t = run(h, in, false);
  is_str(host_outcome(t->outcome), "LOST", "one dies, and somebody prints on: lost, at once");
  end(h, in, "prints on");
}

static void resident_life(struct host *h, struct host_pool *p) {
  struct host_inst *in;
  struct host_ticket *t;
  double spawned;

  host_workers(h, 1);
  snprintf(entry, sizeof entry, "entry=/bin/sh -c '%s'",
           LOOP("echo \"{\\\"code\\\":200,\\\"msg\\\":\\\"$$\\\"}\""));
  spawned = host_stats(h)->metrics[SPAWNED];
  in = host_topic(p, "msg", "m", NULL, entry, "resident=yes", "max_requests=2", NULL);
  char first[40];
  t = run(h, in, false);
  snprintf(first, sizeof first, "%s", t->body);
  is_str(run(h, in, false)->body, first, "two requests to one process");
  ok(strcmp(run(h, in, false)->body, first) != 0, "the third to the next one");
  ok(host_stats(h)->metrics[SPAWNED] == spawned + 2, "max_requests = 2");
  end(h, in, "max_requests");

  unlink(path("pid"));
  in = shell(p, "k", "resident=yes",
             LOOP("trap \"\" TERM; sleep 100 & echo $$ >$D/pid; wait; wait"));
  t = ask(h, in, false);
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid", WAIT), "a request hangs");
  long pgid = read_number("pid");
  host_cancel(t);
  is_int(t->completions, 0, "not completed before it is dead");
  ok(host_wait(h, t, WAIT), "it is");
  is_str(host_outcome(t->outcome), "TIMEOUT", "as timed out");
  ok(host_until(h, group_gone, (void *)pgid, WAIT), "with all of its group");
  is_int(run(h, in, true)->code, 200, "the next process answers");

  /* A drain lets the request end, and the process go by itself. */
  end(h, in, "cancel");
  snprintf(entry, sizeof entry, "entry=/bin/sh -c '%s; echo bye >$D/bye'",
           LOOP("echo $$ >$D/pid2; sleep 0.3; echo "
                "\"{\\\"code\\\":200,\\\"msg\\\":\\\"late\\\"}\""));
  in = host_topic(p, "msg", "n", NULL, entry, told_dir, "resident=yes", "kill_after=1m", NULL);
  t = ask(h, in, false);
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid2", WAIT), "a request runs");
  host_drain(in);
  ok(host_until(h, is_drained, in, WAIT), "drained");
  is_str(t->body, "late", "after the request's end");
  ok(there("bye"), "and the process saw the end of its input");
  host_destroy(in);

  /* More than a pipe holds, to a process that does not read. */
  char *big = malloc(3 << 20);
  if (!big) bail_out("no memory");
  memset(big, 'x', 3 << 20);
  memcpy(big, "[\"", 2);
  memcpy(big + (3 << 20) - 3, "\"]", 3);
  host_json(h, big);
  in = host_topic(p, "msg", "big", NULL, "resident=yes",
                  "entry=sed -u -e 's/^{\"type\":\"ping\".*/{\"code\":200}/' -e "
                  "'s/^{\"type\":\"data\".*xx\"]}$/{\"code\":200,\"msg\":\"whole\"}/'",
                  NULL);
  t = run(h, in, false);
  is_str(t->body, "whole", "3 MB in a line");
  end(h, in, "large");
  in = shell(p, "big2", "resident=yes", "read -r l; echo \"{\\\"code\\\":200}\"; sleep 60");
  t = ask(h, in, false);
  host_turn(h, 20);
  host_cancel(t);
  ok(host_wait(h, t, WAIT), "3 MB that nobody reads, cancelled");
  is_str(host_outcome(t->outcome), "TIMEOUT", "as timed out");
  end(h, in, "not read");
  host_json(h, "[]");
  free(big);

  unlink(path("pid"));
  in = shell(p, "z", "resident=yes", "trap \"\" TERM; echo $$ >$D/pid; while :; do sleep 1; done");
  ok(host_until(h, file_there, (void *)(uintptr_t) "pid", WAIT), "one that does not care");
  pgid = read_number("pid");
  host_destroy(in);
  ok(host_until(h, group_gone, (void *)pgid, WAIT), "destroyed by force: nobody is left");
}

static void resident_many(struct host *h, struct host_pool *p) {
  const double *metrics = host_stats(h)->metrics;

  host_workers(h, MANY);
  for (int turns = 0; turns < 4; turns++) {
    double spawned = metrics[SPAWNED];
    struct host_inst *in;

    gate_set(turns < 2 ? 0 : -1);
    in = shell(p, "m", "resident=yes", LOOP("exit 1"));
    for (int i = 0; i < turns; i++) host_turn(h, 1);
    host_drain(in);
    gate_set(-1);
    ok(host_until(h, is_drained, in, WAIT), "drained %d turns after its start", turns);
    if (turns < 2)
      ok(metrics[SPAWNED] - spawned <= 1, "%.0f processes were made, not all",
         metrics[SPAWNED] - spawned);
    host_destroy(in);
    ok(host_until(h, no_child, NULL, WAIT), "nobody is left");
    in = shell(p, "m", "resident=yes", LOOP("exit 1"));
    for (int i = 0; i < turns; i++) host_turn(h, 1);
    host_destroy(in);
    ok(host_until(h, no_child, NULL, WAIT), "nor when it is destroyed by force");
  }
  host_workers(h, 2);
}

/* --- pull workers --- */

static void pulling(void) {
  struct host *h = tap_host(exec_LTX_pb_transport()->next, HOST_REAL);
  struct host_pool *p = host_pool(h, NULL, NULL);
  struct host_inst *in;
  struct host_ticket *t;
  struct pb_err err;

  host_workers(h, 2);
  snprintf(told_dir, sizeof told_dir, "env=D=%s", dir);
  in = host_topic(p, "msg", "p", &err,
                  "entry=/bin/sh -c 'echo $$ >$D/pull.$$; echo \"$0 $1 $PEPPERBUS_PASSWORD "
                  "$REDISCLI_AUTH\" >$D/words; "
                  "trap \"exit 0\" TERM; while :; do sleep 0.02; done' %q/%t %h:%p",
                  "connect=10.0.0.1:7", "pull_password=se cret", told_dir, "kill_after=20s", NULL);
  if (!in) bail_out("%s", err.text);
  like(host_last_log(h), "connect = 10.0.0.1:7, and the broker listens at no such port", "told");
  t = run(h, in, true);
  is_int(t->code, 200, "pull: a ping");
  is_str(t->topics, "msg/p", "for the topic");
  char words[300] = "";
  ok(host_until(h, has_line, words, WAIT), "they run");
  is_str(words, "msg/p 10.0.0.1:7 se cret msg/p:se cret\n",
         "words filled in, the password in the environment");
  ok(!host_submit(in, "x", 1), "no job is sent");
  is_int(host_submit_error(h), -EOPNOTSUPP, "but refused");
  end(h, in, "pull");
  ok(host_stats(h)->metrics[KILLED] == 0, "TERM was enough");

  in = host_topic(p, "msg", "f", &err, "entry=/bin/sh -c 'echo no such class; exit 64'",
                  "restart_backoff=100ms..10s", NULL);
  double spawned = host_stats(h)->metrics[SPAWNED];
  t = run(h, in, true);
  for (uint64_t until = host_now_ms(h) + WAIT; t->outcome != PB_UNREACHABLE;) {
    if (host_now_ms(h) > until) break;
    host_turn(h, 10);
    t = run(h, in, true);
  }
  for (int i = 0; i < 40; i++) host_turn(h, 10);
  is_str(host_outcome(t->outcome), "UNREACHABLE", "workers that end at once");
  like(t->detail, "exit code 64: no such class", "in their own words");
  ok(host_stats(h)->metrics[SPAWNED] - spawned < 20, "no spin");
  end(h, in, "failing");

  is_int(host_check(h, false, &err, "entry=w %x", NULL), -EINVAL, "an unknown %% letter");
  is_int(host_check(h, false, &err, "entry=w -a %a", NULL), 0, "%%a is allowed");
  in = host_topic(p, "msg", "a", &err, "entry=/bin/sleep 60 %a", "pull_password=pw", NULL);
  ok(!in || strstr(host_last_log(h), "every user of this machine"), "with a warning");
  if (in) end(h, in, "%a");
  host_free(h, "pull");
}

int main(void) {
  struct host *h;
  struct host_pool *p;
  char command[100];

  signal(SIGPIPE, SIG_IGN);
  snprintf(dir, sizeof dir, "%.40s/pbexec.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(dir)) bail_out("mkdtemp: %s", strerror(errno));
  if (chmod(dir, 0777) < 0) bail_out("chmod: %s", strerror(errno));
  h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
  p = host_pool(h, NULL, NULL);
  once_verdicts(h, p);
  once_exit_codes(h, p);
  once_ping(h, p);
  once_output(h, p);
  once_cancel(h, p);
  host_workers(h, MANY);
  once_many(h, p);
  once_full(h, p);
  host_workers(h, 8);
  limits(h, p);
  refusals(h, p);
  names();
  host_free(h, "one process for each request");
  h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
  p = host_pool(h, NULL, NULL);
  resident_answers(h, p);
  resident_deaths(h, p);
  resident_life(h, p);
  resident_many(h, p);
  host_free(h, "processes that stay");
  once_scheduler();
  unload_many(false);
  unload_many(true);
  pulling();
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command) != 0) diag("%s is left", dir);
  return done_testing();
}
