"""The console's pages of the whole (overview, systems, cluster, a node, storages, clients, plugins, first steps) in a real
browser, against a broker of which some things are broken."""
from console_case import ConsoleCase
from harness import main, wait_until

SENDS = r"""<?php
require '%s';
ping('mail/send', 'mail/nofpm');
reply(200, 'sent');
"""
FAILS = r"""<?php
require '%s';
ping('mail/fails');
reply(510, 'no such user');
"""
INI = """
[cluster]
storage = main
[storage main]
address = {redis}
[storage other]
address = {other}
[system shop]
[system press]
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
storage = main
pool = p
entry = {sends}
[topic mail/fails]
storage = main
pool = p
entry = {fails}
attempts = 1
[topic mail/nofpm]
storage = main
pool = gone
entry = {sends}
[queue news]
system = press
password = secret-pw-news
[topic news/all]
storage = other
run_type = pull
"""


class Overview(ConsoleCase):
    def test_the_pages_of_the_whole_in_a_browser(self):
        files = {name: self.write(f"{name}.php", text % self.worker("reply.php")) for name, text in (("sends", SENDS), ("fails", FAILS))}
        main_redis, other = self.redis("main"), self.redis("other")
        ini = INI.format(redis=main_redis.address, other=other.address, fpm=self.fpm("fpm", children=4).address,
                         dir=self.dir, **files)
        b = self.console(ini, users=(("admin", "admin", ""), ("vera", "viewer", "systems = shop")))
        b.push("mail", "one", "two", "three")
        wait_until(lambda: b.topic("mail/fails")["dead"] == 3, 30)
        wait_until(lambda: b.topic("mail/nofpm")["state"] == "unreachable", 30)
        producer = b.client("news:secret-pw-news")
        acts = {
            "/away": lambda: main_redis.stop() and None,
            "/full": lambda: other.config_set("maxmemory", "1") and None,
            "/producer": lambda: "ended" if producer.at_end() else "",
            "/drained": lambda: str(b.admin.get("/api/v1/cluster").json["nodes"][0]["drained"]),
        }
        self.scenario("overview.mjs", b, acts=acts)


if __name__ == "__main__":
    main()
