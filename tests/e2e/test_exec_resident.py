#!/usr/bin/env python3
"""Commands as workers that stay: processes that serve one request after the other; what becomes of
them when they die, at reloads and at deadlines."""

import os
import signal

from harness import CommandCase, equals, main, wait_until

RESIDENT = """echo $$ >>"$T/resident.pids"
while read -r line; do
  case $line in
  *'"type":"ping"'*) echo '{"code":200,"topics":["r/stay"]}'; continue ;;
  *die*) kill -9 $$ ;;
  *slow*) echo $$ >>"$T/slow"; sleep 1 ;;
  *hang*) sleep 300 ;;
  esac
  echo $$ >>"$T/resident"
  echo '{"code":200,"msg":"said"}'
done
echo $$ >>"$T/resident.eof"
"""


class Resident(CommandCase):
    """A topic r/stay of three processes."""

    def stay(self, timeout="20s", more=""):
        return ("r/stay", f"resident = yes\nentry = {self.dir}/bin/resident\nworkers = 3\nattempts = 1\n"
                          f"timeout = {timeout}\nkill_after = 20s\n{more}")

    def setUp(self):
        super().setUp()
        self.script("resident", RESIDENT)
        self.start(self.stay())
        self.is_("state", "open", "a resident command opens its topic")
        self.processes(3, "three processes")

    def is_(self, member, want, what, seconds=10):
        self.b.becomes("r/stay", member, want, seconds, what)

    def processes(self, n, what):
        """So many have been started."""
        equals(lambda: len(self.lines("resident.pids")), n, 10, what)

    def alive_now(self):
        return self.alive("resident.pids", f"{self.dir}/bin/resident")

    def test_jobs_are_served_by_the_same_processes(self):
        self.push_each("r", [f"job{i}" for i in range(200)])
        self.is_("done", 200, "200 jobs")
        self.processes(3, "by the same three")
        self.assertEqual(self.alive_now(), 3, "which are alive")
        self.assertEqual(self.b.stop(), 0, "a clean stop")
        self.assertEqual(self.alive_now(), 0, "and no resident process is left")

    def test_one_that_dies_is_replaced(self):
        b = self.b
        b.push("r", "die")
        self.is_("dead", 1, "a job that kills its process is dead")
        b.complains("r/stay", "signal 9.*whether it was done is not known", "and says how")
        self.processes(4, "the process is replaced")
        os.kill(int(self.lines("resident.pids")[-1]), signal.SIGKILL)
        self.processes(5, "an idle one that is killed too")
        b.push("r", "again")
        self.is_("done", 1, "work goes on")
        self.assertEqual(b.topic("r/stay")["dead"], 1, "and no job was lost by it")
        wait_until(lambda: "3 of 3 processes up" in b.admin.get("/api/v1/topics/r/stay").text, 10, "health tells")
        self.assertRegex(b.ctl("topic", "show", "r/stay").out, "health +3 of 3 processes up", "in pepperbusctl too")
        self.assertEqual(b.metrics()['pepperbus_exec_restarts_total{queue="r",topic="stay"}'], 2,
                         "two restarts in /metrics")

    def test_a_reload_drains_them(self):
        """The request ends, then they see the end of their input."""
        self.b.push("r", "slow")
        wait_until(lambda: self.lines("slow"), 5, "a slow job runs")
        self.reload(self.stay(more="max_requests = 5"))
        self.is_("done", 1, "it ends though its topic was changed")
        equals(lambda: len(self.lines("resident.eof")), 3, 10, "the old processes ended by themselves")
        self.is_("state", "open", "new ones took over")
        self.push_each("r", [f"job{i}" for i in range(60)])
        self.is_("done", 61, "60 jobs")
        self.assertGreaterEqual(len(set(self.lines("resident")[-60:])), 12,
                                "max_requests = 5: by twelve processes or more")

    def test_a_request_that_hangs_fails_at_its_deadline(self):
        self.reload(self.stay("5s"))
        self.is_("timeout_ms", 5000, "a shorter timeout")
        self.is_("state", "open", "open")
        self.b.push("r", "hang")
        self.is_("dead", 1, "a request that hangs fails at its deadline")
        self.b.push("r", "after")
        self.is_("done", 1, "the next ones are served")


if __name__ == "__main__":
    main()
