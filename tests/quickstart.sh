#!/usr/bin/env bash
# The first command of the README: twice at the same time, then staying up until Ctrl-C, and
# nothing is left behind. Called by scripts/test, since it builds in the source tree's build/.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d "${TMPDIR:-/tmp}/pbquick.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
n=0
check() { # passed? name log
  n=$((n + 1))
  if [[ $1 == 0 ]]; then echo "ok $n - $2"; else
    echo "not ok $n - $2"
    [[ ${3:-} ]] && tail -n 40 "$3" | sed 's/^/# /'
  fi
}
homeless() { # processes at home in the scratch directory
  local p
  for p in /proc/[0-9]*; do
    [[ $(readlink "$p/cwd" 2>/dev/null) == "$scratch"/pepperbus.* ]] && echo "${p#/proc/}"
  done
}

scripts/quickstart --once >"$scratch/one" 2>&1 </dev/null &
one=$!
scripts/quickstart --once >"$scratch/two" 2>&1 </dev/null &
two=$!
wait $one; check $? "one of two at the same time" "$scratch/one"
wait $two; check $? "the other" "$scratch/two"
for out in one two; do
  grep -q 'the worker is broken' "$scratch/$out" && grep -q 'It works' "$scratch/$out"
  check $? "$out shows the error and the end" "$scratch/$out"
done

scripts/quickstart >"$scratch/three" 2>&1 </dev/null &
three=$!
for ((i = 0; i < 600; i++)); do
  grep -q 'Ctrl-C' "$scratch/three" && break
  kill -0 $three 2>/dev/null || break
  sleep 0.1
done
ini=$(ls "$scratch"/pepperbus.*/pepperbus.ini 2>/dev/null)
build/pepperbusctl -c "${ini:-none}" status >"$scratch/status" 2>&1
check $? "it stays up, and pepperbusctl talks to it" "$scratch/status"
kill -TERM $three
wait $three
check $? "a signal ends it cleanly" "$scratch/three"
[[ -z $(homeless) ]]
check $? "no process is left"
[[ -z $(ls -d "$scratch"/pepperbus.* 2>/dev/null) ]]
check $? "no scratch directory is left"
echo "1..$n"
