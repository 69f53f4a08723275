#!/usr/bin/env python3
"""Who gets in on the Redis port: the right password always, the wrong one never and at a price."""

import socket

from harness import Case, RespError, case, main, wait_until

SECRET = "a-long-secret:with-colon"


class Doors(Case):
    def door(self, server=""):
        redis = self.redis("main")
        return self.broker("a", self.waiting(redis.address, SECRET, more="""
password = the-topic's-own
[topic q/u]
pool = p
entry = /srv/worker.php
"""), server)

    def wrong(self, c, *auth):
        with self.assertRaises(RespError) as e:
            c.call(*auth)
        return str(e.exception)

    @case("X1")
    def test_the_right_password_gets_in_beside_guessers(self):
        b = self.door()
        guessers = [b.client() for _ in range(40)]
        for i, g in enumerate(guessers):  # none of them waits for its answer
            g.send("AUTH", f"q:guess{i}")
            g.send("AUTH", "q/t", f"guess{i}")
            g.send("HELLO", "3", "AUTH", "default", f"q:guess{i}")
        for n in range(50):
            c = b.client()
            self.assertEqual(c.call("AUTH", f"q:{SECRET}"), "OK")
            self.assertEqual(c.call("AUTH", "q", SECRET), "OK")
            self.assertIn('"error":""', c.call("LPUSH", "q", f"job {n}"))
            self.assertEqual(c.call("HELLO", "3", "AUTH", "q/t", "the-topic's-own")["proto"], 3)
            c.close()
        with b.client() as late:  # whoever was wrong may be right later on the same connection
            self.wrong(late, "AUTH", "q:wrong")
            self.assertEqual(late.call("AUTH", f"q:{SECRET}"), "OK")
        for g in guessers:
            g.close()

    @case("X1")
    def test_one_answer_for_all(self):
        b = self.door()
        for form in (lambda name: ("AUTH", f"{name}:wrong"), lambda name: ("AUTH", name, "wrong"),
                     lambda name: ("HELLO", "2", "AUTH", name, "wrong"),
                     lambda name: ("AUTH", "default", f"{name}:wrong")):
            answers = set()
            for name in ("q", "nosuch", "q/t", "q/u", "q/nosuch", "nosuch/t"):
                with b.client() as c:
                    answers.add(self.wrong(c, *form(name)))
            self.assertEqual(len(answers), 1, answers)

    @case("X1")
    def test_replies_stay_in_order_and_ten_wrong_ones_are_the_end(self):
        b = self.door()
        c = b.client(f"q:{SECRET}")
        for i in range(3):
            c.send("ECHO", f"before {i}")
            c.send("AUTH", "q", "wrong")
            c.send("ECHO", f"behind {i}")
        for i in range(3):
            self.assertEqual(c.recv(), f"before {i}")
            with self.assertRaises(RespError):
                c.recv()
            self.assertEqual(c.recv(), f"behind {i}")
        for _ in range(7):
            c.send("AUTH", "q", "wrong")
        c.send("LPUSH", "q", "never")
        for _ in range(7):
            with self.assertRaises(RespError):
                c.recv()
        self.assertTrue(c.at_end())
        self.assertEqual(b.topic("q/u")["ready"], 0)

    @case("X1")
    def test_it_is_logged_once_and_counted(self):
        b = self.door()
        for i in range(12):
            for address in ("127.0.0.1", f"127.0.1.{i + 1}"):
                s = socket.create_connection(("127.0.0.1", b.port), 60, (address, 0))
                s.sendall(b"AUTH q:guessed-by-all\r\n")
                s.close()
        name = 'pepperbus_refused_total{reason="password"}'
        wait_until(lambda: b.metrics().get(name) == 24, 20, lambda: b.metrics())
        self.assertEqual(len(b.logged("127.0.0.1 gave a wrong password")), 1)
        self.assertNotIn("guessed-by-all", b.log_text())
        b.stop()
        self.assertEqual(len(b.logged("127.0.0.1: 23 more wrong passwords")), 1)

    @case("X1")
    def test_guessers_make_room_when_all_places_are_taken(self):
        b = self.door("max_clients = 20\nauth_attempts = 1")
        guessers = []
        for i in range(20):
            g = b.client()
            g.send("AUTH", f"q:guess{i}")
            guessers.append(g)
        name = 'pepperbus_refused_total{reason="password"}'
        wait_until(lambda: b.metrics().get(name) == 20, 20, lambda: b.metrics())
        self.assertEqual(b.push("q", "job")[0].isdigit(), True)
        for g in guessers:
            g.close()

    @case("X1")
    def test_short_passwords_are_warned_of(self):
        b = self.door()
        self.assertNotIn("shorter", b.check().err)
        b.write(b.ini.replace(SECRET, "short"))
        r = b.check()
        self.assertEqual(r.status, 0, r)
        self.assertRegex(r.err, r"\[queue q\] password: it is shorter than 12 characters")


class Files(Case):
    door = Doors.door

    @case("X5")
    def test_a_file_with_passwords_that_all_can_read_is_told(self):
        b = self.door()
        self.assertFalse(b.logged("everyone on this machine"))
        b.path.chmod(0o644)
        r = b.check()
        self.assertEqual(r.status, 0, r)
        self.assertIn("everyone on this machine can read the file; chmod o-r", r.err)
        b.stop()
        b.start()
        self.assertTrue(b.logged("everyone on this machine"))


if __name__ == "__main__":
    main()
