#!/usr/bin/env bash
# Two brokers on one Redis: shared work, a death and its heir, two of one name.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 8
nodeconf() {
  conf "$1" <<INI
[storage main]
address = unix:$T/redis.sock
lease = 4s
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
attempts = 5
backoff = 200ms..400ms
[queue r]
password = pw
[topic r/any]
pool = php
entry = $WORKERS/any.php
attempts = 5
backoff = 5s..5s
[pool edge]
run_type = cgi
address = unix:$T/edge-$1.sock
max_connections = 2
[queue e]
password = pw
[topic e/any]
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
start=$(now_ms)
for i in {1..8}; do echo "LPUSH q 400"; done | redis-cli --no-auth-warning -s "$T/one.bus" -a q:pw >/dev/null
eventually 10 "lines ended" 408 "eight jobs of 400 ms"
took=$(($(now_ms) - start))
note "$took ms"
ok "side by side (4 connections each)" test "$took" -lt $((2800 * SLOW))

# The death of a node: its running jobs are taken over within the lease, and the crash is counted.
touch "$T/hold"
for i in {1..6}; do push one q held >/dev/null; done
begun() { (($(lines begun) >= $1)); }
ok "long jobs run" wait_until 10 begun 412
start=$(now_ms)
stop one KILL
rm "$T/hold"
eventually 20 "cut -d' ' -f1 $T/ended | sort -u | wc -l" 414 "all are ended by the survivor"
left() { echo $(($(topic two q/slow ready) + $(topic two q/slow running) + $(topic two q/slow retry))); }
eventually 20 left 0 "nothing is left"
took=$(($(now_ms) - start))
ok "taken over within the lease and some seconds" test "$took" -lt $((20000 * SLOW))
again=$(($(lines begun) - 414))
note "after $took ms; $again of six ran a second time"
ok "those of the dead node were delivered again, and only those" test "$again" -ge 1 -a "$again" -le 4

# Back under its name, at once.
start_broker one
push one q 1 >/dev/null
eventually 10 "topic_state one q/slow" open "the dead one comes back under its name"

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

# A retry that one node made and cannot run runs at the other when it is due, not a sweep later.
eventually 10 "topic_state one r/any" open "r/any open at one"
eventually 10 "topic_state two r/any" open "and at two"
echo 'closed for now' >"$T/broken"
push one r again >/dev/null
eventually 5 "topic two r/any retry" 1 "a failed job waits for its retry"
rm "$T/broken"
owner=one other=two
[[ $(topic one r/any failed) == 1 ]] || owner=two other=one
due=$(api $other GET /api/v1/topics/r/any | json '$j["counts"]["next_due_ms"]')
nearly_due() { (($(now_ms) > due - 1000)); } # later its lease is over as well
wait_until 10 nearly_due
kill -STOP "${PID[$owner]}"
ok "its node stands still: the other one runs it" wait_until 10 contains "$T/handled" ' again$'
late=$(($(now_ms) - due))
kill -CONT "${PID[$owner]}"
note "$late ms after its time"
ok "at its time" test "$late" -lt $((1000 * SLOW))

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
