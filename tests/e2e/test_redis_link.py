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


if __name__ == "__main__":
    main()
