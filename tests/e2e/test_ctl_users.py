#!/usr/bin/env python3
"""pepperbusctl and who may use a broker: users, API tokens, the audit log, links to the console."""

import json
import os
import time

from elsewhere import Elsewhere
from harness import PEPPERBUSCTL, Case, main, wait_until

ANN = {"name": "ann", "role": "operator", "systems": ["live", "passport"], "contents": True, "entries": False}
NODE = {"name": "root", "role": "admin", "systems": [], "contents": True, "entries": True, "local": True}
PASSWORD = "5ec4e7-password"
ROW = {"user": "ann", "how": "session", "client": "10.0.0.9", "node": "n1", "what": "topic.pause",
       "object": "topic msg/reply", "result": "done", "refused": False}


class UsersCase(Case):
    def setUp(self):
        super().setUp()
        self.far = self._close(Elsewhere(self.free_port()))
        self.env = {**os.environ, "PEPPERBUS_URL": self.far.url, "PEPPERBUS_TOKEN": "5ec4e7-token"}

    def ctl(self, *args, status=0, stdin="", shown=False):
        r = self.run_program(PEPPERBUSCTL, *args, stdin=stdin, env=self.env)
        self.assertEqual(r.status, status, f"{args}: {r}")
        if not shown:
            self.assertNotIn("5ec4e7", r.out + r.err, "no secret is printed")
        return r

    def asked(self):
        """The last request: method, path, body."""
        method, path, headers, body = self.far.asked[-1]
        self.assertEqual(headers["Authorization"], "Bearer 5ec4e7-token")
        return method, path, json.loads(body or "null")


class Users(UsersCase):
    def test_users_are_listed(self):
        self.far.answers["/api/v1/users"] = (200, {}, {"users": [ANN, NODE]})
        out = self.ctl("user", "ls").out
        self.assertRegex(out, "ann +operator +live, passport +yes +no +shared\n")
        self.assertRegex(out, "root +admin +all +yes +yes +file of the node\n")
        self.assertEqual(self.ctl("user", "ls", "--json").json["users"][0], ANN)

    def test_a_user_is_made_with_a_password_from_standard_input(self):
        self.far.answers["/api/v1/users"] = (200, {}, {"number": 2})
        self.ctl("user", "add", "ann", "--role", "operator", "--systems", "live,passport", "--contents", "no",
                 stdin=f"{PASSWORD}\n")
        self.assertEqual(self.asked(), ("POST", "/api/v1/users", {
            "name": "ann", "role": "operator", "systems": ["live", "passport"], "contents": False,
            "password": PASSWORD}))
        self.ctl("user", "add", "ann", status=2)
        self.ctl("user", "add", "ann", "--contents", "maybe", status=2, stdin=PASSWORD)
        self.assertEqual(len(self.far.asked), 1, "nothing is asked without a password, or with nonsense")

    def test_a_password_that_was_made_here_is_shown_once(self):
        self.far.answers["/api/v1/users"] = (200, {}, {"number": 2})
        made = self.ctl("user", "add", "ann", "--generate").out.strip()
        self.assertRegex(made, "^[a-z0-9]{24}$")
        self.assertEqual(self.asked()[2], {"name": "ann", "role": "viewer", "password": made})

    def test_a_terminal_asks_twice_and_shows_nothing(self):
        self.far.answers["/api/v1/users/ann/password"] = (200, {}, {"number": 2})
        t = self.terminal(PEPPERBUSCTL, "user", "passwd", "ann", env=self.env)
        for question in ("password: ", "again: "):
            wait_until(lambda q=question: q in t.screen, 20, lambda: t.screen)
            t.type(f"{PASSWORD}\n")
        self.assertEqual(t.wait(20), 0, t.screen)
        self.assertNotIn("5ec4e7", t.screen)
        self.assertEqual(self.asked(), ("POST", "/api/v1/users/ann/password", {"password": PASSWORD}))

    def test_a_user_is_changed_and_deleted(self):
        self.far.answers["/api/v1/users/ann"] = (200, {}, {"number": 3})
        self.ctl("user", "set", "ann", "--entries", "yes", "--systems", "")
        self.assertEqual(self.asked(), ("PUT", "/api/v1/users/ann", {"entries": True, "systems": []}))
        self.ctl("user", "set", "ann", status=2)
        self.ctl("user", "rm", "ann", status=2)  # no terminal to ask on
        self.assertEqual(self.asked()[0], "PUT")
        self.ctl("user", "rm", "ann", "--yes")
        self.assertEqual(self.asked(), ("DELETE", "/api/v1/users/ann", None))

    def test_what_the_broker_refuses_is_told(self):
        self.far.answers["/api/v1/users/ann"] = (403, {}, {"error": "users are for admins of all systems", "status": 403})
        self.assertIn("for admins", self.ctl("user", "rm", "ann", "--yes", status=1).err)
        self.assertEqual(self.ctl("user", "rm", "ann", "--yes", "--json", status=1).json["status"], 403)


class Tokens(UsersCase):
    def test_a_token_is_printed_alone_and_once(self):
        self.far.answers["/api/v1/tokens"] = (200, {}, {"token": "pbt_1_5ec4e7", "id": "1", "expires_ms": 2000000000000})
        before = time.time() * 1000
        r = self.ctl("token", "add", "deploys", "--role", "operator", "--systems", "live", "--expires", "12h", shown=True)
        self.assertEqual(r.out, "pbt_1_5ec4e7\n", "a script can take it")
        method, path, body = self.asked()
        self.assertAlmostEqual(body.pop("expires_ms") - before, 12 * 3600e3, delta=600e3)
        self.assertEqual((method, path, body), ("POST", "/api/v1/tokens",
                                                {"name": "deploys", "role": "operator", "systems": ["live"]}))
        self.ctl("token", "add", "x", "--expires", "never", shown=True)
        self.assertNotIn("expires_ms", self.asked()[2])
        self.ctl("token", "add", "x", "--expires", "soon", status=2)

    def test_tokens_are_listed_and_taken_back(self):
        token = {"id": "00ff", "user": "ann", "name": "deploys", "role": "operator", "systems": ["live"],
                 "created_ms": 1, "expires_ms": None, "last_ms": None}
        self.far.answers["/api/v1/tokens"] = (200, {}, {"tokens": [token]})
        self.assertRegex(self.ctl("token", "ls").out, "00ff +ann +operator +never +- +live +deploys\n")
        self.far.answers["/api/v1/tokens/00ff"] = (200, {}, {})
        self.ctl("token", "rm", "00ff")
        self.assertEqual(self.asked(), ("DELETE", "/api/v1/tokens/00ff", None))
        self.ctl("token", "rm", "11", status=4)


class Audit(UsersCase):
    def rows(self, *ids):
        self.far.answers["/api/v1/audit"] = (200, {}, {"rows": [
            {**ROW, "id": str(i), "at_ms": 1700000000000 + i, "what": f"act{i}"} for i in ids]})

    def test_rows_are_shown_newest_first(self):
        self.rows(2, 1)
        out = self.ctl("audit", "--user", "ann", "--limit", "7", "--since", "2h").out
        self.assertRegex(out, "ann +10.0.0.9 +n1 +act2 +topic msg/reply +done\n.*act1")
        _, path, _ = self.asked()
        self.assertRegex(path, r"^/api/v1/audit\?limit=7&user=ann&since=[0-9]{13}$")
        self.assertAlmostEqual(int(path.rpartition("=")[2]) / 1000, time.time() - 7200, delta=600)
        self.ctl("audit", "--since", "2026-11-30 18:00")
        self.assertRegex(self.asked()[1], "since=17[0-9]{11}$|since=18[0-9]{11}$")
        self.ctl("audit", "--since", "yesterday", status=2)

    def test_follow_prints_what_comes(self):
        self.rows(2, 1)
        p = self.spawn(PEPPERBUSCTL, "audit", "--follow", name="audit", env=self.env)
        wait_until(lambda: "act2" in p.log.read_text(), 20)
        self.rows(3, 2)
        wait_until(lambda: "act3" in p.log.read_text(), 20)
        p.stop()
        self.assertEqual([line.split(" ")[3] for line in p.log.read_text().splitlines()], ["act1", "act2", "act3"],
                         "each once, the oldest first")


class Open(UsersCase):
    def test_open_prints_a_link(self):
        self.far.answers["/api/v1/links"] = (200, {}, {"url": "http://h/#/in/abc", "expires_ms": 2000000000000})
        self.assertEqual(self.ctl("open").out, "http://h/#/in/abc\n")
        self.assertEqual(self.asked()[:2], ("POST", "/api/v1/links"))


if __name__ == "__main__":
    main()
