#!/usr/bin/env python3
"""What a producer sees: replies, errors, and that a job is in Redis before the reply is sent."""

import hashlib
import json
import re
import socket
import threading
import time

from harness import Case, RespError, equals, main, wait_until

ADDED = re.compile(r'\{"jobs":\["[0-9]{19,20}"\],"inTraceId":"[0-9]{19,20}-[0-9]+-[0-9]+","error":""\}')
REFUSED = re.compile(r'\{"jobs":null,"inTraceId":".*","error":"NOAUTH Authentication required\."\}')


class Intake(Case):
    def setUp(self):
        super().setUp()
        self.storage = self.redis()
        entry = self.worker("log.php")
        self.b = self.broker("b", f"""
[storage main]
address = {self.storage.address}
[pool php]
run_type = cgi
address = unix:{self.dir}/nobody.sock
[queue q]
password = pw
[topic q/log]
pool = php
entry = {entry}
[queue small]
password = with:colon:in it
max_length = 3
[topic small/log]
pool = php
entry = {entry}
[queue hashed]
password = sha256:salt:{hashlib.sha256(b"saltpw").hexdigest()}
[topic hashed/log]
pool = php
entry = {entry}
""")

    def said(self, *args, auth="q:pw"):
        """The reply to one command as it is read, or the text of the error."""
        try:
            with self.b.client(auth) as c:
                return c.call(*args)
        except RespError as e:
            return str(e)

    def stored(self, queue="q"):
        return self.storage.cmd("XLEN", f"pb:{{{queue}}}:s")

    def newest(self):
        """(milliseconds of its id, its fields) of the newest entry of q."""
        entry, fields = self.storage.cmd("XREVRANGE", "pb:{q}:s", "+", "-", "COUNT", 1)[0]
        return int(entry.partition("-")[0]), fields


class Lpush(Intake):
    def test_a_job_is_stored_when_its_reply_is_there(self):
        reply = self.said("LPUSH", "q", "one")
        self.assertTrue(ADDED.fullmatch(reply), f"LPUSH answers with id and trace, members in order: {reply}")
        self.assertEqual(self.stored(), 1, "the job is in Redis when the reply is there")
        reply = self.said("LPUSH", "q/anything", "two")
        self.assertTrue(ADDED.fullmatch(reply), f"LPUSH queue/anything is the queue: {reply}")
        reply = self.said("rpush", "q", "three")
        self.assertTrue(ADDED.fullmatch(reply), f"RPUSH too, in lower case: {reply}")
        self.assertEqual(len(set(self.b.push("q", "a", "b", "c", "d", "e"))), 5,
                         "five jobs in one command have five ids")
        self.assertEqual(self.stored(), 8, "and all are stored")
        self.assertRegex(self.said("INFO"), "pepperbus_version|redis_version", "INFO")

    def test_a_full_queue_says_so(self):
        auth = "small:with:colon:in it"
        for job in (1, 2, 3):
            self.assertTrue(ADDED.fullmatch(self.said("LPUSH", "small", job, auth=auth)), "there is room for three")
        self.assertRegex(self.said("LPUSH", "small", 4, auth=auth), '"jobs":null.*"error":".*(full|max_length)',
                         "the fourth of three is refused with a reason")
        self.assertEqual(self.stored("small"), 3, "and not stored")

    def test_binary_content_is_stored_byte_for_byte(self):
        content = b'a\0b\r\n\xff\xfe"\\'
        self.assertTrue(ADDED.fullmatch(self.said("LPUSH", "q", content)))
        with self.storage.client(raw_bytes=True) as c:
            entry = c.call("XREVRANGE", "pb:{q}:s", "+", "-", "COUNT", 1)[0]
        self.assertTrue(any(content in field for field in entry[1]), f"binary content is stored byte for byte: {entry}")

    def test_without_redis_the_producer_hears_of_it(self):
        self.b.push("q", "one")
        self.storage.stop()
        reply = self.b.lpush("q", "lost")
        self.assertIsNone(reply["jobs"], "no Redis: the producer hears of it")
        self.assertNotEqual(reply["error"], "", "no Redis: the producer hears of it")
        self.storage.start()
        wait_until(lambda: self.b.push("q", "back"), 10, "after Redis is back")
        self.assertGreaterEqual(self.stored(), 2, "everything acknowledged before is there")

    def test_producers_at_the_same_time_get_different_ids(self):
        ids = []

        def produce():
            with self.b.client("q:pw") as c:
                for _ in range(50):
                    ids.extend(json.loads(c.call("LPUSH", "q", "x", "y"))["jobs"])

        producers = [threading.Thread(target=produce) for _ in range(4)]
        for p in producers:
            p.start()
        for p in producers:
            p.join()
        self.assertEqual((len(ids), len(set(ids))), (400, 400), "400 jobs of 4 producers have 400 ids")


class Auth(Intake):
    def test_without_the_password_nothing_is_done(self):
        self.assertRegex(self.said("PING", auth=None), "^NOAUTH Authentication required", "PING without AUTH")
        self.assertIn("invalid password", self.said("PING", auth="q:wrong"), "a wrong password")
        self.assertTrue(self.b.logged("warning: clients: .* gave a wrong password"), "the log has it")
        self.assertNotIn("q:wrong", self.b.log_text(), "and not what was sent")
        reply = self.said("LPUSH", "q", "x", auth=None)
        self.assertTrue(REFUSED.fullmatch(reply), f"LPUSH without AUTH answers in LPUSH's form: {reply}")
        self.assertRegex(self.said("LPUSH", "nosuch", "x"), '"error":"(queue or Topic not exist nosuch|NOAUTH.*)"',
                         "an unknown queue")
        self.assertRegex(self.said("FLUSHALL"), "^ERR unknown command 'FLUSHALL'", "an unknown command")

    def test_passwords_of_every_form(self):
        self.assertEqual(self.said("PING", auth="small:with:colon:in it"), "PONG", "a password with colons and spaces")
        self.assertEqual(self.said("PING", auth="hashed:pw"), "PONG", "a hashed password")
        self.assertRegex(self.said("PING", auth="hashed:no"), "invalid password|NOAUTH",
                         "a hashed password refuses another")

    def test_one_connection_adds_to_two_queues_after_a_failed_auth(self):
        with self.b.client() as c:
            c.call("AUTH", "q:pw")
            c.call("AUTH", "hashed:pw")
            with self.assertRaises(RespError, msg="a failed AUTH"):
                c.call("AUTH", "q:no")
            for queue in ("q", "hashed"):
                self.assertEqual(json.loads(c.call("LPUSH", queue, 1))["error"], "",
                                 "one connection adds to two queues after a failed AUTH")
            self.assertEqual(c.call("PING"), "PONG", "and goes on")

    def test_a_command_that_fails_has_one_reply(self):
        """The next one is still in step."""
        with self.b.client(unix=True) as c:
            c.raw(b"AUTH q:pw\r\nLPUSH q\r\nPING\r\nLPUSH nosuch x\r\nECHO end\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            replies = []
            while not c.at_end():
                try:
                    replies.append(c.recv())
                except RespError as e:
                    replies.append(e)
        self.assertEqual(len(replies), 5, f"five commands, five replies: {replies}")
        self.assertEqual((replies[2], replies[4]), ("PONG", "end"), "in order")


class Addjob(Intake):
    """Disque's form of the same."""

    def add(self, *args):
        return self.said("ADDJOB", "q", *args)

    def test_the_id_has_disques_form(self):
        job = self.add("content", 1000)
        self.assertRegex(job, "^D-[0-9a-f]{8,}-", "ADDJOB answers with an id of Disque's form")
        self.assertEqual(len(job), 40, "of 40 characters")

    def test_a_delayed_job_is_stored_when_its_time_has_come(self):
        before = self.stored()
        self.add("tomorrow", 1000, "DELAY", 86400)
        self.assertEqual(self.stored(), before, "a delayed job is not in the stream yet")
        added = int(time.time() * 1000)
        self.add("soon", 1000, "DELAY", 2)
        equals(self.stored, before + 1, 5, "one enters it when its time has come")
        entered, fields = self.newest()
        self.assertTrue(any("soon" in field for field in fields), f"the one whose time it is: {fields}")
        self.assertGreaterEqual(entered, added + 1950, "and not before")

    def test_an_id_of_the_producers_own_is_added_once(self):
        first = self.add("once", 0, "ID", "shop-7:order-1")
        before = self.stored()
        self.assertEqual(self.add("again", 0, "ID", "shop-7:order-1"), first,
                         "ID: adding again answers the id of the first")
        self.assertEqual(self.stored(), before, "and stores nothing")

    def test_maxlen_refuses_where_the_queue_has_more(self):
        self.b.push("q", "one", "two")
        before = self.stored()
        self.assertRegex(self.add("x", 0, "MAXLEN", 1), "^FULL .*MAXLEN|^FULL .*full",
                         "MAXLEN: the queue has more than that")
        self.assertEqual(self.stored(), before, "and is not stored")
        self.assertRegex(self.add("x", 0, "MAXLEN", 1000), "^D-", "MAXLEN: it has not")

    def test_replicate_answers_when_the_replica_has_it(self):
        replica = self.redis("replica")
        replica.replica_of(self.storage)
        wait_until(lambda: "state=online" in self.storage.info("replication")["slave0"], 20, "a replica")
        self.assertRegex(self.add("x", 30000, "REPLICATE", 2), "^D-", "REPLICATE 2: it has the job")
        self.assertEqual(replica.cmd("XLEN", "pb:{q}:s"), self.stored(), "when the answer is there")
        self.assertRegex(self.add("x", 8000, "REPLICATE", 3), "^STORAGE .*1 of 2",
                         "REPLICATE 3: there is one only, and the answer says so")


if __name__ == "__main__":
    main()
