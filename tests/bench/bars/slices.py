#!/usr/bin/env python3
"""Bar: no turn of the loop takes more than 20 ms of CPU time, whatever clients ask. One broker for each
of

    lpush       one LPUSH of 100,000 small jobs
    limited     the same, to a queue with max_length
    several     the same, to a queue of two storages
    waiting     the same from eight clients while the storage is not there yet
    addjob      100,000 ADDJOB in one pipeline
    multi       MULTI, 100,000 LPUSH, EXEC
    echo        20 clients that ECHO 8 MB each and read slowly
    arguments   20 clients that each send a PING of 200,000 arguments
    free        what 200,000 jobs of 1 kB on their way held, 400 MB, lies free

and, beside it, how long another client's LPUSH waited at most.

    tests/bench/bars/slices.py [NAME...]
"""

import json
import multiprocessing
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
from harness import Case, RespClient, wait_until  # noqa: E402

PASSWORD = "a-long-secret"
MB = 1 << 20
N = 100000


class Turns(Case):
    def runTest(self):
        pass

    def begin(self, name):
        self.stores = [self.redis(f"{name}-{k}") for k in range(2)]
        self.ini = f"""
[storage main]
address = {self.stores[0].address}
max_inflight = 1000000
command_timeout = 60s
[storage other]
address = {self.stores[1].address}
max_inflight = 1000000
[queue q]
password = {PASSWORD}
[topic q/t]
run_type = pull
storage = main
[queue limited]
password = {PASSWORD}
max_length = 1000000
[topic limited/t]
run_type = pull
storage = main
[queue two]
password = {PASSWORD}
[topic two/a]
run_type = pull
storage = main
[topic two/b]
run_type = pull
storage = other
"""
        self.b = self.broker(name, self.ini, "max_arguments = 300000\nmax_output = 1gb\nmax_inflight = 1000000")

    def client(self, queue="q"):
        return self.b.client(f"{queue}:{PASSWORD}")

    def push(self, queue):
        with self.client(queue) as c:
            reply = json.loads(c.call("LPUSH", queue, *[f"job {i}" for i in range(N)]))
        assert not reply["error"] and len(set(reply["jobs"])) == N, reply["error"]

    def lpush(self):
        self.push("q")

    def limited(self):
        self.push("limited")

    def several(self):
        self.push("two")

    def waiting(self):
        for s in self.stores:
            s.pause()
        self.b.kill()
        self.b.start(wait=False)
        wait_until(self.connects, 20)
        threads = [threading.Thread(target=self.push, args=("q",)) for _ in range(8)]
        for t in threads:
            t.start()
        time.sleep(2)
        for s in self.stores:
            s.resume()
        for t in threads:
            t.join()

    def connects(self):
        try:
            self.client().close()
            return True
        except OSError:
            return False

    def pipeline(self, data, n):
        with self.client() as c:
            t = threading.Thread(target=c.raw, args=(data,))
            t.start()
            for _ in range(n):
                last = c.recv()
            t.join()
        return last

    def addjob(self):
        self.pipeline(RespClient.encode("ADDJOB", "q", "job", "0") * N, N)

    def multi(self):
        data = RespClient.encode("MULTI") + RespClient.encode("LPUSH", "q", "job") * N + RespClient.encode("EXEC")
        assert len(self.pipeline(data, N + 2)) == N

    def crowd(self, data, n, pause=0.0):
        def one():
            with self.client() as c:
                t = threading.Thread(target=c.raw, args=(data,))
                t.start()
                time.sleep(pause)
                c.recv()
                t.join()
        threads = [threading.Thread(target=one) for _ in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def echo(self):
        self.crowd(RespClient.encode("ECHO", "x" * (8 * MB)), 20, 1)

    def arguments(self):
        def one():
            with self.client() as c:
                try:
                    c.call("PING", *["x"] * 200000)
                except Exception as e:
                    assert "wrong number" in str(e), e
        threads = [threading.Thread(target=one) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def free(self):
        for s in self.stores:
            s.pause()
        clients = [self.client() for _ in range(4)]
        for c in clients:
            c.raw(RespClient.encode("ADDJOB", "q", "y" * 1000, "0") * 50000)
        time.sleep(2)
        for s in self.stores:
            s.resume()
        for c in clients:
            for _ in range(50000):
                c.recv()
            c.close()
        time.sleep(15)
        print(f"resident: {self.b.rss() / MB:.0f} MB")

    def beside(self, over, waited):
        """In a process of its own: this one is busy with what it sends."""
        with self.client() as c:
            while not over.is_set():
                began = time.monotonic()
                c.call("LPUSH", "q", "beside")
                waited.value = max(waited.value, time.monotonic() - began)
                time.sleep(0.002)

    def measure(self, name):
        self.begin(name)
        before = self.turn()
        over, waited = multiprocessing.Event(), multiprocessing.Value("d", 0.0)
        other = multiprocessing.Process(target=self.beside, args=(over, waited)) if name not in ("waiting", "free") else None
        if other:
            other.start()
        began = time.monotonic()
        getattr(self, name)()
        took = time.monotonic() - began
        over.set()
        if other:
            other.join()
        turn = self.turn()
        print(f"{name:10} longest turn {turn * 1000:6.1f} ms (before {before * 1000:4.1f}), another client "
              f"waited {waited.value * 1000:6.1f} ms, took {took:5.2f} s{'' if turn <= 0.02 else '   OVER 20 ms'}", flush=True)
        self.b.stop()
        return turn <= 0.02

    def turn(self):
        return max(v for k, v in self.b.metrics().items() if k.startswith("pepperbus_loop_turn_cpu_seconds_max"))


if __name__ == "__main__":
    turns = Turns()
    turns.setUp()
    try:
        names = sys.argv[1:] or ["lpush", "limited", "several", "waiting", "addjob", "multi", "echo", "arguments", "free"]
        good = [turns.measure(n) for n in names]
    finally:
        turns.tearDown()
    sys.exit(0 if all(good) else 1)
