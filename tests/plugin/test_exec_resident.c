/* The exec transport with processes that stay, and with pull workers. One process for each request:
 * test_exec.c.
 */
#include "exec_fixture.h"

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
      {"head -c 5000 /dev/zero | tr \"\\0\" x >$D/long; echo >>$D/long; cat $D/long", "GARBLED",
       "longer than max_output"}, /* in one write */
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

  fixture_begin();
  h = tap_host(exec_LTX_pb_transport(), HOST_REAL);
  p = host_pool(h, NULL, NULL);
  resident_answers(h, p);
  resident_deaths(h, p);
  resident_life(h, p);
  resident_many(h, p);
  host_free(h, "processes that stay");
  unload_many(true);
  pulling();
  fixture_end();
  return done_testing();
}
