#!/usr/bin/env python3
"""One configuration for all nodes: changed on one, run by all; lost, forged, refused, keyless."""
import os
import shutil

from harness import Case, main, wait_until

LOCAL = """
[cluster]
name = prod
[storage main]
address = {address}
{more}
"""

SHARED = """
[pool p]
run_type = http

[queue q]
password = a-good-long-password

[topic q/t]
storage = main
run_type = pull
comment = {comment}
"""


class Cluster(Case):
    def cluster(self, n=3, more="", key=True):
        """`n` nodes with one Redis; the first one makes the key, the others are given it."""
        self.redis_main = self.redis("main")
        text = LOCAL.format(address=self.redis_main.address, more=more)
        nodes = [self.broker("n1", text)]
        wait_until(lambda: self.key_file(nodes[0]) is not None, 20)
        for i in range(2, n + 1):
            node = self.broker(f"n{i}", text, wait=False)
            nodes.append(node)
            if key:
                self.give_key(nodes[0], node)
        return nodes

    def key_file(self, node):
        path = node.state_dir / "cluster.key"
        return path if path.exists() else None

    def give_key(self, from_node, to_node):
        os.makedirs(to_node.state_dir, exist_ok=True)
        path = os.path.join(to_node.state_dir, "cluster.key")
        shutil.copy(self.key_file(from_node), path + ".new")
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)

    def shared(self, node):
        return node.admin.get("/api/v1/config/shared").json

    def apply(self, node, text, base=None, path="apply", **more):
        base = self.shared(node)["number"] if base is None else base
        body = {"text": text, "base": base, **more}
        return node.admin.request("POST", f"/api/v1/config/{path}", body)

    def runs(self, node, number):
        return self.shared(node)["runs"] == number

    def test_a_change_on_one_node_runs_on_all(self):
        a, b, c = self.cluster()
        answer = self.apply(a, SHARED.format(comment="one"), comment="first")
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual(answer.json["number"], 1)
        for node in (a, b, c):
            wait_until(lambda node=node: self.runs(node, 1), 20)
            self.assertEqual(node.topic("q/t")["topic"], "q/t")


if __name__ == "__main__":
    main()
