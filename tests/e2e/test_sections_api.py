"""What the forms of the console are made of: keys of sections, sections that are there, a check of one."""
import json

from harness import main, wait_until
from people import PeopleCase

INI = """
[system live]
title = Live
[system other]
[queue shop]
password = correct-horse-battery
system = live
[topic shop/mail]
run_type = pull
[queue hidden]
password = correct-horse-battery
system = other
"""
LOCAL = """
[queue files]
password = correct-horse-battery
[topic files/one]
run_type = pull
workers = 3
"""


class Sections(PeopleCase):
    def there(self):
        b = self.town(users={"ann": ("admin", ""), "bob": ("operator", "systems = live\n")}, more=LOCAL)
        self.applied_more(b, INI)
        return b

    def applied_more(self, b, text):
        shared = b.admin.get("/api/v1/config/shared").json
        answer = b.admin.post("/api/v1/config/apply", {"base": shared["head"], "text": shared["text"] + text})
        self.assertEqual(answer.status, 200, answer.text)
        wait_until(lambda: b.admin.get("/api/v1/topics/shop/mail").status == 200, 20)

    def test_options_have_the_keys_of_the_core_and_of_each_transport(self):
        b = self.town(users={})
        o = b.admin.get("/api/v1/options").json
        topic = {(k["name"], k["run_type"]): k for k in o["kinds"]["topic"]}
        self.assertEqual(topic["workers", None]["type"], "number")
        self.assertTrue(topic["workers", None]["help"])
        self.assertIn(("entry", "cgi"), topic)
        password = next(k for k in o["kinds"]["queue"] if k["name"] == "password")
        self.assertEqual((password["secret"], password["local"]), (True, False))
        for name in ("cgi", "http"):
            self.assertIn(name, o["shared_run_types"])

    def test_each_key_has_its_help_in_both_languages(self):
        o = self.town(users={}).admin.get("/api/v1/options").json
        self.assertLessEqual({"cgi", "http", "exec", "pull"}, {k["run_type"] for k in o["kinds"]["topic"]})
        for kind, keys in o["kinds"].items():
            for k in keys:
                with self.subTest(kind=kind, run_type=k["run_type"], key=k["name"]):
                    self.assertTrue(k["help"])
                    self.assertRegex(k["help_zh"] or "", "[\u4e00-\u9fff]")

    def test_sections_are_listed_without_secrets_and_users(self):
        b = self.there()
        answer = b.admin.get("/api/v1/config/sections")
        got = {(s["kind"], s["name"]): s for s in answer.json["sections"]}
        self.assertEqual(got["queue", "shop"]["keys"]["password"], "********")
        self.assertEqual(got["queue", "shop"]["secrets"], ["password"])
        self.assertEqual((got["topic", "shop/mail"]["system"], got["topic", "shop/mail"]["place"]), ("live", "shared"))
        self.assertEqual(got["topic", "files/one"]["place"], "local")
        self.assertRegex(got["topic", "files/one"]["at"], r"\.ini:\d+$")
        self.assertFalse([k for k in got if k[0] == "user"])
        self.assertNotIn("correct-horse", answer.text)
        page = b.admin.get("/api/v1/config/sections?kind=queue&q=HO&limit=10").json
        self.assertEqual(([s["name"] for s in page["sections"]], page["total"]), (["shop"], 1))

    def test_one_section_says_who_uses_it(self):
        b = self.there()
        one = b.admin.get("/api/v1/config/sections/system/live").json
        self.assertIn({"kind": "queue", "name": "shop"}, one["used_by"])
        one = b.admin.get("/api/v1/config/sections/queue/shop").json
        self.assertEqual(one["used_by"], [{"kind": "topic", "name": "shop/mail"}])
        one = b.admin.get("/api/v1/config/sections/topic/files%2Fone").json
        self.assertEqual((one["place"], one["keys"]["workers"]), ("local", "3"))
        self.assertEqual(b.admin.get("/api/v1/config/sections/topic/no%2Fone").status, 404)

    def test_a_user_of_one_system_sees_its_sections_alone(self):
        b = self.there()
        cookie = self.logged_in(b, "bob")
        got = self.by(b, cookie, "GET", "/api/v1/config/sections").json["sections"]
        self.assertEqual({(s["kind"], s["name"]) for s in got},
                         {("system", "live"), ("queue", "shop"), ("topic", "shop/mail")})
        self.assertEqual(self.by(b, cookie, "GET", "/api/v1/config/sections/queue/hidden").status, 404)

    def test_a_check_says_what_an_apply_would_and_changes_nothing(self):
        b = self.there()
        head = b.admin.get("/api/v1/config/shared").json["head"]
        check = lambda name, values, **more: b.admin.post(f"/api/v1/config/sections/topic/{name}/check",
                                                          {"values": values, **more})
        self.assertEqual(check("shop%2Fnew", {"run_type": "pull"}).status, 200)
        wrong = check("shop%2Fnew", {"run_type": "pull", "workers": "many"})
        self.assertEqual(wrong.status, 400)
        self.assertIn("workers = many", wrong.json["error"])
        self.assertEqual(check("shop%2Fmail", {"run_type": "pull"}, fresh=True).status, 409)
        self.assertEqual(b.admin.get("/api/v1/config/shared").json["head"], head)
        self.assertEqual(b.admin.get("/api/v1/topics/shop/new").status, 404)

    def test_several_sections_are_one_revision_or_nothing(self):
        b = self.there()
        head = lambda: b.admin.get("/api/v1/config/shared").json["head"]
        change = lambda *rows, path="sections", **more: b.admin.post(
            f"/api/v1/config/{path}", {"sections": [dict(zip(("kind", "name", "keys"), r)) for r in rows], **more})
        queue = ("queue", "bulk", {"password": "a-bulk-password", "system": "live"})
        topic = lambda workers: ("topic", "bulk/one", {"run_type": "pull", "workers": workers})
        before = head()
        for path in ("check", "sections"):
            wrong = change(queue, topic("many"), path=path)
            self.assertEqual(wrong.status, 400, wrong)
            [fault] = wrong.json["faults"]
            self.assertEqual((fault["kind"], fault["name"], fault["key"]), ("topic", "bulk/one", "workers"))
            self.assertTrue(fault["text"].startswith("workers = many: "), fault)
            self.assertNotIn("a-bulk-password", wrong.text)
        said = change(queue, topic(2), path="check")
        self.assertEqual((said.status, [r["result"] for r in said.json["rows"]]), (200, ["added", "added"]))
        self.assertEqual(head(), before, "a check and what is refused change nothing")
        made = change(queue, topic(2))
        self.assertEqual((made.status, made.json["number"]), (200, before + 1), made)
        wait_until(lambda: b.admin.get("/api/v1/config/sections/topic/bulk%2Fone").status == 200, 20)
        again = change(("queue", "bulk", {"password": "another-password"}), ("topic", "bulk/two", {"run_type": "pull"}),
                       skip_existing=True)
        self.assertEqual([r["result"] for r in again.json["rows"]], ["there", "added"])
        wait_until(lambda: b.admin.get("/api/v1/config/sections/topic/bulk%2Ftwo").status == 200, 20)
        changed = change(("queue", "bulk", {"system": "live", "max_length": 9}), ("topic", "bulk/two", None))
        self.assertEqual([r["result"] for r in changed.json["rows"]], ["changed", "removed"])
        wait_until(lambda: b.admin.get("/api/v1/config/sections/topic/bulk%2Ftwo").status == 404, 20)
        self.assertEqual(b.admin.get("/api/v1/config/sections/queue/bulk").json["keys"],
                         {"password": "********", "system": "live", "max_length": "9"}, "a secret that is not named stays")
        wait_until(lambda: b.admin.get("/api/v1/topics/bulk/one").status == 200, 20)
        self.assertEqual(change(queue, base=before).status, 409)
        for bad in ([], [{"kind": "queue", "name": "x"}], "text"):
            self.assertEqual(b.admin.post("/api/v1/config/sections", {"sections": bad}).status, 400)

    def test_several_sections_are_judged_and_audited_as_one_change(self):
        b = self.there()
        rows = [{"kind": "queue", "name": "fine", "keys": {"password": "a-fine-password", "system": "live"}},
                {"kind": "topic", "name": "hidden/new", "keys": {"run_type": "pull"}}]
        cookie = self.logged_in(b, "bob")
        refused = self.by(b, cookie, "POST", "/api/v1/config/sections", {"sections": rows})
        self.assertEqual(refused.status, 403, refused)
        self.assertEqual(b.admin.get("/api/v1/config/sections/queue/fine").status, 404)
        self.assertEqual(self.by(b, cookie, "POST", "/api/v1/config/sections", {"sections": rows[:1]}).status, 200)
        row = self.row(b, what="config.sections", user="bob", result="done")
        self.assertEqual(row["object"], "1 section")
        self.assertEqual(row["after"]["queue fine"], {"password": "********", "system": "live"})

    def test_an_export_of_chosen_queues_has_them_and_their_topics_alone(self):
        b = self.there()
        lines = b.admin.get("/api/v1/config/export?format=jsonl&queues=shop,nothing").text.splitlines()
        self.assertEqual([(s["kind"], s["name"]) for s in map(json.loads, lines)], [("queue", "shop"), ("topic", "shop/mail")])
        text = b.admin.get("/api/v1/config/export?queues=hidden").json["text"]
        self.assertEqual([line for line in text.splitlines() if line.startswith("[")], ["[queue hidden]"])
        self.assertIn("password = ********", text)


if __name__ == "__main__":
    main()
