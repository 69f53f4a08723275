"""axe finds nothing serious or critical on any page of the console, and no page is wider than the screen: in two
languages, two themes and two widths with CONSOLE_FULL=1 (`make check-full`), else on some pages in one of each."""
import os

from console_case import ConsoleCase
from harness import ROOT, main, wait_until

FULL = os.environ.get("CONSOLE_FULL") == "1"
SOME = ["english_light_wide", "chinese_dark_phone"]
PAGES = ["/overview", "/topic/index", "/topic/mail/send", "/topic/mail/send/failed", "/edit/topic/mail/send"]
REST = ["/start", "/system/index", "/cluster/index", "/cluster/node/a", "/pool/index", "/client/index", "/storage/index",
        "/queue/index", "/queue/mail", "/topic/mail/send/test", "/topic/mail/send/jobs", "/topic/mail/send/errors",
        "/topic/mail/send/settings", "/job/index", "/act/index", "/alert/index", "/search?q=mail", "/add/system", "/add/node",
        "/add/storage", "/add/pool", "/add/queue", "/add/topic", "/add/alert", "/user/index", "/token/index", "/audit/index",
        "/config/index", "/plugin/index"]
INI = """
[storage main]
address = {redis}
[system shop]
[pool php]
run_type = cgi
address = {fpm}
[queue mail]
system = shop
password = secret-pw-mail
[topic mail/send]
pool = php
entry = {workers}/BrokenWorker.php
attempts = 1
[alert backlog]
when = ready > 100 for 1m
topic = mail/send
"""


class Axe(ConsoleCase):
    def test_axe_on_the_pages(self):
        ini = INI.format(redis=self.redis("main").address, fpm=self.fpm("fpm", children=4).address,
                         workers=f"{ROOT}/sdk/php/examples")
        b = self.console(ini)
        job, = b.push("mail", '{"to": "ann"}')
        wait_until(lambda: b.topic("mail/send")["dead"] == 1, 30)
        os.environ["CONSOLE_PAGES"] = ",".join(PAGES + (REST + [f"/job/{job}"] if FULL else []))
        self.scenario("axe.mjs", b, *([] if FULL else SOME))


if __name__ == "__main__":
    main()
