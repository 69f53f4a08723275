#!/usr/bin/env python3
"""What nodes tell one another and ask of one another: reports, requests, the key."""
import json

from cluster import ClusterCase, topic_text
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


if __name__ == "__main__":
    main()
