#!/usr/bin/env bash
# Chunks that fill while a job waits (chunk_wait), and PHP workers of the SDK with several jobs in a
# request: what becomes of each when one of them fails or ends the script.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 4
topics() { # lines of the topic
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/chunk]
pool = php
entry = $WORKERS/sdk-chunk.php
chunk = 10
workers = 2
attempts = ${ATTEMPTS:-2}
backoff = 100ms..150ms
$*
INI
}
reloads() { grep -c 'configuration reloaded' "$T/b.log" || true; }
reconf() {
  local before
  before=$(reloads)
  : >"$T/chunks"
  : >"$T/calls"
  topics "$1" | conf b
  kill -HUP "${PID[b]}"
  wait_until 10 equals reloads $((before + 1)) || tap 1 "HUP to: $1"
  wait_until 10 equals "api b GET /api/v1/topics/q/chunk | json '\$j[\"chunk_wait_ms\"]'" "$2" || tap 1 "HUP to: $1"
}
sizes() { tr '\n' ' ' <"$T/chunks"; }
waits() { ctl b topic show q/chunk | grep -o 'waits [^)]*'; }

# Light load: a job waits for others, but not longer because some come: with these a chunk would be
# full at last.
topics "chunk_wait = 2s" | conf b
start_broker b
eventually 10 "topic_state b q/chunk" open "open"
is "$(waits)" "waits 2 s to fill it" "topic show tells of it"
start=$(now_ms) added=1
push b q job1 >/dev/null
while [[ $(lines chunks) == 0 ]] && ((added < 30)); do
  sleep 0.3 # ten take longer than the wait
  added=$((added + 1))
  push b q "job$added" >/dev/null
done
took=$(($(now_ms) - start))
note "it left $took ms after it was added"
ok "not before its wait is over" test "$took" -ge 1950
ok "and not much later: more jobs do not make it wait longer" test "$(head -n 1 "$T/chunks")" -lt 10
eventually 10 "lines calls" "$added" "all run"
eventually 5 "topic b q/chunk done" "$added" "all are done"

# A full chunk leaves at once, what is left over waits.
reconf "chunk_wait = 10m" 600000
for i in 1 2 3 4 5; do echo "LPUSH q job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw >/dev/null
eventually 5 "topic b q/chunk running" 5 "five are added one after the other and wait"
is "$(lines chunks)" 0 "none is on its way yet"
push b q {6..23} >/dev/null
eventually 10 "lines calls" 20 "two full chunks leave at once"
is "$(sizes)" "10 10 " "full ones"
eventually 5 "topic b q/chunk running" 3 "three wait at hand"
push b q {24..30} >/dev/null
eventually 10 "lines calls" 30 "with seven more they are ten, and leave"
is "$(sizes)" "10 10 10 " "full again"

# A reload that shortens the wait counts for those that wait.
eventually 5 "topic b q/chunk running" 0 "all are done"
push b q late >/dev/null
push b q later >/dev/null
eventually 5 "topic b q/chunk running" 2 "two wait"
reconf "" 0
eventually 10 "lines calls" 2 "chunk_wait = 0 lets them go"
is "$(sizes)" "2 " "in one request"

# Fast workers read ahead; a wait must not keep the rest of a chunk in Redis.
reconf "chunk_wait = 10m" 600000
for n in 1 2 3 4 5 6 7 8 9 10; do push b q "one$n" >/dev/null; done
eventually 10 "lines calls" 10 "ten that come one by one leave when they are ten"
is "$(sizes)" "10 " "in one request"

# Retries wait for others as well, and fail or succeed each for itself.
ATTEMPTS=3 reconf "chunk_wait = 10m" 600000
push b q 'throw v' {1..8} 'throw w' >/dev/null
eventually 10 "lines calls" 10 "a full chunk, of which two throw"
push b q {9..16} >/dev/null
eventually 15 "topic b q/chunk dead" 2 "two throw three times: dead"
is "$(sizes)" "10 10 1 1 " "the second attempts with others in one request, the last each in its own"
op b q/chunk purge >/dev/null
reconf "chunk_wait = 10m" 600000
push b q a throw1 exit1 b 'throw x' c 'throw y' d e f >/dev/null
eventually 15 "topic b q/chunk dead" 2 "two throw twice: dead"
is "$(grep -cE ' ([a-f]|throw1|exit1) 1$' "$T/calls")" 8 "the others ran once"
is "$(sizes)" "10 1 1 " "their last attempts each in a request of its own"
like "$(op b q/chunk errors)" "DomainException: about throw x" "each with its own message"
op b q/chunk purge >/dev/null

# exit and a fatal error in the middle: what was done stays done, what came after runs again
# without having counted.
for how in exit fatal; do
  reconf "" 0
  done=$(topic b q/chunk done)
  push b q "$how-before" "$how" "$how-after1" "$how-after2" >/dev/null
  eventually 15 "topic b q/chunk done" $((done + 3)) "$how: three are done"
  eventually 15 "topic b q/chunk dead" 1 "$how: one is dead"
  is "$(grep -c " $how-before " "$T/calls")" 1 "$how: the one before ran once"
  is "$(grep -c " $how-after[12] 1$" "$T/calls")" 2 "$how: those behind it ran once, as their first attempt"
  is "$(grep -c " $how [12]$" "$T/calls")" 2 "$how: the one itself had its two attempts"
  is "$(topic_state b q/chunk)" open "$how: the topic stays open"
  op b q/chunk purge >/dev/null
done

# A job that kills its process tells nothing of the others, so all of them fail; but it dies alone.
reconf "" 0
done=$(topic b q/chunk done)
push b q k1 k2 kill k3 >/dev/null
eventually 15 "topic b q/chunk dead" 1 "one that kills the child is dead"
eventually 15 "topic b q/chunk done" $((done + 3)) "those that shared its request are done"
like "$(op b q/chunk retry)" '"content": ?"kill"' "it is that one"
op b q/chunk purge >/dev/null

unlike "$(cat "$T/b.log")" "does not take it" "at no time did it count as unregistered"

# The timeout: what the worker has no time for goes back before the deadline fails all of them. A job
# is not begun when one like the longest before it would end after the deadline.
reconf "timeout = 8s" 0
done=$(topic b q/chunk done) failed=$(topic b q/chunk failed) timeouts=$(topic b q/chunk timeout)
op b q/chunk pause >/dev/null # until all of them are there
push b q 'slow 4100 a' 'slow 4100 b' 'slow 0 c' 'slow 0 d' >/dev/null
op b q/chunk resume >/dev/null
eventually 20 "topic b q/chunk done" $((done + 4)) "two of four jobs take 4100 ms, eight seconds a request: all are done"
is "$(lines calls)" 4 "each once"
is "$(topic b q/chunk failed) $(topic b q/chunk timeout)" "$failed $timeouts" "none failed"
is "$(head -1 "$T/chunks")" 4 "though they came in one request"
ok "and were done in several" test "$(lines chunks)" -ge 2

# While a chunk fills, other topics of its pool have the slots; also where there is only one.
topics "chunk_wait = 10m" | sed 's/^max_connections = 4/max_connections = 1/' >"$T/one"
cat >>"$T/one" <<INI
[queue p]
password = pw
[topic p/log]
pool = php
entry = $WORKERS/log.php
[queue r]
password = pw
[topic r/slow]
pool = php
entry = $WORKERS/slow.php
INI
conf b <"$T/one"
: >"$T/chunks"
: >"$T/calls"
kill -HUP "${PID[b]}"
eventually 10 "topic_state b p/log; topic_state b r/slow; api b GET /api/v1/topics/q/chunk | json '\$j[\"chunk_wait_ms\"]'" \
  $'open\nopen\n600000' "a pool of one connection and two more topics"
touch "$T/hold"
push b r held >/dev/null
eventually 5 "lines begun" 1 "its only slot is taken"
push b q 1 2 3 >/dev/null
push b p x >/dev/null
rm "$T/hold"
eventually 10 "lines handled.p.log" 1 "behind it another topic runs"
eventually 5 "topic b q/chunk running" 3 "while three jobs wait for more"
for n in 1 2 3 4 5; do push b p "x$n" >/dev/null; done
eventually 10 "lines handled.p.log" 6 "again and again"
is "$(lines calls)" 0 "and they still wait"
push b q 4 5 6 7 8 9 10 >/dev/null
eventually 10 "lines calls" 10 "a full chunk gets the slot"

# Pause and stop do not wait for a chunk to fill.
reconf "chunk_wait = 10m" 600000
push b q kept1 kept2 >/dev/null
eventually 5 "topic b q/chunk running" 2 "two wait at hand"
op b q/chunk pause >/dev/null
eventually 5 "topic b q/chunk running" 0 "pause gives them back"
op b q/chunk resume >/dev/null
eventually 5 "topic b q/chunk running" 2 "after resume they wait again"
start=$(now_ms)
stop b
ok "a stop does not wait for the chunk" test $(($(now_ms) - start)) -lt 100000
is "$STOP_STATUS" 0 "and is clean"
is "$(lines calls)" 0 "none was run"
topics "" | conf b
start_broker b
eventually 10 "lines calls" 2 "the next start runs them"
is "$(cut -d' ' -f2,3 "$T/calls" | sort | tr '\n' ';')" "kept1 1;kept2 1;" "each as its first attempt"
done_testing
