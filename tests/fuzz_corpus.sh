#!/usr/bin/env bash
# Every fuzz target over its seed corpus, once; with --enable-fuzzers additionally FUZZ_SECONDS
# (default 20) of fuzzing each.
set -euo pipefail
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
  # Not grep -q: it leaves early, and the pipe has nm's failure then.
  if nm "$target" 2>/dev/null | grep ' LLVMFuzzerRunDriver' >/dev/null; then
    scratch=$(mktemp -d)
    run=("$target" "-max_total_time=${FUZZ_SECONDS:-20}" "-artifact_prefix=$PWD/" "$scratch" "$corpus")
  else
    run=("$target" "$corpus")
  fi
  if "${run[@]}" 2>&1 | tail -30 | sed 's/^/# /'; then
    echo "ok $n - $name"
  else
    echo "not ok $n - $name"
  fi
  rm -rf "${scratch:-}"
done
echo "1..$n"
