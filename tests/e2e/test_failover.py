"""Another server behind a name: failovers, replicas, and servers that are something else."""

import threading

from harness import Case, RespError, case, equals, main, wait_until

INI = """
[storage main]
address = {address}
[pool p]
run_type = http
max_connections = 4
[queue q]
password = secret-pw
[topic q/t]
pool = p
entry = {url}
"""


class Failover(Case):
    def setUp(self):
        super().setUp()
        self.handled, self.lock = [], threading.Lock()

    def work(self, request):
        with self.lock:
            self.handled.append(request.form["jobs"] if "jobs" in request.form else request.body.decode())
        return 200, ""

    def ini(self, address):
        return INI.format(address=address, url=self.http(self.work).address)

    def pair(self):
        a, b = self.redis("one"), self.redis("two")
        b.replica_of(a)
        wait_until(lambda: b.info("replication")["master_link_status"] == "up", 20)
        return a, b

    @case("R5")
    def test_a_coordinated_failover_loses_nothing_and_runs_nothing_twice(self):
        a, b = self.pair()
        proxy = self.tcp_proxy(a.tcp)
        broker = self.broker("n", self.ini(proxy.address))
        accepted, stop = [], threading.Event()

        def produce():
            n = 0
            while not stop.is_set():
                n += 1
                reply = broker.lpush("q", f"job {n}")
                if not reply["error"]:
                    accepted.extend(reply["jobs"])

        producer = threading.Thread(target=produce, daemon=True)
        producer.start()
        wait_until(lambda: len(self.handled) > 50)
        a.cmd("FAILOVER", "TO", "127.0.0.1", b.port)
        wait_until(lambda: b.info("replication")["role"] == "master", 20)
        proxy.point_to(b.tcp)  # the connections stay: only the name leads elsewhere
        have = len(accepted)
        wait_until(lambda: len(accepted) > have + 50, 30, broker.log_text)
        stop.set()
        producer.join(60)
        wait_until(lambda: broker.unfinished("q/t") == 0, 30, broker.log_text)
        self.assertEqual(len(self.handled), broker.topic("q/t")["done"])
        self.assertEqual(len(self.handled), len(set(self.handled)), "none runs twice")
        self.assertGreaterEqual(len(self.handled), len(accepted), "none is lost")
        self.assertTrue(broker.logged("replica"))

    @case("R5")
    def test_an_idle_broker_finds_the_new_primary(self):
        a, b = self.pair()
        proxy = self.tcp_proxy(a.tcp)
        broker = self.broker("n", self.ini(proxy.address + "\nlease = 1s"))
        proxy.point_to(b.tcp)
        a.cmd("FAILOVER", "TO", "127.0.0.1", b.port)
        wait_until(lambda: b.info("replication")["role"] == "master", 20)
        wait_until(lambda: broker.logged("replica"), 30, broker.log_text)
        wait_until(lambda: broker.admin.get("/readyz", token=None).status == 200, 20, broker.log_text)
        broker.push("q", "after")
        equals(lambda: len(self.handled), 1)

    @case("R2", "R5", "R17")
    def test_a_replica_that_is_promoted_later_is_used_then_and_told_of_once(self):
        a, b = self.pair()
        broker = self.broker("n", self.ini(b.address), wait=False)
        wait_until(lambda: broker.logged("read-only replica"), 20, broker.log_text)
        began = int(b.info("stats")["total_connections_received"])
        wait_until(lambda: int(b.info("stats")["total_connections_received"]) > began + 8, 60, "not looked up again")
        self.assertEqual(len(broker.logged("storage main")), 1, broker.log_text())
        b.replica_of(None)
        broker.wait_ready()
        broker.push("q", "one")
        equals(lambda: len(self.handled), 1)

    @case("R5")
    def test_another_server_without_the_data_is_told_of_and_used(self):
        a, b = self.redis("one"), self.redis("two")
        proxy = self.tcp_proxy(a.tcp)
        broker = self.broker("n", self.ini(proxy.address))
        broker.push("q", "one")
        equals(lambda: len(self.handled), 1)
        proxy.point_to(b.tcp)
        proxy.cut()
        wait_until(lambda: broker.logged("no data of Pepperbus"), 20, broker.log_text)
        wait_until(lambda: broker.admin.get("/readyz", token=None).status == 200, 20, broker.log_text)
        broker.push("q", "two")
        equals(lambda: len(self.handled), 2)

    @case("R5")
    def test_a_server_that_talks_nonsense_does_no_harm(self):
        a = self.redis("one")
        nonsense = self.http(lambda request: (200, ""))
        proxy = self.tcp_proxy(a.tcp)
        broker = self.broker("n", self.ini(proxy.address))
        proxy.point_to(f"127.0.0.1:{nonsense.port}")
        proxy.cut()
        wait_until(lambda: broker.logged("no connection|cannot be used"), 20, broker.log_text)
        proxy.point_to(a.tcp)
        proxy.cut()
        wait_until(lambda: broker.admin.get("/readyz", token=None).status == 200, 30, broker.log_text)
        broker.push("q", "one")
        equals(lambda: len(self.handled), 1)

    @case("R5")
    def test_a_foreign_script_that_holds_redis_up_while_the_broker_connects(self):
        a = self.redis("one", "--lua-time-limit", "50")
        busy = a.client()
        busy.send("EVAL", "while true do end", 0)
        wait_until(lambda: self.busy(a), 20)
        broker = self.broker("n", self.ini(a.address), wait=False)
        wait_until(lambda: broker.logged("BUSY|busy with a script"), 20, broker.log_text)
        with a.client() as c:
            c.call("SCRIPT", "KILL")
        with self.assertRaises(RespError):
            busy.recv()
        broker.wait_ready()
        broker.push("q", "one")
        equals(lambda: len(self.handled), 1)

    def busy(self, redis):
        with redis.client() as c:
            try:
                c.call("PING")
            except RespError as e:
                return "BUSY" in str(e)
        return False


if __name__ == "__main__":
    main()
