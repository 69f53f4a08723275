#!/usr/bin/env python3
"""Prints the table of cases of tests/README.md: each case's number beside its tests.

A test names its cases where it stands: `@case("R6")` above a test method in Python, and a comment
with `@case R6` or `@case R6: what must be true` in C, shell and PHP.

    tests/case_table.py             prints the table
    tests/case_table.py --write     puts it into tests/README.md, between its two marks
    tests/case_table.py --check     exit status 1 where tests/README.md has another one
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- cases: made by tests/case_table.py --write -->", "<!-- end of cases -->"
GROUPS = "RPLSVDXT"


def python_tests(text):
    for m in re.finditer(r"@case\(([^)]*)\)\s*(?:@[^\n]*\n\s*)*def test_(\w+)", text):
        for number in re.findall(r"[A-Z]\d+", m[1]):
            yield number, m[2].replace("_", " ")


def other_tests(text):
    for m in re.finditer(r"@case\s+([A-Z]\d+(?:,\s*[A-Z]\d+)*)(?::\s*([^\n*]+))?([^\n]*\n(?:[^\n]*\n){0,6})", text):
        what = (m[2] or "").strip()
        if not what:
            name = re.search(r"\b(test\w+)\s*\(", m[3])
            what = name[1] if name else ""
        for number in re.findall(r"[A-Z]\d+", m[1]):
            yield number, what


def found():
    files = [p for d in ("tests", "sdk/php/tests") for p in sorted((ROOT / d).rglob("*"))
             if p.suffix in (".py", ".c", ".sh", ".php", ".h") and p != Path(__file__).resolve()]
    for path in files:
        text = path.read_text(errors="replace")
        if "@case" not in text or "harness" in path.parts:
            continue
        place = str(path.relative_to(ROOT)).removeprefix("tests/")
        for number, what in (python_tests if path.suffix == ".py" else other_tests)(text):
            yield number, place, what


def table():
    rows = {}
    for number, place, what in found():
        rows.setdefault(number, []).append(f'`{place}`' + (f' "{what}"' if what else ""))
    lines = ["| case | its tests |", "| --- | --- |"]
    for number in sorted(rows, key=lambda n: (GROUPS.index(n[0]), int(n[1:]))):
        lines.append(f"| {number} | {'; '.join(dict.fromkeys(rows[number]))} |")
    return "\n".join(lines)


def main():
    readme = README.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if sys.argv[1:] == ["--write"]:
        README.write_text(new)
    elif sys.argv[1:] == ["--check"]:
        if new != readme:
            sys.exit("the table of cases in tests/README.md is not what the tests say: run tests/case_table.py --write")
    else:
        print(table())


if __name__ == "__main__":
    main()
