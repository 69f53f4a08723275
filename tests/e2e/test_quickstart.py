#!/usr/bin/env python3
"""scripts/quickstart with the programs that are built already: what it shows, that two at the same
time do not meet, that it ends on a signal, and that nothing is left behind."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

from harness import PEPPERBUSCTL, PEPPERBUSD, PLUGIN_DIR, ROOT, Case, equals, main, wait_until
from harness.fpm import FPM_BIN

QUICKSTART = ROOT / "scripts" / "quickstart"


class Quickstart(Case):
    def setUp(self):
        super().setUp()
        for program in ("redis-server", "redis-cli", "php", "curl", "setsid", PEPPERBUSD, PEPPERBUSCTL):
            self._need(shutil.which(program), program)
        self._need(FPM_BIN, "php-fpm")
        loaded = self.run_program("php", "-r", 'exit(extension_loaded("redis") ? 0 : 1);')
        self._need(loaded.status == 0, "PHP's redis extension")
        if shutil.which("dpkg-query") and self.run_program(ROOT / "scripts/install-deps", "--check", "run").status != 0:
            self.skipTest("packages are missing that scripts/quickstart would install")

    def run_it(self, name, *args, broker=PEPPERBUSD):
        """With a folder of its own for what it makes."""
        (self.dir / name).mkdir()
        return self.spawn(QUICKSTART, *args, name=name, env={
            "TMPDIR": str(self.dir / name), "PEPPERBUSD": str(broker), "PEPPERBUSCTL": PEPPERBUSCTL,
            "PEPPERBUS_PLUGIN_DIR": PLUGIN_DIR})

    def said(self, name):
        return "\n".join(self.lines(f"{name}.log"))

    def shows(self, name, pattern, seconds, what):
        wait_until(lambda: re.search(pattern, self.said(name)), seconds, what)

    def script(self, name, text):
        return self.write(name, text, 0o755)

    def left(self, name):
        """Processes that are at home in a run's folder, or have it in their arguments."""
        folder, found = f"{self.dir}/{name}/", []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (f"{os.readlink(process / 'cwd')}/".startswith(folder)
                        or folder in (process / "cmdline").read_bytes().decode("utf-8", "replace")):
                    found.append(process.name)
            except OSError:
                pass  # it has ended meanwhile
        return found

    def is_clean(self, name):
        self.assertEqual(self.left(name), [], f"{name}: no process is left")
        self.assertEqual(os.listdir(self.dir / name), [], f"{name}: no file is left")


class Once(Quickstart):
    def test_two_at_the_same_time_do_not_meet(self):
        runs = {name: self.run_it(name, "--once") for name in ("one", "two")}
        for name, run in runs.items():
            self.assertEqual(run.wait(300), 0, f"{name}: exit code")
            out = self.said(name)
            for pattern, what in (
                    ("added job [0-9]+ to hello", "the producer's line"),
                    ("HelloWorker: job [0-9]+, attempt 1", "a worker's line"),
                    ("500 +quickstart +RuntimeException: the worker is broken", "why the worker failed"),
                    ("2 jobs due at once", "the replay"),
                    ("It works", "the end")):
                self.assertRegex(out, pattern, f"{name}: {what}")
            self.assertEqual(len(re.findall("FragileWorker: job .*broken worker", out)), 2,
                             f"{name}: the replayed jobs were handled")
            self.assertRegex(out.rpartition("replay hello/fragile")[2], r"hello/fragile +open +0 +0 +0 +0",
                             f"{name}: it is drained")
            self.assertNotIn("\x1b", out, f"{name}: no colours where there is no terminal")
            self.assertNotRegex(out, "Building|Preparing", f"{name}: nothing was built")
            self.is_clean(name)

    def test_what_it_cannot_do_is_a_failure(self):
        self.assertEqual(self.run_program(QUICKSTART, "--nonsense").status, 2, "an unknown argument")
        self.assertEqual(self.run_it("nothing", "--once", broker=self.dir / "no" / "pepperbusd").wait(), 1,
                         "a program that is not there")
        self.is_clean("nothing")

    def test_a_broker_that_ends_at_once_is_not_started_again_and_again(self):
        run = self.run_it("ends", "--once", broker=self.script("ends.sh", "#!/bin/sh\nexit 1\n"))
        self.assertEqual(run.wait(), 1, "a broker that ends at once")
        self.assertEqual(self.said("ends").count("Starting the broker"), 1, "is not started again and again")
        self.assertEqual(self.left("ends"), [], "ends: no process is left")

    def test_a_port_that_somebody_takes_between_the_look_and_the_start(self):
        late = self.script("late.sh", f"""#!/bin/bash
mkdir "{self.dir}/taken" 2>/dev/null || exec "{PEPPERBUSD}" "$@"
port=$(sed -n 's/^listen = 127.0.0.1://p' "$2")
php -r '$s = stream_socket_server("tcp://127.0.0.1:$argv[1]"); touch("{self.dir}/taken/by"); while ($s) sleep(60);' "$port" &
until [[ -e {self.dir}/taken/by ]]; do sleep 0.02; done
"{PEPPERBUSD}" "$@"
kill $!
""")
        self.assertEqual(self.run_it("late", "--once", broker=late).wait(300), 0, "it takes another")
        self.assertTrue((self.dir / "taken" / "by").exists(), "after one that was taken")
        self.assertIn("It works", self.said("late"), "and works")
        self.is_clean("late")


class StayingUp(Quickstart):
    UP = "Ctrl-C ends everything"

    def printed(self, pattern):
        """The first line that it has printed with that in it."""
        lines = [line for line in self.lines("stays.log") if re.search(pattern, line)]
        self.assertTrue(lines, f"{pattern} is not printed")
        return lines[0]

    def bash(self, line):
        r = self.run_program("bash", "-c", line)
        return r.out + r.err

    def copied(self, pattern, what, want):
        """The printed commands are meant to be copied, so they must work as they stand."""
        self.assertRegex(self.bash(self.printed(pattern)), want, what)

    def test_what_it_shows_next_works_and_a_signal_ends_it(self):
        run = self.run_it("stays")
        self.shows("stays", self.UP, 60, "it shows what to try next")
        self.copied("pepperbusctl.* status$", "status", "quickstart")
        self.copied("pepperbusctl.* top$", "top", "hello/fragile")
        self.copied("^ +PEPPERBUS_PORT=", "the producer", "added job")
        self.copied("^ +redis-cli", "redis-cli", '[0-9]{19}|"jobs"')
        self.shows("stays", "HelloWorker: job .*my first job", 20, "what the workers do is shown")
        self.copied("topic test", "topic test", " 200 ")
        self.assertEqual(self.bash(self.printed("^ +touch")), "", "breaking the worker")
        self.copied("job add", "job add", "[0-9]{19}")
        errors = self.printed(r"pepperbusctl -c .*topic errors hello/fragile$")
        show = errors.replace("topic errors", "--json topic show")
        wait_until(lambda: json.loads(self.bash(show))["counts"]["dead"] >= 1, 20,
                   "the job fails, and is dead in the end")
        self.assertIn("is broken", self.bash(errors), "topic errors")
        self.copied("pepperbusctl -c .*topic retry", "topic retry", "dead")
        self.assertEqual(self.bash(self.printed("^ +rm ")), "", "mending it")
        self.copied("pepperbusctl -c .*topic replay", "topic replay", "job.* due")
        self.shows("stays", "FragileWorker: job .*a job that fails", 20, "the worker handles it")
        self.copied("config reload", "config reload", ".")
        self.copied("^ +curl", "the figures", "pepperbus_")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, "a signal ends it")
        self.assertRegex("\n".join(self.lines("stays.log")[-2:]), "Stopped broker, Redis and php-fpm", "and it says so")
        self.is_clean("stays")

    def test_killed_what_it_started_ends_all_the_same(self):
        run = self.run_it("killed")
        self.shows("killed", self.UP, 60, "it is up")
        run.kill()
        equals(lambda: self.left("killed"), [], 20, "what it started ends all the same")


if __name__ == "__main__":
    main()
