#!/usr/bin/env python3
"""One configuration for all nodes: changed on one, run by all; lost, forged, refused, keyless."""
import hashlib
import http.client
import json
import os
import re
import shutil
import threading
import time

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
            node.wait_ready()
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

    def applied(self, node, comment, **more):
        answer = self.apply(node, SHARED.format(comment=comment), comment=comment, **more)
        self.assertEqual(answer.status, 200, answer.text)
        return answer.json["number"]

    def all_run(self, nodes, number):
        for node in nodes:
            wait_until(lambda node=node: self.runs(node, number), 20, f"{node.name} runs {number}")

    def test_two_people_change_one_base(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        self.applied(a, "two")
        self.all_run([a, b], 2)
        answer = self.apply(b, SHARED.format(comment="late"), base=1)
        self.assertEqual(answer.status, 409, answer.text)
        self.assertEqual(answer.json["number"], 2)
        self.assertEqual([x["name"] for x in answer.json["theirs"]], ["q/t"])
        self.assertIn("comment = two", self.shared(b)["text"])

    def test_secrets_are_neither_shown_nor_stored_in_clear(self):
        (a,) = self.cluster(1)
        text = SHARED.format(comment="x") + "[storage other]\naddress = 127.0.0.1:1\npassword = tops3cret\n"
        answer = self.apply(a, text)
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: self.runs(a, 1), 20)
        wait_until(lambda: (a.state_dir / "shared.conf").exists(), 20, "the copy is written beside the loop")
        stored = self.redis_main.dump() if hasattr(self.redis_main, "dump") else self.everything()
        for secret in ("a-good-long-password", "tops3cret"):
            self.assertNotIn(secret, stored)
            self.assertNotIn(secret, (a.state_dir / "shared.conf").read_text())
            self.assertNotIn(secret, a.admin.get("/api/v1/config/shared").text)
            self.assertNotIn(secret, a.log_text())
        self.assertIn("enc:", (a.state_dir / "shared.conf").read_text())
        self.assertEqual(a.client("q:a-good-long-password").call("PING"), "PONG")

    def everything(self):
        """All strings of all keys of the control plane."""
        out = []
        for key in self.redis_main.cmd("KEYS", "pb:{@}:*"):
            out.append(str(self.redis_main.cmd("DUMP", key)))
            kind = self.redis_main.cmd("TYPE", key)
            if kind == "string":
                out.append(str(self.redis_main.cmd("GET", key)))
            elif kind == "hash":
                out.append(str(self.redis_main.cmd("HGETALL", key)))
            elif kind == "list":
                out.append(str(self.redis_main.cmd("LRANGE", key, "0", "-1")))
        return "".join(out)

    def test_a_node_starts_and_runs_with_redis_away(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        wait_until(lambda: (b.state_dir / "shared.conf").exists(), 20)
        b.stop()
        self.redis_main.stop()
        b.start(wait=False)
        wait_until(lambda: b.logged("queue, 1 topic;") or b.logged("1 topic"), 20)
        wait_until(lambda: b.admin.get("/api/v1/topics/q/t").status == 200, 20)
        self.assertEqual(self.shared(b)["state"], "away")
        answer = self.apply(b, SHARED.format(comment="two"), base=1)
        self.assertEqual(answer.status, 503, answer.text)
        self.redis_main.start()
        wait_until(lambda: self.shared(b)["state"] in ("ready", "lost"), 20)

    def test_a_flushed_storage_empties_nobody_and_is_restored(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.applied(a, "two")
        self.all_run([a, b], 2)
        self.redis_main.cmd("FLUSHALL")
        for node in (a, b):
            wait_until(lambda node=node: self.shared(node)["state"] == "lost", 20, f"{node.name} says lost")
            self.assertEqual(self.shared(node)["runs"], 2)
            self.assertEqual(node.topic("q/t")["topic"], "q/t")
            self.assertTrue(node.logged("the shared configuration was lost or went back"))
        answer = self.apply(a, SHARED.format(comment="three"), base=2)
        self.assertEqual(answer.status, 409, answer.text)
        answer = a.admin.post("/api/v1/config/restore", {})
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual(answer.json["number"], 3)
        self.all_run([a, b], 3)
        self.assertEqual(self.shared(b)["state"], "ready")
        self.assertIn("comment = two", self.shared(b)["text"])
        self.assertEqual(self.applied(b, "four"), 4)
        self.all_run([a, b], 4)

    def test_a_storage_of_yesterday_makes_nobody_older(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        yesterday = self.revisions()
        self.applied(a, "two")
        self.applied(b, "three")
        self.all_run([a, b], 3)
        self.put_revisions(yesterday)
        self.redis_main.restart()
        for node in (a, b):
            wait_until(lambda node=node: self.shared(node)["state"] == "lost", 20, f"{node.name} says lost")
            self.assertEqual(self.shared(node)["runs"], 3)
        self.assertEqual(self.apply(b, SHARED.format(comment="x"), base=1).status, 409)
        self.assertEqual(self.apply(b, SHARED.format(comment="x"), base=3).status, 409)
        answer = b.admin.post("/api/v1/config/restore", {})
        self.assertEqual((answer.status, answer.json["number"]), (200, 4), answer.text)
        self.all_run([a, b], 4)
        self.assertIn("comment = three", self.shared(a)["text"])
        self.put_revisions(yesterday)
        self.redis_main.restart()
        for node in (a, b):
            wait_until(lambda node=node: self.shared(node)["state"] == "lost", 20, f"{node.name} says lost")
        answer = a.admin.post("/api/v1/config/restore", {"node": "n2"})
        self.assertEqual((answer.status, answer.json["number"]), (200, 5), answer.text)
        self.all_run([a, b], 5)
        self.assertIn("comment = three", self.shared(b)["text"])
        answer = b.admin.post("/api/v1/config/restore", {})
        self.assertEqual(answer.status, 409, answer.text)

    def revisions(self):
        return {k: self.redis_main.cmd("HGETALL", k) for k in ("pb:{@}:revisions", "pb:{@}:revisions:data")}

    def put_revisions(self, kept):
        for key, pairs in kept.items():
            self.redis_main.cmd("DEL", key)
            self.redis_main.cmd("HSET", key, *pairs)

    def test_rollback_and_import_leave_users_alone(self):
        (a,) = self.cluster(1)
        self.applied(a, "one")
        with_user = SHARED.format(comment="two") + "[user lin]\nrole = viewer\npassword = another-long-password\n"
        answer = self.apply(a, with_user)
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: self.runs(a, 2), 20)
        answer = a.admin.post("/api/v1/config/rollback", {"number": 1, "base": 2})
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: self.runs(a, 3), 20)
        text = self.shared(a)["text"]
        self.assertIn("comment = one", text)
        self.assertIn("[user lin]", text)
        answer = self.apply(a, SHARED.format(comment="four"), path="import")
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: self.runs(a, 4), 20)
        self.assertIn("[user lin]", self.shared(a)["text"])
        answer = a.admin.post("/api/v1/config/rollback", {"number": 1, "base": 4, "with_users": True})
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: self.runs(a, 5), 20)
        self.assertNotIn("[user lin]", self.shared(a)["text"])
        answer = a.admin.post("/api/v1/config/rollback", {"number": 99, "base": 5})
        self.assertEqual(answer.status, 404, answer.text)

    def test_what_is_wrong_changes_nothing(self):
        (a,) = self.cluster(1)
        self.applied(a, "one")
        for text in ("[queue", "[queue q2]\nnonsense = 1\n", "[server]\nnode = x\n",
                     "[pool x]\nrun_type = exec\n", "[storage other]\nmanaged = yes\n"):
            answer = self.apply(a, text, base=1)
            self.assertEqual(answer.status, 400, answer.text)
            self.assertTrue(answer.json["error"])
        answer = self.apply(a, SHARED.format(comment="checked"), base=1, path="check")
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual([x["keys"] for x in answer.json["changes"]][-1], ["comment"])
        self.assertEqual(self.shared(a)["head"], 1)

    def test_a_name_that_another_node_has_is_refused(self):
        a, b = self.cluster(2)
        b.reload(LOCAL.format(address=self.redis_main.address, more="[queue mine]\npassword = some-long-password\n"))
        text = SHARED.format(comment="x") + "[queue mine]\npassword = other-long-password\n"

        def refused():
            answer = self.apply(a, text, base=0, path="check")
            return answer.status == 400 and "n2" in answer.json["error"] and answer

        answer = wait_until(refused, 20)
        self.assertIn("[queue mine]", answer.json["error"])
        self.assertIn(".ini:", answer.json["error"])

    def test_a_node_without_the_key_keeps_what_it_runs_and_says_so(self):
        a, b = self.cluster(2, key=False)
        self.applied(a, "one")
        wait_until(lambda: self.shared(b)["state"] == "no_key", 20)
        self.assertIn("copy it from a node", self.shared(b)["why"])
        self.assertEqual(self.shared(b)["runs"], 0)
        answer = self.apply(b, SHARED.format(comment="two"), base=0)
        self.assertEqual(answer.status, 503, answer.text)
        self.give_key(a, b)
        self.all_run([b], 1)

    def head_set(self, node, number, data):
        """Writes a revision straight into Redis, as somebody who reaches Redis could, and tells the nodes."""
        digest = hashlib.sha256(data.encode()).hexdigest()
        record = f"{number} 1790000000000 {len(data.encode())} {digest}"
        self.redis_main.cmd("HSET", "pb:{@}:revisions:data", str(number), data)
        self.redis_main.cmd("HSET", "pb:{@}:revisions", str(number), record, "head", record)
        self.redis_main.cmd("CLIENT", "KILL", "TYPE", "normal")

    def test_a_forged_revision_runs_nowhere(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        real = self.redis_main.cmd("HGET", "pb:{@}:revisions:data", "1")
        forged = json.loads(real)
        forged.update(number=2, text=forged["text"].replace("one", "evil"))
        for i, data in enumerate((json.dumps(forged), "nonsense", real)):
            self.head_set(a, 2 + i, data)
            for node in (a, b):
                wait_until(lambda node=node: self.shared(node)["forged"] == i + 1, 20, f"{node.name} counts {i + 1}")
                shared = self.shared(node)
                self.assertEqual((shared["runs"], shared["state"]), (1, "lost"))
                self.assertNotIn("evil", shared["text"])
        self.assertEqual(len(re.findall("was not written with the cluster's key", a.log_text())), 1)
        answer = a.admin.post("/api/v1/config/restore", {})
        self.assertEqual((answer.status, answer.json["number"]), (200, 5), answer.text)
        self.all_run([a, b], 5)

    def test_forged_and_repeated_requests_are_ignored(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        self.redis_main.cmd("DEL", "pb:{@}:revisions", "pb:{@}:revisions:data")
        self.redis_main.cmd("CLIENT", "KILL", "TYPE", "normal")
        for node in (a, b):
            wait_until(lambda node=node: self.shared(node)["state"] == "lost", 20, f"{node.name} says lost")
        self.letters = "pb:{@}:letters:n2"
        b.pause()
        answers = []
        ask = threading.Thread(target=lambda: answers.append(a.admin.post("/api/v1/config/restore", {"node": "n2"})))
        ask.start()
        row = wait_until(lambda: self.redis_main.cmd("XRANGE", self.letters, "-", "+"), 20)[0][1]
        text = row[row.index("d") + 1]
        self.assertNotIn("comment", text)
        b.resume()
        ask.join()
        self.assertEqual(answers[0].status, 200, answers[0].text)
        letter = json.loads(text)
        later = dict(letter, expires_ms=letter["expires_ms"] + 30000)
        other = dict(letter, id="0" * 32)
        for i, forged in enumerate((letter, later, other, "nonsense", dict(letter, kind="log"))):
            self.put_letter(forged)
            b.resume()
            wait_until(lambda i=i: self.shared(b)["forged"] == i + 1, 20, f"n2 counts {i + 1}")
        self.assertTrue(b.logged("a request of another node is ignored: it was not written with the cluster's key"))

    def put_letter(self, letter):
        text = letter if isinstance(letter, str) else json.dumps(letter, separators=(",", ":"))
        self.redis_main.cmd("XADD", self.letters, "*", "s", str(len(text)), "d", text)
        self.redis_main.cmd("CLIENT", "KILL", "TYPE", "normal")

    def test_a_wrong_or_readable_key_is_told_and_nothing_is_lost(self):
        a, b = self.cluster(2)
        self.applied(a, "one")
        self.all_run([a, b], 1)
        wait_until(lambda: (b.state_dir / "shared.conf").exists(), 20)
        b.stop()
        key = b.state_dir / "cluster.key"
        key.write_text("ab" * 32 + "\n")
        b.start()
        shared = wait_until(lambda: self.shared(b)["state"] == "wrong_key" and self.shared(b), 20)
        self.assertIn("the cluster uses the key", shared["why"])
        self.assertEqual(shared["runs"], 1)
        self.applied(a, "two")
        self.all_run([a], 2)
        self.assertEqual(self.shared(b)["runs"], 1)
        self.assertEqual(self.apply(b, SHARED.format(comment="x"), base=1).status, 503)
        b.stop()
        key.chmod(0o644)
        b.start()
        shared = wait_until(lambda: self.shared(b)["state"] == "no_key" and self.shared(b), 20)
        self.assertIn("chmod 600", shared["why"])
        self.give_key(a, b)
        self.all_run([b], 2)

    def test_what_is_missing_on_a_node_is_broken_there_and_all_else_runs(self):
        a, b = self.cluster(2)
        text = SHARED.format(comment="x") + (
            "[topic q/u]\nstorage = main\nrun_type = http\npool = nowhere\nentry = http://127.0.0.1:1/\n")
        b.stop()
        answer = self.apply(a, text)
        self.assertEqual(answer.status, 200, answer.text)
        self.all_run([a], 1)
        b.write(LOCAL.format(address=self.redis_main.address, more="[queue q]\npassword = a-password-of-n2s\n"))
        b.start()
        self.all_run([b], 1)
        self.assertEqual(b.client("q:a-password-of-n2s").call("PING"), "PONG")
        nodes = wait_until(lambda: self.nodes_told(a), 20)
        self.assertEqual([(x["kind"], x["name"]) for x in nodes["n2"]["clashes"]], [("queue", "q")])
        self.assertEqual([(x["kind"], x["name"]) for x in nodes["n1"]["broken"]], [("topic", "q/u")])
        self.assertIn("nowhere", nodes["n1"]["broken"][0]["why"])
        self.assertEqual(a.topic("q/t")["topic"], "q/t")

    def nodes_told(self, node):
        nodes = {x["node"]: x for x in self.shared(node)["nodes"]}
        told = "n2" in nodes and nodes["n2"]["number"] == 1 and nodes["n2"]["alive"]
        return told and nodes["n2"]["clashes"] and nodes

    def test_a_hundred_revisions_disturb_nobody(self):
        a, b, c = self.cluster()
        self.applied(a, "0")
        self.all_run([a, b, c], 1)
        work = b.client("q:a-good-long-password")
        done = threading.Event()
        errors, sent = [], [0]

        def produce():
            while not done.is_set():
                try:
                    work.call("LPUSH", "q", f"job {sent[0]}")
                    sent[0] += 1
                except Exception as e:  # each one is a failure of the test
                    errors.append(e)

        thread = threading.Thread(target=produce)
        thread.start()
        text = self.shared(a)["text"]
        for i in range(1, 101):
            answer = self.apply((a, c)[i % 2], text.replace("comment = 0", f"comment = {i}"), base=self.head(a, c))
            self.assertEqual(answer.status, 200, answer.text)
        self.all_run([a, b, c], 101)
        done.set()
        thread.join()
        self.assertEqual(errors, [])
        self.assertGreater(sent[0], 0)
        self.assertEqual(b.topic("q/t")["ready"], sent[0])
        self.assertIn("comment = 100", self.shared(b)["text"])

    def head(self, *nodes):
        return max(self.shared(node)["number"] for node in nodes)

    def test_a_killed_node_leaves_a_change_whole_or_undone(self):
        a, b = self.cluster(2)
        self.applied(a, "0")
        number = 1
        for i in range(12):
            self.all_run([a, b], number)
            text = SHARED.format(comment=f"killed-{i}")
            thread = threading.Thread(target=self.try_apply, args=(a, text, number))
            thread.start()
            self.redis_main.pause() if i % 3 == 2 else None
            time.sleep(0.004 * i)  # somewhere within the change; each moment must do
            a.kill()
            self.redis_main.resume() if i % 3 == 2 else None
            thread.join()
            a.start()
            head = wait_until(lambda: self.shared(a)["state"] == "ready" and self.shared(a)["head"], 20)
            self.assertIn(head, (number, number + 1))
            self.all_run([a, b], head)
            self.assertEqual(f"comment = killed-{i}" in self.shared(b)["text"], head == number + 1)
            number = head

    def try_apply(self, node, text, base):
        try:
            return self.apply(node, text, base=base)
        except (OSError, http.client.HTTPException):
            return None

    def test_a_killed_redis_leaves_a_change_whole_or_undone(self):
        a, b = self.cluster(2)
        self.redis_main.config_set("appendonly", "yes")
        self.redis_main.config_set("appendfsync", "always")
        self.applied(a, "0")
        self.all_run([a, b], 1)
        number = 1
        for i in range(8):
            results = []
            text = SHARED.format(comment=f"killed-{i}")
            thread = threading.Thread(target=lambda: results.append(self.try_apply(a, text, number)))
            thread.start()
            time.sleep(0.004 * i)  # somewhere within the change; each moment must do
            self.redis_main.kill()
            self.redis_main.start()
            thread.join()
            head = wait_until(lambda: self.shared(b)["state"] == "ready" and self.shared(b)["head"], 30)
            self.assertIn(head, (number, number + 1))
            if results[0].status == 200:
                self.assertEqual(head, number + 1)
            self.all_run([a, b], head)
            number = head


if __name__ == "__main__":
    main()
