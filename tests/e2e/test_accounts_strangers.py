#!/usr/bin/env python3
"""Strangers at the login and at the admin port: foreign pages, odd requests, guessers; secrets that leak."""

import json
import threading

from harness import main, wait_until
from people import PASSWORD, PeopleCase

QUEUE = """
[queue q]
password = a-long-queue-password
[topic q/t]
run_type = pull
"""
USERS = {"ann": ("admin", ""), "bob": ("viewer", "")}


class Strangers(PeopleCase):
    def raw(self, b, data):
        """The answer to these bytes: (status, head, body)."""
        with b.admin.socket() as s:
            s.sendall(data if isinstance(data, bytes) else data.encode())
            s.settimeout(60)
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        head, _, body = got.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head.decode(), body.decode("utf-8", "replace")

    def test_a_foreign_page_changes_nothing_by_a_cookie(self):
        b = self.town(users=USERS, more=QUEUE)
        cookie = self.logged_in(b)
        here = f"http://{b.admin_address}"
        wrong = ({}, {"Origin": "null"}, {"Origin": "http://evil.example"}, {"Origin": here.replace("http:", "https:")},
                 {"Origin": here + ".evil.example"}, {"Origin": here + "@evil.example"}, {"Origin": "http://127.0.0.1"},
                 {"Origin": here + "/"}, {"Origin": ""}, {"Origin": here, "Sec-Fetch-Site": "same-site"},
                 {"Origin": here, "Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "cross-site"},
                 {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"})
        for method, path in (("POST", "/api/v1/topics/q/t/pause"), ("DELETE", "/api/v1/users/bob"),
                             ("PUT", "/api/v1/users/bob"), ("DELETE", "/api/v1/session"), ("POST", "/api/v1/reload")):
            for headers in wrong:
                body = {} if method != "DELETE" else None
                answer = b.admin.request(method, path, body, token=None, headers={"Cookie": cookie, **headers})
                self.assertEqual(answer.status, 403, (method, path, headers))
                for name in answer.headers:
                    self.assertFalse(name.lower().startswith("access-control-"), "no CORS, ever")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jso"):
            answer = self.by(b, cookie, "POST", "/api/v1/topics/q/t/pause", "{}", {"Content-Type": kind})
            self.assertEqual(answer.status, 415, kind)
        self.assertEqual(b.topic("q/t")["pause"], None)
        self.assertEqual(self.status(b, cookie), 200)
        self.assertEqual(self.by(b, cookie, "POST", "/api/v1/topics/q/t/pause", {}).status, 200)

    def test_a_cookie_does_not_count_beside_a_token(self):
        b = self.town(users=USERS, more=QUEUE)
        cookie, small = self.logged_in(b), self.token_of(b, "bob", role="viewer")["token"]
        for value in ("Bearer " + "0" * 64, "Bearer", "Bearer ", "Basic YTpi", "pbt_x", "Bearer pbt_" + "0" * 81):
            answer = self.by(b, cookie, "GET", "/api/v1/session", headers={"Authorization": value})
            self.assertEqual(answer.status, 401, value)
        both = self.by(b, cookie, "GET", "/api/v1/session", headers={"Authorization": f"Bearer {small}"})
        self.assertEqual((both.json["user"], both.json["how"]), ("bob", "token"))
        self.assertEqual(self.by(b, cookie, "POST", "/api/v1/reload", {}, {"Authorization": f"Bearer {small}"}).status, 403)
        name, value = cookie.split("=")
        for odd in (f"{name}={value[:-1]}", f"{name}={value}0", f"{name}={'0' * 64}", f"{name}=", f"x{name}={value}",
                    f"{name}={value.upper()}Z", f"{name}=../{value}"):
            self.assertEqual(self.status(b, odd), 401, odd)

    def test_names_of_others_and_odd_requests(self):
        b = self.town(users=USERS, more=QUEUE)
        cookie = self.logged_in(b)
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:80", "127.0.0.1@evil.example",
                     "[::1].evil.example", "xn--localhost"):
            answer = self.by(b, cookie, "GET", "/api/v1/session", headers={"Host": host})
            self.assertEqual(answer.status, 403, host)
            login = self.login(b, headers={"Host": host, "Origin": f"http://{host}"})
            self.assertEqual(login.status, 403, host)
        for path in ("/../../etc/passwd", "/..%2f..%2fetc/passwd", "/assets/../index.html", "/assets/%2e%2e/%2e%2e/etc/passwd",
                     "//evil.example/", "/\\evil.example", "/api/v1/../../etc/passwd", "/api/v1/topics/..%2f/..",
                     "/x%0d%0aSet-Cookie:%20a=b", "/api/v1/topics/q%0d%0aX:%20y/t", "/%00", "/api/v1/acts/%0a"):
            status, head, body = self.raw(b, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {b.token()}\r\n"
                                             "Connection: close\r\n\r\n")
            self.assertIn(status, (400, 404), path)
            self.assertNotIn("root:", body)
            for line in ("set-cookie", "\nx:", "location"):
                self.assertNotIn(line, head.lower(), path)

    def test_a_login_that_is_none(self):
        b = self.town(users=USERS)
        for body in ("", "[]", "null", "{", "{}", '{"user":"ann"}', '{"user":1,"password":2}', '{"user":"ann","user":"bob","password":"x"}',
                     '{"user":"ann\\u0000","password":"x"}', b'{"user":"\xff","password":"x"}', "[" * 3000):
            answer = self.by(b, None, "POST", "/api/v1/session", body)
            self.assertEqual(answer.status, 400, body)
        large = self.by(b, None, "POST", "/api/v1/session", {"user": "ann", "password": "x" * 5000})
        self.assertEqual(large.status, 413)
        for user in ("", "x" * 3000, "ann\r\nX: y", "ann\n2026-01-01 INFO forged", "../ann", "ann ", "%s%n", "\u202eann", "ANN"):
            answer = self.login(b, user)
            self.assertEqual(answer.status, 401, user)
            self.assertEqual(answer.json["error"], "the user name or the password is wrong")
            wait_until(lambda: self.login(b, "bob").status == 200, 60)
        self.assertNotIn("\n2026-01-01 INFO forged", b.log_text())
        self.row(b, what="login", refused=True)
        for row in self.rows(b):
            self.assertIn(row["user"], (None, "ann", "bob", "n1"), "names that are nobody's may be passwords: not kept")

    def test_texts_of_people_forge_no_line_and_no_field(self):
        b = self.town(users=USERS, more=QUEUE)
        evil = "x\r\nSet-Cookie: a=b\n2026-01-01T00:00:00.000 forged line\x1b[2J"
        answer = b.admin.post("/api/v1/topics/q/t/pause", {"reason": evil})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.row(b, what="topics.pause")["after"]["reason"], evil, "kept as it is, as JSON")
        for name in ("a\nb", "a]b", "a b", "", "../x", "a/b", "x" * 200, "a\rb", "ann\u0000"):
            made = b.admin.post("/api/v1/users", {"name": name, "role": "viewer", "password": PASSWORD})
            self.assertEqual(made.status, 400, (name, made))
            self.assertNotIn(PASSWORD, made.text)
        for values in ({"password": "line\n[user eve]\nrole = admin"}, {"role": "viewer\npassword = x"}, {"systems": ["a\nb"]}):
            made = b.admin.request("PUT", "/api/v1/users/bob", values)
            self.assertEqual(made.status, 400, (values, made))
        self.assertEqual({u["name"] for u in b.admin.get("/api/v1/users").json["users"]}, set(USERS))
        self.assertNotIn("\x1b", b.log_text())
        for line in b.log_text().splitlines():
            self.assertFalse(line.startswith(("2026-01-01T00:00:00.000 forged", "Set-Cookie")), line)

    def test_a_guesser_delays_nobody_else(self):
        b = self.town(users=USERS, server="trusted_proxies = 127.0.0.1")
        at = lambda address: {"X-Forwarded-For": address}
        for wait in range(2):
            wait_until(lambda: self.login(b, "ann", "wrong", at("198.51.100.1")).status == 401, 60)
        self.assertEqual(self.login(b, "ann", PASSWORD, at("198.51.100.1")).status, 429, "2 s now")
        self.assertEqual(self.login(b, "ann", PASSWORD, at("198.51.100.2")).status, 200, "from elsewhere")
        self.assertEqual(self.login(b, "bob", PASSWORD, at("198.51.100.1")).status, 200, "another user")
        # The client writes what it likes: what the proxy adds counts.
        self.assertEqual(self.login(b, "ann", PASSWORD, at("203.0.113.9, 198.51.100.1")).status, 429)
        clients = {r["client"] for r in self.rows(b) if r["what"] == "login"}
        self.assertEqual(clients, {"198.51.100.1", "198.51.100.2"})

    def test_more_logins_than_can_wait_are_told_to_come_again(self):
        b = self.town(users=USERS, server="trusted_proxies = 127.0.0.1")
        said, lock = [], threading.Lock()

        def come(i):
            answer = self.login(b, f"nobody{i}", "wrong", {"X-Forwarded-For": f"198.51.100.{i}"})
            with lock:
                said.append(answer.status)
        for _ in range(5):
            crowd = [threading.Thread(target=come, args=(i,)) for i in range(1, 121)]
            for t in crowd:
                t.start()
            for t in crowd:
                t.join()
            if 503 in said:
                break
        self.assertEqual(set(said) - {401, 429}, {503})
        wait_until(lambda: self.login(b).status == 200, 30, "later there is room")
        self.assertEqual(b.admin.get("/healthz").status, 200)

    def test_no_secret_is_told_anywhere(self):
        b = self.town(users=USERS, more=QUEUE)
        answers, secrets = [], {"a-long-queue-password", PASSWORD}
        tell = lambda answer: answers.append(answer.text) or answer
        cookie = self.logged_in(b)
        link = b.admin.post("/api/v1/links", {}).json["url"].rpartition("/")[2]
        came = tell(self.by(b, None, "POST", "/api/v1/session/link", {"key": link}))
        token = self.token_of(b, "bob")["token"]
        secrets |= {cookie.split("=")[1], self.cookie(came).split("=")[1], link, token.split("_")[2], b.token()}
        put = lambda path, values: tell(b.admin.request("PUT", f"/api/v1/config/sections/{path}", {"values": values}))
        for path, key in (("queue/w", "password"), ("storage/s2", "password"), ("user/eve", "password"), ("topic/q%2Fu", "signing_key"),
                          ("topic/q%2Fu", "nosuch_secret"), ("storage/s2", "passwort")):
            for bad in ("", "\n", "\t]"):
                secret = f"clear{len(secrets)}secret{bad}"
                secrets.add(secret.strip())
                put(path, {key: secret, "nonsense": "1"} if bad else {key: secret})
        for n, text in enumerate(("[queue w2]\npassword = {}\nnonsense = 1\n", "[storage s3]\naddress = 127.0.0.1:1\npassword = {}\n",
                                  "[user eve]\nrole = none\npassword = {}\n", "[queue w3]\npassword {}\n", "{}\n", "[queue {}\n",
                                  "[queue w4]\npasword = {}\n")):
            secret = f"typed{n}secret"
            secrets.add(secret)
            text = b.admin.get("/api/v1/config/shared").json["text"] + text.format(secret)
            for act in ("check", "apply"):
                tell(b.admin.post(f"/api/v1/config/{act}", {"text": text, "base": 1}))
        for password in ("first-given-password", "a-login-password"):
            secrets.add(password)
            tell(self.login(b, password, "x"))
            tell(self.login(b, "bob", password))
            tell(b.admin.post("/api/v1/users/bob/password", {"password": password}))
            tell(b.admin.post("/api/v1/users", {"name": "bob", "password": password}))
            tell(b.admin.post("/api/v1/users", {"name": "b b", "role": "viewer", "password": password}))
        tell(b.admin.get("/api/v1/session", token=token[:-1]))
        tell(self.by(b, cookie + "0", "GET", "/api/v1/session"))
        for path in ("config", "config/shared", "config/revisions", "config/revisions/1", "config/export", "config/export?format=jsonl",
                     "users", "tokens", "audit?limit=1000", "status", "cluster", "acts", "queues", "topics", "plugins"):
            tell(b.admin.get(f"/api/v1/{path}"))
        tell(b.admin.get("/metrics"))
        places = {"an answer": "\n".join(answers), "the log": b.log_text(), "Redis": self.everything_in_redis(),
                  "the copy": self.copy_path(b).read_text() if self.copy_path(b).exists() else ""}
        for place in ("an answer", "Redis"):
            self.assertIn("[queue w]", places[place], "it is the right text that is looked at")
        for secret in secrets:
            for place, text in places.items():
                at = text.find(secret)
                self.assertEqual(at, -1, f"{secret} is in {place}: {text[max(0, at - 200):at + 100]}")


if __name__ == "__main__":
    main()
