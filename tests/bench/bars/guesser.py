#!/usr/bin/env python3
"""Bar: a producer with the right password beside guessers on its address is never refused. Prints
how many guesses a minute the guessers had left, by how they go about it.

    tests/bench/bars/guesser.py [SECONDS]       with PEPPERBUSD and friends as tests/e2e has them
"""

import selectors
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
from harness import Case  # noqa: E402

SECRET = "a-long-secret-of-the-queue"


class Producer(threading.Thread):
    """As php-fpm's: connects, authenticates, adds a job and goes."""

    def __init__(self, broker):
        super().__init__()
        self.broker, self.stop = broker, False
        self.good, self.refused, self.times = 0, [], []

    def run(self):
        while not self.stop:
            at = time.monotonic()
            try:
                with self.broker.client(f"q:{SECRET}") as c:
                    self.times.append(time.monotonic() - at)
                    assert '"error":""' in c.call("LPUSH", "q", "x")
                self.good += 1
            except Exception as e:  # whatever it is, the producer was not served
                self.refused.append(repr(e))
            time.sleep(0.02)


class Guessers:
    """`n` connections that guess; a new one takes the place of each that is closed. The impatient
    hang up after `patience` seconds: no +OK by then is a wrong guess."""

    def __init__(self, port, n, address=lambda i: "127.0.0.1", patience=None, target="q"):
        self.port, self.n, self.address, self.patience, self.target = port, n, address, patience, target
        self.guesses, self.made = 0, 0
        self.sel = selectors.DefaultSelector()

    def open(self):
        s = socket.socket()
        s.bind((self.address(self.made), 0))
        s.connect(("127.0.0.1", self.port))
        s.setblocking(False)
        self.made += 1
        self.sel.register(s, selectors.EVENT_READ)
        self.guess(s)
        return s

    def guess(self, s):
        self.began[s] = time.monotonic()
        s.send(b"AUTH %s:guess%d\r\n" % (self.target.encode(), self.guesses))

    def close(self, s):
        self.sel.unregister(s)
        del self.began[s]
        s.close()

    def run(self, seconds):
        self.began = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(self.began) < self.n:
                self.open()
            for key, _ in self.sel.select(self.patience if self.patience is not None else 0.1):
                s = key.fileobj
                try:
                    data = s.recv(4096)
                except ConnectionError:
                    data = b""
                if not data:
                    self.close(s)
                    continue
                self.guesses += data.count(b"\r\n")
                try:
                    self.guess(s)
                except ConnectionError:
                    self.close(s)
            if self.patience is not None:
                now = time.monotonic()
                for s in [s for s, at in self.began.items() if now - at >= self.patience]:
                    self.guesses += 1
                    self.close(s)
        for s in list(self.began):
            self.close(s)
        return self.guesses * 60 / seconds


class Bar(Case):
    def runTest(self):
        seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30
        redis = self.redis("main")
        b = self.broker("a", self.waiting(redis.address, SECRET))
        ways = [("one connection", dict(n=1)), ("50 connections", dict(n=50)),
                ("50 connections from 50 addresses in 127/8", dict(n=50, address=lambda i: f"127.0.{i % 50}.{i % 250 + 1}")),
                ("500 connections", dict(n=500)),
                ("50 connections that do not wait for the answer", dict(n=50, patience=0.002))]
        refused = 0
        for name, how in ways:
            p = Producer(b)
            p.start()
            guesses = Guessers(b.port, **how).run(seconds)
            p.stop = True
            p.join()
            refused += len(p.refused)
            slow = max(p.times, default=0) * 1000
            print(f"{name:50} {guesses:10.0f} guesses a minute; producer: {p.good} served, "
                  f"{len(p.refused)} refused, AUTH at most {slow:.1f} ms {p.refused[:1] or ''}")
        return refused


if __name__ == "__main__":
    bar = Bar()
    bar.setUp()
    try:
        status = 1 if bar.runTest() else 0
    finally:
        bar.doCleanups()
        bar.tearDown()
    sys.exit(status)
