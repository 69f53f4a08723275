#!/usr/bin/env python3
"""Jobs over HTTP/2, to servers in Node, with TLS and without; one that is rude."""

import shutil

from harness import WebCase, main, wait_until


class Http2(WebCase):
    def setUp(self):
        super().setUp()
        node = shutil.which("node")
        self._need(node, "node")
        self.h2c, self.h2s = self.free_port(), self.free_port()
        self.authority("ca")
        self.certificate("server", "ca")
        server = self.spawn(node, self.worker("http2.js"), self.dir, self.h2c, self.h2s, name="node")

        def listens():
            return not server.running or sum("listening on" in line for line in self.lines("node.log")) == 2

        wait_until(listens, 20, "node does not listen")
        self.assertTrue(server.running, self.lines("node.log"))

    def opened(self, name, *keys, tls=True, pools=""):
        port = f"entry = https://127.0.0.1:{self.h2s}/\nca_file = {self.dir}/ca.pem" if tls else \
               f"entry = http://127.0.0.1:{self.h2c}/\nhttp_version = 2-prior"
        self.start((name, "\n".join([port, *keys])), pools=pools)
        self.is_(name, "state", "open", f"{name} opens over HTTP/2")

    def many(self, name):
        self.push(name, *range(400))
        self.are_handled(name, 400, "400 jobs, 20 at a time", 20)
        self.once_each(name, 400)

    def test_without_tls(self):
        self.opened("node", "workers = 20", tls=False)
        self.many("node")

    def test_within_tls_over_at_most_two_connections(self):
        self.opened("nodetls", "workers = 20", "host = bus.example", "header = X-Shop: 7")
        self.many("nodetls")
        came = self.lines("came.nodetls")
        self.assertEqual({line.split(" over ")[0] for line in came}, {"bus.example 7"},
                         "host and headers of its own in HTTP/2 too")
        # What the jobs came over: a ping may have had a connection of its own.
        self.assertLessEqual(len(set(came[-400:])), 2, "over at most two connections")

    def test_a_rude_server_runs_nothing_twice_unless_it_is_counted(self):
        # One job's rudeness is another one's failed attempt, and the machine may be slow.
        self.opened("rude", "workers = 4", "timeout = 1s", "attempts = 20")
        self.push("rude", "refused")  # by itself: what ends a connection ends all attempts on it
        self.is_("rude", "done", 1, "a stream refused: done in the end")
        for how in ("reset", "destroy", "half", "hang", "goaway"):
            self.push("rude", how)
        self.is_("rude", "done", 6, "streams reset, half answered, left alone: done in the end", 20)
        ran = self.lines("handled.rude")
        self.assertEqual(sum("refused" in line for line in ran), 1, "refused three times, and handled once")
        self.assertEqual(len(set(ran)), len(ran), "no attempt was sent twice")
        self.assertLessEqual(len(ran), self.topic("rude")["attempts"], "and none without being counted")

    def test_a_connection_is_let_go_when_it_is_idle_and_only_then(self):
        self.opened("brief", "pool = brief", "workers = 4",
                    pools="[pool brief]\nrun_type = http\nmax_connections = 8\nidle_timeout = 200ms")
        self.push("brief", 1, 2, 3)
        self.are_handled("brief", 3, "3 jobs")
        self.let_go("brief", "its connection is let go")
        self.push("brief", 4, 5, 6)
        self.are_handled("brief", 6, "and made again")
        self.let_go("brief", "and let go once more")
        self.push("brief", "quick", "slow")
        self.is_("brief", "done", 8, "whose first request is over long before the second on it")
        self.assertEqual(self.topic("brief")["failed"], 0, "without a failed attempt")


if __name__ == "__main__":
    main()
