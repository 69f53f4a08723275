#!/usr/bin/env python3
"""Sessions on several nodes: how many, how long, and what ends them."""

import hashlib

from harness import main, wait_until
from people import PASSWORD, PeopleCase

USERS = {"ann": ("admin", ""), "bob": ("operator", "")}


class Sessions(PeopleCase):
    def digest(self, cookie):
        return hashlib.sha256(cookie.split("=")[1].encode()).hexdigest()

    def ended(self, node, cookie, path="/api/v1/session"):
        wait_until(lambda: self.status(node, cookie, path) == 401, 10)

    def test_a_user_who_was_changed_meanwhile_is_not_deleted(self):
        b = self.town(users={"ann": ("admin", ""), "bob": ("viewer", "")})
        seen = b.admin.get("/api/v1/config/shared").json["number"]
        self.assertEqual(b.admin.request("PUT", "/api/v1/users/bob", {"role": "operator"}).status, 200)
        answer = b.admin.request("DELETE", f"/api/v1/users/bob?base={seen}")
        self.assertEqual(answer.status, 409, answer.text)
        self.assertEqual(b.admin.request("DELETE", f"/api/v1/users/bob?base={seen + 1}").status, 200)

    def test_twenty_a_user_the_oldest_ends(self):
        a = self.town(users=USERS)
        other = self.logged_in(a, "ann")
        cookies = [self.logged_in(a, "bob") for _ in range(22)]
        self.ended(a, cookies[0])
        self.ended(a, cookies[1])
        for cookie in cookies[2:] + [other]:
            self.assertEqual(self.status(a, cookie), 200)
        self.assertEqual(len(self.documents("session")), 21)

    def test_it_ends_when_it_was_idle_or_is_old(self):
        a = self.town(users=USERS)
        cookie = self.logged_in(a)
        key = f"pb:{{@}}:doc:session:{self.digest(cookie)}"
        left = int(self.store.cmd("PTTL", key))
        self.assertTrue(11 * 3600000 < left <= 12 * 3600000, left)
        self.store.cmd("PEXPIRE", key, "1")
        wait_until(lambda: not self.store.cmd("EXISTS", key), 10)
        self.ended(a, cookie)

    def test_a_login_ends_the_session_that_the_browser_had(self):
        a = self.town(users=USERS)
        first = self.logged_in(a, "bob")
        second = self.cookie(self.login(a, "ann", headers={"Cookie": first}))
        self.assertNotEqual(first, second)
        self.ended(a, first)
        planted = "pepperbus_prod=" + "ab" * 32
        fresh = self.cookie(self.login(a, "ann", headers={"Cookie": planted}))
        self.assertNotEqual(fresh, planted, "nobody else chooses the id")
        self.assertEqual(self.status(a, planted), 401)

    def test_what_ends_it_on_one_node_ends_it_on_all(self):
        a = self.town(2, users=USERS)
        b = self.nodes[1]
        cookie = self.logged_in(a)
        wait_until(lambda: self.status(b, cookie) == 200, 20)
        self.assertEqual(self.by(b, cookie, "DELETE", "/api/v1/session").status, 200)
        self.assertEqual(self.status(b, cookie), 401)
        self.assertEqual(self.status(a, cookie), 401, "at once")
        for what, change in (("role", lambda: a.admin.request("PUT", "/api/v1/users/bob", {"role": "viewer"})),
                             ("contents", lambda: b.admin.request("PUT", "/api/v1/users/bob", {"contents": True})),
                             ("password", lambda: a.admin.post("/api/v1/users/bob/password", {"password": "set by another"})),
                             ("user", lambda: b.admin.request("DELETE", "/api/v1/users/bob"))):
            with self.subTest(changed=what):
                password = "set by another" if what == "user" else PASSWORD
                cookie = self.logged_in(a, "bob", password)
                wait_until(lambda: self.status(b, cookie) == 200, 20)
                answer = change()
                self.assertEqual(answer.status, 200, answer)
                for node in (a, b):
                    self.ended(node, cookie)
        self.assertEqual(self.login(a, "bob", "set by another").status, 401)
        self.assertEqual(self.status(a, self.logged_in(a)), 200, "the other user is left alone")

    def test_what_ends_while_redis_is_away_from_a_node_does_not_come_back(self):
        a = self.town(2, users=USERS)
        b = self.nodes[1]
        cookie = self.logged_in(a)
        wait_until(lambda: self.status(b, cookie) == 200, 20)
        b.pause()
        self.assertEqual(self.by(a, cookie, "DELETE", "/api/v1/session").status, 200)
        b.resume()
        self.assertEqual(self.status(b, cookie), 401)
        self.store.restart()
        wait_until(lambda: self.login(a).status == 200, 30)
        for node in (a, b):
            wait_until(lambda: self.status(node, cookie) == 401, 30)

    def test_documents_that_somebody_else_wrote_are_ignored(self):
        a = self.town(users=USERS)
        cookie = self.logged_in(a, "bob")
        key = f"pb:{{@}}:doc:session:{self.digest(cookie)}"
        kept = self.store.cmd("GET", key)
        for forged in (kept.replace('"operator"', '"admin"'), kept.replace('"user":"bob"', '"user":"ann"'), kept[:-1],
                       kept + " ", "", "x", "0" * 64 + kept[64:], kept.split("\n")[1]):
            self.store.cmd("SET", key, forged)
            self.assertEqual(self.status(a, cookie), 401, forged)
        self.assertIn("ignored a document (session)", a.log_text())
        self.store.cmd("SET", key, kept)
        self.assertEqual(self.status(a, cookie), 200)
        # A session is no token, no link and no row of the audit log.
        for kind in ("token", "once"):
            self.store.cmd("SET", f"pb:{{@}}:doc:{kind}:{'ab' * 8}", kept)
        self.assertEqual(a.admin.get("/api/v1/session", token="pbt_" + "ab" * 8 + "_" + "0" * 64).status, 401)
        self.store.cmd("XADD", "pb:{@}:audit", "*", "d", kept)
        self.assertNotIn("ends_ms", str(self.rows(a)))
        must = f"pb:{{@}}:doc:user:bob"
        self.store.cmd("SET", must, self.store.cmd("GET", must).replace("{", '{"must_change":true,'))
        self.assertFalse(self.login(a, "bob").json["must_change"], "a state that is not ours does not count")


if __name__ == "__main__":
    main()
