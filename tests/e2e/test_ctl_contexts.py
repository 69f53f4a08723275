#!/usr/bin/env python3
"""pepperbusctl and brokers elsewhere: contexts, where tokens go, and where they do not."""

import json
import os
import stat

from elsewhere import Elsewhere
from harness import PEPPERBUSCTL, Case, WebCase, main, wait_until

TOKEN = "pbt_0123456789abcdef_" + "5ec4e7" * 10


class Contexts(Case):
    def setUp(self):
        super().setUp()
        self.ini = self.dir / "conf" / "ctl.ini"
        self.far = self.elsewhere()

    def elsewhere(self, **kw):
        there = self._close(Elsewhere(self.free_port(), **kw))
        there.answers["/api/v1/queues"] = (200, {}, {"queues": []})
        return there

    def ctl(self, *args, status=0, stdin="", **env):
        r = self.run_program(PEPPERBUSCTL, *args, stdin=stdin,
                             env={**os.environ, "HOME": str(self.dir), "PEPPERBUS_CTL_CONFIG": str(self.ini), **env})
        self.assertEqual(r.status, status, f"{args}: {r}")
        self.assertNotIn("5ec4e7", r.out + r.err, "no secret is printed")
        return r

    def contexts(self, text, mode=0o600):
        self.ini.parent.mkdir(exist_ok=True)
        self.ini.write_text(text)
        self.ini.chmod(mode)

    def token(self, name="far.token", mode=0o600, text=TOKEN):
        self.ini.parent.mkdir(exist_ok=True)
        path = self.ini.parent / name
        path.write_text(text + "\n")
        path.chmod(mode)
        return path


class Named(Contexts):
    def test_a_context_names_the_broker_and_its_token(self):
        self.contexts(f"; mine\n[context far]\nurl = {self.far.url}/base/\ntoken_file = far.token\n")
        self.token()
        self.far.answers["/base/api/v1/queues"] = (200, {}, {"queues": []})
        self.ctl("--context", "far", "queue", "ls")
        self.ctl("queue", "ls", PEPPERBUS_CONTEXT="far")
        self.assertEqual([path for _, path, _, _ in self.far.asked], ["/base/api/v1/queues"] * 2)
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"] * 2, "the token is the one of its file")
        r = self.ctl("-C", "fra", "queue", "ls", status=2)
        self.assertIn("did you mean far?", r.err, "a name that is none, with a guess")

    def test_the_file_is_in_the_home_directory(self):
        self.ini = self.dir / ".config" / "pepperbus" / "ctl.ini"
        self.ini.parent.mkdir(parents=True)
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = {self.token()}\n")
        self.ctl("--context", "far", "queue", "ls", PEPPERBUS_CTL_CONFIG="", XDG_CONFIG_HOME="")
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"])

    def test_files_that_others_can_read_are_not_used(self):
        text = f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n"
        self.contexts(text, 0o640)
        self.token()
        self.assertIn("chmod 600", self.ctl("--context", "far", "queue", "ls", status=2).err, "the contexts")
        self.contexts(text)
        self.token(mode=0o644)
        self.assertIn("chmod 600", self.ctl("--context", "far", "queue", "ls", status=5).err, "the token")
        self.assertEqual(self.far.asked, [], "nothing was sent")

    def test_faults_of_the_file_are_told_with_their_line(self):
        self.token()
        for text, line, what in (("[context far]\nurl = x\ntoken = y\n", 3, "token"),
                                 ("[contexts]\n", 1, "contexts"),
                                 ("[context far]\ntoken_file = far.token\n", 1, "no url"),
                                 ("[context far]\nurl = http://a\n", 1, "no token_file"),
                                 ("[context far]\nurl\n", 2, "ctl.ini")):
            self.contexts(text)
            self.assertRegex(self.ctl("--context", "far", "queue", "ls", status=2).err, f"ctl.ini:{line}: .*{what}|"
                             f"{what}.*:{line}: ", text)

    def test_what_is_said_first_counts(self):
        """Options, --context, the environment, the local broker."""
        near, home = self.elsewhere(), self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        mine = self.token("mine", text="mine")
        both = {"PEPPERBUS_URL": home.url, "PEPPERBUS_TOKEN": "home"}
        self.ctl("-H", near.url, "--token-file", mine, "--context", "far", "queue", "ls", **both)
        self.assertEqual((near.tokens, self.far.tokens, home.tokens), (["Bearer mine"], [], []), "options")
        self.ctl("--context", "far", "queue", "ls", **both)
        self.assertEqual(self.far.tokens, [f"Bearer {TOKEN}"], "--context, with its own token")
        self.ctl("queue", "ls", **both)
        self.assertEqual(home.tokens, ["Bearer home"], "the environment")
        self.assertEqual((len(near.asked), len(self.far.asked)), (1, 1), "and nobody else is asked")


class TokenStays(Contexts):
    def test_a_token_goes_to_its_own_url_only(self):
        near = self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        self.ctl("-H", near.url, "--context", "far", "queue", "ls", status=5)
        self.ctl("-H", near.url, "queue", "ls", status=5, PEPPERBUS_URL=self.far.url, PEPPERBUS_TOKEN=TOKEN)
        self.assertEqual(near.asked, [], "the token of another URL is not sent")

    def test_no_redirect_is_followed(self):
        near = self.elsewhere()
        self.contexts(f"[context far]\nurl = {self.far.url}\ntoken_file = far.token\n")
        self.token()
        for status in (301, 302, 307, 308):
            self.far.answers["/api/v1/queues"] = (status, {"Location": f"{near.url}/api/v1/queues"}, {})
            self.assertIn("sends elsewhere", self.ctl("--context", "far", "queue", "ls", status=1).err, status)
        self.assertEqual(near.asked, [], "nobody else is asked")

    def test_what_is_no_url_of_a_broker_is_refused(self):
        for url in ("ftp://a", "http://u:5ec4e7@a", "http://", "http://a?x", "https://a#b", "https://a b"):
            self.ctl("-H", url, "queue", "ls", status=2, PEPPERBUS_TOKEN="x")


class Encrypted(WebCase, Contexts):
    def test_https_trusts_the_authority_of_the_context(self):
        self.authority("ca")
        self.certificate("server", "ca")
        there = self.elsewhere(certificate=(self.dir / "server.pem", self.dir / "server.key"))
        text = f"[context far]\nurl = {there.url}\ntoken_file = far.token\n"
        self.contexts(text)
        self.token()
        r = self.ctl("--context", "far", "queue", "ls", status=3)
        self.assertIn("ca_file", r.err, "an authority that nobody knows, and what to do")
        self.assertEqual(there.asked, [], "nothing was sent")
        self.contexts(f"{text}ca_file = {self.dir}/ca.pem\n")
        self.ctl("--context", "far", "queue", "ls")
        self.ctl("-H", there.url, "--ca-file", self.dir / "ca.pem", "queue", "ls", PEPPERBUS_TOKEN=TOKEN)
        self.assertEqual(there.tokens, [f"Bearer {TOKEN}"] * 2)


class Login(Contexts):
    PASSWORD = "5ec4e7-password"

    def setUp(self):
        super().setUp()
        self.password = self.PASSWORD
        me = {"user": "ann", "role": "operator", "systems": ["live"], "must_change": False}
        self.far.answers.update({
            "POST /api/v1/session": (200, {"Set-Cookie": "pepperbus_prod=5ec4e7cookie; HttpOnly; Path=/"}, me),
            "POST /api/v1/tokens": (200, {}, {"token": TOKEN, "id": "0123456789abcdef", "expires_ms": 2000000000000}),
            "DELETE /api/v1/session": (200, {}, {}),
            "DELETE /api/v1/tokens/0123456789abcdef": (200, {}, {})})

    def sent(self, method, path):
        """The body of the one request of that kind, and its headers."""
        found = [(json.loads(body or "null"), headers) for m, p, headers, body in self.far.asked if (m, p) == (method, path)]
        self.assertEqual(len(found), 1, f"{method} {path}: {self.far.asked}")
        return found[0]

    def mode(self, path):
        return stat.S_IMODE(path.stat().st_mode)

    def test_a_login_without_encryption_is_warned_of_but_on_this_machine(self):
        for host, here in (("127.0.0.1:1", True), ("127.1.2.3", True), ("[::1]:1", True), ("localhost:1/bus", True),
                           ("127.0.0.1.example.org", False), ("localhost.example.org", False), ("bus.example.org", False)):
            r = self.ctl("login", f"http://{host}", "--context", "far", status=2)  # nobody says a name: nothing is sent
            self.assertEqual("is not encrypted" not in r.err, here, f"{host}: {r}")

    def test_login_keeps_a_token_and_logout_takes_it_back(self):
        self.contexts("; mine\n[context other]\nurl = http://a\ntoken_file = x\n")
        r = self.ctl("login", self.far.url, "--context", "far", stdin=f"ann\n{self.PASSWORD}\n")
        self.assertRegex(r.out, "context far: .* as ann until ")
        body, headers = self.sent("POST", "/api/v1/session")
        self.assertEqual((body, headers["Origin"]), ({"user": "ann", "password": self.PASSWORD}, self.far.url))
        body, headers = self.sent("POST", "/api/v1/tokens")
        self.assertEqual((body["role"], body["systems"]), ("operator", ["live"]), "it has no more rights than the user")
        self.assertGreater(body["expires_ms"], 1700000000000, "it ends")
        self.assertEqual(headers["Cookie"], "pepperbus_prod=5ec4e7cookie")
        self.assertIsNone(headers["Authorization"])
        self.assertEqual(self.sent("DELETE", "/api/v1/session")[1]["Cookie"], "pepperbus_prod=5ec4e7cookie",
                         "the session has ended")
        token = self.ini.parent / "far.token"
        self.assertEqual((token.read_text().strip(), self.mode(token), self.mode(self.ini)), (TOKEN, 0o600, 0o600))
        self.assertIn("; mine\n[context other]", self.ini.read_text(), "what a person wrote stays")
        self.assertNotIn("5ec4e7", self.ini.read_text())
        self.ctl("--context", "far", "queue", "ls")
        self.assertEqual(self.far.tokens[-1], f"Bearer {TOKEN}")
        self.ctl("logout", "far")
        self.assertEqual(self.sent("DELETE", "/api/v1/tokens/0123456789abcdef")[1]["Authorization"], f"Bearer {TOKEN}")
        self.assertFalse(token.exists())
        self.assertEqual(self.ini.read_text(), "; mine\n[context other]\nurl = http://a\ntoken_file = x\n")

    def test_a_login_again_replaces_the_token(self):
        for n in (1, 2):
            self.far.answers["POST /api/v1/tokens"] = (200, {}, {"token": f"{TOKEN}{n}", "id": "1", "expires_ms": None})
            self.ctl("login", self.far.url, "--context", "far", "--user", "ann", stdin=self.PASSWORD)
        self.assertEqual((self.ini.parent / "far.token").read_text(), f"{TOKEN}2\n")
        self.assertEqual(self.ini.read_text().count("[context far]"), 1)

    def test_a_login_that_is_refused_keeps_nothing(self):
        self.far.answers["POST /api/v1/session"] = (401, {}, {"error": "user or password is wrong", "status": 401})
        r = self.ctl("login", self.far.url, "--context", "far", status=5, stdin="ann\nwrong\n")
        self.assertIn("user or password is wrong", r.err)
        self.assertFalse(self.ini.exists())
        self.ctl("login", self.far.url, "--context", "far", status=2, stdin="ann\n")
        self.assertEqual(len(self.far.asked), 1, "without a password nothing is asked")

    def test_a_terminal_does_not_show_the_password(self):
        t = self.terminal(PEPPERBUSCTL, "login", self.far.url, "--context", "far",
                          env={"PEPPERBUS_CTL_CONFIG": str(self.ini)})
        wait_until(lambda: "user: " in t.screen, 20, lambda: t.screen)
        t.type("ann\n")
        wait_until(lambda: "password: " in t.screen, 20, lambda: t.screen)
        t.type(f"{self.PASSWORD}\n")
        self.assertEqual(t.wait(20), 0, t.screen)
        self.assertNotIn("5ec4e7", t.screen)
        self.assertEqual(self.sent("POST", "/api/v1/session")[0]["password"], self.PASSWORD)

    def test_a_password_for_once_is_changed_first(self):
        me = {"user": "ann", "role": "admin", "systems": [], "must_change": True}
        self.far.answers["POST /api/v1/session"] = (200, {"Set-Cookie": "c=5ec4e71"}, me)
        self.far.answers["POST /api/v1/session/password"] = (200, {"Set-Cookie": "c=5ec4e72"}, {**me, "must_change": False})
        self.ctl("login", self.far.url, "--context", "far", stdin=f"ann\n{self.PASSWORD}\n5ec4e7-new\n")
        body, headers = self.sent("POST", "/api/v1/session/password")
        self.assertEqual((body, headers["Cookie"]), ({"old": self.PASSWORD, "new": "5ec4e7-new"}, "c=5ec4e71"))
        self.assertEqual(self.sent("POST", "/api/v1/tokens")[1]["Cookie"], "c=5ec4e72", "the new session")

    def test_logout_without_the_broker_says_that_the_token_lives_on(self):
        self.ctl("login", self.far.url, "--context", "far", stdin=f"ann\n{self.PASSWORD}\n")
        self.far.answers["DELETE /api/v1/tokens/0123456789abcdef"] = (503, {}, {"error": "the storage is away", "status": 503})
        self.assertIn("token rm", self.ctl("logout", "far", status=1).err)
        self.assertFalse((self.ini.parent / "far.token").exists())


if __name__ == "__main__":
    main()
