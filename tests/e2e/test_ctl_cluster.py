#!/usr/bin/env python3
"""pepperbusctl and the nodes of a cluster: who runs what, the key, nodes that rest or are gone."""

import json
import os
import re
import shutil

from cluster import LOCAL
from elsewhere import Elsewhere
from harness import PEPPERBUSCTL, Case, main, wait_until

NODES = [{"node": "n1", "number": 42, "state": "runs", "why": "", "broken": [], "at_ms": 1700000000000},
         {"node": "n2", "number": 42, "state": "broken", "why": "",
          "broken": [{"kind": "topic", "name": "q/t", "why": "no plugin for run_type exec"}], "at_ms": 1700000000000},
         {"node": "n3", "number": 41, "state": "away", "why": "", "broken": [], "at_ms": None}]
CLUSTER = {"name": "prod", "title": "Production", "colour": "red", "storage": "main", "state": "ready", "why": "",
           "head": 42, "key": {"id": "0123456789abcdef", "state": "ok", "why": ""}, "nodes": NODES}


class Nodes(Case):
    def setUp(self):
        super().setUp()
        self.far = self._close(Elsewhere(self.free_port()))
        self.env = {**os.environ, "PEPPERBUS_URL": self.far.url, "PEPPERBUS_TOKEN": "token"}

    def ctl(self, *args, status=0):
        r = self.run_program(PEPPERBUSCTL, *args, env=self.env)
        self.assertEqual(r.status, status, f"{args}: {r}")
        return r

    def test_status_says_which_node_runs_what(self):
        answer = lambda **more: self.far.answers.update({"/api/v1/cluster": (200, {}, {**CLUSTER, **more})})
        answer()
        out = self.ctl("cluster", "status", status=1).out
        self.assertRegex(out, r"cluster prod \(Production\): ready\n(?s:.*)revision 42\n")
        self.assertRegex(out, "n1 +42 +runs .* ago")
        self.assertRegex(out, "n2 +42 +broken .* topic q/t: no plugin for run_type exec\n")
        self.assertRegex(out, "n3 +41 +away +-")
        answer(nodes=NODES[:1])
        self.ctl("cluster", "status")
        answer(nodes=NODES[:1], head=43)
        self.ctl("cluster", "status", status=1)
        answer(nodes=NODES[:1], state="lost")
        self.ctl("cluster", "status", status=1)

    def test_a_node_rests_and_is_forgotten(self):
        self.far.answers["/api/v1/nodes/n2/drain"] = self.far.answers["/api/v1/nodes/n2"] = (200, {}, {})
        for words, method, path, body in ((("drain", "n2"), "POST", "/drain", {"drain": True}),
                                          (("drain", "n2", "--off"), "POST", "/drain", {"drain": False}),
                                          (("rm", "n2", "--yes"), "DELETE", "", None)):
            self.ctl("node", *words)
            m, p, _, sent = self.far.asked[-1]
            self.assertEqual((m, p, json.loads(sent or "null")), (method, f"/api/v1/nodes/n2{path}", body), words)
        self.ctl("node", "rm", "n2", status=2)  # no terminal to ask on
        self.assertEqual(len(self.far.asked), 3)
        self.ctl("node", "rm", "n9", "--yes", status=4)


class Real(Case):
    def test_a_node_that_runs_the_newest_revision(self):
        b = self.broker("b", LOCAL.format(address=self.redis("main").address))
        text = self.write("shared.ini", "[queue q]\npassword = a-good-long-password\n[topic q/t]\nrun_type = pull\n")
        self.assertEqual(b.ctl("config", "apply", text).status, 0)
        wait_until(lambda: re.search("b +1 +runs", b.ctl("cluster", "status").out), 20,
                   lambda: b.ctl("cluster", "status"))
        self.assertEqual(b.ctl("cluster", "status").status, 0)
        self.assertEqual(b.ctl("cluster", "key", "show").status, 0)

    def test_a_node_rests_and_one_that_is_gone_is_forgotten(self):
        ini = LOCAL.format(address=self.redis("main").address)
        a, b = self.broker("a", ini), self.broker("b", ini)
        copy = self.dir / "given.key"
        wait_until((a.state_dir / "cluster.key").exists, 20)
        shutil.copy(a.state_dir / "cluster.key", copy)
        copy.chmod(0o600)
        copy.rename(b.state_dir / "cluster.key")
        text = self.write("shared.ini", "[queue q]\npassword = a-good-long-password\n[topic q/t]\nrun_type = pull\n")
        self.assertEqual(a.ctl("config", "apply", text).status, 0)
        nodes = lambda: {n["node"]: n for n in a.ctl("cluster", "status", "--json").json["nodes"]}
        wait_until(lambda: {k: n["state"] for k, n in nodes().items()} == {"a": "runs", "b": "runs"}, 30, nodes)
        self.assertEqual(a.ctl("node", "drain", "b").status, 0)
        self.assertEqual(a.ctl("node", "drain", "b", "--off").status, 0)
        r = a.ctl("node", "rm", "b", "--yes")
        self.assertEqual((r.status, "alive" in r.err), (1, True), r)
        b.stop()
        wait_until(lambda: a.ctl("node", "rm", "b", "--yes").status == 0, 60)
        self.assertEqual(list(nodes()), ["a"])
        self.assertEqual(a.ctl("node", "rm", "b", "--yes").status, 4)


class Key(Case):
    def test_the_key_is_shown_by_its_id_on_the_node_only(self):
        b = self.broker("b", LOCAL.format(address=self.redis("main").address))
        path = b.state_dir / "cluster.key"
        path.write_text("5ec4e7" * 10 + "5ec4\n")
        path.chmod(0o600)
        r = b.ctl("cluster", "key", "show", "--json")
        self.assertRegex(r.json["id"], "^[0-9a-f]{16}$", r)
        self.assertNotIn("5ec4e7", r.out + r.err, "never the key")
        path.chmod(0o644)
        r = b.ctl("cluster", "key", "show")
        self.assertEqual(r.status, 1, r)
        self.assertIn("chmod 600", r.out, "and what is wrong with the file")
        self.assertNotIn("5ec4e7", r.out + r.err)
        r = self.run_program(PEPPERBUSCTL, "-H", b.admin_address, "cluster", "key", "show")
        self.assertEqual(r.status, 2)
        self.assertIn("node's machine", r.err)


class AnotherKey(Case):
    SHARED = """[storage other]
address = {address}
password = a-redis-password
[queue q]
password = a-good-long-password
[topic q/t]
storage = other
run_type = pull
"""

    def setUp(self):
        super().setUp()
        self.redis_ = self.redis("main")
        other = self.redis("other", "--requirepass", "a-redis-password")
        ini = LOCAL.format(address=self.redis_.address)
        self.n1 = self.broker("n1", ini)
        wait_until(self.key(self.n1).exists, 20)
        self.n2 = self.broker("n2", ini)
        self.give_key()
        self.ctl(self.n1, "config", "apply", self.write("shared.ini", self.SHARED.format(address=other.address)))
        self.run_all(1)

    def key(self, node):
        return node.state_dir / "cluster.key"

    def give_key(self):
        new = self.n2.state_dir / "cluster.key.given"
        shutil.copy(self.key(self.n1), new)
        new.chmod(0o600)
        new.rename(self.key(self.n2))

    def ctl(self, node, *words, status=0):
        r = node.ctl(*words)
        self.assertEqual(r.status, status, f"{words}: {r}")
        return r

    def state(self, node):
        return node.ctl("config", "shared", "--json").json

    def run_all(self, number):
        """Both run that revision, and its storage can be used."""
        for node in (self.n1, self.n2):
            wait_until(lambda n=node: self.state(n)["runs"] == number, 30,
                       lambda n=node: f"{n.name}: {self.state(n)} {n.log_text()[-2000:]}")
        wait_until(lambda: {s["name"]: s["state"] for s in self.n2.admin.get("/api/v1/status").json["storages"]}
                   == {"main": "ready", "other": "ready"}, 30, lambda: self.n2.admin.get("/api/v1/status").text)

    def test_rotate(self):
        before = self.key(self.n1).read_text()
        r = self.ctl(self.n1, "cluster", "key", "rotate", "--json")
        self.assertEqual((r.json["number"], r.json["lost"]), (2, []))
        after = self.key(self.n1).read_text()
        self.assertNotEqual(after, before)
        self.assertNotIn(after.strip(), r.out + r.err + self.n1.log_text(), "the key is told nowhere")
        self.assertEqual([p.name for p in self.n1.state_dir.glob("cluster.key*")], ["cluster.key"], "one file is left")
        rows = lambda: [(r["what"], r["result"]) for r in self.ctl(self.n1, "audit", "--json").json["rows"]]
        wait_until(lambda: ("cluster.key", "done") in rows(), 20, rows)
        wait_until(lambda: self.state(self.n2)["state"] == "wrong_key", 20, lambda: self.state(self.n2))
        self.assertEqual(self.state(self.n2)["runs"], 1, "a node without the new key runs what it has")
        with self.n2.client("q:a-good-long-password") as c:
            c.call("LPUSH", "q", "job")
        self.assertEqual(self.n2.topic("q/t")["ready"], 1, "and takes jobs")
        self.assertEqual(self.n2.logged("cannot run here"), [])
        self.give_key()
        self.run_all(2)
        self.ctl(self.n2, "cluster", "key", "show")
        self.n2.stop()
        self.n2.start()
        self.run_all(2)
        text = self.ctl(self.n2, "config", "shared").out
        self.ctl(self.n2, "config", "apply", self.write("more.ini", text + "[system s]\n"), "--base", "2")
        self.run_all(3)

    def test_tokens_end_with_the_key_and_users_log_in_again(self):
        n1, name = self.n1, "ann"
        env = {**os.environ, "PEPPERBUS_CTL_CONFIG": str(self.dir / "conf" / "ctl.ini")}

        def login(lines):
            return self.run_program(PEPPERBUSCTL, "login", f"http://{n1.admin_address}", "--context", "far", stdin=lines,
                                    env=env)

        self.assertEqual(n1.ctl("user", "add", name, "--role", "admin", stdin="a-first-password\n").status, 0)
        wait_until(lambda: name in n1.ctl("user", "ls").out, 20)
        self.assertEqual(login(f"{name}\na-first-password\na-second-password\n").status, 0)
        far = lambda: self.run_program(PEPPERBUSCTL, "--context", "far", "queue", "ls", env=env)
        self.assertEqual(far().status, 0)
        self.ctl(n1, "cluster", "key", "rotate")
        wait_until(lambda: self.state(n1)["runs"] == self.state(n1)["head"] > 2, 20, lambda: self.state(n1))
        self.assertEqual(far().status, 5, "its token has ended")
        r = login(f"{name}\na-second-password\n")
        self.assertEqual(r.status, 0, r)
        self.assertEqual(far().status, 0)

    def test_a_rotate_that_broke_off_goes_on(self):
        """The storage has the new key's id, and the node fell before the revision was written."""
        new = self.n1.state_dir / "cluster.key.next"
        new.write_text("5ec4e7" * 10 + "5ec4\n")
        new.chmod(0o600)
        self.n1.stop()
        shutil.copy(self.key(self.n1), self.dir / "old.key")
        shutil.copy(new, self.key(self.n1))
        self.n1.start()
        wanted = self.ctl(self.n1, "cluster", "key", "show", "--json", status=1).json["id"]
        self.n1.stop()
        shutil.copy(self.dir / "old.key", self.key(self.n1))
        old = self.ctl(self.n2, "cluster", "key", "show", "--json").json["id"]
        self.assertEqual(self.redis_.cmd("GET", "pb:{@}:doc:key:cluster"), old)
        self.redis_.cmd("SET", "pb:{@}:doc:key:cluster", wanted)
        self.n1.start()
        wait_until(lambda: self.state(self.n1)["state"] == "wrong_key", 20, lambda: self.state(self.n1))
        self.assertEqual(self.ctl(self.n1, "cluster", "key", "rotate", "--json").json["id"], wanted)
        self.give_key()
        self.run_all(2)
        self.n1.kill()  # the revision is written, and the file has not its name yet
        self.key(self.n1).rename(new)
        shutil.copy(self.dir / "old.key", self.key(self.n1))
        self.n1.start()
        wait_until(lambda: self.state(self.n1)["state"] == "wrong_key", 20, lambda: self.state(self.n1))
        r = self.ctl(self.n1, "cluster", "key", "rotate", "--json").json
        self.assertEqual((r["id"], r["number"]), (wanted, 2), "nothing is written again")
        self.run_all(2)

    def test_reset_names_the_secrets_that_are_lost(self):
        self.assertIn("rotate", self.ctl(self.n1, "cluster", "key", "reset", "--yes", status=1).err)
        self.n1.stop()
        self.key(self.n1).chmod(0o640)
        self.n1.start()
        wait_until(lambda: self.state(self.n1)["state"] == "no_key", 20, lambda: self.state(self.n1))
        self.assertIn("chmod 600", self.ctl(self.n1, "cluster", "key", "reset", "--yes", status=1).err,
                      "a key that may be the right one is not thrown away")
        self.key(self.n1).chmod(0o600)
        for node in (self.n1, self.n2):
            node.stop()
            self.key(node).unlink()
            (node.state_dir / "shared.conf").unlink()
        self.n1.start()
        wait_until(lambda: self.state(self.n1)["state"] == "no_key", 20, lambda: self.state(self.n1))
        self.ctl(self.n1, "cluster", "key", "rotate", status=1)
        self.ctl(self.n1, "cluster", "key", "reset", status=2)  # no terminal to ask on
        r = self.ctl(self.n1, "cluster", "key", "reset", "--yes")
        self.assertIn("[storage other] password", r.out, "what has to be given again")
        wait_until(lambda: self.state(self.n1)["runs"] == 2, 20, lambda: self.n1.log_text()[-2000:])
        text = self.ctl(self.n1, "config", "shared").out.replace("[storage other]\n",
                                                                 "[storage other]\npassword = a-redis-password\n")
        self.ctl(self.n1, "config", "apply", self.write("again.ini", text), "--base", "2")
        self.give_key()
        self.n2.start()
        self.run_all(3)


if __name__ == "__main__":
    main()
