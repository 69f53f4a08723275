#!/usr/bin/env python3
"""The end-to-end tests themselves: each is in Python, is run by `make check`, and hides no other."""

import ast
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
E2E = TOP / "tests" / "e2e"
LONGEST = 80  # lines of a function


def shell_scripts():
    """There is none, by its name or by its first line."""
    for path in sorted(E2E.rglob("*")):
        if path.suffix in (".log", ".trs", ".pyc") or not path.is_file():
            continue
        with open(path, "rb") as f:
            first = f.readline(100)
        if path.suffix in (".sh", ".bash") or re.match(rb"#!.*\b(ba|da|z|k)?sh\b", first):
            yield f"{path.relative_to(TOP)}: write it in Python, on tests/e2e/harness/"


def not_run():
    """SCRIPT_TESTS of Makefile.am has each file once, in alphabetical order."""
    makefile = (TOP / "Makefile.am").read_text()
    listed = re.findall(r"tests/e2e/(\S+)", re.search(r"^SCRIPT_TESTS = \\\n(?:.*\\\n)*.*", makefile, re.M)[0])
    there = sorted(path.name for path in E2E.glob("test_*.py"))
    for name in sorted(set(there) - set(listed)):
        yield f"{name} is not in SCRIPT_TESTS"
    for name in sorted(set(listed) - set(there)):
        yield f"{name} of SCRIPT_TESTS is not there"
    if set(listed) == set(there) and listed != there:
        yield "SCRIPT_TESTS has them twice, or not in alphabetical order"


def trees():
    for path in sorted([*E2E.rglob("*.py"), *(TOP / "tests").glob("*.py")]):
        yield path.relative_to(TOP), ast.parse(path.read_text())


def functions(node):
    return [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def hidden():
    """A second function of the same name replaces the first, and a test is gone without a word."""
    for path, tree in trees():
        for node in [tree, *(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]:
            plain = [f.name for f in functions(node) if not f.decorator_list or f.name.startswith("test_")]
            for name in sorted({n for n in plain if plain.count(n) > 1}):
                yield f"{path}: {name} is there twice"
        classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
        for name in sorted({n for n in classes if classes.count(n) > 1}):
            yield f"{path}: {name} is there twice"


def without_main():
    """A file that does not call main() runs nothing, and that looks like success."""
    for path in sorted(E2E.glob("test_*.py")):
        if not re.search(r'^if __name__ == "__main__":\n    main\(', path.read_text(), re.M):
            yield f"{path.name} does not end with main()"


def too_long():
    for path, tree in trees():
        for f in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))):
            lines = f.end_lineno - f.lineno + 1
            if lines > LONGEST:
                yield f"{path}:{f.lineno}: {f.name} has {lines} lines"


def check():
    checks = (("no end-to-end test is a shell script", shell_scripts),
              ("make check runs each end-to-end test", not_run),
              ("no test hides another one", hidden),
              ("each file runs its tests", without_main),
              (f"no function is longer than {LONGEST} lines", too_long))
    failed = False
    for n, (name, find) in enumerate(checks, 1):
        found = list(find())
        failed = failed or bool(found)
        print(f"{'not ok' if found else 'ok'} {n} - {name}")
        for line in found:
            print(f"#   {line}")
    print(f"1..{len(checks)}")
    return failed


if __name__ == "__main__":
    sys.exit(check())
