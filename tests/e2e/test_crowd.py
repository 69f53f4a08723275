#!/usr/bin/env python3
"""Many queues at once, at the start and by one reload; many reloads, and what they leave behind."""

import json
import time

from harness import SANITIZED, Case, RespError, equals, main, wait_until


class Queues(Case):
    """Thousands of queues."""

    def crowd(self, n):
        topics = "".join(f"[queue q{i}]\npassword = pw\n[topic q{i}/t]\npool = php\nentry = {self.worker('any.php')}\n"
                         for i in range(n))
        return f"""
{self.php_pool(self.storage, self.workers, 4)}
{topics}"""

    def is_open(self, n, seconds, what):
        equals(lambda: self.b.admin.get("/api/v1/status").json["topic_states"]["open"], n, seconds, what)

    def use(self, content, queues, what):
        """One job to each of the queues."""
        for queue in queues:
            with self.b.client(f"{queue}:pw") as c:
                self.assertEqual(json.loads(c.call("LPUSH", queue, content))["error"], "", f"{what}: {queue}")

    def handled(self, content):
        return sum(1 for line in self.lines("handled") if line.endswith(f" {content}"))

    def reload_to(self, n, what):
        start = time.monotonic()
        self.b.write(self.crowd(n))
        before = len(self.b.logged("configuration reloaded"))
        answer = self.b.admin.post("/api/v1/reload")
        self.assertIn(answer.status, (200, 504), (what, answer))  # 504: a slow machine, and it goes on
        wait_until(lambda: len(self.b.logged("configuration reloaded")) > before, 20, what)
        print(f"# {what}: the reload took {time.monotonic() - start:.3f} s")

    def test_thousands_start_come_and_go_and_a_producer_sees_no_error(self):
        self.storage, self.workers = self.redis(), self.fpm()
        start = time.monotonic()
        self.b = self.broker("b", self.crowd(1500))
        self.is_open(1500, 30, "1500 queues at the start: their topics open")
        print(f"# ready and all pinged after {time.monotonic() - start:.3f} s")
        self.use("first", ("q0", "q750", "q1499"), "the first, the last and one amid them take jobs")
        equals(lambda: self.handled("first"), 3, 10, "and their workers handle them")

        # A producer that goes on meanwhile sees no error.
        def produce():
            with self.b.client("q7:pw", unix=True) as c:
                return [json.loads(c.call("LPUSH", "q7", i))["error"] for i in range(3000)]

        producer = self.beside(produce)
        self.reload_to(3000, "1500 more by one reload")
        self.is_open(3000, 30, "they open")
        self.use("second", ("q1", "q1500", "q2999"), "new ones and old ones take jobs")
        equals(lambda: self.handled("second"), 3, 10, "and their workers handle them")
        self.reload_to(100, "2900 go by one reload")
        self.is_open(100, 10, "and 100 are left")
        with self.assertRaisesRegex(RespError, "NOAUTH|not exist|invalid", msg="those that went take none"):
            self.use("x", ["q2000"], "one that went")
        self.assertEqual(producer.result(300), [""] * 3000, "3000 jobs added meanwhile: each acknowledged")
        equals(lambda: len(self.lines("handled")), 3006, 30, "and handled")
        self.assertEqual(self.b.stop(), 0, "a clean stop")


class Reloads(Case):
    """Hundreds of reloads, each to another window, pool, storage and set of queues."""

    def variant(self, n):
        storage = self.storage if n % 4 < 2 else self.other
        queues = "".join(f"[queue x{i}]\npassword = pw\n[topic x{i}/t]\nstorage = main\npool = php\n"
                         f"entry = {self.worker('any.php')}\n" for i in range(n % 7))
        return f"""
[storage main]
address = {storage.address}
[storage spare{n % 2}]
address = {self.other.address}
db = {n % 3 + 1}
command_timeout = {2 if n % 2 else 3}s
[pool php]
run_type = cgi
address = {self.workers.address}
max_connections = {2 + n % 3}
[queue q]
password = pw
[topic q/t]
storage = main
pool = php
entry = {self.worker("any.php")}
workers = {1 + n % 5}
[topic q/spare]
storage = spare{n % 2}
pool = php
entry = {self.worker("any.php")}
{queues}"""

    def reload_to(self, n):
        """And a job through it, which both topics have before the next one."""
        self.b.write(self.variant(n))
        self.assertTrue(self.b.admin.post("/api/v1/reload").json["reloaded"], f"reload {n}")
        self.b.wait_ready(10)  # its storages are connected
        self.b.push("q", f"v{n}")
        self.jobs += 1
        equals(lambda: len(self.lines("handled")), 2 * self.jobs, 10, f"reload {n}: handled")

    def passing(self):
        """Connections that come and go: to the admin port and the bus, and to php-fpm."""
        with open("/proc/net/tcp", encoding="ascii") as f:
            tcp = [line.split() for line in f]
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
            unix = [line.split() for line in f]
        admin, places = f":{self.b.admin_port:04X}", (str(self.b.bus), str(self.workers.sock))
        return (sum(1 for w in tcp if w[1].endswith(admin) and w[3] in ("01", "08"))
                + sum(1 for w in unix if w[-1] in places and w[3] != "00010000"))

    def connections(self):
        """To both storages: each that is configured has one for commands and one for wake-ups."""
        return sum(r.cmd("CLIENT", "LIST").count("name=pepperbus") for r in (self.storage, self.other))

    def test_hundreds_leave_nothing_behind(self):
        self.storage, self.other, self.workers = self.redis(), self.redis("other"), self.fpm()
        self.jobs = 0
        self.b = self.broker("b", self.variant(0))
        for n in [*range(1, 21), 0]:
            self.reload_to(n)
        self.assertEqual(len(self.lines("handled")), 42,
                         "20 reloads, then back to the first configuration: a job each, for two topics")
        equals(self.connections, 4, 10, "four connections: two storages are configured")
        equals(self.passing, 0, 10, "and none besides")
        descriptors, sizes = self.b.descriptors(), [self.b.rss()]
        for n in range(1, 101):
            self.reload_to(n)
            if n % 25 == 0:
                sizes.append(self.b.rss())
        self.reload_to(0)
        handled = self.lines("handled")
        self.assertEqual(len(handled), 244, "100 more reloads and back")
        ids = [line.split()[0] for line in handled]
        self.assertEqual([i for i in set(ids) if ids.count(i) != 2], [], "each job once for each of two topics")
        equals(self.b.descriptors, descriptors, 10, f"as many descriptors as before ({descriptors})")
        self.assertEqual(self.connections(), 4, "and four connections")
        # The allocator keeps what one of them took; a leak grows to the end, in each quarter. What is
        # freed in a sanitized broker is kept in quarantine.
        kilobytes = [size // 1024 for size in sizes]
        leaks = (kilobytes[4] - kilobytes[0] >= 1024 and kilobytes[4] - kilobytes[3] >= 200
                 and kilobytes[3] - kilobytes[2] >= 200)
        self.assertTrue(SANITIZED or not leaks, f"the memory does not go on growing: {kilobytes} kB")
        self.assertEqual(self.b.stop(), 0, "a clean stop")


if __name__ == "__main__":
    main()
