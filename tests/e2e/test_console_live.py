"""A page of the console stays as it is while it is read under load, and its memory stays flat. Ten minutes with
CONSOLE_FULL=1 (`make check-full`), else half a minute."""
import os
import threading

from console_case import ConsoleCase
from harness import ROOT, main, wait_until

SECONDS = 600 if os.environ.get("CONSOLE_FULL") == "1" else 30
INI = """
[storage main]
address = {redis}
[pool php]
run_type = cgi
address = {fpm}
max_connections = 4
[queue mail]
password = secret-pw-mail
[topic mail/send]
pool = php
entry = {workers}/BrokenWorker.php
attempts = 1
[topic mail/copy]
pool = php
entry = {workers}/AnyTopicWorker.php
"""


class Live(ConsoleCase):
    def test_what_is_read_stays_under_load(self):
        b = self.console(INI.format(redis=self.redis("main").address, fpm=self.fpm("fpm", children=4).address,
                                    workers=f"{ROOT}/sdk/php/examples"))
        b.push("mail", *[f"job {i}" for i in range(20)])
        wait_until(lambda: b.topic("mail/send")["dead"] == 20, 30)
        over = threading.Event()

        def load():
            while not over.wait(0.2):
                b.push("mail", *["more"] * 10)

        thread = threading.Thread(target=load)
        thread.start()
        os.environ["CONSOLE_LIVE"] = str(SECONDS)
        try:
            self.scenario("live.mjs", b)
        finally:
            over.set()
            thread.join()


if __name__ == "__main__":
    main()
