#!/usr/bin/env python3
"""Failed jobs by the API: lists and groups with a filter, counts before an act, acts with a filter, undo, rights."""

import json
import time
from pathlib import Path

from harness import main, wait_until
from people import PeopleCase

FAILS = """#!/bin/sh
read -r job
case "$job" in
*shop*) echo "shop 17 of \\"bob\\" is closed" >&2; exit 1 ;;
esac
echo "cannot connect to 10.0.0.$$" >&2
exit 2
"""


class FailedApi(PeopleCase):
    def start(self, **users):
        script = self.write("fails.sh", FAILS)
        Path(script).chmod(0o755)
        text = f"""
[system own]
[queue q]
system = own
password = a-long-password
[topic q/t]
run_type = exec
entry = {script}
attempts = 1
"""
        b = self.town(1, {"ann": ("admin", ""), **{name: (name, "") for name in users}}, text)
        b.push("q", *[f"shop {i}" for i in range(12)], *[f"other {i}" for i in range(8)])
        b.becomes("q/t", "dead", 20)
        return b

    def get(self, b, what="", status=200, **kw):
        answer = b.admin.get(f"/api/v1/topics/q/t/failed{what}", **kw)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def post(self, b, what, body, status=200, **kw):
        answer = b.admin.post(f"/api/v1/topics/q/t/{what}", body, **kw)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def ended(self, b, act):
        wait_until(lambda: b.admin.get(f"/api/v1/acts/{act['id']}").json["state"] != "running", 30)
        return b.admin.get(f"/api/v1/acts/{act['id']}").json

    def test_lists_with_a_filter_are_paged_and_honest(self):
        b = self.start()
        whole = self.get(b)
        self.assertEqual((whole["total"], whole["looked"], whole["complete"], whole["cursor"]), (20, 20, True, None))
        self.assertNotIn("content", whole["jobs"][0])
        shops = self.get(b, "?match=SHOP")["jobs"]
        self.assertEqual([("shop 17" in j["message"]) for j in shops], 12 * [True])
        one = self.get(b, "?body=shop+7&content=1")["jobs"]
        self.assertEqual([j["content"] for j in one], ["shop 7"])
        code = whole["jobs"][0]["code"]
        self.assertEqual(len(self.get(b, f"?code={code}")["jobs"]), len([j for j in whole["jobs"] if j["code"] == code]))
        self.assertEqual(len(self.get(b, "?since=1h&node=n1&attempts_min=1&attempts_max=1")["jobs"]), 20)
        for none in ("until=1h", "node=n2", "attempts_min=2", "set=retry", "set=quarantine"):
            self.assertEqual(self.get(b, f"?{none}")["jobs"], [], none)
        for order in ("oldest", "newest"):
            seen, cursor = [], ""
            while cursor is not None:
                page = self.get(b, f"?match=shop&limit=5&order={order}{cursor and f'&cursor={cursor}'}")
                self.assertLessEqual(len(page["jobs"]), 5)
                seen += [j["id"] for j in page["jobs"]]
                cursor = page["cursor"]
            self.assertEqual((len(seen), len(set(seen))), (12, 12), order)
        for wrong in ("set=ready", "set=x", "code=x", "code=99999999999", "signature=12", "since=yesterday", "limit=1001",
                      "attempts_min=-1", "cursor=x", "cursor=n0", "order=up", "page=2", "match=", "match=" + "x" * 257,
                      "node=" + "x" * 129, "content=2"):
            self.get(b, f"?{wrong}", 400)

    def test_groups_are_counted_by_signature(self):
        b = self.start()
        groups = self.get(b, "/groups")
        self.assertEqual((groups["complete"], groups["others"]), (True, 0))
        self.assertEqual([g["count"] for g in groups["groups"]], [12, 8], "one a cause, whatever numbers are in it")
        first = groups["groups"][0]
        self.assertIn("shop #", first["text"])
        self.assertEqual(len(self.get(b, f"?signature={first['signature']}")["jobs"]), 12)
        one = self.get(b, "/groups?limit=1")
        self.assertEqual((len(one["groups"]), one["others"]), (1, 8))
        sample = b.admin.get(f"/api/v1/topics/q/t/retry/{first['sample_id']}").json
        self.assertIn("shop", sample["content"])

    def test_an_act_with_a_filter_is_counted_first_and_can_be_undone(self):
        b = self.start()
        count = self.post(b, "failed/purge", {"filter": {"match": "shop"}, "dry_run": True})
        self.assertEqual((count["count"], count["exact"], [g["count"] for g in count["groups"]]), (12, True, [12]))
        self.assertEqual(b.topic("q/t")["dead"], 20, "nothing was done")
        refused = self.post(b, "failed/purge", {"filter": {"match": "shop"}, "expect": 11}, 409)
        self.assertIn("12 jobs match by now, not 11", refused["error"])
        done = self.post(b, "failed/purge", {"filter": {"match": "shop", "body": "shop"}, "expect": 12})
        self.assertEqual(done["purged"], 12)
        b.becomes("q/t", "dead", 8)
        act = self.ended(b, done["act"])
        self.assertEqual((act["filter"]["match"], act["filter"]["set"], act["filter"]["body"]), ("shop", "both", "********"))
        self.assertGreater(act["undo_until_ms"], time.time() * 1000)
        undone = b.admin.post(f"/api/v1/acts/{act['id']}/undo", {})
        self.assertIn(undone.status, (200, 202), undone)
        b.becomes("q/t", "dead", 20)
        undo = self.ended(b, undone.json["act"])
        self.assertEqual((undo["kind"], undo["undoes"], undo["done"], undo["left"]), ("undo", act["id"], 12, 0))
        self.assertEqual(b.admin.get(f"/api/v1/acts/{act['id']}").json["undone_by"], undo["id"])
        again = b.admin.post(f"/api/v1/acts/{act['id']}/undo", {})
        self.assertEqual(again.status, 409, again)
        self.assertEqual(b.admin.post("/api/v1/acts/19ad1c0e5f2-5f1c2ab0/undo", {}).status, 404)
        now = self.post(b, "purge", {"filter": {"set": "dead"}, "now": True})
        self.assertEqual((now["purged"], self.ended(b, now["act"])["undo_until_ms"]), (20, None))

    def test_a_replay_with_a_rate_and_by_the_old_path(self):
        b = self.start()
        some = self.post(b, "replay", {"filter": {"match": "cannot"}, "rate": 1000, "expect": 8})
        act = self.ended(b, some["act"])
        self.assertEqual((act["done"], act["rate"]), (8, 1000))
        b.becomes("q/t", "dead", 20)
        self.assertEqual(self.post(b, "replay", {"all": True, "dry_run": True})["count"], 20)
        self.assertEqual(self.post(b, "replay", {"count": 3, "dry_run": True})["count"], 3)
        for wrong in ({"filter": {}}, {"filter": {"x": 1}}, {"filter": {"code": "x"}}, {"all": True, "filter": {"set": "dead"}},
                      {"set": "dead", "filter": {"code": 1}}, {"all": True, "rate": -1}, {"all": True, "rate": 1.5}, {},
                      {"all": True, "now": True}, {"set": "ready", "all": True}, {"filter": {"set": "ready"}},
                      {"all": True, "expect": -1}, {"count": 2, "set": "quarantine"}, {"dry_run": True}):
            self.post(b, "replay", wrong, 400)
        self.assertEqual(b.topic("q/t")["dead"], 20)

    def test_one_job_is_replayed_with_another_content(self):
        b = self.start()
        job = self.get(b, "?body=shop+7")["jobs"][0]
        done = self.post(b, f"failed/{job['id']}/replay", {"content": "other, once shop-7"})
        self.assertEqual((done["origin"], done["replayed"]), (job["id"], 1))
        self.assertNotEqual(done["id"], job["id"])
        b.becomes("q/t", "dead", 20)
        copy = b.admin.get(f"/api/v1/topics/q/t/retry/{done['id']}").json
        self.assertEqual((copy["content"], copy["failed"], copy["origin"]), ("other, once shop-7", 1, job["id"]))
        short = b.admin.get(f"/api/v1/topics/q/t/retry/{done['id']}?bytes=5").json
        self.assertEqual((short["content"], short["size"], short["content_cut"]), ("other", 18, True))
        alone = b.admin.get(f"/api/v1/topics/q/t/retry/{done['id']}/content")
        self.assertEqual((alone.status, alone.headers["Content-Type"], alone.text), (200, "application/octet-stream", "other, once shop-7"))
        self.post(b, f"failed/{job['id']}/replay", {"content": "again"}, 404)
        coded = self.post(b, f"failed/{done['id']}/replay", {"content": "//4A", "encoding": "base64"})
        b.becomes("q/t", "dead", 20)
        self.assertEqual(b.admin.get(f"/api/v1/topics/q/t/retry/{coded['id']}").json["content"], "//4A")
        plain = self.post(b, f"failed/{coded['id']}/replay", {})
        self.assertEqual((plain["id"], plain["origin"]), (coded["id"], None))
        b.becomes("q/t", "dead", 20)
        row = self.row(b, what="topics.failed.replay", object=f"topic q/t/{job['id']}", result="done")
        self.assertEqual((row["after"]["content"], row["after"]["id"]), ("********", done["id"]))
        for wrong in ({"content": ""}, {"content": 1}, {"content": "?", "encoding": "base64"}, {"content": "x", "encoding": "hex"},
                      {"encoding": "base64"}, {"x": 1}):
            self.post(b, f"failed/{coded['id']}/replay", wrong, 400)
        self.post(b, "failed/x/replay", {}, 400)
        made = {"name": "blind", "role": "operator", "password": "a-long-enough-password", "contents": False}
        self.assertEqual(b.admin.post("/api/v1/users", made).status, 200)
        wait_until(lambda: "blind" in {u["name"] for u in b.admin.get("/api/v1/users").json["users"]}, 20)
        blind = self.token_of(b, "blind")["token"]
        self.post(b, f"failed/{coded['id']}/replay", {"content": "x"}, 403, token=blind)
        self.assertEqual(b.admin.get(f"/api/v1/topics/q/t/retry/{coded['id']}/content", token=blind).status, 403)
        self.assertEqual(b.topic("q/t")["dead"], 20)

    def test_who_does_not_see_contents_finds_out_nothing_by_a_filter(self):
        b = self.start(viewer=1)
        token = b.admin.post("/api/v1/tokens", {"name": "t", "user": "viewer"}).json["token"]
        for query in ("?match=bob", "?body=shop", "/groups?match=bob"):
            self.get(b, query, 403, token=token)
        seen = json.dumps([self.get(b, "?content=1", token=token), self.get(b, "/groups", token=token)])
        self.assertNotIn("bob", seen)
        self.assertNotIn('"content"', seen)
        self.assertEqual(b.admin.post("/api/v1/topics/q/t/failed/replay", {"all": True}, token=token).status, 403)
        self.assertIn("bob", json.dumps(self.get(b, "/groups")))


if __name__ == "__main__":
    main()
