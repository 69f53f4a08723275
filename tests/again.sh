#!/usr/bin/env bash
# An end-to-end test that has failed in the build folder DIR is run once more, alone: on a machine
# with much else to do it may have failed by chance. One that passes then counts as passed, and is
# told: "FLAKY tests/e2e/NAME", one line each, on standard output. What it said at first is kept
# beside the new log, in NAME.first.log.
#
#   tests/again.sh DIR
#
# Not for unit and plugin tests, nor for ledgers, which must be right every time; not where a
# sanitizer has reported something; and not when more than five have failed, which is no chance.
set -euo pipefail
dir=$1
most=5
failed=()
while read -r trs; do
  log=${trs%.trs}.log
  name=${trs#"$dir"/}
  name=${name%.trs}
  [[ $name == tests/e2e/* && ${name##*/} != *ledger* ]] || continue
  ! grep -qaE 'ERROR: [A-Za-z]+Sanitizer|runtime error:|SUMMARY: [A-Za-z]+Sanitizer|Sanitizer:DEADLYSIGNAL' "$log" 2>/dev/null || continue
  failed+=("$name")
done < <(find "$dir" -name '*.trs' -print0 | xargs -0 -r grep -l '^:global-test-result: FAIL' | sort)
((${#failed[@]} <= most)) || exit 0
for name in "${failed[@]}"; do
  mv "$dir/$name.log" "$dir/$name.first.log"
  mv "$dir/$name.trs" "$dir/$name.first"
  # The name with its ending is what make knows it by.
  for test in "$name.sh" "$name.py" ''; do [[ ! -e ${top_srcdir:-.}/$test ]] || break; done
  (cd "$dir" && make -j1 check "TESTS=$test" >"$name.again.out" 2>&1 </dev/null) || true
  if [[ $test && -e $dir/$name.trs ]] && grep -q '^:global-test-result: PASS' "$dir/$name.trs"; then
    echo "FLAKY $test (failed at first: $dir/$name.first.log)"
  elif [[ ! -e $dir/$name.trs ]]; then # it did not run: what it was at first stands
    mv "$dir/$name.first" "$dir/$name.trs"
    cp "$dir/$name.first.log" "$dir/$name.log"
  fi
done
