#!/usr/bin/env python3
"""Commands as workers, one process for each request: outcomes, deadlines, many at once, files that
cannot be run, limits, secrets, and what `pepperbusd -t` says of keys."""

import os
from pathlib import Path

from harness import CommandCase, equals, main, wait_until

ONCE = """job=$(cat)
case $job in
*good*) echo "$PEPPERBUS_JOB_ID $PEPPERBUS_ATTEMPT" >>"$T/once"; echo done ;;
*bad*) echo "cannot do it" >&2; exit 65 ;;
*dead*) kill -9 $$ ;;
*hang*) echo $$ >>"$T/hang"; (trap '' TERM; sleep 300) & wait ;;
*flood*) yes flood | head -c 3000000; exit 1 ;;
esac
"""
MANY = """echo $$ >>"$T/many"
case $(cat) in *quick*) exit 0 ;; esac
exec sleep 300
"""


def group(pgid):
    """Processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(pgid):
            found.append(stat.parent.name)
    return found


class Once(CommandCase):
    """One process for each request."""

    def once(self, timeout="20s"):
        return ("o/once", f"entry = {self.dir}/bin/once\nworkers = 4\nattempts = 2\nbackoff = 10ms\n"
                          f"timeout = {timeout}\nkill_after = 200ms")

    def setUp(self):
        super().setUp()
        self.script("once", ONCE)
        self.start(self.once())
        self.b.becomes("o/once", "state", "open", 10, "a command opens its topic")

    def test_three_jobs_are_three_processes(self):
        self.b.push("o", "good", "good", "good")
        self.b.becomes("o/once", "done", 3, 10, "three jobs, three processes")
        ran = [line.split() for line in self.lines("once")]
        self.assertEqual({attempt for _, attempt in ran}, {"1"}, "each in its first attempt")
        self.assertEqual(len({job for job, _ in ran}), 3, "with its job's id")

    def fails(self, job, what, error=None):
        before = self.b.topic("o/once")["dead"]
        self.b.push("o", job)
        self.b.becomes("o/once", "dead", before + 1, 20, what)
        if error:
            self.b.complains("o/once", error, what)

    def test_exit_codes_signals_and_floods_are_failed_attempts(self):
        self.fails("bad", "exit code 65: a failed attempt, twice", "exit code 65: cannot do it")
        self.fails("dead", "killed by a signal: the same", "signal 9.*whether the job was done is not known")
        self.fails("flood", "a flood of output is an error like another")

    def test_a_test_tells_the_message_or_the_error(self):
        self.assertEqual(self.tried("o/once", "good"), (200, "done"), "test: the message")
        code, message = self.tried("o/once", "bad")
        self.assertEqual(code, 500, "test: a failure")
        self.assertIn("cannot do it", message, "test: the error")

    def test_the_deadline_ends_the_process_and_its_family(self):
        self.reload(self.once("3s"))
        self.b.becomes("o/once", "timeout_ms", 3000, 10, "a shorter timeout")
        self.b.becomes("o/once", "state", "open", 10)
        self.fails("hang", "a job that hangs fails at its deadline, twice")
        self.assertEqual(len(self.lines("hang")), 2, "it was there twice")
        equals(lambda: [p for pid in self.lines("hang") for p in group(pid)], [], 10,
               "nothing of it is left, nor of what it started")


class ManyAtOnce(CommandCase):
    """More at once than are started within their deadline; a stop in the midst of starts."""

    def many(self, timeout):
        return ("m/many", f"entry = {self.dir}/bin/many\nworkers = 300\nattempts = 1\ntimeout = {timeout}\n"
                          "kill_after = 200ms")

    def setUp(self):
        super().setUp()
        self.script("many", MANY)

    def left(self):
        return self.alive("many", rf"{self.dir}/bin/many|^sleep 300$")

    def push(self, name):
        self.push_each("m", [f"{name}{i}" for i in range(300)])

    def figure(self, name):
        return self.b.metrics()[f'pepperbus_{name}{{queue="m",topic="many"}}']

    def test_those_that_wait_are_cancelled_and_those_that_start_are_killed(self):
        b = self.start(self.many("10ms"))
        b.becomes("m/many", "state", "open", 10, "a topic of 300 at a time")
        b.admin.post("/api/v1/topics/m/many/pause")
        self.push("job")
        b.admin.post("/api/v1/topics/m/many/resume")
        b.becomes("m/many", "dead", 300, 20, "300 jobs fail at a deadline of 10 ms")
        equals(lambda: self.figure("exec_processes"), 0, 10, "no process of theirs is left")
        self.assertLess(self.figure("exec_spawned_total"), 300, "fewer were started than asked for")

    def test_a_stop_in_the_midst_of_starts_leaves_nobody_and_loses_nothing(self):
        b = self.start(self.many("60s"), server="drain_timeout = 1s")
        b.becomes("m/many", "state", "open", 10, "a deadline that is long enough")
        self.push("quick")
        b.becomes("m/many", "done", 300, 30, "300 jobs by 300 processes")
        self.push("job")
        self.assertEqual(b.stop(), 0, "stopped in the midst of starts")
        equals(self.left, 0, 10, "and nobody is left")
        b.write(self.topics(self.many("500ms")))
        b.start()
        b.becomes("m/many", "dead", 300, 20, "what ran or waited is there after the restart")
        equals(self.left, 0, 10, "and is killed at its deadline")

    def test_producers_are_served_between_a_thousand_processes(self):
        b = self.start(("n/many", "workers = 16\nentry = /bin/true"))
        b.becomes("n/many", "state", "open", 10, "a command that does nothing")

        def served():
            """After each PING, how many jobs are done; until all are."""
            seen = []
            with b.client("n:secret-pw", unix=True) as c:
                wait_until(lambda: c.call("PING") and seen.append(b.topic("n/many")["done"]) or seen[-1] == 1000, 30,
                           lambda: f"not all are done: {seen[-1:]}", pause=0)
            return seen

        # Two producers, for one of them may stand still itself.
        other = self.beside(served)
        b.push("n", *range(1000))
        seen = sorted(served() + other.result(600))
        t = b.topic("n/many")
        self.assertEqual((t["done"], t["failed"]), (1000, 0), "a thousand jobs, a thousand processes")
        self.assertLess(max(now - was for was, now in zip([0] + seen, seen)), 500,
                        "and no producer waited for most of them")


class NotToBeRun(CommandCase):
    """Files that are executable and that the kernel will not run."""

    WHY = {"crlf": "interpreter /bin/sh: the line ends with a carriage return",
           "nowhere": "interpreter /nowhere/sh: No such file",
           "text": "first line is not #!",
           "dir": "Is a directory"}

    def test_a_look_finds_what_is_wrong(self):
        """Else the topic opens and closes for ever."""
        for name, text in (("crlf", "#!/bin/sh\r\necho\r\n"), ("nowhere", "#!/nowhere/sh\necho\n"), ("text", "echo\n")):
            (self.dir / self.write(f"bin/{name}", "", 0o755)).write_bytes(text.encode())
        entries = {**{n: f"{self.dir}/bin/{n}" for n in ("crlf", "nowhere", "text")}, "dir": f"{self.dir}/bin/."}
        b = self.start(*((f"w/{name}", f"entry = {entry}") for name, entry in entries.items()))
        for name in entries:
            b.becomes(f"w/{name}", "state", "unreachable", 10, f"w/{name} cannot be run")
        b.push("w", "job")
        for name, why in self.WHY.items():
            self.assertIn(why, b.topic(f"w/{name}")["why"], f"{name}: says why")
        self.script("nowhere", "cat >/dev/null")
        b.becomes("w/nowhere", "done", 1, 10, "mended: its job is done")
        self.assertEqual(b.topic("w/text")["attempts"], 0, "no attempt of the others")
        self.assertFalse(b.logged("w/(crlf|text).*workers are back"), "and nobody took them for mended")


class Surroundings(CommandCase):
    """Limits, users, secrets, descriptors."""

    def test_a_fork_bomb_of_another_user_ends(self):
        if os.geteuid():
            self.skipTest("not root")
        self.script("forks",
                    "while read -r line; do :; done\nfor i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done\nwait\n")
        b = self.start(("f/bomb", f"entry = {self.dir}/bin/forks\nuser = games\nlimit_processes = 5\nattempts = 1\n"
                                  "timeout = 20s\nkill_after = 100ms"))
        b.becomes("f/bomb", "state", "open", 10, "a command of another user")
        b.push("f", "x")
        b.becomes("f/bomb", "dead", 1, 15, "its fork bomb ends at limit_processes or the deadline")
        b.complains("f/bomb", "[Ff]ork", "and says why")

    def secret_topics(self):
        self.script("fds", r"ls -l /proc/self/fd | grep -c 'socket\|eventpoll\|anon_inode'")
        self.secret = f"verysecret{os.getpid()}"  # nobody else on this machine has it
        self.write("env", f"TOKEN={self.secret}\n", 0o600)
        listing = f"ps axww -o args | grep -c verysec[r]et{os.getpid()}"
        self.start(("s/fds", f"entry = {self.dir}/bin/fds"),
                   ("s/secret", f'env_file = {self.dir}/env\nentry = sh -c "echo $TOKEN; {listing}"'))
        self.b.becomes("s/secret", "state", "open", 10, "a topic with a secret opens")
        return self.b

    def test_a_worker_has_none_of_the_brokers_descriptors(self):
        self.secret_topics()
        self.assertIn("exit code 1: 0", self.tried("s/fds", "x")[1], "a worker has none of the broker's descriptors")

    def test_a_secret_reaches_the_worker_and_nobody_else(self):
        b = self.secret_topics()
        message = self.tried("s/secret", "x")[1]
        self.assertIn(self.secret, message, "a secret reaches the worker")
        self.assertIn(f"exit code 1: {self.secret}\n0", message, "and nobody sees it in ps")
        self.assertNotIn("verysecret", b.admin.get("/api/v1/topics/s/secret").text, "nor in the API")

    def test_an_env_file_that_is_not_there_stops_only_its_topic(self):
        """A reload refuses it, a start goes on without that topic, and a reload after it was put there opens it."""
        b = self.secret_topics()
        (self.dir / "env").rename(self.dir / "env.away")
        b.reload()
        wait_until(lambda: b.logged(r"b\.ini:[0-9]+: .topic s/secret. env_file = .*: there is no file"), 10,
                   "a reload without its env_file is refused")
        self.assertEqual(b.topic("s/secret")["state"], "open", "and the old topic goes on")
        self.assertEqual(b.stop(), 0, "a clean stop")
        b.start()
        b.becomes("s/fds", "state", "open", 10, "a broker starts without it")
        t = b.topic("s/secret")
        self.assertEqual(t["state"], "broken", "only its topic does not run")
        self.assertRegex(t["why"], "cannot read .*/env: No such file", "and says why")
        (self.dir / "env.away").rename(self.dir / "env")
        b.reload()
        b.becomes("s/secret", "state", "open", 10,
                  "a reload opens it when the file is there, though no key has changed")

    def test_a_ping_that_fails_with_a_long_message_is_told_once(self):
        b = self.start(("d/long", 'ping = yes\nentry = sh -c "echo . >>$T/pings; printf %0900d 7 >&2; exit 64"'))
        wait_until(lambda: len(self.lines("pings")) >= 4, 20, "a command that refuses its ping is asked again")
        self.assertEqual(len(b.logged("d/long: its worker does not accept the topic")), 1,
                         "and its message is logged once")
        equals(lambda: len(b.admin.get("/api/v1/topics/d/long/errors").json["errors"]), 1, 5, "and kept once")


class Checked(CommandCase):
    """What `pepperbusd -t` says of keys: file, line and what would be right."""

    def faults(self, keys):
        b = self.start(("q/t", keys), start=False)
        r = b.check()
        self.assertNotEqual(r.status, 0, "it is refused")
        return r.out + r.err

    def test_a_pipe_needs_a_shell(self):
        self.assertRegex(self.faults("entry = /bin/true | cat"), r"b\.ini:[0-9]+:.*needs a shell")

    def test_keys_that_do_not_fit_together(self):
        self.assertRegex(self.faults("entry = /bin/true\nresident = yes\nping = yes"), r"b\.ini:[0-9]+:.*always asked")

    def test_connect_is_an_address(self):
        self.assertRegex(self.faults("run_type = pull\nentry = /bin/true\nconnect = here"),
                         r"b\.ini:[0-9]+:.*no HOST:PORT")

    def test_a_user_that_is_not_there(self):
        self.assertRegex(self.faults("entry = /bin/true\nuser = nosuchuser"),
                         r"b\.ini:[0-9]+: \[topic q/t\] user = nosuchuser: there is no user")


if __name__ == "__main__":
    main()
