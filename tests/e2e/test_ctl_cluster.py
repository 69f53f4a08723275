#!/usr/bin/env python3
"""pepperbusctl and the nodes of a cluster: who runs what, the key, nodes that rest or are gone."""

import json
import os
import re

from elsewhere import Elsewhere
from harness import PEPPERBUSCTL, Case, main, wait_until

NODES = [{"node": "n1", "number": 42, "state": "runs", "why": "", "broken": [], "at_ms": 1700000000000},
         {"node": "n2", "number": 42, "state": "broken", "why": "",
          "broken": [{"kind": "topic", "name": "q/t", "why": "no plugin for run_type exec"}], "at_ms": 1700000000000},
         {"node": "n3", "number": 41, "state": "away", "why": "", "broken": [], "at_ms": None}]
SHARED = {"cluster": "prod", "storage": "main", "state": "ready", "why": "", "number": 42, "at_ms": 1700000000000,
          "by": "ann", "key": {"id": "0123456789abcdef", "state": "ok", "why": ""}, "nodes": NODES}
LOCAL = """
[cluster]
name = prod
[storage main]
address = {address}
"""


class Nodes(Case):
    def setUp(self):
        super().setUp()
        self.far = self._close(Elsewhere(self.free_port()))
        self.env = {**os.environ, "PEPPERBUS_URL": self.far.url, "PEPPERBUS_TOKEN": "token"}

    def ctl(self, *args, status=0):
        r = self.run_program(PEPPERBUSCTL, *args, env=self.env)
        self.assertEqual(r.status, status, f"{args}: {r}")
        return r

    def test_status_says_which_node_runs_what(self):
        answer = lambda **more: self.far.answers.update({"/api/v1/config/shared": (200, {}, {**SHARED, **more})})
        answer()
        out = self.ctl("cluster", "status", status=1).out
        self.assertRegex(out, r"cluster prod: ready\n(?s:.*)revision 42, .* by ann")
        self.assertRegex(out, "n1 +42 +runs .* ago")
        self.assertRegex(out, "n2 +42 +broken .* topic q/t: no plugin for run_type exec\n")
        self.assertRegex(out, "n3 +41 +away +-")
        answer(nodes=NODES[:1])
        self.ctl("cluster", "status")
        answer(nodes=NODES[:1], number=43)
        self.ctl("cluster", "status", status=1)
        answer(nodes=NODES[:1], state="lost")
        self.ctl("cluster", "status", status=1)

    def test_a_node_rests_and_is_forgotten(self):
        self.far.answers["/api/v1/nodes/n2/drain"] = self.far.answers["/api/v1/nodes/n2"] = (200, {}, {})
        for words, method, path, body in ((("drain", "n2"), "POST", "/drain", {"drain": True}),
                                          (("drain", "n2", "--off"), "POST", "/drain", {"drain": False}),
                                          (("rm", "n2", "--yes"), "DELETE", "", None)):
            self.ctl("node", *words)
            m, p, _, sent = self.far.asked[-1]
            self.assertEqual((m, p, json.loads(sent or "null")), (method, f"/api/v1/nodes/n2{path}", body), words)
        self.ctl("node", "rm", "n2", status=2)  # no terminal to ask on
        self.assertEqual(len(self.far.asked), 3)
        self.ctl("node", "rm", "n9", "--yes", status=4)


class Real(Case):
    def test_a_node_that_runs_the_newest_revision(self):
        b = self.broker("b", LOCAL.format(address=self.redis("main").address))
        text = self.write("shared.ini", "[queue q]\npassword = a-good-long-password\n[topic q/t]\nrun_type = pull\n")
        self.assertEqual(b.ctl("config", "apply", text).status, 0)
        wait_until(lambda: re.search("b +1 +runs", b.ctl("cluster", "status").out), 20,
                   lambda: b.ctl("cluster", "status"))
        self.assertEqual(b.ctl("cluster", "status").status, 0)
        self.assertEqual(b.ctl("cluster", "key", "show").status, 0)

class Key(Case):
    def test_the_key_is_shown_by_its_id_on_the_node_only(self):
        b = self.broker("b", LOCAL.format(address=self.redis("main").address))
        path = b.state_dir / "cluster.key"
        path.write_text("5ec4e7" * 10 + "5ec4\n")
        path.chmod(0o600)
        r = b.ctl("cluster", "key", "show", "--json")
        self.assertRegex(r.json["id"], "^[0-9a-f]{16}$", r)
        self.assertNotIn("5ec4e7", r.out + r.err, "never the key")
        path.chmod(0o644)
        r = b.ctl("cluster", "key", "show")
        self.assertEqual(r.status, 1, r)
        self.assertIn("chmod 600", r.out, "and what is wrong with the file")
        self.assertNotIn("5ec4e7", r.out + r.err)
        r = self.run_program(PEPPERBUSCTL, "-H", b.admin_address, "cluster", "key", "show")
        self.assertEqual(r.status, 2)
        self.assertIn("node's machine", r.err)


if __name__ == "__main__":
    main()
