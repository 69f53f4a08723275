#!/usr/bin/env bash
# Automake's test driver for this project: runs one test program, reads its TAP lines where it
# prints some, and says in one line how it went and how long it took.
#
# automake calls it as: driver.sh --test-name N --log-file F --trs-file F [--color-tests B]
#   [--enable-hard-errors B] [--expect-failure B] -- PROGRAM...
# Exit status 77 skips the whole program. A program without TAP lines counts as one test.
# TEST_TIMEOUT (seconds) ends a program that hangs; it counts as failed.
set -uo pipefail

name='' log='' trs='' color=no
while (($#)); do
  case $1 in
  --test-name) name=$2; shift 2 ;;
  --log-file) log=$2; shift 2 ;;
  --trs-file) trs=$2; shift 2 ;;
  --color-tests) color=$2; shift 2 ;;
  --expect-failure | --enable-hard-errors | --collect-skipped-logs) shift 2 ;;
  --) shift; break ;;
  *) break ;;
  esac
done

begin=$(date +%s%N)
timeout --kill-after=20 "${TEST_TIMEOUT:-600}" "$@" >"$log" 2>&1 </dev/null
status=$?
tenths=$((($(date +%s%N) - begin) / 100000000))

# passed, failed, skipped, planned (-1: no plan), bailed
read -r passed failed skipped planned bailed < <(awk '
  /^not ok/ && !/# (SKIP|TODO)/ { failed++; next }
  /^(not )?ok/ && /# SKIP/ { skipped++; next }
  /^ok/ { passed++; next }
  /^1\.\.[0-9]+/ { sub(/^1\.\./, ""); planned = $1 + 0; seen = 1 }
  /^Bail out!/ { bailed = 1 }
  END { print passed + 0, failed + 0, skipped + 0, seen ? planned : -1, bailed + 0 }' "$log")

note=
if ((status == 77)); then
  passed=0 failed=0 skipped=1
  note=$(sed -n 's/^1\.\.0 # SKIP //p' "$log" | head -1)
  [[ $note ]] || note=$(tail -1 "$log")
elif ((passed + failed + skipped == 0)); then
  # No TAP: the exit status decides, and a summary of PHPUnit or node is taken as it is.
  phpunit=$(sed -nE 's/^OK \(([0-9]+) tests?,.*/\1/p' "$log" | tail -1)
  if ((status == 0)); then passed=${phpunit:-1}; else failed=1; fi
  counts=$(sed -nE 's/^Tests: ([0-9]+), .*/\1/p' "$log" | tail -1)
  if [[ $counts && -z $phpunit ]]; then
    failed=$(grep -E '^Tests: [0-9]+, ' "$log" | tail -1 | tr ',' '\n' |
      awk '/Errors|Failures/ { gsub(/[^0-9]/, ""); n += $0 } END { print n + 0 }')
    skipped=$(grep -E '^Tests: [0-9]+, ' "$log" | tail -1 | tr ',' '\n' |
      awk '/Skipped|Incomplete/ { gsub(/[^0-9]/, ""); n += $0 } END { print n + 0 }')
    passed=$((counts - failed - skipped))
    ((status == 0 || failed > 0)) || failed=1
  fi
elif ((bailed)); then
  failed=$((failed + 1)) note="bailed out"
elif ((status == 124 || status == 137)); then
  failed=$((failed + 1)) note="ended after ${TEST_TIMEOUT:-600} s"
elif ((planned >= 0 && planned != passed + failed + skipped)); then
  failed=$((failed + 1)) note="planned $planned tests, ran $((passed + failed + skipped))"
elif ((planned < 0)); then
  failed=$((failed + 1)) note="stopped without a plan (exit status $status)"
elif ((status != 0 && failed == 0)); then
  failed=$((failed + 1)) note="exit status $status"
fi

if ((failed)); then verdict=FAIL; elif ((passed == 0)); then verdict=SKIP; else verdict=PASS; fi
{
  for ((i = 0; i < passed; i++)); do echo ":test-result: PASS"; done
  for ((i = 0; i < failed; i++)); do echo ":test-result: FAIL"; done
  for ((i = 0; i < skipped; i++)); do echo ":test-result: SKIP"; done
  echo ":global-test-result: $verdict"
  if ((failed)); then echo ":recheck: yes"; else echo ":recheck: no"; fi
  if ((failed)); then echo ":copy-in-global-log: yes"; else echo ":copy-in-global-log: no"; fi
} >"$trs"

paint='' plain=''
if [[ $color == yes ]]; then
  plain=$'\e[0m'
  case $verdict in PASS) paint=$'\e[32m' ;; FAIL) paint=$'\e[31m' ;; SKIP) paint=$'\e[34m' ;; esac
fi
line=$(printf '%s%s%s: %-32s %4d passed' "$paint" "$verdict" "$plain" "$name" "$passed")
((failed)) && line+=", $failed failed"
((skipped)) && line+=", $skipped skipped"
line+=$(printf '  %d.%d s' $((tenths / 10)) $((tenths % 10)))
[[ $note ]] && line+="  ($note)"
echo "$line"
if ((failed)); then
  # The first faults at once, without a look into the log file.
  grep -nE -A3 '^not ok|^Bail out!|ERROR: |runtime error' "$log" | head -24 | sed 's/^/    /'
  echo "    (all of it: $log)"
fi
exit 0
