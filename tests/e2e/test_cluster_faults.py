#!/usr/bin/env python3
"""What befalls a cluster: nodes away, keys lost, Redis killed at any command, forged and huge records, secrets looked for."""

import hashlib
import json
import random
import shutil
import threading

from cluster import LOCAL, PASSWORD, ClusterCase, topic_text
from harness import Case, main, wait_until

REPORT, REPORTS = "pb:{@}:doc:report:", "pb:{@}:docs:report"
REVISIONS, DATA = "pb:{@}:revisions", "pb:{@}:revisions:data"


def text_of(n, *more):
    return topic_text("q", "", f"comment = revision-{n}") + "".join(more)


class Faults(ClusterCase):
    def comment(self, node):
        text = self.shared(node)["text"]
        return text.partition("comment = ")[2].splitlines()[0] if "comment = " in text else ""

    def serves(self, node, queue="q"):
        """Producers of it are served."""
        with node.client(f"{queue}:{PASSWORD}") as c:
            return json.loads(c.call("LPUSH", queue, "job"))["error"] == ""


class Nodes(Faults):
    """A node that is away, that is not like the others."""

    def test_a_node_that_was_away_runs_the_newest_when_it_is_back(self):
        a, b, c = self.cluster(3)
        self.applied(a, text_of(1))
        self.all_run(1)
        b.pause()
        c.stop()
        for n in range(2, 8):
            self.applied(a, text_of(n))
        b.resume()
        c.start()
        self.all_run(7)
        self.assertEqual([self.comment(x) for x in (a, b, c)], ["revision-7"] * 3)
        self.assertEqual(self.shared(c)["state"], "ready")

    def test_a_plugin_that_a_node_lacks_breaks_its_topics_alone(self):
        (a,) = self.cluster(1)
        (self.dir / "none").mkdir()
        b = self.joins("n2", a, plugin_dir=self.dir / "none")
        more = "[pool w]\nrun_type = http\n" + topic_text("r", "http://127.0.0.1:1/")
        self.applied(a, text_of(1, more))
        self.all_run(1, [a, b])
        told = wait_until(lambda: [x for x in self.shared(a)["nodes"] if x["node"] == "n2" and x["number"] == 1], 20)
        self.assertIn(("topic", "r/t"), [(x["kind"], x["name"]) for x in told[0]["broken"]], told)
        self.assertNotIn(("topic", "q/t"), [(x["kind"], x["name"]) for x in told[0]["broken"]], told)
        self.assertEqual(b.topic("q/t")["state"], "open")
        self.assertTrue(self.serves(b) and self.serves(b, "r"))

    def test_a_local_section_counts_before_and_after(self):
        a, b = self.cluster(2)
        own = "[queue q]\npassword = another-password-of-n2\n[topic q/t]\nstorage = main\nrun_type = pull\ncomment = own\n"
        self.applied(a, text_of(1))
        self.all_run(1)
        b.reload(self.local + own)
        wait_until(lambda: "own" in b.admin.get("/api/v1/config").text, 20)
        self.applied(a, text_of(2))
        self.all_run(2)
        self.assertIn("comment = own", b.admin.get("/api/v1/config").json["config"])
        answer = self.apply(a, text_of(3, topic_text("z", "")), 2)
        self.assertEqual(answer.status, 200, answer)
        b.reload(self.local)
        self.all_run(3)
        wait_until(lambda: "comment = revision-3" in b.admin.get("/api/v1/config").json["config"], 20)
        self.assertTrue(self.serves(b))

    def test_a_revision_that_a_node_cannot_run_ends_nothing_there(self):
        """As a node of an older release: the text is not valid for it (here by its shared_run_types)."""
        (a,) = self.cluster(1)
        b = self.joins("n2", a, server="shared_run_types = http")
        self.applied(a, "[pool w]\nrun_type = http\n" + topic_text("q", "http://127.0.0.1:1/", "comment = revision-1"))
        self.all_run(1, [a, b])
        self.applied(a, text_of(2))
        wait_until(lambda: self.shared(b)["refused"] == 2 or self.shared(b)["runs"] == 2, 20)
        self.assertTrue(self.serves(b))
        b.stop()
        b.start()
        self.assertTrue(self.serves(b), b.log_text()[-1000:])

    def test_a_copy_that_cannot_run_is_not_forgotten(self):
        """Started with local files that its copy does not go with, a node takes nothing older."""
        (a,) = self.cluster(1)
        b = self.joins("n2", a)
        self.applied(a, text_of(1))
        old = self.kept()
        self.applied(a, text_of(2))
        self.all_run(2, [a, b])
        wait_until(lambda: json.loads(self.copy_path(b).read_text())["number"] == 2, 20)
        a.stop()
        b.stop()
        self.put_back(old)
        data = json.loads(self.copy_path(b).read_text())
        data["text"] = data["text"].replace("[topic q/t]", "[nonsense q/t]")  # as a newer release has it
        self.copy_path(b).write_text(json.dumps(data))
        b.start()
        self.state_is(b, "lost", "went back")
        self.assertEqual(self.shared(b)["runs"], 0)

    def kept(self):
        return {k: self.store.cmd("HGETALL", k) for k in (REVISIONS, DATA)}

    def put_back(self, kept):
        for key, pairs in kept.items():
            self.store.cmd("DEL", key)
            self.store.cmd("HSET", key, *pairs)

    def test_a_copy_of_another_cluster_is_not_run(self):
        a, b = self.cluster(2)
        self.applied(a, text_of(1))
        self.all_run(1)
        wait_until(self.copy_path(b).exists, 20)
        b.stop()
        other = self.redis("other")
        b.write(LOCAL.format(address=other.address).replace("prod", "test"))
        b.start()
        self.logged_once(b, "of another cluster")
        self.assertEqual(b.admin.get("/api/v1/topics/q/t").status, 404)
        self.assertEqual(self.shared(b)["runs"], 0)
        self.applied(b, text_of("of-test"))
        self.all_run(1, [b])


class Keys(Faults):
    def without_key(self, spoil, state, why):
        a, b = self.cluster(2)
        store = "[storage other]\naddress = 127.0.0.1:1\npassword = a-secret-of-redis\n"
        self.applied(a, text_of(1, store))
        self.all_run(1)
        wait_until(self.copy_path(b).exists, 20)
        b.stop()
        spoil(self.key_path(b))
        b.start()
        self.state_is(b, state, why)
        self.assertEqual(self.shared(b)["runs"], 1)
        self.assertTrue(self.serves(b), "what ran goes on")
        before = self.store.cmd("HGET", REVISIONS, "head")
        self.assertEqual(self.apply(b, text_of(9), 1).status, 503)
        self.assertEqual(self.store.cmd("HGET", REVISIONS, "head"), before)
        self.applied(a, text_of(2, store))
        self.all_run(2, [a])
        self.assertEqual(self.shared(b)["runs"], 1)
        self.logged_once(b, "until then this node opens no secrets")
        spoiled = self.key_path(b)
        spoiled.unlink(missing_ok=True)
        self.give_key(a, b)
        self.all_run(2, [b])
        self.assertEqual(self.shared(b)["state"], "ready")

    def test_missing(self):
        self.without_key(lambda path: path.unlink(), "no_key", "copy it from a node")

    def test_wrong(self):
        self.without_key(lambda path: path.write_text("ab" * 32 + "\n"), "wrong_key", "the cluster uses the key")

    def test_readable_by_others(self):
        self.without_key(lambda path: path.chmod(0o640), "no_key", "chmod 600")

    def test_a_symlink(self):
        def link(path):
            path.rename(path.with_name("elsewhere"))
            path.symlink_to(path.with_name("elsewhere"))

        self.without_key(link, "no_key", "link|plain file")

    def test_garbage(self):
        self.without_key(lambda path: path.write_text("no key\n"), "no_key", "64|hex|holds no key")

    def test_the_key_goes_while_the_node_runs(self):
        a, b = self.cluster(2)
        self.applied(a, text_of(1))
        self.all_run(1)
        self.key_path(b).unlink()
        b.reload()
        self.applied(a, text_of(2))
        self.all_run(2)
        self.assertTrue(self.serves(b))


class Storage(Faults):
    def test_redis_that_comes_back_older_while_nodes_run(self):
        """Its append-only file of yesterday, under nodes that go on."""
        a, b = self.cluster(2)
        self.applied(a, text_of(1))
        self.all_run(1)
        self.store.stop()
        shutil.copytree(self.store.folder, self.dir / "yesterday")
        self.store.start()
        for n in (2, 3):
            self.applied(a, text_of(n))
        self.all_run(3)
        self.store.kill()
        shutil.rmtree(self.store.folder)
        shutil.copytree(self.dir / "yesterday", self.store.folder)
        self.store.start()
        for node in (a, b):
            self.state_is(node, "lost", "went back")
            self.assertEqual((self.shared(node)["runs"], self.comment(node)), (3, "revision-3"))
            wait_until(lambda node=node: self.serves(node), 20)
            answer = self.apply(node, text_of(4), 3)
            self.assertEqual(answer.status, 409, answer)
            self.assertEqual(self.ask(node, "rollback", number=1, base=1).status, 409)
            self.logged_once(node, "takes no changes until")
        self.assertTrue(self.store.cmd("HGET", REVISIONS, "head").startswith("1 "), "nothing was overwritten")
        c = self.joins("n3", a)
        self.all_run(1, [c])
        self.assertEqual(self.ask(b, "restore").json["number"], 4)
        self.all_run(4, [a, b, c])
        self.assertEqual([self.comment(x) for x in (a, b, c)], ["revision-3"] * 3)
        self.assertEqual(self.applied(c, text_of(5)), 5)
        self.all_run(5, [a, b, c])

    def test_a_flushed_storage_that_a_new_node_fills(self):
        """A node without a copy takes the empty storage for a new cluster: the others do not follow it."""
        a, b = self.cluster(2)
        for n in (1, 2):
            self.applied(a, text_of(n))
        self.all_run(2)
        self.store.cmd("FLUSHALL")
        for node in (a, b):
            self.state_is(node, "lost", "has none")
        c = self.joins("n3", a)
        for n in range(1, 5):
            self.applied(c, topic_text("z", "", f"comment = new-{n}"))
            self.all_run(n, [c])
        for node in (a, b):
            self.state_is(node, "lost", "does not come from|another revision|went back")
            self.assertEqual((self.shared(node)["runs"], self.comment(node)), (2, "revision-2"))
        self.assertEqual(self.ask(a, "restore").json["number"], 5)
        self.all_run(5, [a, b, c])
        self.assertEqual(self.comment(c), "revision-2")

    def test_redis_away_for_a_while_changes_nothing(self):
        a, b = self.cluster(2)
        self.applied(a, text_of(1))
        self.all_run(1)
        self.store.stop()
        for node in (a, b):
            self.state_is(node, "away", "cannot be reached")
            self.assertEqual(self.apply(node, text_of(2), 1).status, 503)
            self.assertEqual(node.admin.get("/api/v1/topics/q/t").status, 200)
        self.store.start()
        for node in (a, b):
            self.state_is(node, "ready")
        self.assertEqual(self.applied(b, text_of(2)), 2)
        self.all_run(2)


class Forged(Faults):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.cluster(2)
        self.applied(self.a, text_of(1))
        self.applied(self.a, text_of(2))
        self.all_run(2)

    def put(self, number, data, digest=None):
        data = data if isinstance(data, bytes) else data.encode()
        digest = digest or hashlib.sha256(data).hexdigest()
        record = f"{number} 1790000000000 {len(data)} {digest}"
        self.store.cmd("HSET", DATA, str(number), data)
        self.store.cmd("HSET", REVISIONS, str(number), record, "head", record)
        self.store.cmd("CLIENT", "KILL", "TYPE", "normal")  # everything may be new

    def real(self, number=2):
        return self.store.cmd("HGET", DATA, str(number))

    def changed(self, **members):
        return json.dumps({**json.loads(self.real()), **members})

    def ignored(self, state="lost"):
        for node in self.nodes:
            shared = self.state_is(node, state)
            self.assertEqual((shared["runs"], self.comment(node)), (2, "revision-2"))
            self.assertTrue(self.serves(node))

    def test_each_kind_of_forgery_is_ignored_counted_and_told_once(self):
        evil = json.loads(self.real())["text"].replace("revision-2", "evil")
        forged = {"text": self.changed(number=3, text=evil), "number": self.changed(number=3),
                  "cluster": self.changed(number=3, cluster="other"), "restored": self.changed(number=3, restored=3),
                  "author": self.changed(number=3, by="somebody"), "the real one as 3": self.real(),
                  "no mark": self.changed(number=3, hmac=""), "types": self.changed(number="3"),
                  "garbage": "\x00\xff{}[", "nothing": "", "deep": "[" * 100000, "list": "[]",
                  "large": json.dumps({"text": "x" * 8_300_000})}
        for i, (name, data) in enumerate(forged.items()):
            with self.subTest(name):
                self.put(3, data)
                for node in self.nodes:
                    wait_until(lambda node=node: self.shared(node)["forged"] == i + 1, 20, f"{node.name} counts {name}")
                self.ignored()
                self.assertNotIn("evil", self.a.log_text())
        for node in self.nodes:
            count = len(node.logged("in the storage is ignored"))
            self.store.cmd("CLIENT", "KILL", "TYPE", "normal")
            wait_until(lambda node=node: self.shared(node)["state"] == "lost", 20)
            self.assertEqual(self.shared(node)["forged"], len(forged))
            self.assertLessEqual(count, len(forged))
            wait_until(lambda node=node: node.metrics().get("pepperbus_cluster_forged_total") == len(forged), 20)
            self.assertEqual(node.metrics()["pepperbus_cluster_revision"], 2)
        self.assertEqual(self.ask(self.b, "restore").json["number"], 4)
        self.all_run(4)

    def test_a_record_that_lies_about_its_bytes(self):
        self.put(3, self.changed(number=3), "0" * 64)
        self.ignored()
        self.put(2, self.real(1))
        self.ignored()
        self.put(2, self.changed(text="[queue z]\npassword = x\n"))
        self.ignored()
        self.put(1, self.real(1))
        self.ignored()
        self.store.cmd("HSET", REVISIONS, "head", "garbage")
        self.store.cmd("CLIENT", "KILL", "TYPE", "normal")
        self.ignored()
        self.store.cmd("SET", REVISIONS + ".x", "1")
        self.store.cmd("RENAME", REVISIONS + ".x", REVISIONS)
        self.store.cmd("CLIENT", "KILL", "TYPE", "normal")
        for node in self.nodes:
            wait_until(lambda node=node: self.shared(node)["state"] in ("ready", "lost"), 20)
            self.assertEqual(self.shared(node)["runs"], 2)

    def test_reports_that_were_forged_break_no_answer(self):
        row = json.loads(wait_until(lambda: self.store.cmd("GET", REPORT + "n1"), 20))
        for name, forged in (("bad", "garbage"), ("list", "[]"), ("odd", {**row, "node": "odd", "state": {"x": 1}}),
                             ("more", {**row, "node": "more", "evil": "yes", "why": "<script>"}),
                             ("rows", {**row, "node": "rows", "broken": "x", "clashes": [[1]]}),
                             ("figures", {**row, "node": "figures", "figures": 7}),
                             ("other", row), ("late", {**row, "node": "late", "at_ms": 10 ** 18}),
                             ("number", {**row, "node": "number", "number": "1"})):
            self.store.cmd("SET", REPORT + name, forged if isinstance(forged, str) else json.dumps(forged))
            self.store.cmd("ZADD", REPORTS, "+inf", name)
        for path in ("config/shared", "cluster"):
            answer = self.a.admin.get(f"/api/v1/{path}")  # valid by the contract
            if answer.status == 404:
                continue
            nodes = {x["node"]: x for x in answer.json["nodes"]}
            self.assertEqual(set(nodes), {"n1", "n2", "more", "figures", "late"})
            self.assertNotIn("evil", nodes["more"])
            self.assertIs(nodes["late"]["alive"], False)
        self.assertEqual(self.applied(self.b, text_of(3)), 3)


if __name__ == "__main__":
    main()
