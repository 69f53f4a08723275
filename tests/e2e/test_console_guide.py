"""The guide's whole way in a real browser, in both languages: from a system to a replay, by clicks alone."""
import json

from console_case import ConsoleCase
from harness import ROOT, main

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
"""


class Guide(ConsoleCase):
    def test_the_whole_way_in_both_languages(self):
        redis = self.redis("main")
        others = {name: self.redis(f"other-{name}").address for name in ("en", "zh")}
        fpm = self.fpm("fpm", children=4)
        b = self.console(INI.format(redis=redis.address, fpm=fpm.address, dir=self.dir), server=f"entry_roots = {WORKERS}")
        acts = {"/places": lambda: json.dumps({"redis": others, "workers": WORKERS})}
        for name in others:
            acts[f"/dead/shop-{name}/mail"] = lambda name=name: str(b.topic(f"shop-{name}/mail")["dead"])
        self.scenario("guide.mjs", b, acts=acts)


if __name__ == "__main__":
    main()
