"""Several brokers with one shared configuration, and what tests ask of them."""

import hashlib
import hmac
import json
import os
import re
import shutil
import time

from harness import Case, wait_until

LOCAL = """
[cluster]
name = prod
[storage main]
address = {address}
"""

PASSWORD = "a-long-clear-password"


def topic_text(name, entry, *lines):
    """A queue NAME with one topic NAME/t: of the HTTP pool w, or, without an entry, pulled from."""
    run = ["pool = w", f"entry = {entry}"] if entry else ["run_type = pull"]
    return "\n".join([f"[queue {name}]", f"password = {PASSWORD}", f"[topic {name}/t]", "storage = main", *run, *lines, ""])


def signed(key_path, **members):
    """The bytes of a revision as a node with this key makes them: what another release could have made."""
    def of(key, *parts):
        return hmac.new(key, b"".join(parts), hashlib.sha256)

    m = {"number": 1, "at_ms": 1, "restored": 0, "cluster": "prod", "base_hash": "", "by": "", "from": "", "comment": "",
         "text": "", **members}
    secret = bytes.fromhex(key_path.read_text().strip())
    key = of(of(b"pepperbus cluster key", secret).digest(), b"revisions\x01").digest()
    parts = ["revision", *(str(m[k]) for k in ("number", "at_ms", "restored", "cluster", "base_hash", "by", "from", "comment", "text"))]
    mark = of(key, *(len(p.encode()).to_bytes(8, "big") + p.encode() for p in parts)).hexdigest()
    return json.dumps({**m, "hmac": mark})


class ClusterCase(Case):
    def cluster(self, n=3, more="", redis=None, **kw):
        """`n` nodes n1, n2 ... with one Redis; the first one makes the key, the others are given it."""
        self.store = redis or self.redis("main")
        self.local = LOCAL.format(address=kw.pop("address", self.store.address)) + more
        nodes = [self.broker("n1", self.local, **kw)]
        wait_until(lambda: self.key_path(nodes[0]).exists(), 20, "the first node makes the key")
        for i in range(2, n + 1):
            nodes.append(self.joins(f"n{i}", nodes[0], **kw))
        self.nodes = nodes
        return nodes

    def joins(self, name, giver, ini=None, **kw):
        """One more node, with the key of `giver`."""
        node = self.broker(name, self.local if ini is None else ini, start=False, **kw)
        self.give_key(giver, node)
        node.start()
        return node

    def key_path(self, node):
        return node.state_dir / "cluster.key"

    def copy_path(self, node):
        return node.state_dir / "shared.conf"

    def give_key(self, giver, node):
        os.makedirs(node.state_dir, exist_ok=True)
        path = self.key_path(node)
        new = path.with_name("cluster.key.new")
        shutil.copy(self.key_path(giver), new)
        new.chmod(0o600)
        new.rename(path)

    def shared(self, node):
        return node.admin.get("/api/v1/config/shared").json

    def ask(self, node, act, **body):
        return node.admin.post(f"/api/v1/config/{act}", body)

    def apply(self, node, text, base=None, **more):
        """One try; the answer."""
        base = self.shared(node)["number"] if base is None else base
        return self.ask(node, "apply", text=text, base=base, **more)

    def applied(self, node, text, **more):
        """Until the node has the newest revision and takes the text; the number."""
        last = [None]

        def done():
            last[0] = self.apply(node, text, **more)
            return last[0].status == 200 or last[0].status in (400, 403, 422)

        wait_until(done, 20, lambda: f"not applied: {last[0]!r}", pause=0.01)
        self.assertEqual(last[0].status, 200, last[0])
        return last[0].json["number"]

    def all_run(self, number, nodes=None, seconds=20):
        """Waits; the seconds that it took."""
        begin = time.monotonic()
        for node in nodes or self.nodes:
            last = [None]

            def runs(node=node, last=last):
                last[0] = self.shared(node)
                return last[0]["runs"] == number

            wait_until(runs, seconds, lambda node=node, last=last: f"{node.name} does not run {number}: {last[0]}")
        return time.monotonic() - begin

    def state_is(self, node, state, why=""):
        last = [None]

        def same():
            last[0] = self.shared(node)
            return last[0]["state"] == state and re.search(why, last[0]["why"])

        wait_until(same, 20, lambda: f"{node.name} is not {state} ({why}): {last[0]}")
        return last[0]

    def logged_once(self, node, pattern):
        wait_until(lambda: node.logged(pattern), 20, f"{node.name} does not tell {pattern!r}")
        self.assertEqual(len(node.logged(pattern)), 1, node.logged(pattern))
