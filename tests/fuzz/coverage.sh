# shellcheck shell=bash
# Reads what a libFuzzer program has printed. Sourced by scripts/fuzz and tests/fuzz_corpus.sh.

# coverage_read LOG: sets edges, all_edges, features and rate
coverage_read() {
  # shellcheck disable=SC2034 # for who sources this
  edges=$(grep -aoE ' cov: [0-9]+' "$1" | tail -n 1 | grep -oE '[0-9]+' || echo 0)
  features=$(grep -aoE ' ft: [0-9]+' "$1" | tail -n 1 | grep -oE '[0-9]+' || echo 0)
  all_edges=$(sed -nE 's/^INFO: Loaded [0-9]+ modules? +\(([0-9]+) inline.*/\1/p' "$1" | head -n 1)
  all_edges=${all_edges:-0}
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$1" | tail -n 1)
  rate=${rate:-0}
}

# Without the code that is fuzzed there are few edges to reach, or few are reached.
coverage_blind() { ((all_edges < 60 || edges < 12)); }
