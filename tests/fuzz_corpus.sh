#!/usr/bin/env bash
# Every fuzz target over its seed corpus, once; with --enable-fuzzers additionally FUZZ_SECONDS
# (default 20) of fuzzing each, and how many edges of the code that has reached.
set -euo pipefail
# shellcheck disable=SC1091 # of this tree
. "$top_srcdir/tests/fuzz/coverage.sh"
n=0
for target in "$top_builddir"/tests/fuzz/fuzz_*; do
  [[ -x $target && ! -d $target && $target != *.* ]] || continue
  name=${target##*/fuzz_}
  corpus=$top_srcdir/tests/fuzz/corpus/$name
  n=$((n + 1))
  if [[ ! -d $corpus ]]; then
    echo "not ok $n - $name has a corpus"
    continue
  fi
  log=$(mktemp)
  # Not grep -q: it leaves early, and the pipe has nm's failure then.
  if nm "$target" 2>/dev/null | grep ' LLVMFuzzerRunDriver' >/dev/null; then
    scratch=$(mktemp -d)
    run=("$target" "-max_total_time=${FUZZ_SECONDS:-20}" "-artifact_prefix=$PWD/" "$scratch" "$corpus")
  else
    run=("$target" "$corpus")
  fi
  verdict="ok $n - $name"
  "${run[@]}" >"$log" 2>&1 || verdict="not $verdict"
  tail -30 "$log" | sed 's/^/# /'
  if [[ ${scratch:-} ]]; then
    # @case T4: libFuzzer sees the code that is fuzzed, not the target alone
    coverage_read "$log"
    echo "# $name: $edges of $all_edges edges reached"
    [[ $verdict == not* ]] || ! coverage_blind || verdict="not $verdict: its code is not instrumented"
  fi
  echo "$verdict"
  rm -rf "${scratch:-}" "$log"
done
echo "1..$n"
