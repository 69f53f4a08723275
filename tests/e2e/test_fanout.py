#!/usr/bin/env python3
"""Each topic gets every job once, independently of the others; nothing is left in Redis then."""

from harness import Case, equals, main


class Fanout(Case):
    def stream_length(self, queue):
        return self.storage.cmd("XLEN", f"pb:{{{queue}}}:s")


class Topics(Fanout):
    def start(self):
        self.storage, fpm = self.redis(), self.fpm()
        self.b = self.broker("b", f"""
{self.php_pool(self.storage, fpm, 4)}
[pool down]
run_type = cgi
address = unix:{self.dir}/fpm2.sock
max_connections = 2
[queue q]
password = pw
[topic q/a]
pool = php
entry = {self.worker("log.php")}
[topic q/b]
pool = php
entry = {self.worker("fragile.php")}
attempts = 1
[topic q/c]
pool = down
entry = {self.worker("log.php")}
[topic q/d]
pool = php
entry = {self.worker("log.php")}
chunk = 16
""")

    def handled(self, topic):
        return len(self.lines(f"handled.q.{topic}"))

    def test_one_that_fails_and_one_that_is_down_hold_up_nobody(self):
        self.start()
        b = self.b
        b.becomes("q/a", "state", "open", 10, "a open")
        b.becomes("q/c", "state", "unreachable", 10, "c has no worker")
        self.write("broken", "no\n")
        b.push_each("q", [f"j{i}" for i in range(1, 201)])
        equals(lambda: self.handled("a"), 200, 10, "a handled 200 while b fails and c is down")
        equals(lambda: self.handled("d"), 200, 10, "so did d")
        b.becomes("q/b", "dead", 200, 15, "b's 200 failed and are kept")
        self.assertEqual(len({line.split()[0] for line in self.lines("handled.q.a")}), 200, "each once")
        c = b.topic("q/c")
        self.assertEqual((c["ready"], c["running"]), (200, 0), "c's 200 wait, no attempt spent")
        self.assertEqual(self.stream_length("q"), 200, "one stream entry a job, whatever the number of topics")

        self.fpm("fpm2", 2)
        equals(lambda: self.handled("c"), 200, 5, "c's worker is back: all are handled")
        (self.dir / "broken").unlink()
        self.assertEqual(b.act("q/b", "replay"), 200, "all 200 are replayed")
        equals(lambda: self.handled("b"), 200, 10, "b mended and replayed")
        equals(lambda: self.stream_length("q"), 0, 10, "the stream is empty again")
        self.assertEqual((self.handled("a"), self.handled("d")), (200, 200), "the others did not notice")


class Retain(Fanout):
    """`retain`: what all topics have had is kept for a while, for a topic that comes later. What one of
    them has not had is kept for as long as that takes."""

    def start(self, retain):
        """A queue with a topic any for each member of `retain`, {queue: how long}."""
        self.storage, fpm = self.redis(), self.fpm()
        queues = "".join(f"[queue {queue}]\npassword = pw\nretain = {how_long}\n"
                         f"[topic {queue}/any]\npool = php\nentry = {self.worker('any.php')}\n"
                         for queue, how_long in retain.items())
        self.b = self.broker("b", f"""
{self.php_pool(self.storage, fpm, 4)}
{queues}""")
        for queue in retain:
            self.b.becomes(f"{queue}/any", "state", "open", 10, f"{queue}/any open")

    def test_a_topic_that_comes_later_gets_what_is_kept(self):
        self.start({"k": "1h"})
        b = self.b
        b.push("k", "k1", "k2", "k3")
        b.becomes("k/any", "done", 3, 10, "done")
        self.assertEqual(self.stream_length("k"), 3, "and kept")
        entry = self.worker("any.php")
        b.reload(b.ini + f"""
[topic k/now]
pool = php
entry = {entry}
[topic k/all]
pool = php
entry = {entry}
start_from = beginning
""")
        b.becomes("k/all", "done", 3, 10, "a topic with start_from = beginning gets them")
        b.becomes("k/now", "state", "open", 10, "one without")
        b.push("k", "k4")
        b.becomes("k/now", "done", 1, 10, "gets the next one only")
        b.becomes("k/all", "done", 4, 10, "and the other one too")
        self.assertEqual(self.stream_length("k"), 4, "and what is to be kept for an hour is there")

    def test_what_a_topic_has_not_had_is_kept_for_as_long_as_that_takes(self):
        self.start({"k": "1h", "m": "1s", "n": "1s"})
        b = self.b
        b.push("k", "k1", "k2", "k3", "k4")
        b.admin.post("/api/v1/topics/n/any/pause")
        b.push("n", "n1", "n2")
        for done in (1, 2):  # a sweep looks at one queue: after two of m there was one of n
            b.push("m", "m")
            b.becomes("m/any", "done", done, 10, "a job of m is done")
            equals(lambda: self.stream_length("m"), 0, 30, "and gone when its second is over")
        self.assertEqual((self.stream_length("n"), b.topic("n/any")["ready"]), (2, 2),
                         "what its topic has not had stays")
        b.admin.post("/api/v1/topics/n/any/resume")
        b.becomes("n/any", "done", 2, 10, "until it has")
        equals(lambda: self.stream_length("n"), 0, 30, "then it goes too")
        b.becomes("k/any", "done", 4, 10, "done")
        self.assertEqual(self.stream_length("k"), 4, "and what is to be kept for an hour is there")


if __name__ == "__main__":
    main()
