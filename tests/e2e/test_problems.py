#!/usr/bin/env python3
"""What is wrong, as the API tells it: of storages, nodes and topics, with what to do and a chapter that is there."""

import json
import re
import time
from pathlib import Path

from harness import ROOT, Case, equals, main, wait_until
from people import PeopleCase

QUEUE = """
[queue {queue}]
password = a-long-password
{more}
[topic {queue}/t]
pool = {pool}
entry = {entry}
"""


class Texts(Case):
    def test_each_problem_says_what_to_do_and_names_a_chapter_of_the_runbook(self):
        text = (ROOT / "core/admin/problems.c").read_text()
        names = re.search(r"enum problem_kind \{(.*?)PROBLEM_KINDS", text, re.S).group(1)
        rows = re.findall(r'\[(PROBLEM_\w+)\] =\s*\{"(\w+)",((?:\s*"[^"]*")+),\s*"([a-z-]+)"\}', text)
        self.assertEqual([r[0] for r in rows], re.findall(r"PROBLEM_\w+", names), "each kind has its row, in order")
        heads = re.findall(r"^##+ (.*)$", (ROOT / "doc/runbook.md").read_text(), re.M)
        anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
        api = (ROOT / "doc/openapi.yaml").read_text()
        for _, name, todo, chapter in rows:
            self.assertIn(chapter, anchors, f"the chapter of {name}")
            self.assertGreater(len(todo), 20, name)
            self.assertIn(f"`{name}`", api)


class Problems(PeopleCase):
    def problems(self, node, **kw):
        answer = node.admin.get("/api/v1/problems", **kw)
        self.assertEqual(answer.status, 200, answer)
        for p in answer.json["problems"]:
            self.console_says_the_same(p)
        return answer.json["problems"]

    def console_says_the_same(self, p):
        """Its sentence in English is the broker's, made of `params`; in Chinese nothing is left of its words."""
        params = {**p["params"], "subject": p["subject"], "for": "SOME TIME"}
        key = p["kind"] + (f"_{params['form']}" if "form" in params else "")
        for language in ("en", "zh"):
            texts = json.loads((ROOT / f"console/src/locales/{language}/problemText.json").read_text())
            said = re.sub(r"\{(\w+)\}", lambda m: str(params[m[1]]), texts[key])
            if language == "zh":
                self.assertRegex(said, "[\u4e00-\u9fff]")
            elif p["kind"] not in ("quarantine", "alert"):  # with a plural, and a number
                self.assertEqual(re.sub(r"\d+ (seconds|minutes|hours|days)\b", "SOME TIME", p["text"]),
                                 f"{said}: {params['why']}." if "why" in params else f"{said}.")

    def has(self, node, kind, subject, **kw):
        return next((p for p in self.problems(node, **kw) if (p["kind"], p["subject"]) == (kind, subject)), None)

    def comes(self, node, kind, subject, **kw):
        wait_until(lambda: self.has(node, kind, subject, **kw), 30, lambda: f"{kind} of {subject}: {self.problems(node)}")
        return self.has(node, kind, subject, **kw)

    def test_topics_that_cannot_run_and_who_may_see_them(self):
        text = f"[system own]\n[system other]\n[pool gone]\nrun_type = cgi\naddress = unix:{self.dir}/nobody.sock\n[pool alone]\n" \
               f"run_type = cgi\naddress = unix:{self.dir}/neither.sock\n"
        for queue, pool, more in (("a", "gone", "system = own"), ("b", "gone", "system = other"), ("c", "alone", "system = other")):
            text += QUEUE.format(queue=queue, pool=pool, more=more, entry=self.worker("log.php"))
        node = self.town(1, {"ann": ("admin", ""), "own": ("viewer", "systems = own")}, text)
        pool = self.comes(node, "unreachable", "gone")
        self.assertEqual((pool["id"], pool["topics"]), ("unreachable:gone", 2), "one problem, not one a topic")
        self.assertIn("2 topics wait", pool["text"])
        one = self.comes(node, "unreachable", "c/t")
        self.assertIn("neither.sock", one["text"])
        self.assertGreater(one["since_ms"], 0)
        token = node.admin.post("/api/v1/tokens", {"name": "t", "user": "own"}).json["token"]
        seen = self.problems(node, token=token)
        self.assertEqual([(p["kind"], p["subject"]) for p in seen], [("unreachable", "a/t")], "only what is theirs")
        self.assertNotIn("b/t", json.dumps(seen))
        self.assertEqual(node.admin.get("/api/v1/problems?kind=x").status, 400)

    def test_failing_topics_and_long_pauses(self):
        script = self.write("fails.sh", "#!/bin/sh\ncat >/dev/null\nexit 1\n")
        Path(script).chmod(0o755)
        text = "".join(f"[queue {q}]\npassword = a-long-password\n[topic {q}/t]\nrun_type = exec\nentry = {script}\nattempts = 1\n"
                       for q in ("fails", "held"))
        redis = self.redis("main")
        redis.cmd("HSET", "pb:{held}:p", "t", json.dumps({"since": int(time.time() * 1000) - 3600_000, "by": "ann",
                                                          "reason": "the shop moves"}))
        node = self.cluster(1, text, redis=redis)[0]
        held = self.comes(node, "paused", "held/t")
        self.assertEqual(held["text"], "The topic held/t has been paused for 60 minutes by ann: the shop moves.")
        self.assertIsNone(self.has(node, "failing", "fails/t"))

        def failing():
            node.push("fails", *["job"] * 5)
            return self.has(node, "failing", "fails/t")
        wait_until(failing, 30)
        wait_until(lambda: not self.has(node, "failing", "fails/t"), 30, "and it ends by itself")
        node.admin.post("/api/v1/topics/held/t/resume", {})
        equals(lambda: self.has(node, "paused", "held/t"), None, 10)

    def test_storages_and_nodes(self):
        a, b = self.cluster(2)
        equals(lambda: self.problems(a), [], 20, "nothing is wrong")
        self.store.config_set("maxmemory", "1mb")
        full = self.comes(a, "storage_no_writes", "main")
        self.assertIn("takes no new jobs", full["text"])
        self.assertRegex(full["text"], r"[^.]\.$", "one full stop")
        self.store.config_set("maxmemory", "0")
        wait_until(lambda: not self.has(a, "storage_no_writes", "main"), 30)
        b.kill()
        away = self.comes(a, "node_away", "n2")
        self.assertEqual(away["chapter"], "a-node-died")
        self.store.stop()
        answer = self.comes(a, "storage_away", "main")
        self.assertIn("cannot be reached", answer["text"])

    def test_alerts_that_fire_unless_they_are_silenced(self):
        text = "[system own]\n[system other]\n[pool gone]\nrun_type = cgi\naddress = unix:{0}/nobody.sock\n".format(self.dir) + \
               QUEUE.format(queue="a", pool="gone", more="system = own", entry=self.worker("log.php")) + \
               "[alert many]\nwhen = ready > 2 for 1s\ntopic = a/t\nexec = true\n"
        node = self.town(1, {"ann": ("admin", ""), "apart": ("viewer", "systems = other")}, text)
        node.push("a", *["job"] * 5)
        fires = self.comes(node, "alert", "many")
        self.assertEqual(fires["text"], "The alert many fires: ready > 2 for 1s, of topic a/t; it is 5.")
        self.assertGreater(fires["since_ms"], 0)
        token = self.token_of(node, "apart")["token"]
        self.assertIsNone(self.has(node, "alert", "many", token=token))
        node.admin.post("/api/v1/alerts/many/silence", {"for_s": 600, "reason": "known"})
        wait_until(lambda: not self.has(node, "alert", "many"), 20)

    def test_a_storage_that_hangs_does_not_hold_the_answer(self):
        a = self.cluster(1)[0]
        equals(lambda: self.problems(a), [], 20)
        self.store.pause()
        self.addCleanup(self.store.resume)
        answer = a.admin.get("/api/v1/problems").json
        self.assertFalse(answer["exact"])
        self.assertIn("error", answer)


if __name__ == "__main__":
    main()
