#!/usr/bin/env bash
# The sample configuration and the reference are what the option tables say; both samples are
# accepted, each with the transports of this build.
set -u
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
same() { # OPTION FILE
  diff -u "$top_srcdir/$2" <("$PEPPERBUSD" -p "$PEPPERBUS_PLUGIN_DIR" "$1" 2>/dev/null) | sed 's/^/# /'
  result "${PIPESTATUS[0]}" "$2 is what pepperbusd $1 prints"
}
accepted() { # FILE
  "$PEPPERBUSD" -p "$PEPPERBUS_PLUGIN_DIR" -t -c "$1" 2>&1 | sed 's/^/# /'
  result "${PIPESTATUS[0]}" "$1 is accepted"
}
same --sample conf/pepperbus.ini
same --reference doc/configuration.md
diff -u <(sed -n '/^# SECTIONS$/,/^# EXAMPLE$/p' "$top_srcdir/doc/man/pepperbus.ini.5.md") \
  <("$PEPPERBUSD" -p "$PEPPERBUS_PLUGIN_DIR" --manual 2>/dev/null; printf '\n# EXAMPLE\n') | sed 's/^/# /'
result "${PIPESTATUS[0]}" "the sections of pepperbus.ini(5) are what pepperbusd --manual prints"

if python3 -c 'import yaml' 2>/dev/null; then
  "$top_srcdir/scripts/print-api" --check 2>&1 | sed 's/^/# /'
  result "${PIPESTATUS[0]}" "doc/api.md and doc/openapi.json are what doc/openapi.yaml says"
else
  echo "ok $((n += 1)) - doc/api.md and doc/openapi.json are what doc/openapi.yaml says # SKIP no python3-yaml"
fi

# Every verb and option in pepperbusctl(1), every option of
# the broker in pepperbusd(8), every verb of the API in doc/api.md.
names() { # FILE NAME... : which of the names the file does not have
  local file=$top_srcdir/$1 name missing=''
  shift
  for name; do sed 's/\\//g; s/&#45;/-/g' "$file" | grep -qF -- "$name" || missing+=" $name"; done
  [[ -z $missing ]] || echo "# ${file##*/} lacks:$missing"
  [[ -z $missing && $# -gt 0 ]]
}
mapfile -t verbs < <("$PEPPERBUSCTL" --help | sed -nE 's/^  ([a-z]+( [a-z]+)?)( .*)?$/\1/p' | sort -u)
names doc/man/pepperbusctl.1.md "${verbs[@]}"
result $? "pepperbusctl(1) has all ${#verbs[@]} verbs"
mapfile -t options < <("$PEPPERBUSCTL" --help | grep -oE -- '--[a-z-]+' | sort -u)
names doc/man/pepperbusctl.1.md "${options[@]}"
result $? "pepperbusctl(1) has all ${#options[@]} options"
mapfile -t options < <("$top_builddir/pepperbus-plugin-check" --help | grep -oE -- '--[a-z-]+' | sort -u)
names doc/man/pepperbus-plugin-check.1.md "${options[@]}"
result $? "pepperbus-plugin-check(1) has all ${#options[@]} options"
mapfile -t options < <("$PEPPERBUSD" --help | grep -oE -- '--[a-z-]+' | sort -u)
names doc/man/pepperbusd.8.md "${options[@]}"
result $? "pepperbusd(8) has all ${#options[@]} options"
pages=("$top_builddir"/doc/man/*.[158])
if [[ -e ${pages[0]} ]]; then
  grep -n '\\(en' "${pages[@]}" | sed 's/^/# /'
  result $((1 - PIPESTATUS[0])) "what is typed has dashes in the man pages that a shell takes"
fi
if [[ -e $top_srcdir/core/admin/routes.c ]]; then
  mapfile -t routes < <(sed -nE 's/^ *ROUTE\([A-Z]+, "(\/[a-z0-9/*]+)".*/\1/p' "$top_srcdir/core/admin/routes.c" |
    sed 's/\*.*//' | sort -u)
  names doc/api.md "${routes[@]}"
  result $? "doc/api.md has the API's ${#routes[@]} beginnings of paths"
fi

# The checks that tests/README.md names are there, in the words of their lines.
if command -v python3 >/dev/null; then
  python3 - "$top_srcdir" <<'PY'
import os, re, sys
root, lost, named = sys.argv[1] + "/", [], 0
def text(name):
    for path in (name, name + ".c"):
        if os.path.isfile(root + "tests/" + path):
            with open(root + "tests/" + path) as f:
                # words that go on in the next line's string, and quotes within one
                return re.sub(r'"\s*\n\s*"', "", f.read()).replace('\\"', '"')
sdk = "".join(open(os.path.join(root, "sdk/php/tests", f)).read()
              for f in os.listdir(root + "sdk/php/tests") if f.endswith(".php"))
faults = open(root + "tests/README.md").read().split("## Faults")[1].split("## Cases")[0]
for row in (line for line in faults.splitlines() if line.startswith("|")):
    at = None
    for file, words in re.findall(r'`([\w/.]+)`|"([^"]+)"', row.split("|")[2]):
        if file.startswith("test"):
            named += 1
            if f"function {file}(" not in sdk: lost.append(file)
        elif "/" in file:
            at = text(file)
            if at is None: lost.append(file)
        elif words and at:
            named += 1
            if words not in at: lost.append(words)
for what in lost: print("# not there:", what)
sys.exit(bool(lost) or named < 100)
PY
  result $? "the checks that tests/README.md names are there"
  python3 "$top_srcdir/tests/case_table.py" --check
  result $? "its table of cases is what the tests say"
fi

# What installs nothing does not look like success.
"$top_srcdir/scripts/install-deps" >/dev/null 2>"$top_builddir/usage.$$"
(($? == 2)) && grep -q 'install-deps build' "$top_builddir/usage.$$"
result $? "install-deps without an argument says what it wants, and ends with 2"
rm -f "$top_builddir/usage.$$"

cd "$top_srcdir" || exit 1
accepted conf/pepperbus.ini
accepted conf/pepperbus-minimal.ini
echo "1..$n"
