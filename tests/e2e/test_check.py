#!/usr/bin/env python3
"""pepperbusctl check, for monitoring systems, and the layout of pepperbusctl status."""

import re

from cluster import ClusterCase
from harness import PEPPERBUSCTL, Case, case, main, wait_until

OK, WARNING, CRITICAL, UNKNOWN = range(4)


class CheckCase(Case):
    def setUp(self):
        super().setUp()
        redis = self.redis("main")
        self.ini = f"""
[storage main]
address = {redis.address}
[pool away]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = a-long-password
[topic q/fails]
run_type = exec
entry = /bin/false
attempts = 1
[queue off]
password = a-long-password
[topic off/off]
run_type = exec
entry = /bin/true
enabled = no
[queue p]
password = a-long-password
[topic p/paused]
run_type = exec
entry = /bin/true
[queue w]
password = a-long-password
[topic w/away]
pool = away
entry = {self.dir}/worker.php
"""
        self.b = self.broker("a", self.ini)
        self.b.becomes("w/away", "state", "unreachable")
        self.b.becomes("q/fails", "state", "open")

    def check(self, *words, status, what):
        r = self.b.ctl("check", *words)
        self.assertEqual(r.status, status, f"{what}: {r}")
        return r


class Nodes(ClusterCase):
    def test_a_node_that_is_away_is_a_warning(self):
        a, b = self.cluster(2, "lease = 2s\n[queue q]\npassword = a-long-password\n[topic q/t]\nrun_type = pull\n")
        wait_until(lambda: a.ctl("check").status == OK, 20)
        b.kill()
        wait_until(lambda: a.ctl("check").status == WARNING, 40)
        self.assertRegex(a.ctl("check").out, r"^PEPPERBUS WARNING - the node n2 is away \|")
        self.assertEqual(a.ctl("check", "--queue", "q").status, OK)
        b.start()
        wait_until(lambda: a.ctl("check").status == OK, 40)


class Check(CheckCase):
    def test_verdicts_and_their_line(self):
        out = self.check("--queue", "q", status=OK, what="all is well").out
        self.assertRegex(out, r"^PEPPERBUS OK - 1 topic, oldest job 0 ms, 0 dead jobs \| oldest=0.0s;;;0 dead=0;;;0 "
                         r"failed_per_min=[0-9.]+;;;0\n$", "one line with figures")
        self.b.push("q", "a", "b")
        self.b.becomes("q/fails", "dead", 2)
        self.check("--queue", "q", "--max-dead", "2", status=OK, what="a limit may be reached")
        out = self.check("--queue", "q", "--max-dead", "1,5", status=WARNING, what="WARNING,CRITICAL").out
        self.assertIn("PEPPERBUS WARNING - 2 dead jobs | oldest=0.0s;;;0 dead=2;1;5;0", out, "with the limits")
        out = self.check("--topic", "q/fails", "--max-dead", "0", status=CRITICAL, what="one limit is critical").out
        self.assertIn("PEPPERBUS CRITICAL - 2 dead jobs |", out, "and why")
        wait_until(lambda: self.b.ctl("check", "--topic", "q/fails", "--max-failed", "0/min").status == CRITICAL, 15,
                   "failed attempts in a minute")
        o = self.check("--json", "--max-dead", "0", status=CRITICAL, what="--json").json
        self.assertEqual((o["state"], o["dead"]), ("CRITICAL", 2), "--json has the figures")
        out = self.check(status=CRITICAL, what="a topic that cannot run").out
        self.assertRegex(out, r"^PEPPERBUS CRITICAL - w/away is unreachable: [^|]*\|[^|]*$", "and which")

    def test_age(self):
        self.b.ctl("topic", "pause", "p/paused")
        self.b.becomes("p/paused", "state", "paused")
        self.b.push("off", "kept")
        self.b.push("p", "waits")
        wait_until(lambda: self.b.ctl("check", "--queue", "p", "--max-age", "1ms").status == CRITICAL, 10,
                   "a job that waits longer than the limit")
        out = self.check("--queue", "p", "--max-age", "1ms,1h", status=WARNING, what="between the limits").out
        self.assertRegex(out, r"a job of p/paused is not done after .* oldest=[0-9.]+s;0.001;3600;0", "with the age")
        self.check("--queue", "off", "--max-age", "1ms", status=OK, what="a disabled topic keeps its jobs on purpose")

    def test_unknown_and_unreached(self):
        for words, what in ((("--max-age", "soon"), "a limit that is none"), (("--max-dead", "1,x"), "half a limit"),
                            (("--bogus",), "an option that is none"), (("--topic", "q/no"), "a topic that is none"),
                            (("--count", "1"), "an option of other verbs"), (("more",), "an argument")):
            out = self.check(*words, status=UNKNOWN, what=what).out
            self.assertTrue(out.startswith("PEPPERBUS UNKNOWN - "), what)
        self.b.stop()
        self.assertIn("PEPPERBUS CRITICAL - the broker cannot be reached",
                      self.check(status=CRITICAL, what="no broker").out, "it says so")


class Status(CheckCase):
    @case("V5")
    def test_no_row_for_each_topic_without_a_pool(self):
        out = self.b.ctl("status").out
        pools = re.search("^POOL(.*\n)+?(?=\n|$)", out, re.M)[0]
        self.assertIn("away", pools, "a pool that topics share has a row")
        self.assertNotIn("/", pools, "topics without one have none")
        self.assertRegex(out, r"transports +.*fastcgi \(cgi\).*: loaded", "transports are one line")
        top = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "status", env={"NO_COLOR": "1"})
        self.assertEqual(top.wait(), 0)
        self.assertLess(len(top.screen.split("\n")), 24, "the head stays on a screen of 24 lines")

    @case("V5")
    def test_problems_stand_first_and_leave_room_for_the_rest(self):
        out = self.b.ctl("status").out
        self.assertRegex(out, r"^1 problem\n +The workers of w/away cannot be reached: .* Since .*\n +-> Start ",
                         "what, since when, and what to do")
        self.assertEqual(self.b.ctl("status", "--json").json["problems"][0]["subject"], "w/away", "--json has them")
        self.b.reload(self.ini + "".join(f"""
[topic w/away{i}]
run_type = exec
entry = {self.dir}/nobody-{i}
""" for i in range(30)))
        wait_until(lambda: "31 problems" in self.b.ctl("status").out, 20, "many problems")
        top = self.terminal(PEPPERBUSCTL, "-c", self.b.path, "status", rows=40, env={"NO_COLOR": "1"})
        self.assertEqual(top.wait(), 0)
        self.assertLessEqual(len(top.screen.split("\n")), 40, "the first line stays on the screen")
        self.assertRegex(top.screen, r"-> Start [^>]*\n  and \d+ more: pepperbusctl status",
                         "what to do is said once, and what is not shown is counted")


if __name__ == "__main__":
    main()
