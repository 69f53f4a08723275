"""The guide's whole way in a real browser, in both languages: from a system to a replay, by clicks alone; and from the
login to a replay by the keyboard alone."""
import json

from console_case import ConsoleCase
from harness import ROOT, main, wait_until

WORKERS = f"{ROOT}/sdk/php/examples"
INI = """
[storage main]
address = {redis}
[pool local]
run_type = cgi
address = {fpm}
max_connections = 4
[pool gone]
run_type = cgi
address = unix:{dir}/nobody.sock
[queue keys]
password = secret-pw-keys
[topic keys/mail]
pool = local
entry = {dir}/keys.php
storage = main
attempts = 1
"""
KEYS = """<?php
require '%s/sdk/php/autoload.php';
PepperBus::getInstance()->register('keys', 'mail', function (Pepper\\Bus\\Job $job) {
    if (!is_file(__DIR__ . '/mended')) throw new RuntimeException('no mail server');
    file_put_contents(__DIR__ . '/handled.keys', "$job->content\\n", FILE_APPEND | LOCK_EX);
})->do();
""" % ROOT


class Guide(ConsoleCase):
    def test_the_whole_way_in_both_languages(self):
        redis = self.redis("main")
        others = {name: self.redis(f"other-{name}").address for name in ("en", "zh")}
        fpm = self.fpm("fpm", children=4)
        self.write("keys.php", KEYS)
        b = self.console(INI.format(redis=redis.address, fpm=fpm.address, dir=self.dir), server=f"entry_roots = {WORKERS}")
        acts = {"/places": lambda: json.dumps({"redis": others, "workers": WORKERS})}
        for name in others:
            acts[f"/dead/shop-{name}/mail"] = lambda name=name: str(b.topic(f"shop-{name}/mail")["dead"])
        b.push("keys", "1", "2")
        wait_until(lambda: b.topic("keys/mail")["dead"] == 2, 30)
        acts["/mend"] = lambda: self.write("mended", "") and None
        acts["/handled"] = lambda: str(len(self.lines("handled.keys")))
        self.scenario("guide.mjs", b, acts=acts)


if __name__ == "__main__":
    main()
