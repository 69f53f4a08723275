#!/usr/bin/env bash
# tests/again.sh, on a build folder of the test's own: who gets a second try, and what is left.
set -uo pipefail
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
is() { # GOT WANT NAME
  [[ $1 == "$2" ]]
  result $? "$3"
  [[ $1 == "$2" ]] || printf '# got:  %s\n# want: %s\n' "${1//$'\n'/ | }" "${2//$'\n'/ | }"
}
T=$(mktemp -d "${TMPDIR:-/tmp}/pbagain.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
again=$top_srcdir/tests/again.sh
unset MAKEFLAGS MFLAGS MAKELEVEL TESTS TEST_LOGS
top_srcdir=$T/src
export top_srcdir
mkdir -p "$T/src/tests/e2e"

# A `make check TESTS=...` that writes what $T/src/NAME has: the verdict, and the log of the new try.
tree() {
  rm -rf "$T/b"
  mkdir -p "$T/b/tests/e2e" "$T/b/tests/unit"
  cat >"$T/b/Makefile" <<'MAKE'
check:
	@echo "$(TESTS)" >>tries
	@base=$(basename $(TESTS)); verdict=$$(cat "$$top_srcdir/$(TESTS)"); test "$$verdict" != none || exit 1; \
	  echo "the second try" >$$base.log; printf ':test-result: %s\n:global-test-result: %s\n' $$verdict $$verdict >$$base.trs; \
	  test $$verdict = PASS
MAKE
}
# ran NAME VERDICT LOG AGAIN: the first try of NAME (with its ending), and what a second one would say
ran() {
  local base=${1%.*}
  mkdir -p "$T/src/${1%/*}"
  printf ':test-result: %s\n:global-test-result: %s\n' "$2" "$2" >"$T/b/$base.trs"
  echo "$3" >"$T/b/$base.log"
  echo "$4" >"$T/src/$1"
}
count() { bash "${again%/*}/count.sh" "$T/b" || true; }

tree
ran tests/e2e/chance.sh FAIL "not ok 1 - at first" PASS
ran tests/e2e/test_chance.py FAIL "not ok 1 - of Python" PASS
ran tests/e2e/broken.sh FAIL "not ok 1" FAIL
ran tests/e2e/good.sh PASS "ok 1" FAIL
ran tests/e2e/test_ledger.py FAIL "not ok 1 - a job is lost" PASS
ran tests/e2e/test_ledger_move.py FAIL "not ok 1 - a job is lost" PASS
ran tests/unit/test_x.c FAIL "not ok 1" PASS
ran tests/e2e/dirty.sh FAIL "==1==ERROR: AddressSanitizer: heap-use-after-free" PASS
ran tests/e2e/undefined.sh FAIL "a.c:1:2: runtime error: index out of bounds" PASS
ran tests/e2e/leak.sh FAIL "==1==ERROR: LeakSanitizer: detected memory leaks" PASS
out=$(bash "$again" "$T/b")
is "$out" "FLAKY tests/e2e/chance.sh (failed at first: $T/b/tests/e2e/chance.first.log)
FLAKY tests/e2e/test_chance.py (failed at first: $T/b/tests/e2e/test_chance.first.log)" "those that pass when alone are told"
is "$(sort "$T/b/tries")" "tests/e2e/broken.sh
tests/e2e/chance.sh
tests/e2e/test_chance.py" "no unit test, no ledger and nothing that a sanitizer has seen is tried again"
is "$(cat "$T/b/tests/e2e/chance.first.log" "$T/b/tests/e2e/chance.log")" "not ok 1 - at first
the second try" "both outputs are kept"
is "$(count)" "3 passed, 7 failed, 0 skipped" "what passed at last counts as passed, the others as failed"

tree
ran tests/e2e/gone.sh FAIL "not ok 1 - at first" none
is "$(bash "$again" "$T/b")" "" "who cannot be run again"
is "$(count) $(<"$T/b/tests/e2e/gone.log")" "0 passed, 1 failed, 0 skipped not ok 1 - at first" "has failed"

tree
for i in 1 2 3 4 5 6; do ran "tests/e2e/t$i.sh" FAIL "not ok 1" PASS; done
is "$(bash "$again" "$T/b") $(count)" " 0 passed, 6 failed, 0 skipped" "six at once are no chance"

tree
ran tests/e2e/good.sh PASS "ok 1" PASS
is "$(bash "$again" "$T/b")" "" "nothing has failed, nothing is said"
echo "1..$n"
