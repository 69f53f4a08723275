#!/usr/bin/env bash
# Two brokers on one Redis: shared work, a death and its heir, two of one name.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_redis calm
start_fpm fpm 8
nodeconf() {
  conf "$1" <<INI
[storage main]
address = unix:$T/redis.sock
lease = 4s
[storage calm]
address = unix:$T/calm.sock
lease = 1m
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/log]
storage = main
pool = php
entry = $WORKERS/log.php
[topic q/slow]
storage = main
pool = php
entry = $WORKERS/slow.php
attempts = 5
backoff = 200ms..400ms
[queue r]
password = pw
[topic r/any]
storage = calm
pool = php
entry = $WORKERS/any.php
attempts = 5
[pool edge]
run_type = cgi
address = unix:$T/edge-$1.sock
max_connections = 2
[queue e]
password = pw
[topic e/any]
storage = main
pool = edge
entry = $WORKERS/any.php
INI
}
start_fpm edge-one 2
start_fpm edge-two 2
nodeconf one
nodeconf two
start_broker one
start_broker two
eventually 10 "topic_state one q/slow" open "one is open"
eventually 10 "topic_state two q/slow" open "two is open"

for i in {1..200}; do echo "LPUSH q 5"; done | redis-cli --no-auth-warning -s "$T/one.bus" -a q:pw >/dev/null
for i in {1..200}; do echo "LPUSH q 5"; done | redis-cli --no-auth-warning -s "$T/two.bus" -a q:pw >/dev/null
eventually 20 "lines handled.q.log" 400 "400 jobs, added to both"
eventually 20 "lines ended" 400 "in both topics"
is "$(cut -d' ' -f1 "$T/handled.q.log" | sort -u | wc -l)" 400 "with 400 ids: none twice, none equal"
done_of() { topic "$1" q/slow done; }
note "one did $(done_of one), two did $(done_of two)"

# Slow ones added to one node, be they run there or at the other.
begun() { (($(lines begun) >= $1)); }
touch "$T/hold"
for i in {1..8}; do echo "LPUSH q held"; done | redis-cli --no-auth-warning -s "$T/one.bus" -a q:pw >/dev/null
ok "eight long jobs: side by side (4 connections each)" wait_until 10 begun 404
is "$(lines ended)" 400 "while none has ended"
rm "$T/hold"
eventually 10 "lines ended" 408 "all end"
left_of() { api two GET "/api/v1/topics/$1" | json '$j["counts"]["ready"] + $j["counts"]["running"] + $j["counts"]["retry"]'; }
eventually 10 "left_of q/slow; left_of q/log" $'0\n0' "and are settled"

# The death of a node: its running jobs are taken over within the lease, and the crash is counted.
# Which of the two takes a job is theirs to say, so jobs are added until it has as many as it may.
busy_at() { api "$1" GET /api/v1/pools | json 'array_column($j["pools"], "busy", "name")["php"]'; }
jobs=0
# Whatever else the second reading counts, four have begun at the one when they are equal.
full() {
  (($(lines begun) != 408 + 4 + $(busy_at two))) || return 0
  (($(busy_at one) < 4)) || return 1
  push one q held >/dev/null
  jobs=$((jobs + 1))
  return 1
}
touch "$T/hold"
ok "it runs as many jobs as it may" wait_until 10 full
start=$(now_ms)
stop one KILL
rm "$T/hold"
eventually 20 "cut -d' ' -f1 $T/ended | sort -u | wc -l" $((408 + jobs)) "all are ended by the survivor"
eventually 20 "left_of q/slow" 0 "nothing is left"
took=$(($(now_ms) - start))
ok "taken over within the lease and some seconds" test "$took" -lt $((20000 * SLOW))
again=$(($(lines begun) - 408 - jobs))
note "after $took ms; $again of $jobs ran a second time"
is "$again" 4 "those of the dead node were delivered again, and only those"

# Back under its name, at once.
start_broker one
push one q 1 >/dev/null
eventually 10 "topic_state one q/slow" open "the dead one comes back under its name"
eventually 20 "left_of q/slow; left_of q/log" $'0\n0' "and works"

# Two of one name: the second refuses, the first does not notice.
sed "s/^node = .*/node = one/; s|$T/two.state|$T/three.state|; s|$T/two.bus|$T/three.bus|" "$T/two.ini" >"$T/three.ini"
free_port >"$T/three.listen"; free_port >"$T/three.admin"
sed -i "s/^listen = [^,]*/listen = 127.0.0.1:$(<"$T/three.listen")/; s/^admin = .*/admin = 127.0.0.1:$(<"$T/three.admin")/" "$T/three.ini"
WAIT=no start_broker three
ok "a second node of one name ends" wait_until 15 gone "${PID[three]}"
ok "and says why" contains "$T/three.log" 'name.*(taken|runs|two nodes|another)|one name'
wait "${PID[three]}" || STOP_STATUS=$?
unset 'PID[three]'
ok "with an exit status that is not 0" test "$STOP_STATUS" -ne 0
n=$(lines handled.q.log)
push one q 1 >/dev/null
eventually 5 "lines handled.q.log" $((n + 1)) "the first goes on"

# Pause is for all nodes.
op one q/log pause >/dev/null
eventually 5 "topic_state two q/log" paused "paused at one, paused at two"
op two q/log resume >/dev/null
eventually 5 "topic_state one q/log" open "and the other way round"

# Retries that one node made and cannot run run at the other when they are due, not a sweep later.
eventually 10 "topic_state one r/any" open "r/any open at one"
eventually 10 "topic_state two r/any" open "and at two"
echo 'closed for now' >"$T/broken"
before=$(lines handled)
kill -STOP "${PID[two]}"
for i in {1..40}; do echo "ADDJOB r again 0 RETRY $((8 + i % 8))"; done | AUTH=r:pw resp one >/dev/null
eventually 5 "topic one r/any retry" 40 "jobs that have failed at the one wait for their retries"
kill -CONT "${PID[two]}"
rm "$T/broken"
kill -STOP "${PID[one]}"
api two GET '/api/v1/topics/r/any/retry?count=100' >"$T/due"
eventually 20 "lines handled" $((before + 40)) "it stands still: the other one runs them"
kill -CONT "${PID[one]}"
# Five a second for eight seconds: a machine that stands still meanwhile holds up some of them, sweeps
# would hit few.
php -r '$late = [];
  foreach (file($argv[2]) as $line) $ran[strtok($line, " ")] = (int) strtok(" ");
  foreach (json_decode(file_get_contents($argv[1]), true)["jobs"] as $job) $late[] = $ran[$job["id"]] - $job["due_ms"];
  sort($late);
  echo count(array_filter($late, fn($ms) => $ms > -10 && $ms < 250)), " ", implode(" ", $late), "\n";' \
  "$T/due" "$T/ran" >"$T/late"
read -r on_time late <"$T/late"
note "ms after their times: $late"
ok "at their times, give or take 250 ms" test "$on_time" -ge 20

# A php-fpm that one node alone cannot reach: what it has at hand goes to the other, which can.
for node in one two; do eventually 10 "topic_state $node e/any" open "e/any open at $node"; done
before=$(lines handled)
stop edge-one
rm -f "$T/edge-one.sock"
push one e {1..40} >/dev/null
eventually 10 "topic_state one e/any" unreachable "php-fpm is away for one of them"
is "$(topic_state two e/any)" open "and not for the other"
eventually 20 "lines handled" $((before + 40)) "which handles all"
is "$(topic one e/any failed) $(topic two e/any failed)" "0 0" "no attempt has failed"

# A clean stop leaves nothing to wait for.
for i in {1..4}; do push two q 500 >/dev/null; done
STOP_STATUS=0
stop two
is "$STOP_STATUS" 0 "a clean stop drains"
left_one() { echo $(($(topic one q/slow ready) + $(topic one q/slow running) + $(topic one q/slow retry))); }
eventually 10 left_one 0 "and nothing is left over"
done_testing
