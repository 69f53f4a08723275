#!/usr/bin/env python3
"""What nodes tell one another and ask of one another: reports, requests, the key."""
import json
import threading

from cluster import LOCAL, PASSWORD, ClusterCase, topic_text
from harness import main, wait_until

REPORT, NODES = "pb:{@}:doc:report:", "pb:{@}:nodes"


class Reports(ClusterCase):
    def nodes_of(self, node):
        return {x["node"]: x for x in node.admin.get("/api/v1/cluster").json["nodes"]}

    def seen_ms(self, name):
        return int((self.store.cmd("HGET", NODES, name) or "0 0").split()[1])

    def later_by(self, ms, name="n1"):
        begin = self.seen_ms(name)
        wait_until(lambda: self.seen_ms(name) >= begin + ms, 60)

    def test_a_lone_node_tells_nobody_and_answers_for_itself(self):
        (node,) = self.cluster(1)
        self.later_by(6000)  # a report would have been written
        self.assertIsNone(self.store.cmd("GET", REPORT + "n1"))
        nodes = self.nodes_of(node)
        self.assertEqual(list(nodes), ["n1"])
        self.assertIs(nodes["n1"]["alive"], True)
        self.assertEqual((nodes["n1"]["state"], nodes["n1"]["number"]), ("runs", 0))
        self.applied(node, topic_text("q", None))  # now somebody else may come and ask
        wait_until(lambda: self.store.cmd("GET", REPORT + "n1"), 20)
        self.store.pause()
        try:
            answer = node.admin.get("/api/v1/cluster")
            self.assertIn("n1", {x["node"] for x in answer.json["nodes"]} if answer.status == 200 else {"n1"})
        finally:
            self.store.resume()

    def test_a_report_is_written_when_something_changed_and_seldom_else(self):
        a, b = self.cluster(2)
        number = self.applied(a, topic_text("q", None))
        self.all_run(number)
        for name in ("n1", "n2"):
            wait_until(lambda name=name: json.loads(self.store.cmd("GET", REPORT + name) or "{}").get("number") == number, 20)

        def same():
            before = self.store.cmd("GET", REPORT + "n1")
            self.later_by(11000)  # two ticks
            return before == self.store.cmd("GET", REPORT + "n1")

        wait_until(same, 60)
        self.assertIs(self.nodes_of(a)["n2"]["alive"], True)

    def test_a_node_that_ends_is_away_since_then(self):
        a, b = self.cluster(2)
        self.applied(a, topic_text("q", None))
        wait_until(lambda: self.nodes_of(a).get("n2", {}).get("number") == 1, 20)
        self.assertIs(self.nodes_of(a)["n2"]["alive"], True)
        b.stop()
        row = wait_until(lambda: [x for x in self.nodes_of(a).values() if x["node"] == "n2" and not x["alive"]], 20)[0]
        self.assertEqual(row["state"], "away")
        self.assertEqual(a.admin.request("DELETE", "/api/v1/nodes/n1").status, 409)
        self.assertEqual(a.admin.request("DELETE", "/api/v1/nodes/n2").status, 200)
        self.assertNotIn("n2", self.nodes_of(a))


class Requests(ClusterCase):
    def works(self, *users, handle=lambda request: (200, "a word of the worker")):
        """Two nodes with a topic q/t, whose worker answers."""
        web = self.http(handle)
        a, *_ = self.nodes = self.cluster(1 if users else 2, *users[:1])
        if users:
            self.nodes.append(self.joins("n2", a, LOCAL.format(address=self.store.address) + users[1]))
        self.applied(self.nodes[0], "[pool w]\nrun_type = http\n" + topic_text("q", f"{web.address}/w"))
        self.all_run(1)
        wait_until(lambda: self.answer("GET", "status", "n2").status == 200, 20)
        return self.nodes

    def answer(self, method, path, node, body=None, **kw):
        join = "&" if "?" in path else "?"
        return self.nodes[0].admin.request(method, f"/api/v1/{path}{join}node={node}", body, **kw)

    def test_another_node_answers_for_itself(self):
        a, b = self.works()
        status = self.answer("GET", "status", "n2").json
        self.assertEqual((status["node"], status["pid"]), ("n2", b.admin.get("/api/v1/status").json["pid"]))
        self.assertEqual(self.answer("GET", "status", "n1").json["node"], "n1")
        self.assertEqual([p["name"] for p in self.answer("GET", "pools", "n2").json["pools"]], ["w"])
        before = b.logged("asks this node for: ping")
        answer = self.answer("POST", "topics/q/t/ping", "n2")
        self.assertEqual((answer.status, answer.json["topic"]), (200, "q/t"))
        self.assertEqual(len(b.logged("asks this node for: ping")), len(before) + 1)
        self.assertFalse(a.logged("asks this node for: ping"))
        self.assertEqual(self.answer("POST", "topics/q/none/ping", "n2").status, 404)

    def test_each_node_tells_how_it_runs_a_topic(self):
        a, b = self.works()

        def rows():
            answer = a.admin.get("/api/v1/topics/q/t/nodes")
            self.assertEqual((answer.status, answer.json["topic"], answer.json["error"]), (200, "q/t", None), answer)
            return {r["node"]: r for r in answer.json["nodes"]}

        both = wait_until(lambda: (r := rows()) and all(x["state"] == "open" for x in r.values()) and r, 20)
        self.assertEqual(list(both), ["n1", "n2"])
        self.assertEqual([(r["self"], r["alive"], r["here"], r["missing"], r["error"]) for r in both.values()],
                         [(True, True, True, None, None), (False, True, True, None, None)])
        for r in both.values():
            self.assertEqual(r["since_ms"], (a if r["self"] else b).topic("q/t")["since_ms"])
        a.admin.post("/api/v1/topics/q/t/pause", {"reason": "a deploy"})
        paused = wait_until(lambda: (r := rows()["n2"])["state"] == "paused" and r, 20)
        self.assertEqual(paused["pause"]["reason"], "a deploy")
        a.admin.post("/api/v1/topics/q/t/resume", {})
        # Only n2 is left to run jobs: its times are of its own attempts.
        a.admin.post("/api/v1/nodes/n1/drain", {"drain": True})
        wait_until(lambda: rows()["n1"]["state"] not in ("open", "draining"), 20)
        with b.client(f"q:{PASSWORD}") as c:
            c.call("LPUSH", "q", "one")
        wait_until(lambda: rows()["n2"]["p50_ms"] is not None, 20)
        b.pause()  # it lives, and says nothing
        silent = rows()["n2"]
        self.assertEqual((silent["alive"], silent["missing"], silent["state"], silent["rates"]), (True, "silent", None, None))
        self.assertEqual(rows()["n1"]["self"], True)
        b.resume()
        wait_until(lambda: rows()["n2"]["missing"] is None, 20)
        b.kill()
        away = wait_until(lambda: (r := rows()["n2"])["missing"] == "away" and r, 30)
        self.assertEqual((away["alive"], away["state"], away["running"]), (False, None, None))
        self.assertGreater(away["heard_ms"], 0)
        self.assertEqual(a.admin.get("/api/v1/topics/q/none/nodes").status, 404)

    def test_a_topic_that_another_node_does_not_have(self):
        a, b = self.works()
        a.reload(self.local + f"\n[queue own]\npassword = {PASSWORD}\n[topic own/t]\nrun_type = pull\n")
        row = wait_until(lambda: (r := {x["node"]: x for x in a.admin.get("/api/v1/topics/own/t/nodes").json["nodes"]}["n2"])
                         ["missing"] == "unconfigured" and r, 20)
        self.assertEqual((row["alive"], row["state"]), (True, None))

    def test_a_job_is_tested_on_another_node(self):
        a, b = self.works()
        content = bytes(range(256))
        answer = self.answer("POST", "topics/q/t/test", "n2", content)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["code"], answer.json["message"]), (200, "a word of the worker"))
        self.assertTrue(b.logged("asks this node for: test"))
        for key in self.store.cmd("KEYS", "pb:{@}:doc:reply:*"):  # what was said is for the two alone
            self.assertNotIn("a word", self.store.cmd("GET", key) or "")
        self.assertEqual(self.answer("POST", "topics/q/t/test", "n2", b"x" * (300 << 10)).status, 413)

    def test_a_node_that_is_away_is_not_waited_for(self):
        a, b = self.works()
        b.stop()
        answer = self.answer("GET", "status", "n2")
        self.assertEqual(answer.status, 504)
        self.assertRegex(answer.json["error"], r"n2 is away since \d{4}-\d\d-\d\dT")
        self.assertEqual(self.answer("GET", "status", "n9").status, 404)
        self.store.stop()
        wait_until(lambda: self.answer("GET", "status", "n2").status == 503, 20)

    def test_the_other_node_looks_at_the_rights_again(self):
        user = "[user ann]\nrole = {role}\npassword = {hash}\n"
        a, b = self.works(user.format(role="operator", hash=PASSWORD), user.format(role="viewer", hash=PASSWORD))
        origin = {"Origin": f"http://{a.admin_address}"}
        login = a.admin.post("/api/v1/session", {"user": "ann", "password": PASSWORD}, token=None, headers=origin)
        self.assertEqual(login.status, 200, login)
        fields = {**origin, "Cookie": login.headers["Set-Cookie"].split(";")[0]}
        self.assertEqual(self.answer("POST", "topics/q/t/ping", "n1", token=None, headers=fields).status, 200)
        self.assertEqual(self.answer("POST", "topics/q/t/ping", "n2", token=None, headers=fields).status, 403)
        self.assertEqual(self.answer("GET", "status", "n2", token=None, headers=fields).status, 200)

    def test_a_drained_node_runs_nothing_also_after_a_start_with_redis_away(self):
        a, b = self.works()
        number = self.shared(a)["number"]
        drain = lambda node, on: a.admin.post(f"/api/v1/nodes/{node}/drain", {"drain": on}).status
        why = lambda: b.admin.get("/api/v1/topics/q/t").json["why"]
        self.assertEqual(drain("n9", True), 404)
        self.assertEqual(drain("n2", True), 200)
        wait_until(lambda: "this node is drained" in why(), 20, why)
        wait_until(lambda: {n["node"]: n["drained"] for n in a.admin.get("/api/v1/cluster").json["nodes"]} == {"n1": False, "n2": True}, 20)
        self.assertEqual(self.shared(a)["number"], number, "a state is no revision")
        self.assertEqual(a.topic("q/t")["state"], "open")
        b.stop()
        self.store.pause()
        try:
            b.start(wait=False)
            wait_until(lambda: "this node is drained" in (self.quiet(why) or ""), 20)
        finally:
            self.store.resume()
        b.wait_ready()
        self.assertIn("this node is drained", why())
        self.assertEqual(drain("n2", False), 200)
        wait_until(lambda: b.topic("q/t")["state"] == "open", 20, why)

    def quiet(self, fn):
        try:
            return fn()
        except OSError:
            return None

    def test_the_log_of_another_node_can_be_read(self):
        a, b = self.works()
        for node in (a, b):
            lines = node.admin.get("/api/v1/nodes/n2/log?lines=1000").json
            self.assertEqual(lines["node"], "n2")
            self.assertTrue(lines["lines"][0] in b.log_text() and any("ready" in x for x in lines["lines"]), lines)
            self.assertTrue(any(x not in a.log_text() for x in lines["lines"]), "another node's lines")
        self.assertEqual(len(a.admin.get("/api/v1/nodes/n2/log?lines=2").json["lines"]), 2)
        self.assertEqual(len(a.ctl("node", "log", "n2", "--lines", "3").out.splitlines()), 3)
        self.assertEqual(a.admin.get("/api/v1/nodes/n2/log?lines=1001").status, 400)
        self.assertEqual(a.admin.get("/api/v1/nodes/n9/log").status, 404)

    def test_figures_of_all_nodes_are_summed(self):
        a, b = self.works()
        client = a.client(f"q:{PASSWORD}")
        for i in range(5):
            client.call("LPUSH", "q", f"job {i}")
        other = b.client(f"q:{PASSWORD}")
        for i in range(4):
            other.call("LPUSH", "q", f"job {i}")
        wait_until(lambda: a.admin.get("/api/v1/cluster").json["figures"]["accepted"] == 9, 30)
        all_of = lambda: self.answer("GET", "topics?queue=q", "all").json
        both = wait_until(lambda: (x := all_of()) and x["nodes"] == ["n1", "n2"] and x, 20)
        self.assertEqual((both["missing"], [t["topic"] for t in both["topics"]]), ([], ["q/t"]))
        self.assertEqual(self.answer("GET", "topics", "n2").status, 400)

    def test_jobs_with_the_workers_of_all_nodes_are_summed(self):
        go = threading.Event()
        self.addCleanup(go.set)
        a, b = self.works(handle=lambda request: go.wait(60) and (200, "done"))
        for node in (a, b):
            client = node.client(f"q:{PASSWORD}")
            for i in range(40):
                client.call("LPUSH", "q", f"job {i}")
        attempts = lambda node, one: sum(t["node"]["attempts"] for t in one.admin.get(f"/api/v1/topics?node={node}").json["topics"])
        wait_until(lambda: attempts("n1", a) > 0 and attempts("n2", b) > 0, 20)
        wait_until(lambda: attempts("all", a) == attempts("n1", a) + attempts("n2", b), 20)
        b.pause()
        try:
            answer = a.admin.get("/api/v1/topics?node=all").json
            self.assertEqual((answer["nodes"], answer["missing"]), (["n1"], ["n2"]))
        finally:
            b.resume()


if __name__ == "__main__":
    main()
