#!/usr/bin/env python3
"""API tokens, links of `pepperbusctl open`, and passwords that somebody else has set."""

import json
import time

from harness import main, wait_until
from people import PASSWORD, PeopleCase

SYSTEMS = """
[system own]
[system other]
[queue mine]
system = own
password = a-long-queue-password
[queue theirs]
system = other
password = a-long-queue-password
"""
USERS = {"ann": ("admin", ""), "bob": ("operator", ""), "cat": ("viewer", "systems = own")}


class Tokens(PeopleCase):
    def sees(self, b, token):
        """The queues that a token sees."""
        answer = b.admin.get("/api/v1/queues", token=token)
        self.assertIn(answer.status, (200, 403), answer)
        return {q["queue"] for q in answer.json.get("queues", ())}

    def make(self, b, **body):
        return b.admin.post("/api/v1/tokens", {"name": "x", "user": "bob", **body})

    def whose(self, b, token):
        return b.admin.get("/api/v1/session", token=token).json

    def test_role_and_systems_are_no_more_than_the_users(self):
        b = self.town(users=USERS, more=SYSTEMS)
        small = self.token_of(b, "bob", role="viewer", systems=["own"])["token"]
        self.assertEqual(self.sees(b, small), {"mine"})
        self.assertEqual((self.whose(b, small)["role"], self.whose(b, small)["systems"]), ("viewer", ["own"]))
        self.assertEqual(b.admin.post("/api/v1/queues/mine/drop", {"topic": "x"}, token=small).status, 403)
        greedy = self.token_of(b, "cat", role="admin", systems=["own", "other"])["token"]
        self.assertEqual(self.sees(b, greedy), {"mine"})
        self.assertEqual((self.whose(b, greedy)["role"], self.whose(b, greedy)["contents"]), ("viewer", False))
        own = self.token_of(b, "bob")["token"]
        self.assertEqual(self.sees(b, own), {"mine", "theirs"})
        # The user gets less: so does the token, at once.
        change = b.admin.request("PUT", "/api/v1/users/bob", {"role": "viewer", "systems": ["other"]})
        self.assertEqual(change.status, 200, change)
        wait_until(lambda: self.sees(b, own) == {"theirs"}, 20)
        wait_until(lambda: self.sees(b, small) == set(), 20, "nothing is in both")
        self.assertEqual(self.whose(b, own)["role"], "viewer")

    def test_what_is_not_understood_makes_no_token(self):
        b = self.town(users=USERS, more=SYSTEMS)
        soon = int(time.time() * 1000) + 3600000
        for body in ({"expires_ms": str(soon)}, {"expires_ms": -1}, {"expires_ms": soon + 0.5},
                     {"expires_ms": True}, {"expires_ms": 1000}, {"systems": []}, {"systems": [1]}, {"systems": "own"},
                     {"systems": [""]}, {"role": 1}, {"role": "root"}, {"name": ""}, {"name": "n" * 129}, {"user": 5}):
            answer = self.make(b, **body)
            self.assertEqual(answer.status, 400, (body, answer))
        self.assertEqual(self.make(b, user="nobody").status, 404)
        self.assertEqual(b.admin.get("/api/v1/tokens").json["tokens"], [])
        bad = b.admin.request("PUT", "/api/v1/users/cat", {"systems": []})
        self.assertEqual(bad.status, 400, "an empty list is not all of them")
        self.assertEqual(self.make(b, expires_ms=0).json["expires_ms"], None)
        good = self.make(b, expires_ms=soon)
        self.assertEqual((good.status, good.json["expires_ms"]), (200, soon))

    def test_an_end_a_last_use_and_one_look_at_the_secret(self):
        b = self.town(users=USERS)
        made = self.token_of(b, "bob", "robot", expires_ms=int(time.time() * 1000) + 4000)
        lasting = self.token_of(b, "bob", "lasting")
        self.assertEqual(self.whose(b, made["token"])["user"], "bob")
        listed = lambda: {t["name"]: t for t in b.admin.get("/api/v1/tokens").json["tokens"]}
        wait_until(lambda: listed()["robot"].get("last_ms"), 20)
        self.assertNotIn("last_ms", listed()["lasting"])
        secret = made["token"].split("_")[2]
        for text in (json.dumps(listed()), self.everything_in_redis(), b.log_text()):
            self.assertNotIn(secret, text)
        wait_until(lambda: b.admin.get("/api/v1/session", token=made["token"]).status == 401, 20)
        self.assertEqual(self.whose(b, lasting["token"])["user"], "bob")
        wait_until(lambda: set(listed()) == {"lasting"}, 20)
        wrong = lasting["token"][:-1] + ("0" if lasting["token"][-1] != "0" else "1")
        for token in (wrong, lasting["token"] + "0", lasting["token"][:-1], lasting["token"].upper(), "pbt_", secret):
            self.assertEqual(b.admin.get("/api/v1/session", token=token).status, 401)

    def test_a_token_ends_with_its_user_and_is_not_the_next_ones(self):
        b = self.town(users=USERS)
        token = self.token_of(b, "bob")["token"]
        self.assertEqual(b.admin.request("DELETE", "/api/v1/users/bob").status, 200)
        wait_until(lambda: b.admin.get("/api/v1/session", token=token).status == 401, 20)
        wait_until(lambda: not self.documents("token"), 20)
        again = b.admin.post("/api/v1/users", {"name": "bob", "role": "admin", "password": "another long one"})
        self.assertEqual(again.status, 200, again)
        wait_until(lambda: any(u["name"] == "bob" for u in b.admin.get("/api/v1/users").json["users"]), 20)
        self.assertEqual(b.admin.get("/api/v1/session", token=token).status, 401)

    def test_a_token_ends_itself_and_no_other_one(self):
        b = self.town(users=USERS)
        one, two = self.token_of(b, "bob"), self.token_of(b, "bob")
        admins = self.token_of(b, "ann")
        end = lambda made, token: b.admin.request("DELETE", f"/api/v1/tokens/{made['id']}", token=token)
        self.assertEqual(end(two, one["token"]).status, 403)
        self.assertEqual(end(admins, one["token"]).status, 403)
        self.assertEqual(self.by(b, self.logged_in(b, "bob"), "DELETE", f"/api/v1/tokens/{admins['id']}").status, 404)
        self.assertEqual(end(one, one["token"]).status, 200)
        self.assertEqual(b.admin.get("/api/v1/session", token=one["token"]).status, 401)
        self.assertEqual(end(two, admins["token"]).status, 200, "an admin ends those of everybody")

    def test_a_forged_token_is_ignored_and_told(self):
        b = self.town(users=USERS)
        made = self.token_of(b, "cat", role="viewer")
        key = f"pb:{{@}}:doc:token:{made['id']}"
        kept = self.store.cmd("GET", key)
        for forged in (kept.replace('"user":"cat"', '"user":"ann"'), kept.replace('"role":"viewer"', '"role":"admin"'),
                       kept.split("\n", 1)[1], "0" * 64 + "\n" + kept.split("\n", 1)[1], "", "\n", "{}"):
            self.store.cmd("SET", key, forged)
            self.assertEqual(b.admin.get("/api/v1/session", token=made["token"]).status, 401, forged)
        self.assertIn("ignored a document (token)", b.log_text())
        copy = made["token"].replace(made["id"], "ab" * 8)
        self.store.cmd("SET", "pb:{@}:doc:token:" + "ab" * 8, kept)
        self.assertEqual(b.admin.get("/api/v1/session", token=copy).status, 401, "under another id")
        self.store.cmd("SET", key, kept)
        self.assertEqual(b.admin.get("/api/v1/session", token=made["token"]).status, 200)

    def test_a_link_is_made_on_the_machine_and_used_once(self):
        b = self.town(users=USERS)
        for user in USERS:
            token = self.token_of(b, user)["token"]
            self.assertEqual(b.admin.post("/api/v1/links", {}, token=token).status, 403)
            self.assertEqual(self.by(b, self.logged_in(b, user), "POST", "/api/v1/links", {}).status, 403)
        self.assertEqual(b.admin.post("/api/v1/links", {}, token=None).status, 401)
        made = b.admin.post("/api/v1/links", {})
        left = made.json["expires_ms"] - time.time() * 1000
        self.assertTrue(0 < left <= 61000, left)
        key = made.json["url"].rpartition("/")[2]
        self.assertRegex(key, "^[0-9a-f]{32}$")
        self.assertIn("/#/open/", made.json["url"], "in the fragment, which is sent nowhere")
        open_it = lambda key, **kw: self.by(b, None, "POST", "/api/v1/session/link", {"key": key}, **kw)
        foreign = open_it(key, headers={"Origin": "http://evil.example"})
        self.assertEqual(foreign.status, 403, "and it is not used up by that")
        (name, _), = self.documents("once").items()
        left = int(self.store.cmd("PTTL", f"pb:{{@}}:doc:once:{name}"))
        self.assertTrue(0 < left <= 60000, left)
        answer = open_it(key)
        self.assertEqual((answer.status, answer.json["role"], answer.json["how"]), (200, "admin", "session"))
        self.assertRegex(answer.json["zone"], r"^([A-Z][\w/+-]*|[+-]\d\d:\d\d)$")
        self.assertEqual(open_it(key).status, 401)
        for wrong in ("", "x", "0" * 32, key.upper(), key + "0", "../" + key):
            self.assertEqual(open_it(wrong).status, 401)
        late = b.admin.post("/api/v1/links", {}).json["url"].rpartition("/")[2]
        (name, _), = self.documents("once").items()
        self.store.cmd("PEXPIRE", f"pb:{{@}}:doc:once:{name}", "1")
        wait_until(lambda: not self.documents("once"), 20)
        self.assertEqual(open_it(late).status, 401)
        for text in (self.everything_in_redis(), b.log_text(), json.dumps(self.rows(b))):
            self.assertNotIn(key, text)
            self.assertNotIn(late, text)

    def test_the_first_password_is_good_once_and_makes_the_first_user(self):
        b = self.town(users={})
        made = b.admin.post("/api/v1/links", {"kind": "password"})
        self.assertEqual(made.status, 200, made.text)
        first = made.json["password"]
        self.assertRegex(first, "^([0-9a-f]{4}-){4}[0-9a-f]{4}$")
        left = made.json["expires_ms"] - time.time() * 1000
        self.assertTrue(86300_000 < left <= 86401_000, left)
        self.assertEqual(b.admin.post("/api/v1/links", {"kind": "other"}).status, 400)
        self.assertEqual(self.login(b, "ann", first).status, 401, "only as admin, and that uses it up")
        first = b.ctl("open", "--password").out.strip()
        answer = self.login(b, "admin", first)
        self.assertEqual((answer.status, answer.json["must_change"]), (200, True))
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.assertEqual(self.by(b, cookie, "GET", "/api/v1/topics").status, 403, "the password comes first")
        self.assertEqual(self.login(b, "admin", first).status, 401, "once")
        changed = self.by(b, cookie, "POST", "/api/v1/session/password", {"old": first, "new": "a password of my own"})
        self.assertEqual((changed.status, changed.json["must_change"], changed.json["role"]), (200, False, "admin"))
        wait_until(lambda: self.login(b, "admin", "a password of my own").status == 200, 30)
        refused = b.admin.post("/api/v1/links", {"kind": "password"})
        self.assertEqual(refused.status, 409)
        self.assertIn("there are users already", refused.text)
        for text in (self.everything_in_redis(), b.log_text(), json.dumps(self.rows(b))):
            self.assertNotIn(first, text)
            self.assertNotIn(first.replace("-", ""), text)

    def test_who_has_to_change_the_password_may_do_nothing_else(self):
        b = self.town(users=USERS)
        first = "set by somebody else"
        self.assertEqual(b.admin.post("/api/v1/users/ann/password", {"password": first}).status, 200)
        wait_until(lambda: self.login(b, "ann", first).status == 200, 30)
        cookie = self.logged_in(b, "ann", first)
        self.assertTrue(self.by(b, cookie, "GET", "/api/v1/session").json["must_change"])
        for method, path in (("GET", "/api/v1/topics"), ("GET", "/api/v1/tokens"), ("GET", "/api/v1/audit"),
                             ("GET", "/api/v1/status"), ("GET", "/api/v1/openapi.json"), ("POST", "/api/v1/tokens"),
                             ("POST", "/api/v1/reload"), ("DELETE", "/api/v1/users/bob"), ("DELETE", "/api/v1/tokens/ab"),
                             ("GET", "/api/v1/config/shared"), ("GET", "/api/v1/cluster")):
            body = {"name": "x"} if method == "POST" else None
            answer = self.by(b, cookie, method, path, body)
            self.assertEqual((answer.status, answer.json["error"]), (403, "the password has to be changed first"), path)
        change = {"old": first, "new": "chosen by ann alone"}
        answer = self.by(b, cookie, "POST", "/api/v1/session/password", change)
        self.assertEqual(answer.status, 200, answer)
        self.assertFalse(answer.json["must_change"])
        self.assertEqual(self.status(b, self.cookie(answer), "/api/v1/topics"), 200)
        self.assertEqual(self.status(b, cookie), 401, "the session before has ended")
        for text in (self.everything_in_redis(), b.log_text(), json.dumps(self.rows(b))):
            for word in (first, change["new"], PASSWORD):
                self.assertNotIn(word, text)


if __name__ == "__main__":
    main()
