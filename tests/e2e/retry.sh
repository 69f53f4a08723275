#!/usr/bin/env bash
# Failed attempts: backoff, dead jobs, their reasons, replay, purge, pause.
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
[topic q/fragile]
pool = php
entry = $WORKERS/fragile.php
attempts = 3
backoff = 400ms..2s
[topic q/dies]
pool = php
entry = $WORKERS/dies.php
attempts = 2
backoff = 200ms..300ms
INI
echo 'the disk of shop 7 is full' >"$T/broken"
start_broker b
eventually 10 "topic_state b q/fragile" open "open"

id=$(push_ids b q work)
eventually 10 "topic b q/fragile dead" 1 "three attempts, then dead"
is "$(grep -c "^$id " "$T/tries")" 3 "the worker was called three times"
mapfile -t at < <(sed -E 's/.* at=([0-9]+)/\1/' "$T/tries")
first=$((at[1] - at[0])) second=$((at[2] - at[1]))
note "waits: $first ms, $second ms"
ok "the first retry waits for its backoff (400 ms less jitter)" test "$first" -ge 250
ok "the second waits longer" test "$second" -ge 500
ok "but not for ever" test "$second" -lt 20000
is "$(awk '{ print $3, $4, $5 }' "$T/tries" | tr '\n' ';')" \
  "attempt=1 retrying=0 begin=false;attempt=2 retrying=1 begin=true;attempt=3 retrying=2 begin=true;" \
  "RetryTimes, retrying and BeginRetry count attempts"
like "$(op b q/fragile errors)" "the disk of shop 7 is full \(error code E42\)" "the error log has the worker's words"
is "$(op b q/fragile errors | json '$j["errors"][0]["id"] . " " . $j["errors"][0]["code"] . " " . $j["errors"][0]["node"]')" \
  "$id 500 b" "with job, code and node"
# Each between its own call and the next one; a millisecond is lost by rounding here and there.
told=$(op b q/fragile errors | json 'implode(" ", array_column($j["errors"], "ms"))')
read -r third_told second_told first_told <<<"$told"
ok "and time, newest first ($told)" test "$first_told" -ge $((at[0] - 5)) -a "$first_told" -le $((at[1] + 5)) \
  -a "$second_told" -ge $((at[1] - 5)) -a "$second_told" -le $((at[2] + 5)) -a "$third_told" -ge $((at[2] - 5))
like "$(op b q/fragile retry)" "$id" "the list of failed jobs names it"
like "$(op b q/fragile retry)" '"content": ?"work"' "with its content"

# Mended: replay gives it its full attempts again.
op b q/fragile replay >/dev/null
eventually 10 "topic b q/fragile dead" 1 "still broken: dead again"
is "$(grep -c "^$id " "$T/tries")" 6 "after three more attempts, not one"
is "$(awk '{ print $3, $4, $5 }' "$T/tries" | sed -n 4p)" "attempt=1 retrying=0 begin=false" "which began anew"
rm "$T/broken"
op b q/fragile replay >/dev/null
eventually 10 "lines handled.q.fragile" 1 "mended and replayed: handled"
eventually 5 "topic b q/fragile dead" 0 "and no longer dead"

# Many at once.
echo again >"$T/broken"
push b q {1..50} >/dev/null
eventually 30 "topic b q/fragile dead" 50 "fifty are dead"
rm "$T/broken"
op b q/fragile replay >/dev/null
eventually 10 "lines handled.q.fragile" 51 "replay of all drains them"
echo again >"$T/broken"
push b q x1 x2 x3 >/dev/null
eventually 15 "topic b q/fragile dead" 3 "three dead"
op b q/fragile purge >/dev/null
eventually 5 "topic b q/fragile dead" 0 "purge removes them"
rm "$T/broken"
push b q after >/dev/null
eventually 5 "lines handled.q.fragile" 52 "and nothing else: a new job runs"

# Pause and resume.
op b q/fragile pause >/dev/null
eventually 5 "topic_state b q/fragile" paused "paused"
push b q p1 p2 >/dev/null
eventually 5 "topic b q/fragile ready" 2 "two wait"
is "$(lines handled.q.fragile)" 52 "and are not run"
stop b
start_broker b
eventually 10 "topic_state b q/fragile" paused "still paused after a restart"
op b q/fragile resume >/dev/null
eventually 10 "lines handled.q.fragile" 54 "resumed: they run"

# A job may have its own pause, or none: then its first failure is final. And a time to live.
echo 'for good' >"$T/broken"
AUTH=q:pw resp b ADDJOB q own 0 RETRY 0 >/dev/null
eventually 10 "topic b q/fragile dead" 1 "RETRY 0: dead"
is "$(grep -c ' own ' "$T/tries")" 1 "after one attempt of three"
op b q/fragile purge >/dev/null
rm "$T/broken"
op b q/fragile pause >/dev/null
AUTH=q:pw resp b ADDJOB q mayfly 0 TTL 1 >/dev/null
AUTH=q:pw resp b ADDJOB q tortoise 0 TTL 3600 >/dev/null
over=$(($(now_ms) + 1001))
is_over() { (($(now_ms) >= over)); }
wait_until 5 is_over
op b q/fragile resume >/dev/null
ok "TTL: one that has time left is run" wait_until 10 contains "$T/handled.q.fragile" ' tortoise$'
eventually 10 "topic b q/fragile dead" 1 "one whose time is over is dead"
like "$(op b q/fragile retry)" 'mayfly' "and kept"
like "$(op b q/fragile errors)" 'expired before it was run' "with the reason"
is "$(grep -c ' mayfly ' "$T/tries")" 0 "it was not run"
op b q/fragile purge >/dev/null

# Every way in which a PHP worker can die is a failed attempt with a reason, and not one job is
# sent again at once.
is_dead() { # content pattern name
  local id
  id=$(push_ids b q "$1")
  ok "$3: dead after two attempts" wait_until 20 died "$id"
  is "$(grep -c "^$id $1 " "$T/deaths")" 2 "$3: called twice, not more"
  like "$(op b q/dies retry)" "$2" "$3: the reason is kept"
  op b q/dies purge >/dev/null
}
died() { op b q/dies retry | json "count(array_filter(\$j['jobs'] ?? \$j['records'] ?? \$j, fn(\$r) => is_array(\$r) && (\$r['id'] ?? '') == '$1' && (\$r['dead'] ?? (\$r['state'] ?? '') === 'dead')))" | grep -qx 1; }
is_dead fatal 'undefined_function_of_this_worker' "a fatal error"
is_dead exit '[Cc]ode|verdict|no answer' "exit"
is_dead memory 'memory size' "out of memory"
is_dead stderr 'words on stderr|see stderr' "words on stderr"
is_dead kill 'closed|reset|lost|ended' "kill -9 of the child"
is_dead half 'closed|reset|lost|ended|middle' "half an answer, with Code: 200 at its head"
before=$(topic b q/dies done)
push b q noise >/dev/null
eventually 10 "topic b q/dies done" $((before + 1)) "notices before the headers do no harm where the code is 200"
done_testing
