#!/usr/bin/env python3
"""Pull workers, which the broker starts and which take their jobs themselves over the Redis protocol."""

import os
import shutil
import signal
from pathlib import Path

from harness import ROOT, CommandCase, equals, main, php, wait_until

WORKER = """<?php
require "{root}/sdk/php/autoload.php";
class Handler {{
    public function run(Pepper\\Bus\\Job $job) {{ file_put_contents("{dir}/pulled", $job->content . "\\n", FILE_APPEND); }}
}}
file_put_contents("{dir}/pull.pids", getmypid() . "\\n", FILE_APPEND);
echo "pull worker is here\\n";
exit((new Pepper\\Bus\\PepperBusWorker())->run());
"""


class Dying(CommandCase):
    """Pull workers that always die."""

    def pull(self, seconds):
        return ("d/pull", "run_type = pull\npull_password = secret-pw\nworkers = 2\nrestart_backoff = 100ms..300ms\n"
                          f'entry = sh -c "echo no such class; sleep {seconds}; exit 7"')

    def test_they_are_seen_though_nobody_asks(self):
        b = self.start(self.pull(0.1))
        b.becomes("d/pull", "state", "unreachable", 20, "pull workers that die are seen, though nobody asks")
        self.assertIn("ended with exit code 7: no such class", b.topic("d/pull")["why"], "in their own words")
        self.reload(self.pull(600))
        b.becomes("d/pull", "state", "open", 20, "and when they are mended")


class Pulling(CommandCase):
    """Two processes of the SDK's worker for p/pull."""

    def setUp(self):
        super().setUp()
        self._need(shutil.which("php"), "php")
        self._need(php('echo extension_loaded("redis");'), "PHP's redis extension")
        self.program = self.write("pull.php", WORKER.format(root=ROOT, dir=self.dir))
        self.start(self.pull(), server="drain_timeout = 10s")
        self.b.becomes("p/pull", "state", "open", 10, "a pull topic opens")
        self.processes(2, "two processes")

    def pull(self):  # connect is the server's listen
        return ("p/pull", f"run_type = pull\nworkers = 2\nentry = php {self.program} -q %q -t %t -h %h -p %p "
                          "-H Handler::run\npull_password = secret-pw\nkill_after = 2s")

    def processes(self, n, what):
        """So many have been started."""
        equals(lambda: len(self.lines("pull.pids")), n, 10, what)

    def alive_now(self):
        return self.alive("pull.pids", self.program)

    def command_lines(self):
        lines = []
        for pid in self._at_home():
            try:
                lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " "))
            except OSError:
                pass
        return "\n".join(lines)

    def test_they_take_their_jobs_themselves(self):
        b = self.b
        b.push("p", "one", "two", "three")
        equals(lambda: sorted(self.lines("pulled")), ["one", "three", "two"], 10,
               "its workers took the jobs themselves")
        self.assertEqual(b.topic("p/pull")["attempts"], 0, "the broker sent none")
        wait_until(lambda: b.logged("p/pull: process [0-9]+: pull worker is here"), 10, "what they print is in the log")
        answer = b.admin.post("/api/v1/topics/p/pull/test", {"content": "x"})
        self.assertIn("take their jobs themselves", answer.text, "a test is refused with a sentence")

    def test_the_password_is_shown_nowhere(self):
        lines = self.command_lines()
        self.assertIn(f"{self.program} -q", lines, "the broker's processes are seen")
        self.assertNotIn("secret-pw", lines, "the password is on no command line")
        wait_until(lambda: self.b.logged("pull worker is here"), 10, "they have said something")
        self.assertNotIn("secret-pw", self.b.log_text(), "and in no log")

    def test_one_that_is_killed_is_replaced(self):
        os.kill(int(self.lines("pull.pids")[0]), signal.SIGKILL)
        self.processes(3, "one that is killed is replaced")

    def test_they_are_started_again_where_listen_changes(self):
        b = self.b
        b.port = self.free_port()
        self.reload(self.pull())
        self.processes(4, "they are started again where listen changes")
        wait_until(lambda: b.push("p", "moved"), 10, "producers find the new port")
        wait_until(lambda: self.lines("pulled")[-1:] == ["moved"], 10, "and so do they")
        equals(self.alive_now, 2, 10, "the others are gone")

    def test_the_first_pepperbus_command_line_works_and_is_warned_of(self):
        """Password and all."""
        b = self.b
        old = ("old/pull", f"run_type = pull\nworkers = 1\nentry = php {self.program} -q %q -h %h -p %p -a %a -t %t "
                           f"-H Handler::run\nconnect = {b.address}\npull_password = old-secret\nkill_after = 2s")
        ini = self.topics(self.pull(), old)
        b.reload(ini.replace("[queue old]\npassword = secret-pw", "[queue old]\npassword = old-secret"))
        b.becomes("old/pull", "state", "open", 10, "-q -h -p -a -t -H opens")
        b.push("old", "four")
        wait_until(lambda: self.lines("pulled")[-1:] == ["four"], 10, "and takes its job")
        self.assertTrue(b.logged("old/pull: entry has %a"), "with a warning in the log")
        shown = self.run_program(b.pepperbusd, "-c", b.path, "--dump-config").out
        self.assertIn("old/pull", shown, "the configuration is shown")
        self.assertNotIn("old-secret", b.log_text() + shown, "which does not tell it")
        self.reload(self.pull())
        equals(self.alive_now, 2, 10, "back to two")

    def test_kill_9_of_the_broker_orphans_none(self):
        b = self.b
        b.kill()
        equals(self.alive_now, 0, 10, "kill -9 of the broker: no pull worker is orphaned")
        b.start()
        self.processes(4, "the next broker starts its own")
        self.assertEqual(b.stop(), 0, "a clean stop")
        self.assertEqual(self.alive_now(), 0, "leaves no pull worker")


if __name__ == "__main__":
    main()
