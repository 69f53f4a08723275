"""The console in a real browser (Debian's Chromium by Playwright), against a real broker and Redis."""
from console_case import ConsoleCase
from harness import main

INI = """
[storage main]
address = {address}
[queue msg]
password = secret-pw-msg
[topic msg/reply]
run_type = pull
[topic msg/push]
run_type = pull
[queue held]
password = secret-pw-held
[topic held/topic]
run_type = pull
"""


class Console(ConsoleCase):
    def test_the_first_pages_in_a_browser(self):
        broker = self.console(INI.format(address=self.redis("main").address))
        acts = {"/": lambda: broker.push("held", "1", "2", "3") and None, "/stop": broker.kill, "/start": broker.start}
        self.assertGreater(len(self.scenario("first.mjs", broker, acts=acts)), 10)


if __name__ == "__main__":
    main()
