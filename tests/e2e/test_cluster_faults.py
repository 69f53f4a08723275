#!/usr/bin/env python3
"""What befalls a cluster: nodes away, keys lost, Redis killed at any command, forged and huge records, secrets looked for."""

import base64
import hashlib
import http.client
import json
import random
import shutil
import socket
import threading
import time
from pathlib import Path

from cluster import LOCAL, PASSWORD, ClusterCase, signed, topic_text
from harness import SANITIZED, main, wait_until

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


class Written(Faults):
    """Revisions that somebody has written straight into Redis."""

    def setUp(self):
        super().setUp()
        self.a, self.b = self.cluster(2)
        self.applied(self.a, text_of(1))
        self.applied(self.a, text_of(2))
        self.all_run(2)
        self.kept = {2: self.real(2)}

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

    def signed(self, number, text, base=2, **more):
        """A sound one, of whoever has the key."""
        base_hash = hashlib.sha256(self.kept.get(base, self.real(base)).encode()).hexdigest()
        return signed(self.key_path(self.a), **{"number": number, "base_hash": base_hash, "text": text, **more})


class Newer(Written):
    """Revisions of a newer release, which these nodes do not understand."""

    def test_what_this_release_cannot_read_is_refused_and_ends_nothing(self):
        self.put(3, self.signed(3, text_of(3, "[schedule s]\ncron = * * * * *\n")))
        for node in self.nodes:
            wait_until(lambda node=node: self.shared(node)["refused"] == 3, 20)
            shared = self.shared(node)
            self.assertEqual((shared["runs"], shared["state"], shared["forged"]), (2, "ready", 0))
            self.assertIn("schedule", shared["refused_why"])
            self.assertIn("revision 3:7: [schedule s]", shared["refused_why"])
            self.assertTrue(self.serves(node))
            self.logged_once(node, "revision 3 of the shared configuration cannot run here; revision 2 goes on")
        told = wait_until(lambda: [x for x in self.shared(self.a)["nodes"] if x["state"] == "refused"][1:], 20)
        self.assertEqual(told[0]["refused"], 3)
        self.b.stop()
        self.b.start()
        wait_until(lambda: self.shared(self.b)["refused"] == 3, 20)
        self.assertEqual(self.shared(self.b)["runs"], 2)
        self.assertTrue(self.serves(self.b), "it starts with what it ran")
        self.assertEqual(self.applied(self.b, text_of(4)), 4)
        self.all_run(4)
        self.assertEqual([self.shared(n)["refused"] for n in self.nodes], [0, 0])

    def test_a_key_and_a_value_of_a_newer_release(self):
        for number, text in ((3, text_of(3, "future_key = yes\n")), (4, text_of(4, "retry = quantum\n"))):
            self.put(number, self.signed(number, text, number - 1))
            for node in self.nodes:
                wait_until(lambda node=node, number=number: self.shared(node)["refused"] == number, 20)
                self.assertEqual(self.shared(node)["runs"], 2)
        self.put(5, self.signed(5, text_of(5), 4))
        self.all_run(5)


class Forged(Written):
    def test_sound_ones_that_do_not_belong_here(self):
        """With the right key, but of another cluster, of another history, or an older one once more."""
        self.put(3, self.signed(3, text_of("evil"), cluster="test"))
        self.ignored()
        self.put(3, self.signed(3, text_of("evil"), base_hash="0" * 64))
        self.ignored()
        self.put(2, self.signed(2, text_of("evil"), 1))
        self.ignored()
        self.put(1, self.signed(1, text_of("evil"), 1))
        self.ignored()
        self.put(3, self.signed(3, text_of(3)) + " ")  # with other bytes the same words
        self.all_run(3)

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


class StepProxy:
    """Between a node and Redis: passes commands one by one; at the `step`th one that is about the shared
    configuration it calls `act`, before the command reaches Redis or when Redis has answered it."""

    def __init__(self, target, port):
        self.target, self.address = target, f"127.0.0.1:{port}"
        self._lock, self._step, self._after, self._act, self.met = threading.Lock(), None, False, None, False
        self.acted = threading.Event()  # act() has ended
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, step, after, act):
        with self._lock:
            self._step, self._after, self._act, self.met = step, after, act, False
            self.acted.clear()

    def disarm(self):
        with self._lock:
            self._step = self._act = None

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                a, _ = self._listener.accept()
            except OSError:
                return
            b = socket.socket(socket.AF_UNIX)
            try:
                b.connect(self.target.removeprefix("unix:"))
            except OSError:
                a.close()
                continue
            held = threading.Event()
            threading.Thread(target=self._commands, args=(a, b, held), daemon=True).start()
            threading.Thread(target=self._answers, args=(a, b, held), daemon=True).start()

    @staticmethod
    def _command(f):
        """The bytes of the next command."""
        line = f.readline()
        out = [line]
        if not line.startswith(b"*"):
            return line
        for _ in range(int(line[1:])):
            head = f.readline()
            out += [head, f.read(int(head[1:]) + 2)]
        return b"".join(out)

    def _due(self, data):
        if b"pb:{@}:revisions" not in data and b"pb:{@}:doc" not in data:
            return None
        with self._lock:
            if self._step is None:
                return None
            self._step -= 1
            if self._step >= 0:
                return None
            self._step, self.met = None, True
            act = self._act

        def acts():
            act()
            self.acted.set()

        return acts

    def _commands(self, a, b, held):
        try:
            f = a.makefile("rb")
            while data := self._command(f):
                act = self._due(data)
                if act and not self._after:
                    act()
                    break
                if act:
                    held.act = act
                    held.set()
                b.sendall(data)
        except (OSError, ValueError):
            pass
        self._end(a, b)

    def _answers(self, a, b, held):
        try:
            while data := b.recv(65536):
                if held.is_set():
                    held.act()
                    break
                a.sendall(data)
        except OSError:
            pass
        self._end(a, b)

    @staticmethod
    def _end(*both):
        for s in both:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Kills(Faults):
    """kill -9 of the node or of Redis at each command of a change: it is whole or not at all."""

    STEPS = 40  # more than a change has

    def setUp(self):
        super().setUp()
        store = self.redis("main", "--appendfsync", "always")  # keeps what it has answered
        self.proxy = self._close(StepProxy(store.address, self.free_port()))
        self.a, self.b = self.cluster(2, redis=store)
        self.a.stop()
        self.a.write(LOCAL.format(address=self.proxy.address))
        self.a.start()
        self.n = 0
        for n in (0, 1):
            self.number = self.applied(self.b, text_of(n))
        self.all_run(self.number)

    def change(self, kind, base):
        """Asks node a; the status, or None where no answer came."""
        self.n += 1
        comment = f"revision-{self.n % 2}" if kind == "rollback" else f"revision-new{self.n}"
        body = {"apply": {"text": text_of(f"new{self.n}")}, "import": {"text": text_of(f"new{self.n}")},
                "rollback": {"number": 1 + self.n % 2}}[kind]
        try:
            status = self.ask(self.a, kind, base=base, **body).status
        except (OSError, http.client.HTTPException):
            status = None
        return status, comment

    def one(self, kind, step, after, act):
        """False: the change has fewer commands."""
        was, before = self.number, self.comment(self.b)
        self.proxy.arm(step, after, act)
        status, comment = self.change(kind, was)
        self.proxy.disarm()
        met = self.proxy.met
        if met:
            wait_until(self.proxy.acted.is_set, 30, "the kill has ended")
        for process in (self.store, self.a):
            if not process.running:
                process.start()
        head = int(self.store.cmd("HGET", REVISIONS, "head").split()[0])
        where = f"{kind}, step {step}, {'after' if after else 'before'}: {status}, head {was} -> {head}"
        self.assertIn(head, (was, was + 1), where)
        if status == 200:
            self.assertIn(self.comment_of(head), (comment, before), where)
            self.assertEqual(head, was + (comment != before), where)
        self.all_run(head)
        for node in self.nodes:
            self.assertEqual(self.state_is(node, "ready")["refused"], 0, where)
            self.assertEqual(self.comment(node), comment if head > was else before, where)
        self.number = head
        return met

    def comment_of(self, number):
        return json.loads(self.store.cmd("HGET", DATA, str(number)))["text"].partition("comment = ")[2].splitlines()[0]

    def each_step(self, act):
        count = 0
        for after in (False, True):
            for kind in ("apply", "rollback", "import"):
                steps = next((s for s in range(self.STEPS) if not self.one(kind, s, after, act)), None)
                self.assertIsNotNone(steps, "the change never ends")
                count += steps
        print(f"# killed at {count} moments")
        self.assertGreater(count, 20)

    def test_the_node_is_killed_at_each_command(self):
        self.each_step(self.a.kill)

    def test_redis_is_killed_at_each_command(self):
        def act():
            self.store.kill()
            self.store.start()

        self.each_step(act)

    def rotate(self):
        """The status, or None where no answer came."""
        try:
            return self.a.admin.post("/api/v1/cluster/key", {"do": "rotate"}).status
        except (OSError, http.client.HTTPException):
            return None

    def rotate_broken_off(self, step, after, act):
        """False: it has fewer commands. Said again, it is done, and all that was sealed can be opened."""
        self.proxy.arm(step, after, act)
        self.rotate()
        self.proxy.disarm()
        met = self.proxy.met
        if met:
            wait_until(self.proxy.acted.is_set, 30, "the kill has ended")
        for process in (self.store, self.a):
            if not process.running:
                process.start()
        where = f"step {step}, {'after' if after else 'before'}"
        wait_until(lambda: self.rotate() == 200, 30, lambda: f"{where}: {self.shared(self.a)} {self.a.log_text()[-1500:]}")
        wait_until(lambda: self.shared(self.a)["state"] == "ready" and self.shared(self.a)["runs"] == self.shared(self.a)["head"],
                   30, lambda: f"{where}: {self.shared(self.a)} {self.a.log_text()[-1500:]}")
        self.assertEqual(self.shared(self.a)["refused"], 0, where)
        self.assertEqual([p.name for p in self.a.state_dir.glob("cluster.key*")], ["cluster.key"], where)
        return met

    def test_a_rotate_that_is_killed_at_any_command_goes_on(self):
        self.b.stop()

        def act():
            self.store.kill()
            self.store.start()

        for what in (self.a.kill, act):
            for after in (False, True):
                steps = next(s for s in range(self.STEPS) if not self.rotate_broken_off(s, after, what))
                self.assertGreater(steps, 2)
                print(f"# killed at {steps} moments")
        number = self.shared(self.a)["number"]
        self.applied(self.a, text_of("last"), base=number)
        self.give_key(self.a, self.b)
        self.b.start()
        self.all_run(self.shared(self.a)["head"])

    def test_of_an_apply_and_a_rotate_at_one_time_none_is_lost(self):
        self.b.stop()
        for n in range(10):
            base, told = self.shared(self.a)["number"], []
            threads = [threading.Thread(target=lambda: told.append(self.rotate())),
                       threading.Thread(target=lambda n=n, base=base: told.append(
                           self.apply(self.a, text_of(f"both{n}"), base).status))]
            for t in threads[::1 if n % 2 else -1]:
                t.start()
            for t in threads:
                t.join()
            self.assertLessEqual(set(told), {200, 409}, told)
            wait_until(lambda: self.shared(self.a)["runs"] == self.shared(self.a)["head"], 30, lambda: self.shared(self.a))
            shared = self.shared(self.a)
            self.assertEqual((shared["state"], shared["refused"]), ("ready", 0), shared)
            self.assertEqual(shared["head"], base + told.count(200), told)
        self.applied(self.a, text_of("last"), base=self.shared(self.a)["number"])

    def test_everything_is_killed_at_any_moment(self):
        rng = random.Random(7)
        for i in range(20):
            was, before = self.number, self.comment(self.b)
            status = []
            t = threading.Thread(target=lambda was=was, i=i, status=status: status.append(
                self.change(("apply", "rollback", "import")[i % 3], was)))
            t.start()
            time.sleep(rng.random() * 0.03)
            for process in rng.sample([self.a, self.store], 1 + i % 2):
                process.kill()
            if not self.store.running:
                self.store.start()
            t.join()
            if not self.a.running:
                self.a.start()
            head = int(self.store.cmd("HGET", REVISIONS, "head").split()[0])
            self.assertIn(head, (was, was + 1))
            if status[0][0] == 200 and status[0][1] != before:
                self.assertEqual(head, was + 1, "what was said to be done is done")
            self.all_run(head)
            self.assertEqual(self.comment(self.a), self.comment(self.b))
            self.assertIn(self.comment(self.b), (before, status[0][1]))
            self.number = head


class Secrets(ClusterCase):
    """Whatever this test gave as a secret is looked for in all that is kept, sent and told."""

    def everywhere(self):
        """{where: bytes} of Redis, logs and state_dirs."""
        found = {}
        with self.store.client(raw_bytes=True) as c:
            for key in c.call("KEYS", "*"):
                kind = c.call("TYPE", key).decode()
                read = {"string": ("GET", key), "hash": ("HGETALL", key), "list": ("LRANGE", key, 0, -1),
                        "set": ("SMEMBERS", key), "zset": ("ZRANGE", key, 0, -1), "stream": ("XRANGE", key, "-", "+")}
                found[f"Redis {key}"] = repr(c.call(*read[kind])).encode()
        for path in [*self.dir.rglob("*.log"), *self.dir.glob("*.state/*"), *self.dir.glob("main/**/*")]:
            if path.is_file() and path.suffix not in (".ini",):
                found[str(path)] = path.read_bytes()
        for node in self.nodes:
            found[f"ps {node.name}"] = (Path("/proc") / str(node.pid) / "cmdline").read_bytes()
        return found

    def asked(self):
        """{path: answer} of all that GET gives, and of what the command prints."""
        paths = ["config", "config/shared", "config/export", "config/export?format=jsonl", "config/revisions", "status", "cluster",
                 "config/revisions/1", "config/revisions/2", "config/diff?from=1&to=2", "audit", "users", "tokens", "topics",
                 "queues", "topics/q/t", "nodes", "pools"]
        out = {f"{n.name} {p}": n.admin.get(f"/api/v1/{p}").text.encode() for n in self.nodes for p in paths}
        for verb in ("show", "history", "export"):
            r = self.nodes[0].ctl("config", verb)
            out[f"ctl {verb}"] = (r.out + r.err).encode()
        return out

    def test_no_secret_is_anywhere_in_clear(self):
        a, b = self.cluster(2, server="log_level = debug")
        secrets = {k: f"cleartext-{k}-{i}7f3a9" for i, k in enumerate(
            ("queue", "topic", "redis", "signing", "authorization", "user", "second", "bad", "late", "other"))}

        def text(queue, more=""):
            return "\n".join([
                "[pool w]", "run_type = http", "[queue q]", f"password = {queue}", "[topic q/t]", "storage = main",
                "pool = w", "entry = http://127.0.0.1:1/", f"password = {secrets['topic']}",
                f"signing_key = {secrets['signing'] * 2}", f"authorization = Bearer {secrets['authorization']}",
                "[storage other]", "address = 127.0.0.1:1", f"password = {secrets['redis']}",
                "[user eve]", "role = viewer", f"password = {secrets['user']}", more])

        self.assertEqual(self.applied(a, text(secrets["queue"])), 1)
        self.all_run(1)
        self.assertEqual(self.applied(b, text(secrets["second"])), 2)
        self.all_run(2)
        answers = {
            "bad": self.apply(a, text(secrets["bad"], "nonsense = 1"), 2),
            "worse": self.apply(a, text(secrets["bad"], f"[queue {secrets['bad']}"), 2),
            "late": self.apply(a, text(secrets["late"]), 1),
            "import": self.ask(a, "import", text=text(secrets["other"]), base=2),
        }
        self.assertEqual([answers["bad"].status, answers["late"].status, answers["import"].status], [400, 409, 200])
        self.all_run(3)
        self.assertEqual(self.ask(b, "rollback", number=1, base=3, with_users=True).status, 200)
        self.all_run(4)
        for node in self.nodes:
            wait_until(lambda node=node: json.loads(self.copy_path(node).read_text())["number"] == 4, 20)
        places = {**self.everywhere(), **self.asked(), **{k: v.text.encode() for k, v in answers.items()}}
        self.assertGreater(len(places), 30)
        self.assertTrue(any(b"enc:" in v for v in places.values()), "sealed ones are found")
        for where, data in places.items():
            for name, secret in secrets.items():
                self.assertNotIn(secret.encode(), data, f"{name} in {where}")
                self.assertNotIn(base64.b64encode(secret.encode())[:-4], data, f"{name} in {where}")


class Many(ClusterCase):
    """10,000 topics in the shared text; a sanitized broker needs longer for them than an answer may take."""

    TOPICS, QUEUES = (2000, 200) if SANITIZED else (10000, 1000)

    def text(self, workers):
        out = ["[pool w]\nrun_type = http"]
        for q in range(self.QUEUES):
            out.append(f"[queue q{q}]\npassword = sha256:salt:{'0' * 64}")
            for t in range(self.TOPICS // self.QUEUES):
                out.append(f"[topic q{q}/t{t}]\nstorage = main\nrun_type = pull\nworkers = {workers if t == 0 else 1}")
        return "\n".join(out)

    def turn(self, node):
        return 1000 * wait_until(lambda: node.metrics("?detail=total").get("pepperbus_loop_turn_cpu_seconds_max"), 20)

    def test_many_shared_topics_are_followed(self):
        a, b = self.cluster(2)
        first = [self.turn(n) for n in (a, b)]
        for n in (1, 2, 3):
            begin = time.monotonic()
            answer = self.apply(a if n % 2 else b, self.text(n), n - 1)
            self.assertEqual((answer.status, answer.json.get("number")), (200, n), answer)
            self.assertEqual(self.shared(a if n % 2 else b)["runs"], n, "who is told that it is made finds it there")
            took = time.monotonic() - begin
            for node in (a, b):
                wait_until(lambda node=node, n=n: node.metrics("?detail=total").get("pepperbus_cluster_revision") == n, 60)
            late = time.monotonic() - begin - took
            print(f"# revision {n}: applied in {took:.2f} s, run by both {late:.2f} s later; longest turn of the loop "
                  f"{self.turn(a):.1f} ms and {self.turn(b):.1f} ms (before: {max(first):.1f}; bar: 20)")
        for node in (a, b):
            self.assertEqual(node.topic(f"q{self.QUEUES - 1}/t0")["workers"], 3)
            self.assertEqual(node.admin.get("/api/v1/status").json["topics"], self.TOPICS)
        row = wait_until(lambda: [r for r in a.admin.get("/api/v1/audit").json["rows"] if r["what"] == "config.apply"], 20)[-1]
        self.assertEqual((len(row["after"]["changes"]), row["after"]["changes_all"]), (20, self.TOPICS + self.QUEUES + 1))
        b.kill()
        b.start()
        self.all_run(3, seconds=60)
        print(f"# after a start with it: {self.turn(b):.1f} ms")


if __name__ == "__main__":
    main()
