#!/usr/bin/env python3
"""Who may include and call whom, how long a function may be. The rules are the tables on top.

What a file sees is asked of the compiler (`$CC -MM`: every header that comes with it), what it calls
of its object (`nm`). The second half of this file breaks each rule in a small tree of its own, and
looks whether it is noticed: `check_includes.py --self-test` runs that half alone.
"""
import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile

# The core's folders, the outermost first. Each one sees what stands below it; those of one line do
# not see each other. core/README.md has the same list with what each one is for.
RANKS = [
    ["main"],  # the files on top of core/
    ["daemon"],
    ["admin"],  # it adds jobs by way of intake
    ["intake"],
    ["acts"],
    ["alerts"],
    ["accounts"],
    ["control"],
    ["history"],
    ["metrics"],
    ["registry"],
    ["dispatch"],
    ["transport", "storage"],
    ["config", "job"],
    ["event"],
    ["base"],
]
# The storage's own folder is a part of storage/ for those who look from outside.
INNER = {"storage/redis": "storage"}

# The other programs: what they see besides their own folder.
TOOLS = {
    "tools/ctl": r"(base|config|job)/[a-z0-9_]+\.h|control/key_file\.h",
    "tools/plugin_check": r"(base|config|job)/[a-z0-9_]+\.h|transport/plugin_loader\.h",
}

# Which files know a library. The rest of the tree goes through them.
LIBRARIES = {
    r"hiredis/": r"core/storage/redis/link\.c",
    r"ltdl\.h": r"core/transport/plugin_loader\.c",
    r"ini\.h": r"core/config/ini\.c",
    r"event2/": r"core/(event|intake|admin)/[a-z0-9_]+\.[ch]",
    r"curl/": r"core/tools/ctl/[a-z_]+\.[ch]|core/alerts/webhook\.c|plugins/http/[a-z0-9_]+\.[ch]",
    r"jansson\.h": r"core/(accounts|admin|alerts|control|tools/ctl)/[a-z_]+\.[ch]|core/job/id_json\.[ch]|"
    r"core/base/json_text\.[ch]|core/dispatch/(pause|request_answer)\.c|plugins/fastcgi/[a-z_]+\.[ch]",
    r"openssl/": r"core/base/(seal|secret)\.c|core/transport/batch\.c|plugins/http/[a-z0-9_]+\.[ch]",
    r"crypt\.h": r"core/base/secret\.c",
    r"^ldap\.h": r"core/accounts/ldap\.c",
}
# Of hiredis the reader alone is used: its contexts and replies differ from release to release.
WORDS = [
    ("core/storage/redis/link.c", r"hiredis/(async|adapters)|redisContext|redisAsync[A-Z]|\bredisReply\b"),
]
PUBLIC = r"<(std[a-z]+|string|sys/types)\.h>|<pepperbus/[a-z]+\.h>"

TOP_FILES = 3  # C files on top of core/

# Is copied by those who write a plugin of their own, who have the public headers and nothing more.
PLUGIN_ALONE = "plugins/skeleton/"

LINES = [(r"core/|plugins/", 70), (r"tests/(plugin|unit)/", 80)]  # of a function

# Still to go. Whoever mends one takes its line away; nothing may be added.
STILL_UP = [  # (folder, what it sees or calls though it does not stand above that)
]
STILL_CIRCLES = [  # folders whose files call each other in circles
]
STILL_LONG = [  # files with functions that are too long
]

RANK = {folder: i for i, line in enumerate(RANKS) for folder in line}


def folder_of(path):
    """core/storage/redis/link.c -> storage/redis; core/main.c -> main"""
    parts = path.split("/")[1:-1]
    return "/".join(parts) or "main"


def outer(folder):
    return INNER.get(folder, folder)


def may_see(a, b):
    """May a file of folder a see one of folder b?"""
    if a == b:
        return True
    if b in INNER:
        return False
    if a in INNER and INNER[a] == b:
        return True
    return RANK[outer(a)] < RANK[b]


def circles(edges):
    """The strongly connected parts of more than one node (Tarjan), each sorted."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on.add(v)
        for w in sorted(edges.get(v, ())):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while True:
                w = stack.pop()
                on.discard(w)
                part.append(w)
                if w == v:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    sys.setrecursionlimit(10000)
    for v in sorted(edges):
        if v not in index:
            visit(v)
    return sorted(found)


def functions(text):
    """(name, first line, number of lines) of each function, as this tree's style writes them."""
    start = begin = None
    words = name = ""
    for i, line in enumerate(text.split("\n"), 1):
        if begin:
            if line == "}":
                yield name, begin, i - begin + 1
                start = begin = None
            continue
        if re.match(r"[A-Za-z_]", line):
            start, words = i, line
        elif line.startswith(" ") and start:
            words += " " + line.strip()
        else:
            start = None
        if start and line.endswith(") {"):
            begin = start
            name = (re.search(r"(\w+)\(", words) or re.search(r"(\w+)", words)).group(1)


class Tree:
    def __init__(self, root, build, variables=None):
        self.root, self.build = root, build
        self.variables = self.makefile() if variables is None else variables
        self.files = self.list_files()
        self.core = [f for f in self.files if f.startswith("core/")]
        self.stations = [f for f in self.core if not f.startswith("core/tools/")]
        self.texts = {f: self.read(f) for f in self.files}
        self.still_up, self.still_long, self.still_circles = STILL_UP, STILL_LONG, STILL_CIRCLES

    # --- what there is ---

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def list_files(self):
        found = []
        for top in ("core", "include", "plugins", "tests/plugin", "tests/unit"):
            for where, dirs, names in os.walk(os.path.join(self.root, top)):
                dirs.sort()
                rel = os.path.relpath(where, self.root)
                found += [f"{rel}/{n}" for n in sorted(names) if re.search(r"\.[ch]$", n)]
        return found

    def makefile(self):
        """The variables of the build's Makefile, with what they refer to."""
        with open(os.path.join(self.build, "Makefile"), encoding="utf-8") as f:
            text = f.read().replace("\\\n", " ")
        raw = dict(re.findall(r"^(\w+) = *(.*)$", text, re.M))

        def value(name, depth=0):
            text = raw.get(name, "")
            return re.sub(r"\$\((\w+)\)", lambda m: value(m[1], depth + 1) if depth < 9 else "", text)

        return {n: value(n) for n in ("CC", "NM", "CORE_CFLAGS", "CURL_CFLAGS", "DEFS")}

    def includes(self, path):
        """The lines `#include` of one file: (number, "name" or <name> as it is written)."""
        for m in re.finditer(r'^ *# *include +([<"][^>"]+[>"])', self.texts[path], re.M):
            yield self.texts[path].count("\n", 0, m.start()) + 1, m[1]

    @functools.cached_property
    def sees(self):
        """file -> every file of core/ that the compiler reads for it"""
        files = self.core
        cc, root = shlex.split(self.variables["CC"]), os.path.abspath(self.root)
        flags = ["-D_GNU_SOURCE", f"-I{root}/include", f"-I{root}/core", f"-I{self.build}", f"-I{self.build}/core"]
        flags += shlex.split(self.variables["CORE_CFLAGS"] + " " + self.variables["CURL_CFLAGS"])
        command = cc + flags + ["-MM", "-MG"] + [f"{root}/{f}" for f in files]
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ran.returncode:
            raise SystemExit(f"{' '.join(cc)} -MM failed:\n{ran.stderr}")
        found = {}
        for rule in re.sub(r"\\\n", " ", ran.stdout).splitlines():
            seen = rule.split(":", 1)[1].split()
            seen = [os.path.relpath(p, root) for p in seen if os.path.isabs(p)]
            found[seen[0]] = [p for p in seen[1:] if p.startswith("core/")]
        if set(found) != set(files):
            raise SystemExit(f"{' '.join(cc)} -MM told nothing of: {sorted(set(files) - set(found))}")
        return found

    def objects(self):
        """source -> its object in the build"""
        objects = {}
        for where, _, names in os.walk(os.path.join(self.build, "core")):
            rel = os.path.relpath(where, self.build)
            for n in names:
                source = f"{rel}/{n.split('-', 1)[-1][:-2]}.c"
                if n.endswith(".o") and source in self.texts:
                    objects.setdefault(source, os.path.join(where, n))
        lack = [f for f in self.stations if f.endswith(".c") and f not in objects]
        if lack:
            raise SystemExit(f"not built yet: {lack[:5]}")
        return objects

    @functools.cached_property
    def calls(self):
        """(caller, callee) -> one name: which file uses what another one defines."""
        return self.calls_among(lambda source: not source.startswith("core/tools/"))

    @functools.cached_property
    def all_calls(self):
        """The same with those within each tool: they are programs of their own, each has a main()."""
        found = dict(self.calls)
        for tool in TOOLS:
            found.update(self.calls_among(lambda source: folder_of(source) == tool))
        return found

    def calls_among(self, wanted):
        defined, used = {}, {}
        paths = {path: source for source, path in self.objects().items() if wanted(source)}
        if not paths:
            return {}
        nm = shlex.split(self.variables["NM"]) + ["-g"] + sorted(paths)
        source = paths[min(paths)]  # of one file alone nm does not say the name
        for line in subprocess.run(nm, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
            if line.endswith(":"):
                source = paths[line[:-1]]
                continue
            kind, name = line.split()[-2:] if line else ("", "")
            if kind == "U":
                used.setdefault(source, set()).add(name)
            elif kind in tuple("TDBRVW"):
                defined[name] = source
        return {
            (a, defined[name]): name
            for a, names in used.items()
            for name in sorted(names, reverse=True)
            if defined.get(name, a) != a
        }

    # --- the rules: each gives the faults that it finds, in a line each ---

    def every_folder_has_its_place(self):
        for folder in sorted({folder_of(f) for f in self.core}):
            if folder not in RANK and folder not in INNER and folder not in TOOLS:
                yield f"core/{folder}/ is not in RANKS of tests/check_includes.py"

    def known(self, *folders):
        return all(f in RANK or f in INNER for f in folders)

    def nothing_is_included_upwards(self):
        going = set()
        for f in self.stations:
            for seen in self.sees[f]:
                a, b = folder_of(f), folder_of(seen)
                if not self.known(a, b) or may_see(a, b):
                    continue
                if (a, b) in self.still_up:
                    going.add((a, b))
                else:
                    yield f"{f} sees {seen}: {a} does not stand above {b}"
        for (f, g), name in sorted(self.calls.items()):
            if (folder_of(f), folder_of(g)) in self.still_up:
                going.add((folder_of(f), folder_of(g)))
        for a, b in sorted(set(self.still_up) - going):
            yield f"{a} does not see {b} any more: take it off STILL_UP"

    def nothing_is_called_upwards(self):
        for (f, g), name in sorted(self.calls.items()):
            a, b = folder_of(f), folder_of(g)
            if not self.known(a, b) or (a, b) in self.still_up:
                continue
            # What storage/ promises is kept by storage/redis/.
            if not may_see(a, b) and not (b in INNER and may_see(a, INNER[b])):
                yield f"{f} calls {name}() of {g}: {a} does not stand above {b}"

    def includes_name_the_folder(self):
        for f in self.core:
            for line, name in self.includes(f):
                if name[0] == '"' and "/" not in name:
                    yield f"{f}:{line}: {name} has no folder"

    def no_circle_of_folders(self):
        edges, why = {}, {}
        for f in self.stations:
            for seen in self.sees[f]:
                edges.setdefault(outer(folder_of(f)), set()).add(outer(folder_of(seen)))
        for f, g in self.calls:
            edges.setdefault(outer(folder_of(f)), set()).add(outer(folder_of(g)))
        for a, b in self.still_up:
            edges.get(a, set()).discard(b)
        for part in circles(edges):
            yield "a circle: " + ", ".join(f"{p}/" for p in part)

    def no_circle_of_headers(self):
        edges = {}
        for f in self.core:
            if f.endswith(".h"):
                for _, name in self.includes(f):
                    if f"core/{name[1:-1]}" in self.texts:
                        edges.setdefault(f, set()).add(f"core/{name[1:-1]}")
        for part in circles(edges):
            yield "a circle: " + ", ".join(part)

    def file_circles(self):
        """Sets of files that call each other in a circle."""
        edges = {}
        for f, g in self.all_calls:
            edges.setdefault(f, set()).add(g)
        return [[f[len("core/"):] for f in part] for part in circles(edges)]

    def named_circles(self):
        """Those that core/README.md names: `* a/x.c, a/y.c: reason` under the heading "Circles"."""
        section = re.search(r"^## Circles[^\n]*\n(.*?)(?=^## |\Z)", self.read("core/README.md"), re.M | re.S)
        bullets = re.findall(r"^\* (.*?):\s+\S", section[1] if section else "", re.M | re.S)
        return [sorted(re.findall(r"[a-z0-9_/]+\.c", b)) for b in bullets]

    def no_circle_of_files(self):
        going, named = [], self.named_circles()
        for part in self.file_circles():
            still = [c for c in self.still_circles if {folder_of("core/" + f) for f in part} <= c]
            going += still
            if part not in named and not still:
                calls = [
                    f"{f[5:]} calls {name}() of {g[5:]}"
                    for (f, g), name in sorted(self.all_calls.items())
                    if f[5:] in part and g[5:] in part
                ]
                yield f"a circle: {', '.join(part)} ({'; '.join(calls)})"
        for folders in self.still_circles:
            if folders not in going:
                yield f"no circle in {', '.join(sorted(folders))} any more: take it off STILL_CIRCLES"

    def named_circles_are_there(self):
        found = self.file_circles()
        for part in self.named_circles():
            if part not in found:
                yield f"core/README.md names a circle that is none: {', '.join(part)}"

    def the_readme_tells_the_tree(self):
        text = self.read("core/README.md")
        folders = {folder_of(f) for f in self.core if folder_of(f) != "main"}
        for folder in sorted(folders):
            if f"{folder}/" not in text:
                yield f"core/README.md says nothing of {folder}/"
        for name in re.findall(r"(?<![\w/.])(?!doc/|tests/)(?:[a-z_]+/)+[a-z_]*(?:\.[ch])?(?![\w/])", text):
            known = f"core/{name}" in self.texts or name.rstrip("/") in folders or name == "include/pepperbus/"
            if not known and not any(f.startswith(name) for f in folders):
                yield f"core/README.md names {name}, which there is not"

    def the_way_of_a_job_is_the_trees(self):
        """doc/data-path.md names files as `folder/file.c`, below core/."""
        names = set(re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.[ch])`", self.read("doc/data-path.md")))
        if not names:
            yield "doc/data-path.md names no file of core/"
        for name in sorted(names):
            if f"core/{name}" not in self.texts:
                yield f"doc/data-path.md names core/{name}, which there is not"

    def private_headers_stay_inside(self):
        for f in self.core:
            for seen in self.sees[f]:
                if seen.endswith("/private.h") and folder_of(seen) != folder_of(f):
                    yield f"{f} sees {seen}"

    def plugins_see_the_public_headers_only(self):
        for f in self.files:
            if not f.startswith("plugins/"):
                continue
            for line, name in self.includes(f):
                if name[0] == '"' and name[1:-1] not in self.plugin_sees(f):
                    yield f"{f}:{line}: {name} is neither the plugin's own, nor of plugins/common/, nor <pepperbus/*.h>"

    def plugin_sees(self, f):
        """What a plugin's file may include in quotation marks: its neighbours by their name, "common/file.h"."""
        own = {os.path.basename(p) for p in self.texts if os.path.dirname(p) == os.path.dirname(f)}
        common = {p.removeprefix("plugins/") for p in self.texts if p.startswith("plugins/common/")}
        if f.startswith("plugins/common/"):
            return common
        return own if f.startswith(PLUGIN_ALONE) else own | common

    def public_headers_include_libc_and_each_other(self):
        for f in self.files:
            if f.startswith("include/"):
                for line, name in self.includes(f):
                    if not re.fullmatch(PUBLIC, name):
                        yield f"{f}:{line}: {name}"

    def tools_see_little(self):
        for f in self.core:
            folder = folder_of(f)
            if folder not in TOOLS:
                continue
            allowed = f"{folder}/[a-z0-9_]+\\.h|{TOOLS[folder]}"
            for line, name in self.includes(f):
                if name[0] == '"' and not re.fullmatch(allowed, name[1:-1]):
                    yield f"{f}:{line}: {name}"
            for seen in self.sees[f]:
                a = folder_of(seen)
                if re.fullmatch(TOOLS[folder], seen.removeprefix("core/")):
                    continue
                if a != folder and (a not in RANK or RANK[a] < RANK["transport"]):
                    yield f"{f} sees {seen}"

    def libraries_stand_behind_their_file(self):
        for f in self.files:
            if not re.match(r"core/|plugins/", f):
                continue
            for line, name in self.includes(f):
                for library, where in LIBRARIES.items():
                    if name[0] == "<" and re.match(library, name[1:]) and not re.fullmatch(where, f):
                        yield f"{f}:{line}: {name}"
        for f, words in WORDS:
            for m in re.finditer(words, self.texts.get(f, "")):
                yield f"{f}: {m[0]}"

    def few_files_on_top(self):
        top = [f for f in self.core if f.count("/") == 1 and f.endswith(".c")]
        if len(top) > TOP_FILES:
            yield f"{len(top)} C files on top of core/, at most {TOP_FILES}: {', '.join(top)}"

    def functions_are_short(self):
        long = set()
        for f in self.files:
            limit = next((n for where, n in LINES if re.match(where, f)), None)
            for name, line, n in functions(self.texts[f]) if limit else ():
                if n <= limit:
                    continue
                if f in self.still_long:
                    long.add(f)
                else:
                    yield f"{f}:{line}: {name}() has {n} lines, {limit} at most"
        for f in sorted(set(self.still_long) - long):
            yield f"{f} has no long function any more: take it off STILL_LONG"

    RULES = [
        (every_folder_has_its_place, "every folder of core/ has its place in the table"),
        (nothing_is_included_upwards, "no file sees a header of a folder above its own"),
        (nothing_is_called_upwards, "no file calls a function of a folder above its own"),
        (includes_name_the_folder, 'includes are written "folder/file.h"'),
        (no_circle_of_folders, "no circle of folders"),
        (no_circle_of_headers, "no circle of headers"),
        (no_circle_of_files, "no circle of files but those that core/README.md names"),
        (named_circles_are_there, "each circle that core/README.md names is one"),
        (the_readme_tells_the_tree, "core/README.md names each folder, and no file that there is not"),
        (the_way_of_a_job_is_the_trees, "doc/data-path.md names no file that there is not"),
        (private_headers_stay_inside, "a folder's private.h stays inside it"),
        (plugins_see_the_public_headers_only, "plugins see <pepperbus/*.h>, plugins/common/ and their own files only"),
        (public_headers_include_libc_and_each_other, "the public headers include libc and each other alone"),
        (tools_see_little, "the tools see base, config, job and the loader only"),
        (libraries_stand_behind_their_file, "each library stands behind the files that the table names"),
        (few_files_on_top, f"at most {TOP_FILES} C files on top of core/"),
        (functions_are_short, "no function is too long"),
    ]


# --- would it see a fault? A small tree that is in order, and one fault at a time ---

SOUND = {
    "include/pepperbus/abi.h": "#include <stdint.h>\nint pb_abi(void);\n",
    "plugins/common/fault.h": "int fault(void);\n",
    "plugins/common/fault.c": '#include "common/fault.h"\nint fault(void) {\n  return 0;\n}\n',
    "plugins/exec/exec.h": '#include "common/fault.h"\nint exec_go(void);\n',
    "plugins/exec/exec.c": '#include "exec.h"\n#include <pepperbus/abi.h>\nint exec_go(void) {\n  return 0;\n}\n',
    "core/base/buf.h": "int buf_add(void);\n",
    "core/base/buf.c": '#include "base/buf.h"\nint buf_add(void) {\n  return 0;\n}\n',
    "core/job/job.h": '#include "base/buf.h"\nint job_new(void);\n',
    "core/job/job.c": '#include "job/job.h"\nint job_new(void) {\n  return buf_add();\n}\n',
    "core/job/id.h": "int id_of(void);\n",
    "core/job/id.c": '#include "job/id.h"\n#include "job/job.h"\nint id_of(void) {\n  return job_new();\n}\n',
    "core/storage/store.h": "int store_add(void);\n",
    "core/storage/redis/private.h": '#include "storage/store.h"\n',
    "core/storage/redis/store.c": '#include "storage/redis/private.h"\nint store_add(void) {\n  return 0;\n}\n',
    "core/dispatch/pool.h": "int pool_take(void);\n",
    "core/dispatch/pool.c": '#include "dispatch/pool.h"\n#include "storage/store.h"\n'
    "int pool_take(void) {\n  return store_add();\n}\n",
    "core/admin/private.h": "int admin_get(void);\n",
    "core/admin/admin.h": "int admin_new(void);\n",
    "core/admin/admin.c": '#include "admin/admin.h"\n#include "admin/private.h"\n#include "dispatch/pool.h"\n'
    "int admin_new(void) {\n  return pool_take();\n}\nint admin_get(void) {\n  return 0;\n}\n",
    "core/README.md": "`base/`, `job/job.c`, `storage/` and `storage/redis/`, `dispatch/`, `admin/`, `tools/ctl/`\n",
    "doc/data-path.md": "`dispatch/pool.c` and `storage/store.h`\n",
    "core/main.c": '#include "admin/admin.h"\nint main(void) {\n  return admin_new();\n}\n',
    "core/tools/ctl/main.c": '#include "base/buf.h"\nint main(void) {\n  return 0;\n}\n',
    "tests/unit/job/test_job.c": "int main(void) {\n  return 0;\n}\n",
}

# rule, what is wrong, the files that become so
BACK = '#include "job/id.h"\nint job_new(void) {\n  return id_of();\n}\n'
LONG = "int f(void) {\n" + "  f();\n" * 90 + "}\n"
FAULTS = [
    ("every_folder_has_its_place", "a folder that the table does not know", {"core/attic/old.h": ""}),
    (
        "nothing_is_included_upwards",
        "a header of a folder above",
        {"core/job/id.h": '#include "dispatch/pool.h"\nint id_of(void);\n'},
    ),
    (
        "nothing_is_included_upwards",
        "a header of a folder above that comes with another one",
        {
            "core/storage/store.h": '#include "job/id.h"\nint store_add(void);\n',
            "core/job/id.h": '#include "base/buf.h"\nint id_of(void);\n',
            "core/base/buf.h": '#include "admin/admin.h"\nint buf_add(void);\n',
        },
    ),
    (
        "nothing_is_included_upwards",
        "a header of a neighbour of the same height",
        {"core/transport/t.h": '#include "storage/store.h"\n'},
    ),
    (
        "nothing_is_included_upwards",
        "the storage's own header outside of it",
        {"core/dispatch/pool.h": '#include "storage/redis/link.h"\nint pool_take(void);\n', "core/storage/redis/link.h": ""},
    ),
    (
        "nothing_is_called_upwards",
        "a function of a folder above, declared by the caller",
        {"core/base/buf.c": "int admin_new(void);\nint buf_add(void);\nint buf_add(void) {\n  return admin_new();\n}\n"},
    ),
    ("includes_name_the_folder", "an include without a folder", {"core/job/id.h": '#include "job.h"\n', "core/job.h": ""}),
    (
        "no_circle_of_folders",
        "two folders that see each other",
        {"core/job/job.c": '#include "job/job.h"\n#include "dispatch/pool.h"\nint job_new(void) {\n  return 0;\n}\n',
         "core/dispatch/pool.h": '#include "job/job.h"\nint pool_take(void);\n'},
    ),
    (
        "no_circle_of_headers",
        "two headers that include each other",
        {
            "core/job/job.h": '#ifndef J\n#define J\n#include "job/id.h"\nint job_new(void);\n#endif\n',
            "core/job/id.h": '#ifndef I\n#define I\n#include "job/job.h"\nint id_of(void);\n#endif\n',
        },
    ),
    ("no_circle_of_files", "two files that call each other", {"core/job/job.c": '#include "job/job.h"\n' + BACK}),
    (
        "no_circle_of_files",
        "two files of a tool that call each other",
        {
            "core/tools/ctl/main.c": "int text(void);\nint tell(void) {\n  return 0;\n}\nint main(void) {\n  return text();\n}\n",
            "core/tools/ctl/text.c": "int tell(void);\nint text(void) {\n  return tell();\n}\n",
        },
    ),
    (
        "named_circles_are_there",
        "a circle that is told of and is not there",
        {"core/README.md": "## Circles\n* `job/id.c`, `job/job.c`: they were\n  one once.\n"},
    ),
    ("the_readme_tells_the_tree", "a folder that core/README.md does not name", {"core/event/loop.h": ""}),
    (
        "the_readme_tells_the_tree",
        "a file that core/README.md names and that there is not",
        {"core/README.md": SOUND["core/README.md"] + "job/jobs.c\n"},
    ),
    (
        "the_way_of_a_job_is_the_trees",
        "a file that doc/data-path.md names and that there is not",
        {"doc/data-path.md": "`dispatch/pool.c` and `dispatch/pond.c`\n"},
    ),
    (
        "private_headers_stay_inside",
        "another folder's private.h",
        {"core/main.c": '#include "admin/private.h"\nint main(void) {\n  return 0;\n}\n'},
    ),
    ("plugins_see_the_public_headers_only", "a plugin that includes the core", {"plugins/exec/exec.h": '#include "../../core/job/job.h"\n'}),
    ("plugins_see_the_public_headers_only", "a plugin that includes another one", {"plugins/http/http.h": '#include "../exec/exec.h"\n'}),
    (
        "plugins_see_the_public_headers_only",
        "what plugins have in common that includes one of them",
        {"plugins/common/fault.h": '#include "../exec/exec.h"\n'},
    ),
    (
        "plugins_see_the_public_headers_only",
        "the skeleton with more than the public headers",
        {"plugins/skeleton/skeleton.c": '#include "common/fault.h"\n'},
    ),
    ("public_headers_include_libc_and_each_other", "a public header with a library", {"include/pepperbus/abi.h": "#include <jansson.h>\n"}),
    ("tools_see_little", "a tool that includes the dispatcher", {"core/tools/ctl/ctl.h": '#include "dispatch/pool.h"\n'}),
    (
        "tools_see_little",
        "a tool that sees the registry by way of a header that it may include",
        {"core/tools/ctl/ctl.h": '#include "job/id.h"\n', "core/job/id.h": '#include "registry/r.h"\n', "core/registry/r.h": ""},
    ),
    ("libraries_stand_behind_their_file", "a library somewhere else", {"core/job/id.h": "#include <event2/event.h>\n"}),
    ("libraries_stand_behind_their_file", "a word of hiredis that is not the reader's", {"core/storage/redis/link.c": "/* redisContext */\n"}),
    ("few_files_on_top", "four files on top", {f"core/{n}.c": "int x(void);\n" for n in ("a", "b", "c")}),
    ("functions_are_short", "a function of 92 lines", {"core/job/id.h": LONG}),
    (
        "functions_are_short",
        "one whose head has two lines, in a test",
        {"tests/unit/job/test_job.c": LONG.replace("(void)", "(int a,\n      int b)")},
    ),
]


class Small(Tree):
    """The sound tree with some files changed, compiled in a folder of its own where calls matter."""

    def __init__(self, where, files):
        for path, text in {**SOUND, **files}.items():
            os.makedirs(os.path.dirname(f"{where}/{path}"), exist_ok=True)
            with open(f"{where}/{path}", "w", encoding="utf-8") as f:
                f.write(text)
        cc = os.environ.get("TEST_CC", "cc")
        super().__init__(where, f"{where}/build", {"CC": cc, "NM": "nm", "CORE_CFLAGS": "", "CURL_CFLAGS": ""})
        self.still_up, self.still_long, self.still_circles = [], [], []

    @functools.cached_property
    def calls(self):
        flags = ["-w", "-std=gnu17", f"-I{self.root}/core", f"-I{self.root}/include"]
        for path in self.core:
            if path.endswith(".c"):
                folder, name = os.path.split(f"{self.build}/{path}")
                os.makedirs(folder, exist_ok=True)
                command = shlex.split(self.variables["CC"]) + flags
                command += ["-c", "-o", f"{folder}/libcore_a-{name[:-2]}.o", f"{self.root}/{path}"]
                subprocess.run(command, check=True)
        return Tree.calls.func(self)


class Report:
    n = failed = 0

    def line(self, faults, name):
        self.n += 1
        self.failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {self.n} - {name}")
        for fault in faults[:20]:
            print(f"#   {fault}")
        if len(faults) > 20:
            print(f"#   and {len(faults) - 20} more")


def self_test(report):
    with tempfile.TemporaryDirectory(prefix="pbincludes.") as top:
        sound = Small(f"{top}/sound", {})
        faults = [fault for rule, _ in Tree.RULES for fault in rule(sound)]
        report.line(faults, "a tree that is in order has no fault")
        for i, (rule, what, files) in enumerate(FAULTS):
            found = list(getattr(Small(f"{top}/{i}", files), rule)())
            report.line([] if found else [f"{rule}() saw nothing"], f"noticed: {what}")
        lacking = {rule.__name__ for rule, _ in Tree.RULES} - {f[0] for f in FAULTS}
        report.line(sorted(lacking), "each rule was seen to fail")
        # And what is named is allowed.
        readme = "## Circles between files\n\n* `job/id.c`, `job/job.c`: one needs the\n  other.\n\n## More\n"
        named = Small(f"{top}/named", {"core/job/job.c": '#include "job/job.h"\n' + BACK, "core/README.md": readme})
        faults = list(named.no_circle_of_files()) + list(named.named_circles_are_there())
        report.line(faults, "a circle that core/README.md names is allowed")


def main():
    report = Report()
    if "--self-test" not in sys.argv:
        root = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        build = os.environ.get("top_builddir") or os.path.join(root, "build")
        tree = Tree(os.path.abspath(root), os.path.abspath(build))
        for rule, name in Tree.RULES:
            report.line(list(rule(tree)), name)
    self_test(report)
    print(f"1..{report.n}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
