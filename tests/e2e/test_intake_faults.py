#!/usr/bin/env python3
"""What producers are told is so, whatever fails between them and the storages."""

import json
import re
import signal
import threading

from harness import Case, RespError, case, main, wait_until

PASSWORD = "a-long-password"
QUEUE = f"""
[queue q]
password = {PASSWORD}
"""


def decoded(disque):
    return str(int(disque[2:18], 16))


class OneStorage(Case):
    def pop(self, b, path):
        with b.client(f"q:{PASSWORD}") as c:
            answer = c.call("RPOP", path)
        return answer and json.loads(answer)["jobs"][0]

    def one(self, store, queue="", more=""):
        return self.broker("a", f"[storage main]\naddress = {store.address}\n{more}{QUEUE}{queue}\n"
                                "[topic q/t]\nrun_type = pull\n")


class Faults(OneStorage):
    @case("R6")
    def test_a_token_without_its_job_is_no_promise(self):
        store = self.redis()
        b = self.one(store)
        for foreign, broken, mended in (("stream", ("SET", "pb:{q}:s", "x"), ("DEL", "pb:{q}:s")),
                                        ("XADD forbidden", ("ACL", "SETUSER", "default", "-xadd"),
                                         ("ACL", "SETUSER", "default", "+xadd"))):
            with self.subTest(foreign=foreign), b.client(f"q:{PASSWORD}") as c:
                store.cmd("DEL", "pb:{q}:s")
                store.cmd(*broken)
                with self.assertRaisesRegex(RespError, "^STORAGE"):
                    c.call("ADDJOB", "q", "job", 0, "ID", "token-" + foreign[:4])
                store.cmd(*mended)

                def added():
                    try:
                        return c.call("ADDJOB", "q", "job", 0, "ID", "token-" + foreign[:4])
                    except RespError:
                        return None

                disque = wait_until(added, 20)
                got = []
                wait_until(lambda: got.append(self.pop(b, "q/t")) or got[-1], 20)
                self.assertEqual(got[-1]["id"], decoded(disque))

    @case("R18")
    def test_a_token_is_known_for_as_long_as_is_asked(self):
        store = self.redis()
        b = self.one(store)
        with b.client(f"q:{PASSWORD}") as c:
            first = c.call("ADDJOB", "q", "job", 0, "ID", "short", "IDTTL", 20)
            c.call("ADDJOB", "q", "job", 0, "ID", "usual")
            self.assertEqual(c.call("ADDJOB", "q", "job", 0, "ID", "short", "IDTTL", 20), first)
        self.assertLessEqual(store.cmd("PTTL", "pb:{q}:t:short"), 20000)
        self.assertGreater(store.cmd("PTTL", "pb:{q}:t:usual"), 20000)
        self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), 2)

    @case("R13")
    def test_more_jobs_at_once_than_may_be_on_the_way(self):
        store = self.redis()
        b = self.one(store, more="max_inflight = 16\n")
        ids = b.push("q", *[f"job {i}" for i in range(3000)])
        self.assertEqual(len(set(ids)), 3000)
        self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), 3000)
        stored = [0]

        def push():
            reply = b.lpush("q", *["x"] * 500)
            if reply["error"]:
                self.assertIn("nothing of this request was stored", reply["error"])
            stored[0] += len(reply["jobs"] or ())

        threads = [threading.Thread(target=push) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertGreater(stored[0], 0)
        self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), 3000 + stored[0])

    @case("R13")
    def test_limits_take_a_request_whole_or_not_at_all(self):
        store = self.redis()
        for limit, n in (("max_length = 1200", 1200), ("max_bytes = 64kb", 0)):
            with self.subTest(limit=limit):
                store.cmd("FLUSHALL")
                b = self.one(store, queue=limit)
                job = "x" * 50
                reply = b.lpush("q", *[job] * 1500)
                self.assertRegex(reply["error"], "queue is full: max_.*; nothing of this request was stored$")
                self.assertEqual(store.cmd("EXISTS", "pb:{q}:s") and store.cmd("XLEN", "pb:{q}:s"), 0)
                self.assertEqual(len(b.push("q", *[job] * (n or 100))), n or 100)
                self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), n or 100)
                reply = b.lpush("q", *[job] * 1000)
                self.assertTrue(reply["error"])
                self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), n or 100)
                self.assertEqual(self.pop(b, "q/t")["content"], job)
                b.stop()

    @case("R13")
    def test_a_connection_that_breaks_in_the_middle(self):
        store = self.redis()
        proxy = self.tcp_proxy(store.tcp)
        b = self.broker("a", f"[storage main]\naddress = {proxy.address}\n{QUEUE}[topic q/t]\nrun_type = pull\n")
        b.push("q", "first")
        proxy.rate(200000)
        reply = {}
        t = threading.Thread(target=lambda: reply.update(b.lpush("q", *["x" * 1000] * 2000)))
        t.start()
        wait_until(lambda: store.cmd("XLEN", "pb:{q}:s") > 100, 20)
        proxy.cut()
        t.join()
        self.assertTrue(reply["error"], reply)
        told = re.search(r"(\d+) of 2000 jobs of this request were stored, of (\d+) it is not known", reply["error"])
        stored = store.cmd("XLEN", "pb:{q}:s") - 1
        self.assertTrue(told, reply["error"])
        known, unknown = int(told[1]), int(told[2])
        self.assertLessEqual(known, stored, reply["error"])
        self.assertLessEqual(stored, known + unknown, reply["error"])


class ManyJobs(OneStorage):
    """More than go to the storage in one turn: they go in slices."""

    def slow(self, rate=400000, **kw):
        self.store = self.redis()
        self.proxy = self.tcp_proxy(self.store.tcp)
        b = self.broker("a", f"[storage main]\naddress = {self.proxy.address}\n{QUEUE}[topic q/t]\nrun_type = pull\n", **kw)
        b.push("q", "first")
        if rate:
            self.proxy.rate(rate)
        return b

    def length(self):
        return self.store.cmd("XLEN", "pb:{q}:s")

    def in_the_middle(self):
        wait_until(lambda: self.length() > 100, 20)

    def pushing(self, b, n=2000):
        reply = {}
        t = threading.Thread(target=lambda: reply.update(b.lpush("q", *["x" * 1000] * n)))
        t.start()
        self.in_the_middle()
        return t, reply

    @case("X7")
    def test_jobs_keep_their_order(self):
        store = self.redis()
        b = self.one(store)
        with b.client(f"q:{PASSWORD}") as c:
            for _ in range(2):
                c.send("LPUSH", "q", *[f"job {i}" for i in range(20000)])
            c.send("LPUSH", "q", "the last one")
            replies = [json.loads(c.recv()) for _ in range(3)]
        ids = [i for r in replies for i in r["jobs"]]
        self.assertEqual(len(set(ids)), 40001)
        self.assertEqual(ids, sorted(ids, key=int))
        self.assertEqual(store.cmd("XLEN", "pb:{q}:s"), 40001)
        last = store.cmd("XREVRANGE", "pb:{q}:s", "+", "-", "COUNT", "1")
        self.assertIn("the last one", repr(last))
        for i in range(3):
            job = self.pop(b, "q/t")
            self.assertEqual((job["id"], job["content"]), (ids[i], f"job {i}"))

    @case("X7")
    def test_what_others_add_goes_between(self):
        b = self.slow()
        with b.client(f"q:{PASSWORD}") as other:
            t, reply = self.pushing(b, 6000)
            self.assertEqual(json.loads(other.call("LPUSH", "q", "of another client"))["error"], "")
            self.assertFalse(reply)
            self.assertLess(self.length(), 6000)
        self.proxy.rate(0)
        t.join()
        self.assertEqual((reply["error"], len(set(reply["jobs"]))), ("", 6000))
        self.assertEqual(self.length(), 6002)

    @case("X7")
    def test_whose_client_leaves_is_stored(self):
        b = self.slow()
        with b.client(f"q:{PASSWORD}") as c:
            c.send("LPUSH", "q", *["x" * 1000] * 2000)
            self.in_the_middle()
        self.proxy.rate(0)
        wait_until(lambda: self.length() == 2001, 20)

    @case("X7")
    def test_a_stop_in_the_middle_stores_the_rest(self):
        b = self.slow()
        t, reply = self.pushing(b)
        b.signal(signal.SIGTERM)
        self.proxy.rate(0)
        t.join()
        self.assertEqual((reply["error"], len(set(reply["jobs"]))), ("", 2000))
        self.assertEqual(self.length(), 2001)

    @case("X7")
    def test_a_redis_that_is_full_in_the_middle(self):
        b = self.slow()
        t, reply = self.pushing(b, 4000)
        self.store.config_set("maxmemory", "1")
        self.proxy.rate(0)
        t.join()
        told = re.search(r"(\d+) of 4000 jobs of this request were stored$", reply["error"])
        self.assertTrue(told, reply)
        self.assertEqual(int(told[1]), self.length() - 1)
        self.store.config_set("maxmemory", "0")
        b.push("q", *["x"] * 1000)

    @case("X7")
    def test_a_reload_that_takes_the_queue_away_in_the_middle(self):
        b = self.slow()
        t, reply = self.pushing(b)
        b.reload(f"[storage main]\naddress = {self.proxy.address}\n{QUEUE}", wait=False)
        self.proxy.rate(0)
        t.join()
        stored = self.length() - 1
        if reply["error"]:
            self.assertIn(f"{stored} of 2000 jobs of this request were stored", reply["error"])
        else:
            self.assertEqual(stored, 2000)


class SeveralStorages(Case):
    def setUp(self):
        super().setUp()
        self.east, self.west = self.redis("east"), self.redis("west")

    def ini(self, order=("east", "west")):
        storages = "".join(f"[storage {s}]\naddress = {getattr(self, s).address}\n" for s in order)
        topics = "".join(f"[topic q/{s}]\nstorage = {s}\nrun_type = pull\n" for s in order)
        return storages + QUEUE + topics

    def add(self, b, *options):
        with b.client(f"q:{PASSWORD}") as c:
            try:
                return c.call("ADDJOB", "q", "job", 0, *options)
            except RespError as e:
                return e

    def popped(self, b):
        with b.client(f"q:{PASSWORD}") as c:
            return [(a := c.call("RPOP", f"q/{s}")) and json.loads(a)["jobs"][0]["id"] for s in ("east", "west")]

    @case("T3")
    def test_one_id_after_a_retry(self):
        b = self.broker("a", self.ini())
        for broken, other in ((self.east, self.west), (self.west, self.east)):
            with self.subTest(broken=broken.name):
                broken.config_set("maxmemory", "1")
                told = self.add(b, "ID", "token-" + broken.name)
                self.assertIsInstance(told, RespError)
                broken.config_set("maxmemory", "0")
                disque = self.add(b, "ID", "token-" + broken.name)
                self.assertIsInstance(disque, str)
                self.assertEqual(self.popped(b), [decoded(disque)] * 2)
                self.assertEqual(self.popped(b), [None, None])
                self.assertEqual(self.add(b, "ID", "token-" + broken.name), disque)
                self.assertEqual(self.popped(b), [None, None])

    @case("T3")
    def test_one_id_for_delayed_jobs(self):
        b = self.broker("a", self.ini())
        self.west.config_set("maxmemory", "1")
        self.assertIsInstance(self.add(b, "DELAY", 3600, "ID", "later"), RespError)
        self.west.config_set("maxmemory", "0")
        disque = self.add(b, "DELAY", 3600, "ID", "later")
        for s in (self.east, self.west):
            self.assertEqual(s.cmd("ZRANGE", "pb:{q}:d", 0, -1), [decoded(disque)])

    @case("T3")
    def test_one_id_for_two_nodes_that_add_at_once(self):
        nodes = [self.broker("a", self.ini()), self.broker("b", self.ini(("west", "east")))]
        for i in range(30):
            said = [None, None]

            def add(k, token):
                said[k] = self.add(nodes[k], "ID", token)

            threads = [threading.Thread(target=add, args=(k, f"token-{i}")) for k in (0, 1)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(said[0], said[1])
            self.assertEqual(self.popped(nodes[0]), [decoded(said[0])] * 2)
            self.assertEqual(self.popped(nodes[0]), [None, None])

    @case("X7")
    def test_very_many_jobs_are_in_both_or_told_of(self):
        proxy = self.tcp_proxy(self.west.tcp)
        b = self.broker("a", self.ini().replace(self.west.address, proxy.address))
        ids = b.push("q", *[f"job {i}" for i in range(3000)])
        for s in (self.east, self.west):
            self.assertEqual(s.cmd("XLEN", "pb:{q}:s"), 3000)
        self.assertEqual(len(set(ids)), 3000)
        proxy.rate(200000)
        reply = {}
        t = threading.Thread(target=lambda: reply.update(b.lpush("q", *["x" * 1000] * 3000)))
        t.start()
        wait_until(lambda: self.west.cmd("XLEN", "pb:{q}:s") > 3100, 20)
        proxy.cut()
        t.join()
        told = re.search(r"; stored: (\d+) of 3000 in east, (\d+) of 3000 in west", reply["error"])
        self.assertTrue(told, reply)
        self.assertEqual(int(told[1]), self.east.cmd("XLEN", "pb:{q}:s") - 3000)
        self.assertLessEqual(int(told[2]), self.west.cmd("XLEN", "pb:{q}:s") - 3000)
        self.assertLess(int(told[1]), 3000)

    @case("R13")
    def test_a_storage_that_is_away_stores_nothing_in_the_other(self):
        b = self.broker("a", self.ini())
        self.west.kill()
        wait_until(lambda: b.logged("storage west: no connection"), 20)
        reply = b.lpush("q", "one", "two")
        self.assertIn("nothing of this request was stored", reply["error"])
        self.assertEqual(self.east.cmd("EXISTS", "pb:{q}:s") and self.east.cmd("XLEN", "pb:{q}:s"), 0)


if __name__ == "__main__":
    main()
