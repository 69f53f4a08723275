#!/usr/bin/env python3
"""One job from the terminal: where it is, cancelled, run again, run again with another content."""

from pathlib import Path

from harness import Case, main, wait_until

INI = """
[storage main]
address = {address}
[queue q]
password = a-long-password
[topic q/t]
run_type = exec
entry = {script}
attempts = 1
"""


class Jobs(Case):
    def setUp(self):
        super().setUp()
        script = self.write("worker.sh", f"#!/bin/sh\nread -r line\ncase $line in *'good one'*) echo it >>{self.dir}/done;"
                                         " exit 0;; esac\necho broken >&2\nexit 1\n")
        Path(script).chmod(0o755)
        self.b = self.broker("a", INI.format(address=self.redis("main").address, script=script))

    def ctl(self, *args, status=0, **kw):
        got = self.b.ctl(*args, **kw)
        self.assertEqual(got.status, status, (args, got.out, got.err))
        return got.out + got.err

    def dead(self, content="bad"):
        job = self.b.push("q", content)[0]
        wait_until(lambda: self.b.topic("q/t")["counts"]["dead"] > 0)
        return str(job)

    def test_a_dead_job_is_found_listed_and_run_again_with_another_content(self):
        job = self.dead()
        self.assertIn(job, self.ctl("job", "ls", "q/t", "--state", "dead"))
        shown = self.ctl("job", "show", job)
        self.assertRegex(shown, "q/t +dead", "its place")
        self.assertIn("needs", self.ctl("job", "replay", "--help"), "the option says what it needs")
        self.assertIn("--topic", self.ctl("job", "replay", job, "--content", "good", status=2))
        said = self.ctl("job", "replay", job, "--topic", "q/t", "--content", "good one")
        self.assertRegex(said, f"job {job} runs again with this content, as job [0-9]+", "it names both")
        wait_until(lambda: self.lines("done") == ["it"])
        self.ctl("job", "show", job, status=4)

    def test_a_dead_job_is_run_again_as_it_is(self):
        job = self.dead()
        self.assertIn("runs again in 1 topic of q", self.ctl("job", "replay", job))
        wait_until(lambda: self.b.topic("q/t")["counters"]["failed"] == 2)

    def test_a_delayed_job_is_cancelled(self):
        self.ctl("job", "add", "q", "good", "--delay", "1h")
        listed = self.b.ctl("job", "ls", "q/t", "--state", "delayed", "--json").json["jobs"]
        self.assertEqual([job["state"] for job in listed], ["delayed"])
        self.assertIn("is cancelled; it was delayed", self.ctl("job", "cancel", listed[0]["id"]))
        self.assertIn("0 jobs delayed", self.ctl("job", "ls", "q/t", "--state", "delayed"))
        self.ctl("job", "cancel", listed[0]["id"], status=4)


if __name__ == "__main__":
    main()
