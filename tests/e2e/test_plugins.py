#!/usr/bin/env python3
"""Plugins in the broker: one that was built with the headers of 1.0 carries jobs; each that cannot be
used is refused with a sentence that names file, plugin, wanted and found; `plugin ls` shows them, and
the topics that are left without a transport."""

import re
import shutil

from harness import ROOT, Case, compiler, main


class Plugins(Case):
    """A folder of plugins: one of 1.0, and seven that cannot be used, each for a reason of its own."""

    def setUp(self):
        super().setUp()
        self._need(shutil.which(compiler()[0]), compiler()[0])
        self.plugins = self.dir / "plugins"
        self.plugins.mkdir()
        self.build("skeleton", f"{ROOT}/tests/abi/skeleton-1.0.c", f"-I{ROOT}/tests/abi/include-1.0")
        self.variant("later", "later", ("PB_ABI_MAJOR,", "9,"))
        self.variant("minor", "minor", ("PB_ABI_MINOR,", "99,"))
        self.variant("twin", "skeleton")
        self.variant("keys", "keys", (".offset = offsetof(struct pool_conf, delay_ms)", ".offset = 4000"))
        unload = "static void skeleton_unload(void *plugin) {"
        self.variant("unlinked", "unlinked", (unload, f"void missing_function(void);\n{unload}\n  missing_function();"))
        self.variant("everybody", "everybody")
        (self.plugins / "everybody.so").chmod(0o666)
        self.build("stranger", self.write("stranger.c", "int nothing;\n"))
        self.write("plugins/text.so", "no library\n")
        self.redis_server = self.redis()

    def build(self, name, source, *options):
        r = self.run_program(*compiler(), "-std=gnu17", "-shared", "-fPIC", "-fvisibility=hidden", *options, "-o",
                             self.plugins / f"{name}.so", source)
        self.assertEqual(r.status, 0, f"{name} is built: {r.err[-2000:]}")

    def variant(self, name, run_type, *changes):
        """The skeleton of today as `name`, with a run type, and with texts that are changed."""
        text = (ROOT / "plugins/skeleton/skeleton.c").read_text()
        text = text.replace("PB_TRANSPORT(skeleton,", f"PB_TRANSPORT({name},")
        text = re.sub(r'\.run_type = "[a-z]*"', f'.run_type = "{run_type}"', text)
        text = text.replace('.name = "skeleton"', f'.name = "{name}"')
        for old, new in changes:
            self.assertIn(old, text, f"what {name} changes in the skeleton")
            text = text.replace(old, new)
        self.build(name, self.write(f"{name}.c", text), f"-I{ROOT}/include")

    def start(self, name="b", ini="", **kw):
        return self.broker(name, f"""[storage main]
address = {self.redis_server.address}
[pool p]
run_type = skeleton
delay = 2ms
[queue q]
password = secret-pw
[topic q/old]
pool = p
{ini}""", plugin_dir=self.plugins, **kw)

    def refused(self, why, name, *words):
        """The sentence about the plugin `name` begins with its file, and says all of `words`."""
        sentence = why[name]
        self.assertTrue(sentence.startswith(f"{self.plugins}/{name}.so: "), f"the sentence names the file: {sentence}")
        for word in words:
            self.assertRegex(sentence, word, f"{name}: what its sentence says")

    def test_a_plugin_of_1_0_carries_jobs(self):
        b = self.start()
        b.push("q", *[f"job-{i}" for i in range(50)])
        b.becomes("q/old", "done", 50, 20, "the plugin of 1.0 carries 50 jobs")

    def test_each_that_is_refused_has_its_sentence(self):
        b = self.start()
        why = {p["file"].rpartition("/")[2].removesuffix(".so"): p["why"]
               for p in b.ctl("plugin", "ls", "--json").json["plugins"]}
        self.assertFalse(why["skeleton"], "nothing is wrong with the one of 1.0")
        self.refused(why, "later", '"later.so"', r"wants plugin ABI 9\.", r"this broker has 1\.", "newer broker")
        self.refused(why, "minor", '"minor"', r"wants plugin ABI 1\.99", r"this broker has 1\.")
        self.refused(why, "keys", '"keys"', r"\[pool\]", "delay: offset 4000 is outside of the struct of [0-9]+ bytes")
        self.refused(why, "unlinked", "missing_function")
        self.refused(why, "everybody", "everybody can write", "chmod o-w")
        self.refused(why, "stranger", r"exports no stranger_LTX_pb_transport\(\)", r"PB_TRANSPORT\(\)")
        self.refused(why, "text", "cannot be loaded")
        # Both serve "skeleton"; the folder is read in the order of names.
        self.refused(why, "twin", 'twin.so: transport "twin" serves run type "skeleton", which "skeleton" '
                     rf"\({self.plugins}/skeleton.so\)")
        table = b.ctl("plugin", "ls").out
        self.assertRegex(table, r"skeleton +1\.0 +1\.0 +skeleton +loaded", "plugin ls: name, version, ABI, run type")
        self.assertRegex(table, f"later.so +.*refused +{self.plugins}/later.so", "and the refused ones")
        self.assertTrue(b.logged(r"later\.so.*; going on without it"), "the log has it too")

    def checked(self, old, new):
        """What `pepperbusd -t` says of the configuration in which a line is another one."""
        b = self.start("c", start=False)
        self.assertIn(old, b.ini)
        b.write(b.ini.replace(old, new))
        r = b.check()
        return r.out + r.err

    def test_a_topic_without_a_transport_is_warned_of(self):
        self.assertRegex(
            self.checked("run_type = skeleton", "run_type = keys"),
            r"warning: .*c\.ini:[0-9]+: \[pool p\] run_type = keys: no plugin provides this run type, so its jobs wait "
            r"and none is lost; there is skeleton; refused, as told above: .*keys\.so",
            "file and line, and which plugins were refused")

    def test_an_unknown_key_is_named_with_file_and_line(self):
        self.assertRegex(self.checked("delay = 2ms", "delai = 2ms"),
                         r"c\.ini:[0-9]+: \[pool p\] delai: .*did you mean delay", "file, line and what was meant")

    def test_one_that_does_not_load_stops_neither_other_topics_nor_its_intake(self):
        left = "[pool k]\nrun_type = keys\n[topic q/left]\npool = k\n"
        b = self.start()
        b.reload(b.ini + left)
        b.becomes("q/left", "state", "broken", 10, "after a reload its topic is broken")
        self.assertIn("no plugin provides run_type keys", b.topic("q/left")["why"], "and says why")
        self.assertEqual(b.stop(), 0, "the broker stops")
        b.start()
        b.becomes("q/left", "state", "broken", 10, "and starts with it")
        self.assertEqual(b.lpush("q", *[f"job-{i}" for i in range(10)])["error"], "", "producers are served")
        b.becomes("q/old", "done", 10, 20, "the other topic runs")
        self.assertEqual(b.topic("q/left")["ready"], 10, "its own jobs are kept")
        self.assertRegex(b.ctl("plugin", "ls").out,
                         r"(?s)topics without a transport.*q/left.*no plugin provides run_type keys",
                         "plugin ls names the topics left without a transport")
        self.assertTrue(b.logged("q/left.*cannot run: no plugin provides run_type keys; its jobs are kept"),
                        "and the log does")
        b.reload(b.ini.replace("run_type = keys", "run_type = skeleton"))
        b.becomes("q/left", "done", 10, 20, "with a transport they are run")


if __name__ == "__main__":
    main()
