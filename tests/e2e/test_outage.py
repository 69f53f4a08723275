#!/usr/bin/env python3
"""Who is alive and who is dead while Redis has a bad day: several brokers, one Redis."""

import time

from fleet import Fleet
from harness import SLOW, Case, case, equals, main, wait_until

LEASE = 2 if SLOW == 1 else 5  # seconds


class Outage(Case):
    def fleet(self, nodes, **kw):
        return Fleet(self, nodes, f"{LEASE}s", **kw)

    def beats(self, fleet):
        flat = fleet.redis.cmd("HGETALL", "pb:{@}:beats")
        return dict(zip(flat[::2], flat[1::2]))

    def watched(self, fleet, leases=1.7):
        """Redis has seen renewals for so long without a gap: who is to be declared dead is."""
        def long_enough():
            beats = self.beats(fleet)
            return float(beats["@up"]) - float(beats["@epoch"]) >= leases * LEASE * 1000

        wait_until(long_enough, 10 * LEASE, lambda: f"no renewals: {self.beats(fleet)}")
        # And each node has looked at the registry once more.
        before = fleet.redis.calls("smembers")
        wait_until(lambda: fleet.redis.calls("evalsha") > before, 10)

    def outage_of(self, seconds):
        """An outage lasts by the clock: this is its length, not a wait for something."""
        time.sleep(seconds)

    def away(self, redis):
        redis.kill()
        self.outage_of(1.3 * LEASE)
        redis.start()

    def full(self, redis):
        redis.config_set("maxmemory", "1")
        self.outage_of(1.3 * LEASE)
        redis.config_set("maxmemory", "0")

    def read_only(self, redis):
        redis.cmd("REPLICAOF", "127.0.0.1", "1")
        self.outage_of(1.3 * LEASE)
        redis.cmd("REPLICAOF", "NO", "ONE")

    def stopped(self, redis):
        redis.pause()
        self.outage_of(1.3 * LEASE)
        redis.resume()

    def nothing_twice(self, fleet, jobs):
        runs = fleet.nodes_of(jobs)
        self.assertEqual([], [j for j, nodes in runs.items() if len(nodes) != 1], f"not once: {runs}")

    def done(self, fleet, seconds=20):
        fleet.release()
        wait_until(fleet.settled, seconds, "not all jobs are settled")

    @case("T1", "R4")
    def test_no_outage_makes_a_living_node_dead(self):
        fleet = self.fleet(3)
        for kind in (self.away, self.full, self.read_only, self.stopped):
            with self.subTest(kind.__name__):
                jobs = fleet.run_held(8)
                kind(fleet.redis)
                fleet.back()
                self.watched(fleet)
                self.assertNotIn("dead", self.beats(fleet).values())
                self.nothing_twice(fleet, jobs)
                self.done(fleet)
                self.nothing_twice(fleet, jobs)
        t = fleet.brokers["a"].topic("q/t")
        self.assertEqual((t["dead"], t["running"]), (0, 0))
        for b in fleet.brokers.values():
            self.assertEqual(b.topic("q/t")["recovered"], 0)
            self.assertEqual(b.logged(r"is dead; taking over"), [])

    def dies_during(self, fleet, kind):
        """b is killed in the middle of it; its jobs, and no others, run again at a."""
        jobs = fleet.run_held_by_all(8)
        nodes = fleet.nodes_of(jobs)
        lost = [j for j in jobs if nodes[j] == ["b"]]
        kept = [j for j in jobs if nodes[j] == ["a"]]
        self.assertTrue(lost and kept, nodes)
        kind(fleet.redis)
        fleet.back()
        wait_until(lambda: all(n == ["b", "a"] for n in fleet.nodes_of(lost).values()), 10 * LEASE,
                   lambda: f"not taken over: {fleet.nodes_of(lost)}")
        self.nothing_twice(fleet, kept)
        listed = fleet.brokers["a"].admin.get("/api/v1/topics/q/t/retry?count=100").json["jobs"]
        crashes = {j["id"]: j["crashes"] for j in listed}
        self.assertEqual(crashes, {j: 1 for j in lost}, "a crash is counted for its jobs only")
        self.done(fleet)
        self.nothing_twice(fleet, kept)
        self.assertEqual({len(n) for n in fleet.nodes_of(lost).values()}, {2})
        self.assertEqual(fleet.brokers["a"].topic("q/t")["dead"], 0)
        fleet.brokers["b"].start()
        fleet.back()

    @case("R3")
    def test_a_node_that_dies_in_an_outage_is_taken_over(self):
        fleet = self.fleet(2)
        b = fleet.brokers["b"]

        def away(redis):
            redis.kill()
            b.kill()
            self.outage_of(1.3 * LEASE)
            redis.start()

        def full(redis):
            redis.config_set("maxmemory", "1")
            self.outage_of(1.3 * LEASE)
            b.kill()
            a = fleet.brokers["a"]
            said = len(a.logged("is dead; taking over"))
            wait_until(lambda: len(a.logged("is dead; taking over")) > said, 10 * LEASE,
                       "b is not found dead while Redis is full")
            redis.config_set("maxmemory", "0")

        def read_only(redis):
            redis.cmd("REPLICAOF", "127.0.0.1", "1")
            self.outage_of(1.3 * LEASE)
            b.kill()
            redis.cmd("REPLICAOF", "NO", "ONE")

        for kind in (away, full, read_only):
            with self.subTest(kind.__name__):
                self.dies_during(fleet, kind)

    @case("R3")
    def test_a_dead_node_that_was_forgotten_is_found(self):
        fleet = self.fleet(2)

        def forgotten(redis):
            fleet.brokers["b"].kill()
            for key in ("pb:{@}:nodes", "pb:{@}:beats"):
                redis.cmd("HDEL", key, "b")
            redis.cmd("CLIENT", "KILL", "TYPE", "normal")  # a looks at once, not within a minute

        self.dies_during(fleet, forgotten)

    @case("T1")
    def test_a_link_that_is_cut_for_one_node_only(self):
        fleet = self.fleet(2)
        a, b, proxy = fleet.brokers["a"], fleet.brokers["b"], fleet.proxies["b"]
        jobs = fleet.run_held_by_all(8)
        proxy.refuse()
        proxy.cut()
        self.outage_of(0.8 * LEASE)
        proxy.refuse(False)
        fleet.back()
        self.watched(fleet)
        self.nothing_twice(fleet, jobs)

        # Longer: nobody can tell it from a dead one.
        mine = [j for j, nodes in fleet.nodes_of(jobs).items() if nodes == ["b"]]
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: all(n == ["b", "a"] for n in fleet.nodes_of(mine).values()), 10 * LEASE,
                   "its jobs are not taken over")
        proxy.refuse(False)
        fleet.back()
        wait_until(lambda: b.logged("did not renew its lease"), 10, "b does not know")
        self.done(fleet)
        late = 'pepperbus_storage_late_total{storage="main"}'
        equals(lambda: b.metrics()[late], len(mine), 10, "late outcomes")
        self.assertEqual(a.metrics()[late], 0)
        self.nothing_twice(fleet, [j for j in jobs if j not in mine])
        self.assertEqual({tuple(n) for n in fleet.nodes_of(mine).values()}, {("b", "a")})
        self.assertEqual(a.topic("q/t")["dead"], 0)
        # It works as before.
        jobs = fleet.run_held(8)
        self.done(fleet)
        self.nothing_twice(fleet, jobs)

    @case("T1")
    def test_a_node_that_stands_still_and_wakes_up(self):
        fleet = self.fleet(2)
        b = fleet.brokers["b"]
        jobs = fleet.run_held_by_all(8)
        mine = [j for j, nodes in fleet.nodes_of(jobs).items() if nodes == ["b"]]
        b.pause()
        wait_until(lambda: all(n == ["b", "a"] for n in fleet.nodes_of(mine).values()), 10 * LEASE,
                   "its jobs are not taken over")
        fleet.release()  # its workers answer, and it will read that when it wakes up
        wait_until(lambda: fleet.brokers["a"].topic("q/t")["done"] >= len(jobs), 20)
        b.resume()
        wait_until(fleet.settled, 20)
        late = 'pepperbus_storage_late_total{storage="main"}'
        equals(lambda: b.metrics()[late], len(mine), 10, "late outcomes")
        self.assertEqual({len(n) for n in fleet.nodes_of(jobs).values()}, {1, 2})

    @case("T1", "R3")
    def test_after_flushall_nodes_are_known_again(self):
        fleet = self.fleet(2)
        fleet.run_held(4)
        fleet.redis.cmd("FLUSHALL")
        wait_until(lambda: {"a", "b"} <= set(self.beats(fleet)), 10, "nobody is registered")
        fleet.release()
        self.dies_during(fleet, lambda redis: fleet.brokers["b"].kill())


if __name__ == "__main__":
    main()
