#!/usr/bin/env bash
# What happens to php-fpm in a working day: reload, restart, all children busy, gone, a script
# that is missing, one that does not register the topic yet.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 4 'pm.max_requests = 50'
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
connect_timeout = 500ms
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
attempts = 5
backoff = 200ms..1s
[queue p]
password = pw
[topic p/log]
pool = php
entry = $T/deploy.php
attempts = 2
backoff = 100ms..200ms
INI
start_broker b
failed() { topic b q/log failed; }
missing() { comm -23 <(sort -u "$T/acknowledged") <(cut -d' ' -f1 "$T/handled.q.log" | sort -u) | wc -l; }
produce() { # count
  for ((i = 0; i < $1; i++)); do echo "LPUSH q $i"; done |
    redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw 2>&1 | tee -a "$T/out" | wc -l >/dev/null
  grep -oE '[0-9]{19,20}\\?"\]' "$T/out" | tr -dc '0-9\n' >"$T/acknowledged"
}

# pm.max_requests: children end all the time. No attempt is lost by it.
produce 1000
eventually 20 missing 0 "1000 jobs through children that end after 50 requests each"
is "$(failed)" 0 "without one failed attempt"
is "$(cut -d' ' -f1 "$T/handled.q.log" | sort | uniq -d | wc -l)" 0 "and none twice"

# Reload under load (USR2 replaces the master and its children).
: >"$T/out"
produce 3000 &
producer=$!
until (($(lines handled.q.log) > 1200)); do :; done
for _ in 1 2 3; do
  n=$(lines handled.q.log)
  kill -USR2 "${PID[fpm]}" # which stays; its file is written anew
  wait_until 5 bash -c "(( \$(wc -l <'$T/handled.q.log') > $n + 200 ))" || true
done
wait "$producer"
eventually 30 missing 0 "three reloads under load: every acknowledged job is handled"
dup=$(cut -d' ' -f1 "$T/handled.q.log" | sort | uniq -d | wc -l)
note "duplicates: $dup, failed attempts: $(failed)"
ok "duplicates only where an attempt failed" test "$dup" -le "$(failed)"
eventually 20 "unfinished b q/log" 0 "nothing waits any more"

# Down: no attempt is counted; back: within two seconds at work again.
kill -TERM "${PID[fpm]}"
wait_until 10 gone "${PID[fpm]}"
unset 'PID[fpm]'
rm -f "$T/fpm.sock"
before=$(failed)
: >"$T/out"
produce 100
eventually 10 "topic_state b q/log" unreachable "the topic says unreachable"
is "$(failed)" "$before" "no attempt was counted"
eventually 5 "unfinished b q/log" 100 "all 100 jobs wait"
ok "no more of them tried than the pool has connections" test "$(topic b q/log unreachable)" -le 4
probes() { api b GET /api/v1/pools | json 'array_column($j["pools"], null, "name")["php"]["circuit"]["probes"] ?? 0'; }
probed() { (($(probes) >= $1)); }
seen=$(probes)
ok "it is probed" wait_until 10 probed $((seen + 1))
start=$(now_ms) # just after a probe, or later
seen=$(probes)
ok "and again" wait_until 10 probed $((seen + 2))
ok "the longer it lasts the more rarely: two more probes take some time" test $(($(now_ms) - start)) -ge 100
n=$(lines handled.q.log)
start_fpm fpm 4
start=$(now_ms)
eventually 5 missing 0 "back: all are handled"
took=$(($(now_ms) - start))
note "back at work and drained after $took ms"
ok "within two seconds, or a few more on a machine that is busy" test "$took" -lt $((8000 * SLOW))
is "$(failed)" "$before" "still no attempt counted"
is "$(tail -n +$((n + 1)) "$T/handled.q.log" | cut -d' ' -f1 | sort | uniq -d | wc -l)" 0 "none twice"

# A missing script, then one that registers another topic, then the right one is deployed.
eventually 10 "topic_state b p/log" unregistered "a missing script: the topic says so"
push b p early >/dev/null
like "$(topic b p/log why)" 'deploy\.php|Primary script|missing' "and which file"
cp "$WORKERS/wrong.php" "$T/deploy.php"
cp "$WORKERS/reply.php" "$T/reply.php"
registers_another() { [[ $(topic b p/log why) == *other/topic* ]]; }
ok "one that registers another topic: it is asked" wait_until 10 registers_another
is "$(topic b p/log attempts)" 0 "no attempt was counted"
ok "no job was spent on a script that does not register the topic" test ! -e "$T/wrongly"
cp "$WORKERS/log.php" "$T/deploy.php"
eventually 15 "lines handled.p.log" 1 "deployed: found by itself, and the job is handled"

# 404 while it runs: the file is replaced by one that no longer registers the topic.
cp "$WORKERS/wrong.php" "$T/deploy.new" && mv "$T/deploy.new" "$T/deploy.php"
# opcache looks at files every two seconds.
was=$(topic b p/log failed)
spent() { push b p late >/dev/null; [[ $(topic_state b p/log) == unregistered ]]; }
ok "404 to a job: unregistered" wait_until 15 spent
is "$(topic b p/log failed)" "$was" "no attempt counted"
cp "$WORKERS/log.php" "$T/deploy.new" && mv "$T/deploy.new" "$T/deploy.php"
eventually 20 "unfinished b p/log" 0 "registered again: the jobs are handled"
stop b

# All children busy with somebody else's requests: jobs wait, no attempt is counted.
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/small.sock
max_connections = 6
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
attempts = 1
INI
FPM_BACKLOG=2 start_fpm small 1
start_broker b
eventually 10 "topic_state b q/slow" open "a pool of one child with a backlog of two, and six connections"
push b q {101..120} >/dev/null
eventually 30 "lines ended" 20 "all jobs are handled"
is "$(topic b q/slow dead) $(topic b q/slow failed)" "0 0" "EAGAIN is not a failed attempt"
is "$(lines begun)" 20 "none ran twice"

# TCP instead of a unix socket.
stop b
port=$(free_port)
FPM_PORT=$port start_fpm tcp 2
sed -i "s|unix:$T/small.sock|127.0.0.1:$port|" "$T/b.ini"
start_broker b
push b q 1 2 3 >/dev/null
eventually 10 "lines ended" 23 "over TCP"

# A deadline: the job is a failed attempt, the topic goes on.
sed -i 's/^attempts = 1/attempts = 1\ntimeout = 300ms/' "$T/b.ini"
kill -HUP "${PID[b]}"
wait_until 5 contains "$T/b.log" 'configuration reloaded'
touch "$T/hold"
push b q held >/dev/null
eventually 10 "topic b q/slow dead" 1 "a job over its timeout is a failed attempt"
rm "$T/hold"
like "$(op b q/slow errors)" 'no answer (within|after)' "that says so"
done_testing
