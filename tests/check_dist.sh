#!/usr/bin/env bash
# The tarball of `make dist` has every file of the repository, so that what is built, tested and read
# there is what is built, tested and read here.
set -uo pipefail
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
files=$(git -C "$top_srcdir" ls-files 2>/dev/null) && [[ $files ]] ||
  { echo "1..0 # SKIP $top_srcdir is no git repository"; exit 77; }
T=$(mktemp -d "${TMPDIR:-/tmp}/pbdist.XXXXXX") || exit 1
trap 'chmod -R u+w "$T"; rm -rf "$T"' EXIT
# The sub-make is one of its own: it must not wait for tokens of the one that runs the tests.
unset MAKEFLAGS MFLAGS MAKELEVEL TESTS TEST_LOGS
make -C "$top_builddir" distdir "distdir=$T/dist" >"$T/log" 2>&1
rc=$?
((rc == 0)) || tail -n 5 "$T/log" | sed 's/^/# /'
result "$rc" "make distdir"
missing=$(comm -23 <(grep -v '\.gitignore$' <<<"$files" | sort) <(cd "$T/dist" && find . -type f | sed 's|^\./||' | sort))
[[ -z $missing ]] || sed 's/^/# not there: /' <<<"$missing"
[[ -z $missing ]]
result $? "it has all $(wc -l <<<"$files") files"
echo "1..$n"
