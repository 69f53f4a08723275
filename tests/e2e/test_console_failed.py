"""The retry workbench in a real browser, against a real broker, Redis and php-fpm: exactly what the filter names is
replayed or purged, undo, an edited replay, and nothing moves that is read."""
import json

from console_case import ConsoleCase
from harness import main, wait_until

WORKER = r"""<?php
require '%s';
ping('mail/send', 'mail/held');
$codes = ['smtp' => [510, 'SMTP connect to 10.0.0.%%d failed'], 'user' => [511, 'user %%d not found'], 'quota' => [512, 'quota of %%d is used up'],
    'held' => [514, 'held back for %%d s'], 'edit' => [515, 'field %%d is missing'],
    'slow' => [516, 'too slow by %%d s']];
foreach (jobs() as $job) {
    $kind = json_decode($job['content'], true)['kind'];
    if (!is_file(getenv('T') . "/mended.$kind")) {
        [$code, $text] = $codes[$kind] ?? [513, 'what is %%d'];
        reply($code, sprintf($text, rand(1, 250)));
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
[queue mail]
system = shop
password = secret-pw-mail
[topic mail/send]
pool = p
entry = {worker}
attempts = 1
"""
TOPIC = "/api/v1/topics/mail/send"
USERS = (("admin", "admin", ""), ("vera", "viewer", "systems = shop"))
COUNTS = {"smtp": 34, "user": 12, "quota": 5, "held": 4, "edit": 3, "slow": 12}  # each scenario has jobs of its own


class Failed(ConsoleCase):
    def test_the_retry_workbench_in_a_browser(self):
        worker = self.write("send.php", WORKER % self.worker("reply.php"))
        ini = INI.format(redis=self.redis("main").address, fpm=self.fpm("fpm", children=4).address, worker=worker)
        b = self.console(ini, users=USERS)

        def push(kind, n):
            before = b.topic("mail/send")["dead"]
            b.push("mail", *[json.dumps({"kind": kind, "n": i}) for i in range(n)])
            wait_until(lambda: b.topic("mail/send")["dead"] == before + n, 30)

        for kind, n in COUNTS.items():
            push(kind, n)
        acts = {
            "/dead": lambda: b.topic("mail/send")["dead"],
            "/handled": lambda: "\n".join(self.lines("handled")),
            "/pause": lambda: b.admin.post(f"{TOPIC}/pause", {}) and None,
            "/resume": lambda: b.admin.post(f"{TOPIC}/resume", {}) and None,
            "/groups": lambda: json.dumps([[g["count"], g["code"]] for g in b.admin.get(f"{TOPIC}/failed/groups").json["groups"]]),
            "/more": lambda: push("user", 2),
            **{f"/mend/{kind}": lambda kind=kind: self.write(f"mended.{kind}", "") and None for kind in COUNTS},
        }
        self.assertGreater(len(self.scenario("failed.mjs", b, acts=acts)), 6)


if __name__ == "__main__":
    main()
