#!/usr/bin/env python3
"""What a storage can do to us: stop, restart, load, refuse, evict, freeze, be full."""

import re
import time

from harness import PEPPERBUSD, Case, RespError, equals, main, wait_until


class StorageCase(Case):
    def lpush(self, b, queue, job):
        """The reply to one job, as the producer reads it."""
        reply = b.lpush(queue, job)
        return reply["jobs"], reply["error"]

    def accepted(self, b, queue, job):
        return self.lpush(b, queue, job)[1] == ""

    def refused(self, b, job, pattern, what, queue="q"):
        jobs, error = self.lpush(b, queue, job)
        self.assertIsNone(jobs, what)
        self.assertRegex(error, pattern, what)


class Trouble(StorageCase):
    """A storage that worked, and another one beside it."""

    def setUp(self):
        super().setUp()
        self.store, self.other = self.redis("redis"), self.redis("other")
        self.b = self.broker("b", f"""
[storage main]
address = {self.store.address}
command_timeout = 2s
connect_timeout = 500ms
[storage second]
address = {self.other.tcp}
db = 3
[pool php]
run_type = cgi
address = {self.fpm(children=4).address}
max_connections = 4
[queue q]
password = a-long-password
[topic q/log]
storage = main
pool = php
entry = {self.worker("log.php")}
[queue r]
password = a-long-password
[topic r/log]
storage = second
pool = php
entry = {self.worker("log.php")}
""")
        self.b.push("q", "one")
        self.handled(1, 5, "works")

    def handled(self, count, seconds, what, queue="q"):
        equals(lambda: len(self.lines(f"handled.{queue}.log")), count, seconds, what)

    def pause(self, verb="pause"):
        self.b.admin.post(f"/api/v1/topics/q/log/{verb}")

    def resume(self):
        self.pause("resume")

    def test_over_tcp_and_in_another_database(self):
        self.b.push("r", "one")
        self.handled(1, 5, "the second storage, over TCP and in database 3, too", "r")
        with self.other.client() as c:
            c.call("SELECT", 3)
            self.assertGreater(c.call("DBSIZE"), 0, "whose keys are in database 3")

    def test_stopped_and_started_with_jobs_waiting(self):
        b = self.b
        self.pause()
        b.push("q", "w1", "w2", "w3")
        self.store.stop()  # appendfsync everysec: a clean stop writes all
        self.refused(b, "no", ".", "stopped: the producer is told")
        self.refused(b, "no", "^storage not available: no connection: .*connecting again",
                     "what is away, and what is done")
        self.assertTrue(self.accepted(b, "r", "two"), "the other storage's queue works on")
        self.store.start()
        b.becomes("q/log", "state", "paused", 10, "back, and the pause too")
        self.resume()
        self.handled(4, 10, "what waited is handled")

    def test_what_was_acknowledged_through_a_restart_is_handled(self):
        replies = self.beside(self.b.push_each, "q", [f"k{i}" for i in range(2000)])
        wait_until(lambda: len(self.lines("handled.q.log")) > 50, 10, "jobs run through")
        self.store.stop()
        self.store.start()
        acknowledged = {i for r in replies.result(300) for i in r["jobs"] or []}
        print(f"# {len(acknowledged)} of 2000 acknowledged through a restart")
        equals(lambda: len(acknowledged - {line.split(" ")[0] for line in self.lines("handled.q.log")}), 0, 20,
               "every acknowledged job is handled")

    def test_a_server_that_reads_its_data_back(self):
        """DEBUG is local by default on a unix socket."""
        b, store, was = self.b, self.store, len(self.lines("handled.q.log"))
        store.cmd("EVAL", 'for i = 1, 200000 do redis.call("SET", "stuff:"..i, i) end', 0)
        store.stop()
        # 200,000 commands of 0.2 ms, until it is told to hurry.
        store.options += ["--key-load-delay", "150"]
        store.start(wait=False)

        def loading():
            try:
                store.cmd("PING")
            except RespError as e:
                return "LOADING" in str(e)
            return False

        wait_until(loading, 10, "Redis is loading")
        self.refused(b, "loading", ".", "meanwhile producers are told")
        wait_until(lambda: b.logged("LOADING|loading|reads its data"), 10, "the broker knows that it loads")
        store.config_set("key-load-delay", 0)
        wait_until(lambda: self.accepted(b, "q", "loaded"), 20, "and goes on by itself when it has done")
        wait_until(lambda: len(self.lines("handled.q.log")) > was, 10, "jobs too")

    def test_frozen_it_holds_up_nobody_for_long(self):
        """The connection stands, nothing answers. A producer gets an error in bounded time."""
        b, start = self.b, time.monotonic()
        self.store.pause()
        self.refused(b, "frozen", ".", "frozen: an error")
        self.assertLess(time.monotonic() - start, 30, "within command_timeout and a bit")
        self.assertTrue(self.accepted(b, "r", "three"), "the other queue is not held up")
        self.store.resume()
        wait_until(lambda: self.accepted(b, "q", "thawed"), 10, "thawed: it goes on")

    def test_full_it_refuses_and_what_is_there_is_handled(self):
        b = self.b
        self.pause()
        b.push("q", "before-oom")
        self.store.config_set("maxmemory", "1mb")
        self.refused(b, "oom", "[Mm]emory|OOM|full", "out of memory: the producer reads Redis' words")
        self.store.config_set("maxmemory", "0")
        wait_until(lambda: self.accepted(b, "q", "room"), 5, "room again: accepted")
        self.resume()
        wait_until(lambda: any("before-oom" in line for line in self.lines("handled.q.log")), 10, "and handled")


class OneStorage(StorageCase):
    def setUp(self):
        super().setUp()
        self.fpm_ = self.fpm(children=4)

    def start(self, name, storage, **kw):
        """A broker with that storage."""
        return self.broker(name, f"""
[storage main]
{storage}
[pool php]
run_type = cgi
address = {self.fpm_.address}
[queue q]
password = a-long-password
[topic q/log]
pool = php
entry = {self.worker("log.php")}
""", **kw)


class Refused(OneStorage):
    """At the start, each with its sentence; the queue's producers get an error."""

    def is_refused(self, name, address, pattern, storage=""):
        b = self.start(f"b{name}", f"address = {address}\n{storage}", wait=False)
        wait_until(lambda: b.logged(pattern), 10, f"{name}: the log says why")
        self.refused(b, "x", ".", f"{name}: nothing is accepted")
        return b

    def test_one_that_evicts_until_it_is_mended(self):
        store = self.redis("evicting", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
        b = self.is_refused("evicting", store.address, "maxmemory-policy|evict")
        store.config_set("maxmemory-policy", "noeviction")
        wait_until(lambda: self.accepted(b, "q", "x"), 40, "mended while it runs: accepted without a restart")

    def test_one_that_wants_a_password(self):
        store = self.redis("locked", "--requirepass", "sesame")
        self.is_refused("locked", store.address, "password|NOAUTH|WRONGPASS")

    def test_one_that_wants_another_password(self):
        store = self.redis("wrong", "--requirepass", "other")
        b = self.is_refused("wrong", store.address, "password|WRONGPASS|invalid", "password = sesame")
        self.assertEqual(b.logged("sesame"), [], "and the log does not have the password in it")

    def test_a_cluster(self):
        # Its bus would be at a port 10000 higher, where connections get theirs from.
        store = self.redis("cluster", "--cluster-enabled", "yes", "--cluster-port", self.free_port())
        self.is_refused("cluster", store.address, "Redis Cluster")

    def test_one_that_says_that_it_is_older(self):
        """A real one, behind somebody who changes a digit on the way."""
        proxy = self.tcp_proxy(self.redis("other").tcp)
        proxy.change(lambda data: re.sub(rb"redis_version:\d+", b"redis_version:6", data))
        self.is_refused("older", proxy.address, r"its version is 6\..*Redis 7.0 or newer, or Valkey, is needed")


class Accepted(OneStorage):
    def test_without_an_append_only_file_it_serves_with_a_warning(self):
        b = self.start("b", f"address = {self.redis('forgetful', '--appendonly', 'no').address}")
        self.assertTrue(b.logged("warning: storage main: keeps no append-only file: "
                                 "jobs accepted since its last snapshot are lost"),
                        "no append-only file: a warning says what that means")
        self.assertTrue(self.accepted(b, "q", "x"), "jobs are accepted")

    def test_a_user_of_redis_acl_and_the_password_in_a_file(self):
        store = self.redis("other")
        store.cmd("ACL", "SETUSER", "bus", "on", ">open sesame", "~*", "&*", "+@all")
        store.cmd("ACL", "SETUSER", "default", "off")
        password = self.write("password", "open sesame\n", 0o600)
        b = self.start("b", f"address = {store.address}\nusername = bus\npassword_file = {password}")
        self.assertTrue(self.accepted(b, "q", "x"), "username and password_file")
        shown = self.run_program(PEPPERBUSD, "-c", b.path, "--dump-config")
        self.assertEqual(shown.status, 0, shown)
        self.assertNotIn("sesame", b.log_text() + shown.out + shown.err, "which are not shown")


if __name__ == "__main__":
    main()
