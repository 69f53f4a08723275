#!/usr/bin/env python3
"""L2: fifteen restarts under a producer that adds as soon as the port is there: how many commands on
connections that were accepted are refused, and how long the first reply takes; with a Redis that
runs on, and with a managed one that reads some 100 MB back at each start.

    PEPPERBUSD=... tests/bench/bars/restarts.py     The bar: 0 refused.
"""

import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))

from harness import Case, RespClient, main  # noqa: E402

ROUNDS, FILL_MB = 15, 300


class Producer(threading.Thread):
    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.stop = address, threading.Event()
        self.accepted = self.refused = self.cut = 0
        self.errors, self.slowest = [], 0.0

    def run(self):
        while not self.stop.is_set():
            try:
                c = RespClient(self.address)
            except OSError:
                time.sleep(0.001)
                continue
            try:
                c.call("AUTH", "q:secret-pw")
                while not self.stop.is_set():
                    begun = time.monotonic()
                    reply = json.loads(c.call("LPUSH", "q", "job"))
                    self.slowest = max(self.slowest, time.monotonic() - begun)
                    if reply["error"]:
                        self.refused += 1
                        self.errors.append(reply["error"])
                    else:
                        self.accepted += 1
            except (OSError, ConnectionError):
                self.cut += 1  # the broker ended
            finally:
                c.close()


class Restarts(Case):
    def ini(self, storage):
        return f"""
[storage main]
{storage}
[queue q]
password = secret-pw
[topic q/t]
run_type = pull
"""

    def rounds(self, what, broker, end):
        producer = Producer(broker.address)
        producer.start()
        for _ in range(ROUNDS):
            have = producer.accepted
            while producer.accepted < have + 20 and not producer.refused:
                time.sleep(0.01)
            end(broker)
            broker.start(wait=False)
            broker.wait_ready(60)
        producer.stop.set()
        producer.join(60)
        print(f"# {what}: {ROUNDS} restarts: {producer.accepted} stored, {producer.refused} refused, "
              f"{producer.cut} connections ended with the broker; slowest reply {producer.slowest:.2f} s", flush=True)
        for e in sorted(set(producer.errors))[:5]:
            print(f"#   {e}", flush=True)
        self.assertEqual(producer.refused, 0)

    def test_a_redis_that_runs_on(self):
        redis = self.redis("main")
        broker = self.broker("a", self.ini(f"address = {redis.address}"))
        self.rounds("kill -9", broker, lambda b: b.kill())
        self.rounds("TERM", broker, lambda b: b.stop())

    def test_a_managed_one_with_much_data(self):
        broker = self.broker("a", self.ini("managed = yes"))
        body = "x" * 1_000_000
        for _ in range(FILL_MB):
            broker.push("q", body)
        self.rounds(f"managed, {FILL_MB} MB, TERM", broker, lambda b: b.stop())


if __name__ == "__main__":
    main()
