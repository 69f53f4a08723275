#!/usr/bin/env python3
"""Plugins are called on the loop's thread alone, also while a reload reads files on another one."""

import os
import re
import shutil
import unittest

from harness import ROOT, SANITIZED, Case, main, wait_until

GUARD = """
#include <sys/syscall.h>
#include <unistd.h>
static int on_loop(struct pb_err *err) {
  if (syscall(SYS_gettid) == getpid()) return 0;
  snprintf(err->text, sizeof err->text, "called on another thread");
  return -EINVAL;
}
static int guard_check(const void *pool, const void *topic, struct pb_err *err) {
  (void)pool; (void)topic;
  return on_loop(err);
}
"""


class Threads(Case):
    @unittest.skipIf(SANITIZED, "a plugin built without the sanitizers")
    def test_a_reload_calls_plugins_on_the_loops_thread(self):
        cc = shutil.which(os.environ.get("CC", "cc").split()[-1])
        self._need(cc, "a C compiler")
        source = (ROOT / "plugins" / "skeleton" / "skeleton.c").read_text()
        source = source.replace("static int skeleton_check_topic(", GUARD + "static int skeleton_check_topic(", 1)
        source = re.sub(r"\.check_topic = skeleton_check_topic,",
                        ".check = guard_check, .check_topic = skeleton_check_topic,", source)
        source = re.sub(r"(static int skeleton_check_topic\([^{]*\{)", r"\1 if (on_loop(err)) return -EINVAL;", source, count=1)
        (self.dir / "plugins").mkdir()
        built = self.run_program(cc, "-std=gnu17", "-shared", "-fPIC", "-fvisibility=hidden", "-I", ROOT / "include",
                                 "-include", "stdio.h", "-include", "errno.h",
                                 "-o", self.dir / "plugins" / "skeleton.so", self.write("guarded.c", source))
        self.assertEqual(built.status, 0, built.err)
        redis = self.redis()
        ini = f"[storage main]\naddress = {redis.address}\n"
        for i in range(300):
            ini += f"[queue q{i}]\npassword = a-long-password\n[topic q{i}/t]\nrun_type = skeleton\n"
        b = self.broker("a", ini, start=False)
        b.path.write_text(re.sub(r"plugin_dir = .*", f"plugin_dir = {self.dir}/plugins", b.path.read_text()))
        b.start()
        text = b.path.read_text()
        for workers in (2, 3):
            b.path.write_text(text + f"workers = {workers}\n")
            answer = b.admin.post("/api/v1/reload")
            self.assertEqual(answer.status, 200, answer.text)
            wait_until(lambda n=workers: b.topic("q299/t")["workers"] == n)
        self.assertNotIn("another thread", b.log_text())


if __name__ == "__main__":
    main()
