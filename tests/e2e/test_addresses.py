#!/usr/bin/env python3
"""One HTTP pool with two addresses: what becomes of its topic when one of them says 503, hangs, or
breaks its connections, and when both say 503."""

import json
import threading
import time

from harness import Case, equals, main, wait_until


class Address:
    """A server of the pool. `mood` says what it does with a request: None is fine, ("503", seconds of
    Retry-After), ("hang",) or ("reset",). `met` has the mood of each request with jobs that came."""

    def __init__(self, test, name):
        self.test, self.name, self.mood, self.met = test, name, None, []
        self.worker = test.http(self.answer, pings=False)
        self.address = f"127.0.0.1:{self.worker.port}"

    def answer(self, request):
        mood = self.mood
        if request.type == "data":
            self.met.append(mood)
        if mood is not None and mood[0] == "hang":
            self.test.over.wait()
        if mood is not None and mood[0] == "503":
            return {"status": 503, "headers": {"Retry-After": mood[1]}, "body": "later"}
        if mood is not None:
            return None
        if request.type == "data":
            for job in json.loads(request.form["jobs"]):
                self.test.handled.append((self.name, job["content"]))
        time.sleep(0.002)
        return {"headers": {"Code": "200", "Consume-Topics": "q/t"}, "body": "done"}


class TwoAddresses(Case):
    def setUp(self):
        super().setUp()
        self.handled, self.total, self.over = [], 0, threading.Event()
        self.addCleanup(self.over.set)
        self.a, self.b = Address(self, "a"), Address(self, "b")
        redis = self.redis()
        self.broker_b = self.broker("b", f"""
[storage main]
address = {redis.address}
[pool two]
run_type = http
address = {self.a.address}, {self.b.address}
max_connections = 8
hangup_after = 1s
[queue q]
password = pw
[topic q/t]
pool = two
entry = http://worker.example/
workers = 8
timeout = 8s
attempts = 5
backoff = 50ms..200ms
""")
        self.broker_b.becomes("q/t", "state", "open", 10, "two addresses")

    def topic(self, *members):
        t = self.broker_b.topic("q/t")
        return tuple(t[m] for m in members)

    def health(self):
        pool = self.broker_b.admin.get("/api/v1/status").json["pools"][0]
        return f"{pool['health']}: {pool['health_text']}"

    def health_begins(self, text, what):
        equals(lambda: self.health()[:len(text)], text, 10, what)

    def add(self, n):
        self.broker_b.push("q", *range(1, n + 1))
        self.total += n

    def all_handled(self, what):
        equals(lambda: len(self.handled), self.total, 30, what)

    def uses(self, address):
        """New jobs get there."""
        before = len(address.met)
        self.add(10)
        return wait_until(lambda: len(address.met) > before, 1)

    def failed_alone(self, mood, what):
        equals(lambda: self.topic("failed"), (self.a.met.count(mood),), 10, what)

    def test_jobs_are_spread_over_both(self):
        self.add(200)
        self.all_handled("200 jobs")
        on_a = sum(1 for name, _ in self.handled if name == "a")
        self.assertTrue(50 <= on_a <= 150, f"spread over both: {on_a} of 200")
        self.assertRegex(self.health(), "^ok: ", "all is well")

    def test_one_that_says_503_is_left_alone(self):
        self.add(200)
        self.all_handled("200 jobs")
        before = len(self.a.met)
        self.a.mood = ("503", "300")
        self.add(300)
        self.all_handled("one says 503: 300 jobs")
        self.assertEqual(self.topic("failed", "busy", "state"), (0, 0, "open"), "no attempt counted, nothing slowed")
        self.assertLessEqual(len(self.a.met) - before, 8, "it was asked for a few of them, and is left alone")
        self.assertRegex(self.health(),
                         rf"^degraded: 1 of 2 addresses are passed over: {self.a.address} is busy for [0-9]+ s "
                         r"\(status 503, Retry-After 300 s\), tried in [0-9]+ s; using the other addresses",
                         "the pool's health says so")
        self.assertIn(f"{self.a.address} is busy: status 503, Retry-After 300 s; trying it in 300 s, "
                      "using the other addresses", self.broker_b.log_text(), "and the log")

    def test_when_both_say_503_the_topic_waits_for_the_one_that_is_back_sooner(self):
        self.a.mood = ("503", "300")
        self.add(100)
        self.all_handled("one says 503")
        self.b.mood = ("503", "2")
        self.add(20)
        wait_until(lambda: self.topic("busy")[0] > 0, 10, "both say 503: busy")
        self.health_begins("down: 2 of 2 addresses ", "none is left")  # but while it asks again
        began = time.monotonic()
        self.a.mood = self.b.mood = None
        self.all_handled("the jobs are handled")
        self.assertLess(time.monotonic() - began, 100, "when the sooner one is back, not after 300 s")
        self.assertEqual(self.topic("failed"), (0,), "no attempt counted")
        self.health_begins("degraded: 1 of 2 add", "one is well again")

        # A reload opens the pool anew: nothing is known of its addresses.
        self.broker_b.reload(self.broker_b.ini.replace("max_connections = 8", "max_connections = 9"))
        self.health_begins("ok: ", "a reload forgets it")
        wait_until(lambda: self.uses(self.a), 10, "both are used")

    def test_one_that_hangs_costs_its_share_of_the_slots(self):
        self.a.mood = ("hang",)
        began = time.monotonic()
        self.add(600)
        self.all_handled("one hangs: 600 jobs")
        took = time.monotonic() - began
        hung = self.a.met.count(("hang",))
        self.assertLessEqual(hung, 5 + took / 8,
                             f"it got {hung} of them, at most its share of the slots and a probe now and then")
        self.failed_alone(("hang",), "those alone are failed attempts")
        self.assertRegex(self.health(),
                         rf"^degraded: 1 of 2 addresses are passed over: {self.a.address} does not answer for [0-9]+ s "
                         r"\([0-9]+ requests in a row, the last: ", "the pool's health says so")
        self.assertRegex(self.broker_b.log_text(),
                         rf"{self.a.address} does not answer: 3 requests in a row, .*using the other addresses",
                         "and the log")
        self.a.mood = None
        wait_until(lambda: self.uses(self.a), 20, "back: it is used again")
        self.health_begins("ok: ", "all is well")
        self.assertIn(f"{self.a.address} answers again", self.broker_b.log_text(), "the log says so")
        self.all_handled("and no job is left over")

    def test_one_that_breaks_its_connections_costs_few_attempts(self):
        self.a.mood = ("reset",)
        began = time.monotonic()
        self.add(300)
        self.all_handled("one breaks its connections: 300 jobs")
        took = time.monotonic() - began
        met = self.a.met.count(("reset",))
        self.assertLessEqual(met, 9 + took, f"it got {met} of them, some at first and a probe a second at most")
        self.failed_alone(("reset",), "those alone are failed attempts")
        self.assertEqual(self.topic("dead"), (0,), "no job was given up")


class LinkLocal(Case):
    """No name server is needed: a resolver takes 0xa9fe0101 for 169.254.1.1, and for the plugin it is a name."""

    def open_broker(self, pool, entry):
        redis = self.redis()
        return self.broker("b", f"""
[storage main]
address = {redis.address}
[pool p]
run_type = http
{pool}
[queue q]
password = pw
[topic q/t]
pool = p
entry = {entry}
""")

    def test_a_name_never_leads_to_a_link_local_address(self):
        b = self.open_broker("address = 0xa9fe0101:80", "http://worker.example/")
        b.becomes("q/t", "state", "unreachable", 20, "a name of a link-local address")
        wait_until(lambda: "a link-local address" in b.topic("q/t")["why"], 20, lambda: str(b.topic("q/t")))

    def test_a_name_may_lead_to_this_machine(self):
        worker = self.http(lambda request: {"headers": {"Code": "200", "Consume-Topics": "q/t"}, "body": "done"})
        b = self.open_broker(f"address = 0x7f000001:{worker.port}", "http://worker.example/")
        b.becomes("q/t", "state", "open", 20, "a name of 127.0.0.1")
        b.push("q", "x")
        wait_until(lambda: b.unfinished("q/t") == 0, 20)
        self.assertEqual(b.topic("q/t")["failed"], 0)


if __name__ == "__main__":
    main()
