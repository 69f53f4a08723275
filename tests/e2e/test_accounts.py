#!/usr/bin/env python3
"""Logging in and out, on several nodes, over restarts, and with the storage away."""
import hashlib
import http.client
import json
import os
import shutil

from cluster import LOCAL
from harness import Case, main, wait_until

PASSWORD = "a long enough password"

ANN = """
[user ann]
role = {role}
password = {hash}
"""


class Accounts(Case):
    def one_redis(self):
        self.redis_main = self.redis("main")
        return LOCAL.format(address=self.redis_main.address)

    def hash_of(self, node, password=PASSWORD):
        r = node.ctl("passwd", "--user", stdin=password)
        return r.out.strip()

    def origin(self, node, **more):
        return {"Origin": f"http://{node.admin_address}", **more}

    def ask(self, node, method, path, body=None, cookie=None, **headers):
        fields = {**headers}
        if cookie:
            fields["Cookie"] = cookie
        return node.admin.request(method, path, body, token=None, headers=fields)

    def login(self, node, user="ann", password=PASSWORD, **more):
        body = {"user": user, "password": password}
        return self.ask(node, "POST", "/api/v1/session", body, **self.origin(node), **more)

    def cookie_of(self, answer):
        return answer.headers["Set-Cookie"].split(";")[0]

    def apply(self, node, text):
        """The status of applying `text` as the first shared configuration."""
        c = http.client.HTTPConnection(node.admin_address, timeout=60)
        c.request("POST", "/api/v1/config/apply", json.dumps({"text": text, "base": 0}),
                  {"Authorization": f"Bearer {node.token()}", "Content-Type": "application/json"})
        status = c.getresponse().status
        c.close()
        return status

    def session(self, node, cookie):
        return self.ask(node, "GET", "/api/v1/session", cookie=cookie).status

    def ready(self, node):
        """A node keeps sessions once its storage is there and it has the key."""
        wait_until(lambda: os.path.exists(os.path.join(node.state_dir, "cluster.key")), 30)

    def test_a_session_from_login_to_logout(self):
        a = self.broker("a", self.one_redis() + ANN.format(role="viewer", hash=PASSWORD))
        self.ready(a)
        answer = self.login(a)
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual((answer.json["user"], answer.json["role"]), ("ann", "viewer"))
        attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertTrue(attributes[0].startswith("pepperbus_prod="))
        self.assertEqual(attributes[1:], ["Path=/", "HttpOnly", "SameSite=Strict"])
        cookie = self.cookie_of(answer)
        self.assertEqual(self.session(a, cookie), 200)
        self.assertEqual(self.ask(a, "GET", "/api/v1/topics", cookie=cookie).status, 200)
        reload = self.ask(a, "POST", "/api/v1/reload", cookie=cookie, **self.origin(a))
        self.assertEqual(reload.status, 403, "a viewer changes nothing")
        foreign = self.ask(a, "DELETE", "/api/v1/session", cookie=cookie, Origin="http://evil.example")
        self.assertEqual(foreign.status, 403, "a page of somebody else's ends no session")
        self.assertEqual(self.session(a, cookie), 200)
        secret = cookie.split("=")[1]
        self.assertNotIn(secret, self.redis_main.cmd("KEYS", "*"))
        dump = " ".join(str(self.redis_main.cmd("DUMP", key)) for key in self.redis_main.cmd("KEYS", "*"))
        self.assertNotIn(secret, dump)
        self.assertNotIn(secret, a.log_text())
        self.assertNotIn(PASSWORD, a.log_text())
        out = self.ask(a, "DELETE", "/api/v1/session", cookie=cookie, **self.origin(a))
        self.assertEqual(out.status, 200, out.text)
        self.assertIn("Max-Age=0", out.headers["Set-Cookie"])
        self.assertEqual(self.session(a, cookie), 401)

        def rows():
            return str(self.redis_main.cmd("XRANGE", "pb:{@}:audit", "-", "+"))
        wait_until(lambda: '"what":"login"' in rows() and '"what":"logout"' in rows(), 20, rows)
        self.assertIn('"client":"127.0.0.1"', rows())
        for word in (secret, PASSWORD):
            self.assertNotIn(word, rows())

    def test_who_comes_from_elsewhere_is_not_asked_for_a_password(self):
        a = self.broker("a", self.one_redis() + ANN.format(role="admin", hash=PASSWORD))
        self.ready(a)
        body = {"user": "ann", "password": PASSWORD}
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"},
                        {**self.origin(a), "Sec-Fetch-Site": "cross-site"}):
            answer = self.ask(a, "POST", "/api/v1/session", body, **headers)
            self.assertEqual(answer.status, 403, headers)
        text = self.ask(a, "POST", "/api/v1/session", json.dumps(body), **self.origin(a), **{"Content-Type": "text/plain"})
        self.assertEqual(text.status, 415)
        same = self.ask(a, "POST", "/api/v1/session", body, **{"Sec-Fetch-Site": "same-origin"})
        self.assertEqual(same.status, 200)

    def test_wrong_passwords_have_one_answer_and_wait(self):
        a = self.broker("a", self.one_redis() + ANN.format(role="admin", hash=PASSWORD))
        self.ready(a)
        wrong, nobody = self.login(a, password="wrong"), self.login(a, user="nobody")
        self.assertEqual((wrong.status, nobody.status), (401, 401))
        self.assertEqual(wrong.json["error"], nobody.json["error"])
        again = self.login(a)
        if again.status != 200:  # less than a second later
            self.assertEqual(again.status, 429)
            self.assertEqual(again.headers["Retry-After"], "1")
            wait_until(lambda: self.login(a).status == 200, 10)

    def test_a_session_holds_on_every_node_and_over_restarts(self):
        text = self.one_redis()
        a = self.broker("a", text)
        self.ready(a)
        user = ANN.format(role="operator", hash=self.hash_of(a))
        b = self.broker("b", text + user, wait=False)
        os.makedirs(b.state_dir, exist_ok=True)
        b.stop()
        shutil.copy(os.path.join(a.state_dir, "cluster.key"), b.state_dir)
        b.start()
        a.reload(text + user)
        cookie = self.cookie_of(self.login(a))
        wait_until(lambda: self.session(b, cookie) == 200, 20)
        a.stop()
        a.start()
        wait_until(lambda: self.session(a, cookie) == 200, 20)
        self.ask(b, "DELETE", "/api/v1/session", cookie=cookie, **self.origin(b))
        self.assertEqual(self.session(a, cookie), 401, "a logout on one node holds on the other")

    def test_a_changed_role_or_password_ends_a_session(self):
        text = self.one_redis()
        a = self.broker("a", text + ANN.format(role="admin", hash=PASSWORD))
        self.ready(a)
        cookie = self.cookie_of(self.login(a))
        a.reload(text + ANN.format(role="viewer", hash=PASSWORD))
        self.assertEqual(self.session(a, cookie), 401)
        cookie = self.cookie_of(self.login(a))
        a.reload(text + ANN.format(role="viewer", hash="another long password"))
        self.assertEqual(self.session(a, cookie), 401)

    def test_with_redis_away_a_session_reads_and_the_token_works(self):
        a = self.broker("a", self.one_redis() + ANN.format(role="admin", hash=PASSWORD))
        self.ready(a)
        cookie = self.cookie_of(self.login(a))
        self.assertEqual(self.session(a, cookie), 200)
        self.redis_main.stop()
        wait_until(lambda: self.ask(a, "GET", "/api/v1/session", cookie=cookie).json.get("read_only"), 30)
        reload = self.ask(a, "POST", "/api/v1/reload", cookie=cookie, **self.origin(a))
        self.assertEqual(reload.status, 503)
        self.assertEqual(a.admin.post("/api/v1/reload").status, 200, "the node's token works")
        self.assertEqual(self.login(a).status, 503)

    def test_a_forged_session_is_ignored(self):
        a = self.broker("a", self.one_redis() + ANN.format(role="viewer", hash=PASSWORD))
        self.ready(a)
        cookie = self.cookie_of(self.login(a))
        digest = hashlib.sha256(cookie.split("=")[1].encode()).hexdigest()
        key = f"pb:{{@}}:doc:session:{digest}"
        kept = self.redis_main.cmd("GET", key)
        self.assertIn('"role":"viewer"', kept)
        self.redis_main.cmd("SET", key, kept.replace('"role":"viewer"', '"role":"admin"'))
        self.assertEqual(self.session(a, cookie), 401, "a changed document is ignored")
        self.assertIn("ignored a document (session)", a.log_text())
        copy = "ab" * 32
        copied = hashlib.sha256(copy.encode()).hexdigest()
        self.redis_main.cmd("SET", f"pb:{{@}}:doc:session:{copied}", kept)
        self.assertEqual(self.session(a, f"pepperbus_prod={copy}"), 401, "so is one under another id")
        self.redis_main.cmd("SET", key, kept)
        self.assertEqual(self.session(a, cookie), 200, "the one that the broker wrote counts")

    def test_without_a_cluster_section_the_first_login_makes_the_key(self):
        text = self.one_redis().partition("[storage main]")
        a = self.broker("a", text[1] + text[2])
        self.assertFalse(os.path.exists(os.path.join(a.state_dir, "cluster.key")), "nobody needs a key yet")
        r = a.ctl("open")
        self.assertEqual(r.status, 0, r)
        key = r.out.split()[0].rpartition("/")[2]
        answer = self.ask(a, "POST", "/api/v1/session/link", {"key": key}, **self.origin(a))
        self.assertEqual((answer.status, answer.json["role"]), (200, "admin"), answer.text)
        self.redis_main = self.redis("other")
        text = LOCAL.format(address=self.redis_main.address).partition("[storage main]")
        b = self.broker("b", text[1] + text[2])
        self.assertFalse(os.path.exists(os.path.join(b.state_dir, "cluster.key")))
        b.reload(text[1] + text[2] + ANN.format(role="viewer", hash=PASSWORD))
        self.ready(b)
        wait_until(lambda: self.login(b).status == 200, 20)

    def test_a_new_password_is_a_revision(self):
        a = self.broker("a", self.one_redis())
        self.ready(a)
        text = ANN.format(role="operator", hash=PASSWORD)
        self.assertEqual(self.apply(a, text), 200)
        wait_until(lambda: self.login(a).status == 200, 20)
        cookie = self.cookie_of(self.login(a))
        change = {"old": "wrong", "new": "quite another password"}
        answer = self.ask(a, "POST", "/api/v1/session/password", change, cookie=cookie, **self.origin(a))
        self.assertEqual(answer.status, 403, answer.text)

        def changed():
            change["old"] = PASSWORD
            r = self.ask(a, "POST", "/api/v1/session/password", change, cookie=cookie, **self.origin(a))
            return r if r.status == 200 else self.assertEqual(r.status, 429, r.text)
        answer = wait_until(changed, 20)
        self.assertEqual(self.session(a, cookie), 401, "the old session has ended")
        self.assertEqual(self.session(a, self.cookie_of(answer)), 200)
        self.assertEqual(self.login(a, password="quite another password").status, 200)


if __name__ == "__main__":
    main()
