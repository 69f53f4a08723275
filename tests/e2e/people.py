"""Brokers with users in their shared configuration, and what tests ask of them by session or token."""

import re

from cluster import ClusterCase, LOCAL
from harness import wait_until

PASSWORD = "a long enough password"

USER = """
[user {name}]
role = {role}
{more}
password = {password}
"""


def two_systems(address, entry="/bin/true", *lines):
    """Configuration: the systems own and other, each with a queue that has a topic t: mine and theirs."""
    text = LOCAL.format(address=address) + "[system own]\n[system other]\n"
    for queue, system in (("mine", "own"), ("theirs", "other")):
        text += "\n".join([f"[queue {queue}]", f"system = {system}", "password = a-long-password", f"[topic {queue}/t]",
                           "run_type = exec", f"entry = {entry}", *lines, ""])
    return text


class PeopleCase(ClusterCase):
    def town(self, n=1, users=None, more="", **kw):
        """`n` nodes with these users: {name: (role, more lines)}. Returns the first node."""
        nodes = self.cluster(n, more, **kw)
        users = {"ann": ("admin", "")} if users is None else users
        if users:
            hashed = nodes[0].ctl("passwd", "--user", stdin=PASSWORD).out.strip()
            text = "".join(USER.format(name=name, role=role, more=lines, password=hashed)
                           for name, (role, lines) in users.items())
            self.applied(nodes[0], text)
            for node in nodes:
                wait_until(lambda: {u["name"] for u in node.admin.get("/api/v1/users").json["users"]} >= set(users), 20)
        return nodes[0]

    def origin(self, node):
        return {"Origin": f"http://{node.admin_address}"}

    def by(self, node, cookie, method, path, body=None, headers=None, **kw):
        """A request by a session, or by nobody, from a page of the broker."""
        fields = {**self.origin(node), **({"Cookie": cookie} if cookie else {}), **(headers or {})}
        return node.admin.request(method, path, body, token=None, headers=fields, **kw)

    def login(self, node, user="ann", password=PASSWORD, headers=None, **kw):
        body = {"user": user, "password": password}
        return self.by(node, None, "POST", "/api/v1/session", body, headers, **kw)

    def cookie(self, answer):
        return answer.headers["Set-Cookie"].split(";")[0]

    def logged_in(self, node, user="ann", password=PASSWORD, **kw):
        """The cookie of a new session; waits where the last wrong password has made us wait."""
        def come():
            answer = self.login(node, user, password, **kw)
            self.assertIn(answer.status, (200, 429, 503), answer)
            return answer if answer.status == 200 else None
        return self.cookie(wait_until(come, 60))

    def status(self, node, cookie, path="/api/v1/session"):
        return self.by(node, cookie, "GET", path).status

    def token_of(self, node, user, name="test", **more):
        made = node.admin.post("/api/v1/tokens", {"name": name, "user": user, **more})
        self.assertEqual(made.status, 200, made)
        return made.json

    def rows(self, node, query=""):
        """The audit log, the newest row first."""
        answer = node.admin.get(f"/api/v1/audit?limit=1000{query}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json["rows"]

    def row(self, node, **want):
        """Waits for a row with these members."""
        fits = lambda r: all(r.get(k) == v for k, v in want.items())
        return wait_until(lambda: next((r for r in self.rows(node) if fits(r)), None), 20,
                          lambda: f"no row {want} in {self.rows(node)}")

    def documents(self, kind=""):
        """{id: text} of what accounts have in Redis."""
        prefix = f"pb:{{@}}:doc:{kind}"
        keys = self.store.cmd("KEYS", f"{prefix}*")
        return {key.removeprefix(prefix + ":"): self.store.cmd("GET", key) for key in keys}

    def everything_in_redis(self):
        """All of it as one text."""
        said = []
        for key in self.store.cmd("KEYS", "*"):
            said.append(key)
            kind = self.store.cmd("TYPE", key)
            ask = {"string": ("GET", key), "hash": ("HGETALL", key), "list": ("LRANGE", key, "0", "-1"),
                   "set": ("SMEMBERS", key), "zset": ("ZRANGE", key, "0", "-1"), "stream": ("XRANGE", key, "-", "+")}
            said.append(str(self.store.cmd(*ask[kind])))
        return "\n".join(said)


def route(path):
    """Of doc/openapi.yaml, as the audit log calls it: "topics.pause"."""
    return ".".join(part for part in re.sub(r"/{\w+}", "", path).removeprefix("/api/v1/").split("/"))
