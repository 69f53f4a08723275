#!/usr/bin/env python3
"""Bar: running jobs of living nodes that an outage of Redis starts a second time: 0.

    tests/bench/bars/outage.py [ROUNDS] [LEASE SECONDS]

Rounds go through the kinds of an outage (away, full, read-only, stopped, slow), lengths of 0.5 to 3
leases, 2 and 3 nodes. Half of the jobs end during the outage, half two and a half leases after it.
"""

import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "e2e"))
from fleet import Fleet  # noqa: E402  pylint: disable=wrong-import-position
from harness import Case, wait_until  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
LEASE = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
LENGTHS = (0.5, 0.9, 1.2, 2, 3)
JOBS = 8


def away(redis, fleet, seconds):
    redis.kill()
    time.sleep(seconds)
    redis.start()


def full(redis, fleet, seconds):
    redis.config_set("maxmemory", "1")
    time.sleep(seconds)
    redis.config_set("maxmemory", "0")


def read_only(redis, fleet, seconds):
    redis.cmd("REPLICAOF", "127.0.0.1", "1")
    time.sleep(seconds)
    redis.cmd("REPLICAOF", "NO", "ONE")


def stopped(redis, fleet, seconds):
    redis.pause()
    time.sleep(seconds)
    redis.resume()


def slow(redis, fleet, seconds):
    for p in fleet.proxies.values():
        p.delay(0.25 * LEASE)
    time.sleep(seconds)
    for p in fleet.proxies.values():
        p.delay(0)


KINDS = (away, full, read_only, stopped, slow)


class Outage(Case):
    def runTest(self):
        self.twice, self.dead, self.jobs = 0, 0, 0
        fleets = {n: Fleet(self.sub(n), n, f"{int(LEASE * 1000)}ms") for n in (2, 3)}
        for i in range(ROUNDS):
            nodes = 2 + i % 2
            self.round(i + 1, fleets[nodes], KINDS[i // 2 % len(KINDS)],
                       LENGTHS[i // 2 // len(KINDS) % len(LENGTHS)], nodes)
        print(f"{ROUNDS} rounds, {self.jobs} jobs: {self.twice} started twice, {self.dead} dead")

    def sub(self, n):
        """The same case with another folder, so that names do not meet."""
        sub = Case()
        sub.setUp()
        self.addCleanup(sub.tearDown)
        return sub

    def round(self, i, fleet, kind, length, nodes):
        jobs = fleet.run_held(JOBS)
        before = fleet.count()
        kind(fleet.redis, fleet, length * LEASE / 2)
        # The second half of the outage without a pause between the two, but with jobs that end.
        fleet.release()
        kind(fleet.redis, fleet, length * LEASE / 2)
        fleet.back(60)
        wait_until(fleet.settled, 60, "not all jobs are settled")
        late = fleet.run_held(JOBS)
        kind(fleet.redis, fleet, length * LEASE)
        fleet.back(60)
        time.sleep(2.5 * LEASE)
        fleet.release()
        wait_until(fleet.settled, 60, "not all jobs are settled")
        runs = fleet.nodes_of(jobs + late)
        twice = [j for j, n in runs.items() if len(n) > 1]
        dead = next(iter(fleet.brokers.values())).topic("q/t")["dead"]
        self.jobs += len(runs)
        self.twice += len(twice)
        self.dead += dead
        print(f"round {i}: {kind.__name__}, {length} leases, {nodes} nodes: "
              f"{len(twice)} of {len(runs)} twice, {dead} dead, {fleet.count() - before} more starts",
              flush=True)


if __name__ == "__main__":
    case = Outage()
    result = unittest.TestResult()
    case.run(result)
    for _, text in result.errors + result.failures:
        print(text)
    sys.exit(0 if result.wasSuccessful() and not case.twice and not case.dead else 1)
