#!/usr/bin/env python3
"""Every form of the console with every kind of bad input, and forms that are open while the broker or Redis goes away:
some with `make check`, all of them with CONSOLE_FULL=1 (`make check-full`)."""
import json
import os
import re
from pathlib import Path

from console_case import ConsoleCase, PASSWORD
from harness import ROOT, main, wait_until

FULL = os.environ.get("CONSOLE_FULL") == "1"
SOME = ["a_failed_job_is_edited", "some_fields_of_a_topic", "the_broker_restarts_while_forms_are_open"]
# Every component with a form of its own, and the tests that fill it in badly.
FORMS = {
    "components/AppShell.vue": "a search: any text",
    "components/CommandPalette.vue": "a search: any text",
    "components/ConfirmDialog.vue": "filters_and_acts_of_failed_jobs, an_alert_is_silenced_and_a_topic_paused",
    "components/PasswordDialog.vue": "a_login_and_ones_own_password",
    "components/SectionForm.vue": "each_form_of_a_section_alert_to_queue, each_form_of_a_topic",
    "pages/acts/ActsPage.vue": "a search: any text",
    "pages/alerts/SilenceDialog.vue": "an_alert_is_silenced_and_a_topic_paused",
    "pages/config/ImportTab.vue": "configurations_that_are_wrong",
    "pages/jobs/JobsPage.vue": "a search: any text",
    "pages/login/LoginPage.vue": "a_login_and_ones_own_password",
    "pages/search/SearchPage.vue": "a search: any text",
    "pages/topic/TestTab.vue": "any text is a job (topic.mjs)",
    "pages/topic/failed/EditDialog.vue": "a_failed_job_is_edited",
    "pages/topic/failed/FilterForm.vue": "filters_and_acts_of_failed_jobs",
    "pages/topic/failed/ImportDialog.vue": "filters_and_acts_of_failed_jobs",
    "pages/users/TokenDialog.vue": "users_and_tokens",
    "pages/users/UserDialog.vue": "users_and_tokens",
}
WORKER = r"""<?php
require '%s';
ping('mail/broken', 'mail/send');
foreach (jobs() as $job) {
    if (strpos($job['content'], 'first') !== false) {
        reply(510, 'no');
        exit;
    }
    note('handled', json_encode($job['content'], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE));
}
reply(200, 'ok');
"""
FIRST = '{"kind":\t"first",\r\n\t"n": 12345678901234567890,\r\n "f": 1.50e+3\n}'
EDITED = FIRST.replace("{", "{ ", 1)
COMPACT = '{"kind":"first","n":12345678901234567890,"f":1.50e+3}'
INI = """
[storage main]
address = {redis}
[system mail]
[pool php]
run_type = cgi
address = {fpm}
[queue mail]
system = mail
password = secret-pw-mail
[topic mail/send]
pool = php
entry = {worker}
[topic mail/broken]
pool = php
entry = {worker}
attempts = 1
[alert backlog]
when = ready > 100 for 1m
topic = mail/send
[node other]
"""


class Forms(ConsoleCase):
    def test_each_form_of_the_console_has_its_case(self):
        root = Path(ROOT) / "console" / "src"
        found = {str(f.relative_to(root)) for f in root.rglob("*.vue") if re.search(r"<form\b", f.read_text())}
        self.assertEqual(found, set(FORMS), "a form without a line in FORMS")
        scenarios = (Path(__file__).parent / "console" / "forms.mjs").read_text()
        for tests in FORMS.values():
            for name in re.findall(r"\b[a-z]+(?:_[a-z]+){2,}", tests):
                self.assertIn(f" {name}", scenarios)

    def test_bad_input_in_a_browser(self):
        proxy = self.tcp_proxy(self.redis("main").address)
        worker = self.write("worker.php", WORKER % self.worker("reply.php"))
        b = self.console(INI.format(redis=f"127.0.0.1:{proxy.port}", fpm=self.fpm("fpm", children=2).address, worker=worker))

        def put(kind, name, values):
            made = b.admin.request("PUT", f"/api/v1/config/sections/{kind}/{name}", {"values": values})
            self.assertEqual(made.status, 200, made.text)

        def title(name):
            return b.admin.get(f"/api/v1/config/sections/system/{name}").json["keys"].get("title", "")

        for name in ("both", "kept"):
            put("system", name, {"title": "first"})
        put("queue", "shared", {"password": "long-enough-password", "system": "mail"})
        made = b.admin.post("/api/v1/users", {"name": "novice", "role": "viewer", "password": PASSWORD})
        self.assertEqual(made.status, 200, made.text)
        wait_until(lambda: b.admin.get("/api/v1/config/sections/queue/shared").status == 200, 10)
        job, other, _ = b.push("mail", FIRST, '{"kind": "first other"}', '{"kind": "first last"}')
        wait_until(lambda: b.topic("mail/broken")["dead"] == 3, 30)
        acts = {
            "/other": lambda: put("system", "both", {"title": "theirs"}),
            "/title": lambda: title("both"),
            "/kept": lambda: title("kept"),
            "/handled": lambda: "\n".join(self.lines("handled")),
            "/away": lambda: (proxy.refuse(), proxy.cut()) and None,
            "/back": lambda: proxy.refuse(False),
            "/stop": lambda: b.stop() and None,
            "/start": lambda: b.start() and None,
        }
        taken = {"system": ["mail", "both"], "node": ["other"], "storage": ["main"], "pool": ["php"], "queue": ["mail", "shared"],
                 "topic": ["send"], "alert": ["backlog"]}
        os.environ["CONSOLE_FORMS"] = json.dumps({"taken": taken, "job": job, "other": other, "edited": EDITED, "compact": COMPACT})
        names = os.environ.get("CONSOLE_TESTS", "").split(",") if os.environ.get("CONSOLE_TESTS") else [] if FULL else SOME
        self.scenario("forms.mjs", b, *names, acts=acts)


if __name__ == "__main__":
    main()
