#!/usr/bin/env bash
# Every C file is as clang-format 14 leaves it. `check_format.sh --fix` (`make format`) writes the
# files. tests/abi/ keeps files of an older release as they were; a build makes scripts.c.
set -uo pipefail
version=14
cd "${top_srcdir:-$(dirname "$0")/..}" || exit 1

files() { # every C file of this project; outside of a git checkout those of a release
  {
    git ls-files '*.c' '*.h' 2>/dev/null | grep . ||
      find core examples include plugins sdk tests -name '*.[ch]'
  } | grep -vE '^tests/abi/(include-1\.0/|skeleton-1\.0\.c$)|^core/storage/redis/scripts\.c$' | sort
}
skip() { echo "1..0 # SKIP $*"; exit 77; }

formatter=
for candidate in "clang-format-$version" clang-format; do
  "$candidate" --version 2>/dev/null | grep -qE "version $version\." || continue
  formatter=$candidate
  break
done
[[ $formatter ]] || skip "there is no clang-format $version: other versions format differently"
[[ -r .clang-format ]] || skip ".clang-format is not here"

if [[ ${1-} == --fix ]]; then
  files | xargs -d '\n' "$formatter" -i
  exit
fi

n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
T=$(mktemp -d "${TMPDIR:-/tmp}/pbformat.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT

# Does the formatter see a fault? A file that is wrong, by the rules of this tree.
cp .clang-format "$T/"
printf 'int f(int a)\n{\n\treturn a;\n}\n' >"$T/wrong.c"
! "$formatter" --dry-run --Werror "$T/wrong.c" >"$T/out" 2>&1
result $? "a file of another style is found"

mapfile -t all < <(files)
((${#all[@]} > 200))
result $? "the C files of this tree are found (${#all[@]})"
"$formatter" --dry-run --Werror "${all[@]}" >"$T/out" 2>&1
result $? "every C file is as clang-format $version leaves it; \`make format\` mends this"
sed -n 's/^\([^ :]*:[0-9]*\):.*clang-format-violations.*/# \1/p' "$T/out" | head -20
echo "1..$n"
