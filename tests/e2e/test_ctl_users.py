#!/usr/bin/env python3
"""pepperbusctl and who may use a broker: users, API tokens, the audit log, links to the console."""

import json
import os
import re
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


class Real(Case):
    """With a broker: what it does of all this."""

    def setUp(self):
        super().setUp()
        self.b = self.broker("b", f"[cluster]\nname = prod\n[storage main]\naddress = {self.redis('main').address}\n")
        self.ini = self.dir / "conf" / "ctl.ini"
        self.env = {**os.environ, "PEPPERBUS_CTL_CONFIG": str(self.ini)}

    def ctl(self, *words, status=0, stdin=""):
        r = self.b.ctl(*words, stdin=stdin)
        self.assertEqual(r.status, status, f"{words}: {r}")
        return r

    def away(self, *words, status=0, stdin=""):
        """By a context, as from another machine."""
        r = self.run_program(PEPPERBUSCTL, *words, stdin=stdin, env=self.env)
        self.assertEqual(r.status, status, f"{words}: {r}")
        return r

    def ann(self, role="admin"):
        """A user who has changed the first password, and a context of hers."""
        self.ctl("user", "add", "ann", "--role", role, stdin="a-first-password\n")
        runs = lambda: self.ctl("user", "ls", "--json").json["users"]
        wait_until(lambda: [u["name"] for u in runs()] == ["ann"], 20, runs)
        return self.away("login", f"http://{self.b.admin_address}", "--context", "far",
                         stdin="ann\na-first-password\na-second-password\n")

    def test_a_user_logs_in_looks_and_logs_out(self):
        r = self.ann()
        self.assertIn("has to be changed", r.err, "a password that somebody else has set")
        self.assertIn("as ann until", r.out)
        self.assertRegex(self.away("--context", "far", "user", "ls").out, "ann +admin +all +yes +yes +shared\n")
        token = self.away("--context", "far", "token", "ls", "--json").json["tokens"][0]
        self.assertEqual((token["user"], token["role"]), ("ann", "admin"))
        secret = (self.ini.parent / "far.token").read_text().strip()
        self.away("logout", "far")
        self.assertEqual(self.ctl("token", "ls", "--json").json["tokens"], [], "it is taken back")
        self.away("-H", self.b.admin_address, "--token-file", self.write("old.token", secret), "queue", "ls", status=5)
        self.assertEqual(self.b.logged("a-first-password|a-second-password|" + secret), [], "no secret is logged")

    def test_a_user_is_changed_and_deleted(self):
        self.ann("operator")
        self.away("--context", "far", "user", "ls", status=1)
        self.ctl("user", "set", "ann", "--role", "viewer", "--contents", "yes")
        shown = lambda: self.ctl("user", "ls").out
        wait_until(lambda: re.search("ann +viewer +all +yes +no +shared", shown()), 20, shown)
        self.ctl("user", "passwd", "ann", stdin="short\n", status=2)
        self.ctl("user", "passwd", "ann", stdin="a-third-password\n")
        self.ctl("user", "rm", "ann", "--yes")
        wait_until(lambda: "there are no users" in shown(), 20, shown)
        self.ctl("user", "rm", "ann", "--yes", status=4)
        self.away("--context", "far", "queue", "ls", status=5)

    def test_a_token_for_a_user_by_the_node(self):
        self.ann()
        self.ctl("token", "add", "deploys", status=2)
        secret = self.ctl("token", "add", "deploys", "--user", "ann", "--role", "viewer").out.strip()
        row = next(t for t in self.ctl("token", "ls", "--json").json["tokens"] if t["name"] == "deploys")
        where = ("-H", self.b.admin_address, "--token-file", self.write("new.token", secret))
        self.away(*where, "queue", "ls")
        self.away(*where, "config", "reload", status=1)
        self.ctl("token", "rm", row["id"])
        self.away(*where, "queue", "ls", status=5)
        self.ctl("token", "rm", row["id"], status=4)

    def test_the_audit_log_has_it(self):
        self.ann()
        rows = lambda: self.ctl("audit", "--json").json["rows"]
        wait_until(lambda: any(r["user"] == "ann" for r in rows()), 20, rows)
        everything = self.ctl("audit", "--limit", "100", "--since", "1h")
        self.assertNotIn("-password", everything.out)
        self.assertRegex(everything.out, "ann +127.0.0.1 +b +")
        self.assertEqual({r["user"] for r in self.ctl("audit", "--user", "ann", "--json").json["rows"]}, {"ann"})
        self.assertIn("nothing was noted", self.ctl("audit", "--until", "2020-01-01").out)

    def test_a_link_opens_the_console(self):
        url = self.ctl("open").out.strip()
        self.assertRegex(url, f"^http://{self.b.admin_address}/#/[a-z]+/[0-9a-f]+$")
        self.ann()
        self.away("--context", "far", "open", status=1)  # only on the node's machine


if __name__ == "__main__":
    main()
