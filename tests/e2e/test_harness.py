#!/usr/bin/env python3
"""The harness itself: what the other tests take for granted."""

import json
import unittest

from harness import contract
from harness import Case, RespError, equals, main, wait_until


class Harness(Case):
    def ini(self, address, fpm):
        return f"""
[storage main]
address = {address}
command_timeout = 2s
[pool p]
run_type = cgi
address = {fpm.address}
max_connections = 4
[queue q]
password = a-long-password
[topic q/log]
pool = p
entry = {self.worker("log.php")}
"""

    def test_a_job_goes_through_and_everything_restarts(self):
        redis, fpm = self.redis(), self.fpm()
        b = self.broker("a", self.ini(redis.address, fpm))
        ids = b.push("q", "one", "two")
        self.assertEqual(len(ids), 2)
        equals(lambda: len(b.lines("handled.q.log")), 2, 10, "jobs handled")
        self.assertEqual(redis.cmd("PING"), "PONG")
        redis.restart()
        wait_until(lambda: b.push("q", "three"), 10)
        equals(lambda: len(b.lines("handled.q.log")), 3, 10, "jobs handled")
        b.kill()
        b.start()
        b.push("q", "four")
        equals(lambda: b.unfinished("q/log"), 0)
        self.assertEqual(b.ctl("topic", "ls", "--json").status, 0)
        b.reload(b.ini.replace("max_connections = 4", "max_connections = 3"))
        self.assertEqual(b.stop(), 0)

    def test_clients_show_replies_and_errors(self):
        redis, fpm = self.redis(), self.fpm()
        b = self.broker("a", self.ini(redis.address, fpm))
        c = b.client()
        with self.assertRaisesRegex(RespError, "NOAUTH"):
            c.call("PING")
        self.assertEqual(c.call("AUTH", "q:a-long-password"), "OK")
        c.send("PING")
        c.send("ECHO", "x")
        self.assertEqual([c.recv(), c.recv()], ["PONG", "x"])
        self.assertEqual(b.admin.get("/api/v1/topics", token=None).status, 401)
        self.assertEqual(b.admin.get("/api/v1/topics").status, 200)

    def test_an_answer_that_the_contract_does_not_describe_fails(self):
        if not contract.contract():
            self.skipTest("python3-yaml or python3-jsonschema is not installed")
        good = {"alive": True, "version": "1"}

        def told(answer=None, method="GET", path="/healthz", status=200, content="application/json"):
            contract.validate(method, path, status, content, json.dumps(answer or good))

        told()
        told(method="HEAD")
        told({"error": "no such path", "status": 404}, path="/api/v1/nosuch", status=404)
        for why, wrong in (("new", {"answer": {**good, "more": 1}}), ("left out", {"answer": {"alive": True}}),
                           ("type", {"answer": {**good, "alive": "yes"}}), ("status", {"status": 207}),
                           ("path", {"path": "/api/v1/nosuch"}), ("method", {"method": "PUT"}),
                           ("no JSON", {"content": "text/html"})):
            with self.assertRaises(contract.ContractError, msg=why):
                told(**wrong)
        topics = {"topics": [{"topic": "q/t", "secret": "x"}] * 3}
        with self.assertRaisesRegex(contract.ContractError, "/topics/0"):
            told(topics, path="/api/v1/topics?queue=q")

    def test_what_a_failed_set_up_has_started_is_ended(self):
        started = []

        class Broken(Case):
            def setUp(self):
                super().setUp()
                started.append(self.spawn("sleep", "600"))
                raise OSError("it cannot be set up")

            def test_nothing(self):
                pass

        result = unittest.TestResult()
        Broken("test_nothing").run(result)
        self.assertEqual(len(result.errors), 1)
        self.assertFalse(started[0].running)

    def test_a_proxy_cuts_and_points_elsewhere(self):
        redis, fpm = self.redis(), self.fpm()
        proxy = self.tcp_proxy(redis.tcp)
        b = self.broker("a", self.ini(proxy.address, fpm))
        b.push("q", "one")
        before = proxy.connections
        proxy.cut()
        wait_until(lambda: proxy.connections > before, 10, "the broker does not connect again")
        wait_until(lambda: b.push("q", "two"), 10)
        equals(lambda: len(b.lines("handled.q.log")), 2, 10, "jobs handled")
        proxy.hold()
        self.assertNotEqual(b.lpush("q", "three")["error"], "")
        proxy.hold(False)
        wait_until(lambda: b.push("q", "four"), 10)


if __name__ == "__main__":
    main()
