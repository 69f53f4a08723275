#!/usr/bin/env python3
"""Systems: a node takes jobs for all queues and runs the topics of its own systems only. And a queue
whose topics keep their jobs in two storages."""

import re

from harness import Case, RespError, equals, main, wait_until


class Systems(Case):
    """Two systems, each with its storage; a node of each."""

    def setUp(self):
        super().setUp()
        self.live, self.back = self.redis("live"), self.redis("back")
        fpm = self.fpm()
        self.ini = f"""
[system live]
[system back]
[storage main]
system = live
address = {self.live.address}
[storage office]
system = back
address = {self.back.address}
[pool php]
run_type = cgi
address = {fpm.address}
max_connections = 2
[queue l]
system = live
password = secret-pw-of-l
[topic l/any]
pool = php
entry = {self.worker("any.php")}
[queue o]
system = back
password = secret-pw-of-o
[topic o/any]
pool = php
entry = {self.worker("any.php")}
"""

    def states(self, node):
        return node.topic("l/any")["state"], node.topic("o/any")["state"]

    def two_nodes(self):
        one = self.broker("one", self.ini, "systems = live")
        equals(lambda: self.states(one), ("open", "disabled"), 10, "one runs the topics of live")
        one.push("o", "early")
        self.assertEqual(one.topic("o/any")["ready"], 1, "the jobs of others are kept until their node is there")
        two = self.broker("two", self.ini, "systems = back")
        equals(lambda: self.states(two), ("disabled", "open"), 10, "two runs those of back")
        return one, two

    def test_jobs_of_each_system_are_run_by_its_own_node(self):
        one, two = self.two_nodes()
        self.assertIn("this node does not run its system", one.topic("o/any")["why"])
        one.push("l", "from-one")
        one.push("o", "other-from-one")
        two.push("l", "from-two")
        two.push("o", "other-from-two")
        equals(lambda: len(self.lines("handled")), 5, 10, "jobs of both, added to both, are handled")
        # A job is noted by its worker before the broker has the answer and counts it.
        equals(lambda: (one.topic("l/any")["done"], two.topic("o/any")["done"]), (2, 3), 10,
               "each by the node of its system")
        self.assertEqual((one.topic("o/any")["done"], two.topic("l/any")["done"]), (0, 0), "and by no other")
        self.assertEqual((self.live.cmd("KEYS", "pb:{o}*"), self.back.cmd("KEYS", "pb:{l}*")), ([], []),
                         "each job is in its system's storage")

    def test_a_reload_changes_whose_node_it_is(self):
        one, two = self.two_nodes()
        one.reload(server="systems = back")
        equals(lambda: self.states(one), ("disabled", "open"), 10, "one is a node of back now")
        two.push("l", "waits")
        two.becomes("l/any", "ready", 1, 5, "a job of live waits, for nobody runs it")
        one.reload(server="systems = live, back")
        equals(lambda: self.states(one), ("open", "open"), 10, "one is a node of both now")
        wait_until(lambda: [l for l in self.lines("handled") if l.endswith(" waits")], 10, "what waited is handled")

    def test_a_node_section_says_what_its_node_runs(self):
        one = self.broker("one", self.ini + "[node one]\nsystems = back\n", "systems = live")
        equals(lambda: self.states(one), ("disabled", "open"), 10, "[node one] counts before [server]")
        self.assertEqual(one.topic("l/any")["why"], "this node does not run its system ([node one] systems)")
        one.reload(self.ini + "[node one]\nsystems = back, live\ndrain = yes\n")
        equals(lambda: self.states(one), ("disabled", "disabled"), 10, "a drained node runs no topic")
        self.assertEqual(one.topic("o/any")["why"], "this node is drained ([node one] drain = yes)")
        one.push("o", "kept")
        self.assertEqual(one.topic("o/any")["ready"], 1, "but it takes jobs")
        one.reload(self.ini + "[node one]\nsystems = back\n[node two]\ndrain = yes\n")
        equals(lambda: self.states(one), ("disabled", "open"), 10, "the drain of another node is not its own")
        equals(lambda: one.topic("o/any")["ready"], 0, 10, "and what was kept is run")


class TwoStorages(Case):
    """A queue whose two topics keep their jobs in two storages."""

    def counts(self, b, member):
        return b.topic("q/log")[member], b.topic("q/a")[member]

    def handled(self):
        return len(self.lines("handled.q.log")), len(self.lines("handled.q.a"))

    def test_a_job_is_stored_once_in_each(self):
        redis, other = self.redis("main"), self.redis("other")
        b = self.broker("b", f"""
[storage main]
address = {redis.address}
[storage office]
address = {other.address}
connect_timeout = 500ms
[pool php]
run_type = cgi
address = {self.fpm().address}
max_connections = 2
[queue q]
password = secret-pw
[topic q/log]
storage = main
pool = php
entry = {self.worker("log.php")}
[topic q/a]
storage = office
pool = php
entry = {self.worker("log.php")}
""")
        b.push("q", "both")
        equals(self.handled, (1, 1), 10, "a job for topics in two storages")
        for path in ("q/log", "q/a"):
            b.admin.post(f"/api/v1/topics/{path}/pause")

        def add():
            with b.client("q:secret-pw") as c:
                return c.call("ADDJOB", "q", "twice", 0, "ID", "order-7")

        other.stop()
        with self.assertRaises(RespError) as said:
            add()
        self.assertRegex(str(said.exception), "^STORAGE .*office", "the error names the one that is away")
        self.assertTrue(re.search("stored: 1 of 1 in main, 0 of 1 in office|nothing of this request was stored",
                                  str(said.exception)), f"and says where the job is stored: {said.exception}")
        other.start()
        wait_until(lambda: add().startswith("D-"), 20, "it is back: the same is added again")
        equals(lambda: self.counts(b, "ready"), (1, 1), 5, "stored once in each")
        for path in ("q/log", "q/a"):
            b.admin.post(f"/api/v1/topics/{path}/resume")
        equals(self.handled, (2, 2), 10, "and handled once by each topic")


if __name__ == "__main__":
    main()
