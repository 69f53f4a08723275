#!/usr/bin/env python3
"""The workers of examples/exec, and those of the PHP SDK, as commands."""

import shutil

from harness import ROOT, CommandCase, equals, main, wait_until

SDK = """<?php
require "%s/sdk/php/autoload.php";
class Say {
    public function run(Pepper\\Bus\\Job $job) {
        if ($job->content === "two") { throw new RuntimeException("not two"); }
        echo "stray output\\n";
        return "said $job->content";
    }
}
PepperBus::getInstance()->register("x", "sdk", "Say", "run")->register("x", "sdkonce", "Say", "run")->do();
"""


class Examples(CommandCase):
    EXAMPLES = ROOT / "examples" / "exec"

    def serves(self, topic, entry, keys="resident = yes\nworkers = 2"):
        """Starts a broker with that topic and gives it four jobs."""
        b = self.start((f"x/{topic}", f"{keys}\nattempts = 1\nentry = {entry}"))
        b.becomes(f"x/{topic}", "state", "open", 10, f"x/{topic} opens")
        b.push("x", "one", "two", "", "three")
        return b

    def three_of_four(self, topic, entry, keys):
        self._need(shutil.which("php"), "php")
        b = self.serves(topic, entry, f"{keys}\nworkers = 2\nchunk = 4")
        b.becomes(f"x/{topic}", "done", 3, 10, f"{topic}: three jobs of a chunk are done")
        b.becomes(f"x/{topic}", "dead", 1, 10, "and the one that failed is dead alone")
        return b

    def sdk(self, topic, keys):
        b = self.three_of_four(topic, f"php {self.write('sdk.php', SDK % ROOT)}", keys)
        b.complains(f"x/{topic}", "not two", "with its exception")
        return b

    def test_worker_php(self):
        self.three_of_four("php", f"php {self.EXAMPLES}/worker.php", "resident = yes")

    def test_the_sdk_in_processes_that_stay(self):
        b = self.sdk("sdk", "resident = yes")
        wait_until(lambda: b.logged("x/sdk: process [0-9]+: stray output"), 10, "what handlers print is in the log")

    def test_the_sdk_in_a_process_for_each_request(self):
        self.sdk("sdkonce", "ping = yes")

    def test_worker_py(self):
        self._need(shutil.which("python3"), "python3")
        b = self.serves("py", f"python3 {self.EXAMPLES}/worker.py")
        b.becomes("x/py", "done", 4, 10, "worker.py: four jobs")

    def test_worker_sh(self):
        self._need(shutil.which("jq"), "jq")
        b = self.serves("sh", f"{self.EXAMPLES}/worker.sh", f"resident = yes\nworkers = 1\nenv = OUT={self.dir}/sh.out")
        b.becomes("x/sh", "done", 4, 10, "worker.sh: four jobs")
        equals(lambda: sorted(self.lines("sh.out")), ["", "one", "three", "two"], 1, "written as they came")


if __name__ == "__main__":
    main()
