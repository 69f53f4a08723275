#!/usr/bin/env bash
# Adds up test results: of a build directory (default `.`), or of the *.trs files that are named.
# Ends with the line "N passed, N failed, N skipped". Exit status 1 when one failed or none ran.
set -euo pipefail
files=("$@")
if [[ ! ${1:-} || -d $1 ]]; then
  mapfile -t files < <(find "${1:-.}" -name '*.trs')
fi
cat /dev/null "${files[@]}" | awk '
  /^:test-result: PASS/ { passed++ }
  /^:test-result: FAIL/ { failed++ }
  /^:test-result: SKIP/ { skipped++ }
  END {
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0 || passed == 0
  }'
