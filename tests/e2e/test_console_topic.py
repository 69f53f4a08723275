"""A topic's page in a real browser, against a real broker, Redis and php-fpm: its tabs, and the test of a job with each of
the answers 200, 404, 500 and 502."""
from cluster import ClusterCase
from console_case import ConsoleCase
from harness import main, wait_until

WORKER = r"""<?php
require '%s';
ping('mail/send', 'mail/slow', 'mail/fails');
foreach (jobs() as $job) {
    $flag = getenv('T') . '/go';
    for ($i = 0; $i < 3000 && $job['content'] === 'wait' && !is_file($flag); $i++, clearstatcache()) {
        usleep(10000);
    }
    if ($job['content'] === 'fail') {
        reply(510, 'user ' . rand(1, 99) . ' not found');
        exit;
    }
    note('handled', $job['content']);
}
reply(200, 'sent');
"""
INI = """
[storage main]
address = {redis}
[system shop]
[pool p]
run_type = cgi
address = {fpm}
max_connections = 4
[pool gone]
run_type = cgi
address = unix:{dir}/nobody.sock
[queue mail]
system = shop
password = secret-pw-mail
[topic mail/send]
pool = p
entry = {worker}
[topic mail/slow]
pool = p
entry = {worker}
[topic mail/fails]
pool = p
entry = {worker}
attempts = 1
[topic mail/stranger]
pool = p
entry = {worker}
[topic mail/nofile]
pool = p
entry = {dir}/no-such-file.php
[topic mail/nofpm]
pool = gone
entry = {worker}
"""
TOPIC = "/api/v1/topics/mail"


class Topic(ConsoleCase):
    def test_a_topics_page_in_a_browser(self):
        worker = self.write("send.php", WORKER % self.worker("reply.php"))
        ini = INI.format(redis=self.redis("main").address, fpm=self.fpm("fpm", children=4).address, worker=worker, dir=self.dir)
        b = self.console(ini, users=(("admin", "admin", ""), ("vera", "viewer", "systems = shop")))
        b.push("mail", "fail", "fail", "fail")
        wait_until(lambda: b.topic("mail/fails")["dead"] == 3, 30)
        acts = {
            "/go": lambda: self.write("go", "") and None,
            "/handled": lambda: "\n".join(self.lines("handled")),
            "/pause": lambda: (b.admin.get(f"{TOPIC}/send").json["pause"] or {}).get("reason"),
        }
        self.assertGreater(len(self.scenario("topic.mjs", b, acts=acts)), 5)


class TopicOfTwoNodes(ConsoleCase, ClusterCase):
    def test_the_table_of_nodes_in_a_browser(self):
        worker = self.write("send.php", WORKER % self.worker("reply.php"))
        ini = INI.format(redis=f"{self.redis('main').address}\nlease = 3s", fpm=self.fpm("fpm", children=4).address, worker=worker, dir=self.dir)
        a = self.console(ini)
        wait_until(lambda: self.key_path(a).exists(), 20)
        b = self.joins("b", a, ini)
        wait_until(lambda: len(a.admin.get("/api/v1/topics/mail/send/nodes").json["nodes"]) == 2, 20)
        self.scenario("nodes.mjs", a, acts={"/kill": b.kill})


if __name__ == "__main__":
    main()
