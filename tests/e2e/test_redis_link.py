"""The link to Redis: first connections, slow and frozen servers, other servers behind a name."""

import json
import socket

from harness import Case, RespError, case, equals, main, wait_until

TOPIC = """
[storage {storage}]
address = {address}
{more}
[queue {queue}]
password = secret-pw
[topic {queue}/t]
storage = {storage}
run_type = pull
"""


class Link(Case):
    def ini(self, address, queue="q", storage="main", more=""):
        return TOPIC.format(address=address, queue=queue, storage=storage, more=more)

    def port_open(self, broker):
        def connects():
            with socket.create_connection(("127.0.0.1", broker.port), 5):
                return True
        wait_until(connects, 20, "the broker does not listen")

    def first(self, queue="q"):
        """A broker whose Redis stands still from the start, and a producer that is there at once."""
        redis = self.redis("main")
        redis.pause()
        broker = self.broker("a", self.ini(redis.address, queue), wait=False)
        self.port_open(broker)
        return redis, broker, broker.client(f"{queue}:secret-pw")


class FirstConnection(Link):
    @case("L2")
    def test_commands_of_producers_wait_for_the_first_connection(self):
        redis, broker, c = self.first()
        for n in range(3):
            c.send("LPUSH", "q", f"job {n}")
        c.send("ADDJOB", "q", "one more", 5000)
        c.send("PING")
        redis.resume()
        ids = []
        for _ in range(3):
            reply = json.loads(c.recv())
            self.assertFalse(reply["error"])
            ids += reply["jobs"]
        ids.append(c.recv())
        self.assertEqual(c.recv(), "PONG", "replies come in the order of the commands")
        self.assertEqual(len(set(map(str, ids))), 4)
        broker.wait_ready()
        taken = [json.loads(c.call("RPOP", "q/t"))["jobs"][0]["content"] for _ in range(4)]
        self.assertEqual(taken, ["job 0", "job 1", "job 2", "one more"], "stored in the order they came")

    @case("L2")
    def test_pull_workers_wait_as_well(self):
        redis, _, c = self.first()
        c.send("LPUSH", "q", "job")
        c.send("RPOP", "q/t")
        redis.resume()
        self.assertFalse(json.loads(c.recv())["error"])
        self.assertEqual(json.loads(c.recv())["jobs"][0]["content"], "job")

    @case("L2")
    def test_the_http_api_waits_as_well(self):
        redis, broker, c = self.first()
        wait_until(lambda: broker.admin.get("/healthz", token=None).status == 200, 20)
        c.send("LPUSH", "q", "first")
        redis.resume()
        answer = broker.admin.post("/api/v1/queues/q/jobs", {"content": "second"})
        self.assertLess(answer.status, 300, answer)
        self.assertFalse(json.loads(c.recv())["error"])

    @case("L2")
    def test_the_wait_has_an_end(self):
        port = self.free_port()  # nobody listens there
        broker = self.broker("a", self.ini(f"127.0.0.1:{port}", more="connect_timeout = 200ms\ncommand_timeout = 200ms"),
                             wait=False)
        self.port_open(broker)
        with broker.client("q:secret-pw") as c:
            reply = json.loads(c.call("LPUSH", "q", "job"))
            self.assertRegex(reply["error"], "not ready|not available")

    @case("L2")
    def test_a_refused_storage_is_not_waited_for(self):
        redis = self.redis("main", "--maxmemory-policy", "allkeys-lru")
        broker = self.broker("a", self.ini(redis.address, more="command_timeout = 1h\nconnect_timeout = 10m"), wait=False)
        self.port_open(broker)
        with broker.client("q:secret-pw") as c:
            self.assertRegex(json.loads(c.call("LPUSH", "q", "job"))["error"], "not ready|not available")

    @case("L2")
    def test_a_storage_that_a_reload_brings_is_waited_for(self):
        redis, second = self.redis("main"), self.redis("second")
        broker = self.broker("a", self.ini(redis.address))
        second.pause()
        broker.reload(self.ini(redis.address) + self.ini(second.address, "r", "second"))
        with broker.client("r:secret-pw") as c:
            c.send("LPUSH", "r", "waits")
            self.assertEqual(len(broker.push("q", "goes on")), 1)
            second.resume()
            self.assertFalse(json.loads(c.recv())["error"])


class Sizes(Link):
    def large(self, redis, bytes_, more=""):
        broker = self.broker("a", self.ini(redis.address), server="max_job_size = 16mb")
        return broker, "x" * bytes_

    @case("R16")
    def test_a_job_that_the_server_does_not_take_is_refused_and_harms_no_other(self):
        for option in ("proto-max-bulk-len", "client-query-buffer-limit"):
            with self.subTest(option=option):
                redis = self.redis(option, f"--{option}", "2mb")
                broker, large = self.large(redis, 3 << 20)
                self.assertTrue(broker.logged(f"its {option} is"), broker.log_text())
                reply = broker.lpush("q", "small", large)
                self.assertIn(option, reply["error"])
                self.assertIn("nothing of this request was stored", reply["error"])
                self.assertEqual(broker.topic("q/t")["ready"], 0)
                broker.push("q", "x" * (1 << 20))
                self.assertFalse(broker.logged("no connection"), broker.log_text())
                broker.stop()
                broker.log_path.unlink()

    @case("R16")
    def test_where_config_is_forbidden_the_first_one_teaches_it(self):
        redis = self.redis("main", "--proto-max-bulk-len", "2mb")
        redis.cmd("ACL", "SETUSER", "default", "-config")
        broker, large = self.large(redis, 3 << 20)
        self.assertTrue(broker.lpush("q", large)["error"])
        broker.wait_ready()
        self.assertIn("proto-max-bulk-len", broker.lpush("q", large)["error"])
        self.assertIn("nothing of this request was stored", broker.lpush("q", large)["error"])
        self.assertEqual(len(broker.logged("no connection")), 1, "no connection is lost again")
        broker.push("q", "small")


class Twins(Link):
    def two(self, first, second, more=""):
        """One queue, a topic on each storage."""
        return f"""
[storage one]
address = {first}
[storage two]
address = {second}
{more}
[queue q]
password = secret-pw
[topic q/a]
storage = one
run_type = pull
[topic q/b]
storage = two
run_type = pull
"""

    def refused(self, broker):
        wait_until(lambda: broker.logged("same Redis database as storage"), 20, broker.log_text)
        self.assertIn("same Redis database", broker.lpush("q", "job")["error"])

    @case("R14")
    def test_two_spellings_of_one_database_are_refused(self):
        redis = self.redis("main")
        for first, second in ((redis.address, redis.tcp), (redis.tcp, f"localhost:{redis.port}")):
            with self.subTest(first=first, second=second):
                broker = self.broker("a", self.two(first, second), wait=False)
                self.refused(broker)
                self.assertEqual(len(broker.logged("same Redis database")), 1, broker.log_text())
                broker.stop()
                broker.log_path.unlink()

    @case("R14")
    def test_another_db_is_another_database(self):
        redis = self.redis("main")
        broker = self.broker("a", self.two(redis.address, redis.tcp, "db = 1"))
        broker.push("q", "job")
        with broker.client("q:secret-pw") as c:
            for topic in ("q/a", "q/b"):
                self.assertEqual(json.loads(c.call("RPOP", topic))["jobs"][0]["content"], "job")
                self.assertIsNone(c.call("RPOP", topic))

    @case("R14")
    def test_found_at_a_later_reload_and_a_later_connection_and_mended(self):
        redis, second = self.redis("main"), self.redis("second")
        proxy = self.tcp_proxy(second.tcp)
        broker = self.broker("a", self.two(redis.address, proxy.address))
        broker.push("q", "job")
        proxy.point_to(redis.tcp)
        proxy.cut()
        self.refused(broker)
        proxy.point_to(second.tcp)
        proxy.cut()
        broker.wait_ready()
        broker.push("q", "job")
        told = len(broker.logged("same Redis database"))
        broker.reload(self.two(redis.address, redis.tcp))
        wait_until(lambda: len(broker.logged("same Redis database")) > told, 20, broker.log_text)
        broker.reload(self.two(redis.address, second.address))
        broker.wait_ready()
        broker.push("q", "job")


if __name__ == "__main__":
    main()
