#!/usr/bin/env bash
# Jobs that run when the broker dies: delivered again at once by the next one, which counts the
# death; one that was there too often is dead, not run for ever. And a stop that is not waited for.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 8
LONG=900000 # ms; no run of the test is as long
config() {
  cat <<INI
[storage main]
address = unix:$T/redis.sock
lease = 1m
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 8
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
timeout = 1h
crashes = 2
attempts = 5
[queue r]
password = pw
[topic r/slow]
pool = php
entry = $WORKERS/slow.php
timeout = 1h
INI
}
config | SERVER='drain_timeout = 10m' conf b
start_broker b
eventually 10 "topic_state b q/slow" open "open"

# A job that is always there when the broker dies. The lease is a minute: who waits for it is late.
id=$(push_ids b q $LONG)
eventually 5 "lines begun" 1 "a job runs"
stop b KILL
start_broker b
start=$(now_ms)
eventually 20 "lines begun" 2 "killed and started again: it runs at once"
note "$(($(now_ms) - start)) ms after the broker was ready"
is "$(cut -d' ' -f1,3 "$T/begun" | sort -u)" "$id 1" "as its first attempt: a death is none"
is "$(topic b q/slow recovered)" 1 "and counted as delivered again"
stop b KILL
start_broker b
eventually 20 "topic b q/slow dead" 1 "after as many deaths as crashes allows it is dead"
is "$(lines begun)" 2 "and did not run a third time"
like "$(op b q/slow retry)" "running at the end of a node 2 times.*crashes = 2" "the reason is kept"
like "$(op b q/slow retry)" '"content": ?"'$LONG'"' "and the job"
push b q 0 >/dev/null
eventually 10 "lines ended" 1 "the others go on"
eventually 5 "topic b q/slow done" 1 "and are done" # before the next death

# Replayed it has all its attempts, deaths included.
op b q/slow replay >/dev/null
eventually 10 "lines begun" 4 "replayed: it runs"
stop b KILL
start_broker b
eventually 20 "lines begun" 5 "and again after the next death"
op b q/slow pause >/dev/null

# TERM waits for what runs, a second one does not; nothing is lost by it.
kill -TERM "${PID[b]}"
ok "the first TERM: it waits for the job" wait_until 10 contains "$T/b.log" 'stopping: no new clients'
ok "that runs on" kill -0 "${PID[b]}"
start=$(now_ms)
STOP_STATUS=0
stop b
took=$(($(now_ms) - start))
note "ended $took ms after the second"
ok "the second TERM: not after the job" test "$took" -lt 100000
is "$STOP_STATUS" 0 "without being a failure"
ok "the log says so" contains "$T/b.log" 'second signal: stopping now'
start_broker b
is "$(api b GET /api/v1/topics/q/slow |
  json 'array_sum(array_intersect_key($j["counts"], array_flip(["ready", "running", "retry", "dead"])))')" \
  1 "the job is still there"

# What runs longer than drain_timeout is not waited for either.
config | SERVER='drain_timeout = 1s' conf b
stop b
start_broker b
eventually 10 "topic_state b r/slow" open "drain_timeout = 1s"
before=$(lines begun)
push b r $LONG >/dev/null
eventually 5 "lines begun" $((before + 1)) "a long job runs"
start=$(now_ms)
STOP_STATUS=0
stop b
took=$(($(now_ms) - start))
ok "a stop waits for a second ($took ms)" test "$took" -ge 990 -a "$took" -lt 100000
is "$STOP_STATUS" 0 "and is clean"
ok "the log tells what still ran" contains "$T/b.log" 'jobs that still run after drain_timeout: 1;'
start_broker b
eventually 10 "lines begun" $((before + 2)) "which runs again at the next start"
is "$(topic b r/slow recovered)" 1 "and counts as one that ran at the end of a node"
done_testing
