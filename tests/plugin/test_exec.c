/* The exec transport with one process for each request. Processes that stay: test_exec_resident.c.
 */
#include "exec_fixture.h"

#include <sched.h>

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

int main(void) {
  struct host *h;
  struct host_pool *p;

  fixture_begin();
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
  once_scheduler();
  unload_many(false);
  fixture_end();
  return done_testing();
}
