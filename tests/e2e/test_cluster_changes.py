#!/usr/bin/env python3
"""Changes of the shared configuration under load: all nodes follow, and nobody notices but whom they concern."""

import json
import threading
import time
from collections import Counter

from cluster import LOCAL, PASSWORD, ClusterCase, topic_text
from harness import main, wait_until

REVISIONS = 100


class Load:
    """A producer on each node; an HTTP worker in the test notes each job that it is given."""

    def __init__(self, case, nodes, queue="q"):
        self.nodes, self.queue = nodes, queue
        self.ids, self.bad, self.started = [], [], Counter()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._produce, args=(n,)) for n in nodes]

    def begin(self):
        for t in self._threads:
            t.start()

    def end(self):
        self._end.set()
        for t in self._threads:
            t.join()

    def _produce(self, node):
        with node.client(f"{self.queue}:{PASSWORD}") as c:
            while not self._end.is_set():
                try:
                    reply = json.loads(c.call("LPUSH", self.queue, "a job"))
                except Exception as e:  # pylint: disable=broad-except
                    reply = {"error": repr(e), "jobs": []}
                with self._lock:
                    self.ids += reply["jobs"]
                    if reply["error"]:
                        self.bad.append((node.name, reply["error"]))
                        return
                time.sleep(0.005)

    def handle(self, request):
        for job in json.loads(request.form["jobs"]):
            with self._lock:
                self.started[str(job["id"])] += 1
        return 200, "done"


class Changes(ClusterCase):
    def setUp(self):
        super().setUp()
        self.cluster(3)
        self.load = Load(self, self.nodes)
        self.worker_ = self.http(self.load.handle)

    def text(self, n, more=""):
        """Revision n: the pool and the topic under load stay as they are."""
        return (f"[pool w]\nrun_type = http\nmax_connections = 4\n" +
                topic_text("q", self.worker_.address, "workers = 4") +
                topic_text("r", self.worker_.address, f"comment = revision {n}", f"workers = {1 + n % 5}") +
                (topic_text(f"x{n}", self.worker_.address) if n % 2 else "") + more)

    def test_a_change_on_one_runs_on_all(self):
        took = []
        for n in range(1, 11):
            number = self.applied(self.nodes[n % 3], self.text(n))
            self.assertEqual(number, n)
            took.append(self.all_run(n))
            for node in self.nodes:
                self.assertEqual(node.topic("r/t")["workers"], 1 + n % 5)
        print(f"# ten changes: at most {max(took):.3f} s until all ran it (bar: 2 s)")

    def test_a_hundred_changes_under_load_are_noticed_by_nobody(self):
        self.applied(self.nodes[0], self.text(0))
        self.all_run(1)
        for node in self.nodes:
            node.becomes("q/t", "state", "open", 20)
        self.load.begin()
        begin, took = time.monotonic(), []
        for n in range(1, REVISIONS + 1):
            at = time.monotonic()
            self.assertEqual(self.applied(self.nodes[n % 3], self.text(n)), n + 1)
            took.append(time.monotonic() - at)
        last = self.all_run(REVISIONS + 1)
        self.load.end()
        print(f"# {REVISIONS} changes in {time.monotonic() - begin:.1f} s, one {sorted(took)[len(took) // 2]:.3f} s, "
              f"at most {max(took):.3f} s; all ran the last one {last:.3f} s later; {len(self.load.ids)} jobs")
        self.assertEqual(self.load.bad, [], "no job was refused")
        wait_until(lambda: self.nodes[0].unfinished("q/t") == 0, 60, "all jobs end")
        self.assertEqual(self.load.started, Counter(map(str, self.load.ids)), "each ran once")
        topics = [node.topic("q/t") for node in self.nodes]
        for t in topics:
            self.assertEqual([t["failed"], t["retry"], t["refused"] if "refused" in t else 0], [0, 0, 0], t)
        # Its counters went on: nobody was closed and made anew.
        wait_until(lambda: sum(n.topic("q/t")["done"] for n in self.nodes) == len(self.load.ids), 20)
        self.assertEqual(self.shared(self.nodes[0])["text"].count("[topic r/t]"), 1)


class Others(ClusterCase):
    """What a change does not name stays as it is: processes, connections, counters."""

    def test_a_change_touches_only_what_it_changes(self):
        resident = self.write("resident", f"""#!/bin/sh
echo $$ >>{self.dir}/pids
while read -r line; do
  case $line in
  *'"type":"ping"'*) echo '{{"code":200,"topics":["own/t"]}}' ;;
  *) echo '{{"code":200,"msg":"said"}}' ;;
  esac
done
""", 0o755)
        own = (f"[queue own]\npassword = {PASSWORD}\n[topic own/t]\nstorage = main\nrun_type = exec\nresident = yes\n"
               f"entry = {resident}\nworkers = 2\n")
        (a,) = self.cluster(1, more=own)
        b = self.joins("n2", a, ini=LOCAL.format(address=self.store.address))
        self.nodes = [a, b]
        text = topic_text("q", "", "comment = x") + topic_text("r", "", "comment = 0")
        self.applied(b, text)
        self.all_run(1)
        with a.client(f"q:{PASSWORD}") as producer, a.client(f"own:{PASSWORD}") as other, \
                b.client(f"q:{PASSWORD}") as taker:
            self.assertEqual(json.loads(other.call("LPUSH", "own", "1", "2", "3"))["error"], "")
            a.becomes("own/t", "done", 3, 20)
            pids, commands = self.lines("pids"), self.store.info("clients")["connected_clients"]
            self.assertIsNone(taker.call("RPOP", "q/t"), "nothing yet")
            for n in range(2, 22):
                new = topic_text(f"z{n}", "", "workers = 3") if n % 2 else ""
                self.assertEqual(self.applied(b, text.replace("comment = 0", f"comment = {n}") + new), n)
                self.all_run(n)
            self.assertEqual(json.loads(producer.call("LPUSH", "q", "after"))["error"], "")
            self.assertEqual(json.loads(taker.call("RPOP", "q/t"))["jobs"][0]["content"], "after")
            self.assertEqual(json.loads(other.call("LPUSH", "own", "4"))["error"], "")
            a.becomes("own/t", "done", 4, 20)
        self.assertEqual(self.lines("pids"), pids, "the same processes")
        self.assertEqual(self.store.info("clients")["connected_clients"], commands, "the same connections")
        changes = [l for l in a.logged("configuration: ") if "own" in l or "storage" in l or "q/t" in l]
        self.assertEqual(len(changes), 1, changes)  # where q/t was added


class People(ClusterCase):
    """Who changes it at the same time, goes back, imports, and writes bad text."""

    def setUp(self):
        super().setUp()
        self.cluster(3)

    def text(self, **comments):
        return "\n".join(["[pool w]\nrun_type = http\n"] +
                         [topic_text(name, "", "comment = " + comment) for name, comment in comments.items()])

    def together(self, *asks):
        """Runs them at one time; the answers."""
        answers, at = [None] * len(asks), threading.Barrier(len(asks))

        def run(i):
            at.wait()
            answers[i] = asks[i]()

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(asks))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return answers

    def test_who_applies_on_an_old_base_is_told_both_differences(self):
        a, b, _ = self.nodes
        base = self.applied(a, self.text(q="one"))
        self.all_run(base)
        shown = self.shared(b)["text"]
        self.assertEqual(self.apply(a, self.text(q="two"), base).status, 200)
        self.all_run(base + 1)
        answer = self.apply(b, shown + topic_text("r", "", "comment = mine"), base)
        self.assertEqual((answer.status, answer.json["number"]), (409, base + 1), answer)
        self.assertEqual([(c["kind"], c["name"], c["what"], c["keys"]) for c in answer.json["theirs"]],
                         [("topic", "q/t", "changed", ["comment"])])
        self.assertEqual([(c["kind"], c["name"], c["what"]) for c in answer.json["yours"]],
                         [("queue", "r", "added"), ("topic", "r/t", "added")], answer)
        self.assertIn("comment = two", self.shared(b)["text"])
        self.assertNotIn("[topic r/t]", self.shared(b)["text"])

    def test_of_two_who_apply_at_one_time_one_is_told_of_the_other(self):
        self.applied(self.nodes[0], self.text(q="0"))
        self.all_run(1)
        for n in range(1, 21):
            answers = self.together(*[lambda node=node: self.apply(
                node, self.text(q="0", **{node.name: str(n)}), n) for node in self.nodes])
            won = [node for node, answer in zip(self.nodes, answers) if answer.status == 200]
            self.assertEqual(len(won), 1, answers)
            for answer in answers:
                if answer.status != 200:
                    self.assertEqual((answer.status, answer.json["number"]), (409, n + 1), answer)
                    self.assertIn(("topic", f"{won[0].name}/t"),
                                  [(c["kind"], c["name"]) for c in answer.json["theirs"]], answer)
                    self.assertTrue(answer.json["yours"], answer)
            self.all_run(n + 1)
            for node in self.nodes:
                self.assertIn(f"[topic {won[0].name}/t]", self.shared(node)["text"])

    def test_going_back_makes_a_new_revision_of_the_old_text(self):
        a, b, _ = self.nodes
        self.applied(a, self.text(q="one"))
        self.applied(a, self.text(r="two"))
        self.all_run(2)
        answer = self.ask(b, "rollback", number=1, base=2, comment="back")
        self.assertEqual((answer.status, answer.json["number"]), (200, 3), answer)
        self.all_run(3)
        for node in self.nodes:
            self.assertIn("comment = one", self.shared(node)["text"])
            self.assertEqual(node.admin.get("/api/v1/topics/q/t").status, 200)
            self.assertEqual(node.admin.get("/api/v1/topics/r/t").status, 404)
        with b.client(f"q:{PASSWORD}") as c:
            c.call("PING")
        self.assertEqual(self.ask(a, "rollback", number=1, base=2).status, 409)
        self.assertEqual(self.ask(a, "rollback", number=77, base=3).status, 404)

    def test_users_stay_when_the_rest_goes_back(self):
        a = self.nodes[0]
        user = "[user eve]\nrole = viewer\npassword = eves-very-long-password\n"
        self.applied(a, self.text(q="one") + user)
        self.applied(a, self.text(q="two"))
        self.all_run(2)
        self.assertEqual(self.ask(a, "rollback", number=1, base=2).json.get("number"), 3)
        self.all_run(3)
        self.assertNotIn("[user eve]", self.shared(a)["text"])
        self.assertEqual(self.ask(a, "rollback", number=1, base=3, with_users=True).json.get("number"), 4)
        self.all_run(4)
        self.assertIn("[user eve]", self.shared(a)["text"])
        self.assertEqual(self.ask(a, "import", text=self.text(q="three"), base=4).json.get("number"), 5)
        self.all_run(5)
        self.assertIn("[user eve]", self.shared(a)["text"])
        self.assertIn("comment = three", self.shared(a)["text"])

    def test_what_was_shown_can_be_applied_and_changes_nothing(self):
        a, b, _ = self.nodes
        store = "[storage other]\naddress = 127.0.0.1:1\npassword = a-redis-password\n"
        self.applied(a, self.text(q="one") + store)
        self.all_run(1)
        shown = self.shared(b)["text"]
        self.assertIn("********", shown)
        again = self.apply(b, self.text(q="one") + store, 1)
        self.assertEqual((again.status, again.json["number"], again.json["changes"]), (200, 1, []), again)
        answer = self.apply(b, shown, 1)
        self.assertEqual((answer.status, answer.json["number"]), (200, 1), answer)
        self.assertEqual(answer.json.get("changes", []), [])
        moved = shown.replace("127.0.0.1:1", "127.0.0.1:2")
        self.assertNotEqual(moved, shown)
        answer = self.apply(b, moved, 1)
        self.assertEqual(answer.status, 422, answer)
        self.assertIn("[storage other] password", answer.json["error"])

    def test_faults_name_the_lines_of_the_text_that_was_given(self):
        a = self.nodes[0]
        self.applied(a, self.text(q="one"))
        self.all_run(1)
        for text, line, words in (
                ("; a comment\n\n[pool w]\nrun_type = http\nnonsense = 1\n", 5, "nonsense"),
                ("[queue q]\n\n\npassword = x\n[topic q/t]\nworkers = many\n", 6, "workers"),
                ("\n\n[topic z/t]\nstorage = main\n\nrun_type = nonsense\n", 6, "nonsense"),
                ("[pool w]\nrun_type = http\n\n; more\n[server]\nnode = x\n", 5, "server"),
                ("[pool w]\nrun_type = http\n\n\n[storage s]\nca_file = /etc/x\naddress = 127.0.0.1:1\n", 6, "ca_file"),
                ("[pool w]\n\n[pool w]\n", 3, "twice"),
                ("[pool w\n", 1, "")):
            with self.subTest(text=text):
                for act in ("check", "apply"):
                    answer = self.ask(a, act, text=text, base=1)
                    self.assertEqual(answer.status, 400, answer)
                    self.assertRegex(answer.json["error"], rf"(?m)^[^\n]*:{line}: .*{words}", answer)
        self.assertEqual(self.shared(a)["number"], 1)


if __name__ == "__main__":
    main()
