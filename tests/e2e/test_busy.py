#!/usr/bin/env python3
"""Workers that say how long they want to be left alone (Retry-After), and others of the same pool that
only say that they are full."""

import threading
import time

from harness import Case, equals, main


class Busy(Case):
    def setUp(self):
        super().setUp()
        self.busy, self.let = False, threading.Event()
        self.addCleanup(self.let.set)
        self.seen, self.answered = [], []  # (topic, when), (topic, status) of requests with jobs

    def answer(self, request):
        topic = request.form["topic"]
        self.seen.append((topic, time.monotonic()))
        answer = {"headers": {"Code": "200"}}
        if self.busy and topic == "full":
            self.let.wait()
            self.busy = False
            answer = {"status": 429}
        elif self.busy:
            answer = {"status": 503, "headers": {"Retry-After": "3"}}
        self.answered.append((topic, answer.get("status", 200)))
        return answer

    def test_the_longer_of_two_pauses_holds(self):
        redis, web = self.redis(), self.http(self.answer)
        b = self.broker("b", f"""
[storage main]
address = {redis.address}
[pool web]
run_type = http
max_connections = 4
[queue q]
password = pw
[queue r]
password = pw
[topic q/wait]
pool = web
entry = {web.address}/
[topic r/full]
pool = web
entry = {web.address}/
""")
        b.becomes("q/wait", "state", "open", 10, "one topic is open")
        b.becomes("r/full", "state", "open", 10, "and the other")
        self.busy = True
        b.push("r", "full")
        equals(lambda: len(self.seen), 1, 5, "a request that will end as full is on its way")
        b.push("q", "wait")
        equals(lambda: len(self.seen), 2, 5, "another is told to come back in 3 s")
        b.becomes("q/wait", "busy", 1, 5, "and has been heard")
        self.let.set()
        equals(lambda: self.answered[:2], [("wait", 503), ("full", 429)], 5,
               "then the first one ends, with no such wish")
        equals(lambda: len(self.seen), 4, 15, "both come again")
        gap = self.seen[2][1] - self.seen[1][1]
        self.assertGreaterEqual(gap, 2.9, "after the longer of the two pauses")
        b.becomes("q/wait", "done", 1, 5, "done")
        self.assertEqual((b.topic("q/wait")["failed"], b.topic("r/full")["failed"]), (0, 0), "no attempt was counted")


if __name__ == "__main__":
    main()
