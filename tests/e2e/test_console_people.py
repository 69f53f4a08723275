"""The console's pages of people: login, search, users, tokens, audit, configuration, alerts; and who may what."""
from console_case import ConsoleCase, PASSWORD
from harness import main

INI = """
[cluster]
title = Production
colour = red
[storage main]
address = {address}
[system live]
[system other]
[queue msg]
password = secret-pw-msg
system = live
[topic msg/reply]
run_type = pull
[queue far]
password = secret-pw-far
system = other
[topic far/away]
run_type = pull
[alert waits]
when = dead > 100 for 2m
topic = msg/reply
webhook = http://127.0.0.1:9/
"""


class People(ConsoleCase):
    def test_pages_of_people_in_a_browser(self):
        users = (("admin", "admin", ""), ("watcher", "viewer", "systems = live"), ("oper", "operator", "systems = live"))
        proxy = self.tcp_proxy(self.redis("main").address)
        broker = self.console(INI.format(address=f"127.0.0.1:{proxy.port}"), users)
        def add(name):
            made = broker.admin.post("/api/v1/users", {"name": name, "role": "viewer", "password": PASSWORD})
            self.assertEqual(made.status, 200, made.text)

        add("novice")
        add("changed")
        change = lambda: broker.admin.request("PUT", "/api/v1/users/changed", {"role": "operator"}) and None
        shared = lambda: broker.admin.request("PUT", "/api/v1/config/sections/system/extra", {"values": {}}) and None
        away = lambda: (proxy.refuse(), proxy.cut()) and None
        acts = {"/away": away, "/back": lambda: proxy.refuse(False), "/shared": shared, "/change": change}
        self.assertGreater(len(self.scenario("people.mjs", broker, acts=acts)), 8)


if __name__ == "__main__":
    main()
