#!/usr/bin/env python3
"""What pages of the console ask for many things at once: topics by page and order, their sums, systems, queues, storages."""

from harness import Case, case, main, wait_until
from people import PeopleCase

INI = """
[storage main]
address = {address}
[system shop]
title = The shop
[system mail]
[queue orders]
system = shop
password = a-long-password
title = Orders of all shops
[topic orders/bill]
title = Bills to customers
run_type = pull
[topic orders/ship]
run_type = pull
[queue letters]
system = mail
password = a-long-password
[topic letters/send]
run_type = exec
entry = /bin/false
attempts = 1
"""


class Lists(Case):
    def start(self):
        redis = self.redis("main")
        return redis, self.broker("a", INI.format(address=redis.address))

    def page(self, b, query):
        answer = b.admin.get(f"/api/v1/topics?{query}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def names(self, b, query):
        return [t["topic"] for t in self.page(b, query)["topics"]]

    @case("X7")
    def test_a_page_by_offset_is_picked_sorted_and_cut(self):
        _, b = self.start()
        self.assertEqual(self.names(b, "q=BILL"), ["orders/bill"])
        self.assertEqual(self.names(b, "q=to+customers"), ["orders/bill"])
        self.assertEqual(self.names(b, "sort=-topic"), ["orders/ship", "orders/bill", "letters/send"])
        self.assertEqual(self.names(b, "sort=topic&system=mail"), ["letters/send"])
        self.assertEqual(self.names(b, "q=/&queue=orders&sort=-topic"), ["orders/ship", "orders/bill"])
        first = self.page(b, "offset=0&limit=2")
        self.assertEqual(([t["topic"] for t in first["topics"]], first["next"], first["total"], first["offset"]),
                         (["letters/send", "orders/bill"], 2, 3, 0))
        last = self.page(b, "offset=2&limit=2")
        self.assertEqual(([t["topic"] for t in last["topics"]], last["next"]), (["orders/ship"], None))
        self.assertEqual(self.page(b, "offset=9")["topics"], [])
        self.assertEqual(b.admin.get("/api/v1/topics?sort=nonsense").status, 400)
        self.assertEqual(b.admin.get("/api/v1/topics?sort=topic&cursor=x").status, 400)
        wait_until(lambda: self.names(b, "state=open,paused") == ["letters/send", "orders/bill", "orders/ship"])
        b.admin.post("/api/v1/topics/orders/ship/pause", {})
        wait_until(lambda: self.names(b, "state=paused") == ["orders/ship"])
        plain = b.admin.get("/api/v1/topics").json
        self.assertEqual(set(plain), {"topics"})
        self.assertNotIn("title", plain["topics"][0])
        brief = b.admin.get("/api/v1/topics?brief=yes").json["topics"]
        self.assertEqual([t["topic"] for t in brief], [t["topic"] for t in plain["topics"]])
        for row, whole in zip(brief, plain["topics"]):
            self.assertNotIn("counters", row)
            self.assertEqual([row[k] for k in ("state", "why")], [whole[k] for k in ("state", "why")])

    def test_lists_are_picked_by_the_storage_of_the_jobs(self):
        text = INI.format(address=self.redis("main").address).replace("run_type =", "storage = main\nrun_type =")
        b = self.broker("a", text + f"""
[storage spare]
address = {self.redis("spare").address}
[topic letters/print]
storage = spare
run_type = pull
""")
        queues = lambda query: [q["queue"] for q in b.admin.get(f"/api/v1/queues?{query}").json["queues"]]
        for storage, topics, of in (("spare", ["letters/print"], ["letters"]), ("nosuch", [], []),
                                    ("main", ["letters/send", "orders/bill", "orders/ship"], ["letters", "orders"])):
            self.assertEqual(self.names(b, f"storage={storage}"), topics)
            self.assertEqual(queues(f"storage={storage}"), of)
            for one in b.admin.get("/api/v1/storages").json["storages"]:
                if one["name"] == storage:
                    self.assertEqual((one["topics"], one["queues"]), (len(topics), len(of)))
        self.assertEqual(self.names(b, "storage=main&queue=letters"), ["letters/send"])

    @case("X7")
    def test_the_order_by_figures_is_that_of_the_storage(self):
        _, b = self.start()
        b.push("orders", *["job"] * 5)
        wait_until(lambda: self.names(b, "sort=-ready")[:2] == ["orders/bill", "orders/ship"])
        b.admin.post("/api/v1/topics/letters/send/pause", {})
        b.push("letters", *["job"] * 9)
        wait_until(lambda: self.names(b, "sort=-ready")[0] == "letters/send")
        self.assertEqual(self.page(b, "sort=-ready")["topics"][0]["counts"]["ready"], 9)

    @case("X7")
    def test_the_summary_and_the_systems_have_the_sums(self):
        redis, b = self.start()
        b.push("orders", "one", "two")
        b.push("letters", "fails")
        wait_until(lambda: b.topic("letters/send")["dead"] == 1)

        def summary(query=""):
            answer = b.admin.get(f"/api/v1/topics/summary{query}")
            self.assertEqual(answer.status, 200, answer)
            return answer.json

        wait_until(lambda: summary()["counts"]["dead"] == 1 and summary()["counts"]["ready"] == 4)
        now = summary()
        self.assertEqual((now["topics"], now["known"], now["states"]["open"]), (3, 3, 3))
        self.assertEqual((now["worst"][0]["topic"], now["worst"][0]["dead"]), ("letters/send", 1))
        self.assertIn(now["worst"][0]["reason"], ("failing", "dead"))
        self.assertIn(now["oldest_topic"], ("orders/bill", "orders/ship"))
        self.assertEqual(summary("?system=shop")["topics"], 2)
        self.assertEqual(summary("?queue=letters")["counts"]["dead"], 1)
        self.assertEqual(b.admin.get("/api/v1/topics/summary?queue=nosuch").status, 404)
        systems = {s["name"]: s for s in b.admin.get("/api/v1/systems").json["systems"]}
        self.assertEqual(set(systems), {"shop", "mail"})
        self.assertEqual((systems["shop"]["title"], systems["shop"]["topics"], systems["shop"]["counts"]["ready"]),
                         ("The shop", 2, 4))
        self.assertEqual((systems["mail"]["counts"]["dead"], systems["mail"]["nodes"], systems["mail"]["storages"]),
                         (1, ["a"], ["main"]))
        redis.pause()  # nobody waits for it
        try:
            self.assertEqual(summary()["counts"]["dead"], 1)
        finally:
            redis.resume()

    @case("X7")
    def test_queues_come_with_the_sums_of_their_topics(self):
        _, b = self.start()
        b.push("orders", "one", "two")

        def queues(query):
            answer = b.admin.get(f"/api/v1/queues?{query}")
            self.assertEqual(answer.status, 200, answer)
            return answer.json

        wait_until(lambda: queues("sort=-ready")["queues"][0]["counts"]["ready"] == 4)
        page = queues("sort=-ready&limit=1")
        self.assertEqual((page["total"], page["next"], page["queues"][0]["queue"]), (2, 1, "orders"))
        self.assertEqual(queues("sort=-ready&limit=1&offset=1")["queues"][0]["counts"]["ready"], 0)
        self.assertEqual(page["queues"][0]["title"], "Orders of all shops")
        self.assertEqual([q["queue"] for q in queues("q=all+shops")["queues"]], ["orders"])
        self.assertEqual([q["queue"] for q in queues("sort=-queue")["queues"]], ["orders", "letters"])
        self.assertEqual([q["queue"] for q in queues("sort=queue&system=mail")["queues"]], ["letters"])
        self.assertEqual(b.admin.get("/api/v1/queues?sort=nonsense").status, 400)
        self.assertEqual(set(b.admin.get("/api/v1/queues").json), {"queues"})


class Storages(Case):
    def listed(self, b):
        answer = b.admin.get("/api/v1/storages")
        self.assertEqual(answer.status, 200, answer)
        return answer.json["storages"]

    def check(self, b, name=None, **keys):
        answer = b.admin.post("/api/v1/storages/check", {"name": name, "keys": keys} if name else {"keys": keys})
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    @case("X7")
    def test_a_storage_is_shown_with_its_server_and_only_when_somebody_looks(self):
        redis = self.redis("main", "--maxmemory", "64mb")
        b = self.broker("a", INI.format(address=redis.address))
        infos = lambda: int(redis.cmd("INFO", "commandstats").split("cmdstat_info:calls=")[1].split(",")[0])
        one, = self.listed(b)
        self.assertEqual((one["name"], one["state"], one["queues"], one["topics"], one["refuses"]), ("main", "ready", 2, 3, []))
        self.assertEqual((one["server"]["max_memory"], one["server"]["policy"], one["server"]["role"]),
                         (64 << 20, "noeviction", "primary"))
        before = infos()
        for _ in range(20):
            self.listed(b)
        self.assertLessEqual(infos() - before, 5)  # of the test itself: 1
        redis.pause()  # nobody waits for it
        try:
            self.assertEqual(self.listed(b)[0]["server"]["policy"], "noeviction")
        finally:
            redis.resume()
        redis.config_set("maxmemory", "1")
        self.assertIn("OOM", b.lpush("orders", "no room")["error"])
        self.assertIn("out of memory", self.listed(b)[0]["refuses"][0])
        redis.stop()
        self.assertIn("no connection", wait_until(lambda: self.listed(b)[0]["refuses"])[0])

    @case("X7")
    def test_a_server_is_checked_before_it_is_a_storage(self):
        main_, good, evicts, locked = (self.redis("main"), self.redis("good"),
                                       self.redis("evicts", "--maxmemory-policy", "allkeys-lru"),
                                       self.redis("locked", "--requirepass", "a-secret"))
        b = self.broker("a", INI.format(address=main_.address))
        found = self.check(b, address=good.address)
        self.assertTrue(found["ok"], found)
        self.assertRegex(found["found"], r"^(Redis|Valkey) [0-9.]+, noeviction, ")
        self.assertIn("the database of storage main", self.check(b, address=main_.address)["found"])
        self.assertNotIn("the database of storage", self.check(b, "main", address=main_.address)["found"])
        self.assertIn("allkeys-lru", self.check(b, address=evicts.address)["why"])
        self.assertIn("password", self.check(b, address=locked.address)["why"])
        self.assertTrue(self.check(b, address=locked.address, password="a-secret")["ok"])
        self.assertFalse(self.check(b, address=locked.address, password="wrong")["ok"])
        nobody = self.check(b, address=f"127.0.0.1:{self.free_port()}")
        self.assertEqual((nobody["ok"], nobody["server"]), (False, None))
        self.assertIn("no connection", nobody["why"])
        self.assertFalse(self.check(b, address="nonsense")["ok"])
        self.assertFalse(self.check(b, address=good.address, db=-1)["ok"])
        self.assertTrue(self.check(b, managed=True)["ok"])
        silent = self.tcp_proxy(good.address)
        silent.delay(60)
        self.assertFalse(self.check(b, address=silent.address)["ok"])
        post = lambda body: b.admin.post("/api/v1/storages/check", body).status
        self.assertEqual(post({"keys": {"address": "x\npassword = y"}}), 400)
        self.assertEqual(post({}), 400)

    @case("X7")
    def test_a_kept_password_goes_to_no_other_address(self):
        locked, other = self.redis("main", "--requirepass", "a-secret"), self.redis("other", "--requirepass", "a-secret")
        b = self.broker("a", INI.format(address=f"{locked.address}\npassword = a-secret"))
        self.assertTrue(self.check(b, "main", address=locked.address, password="********")["ok"])
        answer = b.admin.post("/api/v1/storages/check", {"name": "main", "keys": {"address": other.address, "password": "********"}})
        self.assertEqual(answer.status, 400)
        self.assertNotIn("a-secret", b.admin.get("/api/v1/storages").text)


TWO = """
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


class OthersSystems(PeopleCase):
    @case("X7")
    def test_sums_are_of_what_may_be_seen(self):
        node = self.town(1, {"own-viewer": ("viewer", "systems = own")}, more=TWO)
        cookie = self.logged_in(node, "own-viewer")
        get = lambda path: self.by(node, cookie, "GET", path).json
        self.assertEqual(get("/api/v1/topics/summary")["topics"], 1)
        self.assertEqual([s["name"] for s in get("/api/v1/systems")["systems"]], ["own"])
        self.assertEqual([q["queue"] for q in get("/api/v1/queues?sort=-ready")["queues"]], ["mine"])
        self.assertEqual([t["topic"] for t in get("/api/v1/topics?sort=-topic")["topics"]], ["mine/t"])


if __name__ == "__main__":
    main()
