#!/usr/bin/env python3
"""HUP: what differs is applied, what is equal does not notice, a bad file changes nothing."""

import json
import re
import signal
from collections import Counter

from harness import SLOW, Case, RespError, equals, main, wait_until


class ReloadCase(Case):
    def setUp(self):
        super().setUp()
        self.store, self.fpm_ = self.redis(), self.fpm(children=8)
        self.b = self.broker("b", self.base())
        self.b.becomes("q/slow", "state", "open", what="it opens")

    def base(self, more="", workers=2, password="a-long-password"):
        return f"""
{self.php_pool(self.store, self.fpm_, 6)}
[queue q]
password = {password}
[topic q/slow]
pool = php
entry = {self.worker("slow.php")}
workers = {workers}
{more}"""

    def second_queue(self):
        return f"[queue r]\npassword = a-long-password\n[topic r/log]\npool = php\nentry = {self.worker('log.php')}\n"

    def configure(self, ini, server=None):
        self.b.write(ini, server)
        self.b.signal(signal.SIGHUP)

    def said(self, pattern, what):
        wait_until(lambda: self.b.logged(pattern), 5, what)

    def count(self, name, want, seconds, what):
        equals(lambda: len(self.lines(name)), want, seconds, what)


class Jobs(ReloadCase):
    def hold(self):
        (self.dir / "hold").touch()
        self.b.push("q", "held")
        self.count("begun", 1, 5, "a job runs")

    def release(self):
        (self.dir / "hold").unlink()

    def test_a_reload_that_does_not_touch_its_topic_does_not_disturb_a_running_job(self):
        self.hold()
        self.configure(self.base(self.second_queue()))
        self.b.becomes("r/log", "state", "open", what="a new queue and topic open")
        self.b.push("r", "hello")
        self.count("handled.r.log", 1, 5, "and handle a job, while the other still runs")
        self.assertEqual(self.lines("ended"), [], "the running job goes on")
        self.release()
        self.count("ended", 1, 10, "and ends as it would have")
        self.assertEqual(len(self.lines("begun")), 1, "it was not started twice")

    def test_the_running_job_of_a_changed_topic_ends_in_the_old_one(self):
        self.hold()
        self.configure(self.base(self.second_queue(), workers=4))
        self.b.becomes("q/slow", "workers", 4, what="its topic is changed meanwhile")
        self.release()
        self.count("ended", 1, 10, "a job that ran during a change of its topic ends")
        self.assertEqual(len(self.lines("begun")), 1, "once")
        self.b.push("q", *["300"] * 4)
        self.count("ended", 5, 10, "four more run in the new window")

    def test_producers_at_full_speed_through_ten_reloads_lose_nothing(self):
        topic = f"[topic q/log]\npool = php\nentry = {self.worker('log.php')}\n"
        ways = {10: self.base(topic), 3: self.base(topic + "workers = 3\n", workers=3)}
        self.configure(ways[10])
        self.b.becomes("q/log", "state", "open", what="it opens")
        producer = self.beside(self.b.push_each, "q", ["0"] * 3000)
        for workers in (3, 10) * 5:
            self.configure(ways[workers])
            self.b.becomes("q/log", "workers", workers, what="a reload took long")
        replies = producer.result(300 * SLOW)
        self.assertEqual(len([r for r in replies if r["error"] == "" and len(r["jobs"]) == 1]), 3000,
                         "3000 jobs through ten reloads: each acknowledged")
        self.count("handled.q.log", 3000, 30, "and handled")
        ids = Counter(line.split()[0] for line in self.lines("handled.q.log"))
        self.assertEqual([i for i, n in ids.items() if n > 1], [], "once each")


class Faults(ReloadCase):
    def test_a_bad_file_changes_nothing_and_says_why(self):
        """All faults at once, with file and line."""
        good = self.base(self.second_queue())
        self.configure(good)
        self.b.becomes("r/log", "state", "open", what="a second topic opens")
        self.configure(good + f"[topic q/other]\npool = nosuch\nworkers = many\nentry = {self.worker('log.php')}\n")
        self.said(r"b\.ini:[0-9]+: .*many", "the log names file and line")
        self.said(r"b\.ini:[0-9]+: .*nosuch", "and the other fault too")
        self.said("not reloaded|nothing was changed", "and says that the old configuration goes on")
        self.assertEqual(self.b.check().status, 2, "-t answers 2 for it")
        self.b.push("r", "again")
        self.count("handled.r.log", 1, 5, "work goes on")

    def listen_on(self, address, workers):
        """A reload with this one address instead of the others."""
        text = self.b.path.read_text().splitlines()
        self.b.path.write_text("\n".join(
            f"listen = {address}" if l.startswith("listen = ") else
            f"workers = {workers}" if l == "workers = 2" else l for l in text) + "\n")
        self.b.signal(signal.SIGHUP)

    def test_a_port_that_another_process_has(self):
        """Pull workers are told where the broker listens: they must not be sent there, with their password."""
        b, taken = self.b, self.store.port
        pull = self.write("pull", f'echo "$PEPPERBUS_PORT" >>{self.dir}/pulls\nexec sleep 1000\n')
        pulled = ("[topic q/pull]\nrun_type = pull\npull_password = another-password\nworkers = 1\n"
                  f"entry = /bin/sh {pull}\n")
        self.configure(self.base(pulled))
        self.count("pulls", 1, 5, "a pull worker")
        self.assertEqual(self.lines("pulls"), [str(b.port)], "is told where to go")
        b.log_path.write_text("")
        self.listen_on(f"127.0.0.1:{taken}", 4)
        self.said(f"error: cannot listen on 127.0.0.1:{taken}: another process has that port", "the port is taken")
        self.said("error: the configuration was not reloaded", "which the log says")
        self.assertEqual((b.topic("q/slow")["workers"], len(self.lines("pulls"))), (2, 1), "and nothing has changed")
        b.client().close()  # the old one is there
        self.listen_on(f"0.0.0.0:{b.port}", 4)
        self.said(rf"error: cannot listen on 0.0.0.0:.* while this broker listens on 127.0.0.1:{b.port}: "
                  "this change needs a restart", "a port that it has itself")
        b.node = "other"
        self.configure(self.base(pulled, workers=4))
        b.becomes("q/slow", "workers", 4, 5, "mended, it is applied")
        self.assertTrue(b.logged(r"Z warning: \[server\] node, state_dir"), "a warning says once that it is one")
        b.node = "b"
        self.configure(self.base())
        b.becomes("q/slow", "workers", 2, 5, "and back")


class Settings(ReloadCase):
    def configured_again(self, ini, server=None, pattern="configuration reloaded"):
        """Reloads, and waits for the line of the log that says so."""
        was = len(self.b.log_text())
        self.configure(ini, server)
        return wait_until(lambda: re.search(f"{pattern}.*$", self.b.log_text()[was:], re.M), 5,
                          "the log does not say that it is reloaded")[0]

    def test_a_new_password_is_for_new_connections_and_a_removed_queue_is_gone(self):
        b = self.b
        self.configured_again(self.base(self.second_queue()))
        old = b.client("q:a-long-password")
        # Not by trying: who tries too often is held off.
        self.configured_again(self.base(password="a-new-password"))
        with b.client() as c:
            self.assertEqual(c.call("AUTH", "q:a-new-password"), "OK", "the new one works")
        with b.client() as c, self.assertRaisesRegex(RespError, "invalid password", msg="the old one does not"):
            c.call("AUTH", "q:a-long-password")
        self.assertEqual(json.loads(old.call("LPUSH", "q", "0"))["error"], "", "a connection that is there stays")
        old.close()
        with b.client("q:a-new-password") as c:
            self.assertRegex(c.call("LPUSH", "r", "x"), "NOAUTH|not exist", "a removed queue is gone")

    def test_level_and_form_of_the_log(self):
        line = self.configured_again(self.base(), "log_level = debug\nlog_format = json",
                                     r"^\{.*configuration reloaded")
        self.assertEqual(json.loads(line)["level"], "info", "log_format = json: a line is a JSON object")
        self.configured_again(self.base(), "", "Z info: .*configuration reloaded")  # and back


if __name__ == "__main__":
    main()
