#!/usr/bin/env python3
"""Bar: what a storm takes in memory is bounded, and given back: the broker's resident memory is
within 32 MB of what it was before, 30 s after each of

    strangers    5,000 connections that do not authenticate, each with half a request and replies
                 that it does not read
    replies      200 clients with a password that send INFO and ECHO and read nothing
    outcomes     60,000 failing jobs of 10 kB, 500 a request
    large        40 clients that each send an LPUSH of 8 MB to a Redis that stands still

    tests/bench/bars/storms.py [NAME...]
"""

import resource
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
from harness import Case, RespClient  # noqa: E402

PASSWORD = "a-long-secret"
MB = 1 << 20


class Storms(Case):
    def runTest(self):
        pass

    def begin(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
        self.redis_server = self.redis("main")
        worker = self.write("fails.sh", "#!/bin/sh\ncat >/dev/null\necho it failed >&2\nexit 1\n", 0o755)
        self.b = self.broker("a", f"""
[storage main]
address = {self.redis_server.address}
[queue q]
password = {PASSWORD}
[topic q/fails]
run_type = exec
entry = {worker}
attempts = 2
backoff = 1h..1h
chunk = 500
workers = 4
enabled = no
[queue large]
password = {PASSWORD}
[topic large/t]
run_type = exec
entry = {worker}
enabled = no
""", "max_clients = 9000\nauth_timeout = 60s")

    def memory(self):
        with open(f"/proc/{self.b.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * 4096 / MB

    def strangers(self):
        half = b"*10\r\n" + b"$16384\r\n" + b"x" * 16384 + b"\r\n" + b"$16384\r\n" + b"x" * 16000
        ping = b"PING\r\n" * 400
        for i in range(5000):
            s = socket.create_connection(("127.0.0.1", self.b.port), 60)
            s.setblocking(False)
            try:
                s.send(ping + (half if i % 2 else ping * 50))
            except (BlockingIOError, ConnectionError):
                pass
            self.open.append(s)
        for _ in range(3):
            self.look()
            time.sleep(1)

    def replies(self):
        for _ in range(200):
            c = self.b.client(f"q:{PASSWORD}")
            c.sock.setblocking(False)
            data = RespClient.encode("ECHO", "x" * 100000) * 5 + b"INFO\r\n" * 1000
            for _ in range(20):
                try:
                    c.sock.send(data)
                except (BlockingIOError, ConnectionError):
                    break
            self.open.append(c.sock)
        for _ in range(5):
            self.look()
            time.sleep(1)

    def outcomes(self):
        with self.b.client(f"q:{PASSWORD}") as c:
            body = "y" * 10000
            for _ in range(600):
                c.call("LPUSH", "q", *[body] * 100)
        self.b.reload(self.b.ini.replace("workers = 4\nenabled = no", "workers = 4"))
        end = time.monotonic() + 120
        while time.monotonic() < end and self.b.topic("q/fails")["retry"] < 60000:
            self.look()
            time.sleep(0.2)

    def large(self):
        self.redis_server.pause()
        job = b"z" * (8 * MB)
        for _ in range(40):
            c = RespClient(self.b.address)
            c.sock.setblocking(False)
            self.open.append(c.sock)
            data = RespClient.encode("AUTH", f"large:{PASSWORD}") + RespClient.encode("LPUSH", "large", job)
            self.unsent[c.sock] = data
        end = time.monotonic() + 4
        while self.unsent and time.monotonic() < end:
            for s, data in list(self.unsent.items()):
                try:
                    data = data[s.send(data[:MB]):]
                except (BlockingIOError, ConnectionError):
                    pass
                self.unsent[s] = data
                if not data:
                    del self.unsent[s]
            self.look()
        self.redis_server.resume()
        time.sleep(3)
        self.look()

    def look(self):
        self.most = max(self.most, self.memory())

    def measure(self, name):
        self.open, self.most, self.unsent = [], 0, {}
        before = self.memory()
        getattr(self, name)()
        for s in self.open:
            s.close()
        end, after = time.monotonic() + 30, self.memory()
        while time.monotonic() < end and after > before + 32:
            time.sleep(0.5)
            after = self.memory()
        good = after <= before + 32
        print(f"{name:12} before {before:6.1f} MB, at most {self.most:7.1f} MB, after {after:6.1f} MB"
              f"{'' if good else '   NOT GIVEN BACK'}", flush=True)
        return good


if __name__ == "__main__":
    storms = Storms()
    storms.setUp()
    try:
        storms.begin()
        names = sys.argv[1:] or ["strangers", "replies", "outcomes", "large"]
        good = [storms.measure(n) for n in names]
    finally:
        storms.tearDown()
    sys.exit(0 if all(good) else 1)
