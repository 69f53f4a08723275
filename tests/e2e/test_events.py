#!/usr/bin/env python3
"""GET /api/v1/events: how things are comes first, then what changes."""

import json
import re
import select
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException

from harness import Case, deadline_of, main, wait_until
from people import PeopleCase, two_systems

USERS = """
[user ann]
role = operator
password = {hash}
[user own]
role = viewer
systems = own
password = {hash}
"""
PASSWORD = "a long enough password"


class Stream:
    """A client of /api/v1/events; `seen` are (event, data), read beside the test."""

    def __init__(self, b, **headers):
        self.seen, self.comments, self.ended = [], [], False
        self._c = HTTPConnection(b.admin_address, timeout=120)
        self._c.request("GET", "/api/v1/events", headers=headers)
        self.answer = self._c.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        event = None
        try:
            for line in self.answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    self.seen.append((event, json.loads(value)))
                elif line.startswith(b":"):
                    self.comments.append(line)
        except (OSError, HTTPException, ValueError, AttributeError):
            pass
        self.ended = True

    def of(self, event):
        return [data for name, data in self.seen if name == event]

    def topics(self):
        return {t["topic"] for data in self.of("topics") for t in data["topics"]}

    def close(self):
        self.answer.close()
        self._c.close()


# In queues of 20 topics: Redis tells of all groups of a queue when it is asked about one topic, and a
# pause makes a broker ask about each topic of the queue.
MANY = """
[storage main]
address = {address}
""" + "".join(f"[queue q{q}]\npassword = a-long-password\n"
              + "".join(f"[topic q{q}/t{i}]\nrun_type = pull\n" for i in range(20)) for q in range(15))
MANY_TOPICS = [f"q{q}/t{i}" for q in range(15) for i in range(20)]


class Events(Case):
    def start(self):
        redis = self.redis("main")
        b = self.broker("a", two_systems(redis.address) + USERS.format(hash="*"), start=False)
        hashed = b.ctl("passwd", "--user", stdin=PASSWORD).out.strip()
        b.write(two_systems(redis.address) + USERS.format(hash=hashed))
        b.start()
        wait_until(lambda: b.admin.get("/api/v1/config/shared").json["state"] == "ready", 20)
        return b

    def stream(self, b, **headers):
        s = Stream(b, **headers)
        self.addCleanup(s.close)
        return s

    def bearer(self, b):
        return {"Authorization": f"Bearer {b.token()}"}

    def login(self, b, user):
        got = b.admin.post("/api/v1/session", {"user": user, "password": PASSWORD}, token=None,
                           headers={"Origin": f"http://{b.admin_address}"})
        self.assertEqual(got.status, 200, got)
        return {"Cookie": got.headers["Set-Cookie"].split(";")[0]}

    def test_a_snapshot_comes_first_and_then_what_changes(self):
        b = self.start()
        s = self.stream(b, **self.bearer(b))
        self.assertEqual((s.answer.status, s.answer.headers["Content-Type"], s.answer.headers["X-Accel-Buffering"]),
                         (200, "text/event-stream", "no"))
        wait_until(lambda: len(s.seen) > 1)
        self.assertEqual([s.seen[0][0], s.seen[1][0]], ["figures", "revision"])
        self.assertEqual(s.seen[0][1]["totals"]["intake"]["accepted"], 0)
        b.push("mine", "job")
        wait_until(lambda: s.of("figures")[-1]["totals"]["dispatch"]["done"] == 1, 20)
        wait_until(lambda: "mine/t" in s.topics(), 20)
        b.admin.post("/api/v1/topics/theirs/t/pause", {})
        wait_until(lambda: any(t["topic"] == "theirs/t" and t["state"] == "paused"
                               for data in s.of("topics") for t in data["topics"]), 20)

    def test_acts_are_told_of_as_they_go_on(self):
        redis = self.redis("main")
        b = self.broker("a", two_systems(redis.address, "/bin/false", "attempts = 1"))
        b.push("mine", *["job"] * 40)
        wait_until(lambda: b.topic("mine/t")["dead"] == 40, 60)
        s = self.stream(b, **self.bearer(b))
        b.admin.post("/api/v1/topics/mine/t/failed/purge", {"set": "dead", "all": True, "rate": 10})
        wait_until(lambda: s.of("act"), 20)
        first = s.of("act")[0]["acts"][0]
        self.assertEqual((first["kind"], first["queue"], first["topic"], first["state"]), ("purge", "mine", "t", "running"))
        wait_until(lambda: not s.of("act")[-1]["acts"], 60, lambda: s.of("act"))
        done = [a["done"] for data in s.of("act") for a in data["acts"]]
        self.assertEqual(done, sorted(done))
        self.assertGreater(len(set(done)), 1)

    def test_nobody_sees_topics_of_another_system(self):
        b = self.start()
        own, all_ = self.stream(b, **self.login(b, "own")), self.stream(b, **self.login(b, "ann"))
        b.push("theirs", "job")
        b.push("mine", "job")
        wait_until(lambda: {"mine/t", "theirs/t"} <= all_.topics(), 20)
        wait_until(lambda: "mine/t" in own.topics(), 20)
        wait_until(lambda: own.of("figures")[-1]["totals"]["dispatch"]["done"] == 1, 20)
        wait_until(lambda: all_.of("figures")[-1]["totals"]["dispatch"]["done"] == 2, 20)
        self.assertEqual(own.topics(), {"mine/t"})
        self.assertEqual({f["totals"]["intake"]["accepted"] for f in own.of("figures")} - {0, 1}, set())

    def test_a_logout_closes_the_streams_of_its_session_alone(self):
        b = self.start()
        first, second = self.login(b, "ann"), self.login(b, "ann")
        gone, stays = self.stream(b, **first), self.stream(b, **second)
        wait_until(lambda: gone.seen and stays.seen)
        out = b.admin.request("DELETE", "/api/v1/session", token=None,
                              headers={**first, "Origin": f"http://{b.admin_address}"})
        self.assertEqual(out.status, 200, out)
        wait_until(lambda: gone.ended, 20, "the stream has ended")
        b.push("mine", "job")
        wait_until(lambda: "mine/t" in stays.topics(), 20)
        self.assertFalse(stays.ended)

    def test_a_ninth_stream_of_a_login_ends_the_oldest(self):
        b = self.start()
        who = self.login(b, "ann")
        other = self.stream(b, **self.bearer(b))
        streams = [self.stream(b, **who) for _ in range(9)]
        wait_until(lambda: all(s.seen for s in streams) and streams[0].ended, 20)
        self.assertEqual([s.ended for s in streams[1:] + [other]], [False] * 9)

    def test_many_streams_see_the_same(self):
        b = self.start()
        streams = [self.stream(b, **who) for who in [self.login(b, "ann") for _ in range(10)] for _ in range(8)]
        b.push("mine", *[f"job {i}" for i in range(50)])
        for s in streams:
            wait_until(lambda s=s: s.of("figures") and s.of("figures")[-1]["totals"]["dispatch"]["done"] == 50, 30)

    def test_a_quiet_stream_has_a_comment_every_15_s(self):
        b = self.start()
        s = self.stream(b, **self.bearer(b))
        wait_until(lambda: s.comments, 60)
        wait_until(lambda: len(s.of("figures")) > 1 and s.seen[-1] == ("figures", s.of("figures")[-2]), 60,
                   "a page hears that the figures are good still")
        self.assertFalse(s.ended)

    def test_a_broker_that_stops_ends_the_streams(self):
        b = self.start()
        c = b.admin.socket()
        self.addCleanup(c.close)
        c.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {b.admin_address}\r\n"
                  f"Authorization: Bearer {b.token()}\r\n\r\n".encode())
        said = b""
        while b"event: revision" not in said:
            said += c.recv(1 << 16)
        self.assertEqual(b.stop(), 0)
        while data := c.recv(1 << 16):
            said += data
        self.assertEqual(said[-7:], b"\r\n0\r\n\r\n", "the last chunk has come")

    def many(self):
        return self.broker("a", MANY.format(address=self.redis("main").address))

    def to_all(self, b, *acts):
        """Does the acts, each (verb, body), to each topic in turn."""
        c = HTTPConnection(b.admin_address, timeout=30)
        self.addCleanup(c.close)
        end = deadline_of(12)
        for topic in MANY_TOPICS:
            for verb, body in acts:
                c.request("POST", f"/api/v1/topics/{topic}/{verb}", json.dumps(body), self.bearer(b))
                answer = c.getresponse()
                answer.read()
                self.assertEqual(answer.status, 200, topic)
            self.assertLess(time.monotonic(), end, f"{topic}: the requests take too long")

    def test_many_topics_that_change_are_told_in_turns(self):
        b = self.many()
        began = time.monotonic()
        s = self.stream(b, **self.bearer(b))
        wait_until(lambda: s.seen)
        self.to_all(b, ("pause", {}))
        paused = lambda: {t["topic"] for data in s.of("topics") for t in data["topics"] if t["state"] == "paused"}
        wait_until(lambda: paused() == set(MANY_TOPICS), 20)
        took = time.monotonic() - began
        for event in ("topics", "figures", "revision"):
            self.assertLessEqual(len(s.of(event)), took + 2, event)
        self.assertLessEqual(max(len(data["topics"]) for data in s.of("topics")), 100)

    def dropped(self, b):
        """Topics change until a client that does not read is gone. Was it dropped for what it had not read?"""
        late = lambda: re.search(r'reason="late_reader"} (\d+)', b.admin.get("/metrics").text)[1]
        c, before = socket.socket(socket.AF_UNIX), late()  # the kernel keeps little for this client
        self.addCleanup(c.close)
        c.connect(str(b.state_dir / "admin.sock"))
        c.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        c.settimeout(60)
        self.assertEqual(c.recv(15), b"HTTP/1.1 200 OK")
        gone = select.poll()
        gone.register(c, 0)

        def is_gone():
            self.to_all(b, ("resume", {}), ("pause", {"reason": "long " * 40}))  # much news in few turns
            return gone.poll(0)
        wait_until(is_gone, 20)
        read = 0
        while data := c.recv(1 << 16):
            read += len(data)
        self.assertGreater(read, 10000)
        return late() == before

    def test_a_client_that_does_not_read_is_dropped(self):
        b = self.many()
        stays = self.stream(b, **self.bearer(b))
        # Where the broker gets little CPU time, the port's limit of 30 s for a reader may come first.
        self.assertTrue(any(self.dropped(b) for _ in range(3)), "each time the port's limit came first")
        self.assertFalse(stays.ended)


class EventsOfPeople(PeopleCase):
    def stream(self, b, **headers):
        s = Stream(b, **headers)
        self.addCleanup(s.close)
        self.assertEqual(s.answer.status, 200)
        wait_until(lambda: s.seen, 20)
        return s

    def test_rights_are_looked_at_before_each_message(self):
        b = self.town(users={"ann": ("operator", ""), "bob": ("operator", "")},
                      server="trusted_proxies = 127.0.0.1\nauth_header = X-Remote-User")
        streams = {user: [self.stream(b, Cookie=self.logged_in(b, user)),
                          self.stream(b, Authorization=f"Bearer {self.token_of(b, user)['token']}"),
                          self.stream(b, **{"X-Remote-User": user})] for user in ("ann", "bob")}
        number = b.admin.get("/api/v1/config/shared").json["number"]
        got = b.admin.request("PUT", "/api/v1/users/ann", {"role": "viewer", "base": number})
        self.assertEqual(got.status, 200, got)
        wait_until(lambda: all(s.ended for s in streams["ann"]), 30, lambda: [s.ended for s in streams["ann"]])
        self.assertEqual([s.ended for s in streams["bob"]], [False] * 3)

    def test_what_ends_on_another_node_has_no_stream_here(self):
        a = self.town(2)
        b = self.nodes[1]
        cookie, token = self.logged_in(a), self.token_of(a, "ann")
        session = self.stream(b, Cookie=cookie)
        robot = self.stream(b, Authorization=f"Bearer {token['token']}")
        stays = self.stream(b, Cookie=self.logged_in(a))
        self.assertEqual(self.by(a, cookie, "DELETE", "/api/v1/session").status, 200)
        wait_until(lambda: session.ended, 30)
        self.assertFalse(robot.ended)
        self.assertEqual(a.admin.request("DELETE", f"/api/v1/tokens/{token['id']}").status, 200)
        wait_until(lambda: robot.ended, 30)
        self.assertFalse(stays.ended)


if __name__ == "__main__":
    main()
