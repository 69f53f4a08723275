#!/usr/bin/env python3
"""Jobs of topics and queues that the configuration does not name any more: renamed, moved to another
storage, taken out. They stay, and the broker says so, at a reload and at each start."""

import signal

from harness import Case, main, wait_until

REMOVABLE = "[queue r]\npassword = a-long-password\n"


class Stray(Case):
    def queues(self, *topics, more=REMOVABLE):
        """Nobody is at the pool's address: all jobs wait. `topics`: QUEUE/TOPIC:STORAGE."""
        ini = f"""
[storage main]
address = {self.main.address}
[storage second]
address = {self.other.address}
[pool php]
run_type = cgi
address = unix:{self.dir}/none.sock
[queue q]
password = a-long-password
"""
        for topic in topics:
            path, _, storage = topic.partition(":")
            ini += f"[topic {path}]\nstorage = {storage}\npool = php\nentry = /w.php\n"
        return ini + more

    def setUp(self):
        super().setUp()
        self.main, self.other = self.redis("main"), self.redis("other")
        self.b = self.broker("b", self.queues("q/a:main", "q/b:main", "q/c:main", "r/x:main"), "log_level = debug")
        self.b.push("q", "1", "2", "3")
        self.b.push("r", "1", "2")
        self.assertEqual(self.b.topic("q/b")["ready"], 3, "three jobs wait")
        self.looked_through()
        self.assertEqual(self.b.logged("not configured"), [], "all is configured: nothing is said")

    def looked_through(self):
        wait_until(lambda: self.b.logged("storage main: looked through"), 10, "the storage was looked through")

    def told(self, pattern, what):
        wait_until(lambda: self.b.logged(pattern), 10, what)

    def configure(self, *topics, more=REMOVABLE):
        self.b.write(self.queues(*topics, more=more))
        self.b.signal(signal.SIGHUP)

    def start_again(self):
        """Clean stop, start with an empty log."""
        self.b.stop()
        self.b.log_path.write_text("")
        self.b.start()

    def change_all(self):
        """q/b is renamed, q/c moves to another storage, queue r is taken out; each is told of once."""
        self.configure("q/a:main", "q/renamed:main", "q/c:main", "r/x:main")
        self.told("q/b: is not configured for storage main any more and has 3 jobs and 0 failed",
                  "renamed by a reload: the log names what the old name left")
        self.assertTrue(self.b.logged("topic drop q/b"), "and what can be done")
        self.assertEqual(self.b.logged("q/(a|c|renamed): is not"), [], "the others are not named")

        self.configure("q/a:main", "q/renamed:main", "q/c:second", "r/x:main")
        self.told("q/c: is not configured for storage main any more and has 3 jobs .* another storage now",
                  "moved to another storage: named")
        self.assertRegex(self.b.ctl("topic", "stray", "q").out, "q/c +main", "topic stray has it, with its storage")
        self.assertEqual(len(self.b.logged("q/b: is not")), 1, "what was told is not told again by the same broker")

        self.configure("q/a:main", "q/renamed:main", "q/c:second", more="")
        self.told(r"r: is not configured any more and has 2 jobs in storage main \(topics: x\)",
                  "a queue that was taken out: named with its topics")

    def test_what_is_left_behind_is_named_at_a_reload_and_at_each_start(self):
        self.change_all()
        self.start_again()
        for name in ("q/b", "q/c", "r"):
            self.told(f" {name}: is not configured", f"the next start tells of {name}")

    def test_what_is_configured_again_has_its_jobs_and_what_is_dropped_is_gone(self):
        self.change_all()
        self.configure("q/a:main", "q/renamed:main", "q/c:main", "r/x:main")
        self.b.becomes("q/c", "ready", 3, what="moved back: its jobs are there")
        self.b.becomes("r/x", "ready", 2, what="configured again: its jobs are there")
        self.assertRegex(self.b.ctl("topic", "drop", "q/b", "--yes").out, "q/b is gone",
                         "topic drop deletes what q/b had")
        self.start_again()
        self.looked_through()
        self.assertEqual(self.b.logged("not configured"), [], "nothing is left to be told")


if __name__ == "__main__":
    main()
