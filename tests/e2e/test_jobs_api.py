#!/usr/bin/env python3
"""Single jobs by the API: lists by state, where a job is, cancel and replay, and for whom."""

import json
from pathlib import Path

from harness import main
from people import PeopleCase

FAILS = """#!/bin/sh
cat >/dev/null
echo "cannot reach \\"bob\\"" >&2
exit 1
"""


class JobsApi(PeopleCase):
    def start(self, **users):
        script = self.write("fails.sh", FAILS)
        Path(script).chmod(0o755)
        text = "[system own]\n[system other]\n"
        for queue, system in (("mine", "own"), ("theirs", "other")):
            text += f"""
[queue {queue}]
system = {system}
password = a-long-password
[topic {queue}/t]
run_type = exec
entry = {script}
attempts = 1
[topic {queue}/u]
run_type = exec
entry = {script}
attempts = 1
"""
        return self.town(1, {"ann": ("admin", ""), **users}, text)

    def get(self, b, path, status=200, **kw):
        answer = b.admin.get(f"/api/v1/{path}", **kw)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def post(self, b, path, body, status=200, **kw):
        answer = b.admin.post(f"/api/v1/{path}", body, **kw)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def paused(self, b, *topics):
        for topic in topics:
            self.post(b, f"topics/{topic}/pause", {})

    def test_jobs_are_listed_by_state_in_pages(self):
        b = self.start()
        self.paused(b, "mine/t")
        ids = [i for i in b.push("mine", *[f"job {i}" for i in range(7)])]
        b.becomes("mine/u", "dead", 7)
        for topic, state in (("mine/t", "ready"), ("mine/u", "dead")):
            seen, cursor = [], ""
            while cursor is not None:
                page = self.get(b, f"topics/{topic}/jobs?state={state}&limit=3&content=1{cursor and f'&cursor={cursor}'}")
                self.assertLessEqual(len(page["jobs"]), 3)
                self.assertEqual({j["state"] for j in page["jobs"]} - {state}, set())
                seen += page["jobs"]
                cursor = page["cursor"]
            self.assertEqual(sorted(j["content"] for j in seen), [f"job {i}" for i in range(7)], state)
            self.assertEqual({j["size"] for j in seen}, {5})
            self.assertEqual(len({j["id"] for j in seen}), len(ids))
        self.assertEqual(seen[0]["node"], "n1")
        self.assertIn("bob", seen[0]["message"])
        self.assertNotIn("content", self.get(b, "topics/mine/t/jobs")["jobs"][0])
        for none in ("running", "retry", "quarantine", "delayed"):
            self.assertEqual(self.get(b, f"topics/mine/t/jobs?state={none}")["jobs"], [], none)
        late = self.post(b, "queues/mine/jobs?delay=1h", {})["id"]
        delayed = self.get(b, "topics/mine/t/jobs?state=delayed")["jobs"]
        self.assertEqual([j["id"] for j in delayed], [late])
        self.assertGreater(delayed[0]["due_ms"], 0)
        for wrong in ("state=settled", "state=x", "limit=251", "limit=x", "cursor=x%20", "state=dead&cursor=1-1", "page=2", "content=2"):
            self.get(b, f"topics/mine/t/jobs?{wrong}", 400)

    def test_a_job_is_found_wherever_it_is_cancelled_and_replayed(self):
        b = self.start()
        self.paused(b, "mine/t", "theirs/t", "theirs/u")
        one = self.post(b, "queues/mine/jobs", {})["id"]
        b.becomes("mine/u", "dead", 1)
        found = self.get(b, f"jobs/{one}")
        self.assertTrue(found["complete"])
        self.assertEqual({(p["queue"], p["topic"], p["state"]) for p in found["places"]},
                         {("mine", "t", "ready"), ("mine", "u", "dead")})
        refused = self.post(b, f"jobs/{one}/cancel", {"queue": "mine"}, 409)
        self.assertIn("dead jobs", refused["error"])
        self.post(b, f"jobs/{one}/replay", {"queue": "mine", "topic": "t"}, 404)
        self.assertEqual(self.post(b, f"jobs/{one}/replay", {"queue": "mine"})["replayed"], 1)
        b.becomes("mine/u", "dead", 1)
        waits = self.post(b, "queues/theirs/jobs", {})["id"]
        late = self.post(b, "queues/theirs/jobs?delay=1h", {})["id"]
        self.assertEqual([(p["topic"], p["state"]) for p in self.get(b, f"jobs/{late}")["places"]], [(None, "delayed")])
        for id, was in ((waits, "ready"), (late, "delayed")):
            done = self.post(b, f"jobs/{id}/cancel", {"queue": "theirs"})
            self.assertEqual([c["was"] for c in done["cancelled"]], [was])
            self.get(b, f"jobs/{id}", 404)
            self.post(b, f"jobs/{id}/cancel", {"queue": "theirs"}, 404)
        row = self.row(b, what="jobs.cancel", object=f"job {late}", result="done")
        self.assertEqual(row["after"]["queue"], "theirs")
        for wrong in ({}, {"queue": 1}, {"queue": "mine", "x": 1}, {"topic": "t"}):
            self.post(b, f"jobs/{one}/cancel", wrong, 400)
        self.post(b, f"jobs/{one}/cancel", {"queue": "nosuch"}, 404)
        self.post(b, f"jobs/{one}/cancel", {"queue": "mine", "topic": "nosuch"}, 404)
        self.post(b, "jobs/x/cancel", {"queue": "mine"}, 400)
        self.get(b, "jobs/x", 400)

    def test_a_job_of_another_system_is_as_if_it_were_not_there(self):
        b = self.start(own=("operator", "systems = own"), viewer=("viewer", ""))
        self.paused(b, "mine/t", "theirs/t", "theirs/u")
        mine, theirs = (self.post(b, f"queues/{q}/jobs", {"secret": "bob"})["id"] for q in ("mine", "theirs"))
        b.becomes("mine/u", "dead", 1)
        own, viewer = (self.token_of(b, user)["token"] for user in ("own", "viewer"))
        self.assertEqual(len(self.get(b, f"jobs/{mine}", token=own)["places"]), 2)
        self.get(b, f"jobs/{theirs}", 404, token=own)
        self.get(b, "topics/theirs/t/jobs", 403, token=own)
        gone = self.post(b, f"jobs/{theirs}/cancel", {"queue": "theirs"}, 404, token=own)
        nosuch = self.post(b, f"jobs/{theirs}/cancel", {"queue": "nosuch"}, 404, token=own)
        self.assertEqual(gone["error"].replace("theirs", "nosuch"), nosuch["error"])
        self.post(b, f"jobs/{theirs}/cancel", {"queue": "theirs"}, 403, token=viewer)
        self.assertEqual(len(self.get(b, f"jobs/{theirs}", token=viewer)["places"]), 2, "nothing was done")
        seen = json.dumps([self.get(b, f"topics/mine/{t}/jobs?state={s}&content=1", token=viewer)
                           for t, s in (("t", "ready"), ("u", "dead"))])
        self.assertNotIn("bob", seen)
        self.assertIn(mine, seen)


if __name__ == "__main__":
    main()
