#!/usr/bin/env python3
"""Who may do what: every route of doc/openapi.yaml, by each role, in a system of one's own and in another one."""

import json
import re
from http.client import HTTPConnection
from pathlib import Path

from harness import ROOT, Case, contract, main, wait_until
from people import two_systems

USER = """
[user {name}]
role = {role}
{systems}
password = {hash}
"""

ALL, OWN = "", "systems = own"
USERS = {"admin": ("admin", ALL), "operator": ("operator", ALL), "viewer": ("viewer", ALL),
         "own-admin": ("admin", OWN), "own-operator": ("operator", OWN), "own-viewer": ("viewer", OWN)}

# Written down once more, on purpose: what each role may.
MAY = {"self": ("admin", "operator", "viewer"), "look": ("admin", "operator", "viewer"), "operate": ("admin", "operator"),
       "configure": ("admin", "operator"), "cluster": ("admin",), "users": ("admin",), "audit": ("admin",), "link": ()}


def rows():
    """{(method, path with * for names): (right, scope, open)} of the table in routes.c."""
    text = (ROOT / "core/admin/routes.c").read_text()
    found = {}
    for method, path, right, on, flags in re.findall(r'ROUTE\((\w+),\s*"([^"]+)",\s*(\w+),\s*(\w+),\s*([\w\s|]+),', text):
        if path != "/":
            found[method.lower(), path] = (right.lower(), on.lower(), "ROUTE_OPEN" in flags)
    return found


def listed():
    """The same of doc/openapi.yaml."""
    return {(method, re.sub(r"{\w+}", "*", path)): (o["x-right"], o.get("x-scope", "any"), o.get("security") == [])
            for path, operations in contract.contract()["paths"].items() for method, o in operations.items()}


def expected(role, systems, right, scope, queue):
    """Is that user let in?"""
    if role not in MAY[right]:
        return False
    if scope == "none":
        return systems == ALL
    return scope != "queue" or systems == ALL or queue == "mine"


class Rights(Case):
    def setUp(self):
        super().setUp()
        if not contract.contract():
            self.skipTest("python3-yaml or python3-jsonschema is not installed")

    def test_the_table_and_the_contract_have_the_same_routes_and_rights(self):
        table, yaml = rows(), listed()
        self.assertGreater(len(table), 30)
        self.assertEqual(sorted(set(table) ^ set(yaml)), [], "in one of them only")
        self.assertEqual({k: v for k, v in table.items() if yaml[k] != v}, {}, "with another right")

    def start(self):
        script = self.write("fails.sh", "#!/bin/sh\ncat >/dev/null\necho 'user \"bob\" has 42 things' >&2\nexit 1\n")
        Path(script).chmod(0o755)
        redis = self.redis("main")
        b = self.broker("a", two_systems(redis.address, script, "attempts = 1"))
        wait_until(lambda: b.admin.get("/api/v1/config/shared").json["state"] == "ready", 20)
        hashed = b.ctl("passwd", "--user", stdin="a long enough password").out.strip()
        text = "".join(USER.format(name=name, role=role, systems=systems, hash=hashed)
                       for name, (role, systems) in USERS.items())
        self.assertEqual(b.admin.post("/api/v1/config/apply", {"text": text, "base": 0}).status, 200)
        wait_until(lambda: len(b.admin.get("/api/v1/users").json["users"]) == len(USERS), 20)
        self.tokens = {}
        for name in USERS:
            made = b.admin.post("/api/v1/tokens", {"name": "test", "user": name})
            self.assertEqual(made.status, 200, made)
            self.tokens[name] = made.json["token"]
        return b

    def test_every_route_by_every_role_in_each_system(self):
        b = self.start()
        for path, operations in contract.contract()["paths"].items():
            for method, o in operations.items():
                if o.get("security") != [] and not path.startswith("/api/v1/session") and path != "/api/v1/events":
                    self.walk(b, method, path, o)

    def walk(self, b, method, path, o):
        right, scope = o["x-right"], o.get("x-scope", "any")
        for queue in ("mine", "theirs") if scope == "queue" else ("mine",):
            names = {"queue": queue, "topic": "t", "id": "nosuch-0", "kind": "comment", "name": "nobody", "node": "nobody",
                     "number": "999"}
            target = re.sub(r"{(\w+)}", lambda m: names[m.group(1)], path)
            body = {} if method in ("post", "put") else None
            for name, (role, systems) in USERS.items():
                with self.subTest(route=f"{method} {path}", user=name, queue=queue):
                    answer = b.admin.request(method.upper(), target, body, token=self.tokens[name])
                    if expected(role, systems, right, scope, queue):
                        if not path.startswith("/api/v1/tokens") or method == "get":  # a token makes and ends no other one
                            self.assertNotIn(answer.status, (401, 403), answer)
                    else:
                        self.assertEqual(answer.status, 403, answer)
                        self.assertIn(f'"{right}"', answer.json["error"], "it says which right is missing")
            self.assertEqual(b.admin.request(method.upper(), target, body, token=None).status, 401)

    def test_lists_are_cut_and_contents_are_hidden(self):
        b = self.start()
        for queue in ("mine", "theirs"):
            b.push(queue, f"secret of {queue}")
            b.becomes(f"{queue}/t", "dead", 1)
        get = lambda who, path: b.admin.get(path, token=self.tokens[who]).json
        for who, want in (("own-viewer", {"mine/t"}), ("viewer", {"mine/t", "theirs/t"})):
            self.assertEqual({t["topic"] for t in get(who, "/api/v1/topics")["topics"]}, want)
            self.assertEqual({f"{q['queue']}/t" for q in get(who, "/api/v1/queues")["queues"]}, want)
            self.assertEqual({p["name"] for p in get(who, "/api/v1/pools")["pools"]}, want)
            status = get(who, "/api/v1/status")
            self.assertEqual((status["topics"], status["totals"]["intake"]["accepted"]), (len(want), len(want)))
            self.assertNotIn("secret of", json.dumps(status))
        act = b.admin.post("/api/v1/topics/theirs/t/replay", {"all": True}).json["act"]["id"]
        self.assertEqual(get("own-operator", "/api/v1/acts")["acts"], [])
        self.assertEqual(get("own-operator", f"/api/v1/acts/{act}")["status"], 404)
        cancel = b.admin.post(f"/api/v1/acts/{act}/cancel", token=self.tokens["own-operator"])
        self.assertEqual(cancel.status, 404, "as if it were not there")
        # Contents: lists have them only where they are asked for, and viewers never see them.
        jobs = lambda who, query: get(who, f"/api/v1/topics/mine/t/retry{query}")["jobs"][0]
        self.assertNotIn("content", jobs("operator", ""))
        self.assertEqual(jobs("operator", "?content=1")["content"], "secret of mine")
        self.assertEqual(b.admin.get("/api/v1/topics/mine/t/retry").json["jobs"][0]["content"], "secret of mine")
        seen = jobs("viewer", "?content=1")
        self.assertNotIn("content", seen)
        one = get("viewer", f"/api/v1/topics/mine/t/retry/{seen['id']}")
        self.assertNotIn("content", one)
        errors = lambda who: json.dumps(get(who, "/api/v1/topics/mine/t/errors"))
        self.assertIn("bob", errors("operator"))
        self.assertNotIn("bob", errors("viewer") + json.dumps(one), "what the worker said may quote the job")

    def test_an_apply_is_judged_by_its_difference(self):
        b = self.start()
        put = lambda who, path, values: b.admin.request("PUT", f"/api/v1/config/sections/{path}", {"values": values},
                                                        token=self.tokens[who])
        queue = {"system": "own", "password": "a-long-password"}
        self.assertEqual(put("own-operator", "queue/fresh", queue).status, 200)
        self.assertEqual(put("own-operator", "queue/fresh2", {**queue, "system": "other"}).status, 403)
        self.assertEqual(put("own-operator", "queue/fresh", {**queue, "system": "other"}).status, 403, "nor moved there")
        self.assertEqual(put("own-admin", "pool/p", {"run_type": "http", "max_connections": 2}).status, 403)
        self.assertEqual(put("own-admin", "user/eve", {"role": "admin"}).status, 403)
        entry = {"run_type": "http", "entry": "http://127.0.0.1:1/"}
        refused = put("own-operator", "topic/fresh%2Ft", entry)
        self.assertEqual(refused.status, 403, refused)
        self.assertIn("entries", refused.json["error"])
        self.assertEqual(put("own-viewer", "queue/fresh", queue).status, 403)
        self.assertNotIn("a-long-password", b.admin.get("/api/v1/config/shared").text)

    def test_users_tokens_revisions_and_the_audit_log(self):
        b = self.start()
        admin = lambda method, path, body=None: b.admin.request(method, f"/api/v1/{path}", body, token=self.tokens["admin"])
        self.assertEqual(admin("POST", "users", {"name": "carl", "role": "viewer", "password": "short"}).status, 400)
        made = admin("POST", "users", {"name": "carl", "role": "viewer", "systems": ["own"], "password": "carls-password"})
        self.assertEqual(made.status, 200, made)
        self.assertEqual(admin("POST", "users", {"name": "carl", "password": "carls-password"}).status, 409)
        user = lambda: next((u for u in admin("GET", "users").json["users"] if u["name"] == "carl"), None)
        wait_until(user, 20)
        self.assertEqual((user()["role"], user()["systems"]), ("viewer", ["own"]))
        self.assertEqual(admin("PUT", "users/carl", {"role": "operator"}).status, 200)
        wait_until(lambda: user()["role"] == "operator", 20)
        self.assertEqual(user()["systems"], ["own"], "what is not named stays")
        login = {"user": "carl", "password": "carls-password"}
        come = lambda: b.admin.post("/api/v1/session", login, token=None, headers={"Origin": f"http://{b.admin_address}"})
        self.assertEqual((come().status, come().json["must_change"]), (200, True))
        self.assertEqual(b.admin.post("/api/v1/tokens", {"name": "x"}, token=self.tokens["admin"]).status, 403)
        own = admin("GET", "tokens").json["tokens"]
        self.assertEqual(len(own), len(USERS), "an admin sees those of everybody")
        theirs = next(t["id"] for t in own if t["user"] == "viewer")
        self.assertEqual(len(b.admin.get("/api/v1/tokens", token=self.tokens["viewer"]).json["tokens"]), 1)
        self.assertEqual(b.admin.request("DELETE", f"/api/v1/tokens/{theirs}", token=self.tokens["operator"]).status, 403)
        self.assertEqual(admin("DELETE", f"tokens/{theirs}").status, 200)
        wait_until(lambda: b.admin.get("/api/v1/topics", token=self.tokens["viewer"]).status == 401, 20)
        self.assertEqual(admin("DELETE", "users/carl").status, 200)
        self.assertEqual(admin("DELETE", "users/carl").status, 404)
        pages = admin("GET", "config/revisions?limit=2").json
        self.assertEqual([r["number"] for r in pages["revisions"]], [4, 3])
        after = admin("GET", f"config/revisions?limit=2&cursor={pages['cursor']}").json
        self.assertEqual(([r["number"] for r in after["revisions"]], after["cursor"]), ([2, 1], None))
        whole = admin("GET", "config/revisions/2")
        self.assertIn("[user carl]", whole.json["text"])
        self.assertNotIn("$y$", whole.text, "nor the hash of a password")
        changes = admin("GET", "config/diff?from=1&to=3").json["changes"]
        self.assertEqual([(c["kind"], c["name"], c["what"]) for c in changes], [("user", "carl", "added")])
        lines = [json.loads(line) for line in admin("GET", "config/export?format=jsonl").text.splitlines()]
        self.assertEqual({line["name"] for line in lines}, set(USERS))
        told = lambda: [(r["user"], r["what"], r["result"]) for r in admin("GET", "audit?limit=200").json["rows"]]
        wait_until(lambda: ("admin", "users.add", "done") in told(), 20, lambda: str(told()))
        b.admin.post("/api/v1/topics/theirs/t/pause", {}, token=self.tokens["own-operator"])
        wait_until(lambda: any(user == "own-operator" and what == "topics.pause" for user, what, _ in told()), 20)

    def test_of_two_who_change_a_user_at_once_the_second_is_told(self):
        b = self.start()
        base = b.admin.get("/api/v1/config/shared").json["number"]
        change = lambda method, path, body: b.admin.request(method, f"/api/v1/users{path}", {**body, "base": base},
                                                            token=self.tokens["admin"])
        self.assertEqual(change("PUT", "/viewer", {"role": "operator"}).status, 200)
        wait_until(lambda: b.admin.get("/api/v1/config/shared").json["number"] == base + 1, 20)
        for method, path, body in (("PUT", "/viewer", {"role": "admin"}),
                                   ("POST", "/viewer/password", {"password": "a-later-password"}),
                                   ("POST", "", {"name": "dora", "role": "viewer", "password": "doras-password"})):
            second = change(method, path, body)
            self.assertEqual((second.status, second.json["number"]), (409, base + 1), second)
        users = {u["name"]: u["role"] for u in b.admin.get("/api/v1/users").json["users"]}
        self.assertEqual((users["viewer"], "dora" in users), ("operator", False))

    def test_a_one_time_link_is_made_on_the_machine_alone(self):
        b = self.start()
        link = b.admin.post("/api/v1/links", {})
        self.assertEqual(link.status, 200, link)
        key = link.json["url"].rpartition("/")[2]
        come = lambda: b.admin.post("/api/v1/session/link", {"key": key}, token=None,
                                    headers={"Origin": f"http://{b.admin_address}"})
        self.assertEqual((come().status, come().status), (200, 401), "once")

    def test_the_contract_is_served(self):
        b = self.start()
        got = b.admin.get("/api/v1/openapi.json", token=self.tokens["own-viewer"])
        self.assertEqual(got.json, json.loads((ROOT / "doc/openapi.json").read_text()))
        c = HTTPConnection(b.admin_address, timeout=60)
        c.request("PATCH", "/api/v1/session", headers={"Authorization": f"Bearer {b.token()}"})
        r = c.getresponse()
        self.assertEqual((r.status, r.headers["Allow"]), (405, "GET, POST, DELETE"))
        c.close()


if __name__ == "__main__":
    main()
