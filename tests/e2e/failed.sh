#!/usr/bin/env bash
# Many failed jobs: they are kept, counted and listed, the error log stays small; replay and purge of
# all while workers go on failing and producers go on adding.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 4
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/once]
pool = php
entry = $WORKERS/any.php
attempts = 1
[queue r]
password = pw
[topic r/thrice]
pool = php
entry = $WORKERS/any.php
attempts = 3
backoff = 50ms..100ms
INI
echo 'shop 7 is closed' >"$T/broken"
start_broker b
produce() { # QUEUE COUNT CONTENT: their ids on standard output
  local i
  for ((i = 0; i < $2; i++)); do echo "LPUSH $1 $3$i"; done |
    redis-cli --no-auth-warning -s "$T/b.bus" -a "$1:pw" 2>/dev/null |
    grep -oE '[0-9]{19,20}\\?"\]' | tr -dc '0-9\n'
}
count() { api b POST "/api/v1/topics/$1/$2" "$3" | json "\$j['$4'] ?? json_encode(\$j)"; }

# --- kept, counted, listed ---

produce q 1500 a >"$T/first"
is "$(sort -u "$T/first" | wc -l)" 1500 "1500 jobs for a worker that fails"
eventually 30 "topic b q/once dead" 1500 "all are dead"
is "$(lines tries)" 1500 "after one attempt each"
# Redis trims by whole nodes of a hundred entries.
ok "the error log keeps about the last thousand" test "$(redis redis xlen 'pb:{q}:e:once')" -le 1200
is "$(ctl b topic errors q/once --count 1000 --json | json 'count($j["errors"])')" 1000 "which can be read"
for ((at = 0; at < 2000; at += 400)); do
  ctl b topic retry q/once --set dead --offset $at --count 400 --json |
    json 'implode("\n", array_column($j["jobs"], "id"))'
done | grep . | sort >"$T/listed"
is "$(sort "$T/first" | diff - "$T/listed" | wc -l)" 0 "page by page the list has each of them once"
like "$(ctl b topic retry q/once --count 1)" '1 of 1500' "and says how many there are"
is "$(api b GET '/api/v1/topics/q/once/retry?count=1001' | json '$j["status"]')" 400 "a page has at most 1000"
metric() { curl -fsS "http://$(admin b)/metrics" | sed -n 's/^pepperbus_topic_jobs{queue="q",topic="once",state="dead"} //p'; }
eventually 10 metric 1500 "/metrics shows how many are dead"

# --- replay of all ends, though all fail again and more come ---

produce q 500 more >"$T/more" &
producer=$!
start=$(now_ms)
replayed=$(count q/once replay '{"all": true}' replayed)
took=$(($(now_ms) - start))
wait "$producer"
ok "replay of all ends while workers fail ($took ms)" test "$took" -lt 60000
note "replayed $replayed"
ok "at least those that were dead before, and none twice" test "$replayed" -ge 1500 -a "$replayed" -le 2000
eventually 30 "topic b q/once dead" 2000 "all are dead again, and the new ones"
is "$(lines tries)" $((2000 + replayed)) "each replayed job ran once more, no job more often"
is "$(tr ' ' '\n' <"$T/tries" | sort | uniq -c | awk '$1 > 2' | wc -l)" 0 "and none a third time"

# --- purge counts what it deletes, while more fail ---

purge_under_load() { # PATH LEFT: how many were there before
  local path=$1 added=$2 queue=${1%/*} sum=0 n purges=0
  produce "$queue" 2500 p >"$T/added" &
  producer=$!
  while kill -0 "$producer" 2>/dev/null || [[ $(unfinished b "$path") != 0 ]] || ((purges < 2)); do
    n=$(count "$path" purge '{"all": true}' purged)
    sum=$((sum + n)) purges=$((purges + 1))
  done
  wait "$producer"
  added=$((added + $(sort -u "$T/added" | wc -l)))
  eventually 30 "unfinished b $path" 0 "$path: nothing waits or runs any more"
  n=$(topic b "$path" dead)
  note "$purges purges deleted $sum of $added, $n are left"
  ok "$path: several purges hit something" test "$sum" -gt 100
  is $((sum + n)) "$added" "$path: deleted and left over are what was there, each counted once"
  is "$(topic b "$path" done)" 0 "$path: none was done"
  local topic=${path#*/}
  is "$(redis redis hlen "pb:{$queue}:h:$topic") $(redis redis hlen "pb:{$queue}:b:$topic")" "$n $n" \
    "$path: and Redis keeps records and bytes of the rest only"
}
purge_under_load q/once 2000
purge_under_load r/thrice 0
count r/thrice purge '{"all": true}' purged >/dev/null
rm "$T/broken"
push b r after >/dev/null
eventually 10 "lines handled" 1 "mended: a new job is handled"
stop b
done_testing
