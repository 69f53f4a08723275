"""The Lua scripts of core/storage/redis: scripts.awk, their texts, and that each is used and run."""

import os
import pathlib
import re
import shutil
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests/e2e"))
from harness import PEPPERBUSD, Case, RespError, main  # noqa: E402  pylint: disable=wrong-import-position

REDIS = TOP / "core/storage/redis"
AWK = REDIS / "scripts.awk"
SCRIPTS = sorted((REDIS / "scripts").glob("*.lua"))
PARTS = sorted((REDIS / "scripts/parts").glob("*.lua"))

# Which test runs it (measured: each of them runs many more).
RUN_BY = {
    "tests/e2e/test_acts.py": "act_list",
    "tests/e2e/test_alerts.py": "alert_look alert_put",
    "tests/e2e/test_history.py": "history_add history_carry",
    "tests/e2e/test_move.py": (
        "move_back move_delayed move_end move_free move_holds move_log move_page move_put "
        "move_take"
    ),
    "tests/unit/storage/redis/test_acts.c": (
        "act_add act_cancel act_claim act_note act_open act_purge act_purge_ready act_replay act_some act_tidied "
        "act_tidy act_undo failed_purge"
    ),
    "tests/unit/storage/redis/test_add.c": "add delayed_enter",
    "tests/unit/storage/redis/test_census.c": "consumers_drop mend nodes_found",
    "tests/unit/storage/redis/test_count.c": "group_count groups_make stream_trim",
    "tests/unit/storage/redis/test_failed_put.c": "failed_edit failed_import",
    "tests/unit/storage/redis/test_groups.c": "move_left topic_drop",
    "tests/unit/storage/redis/test_jobs.c": "job_cancel job_find job_list",
    "tests/unit/storage/redis/test_membership.c": "lease_join lease_leave lease_renew nodes",
    "tests/unit/storage/redis/test_recover.c": "recover",
    "tests/unit/storage/redis/test_scan.c": "failed_scan failed_some",
    "tests/unit/storage/redis/test_settle.c": "settle_done settle_others",
    "tests/unit/storage/redis/test_shared.c": "doc_get doc_put doc_take revision_add revision_list",
    "tests/unit/storage/redis/test_shared_news.c": "audit_add letter_send letter_take shared_tell",
    "tests/unit/storage/redis/test_store.c": "queue_holds write",
    "tests/unit/storage/redis/test_take.c": "depth failed_list failed_replay pop take_due",
}


def included(text):
    return re.findall(r"^\s*-- include (\S+)$", text, re.M)


def texts(source):
    """{"ADD": the text that Redis is sent} of what scripts.awk made."""
    found = {}
    for name, literals in re.findall(r"^  \[SCRIPT_(\w+)\] =((?:\n    \".*\")+),$", source, re.M):
        lines = re.findall(r'^    "(.*)"$', literals, re.M)
        found[name] = "".join(re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], line) for line in lines)
    return found


class Scripts(Case):
    def make(self, *files, awk=("awk",)):
        return self.run_program(*awk, "-f", AWK, *(files or SCRIPTS))

    def made(self):
        answer = self.make()
        self.assertEqual((answer.status, answer.err), (0, ""))
        return answer.out

    def script(self, text, **parts):
        for name, part in parts.items():
            (self.dir / "parts").mkdir(exist_ok=True)
            self.write(f"parts/{name}.lua", part)
        return self.write("one.lua", text)

    def test_every_awk_makes_the_same_source(self):
        made = self.made()
        for awk in (["mawk"], ["gawk"], ["gawk", "--posix"], ["original-awk"], ["busybox", "awk"]):
            if shutil.which(awk[0]):
                self.assertEqual(self.make(awk=awk).out, made, awk)

    def test_a_part_is_there_once_with_the_parts_it_includes(self):
        path = self.script("#!lua flags=allow-oom\n-- what it does\n-- include b\n-- include a\n  return '\\n\"'\n",
                           a="local a\n", b="-- include a\n\nlocal b\n")
        self.assertEqual(texts(self.make(path).out), {"ONE": "#!lua flags=allow-oom\nlocal a\nlocal b\nreturn '\\n\"'\n"})

    def test_what_cannot_be_made_is_refused(self):
        for text, why in (("-- include nobody\n", "cannot read"), ("-- include ../a\n", "not the name of a part"),
                          ("return 1\n#!lua\n", "belongs to the first line"), ("", "is empty")):
            answer = self.make(self.script(text))
            self.assertNotEqual(answer.status, 0, text)
            self.assertIn(why, answer.err)

    def test_each_script_says_its_keys_arguments_answer_and_failures(self):
        for path in SCRIPTS:
            top = re.match(r"(?:#!.*\n)?((?:--.*\n)+)", path.read_text())
            self.assertIsNotNone(top, path.name)
            said = re.findall(r"^-- (KEYS|ARGV|Answers|If a command fails): ", top[1], re.M)
            self.assertEqual(said, ["KEYS", "ARGV", "Answers", "If a command fails"], path.name)
            self.assertNotRegex(top[1], r"^-- KEYS", path.name)
        for path in PARTS:
            self.assertRegex(path.read_text(), r"^-- (?!include)", path.name)

    def test_each_script_has_its_place_and_is_asked_for(self):
        header = (REDIS / "script.h").read_text()
        enum = re.search(r"enum store_script \{(.*?)SCRIPT_MAX,", header, re.S)[1]
        names = re.findall(r"\bSCRIPT_(\w+),", enum)
        self.assertEqual(sorted(names), sorted(p.stem.upper() for p in SCRIPTS))
        self.assertEqual(sorted(names), sorted(texts(self.made())))
        code = "".join(p.read_text() for p in REDIS.glob("*.c") if p.name != "scripts.c")
        for name in names:
            self.assertRegex(code, rf"\bSCRIPT_{name}\b")

    def test_each_script_is_run_by_a_test(self):
        names = [name for run in RUN_BY.values() for name in run.split()]
        self.assertEqual(sorted(names), [p.stem for p in SCRIPTS])
        programs = (TOP / "Makefile.am").read_text()
        for path in RUN_BY:
            self.assertTrue((TOP / path).is_file(), path)
            self.assertIn(f"  {path.removesuffix('.c')} \\\n", programs)

    def test_each_part_is_included(self):
        used = {name for path in SCRIPTS + PARTS for name in included(path.read_text())}
        self.assertEqual(used, {p.stem for p in PARTS})

    def test_lua_can_read_each_file(self):
        loader = self.write("load.lua", "for _, f in ipairs(arg) do assert(loadfile(f)) end")
        compilers = [c for c in (["luac", "-p"], ["luac5.1", "-p"], ["luajit", loader]) if shutil.which(c[0])]
        if not compilers:
            raise unittest.SkipTest("neither luac nor luajit is here")
        wrong = self.write("wrong.lua", "local if\n")
        for compiler in compilers:
            self.assertNotEqual(self.run_program(*compiler, wrong).status, 0)
            answer = self.run_program(*compiler, *SCRIPTS, *PARTS)
            self.assertEqual(answer.status, 0, answer.err)

    def test_redis_can_read_each_script(self):
        redis = self.redis()
        with self.assertRaises(RespError):
            redis.cmd("SCRIPT", "LOAD", "local if")
        for name, text in texts(self.made()).items():
            try:
                redis.cmd("SCRIPT", "LOAD", text)
            except RespError as e:
                self.fail(f"{name}: {e}")

    def test_the_build_has_what_the_files_say(self):
        built = pathlib.Path(PEPPERBUSD).parent / "core/storage/redis/scripts.c"
        self.assertEqual(texts(built.read_text()), texts(self.made()))


if __name__ == "__main__":
    main()
