#!/usr/bin/env bash
# Adds up the results of every test program of a build directory (argument, default `.`) and ends
# with the line "N passed, N failed, N skipped". Exit status 1 when one failed or none ran.
set -euo pipefail
cd "${1:-.}"
find . -name '*.trs' -print0 | xargs -0 -r cat | awk '
  /^:test-result: PASS/ { passed++ }
  /^:test-result: FAIL/ { failed++ }
  /^:test-result: SKIP/ { skipped++ }
  END {
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0 || passed == 0
  }'
