#!/usr/bin/env python3
"""Bar: 200 open streams of GET /api/v1/events cost a drain at most 5 % more CPU a job, the broker's
and Redis' together, and the broker at most 20 MB of memory.

    tests/bench/bars/events.py [PAIRS [JOBS]]     prints the figures; 0: within the bar, 1: not

A pair is a drain with the streams and one without, the order alternates. What counts is the median
of the pairs' ratios. Run by hand, with PEPPERBUSD and friends as tests/e2e has them.
"""

import os
import selectors
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from drain import INI, drain, null_plugins  # noqa: E402
from harness import Case, wait_until  # noqa: E402

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
JOBS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000000
STREAMS, EACH = 200, 8  # a login has 8 streams at most, a user 20 logins
PASSWORD = "a long enough password"
MB = 1 << 20


class Reader(threading.Thread):
    """Reads all streams, and keeps nothing."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sel, self.bytes, self.stop, self.ended = selectors.DefaultSelector(), 0, False, 0

    def open(self, address, fields):
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), 60)
        s.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n\r\n".encode())
        head = s.recv(4096)
        assert head.startswith(b"HTTP/1.1 200"), head
        s.setblocking(False)
        self.sel.register(s, selectors.EVENT_READ)

    def run(self):
        while not self.stop:
            for key, _ in self.sel.select(0.1):
                try:
                    data = key.fileobj.recv(1 << 16)
                except ConnectionError:
                    data = b""
                self.bytes += len(data)
                if not data:
                    self.ended += 1
                    self.sel.unregister(key.fileobj)
                    key.fileobj.close()

    def close(self):
        self.stop = True
        self.join()
        for key in list(self.sel.get_map().values()):
            key.fileobj.close()


class Bar(Case):
    def begin(self):
        plugins = null_plugins(self.dir / "plugins")
        self.server = self.redis("main")
        ini = f"""
[cluster]
name = bar
[storage main]
address = {self.server.address}
{INI}""" + "".join(f"[queue other{i}]\npassword = a-long-secret\n[topic other{i}/t]\nrun_type = pull\n" for i in range(50))
        self.b = self.broker("a", ini, start=False, plugin_dir=plugins)
        hashed = self.b.ctl("passwd", "--user", stdin=PASSWORD).out.strip()
        self.b.write(ini + "".join(f"[user {u}]\nrole = viewer\npassword = {hashed}\n" for u in ("ann", "ben")))
        self.b.start()
        wait_until(lambda: self.b.admin.get("/api/v1/config/shared").json["state"] == "ready", 30)
        self.logins = [self.login(("ann", "ben")[i % 2]) for i in range(-(-STREAMS // EACH))]

    def login(self, user):
        got = self.b.admin.post("/api/v1/session", {"user": user, "password": PASSWORD}, token=None,
                                headers={"Origin": f"http://{self.b.admin_address}"})
        assert got.status == 200, got
        return "Cookie: " + got.headers["Set-Cookie"].split(";")[0]

    def memory(self):
        with open(f"/proc/{self.b.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB

    def drain(self):
        return drain(self.b, self.server, JOBS)

    def with_streams(self):
        reader, lowest = Reader(), self.memory()
        for i in range(STREAMS):
            reader.open(self.b.admin_address, self.logins[i // EACH])
        reader.start()
        time.sleep(2)
        figures, took = self.drain()
        more = self.memory() - lowest
        assert not reader.ended, f"{reader.ended} streams have ended"
        assert reader.bytes > STREAMS * 500, f"{reader.bytes} bytes were read"
        reader.close()
        return figures, took, more

    def runTest(self):
        self.begin()
        self.drain()  # what grows once has grown
        ratios, most = [], 0
        for i in range(PAIRS):
            runs = {}
            for streams in (True, False) if i % 2 else (False, True):
                runs[streams] = self.with_streams() if streams else (*self.drain(), 0)
            (w, w_took, more), (n, n_took, _) = runs[True], runs[False]
            ratios.append(sum(w) / sum(n))
            most = max(most, more)
            print(f"without {n[0]:6.2f} + {n[1]:6.2f} us a job in {n_took:5.1f} s, with {w[0]:6.2f} + {w[1]:6.2f} us "
                  f"in {w_took:5.1f} s: {(ratios[-1] - 1) * 100:+5.1f} %, {more:+5.1f} MB", flush=True)
        cost = (statistics.median(ratios) - 1) * 100
        good = cost <= 5 and most <= 20
        print(f"{STREAMS} streams cost {cost:+.1f} % (median of {PAIRS} pairs), at most {most:+.1f} MB"
              f"{'' if good else '   <- over the bar'}")
        return good


if __name__ == "__main__":
    bar = Bar()
    bar.setUp()
    try:
        met = bar.runTest()
    finally:
        bar.tearDown()
        bar.doCleanups()
    sys.exit(0 if met else 1)
