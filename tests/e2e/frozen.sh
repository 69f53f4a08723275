#!/usr/bin/env bash
# A Redis that cannot write its disk, a php-fpm that stands still, and a broker that does.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php prlimit

# A limit on the size of its files is a full disk to it. The signal that comes with it is ignored,
# as it would not come with a full disk.
trap '' XFSZ
start_redis redis --auto-aof-rewrite-percentage 0
trap - XFSZ
start_fpm fpm 4
start_fpm other 2
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 3
[pool other]
run_type = cgi
address = unix:$T/other.sock
max_connections = 2
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 3
[queue r]
password = pw
[topic r/any]
pool = other
entry = $WORKERS/any.php
[queue s]
password = pw
[topic s/any]
pool = php
entry = $WORKERS/any.php
workers = 3
timeout = 700ms
attempts = 100
backoff = 100ms..200ms
[queue u]
password = pw
[topic u/held]
pool = other
entry = $T/held.php
workers = 2
timeout = 6s
INI
cat >"$T/held.php" <<PHP
<?php
require '$WORKERS/reply.php';
ping('u/held');
foreach (jobs() as \$job) {
    note('held', \$job['id']);
    while (file_exists('$T/hold')) {
        usleep(10000);
        clearstatcache();
    }
    note('let.go', \$job['id']);
}
reply(200);
PHP
start_broker b
for topic in q/slow r/any s/any u/held; do eventually 10 "topic_state b $topic" open "$topic opens"; done

# --- the disk of Redis is full ---

written() { cat "$T"/redis/appendonlydir/*.incr.aof | wc -c; }
touch "$T/hold"
push b q held >/dev/null
eventually 5 "lines begun" 1 "a job runs"
prlimit --pid "${PID[redis]}" --fsize=$(($(written) + 100000)):unlimited
head -c 30000 /dev/zero | tr '\0' x >"$T/block"
refused() { redis-cli --no-auth-warning -s "$T/b.bus" -a r:pw -x LPUSH r <"$T/block" >"$T/said"; grep -q '"jobs":null' "$T/said"; }
ok "the disk is full after some jobs" wait_until 10 refused
like "$(<"$T/said")" 'cannot write its data to disk' "the producer hears why"
like "$(<"$T/said")" 'MISCONF' "in Redis' words too"
is "$(lines ended)" 0 "the job that ran before runs on"
rm "$T/hold"
eventually 10 "lines ended" 1 "and ends"
ok "its outcome cannot be stored: the log says so" wait_until 10 contains "$T/b.log" \
  'takes no writes: .*outcomes are kept.*disk'
is "$(topic b q/slow running)" 1 "to Redis it still runs"
is "$(curl -s -o /dev/null -w '%{http_code}' "http://$(admin b)/healthz")" 200 "the broker lives"
readyz() { curl -s -o "$T/readyz" -w '%{http_code}' "http://$(admin b)/readyz"; }
eventually 15 readyz 503 "and is not ready: producers cannot be served"
like "$(<"$T/readyz")" 'cannot write its data to disk' "/readyz says why"
like "$(ctl b status || :)" 'not ready' "pepperbusctl status too"
prlimit --pid "${PID[redis]}" --fsize=unlimited:unlimited
accepted() { push b "$1" "$2" | grep -q '"error":""'; }
ok "room again: jobs are accepted" wait_until 10 accepted r room
eventually 10 "topic b q/slow running" 0 "and the outcome is stored"
is "$(lines begun)" 1 "the job ran once"
eventually 15 readyz 200 "ready again"
ok "the log has the beginning" contains "$T/b.log" 'storage main: takes no writes: '
ok "and the end" contains "$T/b.log" 'storage main: takes writes again'
eventually 10 "topic b r/any ready" 0 "what was accepted before and after is handled"
ok "the last one too" wait_until 10 contains "$T/handled" ' room$'

# --- php-fpm stands still ---

children() { cat "/proc/${PID[fpm]}/task/${PID[fpm]}/children"; }
# shellcheck disable=SC2046 # a list of numbers
freeze() { kill "-$1" $(children) "${PID[fpm]}"; }
was=$(topic b s/any failed)
freeze STOP
push b s frozen1 frozen2 >/dev/null
timeouts() { (($(topic b s/any timeout) >= 2)); }
ok "frozen: both attempts run into their timeout" wait_until 10 timeouts
like "$(op b s/any errors)" 'no answer (within|after)' "which the error log says"
ok "failed attempts, of unknown outcome" test "$(topic b s/any failed)" -ge $((was + 2))
push b s frozen3 >/dev/null
start=$(now_ms)
ok "the other pool works on" accepted r meanwhile
ok "while the first stands still" wait_until 10 contains "$T/handled" ' meanwhile$'
note "after $(($(now_ms) - start)) ms"
ok "no more requests than the pool has are on the way" test "$(ctl b --json status | json '$j["pools"][0]["busy"]')" -le 3
freeze CONT
for job in frozen1 frozen2 frozen3; do
  ok "thawed: $job is handled" wait_until 20 contains "$T/handled" " $job\$"
done
eventually 10 "topic b s/any dead" 0 "none is dead"
eventually 20 "unfinished b s/any" 0 "nothing waits any more"

# --- the broker stands still, and past the deadline of requests that are answered meanwhile ---

touch "$T/hold"
push b u one two >/dev/null
ok "two jobs run" wait_until 10 equals "lines held" 2
start=$(now_ms)
kill -STOP "${PID[b]}"
rm "$T/hold"
ok "they end while the broker stands still" wait_until 10 equals "lines let.go" 2
past() { (($(now_ms) > start + 6500)); }
wait_until 10 past
kill -CONT "${PID[b]}"
eventually 10 "topic b u/held done" 2 "thawed: what they answered counts"
is "$(topic b u/held failed) $(topic b u/held timeout) $(lines held)" "0 0 2" "they did not time out"
stop b
is "$STOP_STATUS" 0 "a clean stop"
done_testing
