#!/usr/bin/env python3
"""The connections of producers as the API shows and ends them: on this node, on another one, by rights."""

import socket

from harness import RespError, equals, main, wait_until
from people import PeopleCase

MORE = """
[system own]
[system other]
[queue mine]
system = own
password = a-long-password
[topic mine/t]
run_type = pull
[queue theirs]
system = other
password = a-long-password
[topic theirs/t]
run_type = pull
"""


class ClientsApi(PeopleCase):
    def listed(self, node, query="", **kw):
        answer = node.admin.get(f"/api/v1/clients{query}", **kw)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def gone(self, client):
        with self.assertRaises((RespError, OSError, EOFError)):
            client.call("PING")

    def test_a_client_is_shown_and_ended(self):
        node = self.cluster(1, MORE)[0]
        c = node.client("mine:a-long-password")
        c.call("CLIENT", "SETNAME", "shop-7")
        for _ in range(3):
            c.call("LPUSH", "mine", "job")
        answer = self.listed(node)
        self.assertEqual((answer["total"], answer["exact"], answer["cursor"]), (1, True, None))
        one = answer["clients"][0]
        self.assertEqual((one["queue"], one["name"], one["closing"]), ("mine", "shop-7", False))
        self.assertRegex(one["address"], r"^127\.0\.0\.1:\d+$")
        self.assertEqual(one["commands"], 5, "AUTH, CLIENT and three jobs")
        self.assertEqual((one["in_flight"], one["out_bytes"]), (0, 0))
        self.assertNotIn("a-long-password", node.admin.get("/api/v1/clients").text)
        killed = node.admin.request("DELETE", f"/api/v1/clients/{one['id']}")
        self.assertEqual((killed.status, killed.json), (200, {"id": one["id"], "killed": True}))
        self.gone(c)
        self.assertEqual(self.listed(node)["clients"], [])
        self.assertTrue(node.logged("is cut off: token at n1 ended the connection"))
        for wrong in (one["id"], "x", "-1", "99999999999999999999", "0"):
            self.assertEqual(node.admin.request("DELETE", f"/api/v1/clients/{wrong}").status, 404)

    def test_a_client_that_does_not_read_is_shown_and_ended(self):
        node = self.cluster(1, MORE)[0]
        s = socket.create_connection(("127.0.0.1", node.port))
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"AUTH mine:a-long-password\r\n" + b"INFO\r\n" * 3000)
        stuck = lambda: [c for c in self.listed(node)["clients"] if c["out_bytes"] > 100000]
        wait_until(stuck, 20, "replies wait for it")
        node.admin.request("DELETE", f"/api/v1/clients/{stuck()[0]['id']}")
        equals(lambda: self.listed(node)["total"], 0, 20)

    def test_pages_and_parameters(self):
        node = self.cluster(1, MORE)[0]
        clients = [node.client("mine:a-long-password") for _ in range(5)]
        ids = [c["id"] for c in self.listed(node)["clients"]]
        self.assertEqual((ids, len(ids)), (sorted(ids), len(clients)))
        seen, cursor = [], ""
        while cursor is not None:
            page = self.listed(node, f"?limit=2{cursor and f'&cursor={cursor}'}")
            self.assertEqual(page["total"], 5)
            seen.append([c["id"] for c in page["clients"]])
            cursor = page["cursor"]
        self.assertEqual(seen, [ids[:2], ids[2:4], ids[4:]])
        for wrong in ("limit=1001", "limit=-1", "limit=x", "cursor=x", "cursor=-2", "limits=3"):
            self.assertEqual(node.admin.get(f"/api/v1/clients?{wrong}").status, 400, wrong)

    def test_another_node_shows_and_ends_its_clients(self):
        a, b = self.cluster(2, MORE)
        c = b.client("mine:a-long-password")
        self.assertEqual(self.listed(a)["clients"], [])
        there = self.listed(a, "?node=n2")
        self.assertEqual((there["node"], [one["queue"] for one in there["clients"]]), ("n2", ["mine"]))
        self.assertEqual(a.admin.request("DELETE", f"/api/v1/clients/{there['clients'][0]['id']}?node=n2").status, 200)
        self.gone(c)
        self.assertTrue(b.logged("ended the connection"))

    def test_a_user_of_some_systems_sees_the_clients_of_their_queues(self):
        node = self.town(1, {"ann": ("admin", ""), "own": ("operator", "systems = own")}, MORE)
        token = node.admin.post("/api/v1/tokens", {"name": "t", "user": "own"}).json["token"]
        mine, theirs, nobody = node.client("mine:a-long-password"), node.client("theirs/t:a-long-password"), node.client()
        seen = lambda **kw: sorted(c["queue"] or "" for c in self.listed(node, **kw)["clients"])
        equals(seen, ["", "mine", "theirs/t"], 20)
        self.assertEqual(seen(token=token), ["mine"])
        self.assertEqual(self.listed(node, token=token)["total"], 1, "nor are the others counted")
        one = self.listed(node, token=token)["clients"][0]["id"]
        self.assertEqual(node.admin.request("DELETE", f"/api/v1/clients/{one}", token=token).status, 403)
        self.assertEqual((mine.call("PING"), theirs.call("PING")), ("PONG", "PONG"))


if __name__ == "__main__":
    main()
