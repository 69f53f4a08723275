#!/usr/bin/env python3
"""The binary layout of <pepperbus/*.h>, a line for each member, enumerator and number.

  layout.py print INCLUDE             as it is now
  layout.py check INCLUDE TABLE       is it TABLE's, and nothing else? Says in words what is not
  layout.py add INCLUDE TABLE         adds what is new to TABLE, under the version of abi.h

TABLE only grows: a line that stands there is a promise to plugins that were built with it.
"""
import os, re, subprocess, sys, tempfile

HEADERS = ["abi", "job", "option", "outcome", "transport"]


def text_of(include):
    text = ""
    for name in HEADERS:
        with open(f"{include}/pepperbus/{name}.h") as f:
            text += f.read()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    return text


def type_only(parameter):
    """"struct pb_owner *o" -> "struct pb_owner *": names of parameters may change."""
    m = re.fullmatch(r"(.*[\s*])(\w+)", parameter.strip())
    return (m.group(1) if m else parameter).strip()


def members(body):
    """(name, type) of each member of a struct's body."""
    for decl in body.split(";"):
        decl = re.sub(r"\bPB_PRINTF\([^)]*\)", "", " ".join(decl.split())).strip()
        if not decl:
            continue
        m = re.fullmatch(r"(.*?)\(\*(\w+)\)\((.*)\)", decl)
        if m:
            params = ", ".join(type_only(p) for p in m.group(3).split(","))
            yield m.group(2), f"{m.group(1).strip()} (*)({params})"
            continue
        first, *more = decl.split(",")
        base = re.fullmatch(r"(.*?)([\s*]+)(\w+)(\[\d+\])?", first)
        for d in [first[len(base.group(1)):]] + more:
            d = re.fullmatch(r"\s*(\**)\s*(\w+)(\[\d+\])?", d)
            yield d.group(2), f"{base.group(1)} {d.group(1)}{d.group(3) or ''}".strip()


def layout(include):
    text = text_of(include)
    prog = '#include <stdio.h>\n#include <pepperbus/transport.h>\nint main(void) {\n'
    for struct, body in re.findall(r"\bstruct (\w+) \{(.*?)\n\};", text, re.S):
        for name, kind in members(body):
            prog += (f'  printf("struct {struct} %s offset %zu size %zu: %s\\n", "{name}", '
                     f'offsetof(struct {struct}, {name}), sizeof(((struct {struct} *)0)->{name}), "{kind}");\n')
    for enum, body in re.findall(r"\benum (\w+) \{(.*?)\}", text, re.S):
        for name in re.findall(r"\b(PB_\w+)\s*=", body):
            prog += f'  printf("enum {enum} {name} = %ld\\n", (long){name});\n'
    for name in re.findall(r"#define (PB_\w+) +(?:0x)?[0-9a-f]+u?\s", text):
        if name != "PB_ABI_MINOR":
            prog += f'  printf("number {name} = %ld\\n", (long){name});\n'
    for name, params in re.findall(r"typedef void \(\*(\w+)\)\((.*?)\);", text):
        prog += f'  puts("type {name}: void (*)({", ".join(type_only(p) for p in params.split(","))})");\n'
    prog += '  printf("version %d.%d\\n", PB_ABI_MAJOR, PB_ABI_MINOR);\n}\n'
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/p.c", "w") as f:
            f.write(prog)
        cc = os.environ.get("TEST_CC") or os.environ.get("CC") or "cc"
        subprocess.run([*cc.split(), "-std=gnu17", f"-I{include}", "-o", f"{d}/p", f"{d}/p.c"], check=True)
        out = subprocess.run([f"{d}/p"], check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = out.splitlines()
    return lines[:-1], lines[-1].split()[1]


def table_of(path):
    """{line: version}, in the order of the file."""
    table = {}
    with open(path) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                version, rest = line.rstrip("\n").split(" ", 1)
                table[rest] = version
    return table


def what(line):
    """What a line is about: "struct pb_host log", "enum pb_outcome PB_BUSY"."""
    return " ".join(re.split(r"[ :]", line)[:3 if not line.startswith(("number", "type")) else 2])


def check(include, path):
    now, version = layout(include)
    table = table_of(path)
    current = {what(line): line for line in now}
    wrong = []
    for line, since in table.items():
        if line in now:
            continue
        found = current.get(what(line))
        wrong.append(f"{what(line)}: since {since} it is \"{line}\", now it is "
                     f"{chr(34) + found + chr(34) if found else 'gone'}. Plugins that were built before would "
                     "break: append members at the end, change and remove none")
    known = {what(line) for line in table}
    for line in now:
        if line in table or what(line) in known:
            continue
        if version in table.values() and version != newest(path):
            wrong.append(f"abi.h says {version}, the table has {newest(path)} already")
        wrong.append(f"{what(line)} is new. Raise PB_ABI_MINOR if {version} is released, write it into the history "
                     "in abi.h, then: tests/abi/layout.py add include tests/abi/layout.txt")
    if version != newest(path):
        wrong.append(f"abi.h says {version}, the last line of the table {newest(path)}: they go together")
    for sentence in wrong:
        print("#", sentence)
    return 1 if wrong else 0


def newest(path):
    return list(table_of(path).values())[-1]


def add(include, path):
    now, version = layout(include)
    table = table_of(path) if os.path.exists(path) else {}
    with open(path, "a") as f:
        for line in now:
            if line not in table:
                f.write(f"{version} {line}\n")
    return 0


if len(sys.argv) < 3 or sys.argv[1] not in ("print", "check", "add"):
    sys.exit(__doc__)
if sys.argv[1] == "print":
    print(*layout(sys.argv[2])[0], sep="\n")
else:
    sys.exit({"check": check, "add": add}[sys.argv[1]](*sys.argv[2:4]))
